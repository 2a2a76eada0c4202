"""Singular coordinates: what lets features resolve a corner that points inwards, or a hole.

About the corner v of an interior angle ω, with the plane's points as complex numbers z and α = π/ω,

    ξ = w^α,   w = (z - v) / (ρ e^iβ),   or (z - v) / (z - c) for the corner of a hole,

opens the corner to a half plane; β is the direction of its bisector, and the cut of the power lies outside the domain, behind
the corner or from there to a point c in the hole. About a hole of radius R in s dimensions, with the centre c and r = |p - c|,

    ξ = R (p - c) / r²,   η = log r, or r^(2 - s) for s > 2,

are the inversion at its surface and the potential of a charge in it. What an elliptic equation makes of smooth data there is
smooth, or nearly so, in the pair (p, ξ): features of both resolve it with frequencies as low as if there were no corner.

After the expansions of solutions at corners (Lehman, J. Math. Mech. 8 (1959) 727; Kondrat'ev, Trans. Moscow Math. Soc. 16 (1967)
227) and at holes (Axler, Amer. Math. Monthly 93 (1986) 246).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from .derivatives import Smooth, arctan, concatenate, exp, log, reciprocal, sin

_TINY = 1e-280  # keeps the value, though not the derivatives, finite in the corner itself


@dataclass(frozen=True)
class Corner:
    """A corner of a plane domain, in two of the coordinates of a point.

    Attributes:
        axes: these coordinates.
        centre: v.
        exponent: α.
        direction: ρ e^iβ, as a vector; not used where there is a pole.
        pole: c, or None.
    """

    axes: tuple[int, int]
    centre: tuple[float, float]
    exponent: float
    direction: tuple[float, float]
    pole: tuple[float, float] | None = None

    @property
    def size(self) -> int:
        return 2

    def coordinates(self, point: Smooth) -> Smooth:
        """ξ of a point [d]: [2]."""
        place = point[np.array(self.axes)]
        from_corner = place - jnp.asarray(self.centre, point.dtype)
        if self.pole is None:
            x, y = self.direction
            size = x * x + y * y
            real, imaginary = np.array([[x], [y]]) / size, np.array([[-y], [x]]) / size
            x, y = (from_corner @ jnp.asarray(each, point.dtype) for each in (real, imaginary))
        else:
            from_pole = place - jnp.asarray(self.pole, point.dtype)
            scaled = from_pole * reciprocal(_total(from_pole * from_pole))
            x = _total(from_corner * scaled)
            y = from_corner[1:] * scaled[:1] - from_corner[:1] * scaled[1:]
        logarithm = 0.5 * log(x * x + y * y + _TINY)
        angle = (2 * self.exponent) * arctan(y * reciprocal(exp(logarithm) + x))
        return concatenate([sin(angle + math.pi / 2), sin(angle)]) * exp(self.exponent * logarithm)


@dataclass(frozen=True)
class Hole:
    """A hole, round or nearly so, in some coordinates of a point: its centre, its radius, and how far the domain reaches."""

    axes: tuple[int, ...]
    centre: tuple[float, ...]
    radius: float
    reach: float

    @property
    def size(self) -> int:
        return len(self.axes) + 1

    def coordinates(self, point: Smooth) -> Smooth:
        """ξ, and η scaled to [-1, 1], of a point [d]: [s + 1]."""
        place = (point[np.array(self.axes)] - jnp.asarray(self.centre, point.dtype)) / self.radius
        square = _total(place * place)
        if len(self.axes) == 2:
            level = 1.0 - log(square) / math.log(self.reach / self.radius)
        else:
            level = 2.0 * exp((1 - len(self.axes) / 2) * log(square)) - 1.0
        return concatenate([place * reciprocal(square), level])


Singular = Corner | Hole


def singular_from(parts: Mapping[str, Any]) -> Singular:
    """One from its attributes, and its class as `kind`, as JSON has them."""
    kinds = {kind.__name__: kind for kind in (Corner, Hole)}
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in parts.items() if name != "kind"
    }
    return kinds[parts["kind"]](**given)


def _total(x: Smooth) -> Smooth:
    return x @ jnp.ones((x.shape[0], 1), x.dtype)
