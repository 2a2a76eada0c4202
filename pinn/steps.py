"""From start to end in steps of one kind: how long they are, what they begin with, what they come to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

from .approximation import Slabs
from .beginning import BEGINNING, begin
from .devices import in_rows
from .exact import Exact
from .features import Setup, term_size
from .history import Clock, History, Record
from .loss import Objective, objective
from .radau import Radau, radau
from .rows import EMPHASIS
from .separable import Separable
from .space import Level, Space
from .stepping import (
    Discrete,
    Moment,
    residuals,
    states_at,
    tail,
)
from .timeline import Timeline

_READ = 2500  # points that values are found at together
_PIECE = 32  # steps between two checkpoints
_LEAST = 1e-13  # shortest step, in the whole time
_CHECKED = np.array([0.2, 0.55, 0.9])  # where in a step it is judged
_MANY, _UNRESOLVED = 100, 0.15  # steps, and their residual, with which further ones show nothing
_FLOOR, _SMALL = 0.5, 1e-4  # power of its length, at least, that time makes of the error of a step; error that it is told from
_ROOM = 2.0  # error that is allowed, in the one that shorter steps do not make smaller
_PATIENCE = 10  # steps after one that was too long, before a longer one is tried
_DARING = 0.05  # error of a step in the target, below which for so many steps as it is worth a longer one is tried all the same:
_WORTH = 10, 4  # at first; times more after one that was too long. The error of a step need not fall as fast as its order says
_GROW = 0.3  # expected error of a step of twice the length, in the target, below which it is taken
_SLOW = 0.3  # an update of Newton's method in the one before it, beyond which its matrix is out of date
_CONVERGED = 0.02  # last update, in the target
_ROUNDING = 1e-13


class Stepped(NamedTuple):
    """Steps up to `edges[-1]`.

    Attributes:
        space, scheme: features, and polynomials of time.
        edges: [K + 1].
        stages: coefficients at the start and the stages of each step, [K, s + 1, P].
        held_out: relative residual at new points and times.
        ready, seconds: that it took before the first step, compilation counted in, and after it.
    """

    space: Space | Separable
    scheme: Radau
    edges: NDArray
    stages: NDArray
    held_out: float
    ready: float
    seconds: float

    @property
    def end(self) -> float:
        """Up to where they are."""
        return float(self.edges[-1])

    def values(self, points: NDArray) -> NDArray:
        """The fields less G at points [n, d]: [n, F]."""
        return in_rows(self._values, _READ, points)

    def _values(self, points: NDArray) -> NDArray:
        read, parts = self.space.reader(points), self.space.parts
        times = points[:, self.space.axis]
        k = np.clip(np.searchsorted(self.edges, times) - 1, 0, len(self.stages) - 1)
        places = (times - self.edges[k]) / np.diff(self.edges)[k]
        lines, _, _ = self.scheme.at(places)
        found = np.zeros((len(points), len(parts)))
        for step in np.unique(k):
            here = k == step
            for i, (name, part) in enumerate(parts.items()):
                found[here, i] = np.sum(read(name, here, self.stages[step][:, part]) * lines[here], axis=1)
        return found


class _Carry(NamedTuple):
    """Where the steps are: the time, the state, the polynomial of the last step and how long that was, sums of squares."""

    time: float
    values: NDArray
    velocities: NDArray
    length: float
    last: NDArray
    known: float  # length of the last step; 0 before the first
    wrong: NDArray
    sizes: NDArray
    largest: float
    allowed: float  # error of a step that shorter ones do not make smaller: features of space make it
    calm: int  # steps since one was too long, or the next could be longer
    quiet: int  # steps with little error, -1 where a longer one is tried because of them, and
    worth: int  # how many of them make a longer one worth to be tried


def steps_exact(exact: Exact, time: Timeline) -> Exact:
    """What the ansatz meets at all times: no initial condition."""
    later = exact.started(time.axis, ())
    return replace(later, met=tuple(name for name in later.met if name not in time.initial))


def steps_goal(setup: Setup, time: Timeline) -> Objective:
    """The objective of all steps, before there is any."""
    return objective(setup.problem, Slabs((), time.axis), steps_exact(setup.exact, time))


def march(
    setup: Setup, goal: Objective, time: Timeline, level: Level, clock: Clock, history: History, until: float
) -> Stepped | None:
    """Steps from start to end; fewer where one fails, they resolve nothing or the time is `until`, None where there is none."""
    began, scheme = clock.seconds, radau(level.stages)
    terms, start, largest = begin(setup, goal, time, level, scheme)
    carry = _resting(terms, time, scheme, start, largest)
    edges, stages, held_out, pace = [time.start], [], 0.0, math.inf
    while carry.time < time.end:
        like = carry, np.zeros(_PIECE), np.zeros((_PIECE, level.stages + 1, terms.space.size)), 0
        key = "steps", level, len(stages)

        def work(carry: _Carry = carry) -> tuple[_Carry, NDArray, NDArray, int]:
            return _piece(terms, scheme, time, level, carry, lambda: clock.seconds > until or clock.left < 0)

        before, at = carry, clock.seconds
        carry, ends, found, count = setup.journal.piece(key, work, like)
        edges += ends[:count].tolist()
        stages += list(found[:count])
        held_out = float(np.sqrt(np.sum(carry.wrong / np.maximum(carry.sizes, 1e-300))))
        pace = min(pace, (clock.seconds - at) / max(count, 1))
        note = f"{level}: to {carry.time:.4g} in {len(stages)} steps"
        history.add(Record("steps", len(history), clock.seconds, held_out=held_out, note=note))
        lately = np.sqrt(np.sum((carry.wrong - before.wrong) / np.maximum(carry.sizes - before.sizes, 1e-300)))
        hopeless = len(stages) > _MANY and min(held_out, lately) > _UNRESOLVED
        if (count < _PIECE or hopeless) and carry.time < time.end:
            break
    if not stages:
        return None
    took, seconds = clock.seconds - began, pace * len(stages)
    return Stepped(terms.space, scheme, np.array(edges), np.stack(stages), held_out, max(took - seconds, 0.0), seconds)


def _resting(terms: Discrete, time: Timeline, scheme: Radau, start: Moment, largest: float) -> _Carry:
    """Before the first step."""
    nothing = np.zeros(sum(len(held.term.expression.components) for held in terms.fresh))
    last, first = np.zeros((scheme.stages + 1, terms.space.size)), (time.end - time.start) / BEGINNING
    return _Carry(time.start, *start, first, last, 0.0, nothing, nothing, largest, 0.0, 0, 0, _WORTH[0])


def _piece(
    terms: Discrete, scheme: Radau, time: Timeline, level: Level, carry: _Carry, late: Callable[[], bool]
) -> tuple[_Carry, NDArray, NDArray, int]:
    """Some steps: where each ends, its coefficients, and how many; fewer than `_PIECE` at the end, or where they fail."""
    ends, found, count = np.zeros(_PIECE), np.zeros((_PIECE, scheme.stages + 1, terms.space.size)), 0
    length, slopes, matrix, refused = carry.length, None, None, None
    wanted = max(_CONVERGED * level.target, _ROUNDING)
    while count < _PIECE and carry.time < time.end and not late():
        left, span = time.end - carry.time, time.end - time.start
        length = min(length, level.longest * span)
        length = left / math.ceil(left / length * (1 - 1e-9))
        if length < _LEAST * span:
            break
        start, fresh = Moment(carry.values, carry.velocities), slopes is None
        guess = _extrapolated(scheme, carry, length)
        try:
            if slopes is None:
                middle = [each[scheme.stages // 2] for each in states_at(scheme, length, start, guess)]
                slopes, matrix = terms.linearised(length, carry.time + length / 2, middle), None
            if matrix is None or abs(matrix.length / length - 1) > 1e-9:
                matrix = terms.factored(scheme, slopes, length)
        except LinAlgError:
            break
        stages, rate, converged = terms.solve_stages(scheme, matrix, carry.time, start, guess, carry.largest, wanted)
        if not converged:
            slopes, length = None, length / 2 if fresh else length
            carry = carry._replace(known=0.0, calm=0) if fresh else carry
            continue
        error, allowed = tail(terms, scheme, start, stages, carry.largest), max(level.target, carry.allowed)
        if error > allowed:
            if refused and refused[0] < _SMALL and error > refused[0] * (length / refused[1]) ** _FLOOR:
                (error, length), refused = refused, None
                carry = carry._replace(allowed=_ROOM * error)
                continue
            refused = (error, length)
            length *= float(np.clip(0.8 * (allowed / error) ** (1 / (scheme.stages + 1)), 0.1, 0.7))
            worth = carry.worth * (_WORTH[1] if carry.quiet < 0 else 1)
            carry = carry._replace(calm=-_PATIENCE, quiet=0, worth=worth)
            continue
        refused = None
        whole = np.concatenate([start.values[None], stages])
        if carry.time == time.start:
            whole[0, ~terms.moving] = scheme.before @ stages[:, ~terms.moving]
        easy = error * 2.0 ** (scheme.stages + 1) < _GROW * allowed
        calm, quiet = carry.calm + 1 if easy or carry.calm < 0 else 0, max(carry.quiet, 0) + 1 if error < _DARING * allowed else 0
        carry = carry._replace(calm=calm, quiet=quiet, allowed=min(carry.allowed, _ROOM * error))
        carry = _moved(terms, scheme, time, carry, length, whole)
        ends[count], found[count], count = carry.time, whole, count + 1
        length, slopes = carry.length, None if rate > _SLOW else slopes
    return carry, ends, found, count


def _moved(terms: Discrete, scheme: Radau, time: Timeline, carry: _Carry, length: float, stages: NDArray) -> _Carry:
    """After a step; the next one is twice as long where two could have been."""
    wrong, sizes = _judged(terms, scheme, carry.time, length, stages)
    _, velocities, _ = states_at(scheme, length, Moment(carry.values, carry.velocities), stages[1:])
    # The state is copied: what is read from a checkpoint is no part of another array, and BLAS may round it otherwise.
    end, tried = carry.time + length, carry.quiet >= carry.worth
    longer = tried or carry.calm > 1
    return carry._replace(
        time=time.end if time.end - end < 1e-9 * (time.end - time.start) else float(end),
        values=stages[-1].copy(),
        velocities=velocities[-1].copy(),
        length=2 * length if longer else length,
        last=stages,
        known=length,
        wrong=carry.wrong + length * wrong,
        sizes=carry.sizes + length * sizes,
        largest=max(carry.largest, float(np.linalg.norm(stages[-1][terms.moving]))),
        calm=0 if longer else carry.calm,
        quiet=-1 if tried else 0 if longer else carry.quiet,
    )


def _extrapolated(scheme: Radau, carry: _Carry, length: float) -> NDArray:
    """Stages that the last step's polynomial would lead to; those of a state that moves on evenly before there is one."""
    if carry.known:
        lines, _, _ = scheme.at(1 + scheme.nodes[1:] * (length / carry.known))
        return lines @ carry.last
    return carry.values + np.outer(scheme.nodes[1:] * length, carry.velocities)


def _judged(terms: Discrete, scheme: Radau, start: float, length: float, stages: NDArray) -> tuple[NDArray, NDArray]:
    """Mean squares of the residuals at new points and times of a step, and of what they would be were nothing to cancel."""
    value, first, second = scheme.at(_CHECKED)
    states = value @ stages, first @ stages / length, second @ stages / length**2
    parts = terms.space.parts.items()
    fields = {name: float(np.sqrt(np.mean(np.sum(states[0][:, part] ** 2, axis=1)))) for name, part in parts}
    wrong, sizes = [], []
    for held in terms.fresh:
        found, slopes, leaves = residuals(terms.space, held, start + _CHECKED * length, states, True)
        wrong.append(np.mean(found**2, axis=(0, 1)))
        size = term_size(terms.space.problem, held.term, slopes, leaves, fields)
        sizes.append((size if held.term.place is None else size / EMPHASIS) ** 2)
    return np.concatenate(wrong), np.concatenate(sizes)
