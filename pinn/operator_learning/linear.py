"""The best linear operator from sensors to outputs, fitted to samples: what every learned operator has to beat."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from .problem import Drawn, OperatorProblem


def affordable(count: int, problem: OperatorProblem, values: int) -> int:
    """How many samples to take: `count`, fewer where they would have more than `values` values at the sensors; at least 64.

    Example:
        >>> from types import SimpleNamespace
        >>> affordable(1000, SimpleNamespace(sensors=np.zeros((2000, 2))), 200_000)
        100
    """
    return min(count, max(64, values // len(problem.sensors)))


@partial(jax.jit, static_argnums=(0, 3, 4))
def draw_many(problem: OperatorProblem, key: Array, points: Array, count: int, judging: bool = False) -> Drawn:
    """`count` samples, outputs at points [m, d]."""
    keys = jax.random.split(key, count)
    return jax.lax.map(lambda k: problem.draw(k, points, judging), keys, batch_size=min(count, 256))


def fit_linear(problem: OperatorProblem, points: Any, key: int, count: int = 20_000) -> tuple[NDArray, NDArray]:
    """A matrix [n, m F] and an offset [m F] from values at the sensors to outputs at points, by least squares on samples.

    The penalty is chosen on a fifth of the samples that is left out.
    """
    drawn = draw_many(problem, jax.random.key(key), jnp.asarray(points), count, True)
    values = np.concatenate([np.asarray(drawn.noisy, float), np.ones((count, 1))], axis=1)
    targets = np.asarray(drawn.clean if drawn.clean is not None else drawn.mean, float).reshape(count, -1)
    fitted = slice(0, 4 * count // 5), slice(4 * count // 5, count)
    gram, right = values[fitted[0]].T @ values[fitted[0]], values[fitted[0]].T @ targets[fitted[0]]
    scale = np.trace(gram) / len(gram)

    def solved(penalty: float) -> NDArray:
        return np.linalg.lstsq(gram + penalty * scale * np.eye(len(gram)), right, rcond=None)[0]

    def misfit(matrix: NDArray) -> float:
        return float(np.mean((values[fitted[1]] @ matrix - targets[fitted[1]]) ** 2))

    best = min((solved(10.0**k) for k in range(-15, -1)), key=misfit)
    return best[:-1], best[-1]
