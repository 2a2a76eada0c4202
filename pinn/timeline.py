"""Whether a problem evolves in time, so that it can be solved slab by slab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .algebra import Product
from .boundaries import TIME, Surface
from .check import faces
from .conditions import Periodic
from .exact import Exact
from .frames import arguments
from .problem import Problem
from .values import Always


@dataclass(frozen=True)
class Timeline:
    """Where a problem evolves: the coordinate, its ends, how many derivatives of each field go on, what starts it."""

    axis: int
    start: float
    end: float
    orders: Mapping[str, int]
    initial: tuple[str, ...]


def timeline(problem: Problem, exact: Exact) -> Timeline | None:
    """The evolution that slabs can follow; None where they are not valid.

    They are where time stands beside space as a product, all that is given in time is given at its start, and nothing (unknown
    parameters, data, delays, periodic time, fields of fewer coordinates) ties different times together.
    """
    names = problem.domain.coordinates
    axis = names.index(TIME) if TIME in names else 0 if len(names) == 1 else None
    if axis is None or problem.parameters or len(problem.groups()) > 1 or exact.periodic[axis] or not _extruded(problem, axis):
        return None
    if any(names != depends for depends in problem.depends.values()):
        return None
    start, end = (float(ends[axis]) for ends in problem.domain.bounds)
    orders = {name: problem.orders[name][axis] for name in problem.unknowns}
    initial, given = [], 0
    for term in problem.terms:
        condition = term.condition
        if isinstance(condition, Periodic):
            if condition.coordinate == names[axis]:
                return None
        elif len(term.expression.sites) > 1:
            return None
        if term.place is None or isinstance(term.place, Always):
            continue
        if not isinstance(term.place, Surface) or _asks_time(term.place, names[axis]):
            return None
        ends = {value for name, value in faces(term.place, whole=False) if name == names[axis]}
        if end in ends or (ends and len(term.place.patches) > 1):
            return None
        if ends:
            initial.append(term.name)
            given += len(term.expression.components)
    if given < sum(orders.values()) or not 1 <= max(orders.values()) <= 2:
        return None
    return Timeline(axis, start, end, orders, tuple(initial))


def _extruded(problem: Problem, axis: int) -> bool:
    domain, name = problem.domain, problem.domain.coordinates[axis]
    return domain.is_box or (isinstance(domain, Product) and (name,) in (domain.first.coordinates, domain.second.coordinates))


def _asks_time(place: Surface, name: str) -> bool:
    return any(name in arguments(where) for patch in place.patches for where in patch.where)
