"""Duffing's oscillator: a spring that stiffens, or two wells, shaken from outside.

    u'' + δ u' + α u + β u³ = γ cos ωt,   0 < t < end
    u(0) = 1,   u'(0) = 0

With α < 0 < β the mass rolls between two wells at u = ±√(-α/β), and a strong enough shake makes it chaotic.

Source: Duffing (1918); the numbers are the usual ones for two wells. The reference is integrated by Dormand and Prince's method
of order 8.

Good values: alpha = -1, beta = 1, damping = δ = 0.3, frequency = ω = 1.2 with force = γ = 0.2, where u comes to swing in one
well; force = 0.5 is chaotic over long times; end = 5 is easy, 15 hard.
"""

from collections.abc import Callable
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

import pinn
from pinn import d


def problem(
    alpha: float = -1.0,
    beta: float = 1.0,
    damping: float = 0.3,
    force: float = 0.2,
    frequency: float = 1.2,
    end: float = 5.0,
) -> pinn.Problem:
    """The problem up to t = `end`."""
    return pinn.Problem(
        fields="u",
        domain=pinn.Interval(t=(0, end)),
        residual=lambda u, t: d(u, t, t) + damping * d(u, t) + alpha * u + beta * u**3 - force * jnp.cos(frequency * t),
        conditions=[pinn.Initial(u=1.0), pinn.InitialVelocity(u=0.0)],
        reference=lambda t: integrated(alpha, beta, damping, force, frequency, end)(t)[0],
        name="duffing",
    )


@lru_cache
def integrated(
    alpha: float, beta: float, damping: float, force: float, frequency: float, end: float, rtol: float = 2.3e-14
) -> Callable:
    """u and u' as a function of t, [2, ...]."""

    def slopes(t, state):
        u, speed = state
        return speed, force * np.cos(frequency * t) - damping * speed - alpha * u - beta * u**3

    return solve_ivp(slopes, (0, end), (1.0, 0.0), "DOP853", dense_output=True, rtol=rtol, atol=rtol).sol
