"""A nonlinear Poisson equation: a source that the solution itself takes away.

    -Δu + u³ = f on [0, 1]²,   u = 0 on the boundary
    u = sin nπx sin nπy,   f = 2 n²π² u + u³

A substance is fed in, diffuses, and disappears in a reaction of three of its particles.

Source: a usual test of Newton's method for elliptic equations.

Good values: waves = n = 1, the usual one; 4 needs finer features.
"""

import jax.numpy as jnp

import pinn
from pinn import laplacian


def problem(waves: int = 1) -> pinn.Problem:
    """The problem with n = `waves` half waves in each direction."""
    square, k = pinn.Box(x=(0, 1), y=(0, 1)), waves * jnp.pi

    def exact(x, y):
        return jnp.sin(k * x) * jnp.sin(k * y)

    return pinn.Problem(
        fields="u",
        domain=square,
        residual=lambda u, x, y: -laplacian(u, x, y) + u**3 - 2 * k**2 * exact(x, y) - exact(x, y) ** 3,
        conditions=[pinn.Dirichlet(u=0.0, on=square.boundary)],
        reference=exact,
        name="poisson_nonlinear",
    )
