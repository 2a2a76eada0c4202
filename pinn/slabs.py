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
from .features import Family, Setup, candidates, feature_ansatz, linearised, newton, relative_residual, search
from .history import Clock, History, Record
from .loss import Objective, Weights, draw, objective
from .operators import arguments
from .problem import Problem

_ROOM = 64  # slabs that arrays have room for; twice as many, and a compilation more, where that is not enough
_CONVERGED = 1e-2  # held-out residual of a slab that stands for a solution
_RUNS = 5  # most changes of features: each costs a compilation
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


class _Marcher:
    """The decisions of a march: how long the next slab is, and when its features change."""

    def __init__(self, setup: Setup, time: Timeline, width: int, target: float, clock: Clock, history: History):
        self.setup, self.time, self.width, self.target, self.clock, self.history = setup, time, width, target, clock, history
        self.march, self.whole = begin(setup, time), time.end - time.start

    def attempt(self, family: Family, size: float) -> Slab:
        start = self.march.edges[-1]
        end = self.time.end if start + size > self.time.end - 1e-9 * self.whole else start + size
        known = self.march.families and family == self.march.family
        begun = self.march if known else with_run(self.setup, self.march, self.time, family, self.width)
        slab = solve_slab(self.setup, begun, self.time, self.width, end)
        note = f"{start:.4g} to {end:.4g}, {family}"
        self.history.add(Record("slabs", len(self.history), self.clock.seconds, held_out=slab.held_out, note=note))
        return slab

    def look(self, starts: Sequence[Family], size: float, most: int) -> Slab:
        """The best features for a slab of this size."""
        half = 0.5 * (self.clock.limit or 0)
        return search(
            starts,
            lambda family: self.attempt(family, size),
            enough=lambda: self.clock.left < half,
            good=0.3 * self.target,
            most=most,
        )

    def first(self) -> tuple[Family, float]:
        """Features and size to begin with: shorter slabs while they help."""
        size = self.whole / 8
        best = self.look(candidates(self.setup.problem.domain.dimension), size, 24)
        while best.held_out > self.target and size > _LEAST * self.whole:
            scaled = best.family.scaled(0.25, self.time.axis)
            starts = [scaled, scaled.scaled(2.0, self.time.axis)]
            starts = candidates(len(scaled.bandwidth)) if best.held_out > _CONVERGED else starts
            new = self.look(starts, size / 4, 16)
            if new.held_out > 0.5 * best.held_out and best.held_out < _CONVERGED:
                break
            best, size = new, size / 4
        return best.family, size

    def next(self, family: Family, size: float) -> tuple[Slab, float] | None:
        """One more slab that meets the target, or the best that can be had, and the size for the one after it."""
        left = self.time.end - self.march.edges[-1]
        size = left / math.ceil(left / size - 0.1)
        slab = self.attempt(family, size)
        while slab.held_out > self.target:
            if self.clock.left < 0 or (size < _LEAST * self.whole and slab.held_out > _CONVERGED):
                return None
            shorter = self.attempt(family, size / 2)
            if shorter.held_out < 0.3 * slab.held_out or slab.held_out > _CONVERGED:
                slab, size = shorter, size / 2
                continue
            if len(self.march.families) < _RUNS:
                near = [family.scaled(f, i) for i in range(len(family.bandwidth)) for f in (0.7, 1.4)]
                other = self.look(near, size, 10)
                slab = other if other.held_out < 0.5 * slab.held_out else slab
            self.target = max(self.target, 1.5 * slab.held_out)
        return slab, 1.6 * size if slab.held_out < 0.03 * self.target else size

    def run(self) -> March | None:
        family, size = self.first()
        while self.march.edges[-1] < self.time.end:
            found = self.next(family, size)
            if found is None:
                return None
            slab, size = found
            self.march, family = take(slab, self.time), slab.family
        return self.march


def march_through(setup: Setup, time: Timeline, width: int, target: float, clock: Clock, history: History) -> March | None:
    """Slabs from start to end, with held-out residuals of at most `target` where that can be had; None where time ran out."""
    return _Marcher(setup, time, width, target, clock, history).run()
