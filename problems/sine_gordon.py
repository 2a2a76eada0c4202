"""The sine-Gordon equation: a breather, a wave that swings on its place and does not spread.

    ∂²u/∂t² = ∂²u/∂x² - sin u,   0 < t < end, -10 < x < 10
    u, ∂u/∂t at t = 0 and u at the ends those of the breather

    u = 4 arctan(√(1 - ω²) / ω  cos ωt / cosh(√(1 - ω²) x))

A row of pendulums on a twisted band, of which those in the middle swing and the others hardly move: the nonlinearity holds the
wave together.

Source: Ablowitz, Kaup, Newell, Segur, Phys. Rev. Lett. 30 (1973).

Good values: frequency = ω = 0.5, over end = 10; 0.9 is a small wave, 0.1 a large one that nearly parts.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d


def problem(frequency: float = 0.5, end: float = 10.0) -> pinn.Problem:
    """The problem up to t = `end`."""
    box, steepness = pinn.Box(t=(0, end), x=(-10, 10)), np.sqrt(1 - frequency**2)

    def breather(t, x):
        return 4 * jnp.arctan(steepness / frequency * jnp.cos(frequency * t) / jnp.cosh(steepness * x))

    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x: d(u, t, t) - d(u, x, x) + jnp.sin(u),
        conditions=[
            pinn.Initial(u=lambda x: breather(0.0, x)),
            pinn.InitialVelocity(u=0.0),
            pinn.Dirichlet(u=breather, on=box.at(x=(-10, 10))),
        ],
        reference=breather,
        name="sine_gordon",
    )
