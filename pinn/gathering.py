"""Points gathered about holes and corners, where functions vary over shorter distances than in the rest of a domain.

Spread evenly, points beside a small hole are too few to hold the functions of `singular` there: they are fitted between the
points, not to the equation. Towards a hole of radius R, or a corner, they are drawn with the distance

    r = R + (b - R) v^1.5,   v even in [0, 1], up to b = 4 R;   R = 0 for a corner, with b a quarter of the way across,

so that the density ρ, relative to that of even points, is known. Residuals there are weighted by 1/√ρ, which makes their mean
square that of even points. Towards a corner, where single terms of an equation may be infinite and leave what they cancel to
rounding and to the other terms, they are weighted by 1/√ρ once more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .algebra import Domain
from .pieces import Array
from .singular import Corner, Hole, Singular

SHARE = 0.4  # of the points, for all places together
_POWER = 1.5
_RADII, _WAY = 4.0, 0.25
_TRIES = 8  # candidates for a point that is kept
_CLOSEST = 1e-3  # of the way to the last point that is drawn to a corner, of a boundary


class Place(NamedTuple):
    """A point in some coordinates, and between which distances from it points are drawn there: from 0 at a corner."""

    axes: tuple[int, ...]
    centre: Array
    inner: float
    outer: float

    def away(self, points: Array) -> Array:
        """Distances of points [n, d], [n]."""
        return np.linalg.norm(points[:, list(self.axes)] - self.centre, axis=1)

    def drawn(self, rng: np.random.Generator, points: Array) -> Array:
        """The points [n, d] with these coordinates replaced."""
        reach = self.inner + (self.outer - self.inner) * rng.uniform(size=len(points)) ** _POWER
        direction = rng.normal(size=(len(points), len(self.axes)))
        moved = points.copy()
        moved[:, list(self.axes)] = self.centre + direction * (reach / np.linalg.norm(direction, axis=1))[:, None]
        return moved

    def density(self, points: Array) -> Array:
        """Per volume of these coordinates, [n]."""
        size, away = len(self.axes), np.maximum(self.away(points), 1e-300)
        share = (away - self.inner) / (self.outer - self.inner)
        along = np.maximum(share, 1e-12) ** (1 / _POWER - 1) / (_POWER * (self.outer - self.inner))
        sphere = 2 * math.pi ** (size / 2) / math.gamma(size / 2)
        return np.where((share > 0) & (share < 1), along / (sphere * away ** (size - 1)), 0.0)


def places(singular: Sequence[Singular]) -> list[Place]:
    """Where points are gathered."""
    found = []
    for each in singular:
        if isinstance(each, Hole) and _RADII * each.radius < each.reach:
            found.append(Place(each.axes, np.array(each.centre), each.radius, _RADII * each.radius))
        elif isinstance(each, Corner) and (each.coupled or each.forced):
            found.append(Place(each.axes, np.array(each.centre), 0.0, _WAY * math.hypot(*each.direction)))
    return found


def gathered(domain: Domain, found: Sequence[Place], points: Array, seed: Sequence[int]) -> tuple[Array, Array]:
    """Even points [n, d] with a share of them moved to the places, and the weight of the residual at each, [n]."""
    rng, some = np.random.default_rng(seed), len(found)
    many = int(SHARE * len(points))
    candidates = np.resize(points[:many], (_TRIES * many, points.shape[1]))
    for k, place in enumerate(found):
        candidates[k::some] = place.drawn(rng, candidates[k::some])
    within = domain.contains(candidates)
    kept = candidates[within][:many]
    moved = np.concatenate([kept, points[len(kept) :]])
    lower, upper = domain.bounds
    volumes = np.array([np.prod((upper - lower)[list(place.axes)]) for place in found])
    relative = np.stack([place.density(moved) for place in found], axis=1) * (volumes / (some * max(np.mean(within), 1e-300)))
    share, corner = len(kept) / len(points), np.array([place.inner == 0 for place in found])
    density, beside = (1 - share + share * np.sum(relative * which, axis=1) for which in (np.ones(some), corner))
    return moved, 1 / np.sqrt(density * np.maximum(beside, 1))


def nearer(found: Sequence[Place], points: Array, count: int, seed: Sequence[int]) -> NDArray[np.intp]:
    """Which `count` of the many points [n, d] of a boundary to take: a share of them as the inverse distance to the places."""
    if count >= len(points):
        return np.arange(len(points))
    shares = []
    for place in found:
        away = place.away(points)
        height = np.where(away < place.outer, 1 / np.maximum(away, max(place.inner, _CLOSEST * place.outer)), 0.0)
        if height.any():
            shares.append(height / height.sum())
    chance = np.full(len(points), 1 / len(points))
    if shares:
        chance = (1 - SHARE) * chance + SHARE * np.mean(shares, axis=0)
    for _ in range(20):  # none is taken twice
        chance = np.minimum(chance * (count / chance.sum()), 1.0)
    order = _curve(points)
    marks = (np.arange(count) + np.random.default_rng(seed).uniform()) * (chance.sum() / count)
    return order[np.searchsorted(np.cumsum(chance[order]), marks).clip(max=len(points) - 1)]


def _curve(points: Array) -> NDArray[np.intp]:
    """The order of points [n, d] along a curve that fills their box (Morton's): steps along it leave no part of it out."""
    low, size = points.min(axis=0), np.ptp(points, axis=0)
    bits = 60 // points.shape[1]
    whole = ((points - low) / np.where(size > 0, size, 1) * (2 ** min(bits, 20) - 1)).astype(np.int64)
    code = np.zeros(len(points), np.int64)
    for bit in reversed(range(min(bits, 20))):
        for column in whole.T:
            code = 2 * code + (column >> bit & 1)
    return np.argsort(code, kind="stable")
