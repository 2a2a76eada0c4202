"""The heat equation on a plate that conducts far better in one direction than in the other.

    ∂u/∂t = a ∂²u/∂x² + b ∂²u/∂y²,   0 < t < 5, (x, y) in [0, 1]²
    u(0, x, y) = sin 20πx sin πy,   u = 0 at the edges

Twenty half waves lie along x, which hardly conducts, and one along y: the short waves alone would last, the long one fades.

Source: PINNacle (arXiv 2306.08827), its problem Heat2d-MS, where a = 1/(500π)² and b = 1/π².

Good values: waves = 20, the original; end = 5, when less than a hundredth of the start is left.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d


def problem(a: float = 1 / (500 * np.pi) ** 2, b: float = 1 / np.pi**2, waves: int = 20, end: float = 5.0) -> pinn.Problem:
    """The problem up to t = `end`, from `waves` half waves in x."""
    box, k = pinn.Box(t=(0, end), x=(0, 1), y=(0, 1)), waves * np.pi
    rate = a * k**2 + b * np.pi**2
    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x, y: d(u, t) - a * d(u, x, x) - b * d(u, y, y),
        conditions=[
            pinn.Initial(u=lambda x, y: jnp.sin(k * x) * jnp.sin(jnp.pi * y)),
            pinn.Dirichlet(u=0.0, on=box.boundary),
        ],
        reference=lambda t, x, y: np.exp(-rate * t) * np.sin(k * x) * np.sin(np.pi * y),
        name="heat_multiscale",
    )
