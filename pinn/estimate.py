"""How wrong is the answer? The error estimated by defect correction, without a reference.

With e the error, F(u + e) = 0 becomes to first order J(u) e = -F(u), with the conditions' own misfits on the right. It is
solved by least squares in features that are fresh (a network's own directions cannot see its error once it has converged) and
richer than those behind u. Three gates decide how far the estimate can be trusted:

    ρ     what the features leave of the residual:  ‖F(u) + J(u) e‖ / ‖F(u)‖ at new points
    nl    what the linearisation leaves of it:      ‖F(u + e)‖ / ‖F(u)‖ at new points
    gap   how far two draws of features disagree:   |‖e₁‖ - ‖e₂‖| / max(‖e₁‖, ‖e₂‖), worst field

Where the gap alone is in the way, a third draw decides: the two that agree best count for the gap, the largest for the error.

After Wang & Lai's multistage networks (arXiv 2307.08934) in its use of a second set of functions for the error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from . import sampling
from .approximation import Approximation, Sum, summands
from .exact import Exact
from .families import Family, candidates, feature_ansatz, steepened
from .features import Setup, by_unknown, sizes_that_count
from .layers import PEAKED, steep_coordinates
from .loss import Batch, Objective, Weights, draw, field_values, given_residuals, objective, read_leaves, values_at, with_given
from .problem import Problem
from .rows import Rows, add_coefficients, coefficient_count, least_squares, left_by, linearised, row_scales, squares
from .steep import Steep

TRUSTED, ROUGH = 0.3, 0.5  # of the gates; below 0.3 every estimate of the calibration was within a factor 1.3
_TOLD = 0.05  # error of a field, relative to its size, up to which it is told from zero
_ZERO = 1e-8  # of the size at which an equation notices a field, below which it is zero if it cannot be told from it
_WEIGHED = {"equation": 1024, "condition": 64}  # points where that is asked
_LARGE = 0.05  # an error of a nonlinear problem from which on its linear part says nothing of other solutions
_SENSITIVE = 1e10  # amplification of rounding errors beyond which no solution is fixed
NO_MEMORY = "memory ran out while its error was estimated"
ROUNDING = 4.0  # errors of one solve, in units of one rounding of its weights
_UNSEEN = 20.0  # rounding, in what the correction sees of an error, beyond which it bounds an error and estimates none,
_SLIGHT = 1e-12  # where it is more than this
_ROUNDED_OFF = 1e4  # a residual in the same units, above which something else is left of it


class Trust(Enum):
    """How far an error estimate can be relied on."""

    TRUSTED = "trusted: within a factor 2"
    ROUGH = "rough: within a factor 5"
    UNKNOWN = "unknown: the true error may be far larger"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Estimate:
    """The estimated relative L2 error of each field, and why to trust it.

    Attributes:
        errors: by field, relative to the corrected field; absolute where that is zero.
        trust, reason: how far, and why.
        rounded: whether the error is that of rounding, or of noisy readings, so that nothing more can be gained.
        approximation, weights: the corrected solution u + e.
        intervals: 95 % confidence interval of each unknown parameter.
        undetermined: a sentence for each combination of parameters that nothing fixes.
    """

    errors: dict[str, float]
    trust: Trust
    reason: str
    rounded: bool
    approximation: Approximation
    weights: Weights
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    undetermined: tuple[str, ...] = ()

    @property
    def worst(self) -> float:
        """The largest of the fields' errors."""
        return max(self.errors.values())


class Draw(NamedTuple):
    """The error as one draw of features sees it.

    Attributes:
        approximation, state: the correction e.
        values: e at the points where norms are taken, [n, F].
        noise: the error that rounding leaves, from the correction that rounding of the weights would cause, [F].
        rho, nl: what is left of the residual.
        unresolved: the error that the correction may miss, [F].
        above: the residual, in units of what rounding of the weights, and of the terms that it adds up, changes it by.
    """

    approximation: Approximation
    state: Any
    values: np.ndarray
    noise: np.ndarray
    rho: float
    nl: float
    unresolved: np.ndarray | float = 0.0
    above: float = 0.0

    @property
    def size(self) -> np.ndarray:
        """Root mean square of the error, [F], with what the correction may miss."""
        return np.hypot(root_mean_squares(self.values), self.unresolved)


def estimate(setup: Setup, goal: Objective, weights: Weights, family: Family, width: int, exact: Exact) -> Estimate:
    """Estimate the error of an approximation.

    Args:
        setup: the problem, seeds and precision.
        goal, weights: what is judged.
        family, width: the features for the error; richer than what made the solution.
        exact: the conditions that the solution meets by construction.
    """
    points = error_points(setup)
    one = partial(_draw, setup, goal, weights, family, width, exact, points)
    draws = [one(0), one(1)]
    return combined(setup, goal, weights, [*draws, one(2)] if in_doubt(draws) else draws)


def unjudged(goal: Objective, weights: Weights, reason: str) -> Estimate:
    """No estimate of an approximation: an error of any size, for this reason."""
    errors = dict.fromkeys(goal.problem.fields, float("inf"))
    return Estimate(errors, Trust.UNKNOWN, reason, False, goal.approximation, weights)


def error_points(setup: Setup) -> Array:
    """Where norms of errors are taken, [n, d]."""
    return jnp.asarray(sampling.measure_points(setup.problem.domain), setup.dtype)


def combined(setup: Setup, goal: Objective, weights: Weights, draws: Sequence[Draw]) -> Estimate:
    """The estimate that draws make together; a single one has none to agree with, and is not trusted."""
    found = np.asarray(field_values(goal, weights, error_points(setup)))
    size = root_mean_squares(found + draws[0].values)
    zero = are_zero(setup, goal, weights, size, np.max([d.size for d in draws], axis=0))
    size = np.where(zero | (size == 0), 1.0, size)
    each = [d.size / size for d in draws]
    rounding = np.max([d.noise for d in draws], axis=0) / size + 4 * float(jnp.finfo(setup.dtype).eps)
    errors = np.hypot(np.max(each, axis=0), rounding)
    gap = _gap([one[~zero] for one in each], errors[~zero])
    rounded = bool(np.max(errors) < 2 * np.max(rounding) and max(d.above for d in draws) < _ROUNDED_OFF)
    sensitive = float(np.max(rounding)) > _SENSITIVE * float(jnp.finfo(setup.dtype).eps)
    unseen = bool(np.any((rounding > _UNSEEN * np.max(each, axis=0)) & (rounding > _SLIGHT)))
    rho, nl = max(d.rho for d in draws), max(d.nl for d in draws)
    trust, reason = _judge(rho, nl, gap, rounded, sensitive, unseen)
    if not rounded:
        trust, reason = doubted(setup.problem, errors, trust, reason)
    if len(draws) == 1:
        reason = f"there was no time to see whether a second draw of features agrees (ρ = {rho:.1g}, nl = {nl:.1g})"
        trust = Trust.UNKNOWN
    both = Weights((weights.state, draws[0].state), weights.unknown)
    named = dict(zip(setup.problem.fields, errors.tolist(), strict=True))
    return Estimate(named, trust, reason, rounded, Sum(goal.approximation, draws[0].approximation), both)


def are_zero(setup: Setup, goal: Objective, weights: Weights, sizes: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Which fields are zero as far as can be told, [F], from their sizes and errors, root mean squares.

    They are hardly larger than their errors, and what both together add to some equation is nothing beside the rest of it: a
    stress that vanishes by symmetry, the velocity across a straight channel. Nor are they anything beside the largest field.
    """
    doubtful, largest = may_be_zero(sizes, errors), np.hypot(sizes, errors)
    if not np.any(doubtful):
        return doubtful
    batches = draw(goal, _WEIGHED, (*setup.seed, 78), setup.dtype)
    problem, systems = goal.problem, linearised(goal, weights, None, (), batches)
    counting = sizes_that_count(goal, systems, by_unknown(problem, sizes))
    fields = problem.regions.unknowns if problem.regions is not None else {name: name for name in problem.fields}
    noticed = [max(size for name, size in counting.items() if fields[name] == field) for field in problem.fields]
    return doubtful & (largest < _ZERO * np.array(noticed))


def may_be_zero(sizes: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """The fields that `are_zero` has to ask the equations about, [F]."""
    return (errors > _TOLD * sizes) & (np.hypot(sizes, errors) < _ZERO * np.max(sizes))


def in_doubt(draws: Sequence[Draw]) -> bool:
    """Whether draws that resolve the error disagree on its size, so that one more has to decide."""
    each, noise = [d.size for d in draws], np.max([d.noise for d in draws], axis=0)
    resolved = max(max(d.rho, d.nl) for d in draws) < ROUGH
    return resolved and _gap(each, np.hypot(np.max(each, axis=0), noise)) >= ROUGH


def _gap(each: Sequence[np.ndarray], errors: np.ndarray) -> float:
    """How far the two draws that agree best on a field are apart, in the worst field, from the sizes of the errors, [F]."""
    apart = [np.abs(one - other) / np.where(errors > 0, errors, 1.0) for one, other in combinations(each, 2)]
    return float(np.max(np.min(apart, axis=0), initial=0.0)) if apart else 0.0


def doubted(problem: Problem, errors: np.ndarray, trust: Trust, reason: str) -> tuple[Trust, str]:
    """The trust in an estimate, and why: none in a large error of a nonlinear problem."""
    if problem.is_linear or np.max(errors) <= _LARGE:
        return trust, reason
    return Trust.UNKNOWN, f"so far from a solution, another one may be the right one: the equation is nonlinear; {reason}"


def _draw(
    setup: Setup, goal: Objective, weights: Weights, family: Family, width: int, exact: Exact, points: Array, index: int
) -> Draw:
    found = _defect(setup, goal, weights, family, width, exact, index)
    both = (values_at(found.basis, state, points) for state in (found.state, found.noise))
    values, noise = (np.asarray(setup.problem.folded(points, each)) for each in both)
    return Draw(found.basis, found.state, values, ROUNDING * root_mean_squares(noise), found.rho, found.nl, above=found.above)


def root_mean_squares(values: np.ndarray) -> np.ndarray:
    """Over points [n, F], by field: [F]."""
    return np.sqrt(np.mean(values**2, axis=0))


def choose_family(setup: Setup, goal: Objective, weights: Weights, exact: Exact, width: int = 200) -> Family:
    """The family of features that leaves the least of a solution's residual unexplained, among them those that see its layers."""

    def left(family: Family) -> float:
        return _defect(setup, goal, weights, family, width, exact, 2).rho

    rho = {family: left(family) for family in candidates(setup.problem)}
    best = min(rho, key=rho.__getitem__)
    steep = layers_of(setup, goal, weights) if setup.problem.regions is None else ()
    rho |= {family: left(family) for family in (steepened(best, steep) if steep else ())}
    return min(rho, key=rho.__getitem__)


def layers_of(setup: Setup, goal: Objective, weights: Weights, known: Sequence[Steep] = ()) -> tuple[Steep, ...]:
    """Steep coordinates where an approximation of the whole domain has layers, or none; `known` are those it was made with."""

    def values(points: np.ndarray) -> Array:
        return field_values(goal, weights, jnp.asarray(points, setup.dtype))

    return steep_coordinates(setup.problem, setup.exact.periodic, values, known, peaked=PEAKED)


@dataclass(frozen=True)
class _Defect:
    """One draw's correction, the one that rounding of the weights would cause, and how large the residual is and what is left."""

    basis: Any
    state: tuple
    noise: tuple
    rho: float
    nl: float
    above: float


def _defect(setup: Setup, goal: Objective, weights: Weights, family: Family, width: int, exact: Exact, index: int) -> _Defect:
    problem, seed, dtype = setup.problem, (*setup.seed, 900 + index), setup.dtype
    basis, empty = feature_ansatz(problem, exact, family, width, (*seed, 1), dtype)
    share = jnp.ones((), dtype)

    own = objective(problem, basis, exact)  # with u as given leaves: what is compiled for a fit of such features serves here too
    begun = weights._replace(state=empty)

    def read(state: Any, batches: Sequence[Batch]) -> tuple[Batch, ...]:
        parts = summands(goal.approximation, state)
        return with_given(batches, *(read_leaves(own, part, part_state, batches) for part, part_state in parts))

    def solved() -> tuple[np.ndarray, np.ndarray, float, float, float]:
        batches = draw(own, setup.counts(width), (*seed, 2), dtype, steep=family.steep, gather=True)
        known = read(weights.state, batches)
        systems = linearised(own, begun, basis, empty, known)
        scales = row_scales(systems, own.terms)
        rounded = read(shaken(weights, seed).state, batches)
        exactly, shifted = (given_residuals(own, each, weights.unknown) for each in (known, rounded))
        pairs = zip(systems, shifted, exactly, strict=True)
        targets = [np.stack([-np.asarray(rows.residual), np.subtract(a, b)], axis=2) for rows, a, b in pairs]
        above = norms_ratio([against_rounding(rows, each) for rows, each in zip(systems, targets, strict=True)], scales)
        coefficients, noise = np.asarray(least_squares([rows.matrix for rows in systems], targets, scales)[0]).T

        fresh = read(weights.state, draw(own, setup.counts(width), (*seed, 3), dtype, steep=family.steep, gather=True))
        checks = linearised(own, begun, basis, empty, fresh)
        before = max(residual_norm([rows.residual for rows in checks], scales), 1e-300)
        nl = rho = residual_norm([left_by(rows, coefficients) for rows in checks], scales) / before
        if not problem.is_linear:
            corrected = weights._replace(state=add_coefficients(basis, empty, coefficients, share))
            nl = residual_norm([rows.residual for rows in linearised(own, corrected, basis, empty, fresh)], scales) / before
        return coefficients, noise, finite(rho), finite(nl), above

    nothing = np.zeros(coefficient_count(basis, empty), dtype)
    like = nothing, nothing, 0.0, 0.0, 0.0
    coefficients, noise, rho, nl, above = setup.journal.piece(("error", family, width, index), solved, like)
    state, noisy = (add_coefficients(basis, empty, c, share) for c in (coefficients, noise))
    return _Defect(basis, state, noisy, rho, nl, above)


def shaken(weights: Weights, seed: Sequence[int]) -> Weights:
    """The weights with every trained one changed by a rounding error."""
    rng = np.random.default_rng((*seed, 4))

    def shake(array: Array) -> np.ndarray:
        return np.asarray(array) * (1 + float(jnp.finfo(array.dtype).eps) * rng.normal(size=array.shape).astype(array.dtype))

    return weights._replace(state=_shaken_state(weights.state, shake))


def _shaken_state(state: Any, shake: Callable) -> Any:
    if isinstance(state, tuple):
        return tuple(_shaken_state(part, shake) for part in state)
    return {**state, "train": jax.tree.map(shake, state["train"])}


def finite(value: float) -> float:
    """The number, infinite where it is undefined."""
    return float(value) if np.isfinite(value) else np.inf


def residual_norm(values: Sequence[Any], scales: Sequence[Any]) -> float:
    """The norm of every term's residuals [n, K] together, each scaled by its [K]."""
    return float(np.sqrt(squares(values, scales)))


def against_rounding(rows: Rows, columns: np.ndarray) -> np.ndarray:
    """The first of two columns of targets [n, K, 2], and the second with what rounding of the terms of a sum makes of it."""
    slopes, leaves = np.asarray(rows.slopes), np.asarray(rows.leaves)
    summed = float(np.finfo(slopes.dtype).eps) * np.sum(np.abs(slopes * leaves[:, None, :]), axis=2)
    return np.stack([columns[:, :, 0], np.hypot(columns[:, :, 1], summed)], axis=2)


def norms_ratio(targets: Sequence[Any], scales: Sequence[Any]) -> float:
    """The norm of the first of two columns of targets [n, K, 2], scaled by [K] each, in units of that of the second."""
    own, other = (residual_norm([np.asarray(target)[:, :, i] for target in targets], scales) for i in (0, 1))
    return finite(own / max(other, 1e-300))


def _judge(rho: float, nl: float, gap: float, rounded: bool, sensitive: bool, unseen: bool) -> tuple[Trust, str]:
    measures = f"ρ = {rho:.1g}, nl = {nl:.1g}, draws differ by {gap:.0%}"
    if sensitive:
        return Trust.UNKNOWN, f"rounding alone moves the solution that far: the conditions may not fix one ({measures})"
    if rounded and unseen:
        return Trust.UNKNOWN, f"rounding of large weights may account for an error as large as this, or smaller ({measures})"
    if rounded:
        return Trust.ROUGH if gap < ROUGH else Trust.UNKNOWN, f"rounding of the weights accounts for the error ({measures})"
    worst = max(rho, nl, gap)
    if worst < TRUSTED:
        return Trust.TRUSTED, f"the error equation is resolved, linear enough, and two draws agree ({measures})"
    trust = Trust.ROUGH if worst < ROUGH else Trust.UNKNOWN
    if worst == rho:
        return trust, f"the features leave part of the residual unexplained: a layer, a shock or noise ({measures})"
    if worst == nl:
        return trust, f"the solution is not yet close enough to linearise about ({measures})"
    return trust, f"two draws of features disagree: the conditions may not fix one solution ({measures})"
