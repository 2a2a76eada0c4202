"""The look at a problem before it is solved: do the conditions fix one solution?

Takes a problem by its attributes, and imports nothing of it.
"""

from __future__ import annotations

import numpy as np

from .conditions import Condition, Data, Periodic
from .values import Points


def missing_conditions(problem) -> list[str]:
    """What the count of conditions says, coordinate by coordinate; an empty list where it finds no fault.

    In each coordinate the orders of the equations, added over the fields, are compared with the number of conditions on its two
    ends. Fields of first order in one of several spatial coordinates need none (pressure, say). Where data or unknown
    parameters take part, counting says nothing.
    """
    if not problem.domain.is_box or problem.parameters or any(isinstance(c, Data) for c in problem.conditions):
        return []
    if any(isinstance(term.place, Points) for term in problem.terms):
        return []
    found = []
    for axis, name in enumerate(problem.domain.coordinates):
        alone = problem.domain.dimension == 1 or name == "t"
        orders = {field: order[axis] for field, order in problem.orders.items() if order[axis] >= (1 if alone else 2)}
        needed, given = sum(orders.values()), sum(_given(problem, term, name) for term in problem.terms[1:])
        if given < needed:
            fields = ", ".join(f"{field} (order {order})" for field, order in orders.items())
            found.append(
                f"the equations need {needed} conditions in {name}, for {fields}, and have {given}: infinitely many functions "
                f"satisfy all that is given. Add {needed - given} at an end of {name}."
            )
        if alone and given > needed and orders:
            many = "s" * (needed != 1)
            found.append(
                f"the equations need {needed} condition{many} in {name} and have {given}: no function satisfies all of them "
                f"in general. Remove {given - needed}."
            )
    return found


def _given(problem, term, coordinate: str) -> int:
    condition: Condition = term.condition
    if isinstance(condition, Periodic):
        return len(term.expression.components) if condition.coordinate == coordinate else 0
    ends = sum(patch_coordinate == coordinate for patch_coordinate, _ in faces(term.place, whole=False))
    return ends * len(term.expression.components)


def faces(surface, whole: bool = True) -> list[tuple[str, float]]:
    """The faces of a box, (coordinate, value), that a selection consists of; `whole` leaves parts of a face out."""
    lower, upper = surface.domain.bounds
    found = []
    for patch, measure in zip(surface.patches, surface.measures, strict=True):
        if patch.face is None:
            continue
        others = np.delete(upper - lower, surface.domain.coordinates.index(patch.face[0]))
        if not whole or measure > (1 - 1e-9) * np.prod(others):
            found.append(patch.face)
    return found
