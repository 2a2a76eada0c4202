"""The shallow-water equations: a dam breaks, and a bore runs ahead of the flood.

    ∂h/∂t + ∂(h u)/∂x = 0
    ∂(h u)/∂t + ∂(h u² + g h²/2)/∂x = 0,   0 < t < 1, -5 < x < 5
    h = 2 for x < 0, 1 for x > 0 and u = 0 at t = 0;   h and u at both ends as at the start

The water behind the dam sinks in a smooth fan, and a bore, a jump in depth and speed, runs over the still water below. At the
bore the equations hold as balances, not at points: read at points they have many solutions, with jumps in other places, and
smooth fields have no jumps at all. Expect an answer that is wrong near the bore, and a warning.

Source: Stoker, Water Waves (1957); the reference is the exact solution.

Good values: gravity = g = 1; upper = 2, the depth behind the dam; upper = 1.1 makes a low bore.
"""

import jax.numpy as jnp
import numpy as np
from scipy.optimize import root_scalar

import pinn
from pinn import d


def problem(gravity: float = 1.0, upper: float = 2.0) -> pinn.Problem:
    """The problem of water of depth `upper` behind the dam and 1 below it."""
    box = pinn.Box(t=(0, 1), x=(-5, 5))

    def momentum(h, u):
        return h * u

    def thrust(h, u):
        return h * u**2 + gravity * h**2 / 2

    return pinn.Problem(
        fields="h u",
        domain=box,
        residual=lambda h, u, t, x: {"mass": d(h, t) + d(momentum, x), "momentum": d(momentum, t) + d(thrust, x)},
        conditions=[
            pinn.Initial(h=lambda x: jnp.where(x < 0, upper, 1.0), u=0.0),
            pinn.Dirichlet(h=upper, u=0.0, on=box.at(x=-5)),
            pinn.Dirichlet(h=1.0, u=0.0, on=box.at(x=5)),
        ],
        reference=lambda t, x: exact(gravity, upper, t, x),
        name="dam_break",
    )


def exact(gravity: float, upper: float, t, x):
    """Depth and speed: a fan of waves to the left, a plateau of depth m, a bore to the right that jumps to depth 1."""

    def behind_bore(m):  # the speed that the jump from 1 to m gives to the water
        return (m - 1) * (gravity * (m + 1) / (2 * m)) ** 0.5

    c = (gravity * upper) ** 0.5
    m = root_scalar(lambda m: behind_bore(m) - 2 * (c - (gravity * m) ** 0.5), bracket=(1, upper), xtol=1e-15).root
    speed, place = behind_bore(m), x / np.maximum(t, 1e-12)
    fan = (2 * c - place) / 3  # the speed of waves there
    regions = [place < -c, place < speed - (gravity * m) ** 0.5, place < m * speed / (m - 1)]
    return {
        "h": np.select(regions, [upper, fan**2 / gravity, m], 1.0),
        "u": np.select(regions, [0.0, 2 * (c + place) / 3, speed], 0.0),
    }
