"""The wave equation on a drum skin that is stretched unevenly, over a long time.

    ∂²u/∂t² = ∂²u/∂x² + a ∂²u/∂y²,   0 < t < end, (x, y) in [0, 1]²
    u(0, x, y) = sin πx sin πy,   ∂u/∂t(0, x, y) = 0,   u = 0 at the edges

The keynote u = sin πx sin πy cos(π√(1 + a) t) swings without end: 87 times up to t = 100.

Source: PINNacle (arXiv 2306.08827), its problem Wave2d-MS, corrected: the solution that is stated there does not satisfy its
equation.

Good values: end = 100 with a = 2, the original, is very long; end = 5 has four swings.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d


def problem(a: float = 2.0, end: float = 100.0) -> pinn.Problem:
    """The problem up to t = `end`."""
    box, k = pinn.Box(t=(0, end), x=(0, 1), y=(0, 1)), np.pi
    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x, y: d(u, t, t) - d(u, x, x) - a * d(u, y, y),
        conditions=[
            pinn.Initial(u=lambda x, y: jnp.sin(k * x) * jnp.sin(k * y)),
            pinn.InitialVelocity(u=0.0),
            pinn.Dirichlet(u=0.0, on=box.boundary),
        ],
        reference=lambda t, x, y: np.sin(k * x) * np.sin(k * y) * np.cos(np.sqrt(1 + a) * k * t),
        name="wave_2d",
    )
