"""An inverse problem: how well a plate conducts at every place, from readings of its temperature.

    div(a grad u) + f = 0 on [0, 1]²,   a given on the boundary,   u(xᵢ, yᵢ) = uᵢ
    u = sin πx sin πy,   a = 1 / (1 + x² + y² + (x - 1)² + (y - 1)²)

The field a is unknown inside. Where u has no slope, at the middle, its equation says nothing of a.

Source: PINNacle (arXiv 2306.08827), its problem PInv, corrected: the source term there belongs to another pair of u and a.

Good values: noise = 0 or 0.1, the original; count = 50 readings along each side, the original.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d


def problem(noise: float = 0.1, count: int = 50, draw: int = 0) -> pinn.Problem:
    """The problem with count² readings; `noise` is their standard deviation, `draw` their seed."""
    square, k = pinn.Box(x=(0, 1), y=(0, 1)), np.pi

    def conducts(x, y):
        return 1 / (1 + x**2 + y**2 + (x - 1) ** 2 + (y - 1) ** 2)

    def source(x, y):
        a, s, t = conducts(x, y), jnp.sin(k * x), jnp.sin(k * y)
        slopes = (2 * x - 1) * jnp.cos(k * x) * t + (2 * y - 1) * s * jnp.cos(k * y)
        return 2 * k**2 * a * s * t + 2 * k * a**2 * slopes

    def flow_x(u, a, x):
        return a * d(u, x)

    def flow_y(u, a, y):
        return a * d(u, y)

    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(0, 1, count), np.linspace(0, 1, count)))
    readings = np.sin(k * x) * np.sin(k * y) + noise * np.random.default_rng(draw).normal(size=count**2)
    return pinn.Problem(
        fields="u a",
        domain=square,
        residual=lambda u, a, x, y: d(flow_x, x) + d(flow_y, y) + source(x, y),
        conditions=[
            pinn.Dirichlet(a=conducts, on=square.boundary),
            pinn.Data(x=x, y=y, u=readings, sigma=noise or None),
        ],
        reference=lambda x, y: {"u": np.sin(k * x) * np.sin(k * y), "a": conducts(x, y)},
        name="inverse_poisson_field",
    )
