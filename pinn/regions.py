"""Regions: parts of a domain with equations of their own, which meet at interfaces.

A field that lives in several regions may have a kink or a jump between them. It is therefore one function in each, `u (in)` and
`u (out)`, smooth by itself and tied to the other by an `Interface`. These functions are the *unknowns*, what is approximated;
the field at a point is the unknown of the region in which the point lies.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from . import sampling
from .boundaries import Boundary
from .conditions import Condition, Periodic
from .domains import Domain
from .errors import DomainError, ProblemError, by_name, listing, suggestion
from .expression import Expression, components
from .frames import arguments, current, named, run
from .integrals import Integral
from .operators import grad
from .values import Points, Setting, Value, check_fields, checked_place, checked_value, shown, value_at, wanted_names

_OVERLAP = 1e-6  # how deep a point of one region may lie in another, relative to the domain

Part = tuple[Any, Callable, str, Mapping[str, str]]  # place, function, label, and what the function's fields stand for


def unknown(field: str, region: str) -> str:
    """The function that a field is in one region; no field can have this name."""
    return f"{field} ({region})"


def inside(region: str) -> str:
    """The column that is one at points of a region and zero elsewhere."""
    return f"inside {region}"


def under(alias: Mapping[str, str], function: Callable) -> Any:
    """A function's value at the point of the present frame, where its fields stand for others."""
    frame = current("Interface")
    scope = replace(frame.scope, alias=alias)
    return run(function, frame.fresh(path=frame.next_path(), function=function, scope=scope))


@dataclass(frozen=True, eq=False)
class Regions:
    """The parts of a domain by name, and in which of them each field lives.

    Raises:
        ProblemError: regions that have other coordinates than the first, or that overlap.
    """

    domains: Mapping[str, Domain]
    lives: Mapping[str, tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.domains)

    @property
    def unknowns(self) -> dict[str, str]:
        """Every unknown, and the field that it is a part of."""
        return {unknown(field, region): field for field, homes in self.lives.items() for region in homes}

    def home(self, name: str) -> Domain:
        """The region of an unknown."""
        return self.domains[self._region(name)]

    def holds(self, name: str, points: np.ndarray) -> np.ndarray:
        """Whether each point [n, d] lies in the region of an unknown."""
        return self.sides(points) == self.names.index(self._region(name))

    def _region(self, name: str) -> str:
        return next(r for f, homes in self.lives.items() for r in homes if unknown(f, r) == name)

    def alias(self, region: str) -> dict[str, str]:
        """What the fields stand for in a region."""
        return {field: unknown(field, region) for field, homes in self.lives.items() if region in homes}

    def sides(self, points: Any) -> Any:
        """The number of the region that each point [n, d] lies in, or is nearest to: [n]. Traced points are asked on the host."""
        if isinstance(points, Tracer):
            shape = jax.ShapeDtypeStruct(points.shape[:1], jnp.int32)
            return jax.pure_callback(self._sides, shape, jax.lax.stop_gradient(points), vmap_method="sequential")
        return self._sides(points)

    def _sides(self, points: Any) -> np.ndarray:
        places = np.asarray(points, np.float64)
        return np.argmin([domain.distance(places) for domain in self.domains.values()], axis=0).astype(np.int32)

    def folded(self, points: Any, values: Array) -> Array:
        """The fields [n, F] at points [n, d], from the values of all unknowns there, [n, U]; zero where a field does not live."""
        sides, columns = self.sides(points), list(self.unknowns)

        def field(name: str, homes: Sequence[str]) -> Array:
            parts = ((self.names.index(r), values[:, columns.index(unknown(name, r))]) for r in homes)
            return reduce(operator.add, [jnp.where(sides == i, part, 0) for i, part in parts])

        return jnp.stack([field(name, homes) for name, homes in self.lives.items()], axis=1)

    def blanked(self, points: Any, values: Array) -> Array:
        """The fields [n, F] at points [n, d], undefined where they do not live."""
        lives = jnp.array([[region in homes for homes in self.lives.values()] for region in self.names])
        return jnp.where(lives[self.sides(points)], values, jnp.nan)

    def columns(self, points: Any) -> dict[str, Any]:
        """For each region a column that is one at its points."""
        sides = self.sides(points)
        return {inside(region): jnp.where(sides == i, 1.0, 0.0) for i, region in enumerate(self.names)}

    def interior(self, count: int, seed: Sequence[int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Points [n, d], equally many in each region however small it is, and the columns that tell which."""
        share = -(-count // len(self.names))
        parts = [sampling.interior(domain, share, [*seed, i]) for i, domain in enumerate(self.domains.values())]
        marks = {inside(name): np.repeat(np.eye(len(parts))[i], share) for i, name in enumerate(self.names)}
        return np.concatenate(parts), marks

    def everywhere(self, functions: Mapping[str, Callable] | Callable, name: str, missing: float) -> Callable:
        """One function of the point: that of the region in which it lies, `missing` elsewhere; it asks for the columns.

        A dict of functions by region gives the components of each, labelled by region; one function those that it has, in every
        region where its fields live.
        """
        by_region = functions if isinstance(functions, Mapping) else dict.fromkeys(self._homes(functions, name), functions)

        def everywhere(**marks: Array) -> dict[str, Array]:
            rows: dict[str, Array] = {}
            for region, function in by_region.items():
                labels, values = components(under(self.alias(region), function))
                for label, value in zip(labels, values, strict=True):
                    row = f"{region} {label}".strip() if isinstance(functions, Mapping) else label
                    rows[row] = jnp.where(marks[inside(region)] > 0.5, value, rows.get(row, missing))
            return rows

        return named(everywhere, tuple(inside(region) for region in by_region), name)

    def _homes(self, function: Callable, what: str) -> list[str]:
        asked = [name for name in arguments(function) if name in self.lives]
        homes = [region for region in self.names if all(region in self.lives[name] for name in asked)]
        if not homes:
            raise ProblemError(
                f"{what} asks for {listing(asked)}, which live together in none of the regions {listing(self.names)}."
            )
        return homes

    def parts(self, condition: Condition, setting: Setting) -> Iterator[Part]:
        """What a condition says in each region that it touches, or between each two.

        A field's condition holds on the outer boundary; on an inner one only where the field lives on one side of it.
        """
        if isinstance(condition, Interface):
            yield from condition.pairs(setting)
            return
        if isinstance(condition, Periodic | Integral):
            raise ProblemError(f"{condition.what()}: a domain of several regions takes no {type(condition).__name__}.")
        place, function, label = condition.place(setting), condition.function(setting), condition.label(setting)
        homes = self._homes(function, condition.what())
        found = self._split(place, homes) if isinstance(place, Points) else self._touched(condition, place, homes)
        for region, part in found.items():
            yield part, function, label if len(found) == 1 else f"{label} ({region})", self.alias(region)

    def _touched(self, condition: Condition, place: Boundary, homes: Sequence[str]) -> dict[str, Any]:
        found = {region: surface for region in homes if (surface := _within(place, self.domains[region])) is not None}
        if len(found) > 1:
            outer = _within(place, reduce(operator.add, self.domains.values()))
            if outer is None:
                raise ProblemError(f"{condition.what()}: {place} lies between regions. What ties them is an Interface(...).")
            found = {region: s for region in homes if (s := _within(outer, self.domains[region])) is not None}
        if not found:
            raise DomainError(f"{condition.what()}: {place} does not touch the boundary of {listing(homes)}.")
        return found

    def _split(self, place: Points, homes: Sequence[str]) -> dict[str, Points]:
        names = next(iter(self.domains.values())).coordinates
        sides = self.sides(np.stack([place.columns[name] for name in names], axis=1))
        rows = {region: sides == self.names.index(region) for region in homes}
        return {r: Points(**{n: column[row] for n, column in place.columns.items()}) for r, row in rows.items() if row.any()}


def _within(place: Boundary, domain: Domain) -> Any:
    try:
        return place.within(domain)
    except DomainError:
        return None


def regions_of(
    domains: Mapping[str, Domain], residuals: Any, fields: Mapping[str, tuple[str, ...]], extras: Mapping[str, object]
) -> Regions:
    """The regions of a problem, from its domains and residuals by name. A field lives where a residual reads it.

    Raises:
        ProblemError: names that differ, no domain, regions that have other coordinates than the first or that overlap.
    """
    if not isinstance(residuals, Mapping) or set(residuals) != set(domains) or len(domains) < 2:
        given = listing(residuals) if isinstance(residuals, Mapping) else repr(residuals)
        raise ProblemError(
            f"A domain of several regions needs a residual for each of them, a dict with the same names {listing(domains)}, two "
            f"or more; got {given}."
        )
    first = next(iter(domains.values()))
    for name, domain in domains.items():
        if not isinstance(domain, Domain):
            raise ProblemError(f"domain={{{name!r}: ...}} needs a domain such as Disk(x=0, y=0, radius=1); got {domain!r}.")
        if not callable(residuals[name]):
            raise ProblemError(f"residual={{{name!r}: ...}} needs a function of fields and coordinates; got {residuals[name]!r}.")
        if domain.coordinates != first.coordinates:
            raise ProblemError(
                f"The region {name!r} has the coordinates {listing(domain.coordinates)}; give all of them "
                f"{listing(first.coordinates)}, in this order."
            )
    _check_apart(domains)
    read = {name: Expression(residuals[name], first.coordinates, fields, extras).orders() for name in domains}
    lives = {field: tuple(name for name in domains if field in read[name]) for field in fields}
    return Regions(dict(domains), {field: homes for field, homes in lives.items() if homes})


def _check_apart(domains: Mapping[str, Domain]) -> None:
    for (name, domain), (other_name, other) in combinations(domains.items(), 2):
        lower, upper = domain.bounds
        points = sampling.interior(domain, 2000, 0)
        deep = other.distance(points) < -_OVERLAP * float(np.linalg.norm(upper - lower))
        if deep.any():
            raise ProblemError(
                f"The regions {name!r} and {other_name!r} overlap: {deep.mean():.0%} of the first lies in the second. "
                "Subtract one from the other: {'in': a, 'out': b - a}."
            )


@by_name(ProblemError, "Interface(u=0.0, on=disk.boundary)")
class Interface(Condition):
    """Where two regions meet: [u] = g and [k ∂u/∂n] = h, with n the normal from the first of them into the second.

    [·] is the value in the second region less that in the first, in the order of the problem's `domain={...}`. So
    `Interface(u=0.0, coefficient={"in": 10.0}, on=disk.boundary)` says that u is continuous, and that what flows out of the disk
    flows into its surroundings.

    Args:
        on: the surface, selected on either side: `disk.boundary`.
        flux: h, for every field named, or by field; None where the flux is left free. Values as for `Dirichlet`.
        coefficient: k by region, 1 where none is given; numbers, or functions that ask for coordinates, constants, parameters and
            for fields, whose values are those of that region.
        name: how tables call it.
        values: for each field its jump g.

    Raises:
        ProblemError: no field, a value that is neither a finite number nor a function, a region that does not exist, or a surface
            with no two regions at it.

    Example:
        >>> from pinn.domains import Disk
        >>> Interface(u=0.0, coefficient={"in": 10.0}, on=Disk(x=0, y=0, radius=1).boundary)
        Interface(Interface [u] = 0, [k du/dn] = 0 on boundary of Disk(x=0, y=0, radius=1))
    """

    def __init__(
        self,
        *,
        on: Boundary,
        flux: Value | Mapping[str, Value] | None = 0.0,
        coefficient: Mapping[str, Value] | None = None,
        name: str | None = None,
        **values: Value,
    ):
        if not values:
            raise ProblemError("Interface() needs a field and its jump, such as Interface(u=0.0, on=disk.boundary).")
        if isinstance(on, Points):
            raise ProblemError(f"Interface(on=...) needs a surface, such as disk.boundary; got {on!r}.")
        if coefficient is not None and not isinstance(coefficient, Mapping):
            raise ProblemError(f"Interface(coefficient=...) needs a dict by region, such as {{'in': 10.0}}; got {coefficient!r}.")
        checked_place(on)
        self.on, self.name = on, name
        self.values = {field: checked_value(f"Interface({field}=...)", value) for field, value in values.items()}
        by_field = flux if isinstance(flux, Mapping) else dict.fromkeys(self.values, flux)
        for field in by_field:
            if field not in self.values:
                raise ProblemError(f"Interface(flux=...) names {field!r}; its fields are {listing(self.values)}.")
        self.flux = {f: checked_value("Interface(flux=...)", h) for f, h in by_field.items() if h is not None}
        self.coefficient = {r: checked_value("Interface(coefficient=...)", k) for r, k in (coefficient or {}).items()}

    def what(self) -> str:
        rows = [f"[{field}] = {shown(value)}" for field, value in self.values.items()]
        return "Interface " + ", ".join(rows + [f"[k d{field}/dn] = {shown(value)}" for field, value in self.flux.items()])

    def place(self, setting: Setting) -> Any:
        if setting.regions is None:
            raise ProblemError(
                f"{self.what()}: the domain is one region. Give it by regions, domain={{'in': a, 'out': b}}, and a "
                "residual for each."
            )
        return self.on

    def pairs(self, setting: Setting) -> Iterator[Part]:
        """The surface between each two regions that meet there, and what holds on it."""
        regions: Regions = setting.regions
        check_fields(self.what(), self.values, setting)
        for region in self.coefficient:
            if region not in regions.names:
                near = suggestion(region, regions.names)
                raise ProblemError(f"{self.what()}: {region!r} is no region; there are {listing(regions.names)}.{near}")
        found = []
        for first, second in combinations(regions.names, 2):
            surface = _within(self.on, regions.domains[second])
            surface = None if surface is None else _within(surface, regions.domains[first])
            if surface is not None:
                found.append((surface, first, second))
        if not found:
            raise DomainError(f"{self.what()}: no two of the regions {listing(regions.names)} meet on {self.on}.")
        for surface, first, second in found:
            between = f" ({first}, {second})" if len(found) > 1 else ""
            yield surface, self._tie(setting, first, second), self.label(setting) + between, {}

    def _tie(self, setting: Setting, first: str, second: str) -> Callable:
        what, aliases = self.what(), [setting.regions.alias(region) for region in (first, second)]
        for field in self.values:
            homes = setting.regions.lives[field]
            if first not in homes or second not in homes:
                raise ProblemError(
                    f"{what}: {field!r} lives in {listing(homes)} alone. What holds at its edge is a Dirichlet, Neumann or "
                    "other condition."
                )
        wanted = [n for value in (*self.values.values(), *self.flux.values()) for n in wanted_names(what, value, setting)]
        sides = [alias[field] for field in self.values for alias in aliases]

        def residual(**inputs: Array) -> dict[str, Array]:
            rows = {}
            for field, jump in self.values.items():
                before, after = (inputs[alias[field]] for alias in aliases)
                rows[field] = after - before - value_at(jump, inputs)
                if field in self.flux:
                    out, into = (
                        self._conductivity(region, alias)
                        * (inputs["normal"] @ grad(u, *(inputs[x] for x in setting.domain.spatial)))
                        for region, alias, u in zip((first, second), aliases, (before, after), strict=True)
                    )
                    rows[f"{field} flux"] = into - out - value_at(self.flux[field], inputs)
            return rows

        return named(residual, tuple(dict.fromkeys([*sides, *setting.domain.spatial, "normal", *wanted])), what)

    def _conductivity(self, region: str, alias: Mapping[str, str]) -> Any:
        value = self.coefficient.get(region, 1.0)
        return under(alias, value) if callable(value) else value
