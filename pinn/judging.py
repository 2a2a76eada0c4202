"""The error of a solution: over the whole domain at once, or slab by slab where it was solved so.

In slabs, the error that is there at the end of one is where that of the next begins: early errors may grow. Of each slab's
correction is taken what new points confirm, or noise of one slab would be what the next one has to explain; what it may miss
is added up beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from numpy.typing import NDArray

from .approximation import Approximation
from .estimate import ROUNDING, Draw, Estimate, combined, error_points, finite, in_doubt, residual_norm, root_mean_squares, shaken
from .families import RICHER, Family
from .features import Setup
from .handover import is_handover
from .history import Clock
from .levels import judge_steps
from .loss import Batch, Objective, Weights, given_residuals, summed_values, values_at, with_given
from .rows import add_coefficients, coefficient_count, least_squares, linearised, row_scales
from .slabs import March, Slab, begin, handed_over, must_change, next_slab, slab_leaves, slab_points, take, trimmed, with_run
from .timeline import Timeline, timeline
from .uncertainty import assess

_OVERRUN = 0.05  # of the time limit, for judging
_MOST = 0.9  # share of a residual that a correction leaves, beyond which it tells nothing of how much is missing


def judge(setup: Setup, goal: Objective, weights: Weights, family: Family, width: int, clock: Clock | None = None) -> Estimate:
    """The error estimate: over the whole domain at once, or slab by slab where the setup has edges, with their features.

    Where the time of a clock is used up by the first draw of features, slab by slab, there is no second one, and no trust;
    where it does not suffice for that one, the rest of the slabs is not judged.
    """
    if not setup.edges and setup.level is None:
        return assess(setup, goal, weights, family.scaled(RICHER), int(1.5 * width), setup.exact)
    time = timeline(setup.problem, setup.exact)
    assert time is not None
    if setup.level is not None:
        return judge_steps(setup, time, goal, weights)
    points, limit = error_points(setup), clock.limit if clock is not None and clock.limit is not None else math.inf
    began = clock.seconds if clock is not None else 0.0

    def left() -> float:
        return limit * (1 + _OVERRUN) - clock.seconds if clock is not None else math.inf

    first, end = _error_march(setup, goal, weights, time, points, 0, left)
    if end < time.end:
        reason = f"there was no time to judge it beyond {setup.problem.domain.coordinates[time.axis]} = {end:.3g}"
        return replace(combined(setup, goal, weights, [first]), reason=reason)
    draws, each = [first], clock.seconds - began if clock is not None else 0.0
    for index in (1, 2):
        if left() > each and (index == 1 or in_doubt(draws)):
            another, end = _error_march(setup, goal, weights, time, points, index, left)
            draws += [another] if end == time.end else []
    return combined(setup, goal, weights, draws)


def _error_march(
    setup: Setup, goal: Objective, weights: Weights, time: Timeline, points: Array, index: int, left: Callable[[], float]
) -> tuple[Draw, float]:
    """The error equation J(u) e = -F(u) solved slab by slab, the error at the end of one carried to the next, and its end.

    So is what rounding of the weights causes, in a march of its own: early errors may grow. The march ends where no time is
    `left`; from there on the error counts as it is there.
    """
    setup = replace(setup, seed=(*setup.seed, 900 + index))
    state, moved = jax.tree.map(np.asarray, (weights.state, shaken(weights, setup.seed).state))
    judged = goal.approximation, state, moved
    march = shaking = begin(setup, time)
    norms, free = np.zeros(4), np.zeros((2, len(setup.problem.fields)))
    spread = free
    for drawn, end in zip(setup.drawn, setup.edges[1:], strict=True):
        if march.edges[-1] > time.start and left() < 0:
            break
        if drawn.richer() != march.features or must_change(march):
            march, shaking = (with_run(setup, each, time, drawn.richer()) for each in (march, shaking))
        new = _error_slab(setup, march, shaking, judged, time, end)
        free = free + new.unresolved**2
        spread = spread + free * (end - march.edges[-1]) / (time.end - time.start)
        march, shaking, norms = take(new.error), take(new.rounding), np.hypot(norms, new.norms)
    end = march.edges[-1]
    now = points.at[:, time.axis].min(end)
    if end < time.end:
        spread = spread + free * (time.end - end) / (time.end - time.start)
        march, shaking = (_rest(each, time) for each in (march, shaking))
    march, shaking = trimmed(march), trimmed(shaking)
    whole, rest, full, floor = norms
    rho, nl = (finite(each / max(whole, 1e-300)) for each in (rest, full))
    values, rounding = (np.asarray(summed_values(each.slabs, each.runs, now)) for each in (march, shaking))
    unresolved, noise = np.sqrt(spread)
    unresolved = np.hypot(unresolved, _further(rest, whole, floor) * root_mean_squares(values))
    noise = np.hypot(noise, root_mean_squares(rounding))
    return Draw(march.slabs, march.weights.state, values, noise, rho, nl, unresolved, whole / max(floor, 1e-300)), end


class _Judged(NamedTuple):
    """One slab of the error and of rounding.

    Attributes:
        error, rounding: the slabs.
        norms: of what is asked, of what of it is left, linearised and in full, and of what rounding makes of it, [4].
        unresolved: root mean square of what was found of both but not taken, since new points do not agree, [2, F].
    """

    error: Slab
    rounding: Slab
    norms: np.ndarray
    unresolved: np.ndarray


def _rest(march: March, time: Timeline) -> March:
    """The march with one more slab, to the end, in which it is zero."""
    rest = next_slab(march, time, time.end)
    return rest.solved(rest.state).march


def _error_slab(
    setup: Setup, march: March, noise: March, judged: tuple[Approximation, Any, Any], time: Timeline, end: float
) -> _Judged:
    """Solve for one slab of the error, and of rounding: what the residual there makes, beside what is handed over.

    `judged` is the solution, its state, and that state with every weight changed by a rounding error.
    """
    slab, shaking = next_slab(march, time, end), next_slab(noise, time, end)
    assert march.features is not None
    goal, near, marches = slab.goal, march.features.family.steep, (slab.march.runs, shaking.march.runs)
    solution, state, moved = judged
    weights, k = Weights(slab.state, {}), len(march.edges) - 1

    def read(seed: int) -> tuple[tuple[Batch, ...], list[NDArray], list[NDArray]]:
        """Points, what is asked of e and of rounding there, and by how much rounding changes the residuals.

        What is asked is [n, K, 4] by term: of e by the residual, then by what is handed over; the same of rounding.
        """
        batches = slab_points(setup, slab, seed, near)
        leaves = slab_leaves(goal, solution, (state, moved), k, batches)
        residuals, after = (given_residuals(goal, with_given(batches, each)) for each in leaves)
        changes = [np.subtract(a, b) for a, b in zip(after, residuals, strict=True)]
        wanted = [np.stack([-np.asarray(r), 0 * c, c, 0 * c], axis=2) for r, c in zip(residuals, changes, strict=True)]
        for term, batch, asked in zip(goal.terms, batches, wanted, strict=True):
            if is_handover(term):
                alone = batch._replace(given=0 * batch.given)
                asked[:, :, 1], asked[:, :, 3] = handed_over(goal, term, alone, march.slabs, marches, k)
        return with_given(batches, leaves[0]), wanted, changes

    def solved() -> tuple[NDArray, NDArray, NDArray, NDArray]:
        batches, wanted, _ = read(2)
        systems = linearised(goal, weights, slab.basis, slab.state, batches)
        scales = row_scales(systems, goal.terms)
        found = np.asarray(least_squares([rows.matrix for rows in systems], wanted, scales)[0]).T
        points = batches[0].points
        sizes = np.array([root_mean_squares(np.asarray(values_at(slab.basis, with_added(c), points))) for c in found[::2]])

        fresh, wanted, changes = read(3)
        checks = linearised(goal, weights, slab.basis, slab.state, fresh)
        steps = [np.stack([rows.matrix @ c for c in found], axis=2) for rows in checks]
        shares = np.array([_share([w[:, :, i] for w in wanted], [s[:, :, i] for s in steps], scales) for i in (0, 2)])
        error, rounding = (shares[i] * found[2 * i] + found[2 * i + 1] for i in (0, 1))
        asked = [w[:, :, 0] + w[:, :, 1] for w in wanted]
        whole = residual_norm(asked, scales)
        given = [shares[0] * s[:, :, 0] + s[:, :, 1] for s in steps]
        left = full = residual_norm([w - s for w, s in zip(asked, given, strict=True)], scales)
        if not setup.problem.is_linear:
            ahead = linearised(goal, Weights(with_added(error), {}), None, (), fresh)
            full = residual_norm([rows.residual - w[:, :, 1] for rows, w in zip(ahead, wanted, strict=True)], scales)
        norms = np.array([whole, left, full, ROUNDING * residual_norm(changes, scales)])
        return error, rounding, norms, (1 - shares)[:, None] * sizes

    def with_added(coefficients: NDArray) -> tuple:
        return add_coefficients(slab.basis, slab.state, coefficients, np.ones((), coefficients.dtype))

    nothing = np.zeros(coefficient_count(slab.basis, slab.state), setup.dtype)
    like = nothing, nothing, np.zeros(4), np.zeros((2, len(slab.basis.fields)))
    key = "slab's error", setup.seed[-1], k, end, march.features
    coefficients, rounding, norms, unresolved = setup.journal.piece(key, solved, like)
    new, shaken_new = slab.solved(with_added(coefficients)), shaking.solved(with_added(rounding))
    return _Judged(new, shaken_new, norms, unresolved)


def _share(wanted: Sequence[Any], found: Sequence[Any], scales: Sequence[Any]) -> float:
    """The share of a change of the residuals, [n, K] by term, that comes closest to the one wanted; between 0 and 1.

    At points other than those of its fit, what features make of a residual that they do not resolve is noise.
    """
    pairs = [(np.asarray(w) * s, np.asarray(f) * s) for w, f, s in zip(wanted, found, scales, strict=True)]
    along, size = sum(float(np.sum(w * f)) for w, f in pairs), sum(float(np.sum(f * f)) for _, f in pairs)
    return float(np.clip(along / size, 0, 1)) if size > 0 else 1.0


def _further(left: float, before: float, noise: float) -> float:
    """What further corrections would find, in sizes of one: ρ + ρ² + … = ρ / (1 - ρ), if each left as much as this one, ρ.

    Features too much like those of the solution, or points too few, see a part of the error alone. Of the residual that is left
    at new points, what `noise` of rounding makes counts as none.
    """
    ratio = min(np.sqrt(max(left**2 - noise**2, 0.0)) / max(before, 1e-300), _MOST)
    return float(ratio / (1 - ratio))
