"""solve(problem): the straight line from a problem to a judged solution, and nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, overload

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from . import sampling
from .ansatz import choose_engine, make_network, wrap
from .approximation import together
from .defaults import Plan, recommend, refuse_for_operators
from .derivatives import Engine
from .devices import chosen, home, spread, warn_if_emulated
from .errors import AccuracyWarning, ProblemError, WellPosednessWarning
from .estimate import NO_MEMORY, Trust, choose_family, unjudged
from .families import UNRESOLVED, candidates
from .faults import fault
from .features import Setup, coarse_sizes, field_sizes
from .history import Clock, History, Record, Status, Watch
from .interrupts import Interrupts
from .journal import NOTHING, Journal
from .levels import step_through
from .loss import Objective, Weights, draw, field_values, objective
from .marching import march_through
from .memory import forget_if_many, if_it_fits, told
from .mixed import mixed
from .networks import Encoding
from .operator_learning import OperatorProblem, OperatorSolution, recommend_operator, solve_operator
from .phases import Phase, run_phases
from .pinning import pinned
from .problem import Problem
from .progress import Progress, log
from .resume import resume, resume_operator
from .smallest import held
from .solution import Solution
from .training import Explored, Outcome, better_of, explore, reached, widen
from .uncertainty import assess
from .weighing import observes
from .wellposed import Stability

_LESS = 'Give fewer points=, a smaller network=, dtype="float32", or a device that has more.'
_SHORTEST = 10.0  # seconds left that a network is worth beginning with, or steps in time are followed by more
_PART = 0.25  # of the time, that a network is worth beginning with
_JUDGES = 450  # features for the error of a network
_GOOD_ENOUGH = 1e-4  # an estimate that least squares alone is content with, where no tolerance is given
_BEYOND = 1e-6  # and one, whether it means something or not, that no full network comes to in the time that there is
_RESOLVED = 1e-6  # held-out residual of the first features of a linear problem, from which more of them may resolve it
_EXACT = 1e-8  # an estimate that steps in time are content with
_EXCELLENT = 1e-10  # and one that slabs are not tried after
_BEGUN = 1e-2  # held-out residual of the first features, above which more of them are not tried before slabs: Newton's steps cost
_SHOWN = 0.5  # error of steps in time, below which what serves where they do not is not tried
_BEFORE_SLABS = 0.5  # of the time left, that more features over the whole interval may take where slabs may follow


@overload
def solve(
    problem: OperatorProblem,
    *,
    tol: float | None = ...,
    time_limit: float | None = ...,
    network: Callable | None = ...,
    method: Phase | Sequence[Phase] | None = ...,
    points: int | Mapping[str, int] | None = ...,
    exact_conditions: bool | None = ...,
    engine: Engine | None = ...,
    start: Solution | None = ...,
    key: int | Array = ...,
    dtype: str = ...,
    devices: int | Sequence[Any] | None = ...,
    checkpoint: str | Path | None = ...,
    callback: Callable[[Record], object] | None = ...,
    progress: bool = ...,
) -> OperatorSolution: ...
@overload
def solve(
    problem: Problem,
    *,
    tol: float | None = ...,
    time_limit: float | None = ...,
    network: Callable | None = ...,
    method: Phase | Sequence[Phase] | None = ...,
    points: int | Mapping[str, int] | None = ...,
    exact_conditions: bool | None = ...,
    engine: Engine | None = ...,
    start: Solution | None = ...,
    key: int | Array = ...,
    dtype: str = ...,
    devices: int | Sequence[Any] | None = ...,
    checkpoint: str | Path | None = ...,
    callback: Callable[[Record], object] | None = ...,
    progress: bool = ...,
) -> Solution: ...
def solve(
    problem: Problem | OperatorProblem,
    *,
    tol: float | None = None,
    time_limit: float | None = None,
    network: Callable | None = None,
    method: Phase | Sequence[Phase] | None = None,
    points: int | Mapping[str, int] | None = None,
    exact_conditions: bool | None = None,
    engine: Engine | None = None,
    start: Solution | None = None,
    key: int | Array = 0,
    dtype: str = "float64",
    devices: int | Sequence[Any] | None = None,
    checkpoint: str | Path | None = None,
    callback: Callable[[Record], object] | None = None,
    progress: bool = True,
) -> Solution | OperatorSolution:
    """Solve a problem, and estimate how wrong the answer is.

    Args:
        problem: equations, domain and conditions; or an `OperatorProblem`.
        tol: target for the estimated relative L2 error of the worst field; the solve stops at half of it.
        time_limit: wall seconds for the whole call. With neither, at most 120 s, until the estimate stops improving.
        network: makes a network, `(inputs, outputs, *, rngs, dtype) -> nnx.Module`; `pinn.MLP`, a `functools.partial` of it,
            or your own.
        method: `pinn.Phase(optax.adam(1e-3), steps=5000)` or a list of phases, in place of the default procedure.
        points: collocation points for those phases: a number, or by term.
        exact_conditions: build conditions into the ansatz where that is possible (None), always False, or as None (True).
        engine: how derivatives are taken: `pinn.taylor`, `pinn.nested_jvp`, or the reference `pinn.nested_grad`.
        start: an earlier solution, of the same fields and coordinates, to begin from: a sweep of a parameter, a branch that is
            followed. Newton's method begins at its fields, the search for features with its own.
        key: seed or JAX key; the same key gives the same solution.
        dtype: "float64", "float32", or "mixed": numbers and residuals in float64, matrices factored in float32 and what they
            solve for refined, for a device on which float64 is slow.
        devices: that points are divided by: all there are (None), so many, or a list; parameters are on each of them.
        checkpoint: a file in which to keep what was done so far, at least every minute; the same call goes on from it, to the
            same bits on the same device, and with a smaller `tol` or more time from where that makes a difference.
        callback: called with each new `Record` of the history: what was tried, the loss by term, residual, estimate.
        progress: show the plan and what happens.

    Returns:
        A `Solution`, always: a tolerance that was not reached is a status and a warning. Ctrl-C or SIGTERM ends the solve with
        the best solution so far, and the status INTERRUPTED; a second one is obeyed at once. For an `OperatorProblem`, an
        `OperatorSolution`, whose tolerance is meant for the relative L2 error on fresh samples.

    Raises:
        ProblemError, MethodError, NetworkError: an argument that cannot be used, before anything is trained.
        CheckpointError: the checkpoint cannot be read or written, or is one of another problem or plan.
        ResidualError: a function of the problem raises when it is traced.
        ResourceError: memory ran out, even in smaller pieces; what a checkpoint has is kept.

    Warns:
        AccuracyWarning: the tolerance was missed, or the error could not be estimated.
        WellPosednessWarning: the equations and conditions leave something free, or parameters undetermined.
        CheckpointWarning: the latest checkpoint is damaged and the one before it is used, or one could not be written.
        ProblemWarning: float64 on a TPU, which emulates it.

    Example:
        >>> from pinn import Initial, Interval, d
        >>> decay = Problem(fields="y", domain=Interval(t=(0, 1)), residual=lambda y, t: d(y, t) + y,
        ...                 conditions=[Initial(y=1.0)])
        >>> solution = solve(decay, progress=False)
        >>> bool(abs(solution(t=1.0) - np.exp(-1)) < 1e-12)
        True
    """
    watch, used = Watch(), chosen(devices)
    warn_if_emulated(used, dtype)
    forget_if_many()
    if isinstance(problem, OperatorProblem):
        given = {"points": points, "exact_conditions": exact_conditions, "engine": engine, "start": start}
        refuse_for_operators(**given)
        given = {"time_limit": time_limit, "network": network, "method": method, "dtype": dtype}
        drawn = recommend_operator(problem, tol, **given)
        with Interrupts() as interrupts:
            journal = resume_operator(checkpoint, problem, drawn, seed_of(key), interrupts)
            shown = {"progress": progress, "callback": callback, "journal": journal}
            return solve_operator(problem, seed_of(key), tol=tol, devices=used, **given, **shown)
    if not isinstance(problem, Problem):
        raise ProblemError(f"solve() needs a pinn.Problem or a pinn.OperatorProblem; got {problem!r:.80}.")
    problem, posed = pinned(problem)
    plan = recommend(
        problem,
        tol,
        time_limit=time_limit,
        network=network,
        method=method,
        points=points,
        exact_conditions=exact_conditions,
        engine=engine,
        start=start,
        dtype=dtype,
    )
    setup = Setup(problem, plan.exact, seed_of(key), plan.dtype, start=plan.start)
    with Interrupts() as interrupts:
        journal = resume(checkpoint, setup, plan, interrupts)
        if not journal.replaying:
            journal.set(watch.read())  # planning counts
        with told(_LESS), spread(used), mixed(plan.mixed):
            solution = _solve(replace(setup, journal=journal), plan, posed, journal, progress, callback)
    solution = _at_home(solution) if len(used) > 1 else solution
    _warn(solution, plan)
    return solution


def _solve(setup: Setup, plan: Plan, posed: Stability, journal: Journal, progress: bool, callback: Callable | None) -> Solution:
    clock, history = Clock(plan.limit, journal), journal.history
    wide = plan.dtype == jnp.float64  # in float32, NumPy constants of user functions must not promote
    with Progress(progress, plan.limit) as shown, jax.enable_x64(wide), jax.default_matmul_precision("highest"), journal:
        shown.say(f"{setup.problem}\n\n{plan}\n")
        if journal.replaying:
            shown.say(f"going on from the checkpoint, {journal.seconds:.1f} s of work\n")
        listeners = [shown, log, *([callback] if callback is not None else [])]
        history.listener = lambda record: None if journal.replaying else [listen(record) for listen in listeners]
        outcome, status = _solved(setup, plan, clock, history)
        status = Status.INTERRUPTED if journal.stopped else status
        undefined = _undefined(setup, outcome)
        if undefined:
            status = Status.DIVERGED
            outcome = replace(outcome, estimate=replace(outcome.estimate, trust=Trust.UNKNOWN, reason=undefined))
        if posed.ill_posed:
            reason = f"the data do not fix one solution: left free is {posed.description}"
            outcome = replace(outcome, estimate=replace(outcome.estimate, trust=Trust.UNKNOWN, reason=reason))
        solution = _solution(setup, plan, held(setup, outcome) if plan.time is None else outcome, status, clock, history)
        shown.say(str(solution))
    return solution


def seed_of(key: int | Array) -> tuple[int, ...]:
    """Whole numbers from a seed or a JAX key."""
    if isinstance(key, bool) or not isinstance(key, int | np.integer | Array):
        raise ProblemError(f"key= needs a whole number or a jax.random.key; got {key!r}.")
    if isinstance(key, Array):
        data = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
        if not jnp.issubdtype(data.dtype, jnp.integer):
            raise ProblemError(f"key= needs a whole number or a jax.random.key; got {key!r}.")
        return tuple(int(n) for n in np.asarray(data).ravel())
    if key < 0:
        raise ProblemError(f"key= needs a whole number of at least 0; got {key}.")
    return (int(key),)


def _solved(setup: Setup, plan: Plan, clock: Clock, history: History) -> tuple[Outcome, Status]:
    first = None
    if plan.widths:
        first, status = _without_gradients(setup, plan, clock, history)
        done = _content(first, plan, _GOOD_ENOUGH) or first.estimate.rounded or setup.problem.is_linear
        done = done or (plan.tol is None and first.estimate.worst < _BEYOND)
        done = done or (first.level is not None and _near(setup, plan, first))
        done = done or any(map(observes, setup.problem.terms))  # a network's loss would not weigh readings by their noise
        if done or status is Status.MEMORY or clock.left < max(_SHORTEST, _PART * (clock.limit or 0)):
            return first, status
    goal, weights = _network(setup, plan, first)
    weights, status = run_phases(setup, goal, weights, plan.phases, dict(plan.points), clock, history)
    if status is Status.DIVERGED and first is not None:
        return first, status
    if status is Status.FINISHED and first is not None:
        status = Status.SETTLED  # no method was given: its steps end where they no longer help
    trained = if_it_fits(partial(_judged, setup, goal, weights))
    if trained is None:
        status, family = Status.MEMORY, candidates(setup.problem)[0]
        trained = Outcome(goal, weights, family, _JUDGES, unjudged(goal, weights, NO_MEMORY))
    history.add(Record("estimate", len(history), clock.seconds, estimate=trained.estimate.worst))
    return (trained if first is None else better_of(trained, first)), status


def _judged(setup: Setup, goal: Objective, weights: Weights) -> Outcome:
    family = choose_family(setup, goal, weights, setup.exact)
    return Outcome(goal, weights, family, _JUDGES, assess(setup, goal, weights, family, _JUDGES, setup.exact))


def _without_gradients(setup: Setup, plan: Plan, clock: Clock, history: History) -> tuple[Outcome, Status]:
    """Least squares: steps in time where the problem evolves, first if it is nonlinear; features of the whole domain."""
    if not plan.steps or plan.time is None:
        return _over_time(setup, plan, clock, history)
    explored, stepped, ended = None, None, Status.SETTLED
    if setup.problem.is_linear:
        explored = _explored(setup, plan, clock, history)
    if explored is None or explored.best.held_out > _RESOLVED:
        stepped, ended = step_through(setup, plan.time, plan.tol, clock, history)
        unseen = explored is not None and explored.best.held_out > UNRESOLVED
        if stepped is not None and (clock.left < _SHORTEST or _near(setup, plan, stepped, unseen)):
            return stepped, ended
    found, status = _over_time(setup, plan, clock, history, explored)
    return (found, status) if stepped is None or better_of(found, stepped) is found else (stepped, ended)


def _near(setup: Setup, plan: Plan, stepped: Outcome, unseen: bool = False) -> bool:
    """Whether steps in time came so near to the solution of a problem that features of the whole are not tried.

    Those of a linear one may come nearer, unless a few have `unseen` what there is to see.
    """
    if plan.tol is None and (unseen or not setup.problem.is_linear):
        return stepped.estimate.worst < _SHOWN
    return _content(stepped, plan, _EXACT) or stepped.estimate.rounded


def _explored(setup: Setup, plan: Plan, clock: Clock, history: History) -> Explored:
    width, *_ = _widths(setup, plan)
    return explore(setup, width, plan.tol, clock, history, 0.25 if plan.slabs else 0.5)


def _widths(setup: Setup, plan: Plan) -> tuple[int, ...]:
    return tuple(plan.widths if setup.start is None else setup.start.widths(plan.widths))


def _over_time(
    setup: Setup, plan: Plan, clock: Clock, history: History, explored: Explored | None = None
) -> tuple[Outcome, Status]:
    """Features over the whole domain and in slabs of time: slabs first where the whole shows little of a solution."""
    _, *more = _widths(setup, plan)
    explored = explored or _explored(setup, plan, clock, history)
    shown = UNRESOLVED if setup.problem.is_linear else _BEGUN
    early, ended = plan.time is not None and explored.best.held_out > shown, Status.SETTLED
    if plan.time is not None and early:
        marched, ended = march_through(setup, plan.time, plan.slabs, plan.tol, clock, history)
        if marched is not None:
            return marched, ended
    later = None if early else plan.time
    share = 1.0 if later is None else _BEFORE_SLABS
    first, status = widen(setup, explored, more, plan.tol, clock, history, share)
    if later is not None and not _content(first, plan, _EXCELLENT):
        marched, ended = march_through(setup, later, plan.slabs, plan.tol, clock, history)
        if marched is not None and better_of(marched, first) is marched:
            return marched, ended
    return first, ended if ended is Status.MEMORY else status


def _undefined(setup: Setup, outcome: Outcome) -> str | None:
    """Which term is infinite or undefined where, for a solution without a finite estimate."""
    if outcome.estimate.trust is not Trust.UNKNOWN or np.isfinite(outcome.estimate.worst):
        return None
    counts = {"equation": 256, "condition": 256 if setup.problem.domain.dimension > 1 else 1}
    return fault(outcome.goal, outcome.weights, draw(outcome.goal, counts, (*setup.seed, 20), setup.dtype))


def _content(outcome: Outcome, plan: Plan, enough: float) -> bool:
    return reached(outcome.estimate, 2 * enough if plan.tol is None else plan.tol)


def _network(setup: Setup, plan: Plan, outcome: Outcome | None) -> tuple[Objective, Weights]:
    """A fresh network around the conditions met exactly, its fields scaled to the size of the least-squares solution."""
    problem, dtype = setup.problem, setup.dtype
    if outcome is not None:
        points = jnp.asarray(sampling.measure_points(problem.domain, 2000), dtype)
        sizes = field_sizes(problem, field_values(outcome.goal, outcome.weights, points))
    else:
        sizes = coarse_sizes(setup)
    parts, states = [], []
    for i, (axes, fields, lower, upper, *_) in enumerate(problem.groups()):
        encoding = Encoding(lower[list(axes)], upper[list(axes)], tuple(plan.exact.periodic[a] for a in axes))
        rngs = nnx.Rngs(sampling.key((*setup.seed, 40, i)))
        made = make_network(plan.network, encoding.size, len(fields), rngs, dtype)
        scale = jnp.asarray([sizes[name] for name in fields], dtype)
        engine, box = plan.engine or choose_engine(made), np.stack([lower, upper - lower])
        part, state = wrap(made, fields, axes, encoding, plan.exact, scale, engine, box=box)
        parts.append(part)
        states.append(state)
    approximation = together(problem.unknowns, tuple(parts))
    known = None if setup.start is None else setup.start.state(approximation, tuple(states))
    weights = Weights(tuple(states) if known is None else known, setup.unknown())
    return objective(problem, approximation, plan.exact), weights


def _solution(setup: Setup, plan: Plan, outcome: Outcome, status: Status, clock: Clock, history: History) -> Solution:
    judged = outcome.estimate
    if plan.tol is not None and status not in (Status.DIVERGED, Status.INTERRUPTED, Status.MEMORY):
        status = Status.REACHED if reached(judged, plan.tol) else Status.TIME if status is Status.TIME else Status.MISSED
    return Solution(
        problem=setup.problem,
        goal=outcome.goal,
        weights=outcome.weights,
        setup=replace(setup, edges=outcome.edges, drawn=outcome.drawn, level=outcome.level, journal=NOTHING, start=None),
        status=status,
        error_estimate=judged.errors,
        trust=judged.trust,
        trust_reason=judged.reason,
        plan=plan,
        history=history,
        seconds=clock.seconds,
        family=outcome.family,
        width=outcome.width,
        corrected=judged,
        intervals=judged.intervals,
    )


def _at_home(solution: Solution) -> Solution:
    """The solution with its weights on one device."""
    corrected = solution.corrected
    corrected = None if corrected is None else replace(corrected, weights=home(corrected.weights))
    return replace(solution, weights=home(solution.weights), corrected=corrected)


def _warn(solution: Solution, plan: Plan) -> None:
    worst = max(solution.error_estimate.values())
    name = solution.problem.name
    for sentence in solution.corrected.undetermined if solution.corrected is not None else ():
        warnings.warn(sentence, WellPosednessWarning, stacklevel=3)
    if plan.tol is not None and solution.status is not Status.REACHED:
        warnings.warn(
            f"{name}: {solution.status}; estimated error {worst:.1e}, asked for {plan.tol:.1e}.", AccuracyWarning, stacklevel=3
        )
    elif solution.trust is Trust.UNKNOWN or worst > 0.1 or solution.status is Status.DIVERGED:
        warnings.warn(
            f"{name}: {solution.status}; estimated error {worst:.1e}, {solution.trust}: {solution.trust_reason}.",
            AccuracyWarning,
            stacklevel=3,
        )
