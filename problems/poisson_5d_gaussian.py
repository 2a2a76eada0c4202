"""Poisson's equation in a five-dimensional cube, whose solution is a bell in all coordinates at once.

    Δu = (4 r² - 10) u₀ on [0, 1]⁵,   u = u₀ on the boundary
    u₀ = exp(-r²),   r = |x - centre|

The fair variant of poisson_5d: the solution is a product of functions of one coordinate, not a sum.

Source: made for this package, to see what additive solutions hide.

Good values: centre = 0.4, off the middle so that nothing is symmetric.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import laplacian


def problem(centre: float = 0.4) -> pinn.Problem:
    """The problem on the unit cube; each coordinate of the bell's middle is `centre`."""
    cube = pinn.Box(x1=(0, 1), x2=(0, 1), x3=(0, 1), x4=(0, 1), x5=(0, 1))

    def square(x1, x2, x3, x4, x5):
        return sum((x - centre) ** 2 for x in (x1, x2, x3, x4, x5))

    def load(x1, x2, x3, x4, x5):
        r2 = square(x1, x2, x3, x4, x5)
        return (4 * r2 - 10) * jnp.exp(-r2)

    return pinn.Problem(
        fields="u",
        domain=cube,
        residual=lambda u, x1, x2, x3, x4, x5: laplacian(u, x1, x2, x3, x4, x5) - load(x1, x2, x3, x4, x5),
        conditions=[pinn.Dirichlet(u=lambda x1, x2, x3, x4, x5: jnp.exp(-square(x1, x2, x3, x4, x5)), on=cube.boundary)],
        reference=lambda x1, x2, x3, x4, x5: np.exp(-square(x1, x2, x3, x4, x5)),
        name="poisson_5d_gaussian",
    )
