"""A plate with hot and cold fields that a nonlinear, pulsing source keeps up, over a long time.

    ∂u/∂t = Δu/1000 + 5 sin(u²) (1 + 2 sin πt/4) sin 4πx sin 2πy,   0 < t < end, (x, y) in [0, 1]²
    u = sin 4πx sin 3πy at t = 0,   u = 0 on the edges

Where the source pushes away from zero, u climbs to √π or falls to -√π, at which it stops; when the pulse turns, u falls back
to almost nothing, and what is left decides how soon it climbs again. Thin fronts part the fields.

Source: PINNacle (arXiv 2306.08827), its problem Heat2d-LT, with end = 100. The reference is computed by ETDRK4 and sine series.

Good values: end = 100, the original; 1 is the first climb, 8 the first pulse.
"""

import math

import jax.numpy as jnp
import numpy as np
import scipy.fft

import pinn
from pinn import d, laplacian
from problems import _spectral
from problems._stored import stored

FIRST, SECOND, PACE = 24, 192, 50  # modes along x, points along y, steps in a unit of time


def problem(end: float = 100.0) -> pinn.Problem:
    """The problem up to t = `end`."""
    box = pinn.Box(t=(0, end), x=(0, 1), y=(0, 1))

    def balance(u, t, x, y):
        place = jnp.sin(4 * jnp.pi * x) * jnp.sin(2 * jnp.pi * y)
        source = 5 * jnp.sin(u**2) * (1 + 2 * jnp.sin(jnp.pi * t / 4)) * place
        return d(u, t) - laplacian(u, x, y) / 1000 - source

    return pinn.Problem(
        fields="u",
        domain=box,
        residual=balance,
        conditions=[
            pinn.Initial(u=lambda x, y: jnp.sin(4 * jnp.pi * x) * jnp.sin(3 * jnp.pi * y)),
            pinn.Dirichlet(u=0.0, on=box.boundary),
        ],
        reference=lambda t, x, y: _spectral.evaluate_sines(computed(end), end, t, 4 * np.pi * x, np.pi * y),
        name="heat_long",
    )


@stored
def computed(end: float, finer: int = 1):
    """u = Σ cₖₘ sin 4(2k + 1)πx sin(m + 1)πy at equidistant times, [times, K, M], single precision.

    Start and source are odd about x = 0 and even about x = 1/8, so that other modes are zero. Up to t = 100 the error is 5e-5,
    most of it during the first climbs. `finer` multiplies points and steps.
    """
    first, second, steps = finer * FIRST, finer * SECOND, finer * PACE * math.ceil(end)
    k, m = np.arange(first)[:, None], np.arange(second - 1)
    x, y = (2 * k + 1) / (16 * first), (m + 1) / second
    place = 5 * np.sin(4 * np.pi * x) * np.sin(2 * np.pi * y)

    def sums(values):
        return np.asarray(scipy.fft.dst(np.asarray(scipy.fft.dst(values, 4, axis=0)), 1, axis=1))

    def source(t, c):
        return sums(np.sin((sums(c) / 4) ** 2) * place) * (1 + 2 * np.sin(np.pi * t / 4)) / (first * second)

    start, decay = np.where((k == 0) & (m == 2), 1.0, 0.0), (np.pi**2) / 1000 * ((8 * k + 4) ** 2 + (m + 1) ** 2)
    return _spectral.etdrk4(start, -decay, source, end, steps, steps).astype(np.float32)
