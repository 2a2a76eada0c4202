"""Where conditions are posed: selections of parts of surfaces, and what a problem's domain keeps of a selection.

- a `Boundary` is a selection of pieces, as users write it: `box.at(x=0)`, `disk.boundary`, or a sum of those;
- a `Surface` is a selection resolved against a problem's domain: only what truly lies on that domain's boundary,
  with normals out of that domain.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from pinn.errors import DomainError, listing, suggestion
from pinn.pieces import Array, Extended, Face, Filled, Mask, Piece, fixed_points, positions

Where = Callable[..., object]

TIME = "t"

# Which side of a surface is inside is asked this far from it, relative to the size of the piece: far above rounding
# and far below any feature worth resolving.
_PROBE = 1e-7
# How many points decide what part of a piece is kept; fewer where there may be hundreds of faces, rarely clipped.
_MEASURE_POINTS = 2**12
_MEASURE_POINTS_HIGH = 2**9
_HIGH = 20


class Region(Protocol):
    """What this module needs to know of a domain."""

    @property
    def coordinates(self) -> tuple[str, ...]: ...

    @property
    def bounds(self) -> tuple[Array, Array]: ...

    def contains(self, points: Array, tolerance: float = 0.0) -> Mask: ...

    def filled(self, coordinates: tuple[str, ...]) -> Filled | None: ...


@dataclass(frozen=True)
class Patch:
    """The part of a piece that lies on the boundary of every one of `regions`, and where every `where` holds.

    The last region is the one that the normals point out of.
    """

    piece: Piece
    regions: tuple[Region, ...]
    where: tuple[Where, ...] = ()

    @property
    def face(self) -> tuple[str, float] | None:
        """Coordinate and value of the face of a box that it lies on; None on a curved piece."""
        piece = self.piece.piece if isinstance(self.piece, Extended) else self.piece
        return (piece.name, piece.value) if isinstance(piece, Face) else None

    def extended(self, domain: Region) -> Patch:
        """The same patch over all coordinates of the domain, and on the domain's boundary too."""
        regions = (*(region for region in self.regions if region != domain), domain)
        if self.piece.coordinates == domain.coordinates:
            return replace(self, regions=regions)
        free = [i for i, name in enumerate(domain.coordinates) if name not in self.piece.coordinates]
        lower, upper = (tuple(end[free].tolist()) for end in domain.bounds)
        over = domain.filled(tuple(domain.coordinates[i] for i in free))
        return replace(self, piece=Extended(self.piece, domain.coordinates, lower, upper, over), regions=regions)

    def draw(self, unit: Array) -> tuple[Array, Array]:
        """The kept ones of the piece's points [m, d] and their outward normals [m, d], from numbers [n, k], m <= n."""
        points, normals = self.piece.sample(unit)
        signs = self._orientation(points, normals)
        kept = signs != 0
        return points[kept], normals[kept] * signs[kept, None]

    def covers(self, points: Array) -> Mask:
        """Whether points of the domain's boundary belong to this patch."""
        covered = self.piece.touches(points)
        for where in self.where:
            covered = covered & _holds_where(where, self.piece.coordinates, points)
        return covered

    def holds(self, points: Array, normals: Array) -> Mask:
        """Whether points, drawn from another patch with these normals, belong to this patch as well."""
        held = self.piece.touches(points)
        # Two pieces of a shape rarely touch, and a cube in a hundred dimensions has 19 900 pairs of them.
        if held.any():
            held[held] = self._orientation(points[held], normals[held]) != 0
        return held

    def _orientation(self, points: Array, normals: Array) -> Array:
        """1 where the normal points out of the last region, -1 where into it, 0 where the point is not kept."""
        steps = _PROBE * self.piece.scale * normals
        kept = np.ones(len(points), dtype=bool)
        for where in self.where:
            kept &= _holds_where(where, self.piece.coordinates, points)
        signs = np.zeros(len(points))
        for region in self.regions:
            columns = positions(region.coordinates, self.piece.coordinates)
            behind = region.contains((points - steps)[:, columns])
            ahead = region.contains((points + steps)[:, columns])
            signs = behind.astype(np.float64) - ahead
            kept = kept & (signs != 0)
        return np.where(kept, signs, 0.0)


@dataclass(frozen=True, repr=False)
class Boundary:
    """A selection: parts of the boundaries of domains, written `domain.at(x=0)`, `domain.boundary`, a sum of those, or
    a part of one, `disk.boundary.where(lambda y: y > 0)`.

    What it means for a problem is decided by `within`. Its text, used in labels, is what it selects.
    """

    patches: tuple[Patch, ...]
    label: str

    def __add__(self, other: Boundary) -> Boundary:
        """Both selections; where they overlap, points are not counted twice."""
        if not isinstance(other, Boundary):
            return NotImplemented
        return Boundary(self.patches + other.patches, f"{self.label}, {other.label}")

    def __repr__(self) -> str:
        return self.label

    def where(self, holds: Where) -> Boundary:
        """The part of this selection where `holds`, a function of coordinates as for `at`, is true.

        Raises `DomainError` for a function of anything else.

        >>> from pinn.domains import Disk
        >>> disk = Disk(x=0, y=0, radius=1)
        >>> disk.boundary.where(lambda y: y > 0)
        boundary of Disk(x=0, y=0, radius=1) (part)
        """
        for patch in self.patches:
            check_where(holds, patch.regions[-1])
        patches = tuple(replace(patch, where=(*patch.where, holds)) for patch in self.patches)
        return Boundary(patches, f"{self.label} (part)")

    def within(self, domain: Region) -> Surface:
        """This selection on a problem's domain.

        Every piece is extended over all the domain's other coordinates; of it is kept what lies on the boundary of the
        domain, decided by asking on both sides of the surface: exactly one of them is inside.

        Raises `DomainError` where the selection has coordinates that the domain lacks, or nothing of it is kept.
        """
        for patch in self.patches:
            foreign = [name for name in patch.regions[-1].coordinates if name not in domain.coordinates]
            if foreign:
                raise DomainError(
                    f"The selection '{self.label}' has the coordinates {listing(foreign)}, which {domain!r} lacks; it "
                    f"has {listing(domain.coordinates)}. Select a part of the boundary in those coordinates."
                )
        patches = tuple(patch.extended(domain) for patch in self.patches)
        measures = tuple(kept_measure(patches[: i + 1]) for i in range(len(patches)))
        kept = [i for i, measure in enumerate(measures) if measure > 0]
        if not kept:
            raise DomainError(self._nothing_kept(domain))
        return Surface(tuple(patches[i] for i in kept), self.label, domain, tuple(measures[i] for i in kept))

    def _nothing_kept(self, domain: Region) -> str:
        if not self.patches:
            return (
                f"The selection '{self.label}' is empty, since time is no part of a boundary. "
                f"Select an end of time with .at({TIME}=...), or use an initial condition."
            )
        hint = " where its `where` holds" if any(patch.where for patch in self.patches) else ""
        return (
            f"The selection '{self.label}' does not touch the boundary of {domain!r}: no point of it{hint} has that "
            f"domain on exactly one side. Select a part of this domain with .at(...) or .boundary."
        )


@dataclass(frozen=True, repr=False)
class Surface(Boundary):
    """A selection resolved against a domain: the patches kept there, in its coordinates, each with its measure.

    It is a `Boundary`, so it goes wherever a selection goes; resolving it once saves doing so at every sampling.
    """

    domain: Region
    measures: tuple[float, ...]

    def within(self, domain: Region) -> Surface:
        return self if domain == self.domain else super().within(domain)

    def draw(self, index: int, unit: Array) -> tuple[Array, Array]:
        """Points [m, d] and normals [m, d] out of the domain on patch `index`, from uniform numbers [n, k], m <= n."""
        return _draw(self.patches[: index + 1], unit)


def kept_measure(patches: tuple[Patch, ...]) -> float:
    """Area of the last patch, less what the ones before it hold: exact where all or nothing is kept."""
    piece = patches[-1].piece
    count = _MEASURE_POINTS if piece.parameters < _HIGH else _MEASURE_POINTS_HIGH
    unit = fixed_points(count if piece.parameters else 1, piece.parameters)
    points, _ = _draw(patches, unit)
    return piece.measure * len(points) / len(unit)


def _draw(patches: tuple[Patch, ...], unit: Array) -> tuple[Array, Array]:
    points, normals = patches[-1].draw(unit)
    new = np.ones(len(points), dtype=bool)
    for earlier in patches[:-1]:
        new &= ~earlier.holds(points, normals)
    return points[new], normals[new]


def check_where(where: Where, region: Region) -> None:
    """Raise `DomainError` unless `where` asks for coordinates of the region, by name, and for nothing else."""
    known = region.coordinates
    try:
        parameters = inspect.signature(where).parameters
    except (TypeError, ValueError):
        raise DomainError(f"`where` must be a function such as lambda {known[-1]}: ..., got {where!r}.") from None
    for name, parameter in parameters.items():
        if name not in known and parameter.default is parameter.empty:
            raise DomainError(
                f"`where` asks for {name!r}, but the coordinates of {region!r} are {listing(known)}."
                + (suggestion(name, known) or " Name its arguments like those.")
            )


def _holds_where(where: Where, coordinates: tuple[str, ...], points: Array) -> Mask:
    names = [name for name in inspect.signature(where).parameters if name in coordinates]
    try:
        answer = np.asarray(where(**{name: points[:, coordinates.index(name)] for name in names}))
    except ValueError as error:
        raise DomainError(
            f"`where` failed on arrays of {listing(names)}: {error} It is called once with all points: write "
            f"(0.2 < y) & (y < 0.8), not 0.2 < y < 0.8, `and` or `or`."
        ) from error
    if answer.dtype != np.bool_ or answer.shape != (len(points),):
        raise DomainError(
            f"`where` must return one True or False for each of the {len(points)} points it is given, such as "
            f"y > 0.5; it returned {answer.dtype} of shape {answer.shape}."
        )
    return answer
