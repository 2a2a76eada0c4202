"""Marching in time: slabs one after the other, each solved by least squares from where the one before it ended.

A slab is as long as one set of features resolves: it is halved while the residual at its held-out points stays above a target
and halving helps, and the next one is longer where it was met with ease. All slabs share their features and the shapes of
their points, so that one compilation serves them all; `approximation.Slabs` carries the state over exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from .algebra import Product
from .approximation import Slabs, slab_state, together
from .boundaries import TIME, Surface
from .check import faces
from .conditions import Periodic
from .exact import Exact
from .features import Family, Setup, feature_ansatz, linearised, newton, relative_residual, search
from .history import Clock, History, Record
from .loss import Objective, Weights, draw, objective
from .operators import arguments
from .problem import Problem

_ROOM = 64  # slabs that arrays have room for; twice as many, and a compilation more, where that is not enough
_CONVERGED = 1e-2  # held-out residual of a slab that stands for a solution
_LEAST = 2.0**-10  # shortest slab, relative to the whole time


@dataclass(frozen=True)
class Timeline:
    """Where a problem evolves: the coordinate, its ends, how many derivatives of each field carry over, what starts it."""

    axis: int
    start: float
    end: float
    orders: Mapping[str, int]
    initial: tuple[str, ...]

    @property
    def carry(self) -> int:
        return max(self.orders.values())


def timeline(problem: Problem, exact: Exact) -> Timeline | None:
    """The evolution that slabs can follow; None where they are not valid.

    They are where time stands beside space as a product, all that is given in time is given at its start, and nothing (unknown
    parameters, data, delays, periodic time, fields of fewer coordinates) ties different times together.
    """
    names = problem.domain.coordinates
    axis = names.index(TIME) if TIME in names else 0 if len(names) == 1 else None
    if axis is None or problem.parameters or len(problem.groups()) > 1 or exact.periodic[axis] or not _extruded(problem, axis):
        return None
    if any(names != depends for depends in problem.depends.values()):
        return None
    start, end = (float(ends[axis]) for ends in problem.domain.bounds)
    orders = {name: problem.orders[name][axis] for name in problem.fields}
    initial, given = [], 0
    for term in problem.terms:
        periodic = isinstance(term.condition, Periodic)
        if (periodic and term.condition.coordinate == names[axis]) or (len(term.expression.sites) > 1 and not periodic):
            return None
        if term.place is None:
            continue
        if not isinstance(term.place, Surface) or _asks_time(term.place, names[axis]):
            return None
        ends = {value for name, value in faces(term.place, whole=False) if name == names[axis]}
        if end in ends or (ends and len(term.place.patches) > 1):
            return None
        if ends:
            initial.append(term.name)
            given += len(term.expression.components)
    if given < sum(orders.values()) or not 1 <= max(orders.values()) <= 2:
        return None
    return Timeline(axis, start, end, orders, tuple(initial))


def _extruded(problem: Problem, axis: int) -> bool:
    domain, name = problem.domain, problem.domain.coordinates[axis]
    return domain.is_box or (isinstance(domain, Product) and (name,) in (domain.first.coordinates, domain.second.coordinates))


def _asks_time(place: Surface, name: str) -> bool:
    return any(patch.where is not None and name in arguments(patch.where) for patch in place.patches)


class March(NamedTuple):
    """Slabs up to `edges[-1]`, and what is needed for the next one."""

    goal: Objective  # of a slab that is not the first
    first: Objective  # of the first slab, which the initial conditions belong to
    weights: Weights
    edges: tuple[float, ...]
    families: tuple[Family, ...]  # by run
    held_out: float  # the largest of any slab

    @property
    def family(self) -> Family:
        return self.families[-1]


def begin(setup: Setup, time: Timeline) -> March:
    """No slab yet."""
    nothing = Slabs((), time.axis, time.carry)
    later = setup.exact.started(time.axis, time.orders, time.initial)
    goals = (objective(setup.problem, nothing, exact) for exact in (later, setup.exact))
    return March(*goals, Weights((), {}), (time.start,), (), 0.0)


def with_run(setup: Setup, march: March, time: Timeline, family: Family, width: int) -> March:
    """The same with features of another family for the slabs to come."""
    first = len(march.edges) == 1
    exact = march.first.exact if first else march.goal.exact
    made, (state,) = feature_ansatz(setup.problem, exact, family, width, (*setup.seed, 50, len(march.families)), setup.dtype)
    room, size, fields = _room(march), width + 1, len(setup.problem.fields)
    edges = np.full(room + 1, np.inf)
    edges[: len(march.edges)] = march.edges
    run = {
        "train": {
            "coefficients": jnp.zeros((room, size, fields), setup.dtype),
            "carried": jnp.zeros((room, time.carry, time.carry, size, fields), setup.dtype),
        },
        "frozen": state["frozen"],
        "edges": jnp.asarray(edges, setup.dtype),
        "box": state["box"],
    }
    kept = march.weights.state if not first else ()
    runs = (*(_slabs(march.goal).runs if not first else ()), made.parts[0])
    slabs = Slabs(runs, time.axis, time.carry)
    goal, begun = (replace_approximation(g, slabs) for g in (march.goal, march.first))
    families = (*march.families, family) if not first else (family,)
    return march._replace(goal=goal, first=begun, weights=Weights((*kept, run), {}), families=families)


def replace_approximation(goal: Objective, approximation: Any) -> Objective:
    return objective(goal.problem, approximation, goal.exact)


def _slabs(goal: Objective) -> Slabs:
    slabs = goal.approximation
    assert isinstance(slabs, Slabs)
    return slabs


def _room(march: March) -> int:
    return march.weights.state[0]["edges"].shape[0] - 1 if march.weights.state else _ROOM


class Slab(NamedTuple):
    """One more slab, solved but not yet taken."""

    march: March
    coefficients: Array  # [M + 1, F]
    family: Family
    held_out: float


def solve_slab(setup: Setup, march: March, time: Timeline, width: int, end: float) -> Slab:
    """Solve the next slab, to `end`, with the features of the last run."""
    k, start = len(march.edges) - 1, march.edges[-1]
    goal = march.goal if k else march.first
    slab = (time.axis, start, end)
    weights = _with_edge(march.weights, k, end)
    ansatz, run = _slabs(goal).runs[-1], weights.state[-1]
    basis, state = together(goal.problem.fields, (ansatz,)), (slab_state(run, time.axis, k),)
    fields = len(goal.problem.fields)

    def add(weights: Weights, coefficients: Array, share: float) -> Weights:
        *others, run = weights.state
        table = run["train"]["coefficients"].at[k].add(share * coefficients.reshape(fields, -1).T)
        return weights._replace(state=(*others, {**run, "train": {**run["train"], "coefficients": table}}))

    batches = draw(goal, setup.counts(width), (*setup.seed, 2), setup.dtype, slab)
    weights = newton(goal, weights, basis, state, batches, setup.steps, add)
    fresh = draw(goal, setup.counts(width), (*setup.seed, 7), setup.dtype, slab)
    held_out = relative_residual(goal, weights, fresh, linearised(goal, weights, None, (), fresh))
    coefficients = weights.state[-1]["train"]["coefficients"][k]
    return Slab(march._replace(weights=weights, edges=(*march.edges, end)), coefficients, march.family, held_out)


def take(slab: Slab, time: Timeline) -> March:
    """The march with the slab taken: what it ends with is carried to the next."""
    march, k = slab.march, len(slab.march.edges) - 2
    dt = march.edges[-1] - march.edges[-2]
    slabs = _slabs(march.goal)
    state = []
    for i, (ansatz, run) in enumerate(zip(slabs.runs, march.weights.state, strict=True)):
        new = slab.coefficients if i == len(slabs.runs) - 1 else None
        carried = _carried(run["train"]["carried"][k], new, ansatz.exact, time, tuple(slabs.fields), dt)
        table = run["train"]["carried"]
        if k + 1 == table.shape[0]:
            run, table = _doubled(run), jnp.concatenate([table, jnp.zeros_like(table)])
        state.append({**run, "train": {**run["train"], "carried": table.at[k + 1].set(carried)}})
    return march._replace(weights=Weights(tuple(state), {}), held_out=max(march.held_out, slab.held_out))


def _carried(old: Array, new: Array | None, exact: Exact, time: Timeline, fields: tuple[str, ...], dt: float) -> Array:
    """∂ᵗⁱD at the end of a slab, [m, m, M + 1, F], from that at its start and the slab's coefficients [M + 1, F].

    With φ = τᵖ in the slab's own time τ, ∂ᵗⁱ(τᵖ h) = dt⁻ⁱ Σ_l C(i, l) p! / (p - i + l)! ∂^l h/∂τ^l at τ = 1.
    """
    table = [[sum(old[j, l] * (dt ** (j - i) / math.factorial(j - i)) for j in range(i, time.carry)) for l in range(time.carry)]
             for i in range(time.carry)]  # fmt: skip
    for f, name in enumerate(fields):
        power = dict((axis, 1 + velocity) for axis, lower, _, velocity in exact.pattern(name) if lower).get(time.axis, 0)
        for i in range(time.orders[name] if new is not None else 0):
            for l in range(i + 1):
                if power >= i - l:
                    rate = math.comb(i, l) * math.perm(power, i - l) / dt**i
                    table[i][l] = table[i][l].at[:, f].add(rate * new[:, f])
    return jnp.stack([jnp.stack(row) for row in table])


def _with_edge(weights: Weights, k: int, end: float) -> Weights:
    return weights._replace(state=tuple({**run, "edges": run["edges"].at[k + 1].set(end)} for run in weights.state))


def _doubled(run: dict[str, Any]) -> dict[str, Any]:
    table, edges = run["train"]["coefficients"], run["edges"]
    longer = jnp.concatenate([table, jnp.zeros_like(table)])
    beyond = jnp.full(len(edges) - 1, jnp.inf, edges.dtype)
    return {**run, "train": {**run["train"], "coefficients": longer}, "edges": jnp.concatenate([edges, beyond])}


def march_through(
    setup: Setup, time: Timeline, width: int, target: float, clock: Clock, history: History, family: Family | None = None,
    share: float = 1 / 8,
) -> March | None:  # fmt: skip
    """Slabs from start to end, with held-out residuals of at most `target` where that can be had; None where time ran out."""
    whole = time.end - time.start
    empty, step, failed = begin(setup, time), share * whole, np.inf

    def attempt(march: March, family: Family, end: float) -> Slab:
        begun = march if march.families and family == march.family else with_run(setup, march, time, family, width)
        slab = solve_slab(setup, begun, time, width, end)
        history.add(Record("slabs", len(history), clock.seconds, held_out=slab.held_out, note=f"to {end:.4g}, {family}"))
        return slab

    def look(step: float) -> Slab:
        return search(
            setup.problem.domain.dimension,
            lambda family: attempt(empty, family, time.start + step),
            enough=lambda: clock.left < 0.7 * (clock.limit or 0),
            good=0.1 * target,
            most=24,
        )

    while family is None:
        found = look(step)
        if found.held_out < _CONVERGED or step <= _LEAST * whole:
            family = found.family
        step = step if found.held_out < _CONVERGED else step / 4
    march = empty
    while march.edges[-1] < time.end - 1e-9 * whole:
        left = time.end - march.edges[-1]
        size = left / math.ceil(left / step - 0.1)
        end = time.end if size > 0.999 * left else march.edges[-1] + size
        slab = attempt(march, family, end)
        if (slab.held_out > _CONVERGED and size <= _LEAST * whole) or clock.left < 0:
            return None
        if slab.held_out > _CONVERGED or (slab.held_out > target and size > _LEAST * whole and slab.held_out < 0.3 * failed):
            failed, step = slab.held_out, size / 2
            continue
        march, failed = take(slab, time), np.inf
        step = 1.6 * size if slab.held_out < 0.03 * target else size
    return march
