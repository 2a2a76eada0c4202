"""Means over shapes in the plane: Gauss points on lines, and lines between the places where the shape changes.

    ∫∫ f dx dy = Σ_strips ∫ Σ_intervals ∫ f(x, y) dx dy

Along each line y = const the shape is a few intervals. Their ends are smooth functions of y up to where a smooth piece of the
boundary turns back, ends or meets another: there the strips end. As the ends may go there like a square root, y takes the cosine
of its place in the strip (as in R. I. Saye, SIAM J. Sci. Comput. 37 (2015) A993, for shapes given by a function's sign).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray

from .algebra import Domain
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
    """Whether a domain is a shape in the plane times an interval of time, whose boundary is made of curves."""
    if domain.dimension != 3 or time not in domain.coordinates:
        return False
    return all(
        piece.coordinates == (time,) or (len(piece.coordinates) == 2 and time not in piece.coordinates) for piece in domain.pieces
    )


def shape_rule(domain: Domain, time: str, counts: Array) -> tuple[Array, Array]:
    """Points of space [n, 2] of such a domain, and the share of each in a mean, [n], from `counts` across the box around it."""
    axis = domain.coordinates.index(time)
    lower, upper = (np.delete(end, axis) for end in domain.bounds)
    then = np.mean(domain.bounds, axis=0)[axis]

    def contains(points: Array) -> Mask:
        return domain.contains(np.insert(points, axis, then, axis=1))

    names = tuple(name for name in domain.coordinates if name != time)
    pieces = [piece for piece in domain.pieces if len(piece.coordinates) == 2]
    curves = [partial(_along, piece, positions(names, piece.coordinates)) for piece in pieces]
    return plane_rule(curves, contains, (lower, upper), counts / (upper - lower))


def _along(piece: Piece, columns: list[int], places: Array) -> tuple[Array, Array]:
    points, normals = piece.sample(places[:, None])
    return points[:, columns], normals[:, columns]


def plane_rule(curves: Sequence[Curve], contains: Contains, bounds: tuple[Array, Array], density: Array) -> tuple[Array, Array]:
    """Points [n, 2] inside a shape, and the share of each in a mean, [n].

    Args:
        curves: that its boundary is made of: points [k, 2] and unit normals [k, 2] at places [k] from 0 to 1 along each.
        contains: whether points [n, 2] are inside.
        bounds: of the box around it.
        density: points in a unit of length, by coordinate.
    """
    lower, upper = bounds
    lines, heights = [], []
    ends = _breaks(curves, contains, bounds)
    for start, end in itertools.pairwise(ends):
        angle, share = leggauss(_LEAST + math.ceil(density[1] * (end - start) * math.pi / 2))
        angle = np.pi / 2 * (angle + 1)
        lines.append(start + (end - start) * (1 - np.cos(angle)) / 2)
        heights.append(share * np.pi / 4 * (end - start) * np.sin(angle))
    line, pairs = _intervals(np.concatenate(lines), contains, lower[0], upper[0])
    found, weights = [], []
    for y, height, (left, right) in zip(np.concatenate(lines)[line], np.concatenate(heights)[line], pairs, strict=True):
        nodes, share = leggauss(_LEAST + math.ceil(density[0] * (right - left)))
        places = left + (right - left) * (nodes + 1) / 2
        found.append(np.stack([places, np.full(len(places), y)], axis=1))
        weights.append(height * (right - left) / 2 * share)
    shares = np.concatenate(weights)
    return np.concatenate(found), shares / np.mean(shares)


def _breaks(curves: Sequence[Curve], contains: Contains, bounds: tuple[Array, Array]) -> list[float]:
    """Values of y in increasing order between which the intervals along a line have smooth ends."""
    lower, upper = bounds
    found = [float(lower[1]), float(upper[1])]
    for curve in curves:
        found += _turns(curve, contains, float(np.max(upper - lower)))
    merged: list[float] = []
    for y in sorted(found):
        if lower[1] <= y <= upper[1] and (not merged or y - merged[-1] > _SAME * (upper[1] - lower[1])):
            merged.append(y)
    return merged


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
