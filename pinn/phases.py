"""Phases of gradient methods on the composite loss: steps compiled in chunks, or a method that the host drives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from . import devices
from .errors import MethodError
from .faults import fault
from .features import Setup, relative_residual
from .history import Clock, History, Record, Status
from .loss import Batch, Objective, Weights, draw, mean_squares, residuals, rows, trainable, with_trained
from .memory import in_pieces
from .methods.gauss_newton import HostDriven, with_rows
from .mixed import coarse, is_mixed
from .rows import linearised

_POINTS = 256  # differentiated at a time
_ENTRIES = 2**26  # of a Jacobian that are held at a time, 512 MiB in float64; what has more is brought to a triangle in parts
_CHUNK = 100  # steps compiled into one call
_CAUTION = 0.3  # length of steps after the loss became undefined, in those before
_RETRIES = 4
_BLOWN_UP = 1e6  # loss, in the smallest one of the phase, that steps are taken back for


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


def _loss(goal: Objective, weights: Weights, batches: Sequence[Batch], balance: Array, trained: dict[str, Any]) -> Array:
    values = residuals(goal, with_trained(weights, trained), batches)
    return jnp.dot(balance, mean_squares(values))


@partial(jax.jit, static_argnums=(0, 1))
def _steps(
    goal: Objective,
    method: Any,
    carry: tuple,
    weights: Weights,
    batches: Sequence[Batch],
    balance: Array,
    count: Array,
    caution: Array,
):
    """`count` steps of a traced method in one compiled call, each `caution` times as long as the method says."""
    loss = partial(_loss, goal, weights, batches, balance)

    def step(_: Array, carry: tuple) -> tuple:
        trained, state, _ = carry
        value, gradient = jax.value_and_grad(loss)(trained)
        updates, state = method.update(gradient, state, trained, value=value, grad=gradient, value_fn=loss)
        return optax.apply_updates(trained, jax.tree.map(lambda u: u * caution.astype(u.dtype), updates)), state, value

    return jax.lax.fori_loop(0, count, step, carry)


@partial(jax.jit, static_argnums=0)
def _rows(goal: Objective, trained: dict, weights: Weights, batches: Sequence[Batch], balance: Array) -> Array:
    return rows(residuals(goal, with_trained(weights, trained), batches), balance)


@partial(jax.jit, static_argnums=(0, 5, 6))
def jacobian(
    goal: Objective,
    trained: dict,
    weights: Weights,
    batches: Sequence[Batch],
    balance: Array,
    smaller: int = 1,
    rough: bool = False,
) -> tuple[Array, Array]:
    """The rows [N] and their Jacobian [N, P], in chunks of points, parameters in the order of `ravel_pytree`.

    On several devices, these turned so that J is a triangle and r ends after P + 1 rows: any ‖r + J p‖ is the same. A `rough`
    Jacobian is computed in float32, the rows are not.
    """
    found = []
    for term, batch, weight in zip(goal.terms, batches, balance, strict=True):

        def one(row: Batch, term=term) -> tuple[Array, Array]:
            def value(trained: dict, weights: Weights, row: Batch) -> Array:
                return goal.residual(term, with_trained(weights, trained), row)

            given = trained, weights, row
            tree = jax.jacrev(value)(*coarse(given) if rough else given)
            flat = [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(tree)]
            return value(*given), jnp.concatenate(flat, axis=1)

        values, slopes = devices.over_rows(one, batch, _POINTS // smaller)
        scale = jnp.sqrt(weight / batch.points.shape[0])
        found.append(scale * jnp.concatenate([slopes.reshape(-1, slopes.shape[-1]), values.reshape(-1, 1)], axis=1))
    joined = devices.reduced(found)
    return joined[:, -1], joined[:, :-1]


def system(
    goal: Objective, trained: dict, weights: Weights, batches: Sequence[Batch], balance: Array, smaller: int = 1
) -> tuple[Any, Any]:
    """`jacobian`, or where it is larger than memory should hold, its triangle, part after part: rows [P + 1] and [P + 1, P].

    Any ‖r + J p‖ is the same. Next to that triangle there are `_ENTRIES` numbers of the Jacobian at a time.
    """
    width = sum(leaf.size for leaf in jax.tree.leaves(trained)) + 1
    counts = [batch.points.shape[0] for batch in batches]
    lengths = [len(term.expression.components) for term in goal.terms]
    if np.dot(counts, lengths) * width <= max(_ENTRIES // smaller, width**2):
        return jacobian(goal, trained, weights, batches, balance, smaller, is_mixed())
    upper = np.zeros((width, width), order="F")
    for term, batch, weight, count, length in zip(goal.terms, batches, balance, counts, lengths, strict=True):
        alone = replace(goal, terms=(term,))
        parts = -(-count * length * width // (_ENTRIES // smaller))
        for place in np.array_split(np.arange(count), parts):
            part = jax.tree.map(lambda column, own=slice(place[0], place[-1] + 1): column[own], batch)
            share = weight[None] * (len(place) / count)
            upper = with_rows(upper, *jacobian(alone, trained, weights, (part,), share, smaller, is_mixed()))
    return upper[:, -1], upper[:, :-1]


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


_extended = lru_cache(maxsize=64)(optax.with_extra_args_support)  # one object for a method, so that it compiles once


class _Run(NamedTuple):
    """Where a phase is: trained weights, the method's state, steps done, whether it can go on; the best weights so far.

    `caution` multiplies steps; it is less than 1 once the loss has become undefined.
    """

    trained: dict[str, Any]
    state: Any
    done: int
    stalled: bool
    best: dict[str, Any]
    least: float
    lowest: float  # loss
    caution: float = 1.0


def run_phases(
    setup: Setup,
    goal: Objective,
    weights: Weights,
    phases: Sequence[Phase],
    points: dict[str, int],
    clock: Clock,
    history: History,
) -> tuple[Weights, Status]:
    """Each phase in turn on fixed collocation points; the weights with the smallest held-out residual are kept.

    Where the loss grows out of bounds or is undefined, the last chunk of steps is taken back and tried again with shorter ones.
    """
    batches = draw(goal, points, (*setup.seed, 20), setup.dtype)
    fresh = draw(goal, points, (*setup.seed, 21), setup.dtype)
    balance = balanced(goal, weights, batches)
    best, least = weights, float("inf")
    for i, phase in enumerate(phases):
        method, host = phase.method, isinstance(phase.method, HostDriven)
        method = method if host else _extended(method)
        advance, name = (_host_step, "gauss-newton") if host else (_traced_steps, "optax")
        first = float(np.asarray(balance) @ np.asarray(mean_squares(residuals(goal, weights, batches))))
        begun = _Run(trainable(weights), method.init(trainable(weights)), 0, False, trainable(best), least, first)
        run = setup.journal.begin(("phase", i), begun)
        while run.done < phase.steps and not run.stalled:
            if run.done and clock.left < 0:
                return with_trained(weights, run.best), Status.TIME
            count = 1 if host else min(_CHUNK, phase.steps - run.done)
            now = with_trained(weights, run.trained)
            now, state, stalled = advance(goal, method, now, run.state, batches, balance, count, run.caution)
            squares = np.asarray(mean_squares(residuals(goal, now, batches)))
            held_out = relative_residual(goal, now, fresh, linearised(goal, now, None, (), fresh))
            terms = {term.name: float(v) for term, v in zip(goal.terms, squares, strict=True)}
            loss = float(np.asarray(balance) @ squares)
            wrong = fault(goal, now, batches) if not np.isfinite(loss) else None
            if loss > _BLOWN_UP * run.lowest:
                wrong = f"the loss grew from {run.lowest:.1e} to {loss:.1e}"
            note = f"{wrong}: back to step {run.done}, with shorter steps" if wrong else ""
            history.add(Record(phase.name or name, run.done + count, clock.seconds, loss, held_out, terms=terms, note=note))
            if wrong:
                run = run._replace(caution=_CAUTION * run.caution)
                setup.journal.keep(run)
                if run.caution < _CAUTION ** (_RETRIES + 0.5):
                    return with_trained(weights, run.best), Status.DIVERGED
                continue
            run = _Run(trainable(now), state, run.done + count, stalled, run.best, run.least, min(run.lowest, loss), run.caution)
            if held_out < run.least:
                run = run._replace(best=run.trained, least=held_out)
            setup.journal.keep(run)
        weights, best, least = (with_trained(weights, run.trained), with_trained(weights, run.best), run.least)
    return best, Status.FINISHED


def _traced_steps(goal, method, weights, state, batches, balance, count, caution=1.0):
    carry = (trainable(weights), state, jnp.zeros((), balance.dtype))
    trained, state, _ = _steps(goal, method, carry, weights, batches, balance, jnp.asarray(count), jnp.asarray(caution))
    return with_trained(weights, trained), state, False


def _host_step(goal, method, weights, state, batches, balance, count, caution):
    updates, state = method.update(
        None,
        state,
        trainable(weights),
        residuals_fn=lambda t: _rows(goal, t, weights, batches, balance),
        jacobian_fn=lambda t: in_pieces(partial(system, goal, t, weights, batches, balance)),
    )
    added: Any = optax.apply_updates(trainable(weights), updates)
    return with_trained(weights, added), state, state.rejected > 5
