"""Is one solution fixed? The smallest singular values of a linearised problem, before anything is trained.

With L the linearised equations and B the linearised conditions, each divided by its own size,

    σ₁ = min over v of sqrt(‖L v‖² + w² ‖B v‖²),  ‖v‖ = 1,  mean squares over the domain and over each boundary part,

is about 1/‖solution operator‖, and its minimiser v the function that the data hold least. v runs over random smooth features.
σ₁ alone does not tell a broken problem from one that amplifies: for u' = 10 u it is e⁻¹⁰ too. What tells them apart is v near
the conditions: e^{10 t} is small at its initial value, but not smaller there than just beside it. So the residuals of v are
divided by the size of v *nearby*: that ratio is above one for whatever merely grows; close to a resonance it is small, and
stays what it is when the features double; for a function that satisfies every equation and condition with zero data it falls
to rounding.

It takes a problem by its attributes and imports nothing of it, so that `Problem.check` can use it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .decompositions import svd
from .errors import ProblemError
from .expression import Expression, read_leaves
from .nullfunction import Basis, NullFunction, described, formula_of
from .values import Points

_BANDWIDTH = 4.0  # of the features, in the domain scaled to [-1, 1]: smooth enough that null functions are found to 1e-6
_CUT = 1e-11  # directions of the features below this are rounding
_EMPHASIS = 30.0  # weight of the conditions: they act as constraints, and rounding in them stays small
_VECTORS = 6  # singular vectors looked at
_SUSPECT = 0.1  # a larger singular value needs no second look: the local ratio is larger still
_NULL = 0.05  # measured: 1.8 or more under growth, 0.011 or less where a condition is missing
_FLOOR = 1e-4  # ratios below need not fall further: rounding of fourth derivatives
_NEAR = 16  # "nearby" is the nearest 1/16 of the points
_ALONE = 4  # points of a condition, at most, that stand alone
_CLOSE = np.geomspace(1e-3, 0.1, 40)  # from them, relative to the domain, lie points of other terms
_CANDIDATES = 10_000  # that those are chosen of
_DATA = 500  # data points looked at


class Given(Protocol):
    """Fields to linearise about: an objective, and its weights passed in."""

    def values(self, weights: Any, point: Array) -> Array: ...


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
        constant: the field that is fixed only up to a constant, where that is what is left free.
        description: the function, in words.
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
    constant: str | None = None
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
        count: features a field, and then twice as many; by default 50 in one dimension, 150 in more, fewer for many fields.
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
    if not hasattr(problem, "terms"):
        raise ProblemError(f"stability() needs a pinn.Problem; got {problem!r:.80}.")
    most = 150 if problem.domain.dimension > 1 else 50
    count = count or max(50, min(most, 300 // len(problem.unknowns)))
    seeds = tuple(np.atleast_1d(seed).tolist())
    with jax.enable_x64(True):  # singular values below 1e-6 cannot be seen in float32
        places = [_places(problem, i, count, seeds) for i in range(len(problem.terms))]
        data = any(isinstance(term.place, Points) for term in problem.terms)
        verdict = not problem.parameters and (about is not None or problem.is_linear or not data)
        found = None
        for kind in ("given",) if about is not None else ("zero",) if problem.is_linear else ("zero", "wave"):
            terms = [_linearised(problem, place, kind, about, seeds) for place in places]
            if all(np.all(np.isfinite(term.slopes)) for term in terms):
                found = _judged(problem, terms, count, seeds, verdict)
                if not found.ill_posed:
                    break
    return found or Stability((np.nan,), (np.nan,), False, np.nan)


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
    sites: tuple[np.ndarray, ...]  # [n, d] each, or [n, N, d] where an integral sums over N places


class _Linear(NamedTuple):
    """A term's change by each leaf."""

    place: _Place
    slopes: np.ndarray  # [n, K, L]


def _places(problem: Any, i: int, count: int, seed: tuple[int, ...]) -> _Place:
    term, d = problem.terms[i], problem.domain.dimension
    inside, on = max(200 if d == 1 else 700, 3 * count), (100 if d < 3 else 200)
    points, columns = term.sample(problem.domain, inside if term.place is None else on, (*seed, 1, i))
    for single in _alone(problem, seed) if d > 1 and not isinstance(term.place, Points) else ():
        more, marks = term.sample(problem.domain, _CANDIDATES, (*seed, 5, i))
        apart = np.linalg.norm((more - single) / np.subtract(*problem.domain.bounds), axis=1)
        closest = np.unique([np.argmin(np.abs(apart - r)) for r in _CLOSE])
        points = np.concatenate([points, more[closest]])
        columns = {name: np.concatenate([column, marks[name][closest]]) for name, column in columns.items()}
    if isinstance(term.place, Points) and len(points) > _DATA:
        kept = np.random.default_rng((*seed, 2, i)).choice(len(points), _DATA, replace=False)
        points, columns = points[kept], {name: column[kept] for name, column in columns.items()}
    extras = {name: jnp.asarray(value, float) for name, value in problem.known().items()}
    arrays = {name: jnp.asarray(column, float) for name, column in columns.items()}
    sites = (points,)
    if len(term.expression.sites) > 1:
        sites = tuple(map(np.asarray, _sites(term.expression, extras, jnp.asarray(points), arrays)))
    return _Place(term, points, extras, arrays, sites)


def _alone(problem: Any, seed: tuple[int, ...]) -> list[np.ndarray]:
    """Single points of conditions. Between points of other terms that are far apart, a narrow dip would meet them unseen."""
    terms = [term for term in problem.terms if isinstance(term.place, Points)]
    found = [term.sample(problem.domain, 1, seed)[0] for term in terms]
    return [point for points in found if len(points) <= _ALONE for point in points]


@partial(jax.jit, static_argnums=0)
def _sites(expression: Expression, extras: dict[str, Array], points: Array, columns: dict[str, Array]) -> tuple[Array, ...]:
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
    leaves: Any = np.zeros((len(place.points), expression.size))
    if about is not None:
        leaves = _given_leaves(expression, about[0], problem.unknowns, about[1], place.extras, points, place.columns)
    elif kind == "wave":
        lower, upper = problem.domain.bounds
        for i, name in enumerate(problem.unknowns):
            rng, axes = np.random.default_rng((*seed, 3, i)), [c in problem.depends[name] for c in problem.domain.coordinates]
            wave = Basis(rng.normal(size=(len(lower), 6)) * np.array(axes)[:, None], rng.uniform(0, 6, 6), lower, upper)
            size = 0.2 * rng.normal(size=6)
            for leaf, slot in expression.slots.items():
                if leaf.field == name:
                    at = place.sites[expression.sites.index(leaf.site)]
                    leaves[:, slot] = (not any(leaf.index)) + (wave.part(at, leaf.index) @ size).reshape(len(at), -1)
    return _Linear(place, np.asarray(_slopes(expression, place.extras, points, place.columns, jnp.asarray(leaves))))


class _Sizes(NamedTuple):
    terms: list[np.ndarray]  # [K] each, of fields of their own size
    fields: np.ndarray  # [F]
    plain: list[np.ndarray]  # [K] each, of fields of size one


def _sizes(problem: Any, terms: Sequence[_Linear]) -> _Sizes:
    """The size of each term's components, and of each field: units cancel.

    A coefficient counts with its derivative, in a domain of unit length. Fields are scaled to make the coefficients that
    couple them alike; an equation's size is then its largest coefficient of a derivative, or of a value where it has none.
    """
    lower, upper = problem.domain.bounds
    tables: list[tuple[np.ndarray, np.ndarray]] = []
    for place, slopes in terms:
        table = np.zeros((2, slopes.shape[1], len(problem.unknowns)))
        for leaf, slot in place.term.expression.slots.items():
            size = np.sqrt(np.mean(np.abs(slopes[:, :, slot]).sum(axis=2) ** 2, axis=0))
            size = size * np.prod((upper - lower) ** -np.array(leaf.index, float))
            column = problem.unknowns.index(leaf.field)
            for of in (0, 1) if any(leaf.index) or place.term.place is not None else (0,):
                table[of, :, column] = np.maximum(table[of, :, column], size)
        tables.append((table[0], table[1]))
    every = np.concatenate([table for table, _ in tables])
    rows, columns = np.nonzero(every)
    system = np.zeros((len(rows), every.shape[0] + every.shape[1]))
    system[np.arange(len(rows)), rows] = system[np.arange(len(rows)), every.shape[0] + columns] = 1
    logs = np.linalg.lstsq(system, -np.log(every[rows, columns]), rcond=None)[0][every.shape[0] :]
    fields = np.exp(logs - logs.mean())

    def largest(table: np.ndarray, derivatives: np.ndarray, fields: np.ndarray | float) -> np.ndarray:
        either = np.where(np.any(derivatives > 0, axis=1, keepdims=True), derivatives, table)
        size = (either * fields).max(axis=1)
        return np.where(size > 0, size, 1.0)

    return _Sizes([largest(*both, fields) for both in tables], fields, [largest(*both, 1.0) for both in tables])


# --- its smallest singular values ------------------------------------------------------------------------------------


class _Vectors(NamedTuple):
    """The right singular vectors of the smallest singular values, ascending."""

    values: np.ndarray  # [Q]
    coefficients: np.ndarray  # [Q, F, M], of the features, for fields scaled to size one
    local: np.ndarray  # [Q], nan where the singular value speaks for itself


def _bases(problem: Any, count: int, seed: tuple[int, ...]) -> dict[str, Basis]:
    found: dict[str, Basis] = {}
    for i, (axes, fields, lower, upper, *_) in enumerate(problem.groups()):
        rng, kernel = np.random.default_rng((*seed, 4, i)), np.zeros((len(lower), count + 1))
        kernel[list(axes), 1:] = rng.normal(size=(len(axes), count)) * _BANDWIDTH
        phase = np.concatenate([[np.pi / 2], rng.uniform(0, 2 * np.pi, count)])
        found |= dict.fromkeys(fields, Basis(kernel, phase, lower, upper))
    return found


def _rows(problem: Any, terms: Sequence[_Linear], sizes: _Sizes, bases: Mapping[str, Basis]) -> list[np.ndarray]:
    """Each term's change by each function of each field, [n, K, F, M], all of size one."""
    found = []
    for (place, slopes), size in zip(terms, sizes.terms, strict=True):
        width = next(iter(bases.values())).phase.size
        block = np.zeros((*slopes.shape[:2], len(problem.unknowns), width))
        for leaf, slot in place.term.expression.slots.items():
            at, column = place.sites[place.term.expression.sites.index(leaf.site)], problem.unknowns.index(leaf.field)
            part = bases[leaf.field].part(at, leaf.index).reshape(len(at), -1, width)
            block[:, :, column] += slopes[:, :, slot] @ part * sizes.fields[column]
        found.append(block / size[None, :, None, None])
    return found


def _smallest(
    problem: Any, terms: Sequence[_Linear], rows: Sequence[np.ndarray], values: Mapping[str, np.ndarray], width: int
) -> _Vectors:
    """The smallest singular values with the first `width` functions of each field; `values` are theirs inside, [n, M]."""
    spaces = {}
    for _, fields, *_ in problem.groups():
        inside = values[fields[0]][:, :width]
        _, size, right = svd(inside / np.sqrt(len(inside)))
        rank = int(np.sum(size > _CUT * size[0]))
        spaces |= dict.fromkeys(fields, right[:rank].T / size[:rank])
    projected = [
        np.concatenate([block[:, :, f, :width] @ spaces[name] for f, name in enumerate(problem.unknowns)], axis=2)
        for block in rows
    ]
    weights = [(1.0 if place.term.place is None else _EMPHASIS) / np.sqrt(len(place.points)) for place, _ in terms]
    stacked = np.concatenate([w * block.reshape(-1, block.shape[2]) for w, block in zip(weights, projected, strict=True)])
    _, singular, right = svd(np.asarray(np.linalg.qr(stacked, mode="r")), full=True)
    singular = np.concatenate([singular, np.zeros(len(right) - len(singular))])
    vectors, ends = right[::-1][:_VECTORS], np.cumsum([spaces[name].shape[1] for name in problem.unknowns])[:-1]
    coefficients = np.zeros((len(vectors), len(problem.unknowns), rows[0].shape[3]))
    for f, (name, part) in enumerate(zip(problem.unknowns, np.split(vectors, ends, axis=1), strict=True)):
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
    squares = np.sum([(values[name] @ coefficients[f]) ** 2 for f, name in enumerate(problem.unknowns)], axis=0)
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
    values = {name: bases[group.fields[0]].part(inside, whole) for group in problem.groups() for name in group.fields}
    if problem.regions is not None:
        values = {name: value * problem.regions.holds(name, inside)[:, None] for name, value in values.items()}
    scales = {place.term.name: tuple(size.tolist()) for (place, _), size in zip(terms, sizes.plain, strict=True)}
    fine = _smallest(problem, terms, rows, values, 2 * count + 1)
    if fine.values[0] >= _SUSPECT:
        numbers = tuple(fine.values.tolist())
        return Stability(numbers, numbers, False, numbers[0], scales=scales)
    coarse = _smallest(problem, terms, rows, values, count + 1)
    free = np.flatnonzero(fine.local <= _limit(coarse))
    numbers = tuple(fine.values.tolist()), tuple(coarse.values.tolist())
    if not verdict or not len(free):
        return Stability(*numbers, False, float(fine.local[0]), scales=scales)
    null, formula = _null(problem, bases, sizes.fields, values, fine.coefficients[free], inside)
    description, advice = described(problem, null, formula, inside)
    return Stability(
        *numbers,
        True,
        float(fine.local[free].min()),
        null=null,
        constant=null.fields[0] if formula == "" else None,
        description=description,
        advice=advice,
        scales=scales,
    )


def _null(
    problem: Any,
    bases: Mapping[str, Basis],
    sizes: np.ndarray,
    values: Mapping[str, np.ndarray],
    free: np.ndarray,
    inside: np.ndarray,
) -> tuple[NullFunction, str | None]:
    """The simplest combination of null functions, from their coefficients [Q, F, M], and its formula if it has one."""
    found = np.einsum("qfm,fnm->qfn", free, np.stack([values[name] for name in problem.unknowns]))
    formula, mixture = formula_of(problem, inside, found)
    share = np.sqrt(np.mean(np.einsum("q,qfn->fn", mixture, found) ** 2, axis=1))
    moved = [f for f in range(len(sizes)) if share[f] > 1e-2 * share.max()]
    combined = {problem.unknowns[f]: mixture @ free[:, f] * sizes[f] for f in moved}
    largest = max(float(np.abs(values[name] @ part).max()) for name, part in combined.items())
    parts = {name: part / largest for name, part in combined.items()}
    return NullFunction(tuple(parts), problem.domain.coordinates, {name: bases[name] for name in parts}, parts), formula


def _limit(coarse: _Vectors) -> float:
    """The ratio at which a function counts as null: a quarter of what half of the features found, or any that is rounding."""
    before = np.nanmin([*coarse.local, np.inf])
    return _NULL if before <= _FLOOR else min(_NULL, max(before / 4, _FLOOR))
