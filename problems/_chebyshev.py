"""Functions on an interval or a square by their values at Chebyshev points, for references that have no closed form."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]


def points(count: int, lower: float, upper: float) -> Real:
    """The `count` + 1 Chebyshev points of an interval, ends included, in rising order."""
    return (lower + upper) / 2 - (upper - lower) / 2 * np.cos(np.pi * np.arange(count + 1) / count)


def derivative(x: Real) -> Real:
    """The matrix that takes values at points to the slopes there of the polynomial through them."""
    weights = _weights(x)
    matrix = weights / weights[:, None] / (x[:, None] - x + np.eye(len(x)))
    return matrix - np.diag(matrix.sum(axis=1))


def interpolation(x: Real, places: ArrayLike) -> Real:
    """The matrix, [places, points], that takes values at points to those of the polynomial through them at any places.

    The barycentric formula, Berrut and Trefethen, SIAM Review 46 (2004).
    """
    gaps = np.ravel(places)[:, None] - x
    there = gaps == 0
    shares = np.where(there.any(axis=1, keepdims=True), there, _weights(x) / np.where(there, 1.0, gaps))
    return shares / shares.sum(axis=1, keepdims=True)


def _weights(x: Real) -> Real:
    gaps = 4 / (x[-1] - x[0]) * (x[:, None] - x)  # an interval of length 4 keeps the products near one
    return 1 / np.where(np.eye(len(x), dtype=bool), 1.0, gaps).prod(axis=1)


def in_square(values: Real, x: Real, y: Real, at_x: ArrayLike, at_y: ArrayLike) -> Real:
    """Values at the products of Chebyshev points, [x, y], of their polynomial at pairs of places [n]."""
    return np.einsum("px,xy,py->p", interpolation(x, at_x), values, interpolation(y, at_y), optimize=True)


def modes(coefficient: Real, x: Real) -> tuple[Complex, Complex]:
    """Eigenvalues [m] and eigenfunctions [points, m] of ∂/∂x (a ∂/∂x) that vanish at both ends, from a at Chebyshev points.

    Those with more waves than two points resolve are wrong; smooth functions have no share of them.
    """
    slope = derivative(x)
    rates, inside = np.linalg.eig((slope @ (coefficient[:, None] * slope))[1:-1, 1:-1])
    return rates, np.pad(inside, ((1, 1), (0, 0)))


def evolved(start: Real, values: Complex, at_time: Complex, x: Real, places: ArrayLike) -> Real:
    """Σ cₘ at_time[n, m] φₘ(places[n]) for Σ cₘ φₘ = start, φₘ the columns of `values` at Chebyshev points."""
    shares = np.linalg.solve(values[1:-1], start[1:-1])
    return np.einsum("pm,m,pm->p", interpolation(x, places) @ values, shares, at_time).real
