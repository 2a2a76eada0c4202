"""The Black-Scholes equation: what the right to buy a share at a fixed price is worth.

    ∂V/∂t = σ²S²/2 ∂²V/∂S² + r S ∂V/∂S - r V,   0 < t < 1, 0 < S < 2
    V(0, S) = max(S - K, 0),   V = 0 at S = 0,   V that of the formula at S = 2

t is the time that is left, S the price of the share now, K the price of the contract. The value starts with a kink at S = K,
which the uncertainty of the price rounds off.

Source: Black and Scholes, J. Polit. Econ. 81 (1973), whose formula is the reference.

Good values: volatility = σ = 0.3, rate = r = 0.05, strike = K = 1; a volatility of 0.1 leaves the kink sharp for longer.
"""

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr

import pinn
from pinn import d


def problem(volatility: float = 0.3, rate: float = 0.05, strike: float = 1.0) -> pinn.Problem:
    """The problem of a call at the price `strike`."""
    box = pinn.Box(t=(0, 1), S=(0, 2))

    def value(t, S):  # finite at t = 0 and S = 0, too
        t, price = jnp.maximum(t, 1e-12), jnp.maximum(S, 1e-300)
        spread = volatility * jnp.sqrt(t)
        above = (jnp.log(price / strike) + (rate + volatility**2 / 2) * t) / spread
        return S * ndtr(above) - strike * jnp.exp(-rate * t) * ndtr(above - spread)

    return pinn.Problem(
        fields="V",
        domain=box,
        residual=lambda V, t, S: d(V, t) - volatility**2 * S**2 / 2 * d(V, S, S) - rate * (S * d(V, S) - V),
        conditions=[
            pinn.Initial(V=lambda S: jnp.maximum(S - strike, 0.0)),
            pinn.Dirichlet(V=0.0, on=box.at(S=0)),
            pinn.Dirichlet(V=lambda t: value(t, 2.0), on=box.at(S=2)),
        ],
        reference=lambda t, S: np.where(t > 0, value(t, S), np.maximum(S - strike, 0.0)),
        name="black_scholes",
    )
