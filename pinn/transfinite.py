"""Transfinite interpolation on a box: one function that has the values given on all of its faces (Gordon & Hall 1973).

Starting from G = 0, each coordinate in turn adds its own interpolation of what is still missing on its faces,
G ← G + P_c(g - G). Written out, G is a sum of shares, each a given function with its point moved onto faces, times a weight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .values import Value, value_at

Given = Callable[[Array], Array]  # a value as a function of a point [d]


@dataclass(frozen=True)
class Ends:
    """What is given of one field at the two ends of one coordinate; None where nothing is."""

    lower: Value | None = None
    upper: Value | None = None
    velocity: Value | None = None  # ∂u/∂c at the lower end


@dataclass(frozen=True)
class _Share:
    """One term of the sum.

    Attributes:
        places: where the point is moved to, by axis.
        weights: c₀ and c₁ of the factor c₀ + c₁ s, by axis; s goes from 0 at the lower to 1 at the upper end.
        along: the axis along which the given function is differentiated, if it is.
    """

    value: Value
    places: Mapping[int, float]
    weights: Mapping[int, tuple[float, float]]
    along: int | None = None

    def less(self, axis: int, place: float, weight: tuple[float, float], along: int | None = None) -> _Share:
        """What takes this share, or its slope, away where the point is moved onto a face.

        Its own weights do not change there: they are of other coordinates.
        """
        places, weights = {**self.places, axis: place}, {**self.weights, axis: (-weight[0], -weight[1])}
        return _Share(self.value, places, weights, self.along if along is None else along)


def as_function(value: Value, coordinates: Sequence[str], extras: Mapping[str, Array]) -> Given:
    """A number, or a function of coordinates and what else there is, as a function of a point."""
    return lambda p: jnp.asarray(value_at(value, dict(zip(coordinates, p, strict=True)) | dict(extras)), p.dtype)


def interpolated(
    given: Mapping[int, Ends],
    coordinates: Sequence[str],
    lower: Sequence[float],
    upper: Sequence[float],
    extras: Mapping[str, Array],
) -> Given:
    """G as a function of a point [d].

    Each given function is traced once, for all of its shares: a field of space and time has 53 of them where it is given on all
    faces, and with their derivatives they would compile for minutes.

    Args:
        given: what is given at the ends of each coordinate, by axis.
        coordinates, lower, upper: the box.
        extras: constants and parameters that values may ask for.
    """
    start, width = np.array(lower), np.subtract(upper, lower)
    groups: dict[tuple, list[_Share]] = {}
    for share in _shares(given, lower, upper):
        groups.setdefault((id(share.value), share.along), []).append(share)

    def total(p: Array) -> Array:
        s = (p - start.astype(p.dtype)) / width.astype(p.dtype)
        parts = [_part(group, as_function(group[0].value, coordinates, extras), p, s) for group in groups.values()]
        return sum(parts, jnp.zeros((), p.dtype))

    return total


def _shares(given: Mapping[int, Ends], lower: Sequence[float], upper: Sequence[float]) -> list[_Share]:
    shares: list[_Share] = []
    for axis, ends in given.items():
        a, b = lower[axis], upper[axis]
        alone, ramp = (1.0, 0.0), (0.0, b - a)
        falling, rising = (alone, alone) if ends.lower is None or ends.upper is None else ((1.0, -1.0), (0.0, 1.0))
        added = []
        for value, place, weight in ((ends.lower, a, falling), (ends.upper, b, rising)):
            if value is not None:
                added += [_Share(value, {axis: place}, {axis: weight}), *(each.less(axis, place, weight) for each in shares)]
        if ends.velocity is not None:
            added += [_Share(ends.velocity, {axis: a}, {axis: ramp}), *(each.less(axis, a, ramp, axis) for each in shares)]
        shares += [each for each in added if callable(each.value) or (each.value != 0.0 and each.along is None)]
    return shares


def _part(shares: Sequence[_Share], value: Given, p: Array, s: Array) -> Array:
    """The sum of the shares of one value, at a point `p` whose place in the box is `s`, both [d]."""
    axes, dtype = range(len(p)), p.dtype
    weights = np.array([[share.weights.get(axis, (1.0, 0.0)) for axis in axes] for share in shares], dtype)
    moved = np.array([[axis in share.places for axis in axes] for share in shares])
    places = np.array([[share.places.get(axis, 0.0) for axis in axes] for share in shares], dtype)
    at = value if shares[0].along is None else _slope(value, jnp.asarray(np.eye(len(p), dtype=dtype)[shares[0].along]))
    values = jax.vmap(at)(jnp.where(moved, places, p[None]))
    factors = [weights[:, axis, 0] + weights[:, axis, 1] * s[axis] for axis in axes if np.any(weights[:, axis] != (1.0, 0.0))]
    return jnp.sum(reduce(jnp.multiply, factors, values))


def _slope(value: Given, direction: Array) -> Given:
    return lambda p: jax.jvp(value, (p,), (direction,))[1]
