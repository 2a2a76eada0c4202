"""Taylor and Green's vortices: a chequerboard of eddies that friction brings to rest.

    ∂u/∂t + u ∂u/∂x + v ∂u/∂y + ∂p/∂x = ν Δu
    ∂v/∂t + u ∂v/∂x + v ∂v/∂y + ∂p/∂y = ν Δv
    ∂u/∂x + ∂v/∂y = 0,   0 < t < 1, (x, y) in [0, 2π]²,   everything periodic
    u, v given at t = 0,   p given at the corner

    u = sin x cos y exp(-2νt),   v = -cos x sin y exp(-2νt),   p = (cos 2x + cos 2y) exp(-4νt) / 4

Source: Taylor and Green, Proc. R. Soc. A 158 (1937), in two dimensions.

Good values: nu = ν = 0.1; 0.01 hardly decays.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d, laplacian


def problem(nu: float = 0.1) -> pinn.Problem:
    """The problem with viscosity `nu`."""
    box = pinn.Box(t=(0, 1), x=(0, 2 * np.pi), y=(0, 2 * np.pi))

    def flow(u, v, p, t, x, y):
        return {
            "momentum in x": d(u, t) + u * d(u, x) + v * d(u, y) + d(p, x) - nu * laplacian(u, x, y),
            "momentum in y": d(v, t) + u * d(v, x) + v * d(v, y) + d(p, y) - nu * laplacian(v, x, y),
            "mass": d(u, x) + d(v, y),
        }

    return pinn.Problem(
        fields="u v p",
        domain=box,
        residual=flow,
        conditions=[
            pinn.Initial(u=lambda x, y: jnp.sin(x) * jnp.cos(y), v=lambda x, y: -jnp.cos(x) * jnp.sin(y)),
            pinn.Periodic("x"),
            pinn.Periodic("y"),
            pinn.Condition(lambda p, t: p - jnp.exp(-4 * nu * t) / 2, on=pinn.Points(x=[0], y=[0])),
        ],
        reference=lambda t, x, y: {
            "u": np.sin(x) * np.cos(y) * np.exp(-2 * nu * t),
            "v": -np.cos(x) * np.sin(y) * np.exp(-2 * nu * t),
            "p": (np.cos(2 * x) + np.cos(2 * y)) * np.exp(-4 * nu * t) / 4,
        },
        name="taylor_green",
    )
