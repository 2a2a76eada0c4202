"""Conditions built into the ansatz: u = G + φ N, where G meets them and φ vanishes where they hold.

On a box, per field: for each coordinate c with given faces, φ_c is s, 1 - s, 4 s (1 - s) or s² (value and velocity), with
s = (c - a) / (b - a), and φ is their product. G is the transfinite interpolation of the given values, which meets all faces
exactly where they agree at the corners; a condition that does not is left to the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .boundaries import TIME, Surface
from .check import faces
from .conditions import Dirichlet, Initial, InitialVelocity, Periodic
from .derivatives import Smooth, nested_jvp
from .frames import arguments
from .problem import Problem
from .singular import Onset
from .terms import Term
from .transfinite import Ends, as_function, interpolated
from .values import Value

_DEEP = 3  # coordinates with given faces that G interpolates between
_CORNER = 1e-9  # largest disagreement at a corner, relative to the values
_SINGULAR = "the solution is singular where it meets another condition"
_SMOOTH = 1e-2  # largest jump of a derivative along a face, relative to its range


@dataclass(frozen=True, eq=False)
class Exact:
    """The conditions that the ansatz meets by construction.

    Attributes:
        ends: for each field, the coordinates (by axis) with something given.
        periodic: the coordinates in which every field is periodic.
        met: names of the conditions that leave the loss.
        left: why each of the others stays, by name.
    """

    coordinates: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    ends: Mapping[str, Mapping[int, Ends]] = field(default_factory=dict)
    periodic: tuple[bool, ...] = ()
    met: tuple[str, ...] = ()
    left: Mapping[str, str] = field(default_factory=dict)
    resumed: bool = False  # whether it is of a slab of time after the first
    after: tuple[int, float, Exact] | None = None  # an axis, and from where along it another G counts
    settled: Exact | None = None  # what is met where a singular beginning is past

    def lifts(self, name: str) -> bool:
        """Whether G is anything but zero for a field."""
        given = [value for e in self.ends.get(name, {}).values() for value in (e.lower, e.upper, e.velocity)]
        return any(value is not None and value != 0.0 for value in given)

    def values(self, names: Sequence[str], point: Array, extras: Mapping[str, Array]) -> Array:
        """G of each field named, at a point [d]."""
        zero = jnp.zeros((), point.dtype)
        given = jnp.stack([self._lift(name, extras)(point) if self.lifts(name) else zero for name in names])
        if self.after is None:
            return given
        axis, place, later = self.after
        return jnp.where(point[axis] > place, later.values(names, point, extras), given)

    def started(self, axis: int, met: Sequence[str]) -> Exact:
        """The same for a later slab of time: nothing is met where it starts, and G has nothing of the initial state.

        `met` names the initial conditions, which a later slab does not have. A kink of the initial state, in G, would be one that
        the features of every slab have to cancel. What is singular there belongs to the first slab as well.
        """
        known = self if self.settled is None else self.settled
        ends = {name: {i: each for i, each in given.items() if i != axis} for name, given in known.ends.items()}
        return replace(known, ends=ends, resumed=True, met=(*known.met, *(name for name in met if name not in known.met)))

    def until(self, axis: int, place: float, later: Exact) -> Exact:
        """The same up to a place along an axis, and the G of `later` from there on."""
        return replace(self, after=(axis, place, later))

    def pattern(self, name: str) -> tuple:
        """Which ends are given of a field: fields with one pattern share φ."""
        given = self.ends.get(name, {})
        return tuple((axis, *(value is not None for value in (e.lower, e.upper, e.velocity))) for axis, e in given.items())

    def factor(
        self,
        name: str,
        point: Smooth,
        box: Array | np.ndarray | None = None,
        shares: Mapping[int, Smooth] | None = None,
    ) -> Smooth:
        """φ at a point [d], scaled to the domain or to another `box`, [2, d]: lower ends and widths.

        `shares` are functions to use in place of some coordinates, by axis, from 0 at the lower to 1 at the upper end.
        """
        if box is None:
            lower, width = self.lower, [b - a for a, b in zip(self.lower, self.upper, strict=True)]
        else:
            lower, width = box
        product = 1.0
        for axis, ends in self.ends.get(name, {}).items():
            s = shares[axis] if shares and axis in shares else (point[axis] - lower[axis]) / width[axis]
            if ends.upper is None:
                part = s * s if ends.velocity is not None else s
            else:
                part = 1 - s if ends.lower is None else 4 * s * (1 - s)
            product = part if isinstance(product, float) else product * part
        return product

    def _lift(self, name: str, extras: Mapping[str, Array]) -> Callable[[Array], Array]:
        return interpolated(self.ends[name], self.coordinates, self.lower, self.upper, extras)


@lru_cache(maxsize=64)
def plan_exact(problem: Problem, wanted: bool | None) -> Exact:
    """Which conditions the ansatz can meet by construction; none where `wanted` is False.

    Takes them one by one, and keeps each that is given on whole faces of a box, is smooth along them, and agrees with those
    kept before at the corners and with the periodic coordinates.
    """
    with jax.enable_x64(True):  # agreement to 1e-9 cannot be seen in float32
        singular = [each for each in problem.singular(problem.domain) if each.strong] if wanted is None else []
        if singular:
            begins, always = (any(isinstance(each, Onset) is kind for each in singular) for kind in (True, False))
            exact = _plan_exact(problem, wanted, _SINGULAR, begins)
            return replace(exact, settled=_plan_exact(problem, wanted, _SINGULAR if always else "")) if begins else exact
        exact = _plan_exact(problem, wanted)
        if wanted is None and _clashes(exact, problem):
            return _plan_exact(problem, wanted, "it does not fit the equation where the faces meet")
        return exact


def _clashes(exact: Exact, problem: Problem) -> bool:
    """Whether the equation cannot hold in the corners of a plane box, whatever is added to G.

    φ and its derivatives vanish there but for the mixed one: an equation that reads only fields that are given on all faces, and
    not that derivative, is left with G alone. Then the solution has a singular function r² log r there, or log r where the
    equation is of the first order, which φ times a network is farther from than a network.
    """
    axes = [axis for axis, name in enumerate(exact.coordinates) if name != TIME]
    built = [name for name in problem.fields if len(exact.ends.get(name, {})) == 2]
    expression = problem.terms[0].expression
    if len(axes) != 2 or len(exact.coordinates) != 2 or not built or expression.integrates or len(expression.sites) > 1:
        return False
    extras = {name: jnp.asarray(value) for name, value in problem.known().items()}
    free = np.array([leaf.field not in built or all(leaf.index) for leaf in expression.leaves])

    def left(p: Array) -> tuple[Array, Array, Array]:
        found = nested_jvp(lambda q: exact.values(problem.fields, q, extras), p, {leaf.index for leaf in expression.leaves})
        leaves = jnp.stack([found[leaf.index][problem.fields.index(leaf.field)] for leaf in expression.leaves])
        residual, slopes = expression.value(p, leaves, extras), jax.jacfwd(lambda u: expression.value(p, u, extras))(leaves)
        size = jnp.abs(residual) + jnp.sum(jnp.abs(slopes * leaves[None]), axis=1)
        return residual, size, jnp.any((slopes != 0) & free[None], axis=1)

    points = jnp.asarray(_probes(exact))
    residual, size, helped = map(np.asarray, jax.jit(jax.vmap(left))(points))
    corners = len(points) // 2
    wrong = np.abs(residual[:corners]) > _CORNER * np.max(size, axis=0)
    return bool(np.any(wrong & ~np.any(helped, axis=0)))


def _plan_exact(problem: Problem, wanted: bool | None, singular: str = "", begins: bool = False) -> Exact:
    """The plan; `singular` says why no value is met by construction on a face of a spatial coordinate, or, if that `begins`
    with the solution, on any."""
    lower, upper = (tuple(bound.tolist()) for bound in problem.domain.bounds)
    extras = {name: jnp.asarray(value) for name, value in problem.known().items()}
    exact = Exact(problem.domain.coordinates, lower, upper, periodic=(False,) * problem.domain.dimension)
    if wanted is False:
        return _leaving(exact, problem.terms[1:], "exact_conditions=False")
    order = [Periodic, Dirichlet, Initial, InitialVelocity]
    terms = sorted(problem.terms[1:], key=lambda term: order.index(type(term.condition)) if type(term.condition) in order else 9)
    for term in terms:
        candidate, reason = None, _obstacle(problem, term) or (singular if begins or _on_walls(term) else "")
        if not reason:
            candidate = _with(exact, term)
            if candidate is None:
                reason = "it is not given together with the value"
            else:
                reason = _costly(candidate) or _disagreement(candidate, problem, term, extras)
        exact = _leaving(exact, [term], reason) if candidate is None or reason else candidate
    return exact


def _costly(exact: Exact) -> str:
    """G evaluates what it adds to three times for each coordinate: 243 times for the faces of a cube in five."""
    deep = [name for name, given in exact.ends.items() if len(given) > _DEEP and exact.lifts(name)]
    return f"interpolating {deep[0]} between the faces of more than {_DEEP} coordinates costs too much" if deep else ""


def _leaving(exact: Exact, terms, reason: str) -> Exact:
    return replace(exact, left={**exact.left, **{term.name: reason for term in terms}})


def _obstacle(problem: Problem, term: Term) -> str:
    condition = term.condition
    if not problem.domain.is_box:
        return "the domain is no box"
    if isinstance(condition, Periodic):
        untied = [name for name in problem.fields if condition.fields and name not in condition.fields]
        return f"{', '.join(untied)} is not periodic" if untied else ""
    if not isinstance(condition, Dirichlet | Initial | InitialVelocity):
        return "it is no given value"
    if any("normal" in arguments(value) for value in condition.values.values() if callable(value)):
        return "its value asks for the normal"
    if any(name in problem.parameters for value in condition.values.values() if callable(value) for name in arguments(value)):
        return "its value asks for an unknown parameter"
    if any(problem.depends[name] != problem.domain.coordinates for name in condition.values):
        return "its field depends on fewer coordinates"
    if not isinstance(term.place, Surface) or not _whole(problem, term.place):
        return "it is given on part of a face"
    return ""


def _on_walls(term: Term) -> bool:
    """Whether a value is given on a face of a spatial coordinate."""
    return isinstance(term.condition, Dirichlet) and any(name != TIME for name, _ in faces(term.place))


def _whole(problem: Problem, place: Surface) -> bool:
    """Whether a selection consists of whole faces of the domain."""
    if len(faces(place)) < len(place.patches):
        return False
    lower, upper = problem.domain.bounds
    whole = 0.0
    for name, _ in faces(place):
        axis = problem.domain.coordinates.index(name)
        whole += float(np.prod(np.delete(upper - lower, axis)))
    return sum(place.measures) >= whole * (1 - 1e-9)


def _given_fields(term: Term) -> Mapping[str, Value]:
    return term.condition.values if isinstance(term.condition, Dirichlet | Initial | InitialVelocity) else {}


def _with(exact: Exact, term: Term) -> Exact | None:
    """The same with one more condition; None where a velocity is given without a value."""
    condition, names = term.condition, exact.coordinates
    if isinstance(condition, Periodic):
        periodic = tuple(old or name == condition.coordinate for old, name in zip(exact.periodic, names, strict=True))
        return replace(exact, periodic=periodic, met=(*exact.met, term.name))
    ends = {name: dict(given) for name, given in exact.ends.items()}
    for name, value in _given_fields(term).items():
        given = ends.setdefault(name, {})
        for coordinate, place in faces(term.place):
            axis = names.index(coordinate)
            old = given.get(axis, Ends())
            if isinstance(condition, InitialVelocity):
                if old.lower is None or old.upper is not None:
                    return None
                given[axis] = Ends(old.lower, None, value)
            elif place == exact.lower[axis]:
                given[axis] = Ends(value, old.upper, old.velocity)
            else:
                given[axis] = Ends(old.lower, value, old.velocity)
    ordered = {name: dict(sorted(given.items())) for name, given in ends.items()}
    return replace(exact, ends=ordered, met=(*exact.met, term.name))


def _disagreement(exact: Exact, problem: Problem, term: Term, extras: Mapping[str, Array]) -> str:
    """Why a set of conditions cannot be met together, found by evaluating it; empty where it can."""
    if isinstance(term.condition, Periodic):
        return ""
    for name in _given_fields(term):
        lift = jax.jit(jax.vmap(exact._lift(name, extras)))
        for axis, ends in exact.ends[name].items():
            gap = _corner_gap(exact, problem, lift, name, axis, ends, extras)
            if gap:
                return gap
        for axis, ends in exact.ends[name].items():
            if exact.periodic[axis]:
                return f"{name} is periodic in {exact.coordinates[axis]}, and a value given at its end would break that"
            if ends.velocity is not None and _velocity_gap(exact, name, axis, ends, extras):
                place = f"{exact.coordinates[axis]} = {exact.lower[axis]:g}"
                return f"the velocity of {name} on {place} disagrees with another condition where the faces meet"
        for axis in range(problem.domain.dimension):
            order = max(2, problem.orders.get(name, (2,) * problem.domain.dimension)[axis])
            if exact.periodic[axis] and not _is_periodic(exact, name, axis, order, extras):
                return f"its value is not periodic in {exact.coordinates[axis]} with its derivatives"
            if not _is_smooth(exact, name, axis, order, extras):
                return f"its value has a kink or jump along {exact.coordinates[axis]}"
    return ""


def _corner_gap(exact, problem, lift, name, axis, ends, extras) -> str:
    points = _probes(exact)
    for value, place in ((ends.lower, exact.lower[axis]), (ends.upper, exact.upper[axis])):
        if value is None:
            continue
        on = points.copy()
        on[:, axis] = place
        wanted, got = (np.asarray(each(on)) for each in (jax.jit(jax.vmap(as_function(value, exact.coordinates, extras))), lift))
        if not np.all(np.abs(got - wanted) <= _CORNER * (1 + np.abs(wanted).max())):
            return f"{name} on {exact.coordinates[axis]} = {place:g} disagrees with another condition where the faces meet"
    return ""


def _velocity_gap(exact: Exact, name: str, axis: int, ends: Ends, extras: Mapping[str, Array]) -> bool:
    on, lift = _probes(exact), exact._lift(name, extras)
    on[:, axis] = exact.lower[axis]
    unit = jnp.zeros(len(exact.lower)).at[axis].set(1)

    def gap(p: Array) -> tuple[Array, Array]:
        wanted = as_function(ends.velocity or 0.0, exact.coordinates, extras)(p)
        return jax.jvp(lift, (p,), (unit,))[1] - wanted, wanted

    gaps, wanted = map(np.asarray, jax.jit(jax.vmap(gap))(jnp.asarray(on)))
    return not np.all(np.abs(gaps) <= _CORNER * (1 + np.abs(wanted).max()))


def _probes(exact: Exact, count: int = 64) -> np.ndarray:
    """Points in the box, the first ones at its corners' coordinates."""
    unit = np.random.default_rng(0).uniform(size=(count, len(exact.lower)))
    unit[: count // 2] = np.round(unit[: count // 2])
    return np.array(exact.lower) + unit * (np.array(exact.upper) - np.array(exact.lower))


def _along(exact: Exact, name: str, axis: int, order: int, count: int, extras: Mapping) -> np.ndarray:
    """Derivatives 0..order along one coordinate of all that is given of a field, [lines, count, order + 1].

    On a few lines through each face, some of them along its edges. G is made of what is given, and of polynomials.
    """
    dimension = len(exact.lower)
    faces_of: dict[int, tuple[Value, list[tuple[int, float]]]] = {}
    for across, ends in exact.ends[name].items():
        for value, place in ((ends.lower, exact.lower), (ends.upper, exact.upper), (ends.velocity, exact.lower)):
            if callable(value) and across != axis:
                faces_of.setdefault(id(value), (value, []))[1].append((across, place[across]))
    indices = [tuple(k if i == axis else 0 for i in range(dimension)) for k in range(order + 1)]
    lines = np.repeat(_probes(exact, 8)[:, None], count, axis=1)
    lines[:, :, axis] = np.linspace(exact.lower[axis], exact.upper[axis], count)
    found = [np.zeros((0, count, order + 1))]
    for value, places in faces_of.values():
        on = np.concatenate([lines] * len(places))
        for i, (across, place) in enumerate(places):
            on[i * len(lines) : (i + 1) * len(lines), :, across] = place

        def derivatives(p: Array, value: Value = value) -> Array:
            parts = nested_jvp(as_function(value, exact.coordinates, extras), p, indices)
            return jnp.stack([parts[index] for index in indices])

        found.append(np.asarray(jax.jit(jax.vmap(jax.vmap(derivatives)))(jnp.asarray(on))))
    return np.concatenate(found)


def _is_periodic(exact: Exact, name: str, axis: int, order: int, extras: Mapping) -> bool:
    ends = _along(exact, name, axis, order, 2, extras)
    size = 1e-8 * (1 + np.abs(ends).max(axis=(0, 1), initial=0.0))
    return bool(np.all(np.abs(ends[:, 0] - ends[:, 1]) <= size))


def _is_smooth(exact: Exact, name: str, axis: int, order: int, extras: Mapping) -> bool:
    """Each derivative changes between neighbours by what the next one says (trapezoid rule); a kink or jump does not."""
    values = _along(exact, name, axis, order, 513, extras)
    step = (exact.upper[axis] - exact.lower[axis]) / 512
    change, said = np.diff(values[..., :-1], axis=1), step * (values[:, 1:, 1:] + values[:, :-1, 1:]) / 2
    largest = np.abs(values[..., :-1]).max(initial=0.0)
    size = np.ptp(values[..., :-1], axis=1, keepdims=True) + 1e-6 * (1 + largest)
    return bool(np.all(np.isfinite(values)) and np.all(np.abs(change - said) <= _SMOOTH * size))
