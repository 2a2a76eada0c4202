"""Gauss-Newton with a Levenberg-Marquardt step as long as its model is valid.

For rows r(θ), loss ‖r‖², the step solves (JᵀJ + λI) p = -Jᵀr. Most codes take the λ of the best step; here λ is lowered until
actual / predicted reduction falls to a small target, 0.075: the edge of the quadratic model's validity. Such steps hardly
lower the loss at first, and reach far smaller losses in the end. The step length may grow threefold at most from one
iteration to the next. After DSGNAR (Webb, Jerad & Cartis 2026, arXiv 2607.02194), with the radius replaced by λ and without
sketches, so that no singular value decomposition is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
import scipy.linalg
from jax.flatten_util import ravel_pytree
from scipy.linalg import get_blas_funcs, get_lapack_funcs

from ..errors import MethodError

_double = np.zeros(0)
(_syrk,) = get_blas_funcs(["syrk"], [_double])
_potrf, _potrs, _tpqrt, _tpmqrt = get_lapack_funcs(["potrf", "potrs", "tpqrt", "tpmqrt"], [_double])


class HostDriven(optax.GradientTransformationExtraArgs):
    """A method whose update runs on the host, around jitted pieces, and is not itself traced."""


class GaussNewtonState(NamedTuple):
    """λ and step length of the last accepted step, and how many have been rejected since."""

    damping: float
    radius: float
    rejected: int


def gauss_newton(*, damping: float = 1e-2, target: float = 0.075, growth: float = 3.0, trials: int = 12) -> HostDriven:
    """The method, in optax's shape: `update(..., residuals_fn=, jacobian_fn=)`; a rejected step is a zero update.

    Args:
        damping: λ of the first trial.
        target: actual / predicted reduction to come down to, in (0, 1).
        growth: by how much a step may be longer than the last one.
        trials: most values of λ in one step.

    Raises:
        MethodError: an option out of range, or an update without `residuals_fn` and `jacobian_fn`.

    Example:
        >>> method = gauss_newton()
        >>> x, rows = jnp.zeros(1), lambda x: x - 3.0
        >>> state = method.init(x)
        >>> for _ in range(10):
        ...     step, state = method.update(x, state, x, residuals_fn=rows, jacobian_fn=lambda x: (rows(x), jnp.eye(1)))
        ...     x = optax.apply_updates(x, step)
        >>> float(abs(x[0] - 3)) < 1e-6
        True
    """
    if not 0 < target < 1:
        raise MethodError(f"gauss_newton(target=...) must lie between 0 and 1; got {target!r}.")

    if not damping > 0:
        raise MethodError(f"gauss_newton(damping=...) must be positive; got {damping!r}.")
    if not growth >= 1:
        raise MethodError(f"gauss_newton(growth=...) must be at least 1; got {growth!r}.")
    if trials < 1:
        raise MethodError(f"gauss_newton(trials=...) must be at least 1; got {trials!r}.")

    def init(params: Any) -> GaussNewtonState:
        return GaussNewtonState(damping, 1.0, 0)

    def update(updates: Any, state: Any, params: Any = None, *, residuals_fn: Any = None, jacobian_fn: Any = None, **extra: Any):
        if residuals_fn is None or jacobian_fn is None:
            raise MethodError("gauss_newton() needs residuals_fn(params) -> [N] and jacobian_fn(params) -> ([N], [N, P]).")
        flat, unravel = ravel_pytree(params)
        rows, jacobian = (np.asarray(a, np.float64) for a in jacobian_fn(params))
        x = np.asarray(flat, np.float64)

        def loss(p: np.ndarray) -> float:
            values = np.asarray(residuals_fn(unravel(jnp.asarray(x + p, flat.dtype))), np.float64)
            return float(values @ values)

        best = _edge(_Model(jacobian, rows), loss, state, target, growth, trials)
        if best is None:
            tired = GaussNewtonState(min(state.damping * 256, 1e6), state.radius / 3, state.rejected + 1)
            return unravel(jnp.zeros_like(flat)), tired
        step = unravel(jnp.asarray(best.step, flat.dtype))
        return step, GaussNewtonState(best.damping, float(np.linalg.norm(best.step)), 0)

    return HostDriven(init, update)


def with_rows(upper: np.ndarray, rows: Any, jacobian: Any) -> np.ndarray:
    """The triangle [P + 1, P + 1] of [J r] with more rows [n] and their Jacobian [n, P]: AᵀA is the sum of both.

    `upper` is overwritten where it is in Fortran's order.

    Example:
        >>> upper = with_rows(np.zeros((2, 2), order="F"), [3.0, 0.0], [[0.0], [2.0]])
        >>> upper.T @ upper
        array([[4., 0.],
               [0., 9.]])
    """
    more = np.empty((len(rows), len(upper)), order="F")
    more[:, :-1], more[:, -1] = jacobian, rows
    return _tpqrt(0, min(32, len(upper)), upper, more, overwrite_a=1, overwrite_b=1)[0]


class _Trial(NamedTuple):
    damping: float
    ratio: float  # actual / predicted reduction
    step: np.ndarray


def _edge(model: _Model, loss: Callable, state: GaussNewtonState, target: float, growth: float, trials: int) -> _Trial | None:
    """The smallest λ found whose step still has actual / predicted >= target; None where no step lowers the loss."""

    def attempt(damping: float) -> _Trial:
        step, predicted = model.step(damping)
        if not np.all(np.isfinite(step)) or np.linalg.norm(step) > growth * state.radius:
            return _Trial(damping, -1.0, step)
        ratio = (model.loss - loss(step)) / max(predicted, 1e-300)
        return _Trial(damping, ratio if np.isfinite(ratio) else -1.0, step)

    new = attempt(state.damping)
    good, bad = (new, None) if new.ratio >= target else (None, new)
    for count in range(1, trials):
        if good is not None and bad is not None:
            if good.damping < 1.1 * bad.damping or abs(good.ratio - target) < 0.02:
                break
            new = attempt(float(np.sqrt(good.damping * bad.damping)))
        elif good is not None:
            if good.damping <= 1e-30:
                break
            new = attempt(good.damping / 4.0)
        else:
            new = attempt(new.damping * (4.0 if count < 3 else 16.0))
        good, bad = (new, bad) if new.ratio >= target else (good, new)
    return good


class _Model:
    """‖r + J p‖² + λ‖p‖²: by Cholesky of JᵀJ + λI, and once λ is too small for that, by QR of J and of [R; √λ I]."""

    def __init__(self, jacobian: np.ndarray, rows: np.ndarray):
        self.jacobian, self.rows, self.loss = jacobian, rows, float(rows @ rows)
        self.gram = _syrk(1.0, jacobian.T, lower=1)
        self.diagonal = np.diagonal(self.gram).copy()
        self.slope = jacobian.T @ rows
        self.triangle: tuple[np.ndarray, np.ndarray] | None = None

    def step(self, damping: float) -> tuple[np.ndarray, float]:
        """The step, and the reduction of ‖r‖² that the linear model predicts for it."""
        if self.triangle is None and damping > 3e-14 * self.diagonal.sum():
            matrix = self.gram.copy(order="F")
            np.fill_diagonal(matrix, self.diagonal + damping)
            factor, failed = _potrf(matrix, lower=1, overwrite_a=1, clean=0)
            if not failed:
                step, _ = _potrs(factor, self.slope, lower=1)
                moved = self.jacobian @ step
                return -step, float(2 * (self.slope @ step) - moved @ moved)
        width = len(self.slope)
        if self.triangle is None:
            joined = np.concatenate([self.jacobian, self.rows[:, None]], axis=1)
            joined = np.pad(joined, ((0, max(0, width - len(joined))), (0, 0)))
            upper = np.asarray(np.linalg.qr(joined, mode="r"))[:width]
            self.triangle = np.asfortranarray(upper[:, :width]), upper[:, width].copy()
        upper, right = self.triangle
        tail = np.asfortranarray(np.sqrt(damping) * np.eye(width))
        new, reflectors, factors, _ = _tpqrt(width, min(32, width), upper.copy(order="F"), tail)
        zero = np.zeros((width, 1), order="F")
        turned, _, _ = _tpmqrt(width, reflectors, factors, np.asfortranarray(right[:, None]), zero, trans="T")
        step = scipy.linalg.solve_triangular(new, turned[:, 0], check_finite=False)
        moved = upper @ step
        return -step, float(2 * (right @ moved) - moved @ moved)
