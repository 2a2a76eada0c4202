"""The Korteweg-de Vries equation: a cosine breaks into a train of solitons.

    ∂u/∂t + u ∂u/∂x + δ² ∂³u/∂x³ = 0,   0 < t < 1, -1 < x < 1
    u(0, x) = cos πx,   periodic in x

Waves on shallow water: the crest overtakes its foot until dispersion, not friction, stops the front and sheds solitons, tall
ones fast, which pass through each other.

Source: Zabusky and Kruskal, Phys. Rev. Lett. 15 (1965). The reference is computed by ETDRK4 on 480 points.

Good values: dispersion = 0.022, the original; end = 0.3 is before the front steepens.
"""

import math
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import pinn
from pinn import d
from problems import _spectral

COUNT, SNAPSHOTS, STEPS = 480, 2000, 10  # steps from snapshot to snapshot, for each unit of time


def problem(dispersion: float = 0.022, end: float = 1.0) -> pinn.Problem:
    """The problem up to t = `end`."""
    box = pinn.Box(t=(0, end), x=(-1, 1))
    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x: d(u, t) + u * d(u, x) + dispersion**2 * d(u, x, x, x),
        conditions=[pinn.Initial(u=lambda x: jnp.cos(jnp.pi * x)), pinn.Periodic("x")],
        reference=lambda t, x: _spectral.evaluate(computed(dispersion, end), end, t, np.pi * (x + 1)),
        name="kdv",
    )


@lru_cache
def computed(dispersion: float, end: float, finer: int = 1) -> NDArray[np.complex128]:
    """The modes of u at equidistant times; the angle is π (x + 1). `finer` multiplies points and steps."""
    count, steps = finer * COUNT, finer * SNAPSHOTS * math.ceil(STEPS * end)
    start = _spectral.modes(np.cos(2 * np.pi * np.arange(count) / count - np.pi))
    linear = 1j * dispersion**2 * (np.pi * _spectral.orders(count)) ** 3
    steepening = _spectral.product(count, _spectral.derivative_of_square(count, -np.pi / 2), np.square)
    return _spectral.etdrk4(start, linear, steepening, end, steps, SNAPSHOTS)
