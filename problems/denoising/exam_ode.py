"""Solutions of the exam's oscillator under noise: y'' + y' + y = 0 on [0, 10], with random initial value and slope.

    y(x) = exp(-x/2) (a cos ωx + b sin ωx),  ω = √3 / 2

The solutions are a plane, so that the best estimator is a projection on it, shrunk a little: its gain tends to 10 log₁₀(n / 2)
dB. Learned from noisy signals and the equation alone, without one clean signal.

Source: the exam of a course on deep learning; the estimator is Bayesian linear regression.

Good values: 64 to 256 sensors with sigma = 0.05 to 0.25.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d

from ._families import Function, Signal, denoising

OMEGA = np.sqrt(3) / 2


def problem(
    sigma: float | Sequence[float] = (0.05, 0.25), sensors: int = 64, learn_from: str = "noise", equation: bool = True
) -> pinn.OperatorProblem:
    """Denoising at regular sensors; `equation=False` withholds the equation, and leaves the noisy signals."""
    places = np.linspace(0, 10, sensors)

    def motions(x: jax.Array) -> jax.Array:
        """Those with y(0) = 1, y'(0) = 0 and with y(0) = 0, y'(0) = 1, [2]."""
        fade, sine = jnp.exp(-x / 2), jnp.sin(OMEGA * x) / OMEGA
        return fade * jnp.stack([jnp.cos(OMEGA * x) + sine / 2, sine])

    basis = jax.vmap(motions)(jnp.asarray(places))

    def draw(key: jax.Array) -> Signal:
        start = jax.random.normal(key, (2,))
        return Signal(lambda x: motions(x) @ start, basis @ start)

    def mean(noisy: jax.Array, sigma: jax.Array) -> Function:
        start = jnp.linalg.solve(basis.T @ basis + sigma**2 * jnp.eye(2), basis.T @ noisy)
        return lambda x: motions(x) @ start

    physics = {"residual": lambda f, x: d(f, x, x) + d(f, x) + f} if equation else {}
    return denoising("exam_ode_signals", pinn.Interval(x=(0, 10)), places, draw, mean, sigma, learn_from, **physics)
