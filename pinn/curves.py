"""Pieces of surface in the plane: chains of straight edges, and ellipses; see `pinn.pieces` for what a piece is."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
from scipy.special import ellipe, ellipeinc

from pinn.pieces import SAME, Array, Mask

_TABLE = 4097  # angles that the inverse of the arc length starts from
_NEWTON = 60  # steps at most; from where they start, convergence is quadratic, and ten are enough but for needles
_TINY = 1e-30  # stands for a zero coordinate, relative to the ellipse: between the foci the nearest point is the limit


@dataclass(frozen=True)
class Chain:
    """Straight edges of a polygon whose inside is on their left; corners have no normal, and are never drawn.

    >>> bend = Chain(("x", "y"), ((0.0, 0.0), (3.0, 0.0)), ((3.0, 0.0), (3.0, 1.0)), scale=1.0)
    >>> points, normals = bend.sample(np.array([[0.25], [0.875]]))
    >>> points.tolist(), normals.tolist(), bend.measure
    ([[1.0, 0.0], [3.0, 0.5]], [[0.0, -1.0], [1.0, 0.0]], 4.0)
    """

    coordinates: tuple[str, ...]
    starts: tuple[tuple[float, float], ...]
    ends: tuple[tuple[float, float], ...]
    scale: float

    @property
    def parameters(self) -> int:
        return 1

    @property
    def measure(self) -> float:
        return float(self._lengths().sum())

    def sample(self, unit: Array) -> tuple[Array, Array]:
        lengths = self._lengths()
        reached = np.cumsum(lengths)
        along = unit[:, 0] * reached[-1]
        edge = np.searchsorted(reached[:-1], along, side="right")
        share = 1.0 - (reached[edge] - along) / lengths[edge]
        starts, ends = np.array(self.starts)[edge], np.array(self.ends)[edge]
        directions = (ends - starts) / lengths[edge, None]
        return starts + share[:, None] * (ends - starts), directions[:, ::-1] * np.array([1.0, -1.0])

    def touches(self, points: Array) -> Mask:
        nearest = np.full(len(points), np.inf)
        for start, end in zip(np.array(self.starts), np.array(self.ends), strict=True):
            edge = end - start
            share = np.clip((points - start) @ edge / (edge @ edge), 0.0, 1.0)
            nearest = np.minimum(nearest, np.linalg.norm(points - start - share[:, None] * edge, axis=1))
        return nearest <= SAME * self.scale

    def _lengths(self) -> Array:
        return np.linalg.norm(np.subtract(self.ends, self.starts), axis=1)


@dataclass(frozen=True)
class Oval:
    """The curve of an ellipse with half axes `radii`, turned by `angle` from the first coordinate towards the second.

    >>> oval = Oval(("x", "y"), (0.0, 0.0), (2.0, 1.0), 0.0)
    >>> points, normals = oval.sample(np.array([[0.0], [0.25]]))
    >>> points.round(12).tolist(), normals.round(12).tolist(), round(oval.measure, 6)
    ([[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], 9.688448)
    """

    coordinates: tuple[str, ...]
    centre: tuple[float, float]
    radii: tuple[float, float]
    angle: float

    @property
    def parameters(self) -> int:
        return 1

    @property
    def measure(self) -> float:
        """4 b E(1 - a²/b²), the complete elliptic integral of the second kind."""
        a, b = self.radii
        return float(4 * b * ellipe(1 - (a / b) ** 2))

    @property
    def scale(self) -> float:
        return min(self.radii)

    def sample(self, unit: Array) -> tuple[Array, Array]:
        angles = self._angles(unit[:, 0] * self.measure)
        radii, circle = np.array(self.radii), np.stack([np.cos(angles), np.sin(angles)], axis=1)
        normals = circle / radii
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        return self.centre + (circle * radii) @ self._axes(), normals @ self._axes()

    def touches(self, points: Array) -> Mask:
        return np.abs(self.distance(points)) <= SAME * self.scale

    def distance(self, points: Array) -> Array:
        """Signed distance [n] of points [n, 2], negative inside.

        With a ≥ b, in the quadrant x, y ≥ 0, the nearest point is (a² x/(s + a² - b²), b² y/s) for the largest root s of
        (a x/(s + a² - b²))² + (b y/s)² = 1. The left side is convex and decreasing: Newton from below, where one term is 1,
        goes up to the root without passing it (Eberly, Distance from a Point to an Ellipse, geometrictools.com, 2013).
        """
        order = [0, 1] if self.radii[0] >= self.radii[1] else [1, 0]
        a, b = np.array(self.radii)[order]
        x, y = np.abs((points - np.array(self.centre)) @ self._axes().T)[:, order].T
        apart, ax, by = a**2 - b**2, a * x, b * np.maximum(y, _TINY * b)
        s = np.maximum(by, ax - apart)
        for _ in range(_NEWTON):
            p, q = ax / (s + apart), by / s
            step = (p**2 + q**2 - 1) / (2 * (p**2 / (s + apart) + q**2 / s))
            s = s + step
            if np.all(np.abs(step) <= 1e-16 * s):
                break
        gap = np.hypot(a**2 * x / (s + apart) - x, b * by / s - y)
        return np.where(np.hypot(x / a, y / b) <= 1, -gap, gap)

    def _angles(self, lengths: Array) -> Array:
        """The parameters θ of (a cos θ, b sin θ) at arc lengths b E(θ | 1 - a²/b²) from θ = 0: a table, then Newton."""
        a, b = self.radii
        table = np.linspace(0, 2 * pi, _TABLE)
        angles = np.interp(lengths, b * ellipeinc(table, 1 - (a / b) ** 2), table)
        for _ in range(4):
            speed = np.hypot(a * np.sin(angles), b * np.cos(angles))
            angles = angles - (b * ellipeinc(angles, 1 - (a / b) ** 2) - lengths) / speed
        return angles

    def _axes(self) -> Array:
        """The unit vectors along the half axes, one a row."""
        return np.array([[cos(self.angle), sin(self.angle)], [-sin(self.angle), cos(self.angle)]])
