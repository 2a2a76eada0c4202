"""A function that the data of a problem do not fix: its values, its name where it has a simple one, and what would fix it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .boundaries import TIME
from .errors import ProblemError, listing

_SURE = 0.999  # share of a function that a simple formula must explain to name it


class Basis(NamedTuple):
    """A constant and random waves sin(k·s + b) of the coordinates s scaled to [-1, 1]^d."""

    kernel: np.ndarray  # [d, M]
    phase: np.ndarray  # [M]
    lower: np.ndarray
    upper: np.ndarray

    def part(self, points: np.ndarray, index: Sequence[int]) -> np.ndarray:
        """∂^index of every function, [n, M], at points [n, d]."""
        rate = 2 / (self.upper - self.lower)
        angle = ((points - (self.lower + self.upper) / 2) * rate) @ self.kernel + self.phase
        factor = np.prod((self.kernel * rate[:, None]) ** np.array(index)[:, None], axis=0)
        return np.sin(angle + sum(index) * np.pi / 2) * factor


@dataclass(frozen=True, eq=False)
class NullFunction:
    """A function that the data do not fix, largest value 1: call it by coordinates, as a solution; a dict by field.

    Attributes:
        fields: those that it changes.
    """

    fields: tuple[str, ...]
    coordinates: tuple[str, ...]
    bases: Mapping[str, Basis]
    coefficients: Mapping[str, np.ndarray]

    def __call__(self, **points: Any) -> dict[str, np.ndarray]:
        missing = [name for name in self.coordinates if name not in points]
        if missing or len(points) > len(self.coordinates):
            raise ProblemError(f"The function needs the coordinates {listing(self.coordinates)}; got {listing(points)}.")
        columns = np.broadcast_arrays(*(np.asarray(points[name], float) for name in self.coordinates))
        flat = np.stack([column.ravel() for column in columns], axis=1)
        return {name: values.reshape(columns[0].shape) for name, values in self.at(flat).items()}

    def at(self, points: np.ndarray, index: Sequence[int] | None = None) -> dict[str, np.ndarray]:
        """Its values, or ∂^index, [n] by field at points [n, d]."""
        order = index or (0,) * len(self.coordinates)
        return {name: self.bases[name].part(points, order) @ self.coefficients[name] for name in self.fields}


def formula_of(problem: Any, points: np.ndarray, found: np.ndarray) -> tuple[str | None, np.ndarray]:
    """A simple function among the combinations of those found [Q, F, n], by name, and the combination [Q].

    None for the name where there is none, "" for a constant; the combination is then the first function.
    """
    names, (lower, upper) = problem.domain.coordinates, problem.domain.bounds
    factors = [_shapes(name, a, b, points[:, i]) for i, (name, a, b) in enumerate(zip(names, lower, upper, strict=True))]
    for order in range(min(len(names), 2) + 1):
        for axes in itertools.combinations(range(len(names)), order):
            for chosen in itertools.product(*(factors[i].items() for i in axes)):
                shape = np.prod([values for _, values in chosen], axis=0) * np.ones(len(points))
                shape = shape / np.sqrt(np.mean(shape**2))
                share = found @ shape / len(points)  # [Q, F]
                best = int(np.argmax(np.sum(share**2, axis=0)))
                if np.sum(share[:, best] ** 2) > _SURE:
                    return " ".join(text for text, _ in chosen), share[:, best]
    return None, np.eye(len(found))[0]


def _shapes(name: str, a: float, b: float, x: np.ndarray) -> dict[str, np.ndarray]:
    s, shifted = (x - a) / (b - a), name if a == 0 else f"({name} {'-' if a > 0 else '+'} {abs(a):g})"
    angle = shifted if b - a == 1 else f"{shifted}/{b - a:g}"
    found = {shifted: s, f"({b:g} - {name})": 1 - s}
    for n, times in ((0.5, "π/2 "), (1, "π "), (1.5, "3π/2 "), (2, "2π "), (3, "3π ")):
        found |= {f"sin({times}{angle})": np.sin(n * np.pi * s), f"cos({times}{angle})": np.cos(n * np.pi * s)}
    return found


def described(problem: Any, null: NullFunction, formula: str | None, points: np.ndarray) -> tuple[str, str]:
    """What it is, and what to do about it, from its formula as found by `formula_of`."""
    names, fields = problem.domain.coordinates, " and ".join(null.fields)
    sizes = np.max([np.abs(values) for values in null.at(points).values()], axis=0)
    peak = points[int(np.argmax(sizes))]
    where = ", ".join(f"{name} = {x:.2g}" for name, x in zip(names, peak, strict=True))
    if formula == "":
        middle = points[int(np.argmin(np.sum((points - points.mean(axis=0)) ** 2, axis=1)))]
        at = [name != TIME or not timeless(problem, null.fields[0]) for name in names]
        one = ", ".join(f"{name}=[{x:.2g}]" for name, x, wanted in zip(names, middle, at, strict=True) if wanted)
        return f"a constant added to {fields}", (
            f"Give {fields} at one point, as in Condition(lambda {fields}: {fields}, on=Points({one})), or on a part of the "
            "boundary; where only differences of it matter, nothing is missing."
        )
    what = f"any multiple of {formula} added to {fields}" if formula else f"a function added to {fields}, largest near {where}"
    return what, _advice(problem, null, points, fields, where)


def timeless(problem: Any, field: str) -> bool:
    """Whether a field of time and space is determined at each time by itself: no derivative of it by time is read."""
    names = problem.domain.coordinates
    if TIME not in names or len(names) < 2:
        return False
    read = [leaf for term in problem.terms for leaf in term.expression.read]
    return not any(leaf.field == field and leaf.index[names.index(TIME)] for leaf in read)


def _advice(problem: Any, null: NullFunction, points: np.ndarray, fields: str, where: str) -> str:
    """Which condition would tell it apart: one on the face where it is largest, or on its start."""
    inside = _rms(null, points)
    if problem.domain.is_box:
        lower, upper = problem.domain.bounds
        faces: dict[str, float] = {}
        for i, name in enumerate(problem.domain.coordinates):
            for end in (lower[i],) if name == TIME else (lower[i], upper[i]):
                on = points.copy()
                on[:, i] = end
                faces[f"{name} = {end:g}"] = _rms(null, on)
                unit = tuple(int(i == k) for k in range(len(lower)))
                if name == TIME and faces[f"{name} = {end:g}"] < 0.05 * inside:
                    speed = _rms(null, on, unit) * (upper[i] - lower[i])
                    if speed > 0.3 * inside:
                        return f"Add a condition for the velocity of {fields} on {name} = {end:g}: InitialVelocity(...)."
        face = max(faces, key=lambda name: faces[name])
        if faces[face] > 0.03 * inside:
            return f"Add a condition for {fields} on {face}, where it is not zero."
        return (
            "No value on the boundary would tell it apart: the equations have this solution of their own (a resonance), so that "
            "there is none for most data, and else infinitely many. Check the coefficients and the size of the domain."
        )
    return f"Add a condition for {fields} near {where}."


def _rms(null: NullFunction, points: np.ndarray, index: Sequence[int] | None = None) -> float:
    return float(np.sqrt(np.mean(np.sum([values**2 for values in null.at(points, index).values()], axis=0))))
