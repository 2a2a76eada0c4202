"""Marching in time: slabs one after the other, each solved by least squares from where the one before it ended.

A slab is as long as one set of features resolves: it is halved while the residual at its held-out points stays above a target
and halving helps, and the next one is longer where it was met with ease. All slabs share their features and the shapes of
their points, so that one compilation serves them all; `approximation.Slabs` carries the state over exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .approximation import Approximation, Slabs, Sum, Together, empty_run, slab_state, together
from .estimate import (
    Draw,
    Estimate,
    combined,
    correction_values,
    error_points,
    estimate,
    finite,
    residual_norm,
    root_mean_squares,
    shaken,
)
from .exact import Exact
from .features import (
    Family,
    Setup,
    candidates,
    feature_ansatz,
    least_squares,
    linearised,
    newton,
    relative_residual,
    row_scales,
    search,
)
from .history import Clock, History, Record
from .loss import Objective, Weights, draw, objective, residuals
from .timeline import Timeline, timeline
from .training import Outcome, reached

_TARGET = 1e-9  # held-out residual of a slab, where no tolerance asks for less
_SHORTEST = 5.0  # seconds left that a march is worth beginning with
_COST = 12.0  # seconds of marching and judging a slab, in units of one attempt at it
_ROOM = 64  # slabs that arrays have room for; twice as many, and a compilation more, where that is not enough
_CONVERGED = 1e-2  # held-out residual of a slab that stands for a solution
_RUNS = 5  # most changes of features: each costs a compilation
_LEAST = 2.0**-10  # shortest slab, relative to the whole time


class March(NamedTuple):
    """Slabs up to `edges[-1]`, and what is needed for the next one.

    Attributes:
        goal, first: the objective of a slab that is not the first, and of the first, which the initial conditions belong to.
        base: what the slabs are added to, and its state; None where they stand alone.
        runs: the state of the slabs.
        edges: of the slabs so far, with the start.
        families: of features, one for each run.
        held_out: the largest held-out residual of any slab.
    """

    goal: Objective
    first: Objective
    base: tuple[Approximation, Any] | None
    runs: tuple
    edges: tuple[float, ...]
    families: tuple[Family, ...]
    held_out: float

    @property
    def weights(self) -> Weights:
        return Weights(self.runs if self.base is None else (self.base[1], self.runs), {})

    @property
    def slabs(self) -> Slabs:
        whole = self.goal.approximation
        slabs = whole.second if isinstance(whole, Sum) and self.base is not None else whole
        assert isinstance(slabs, Slabs)
        return slabs

    @property
    def family(self) -> Family:
        return self.families[-1]


def begin(setup: Setup, time: Timeline, base: tuple[Approximation, Any] | None = None) -> March:
    """No slab yet."""
    later = setup.exact.started(time.axis, time.orders, time.initial)
    nothing = Slabs((), time.axis, time.carry)
    goals = (objective(setup.problem, _upon(base, nothing), exact) for exact in (later, setup.exact))
    goal, first = goals
    return March(goal, first, base, (), (time.start,), (), 0.0)


def _upon(base: tuple[Approximation, Any] | None, slabs: Slabs) -> Approximation:
    return slabs if base is None else Sum(base[0], slabs)


def with_run(setup: Setup, march: March, time: Timeline, family: Family, width: int) -> March:
    """The same with features of another family for the slabs to come."""
    first = len(march.edges) == 1
    exact = march.first.exact if first else march.goal.exact
    seed = (*setup.seed, 50, 0 if first else len(march.families))
    made, (state,) = feature_ansatz(setup.problem, exact, family, width, seed, setup.dtype)
    room = march.runs[0]["edges"].shape[0] - 1 if march.runs else _ROOM
    edges = [*march.edges, *[np.inf] * (room + 1 - len(march.edges))]
    run = empty_run(state, room, width, time.carry, edges)
    kept, runs, families = ((), (), ()) if first else (march.slabs.runs, march.runs, march.families)
    slabs = Slabs((*kept, made.parts[0]), time.axis, time.carry)
    goal, begun = (replace_approximation(g, _upon(march.base, slabs)) for g in (march.goal, march.first))
    return march._replace(goal=goal, first=begun, runs=(*runs, run), families=(*families, family))


def trimmed(march: March) -> March:
    """The march with no room for more slabs."""
    count = len(march.edges) - 1

    def cut(run: dict[str, Any]) -> dict[str, Any]:
        return {**run, "train": {n: table[:count] for n, table in run["train"].items()}, "edges": run["edges"][: count + 1]}

    return march._replace(runs=tuple(map(cut, march.runs)))


def must_change(march: March) -> bool:
    """Whether the next slab is the first that has no initial conditions to meet, so that its ansatz is another."""
    return len(march.edges) == 2 and march.goal.exact is not march.first.exact


def replace_approximation(goal: Objective, approximation: Any) -> Objective:
    """The same terms for another approximation."""
    return objective(goal.problem, approximation, goal.exact)


class Slab(NamedTuple):
    """One more slab, solved but not yet taken: its coefficients are [M + 1, F]."""

    march: March
    coefficients: Array
    family: Family
    held_out: float


class _Next(NamedTuple):
    """What solving the next slab needs: its objective, the march that knows its end, its features, where its points go."""

    goal: Objective
    march: March
    basis: Together
    state: tuple
    place: tuple[int, float, float]


def _next(march: March, time: Timeline, end: float) -> _Next:
    k, start = len(march.edges) - 1, march.edges[-1]
    goal = march.goal if k else march.first
    march = march._replace(runs=tuple({**run, "edges": run["edges"].at[k + 1].set(end)} for run in march.runs))
    basis = together(goal.problem.fields, (march.slabs.runs[-1],))
    return _Next(goal, march, basis, (slab_state(march.runs[-1], time.axis, k),), (time.axis, start, end))


def _with_coefficients(runs: tuple, k: int, coefficients: Array) -> tuple:
    """The runs with coefficients [P], field after field, added to slab k of the last one."""
    *others, run = runs
    table = run["train"]["coefficients"]
    table = table.at[k].add(coefficients.reshape(table.shape[2], -1).T)
    return (*others, {**run, "train": {**run["train"], "coefficients": table}})


def solve_slab(setup: Setup, march: March, time: Timeline, width: int, end: float) -> Slab:
    """Solve the next slab, to `end`, with the features of the last run."""
    goal, march, basis, state, place = _next(march, time, end)
    k = len(march.edges) - 1

    def add(weights: Weights, coefficients: Array, share: float) -> Weights:
        return weights._replace(state=_with_coefficients(weights.state, k, share * coefficients))

    batches = draw(goal, setup.counts(width), (*setup.seed, 2), setup.dtype, place)
    weights = newton(goal, march.weights, basis, state, batches, setup.steps, add)
    fresh = draw(goal, setup.counts(width), (*setup.seed, 7), setup.dtype, place)
    held_out = relative_residual(goal, weights, fresh, linearised(goal, weights, None, (), fresh))
    return _solved(march, weights.state, k, end, held_out)


def take(slab: Slab, time: Timeline) -> March:
    """The march with the slab taken: what it ends with is carried to the next."""
    march, k = slab.march, len(slab.march.edges) - 2
    dt = march.edges[-1] - march.edges[-2]
    slabs, runs = march.slabs, []
    for i, (ansatz, run) in enumerate(zip(slabs.runs, march.runs, strict=True)):
        new = slab.coefficients if i == len(slabs.runs) - 1 else None
        carried = _carried(run["train"]["carried"][k], new, ansatz.exact, time, slabs.fields, dt)
        run = _doubled(run) if k + 1 == run["train"]["carried"].shape[0] else run
        table = run["train"]["carried"].at[k + 1].set(carried)
        runs.append({**run, "train": {**run["train"], "carried": table}})
    return march._replace(runs=tuple(runs), held_out=max(march.held_out, slab.held_out))


def _carried(old: Array, new: Array | None, exact: Exact, time: Timeline, fields: tuple[str, ...], dt: float) -> Array:
    """∂ᵗⁱD at the end of a slab, [m, m, M + 1, F], from that at its start and the slab's coefficients [M + 1, F].

    With φ = τᵖ in the slab's own time τ, ∂ᵗⁱ(τᵖ h) = dt⁻ⁱ Σ_l C(i, l) p! / (p - i + l)! ∂^l h/∂τ^l at τ = 1.
    """
    m = time.carry
    later = jnp.asarray([[dt ** max(j - i, 0) / math.factorial(max(j - i, 0)) * (j >= i) for j in range(m)] for i in range(m)])
    table = jnp.einsum("ij,jlqf->ilqf", later.astype(old.dtype), old)
    if new is None:
        return table
    for f, name in enumerate(fields):
        power = {axis: 1 + velocity for axis, lower, _, velocity in exact.pattern(name) if lower}.get(time.axis, 0)
        for i in range(time.orders[name]):
            for order in range(max(0, i - power), i + 1):
                rate = math.comb(i, order) * math.perm(power, i - order) / dt**i
                table = table.at[i, order, :, f].add(rate * new[:, f])
    return table


def _doubled(run: dict[str, Any]) -> dict[str, Any]:
    longer = {name: jnp.concatenate([table, jnp.zeros_like(table)]) for name, table in run["train"].items()}
    beyond = jnp.full(len(run["edges"]) - 1, jnp.inf, run["edges"].dtype)
    return {**run, "train": longer, "edges": jnp.concatenate([run["edges"], beyond])}


# --- the error -------------------------------------------------------------------------------------------------------


def judge(setup: Setup, goal: Objective, weights: Weights, family: Family, width: int) -> Estimate:
    """The error estimate: over the whole domain at once, or slab by slab where the setup has edges."""
    if not setup.edges:
        return estimate(setup, goal, weights, family, width, setup.exact)
    time = timeline(setup.problem, setup.exact)
    assert time is not None
    points = error_points(setup)
    return combined(setup, goal, weights, [_error_march(setup, goal, weights, time, family, width, points, i) for i in (0, 1)])


def _error_march(
    setup: Setup, goal: Objective, weights: Weights, time: Timeline, family: Family, width: int, points: Array, index: int
) -> Draw:
    """The error equation J(u) e = -F(u) solved slab by slab, the error at the end of one carried to the next.

    So is what rounding of the weights causes, in a march of its own: early errors may grow.
    """
    setup = replace(setup, seed=(*setup.seed, 900 + index))
    base = shaken(weights, setup.seed).state
    march = shaking = with_run(setup, begin(setup, time, (goal.approximation, weights.state)), time, family, width)
    norms = np.zeros(3)
    for end in setup.edges[1:]:
        if must_change(march):
            march, shaking = (with_run(setup, each, time, family, width) for each in (march, shaking))
        slab, shaken_slab, left = _error_slab(setup, march, shaking, base, time, width, end)
        march, shaking, norms = take(slab, time), take(shaken_slab, time), np.hypot(norms, left)
    march = trimmed(march)
    rho, nl = norms[1:] / max(norms[0], 1e-300)
    values, rounding = (np.asarray(correction_values(each.slabs, each.runs, points)) for each in (march, shaking))
    return Draw(march.slabs, march.runs, values, root_mean_squares(rounding), finite(rho), finite(nl))


def _error_slab(
    setup: Setup, march: March, noise: March, base: Any, time: Timeline, width: int, end: float
) -> tuple[Slab, Slab, np.ndarray]:
    """One slab of the error and of rounding, and the residual before, linearised after, and in full after: [3].

    `base` is the state of the solution with every weight changed by a rounding error.
    """
    goal, march, basis, state, place = _next(march, time, end)
    noise, k, weights = _next(noise, time, end).march, len(march.edges) - 1, march.weights
    batches = draw(goal, setup.counts(width), (*setup.seed, 2), setup.dtype, place)
    fresh = draw(goal, setup.counts(width // 4), (*setup.seed, 3), setup.dtype, place)
    systems = linearised(goal, weights, basis, state, batches)
    scales = [row_scales(rows, term) for rows, term in zip(systems, goal.terms, strict=True)]
    assert march.base is not None
    nothing = tuple({**run, "train": jax.tree.map(jnp.zeros_like, run["train"])} for run in march.runs)
    shifted = residuals(goal, weights._replace(state=(base, nothing)), batches)
    present = residuals(goal, noise.weights, batches)
    parts = zip(systems, shifted, present, strict=True)
    targets = [jnp.stack([-rows.residual, after - before], axis=2) for rows, after, before in parts]
    coefficients, rounding = least_squares([rows.matrix for rows in systems], targets, scales).T
    checks = linearised(goal, weights, basis, state, fresh)
    alone = residuals(goal, weights._replace(state=(march.base[1], nothing)), fresh)
    before = np.hypot(residual_norm([rows.residual for rows in checks], scales), residual_norm(alone, scales))
    left = full = residual_norm([rows.residual + rows.matrix @ coefficients for rows in checks], scales)
    runs = _with_coefficients(march.runs, k, coefficients)
    if not setup.problem.is_linear:
        full = residual_norm(residuals(goal, weights._replace(state=(march.base[1], runs)), fresh), scales)
    both = [_solved(march, runs, k, end), _solved(noise, _with_coefficients(noise.runs, k, rounding), k, end)]
    return both[0], both[1], np.array([before, left, full])


def _solved(march: March, runs: tuple, k: int, end: float, held_out: float = 0.0) -> Slab:
    march = march._replace(runs=runs, edges=(*march.edges, end))
    return Slab(march, runs[-1]["train"]["coefficients"][k], march.families[-1], held_out)


# --- marching --------------------------------------------------------------------------------------------------------


class _Marcher:
    """The decisions of a march: how long the next slab is, and when its features change."""

    def __init__(
        self, setup: Setup, time: Timeline, width: int, target: float, clock: Clock, history: History, shown: Clock | None = None
    ):
        self.setup, self.time, self.width, self.target, self.clock, self.history = setup, time, width, target, clock, history
        self.shown = shown or clock
        self.quickest = np.inf
        self.march, self.whole = begin(setup, time), time.end - time.start

    def attempt(self, family: Family, size: float) -> Slab:
        start = self.march.edges[-1]
        began = self.shown.seconds
        end = self.time.end if start + size > self.time.end - 1e-9 * self.whole else start + size
        known = self.march.families and family == self.march.families[-1] and not must_change(self.march)
        begun = self.march if known else with_run(self.setup, self.march, self.time, family, self.width)
        slab = solve_slab(self.setup, begun, self.time, self.width, end)
        note = f"{start:.4g} to {end:.4g}, {family}"
        self.history.add(Record("slabs", len(self.history), self.shown.seconds, held_out=slab.held_out, note=note))
        self.quickest = min(self.quickest, self.shown.seconds - began)
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
        return best.family, max(size, self.affordable())

    def affordable(self) -> float:
        """The shortest slab that leaves time to march to the end and to judge what came out."""
        return _COST * self.quickest * self.whole / max(self.shown.left, 1e-9)

    def next(self, family: Family, size: float) -> tuple[Slab, float] | None:
        """One more slab that meets the target, or the best that can be had, and the size for the one after it."""
        left = self.time.end - self.march.edges[-1]
        size = left / math.ceil(left / size - 0.1)
        slab = self.attempt(family, size)
        while slab.held_out > self.target:
            if self.clock.left < 0 or (size < _LEAST * self.whole and slab.held_out > _CONVERGED):
                return None
            if slab.held_out < _CONVERGED and size / 2 < self.affordable():
                break
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


def march_through(
    setup: Setup, time: Timeline, widths: Sequence[int], tol: float | None, clock: Clock, history: History
) -> Outcome | None:
    """Slabs from start to end, wider while the estimated error falls; None where none was finished in time.

    Half of the time that is left goes to the march, the other half to judging it.
    """
    best = None
    for width in widths:
        if clock.left < _SHORTEST:
            break
        target = _TARGET if tol is None else max(min(0.01 * tol, 1e-3), _TARGET)
        began, half = clock.seconds, Clock(None if clock.limit is None else clock.left / 2)
        march = _Marcher(setup, time, width, target, half, history, clock).run()
        if march is None:
            break
        march = trimmed(march)
        divided, family = replace(setup, edges=march.edges), march.families[-1].scaled(1.1)
        judged = judge(divided, march.first, march.weights, family, int(1.5 * width))
        note = f"{len(march.edges) - 1} slabs of width {width}"
        history.add(Record("estimate", len(history), clock.seconds, held_out=march.held_out, estimate=judged.worst, note=note))
        latest = Outcome(march.first, march.weights, family, width, judged, march.edges)
        last, best = best, latest if best is None or latest.better_than(best) else best
        if reached(judged, tol) or judged.rounded or clock.left < 3 * (clock.seconds - began):
            break
        if last is not None and judged.worst > 0.5 * last.estimate.worst:
            break
    return best
