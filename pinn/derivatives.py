"""Derivatives of a field at one point: truncated Taylor arithmetic, and the nested engines it is judged by.

A *multi-index* α = (α₁, ..., α_d) counts derivatives by coordinate: with coordinates (t, x), u_xx is (0, 2) and u_tx is (1, 1).
An *engine* turns a function of the point into the derivatives asked for:

    engine(function, point, indices) -> {α: ∂^α function(point)}

`taylor` carries all of them through the network in one pass; `nested_jvp` and `nested_grad` differentiate again and again.
`nested_grad`, jax.grad of jax.grad, is the reference that the others must agree with.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

MultiIndex = tuple[int, ...]
Smooth = Any  # an Array, or a Jet: what a forward pass carries
Engine = Callable[[Callable, Array, Iterable[MultiIndex]], dict[MultiIndex, Array]]


def raised(index: MultiIndex, axis: int) -> MultiIndex:
    """The multi-index with one more derivative along `axis`.

    >>> raised((0, 1), 1)
    (0, 2)
    """
    return tuple(n + (i == axis) for i, n in enumerate(index))


def lowered(index: MultiIndex, axis: int) -> MultiIndex:
    """The multi-index with one derivative less along `axis`."""
    return tuple(n - (i == axis) for i, n in enumerate(index))


def lower_set(indices: Iterable[MultiIndex]) -> tuple[MultiIndex, ...]:
    """Every multi-index below one of those given, low orders first: what a Taylor pass has to carry.

    >>> lower_set([(0, 2)])
    ((0, 0), (0, 1), (0, 2))
    """
    below = {low for index in indices for low in itertools.product(*(range(n + 1) for n in index))}
    return tuple(sorted(below, key=lambda index: (sum(index), index)))


def _binomial(over: MultiIndex, under: MultiIndex) -> int:
    return math.prod(math.comb(n, k) for n, k in zip(over, under, strict=True))


def _difference(index: MultiIndex, other: MultiIndex) -> MultiIndex:
    return tuple(a - b for a, b in zip(index, other, strict=True))


class Jet:
    """A function's value and derivatives at one point, {α: ∂^α f}, closed under +, -, *, @ and smooth functions.

    Multiplication is Leibniz' rule, (fg)_α = Σ_β C(α, β) f_β g_{α-β}. A part that is absent is identically zero, so an
    affine function of the point costs no second derivatives. Parts of one jet share a shape.

    Example:
        >>> x = Jet.variable(jnp.array([2.0]), [(2,)])
        >>> (x * x).part((2,))
        Array([2.], dtype=float64)
    """

    __array_ufunc__ = None

    def __init__(self, parts: Mapping[MultiIndex, Array], indices: tuple[MultiIndex, ...]):
        self.parts, self.indices = dict(parts), indices

    @classmethod
    def variable(cls, point: Array, indices: Iterable[MultiIndex]) -> Jet:
        """The point itself, [d], as a function of the point: p_α is p, then the unit vectors, then zero."""
        closed = lower_set(indices)
        unit = jnp.eye(point.size, dtype=point.dtype)
        axes = {tuple(int(i == j) for j in range(point.size)): unit[i] for i in range(point.size)}
        zero = (0,) * point.size
        return cls({zero: point} | {index: axes[index] for index in closed if index in axes}, closed)

    @property
    def zero(self) -> MultiIndex:
        return (0,) * len(self.indices[0])

    @property
    def value(self) -> Array:
        return self.parts[self.zero]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def dtype(self) -> jnp.dtype:
        return self.value.dtype

    def part(self, index: MultiIndex) -> Array:
        """∂^index, zeros where it vanishes identically."""
        return self.parts[index] if index in self.parts else jnp.zeros_like(self.value)

    def map(self, linear: Callable[[Array], Array]) -> Jet:
        """A linear map applied to every part."""
        return Jet({index: linear(part) for index, part in self.parts.items()}, self.indices)

    def __getitem__(self, key) -> Jet:
        return self.map(lambda part: part[key])

    def __neg__(self) -> Jet:
        return self.map(jnp.negative)

    def __add__(self, other) -> Jet:
        if not isinstance(other, Jet):
            return Jet(self.parts | {self.zero: self.value + other}, self.indices)
        sums = {
            index: self.parts[index] + other.parts[index] if index in self.parts and index in other.parts else part
            for index, part in (other.parts | self.parts).items()
        }
        shape = jnp.broadcast_shapes(self.shape, other.shape)
        return Jet({index: jnp.broadcast_to(part, shape) for index, part in sums.items()}, self.indices)

    __radd__ = __add__

    def __sub__(self, other) -> Jet:
        return self + (-other)

    def __rsub__(self, other) -> Jet:
        return -self + other

    def __mul__(self, other) -> Jet:
        if not isinstance(other, Jet):
            return self.map(lambda part: part * other)
        parts: dict[MultiIndex, Array] = {}
        for left, a in self.parts.items():
            for right, b in other.parts.items():
                index = tuple(i + j for i, j in zip(left, right, strict=True))
                if index in self.indices:
                    term = _binomial(index, left) * a * b
                    parts[index] = parts[index] + term if index in parts else term
        return Jet(parts, self.indices)

    __rmul__ = __mul__

    def __truediv__(self, other: Array | float) -> Jet:
        return self * (1 / other)

    def __matmul__(self, matrix: Array) -> Jet:
        return self.map(lambda part: part @ matrix)

    def compose(self, derivatives: list[Array]) -> Jet:
        """f∘self, elementwise, from f's own derivatives [f(z), f'(z), f''(z), ...] at z = self.value (Faà di Bruno).

        Peels one derivative at a time: ∂^α f(z) = Σ_{β ≤ α-e} C(α-e, β) ∂^β[f'(z)] z_{α-β}, where e is a unit index below α.
        """
        done: dict[tuple[MultiIndex, int], Array | None] = {}

        def derivative(index: MultiIndex, order: int) -> Array | None:
            if not any(index):
                return derivatives[order]
            if (index, order) not in done:
                axis = next(i for i, n in enumerate(index) if n)
                rest = lowered(index, axis)
                total = None
                for low in itertools.product(*(range(n + 1) for n in rest)):
                    inner = self.parts.get(_difference(index, low))
                    outer = derivative(low, order + 1)
                    if inner is not None and outer is not None:
                        term = _binomial(rest, low) * outer * inner
                        total = term if total is None else total + term
                done[index, order] = total
            return done[index, order]

        parts = {index: derivative(index, 0) for index in self.indices}
        return Jet({index: part for index, part in parts.items() if part is not None}, self.indices)

    @property
    def order(self) -> int:
        """The highest total order carried."""
        return max(map(sum, self.indices))


def concatenate(values: list) -> Smooth:
    """jnp.concatenate along the last axis, of arrays or of jets."""
    jets = [value for value in values if isinstance(value, Jet)]
    if not jets:
        return jnp.concatenate(values, axis=-1)
    full = [value if isinstance(value, Jet) else Jet({jets[0].zero: value}, jets[0].indices) for value in values]
    present = set().union(*(value.parts for value in full))
    return Jet({i: jnp.concatenate([value.part(i) for value in full], axis=-1) for i in present}, jets[0].indices)


# --- engines ---------------------------------------------------------------------------------------------------------


def taylor(function: Callable, point: Array, indices: Iterable[MultiIndex]) -> dict[MultiIndex, Array]:
    """Truncated Taylor arithmetic: one pass through a function that is written with jets in mind (this package's networks)."""
    indices = list(indices)
    if not any(map(any, indices)):
        return {index: function(point) for index in indices}
    jet = function(Jet.variable(point, indices))
    return {index: jet.part(index) for index in indices}


def nested_jvp(function: Callable, point: Array, indices: Iterable[MultiIndex]) -> dict[MultiIndex, Array]:
    """Forward mode over forward mode: for any JAX function of the point."""

    def partial(inner: Callable, axis: int) -> Callable:
        unit = jnp.zeros_like(point).at[axis].set(1)
        return lambda p: jax.jvp(inner, (p,), (unit,))[1]

    return _nested(function, point, indices, partial)


def nested_grad(function: Callable, point: Array, indices: Iterable[MultiIndex]) -> dict[MultiIndex, Array]:
    """Reverse mode over reverse mode, jax.grad of jax.grad, one output at a time: the reference engine."""

    def partial(inner: Callable, axis: int) -> Callable:
        def derivative(p: Array) -> Array:
            shape = jax.eval_shape(inner, p).shape
            flat = [jax.grad(lambda q, i=i: inner(q).reshape(-1)[i])(p)[axis] for i in range(math.prod(shape))]
            return jnp.stack(flat).reshape(shape)

        return derivative

    return _nested(function, point, indices, partial)


def _nested(function, point, indices, partial) -> dict[MultiIndex, Array]:
    known = {(0,) * point.size: function}

    def derivative(index: MultiIndex) -> Callable:
        if index not in known:
            axis = max(i for i, n in enumerate(index) if n)
            known[index] = partial(derivative(lowered(index, axis)), axis)
        return known[index]

    return {index: derivative(index)(point) for index in indices}


# --- activations -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Activation:
    """An elementwise function that knows its own derivatives, so that jets pass through it.

    Args:
        name: how plans and saved solutions call it.
        derivatives: (z, n) -> [f(z), f'(z), ..., f⁽ⁿ⁾(z)].

    Example:
        >>> abs(float(tanh(jnp.array(0.5))) - math.tanh(0.5)) < 1e-15
        True
    """

    name: str
    derivatives: Callable[[Array, int], list[Array]]

    def __call__(self, z: Smooth) -> Smooth:
        if isinstance(z, Jet):
            return z.compose(self.derivatives(z.value, z.order))
        return self.derivatives(z, 0)[0]

    def __repr__(self) -> str:
        return self.name


def _autonomous(rate: list[int], order: int) -> list[list[int]]:
    """For f' = r(f): polynomials q_k with f⁽ᵏ⁾ = r(f) q_k(f), k = 1..order; q₁ = 1, q_{k+1} = r' q_k + r q_k'."""

    def times(a: list[int], b: list[int]) -> list[int]:
        out = [0] * (len(a) + len(b) - 1)
        for i, x in enumerate(a):
            for j, y in enumerate(b):
                out[i + j] += x * y
        return out

    def slope(a: list[int]) -> list[int]:
        return [i * x for i, x in enumerate(a)][1:] or [0]

    factors = [[1]]
    while len(factors) < order:
        left, right = times(slope(rate), factors[-1]), times(rate, slope(factors[-1]))
        factors.append([a + b for a, b in itertools.zip_longest(left, right, fillvalue=0)])
    return factors[:order]


def _tanh(z: Array, order: int) -> list[Array]:
    f = jnp.tanh(z)
    rate = 1 - f * f
    return [f] + [rate * _series(q, f) for q in _autonomous([1, 0, -1], order)]


def _sigmoid(z: Array, order: int) -> list[Array]:
    f = jax.nn.sigmoid(z)
    rate = f * (1 - f)
    return [f] + [rate * _series(q, f) for q in _autonomous([0, 1, -1], order)]


# π in three parts, the first two of 30 bits: their products with whole numbers below 2²³ are exact.
_PI = (3.141592651605606, 1.9841871583270443e-09, 1.034036596358821e-18)
_SIN = [(-1) ** k / math.factorial(2 * k + 1) for k in range(11)]
_COS = [(-1) ** k / math.factorial(2 * k) for k in range(12)]


@jax.custom_jvp
def _sine_cosine(z: Array) -> tuple[Array, Array]:
    """sin z and cos z within 3e-16 for |z| < 1e6, by series after reduction to (-π/2, π/2).

    On CPUs XLA calls the C library for each number, which takes five times as long.
    """
    turns = jnp.round(z * (1 / math.pi))
    y = ((z - turns * _PI[0]) - turns * _PI[1]) - turns * _PI[2]
    sign = 1 - 2 * jnp.abs(turns - 2 * jnp.round(turns / 2))
    square = y * y
    return sign * y * _series(_SIN, square), sign * _series(_COS, square)


@_sine_cosine.defjvp
def _(primals, tangents):
    sine, cosine = _sine_cosine(*primals)
    return (sine, cosine), (cosine * tangents[0], -sine * tangents[0])


def _series(coefficients: Sequence[float], x: Array) -> Array:
    total = jnp.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        total = total * x + c
    return total


def _sin(z: Array, order: int) -> list[Array]:
    cycle = _sine_cosine(z) if z.dtype == jnp.float64 else (jnp.sin(z), jnp.cos(z))
    return [cycle[k % 2] * (1 if k % 4 < 2 else -1) for k in range(order + 1)]


def _softplus(z: Array, order: int) -> list[Array]:
    return [jnp.logaddexp(z, 0.0)] + (_sigmoid(z, order - 1) if order else [])


def _times_argument(z: Array, gate: list[Array]) -> list[Array]:
    """Derivatives of z g(z): z g⁽ᵏ⁾ + k g⁽ᵏ⁻¹⁾."""
    return [z * g + (k * gate[k - 1] if k else 0) for k, g in enumerate(gate)]


def _silu(z: Array, order: int) -> list[Array]:
    return _times_argument(z, _sigmoid(z, order))


def _gaussian(z: Array, order: int) -> list[Array]:
    """exp(-z²/2) and its derivatives (-1)ᵏ He_k(z) exp(-z²/2), with He_{k+1} = z He_k - k He_{k-1}."""
    hermite = [jnp.ones_like(z), z]
    for k in range(1, order):
        hermite.append(z * hermite[k] - k * hermite[k - 1])
    bell = jnp.exp(-z * z / 2)
    return [(-1) ** k * hermite[k] * bell for k in range(order + 1)]


def _gelu(z: Array, order: int) -> list[Array]:
    density = [bell / math.sqrt(2 * math.pi) for bell in _gaussian(z, order - 1)] if order else []
    return _times_argument(z, [jax.scipy.special.ndtr(z), *density])


def _log(z: Array, order: int) -> list[Array]:
    return [jnp.log(z)] + [(-1) ** (k - 1) * math.factorial(k - 1) / z**k for k in range(1, order + 1)]


def _exp(z: Array, order: int) -> list[Array]:
    return [jnp.exp(z)] * (order + 1)


def _reciprocal(z: Array, order: int) -> list[Array]:
    return [(-1) ** k * math.factorial(k) / z ** (k + 1) for k in range(order + 1)]


def _root(z: Array, order: int) -> list[Array]:
    found = [jnp.sqrt(z)]
    for k in range(order):
        found.append(found[-1] * (0.5 - k) / z)
    return found


def _arctan(z: Array, order: int) -> list[Array]:
    """atan⁽ᵏ⁾(z) = (-1)^(k-1) (k - 1)! Im (z + i)ᵏ / (z² + 1)ᵏ."""
    found, real, imaginary = [jnp.arctan(z)], jnp.ones_like(z), jnp.zeros_like(z)
    for k in range(1, order + 1):
        real, imaginary = real * z - imaginary, real + imaginary * z
        found.append((-1) ** (k - 1) * math.factorial(k - 1) * imaginary / (z * z + 1) ** k)
    return found


def _erfc(z: Array, order: int) -> list[Array]:
    """erfc⁽ᵏ⁾(z) = -2/√π (√2)^(k-1) g⁽ᵏ⁻¹⁾(√2 z), g(z) = exp(-z²/2)."""
    bell = _gaussian(math.sqrt(2) * z, order - 1) if order else []
    slopes = [-2 / math.sqrt(math.pi) * 2 ** (k / 2) * part for k, part in enumerate(bell)]
    return [jax.scipy.special.erfc(z), *slopes]


def _relu(z: Array, order: int) -> list[Array]:
    return [jnp.maximum(z, 0), (z > 0).astype(z.dtype)][: order + 1] + [jnp.zeros_like(z)] * (order - 1)


tanh = Activation("tanh", _tanh)
sigmoid = Activation("sigmoid", _sigmoid)
sin = Activation("sin", _sin)
softplus = Activation("softplus", _softplus)
silu = Activation("silu", _silu)
gelu = Activation("gelu", _gelu)
gaussian = Activation("gaussian", _gaussian)
relu = Activation("relu", _relu)

# No activations, but what coordinates are made of.
log, exp, root, reciprocal = (Activation(each.__name__[1:], each) for each in (_log, _exp, _root, _reciprocal))
arctan, erfc = (Activation(each.__name__[1:], each) for each in (_arctan, _erfc))

ENGINES = (taylor, nested_jvp, nested_grad)
ACTIVATIONS = {f.name: f for f in (tanh, sigmoid, sin, softplus, silu, gelu, gaussian, relu)}
