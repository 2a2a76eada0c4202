"""The corners and holes of a domain, found from its shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import combinations, product
from typing import NamedTuple, TypeVar

import numpy as np

from .algebra import Domain, Product
from .curves import Chain, Oval
from .domains import Box
from .pieces import Array, Face, Sphere, bisected, fixed_points, positions
from .singular import Corner, Hole, Singular

_NEAR = 1e-6  # radius of the circle on which the inside of a corner is told from its outside, relative to the domain
_RING = 720

Found = TypeVar("Found", bound=Singular)


class Opening(NamedTuple):
    """A point of the boundary of a plane domain, and the two angles between which the domain lies next to it."""

    centre: Array  # [2]
    start: float
    end: float

    @property
    def angle(self) -> float:
        return self.end - self.start


@lru_cache(maxsize=64)
def plane_of(domain: Domain) -> tuple[Domain, tuple[int, int]] | None:
    """The plane domain that a domain is, or extends over time and further coordinates, and where its coordinates stand."""
    if isinstance(domain, Product):
        for factor in (domain.first, domain.second):
            found = plane_of(factor)
            if found is not None:
                places = positions(factor.coordinates, domain.coordinates)
                return found[0], (places[found[1][0]], places[found[1][1]])
        return None
    axes = tuple(positions(domain.spatial, domain.coordinates))
    if len(axes) != 2:
        return None
    if isinstance(domain, Box):
        lower, upper = domain.bounds
        return Box(**{domain.coordinates[i]: (lower[i], upper[i]) for i in axes}), (axes[0], axes[1])
    return (domain, (0, 1)) if domain.dimension == 2 else None


def moved(singular: Found, places: Sequence[int]) -> Found:
    """The same where coordinate i of a point stands at `places[i]`."""
    return replace(singular, axes=tuple(places[axis] for axis in singular.axes))


def along(found: Sequence[Singular], axes: Sequence[int]) -> tuple[Singular, ...]:
    """Those that lie in these coordinates alone, for points of these coordinates alone."""
    places = [axes.index(axis) if axis in axes else -1 for axis in range(max(axes) + 1)]
    return tuple(moved(each, places) for each in found if all(axis in axes for axis in each.axes))


# --- holes -------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def holes(domain: Domain) -> tuple[Hole, ...]:
    """Spheres and ellipses with the domain around them, or around a part of them; of a product those of its factors.

    >>> from pinn.domains import Disk
    >>> [hole] = holes(Box(x=(0, 2), y=(0, 1)) - Disk(x=1, y=0.5, radius=0.2))
    >>> hole.centre, hole.radius
    ((1.0, 0.5), 0.2)
    """
    if isinstance(domain, Product):
        factors = [(factor, positions(factor.coordinates, domain.coordinates)) for factor in (domain.first, domain.second)]
        return tuple(moved(each, places) for factor, places in factors for each in holes(factor))
    if domain.is_box or domain.dimension < 2 or len(domain.spatial) < domain.dimension:
        return ()
    found, axes = [], tuple(range(domain.dimension))
    for piece in domain.pieces:
        if not isinstance(piece, Sphere | Oval):
            continue
        columns = positions(domain.coordinates, piece.coordinates)
        points, normals = (part[:, columns] for part in piece.sample(fixed_points(256, piece.parameters)))
        step = 1e-6 * piece.scale * normals
        if np.any(domain.contains(points + step) & ~domain.contains(points - step)):
            centre = np.array(piece.centre)[columns]
            radius = piece.radius if isinstance(piece, Sphere) else min(piece.radii)
            found.append(Hole(axes, tuple(centre.tolist()), radius, _farthest(domain, centre)))
    return tuple(found)


def _farthest(domain: Domain, centre: Array) -> float:
    corners = np.array(list(product(*zip(*domain.bounds, strict=True))))
    return float(np.max(np.linalg.norm(corners - centre, axis=1)))


# --- corners -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def openings(domain: Domain) -> tuple[Opening, ...]:
    """The corners of a plane domain: where straight edges and circles meet at an angle.

    >>> sorted(round(180 / np.pi * each.angle) for each in openings(Box(x=(0, 2), y=(0, 2)) - Box(x=(1, 2), y=(1, 2))))
    [90, 90, 90, 90, 90, 270]
    """
    found = [opening_at(domain, centre) for centre in _meetings(domain)]
    return tuple(each for each in found if each is not None and abs(each.angle - np.pi) > 1e-4)


def corner(
    domain: Domain,
    opening: Opening,
    exponent: float | None,
    jumps: bool = False,
    coupled: tuple[float, ...] | None = None,
    forced: bool = False,
) -> Corner:
    """The singular functions of an opening."""
    middle, reach = (opening.start + opening.end) / 2, _farthest(domain, opening.centre)
    bisector = np.array([np.cos(middle), np.sin(middle)])
    behind = reach * np.linspace(0, 1, 2001)[1:]
    within = domain.contains(opening.centre - behind[:, None] * bisector)
    pole = tuple((opening.centre - behind[np.argmax(within)] / 2 * bisector).tolist()) if within.any() else None
    return Corner(
        (0, 1), tuple(opening.centre.tolist()), tuple((reach * bisector).tolist()), pole, exponent, jumps, coupled, forced
    )


def opening_at(domain: Domain, centre: Array) -> Opening | None:
    """The opening at a point of the boundary of a plane domain; None where the domain does not lie between two angles."""
    radius = _NEAR * float(np.max(np.subtract(*domain.bounds[::-1])))

    def inside(angles: np.ndarray) -> np.ndarray:
        return domain.contains(centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1))

    ring = (np.arange(_RING) + 0.123) * (2 * np.pi / _RING)
    now = inside(ring)
    changes = np.flatnonzero(now != np.roll(now, -1))
    if len(changes) != 2:
        return None
    low, _ = bisected(ring[changes], ring[changes] + 2 * np.pi / _RING, lambda middle: inside(middle) == now[changes])
    first, second = low.tolist()
    return Opening(centre, second, first + 2 * np.pi) if now[changes[0]] else Opening(centre, first, second)


def _meetings(domain: Domain) -> Array:
    """Points where two pieces of the boundary meet, [n, 2]: ends of edges, and where edges and circles cross."""
    edges, circles = [], []
    for piece in domain.pieces:
        columns = positions(domain.coordinates, piece.coordinates)
        if isinstance(piece, Face):
            low, high = np.array(piece.lower), np.array(piece.upper)
            low[piece.axis] = high[piece.axis] = piece.value
            edges.append(np.array([low, high])[:, columns])
        elif isinstance(piece, Chain):
            edges += [np.array(ends)[:, columns] for ends in zip(piece.starts, piece.ends, strict=True)]
        elif isinstance(piece, Sphere):
            circles.append((np.array(piece.centre)[columns], piece.radius))
    found = [end for edge in edges for end in edge]
    found += [point for pair in combinations(edges, 2) for point in _crossing(*pair)]
    found += [point for edge in edges for circle in circles for point in _through(edge, *circle)]
    found += [point for one, other in combinations(circles, 2) for point in _overlap(*one, *other)]
    size = float(np.max(np.subtract(*domain.bounds[::-1])))
    kept: list[Array] = []
    for point in found:
        if all(np.linalg.norm(point - other) > 1e-9 * size for other in kept):
            kept.append(point)
    return np.array(kept).reshape(-1, 2)


def _crossing(edge: Array, other: Array) -> list[Array]:
    along, across = edge[1] - edge[0], other[1] - other[0]
    slope = along[0] * across[1] - along[1] * across[0]
    if abs(slope) < 1e-12 * np.linalg.norm(along) * np.linalg.norm(across):
        return []
    gap = other[0] - edge[0]
    one = (gap[0] * across[1] - gap[1] * across[0]) / slope
    two = (gap[0] * along[1] - gap[1] * along[0]) / slope
    return [edge[0] + one * along] if -1e-9 < one < 1 + 1e-9 and -1e-9 < two < 1 + 1e-9 else []


def _through(edge: Array, centre: Array, radius: float) -> list[Array]:
    along, start = edge[1] - edge[0], edge[0] - centre
    a, b, c = along @ along, start @ along, start @ start - radius**2
    if b * b < a * c:
        return []
    shares = [(-b + sign * np.sqrt(b * b - a * c)) / a for sign in (-1, 1)]
    return [edge[0] + share * along for share in shares if -1e-9 < share < 1 + 1e-9]


def _overlap(centre: Array, radius: float, other: Array, other_radius: float) -> list[Array]:
    gap = other - centre
    distance = np.linalg.norm(gap)
    if not abs(radius - other_radius) < distance < radius + other_radius:
        return []
    along = (distance**2 + radius**2 - other_radius**2) / (2 * distance)
    height = np.sqrt(radius**2 - along**2)
    middle, across = centre + along * gap / distance, np.array([-gap[1], gap[0]]) / distance
    return [middle + height * across, middle - height * across]
