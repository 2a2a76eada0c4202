"""Mixed precision: matrices are factored in float32, and what they solve for is refined in float64.

With A = QR in float32, d = R⁻¹ Qᵀ r is a rough solution of the least-squares problem A d ≈ r. Its errors are put right by
searching along such d, each from the residual r = b - A c in float64, with A d orthogonal to those before it (generalised
conjugate residuals): ‖b - A c‖ never grows. Where no c makes r small, Q takes a part of what is left for something that A could
give; so every other direction is R⁻¹ R⁻ᵀ Aᵀ r, with Aᵀ r in float64. Such alone would not do: they square A's condition.

After Carson, Higham & Pranesh (2020, SIAM J. Sci. Comput. 42, A4063), and Eisenstat, Elman & Schultz (1983) for the search.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from . import devices

_SEARCHES = 20  # directions of the refinement: each costs three or four products with A
_RIDGE = 1e-8  # Tikhonov tail of the factors, relative to unit columns
_on: ContextVar[bool] = ContextVar("mixed", default=False)


@contextmanager
def mixed(wanted: bool = True) -> Iterator[None]:
    """Matrices are factored in float32 within the context, where that is `wanted`.

    Example:
        >>> with mixed():
        ...     is_mixed()
        True
    """
    token = _on.set(wanted)
    try:
        yield
    finally:
        _on.reset(token)


def is_mixed() -> bool:
    """Whether matrices are factored in float32 here."""
    return _on.get()


def coarse(tree: Any) -> Any:
    """A tree with its float64 arrays in float32."""
    return jax.tree.map(lambda a: a.astype(jnp.float32) if a.dtype == jnp.float64 else a, tree)


def refined_least_squares(blocks: Sequence[Array], width: int) -> tuple[Array, Array]:
    """Coefficients [P, R] that minimise ‖A c - b‖² for rows [A b], [n, P + R] in blocks, and that sum of squares, [R].

    Example:
        >>> line = jnp.array([[1.0, 0.0, 1.0], [1.0, 1.0, 3.0], [1.0, 2.0, 5.0]])
        >>> refined_least_squares([line], 2)[0][:, 0].round(12).tolist()
        [1.0, 2.0]
    """
    rows = jnp.concatenate(blocks)
    lengths = _size(rows[:, :width])
    matrix, target = rows[:, :width] / lengths, rows[:, width:]
    tail = _RIDGE * jnp.sqrt(width * 1.0) * jnp.eye(width)
    frame, upper = devices.orthogonal(coarse(jnp.concatenate([matrix, tail])))
    frame = frame[: len(rows)]

    def by_frame(left: Array) -> Array:
        return frame.T @ coarse(left)

    def by_slope(left: Array) -> Array:
        slope = matrix.T @ left
        return jax.scipy.linalg.solve_triangular(upper, coarse(slope / _size(slope)), trans="T")

    def search(k: Array, carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        found, left, directions, images = carry
        turned = jax.lax.cond(k % 2 == 0, by_frame, by_slope, left / _size(left))
        direction = jax.scipy.linalg.solve_triangular(upper, turned).astype(rows.dtype)
        image = matrix @ direction
        along = jnp.einsum("knr,nr->kr", images, image)
        direction = direction - jnp.einsum("kpr,kr->pr", directions, along)
        image = image - jnp.einsum("knr,kr->nr", images, along)
        direction, image = direction / _size(image), image / _size(image)
        new = found + jnp.sum(image * left, axis=0, keepdims=True) * direction
        rest = target - matrix @ new
        better = _size(rest) < _size(left)  # an image that is small beside its direction is mostly rounding
        found, left = jnp.where(better, new, found), jnp.where(better, rest, left)
        return found, left, directions.at[k].set(better * direction), images.at[k].set(better * image)

    begun = jnp.zeros((width, target.shape[1])), target
    directions, images = (jnp.zeros((_SEARCHES, *a.shape)) for a in begun)
    found, left, *_ = jax.lax.fori_loop(0, _SEARCHES, search, (*begun, directions, images))
    return found / lengths[0, :, None], jnp.sum(left**2, axis=0)


def _size(columns: Array) -> Array:
    length = jnp.linalg.norm(columns, axis=0, keepdims=True)
    return jnp.where(length > 0, length, 1)
