"""An inverse problem: how fast waves run along a string, heard at one place.

    ∂²u/∂t² = c² ∂²u/∂x²,   0 < t < 1, 0 < x < 1
    u(0, x) = sin πx + sin 2πx / 2,   ∂u/∂t(0, x) = 0,   u = 0 at both ends,   u(tᵢ, 0.3) = uᵢ

c is unknown: the pitch tells it.

Source: made for this package.

Good values: speed = c = 1.5, searched for from 1; noise = 0.01 is one hundredth of the largest reading.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d


def problem(speed: float = 1.5, noise: float = 0.0, draw: int = 0) -> pinn.Problem:
    """The problem whose true speed is `speed`; `noise` is the readings' standard deviation, `draw` their seed."""
    box, k, t = pinn.Box(t=(0, 1), x=(0, 1)), np.pi, np.linspace(0.05, 1, 20)

    def exact(t, x):
        return np.sin(k * x) * np.cos(k * speed * t) + np.sin(2 * k * x) * np.cos(2 * k * speed * t) / 2

    readings = exact(t, 0.3) + noise * np.random.default_rng(draw).normal(size=len(t))
    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x, speed: d(u, t, t) - speed**2 * d(u, x, x),
        conditions=[
            pinn.Initial(u=lambda x: jnp.sin(k * x) + jnp.sin(2 * k * x) / 2),
            pinn.InitialVelocity(u=0.0),
            pinn.Dirichlet(u=0.0, on=box.at(x=(0, 1))),
            pinn.Data(t=t, x=np.full(len(t), 0.3), u=readings, sigma=noise or None),
        ],
        parameters={"speed": pinn.Parameter(1.0, positive=True)},
        reference=exact,
        name="inverse_wave",
    )
