"""Networks: Flax NNX modules that map one encoded point, [inputs], to the fields, [outputs].

A network is made by a callable `(inputs, outputs, *, rngs, dtype) -> nnx.Module`; the classes here are such callables, and
`functools.partial(pinn.MLP, width=64, depth=3)` sets their options. Their forward passes use only operations that
`derivatives.Jet` supports, so one Taylor pass gives every derivative; any other module is differentiated by nested jvp.
All of them end in a linear layer, `network(x) = network.output(network.hidden(x))`, which least squares can solve for.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from .derivatives import ACTIVATIONS, Activation, Smooth, concatenate, sin, tanh
from .errors import NetworkError, ProblemWarning
from .singular import Singular, functions
from .steep import climb

Initializer = Callable[[np.random.Generator, int, int], np.ndarray]


def glorot(draw: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
    """Xavier/Glorot normal, variance 2 / (fan_in + fan_out): keeps signal and gradient sizes level (Glorot & Bengio 2010)."""
    return draw.normal(size=(fan_in, fan_out)) * math.sqrt(2 / (fan_in + fan_out))


def he(draw: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
    """He normal, variance 2 / fan_in: makes up for the half that a ReLU sets to zero (He et al. 2015)."""
    return draw.normal(size=(fan_in, fan_out)) * math.sqrt(2 / fan_in)


def zeros(draw: np.random.Generator, fan_in: int, fan_out: int) -> np.ndarray:
    """All zeros. In a hidden layer every neuron then computes the same and gets the same gradient, for ever."""
    return np.zeros((fan_in, fan_out))


class Frozen(nnx.Variable):
    """A weight that is drawn once and never trained."""


def generator(rngs: nnx.Rngs) -> np.random.Generator:
    """A NumPy generator from the parameter stream: drawing on the host spares one compilation a layer."""
    return np.random.default_rng(np.asarray(jax.random.key_data(rngs.params())).tolist())


def _count(name: str, value: object, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise NetworkError(f"{name} must be a whole number, at least {least}; got {value!r}.")
    return int(value)


def _check_functions(activation: object, initializer: object) -> None:
    if not isinstance(activation, Activation):
        known = ", ".join(f"pinn.{name}" for name in ACTIVATIONS)
        raise NetworkError(f"activation={activation!r} has no known derivatives; use one of {known}.")
    if not callable(initializer):
        raise NetworkError(f"initializer={initializer!r} is no function; use pinn.glorot, pinn.he or pinn.zeros.")


class Dense(nnx.Module):
    """x @ kernel + bias, for arrays and for jets."""

    def __init__(self, kernel: np.ndarray, bias: np.ndarray, dtype: jnp.dtype, kind: type[nnx.Variable] = nnx.Param):
        self.kernel, self.bias = kind(jnp.asarray(kernel, dtype)), kind(jnp.asarray(bias, dtype))

    def __call__(self, x: Smooth) -> Smooth:
        return x @ self.kernel[...] + self.bias[...]


class Network(nnx.Module):
    """Base of the networks that jets pass through: `hidden(x)`, then the linear layer `output`."""

    output: Dense

    def hidden(self, x: Smooth) -> Smooth:
        """The last hidden layer at one point: [inputs] -> [width]."""
        raise NotImplementedError

    def __call__(self, x: Smooth) -> Smooth:
        return self.output(self.hidden(x))


class FourierFeatures(nnx.Module):
    """x -> [sin Bx, cos Bx], with B ~ N(0, scale²) frozen (Tancik et al. 2020, arXiv 2006.10739)."""

    def __init__(self, inputs: int, count: int, scale: float, draw: np.random.Generator, dtype: jnp.dtype):
        if not isinstance(scale, int | float | np.number) or not scale > 0:
            raise NetworkError(f"fourier_scale must be a positive number; got {scale!r}.")
        angles = np.concatenate([draw.normal(size=(inputs, count)) * scale] * 2, axis=1)
        phases = np.repeat([0.0, np.pi / 2], count)
        self.angles = Dense(angles, phases, dtype, Frozen)

    def __call__(self, x: Smooth) -> Smooth:
        return sin(self.angles(x))


class MLP(Network):
    """Multi-layer perceptron: depth × (affine, activation), then affine.

    Args:
        inputs, outputs: sizes of one point and of its value.
        width, depth: neurons a hidden layer, and hidden layers.
        activation: one of `pinn.derivatives.ACTIVATIONS`; for a second-order equation not `relu`, whose curvature is zero.
        initializer: `glorot` (default), `he` or `zeros` for the hidden kernels; biases start at zero.
        fourier: number of frozen random frequencies that replace the inputs; 0 for none.
        fourier_scale: their standard deviation, in radians per half-width of the domain.
        rngs, dtype: where the weights come from, and their precision.

    Raises:
        NetworkError: width or depth that is not a whole number of at least one, or an unknown activation or initializer.

    Example:
        >>> network = MLP(2, 1, width=8, depth=2, rngs=nnx.Rngs(0))
        >>> network(jnp.zeros(2)).shape
        (1,)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        rngs: nnx.Rngs,
        dtype: jnp.dtype = jnp.float64,
        width: int = 20,
        depth: int = 3,
        activation: Activation = tanh,
        initializer: Initializer = glorot,
        fourier: int = 0,
        fourier_scale: float = 2.0,
    ):
        width, depth, fourier = _count("width", width), _count("depth", depth), _count("fourier", fourier, 0)
        _check_functions(activation, initializer)
        draw = generator(rngs)
        self.embedding = FourierFeatures(inputs, fourier, fourier_scale, draw, dtype) if fourier else None
        sizes = [2 * fourier or inputs] + [width] * depth
        self.layers = nnx.List([_dense(draw, a, b, initializer, dtype) for a, b in pairwise(sizes)])
        self.output = _dense(draw, width, outputs, initializer, dtype)
        self.activation = activation
        _warn_if_equal(self.layers)

    def hidden(self, x: Smooth) -> Smooth:
        x = self.embedding(x) if self.embedding is not None else x
        for layer in self.layers:
            x = self.activation(layer(x))
        return x


class ResidualMLP(Network):
    """Skip connections: h ← h + B σ(A h + a) + b, `depth` times, so that gradients reach every layer (He et al. 2015).

    The second affine map of a block starts at zero: the network starts as a shallow one and grows deep as it learns.
    Arguments as for `MLP`; depth counts blocks.

    Example:
        >>> ResidualMLP(1, 1, width=8, depth=4, rngs=nnx.Rngs(0))(jnp.zeros(1)).shape
        (1,)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        rngs: nnx.Rngs,
        dtype: jnp.dtype = jnp.float64,
        width: int = 20,
        depth: int = 3,
        activation: Activation = tanh,
        initializer: Initializer = glorot,
    ):
        width, depth = _count("width", width), _count("depth", depth)
        _check_functions(activation, initializer)
        draw = generator(rngs)
        self.encoder = _dense(draw, inputs, width, initializer, dtype)
        self.inner = nnx.List([_dense(draw, width, width, initializer, dtype) for _ in range(depth)])
        self.outer = nnx.List([_dense(draw, width, width, zeros, dtype) for _ in range(depth)])
        self.output = _dense(draw, width, outputs, initializer, dtype)
        self.activation = activation
        _warn_if_equal([self.encoder, *self.inner])

    def hidden(self, x: Smooth) -> Smooth:
        x = self.activation(self.encoder(x))
        for inner, outer in zip(self.inner, self.outer, strict=True):
            x = x + outer(self.activation(inner(x)))
        return x


class ModifiedMLP(Network):
    """Two encoders u, v gate every hidden layer: h ← z u + (1 - z) v, z = σ(A h + a) (Wang et al. 2021, arXiv 2001.04536).

    Arguments as for `MLP`.

    Example:
        >>> ModifiedMLP(2, 1, width=8, depth=2, rngs=nnx.Rngs(0))(jnp.zeros(2)).shape
        (1,)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        rngs: nnx.Rngs,
        dtype: jnp.dtype = jnp.float64,
        width: int = 20,
        depth: int = 3,
        activation: Activation = tanh,
        initializer: Initializer = glorot,
    ):
        width, depth = _count("width", width), _count("depth", depth)
        _check_functions(activation, initializer)
        draw = generator(rngs)
        self.gates = nnx.List([_dense(draw, inputs, width, initializer, dtype) for _ in range(2)])
        sizes = [inputs] + [width] * depth
        self.layers = nnx.List([_dense(draw, a, b, initializer, dtype) for a, b in pairwise(sizes)])
        self.output = _dense(draw, width, outputs, initializer, dtype)
        self.activation = activation
        _warn_if_equal([*self.gates, *self.layers])

    def hidden(self, x: Smooth) -> Smooth:
        u, v = (self.activation(gate(x)) for gate in self.gates)
        for layer in self.layers:
            x = v + self.activation(layer(x)) * (u - v)
        return x


class Features(Network):
    """One wide hidden layer, drawn once and frozen; only the linear layer is solved for.

    Args:
        kernel, bias: [inputs - direct, width - direct] and [width - direct], from `families.draw_features`.
        outputs: number of fields.
        activation: sin or tanh.
        direct: how many inputs, the last, are features themselves.
    """

    def __init__(
        self, kernel: np.ndarray, bias: np.ndarray, outputs: int, activation: Activation, dtype: jnp.dtype, direct: int = 0
    ):
        width = kernel.shape[1] + direct
        self.layer, self.direct = Dense(kernel, bias, dtype, Frozen), direct
        self.output = Dense(np.zeros((width, outputs)), np.zeros(outputs), dtype)
        self.activation = activation

    def hidden(self, x: Smooth) -> Smooth:
        if not self.direct:
            return self.activation(self.layer(x))
        return concatenate([self.activation(self.layer(x[: -self.direct])), x[-self.direct :]])


def _dense(draw: np.random.Generator, fan_in: int, fan_out: int, initializer: Initializer, dtype: jnp.dtype) -> Dense:
    return Dense(initializer(draw, fan_in, fan_out), np.zeros(fan_out), dtype)


def _warn_if_equal(layers: list[Dense] | nnx.List) -> None:
    for layer in layers:
        kernel = np.asarray(layer.kernel[...])
        if kernel.shape[1] > 1 and np.all(kernel == kernel[:, :1]):
            warnings.warn(
                f"A hidden layer starts with {kernel.shape[1]} equal neurons: all get the same gradient and stay equal, so the "
                "layer is worth one neuron. Use initializer=pinn.glorot (tanh, sin) or pinn.he (relu, gelu).",
                ProblemWarning,
                stacklevel=4,
            )
            return


class Encoding:
    """What the network sees of a point: each coordinate scaled to [-1, 1], or, where the fields are periodic, on the circle.

    With θ = 2π (x - a) / (b - a) - π a periodic coordinate becomes (cos θ, sin θ), so that every function of the encoding is
    exactly periodic with all its derivatives; `raw` keeps θ itself, for features sin(k θ + b) with whole k.

    Args:
        lower, upper: the bounding box, each [d].
        periodic: per coordinate.
        raw: θ instead of (cos θ, sin θ).
        steep: the coordinates that a steep one stands beside, after the plain ones; see `steep.climb`.
        singular: corners and holes: the coordinates that features see of them, then the functions that are features themselves.
        round: coordinates of which the sum of squares, scaled, stands after the plain ones.
    """

    def __init__(
        self,
        lower: np.ndarray,
        upper: np.ndarray,
        periodic: tuple[bool, ...],
        raw: bool = False,
        steep: tuple[int, ...] = (),
        singular: tuple[Singular, ...] = (),
        round: tuple[int, ...] = (),
    ):
        self.lower, self.upper, self.periodic, self.raw = np.asarray(lower), np.asarray(upper), tuple(periodic), raw
        self.steep, self.singular, self.round = tuple(steep), tuple(singular), tuple(round)
        self._key = (tuple(self.lower), tuple(self.upper), self.periodic, raw, self.steep, self.singular, self.round)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Encoding) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def size(self) -> int:
        seen = [*self.periodic, *(self.periodic[axis] for axis in self.steep)]
        beside = bool(self.round) + sum(each.seen for each in self.singular)
        return len(seen) + (0 if self.raw else sum(seen)) + beside + self.direct

    @property
    def direct(self) -> int:
        """How many of them, the last, are features themselves."""
        return sum(each.direct for each in self.singular)

    def __call__(self, point: Smooth, box: Array | None = None, steps: Array | None = None) -> Smooth:
        """The encoding of a point [d], scaled to the bounding box or to another `box`, [2, d]: lower ends and widths.

        `steps` are those of the steep coordinates, [L, 2, J].
        """
        singular = [functions(self.singular, point)] if self.singular else []
        lower, width = (self.lower, self.upper - self.lower) if box is None else (box[0], box[1])
        lower, width = lower.astype(point.dtype), width.astype(point.dtype)
        half_turns = np.where(self.periodic, 2 * np.pi, 2.0).astype(point.dtype)
        centred = (point - (lower + width / 2)) * (half_turns / width)
        beside, steep = [], []
        if self.round:
            across = centred[np.array(self.round)]
            beside = [(across * across) @ jnp.ones((len(self.round), 1), point.dtype)]
        if steps is not None:
            steep = [climb(centred[a : a + 1], steps[i], self.periodic[a]) for i, a in enumerate(self.steep)]
        if self.raw or not any(self.periodic):
            return concatenate([centred, *beside, *steep, *singular]) if beside or steep or singular else centred
        plain = np.flatnonzero(~np.array(self.periodic))
        angle = centred[np.flatnonzero(self.periodic)]
        parts = [centred[plain]] if len(plain) else []
        steep = [
            part
            for axis, y in zip(self.steep, steep, strict=True)
            for part in ([sin(y + np.pi / 2), sin(y)] if self.periodic[axis] else [y])
        ]
        return concatenate([*parts, sin(angle + np.pi / 2), sin(angle), *beside, *steep, *singular])
