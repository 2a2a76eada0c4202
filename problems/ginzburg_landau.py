"""The complex Ginzburg-Landau equation: an oscillating medium in which spirals form.

    ∂A/∂t = ε ΔA + μ A - γ |A|² A,   A = u + iv,   0 < t < end, (x, y) in [-1, 1]²
    A(0, x, y) = 10 (y + ix) exp(-25 (x² + y²)),   periodic in x and y

Every place swings on its own, faster where it swings wider; diffusion ties neighbours together, and the phases wind up around the
middle, where A stays zero.

Source: arXiv 2402.00326, with ε = 0.004, μ = 10, γ = 10 + 15i and end = 1. The reference is computed by ETDRK4 on 192² points.

Good values: end = 1, the original; 0.2 has about one swing.
"""

import math
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import pinn
from pinn import d, laplacian
from problems import _spectral

COUNT, STEPS, SNAPSHOTS = 192, 40, 50  # steps from snapshot to snapshot, for each unit of time


def problem(
    diffusion: float = 0.004, growth: float = 10.0, damping: float = 10.0, twist: float = 15.0, end: float = 1.0
) -> pinn.Problem:
    """The problem up to t = `end`, with γ = damping + i twist."""
    box = pinn.Box(t=(0, end), x=(-1, 1), y=(-1, 1))

    def swings(u, v, t, x, y):
        square = u**2 + v**2
        return (
            d(u, t) - diffusion * laplacian(u, x, y) - growth * u + square * (damping * u - twist * v),
            d(v, t) - diffusion * laplacian(v, x, y) - growth * v + square * (damping * v + twist * u),
        )

    def reference(t, x, y):
        parts = computed(diffusion, growth, damping, twist, end)
        return {
            name: _spectral.evaluate_in_plane(part, end, t, np.pi * (x + 1), np.pi * (y + 1))
            for name, part in zip("uv", parts, strict=True)
        }

    return pinn.Problem(
        fields="u v",
        domain=box,
        residual=swings,
        conditions=[
            pinn.Initial(
                u=lambda x, y: 10 * y * jnp.exp(-25 * (x**2 + y**2)), v=lambda x, y: 10 * x * jnp.exp(-25 * (x**2 + y**2))
            ),
            pinn.Periodic("x"),
            pinn.Periodic("y"),
        ],
        reference=reference,
        name="ginzburg_landau",
    )


@lru_cache
def computed(diffusion: float, growth: float, damping: float, twist: float, end: float, finer: int = 1) -> NDArray[np.complex128]:
    """The modes of u and v at equidistant times, [2, times, N, M].

    Up to t = 1 the error is 1e-7 of the swing. `finer` multiplies points and steps.
    """
    count, steps = finer * COUNT, finer * SNAPSHOTS * math.ceil(STEPS * end)
    x, y = np.meshgrid(*2 * [2 * np.arange(count) / count - 1], indexing="ij")
    bell = 10 * np.exp(-25 * (x**2 + y**2))
    n, m = np.fft.fftfreq(count, 1 / count)[:, None], np.arange(count // 2 + 1)

    def reaction(t, c):
        u, v = np.fft.irfft2(c, (count, count), norm="forward")
        square = u**2 + v**2
        return -np.fft.rfft2(square * np.stack([damping * u - twist * v, damping * v + twist * u]), norm="forward")

    start = np.fft.rfft2(np.stack([y * bell, x * bell]), norm="forward")
    kept = _spectral.etdrk4(start, growth - diffusion * np.pi**2 * (n**2 + m**2), reaction, end, steps, SNAPSHOTS)
    return np.moveaxis(kept, 1, 0)
