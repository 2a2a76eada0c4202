"""A problem: fields on a domain, the equations that they satisfy, and what ties them down."""

from __future__ import annotations

import copy
import keyword
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import sampling
from .boundaries import Patch, Surface
from .check import Report, check, missing_conditions
from .conditions import Condition, Dirichlet, Initial, InitialVelocity, Neumann
from .corners import along
from .domains import RESERVED, Domain
from .errors import ProblemError, WellPosednessWarning, by_name, listing
from .frames import named
from .onsets import onsets
from .pieces import fixed_points
from .references import Reference
from .regions import regions_of
from .singular import Singular
from .singularities import singularities
from .terms import condition_terms, equation_term, named_apart
from .values import Points, Setting


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


class Group(NamedTuple):
    """Unknowns that share a network: those of the same coordinates, in the same region, and the box around that."""

    axes: tuple[int, ...]
    fields: tuple[str, ...]
    lower: np.ndarray  # [d]
    upper: np.ndarray  # [d]
    singular: tuple[Singular, ...] = ()  # corners and holes of the region


@by_name(ProblemError, "Problem(fields='u', domain=domain, residual=equation, conditions=[...])")
class Problem:
    """A differential equation written as mathematics.

    Args:
        fields: the unknown functions: "u", "u v p", or {"u": "t x", "k": "x"} where some depend on fewer coordinates.
        domain: where they live; the names of its coordinates are the names that residuals use. Several regions are given by
            name, {"in": a, "out": b}; fields live in those whose residual reads them, and `Interface` ties them between two.
        residual: a function at one point that vanishes for the solution. It asks by name for fields, coordinates, constants
            and parameters, and returns a scalar, a tuple, or a dict of scalars by equation; one for each of several regions.
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
        domain: Domain | Mapping[str, Domain],
        residual: Callable | Mapping[str, Callable],
        conditions: Sequence[Condition],
        constants: Mapping[str, float] | None = None,
        parameters: Mapping[str, Parameter] | None = None,
        reference: Callable | None = None,
        name: str | None = None,
    ):
        if not isinstance(name, str | None):
            raise ProblemError(f"name= needs a string, for tables and folders; got {name!r}.")
        self.domain, self.residual, self.name = _whole(domain), residual, name or "problem"
        depends = _fields(fields, self.domain.coordinates)
        self.fields = tuple(depends)
        self.constants = {n: _constant(n, value) for n, value in _named_values("constants", constants).items()}
        self.parameters = {n: _parameter(n, value) for n, value in _named_values("parameters", parameters).items()}
        _check_names(self.domain.coordinates, self.fields, self.constants, self.parameters)
        self.conditions = _conditions(conditions)
        extras = self.known()
        self.regions = regions_of(domain, residual, depends, extras) if isinstance(domain, Mapping) else None
        parts = self.regions.unknowns if self.regions else dict.fromkeys(self.fields)
        self.depends = {name: depends[field or name] for name, field in parts.items()}
        equation = equation_term(residual, self.regions, self.domain, self.depends, extras)
        self.orders = equation.expression.orders()
        read = self.regions.lives if self.regions else self.orders
        unused = [field for field in self.fields if field not in read]
        if unused:
            raise ProblemError(
                f"The residual does not use the fields {listing(unused)}: nothing determines them inside the domain."
            )
        setting = Setting(self.domain, self.fields, self.orders, tuple(extras), self.regions)
        terms = [term for condition in self.conditions for term in condition_terms(condition, setting, self.depends, extras)]
        self.terms = named_apart(equation, *terms)
        self._singular: dict[Domain, tuple[Singular, ...]] = {}
        _check_parameters(self)
        _check_twice(self)
        self.reference = Reference(reference, self.domain.coordinates, self.fields) if reference is not None else None
        if self.reference is not None:
            self.reference.check(sampling.interior(self.domain, 16, 0))
        for fault in missing_conditions(self):
            warnings.warn(f"{self.name}: {fault}", WellPosednessWarning, stacklevel=2)

    def held(self, field: str, place: Mapping[str, float]) -> Problem:
        """The same problem with a field held at zero at a place; without a time, at all times. The reference is so, too."""
        on = Points(**{name: [value] for name, value in place.items()})
        condition = Condition(named(lambda **fields: fields[field], (field,), field), on, name=f"{field} = 0 at {where(place)}")
        held, extras = copy.copy(self), self.known()
        setting = Setting(self.domain, self.fields, self.orders, tuple(extras), self.regions)
        held.conditions = (*self.conditions, condition)
        held.terms = named_apart(*self.terms, *condition_terms(condition, setting, self.depends, extras))
        held._singular = {}
        held.reference = self.reference and self.reference.held(field, place)
        return held

    def known(self) -> dict[str, float]:
        """The constants, and the parameters where their search starts."""
        return self.constants | {name: parameter.initial for name, parameter in self.parameters.items()}

    @property
    def unknowns(self) -> tuple[str, ...]:
        """The functions that are approximated: the fields, or the parts of them in each region."""
        return tuple(self.depends)

    def groups(self) -> tuple[Group, ...]:
        """The unknowns by the axes that they depend on and the region where they live: those of one group share a network."""
        found: dict[tuple, list[str]] = {}
        for name, names in self.depends.items():
            axes = tuple(self.domain.coordinates.index(c) for c in names)
            home = self.domain if self.regions is None else self.regions.home(name)
            found.setdefault((axes, home), []).append(name)
        return tuple(
            Group(axes, tuple(fields), ends[0], ends[1], along(self.singular(home), axes))
            for (axes, home), fields in found.items()
            for ends in [home.bounds]
        )

    def singular(self, home: Domain) -> tuple[Singular, ...]:
        """Where a solution in this region of the domain, or in the whole of it, has singular functions."""
        if home not in self._singular:
            terms, known = (self.terms, self.known()) if self.regions is None else ((), {})
            begins = onsets(home, terms, known) if not self.parameters else ()
            self._singular[home] = (*singularities(home, terms, known, self.fields), *begins)
        return self._singular[home]

    def folded(self, points: Any, values: Any) -> Any:
        """The fields [n, F] at points [n, d], from the values of all unknowns there, [n, U]."""
        return values if self.regions is None else self.regions.folded(points, values)

    def columns(self, points: Any) -> dict[str, Any]:
        """What expressions made for any point of the domain ask for besides: the regions that points [n, d] lie in."""
        return {} if self.regions is None else self.regions.columns(points)

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
        where = repr(self.domain) if self.regions is None else repr(dict(self.regions.domains))
        lines = [f"Problem: {count} equation{'s' * (count > 1)} for {', '.join(self.fields)} on {where}"]
        lines += [f"  equation: {shown}, {'linear' if self.terms[0].expression.is_affine else 'nonlinear'}"]
        lines += [f"  {term.name}" for term in self.terms[1:]]
        lines += [f"  unknown: {name}, from {parameter.initial:g}" for name, parameter in self.parameters.items()]
        return "\n".join(lines)


def _whole(domain: object) -> Domain:
    """The domain, or all of its regions together."""
    regions: list[Any] = list(domain.values()) if isinstance(domain, Mapping) else [domain]
    for region in regions:
        if not isinstance(region, Domain):
            raise ProblemError(
                "domain= needs a domain such as Interval(x=(0, 1)) or Box(t=(0, 1), x=(-1, 1)), or a dict of regions; got "
                f"{region!r}."
            )
    if not regions:
        raise ProblemError("domain= names no region; give two or more, {'in': a, 'out': b}.")
    return reduce(lambda a, b: a + b, regions)


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


def where(place: Mapping[str, float]) -> str:
    """Values of coordinates, to read."""
    return ", ".join(f"{name} = {value:.3g}" for name, value in place.items())


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
