"""Steep coordinates: what lets features resolve a layer that fills a small part of the domain.

With z a coordinate scaled to [-1, 1],

    y(z) = 1/J Σ_j tanh((z - c_j) / w_j)

climbs by one step at each of J quantiles c_j of a density, which is large where the solution bends sharply. A function that
varies over such a layer, and slowly beside it, is smooth in the pair (z, y(z)): features of both resolve it with frequencies as
low as if there were no layer. A periodic coordinate θ takes the mean of the circle maps θ - c + 2 atan(ρ sin(θ - c) / (1 - ρ
cos(θ - c))), ρ = e^-w, in place of tanh.

After the mappings of adaptive spectral methods (Bayliss & Turkel, J. Comput. Phys. 101 (1992) 349), with the steep coordinate
beside the plain one, not in its place: what is smooth outside the layer would have a corner in y.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from .derivatives import Smooth, arctan, reciprocal, sin, tanh

STEPS = 32
_SHARP = 4.0, 0.02  # width of a step in distances of neighbouring steps; density outside layers, of the mean
_BROAD = 16.0, 0.6


@dataclass(frozen=True)
class Steep:
    """A steep coordinate of one axis, in its scaled coordinate: [-1, 1], or the angle [-π, π] where that is periodic.

    Attributes:
        axis: of the domain.
        centres, widths: of the steps.
        periodic: whether the axis is.
        broad: whether the steps are wide, for a layer with a long tail.
    """

    axis: int
    centres: tuple[float, ...]
    widths: tuple[float, ...]
    periodic: bool
    broad: bool = False

    @property
    def half(self) -> float:
        """Half the length of the scaled axis."""
        return math.pi if self.periodic else 1.0

    def table(self) -> NDArray:
        """Centres and widths, [2, J], as `climb` takes them."""
        return np.array([self.centres, self.widths])

    def slope(self, z: NDArray) -> NDArray:
        """How steep, y'(z), relative to the plain coordinate's share: 1 everywhere for no layer."""
        away, widths = z[:, None] - np.array(self.centres), np.array(self.widths)
        if self.periodic:
            ratio = np.exp(-widths)
            return np.mean((1 - ratio**2) / (1 - 2 * ratio * np.cos(away) + ratio**2), axis=1)
        return np.mean(np.cosh(np.clip(away / widths, -300, 300)) ** -2.0 / widths, axis=1)

    def broadened(self) -> Steep:
        """The same layers, sharp ones in any case, with wide steps."""
        nodes = self.nodes()
        return steep_coordinate(self.axis, nodes, self.slope(nodes), self.periodic, broad=True)

    def nodes(self, count: int = 2000) -> NDArray:
        """Values of z, half of them evenly spaced, half with the density of y'."""
        even = np.linspace(-self.half, self.half, count)
        near = np.array(self.centres)[:, None] + np.array(self.widths)[:, None] * np.linspace(-4, 4, 33)
        fine = np.unique(np.concatenate([even, near[np.abs(near) < self.half]]))
        return np.unique(np.concatenate([even, self._inverse(fine, np.linspace(0, 1, count))]))

    def placed(self, unit: NDArray) -> NDArray:
        """Values of z whose y is spread evenly, from numbers in [0, 1]."""
        return self._inverse(self.nodes(), unit)

    def _inverse(self, nodes: NDArray, unit: NDArray) -> NDArray:
        climbed = _climbed(nodes, self.slope(nodes))
        return np.interp(unit, climbed / climbed[-1], nodes)


def steep_coordinate(axis: int, z: NDArray, density: NDArray, periodic: bool, broad: bool = False) -> Steep:
    """Steps at the quantiles of a density given at the sorted scaled coordinates z, each a few of their distances wide."""
    spread, floor = _BROAD if broad else _SHARP
    climbed = _climbed(z, density / max(mean_over(z, density), 1e-300) + floor)
    ends = np.interp(np.arange(STEPS + 1) / STEPS, climbed / climbed[-1], z)
    centres = np.interp((np.arange(STEPS) + 0.5) / STEPS, climbed / climbed[-1], z)
    return Steep(axis, tuple(centres.tolist()), tuple((spread * np.diff(ends)).tolist()), periodic, broad)


def mean_over(z: NDArray, density: NDArray) -> float:
    """The mean of a density given at sorted z, over their range."""
    return float(_climbed(z, density)[-1] / (z[-1] - z[0]))


def _climbed(z: NDArray, density: NDArray) -> NDArray:
    """The integral of a density up to each z, by the trapezoidal rule; SciPy's would make importing this package slower."""
    return np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(z))])


def tables(steep: Sequence[Steep], dtype: Any) -> Array:
    """The steps of several, [L, 2, J]."""
    return jnp.asarray(np.array([each.table() for each in steep]).reshape(-1, 2, STEPS), dtype)


def climb(z: Smooth, table: Array, periodic: bool) -> Smooth:
    """y of one scaled coordinate: [1] -> [1], for steps [2, J]."""
    centres, widths = table
    share = jnp.full((centres.shape[0], 1), 1 / centres.shape[0], centres.dtype)
    away = z * jnp.ones_like(centres) - centres
    if not periodic:
        return tanh(away * (1 / widths)) @ share
    ratio = jnp.exp(-widths)
    quotient = reciprocal(1.0 - sin(away + math.pi / 2) * ratio) * (sin(away) * ratio)
    return (away + 2.0 * arctan(quotient)) @ share
