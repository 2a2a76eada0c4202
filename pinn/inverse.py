"""Inverse problems: fields and unknown parameters from one least-squares problem, readings weighed by their noise.

Every term is linearised in the coefficients c of the fields' linear layer and in the parameters' search coordinates λ,

    [∂r/∂c  ∂r/∂λ] (δc, δλ) = -r,

each row divided by its standard deviation: readings by their noise s, equations and conditions by η √N, of what is left of them
at new points, η, and how many rows they are, N. Both come out of the fit itself, s by generalised cross-validation, and the rows
are weighed again (iteratively reweighted least squares). So clean readings are met as closely as the equations are, and noisy
ones are not met at the cost of the equations: s / (η √N) grows, up to 10³, until the equations act as constraints.

Noise is another at each reading; what features leave of an equation is not, and its N rows together count as one. Divided by η
alone, they led to parameters of which features can make better solutions, against what the readings say. Without parameters
there is nothing to lead, and lighter rows would let fields follow the noise: there N is 1.

Where readings are noisy and the equations leave fields free, a conductivity or a source, the fields are held back by a prior
that the readings tell the width of (`evidence`): noise allows far less than features can follow. Where the equations fix the
fields but for parameters there is nothing to hold back, and a prior would say of the parameters what no reading does.

Fields that first follow the readings, while the equations weigh little, lead to parameters from which a solution of the
equations would not (generalised profiling; Ramsay et al., J. R. Stat. Soc. B 69 (2007) 741).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax import Array

from .approximation import Approximation, Together
from .conditions import Data
from .evidence import coefficients_of, most_probable, prior_rows, roots
from .families import Family, feature_ansatz
from .features import Fit, Setup, about, fit, stationary, term_sizes
from .loss import Batch, Objective, Weights, by_chunks, draw, objective, residuals
from .problem import Problem
from .rows import (
    Rows,
    add_coefficients,
    correction,
    least_squares,
    linearised,
    remaining,
    row_scales,
    scattered,
    squares,
    triangle,
)
from .terms import Term
from .values import Points

_HEAVIEST = 1e3  # how much smaller the equations' deviations may be than the readings' noise, both relative
_GROWTH = 30.0  # of that ratio from one round to the next
_ROUNDS = 5, 12  # of weighing anew, and where fields are held back
_READINGS = 30.0  # misfit of readings that counts as much as a residual of one, when families are compared; one that is not
# likely counts whole
_CONVERGED = 1e-6  # share of the sum of squares that a step may still gain
_HIDDEN = 1e3  # noise, in residuals, that leaves nothing to gain
SPENT = 8.0  # readings that a fit spends on fields that the equations leave free, from which on those are held back
_NOISY, _SURE = 1e-6, 10.0  # relative noise of readings from which on fields are held back; in residuals, where it is not given
_ROUNDED = 1e-12  # misfit and residual that weights no longer matter below
_DAMPING = 1e-7  # of parameters, relative to their columns
_BOUND = 2.3  # longest step of a logarithm
_LIKELY = 0.5, 0.1  # misfit of readings and residual of a fit that needs no other start
_FACTORS = (0.1, 10.0, 0.01, 100.0)  # of the parameters' initial values, where those lead nowhere


def observes(term: Term) -> bool:
    """Whether a term compares the fields with readings, which may be noisy: `Data`, or points that bring values along."""
    if not isinstance(term.place, Points):
        return False
    return isinstance(term.condition, Data) or len(term.place.columns) > len(term.expression.coordinates)


def is_inverse(problem: Problem) -> bool:
    """Whether parameters are unknown, or readings are part of the problem."""
    return bool(problem.parameters) or any(map(observes, problem.terms))


# --- rows ------------------------------------------------------------------------------------------------------------


class Balance(NamedTuple):
    """How rows are weighed against each other.

    Attributes:
        scales: one over the standard deviation of each term's components, [K] each.
        noise: s, root mean square noise of the readings relative to their size; 0 where there are none.
        residual: η, of equations and conditions at new points, relative.
        freedom: readings, less what the fit spends on them.
        spent: readings that the fit spends.
        misfit: sum of squares of the readings' rows.
        precision, told: of each field's coefficients, α / P and γ of `evidence`; none where fields are not held back.
    """

    scales: tuple[np.ndarray, ...]
    noise: float
    residual: float
    freedom: float
    spent: float
    misfit: float
    precision: tuple[float, ...] = ()
    told: tuple[float, ...] = ()


class Identified(NamedTuple):
    """A solved set of features and parameters."""

    family: Family
    approximation: Approximation
    weights: Weights
    held_out: float
    balance: Balance


def joint_rows(goal: Objective, weights: Weights, basis: Together, state: tuple, batches: Sequence[Batch]) -> tuple[Rows, ...]:
    """Every term linearised: a column for each new function, then one for each unknown parameter."""
    systems = linearised(goal, weights, basis, state, batches)
    if not weights.unknown:
        return systems
    slopes = [_unknown_slopes(goal, term, weights, batch) for term, batch in zip(goal.terms, batches, strict=True)]
    return tuple(
        rows._replace(matrix=jnp.concatenate([rows.matrix, slope], axis=2)) for rows, slope in zip(systems, slopes, strict=True)
    )


@partial(jax.jit, static_argnums=(0, 1))
def _unknown_slopes(goal: Objective, term: Term, weights: Weights, batch: Batch) -> Array:
    """The change of a term by each unknown parameter's search coordinate, [n, K, Q]."""

    def one(row: Batch) -> Array:
        slopes = jax.jacfwd(lambda unknown: goal.residual(term, weights._replace(unknown=unknown), row))(weights.unknown)
        return jnp.stack([slopes[name] for name in goal.problem.parameters], axis=1)

    return by_chunks(one, batch)


def moved(goal: Objective, basis: Together, weights: Weights, step: Array, share: float = 1.0) -> Weights:
    """The weights with `share` of a step added: coefficients, then parameters."""
    count = len(weights.unknown)
    coefficients, rest = step[: len(step) - count], step[len(step) - count :]
    unknown = {name: weights.unknown[name] + share * rest[i] for i, name in enumerate(goal.problem.parameters)}
    return Weights(add_coefficients(basis, weights.state, coefficients, jnp.asarray(share, step.dtype)), unknown)


def balanced(
    goal: Objective,
    weights: Weights,
    systems: Sequence[Rows],
    batches: Sequence[Batch],
    fresh: Sequence[Batch],
    most: float = _HEAVIEST,
    known: Sequence[np.ndarray] = (),
    precision: tuple[float, ...] = (),
) -> Balance:
    """The weights of the rows that a fit suggests.

    Args:
        goal, weights: the fit.
        systems, batches: its joint rows, and their points.
        fresh: other points.
        most: largest s / (η √N).
        known: the coefficients that each field has, where they may be held back: how far is found if there is reason to,
            unless a `precision` is given.
    """
    sizes = [np.maximum(size, 1e-300) for size in term_sizes(goal, weights, batches, systems)]
    residual = _left(goal, weights, fresh, sizes)
    ruled = sum(rows.residual.size for term, rows in zip(goal.terms, systems, strict=True) if not observes(term))
    shared = residual * float(np.sqrt(ruled)) if weights.unknown else residual
    read = [i for i, term in enumerate(goal.terms) if observes(term)]
    misfits = {i: np.sqrt(np.mean(np.square(systems[i].residual), axis=0)) for i in read}
    for i in read:
        sizes[i] = np.maximum(sizes[i], misfits[i])
    sigmas = {i: _sigma(goal.terms[i], misfits[i], sizes[i]) for i in read}
    scales = _scales(goal, sizes, sigmas, shared, most)
    if not read:
        return Balance(scales, 0.0, residual, 0.0, 0.0, 0.0)
    upper, norms = (np.asarray(part) for part in triangle(*stacked(systems, scales)))

    def spent_by(upper: np.ndarray) -> dict[int, np.ndarray]:
        return {i: np.sum(leverages(upper, norms, systems[i], scales[i]), axis=0) for i in read}

    spent, told = spent_by(upper), ()
    free = sum(np.sum(s) for s in spent.values()) > SPENT
    if known and not precision and free and _noisy(goal, _relative(sigmas, sizes), residual):
        precision, told = most_probable(upper * np.append(norms, 1.0), known)
    if precision:
        spent = spent_by(_held(upper, norms, roots(precision, known)))
    counts = {i: len(systems[i].residual) for i in read}
    total = sum(counts[i] * len(spent[i]) for i in read)
    used = float(sum(np.sum(s) for s in spent.values()))
    pooled = float(np.sqrt(sum(np.sum((misfits[i] / sizes[i]) ** 2) for i in read) / sum(map(len, spent.values()))))
    pooled /= max(1 - used / total, 1e-3)
    for i in read:
        own = misfits[i] / np.maximum(1 - spent[i] / counts[i], 1e-3)
        found = np.where(counts[i] - spent[i] < 3, pooled * sizes[i], own)
        sigmas[i] = _sigma(goal.terms[i], found, sizes[i])
    scales = _scales(goal, sizes, sigmas, shared, most)
    misfit = float(sum(np.sum(counts[i] * (misfits[i] * scales[i]) ** 2) for i in read))
    return Balance(scales, _relative(sigmas, sizes), residual, total - used, used, misfit, precision, told)


def _noisy(goal: Objective, noise: float, residual: float) -> bool:
    """Whether readings are known to be noisy: features that are too few miss readings, too, but equations as well."""
    given = all(term.condition.sigma is not None for term in goal.terms if isinstance(term.condition, Data))
    return noise > _NOISY and (given or _SURE * residual < noise < _LIKELY[0])


def _held(upper: np.ndarray, norms: np.ndarray, held: np.ndarray) -> np.ndarray:
    """The triangle with rows that hold the first unknowns back."""
    width, count = len(norms), len(held)
    rows = np.eye(count, width) * (held / norms[:count])[:, None]
    return np.asarray(np.linalg.qr(np.vstack([upper[:width, :width], rows]), mode="r"))


def _left(goal: Objective, weights: Weights, fresh: Sequence[Batch], sizes: Sequence[np.ndarray]) -> float:
    values = residuals(goal, weights, fresh)
    terms = zip(goal.terms, values, sizes, strict=True)
    total = sum(float(np.sum(np.mean(np.square(v), axis=0) / size**2)) for term, v, size in terms if not observes(term))
    return float(np.sqrt(total)) if np.isfinite(total) else np.inf


def _sigma(term: Term, found: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    given = term.condition.sigma if isinstance(term.condition, Data) else None
    return np.maximum(found, 1e-15 * sizes) if given is None else np.full_like(found, given)


def _relative(sigmas: dict[int, np.ndarray], sizes: Sequence[np.ndarray]) -> float:
    ratios = np.concatenate([sigma / sizes[i] for i, sigma in sigmas.items()])
    return float(np.sqrt(np.mean(ratios**2)))


def _scales(
    goal: Objective, sizes: Sequence[np.ndarray], sigmas: dict[int, np.ndarray], shared: float, most: float
) -> tuple[np.ndarray, ...]:
    noise = _relative(sigmas, sizes) if sigmas else 1.0
    deviation = noise / np.clip(noise / max(shared, 1e-300), 1.0, most)
    return tuple(1 / sigmas[i] if i in sigmas else 1 / (size * deviation) for i, size in enumerate(sizes))


def stacked(systems: Sequence[Rows], scales: Sequence[np.ndarray]) -> tuple[list, list, list]:
    """Matrices, targets and scales, as `least_squares` takes them."""
    return [rows.matrix for rows in systems], [-rows.residual[:, :, None] for rows in systems], list(scales)


def with_prior(
    stacked: tuple[list, list, list], precision: Sequence[float], known: Sequence[np.ndarray]
) -> tuple[list, list, list]:
    """Rows with those that hold the coefficients back, if they are."""
    if not precision:
        return stacked
    matrices, targets, scales = stacked
    matrix, target, scale = prior_rows(precision, known, matrices[0].shape[2])
    return [*matrices, matrix], [*targets, target], [*scales, scale]


def _damped(matrices: list, targets: list, scales: list, count: int) -> tuple[list, list, list]:
    """With a row that holds back each of the last `count` unknowns a little: the parameters, where the others can stand in."""
    if not count:
        return matrices, targets, scales
    squares = [jnp.sum((m[:, :, -count:] * s[None, :, None]) ** 2, axis=(0, 1)) for m, s in zip(matrices, scales, strict=True)]
    lengths = jnp.sqrt(sum(squares[1:], squares[0]))
    rows = jnp.zeros((count, 1, matrices[0].shape[2]), lengths.dtype)
    rows = rows.at[jnp.arange(count), 0, jnp.arange(-count, 0)].set(_DAMPING * lengths)
    return [*matrices, rows], [*targets, jnp.zeros((count, 1, 1), lengths.dtype)], [*scales, np.ones(1)]


def leverages(upper: np.ndarray, norms: np.ndarray, rows: Rows, scale: np.ndarray) -> np.ndarray:
    """How much of each row the fit spends on it: the diagonal of A (AᵀA)⁻¹ Aᵀ, [n, K]."""
    width = len(norms)
    scaled = np.asarray(rows.matrix) * scale[None, :, None] / norms
    flat = scaled.reshape(-1, width).T
    solved = scipy.linalg.solve_triangular(upper[:width, :width], flat, trans=1, check_finite=False)
    return np.sum(solved**2, axis=0).reshape(rows.residual.shape)


# --- fits ------------------------------------------------------------------------------------------------------------


def fitted(
    setup: Setup,
    family: Family,
    width: int,
    index: int = 0,
    start: Fit | Identified | None = None,
    late: Callable[[], bool] = lambda: False,
) -> Fit | Identified:
    """Features of one family, solved for: the fields alone, or fields and parameters where the problem is inverse.

    `start` is an earlier fit to begin from, of any family. Where parameters lead nowhere, others are tried until it is `late`.
    """
    if not is_inverse(setup.problem):
        return fit(setup, family, width, index, start if isinstance(start, Fit) else None)
    known = start if isinstance(start, Identified) and _likely(start.balance) else None
    found = _identified(setup, family, width, index, known, setup.unknown())
    if known is None and not _likely(found.balance):
        for unknown in _other_starts(setup):
            if late():
                break
            new = _identified(setup, family, width, index, None, unknown)
            found = new if new.held_out < found.held_out else found
            if _likely(found.balance):
                break
    return found


def held_back(found: Fit | Identified) -> bool:
    """Whether readings are noisy enough for a prior of the fields."""
    return isinstance(found, Identified) and bool(found.balance.precision)


def noise_bound(found: Fit | Identified) -> bool:
    """Whether noise of the readings hides what better features could gain."""
    return isinstance(found, Identified) and _likely(found.balance) and found.balance.noise > _HIDDEN * found.balance.residual


def _likely(balance: Balance) -> bool:
    return balance.noise < _LIKELY[0] and balance.residual < _LIKELY[1]


def _other_starts(setup: Setup) -> Iterator[dict[str, Array]]:
    """All parameters' initial values, multiplied by powers of ten."""
    first = setup.unknown()
    for factor in _FACTORS if first else ():
        positive = {name for name, parameter in setup.problem.parameters.items() if parameter.positive}
        yield {name: value + np.log(factor) if name in positive else value * factor for name, value in first.items()}


def _identified(
    setup: Setup, family: Family, width: int, index: int, start: Identified | None, unknown: dict[str, Array]
) -> Identified:
    """Rounds of Gauss-Newton on all rows, weighed anew after each, until the weights stay.

    Where they are not held back, the coefficients are solved for once more as a whole within a round: what fitted the readings
    with wrong parameters is large, and would leave its rounding behind.
    """
    problem, seed = setup.problem, (*setup.seed, index)
    basis, state = feature_ansatz(problem, setup.exact, family, width, (*seed, 1), setup.dtype)
    goal = objective(problem, basis, setup.exact)
    batches = draw(goal, setup.counts(width), (*seed, 2), setup.dtype, steep=family.steep, gather=True)
    fresh = draw(goal, setup.counts(width), (*setup.seed, 7), setup.dtype, steep=family.steep, gather=True)
    weights = Weights(state, unknown)

    def weighed(weights: Weights, most: float) -> Balance:
        known = [] if weights.unknown else list(coefficients_of(basis, weights.state).values())
        return balanced(goal, weights, joint_rows(goal, weights, basis, state, batches), batches, fresh, most, known)

    if start is None:
        systems = linearised(goal, weights, basis, state, batches)
        scales = row_scales(systems, goal.terms)
        coefficients, least = correction(systems, scales)
        if stationary(goal, weights, batches, systems, least, remaining(systems, scales)):
            weights = weights._replace(state=scattered(basis, state, seed))
        else:
            weights = weights._replace(state=add_coefficients(basis, state, coefficients, jnp.ones((), setup.dtype)))
        balance, most = weighed(weights, 1.0), 1.0
    else:
        weights = about(goal, weights._replace(unknown=start.weights.unknown), basis, batches, start, start.balance.scales)
        balance, most = start.balance, _HEAVIEST
    for i in range(_ROUNDS[1]):
        weights = descended(goal, weights, basis, state, batches, balance, setup.steps)
        if not balance.precision:
            here = Identified(family, basis, weights, np.inf, balance)
            weights = about(goal, Weights(state, weights.unknown), basis, batches, here, balance.scales)
            weights = descended(goal, weights, basis, state, batches, balance, setup.steps)
        before, most = balance, min(_GROWTH * most, _HEAVIEST)
        balance = weighed(weights, most)
        settled = not _changed(before, balance) or max(balance.noise, balance.residual) < _ROUNDED
        if settled or i + 1 >= _ROUNDS[bool(balance.precision)]:
            break
    missed = balance.noise / (_READINGS if balance.noise < _LIKELY[0] else 1)
    held_out = float(np.hypot(balance.residual, missed))
    return Identified(family, basis, weights, held_out if np.isfinite(held_out) else np.inf, balance)


def _changed(before: Balance, after: Balance) -> bool:
    """Whether the weights of rows, relative to each other, have changed by more than a factor of 1.5, or priors by a tenth."""
    if len(before.precision) != len(after.precision):
        return True
    ratios = np.concatenate([new / old for new, old in zip(after.scales, before.scales, strict=True)])
    held = np.abs(np.log(np.divide(after.precision, before.precision)))
    return bool(np.max(ratios) > 1.5 * np.min(ratios) or np.max(held, initial=0.0) > 0.1)


def descended(
    goal: Objective,
    weights: Weights,
    basis: Together,
    state: tuple,
    batches: Sequence[Batch],
    balance: Balance,
    steps: int,
) -> Weights:
    """Gauss-Newton on coefficients and parameters, steps halved while the sum of squares does not fall."""
    scales, precision = balance.scales, balance.precision

    def known(weights: Weights) -> list[np.ndarray]:
        return list(coefficients_of(basis, weights.state).values())

    def size(candidate: Weights) -> float:
        values = residuals(goal, candidate, batches)
        total = squares(values, scales)
        if not precision:
            return total
        coefficients = known(candidate)
        held = roots(precision, coefficients) * np.concatenate(coefficients)
        return total + float(held @ held)

    logarithms = np.array([p.positive for p in goal.problem.parameters.values()], bool)
    now = size(weights)
    for _ in range(max(steps, 1)):
        systems = joint_rows(goal, weights, basis, state, batches)
        rows = with_prior(stacked(systems, scales), precision, known(weights))
        solved, left = least_squares(*_damped(*rows, len(logarithms)))
        step, gain = solved[:, 0], now - float(left[0])
        if not gain > _CONVERGED * now:
            break
        longest = float(np.max(np.abs(np.asarray(step[len(step) - len(logarithms) :]))[logarithms], initial=0.0))
        first = min(1.0, _BOUND / max(longest, 1e-300))
        for share in (1.0, 0.5, 0.25, 0.1, 0.02):
            trial = moved(goal, basis, weights, step, first * share)
            new = size(trial)
            if new < now:
                break
        else:
            break
        weights, fell, now = trial, now - new, new
        if first * share == 1.0 and fell < 0.3 * gain:  # rounding is all that is left
            break
    return weights
