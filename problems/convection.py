"""Convection at a constant speed around a ring.

    ∂u/∂t + β ∂u/∂x = 0,   0 < t < 1, 0 < x < 2π
    u(0, x) = u₀(x),   periodic in x

A wind carries u along without change: u = u₀(x - βt). Fast winds make many waves in time, where plain networks fail.

Source: Krishnapriyan et al., arXiv 2109.01050, with u₀ = sin x.

Good values: beta = 30 to 50, the usual ones; 80 and 100 are harder. steep = True takes u₀ = exp(sin x), which is no single wave.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d


def problem(beta: float = 50.0, steep: bool = False) -> pinn.Problem:
    """The problem with speed `beta`, from sin x or, if `steep`, from exp(sin x)."""
    ring = pinn.Box(t=(0, 1), x=(0, 2 * np.pi))
    return pinn.Problem(
        fields="u",
        domain=ring,
        residual=lambda u, t, x: d(u, t) + beta * d(u, x),
        conditions=[pinn.Initial(u=lambda x: jnp.exp(jnp.sin(x)) if steep else jnp.sin(x)), pinn.Periodic("x")],
        reference=lambda t, x: np.exp(np.sin(x - beta * t)) if steep else np.sin(x - beta * t),
        name="convection",
    )
