"""A residual or condition, traced once: what it reads of the fields, where, and how the value follows.

`Expression` turns a user's function into pure pieces that know no network:

    places(point, extras)          -> the sites it reads at, a place [d] each, or [N, d]; the first is the point itself
    value(point, leaves, extras)   -> [K], its components, from the leaves [L]

A site is one place, or the N places that an integral sums over: each of its leaves then stands for N numbers of the L.

so that a network, a set of features or an exact solution only has to supply the leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from .derivatives import MultiIndex, nested_jvp
from .errors import PinnError, ResidualError, listing, suggestion
from .frames import Frame, Leaf, Scope, Site, arguments, name_of, run
from .tracing import dependence, is_affine


class Expression:
    """A function of one point, traced against the names of a problem.

    Args:
        function: the user's residual or condition.
        coordinates: names, in the domain's order.
        fields: names, each with the coordinates that it depends on.
        extras: an example value of each constant, parameter, `normal` or data column.
        alias: the fields' names by those that the function asks for, where these differ.

    Attributes:
        leaves: the derivatives that it reads.
        sites: where it reads them; the first is the point itself.
        shapes: for each site () for one place, (N,) for those that an integral sums over, (N, N') for integrals of integrals.
        slots: where in the L numbers those of each leaf stand.
        components: a label for each scalar that it returns, [K].
        is_affine: whether it is affine in the fields.

    Raises:
        ResidualError: an unknown name, a value that is not one real number, or a function that depends on no field.
    """

    def __init__(
        self,
        function: Callable,
        coordinates: Sequence[str],
        fields: Mapping[str, tuple[str, ...]],
        extras: Mapping[str, object],
        alias: Mapping[str, str] | None = None,
    ):
        self.function, self.name = function, name_of(function)
        self.coordinates, self.fields, self.alias = tuple(coordinates), dict(fields), dict(alias or {})
        dtype = jnp.result_type(float)
        self._point = jnp.asarray(np.full(len(self.coordinates), 0.5), dtype)
        self._extras = {name: jnp.asarray(value) for name, value in extras.items()}
        self.asked: frozenset[str] = frozenset()
        self.leaves, self.sites, self.components = self._trace()
        self.shapes = self._shapes()
        ends = np.cumsum([0, *(prod(self.shapes[leaf.site]) for leaf in self.leaves)]).tolist()
        self.slots = {leaf: slice(*pair) for leaf, pair in zip(self.leaves, pairwise(ends), strict=True)}
        self.size = ends[-1]
        values = jnp.asarray(np.full(self.size, 0.5), dtype)
        self._check_places()
        uses = dependence(self._values, self._point, values, self._extras)[:, 1]
        for component, used in zip(self.components, uses, strict=True):
            if not used:
                which = f"its component {component!r} is" if component else "it is"
                raise ResidualError(
                    f"{self.name}() depends on no field: {which} the same whatever {listing(self.fields)} may be. "
                    "Use the fields through the arguments that it receives."
                )
        slopes_fixed = is_affine(lambda leaves: self.value(self._point, leaves, self._extras), values)
        self.is_affine = slopes_fixed and self._adds_up()

    def orders(self) -> dict[str, tuple[int, ...]]:
        """For each field that is read, the highest derivative by each coordinate."""
        found: dict[str, list[MultiIndex]] = {}
        for leaf in self.leaves:
            found.setdefault(leaf.field, []).append(leaf.index)
        return {name: tuple(map(max, zip(*indices, strict=True))) for name, indices in found.items()}

    def demand(self, site: Site) -> dict[str, list[MultiIndex]]:
        """The derivatives of each field that are read at one site."""
        found: dict[str, list[MultiIndex]] = {}
        for leaf in self.leaves:
            if leaf.site == site:
                found.setdefault(leaf.field, []).append(leaf.index)
        return found

    @property
    def integrates(self) -> bool:
        """Whether a site is more than one place."""
        return any(self.shapes.values())

    @property
    def read(self) -> tuple[Leaf, ...]:
        """What each of the L numbers is."""
        return tuple(leaf for leaf, slot in self.slots.items() for _ in range(slot.start, slot.stop))

    def flat(self, values: Mapping[Leaf, Array]) -> Array:
        """The leaves' values, each a number or one for each place, as one vector [L]."""
        if not self.leaves:
            return jnp.zeros(0)
        if not self.integrates:
            return jnp.stack([values[leaf] for leaf in self.leaves])
        return jnp.concatenate([values[leaf].reshape(-1) for leaf in self.leaves])

    def places(self, point: Array, extras: Mapping[str, Array]) -> tuple[Array, ...]:
        """For each site its place, [d], or the places [N, d] that an integral sums over, at one point [d]."""
        if len(self.sites) == 1:
            return (point,)
        visited = self._visit(point, jnp.zeros((), point.dtype), extras)
        return tuple(self._place(visited[site], self.shapes[site], point.dtype) for site in self.sites)

    def _place(self, place: Sequence[Array], shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        columns = [jnp.asarray(x, dtype) for x in place]
        columns = [jnp.broadcast_to(x.reshape(x.shape + (1,) * (len(shape) - x.ndim)), shape) for x in columns]
        return jnp.stack(columns, axis=-1).reshape(-1, len(columns)) if shape else jnp.stack(columns)

    def _shapes(self) -> dict[Site, tuple[int, ...]]:
        if len(self.sites) == 1:
            return {(): ()}
        visited = jax.eval_shape(lambda: self._visit(self._point, jnp.zeros((), self._point.dtype), self._extras))
        return {site: max((jnp.shape(x) for x in visited[site]), key=len) for site in self.sites}

    def value(self, point: Array, leaves: Array, extras: Mapping[str, Array]) -> Array:
        """The components, [K], at one point [d] where the leaves have the values [L]."""
        return jnp.stack(self._values(point, leaves, extras))

    def _values(self, point: Array, leaves: Array, extras: Mapping[str, Array]) -> list[Array]:
        table = {leaf: leaves[slot].reshape(self.shapes[leaf.site]) for leaf, slot in self.slots.items()}
        out = self._run(self._frame(point, table.__getitem__, extras))
        return [jnp.asarray(value, leaves.dtype) for value in components(out)[1]]

    def _frame(self, point: Array, read: Callable, extras: Mapping[str, Array], **options) -> Frame:
        coordinates = tuple(point[i] for i in range(len(self.coordinates)))
        scope = Scope(self.coordinates, self.fields, extras, alias=self.alias)
        return Frame(scope, self.function, coordinates, read, **options)

    def _run(self, frame: Frame) -> object:
        """What the function returns, and what it raises in words: it is traced again and again, and may fail late."""
        try:
            return run(self.function, frame)
        except PinnError:
            raise
        except jax.errors.TracerBoolConversionError as error:
            raise ResidualError(
                f"{self.name}() branches on a value (if, and, or, max of Python). A residual is traced for all points at once: "
                "use jnp.where, jnp.logical_and, jnp.maximum."
            ) from error
        except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as error:
            raise ResidualError(
                f"{self.name}() uses NumPy or math on a traced value: use jax.numpy, as in jnp.sin(u)."
            ) from error
        except Exception as error:
            raise ResidualError(f"{self.name}() fails when it is called at one point: {type(error).__name__}: {error}") from error

    def _visit(self, point: Array, placeholder: Array, extras: Mapping[str, Array]) -> dict[Site, tuple]:
        frame = self._frame(point, lambda _: jnp.array(placeholder), extras, locating=True)
        frame.visited[()] = frame.point
        self._run(frame)
        return frame.visited

    def _trace(self) -> tuple[tuple[Leaf, ...], tuple[Site, ...], tuple[str, ...]]:
        leaves: dict[Leaf, None] = {}
        labels: list[str] = []

        def abstract(point: Array, placeholder: Array, extras: Mapping[str, Array]):
            def read(leaf: Leaf) -> Array:
                leaves.setdefault(leaf)
                return jnp.array(placeholder)

            frame = self._frame(point, read, extras, checking=True)
            out = self._run(frame)
            self.asked = frozenset(frame.scope.asked)
            names, values = components(out)
            if not names:
                raise ResidualError(f"{self.name}() returns nothing: an empty {type(out).__name__}.")
            labels.extend(names)
            for name, value in zip(names, values, strict=True):
                self._check_number(name, value)

        jax.eval_shape(abstract, self._point, jnp.zeros((), self._point.dtype), self._extras)
        ordered = tuple(sorted(leaves))
        sites = tuple(sorted({leaf.site for leaf in ordered} | {()}, key=lambda site: (len(site), site)))
        return ordered, sites, tuple(labels)

    def _check_number(self, name: str, value: object) -> None:
        which = f"{self.name}()" + (f", component {name!r}," if name else "")
        if isinstance(value, bool) or (isinstance(value, Array | np.ndarray) and jnp.issubdtype(value.dtype, jnp.bool_)):
            raise ResidualError(f"{which} returns bool; a number is needed. Use jnp.where(condition, 1.0, 0.0).")
        if not isinstance(value, Array | np.ndarray | np.number | float | int):
            raise ResidualError(f"{which} returns {type(value).__name__}; a number is needed. Is a return missing?")
        shape, dtype = jnp.shape(value), jnp.result_type(value)
        if shape != ():
            raise ResidualError(
                f"{which} returns an array of shape {shape}. It is called at one point, where fields and coordinates are single "
                "numbers, and must return one number for each equation: a scalar, a tuple or a dict of scalars."
            )
        if not (jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)):
            raise ResidualError(f"{which} returns {dtype}; a real number is needed. Split a complex equation in two parts.")

    def _adds_up(self) -> bool:
        """F(a) + F(b) = F(a + b) + F(0) for a few leaves: a step such as sign(u) has a fixed slope, and does not add up."""
        rng = np.random.default_rng(0)
        for scale in (0.1, 1.0, 1.0, 30.0):
            a, b = (jnp.asarray(scale * rng.normal(size=self.size), self._point.dtype) for _ in range(2))
            found = [self.value(self._point, leaves, self._extras) for leaves in (a, b, a + b, jnp.zeros_like(a))]
            if any(isinstance(value, Tracer) for value in found):
                return False
            one, two, both, none = (np.asarray(value) for value in found)
            if not np.allclose(one + two, both + none, rtol=1e-5, atol=1e-6 * scale):
                return False
        return True

    def _check_places(self) -> None:
        if len(self.sites) == 1:
            return

        def places(placeholder: Array) -> list:
            visited = self._visit(self._point, placeholder, self._extras)
            return [jnp.asarray(x) for site in self.sites for x in visited[site]]

        if dependence(places, jnp.zeros((), self._point.dtype)).any():
            raise ResidualError(
                f"{self.name}(): at() moves a field to a place that depends on a field, or integral() has such a limit. It may "
                "depend on coordinates, constants and parameters only."
            )


def components(out: object) -> tuple[list[str], list]:
    """A label and a value for each scalar that a residual returned: by its name in a dict, its number in a tuple."""
    if isinstance(out, Mapping):
        return [str(name) for name in out], list(out.values())
    if isinstance(out, tuple | list):
        return [str(i + 1) for i in range(len(out))], list(out)
    return [""], [out]


def apply(function: Callable, point: Mapping[str, float], fields: Mapping[str, Callable], **extras: object):
    """A residual or condition at one point, for fields given as functions of the coordinates: the way to try one out.

    Args:
        function: the residual, as a `Problem` takes it.
        point: a number for each coordinate.
        fields: a JAX-traceable function for each field, of the coordinates that it names.
        extras: constants, parameters, `normal`.

    Returns:
        The residual's value; a dict where it returns a dict, a tuple where it returns several.

    Example:
        >>> from pinn.operators import d
        >>> apply(lambda y, x: d(y, x, x) + d(y, x) + y, {"x": 0.5}, {"y": lambda x: jnp.exp(-x)})
        Array(0.60653066, dtype=float64)
    """
    for name, fn in fields.items():
        for argument in arguments(fn):
            if argument not in point:
                near = suggestion(argument, point)
                raise ResidualError(f"apply(): the field {name!r} asks for {argument!r}; the point has {listing(point)}.{near}")
    depends = {name: arguments(fn) for name, fn in fields.items()}
    expression = Expression(function, tuple(point), depends, extras)
    here = jnp.array([jnp.asarray(x, float) for x in point.values()])
    given = {name: jnp.asarray(value) for name, value in extras.items()}
    values = read_leaves(expression, field_functions(fields, tuple(point)), here, given)
    components = list(expression.value(here, values, given))
    if not any(expression.components):
        return components[0]
    numbered = expression.components == tuple(str(i + 1) for i in range(len(components)))
    return tuple(components) if numbered else dict(zip(expression.components, components, strict=True))


def field_functions(fields: Mapping[str, Callable], coordinates: Sequence[str]) -> dict[str, Callable[[Array], Array]]:
    """Functions of named coordinates as functions of the point [d]."""

    def of_point(fn: Callable) -> Callable[[Array], Array]:
        axes = {name: coordinates.index(name) for name in arguments(fn)}
        return lambda p: jnp.asarray(fn(**{name: p[i] for name, i in axes.items()}), p.dtype)

    return {name: of_point(fn) for name, fn in fields.items()}


def read_leaves(
    expression: Expression, fields: Mapping[str, Callable[[Array], Array]], point: Array, extras: Mapping[str, Array]
) -> Array:
    """The leaves, [L], of fields given as functions of the point [d]."""
    values: dict[Leaf, Array] = {}
    for site, place in zip(expression.sites, expression.places(point, extras), strict=True):
        for name, indices in expression.demand(site).items():
            found = everywhere(lambda p, name=name, indices=indices: nested_jvp(fields[name], p, indices), place)
            values |= {Leaf(site, name, index): value for index, value in found.items()}
    return expression.flat(values)


def everywhere(function: Callable[[Array], Any], place: Array) -> Any:
    """A function of one place [d] at a site: there, or at each of the places [N, d] that it stands for."""
    return function(place) if place.ndim == 1 else jax.vmap(function)(place)
