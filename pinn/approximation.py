"""What stands for the fields: one ansatz, several side by side, a sum u + e, or slabs of time. All are used the same way:

    approximation.values(state, point)   -> [F]   the fields at one point, for numbers and for jets
    read(approximation, expression, ...) -> [L]   the leaves that an expression reads, derivatives and all

Values that are given, and met by construction, are not part of it: `lifted` gives theirs, to be added.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from operator import add
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from .ansatz import Ansatz
from .derivatives import Engine, Jet, Smooth, concatenate, nested_jvp, taylor
from .exact import Exact
from .expression import Expression, everywhere
from .frames import Leaf

State = Any
_MANY = 2**15  # coefficients of a slab, from which on slabs are evaluated one after the other, and
_TOGETHER = 64  # points at a time


class Approximation(Protocol):
    """A trial function: everything but the weights, which are passed in as `state`."""

    @property
    def fields(self) -> tuple[str, ...]: ...

    @property
    def engine(self) -> Engine: ...

    def values(self, state: State, point: Smooth) -> Smooth: ...


@dataclass(frozen=True)
class Together:
    """Several ansätze side by side, each for its own fields; the state is a tuple of theirs."""

    fields: tuple[str, ...]
    parts: tuple[Ansatz, ...]

    @property
    def engine(self) -> Engine:
        engines = {part.engine for part in self.parts}
        return engines.pop() if len(engines) == 1 else nested_jvp

    def values(self, state: State, point: Smooth) -> Smooth:
        found = {}
        for part, weights in zip(self.parts, state, strict=True):
            values = part.values(weights, point)
            found |= {name: values[i : i + 1] for i, name in enumerate(part.fields)}
        return concatenate([found[name] for name in self.fields])

    def basis(self, state: State, point: Smooth) -> dict[str, Smooth]:
        """For each field, the functions that its last layer combines."""
        found: dict[str, Smooth] = {}
        for part, weights in zip(self.parts, state, strict=True):
            found |= part.basis(weights, point)
        return {name: found[name] for name in self.fields}


@dataclass(frozen=True)
class Sum:
    """u + e: an approximation and a correction of it; the state is the pair of theirs."""

    first: Approximation
    second: Approximation

    @property
    def fields(self) -> tuple[str, ...]:
        return self.first.fields

    @property
    def engine(self) -> Engine:
        return taylor if self.first.engine is taylor and self.second.engine is taylor else nested_jvp

    def values(self, state: State, point: Smooth) -> Smooth:
        return self.first.values(state[0], point) + self.second.values(state[1], point)


@dataclass(frozen=True)
class Slabs:
    """Slabs of time, one after the other, each a sum of its own features: in slab k, from t_k on,

        u(t, x) = G(t, x) + φ(t, x) s N_k(τ, x),   τ in [0, 1] from its start to its end

    that begins, as nearly as these features can, with what the slab before it ended with (see `handover`). All slabs of one run
    have the same features, and those of the other runs have coefficients of zero there.

    The state is a tuple, for each run {"train": {"coefficients": [K, M + 1, F]}, "frozen", "edges": [K + 1], "box": [2, d],
    "steps": [L, 2, J]}, K slabs of M features for F fields.

    Attributes:
        runs: an ansatz for each, of random features, in order.
        axis: of time.
    """

    runs: tuple[Ansatz, ...]
    axis: int

    @property
    def fields(self) -> tuple[str, ...]:
        return self.runs[0].fields

    @property
    def engine(self) -> Engine:
        return taylor

    def values(self, state: State, point: Smooth) -> Smooth:
        now = (point.value if isinstance(point, Jet) else point)[self.axis]
        return reduce(add, [self._of_run(ansatz, run, now, point) for ansatz, run in zip(self.runs, state, strict=True)])

    def _of_run(self, ansatz: Ansatz, run: State, now: Array, point: Smooth) -> Smooth:
        edges = run["edges"]
        alone = edges.shape[0] == 2  # a number that is known is no copy of the coefficients for each point
        k = 0 if alone else jnp.clip(jnp.sum(now > edges) - 1, 0, edges.shape[0] - 2)
        return ansatz.values(slab_state(run, self.axis, k), point)


def empty_run(state: State, slabs: int, width: int, edges: Sequence[float]) -> State:
    """The state of a run of slabs whose coefficients are zero, in NumPy arrays; `state` is that of its ansatz."""
    dtype = state["scale"].dtype
    tables = {"coefficients": np.zeros((slabs, width + 1, state["scale"].shape[0]), dtype)}
    rest = jax.tree.map(np.asarray, {name: state[name] for name in ("frozen", "box", "steps")})
    return {"train": tables, "edges": np.asarray(edges, dtype), **rest}


def slab_state(run: State, axis: int, k: Any) -> State:
    """The state of the ansatz of one slab; in NumPy where the run is, and can be traced."""
    edges, coefficients = run["edges"], run["train"]["coefficients"][k]
    start, length = (np.zeros(run["box"].shape, edges.dtype) for _ in range(2))
    start[0, axis] = length[1, axis] = 1
    box = run["box"] * (1 - start - length) + start * edges[k] + length * (edges[k + 1] - edges[k])
    output = {"kernel": coefficients[:-1], "bias": coefficients[-1]}
    scale = np.ones(coefficients.shape[1], coefficients.dtype)
    return {"train": {"output": output}, "frozen": run["frozen"], "scale": scale, "box": box, "steps": run["steps"]}


def summands(approximation: Approximation, state: State) -> list[tuple[Approximation, State]]:
    """What an approximation is the sum of, a run of slabs at a time: what is compiled for one run serves all alike."""
    if isinstance(approximation, Sum):
        return summands(approximation.first, state[0]) + summands(approximation.second, state[1])
    if isinstance(approximation, Slabs):
        return [(replace(approximation, runs=(a,)), (run,)) for a, run in zip(approximation.runs, state, strict=True)]
    return [(approximation, state)]


def slab_by_slab(
    function: Callable[[State, Any], Array], approximation: Approximation, state: State, times: NDArray | None, rows: Any
) -> Array:
    """A function of a state and rows, arrays [n, …], each row with the slab that holds at its time, [n], where that is known.

    All rows at once would each get a copy of the coefficients of their slab: of one run with many, slabs go one after the other.
    """
    run = state[0] if isinstance(approximation, Slabs) and len(state) == 1 else None
    if run is None or times is None or math.prod(run["train"]["coefficients"].shape[1:]) < _MANY or len(run["edges"]) == 2:
        return function(state, rows)
    edges = np.asarray(run["edges"])
    slabs, found = np.clip(np.searchsorted(edges, times) - 1, 0, len(edges) - 2), None
    for k in np.unique(slabs):
        here = np.flatnonzero(slabs == k)
        filled = np.concatenate([here, np.repeat(here[-1:], -len(here) % _TOGETHER)])
        train = {"coefficients": run["train"]["coefficients"][k : k + 1]}
        part = function(
            ({**run, "train": train, "edges": run["edges"][k : k + 2]},), jax.tree.map(lambda a, i=filled: a[i], rows)
        )
        found = np.zeros((len(times), *part.shape[1:]), part.dtype) if found is None else found
        found[here] = np.asarray(part)[: len(here)]
    return jnp.asarray(found)


def read(approximation: Approximation, expression: Expression, state: State, extras: Mapping[str, Array], point: Array) -> Array:
    """The leaves [L] of an expression at one point [d]."""

    def fields(point: Smooth) -> Smooth:
        return approximation.values(state, point)

    return read_values(expression, approximation.fields, fields, approximation.engine, extras, point)


def lifted(exact: Exact, expression: Expression, fields: tuple[str, ...], extras: Mapping[str, Array], point: Array) -> Array:
    """The leaves [L] of the values that are met by construction; they depend on no weight."""
    if not any(map(exact.lifts, fields)):
        return jnp.zeros(expression.size, point.dtype)

    def given(point: Array) -> Array:
        return exact.values(fields, point, extras)

    return read_values(expression, fields, given, nested_jvp, extras, point)


def read_values(
    expression: Expression, names: tuple[str, ...], values: Callable, engine: Engine, extras: Mapping[str, Array], point: Array
) -> Array:
    """The leaves [L] of an expression at one point [d], of fields given as a function of the point, [d] -> [F]."""
    leaves: dict[Leaf, Array] = {}
    for site, place in zip(expression.sites, expression.places(point, extras), strict=True):
        demand = expression.demand(site)
        indices = sorted({index for wanted in demand.values() for index in wanted})
        found = everywhere(lambda p, indices=indices: engine(values, p, indices), place)
        for name, wanted in demand.items():
            leaves |= {Leaf(site, name, index): found[index][..., names.index(name)] for index in wanted}
    return expression.flat(leaves)


@lru_cache(maxsize=256)
def together(fields: tuple[str, ...], parts: tuple[Ansatz, ...]) -> Together:
    """One object for equal parts, so that what is compiled for it is found again."""
    return Together(fields, parts)
