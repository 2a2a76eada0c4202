"""Steps at random places, with Gaussian noise: where linear filters fail, and the exact answer is still known.

    u_i = f_i + σ ε_i,   f constant between change points, which fall between neighbouring sensors with probability q;
    levels N(0, 1)

Given its ends, a segment of L values with sum S has the mean level S / (L + σ²) and a Gaussian evidence; sums over all
segmentations follow by forward and backward recursion, in O(n²).

Source: Fearnhead, Exact and efficient Bayesian inference for multiple changepoint problems, Stat. Comput. 16 (2006).

Good values: q = 0.05 with 64 sensors and sigma from 0.1 to 1.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

import pinn

from ._families import Function, Signal, denoising


def problem(
    q: float = 0.05, sigma: float | Sequence[float] = (0.1, 1.0), sensors: int = 64, learn_from: str = "clean"
) -> pinn.OperatorProblem:
    """Denoising at the middles of `sensors` cells of [0, 1]; a pair of noise levels is a range, log-uniform."""
    places = (np.arange(sensors) + 0.5) / sensors

    def of_cells(values: jax.Array) -> Function:
        return lambda x: values[jnp.clip(jnp.floor(x * sensors).astype(int), 0, sensors - 1)]

    def draw(key: jax.Array) -> Signal:
        where, what = jax.random.split(key)
        segment = jnp.cumsum(jax.random.bernoulli(where, q, (sensors,)).at[0].set(False))
        values = jax.random.normal(what, (sensors,))[segment]
        return Signal(of_cells(values), values)

    def mean(noisy: jax.Array, sigma: jax.Array) -> Function:
        return of_cells(posterior_mean(noisy, sigma, q))

    return denoising("piecewise_constant", pinn.Interval(x=(0, 1)), places, draw, mean, sigma, learn_from)


def posterior_mean(noisy: jax.Array, sigma: jax.Array, q: float) -> jax.Array:
    """E[f | u] at the sensors, [n]: a sum over the segments [i, j) that each sensor may lie in."""
    count = noisy.shape[0]
    ends = np.arange(count + 1)
    length = ends[None, :] - ends[:, None]
    total = jnp.concatenate([jnp.zeros(1), jnp.cumsum(noisy)])
    total = total[None, :] - total[:, None]
    square = sigma**2
    size = np.maximum(length, 1)
    evidence = -0.5 * jnp.log1p(size / square) + total**2 / (2 * square * (square + size))
    change = np.where(ends[:, None] > 0, np.log(q), 0.0)
    weight = jnp.where(length > 0, evidence + (size - 1) * np.log1p(-q) + change, -jnp.inf)

    def forward(so_far: jax.Array, j: jax.Array) -> tuple[jax.Array, None]:
        return so_far.at[j].set(jax.nn.logsumexp(so_far + weight[:, j])), None

    def backward(so_far: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
        return so_far.at[i].set(jax.nn.logsumexp(so_far + weight[i])), None

    nothing = jnp.full(count + 1, -jnp.inf)
    before, _ = jax.lax.scan(forward, nothing.at[0].set(0.0), jnp.asarray(ends[1:]))
    after, _ = jax.lax.scan(backward, nothing.at[-1].set(0.0), jnp.asarray(ends[-2::-1]))
    share = jnp.exp(before[:, None] + weight + after[None, :] - before[-1])
    level = jnp.cumsum(share * total / (size + square), axis=0)
    return jnp.diagonal(jnp.cumsum(level[:, ::-1], axis=1)[:, ::-1], offset=1)
