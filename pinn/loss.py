"""The composite loss: mean squared residual over collocation points, plus weighted mean squared misfits of the conditions.

    L(θ) = Σ_m w_m (1/n_m) Σ_i r_m(x_i; θ)²

One row of the residual vector is sqrt(w_m / n_m) r_m(x_i), so that L = ‖rows‖². Terms whose conditions the ansatz meets by
construction are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .approximation import Approximation, State, lifted, read
from .exact import Exact
from .problem import Problem, Term

_CHUNK = 256  # rows


class Batch(NamedTuple):
    """The points of one term, [n, d], what else its expression asks for there, and its leaves of the values met exactly."""

    points: Array
    columns: dict[str, Array]
    given: Array  # [n, L]


class Weights(NamedTuple):
    """What an approximation needs besides its structure: its state, and the unknown parameters in search coordinates."""

    state: State
    unknown: dict[str, Array]


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
        known = {name: jnp.asarray(value, dtype) for name, value in self.problem.constants.items()}
        return known | physical(self.problem, unknown)

    def leaves(self, term: Term, weights: Weights, row: Batch) -> Array:
        """What the term reads of the fields at one row of its batch, [L]."""
        extras = self.extras(weights.unknown, row.points.dtype) | row.columns
        return row.given + read(self.approximation, term.expression, weights.state, extras, row.points)

    def residual(self, term: Term, weights: Weights, row: Batch) -> Array:
        """The term's components at one row of its batch, [K]."""
        extras = self.extras(weights.unknown, row.points.dtype) | row.columns
        return term.expression.value(row.points, self.leaves(term, weights, row), extras)

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


def draw(
    goal: Objective, counts: Mapping[str, int], seed: Sequence[int], dtype: Any, slab: tuple[int, float, float] | None = None
) -> tuple[Batch, ...]:
    """Points for each term: `counts` by the term's name, where "condition" stands for any that is not named.

    With `slab`, (axis, start, end), that coordinate of every point is moved from the whole domain into the slab.
    """
    batches = []
    for i, term in enumerate(goal.terms):
        count = counts.get(term.name, counts["equation"] if term.place is None else counts["condition"])
        points, columns = term.sample(goal.problem.domain, count, [*seed, i])
        if slab is not None:
            axis, start, end = slab
            lower, upper = (ends[axis] for ends in goal.problem.domain.bounds)
            points[:, axis] = start + (points[:, axis] - lower) * ((end - start) / (upper - lower))
        inputs = jnp.asarray(points, dtype), {name: jnp.asarray(column, dtype) for name, column in columns.items()}
        batches.append(Batch(*inputs, _given(goal.problem, goal.exact, term, *inputs)))
    return tuple(batches)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _given(problem: Problem, exact: Exact, term: Term, points: Array, columns: dict[str, Array]) -> Array:
    constants = {name: jnp.asarray(value, points.dtype) for name, value in problem.known().items()}
    return jax.vmap(lambda p, c: lifted(exact, term.expression, problem.fields, constants | c, p))(points, columns)


@partial(jax.jit, static_argnums=0)
def residuals(objective: Objective, weights: Weights, batches: Sequence[Batch]) -> tuple[Array, ...]:
    """The residuals of every term at its points, each [n, K]."""
    return tuple(
        by_chunks(lambda row, term=term: objective.residual(term, weights, row), batch)
        for term, batch in zip(objective.terms, batches, strict=True)
    )


def by_chunks(one: Callable, batch: Any) -> Any:
    """`one` of every row: in chunks that stay in the cache, where they divide the rows evenly."""
    count = jax.tree.leaves(batch)[0].shape[0]
    return jax.lax.map(one, batch, batch_size=_CHUNK) if count > _CHUNK and count % _CHUNK == 0 else jax.vmap(one)(batch)


def mean_squares(values: Sequence[Array]) -> Array:
    """Mean square of each term's residuals, summed over its components: [terms]."""
    return jnp.stack([jnp.sum(jnp.mean(v * v, axis=0)) for v in values])


def rows(values: Sequence[Array], balance: Array) -> Array:
    """One vector whose squared norm is Σ_m w_m mean r_m², from residuals [n_m, K_m] and weights [terms]."""
    scaled = [v * jnp.sqrt(w / v.shape[0]) for v, w in zip(values, balance, strict=True)]
    return jnp.concatenate([v.reshape(-1) for v in scaled])
