"""The Allen-Cahn equation: two phases part, and thin fronts between them stay.

    ∂u/∂t = D ∂²u/∂x² + r (u - u³),   0 < t < 1, -1 < x < 1
    u(0, x) = x² cos πx,   u and ∂u/∂x periodic in x

Reaction drives u to one of the phases u = 1 and u = -1, slow diffusion lets the fronts keep a width of about √(D/r). The initial
state has opposite slopes at x = -1 and x = 1, so that its periodic continuation has a kink, which diffusion rounds off at once.

Source: Raissi, Perdikaris, Karniadakis, J. Comput. Phys. 378 (2019). The reference is computed by ETDRK4 on 4096 points.

Good values: diffusion = 1e-4, reaction = 5, the usual ones; diffusion = 1e-3 is much easier.
"""

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

import pinn
from pinn import d
from problems import _spectral

COUNT, STEPS = 4096, 1000


def problem(diffusion: float = 1e-4, reaction: float = 5.0) -> pinn.Problem:
    """The problem on 0 ≤ t ≤ 1."""
    box = pinn.Box(t=(0, 1), x=(-1, 1))

    def reference(t, x):
        smooth = _spectral.evaluate(smooth_part(diffusion, reaction), 1.0, t, np.pi * (x + 1))
        return smooth + rounded_kink(diffusion * t, x)

    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x: d(u, t) - diffusion * d(u, x, x) - reaction * (u - u**3),
        conditions=[pinn.Initial(u=lambda x: x**2 * jnp.cos(jnp.pi * x)), pinn.Periodic("x")],
        reference=reference,
        name="allen_cahn",
    )


@lru_cache
def smooth_part(diffusion: float, reaction: float, finer: int = 1) -> NDArray[np.complex128]:
    """The modes of u less the kink's, at equidistant times.

    Samples of the kink would mix its slowly falling modes into the first ones, an error of 1e-6 in u. So the modes of the initial
    state are integrals, and the kink, whose decay is known, is taken from the answer and added in closed form: what is left is
    smooth in x and t. The error is below 1e-10, but for t < 0.005 within 0.01 of the kink, where it comes up to 5e-8. `finer`
    multiplies points and steps.
    """
    count, steps = finer * COUNT, finer * STEPS
    n = _spectral.orders(count)
    decay = diffusion * (np.pi * n) ** 2
    slope = _spectral.product(count, -reaction + 0 * n, cube)
    modes = _spectral.etdrk4(initial_modes(n), reaction - decay, slope, 1.0, steps, steps)
    kink = np.where(n > 0, -2 / (np.pi * np.maximum(n, 1)) ** 2, -1 / 3)
    return modes - kink * np.exp(-decay * np.linspace(0, 1, steps + 1)[:, None])


def cube(u):
    return u * u * u


def initial_modes(n: NDArray) -> NDArray[np.complex128]:
    """The modes of x² cos πx at the angle π (x + 1): integrals of x² cos mπx for m = n - 1 and n + 1."""
    m = np.stack([n - 1, n + 1])
    integrals = np.where(m == 0, 1 / 3, 2 * np.cos(np.pi * m) / (np.pi * np.where(m == 0, 1, m)) ** 2)
    return integrals.sum(axis=0) / 2 * np.cos(np.pi * n) + 0j


def rounded_kink(spread, x):
    """-x², continued periodically, after it has diffused for D t = `spread`, as long as the kinks at -1 and 1 do not meet."""
    width = 2 * np.sqrt(np.maximum(spread, 1e-300))

    def ramp(z):  # max(z, 0) after the same time
        return z * erfc(-z / width) / 2 + width * np.exp(-((z / width) ** 2)) / np.sqrt(4 * np.pi)

    return 4 * (ramp(x - 1) + ramp(-x - 1)) - x**2 - 2 * spread
