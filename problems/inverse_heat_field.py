"""An inverse problem: how well a plate conducts at every place, from its temperature as it cools.

    ∂u/∂t - div(a grad u) = f,   0 < t < 1, (x, y) in [-1, 1]²
    a given on the boundary,   u(tᵢ, xᵢ, yᵢ) = uᵢ
    u = e⁻ᵗ sin πx sin πy,   a = 2 + sin πx sin πy

The field a is unknown inside, and does not depend on time.

Source: PINNacle (arXiv 2306.08827), its problem HInv.

Good values: noise = 0 or 0.1, the original; count = 2500, the original.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d


def problem(noise: float = 0.1, count: int = 2500, draw: int = 0) -> pinn.Problem:
    """The problem with that many readings; `noise` is their standard deviation, `draw` the seed."""
    box, k = pinn.Box(t=(0, 1), x=(-1, 1), y=(-1, 1)), np.pi

    def source(t, x, y):
        s = jnp.sin(k * x) * jnp.sin(k * y)
        squares = (jnp.cos(k * x) * jnp.sin(k * y)) ** 2 + (jnp.sin(k * x) * jnp.cos(k * y)) ** 2
        return jnp.exp(-t) * (-s + k**2 * (2 * s * (2 + s) - squares))

    def flow_x(u, a, x):
        return a * d(u, x)

    def flow_y(u, a, y):
        return a * d(u, y)

    rng = np.random.default_rng(draw)
    t, x, y = rng.uniform(0, 1, count), rng.uniform(-1, 1, count), rng.uniform(-1, 1, count)
    readings = np.exp(-t) * np.sin(k * x) * np.sin(k * y) + noise * rng.normal(size=count)
    return pinn.Problem(
        fields={"u": "t x y", "a": "x y"},
        domain=box,
        residual=lambda u, a, t, x, y: d(u, t) - d(flow_x, x) - d(flow_y, y) - source(t, x, y),
        conditions=[
            pinn.Dirichlet(a=2.0, on=box.boundary),
            pinn.Data(t=t, x=x, y=y, u=readings, sigma=noise or None),
        ],
        reference=lambda t, x, y: {
            "u": np.exp(-t) * np.sin(k * x) * np.sin(k * y),
            "a": 2 + np.sin(k * x) * np.sin(k * y),
        },
        name="inverse_heat_field",
    )
