"""The Kuramoto-Sivashinsky equation: a flame front that wrinkles into chaos.

    ∂u/∂t + α u ∂u/∂x + β ∂²u/∂x² + γ ∂⁴u/∂x⁴ = 0,   0 < t < end, 0 < x < 2π
    u(0, x) = cos x (1 + sin x),   periodic in x

Long waves grow, since ∂²u/∂x² has the wrong sign, short ones are damped, and the nonlinear term hands energy from the ones to
the others. Small differences grow by several powers of ten up to t = 1.

Source: Wang, Sankaran, Perdikaris, arXiv 2203.07404; α = 100/16, β = 100/16², γ = 100/16⁴. The reference is computed by ETDRK4
on 432 points.

Good values: end = 1, where chaos has set in; end = 0.5 is much easier.
"""

import math
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import pinn
from pinn import d
from problems import _spectral

COUNT, SNAPSHOTS, STEPS = 432, 2000, 20  # steps from snapshot to snapshot, for each unit of time


def problem(alpha: float = 100 / 16, beta: float = 100 / 16**2, gamma: float = 100 / 16**4, end: float = 1.0) -> pinn.Problem:
    """The problem up to t = `end`."""
    box = pinn.Box(t=(0, end), x=(0, 2 * np.pi))
    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x: d(u, t) + alpha * u * d(u, x) + beta * d(u, x, x) + gamma * d(u, x, x, x, x),
        conditions=[pinn.Initial(u=lambda x: jnp.cos(x) * (1 + jnp.sin(x))), pinn.Periodic("x")],
        reference=lambda t, x: _spectral.evaluate(computed(alpha, beta, gamma, end), end, t, x),
        name="kuramoto_sivashinsky",
    )


@lru_cache
def computed(alpha: float, beta: float, gamma: float, end: float, finer: int = 1) -> NDArray[np.complex128]:
    """The modes of u at equidistant times. `finer` multiplies points and steps."""
    count, steps = finer * COUNT, finer * SNAPSHOTS * math.ceil(STEPS * end)
    x, n = 2 * np.pi * np.arange(count) / count, _spectral.orders(count)
    start = _spectral.modes(np.cos(x) * (1 + np.sin(x)))
    steepening = _spectral.product(count, _spectral.derivative_of_square(count, -alpha / 2), np.square)
    return _spectral.etdrk4(start, beta * n**2 - gamma * n**4, steepening, end, steps, SNAPSHOTS)
