"""Singular values that are found wherever there are any.

LAPACK's divide and conquer (gesdd, what NumPy and SciPy call unless told otherwise) gives up on some finite matrices whose
singular values fall to rounding in a long tail; on which ones depends on the last bits, and so on the machine. The QR iteration
(gesvd) takes four times as long and converges there.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray


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
