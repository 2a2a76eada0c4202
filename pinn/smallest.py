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

import jax
import numpy as np
from jax.scipy.linalg import block_diag

from .approximation import summands
from .estimate import Trust, error_points
from .families import Family, feature_ansatz
from .features import Setup
from .inverse import is_inverse
from .loss import Objective, Weights, draw, objective, read_leaves, with_given
from .memory import if_it_fits
from .rows import functions_at, least_squares, linearised, row_scales
from .training import Outcome

_WIDTH = 300  # features, at most, that v is of
_FIRMLY = 1.0  # σ, in the estimated error, up to which an error may be unseen
_SHIFT = 1e-7  # δ, relative to rows of unit size
_STARTS = 4  # functions g


def held(setup: Setup, outcome: Outcome) -> Outcome:
    """The same with no trust where an error could hide: along a function that the equations about the solution hardly see."""
    problem, judged = setup.problem, outcome.estimate
    if problem.is_linear or is_inverse(problem) or judged.trust is Trust.UNKNOWN:
        return outcome
    width = min(outcome.width, _WIDTH)
    smallest = if_it_fits(partial(smallest_singular_value, setup, outcome.goal, outcome.weights, outcome.family, width))
    if smallest is None or smallest > _FIRMLY * judged.worst:
        return outcome
    reason = (
        f"some function hardly changes the equations about the solution (σ = {smallest:.1g}): no error along it would be seen"
    )
    return replace(outcome, estimate=replace(judged, trust=Trust.UNKNOWN, reason=reason))


def smallest_singular_value(setup: Setup, goal: Objective, weights: Weights, family: Family, width: int) -> float:
    """σ about a solution, over features of a family, from above."""
    problem, seed = setup.problem, (*setup.seed, 950)
    basis, empty = feature_ansatz(problem, setup.exact, family, width, (*seed, 1), setup.dtype)
    own = objective(problem, basis, setup.exact)
    batches = draw(own, setup.counts(width), (*seed, 2), setup.dtype, steep=family.steep, gather=True)
    read = [read_leaves(own, part, state, batches) for part, state in summands(goal.approximation, weights.state)]
    systems = linearised(own, weights._replace(state=empty), basis, empty, with_given(batches, *read))
    matrices, scales = [system.matrix for system in systems], row_scales(systems, own.terms)

    points = error_points(setup)
    table = jax.vmap(block_diag)(*(block[:, None] for block in functions_at(basis, empty, points).values()))  # [n, F, P]
    unit = 1 / np.maximum(np.sqrt(np.einsum("nfp,nfp->f", table, table)), 1e-300)
    wanted = np.asarray(table) @ np.random.default_rng((*seed, 3)).normal(size=(table.shape[2], _STARTS))
    wanted /= np.sqrt(np.mean(wanted**2, axis=(0, 1)))

    nothing = [np.zeros((*matrix.shape[:2], _STARTS)) for matrix in matrices]
    found = np.asarray(least_squares([*matrices, table], [*nothing, wanted], [*scales, _SHIFT * unit])[0])
    pairs = zip(matrices, scales, strict=True)
    residual = sum(np.sum(((np.asarray(matrix) @ found) * scale[:, None]) ** 2, axis=(0, 1)) for matrix, scale in pairs)
    values = [np.asarray(problem.folded(points, column)) * unit for column in np.moveaxis(np.asarray(table) @ found, 2, 0)]
    return float(np.sqrt(np.min(residual / np.maximum(np.sum(np.square(values), axis=(1, 2)), 1e-300))))
