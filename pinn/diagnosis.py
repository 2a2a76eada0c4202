"""What ails a network: gradients that vanish or explode, units in the flat part of their activation, features that are all alike.

A layer is a submodule with a trained `kernel`; z are its outputs, before the activation, and h what the next layer that depends
on them sees. Everything is measured at given points by differentiating the network itself, so any Flax NNX module will do:

    gradient     sqrt(mean |∂ Σ y / ∂W|²) over points, Frobenius norm; of a loss where one is given, |∂ loss / ∂W|
    saturation   the share of units, over points, with max_i |∂h_i / ∂z_j| < 0.05
    rank         singular values of h, [points, units], above 1e-6 of the largest
    equal        units with the z and the ∂y/∂z of another one at every point: they learn the same for ever
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from numpy.typing import NDArray

from .errors import NetworkError

FLAT = 0.05  # slopes below belong to the flat part of an activation: |z| > 2.2 for tanh, |z| > 2.9 for the sigmoid
_RANK, _SAME = 1e-6, 1e-9  # of the largest singular value; of the largest entry
_LEVEL = 100.0  # by which gradients, and features, may differ from the first layer to the last
_MOST_FLAT, _MOST_DEAD = 0.6, 0.4  # shares of a layer; half of the points are flat for a healthy relu
_PLACES, _UNITS = 16, 64  # at most so many points and units for saturation

Run = Callable[[Any, Mapping[str, Array], Array], tuple[Array, dict[str, Array], dict[str, Array]]]


@dataclass(frozen=True)
class LayerDiagnosis:
    """One layer; see the module for what the numbers mean.

    Attributes:
        name, units: where it stands in the network, and how many outputs it has.
        gradient: size of the gradient by its kernel.
        size: root mean square of the features that the next layer sees.
        saturation: share of units and points in the flat part; NaN for the last layer.
        dead: share of units that are there at every point.
        rank: of the features that the next layer sees; of the outputs themselves for the last.
        most: the rank that points and units allow.
        equal: units that are a copy of another one.
        reader: the next layer that depends on this one; None for the last.
    """

    name: str
    units: int
    gradient: float
    size: float
    saturation: float
    dead: float
    rank: int
    most: int
    equal: int
    reader: str | None


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found; printing it shows a table of the layers, and the remedies.

    Attributes:
        layers: in the order in which they are called.
        points: how many they were measured at.
    """

    layers: tuple[LayerDiagnosis, ...]
    points: int

    @property
    def ratio(self) -> float:
        """The first layer's gradient over the last one's: small where gradients vanish, large where they explode."""
        first, last = self.layers[0].gradient, self.layers[-1].gradient
        return first / last if last else float("inf") if first else float("nan")

    @property
    def remedies(self) -> tuple[str, ...]:
        """What is wrong, and what to do about it, a sentence for each; empty for a healthy network."""
        return tuple(_remedies(self))

    @property
    def healthy(self) -> bool:
        return not self.remedies

    def __str__(self) -> str:
        width = max(len(layer.name) for layer in self.layers)
        lines = [f"{'layer':<{width}} {'units':>6} {'gradient':>9} {'size':>9} {'flat':>6} {'dead':>6} {'rank':>9} {'equal':>6}"]
        for layer in self.layers:
            flat, dead = ("-" if np.isnan(share) else f"{share:.0%}" for share in (layer.saturation, layer.dead))
            lines.append(
                f"{layer.name:<{width}} {layer.units:>6} {layer.gradient:>9.1e} {layer.size:>9.1e} {flat:>6} {dead:>6} "
                f"{f'{layer.rank}/{layer.most}':>9} {layer.equal:>6}"
            )
        lines.append(f"first layer's gradient over the last one's: {self.ratio:.1e}")
        return "\n".join([*lines, *(self.remedies or ("Nothing is wrong with it at these points.",))])


def diagnose(
    network: nnx.Module,
    points: Any,
    *,
    loss: Callable[[Array], Array] | None = None,
    call: Callable[[Any, Array], Array] | None = None,
) -> Diagnosis:
    """Gradient norms, saturation, feature rank and equal neurons of every layer of a network, and the remedy.

    Args:
        network: any Flax NNX module; it is not changed.
        points: what it is called with, one after the other, [N, ...].
        loss: of the outputs at all points, [N, ...] -> a scalar, whose gradient is measured in place of the outputs'.
        call: how the network is called at one point, `(network, point) -> array`; `network(point)` by default.

    Raises:
        NetworkError: no module, no points, no layer with a trained kernel that is called, or one that is called inside the
            network's own vmap or scan.

    Example:
        >>> from pinn.networks import MLP
        >>> from pinn.derivatives import sigmoid
        >>> deep = MLP(1, 1, width=4, depth=8, activation=sigmoid, rngs=nnx.Rngs(0))
        >>> print(diagnose(deep, jnp.linspace(-1, 1, 50)[:, None]).remedies[0][:39])
        Gradients vanish on the way to layers[0
    """
    if not isinstance(network, nnx.Module):
        raise NetworkError(f"diagnose() needs a Flax NNX module, such as pinn.MLP(2, 1, rngs=nnx.Rngs(0)); got {network!r:.60}.")
    places = jnp.asarray(points)
    if not places.ndim or not len(places):
        raise NetworkError(f"diagnose() needs points, [N, ...], N at least 1; got an array of shape {places.shape}.")
    if not jnp.issubdtype(places.dtype, jnp.floating):
        places = places.astype(float)
    run, train = _runner(network, call or (lambda module, point: module(point)))
    try:
        shapes = _shapes(run, train, places[0])
        if not shapes:
            raise NetworkError("diagnose() found no layer with a trained `kernel` that the network calls at a point.")
        _, inputs, outputs = jax.jit(jax.vmap(lambda x: run(train, {}, x)))(places)
        sizes, signals = _gradients(run, train, places, loss, shapes)
        slopes, owner = _slopes(run, train, places, shapes)
    except jax.errors.UnexpectedTracerError as error:
        raise NetworkError(
            "diagnose() cannot look into a layer that the network calls inside its own vmap, scan or jit. Diagnose that part by "
            "itself, or give call= a function that needs no such transformation."
        ) from error
    names, found = list(shapes), []
    for k, name in enumerate(names):
        mine = slopes[:, owner == k]
        dead_end = not np.any(signals[name])  # nothing that follows depends on it; else it is an output, if no layer reads it
        reader = next((m for m in range(k + 1, len(names)) if mine[..., m].any()), k + 1 if dead_end else len(names))
        followed = reader < len(names)
        flat = mine[..., reader] < FLAT if followed else np.full((1, 1), np.nan)
        z, h, delta = (
            np.asarray(a, float).reshape(len(places), -1)
            for a in (outputs[name], inputs[names[reader]] if followed else outputs[name], signals[name])
        )
        found.append(
            LayerDiagnosis(
                name=name,
                units=z.shape[1],
                gradient=sizes[name],
                size=float(np.sqrt(np.mean(h**2))),
                saturation=float(np.mean(flat)),
                dead=float(np.mean(np.min(flat, axis=0))),
                rank=rank(h),
                most=min(h.shape),
                equal=z.shape[1] - distinct(np.concatenate([z, delta])),
                reader=names[reader] if followed else None,
            )
        )
    return Diagnosis(tuple(found), len(places))


def rank(features: NDArray) -> int:
    """Singular values of [points, units] above 1e-6 of the largest.

    Example:
        >>> rank(np.outer(np.arange(4.0), np.ones(3)))
        1
    """
    values = np.linalg.svd(np.asarray(features, float), compute_uv=False) if np.all(np.isfinite(features)) else np.zeros(1)
    return int(np.sum(values > _RANK * values[0])) if values[0] else 0


def distinct(columns: NDArray) -> int:
    """How many different columns there are, to 1e-9 of each row's largest entry.

    Example:
        >>> distinct(np.array([[1.0, 1.0, 2.0]]))
        2
    """
    scale = np.maximum(np.abs(columns).max(axis=1, keepdims=True), 1e-300)
    return len(np.unique(np.round(columns / scale / _SAME), axis=1).T)


# --- watching the layers ---------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Tape:
    """What layers were given and gave, by name, in the order of calls; `moved` is added to what they give."""

    moved: Mapping[str, Array]
    inputs: dict[str, Array] = field(default_factory=dict)
    outputs: dict[str, Array] = field(default_factory=dict)

    def passed(self, name: str, given: Array, made: Array) -> Array:
        calls = sum(known.partition(" call ")[0] == name for known in self.inputs)
        name = f"{name} call {calls + 1}" if calls else name
        made = made + self.moved[name].astype(made.dtype) if name in self.moved else made
        self.inputs[name], self.outputs[name] = given, made
        return made


_TAPE: ContextVar[_Tape | None] = ContextVar("tape", default=None)


@cache
def _watched(kind: type) -> type:
    """A kind of layer that writes its calls on the tape."""

    def called(self: Any, given: Any, *more: Any, **options: Any) -> Any:
        made = kind.__call__(self, given, *more, **options)
        tape = _TAPE.get()
        return made if tape is None else tape.passed(self.watched_as, given, made)

    return type(kind)(f"Watched{kind.__name__}", (kind,), {"__call__": called})


def _runner(network: nnx.Module, call: Callable) -> tuple[Run, Any]:
    """`run(train, moved, point) -> (output, inputs of layers, outputs of layers)`, and the trained weights."""
    copy = nnx.clone(network)
    for path, module in list(nnx.iter_modules(copy)):
        if isinstance(getattr(module, "kernel", None), nnx.Param):
            name = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")
            module.watched_as = name or "network"  # pyright: ignore[reportAttributeAccessIssue]
            object.__setattr__(module, "__class__", _watched(type(module)))
    graph, train, rest = nnx.split(copy, nnx.Param, ...)

    def run(train: Any, moved: Mapping[str, Array], point: Array) -> tuple[Array, dict[str, Array], dict[str, Array]]:
        tape = _Tape(moved)
        token = _TAPE.set(tape)
        try:
            return call(nnx.merge(graph, train, rest), point), tape.inputs, tape.outputs
        finally:
            _TAPE.reset(token)

    return run, train


def _shapes(run: Run, train: Any, point: Array) -> dict[str, Any]:
    """What layers give, by name, in the order of calls, which pytrees forget."""
    order: list[str] = []

    def outputs(x: Array) -> dict[str, Array]:
        made = run(train, {}, x)[2]
        order.extend(made)
        return made

    shapes = jax.eval_shape(outputs, point)
    return {name: shapes[name] for name in order}


def _gradients(
    run: Run, train: Any, places: Array, loss: Callable | None, shapes: Mapping[str, Any]
) -> tuple[dict[str, float], dict[str, Array]]:
    """Sizes of the gradients by the kernels, by layer, and ∂y/∂z at every point, [N, *units]."""
    none = {name: jnp.zeros(z.shape, z.dtype) for name, z in shapes.items()}

    def value(train: Any, moved: dict[str, Array], x: Array, weights: Array) -> Array:
        return jnp.sum(run(train, moved, x)[0] * weights)

    @jax.jit
    def slopes(places: Array) -> tuple[Any, Any]:
        outputs = jax.vmap(lambda x: run(train, {}, x)[0])(places)
        weights = jnp.ones_like(outputs) if loss is None else jax.grad(loss)(outputs)
        by_weights, signals = jax.vmap(jax.grad(value, (0, 1)), (None, None, 0, 0))(train, none, places, weights)

        def square(gradient: Array) -> Array:
            if loss is not None:
                return jnp.sum(jnp.sum(gradient, axis=0) ** 2)
            return jnp.mean(jnp.sum(gradient.reshape(len(places), -1) ** 2, axis=1))

        return jax.tree.map(square, by_weights), signals

    squares, signals = slopes(places)
    tree = nnx.to_pure_dict(squares)
    return {name: float(jnp.sqrt(_at(tree, name))) for name in shapes}, signals


def _at(tree: Any, name: str) -> Array:
    """The kernel's entry of a tree like the weights', for a layer's name."""
    path = name.partition(" call ")[0].replace("[", ".").replace("]", "")
    for part in path.split(".") if path != "network" else []:
        tree = tree[int(part)] if part.isdigit() else tree[part]
    return tree["kernel"]


def _slopes(run: Run, train: Any, places: Array, shapes: Mapping[str, Any]) -> tuple[NDArray, NDArray]:
    """max_i |∂h_i / ∂z_j| at points, [N, U, L], of up to `_UNITS` units a layer and the inputs h of every layer; whose units."""
    sizes = [int(np.prod(z.shape)) for z in shapes.values()]
    places = places[:: -(-len(places) // _PLACES)]
    chosen = [np.unique(np.linspace(0, size - 1, min(size, _UNITS)).astype(int)) for size in sizes]
    owner = np.repeat(np.arange(len(sizes)), [len(units) for units in chosen])
    none = {name: jnp.zeros(z.shape, z.dtype) for name, z in shapes.items()}

    def at(x: Array) -> Array:
        def one(unit: tuple[Array, Array]) -> Array:
            moved = {
                name: ((unit[0] == k) * (jnp.arange(size) == unit[1])).reshape(z.shape).astype(z.dtype)
                for k, (size, (name, z)) in enumerate(zip(sizes, shapes.items(), strict=True))
            }
            slopes = jax.jvp(lambda m: run(train, m, x)[1], (none,), (moved,))[1]
            return jnp.stack([jnp.max(jnp.abs(slopes[name])) for name in shapes])

        units = jnp.asarray(owner), jnp.asarray(np.concatenate(chosen))
        return jax.lax.map(one, units, batch_size=_UNITS)

    return np.asarray(jax.jit(jax.vmap(at))(places)), owner


# --- what to do about it ---------------------------------------------------------------------------------------------

_RANDOM = "initialise at random, Xavier (pinn.glorot) for tanh, sin and sigmoid, He (pinn.he) for relu and gelu"
_NORMAL = "normalisation (nnx.LayerNorm)"
_SKIP = "skip connections (pinn.ResidualMLP)"


def _remedies(found: Diagnosis) -> list[str]:
    layers = found.layers
    sentences = [*_equal(layers), *_gradient(found), *_flat(layers)]
    poor = [layer for layer in layers if layer.reader and layer.units > 1 and layer.rank < min(2, layer.most)]
    if poor and not any(layer.equal for layer in layers):
        sentences.append(
            f"The {poor[0].units} features of {poor[0].name} are multiples of each other here (rank {poor[0].rank}): use "
            f"{_SKIP}, {_NORMAL} and random initialisation with larger weights."
        )
    return sentences


def _equal(layers: Sequence[LayerDiagnosis]) -> list[str]:
    equal = [layer for layer in layers if layer.equal]
    return [
        f"{layer.equal + 1} of {layer.units} units of {layer.name} compute the same, get the same gradient, and so stay equal: "
        f"{_RANDOM}."
        for layer in equal[:1]
    ]


def _gradient(found: Diagnosis) -> list[str]:
    ratio, first, last = found.ratio, found.layers[0], found.layers[-1]
    if not all(np.isfinite(layer.gradient) and np.isfinite(layer.size) for layer in found.layers):
        return [f"Numbers are not finite: scale the inputs, and use Xavier initialisation (pinn.glorot) and {_NORMAL}."]
    if not any(layer.gradient for layer in found.layers):
        return [f"No gradient reaches {first.name}, nor any layer that follows: weights are zero or units dead; {_RANDOM}."]
    inner = found.layers[:-1]
    shrunk = inner[-1].size / inner[0].size if inner and inner[0].size else 1.0
    if ratio and ratio < 1 / _LEVEL:
        return [
            f"Gradients vanish on the way to {first.name}, {ratio:.0e} of those of {last.name}: use {_SKIP}, a non-saturating "
            f"activation (pinn.gelu, relu), Xavier or He initialisation (pinn.glorot, pinn.he), {_NORMAL}."
        ]
    if shrunk < 1 / _LEVEL:
        return [
            f"Signals vanish on the way to {last.name}, {shrunk:.0e} of those after {first.name}, and gradients with them: use "
            f"Xavier or He initialisation (pinn.glorot, pinn.he), whose weights are larger, {_SKIP}, {_NORMAL}."
        ]
    if ratio > _LEVEL or shrunk > _LEVEL:
        return [
            f"Gradients explode: those of {first.name} are {ratio:.0e} times those of {last.name}, features grow {shrunk:.0e} "
            f"times: use Xavier initialisation (pinn.glorot), whose weights are smaller, {_NORMAL}, and "
            "optax.clip_by_global_norm."
        ]
    return []


def _flat(layers: Sequence[LayerDiagnosis]) -> list[str]:
    dead = [layer for layer in layers if layer.dead >= _MOST_DEAD]
    flat = [layer for layer in layers if layer.saturation > _MOST_FLAT]
    if dead and dead[0].saturation <= _MOST_FLAT:
        return [
            f"{dead[0].dead:.0%} of the units of {dead[0].name} are flat at every point: use He initialisation (pinn.he), "
            f"{_NORMAL}, a non-saturating activation without a flat half (pinn.gelu, silu), smaller steps."
        ]
    return [
        f"{layer.saturation:.0%} of {layer.name} is saturated, in the flat part of its activation: scale the inputs to [-1, 1], "
        f"use Xavier initialisation (pinn.glorot), {_NORMAL}, or a non-saturating activation (pinn.gelu, relu)."
        for layer in flat[:1]
    ]
