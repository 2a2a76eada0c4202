"""Singular functions: what lets features resolve corners, holes, and walls that do not fit the state at the beginning.

About a corner v of the interior angle ω, with the plane's points as complex numbers z, and φ = Im log w,

    w = (z - v) / (ρ e^iβ),   or (z - v) / (z - c) for the corner of a hole,

solutions of elliptic equations are made of smooth functions, of powers w^kα, α = π/ω (π/2ω where a value meets a slope), and,
where kα is whole or data disagree, of w^k log w: their value jumps at the corner like φ where two given values do. β is the
direction of the bisector, and the cuts lie outside the domain, behind the corner or from there to a point c in the hole. About a
hole of radius R in s dimensions, with the centre c and r = |p - c|,

    ξ = R (p - c) / r²,   η = log r, or r^(2 - s) for s > 2,

are the inversion at its surface and the potential of a charge in it. At a wall at a, where what is given from the time t₀ on
does not follow from the state at t₀, or at a jump or kink of that state, with s = (x - a) / √(4 ν T), τ = √((t - t₀) / T),

    s_n = τⁿ iⁿerfc(s / τ),   iⁿerfc the n-th integral of erfc,

solve u_t = ν u_xx, are powers of τ at a, and begin as zero where s > 0, as powers of s elsewhere. Where several fields meet in a
corner, velocities with a pressure or displacements with each other, or the equation is of the fourth order, solutions are made of

    w^μ,   w (w^(μ-1))*,   w^(μ-1),   * the complex conjugate,

with exponents μ that `pencil` finds, of the same with w^k log w for w^μ, and of what is a degree higher. A few of these functions
stand among the features as they are; where a solution is singular, features also *see* w^α, (φ, w log w), (ξ, η) or two s_n as
coordinates beside the plain ones, in which it is smooth whatever the equation.

After the expansions of solutions at corners (Lehman, J. Math. Mech. 8 (1959) 727; Kondrat'ev, Trans. Moscow Math. Soc. 16 (1967)
227), Goursat's of plane elasticity and slow flow (Bull. Soc. Math. France 26 (1898) 236), those at holes (Axler, Amer. Math.
Monthly 93 (1986) 246) and at the beginning (Flyer & Fornberg, J. Comput. Phys. 184 (2003) 526).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy import special

from .derivatives import Smooth, arctan, concatenate, erfc, exp, gaussian, log, reciprocal, root, sin

_SERIES = 6  # functions of an onset
_BESIDE = 6  # functions of coupled fields with a logarithm, besides those of every corner
_TINY = 1e-280  # keeps the value, though not the derivatives, finite in the corner itself
_CLOSE = 1e-8  # |w| below which log w, and powers of coupled fields, change no more: velocities have a trace of them as well


@dataclass(frozen=True)
class Corner:
    """A corner of a plane domain, in two of the coordinates of a point.

    Attributes:
        axes: these coordinates.
        centre: v.
        direction: ρ e^iβ, as a vector; not used where there is a pole.
        pole: c, or None.
        exponent: α where it is no whole number, else None.
        jumps: whether two values that are given there differ.
        coupled: the exponents μ of fields that are coupled there, which may be none; None where fields are not coupled.
        forced: whether what is given there of coupled fields jumps, or fits no equation, so that one may be infinite like log w.
    """

    axes: tuple[int, int]
    centre: tuple[float, float]
    direction: tuple[float, float]
    pole: tuple[float, float] | None = None
    exponent: float | None = None
    jumps: bool = False
    coupled: tuple[float, ...] | None = None
    forced: bool = False

    @property
    def strong(self) -> bool:
        """Whether derivatives that the equation reads are infinite there whatever is given."""
        return bool(self.seen or self.coupled)

    @property
    def seen(self) -> int:
        """How many coordinates features see."""
        return 2 * (self.exponent is not None) + 3 * self.jumps

    @property
    def direct(self) -> int:
        """How many functions are features themselves."""
        waves = len(_terms(0.0)) * len(self.coupled or ()) + 2 * (self.jumps and self.forced)
        return self.seen + (2 if self.jumps else 4) + _BESIDE * self.forced + 2 * waves


@dataclass(frozen=True)
class Hole:
    """A hole, round or nearly so, in some coordinates of a point: its centre, its radius, and how far the domain reaches."""

    axes: tuple[int, ...]
    centre: tuple[float, ...]
    radius: float
    reach: float
    strong = True

    @property
    def seen(self) -> int:
        return len(self.axes) + 1

    @property
    def direct(self) -> int:
        return self.seen


@dataclass(frozen=True)
class Onset:
    """A wall that the state at the beginning does not fit, or a jump or kink of that state, in two coordinates of a point.

    Attributes:
        axes: time, and the coordinate across the wall.
        centre: t₀ and a.
        reach: √(4 ν T) with the sign that points inwards.
        duration: T.
        first: the lowest n; 0 where the value jumps, 1 where its slope does, 2 where the equation does not hold.
        behind: to what -s the domain reaches; 0 at a wall.
    """

    axes: tuple[int, int]
    centre: tuple[float, float]
    reach: float
    duration: float
    first: int
    behind: float = 0.0
    strong = True

    @property
    def jumps(self) -> bool:
        return self.first == 0

    @property
    def seen(self) -> int:
        return 2

    @property
    def direct(self) -> int:
        return _SERIES


Singular = Corner | Hole | Onset


def _terms(mu: float) -> tuple[tuple[float, float], ...]:
    """The real and imaginary parts of which |w|^a e^(ikφ), as (a, k), coupled fields have with an exponent μ."""
    return (mu, mu), (mu, 2 - mu), (mu - 1, mu - 1), (mu + 1, mu + 1), (mu + 1, 1 - mu), (mu + 1, 3 - mu)


def singular_from(parts: Mapping[str, Any]) -> Singular:
    """One from its attributes, and its class as `kind`, as JSON has them."""
    kinds = {kind.__name__: kind for kind in (Corner, Hole, Onset)}
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in parts.items() if name != "kind"
    }
    return kinds[parts["kind"]](**given)


def seen_by(count: int, singular: Sequence[Singular], met: Collection[int]) -> tuple[Singular, ...]:
    """Those that so many features see: not where the ansatz meets values, at faces across the axes `met`.

    As many as leave half of the features to others, those with coordinates to see first.
    """
    found, left = [], count // 2
    for each in sorted(singular, key=lambda each: not each.strong):
        if not set(met).intersection(each.axes) and each.direct <= left:
            found.append(each)
            left -= each.direct
    return tuple(each for each in singular if each in found)


def functions(singular: Sequence[Singular], point: Smooth) -> Smooth:
    """At a point [d], the coordinates that features see of each in turn, then the functions of each that are features.

    All corners are computed together, so are all onsets, and all holes of as many coordinates: what is compiled does not grow
    with their number.
    """
    corners = [each for each in singular if isinstance(each, Corner)]
    parts, columns = ([_of_corners(corners, point)] if corners else []), {}
    start = 0
    if corners:
        layout, start = _layout(corners)
        columns |= {each: (layout[i][0], layout[i][0] + layout[i][1]) for i, each in enumerate(corners)}
    for size in sorted({len(each.axes) for each in singular if isinstance(each, Hole)}):
        holes = [each for each in singular if isinstance(each, Hole) and len(each.axes) == size]
        parts.append(_of_holes(holes, point))
        for i, each in enumerate(holes):
            seen = [*range(start + i * size, start + (i + 1) * size), start + len(holes) * size + i]
            columns[each] = seen, seen
        start += len(holes) * (size + 1)
    onsets = [each for each in singular if isinstance(each, Onset)]
    if onsets:
        parts.append(_of_onsets(onsets, point))
        for i, each in enumerate(onsets):
            series = [start + n * len(onsets) + i for n in range(each.first, each.first + _SERIES)]
            columns[each] = series[: each.seen], series
    order = [column for which in (0, 1) for each in singular for column in columns[each][which]]
    return concatenate(parts)[np.array(order)]


class _Waves(NamedTuple):
    """Functions |w|^a e^(ikφ) of corners: whose each is, a and k, and what is added to |w|²."""

    corners: np.ndarray
    powers: np.ndarray
    turns: np.ndarray
    least: np.ndarray


def _waves(corners: Sequence[Corner]) -> _Waves:
    alone = [(i, each.exponent, each.exponent) for i, each in enumerate(corners) if each.exponent is not None]
    own = [(i, a, k) for i, each in enumerate(corners) for exponent in each.coupled or () for a, k in _terms(exponent)]
    own += [(i, a, k) for i, each in enumerate(corners) if each.forced and each.jumps for a, k in ((0, 2), (-1, -1))]
    which, powers, turns = np.array(alone + own).reshape(-1, 3).T
    return _Waves(which.astype(int), powers, turns, np.repeat([_TINY, _CLOSE**2], [len(alone), len(own)]))


def _layout(corners: Sequence[Corner]) -> tuple[list[tuple[list[int], list[int]]], int]:
    """Of each corner, which columns of `_of_corners` features see, and which others are features; and how many there are."""
    n, waves = len(corners), _waves(corners)
    forced = [i for i, each in enumerate(corners) if each.forced]
    m, size, found = len(forced), len(waves.corners), []
    for i, each in enumerate(corners):
        angle, first, second = [i], [i + n, i + 2 * n], [i + 3 * n, i + 4 * n]
        own = np.flatnonzero(waves.corners == i)
        strong, others = np.split(own, [int(each.exponent is not None)])
        beside = [5 * n + k * m + forced.index(i) for k in range(_BESIDE)] if i in forced else []
        strong, others = (
            [5 * n + _BESIDE * m + part * size + int(k) for part in (0, 1) for k in which] for which in (strong, others)
        )
        seen = (angle + first) * each.jumps + strong
        found.append((seen, (second if each.jumps else first + second) + beside + others))
    return found, 5 * n + _BESIDE * m + 2 * size


def _of_corners(corners: Sequence[Corner], point: Smooth) -> Smooth:
    """φ, w log w and w² log w of n corners, [5 n]; log w, w (log w)* and w (w log w)* of those m that are forced, [6 m];
    then the waves of all.

    Real parts stand before imaginary ones.
    """
    opened = [_opened([each for each in corners if (each.pole is None) is plain], point) for plain in (True, False)]
    order = np.argsort([each.pole is not None for each in corners], kind="stable").argsort()
    x, y = (concatenate([part[k] for part in opened if part is not None])[order] for k in (0, 1))
    square = x * x + y * y + _TINY
    logarithm, angle = 0.5 * log(square), 2.0 * arctan(y * reciprocal(root(square) + x))
    first = x * logarithm - y * angle, x * angle + y * logarithm
    second = x * first[0] - y * first[1], x * first[1] + y * first[0]
    parts, forced = [angle, *first, *second], np.array([i for i, each in enumerate(corners) if each.forced], int)
    if len(forced):
        a, b, turn, real, imaginary = (part[forced] for part in (x, y, angle, *first))
        size = 0.5 * log(a * a + b * b + _CLOSE**2)
        parts += [size, turn, a * size + b * turn, b * size - a * turn, a * real + b * imaginary, b * real - a * imaginary]
    waves = _waves(corners)
    if len(waves.corners):  # every transcendental function is compiled once
        powers, turns = (jnp.asarray(each, point.dtype) for each in (waves.powers, waves.turns))
        near = (x * x + y * y)[waves.corners] + jnp.asarray(waves.least, point.dtype)
        size, turned = exp(powers * (0.5 * log(near))), turns * angle[waves.corners]
        wave = sin(concatenate([turned + math.pi / 2, turned]))
        parts.append(wave * concatenate([size, size]))
    return concatenate(parts)


def _opened(corners: Sequence[Corner], point: Smooth) -> tuple[Smooth, Smooth] | None:
    """Real and imaginary part of w at n corners, [n] each, all of them with a pole or none."""
    if not corners:
        return None
    axes, centres = np.array([each.axes for each in corners]).T, np.array([each.centre for each in corners]).T
    x, y = (point[axis] - jnp.asarray(centre, point.dtype) for axis, centre in zip(axes, centres, strict=True))
    if corners[0].pole is None:
        a, b = np.array([each.direction for each in corners]).T
        a, b = (jnp.asarray(part / (a * a + b * b), point.dtype) for part in (a, b))
        return x * a + y * b, y * a - x * b
    poles = np.array([each.pole for each in corners]).T
    a, b = (point[axis] - jnp.asarray(pole, point.dtype) for axis, pole in zip(axes, poles, strict=True))
    shrunk = reciprocal(a * a + b * b)
    return (x * a + y * b) * shrunk, (y * a - x * b) * shrunk


def _of_holes(holes: Sequence[Hole], point: Smooth) -> Smooth:
    """ξ of one hole after the other, then η of all, scaled to [-1, 1]: [n (s + 1)]."""
    size = len(holes[0].axes)
    axes, centres = np.array([each.axes for each in holes]).reshape(-1), np.array([each.centre for each in holes]).reshape(-1)
    radius, reach = np.array([each.radius for each in holes]), np.array([each.reach for each in holes])
    place = (point[axes] - jnp.asarray(centres, point.dtype)) * jnp.asarray(1 / np.repeat(radius, size), point.dtype)
    square = (place * place) @ jnp.asarray(np.repeat(np.eye(len(holes)), size, axis=0), point.dtype)
    if size == 2:
        level = 1.0 - log(square) * jnp.asarray(1 / np.log(reach / radius), point.dtype)
    else:
        level = 2.0 * exp((1 - size / 2) * log(square)) - 1.0
    return concatenate([place * reciprocal(square)[np.repeat(np.arange(len(holes)), size)], level])


def _of_onsets(onsets: Sequence[Onset], point: Smooth) -> Smooth:
    """s_n of m onsets, n from 0 to the highest that any of them needs, divided by its largest value: [m], then the next n.

    s_n = (τ² s_(n-2) / 2 - s s_(n-1)) / n from s_0 = erfc(s / τ) and s_1 = τ exp(-s² / τ²) / √π - s s_0.
    """
    axes, centres = np.array([each.axes for each in onsets]).T, np.array([each.centre for each in onsets]).T
    scales = np.array([(each.duration, each.reach) for each in onsets]).T
    time, s = (
        (point[axis] - jnp.asarray(centre, point.dtype)) * jnp.asarray(1 / scale, point.dtype)
        for axis, centre, scale in zip(axes, centres, scales, strict=True)
    )
    square = time + float(jnp.finfo(point.dtype).eps) ** 2  # derivatives stay finite at the beginning
    tau = root(square)
    ratio = s * reciprocal(tau)
    found = [erfc(ratio)]
    found.append(tau * gaussian(math.sqrt(2) * ratio) * (1 / math.sqrt(math.pi)) - s * found[0])
    behind = np.array([each.behind for each in onsets])
    most = [special.erfc(-behind), np.exp(-(behind**2)) / math.sqrt(math.pi) + behind * special.erfc(-behind)]
    for n in range(2, max(each.first for each in onsets) + _SERIES):
        found.append((square * found[n - 2] * 0.5 - s * found[n - 1]) * (1 / n))
        most.append((most[n - 2] * 0.5 + behind * most[n - 1]) / n)
    return concatenate([part * jnp.asarray(1 / size, point.dtype) for part, size in zip(found, most, strict=True)])
