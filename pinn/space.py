"""Features of space alone, for steps in time: their waves, what they and their derivatives are at points, a basis of them.

Waves of a domain that is not periodic are nearly dependent. A basis of unit size is V with B = Φ V, from the singular values of
their values Φ at the collocation points, without those that rounding makes up.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from .ansatz import Ansatz, wrap
from .approximation import Together, together
from .decompositions import svd
from .derivatives import Jet, sin, taylor
from .devices import in_rows
from .exact import Exact
from .expression import Expression
from .networks import Encoding, Features, Network
from .problem import Problem
from .quadrature import shape_rule
from .singular import Singular, seen_by
from .staged import StagedFeatures
from .steep import Steep, tables
from .terms import Term

FINEST = 1e-12  # error of a step that is never asked to be smaller
_BLOCK = 128  # features, and
_ROWS = 512  # points that are evaluated at a time: what is compiled for these serves any number
_CUT = 1e-12  # smallest singular value of features that counts, in the largest
_ORTHOGONAL = 1e-8  # largest product of two functions of unit size that count as orthogonal
_DENSITY = 2.8, 2.6, 2.2  # points along a coordinate for each whole wave, in so many coordinates
_OTHER, _CAREFUL = 1.1, 0.3  # features of another draw, and the error of its steps: more stages make more of it
_FINER, _SHORTER = 1.4, 0.01  # those of the next level
STEPS = 0.7  # the longest step of the next level, in that of the last: were all steps the same, so would be their errors
_LOOK = 1.0  # bandwidth of the coordinates of corners and holes
_BEYOND = (1.3, 1.5)  # half the length on which waves repeat, in half the domain's, along a coordinate that is not periodic


class Level(NamedTuple):
    """How fine steps in time are.

    Attributes:
        width, stages: features of space for each field, and stages.
        target: relative error that one step may make.
        steep: coordinates that stand for those of space where the solution has layers.
        draw: which draw it is.
        longest: step that it may take, and once it is solved that it took, in the whole time.
    """

    width: int
    stages: int
    target: float
    steep: tuple[Steep, ...] = ()
    draw: int = 0
    longest: float = 1.0

    def __str__(self) -> str:
        steep = ", closer where layers are" if self.steep else ""
        return f"{self.width} features of space{steep}, {self.stages} stages, {self.target:.0e} a step"

    def finer(self) -> Level:
        """With more features, and shorter steps."""
        width, target = 2 * (int(_FINER * self.width) // 2), max(_SHORTER * self.target, FINEST)
        return self._replace(width=width, target=target, longest=STEPS * self.longest)

    def other(self) -> Level:
        """One that makes errors of its own, no larger."""
        width, target = 2 * (int(_OTHER * self.width) // 2), max(_CAREFUL * self.target, FINEST)
        return self._replace(width=width, stages=self.stages + 1, target=target, draw=self.draw + 1)


class Waves(NamedTuple):
    """Hidden weights of sines of space, [inputs, M] and [M], in the encoding's raw coordinates; they do not see time.

    Along an axis that has a steep coordinate they see that one alone. Where the solution is `singular` some see its coordinates
    there instead.
    """

    kernel: NDArray
    bias: NDArray
    steep: tuple[Steep, ...] = ()
    singular: tuple[Singular, ...] = ()

    @property
    def width(self) -> int:
        return self.kernel.shape[1]

    def highest(self, axis: int) -> float:
        """The largest frequency along an axis of the domain, in its coordinate or the steep one that stands for it."""
        return float(np.max(np.abs(self.kernel[self._row(axis)])))

    def _row(self, axis: int) -> int:
        places = [each.axis for each in self.steep]
        d = len(self.kernel) - len(places) - sum(each.seen for each in self.singular)
        return d + places.index(axis) if axis in places else axis


def placed_along(steep: Sequence[Steep], axis: int, unit: NDArray) -> tuple[NDArray, NDArray]:
    """Places along an axis, in [0, 1], spread in its steep coordinate as those given are; how dense they are there."""
    for each in steep:
        if each.axis == axis:
            z = each.placed(unit)
            return (z / each.half + 1) / 2, each.slope(z)
    return unit, np.ones(len(unit))


def waves(problem: Problem, exact: Exact, axis: int, level: Level, seed: Sequence[int]) -> Waves:
    """The slowest waves of space, each with two phases: whole numbers of them where the fields are periodic.

    Slow is meant in the problem's own coordinates, alike in all directions. Where there are corners and holes, half of the
    features see these, each one of them.
    """
    rng, (lower, upper), d = np.random.default_rng(seed), problem.domain.bounds, problem.domain.dimension
    spatial = [a for a in range(d) if a != axis]
    periodic = np.array([exact.periodic[a] for a in spatial])
    spacing = np.where(periodic, 1.0, np.pi / rng.uniform(*_BEYOND, len(spatial)))
    turns = np.where(periodic, 2 * np.pi, 2.0)
    met = {axis, *(a for ends in exact.ends.values() for a in ends)}
    singular = seen_by(level.width, problem.singular(problem.domain), met)
    seen = [each.seen for each in singular if each.seen]
    count = level.width // 4 if seen else level.width // 2
    numbers = _slowest(spacing * turns / (upper - lower)[spatial], count)
    phases = rng.uniform(0, 2 * np.pi, count)
    kernel, plain = np.zeros((d + len(level.steep) + sum(seen), level.width)), 2 * count
    both = np.stack([phases, phases + np.pi / 2], axis=1).reshape(-1)
    bias = np.concatenate([both, rng.uniform(0, 2 * np.pi, level.width - plain)])
    found = Waves(kernel, bias, level.steep, singular)
    kernel[[found._row(a) for a in spatial], :plain] = np.repeat(numbers * spacing, 2, axis=0).T
    which, start = np.arange(level.width - plain) % max(len(seen), 1), d + len(level.steep)
    for i, size in enumerate(seen):
        own = plain + np.flatnonzero(which == i)
        kernel[start : start + size, own] = rng.uniform(-2 * _LOOK, 2 * _LOOK, (size, len(own)))
        start += size
    return found


def _slowest(spacing: NDArray, count: int) -> NDArray:
    """The smallest k · spacing with whole numbers k, one of k and -k, without 0: `count` of k, [count, d]."""
    radius = 2.0 * float(np.min(spacing))
    while True:
        most = np.ceil(radius / spacing).astype(int)
        grid = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij"), axis=-1).reshape(-1, len(most))
        grid = grid[np.any(grid != 0, axis=1)]
        half = grid[grid[np.arange(len(grid)), np.argmax(grid != 0, axis=1)] > 0]
        size = np.linalg.norm(half * spacing, axis=1)
        if np.sum(size <= radius) >= count:
            return half[np.argsort(size, kind="stable")[:count]].astype(float)
        radius *= 1.3


class Read(NamedTuple):
    """One leaf of a term: how many derivatives by time, of which coefficients, and the functions of space, [n, r]."""

    order: int
    part: slice
    table: NDArray


class Held(NamedTuple):
    """A term at points of space, [n, d], with what else it asks for there, its leaves in order, and the points' shares, [n]."""

    term: Term
    points: NDArray
    columns: dict[str, NDArray]
    reads: tuple[Read, ...]
    shares: NDArray

    def leaves(self, states: Sequence[NDArray]) -> NDArray:
        """The leaves of states [s, P] by order in time, [s n, L]."""
        return np.stack([(states[read.order][:, read.part] @ read.table.T).reshape(-1) for read in self.reads], axis=1)


class Space(NamedTuple):
    """Features of space and a basis of them.

    Attributes:
        problem, exact, axis: what is solved, the values that the ansatz meets at every time, and which coordinate is time.
        waves: the features.
        mixes: for each field V, [M + 1, r].
    """

    problem: Problem
    exact: Exact
    axis: int
    waves: Waves
    mixes: Mapping[str, NDArray]

    @property
    def parts(self) -> dict[str, slice]:
        """Where each field's coefficients stand among all, [P]."""
        ends = np.cumsum([0, *(mix.shape[1] for mix in self.mixes.values())]).tolist()
        return {name: slice(*pair) for name, pair in zip(self.mixes, itertools.pairwise(ends), strict=True)}

    @property
    def size(self) -> int:
        return sum(mix.shape[1] for mix in self.mixes.values())

    def values(self, points: NDArray) -> dict[str, NDArray]:
        """The functions of each field at points [n, d]: [n, r]."""
        likes, zero = _alike(self.problem, self.exact), (0,) * self.problem.domain.dimension
        keys = tuple((((), like, zero)) for like in dict.fromkeys(likes.values()))
        found = _tables(self, None, keys, points, {})
        return {name: found[(), likes[name], zero] for name in self.mixes}

    def highest(self, axis: int) -> float:
        """The largest frequency along an axis of the domain."""
        return self.waves.highest(axis)

    def network(self, stages: int) -> tuple[Ansatz, dict[str, Any]]:
        """The ansatz of one step of so many stages, and its state."""
        return around_waves(self.problem, self.exact, self.waves, StagedFeatures, stages=stages, time=self.axis)

    def coefficients(self, stages: NDArray) -> NDArray:
        """Those of that network for steps [K, s + 1, P]: [K, (s + 1) (M + 1), F]."""
        rows = [(stages[:, :, own] @ self.mixes[name].T).reshape(len(stages), -1) for name, own in self.parts.items()]
        return np.stack(rows, axis=2)

    def reader(self, points: NDArray) -> Callable[[str, NDArray, NDArray], NDArray]:
        """What gives a field at points [n, d] there from coefficients: (field, rows, [m, r]) -> [rows, m]."""
        tables = self.values(points)
        return lambda name, rows, coefficients: tables[name][rows] @ coefficients.T

    def held(self, term: Term, points: NDArray, columns: dict[str, NDArray], shares: NDArray | None = None) -> Held:
        """A term at points, with the functions of space that it reads."""
        likes, parts = _alike(self.problem, self.exact), self.parts
        keys = [(leaf.site, likes[leaf.field], self._still(leaf.index)) for leaf in term.expression.leaves]
        found = _tables(self, term.expression, tuple(dict.fromkeys(keys)), points, columns)
        leaves = zip(term.expression.leaves, keys, strict=True)
        reads = tuple(Read(leaf.index[self.axis], parts[leaf.field], found[key]) for leaf, key in leaves)
        return Held(term, points, columns, reads, np.ones(len(points)) if shares is None else shares)

    def _still(self, index: tuple[int, ...]) -> tuple[int, ...]:
        """The same derivative without that by time."""
        return (*index[: self.axis], 0, *index[self.axis + 1 :])


def make_space(problem: Problem, exact: Exact, axis: int, hidden: Waves, points: NDArray, shares: NDArray) -> Space:
    """Features of space, and a basis of them: of unit size, and orthogonal, at points [n, d] with these shares, [n]."""
    bare = Space(problem, exact, axis, hidden, dict.fromkeys(problem.fields, np.zeros((0, 0))))
    raw, likes = bare.values(points), _alike(problem, exact)
    mixes = {like: _mix(raw[like] * np.sqrt(shares)[:, None]) for like in dict.fromkeys(likes.values())}
    return bare._replace(mixes={name: mixes[likes[name]] for name in problem.fields})


def inside(problem: Problem, exact: Exact, axis: int, hidden: Waves, seed: Sequence[int]) -> tuple[NDArray, NDArray]:
    """Points of space, [n, d], that see the products of features, and the share of each in a mean, [n].

    Those of a quadrature: Gauss-Legendre, or in a box by coordinate evenly spaced where the fields are periodic. Then the
    equations are nearly projected on the features, and what keeps its size goes on to keep it: with random points it may grow.
    """
    domain, (lower, upper) = problem.domain, problem.domain.bounds
    spatial = [a for a in range(domain.dimension) if a != axis]
    rng, density = np.random.default_rng(seed), _DENSITY[min(len(spatial), len(_DENSITY)) - 1]
    if not domain.is_box:
        places, shares = shape_rule(domain, density / 2 * np.array([hidden.highest(a) for a in spatial]))
        return np.insert(places, axis, 0.0, axis=1), shares
    places, weights = [], []
    for a in spatial:
        highest = hidden.highest(a)
        if exact.periodic[a]:
            count = math.ceil(density * highest) + 3
            place, weight = (np.arange(count) + rng.uniform()) / count, np.ones(count)
        else:
            nodes, weight = np.polynomial.legendre.leggauss(math.ceil(density / 2 * highest) + 8)
            place, weight = (nodes + 1) / 2, weight * len(weight) / 2
        place, crowded = placed_along(hidden.steep, a, place)
        places.append(lower[a] + (upper - lower)[a] * place)
        weights.append(weight / crowded / np.mean(weight / crowded))
    points = np.zeros((math.prod(map(len, places)), domain.dimension))
    points[:, spatial] = np.stack(np.meshgrid(*places, indexing="ij"), axis=-1).reshape(len(points), -1)
    return points, np.prod(np.stack(np.meshgrid(*weights, indexing="ij"), axis=-1).reshape(len(points), -1), axis=1)


def _mix(table: NDArray) -> NDArray:
    """What makes a basis of functions with these values, [n, K].

    Functions that are orthogonal already, as waves in a periodic box, are only scaled: mixed, all would have a part of the
    highest frequency, and of the rounding of its derivatives.
    """
    norms = np.maximum(np.linalg.norm(table, axis=0), 1e-300)
    if _orthogonal(table / norms):
        return np.diag(np.sqrt(len(table)) / norms)
    _, sizes, right = svd(table)
    rank = int(np.sum(sizes > _CUT * sizes[0]))
    return right[:rank].T / sizes[:rank] * np.sqrt(len(table))


def _orthogonal(unit: NDArray) -> bool:
    """Whether columns of unit size, [n, K], are orthogonal: some at a time, since those that are not soon show it."""
    expected = np.eye(unit.shape[1])
    strips = [slice(start, start + _BLOCK) for start in range(0, len(expected), _BLOCK)]
    return all(np.max(np.abs(unit[:, strip].T @ unit - expected[strip])) < _ORTHOGONAL for strip in strips)


def _alike(problem: Problem, exact: Exact) -> dict[str, str]:
    """For each field the first whose functions are the same."""
    first: dict[tuple, str] = {}
    return {name: first.setdefault(exact.pattern(name), name) for name in problem.fields}


def around(
    problem: Problem, exact: Exact, steep: Sequence[Steep], make: Callable[..., Network], singular: tuple[Singular, ...] = ()
) -> tuple[Ansatz, dict[str, Any]]:
    """The ansatz of a network that sees these coordinates as they are, `make(outputs=..., dtype=...)`, and its state."""
    places = tuple(each.axis for each in steep)
    encoding = Encoding(*problem.domain.bounds, exact.periodic, raw=True, steep=places, singular=singular)
    network = make(outputs=len(problem.fields), dtype=jnp.float64)
    axes, scale = tuple(range(problem.domain.dimension)), jnp.ones(len(problem.fields))
    return wrap(network, problem.fields, axes, encoding, exact, scale, taylor, tables(tuple(steep), jnp.float64))


def around_waves(
    problem: Problem, exact: Exact, hidden: Waves, make: Callable[..., Network], **options: Any
) -> tuple[Ansatz, dict[str, Any]]:
    """The ansatz of a network of waves, and its state."""
    direct = sum(each.direct for each in hidden.singular)
    made = partial(make, hidden.kernel, hidden.bias, activation=sin, direct=direct, **options)
    return around(problem, exact, hidden.steep, made, hidden.singular)


def _tables(
    space: Space, expression: Expression | None, keys: tuple, points: NDArray, columns: Mapping[str, NDArray]
) -> dict[tuple, NDArray]:
    """The functions, or for a space without V the features and 1, at points: [n, r] by site, field and derivative."""
    hidden, more = space.waves, -space.waves.width % _BLOCK
    kernel, bias = np.pad(hidden.kernel, [(0, 0), (0, more)]), np.pad(hidden.bias, (0, more))
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(bias), _BLOCK)]
    part, state = around_waves(
        space.problem, space.exact, hidden._replace(kernel=kernel[:, blocks[0]], bias=bias[blocks[0]]), Features
    )
    basis, states = together(space.problem.fields, (part,)), []
    for own in blocks:
        layer = {"kernel": jnp.asarray(kernel[:, own]), "bias": jnp.asarray(bias[own])}
        states.append(({**state, "frozen": {**state["frozen"], "layer": layer}},))

    def values(points: NDArray, columns: dict[str, NDArray]) -> list[NDArray]:
        found = [_block_values(space.problem, basis, expression, keys, each, points, columns) for each in states]
        return [_mixed(space, key, [np.asarray(each) for each in tables]) for key, *tables in zip(keys, *found, strict=True)]

    return dict(zip(keys, in_rows(values, _ROWS, points, dict(columns)), strict=True))


def _mixed(space: Space, key: tuple, blocks: Sequence[NDArray]) -> NDArray:
    """A table of features and 1, from blocks that each end with those that are singular and the 1, by the V of its field."""
    features = np.concatenate([block[:, :_BLOCK] for block in blocks], axis=1)[:, : space.waves.width]
    table, mix = np.concatenate([features, blocks[0][:, _BLOCK:]], axis=1), space.mixes[key[1]]
    return table @ mix if mix.size else table


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _block_values(
    problem: Problem,
    basis: Together,
    expression: Expression | None,
    keys: tuple,
    state: tuple,
    points: Array,
    columns: dict[str, Array],
) -> list[Array]:
    """Features and 1 at points, [n, M + 1], or their derivatives at what an expression reads there, for each key."""
    known = {name: jnp.asarray(value, points.dtype) for name, value in problem.known().items()}

    def one(point: Array, own: dict[str, Array]) -> list[Array]:
        if expression is None:
            functions = basis.basis(state, point)
            return [functions[name] for _, name, _ in keys]
        places = dict(zip(expression.sites, expression.places(point, known | own), strict=True))
        jets = {
            site: basis.basis(state, Jet.variable(places[site], [index for s, _, index in keys if s == site]))
            for site in dict.fromkeys(site for site, _, _ in keys)
        }
        return [jets[site][name].part(index) for site, name, index in keys]

    return jax.vmap(one)(points, columns)
