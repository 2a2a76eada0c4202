"""Smooth random functions of one length-scale, or of a random one, with Gaussian noise.

    u_i = f(x_i) + σ ε_i,   f a Gaussian process on [0, 1] with covariance exp(-(x - x')² / 2ℓ²)

With ℓ known the best estimator is linear, k(x, X) (K + σ² I)⁻¹ u, and any tuned filter comes near it. With log ℓ uniform in a
range it is a mixture over ℓ of such filters, weighed by their evidence, and the best linear operator loses up to 3 dB.

Source: Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), equations 2.25 and 2.30.

Good values: length_scale = 0.1 with sigma = 0.25; length_scale = (0.02, 0.4) with sigma = (0.1, 1.0).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

import pinn
from pinn.errors import ProblemError

from ._families import Signal, denoising, mixture_mean, process

PERIOD = 4.0  # of the harmonics: functions on [0, 1] do not feel that they repeat
LENGTHS = 40  # that stand for a range


def problem(
    length_scale: float | Sequence[float] = 0.1,
    sigma: float | Sequence[float] = 0.25,
    sensors: int | Sequence[float] = 64,
    learn_from: str = "clean",
) -> pinn.OperatorProblem:
    """Denoising at so many regular sensors, or at those given; a pair of length-scales or noise levels is a range, log-uniform.

    Raises:
        ProblemError: a length-scale outside [0.01, 0.5], or an unknown `learn_from`.
    """
    low, high = (length_scale, length_scale) if isinstance(length_scale, int | float) else tuple(length_scale)
    if not 0.01 <= low <= high <= 0.5:
        raise ProblemError(f"gaussian_process: length_scale must lie in [0.01, 0.5], lowest first; got {length_scale!r}.")
    places = np.linspace(0, 1, sensors) if isinstance(sensors, int) else np.asarray(sensors, float)
    count = int(np.ceil(6.5 / low * PERIOD / (2 * np.pi)))
    lengths = np.array([low]) if low == high else np.geomspace(low, high, LENGTHS)

    def draw(key: jax.Array) -> Signal:
        which, what = jax.random.split(key)
        return process(what, low * (high / low) ** jax.random.uniform(which), places, count, PERIOD)

    def kernels(x: jax.Array, points: np.ndarray) -> jax.Array:
        return jnp.exp(-0.5 * ((x - points)[None] / lengths[:, None]) ** 2)

    mean = mixture_mean(kernels, places, np.zeros(len(lengths)))
    return denoising("gaussian_process", pinn.Interval(x=(0, 1)), places, draw, mean, sigma, learn_from)
