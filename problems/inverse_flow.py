"""An inverse problem: viscosity and pressure of a flow, from its velocity at scattered places.

    u ∂u/∂x + v ∂u/∂y + ∂p/∂x = ν Δu
    u ∂v/∂x + v ∂v/∂y + ∂p/∂y = ν Δv
    ∂u/∂x + ∂v/∂y = 0             on [-0.5, 1] × [-0.5, 1.5]
    u, v given on the boundary and at places (xᵢ, yᵢ), p at x = 1

ν is unknown. The flow is Kovasznay's, whose rate of decay downstream depends on ν.

Source: Raissi, Perdikaris, Karniadakis, J. Comput. Phys. 378 (2019) ask the same of the wake of a cylinder.

Good values: nu = 1/20, searched for from 1/10; count = 40; noise = 0.01 is one hundredth of the velocity.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d, laplacian


def problem(nu: float = 0.05, count: int = 40, noise: float = 0.0, draw: int = 0) -> pinn.Problem:
    """The problem whose true viscosity is `nu`; `noise` is the readings' standard deviation, `draw` the seed."""
    box, k = pinn.Box(x=(-0.5, 1), y=(-0.5, 1.5)), 2 * np.pi
    rate = 1 / (2 * nu) - np.sqrt(1 / (4 * nu**2) + k**2)

    def stream(x, y):
        return 1 - jnp.exp(rate * x) * jnp.cos(k * y)

    def cross(x, y):
        return rate / k * jnp.exp(rate * x) * jnp.sin(k * y)

    def flow(u, v, p, x, y, nu):
        return {
            "momentum in x": u * d(u, x) + v * d(u, y) + d(p, x) - nu * laplacian(u, x, y),
            "momentum in y": u * d(v, x) + v * d(v, y) + d(p, y) - nu * laplacian(v, x, y),
            "mass": d(u, x) + d(v, y),
        }

    rng = np.random.default_rng(draw)
    x, y = rng.uniform(-0.5, 1, count), rng.uniform(-0.5, 1.5, count)
    u, v = (np.asarray(part(x, y)) + noise * rng.normal(size=count) for part in (stream, cross))
    return pinn.Problem(
        fields="u v p",
        domain=box,
        residual=flow,
        conditions=[
            pinn.Dirichlet(u=stream, v=cross, on=box.boundary),
            pinn.Dirichlet(p=(1 - np.exp(2 * rate)) / 2, on=box.at(x=1)),
            pinn.Data(x=x, y=y, u=u, v=v, sigma=noise or None),
        ],
        parameters={"nu": pinn.Parameter(0.1, positive=True)},
        reference=lambda x, y: {"u": stream(x, y), "v": cross(x, y), "p": (1 - jnp.exp(2 * rate * x)) / 2},
        name="inverse_flow",
    )
