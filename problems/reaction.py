"""A reaction without transport: logistic growth, at every place for itself.

    ∂u/∂t = ρ u (1 - u),   0 < t < 1, 0 < x < 2π
    u(0, x) = h(x) = exp(-(x - π)² / (2 (π/4)²))

A share u of something that doubles until it has everything. u = 0 and u = 1 both solve the equation, and plain networks fall for
the first.

Source: Krishnapriyan et al., arXiv 2109.01050, who also ask for periodicity; the equation has no derivative in x to need it.

Good values: rho = 5, the usual one; 10 has a steeper front.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d


def problem(rho: float = 5.0) -> pinn.Problem:
    """The problem with growth rate `rho`."""

    def start(x, exp):
        return exp(-((x - np.pi) ** 2) / (2 * (np.pi / 4) ** 2))

    def reference(t, x):
        grown = start(x, np.exp) * np.exp(rho * t)
        return grown / (grown + 1 - start(x, np.exp))

    return pinn.Problem(
        fields="u",
        domain=pinn.Box(t=(0, 1), x=(0, 2 * np.pi)),
        residual=lambda u, t, x: d(u, t) - rho * u * (1 - u),
        conditions=[pinn.Initial(u=lambda x: start(x, jnp.exp))],
        reference=reference,
        name="reaction",
    )
