"""Poisson's equation with a source so small that points drawn evenly hardly ever hit it.

    Δu = f on [-1, 1]²,   u given on the edges

f is that of u = Σ exp(-s ((x - a)² + (y - a)²)), with a peak at a = 1/2, or with two, at a = 1/2 and a = -1/2. At s = 1000 one
point in a hundred lies where u is more than a thousandth of its height.

Source: Tang, Wan and Yang (arXiv 2112.14038), the problems with one peak and with two of their adaptive sampling.

Good values: sharpness = 1000 and peaks = 1 or 2, the originals; 10 is smooth, 10000 is sharper than anything tried there.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import laplacian

PLACES = (0.5, -0.5)


def problem(sharpness: float = 1000.0, peaks: int = 1) -> pinn.Problem:
    """The problem with this many peaks, one or two."""
    square = pinn.Box(x=(-1, 1), y=(-1, 1))
    places = np.array(PLACES[:peaks])

    def away(x, y):
        return (x - places) ** 2 + (y - places) ** 2

    def source(x, y, sharpness):
        r2 = away(x, y)
        return jnp.sum((4 * sharpness**2 * r2 - 4 * sharpness) * jnp.exp(-sharpness * r2))

    return pinn.Problem(
        fields="u",
        domain=square,
        residual=lambda u, x, y, sharpness: laplacian(u, x, y) - source(x, y, sharpness),
        constants={"sharpness": sharpness},
        conditions=[pinn.Dirichlet(u=lambda x, y, sharpness: jnp.sum(jnp.exp(-sharpness * away(x, y))), on=square.boundary)],
        reference=lambda x, y: sum(np.exp(-sharpness * ((x - a) ** 2 + (y - a) ** 2)) for a in PLACES[:peaks]),
        name="peaks",
    )
