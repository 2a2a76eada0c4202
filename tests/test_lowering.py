"""Every compiled piece of every method is lowered for CPU, CUDA and TPU by `jax.export`, which needs none of the devices.

So an operation that a platform has no rule for, or a call back into Python, is found here. What runs on the host by design
(LAPACK in Gauss-Newton's step, the singular values of the pre-flight check) is not compiled, and not lowered. A TPU has no
float64 of its own and emulates it slowly: what is meant for it is float32, and both are lowered for every platform.
"""

import importlib
import pkgutil
import sys
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import random_network
from jax import export
from jax.core import Tracer

import pinn
from pinn.derivatives import tanh
from pinn.exact import plan_exact
from pinn.families import Family, feature_ansatz
from pinn.loss import Weights, _values_at, draw, objective, residuals, trainable
from pinn.operators import at, d
from pinn.phases import _rows, _steps, jacobian
from pinn.rows import _by_triangle, _refined, row_scales, term_rows
from problems import burgers, exam_ode, inverse_diffusion, reaction
from problems.denoising import antiderivative, gaussian_process, piecewise_constant

PLATFORMS = ("cpu", "cuda", "tpu")
COMPILED = type(jax.jit(lambda x: x))
SMALL = partial(pinn.MLP, width=6, depth=2)
RIDGE = partial(pinn.DeepONet, rank=8, branch=partial(pinn.RidgeBranch, spectra=2, factors=2, rank=4), trunk=pinn.Harmonics)
DENSE = partial(pinn.DeepONet, rank=8, branch=partial(pinn.DenseBranch, width=8), trunk=partial(pinn.MLP, width=8, depth=1))


def lower(piece, *args):
    assert export.export(piece, platforms=PLATFORMS)(*args).platforms == PLATFORMS


@cache
def small():
    """The exam's problem around a small network in float32, with eight points."""
    problem, dtype = exam_ode.problem(), jnp.float32
    goal, weights = random_network(problem, dtype=dtype)
    goal = objective(problem, goal.approximation, plan_exact(problem, None))
    batches = draw(goal, {"equation": 8, "condition": 1}, (0,), dtype)
    return goal, weights, batches, jnp.ones(len(goal.terms), dtype)


LONGER = [pytest.param(method, marks=pytest.mark.slow) for method in (optax.lbfgs(), pinn.ssbroyden())]


@pytest.mark.parametrize("method", [optax.adam(1e-3), *LONGER], ids=["adam", "lbfgs", "ssbroyden"])
def test_steps_of_a_gradient_method(method):
    goal, weights, batches, balance = small()
    with jax.enable_x64(False):
        carry = (trainable(weights), method.init(trainable(weights)), jnp.zeros((), balance.dtype))
        lower(_steps, goal, method, carry, weights, batches, balance, jnp.asarray(3), jnp.asarray(1.0, balance.dtype))


def test_rows_of_gauss_newton():
    goal, weights, batches, balance = small()
    with jax.enable_x64(False):
        lower(_rows, goal, trainable(weights), weights, batches, balance)
        lower(jacobian, goal, trainable(weights), weights, batches, balance)


def test_mixed_precision():
    """With float64 numbers: factors and Jacobian in float32."""
    problem = exam_ode.problem()
    goal, weights = random_network(problem)
    batches = draw(goal, {"equation": 8, "condition": 1}, (0,), jnp.float64)
    lower(jacobian, goal, trainable(weights), weights, batches, jnp.ones(len(goal.terms)), 1, True)
    lower(_refined, [jnp.ones((8, 1, 3))], [jnp.ones((8, 1, 1))], [jnp.ones(1)])


@pytest.mark.slow
def test_features():
    problem = exam_ode.problem()
    exact = plan_exact(problem, None)
    basis, state = feature_ansatz(problem, exact, Family(tanh, (2.0,)), 10, (0,), jnp.float32)
    goal, weights = objective(problem, basis, exact), Weights(state, {})
    batches = draw(goal, {"equation": 20, "condition": 1}, (0,), jnp.float32)
    with jax.enable_x64(False):
        lower(residuals, goal, weights, batches)
        lower(_values_at, basis, state, batches[0].points)
        for term, batch in zip(goal.terms, batches, strict=True):
            lower(term_rows, goal, term, basis, weights, state, batch)
            rows = term_rows(goal, term, basis, weights, state, batch)
            lower(_by_triangle, [rows.matrix], [rows.residual[:, :, None]], row_scales([rows], [term]))


# --- every piece, in whole solves ------------------------------------------------------------------------------------


def pieces():
    """Every compiled function of the package by its full name."""
    for module in pkgutil.walk_packages(pinn.__path__, "pinn."):
        importlib.import_module(module.name)
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] == "pinn"]
    compiled = {value for module in modules for value in vars(module).values() if isinstance(value, COMPILED)}
    return {f"{value.__module__}.{value.__name__}": value for value in compiled}


class Lowered(set):
    """The pieces that were lowered, with the arguments that a solve called them with."""

    def watch(self, patch) -> None:
        for name, piece in pieces().items():
            seen = partial(self._called, name, piece)
            for module in [module for known, module in sys.modules.items() if known.split(".")[0] == "pinn"]:
                for attribute in [attribute for attribute, value in vars(module).items() if value is piece]:
                    patch.setattr(module, attribute, seen)

    def _called(self, name, piece, *args):
        if name not in self and not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(args)):
            lower(piece, *args)
            self.add(name)
        return piece(*args)


def delayed():
    """y' = -y(t) + y(t/2), which reads y at two places."""
    line = pinn.Interval(t=(0, 1))
    equation = lambda y, t: d(y, t) + y - at(y, t=t / 2)  # noqa: E731
    return pinn.Problem(fields="y", domain=line, residual=equation, conditions=[pinn.Initial(y=1.0)])


def pendulum():
    """Swings that features on the whole interval do not resolve: slabs of time."""
    line, start = pinn.Interval(t=(0, 60)), [pinn.Initial(y=1.0), pinn.InitialVelocity(y=0.0)]
    return pinn.Problem(fields="y", domain=line, residual=lambda y, t: d(y, t, t) + jnp.sin(y), conditions=start)


def heated():
    """u_t = u_xx + u², a wall whose value moves: steps in time."""
    box = pinn.Box(t=(0, 1), x=(0, 1))
    walls = [pinn.Dirichlet(u=lambda t: jnp.sin(t), on=box.at(x=0)), pinn.Neumann(u=0.0, on=box.at(x=1))]
    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x: d(u, t) - d(u, x, x) - u**2,
        conditions=[pinn.Initial(u=0.0), *walls],
    )


def plate():
    """The same in the plane between walls that let nothing out: steps in time with products of functions."""
    box = pinn.Box(t=(0, 1), x=(0, 1), y=(0, 1))
    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x, y: d(u, t) - pinn.laplacian(u, x, y) - u**2,
        conditions=[pinn.Initial(u=lambda x, y: jnp.cos(np.pi * x)), pinn.Neumann(u=0.0, on=box.boundary)],
    )


def solves(dtype):
    """Whole solves that need every compiled piece between them."""
    solve = partial(pinn.solve, progress=False, dtype=dtype)
    first = solve(exam_ode.problem(), tol=1e-2)
    first.evaluate(lambda y, x: d(y, x), x=0.5)
    for method in (optax.adam(1e-3), optax.lbfgs(), pinn.gauss_newton()):
        solve(exam_ode.problem(), method=pinn.Phase(method, steps=2), network=SMALL, points=20)
    solve(exam_ode.problem(), start=first, tol=1e-2)
    start = solve(reaction.problem(), time_limit=20)
    solve(reaction.problem(rho=6.0), start=start, time_limit=10)
    solve(delayed(), tol=1e-2)
    solve(inverse_diffusion.problem(), time_limit=15)
    solve(burgers.problem(nu=0.1), time_limit=60)
    solve(pendulum(), tol=1e-6, time_limit=60)
    solve(heated(), tol=1e-3)
    solve(plate(), tol=1e-3)
    solve(exam_ode.problem(), dtype="mixed", tol=1e-2)
    few = pinn.Phase(optax.adam(1e-3), steps=11)
    solve(gaussian_process.problem(sensors=12), network=RIDGE, method=few, time_limit=15)
    solve(piecewise_constant.problem(sensors=12), network=pinn.ChainOperator, method=few, time_limit=15)
    solve(antiderivative.problem(sensors=12), network=DENSE, method=few, time_limit=15)(np.ones(12), x=0.5)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore::pinn.PinnWarning")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_compiled_piece_of_whole_solves(monkeypatch, dtype):
    lowered = Lowered()
    lowered.watch(monkeypatch)
    solves(dtype)
    wide = {
        name for name in pieces() if name.startswith(("pinn.space.", "pinn.separable.", "pinn.stepping."))
    }  # steps in time need float64
    missing = pieces().keys() - lowered - (wide if dtype == "float32" else set())
    assert not missing, f"No solve of this test calls {sorted(missing)}: add one that does."
