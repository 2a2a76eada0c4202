"""Where the solution of a diffusion starts with a singularity: walls that the initial state does not fit, its jumps and kinks.

A condition on a wall that the initial state does not meet, or that moves otherwise than the equation says, makes a layer that
grows like √(ν t). Both are found by putting the initial state into the condition and into the equation; jumps and kinks of
that state, by halving intervals across which it or its slope changes, and where it is continued with a period, at its ends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .algebra import Domain
from .boundaries import TIME, Surface
from .check import faces
from .conditions import Dirichlet, Initial, Periodic
from .derivatives import MultiIndex, nested_jvp
from .expression import Expression
from .pieces import fixed_points
from .singular import Onset
from .terms import Term
from .values import value_at

_FIT = 1e-6  # what a condition or equation may be wrong by, of the size of what it adds up
_PLACES = 16  # of a wall that are looked at
_LINES = 3  # along which jumps and kinks are looked for
_INTERVALS = 1024  # of a line
_MOST = 4  # jumps, and kinks, of a line
_BREAK = 1e-3  # a jump of a value or slope, relative to its largest size
_EDGE = 1e-6  # of a coordinate's range, within which its ends lie


class Given(NamedTuple):
    """What the beginning of a problem is made of."""

    domain: Domain
    equation: Expression
    initial: Mapping[str, Any]  # the value of each field
    extras: Mapping[str, Any]

    @property
    def time(self) -> int:
        return self.domain.coordinates.index(TIME)


def onsets(domain: Domain, terms: Sequence[Term], extras: Mapping[str, Any]) -> tuple[Onset, ...]:
    """The walls of a box where the solution begins with a singularity; `terms` are the equation and all conditions."""
    with jax.enable_x64(True):  # a misfit of 1e-6 cannot be seen in float32
        return _onsets(domain, terms, extras)


def _onsets(domain: Domain, terms: Sequence[Term], extras: Mapping[str, Any]) -> tuple[Onset, ...]:
    if not domain.is_box or TIME not in domain.coordinates or not terms or not _local(terms[0].expression):
        return ()
    initial = {
        name: value for each in terms if isinstance(each.condition, Initial) for name, value in each.condition.values.items()
    }
    if set(initial) != set(terms[0].expression.fields):
        return ()
    given = Given(domain, terms[0].expression, initial, extras)
    found = {}
    for term in terms[1:]:
        surface = term.place
        if not isinstance(surface, Surface) or not _local(term.expression):
            continue
        for coordinate, place in faces(surface, whole=False):
            if coordinate != TIME:
                points = _start_of_wall(given, coordinate, place)
                points = points[np.any([patch.covers(points) for patch in surface.patches], axis=0)]
                for onset in _at_wall(given, term, domain.coordinates.index(coordinate), points) if len(points) else ():
                    key = onset.axes, onset.centre, onset.reach
                    found[key] = onset if key not in found or onset.first < found[key].first else found[key]
    tied = [(c.coordinate, c.fields or tuple(initial)) for c in (each.condition for each in terms[1:]) if isinstance(c, Periodic)]
    for axis, name in enumerate(domain.coordinates):
        if name != TIME:
            periodic = {field for coordinate, fields in tied if coordinate == name for field in fields}
            found |= {(each.axes, each.centre, each.reach): each for each in _breaks(given, axis, periodic)}
    return tuple(found.values())


def _local(expression: Expression) -> bool:
    return len(expression.sites) == 1 and not expression.integrates


def _start_of_wall(given: Given, coordinate: str, place: float) -> np.ndarray:
    """Places of a wall at the beginning, [n, d], none of them on another wall."""
    lower, upper = given.domain.bounds
    points = lower + (0.02 + 0.96 * fixed_points(_PLACES, len(lower))) * (upper - lower)
    points[:, given.time], points[:, given.domain.coordinates.index(coordinate)] = lower[given.time], place
    return points


def _at_wall(given: Given, term: Term, axis: int, points: np.ndarray) -> list[Onset]:
    """The onset of each field that a condition reads, if it does not fit the beginning."""
    lower = given.domain.bounds[0]
    orders, inwards = term.expression.orders(), 1.0 if points[0, axis] == lower[axis] else -1.0
    if any(order[given.time] for order in orders.values()):
        return []
    normal = -inwards * np.eye(len(lower))[axis]
    normal = np.delete(normal, given.time)
    found = []
    for name, order in orders.items():
        diffusion = _diffusion(given, name, axis, points)
        if diffusion is None or order[axis] > 1:
            continue
        rate, component = diffusion
        values = term.condition.values if isinstance(term.condition, Dirichlet) else {}
        if not np.all(_fit(given, term.expression, points, {"normal": normal})):
            first = order[axis]
        elif name in values and not _fit(given, given.equation, points, {}, {name: values[name]})[component]:
            first = 2
        else:
            continue
        found.append(_onset(given, axis, float(points[0, axis]), rate, first, inwards))
    return found


def _onset(given: Given, axis: int, place: float, rate: float, first: int, inwards: float = 1.0, behind: float = 0.0) -> Onset:
    """The onset at a place of a coordinate, `behind` which the domain reaches so far, from the diffusivity there."""
    start, end = (float(bound[given.time]) for bound in given.domain.bounds)
    size = float(np.sqrt(4 * rate * (end - start)))
    return Onset((given.time, axis), (start, place), inwards * size, end - start, first, behind / size)


def _breaks(given: Given, axis: int, periodic: Collection[str]) -> list[Onset]:
    """Where the initial state of a field jumps or has a kink, at one place of a coordinate whatever the others are.

    So may the continuation of those fields that are periodic in it: then one onset stands at each end of it.
    """
    lower, upper = (float(bound[axis]) for bound in given.domain.bounds)
    lines = np.unique(_start_of_wall(given, given.domain.coordinates[axis], lower), axis=0)[:_LINES]
    found = []
    for name in given.initial:
        wanted: list[MultiIndex] = [tuple(k * (i == axis) for i in range(lines.shape[1])) for k in (0, 1)]

        @jax.jit
        @jax.vmap
        def state(p: jax.Array, name=name, wanted=wanted) -> jax.Array:
            values = nested_jvp(partial(_value, given, given.initial[name]), p, wanted)
            return jnp.stack([values[index] for index in wanted])

        def along(places: np.ndarray, line: np.ndarray, state=state) -> np.ndarray:
            points = np.repeat(line[None], len(places), axis=0)
            points[:, axis] = places
            return np.asarray(state(jnp.asarray(points)))

        def rate(place: float, name=name) -> float | None:
            there = lines.copy()
            there[:, axis] = place
            diffusion = _diffusion(given, name, axis, there)
            return None if diffusion is None else diffusion[0]

        broken = [_broken(partial(along, line=line), lower, upper) for line in lines]
        for place, order in broken[0]:
            near = 1e-6 * (upper - lower)
            everywhere = all(any(abs(place - other) < near and order == k for other, k in each) for each in broken)
            diffusivity = rate(place) if everywhere else None
            if diffusivity is not None:
                found.append(_onset(given, axis, place, diffusivity, order, behind=place - lower))
        if name not in periodic:
            continue
        torn = {_torn(partial(along, line=line), lower, upper) for line in lines}
        order, diffusivity = min(torn), rate(lower) if len(torn) == 1 else None
        if order < len(wanted) and diffusivity is not None:
            found += [_onset(given, axis, end, diffusivity, order, side) for end, side in ((lower, 1.0), (upper, -1.0))]
    return found


def _torn(along: Callable[[np.ndarray], np.ndarray], lower: float, upper: float) -> int:
    """The lowest derivative in which a function is another at the lower end than at the upper one; 2 where it is neither of
    the two that `along` gives."""
    values = along(np.linspace(lower, upper, _INTERVALS + 1))
    gaps = np.abs(values[-1] - values[0]) > _BREAK * np.max(np.abs(values), axis=0)
    return int(np.argmax([*gaps, True]))


def _broken(along: Callable[[np.ndarray], np.ndarray], lower: float, upper: float) -> list[tuple[float, int]]:
    """Places between two ends where a function, or its slope, jumps, and which of the two; `along` gives both, [n, 2]."""
    places = np.linspace(lower, upper, _INTERVALS + 1)
    values, found = along(places), []
    sizes = np.max(np.abs(values), axis=0)
    for order in (0, 1):
        steps = np.abs(np.diff(values[:, order]))
        for k in np.argsort(-steps)[:_MOST]:
            ends = places[k : k + 2]
            jump, least = steps[k], _BREAK * sizes[order]
            for _ in range(40):
                if jump <= least:
                    break
                three = np.array([ends[0], np.mean(ends), ends[1]])
                changes = np.abs(np.diff(along(three)[:, order]))
                half = int(np.argmax(changes))
                jump, ends = changes[half], three[half : half + 2]
            place = float(np.mean(ends))
            inside = np.all(np.abs(place - np.array([lower, upper])) > _EDGE * (upper - lower))
            if jump > least and inside and all(abs(place - other) > 1e-9 for other, _ in found):
                found.append((place, order))
    return found


def _value(given: Given, value: Any, p: jax.Array) -> jax.Array:
    inputs = dict(zip(given.domain.coordinates, p, strict=True)) | dict(given.extras)
    return jnp.asarray(value_at(value, inputs), p.dtype)


def _leaves(given: Given, expression: Expression, point: jax.Array, walls: Mapping[str, Any]) -> jax.Array:
    """What an expression reads of the initial state, and its rate in time of the values on a wall."""
    found = []
    for leaf in expression.leaves:
        source = walls if leaf.index[given.time] and leaf.field in walls else given.initial
        found.append(nested_jvp(partial(_value, given, source[leaf.field]), point, {leaf.index})[leaf.index])
    return jnp.stack(found)


def _fit(
    given: Given, expression: Expression, points: np.ndarray, more: Mapping[str, Any], walls: Mapping[str, Any] | None = None
) -> np.ndarray:
    """Whether each component of an expression vanishes for the initial state, compared with the sizes that its parts have
    anywhere at the beginning."""
    known = {name: jnp.asarray(value, float) for name, value in {**given.extras, **more}.items()}
    lower, upper = given.domain.bounds
    around = lower + fixed_points(4 * _PLACES, len(lower)) * (upper - lower)
    around[:, given.time] = lower[given.time]

    def leaves(p: jax.Array) -> jax.Array:
        return _leaves(given, expression, p, walls or {})

    def left(p: jax.Array) -> tuple[jax.Array, jax.Array]:
        here = leaves(p)
        return expression.value(p, here, known), jax.jacfwd(lambda u: expression.value(p, u, known))(here)

    residual, slopes = map(np.abs, jax.jit(jax.vmap(left))(jnp.asarray(points)))
    most = np.max(np.abs(jax.jit(jax.vmap(leaves))(jnp.asarray(np.concatenate([points, around])))), axis=0)
    size = np.max(residual, axis=0) + np.max(slopes @ most, axis=0)
    return np.all(np.isfinite(residual) & (residual <= _FIT * size), axis=0)


def _diffusion(given: Given, name: str, axis: int, points: np.ndarray) -> tuple[float, int] | None:
    """ν, on average over places, and the component of the equation that says u_t = ν u_xx + ..., and no other rate in time."""
    expression, d = given.equation, len(given.domain.coordinates)
    order = expression.orders().get(name, (0,) * d)
    rate, second = (tuple(k * (i == which) for i in range(d)) for which, k in ((given.time, 1), (axis, 2)))
    places = {(leaf.field, leaf.index): i for i, leaf in enumerate(expression.leaves)}
    if order[given.time] != 1 or order[axis] != 2 or (name, rate) not in places or (name, second) not in places:
        return None
    known = {key: jnp.asarray(value, float) for key, value in given.extras.items()}

    def slopes(p: jax.Array) -> jax.Array:
        return jax.jacfwd(lambda u: expression.value(p, u, known))(_leaves(given, expression, p, {}))

    found = np.mean(np.asarray(jax.jit(jax.vmap(slopes))(jnp.asarray(points))), axis=0)
    slope, bend = found[:, places[name, rate]], found[:, places[name, second]]
    k = int(np.argmax(np.abs(slope)))
    others = [i for i, leaf in enumerate(expression.leaves) if leaf.index[given.time] and i != places[name, rate]]
    if not slope[k] or bend[k] / slope[k] >= 0 or np.any(found[k, others]):
        return None
    return float(-bend[k] / slope[k]), k
