"""What `solve` does with an operator problem when it is told nothing: every default in one place, with its reason."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from ..branches import DenseBranch
from ..chain import ChainOperator
from ..choices import DEFAULT_LIMIT, Choice, check_positive, precision, table
from ..deeponet import DeepONet, Harmonics, LocalDeepONet
from ..errors import MethodError, NetworkError, ProblemError
from ..phases import Phase
from ..ridge import RidgeBranch
from .learner import layout_of
from .problem import LEARNED_FROM, OperatorProblem

_MOST_FUNCTIONS = 385  # in the trunk of a ridge
_VALUES, _FAST_VALUES = 2**15, 150_000  # at sensors, that the samples of one step have at most: on a CPU, and elsewhere
_BATCH, _FAST_BATCH = 64, 512  # samples of one step at most, likewise: a GPU takes 512 in the time of 64
_MANY = 256  # sensors from which on more steps are needed
_STEPS, _MANY_STEPS, _TIMED_STEPS = 6000, 20_000, 200_000  # at most; the last where many sensors have a time limit
_RIDGE_STEPS = 600  # at most, where no clean functions are there for the priors to be fitted to
_CORRECTION, _TIMED_CORRECTION = 4000, 40_000  # steps at most, without and with a time limit


@dataclass(frozen=True)
class Stage:
    """A network and how it is trained: Adam with a cosine learning rate, averaged weights, then least squares.

    Attributes:
        name: how the history calls it.
        make: the network, `(layout, inputs, outputs, *, rngs, dtype)`.
        steps: at most how many.
        rate: the largest learning rate.
        batch: fresh samples in each step.
        queries, collocation: random points in each step, of outputs and of each equation.
        share: of the time left that it may use.
        method: an optax transformation in place of Adam and its schedule.
        corrects: whether it goes on from the network before it, as its `base`.
    """

    name: str
    make: Callable[..., nnx.Module]
    steps: int
    rate: float
    batch: int = _BATCH
    queries: int = 64
    collocation: int = 32
    share: float = 0.85
    method: optax.GradientTransformation | None = None
    corrects: bool = False


@dataclass(frozen=True)
class OperatorPlan:
    """Everything that `solve` decided before it began. Printing it shows each choice with its reason."""

    choices: tuple[Choice, ...]
    stages: tuple[Stage, ...]
    tol: float | None
    limit: float | None
    dtype: Any

    def __str__(self) -> str:
        return table(self.choices)


def recommend_operator(
    problem: OperatorProblem,
    tol: float | None = None,
    *,
    time_limit: float | None = None,
    network: Callable | None = None,
    method: Any = None,
    dtype: str = "float64",
) -> OperatorPlan:
    """The plan for an operator problem: decided from its sensors and from what its samples tell, never from its reference.

    Arguments as for `solve`. Pure: nothing is trained.

    Raises:
        ProblemError: a tolerance or limit that is not positive, or an unknown precision.
        MethodError: a method that is no `Phase`.
        NetworkError: a network that cannot be made for an operator.
    """
    check_positive("tol", tol)
    check_positive("time_limit", time_limit)
    if dtype == "mixed":
        raise ProblemError('dtype="mixed" is for a pinn.Problem; operators are learned in "float64" or "float32".')
    limit = DEFAULT_LIMIT if time_limit is None and tol is None else time_limit
    stages, reasons = _given(problem, network, time_limit) if network is not None else _chosen(problem, limit)
    stages = tuple(_sized(stage, len(problem.sensors)) for stage in stages)
    phases = _phases(method)
    if phases:
        first, *_ = stages
        stages = tuple(replace(first, name=p.name or "optax", steps=p.steps, method=p.method) for p in phases)
    how = "the method given" if phases else "fresh samples in every step, so that nothing can be learned by heart"
    shown = ", then ".join(f"{s.steps} steps" for s in stages if s.steps) or "none"
    choices = (
        Choice("learned from", LEARNED_FROM[problem.learns_from], _why(problem)),
        *_physics(problem),
        *reasons,
        Choice("training", shown if phases else f"Adam, cosine rate, averaged weights: {shown}", how),
        Choice("last layer", "least squares", "the output is linear in it; kept where held-out samples agree"),
        Choice("precision", dtype, "regularised least squares needs it" if dtype == "float64" else "given"),
        Choice(
            "stop", "the steps are done" + (f", or {limit:g} s" if limit else ""), "given" if limit == time_limit else "default"
        ),
    )
    return OperatorPlan(choices, stages, tol, limit, precision(dtype))


def _chosen(problem: OperatorProblem, limit: float | None) -> tuple[tuple[Stage, ...], list[Choice]]:
    spread = bool(np.all(np.ptp(problem.sensors, axis=0) > 0))
    if not (problem.observes and spread):
        make = partial(DeepONet, rank=64, branch=DenseBranch)
        why = "sensors on a part of the domain" if problem.observes else "sensors of another function"
        choice = Choice("network", "DeepONet, dense branch, Fourier trunk", f"{why}, always the same")
        return (Stage("deeponet", make, 8000, 2e-3),), [choice]
    count, dimension = len(problem.sensors), problem.domain.dimension
    rank = min(2 * count + 1, _MOST_FUNCTIONS)
    ridge = partial(DeepONet, rank=rank, branch=RidgeBranch, trunk=Harmonics)
    fitted = problem.learns_from == "clean" and problem.physics is None
    stages = [Stage("ridge", ridge, 0 if fitted else _RIDGE_STEPS, 2e-2, share=0.4)]
    choices = [Choice("network", f"DeepONet, ridge branch, {rank} harmonics", "sensors observe the output; any layout and noise")]
    if fitted:
        choices.append(Choice("priors", "a mixture of Gaussians, by EM", "clean functions show their distribution"))
    try:
        grid = layout_of(problem, jnp.float64).shape
    except NetworkError:
        grid = ()
    if len(grid) == dimension == 1 and fitted:
        stages.append(Stage("chain", partial(ChainOperator, base=ridge), 0, 0.0, corrects=True))
        choices.append(Choice("chain", "values that stay or jump", "clean functions show it; kept where held-out samples agree"))
    if len(grid) == dimension and problem.learns_from != "sigma":
        make = partial(LocalDeepONet, base=ridge)
        steps = _CORRECTION if limit is None else _TIMED_CORRECTION
        stages.append(Stage("correction", make, steps, 2e-3, share=0.95, corrects=True))
        choices.append(Choice("correction", "local DeepONet, convolutions", "regular grid; kept where held-out samples agree"))
    return tuple(stages), choices


def _sized(stage: Stage, sensors: int) -> Stage:
    """Fewer samples in a step where each has many values, and more points, since what encodes them costs more."""
    values, most = (_VALUES, _BATCH) if jax.default_backend() == "cpu" else (_FAST_VALUES, _FAST_BATCH)
    batch = int(np.clip(values // sensors, 16, most))
    return replace(stage, batch=batch, queries=int(np.clip(sensors // 2, stage.queries, 1024)))


def _given(problem: OperatorProblem, network: Callable, time_limit: float | None) -> tuple[tuple[Stage, ...], list[Choice]]:
    check_maker(network)
    name = getattr(network, "__name__", None) or getattr(getattr(network, "func", network), "__name__", "network")
    many = _MANY_STEPS if time_limit is None else _TIMED_STEPS
    steps = _STEPS if len(problem.sensors) < _MANY else many
    return (Stage("network", network, steps, 1e-3, share=0.95),), [Choice("network", name, "given")]


def check_maker(make: object) -> None:
    """Raise `NetworkError` unless it can be called as `make(layout, inputs, outputs, rngs=..., dtype=...)`."""
    fault = "" if callable(make) and not isinstance(make, nnx.Module) else "that is no function"
    if not fault:
        try:
            inspect.signature(make).bind(None, 1, 1, rngs=None, dtype=None)  # pyright: ignore[reportArgumentType]
        except TypeError as error:
            fault = str(error)
    if fault:
        raise NetworkError(
            "network= of an operator problem needs a callable (layout, inputs, outputs, *, rngs, dtype) -> OperatorNetwork, such "
            f"as pinn.DeepONet or functools.partial(pinn.DeepONet, branch=pinn.SetBranch); got {make!r:.60}: {fault}."
        )


def _phases(method: Any) -> Sequence[Phase]:
    if method is None:
        return ()
    phases: list[Any] = list(method) if isinstance(method, list | tuple) and not hasattr(method, "update") else [method]
    for phase in phases:
        if not isinstance(phase, Phase) or not isinstance(phase.method, optax.GradientTransformation):
            raise MethodError(
                "method= of an operator problem needs pinn.Phase with an optax transformation, such as "
                f"pinn.Phase(optax.adam(1e-3), steps=5000), or a list of them; got {phase!r:.80}."
            )
    return [phase for phase in phases if isinstance(phase, Phase)]


def _why(problem: OperatorProblem) -> str:
    return {
        "clean": "the mean squared error is measured directly",
        "mean": "the same minimum as with clean functions, and gradients with less noise",
        "second": "independent noise averages out: the same minimum as with clean functions",
        "sigma": "an unbiased estimate of the error needs the noise level and no clean function",
    }[problem.learns_from]


def _physics(problem: OperatorProblem) -> list[Choice]:
    if problem.physics is None:
        return []
    count = len(problem.physics.terms)
    how = "through the derivatives of the trunk, weighed once; a ridge begins in the solutions of linear ones"
    return [Choice("equations", f"{count} penalty term{'s' * (count > 1)}", how)]
