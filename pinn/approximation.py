"""What stands for the fields: one ansatz, several side by side, or a sum u + e. All are used the same way:

approximation.values(state, extras, point)   -> [F]   the fields at one point, for numbers and for jets
read(approximation, expression, ...)         -> [L]   the leaves that an expression reads, derivatives and all
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import jax.numpy as jnp
from jax import Array

from .ansatz import Ansatz
from .derivatives import Engine, Jet, concatenate, nested_jvp, taylor
from .expression import Expression
from .operators import Leaf

State = Any


class Approximation(Protocol):
    """A trial function: everything but the weights, which are passed in as `state`."""

    @property
    def fields(self) -> tuple[str, ...]: ...

    @property
    def engine(self) -> Engine: ...

    def values(self, state: State, extras: Mapping[str, Array], point: Array | Jet) -> Array | Jet: ...


@dataclass(frozen=True)
class Together:
    """Several ansätze side by side, each for its own fields; the state is a tuple of theirs."""

    fields: tuple[str, ...]
    parts: tuple[Ansatz, ...]

    @property
    def engine(self) -> Engine:
        engines = {part.engine for part in self.parts}
        return engines.pop() if len(engines) == 1 else nested_jvp

    def values(self, state: State, extras: Mapping[str, Array], point: Array | Jet) -> Array | Jet:
        found = {}
        for part, weights in zip(self.parts, state, strict=True):
            values = part.values(weights, extras, point)
            found |= {name: values[i : i + 1] for i, name in enumerate(part.fields)}
        return concatenate([found[name] for name in self.fields])

    def basis(self, state: State, point: Array | Jet) -> dict[str, Array | Jet]:
        """For each field, the functions that its last layer combines."""
        found: dict[str, Array | Jet] = {}
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

    def values(self, state: State, extras: Mapping[str, Array], point: Array | Jet) -> Array | Jet:
        return self.first.values(state[0], extras, point) + self.second.values(state[1], extras, point)


def read(approximation: Approximation, expression: Expression, state: State, extras: Mapping[str, Array], point: Array) -> Array:
    """The leaves [L] of an expression at one point [d]."""
    values: dict[Leaf, Array] = {}
    for site, place in zip(expression.sites, expression.places(point, extras), strict=True):
        demand = expression.demand(site)
        indices = sorted({index for wanted in demand.values() for index in wanted})
        found = approximation.engine(lambda p: approximation.values(state, extras, p), place, indices)
        for name, wanted in demand.items():
            column = approximation.fields.index(name)
            values |= {Leaf(site, name, index): found[index][column] for index in wanted}
    return jnp.stack([values[leaf] for leaf in expression.leaves])


@lru_cache(maxsize=256)
def together(fields: tuple[str, ...], parts: tuple[Ansatz, ...]) -> Together:
    """One object for equal parts, so that what is compiled for it is found again."""
    return Together(fields, parts)
