"""Solves that begin from an earlier solution: branches that are followed, sweeps, weights that are trained on."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import random_network
from problems_with_answers import bratu
from scipy.integrate import solve_bvp
from scipy.optimize import brentq

import pinn
from pinn import d
from pinn.continuation import Start
from pinn.derivatives import sin
from pinn.errors import CheckpointError, ProblemError
from pinn.exact import plan_exact
from pinn.families import Family, candidates
from pinn.features import Setup, fit
from pinn.history import History
from pinn.interrupts import Interrupts
from pinn.loss import draw, field_values, objective
from pinn.resume import resume
from problems import bratu as bratu_on_a_disk
from problems import exam_ode

LINE = pinn.Interval(x=(0, 1))
SMOOTH = Family(sin, (4.0,))


def on_line(residual, left=0.0, **more):
    ends = [pinn.Dirichlet(u=left, on=LINE.at(x=0)), pinn.Dirichlet(u=0.0, on=LINE.at(x=1))]
    return pinn.Problem(fields="u", domain=LINE, residual=residual, conditions=ends, **more)


def setup_of(problem, start=None):
    return Setup(problem, plan_exact(problem, None), (0,), jnp.dtype("float64"), start=start)


def begun(setup, found):
    goal = objective(setup.problem, found.approximation, setup.exact)
    return Start(goal, found.weights, found.family, 60, True, 1e-12)


def values(setup, found, xs):
    goal = objective(setup.problem, found.approximation, setup.exact)
    return np.asarray(field_values(goal, found.weights, jnp.asarray(xs)[:, None]))[:, 0]


@pytest.fixture(scope="module")
def tall():
    """u'' = -32, as high as the hot solution of u'' + eᵘ = 0."""
    setup = setup_of(on_line(lambda u, x: d(u, x, x) + 32))
    return begun(setup, fit(setup, SMOOTH, 60))


@pytest.mark.parametrize("hot", [pytest.param(False, marks=pytest.mark.slow), True])
def test_newton_ends_on_the_branch_that_it_begins_on(hot, tall):
    """Liouville: u = -2 log(cosh((x - ½) θ/2) / cosh(θ/4)), θ = √2 cosh(θ/4), which has two solutions."""
    setup = setup_of(on_line(lambda u, x: d(u, x, x) + jnp.exp(u)), tall if hot else None)
    found, xs = fit(setup, SMOOTH, 80), np.linspace(0, 1, 51)
    theta = brentq(lambda s: s - np.sqrt(2) * np.cosh(s / 4), *((5, 20) if hot else (0, 4)), xtol=1e-15)
    np.testing.assert_allclose(
        values(setup, found, xs), -2 * np.log(np.cosh((xs - 0.5) * theta / 2) / np.cosh(theta / 4)), atol=1e-5
    )


@pytest.mark.slow
def test_what_the_earlier_solution_met_exactly_belongs_to_it():
    """u = 3 (1 - x) is the earlier solution, of which its features are nothing; the term of the new problem reads u u'."""
    before = setup_of(on_line(lambda u, x: d(u, x, x) + 0 * x, left=3.0))
    start = begun(before, fit(before, SMOOTH, 60))
    goal, weights = random_network(on_line(lambda u, x, k: u * d(u, x) * k, parameters={"k": pinn.Parameter(1.0)}))
    (batch, *_), expression = _drawn(goal), goal.terms[0].expression
    (given, *_) = start.about(goal, weights.unknown, _drawn(goal))
    x = np.asarray(batch.points)[:, 0]
    found = {leaf.index: np.asarray(given.given)[:, expression.slots[leaf]].ravel() for leaf in expression.read}
    np.testing.assert_allclose(found[(0,)], 3 * (1 - x), atol=1e-9)
    np.testing.assert_allclose(found[(1,)], -3 + 0 * x, atol=1e-8)


def _drawn(goal):
    return draw(goal, {"equation": 16, "condition": 1}, (0,), jnp.float64)


def test_parameters_begin_where_they_were_found(tall):
    known = replace(tall, goal=replace(tall.goal, problem=on_line(lambda u, x, k: k * d(u, x, x) + 1, parameters=_k(5.0))))
    known = replace(known, weights=known.weights._replace(unknown={"k": jnp.log(7.0)}))
    found = known.unknown(
        on_line(lambda u, x, k, m: k * d(u, x, x) + m, parameters=_k(1.0) | {"m": pinn.Parameter(2.0)}), "float64"
    )
    assert {name: float(value) for name, value in found.items()} == pytest.approx({"k": np.log(7.0), "m": 2.0})
    free = on_line(lambda u, x, k: k * d(u, x, x) + 1, parameters={"k": pinn.Parameter(1.0)})
    assert float(known.unknown(free, "float64")["k"]) == pytest.approx(7.0)


def _k(value):
    return {"k": pinn.Parameter(value, positive=True)}


def test_the_search_begins_with_the_earlier_features(tall):
    families = candidates(on_line(lambda u, x: d(u, x, x)))
    assert tall.families(families) == [SMOOTH, *families]
    assert replace(tall, whole=False).families(families) == families
    assert replace(tall, width=450).widths((200, 300, 600)) == (300, 600)
    assert tall.widths((200, 300)) == (200, 300)
    assert [replace(tall, error=e).good(tol) for e, tol in ((1e-9, None), (1e-9, 1e-4), (0.1, None), (np.inf, None))] == [
        pytest.approx(good) for good in (1e-7, 1e-6, 1e-4, 0.0)
    ]


@pytest.mark.slow
def test_weights_are_trained_on_where_the_network_is_the_same():
    goal, weights = random_network(exam_ode.problem(), key=1)
    start = Start(goal, weights, SMOOTH, 60, True, 1.0)
    same, fresh = random_network(exam_ode.problem(b=2.0), key=5)
    kept = start.state(same.approximation, fresh.state)
    assert jax.tree.all(jax.tree.map(lambda a, b: jnp.array_equal(a, b), kept, weights.state))
    for other in (partial(pinn.MLP, width=7, depth=2), partial(pinn.MLP, width=6, depth=2, activation=pinn.sin)):
        wider, fresh = random_network(exam_ode.problem(), other)
        assert start.state(wider.approximation, fresh.state) is None


@pytest.fixture(scope="module")
def solution():
    """A network that nobody trained, as what a solve returned."""
    problem = exam_ode.problem()
    goal, weights = random_network(problem)
    return pinn.Solution(
        problem=problem,
        goal=goal,
        weights=weights,
        setup=setup_of(problem),
        status=pinn.Status.FINISHED,
        error_estimate={"y": 1.0},
        trust=pinn.Trust.UNKNOWN,
        trust_reason="untrained",
        plan=pinn.recommend(problem),
        history=History(),
        seconds=1.0,
        family=SMOOTH,
        width=60,
    )


def test_a_start_is_part_of_the_plan_and_of_its_checkpoint(solution, tmp_path):
    problem, path = exam_ode.problem(b=1.5), tmp_path / "a.ck"
    plan = pinn.recommend(problem, start=solution)
    (choice,) = (choice for choice in plan.choices if choice.about == "start")
    assert choice.chosen == f"{solution.problem.name}, weights {plan.start.digest}"
    assert choice.reason == "given: its features are tried first"
    resume(path, setup_of(problem, plan.start), plan, Interrupts()).save()
    assert path.exists()
    resume(path, setup_of(problem, plan.start), pinn.recommend(problem, start=solution), Interrupts())
    moved = replace(solution, weights=jax.tree.map(lambda leaf: 2 * leaf, solution.weights))
    for other, now in ((None, "nothing"), (moved, solution.problem.name)):
        with pytest.raises(CheckpointError, match=rf"another plan: start was .*, weights .*, and is now {now}"):
            resume(path, setup_of(problem), pinn.recommend(problem, start=other), Interrupts())


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (lambda: on_line(lambda u, x: d(u, x, x)), r"a solution for the fields y\(x\), and this problem has u\(x\)"),
        (
            lambda: pinn.Problem(
                fields="y", domain=pinn.Interval(t=(0, 1)), residual=lambda y, t: d(y, t), conditions=[pinn.Initial(y=1.0)]
            ),
            r"a solution for the fields y\(x\), and this problem has y\(t\)",
        ),
    ],
)
def test_a_start_of_another_kind_is_refused(problem, message, solution):
    with pytest.raises(ProblemError, match=message):
        pinn.recommend(problem(), start=solution)


def test_a_start_is_a_solution(solution):
    with pytest.raises(ProblemError, match=r"start= needs a Solution, such as pinn.solve returns; got dict"):
        pinn.solve(exam_ode.problem(), start={})
    weights = jax.tree.map(lambda leaf: leaf * jnp.nan, solution.weights)
    with pytest.raises(ProblemError, match=r"a solution that is not finite"):
        pinn.solve(exam_ode.problem(), start=replace(solution, weights=weights))
    with pytest.warns(pinn.ProblemWarning, match=r"known for 0 <= x <= 5; what this problem asks of it beyond is extrapolated"):
        pinn.recommend(exam_ode.problem(length=6), start=solution)


# --- whole solves


@pytest.mark.slow
def test_training_goes_on_from_the_earlier_weights():
    options = {"network": partial(pinn.MLP, width=4, depth=1), "points": 32, "progress": False}
    with pytest.warns(pinn.AccuracyWarning):
        first = pinn.solve(exam_ode.problem(), method=pinn.Phase(pinn.gauss_newton(), steps=5), **options)
        again = pinn.solve(exam_ode.problem(), method=pinn.Phase(optax.sgd(1e-9), steps=1), start=first, **options)
    assert again(x=1.0) == pytest.approx(first(x=1.0), rel=1e-6)


@pytest.mark.slow
def test_a_branch_is_followed_in_its_parameter():
    """Against SciPy's collocation, begun from the same height; a cold start finds the other branch."""
    followed, xs = pinn.solve(on_line(lambda u, x: d(u, x, x) + 32), progress=False), np.linspace(0, 1, 101)
    for strength in (1.0, 0.7, 0.5):
        problem = on_line(lambda u, x, s: d(u, x, x) + s * jnp.exp(u), constants={"s": strength})
        followed = pinn.solve(problem, start=followed, tol=1e-8, progress=False)
        guess = np.array([16 * xs * (1 - xs), 16 * (1 - 2 * xs)])
        known = solve_bvp(
            lambda x, y, s=strength: np.array([y[1], -s * np.exp(y[0])]),
            lambda a, b: np.array([a[0], b[0]]),
            xs,
            guess,
            tol=1e-10,
            max_nodes=10**5,
        )
        assert known.success
        np.testing.assert_allclose(followed(x=xs), known.sol(xs)[0], atol=1e-8)
    cold = pinn.solve(bratu(0.5), tol=1e-8, progress=False)
    assert followed(x=0.5) > 5 > 1 > cold(x=0.5)


@pytest.mark.slow
def test_the_hot_solution_on_a_disk():
    """b = c + √(c² - 1) in the closed form of problems.bratu."""
    cool = bratu_on_a_disk.problem(1.0)
    c = 4 / 1.0 - 1
    b = c + np.sqrt(c**2 - 1)
    disk = pinn.Disk(x=0, y=0, radius=1)
    high = pinn.Problem(
        fields="u",
        domain=disk,
        residual=lambda u, x, y: pinn.laplacian(u, x, y) + 8 * b / (1 + b * (x**2 + y**2)) ** 2,  # of twice its width
        conditions=[pinn.Dirichlet(u=0.1, on=disk.boundary)],
    )
    start = pinn.solve(high, tol=1e-3, progress=False)
    hot = pinn.solve(cool, start=start, tol=1e-4, progress=False)
    r = np.linspace(0, 1, 20)
    np.testing.assert_allclose(hot(x=r, y=0 * r), 2 * np.log((1 + b) / (1 + b * r**2)), atol=1e-3)
