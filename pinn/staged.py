"""Features of space, each times the polynomials of time of one step: the networks that steps in time are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from .derivatives import Activation, Jet, Smooth, concatenate
from .networks import Dense, Features, Network
from .radau import lagrange_at, radau


class StagedFeatures(Features):
    """Features of space, each times every Lagrange polynomial of one step of time: ℓ_i(τ) σ(W x + b)_j and ℓ_i(τ).

    Args:
        kernel, bias: as in `Features`; the row of `time` is zero.
        stages: of the step, s; there are s + 1 polynomials, see `radau`.
        time: which input is time, in [-1, 1] over the step.
    """

    def __init__(
        self,
        kernel: np.ndarray,
        bias: np.ndarray,
        outputs: int,
        activation: Activation,
        dtype: jnp.dtype,
        stages: int,
        time: int,
        direct: int = 0,
    ):
        super().__init__(kernel, bias, outputs, activation, dtype, direct)
        width = (stages + 1) * (kernel.shape[1] + direct + 1)
        self.output = Dense(np.zeros((width, outputs)), np.zeros(outputs), dtype)
        self.stages, self.time = stages, time

    def hidden(self, x: Smooth) -> Smooth:
        place = (x[self.time : self.time + 1] + 1.0) * 0.5
        lines = lagrange_at(radau(self.stages).nodes, place)
        functions = concatenate([super().hidden(x), jnp.ones(1, x.dtype)])
        return concatenate([functions * lines[i : i + 1] for i in range(self.stages + 1)])


class Functions(NamedTuple):
    """Functions of one input: Chebyshev polynomials of it, T_0 … T_n, or with `periodic` 1, cos kθ and sin kθ, k to n.

    Attributes:
        place: which input.
        periodic: whether it is an angle; otherwise it lies in [-1, 1].
        highest: n.
    """

    place: int
    periodic: bool
    highest: int

    @property
    def size(self) -> int:
        return 2 * self.highest + 1 if self.periodic else self.highest + 1

    def at(self, x: Smooth) -> Smooth:
        """All of them, [size], of a column of one."""
        if not isinstance(x, Jet):
            return self._derivatives(x, 0)[0]
        return x.compose(self._derivatives(x.value, x.order))

    def _derivatives(self, x: Array | NDArray, order: int) -> list[Any]:
        xp = jnp if isinstance(x, Array) else np
        k = np.arange(self.highest + 1).astype(x.dtype)
        if not self.periodic:
            found = [_polynomials(x, self.highest) if xp is jnp else np.cos(np.arccos(np.clip(x, -1.0, 1.0)) * k)]
            for _ in range(order):
                found.append(found[-1] @ _slopes(self.highest).astype(x.dtype))
            return found
        waves, whole = xp.cos(x * k), xp.sin(x * k[1:])
        turns = [(waves, whole), (-xp.sin(x * k), xp.cos(x * k[1:])), (-waves, -whole), (xp.sin(x * k), -xp.cos(x * k[1:]))]
        return [
            xp.concatenate([even * k**i, odd * k[1:] ** i], axis=-1) for i in range(order + 1) for even, odd in [turns[i % 4]]
        ]


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _polynomials(x: Array, highest: int) -> Array:
    """T_0 … T_n of a column of one, with derivatives at the ends as well, where those of the arc cosine are infinite."""
    return jnp.cos(jnp.arccos(jnp.clip(x, -1.0, 1.0)) * jnp.arange(highest + 1).astype(x.dtype))


@_polynomials.defjvp
def _(highest: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    value = _polynomials(*primals, highest)
    return value, (value @ _slopes(highest).astype(value.dtype)) * tangents[0]


@lru_cache(maxsize=64)
def _slopes(highest: int) -> NDArray:
    """T' = T D, [n + 1, n + 1]."""
    matrix = np.zeros((highest + 1, highest + 1))
    if highest:
        matrix[:-1] = chebyshev.chebder(np.eye(highest + 1))
    return matrix


class StagedProducts(Network):
    """Products of a function of each spatial coordinate, each times every Lagrange polynomial of one step of time.

        h = ℓ_i(τ) f_j(x) g_k(y)

    Args:
        outputs: number of fields.
        lines: the functions of each spatial coordinate.
        stages, time: as in `StagedFeatures`.
    """

    def __init__(self, outputs: int, dtype: jnp.dtype, lines: Sequence[Functions] = (), stages: int = 1, time: int = 0):
        width = (stages + 1) * math.prod(line.size for line in lines)
        self.output = Dense(np.zeros((width, outputs)), np.zeros(outputs), dtype)
        self.lines, self.stages, self.time = tuple(lines), stages, time

    def _factors(self, x: Smooth) -> list[Smooth]:
        """The polynomials of time, [s + 1], and the functions of each coordinate."""
        place = (x[self.time : self.time + 1] + 1.0) * 0.5
        return [lagrange_at(radau(self.stages).nodes, place), *(line.at(x[line.place : line.place + 1]) for line in self.lines)]

    def hidden(self, x: Smooth) -> Smooth:
        product, *lines = self._factors(x)
        for line in lines:
            product = _shaped(product[:, None] * line[None, :], (-1,))
        return product

    def __call__(self, x: Smooth) -> Smooth:
        *factors, last = self._factors(x)
        kernel, outputs = self.output.kernel[...], self.output.kernel.shape[1]
        total = last @ jnp.moveaxis(kernel.reshape(-1, last.shape[0], outputs), 1, 0).reshape(last.shape[0], -1)
        for factor in reversed(factors):
            total = _summed(_shaped(total, (-1, factor.shape[0], outputs)) * factor[None, :, None])
        return _shaped(total, (outputs,)) + self.output.bias[...]


def _shaped(value: Smooth, shape: tuple[int, ...]) -> Smooth:
    return value.map(lambda part: part.reshape(shape)) if isinstance(value, Jet) else value.reshape(shape)


def _summed(value: Smooth) -> Smooth:
    """Over the middle one of three axes."""
    return value.map(lambda part: jnp.sum(part, axis=1)) if isinstance(value, Jet) else jnp.sum(value, axis=1)
