"""Burgers' equations in the plane: a slanted front that moves on.

    ∂u/∂t + u ∂u/∂x + v ∂u/∂y = ν Δu
    ∂v/∂t + u ∂v/∂x + v ∂v/∂y = ν Δv,   0 < t < 1, (x, y) in [0, 1]²
    u and v at t = 0 and on the edges those of the front

    u = 3/4 - 1/4 / (1 + exp((4y - 4x - t) / 32ν)),   v = 3/2 - u

Both components change by a half across a front of width 8ν, which travels without changing its shape.

Source: Fletcher, Int. J. Numer. Meth. Fluids 3 (1983), with ν = 1/100.

Good values: nu = ν = 0.01, the usual one, with a front of a tenth of the square; 0.002 is sharp.
"""

import jax.numpy as jnp

import pinn
from pinn import d, laplacian


def problem(nu: float = 0.01) -> pinn.Problem:
    """The problem with viscosity `nu`."""
    box = pinn.Box(t=(0, 1), x=(0, 1), y=(0, 1))

    def u0(t, x, y):  # by tanh, since exp overflows
        return 3 / 4 - (1 - jnp.tanh((4 * y - 4 * x - t) / (64 * nu))) / 8

    def v0(t, x, y):
        return 3 / 2 - u0(t, x, y)

    return pinn.Problem(
        fields="u v",
        domain=box,
        residual=lambda u, v, t, x, y: (
            d(u, t) + u * d(u, x) + v * d(u, y) - nu * laplacian(u, x, y),
            d(v, t) + u * d(v, x) + v * d(v, y) - nu * laplacian(v, x, y),
        ),
        conditions=[
            pinn.Initial(u=lambda x, y: u0(0.0, x, y), v=lambda x, y: v0(0.0, x, y)),
            pinn.Dirichlet(u=u0, v=v0, on=box.boundary),
        ],
        reference=lambda t, x, y: {"u": u0(t, x, y), "v": v0(t, x, y)},
        name="burgers_2d",
    )
