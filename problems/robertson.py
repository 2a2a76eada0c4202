"""Robertson's reactions: three rates, of which the fastest is a thousand million times the slowest.

    a' = -k₁ a + k₂ b c
    b' =  k₁ a - k₂ b c - k₃ b²
    c' =  k₃ b²,   0 < t < end,   a(0) = 1, b(0) = c(0) = 0

a turns slowly into c by way of b, of which there is never more than 4e-5. b rises within a thousandth of the time unit and then
falls with a: networks trained at points drawn evenly over the whole time never see it rise.

Source: Robertson 1966, as in Hairer and Wanner (Solving Ordinary Differential Equations II, 1996); Ji et al. (arXiv 2011.04520)
show that networks trained on its residual fail. The reference is integrated by Radau's method of order 5.

Good values: slow = k₁ = 0.04, mixed = k₂ = 1e4, fast = k₃ = 3e7; end = 40, the original. Less of k₂ and k₃ is less stiff.
"""

from collections.abc import Callable
from functools import lru_cache

from scipy.integrate import solve_ivp

import pinn
from pinn import d


def problem(slow: float = 0.04, mixed: float = 1e4, fast: float = 3e7, end: float = 40.0) -> pinn.Problem:
    """The problem up to t = `end`."""
    return pinn.Problem(
        fields="a b c",
        domain=pinn.Interval(t=(0, end)),
        residual=lambda a, b, c, t: (
            d(a, t) + slow * a - mixed * b * c,
            d(b, t) - slow * a + mixed * b * c + fast * b**2,
            d(c, t) - fast * b**2,
        ),
        conditions=[pinn.Initial(a=1.0, b=0.0, c=0.0)],
        reference=lambda t: dict(zip("abc", integrated(slow, mixed, fast, end)(t), strict=True)),
        name="robertson",
    )


@lru_cache
def integrated(slow: float, mixed: float, fast: float, end: float, rtol: float = 1e-12) -> Callable:
    """a, b and c as a function of t, [3, ...]."""

    def slopes(_, state):
        a, b, c = state
        there, back, on = slow * a, mixed * b * c, fast * b**2
        return back - there, there - back - on, on

    return solve_ivp(slopes, (0, end), (1.0, 0.0, 0.0), "Radau", dense_output=True, rtol=rtol, atol=1e-5 * rtol).sol
