"""The wave equation on a string that is held at both ends and let go from rest.

    ∂²u/∂t² = c² ∂²u/∂x²,   0 < t < 1, 0 < x < 1
    u(0, x) = sin πx + A sin nπx,   ∂u/∂t(0, x) = 0,   u = 0 at both ends

Two overtones of a string swing in their own time, sin kx cos ckt each, and neither fades.

Source: PINNacle (arXiv 2306.08827), its problem Wave1d-C.

Good values: speed = c = 2, overtone = n = 4, amplitude = A = 0.5, the original; overtone = 3 is another usual one; DeepXDE's
example has speed = 10, overtone = 2, amplitude = 1.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d


def problem(speed: float = 2.0, overtone: int = 4, amplitude: float = 0.5) -> pinn.Problem:
    """The problem with the keynote and one overtone."""
    box, k, n = pinn.Box(t=(0, 1), x=(0, 1)), np.pi, overtone * np.pi
    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x: d(u, t, t) - speed**2 * d(u, x, x),
        conditions=[
            pinn.Initial(u=lambda x: jnp.sin(k * x) + amplitude * jnp.sin(n * x)),
            pinn.InitialVelocity(u=0.0),
            pinn.Dirichlet(u=0.0, on=box.at(x=(0, 1))),
        ],
        reference=lambda t, x: np.sin(k * x) * np.cos(speed * k * t) + amplitude * np.sin(n * x) * np.cos(speed * n * t),
        name="wave",
    )
