"""Poisson's equation in a five-dimensional cube, whose solution is a sum over the coordinates.

    -Δu = π²/4 Σ sin(πxᵢ/2) on [0, 1]⁵,   u = Σ sin(πxᵢ/2) on the boundary and inside

No grid is affordable in five dimensions; but the solution is additive, which makes it easier than its dimension says.

Source: PINNacle (arXiv 2306.08827), its problem PNd.

Good values: there is nothing to choose; poisson_5d_gaussian is the one that is not additive.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import laplacian


def problem() -> pinn.Problem:
    """The problem on the unit cube, with coordinates x1 to x5."""
    cube = pinn.Box(x1=(0, 1), x2=(0, 1), x3=(0, 1), x4=(0, 1), x5=(0, 1))

    def waves(x1, x2, x3, x4, x5):
        return sum(jnp.sin(np.pi / 2 * x) for x in (x1, x2, x3, x4, x5))

    return pinn.Problem(
        fields="u",
        domain=cube,
        residual=lambda u, x1, x2, x3, x4, x5: laplacian(u, x1, x2, x3, x4, x5) + np.pi**2 / 4 * waves(x1, x2, x3, x4, x5),
        conditions=[pinn.Dirichlet(u=waves, on=cube.boundary)],
        reference=lambda x1, x2, x3, x4, x5: sum(np.sin(np.pi / 2 * x) for x in (x1, x2, x3, x4, x5)),
        name="poisson_5d",
    )
