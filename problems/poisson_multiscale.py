"""Poisson's equation on the unit square, with waves of several lengths in its solution.

    -Δu = f on [0, 1]²,   u = 0 on the boundary
    u = mean of sin wπx sin wπy,   f = mean of 2 w²π² sin wπx sin wπy,   over the wave numbers w

The load is dominated by the shortest waves, the solution has all of them alike: networks that prefer long waves fail here.

Source: arXiv 2607.02194, where w = 4, 8, 12, 16.

Good values: waves = (4, 8, 12, 16), the original; (1, 4) is easy, (8, 16, 24, 32) harder.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import laplacian


def problem(waves: Sequence[int] = (4, 8, 12, 16)) -> pinn.Problem:
    """The problem with these wave numbers."""
    square, k = pinn.Box(x=(0, 1), y=(0, 1)), np.pi * np.array(waves, float)
    return pinn.Problem(
        fields="u",
        domain=square,
        residual=lambda u, x, y: laplacian(u, x, y) + jnp.mean(2 * k**2 * jnp.sin(k * x) * jnp.sin(k * y)),
        conditions=[pinn.Dirichlet(u=0.0, on=square.boundary)],
        reference=lambda x, y: np.mean(np.sin(np.multiply.outer(x, k)) * np.sin(np.multiply.outer(y, k)), axis=-1),
        name="poisson_multiscale",
    )
