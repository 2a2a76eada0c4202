"""Domains: sets of points with named coordinates, and their algebra.

`Interval`, `Box`, `Disk` and `Ball` are combined by `a - b`, `a + b` (union), `a & b` (intersection) and `a * b`
(product over further coordinates). Points are float64 arrays [n, d], one column a coordinate, in the order of
`.coordinates`. Everything else follows from one function, the signed distance to the boundary.

>>> strip = Box(x=(0, 2), y=(0, 1)) - Disk(x=1, y=0.5, radius=0.2)
>>> strip.contains([[0.1, 0.1], [1.0, 0.5]]).tolist()
[True, False]
>>> strip.at(y=1), strip * Interval(t=(0, 1))
(y = 1, (Box(x=(0, 2), y=(0, 1)) - Disk(x=1, y=0.5, radius=0.2)) * Interval(t=(0, 1)))
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable
from dataclasses import dataclass
from math import gamma, pi, prod
from typing import Any, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike

from pinn.algebra import Domain, bounds_in
from pinn.boundaries import TIME
from pinn.errors import DomainError, by_name, listing
from pinn.pieces import Array, Face, Piece, Sphere, directions
from pinn.pointsets import finite, shape_of

# `where` is an argument of `at`; the others are arguments of conditions.
RESERVED = ("on", "normal", "name", "sigma", "where")


@by_name(DomainError, "Box(t=(0, 1), x=(-1, 1))")
@dataclass(frozen=True, init=False, repr=False)
class Box(Domain):
    """The points with lower <= coordinate <= upper in each coordinate; time is a coordinate named `t`.

    Raises `DomainError` for bounds that are not two increasing finite numbers, and for unusable names.

    >>> box = Box(t=(0, 1), x=(-1, 1))
    >>> box.coordinates, box.spatial, box.measure
    (('t', 'x'), ('x',), 2.0)
    """

    coordinates: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __init__(self, **ranges: ArrayLike) -> None:
        names = coordinate_names(self, ranges)
        if not names:
            raise DomainError(f"{kind_of(self)} needs a range for each coordinate, such as {kind_of(self)}(x=(0, 1)).")
        pairs = [_increasing_pair(name, ranges[name]) for name in names]
        assign(self, coordinates=names, lower=tuple(a for a, _ in pairs), upper=tuple(b for _, b in pairs))

    def __repr__(self) -> str:
        ranges = (f"{name}=({lower:g}, {upper:g})" for name, (lower, upper) in self._ranges().items())
        return f"{kind_of(self)}({', '.join(ranges)})"

    @property
    def is_box(self) -> bool:
        return True

    @property
    def covers_itself(self) -> bool:
        return True

    @property
    def bounds(self) -> tuple[Array, Array]:
        return np.array(self.lower), np.array(self.upper)

    @property
    def measure(self) -> float:
        return prod(np.subtract(self.upper, self.lower).tolist())

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return tuple(
            Face(self.coordinates, self.lower, self.upper, axis, end) for axis in range(self.dimension) for end in (False, True)
        )

    def __mul__(self, other: Domain) -> Domain:
        # A box times a box is a box, so that two spellings of one domain are equal; the product checks the names.
        product = super().__mul__(other)
        return Box(**self._ranges(), **other._ranges()) if isinstance(other, Box) else product

    def _distance(self, points: Array) -> Array:
        beyond = np.maximum(np.subtract(self.lower, points), np.subtract(points, self.upper))
        outside = np.linalg.norm(np.maximum(beyond, 0.0), axis=1)
        return outside + np.minimum(beyond.max(axis=1), 0.0)

    def _ranges(self) -> dict[str, tuple[float, float]]:
        return dict(zip(self.coordinates, zip(self.lower, self.upper, strict=True), strict=True))

    def _encloses(self, other: Domain) -> bool:
        lower, upper = bounds_in(other, self.coordinates)
        return bool(np.all(lower >= self.lower) and np.all(upper <= self.upper))


@by_name(DomainError, "Interval(x=(0, 5))")
class Interval(Box):
    """The points of one coordinate between two ends.

    >>> line = Interval(x=(0, 5))
    >>> line, line.at(x=5), line * Interval(t=(0, 1))
    (Interval(x=(0, 5)), x = 5, Box(x=(0, 5), t=(0, 1)))
    """

    def __init__(self, **ranges: ArrayLike) -> None:
        if len(ranges) != 1:
            raise DomainError(f"Interval takes exactly one coordinate, got {listing(ranges)}. Use Box for several.")
        super().__init__(**ranges)


@by_name(DomainError, "Ball(x=0, y=0, z=0, radius=1)")
@dataclass(frozen=True, init=False, repr=False)
class Ball(Domain):
    """The points within `radius` of a centre, which is given by its coordinates: two or more, none of them time.

    Raises `DomainError` for fewer coordinates, values that are not finite numbers, or a radius that is not positive.

    >>> round(Ball(x=0, y=0, z=0, radius=1).measure, 6)
    4.18879
    """

    coordinates: tuple[str, ...]
    centre: tuple[float, ...]
    radius: float

    def __init__(self, *, radius: SupportsFloat, **centre: SupportsFloat) -> None:
        names = coordinate_names(self, centre)
        if len(names) < 2:
            raise DomainError(
                f"{kind_of(self)} needs two or more coordinates for its centre, got {listing(names)}. "
                f"In one coordinate use Interval."
            )
        if TIME in names:
            raise DomainError(
                f"{kind_of(self)} cannot be round in time, got the coordinates {listing(names)}. "
                f"Give it the coordinates in space and multiply: {kind_of(self)}(...) * Interval({TIME}=(0, 1))."
            )
        size = finite(radius, "radius")
        if size <= 0:
            raise DomainError(f"The radius of a {kind_of(self)} must be positive, got {size:g}.")
        assign(self, coordinates=names, centre=tuple(finite(centre[name], name) for name in names), radius=size)

    def __repr__(self) -> str:
        centre = (f"{name}={value:g}" for name, value in zip(self.coordinates, self.centre, strict=True))
        return f"{kind_of(self)}({', '.join(centre)}, radius={self.radius:g})"

    @property
    def bounds(self) -> tuple[Array, Array]:
        return np.array(self.centre) - self.radius, np.array(self.centre) + self.radius

    @property
    def measure(self) -> float:
        """pi^(d/2) r^d / Gamma(d/2 + 1)."""
        return pi ** (self.dimension / 2) * self.radius**self.dimension / gamma(self.dimension / 2 + 1)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return (Sphere(self.coordinates, self.centre, self.radius),)

    @property
    def covers_itself(self) -> bool:
        return True

    def cover(self, unit: Array) -> Array:
        # In ten dimensions a ball is 0.2 % of the box around it: it is mapped to directly.
        return self.centre + self.radius * unit[:, :1] ** (1.0 / self.dimension) * directions(unit[:, 1:])

    def _distance(self, points: Array) -> Array:
        return np.linalg.norm(points - np.array(self.centre), axis=1) - self.radius

    def _encloses(self, other: Domain) -> bool:
        lower, upper = bounds_in(other, self.coordinates)
        if isinstance(other, Ball):
            reach = np.linalg.norm((lower + upper) / 2 - self.centre) + other.radius
        else:
            reach = np.linalg.norm(np.maximum(np.abs(lower - self.centre), np.abs(upper - self.centre)))
        return bool(reach <= self.radius)


@by_name(DomainError, "Disk(x=0, y=0, radius=1)")
class Disk(Ball):
    """The points within `radius` of a centre in the plane.

    >>> Disk(x=1.0, y=0.5, radius=0.2)
    Disk(x=1, y=0.5, radius=0.2)
    """

    def __init__(self, *, radius: SupportsFloat, **centre: SupportsFloat) -> None:
        if len(centre) != 2:
            raise DomainError(f"Disk takes exactly two coordinates, got {listing(centre)}. Use Ball for more.")
        super().__init__(radius=radius, **centre)


def kind_of(domain: Domain) -> str:
    return type(domain).__name__


def assign(domain: Domain, **fields: object) -> None:
    """Set the fields of a frozen dataclass whose own constructor takes coordinates by name."""
    for name, value in fields.items():
        object.__setattr__(domain, name, value)


def coordinate_names(domain: Domain, names: Iterable[str]) -> tuple[str, ...]:
    for name in names:
        if name in RESERVED:
            raise DomainError(f"{name!r} cannot name a coordinate: {listing(RESERVED)} are reserved. Rename it.")
        if not name.isidentifier() or keyword.iskeyword(name):
            raise DomainError(f"{name!r} cannot name a coordinate of a {kind_of(domain)}: functions could not ask for it.")
    return tuple(names)


def _increasing_pair(name: str, value: Any) -> tuple[float, float]:
    if shape_of(value) != (2,):
        raise DomainError(f"{name} must be a pair (lower, upper), such as {name}=(0, 1); got {value!r}.")
    lower, upper = (finite(end, f"{end_name} end of {name}") for end, end_name in zip(value, ("Lower", "Upper"), strict=True))
    if lower >= upper:
        raise DomainError(f"{name} = ({lower:g}, {upper:g}) is empty: its lower end must be below its upper end.")
    return lower, upper
