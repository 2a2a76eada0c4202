"""The antiderivative operator: from a random function v to s(x) = ∫₀ˣ v, the first example of a DeepONet.

    v a Gaussian process on [0, 1] with length-scale 0.2, known at 50 sensors

The operator is linear, so that a linear map of the sensors is as good as anything; a network has to be told apart from it.

Source: Lu, Jin, Pang, Zhang & Karniadakis, Nature Machine Intelligence 3 (2021).

Good values: length_scale = 0.2.
"""

import jax
import jax.numpy as jnp
import numpy as np

import pinn

from ._families import process, spectrum

PERIOD, COUNT = 4.0, 40


def problem(length_scale: float = 0.2, sensors: int = 50) -> pinn.OperatorProblem:
    """The problem for functions of this length-scale, from 0.1 to 0.5."""
    places = np.linspace(0, 1, sensors)
    angles = 2 * np.pi * np.arange(1, COUNT) / PERIOD

    def sample(key: jax.Array) -> pinn.Sample:
        signal = process(key, jnp.asarray(length_scale), places, COUNT, PERIOD)
        a, b = jax.random.normal(key, (2, COUNT)) * jnp.sqrt(spectrum(jnp.asarray(length_scale), COUNT, PERIOD))[None]

        def integral(x: jax.Array) -> jax.Array:
            return a[0] * x + (a[1:] / angles) @ jnp.sin(angles * x) + (b[1:] / angles) @ (1 - jnp.cos(angles * x))

        return pinn.Sample(noisy=signal.values, clean=integral)

    return pinn.OperatorProblem(domain=pinn.Interval(x=(0, 1)), fields="s", sensors=places, sample=sample, name="antiderivative")
