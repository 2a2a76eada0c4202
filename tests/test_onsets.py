"""Walls that the state at the beginning does not fit: found by what is given, and the functions that solutions have there."""

import json
from dataclasses import asdict
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erfc

import pinn
from pinn import d, sampling
from pinn.derivatives import nested_jvp, taylor
from pinn.exact import plan_exact
from pinn.families import candidates
from pinn.features import Setup, fit
from pinn.layers import graded
from pinn.loss import field_values, objective
from pinn.onsets import onsets
from pinn.singular import Onset, functions, singular_from
from pinn.singularities import torn_points
from pinn.steep import steep_coordinate

ROD = pinn.Box(t=(0, 0.5), x=(0, 1))
NU = 0.02
LEFT, BENT = Onset((0, 1), (0.0, 0.0), 0.4, 2.0, 0), Onset((0, 1), (0.0, 1.0), -0.4, 2.0, 2)  # ν = 0.4² / (4 · 2)


def rod(*walls, initial: Any = 0.0, source=0.0, speed=0.0):
    def residual(u, t, x):
        return d(u, t) + speed * d(u, x) - NU * d(u, x, x) - source

    return pinn.Problem(fields="u", domain=ROD, residual=residual, conditions=[pinn.Initial(u=initial), *walls])


def cold(**options):
    return rod(pinn.Dirichlet(u=0.0, on=ROD.at(x=(0, 1))), **options)


def parabola(x):
    return x * (1 - x)


def wave(x):
    return jnp.sin(jnp.pi * x)


@pytest.mark.parametrize(
    ("problem", "found"),
    [
        (cold(initial=wave), {}),
        (cold(initial=1.0), {0.0: 0, 1.0: 0}),
        (cold(initial=parabola), {0.0: 2, 1.0: 2}),
        (cold(initial=parabola, source=2 * NU), {}),
        (cold(initial=wave, speed=1.0), {0.0: 2, 1.0: 2}),
        (rod(pinn.Neumann(u=1.0, on=ROD.at(x=0)), pinn.Dirichlet(u=0.0, on=ROD.at(x=1))), {0.0: 1}),
        (rod(pinn.Robin(u=(1.0, 1.0, 1.0), on=ROD.at(x=(0, 1)))), {0.0: 1, 1.0: 1}),
        (rod(pinn.Dirichlet(u=lambda t: t, on=ROD.at(x=0)), pinn.Dirichlet(u=0.0, on=ROD.at(x=1))), {0.0: 2}),
        (rod(pinn.Dirichlet(u=lambda t: t**2, on=ROD.at(x=0)), pinn.Dirichlet(u=0.0, on=ROD.at(x=1))), {}),
        (rod(pinn.Periodic("x"), initial=lambda x: jnp.sin(2 * jnp.pi * x)), {}),
        (rod(pinn.Periodic("x"), initial=parabola), {0.0: 1, 1.0: 1}),
        (rod(pinn.Periodic("x"), initial=lambda x: x), {0.0: 0, 1.0: 0}),
        (cold(initial=lambda x: jnp.minimum(x, 0.5 * (1 - x))), {0.333333: 1}),
        (cold(initial=lambda x: jnp.where(jnp.abs(x - 0.5) < 0.25, 1.0, 0.0)), {0.25: 0, 0.75: 0}),
        (cold(initial=lambda x: jnp.sin(40 * jnp.pi * x)), {}),
    ],
    ids=[
        "fits",
        "value",
        "equation",
        "source",
        "speed",
        "slope",
        "Robin",
        "rate",
        "no rate",
        "periodic",
        "periodic with a kink",
        "periodic with a jump",
        "kink",
        "jumps",
        "many waves",
    ],
)
def test_they_are_where_what_is_given_does_not_fit_the_beginning(problem, found):
    singular = onsets(problem.domain, problem.terms, problem.known())
    assert {round(each.centre[1], 6): each.first for each in singular} == found
    for each in singular:
        assert each.axes == (0, 1) and abs(each.reach) == pytest.approx(np.sqrt(4 * NU * 0.5))
        assert (each.reach > 0) == (each.centre[1] < 1)
    assert bool(plan_exact(problem, None).met) == (not found)


def test_waves_have_none():
    def residual(u, t, x):
        return d(u, t, t) - d(u, x, x)

    walls, start = pinn.Dirichlet(u=0.0, on=ROD.at(x=(0, 1))), [pinn.Initial(u=1.0), pinn.InitialVelocity(u=0.0)]
    problem = pinn.Problem(fields="u", domain=ROD, residual=residual, conditions=[*start, walls])
    assert not onsets(problem.domain, problem.terms, {})


def test_each_field_diffuses_by_itself():
    def residual(u, v, t, x):
        return d(u, t) - 0.01 * d(u, x, x) + v, d(v, t) - 0.04 * d(v, x, x) - u

    walls, start = pinn.Dirichlet(u=0.0, v=0.0, on=ROD.at(x=0)), pinn.Initial(u=1.0, v=1.0)
    other = pinn.Neumann(u=0.0, v=0.0, on=ROD.at(x=1))
    problem = pinn.Problem(fields="u v", domain=ROD, residual=residual, conditions=[start, walls, other])
    reaches = [each.reach for each in onsets(problem.domain, problem.terms, {})]
    assert sorted(reaches) == pytest.approx([np.sqrt(4 * 0.01 * 0.5), np.sqrt(4 * 0.04 * 0.5)])


def test_functions_diffuse_and_are_known_to_jets():
    rng, wanted = np.random.default_rng(0), [(0, 0), (1, 0), (0, 1), (0, 2), (1, 1)]
    points = jnp.asarray(rng.uniform([0.01, 0], [2, 1], (20, 2)))

    def every(point):
        return functions((LEFT, BENT), point)

    found, expected = (jax.vmap(lambda p, e=e: e(every, p, wanted))(points) for e in (taylor, nested_jvp))
    for index in wanted:
        np.testing.assert_allclose(found[index], expected[index], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found[1, 0], 0.4**2 / 8 * found[0, 2], atol=1e-9)


def test_functions_are_integrals_of_the_error_function_and_powers_at_the_wall():
    x, t = np.linspace(0, 1, 7), np.linspace(0.1, 2, 5)
    ratio = x[:, None] / np.sqrt(4 * 0.02 * t)
    places = jnp.asarray(np.stack([np.broadcast_to(t, ratio.shape), np.broadcast_to(x[:, None], ratio.shape)], axis=-1))
    values = np.asarray(jax.vmap(jax.vmap(lambda p: functions((LEFT,), p)))(places))
    np.testing.assert_array_equal(values[..., :2], values[..., 2:4])
    np.testing.assert_allclose(values[..., 2], erfc(ratio), atol=1e-14)
    first = np.exp(-(ratio**2)) / np.sqrt(np.pi) - ratio * erfc(ratio)
    np.testing.assert_allclose(values[..., 3], np.sqrt(np.pi) * np.sqrt(t / 2) * first, atol=1e-14)
    np.testing.assert_allclose(values[0, :, 2:], (t[:, None] / 2) ** (np.arange(6) / 2), rtol=1e-12)


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
def test_functions_vanish_at_the_beginning_with_finite_derivatives(dtype):
    found = taylor(lambda p: functions((LEFT,), p), jnp.array([0.0, 0.3], dtype), [(1, 0), (0, 2)])
    assert all(np.all(np.asarray(part) == 0) for part in found.values())


def test_behind_a_kink_they_begin_as_powers():
    kink = Onset((0, 1), (0.0, 0.5), 0.4, 2.0, 1, 0.5 / 0.4)
    places = jnp.asarray(np.stack([np.zeros(5), np.linspace(0, 1, 5)], axis=1))
    values = np.asarray(jax.vmap(lambda p: functions((kink,), p))(places))[:, 2:]
    for n in range(6):
        np.testing.assert_allclose(values[:, n][:2] / values[0, n], [1, 0.5 ** (n + 1)], rtol=1e-12)
        assert np.all(values[3:, n] == 0)


def test_they_are_kept_as_text():
    assert singular_from(json.loads(json.dumps({"kind": "Onset", **asdict(BENT)}))) == BENT


def test_no_error_is_taken_where_two_values_meet():
    points = np.array([[0.0, 0.0], [0.0, 1.0], [0.1, 0.0], [0.0, 0.1]])
    assert torn_points((LEFT, BENT), points).tolist() == [True, False, False, False]


@pytest.mark.parametrize("first", [0, *(pytest.param(order, marks=pytest.mark.slow) for order in (1, 2))])
def test_few_features_resolve_them(first):
    """u = s_n for a wall on the left."""
    reach = float(np.sqrt(4 * NU * 0.5))

    def exact(t, x):
        return functions((Onset((0, 1), (0.0, 0.0), reach, 0.5, first),), jnp.stack([t, x]))[2]

    left = ROD.at(x=0)
    wall = (
        pinn.Neumann(u=np.sqrt(np.pi) / reach, on=left)
        if first == 1
        else pinn.Dirichlet(u=lambda t: (2 * t) ** (first / 2), on=left)
    )
    problem = rod(wall, pinn.Dirichlet(u=exact, on=ROD.at(x=1)))
    setup = Setup(problem, plan_exact(problem, None), (0,), jnp.dtype("float64"))
    assert any(isinstance(each, Onset) and each.first == first for each in problem.singular(ROD))
    points = sampling.interior(ROD, 2000, 1)
    expected = np.asarray(jax.vmap(exact)(*jnp.asarray(points).T))
    [family] = [each for each in candidates(problem) if each.activation is pinn.tanh and each.plain == (1.0, 1.0)][1:]
    found = fit(setup, family, 100)
    values = field_values(objective(problem, found.approximation, setup.exact), found.weights, jnp.asarray(points))[:, 0]
    assert np.linalg.norm(values - expected) < 1e-9 * np.linalg.norm(expected)


# --- for steps in time


def test_coordinates_are_steep_where_a_jump_begins():
    """As steep as the logarithm of the distance: a decade takes as many steps as the next one."""
    [both] = graded(cold(initial=1.0), (False, False), (), (1,))
    [one] = graded(cold(initial=lambda x: 1 - x), (False, False), (), (1,))
    assert both.slope(np.array([-1.0]))[0] == pytest.approx(both.slope(np.array([1.0]))[0], rel=1e-6)
    assert one.slope(np.array([-1.0]))[0] > 1e3 * one.slope(np.array([1.0]))[0]
    decades = np.interp(-1 + np.array([1e-4, 1e-3, 1e-2]), one.placed(np.linspace(0, 1, 20001)), np.linspace(0, 1, 20001))
    assert decades[2] - decades[1] == pytest.approx(decades[1] - decades[0], rel=0.25)
    assert graded(cold(initial=parabola), (False, False), (), (1,)) == ()


def test_layers_keep_their_steps_beside_those_of_a_jump():
    z = np.linspace(-1, 1, 2001)
    layer = steep_coordinate(1, z, np.exp(-((z - 0.3) ** 2) / 0.01), False)
    (both,) = graded(cold(initial=1.0), (False, False), (layer,), (1,))
    slopes = both.slope(np.array([-1.0, -0.5, 0.3]))
    assert slopes[0] > 50 * slopes[2] > 150 * slopes[1]


@pytest.mark.slow
def test_a_jump_is_stepped_from():
    """Burgers' equation from a step, by Cole and Hopf's transformation."""
    nu, box = 0.05, pinn.Box(t=(0, 1), x=(-2, 3))

    def exact(t, x):
        width = np.sqrt(4 * nu * np.maximum(t, 1e-300))
        before, behind = erfc((x - t) / width), erfc(-x / width)
        return before / (before + behind * np.exp(np.clip((x - t / 2) / (2 * nu), -600, 600)))

    problem = pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x: d(u, t) + u * d(u, x) - nu * d(u, x, x),
        conditions=[
            pinn.Initial(u=lambda x: jnp.where(x < 0, 1.0, 0.0)),
            pinn.Dirichlet(u=1.0, on=box.at(x=-2)),
            pinn.Dirichlet(u=0.0, on=box.at(x=3)),
        ],
        reference=exact,
    )
    solution = pinn.solve(problem, tol=1e-4, progress=False)
    true = solution.errors().fields["u"].relative_l2
    assert true < 5e-5
    assert 0.3 < solution.error_estimate["u"] / true < 3
