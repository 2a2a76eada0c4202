"""How wrong is the answer? The error estimated by defect correction, without a reference.

With e the error, F(u + e) = 0 becomes to first order J(u) e = -F(u), with the conditions' own misfits on the right. It is
solved by least squares in features that are fresh (a network's own directions cannot see its error once it has converged) and
richer than those behind u. Three gates decide how far the estimate can be trusted:

    ρ     what the features leave of the residual:  ‖F(u) + J(u) e‖ / ‖F(u)‖ at new points
    nl    what the linearisation leaves of it:      ‖F(u + e)‖ / ‖F(u)‖ at new points
    gap   how far two draws of features disagree:   |‖e₁‖ - ‖e₂‖| / max(‖e₁‖, ‖e₂‖), worst field

After Wang & Lai's multistage networks (arXiv 2307.08934) in its use of a second set of functions for the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from . import sampling
from .approximation import Approximation, Sum
from .exact import Exact
from .features import Family, Setup, add_coefficients, candidates, correction, feature_ansatz, field_sizes, row_scales, term_rows
from .loss import Objective, Weights, draw, objective, residuals

_TRUSTED, _ROUGH = 0.1, 0.5
_POINTS = 4000  # that norms are taken over
_ROUND_OFF = 50.0  # in units of the machine's precision


class Trust(Enum):
    """How far an error estimate can be relied on."""

    TRUSTED = "trusted: within a factor 2"
    ROUGH = "rough: within a factor 5"
    UNKNOWN = "unknown: the true error may be far larger"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Estimate:
    """The estimated relative L2 error of each field, and why to trust it.

    Attributes:
        errors: by field; absolute where the field is zero.
        trust, reason: how far, and why.
        approximation, weights: the corrected solution u + e.
    """

    errors: dict[str, float]
    trust: Trust
    reason: str
    approximation: Approximation
    weights: Weights

    @property
    def worst(self) -> float:
        """The largest of the fields' errors."""
        return max(self.errors.values())


def estimate(setup: Setup, goal: Objective, weights: Weights, family: Family, width: int, exact: Exact) -> Estimate:
    """Estimate the error of an approximation.

    Args:
        setup: the problem, seeds and precision.
        goal, weights: what is judged.
        family, width: the features for the error; richer than what made the solution.
        exact: the conditions that the solution meets by construction.
    """
    draws = [_defect(setup, goal, weights, family, width, exact, index) for index in (0, 1)]
    points = jnp.asarray(sampling.measure_points(setup.problem.domain, _POINTS), setup.dtype)
    sizes = field_sizes(goal, weights, points)
    found = [dict(zip(setup.problem.fields, _sizes(d.basis, d.state, points).tolist(), strict=True)) for d in draws]
    eps = float(jnp.finfo(setup.dtype).eps)
    errors, gaps = {}, []
    for name in setup.problem.fields:
        size = sizes[name] if sizes[name] > 0 else 1.0
        one, two = found[0][name] / size, found[1][name] / size
        errors[name] = max(one, two, _ROUND_OFF * eps)
        gaps.append(abs(one - two) / max(one, two, _ROUND_OFF * eps))
    rho, nl, gap = max(d.rho for d in draws), max(d.nl for d in draws), max(gaps)
    trust, reason = _judge(rho, nl, gap, max(errors.values()), eps)
    both = Sum(goal.approximation, draws[0].basis)
    return Estimate(errors, trust, reason, both, Weights((weights.state, draws[0].state), weights.unknown))


@partial(jax.jit, static_argnums=0)
def _sizes(correction: Approximation, state: tuple, points: Array) -> Array:
    values = jax.vmap(lambda p: correction.values(state, p))(points)
    return jnp.sqrt(jnp.mean(values**2, axis=0))


def choose_family(setup: Setup, goal: Objective, weights: Weights, exact: Exact, width: int = 200) -> Family:
    """The family of features that leaves the least of a solution's residual unexplained."""
    families = candidates(setup.problem.domain.dimension)
    return min(families, key=lambda family: _defect(setup, goal, weights, family, width, exact, 2).rho)


@dataclass(frozen=True)
class _Defect:
    basis: Any
    state: tuple
    rho: float
    nl: float


def _defect(setup: Setup, goal: Objective, weights: Weights, family: Family, width: int, exact: Exact, index: int) -> _Defect:
    problem, seed, dtype = setup.problem, (*setup.seed, 900 + index), setup.dtype
    basis, state = feature_ansatz(problem, exact, family, width, (*seed, 1), dtype)
    batches = draw(goal, setup.counts(width), (*seed, 2), dtype)
    coefficients, systems = correction(goal, weights, basis, state, batches)
    state = add_coefficients(basis, state, coefficients, jnp.asarray(1.0, dtype))
    scales = [np.asarray(row_scales(rows, term)) for rows, term in zip(systems, goal.terms, strict=True)]
    fresh = draw(goal, setup.counts(width), (*seed, 3), dtype)
    checks = [term_rows(goal, term, basis, weights, state, batch) for term, batch in zip(goal.terms, fresh, strict=True)]
    before = _norm([np.asarray(rows.residual) for rows in checks], scales)
    left = [np.asarray(rows.residual) + np.asarray(rows.matrix) @ np.asarray(coefficients) for rows in checks]
    rho = _norm(left, scales) / max(before, 1e-300)
    nl = rho
    if not problem.is_linear:
        corrected = objective(problem, Sum(goal.approximation, basis), exact)
        after = residuals(corrected, Weights((weights.state, state), weights.unknown), fresh)
        nl = _norm([np.asarray(v) for v in after], scales) / max(before, 1e-300)
    return _Defect(basis, state, _finite(rho), _finite(nl))


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else np.inf


def _norm(values: Sequence[np.ndarray], scales: Sequence[np.ndarray]) -> float:
    return float(np.sqrt(sum(np.sum((v * s) ** 2) for v, s in zip(values, scales, strict=True))))


def _judge(rho: float, nl: float, gap: float, error: float, eps: float) -> tuple[Trust, str]:
    if error <= 2 * _ROUND_OFF * eps:
        return Trust.TRUSTED, "the residual is at round-off"
    worst = max(rho, nl, gap)
    measures = f"ρ = {rho:.1g}, nl = {nl:.1g}, draws differ by {gap:.0%}"
    if worst < _TRUSTED:
        return Trust.TRUSTED, f"the error equation is resolved, linear enough, and two draws agree ({measures})"
    trust = Trust.ROUGH if worst < _ROUGH else Trust.UNKNOWN
    if worst == rho:
        return trust, f"the features leave part of the residual unexplained: a layer, a shock or noise ({measures})"
    if worst == nl:
        return trust, f"the solution is not yet close enough to linearise about ({measures})"
    return trust, f"two draws of features disagree: the conditions may not fix one solution ({measures})"
