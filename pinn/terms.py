"""What a problem is made of: its equations, and each condition, as an expression and the points where it vanishes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from . import sampling
from .boundaries import TIME, Surface
from .check import faces
from .conditions import Condition, Data
from .domains import Domain
from .errors import DomainError, ProblemError, listing
from .expression import Expression
from .frames import arguments
from .integrals import Across
from .operators import SPLIT
from .regions import Regions, inside
from .values import Always, Points, Setting

_SPLITS = 61  # tells the seed of the integrals' rules from that of the points


@dataclass(frozen=True, eq=False)
class Term:
    """One set of points and the expression that vanishes there: the equations inside, or one condition.

    `place` is None for the inside of the domain.
    """

    name: str
    expression: Expression
    place: Surface | Points | Always | Across | None = None
    condition: Condition | None = None
    regions: Regions | None = None

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
            return self.regions.interior(count, seed) if self.regions else (sampling.interior(domain, count, seed), {})
        if isinstance(self.place, Across | Always):
            return self.place.sample(domain, count, seed)
        if isinstance(self.place, Points):
            names, columns = domain.coordinates, self.place.columns
            return self.place.at(domain), {name: column for name, column in columns.items() if name not in names}
        points, normals = sampling.boundary(cast(Domain, self.place.domain), self.place, count, seed)
        return points, {"normal": normals}


def equation_term(residual: Any, regions: Regions | None, domain: Domain, depends: Mapping, extras: Mapping) -> Term:
    if regions is None:
        if not callable(residual):
            raise ProblemError(f"residual= needs a function of fields and coordinates; got {residual!r}.")
        return Term("equation", Expression(residual, domain.coordinates, depends, extras))
    marks = {inside(region): 1.0 for region in regions.names}
    function = regions.everywhere(residual, "equations", missing=0.0)
    return Term("equation", Expression(function, domain.coordinates, depends, {**extras, **marks}), regions=regions)


def condition_terms(condition: Condition, setting: Setting, depends: Mapping, extras: Mapping) -> Iterator[Term]:
    """A condition's term, or one for each region that it touches."""
    if isinstance(condition, Data):
        condition.observed(setting)
    if setting.regions is not None:
        parts = setting.regions.parts(condition, setting)
    else:
        parts = [(condition.place(setting), condition.function(setting), condition.label(setting), {})]
    for part, function, label, alias in parts:
        place, known = _resolved(condition, part, setting, extras)
        if isinstance(place, Surface) and "normal" in arguments(function):
            _check_normal(condition, place, setting.domain)
        expression = Expression(function, setting.domain.coordinates, depends, known, alias)
        yield Term(label, expression, place, condition)


def _resolved(condition: Condition, place: Any, setting: Setting, extras: Mapping) -> tuple[Any, dict[str, Any]]:
    """Where a condition holds on the problem's domain, and what its function may ask for there."""
    domain, known = setting.domain, dict(extras)
    if isinstance(place, Points):
        missing = [name for name in domain.coordinates if name not in place.columns]
        always = missing == [TIME] and set(place.columns) == set(domain.spatial) != set()
        if missing and not always:
            raise ProblemError(f"{condition.what()}: the points have no column for the coordinates {listing(missing)}.")
        _check_columns(condition, place, setting)
        _check_inside(condition, Always(place).sample(domain, 1, (0,))[0] if always else place.at(domain), domain)
        known |= {name: 0.0 for name in place.columns if name not in domain.coordinates}
        place = Always(place) if always else place
    elif isinstance(place, Across):
        known |= {name: column[0] for name, column in place.sample(domain, 1, (0,))[1].items()}
    else:
        known["normal"] = np.zeros(len(domain.spatial))
        try:
            place = place.within(domain) if setting.regions is None else place
        except DomainError as error:
            raise DomainError(f"{condition.what()}: {error}") from error
    return place, known


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


def named_apart(*terms: Term) -> tuple[Term, ...]:
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


def _check_inside(condition: Condition, points: np.ndarray, domain: Domain) -> None:
    lower, upper = domain.bounds
    outside = points[~domain.contains(points, tolerance=1e-8 * float(np.linalg.norm(upper - lower)))]
    if len(outside):
        first = "; ".join(", ".join(f"{n} = {v:g}" for n, v in zip(domain.coordinates, p, strict=True)) for p in outside[:3])
        raise ProblemError(
            f"{condition.what()}: {len(outside)} of {len(points)} points lie outside {domain!r}, the first: {first}."
        )
