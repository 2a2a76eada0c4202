"""The Gray-Scott equations: a substance that breeds on another which is fed in, as living spots.

    ∂u/∂t = Dᵤ Δu + b (1 - u) - u v²
    ∂v/∂t = Dᵥ Δv - d v + u v²,   0 < t < end, (x, y) in [-1, 1]²
    u = 1 - exp(-80 ((x + 0.05)² + (y + 0.02)²)) and v = exp(-80 ((x - 0.05)² + (y - 0.02)²)) at t = 0,   periodic

v takes two of its kind and one of u to make a third, and dies at the rate d. Nothing reaches the edges, so that periodicity,
which the source leaves out, changes nothing.

Source: PINNacle (arXiv 2306.08827), its problem GS, with end = 200. The reference is computed by ETDRK4 on 320² points.

Good values: feed = b = 0.04, death = d = 0.1; end = 200, the original; 20 is easier.
"""

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import pinn
from pinn import d, laplacian
from problems import _spectral

COUNT, STEPS, SNAPSHOTS = 320, 400, 200
DIFFUSION = 1e-5, 5e-6


def problem(feed: float = 0.04, death: float = 0.1, end: float = 200.0) -> pinn.Problem:
    """The problem up to t = `end`."""
    box = pinn.Box(t=(0, end), x=(-1, 1), y=(-1, 1))

    def breeding(u, v, t, x, y):
        return (
            d(u, t) - DIFFUSION[0] * laplacian(u, x, y) - feed * (1 - u) + u * v**2,
            d(v, t) - DIFFUSION[1] * laplacian(v, x, y) + death * v - u * v**2,
        )

    def reference(t, x, y):
        parts = computed(feed, death, end)
        return {
            name: _spectral.evaluate_in_plane(part, end, t, np.pi * (x + 1), np.pi * (y + 1))
            for name, part in zip("uv", parts, strict=True)
        }

    return pinn.Problem(
        fields="u v",
        domain=box,
        residual=breeding,
        conditions=[
            pinn.Initial(
                u=lambda x, y: 1 - jnp.exp(-80 * ((x + 0.05) ** 2 + (y + 0.02) ** 2)),
                v=lambda x, y: jnp.exp(-80 * ((x - 0.05) ** 2 + (y - 0.02) ** 2)),
            ),
            pinn.Periodic("x"),
            pinn.Periodic("y"),
        ],
        reference=reference,
        name="gray_scott",
    )


@lru_cache
def computed(feed: float, death: float, end: float, finer: int = 1) -> NDArray[np.complex128]:
    """The modes of u and v at equidistant times, [2, times, N, M].

    Up to t = 200 the error is 1e-4 of v. `finer` multiplies points and steps.
    """
    count, steps = finer * COUNT, finer * STEPS
    x, y = np.meshgrid(*2 * [2 * np.arange(count) / count - 1], indexing="ij")
    n, m = np.fft.fftfreq(count, 1 / count)[:, None], np.arange(count // 2 + 1)

    def reaction(t, c):
        u, v = np.fft.irfft2(c, (count, count), norm="forward")
        meeting = u * v**2
        return np.fft.rfft2(np.stack([feed - meeting, meeting]), norm="forward")

    food, spot = 1 - np.exp(-80 * ((x + 0.05) ** 2 + (y + 0.02) ** 2)), np.exp(-80 * ((x - 0.05) ** 2 + (y - 0.02) ** 2))
    rates = -(np.pi**2) * np.multiply.outer(np.array(DIFFUSION), n**2 + m**2) - np.array([feed, death])[:, None, None]
    kept = _spectral.etdrk4(np.fft.rfft2(np.stack([food, spot]), norm="forward"), rates, reaction, end, steps, SNAPSHOTS)
    return np.moveaxis(kept, 1, 0)
