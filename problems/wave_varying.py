"""The wave equation on a string that is heavy at one end.

    ∂²u/∂t² = ∂/∂x (c² ∂u/∂x),   c = 1 + g x,   0 < t < end, 0 < x < 1
    u(0, x) = exp(-80 (x - 1/2)²) x (1 - x),   ∂u/∂t(0, x) = 0,   u = 0 at both ends

A pluck in the middle parts in two; the half that runs to the light end is faster and longer. Both return upside down.

Source: made for this package, in place of PINNacle's Wave2d-CG, whose speed is a table. The reference is exact in time and
computed at 96 Chebyshev points in space.

Good values: gradient = g = 1, end = 2; 0 is the plain wave equation.
"""

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import pinn
from pinn import d
from problems import _chebyshev

COUNT = 96


def problem(gradient: float = 1.0, end: float = 2.0) -> pinn.Problem:
    """The problem with a speed from 1 to 1 + `gradient`, up to t = `end`."""
    box = pinn.Box(t=(0, end), x=(0, 1))

    def tension(u, x):
        return (1 + gradient * x) ** 2 * d(u, x)

    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x: d(u, t, t) - d(tension, x),
        conditions=[
            pinn.Initial(u=lambda x: jnp.exp(-80 * (x - 0.5) ** 2) * x * (1 - x)),
            pinn.InitialVelocity(u=0.0),
            pinn.Dirichlet(u=0.0, on=box.at(x=(0, 1))),
        ],
        reference=lambda t, x: computed(gradient, t, x),
        name="wave_varying",
    )


def computed(gradient: float, t: NDArray, x: NDArray, finer: int = 1) -> NDArray[np.float64]:
    """u at times and places [n]; `finer` multiplies the points. The error is below 1e-10."""
    points = _chebyshev.points(finer * COUNT, 0, 1)
    rates, modes = _chebyshev.modes((1 + gradient * points) ** 2, points)
    start = np.exp(-80 * (points - 0.5) ** 2) * points * (1 - points)
    return _chebyshev.evolved(start, modes, np.cos(np.outer(t, np.sqrt(-rates))), points, x)
