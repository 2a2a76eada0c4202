"""How far noisy readings are followed: fields held back by a Gaussian prior whose width the readings themselves tell.

Each coefficient of a field's features is thought to be drawn from N(0, 1 / α). Sums of random features with such coefficients are
draws of a Gaussian process with the kernel of the features' family (Rahimi and Recht, NeurIPS 2007). The α of each field
maximises the evidence, the probability of all rows whatever the coefficients are,

    α = γ / ‖c‖²,   γ = P - α tr Σ,   Σ = (AᵀA + diag α)⁻¹,

with the γ of P coefficients that the rows tell more of than the prior does (MacKay, Neural Computation 4 (1992) 415).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from .approximation import Together

_ROUNDS = 20
_CLOSE = 0.02  # change of log α that ends them
_TOLD = 1e-3  # coefficients that are told at least, so that α stays positive
_MOST = 1e6  # α, in the largest square that the rows hold a coefficient by: more holds no further


def coefficients_of(basis: Together, state: tuple) -> dict[str, NDArray]:
    """The coefficients of each field's features, the constant last, in the order of `basis.fields`."""
    found = {}
    for part, each in zip(basis.parts, state, strict=True):
        output = each["train"]["output"]
        columns = np.concatenate([np.asarray(output["kernel"]), np.asarray(output["bias"])[None, :]])
        found |= dict(zip(part.fields, columns.T, strict=True))
    return {name: found[name] for name in basis.fields}


def roots(precision: Sequence[float], known: Sequence[NDArray]) -> NDArray:
    """√α of each coefficient, [P], from the precision of each field, α / P: so it is the same for more features."""
    counts = [len(each) for each in known]
    return np.sqrt(np.repeat(np.multiply(precision, counts), counts))


def prior_rows(precision: Sequence[float], known: Sequence[NDArray], total: int) -> tuple[Any, Any, NDArray]:
    """Rows that hold coefficients back, for `least_squares`: matrix [P, 1, total], target [P, 1, 1] and scale [1].

    Args:
        precision: α / P of each field.
        known: the coefficients so far of each field, which a solution of the rows is added to.
        total: how many unknowns there are; those after the coefficients are not held.
    """
    held = roots(precision, known)
    matrix = np.eye(len(held), total) * held[:, None]
    return jnp.asarray(matrix[:, None]), jnp.asarray(-(held * np.concatenate(known))[:, None, None]), np.ones(1)


def most_probable(upper: NDArray, known: Sequence[NDArray]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The precision of each field, α / P, with the largest evidence, and the γ of each.

    Args:
        upper: the triangle of rows A and targets b, [n, n + 1] or with more rows, in units of their standard deviations.
        known: as for `prior_rows`: A δ = b is solved for what is added to them.

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(4000, 40))
        >>> truth = 0.5 * np.random.default_rng(1).normal(size=40)
        >>> upper = np.linalg.qr(np.column_stack([rows, rows @ truth]), mode="r")
        >>> (precision,), (gamma,) = most_probable(upper, [np.zeros(40)])
        >>> bool(abs(precision * np.sum(truth**2) - 1) < 0.01 and 39 < gamma < 40)
        True
    """
    size, counts = upper.shape[1] - 1, [len(each) for each in known]
    rows, told = upper[:size, :size], np.concatenate([*known, np.zeros(size - sum(counts))])
    right, ends = upper[:size, size] + rows @ told, np.cumsum(counts)[:-1]
    alpha, gamma = np.zeros(len(counts)), np.zeros(len(counts))
    most = [_MOST * np.max(squares) for squares in np.split(np.sum(rows**2, axis=0)[: sum(counts)], ends)]
    for _ in range(_ROUNDS):
        held = np.zeros(size)
        held[: sum(counts)] = np.sqrt(np.repeat(alpha, counts))
        both = np.vstack([np.column_stack([rows, right]), np.column_stack([np.diag(held), np.zeros(size)])])
        solved = np.asarray(np.linalg.qr(both, mode="r"))
        inverse = _inverse(solved[:size, :size])
        found = np.split((inverse @ solved[:size, size])[: sum(counts)], ends)
        variances = np.split(np.sum(inverse**2, axis=1)[: sum(counts)], ends)
        gamma = np.maximum([len(c) - a * np.sum(v) for c, v, a in zip(found, variances, alpha, strict=True)], _TOLD)
        new = np.clip(gamma / np.maximum([c @ c for c in found], 1e-300), 1e-300, np.maximum(most, 1e-300))
        settled = np.all(np.abs(np.log(new / np.maximum(alpha, 1e-300))) < _CLOSE)
        alpha = new
        if settled:
            break
    return tuple((alpha / counts).tolist()), tuple(gamma.tolist())


def loosened(precision: Sequence[float], gamma: Sequence[float]) -> tuple[float, ...]:
    """The precision less one standard deviation of its logarithm, √(2 / γ): what errors are told by.

    A field that the rows tell little of tells little of how far to hold it back, too.
    """
    return tuple(p * math.exp(-math.sqrt(2 / max(g, 1.0))) for p, g in zip(precision, gamma, strict=True))


def _inverse(upper: NDArray) -> NDArray:
    """Of a triangle whose diagonal may be rounding: directions that no row knows stay unknown, not infinite."""
    diagonal = np.diagonal(upper).copy()
    least = np.finfo(float).eps * np.max(np.abs(diagonal), initial=1e-300)
    safe = upper.copy()
    np.fill_diagonal(safe, np.where(np.abs(diagonal) > least, diagonal, least))
    return scipy.linalg.solve_triangular(safe, np.eye(len(safe)), check_finite=False)
