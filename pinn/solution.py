"""A solution: what `solve` gives back. It can be called, judged, refined, plotted and saved."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from . import sampling
from .bound import Bound, bound
from .domains import Domain
from .errors import ProblemWarning, SolutionError, listing, suggestion
from .estimate import Estimate, Trust
from .expression import Expression
from .families import RICHER, Family
from .features import Setup
from .frames import name_of
from .history import History, Status
from .judging import judge
from .loss import Objective, Weights, batch_at, draw, expression_values, field_values, objective, physical
from .problem import Problem
from .regions import inside
from .singularities import torn_points


class Found(float):
    """The value of an unknown parameter; `interval` is its 95 % confidence interval, where it is known."""

    interval: tuple[float, float] | None

    def __new__(cls, value: Any, interval: Sequence[float] | None = None) -> Found:
        self = super().__new__(cls, value)
        self.interval = None if interval is None else (float(interval[0]), float(interval[1]))
        return self


@dataclass(frozen=True)
class FieldError:
    """One field against its reference: relative L2 (absolute where the reference is zero), largest difference, and where."""

    relative_l2: float
    maximum: float
    where: dict[str, float]


@dataclass(frozen=True)
class ErrorReport:
    """What is known of a solution's errors.

    Attributes:
        fields: against the reference; empty where the problem has none.
        estimate: estimated relative L2 error by field, which needs no reference.
        residual: root mean square of each equation at held-out points.
        conditions: largest misfit of each condition at held-out points.
        parameters: the unknown parameters, with their intervals.
    """

    fields: dict[str, FieldError]
    estimate: dict[str, float]
    trust: str
    residual: dict[str, float]
    conditions: dict[str, float]
    parameters: dict[str, Found] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for JSON."""
        fields = {name: vars(error) for name, error in self.fields.items()}
        parameters = {name: {"value": float(found), "interval": found.interval} for name, found in self.parameters.items()}
        return vars(self) | {"fields": fields, "parameters": parameters}

    def __str__(self) -> str:
        lines = [f"{'field':<12} {'estimated':>10} {'true':>10} {'max':>10}  where"]
        for name, estimated in self.estimate.items():
            error = self.fields.get(name)
            if error is None:
                lines.append(f"{name:<12} {estimated:>10.1e} {'unknown':>10} {'':>10}")
                continue
            where = ", ".join(f"{c} = {v:.4g}" for c, v in error.where.items())
            lines.append(f"{name:<12} {estimated:>10.1e} {error.relative_l2:>10.1e} {error.maximum:>10.1e}  {where}")
        lines.append(f"the estimate is {self.trust}")
        lines += [f"{name:<12} {shown_parameter(found)}" for name, found in self.parameters.items()]
        lines += [f"{'residual' + (f' {name}' if name else ''):<46} {value:>10.1e}" for name, value in self.residual.items()]
        lines += [f"{name:<46} {value:>10.1e}" for name, value in self.conditions.items()]
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Solution:
    """The fields that were found, as a function of the coordinates, and how far to trust them.

    Attributes:
        status: how the solve ended; prints as a sentence.
        error_estimate: estimated relative L2 error of each field.
        trust, trust_reason: how far that estimate can be relied on, and why.
        plan: every choice that was made, and why.
        history: what happened, step by step.
        seconds: wall time of the whole solve.
        parameters: the unknown parameters' values, each with a 95 % `interval`.

    Example:
        >>> from pinn import Dirichlet, Interval, Problem, d, solve
        >>> line = Interval(x=(0, 1))
        >>> ends = Dirichlet(y=0.0, on=line.boundary)
        >>> problem = Problem(fields="y", domain=line, residual=lambda y, x: d(y, x, x) + 2, conditions=[ends])
        >>> solution = solve(problem, progress=False)
        >>> bool(abs(solution(x=0.5) - 0.25) < 1e-12)
        True
    """

    problem: Problem
    goal: Objective
    weights: Weights
    setup: Setup
    status: Status
    error_estimate: dict[str, float]
    trust: Trust
    trust_reason: str
    plan: Any
    history: History
    seconds: float
    family: Family
    width: int
    corrected: Estimate | None = field(default=None, repr=False)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __call__(self, **coordinates: Any) -> Any:
        """The fields at points: an array for each coordinate, broadcast like NumPy; a dict by field where there are several.

        NumPy in, NumPy out; JAX in, JAX out, differentiable. Points outside the domain warn. In a domain of several regions a
        field has the value of the region that the point lies in, nan where it does not live, and on an interface the first's.

        Raises:
            SolutionError: a coordinate that is missing or does not exist.
        """
        points, shape, traced = points_of(self.problem.domain, self.setup.dtype, coordinates)
        values = _living(self.problem, points, field_values(self.goal, self.weights, points))
        columns = {name: values[:, i].reshape(shape) for i, name in enumerate(self.problem.fields)}
        out = columns if traced else {name: np.asarray(column)[()] for name, column in columns.items()}
        return out if len(out) > 1 else out[self.problem.fields[0]]

    @property
    def parameters(self) -> dict[str, Found]:
        """The unknown parameters' values, each with its 95 % confidence `interval`."""
        found = physical(self.problem, self.weights.unknown)
        return {name: Found(value, self.intervals.get(name)) for name, value in found.items()}

    def evaluate(self, function: Callable, **coordinates: Any) -> Any:
        """Any expression of the fields at points, `d` and all: `solution.evaluate(lambda u, x: d(u, x), x=xs)`.

        Returns an array; a dict where the function returns a dict, a tuple where it returns several.
        """
        points, shape, traced = points_of(self.problem.domain, self.setup.dtype, coordinates)
        return self._evaluated(function, points, shape, traced)

    def residual(self, **coordinates: Any) -> Any:
        """The equations' residuals at points: an array, or a dict by equation; nan outside of an equation's region."""
        points, shape, traced = points_of(self.problem.domain, self.setup.dtype, coordinates)
        return self._evaluated(None, points, shape, traced)

    def integrate(self, function: Callable, over: str | None = None, count: int = 20_000, **fixed: Any) -> Any:
        """∫ function over the domain, or over one coordinate (`over="x"`) at given values of the others.

        Gauss-Legendre by coordinate in boxes of up to two dimensions and over one coordinate, quasi-Monte Carlo otherwise.
        """
        domain = self.problem.domain
        lower, upper = domain.bounds
        if over is not None:
            if over not in domain.coordinates:
                raise SolutionError(f"integrate(over={over!r}): the coordinates are {listing(domain.coordinates)}.")
            axis = domain.coordinates.index(over)
            nodes, weights = np.polynomial.legendre.leggauss(200)
            half = (upper[axis] - lower[axis]) / 2
            others = {name: np.asarray(value)[..., None] for name, value in fixed.items()}
            values = self.evaluate(function, **others, **{over: lower[axis] + half * (nodes + 1)})
            return jax.tree.map(lambda v: v @ (half * weights), values)
        if domain.is_box and domain.dimension <= 2:
            nodes, weights = np.polynomial.legendre.leggauss(200)
            grids = np.meshgrid(*[a + (b - a) * (nodes + 1) / 2 for a, b in zip(lower, upper, strict=True)], indexing="ij")
            product = np.prod(
                np.meshgrid(
                    *[w * (b - a) / 2 for w, a, b in zip([weights] * domain.dimension, lower, upper, strict=True)], indexing="ij"
                ),
                axis=0,
            )
            values = self.evaluate(function, **dict(zip(domain.coordinates, grids, strict=True)))
            return jax.tree.map(lambda v: float(np.sum(v * product)), values)
        points = sampling.interior(domain, count, 0)
        values = self.evaluate(function, **dict(zip(domain.coordinates, points.T, strict=True)))
        return jax.tree.map(lambda v: float(np.mean(v) * domain.measure), values)

    def errors(self) -> ErrorReport:
        """Relative L2 and largest error where the reference is finite, residuals, and the misfit of every condition.

        Corners where two given values differ are left out: there the solution has every value between.
        """
        points = sampling.measure_points(self.problem.domain)
        found = field_values(self.goal, self.weights, jnp.asarray(points, self.setup.dtype))
        found = np.asarray(_living(self.problem, points, found))
        known = self.problem.reference(points) if self.problem.reference is not None else {}
        torn, fields = torn_points(self.problem.singular(self.problem.domain), points), {}
        for name, reference in known.items():
            values = found[:, self.problem.fields.index(name)]
            there = np.isfinite(reference) & (np.isfinite(values) if self.problem.regions is not None else True) & ~torn
            gap = np.where(there, values - reference, 0)
            worst, size = int(np.argmax(np.abs(gap))), float(np.linalg.norm(reference[there]))
            relative = float(np.linalg.norm(gap)) / size if size > 0 else float(np.sqrt(np.mean(gap[there] ** 2)))
            where = dict(zip(self.problem.domain.coordinates, points[worst].tolist(), strict=True))
            fields[name] = FieldError(relative, float(np.abs(gap[worst])), where)
        residual, conditions = self._misfits()
        return ErrorReport(fields, dict(self.error_estimate), str(self.trust), residual, conditions, self.parameters)

    def refine(self) -> Solution:
        """The solution plus its estimated error, as a new solution with an estimate of its own. May be repeated (Newton).

        Raises:
            SolutionError: the solution was loaded without its correction.
        """
        if self.corrected is None:
            raise SolutionError(
                "This solution has no error correction to add. Solve the problem again, or load it with the problem."
            )
        goal = replace(self.goal, approximation=self.corrected.approximation)
        setup = replace(self.setup, seed=(*self.setup.seed, 31))
        judged = judge(setup, goal, self.corrected.weights, self.family, self.width)
        richer = tuple(drawn.richer() for drawn in setup.drawn)
        return replace(
            self,
            goal=goal,
            weights=self.corrected.weights,
            setup=replace(setup, drawn=richer, level=setup.level and setup.level.finer()),
            error_estimate=judged.errors,
            trust=judged.trust,
            trust_reason=judged.reason,
            family=self.family.scaled(RICHER),
            width=int(1.5 * self.width),
            corrected=judged,
            intervals=judged.intervals,
        )

    def bound(self) -> Bound:
        """A bound on the largest error of each field, for ordinary differential equations: more than an estimate.

            ‖u - û‖∞ ≤ η (1 - √(1 - 2h)) / h,   h ≤ 1/2,   and ≤ η where the problem is linear (h = 0)

        η is the largest value of a solution of the linearised error equation and, by the constants of Green's function, of what
        that leaves. It rests on `assumptions`: constants and maxima are computed, not enclosed by interval arithmetic.

        Raises:
            SolutionError: another kind of problem; a Green's function that is not resolved; or, where nonlinear, an answer too
                far from a solution for the Newton-Kantorovich condition h ≤ 1/2, as happens near a fold.

        Example:
            >>> from pinn import Dirichlet, Interval, Problem, d, solve
            >>> line = Interval(x=(0, 1))
            >>> problem = Problem(fields="y", domain=line, residual=lambda y, x: d(y, x, x) - y,
            ...                   conditions=[Dirichlet(y=1.0, on=line.boundary)])
            >>> found = solve(problem, progress=False).bound()
            >>> found.maximum["y"] < 1e-10
            True
            >>> round(found.green["y"]["equation"], 3)  # 1 - 1/cosh(1/2)
            0.113
        """
        if self.setup.edges:
            raise SolutionError(
                "bound() needs a solution that is smooth everywhere; this one was made in slabs of time. `error_estimate` has "
                "their errors carried from slab to slab."
            )
        return bound(self.problem, self.goal, self.weights)

    def plot(self, path: str | Path | None = None) -> Any:
        """Solution, reference, error, residual and history as a Matplotlib figure; written to `path` if given."""
        from . import plotting

        return plotting.plot_solution(self, path)

    def animate(self, path: str | Path, frames: int = 48) -> None:
        """Write the fields along time as a GIF: curves over one coordinate, or maps over two.

        Raises:
            SolutionError: no GIF, fewer than two frames, or a domain that is not time and one or two other coordinates.
        """
        from . import animation

        animation.animate_solution(self, path, frames)

    def save(self, path: str | Path) -> None:
        """Write a folder that `pinn.load` reads: values that need no problem, weights, plan, history and errors."""
        from . import saving

        saving.save(self, path)

    def export(self, path: str | Path) -> None:
        """Write the fields as one compiled function, points [n, d] -> [n, F], that runs with JAX alone on any platform.

        Loaded by `jax.export.deserialize(bytearray(open(path, "rb").read())).call`; in float64 after
        `jax.config.update("jax_enable_x64", True)`.
        """
        from . import exporting

        exporting.export(self, path)

    def __repr__(self) -> str:
        worst = max(self.error_estimate.values())
        known = f"estimated error {worst:.1e} ({self.trust.name.lower()})"
        lines = [f"Solution of {self.problem.name}: {self.status}; {known}, {self.seconds:.1f} s"]
        return "\n".join(lines + [f"  {name} = {shown_parameter(found)}" for name, found in self.parameters.items()])

    def _evaluated(self, function: Callable | None, points: Array, shape: tuple[int, ...], traced: bool) -> Any:
        expression = _expression(self.problem, function)
        batch = batch_at(self.goal, expression, points, self.problem.columns(points))
        values = expression_values(self.goal, expression, self.weights, batch)
        columns = [values[:, k].reshape(shape) for k in range(len(expression.components))]
        columns = columns if traced else [np.asarray(column)[()] for column in columns]
        if not any(expression.components):
            return columns[0]
        numbered = expression.components == tuple(str(i + 1) for i in range(len(columns)))
        return tuple(columns) if numbered else dict(zip(expression.components, columns, strict=True))

    def _misfits(self) -> tuple[dict[str, float], dict[str, float]]:
        whole = objective(self.problem, self.goal.approximation, self.goal.exact, every=True)
        batches = draw(whole, {"equation": 4096, "condition": 512}, (*self.setup.seed, 77), self.setup.dtype)
        residual: dict[str, float] = {}
        conditions: dict[str, float] = {}
        for term, batch in zip(whole.terms, batches, strict=True):
            values = np.asarray(expression_values(whole, term.expression, self.weights, batch))
            if term.place is None:
                size = np.sqrt(np.mean(values**2, axis=0))
                residual = dict(zip(term.expression.components, size.tolist(), strict=True))
            else:
                conditions[term.name] = float(np.max(np.abs(values)))
        return residual, conditions


def shown_parameter(found: Found) -> str:
    """A parameter and its interval, with as many digits as that leaves."""
    if found.interval is None:
        return f"{found:.6g}"
    low, high = found.interval
    half = (high - low) / 2
    certain = np.log10(max(abs(found), 1e-300) / half) if 0 < half < np.inf else 15.0
    digits = int(np.clip(np.ceil(certain) + 1, 2, 15))
    return f"{found:.{digits}g}, 95 % interval [{low:.{digits}g}, {high:.{digits}g}]"


def points_of(domain: Domain, dtype: Any, coordinates: Mapping[str, Any]) -> tuple[Array, tuple[int, ...], bool]:
    """Points [n, d] from an array for each coordinate, the shape that these broadcast to, and whether any came from JAX."""
    names = domain.coordinates
    check_coordinates("solution", names, coordinates, f"solution({', '.join(f'{n}=...' for n in names)})")
    traced = any(isinstance(value, Array) for value in coordinates.values())
    arrays = jnp.broadcast_arrays(*(jnp.asarray(coordinates[name], dtype) for name in names))
    points = jnp.stack([a.reshape(-1) for a in arrays], axis=1)
    if not isinstance(points, Tracer):
        warn_of_points_outside(domain, np.asarray(points, float))
    return points, arrays[0].shape, traced


def check_coordinates(what: str, names: Sequence[str], given: Mapping[str, Any], call: str) -> None:
    """Raise `SolutionError` unless each coordinate of `what` is given, and nothing else; `call` shows how."""
    for name in given:
        if name not in names:
            raise SolutionError(f"The {what} has the coordinates {listing(names)}; got {name!r}.{suggestion(name, names)}")
    missing = [name for name in names if name not in given]
    if missing:
        raise SolutionError(f"The {what} needs a value for {listing(missing)} as well: {call}.")


def warn_of_points_outside(domain: Domain, points: np.ndarray) -> None:
    """Tell the caller's caller of points [n, d] that lie outside the domain."""
    lower, upper = domain.bounds
    inside = domain.contains(points, tolerance=1e-8 * float(np.linalg.norm(upper - lower)))
    if not np.all(inside):
        shown = ", ".join(f"{name} = {value:g}" for name, value in zip(domain.coordinates, points[~inside][0], strict=True))
        outside = f"{int(np.sum(~inside))} of {len(points)} points lie outside {domain!r}"
        warnings.warn(f"{outside}, the first at {shown}: nothing was learned there.", ProblemWarning, stacklevel=4)


def _living(problem: Problem, points: Any, values: Array) -> Array:
    return values if problem.regions is None else problem.regions.blanked(points, values)


@lru_cache(maxsize=128)
def _expression(problem: Problem, function: Callable | None) -> Expression:
    """A function of the fields at any point of the domain; the equations for None."""
    given: Any = problem.residual if function is None else function
    known = problem.known()
    if problem.regions is not None:
        given = problem.regions.everywhere(given, name_of(given), missing=np.nan)
        known |= {inside(region): 1.0 for region in problem.regions.names}
    return Expression(given, problem.domain.coordinates, problem.depends, known)
