"""With which exponents the fields of a system are singular in a corner.

Close to a corner only the leading parts of equations and conditions matter, with the coefficients that they have there. Fields

    u_j = r^(λ + t_j - T) F_j(θ),   t_j the order of the equations in u_j, T the largest of them,

solve them for those λ for which the ordinary differential equations of the F_j, at Chebyshev points between the two sides,
have a solution: where the smallest singular value of their matrix is zero, and λ > T/2 - 1, so that energies are finite.

After Kondrat'ev (Trans. Moscow Math. Soc. 16 (1967) 227) and, for systems of mixed order, Agmon, Douglis and Nirenberg (Comm.
Pure Appl. Math. 17 (1964) 35).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.polynomial import chebyshev
from scipy.optimize import minimize_scalar

from .expression import Expression
from .pieces import Array

_POINTS = 20  # between the sides of a corner
_STEP = 0.03  # of the exponents that are looked at
_LEAST = 0.05  # exponent, and how near to a whole number one is that
_ZERO = 1e-7  # smallest singular value of rows of unit length, where there is a solution
_MOST = 3  # exponents
_WRONG = 1e-4  # residual in a corner, of the size of what it adds up: slopes are known to 1e-6


class Part(NamedTuple):
    """One derivative of a field in a leading part: which field, how often by each of the two coordinates, and its coefficient."""

    field: int
    powers: tuple[int, int]
    coefficient: float


class Side(NamedTuple):
    """What holds at one side of a corner: at which angle it is, and conditions at a point there, with the outward normal."""

    angle: float
    conditions: Sequence[Expression]
    point: Array
    normal: Array


def exponents(
    equation: Expression, sides: tuple[Side, Side], fields: Sequence[str], axes: tuple[int, int], extras: Mapping[str, Any]
) -> tuple[float, ...] | None:
    """The lowest real exponents below T that are not whole; None where each equation is of one field, of order two at most."""
    if len(fields) < 2 and all(sum(leaf.index) < 3 for leaf in equation.leaves):
        return None
    rows = _slopes(equation, sides[0].point, sides[0].normal, fields, axes, extras)
    orders = [max((sum(part.powers) for row in rows for part in row if part.field == j), default=0) for j in range(len(fields))]
    if not rows or min(orders) == 0:
        return None
    inside = [_leading(row, orders) for row in rows]
    if max(orders) < 3 and all(len({part.field for part in row}) < 2 for row in inside):
        return None
    given = [
        (side.angle, _leading(row, orders))
        for side in sides
        for condition in side.conditions
        for row in _slopes(condition, side.point, side.normal, fields, axes, extras)
    ]
    size = partial(_smallest, inside, given, orders, (sides[0].angle, sides[1].angle))
    grid = np.arange(max(orders) / 2 - 1 + _LEAST, max(orders), _STEP)
    sizes = np.array([size(exponent) for exponent in grid])
    found = []
    if np.median(sizes) > _ZERO:  # with too few conditions there is a solution for any exponent
        for k in np.flatnonzero((sizes[1:-1] <= sizes[:-2]) & (sizes[1:-1] <= sizes[2:])) + 1:
            least: Any = minimize_scalar(size, bounds=(grid[k - 1], grid[k + 1]), method="bounded", options={"xatol": 1e-12})
            if least.fun < _ZERO and abs(least.x - round(least.x)) > _LEAST:
                found.append(float(least.x))
    return tuple(found[:_MOST])


def clashes(
    equation: Expression,
    point: Array,
    fields: Sequence[str],
    axes: tuple[int, int],
    extras: Mapping[str, Any],
    given: Mapping[str, tuple[float, Array]],
) -> bool:
    """Whether some equation, of order one, is wrong in a corner for the values and gradients that its sides give."""
    for row, source in zip(*_linear(equation, point, np.zeros(2), fields, axes, extras), strict=True):
        known = [(part, *given[fields[part.field]]) for part in row if fields[part.field] in given and sum(part.powers) < 2]
        if len(known) == len(row) and any(sum(part.powers) for part in row):
            total, size = source, abs(source)
            for part, value, gradient in known:
                derived = sum(part.powers) > 0
                total += part.coefficient * (gradient @ part.powers if derived else value)
                size += abs(part.coefficient) * (np.linalg.norm(gradient) if derived else abs(value))
            if abs(total) > _WRONG * size:
                return True
    return False


def _slopes(
    expression: Expression, point: Array, normal: Array, fields: Sequence[str], axes: tuple[int, int], extras: Mapping[str, Any]
) -> list[list[Part]]:
    """What each component of an expression that reads one point has of derivatives in the plane, about fields that are zero."""
    return _linear(expression, point, normal, fields, axes, extras)[0]


def _linear(
    expression: Expression, point: Array, normal: Array, fields: Sequence[str], axes: tuple[int, int], extras: Mapping[str, Any]
) -> tuple[list[list[Part]], list[float]]:
    """The same, and what each component is where the fields are zero."""
    if expression.integrates or len(expression.sites) > 1 or not expression.leaves:
        return [], []
    known = {name: jnp.asarray(value, float) for name, value in extras.items()} | {"normal": jnp.asarray(normal)}

    def value(leaves: jax.Array) -> jax.Array:
        return expression.value(jnp.asarray(point), leaves, known)

    zero = jnp.zeros(expression.size)
    source, slopes = np.asarray(value(zero)), np.asarray(jax.jacfwd(value)(zero))
    if not (np.isfinite(slopes).all() and np.isfinite(source).all()):
        return [], []
    across = [axis for axis in range(len(point)) if axis not in axes]
    plane = [not any(leaf.index[axis] for axis in across) for leaf in expression.leaves]
    rows = [
        [
            Part(fields.index(leaf.field), (leaf.index[axes[0]], leaf.index[axes[1]]), float(slope))
            for leaf, slope, kept in zip(expression.leaves, row, plane, strict=True)
            if kept and slope
        ]
        for row in slopes
    ]
    return rows, source.tolist()


def _leading(row: Sequence[Part], orders: Sequence[int]) -> list[Part]:
    highest = max((sum(part.powers) - orders[part.field] for part in row), default=0)
    return [part for part in row if sum(part.powers) - orders[part.field] == highest]


def _smallest(
    inside: Sequence[Sequence[Part]],
    given: Sequence[tuple[float, Sequence[Part]]],
    orders: Sequence[int],
    angles: tuple[float, float],
    exponent: float,
) -> float:
    """The smallest singular value of the equations at all points, and of the conditions at the ends."""
    node = np.cos(np.pi * np.arange(_POINTS + 1) / _POINTS)
    middle, half = np.mean(angles), (angles[1] - angles[0]) / 2
    angle, slope = middle + half * node, _differentiation(node) / half
    powers = [exponent + order - max(orders) for order in orders]

    def rows(parts: Sequence[Part], where: slice | list[int]) -> Array:
        blocks = np.zeros((len(orders), *slope[where].shape))
        for part in parts:
            blocks[part.field] += part.coefficient * _derivative(part.powers, powers[part.field], angle, slope)[where]
        return np.concatenate(list(blocks), axis=1)

    ends = {angles[0]: [_POINTS], angles[1]: [0]}
    matrix = np.concatenate([*(rows(row, slice(None)) for row in inside), *(rows(row, ends[at]) for at, row in given)])
    length = np.linalg.norm(matrix, axis=1, keepdims=True)
    return float(np.linalg.svd(matrix / np.where(length > 0, length, 1), compute_uv=False)[-1])


def _derivative(count: tuple[int, int], power: float, angle: Array, slope: Array) -> Array:
    """The matrix from values of F to those of ∂^count r^power F(θ) at r = 1, by ∂x = cos θ ∂r - sin θ ∂θ / r."""
    found = np.eye(len(angle))
    for times, along, across in ((count[0], np.cos(angle), -np.sin(angle)), (count[1], np.sin(angle), np.cos(angle))):
        for _ in range(times):
            found = power * along[:, None] * found + across[:, None] * (slope @ found)
            power -= 1
    return found


def _differentiation(node: Array) -> Array:
    """The matrix from values at Chebyshev points to slopes there."""
    degree = len(node) - 1
    slopes = chebyshev.chebvander(node, degree - 1) @ chebyshev.chebder(np.eye(degree + 1))
    return slopes @ np.linalg.inv(chebyshev.chebvander(node, degree))
