"""Singular values that are found wherever there are any, and factors of square matrices that solve for many right-hand sides.

LAPACK's divide and conquer (gesdd, what NumPy and SciPy call unless told otherwise) gives up on some finite matrices whose
singular values fall to rounding in a long tail; on which ones depends on the last bits, and so on the machine. The QR iteration
(gesvd) takes four times as long and converges there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

_RIDGES = 1e-15, 1e-13, 1e-11  # added to normal equations of unit columns


def svd(matrix: NDArray, full: bool = False) -> tuple[NDArray, NDArray, NDArray]:
    """U, σ and Vᵀ of a matrix U diag(σ) Vᵀ, [m, n], the largest σ first.

    Args:
        matrix: finite numbers.
        full: whether U and Vᵀ are square, instead of [m, r] and [r, n] with r = min(m, n).

    Raises:
        numpy.linalg.LinAlgError: where the matrix has numbers that are infinite or none.

    Example:
        >>> left, sizes, right = svd(np.diag([3.0, 4.0]))
        >>> sizes.tolist()
        [4.0, 3.0]
    """
    if not np.isfinite(matrix).all():
        raise np.linalg.LinAlgError("there are no singular values of a matrix with numbers that are infinite or none")
    try:
        return scipy.linalg.svd(matrix, full_matrices=full, check_finite=False)
    except np.linalg.LinAlgError:
        return scipy.linalg.svd(matrix, full_matrices=full, check_finite=False, lapack_driver="gesvd")


def pseudo_inverse(matrix: NDArray, cut: float) -> NDArray:
    """The inverse [n, m] of a matrix [m, n] on the directions whose singular value is above `cut` times the largest."""
    left, sizes, right = svd(matrix)
    kept = sizes > cut * np.max(sizes, initial=0.0)
    return (right[kept].T / sizes[kept]) @ left[:, kept].T


class Factor(Protocol):
    """Of a matrix [P, P]."""

    def solve(self, right: NDArray) -> NDArray:
        """The solution for one right-hand side [P]."""
        ...


class Cholesky(NamedTuple):
    """The factor of a positive definite matrix scaled to a unit diagonal, [P, P], and the scales, [P]."""

    lower: NDArray
    scales: NDArray

    def solve(self, right: NDArray) -> NDArray:
        right = right if np.iscomplexobj(self.lower) else np.real(right)
        return scipy.linalg.cho_solve((self.lower, True), right / self.scales, check_finite=False) / self.scales


class LU(NamedTuple):
    """The factors of any matrix, [P, P], and the rows that are exchanged, [P]."""

    both: NDArray
    exchanged: NDArray

    def solve(self, right: NDArray) -> NDArray:
        right = right if np.iscomplexobj(self.both) else np.real(right)
        return scipy.linalg.lu_solve((self.both, self.exchanged), right, check_finite=False)


def lu(matrix: Any) -> LU:
    """The factors of a matrix [P, P], which is overwritten."""
    return LU(*scipy.linalg.lu_factor(matrix, overwrite_a=True, check_finite=False))


def cholesky(matrix: Any, ridges: Sequence[float] = _RIDGES) -> Cholesky:
    """The factor of a matrix [P, P], whose diagonal gets the first of these ridges, in it, that makes it positive definite.

    Raises:
        numpy.linalg.LinAlgError: where none does.
    """
    norms = np.sqrt(np.maximum(np.real(np.diagonal(matrix)), 1e-300))
    scaled = matrix / (norms[:, None] * norms)
    for ridge in ridges:
        np.fill_diagonal(scaled, 1 + ridge)
        try:
            return Cholesky(scipy.linalg.cholesky(scaled, lower=True, check_finite=False), norms)
        except scipy.linalg.LinAlgError:
            continue
    raise scipy.linalg.LinAlgError
