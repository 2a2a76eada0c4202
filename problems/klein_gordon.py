"""A Klein-Gordon equation with a square term, over a long time.

    ∂²u/∂t² - ∂²u/∂x² + u² = x² cos² t - x cos t,   0 < t < end, -1 < x < 1
    u(0, x) = x,   ∂u/∂t(0, x) = 0,   u = x cos t at both ends

A field that swings for as long as it is pushed, u = x cos t.

Source: DeepXDE's example of the Klein-Gordon equation.

Good values: end = 10, the original; 1 is easy.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d


def problem(end: float = 10.0) -> pinn.Problem:
    """The problem up to t = `end`."""
    box = pinn.Box(t=(0, end), x=(-1, 1))
    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x: d(u, t, t) - d(u, x, x) + u**2 + x * jnp.cos(t) - (x * jnp.cos(t)) ** 2,
        conditions=[
            pinn.Initial(u=lambda x: x),
            pinn.InitialVelocity(u=0.0),
            pinn.Dirichlet(u=lambda t, x: x * jnp.cos(t), on=box.at(x=(-1, 1))),
        ],
        reference=lambda t, x: x * np.cos(t),
        name="klein_gordon",
    )
