"""Matrices factored in float32, answers of float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_network

import pinn
from pinn import mixed
from pinn.loss import draw, trainable
from pinn.phases import jacobian
from pinn.rows import least_squares
from problems import exam_ode

LINE = np.linspace(-1, 1, 80)
POWERS = LINE[:, None] ** np.arange(16)  # condition 1e6


def test_coefficients_have_the_digits_of_float64():
    wanted = np.random.default_rng(0).normal(size=(16, 2))
    terms = [POWERS[:50, None], POWERS[50:, None]], [(POWERS @ wanted)[:50, None], (POWERS @ wanted)[50:, None]], [np.ones(1)] * 2
    with mixed.mixed():
        found, left = least_squares(*terms)
    rough = np.linalg.lstsq(POWERS.astype("float32"), (POWERS @ wanted).astype("float32"), rcond=None)[0]
    assert np.abs(rough - wanted).max() > 1e-4
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)
    assert np.all(left < 1e-26)


def test_what_cannot_be_met_is_left_as_by_qr():
    target = np.stack([np.abs(LINE), np.zeros(80)], axis=1)
    terms = [POWERS[:, None]], [target[:, None]], [np.full(1, 3.0)]
    direct, least = least_squares(*terms)
    with mixed.mixed():
        found, left = least_squares(*terms)
    np.testing.assert_allclose(POWERS @ found, POWERS @ direct, rtol=0, atol=1e-9)
    np.testing.assert_allclose(left, least, rtol=1e-9, atol=1e-20)
    assert np.all(found[:, 1] == 0)


def test_it_is_on_within_its_context_alone():
    assert not mixed.is_mixed()
    with mixed.mixed(), mixed.mixed(False):
        assert not mixed.is_mixed()
    with pytest.raises(ZeroDivisionError), mixed.mixed():
        assert mixed.is_mixed()
        _ = 1 / 0
    assert not mixed.is_mixed()


def test_a_rough_jacobian_has_exact_rows():
    problem = exam_ode.problem()
    goal, weights = random_network(problem)
    batches = draw(goal, {"equation": 40, "condition": 1}, (0,), jnp.float64)
    arguments = goal, trainable(weights), weights, batches, jnp.ones(len(goal.terms))
    with jax.default_matmul_precision("highest"):
        rows, exact = jacobian(*arguments)
        same, rough = jacobian(*arguments, 1, True)
    np.testing.assert_allclose(same, rows, rtol=1e-14, atol=1e-14)
    difference = np.abs(np.asarray(rough) - exact).max() / np.abs(exact).max()
    assert 1e-12 < difference < 1e-5


def test_the_exams_equation():
    solution = pinn.solve(exam_ode.problem(), dtype="mixed", tol=1e-5, progress=False)
    assert solution.status is pinn.Status.REACHED
    assert solution.errors().fields["y"].relative_l2 < 1e-10
    assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(solution.weights))
    assert "mixed" in str(solution.plan)
