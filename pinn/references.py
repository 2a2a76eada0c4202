"""Reference solutions: what an answer is measured against, never what it is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from .errors import ProblemError, listing, suggestion
from .frames import arguments, name_of, named


class Reference:
    """A known solution as a function of the coordinates, in NumPy or JAX.

    Args:
        function: asks for coordinates by name, gets arrays [n], and returns an array [n] for one field, or a dict of
            arrays by field for several (fields that are not known may be left out).
        coordinates, fields: the problem's.

    Raises:
        ProblemError: an unknown name, or a value of the wrong shape.

    Example:
        >>> reference = Reference(lambda x: np.cos(x), ("x",), ("y",))
        >>> reference(np.zeros((3, 1)))
        {'y': array([1., 1., 1.])}
    """

    def __init__(self, function: Callable, coordinates: Sequence[str], fields: Sequence[str]):
        if not callable(function):
            raise ProblemError(f"reference= needs a function of the coordinates {listing(coordinates)}; got {function!r}.")
        self.function: Callable = function
        self.coordinates: tuple[str, ...] = tuple(coordinates)
        self.fields: tuple[str, ...] = tuple(fields)
        for name in arguments(function):
            if name not in self.coordinates:
                raise ProblemError(
                    f"{name_of(function)}(), the reference, asks for {name!r}; a reference is a function of the coordinates "
                    f"{listing(coordinates)}.{suggestion(name, coordinates)}"
                )

    def __call__(self, points: np.ndarray) -> dict[str, np.ndarray]:
        """The known fields at points [n, d], each [n]."""
        inputs = {name: points[:, self.coordinates.index(name)] for name in arguments(self.function)}
        try:
            values = self.function(**inputs)
        except Exception as error:
            raise ProblemError(
                f"{name_of(self.function)}(), the reference, fails on arrays of {listing(inputs)}: {type(error).__name__}: "
                f"{error}. It is called with all points at once: use NumPy or jax.numpy, not math."
            ) from error
        if not isinstance(values, Mapping):
            if len(self.fields) > 1:
                raise ProblemError(
                    f"{name_of(self.function)}(), the reference, returns one array for {len(self.fields)} fields; return a dict "
                    f"of arrays by field: {listing(self.fields)}."
                )
            values = dict.fromkeys(self.fields, values)
        for field in values:
            if field not in self.fields:
                near = suggestion(field, self.fields)
                raise ProblemError(f"The reference returns {field!r}; the fields are {listing(self.fields)}.{near}")
        return {field: self._column(field, value, len(points)) for field, value in values.items()}

    def _column(self, field: str, value: object, count: int) -> np.ndarray:
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise ProblemError(f"The reference for {field!r} must return real numbers; it returned {value!r:.60}.")
        if array.shape not in ((), (count,)):
            raise ProblemError(
                f"The reference for {field!r} has shape {array.shape} at {count} points; it must return one value a point, "
                f"({count},). It receives each coordinate as an array of that shape."
            )
        return np.broadcast_to(array.astype(np.float64), (count,))

    def held(self, field: str, place: Mapping[str, float]) -> Reference:
        """The same with a field less its value at a place, given by some of the coordinates; unknown where that is."""

        def function(**inputs: np.ndarray) -> dict[str, np.ndarray]:
            points = np.stack([inputs[name] for name in self.coordinates], axis=1)
            values, there = self(points), points.copy()
            for name, value in place.items():
                there[:, self.coordinates.index(name)] = value
            shift = self(there).get(field, np.zeros(0))
            known = {name: value for name, value in values.items() if name != field}
            return known | {field: values[field] - shift} if shift.size and np.all(np.isfinite(shift)) else known

        return Reference(named(function, self.coordinates, name_of(self.function)), self.coordinates, self.fields)

    def check(self, points: np.ndarray) -> None:
        """Raise `ProblemError` unless it gives finite numbers somewhere at points [n, d]; it may be undefined in places."""
        for field, column in self(points).items():
            if not np.isfinite(column).any():
                raise ProblemError(f"The reference for {field!r} is finite nowhere: {column[0]} at {len(points)} points inside.")
