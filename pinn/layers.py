"""Where a solution has layers: the curvature along each coordinate, and the steep coordinates that it asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jax import Array
from numpy.typing import NDArray

from . import sampling
from .problem import Problem
from .singular import Onset
from .steep import Steep, mean_over, steep_coordinate

_LINES = 12
_NODES = 512
_PEAKED = 2.0  # curvature of a layer, in square roots, relative to the mean, at a moment of time
PEAKED = 5.0  # and of one of the whole domain, or of what drives the fields there
_MIDDLE = 1e-5, 1e-2  # of an onset, in how wide it comes to be, where its logarithm ends: in one dimension of space and in more,
# where so many scales of each would be too many of all
_WALL = 1e-8, 1e-4  # of half an axis, where the logarithm of the distance from a wall ends: in one dimension and in more
_BENT = 2  # onsets of this order and later ones need no steep coordinate: there the solution and its slope go on
_LOOKED_AT = 4096  # points, for where the fields are driven
_SAME = 1.5  # how far the slopes of two steep coordinates may be apart before one is out of date


def steep_coordinates(
    problem: Problem,
    periodic: Sequence[bool],
    values: Callable[[NDArray], Array | NDArray],
    known: Sequence[Steep] = (),
    at: tuple[int, float] | None = None,
    axes: Sequence[int] | None = None,
    peaked: float = _PEAKED,
    lines: NDArray | None = None,
) -> tuple[Steep, ...]:
    """A steep coordinate for each axis along which the solution has layers.

    The density of its steps is Σ_f max_lines sqrt|∂²u_f/∂z²| / sqrt(size of u_f), over lines through the domain.

    Args:
        problem, periodic: where, and along which coordinates the solution is periodic.
        values: the solution at points: [n, d] -> [n, F].
        known: steep coordinates that it was made with, which tell where to look closely.
        at: (axis, value), for lines within a moment of time.
        axes: to look along; every one, but that of `at`, where none are given.
        peaked: largest density, in its mean, of what is no layer.
        lines: points [L, d] to look through; spread evenly where none are given.
    """
    domain = problem.domain
    lower, upper = domain.bounds
    if lines is None:
        lines = sampling.interior(domain, 1 if domain.dimension == 1 + (at is not None) else _LINES, 0)
    if at is not None:
        lines[:, at[0]] = at[1]
    found = []
    for axis in range(domain.dimension) if axes is None else axes:
        if at is not None and axis == at[0]:
            continue
        near = next((each for each in known if each.axis == axis), None)
        half = np.pi if periodic[axis] else 1.0
        z = np.linspace(-half, half, _NODES + 1) if near is None else near.nodes(_NODES)
        z = np.interp(np.linspace(0, 1, 3 * _NODES), np.linspace(0, 1, len(z)), z)  # always as many, to compile once
        points = np.repeat(lines[:, None], len(z), axis=1)
        points[:, :, axis] = lower[axis] + (upper[axis] - lower[axis]) * (z / (2 * half) + 0.5)
        flat = points.reshape(-1, domain.dimension)
        found_values = np.asarray(values(flat), np.float64).reshape(len(lines), len(z), -1)
        inside = domain.contains(flat).reshape(len(lines), len(z)) | domain.is_box
        density = _density(z, found_values, inside, periodic[axis])
        if density.max() > peaked * mean_over(z, density):
            found.append(steep_coordinate(axis, z, density, periodic[axis]))
    return tuple(found)


def steep_where_driven(problem: Problem, periodic: Sequence[bool], driven: Callable[[NDArray], NDArray]) -> tuple[Steep, ...]:
    """Steep coordinates for where something drives the fields in a small part of the domain: there a solution will bend.

    `driven` are the equations' residuals without a solution: [n, d] -> [n, K].
    """
    points = sampling.interior(problem.domain, _LOOKED_AT, 0)
    strength = np.sum(np.square(driven(points)), axis=1)
    if not np.isfinite(strength).all() or not strength.any():
        return ()
    shares = np.cumsum(strength) / np.sum(strength)
    strongest = points[np.searchsorted(shares, (np.arange(_LINES) + 0.5) / _LINES)]
    return steep_coordinates(problem, periodic, driven, peaked=PEAKED, lines=strongest)


def toward_walls(periodic: Sequence[bool]) -> tuple[Steep, ...]:
    """Steep coordinates in which a layer at a wall is smooth, however thin: the logarithm of the distance."""
    least = _WALL[len(periodic) > 1]
    z, density = _logarithm([(-1.0, least), (1.0, least)], False)
    return tuple(steep_coordinate(axis, z, density, False) for axis, around in enumerate(periodic) if not around)


def graded(problem: Problem, periodic: Sequence[bool], found: Sequence[Steep], axes: Sequence[int]) -> tuple[Steep, ...]:
    """The steep coordinates that were found along these axes, with those of jumps and kinks that the solution begins with.

    Such an onset is as wide as √(4 ν t): near it the solution is smooth in the logarithm of the distance. Where there are both
    along one axis, its coordinate has the steps of both.
    """
    lower, upper = problem.domain.bounds
    begins = [each for each in problem.singular(problem.domain) if isinstance(each, Onset) and each.first < _BENT]
    coordinates, smallest = {each.axis: each for each in found}, _MIDDLE[len(axes) > 1]
    for axis in axes:
        own = [each for each in begins if each.axes[1] == axis]
        if not own:
            continue
        half = np.pi if periodic[axis] else 1.0
        scale = 2 * half / (upper - lower)[axis]
        places = [((each.centre[1] - lower[axis]) * scale - half, smallest * abs(each.reach) * scale) for each in own]
        z, density = _logarithm(places, periodic[axis])
        density /= mean_over(z, density)
        if axis in coordinates:
            slope = coordinates[axis].slope(z)
            density += slope / mean_over(z, slope)
        coordinates[axis] = steep_coordinate(axis, z, density, periodic[axis])
    return tuple(coordinates[axis] for axis in sorted(coordinates))


def _logarithm(places: Sequence[tuple[float, float]], periodic: bool) -> tuple[NDArray, NDArray]:
    """Scaled coordinates, and at each the slope of the logarithm of the distance from these places, which ends at `middle`.

    The places are pairs (z, middle).
    """
    half = np.pi if periodic else 1.0
    away = np.geomspace(1e-2, half / min(middle for _, middle in places), _NODES)
    near = [place + side * middle * away for place, middle in places for side in (-1, 1)]
    z = np.unique(np.concatenate([np.linspace(-half, half, _NODES), *(each[np.abs(each) < half] for each in near)]))
    gaps = [np.abs(z - place) for place, _ in places]
    gaps = [np.minimum(gap, 2 * half - gap) for gap in gaps] if periodic else gaps
    return z, np.sum([1 / (gap + middle) for gap, (_, middle) in zip(gaps, places, strict=True)], axis=0)


def _density(z: NDArray, values: NDArray, inside: NDArray, periodic: bool) -> NDArray:
    """Σ_f max_lines sqrt|∂²u_f/∂z²| / sqrt(size of u_f), from values [lines, n, F]: [n]."""
    step = np.diff(z)
    slope = np.diff(values, axis=1) / step[:, None]
    bend = np.abs(np.diff(slope, axis=1) / ((step[1:] + step[:-1]) / 2)[:, None])
    ends = 2 * np.abs(slope[:, :1] - slope[:, -1:]) / (step[0] + step[-1]) if periodic else bend[:, :1]
    bend = np.concatenate([ends, bend, ends if periodic else bend[:, -1:]], axis=1) * inside[:, :, None]
    size = np.maximum(np.sqrt(np.mean(values**2, axis=(0, 1))), 1e-300)
    density = np.sum(np.sqrt(bend.max(axis=0) / size), axis=1)
    around = np.pad(density, 2, mode="edge")
    return np.mean([around[i : i + len(z)] for i in range(5)], axis=0)


def out_of_date(old: Sequence[Steep], new: Sequence[Steep]) -> bool:
    """Whether steep coordinates no longer climb where new ones would."""
    if {each.axis for each in old} != {each.axis for each in new}:
        return True
    for one, other in zip(sorted(old, key=lambda s: s.axis), sorted(new, key=lambda s: s.axis), strict=True):
        other = other.broadened() if one.broad else other
        z = other.placed(np.linspace(0.02, 0.98, 200))
        ratio = (other.slope(z) + 0.1) / (one.slope(z) + 0.1)
        if np.max(ratio) > _SAME:
            return True
    return False
