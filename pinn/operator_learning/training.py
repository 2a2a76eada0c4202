"""Training an operator: steps on fresh samples that are drawn inside the compiled loop, and the least-squares end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from .. import sampling
from ..decompositions import pseudo_inverse
from ..deeponet import DeepONet
from ..history import Clock, Record, Status
from ..journal import Journal
from ..ridge import RidgeBranch
from .learner import Learner, Points, State, batch_loss
from .linear import affordable
from .plan import Stage
from .problem import OperatorProblem

_SECONDS = 1.0  # of one compiled call, about
_POOL = 4096  # points that queries and collocation points are drawn from
_HELD_OUT, _REFIT, _VALUES = 1024, 4096, 2**17  # samples, and held-out values at sensors at most
_FIRST = 10  # steps of the calls that tell how long one takes
_AVERAGED = 0.99  # what the averaged weights keep in a step
_PENALTIES = tuple(10.0**k for k in range(-12, 0))


@dataclass(frozen=True, eq=False)
class Trained:
    """A learner with weights, and the square root of its loss on held-out samples."""

    learner: Learner
    state: State
    held_out: float


def make_points(problem: OperatorProblem, dtype: Any, seed: tuple[int, ...]) -> Points:
    """The pools: the domain's inside, half of it the sensors where these observe the output, and each equation's points."""
    inside = sampling.interior(problem.domain, _POOL, (*seed, 50))
    if problem.observes:
        inside = np.concatenate([inside, np.tile(problem.sensors, (-(-_POOL // len(problem.sensors)), 1))])
    terms = []
    for i, term in enumerate(problem.physics.terms if problem.physics is not None else ()):
        places, columns = term.sample(problem.domain, _POOL, (*seed, 51, i))
        terms.append((term, jnp.asarray(places, dtype), {n: jnp.asarray(c, dtype) for n, c in columns.items()}))
    return Points(jnp.asarray(inside, dtype), tuple(terms))


@partial(jax.jit, static_argnums=(0, 2, 3))
def _advance(
    learner: Learner,
    points: tuple,
    terms: Any,
    stage: Stage,
    carry: tuple,
    frozen: dict,
    balance: Array,
    key: Array,
    start: Array,
    steps: Array,
    total: Array,
) -> tuple[tuple, Array]:
    """A chunk of steps in one compiled call; returns the carry and the mean loss."""
    whole = _joined(points, terms)
    sizes = (stage.queries, stage.collocation)
    method = _adam() if stage.method is None else optax.with_extra_args_support(stage.method)

    def step(i: Array, carry: tuple) -> tuple:
        train, average, memory, sum_ = carry
        at = start + i

        def loss(train: Any) -> Array:
            state = {"train": train, "frozen": frozen}
            return batch_loss(learner, whole, sizes, state, balance, jax.random.fold_in(key, at), stage.batch)

        value, gradient = jax.value_and_grad(loss)(train)
        updates, memory = method.update(gradient, memory, train, value=value, grad=gradient, value_fn=loss)
        if stage.method is None:
            part = jnp.minimum((at + 1) / 50, 1) * 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(at / total, 1)))
            updates = jax.tree.map(lambda u: (-stage.rate * part).astype(u.dtype) * u, updates)
        train = optax.apply_updates(train, updates)
        keep = jnp.minimum(_AVERAGED, (1 + at) / (10 + at))
        average = jax.tree.map(lambda a, t: (keep * a + (1 - keep) * t).astype(a.dtype), average, train)
        return train, average, memory, sum_ + value

    train, average, memory, sum_ = jax.lax.fori_loop(0, steps, step, (*carry, jnp.zeros((), balance.dtype)))
    return (train, average, memory), sum_ / steps


def _adam() -> optax.GradientTransformationExtraArgs:
    return optax.with_extra_args_support(optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam(b2=0.99)))


def _joined(points: tuple, terms: tuple) -> Points:
    queries, places = points
    return Points(queries, tuple((term, p, columns) for term, (p, columns) in zip(terms, places, strict=True)))


def _divided(points: Points) -> tuple[tuple, tuple]:
    """Points as arrays, and the terms that they belong to, for jit."""
    return (points.queries, tuple((p, columns) for _, p, columns in points.terms)), tuple(t for t, _, _ in points.terms)


@partial(jax.jit, static_argnums=(0, 2, 3, 7))
def _loss(
    learner: Learner, points: tuple, terms: Any, sizes: tuple, state: State, balance: Array, key: Array, count: int
) -> Array:
    return batch_loss(learner, _joined(points, terms), sizes, state, balance, key, count)


def held_out(learner: Learner, points: Points, stage: Stage, state: State, balance: Array, seed: tuple[int, ...]) -> float:
    """The square root of the loss on samples that training never sees, the same ones in every stage."""
    arrays, terms = _divided(points)
    *shared, _ = seed  # the stage comes last
    key = sampling.key((*shared, 60))
    count = affordable(_HELD_OUT, learner.problem, _VALUES)
    loss = _loss(learner, arrays, terms, (stage.queries, stage.collocation), state, balance, key, count)
    return float(jnp.sqrt(jnp.maximum(loss, 1e-30)))


def train(
    learner: Learner,
    state: State,
    stage: Stage,
    points: Points,
    until: float,
    clock: Clock,
    journal: Journal,
    seed: tuple[int, ...],
) -> tuple[Trained, Status]:
    """The steps of one stage, fewer where they would not end `until` that many seconds; the best averaged weights are kept.

    The journal keeps where the loop has come to, so that a resumed run goes on from there.
    """
    history = journal.history
    arrays, terms = _divided(points)
    balance = _balance(learner, arrays, terms, stage, state, seed)
    best = Trained(learner, state, held_out(learner, points, stage, state, balance, seed))
    history.add(Record(stage.name, 0, clock.seconds, held_out=best.held_out, note="start"))
    method = _adam() if stage.method is None else stage.method
    carry = (state["train"], state["train"], method.init(state["train"]))
    key = sampling.key((*seed, 61))
    first = (carry, best.state["train"], best.held_out, 0, min(_FIRST, stage.steps), float("inf"))
    carry, kept, least, done, steps, pace = journal.begin((stage.name, seed), first)
    best = Trained(learner, {"train": kept, "frozen": state["frozen"]}, least)

    def affords(now: float) -> int:
        return stage.steps if np.isinf(pace) else min(stage.steps, done + max(0, int((until - now) / pace)))

    total = affords(clock.seconds)
    steps, here = min(steps, total - done), 0
    while done < total:
        started = clock.seconds
        counts = (jnp.asarray(done), jnp.asarray(steps), jnp.asarray(float(total)))
        carry, loss = _advance(learner, arrays, terms, stage, carry, state["frozen"], balance, key, *counts)
        loss, compiled = float(loss), here > 0
        took, done, here = clock.seconds - started, done + steps, here + steps
        if not np.isfinite(loss):
            return best, Status.DIVERGED
        averaged = {"train": carry[1], "frozen": state["frozen"]}
        found = held_out(learner, points, stage, averaged, balance, seed)
        history.add(Record(stage.name, done, clock.seconds, loss, found))
        best = Trained(learner, averaged, found) if found < best.held_out else best
        if compiled:
            pace = (clock.seconds - started) / steps
            total = affords(clock.seconds)
            steps = int(np.clip(_SECONDS / max(took / steps, 1e-6), _FIRST, 500))
        steps = min(steps, total - done)
        journal.keep((carry, best.state["train"], best.held_out, done, max(steps, 1), pace))
        if clock.seconds > until or clock.left <= 0:
            return best, Status.TIME
    return best, Status.FINISHED if done >= stage.steps else Status.TIME


def _balance(learner: Learner, arrays: tuple, terms: Any, stage: Stage, state: State, seed: tuple[int, ...]) -> Array:
    """A weight for each equation: the data's gradient over its own at the start (Wang et al. 2021, arXiv 2001.04536)."""
    if not terms:
        return jnp.zeros(0, learner.dtype)
    key = sampling.key((*seed, 62))

    @jax.jit
    def sizes(train: Any) -> Array:
        def loss(weights: Array, train: Any) -> Array:
            whole, pair = _joined(arrays, terms), (stage.queries, stage.collocation)
            state_ = {"train": train, "frozen": state["frozen"]}
            return batch_loss(learner, whole, pair, state_, weights, key, 256)

        zero = jnp.zeros(len(terms), learner.dtype)
        data = jax.grad(loss, 1)(zero, train)
        parts = [jax.tree.map(jnp.subtract, jax.grad(loss, 1)(zero.at[i].set(1.0), train), data) for i in range(len(terms))]
        return jnp.stack([optax.tree.norm(part) for part in (data, *parts)])

    data, *parts = np.asarray(sizes(state["train"]))
    return jnp.asarray(data / np.maximum(parts, 1e-12 * data), learner.dtype)


# --- the last layer --------------------------------------------------------------------------------------------------


def refitted(trained: Trained, stage: Stage, points: Points, seed: tuple[int, ...]) -> Trained:
    """The last layer of a DeepONet's branch by regularised least squares, where that makes held-out samples better.

    Outputs are H W Tᵀ with H the branch's last hidden layer for each sample and T the trunk at the query points, so that
    W = (HᵀH + μ)⁻¹ Hᵀ Y T (TᵀT)⁻¹: one system for the branch and one for the trunk (Choi et al. 2025, arXiv 2508.15394).
    """
    learner, network = trained.learner, trained.learner.network(trained.state)
    if not isinstance(network, DeepONet) or isinstance(network.branch, RidgeBranch) or learner.problem.learns_from == "sigma":
        return trained
    key = sampling.key((*seed, 63))
    hidden, basis, outputs = (
        np.asarray(a, float) for a in _rows(learner, trained.state, points.queries[:: len(points.queries) // 256], key)
    )
    wanted = np.einsum("nmf,mp->npf", outputs, pseudo_inverse(basis, 1e-6).T)
    wanted = wanted.reshape(len(hidden), -1)
    inputs = np.concatenate([hidden, np.ones((len(hidden), 1))], axis=1)
    gram, right = inputs.T @ inputs, inputs.T @ wanted
    points, balance = Points(points.queries), jnp.zeros(0, learner.dtype)
    fresh = held_out(learner, points, stage, trained.state, balance, seed)
    best = Trained(learner, trained.state, fresh)
    for penalty in _PENALTIES:
        solved = np.linalg.lstsq(gram + penalty * np.trace(gram) / len(gram) * np.eye(len(gram)), right, rcond=None)[0]
        output = {"kernel": jnp.asarray(solved[:-1], learner.dtype), "bias": jnp.asarray(solved[-1], learner.dtype)}
        branch = trained.state["train"]["branch"] | {"output": output}
        state = {"train": trained.state["train"] | {"branch": branch}, "frozen": trained.state["frozen"]}
        found = held_out(learner, points, stage, state, balance, seed)
        best = Trained(learner, state, found) if found < best.held_out else best
    return best


@partial(jax.jit, static_argnums=0)
def _rows(learner: Learner, state: State, places: Array, key: Array) -> tuple[Array, Array, Array]:
    """Of many samples the branch's last hidden layer [N, h], the trunk [m, p], and scaled outputs less the bias [N, m, F]."""
    problem, network = learner.problem, learner.network(state)
    assert isinstance(network, DeepONet)
    sensors, units = jnp.asarray(problem.sensors, learner.dtype), learner.units
    queries = sensors if problem.learns_from == "second" else places

    def one(key: Array) -> tuple[Array, Array]:
        drawn = problem.draw(key, queries)
        target = {"clean": drawn.clean, "mean": drawn.mean}.get(problem.learns_from)
        target = drawn.second[:, None] if target is None else target
        hidden = network.branch.hidden(learner.seen(network, drawn.noisy, sensors, drawn.sigma))
        size, centre = (jnp.asarray(u, learner.dtype) for u in (units.output_size, units.output_centre))
        return hidden, (target - centre[None]) / size[None] - network.bias[...][None]

    hidden, outputs = jax.lax.map(one, jax.random.split(key, _REFIT), batch_size=256)
    return hidden, jax.vmap(lambda p: network.basis(learner.encoding(p)))(queries), outputs
