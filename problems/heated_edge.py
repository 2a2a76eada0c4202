"""A plate with one hot edge: at two corners the temperature jumps.

    Δu = 0 on [0, 1]²
    u = 1 on y = 1,   u = 0 on the other edges

Beside a corner the temperature is its angle, 2φ/π: as near to it as one likes, every value from 0 to 1 is taken. A network is
continuous, and comes no nearer than that.

Source: a first exercise on Laplace's equation; u = 2/π atan(sin πx / sinh π(1 - y)) for a plate without end, less what the edge
y = 0 takes away, a series whose n-th term falls like exp(-nπ(1 + y)).

Good values: hot = 1, the temperature of the edge.
"""

import jax.numpy as jnp

import pinn
from pinn import laplacian


def problem(hot: float = 1.0) -> pinn.Problem:
    """The plate whose edge has that temperature."""
    square = pinn.Box(x=(0, 1), y=(0, 1))

    def exact(x, y):
        k, x, y = jnp.pi * jnp.arange(1, 30, 2).reshape(-1, *[1] * jnp.ndim(x)), jnp.asarray(x)[None], jnp.asarray(y)[None]
        taken = jnp.exp(-k * (1 + y)) * (1 - jnp.exp(-2 * k * (1 - y))) / (1 - jnp.exp(-2 * k))
        endless = 2 / jnp.pi * jnp.arctan2(jnp.sin(jnp.pi * x), jnp.sinh(jnp.pi * (1 - y)))
        return hot * (endless[0] - jnp.sum(4 / k * jnp.sin(k * x) * taken, axis=0))

    return pinn.Problem(
        fields="u",
        domain=square,
        residual=lambda u, x, y: laplacian(u, x, y),
        conditions=[
            pinn.Dirichlet(u=hot, on=square.at(y=1)),
            pinn.Dirichlet(u=0.0, on=square.at(y=0) + square.at(x=(0, 1))),
        ],
        reference=exact,
        name="heated_edge",
    )
