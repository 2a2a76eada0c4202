"""Inverse problems: fields and unknown parameters from one least-squares problem, readings weighed by their noise.

Every term is linearised in the coefficients c of the fields' linear layer and in the parameters' search coordinates λ,

    [∂r/∂c  ∂r/∂λ] (δc, δλ) = -r,

each row divided by its standard deviation, as `weighing` finds it from the fit itself, and the rows are weighed again
(iteratively reweighted least squares).

Features that cannot meet equations and readings at once may be drawn to other fields, which they make better solutions of: what
is left of the equations falls from round to round, so they grow heavier, and the readings are missed by more than their noise.
So, of the rounds with a prior, the one counts that is `torn` least.

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
from jax import Array

from .approximation import Approximation, Together
from .evidence import coefficients_of, roots
from .families import Family, feature_ansatz
from .features import Fit, Setup, about, fit, stationary
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
)
from .terms import Term
from .weighing import HEAVIEST, LIKELY, Balance, balanced, changed, hides, likely, observes, stacked, torn, with_prior

_GROWTH = 30.0  # of the equations' weight from one round to the next
_ROUNDS = 5, 12  # of weighing anew, and where fields are held back
_GROWING, _PATIENCE = 4, 2  # rounds in which the equations grow heavier, and without a better one that end them, with a prior
_READINGS = 30.0  # misfit of readings that counts as much as a residual of one, when families are compared; one that is not
# likely counts whole
_CONVERGED = 1e-6  # share of the sum of squares that a step may still gain
_ROUNDED = 1e-12  # misfit and residual that weights no longer matter below
_DAMPING = 1e-7  # of parameters, relative to their columns
_BOUND = 2.3  # longest step of a logarithm
_FACTORS = (0.1, 10.0, 0.01, 100.0)  # of the parameters' initial values, where those lead nowhere


def is_inverse(problem: Problem) -> bool:
    """Whether parameters are unknown, or readings are part of the problem."""
    return bool(problem.parameters) or any(map(observes, problem.terms))


# --- rows ------------------------------------------------------------------------------------------------------------


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


def _damped(matrices: list, targets: list, scales: list, count: int) -> tuple[list, list, list]:
    """With a row that holds back each of the last `count` unknowns a little: the parameters, where the others can stand in."""
    if not count:
        return matrices, targets, scales
    squares = [jnp.sum((m[:, :, -count:] * s[None, :, None]) ** 2, axis=(0, 1)) for m, s in zip(matrices, scales, strict=True)]
    lengths = jnp.sqrt(sum(squares[1:], squares[0]))
    rows = jnp.zeros((count, 1, matrices[0].shape[2]), lengths.dtype)
    rows = rows.at[jnp.arange(count), 0, jnp.arange(-count, 0)].set(_DAMPING * lengths)
    return [*matrices, rows], [*targets, jnp.zeros((count, 1, 1), lengths.dtype)], [*scales, np.ones(1)]


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
    known = start if isinstance(start, Identified) and likely(start.balance) else None
    found = _identified(setup, family, width, index, known, setup.unknown())
    if known is None and not likely(found.balance):
        for unknown in _other_starts(setup):
            if late():
                break
            new = _identified(setup, family, width, index, None, unknown)
            found = new if new.held_out < found.held_out else found
            if likely(found.balance):
                break
    return found


def held_back(found: Fit | Identified) -> bool:
    """Whether readings are noisy enough for a prior of the fields."""
    return isinstance(found, Identified) and bool(found.balance.precision)


def noise_bound(found: Fit | Identified) -> bool:
    """Whether noise of the readings hides what better features could gain."""
    return isinstance(found, Identified) and likely(found.balance) and hides(found.balance)


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
        balance, most = start.balance, HEAVIEST
    known = None if start is None else start.balance
    rounds: list[tuple[Weights, Balance]] = []
    while True:
        weights = descended(goal, weights, basis, state, batches, balance, setup.steps)
        if not balance.precision:
            here = Identified(family, basis, weights, np.inf, balance)
            weights = about(goal, Weights(state, weights.unknown), basis, batches, here, balance.scales)
            weights = descended(goal, weights, basis, state, batches, balance, setup.steps)
        before, most = balance, min(_GROWTH * most, HEAVIEST)
        balance = weighed(weights, most)
        rounds.append((weights, balance))
        if _ended([each for _, each in rounds], before, known):
            break
    left = balance.residual
    if balance.precision:
        apart = torn([each for _, each in rounds], known)
        left, best = min((apart[i], i) for i, (_, each) in enumerate(rounds) if each.precision)
        weights, balance = rounds[best]
    held_out = float(np.hypot(left, balance.noise / (_READINGS if balance.noise < LIKELY[0] else 1)))
    return Identified(family, basis, weights, held_out if np.isfinite(held_out) else np.inf, balance)


def _ended(rounds: Sequence[Balance], before: Balance, known: Balance | None) -> bool:
    """Whether no more rounds are worth while; `before` is what the last one was weighed by, `known` what the first one was."""
    last, held = rounds[-1], bool(rounds[-1].precision)
    if not changed(before, last) or max(last.noise, last.residual) < _ROUNDED or len(rounds) >= _ROUNDS[held]:
        return True
    growing = _GROWING if known is None else 0
    return held and len(rounds) > growing and len(rounds) - 1 - int(np.argmin(torn(rounds, known))) >= _PATIENCE


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
