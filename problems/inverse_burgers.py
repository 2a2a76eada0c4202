"""An inverse problem: the viscosity of Burgers' equation, from readings scattered over space and time.

    ∂u/∂t + u ∂u/∂x = ν ∂²u/∂x²,   0 < t < 1, -1 < x < 1
    u(0, x) = -sin πx,   u = 0 at both ends,   u(tᵢ, xᵢ) = uᵢ

ν is unknown; it is the width of the front in which the readings change sign.

Source: Raissi, Perdikaris, Karniadakis, J. Comput. Phys. 378 (2019), with 0.01/π and 2000 readings.

Good values: nu = 0.05, count = 100; nu = 0.01/π is the original and much harder.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d
from problems import burgers


def problem(nu: float = 0.05, count: int = 100, noise: float = 0.0, draw: int = 0) -> pinn.Problem:
    """The problem whose true viscosity is `nu`; `noise` is the readings' standard deviation, `draw` the seed."""
    box, rng = pinn.Box(t=(0, 1), x=(-1, 1)), np.random.default_rng(draw)
    t, x = rng.uniform(0, 1, count), rng.uniform(-1, 1, count)
    readings = burgers.exact(nu, t, x) + noise * rng.normal(size=count)
    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x, nu: d(u, t) + u * d(u, x) - nu * d(u, x, x),
        conditions=[
            pinn.Initial(u=lambda x: -jnp.sin(jnp.pi * x)),
            pinn.Dirichlet(u=0.0, on=box.at(x=(-1, 1))),
            pinn.Data(t=t, x=x, u=readings, sigma=noise or None),
        ],
        parameters={"nu": pinn.Parameter(0.1, positive=True)},
        reference=lambda t, x: burgers.exact(nu, t, x),
        name="inverse_burgers",
    )
