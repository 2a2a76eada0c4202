"""How far fields are held back by what noisy readings tell: the evidence against its formula, and fields with and without."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import pinn
from pinn import d, weighing
from pinn.derivatives import sin
from pinn.estimate import Trust, error_points
from pinn.evidence import coefficients_of, loosened, most_probable, prior_rows, roots
from pinn.exact import plan_exact
from pinn.families import Family, feature_ansatz
from pinn.features import Setup
from pinn.inverse import fitted
from pinn.loss import field_values, objective
from pinn.rows import add_coefficients, coefficient_count, least_squares
from pinn.uncertainty import assess
from pinn.weighing import Balance, torn


def drawn(seed, counts=(12, 8), rows=60):
    """Rows and targets of two fields' coefficients of very different size, and of one unknown that is not held back."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rows, sum(counts) + 1))
    truth = np.concatenate([rng.normal(size=counts[0]), 0.02 * rng.normal(size=counts[1]), [3.0]])
    return matrix, matrix @ truth + rng.normal(size=rows)


def triangle(matrix, target):
    return np.linalg.qr(np.column_stack([matrix, target]), mode="r")


# --- the evidence ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_the_most_probable_precision_is_where_the_evidence_is_largest(seed):
    """log N(b; 0, I + Σ_f A_f A_fᵀ / α_f), with the unknown that is not held back thought to be anything."""
    matrix, target = drawn(seed)
    known = [np.zeros(12), np.zeros(8)]

    def surprise(logs):
        widths = np.repeat(np.exp(-logs), [12, 8])
        covariance = np.eye(60) + matrix[:, :20] * widths @ matrix[:, :20].T + 1e8 * np.outer(matrix[:, 20], matrix[:, 20])
        return (np.linalg.slogdet(covariance)[1] + target @ np.linalg.solve(covariance, target)) / 2

    best = minimize(surprise, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10}).x
    precision, gamma = most_probable(triangle(matrix, target), known)
    found = np.log(np.multiply(precision, [12, 8]))
    assert surprise(found) < surprise(best) + 0.01
    assert abs(found[0] - best[0]) < 0.05 and 0 < gamma[1] < 8 and 11 < gamma[0] < 12


def test_what_is_known_already_changes_nothing():
    """Rows for what is added to coefficients tell as much as rows for the coefficients."""
    matrix, target = drawn(1)
    before = np.random.default_rng(5).normal(size=21)
    one = most_probable(triangle(matrix, target), [np.zeros(12), np.zeros(8)])
    two = most_probable(triangle(matrix, target - matrix[:, :20] @ before[:20]), [before[:12], before[12:20]])
    np.testing.assert_allclose(one, two, rtol=1e-8)


def test_coefficients_that_no_row_knows_are_no_reason():
    matrix, target = drawn(2)
    matrix[:, 3] = matrix[:, 4] = 0.0
    precision, gamma = most_probable(triangle(matrix, target), [np.zeros(12), np.zeros(8)])
    assert np.all(np.isfinite(precision)) and gamma[0] < 10.001


def test_errors_are_told_by_a_looser_prior_where_little_is_told():
    loose = loosened((2.0, 2.0, 2.0), (1e6, 8.0, 1e-3))
    np.testing.assert_allclose(loose, [2.0 * np.exp(-np.sqrt(2e-6)), 2.0 * np.exp(-0.5), 2.0 * np.exp(-np.sqrt(2))])


# --- rows ------------------------------------------------------------------------------------------------------------


def test_rows_hold_back_the_sum_of_what_is_known_and_added():
    known = [np.array([1.0, -2.0]), np.array([3.0])]
    matrix, target, scale = prior_rows((0.5, 4.0), known, 4)
    np.testing.assert_allclose(matrix[:, 0] @ np.array([-1.0, 2.0, -3.0, 7.0]), np.asarray(target)[:, 0, 0])
    np.testing.assert_allclose(np.diagonal(matrix[:, 0]), roots((0.5, 4.0), known))
    assert roots((0.5, 4.0), known).tolist() == [1.0, 1.0, 2.0] and scale.tolist() == [1.0]
    data = jnp.asarray(np.eye(4)[:, None]), jnp.ones((4, 1, 1))
    added, _ = least_squares([data[0], matrix], [data[1], target], [np.ones(1), scale])
    np.testing.assert_allclose(added[:, 0], [0.0, 1.5, -2.2, 1.0], atol=1e-10)


def test_coefficients_come_back_in_the_order_they_are_added():
    box = pinn.Box(x=(0, 1), y=(0, 1))
    equation = lambda u, v, x, y: {"a": pinn.laplacian(u, x, y) + v, "b": d(v, x) - u}  # noqa: E731
    problem = pinn.Problem(
        fields="u v", domain=box, residual=equation, conditions=[pinn.Dirichlet(u=0.0, v=1.0, on=box.boundary)]
    )
    basis, state = feature_ansatz(problem, plan_exact(problem, None), Family(sin, (1.0, 1.0)), 7, (0,), jnp.float64)
    added = np.arange(coefficient_count(basis, state), dtype=float)
    found = coefficients_of(basis, add_coefficients(basis, state, jnp.asarray(added), jnp.ones(())))
    assert tuple(found) == basis.fields
    np.testing.assert_array_equal(np.concatenate(list(found.values())), added)


# --- fields ----------------------------------------------------------------------------------------------------------


def source(draw, noise=0.02, count=60, given=True):
    """-u'' = q with q unknown: its noise is that of second derivatives."""
    line, k = pinn.Interval(x=(0, 1)), np.pi
    x = np.linspace(0.01, 0.99, count)
    readings = np.sin(k * x) + noise * np.random.default_rng(draw).normal(size=count)
    return pinn.Problem(
        fields="u q",
        domain=line,
        residual=lambda u, q, x: d(u, x, x) + q,
        conditions=[
            pinn.Dirichlet(u=0.0, on=line.at(x=(0, 1))),
            pinn.Data(x=x, u=readings, sigma=noise if given and noise else None),
        ],
        reference=lambda x: {"u": np.sin(k * x), "q": k**2 * np.sin(k * x)},
    )


def fitted_source(draw):
    """The relative error of q by one family of features, its estimate, and the trust in it."""
    problem = source(draw)
    setup = Setup(problem, plan_exact(problem, None), (0,), jnp.dtype("float64"))
    found = fitted(setup, Family(sin, (1.0,)), 100)
    goal, points = objective(problem, found.approximation, setup.exact), error_points(setup)
    judged = assess(setup, goal, found.weights, found.family.scaled(1.1), 150, setup.exact, found.balance)
    truth, values = problem.reference(np.asarray(points))["q"], np.asarray(field_values(goal, found.weights, points))[:, 1]
    return np.linalg.norm(values - truth) / np.linalg.norm(truth), judged.errors["q"], judged.trust


def test_the_round_counts_that_meets_equations_and_readings_best():
    """Equations that grow heavier leave less of themselves, and draw the fields away from the readings in the end."""

    def balance(residual, missed):
        return Balance((), 0.1, residual, 1.0, 1.0, 1.0, np.array(missed), np.array([1.0, 2.0]))

    light, right, heavy = balance(0.5, [0.10, 0.20]), balance(0.01, [0.1001, 0.20]), balance(1e-4, [0.13, 0.25])
    expected = [
        0.5,
        np.hypot(0.01, np.sqrt((0.1001**2 - 0.1**2) / 2)),
        np.hypot(1e-4, np.sqrt((0.13**2 - 0.1**2 + (0.25**2 - 0.2**2) / 4) / 2)),
    ]
    np.testing.assert_allclose(torn([light, right, heavy]), expected, rtol=1e-12)
    assert np.argmin(expected) == 1
    assert torn([heavy]) == [1e-4]  # nothing to compare it with
    assert torn([heavy], light) == [torn([heavy, light])[0]]


@pytest.mark.parametrize("draw", [0, *(pytest.param(draw, marks=pytest.mark.slow) for draw in (1, 2))])
def test_a_source_is_found_that_noise_would_hide(monkeypatch, draw):
    """Far nearer than without a prior, and the estimate tells by how much it is wrong."""
    error, told, trust = fitted_source(draw)
    monkeypatch.setattr(weighing, "_NOISY", np.inf)
    free, *_ = fitted_source(draw)
    assert error < 0.1 and error < free / 3
    assert error / 5 < told < 5 * error and trust in (Trust.TRUSTED, Trust.ROUGH)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pinn.PinnWarning")
def test_noise_that_is_not_given_is_found():
    """The same by plain `solve` without sigma, and readings without noise are not held back."""
    assert pinn.solve(source(0, given=False), progress=False).errors().fields["q"].relative_l2 < 0.1
    assert pinn.solve(source(0, noise=0.0), progress=False).errors().fields["q"].relative_l2 < 1e-8
