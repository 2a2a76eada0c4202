"""Fields that are fixed only up to a constant, or up to a function of time: a pressure, of which only differences matter.

Whatever constant is added to such a field, equations and conditions stay as they are. So that there is one solution, and its
error means something, it is held at zero at one place; where no derivative of it by time is read, at all times.
"""

from __future__ import annotations

import warnings

import numpy as np

from . import sampling
from .boundaries import TIME
from .errors import WellPosednessWarning
from .nullfunction import NullFunction, timeless
from .problem import Problem, where
from .wellposed import Stability, message, stability

_PLACES, _TIMES = 64, 8  # that tell whether a function is the same everywhere in space
_EVEN = 1e-3  # variation over space, relative to its size, of one that is


def pinned(problem: Problem) -> tuple[Problem, Stability]:
    """The problem, with a field held at one place where it is fixed only up to a constant, and how well-posed it is then.

    Warns:
        WellPosednessWarning: a function satisfies every equation and condition with zero data.
    """
    posed = stability(problem)
    if not posed.ill_posed:
        return problem, posed
    said, place = f"{problem.name}: {message(posed)}", _place(problem, posed)
    if place and posed.null is not None:
        (name,) = posed.null.fields
        held = problem.held(name, place)
        again = stability(held)
        if not again.ill_posed:
            problem, posed = held, again
            said += f" Until then {name} is held at 0 where {where(place)}; its error is that of differences."
    warnings.warn(said, WellPosednessWarning, stacklevel=3)
    return problem, posed


def _place(problem: Problem, posed: Stability) -> dict[str, float]:
    """Where to hold the field that is fixed only up to a constant, or a function of time; empty where there is none."""
    null, names = posed.null, problem.domain.coordinates
    if null is None or len(null.fields) != 1 or problem.regions is not None or problem.parameters:
        return {}
    points = sampling.interior(problem.domain, _PLACES, 0)
    middle = points[int(np.argmin(np.sum((points - points.mean(axis=0)) ** 2, axis=1)))]
    place = dict(zip(names, middle.tolist(), strict=True))
    if timeless(problem, null.fields[0]) and _is_even(problem, null, points):
        return {name: value for name, value in place.items() if name != TIME}
    return place if posed.constant is not None else {}


def _is_even(problem: Problem, null: NullFunction, points: np.ndarray) -> bool:
    """Whether a function has the same value everywhere in space, at each time."""
    axis = problem.domain.coordinates.index(TIME)
    start, end = (float(ends[axis]) for ends in problem.domain.bounds)
    found = []
    for time in np.linspace(start, end, _TIMES):
        points[:, axis] = time
        found.append(null.at(points)[null.fields[0]])
    values = np.array(found)
    return bool(np.std(values - values.mean(axis=1, keepdims=True)) < _EVEN * np.sqrt(np.mean(values**2)))
