"""From a solution to what a solve can begin with: `solve(problem, start=solution)`."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .choices import Choice
from .continuation import Start
from .errors import ProblemError, ProblemWarning, listing
from .problem import Problem
from .solution import Solution


def start_from(solution: Any, problem: Problem, dtype: Any) -> Start:
    """What a solve of a problem begins with.

    Raises:
        ProblemError: no `Solution`, one of other fields or coordinates, or one that is undefined somewhere.

    Warns:
        ProblemWarning: the domain reaches beyond that of the solution.
    """
    if not isinstance(solution, Solution):
        advice = "A saved one is loaded with its problem: pinn.load(path, problem)."
        raise ProblemError(f"start= needs a Solution, such as pinn.solve returns; got {type(solution).__name__}. {advice}")
    old = solution.problem
    if old.depends != problem.depends:
        raise ProblemError(
            f"start= is a solution for the fields {_described(old)}, and this problem has {_described(problem)}. "
            "Begin from a solution of the same fields and coordinates."
        )
    if old.domain.coordinates != problem.domain.coordinates:
        given, needed = listing(old.domain.coordinates), listing(problem.domain.coordinates)
        raise ProblemError(f"start= is a solution in the coordinates {given}, and this problem has {needed}.")
    weights = jax.tree.map(
        lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, solution.weights
    )
    if not all(
        bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(weights) if jnp.issubdtype(leaf.dtype, jnp.floating)
    ):
        raise ProblemError(f"start= is a solution that is not finite: {solution.status}. Leave it out, or begin from another.")
    (low, high), (lower, upper) = old.domain.bounds, problem.domain.bounds
    beyond = (lower < low - 1e-9 * (high - low)) | (upper > high + 1e-9 * (high - low))
    for axis in np.flatnonzero(beyond):
        warnings.warn(
            f"start= is known for {low[axis]:g} <= {old.domain.coordinates[axis]} <= {high[axis]:g}; what this problem asks of "
            "it beyond is extrapolated.",
            ProblemWarning,
            stacklevel=4,
        )
    error = max(solution.error_estimate.values())
    return Start(solution.goal, weights, solution.family, solution.width, not solution.setup.edges, error)


def start_choices(start: Start | None, linear: bool, widths: bool) -> list[Choice]:
    """What the plan says of it."""
    if start is None:
        return []
    shown = f"{start.goal.problem.name}, weights {start.digest}"
    if not widths:
        return [Choice("start", shown, "given: its weights, where the network is the same")]
    used = ["its features are tried first"] if start.whole else []
    used += [] if linear else ["Newton begins at its fields"]
    return [Choice("start", shown, f"given: {', '.join(used) or 'slabs of time say nothing of features for the whole'}")]


def _described(problem: Problem) -> str:
    return ", ".join(f"{name}({', '.join(names)})" for name, names in problem.depends.items())
