"""Poisson's equation on the unit square, with one sine wave for a solution.

    -Δu = f on [0, 1]²,   u = 0 on the boundary
    u = sin nπx sin nπy,   f = 2 n²π² u

A membrane under a load, or the potential of a charge in a grounded box.

Source: the standard first test of a solver for elliptic equations.

Good values: waves = n = 1, the usual one; n = 4 needs finer features.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import laplacian


def problem(waves: int = 1) -> pinn.Problem:
    """The problem with n = `waves` half waves in each direction."""
    square, k = pinn.Box(x=(0, 1), y=(0, 1)), waves * np.pi
    return pinn.Problem(
        fields="u",
        domain=square,
        residual=lambda u, x, y: laplacian(u, x, y) + 2 * k**2 * jnp.sin(k * x) * jnp.sin(k * y),
        conditions=[pinn.Dirichlet(u=0.0, on=square.boundary)],
        reference=lambda x, y: np.sin(k * x) * np.sin(k * y),
        name="poisson_2d",
    )
