"""What a residual is written with: d, grad, div, curl, laplacian, at.

A residual is called at one point, with field values, coordinates and parameters as JAX scalars. The operators recognise a
field by identity of the value object and look its derivative up; they never differentiate the network themselves. All that a
residual can read of the fields is a list of *leaves*: ∂^α of one field at one *site*, where the sites are the point itself
and the places that `at` moves to. So a residual is a function of the point and its leaves,

    F(point, (∂^α u(site)) , constants and parameters),

with no network inside. A derivative of an expression is its total derivative, by the chain rule over the leaves:
D_x f = ∂f/∂x + Σ ∂f/∂u_α · u_{α+x}.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from .derivatives import MultiIndex, raised
from .errors import ResidualError, listing, suggestion
from .tracing import captured

Path = tuple[int, ...]
Site = tuple[Path, ...]
Point = tuple[Array, ...]


@dataclass(frozen=True, order=True)
class Leaf:
    """∂^index of `field` at `site`; the empty site is the point itself."""

    site: Site
    field: str
    index: MultiIndex


@dataclass(frozen=True)
class Node:
    """What a value stands for, so that it can be differentiated: a field, a named function, or either of them moved.

    `axes` are the total derivatives taken of it, oldest first; `path` names the call that made it, the same at every replay.
    """

    what: Any  # a field's name, a function, or the Node that was moved
    path: Path = ()
    axes: tuple[int, ...] = ()
    place: Callable[[Point], Point] | None = None  # moved nodes: where to, as a function of the point

    @property
    def is_field(self) -> bool:
        return isinstance(self.what, str)


@dataclass(frozen=True)
class Scope:
    """The names that a residual may ask for."""

    coordinates: tuple[str, ...]
    fields: Mapping[str, tuple[str, ...]]  # each with the coordinates that it depends on
    extras: Mapping[str, Array] = field(default_factory=dict)  # constants, parameters, normal, data columns
    asked: set[str] = field(default_factory=set, compare=False)  # every name that a function has asked for

    def describe(self) -> str:
        return (
            f"this problem has fields {listing(self.fields)}, coordinates {listing(self.coordinates)}, "
            f"constants and parameters {listing(self.extras)}"
        )


@dataclass
class Frame:
    """One run of a user's function at one place.

    `read` maps a leaf to its value; `known` maps ids of the values handed out to what they stand for, and holds the values so
    that their ids stay taken. While `locating`, only places matter and derivatives are not computed; a frame that is `seeking`
    the place of one `at` stops there.
    """

    scope: Scope
    function: Callable
    point: Point
    read: Callable[[Leaf], Array]
    site: Site = ()
    path: Path = ()
    visited: dict[Site, Point] = field(default_factory=dict)
    locating: bool = False
    seeking: Path | None = None
    checking: bool = False
    known: dict[int, tuple[Array, Node]] = field(default_factory=dict)
    calls: int = 0

    def remember(self, value: Array, node: Node) -> Array:
        other = id(value) in self.known and self.known[id(value)][1] != node
        if other or any(value is x for x in self.point):
            value = jnp.array(value)  # one object never stands for two functions
        self.known[id(value)] = value, node
        return value

    def next_path(self) -> Path:
        self.calls += 1
        return (*self.path, self.calls)

    def fresh(self, **changes) -> Frame:
        return replace(self, known={}, calls=0, **changes)


class _Found(Exception):
    def __init__(self, place: Point):
        self.place = place


_frame: ContextVar[Frame] = ContextVar("frame")
_NAMES = "_names"  # what a function of keywords, made by `named`, asks for


def arguments(fn: Callable) -> tuple[str, ...]:
    """The names that a function asks for; arguments with a default keep it."""
    if hasattr(fn, _NAMES):
        return getattr(fn, _NAMES)
    kinds = inspect.Parameter
    signature = inspect.signature(fn).parameters.values()
    for p in signature:
        if p.kind in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD, kinds.POSITIONAL_ONLY):
            raise ResidualError(
                f"{name_of(fn)}() must name its arguments one by one; {p.name!r} cannot be filled in by name. "
                f"Write lambda x: {name_of(fn)}(x), with the names of this problem."
            )
    return tuple(p.name for p in signature if p.default is kinds.empty)


def name_of(fn: object) -> str:
    return getattr(fn, "__name__", type(fn).__name__)


def _current(operator: str) -> Frame:
    frame = _frame.get(None)
    if frame is None:
        raise ResidualError(f"{operator}() has a meaning only inside a residual or condition; to try one, use pinn.apply.")
    return frame


# --- the operators ---------------------------------------------------------------------------------------------------


def d(u: Array | Callable, *wrt: Array) -> Array:
    """Partial derivative ∂u/∂x: `d(u, x)`; of any order and mixed: `d(u, x, x)`, `d(u, t, x)`.

    Args:
        u: a field, a derivative of one, or a named function of fields and coordinates (`d(flux, x)`).
        wrt: coordinates, as the residual received them.

    Raises:
        ResidualError: u or a coordinate is something else, or a function takes values from around it.

    Example:
        >>> apply(lambda y, x: d(y, x, x) + y, {"x": 0.5}, {"y": lambda x: jnp.sin(x)})
        Array(0., dtype=float64)
    """
    frame = _current("d")
    node = _node_of(frame, u, "d")
    if not wrt:
        raise ResidualError("d() needs a coordinate to differentiate by: d(u, x).")
    for x in wrt:
        node = _differentiated(frame, node, _axis(frame, x))
    return frame.remember(_value(node, frame), node)


def grad(u: Array | Callable, *wrt: Array) -> Array:
    """Gradient (∂u/∂x, ∂u/∂y, ...), a vector with one component for each coordinate named.

    Example:
        >>> apply(lambda u, x, y: grad(u, x, y) @ jnp.array([1.0, 2.0]), {"x": 0.5, "y": 2.0}, {"u": lambda x, y: x * y})
        Array(3., dtype=float64)
    """
    _needs_coordinates("grad", wrt)
    return jnp.stack([d(u, x) for x in wrt])


def div(q: Sequence[Array | Callable] | Callable, *wrt: Array) -> Array:
    """Divergence Σ ∂qᵢ/∂xᵢ of a vector: a sequence of fields, derivatives or functions, or a function returning a vector.

    Example:
        >>> def flux(u, x, y): return (1 + x) * grad(u, x, y)
        >>> apply(lambda u, x, y: div(flux, x, y), {"x": 0.5, "y": 2.0}, {"u": lambda x, y: x * x + y})
        Array(4., dtype=float64)
    """
    _needs_coordinates("div", wrt)
    return functools.reduce(jnp.add, [d(u, x) for u, x in zip(_components("div", q, len(wrt)), wrt, strict=True)])


def laplacian(u: Array | Callable, *wrt: Array) -> Array:
    """Laplacian Σ ∂²u/∂xᵢ² over the coordinates named.

    Example:
        >>> apply(lambda u, x, y: laplacian(u, x, y), {"x": 0.5, "y": 2.0}, {"u": lambda x, y: x**2 + 3 * y**2})
        Array(8., dtype=float64)
    """
    _needs_coordinates("laplacian", wrt)
    return functools.reduce(jnp.add, [d(u, x, x) for x in wrt])


def curl(q: Sequence[Array | Callable] | Callable, *wrt: Array) -> Array:
    """Curl of a vector: ∂q₂/∂x - ∂q₁/∂y in the plane, a vector of three in space. Vectors as for `div`.

    Example:
        >>> swirl = {"u": lambda x, y: -y * x**2, "v": lambda x, y: 3 * x}
        >>> apply(lambda u, v, x, y: curl([u, v], x, y), {"x": 2.0, "y": 1.0}, swirl)
        Array(7., dtype=float64)
    """
    if len(wrt) not in (2, 3):
        raise ResidualError(f"curl() needs the two or three coordinates of space: curl([u, v], x, y); got {len(wrt)}.")
    parts = _components("curl", q, len(wrt))

    def turn(i: int, j: int) -> Array:
        return d(parts[j], wrt[i]) - d(parts[i], wrt[j])

    return turn(0, 1) if len(wrt) == 2 else jnp.stack([turn(1, 2), turn(2, 0), turn(0, 1)])


def at(u: Array | Callable, **where: Array | float) -> Array:
    """The field (derivative, function) u at another point: `at(u, x=0)`, `at(u, t=t - 0.1)`; other coordinates stay.

    The place may depend on coordinates, constants and parameters; it moves with them, so that
    `d(at(u, t=2 * t), t)` is 2 u_t(2t).

    Raises:
        ResidualError: a name that is no coordinate, or a place that depends on a field.

    Example:
        >>> apply(lambda u, x: at(u, x=1.0) - at(u, x=x - 1.0), {"x": 3.0}, {"u": lambda x: x**2})
        Array(-3., dtype=float64)
    """
    frame = _current("at")
    names = frame.scope.coordinates
    for name in where:
        if name not in names:
            raise ResidualError(f"at(): {name!r} is not a coordinate; there are {listing(names)}.{suggestion(name, names)}")
    node, path = _node_of(frame, u, "at"), frame.next_path()
    place = tuple(_number(name, where[name], x.dtype) if name in where else x for name, x in zip(names, frame.point, strict=True))

    if frame.seeking == path:
        raise _Found(place)

    def place_at(point: Point) -> Point:
        if all(a is b for a, b in zip(point, frame.point, strict=True)):
            return place
        try:
            run(frame.function, frame.fresh(point=point, locating=True, seeking=path, checking=False, visited={}))
        except _Found as found:
            return found.place
        raise ResidualError(f"{name_of(frame.function)}() does not make the same calls of at() every time that it is called.")

    moved = Node(node, path, place=place_at)
    return frame.remember(_value(moved, frame), moved)


def _number(name: str, value: Any, dtype: jnp.dtype) -> Any:
    """One number; a constant stays NumPy, so that `_total_derivative` sees that it does not move."""
    number = jnp.array(value, dtype) if isinstance(value, Array) else np.array(value, dtype)
    if number.shape != ():
        raise ResidualError(f"at(): {name} must be one number; got an array of shape {number.shape}.")
    return number


def _needs_coordinates(operator: str, wrt: Sequence) -> None:
    if not wrt:
        raise ResidualError(f"{operator}() needs at least one coordinate to differentiate by: {operator}(u, x).")


def _components(operator: str, q: Sequence[Array | Callable] | Callable, count: int) -> Sequence[Array | Callable]:
    if callable(q):
        return [_component(operator, q, i, count) for i in range(count)]
    if len(q) != count:
        raise ResidualError(f"{operator}() needs one component for each coordinate; got {len(q)} for {count}.")
    return q


def _component(operator: str, q: Callable, i: int, count: int) -> Callable:
    def component(**inputs):
        vector = q(**inputs)
        shape = jnp.shape(vector) if isinstance(vector, Array | np.ndarray) else (len(vector),)
        if len(shape) != 1:
            raise ResidualError(
                f"{operator}() differentiates a vector; {name_of(q)}() returns one number. Return one component for each "
                "coordinate."
            )
        if shape[0] != count:
            raise ResidualError(f"{operator}() needs one component for each coordinate; got {shape[0]} for {count}.")
        return vector[i]

    return named(component, arguments(q), f"{name_of(q)}[{i}]")


def named(fn: Callable, names: Sequence[str], name: str) -> Callable:
    """A function of keywords that asks for `names`, as if it had been written with them."""

    def call(**inputs):
        return fn(**inputs)

    vars(call)[_NAMES] = tuple(names)
    call.__name__ = name
    return call


# --- recognising and evaluating --------------------------------------------------------------------------------------


def _axis(frame: Frame, x: object) -> int:
    for i, coordinate in enumerate(frame.point):
        if coordinate is x:
            return i
    given = repr(x) if isinstance(x, str) else "an expression"
    raise ResidualError(
        f"d(): the second argument must be one of the coordinates {listing(frame.scope.coordinates)}, as the function "
        f"received it; got {given}."
    )


def _node_of(frame: Frame, u: object, operator: str) -> Node:
    if id(u) in frame.known:
        return frame.known[id(u)][1]
    if not callable(u):
        raise ResidualError(
            f"{operator}() takes a field (u), a derivative of one (d(u, x)), or a function; this is a value computed from "
            "them. Name the expression: `def flux(u, x): return k(x) * d(u, x)`, then d(flux, x)."
        )
    node = Node(u, frame.next_path())
    if frame.checking:
        _refuse_captures(frame.fresh(path=node.path, function=u), u)
    return node


def _refuse_captures(frame: Frame, fn: Callable) -> None:
    """A function that takes a traced value from around it would be differentiated as if that value were constant."""

    def alone(point: Point, extras: Mapping[str, Array], leaf: Array):
        scope = replace(frame.scope, extras=extras)
        return run(fn, frame.fresh(scope=scope, point=point, read=lambda _: jnp.array(leaf), visited={}))

    if not captured(alone, frame.point, frame.scope.extras, jnp.zeros(())):
        return
    freevars = getattr(getattr(fn, "__code__", None), "co_freevars", ())
    cells = zip(freevars, getattr(fn, "__closure__", None) or (), strict=False)
    names = [name for name, cell in cells if isinstance(cell.cell_contents, Tracer)]
    if names:
        definition = f"def {name_of(fn)}({', '.join([*arguments(fn), *names])})"
        raise ResidualError(
            f"{name_of(fn)}() takes {listing(names)} from the residual around it, so d() cannot vary it. Make it an argument: "
            f"{definition}."
        )
    raise ResidualError(
        f"{name_of(fn)}() uses a value of the residual around it, through a list or another function, so d() cannot vary it. "
        f"Let {name_of(fn)}() ask for the fields, coordinates and parameters that it needs as arguments."
    )


def _differentiated(frame: Frame, node: Node, axis: int) -> Node:
    if node.is_field:
        coordinate, depends = frame.scope.coordinates[axis], frame.scope.fields[str(node.what)]
        if coordinate not in depends:
            raise ResidualError(
                f"d(): {node.what} depends on {listing(depends)} alone; its derivative by {coordinate!r} is zero."
            )
    return replace(node, axes=(*node.axes, axis))


def _value(node: Node, frame: Frame) -> Array:
    if node.is_field:
        index = tuple(node.axes.count(i) for i in range(len(frame.point)))
        return frame.read(Leaf(frame.site, str(node.what), index))
    if node.axes and not frame.locating:
        return _total_derivative(replace(node, axes=node.axes[:-1]), frame, node.axes[-1])
    if node.place is None:
        return run(node.what, frame.fresh(path=node.path, function=node.what))
    place, site = node.place(frame.point), (*frame.site, node.path)
    frame.visited[site] = place
    return _value(node.what, frame.fresh(point=place, site=site, path=node.path))


def _located(what: Callable | Node, frame: Frame) -> dict[Site, Point]:
    """The places that a function or node reads at, each a point, as functions of the frame's point."""
    frame = replace(frame, locating=True, checking=False, visited={frame.site: frame.point})
    run(what, frame) if callable(what) else _value(what, frame)
    return frame.visited


def _total_derivative(node: Node, frame: Frame, axis: int) -> Array:
    """D_axis of a function or moved node: the chain rule over the point and every leaf that it reads."""
    unit = tuple(jnp.ones_like(x) if i == axis else jnp.zeros_like(x) for i, x in enumerate(frame.point))
    read: dict[Leaf, Array] = {}
    fixed: set[tuple[Site, int]] = set()

    def recorded(leaf: Leaf) -> Array:
        return read.setdefault(leaf, frame.read(leaf))

    def places(point: Point) -> dict[Site, Point]:
        located = _located(node, frame.fresh(point=point))
        fixed.update((s, i) for s, p in located.items() for i, x in enumerate(p) if not isinstance(x, Tracer))
        return located

    def function(point: Point, leaves: dict[Leaf, Array]) -> Array:
        return _value(node, frame.fresh(point=point, read=leaves.__getitem__, checking=False, visited={}))

    def rate(leaf: Leaf) -> Array:
        depends = frame.scope.fields[leaf.field]
        axes = [i for i, name in enumerate(frame.scope.coordinates) if name in depends and (leaf.site, i) not in fixed]
        axes = [i for i in axes if i == axis] if leaf.site == frame.site else axes
        total = jnp.zeros((), frame.point[0].dtype)
        for i in axes:
            total = total + moves[leaf.site][i] * frame.read(replace(leaf, index=raised(leaf.index, i)))
        return total

    _value(node, frame.fresh(read=recorded))
    _, moves = jax.jvp(places, (frame.point,), (unit,))
    leaves = dict(read)
    tangents = {leaf: jnp.asarray(rate(leaf), value.dtype) for leaf, value in leaves.items()}
    return jax.jvp(function, (frame.point, leaves), (unit, tangents))[1]


def run(fn: Callable, frame: Frame):
    """Call `fn` with the fields, coordinates and extras that it names."""
    scope, inputs = frame.scope, {}
    for name in arguments(fn):
        scope.asked.add(name)
        if name in scope.fields:
            inputs[name] = frame.remember(_value(Node(name), frame), Node(name))
        elif name in scope.coordinates:
            inputs[name] = frame.point[scope.coordinates.index(name)]
        elif name in scope.extras:
            inputs[name] = scope.extras[name]
        else:
            known = [*scope.fields, *scope.coordinates, *scope.extras]
            raise ResidualError(f"{name_of(fn)}() asks for {name!r}; {scope.describe()}.{suggestion(name, known)}")
    token = _frame.set(frame)
    try:
        return fn(**inputs)
    finally:
        _frame.reset(token)
