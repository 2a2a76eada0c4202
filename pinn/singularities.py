"""Where the solution of a problem is singular: at which corners, by its domain's shape and by the conditions that meet there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .algebra import Domain
from .boundaries import TIME, Surface
from .conditions import Periodic
from .corners import Opening, corner, holes, moved, opening_at, openings, plane_of
from .pencil import Side as Between
from .pencil import clashes, exponents
from .pieces import Array, fixed_points, positions
from .singular import Hole, Singular
from .terms import Term

_BLUNT = 0.2  # radians from π: the angles of a polygon that stands for a curve are no corners
_MOST = 16  # corners at most, the sharpest
_WHOLE = 1e-3  # an exponent as near as this to a whole number is one
_JUMP = 1e-3  # difference of two values that is a jump, relative to the largest value that is given
_ASIDE = 1e-6  # from a corner to where it is asked which conditions hold beside it, relative to the domain
_SAMPLE = 64  # points of a boundary at which the size of what is given there is looked at
_PROBES = 1025  # along a piece of the boundary, for where a condition ends


class Side(NamedTuple):
    """What is given of one field on one side of a corner: the order of its derivatives, and value and slope where known.

    The slope is along that side, away from the corner.
    """

    order: int
    value: float | None
    slope: float = 0.0


def singularities(
    domain: Domain, terms: Sequence[Term], extras: Mapping[str, Any], fields: Sequence[str] = ()
) -> tuple[Singular, ...]:
    """The corners and holes of a domain, and the points on its boundary where one condition ends and another begins.

    A corner whose exponent is whole is singular too, if weakly, where the data do not fit the equation. `terms` are the equation
    and all conditions, or empty, where all conditions are alike.
    """
    plane = plane_of(domain)
    if plane is None:
        return holes(domain)
    section, axes = plane
    middle = np.mean(domain.bounds, axis=0)

    def whole(points: Array) -> Array:
        filled = np.repeat(middle[None], len(points), axis=0)
        filled[:, list(axes)] = points
        return filled

    given = [(term, term.place) for term in terms[1:] if isinstance(term.place, Surface)]
    values = [
        np.abs(_values(term, field, _sample(place), extras)).max(initial=0.0)
        for term, place in given
        for field in term.expression.orders()
    ]
    same, found = _JUMP * max(values, default=0.0), []
    around = [domain.coordinates.index(term.condition.coordinate) for term in terms if isinstance(term.condition, Periodic)]
    wrapped = [i for i, axis in enumerate(axes) if axis in around]
    for opening in [*openings(section), *_ends(section, [place for _, place in given], whole)]:
        if any(opening.centre[i] in (end[i] for end in section.bounds) for i in wrapped):
            continue  # the domain goes on there
        angles = np.array([opening.start, opening.end])
        size = _ASIDE * float(np.max(np.subtract(*section.bounds[::-1])))
        beside = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        first, second = (whole(opening.centre + np.array([[1], [2]]) * step) for step in size * beside)
        between = tuple(
            _between(domain, axes, given, points, angle, out)
            for angle, out, points in ((opening.start, -np.pi / 2, first), (opening.end, np.pi / 2, second))
        )
        one, other = (_side(given, points, extras) for points in (first, second))
        mixed, jumps = _meeting(one, other, same)
        coupled = exponents(terms[0].expression, (between[0], between[1]), fields, axes, extras) if terms else None
        forced = coupled is not None and (
            jumps or clashes(terms[0].expression, first[0], fields, axes, extras, _known(opening, one, other))
        )
        exponent = np.pi / opening.angle / (2 if mixed else 1)
        exponent = None if coupled is not None or abs(exponent - max(round(exponent), 1)) < _WHOLE else exponent
        blunt = abs(opening.angle - np.pi) < _BLUNT and not mixed
        if jumps or not blunt:
            found.append(
                (opening.angle, moved(corner(section, opening, None if blunt else exponent, jumps, coupled, forced), axes))
            )
    sharpest = sorted(found, key=lambda each: (not each[1].jumps, -each[0]))[:_MOST]
    return (*(each for *_, each in sharpest), *holes(domain))


def torn_points(singular: Sequence[Singular], points: Array, every: bool = False) -> np.ndarray:
    """Which of points [n, d] are where two given values differ, and the solution has none; or, of `every` corner, no residual."""
    torn = np.zeros(len(points), bool)
    for each in singular:
        if not isinstance(each, Hole) and (every or each.jumps):
            away = np.linalg.norm(points[:, list(each.axes)] - np.array(each.centre), axis=1)
            torn |= away < 1e-9 * float(np.ptp(points, axis=0).max())
    return torn


def _sample(place: Surface) -> Array:
    drawn = (place.draw(i, fixed_points(_SAMPLE, patch.piece.parameters))[0] for i, patch in enumerate(place.patches))
    return np.concatenate(list(drawn))


def _ends(section: Domain, places: Sequence[Surface], whole: Callable[[Array], Array]) -> list[Opening]:
    """Where conditions on parts of the boundary end, unless that is at a corner."""
    parted = [place for place in places if any(patch.where for patch in place.patches)]
    corners, found = [each.centre for each in openings(section)], []
    for piece in section.pieces if parted else ():

        def holds(share: np.ndarray, piece=piece) -> np.ndarray:
            points = whole(piece.sample(share[:, None])[0])
            return np.stack([_on(place, points) for place in parted])

        share = np.linspace(0, 1, _PROBES)
        held = holds(share)
        for k in np.flatnonzero(np.any(held[:, 1:] != held[:, :-1], axis=0)):
            low, high = share[k], share[k + 1]
            for _ in range(40):
                middle = np.array([(low + high) / 2])
                low, high = (middle[0], high) if np.all(holds(middle)[:, 0] == held[:, k]) else (low, middle[0])
            centre = piece.sample(np.array([[low]]))[0][0]
            opening = opening_at(section, centre)
            near = 1e-9 * float(np.max(np.subtract(*section.bounds[::-1])))
            if opening is not None and all(np.linalg.norm(centre - other) > near for other in corners):
                corners.append(centre)
                found.append(opening)
    return found


def _on(place: Surface, points: Array) -> np.ndarray:
    return np.any([patch.covers(points) for patch in place.patches], axis=0)


def _between(
    domain: Domain, axes: tuple[int, int], given: Sequence[tuple[Term, Surface]], points: Array, angle: float, out: float
) -> Between:
    """What holds at points [2, d] on the side of a corner at an angle, from which its normal is turned by `out`."""
    holding = [term.expression for term, place in given if _on(place, points).all()]
    normal = np.zeros(len(domain.spatial))
    own = positions(tuple(domain.coordinates[axis] for axis in axes), domain.spatial)
    normal[own] = np.cos(angle + out), np.sin(angle + out)
    return Between(angle, holding, points[0], normal)


def _side(given: Sequence[tuple[Term, Surface]], points: Array, extras: Mapping[str, Any]) -> dict[str, Side]:
    """What is given by field on one side of a corner, from two points [2, d] as far from it and twice as far."""
    found: dict[str, Side] = {}
    for term, surface in given:
        if not _on(surface, points).all():
            continue
        for field, orders in term.expression.orders().items():
            value = _values(term, field, points, extras)
            side = Side(max(orders), None)
            if len(value):
                step = float(np.linalg.norm(points[1] - points[0]))
                side = Side(max(orders), float(2 * value[0] - value[1]), float(value[1] - value[0]) / step)
            if field not in found or side.order < found[field].order:
                found[field] = side
    return found


def _known(opening: Opening, one: Mapping[str, Side], other: Mapping[str, Side]) -> dict[str, tuple[float, Array]]:
    """The value and the gradient in a corner of each field whose values are given on both sides."""
    along = np.array([[np.cos(angle), np.sin(angle)] for angle in (opening.start, opening.end)])
    found = {}
    for name in {*one} & {*other} if abs(np.linalg.det(along)) > _WHOLE else ():
        first, second = one[name], other[name]
        if first.order == second.order == 0 and first.value is not None and second.value is not None:
            found[name] = first.value, np.linalg.solve(along, [first.slope, second.slope])
    return found


def _values(term: Term, field: str, points: Array, extras: Mapping[str, Any]) -> np.ndarray:
    """The values of a field that a condition gives by itself at points [n, d]; none at all where it gives none."""
    expression = term.expression
    own = [leaf.field == field and not any(leaf.index) for leaf in expression.leaves]
    if expression.integrates or len(expression.sites) > 1 or not any(own) or not expression.is_affine:
        return np.empty(0)
    known = {name: jnp.asarray(value, float) for name, value in extras.items()}
    known["normal"] = jnp.zeros(sum(name != TIME for name in expression.coordinates))

    at = partial(jax.vmap(expression.value, (0, None, None)), jnp.asarray(points))
    zero, ours, others = (
        np.asarray(at(jnp.asarray(leaves, float), known)) for leaves in (np.zeros(len(own)), own, np.logical_not(own))
    )
    alone = np.all(others == zero, axis=0) & np.all(ours != zero, axis=0)
    if not alone.any():
        return np.empty(0)
    component = int(np.argmax(alone))
    return zero[:, component] / (zero - ours)[:, component]


def _meeting(one: Mapping[str, Side], other: Mapping[str, Side], same: float) -> tuple[bool, bool]:
    """Whether a value meets a slope, or nothing, at a corner, and whether two values differ there by more than `same`."""
    mixed = jumps = False
    for name in {*one, *other}:
        sides = one.get(name), other.get(name)
        orders = [9 if side is None else side.order for side in sides]
        mixed |= (orders[0] == 0) != (orders[1] == 0)
        if max(orders) == 0:
            a, b = (None if side is None else side.value for side in sides)
            jumps |= a is not None and b is not None and bool(abs(a - b) > same)
    return mixed, jumps
