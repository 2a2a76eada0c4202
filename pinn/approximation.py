"""What stands for the fields: one ansatz, several side by side, or a sum u + e. All are used the same way:

    approximation.values(state, point)   -> [F]   the fields at one point, for numbers and for jets
    read(approximation, expression, ...) -> [L]   the leaves that an expression reads, derivatives and all

Values that are given, and met by construction, are not part of it: `lifted` gives theirs, to be added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import jax.numpy as jnp
from jax import Array

from .ansatz import Ansatz
from .derivatives import Engine, Smooth, concatenate, nested_jvp, taylor
from .exact import Exact
from .expression import Expression
from .operators import Leaf

State = Any


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


def read(approximation: Approximation, expression: Expression, state: State, extras: Mapping[str, Array], point: Array) -> Array:
    """The leaves [L] of an expression at one point [d]."""

    def fields(point: Smooth) -> Smooth:
        return approximation.values(state, point)

    return _read(expression, approximation.fields, fields, approximation.engine, extras, point)


def lifted(exact: Exact, expression: Expression, fields: tuple[str, ...], extras: Mapping[str, Array], point: Array) -> Array:
    """The leaves [L] of the values that are met by construction; they depend on no weight."""
    if not any(map(exact.lifts, fields)):
        return jnp.zeros(len(expression.leaves), point.dtype)

    def given(point: Array) -> Array:
        return exact.values(fields, point, extras)

    return _read(expression, fields, given, nested_jvp, extras, point)


def _read(
    expression: Expression, names: tuple[str, ...], values: Callable, engine: Engine, extras: Mapping[str, Array], point: Array
) -> Array:
    leaves: dict[Leaf, Array] = {}
    for site, place in zip(expression.sites, expression.places(point, extras), strict=True):
        demand = expression.demand(site)
        found = engine(values, place, sorted({index for wanted in demand.values() for index in wanted}))
        for name, wanted in demand.items():
            leaves |= {Leaf(site, name, index): found[index][names.index(name)] for index in wanted}
    return jnp.stack([leaves[leaf] for leaf in expression.leaves])


@lru_cache(maxsize=256)
def together(fields: tuple[str, ...], parts: tuple[Ansatz, ...]) -> Together:
    """One object for equal parts, so that what is compiled for it is found again."""
    return Together(fields, parts)
