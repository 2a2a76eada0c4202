"""The algebra of domains: differences, unions, intersections and products, each again a domain.

All of them follow from the signed distances of their parts: `a - b` is max(a, -b), `a + b` is min(a, b), and so on.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import ClassVar

import numpy as np

from pinn.boundaries import TIME
from pinn.errors import DomainError, listing
from pinn.pieces import Array, Piece, positions, unit_batches
from pinn.pointsets import PointSet

_MEASURE_BATCH, _MEASURE_BATCHES = 2**16, 4


class Domain(PointSet):
    """A closed set of points with named coordinates; `pinn.domains` has the shapes to build it from."""

    def __sub__(self, other: Domain) -> Domain:
        return Difference(self, other) if isinstance(other, Domain) else NotImplemented

    def __add__(self, other: Domain) -> Domain:
        return Union(self, other) if isinstance(other, Domain) else NotImplemented

    def __and__(self, other: Domain) -> Domain:
        return Intersection(self, other) if isinstance(other, Domain) else NotImplemented

    def __mul__(self, other: Domain) -> Domain:
        return Product(self, other) if isinstance(other, Domain) else NotImplemented

    def _encloses(self, other: Domain) -> bool:
        """Whether the other domain is certainly a part of this one; only then do measures have a closed form."""
        return False


@dataclass(frozen=True, repr=False)
class _Pair(Domain):
    """Two domains combined; the columns of the second are found by name."""

    first: Domain
    second: Domain
    coordinates: tuple[str, ...] = field(init=False)

    symbol: ClassVar[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "coordinates", self._joined())

    @abstractmethod
    def _joined(self) -> tuple[str, ...]:
        """The coordinates of the combination; raises `DomainError` where the two do not fit together."""

    def __repr__(self) -> str:
        def operand(domain: Domain, bare: bool) -> str:
            return repr(domain) if bare or not isinstance(domain, _Pair) else f"({domain!r})"

        associates = getattr(self.first, "symbol", None) == self.symbol
        return f"{operand(self.first, associates)} {self.symbol} {operand(self.second, False)}"

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return self.first.pieces + self.second.pieces

    def _distances(self, points: Array) -> tuple[Array, Array]:
        def part(domain: Domain) -> Array:
            return domain._distance(points[:, positions(domain.coordinates, self.coordinates)])

        return part(self.first), part(self.second)


class _Combination(_Pair):
    """Two domains in the same coordinates, which the second may have in another order."""

    def _joined(self) -> tuple[str, ...]:
        if set(self.first.coordinates) != set(self.second.coordinates):
            raise DomainError(
                f"{self!r} needs the same coordinates on both sides, got {listing(self.first.coordinates)} and "
                f"{listing(self.second.coordinates)}. Extend one by a product, such as a * Interval({TIME}=(0, 1))."
            )
        return self.first.coordinates

    @property
    def measure(self) -> float:
        return self._measure

    @cached_property
    def _measure(self) -> float:
        overlap = self._overlap()
        if overlap is not None:
            return self._measure_from(overlap)
        lower, upper = self.bounds
        batches = unit_batches(self.dimension, _MEASURE_BATCH, np.random.default_rng(0))
        fractions = [np.mean(self.contains(lower + (upper - lower) * unit)) for unit in islice(batches, _MEASURE_BATCHES)]
        return float(np.prod(upper - lower) * np.mean(fractions))

    @abstractmethod
    def _measure_from(self, overlap: float) -> float:
        """The measure, given that of the intersection of the two domains."""

    def _overlap(self) -> float | None:
        """The measure of the intersection, where it has a closed form."""
        lower, upper = _common_bounds(self.first, self.second)
        if np.any(lower >= upper):
            return 0.0
        if self.first._encloses(self.second):
            return self.second.measure
        if self.second._encloses(self.first):
            return self.first.measure
        return float(np.prod(upper - lower)) if self.first.is_box and self.second.is_box else None


class Difference(_Combination):
    """`a - b`: the points of a that are not inside b."""

    symbol = "-"

    @property
    def bounds(self) -> tuple[Array, Array]:
        return self.first.bounds

    def cover(self, unit: Array) -> Array:
        return self.first.cover(unit)

    def _distance(self, points: Array) -> Array:
        first, second = self._distances(points)
        return np.maximum(first, -second)

    def _measure_from(self, overlap: float) -> float:
        return self.first.measure - overlap

    def _encloses(self, other: Domain) -> bool:
        lower, upper = _common_bounds(other, self.second)
        return self.first._encloses(other) and bool(np.any(lower >= upper))


class Union(_Combination):
    """`a + b`: the points of either."""

    symbol = "+"

    @property
    def bounds(self) -> tuple[Array, Array]:
        (lower, upper), (lower_2, upper_2) = self.first.bounds, bounds_in(self.second, self.coordinates)
        return np.minimum(lower, lower_2), np.maximum(upper, upper_2)

    def _distance(self, points: Array) -> Array:
        return np.minimum(*self._distances(points))

    def _measure_from(self, overlap: float) -> float:
        return self.first.measure + self.second.measure - overlap

    def _encloses(self, other: Domain) -> bool:
        return self.first._encloses(other) or self.second._encloses(other)


class Intersection(_Combination):
    """`a & b`: the points of both. Raises `DomainError` where the boxes around them do not overlap."""

    symbol = "&"

    def _joined(self) -> tuple[str, ...]:
        coordinates = super()._joined()
        if np.any(np.greater_equal(*self.bounds)):
            raise DomainError(f"{self!r} is empty: the two do not overlap. Check the numbers; a + b is the union.")
        return coordinates

    @property
    def bounds(self) -> tuple[Array, Array]:
        return _common_bounds(self.first, self.second)

    def _distance(self, points: Array) -> Array:
        return np.maximum(*self._distances(points))

    def _measure_from(self, overlap: float) -> float:
        return overlap


class Product(_Pair):
    """`a * b`: the points whose first coordinates lie in a and whose others lie in b. Two boxes give a box."""

    symbol = "*"

    def _joined(self) -> tuple[str, ...]:
        shared = [name for name in self.first.coordinates if name in self.second.coordinates]
        if shared:
            raise DomainError(
                f"{self!r} has {listing(shared)} on both sides; a product takes domains in different coordinates. "
                f"In the same ones use a + b (union), a & b (intersection) or a - b."
            )
        return self.first.coordinates + self.second.coordinates

    @property
    def bounds(self) -> tuple[Array, Array]:
        (lower, upper), (lower_2, upper_2) = self.first.bounds, self.second.bounds
        return np.concatenate([lower, lower_2]), np.concatenate([upper, upper_2])

    @property
    def measure(self) -> float:
        return self.first.measure * self.second.measure

    @property
    def covers_itself(self) -> bool:
        return self.first.covers_itself and self.second.covers_itself

    def filled(self, coordinates: tuple[str, ...]) -> PointSet | None:
        for factor in (self.first, self.second):
            if factor.coordinates == coordinates and factor.covers_itself and not factor.is_box:
                return factor
            found = factor.filled(coordinates)
            if found is not None:
                return found
        return None

    def extends(self, name: str) -> bool:
        return (self.first if name in self.first.coordinates else self.second).extends(name)

    def cover(self, unit: Array) -> Array:
        split = self.first.dimension
        return np.concatenate([self.first.cover(unit[:, :split]), self.second.cover(unit[:, split:])], axis=1)

    def _distance(self, points: Array) -> Array:
        first, second = self._distances(points)
        outside = np.hypot(np.maximum(first, 0.0), np.maximum(second, 0.0))
        return outside + np.minimum(np.maximum(first, second), 0.0)


def bounds_in(domain: Domain, coordinates: tuple[str, ...]) -> tuple[Array, Array]:
    """The domain's bounds with its coordinates in another order."""
    columns = positions(coordinates, domain.coordinates)
    lower, upper = domain.bounds
    return lower[columns], upper[columns]


def _common_bounds(first: Domain, second: Domain) -> tuple[Array, Array]:
    """The intersection of the boxes around two domains, in the coordinates of the first; empty where lower >= upper."""
    (lower, upper), (lower_2, upper_2) = first.bounds, bounds_in(second, first.coordinates)
    return np.maximum(lower, lower_2), np.minimum(upper, upper_2)
