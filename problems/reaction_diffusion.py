"""Diffusion with a source that keeps five waves of different length fading alike.

    ∂u/∂t = D ∂²u/∂x² + e⁻ᵗ Σ (D k² - 1) sin kx / k,   k = 1, 2, 3, 4 and 8,   0 < t < 1, -π < x < π
    u(0, x) = Σ sin kx / k,   u = 0 at both ends

Diffusion alone would wipe out the short waves first; the source makes up for that, so that u = e⁻ᵗ u(0, x).

Source: DeepXDE's example of diffusion and reaction, with D = 1.

Good values: diffusion = D = 1, the original.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d

WAVES = np.array([1.0, 2.0, 3.0, 4.0, 8.0])


def problem(diffusion: float = 1.0) -> pinn.Problem:
    """The problem with this diffusion coefficient."""
    box = pinn.Box(t=(0, 1), x=(-np.pi, np.pi))

    def source(t, x):
        return jnp.exp(-t) * jnp.sum((diffusion * WAVES - 1 / WAVES) * jnp.sin(WAVES * x))

    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x: d(u, t) - diffusion * d(u, x, x) - source(t, x),
        conditions=[
            pinn.Initial(u=lambda x: jnp.sum(jnp.sin(WAVES * x) / WAVES)),
            pinn.Dirichlet(u=0.0, on=box.at(x=(-np.pi, np.pi))),
        ],
        reference=lambda t, x: np.exp(-t) * np.sum(np.sin(x[..., None] * WAVES) / WAVES, axis=-1),
        name="reaction_diffusion",
    )
