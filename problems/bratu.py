"""Bratu's equation on a disk: heat of a reaction that grows with its own heat.

    -Δu = λ eᵘ for x² + y² < 1,   u = 0 on the rim

Below λ = 2 heat made and heat lost can balance, in two ways, a cool and a hot one; above, everything explodes. With
c = 4/λ - 1 and b = c ∓ √(c² - 1) the solutions are u = 2 log((1 + b) / (1 + b r²)), of which the reference is the cool one.

Source: Frank-Kamenetskii's theory of explosions; the closed form is Liouville's.

Good values: strength = λ = 1; 1.9 is near the fold, where the two solutions meet.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import laplacian


def problem(strength: float = 1.0) -> pinn.Problem:
    """The problem with λ = `strength`, between 0 and 2."""
    disk, c = pinn.Disk(x=0, y=0, radius=1), 4 / strength - 1
    b = c - np.sqrt(c**2 - 1)
    return pinn.Problem(
        fields="u",
        domain=disk,
        residual=lambda u, x, y: laplacian(u, x, y) + strength * jnp.exp(u),
        conditions=[pinn.Dirichlet(u=0.0, on=disk.boundary)],
        reference=lambda x, y: 2 * np.log((1 + b) / (1 + b * (x**2 + y**2))),
        name="bratu",
    )
