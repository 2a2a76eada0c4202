"""Branches: what an operator network reads of its input function, given by its values at sensors.

A branch maps one observation to coefficients, [outputs], which a trunk turns into a function (see `deeponet`). It is made by a
callable `(layout, outputs, *, rngs, dtype) -> nnx.Module`; the classes here are such callables, and
`functools.partial(pinn.DenseBranch, width=64)` sets their options. All but the ridge end in a linear layer,
`branch(seen) = branch.output(branch.hidden(seen))`, which least squares can solve for.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from .derivatives import Activation, gelu
from .errors import NetworkError
from .networks import Dense, Frozen, generator, he

_UNSEEN = 1e-3  # how often a noise level counts that was not sampled


class Seen(NamedTuple):
    """One observation, in the units of the network.

    Attributes:
        values: at the sensors, [n].
        sensors: where they are, [n, s], each coordinate scaled to [-1, 1].
        sigma: standard deviation of the noise, a scalar; None where it is not known.
        basis: the trunk's functions at the sensors, [n, p]; None where the sensors are no points of the domain.
    """

    values: Array
    sensors: Array
    sigma: Array | None
    basis: Array | None


class First(NamedTuple):
    """Samples that a network may begin with, all of them at the same sensors.

    Attributes:
        seen: values [N, n] and noise levels [N].
        clean: the functions that were observed, at the sensors [N, n]; None where they are not known.
        elsewhere: points of the domain, encoded [m, d], and those functions there [N, m]; likewise.
        law: the trunk's functions at points of the domain, [m, p], and linear equations of their coefficients, [k, p], if there
            are any.
    """

    seen: Seen
    clean: Array | None = None
    elsewhere: tuple[Array, Array] | None = None
    law: tuple[Array, Array] | None = None


@dataclass(frozen=True, eq=False)
class Layout:
    """What a network is built for: sensors [n, s], scaled to [-1, 1], and whether the noise level comes with the values."""

    sensors: np.ndarray
    noise: bool = False

    @property
    def count(self) -> int:
        return len(self.sensors)

    @property
    def shape(self) -> tuple[int, ...]:
        """How many sensors there are along each coordinate, where they form a regular grid, the last coordinate fastest.

        Raises:
            NetworkError: they form none.

        Example:
            >>> Layout(np.array([[-1.0], [0.0], [1.0]])).shape
            (3,)
        """
        axes = [np.unique(np.round(column, 9)) for column in self.sensors.T]
        mesh = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)
        even = all(len(a) < 3 or np.ptp(np.diff(a)) < 1e-6 for a in axes)
        if not even or mesh.shape != self.sensors.shape or not np.allclose(mesh, self.sensors, atol=1e-6):
            raise NetworkError(
                f"This network convolves, which needs sensors on a regular grid, the last coordinate fastest; these {self.count} "
                "are not. Use pinn.SetBranch or pinn.RidgeBranch, which take sensors anywhere."
            )
        return tuple(map(len, axes))

    @property
    def ends(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The first and the last sensor of a regular grid, along each coordinate."""
        return tuple(self.sensors.min(axis=0).tolist()), tuple(self.sensors.max(axis=0).tolist())


class NoiseLevels(nnx.Module):
    """Noise levels that are weighed by their evidence where none is given: from a hundredth of the signal on, before `begin`.

    Example:
        >>> levels, odds = NoiseLevels(3, jnp.float64)(None)
        >>> levels.round(2).tolist(), odds.tolist()
        ([0.01, 0.14, 2.0], [0.0, 0.0, 0.0])
    """

    def __init__(self, count: int, dtype: jnp.dtype):
        self.sigma = Frozen(jnp.asarray(np.geomspace(0.01, 2.0, count), dtype))
        self.odds = Frozen(jnp.zeros(count, dtype))

    def __call__(self, given: Array | None) -> tuple[Array, Array]:
        """The levels [J] that come into question, and the logarithms of their odds; one where it is given."""
        return (self.sigma[...], self.odds[...]) if given is None else (given[None], jnp.zeros(1))

    def begin(self, sampled: Array | None) -> None:
        """Levels somewhat beyond those of samples [N], and how often each was; as before where samples have no noise."""
        if sampled is None or np.min(sampled) <= 0:
            return
        known, count, dtype = np.asarray(sampled, float), len(self.sigma[...]), self.sigma[...].dtype
        levels = np.geomspace(known.min() / 1.5, 1.5 * known.max(), count)
        nearest = np.argmin(np.abs(np.log(known)[:, None] - np.log(levels)[None]), axis=1)
        often = np.bincount(nearest, minlength=count) + _UNSEEN * len(known)
        self.sigma[...] = jnp.asarray(levels, dtype)
        self.odds[...] = jnp.asarray(np.log(often / often.sum()), dtype)


class Branch(nnx.Module):
    """Base of the branches: `hidden(seen)`, then the linear layer `output`.

    Attributes:
        free: whether the sensors may be others than those it was trained with.
        options: what `deeponet.rebuild` needs to make it again, as JSON.
    """

    free: bool = False
    output: Dense
    options: str

    def hidden(self, seen: Seen) -> Array:
        """The last hidden layer for one observation, [width]."""
        raise NotImplementedError

    def __call__(self, seen: Seen) -> Array:
        return self.output(self.hidden(seen))


def dense(draw: np.random.Generator, fan_in: int, fan_out: int, dtype: jnp.dtype, scale: float = 1.0) -> Dense:
    """An affine layer with He weights, times `scale`."""
    return Dense(scale * he(draw, fan_in, fan_out), np.zeros(fan_out), dtype)


def layers(draw: np.random.Generator, sizes: Sequence[int], dtype: jnp.dtype) -> nnx.List:
    return nnx.List([dense(draw, a, b, dtype) for a, b in pairwise(sizes)])


def applied(stack: nnx.List, activation: Activation, h: Any) -> Any:
    for layer in stack:
        h = activation(layer(h))
    return h


def noise_inputs(layout_noise: bool, seen: Seen) -> list[Array]:
    """log σ as an input, where the network was built for it."""
    if not layout_noise:
        return []
    if seen.sigma is None:
        raise NetworkError("This network was trained with the noise level as an input: give sigma=.")
    return [jnp.log(jnp.maximum(seen.sigma, 1e-6))[None]]


def described(kind: str, **options: object) -> str:
    shown = {name: value.name if isinstance(value, Activation) else value for name, value in options.items()}
    return json.dumps({"kind": kind} | shown)


class DenseBranch(Branch):
    """Fully connected: all values at once, with the values themselves beside the last hidden layer.

    With those, least squares on the last layer can do no worse than the best linear operator. The sensors are fixed.

    Args:
        layout, outputs: the sensors, and how many coefficients.
        width, depth, activation: of the hidden layers.

    Example:
        >>> branch = DenseBranch(Layout(np.zeros((5, 1))), 3, width=8, rngs=nnx.Rngs(0))
        >>> branch(Seen(jnp.zeros(5), jnp.zeros((5, 1)), None, None)).shape
        (3,)
    """

    def __init__(
        self,
        layout: Layout,
        outputs: int,
        *,
        rngs: nnx.Rngs,
        dtype: jnp.dtype = jnp.float64,
        width: int = 128,
        depth: int = 2,
        activation: Activation = gelu,
    ):
        draw, inputs = generator(rngs), layout.count + layout.noise
        self.layers = layers(draw, [inputs] + [width] * depth, dtype)
        self.output = dense(draw, width + inputs, outputs, dtype, 0.3)
        self.activation, self.noise = activation, layout.noise
        self.options = described("DenseBranch", width=width, depth=depth, activation=activation)

    def hidden(self, seen: Seen) -> Array:
        inputs = jnp.concatenate([seen.values, *noise_inputs(self.noise, seen)])
        return jnp.concatenate([applied(self.layers, self.activation, inputs), inputs])


class Conv(nnx.Module):
    """A convolution on a grid, [*shape, inputs] -> [*shape, outputs], edges reflected, in single precision.

    Written as products of matrices: inside compiled loops XLA's own convolutions are slow on CPUs. Plain 3 × 3 convolutions take
    Winograd's F(2, 3), with 16 products for 4 values where there would be 36; others one product for all shifts.

    Example:
        >>> conv = Conv(1, 1, 1, 3, 1, np.random.default_rng(0))
        >>> conv.kernel[...] = jnp.array([[1.0], [0.0], [-1.0]], jnp.float32)
        >>> conv(jnp.arange(4.0, dtype=jnp.float32)[:, None] ** 2)[:, 0].tolist()
        [0.0, -4.0, -8.0, 0.0]
    """

    def __init__(
        self, dimension: int, inputs: int, outputs: int, size: int, dilation: int, draw: np.random.Generator, scale: float = 1.0
    ):
        fan_in = size**dimension * inputs
        self.kernel = nnx.Param(jnp.asarray(scale * he(draw, fan_in, outputs), jnp.float32))
        self.bias = nnx.Param(jnp.zeros(outputs, jnp.float32))
        self.size, self.dilation = size, dilation

    def __call__(self, h: Array) -> Array:
        shape, reach = h.shape[:-1], self.dilation * (self.size // 2)
        padded = h
        for axis in range(len(shape) if reach else 0):
            padded = jnp.take(padded, _reflected(shape[axis], reach), axis=axis)
        if len(shape) == 2 and self.size == 3 and self.dilation == 1:
            found = _winograd(padded, self.kernel[...].reshape(3, 3, h.shape[-1], -1))[: shape[0], : shape[1]]
            return found + self.bias[...][None, None]
        starts = itertools.product(range(0, 2 * reach + 1, self.dilation), repeat=len(shape))
        parts = [padded[tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))] for start in starts]
        flat = jnp.concatenate(parts, axis=-1).reshape(-1, self.kernel.shape[0])
        return (flat @ self.kernel[...] + self.bias[...][None]).reshape(*shape, -1)


def _winograd(padded: Array, kernel: Array) -> Array:
    """Correlation of [h + 2, w + 2, c] with [3, 3, c, k], for even h and w (odd ones are rounded up): [h, w, k].

    With tiles d of 4 × 4 values two apart it is Aᵀ (G g Gᵀ ⊙ Bᵀ d B) A for each tile (Lavin & Gray 2016, arXiv 1509.09308).
    """
    odd = [size % 2 for size in padded.shape[:2]]
    padded = jnp.pad(padded, ((0, odd[0]), (0, odd[1]), (0, 0)))
    spread = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    weights = jnp.einsum("ia,jb,abck->ijck", spread, spread, kernel).astype(kernel.dtype)

    def split(h: Array, axis: int) -> tuple[Array, ...]:
        a, b, c, d = (jax.lax.slice_in_dim(h, i, h.shape[axis] - 2 + i - i % 2, 2, axis) for i in range(4))
        return a - c, b + c, c - b, b - d

    def joined(parts: Sequence[Array], axis: int) -> Array:
        a, b, c, d = parts
        pair = jnp.stack([a + b + c, b - c - d], axis=axis + 1)
        return pair.reshape(*pair.shape[:axis], -1, *pair.shape[axis + 2 :])

    tiles = jnp.stack([jnp.stack(split(row, 1)) for row in split(padded, 0)])
    found = jnp.einsum("ijyxc,ijck->ijyxk", tiles, weights)
    return joined([joined(row, 1) for row in found], 0)


def _reflected(count: int, reach: int) -> np.ndarray:
    """Places on a line of `count` points and `reach` more on either side, reflected at the ends as often as needed."""
    turn = np.abs(np.arange(-reach, count + reach)) % max(2 * (count - 1), 1)
    return np.minimum(turn, 2 * (count - 1) - turn)


class ConvStack(nnx.Module):
    """Residual convolutions: [*shape, inputs] -> [*shape, channels]; dilations 1, 2, 4, ... see far with few layers.

    A block is h ← h + A σ(B * σ(h)), whose A starts small.
    """

    def __init__(
        self,
        dimension: int,
        inputs: int,
        channels: int,
        dilations: Sequence[int],
        kernel: int,
        activation: Activation,
        draw: np.random.Generator,
    ):
        self.first = Conv(dimension, inputs, channels, kernel, 1, draw)
        self.inner = nnx.List([Conv(dimension, channels, channels, kernel, dilation, draw) for dilation in dilations])
        self.outer = nnx.List([Conv(dimension, channels, channels, 1, 1, draw, 0.3) for _ in dilations])
        self.activation = activation

    def __call__(self, h: Array) -> Array:
        dtype, h = h.dtype, self.first(h.astype(jnp.float32))
        for inner, outer in zip(self.inner, self.outer, strict=True):
            h = h + outer(self.activation(inner(self.activation(h))))
        return self.activation(h).astype(dtype)


class ConvBranch(Branch):
    """Convolutions over sensors on a regular grid, averaged in windows, then affine: the same weights everywhere.

    Args:
        layout, outputs: the sensors, and how many coefficients.
        channels, dilations, kernel, activation: of the residual convolutions.
        windows: averages taken along each coordinate.

    Raises:
        NetworkError: the sensors form no regular grid.

    Example:
        >>> line = Layout(np.linspace(-1, 1, 16)[:, None])
        >>> branch = ConvBranch(line, 3, channels=4, windows=4, rngs=nnx.Rngs(0))
        >>> branch(Seen(jnp.zeros(16), jnp.asarray(line.sensors), None, None)).shape
        (3,)
    """

    def __init__(
        self,
        layout: Layout,
        outputs: int,
        *,
        rngs: nnx.Rngs,
        dtype: jnp.dtype = jnp.float64,
        channels: int = 32,
        dilations: Sequence[int] = (1, 2, 4),
        kernel: int = 5,
        windows: int = 16,
        activation: Activation = gelu,
    ):
        self.shape = layout.shape
        self.windows = tuple(next(w for w in range(min(windows, n), 0, -1) if n % w == 0) for n in self.shape)
        dimension = len(self.shape)
        draw = generator(rngs)
        self.stack = ConvStack(dimension, 1 + layout.noise, channels, dilations, kernel, activation, draw)
        self.output = dense(draw, channels * int(np.prod(self.windows)), outputs, dtype, 0.3)
        self.noise = layout.noise
        self.options = described(
            "ConvBranch", channels=channels, dilations=list(dilations), kernel=kernel, windows=windows, activation=activation
        )

    def hidden(self, seen: Seen) -> Array:
        values = seen.values.reshape(*self.shape, 1)
        levels = [jnp.broadcast_to(level, values.shape) for level in noise_inputs(self.noise, seen)]
        h = self.stack(jnp.concatenate([values, *levels], axis=-1))
        split = [size for n, w in zip(self.shape, self.windows, strict=True) for size in (w, n // w)]
        pooled = h.reshape(*split, h.shape[-1]).mean(axis=tuple(range(1, 2 * len(self.shape), 2)))
        return pooled.reshape(-1)


class SetBranch(Branch):
    """A set of pairs (place, value) in any number and order: tokens, pooled by attention with learned queries.

    Attention weights sum to one, so the result does not grow with the number of sensors (after SetONet, arXiv 2505.04738).

    Args:
        layout, outputs: the sensors it will be trained with, and how many coefficients.
        width, heads, activation: of the tokens, and how many queries pool them.
        fourier: frequencies, in half turns a half-width, that places are seen through: 1 to this number.

    Example:
        >>> branch = SetBranch(Layout(np.zeros((5, 1))), 3, width=8, rngs=nnx.Rngs(0))
        >>> seen = Seen(jnp.arange(7.0), jnp.linspace(-1, 1, 7)[:, None], None, None)
        >>> mixed = Seen(seen.values[::-1], seen.sensors[::-1], None, None)
        >>> bool(jnp.allclose(branch(seen), branch(mixed)))
        True
    """

    free = True

    def __init__(
        self,
        layout: Layout,
        outputs: int,
        *,
        rngs: nnx.Rngs,
        dtype: jnp.dtype = jnp.float64,
        width: int = 64,
        heads: int = 32,
        fourier: int = 8,
        activation: Activation = gelu,
    ):
        draw = generator(rngs)
        places = layout.sensors.shape[1]
        self.harmonics = np.pi * np.arange(1, fourier + 1)
        self.tokens = layers(draw, [places * (1 + 2 * fourier) + 1 + layout.noise, width, width], dtype)
        self.keys, self.content = dense(draw, width, heads, dtype), dense(draw, width, width, dtype, 0.5)
        self.after = layers(draw, [heads * width, 2 * width], dtype)
        self.output = dense(draw, 2 * width + heads * width, outputs, dtype, 0.3)
        self.activation, self.noise = activation, layout.noise
        self.options = described("SetBranch", width=width, heads=heads, fourier=fourier, activation=activation)

    def hidden(self, seen: Seen) -> Array:
        def token(place: Array, value: Array) -> Array:
            angles = jnp.outer(place, jnp.asarray(self.harmonics, place.dtype)).reshape(-1)
            parts = [place, jnp.sin(angles), jnp.cos(angles), value[None], *noise_inputs(self.noise, seen)]
            return applied(self.tokens, self.activation, jnp.concatenate(parts))

        tokens = jax.vmap(token)(seen.sensors, seen.values)
        weights = jax.nn.softmax(jax.vmap(self.keys)(tokens), axis=0)
        pooled = (weights.T @ jax.vmap(self.content)(tokens)).reshape(-1)
        return jnp.concatenate([applied(self.after, self.activation, pooled), pooled])
