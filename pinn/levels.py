"""Steps in time, finer and finer, each level judged by the next: the error of one is what the next one changes.

    e = v - u,   v with more features of space and shorter steps

A second one that is as fine as v, w, with other features and stages, tells how much of e can be believed: v and w are solutions
of the whole nonlinear equation, and agree as far as both are right. Two gates decide (see `estimate`, where they are those of the
linearised equation):

    ρ     how far v and w are apart:                        ‖v - w‖ / ‖v - u‖, worst field
    nl    what v leaves of the residual that u leaves:      ‖F(v)‖ / ‖F(u)‖ at new points and times

While v still changes much, accuracy is worth more than trust: then v is the solution, and w alone judges it. Where there is no
time for w, e is rough if the levels before u converged towards it. Where rounding is what is left, and one of the three stands
apart, one more, as fine as u, decides. Where the data jump, have a kink or do not fit together, nl is large whatever the error:
it takes trust to rough at most where they are known to, or where the levels before u converged towards it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from .approximation import Slabs, Sum, empty_run
from .boundaries import TIME
from .derivatives import sin
from .estimate import ROUGH, TRUSTED, Estimate, Trust, are_zero, doubted, error_points, may_be_zero, root_mean_squares, unjudged
from .exact import Exact
from .families import Family
from .features import Setup
from .history import Clock, History, Record, Status
from .layers import graded, steep_coordinates
from .loss import Objective, Weights, field_values, given_values, objective
from .memory import if_it_fits
from .problem import Problem
from .quadrature import is_shape
from .separability import separable
from .space import FINEST, STEPS, Level
from .steep import Steep
from .steps import Stepped, march, steps_exact, steps_goal
from .timeline import Timeline
from .training import Outcome

_WIDTHS = 128, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096
_PLANE = 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096  # in more than one dimension
_PRODUCTS = 625, 1000, 1600, 2500, 4000, 6400, 10000, 16000, 25000, 40000, 64000, 100000, 160000  # where they are products
_TWICE = 2, 3  # features of a level there in those of the last one, at most, where there is time for more than the next: of all
# coordinates, and products
_NEGLIGIBLE = 0.01  # errors of all steps, in a change, below which features of space are what makes it
_MOST, _MOST_PRODUCTS = 6144, 200_000  # unknowns of a stage
_STAGES = 6
_FIRST = 1e-4  # error of a step of the first level
_AT_LEAST = 0.1, 0.3  # error of a step of the next level in that of the last, at most: with the same, both would make the same
# errors; and in more than one dimension, while changes are doubtful
_TIGHTER = 3e-3, 0.01, 0.05  # error of a step of the next level, in the change from the one before to the last one:
_FAST = 0.1  # where that is less than so much of the change before it, at first, and where it is more
_SETTLED = 1e-6  # error below which levels that agree no better are taken to be as good as rounding allows
_COARSE = 1e-3  # error above which accuracy matters more than trust: the finest level is the solution, not its judge
_SIMILAR = 4.0  # largest of three distances in the smallest, between answers that are equally good
_MANY = 1000  # unknowns of a stage
_GROWTH = 1.5, 2.5  # seconds of a level, as a power of its features: of products, or fewer unknowns than that, and of more
_SPARE = 0.9  # of the time left, that a level and the one beside it may take
_DOUBTFUL = 0.05  # change from level to level above which levels may take only
_SHARE = 0.7  # so much of the time that was left at first
_HALF = 0.5  # of the time left, that one level may take
_KNOWN = 0.01  # change from level to level below which layers are known
_EARLY = 0.2  # share of the time within which layers are looked for at its start
_SLOWER = 0.3  # change of a level in the one before it, from which on further ones are of no use
_EXPLAINED = 0.01  # error of a step, in a change, from which on the length of steps may be what makes it
_ROUNDED = 1e-13, 1e-11  # change that rounding makes, of features of all coordinates and of products
_ROUNDED_OFF = 1e-10  # error below which rounding, times what derivatives make of it, may be what is left of the residual
_KEPT = 2**29  # bytes of the stages of a level
_EPS = 4 * float(np.finfo(float).eps)


def steppable(problem: Problem, time: Timeline | None, dtype: Any) -> bool:
    """Whether steps in time can solve a problem: in a box or a shape in the plane, in float64, and read at single points."""
    if time is None or problem.regions is not None or problem.domain.dimension < 2 or dtype != jnp.float64:
        return False
    if len(problem.equations) < len(problem.fields):
        return False
    if not (problem.domain.is_box or is_shape(problem.domain, TIME)):
        return False  # without a quadrature of the domain, what should decay may grow
    return not any(term.expression.integrates for term in problem.terms)


def stepped_by_products(problem: Problem, exact: Exact, time: Timeline) -> bool:
    """Whether the features of steps in time are products of functions of each coordinate."""
    with jax.enable_x64(True):
        return separable(problem, steps_exact(exact, time), time) is not None


class _Solved(NamedTuple):
    """A level, what it came to, and the fields at the points where norms are taken, [n, F]."""

    level: Level
    steps: Stepped
    values: NDArray


class _Stepper:
    """Solves levels, and compares them."""

    def __init__(self, setup: Setup, time: Timeline, clock: Clock, history: History):
        self.setup, self.time, self.clock, self.history = setup, time, clock, history
        self.goal, points = steps_goal(setup, time), error_points(setup)
        self.products = separable(setup.problem, self.goal.exact, time) is not None
        self.points, self.given = np.asarray(points), np.asarray(given_values(self.goal, {}, points))
        self.spatial = [axis for axis in range(setup.problem.domain.dimension) if axis != time.axis]
        # The coordinates of jumps and kinks that there are at the start.
        self.torn = graded(setup.problem, self.goal.exact.periodic, (), self.spatial)

    @property
    def plane(self) -> bool:
        """Whether space has more than one dimension."""
        return self.setup.problem.domain.dimension > 2

    def at_least(self, changes: Sequence[float]) -> float:
        """How much smaller the error of a step is at the next level, at most."""
        return _AT_LEAST[self.plane and (not changes or changes[-1] > _DOUBTFUL)]

    def next_target(self, last: _Solved, changes: Sequence[float]) -> float:
        """The error of a step of the next level."""
        steps = len(last.steps.edges) - 1
        if self.products and changes and steps * last.level.target < _NEGLIGIBLE * changes[-1]:
            return last.level.target
        target = self.at_least(changes) * last.level.target
        return max(min(_tighter(changes) * changes[-1], target), FINEST) if changes else target

    def levels(self) -> list[int]:
        """Features of space, level by level."""
        if self.products:
            widths, most = _PRODUCTS, _MOST_PRODUCTS
        else:
            widths, most = _PLANE if self.plane else _WIDTHS, _MOST
        return [width for width in widths if width * len(self.setup.problem.fields) <= most]

    def solve(self, level: Level, until: float) -> _Solved | None:
        """What a level comes to; None where it makes no step, or memory does not suffice."""
        steps = if_it_fits(lambda: march(self.setup, self.goal, self.time, level, self.clock, self.history, until))
        if steps is None:
            return None
        longest = float(np.max(np.diff(steps.edges))) / (self.time.end - self.time.start)
        return _Solved(level._replace(longest=longest), steps, self.given + steps.values(self.points))

    def layers(self, found: _Solved) -> tuple[Steep, ...]:
        """Coordinates that are steep where the solution has layers at some time, or is known to begin with some."""
        problem, axis, periodic = self.setup.problem, self.time.axis, self.goal.exact.periodic
        if self.products or not problem.domain.is_box:
            return ()  # there can be enough products without; and those along a curved boundary no coordinate follows

        def values(points: NDArray) -> NDArray:
            times = points[:, axis] - self.time.start
            early = (times < _EARLY * (self.time.end - self.time.start)) & (not self.torn)
            then = self.time.start + np.where(early, 0, np.minimum(times, found.steps.end - self.time.start))
            points = np.concatenate([points[:, :axis], then[:, None], points[:, axis + 1 :]], axis=1)
            given = given_values(self.goal, {}, jnp.asarray(points))
            return np.asarray(given) + found.steps.values(points)

        seen = [each.broadened() for each in steep_coordinates(problem, periodic, values, axes=self.spatial)]
        return graded(problem, periodic, seen, self.spatial)

    def expected(self, level: Level, last: _Solved) -> float:
        """Seconds that a level may take, from those of the last one."""
        finer = (last.level.target / level.target) ** (1 / (level.stages + 1))
        ready = last.steps.ready * level.width / last.level.width
        return ready + last.steps.seconds * self._growth(level, last.level) * finer

    def kept(self, level: Level, last: _Solved) -> float:
        """Bytes that the stages of a level may take."""
        count = (len(last.steps.edges) - 1) * (last.level.target / level.target) ** (1 / (level.stages + 1))
        return 8.0 * count * (level.stages + 1) * level.width * len(self.setup.problem.fields)

    def affords(self, level: Level, last: _Solved) -> bool:
        """Whether there is time for a level and the one that judges beside it."""
        beside = level.other()
        return self.expected(level, last) + self.expected(beside, last) < _SPARE * self.clock.left

    def skips(self, level: Level, further: Sequence[int], last: _Solved) -> bool:
        """Whether one with more features may take a level's place: in the plane features make the smaller difference."""
        if not self.plane or not further or further[0] > _TWICE[self.products] * last.level.width:
            return False
        return self.affords(level._replace(width=further[0]), last)

    def _growth(self, level: Level, last: Level) -> float:
        many = level.width * len(self.setup.problem.fields) > _MANY
        return (level.width / last.width) ** _GROWTH[many and not self.products]

    def far(self, values: NDArray, other: _Solved) -> NDArray:
        """How far fields with these values, [n, F], are from another answer, relative to it where it is not zero: [F]."""
        size = root_mean_squares(other.values)
        return root_mean_squares(other.values - values) / np.where(self.zero(values, other) | (size == 0), 1, size)

    def zero(self, values: NDArray, other: _Solved) -> NDArray:
        """Which fields of an answer are zero as far as one with these values, [n, F], lets be told: [F]."""
        size, apart = root_mean_squares(other.values), root_mean_squares(other.values - values)
        if not np.any(may_be_zero(size, apart)):
            return np.zeros(len(size), bool)  # as slabs, an answer is copied whole
        approximation, state = as_slabs(self.goal, other.steps)
        goal = objective(self.setup.problem, approximation, self.goal.exact)
        return are_zero(self.setup, goal, Weights(state, {}), size, apart)

    def beside(self, last: _Solved) -> _Solved | None:
        """Another answer as fine as the last one, if there is time for it."""
        other = last.level.other()
        if self.expected(other, last) > self.clock.left:
            return None
        found = self.solve(other, self.clock.seconds + self.clock.left)
        return None if found is None or found.steps.end < self.time.end else found


def step_through(
    setup: Setup, time: Timeline, tol: float | None, clock: Clock, history: History
) -> tuple[Outcome | None, Status]:
    """Level after level while the error falls and there is time for another; None where nothing can be said of its error."""
    stepper = _Stepper(setup, time, clock, history)
    allowed = clock.seconds + _SHARE * clock.left
    chain: list[_Solved] = []
    changes: list[float] = []
    status, target, steep = Status.SETTLED, _FIRST, stepper.torn
    widths = stepper.levels()
    for i, width in enumerate(widths):
        level = Level(width, _STAGES, target, steep, longest=STEPS * chain[-1].level.longest if chain else 1.0)
        if chain and stepper.skips(level, widths[i + 1 :], chain[-1]):
            continue
        doubtful = not changes or changes[-1] > _DOUBTFUL
        if chain and not stepper.affords(level, chain[-1]):
            level = level._replace(target=stepper.at_least(changes) * chain[-1].level.target)
        if (doubtful and clock.seconds > allowed) or (chain and not stepper.affords(level, chain[-1])):
            status = Status.TIME
            break
        if chain and stepper.kept(level, chain[-1]) > _KEPT:
            status = Status.MEMORY
            break
        until = allowed if doubtful else clock.seconds + _HALF * clock.left
        new = stepper.solve(level, until)
        if new is None:
            continue
        if not changes or changes[-1] > _KNOWN:
            steep = stepper.layers(new) or steep
        if new.steps.end < time.end:
            if clock.seconds >= until:
                status = Status.TIME
                break
            continue
        chain.append(new)
        if len(chain) > 1:
            changes.append(float(np.max(stepper.far(chain[-2].values, chain[-1]))))
            history.add(Record("steps", len(history), clock.seconds, estimate=changes[-1], note="by the level after it"))
        target = stepper.next_target(chain[-1], changes)
        if _ended(changes, chain, tol, _ROUNDED[stepper.products]):
            break
    if not changes:
        return None, status
    best = int(np.argmin(changes))
    finer, beside = chain[best + 1], stepper.beside(chain[best + 1])
    if changes[best] > _COARSE:
        return _outcome(stepper, finer, [beside or chain[best]], changes[best]), status
    falling = changes[best] / changes[best - 1] if best else math.inf
    judges = [finer] if beside is None else [finer, beside]
    if beside is not None and _divided(stepper, chain[best].values, finer, beside):
        another = stepper.beside(chain[best])
        judges += [] if another is None else [another]
    return _outcome(stepper, chain[best], judges, falling=falling), status


def _tighter(changes: Sequence[float]) -> float:
    """The error of a step of the next level, in the last change: looser where features of space are what errors come from."""
    if len(changes) < 2:
        return _TIGHTER[1]
    return _TIGHTER[0] if changes[-1] < _FAST * changes[-2] else _TIGHTER[2]


def _ended(changes: Sequence[float], chain: Sequence[_Solved], tol: float | None, rounded: float) -> bool:
    """Whether the last level is good enough, or further ones are of no use."""
    if not changes:
        return False
    slow = len(changes) > 1 and changes[-1] > _SLOWER * changes[-2] and changes[-1] < _SETTLED
    settled = slow and chain[-2].level.target < max(_EXPLAINED * changes[-1], FINEST / _EXPLAINED)
    return settled or changes[-1] < rounded or (tol is not None and changes[-1] <= tol / 2)


def judge_steps(setup: Setup, time: Timeline, goal: Objective, weights: Weights) -> Estimate:
    """The error estimate of any approximation of a problem that steps in time solve: by two levels finer than the setup's."""
    assert setup.level is not None
    stepper = _Stepper(setup, time, Clock(None, setup.journal), History())
    finer = setup.level.finer()
    judges = [stepper.solve(level, math.inf) for level in (finer, finer.other())]
    found = [each for each in judges if each is not None and each.steps.end == time.end]
    if not found:
        return unjudged(goal, weights, "finer steps in time do not come to the end")
    values = np.asarray(field_values(goal, weights, jnp.asarray(stepper.points)))
    return _estimate(stepper, goal, weights, values, math.inf, found)


def _outcome(
    stepper: _Stepper, found: _Solved, judges: Sequence[_Solved], coarser: float | None = None, falling: float = math.inf
) -> Outcome:
    approximation, state = as_slabs(stepper.goal, found.steps)
    goal, weights = objective(stepper.setup.problem, approximation, stepper.goal.exact), Weights(state, {})
    judged = _estimate(stepper, goal, weights, found.values, found.steps.held_out, judges, coarser, falling)
    axes = range(stepper.setup.problem.domain.dimension)
    family = Family(sin, tuple(found.steps.space.highest(axis) / 2 for axis in axes))
    return Outcome(goal, weights, family, found.level.width, judged, tuple(found.steps.edges.tolist()), (), judges[0].level)


def _estimate(
    stepper: _Stepper,
    goal: Objective,
    weights: Weights,
    values: NDArray,
    held_out: float,
    judges: Sequence[_Solved],
    coarser: float | None = None,
    falling: float = math.inf,
) -> Estimate:
    """The error of a solution with these values, by one or two finer ones; by one as fine where one is `coarser` by so much.

    `falling` is how much closer the finer one is to it than the coarser one before it. Of three judges the two count that lie
    closest to it and to each other.
    """
    settled, problem = len(judges) > 2, stepper.setup.problem
    pairs = list(combinations(judges, 2)) or [(judges[0], judges[0])]
    each = [(pair, _distances(stepper, values, *pair)) for pair in pairs]
    (first, _), distances = min(each, key=lambda found: float(np.max(found[1])))
    errors = np.maximum(*distances[:2]) + _EPS
    nl, rounded = first.steps.held_out / max(held_out, 1e-300), False
    rho = _rho(distances, stepper.zero(values, first))
    measures = f"ρ = {rho:.1g}, nl = {nl:.1g}"
    # Where the solution jumps no features make the residual small, and where it is right to rounding that is what it shows.
    left = min(nl, TRUSTED) if stepper.torn or np.max(errors) < _ROUNDED_OFF else nl
    if coarser is not None:
        closer = bool(np.max(errors) < ROUGH * coarser)
        trust = Trust.ROUGH if closer else Trust.UNKNOWN
        reason = f"another solution as fine is {'closer than' if closer else 'not much closer than'} a coarser one"
    elif len(judges) == 1:
        converges = falling < _SLOWER and left < ROUGH
        trust = Trust.ROUGH if converges else Trust.UNKNOWN
        told = f"coarser solutions converge towards it, {falling:.1g} a level" if converges else f"nl = {nl:.1g}"
        reason = f"there was no time to see whether a second finer solution agrees ({told})"
    elif settled or (rho > ROUGH and np.max(errors) < _SETTLED):
        errors = np.max(distances, axis=0) + _EPS
        rounded = bool(np.max(errors) < _SETTLED)
        agree = _alike(distances) or (settled and rho < ROUGH)
        trust = Trust.ROUGH if agree else Trust.UNKNOWN
        told = "as far apart as rounding, or what they begin with, makes them" if agree else "far apart, one much farther"
        reason = f"three solutions are {told} ({measures})"
    else:
        left = min(left, TRUSTED) if falling < _SLOWER else left
        worst = max(rho, left if np.isfinite(held_out) else 0.0)
        trust = Trust.TRUSTED if worst < TRUSTED else Trust.ROUGH if worst < ROUGH else Trust.UNKNOWN
        told = "two finer solutions agree" if rho < TRUSTED else "two finer solutions differ"
        told = told if worst == rho or worst < TRUSTED else "a finer solution leaves much of the residual"
        reason = f"{told} ({measures})"
    trust, reason = doubted(problem, errors, trust, reason)
    finer, state = as_slabs(stepper.goal, first.steps)
    corrected = Sum(goal.approximation, Sum(finer, goal.approximation))
    both = Weights((weights.state, (state, _negative(weights.state))), weights.unknown)
    return Estimate(dict(zip(problem.fields, errors.tolist(), strict=True)), trust, reason, rounded, corrected, both)


def _distances(stepper: _Stepper, values: NDArray, first: _Solved, last: _Solved) -> NDArray:
    """How far a solution and two judges are from each other, [3, F]: the judges last."""
    return np.stack([stepper.far(values, first), stepper.far(values, last), stepper.far(first.values, last)])


def _alike(distances: NDArray) -> bool:
    """Whether three are equally far from each other."""
    return bool(np.all(np.max(distances, axis=0) + _EPS < _SIMILAR * (np.min(distances, axis=0) + _EPS)))


def _rho(distances: NDArray, zero: NDArray) -> float:
    """How far two judges are apart, in their distances from a solution, whatever is said of fields that are zero, [F]."""
    *errors, apart = distances
    return float(np.max((apart / (np.maximum(*errors) + _EPS))[~zero]))


def _divided(stepper: _Stepper, values: NDArray, first: _Solved, last: _Solved) -> bool:
    """Whether one of three stands apart, so that one more has to decide which."""
    distances = _distances(stepper, values, first, last)
    return not _alike(distances) and _rho(distances, stepper.zero(values, first)) > ROUGH


def _negative(state: Any) -> Any:
    if isinstance(state, tuple):
        return tuple(map(_negative, state))
    return {**state, "train": jax.tree.map(lambda a: -a, state["train"])}


def as_slabs(goal: Objective, steps: Stepped) -> tuple[Slabs, tuple]:
    """The steps as an approximation, a slab for each, and its state."""
    part, state = steps.space.network(steps.scheme.stages)
    coefficients = steps.space.coefficients(steps.stages)
    run = empty_run(state, len(steps.stages), coefficients.shape[1], steps.edges.tolist())
    run["train"]["coefficients"][:, :-1] = coefficients
    return Slabs((part,), steps.space.axis), (jax.tree.map(jnp.asarray, run),)
