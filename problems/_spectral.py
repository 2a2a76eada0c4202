"""Periodic equations in one or two space dimensions by Fourier series, for references that have no closed form.

A function on a period is its modes c₀ … c_M, u = c₀ + 2 Re Σ cₙ exp(i n θ), where the angle θ runs from 0 to 2π. In the plane
the modes are [N, M + 1]: positive and negative orders along the first angle, those from 0 on along the second.
"""

import math
from collections.abc import Callable

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]

CONTOUR = 32  # points of the circle over which the coefficients of ETDRK4 are averaged
NEIGHBOURS = 10  # snapshots that a value between them is interpolated from
BLOCK = 1000  # points that are evaluated together


def orders(count: int) -> Real:
    """The orders n of the modes of `count` equidistant values."""
    return np.arange(count // 2 + 1, dtype=float)


def modes(values: Real) -> Complex:
    """The modes of equidistant values, the first at angle 0."""
    return np.asarray(scipy.fft.rfft(values, norm="forward"), np.complex128)


def derivative_of_square(count: int, strength: float) -> NDArray:
    """strength ∂/∂θ as a factor of the modes of u²; modes that alias are left out (the 2/3 rule)."""
    n = orders(count)
    return strength * 1j * n * (n < count / 3)


def product(count: int, factor: NDArray, function: Callable) -> Callable[[float, Complex], Complex]:
    """factor modes(function(u)) as a function of time and the modes of u, by `count` values."""
    return lambda t, c: factor * modes(function(scipy.fft.irfft(c, count, norm="forward")))


def etdrk4(start: NDArray, linear: NDArray, slope: Callable, end: float, steps: int, snapshots: int) -> NDArray:
    """The modes, [snapshots + 1, ...], at equidistant times of ∂c/∂t = linear c + slope(t, c), from c = start at t = 0.

    The exponential Runge-Kutta method of fourth order of Cox and Matthews, with the coefficients by contour integrals of
    Kassam and Trefethen (SIAM J. Sci. Comput. 26, 2005). `steps` is a multiple of `snapshots`.
    """
    h = end / steps
    z = h * linear[..., None] + np.exp(2j * np.pi * (np.arange(CONTOUR) + 0.5) / CONTOUR)

    def mean(values: NDArray) -> NDArray:
        average = h * values.mean(axis=-1)
        return average if np.iscomplexobj(linear) else average.real

    whole, half = np.exp(h * linear), np.exp(h * linear / 2)
    q = mean(np.expm1(z / 2) / z)
    first = mean((-4 - z + np.exp(z) * (4 - 3 * z + z**2)) / z**3)
    middle = mean((4 + 2 * z + np.exp(z) * (2 * z - 4)) / z**3)
    last = mean((-4 - 3 * z - z**2 + np.exp(z) * (4 - z)) / z**3)

    c, kept = start, [start]
    for step in range(1, steps + 1):
        t = (step - 1) * h
        at_start = slope(t, c)
        free = half * c
        a = free + q * at_start
        at_a = slope(t + h / 2, a)
        at_b = slope(t + h / 2, free + q * at_a)
        at_end = slope(t + h, half * a + q * (2 * at_b - at_start))
        c = whole * c + first * at_start + middle * (at_a + at_b) + last * at_end
        if step % (steps // snapshots) == 0:
            kept.append(c)
    return np.array(kept)


def evaluate(kept: Complex, end: float, t: ArrayLike, angle: ArrayLike) -> Real:
    """u at any times and angles, from the modes at equidistant times between 0 and `end`.

    Fourier series in the angle, Lagrange polynomials through neighbouring snapshots in time.
    """
    t, angle = np.broadcast_arrays(np.asarray(t, float), np.asarray(angle, float))
    interval = end / (len(kept) - 1)
    n = np.arange(kept.shape[1])
    values = np.empty(t.size)
    for i in range(0, t.size, BLOCK):
        part = slice(i, i + BLOCK)
        at_time = interpolation(t.ravel()[part] / interval, len(kept)) @ kept
        waves = np.where(n > 0, 2.0, 1.0) * np.exp(1j * np.outer(angle.ravel()[part], n))
        values[part] = np.einsum("pn,pn->p", at_time, waves).real
    return values.reshape(t.shape)


def evaluate_in_plane(kept: Complex, end: float, t: ArrayLike, first: ArrayLike, second: ArrayLike) -> Real:
    """u at any times and pairs of angles [n], from the modes [times, N, M + 1] at equidistant times between 0 and `end`."""
    t, first, second = (np.ravel(x) for x in np.broadcast_arrays(np.asarray(t, float), first, second))
    n, m = scipy.fft.fftfreq(kept.shape[1], 1 / kept.shape[1]), np.arange(kept.shape[2])
    values, times = np.empty(t.size), np.unique(t)
    weights = interpolation(times / end * (len(kept) - 1), len(kept)).toarray()
    for time, row in zip(times, weights, strict=True):
        here, near = t == time, np.flatnonzero(row)
        at_time = np.tensordot(row[near], kept[near], axes=1)
        along = np.exp(1j * np.outer(first[here], n)) @ at_time
        values[here] = np.einsum("pm,pm->p", along, np.where(m > 0, 2.0, 1.0) * np.exp(1j * np.outer(second[here], m))).real
    return values


def evaluate_sines(kept: Real, end: float, t: ArrayLike, first: ArrayLike, second: ArrayLike) -> Real:
    """Σ cₖₘ sin((2k + 1) first) sin((m + 1) second) at times and pairs of angles [n], from c, [times, K, M], as in `evaluate`."""
    t, first, second = (np.ravel(x) for x in np.broadcast_arrays(np.asarray(t, float), first, second))
    weights = interpolation(t / end * (len(kept) - 1), len(kept))
    shares, near = (part.reshape(len(t), NEIGHBOURS) for part in (weights.data, weights.indices))
    along = np.sin(np.outer(first, 2 * np.arange(kept.shape[1]) + 1))
    across = np.sin(np.outer(second, np.arange(kept.shape[2]) + 1))
    return np.array([(along[i] @ np.tensordot(shares[i], kept[near[i]], axes=1)) @ across[i] for i in range(len(t))])


def interpolation(places: Real, count: int) -> csr_array:
    """The matrix, [points, count], that interpolates values at 0, 1, … count - 1 by polynomials through neighbours."""
    nodes = np.arange(NEIGHBOURS)
    first = np.clip(np.floor(places).astype(int) - NEIGHBOURS // 2 + 1, 0, count - NEIGHBOURS)
    others = np.where(nodes[:, None] == nodes, 1.0, (places - first)[:, None, None] - nodes)
    size = np.array([(-1.0) ** (NEIGHBOURS - 1 - j) * math.factorial(j) * math.factorial(NEIGHBOURS - 1 - j) for j in nodes])
    weights = others.prod(axis=2) / size
    starts = NEIGHBOURS * np.arange(len(places) + 1)
    return csr_array((weights.ravel(), (first[:, None] + nodes).ravel(), starts), shape=(len(places), count))
