"""Green's function of a linearised ordinary differential equation, by Chebyshev collocation.

Fields are Chebyshev polynomials of one degree. An equation of order m in the field that it determines holds at m points fewer
than these have coefficients, and the conditions make up for them. The inverse of that square system is Green's function times
the weights of quadrature: sums of its sizes over the points tend to ∫ |G(x, s)| ds.

Source: Driscoll and Hale, Rectangular spectral collocation, IMA Journal of Numerical Analysis 36 (2016).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.polynomial import chebyshev
from scipy.optimize import linear_sum_assignment

from .errors import SolutionError
from .expression import Expression
from .loss import Batch, Objective, Weights, batch_at, by_chunks
from .problem import Problem
from .terms import Term

SAMPLES = 2000  # evenly spaced points that maxima are taken over
_FEW = 64  # points that are evaluated as they are
_PADDED = 4096  # points evaluated at a time, so that every degree is one compilation

Leaf = tuple[str, int]  # a field and an order


class Reading(NamedTuple):
    """A term at points of its own."""

    term: Term
    places: tuple[np.ndarray, ...]  # [n] each: where its sites are
    leaves: np.ndarray  # [n, L]
    values: np.ndarray  # [n, K]
    slopes: np.ndarray  # [n, K, L]
    points: np.ndarray  # [n, 1]
    columns: dict[str, np.ndarray]

    def at(self, rows: slice) -> Reading:
        places, columns = tuple(place[rows] for place in self.places), {n: column[rows] for n, column in self.columns.items()}
        leaves, values, slopes, points = (part[rows] for part in (self.leaves, self.values, self.slopes, self.points))
        return Reading(self.term, places, leaves, values, slopes, points, columns)

    def rows(self, problem: Problem, degree: int) -> np.ndarray:
        """What it becomes for each Chebyshev polynomial of each field, [n, K, F (degree + 1)]."""
        blocks = np.zeros((*self.values.shape, len(problem.fields), degree + 1))
        expression = self.term.expression
        for leaf, slot in expression.slots.items():
            there = polynomials(problem, self.places[expression.sites.index(leaf.site)], degree, leaf.index[0])
            blocks[:, :, problem.fields.index(leaf.field)] += self.slopes[:, :, slot] * there[:, None, :]
        return blocks.reshape(*self.values.shape, -1)


class Green(NamedTuple):
    """The inverse of the linearised problem in polynomials of one degree.

    Sources are the equations, then every row of every condition.
    """

    problem: Problem
    leaves: list[Leaf]
    degree: int
    inverse: np.ndarray  # [F (degree + 1), rows]
    targets: np.ndarray  # [rows], the residuals and misfits
    constants: np.ndarray  # [leaves, sources]
    inside: Reading  # at the sample points
    ends: list[Reading]


def greens_function(whole: Objective, weights: Weights, ranks: Sequence[int], leaves: list[Leaf], degree: int) -> Green:
    problem = whole.problem
    counts = [degree + 1 - rank for rank in ranks]
    nodes = [on_interval(problem, np.cos(np.pi * (np.arange(count) + 0.5) / count)) for count in counts]
    samples = on_interval(problem, np.linspace(-1, 1, SAMPLES))
    starts = np.cumsum([0, *counts])
    everywhere = read(whole, weights, problem.terms[0], np.concatenate([*nodes, samples])[:, None], {})
    ends = [read(whole, weights, term, *sample(problem, term)) for term in problem.terms[1:]]
    parts = [everywhere.at(slice(*pair)) for pair in pairwise(starts)]
    blocks = [part.rows(problem, degree)[:, k] for k, part in enumerate(parts)]
    blocks += [end.rows(problem, degree).reshape(end.values.size, -1) for end in ends]
    targets = np.concatenate([*(part.values[:, k] for k, part in enumerate(parts)), *(end.values.ravel() for end in ends)])
    inverse = _inverted(np.concatenate(blocks))
    groups = [*pairwise(starts), *((i, i + 1) for i in range(starts[-1], len(targets)))]
    spread = on_interval(problem, np.cos(np.pi * np.linspace(0, 1, 4 * degree + 1)))
    constants = np.zeros((len(leaves), len(groups)))
    for i, leaf in enumerate(leaves):
        sizes = np.abs(derivative(problem, leaf, spread, degree, inverse))
        constants[i] = [np.max(np.sum(sizes[:, start:end], axis=1)) for start, end in groups]
    return Green(problem, leaves, degree, inverse, targets, constants, everywhere.at(slice(starts[-1], None)), ends)


def read(whole: Objective, weights: Weights, term: Term, points: np.ndarray, columns: Mapping[str, np.ndarray]) -> Reading:
    count, dtype = len(points), jax.tree.leaves(weights.state)[0].dtype
    more = -count % _PADDED if count > _FEW else 0
    filled = jnp.asarray(np.concatenate([points, np.repeat(points[-1:], more, axis=0)]), dtype)
    arrays = {name: jnp.asarray(column, dtype) for name, column in columns.items()}
    batch = batch_at(whole, term.expression, filled, arrays)
    found = jax.tree.map(lambda a: np.asarray(a, float)[:count], _read_all(whole, term, weights, batch))
    places, leaves, values, slopes = found
    return Reading(term, tuple(place[:, 0] for place in places), leaves, values, slopes, points, dict(columns))


@partial(jax.jit, static_argnums=(0, 1))
def _read_all(whole: Objective, term: Term, weights: Weights, batch: Batch) -> tuple[tuple[Array, ...], Array, Array, Array]:
    def one(row: Batch) -> tuple[tuple[Array, ...], Array, Array, Array]:
        extras = whole.extras(weights.unknown, row.points.dtype) | row.columns
        leaves = whole.leaves(term, weights, row)

        def value(values: Array) -> Array:
            return term.expression.value(row.points, values, extras)

        return term.expression.places(row.points, extras), leaves, value(leaves), jax.jacfwd(value)(leaves)

    return by_chunks(one, batch)


def _inverted(matrix: np.ndarray) -> np.ndarray:
    """The inverse of a square matrix with rows and columns of very different sizes; infinite where there is none."""
    rows = np.maximum(np.abs(matrix).max(axis=1), 1e-300)
    columns = np.maximum(np.abs(matrix / rows[:, None]).max(axis=0), 1e-300)
    try:
        return np.linalg.inv(matrix / rows[:, None] / columns) / columns[:, None] / rows
    except np.linalg.LinAlgError:
        return np.full(matrix.shape, np.inf)


def on_interval(problem: Problem, z: np.ndarray) -> np.ndarray:
    lower, upper = (float(end[0]) for end in problem.domain.bounds)
    return np.clip((lower + upper) / 2 + (upper - lower) / 2 * z, lower, upper)


def polynomials(problem: Problem, x: np.ndarray, degree: int, order: int) -> np.ndarray:
    """Derivatives of the Chebyshev polynomials on the interval, [n, degree + 1]."""
    lower, upper = (float(end[0]) for end in problem.domain.bounds)
    half = (upper - lower) / 2
    slopes = chebyshev.chebder(np.eye(degree + 1), order) / half**order
    return chebyshev.chebvander((x - (lower + upper) / 2) / half, degree)[:, : len(slopes)] @ slopes


def derivative(problem: Problem, leaf: Leaf, x: np.ndarray, degree: int, coefficients: np.ndarray) -> np.ndarray:
    """A derivative of one field at points, from coefficients [F (degree + 1), ...]."""
    start = problem.fields.index(leaf[0]) * (degree + 1)
    return polynomials(problem, x, degree, leaf[1]) @ coefficients[start : start + degree + 1]


# --- the structure of a problem ---------------------------------------------------------------------------------------


def ranks(problem: Problem) -> dict[str, int]:
    """For each equation, in order, the field that it determines, and its order in that: how many conditions it takes."""
    expression, (used, _) = problem.terms[0].expression, structure(problem, problem.terms[0])
    orders = np.full((len(problem.equations), len(problem.fields)), -1000)
    for leaf, slot in expression.slots.items():
        column = problem.fields.index(leaf.field)
        orders[:, column] = np.where(used[:, slot].any(axis=1), np.maximum(orders[:, column], leaf.index[0]), orders[:, column])
    _, columns = linear_sum_assignment(orders, maximize=True)
    ranks = {problem.fields[column]: int(orders[row, column]) for row, column in enumerate(columns)}
    given = sum(len(term.expression.components) * len(sample(problem, term)[0]) for term in problem.terms[1:])
    if min(ranks.values()) < 0 or sum(ranks.values()) != given:
        raise SolutionError(
            f"bound(): the equations of {problem.name} are of order {max(sum(ranks.values()), 0)} together and have {given} "
            "conditions; Green's function needs as many. Change the conditions, or use `error_estimate` and `trust`."
        )
    return ranks


def structure(problem: Problem, term: Term) -> tuple[np.ndarray, np.ndarray]:
    """Which of the L numbers that it reads each component uses, [K, L], and which any of them is not affine in, [L]."""
    points, columns = sample(problem, term, 32)
    leaves = np.random.default_rng(0).normal(size=(len(points), term.expression.size))
    first, second = (np.asarray(part) for part in derivatives(term.expression, known_numbers(problem), points, columns, leaves))
    return (first != 0).any(axis=0), (second != 0).any(axis=(0, 1, 2))


def known_numbers(problem: Problem) -> dict[str, Array]:
    return {name: jnp.asarray(value, float) for name, value in problem.known().items()}


def sample(problem: Problem, term: Term, count: int = 1) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    return term.sample(problem.domain, count, (0,))


@partial(jax.jit, static_argnums=0)
def derivatives(expression: Expression, extras: dict, points: Any, columns: dict, leaves: Any) -> tuple[Array, Array]:
    """First and second derivatives of an expression by its leaves, [n, K, L] and [n, K, L, L]."""

    def one(point: Array, column: dict[str, Array], values: Array) -> tuple[Array, Array]:
        def value(v: Array) -> Array:
            return expression.value(point, v, extras | column)

        return jax.jacfwd(value)(values), jax.hessian(value)(values)

    return jax.vmap(one)(points, columns, leaves)
