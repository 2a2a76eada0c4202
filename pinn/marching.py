"""Marching in time: how long each slab is, and what its features are.

A slab is as long as one set of features resolves: it is halved while the residual at its held-out points stays above a target
and halving helps, and the next one is longer where it was met with ease. Features change where the solution forms layers, or
where the residual grows though slabs are short. The first march has a rough target, so that there is an answer soon; the next
ones, which begin with the features that the hardest slab needed, ask for less while there is time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial, reduce

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from .estimate import NO_MEMORY, unjudged
from .exact import Exact
from .families import (
    UNRESOLVED,
    Drawn,
    Family,
    following,
    neighbours,
    oscillating,
    search,
    slab_candidates,
    steepened,
    without_steep,
)
from .features import Setup
from .history import Clock, History, Record, Status
from .judging import judge
from .layers import out_of_date, steep_coordinates
from .memory import if_it_fits
from .slabs import March, Slab, begin, must_change, solve_slab, take, trimmed, values_at_end, with_run
from .steep import Steep
from .timeline import Timeline
from .training import Outcome, reached

_TARGET = 1e-9  # held-out residual of a slab, where no tolerance asks for less
_ROUGH, _FINER = 1e-3, 0.01  # target of the first march, and that of the next one in what this one came to
_LONGER = 4.0  # times what the slabs of a march took, that the next one is thought to take
_COMPILED = 0.2  # of the time limit, for compiling what judges it
_SPARE = 0.7  # of the time that is left, for what is known of it
_SHORTEST = 5.0  # seconds left that a march is worth beginning with
_JUDGING = 3.0  # seconds of judging a slab, in those of one attempt at it
_CONVERGED = 1e-2  # held-out residual of a slab that stands for a solution
_PATIENCE = 3  # slabs that met the target before a longer one is tried, or that missed it before a shorter one is tried again
_WORSE = 4.0  # times the held-out residual after a search that another one is worth while for; squared if it was in vain
_GAIN = 0.3  # held-out residual of a shorter slab, in that of the longer one, to go on with
_LOOKS = 4  # at layers, each with the steep coordinates of the one before it
_ROUNDED = 1e-6  # held-out residual that is rounding, where shorter slabs gain nothing
_LEAST, _LEAST_ALONE = 2.0**-10, 2.0**-24  # shortest slab, relative to the whole time; of time alone
_TYPICAL = 8  # slabs of the whole time, where nothing is known of it
_GROWTH = 1.6  # most by which a slab is longer than the one before it


class _Late(Exception):
    """A march that others could be judged without is given up."""


def _held_out(slab: Slab) -> float:
    return slab.held_out


class Marcher:
    """The decisions of a march: how long the next slab is, what its features are, and how many.

    Args:
        setup, time: what is solved.
        widths: how many features to begin with, and what to go up to.
        target: held-out residual of every slab.
        clock, history: what time there is, and where to tell of each attempt.
        before: features of a march before this one.
        until: seconds on the clock at which it is given up.
    """

    def __init__(
        self,
        setup: Setup,
        time: Timeline,
        widths: Sequence[int],
        target: float,
        clock: Clock,
        history: History,
        before: Sequence[Drawn] = (),
        until: float = math.inf,
    ):
        self.setup, self.time, self.widths, self.clock, self.history = setup, time, widths, clock, history
        self.wanted = self.target = target
        self.until = until
        self.starts = slab_candidates(setup.problem, time.axis)
        if before:
            kinds = dict.fromkeys(each.family for each in before if not each.family.steep)
            self.starts, most = list(kinds) or self.starts, max(each.width for each in before)
            self.widths = [each for each in widths if each >= most]
        self.march, self.whole = begin(setup, time), time.end - time.start
        self.alone = setup.problem.domain.dimension == 1  # whether there is nothing but time
        self.least = self.whole * (_LEAST_ALONE if self.alone else _LEAST)
        self.shows = _CONVERGED if self.alone else UNRESOLVED  # held-out residual above which a slab is too long in any case
        self.seconds: dict[int, float] = {}  # of the quickest attempt, by width
        self.spent = 0.0  # on one attempt at each slab taken
        self.searched = 0.0  # held-out residual from which another search is worth while
        self.near: tuple[Steep, ...] = ()  # where layers are
        self.refused: tuple[Steep, ...] = ()  # layers that new features were tried for in vain
        self.calm = self.rest = 0
        self.allowed = math.inf  # held-out residual at rest
        self.floor = False  # whether shorter slabs of time alone gain nothing, as where rounding is what is left
        self.full = False  # whether more features would have needed more memory than there is

    @property
    def exact(self) -> Exact:
        """What the ansatz of the next slab meets."""
        return (self.march.goal if len(self.march.edges) > 1 else self.march.first).exact

    # --- one slab

    def attempt(self, features: Drawn, size: float) -> Slab:
        if self.clock.seconds > self.until:
            raise _Late
        start, began = self.march.edges[-1], self.clock.seconds
        end = self.time.end if start + size > self.time.end - 1e-9 * self.whole else start + size
        known = features == self.march.features and not must_change(self.march)
        begun = self.march if known else with_run(self.setup, self.march, self.time, features)
        slab = solve_slab(self.setup, begun, self.time, end, self.near)
        note = f"{start:.4g} to {end:.4g}, {features.width} × {features.family}"
        self.history.add(Record("slabs", len(self.history), self.clock.seconds, held_out=slab.held_out, note=note))
        quickest = self.seconds.get(features.width, np.inf)
        self.seconds[features.width] = min(quickest, self.clock.seconds - began)
        return slab

    def best(self, options: Iterable[Drawn], size: float) -> Slab:
        return min((self.attempt(features, size) for features in options), key=_held_out)

    def look(self, starts: Sequence[Family], width: int, size: float, most: int) -> Slab:
        """The best family for a slab of this size."""
        reserve = 0.6 * self.clock.left if np.isfinite(self.clock.left) else -1.0
        return search(
            starts,
            lambda family: self.attempt(Drawn(family, width), size),
            enough=lambda: self.clock.left < reserve,
            good=0.3 * self.target,
            most=most,
        )

    def affords(self, size: float, width: int) -> bool:
        """Whether there is time to march on in slabs of this size, and to judge what came out.

        Where there is nothing but time, short slabs resolve what is over soon, and the next ones are longer.
        """
        known = [seconds * (width / other) ** 2 for other, seconds in self.seconds.items() if other <= width]
        each = self.seconds.get(width, max(known, default=0.0))
        count = (self.time.end - self.march.edges[-1]) / size
        if self.alone and count > 1:
            count = min(count, _TYPICAL + math.log(count, _GROWTH))
        ahead = count * each
        return (1 + _JUDGING) * ahead + _JUDGING * self.spent < _SPARE * self.clock.left

    # --- layers

    def observe(self, march: March) -> None:
        """Look for layers at the end of the march, so that points go there."""
        if self.setup.problem.domain.dimension > 1:
            now = (self.time.axis, march.edges[-1])
            problem, exact = self.setup.problem, self.exact

            def values(points: NDArray) -> Array:
                return values_at_end(march, jnp.asarray(points, self.setup.dtype))

            self.near = steep_coordinates(problem, exact.periodic, values, self.near, now)

    def magnified(self, slab: Slab, size: float) -> Slab:
        """The same slab with its layers, if there are any, seen in steep coordinates: each look shows them sharper."""
        if self.exact.settled is not None:
            return slab  # the singular functions of its beginning are there for that
        for _ in range(_LOOKS):
            self.observe(slab.march)
            if slab.held_out <= self.target or not out_of_date(slab.family.steep, self.near):
                break
            new, old = self.changed(slab.features, size), self.attempt(slab.features, size)
            if new.held_out > 0.5 * old.held_out:
                return old
            slab = new
        return slab

    def tempting(self, family: Family) -> bool:
        """Whether the layers are others than the family's, and than those that features were last tried for in vain."""
        return out_of_date(family.steep, self.near) and out_of_date(self.refused, self.near)

    def changed(self, features: Drawn, size: float) -> Slab:
        """The next slab with features for its layers: more waves, which compile nothing, else steep coordinates."""
        self.refused, (family, width) = self.near, features
        if family.steep and len(family.steep) == len(self.near):
            return self.attempt(Drawn(following(family, self.near), width), size)
        found = self.best((Drawn(each, width) for each in self.waves(features)), size)
        if found.held_out <= self.target:
            return found
        return min(found, self.best((Drawn(each, width) for each in steepened(family, self.near)), size), key=_held_out)

    def waves(self, features: Drawn) -> list[Family]:
        return oscillating(features.family, features.width, self.time.axis, self.exact.periodic)

    # --- the march

    def first(self) -> tuple[Drawn, float]:
        """Features and size to begin with: shorter slabs while they help."""
        size, width, starts = self.whole / _TYPICAL, self.widths[0], self.starts
        best = self.look(starts, width, size, 0)
        while best.held_out > UNRESOLVED and size > self.least and self.affords(size / 4, width):
            size /= 4
            best = self.look(starts, width, size, 0)
        best = self.magnified(min(best, self.look([best.family], width, size, 16), key=_held_out), size)
        while best.held_out > self.target and size > self.least and self.affords(size / 4, width):
            near = [best.family, best.family.scaled(0.5, self.time.axis)]
            new = self.look(starts if best.held_out > _CONVERGED else near, width, size / 4, 16)
            new = self.magnified(new, size / 4)
            if new.held_out > _GAIN * best.held_out and best.held_out < self.shows:
                break
            best, size = new, size / 4
        self.searched = _WORSE**2 * best.held_out
        return best.features, size

    def richer(self, slab: Slab, size: float) -> Slab:
        """Better features for a slab: of a family that a search finds near, or more, of higher frequencies too, or for layers.

        In this order: a search compiles nothing, and steep coordinates take long to compile, and soon fall behind what moves.
        """
        family, width = slab.features
        near = neighbours(family, None if self.alone else self.time.axis)
        near += self.waves(slab.features) if family.steep else []
        found = min(slab, self.look(near, width, size, 10), key=_held_out)
        if found.held_out < 0.3 * slab.held_out:
            return found
        found = min(found, self.wider(found, size), key=_held_out)
        if found.held_out > 0.3 * slab.held_out and self.tempting(found.family):
            found = min(found, self.changed(found.features, size), key=_held_out)
        return found

    def wider(self, slab: Slab, size: float) -> Slab:
        """The same with more features, if there is time and memory for them."""
        family, width = slab.features
        more = next((each for each in self.widths if each > width), None)
        if more is None or not self.affords(size, more):
            return slab
        spatial = [axis for axis in range(len(family.bandwidth)) if axis != self.time.axis]
        higher = reduce(lambda found, axis: found.scaled(more / width, axis), spatial, family)
        new = if_it_fits(lambda: self.best((Drawn(family, more), Drawn(higher, more)), size))
        if new is None:
            self.full, self.widths = True, [each for each in self.widths if each < more]
        return slab if new is None else new

    def next(self, features: Drawn, size: float) -> tuple[Slab, float] | None:
        """One more slab that meets the target, or the best that can be had, and the size for the one after it."""
        left = self.time.end - self.march.edges[-1]
        while size < left / 4 and not self.affords(size, features.width):
            size *= 1.5
        size = left / math.ceil(left / size - 0.1)
        slab, before = self.attempt(features, size), size
        if slab.held_out > self.target and slab.family.steep and self.tempting(slab.family):
            slab = min(slab, self.changed(features, size), key=_held_out)
        while slab.held_out > self.target and (not self.rest or slab.held_out > min(_WORSE * self.allowed, UNRESOLVED)):
            if self.clock.left < 0 or (size < self.least and slab.held_out > UNRESOLVED):
                return None
            if self.affords(size / 2, slab.features.width) or slab.held_out > UNRESOLVED:
                shorter = self.attempt(slab.features, size / 2)
                helps = shorter.held_out < _GAIN * slab.held_out or slab.held_out > self.shows
                self.floor = self.alone and not helps
                if helps:
                    slab, size = shorter, size / 2
                    continue
            if slab.held_out > self.searched:
                better = self.richer(slab, size)
                self.searched = (_WORSE if better.held_out < 0.3 * slab.held_out else _WORSE**2) * better.held_out
                if better.held_out < 0.3 * slab.held_out or better.held_out <= self.target:
                    slab, self.floor = better, False
                    continue
            self.rest = _PATIENCE + 1 if len(self.march.edges) > 1 else 1  # a rough start says nothing of what follows
            self.target, self.allowed = max(self.target, 2 * slab.held_out), slab.held_out
            break
        self.rest = max(0, self.rest - 1)
        self.calm = 0 if slab.held_out > self.target or size < before else self.calm + 1
        easy = slab.held_out < 0.03 * self.target or (slab.held_out < 0.3 * self.target and self.calm > _PATIENCE)
        return slab, _GROWTH * size if easy or (self.floor and slab.held_out <= self.target) else size

    def periodic(self, features: Drawn, before: Sequence[bool]) -> Drawn:
        """The features of a slab that had to begin with a kink, for the next one, which is periodic."""
        family = without_steep(features.family)
        for axis, (old, new) in enumerate(zip(before, self.exact.periodic, strict=True)):
            family = family.scaled(1 / np.pi, axis) if new and not old else family
        return features._replace(family=family)

    def run(self) -> March:
        """The march to the end; less of it where there is no time, or where even short slabs show nothing of a solution."""
        features, size = self.first()
        while self.march.edges[-1] < self.time.end:
            found = self.next(features, size)
            if found is None:
                break
            slab, size = found
            periodic = self.exact.periodic
            self.march, features = take(slab), slab.features
            if self.exact.periodic != periodic:
                features = self.periodic(features, periodic)
            if not self.rest:  # what a rough start allowed is not allowed later
                self.target = max(self.wanted, 0.1 * min(self.target, slab.held_out))
            self.spent += self.seconds[features.width]
            self.observe(self.march)
        return self.march


def march_through(
    setup: Setup, time: Timeline, widths: Sequence[int], tol: float | None, clock: Clock, history: History
) -> tuple[Outcome | None, Status]:
    """Slabs from start to end, again with a lower target while there is time or the estimated error falls.

    Where memory runs out, the march that fitted into it, and the status MEMORY. None where none came to the end.
    """
    wanted = _TARGET if tol is None else max(min(0.01 * tol, 1e-3), _TARGET)
    target, reserve, best, march, known = max(wanted, _ROUGH), 0.0, None, None, None
    while clock.left > _SHORTEST:
        before, until = ((), math.inf) if march is None else (march.drawn, clock.seconds + clock.left - reserve)
        marcher = Marcher(setup, time, widths, target, clock, history, before, until)
        try:
            new = if_it_fits(marcher.run)
        except _Late:
            new = marcher.march
        full, ended = marcher.full or new is None, new is not None and new.edges[-1] >= time.end
        if new is not None and ended and (march is None or new.held_out < march.held_out):
            march, reserve = new, _JUDGING * marcher.spent + _COMPILED * (clock.limit or 0.0)
        if march is None:
            return best, Status.MEMORY if full else Status.TIME
        rounded = marcher.floor and march.held_out < _ROUNDED
        further = ended and not full and not rounded and _LONGER * (1 + _JUDGING) * marcher.spent < _SPARE * clock.left
        if further and target > wanted:
            target = max(wanted, _FINER * min(target, march.held_out))
            continue
        if march is known:
            return best, Status.MEMORY if full else Status.SETTLED if ended else Status.TIME
        judged, last, known = _judged(setup, march, clock, history), best, march
        best = judged if last is None or judged.better_than(last) else last
        if reached(judged.estimate, tol) or judged.estimate.rounded:
            break
        if full or judged.estimate.reason == NO_MEMORY:
            return best, Status.MEMORY
        if rounded:
            return best, Status.SETTLED
        if not further or _LONGER * (1 + _JUDGING) * marcher.spent > _SPARE * clock.left:
            return best, Status.TIME
        if last is not None and judged.estimate.worst > 0.5 * last.estimate.worst:
            break
        wanted = target = 0.1 * target
        widths = widths[1:] or widths
    return best, Status.SETTLED if best is not None else Status.TIME


def _judged(setup: Setup, march: March, clock: Clock, history: History) -> Outcome:
    """A march that came to the end, and the estimate of its error."""
    march, (family, width) = trimmed(march), march.drawn[-1]
    divided, whole, weights = replace(setup, edges=march.edges, drawn=march.drawn), march.whole, march.weights
    estimate = if_it_fits(partial(judge, divided, whole, weights, family, width, clock)) or unjudged(whole, weights, NO_MEMORY)
    note = f"{len(march.edges) - 1} slabs of width {width}"
    history.add(Record("estimate", len(history), clock.seconds, held_out=march.held_out, estimate=estimate.worst, note=note))
    return Outcome(whole, weights, family, width, estimate, march.edges, march.drawn)
