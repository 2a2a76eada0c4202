"""How far an inverse problem's solution is fixed: intervals of its parameters, the noise in its fields, and its own error.

With A the rows of `inverse`, each divided by its standard deviation, (AᵀA)⁻¹ is the covariance of coefficients and parameters
(Gauss-Newton). The parameters are the last columns, so that of A = Q R the last block of R alone gives their covariance,
whatever the fields may do; a field φᵀc has the variance ‖R⁻ᵀ φ‖². Discretisation adds the step that richer features would take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.special
from jax import Array

from .approximation import Sum, Together
from .conditions import Data
from .decompositions import pseudo_inverse, svd
from .errors import listing
from .estimate import (
    ROUNDING,
    Draw,
    Estimate,
    Trust,
    against_rounding,
    combined,
    error_points,
    estimate,
    finite,
    norms_ratio,
    residual_norm,
    root_mean_squares,
    shaken,
)
from .evidence import coefficients_of, loosened
from .exact import Exact
from .families import Family, feature_ansatz
from .features import Setup
from .inverse import is_inverse, joint_rows
from .loss import Objective, Weights, draw, field_values, objective, residuals, values_at
from .problem import Problem
from .rows import Rows, add_coefficients, functions_at, least_squares, left_by, triangle
from .weighing import SPENT, Balance, balanced, hides, observes, stacked, with_prior

_LEVEL = 0.95  # of the intervals
_POINTS = 500  # that the noise in the fields is averaged over
_FEW = 8.0  # readings to spare below which their noise is known roughly
_MISFIT = 0.5  # noise relative to the readings of a fit that explains nothing
_FREE = 0.5  # half width of an interval, relative to the parameter, that leaves it open
_SPANNED = 1e-10  # length of a parameter's column of unit length, less what the others explain, that is rounding
_SHARES = 0.3  # part in a combination of parameters


class _Look(NamedTuple):
    """What one draw of features tells: the error, the step of the parameters [Q], and the covariance's factors."""

    draw: Draw
    step: np.ndarray
    balance: Balance
    noise: np.ndarray  # standard deviation of each field, [F]
    triangle: np.ndarray  # [Q, Q], of the parameters with the fields marginalised
    lengths: np.ndarray  # of their columns, [Q]


def assess(
    setup: Setup,
    goal: Objective,
    weights: Weights,
    family: Family,
    width: int,
    exact: Exact,
    balance: Balance | None = None,
) -> Estimate:
    """`estimate`, or for an inverse problem the same with parameters, noise and intervals; arguments as there.

    `balance` is that of the fit: where the fields were held back, errors are, too, by a looser prior.
    """
    if not is_inverse(setup.problem):
        return estimate(setup, goal, weights, family, width, exact)
    points = error_points(setup)
    precision = loosened(balance.precision, balance.told) if balance is not None else ()
    looks = [_look(setup, goal, weights, family, width, exact, points, i, precision) for i in (0, 1)]
    found = combined(setup, goal, weights, [look.draw for look in looks])
    size = root_mean_squares(np.asarray(field_values(goal, weights, points)))
    spread = _spread(setup.problem, looks[0].balance)
    noise = spread * looks[0].noise / np.where(size > 0, size, 1.0)
    own = np.array(list(found.errors.values()))
    trust, reason = _trust(found, looks[0].balance, float(np.max(noise)), float(np.max(own)), bool(precision))
    quantile = _quantile(setup.problem, looks[0].balance)
    halves = np.hypot(quantile * _deviations(looks[0], spread), 2 * np.max(np.abs([look.step for look in looks]), axis=0))
    open_ = _open(setup.problem, weights, looks[0], spread)
    return replace(
        found,
        errors=dict(zip(found.errors, np.hypot(own, noise).tolist(), strict=True)),
        trust=trust,
        reason=reason,
        rounded=found.rounded or bool(np.max(noise) > np.max(own) and (balance is None or not precision or hides(balance))),
        weights=found.weights._replace(unknown=_stepped(setup.problem, weights, looks[0].step)),
        intervals=_intervals(setup.problem, weights, halves, open_),
        undetermined=tuple(_sentence(setup.problem, names) for names in open_),
    )


def _look(
    setup: Setup,
    goal: Objective,
    weights: Weights,
    family: Family,
    width: int,
    exact: Exact,
    points: Array,
    index: int,
    precision: tuple[float, ...],
) -> _Look:
    problem, seed, dtype = setup.problem, (*setup.seed, 900 + index), setup.dtype
    basis, empty = feature_ansatz(problem, exact, family, width, (*seed, 1), dtype)
    batches, fresh = (draw(goal, setup.counts(width), (*seed, i), dtype, steep=family.steep, gather=True) for i in (2, 3))
    systems = joint_rows(goal, weights, basis, empty, batches)
    nothing = list(coefficients_of(basis, empty).values())
    balance = balanced(goal, weights, systems, batches, fresh, known=nothing if precision else (), precision=precision)
    shifted = residuals(goal, shaken(weights, seed), batches)
    shakes = [(values - rows.residual)[:, :, None] for rows, values in zip(systems, shifted, strict=True)]
    matrices, targets, scales = with_prior(stacked(systems, balance.scales), precision, nothing)
    above = _above(goal, systems, shakes, balance.scales)
    shakes += [jnp.zeros_like(target) for target in targets[len(shakes) :]]
    both = [jnp.concatenate(pair, axis=2) for pair in zip(targets, shakes, strict=True)]
    solved, rounding = least_squares(matrices, both, scales)[0].T
    fields, count = len(solved) - len(weights.unknown), jnp.ones((), dtype)
    state, shaky = (add_coefficients(basis, empty, c[:fields], count) for c in (solved, rounding))
    rho, nl = _left(goal, weights, basis, empty, state, solved, fresh, balance.scales, exact)
    values, rounded = (np.asarray(problem.folded(points, values_at(basis, each, points))) for each in (state, shaky))
    upper, norms = (np.asarray(part) for part in triangle(matrices, targets, scales))
    noise = _field_noise(problem, basis, empty, points[:: max(len(points) // _POINTS, 1)], upper, norms)
    seen = Draw(basis, state, values, ROUNDING * root_mean_squares(rounded), rho, nl, above=above)
    block = upper[fields : len(norms), fields : len(norms)]
    return _Look(seen, np.asarray(solved[fields:]), balance, noise, block, norms[fields:])


def _above(goal: Objective, systems: Sequence[Rows], shakes: Sequence[Any], scales: Sequence[Any]) -> float:
    """`Draw.above` of the equations and conditions, as readings are missed by their noise."""
    ruled = [i for i, term in enumerate(goal.terms) if not observes(term)]
    pairs = [np.stack([-np.asarray(systems[i].residual), np.asarray(shakes[i])[:, :, 0]], axis=2) for i in ruled]
    shown = [against_rounding(systems[i], pair) for i, pair in zip(ruled, pairs, strict=True)]
    return norms_ratio(shown, [scales[i] for i in ruled])


def _left(
    goal: Objective,
    weights: Weights,
    basis: Together,
    empty: tuple,
    state: tuple,
    step: Array,
    fresh: Sequence[Any],
    scales: Sequence[Any],
    exact: Exact,
) -> tuple[float, float]:
    """ρ and nl of `estimate`: what the step leaves of equations and conditions at new points, linearised and as they are."""
    ruled = [i for i, term in enumerate(goal.terms) if not observes(term)]
    own = [scales[i] for i in ruled]
    checks = joint_rows(goal, weights, basis, empty, fresh)
    before = max(residual_norm([checks[i].residual for i in ruled], own), 1e-300)
    after = residual_norm([left_by(checks[i], step) for i in ruled], own)
    corrected = objective(goal.problem, Sum(goal.approximation, basis), exact)
    unknown = _stepped(goal.problem, weights, np.asarray(step[len(step) - len(weights.unknown) :]))
    values = residuals(corrected, Weights((weights.state, state), unknown), fresh)
    return finite(after / before), finite(residual_norm([values[i] for i in ruled], own) / before)


def _field_noise(
    problem: Problem, basis: Together, state: tuple, points: Array, upper: np.ndarray, norms: np.ndarray
) -> np.ndarray:
    """Root mean square over points of each field's standard deviation, [F]."""
    width, start, found = len(norms), 0, []
    functions = {name: np.asarray(block) for name, block in functions_at(basis, state, points).items()}
    for name in basis.fields:
        columns = slice(start, start + functions[name].shape[1])
        right = np.zeros((width, len(points)))
        right[columns] = (functions[name] / norms[columns]).T
        solved = scipy.linalg.solve_triangular(upper[:width, :width], right, trans=1, check_finite=False)
        found.append(np.linalg.norm(solved, axis=0))
        start = columns.stop
    return root_mean_squares(np.asarray(problem.folded(points, jnp.asarray(found).T)))


# --- what the factors say --------------------------------------------------------------------------------------------


def _sigma_given(problem: Problem) -> bool:
    return any(isinstance(term.condition, Data) and term.condition.sigma is not None for term in problem.terms)


def _spread(problem: Problem, balance: Balance) -> float:
    """One standard deviation of the rows, in what they were divided by: from the misfit where no sigma was given."""
    if _sigma_given(problem) or not balance.noise:
        return float(balance.noise > 0)
    return float(np.sqrt(balance.misfit / max(balance.freedom, 1.0)))


def _deviations(look: _Look, spread: float) -> np.ndarray:
    """Standard deviations of the parameters' search coordinates, [Q]."""
    inverse = pseudo_inverse(look.triangle, 1e-15)
    return spread * np.linalg.norm(inverse, axis=1) / look.lengths


def _quantile(problem: Problem, balance: Balance) -> float:
    """Of Student's t, with the readings to spare as degrees of freedom; of the normal distribution where sigma was given."""
    freedom = np.inf if _sigma_given(problem) else max(balance.freedom, 1.0)
    probability = (1 + _LEVEL) / 2
    return float(scipy.special.ndtri(probability) if np.isinf(freedom) else scipy.special.stdtrit(freedom, probability))


def _intervals(
    problem: Problem, weights: Weights, halves: np.ndarray, open_: Sequence[tuple[str, ...]]
) -> dict[str, tuple[float, float]]:
    """Intervals from their half widths in search coordinates, [Q]; the whole line for parameters that nothing fixes."""
    found, free = {}, {name for names in open_ for name in names}
    for (name, parameter), half in zip(problem.parameters.items(), halves, strict=True):
        value, half = float(weights.unknown[name]), np.inf if name in free else half
        with np.errstate(over="ignore"):
            low, high = (float(np.exp(end) if parameter.positive else end) for end in (value - half, value + half))
        found[name] = low, high
    return found


def _stepped(problem: Problem, weights: Weights, step: np.ndarray) -> dict[str, Array]:
    return {name: weights.unknown[name] + step[i] for i, name in enumerate(problem.parameters)}


def _open(problem: Problem, weights: Weights, look: _Look, spread: float) -> list[tuple[str, ...]]:
    """The parameters of each combination that the problem does not fix."""
    names = list(problem.parameters)
    if not names:
        return []
    units = look.lengths * np.array([_unit(problem, weights, name) for name in names])
    _, values, directions = svd(look.triangle * units, full=True)
    wide = _quantile(problem, look.balance) * spread / np.maximum(values, 1e-300) > _FREE
    free = list(directions[wide])
    if not free:
        _, shares, spanned = svd(look.triangle, full=True)
        free = [direction / units for direction in spanned[shares < _SPANNED]]
    parts = [np.abs(direction) / np.max(np.abs(direction)) for direction in free]
    return [tuple(name for name, part in zip(names, each, strict=True) if part > _SHARES) for each in parts]


def _unit(problem: Problem, weights: Weights, name: str) -> float:
    """What counts as much of a parameter's search coordinate: one of a logarithm, else the parameter itself."""
    parameter = problem.parameters[name]
    return 1.0 if parameter.positive else max(abs(float(weights.unknown[name])), abs(parameter.initial), 1e-300)


def _sentence(problem: Problem, names: Sequence[str]) -> str:
    if len(names) == 1:
        return (
            f"{problem.name}: the parameter {listing(names)} is not determined: values far apart fit equally well. "
            "Add observations that respond to it (Data), or give it in constants=."
        )
    return (
        f"{problem.name}: the parameters {listing(names)} are determined only in combination: changed together they fit equally "
        "well. Give one of them in constants=, or add observations (Data) that tell them apart."
    )


def _trust(found: Estimate, balance: Balance, noise: float, own: float, held: bool) -> tuple[Trust, str]:
    about = f"{balance.noise:.1g} of the readings, {max(balance.freedom, 0.0):.0f} of them to spare"
    if balance.noise > _MISFIT:
        return Trust.UNKNOWN, f"the fit misses the readings by {about}"
    if noise > own:
        if held:
            return Trust.ROUGH, f"noise of the readings accounts for the error ({about}), which tell how smooth fields are, too"
        if balance.spent > SPENT:
            return Trust.ROUGH, f"noise of the readings accounts for the error ({about}), and fields are free between them"
        trust = Trust.TRUSTED if balance.freedom > _FEW else Trust.ROUGH
        return trust, f"noise of the readings accounts for the error ({about})"
    return found.trust, found.reason
