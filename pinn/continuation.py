"""An earlier solution as the place where a solve begins: its family of features, its fields, its weights.

Parameter sweeps and continuation along a branch: Newton's method linearises first about the earlier solution, so that it ends
on the branch that this one lies on, and the search for features begins with those that served it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .approximation import State, Together, read_values, summands
from .derivatives import nested_jvp
from .exact import Exact
from .expression import Expression
from .families import Family
from .loss import Batch, Objective, Weights, by_chunks, physical, read_leaves, start_unknown
from .problem import Problem

_AS_GOOD = 100.0  # held-out residual of a family that needs no search, in the error of the solution that it served


@dataclass(frozen=True, eq=False)
class Start:
    """An earlier solution, of the same fields and coordinates.

    Attributes:
        goal, weights: what it is made of.
        family, width: the features that made or judged it.
        whole: whether these stand for the whole domain, not for slabs of time.
        error: its estimated error, worst field.
    """

    goal: Objective
    weights: Weights
    family: Family
    width: int
    whole: bool
    error: float

    @property
    def digest(self) -> str:
        """What tells its weights from others."""
        found = hashlib.sha256(repr(self.family).encode())
        for leaf in jax.tree.leaves(self.weights):
            found.update(np.asarray(leaf).tobytes())
        return found.hexdigest()[:12]

    def about(self, goal: Objective, unknown: dict[str, Array], batches: Sequence[Batch]) -> tuple[Batch, ...]:
        """The batches with all that their terms read of the earlier solution as given, its own conditions included."""
        totals = [
            _lifted(self.goal.problem, self.goal.exact, goal.problem, term.expression, self.weights.unknown, batch)
            for term, batch in zip(goal.terms, batches, strict=True)
        ]
        for part, state in summands(self.goal.approximation, self.weights.state):
            read = read_leaves(goal, part, state, batches, unknown)
            totals = [total + more for total, more in zip(totals, read, strict=True)]
        return tuple(batch._replace(given=total) for batch, total in zip(batches, totals, strict=True))

    def unknown(self, problem: Problem, dtype: Any) -> dict[str, Array]:
        """The parameters' search coordinates: what was found, or the initial value of one that was not unknown before."""
        found = physical(self.goal.problem, self.weights.unknown)
        fresh = start_unknown(problem, dtype)
        for name, parameter in problem.parameters.items():
            if name in found and (not parameter.positive or found[name] > 0):
                fresh[name] = jnp.asarray(jnp.log(found[name]) if parameter.positive else found[name], dtype)
        return fresh

    def families(self, others: Sequence[Family]) -> list[Family]:
        """Where the search for a family starts: with what served the earlier solution."""
        alike = self.family.singular == others[0].singular
        return [self.family, *others] if self.whole and alike else list(others)

    def widths(self, widths: Sequence[int]) -> tuple[int, ...]:
        """Those that are left when it begins with as many features as the earlier solution has."""
        below = [width for width in widths if width <= self.width]
        return tuple(widths[max(len(below) - 1, 0) :]) if self.whole else tuple(widths)

    def good(self, tol: float | None) -> float:
        """The held-out residual at which its family needs no search."""
        known = self.error if np.isfinite(self.error) else 0.0
        return min(max(_AS_GOOD * known, 0.01 * (tol or 0.0)), 1e-4)

    def state(self, approximation: Together, fresh: State) -> State | None:
        """Its weights in a network of the same structure and shapes; None where its network is another."""
        old, made = self.goal.approximation, tuple(part.graph for part in approximation.parts)
        if not isinstance(old, Together) or tuple(part.graph for part in old.parts) != made:
            return None
        parts = list(zip(fresh, self.weights.state, strict=True))
        if any(_shapes(new) != _shapes(known) for new, known in parts):
            return None
        kept = ("train", "frozen", "scale")
        return tuple({**new, **{name: known[name] for name in kept}} for new, known in parts)


def _shapes(state: State) -> Any:
    return [(jax.tree_util.keystr(path), leaf.shape, leaf.dtype) for path, leaf in jax.tree_util.tree_leaves_with_path(state)]


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _lifted(old: Problem, exact: Exact, new: Problem, expression: Expression, unknown: dict[str, Array], batch: Batch) -> Array:
    """The leaves of what an earlier solution met by construction, at the places of a new expression, [n, L]."""
    dtype = batch.points.dtype
    before, now = ({name: jnp.asarray(v, dtype) for name, v in problem.known().items()} for problem in (old, new))
    before |= physical(old, unknown)

    def one(row: Batch) -> Array:
        def given(point: Array) -> Array:
            return exact.values(old.fields, point, before)

        return read_values(expression, old.fields, given, nested_jvp, now | row.columns, row.points)

    return by_chunks(one, batch)
