"""solve(operator problem): the straight line from samples to a judged operator."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from .. import sampling
from ..branches import First, Layout
from ..chain import ChainOperator
from ..deeponet import LocalDeepONet, OperatorNetwork
from ..devices import home, spread
from ..errors import AccuracyWarning, NetworkError
from ..estimate import Trust
from ..history import Clock, Record, Status
from ..journal import Journal
from ..progress import Progress
from .learner import Learner, Points, data_loss, law, layout_of, make_state, measure_units
from .linear import affordable, draw_many
from .plan import OperatorPlan, Stage, recommend_operator
from .problem import OperatorProblem
from .solution import OperatorSolution
from .training import Trained, make_points, refitted, train

_FIRST, _FIRST_VALUES = 32_768, 2**22  # samples that units and priors are taken from, and values of theirs at most
_ELSEWHERE = 256  # points besides the sensors at which they are known
_FIRST_RATE = 512  # of these samples for each second that there is
_JUDGED, _JUDGED_VALUES, _POINTS = 4096, 2**20, 128  # samples of the estimate, values of theirs at most, and points
_WORTH = 0.997  # what a later stage must improve the held-out error by, to be kept


def solve_operator(
    problem: OperatorProblem,
    seed: tuple[int, ...],
    *,
    tol: float | None,
    time_limit: float | None,
    network: Callable | None,
    method: Any,
    dtype: str,
    devices: Sequence[Any],
    progress: bool,
    callback: Callable[[Record], object] | None,
    journal: Journal,
) -> OperatorSolution:
    """Learn an operator, and measure how wrong it is; arguments as for `solve`, the journal as the checkpoint left it."""
    plan = recommend_operator(problem, tol, time_limit=time_limit, network=network, method=method, dtype=dtype)
    clock = Clock(plan.limit, journal)
    wide = plan.dtype == jnp.float64
    with (
        Progress(progress, plan.limit) as shown,
        jax.enable_x64(wide),
        jax.default_matmul_precision("highest"),
        spread(devices),
        journal,
    ):
        shown.say(f"{problem}\n\n{plan}\n")
        listeners = [shown, *([callback] if callback is not None else [])]
        journal.history.listener = lambda record: None if journal.replaying else [listen(record) for listen in listeners]
        trained, status = _learned(problem, plan, seed, clock, journal)
        trained = replace(trained, state=home(trained.state))
        status = Status.INTERRUPTED if journal.stopped else status
        solution = _judged(problem, plan, trained, status, seed, clock, journal)
        shown.say(str(solution))
    _warn(solution, plan)
    return solution


def _learned(
    problem: OperatorProblem, plan: OperatorPlan, seed: tuple[int, ...], clock: Clock, journal: Journal
) -> tuple[Trained, Status]:
    """Each stage in turn; one is kept where it makes the held-out error smaller."""
    layout, points = layout_of(problem, plan.dtype), make_points(problem, plan.dtype, seed)
    places = points.queries[:_ELSEWHERE]
    if problem.observes:
        places = jnp.concatenate([jnp.asarray(problem.sensors, plan.dtype), places])
    most = _FIRST if plan.limit is None else min(_FIRST, int(_FIRST_RATE * plan.limit) + 1)
    first = draw_many(problem, sampling.key((*seed, 52)), places, affordable(most, problem, _FIRST_VALUES))
    first = jax.tree.map(lambda a: a.astype(plan.dtype), first)
    units = measure_units(problem, first)
    best, status = None, Status.FINISHED
    for i, stage in enumerate(plan.stages):
        if best is not None and stage.steps and clock.left < 0.1 * (clock.limit or 0):
            return best, Status.TIME  # what takes no step is read off samples in seconds
        start = best if stage.method is not None and i else None
        if start is None:
            made = _make(stage, layout, problem, plan, (*seed, i))
            learner = Learner(problem, nnx.split(made)[0], units, plan.dtype)
            if not _begin(learner, made, first, points, best if stage.corrects else None):
                continue
            graph, state = make_state(made)
            learner = replace(learner, graph=graph)
        else:
            learner, state = start.learner, start.state
        until = clock.seconds + stage.share * clock.left - (2.0 if i == 0 else 0.0)
        trained, status = train(learner, state, stage, points, until, clock, journal, (*seed, i))
        if status is not Status.DIVERGED:
            trained = refitted(trained, stage, points, (*seed, i))
        journal.history.add(Record(stage.name, stage.steps, clock.seconds, held_out=trained.held_out, note="last layer"))
        if best is None or trained.held_out < _WORTH * best.held_out or stage.method is not None:
            best = trained
    assert best is not None  # a plan has a stage
    return best, status


def _make(stage: Stage, layout: Layout, problem: OperatorProblem, plan: OperatorPlan, seed: tuple[int, ...]) -> OperatorNetwork:
    rngs = nnx.Rngs(sampling.key((*seed, 53)))
    made = stage.make(layout, problem.domain.dimension, len(problem.fields), rngs=rngs, dtype=plan.dtype)
    if not isinstance(made, OperatorNetwork):
        raise NetworkError(f"network= made {type(made).__name__}, which is no pinn.OperatorNetwork: it has no encode and decode.")
    return made


def _begin(learner: Learner, made: OperatorNetwork, first: Any, points: Points, before: Trained | None) -> bool:
    """What a network takes from samples and equations before it is trained, and all of the network that it goes on from.

    False where it can begin nothing with such samples.
    """
    if before is not None and isinstance(made, ChainOperator | LocalDeepONet):
        made.base = before.learner.network(before.state)
    if isinstance(made, LocalDeepONet) and made.base is not None:
        return True
    units, sensors = learner.units, jnp.asarray(learner.problem.sensors, learner.dtype)
    seen, clean, elsewhere, count = learner.seen(made, first.noisy, sensors, first.sigma), None, None, len(sensors)
    if learner.problem.observes and learner.problem.learns_from == "clean":
        known = (first.clean[:, :, 0] - units.centre) / units.size
        clean, elsewhere = known[:, :count], (jax.vmap(learner.encoding)(points.queries[:_ELSEWHERE]), known[:, count:])
    return made.begin(First(seen, clean, elsewhere, law(learner, made, points)))


def _judged(
    problem: OperatorProblem,
    plan: OperatorPlan,
    trained: Trained,
    status: Status,
    seed: tuple[int, ...],
    clock: Clock,
    journal: Journal,
) -> OperatorSolution:
    errors, trust, reason = estimate(problem, trained, seed)
    worst, history = max(errors.values()), journal.history
    history.add(Record("estimate", len(history), clock.seconds, held_out=trained.held_out, estimate=worst))
    if plan.tol is not None and status not in (Status.DIVERGED, Status.INTERRUPTED):
        status = Status.REACHED if worst <= plan.tol else Status.TIME if status is Status.TIME else Status.MISSED
    return OperatorSolution(
        problem, trained.learner, trained.state, status, errors, trust, reason, plan, history, clock.seconds, seed
    )


def estimate(problem: OperatorProblem, trained: Trained, seed: tuple[int, ...]) -> tuple[dict[str, float], Trust, str]:
    """Relative L2 error by field on samples that training never saw; from what training may know, never from the reference."""
    learner, dtype = trained.learner, trained.learner.dtype
    count = affordable(_JUDGED, problem, _JUDGED_VALUES)
    inside = jnp.asarray(sampling.interior(problem.domain, _POINTS, (*seed, 72)), dtype)
    drawn = jax.tree.map(lambda a: a.astype(dtype), draw_many(problem, sampling.key((*seed, 70)), inside, count))
    if problem.learns_from in ("clean", "mean"):
        target = drawn.clean if problem.learns_from == "clean" else drawn.mean

        def errors(one: Any) -> Any:
            found = learner.outputs(trained.state, one.noisy, jnp.asarray(problem.sensors, dtype), one.sigma, inside)
            wanted = one.clean if problem.learns_from == "clean" else one.mean
            return jnp.sum((found - wanted) ** 2, axis=0)

        squares = np.asarray(jax.jit(lambda d: jax.lax.map(errors, d, batch_size=256))(drawn)).sum(axis=0)
        sizes = np.asarray(jnp.sum(target**2, axis=(0, 1)))
        found = np.sqrt(squares / np.where(sizes > 0, sizes, 1.0))
        told = "of clean functions" if problem.learns_from == "clean" else "of posterior means, whose own error is not counted"
        reason = f"measured on {count} fresh samples {told}; it holds within the distribution that was sampled"
        return dict(zip(problem.fields, found.tolist(), strict=True)), Trust.TRUSTED, reason
    keys = jax.random.split(sampling.key((*seed, 71)), count)
    losses = jax.jit(
        lambda d, k: jax.lax.map(lambda o: data_loss(learner, trained.state, o[0], o[1], inside)[0], (d, k), batch_size=256)
    )(drawn, keys)
    square = float(jnp.mean(losses)) * learner.units.output_size[0] ** 2
    if problem.learns_from == "second":
        noise = float(jnp.mean((drawn.noisy - drawn.second) ** 2)) / 2
        square, power = square - noise, float(jnp.mean(drawn.noisy * drawn.second))
        how = "the misfit to second observations less half of the squared difference of the two"
    else:
        power = float(jnp.mean(drawn.noisy**2) - jnp.mean(drawn.sigma**2))
        how = "Stein's unbiased estimate (SURE)"
    error = float(np.sqrt(max(square, 0.0) / max(power, 1e-300)))
    return {problem.fields[0]: error}, Trust.ROUGH, f"{how}, on {count} fresh samples, at the sensors"


def _warn(solution: OperatorSolution, plan: OperatorPlan) -> None:
    worst = max(solution.error_estimate.values())
    if plan.tol is not None and solution.status is not Status.REACHED:
        message = f"{solution.problem.name}: {solution.status}; error {worst:.1e} on fresh samples, asked for {plan.tol:.1e}."
        warnings.warn(message, AccuracyWarning, stacklevel=4)
    elif solution.status is Status.DIVERGED:
        warnings.warn(f"{solution.problem.name}: {solution.status}.", AccuracyWarning, stacklevel=4)
