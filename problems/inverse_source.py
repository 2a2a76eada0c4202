"""An inverse problem: how strong a source is, from five thermometers.

    -Δu = s π² sin πx sin πy / 10 + 1 on [0, 1]²,   u = v on the boundary,   u(xᵢ, yᵢ) = uᵢ
    v = x (1 - x) / 2

s is unknown. It enters linearly, and so do the temperatures: the solution is u = v + s sin πx sin πy / 20.

Source: made for this package.

Good values: strength = s = 3, searched for from 0; noise = 0.01 is about three hundredths of the largest reading.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import laplacian


def problem(strength: float = 3.0, noise: float = 0.0, draw: int = 0) -> pinn.Problem:
    """The problem whose true source is `strength`; `noise` is the readings' standard deviation, `draw` their seed."""
    square, k = pinn.Box(x=(0, 1), y=(0, 1)), np.pi
    x, y = np.array([0.2, 0.8, 0.5, 0.2, 0.8]), np.array([0.2, 0.2, 0.5, 0.8, 0.8])

    def exact(x, y):
        return x * (1 - x) / 2 + strength * np.sin(k * x) * np.sin(k * y) / 20

    readings = exact(x, y) + noise * np.random.default_rng(draw).normal(size=len(x))
    return pinn.Problem(
        fields="u",
        domain=square,
        residual=lambda u, x, y, strength: laplacian(u, x, y) + strength * k**2 * jnp.sin(k * x) * jnp.sin(k * y) / 10 + 1,
        conditions=[
            pinn.Dirichlet(u=lambda x: x * (1 - x) / 2, on=square.boundary),
            pinn.Data(x=x, y=y, u=readings, sigma=noise or None),
        ],
        parameters={"strength": pinn.Parameter(0.0)},
        reference=exact,
        name="inverse_source",
    )
