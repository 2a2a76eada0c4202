"""How a residual is run: what its values stand for, what it reads of the fields, and how expressions are differentiated.

A residual is called at one point, with field values, coordinates and parameters as JAX scalars. The operators recognise a
field by identity of the value object and look its derivative up; they never differentiate the network themselves. All that a
residual can read of the fields is a list of *leaves*: ∂^α of one field at one *site*, where the sites are the point itself
and the places that `at` and `integral` move to. So a residual is a function of the point and its leaves,

    F(point, (∂^α u(site)) , constants and parameters),

with no network inside. A derivative of an expression is its total derivative, by the chain rule over the leaves:
D_x f = ∂f/∂x + Σ ∂f/∂u_α · u_{α+x}.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
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
    spread: Callable[[Point], Spread] | None = None  # nodes summed over many places: which, as a function of the point

    @property
    def is_field(self) -> bool:
        return isinstance(self.what, str)


class Spread(NamedTuple):
    """Places to sum over, with weights: each coordinate is one number, or one for each of the N places.

    `given` are more values that a function may ask for there; `still` are the axes that do not move with the point.
    """

    place: tuple[Array, ...]  # [] or [N] each
    weights: Array  # [N]
    given: dict[str, Array]
    still: tuple[int, ...]


@dataclass(frozen=True)
class Scope:
    """The names that a residual may ask for."""

    coordinates: tuple[str, ...]
    fields: Mapping[str, tuple[str, ...]]  # each with the coordinates that it depends on
    extras: Mapping[str, Array] = field(default_factory=dict)  # constants, parameters, normal, data columns
    asked: set[str] = field(default_factory=set, compare=False)  # every name that a function has asked for
    alias: Mapping[str, str] = field(default_factory=dict)  # names by which functions ask for fields that have others

    def describe(self) -> str:
        return (
            f"this problem has fields {listing(self.alias or self.fields)}, coordinates {listing(self.coordinates)}, "
            f"constants and parameters {listing(self.extras)}"
        )


@dataclass
class Frame:
    """One run of a user's function at one place.

    `read` maps a leaf to its value; `known` maps ids of the values handed out to what they stand for, and holds the values so
    that their ids stay taken. While `locating`, only places matter and derivatives are not computed: `visited` are those seen,
    a point for each site, or arrays of points where a site is spread, and `still` the axes that do not move with the point. A
    frame that is `seeking` what one `at` or `integral` was given stops there.
    """

    scope: Scope
    function: Callable
    point: Point
    read: Callable[[Leaf], Array]
    site: Site = ()
    path: Path = ()
    visited: dict[Site, Point] = field(default_factory=dict)
    still: set[tuple[Site, int]] = field(default_factory=set)
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

    def visit(self, site: Site, place: tuple) -> None:
        self.visited[site] = place
        self.still.update((site, axis) for axis, x in enumerate(place) if not isinstance(x, Tracer))

    def next_path(self) -> Path:
        self.calls += 1
        return (*self.path, self.calls)

    def fresh(self, **changes) -> Frame:
        return replace(self, known={}, calls=0, **changes)


class Found(Exception):
    def __init__(self, given: tuple):
        self.given = given


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


def current(operator: str) -> Frame:
    frame = _frame.get(None)
    if frame is None:
        raise ResidualError(f"{operator}() has a meaning only inside a residual or condition; to try one, use pinn.apply.")
    return frame


def named(fn: Callable, names: Sequence[str], name: str) -> Callable:
    """A function of keywords that asks for `names`, as if it had been written with them."""

    def call(**inputs):
        return fn(**inputs)

    vars(call)[_NAMES] = tuple(names)
    call.__name__ = name
    return call


def axis_of(frame: Frame, x: object, operator: str = "d") -> int:
    for i, coordinate in enumerate(frame.point):
        if coordinate is x:
            return i
    given = repr(x) if isinstance(x, str) else "an expression"
    raise ResidualError(
        f"{operator}(): the second argument must be one of the coordinates {listing(frame.scope.coordinates)}, as the function "
        f"received it; got {given}."
    )


def node_of(frame: Frame, u: object, operator: str, scope: Scope | None = None) -> Node:
    """What an argument of an operator stands for; a function may ask for the names of `scope`."""
    if id(u) in frame.known:
        return frame.known[id(u)][1]
    if not callable(u):
        raise ResidualError(
            f"{operator}() takes a field (u), a derivative of one (d(u, x)), or a function; this is a value computed from "
            "them. Name the expression: `def flux(u, x): return k(x) * d(u, x)`, then d(flux, x)."
        )
    node = Node(u, frame.next_path())
    if frame.checking:
        _refuse_captures(frame.fresh(path=node.path, function=u, scope=scope or frame.scope), u, operator)
    return node


def _refuse_captures(frame: Frame, fn: Callable, operator: str) -> None:
    """A function that takes a traced value from around it would be differentiated as if that value were constant."""

    def alone(point: Point, extras: Mapping[str, Array], leaf: Array):
        scope = replace(frame.scope, extras=extras)
        return run(fn, frame.fresh(scope=scope, point=point, read=lambda _: jnp.array(leaf), visited={}))

    if not captured(alone, frame.point, frame.scope.extras, jnp.zeros(())):
        return
    freevars = getattr(getattr(fn, "__code__", None), "co_freevars", ())
    cells = zip(freevars, getattr(fn, "__closure__", None) or (), strict=False)
    names = [name for name, cell in cells if isinstance(cell.cell_contents, Tracer)]
    outside = " For a coordinate of the point outside, name it: integral(..., now=x)." if operator == "integral" else ""
    if names:
        definition = f"def {name_of(fn)}({', '.join([*arguments(fn), *names])})"
        raise ResidualError(
            f"{name_of(fn)}() takes {listing(names)} from the residual around it, so {operator}() cannot vary it. Make it an "
            f"argument: {definition}.{outside}"
        )
    raise ResidualError(
        f"{name_of(fn)}() uses a value of the residual around it, through a list or another function, so {operator}() cannot "
        f"vary it. Let {name_of(fn)}() ask for the fields, coordinates and parameters that it needs as arguments.{outside}"
    )


def differentiated(frame: Frame, node: Node, axis: int) -> Node:
    if node.is_field:
        coordinate, depends = frame.scope.coordinates[axis], frame.scope.fields[str(node.what)]
        if coordinate not in depends:
            raise ResidualError(
                f"d(): {node.what} depends on {listing(depends)} alone; its derivative by {coordinate!r} is zero."
            )
    return replace(node, axes=(*node.axes, axis))


def value_of(node: Node, frame: Frame) -> Array:
    if node.is_field:
        index = tuple(node.axes.count(i) for i in range(len(frame.point)))
        return frame.read(Leaf(frame.site, str(node.what), index))
    if node.axes and not frame.locating:
        return _total_derivative(replace(node, axes=node.axes[:-1]), frame, node.axes[-1])
    if node.spread is not None:
        return _summed(node, node.spread(frame.point), frame)
    if node.place is None:
        return run(node.what, frame.fresh(path=node.path, function=node.what))
    place, site = node.place(frame.point), (*frame.site, node.path)
    frame.visit(site, place)
    return value_of(node.what, frame.fresh(point=place, site=site, path=node.path))


def _summed(node: Node, spread: Spread, frame: Frame) -> Array:
    """Σ weight × value over the places that a node is spread to, one of them traced and then mapped over all."""
    site, scope = (*frame.site, node.path), replace(frame.scope, extras={**frame.scope.extras, **spread.given})
    frame.visit(site, spread.place)
    frame.still.update((site, axis) for axis in spread.still)
    read: dict[Leaf, Array] = {}

    def at_one(point: Point, **changes) -> Frame:
        return frame.fresh(scope=scope, point=point, site=site, path=node.path, visited={}, **changes)

    def recorded(leaf: Leaf) -> Array:
        values = read.setdefault(leaf, frame.read(leaf))
        return values[0] if jnp.ndim(values) else values

    def one(point: Point, leaves: dict[Leaf, Array]) -> tuple[Array, dict[Site, Point]]:
        there = at_one(point, read=leaves.__getitem__, checking=False)
        return jnp.asarray(value_of(node.what, there)), there.visited

    first = value_of(node.what, at_one(tuple(x[0] if jnp.ndim(x) else x for x in spread.place), read=recorded))
    if jnp.ndim(first):
        raise ResidualError(f"integral() needs a function that returns one number; this one has the shape {jnp.shape(first)}.")
    axes = tuple(0 if jnp.ndim(x) else None for x in spread.place), {leaf: 0 if jnp.ndim(v) else None for leaf, v in read.items()}
    values, visited = jax.vmap(one, in_axes=axes)(spread.place, read)
    frame.visited.update(visited)
    return spread.weights @ values


def _located(what: Callable | Node, frame: Frame) -> Frame:
    """A frame that has seen the places that a function or node reads at, as functions of the frame's point."""
    frame = replace(frame, locating=True, checking=False, visited={frame.site: frame.point}, still=set())
    run(what, frame) if callable(what) else value_of(what, frame)
    return frame


def _total_derivative(node: Node, frame: Frame, axis: int) -> Array:
    """D_axis of a function or moved node: the chain rule over the point and every leaf that it reads."""
    unit = tuple(jnp.ones_like(x) if i == axis else jnp.zeros_like(x) for i, x in enumerate(frame.point))
    read: dict[Leaf, Array] = {}
    fixed: set[tuple[Site, int]] = set()

    def recorded(leaf: Leaf) -> Array:
        return read.setdefault(leaf, frame.read(leaf))

    def places(point: Point) -> dict[Site, Point]:
        located = _located(node, frame.fresh(point=point))
        fixed.update(located.still)
        return located.visited

    def function(point: Point, leaves: dict[Leaf, Array]) -> Array:
        return value_of(node, frame.fresh(point=point, read=leaves.__getitem__, checking=False, visited={}))

    def rate(leaf: Leaf) -> Array:
        depends = frame.scope.fields[leaf.field]
        axes = [i for i, name in enumerate(frame.scope.coordinates) if name in depends and (leaf.site, i) not in fixed]
        axes = [i for i in axes if i == axis] if leaf.site == frame.site else axes
        total = jnp.zeros((), frame.point[0].dtype)
        for i in axes:
            total = total + moves[leaf.site][i] * frame.read(replace(leaf, index=raised(leaf.index, i)))
        return total

    value_of(node, frame.fresh(read=recorded))
    _, moves = jax.jvp(places, (frame.point,), (unit,))
    leaves = dict(read)
    tangents = {leaf: _like(value, rate(leaf)) for leaf, value in leaves.items()}
    return jax.jvp(function, (frame.point, leaves), (unit, tangents))[1]


def _like(value: Array, rate: Array) -> Array:
    """A rate with the shape of its value: while a function is traced, one number stands for all places of an integral."""
    rate = jnp.asarray(rate, value.dtype)
    return rate.reshape(-1)[0] if rate.ndim > value.ndim else jnp.broadcast_to(rate, value.shape)


def run(fn: Callable, frame: Frame):
    """Call `fn` with the fields, coordinates and extras that it names."""
    scope, inputs = frame.scope, {}
    for name in arguments(fn):
        scope.asked.add(name)
        if scope.alias.get(name, name) in scope.fields:
            node = Node(scope.alias.get(name, name))
            inputs[name] = frame.remember(value_of(node, frame), node)
        elif name in scope.coordinates:
            inputs[name] = frame.point[scope.coordinates.index(name)]
        elif name in scope.extras:
            inputs[name] = scope.extras[name]
        else:
            known = [*(scope.alias or scope.fields), *scope.coordinates, *scope.extras]
            raise ResidualError(f"{name_of(fn)}() asks for {name!r}; {scope.describe()}.{suggestion(name, known)}")
    token = _frame.set(frame)
    try:
        return fn(**inputs)
    finally:
        _frame.reset(token)
