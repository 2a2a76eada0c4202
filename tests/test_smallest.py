"""The smallest singular value about a solution: closed forms, and the trust that is lost where it is too small."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import pinn
from pinn import d
from pinn.derivatives import sin, tanh
from pinn.estimate import Estimate
from pinn.exact import plan_exact
from pinn.families import Family
from pinn.features import Setup, fit
from pinn.loss import Weights, field_values, objective
from pinn.smallest import held, smallest_singular_value
from pinn.training import Outcome


def between_walls(residual, ends=(0.0, 0.0)):
    line = pinn.Interval(x=(-1, 1))
    conditions = [pinn.Dirichlet(y=value, on=line.at(x=wall)) for value, wall in zip(ends, (-1, 1), strict=True)]
    problem = pinn.Problem(fields="y", domain=line, residual=residual, conditions=conditions)
    return Setup(problem, plan_exact(problem, None), (0,), jnp.float64)


def smallest(setup, family):
    found = fit(setup, family, 20)
    goal = objective(setup.problem, found.approximation, setup.exact)
    return smallest_singular_value(setup, goal, found.weights, family, 200)


def test_a_resonance_leaves_nothing():
    wide = Family(sin, (4.0,))
    held_well, not_at_all = (smallest(between_walls(lambda y, x, k=k: d(y, x, x) + k * y), wide) for k in (0.0, (np.pi / 2) ** 2))
    assert held_well > 1e-3
    assert not_at_all < 1e-9


def test_where_a_layer_lies_is_held_exponentially_little():
    """ε v'' - (u v)' with u = -tanh(x / 2 ε): its smallest eigenvalue falls like e^(-1/ε) / ε."""

    def about(width):
        def residual(y, x):
            steep = jnp.tanh(x / (2 * width))
            return width * d(y, x, x) + steep * d(y, x) + (1 - steep**2) / (2 * width) * y

        return smallest(between_walls(residual), Family(tanh, (10.0,)))

    assert np.log(about(1 / 14) / about(1 / 8)) == pytest.approx(-6, abs=1)


def burgers(width=1 / 20):
    end = float(np.tanh(1 / (2 * width)))
    setup = between_walls(lambda y, x: width * d(y, x, x) - y * d(y, x), (end, -end))
    family = Family(tanh, (8.0,))
    found = fit(setup, family, 200)
    goal = objective(setup.problem, found.approximation, setup.exact)
    return setup, goal, found.weights, family


def test_no_trust_where_an_error_would_not_be_seen():
    setup, goal, weights, family = burgers()
    x = np.linspace(-0.9, 0.9, 1001)
    y = np.asarray(field_values(goal, weights, jnp.asarray(x[:, None])))[:, 0]
    moved = np.interp(0.0, -y, x)
    np.testing.assert_allclose(y, -np.tanh(10 * (x - moved)), atol=0.05)
    assert abs(moved) > 5e-3, "no residual tells that the layer is not in the middle"

    def judged(error):
        nothing: Any = None
        estimate = Estimate({"y": error}, pinn.Trust.TRUSTED, "two draws agree", False, nothing, nothing)
        return held(setup, Outcome(goal, Weights(weights.state, {}), family, 200, estimate)).estimate

    assert judged(1e-4).trust is pinn.Trust.UNKNOWN
    assert "hardly changes the equations" in judged(1e-4).reason
    assert judged(1e-12).trust is pinn.Trust.TRUSTED
