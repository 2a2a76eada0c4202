"""Points of a domain: inside, on its boundary, and on grids. All are the same whenever the seed is the same.

Random points are scrambled Sobol sequences: uniform by measure, and with smaller errors of means than independent
points, about 1/n against 1/sqrt(n). Arrays are float64 on the host, one column a coordinate.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from pinn.boundaries import Boundary
from pinn.domains import Domain
from pinn.errors import DomainError, listing
from pinn.pieces import Array, Mask, positions, unit_batches

Seed = int | Sequence[int]

_SMALLEST_BATCH = 256
# A shape that fills less of its surroundings than one part in ten thousand, seen after a million points, is an error
# more often than a shape.
_PATIENCE = 2**20
_LOWEST_RATE = 1e-4
_GRID_DIMENSIONS = 3
_NEXT = 1e-9
_MEASURED = 10_000  # points that norms of errors are taken over: fewer do not see a layer
_MEASURE_SEED = (2, 7, 1, 8)


def generator(seed: Seed) -> np.random.Generator:
    """A random generator from a whole number or several; for a JAX key pass `jax.random.key_data(key)`.

    Raises `DomainError` for anything else.

    >>> float(generator(0).random()) == float(generator([0]).random())
    True
    """
    try:
        numbers: NDArray[Any] = np.atleast_1d(np.asarray(seed))
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.size == 0 or not np.issubdtype(numbers.dtype, np.integer) or np.any(numbers < 0):
        raise DomainError(
            f"A seed is a non-negative integer or a sequence of them, got {seed!r}. For a JAX key pass jax.random.key_data(key)."
        )
    return np.random.default_rng(numbers.ravel())


def key(seed: Seed) -> jax.Array:
    """A JAX key from a whole number or several, as `generator` takes them."""
    return jax.random.key(int(generator(seed).integers(2**31)))


def interior(domain: Domain, count: int, seed: Seed) -> Array:
    """`count` points [count, d] inside the domain, uniform by measure.

    Raises `DomainError` where almost nothing is inside, or the count is not positive.

    >>> from pinn.domains import Disk
    >>> interior(Disk(x=0, y=0, radius=1), 100, seed=0).shape
    (100, 2)
    """

    def draw(unit: Array) -> tuple[Array]:
        points = domain.cover(unit)
        return (points[domain.contains(points)],)

    (points,) = _accepted(draw, domain.dimension, _positive(count), generator(seed), repr(domain))
    return points


def boundary(domain: Domain, selection: Boundary, count: int, seed: Seed) -> tuple[Array, Array]:
    """Points on the part of the domain's boundary that is selected, uniform by area, and their outward normals.

    Returns points [m, d] and unit normals [m, s], one component for each spatial coordinate in the domain's order,
    out of the domain; at an end of time the normals are zero. Points come piece after piece, at least one of each, so
    m is `count`, or the number of pieces where that is larger. In one dimension pieces are isolated points: each comes
    once, and m is their number.

    Raises `DomainError` where the selection is no part of the domain's boundary, or the count is not positive.

    >>> from pinn.domains import Interval
    >>> line = Interval(x=(0, 5))
    >>> points, normals = boundary(line, line.boundary, 100, seed=0)
    >>> points.tolist(), normals.tolist()
    ([[0.0], [5.0]], [[-1.0], [1.0]])
    """
    count, rng = _positive(count), generator(seed)
    surface = selection.within(domain)
    counts = _shares(surface.measures, 1 if domain.dimension == 1 else count)
    drawn = [
        _accepted(
            lambda unit, index=index: surface.draw(index, unit),
            patch.piece.parameters,
            share,
            rng,
            f"{selection!r} on {domain!r}",
        )
        for index, (patch, share) in enumerate(zip(surface.patches, counts, strict=True))
    ]
    points, normals = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    return points, normals[:, positions(domain.spatial, domain.coordinates)]


def boundary_measure(domain: Domain, selection: Boundary) -> float:
    """Length or area of the selected part of the domain's boundary (times durations); in one dimension a count.

    Exact where pieces are kept whole, else by the fraction kept of 4096 fixed points (512 beyond 20 dimensions).
    Raises like `boundary`.

    >>> from pinn.domains import Box
    >>> box = Box(x=(0, 2), y=(0, 1))
    >>> boundary_measure(box, box.boundary), boundary_measure(box * Box(t=(0, 3)), box.at(x=0))
    (6.0, 3.0)
    """
    return float(sum(selection.within(domain).measures))


def grid(domain: Domain, counts: int | Sequence[int]) -> Array:
    """The points [n, d] of a regular grid over the box around the domain that lie in the domain, ends included.

    `counts` is the number of values of each coordinate, or of all alike. The last coordinate varies fastest.
    Raises `DomainError` for less than two values, or counts that do not match the coordinates.

    >>> from pinn.domains import Box
    >>> grid(Box(x=(0, 1), y=(0, 2)), [2, 3]).tolist()
    [[0.0, 0.0], [0.0, 1.0], [0.0, 2.0], [1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]
    """
    sizes: tuple[Any, ...] = tuple(counts) if isinstance(counts, Iterable) else (counts,) * domain.dimension
    if len(sizes) != domain.dimension or any(size != int(size) or size < 2 for size in sizes):
        raise DomainError(
            f"A grid needs an integer of at least 2 for each of the coordinates {listing(domain.coordinates)}, or one "
            f"for all; got {counts!r}."
        )
    lower, upper = domain.bounds
    axes = [np.linspace(*ends) for ends in zip(lower, upper, [int(size) for size in sizes], strict=True)]
    points = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    return points if domain.is_box else points[_next_to_inside(domain, points)]


def measure_points(domain: Domain, count: int = _MEASURED) -> Array:
    """About `count` points [n, d], uniform by measure, over which errors are averaged: always the same.

    For boxes of up to three dimensions a regular grid with its ends, since errors are often largest there; otherwise
    exactly `count` points of `interior`. Raises `DomainError` where the count is not positive.

    >>> from pinn.domains import Box
    >>> len(measure_points(Box(x=(0, 1), y=(0, 1)), 10_000))
    10000
    """
    _positive(count)
    if domain.is_box and domain.dimension <= _GRID_DIMENSIONS:
        return grid(domain, max(2, round(count ** (1 / domain.dimension))))
    return interior(domain, count, _MEASURE_SEED)


def _next_to_inside(domain: Domain, points: Array) -> Mask:
    """Whether points lie in the domain or, up to rounding, on its boundary.

    `contains` would lose half of the points on a curved boundary to rounding, and keep points of zero thickness: where
    a - b removes b together with a part of a's own boundary, that part is at distance 0 from both.
    """
    lower, upper = domain.bounds
    steps = itertools.product(*zip(-_NEXT * (upper - lower), _NEXT * (upper - lower), strict=True))
    return np.any([domain.distance(points + np.array(step)) < 0 for step in steps], axis=0)


def _accepted(
    draw: Callable[[Array], tuple[Array, ...]], parameters: int, count: int, rng: np.random.Generator, what: str
) -> tuple[Array, ...]:
    """The first `count` rows that `draw` keeps of one Sobol sequence; its arrays have a row for each kept point."""
    batches, drawn, found = [], 0, 0
    for unit in unit_batches(parameters, max(count, _SMALLEST_BATCH), rng):
        batches.append(draw(unit))
        drawn, found = drawn + len(unit), found + len(batches[-1][0])
        if found >= count:
            break
        if drawn >= _PATIENCE and found < _LOWEST_RATE * drawn:
            raise DomainError(
                f"{what} looks empty: of {drawn} points drawn around it, {found} belong to it. "
                f"Check its numbers, or describe a very thin shape in other coordinates."
            )
    return tuple(np.concatenate(parts)[:count] for parts in zip(*batches, strict=True))


def _shares(measures: Sequence[float], count: int) -> list[int]:
    """`count` divided in proportion to the measures, at least one each, by largest remainders."""
    spare = max(count - len(measures), 0)
    ideal = np.asarray(measures) / sum(measures) * count
    beyond_first = np.maximum(ideal - 1.0, 0.0)
    quota = beyond_first * (spare / beyond_first.sum()) if spare else np.zeros(len(measures))
    shares = np.floor(quota).astype(int)
    largest = np.argsort(shares - quota, kind="stable")[: spare - int(shares.sum())]
    shares[largest] += 1
    return (shares + 1).tolist()


def _positive(count: int) -> int:
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
        raise DomainError(f"The number of points must be a positive integer, got {count!r}.")
    return int(count)
