"""Faults injected on purpose: undefined numbers, steps too long, disks that are full. Each ends with a status or a message."""

import os
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import random_network

import pinn
from pinn import checkpoint, d, marching, memory, rows, slabs, training
from pinn.errors import CheckpointError, ResidualError, ResourceError
from pinn.exact import plan_exact
from pinn.faults import fault
from pinn.features import Setup
from pinn.history import Clock, History
from pinn.journal import Journal
from pinn.loss import draw, objective
from pinn.phases import run_phases
from pinn.timeline import timeline
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
        solution = pinn.solve(problem, time_limit=8, progress=False)
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
    whole = rows.linearised(goal, weights, None, (), batches)
    monkeypatch.setattr(rows, "term_rows", full_beyond(rows.term_rows, 16))
    for first, again in zip(whole, rows.linearised(goal, weights, None, (), batches), strict=True):
        np.testing.assert_allclose(again.residual, first.residual, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(again.slopes, first.slopes, rtol=1e-12)


def test_too_little_memory_is_told_in_words(monkeypatch):
    monkeypatch.setattr(rows, "term_rows", full_beyond(rows.term_rows, 100))
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


def setup_of(problem, **options):
    return Setup(problem, plan_exact(problem, None), (0,), jnp.dtype("float64"), **options)


def test_features_that_cannot_be_judged_are_not_trusted(monkeypatch):
    def assess(*arguments):
        raise MemoryError

    monkeypatch.setattr(training, "assess", assess)
    setup, clock, history = setup_of(exam_ode.problem()), Clock(None), History()
    explored = training.explore(setup, 8, 1e-12, clock, history)
    outcome, status = training.widen(setup, explored, (80,), 1e-12, clock, history)
    assert status is pinn.Status.MEMORY and outcome.width == 8
    assert outcome.estimate.trust is pinn.Trust.UNKNOWN and outcome.estimate.errors == {"y": np.inf}
    assert "memory ran out" in outcome.estimate.reason


@pytest.mark.slow
def test_a_network_that_cannot_be_judged_is_kept(monkeypatch, tmp_path):
    """Training may have taken hours."""

    def assess(*arguments):
        raise MemoryError

    monkeypatch.setattr(import_module("pinn.solve"), "assess", assess)
    with pytest.warns(pinn.AccuracyWarning, match=r"more memory than there is.*estimated error inf, unknown.*memory ran out"):
        solution = pinn.solve(exam_ode.problem(), method=pinn.Phase(optax.adam(1e-3), 1), points=32, progress=False)
    assert solution.status is pinn.Status.MEMORY and np.isfinite(solution(x=1.0))
    solution.save(tmp_path / "a")
    assert pinn.load(tmp_path / "a").error_estimate == {"y": np.inf}


# --- memory in a march


def marched(monkeypatch, most, widths=(12, 24, 48), tol=None, **options):
    """A march on a device that has memory for so many features in a slab; what it ends with, and the widths tried.

    Of a kink that no features resolve, so that more of them are asked for.
    """
    line = pinn.Interval(t=(0, 6))
    start = pinn.Initial(y=1.0)
    problem = pinn.Problem(fields="y", domain=line, residual=lambda y, t: d(y, t) - jnp.abs(t - 2.3), conditions=[start])
    setup, tried = setup_of(problem, **options), []

    def newton(goal, weights, basis, state, *arguments, own=slabs.newton):
        tried.append(rows.coefficient_count(basis, state) - 1)
        if tried[-1] > most:
            raise MemoryError
        return own(goal, weights, basis, state, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(slabs, "newton", newton)
        time, clock = timeline(problem, setup.exact), Clock(None, setup.journal)
        outcome, status = marching.march_through(setup, time, widths, tol, clock, setup.journal.history)
    return outcome, status, tried


@pytest.mark.slow
def test_a_march_goes_on_with_the_features_that_fit(monkeypatch):
    outcome, status, tried = marched(monkeypatch, 12)
    assert status is pinn.Status.MEMORY
    assert max(tried) == 24 and tried.count(24) == 1
    assert {drawn.width for drawn in outcome.drawn} == {12}
    assert outcome.edges[-1] == 6 and outcome.estimate.worst < 1e-2


@pytest.mark.slow
def test_a_march_that_does_not_fit_ends_with_the_one_before(monkeypatch):
    monkeypatch.setattr(marching.Marcher, "richer", lambda self, slab, size: slab)
    outcome, status, tried = marched(monkeypatch, 12)
    assert status is pinn.Status.MEMORY and tried[-1] == 24
    assert {drawn.width for drawn in outcome.drawn} == {12} and np.isfinite(outcome.estimate.worst)


def test_no_march_fits(monkeypatch):
    assert marched(monkeypatch, 11)[:2] == (None, pinn.Status.MEMORY)


@pytest.mark.slow
def test_a_march_that_cannot_be_judged_is_kept(monkeypatch):
    def judge(*arguments):
        raise MemoryError

    monkeypatch.setattr(marching, "judge", judge)
    outcome, status, _ = marched(monkeypatch, 48)
    assert status is pinn.Status.MEMORY and outcome.edges[-1] == 6
    assert outcome.estimate.trust is pinn.Trust.UNKNOWN and "memory ran out" in outcome.estimate.reason


@pytest.mark.slow
def test_what_did_not_fit_is_not_tried_again_on_resuming(monkeypatch, tmp_path):
    """But where it was the last thing that the earlier run did."""
    path = tmp_path / "a.ck"
    with Journal(path) as journal:
        outcome, _, tried = marched(monkeypatch, 12, journal=journal)
    again, _, retried = marched(monkeypatch, 10**9, journal=Journal(path, found=checkpoint.latest(path)))
    assert retried == [] and 24 in tried
    assert again.edges == outcome.edges and again.drawn == outcome.drawn
    with Journal(path) as journal:
        assert marched(monkeypatch, 11, journal=journal)[0] is None
    outcome, _, retried = marched(monkeypatch, 12, journal=Journal(path, found=checkpoint.latest(path)))
    assert retried[0] == 12 and outcome.edges[-1] == 6


@pytest.mark.parametrize(("most", "forgotten"), [(7, True), (8, False)])
def test_compiled_pieces_are_let_go_where_a_process_has_many_memory_maps(most, forgotten, tmp_path, monkeypatch):
    maps, limit = tmp_path / "maps", tmp_path / "limit"
    maps.write_text("one\n" * 4)
    limit.write_text(f"{most}\n")
    monkeypatch.setattr(memory, "_MAPS", maps)
    monkeypatch.setattr(memory, "_MOST_MAPS", limit)
    square = jax.jit(lambda x: x**2)
    square(1.0)
    assert memory.forget_if_many() is forgotten
    assert square._cache_size() == (not forgotten)
    monkeypatch.setattr(memory, "_MAPS", tmp_path / "nowhere")
    assert not memory.forget_if_many()
