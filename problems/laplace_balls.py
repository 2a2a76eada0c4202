"""Laplace's equation in a cube with four balls cut out, around a charge in the middle of each.

    Δu = 0 on [0, 1]³ without the balls
    u = u₀ on the cube,   ∂u/∂n = ∂u₀/∂n on the balls,   u₀ = Σ qᵢ / |x - cᵢ|

The potential of charges of both signs: walls hold it fixed, and the flux out of every ball is known.

Source: made for this package, on the domain of PINNacle's Poisson3d-CG (arXiv 2306.08827), which has no closed form.

Good values: charge = 0.1, with which the potential is of order one on the balls.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import laplacian

CENTRES = np.array([(0.4, 0.3, 0.6), (0.6, 0.7, 0.6), (0.2, 0.8, 0.7), (0.6, 0.2, 0.3)])
RADII = np.array([0.2, 0.2, 0.1, 0.1])
SIGNS = np.array([1.0, -1.0, 1.0, -1.0])


def problem(charge: float = 0.1) -> pinn.Problem:
    """The problem with charges of that size, two of them negative."""
    cube = pinn.Box(x=(0, 1), y=(0, 1), z=(0, 1))
    first, second, third, fourth = (
        pinn.Ball(x=x, y=y, z=z, radius=radius) for (x, y, z), radius in zip(CENTRES, RADII, strict=True)
    )
    balls = first + second + third + fourth

    def potential(x, y, z):
        gaps = [(x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 for a, b, c in CENTRES]
        return charge * sum(sign / gap**0.5 for sign, gap in zip(SIGNS, gaps, strict=True))

    def flux(x, y, z, normal):
        away = jnp.stack([x, y, z])[None] - CENTRES
        return -charge * jnp.sum(SIGNS * (away @ normal) / jnp.sum(away**2, axis=1) ** 1.5)

    return pinn.Problem(
        fields="u",
        domain=cube - balls,
        residual=lambda u, x, y, z: laplacian(u, x, y, z),
        conditions=[pinn.Dirichlet(u=potential, on=cube.boundary), pinn.Neumann(u=flux, on=balls.boundary)],
        reference=potential,
        name="laplace_balls",
    )
