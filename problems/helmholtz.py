"""The Helmholtz equation on a square, with a wave that is short in one direction.

    Δu + k² u = q on [-1, 1]²,   u = 0 on the boundary
    u = sin a₁πx sin a₂πy,   q = (k² - a₁²π² - a₂²π²) u

Sound of one frequency in a closed box, driven by q.

Source: Wang, Teng, Perdikaris, SIAM J. Sci. Comput. 43 (2021).

Good values: k = 1, first = a₁ = 1, second = a₂ = 4, the usual ones; (6, 6) and (10, 10) are harder. Where k² is the sum of two
squares of multiples of π/2, the box resonates and there is no single solution.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import laplacian


def problem(k: float = 1.0, first: int = 1, second: int = 4) -> pinn.Problem:
    """The problem with wave number k and a = (`first`, `second`)."""
    square, a, b = pinn.Box(x=(-1, 1), y=(-1, 1)), first * np.pi, second * np.pi
    return pinn.Problem(
        fields="u",
        domain=square,
        residual=lambda u, x, y: laplacian(u, x, y) + k**2 * u - (k**2 - a**2 - b**2) * jnp.sin(a * x) * jnp.sin(b * y),
        conditions=[pinn.Dirichlet(u=0.0, on=square.boundary)],
        reference=lambda x, y: np.sin(a * x) * np.sin(b * y),
        name="helmholtz",
    )
