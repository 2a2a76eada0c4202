"""Volterra's equation of a body that remembers: its rate depends on all of its past.

    dy/dx + y = ∫₀ˣ exp(m (s - x)) y(s) ds,   0 < x < end,   y(0) = 1

y decays as if it were alone and is fed by its own past, which fades at the rate m.

    y = exp(-(1 + m) x / 2) (cosh cx + (m - 1) / 2c sinh cx),   c = √((m - 1)² / 4 + 1)

Source: for m = 1, y = exp(-x) cosh x, the integro-differential example of DeepXDE (SIAM Review 63, 2021).

Good values: memory = m = 1, the original, with end = 5; 0 never forgets and grows, 10 hardly remembers.
"""

import jax.numpy as jnp

import pinn
from pinn import d, integral


def problem(memory: float = 1.0, end: float = 5.0) -> pinn.Problem:
    """The problem up to x = `end`."""
    c = jnp.sqrt((memory - 1) ** 2 / 4 + 1)

    def past(y, x, now):
        return jnp.exp(memory * (x - now)) * y

    def reference(x):
        return jnp.exp(-(1 + memory) * x / 2) * (jnp.cosh(c * x) + (memory - 1) / (2 * c) * jnp.sinh(c * x))

    return pinn.Problem(
        fields="y",
        domain=pinn.Interval(x=(0, end)),
        residual=lambda y, x: d(y, x) + y - integral(past, x, 0, x, now=x),
        conditions=[pinn.Initial(y=1.0)],
        reference=reference,
        name="volterra",
    )
