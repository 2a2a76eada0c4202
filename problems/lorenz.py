"""Lorenz' equations: three numbers that never repeat.

    x' = σ (y - x),   y' = x (ρ - z) - y,   z' = x y - β z,   0 < t < end
    (x, y, z)(0) = (-8, 7, 27)

A rough picture of convection in a layer heated from below. From ρ = 24.74 on, nearby states part for ever, so that only short
times can be foretold.

Source: Lorenz, J. Atmos. Sci. 20 (1963); numbers, start and time are those of DeepXDE's example. The reference is integrated by
Dormand and Prince's method of order 8.

Good values: sigma = 10, rho = 15, beta = 8/3, end = 3, DeepXDE's, where the motion settles; rho = 28 is chaotic.
"""

from collections.abc import Callable
from functools import lru_cache

from scipy.integrate import solve_ivp

import pinn
from pinn import d


def problem(sigma: float = 10.0, rho: float = 15.0, beta: float = 8 / 3, end: float = 3.0) -> pinn.Problem:
    """The problem up to t = `end`."""
    return pinn.Problem(
        fields="x y z",
        domain=pinn.Interval(t=(0, end)),
        residual=lambda x, y, z, t: (
            d(x, t) - sigma * (y - x),
            d(y, t) - x * (rho - z) + y,
            d(z, t) - x * y + beta * z,
        ),
        conditions=[pinn.Initial(x=-8.0, y=7.0, z=27.0)],
        reference=lambda t: dict(zip("xyz", integrated(sigma, rho, beta, end)(t), strict=True)),
        name="lorenz",
    )


@lru_cache
def integrated(sigma: float, rho: float, beta: float, end: float, rtol: float = 2.3e-14) -> Callable:
    """x, y and z as a function of t, [3, ...]."""

    def slopes(_, state):
        x, y, z = state
        return sigma * (y - x), x * (rho - z) - y, x * y - beta * z

    return solve_ivp(slopes, (0, end), (-8.0, 7.0, 27.0), "DOP853", dense_output=True, rtol=rtol, atol=rtol).sol
