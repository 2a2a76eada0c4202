"""The learner: an operator network in the units of its problem, and the losses that it is trained with.

clean, mean    |G u - f|² at random query points, f the clean function or the posterior mean
second         |G u - u'|² at the sensors, u' a second noisy observation (Lehtinen et al. 2018, arXiv 1803.04189)
sigma          |G u - u|² - σ² n + 2 σ² div(G u) at the sensors: Stein's estimate of |G u - f|² (SURE), its divergence by one
               random direction; with σ = 0 it is the misfit to exact observations

Where samples tell their noise level, each counts by the inverse of σ² / (1 + σ²), the error that one observation of a function of
variance 1 leaves: else an operator for many noise levels would learn the loudest, whose errors are the largest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from .. import devices
from ..approximation import read_values
from ..branches import Layout, Seen
from ..deeponet import DeepONet, OperatorNetwork
from ..derivatives import Smooth, nested_jvp, taylor
from ..expression import Expression
from ..networks import Encoding
from ..ridge import RidgeBranch
from ..terms import Term
from .problem import Drawn, OperatorProblem

State = dict[str, Any]  # {"train": ..., "frozen": ...}
_QUIET = 0.01  # noise, in units of the output, below which all levels count the same
_LAW_POINTS = 256  # where equations are taken to find the functions that satisfy them


@dataclass(frozen=True)
class Units:
    """What is subtracted from inputs and outputs, and what they are divided by."""

    centre: float
    size: float
    output_centre: tuple[float, ...]
    output_size: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Learner:
    """Everything about a trained operator but its weights, which are passed in.

    Attributes:
        problem: what it learns; an `OperatorProblem`, or the outline of one that was saved.
        graph: of its network, from `nnx.split`.
        units: of inputs and outputs.
        dtype: of its numbers.
    """

    problem: Any
    graph: nnx.GraphDef
    units: Units
    dtype: Any

    def network(self, state: State) -> OperatorNetwork:
        return nnx.merge(self.graph, state["train"], state["frozen"])

    @property
    def encoding(self) -> Encoding:
        lower, upper = self.problem.domain.bounds
        return Encoding(lower, upper, (False,) * len(lower))

    def seen(self, network: OperatorNetwork, values: Array, sensors: Array, sigma: Array | None) -> Seen:
        """Observations [..., n] at sensors [n, s] in the units of the network."""
        units, places, basis = self.units, scaled_sensors(self.problem, sensors), None
        if self.problem.observes and jax.eval_shape(network.basis, places[0]) is not None:
            basis = jax.vmap(network.basis)(places)
        level = None if sigma is None else sigma / units.size
        return Seen((values - units.centre) / units.size, places, level, basis)

    def encode(self, network: OperatorNetwork, values: Array, sensors: Array, sigma: Array | None) -> Any:
        """The code of one observation: values [n] at sensors [n, s]."""
        return network.encode(self.seen(network, values, sensors, sigma))

    def decode(self, network: OperatorNetwork, code: Any, point: Smooth) -> Smooth:
        """The output fields, [F], at one point [d] of the domain."""
        size, centre = (jnp.asarray(u, point.dtype) for u in (self.units.output_size, self.units.output_centre))
        return network.decode(code, self.encoding(point)) * size + centre

    def outputs(self, state: State, values: Array, sensors: Array, sigma: Array | None, points: Array) -> Array:
        """Outputs [m, F] of one observation at points [m, d]."""
        network = self.network(state)
        code = self.encode(network, values, sensors, sigma)
        return jax.vmap(lambda point: self.decode(network, code, point))(points)

    def leaves(self, network: OperatorNetwork, code: Any, expression: Expression, point: Array, extras: dict) -> Array:
        """What an equation or condition reads of the output fields at one point, [L]."""
        engine = taylor if network.jets else nested_jvp
        return read_values(expression, self.problem.fields, partial(self.decode, network, code), engine, extras, point)


def scaled_sensors(problem: Any, sensors: Array) -> Array:
    lower, upper = problem.domain.bounds
    axes = [problem.domain.coordinates.index(name) for name in problem.sensor_names]
    low, width = (jnp.asarray(v[axes], sensors.dtype) for v in (lower, upper - lower))
    return 2 * (sensors - low[None]) / width[None] - 1


def layout_of(problem: Any, dtype: Any) -> Layout:
    """What networks are built for."""
    return Layout(np.asarray(scaled_sensors(problem, jnp.asarray(problem.sensors, dtype)), float), "sigma" in problem.known)


def measure_units(problem: OperatorProblem, drawn: Drawn) -> Units:
    """Mean and standard deviation of inputs and outputs; one for both where the sensors observe the output."""
    centre, size = float(jnp.mean(drawn.noisy)), float(jnp.std(drawn.noisy)) or 1.0
    if problem.observes:
        if drawn.sigma is not None:
            size = float(np.sqrt(max(size**2 - float(jnp.mean(drawn.sigma**2)), 0.1 * size**2)))
        centre = centre if abs(centre) > 0.3 * size else 0.0
        return Units(centre, size, (centre,) * len(problem.fields), (size,) * len(problem.fields))
    outputs = drawn.clean if drawn.clean is not None else drawn.mean
    assert outputs is not None  # `_objective` refuses problems that have neither
    centres, sizes = np.asarray(jnp.mean(outputs, (0, 1))), np.asarray(jnp.std(outputs, (0, 1)))
    return Units(centre, size, tuple(centres.tolist()), tuple(np.where(sizes > 0, sizes, 1.0).tolist()))


# --- losses ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Points:
    """Where a loss is taken: query points [M, d], and for each term of the equations points and normals."""

    queries: Array
    terms: tuple[tuple[Term, Array, dict[str, Array]], ...] = ()


def data_loss(learner: Learner, state: State, drawn: Drawn, key: Array, points: Array) -> tuple[Array, Any]:
    """The loss of one sample, in units of the output's variance, and its code; `points` are those that its outputs are at."""
    problem, network = learner.problem, learner.network(state)
    sensors = jnp.asarray(problem.sensors, learner.dtype)
    size = jnp.asarray(learner.units.output_size, learner.dtype)
    encode = partial(learner.encode, network, sensors=sensors, sigma=drawn.sigma)

    def at(code: Any, points: Array) -> Array:
        return jax.vmap(lambda point: learner.decode(network, code, point))(points)

    target = {"clean": drawn.clean, "mean": drawn.mean}.get(problem.learns_from)
    if target is not None:
        code = encode(drawn.noisy)
        return jnp.mean(((at(code, points) - target) / size[None]) ** 2), code
    if problem.learns_from == "second" and drawn.second is not None:
        code = encode(drawn.noisy)
        return jnp.mean((at(code, sensors)[:, 0] - drawn.second) ** 2) / size[0] ** 2, code
    assert drawn.sigma is not None  # without it nothing would be left to learn from

    def at_sensors(values: Array) -> tuple[Array, Any]:
        code = encode(values)
        return at(code, sensors)[:, 0], code

    probe = jax.random.rademacher(key, drawn.noisy.shape, learner.dtype)
    found, slope, code = jax.jvp(at_sensors, (drawn.noisy,), (probe,), has_aux=True)
    divergence = probe @ slope / len(probe)
    return (jnp.mean((found - drawn.noisy) ** 2) + drawn.sigma**2 * (2 * divergence - 1)) / size[0] ** 2, code


def emphasis(sigma: Array | None, size: float) -> Array | float:
    """What the error of a sample counts for its noise: (1 + s²) / s², s = σ / size; 1 where no noise is told."""
    if sigma is None:
        return 1.0
    square = (sigma / size) ** 2
    return (1 + square) / (square + _QUIET**2)


def physics_losses(learner: Learner, state: State, code: Any, points: Points, chosen: tuple[Array, ...]) -> Array:
    """Mean squares of the equations and conditions at some of their points, by term, [T], for the code of one sample."""
    network, sums = learner.network(state), []
    for (term, places, columns), rows in zip(points.terms, chosen, strict=True):

        def value(point: Array, column: dict, expression: Expression = term.expression) -> Array:
            return expression.value(point, learner.leaves(network, code, expression, point, column), column)

        values = jax.vmap(value)(places[rows], {name: c[rows] for name, c in columns.items()})
        sums.append(jnp.mean(jnp.sum(values**2, axis=1)))
    return jnp.stack(sums)


def law(learner: Learner, network: OperatorNetwork, points: Points) -> tuple[Array, Array] | None:
    """A trunk's functions at points, [m, p], and the equations and conditions as rows for their coefficients, [k, p].

    None where nothing begins with them: no ridge, no equations, or one that is not linear and homogeneous in the output.
    """
    if not points.terms or not isinstance(network, DeepONet) or not isinstance(network.branch, RidgeBranch):
        return None
    basis, rows = jax.vmap(lambda p: network.basis(learner.encoding(p)))(points.queries[:_LAW_POINTS]), []
    zero = jnp.zeros((basis.shape[1], 1), learner.dtype)
    for term, places, columns in points.terms:
        expression = term.expression
        if not expression.is_affine:
            return None

        def value(code: Array, point: Array, column: dict, expression: Expression = expression) -> Array:
            return expression.value(point, learner.leaves(network, code, expression, point, column), column)

        at = jax.tree.map(lambda a: a[:_LAW_POINTS], (places, columns))
        if bool(jnp.any(jax.vmap(partial(value, zero))(*at) != 0)):
            return None
        rows.append(jax.vmap(jax.jacfwd(value), (None, 0, 0))(zero, *at).reshape(-1, basis.shape[1]))
    return basis, jnp.concatenate(rows)


def batch_loss(
    learner: Learner, points: Points, sizes: tuple[int, int], state: State, balance: Array, key: Array, count: int
) -> Array:
    """The loss of `count` fresh samples; `sizes` are the query points, and the points of each equation, drawn from the pool."""
    query, collocation = sizes
    keys = jax.random.split(key, 4)
    rows = jax.random.randint(keys[0], (query,), 0, len(points.queries))
    places = points.queries[rows]
    chosen = tuple(
        jax.random.randint(jax.random.fold_in(keys[1], i), (min(collocation, len(p)),), 0, len(p))
        for i, (_, p, _) in enumerate(points.terms)
    )

    def one(key: Array) -> Array:
        drawing, probing = jax.random.split(key)
        drawn = learner.problem.draw(drawing, places)
        loss, code = data_loss(learner, state, drawn, probing, places)
        loss = loss * emphasis(drawn.sigma, learner.units.output_size[0])
        if not points.terms:
            return loss
        return loss + balance @ physics_losses(learner, state, code, points, chosen)

    each = jax.random.split(keys[2], count)
    return jnp.mean(devices.over_rows(lambda i: one(each[i]), jnp.arange(count), count))


def make_state(network: OperatorNetwork) -> tuple[nnx.GraphDef, State]:
    """The structure of a network and its weights; those of a network inside that it corrects are not trained again."""
    trained: Callable = nnx.All(nnx.Param, nnx.Not(nnx.PathContains("base")))
    graph, train, frozen = nnx.split(network, trained, ...)
    return graph, {"train": nnx.to_pure_dict(train), "frozen": nnx.to_pure_dict(frozen)}
