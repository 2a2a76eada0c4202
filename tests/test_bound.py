"""Bounds on errors, against closed forms: of solutions, of Green's functions, and of a fold."""

import jax.numpy as jnp
import numpy as np
import pytest
from problems_with_answers import bratu, oscillator, poisson

import pinn
import problems
from pinn import d
from pinn.bound import bound
from pinn.errors import SolutionError
from pinn.exact import plan_exact
from pinn.families import Family
from pinn.features import Setup, fit
from pinn.loss import field_values, objective

GRID = np.linspace(0, 1, 5001)[:, None]


def answered(problem, width, bandwidth=1.0):
    """A rough answer by features, and the largest error of each of its fields."""
    setup = Setup(problem, plan_exact(problem, None), (0,), jnp.float64)
    found = fit(setup, Family(pinn.sin, (bandwidth,)), width)
    goal = objective(problem, found.approximation, setup.exact)
    lower, upper = problem.domain.bounds
    points = lower + (upper - lower) * GRID
    known = problem.reference(points)
    values = np.asarray(field_values(goal, found.weights, jnp.asarray(points)))
    errors = {name: np.abs(values[:, i] - known[name]).max() for i, name in enumerate(problem.fields)}
    return (problem, goal, found.weights), errors


def on_line(residual, ends, reference, name="line"):
    line = pinn.Interval(x=(0, 1))
    conditions = [pinn.Dirichlet(u=value, on=line.at(x=x)) for x, value in ends.items()]
    return pinn.Problem(fields="u", domain=line, residual=residual, conditions=conditions, reference=reference, name=name)


def test_a_linear_problem():
    """u'' - u = 0: ∫ |G| = 1 - cosh(x - 1/2) / cosh(1/2), and a misfit at an end decays inwards."""
    problem = on_line(lambda u, x: d(u, x, x) - u, {0: 1.0, 1: 1.0}, lambda x: np.cosh(x - 0.5) / np.cosh(0.5), name="catenary")
    answer, errors = answered(problem, 4)
    found = bound(*answer)
    assert 1e-8 < errors["u"] <= found.maximum["u"] <= 1.1 * errors["u"]
    assert found.green["u"]["equation"] == pytest.approx(1 - 1 / np.cosh(0.5), rel=1e-2)
    assert list(found.conditions["u"].values()) == pytest.approx([1.0, 1.0], rel=1e-6)
    assert found.kantorovich == 0 and errors["u"] <= found.green["u"]["equation"] * found.residual["equation"]
    assert str(found).startswith("|error of u| <= ") and "Green's function" in str(found)


@pytest.mark.slow
def test_a_system():
    """q' = p, p' = -q: the rows of Green's function are cosines and sines of t - s."""
    answer, errors = answered(oscillator(), 7)
    found = bound(*answer)
    for name, error in errors.items():
        assert 1e-10 < error <= found.maximum[name] <= 1.1 * error
    assert found.green["q"]["position"] == pytest.approx(2 - np.sin(3), rel=1e-2)
    assert found.green["q"]["momentum"] == pytest.approx(1 - np.cos(3), rel=1e-2)


@pytest.mark.slow
def test_weights_that_cancel_leave_errors_that_no_residual_shows():
    """Weights of 10⁶ round values to 10⁻¹⁰; fourth derivatives of features that hardly vary are exact beside that."""
    answer, errors = answered(problems.load("euler_beam").problem(), 6, bandwidth=0.008)
    found = bound(*answer)
    assert found.green["u"]["equation"] * found.residual["equation"] < errors["u"] / 3
    assert errors["u"] <= found.maximum["u"] < 100 * errors["u"]
    constants = [1.0, 1.0, 1 / 2, 1 / 3]  # of conditions: 1, x, x² / 2 and x³ / 6 - x² / 2 are what they bend the beam by
    assert list(found.conditions["u"].values()) == pytest.approx(constants, rel=1e-6)
    assert found.green["u"]["equation"] == pytest.approx(1 / 8, rel=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "problem, width",
    [
        (bratu(1.0), 3),
        (on_line(lambda u, x: d(u, x, x) + d(u, x) ** 2, {0: 0.0, 1: 1.0}, lambda x: np.log1p((np.e - 1) * x)), 6),
    ],
    ids=["in the value", "in the slope"],
)
def test_a_nonlinear_problem(problem, width):
    answer, errors = answered(problem, width)
    found = bound(*answer)
    assert 1e-8 < errors["u"] <= found.maximum["u"] <= 1.1 * errors["u"]
    assert 0 < found.kantorovich < 0.5 and "Newton-Kantorovich" in str(found)


def test_near_a_fold_only_what_is_close_enough_has_a_bound():
    """u'' + λ eᵘ = 0 has two solutions u = -2 log(cosh((x - 1/2) θ/2) / cosh(θ/4)), which meet at θ = 4.7987."""
    theta = 4.79
    strength = theta**2 / (2 * np.cosh(theta / 4) ** 2)
    problem = on_line(
        lambda u, x: d(u, x, x) + strength * jnp.exp(u),
        {0: 0.0, 1: 0.0},
        lambda x: -2 * np.log(np.cosh((x - 0.5) * theta / 2) / np.cosh(theta / 4)),
    )
    rough, _ = answered(problem, 4)
    with pytest.raises(SolutionError, match=r"h <= 1/2, and h = .* two solutions meet here \(a fold\)"):
        bound(*rough)
    close, errors = answered(problem, 12)
    found = bound(*close)
    assert errors["u"] <= found.maximum["u"] and found.green["u"]["equation"] > 10


LINE = pinn.Interval(x=(0, 1))
HALVES = {"left": pinn.Interval(x=(0, 0.5)), "right": pinn.Interval(x=(0.5, 1))}
START = pinn.Dirichlet(u=1.0, on=LINE.at(x=0))


def first_order(residual, *conditions, **others):
    return pinn.Problem(fields="u", domain=LINE, residual=residual, conditions=conditions, **others)


REFUSED = {
    r"poisson is none: it has the coordinates 'x', 'y'\. `error_estimate`": poisson,
    "the parameters 'k' are unknown": lambda: first_order(
        lambda u, x, k: d(u, x) + k * u, START, parameters={"k": pinn.Parameter(1.0)}
    ),
    "it has the regions 'left', 'right'": lambda: pinn.Problem(
        fields="u",
        domain=HALVES,
        residual=dict.fromkeys(HALVES, lambda u, x: d(u, x, x)),
        conditions=[
            pinn.Dirichlet(u=0.0, on=(HALVES["left"] + HALVES["right"]).boundary),
            pinn.Interface(u=0.0, on=HALVES["left"].at(x=0.5)),
        ],
    ),
    "it is fitted to data": lambda: first_order(lambda u, x: d(u, x), pinn.Data(x=[0.0], u=[1.0])),
    "it has integrals": lambda: first_order(lambda u, x: d(u, x) - u, pinn.Integral(lambda u: u, equals=1.0)),
    "of order 1 together and have 2 conditions": lambda: first_order(
        lambda u, x: d(u, x) - u, pinn.Dirichlet(u=1.0, on=LINE.boundary)
    ),
    "not linear in its highest derivative, order 1 of 'u'": lambda: first_order(lambda u, x: d(u, x) ** 2 - u, START),
}


@pytest.mark.filterwarnings("ignore::pinn.errors.WellPosednessWarning")
@pytest.mark.parametrize("said", REFUSED)
def test_other_problems_are_refused(said):
    problem = REFUSED[said]()
    with pytest.raises(SolutionError, match=said):
        bound(problem, objective(problem, None, plan_exact(problem, None)), None)
