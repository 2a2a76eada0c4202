"""The ansatz: a network, the scaling around it, and the conditions built into it.

    u_f(p) = G_f(p) + φ_f(p) s_f N_f(encode(p))

with N the network, s_f the size of the field, and G, φ from `exact` (0 and 1 where nothing is built in). What is here is the
second summand: G does not depend on the weights, and is evaluated once for a set of points.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from .derivatives import Engine, Smooth, concatenate, nested_jvp, taylor
from .errors import NetworkError
from .exact import Exact
from .networks import Encoding, Network
from .steep import climb, tables

# {"train": trained weights, "frozen": the rest, "scale": [F], "box": [2, d], "steps": [L, 2, J]}, plain dicts of arrays
State = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Ansatz:
    """Everything about the trial function but its weights, which are passed in: `ansatz.values(state, extras, point)`.

    Attributes:
        fields: names, in the problem's order.
        axes: the coordinates that the network sees.
        graph: the network's structure, from `nnx.split`.
        encoding: what the network sees of a point.
        exact: the conditions built in.
        engine: how its derivatives are taken.
    """

    fields: tuple[str, ...]
    axes: tuple[int, ...]
    graph: nnx.GraphDef
    encoding: Encoding
    exact: Exact
    engine: Engine

    def network(self, state: State) -> nnx.Module:
        return nnx.merge(self.graph, state["train"], state["frozen"])

    def encoded(self, state: State, point: Smooth) -> Smooth:
        """What the network sees: the point scaled to the state's box, which a time slab makes smaller than the domain."""
        if len(self.axes) == point.shape[0]:
            return self.encoding(point, state["box"], state["steps"])
        axes = np.array(self.axes)
        return self.encoding(point[axes], state["box"][:, axes], state["steps"])

    def values(self, state: State, point: Smooth) -> Smooth:
        """φ s N for every field, [F], at one point [d]."""
        out = self.network(state)(self.encoded(state, point)) * state["scale"]
        factors = [self.factor(name, state, point) for name in self.fields]
        return concatenate([out[i : i + 1] * factor for i, factor in enumerate(factors)])

    def factor(self, name: str, state: State, point: Smooth) -> Smooth:
        """φ of a field as a column of one, or 1.0; beside a layer it rises as steeply as the layer does."""
        value = self.exact.factor(name, point, state["box"], self._shares(state, point))
        return value if isinstance(value, float) else value[None]

    def _shares(self, state: State, point: Smooth) -> dict[int, Smooth]:
        shares = {}
        for steps, place in zip(state["steps"], self.encoding.steep, strict=True):
            axis = self.axes[place]
            if not self.encoding.periodic[place]:
                z = (point[axis : axis + 1] - state["box"][0, axis]) * (2 / state["box"][1, axis]) - 1.0
                low, high = (climb(jnp.full(1, end, steps.dtype), steps, False) for end in (-1.0, 1.0))
                shares[axis] = ((climb(z, steps, False) - low) / (high - low))[0]
        return shares

    def basis(self, state: State, point: Smooth) -> dict[str, Smooth]:
        """For each field, the functions [M + 1] that its last layer combines: φ s (hidden, 1)."""
        network = self.network(state)
        if not isinstance(network, Network):
            raise NetworkError(
                f"{type(network).__name__} has no hidden(x) and output layer to solve for; derive it from pinn.Network."
            )
        hidden = network.hidden(self.encoded(state, point))
        functions = concatenate([hidden, jnp.ones(1, hidden.dtype)])
        alike = {pattern: functions * self.factor(name, state, point) for name, pattern in self._patterns().items()}
        return {name: alike[self.exact.pattern(name)] * state["scale"][i] for i, name in enumerate(self.fields)}

    def _patterns(self) -> dict[str, tuple]:
        """One field for each different φ."""
        first: dict[tuple, str] = {}
        for name in self.fields:
            first.setdefault(self.exact.pattern(name), name)
        return {name: pattern for pattern, name in first.items()}


def choose_engine(network: nnx.Module) -> Engine:
    """Taylor arithmetic for the networks that it passes through, nested jvp for any other."""
    return taylor if isinstance(network, Network) else nested_jvp


@lru_cache(maxsize=256)
def _ansatz(*attributes) -> Ansatz:
    """One object for equal attributes, so that what is compiled for it serves every later solve of the same shapes."""
    return Ansatz(*attributes)


def wrap(
    network: nnx.Module,
    fields: tuple[str, ...],
    axes: tuple[int, ...],
    encoding: Encoding,
    exact: Exact,
    scale: Array,
    engine: Engine,
    steps: Array | None = None,
    box: np.ndarray | None = None,
) -> tuple[Ansatz, State]:
    """An ansatz around a network, and its weights, the trained ones apart from the frozen.

    `box` [2, d], lower ends and widths, is where the network is at home: the whole domain where none is given.
    """
    graph, train, frozen = nnx.split(network, nnx.Param, ...)
    box = np.array([exact.lower, np.subtract(exact.upper, exact.lower)]) if box is None else box
    weights = {"train": nnx.to_pure_dict(train), "frozen": nnx.to_pure_dict(frozen), "scale": scale}
    weights["box"] = jnp.asarray(box, scale.dtype)
    weights["steps"] = tables((), scale.dtype) if steps is None else steps
    return _ansatz(fields, axes, graph, encoding, exact, engine), weights


def check_maker(make: object) -> None:
    """Raise `NetworkError` unless it can be called as `make(inputs, outputs, rngs=..., dtype=...)`."""
    fault = "" if callable(make) and not isinstance(make, nnx.Module) else "that is no function"
    if not fault:
        try:
            inspect.signature(make).bind(1, 1, rngs=None, dtype=None)  # pyright: ignore[reportArgumentType]
        except TypeError as error:
            fault = str(error)
        except ValueError:  # no signature to look at
            return
    if fault:
        raise NetworkError(
            "network= needs a callable (inputs, outputs, *, rngs, dtype) -> nnx.Module, such as pinn.MLP or "
            f"functools.partial(pinn.MLP, width=40); got {make!r:.60}: {fault}."
        )


def make_network(make: Callable, inputs: int, outputs: int, rngs: nnx.Rngs, dtype: jnp.dtype) -> nnx.Module:
    """A fresh network from a user's callable, checked.

    Raises:
        NetworkError: `make` does not return a module that maps [inputs] to [outputs].
    """
    check_maker(make)
    network = make(inputs, outputs, rngs=rngs, dtype=dtype)
    if not isinstance(network, nnx.Module):
        raise NetworkError(f"network= must make a flax.nnx Module; it returned {type(network).__name__}.")
    shape = jnp.shape(network(jnp.zeros(inputs, dtype)))
    if shape != (outputs,):
        raise NetworkError(
            f"The network maps a point of shape ({inputs},) to shape {shape}; it must return one value for each field, "
            f"({outputs},). It is called at one point, without a batch axis."
        )
    return network
