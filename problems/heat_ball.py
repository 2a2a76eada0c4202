"""The heat equation in a five-dimensional ball, whose rim passes on as much heat as it is warm.

    ∂u/∂t = Δu / 5 - r²/5 exp(r²/2 + t),   0 < t < 1, r = |x| < 1 in five dimensions
    u(0, x) = exp(r²/2),   ∂u/∂n = exp(1/2 + t) at r = 1

The solution is u = exp(r²/2 + t): it depends on r alone, which the equation does not say.

Source: PINNacle (arXiv 2306.08827), its problem HNd.

Good values: there is nothing to choose.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d, laplacian


def square(x1, x2, x3, x4, x5):
    return x1**2 + x2**2 + x3**2 + x4**2 + x5**2


def problem() -> pinn.Problem:
    """The problem with coordinates x1 to x5 and t."""
    ball = pinn.Ball(x1=0, x2=0, x3=0, x4=0, x5=0, radius=1)

    def heat(u, t, x1, x2, x3, x4, x5):
        r2 = square(x1, x2, x3, x4, x5)
        return d(u, t) - laplacian(u, x1, x2, x3, x4, x5) / 5 + r2 / 5 * jnp.exp(r2 / 2 + t)

    return pinn.Problem(
        fields="u",
        domain=ball * pinn.Interval(t=(0, 1)),
        residual=heat,
        conditions=[
            pinn.Initial(u=lambda x1, x2, x3, x4, x5: jnp.exp(square(x1, x2, x3, x4, x5) / 2)),
            pinn.Neumann(u=lambda t: jnp.exp(0.5 + t), on=ball.boundary),
        ],
        reference=lambda t, x1, x2, x3, x4, x5: np.exp(square(x1, x2, x3, x4, x5) / 2 + t),
        name="heat_ball",
    )
