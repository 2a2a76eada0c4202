"""Is one solution fixed? The smallest singular values of a linearised problem, before anything is trained.

With L the linearised equations and B the linearised conditions, each divided by its own size,

    σ₁ = min over v of sqrt(‖L v‖² + w² ‖B v‖²),  ‖v‖ = 1,  mean squares over the domain and over each boundary part,

is about 1/‖solution operator‖, and its minimiser v the function that the data hold least. v runs over random smooth features.
σ₁ alone does not tell a broken problem from one that amplifies: for u' = 10 u it is e⁻¹⁰ too. What tells them apart is v near
the conditions: e^{10 t} is small at its initial value, but not smaller there than just beside it. So the residuals of v are
divided by the size of v *nearby*: that ratio is of order one for whatever merely grows, and falls without end for a function
that satisfies every equation and condition with zero data, the more features the further.

It takes a problem by its attributes and imports nothing of it, so that `Problem.check` can use it.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .boundaries import TIME
from .errors import ProblemError, WellPosednessWarning, listing
from .expression import Expression, read_leaves
from .values import Points

_BANDWIDTH = 4.0  # of the features, in the domain scaled to [-1, 1]: smooth enough that null functions are found to 1e-6
_CUT = 1e-11  # directions of the features below this are rounding
_EMPHASIS = 30.0  # weight of the conditions: they act as constraints, and rounding in them stays small
_VECTORS = 6  # singular vectors looked at
_SUSPECT = 0.1  # a larger singular value needs no second look: the local ratio is larger still
_NULL = 0.05  # measured: at least 0.29 where a problem only amplifies, at most 0.011 where a condition is missing
_FLOOR = 1e-4  # ratios below need not fall further: rounding of fourth derivatives
_NEAR = 16  # "nearby" is the nearest 1/16 of the points
_DATA = 500  # data points looked at
_SURE = 0.999  # share of a function that a simple formula must explain to name it


class Given(Protocol):
    """Fields to linearise about: an objective, and its weights passed in."""

    def values(self, weights: Any, point: Array) -> Array: ...


class Basis(NamedTuple):
    """A constant and random waves sin(k·s + b) of the coordinates s scaled to [-1, 1]^d."""

    kernel: np.ndarray  # [d, M]
    phase: np.ndarray  # [M]
    lower: np.ndarray
    upper: np.ndarray

    def part(self, points: np.ndarray, index: Sequence[int]) -> np.ndarray:
        """∂^index of every function, [n, M], at points [n, d]."""
        rate = 2 / (self.upper - self.lower)
        angle = ((points - (self.lower + self.upper) / 2) * rate) @ self.kernel + self.phase
        factor = np.prod((self.kernel * rate[:, None]) ** np.array(index)[:, None], axis=0)
        return np.sin(angle + sum(index) * np.pi / 2) * factor


@dataclass(frozen=True, eq=False)
class NullFunction:
    """A function that the data do not fix, largest value 1: call it by coordinates, as a solution; a dict by field.

    Attributes:
        fields: those that it changes.
    """

    fields: tuple[str, ...]
    coordinates: tuple[str, ...]
    bases: Mapping[str, Basis]
    coefficients: Mapping[str, np.ndarray]

    def __call__(self, **points: Any) -> dict[str, np.ndarray]:
        missing = [name for name in self.coordinates if name not in points]
        if missing or len(points) > len(self.coordinates):
            raise ProblemError(f"The function needs the coordinates {listing(self.coordinates)}; got {listing(points)}.")
        columns = np.broadcast_arrays(*(np.asarray(points[name], float) for name in self.coordinates))
        flat = np.stack([column.ravel() for column in columns], axis=1)
        return {name: values.reshape(columns[0].shape) for name, values in self.at(flat).items()}

    def at(self, points: np.ndarray, index: Sequence[int] | None = None) -> dict[str, np.ndarray]:
        """Its values, or ∂^index, [n] by field at points [n, d]."""
        order = index or (0,) * len(self.coordinates)
        return {name: self.bases[name].part(points, order) @ self.coefficients[name] for name in self.fields}


@dataclass(frozen=True, eq=False)
class Stability:
    """What holds a solution in place, and how firmly.

    Attributes:
        singular_values: the smallest ones, ascending; nan where the problem cannot be linearised.
        coarser: the same with half as many features.
        amplification: 1/σ₁: a disturbance of the equations, relative to their own size, changes the solution by up to this much.
        ill_posed: whether a function satisfies every equation and condition with zero data.
        local: residual of the least-fixed function relative to its size nearby; of order one where a problem merely amplifies.
        null: that function, where the problem is ill-posed.
        description: it, in words.
        advice: what would tell it apart.
        scales: for each term the size of its components: the largest coefficient in a domain scaled to unit length.

    Example:
        >>> from pinn import Box, Neumann, Problem, laplacian
        >>> box = Box(x=(0, 1), y=(0, 1))
        >>> found = stability(Problem(fields="u", domain=box, residual=lambda u, x, y: laplacian(u, x, y) + 1,
        ...                           conditions=[Neumann(u=0.0, on=box.boundary)]))
        >>> found.ill_posed, found.description
        (True, 'a constant added to u')
    """

    singular_values: tuple[float, ...]
    coarser: tuple[float, ...]
    ill_posed: bool
    local: float
    null: NullFunction | None = None
    description: str = ""
    advice: str = ""
    scales: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def amplification(self) -> float:
        smallest = self.singular_values[0]
        return 1 / smallest if smallest > 0 else np.inf if smallest == 0 else np.nan

    def __str__(self) -> str:
        if np.isnan(self.singular_values[0]):
            return "the problem could not be linearised before it is solved"
        size = f"smallest singular value {self.singular_values[0]:.2g}"
        if self.ill_posed:
            return f"{size}: not fixed is {self.description}"
        return f"{size}: disturbances are amplified by up to {self.amplification:.2g}"


def stability(
    problem: Any, about: tuple[Given, Any] | None = None, *, count: int | None = None, seed: int | Sequence[int] = 0
) -> Stability:
    """The smallest singular values of the linearised problem, and the function that its data do not fix, if there is one.

    A nonlinear problem is linearised about `about`, or about zero and, to confirm what is found there, about a wave around
    one. Nothing is concluded about unknown parameters, nor from data of a nonlinear problem that is not solved yet.

    Args:
        problem: the problem.
        about: an objective and its weights, the solution to linearise about.
        count: features a field, and then twice as many; 150 for one or two fields, fewer for more.
        seed: of features and points: equal seeds give equal results.

    Raises:
        ProblemError: a count that is not a whole number of at least 10.

    Source: the inf-sup constant of a least-squares finite element method, with random features in place of elements
    (Bochev and Gunzburger, Least-Squares Finite Element Methods, Springer 2009, section 2).

    Example:
        >>> from pinn import Dirichlet, Interval, Problem, d
        >>> line = Interval(x=(0, 1))
        >>> poisson = Problem(fields="u", domain=line, residual=lambda u, x: d(u, x, x) + 1,
        ...                   conditions=[Dirichlet(u=0.0, on=line.boundary)])
        >>> round(stability(poisson).singular_values[0], 1)  # π², were the conditions met exactly
        9.5
    """
    if count is not None and (isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 10):
        raise ProblemError(f"stability(count=...) needs a whole number of features, at least 10; got {count!r}.")
    if not isinstance(problem.terms, tuple):
        raise ProblemError(f"stability() needs a pinn.Problem; got {problem!r:.80}.")
    count = count or max(50, min(150, 300 // len(problem.fields)))
    seeds = tuple(np.atleast_1d(seed).tolist())
    with jax.enable_x64(True):  # singular values below 1e-6 cannot be seen in float32
        places = [_places(problem, i, seeds) for i in range(len(problem.terms))]
        verdict = not problem.parameters and (about is not None or problem.is_linear or not _has_data(problem))
        found = None
        for kind in ("given",) if about is not None else ("zero",) if problem.is_linear else ("zero", "wave"):
            terms = [_linearised(problem, place, kind, about, seeds) for place in places]
            if all(np.all(np.isfinite(term.slopes)) for term in terms):
                found = _judged(problem, terms, count, seeds, verdict)
                if not found.ill_posed:
                    break
    return found or Stability((np.nan,), (np.nan,), False, np.nan)


def warn_if_ill_posed(problem: Any, about: tuple[Given, Any] | None = None, *, seed: int | Sequence[int] = 0) -> Stability:
    """`stability`, told as a warning where the problem is ill-posed; problems that merely amplify are not warned of.

    Warns:
        WellPosednessWarning: a function satisfies every equation and condition with zero data.

    Example:
        >>> from pinn import Initial, Interval, Problem, d
        >>> growth = Problem(fields="u", domain=Interval(t=(0, 1)), residual=lambda u, t: d(u, t) - 10 * u,
        ...                  conditions=[Initial(u=1.0)])
        >>> found = warn_if_ill_posed(growth)  # says nothing: disturbances grow by a factor of about a thousand, that is all
        >>> found.ill_posed, 500 < found.amplification < 2000
        (False, True)
    """
    found = stability(problem, about, seed=seed)
    if found.ill_posed:
        warnings.warn(f"{problem.name}: {message(found)}", WellPosednessWarning, stacklevel=2)
    return found


def message(found: Stability) -> str:
    """What is wrong and what to do, of a problem that is ill-posed."""
    return (
        f"the data do not fix one solution. Left free is {found.description}: it satisfies every equation and condition with "
        f"zero data up to {found.local:.0e} of its size, so that errors are amplified by {found.amplification:.0e} or more. "
        f"{found.advice}"
    )


# --- the linearised problem ------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """A term's points, and the sites that it reads at."""

    term: Any
    points: np.ndarray  # [n, d]
    extras: dict[str, Array]
    columns: dict[str, Array]
    sites: np.ndarray  # [n, S, d]


class _Linear(NamedTuple):
    """A term's change by each leaf."""

    place: _Place
    slopes: np.ndarray  # [n, K, L]


def _has_data(problem: Any) -> bool:
    return any(isinstance(term.place, Points) for term in problem.terms)


def _places(problem: Any, i: int, seed: tuple[int, ...]) -> _Place:
    term, d = problem.terms[i], problem.domain.dimension
    inside, on = (400 if d == 1 else 1000), (100 if d < 3 else 200)
    points, columns = term.sample(problem.domain, inside if term.place is None else on, (*seed, 1, i))
    if isinstance(term.place, Points) and len(points) > _DATA:
        kept = np.random.default_rng((*seed, 2, i)).choice(len(points), _DATA, replace=False)
        points, columns = points[kept], {name: column[kept] for name, column in columns.items()}
    extras = {name: jnp.asarray(value, float) for name, value in problem.known().items()}
    arrays = {name: jnp.asarray(column, float) for name, column in columns.items()}
    sites = points[:, None]
    if len(term.expression.sites) > 1:
        sites = np.asarray(_sites(term.expression, extras, jnp.asarray(points), arrays))
    return _Place(term, points, extras, arrays, sites)


@partial(jax.jit, static_argnums=0)
def _sites(expression: Expression, extras: dict[str, Array], points: Array, columns: dict[str, Array]) -> Array:
    return jax.vmap(lambda p, c: expression.places(p, extras | c))(points, columns)


@partial(jax.jit, static_argnums=0)
def _slopes(expression: Expression, extras: dict[str, Array], points: Array, columns: dict[str, Array], leaves: Array) -> Array:
    def one(p: Array, c: dict[str, Array], values: Array) -> Array:
        return jax.jacfwd(lambda v: expression.value(p, v, extras | c))(values)

    return jax.vmap(one)(points, columns, leaves)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _given_leaves(
    expression: Expression,
    goal: Given,
    fields: tuple[str, ...],
    weights: Any,
    extras: dict[str, Array],
    points: Array,
    columns: dict[str, Array],
) -> Array:
    functions = {name: partial(_one_field, goal, weights, i) for i, name in enumerate(fields)}
    return jax.vmap(lambda p, c: read_leaves(expression, functions, p, extras | c))(points, columns)


def _one_field(goal: Given, weights: Any, i: int, point: Array) -> Array:
    return goal.values(weights, point)[i]


def _linearised(problem: Any, place: _Place, kind: str, about: tuple[Given, Any] | None, seed: tuple[int, ...]) -> _Linear:
    expression, points = place.term.expression, jnp.asarray(place.points)
    leaves: Any = np.zeros((len(place.points), len(expression.leaves)))
    if about is not None:
        leaves = _given_leaves(expression, about[0], problem.fields, about[1], place.extras, points, place.columns)
    elif kind == "wave":
        lower, upper = problem.domain.bounds
        for i, name in enumerate(problem.fields):
            rng, axes = np.random.default_rng((*seed, 3, i)), [c in problem.depends[name] for c in problem.domain.coordinates]
            wave = Basis(rng.normal(size=(len(lower), 6)) * np.array(axes)[:, None], rng.uniform(0, 6, 6), lower, upper)
            size = 0.2 * rng.normal(size=6)
            for j, leaf in enumerate(expression.leaves):
                if leaf.field == name:
                    at = place.sites[:, expression.sites.index(leaf.site)]
                    leaves[:, j] = (not any(leaf.index)) + wave.part(at, leaf.index) @ size
    return _Linear(place, np.asarray(_slopes(expression, place.extras, points, place.columns, jnp.asarray(leaves))))


def _sizes(problem: Any, terms: Sequence[_Linear]) -> tuple[list[np.ndarray], np.ndarray]:
    """The size of each term's components, [K] each, and of each field, [F]: units cancel.

    A coefficient counts with its derivative, in a domain of unit length. Fields are scaled to make the coefficients that
    couple them alike; an equation's size is then its largest coefficient of a derivative, or of a value where it has none.
    """
    lower, upper = problem.domain.bounds
    tables: list[tuple[np.ndarray, np.ndarray]] = []
    for place, slopes in terms:
        table = np.zeros((2, slopes.shape[1], len(problem.fields)))
        for j, leaf in enumerate(place.term.expression.leaves):
            size = np.sqrt(np.mean(slopes[:, :, j] ** 2, axis=0)) * np.prod((upper - lower) ** -np.array(leaf.index, float))
            column = problem.fields.index(leaf.field)
            for of in (0, 1) if any(leaf.index) or place.term.place is not None else (0,):
                table[of, :, column] = np.maximum(table[of, :, column], size)
        tables.append((table[0], table[1]))
    every = np.concatenate([table for table, _ in tables])
    rows, columns = np.nonzero(every)
    system = np.zeros((len(rows), every.shape[0] + every.shape[1]))
    system[np.arange(len(rows)), rows] = system[np.arange(len(rows)), every.shape[0] + columns] = 1
    logs = np.linalg.lstsq(system, -np.log(every[rows, columns]), rcond=None)[0][every.shape[0] :]
    fields = np.exp(logs - logs.mean())
    first = [((derivatives * fields).max(axis=1), (table * fields).max(axis=1)) for table, derivatives in tables]
    return [np.where(a > 0, a, np.where(b > 0, b, 1.0)) for a, b in first], fields


# --- its smallest singular values ------------------------------------------------------------------------------------


class _Vectors(NamedTuple):
    """The right singular vectors of the smallest singular values, ascending."""

    values: np.ndarray  # [Q]
    coefficients: np.ndarray  # [Q, F, M], of the features, for fields scaled to size one
    local: np.ndarray  # [Q], nan where the singular value speaks for itself


def _bases(problem: Any, count: int, seed: tuple[int, ...]) -> dict[str, Basis]:
    lower, upper = problem.domain.bounds
    found: dict[str, Basis] = {}
    for i, (axes, fields) in enumerate(problem.groups().items()):
        rng, kernel = np.random.default_rng((*seed, 4, i)), np.zeros((len(lower), count + 1))
        kernel[list(axes), 1:] = rng.normal(size=(len(axes), count)) * _BANDWIDTH
        phase = np.concatenate([[np.pi / 2], rng.uniform(0, 2 * np.pi, count)])
        found |= dict.fromkeys(fields, Basis(kernel, phase, lower, upper))
    return found


def _rows(problem: Any, terms: Sequence[_Linear], sizes: tuple, bases: Mapping[str, Basis]) -> list[np.ndarray]:
    """Each term's change by each function of each field, [n, K, F, M], all of size one."""
    found = []
    for (place, slopes), size in zip(terms, sizes[0], strict=True):
        width = next(iter(bases.values())).phase.size
        block = np.zeros((*slopes.shape[:2], len(problem.fields), width))
        for j, leaf in enumerate(place.term.expression.leaves):
            at = place.sites[:, place.term.expression.sites.index(leaf.site)]
            column = problem.fields.index(leaf.field)
            block[:, :, column] += slopes[:, :, j, None] * bases[leaf.field].part(at, leaf.index)[:, None] * sizes[1][column]
        found.append(block / size[None, :, None, None])
    return found


def _smallest(
    problem: Any, terms: Sequence[_Linear], rows: Sequence[np.ndarray], values: Mapping[str, np.ndarray], width: int
) -> _Vectors:
    """The smallest singular values with the first `width` functions of each field; `values` are theirs inside, [n, M]."""
    spaces = {}
    for fields in problem.groups().values():
        inside = values[fields[0]][:, :width]
        _, size, right = np.linalg.svd(inside / np.sqrt(len(inside)), full_matrices=False)
        rank = int(np.sum(size > _CUT * size[0]))
        spaces |= dict.fromkeys(fields, right[:rank].T / size[:rank])
    projected = [
        np.concatenate([block[:, :, f, :width] @ spaces[name] for f, name in enumerate(problem.fields)], axis=2) for block in rows
    ]
    weights = [(1.0 if place.term.place is None else _EMPHASIS) / np.sqrt(len(place.points)) for place, _ in terms]
    stacked = np.concatenate([w * block.reshape(-1, block.shape[2]) for w, block in zip(weights, projected, strict=True)])
    _, singular, right = np.linalg.svd(np.linalg.qr(stacked, mode="r"))
    singular = np.concatenate([singular, np.zeros(len(right) - len(singular))])
    vectors, ends = right[::-1][:_VECTORS], np.cumsum([spaces[name].shape[1] for name in problem.fields])[:-1]
    coefficients = np.zeros((len(vectors), len(problem.fields), rows[0].shape[3]))
    for f, (name, part) in enumerate(zip(problem.fields, np.split(vectors, ends, axis=1), strict=True)):
        coefficients[:, f, :width] = part @ spaces[name].T
    ascending = singular[::-1][:_VECTORS]
    local = np.full(len(vectors), np.nan)
    for q in np.flatnonzero(ascending < _SUSPECT):
        local[q] = _local(problem, terms, [block @ vectors[q] for block in projected], values, coefficients[q])
    return _Vectors(ascending, coefficients, local)


def _local(
    problem: Any, terms: Sequence[_Linear], residuals: Sequence[np.ndarray], values: Mapping, coefficients: np.ndarray
) -> float:
    """Root mean square over the points of |residual of v| / |v nearby|, summed over terms."""
    lower, upper = problem.domain.bounds
    inside, total = terms[0].place.points, 0.0
    squares = np.sum([(values[name] @ coefficients[f]) ** 2 for f, name in enumerate(problem.fields)], axis=0)
    count = max(len(inside) // _NEAR, 8)
    for (place, _), residual in zip(terms, residuals, strict=True):
        apart = sum((place.points[:, None, i] - inside[None, :, i]) ** 2 / (upper[i] - lower[i]) ** 2 for i in range(len(lower)))
        near = np.argpartition(apart, count, axis=1)[:, :count]
        total += float(np.mean(np.sum(residual**2, axis=1) / np.maximum(squares[near].mean(axis=1), 1e-300)))
    return float(np.sqrt(total))


def _judged(problem: Any, terms: Sequence[_Linear], count: int, seed: tuple[int, ...], verdict: bool) -> Stability:
    bases, sizes, inside = _bases(problem, 2 * count, seed), _sizes(problem, terms), terms[0].place.points
    rows = _rows(problem, terms, sizes, bases)
    whole = (0,) * problem.domain.dimension
    values = {name: bases[fields[0]].part(inside, whole) for fields in problem.groups().values() for name in fields}
    scales = {place.term.name: tuple(size.tolist()) for (place, _), size in zip(terms, sizes[0], strict=True)}
    fine = _smallest(problem, terms, rows, values, 2 * count + 1)
    coarse = _smallest(problem, terms, rows, values, count + 1) if fine.values[0] < _SUSPECT else None
    limit = 0.0 if coarse is None else _limit(coarse)
    free = np.flatnonzero(fine.local <= limit)
    local = float(fine.local[0]) if coarse is not None else float(fine.values[0])
    before = fine.values if coarse is None else coarse.values
    numbers = (tuple(fine.values.tolist()), tuple(before.tolist()))
    if not verdict or not len(free):
        return Stability(*numbers, False, local, scales=scales)
    found = np.einsum("qfm,fnm->qfn", fine.coefficients[free], np.stack([values[name] for name in problem.fields]))
    formula, mixture = _formula(problem, inside, found)
    fields = np.sqrt(np.mean(np.einsum("q,qfn->fn", mixture, found) ** 2, axis=1))
    carriers = [f for f in range(len(problem.fields)) if fields[f] > 1e-2 * fields.max()]
    combined = np.einsum("q,qfm->fm", mixture, fine.coefficients[free]) * sizes[1][:, None]
    largest = max(float(np.abs(values[problem.fields[f]] @ combined[f]).max()) for f in carriers)
    names = tuple(problem.fields[f] for f in carriers)
    coefficients = {problem.fields[f]: combined[f] / largest for f in carriers}
    null = NullFunction(names, problem.domain.coordinates, {name: bases[name] for name in names}, coefficients)
    description, advice = _described(problem, null, formula, inside)
    return Stability(*numbers, True, float(fine.local[free].min()), null, description, advice, scales)


def _limit(coarse: _Vectors) -> float:
    """The local ratio at which a function counts as null, after what half of the features found: close by, or falling."""
    before = np.nanmin([*coarse.local, np.inf])
    return _NULL if before <= _FLOOR else min(_NULL, max(before / 2, _FLOOR))


# --- in words --------------------------------------------------------------------------------------------------------


def _formula(problem: Any, points: np.ndarray, found: np.ndarray) -> tuple[str | None, np.ndarray]:
    """A simple function among the combinations of those found [Q, F, n], by name, and the combination [Q].

    None for the name where there is none, "" for a constant; the combination is then the first function.
    """
    names, (lower, upper) = problem.domain.coordinates, problem.domain.bounds
    factors = [_shapes(name, a, b, points[:, i]) for i, (name, a, b) in enumerate(zip(names, lower, upper, strict=True))]
    for order in range(min(len(names), 2) + 1):
        for axes in itertools.combinations(range(len(names)), order):
            for chosen in itertools.product(*(factors[i].items() for i in axes)):
                shape = np.prod([values for _, values in chosen], axis=0) * np.ones(len(points))
                shape = shape / np.sqrt(np.mean(shape**2))
                share = found @ shape / len(points)  # [Q, F]
                best = int(np.argmax(np.sum(share**2, axis=0)))
                if np.sum(share[:, best] ** 2) > _SURE:
                    return " ".join(text for text, _ in chosen), share[:, best]
    return None, np.eye(len(found))[0]


def _shapes(name: str, a: float, b: float, x: np.ndarray) -> dict[str, np.ndarray]:
    s, shifted = (x - a) / (b - a), name if a == 0 else f"({name} {'-' if a > 0 else '+'} {abs(a):g})"
    angle = shifted if b - a == 1 else f"{shifted}/{b - a:g}"
    found = {shifted: s, f"({b:g} - {name})": 1 - s}
    for n, times in ((0.5, "π/2 "), (1, "π "), (1.5, "3π/2 "), (2, "2π "), (3, "3π ")):
        found |= {f"sin({times}{angle})": np.sin(n * np.pi * s), f"cos({times}{angle})": np.cos(n * np.pi * s)}
    return found


def _described(problem: Any, null: NullFunction, formula: str | None, points: np.ndarray) -> tuple[str, str]:
    names, fields = problem.domain.coordinates, " and ".join(null.fields)
    sizes = np.max([np.abs(values) for values in null.at(points).values()], axis=0)
    peak = points[int(np.argmax(sizes))]
    where = ", ".join(f"{name} = {x:.2g}" for name, x in zip(names, peak, strict=True))
    if formula == "":
        middle = points[int(np.argmin(np.sum((points - points.mean(axis=0)) ** 2, axis=1)))]
        one = ", ".join(f"{name}=[{x:.2g}]" for name, x in zip(names, middle, strict=True))
        return f"a constant added to {fields}", (
            f"Give {fields} at one point, as in Condition(lambda {fields}: {fields}, on=Points({one})), or on a part of the "
            "boundary; where only differences of it matter, nothing is missing."
        )
    what = f"any multiple of {formula} added to {fields}" if formula else f"a function added to {fields}, largest near {where}"
    return what, _advice(problem, null, points, fields, where)


def _advice(problem: Any, null: NullFunction, points: np.ndarray, fields: str, where: str) -> str:
    """Which condition would tell it apart: one on the face where it is largest, or on its start."""
    inside = _rms(null, points)
    if problem.domain.is_box:
        lower, upper = problem.domain.bounds
        faces: dict[str, float] = {}
        for i, name in enumerate(problem.domain.coordinates):
            for end in (lower[i],) if name == TIME else (lower[i], upper[i]):
                on = points.copy()
                on[:, i] = end
                faces[f"{name} = {end:g}"] = _rms(null, on)
                unit = tuple(int(i == k) for k in range(len(lower)))
                if name == TIME and faces[f"{name} = {end:g}"] < 0.05 * inside:
                    speed = _rms(null, on, unit) * (upper[i] - lower[i])
                    if speed > 0.3 * inside:
                        return f"Add a condition for the velocity of {fields} on {name} = {end:g}: InitialVelocity(...)."
        face = max(faces, key=lambda name: faces[name])
        if faces[face] > 0.3 * inside:
            return f"Add a condition for {fields} on {face}, where it is not zero."
        return (
            "No value on the boundary would tell it apart: the equations have this solution of their own (a resonance), so that "
            "there is none for most data, and else infinitely many. Check the coefficients and the size of the domain."
        )
    return f"Add a condition for {fields} near {where}."


def _rms(null: NullFunction, points: np.ndarray, index: Sequence[int] | None = None) -> float:
    return float(np.sqrt(np.mean(np.sum([values**2 for values in null.at(points, index).values()], axis=0))))
