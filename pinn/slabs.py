"""Slabs of time, one after the other, each solved by least squares from where the one before it ended.

What is carried over is exact, and known at the points of the next slab, whose own features are all that its solve sees: one
compilation serves all slabs of the same shapes. How long they are, and with which features, `marching` decides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from .approximation import Approximation, Carried, Slabs, Together, empty_run, one_slab, slab_state, summands, together
from .exact import Exact
from .families import Drawn, Family, feature_ansatz
from .features import (
    Setup,
    add_coefficients,
    field_sizes,
    linearised,
    newton,
    residual_against,
    term_sizes,
)
from .loss import (
    Batch,
    Objective,
    Weights,
    draw,
    given_values,
    objective,
    read_each,
    trainable,
    values_at,
    with_given,
    with_trained,
)
from .steep import Steep
from .timeline import Timeline

_ROOM = 64  # slabs that arrays have room for; twice as many, and a compilation more, where that is not enough


class March(NamedTuple):
    """Slabs up to `edges[-1]`, and what is needed for the next one.

    Attributes:
        goal, first: the objective of a slab that is not the first, and of the first, which the initial conditions belong to.
        runs: the state of the slabs, in NumPy arrays while it grows: hundreds of small steps would each be dispatched.
        edges: of the slabs so far, with the start.
        drawn: the features of each slab so far.
        held_out: the largest held-out residual of any slab.
        features: of the last run.
        sizes: of each term, by name, were nothing in it to cancel: [K], summed over the time so far.
    """

    goal: Objective
    first: Objective
    runs: tuple
    edges: tuple[float, ...]
    drawn: tuple[Drawn, ...]
    held_out: float
    features: Drawn | None = None
    sizes: Mapping[str, NDArray] = MappingProxyType({})

    @property
    def weights(self) -> Weights:
        return Weights(jax.tree.map(jnp.asarray, self.runs), {})

    @property
    def slabs(self) -> Slabs:
        slabs = self.goal.approximation
        assert isinstance(slabs, Slabs)
        return slabs


def begin(setup: Setup, time: Timeline) -> March:
    """No slab yet."""
    later = setup.exact.started(time.axis, time.orders, time.initial)
    nothing = Slabs((), time.axis, time.carry)
    goal, first = (objective(setup.problem, nothing, exact) for exact in (later, setup.exact))
    return March(goal, first, (), (time.start,), (), 0.0)


def with_run(setup: Setup, march: March, time: Timeline, features: Drawn) -> March:
    """The same with other features for the slabs to come."""
    first = len(march.edges) == 1
    exact = march.first.exact if first else march.goal.exact
    kept, runs = ((), ()) if first else (march.slabs.runs, march.runs)
    made, (state,) = feature_ansatz(setup.problem, exact, *features, (*setup.seed, 50, len(runs)), setup.dtype)
    room = runs[0]["edges"].shape[0] - 1 if runs else _ROOM
    edges = [*march.edges, *[np.inf] * (room + 1 - len(march.edges))]
    run = empty_run(state, room, features.width, time.carry, edges)
    slabs = Slabs((*kept, made.parts[0]), time.axis, time.carry)
    goal, begun = (replace_approximation(g, slabs) for g in (march.goal, march.first))
    return march._replace(goal=goal, first=begun, runs=(*runs, run), features=features)


def trimmed(march: March) -> March:
    """The march with no room for more slabs."""
    count = len(march.edges) - 1

    def cut(run: dict[str, Any]) -> dict[str, Any]:
        return {**run, "train": {n: table[:count] for n, table in run["train"].items()}, "edges": run["edges"][: count + 1]}

    return march._replace(runs=tuple(map(cut, march.runs)))


def within_slab(approximation: Approximation, states: Sequence[Any], k: int) -> list[tuple[Approximation, list[Any]]]:
    """The summands of an approximation that are not zero in slab k, each with its state for each of the states.

    A run of slabs has two: what is handed over of its features, and new functions where the slab is one of its own.
    """
    found = []
    for each in zip(*(summands(approximation, state) for state in states), strict=True):
        part, own = each[0][0], [state for _, state in each]
        if not isinstance(part, Slabs):
            found.append((part, own))
            continue
        runs = [run for (run,) in own]
        tables = {name: any(np.any(np.asarray(run["train"][name][k])) for run in runs) for name in runs[0]["train"]}
        if tables["carried"]:
            found.append((Carried(part.runs[0], part.axis, part.carry), [one_slab(run, part.axis, k) for run in runs]))
        if tables["coefficients"]:
            found.append((part.runs[0], [slab_state(run, part.axis, k) for run in runs]))
    return found


def slab_leaves(
    goal: Objective, approximation: Approximation, states: Sequence[Any], k: int, batches: tuple[Batch, ...]
) -> list[list[Any]]:
    """What the terms read of an approximation in slab k with each state, summand by summand, in NumPy arrays."""
    read = [read_each(goal, part, own, batches) for part, own in within_slab(approximation, states, k)]
    return [[jax.tree.map(np.asarray, each[i]) for each in read] for i in range(len(states))]


def values_at_end(march: March, points: Array) -> Array:
    """The fields where the march has come to, [n, F]."""
    parts = within_slab(march.slabs, [march.runs], len(march.edges) - 2)
    given = given_values(march.first, {}, points)
    return reduce(jnp.add, (values_at(part, state, points) for part, (state,) in parts), given)


def must_change(march: March) -> bool:
    """Whether the next slab is the first that has no initial conditions to meet, so that its ansatz is another."""
    return len(march.edges) == 2 and march.goal.exact is not march.first.exact


def replace_approximation(goal: Objective, approximation: Any) -> Objective:
    """The same terms for another approximation."""
    return objective(goal.problem, approximation, goal.exact)


class Slab(NamedTuple):
    """One more slab, solved but not yet taken: its coefficients are [M + 1, F]."""

    march: March
    coefficients: NDArray
    held_out: float

    @property
    def features(self) -> Drawn:
        return self.march.drawn[-1]

    @property
    def family(self) -> Family:
        return self.features.family


class Next(NamedTuple):
    """The next slab: the march that knows its end, the objective of its own features, their state, where its points go."""

    march: March
    goal: Objective
    state: tuple
    place: tuple[int, float, float]

    @property
    def basis(self) -> Together:
        basis = self.goal.approximation
        assert isinstance(basis, Together)
        return basis

    def solved(self, state: tuple, held_out: float = 0.0) -> Slab:
        """The slab with the coefficients of this state, [M, F] and [F]."""
        march, k = self.march, len(self.march.edges) - 1
        output, (*others, run) = state[0]["train"]["output"], self.march.runs
        coefficients = np.concatenate([output["kernel"], np.asarray(output["bias"])[None]])
        table = _with_row(run["train"]["coefficients"], k, coefficients)
        runs = (*others, {**run, "train": {**run["train"], "coefficients": table}})
        assert march.features is not None
        edges, drawn = (*march.edges, self.place[2]), (*march.drawn, march.features)
        return Slab(march._replace(runs=runs, edges=edges, drawn=drawn), coefficients, held_out)


def _with_row(table: NDArray, k: int, row: Any) -> NDArray:
    new = table.copy()
    new[k] = row
    return new


def next_slab(march: March, time: Timeline, end: float) -> Next:
    """The next slab, to `end`, with coefficients of zero."""
    k, start = len(march.edges) - 1, march.edges[-1]
    whole = march.goal if k else march.first
    march = march._replace(runs=tuple({**run, "edges": _with_row(run["edges"], k + 1, end)} for run in march.runs))
    goal = replace_approximation(whole, together(whole.problem.fields, (march.slabs.runs[-1],)))
    return Next(march, goal, (slab_state(march.runs[-1], time.axis, k),), (time.axis, start, end))


def solve_slab(setup: Setup, march: March, time: Timeline, end: float, near: tuple[Steep, ...] = ()) -> Slab:
    """Solve the next slab, to `end`, with the features of the active run, on points that `near` draws to layers.

    What is carried over is known at the points: the slab's own features are all that the solve sees. Its residual is relative to
    the size of its terms, or to their mean over the time so far where that is larger: a wave may pass through zero.
    """
    slab = next_slab(march, time, end)
    assert march.features is not None
    goal, k, width, start = slab.goal, len(march.edges) - 1, march.features.width, march.edges[-1]
    begun = Weights(slab.state, {})

    def points(index: int) -> tuple[Batch, ...]:
        batches = draw(goal, setup.counts(width), (*setup.seed, index), setup.dtype, slab.place, near)
        (known,) = slab_leaves(goal, march.slabs, [slab.march.runs], k, batches)
        return with_given(batches, *known)

    def add(weights: Weights, coefficients: Array, share: float) -> Weights:
        share_ = jnp.asarray(share, coefficients.dtype)
        return weights._replace(state=add_coefficients(slab.basis, weights.state, coefficients, share_))

    def solved() -> tuple[dict[str, Any], float, list[NDArray]]:
        weights = newton(goal, begun, slab.basis, slab.state, points(2), setup.steps, add)
        fresh, ahead = points(7), slab.solved(weights.state).march
        penalties = any(term.place is not None for term in goal.terms)
        sizes = field_sizes(march.first.problem, values_at_end(ahead, fresh[0].points)) if penalties else None
        checks = linearised(goal, weights, slab.basis, slab.state, fresh)
        own = term_sizes(goal, weights, fresh, checks, sizes)
        summed = [march.sizes.get(t.name, 0.0) + (end - start) * size for t, size in zip(goal.terms, own, strict=True)]
        against = [np.maximum(size, total / (end - time.start)) for size, total in zip(own, summed, strict=True)]
        return trainable(weights), residual_against(goal, checks, against), summed

    like = trainable(begun), 0.0, [np.zeros(len(term.expression.components)) for term in goal.terms]
    trained, held_out, summed = setup.journal.piece(("slab", march.features, k, end, near), solved, like)
    new = slab.solved(with_trained(begun, trained).state, held_out)
    sizes = {term.name: size for term, size in zip(goal.terms, summed, strict=True)}
    return new._replace(march=new.march._replace(sizes=sizes))


def take(slab: Slab, time: Timeline) -> March:
    """The march with the slab taken: what it ends with is carried to the next."""
    march, k = slab.march, len(slab.march.edges) - 2
    dt = march.edges[-1] - march.edges[-2]
    slabs, runs = march.slabs, []
    for i, (ansatz, run) in enumerate(zip(slabs.runs, march.runs, strict=True)):
        new = slab.coefficients if i == len(slabs.runs) - 1 else None
        carried = _carried(run["train"]["carried"][k], new, ansatz.exact, time, slabs.fields, dt)
        run = _doubled(run) if k + 1 == run["train"]["carried"].shape[0] else run
        table = _with_row(run["train"]["carried"], k + 1, carried)
        runs.append({**run, "train": {**run["train"], "carried": table}})
    return march._replace(runs=tuple(runs), held_out=max(march.held_out, slab.held_out))


def _carried(old: NDArray, new: NDArray | None, exact: Exact, time: Timeline, fields: tuple[str, ...], dt: float) -> NDArray:
    """∂ᵗⁱD at the end of a slab, [m, m, M + 1, F], from that at its start and the slab's coefficients [M + 1, F].

    With φ = τᵖ in the slab's own time τ, ∂ᵗⁱ(τᵖ h) = dt⁻ⁱ Σ_l C(i, l) p! / (p - i + l)! ∂^l h/∂τ^l at τ = 1.
    """
    m = time.carry
    later = np.array([[dt ** max(j - i, 0) / math.factorial(max(j - i, 0)) * (j >= i) for j in range(m)] for i in range(m)])
    table = np.einsum("ij,jlqf->ilqf", later.astype(old.dtype), old)
    if new is None:
        return table
    for f, name in enumerate(fields):
        power = {axis: 1 + velocity for axis, lower, _, velocity in exact.pattern(name) if lower}.get(time.axis, 0)
        for i in range(time.orders[name]):
            for order in range(max(0, i - power), i + 1):
                rate = math.comb(i, order) * math.perm(power, i - order) / dt**i
                table[i, order, :, f] += rate * new[:, f]
    return table


def _doubled(run: dict[str, Any]) -> dict[str, Any]:
    longer = {name: np.concatenate([table, np.zeros_like(table)]) for name, table in run["train"].items()}
    beyond = np.full(len(run["edges"]) - 1, np.inf, run["edges"].dtype)
    return {**run, "train": longer, "edges": np.concatenate([run["edges"], beyond])}
