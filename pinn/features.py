"""The least-squares phase: one wide hidden layer drawn at random, its linear layer solved for.

The residuals are linearised in the fields; with u = Σ_j c_j φ_j each collocation point gives rows Σ_α (∂F/∂u_α) φ_{j,α} of a
matrix A, and the coefficients minimise ‖A c - b‖ by QR. A linear problem takes one solve, a nonlinear one a few
(Gauss-Newton). How fast the features vary, their *bandwidth* by coordinate, is chosen by the residual at held-out points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from . import sampling
from .approximation import Approximation, Together
from .continuation import Start
from .derivatives import sin
from .exact import Exact
from .families import Drawn, Family, feature_ansatz
from .gathering import SHARE
from .journal import NOTHING, Journal
from .loss import (
    Batch,
    Objective,
    Weights,
    draw,
    field_values,
    objective,
    places_of,
    start_unknown,
    trainable,
    with_given,
    with_trained,
)
from .problem import Problem
from .rows import (
    EMPHASIS,
    Rows,
    add_coefficients,
    correction,
    least_squares,
    linearised,
    remaining,
    row_scales,
    scattered,
    whole_chunks,
)
from .space import Level
from .terms import Term

_STATIONARY = 0.999  # of the sum of squares, that a linear model which leaves as much cannot lower
_ASTRAY = 1e-3  # relative residual of a start that is no solution
_UNNOTICED = 1e-3  # of the size at which an equation notices a field: less is as good as zero to its conditions
_VANISHED = 1e-3  # of what an equation adds up for fields of some size, below which it adds up nothing
_REACHED = 1.2  # sum of squares after a Newton step, in that of its linear model, that no further step can lower much


class Fit(NamedTuple):
    """A solved set of features."""

    family: Family
    approximation: Approximation
    weights: Weights
    held_out: float


# --- judging a fit ---------------------------------------------------------------------------------------------------


def relative_residual(
    objective: Objective,
    weights: Weights,
    batches: Sequence[Batch],
    systems: Sequence[Rows],
    sizes: Mapping[str, float] | None = None,
) -> float:
    """Root mean square residual at the batches' points, relative to the size of the terms that it is the sum of.

    Equations are compared with Σ |∂F/∂u_α u_α|; conditions with the fields' own size, and weighted like their rows. `systems`
    are the terms linearised there; `sizes` are the fields', where the objective does not know the whole of them.
    """
    return residual_against(objective, systems, term_sizes(objective, weights, batches, systems, sizes))


def residual_against(objective: Objective, systems: Sequence[Rows], sizes: Sequence[np.ndarray]) -> float:
    """The same relative to given sizes of the terms, [K] each."""
    total = 0.0
    for term, rows, against in zip(objective.terms, systems, sizes, strict=True):
        residual = np.sqrt(np.mean(np.square(rows.residual), axis=0))
        against = against if term.place is None else against / EMPHASIS
        with np.errstate(over="ignore"):  # where nothing would be there without the residual
            total += float(np.sum((residual / np.maximum(against, 1e-300)) ** 2))
    return float(np.sqrt(total)) if np.isfinite(total) else np.inf


def term_sizes(
    objective: Objective,
    weights: Weights,
    batches: Sequence[Batch],
    systems: Sequence[Rows],
    sizes: Mapping[str, float] | None = None,
) -> list[np.ndarray]:
    """How large each term's residual would be if nothing cancelled, [K] each.

    Σ |∂F/∂u_α u_α| of equations, root mean square; for conditions the same with the fields' own size. Arguments as above.
    """
    problem = objective.problem
    sizes = sizes or field_sizes(problem, field_values(objective, weights, batches[0].points))
    if len(sizes) > 1:
        counting, largest = sizes_that_count(objective, systems, sizes), max(sizes.values())
        sizes = {name: max(size, _UNNOTICED * min(counting[name], largest)) for name, size in sizes.items()}
    pairs = zip(objective.terms, systems, strict=True)
    return [term_size(problem, term, np.asarray(rows.slopes), np.asarray(rows.leaves), sizes) for term, rows in pairs]


def term_size(problem: Problem, term: Term, slopes: np.ndarray, leaves: np.ndarray, sizes: Mapping[str, float]) -> np.ndarray:
    """The same of one term, [K], from its slopes [..., K, L] and leaves [..., L] at points and the sizes of the fields.

    Where all that an equation adds up vanishes, as for a linear function all that Laplace's does, only its residual would be
    left to compare with: then it is a small part of what fields of this size make of it elsewhere.
    """
    expected = root_mean_square(slopes) @ typical_leaves(problem, term, sizes)
    if term.place is not None:
        return expected
    parts = np.sum(np.abs(slopes * leaves[..., None, :]), axis=-1, keepdims=True)
    return np.maximum(root_mean_square(parts)[:, 0], _VANISHED * expected)


def root_mean_square(values: np.ndarray) -> np.ndarray:
    """Over points, all axes but the last two."""
    return np.sqrt(np.mean(values**2, axis=tuple(range(values.ndim - 2))))


def sizes_that_count(goal: Objective, systems: Sequence[Rows], sizes: Mapping[str, float]) -> dict[str, float]:
    """How large each unknown has to be for an equation to notice it, from the present sizes: the largest over equations.

    That is where its terms would be as large as those of all together. `systems` are the terms, linearised.
    """
    found = dict.fromkeys(sizes, 0.0)
    for term, rows in zip(goal.terms, systems, strict=True):
        if term.place is None:
            slopes = np.asarray(rows.slopes)
            whole, steepness = term_size(goal.problem, term, slopes, np.asarray(rows.leaves), sizes), root_mean_square(slopes)
            for name in sizes:
                response = steepness @ typical_leaves(goal.problem, term, {other: float(other == name) for other in sizes})
                counts = np.where(response > 0, whole / np.where(response > 0, response, 1), 0)
                found[name] = max(found[name], float(np.max(counts)))
    return found


def typical_leaves(problem: Problem, term: Term, sizes: Mapping[str, float]) -> np.ndarray:
    """How large what a condition reads is expected to be, from the sizes of the fields, [L]."""
    lower, upper = problem.domain.bounds
    return np.array([sizes[leaf.field] * np.prod((2 / (upper - lower)) ** np.array(leaf.index)) for leaf in term.expression.read])


def field_sizes(problem: Problem, values: Array) -> dict[str, float]:
    """Root mean square of each field, from values [n, F]; for each unknown that of the field that it is a part of."""
    return by_unknown(problem, np.sqrt(np.mean(np.square(np.asarray(values)), axis=0)))


def by_unknown(problem: Problem, sizes: np.ndarray) -> dict[str, float]:
    """Of each unknown what the field has that it is a part of, from [F]."""
    fields = dict(zip(problem.fields, sizes.tolist(), strict=True))
    return fields if problem.regions is None else {name: fields[field] for name, field in problem.regions.unknowns.items()}


def coarse_sizes(setup: Setup) -> dict[str, float]:
    """The fields' sizes from one coarse least-squares solve, linearised about zero; 1 where it gives nothing to go by."""
    family = Family(sin, (4.0,) * setup.problem.domain.dimension)
    rough = fit(replace(setup, steps=0), family, 100)
    goal = objective(setup.problem, rough.approximation, setup.exact)
    points = sampling.interior(setup.problem.domain, 500, (*setup.seed, 5))
    sizes = field_sizes(setup.problem, field_values(goal, rough.weights, jnp.asarray(points, setup.dtype)))
    return {name: size if 1e-12 < size < 1e12 else 1.0 for name, size in sizes.items()}


# --- solving -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setup:
    """What stays the same while features are tried."""

    problem: Problem
    exact: Exact
    seed: tuple[int, ...]
    dtype: Any
    oversampling: float = 2.5
    steps: int = 12
    edges: tuple[float, ...] = ()  # of the slabs of time, ends included; empty for the whole interval
    drawn: tuple[Drawn, ...] = ()  # the features of each slab
    level: Level | None = None  # of the steps in time that judge it, if it was made of such
    journal: Journal = field(default=NOTHING, compare=False, repr=False)
    start: Start | None = field(default=None, compare=False, repr=False)  # an earlier solution to begin from

    def unknown(self) -> dict[str, Array]:
        """The unknown parameters' search coordinates where the search begins."""
        return start_unknown(self.problem, self.dtype) if self.start is None else self.start.unknown(self.problem, self.dtype)

    def counts(self, width: int) -> dict[str, int]:
        """Points for so many features a field: inside, and on each condition. What is gathered comes on top of even points."""
        unknowns, equations = len(self.problem.unknowns), len(self.problem.equations)
        regions = 1 if self.problem.regions is None else len(self.problem.regions.names)
        inside = max(int(self.oversampling * width * regions * unknowns / equations), 50)
        d, more = self.problem.domain.dimension, 1 / (1 - SHARE) if places_of(self.problem) else 1.0
        on = int(4 * inside ** ((d - 1) / d)) if d > 1 else 1
        return {"equation": whole_chunks(int(more * inside)), "condition": whole_chunks(int(more * on))}


def fit(setup: Setup, family: Family, width: int, draw_index: int = 0, start: Fit | None = None) -> Fit:
    """Features of one family, solved for: one solve where the problem is linear, else Gauss-Newton.

    Gauss-Newton linearises first about `start`, an earlier fit, about the solution that the setup starts from, or about zero.
    """
    problem, seed = setup.problem, (*setup.seed, draw_index)
    basis, state = feature_ansatz(problem, setup.exact, family, width, (*seed, 1), setup.dtype)
    goal = objective(problem, basis, setup.exact)
    begun = Weights(state, setup.unknown())

    def add(weights: Weights, coefficients: np.ndarray, share: float) -> Weights:
        added = add_coefficients(basis, weights.state, coefficients, np.asarray(share, coefficients.dtype))
        return weights._replace(state=added)

    def solved() -> tuple[dict[str, Any], float]:
        batches = draw(goal, setup.counts(width), (*seed, 2), setup.dtype, steep=family.steep, gather=True)
        weights = begun
        if start is not None:
            weights = about(goal, begun, basis, batches, start)
        elif setup.start is not None and not problem.is_linear:
            weights = about_start(goal, begun, basis, batches, setup.start)
        fresh_start = start is None and setup.start is None
        elsewhere = partial(scattered, basis, state, seed) if fresh_start else None
        weights = newton(goal, weights, basis, state, batches, setup.steps, add, elsewhere=elsewhere)
        fresh = draw(goal, setup.counts(width), (*setup.seed, 7), setup.dtype, steep=family.steep, gather=True)
        checks = linearised(goal, weights, basis, weights.state, fresh)
        return trainable(weights), relative_residual(goal, weights, fresh, checks)

    trained, held_out = setup.journal.piece(("fit", family, width, draw_index), solved, (trainable(begun), 0.0))
    return Fit(family, basis, with_trained(begun, trained), held_out)


def stationary(
    goal: Objective,
    weights: Weights,
    batches: Sequence[Batch],
    systems: Sequence[Rows],
    least: float,
    now: float,
) -> bool:
    """Whether a start is no solution, though its linear model, which leaves `least` of what there is `now`, shows no way down:
    ∫u² = 1 about u = 0.
    """
    return least > _STATIONARY * now and relative_residual(goal, weights, batches, systems) > _ASTRAY


def about(
    goal: Objective, weights: Weights, basis: Together, batches: Sequence[Batch], start: Any, scales: Sequence[Any] = ()
) -> Weights:
    """The features nearest to the Newton step from another approximation u: J(u) (v - u) = -F(u), solved for v.

    `start` is a fit, with an `approximation` and its `weights`; rows are brought to unit size where no `scales` are given.
    """
    source = replace(goal, approximation=start.approximation)
    systems = linearised(source, start.weights, basis, weights.state, batches)
    return _nearest(goal, weights, basis, batches, systems, scales)


def about_start(goal: Objective, weights: Weights, basis: Together, batches: Sequence[Batch], start: Start) -> Weights:
    """The same from an earlier solution, which may be of another problem: with the values that this one met exactly."""
    systems = linearised(goal, weights, basis, weights.state, start.about(goal, weights.unknown, batches))
    return _nearest(goal, weights, basis, batches, systems)


def _nearest(
    goal: Objective,
    weights: Weights,
    basis: Together,
    batches: Sequence[Batch],
    systems: Sequence[Rows],
    scales: Sequence[Any] = (),
) -> Weights:
    """The features v that solve J(u) (v - u) = -F(u) best, from the terms linearised about u."""
    scales = scales or row_scales(systems, goal.terms)
    pairs = zip(systems, batches, strict=True)
    targets = [-_about(rows, rows.leaves - batch.given).residual[:, :, None] for rows, batch in pairs]
    coefficients = np.asarray(least_squares([rows.matrix for rows in systems], targets, scales)[0])[:, 0]
    return weights._replace(state=add_coefficients(basis, weights.state, coefficients, np.ones((), coefficients.dtype)))


def _about(rows: Rows, leaves: Any) -> Rows:
    """The linear model of a term about a function with these leaves, as one of the coefficients alone."""
    return rows._replace(residual=rows.residual - jnp.einsum("nkl,nl->nk", rows.slopes, leaves))


def newton(
    goal: Objective,
    weights: Weights,
    basis: Together,
    state: tuple,
    batches: Sequence[Batch],
    steps: int,
    add: Callable[[Weights, np.ndarray, float], Weights],
    near: Sequence[Any] = (),
    elsewhere: Callable[[], tuple] | None = None,
) -> Weights:
    """Newton on the linear layer: one solve where the problem is linear, else steps halved while the residual does not fall.

    `add(weights, coefficients, share)` gives the weights with `share` of new coefficients [P] added; the rows of `basis` with
    its `state` do not depend on the coefficients. The first step is from a function that is no sum of the features to the best
    sum of them, where its leaves, [n, L] by term, are given as `near`. Where no direction leads on from the first weights,
    though the residual is not zero, it begins with the state that `elsewhere` gives.
    """
    systems = linearised(goal, weights, basis, state, with_given(batches, near) if near else batches)
    if near:
        systems = [_about(rows, leaves) for rows, leaves in zip(systems, near, strict=True)]
    scales = row_scales(systems, goal.terms)
    coefficients, least = correction(systems, scales)
    if goal.problem.is_linear or not steps:
        return add(weights, coefficients, 1.0)

    now = np.inf if near else remaining(systems, scales)
    if elsewhere is not None and stationary(goal, weights, batches, systems, least, now):
        weights = weights._replace(state=elsewhere())
        systems = linearised(goal, weights, basis, state, batches)
        scales = row_scales(systems, goal.terms)
        (coefficients, least), now = correction(systems, scales), remaining(systems, scales)
    for _ in range(steps):
        for share in (1.0, 0.5, 0.25, 0.1, 0.02):
            trial = add(weights, coefficients, share)
            systems = linearised(goal, trial, basis, state, batches)
            new = remaining(systems, scales)
            if new < now:
                break
        else:
            break
        weights, gain, now = trial, new / now, new
        if share == 1.0 and (gain > 0.5 or now < _REACHED * least):
            break
        coefficients, least = correction(systems, row_scales(systems, goal.terms))
    return weights
