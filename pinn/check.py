"""The look at a problem before it is solved: what it consists of, and whether its conditions fix one solution.

Takes a problem by its attributes, and imports nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .boundaries import Surface
from .conditions import Condition, Periodic
from .errors import ProblemError
from .values import Always, Points
from .wellposed import Stability, message, stability


class Count(NamedTuple):
    """Conditions in one coordinate: needed for fields of these orders, and given; `alone` where more than needed is too many."""

    coordinate: str
    orders: dict[str, int]
    needed: int
    given: int
    alone: bool


@dataclass(frozen=True, eq=False)
class Report:
    """What `check` found. Printing it shows a table.

    Attributes:
        counts: conditions needed and given, coordinate by coordinate; empty where counting says nothing.
        faults: what is wrong, a sentence each; empty where nothing was found.
        stability: the smallest singular values, and the function that the data do not fix.
    """

    problem: Any
    counts: tuple[Count, ...]
    faults: tuple[str, ...]
    stability: Stability

    def __str__(self) -> str:
        problem = self.problem
        shown = {name: f"{name}({', '.join(names)})" for name, names in problem.depends.items()}
        lines = [f"{problem.name}: {', '.join(shown.values())} on {problem.domain!r}", ""]
        lines += _table([("term", "residual", "reads", "size"), *self._terms()])
        if self.counts:
            rows = [(c.coordinate, str(c.needed), str(c.given)) for c in self.counts]
            lines += ["", *_table([("conditions in", "needed", "given"), *rows])]
        lines += ["", f"{self.stability}"]
        lines += [f"Warning: {fault}" for fault in self.faults]
        return "\n".join(lines)

    def _terms(self) -> Iterator[tuple[str, str, str, str]]:
        names = self.problem.domain.coordinates
        for term in self.problem.terms:
            expression, sizes = term.expression, self.stability.scales.get(term.name, ())
            shape = f"[{'n' if _count(term) is None else _count(term)}, {len(expression.components)}]"
            leaves = dict.fromkeys(_derivative(leaf.field, leaf.index, names) for leaf in expression.leaves)
            kind = "" if expression.is_affine else " (nonlinear)"
            yield term.name, shape, ", ".join(leaves) + kind, ", ".join(f"{size:.2g}" for size in sizes)


def check(problem: Any) -> Report:
    """The pre-flight report of a problem: names, shapes, counts, sizes, and whether one solution is fixed. Nothing is trained.

    The size of a term is its largest coefficient where the domain has unit length; sizes far apart within one term hint at
    units or a slip of the pen.

    Raises:
        ProblemError: anything but a problem.

    Example:
        >>> from pinn import Dirichlet, Interval, Problem, d
        >>> line = Interval(x=(0, 5))
        >>> print(check(Problem(fields="y", domain=line, residual=lambda y, x: d(y, x, x) + d(y, x) + y,
        ...                     conditions=[Dirichlet(y=1.0, on=line.at(x=0)), Dirichlet(y=0.0, on=line.at(x=5))])))
        problem: y(x) on Interval(x=(0, 5))
        <BLANKLINE>
        term                      residual  reads         size
        equation                  [n, 1]    y, y_x, y_xx  0.2
        Dirichlet y = 1 on x = 0  [1, 1]    y             1
        Dirichlet y = 0 on x = 5  [1, 1]    y             1
        <BLANKLINE>
        conditions in  needed  given
        x              2       2
        <BLANKLINE>
        smallest singular value 0.89: disturbances are amplified by up to 1.1
    """
    if not hasattr(problem, "terms") or not hasattr(problem, "domain"):
        raise ProblemError(f"check() needs a pinn.Problem; got {problem!r:.80}.")
    found = stability(problem)
    faults = [*missing_conditions(problem), *([message(found)] if found.ill_posed else [])]
    return Report(problem, tuple(condition_counts(problem)), tuple(faults), found)


def _count(term: Any) -> int | None:
    """The number of a term's points where it is not free to choose."""
    if isinstance(term.place, Points):
        return len(term.place)
    if isinstance(term.place, Always):
        return None
    if not isinstance(term.place, Surface | None):
        return 1 if term.place.over is None else None
    if term.place is not None and len(term.place.domain.coordinates) == 1:
        return len(term.place.patches)
    return None


def _derivative(field: str, index: Sequence[int], coordinates: Sequence[str]) -> str:
    below = "".join(name * n for name, n in zip(coordinates, index, strict=True))
    return f"{field}_{below}" if below else field


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def condition_counts(problem: Any) -> list[Count]:
    """Conditions needed and given in each coordinate.

    The orders of the equations are added over the fields; fields of first order in one of several spatial coordinates need
    none (pressure, say). Empty where data, integrals, unknown parameters or a curved domain take part: counting says nothing
    there.
    """
    counted = all(isinstance(term.place, Surface | None) for term in problem.terms)
    if not problem.domain.is_box or problem.parameters or not counted:
        return []
    found = []
    for axis, name in enumerate(problem.domain.coordinates):
        alone = problem.domain.dimension == 1 or name == "t"
        orders = {field: order[axis] for field, order in problem.orders.items() if order[axis] >= (1 if alone else 2)}
        given = sum(_given(problem, term, name) for term in problem.terms[1:])
        found.append(Count(name, orders, sum(orders.values()), given, alone))
    return found


def missing_conditions(problem: Any) -> list[str]:
    """What the count of conditions says, coordinate by coordinate; an empty list where it finds no fault."""
    found = []
    for name, orders, needed, given, alone in condition_counts(problem):
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


def _given(problem: Any, term: Any, coordinate: str) -> int:
    condition: Condition = term.condition
    if isinstance(condition, Periodic):
        return len(term.expression.components) if condition.coordinate == coordinate else 0
    ends = sum(patch_coordinate == coordinate for patch_coordinate, _ in faces(term.place, whole=False))
    return ends * len(term.expression.components)


def faces(surface: Any, whole: bool = True) -> list[tuple[str, float]]:
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
