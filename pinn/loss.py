"""The composite loss: mean squared residual over collocation points, plus weighted mean squared misfits of the conditions.

    L(θ) = Σ_m w_m (1/n_m) Σ_i r_m(x_i; θ)²

One row of the residual vector is sqrt(w_m / n_m) r_m(x_i), so that L = ‖rows‖². Terms whose conditions the ansatz meets by
construction are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from . import devices
from .algebra import Domain
from .approximation import Approximation, Slabs, State, lifted, read, slab_by_slab, summands
from .boundaries import Surface
from .exact import Exact
from .expression import Expression
from .gathering import Place, gathered, nearer, places
from .problem import Problem
from .steep import Steep
from .terms import Term

_CHUNK = 256  # rows
_FEW, _TOGETHER = 16, 1024  # points that values are taken at together: what is compiled for either serves any number
_ENTRIES = 2**20  # of a layer that are held at a time, where its rows may be differentiated: a loop keeps what each turn computed
_WEIGHTS = "train"  # the part of a state that belongs to linear layers
_POOL = 8  # points of a boundary to choose from
_NEAR = 0.7  # share of the points that steep coordinates draw to them


class Batch(NamedTuple):
    """The points of one term, [n, d], what else its expression asks for there, and its leaves of the values met exactly.

    `weight`, [n], multiplies residuals: the volume that a point stands for, where points are denser in some places.
    """

    points: Array
    columns: dict[str, Array]
    given: Array  # [n, L]
    weight: Array


class Weights(NamedTuple):
    """What an approximation needs besides its structure: its state, and the unknown parameters in search coordinates."""

    state: State
    unknown: dict[str, Array]


def trainable(weights: Weights) -> dict[str, Any]:
    """The part of the weights that training changes."""
    return {"train": tuple(part["train"] for part in weights.state), "unknown": weights.unknown}


def with_trained(weights: Weights, trained: dict[str, Any]) -> Weights:
    """The weights with that part replaced."""
    state = tuple({**part, "train": train} for part, train in zip(weights.state, trained["train"], strict=True))
    return Weights(state, trained["unknown"])


@dataclass(frozen=True)
class Objective:
    """A problem as its approximation sees it: the terms left in the loss, and their residuals.

    Equal objectives compile once.
    """

    problem: Problem
    approximation: Approximation
    exact: Exact
    terms: tuple[Term, ...]

    def extras(self, unknown: Mapping[str, Array], dtype: jnp.dtype) -> dict[str, Array]:
        """Constants and parameters, as residuals receive them."""
        return _extras(self.problem, unknown, dtype)

    def leaves(self, term: Term, weights: Weights, row: Batch) -> Array:
        """What the term reads of the fields at one row of its batch, [L]."""
        extras = self.extras(weights.unknown, row.points.dtype) | row.columns
        return row.given + read(self.approximation, term.expression, weights.state, extras, row.points)

    def residual(self, term: Term, weights: Weights, row: Batch) -> Array:
        """The term's components at one row of its batch, [K]."""
        extras = self.extras(weights.unknown, row.points.dtype) | row.columns
        return row.weight * term.expression.value(row.points, self.leaves(term, weights, row), extras)

    def values(self, weights: Weights, point: Array) -> Array:
        """The fields [F] at one point [d]."""
        given = self.exact.values(self.approximation.fields, point, self.extras(weights.unknown, point.dtype))
        return given + self.approximation.values(weights.state, point)


def objective(problem: Problem, approximation: Approximation, exact: Exact, every: bool = False) -> Objective:
    """The objective of a problem: the terms that are not met by construction, or every term."""
    return _objective(problem, approximation, exact, tuple(t for t in problem.terms if every or t.name not in exact.met))


_objective = lru_cache(maxsize=256)(Objective)


def start_unknown(problem: Problem, dtype: jnp.dtype) -> dict[str, Array]:
    """The unknown parameters' search coordinates at their initial values."""
    return {name: jnp.asarray(np.log(p.initial) if p.positive else p.initial, dtype) for name, p in problem.parameters.items()}


def physical(problem: Problem, unknown: Mapping[str, Array]) -> dict[str, Array]:
    """The unknown parameters themselves, from their search coordinates."""
    return {name: jnp.exp(value) if problem.parameters[name].positive else value for name, value in unknown.items()}


def _extras(problem: Problem, unknown: Mapping[str, Array], dtype: Any) -> dict[str, Array]:
    return {name: jnp.asarray(value, dtype) for name, value in problem.constants.items()} | physical(problem, unknown)


def draw(
    goal: Objective,
    counts: Mapping[str, int],
    seed: Sequence[int],
    dtype: Any,
    slab: tuple[int, float, float] | None = None,
    steep: Sequence[Steep] = (),
    gather: bool = False,
) -> tuple[Batch, ...]:
    """Points for each term: `counts` by the term's name, where "condition" stands for any that is not named.

    With `slab`, (axis, start, end), that coordinate of every point is moved from the whole domain into the slab. With `steep`
    coordinates most points are moved to where those climb; with `gather` many to holes and corners.
    """
    batches, crowded = [], places_of(goal.problem) if gather else []
    for i, term in enumerate(goal.terms):
        count = counts.get(term.name, counts["equation"] if term.place is None else counts["condition"])
        points, columns, weight = _sampled(goal.problem.domain, term, count, crowded, [*seed, i])
        if steep and isinstance(term.place, Surface | None):
            points, volumes = _towards_layers(goal.problem.domain, term, points, steep, [*seed, i])
            weight = weight * volumes
        if slab is not None:
            axis, start, end = slab
            lower, upper = (ends[axis] for ends in goal.problem.domain.bounds)
            points[:, axis] = start + (points[:, axis] - lower) * ((end - start) / (upper - lower))
        inputs = jnp.asarray(points, dtype), {name: jnp.asarray(column, dtype) for name, column in columns.items()}
        batches.append(batch_at(goal, term.expression, *inputs, jnp.asarray(weight, dtype)))
    return tuple(batches)


def places_of(problem: Problem) -> list[Place]:
    """Where points of a problem are gathered."""
    return places(problem.singular(problem.domain)) if problem.regions is None else []


def _sampled(
    domain: Domain, term: Term, count: int, crowded: Sequence[Place], seed: Sequence[int]
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Points of a term, what else it asks for there, and the volume that each stands for."""
    patches = term.place.patches if isinstance(term.place, Surface) else ()
    points, columns = term.sample(domain, count * (_POOL if crowded and patches else 1), seed)
    if crowded and term.place is None:
        points, weight = gathered(domain, crowded, points, [*seed, 1])
        return points, columns, weight
    if crowded and patches:
        taken = nearer(crowded, points, max(count, len(patches)), [*seed, 1])
        points, columns = points[taken], {name: column[taken] for name, column in columns.items()}
    return points, columns, np.ones(len(points))


def parted(term: Term) -> bool:
    """Whether a term holds on a part of some face, or at given points."""
    return not isinstance(term.place, Surface) or any(patch.where for patch in term.place.patches)


def _towards_layers(
    domain: Domain, term: Term, points: np.ndarray, steep: Sequence[Steep], seed: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Some of the points moved along steep coordinates, each from evenly spread in z to evenly spread in y(z), and weights.

    A point on a face stays there; one that would leave the domain, or its part of the boundary, is left where it was. With the
    volume that it stands for as its weight, a residual of a layer counts by what it adds up to, not by its height.
    """
    lower, upper = domain.bounds
    moved = points.copy()
    for each in steep:
        ends = lower[each.axis], upper[each.axis]
        unit = (points[:, each.axis] - ends[0]) / (ends[1] - ends[0])
        chosen = np.random.default_rng((*seed, each.axis)).uniform(size=len(points)) < _NEAR
        chosen &= (unit > 0) & (unit < 1) if term.place is not None else True
        scaled = each.placed(unit[chosen]) / (2 * each.half) + 0.5
        moved[chosen, each.axis] = ends[0] + (ends[1] - ends[0]) * scaled
    if term.place is None:
        stay = np.ones(len(points), bool) if domain.is_box else domain.contains(moved)
    else:
        stay = np.full(len(points), domain.is_box and not parted(term))
    moved, density = np.where(stay[:, None], moved, points), np.ones(len(points))
    for each in steep:
        place = (moved[:, each.axis] - lower[each.axis]) / (upper[each.axis] - lower[each.axis])
        density *= 1 - _NEAR + _NEAR * each.slope((2 * place - 1) * each.half)
    return moved, 1 / density if term.place is None else np.ones(len(points))


def batch_at(
    goal: Objective, expression: Expression, points: Array, columns: dict[str, Array], weight: Array | None = None
) -> Batch:
    """The batch of an expression at points."""
    given = _at_any(partial(given_leaves, goal.problem, goal.exact, expression), points, columns)
    return Batch(points, columns, given, jnp.ones(len(points), points.dtype) if weight is None else weight)


@partial(jax.jit, static_argnums=(0, 1, 2))
def given_leaves(problem: Problem, exact: Exact, expression: Expression, points: Array, columns: dict[str, Array]) -> Array:
    """What an expression reads at points of the values that are met by construction, [n, L]."""
    constants = {name: jnp.asarray(value, points.dtype) for name, value in problem.known().items()}
    return jax.vmap(lambda p, c: lifted(exact, expression, problem.unknowns, constants | c, p))(points, columns)


@partial(jax.jit, static_argnums=0)
def residuals(objective: Objective, weights: Weights, batches: Sequence[Batch]) -> tuple[Array, ...]:
    """The residuals of every term at its points, each [n, K]."""
    widest = max((max(leaf.shape, default=1) for leaf in jax.tree.leaves(weights.state)), default=1)
    most = max(_ENTRIES // widest, _CHUNK)
    return tuple(
        by_chunks(lambda row, term=term: objective.residual(term, weights, row), batch, most)
        for term, batch in zip(objective.terms, batches, strict=True)
    )


def field_values(goal: Objective, weights: Weights, points: Array) -> Array:
    """The fields at points, [n, F], summand by summand."""
    found = given_values(goal, weights.unknown, points) + summed_values(goal.approximation, weights.state, points)
    return goal.problem.folded(points, found)


def values_at(approximation: Approximation, state: State, points: Array) -> Array:
    """The fields of an approximation alone at points, [n, F]."""
    values = partial(_values_at, approximation, state)
    return values(points) if isinstance(approximation, Slabs) else _at_any(values, points)


@partial(jax.jit, static_argnums=0)
def _values_at(approximation: Approximation, state: State, points: Array) -> Array:
    return by_chunks(lambda p: approximation.values(state, p), points)


def given_values(goal: Objective, unknown: Mapping[str, Array], points: Array) -> Array:
    """The values met by construction at points, [n, F]."""
    return _at_any(partial(_given_values, goal.problem, goal.exact, dict(unknown)), points)


@partial(jax.jit, static_argnums=(0, 1))
def _given_values(problem: Problem, exact: Exact, unknown: dict[str, Array], points: Array) -> Array:
    extras = _extras(problem, unknown, points.dtype)
    return by_chunks(lambda p: exact.values(problem.unknowns, p, extras), points)


def expression_values(goal: Objective, expression: Expression, weights: Weights, batch: Batch) -> Array:
    """An expression of the fields at the points of its batch, [n, K], read summand by summand."""
    leaves = []
    for part, state in summands(goal.approximation, weights.state):
        read = partial(_leaves_of, goal.problem, part, expression, weights.unknown)
        times = _times(part, expression, weights.unknown, goal, batch)
        leaves.append((slab_by_slab(read, part, state, times, batch),))
    return _expression_values(goal, expression, weights.unknown, *with_given((batch,), *leaves))


def _times(
    part: Approximation, expression: Expression, unknown: Mapping[str, Array], goal: Objective, batch: Batch
) -> np.ndarray | None:
    """When an expression reads each point of its batch; None where that is at more times than one, or there are no slabs."""
    if not isinstance(part, Slabs) or isinstance(batch.points, Tracer):
        return None
    extras = _extras(goal.problem, unknown, batch.points.dtype)
    places = jax.vmap(lambda row: expression.places(row.points, extras | row.columns))(batch)
    times = [np.asarray(place[..., part.axis]) for place in places]
    return times[0] if all(np.array_equal(each, times[0]) for each in times) else None


def equations_at(goal: Objective, weights: Weights, points: np.ndarray) -> np.ndarray:
    """The equations' residuals at points of the domain, [n, K]."""
    at = jnp.asarray(points, jax.tree.leaves(weights.state)[0].dtype)
    equations = [term.expression for term in goal.terms if term.place is None]
    return np.concatenate([expression_values(goal, each, weights, batch_at(goal, each, at, {})) for each in equations], axis=1)


def read_leaves(
    goal: Objective,
    approximation: Approximation,
    state: State,
    batches: Sequence[Batch],
    unknown: Mapping[str, Array] | None = None,
) -> tuple[Array, ...]:
    """What every term reads of an approximation alone at its points, each [n, L]."""
    pairs, known = zip(goal.terms, batches, strict=True), dict(unknown or {})
    return tuple(_leaves_of(goal.problem, approximation, term.expression, known, state, batch) for term, batch in pairs)


def read_each(
    goal: Objective, approximation: Approximation, states: Sequence[State], batches: Sequence[Batch]
) -> list[tuple[Array, ...]]:
    """What `read_leaves` gives for each of several states, which differ in the weights of linear layers alone.

    What does not depend on those weights, such as random features, is evaluated once for all states.
    """

    def beside(path: tuple, *arrays: Any) -> Any:
        return np.stack([np.asarray(a) for a in arrays]) if _is_weight(path) else arrays[0]

    stacked, pairs = jax.tree.map_with_path(beside, *states), zip(goal.terms, batches, strict=True)
    found = [_leaves_of_each(goal.problem, approximation, term.expression, stacked, batch) for term, batch in pairs]
    return [tuple(leaves[:, i] for leaves in found) for i in range(len(states))]


def _is_weight(path: tuple) -> bool:
    return any(getattr(key, "key", None) == _WEIGHTS for key in path)


def given_residuals(
    goal: Objective, batches: Sequence[Batch], unknown: Mapping[str, Array] = MappingProxyType({})
) -> tuple[Array, ...]:
    """The residuals of every term where the given leaves are all there is, each [n, K]; `unknown` parameters as in `Weights`."""
    pairs = zip(goal.terms, batches, strict=True)
    return tuple(_expression_values(goal, term.expression, dict(unknown), batch) for term, batch in pairs)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _leaves_of(
    problem: Problem, part: Approximation, expression: Expression, unknown: dict[str, Array], state: State, batch: Batch
) -> Array:
    """What an expression reads of an approximation alone at the points of its batch, [n, L]."""
    extras = _extras(problem, unknown, batch.points.dtype)
    return by_chunks(lambda row: read(part, expression, state, extras | row.columns, row.points), batch)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _leaves_of_each(problem: Problem, part: Approximation, expression: Expression, state: State, batch: Batch) -> Array:
    """The same for each of the weights in a state, [S, ...]: [n, S, L]."""
    extras = _extras(problem, {}, batch.points.dtype)
    axes = jax.tree.map_with_path(lambda path, _: 0 if _is_weight(path) else None, state)

    def one(row: Batch) -> Array:
        known = extras | row.columns
        return jax.vmap(lambda own: read(part, expression, own, known, row.points), (axes,))(state)

    return by_chunks(one, batch)


@partial(jax.jit, static_argnums=(0, 1))
def _expression_values(goal: Objective, expression: Expression, unknown: dict[str, Array], batch: Batch) -> Array:
    extras = goal.extras(unknown, batch.points.dtype)
    return by_chunks(lambda row: row.weight * expression.value(row.points, row.given, extras | row.columns), batch)


def with_given(batches: Sequence[Batch], *leaves: Sequence[Any]) -> tuple[Batch, ...]:
    """The batches with more leaves given."""
    return tuple(batch._replace(given=batch.given + sum(more)) for batch, *more in zip(batches, *leaves, strict=True))


def summed_values(approximation: Approximation, state: State, points: Array) -> Array:
    """The fields of an approximation alone at points, [n, F], summand by summand."""
    found = []
    for part, own in summands(approximation, state):
        times = np.asarray(points[:, part.axis]) if isinstance(part, Slabs) and not isinstance(points, Tracer) else None
        found.append(slab_by_slab(partial(values_at, part), part, own, times, points))
    return reduce(jnp.add, found)


def _at_any(function: Callable[..., Array], points: Array, *columns: Any) -> Array:
    """A compiled function of points, [n, d], and what comes with them: compiled once for any number of them, and once for few."""
    if isinstance(points, Tracer):
        return function(points, *columns)
    most = _FEW if len(points) <= _FEW else _TOGETHER
    return jnp.asarray(devices.in_rows(function, most, points, *columns), points.dtype)


def by_chunks(one: Callable, batch: Any, most: int = _CHUNK) -> Any:
    """`one` of every row, in chunks that stay in the cache, the rows divided by the devices; the result is whole on each."""
    return devices.everywhere(devices.over_rows(one, batch, most))


def mean_squares(values: Sequence[Array]) -> Array:
    """Mean square of each term's residuals, summed over its components: [terms]."""
    return jnp.stack([jnp.sum(jnp.mean(v * v, axis=0)) for v in values])


def rows(values: Sequence[Array], balance: Array) -> Array:
    """One vector whose squared norm is Σ_m w_m mean r_m², from residuals [n_m, K_m] and weights [terms]."""
    scaled = [v * jnp.sqrt(w / v.shape[0]) for v, w in zip(values, balance, strict=True)]
    return jnp.concatenate([v.reshape(-1) for v in scaled])
