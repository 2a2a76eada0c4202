"""What conditions are made of: values that are numbers or functions, points given one by one, and the problem around them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from .boundaries import TIME, Boundary
from .domains import Domain
from .errors import ProblemError, by_name, listing, suggestion
from .frames import arguments

Value = float | Callable


@dataclass(frozen=True)
class Setting:
    """What a condition may know of the problem that it is part of."""

    domain: Domain
    fields: tuple[str, ...]
    orders: Mapping[str, tuple[int, ...]]  # of the equations, for each field by coordinate
    extras: tuple[str, ...]
    regions: Any = None  # the parts of the domain, where it has several

    @property
    def evolution(self) -> str:
        """The coordinate in which the problem starts: `t`, or the only one."""
        names = self.domain.coordinates
        if TIME in names:
            return TIME
        if len(names) == 1:
            return names[0]
        raise ProblemError(
            f"An initial condition needs a coordinate named 't'; this domain has {listing(names)}. Rename the one that is time, "
            "or use Dirichlet(..., on=domain.at(...))."
        )

    def start(self) -> Boundary:
        name = self.evolution
        face = {name: float(self.domain.bounds[0][self.domain.coordinates.index(name)])}
        return self.domain.at(where=None, **face)


@by_name(ProblemError, "Points(x=[0.2, 0.7])")
class Points:
    """Points given one by one, with values that belong to them: `Points(t=times, x=places, value=readings)`.

    Columns named like coordinates say where; a residual asks for the others by name. Without a column for t, in a problem of
    time and space, they stand for all times: `Condition(lambda p: p, on=Points(x=[0], y=[0]))` holds a pressure at one place.

    Raises:
        ProblemError: columns of different lengths, or a value that is no finite number.

    Example:
        >>> len(Points(x=[0.0, 0.5, 1.0], value=[1.0, 2.0, 4.0]))
        3
    """

    def __init__(self, **columns: Sequence[float] | np.ndarray):
        if not columns:
            raise ProblemError("Points() needs at least one column, such as x=[0.1, 0.2].")
        self.columns = {name: column_of_numbers(name, values) for name, values in columns.items()}
        lengths = {name: len(values) for name, values in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise ProblemError(f"The columns of points must have one length; got {lengths}.")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def at(self, domain: Domain) -> np.ndarray:
        """Where they are, [n, d]."""
        return np.stack([self.columns[name] for name in domain.coordinates], axis=1)

    def __repr__(self) -> str:
        return f"{len(self)} point{'s' * (len(self) != 1)}"


@dataclass(frozen=True, eq=False)
class Always:
    """Points of space at all times: a pressure that is held at one place."""

    points: Points

    def sample(self, domain: Domain, count: int, seed: Sequence[int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Points [n, d], one after the other at times of their own, and what they bring along, [n]; n at least their number."""
        columns = {name: np.resize(column, max(count, len(self.points))) for name, column in self.points.columns.items()}
        start, end = (float(ends[domain.coordinates.index(TIME)]) for ends in domain.bounds)
        n = len(next(iter(columns.values())))
        columns[TIME] = start + (end - start) * (np.arange(n) + np.random.default_rng(tuple(seed)).uniform()) / n
        return np.stack([columns.pop(name) for name in domain.coordinates], axis=1), columns

    def __repr__(self) -> str:
        return f"{self.points} at all times"


def value_at(value: Value, inputs: Mapping) -> Any:
    """A number, or a function's value from the inputs that it asks for."""
    return value(**{name: inputs[name] for name in arguments(value)}) if callable(value) else value


def reading(field: str) -> str:
    return f"observed {field}"  # no field can have this name


def wanted_names(what: str, value: Value, setting: Setting) -> tuple[str, ...]:
    names = arguments(value) if callable(value) else ()
    for name in names:
        if name in setting.fields:
            raise ProblemError(
                f"{what}: the value asks for the field {name!r}. Values depend on coordinates, constants and "
                "parameters; for anything else write Condition(lambda ...: ..., on=...)."
            )
        known = (*setting.domain.coordinates, *setting.extras, "normal")
        if name not in known:
            raise ProblemError(f"{what}: the value asks for {name!r}; there are {listing(known)}.{suggestion(name, known)}")
    return names


def check_fields(what: str, fields: Sequence[str] | Mapping, setting: Setting) -> None:
    for field in fields:
        if field not in setting.fields:
            near = suggestion(field, setting.fields)
            raise ProblemError(f"{what}: {field!r} is not a field; the fields are {listing(setting.fields)}.{near}")


def checked_place(on: object) -> Boundary | Points:
    if isinstance(on, Boundary | Points):
        return on
    raise ProblemError(
        f"on= needs a part of the boundary, such as domain.at(x=0) or domain.boundary, or Points(...); got {on!r}."
    )


def checked_value(where: str, value: object) -> Value:
    if callable(value):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | np.number | np.ndarray | jax.Array) or np.ndim(value):
        raise ProblemError(f"{where} needs a number or a function of the coordinates; got {value!r}.")
    if not math.isfinite(value):
        raise ProblemError(f"{where} needs a finite number; got {value!r}.")
    return float(value)


def column_of_numbers(name: str, values: object) -> np.ndarray:
    try:
        column = np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ProblemError(f"The column {name!r} must hold real numbers: {error}.") from error
    if column.ndim != 1:
        raise ProblemError(f"The column {name!r} must have one number a point; got an array of shape {column.shape}.")
    bad = np.flatnonzero(~np.isfinite(column))
    if len(bad):
        raise ProblemError(
            f"The column {name!r} holds {len(bad)} values that are not finite, the first at row {bad[0]}. Remove those rows."
        )
    return column


def shown(value: Value) -> str:
    return f"g({', '.join(arguments(value))})" if callable(value) else f"{value:g}"
