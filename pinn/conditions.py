"""What ties a solution down: values, slopes and flows on the boundary, initial states, periodicity, data.

Each condition is a residual at one point and the set of points where it holds. `Condition` takes the residual itself; the
others are short ways to write common ones. They are given to a `Problem`, which checks their names and traces them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .boundaries import Boundary
from .errors import ProblemError, by_name, listing, suggestion
from .frames import name_of, named
from .operators import at, d, grad
from .values import (
    Points,
    Setting,
    Value,
    check_fields,
    checked_place,
    checked_value,
    reading,
    shown,
    value_at,
    wanted_names,
)


class Condition:
    """A residual that vanishes on part of the boundary, or at given points.

    Args:
        residual: a function at one point, as in `Problem`; it may also ask for `normal`, the unit vector that points out of
            the problem's domain, with one component for each spatial coordinate.
        on: part of the boundary, `domain.at(x=0)` or `domain.boundary`, or `Points`.
        name: how tables call it.

    Example:
        >>> from pinn.domains import Interval
        >>> Condition(lambda y, x: d(y, x) + y**4, on=Interval(x=(0, 1)).at(x=1))
        Condition(<lambda> on x = 1)
    """

    def __init__(self, residual: Callable, on: Boundary | Points, name: str | None = None):
        if not callable(residual):
            raise ProblemError(f"Condition() needs a function of fields and coordinates; got {residual!r}.")
        self.residual, self.on, self.name = residual, checked_place(on), name

    def function(self, setting: Setting) -> Callable:
        """The residual, with arguments by name."""
        return self.residual

    def place(self, setting: Setting) -> Any:
        """Where it holds: part of a boundary, points, or across the domain."""
        return self.on

    def label(self, setting: Setting) -> str:
        return self.name or f"{self.what()} on {self.place(setting)}"

    def what(self) -> str:
        return name_of(self.residual)

    def __repr__(self) -> str:
        where = f" on {self.on}" if hasattr(self, "on") else ""
        return f"{type(self).__name__}({self.what()}{where})"


class _Values(Condition):
    """A condition that compares something of each named field with a value."""

    def __init__(self, values: Mapping[str, Value], name: str | None):
        if not values:
            raise ProblemError(f"{type(self).__name__}() needs a field and its value, such as {type(self).__name__}(u=0.0, ...).")
        self.values = {field: checked_value(f"{type(self).__name__}({field}=...)", value) for field, value in values.items()}
        self.name = name

    def what(self) -> str:
        listed = ", ".join(f"{field} = {shown(value)}" for field, value in self.values.items())
        return f"{type(self).__name__} {listed}"

    def function(self, setting: Setting) -> Callable:
        check_fields(self.what(), self.values, setting)
        wanted = [name for value in self.values.values() for name in wanted_names(self.what(), value, setting)]
        names = dict.fromkeys([*self.values, *self.needs(setting), *wanted])

        def residual(**inputs):
            return {field: self.compare(field, value, inputs, setting) for field, value in self.values.items()}

        return named(residual, tuple(names), self.what())

    def needs(self, setting: Setting) -> tuple[str, ...]:
        return ()

    def compare(self, field: str, value: Value, inputs: Mapping, setting: Setting):
        raise NotImplementedError


@by_name(ProblemError, "Dirichlet(u=0.0, on=domain.boundary)")
class Dirichlet(_Values):
    """u = g on part of the boundary: `Dirichlet(u=0.0, on=box.at(x=(-1, 1)))`.

    Args:
        on: part of the boundary.
        name: how tables call it.
        values: for each field a number, or a function of coordinates, constants and parameters by name.

    Raises:
        ProblemError: no field, or a value that is neither a finite number nor a function.

    Example:
        >>> from pinn.domains import Box
        >>> Dirichlet(u=lambda y: y * (1 - y), on=Box(x=(0, 1), y=(0, 1)).at(x=0))
        Dirichlet(Dirichlet u = g(y) on x = 0)
    """

    def __init__(self, *, on: Boundary, name: str | None = None, **values: Value):
        super().__init__(values, name)
        self.on = checked_place(on)

    def compare(self, field, value, inputs, setting):
        return inputs[field] - value_at(value, inputs)


@by_name(ProblemError, "Neumann(u=0.0, on=domain.boundary)")
class Neumann(_Values):
    """∂u/∂n = g, the slope along the outward normal: `Neumann(c=0.0, on=hole.boundary)`. Arguments as for `Dirichlet`.

    Example:
        >>> from pinn.domains import Interval
        >>> Neumann(y=0.0, on=Interval(x=(0, 1)).at(x=1))
        Neumann(Neumann y = 0 on x = 1)
    """

    def __init__(self, *, on: Boundary, name: str | None = None, **values: Value):
        super().__init__(values, name)
        self.on = checked_place(on)

    def needs(self, setting):
        return (*setting.domain.spatial, "normal")

    def compare(self, field, value, inputs, setting):
        return _slope(field, inputs, setting) - value_at(value, inputs)


@by_name(ProblemError, "Robin(u=(a, b, g), on=domain.boundary)")
class Robin(Condition):
    """a u + b ∂u/∂n = g: `Robin(T=(a, b, g), on=box.at(y=1))`, each a number or a function as for `Dirichlet`.

    Raises:
        ProblemError: not three values for a field.

    Example:
        >>> from pinn.domains import Interval
        >>> Robin(T=(2.0, 1.0, 0.6), on=Interval(x=(0, 1)).at(x=1))
        Robin(Robin 2 T + 1 dT/dn = 0.6 on x = 1)
    """

    def __init__(self, *, on: Boundary, name: str | None = None, **values: tuple[Value, Value, Value]):
        if not values:
            raise ProblemError("Robin() needs a field and its three values, such as Robin(T=(a, b, g), ...).")
        self.values = {}
        for field, triple in values.items():
            if not isinstance(triple, tuple | list) or len(triple) != 3:
                raise ProblemError(f"Robin({field}=...) needs (a, b, g) for a {field} + b d{field}/dn = g; got {triple!r}.")
            self.values[field] = tuple(checked_value(f"Robin({field}=...)", value) for value in triple)
        self.on, self.name = checked_place(on), name

    def what(self) -> str:
        rows = [f"{shown(a)} {f} + {shown(b)} d{f}/dn = {shown(g)}" for f, (a, b, g) in self.values.items()]
        return "Robin " + ", ".join(rows)

    def function(self, setting):
        check_fields(self.what(), self.values, setting)
        wanted = [
            name for triple in self.values.values() for value in triple for name in wanted_names(self.what(), value, setting)
        ]
        names = dict.fromkeys([*self.values, *setting.domain.spatial, "normal", *wanted])

        def residual(**inputs):
            rows = {}
            for field, triple in self.values.items():
                a, b, g = (value_at(value, inputs) for value in triple)
                rows[field] = a * inputs[field] + b * _slope(field, inputs, setting) - g
            return rows

        return named(residual, tuple(names), self.what())


@by_name(ProblemError, "Initial(u=1.0)")
class Initial(_Values):
    """u = g where the problem starts: at the lower end of `t`, or of the only coordinate. Values as for `Dirichlet`.

    Example:
        >>> Initial(u=lambda x: x * (1 - x))
        Initial(Initial u = g(x))
    """

    def __init__(self, *, name: str | None = None, **values: Value):
        super().__init__(values, name)

    def place(self, setting):
        return setting.start()

    def compare(self, field, value, inputs, setting):
        return inputs[field] - value_at(value, inputs)


@by_name(ProblemError, "InitialVelocity(u=0.0)")
class InitialVelocity(_Values):
    """∂u/∂t = g where the problem starts: at the lower end of `t`, or of the only coordinate. Values as for `Dirichlet`.

    Example:
        >>> InitialVelocity(u=0.0)
        InitialVelocity(InitialVelocity u = 0)
    """

    def __init__(self, *, name: str | None = None, **values: Value):
        super().__init__(values, name)

    def place(self, setting):
        return setting.start()

    def needs(self, setting):
        return (setting.evolution,)

    def compare(self, field, value, inputs, setting):
        return d(inputs[field], inputs[setting.evolution]) - value_at(value, inputs)


class Periodic(Condition):
    """The two ends of a coordinate are one: values and derivatives 0 to m - 1 agree, m the equation's order in it.

    Args:
        coordinate: its name.
        fields: which fields; all by default.

    Raises:
        ProblemError: the coordinate or a field does not exist, or the equations have no derivative in it.

    Example:
        >>> Periodic("x")
        Periodic(Periodic in x)
    """

    def __init__(self, coordinate: str, *, fields: str | Sequence[str] | None = None, name: str | None = None):
        if not isinstance(coordinate, str):
            raise ProblemError(f"Periodic() needs the name of a coordinate, such as 'x'; got {coordinate!r}.")
        if not isinstance(fields, str | Sequence | None):
            raise ProblemError(f"Periodic({coordinate!r}, fields=...) needs names of fields, such as 'u v'; got {fields!r}.")
        self.coordinate, self.name = coordinate, name
        self.fields = tuple(fields.split()) if isinstance(fields, str) else fields

    def what(self) -> str:
        return f"Periodic in {self.coordinate}"

    def ends(self, setting: Setting) -> tuple[float, float]:
        names = setting.domain.coordinates
        if self.coordinate not in names:
            near = suggestion(self.coordinate, names)
            raise ProblemError(f"Periodic({self.coordinate!r}): the coordinates are {listing(names)}.{near}")
        i = names.index(self.coordinate)
        lower, upper = setting.domain.bounds
        return float(lower[i]), float(upper[i])

    def tied(self, setting: Setting) -> dict[str, int]:
        """How many derivatives of each field agree, the value counted as the first."""
        self.ends(setting)
        fields = self.fields or setting.fields
        check_fields(self.what(), fields, setting)
        axis = setting.domain.coordinates.index(self.coordinate)
        orders = {field: setting.orders.get(field, (0,) * setting.domain.dimension)[axis] for field in fields}
        still = [field for field, order in orders.items() if order == 0]
        if still and self.fields:
            raise ProblemError(f"Periodic({self.coordinate!r}): the equations have no derivative of {listing(still)} in it.")
        return {field: order for field, order in orders.items() if order}

    def place(self, setting):
        faces = [setting.domain.at(where=None, **{self.coordinate: end}) for end in self.ends(setting)]
        self._check_whole(setting)
        return faces[0]

    def _check_whole(self, setting: Setting) -> None:
        domain, ends = setting.domain, self.ends(setting)
        lower, upper = domain.bounds
        points = np.random.default_rng(0).uniform(lower, upper, (2000, domain.dimension))
        for end in ends:
            points[:, domain.coordinates.index(self.coordinate)] = end + 1e-6 * (sum(ends) / 2 - end)
            if not domain.contains(points).all():
                raise ProblemError(
                    f"Periodic({self.coordinate!r}): the face {self.coordinate} = {end:g} of {domain!r} is not whole, so that "
                    "some of its points have nothing opposite. Tie parts of a face with Condition(... at(u, ...) ..., on=...)."
                )

    def function(self, setting):
        tied, (_, upper) = self.tied(setting), self.ends(setting)

        def residual(**inputs):
            rows = {}
            for field, order in tied.items():
                value = inputs[field]
                for k in range(order):
                    rows[field + "'" * k] = value - at(value, **{self.coordinate: upper})
                    value = d(value, inputs[self.coordinate]) if k + 1 < order else value
            return rows

        return named(residual, (*tied, self.coordinate), self.what())


@by_name(ProblemError, "Data(x=[0.2, 0.7], u=[1.3, 1.9])")
class Data(Condition):
    """Observations of fields at points: `Data(t=times, x=places, u=readings)`.

    Args:
        sigma: standard deviation of the readings; estimated where None.
        name: how tables call it.
        columns: an array for each coordinate and for each field observed, all of one length.

    Raises:
        ProblemError: columns of different lengths, missing coordinates, values that are not finite.

    Example:
        >>> Data(x=[0.1, 0.9], u=[1.0, 2.0])
        Data(Data on 2 points)
    """

    def __init__(self, *, sigma: float | None = None, name: str | None = None, **columns: Sequence[float] | np.ndarray):
        if sigma is not None and not (isinstance(sigma, int | float) and sigma > 0):
            raise ProblemError(f"Data(sigma=...) must be a positive number or None; got {sigma!r}.")
        self.on, self.sigma, self.name = Points(**columns), sigma, name

    def what(self) -> str:
        return "Data"

    def observed(self, setting: Setting) -> tuple[str, ...]:
        known = (*setting.domain.coordinates, *setting.fields)
        for column in self.on.columns:
            if column not in known:
                raise ProblemError(
                    f"Data({column}=...): {column!r} is neither a coordinate ({listing(setting.domain.coordinates)}) nor a field "
                    f"({listing(setting.fields)}).{suggestion(column, known)}"
                )
        observed = tuple(field for field in setting.fields if field in self.on.columns)
        if not observed:
            raise ProblemError(f"Data() has no column for a field; the fields are {listing(setting.fields)}.")
        return observed

    def place(self, setting):
        renamed = {reading(n) if n in setting.fields else n: column for n, column in self.on.columns.items()}
        return Points(**renamed)

    def function(self, setting):
        observed = self.observed(setting)

        def residual(**inputs):
            return {field: inputs[field] - inputs[reading(field)] for field in observed}

        return named(residual, (*observed, *map(reading, observed)), self.what())


def _slope(field: str, inputs: Mapping, setting: Setting):
    return inputs["normal"] @ grad(inputs[field], *(inputs[name] for name in setting.domain.spatial))
