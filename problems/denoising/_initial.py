"""Random periodic initial states, for operators from an initial state to what becomes of it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

MODES = 6


def waves(key: Array) -> Array:
    """Amplitudes of sines and cosines of the waves 1 to MODES on [0, 1], falling as 1/k², [2, MODES]; variance about 0.5."""
    return jax.random.normal(key, (2, MODES)) / np.arange(1, MODES + 1)[None] ** 2 * 0.7


def angles(x: Array) -> Array:
    return 2 * jnp.pi * jnp.arange(1, MODES + 1) * x


def state(a: Array, x: Array) -> Array:
    """u₀(x)."""
    return a[0] @ jnp.sin(angles(x)) + a[1] @ jnp.cos(angles(x))


def integral(a: Array, x: Array) -> Array:
    """An antiderivative of u₀."""
    rates = 2 * np.pi * np.arange(1, MODES + 1)
    return (a[1] / rates) @ jnp.sin(angles(x)) - (a[0] / rates) @ jnp.cos(angles(x))
