"""Shapes of the plane beside the disk: polygons, and ellipses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import cos, hypot, pi, sin
from typing import TYPE_CHECKING, Any, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike

from pinn.algebra import Domain, bounds_in
from pinn.boundaries import TIME
from pinn.curves import Chain, Oval
from pinn.domains import Ball, assign, coordinate_names
from pinn.errors import DomainError, by_name, listing
from pinn.pieces import Array, Face, Piece, directions, positions
from pinn.pointsets import finite, shape_of

if TYPE_CHECKING:
    import shapely

_LISTED = 8  # corners that a text shows


@by_name(DomainError, "Polygon(x=[0, 1, 0], y=[0, 0, 1])")
@dataclass(frozen=True, init=False, repr=False)
class Polygon(Domain):
    """The points inside a closed line through corners, given by a column for each coordinate, as in `Points`.

    Corners may run either way round, and the last is joined to the first. Edges along a coordinate are faces, as of a box;
    `boundary.where` selects others. Corners have no normal, and no sample lies on one. A hole is subtracted: `a - b`.

    Raises `DomainError` for fewer than three corners, columns that do not match, or a line that touches or crosses itself.

    >>> step = Polygon(x=[0, 2, 2, 1, 1, 0], y=[0, 0, 1, 1, 2, 2])
    >>> step, step.measure, step.at(x=2)
    (Polygon(x=[0, 2, 2, 1, 1, 0], y=[0, 0, 1, 1, 2, 2]), 3.0, x = 2)
    """

    coordinates: tuple[str, ...]
    corners: tuple[tuple[float, float], ...]  # counterclockwise

    def __init__(self, **columns: ArrayLike) -> None:
        names = coordinate_names(self, columns)
        _check_plane(self, names)
        x, y = (_column(name, columns[name]) for name in names)
        if len(x) != len(y) or len(x) < 3:
            raise DomainError(
                f"A Polygon needs three corners or more, a value of each coordinate for each; got {_counts(names, x, y)}."
            )
        corners = list(zip(x, y, strict=True))
        corners = corners[:-1] if corners[0] == corners[-1] else corners
        outline = _outline(tuple(corners))
        if not outline.is_valid:
            raise DomainError(
                f"The edges of a Polygon must not touch or cross; {_invalid(outline)}. Give its corners in the order in which a "
                "pencil would draw it, and build shapes of several parts with a + b and a - b."
            )
        corners = corners if outline.exterior.is_ccw else corners[::-1]
        assign(self, coordinates=names, corners=tuple(corners))

    def __repr__(self) -> str:
        if len(self.corners) > _LISTED:
            return f"Polygon({len(self.corners)} corners in {', '.join(self.coordinates)})"
        columns = zip(self.coordinates, zip(*self.corners, strict=True), strict=True)
        return f"Polygon({', '.join(f'{name}=[' + ', '.join(f'{v:g}' for v in column) + ']' for name, column in columns)})"

    @property
    def bounds(self) -> tuple[Array, Array]:
        return np.min(self.corners, axis=0), np.max(self.corners, axis=0)

    @property
    def measure(self) -> float:
        return float(_outline(self.corners).area)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return _edges(self)

    def _distance(self, points: Array) -> Array:
        import shapely

        outline = _outline(self.corners)
        gap = np.asarray(shapely.distance(shapely.points(points), outline.exterior))
        return np.where(shapely.contains_xy(outline, points), -gap, gap)

    def _encloses(self, other: Domain) -> bool:
        columns = positions(self.coordinates, other.coordinates)
        if isinstance(other, Polygon):
            return bool(_outline(self.corners).covers(_outline(tuple(tuple(np.array(c)[columns]) for c in other.corners))))
        if isinstance(other, Ball):
            return bool(self._distance(np.array([other.centre])[:, columns])[0] <= -other.radius)
        import shapely

        lower, upper = bounds_in(other, self.coordinates)
        return bool(_outline(self.corners).covers(shapely.box(*lower, *upper)))


@by_name(DomainError, "Ellipse(x=0, y=0, radii=(2, 1))")
@dataclass(frozen=True, init=False, repr=False)
class Ellipse(Domain):
    """The points of an ellipse: centre, half axes `radii`, turned by `angle` (radians) from the first coordinate to the second.

    Raises `DomainError` for other than two coordinates, values that are not finite numbers, or radii that are not positive.

    >>> wing = Ellipse(x=1.0, y=0.5, radii=(0.5, 0.2), angle=0.1)
    >>> wing, round(wing.measure, 6)
    (Ellipse(x=1, y=0.5, radii=(0.5, 0.2), angle=0.1), 0.314159)
    """

    coordinates: tuple[str, ...]
    centre: tuple[float, float]
    radii: tuple[float, float]
    angle: float

    def __init__(self, *, radii: ArrayLike, angle: SupportsFloat = 0.0, **centre: SupportsFloat) -> None:
        names = coordinate_names(self, centre)
        _check_plane(self, names)
        if shape_of(radii) != (2,):
            raise DomainError(f"An Ellipse needs two half axes, such as radii=(2, 1); got {radii!r}.")
        sizes = tuple(finite(size, "A half axis of an Ellipse") for size in np.asarray(radii, object))
        if min(sizes) <= 0:
            raise DomainError(f"The half axes of an Ellipse must be positive, got {sizes[0]:g} and {sizes[1]:g}.")
        x, y = names
        assign(
            self,
            coordinates=names,
            centre=(finite(centre[x], x), finite(centre[y], y)),
            radii=sizes,
            angle=finite(angle, "angle"),
        )

    def __repr__(self) -> str:
        centre = ", ".join(f"{name}={value:g}" for name, value in zip(self.coordinates, self.centre, strict=True))
        turned = f", angle={self.angle:g}" if self.angle else ""
        return f"Ellipse({centre}, radii=({self.radii[0]:g}, {self.radii[1]:g}){turned})"

    @property
    def bounds(self) -> tuple[Array, Array]:
        (a, b), c, s = self.radii, cos(self.angle), sin(self.angle)
        reach = np.array([hypot(a * c, b * s), hypot(a * s, b * c)])
        return self.centre - reach, self.centre + reach

    @property
    def measure(self) -> float:
        return pi * self.radii[0] * self.radii[1]

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return (self._oval,)

    @property
    def covers_itself(self) -> bool:
        return True

    def cover(self, unit: Array) -> Array:
        c, s = cos(self.angle), sin(self.angle)
        return self.centre + (np.sqrt(unit[:, :1]) * directions(unit[:, 1:]) * self.radii) @ np.array([[c, s], [-s, c]])

    @property
    def _oval(self) -> Oval:
        return Oval(self.coordinates, self.centre, self.radii, self.angle)

    def _distance(self, points: Array) -> Array:
        return self._oval.distance(points)

    def _encloses(self, other: Domain) -> bool:
        columns = positions(self.coordinates, other.coordinates)
        if isinstance(other, Ball):
            return bool(self._distance(np.array([other.centre])[:, columns])[0] <= -other.radius)
        lower, upper = bounds_in(other, self.coordinates)
        corners = np.array([[x, y] for x in (lower[0], upper[0]) for y in (lower[1], upper[1])])
        corners = np.array(other.corners)[:, columns] if isinstance(other, Polygon) else corners
        return bool(np.all(self._distance(corners) <= 0))


def _check_plane(domain: Domain, names: tuple[str, ...]) -> None:
    kind = type(domain).__name__
    if len(names) != 2:
        raise DomainError(f"{kind} takes exactly two coordinates, got {listing(names)}. Extend it by a product with an Interval.")
    if TIME in names:
        raise DomainError(
            f"{kind} is a shape in space, got the coordinates {listing(names)}. "
            f"Give it the coordinates in space and multiply: {kind}(...) * Interval({TIME}=(0, 1))."
        )


def _column(name: str, values: Any) -> list[float]:
    if len(shape_of(values) or ()) != 1:
        raise DomainError(f"{name} must hold the corners' values, such as {name}=[0, 1, 1]; got {values!r}.")
    return [finite(value, name) for value in values]


def _counts(names: tuple[str, ...], x: list[float], y: list[float]) -> str:
    return f"{len(x)} of {names[0]!r} and {len(y)} of {names[1]!r}"


@lru_cache(maxsize=64)
def _outline(corners: tuple[tuple[float, float], ...]) -> shapely.Polygon:
    import shapely  # takes a tenth of a second to import

    outline = shapely.Polygon(corners)
    shapely.prepare(outline)
    return outline


def _invalid(outline: shapely.Polygon) -> str:
    from shapely.validation import explain_validity

    return f"these do: {explain_validity(outline)}"


@lru_cache(maxsize=64)
def _edges(polygon: Polygon) -> tuple[Piece, ...]:
    """A face for each edge along a coordinate, and one chain of all the others."""
    names, (lower, upper) = polygon.coordinates, polygon.bounds
    across, faces, starts, ends = float(min(upper - lower)), [], [], []
    for start, end in zip(polygon.corners, (*polygon.corners[1:], polygon.corners[0]), strict=True):
        along = [i for i in (0, 1) if start[1 - i] == end[1 - i]]
        if not along:
            starts.append(start)
            ends.append(end)
            continue
        axis, forward = 1 - along[0], end[along[0]] > start[along[0]]
        # The inside is on the left: below an edge that runs left, left of one that runs up.
        upper_end = forward if axis == 0 else not forward
        low, high = np.minimum(start, end), np.maximum(start, end)
        low[axis], high[axis] = (low[axis] - across, high[axis]) if upper_end else (low[axis], high[axis] + across)
        faces.append(Face(names, tuple(low.tolist()), tuple(high.tolist()), axis, bool(upper_end)))
    chain = (Chain(names, tuple(starts), tuple(ends), across),) if starts else ()
    return (*faces, *chain)
