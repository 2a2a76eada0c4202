"""How rows are weighed against each other where readings may be noisy.

Each row is divided by its standard deviation: readings by their noise s, equations and conditions by η √N, of what is left of
them at new points, η, and how many rows they are, N. Both come out of a fit, s by generalised cross-validation. So clean readings
are met as closely as the equations are, and noisy ones are not met at the cost of the equations: s / (η √N) grows, up to 10³,
until the equations act as constraints.

Noise is another at each reading; what features leave of an equation is not, and its N rows together count as one. Divided by η
alone, they led to parameters of which features can make better solutions, against what the readings say. Without parameters
there is nothing to lead, and lighter rows would let fields follow the noise: there N is 1.

Where readings are noisy and the equations leave fields free, a conductivity or a source, the fields are held back by a prior
that the readings tell the width of (`evidence`): noise allows far less than features can follow. Where the equations fix the
fields but for parameters there is nothing to hold back, and a prior would say of the parameters what no reading does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.linalg

from .conditions import Data
from .evidence import most_probable, prior_rows, roots
from .features import term_sizes
from .loss import Batch, Objective, Weights, residuals
from .rows import Rows, triangle
from .terms import Term
from .values import Points

HEAVIEST = 1e3  # how much smaller the equations' deviations may be than the readings' noise, both relative
SPENT = 8.0  # readings that a fit spends on fields that the equations leave free, from which on those are held back
LIKELY = 0.5, 0.1  # misfit of readings and residual of a fit that needs no other start
_HIDDEN = 1e3  # noise, in residuals, that leaves nothing to gain
_NOISY, _SURE = 1e-6, 10.0  # relative noise of readings from which on fields are held back; in residuals, where it is not given


def observes(term: Term) -> bool:
    """Whether a term compares the fields with readings, which may be noisy: `Data`, or points that bring values along."""
    if not isinstance(term.place, Points):
        return False
    return isinstance(term.condition, Data) or len(term.place.columns) > len(term.expression.coordinates)


class Balance(NamedTuple):
    """How rows are weighed against each other.

    Attributes:
        scales: one over the standard deviation of each term's components, [K] each.
        noise: s, root mean square noise of the readings relative to their size; 0 where there are none.
        residual: η, of equations and conditions at new points, relative.
        freedom: readings, less what the fit spends on them.
        spent: readings that the fit spends.
        misfit: sum of squares of the readings' rows.
        missed, size: how far each component read is missed, by generalised cross-validation, and its size, [ΣK] both.
        precision, told: of each field's coefficients, α / P and γ of `evidence`; none where fields are not held back.
    """

    scales: tuple[np.ndarray, ...]
    noise: float
    residual: float
    freedom: float
    spent: float
    misfit: float
    missed: np.ndarray
    size: np.ndarray
    precision: tuple[float, ...] = ()
    told: tuple[float, ...] = ()


def balanced(
    goal: Objective,
    weights: Weights,
    systems: Sequence[Rows],
    batches: Sequence[Batch],
    fresh: Sequence[Batch],
    most: float = HEAVIEST,
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
        return Balance(scales, 0.0, residual, 0.0, 0.0, 0.0, np.zeros(0), np.zeros(0))
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
    missed = {}
    for i in read:
        own = misfits[i] / np.maximum(1 - spent[i] / counts[i], 1e-3)
        missed[i] = np.where(counts[i] - spent[i] < 3, pooled * sizes[i], own)
        sigmas[i] = _sigma(goal.terms[i], missed[i], sizes[i])
    scales = _scales(goal, sizes, sigmas, shared, most)
    misfit = float(sum(np.sum(counts[i] * (misfits[i] * scales[i]) ** 2) for i in read))
    missing, size = (np.concatenate([each[i] for i in read]) for each in (missed, sizes))
    noise, freedom = _relative(sigmas, sizes), total - used
    return Balance(scales, noise, residual, freedom, used, misfit, missing, size, precision, told)


def _noisy(goal: Objective, noise: float, residual: float) -> bool:
    """Whether readings are known to be noisy: features that are too few miss readings, too, but equations as well."""
    given = all(term.condition.sigma is not None for term in goal.terms if isinstance(term.condition, Data))
    return noise > _NOISY and (given or _SURE * residual < noise < LIKELY[0])


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


def leverages(upper: np.ndarray, norms: np.ndarray, rows: Rows, scale: np.ndarray) -> np.ndarray:
    """How much of each row the fit spends on it: the diagonal of A (AᵀA)⁻¹ Aᵀ, [n, K]."""
    width = len(norms)
    scaled = np.asarray(rows.matrix) * scale[None, :, None] / norms
    flat = scaled.reshape(-1, width).T
    solved = scipy.linalg.solve_triangular(upper[:width, :width], flat, trans=1, check_finite=False)
    return np.sum(solved**2, axis=0).reshape(rows.residual.shape)


def torn(rounds: Sequence[Balance], known: Balance | None = None) -> list[float]:
    """How far each round is from meeting equations and readings at once, relative: what it leaves of the equations, and by how
    much it misses the readings further than the fit that misses them least, of the rounds and one that was `known` before.
    """
    left = [each.residual for each in rounds]
    compared = [*rounds] if known is None else [*rounds, known]
    missed, size = np.array([each.missed for each in compared]), np.array([each.size for each in compared])
    if not missed.size:
        return left
    least, columns = np.argmin(missed, axis=0), np.arange(missed.shape[1])
    further = (missed[: len(rounds)] ** 2 - missed[least, columns] ** 2) / size[least, columns] ** 2
    return np.hypot(left, np.sqrt(np.mean(further, axis=1))).tolist()


def hides(balance: Balance) -> bool:
    """Whether the equations act as constraints beside the noise of the readings."""
    return balance.noise > _HIDDEN * balance.residual


def likely(balance: Balance) -> bool:
    return balance.noise < LIKELY[0] and balance.residual < LIKELY[1]


def changed(before: Balance, after: Balance) -> bool:
    """Whether the weights of rows, relative to each other, have changed by more than a factor of 1.5, or priors by a tenth."""
    if len(before.precision) != len(after.precision):
        return True
    ratios = np.concatenate([new / old for new, old in zip(after.scales, before.scales, strict=True)])
    held = np.abs(np.log(np.divide(after.precision, before.precision)))
    return bool(np.max(ratios) > 1.5 * np.min(ratios) or np.max(held, initial=0.0) > 0.1)
