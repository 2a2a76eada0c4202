"""Steps in time: a network of space at each stage of an implicit Runge-Kutta method, its linear layer solved for.

Over a step of length h the fields are

    u(t, x) = G(t, x) + φ(x) Σ_i ℓ_i(τ) Σ_j c_ij b_j(x),   τ = (t - t_k) / h

with the ℓ_i of Radau IIA (see `radau`) and b_j the same features of space at all times. What a step begins with, c_0, is what the
one before it ended with, exactly. At the s stages c_1 … c_s the equations, at points of a quadrature in space, are projected on
what the highest derivative by time multiplies, or their squares are least where that does not fix the state. Squares weigh what
features leave of an equation by the length of the step: with each length the state moves anew, which keeps steps short where
little is resolved. Newton's method, with a matrix A_α = Σ ∂F/∂(∂_t^α u) b that is kept for many steps, solves, so tested,
Σ_α A_α (λ / h)^α δ = -F once for each eigenvalue λ of the method (Raissi, Perdikaris & Karniadakis 2019, section 3.2, call such
networks discrete time models).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from .decompositions import Factor, cholesky, lu, svd
from .devices import in_rows
from .expression import Expression
from .loss import given_leaves
from .problem import Problem
from .radau import Radau
from .rows import EMPHASIS
from .space import Held, Space

_ROWS, _MANY_ROWS = 4096, 32768  # points that a term is evaluated at together: compiled for either number
_FORBIDDEN = 1e-6  # singular value of conditions, in the largest, from which on what it belongs to is free
_ITERATIONS = 8  # of Newton's method
_DEPENDENT = 1e-8  # least eigenvalue of what terms are projected on, of unit columns


class Kept(NamedTuple):
    """What conditions leave free, which read no derivative by time: of their rows C, [m, P], a pseudoinverse and a null space.

    Were they only weighted, a step could gain more in the equations from what they forbid, and what they forbid may grow.
    """

    mends: NDArray  # [P, m]
    free: NDArray  # [P, q]


class Slopes(NamedTuple):
    """The terms linearised: A_α, weighted, [N, P] by order α in time, and their products with what they are tested by.

    Attributes:
        tests: T_α, [N, P] by α: A_α, or the features alone.
        products: T_αᵀ A_β, [P, P]; where T is A, for α ≤ β.
        free: the same for the free coefficients, [q, q].
        weights: of the rows, [N].
        kept: of the conditions that are kept exactly; None where there are none.
        projected: whether the terms are projected on the features; else their squares are least.
    """

    tests: Mapping[int, NDArray]
    products: Mapping[tuple[int, int], NDArray]
    free: Mapping[tuple[int, int], NDArray]
    weights: NDArray
    kept: Kept | None
    projected: bool

    @property
    def size(self) -> int:
        return next(iter(self.free.values())).shape[0]


class Matrix(NamedTuple):
    """What a step of one length needs of Newton's method: a factor for each of the scheme's `upper` eigenvalues."""

    length: float
    slopes: Slopes
    factors: tuple[Factor, ...]


class Moment(NamedTuple):
    """A state of the fields: coefficients of the values, and of the velocities where the equation is of second order, [P]."""

    values: NDArray
    velocities: NDArray


class Discrete(Protocol):
    """What a step needs of the terms that hold at every time: `Terms`, or `Products` where features are products.

    `solved` and `fresh` are terms at points, those that judge the second; `moving` says which coefficients belong to fields whose
    derivative by time is read, [P].
    """

    @property
    def space(self) -> Any: ...

    @property
    def solved(self) -> Sequence[Any]: ...

    @property
    def fresh(self) -> Sequence[Any]: ...

    @property
    def moving(self) -> NDArray: ...

    def linearised(self, length: float, time: float, states: Sequence[NDArray]) -> Any:
        """About states [P] by order in time, for steps of about this length."""
        ...

    def factored(self, scheme: Radau, slopes: Any, length: float) -> Any:
        """What Newton's method needs for steps of a length, of what is linearised."""
        ...

    def solve_stages(
        self, scheme: Radau, matrix: Any, time: float, start: Moment, guess: NDArray, size: float, wanted: float
    ) -> tuple[NDArray, float, bool]:
        """The stages of a step [s, P], how much the last update was of the one before, whether Newton's method converged."""
        ...


class Terms(NamedTuple):
    """The terms that hold at every time, at points that they are solved at (kept ones last), and at others that judge."""

    space: Space
    solved: tuple[Held, ...]
    fresh: tuple[Held, ...]
    orders: Mapping[str, int]  # of the derivatives by time, by field

    @property
    def moving(self) -> NDArray:
        return np.concatenate([np.full(part.stop - part.start, self.orders[name] > 0) for name, part in self.space.parts.items()])

    def linearised(self, length: float, time: float, states: Sequence[NDArray]) -> Slopes:
        return linearised(self, length, time, states)

    def factored(self, scheme: Radau, slopes: Slopes, length: float) -> Matrix:
        return factored(scheme, slopes, length)

    def solve_stages(
        self, scheme: Radau, matrix: Matrix, time: float, start: Moment, guess: NDArray, size: float, wanted: float
    ) -> tuple[NDArray, float, bool]:
        return solve_stages(self, scheme, matrix, time, start, guess, size, wanted)


# --- residuals -------------------------------------------------------------------------------------------------------


@partial(jax.jit, static_argnums=(0, 1, 2))
def _residuals(
    problem: Problem, expression: Expression, sloped: bool, points: Array, leaves: Array, columns: dict[str, Array]
) -> Any:
    """Components [n, K] at points, with leaves [n, L]; with `sloped` their slopes by the leaves, [n, K, L], as well."""
    known = {name: jnp.asarray(value, points.dtype) for name, value in problem.known().items()}

    def one(point: Array, own: Array, beside: dict[str, Array]) -> Any:
        def value(leaves: Array) -> Array:
            return expression.value(point, leaves, known | beside)

        return (value(own), jax.jacfwd(value)(own)) if sloped else value(own)

    return jax.vmap(one)(points, leaves, columns)


def sloped_residuals(problem: Problem, expression: Expression, points: Array, leaves: Array, columns: dict[str, Array]) -> Any:
    """Components [n, K] at points, with leaves [n, L], and their slopes by the leaves, [n, K, L]."""
    return _residuals(problem, expression, True, points, leaves, columns)


class Placed(NamedTuple):
    """A term at some times: points [s n, d], what else it asks for, and its leaves of G there, [s n, L], 0.0 where G is zero."""

    points: NDArray
    columns: dict[str, NDArray]
    given: NDArray | float


def placed(space: Any, held: Any, times: NDArray) -> Placed:
    """A term of `Held` or `Grid` at some times."""
    count, n = len(times), len(held.points)
    points = np.tile(held.points, (count, 1))
    points[:, space.axis] = np.repeat(times, n)
    columns = {name: np.tile(column, (count,) + (1,) * (column.ndim - 1)) for name, column in held.columns.items()}
    given: NDArray | float = 0.0
    if any(map(space.exact.lifts, space.problem.unknowns)):
        given = in_rows(partial(given_leaves, space.problem, space.exact, held.term.expression), _ROWS, points, columns)
    return Placed(points, columns, given)


def residuals_at(space: Any, held: Any, at: Placed, states: Sequence[NDArray], sloped: bool = False) -> Any:
    """Components of a term at some times, [s, n, K]; with `sloped` also slopes [s, n, K, L] and leaves [s, n, L]."""
    leaves = held.leaves(states) + at.given
    rows = _MANY_ROWS if len(leaves) > _MANY_ROWS // 2 else _ROWS
    found = in_rows(partial(_residuals, space.problem, held.term.expression, sloped), rows, at.points, leaves, at.columns)
    shape = len(at.points) // len(held.points), len(held.points)
    if not sloped:
        return found.reshape(*shape, -1)
    return tuple(each.reshape(*shape, *each.shape[1:]) for each in (*found, leaves))


def residuals(space: Any, held: Any, times: NDArray, states: Sequence[NDArray], sloped: bool = False) -> Any:
    """The same from the times."""
    return residuals_at(space, held, placed(space, held, times), states, sloped)


# --- one step --------------------------------------------------------------------------------------------------------


def states_at(scheme: Radau, length: float, start: Moment, stages: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Values, velocities and accelerations at the stages, [s, P] each."""
    velocities = scheme.derivative(start.values, stages) / length
    return stages, velocities, scheme.derivative(start.velocities, velocities) / length


def linearised(terms: Terms, length: float, time: float, states: Sequence[NDArray]) -> Slopes:
    """The terms about states [P] by order in time; rows get unit size for steps of this length."""
    space, found, weights = terms.space, [], []
    for held in terms.solved:
        if not is_kept(held):
            blocks = _blocks_about(space, held, time, states)
            shares = held.shares[:, None, None]
            size = np.sqrt(sum(np.sum(block**2 * shares, axis=(0, 2)) / length ** (2 * k) for k, block in blocks.items()))
            weight = (1.0 if held.term.place is None else EMPHASIS) / np.where(size > 0, size, 1)
            weights.append(np.sqrt(held.shares)[:, None] * weight)
            found.append({k: (block * weights[-1][:, :, None]).reshape(-1, space.size) for k, block in blocks.items()})
    rows = {
        order: np.concatenate([own.get(order, np.zeros((w.size, space.size))) for own, w in zip(found, weights, strict=True)])
        for order in sorted({order for own in found for order in own})
    }
    kept = kept_of(terms, time, states)
    every = np.concatenate([w.reshape(-1) for w in weights])
    tests, orders = _highest(terms, rows), {terms.orders[name] for name in space.parts}
    if tests is not None:
        products = {(0, order): tests.T @ block for order, block in rows.items()}
        free = _freed(kept, products)
        gram = free[0, max(orders)] if len(orders) == 1 else _freed(kept, {(0, 0): tests.T @ tests})[0, 0]
        if _independent(gram):
            return Slopes({0: tests}, products, free, every, kept, True)
    products = {(a, b): rows[a].T @ rows[b] for a in rows for b in rows if a <= b}
    return Slopes(rows, products, _freed(kept, products), every, kept, False)


def _highest(terms: Terms, rows: Mapping[int, NDArray]) -> NDArray | None:
    """What the highest derivative by time of each field is multiplied by, [N, P], on which terms are projected.

    None where a field does not evolve, or not about these states, or a condition that is not kept holds as well: such terms have
    none of it.
    """
    orders = [terms.orders[name] for name in terms.space.parts]
    evolve = all(order > 0 and order in rows for order in orders)
    if not evolve or any(held.term.place is not None and not is_kept(held) for held in terms.solved):
        return None
    return np.concatenate([rows[order][:, part] for order, part in zip(orders, terms.space.parts.values(), strict=True)], axis=1)


def _freed(kept: Kept | None, products: Mapping[tuple[int, int], NDArray]) -> Mapping[tuple[int, int], NDArray]:
    """Products for the coefficients that conditions leave free."""
    return products if kept is None else {pair: kept.free.T @ product @ kept.free for pair, product in products.items()}


def _independent(gram: NDArray) -> bool:
    """Whether columns with these products, [q, q], are independent: with them the state is fixed."""
    try:
        cholesky(gram, (-_DEPENDENT,))
    except np.linalg.LinAlgError:
        return False
    return True


def is_kept(held: Held) -> bool:
    """Whether a term is a condition that is kept exactly."""
    return held.term.place is not None and all(read.order == 0 for read in held.reads)


def kept_of(terms: Terms, time: float, states: Sequence[NDArray]) -> Kept | None:
    """The conditions that are kept, about states [P] by order in time."""
    space = terms.space
    fixed = [_blocks_about(space, held, time, states)[0].reshape(-1, space.size) for held in terms.solved if is_kept(held)]
    if not fixed:
        return None
    rows = np.concatenate(fixed)
    norms = np.maximum(np.linalg.norm(rows, axis=1), 1e-300)
    left, sizes, right = svd(rows / norms[:, None], full=True)
    rank = int(np.sum(sizes > _FORBIDDEN * sizes[0]))
    return Kept(right[:rank].T / sizes[:rank] @ left[:, :rank].T / norms, right[rank:].T)


def _blocks_about(space: Space, held: Held, time: float, states: Sequence[NDArray]) -> dict[int, NDArray]:
    """The change of a term by each coefficient, about states [P] by order in time: [n, K, P] by order."""
    _, slopes, _ = residuals(space, held, np.array([time]), [each[None] for each in states], True)
    return blocks_of(space, held, slopes[0])


def blocks_of(space: Space, held: Held, slopes: NDArray) -> dict[int, NDArray]:
    """Σ slope × b of a term by order in time, [n, K, P]."""
    found: dict[int, NDArray] = {}
    for i, read in enumerate(held.reads):
        if read.order == 0 or np.any(slopes[:, :, i]):
            block = found.setdefault(read.order, np.zeros((*slopes.shape[:2], space.size)))
            block[:, :, read.part] += slopes[:, :, i, None] * read.table[:, None, :]
    return found


def factored(scheme: Radau, slopes: Slopes, length: float) -> Matrix:
    """Σ A_α (λ / h)^α, tested, for each of the scheme's `upper` eigenvalues, factored.

    What rounding does to normal equations Newton's method mends.
    """
    factors = []
    for eigenvalue in scheme.eigenvalues[scheme.upper].tolist():
        factor = (eigenvalue if eigenvalue.imag else float(eigenvalue.real)) / length
        total = np.zeros((slopes.size, slopes.size), np.result_type(factor, float))
        for (a, b), product in slopes.free.items():
            part = (np.conj(factor) ** a * factor**b) * product
            total += part if a == b or slopes.projected else part + part.conj().T
        factors.append(lu(total) if slopes.projected else cholesky(total))
    return Matrix(length, slopes, tuple(factors))


def newton_step(scheme: Radau, matrix: Matrix, wrong: NDArray) -> NDArray:
    """The change of the stages, [s, P], for residuals [s, N]: those of the terms that are kept come last."""
    slopes, turn, count = matrix.slopes, scheme.inverse[scheme.upper], len(matrix.slopes.weights)
    turned = _across(turn, wrong[:, :count] * slopes.weights)
    across = {order: _across(turned, tests) for order, tests in slopes.tests.items()}
    forced = None if slopes.kept is None else -_across(_across(turn, wrong[:, count:]), slopes.kept.mends.T)
    total = np.zeros((scheme.stages, next(iter(across.values())).shape[1]))
    for j, (i, factor) in enumerate(zip(scheme.upper, matrix.factors, strict=True)):
        value = complex(scheme.eigenvalues[i])
        powers = [(value / matrix.length) ** order for order in range(3)]
        right = np.sum([powers[order].conjugate() * found[j] for order, found in across.items()], axis=0)
        if slopes.kept is None or forced is None:
            change = -factor.solve(right)
        else:
            for (a, b), product in slopes.products.items():
                right += powers[a].conjugate() * powers[b] * (product @ forced[j])
                right += 0 if a == b or slopes.projected else powers[b].conjugate() * powers[a] * (product.T @ forced[j])
            change = forced[j] - slopes.kept.free @ factor.solve(slopes.kept.free.T @ right)
        total += (2.0 if value.imag else 1.0) * np.real(np.outer(scheme.vectors[:, i], change))
    return total


def _across(rows: NDArray, matrix: NDArray) -> NDArray:
    """rows @ matrix; of a complex and a real one, NumPy would make both complex."""
    if np.iscomplexobj(rows) == np.iscomplexobj(matrix):
        return rows @ matrix
    if np.iscomplexobj(matrix):
        return _across(matrix.T, rows.T).T
    return np.real(rows) @ matrix + 1j * (np.imag(rows) @ matrix)


def solve_stages(
    terms: Terms, scheme: Radau, matrix: Matrix, time: float, start: Moment, guess: NDArray, size: float, wanted: float
) -> tuple[NDArray, float, bool]:
    """Newton's method for one step, with one matrix: see `Discrete`."""
    times = time + scheme.nodes[1:] * matrix.length
    places = [placed(terms.space, held, times) for held in terms.solved]

    def update(stages: NDArray) -> NDArray:
        states = states_at(scheme, matrix.length, start, stages)
        found = [residuals_at(terms.space, held, at, states) for held, at in zip(terms.solved, places, strict=True)]
        wrong = [each.reshape(scheme.stages, -1) for each in found]
        return newton_step(scheme, matrix, np.concatenate(wrong, axis=1))

    return newton(update, guess, terms.moving, size, wanted)


def newton(
    update: Callable[[NDArray], NDArray], guess: NDArray, moving: NDArray, size: float, wanted: float
) -> tuple[NDArray, float, bool]:
    """Stages from a guess, each time changed by their `update`, until that is `wanted`: see `Discrete.solve_stages`.

    That is relative to the `size` of the fields so far or, where they begin at rest, to what they come to.
    """
    stages, before, rate, enough = guess, np.inf, 0.0, 0.0
    for _ in range(_ITERATIONS):
        change = update(stages)
        stages = stages + change
        moved, enough = _norm(change[:, moving]), wanted * max(size, _norm(stages[:, moving]))
        rate = moved / before if np.isfinite(before) else 0.0
        if not np.isfinite(moved):
            return guess, np.inf, False
        if moved <= enough:
            return stages, rate, True
        if rate > 2.0:
            return guess, rate, False
        before = moved
    return stages, rate, before < 30 * enough


def _norm(stages: NDArray) -> float:
    """The norm of coefficients [s, P], in the mean of the stages."""
    return float(np.sqrt(np.mean(np.sum(stages**2, axis=1))))


def tail(terms: Discrete, scheme: Radau, start: Moment, stages: NDArray, size: float) -> float:
    """How large the first polynomial that a step leaves out would be, relative to the fields, of this `size` so far.

    From the two highest Legendre polynomials that it has: a_s, or where these fall a_s² / a_{s-1}.
    """
    moving = terms.moving
    modes = scheme.modes @ np.concatenate([start.values[None], stages])[:, moving]
    last, one_before = (float(np.linalg.norm(modes[i])) for i in (-1, -2))
    return last * min(1.0, last / max(one_before, 1e-300)) / max(size, float(np.linalg.norm(stages[-1, moving])))
