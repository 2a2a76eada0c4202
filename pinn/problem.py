"""A problem: fields on a domain, the equations that they satisfy, and what ties them down."""

from __future__ import annotations

import keyword
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import sampling
from .boundaries import TIME, Patch, Surface
from .check import Report, check, faces, missing_conditions
from .conditions import Condition, Data, Dirichlet, Initial, InitialVelocity, Neumann
from .domains import RESERVED, Domain
from .errors import DomainError, ProblemError, WellPosednessWarning, listing
from .expression import Expression
from .frames import arguments
from .integrals import Across
from .operators import SPLIT
from .pieces import fixed_points
from .references import Reference
from .values import Points, Setting

_SPLITS = 61  # tells the seed of the integrals' rules from that of the points


@dataclass(frozen=True)
class Parameter:
    """An unknown number in the equations or conditions, found together with the fields.

    Args:
        initial: where the search starts.
        positive: keep it above zero, by searching for its logarithm.

    Raises:
        ProblemError: an initial value that is not finite, or not positive where it must be.

    Example:
        >>> Parameter(0.1, positive=True)
        Parameter(initial=0.1, positive=True)
    """

    initial: float
    positive: bool = False

    def __post_init__(self) -> None:
        number = isinstance(self.initial, int | float | np.number) and not isinstance(self.initial, bool | np.complexfloating)
        if not number or not math.isfinite(self.initial):
            raise ProblemError(f"Parameter() needs a finite number to start from; got {self.initial!r}.")
        if self.positive and self.initial <= 0:
            raise ProblemError(f"Parameter(positive=True) needs a positive number to start from; got {self.initial!r}.")


@dataclass(frozen=True, eq=False)
class Term:
    """One set of points and the expression that vanishes there: the equations inside, or one condition.

    `place` is None for the inside of the domain.
    """

    name: str
    expression: Expression
    place: Surface | Points | Across | None = None
    condition: Condition | None = None

    def sample(self, domain: Domain, count: int, seed: Sequence[int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Points [n, d], and what else the expression may ask for at each: `normal` [n, s], or data columns [n].

        Given points are all taken, and isolated ends once each, whatever the count. Integrals get their rule with each point.
        """
        points, columns = self._drawn(domain, count, seed)
        if self.expression.integrates:
            columns[SPLIT] = sampling.generator([*seed, _SPLITS]).uniform(0.4, 0.6, len(points))
        return points, columns

    def _drawn(self, domain: Domain, count: int, seed: Sequence[int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        if self.place is None:
            return sampling.interior(domain, count, seed), {}
        if isinstance(self.place, Across):
            return self.place.sample(domain, count, seed)
        if isinstance(self.place, Points):
            columns = dict(self.place.columns)
            return np.stack([columns.pop(name) for name in domain.coordinates], axis=1), columns
        points, normals = sampling.boundary(domain, self.place, count, seed)
        return points, {"normal": normals}


class Problem:
    """A differential equation written as mathematics.

    Args:
        fields: the unknown functions: "u", "u v p", or {"u": "t x", "k": "x"} where some depend on fewer coordinates.
        domain: where they live; the names of its coordinates are the names that residuals use.
        residual: a function at one point that vanishes for the solution. It asks by name for fields, coordinates, constants
            and parameters, and returns a scalar, a tuple, or a dict of scalars by equation.
        conditions: what holds on the boundary, at the start, or at data.
        constants: known numbers that residuals and values may ask for.
        parameters: unknown numbers, `Parameter(initial)`.
        reference: the solution as a function of the coordinates, if it is known; used by `Solution.errors` and plots only.
        name: for tables and folders.

    Raises:
        ProblemError: names that clash or do not exist, conditions given twice, data outside the domain.
        ResidualError: a residual that is not a scalar function at one point.
        DomainError: a condition on what is no part of the boundary.

    Warns:
        WellPosednessWarning: fewer conditions than the equations' order.

    Example:
        >>> from pinn.operators import d
        >>> from pinn.domains import Interval
        >>> line = Interval(x=(0, 5))
        >>> Problem(fields="y", domain=line, residual=lambda y, x: d(y, x, x) + d(y, x) + y,
        ...         conditions=[Dirichlet(y=1.0, on=line.at(x=0)), Dirichlet(y=0.0, on=line.at(x=5))])
        Problem: 1 equation for y on Interval(x=(0, 5))
          equation: order 2 in x, linear
          Dirichlet y = 1 on x = 0
          Dirichlet y = 0 on x = 5
    """

    def __init__(
        self,
        *,
        fields: str | Sequence[str] | Mapping[str, str | Sequence[str]],
        domain: Domain,
        residual: Callable,
        conditions: Sequence[Condition],
        constants: Mapping[str, float] | None = None,
        parameters: Mapping[str, Parameter] | None = None,
        reference: Callable | None = None,
        name: str | None = None,
    ):
        if not isinstance(domain, Domain):
            raise ProblemError(f"domain= needs a domain such as Interval(x=(0, 1)) or Box(t=(0, 1), x=(-1, 1)); got {domain!r}.")
        if not callable(residual):
            raise ProblemError(f"residual= needs a function of fields and coordinates; got {residual!r}.")
        if not isinstance(name, str | None):
            raise ProblemError(f"name= needs a string, for tables and folders; got {name!r}.")
        self.domain, self.residual, self.name = domain, residual, name or "problem"
        self.depends = _fields(fields, domain.coordinates)
        self.fields = tuple(self.depends)
        self.constants = {n: _constant(n, value) for n, value in _named_values("constants", constants).items()}
        self.parameters = {n: _parameter(n, value) for n, value in _named_values("parameters", parameters).items()}
        _check_names(domain.coordinates, self.fields, self.constants, self.parameters)
        self.conditions = _conditions(conditions)
        extras = self.known()
        equation = Term("equation", Expression(residual, domain.coordinates, self.depends, extras))
        unused = [field for field in self.fields if field not in equation.expression.orders()]
        if unused:
            raise ProblemError(
                f"The residual does not use the fields {listing(unused)}: nothing determines them inside the domain."
            )
        self.orders = equation.expression.orders()
        setting = Setting(domain, self.fields, self.orders, tuple(extras))
        self.terms = _named_apart(equation, *(_term(condition, setting, self.depends, extras) for condition in self.conditions))
        _check_parameters(self)
        _check_twice(self)
        self.reference = Reference(reference, domain.coordinates, self.fields) if reference is not None else None
        if self.reference is not None:
            self.reference.check(sampling.interior(domain, 16, 0))
        for fault in missing_conditions(self):
            warnings.warn(f"{self.name}: {fault}", WellPosednessWarning, stacklevel=2)

    def known(self) -> dict[str, float]:
        """The constants, and the parameters where their search starts."""
        return self.constants | {name: parameter.initial for name, parameter in self.parameters.items()}

    def groups(self) -> dict[tuple[int, ...], tuple[str, ...]]:
        """The fields by the axes that they depend on: those of one group share a network."""
        found: dict[tuple[int, ...], tuple[str, ...]] = {}
        for field, names in self.depends.items():
            axes = tuple(self.domain.coordinates.index(name) for name in names)
            found[axes] = (*found.get(axes, ()), field)
        return found

    @property
    def is_linear(self) -> bool:
        """Whether equations and conditions are affine in the fields, and no parameter is unknown."""
        return not self.parameters and all(term.expression.is_affine for term in self.terms)

    @property
    def equations(self) -> tuple[str, ...]:
        """Labels of the equations, in the residual's order."""
        return self.terms[0].expression.components

    def check(self) -> Report:
        """The pre-flight report, to print: names, shapes, counts, sizes, and whether the conditions fix one solution."""
        return check(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """A picture of the domain with its conditions, as a Matplotlib figure; written to `path` if given."""
        from . import plotting

        return plotting.plot_problem(self, path)

    def __repr__(self) -> str:
        count = len(self.equations)
        orders = np.max([order for order in self.orders.values()], axis=0)
        shown = ", ".join(f"order {n} in {name}" for name, n in zip(self.domain.coordinates, orders, strict=True))
        lines = [f"Problem: {count} equation{'s' * (count > 1)} for {', '.join(self.fields)} on {self.domain!r}"]
        lines += [f"  equation: {shown}, {'linear' if self.terms[0].expression.is_affine else 'nonlinear'}"]
        lines += [f"  {term.name}" for term in self.terms[1:]]
        lines += [f"  unknown: {name}, from {parameter.initial:g}" for name, parameter in self.parameters.items()]
        return "\n".join(lines)


def _fields(fields: object, coordinates: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    if isinstance(fields, Mapping) and fields:
        named = {name: tuple(c.split()) if isinstance(c, str) else c for name, c in fields.items()}
        for name, names in named.items():
            if not isinstance(names, Sequence):
                raise ProblemError(f"The field {name!r} needs the coordinates that it depends on, such as 't x'; got {names!r}.")
            unknown = [c for c in names if c not in coordinates]
            if unknown or not names:
                raise ProblemError(f"The field {name!r} depends on {listing(names)}; the coordinates are {listing(coordinates)}.")
        return {name: tuple(c for c in coordinates if c in names) for name, names in named.items()}
    names = fields.split() if isinstance(fields, str) else fields
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
        raise ProblemError(f"fields= needs names, such as 'u' or 'u v p'; got {fields!r}.")
    if len(set(names)) < len(names):
        raise ProblemError(f"fields= names a field twice: {listing(names)}.")
    return dict.fromkeys(names, coordinates)


def _named_values(argument: str, values: object) -> Mapping:
    if values is None or isinstance(values, Mapping):
        return values or {}
    raise ProblemError(f"{argument}= needs a dict of values by name; got {values!r}.")


def _constant(name: str, value: object) -> float:
    try:
        number = float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError) as error:
        raise ProblemError(f"The constant {name!r} must be a number; got {value!r}.") from error
    if not math.isfinite(number):
        raise ProblemError(f"The constant {name!r} must be finite; got {value!r}.")
    return number


def _parameter(name: str, value: object) -> Parameter:
    if not isinstance(value, Parameter):
        raise ProblemError(
            f"parameters={{{name!r}: ...}} needs Parameter(initial); got {value!r}. Known numbers go to constants=."
        )
    return value


def _check_names(coordinates: Sequence[str], fields: Sequence[str], constants: Mapping, parameters: Mapping) -> None:
    kinds = {"coordinate": coordinates, "field": fields, "constant": constants, "parameter": parameters}
    seen: dict[str, str] = {}
    for kind, names in kinds.items():
        for name in names:
            if name in seen:
                raise ProblemError(
                    f"{name!r} is both a {seen[name]} and a {kind}. Rename one: residuals tell them apart by name."
                )
            if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name in RESERVED:
                raise ProblemError(
                    f"{name!r} cannot name a {kind}: it must be a Python name, and not one of {listing(RESERVED)}."
                )
            seen[name] = kind


def _conditions(conditions: object) -> tuple[Condition, ...]:
    if isinstance(conditions, Condition):
        return (conditions,)
    if not isinstance(conditions, Sequence) or isinstance(conditions, str):
        raise ProblemError(f"conditions= needs a list of conditions, such as [Dirichlet(u=0.0, on=...)]; got {conditions!r}.")
    for condition in conditions:
        if not isinstance(condition, Condition):
            raise ProblemError(
                f"conditions= holds {condition!r}, which is no condition. Use Dirichlet, Condition(residual, on=...), ..."
            )
    return tuple(conditions)


def _term(condition: Condition, setting: Setting, depends: Mapping, extras: Mapping) -> Term:
    domain = setting.domain
    if isinstance(condition, Data):
        condition.observed(setting)
    place, known = condition.place(setting), dict(extras)
    if isinstance(place, Points):
        missing = [name for name in domain.coordinates if name not in place.columns]
        if missing:
            raise ProblemError(f"{condition.what()}: the points have no column for the coordinates {listing(missing)}.")
        _check_columns(condition, place, setting)
        _check_inside(condition, place, domain)
        known |= {name: 0.0 for name in place.columns if name not in domain.coordinates}
    elif isinstance(place, Across):
        known |= {name: column[0] for name, column in place.sample(domain, 1, (0,))[1].items()}
    else:
        known["normal"] = np.zeros(len(domain.spatial))
        try:
            place = place.within(domain)
        except DomainError as error:
            raise DomainError(f"{condition.what()}: {error}") from error
    function = condition.function(setting)
    if isinstance(place, Surface) and "normal" in arguments(function):
        _check_normal(condition, place, domain)
    expression = Expression(function, domain.coordinates, depends, known)
    return Term(condition.label(setting), expression, place, condition)


def _check_normal(condition: Condition, place: Surface, domain: Domain) -> None:
    if not domain.spatial or any(name == TIME for name, _ in faces(place, whole=False)):
        raise ProblemError(
            f"{condition.what()} asks for a normal on {place}, and time has none. "
            "For a slope in time use InitialVelocity, or Condition(lambda u, t: d(u, t) - ..., on=...)."
        )


def _check_columns(condition: Condition, place: Points, setting: Setting) -> None:
    for kind, names in {"a field": setting.fields, "a constant or parameter": setting.extras}.items():
        for name in names:
            if name in place.columns:
                raise ProblemError(
                    f"{condition.what()}: the column {name!r} is also {kind}. Name the column otherwise, such as "
                    f"Points(..., {name}_data=...)."
                )


def _named_apart(*terms: Term) -> tuple[Term, ...]:
    """The terms with names that tell them apart: a number is added to automatic ones, given ones must differ."""
    given = ["equation", *(term.condition.name for term in terms if term.condition and term.condition.name)]
    for name in given:
        if given.count(name) > 1:
            raise ProblemError(f"{name!r} names two terms. Tables and plans tell them apart by name: give each its own.")
    apart: list[Term] = []
    for term in terms:
        alike = sum(other.name == term.name or other.name.startswith(f"{term.name} (") for other in apart)
        apart.append(replace(term, name=f"{term.name} ({alike + 1})") if alike else term)
    return tuple(apart)


def _check_inside(condition: Condition, place: Points, domain: Domain) -> None:
    points = np.stack([place.columns[name] for name in domain.coordinates], axis=1)
    lower, upper = domain.bounds
    outside = points[~domain.contains(points, tolerance=1e-8 * float(np.linalg.norm(upper - lower)))]
    if len(outside):
        first = "; ".join(", ".join(f"{n} = {v:g}" for n, v in zip(domain.coordinates, p, strict=True)) for p in outside[:3])
        raise ProblemError(
            f"{condition.what()}: {len(outside)} of {len(points)} points lie outside {domain!r}, the first: {first}."
        )


def _check_parameters(problem: Problem) -> None:
    asked = {name for term in problem.terms for name in term.expression.asked}
    unused = [name for name in problem.parameters if name not in asked]
    if unused:
        raise ProblemError(f"Nothing asks for the parameters {listing(unused)}; the residual or a condition must name them.")


def _check_twice(problem: Problem) -> None:
    seen: dict[tuple, list[tuple[str, Patch]]] = {}
    for term in problem.terms:
        if not isinstance(term.condition, Dirichlet | Neumann | Initial | InitialVelocity) or not isinstance(term.place, Surface):
            continue
        kind = Dirichlet if isinstance(term.condition, Initial) else type(term.condition)
        for field in term.condition.values:
            earlier = seen.setdefault((kind, field), [])
            both = next((pair for patch in term.place.patches for pair in _overlapping(patch, earlier)), None)
            if both is not None:
                name, where = both
                raise ProblemError(f"{field} is given twice on {where}: by '{name}' and by '{term.name}'. Remove one.")
            earlier += [(term.name, patch) for patch in term.place.patches]


def _overlapping(patch: Patch, others: Sequence[tuple[str, Patch]]) -> Iterator[tuple[str, str]]:
    """The terms and places of those of the other patches that share points with this one."""
    if others:
        dimension = patch.piece.parameters
        points, normals = patch.draw(fixed_points(256 if dimension else 1, dimension))
        for name, other in others:
            if other.holds(points, normals).any():
                face = patch.face
                yield name, f"{face[0]} = {face[1]:g}" if face else repr(patch.piece)
