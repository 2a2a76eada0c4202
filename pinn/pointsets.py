"""What every domain can be asked, whatever its shape: what is inside, how far the boundary is, which faces there are.

Points are float64 arrays [n, d], one column a coordinate, in the order of `.coordinates`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pinn.boundaries import TIME, Boundary, Patch, Where, check_where, kept_measure
from pinn.errors import DomainError, listing, suggestion
from pinn.pieces import Array, Face, Mask, Piece

# How far, relative to the coordinate, a value given to `at` may be from a face.
_FACE_TOLERANCE = 1e-12


class PointSet(ABC):
    """A closed set of points with named coordinates: a domain without the algebra of domains.

    A shape says its coordinates, `bounds`, `measure`, `pieces` and `_distance`; the rest follows from those.
    """

    coordinates: tuple[str, ...]

    @property
    @abstractmethod
    def bounds(self) -> tuple[Array, Array]:
        """The corners (lower [d], upper [d]) of a box around the domain."""

    @property
    @abstractmethod
    def measure(self) -> float:
        """Length, area, volume: exact in closed form where there is one, else a quasi-Monte-Carlo estimate that is
        the same every time (2^18 Sobol points; within about 1e-4 of the box around a plane shape)."""

    @property
    @abstractmethod
    def pieces(self) -> tuple[Piece, ...]:
        """Smooth pieces of surface that together cover the boundary, the ends of time included."""

    @abstractmethod
    def _distance(self, points: Array) -> Array:
        """`distance`, of points that have been checked."""

    @property
    def dimension(self) -> int:
        """The number of coordinates, time included."""
        return len(self.coordinates)

    @property
    def spatial(self) -> tuple[str, ...]:
        """The coordinates other than time."""
        return tuple(name for name in self.coordinates if name != TIME)

    @property
    def is_box(self) -> bool:
        """Whether the domain is a rectangle in all its coordinates: an interval, a box, or a product of those."""
        return False

    @property
    def faces(self) -> tuple[tuple[str, float], ...]:
        """What `at` accepts: (coordinate, value) of each flat face, sorted.

        >>> from pinn.domains import Box
        >>> Box(t=(0, 1), x=(-1, 1)).faces
        (('t', 0.0), ('t', 1.0), ('x', -1.0), ('x', 1.0))
        """
        found = {(piece.name, piece.value) for piece in self.pieces if isinstance(piece, Face) and self._has(piece)}
        return tuple(sorted(found, key=lambda face: (self.coordinates.index(face[0]), face[1])))

    @property
    def boundary(self) -> Boundary:
        """All of the boundary in space; the ends of time are no part of it.

        >>> from pinn.domains import Disk
        >>> Disk(x=1, y=0.5, radius=0.2).boundary
        boundary of Disk(x=1, y=0.5, radius=0.2)
        """
        pieces = [piece for piece in self.pieces if not (isinstance(piece, Face) and piece.name == TIME)]
        return Boundary(tuple(Patch(piece, (self,)) for piece in pieces), f"boundary of {self!r}")

    def at(self, *, where: Where | None = None, **face: ArrayLike) -> Boundary:
        """One face of the domain, several parallel ones, or a part of them.

        `where` asks for coordinates by name, gets an array [n] for each, and returns an array of n truth values.
        Raises `DomainError` for a coordinate or a value where the domain has no face, or where `where` never holds.

        >>> from pinn.domains import Box
        >>> box = Box(x=(0, 2), y=(0, 1))
        >>> box.at(x=0), box.at(x=(0, 2)), box.at(x=0, where=lambda y: y > 0.5)
        (x = 0, x = 0, x = 2, x = 0 (part))
        """
        name, values = self._asked_face(face)
        tolerance = _FACE_TOLERANCE * float(np.max(np.abs([end[self.coordinates.index(name)] for end in self.bounds])))
        patches = []
        for value in values:
            found = [piece for piece in self._faces_along(name) if abs(piece.value - value) <= tolerance]
            if not any(self._has(piece) for piece in found):
                raise DomainError(self._no_face(name, value))
            patches += [Patch(piece, (self,), () if where is None else (where,)) for piece in found]
        suffix = "" if where is None else " (part)"
        boundary = Boundary(tuple(patches), ", ".join(f"{name} = {value:g}{suffix}" for value in values))
        if where is not None:
            check_where(where, self)
            boundary.within(self)
        return boundary

    def contains(self, points: ArrayLike, tolerance: float = 0.0) -> Mask:
        """Whether points [n, d] are in the domain, boundary included, or outside by a distance of at most `tolerance`.

        Where a - b takes away b together with a part of a's own boundary, that part, of zero thickness, still counts.
        Raises `DomainError` for points of another shape.
        """
        return self.distance(points) <= tolerance

    def distance(self, points: ArrayLike) -> Array:
        """Signed distance [n] of points [n, d] to the boundary, negative inside.

        Exact for every shape and products of those. For a union, intersection or difference it is
        the usual minimum or maximum of the parts: right in sign, and nowhere larger in size than the true
        distance. Raises `DomainError` for points of another shape.

        >>> from pinn.domains import Disk
        >>> Disk(x=0, y=0, radius=1).distance([[3.0, 4.0], [0.0, 0.5]]).tolist()
        [4.0, -0.5]
        """
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.dimension:
            raise DomainError(
                f"Points of {self!r} have shape (n, {self.dimension}), with columns {listing(self.coordinates)}; "
                f"got shape {points.shape}."
            )
        return self._distance(points)

    @property
    def covers_itself(self) -> bool:
        """Whether `cover` fills the domain and nothing else."""
        return False

    def filled(self, coordinates: tuple[str, ...]) -> PointSet | None:
        """The factor of a product that has these coordinates, where its `cover` fills it and it is no box; else None."""
        return None

    def extends(self, name: str) -> bool:
        """Whether a coordinate has the same range whatever the others are: those of a box, and of a product with one."""
        return self.is_box

    def cover(self, unit: Array) -> Array:
        """Points [n, d], uniform over a set that contains the domain, from uniform numbers [n, d] in the unit cube."""
        lower, upper = self.bounds
        return lower + (upper - lower) * unit

    def _has(self, piece: Piece) -> bool:
        return kept_measure((Patch(piece, (self,)).extended(self),)) > 0

    def _faces_along(self, name: str) -> list[Face]:
        return [piece for piece in self.pieces if isinstance(piece, Face) and piece.name == name]

    def _asked_face(self, face: dict[str, Any]) -> tuple[str, tuple[float, ...]]:
        if len(face) != 1:
            raise DomainError(
                f"at() takes exactly one coordinate, got {listing(face)}; the coordinates of {self!r} are "
                f"{listing(self.coordinates)}. Select several faces with a sum: a.at(x=0) + a.at(y=0)."
            )
        [(name, value)] = face.items()
        if name not in self.coordinates:
            raise DomainError(
                f"{self!r} has no coordinate {name!r}; its coordinates are {listing(self.coordinates)}."
                + suggestion(name, self.coordinates)
            )
        values = tuple(value) if shape_of(value) != () else (value,)
        if not values:
            raise DomainError(f"at({name}=()) selects no face of {self!r}; give a value or several.")
        return name, tuple(finite(entry, name) for entry in values)

    def _no_face(self, name: str, value: float) -> str:
        faces = self.faces
        if not faces:
            return f"{name} = {value:g} is not a face of {self!r}, which has no flat faces. Use its .boundary."
        # The short forms may agree where the numbers do not: pi in single precision.
        text = repr if any(f"{value:g}" == f"{end:g}" for face, end in faces if face == name) else "{:g}".format
        existing = ", ".join(f"{face} = {text(end)}" for face, end in faces)
        return f"{name} = {text(value)} is not a face of {self!r}; its faces are {existing}."


def finite(value: Any, name: str) -> float:
    """One finite number as a float: NumPy and JAX scalars are numbers, text is not, and -0 becomes 0.

    Raises `DomainError` for anything else.
    """
    try:
        number = float("nan") if isinstance(value, str) else float(value) + 0.0
    except (TypeError, ValueError):
        number = float("nan")
    if not isfinite(number):
        raise DomainError(f"{name} must be a finite number, got {value!r}.")
    return number


def shape_of(value: Any) -> tuple[int, ...] | None:
    """The shape of what can be an array of numbers; None for what cannot, such as a list whose items differ in shape."""
    try:
        return np.shape(value)
    except ValueError:
        return None
