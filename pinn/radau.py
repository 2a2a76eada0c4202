"""Polynomials of time over one step, collocated at the points of Radau IIA: implicit, of order 2s - 1 at the end, stiffly stable.

With τ in [0, 1] over the step and nodes 0 = c₀ < c₁ < … < c_s = 1, a function is Σ_i u_i ℓ_i(τ), ℓ_i the Lagrange polynomials.
Its derivative at c₁ … c_s is D (u - u₀): rounding then makes an error of the change in a step alone, while that of D u + d u₀
is of u itself, the same in every step, and adds up. The D of any step is diagonal in the same basis, so that the s coupled
equations of a step fall apart into one for each eigenvalue (Hairer & Wanner, Solving Ordinary Differential Equations II, IV.8).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.polynomial import Legendre, legendre, polynomial
from numpy.typing import NDArray

from .derivatives import Smooth


class Radau(NamedTuple):
    """What a step of s stages is made of.

    Attributes:
        nodes: c₀ … c_s, [s + 1].
        slopes: D, [s, s].
        eigenvalues, vectors, inverse: D = vectors · diag(eigenvalues) · inverse.
        modes: from values at the nodes to coefficients of Legendre polynomials of 2τ - 1, [s + 1, s + 1].
        before: from values at the stages to that at the start of the polynomial through these alone, [s].
    """

    nodes: NDArray
    slopes: NDArray
    eigenvalues: NDArray
    vectors: NDArray
    inverse: NDArray
    modes: NDArray
    before: NDArray

    @property
    def stages(self) -> int:
        return len(self.nodes) - 1

    def at(self, places: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """ℓ_i and its two derivatives by τ, [places, s + 1] each: what gives a function there from its values at the nodes."""
        lines = lagrange(self.nodes).T
        value, first, second = (polynomial.polyval(places, polynomial.polyder(lines, order)).T for order in range(3))
        return value, first, second

    def derivative(self, start: NDArray, stages: NDArray) -> NDArray:
        """By τ at the stages, [s, P], of what is `start` [P] at first and `stages` [s, P] then."""
        return self.slopes @ (stages - start)

    @property
    def upper(self) -> NDArray:
        """Which eigenvalues have no negative imaginary part: the others are conjugate to them."""
        return np.flatnonzero(np.imag(self.eigenvalues) >= 0)


@lru_cache(maxsize=16)
def radau(stages: int) -> Radau:
    """Radau IIA with so many stages.

    Example:
        >>> np.round(radau(2).nodes, 6)
        array([0.      , 0.333333, 1.      ])
    """
    ends = Legendre.basis(stages) - Legendre.basis(stages - 1)  # vanishes at τ = 1 and at the others
    inner = np.sort(np.asarray(ends.roots()).real)[:-1]
    nodes = np.array([0.0, *(inner + 1) / 2, 1.0])
    slopes = _differentiation(nodes)[1:, 1:]
    values, vectors = np.linalg.eig(slopes)
    modes = np.linalg.inv(legendre.legvander(2 * nodes - 1, stages))
    before = lagrange(nodes[1:])[:, 0]
    return Radau(nodes, slopes, values, vectors, np.linalg.inv(vectors), modes, before)


def _differentiation(nodes: NDArray) -> NDArray:
    """From values at nodes to derivatives there, [n, n], by barycentric weights; the derivative of a constant is zero.

    After Berrut & Trefethen, Barycentric Lagrange interpolation, SIAM Review 46 (2004), section 9.3.
    """
    apart = nodes[:, None] - nodes + np.eye(len(nodes))
    products = np.prod(apart, axis=1)
    found = products[:, None] / products / apart
    np.fill_diagonal(found, 0)
    np.fill_diagonal(found, -np.sum(found, axis=1))
    return found


@lru_cache(maxsize=16)
def _coefficients(nodes: tuple[float, ...]) -> NDArray:
    lines = []
    for i, here in enumerate(nodes):
        others = [place for j, place in enumerate(nodes) if j != i]
        lines.append(np.atleast_1d(np.poly(others))[::-1].real / np.prod(here - np.array(others)))
    return np.array(lines)


def lagrange(nodes: NDArray) -> NDArray:
    """The coefficients of powers of τ in ℓ_0 … ℓ_s, [s + 1, s + 1]."""
    return _coefficients(tuple(np.asarray(nodes).tolist()))


def lagrange_at(nodes: NDArray, time: Smooth) -> Smooth:
    """ℓ_0 … ℓ_s at one time τ, a column of one, by Horner's rule: [s + 1], a jet where τ is one."""
    columns = lagrange(nodes).T.astype(time.dtype)
    total: Smooth = time * 0.0 + columns[-1]
    for column in columns[-2::-1]:
        total = total * time + column
    return total
