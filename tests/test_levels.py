"""Levels of steps in time: their estimate against the truth, what ends them, refining, saving."""

import jax.numpy as jnp
import numpy as np
import pytest

import pinn
from pinn import Trust, d, levels
from pinn.exact import plan_exact
from pinn.features import Setup
from pinn.history import Clock, History
from pinn.judging import judge_steps
from pinn.levels import step_through, steppable
from pinn.loss import field_values
from pinn.timeline import timeline

BOX = pinn.Box(t=(0, 1), x=(-1, 1))


def front() -> pinn.Problem:
    """Burgers' equation: a front that moves."""

    def wave(t, x):
        return 1 - jnp.tanh((x + 0.5 - t) / 0.08)

    return pinn.Problem(
        fields="u",
        domain=BOX,
        residual=lambda u, t, x: d(u, t) + u * d(u, x) - 0.04 * d(u, x, x),
        conditions=[pinn.Initial(u=lambda x: wave(0.0, x)), pinn.Dirichlet(u=wave, on=BOX.boundary)],
        reference=wave,
    )


def through(problem, tol=None, key=0):
    exact = plan_exact(problem, None)
    setup, time, history = Setup(problem, exact, (key,), np.dtype("float64")), timeline(problem, exact), History()
    assert steppable(problem, time, setup.dtype)
    outcome, status = step_through(setup, time, tol, Clock(None), history)
    return setup, outcome, status, history


@pytest.fixture(scope="module")
def solution():
    return pinn.solve(front(), tol=1e-6, progress=False)


def test_a_solve_of_a_nonlinear_problem_that_evolves_takes_steps(solution):
    assert solution.setup.level is not None and {record.phase for record in solution.history} == {"steps"}
    assert solution.status is pinn.Status.REACHED
    assert "steps in time" in str(solution.plan)


def test_the_estimate_is_within_a_factor_2(solution):
    true = solution.errors().fields["u"].relative_l2
    assert solution.trust is Trust.TRUSTED
    assert 0.5 < solution.error_estimate["u"] / true < 2


def test_conditions_are_met_and_derivatives_can_be_asked_for(solution):
    report = solution.errors()
    assert max(report.conditions.values()) < 1e-5
    t, x = np.array([0.2, 0.7]), np.array([-0.35, 0.25])
    slope = solution.evaluate(lambda u, t, x: d(u, x), t=t, x=x)
    np.testing.assert_allclose(slope, -1 / np.cosh((x + 0.5 - t) / 0.08) ** 2 / 0.08, rtol=1e-3)
    assert np.max(np.abs(solution.residual(t=t, x=x))) < 1e-2


@pytest.mark.slow
def test_refining_comes_closer_and_is_judged_anew(solution):
    finer = solution.refine()
    true, before = (each.errors().fields["u"].relative_l2 for each in (finer, solution))
    assert true < 0.3 * before
    assert 0.2 < finer.error_estimate["u"] / true < 5


def test_saved_steps_are_loaded_whole(solution, tmp_path):
    solution.save(tmp_path / "front")
    loaded, whole = pinn.load(tmp_path / "front"), pinn.load(tmp_path / "front", front())
    t, x = np.random.default_rng(0).uniform(0, 1, 50), np.random.default_rng(1).uniform(-1, 1, 50)
    np.testing.assert_array_equal(whole(t=t, x=x), solution(t=t, x=x))
    np.testing.assert_allclose(loaded(t=t, x=x), solution(t=t, x=x), atol=1e-12)
    assert whole.setup.level == solution.setup.level
    np.testing.assert_allclose(whole.residual(t=t, x=x), solution.residual(t=t, x=x), atol=1e-9)


@pytest.mark.slow
def test_layers_get_features(solution):
    """The front is a hundredth of what it passes: the features crowd there."""
    assert solution.setup.level.width <= 1024
    judged = judge_steps(solution.setup, timeline(front(), solution.setup.exact), solution.goal, solution.weights)
    assert judged.trust is not Trust.UNKNOWN


def test_a_loose_tolerance_ends_early(solution):
    *_, rough = through(front(), 1e-2)
    assert len(rough) < len(list(solution.history))


@pytest.mark.parametrize("another", [True, False])
def test_where_one_of_three_stands_apart_another_decides(monkeypatch, another):
    """The first judge beside has an error of its own, ten times that of the answer."""
    noise, asked, honest = 3e-4, [], levels._Stepper.beside

    def beside(stepper, last):
        asked.append(last.level.width)
        if len(asked) > 1:
            return honest(stepper, last) if another else None
        found = honest(stepper, last)
        return found._replace(values=found.values + noise * np.cos(np.arange(len(found.values)))[:, None])

    monkeypatch.setattr(levels._Stepper, "beside", beside)
    _, outcome, _, _ = through(front(), 1e-4)
    points = np.stack(np.meshgrid(np.linspace(0, 1, 31), np.linspace(-1, 1, 41)), axis=-1).reshape(-1, 2)
    known = np.asarray(front().reference(points)["u"])
    found = np.asarray(field_values(outcome.goal, outcome.weights, jnp.asarray(points)))[:, 0]
    true = np.linalg.norm(found - known) / np.linalg.norm(known)
    assert len(asked) == 2 and asked[1] < asked[0]
    assert outcome.estimate.trust is (Trust.ROUGH if another else Trust.UNKNOWN)
    assert bool(0.2 < outcome.estimate.errors["u"] / true < 5) is another


@pytest.mark.slow
def test_two_keys_agree_within_their_estimates():
    points = np.stack([np.linspace(0.05, 0.95, 40), np.linspace(-0.9, 0.9, 40)], axis=1)
    one, two = (pinn.solve(front(), tol=1e-5, key=key, progress=False)(t=points[:, 0], x=points[:, 1]) for key in (1, 2))
    assert np.max(np.abs(one - two)) < 1e-4


@pytest.mark.slow
def test_a_coarse_solution_is_the_finest_level(monkeypatch):
    """Of large errors the last level is worth more than what it says of the one before."""
    monkeypatch.setattr(levels, "_WIDTHS", (32, 40))
    _, outcome, _, _ = through(front())
    points = np.stack(np.meshgrid(np.linspace(0, 1, 31), np.linspace(-1, 1, 41)), axis=-1).reshape(-1, 2)
    known = np.asarray(front().reference(points)["u"])
    found = np.asarray(field_values(outcome.goal, outcome.weights, jnp.asarray(points)))[:, 0]
    true = np.linalg.norm(found - known) / np.linalg.norm(known)
    assert outcome.width == 40
    assert outcome.estimate.trust is not Trust.TRUSTED and 0.2 < outcome.estimate.errors["u"] / true < 5


@pytest.mark.slow
def test_a_hole_is_seen_and_saved(monkeypatch, tmp_path):
    """Features of the inversion at a hole come back as they were."""
    monkeypatch.setattr(levels, "_PLANE", (96, 128))
    shape = pinn.Disk(x=0, y=0, radius=1) - pinn.Disk(x=0.3, y=0.2, radius=0.3)

    def build():
        return pinn.Problem(
            fields="u",
            domain=pinn.Interval(t=(0, 0.5)) * shape,
            residual=lambda u, t, x, y: d(u, t) - 0.1 * pinn.laplacian(u, x, y) + u**3,
            conditions=[pinn.Initial(u=lambda x, y: 1 + x * y), pinn.Neumann(u=0.0, on=shape.boundary)],
        )

    solution = pinn.solve(build(), tol=0.2, progress=False)
    assert solution.setup.level is not None and solution.goal.approximation.runs[0].encoding.singular
    solution.save(tmp_path / "ring")
    points = {"t": np.full(20, 0.3), "x": np.linspace(-0.9, -0.1, 20), "y": np.linspace(-0.3, 0.3, 20)}
    for loaded in (pinn.load(tmp_path / "ring", build()), pinn.load(tmp_path / "ring")):
        np.testing.assert_allclose(loaded(**points), solution(**points), atol=1e-12)


def test_where_steps_do_not_serve():
    line = pinn.Interval(t=(0, 1))
    alone = pinn.Problem(fields="y", domain=line, residual=lambda y, t: d(y, t) + y**3, conditions=[pinn.Initial(y=1.0)])
    summed = pinn.Problem(
        fields="u",
        domain=BOX,
        residual=lambda u, t, x: d(u, t) - pinn.integral(u, x, -1, 1) + u,
        conditions=[pinn.Initial(u=1.0)],
    )
    ball, rest = pinn.Ball(x=0, y=0, z=0, radius=1), pinn.Initial(u=1.0)
    solid = pinn.Problem(
        fields="u",
        domain=ball * pinn.Interval(t=(0, 1)),
        residual=lambda u, t, x, y, z: d(u, t) - pinn.laplacian(u, x, y, z) + u**3,
        conditions=[rest, pinn.Dirichlet(u=0.0, on=ball.boundary)],
    )
    for problem in (alone, summed, solid):
        assert not steppable(problem, timeline(problem, plan_exact(problem, None)), np.dtype("float64"))
    assert not steppable(front(), timeline(front(), plan_exact(front(), None)), np.dtype("float32"))
