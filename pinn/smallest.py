"""How firmly a solution of a nonlinear problem is held: the smallest singular value of the equations linearised about it.

With J the linearised equations and conditions, rows brought to unit size, and v over the features,

    σ = min over v of ‖J v‖ / ‖v‖

A function v with J v = 0 leaves no residual: a correction never sees it, so that an error along v is missed however richly it is
estimated. An interior layer is such a case: ε y'' = y y' with y(±1) = ∓1 fixes where the layer is up to e^(-1/ε) only. And J is
that of an approximation: below the size of its error, σ says nothing of the J of the solution (Newton and Kantorovich).

Found by a step of inverse iteration: c minimises ‖J v‖² + δ² ‖v - g‖² for random g, so that only what J hardly sees is left.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .approximation import Together, summands
from .estimate import Trust, error_points
from .families import Family, feature_ansatz
from .features import Setup, least_squares, linearised, row_scales
from .loss import Objective, Weights, draw, objective, read_leaves, with_given
from .memory import if_it_fits
from .training import Outcome

_WIDTH = 300  # features, at most, that v is of
_FIRMLY = 1.0  # σ, in the estimated error, up to which an error may be unseen
_SHIFT = 1e-7  # δ, relative to rows of unit size
_STARTS = 4  # functions g
_CHUNK = 2048  # points at a time


def held(setup: Setup, outcome: Outcome) -> Outcome:
    """The same with no trust where an error could hide: along a function that the equations about the solution hardly see."""
    problem, judged = setup.problem, outcome.estimate
    whole = not outcome.edges and outcome.level is None
    if problem.is_linear or problem.parameters or not whole or judged.trust is Trust.UNKNOWN:
        return outcome
    width = min(outcome.width, _WIDTH)
    smallest = if_it_fits(partial(smallest_singular_value, setup, outcome.goal, outcome.weights, outcome.family, width))
    if smallest is None or smallest > _FIRMLY * judged.worst:
        return outcome
    reason = (
        f"some function hardly changes the equations about the solution (σ = {smallest:.1g}): no error along it would be seen"
    )
    return replace(outcome, estimate=replace(judged, trust=Trust.UNKNOWN, reason=reason))


@partial(jax.jit, static_argnums=0)
def _values(basis: Together, state: tuple, points: Array) -> Array:
    """What each function adds to each field at points, [n, F, P]."""

    def one(point: Array) -> Array:
        found = list(basis.basis(state, point).values())
        return jax.scipy.linalg.block_diag(*(functions[None] for functions in found))

    return jax.lax.map(one, points, batch_size=_CHUNK)


def smallest_singular_value(setup: Setup, goal: Objective, weights: Weights, family: Family, width: int) -> float:
    """σ about a solution, over features of a family, from above."""
    problem, seed = setup.problem, (*setup.seed, 950)
    basis, empty = feature_ansatz(problem, setup.exact, family, width, (*seed, 1), setup.dtype)
    own = objective(problem, basis, setup.exact)
    batches = draw(own, setup.counts(width), (*seed, 2), setup.dtype, steep=family.steep)
    read = [read_leaves(own, part, state, batches) for part, state in summands(goal.approximation, weights.state)]
    systems = linearised(own, weights._replace(state=empty), basis, empty, with_given(batches, *read))
    points = error_points(setup)
    rows = [np.asarray(system.matrix) for system in systems] + [np.asarray(_values(basis, empty, points))]
    unit = 1 / np.maximum(np.sqrt(np.einsum("nfp,nfp->f", rows[-1], rows[-1])), 1e-300)
    scales: list[Any] = [*row_scales(systems, own.terms), unit]

    drawn = np.random.default_rng((*seed, 3)).normal(size=(rows[-1].shape[2], _STARTS))
    wanted = rows[-1] @ drawn
    wanted /= np.sqrt(np.mean(wanted**2, axis=(0, 1)))
    targets = [np.zeros((*each.shape[:2], _STARTS)) for each in rows[:-1]] + [wanted]
    found = np.asarray(least_squares([jnp.asarray(each) for each in rows], targets, [*scales[:-1], _SHIFT * unit])[0])
    residual = sum(
        np.sum(((each @ found) * scale[:, None]) ** 2, axis=(0, 1)) for each, scale in zip(rows[:-1], scales, strict=False)
    )
    values = [np.asarray(problem.folded(points, column)) * unit for column in np.moveaxis(rows[-1] @ found, 2, 0)]
    return float(np.sqrt(np.min(residual / np.maximum(np.sum(np.square(values), axis=(1, 2)), 1e-300))))
