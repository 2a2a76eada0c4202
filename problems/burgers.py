"""Burgers' equation: a sine wave steepens into a shock of finite width.

    ∂u/∂t + u ∂u/∂x = ν ∂²u/∂x²,   0 < t < 1, -1 < x < 1
    u(0, x) = -sin πx,   u = 0 at both ends

Every particle keeps its speed until those from the left meet those from the right; friction ν gives the shock at x = 0 a width
of about ν.

Source: Raissi, Perdikaris, Karniadakis, J. Comput. Phys. 378 (2019). The reference is the Cole-Hopf integral.

Good values: nu = 0.01/π, the usual one; 0.01 is easier, 0.001 harder.
"""

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

import pinn
from pinn import d


def problem(nu: float = 0.01 / np.pi) -> pinn.Problem:
    """The problem with viscosity `nu`."""
    box = pinn.Box(t=(0, 1), x=(-1, 1))
    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x: d(u, t) + u * d(u, x) - nu * d(u, x, x),
        conditions=[pinn.Initial(u=lambda x: -jnp.sin(jnp.pi * x)), pinn.Dirichlet(u=0.0, on=box.at(x=(-1, 1)))],
        reference=lambda t, x: exact(nu, t, x),
        name="burgers",
    )


def exact(nu: float, t: ArrayLike, x: ArrayLike, spacing: float = 0.2) -> NDArray[np.float64]:
    """The solution: -∫ sin πy w dz / ∫ w dz with y = x - √(4νt) z and log w = -cos πy / (2πν) - z².

    The trapezoid rule is as accurate as rounding for such bells; they end where z² exceeds what the cosine can make up for.
    """
    t, x = np.asarray(t, float)[..., None], np.asarray(x, float)[..., None]
    reach = np.sqrt(1 / (np.pi * nu) + 40)
    z = np.linspace(-reach, reach, 2 * int(np.ceil(reach / spacing)) + 1)
    y = x - np.sqrt(4 * nu * t) * z
    log_w = -np.cos(np.pi * y) / (2 * np.pi * nu) - z**2
    w = np.exp(log_w - log_w.max(axis=-1, keepdims=True))
    return -(np.sin(np.pi * y) * w).sum(axis=-1) / w.sum(axis=-1)
