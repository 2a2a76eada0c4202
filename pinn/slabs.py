"""Slabs of time, one after the other, each solved by least squares from where the one before it ended.

What a slab begins with is handed over as values at points: one compilation serves all slabs of the same shapes. How long they
are, and with which features, `marching` decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from .approximation import Approximation, Slabs, Together, empty_run, slab_state, summands, together
from .conditions import Initial, InitialVelocity
from .families import Drawn, Family, feature_ansatz
from .features import Setup, field_sizes, newton, residual_against, term_sizes
from .handover import Handover, is_handover, later_slabs
from .loss import (
    Batch,
    Objective,
    Weights,
    batch_at,
    draw,
    given_residuals,
    given_values,
    objective,
    read_each,
    trainable,
    values_at,
    with_given,
    with_trained,
)
from .rows import add_coefficients, linearised, whole_chunks
from .steep import Steep
from .terms import Term
from .timeline import Timeline

_BEGINNINGS = Initial, InitialVelocity, Handover
_HANDED = 2.0  # points at which a slab is handed over, in its features: where these are slow, all are functions of space
_ROOM = 64  # slabs that arrays have room for; twice as many, and a compilation more, where that is not enough


class March(NamedTuple):
    """Slabs up to `edges[-1]`, and what is needed for the next one.

    Attributes:
        goal, first: the objective of a slab that is not the first, and of the first, which the initial conditions belong to.
        runs: the state of the slabs, in NumPy arrays while it grows: hundreds of small steps would each be dispatched.
        edges: of the slabs so far, with the start.
        drawn: the features of each slab so far.
        held_out: the held-out residuals of the slabs, root mean square over time.
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
    def whole(self) -> Objective:
        """The objective of all slabs together."""
        axis = self.slabs.axis
        return replace(self.first, exact=self.first.exact.until(axis, self.edges[1], self.goal.exact))

    @property
    def slabs(self) -> Slabs:
        slabs = self.goal.approximation
        assert isinstance(slabs, Slabs)
        return slabs


def begin(setup: Setup, time: Timeline) -> March:
    """No slab yet."""
    goal = later_slabs(setup.problem, setup.exact)
    first = objective(setup.problem, goal.approximation, setup.exact)
    return March(goal, first, (), (time.start,), (), 0.0)


def with_run(setup: Setup, march: March, time: Timeline, features: Drawn) -> March:
    """The same with other features for the slabs to come."""
    first = len(march.edges) == 1
    exact = march.first.exact if first else march.goal.exact
    kept, runs = ((), ()) if first else (march.slabs.runs, march.runs)
    made, (state,) = feature_ansatz(setup.problem, exact, *features, (*setup.seed, 50, len(runs)), setup.dtype)
    room = runs[0]["edges"].shape[0] - 1 if runs else _ROOM
    edges = [*march.edges, *[np.inf] * (room + 1 - len(march.edges))]
    run = empty_run(state, room, features.width, edges)
    slabs = Slabs((*kept, made.parts[0]), time.axis)
    goal, begun = (replace(g, approximation=slabs) for g in (march.goal, march.first))
    return march._replace(goal=goal, first=begun, runs=(*runs, run), features=features)


def trimmed(march: March) -> March:
    """The march with no room for more slabs."""
    count = len(march.edges) - 1

    def cut(run: dict[str, Any]) -> dict[str, Any]:
        return {**run, "train": {n: table[:count] for n, table in run["train"].items()}, "edges": run["edges"][: count + 1]}

    return march._replace(runs=tuple(map(cut, march.runs)))


def within_slab(approximation: Approximation, states: Sequence[Any], k: int) -> list[tuple[Approximation, list[Any]]]:
    """The summands of an approximation that are not zero in slab k, each with its state for each of the states."""
    found = []
    for each in zip(*(summands(approximation, state) for state in states), strict=True):
        part, own = each[0][0], [state for _, state in each]
        if not isinstance(part, Slabs):
            found.append((part, own))
        elif any(np.any(np.asarray(run["train"]["coefficients"][k])) for (run,) in own):
            found.append((part.runs[0], [slab_state(run, part.axis, k) for (run,) in own]))
    return found


def slab_leaves(
    goal: Objective, approximation: Approximation, states: Sequence[Any], k: int, batches: Sequence[Batch]
) -> list[list[NDArray]]:
    """What the terms read of an approximation in slab k with each state, in NumPy arrays, [n, L] by term.

    At a handover it is what the slab begins with less what the one before it ended with: how far the approximation jumps.
    """
    found = [[np.zeros(batch.given.shape, batch.given.dtype) for batch in batches] for _ in states]
    for part, own in within_slab(approximation, states, k):
        for total, leaves in zip(found, read_each(goal, part, own, batches), strict=True):
            for i, each in enumerate(leaves):
                total[i] += np.asarray(each)
    for i, (term, batch) in enumerate(zip(goal.terms, batches, strict=True)):
        if is_handover(term):
            for total, before in zip(found, leaves_before(goal, term, batch, approximation, states, k), strict=True):
                total[i] -= before
    return found


def leaves_before(
    goal: Objective, term: Term, batch: Batch, approximation: Approximation, states: Sequence[Any], k: int
) -> list[NDArray]:
    """What a term reads of the slab before slab k at the time where slab k begins, with each state: [n, L]."""
    assert isinstance(approximation, Slabs)
    alone, start = replace(goal, terms=(term,)), np.asarray(states[0][0]["edges"][k])
    batch = batch._replace(points=batch.points.at[:, approximation.axis].set(start))
    parts = within_slab(approximation, states, k - 1)
    read = [read_each(alone, part, own, (batch,)) for part, own in parts]
    return [sum((np.asarray(each[i][0]) for each in read), np.zeros(batch.given.shape)) for i in range(len(states))]


def slab_points(setup: Setup, slab: Next, seed: int, near: Sequence[Steep]) -> tuple[Batch, ...]:
    """Points for each term of the next slab; where it begins, what is given is by how much G jumps there."""
    assert slab.march.features is not None
    counts, begun = setup.counts(slab.march.features.width), whole_chunks(int(_HANDED * slab.march.features.width))
    if setup.problem.domain.dimension > 1:
        counts |= {t.name: max(counts["condition"], begun) for t in slab.goal.terms if isinstance(t.condition, _BEGINNINGS)}
    batches = draw(slab.goal, counts, (*setup.seed, seed), setup.dtype, slab.place, near, gather=True)
    pairs = zip(slab.goal.terms, batches, strict=True)
    return tuple(b._replace(given=-_given_before(slab, term, b)) if is_handover(term) else b for term, b in pairs)


def _given_before(slab: Next, term: Term, batch: Batch) -> Array:
    """What a term reads of the G of the slab before, less that of this one, where this one begins: [n, L]."""
    if len(slab.march.edges) > 2:
        return 0 * batch.given
    axis, start, _ = slab.place
    points = batch.points.at[:, axis].set(start)
    before, now = (batch_at(goal, term.expression, points, batch.columns).given for goal in (slab.march.first, slab.march.goal))
    return before - now


def values_at_end(march: March, points: Array) -> Array:
    """The fields where the march has come to, [n, F]."""
    parts = within_slab(march.slabs, [march.runs], len(march.edges) - 2)
    given = given_values(march.first if len(march.edges) == 2 else march.goal, {}, points)
    return reduce(jnp.add, (values_at(part, state, points) for part, (state,) in parts), given)


def must_change(march: March) -> bool:
    """Whether the next slab is the first that has no initial conditions to meet, so that its ansatz is another."""
    return len(march.edges) == 2


class Slab(NamedTuple):
    """One more slab, solved but not yet taken."""

    march: March
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
        return Slab(march._replace(runs=runs, edges=edges, drawn=drawn), held_out)


def _with_row(table: NDArray, k: int, row: Any) -> NDArray:
    new = table.copy()
    new[k] = row
    return new


def next_slab(march: March, time: Timeline, end: float) -> Next:
    """The next slab, to `end`, with coefficients of zero."""
    k, start = len(march.edges) - 1, march.edges[-1]
    whole = march.goal if k else march.first
    march = march._replace(runs=tuple({**run, "edges": _with_row(run["edges"], k + 1, end)} for run in march.runs))
    goal = replace(whole, approximation=together(whole.problem.fields, (march.slabs.runs[-1],)))
    return Next(march, goal, (slab_state(march.runs[-1], time.axis, k),), (time.axis, start, end))


def solve_slab(setup: Setup, march: March, time: Timeline, end: float, near: tuple[Steep, ...] = ()) -> Slab:
    """Solve the next slab, to `end`, with the features of the active run, judged on points that `near` draws to layers.

    So are those that it is solved on, if features see steep coordinates: others would be left with too few points elsewhere.
    Its residual is relative to the size of its terms, or to their mean over the time so far where that is larger: a wave may
    pass through zero. Newton's method begins about the state that is handed over, standing still.
    """
    slab = next_slab(march, time, end)
    goal, k, start = slab.goal, len(march.edges) - 1, march.edges[-1]
    begun, steep = Weights(slab.state, {}), march.features is not None and march.features.family.steep

    def points(index: int, near: Sequence[Steep]) -> tuple[Batch, ...]:
        batches = slab_points(setup, slab, index, near)
        (handed,) = slab_leaves(goal, march.slabs, [slab.march.runs], k, batches)
        return with_given(batches, handed)

    def add(weights: Weights, coefficients: np.ndarray, share: float) -> Weights:
        share_ = np.asarray(share, coefficients.dtype)
        return weights._replace(state=add_coefficients(slab.basis, weights.state, coefficients, share_))

    def solved() -> tuple[dict[str, Any], float, list[NDArray]]:
        batches = points(2, near if steep else ())
        still = _standing_still(slab, batches) if k and not setup.problem.is_linear else ()
        weights = newton(goal, begun, slab.basis, slab.state, batches, setup.steps, add, still)
        fresh, ahead = points(7, near), slab.solved(weights.state).march
        checks = linearised(goal, weights, None, (), fresh)
        own = term_sizes(goal, weights, fresh, checks, field_sizes(goal.problem, values_at_end(ahead, fresh[0].points)))
        each = zip(goal.terms, fresh, own, strict=True)
        own = [_handed_size(slab, term, batch) if is_handover(term) else size for term, batch, size in each]
        summed = [march.sizes.get(t.name, 0.0) + (end - start) * size for t, size in zip(goal.terms, own, strict=True)]
        against = [np.maximum(size, total / (end - time.start)) for size, total in zip(own, summed, strict=True)]
        return trainable(weights), residual_against(goal, checks, against), summed

    like = trainable(begun), 0.0, [np.zeros(len(term.expression.components)) for term in goal.terms]
    trained, held_out, summed = setup.journal.piece(("slab", march.features, k, end, near), solved, like)
    new = slab.solved(with_trained(begun, trained).state, held_out)
    sizes = {term.name: size for term, size in zip(goal.terms, summed, strict=True)}
    return new._replace(march=new.march._replace(sizes=sizes))


def _standing_still(slab: Next, batches: Sequence[Batch]) -> list[Array]:
    """What the terms read of the state that is handed over, were it to stay as it is, [n, L] by term."""
    march, k, axis = slab.march, len(slab.march.edges) - 1, slab.place[0]
    found = []
    for term, batch in zip(slab.goal.terms, batches, strict=True):
        (leaves,) = leaves_before(slab.goal, term, batch, march.slabs, [march.runs], k)
        moves = [leaf.index[axis] > 0 for leaf in term.expression.read]
        found.append(jnp.asarray(np.where(moves, 0.0, leaves + np.asarray(_given_before(slab, term, batch)))))
    return found


def handed_over(
    goal: Objective, handover: Term, batch: Batch, approximation: Approximation, states: Sequence[Any], k: int
) -> list[NDArray]:
    """What an approximation hands over to slab k with each state, and what else is given there: [n, K]."""
    alone = replace(goal, terms=(handover,))
    leaves = leaves_before(goal, handover, batch, approximation, states, k)
    return [np.asarray(given_residuals(alone, with_given((batch,), (each,)))[0]) for each in leaves]


def _handed_size(slab: Next, handover: Term, batch: Batch) -> NDArray:
    """How large what is handed over to a slab is, root mean square, by component."""
    march = slab.march
    begun = batch_at(slab.goal, handover.expression, batch.points, batch.columns)
    begun = begun._replace(given=begun.given + _given_before(slab, handover, batch))
    (values,) = handed_over(slab.goal, handover, begun, march.slabs, [march.runs], len(march.edges) - 1)
    return np.sqrt(np.mean(np.square(values), axis=0))


def take(slab: Slab) -> March:
    """The march with the slab taken."""
    march, runs = slab.march, slab.march.runs
    full = len(march.edges) - 1 == runs[0]["edges"].shape[0] - 1
    runs = tuple(map(_doubled, runs)) if full else runs
    start, before, now = march.edges[0], *march.edges[-2:]
    total = march.held_out**2 * (before - start) + slab.held_out**2 * (now - before)
    return march._replace(runs=runs, held_out=float(np.sqrt(total / (now - start))))


def _doubled(run: dict[str, Any]) -> dict[str, Any]:
    longer = {name: np.concatenate([table, np.zeros_like(table)]) for name, table in run["train"].items()}
    beyond = np.full(len(run["edges"]) - 1, np.inf, run["edges"].dtype)
    return {**run, "train": longer, "edges": np.concatenate([run["edges"], beyond])}
