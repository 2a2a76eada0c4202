"""Training: phases of gradient methods on the composite loss, and the least-squares procedure that needs none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from .errors import MethodError
from .estimate import Estimate, Trust
from .families import RICHER, UNRESOLVED, Drawn, Family, candidates, search
from .features import Fit, Setup, linearised, relative_residual
from .history import Clock, History, Record, Status
from .inverse import Identified, fitted, is_inverse, noise_bound
from .loss import Batch, Objective, Weights, draw, mean_squares, objective, residuals, rows
from .methods.gauss_newton import HostDriven
from .uncertainty import assess

_HOPELESS = 1e3  # a rival activation with a held-out residual so many times as large is given up
_CHUNK = 100  # steps compiled into one call


@dataclass(frozen=True)
class Phase:
    """A training method and how many steps it takes.

    Args:
        method: any optax transformation, `optax.lbfgs()` included, or one of `pinn.methods`.
        steps: how many.
        name: how the history calls it.

    Raises:
        MethodError: no optax transformation, or a number of steps that is not a positive whole number.

    Example:
        >>> Phase(optax.adam(1e-3), steps=1000).steps
        1000
    """

    method: optax.GradientTransformation
    steps: int
    name: str | None = None

    def __post_init__(self) -> None:
        if not (hasattr(self.method, "init") and hasattr(self.method, "update")):
            raise MethodError(f"Phase() needs an optax transformation such as optax.adam(1e-3); got {self.method!r}.")
        if isinstance(self.steps, bool) or not isinstance(self.steps, int | np.integer) or self.steps < 1:
            raise MethodError(f"Phase(steps=...) must be a positive whole number; got {self.steps!r}.")


@dataclass(frozen=True)
class Outcome:
    """A trained approximation, and its estimated error; `family` and `width` are the features that judged it or made it.

    `edges` are those of its slabs of time, if it has any, and `drawn` their features.
    """

    goal: Objective
    weights: Weights
    family: Family
    width: int
    estimate: Estimate
    edges: tuple[float, ...] = ()
    drawn: tuple[Drawn, ...] = ()

    def better_than(self, other: Outcome) -> bool:
        """An estimate that means something before one that does not, then the smaller."""
        return _rank(self.estimate) < _rank(other.estimate)


def _rank(judged: Estimate) -> tuple[bool, float]:
    return judged.trust is Trust.UNKNOWN, judged.worst


# --- least squares ---------------------------------------------------------------------------------------------------


def least_squares(
    setup: Setup, widths: Sequence[int], tol: float | None, clock: Clock, history: History, share: float = 0.5
) -> tuple[Outcome, Status]:
    """Search a family of features at the first width, then widen until the estimated error is small enough or settles.

    The best family of the other activation is tried again at the next widths: what is best for few features need not be for
    many. Each width continues from the solution before it, and is judged; the best one is kept. The search may take a `share`
    of the time.
    """

    def tell(found: Fit | Identified) -> None:
        history.add(Record("features", len(history), clock.seconds, held_out=found.held_out, note=str(found.family)))

    tried: list[Fit | Identified] = []

    def make(family: Family, width: int = widths[0], index: int = 0) -> Fit | Identified:
        before = min(tried, key=lambda found: found.held_out, default=None) if is_inverse(setup.problem) else None
        tried.append(fitted(setup, family, width, index, before))
        tell(tried[-1])
        return tried[-1]

    starts = candidates(setup.problem.domain.dimension)
    current = search(starts, make, lambda: clock.left < (1 - share) * (clock.limit or 0) or noise_bound(tried[-1]))
    others = [found for found in tried if found.family.activation is not current.family.activation]
    rival = min(others, key=lambda found: found.held_out, default=None)
    best = latest = _judged(setup, current, widths[0], clock, history)
    for i, (before, width) in enumerate(pairwise(widths)):
        if reached(latest.estimate, tol):
            return latest, Status.REACHED
        if latest.estimate.rounded:
            return best, Status.SETTLED
        began = clock.seconds
        sharper, start = (width / before) ** 0.25, None if setup.problem.is_linear else current
        if current.held_out > UNRESOLVED:
            again = partial(make, width=width, index=i + 1)
            current = search(starts, again, lambda: clock.left < 0.5 * (clock.limit or 0), most=20)
        else:
            current = fitted(setup, current.family.scaled(sharper), width, i + 1, start)
            tell(current)
        if rival is not None:
            rival = fitted(setup, rival.family.scaled(sharper), width, i + 1, start)
            tell(rival)
            current, rival = (current, rival) if current.held_out <= rival.held_out else (rival, current)
            rival = rival if rival.held_out < _HOPELESS * current.held_out else None
        latest, last = _judged(setup, current, width, clock, history), latest
        best = latest if latest.better_than(best) else best
        known = latest.estimate.trust is not Trust.UNKNOWN
        if i and known and latest.estimate.worst > 0.5 * last.estimate.worst:
            break
        if clock.left < 4 * (clock.seconds - began):
            return best, Status.REACHED if reached(best.estimate, tol) else Status.TIME
    return best, Status.REACHED if reached(best.estimate, tol) else Status.SETTLED


def reached(judged: Estimate, tol: float | None) -> bool:
    """Whether an estimate meets a tolerance."""
    return tol is not None and judged.worst <= tol / 2 and judged.trust is not Trust.UNKNOWN


def _judged(setup: Setup, found: Fit | Identified, width: int, clock: Clock, history: History) -> Outcome:
    goal, family, richer = (
        objective(setup.problem, found.approximation, setup.exact),
        found.family.scaled(RICHER),
        int(1.5 * width),
    )
    judged = assess(setup, goal, found.weights, family, richer, setup.exact)
    note = f"width {width}"
    history.add(Record("estimate", len(history), clock.seconds, held_out=found.held_out, estimate=judged.worst, note=note))
    return Outcome(goal, found.weights, found.family, width, judged)


# --- gradient methods ------------------------------------------------------------------------------------------------


def trainable(weights: Weights) -> dict[str, Any]:
    """The part of the weights that training changes."""
    return {"train": tuple(part["train"] for part in weights.state), "unknown": weights.unknown}


def with_trained(weights: Weights, trained: dict[str, Any]) -> Weights:
    """The weights with that part replaced."""
    state = tuple({**part, "train": train} for part, train in zip(weights.state, trained["train"], strict=True))
    return Weights(state, trained["unknown"])


def _loss(goal: Objective, weights: Weights, batches: Sequence[Batch], balance: Array, trained: dict[str, Any]) -> Array:
    values = residuals(goal, with_trained(weights, trained), batches)
    return jnp.dot(balance, mean_squares(values))


@partial(jax.jit, static_argnums=(0, 1))
def _steps(goal: Objective, method: Any, carry: tuple, weights: Weights, batches: Sequence[Batch], balance: Array, count: Array):
    """`count` steps of a traced method in one compiled call."""
    loss = partial(_loss, goal, weights, batches, balance)

    def step(_: Array, carry: tuple) -> tuple:
        trained, state, _ = carry
        value, gradient = jax.value_and_grad(loss)(trained)
        updates, state = method.update(gradient, state, trained, value=value, grad=gradient, value_fn=loss)
        return optax.apply_updates(trained, updates), state, value

    return jax.lax.fori_loop(0, count, step, carry)


@partial(jax.jit, static_argnums=0)
def _rows(goal: Objective, trained: dict, weights: Weights, batches: Sequence[Batch], balance: Array) -> Array:
    return rows(residuals(goal, with_trained(weights, trained), batches), balance)


@partial(jax.jit, static_argnums=0)
def jacobian(goal: Objective, trained: dict, weights: Weights, batches: Sequence[Batch], balance: Array) -> tuple[Array, Array]:
    """The rows [N] and their Jacobian [N, P], in chunks of points, parameters in the order of `ravel_pytree`."""
    found = []
    for term, batch, weight in zip(goal.terms, batches, balance, strict=True):

        def one(row: Batch, term=term) -> tuple[Array, Array]:
            def value(trained: dict) -> Array:
                return goal.residual(term, with_trained(weights, trained), row)

            tree = jax.jacrev(value)(trained)
            flat = [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(tree)]
            return value(trained), jnp.concatenate(flat, axis=1)

        values, slopes = jax.lax.map(one, batch, batch_size=256)
        scale = jnp.sqrt(weight / batch.points.shape[0])
        found.append((scale * values.reshape(-1), scale * slopes.reshape(-1, slopes.shape[-1])))
    return jnp.concatenate([r for r, _ in found]), jnp.concatenate([j for _, j in found])


def balanced(goal: Objective, weights: Weights, batches: Sequence[Batch]) -> Array:
    """A weight for each term: the inverse of its mean squared slope by the weights of the network, the equations' set to 1.

    So no term moves the network faster than another at the start (the neural tangent kernel's diagonal; Wang et al. 2022,
    arXiv 2007.14527).
    """
    few = tuple(jax.tree.map(lambda column: column[:64], batch) for batch in batches)
    sizes = []
    for term, batch in zip(goal.terms, few, strict=True):
        alone = replace(goal, terms=(term,))
        _, slopes = jacobian(alone, trainable(weights), weights, (batch,), jnp.ones(1, batch.points.dtype))
        sizes.append(float(jnp.sum(slopes**2)))
    size = np.maximum(np.array(sizes), 1e-300)
    return jnp.asarray(size[0] / size, batches[0].points.dtype)


def run_phases(
    setup: Setup,
    goal: Objective,
    weights: Weights,
    phases: Sequence[Phase],
    points: dict[str, int],
    clock: Clock,
    history: History,
) -> tuple[Weights, Status]:
    """Each phase in turn on fixed collocation points; the weights with the smallest held-out residual are kept."""
    batches = draw(goal, points, (*setup.seed, 20), setup.dtype)
    fresh = draw(goal, points, (*setup.seed, 21), setup.dtype)
    balance = balanced(goal, weights, batches)
    best, least = weights, np.inf
    for phase in phases:
        method, host = phase.method, isinstance(phase.method, HostDriven)
        method = method if host else optax.with_extra_args_support(method)
        advance, name = (_host_step, "gauss-newton") if host else (_traced_steps, "optax")
        state, done, stalled = method.init(trainable(weights)), 0, False
        while done < phase.steps and not stalled:
            count = 1 if host else min(_CHUNK, phase.steps - done)
            weights, state, stalled = advance(goal, method, weights, state, batches, balance, count)
            done += count
            squares = np.asarray(mean_squares(residuals(goal, weights, batches)))
            held_out = relative_residual(goal, weights, fresh, linearised(goal, weights, None, (), fresh))
            terms = {term.name: float(v) for term, v in zip(goal.terms, squares, strict=True)}
            loss = float(np.asarray(balance) @ squares)
            history.add(Record(phase.name or name, done, clock.seconds, loss, held_out, terms=terms))
            if not np.all(np.isfinite(squares)):
                return best, Status.DIVERGED
            if held_out < least:
                best, least = weights, held_out
            if clock.left < 0:
                return best, Status.TIME
    return best, Status.FINISHED


def _traced_steps(goal, method, weights, state, batches, balance, count):
    carry = (trainable(weights), state, jnp.zeros((), balance.dtype))
    trained, state, _ = _steps(goal, method, carry, weights, batches, balance, jnp.asarray(count))
    return with_trained(weights, trained), state, False


def _host_step(goal, method, weights, state, batches, balance, count):
    updates, state = method.update(
        None,
        state,
        trainable(weights),
        residuals_fn=lambda t: _rows(goal, t, weights, batches, balance),
        jacobian_fn=lambda t: jacobian(goal, t, weights, batches, balance),
    )
    added: Any = optax.apply_updates(trainable(weights), updates)
    return with_trained(weights, added), state, state.rejected > 5
