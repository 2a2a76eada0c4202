"""What `solve` does when it is told nothing: every default in one place, with its reason and its evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from .ansatz import check_maker
from .choices import DEFAULT_LIMIT, Choice, check_positive, precision, table
from .continuation import Start
from .derivatives import ENGINES, Engine, nested_jvp, taylor
from .errors import MethodError, ProblemError, listing, suggestion
from .exact import Exact, plan_exact
from .levels import steppable, stepped_by_products
from .methods.gauss_newton import gauss_newton
from .networks import MLP
from .operator_learning import OperatorPlan, OperatorProblem, recommend_operator
from .phases import Phase
from .problem import Problem
from .starting import start_choices, start_from
from .timeline import Timeline, timeline

_PRECISION = {
    "float64": "second derivatives of a float32 network carry 1e-6 of rounding",
    "mixed": "given: matrices factored in float32, refined with residuals in float64",
}


@dataclass(frozen=True)
class Plan:
    """Everything that `solve` decided before it began. Printing it shows each choice with its reason.

    Attributes:
        choices: the decisions, in words.
        exact: the conditions built into the ansatz.
        widths: of the least-squares phase, in order; empty where it is left out.
        steps: whether steps in time may solve it, by features of space at each of their stages.
        slabs: widths of the march through slabs of time that follows where the whole interval is not resolved; empty where
            there is none.
        time: what the slabs follow.
        phases: of gradient methods; empty where least squares is all.
        network: makes the network of those phases.
        points: collocation points inside and on each condition, for those phases.
        engine: how derivatives are taken; None for the automatic choice.
        dtype: of numbers.
        mixed: whether matrices are factored in float32 all the same.
        start: the earlier solution that it begins from.
    """

    choices: tuple[Choice, ...]
    exact: Exact
    widths: tuple[int, ...]
    steps: bool
    slabs: tuple[int, ...]
    time: Timeline | None
    phases: tuple[Phase, ...]
    network: Callable
    points: Mapping[str, int]
    engine: Engine | None
    tol: float | None
    limit: float | None
    dtype: Any
    mixed: bool = False
    start: Start | None = None

    def __str__(self) -> str:
        return table(self.choices)


@overload
def recommend(
    problem: OperatorProblem,
    tol: float | None = ...,
    *,
    time_limit: float | None = ...,
    network: Callable | None = ...,
    method: Any = ...,
    points: int | Mapping[str, int] | None = ...,
    exact_conditions: bool | None = ...,
    engine: Engine | None = ...,
    dtype: str = ...,
) -> OperatorPlan: ...
@overload
def recommend(
    problem: Problem,
    tol: float | None = ...,
    *,
    time_limit: float | None = ...,
    network: Callable | None = ...,
    method: Any = ...,
    points: int | Mapping[str, int] | None = ...,
    exact_conditions: bool | None = ...,
    engine: Engine | None = ...,
    start: Any = ...,
    dtype: str = ...,
) -> Plan: ...
def recommend(
    problem: Problem | OperatorProblem,
    tol: float | None = None,
    *,
    time_limit: float | None = None,
    network: Callable | None = None,
    method: Any = None,
    points: int | Mapping[str, int] | None = None,
    exact_conditions: bool | None = None,
    engine: Engine | None = None,
    start: Any = None,
    dtype: str = "float64",
) -> Plan | OperatorPlan:
    """The plan for a problem: decided from its equations alone, never from its name or its reference.

    Arguments as for `solve`. Pure: nothing is trained.

    Raises:
        ProblemError: a tolerance or limit that is not positive, or an unknown precision.
        MethodError: a method that is no `Phase`.
        NetworkError: a width or depth that is not a whole number.
    """
    if isinstance(problem, OperatorProblem):
        refuse_for_operators(points=points, exact_conditions=exact_conditions, engine=engine, start=start)
        return recommend_operator(problem, tol, time_limit=time_limit, network=network, method=method, dtype=dtype)
    if not isinstance(problem, Problem):
        raise ProblemError(f"recommend() needs a pinn.Problem or a pinn.OperatorProblem; got {problem!r:.80}.")
    check_positive("tol", tol)
    check_positive("time_limit", time_limit)
    if not isinstance(exact_conditions, bool | None):
        raise ProblemError(f"exact_conditions= needs None, True or False; got {exact_conditions!r}.")
    if engine is not None and engine not in ENGINES:
        known = listing(f"pinn.{e.__name__}" for e in ENGINES)
        raise ProblemError(f"engine= needs one of {known}, the function itself; got {engine!r}.")
    if network is not None:
        check_maker(network)
    exact = plan_exact(problem, exact_conditions)
    begun = None if start is None else start_from(start, problem, precision(dtype))
    limit = DEFAULT_LIMIT if time_limit is None and tol is None else time_limit
    phases = _phases(method)
    features = not phases and network is None
    time = timeline(problem, exact) if features else None
    widths = ((200, 300) if time is not None and not problem.is_linear else (200, 300, 600, 1200, 2400)) if features else ()
    steps = begun is None and steppable(problem, time, precision(dtype))
    slabs = () if time is None else (100, 200) if problem.domain.dimension == 1 else (300, 450, 700, 1000)
    counts = _counts(problem, points)
    choices = [
        Choice("equation", _equation(problem), "from the traced residual"),
        *_conditions(problem, exact),
        *start_choices(begun, problem.is_linear, bool(widths)),
        _features_choice(problem, widths, method, network),
        *_steps_choice(steps, problem, exact, time),
        *_slabs_choice(slabs, time, problem),
        _network_choice(phases, widths, network),
        Choice("points", _shown(counts), "given" if points is not None else "six or more for each weight of the default network"),
        _engine_choice(problem, engine, network),
        Choice("precision", dtype, _PRECISION.get(dtype, "given")),
        _stop_choice(tol, time_limit, limit, phases),
    ]
    phases = phases or (Phase(gauss_newton(), steps=400, name="gauss-newton"),)
    made = network or MLP
    kind = precision(dtype), dtype == "mixed"
    return Plan(tuple(choices), exact, widths, steps, slabs, time, phases, made, counts, engine, tol, limit, *kind, begun)


def refuse_for_operators(**arguments: Any) -> None:
    """Raise `ProblemError` for arguments that mean nothing to an operator problem."""
    for name, value in arguments.items():
        if value is not None:
            raise ProblemError(f"{name}= is for a pinn.Problem; an operator problem has sensors and samples. Leave it out.")


def _phases(method: Any) -> tuple[Phase, ...]:
    if method is None:
        return ()
    if isinstance(method, list) and not method:
        raise MethodError("method= needs pinn.Phase(optax.adam(1e-3), steps=5000), or a list of phases; got [].")
    phases = list(method) if isinstance(method, list | tuple) and not hasattr(method, "update") else [method]
    for phase in phases:
        if not isinstance(phase, Phase):
            raise MethodError(f"method= needs pinn.Phase(optax.adam(1e-3), steps=5000), or a list of phases; got {phase!r}.")
    return tuple(phase for phase in phases if isinstance(phase, Phase))


def _counts(problem: Problem, points: int | Mapping[str, int] | None) -> dict[str, int]:
    d = problem.domain.dimension
    default = {"equation": 1024 if d == 1 else 8192, "condition": 1 if d == 1 else 512}
    if points is None:
        return default
    if not isinstance(points, int | np.integer | Mapping):
        raise ProblemError(f"points= needs positive whole numbers: one, or a dict by term; got {points!r}.")
    given = dict(points) if isinstance(points, Mapping) else {"equation": points}
    known = ["equation", "condition", *(term.name for term in problem.terms[1:])]
    for name, count in given.items():
        if name not in known:
            raise ProblemError(f"points= names the term {name!r}; there are {listing(known)}.{suggestion(name, known)}")
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
            raise ProblemError(f"points= needs positive whole numbers; got {count!r} for {name!r}.")
    return default | given


def _equation(problem: Problem) -> str:
    orders = np.max(list(problem.orders.values()), axis=0)
    shown = ", ".join(f"order {n} in {name}" for name, n in zip(problem.domain.coordinates, orders, strict=True))
    return f"{'linear' if problem.is_linear else 'nonlinear'}, {shown}"


def _conditions(problem: Problem, exact: Exact) -> list[Choice]:
    met = [Choice("condition", f"{name}: exact", "built into the ansatz") for name in exact.met]
    return met + [Choice("condition", f"{name}: penalty", reason) for name, reason in exact.left.items()]


def _features_choice(problem: Problem, widths: tuple[int, ...], method: Any, network: Any) -> Choice:
    if widths:
        reason = "one QR solve a width" if problem.is_linear else "a few QR solves a width (Gauss-Newton)"
        reason = f"{reason}; bandwidth by held-out residual; steep for layers"
        return Choice("least squares", f"widths {', '.join(map(str, widths))}", reason)
    return Choice("least squares", "left out", f"{'method=' if method is not None else 'network='} given")


def _steps_choice(steps: bool, problem: Problem, exact: Exact, time: Timeline | None) -> list[Choice]:
    if not steps or time is None:
        return []
    products = stepped_by_products(problem, exact, time)
    when = "where 200 features leave more than 1e-6" if problem.is_linear else "first: the equation is nonlinear"
    functions = "products of functions of each coordinate" if products else "features of space"
    return [Choice("steps in time", f"{functions} at 6 stages of Radau IIA, finer level by level", when)]


def _slabs_choice(slabs: tuple[int, ...], time: Timeline | None, problem: Problem) -> list[Choice]:
    if not slabs or time is None:
        return []
    name, widths = problem.domain.coordinates[time.axis], ", ".join(map(str, slabs))
    return [Choice("slabs", f"in {name}, widths {widths}", "where the whole interval is not resolved to 1e-10")]


def _network_choice(phases: tuple[Phase, ...], widths: tuple[int, ...], network: Any) -> Choice:
    name = getattr(network, "__name__", type(network).__name__) if network is not None else "tanh MLP 3 × 20"
    if phases:
        return Choice("network", f"{name}, {sum(phase.steps for phase in phases)} steps", "the method given")
    after = "where least squares leaves an error above 1e-4" if widths else "all weights"
    return Choice("network", f"{name}, Gauss-Newton", after)


def _engine_choice(problem: Problem, engine: Engine | None, network: Any) -> Choice:
    order = max(max(order) for order in problem.orders.values())
    if engine is not None:
        return Choice("derivatives", engine.__name__, "given")
    if network is not None:
        return Choice("derivatives", f"{taylor.__name__}, or {nested_jvp.__name__}", "Taylor rules for this package's networks")
    return Choice("derivatives", taylor.__name__, f"derivatives to order {order} in one pass through the network")


def _shown(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _stop_choice(tol: float | None, time_limit: float | None, limit: float | None, phases: tuple[Phase, ...]) -> Choice:
    ends = "the steps are done" if phases else "the estimate settles" if tol is None else f"estimated error <= {tol / 2:.1g}"
    reason = "given" if phases or tol is not None or time_limit is not None else "no tolerance was given"
    return Choice("stop", ends + (f", or {limit:g} s" if limit is not None else ""), reason)
