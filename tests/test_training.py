"""What the least-squares procedure decides: which answer is kept, and whether there is time for more features."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinn
from pinn import d
from pinn.derivatives import sin, tanh
from pinn.estimate import Estimate, choose_family, estimate
from pinn.exact import plan_exact
from pinn.families import Family, steepened
from pinn.features import Fit, Setup, fit
from pinn.history import Clock, History, Reading
from pinn.layers import toward_walls
from pinn.loss import field_values, objective
from pinn.training import Outcome, _best_of_kinds, _improves, _next, _settles, _Took, better_of, explore
from problems import exam_ode


def outcome(worst, trust):
    nothing: Any = None
    judged = Estimate({"y": worst}, trust, "", False, nothing, nothing)
    return Outcome(nothing, nothing, Family(tanh, (1.0,)), 10, judged)


ROUGH, UNKNOWN = pinn.Trust.ROUGH, pinn.Trust.UNKNOWN


@pytest.mark.parametrize(
    ("new", "residual", "kept"),
    [
        (outcome(1e-4, ROUGH), 1.0, True),
        (outcome(1e-2, ROUGH), 0.01, False),
        (outcome(1e-4, UNKNOWN), 0.9, False),
        (outcome(1e-4, UNKNOWN), 0.1, True),
        (outcome(np.inf, UNKNOWN), 0.1, False),
    ],
)
def test_more_features_are_kept_for_an_estimate_or_for_a_much_smaller_residual(new, residual, kept):
    assert _improves(new, residual, outcome(1e-3, ROUGH), 1.0) == kept


@pytest.mark.parametrize(
    ("new", "before", "residual", "settled"),
    [
        (outcome(0.9e-8, ROUGH), 1e-8, 0.01, True),
        (outcome(0.4e-8, ROUGH), 1e-8, 1.0, False),
        (outcome(0.25, ROUGH), 0.3, 0.9, True),
        (outcome(0.25, ROUGH), 0.3, 0.04, False),
        (outcome(0.9e-8, UNKNOWN), 1e-8, 1.0, False),
    ],
)
def test_a_wrong_answer_has_not_settled_while_its_residual_falls(new, before, residual, settled):
    assert _settles(new.estimate, outcome(before, ROUGH).estimate, residual, 1.0) == settled


def test_a_correction_vouches_for_a_solution_that_is_nearer_to_it():
    """Few features with an estimate that means something, and more of them whose estimate does not: those are the better ones,
    and are not where they are as far away as the few.
    """
    problem = exam_ode.problem()
    setup, family = Setup(problem, plan_exact(problem, None), (0,), jnp.float64), Family(sin, (2.0,))

    def solved(width):
        found = fit(setup, family, width)
        goal = objective(problem, found.approximation, setup.exact)
        judged = estimate(setup, goal, found.weights, family, 40, setup.exact)
        return Outcome(goal, found.weights, family, width, judged)

    few, more = solved(5), solved(20)
    assert few.estimate.trust is pinn.Trust.TRUSTED
    unknown = replace(more.estimate, trust=UNKNOWN)
    near = replace(more, estimate=unknown)
    far = replace(few, estimate=unknown)
    for other, better in ((near, near), (far, few)):
        assert better_of(few, other) is better
        assert better_of(other, few) is better


def test_compilation_takes_no_longer_for_twice_as_many_features():
    def took(width, fit, judged, compiled):
        return _Took(width, Reading(compiled + fit, compiled), Reading(compiled + judged, compiled))

    def seconds(judged, kinds=1):
        return _next([took(200, 1.0, 1.0, 5.0), took(400, 3.0, judged, 7.0)], kinds)

    assert seconds(4.0) == pytest.approx(2 * 7 + 4 * (3 + 4)), "the power seen, the second"
    assert seconds(4.0, 2) == pytest.approx(3 * 7 + 4 * (2 * 3 + 4)), "of two kinds"
    assert seconds(1.0) == pytest.approx(2 * 7 + 2 * (3 + 1)), "the first at least"
    assert seconds(30.0) == pytest.approx(2 * 7 + 8 * (3 + 30)), "the third at most"


def test_a_clock_tells_what_was_compiled():
    clock = Clock(None)
    before = clock.reading
    jax.block_until_ready(jax.jit(lambda x: jnp.sin(x) @ x + 12345.678)(jnp.ones((7, 7))))
    took = _Took.of(7, 1, before, clock.reading, clock.reading)
    assert 0 < took.fit.compiling < took.fit.seconds


def test_seconds_are_of_one_fit_of_those_tried():
    before, between, after = Reading(10.0, 2.0), Reading(30.0, 6.0), Reading(37.0, 7.0)
    assert _Took.of(7, 4, before, between, after) == (7, (5.0, 1.0), (7.0, 1.0))


def test_every_kind_that_sees_all_coordinates_comes_again():
    def found(held_out, family):
        nothing: Any = None
        return Fit(family, nothing, nothing, held_out)

    best, plain = found(0.1, Family(sin, (1.0, 1.0), seen=1)), found(0.3, Family(sin, (2.0, 2.0)))
    worse = [found(0.4, Family(sin, (1.0, 1.0))), found(0.2, Family(sin, (1.0, 1.0), seen=2))]
    other = found(0.5, Family(tanh, (2.0, 2.0)))
    assert _best_of_kinds([other, *worse, plain, best]) == [best, plain, other]


def thin(width):
    """ε y'' + y' = 0, y(0) = 0, y(1) = 1: y = 1 - exp(-x / ε) within e^(-1/ε)."""
    line = pinn.Interval(x=(0, 1))
    problem = pinn.Problem(
        fields="y",
        domain=line,
        residual=lambda y, x: width * d(y, x, x) + d(y, x),
        conditions=[pinn.Dirichlet(y=0.0, on=line.at(x=0)), pinn.Dirichlet(y=1.0, on=line.at(x=1))],
    )
    return Setup(problem, plan_exact(problem, None), (0,), jnp.float64)


def largest_error(setup, found, width):
    x = np.concatenate([np.geomspace(1e-8, 1e-4, 50), np.linspace(0, 1, 50)])
    goal = objective(setup.problem, found.approximation, setup.exact)
    y = field_values(goal, found.weights, jnp.asarray(x[:, None]))[:, 0]
    return np.max(np.abs(y + np.expm1(-x / width)))


def test_a_layer_that_no_wave_shows_is_seen_toward_the_walls():
    setup, plain = thin(1e-6), Family(sin, (16.0,))
    _, broad, *_ = steepened(plain, toward_walls(setup.exact.periodic))
    assert largest_error(setup, fit(setup, plain, 200), 1e-6) > 0.5
    assert largest_error(setup, fit(setup, broad, 200), 1e-6) < 0.05


def test_who_judges_a_solution_sees_its_layers():
    """As a network would have it that learned the layer, from features that know nothing of how it was made."""
    setup = thin(1e-3)
    _, broad, *_ = steepened(Family(sin, (2.0,)), toward_walls(setup.exact.periodic))
    found = fit(setup, broad, 100)
    assert largest_error(setup, found, 1e-3) < 0.01
    goal = objective(setup.problem, found.approximation, setup.exact)
    assert choose_family(setup, goal, found.weights, setup.exact).steep


@pytest.mark.slow
def test_it_is_looked_for_there_and_then_where_it_is_seen():
    setup = thin(1e-6)
    best = explore(setup, 200, None, Clock(None), History()).best
    assert best.family.steep
    assert largest_error(setup, best, 1e-6) < 1e-6
