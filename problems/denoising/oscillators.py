"""Motions of oscillators whose friction and frequency are not known, under noise: y'' + γ y' + ω² y = 0 on [0, 10].

    γ uniform in [0.2, 2],  ω uniform in [0.5, 3],  y(0) and y'(0) normal

For each (γ, ω) the motions are a plane; which plane has to be found from the noisy signal. The exact posterior mean is a
mixture over both, summed on a grid of the rectangle in which they are probable at all.

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
CLOSER, SHARE = 2, 1e-7  # how often the rectangle is made smaller, and what is left out of it, of the most probable cell


def problem(sigma: float | Sequence[float] = (0.05, 0.25), sensors: int = 64, learn_from: str = "clean") -> pinn.OperatorProblem:
    """Denoising at regular sensors; a pair of noise levels is a range, log-uniform."""
    places = jnp.linspace(0, 10, sensors)
    along, every = jax.vmap(motions, (0, None, None)), jax.vmap(motions, (None, 0, 0))
    lowest, highest = (jnp.array([FRICTION[i], FREQUENCY[i]]) for i in (0, 1))

    def draw(key: jax.Array) -> Signal:
        which, what = jax.random.split(key)
        (g, w), start = lowest + (highest - lowest) * jax.random.uniform(which, (2,)), jax.random.normal(what, (2,))
        return Signal(lambda x: motions(x, g, w) @ start, along(places, g, w) @ start)

    def weighed(rates: jax.Array, noisy: jax.Array, sigma: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The posterior mean of y(0) and y'(0) for each (γ, ω), [K, 2], and how probable each is, [K]."""
        basis = jax.vmap(along, (None, 0, 0))(places, rates[:, 0], rates[:, 1])
        seen = jnp.einsum("kni,n->ki", basis, noisy)
        matrix = jnp.einsum("kni,knj->kij", basis, basis) + sigma**2 * jnp.eye(2)[None]
        determinant = matrix[:, 0, 0] * matrix[:, 1, 1] - matrix[:, 0, 1] ** 2
        adjoint = jnp.stack([matrix[:, 1, 1], -matrix[:, 0, 1], -matrix[:, 0, 1], matrix[:, 0, 0]], axis=1).reshape(-1, 2, 2)
        start = jnp.einsum("kij,kj->ki", adjoint, seen) / determinant[:, None]
        return start, jax.nn.softmax(jnp.sum(seen * start, axis=1) / (2 * sigma**2) - 0.5 * jnp.log(determinant))

    def mean(noisy: jax.Array, sigma: jax.Array) -> Function:
        low, high = lowest, highest
        for _ in range(CLOSER):
            rates, step = _grid(low, high), (high - low) / GRID
            _, share = weighed(rates, noisy, sigma)
            counts = (share > SHARE * jnp.max(share))[:, None]
            low = jnp.maximum(lowest, jnp.min(jnp.where(counts, rates, jnp.inf), axis=0) - step)
            high = jnp.minimum(highest, jnp.max(jnp.where(counts, rates, -jnp.inf), axis=0) + step)
        rates = _grid(low, high)
        start, share = weighed(rates, noisy, sigma)
        return lambda x: jnp.sum(every(x, rates[:, 0], rates[:, 1]) * start * share[:, None])

    return denoising("oscillators", pinn.Interval(x=(0, 10)), np.asarray(places), draw, mean, sigma, learn_from)


def _grid(low: jax.Array, high: jax.Array) -> jax.Array:
    """The middles of GRID × GRID cells of a rectangle, [GRID², 2]."""
    shares = (np.arange(GRID) + 0.5) / GRID
    mesh = np.stack(np.meshgrid(shares, shares), axis=-1).reshape(-1, 2)
    return low[None] + (high - low)[None] * mesh


def motions(x: jax.Array, g: jax.Array, w: jax.Array) -> jax.Array:
    """The motions with y(0) = 1, y'(0) = 0 and with y(0) = 0, y'(0) = 1, [2], swinging or creeping."""
    square = w**2 - g**2 / 4
    rate = jnp.sqrt(jnp.abs(square) + 1e-12)
    cosine = jnp.where(square > 0, jnp.cos(rate * x), jnp.cosh(rate * x))
    sine = jnp.where(square > 0, jnp.sin(rate * x), jnp.sinh(rate * x)) / rate
    return jnp.exp(-g * x / 2) * jnp.stack([cosine + g / 2 * sine, sine])
