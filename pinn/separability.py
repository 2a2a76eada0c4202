"""Whether products of functions of one coordinate each can take every condition of a problem that evolves in a box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy.optimize import linear_sum_assignment

from .exact import Exact
from .loss import given_leaves, parted
from .problem import Problem
from .singular import seen_by
from .stepping import sloped_residuals
from .terms import Term
from .timeline import Timeline

_POINTS = 64  # of a condition that are looked at
_SAME = 1e-10


class End(NamedTuple):
    """What vanishes at an end of a coordinate: Σ slope × derivative, (order, slope)."""

    place: float
    slopes: tuple[tuple[int, float], ...]


class Separated(NamedTuple):
    """How products of functions of one coordinate take the conditions and the equations.

    Attributes:
        ends: for each field, by spatial coordinate, what vanishes at its ends beside what is built in.
        tests: for each component of the equations, in order, the field whose functions it is tested with: the one whose
            evolution it tells. Where that is not clear and those of all fields are alike, in the order of the fields.
    """

    ends: Mapping[str, Mapping[int, tuple[End, ...]]]
    tests: tuple[str, ...]


def separable(problem: Problem, exact: Exact, time: Timeline) -> Separated | None:
    """What products of functions of each spatial coordinate have to meet; None where they will not do.

    They do where every field evolves, each by an equation of its own, and what is not built in holds on whole faces, is zero, and
    reads derivatives of one field across the face alone with slopes that are the same everywhere.
    """
    domain, spatial = problem.domain, [a for a in range(problem.domain.dimension) if a != time.axis]
    if not domain.is_box or len(spatial) < 2 or min(time.orders.values()) < 1:
        return None
    equations = [term for term in problem.terms if term.place is None]
    if any(len(term.expression.sites) > 1 or term.expression.integrates for term in equations):
        return None
    if sum(len(term.expression.components) for term in equations) != len(problem.fields):
        return None
    met = {time.axis, *(a for ends in exact.ends.values() for a in ends)}
    if any(each.strong for each in seen_by(2**31, problem.singular(domain), met)):
        return None
    found: dict[tuple[int, float], dict[str, set]] = {}
    for term in problem.terms:
        if term.place is None or term.name in exact.met:
            continue
        taken = _starts(problem, exact, time, term) if term.name in time.initial else _joined(problem, exact, time, term, found)
        if not taken:
            return None
    ends, first = _ends(problem, found), problem.fields[0]
    tests = _tests(problem, exact, time, equations)
    if tests is None and all((exact.pattern(name), ends[name]) == (exact.pattern(first), ends[first]) for name in problem.fields):
        tests = problem.fields
    return None if tests is None else Separated(ends, tests)


def _ends(problem: Problem, found: Mapping[tuple[int, float], Mapping[str, set]]) -> dict[str, dict[int, tuple[End, ...]]]:
    ends: dict[str, dict[int, tuple[End, ...]]] = {name: {} for name in problem.fields}
    for (axis, place), given in sorted(found.items()):
        for name, asked in given.items():
            ends[name][axis] = (*ends[name].get(axis, ()), *(End(place, slopes) for slopes in sorted(asked)))
    return ends


def _tests(problem: Problem, exact: Exact, time: Timeline, equations: Sequence[Term]) -> tuple[str, ...] | None:
    """The field that evolves by each component: all of them, each by one, with the largest shares."""
    rows = []
    for term in equations:
        _, _, slopes = _looked_at(problem, exact, term)
        row = np.zeros((slopes.shape[1], len(problem.fields)))
        for i, leaf in enumerate(term.expression.leaves):
            if leaf.index[time.axis] == sum(leaf.index) == time.orders[leaf.field]:
                row[:, problem.fields.index(leaf.field)] = np.mean(np.abs(slopes[:, :, i]), axis=0)
        rows.append(row)
    shares = np.concatenate(rows)
    shares = shares / np.maximum(np.max(shares, axis=1, keepdims=True), 1e-300)
    components, fields = linear_sum_assignment(-shares)
    if not np.all(shares[components, fields] > _SAME):
        return None
    return tuple(problem.fields[i] for i in fields)


def _looked_at(problem: Problem, exact: Exact, term: Term) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of a term, its residuals there of G alone, [n, K], and its slopes, [n, K, L]."""
    points, columns = term.sample(problem.domain, _POINTS, (11,))
    inputs = jnp.asarray(points), {name: jnp.asarray(column) for name, column in columns.items()}
    given = given_leaves(problem, exact, term.expression, *inputs)
    values, slopes = sloped_residuals(problem, term.expression, inputs[0], given, inputs[1])
    return points, np.asarray(values), np.asarray(slopes)


def _starts(problem: Problem, exact: Exact, time: Timeline, term: Term) -> bool:
    """Whether an initial condition gives one value, or velocity, for each component."""
    if parted(term) or not term.expression.is_affine or len(term.expression.sites) > 1:
        return False
    if any(sum(leaf.index) != leaf.index[time.axis] for leaf in term.expression.leaves):
        return False
    _, _, slopes = _looked_at(problem, exact, term)
    return bool(np.all(np.sum(slopes[0] != 0, axis=1) == 1) and np.max(np.ptp(slopes, axis=0)) < _SAME)


def _joined(problem: Problem, exact: Exact, time: Timeline, term: Term, found: dict) -> bool:
    """Whether a condition is one of the ends of coordinates; what it asks for is then added to what is `found`."""
    if parted(term) or not term.expression.is_affine or len(term.expression.sites) > 1:
        return False
    points, values, slopes = _looked_at(problem, exact, term)
    size, leaves = float(np.max(np.abs(slopes))), term.expression.leaves
    if np.max(np.abs(values)) > _SAME * max(size, 1e-300):
        return False
    on_face = np.zeros(len(points), int)
    for axis in range(problem.domain.dimension):
        for bound in problem.domain.bounds:
            here = points[:, axis] == bound[axis]
            on_face += here
            if not np.any(here):
                continue
            if axis == time.axis or np.max(np.ptp(slopes[here], axis=0)) > _SAME * size:
                return False
            for row in np.mean(slopes[here], axis=0):
                read = {leaf: slope for leaf, slope in zip(leaves, row.tolist(), strict=True) if abs(slope) > _SAME * size}
                fields, largest = {leaf.field for leaf in read}, max(map(abs, read.values()), default=0.0)
                if len(fields) != 1 or any(sum(leaf.index) != leaf.index[axis] for leaf in read):
                    return False
                sign = np.sign(max(read.items(), key=lambda each: each[0].index)[1])
                scaled = tuple(sorted((leaf.index[axis], round(sign * slope / largest, 12)) for leaf, slope in read.items()))
                found.setdefault((axis, float(bound[axis])), {}).setdefault(fields.pop(), set()).add(scaled)
    return bool(np.all(on_face == 1))
