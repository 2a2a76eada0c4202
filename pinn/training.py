"""Training without gradients: the least-squares procedure, which searches features and widens them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import pairwise
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from . import sampling
from .derivatives import sin
from .estimate import NO_MEMORY, Estimate, Trust, layers_of, root_mean_squares, unjudged
from .families import GOOD, RICHER, UNRESOLVED, Drawn, Family, candidates, feature_ansatz, search, steepened
from .features import Fit, Setup
from .history import Clock, History, Reading, Record, Status
from .inverse import Identified, fitted, held_back, is_inverse, noise_bound
from .layers import out_of_date, steep_where_driven, toward_walls
from .loss import Objective, Weights, equations_at, field_values, objective
from .memory import if_it_fits
from .space import Level
from .steep import Steep
from .uncertainty import assess

_AGAIN = 20  # families that are tried again with more features, where fewer show nothing
_LOOKS = 3  # for layers
_NOISY = 0.3  # share of the time left after the first fit, which compiles, for a search among features that noisy readings
# tell: more of them tell more
_NONE = 8  # features of a function that is zero
_SHOWS = 0.5  # held-out residual of a solution that shows where layers are
_SHARPENED = 0.5  # held-out residual of features that see layers, in that of those that do not, that is worth it
_HINTS = 0.8  # and of the first of them, for more to be tried
_SHARPER = 0.25  # most power of the number of features that bandwidths grow with
_BEHIND, _HOPELESS = 3.0, 1e3  # a rival kind of features with a held-out residual so many times as large is given up, if it
# falls no faster; and in any case
_MUCH = 0.3  # held-out residual, in that of fewer features, that counts where the estimate means nothing or is of a wrong answer
_NEARER = 0.5  # distance of a solution from another corrected one, in that one's error, from which on it is the better one
_WRONG = 1e-2  # estimated error above which more features are tried as long as the residual falls much


@dataclass(frozen=True)
class Outcome:
    """A trained approximation, and its estimated error; `family` and `width` are the features that judged it or made it.

    `edges` are those of its slabs of time, if it has any, and `drawn` their features; `level` is that of the steps in time
    that judge it.
    """

    goal: Objective
    weights: Weights
    family: Family
    width: int
    estimate: Estimate
    edges: tuple[float, ...] = ()
    drawn: tuple[Drawn, ...] = ()
    level: Level | None = None

    def better_than(self, other: Outcome) -> bool:
        """An estimate that means something before one that does not, then the smaller."""
        return _rank(self.estimate) < _rank(other.estimate)


def _rank(judged: Estimate) -> tuple[bool, float]:
    return judged.trust is Trust.UNKNOWN, judged.worst


def better_of(one: Outcome, other: Outcome) -> Outcome:
    """The better of two by their estimates; but the other one where its estimate is smaller, means nothing, and the correction
    of the first shows that it is nearer.
    """
    first, second = (one, other) if one.better_than(other) else (other, one)
    smaller = second.estimate.worst < first.estimate.worst
    return second if smaller and _vouches(first, second) else first


def _vouches(known: Outcome, other: Outcome) -> bool:
    """Whether a solution is nearer to another one with its correction than that one was, by half at least."""
    problem, weights = known.goal.problem, known.estimate.weights
    points = jnp.asarray(sampling.measure_points(problem.domain))
    corrected = field_values(replace(known.goal, approximation=known.estimate.approximation), weights, points)
    size = root_mean_squares(np.asarray(corrected))
    apart = root_mean_squares(np.asarray(field_values(other.goal, other.weights, points) - corrected))
    return bool(np.max(apart / np.where(size > 0, size, 1.0)) < _NEARER * known.estimate.worst)


class _Took(NamedTuple):
    """Seconds that one fit and judging one took for so many features, and how many of them were compilation."""

    width: int
    fit: Reading
    judged: Reading

    @classmethod
    def of(cls, width: int, tried: int, before: Reading, between: Reading, after: Reading) -> _Took:
        """From before, between and after fitting so many families and judging one."""
        fits, judged = (np.subtract(b, a) for a, b in ((before, between), (between, after)))
        return cls(width, Reading(*fits / max(tried, 1)), Reading(*judged))


class _Wider(NamedTuple):
    """The best features of a width, the best of each other kind that is still worth while, and how many were tried."""

    best: Fit | Identified
    rivals: tuple[Fit | Identified, ...]
    tried: int


class Explored(NamedTuple):
    """The best features of the first width, and the best of each other kind that is still worth while."""

    best: Fit | Identified
    rivals: tuple[Fit | Identified, ...]
    width: int


def explore(setup: Setup, width: int, tol: float | None, clock: Clock, history: History, share: float = 0.5) -> Explored:
    """Search a family of features of this width, for a `share` of the time at most."""
    tried: list[Fit | Identified] = []
    left: list[float] = []  # seconds, after each

    def make(family: Family, start: Fit | Identified | None = None) -> Fit | Identified:
        start = min(tried, key=_held_out, default=None) if is_inverse(setup.problem) else start
        tried.append(_fitted(setup, clock, history, family, width, 0, start))
        left.append(clock.left)
        return tried[-1]

    def enough() -> bool:
        until = (1 - share) * (clock.limit or 0)
        until = max(until, (1 - _NOISY) * left[0]) if held_back(tried[-1]) else until
        return clock.left < until or noise_bound(tried[-1])

    good = GOOD if setup.start is None else setup.start.good(tol)
    _magnified(setup, search(_starts(setup), make, enough, good), make, enough, good)
    best, *rivals = _best_of_kinds(tried)
    if held_back(best):
        rivals = [each for each in rivals if each.held_out < _BEHIND * best.held_out]
    return Explored(best, tuple(rivals), width)


def _magnified(
    setup: Setup, best: Fit | Identified, make: Callable[..., Fit | Identified], enough: Callable[[], bool], good: float
) -> None:
    """Make the same with its layers, if there are any, seen in steep coordinates: each look shows them sharper.

    Where it shows nothing of a solution, what drives the fields in a small part of the domain may be why, or layers at the walls.
    """
    problem = setup.problem
    if is_inverse(problem) or problem.regions is not None or problem.domain.dimension > 3:
        return
    fit = cache(make if problem.is_linear else partial(make, start=best))
    for _ in range(_LOOKS):
        if best.held_out <= good or enough():
            break
        before = best
        for steep in _layers(setup, before):
            if steep and out_of_date(before.family.steep, steep):
                starts = steepened(before.family, steep)
                if min((fit(family).held_out for family in starts if not enough()), default=math.inf) > _HINTS * before.held_out:
                    continue
                new = search(starts, fit, enough, good)
                if new.held_out <= _SHARPENED * before.held_out:
                    best = new
                    break
        if best is before:
            break


def _layers(setup: Setup, found: Fit | Identified) -> Iterator[tuple[Steep, ...]]:
    """Steep coordinates where a solution has layers; or, where it shows nothing, where it may have some."""
    problem, exact = setup.problem, setup.exact
    if found.held_out <= _SHOWS:
        yield layers_of(setup, objective(problem, found.approximation, exact), found.weights, found.family.steep)
        return
    same = Family(sin, (1.0,) * problem.domain.dimension)  # whatever was found, so that this is compiled once
    basis, nothing = feature_ansatz(problem, exact, same, _NONE, setup.seed, setup.dtype)
    without = objective(problem, basis, exact), Weights(nothing, setup.unknown())
    yield steep_where_driven(problem, exact.periodic, partial(equations_at, *without))
    yield toward_walls(exact.periodic)


def widen(
    setup: Setup,
    explored: Explored,
    widths: Sequence[int],
    tol: float | None,
    clock: Clock,
    history: History,
    share: float = 1.0,
) -> tuple[Outcome, Status]:
    """Judge what was explored, then more features until the estimated error is small enough or settles.

    The best family of each other kind is tried again at the next widths: what is best for few features need not be for many.
    Each width continues from the solution before it, and is judged; the best one is kept. None begins that may take more than a
    `share` of the time left, or than all of it while the residual falls fast; where the best kind alone fits, it goes on alone.
    """
    current, rivals, first = explored
    began = clock.reading
    judged = if_it_fits(partial(_judged, setup, current, first, clock, history))
    took = [_Took.of(first, 0, began, began, clock.reading)]
    if judged is None:
        return _unjudged(setup, current, first), Status.MEMORY
    best = latest = judged
    held_out = current.held_out
    for i, (before, width) in enumerate(pairwise((first, *widths))):
        if reached(latest.estimate, tol):
            return latest, Status.REACHED
        if latest.estimate.rounded:
            return best, Status.SETTLED
        if clock.left < 0:
            return best, Status.TIME
        began = clock.reading
        make = partial(_fitted, setup, clock, history, width=width, index=i + 1)
        wider = if_it_fits(partial(_wider, setup, current, rivals, _sharper(setup, width / before), make, clock))
        between = clock.reading
        judged = wider and if_it_fits(partial(_judged, setup, wider.best, width, clock, history))
        if wider is None or judged is None:
            return best, Status.MEMORY
        latest, last, previous = judged, latest, current.held_out
        current, rivals, tried = wider
        if _improves(latest, current.held_out, best, held_out):
            best, held_out = latest, current.held_out
        if i and _settles(latest.estimate, last.estimate, current.held_out, previous):
            break
        took.append(_Took.of(width, tried, began, between, clock.reading))
        left = clock.left if current.held_out < _MUCH * previous else share * clock.left
        rivals = rivals if left > _next(took, 1 + len(rivals)) else ()
        if left < _next(took, 1 + len(rivals)):
            return best, Status.REACHED if reached(best.estimate, tol) else Status.TIME
    return best, Status.REACHED if reached(best.estimate, tol) else Status.SETTLED


def _improves(new: Outcome, residual: float, best: Outcome, smallest: float) -> bool:
    """Whether more features gained: by an estimate that means something, or by a much smaller residual at held-out points."""
    much, neither = residual < _MUCH * smallest, best.estimate.trust is Trust.UNKNOWN
    return new.better_than(best) or (much and (neither or new.estimate.worst < best.estimate.worst))


def _settles(new: Estimate, before: Estimate, residual: float, previous: float) -> bool:
    """Whether more features no longer help.

    A large error has not settled while the residual falls: near a resonance the error follows late.
    """
    if Trust.UNKNOWN in (new.trust, before.trust) or new.worst <= 0.5 * before.worst:
        return False
    return new.worst <= _WRONG or residual > _MUCH * previous


def _next(took: Sequence[_Took], kinds: int) -> float:
    """Seconds that twice as many features of so many kinds will take at most, from what fewer took.

    What is compiled takes as long for few. The rest grows like a power of the width, as judging did so far; at most by the third,
    as triangles do.
    """
    *_, before, last = took
    power = 3.0
    if min(last.judged.running, before.judged.running) > 0:
        power = math.log(last.judged.running / before.judged.running) / math.log(last.width / before.width)
    again = kinds * last.fit.running + last.judged.running
    return kinds * last.fit.compiling + last.judged.compiling + again * 2 ** min(max(power, 1.0), 3.0)


def _sharper(setup: Setup, more: float) -> float:
    """By how much the bandwidth grows with so many times the features: less in many dimensions."""
    return more ** min(_SHARPER, 1 / (2 * setup.problem.domain.dimension))


def _wider(
    setup: Setup,
    current: Fit | Identified,
    rivals: Sequence[Fit | Identified],
    sharper: float,
    fit: Callable[..., Fit | Identified],
    clock: Clock,
) -> _Wider:
    """The best one of each kind with more features: the best of all, and the others while they may still overtake it."""
    tried: list[Fit | Identified] = []
    unresolved, late = current.held_out > UNRESOLVED, partial(_late, clock)
    start = current if is_inverse(setup.problem) or not (unresolved or setup.problem.is_linear) else None

    def make(family: Family, start: Fit | Identified | None = start) -> Fit | Identified:
        tried.append(fit(family, start=start))
        return tried[-1]

    again = [found.family.scaled(sharper) for found in (current, *rivals)]
    if unresolved:
        _magnified(setup, search([*again, *_starts(setup)], make, late, most=_AGAIN), make, late, GOOD)
    else:
        first, *others = again
        make(first)
        for family in others:
            if not late():
                make(family)
    best, *others = _best_of_kinds(tried)
    before = {found.family.kind: found.held_out for found in (current, *rivals)}
    falls = {found.family.kind: found.held_out / before.get(found.family.kind, math.inf) for found in (best, *others)}

    def promising(other: Fit | Identified) -> bool:
        behind = other.held_out / best.held_out
        return behind < _BEHIND or (behind < _HOPELESS and falls[other.family.kind] < falls[best.family.kind])

    return _Wider(best, tuple(filter(promising, others)), len(tried))


def _best_of_kinds(tried: Sequence[Fit | Identified]) -> list[Fit | Identified]:
    """The best of each kind that was tried, the best of all first: one that sees layers if that is worth it.

    Of the kinds that are right for functions of a certain form only, the best of all alone: such a form shows itself at once.
    """
    best, *others = sorted(tried, key=lambda found: found.held_out / (_SHARPENED if found.family.steep else 1))
    kinds = {best.family.kind: best}
    for found in others:
        if not found.family.special:
            kinds.setdefault(found.family.kind, found)
    return list(kinds.values())


def _fitted(
    setup: Setup, clock: Clock, history: History, family: Family, width: int, index: int, start: Fit | Identified | None
) -> Fit | Identified:
    found = fitted(setup, family, width, index, start, partial(_late, clock))
    history.add(Record("features", len(history), clock.seconds, held_out=found.held_out, note=str(found.family)))
    return found


def _late(clock: Clock) -> bool:
    """Whether half of the time is used up."""
    return clock.left < 0.5 * (clock.limit or 0)


def _starts(setup: Setup) -> list[Family]:
    """The families that a search begins with."""
    starts = candidates(setup.problem)
    return starts if setup.start is None else setup.start.families(starts)


def _held_out(found: Fit | Identified) -> float:
    return found.held_out


def reached(judged: Estimate, tol: float | None) -> bool:
    """Whether an estimate meets a tolerance."""
    return tol is not None and judged.worst <= tol / 2 and judged.trust is not Trust.UNKNOWN


def _judged(setup: Setup, found: Fit | Identified, width: int, clock: Clock, history: History) -> Outcome:
    goal = objective(setup.problem, found.approximation, setup.exact)
    balance = found.balance if isinstance(found, Identified) else None
    judged = assess(setup, goal, found.weights, found.family.scaled(RICHER), int(1.5 * width), setup.exact, balance)
    note = f"width {width}"
    history.add(Record("estimate", len(history), clock.seconds, held_out=found.held_out, estimate=judged.worst, note=note))
    return Outcome(goal, found.weights, found.family, width, judged)


def _unjudged(setup: Setup, found: Fit | Identified, width: int) -> Outcome:
    goal = objective(setup.problem, found.approximation, setup.exact)
    return Outcome(goal, found.weights, found.family, width, unjudged(goal, found.weights, NO_MEMORY))
