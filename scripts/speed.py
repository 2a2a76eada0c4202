"""Training steps per second beside those of loops written by hand: `python scripts/speed.py`."""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import pinn
from pinn import d
from problems.denoising import gaussian_process

_STEPS = 1000


@dataclass(frozen=True)
class Case:
    """A problem, its residual written by hand for u(params, *point), and sizes."""

    name: str
    problem: pinn.Problem
    by_hand: Callable
    lift: Callable
    factor: Callable
    width: int
    depth: int
    points: int
    dtype: str


def exam_ode() -> Case:
    """y'' + y' + y = 0 on [0, 5], y(0) = 1, y(5) = 0."""
    line = pinn.Interval(x=(0, 5))
    ends = [pinn.Dirichlet(y=1.0, on=line.at(x=0)), pinn.Dirichlet(y=0.0, on=line.at(x=5))]
    problem = pinn.Problem(fields="y", domain=line, residual=lambda y, x: d(y, x, x) + d(y, x) + y, conditions=ends)

    def by_hand(u: Callable, x: Any) -> Any:
        slope = jax.grad(u)
        return jax.grad(slope)(x) + slope(x) + u(x)

    return Case("exam ODE", problem, by_hand, lambda x: 1 - x / 5, lambda x: 4 * (x / 5) * (1 - x / 5), 20, 3, 1024, "float64")


def burgers() -> Case:
    """u_t + u u_x = ν u_xx, ν = 0.01/π, on [0, 1] × [-1, 1]."""
    box, nu = pinn.Box(t=(0, 1), x=(-1, 1)), 0.01 / np.pi
    start, walls = pinn.Initial(u=lambda x: -jnp.sin(jnp.pi * x)), pinn.Dirichlet(u=0.0, on=box.at(x=(-1, 1)))
    problem = pinn.Problem(
        fields="u", domain=box, residual=lambda u, t, x: d(u, t) + u * d(u, x) - nu * d(u, x, x), conditions=[start, walls]
    )

    def by_hand(u: Callable, t: Any, x: Any) -> Any:
        u_t, u_x = jax.grad(u, 0), jax.grad(u, 1)
        return u_t(t, x) + u(t, x) * u_x(t, x) - nu * jax.grad(u_x, 1)(t, x)

    return Case(
        "Burgers", problem, by_hand, lambda t, x: -jnp.sin(jnp.pi * x), lambda t, x: t * (1 - x * x), 50, 4, 10_000, "float32"
    )


def layers(rng: np.random.Generator, sizes: Sequence[int], dtype: str) -> list[tuple[Any, Any]]:
    """Kernels and biases of a network by hand."""
    return [(jnp.asarray(rng.normal(size=(a, b)) * np.sqrt(2 / (a + b)), dtype), jnp.zeros(b, dtype)) for a, b in pairwise(sizes)]


def hand_written(case: Case, points: np.ndarray) -> Callable[[int], None]:
    """Adam on the same network, points and loss, as a person would write it in JAX: derivatives by jax.grad of jax.grad."""
    lower, upper = case.problem.domain.bounds
    sizes = [len(lower)] + [case.width] * case.depth + [1]
    rng = np.random.default_rng(0)
    weights = layers(rng, sizes, case.dtype)
    x = jnp.asarray(points, case.dtype)
    centre, half = (jnp.asarray(v, case.dtype) for v in ((lower + upper) / 2, (upper - lower) / 2))
    optimiser = optax.adam(1e-3)

    def loss(weights: list) -> Any:
        def u(*point: Any) -> Any:
            h = (jnp.stack(point) - centre) / half
            for kernel, bias in weights[:-1]:
                h = jnp.tanh(h @ kernel + bias)
            kernel, bias = weights[-1]
            return case.lift(*point) + case.factor(*point) * (h @ kernel + bias)[0]

        return jnp.mean(jax.vmap(lambda p: case.by_hand(u, *p))(x) ** 2)

    @jax.jit
    def steps(carry: tuple) -> tuple:
        def step(_: Any, carry: tuple) -> tuple:
            weights, state = carry
            updates, state = optimiser.update(jax.grad(loss)(weights), state)
            return optax.apply_updates(weights, updates), state

        return jax.lax.fori_loop(0, 100, step, carry)

    carry = (weights, optimiser.init(weights))

    def run(count: int) -> None:
        nonlocal carry
        for _ in range(count // 100):
            carry = steps(carry)
        jax.block_until_ready(carry)

    return run


def of_package(case: Case) -> tuple[Callable[[int], None], np.ndarray]:
    """The package's own training steps for the case, and the points that they use."""
    from pinn import loss, phases
    from pinn.defaults import recommend
    from pinn.features import Setup
    from pinn.solve import _network

    method = optax.adam(1e-3)
    network = partial(pinn.MLP, width=case.width, depth=case.depth)
    plan = recommend(case.problem, network=network, method=pinn.Phase(method, steps=_STEPS), points=case.points, dtype=case.dtype)
    setup = Setup(case.problem, plan.exact, (0,), plan.dtype)
    goal, weights = _network(setup, plan, None)
    batches = loss.draw(goal, dict(plan.points), (0,), plan.dtype)
    balance = jnp.ones(len(goal.terms), plan.dtype)
    method = optax.with_extra_args_support(method)
    state = method.init(loss.trainable(weights))

    def run(count: int) -> None:
        nonlocal weights, state
        for _ in range(count // 100):
            weights, state, _ = phases._traced_steps(goal, method, weights, state, batches, balance, 100)
        jax.block_until_ready(weights)

    return run, np.asarray(batches[0].points)


SIGNALS, QUERIES, RANK, WIDTH = 64, 64, 64, 128  # of a step of the operator


def operator_of_package(problem: pinn.OperatorProblem) -> Callable[[int], None]:
    """The package's own steps of a DeepONet, fresh signals in each."""
    from pinn.operator_learning.learner import Learner, layout_of, make_state, measure_units
    from pinn.operator_learning.linear import draw_many
    from pinn.operator_learning.plan import recommend_operator
    from pinn.operator_learning.solve import _make
    from pinn.operator_learning.training import _advance, _divided, make_points

    network = partial(pinn.DeepONet, rank=RANK, branch=partial(pinn.DenseBranch, width=WIDTH))
    plan = recommend_operator(problem, network=network, method=pinn.Phase(optax.adam(1e-3), steps=_STEPS), dtype="float32")
    stage, points = plan.stages[0], make_points(problem, plan.dtype, (0,))
    units = measure_units(problem, draw_many(problem, jax.random.key(0), points.queries[:64], 1000))
    graph, state = make_state(_make(stage, layout_of(problem, plan.dtype), problem, plan, (0,)))
    learner, (arrays, terms) = Learner(problem, graph, units, plan.dtype), _divided(points)
    assert (stage.batch, stage.queries) == (SIGNALS, QUERIES)
    assert stage.method is not None
    carry = state["train"], state["train"], stage.method.init(state["train"])
    done = 0

    def run(count: int) -> None:
        nonlocal carry, done
        numbers = (jnp.asarray(done), jnp.asarray(count), jnp.asarray(1e6))
        carry, _ = _advance(
            learner, arrays, terms, stage, carry, state["frozen"], jnp.zeros(0, plan.dtype), jax.random.key(1), *numbers
        )
        done += count
        jax.block_until_ready(carry)

    return run


def operator_by_hand(problem: pinn.OperatorProblem) -> Callable[[int], None]:
    """The same DeepONet, signals and loss as a person would write them in JAX."""
    rng, optimiser = np.random.default_rng(0), optax.adam(1e-3)
    places, angles = jnp.linspace(0, 1, 4096, dtype="float32"), jnp.asarray(2 * rng.normal(size=(1, 32)), "float32")

    inputs = len(problem.sensors)
    sizes = [inputs, WIDTH, WIDTH], [WIDTH + inputs, RANK], [64, 64, 64, 64], [64, RANK]
    weights = *(layers(rng, each, "float32") for each in sizes), jnp.zeros((), "float32")

    def loss(weights: tuple, key: Any) -> Any:
        branch, [(kernel, offset)], hidden, [(across, shift)], bias = weights
        which, what = jax.random.split(key)
        x = places[jax.random.randint(which, (QUERIES,), 0, len(places))]

        def trunk(x: Any) -> Any:
            h = (2 * x[None] - 1) @ angles
            h = jnp.concatenate([jnp.sin(h), jnp.cos(h)])
            for a, b in hidden:
                h = jnp.tanh(h @ a + b)
            return h @ across + shift

        functions = jax.vmap(trunk)(x)

        def one(key: Any) -> Any:
            signal = problem.sample(key)
            h = noisy = jnp.asarray(signal.noisy, "float32")
            for a, b in branch:
                h = jax.nn.gelu(h @ a + b)
            code = jnp.concatenate([h, noisy]) @ kernel + offset
            clean: Any = signal.clean
            return jnp.mean((functions @ code + bias - jax.vmap(clean)(x)) ** 2)

        return jnp.mean(jax.vmap(one)(jax.random.split(what, SIGNALS)))

    @jax.jit
    def steps(carry: tuple, key: Any, count: Any) -> tuple:
        def step(i: Any, carry: tuple) -> tuple:
            weights, state = carry
            updates, state = optimiser.update(jax.grad(loss)(weights, jax.random.fold_in(key, i)), state)
            return optax.apply_updates(weights, updates), state

        return jax.lax.fori_loop(0, count, step, carry)

    carry = (weights, optimiser.init(weights))

    def run(count: int) -> None:
        nonlocal carry
        carry = steps(carry, jax.random.key(1), jnp.asarray(count))
        jax.block_until_ready(carry)

    return run


def compare_operators(repeats: int = 5) -> dict[str, Any]:
    """The same for a DeepONet that learns to denoise: signals are drawn inside of both compiled loops."""
    problem = gaussian_process.problem()
    rates = _in_turn(operator_of_package(problem), operator_by_hand(problem), 200, repeats)
    return {"case": "denoising, DeepONet", "dtype": "float32", "points": SIGNALS * QUERIES} | rates


def compare(case: Case, repeats: int = 5) -> dict[str, Any]:
    """Steps per second of both."""
    ours, points = of_package(case)
    rates = _in_turn(ours, hand_written(case, points), 1000 if case.points < 5000 else 100, repeats)
    return {"case": case.name, "dtype": case.dtype, "points": case.points} | rates


def _in_turn(ours: Callable[[int], None], theirs: Callable[[int], None], count: int, repeats: int) -> dict[str, float]:
    """Steps per second of both, taken in turn so that a busy machine slows both alike; the median of the repeats."""
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    ours(100)
    theirs(100)
    for _ in range(repeats):
        for name, run in (("ours", ours), ("theirs", theirs)):
            began = time.perf_counter()
            run(count)
            seconds[name].append((time.perf_counter() - began) / count)
    mine, other = (1 / float(np.median(seconds[name])) for name in ("ours", "theirs"))
    return {"steps/s": mine, "by hand": other, "ratio": mine / other}


def speed(output: Path) -> None:
    """The comparison for every case, printed as Markdown and written as JSON."""
    rows = []
    for case in (exam_ode(), burgers()):
        with jax.enable_x64(case.dtype == "float64"):
            rows.append(compare(case))
    with jax.enable_x64(False):
        rows.append(compare_operators())
    print("| case | precision | points | steps/s | by hand | ratio |\n|---|---|--:|--:|--:|--:|")
    for row in rows:
        print("| {case} | {dtype} | {points} | {steps/s:.0f} | {by hand:.0f} | {ratio:.2f} |".format(**row))
    output.mkdir(parents=True, exist_ok=True)
    machine = {"processor": platform.processor() or platform.machine(), "devices": [str(device) for device in jax.devices()]}
    (output / "speed.json").write_text(json.dumps({"machine": machine, "jax": jax.__version__, "rows": rows}, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("runs/benchmark"), help="folder for the JSON")
    options = parser.parse_args()
    speed(options.output)


if __name__ == "__main__":
    main()
