"""A bound on the error of a solution of an ordinary differential equation: more than an estimate where it can be had.

With L the equations F linearised about the answer û, B the conditions, R = F(û) and b their misfit, the error e of a linear
problem is e = -∫ G(x, s) R(s) ds - Σ_j g_j(x) b_j. Any function ẽ, here that integral by Chebyshev collocation, leaves
R̃ = R + L ẽ and b̃ = b + B ẽ, and

    |e(x)| ≤ η = max |ẽ| + C max |R̃| + Σ_j c_j |b̃_j|,     C = max_x ∫ |G(x, s)| ds,  c_j = max_x |g_j(x)|.

In a nonlinear problem e = -L⁻¹ (R + Q(e)), where Q is quadratic. With K the largest second derivatives of F near û,

    h = C K η ≤ 1/2   ⇒   an exact solution lies within |e| ≤ η (1 - √(1 - 2h)) / h ≤ 2 η

(Newton and Kantorovich). Derivatives that F is not affine in have an η and a C of their own, and weigh in h by them.

Source: Kantorovich and Akilov, Functional Analysis (1982), chapter XVIII.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .conditions import Data
from .errors import SolutionError, listing
from .estimate import ROUNDING, shaken
from .green import SAMPLES, Green, Leaf, Reading, derivative, derivatives, greens_function, on_interval, ranks, structure
from .loss import Objective, Weights, field_values, objective
from .problem import Problem
from .values import Points

_DEGREES = (32, 64, 128, 256, 512)
_AGREE = 0.02  # between the constants of one degree and the next
_SMALL = 0.05  # of the bound, what the correction leaves, that a higher degree is not worth
_MARGIN = 1.05  # for what the constants may still lack
_SHAKES = 4  # of the weights, to see what rounding does
_FINER = 16  # times the degree, points that a polynomial is maximised over
_TUBE = 250  # of them, for second derivatives


@dataclass(frozen=True)
class Bound:
    """A bound on the largest error of each field, and what it rests on.

    Attributes:
        maximum: by field, ‖u - û‖∞ is at most this.
        green: by field, how far the error rises with each equation's residual: max_x ∫ |G(x, s)| ds.
        conditions: by field, the same for the misfits of each condition.
        residual: the largest residual of each equation at the sample points.
        kantorovich: h of the Newton-Kantorovich condition h ≤ 1/2; 0 for a linear problem.
        degree: of the Chebyshev polynomials that the constants were computed with.
        samples: how many points the maxima were taken over.
        assumptions: what is taken for granted, in sentences.
    """

    maximum: dict[str, float]
    green: dict[str, dict[str, float]]
    conditions: dict[str, dict[str, float]]
    residual: dict[str, float]
    kantorovich: float
    degree: int
    samples: int
    assumptions: tuple[str, ...] = field(repr=False)

    def __str__(self) -> str:
        lines = [f"|error of {name}| <= {value:.3g} everywhere" for name, value in self.maximum.items()]
        return "\n".join([*lines, *(f"  assuming that {sentence}" for sentence in self.assumptions)])


def bound(problem: Problem, goal: Objective, weights: Weights) -> Bound:
    """The bound on the error of an approximation; `Solution.bound` says what it takes.

    Raises:
        SolutionError: a problem that is no ordinary differential equation with as many conditions as its order, constants that
            no degree resolves, or an answer too far from a solution for the Newton-Kantorovich condition.
    """
    _check(problem)
    whole = objective(problem, goal.approximation, goal.exact, every=True)
    orders = ranks(problem)
    leaves = _leaves(problem, orders)
    before, best = None, None
    for degree in _DEGREES:
        green = greens_function(whole, weights, list(orders.values()), leaves, degree)
        if before is not None and np.all(np.abs(green.constants - before) <= _AGREE * green.constants.max(axis=1, keepdims=True)):
            steps = _step(green)
            best = steps if best is None or steps.total[0] < best.total[0] else best
            if np.all(steps.rest <= _SMALL * steps.total):
                break
        before = green.constants
    if best is None:
        raise SolutionError(
            f"bound(): Green's function of {problem.name} is not resolved by polynomials of degree {_DEGREES[-1]}: a thin layer, "
            "a coefficient that jumps, or conditions that fix no one solution. `error_estimate` and `trust` do not need it."
        )
    h = 0.0 if problem.is_linear else _kantorovich(whole, weights, best)
    return _told(problem, best, h, _rounding(whole, weights))


def _check(problem: Problem) -> None:
    what = None
    if problem.domain.dimension != 1:
        what = f"it has the coordinates {listing(problem.domain.coordinates)}"
    elif problem.regions is not None:
        what = f"it has the regions {listing(problem.regions.names)}"
    elif not problem.domain.is_box:
        what = f"its domain is {problem.domain!r}"
    elif problem.parameters:
        what = f"the parameters {listing(problem.parameters)} are unknown"
    elif any(isinstance(term.condition, Data) or isinstance(term.place, Points) for term in problem.terms):
        what = "it is fitted to data"
    elif any(term.expression.integrates for term in problem.terms):
        what = "it has integrals"
    elif len(problem.equations) != len(problem.fields):
        what = f"it has {len(problem.equations)} equations for the fields {listing(problem.fields)}"
    if what is not None:
        raise SolutionError(
            f"bound() is for ordinary differential equations on an Interval with as many equations as fields; {problem.name} is "
            f"none: {what}. `error_estimate` and `trust` say how wrong the solution probably is."
        )


def _leaves(problem: Problem, orders: Mapping[str, int]) -> list[Leaf]:
    """The values of the fields, and every derivative that an equation or condition is not affine in."""
    found = dict.fromkeys((name, 0) for name in problem.fields)
    for term in problem.terms:
        _, curved = structure(problem, term)
        found |= {(leaf.field, leaf.index[0]): None for leaf, slot in term.expression.slots.items() if curved[slot].any()}
    for name, order in found:
        if order >= max(orders[name], 1):
            raise SolutionError(
                f"bound(): {problem.name} is not linear in its highest derivative, order {order} of {name!r}, which Green's "
                "function does not control. Solve the equation for it, or use `error_estimate` and `trust`."
            )
    return list(found)


class _Step(NamedTuple):
    """η of every leaf, and the part of it that the correction leaves."""

    green: Green
    total: np.ndarray  # [leaves]
    rest: np.ndarray  # [leaves]


def _step(green: Green) -> _Step:
    problem, degree, inside = green.problem, green.degree, green.inside
    correction = -green.inverse @ green.targets
    left = np.abs(inside.values + inside.rows(problem, degree) @ correction).max(axis=0)
    ends = [np.abs(end.values + end.rows(problem, degree) @ correction).ravel() for end in green.ends]
    rest = _MARGIN * green.constants @ np.concatenate([left, *ends])
    angles = np.pi * (np.arange(_FINER * degree) + 0.5) / (_FINER * degree)
    x = on_interval(problem, np.cos(angles))
    between = np.cos(np.pi / 2 / _FINER)  # a polynomial rises by at most so much between so many Chebyshev points
    peaks = np.array([np.abs(derivative(problem, leaf, x, degree, correction)).max() for leaf in green.leaves]) / between
    return _Step(green, peaks + rest, rest)


def _kantorovich(whole: Objective, weights: Weights, step: _Step) -> float:
    """h: in the norm max over leaves of |.| / η, C times the largest second derivatives within twice η."""
    green, eta = step.green, np.maximum(step.total, 1e-300)
    every = green.inside.at(slice(None, None, SAMPLES // _TUBE))
    curved = np.concatenate([_curvature(whole, weights, part, green.leaves, eta) for part in [every, *green.ends]])
    h = float(np.max(_MARGIN * green.constants @ curved / eta))
    if not h <= 0.5:
        raise SolutionError(
            f"bound(): {green.problem.name} is not solved closely enough to prove a solution near: the Newton-Kantorovich "
            f"condition needs h <= 1/2, and h = {h:.2g}. Use a smaller tol=, more time, or refine(); where nothing lowers h, two "
            "solutions meet here (a fold) or the linearised problem is singular."
        )
    return h


def _curvature(whole: Objective, weights: Weights, part: Reading, leaves: list[Leaf], eta: np.ndarray) -> np.ndarray:
    """Σ |∂²F/∂u_α∂u_β| η_α η_β, the largest over the points and over fields within 2 η, of each source of a term."""
    expression = part.term.expression
    sizes = np.zeros(expression.size)
    for leaf, slot in expression.slots.items():
        if (leaf.field, leaf.index[0]) in leaves:
            sizes[slot] = eta[leaves.index((leaf.field, leaf.index[0]))]
    moved = np.flatnonzero(sizes)
    corners = _shifts(len(moved))
    shifts = np.zeros((len(corners), expression.size))
    shifts[:, moved] = corners * sizes[moved]
    extras = whole.extras(weights.unknown, jnp.float64)
    bends = [
        np.abs(derivatives(expression, extras, part.points, part.columns, part.leaves + shift)[1]) for shift in shifts
    ]  # [n, K, L, L] each
    found = (np.max(bends, axis=0) @ sizes) @ sizes
    return found.max(axis=0) if part.term.place is None else found.ravel()


def _rounding(whole: Objective, weights: Weights) -> np.ndarray:
    """How far rounding may move each field, [F]: large weights that cancel are no error that a residual shows."""
    x = jnp.asarray(on_interval(whole.problem, np.linspace(-1, 1, SAMPLES))[:, None], jax.tree.leaves(weights.state)[0].dtype)
    values = field_values(whole, weights, x)
    moved = [np.abs(field_values(whole, shaken(weights, (i,)), x) - values).max(axis=0) for i in range(_SHAKES)]
    return ROUNDING * np.max(moved, axis=0)


def _shifts(count: int) -> np.ndarray:
    """Every choice of -2, 0 and 2 for so many leaves; of more than four, some of them."""
    if count <= 4:
        return np.array([*product((-2.0, 0.0, 2.0), repeat=count)])
    return np.random.default_rng(0).choice((-2.0, 0.0, 2.0), (81, count))


def _told(problem: Problem, step: _Step, h: float, rounding: np.ndarray) -> Bound:
    green = step.green
    factor = (1 - np.sqrt(1 - 2 * h)) / h if h > 1e-8 else 1 + h / 2
    equations = [name or "equation" for name in problem.equations]
    count = len(equations)
    rows = np.cumsum([0, *(end.values.size for end in green.ends)]) + count
    ends = {end.term.name: slice(*pair) for end, pair in zip(green.ends, pairwise(rows), strict=True)}
    constants = dict(zip(problem.fields, green.constants, strict=False))
    largest = np.abs(green.inside.values).max(axis=0).tolist()
    assumptions = [
        f"Green's function is what polynomials of degree {green.degree} make of it: its constants differ by at most {_AGREE:.0%} "
        f"from those of half that degree, and {_MARGIN - 1:.0%} are added",
        f"the largest residuals are those at {SAMPLES} evenly spaced points",
        f"rounding moves the fields by at most {rounding.max():.1g}, which is added, and residuals by no more than they show",
    ]
    if not problem.is_linear:
        assumptions.append(
            f"the second derivatives of the equations are largest at {_TUBE} points, with fields off by nothing or by twice η"
        )
        assumptions.append(f"the solution meant is the one near this answer (Newton-Kantorovich, h = {h:.2g}); others may exist")
    total = factor * step.total[: len(problem.fields)] + rounding
    return Bound(
        dict(zip(problem.fields, total.tolist(), strict=True)),
        {name: dict(zip(equations, values[:count].tolist(), strict=True)) for name, values in constants.items()},
        {name: {end: float(values[rows].sum()) for end, rows in ends.items()} for name, values in constants.items()},
        dict(zip(equations, largest, strict=True)),
        h,
        green.degree,
        SAMPLES,
        tuple(assumptions),
    )
