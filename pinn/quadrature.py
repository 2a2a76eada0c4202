"""Means over shapes in the plane: Gauss points on lines, and lines between the places where the shape changes.

    ∫∫ f dx dy = Σ_strips ∫ Σ_intervals ∫ f(x, y) dx dy

Along each line y = const the shape is a few intervals. Their ends are smooth functions of y up to where a smooth piece of the
boundary turns back, ends or meets another: there the strips end. As the ends may go there like a square root, y takes the cosine
of its place in the strip (as in R. I. Saye, SIAM J. Sci. Comput. 37 (2015) A993, for shapes given by a function's sign).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray

from .algebra import Domain
from .corners import plane_of
from .pieces import Array, Mask, Piece, bisected, positions

_ALONG = 2048  # places along a curve, between which it turns at most once
_ACROSS = 2048  # places along a line, between which the boundary is met at most once
_TURN = 0.98  # cosine of the angle between neighbouring normals, below which there is a corner between them
_SAME = 1e-9  # distance, in the size of the shape, below which two places are one
_ASIDE = 1e-7  # how far from the boundary its two sides are looked at
_LEAST = 5  # points across a strip or an interval, and more in proportion to its length

Contains = Callable[[Array], Mask]
Curve = Callable[[Array], tuple[Array, Array]]


def is_shape(domain: Domain, time: str) -> bool:
    """Whether a domain is a shape in the plane, not a box, times an interval of time."""
    return domain.dimension == 3 and time in domain.coordinates and not domain.is_box and plane_of(domain) is not None


def shape_rule(domain: Domain, counts: Array) -> tuple[Array, Array]:
    """Points [n, 2] of the shape in the plane that a domain extends over time, and the share of each in a mean, [n].

    `counts` of them, by coordinate, lie across the box around it.
    """
    section = plane_of(domain)
    assert section is not None
    plane, _ = section
    lower, upper = plane.bounds
    density = counts / (upper - lower)
    lines, heights = [], []
    for start, end in itertools.pairwise(_strips(plane)):
        angle, share = leggauss(_LEAST + math.ceil(density[1] * (end - start) * math.pi / 2))
        angle = np.pi / 2 * (angle + 1)
        lines.append(start + (end - start) * (1 - np.cos(angle)) / 2)
        heights.append(share * np.pi / 4 * (end - start) * np.sin(angle))
    line, pairs = _intervals(np.concatenate(lines), plane.contains, lower[0], upper[0])
    found, weights = [], []
    for y, height, (left, right) in zip(np.concatenate(lines)[line], np.concatenate(heights)[line], pairs, strict=True):
        nodes, share = leggauss(_LEAST + math.ceil(density[0] * (right - left)))
        places = left + (right - left) * (nodes + 1) / 2
        found.append(np.stack([places, np.full(len(places), y)], axis=1))
        weights.append(height * (right - left) / 2 * share)
    shares = np.concatenate(weights)
    return np.concatenate(found), shares / np.mean(shares)


@lru_cache(maxsize=64)
def _strips(plane: Domain) -> tuple[float, ...]:
    """Values of y in increasing order between which the intervals along a line have smooth ends."""
    lower, upper = plane.bounds
    found = [float(lower[1]), float(upper[1])]
    for piece in plane.pieces:
        curve = partial(_along, piece, positions(plane.coordinates, piece.coordinates))
        found += _turns(curve, plane.contains, float(np.max(upper - lower)))
    merged: list[float] = []
    for y in sorted(found):
        if lower[1] <= y <= upper[1] and (not merged or y - merged[-1] > _SAME * (upper[1] - lower[1])):
            merged.append(y)
    return tuple(merged)


def _along(piece: Piece, columns: list[int], places: Array) -> tuple[Array, Array]:
    """Points [k, 2] of a curve and unit normals [k, 2] at places [k] from 0 to 1 along it."""
    points, normals = piece.sample(places[:, None])
    return points[:, columns], normals[:, columns]


def _turns(curve: Curve, contains: Contains, size: float) -> list[float]:
    """Where along y a curve of the boundary turns back, ends, has a corner or leaves the boundary."""

    def seen(places: NDArray) -> tuple[Array, Array, Array]:
        points, normals = curve(np.clip(places, 0, 1))
        step = _ASIDE * size * normals
        kept = contains(points + step) != contains(points - step)
        return points, normals, np.where(kept, 2 * np.sign(np.round(normals[:, 0], 12)), 9)

    places = np.linspace(0, 1, _ALONG + 1)
    points, normals, states = seen(places)
    changes = (np.diff(states) != 0) | (np.sum(normals[1:] * normals[:-1], axis=1) < _TURN)
    low, high, before, sides = places[:-1][changes], places[1:][changes], states[:-1][changes], normals[:-1][changes]

    def unchanged(middle: NDArray) -> Mask:
        _, facing, state = seen(middle)
        return (state == before) & (np.sum(facing * sides, axis=1) >= _TURN)

    low, _ = bisected(low, high, unchanged)
    smooth = np.linalg.norm(points[0] - points[-1]) < _SAME * size and normals[0] @ normals[-1] >= _TURN
    ends = points[:0] if smooth else points[[0, -1]]
    inner = seen(low)[0] if len(low) else points[:0]
    return [*ends[:, 1].tolist(), *inner[:, 1].tolist()]


def _intervals(lines: NDArray, contains: Contains, left: float, right: float) -> tuple[NDArray, NDArray]:
    """Where along lines y = const the shape is: the line of each interval, [k], and its ends, [k, 2]."""
    margin = _SAME * (right - left)
    places = np.linspace(left - margin, right + margin, _ACROSS + 1)
    held = np.stack([contains(np.stack([places, np.full(len(places), y)], axis=1)) for y in lines])
    line, here = np.nonzero(held[:, 1:] != held[:, :-1])
    low, high, before = places[here], places[here + 1], held[line, here]
    low, high = bisected(low, high, lambda x: contains(np.stack([x, lines[line]], axis=1)) == before)
    return line[::2], ((low + high) / 2).reshape(-1, 2)
