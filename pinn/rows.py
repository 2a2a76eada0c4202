"""A problem linearised about the present fields, for a correction of them by new functions, and its least squares."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from . import devices
from .approximation import Together
from .derivatives import Jet
from .expression import Expression, everywhere
from .frames import Leaf
from .loss import Batch, Objective, Weights
from .memory import in_pieces
from .mixed import is_mixed, refined_least_squares
from .terms import Term

_CHUNK = 2048  # points linearised at a time: smaller ones compile twice as long and run no faster
_RIDGE = 1e-14  # Tikhonov tail, relative to unit columns: decides among solutions that fit equally well
EMPHASIS = 10.0  # weight of a condition's rows against those of the equations, both of unit size


class Rows(NamedTuple):
    """A term linearised about the present fields, for a correction of them by new functions."""

    residual: Array  # [n, K]
    matrix: Any  # [n, K, P], the change of the residual by each new function
    slopes: Array  # [n, K, L], the change of the residual by each leaf
    leaves: Array  # [n, L]


def whole_chunks(count: int) -> int:
    """Rounded up to whole chunks: a remainder would be compiled as a second copy."""
    return count if count <= _CHUNK else -(-count // _CHUNK) * _CHUNK


@partial(jax.jit, static_argnums=(0, 1, 2, 6))
def term_rows(
    objective: Objective, term: Term, basis: Together | None, weights: Weights, state: tuple, batch: Batch, smaller: int = 1
) -> Rows:
    """A term linearised at its points; `basis` and its `state` give the new functions, None for no matrix.

    Where `smaller` is more than 1, so many times fewer points are linearised at a time.
    """
    expression = term.expression

    def one(row: Batch) -> Rows:
        extras = objective.extras(weights.unknown, row.points.dtype) | row.columns
        leaves = objective.leaves(term, weights, row)

        def value(values: Array) -> Array:
            return row.weight * expression.value(row.points, values, extras)

        slopes = (jax.jacrev if expression.integrates else jax.jacfwd)(value)(leaves)
        matrix = None if basis is None else _change(expression, basis, state, slopes, expression.places(row.points, extras))
        return Rows(value(leaves), matrix, slopes, leaves)

    places = max(map(prod, expression.shapes.values()))
    chunk = max((_CHUNK >> (places - 1).bit_length()) // smaller, 1)
    rows = devices.over_rows(one, batch, chunk)
    # One process holds the matrix in parts; several cannot read each other's, so that there each has the whole of it.
    shared = rows.matrix if jax.process_count() == 1 else devices.everywhere(rows.matrix)
    return devices.everywhere(rows._replace(matrix=None))._replace(matrix=shared)


def _change(expression: Expression, basis: Together, state: tuple, slopes: Array, places: Sequence[Array]) -> Array:
    """Σ_leaf slope × ∂^α φ: the change of each component by each new function, [K, P]."""
    blocks: dict[str, Array] = {}
    for site, place in zip(expression.sites, places, strict=True):
        demand = expression.demand(site)
        indices = [index for wanted in demand.values() for index in wanted]
        if not indices:
            continue

        def parts(p: Array, demand=demand, indices=indices) -> dict[str, Array]:
            functions = basis.basis(state, Jet.variable(p, indices))
            return {name: jnp.stack([functions[name].part(index) for index in wanted]) for name, wanted in demand.items()}

        found = everywhere(parts, place)  # [I, P], or [N, I, P]
        for name, wanted in demand.items():
            weights = jnp.stack([slopes[:, expression.slots[Leaf(site, name, index)]] for index in wanted], axis=2)  # [K, N, I]
            block = weights.reshape(len(slopes), -1) @ found[name].reshape(-1, found[name].shape[-1])
            blocks[name] = blocks[name] + block if name in blocks else block
    widths = {name: functions.shape[0] for name, functions in basis.basis(state, places[0]).items()}
    zero = {name: jnp.zeros((len(slopes), width), slopes.dtype) for name, width in widths.items()}
    return jnp.concatenate([blocks.get(name, zero[name]) for name in basis.fields], axis=1)


def least_squares(matrices: Sequence[Array], targets: Sequence[Any], scales: Sequence[Any]) -> tuple[Array, Array]:
    """Coefficients [P, R] that minimise Σ ‖scale (matrix c - target)‖² over terms, and that least sum of squares, [R].

    The matrices are [n, K, P], the targets [n, K, R], the scales [K].
    """
    return (_refined if is_mixed() else _by_triangle)(matrices, targets, scales)


@jax.jit
def _refined(matrices: Sequence[Array], targets: Sequence[Array], scales: Sequence[Array]) -> tuple[Array, Array]:
    return refined_least_squares(_scaled_rows(matrices, targets, scales), matrices[0].shape[2])


@jax.jit
def _by_triangle(matrices: Sequence[Array], targets: Sequence[Array], scales: Sequence[Array]) -> tuple[Array, Array]:
    upper, norms = triangle(matrices, targets, scales)
    width = norms.shape[0]
    solved = jax.scipy.linalg.solve_triangular(upper[:width, :width], upper[:width, width:])
    return solved / norms[:, None], jnp.sum(upper[width:, width:] ** 2, axis=0)


@jax.jit
def triangle(matrices: Sequence[Array], targets: Sequence[Array], scales: Sequence[Array]) -> tuple[Array, Array]:
    """The triangle of all rows and their targets, with columns brought to unit length, and these lengths, [P].

    QR of the rows with a small Tikhonov tail: the normal equations would lose half of the digits.
    """
    stacked = devices.reduced(_scaled_rows(matrices, targets, scales))
    width = matrices[0].shape[2]
    norms = jnp.sqrt(jnp.sum(stacked[:, :width] ** 2, axis=0))
    norms = jnp.concatenate([jnp.where(norms > 0, norms, 1), jnp.ones(stacked.shape[1] - width, stacked.dtype)])
    ridge = _RIDGE if stacked.dtype == jnp.float64 else 1e-7
    tail = ridge * jnp.sqrt(width * 1.0) * jnp.eye(width, stacked.shape[1], dtype=stacked.dtype)
    return jnp.linalg.qr(jnp.concatenate([stacked / norms[None, :], tail]), mode="r"), norms[:width]


def _scaled_rows(matrices: Sequence[Array], targets: Sequence[Array], scales: Sequence[Array]) -> list[Array]:
    """The matrix and the targets of each term side by side, scaled: [n K, P + R]."""
    blocks = []
    for matrix, target, scale in zip(matrices, targets, scales, strict=True):
        both = jnp.concatenate([matrix, target], axis=2) * scale[None, :, None]
        blocks.append(both.reshape(-1, both.shape[-1]))
    return blocks


def row_scales(systems: Sequence[Rows], terms: Sequence[Term]) -> list[np.ndarray]:
    """What brings each component of the terms' matrices to unit size, conditions to `EMPHASIS`: [K] each."""
    sizes = [np.sqrt(np.einsum("nkp,nkp->k", rows.matrix, rows.matrix)) for rows in systems]
    weights = [1.0 if term.place is None else EMPHASIS for term in terms]
    return [weight / np.where(size > 0, size, 1) for weight, size in zip(weights, sizes, strict=True)]


def correction(systems: Sequence[Rows], scales: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """Coefficients [P] of new functions that cancel linearised residuals, and the sum of squares, scaled, that is left."""
    targets = [-np.asarray(rows.residual)[:, :, None] for rows in systems]
    coefficients, left = map(np.asarray, least_squares([rows.matrix for rows in systems], targets, scales))
    return coefficients[:, 0], float(left[0])


def squares(values: Sequence[Any], scales: Sequence[Any]) -> float:
    """The sum of squares of every term's residuals [n, K], each scaled by its [K]."""
    return sum(float(np.sum(np.square(np.asarray(v) * s))) for v, s in zip(values, scales, strict=True))


def remaining(systems: Sequence[Rows], scales: Sequence[Any]) -> float:
    """The same of terms that are linearised, where they are now."""
    return squares([rows.residual for rows in systems], scales)


def scattered(basis: Together, state: tuple, seed: Sequence[int]) -> tuple:
    """The state with random coefficients, which make fields of the size of one."""
    count = coefficient_count(basis, state)
    drawn = np.random.default_rng((*seed, 6)).normal(size=count) * np.sqrt(len(basis.fields) / count)
    return add_coefficients(basis, state, jnp.asarray(drawn), jnp.ones(()))


def linearised(
    objective: Objective, weights: Weights, basis: Together | None, state: tuple, batches: Sequence[Batch]
) -> tuple[Rows, ...]:
    """Every term linearised at its points."""
    terms = zip(objective.terms, batches, strict=True)
    return tuple(in_pieces(partial(term_rows, objective, term, basis, weights, state, batch)) for term, batch in terms)


@jax.jit
def left_by(rows: Rows, coefficients: Array) -> Array:
    """What new functions with these coefficients [P] leave of a term, linearised, [n, K]."""
    return rows.residual + rows.matrix @ coefficients


@partial(jax.jit, static_argnums=0)
def functions_at(basis: Together, state: tuple, points: Array) -> dict[str, Array]:
    """For each field, its functions at points: [n, P]."""
    return jax.vmap(lambda point: basis.basis(state, point))(points)


def coefficient_count(basis: Together, state: tuple) -> int:
    """P, of all fields together."""
    parts = zip(basis.parts, state, strict=True)
    return sum(len(one.fields) * (part["train"]["output"]["kernel"].shape[0] + 1) for one, part in parts)


@partial(jax.jit, static_argnums=0)
def add_coefficients(basis: Together, state: tuple, coefficients: Array, share: Array) -> tuple:
    """The state whose linear layers have `share` × coefficients [P] added."""
    added, start = {}, 0
    widths = {
        name: part["train"]["output"]["kernel"].shape[0] + 1
        for one, part in zip(basis.parts, state, strict=True)
        for name in one.fields
    }
    for name in basis.fields:
        added[name] = share * coefficients[start : start + widths[name]]
        start += widths[name]
    new = []
    for one, part in zip(basis.parts, state, strict=True):
        change = jnp.stack([added[name] for name in one.fields], axis=1)
        output = part["train"]["output"]
        output = {"kernel": output["kernel"] + change[:-1], "bias": output["bias"] + change[-1]}
        new.append({**part, "train": {**part["train"], "output": output}})
    return tuple(new)
