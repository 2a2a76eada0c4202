"""The heat equation in a rod that conducts well in places and badly in others.

    ∂u/∂t = ∂/∂x (a ∂u/∂x),   a = 1 + c cos 3πx,   0 < t < 0.5, 0 < x < 1
    u(0, x) = sin πx + sin 2πx,   u = 0 at both ends

Heat stays longest where a is small, so that the rod's slowest mode is lopsided.

Source: made for this package. The reference is exact in time and computed at 160 Chebyshev points in space.

Good values: contrast = c = 0.8; 0 is the plain heat equation, 0.95 nearly stops the heat in places.
"""

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import pinn
from pinn import d
from problems import _chebyshev

COUNT = 160


def problem(contrast: float = 0.8) -> pinn.Problem:
    """The problem with a between 1 - `contrast` and 1 + `contrast`."""
    box, k = pinn.Box(t=(0, 0.5), x=(0, 1)), np.pi

    def flux(u, x):
        return (1 + contrast * jnp.cos(3 * k * x)) * d(u, x)

    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x: d(u, t) - d(flux, x),
        conditions=[
            pinn.Initial(u=lambda x: jnp.sin(k * x) + jnp.sin(2 * k * x)),
            pinn.Dirichlet(u=0.0, on=box.at(x=(0, 1))),
        ],
        reference=lambda t, x: computed(contrast, t, x),
        name="heat_varying",
    )


def computed(contrast: float, t: NDArray, x: NDArray, finer: int = 1) -> NDArray[np.float64]:
    """u at times and places [n]; `finer` multiplies the points. The error is below 1e-10."""
    points = _chebyshev.points(finer * COUNT, 0, 1)
    rates, modes = _chebyshev.modes(1 + contrast * np.cos(3 * np.pi * points), points)
    start = np.sin(np.pi * points) + np.sin(2 * np.pi * points)
    return _chebyshev.evolved(start, modes, np.exp(np.outer(t, rates)), points, x)
