"""Smooth surfaces that know their area and their normals, and the low-discrepancy numbers that place points on them.

A piece maps a unit cube to itself, uniformly by area: a `Face` of a box, a `Sphere`, or either of them `Extended` over
further coordinates. Corners and edges, where two pieces meet, have no normal and no area: sampling never lands there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import gamma, pi, prod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Two surfaces this close, relative to the size of a piece, are one.
SAME = 1e-9
_LARGEST_BATCH = 2**16
_BISECTIONS = 50


class Piece(Protocol):
    """A smooth surface over some coordinates, parametrised by a unit cube of `parameters` dimensions."""

    @property
    def coordinates(self) -> tuple[str, ...]: ...

    @property
    def parameters(self) -> int:
        """Dimension k of the unit cube that `sample` maps from; 0 for an isolated point."""
        ...

    @property
    def measure(self) -> float:
        """Length, area, ...; 1 for an isolated point."""
        ...

    @property
    def scale(self) -> float:
        """A length across the piece, along its normals: what distances from it are compared with."""
        ...

    def sample(self, unit: Array) -> tuple[Array, Array]:
        """Area-uniform points [n, d] and unit normals [n, d] out of the primitive, from uniform numbers [n, k]."""
        ...

    def touches(self, points: Array) -> Mask:
        """Whether points [n, d] lie on the piece, up to rounding."""
        ...


@dataclass(frozen=True)
class Face:
    """The face of the box [lower, upper] where one coordinate takes its lower or upper end.

    >>> face = Face(("x", "y"), (0.0, 0.0), (2.0, 1.0), axis=0, upper_end=True)
    >>> points, normals = face.sample(np.array([[0.25]]))
    >>> points.tolist(), normals.tolist(), face.measure
    ([[2.0, 0.25]], [[1.0, 0.0]], 1.0)
    """

    coordinates: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    axis: int
    upper_end: bool

    @property
    def name(self) -> str:
        return self.coordinates[self.axis]

    @property
    def value(self) -> float:
        return (self.upper if self.upper_end else self.lower)[self.axis]

    @property
    def parameters(self) -> int:
        return len(self.coordinates) - 1

    @property
    def measure(self) -> float:
        return prod(np.delete(np.subtract(self.upper, self.lower), self.axis).tolist())

    @property
    def scale(self) -> float:
        return self.upper[self.axis] - self.lower[self.axis]

    def sample(self, unit: Array) -> tuple[Array, Array]:
        ends = np.insert(unit, self.axis, 0.0, axis=1)
        points = np.asarray(self.lower) + np.subtract(self.upper, self.lower) * ends
        points[:, self.axis] = self.value
        normals = np.zeros_like(points)
        normals[:, self.axis] = 1.0 if self.upper_end else -1.0
        return points, normals

    def touches(self, points: Array) -> Mask:
        near = np.abs(points[:, self.axis] - self.value) <= SAME * self.scale
        others = np.delete(np.arange(len(self.coordinates)), self.axis)
        # In a hundred dimensions there are two hundred faces: the ranges are looked at only where it matters.
        rows = np.flatnonzero(near)
        within = (points[rows] >= self.lower) & (points[rows] <= self.upper)
        near[rows] = within[:, others].all(axis=1)
        return near


@dataclass(frozen=True)
class Sphere:
    """The surface of a ball: a circle in two coordinates, a sphere in more.

    >>> circle = Sphere(("x", "y"), (0.0, 0.0), 2.0)
    >>> points, normals = circle.sample(np.array([[0.0]]))
    >>> points.tolist(), normals.tolist()
    ([[2.0, 0.0]], [[1.0, 0.0]])
    """

    coordinates: tuple[str, ...]
    centre: tuple[float, ...]
    radius: float

    @property
    def parameters(self) -> int:
        return len(self.coordinates) - 1

    @property
    def measure(self) -> float:
        """2 pi^(d/2) r^(d-1) / Gamma(d/2)."""
        dimension = len(self.coordinates)
        return 2.0 * pi ** (dimension / 2) * self.radius ** (dimension - 1) / gamma(dimension / 2)

    @property
    def scale(self) -> float:
        return self.radius

    def sample(self, unit: Array) -> tuple[Array, Array]:
        normals = directions(unit)
        return np.asarray(self.centre) + self.radius * normals, normals

    def touches(self, points: Array) -> Mask:
        distances = np.linalg.norm(points - np.asarray(self.centre), axis=1) - self.radius
        return np.abs(distances) <= SAME * self.radius


class Filled(Protocol):
    """A region that uniform numbers are mapped to directly."""

    @property
    def measure(self) -> float: ...

    def cover(self, unit: Array) -> Array: ...


@dataclass(frozen=True)
class Extended:
    """A piece times further coordinates, such as a circle over all times: its normals do not change.

    `coordinates` is the order of the columns; `lower` and `upper` bound those that the piece does not have, in order. They fill
    that box, or the region `over`.
    """

    piece: Piece
    coordinates: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    over: Filled | None = None

    @property
    def parameters(self) -> int:
        return self.piece.parameters + len(self.lower)

    @property
    def measure(self) -> float:
        beside = prod(np.subtract(self.upper, self.lower).tolist()) if self.over is None else self.over.measure
        return self.piece.measure * beside

    @property
    def scale(self) -> float:
        return self.piece.scale

    def sample(self, unit: Array) -> tuple[Array, Array]:
        own, free = self._columns()
        points = np.empty((len(unit), len(self.coordinates)))
        normals = np.zeros_like(points)
        points[:, own], normals[:, own] = self.piece.sample(unit[:, : self.piece.parameters])
        rest = unit[:, self.piece.parameters :]
        box = np.asarray(self.lower), np.subtract(self.upper, self.lower)
        points[:, free] = box[0] + box[1] * rest if self.over is None else self.over.cover(rest)
        return points, normals

    def touches(self, points: Array) -> Mask:
        own, free = self._columns()
        within = (points[:, free] >= self.lower) & (points[:, free] <= self.upper)
        return self.piece.touches(points[:, own]) & within.all(axis=1)

    def _columns(self) -> tuple[list[int], list[int]]:
        own = positions(self.piece.coordinates, self.coordinates)
        return own, [column for column in range(len(self.coordinates)) if column not in own]


def positions(names: tuple[str, ...], coordinates: tuple[str, ...]) -> list[int]:
    """The columns in which `names` stand in points whose columns are `coordinates`."""
    return [coordinates.index(name) for name in names]


def directions(unit: Array) -> Array:
    """Uniform unit vectors [n, d] from uniform numbers [n, d - 1], d >= 2.

    On the unit sphere in m dimensions, (1 + height) / 2 along one axis is Beta((m - 1) / 2, (m - 1) / 2) distributed
    (uniform for m = 3: Archimedes); around that axis the rest is a sphere in m - 1 dimensions, down to a circle.
    """
    remaining = np.ones(len(unit))
    columns = []
    for j in range(unit.shape[1] - 1):
        shape = (unit.shape[1] - j) / 2
        height = 2.0 * betaincinv(shape, shape, unit[:, j]) - 1.0
        columns.append(remaining * height)
        remaining = remaining * np.sqrt(1.0 - height**2)
    angle = 2.0 * pi * unit[:, -1]
    return np.stack([*columns, remaining * np.cos(angle), remaining * np.sin(angle)], axis=1)


def unit_batches(dimension: int, count: int, rng: np.random.Generator) -> Iterator[Array]:
    """One scrambled Sobol sequence over the open unit cube, endlessly, in batches of about `count` points [n, k].

    A batch is a power of two, so that the sequence keeps its balance. Its points are multiples of 2^-30; half of that
    is added, since on the edge of the cube lie the corners, which have no normal.
    """
    size = min(1 << (count - 1).bit_length(), _LARGEST_BATCH)
    if dimension == 0:
        while True:
            yield np.empty((size, 0))
    from scipy.stats import qmc  # takes half a second to import

    engine = qmc.Sobol(dimension, scramble=True, rng=rng)
    while True:
        yield engine.random(size) + 2.0**-31


@lru_cache(maxsize=16)
def fixed_points(count: int, dimension: int) -> Array:
    """The Sobol points [count, k], count a power of two, that all estimates of measures use: always the same."""
    points = next(unit_batches(dimension, count, np.random.default_rng(0)))
    points.setflags(write=False)
    return points


def bisected(low: NDArray, high: NDArray, unchanged: Callable[[NDArray], Mask]) -> tuple[NDArray, NDArray]:
    """The places [k] between `low` and `high` up to which things are unchanged, from both sides."""
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        same = unchanged(middle)
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return low, high
