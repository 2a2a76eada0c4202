"""Kovasznay's flow: the steady wake behind a grid, an exact solution of the Navier-Stokes equations.

    u ∂u/∂x + v ∂u/∂y + ∂p/∂x = Δu / Re
    u ∂v/∂x + v ∂v/∂y + ∂p/∂y = Δv / Re
    ∂u/∂x + ∂v/∂y = 0             on [-0.5, 1] × [-0.5, 1.5]
    u, v given on the boundary, p at x = 1

With λ = Re/2 - √(Re²/4 + 4π²) the flow is u = 1 - exp(λx) cos 2πy, v = λ/(2π) exp(λx) sin 2πy, p = (1 - exp(2λx)) / 2: pairs of
eddies that die out downstream.

Source: Kovasznay, Proc. Camb. Phil. Soc. 44 (1948); the domain is that of DeepXDE's example.

Good values: reynolds = 20, the usual one; 40 has longer eddies.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d, laplacian


def problem(reynolds: float = 20.0) -> pinn.Problem:
    """The problem at the Reynolds number `reynolds`."""
    box, k = pinn.Box(x=(-0.5, 1), y=(-0.5, 1.5)), 2 * np.pi
    rate = reynolds / 2 - np.sqrt(reynolds**2 / 4 + k**2)

    def flow(u, v, p, x, y):
        return {
            "momentum in x": u * d(u, x) + v * d(u, y) + d(p, x) - laplacian(u, x, y) / reynolds,
            "momentum in y": u * d(v, x) + v * d(v, y) + d(p, y) - laplacian(v, x, y) / reynolds,
            "mass": d(u, x) + d(v, y),
        }

    return pinn.Problem(
        fields="u v p",
        domain=box,
        residual=flow,
        conditions=[
            pinn.Dirichlet(
                u=lambda x, y: 1 - jnp.exp(rate * x) * jnp.cos(k * y),
                v=lambda x, y: rate / k * jnp.exp(rate * x) * jnp.sin(k * y),
                on=box.boundary,
            ),
            pinn.Dirichlet(p=(1 - np.exp(2 * rate)) / 2, on=box.at(x=1)),
        ],
        reference=lambda x, y: {
            "u": 1 - np.exp(rate * x) * np.cos(k * y),
            "v": rate / k * np.exp(rate * x) * np.sin(k * y),
            "p": (1 - np.exp(2 * rate * x)) / 2,
        },
        name="kovasznay",
    )
