"""Features of space that are products of functions of one coordinate each, for steps in time in a box.

    u(t, x, y) = G(t, x, y) + Σ_jk c_jk(t) f_j(x) g_k(y)

f_j are Chebyshev polynomials of x, or waves where the fields are periodic, times the part of φ that depends on x, mixed so that
on a quadrature their products have the mean δ_ij, and those of their slopes are diagonal. What a sum of all products is at all
points of a grid costs a matrix product for each coordinate, so that there can be many more of them than of features of all
coordinates (Cho et al., Separable Physics-Informed Neural Networks, 2023; sums factorised as in spectral elements, Orszag 1980).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax import Array
from numpy.typing import NDArray

from .ansatz import Ansatz
from .derivatives import Jet
from .devices import in_rows
from .exact import Exact
from .problem import Problem
from .separability import End
from .space import Level, around, placed_along
from .staged import Functions, StagedProducts
from .steep import Steep
from .terms import Term

_ROWS = 512  # points of a line that are evaluated at together
_LOWEST = 4  # degree of polynomials, however thin the box: walls take two of them
_DENSITY = 1.3  # points of a quadrature in the functions of its coordinate


class Line(NamedTuple):
    """Functions of one coordinate, [r] of them of each kind: φ's part times (polynomials or waves) V.

    Attributes:
        axis, functions: the coordinate, and what depends on it.
        places, shares: a quadrature, [n], and its shares in a mean, [n].
        turns: V of each kind, [q, r].
    """

    axis: int
    functions: Functions
    places: NDArray
    shares: NDArray
    turns: tuple[NDArray, ...]

    @property
    def size(self) -> int:
        return self.turns[0].shape[1]


class Read(NamedTuple):
    """One leaf of a term: how many derivatives by time, of which field, and how many by each spatial coordinate."""

    order: int
    field: int
    derivatives: tuple[int, ...]


Tables = tuple[Mapping[int, NDArray], ...]  # for each spatial coordinate, by the number of derivatives


class Grid(NamedTuple):
    """A term at all points of a grid of space, [n, d].

    Attributes:
        term, points, columns, shares: as in `Held`; nothing is asked for but the points.
        reads: its leaves, in order.
        tables: for each kind and spatial coordinate, by the number of derivatives, the functions at the places, [n_a, r_a].
        means: for two kinds, of the functions of the one times those derivatives of the other, [r_a, r_a].
        kinds, tests: the kind of each field, and the field with whose functions each component is tested.
    """

    term: Term
    points: NDArray
    columns: dict[str, NDArray]
    shares: NDArray
    reads: tuple[Read, ...]
    tables: tuple[Tables, ...]
    means: Mapping[tuple[int, int], Tables]
    kinds: tuple[int, ...]
    tests: tuple[int, ...]

    def leaves(self, states: Sequence[NDArray]) -> NDArray:
        """The leaves of states [s, P] by order in time, [s n, L]."""
        return np.stack([leaf.reshape(-1) for leaf in self.leaves_of(range(len(self.reads)), states)], axis=1)

    def leaves_of(self, which: Sequence[int], states: Sequence[NDArray]) -> list[NDArray]:
        """Some of the leaves, [s, n] each."""
        shape = tuple(table[0].shape[1] for table in self.tables[0])
        known: dict[tuple, NDArray] = {}

        def part(order: int, field: int, derivatives: tuple[int, ...]) -> NDArray:
            """Summed over the last coordinates, as many as there are derivatives."""
            key = order, field, derivatives
            if key not in known:
                if derivatives:
                    axis = len(shape) - len(derivatives)
                    table = self.tables[self.kinds[field]][axis][derivatives[0]]
                    known[key] = along(part(order, field, derivatives[1:]), axis, table)
                else:
                    known[key] = states[order].reshape(len(states[order]), len(self.kinds), *shape)[:, field]
            return known[key]

        return [part(*self.reads[i]).reshape(len(states[0]), -1) for i in which]

    def tested(self, values: NDArray) -> NDArray:
        """The means of components [s, K, n] times each product of the functions that test them, [s, K r₁ r₂ …]."""
        kinds = [self.kinds[field] for field in self.tests]
        if len(set(kinds)) == 1:
            return self._tested(values, kinds[0])
        return np.concatenate([self._tested(values[:, k : k + 1], kind) for k, kind in enumerate(kinds)], axis=1)

    def _tested(self, values: NDArray, kind: int) -> NDArray:
        count, components, _ = values.shape
        weighed = values * (self.shares / len(self.shares))
        found = weighed.reshape(count * components, *(len(table[0]) for table in self.tables[kind]))
        return along_all(found, [table[0].T for table in self.tables[kind]]).reshape(count, -1)


def along(values: NDArray, axis: int, matrix: NDArray) -> NDArray:
    """A matrix [n, r] times values [m, …, r, …], along one of the axes after the first."""
    shape = values.shape
    before, after = math.prod(shape[: axis + 1]), math.prod(shape[axis + 2 :])
    flat = values.reshape(before, shape[axis + 1], after)
    found = flat[:, :, 0] @ matrix.T if after == 1 else np.matmul(matrix, flat)
    return found.reshape(*shape[: axis + 1], len(matrix), *shape[axis + 2 :])


def along_all(values: NDArray, matrices: Sequence[NDArray]) -> NDArray:
    """A matrix along each of the axes after the first."""
    for axis, matrix in enumerate(matrices):
        values = along(values, axis, matrix)
    return values


class Separable(NamedTuple):
    """All products of the functions of each spatial coordinate, as many for every field.

    Attributes:
        problem, exact, axis: as in `Space`.
        steep: coordinates that stand for those of space where the solution has layers.
        kinds: of functions, for each field: fields with different walls have different ones.
        lines: of each spatial coordinate.
    """

    problem: Problem
    exact: Exact
    axis: int
    steep: tuple[Steep, ...]
    kinds: tuple[int, ...]
    lines: tuple[Line, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(line.size for line in self.lines)

    @property
    def size(self) -> int:
        return len(self.problem.fields) * math.prod(self.shape)

    @property
    def parts(self) -> dict[str, slice]:
        """Where each field's coefficients stand among all, [P]."""
        each = math.prod(self.shape)
        return {name: slice(i * each, (i + 1) * each) for i, name in enumerate(self.problem.fields)}

    def grid(
        self, term: Term, places: Sequence[NDArray], shares: Sequence[NDArray], time: float, tests: Sequence[str] = ()
    ) -> Grid:
        """A term at all points of a grid: places [n_a] along each spatial coordinate, with their shares.

        `tests` are the fields with whose functions its components are tested, if they are.
        """
        reads = tuple(self._read(leaf) for leaf in term.expression.leaves)
        orders = [{0, *(read.derivatives[i] for read in reads)} for i in range(len(self.lines))]
        asked = list(zip(self.lines, places, orders, strict=True))
        tables = tuple(tuple(self._table(line, kind, at, own) for line, at, own in asked) for kind in sorted(set(self.kinds)))
        pairs = itertools.product(range(len(tables)), range(len(tables))) if tests else ()
        means = {(a, b): _means(tables[a], tables[b], shares) for a, b in pairs}
        points = np.full((math.prod(map(len, places)), self.problem.domain.dimension), time)
        points[:, [line.axis for line in self.lines]] = _crossed(places)
        fields = tuple(self.problem.fields.index(name) for name in tests)
        return Grid(term, points, {}, np.prod(_crossed(shares), axis=1), reads, tables, means, self.kinds, fields)

    def _read(self, leaf: Any) -> Read:
        spatial = tuple(leaf.index[line.axis] for line in self.lines)
        return Read(leaf.index[self.axis], self.problem.fields.index(leaf.field), spatial)

    def _table(self, line: Line, kind: int, places: NDArray, orders: set[int]) -> dict[int, NDArray]:
        field = self.problem.fields[self.kinds.index(kind)]
        raw = line_tables(self.problem, self.exact, self.steep, field, line.axis, line.functions, places, max(orders))
        return {order: raw[order] @ line.turns[kind] for order in orders}

    def highest(self, axis: int) -> float:
        """The largest frequency along an axis of the domain; 0 along time."""
        return max((float(line.functions.highest) for line in self.lines if line.axis == axis), default=0.0)

    def network(self, stages: int) -> tuple[Ansatz, dict[str, Any]]:
        """The ansatz of one step of so many stages, and its state."""
        lines = tuple(line.functions for line in self.lines)
        return around(self.problem, self.exact, self.steep, partial(StagedProducts, lines=lines, stages=stages, time=self.axis))

    def coefficients(self, stages: NDArray) -> NDArray:
        """Those of that network for steps [K, s + 1, P]: [K, (s + 1) q₁ q₂ …, F]."""
        rows = []
        for kind, own in zip(self.kinds, self.parts.values(), strict=True):
            found = along_all(stages[:, :, own].reshape(-1, *self.shape), [line.turns[kind] for line in self.lines])
            rows.append(found.reshape(len(stages), -1))
        return np.stack(rows, axis=2)

    def reader(self, points: NDArray) -> Any:
        """What gives a field at points [n, d] there from coefficients, (field, rows, [m, r₁ r₂ …]) -> [rows, m]."""
        kinds = sorted(set(self.kinds))
        known = [[self._table(line, kind, points[:, line.axis], {0})[0] for line in self.lines] for kind in kinds]

        def read(name: str, rows: NDArray, coefficients: NDArray) -> NDArray:
            tables = known[self.kinds[self.problem.fields.index(name)]]
            found = coefficients.reshape(len(coefficients), -1, self.shape[-1]) @ tables[-1][rows].T
            for axis in reversed(range(len(self.shape) - 1)):
                found = found.reshape(len(coefficients), -1, self.shape[axis], found.shape[-1])
                found = np.einsum("mjrn,nr->mjn", found, tables[axis][rows])
            return found.reshape(len(coefficients), -1).T

        return read


def _means(tests: Tables, tables: Tables, shares: Sequence[NDArray]) -> Tables:
    """Of the functions of `tests` times those of `tables` and their derivatives."""
    return tuple(
        {order: test[0].T @ (share[:, None] / len(share) * table[order]) for order in table}
        for test, table, share in zip(tests, tables, shares, strict=True)
    )


def _crossed(values: Sequence[NDArray]) -> NDArray:
    """All combinations of one value along each coordinate, [n₁ n₂ …, a]."""
    return np.stack(np.meshgrid(*values, indexing="ij"), axis=-1).reshape(-1, len(values))


def _functions(problem: Problem, exact: Exact, axis: int, level: Level) -> dict[int, Functions]:
    """For each spatial coordinate the functions of it, slow ones, as many as make the level's width of products."""
    (lower, upper), d = problem.domain.bounds, problem.domain.dimension
    spatial, places = [a for a in range(d) if a != axis], [each.axis for each in level.steep]
    lengths = (upper - lower)[spatial]

    def at(fastest: float) -> list[Functions]:
        found = []
        for a, length in zip(spatial, lengths, strict=True):
            periodic = exact.periodic[a]
            highest = max(int(fastest * length / (2 * np.pi if periodic else 2)), 1 if periodic else _LOWEST)
            found.append(Functions(d + places.index(a) if a in places else a, periodic, highest))
        return found

    low, high = 0.0, 2 * np.pi * level.width / float(np.min(lengths))
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if math.prod(each.size for each in at(middle)) <= level.width else (low, middle)
    return dict(zip(spatial, at(low), strict=True))


def make_separable(
    problem: Problem,
    exact: Exact,
    axis: int,
    level: Level,
    ends: Mapping[str, Mapping[int, tuple[End, ...]]],
    seed: Sequence[int],
) -> Separable:
    """Products of functions of each coordinate that vanish as each field's `ends` ask: see the module.

    Fields with different walls have different functions, all of them polynomials of the same degree at most, so that what a field
    reads of another is among its own. Kinds that have fewer are filled up with zeros.
    """
    rng, lines = np.random.default_rng((*seed, 1)), []
    alike = {name: (exact.pattern(name), ends[name]) for name in problem.fields}
    first = [name for i, name in enumerate(problem.fields) if alike[name] not in list(alike.values())[:i]]
    kinds = tuple(next(i for i, like in enumerate(first) if alike[like] == alike[name]) for name in problem.fields)
    for a, own in _functions(problem, exact, axis, level).items():
        places, shares = _quadrature(problem, level.steep, a, own, rng)
        turns: dict[str, NDArray] = {}
        given = {name: _degree(exact, name, a) + len(ends[name].get(a, ())) for name in first}
        slopes = None  # of the functions that most is asked of
        for name in sorted(first, key=lambda each: -given[each]):
            used = own.size - (_degree(exact, name, a) if len(first) > 1 and not own.periodic else 0)
            raw = [each[:, :used] for each in line_tables(problem, exact, level.steep, name, a, own, places, 1)]
            asked = [_vanishing(problem, exact, level.steep, name, a, own, end)[:used] for end in ends[name].get(a, ())]
            turns[name] = _turned(raw[0], raw[1], shares, asked, None if given[name] else slopes)
            slopes = raw[1] @ turns[name] if slopes is None and given[name] else slopes
        size = max(turn.shape[1] for turn in turns.values())
        filled = [np.pad(turns[name], [(0, own.size - len(turns[name])), (0, size - turns[name].shape[1])]) for name in first]
        lines.append(Line(a, own, places, shares, tuple(filled)))
    return Separable(problem, exact, axis, level.steep, kinds, tuple(lines))


def _degree(exact: Exact, name: str, axis: int) -> int:
    """Of a field's φ along an axis."""
    given = exact.ends.get(name, {}).get(axis)
    return 0 if given is None else (given.lower is not None) + (given.upper is not None)


def _quadrature(
    problem: Problem, steep: Sequence[Steep], axis: int, own: Functions, rng: np.random.Generator
) -> tuple[NDArray, NDArray]:
    """Places along a coordinate, and their shares in a mean: evenly spaced where it is periodic, of Gauss-Legendre elsewhere."""
    lower, upper = (ends[axis] for ends in problem.domain.bounds)
    count = math.ceil(_DENSITY * own.size) + 4
    if own.periodic:
        place, weight = (np.arange(count) + rng.uniform()) / count, np.ones(count)
    else:
        nodes, weight = np.polynomial.legendre.leggauss(count)
        place = (nodes + 1) / 2
    place, crowded = placed_along(steep, axis, place)
    return lower + (upper - lower) * place, weight / crowded / np.mean(weight / crowded)


def _vanishing(
    problem: Problem, exact: Exact, steep: Sequence[Steep], field: str, axis: int, own: Functions, end: End
) -> NDArray:
    """What of the functions of a coordinate has to vanish at an end, [q]."""
    orders = [order for order, _ in end.slopes]
    tables = line_tables(problem, exact, steep, field, axis, own, np.array([end.place]), max(orders))
    return np.sum([slope * tables[order][0] for order, slope in end.slopes], axis=0)


def _turned(
    values: NDArray, slopes: NDArray, shares: NDArray, asked: Sequence[NDArray], others: NDArray | None = None
) -> NDArray:
    """V for functions [n, q] that vanish as asked: orthogonal, and diagonal the means of products of their slopes.

    With the slopes of `others`, [n, r], those are among them instead: what fields without walls read of those with them.
    """
    root = np.sqrt(shares / len(shares))[:, None]
    upper = np.linalg.qr(values * root, mode="r")
    turn = scipy.linalg.solve_triangular(upper, np.eye(len(upper)), check_finite=False)
    if asked:
        rows = np.stack(asked) @ turn
        turn = turn @ scipy.linalg.null_space(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    steep = (slopes * root) @ turn if others is None else (others * root).T @ (values * root) @ turn
    return turn @ scipy.linalg.eigh(steep.T @ steep, check_finite=False)[1]


def line_tables(
    problem: Problem, exact: Exact, steep: Sequence[Steep], field: str, axis: int, own: Functions, places: NDArray, highest: int
) -> list[NDArray]:
    """The functions of a coordinate times a field's part of φ, and their derivatives, at places [n] along it: [n, q] by order."""
    part, state = around(problem, _across(exact, axis), steep, StagedProducts)
    points = np.tile(np.mean(problem.domain.bounds, axis=0), (len(places), 1))
    points[:, axis] = places
    read = partial(_coordinate, part, field, axis, own.place, highest, state)
    coordinate, factor = in_rows(read, _ROWS, points)
    indices = tuple((order,) for order in range(highest + 1))
    place = Jet({(i,): coordinate[:, i, None] for i in range(highest + 1)}, indices)
    found = own.at(place) * Jet({(i,): factor[:, i, None] for i in range(highest + 1)}, indices)
    return [np.asarray(found.part(index)) for index in indices]


@lru_cache(maxsize=64)
def _across(exact: Exact, axis: int) -> Exact:
    """What is met across one axis alone; one object for each, so that what is compiled for it is found again."""
    return replace(exact, ends={name: {axis: own[axis]} for name, own in exact.ends.items() if axis in own}, after=None)


@partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _coordinate(
    ansatz: Ansatz, field: str, axis: int, row: int, highest: int, state: dict[str, Any], points: Array
) -> tuple[Array, Array]:
    """What the functions of a coordinate see of it, and its part of φ, with their derivatives, [n, highest + 1] each."""

    def one(point: Array) -> tuple[Array, Array]:
        indices = [tuple(order if i == axis else 0 for i in range(len(point))) for order in range(highest + 1)]
        place = Jet.variable(point, indices[-1:])
        seen, factor = ansatz.encoded(state, place)[row], ansatz.factor(field, state, place)
        given = [factor.part(i)[0] if isinstance(factor, Jet) else jnp.float64(factor if not any(i) else 0.0) for i in indices]
        return jnp.stack([seen.part(index) for index in indices]), jnp.stack(given)

    return jax.vmap(one)(points)
