"""Motions of oscillators whose friction and frequency are not known, under noise: y'' + γ y' + ω² y = 0 on [0, 10].

    γ uniform in [0.2, 2],  ω uniform in [0.5, 3],  y(0) and y'(0) normal

For each (γ, ω) the motions are a plane; which plane has to be found from the noisy signal. The exact posterior mean is a
mixture over both.

Source: Bayesian linear regression for each (γ, ω), weighed by its evidence; Rasmussen & Williams (2006), chapter 5.

Good values: 64 sensors with sigma from 0.05 to 0.25.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

import pinn

from ._families import Function, Signal, denoising

FRICTION, FREQUENCY, GRID = (0.2, 2.0), (0.5, 3.0), 40


def problem(sigma: float | Sequence[float] = (0.05, 0.25), sensors: int = 64, learn_from: str = "clean") -> pinn.OperatorProblem:
    """Denoising at regular sensors; a pair of noise levels is a range, log-uniform."""
    places = np.linspace(0, 10, sensors)
    ends = [a + (b - a) * (np.arange(GRID) + 0.5) / GRID for a, b in (FRICTION, FREQUENCY)]
    rates = np.stack([mesh.ravel() for mesh in np.meshgrid(*ends)], axis=1)
    along = jax.vmap(motions, (0, None, None))
    basis = np.asarray(jax.vmap(along, (None, 0, 0))(jnp.asarray(places), jnp.asarray(rates[:, 0]), jnp.asarray(rates[:, 1])))
    gram = np.einsum("kni,knj->kij", basis, basis)

    def draw(key: jax.Array) -> Signal:
        which, what = jax.random.split(key)
        share, start = jax.random.uniform(which, (2,)), jax.random.normal(what, (2,))
        g, w = (a + (b - a) * u for (a, b), u in zip((FRICTION, FREQUENCY), share, strict=True))
        return Signal(lambda x: motions(x, g, w) @ start, along(jnp.asarray(places), g, w) @ start)

    def mean(noisy: jax.Array, sigma: jax.Array) -> Function:
        seen = jnp.einsum("kni,n->ki", basis, noisy)
        matrix = gram + sigma**2 * jnp.eye(2)[None]
        determinant = matrix[:, 0, 0] * matrix[:, 1, 1] - matrix[:, 0, 1] ** 2
        adjoint = jnp.stack([matrix[:, 1, 1], -matrix[:, 0, 1], -matrix[:, 0, 1], matrix[:, 0, 0]], axis=1).reshape(-1, 2, 2)
        start = jnp.einsum("kij,kj->ki", adjoint, seen) / determinant[:, None]
        share = jax.nn.softmax(jnp.sum(seen * start, axis=1) / (2 * sigma**2) - 0.5 * jnp.log(determinant))
        every = jax.vmap(motions, (None, 0, 0))
        return lambda x: jnp.sum(every(x, jnp.asarray(rates[:, 0]), jnp.asarray(rates[:, 1])) * start * share[:, None])

    return denoising("oscillators", pinn.Interval(x=(0, 10)), places, draw, mean, sigma, learn_from)


def motions(x: jax.Array, g: jax.Array, w: jax.Array) -> jax.Array:
    """The motions with y(0) = 1, y'(0) = 0 and with y(0) = 0, y'(0) = 1, [2], swinging or creeping."""
    square = w**2 - g**2 / 4
    rate = jnp.sqrt(jnp.abs(square) + 1e-12)
    cosine = jnp.where(square > 0, jnp.cos(rate * x), jnp.cosh(rate * x))
    sine = jnp.where(square > 0, jnp.sin(rate * x), jnp.sinh(rate * x)) / rate
    return jnp.exp(-g * x / 2) * jnp.stack([cosine + g / 2 * sine, sine])
