"""The Korteweg-de Vries equation: a tall wave overtakes a low one, and both come out as they were.

    ∂u/∂t + 6 u ∂u/∂x + ∂³u/∂x³ = 0,   0 < t < 5, 0 < x < 20
    u at t = 0 and at both ends, and ∂u/∂x at x = 20, those of the two solitons

    u = 2 ∂²/∂x² log(1 + E₁ + E₂ + (k₁ - k₂)²/(k₁ + k₂)² E₁E₂),   Eᵢ = exp(kᵢ (x - xᵢ - cᵢt)),   kᵢ = √cᵢ

A soliton of speed c is c/2 high: it travels at its own speed since steepening and dispersion balance.

Source: Gardner, Greene, Kruskal, Miura, Phys. Rev. Lett. 19 (1967); c₁ = 6, c₂ = 2, x₁ = -2, x₂ = 2 as in arXiv 2509.14198.

Good values: fast = c₁ = 6, slow = c₂ = 2, the original; (2, 1) is smoother.
"""

import jax
import jax.numpy as jnp

import pinn
from pinn import d


def problem(fast: float = 6.0, slow: float = 2.0) -> pinn.Problem:
    """The problem of two solitons with these speeds."""
    box = pinn.Box(t=(0, 5), x=(0, 20))
    k, m = fast**0.5, slow**0.5

    def solitons(t, x):
        a, b = k * (x + 2 - fast * t), m * (x - 2 - slow * t)
        exponents = jnp.stack([jnp.zeros_like(a), a, b, a + b + 2 * jnp.log((k - m) / (k + m))])
        rates = jnp.array([0.0, k, m, k + m]).reshape(4, *[1] * jnp.ndim(a))
        shares = jax.nn.softmax(exponents, axis=0)  # the second derivative of log Σ exp is the variance of the rates
        mean = jnp.sum(shares * rates, axis=0)
        return 2 * jnp.sum(shares * (rates - mean[None]) ** 2, axis=0)

    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x: d(u, t) + 6 * u * d(u, x) + d(u, x, x, x),
        conditions=[
            pinn.Initial(u=lambda x: solitons(0.0, x)),
            pinn.Dirichlet(u=solitons, on=box.at(x=(0, 20))),
            pinn.Neumann(u=lambda t: jax.grad(solitons, argnums=1)(t, 20.0), on=box.at(x=20)),
        ],
        reference=solitons,
        name="kdv_solitons",
    )
