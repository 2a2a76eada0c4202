"""Faults injected on purpose: undefined numbers, steps too long, disks that are full. Each ends with a status or a message."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import random_network

import pinn
from pinn import d, features, training
from pinn.errors import CheckpointError, ResidualError, ResourceError
from pinn.exact import plan_exact
from pinn.faults import fault
from pinn.features import Setup
from pinn.history import Clock, History
from pinn.loss import draw, objective
from pinn.phases import run_phases
from problems import exam_ode

LINE = pinn.Interval(x=(0, 1))


def with_residual(residual):
    ends = pinn.Dirichlet(y=0.0, on=LINE.boundary)
    return pinn.Problem(fields="y", domain=LINE, residual=residual, conditions=[ends])


def trained(problem, *phases):
    goal, weights = random_network(problem)
    setup, history = Setup(problem, plan_exact(problem, None), (0,), jnp.dtype("float64")), History()
    goal = objective(problem, goal.approximation, setup.exact)
    weights, status = run_phases(setup, goal, weights, phases, {"equation": 32, "condition": 1}, Clock(None), history)
    return goal, weights, status, history


def test_a_hopeless_step_size_ends_with_the_last_good_state():
    goal, weights, status, history = trained(exam_ode.problem(), pinn.Phase(optax.sgd(1e200), steps=200))
    assert status is pinn.Status.DIVERGED
    assert len(history) == 5
    assert all("equation is nan at x = " in record.note and "back to step 0" in record.note for record in history)
    assert fault(goal, weights, draw(goal, {"equation": 32, "condition": 1}, (0,), jnp.float64)) is None


def test_shorter_steps_after_steps_too_long():
    """Gradient descent leaves every bound at a rate of 10, grows at 3, and holds at 0.9."""
    _, _, status, history = trained(exam_ode.problem(), pinn.Phase(optax.sgd(10.0), steps=200))
    assert status is pinn.Status.FINISHED
    first, second, *kept = history.records
    assert "equation is nan at x = " in first.note
    assert "the loss grew from" in second.note and "back to step 0, with shorter steps" in second.note
    assert [(record.step, record.note) for record in kept] == [(100, ""), (200, "")]
    assert kept[-1].loss < 1e-2


def test_a_fault_is_named_with_its_equation_and_point():
    problem = with_residual(lambda y, x: {"one": d(y, x, x), "two": jnp.log(x - 0.5) + y})
    goal, weights = random_network(problem)
    batches = draw(goal, {"equation": 64, "condition": 1}, (0,), jnp.float64)
    found = fault(goal, weights, batches)
    below = np.asarray(batches[0].points)[:, 0] < 0.5
    first = np.asarray(batches[0].points)[below][0, 0]
    assert found == f"equation 'two' is nan at x = {first:.4g} ({below.sum()} of 64 points)"


def test_an_undefined_residual_is_a_status_and_a_warning():
    problem = with_residual(lambda y, x: d(y, x, x) + jnp.sqrt(x - 0.5))
    with pytest.warns(pinn.AccuracyWarning, match=r"infinite or undefined.*equation is nan at x = 0\.\d+ \(\d+ of 256 points\)"):
        solution = pinn.solve(problem, time_limit=20, progress=False)
    assert solution.status is pinn.Status.DIVERGED
    assert solution.trust is pinn.Trust.UNKNOWN


def test_a_full_disk_leaves_what_was_saved(tmp_path, monkeypatch):
    solution = pinn.solve(exam_ode.problem(), tol=1e-6, progress=False)
    solution.save(tmp_path / "a")

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(CheckpointError, match=r"could not be written: No space left on device. What was there is unchanged"):
            solution.save(tmp_path / "a")
    assert pinn.load(tmp_path / "a")(x=1.0) == pytest.approx(solution(x=1.0))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_residual_that_fails_late_is_told_in_words():
    tables = {"rate": 1.0}
    problem = with_residual(lambda y, x: d(y, x, x) + tables["rate"])
    del tables["rate"]
    with pytest.raises(ResidualError, match=r"fails when it is called at one point: KeyError: 'rate'"):
        pinn.solve(problem, progress=False)


def full_beyond(function, least):
    """The function on a device that has memory for pieces that are `least` times smaller."""

    def call(*arguments, smaller=1):
        smaller = arguments[6] if len(arguments) > 6 else smaller
        if smaller < least:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 123 bytes.")
        return function(*arguments)

    return call


def test_less_memory_means_smaller_pieces(monkeypatch):
    goal, weights = random_network(exam_ode.problem())
    batches = draw(goal, {"equation": 3000, "condition": 1}, (0,), jnp.float64)
    whole = features.linearised(goal, weights, None, (), batches)
    monkeypatch.setattr(features, "term_rows", full_beyond(features.term_rows, 16))
    for rows, again in zip(whole, features.linearised(goal, weights, None, (), batches), strict=True):
        np.testing.assert_allclose(again.residual, rows.residual, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(again.slopes, rows.slopes, rtol=1e-12)


def test_too_little_memory_is_told_in_words(monkeypatch):
    monkeypatch.setattr(features, "term_rows", full_beyond(features.term_rows, 100))
    with pytest.raises(ResourceError, match=r"The memory of cpu \(cpu\) is not enough. Give fewer points=, a smaller network="):
        pinn.solve(exam_ode.problem(), progress=False)


def test_features_that_do_not_fit_into_memory_end_with_those_that_did(monkeypatch):
    def fitted(setup, family, width, *rest, own=training.fitted):
        if width > 8:
            raise MemoryError
        return own(setup, family, width, *rest)

    monkeypatch.setattr(training, "fitted", fitted)
    problem = exam_ode.problem()
    setup = Setup(problem, plan_exact(problem, None), (0,), jnp.dtype("float64"))
    clock, history = Clock(None), History()
    explored = training.explore(setup, 8, 1e-12, clock, history)
    outcome, status = training.widen(setup, explored, (80,), 1e-12, clock, history)
    assert status is pinn.Status.MEMORY
    assert outcome.width == 8 and outcome.estimate.worst < 1
