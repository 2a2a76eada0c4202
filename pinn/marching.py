"""Marching in time: how long each slab is, and what its features are.

A slab is as long as one set of features resolves: it is halved while the residual at its held-out points stays above a target
and halving helps, and the next one is longer where it was met with ease. Features change where the solution forms layers, or
where the residual grows though slabs are short.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .families import Family, candidates, following, neighbours, search, steepened
from .features import Setup
from .history import Clock, History, Record
from .layers import out_of_date, steep_coordinates
from .slabs import March, Slab, begin, judge, must_change, solve_slab, take, trimmed, with_run
from .steep import Steep
from .timeline import Timeline
from .training import Outcome, reached

_TARGET = 1e-9  # held-out residual of a slab, where no tolerance asks for less
_SHORTEST = 5.0  # seconds left that a march is worth beginning with
_COST = 12.0  # seconds of marching and judging a slab, in units of one attempt at it
_CONVERGED = 1e-2  # held-out residual of a slab that stands for a solution
_PATIENCE = 3  # slabs that met the target before a longer one is tried
_LOOKS = 4  # at layers, each with the steep coordinates of the one before it
_LEAST = 2.0**-10  # shortest slab, relative to the whole time


class Marcher:
    """The decisions of a march: how long the next slab is, and when its features change."""

    def __init__(
        self, setup: Setup, time: Timeline, width: int, target: float, clock: Clock, history: History, shown: Clock | None = None
    ):
        self.setup, self.time, self.width, self.target, self.clock, self.history = setup, time, width, target, clock, history
        self.shown = shown or clock
        self.quickest = self.searched = np.inf
        self.near: tuple[Steep, ...] = ()
        self.refused: tuple[Steep, ...] = ()
        self.calm = 0
        self.march, self.whole = begin(setup, time), time.end - time.start

    def attempt(self, family: Family, size: float) -> Slab:
        start = self.march.edges[-1]
        began = self.shown.seconds
        end = self.time.end if start + size > self.time.end - 1e-9 * self.whole else start + size
        known = family == self.march.family and not must_change(self.march)
        begun = self.march if known else with_run(self.setup, self.march, self.time, family, self.width)
        slab = solve_slab(self.setup, begun, self.time, self.width, end, self.near)
        note = f"{start:.4g} to {end:.4g}, {family}"
        self.history.add(Record("slabs", len(self.history), self.shown.seconds, held_out=slab.held_out, note=note))
        self.quickest = min(self.quickest, self.shown.seconds - began)
        return slab

    def best(self, families: Sequence[Family], size: float) -> Slab:
        return min((self.attempt(family, size) for family in families), key=lambda slab: slab.held_out)

    def look(self, starts: Sequence[Family], size: float, most: int) -> Slab:
        """The best features for a slab of this size."""
        half = 0.5 * (self.clock.limit or 0)
        return search(
            starts,
            lambda family: self.attempt(family, size),
            enough=lambda: self.clock.left < half,
            good=0.3 * self.target,
            most=most,
        )

    def observe(self, march: March) -> None:
        """Look for layers at the end of the march, so that points go there."""
        if self.setup.problem.domain.dimension > 1:
            now = (self.time.axis, march.edges[-1])
            self.near = steep_coordinates(march.first, march.weights, self.setup.dtype, self.near, now)

    def magnified(self, slab: Slab, size: float) -> Slab:
        """The same slab with its layers, if there are any, seen in steep coordinates: each look shows them sharper."""
        for _ in range(_LOOKS):
            self.observe(slab.march)
            if slab.held_out <= self.target or not out_of_date(slab.family.steep, self.near):
                break
            new = self.best(steepened(slab.family, self.near), size)
            old = self.attempt(slab.family, size)
            if new.held_out > 0.5 * old.held_out:
                return old
            slab = new
        return slab

    def first(self) -> tuple[Family, float]:
        """Features and size to begin with: shorter slabs while they help."""
        size = self.whole / 8
        best = self.magnified(self.look(candidates(self.setup.problem.domain.dimension), size, 24), size)
        while best.held_out > self.target and size > _LEAST * self.whole:
            starts = [best.family, best.family.scaled(0.5, self.time.axis)]
            if best.held_out > _CONVERGED:
                starts = candidates(self.setup.problem.domain.dimension)
            new = self.magnified(self.look(starts, size / 4, 16), size / 4)
            if new.held_out > 0.5 * best.held_out and best.held_out < _CONVERGED:
                break
            best, size = new, size / 4
        return best.family, max(size, self.affordable())

    def affordable(self) -> float:
        """The shortest slab that leaves time to march to the end and to judge what came out."""
        return _COST * self.quickest * self.whole / max(self.shown.left, 1e-9)

    def begun(self, family: Family, size: float) -> Slab:
        """The next slab with the features of the last, or with those that its layers ask for."""
        slab = self.attempt(family, size)
        if slab.held_out <= 0.1 * self.target or not (out_of_date(family.steep, self.near) and self.tempting()):
            return slab
        return min(slab, self.changed(family, size), key=lambda each: each.held_out)

    def changed(self, family: Family, size: float) -> Slab:
        """The next slab with the steep coordinates that its layers ask for."""
        alike = family.steep and len(family.steep) == len(self.near)
        self.refused = self.near
        return self.best([following(family, self.near)] if alike else steepened(family, self.near), size)

    def tempting(self) -> bool:
        """Whether the layers differ from those that new features were last tried for in vain."""
        return out_of_date(self.refused, self.near)

    def next(self, family: Family, size: float) -> tuple[Slab, float] | None:
        """One more slab that meets the target, or the best that can be had, and the size for the one after it."""
        left = self.time.end - self.march.edges[-1]
        size = left / math.ceil(left / size - 0.1)
        slab, before = self.begun(family, size), size
        while slab.held_out > self.target:
            if self.clock.left < 0 or (size < _LEAST * self.whole and slab.held_out > _CONVERGED):
                return None
            if slab.held_out < _CONVERGED and size / 2 < self.affordable():
                break
            shorter = self.attempt(slab.family, size / 2)
            if shorter.held_out < 0.3 * slab.held_out or slab.held_out > _CONVERGED:
                slab, size = shorter, size / 2
                continue
            if out_of_date(slab.family.steep, self.near) and self.tempting():
                other = self.changed(slab.family, size)
                if other.held_out < 0.5 * slab.held_out:
                    slab = other
                    continue
            if slab.held_out > 3 * self.searched or not np.isfinite(self.searched):
                other = self.look(neighbours(slab.family), size, 14)
                slab = other if other.held_out < 0.5 * slab.held_out else slab
                self.searched = slab.held_out
            self.target = max(self.target, 1.5 * slab.held_out)
        self.calm = 0 if slab.held_out > self.target or size < before else self.calm + 1
        easy = slab.held_out < 0.03 * self.target or (slab.held_out < 0.3 * self.target and self.calm > _PATIENCE)
        return slab, 1.6 * size if easy else size

    def run(self) -> March | None:
        family, size = self.first()
        while self.march.edges[-1] < self.time.end:
            found = self.next(family, size)
            if found is None:
                return None
            slab, size = found
            self.march, family = take(slab, self.time), slab.family
            self.observe(self.march)
        return self.march


def march_through(
    setup: Setup, time: Timeline, widths: Sequence[int], tol: float | None, clock: Clock, history: History
) -> Outcome | None:
    """Slabs from start to end, wider while the estimated error falls; None where none was finished in time.

    Half of the time that is left goes to the march, the other half to judging it.
    """
    best = None
    for width in widths:
        if clock.left < _SHORTEST:
            break
        target = _TARGET if tol is None else max(min(0.01 * tol, 1e-3), _TARGET)
        began, half = clock.seconds, Clock(None if clock.limit is None else clock.left / 2)
        march = Marcher(setup, time, width, target, half, history, clock).run()
        if march is None:
            continue
        march, family = trimmed(march), march.families[-1]
        divided = replace(setup, edges=march.edges, families=march.families)
        judged = judge(divided, march.first, march.weights, family, int(1.5 * width))
        note = f"{len(march.edges) - 1} slabs of width {width}"
        history.add(Record("estimate", len(history), clock.seconds, held_out=march.held_out, estimate=judged.worst, note=note))
        latest = Outcome(march.first, march.weights, family, width, judged, march.edges, march.families)
        last, best = best, latest if best is None or latest.better_than(best) else best
        if reached(judged, tol) or judged.rounded or clock.left < 3 * (clock.seconds - began):
            break
        if last is not None and judged.worst > 0.5 * last.estimate.worst:
            break
    return best
