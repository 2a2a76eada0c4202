"""Training without gradients: the least-squares procedure, which searches features and widens them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from .estimate import Estimate, Trust
from .families import GOOD, RICHER, UNRESOLVED, Drawn, Family, candidates, search
from .features import Fit, Setup
from .history import Clock, History, Record, Status
from .inverse import Identified, fitted, is_inverse, noise_bound
from .loss import Objective, Weights, objective
from .memory import exhausted
from .uncertainty import assess

_HOPELESS = 1e3  # a rival activation with a held-out residual so many times as large is given up


@dataclass(frozen=True)
class Outcome:
    """A trained approximation, and its estimated error; `family` and `width` are the features that judged it or made it.

    `edges` are those of its slabs of time, if it has any, and `drawn` their features.
    """

    goal: Objective
    weights: Weights
    family: Family
    width: int
    estimate: Estimate
    edges: tuple[float, ...] = ()
    drawn: tuple[Drawn, ...] = ()

    def better_than(self, other: Outcome) -> bool:
        """An estimate that means something before one that does not, then the smaller."""
        return _rank(self.estimate) < _rank(other.estimate)


def _rank(judged: Estimate) -> tuple[bool, float]:
    return judged.trust is Trust.UNKNOWN, judged.worst


def least_squares(
    setup: Setup, widths: Sequence[int], tol: float | None, clock: Clock, history: History, share: float = 0.5
) -> tuple[Outcome, Status]:
    """Search a family of features at the first width, then widen until the estimated error is small enough or settles.

    The best family of the other activation is tried again at the next widths: what is best for few features need not be for
    many. Each width continues from the solution before it, and is judged; the best one is kept. The search may take a `share`
    of the time.
    """

    def tell(found: Fit | Identified) -> None:
        history.add(Record("features", len(history), clock.seconds, held_out=found.held_out, note=str(found.family)))

    widths = widths if setup.start is None else setup.start.widths(widths)
    tried: list[Fit | Identified] = []

    def make(family: Family, width: int = widths[0], index: int = 0) -> Fit | Identified:
        before = min(tried, key=lambda found: found.held_out, default=None) if is_inverse(setup.problem) else None
        tried.append(fitted(setup, family, width, index, before))
        tell(tried[-1])
        return tried[-1]

    starts, good = candidates(setup.problem.domain.dimension), GOOD
    if setup.start is not None:
        starts, good = setup.start.families(starts), setup.start.good(tol)
    hurry = (1 - share) * (clock.limit or 0)
    current = search(starts, make, lambda: clock.left < hurry or noise_bound(tried[-1]), good)
    others = [found for found in tried if found.family.activation is not current.family.activation]
    rival = min(others, key=lambda found: found.held_out, default=None)
    best = latest = _judged(setup, current, widths[0], clock, history)
    try:
        for i, (before, width) in enumerate(pairwise(widths)):
            if reached(latest.estimate, tol):
                return latest, Status.REACHED
            if latest.estimate.rounded:
                return best, Status.SETTLED
            if clock.left < 0:
                return best, Status.TIME
            began = clock.seconds
            sharper, start = (width / before) ** 0.25, None if setup.problem.is_linear else current
            if current.held_out > UNRESOLVED:
                again = partial(make, width=width, index=i + 1)
                current = search(starts, again, lambda: clock.left < 0.5 * (clock.limit or 0), most=20)
            else:
                current = fitted(setup, current.family.scaled(sharper), width, i + 1, start)
                tell(current)
            if rival is not None:
                rival = fitted(setup, rival.family.scaled(sharper), width, i + 1, start)
                tell(rival)
                current, rival = (current, rival) if current.held_out <= rival.held_out else (rival, current)
                rival = rival if rival.held_out < _HOPELESS * current.held_out else None
            latest, last = _judged(setup, current, width, clock, history), latest
            best = latest if latest.better_than(best) else best
            known = latest.estimate.trust is not Trust.UNKNOWN
            if i and known and latest.estimate.worst > 0.5 * last.estimate.worst:
                break
            if clock.left < 4 * (clock.seconds - began):
                return best, Status.REACHED if reached(best.estimate, tol) else Status.TIME
    except Exception as error:
        if not exhausted(error):
            raise
        return best, Status.MEMORY
    return best, Status.REACHED if reached(best.estimate, tol) else Status.SETTLED


def reached(judged: Estimate, tol: float | None) -> bool:
    """Whether an estimate meets a tolerance."""
    return tol is not None and judged.worst <= tol / 2 and judged.trust is not Trust.UNKNOWN


def _judged(setup: Setup, found: Fit | Identified, width: int, clock: Clock, history: History) -> Outcome:
    goal, family, richer = (
        objective(setup.problem, found.approximation, setup.exact),
        found.family.scaled(RICHER),
        int(1.5 * width),
    )
    judged = assess(setup, goal, found.weights, family, richer, setup.exact)
    note = f"width {width}"
    history.add(Record("estimate", len(history), clock.seconds, held_out=found.held_out, estimate=judged.worst, note=note))
    return Outcome(goal, found.weights, found.family, width, judged)
