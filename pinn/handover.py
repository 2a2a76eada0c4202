"""What a slab of time begins with: the state in which the one before it ended.

Were that built into the ansatz, as u = D + τ h, then what the features cannot mend of the residual of D where a slab begins
would stay, and grow from slab to slab by orders of magnitude. So each slab stands on its own features, and a term asks that they
begin with the values, and where the equation is of second order in time with the velocities, that the slab before it ends with.
By what they miss the solution jumps there: a residual like any other, and part of the error estimate like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from .approximation import Slabs
from .conditions import Condition
from .exact import Exact
from .frames import named
from .loss import Objective, objective
from .operators import d
from .problem import Problem
from .terms import Term, condition_terms
from .timeline import timeline
from .values import Setting


class Handover(Condition):
    """The value of each field where a slab begins, and its velocity where the equation is of second order: what is handed over.

    Args:
        orders: how many derivatives in time of each field are handed over, the value counted as the first.
    """

    def __init__(self, orders: Mapping[str, int]):
        self.orders, self.name = {name: order for name, order in orders.items() if order}, None

    def what(self) -> str:
        return "handover"

    def function(self, setting: Setting):
        time = setting.evolution

        def residual(**inputs):
            moving = [name for name, order in self.orders.items() if order > 1]
            velocities = {f"{name}'": d(inputs[name], inputs[time]) for name in moving}
            return {name: inputs[name] for name in self.orders} | velocities

        return named(residual, (*self.orders, time), self.what())

    def place(self, setting: Setting):
        return setting.start()


def is_handover(term: Term) -> bool:
    return isinstance(term.condition, Handover)


@lru_cache(maxsize=64)
def later_slabs(problem: Problem, exact: Exact) -> Objective:
    """The objective of a slab that is not the first: what is handed over in place of initial conditions.

    One object for one problem and its `exact`, so that what is compiled for it is found again.
    """
    time = timeline(problem, exact)
    assert time is not None
    goal = objective(problem, Slabs((), time.axis), exact.started(time.axis, time.initial))
    extras = problem.known()
    setting = Setting(problem.domain, problem.fields, problem.orders, tuple(extras))
    handed = tuple(condition_terms(Handover(time.orders), setting, problem.depends, extras))
    return Objective(problem, goal.approximation, goal.exact, (*goal.terms, *handed))
