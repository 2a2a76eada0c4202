"""The heat equation on a rod whose ends are kept cold.

    ∂u/∂t = a ∂²u/∂x²,   0 < t < 1, 0 < x < 1
    u(0, x) = sin nπx,   u = 0 at both ends

Heat flows from warm to cold: a sine wave keeps its shape and fades at the rate a n²π².

Source: DeepXDE's example of the heat equation.

Good values: diffusivity = a = 0.4, waves = n = 1, the original; larger products a n² fade within a thin layer in time.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d


def problem(diffusivity: float = 0.4, waves: int = 1) -> pinn.Problem:
    """The problem that starts from n = `waves` half waves."""
    box, k = pinn.Box(t=(0, 1), x=(0, 1)), waves * np.pi
    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x: d(u, t) - diffusivity * d(u, x, x),
        conditions=[pinn.Initial(u=lambda x: jnp.sin(k * x)), pinn.Dirichlet(u=0.0, on=box.at(x=(0, 1)))],
        reference=lambda t, x: np.exp(-diffusivity * k**2 * t) * np.sin(k * x),
        name="heat_1d",
    )
