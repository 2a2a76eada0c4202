"""Self-scaled Broyden: a quasi-Newton method with the whole inverse Hessian, which is scaled and mixed anew at each step.

With s the last step, y the change of the gradient, H the inverse Hessian before,

    H⁺ = [H - (Hy)(Hy)ᵀ / yᵀHy + φ v vᵀ] / τ + s sᵀ / yᵀs,    v = √(yᵀHy) (s / yᵀs - Hy / yᵀHy).

φ = τ = 1 is BFGS. Here both follow from b = sᵀH⁻¹s / yᵀs and h = yᵀHy / yᵀs: curvature that H has had too large for long is
forgotten at once. After Al-Baali and Khalfan (2012), as physics-informed networks are trained with it by Urban, Stefanou and Pons
(2025, arXiv 2405.04230) and Kiyani et al. (2025, arXiv 2501.16371).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from ..errors import MethodError

_CURVED = 1e-32  # yᵀs below which a step says nothing of the curvature


class SSBroydenState(NamedTuple):
    """The inverse Hessian [P, P]; weights, gradient and H times it before the last step, [P]; whether there was one."""

    inverse: jax.Array
    params: jax.Array
    gradient: jax.Array
    turned: jax.Array
    begun: jax.Array


def ssbroyden(*, trials: int = 20) -> optax.GradientTransformationExtraArgs:
    """The method, with a line search for the strong Wolfe conditions: memory of P² numbers, so for up to 10⁴ weights.

    Args:
        trials: most evaluations of the loss and its gradient in one line search.

    Raises:
        MethodError: no trials; in `update`, no `value_fn` for the line search.

    Example:
        >>> method, loss = ssbroyden(), lambda x: jnp.sum((x - jnp.arange(3.0)) ** 4)
        >>> x = jnp.ones(3)
        >>> state = method.init(x)
        >>> for _ in range(40):
        ...     value, slope = jax.value_and_grad(loss)(x)
        ...     step, state = method.update(slope, state, x, value=value, grad=slope, value_fn=loss)
        ...     x = optax.apply_updates(x, step)
        >>> bool(loss(x) < 1e-12)
        True
    """
    if trials < 1:
        raise MethodError(f"ssbroyden(trials=...) must be at least 1; got {trials!r}.")
    search = optax.scale_by_zoom_linesearch(max_linesearch_steps=trials, initial_guess_strategy="one")
    return optax.chain(optax.GradientTransformationExtraArgs(_begin, _turn), search)


def _begin(params: Any) -> SSBroydenState:
    flat = ravel_pytree(params)[0]
    nothing = jnp.zeros_like(flat)
    return SSBroydenState(jnp.eye(flat.size, dtype=flat.dtype), nothing, nothing, nothing, jnp.zeros((), bool))


def _turn(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, SSBroydenState]:
    """The direction -H g, and what the next step renews H by."""
    if extra.get("value_fn") is None:
        raise MethodError("ssbroyden() needs params, value, grad and value_fn in update(), as optax.lbfgs() does.")
    (gradient, unravel), flat = ravel_pytree(updates), ravel_pytree(params)[0]
    identity = jnp.eye(flat.size, dtype=flat.dtype)
    renewed = renew(state.inverse, flat - state.params, gradient - state.gradient, state.gradient, state.turned)
    inverse = jnp.where(state.begun & jnp.all(jnp.isfinite(renewed)), renewed, identity)
    turned = inverse @ gradient
    downhill = gradient @ turned > 0
    inverse, turned = jnp.where(downhill, inverse, identity), jnp.where(downhill, turned, gradient)
    return unravel(-turned), SSBroydenState(inverse, flat, gradient, turned, jnp.ones((), bool))


def renew(inverse: jax.Array, step: jax.Array, change: jax.Array, gradient: jax.Array, turned: jax.Array) -> jax.Array:
    """H⁺ after a step [P] from where the gradient was g and `turned` H g, by which the gradient changed.

    NaN where the change tells no curvature.
    """
    curved = change @ step
    curved = jnp.where(curved > _CURVED, curved, jnp.nan)
    moved = inverse @ change
    length = -(step @ turned) / (turned @ turned)
    b, h = -length * (step @ gradient) / curved, change @ moved / curved
    tau, phi = _scaling(b, h, max(step.size - 1, 1))
    v = jnp.sqrt(h * curved) * (step / curved - moved / (h * curved))
    kept = inverse - jnp.outer(moved, moved) / (h * curved) + phi * jnp.outer(v, v)
    return kept / tau + jnp.outer(step, step) / curved


def _scaling(b: jax.Array, h: jax.Array, freedom: int) -> tuple[jax.Array, jax.Array]:
    """τ and φ."""
    a = jnp.maximum(h * b - 1, jnp.finfo(b.dtype).eps)
    least = jnp.minimum(1.0, h * (1 - jnp.sqrt(a / (a + 1))))
    theta = jnp.maximum((least - 1) / a, jnp.minimum(1 / least, (1 - b) / b))
    sigma, own = 1 + a * theta, jnp.minimum(1.0, 1 / b)
    shared = sigma ** (-1 / freedom)
    grown = own * jnp.minimum(shared, 1 / jnp.where(theta > 0, theta, 1.0))
    return jnp.where(theta > 0, grown, jnp.minimum(own * shared, sigma)), (1 - theta) / sigma
