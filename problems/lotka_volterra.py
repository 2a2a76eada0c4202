"""Lotka and Volterra's equations: prey and predators, each the limit of the other.

    x' = α x - β x y,   y' = δ x y - γ y,   0 < t < end
    x(0) = y(0) = 1

Prey x breed until predators y, which live on them, have become too many. Both numbers go round on a closed curve for ever.

Source: the usual example of solvers of ordinary differential equations; the numbers are those of SciML's examples. The reference
is integrated by Dormand and Prince's method of order 8.

Good values: alpha = 1.5, beta = 1, gamma = 3, delta = 1, one round in about 3.3; end = 10 are three rounds with sharp peaks.
"""

from collections.abc import Callable
from functools import lru_cache

from scipy.integrate import solve_ivp

import pinn
from pinn import d


def problem(alpha: float = 1.5, beta: float = 1.0, gamma: float = 3.0, delta: float = 1.0, end: float = 4.0) -> pinn.Problem:
    """The problem up to t = `end`."""
    return pinn.Problem(
        fields="x y",
        domain=pinn.Interval(t=(0, end)),
        residual=lambda x, y, t: {
            "prey": d(x, t) - alpha * x + beta * x * y,
            "predators": d(y, t) - delta * x * y + gamma * y,
        },
        conditions=[pinn.Initial(x=1.0, y=1.0)],
        reference=lambda t: dict(zip("xy", integrated(alpha, beta, gamma, delta, end)(t), strict=True)),
        name="lotka_volterra",
    )


@lru_cache
def integrated(alpha: float, beta: float, gamma: float, delta: float, end: float, rtol: float = 2.3e-14) -> Callable:
    """x and y as a function of t, [2, ...]."""

    def slopes(_, state):
        x, y = state
        return alpha * x - beta * x * y, delta * x * y - gamma * y

    return solve_ivp(slopes, (0, end), (1.0, 1.0), "DOP853", dense_output=True, rtol=rtol, atol=rtol).sol
