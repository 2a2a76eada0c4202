"""Steep coordinates: their derivatives, where points go, how layers are found, and what they are worth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinn
from pinn import d, laplacian
from pinn.derivatives import nested_grad, sin, tanh, taylor
from pinn.exact import plan_exact
from pinn.families import Family, feature_ansatz, steepened
from pinn.features import Setup, fit
from pinn.layers import out_of_date, steep_coordinates, steep_where_driven, toward_walls
from pinn.loss import draw, field_values, given_values, objective
from pinn.networks import Encoding
from pinn.steep import climb, steep_coordinate, tables

Z = np.linspace(-1, 1, 4001)
THETA = np.linspace(-np.pi, np.pi, 4001)


def of_layer(width, at=0.0, periodic=False):
    z = THETA if periodic else Z
    return steep_coordinate(0, z, np.cosh(np.clip((z - at) / width, -200, 200)) ** -1.0, periodic)


@pytest.mark.parametrize("periodic", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("raw", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_derivatives_agree_with_those_of_jax(periodic, raw):
    steep = of_layer(0.1, 0.2, periodic)
    encoding = Encoding(np.array([0.0, -1.0]), np.array([1.0, 3.0]), (False, periodic), raw, (1,))
    box, steps = jnp.array([[0.0, -1.0], [1.0, 4.0]]), tables((steep,), jnp.float64)
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(encoding.size, 3)))

    def function(point):
        return sin(encoding(point, box, steps) @ weights)

    indices = [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]
    for point in (jnp.array([0.3, 1.1]), jnp.array([0.1, 2.9])):
        fast, slow = taylor(function, point, indices), nested_grad(function, point, indices)
        for index in indices:
            np.testing.assert_allclose(fast[index], slow[index], rtol=1e-9, atol=1e-9 * 40 ** sum(index))


def test_a_periodic_one_is_periodic():
    steep = of_layer(0.05, 3.0, periodic=True)
    table = tables((steep,), jnp.float64)[0]

    def y(theta):
        return climb(jnp.array([theta]), table, True)[0]

    assert float(y(-np.pi + 0.7 + 2 * np.pi) - y(-np.pi + 0.7)) == pytest.approx(2 * np.pi, abs=1e-12)
    assert float(jax.grad(y)(np.pi)) == pytest.approx(float(jax.grad(y)(-np.pi)), rel=1e-12)


@pytest.mark.parametrize("periodic", [False, True])
def test_the_slope_is_that_of_the_coordinate(periodic):
    steep = of_layer(0.02, -0.3, periodic)
    table = tables((steep,), jnp.float64)[0]
    z = np.array([-0.9, -0.31, -0.3, 0.0, 0.8])
    slopes = [float(jax.grad(lambda q: climb(q[None], table, periodic)[0])(jnp.asarray(each))) for each in z]
    np.testing.assert_allclose(steep.slope(z), slopes, rtol=1e-10)


def test_points_go_where_it_climbs():
    steep = of_layer(0.01, 0.5)
    z = steep.placed(np.linspace(0, 1, 2001))
    assert np.all(np.diff(z) > 0)
    assert abs(z[0] + 1) < 1e-12 and abs(z[-1] - 1) < 1e-12
    climbed = np.array([float(climb(jnp.array([each]), tables((steep,), jnp.float64)[0], False)[0]) for each in z[::100]])
    np.testing.assert_allclose(np.diff(climbed), np.diff(climbed).mean(), rtol=0.02)
    assert np.mean(np.abs(z - 0.5) < 0.05) > 0.6


def test_toward_walls_every_scale_of_the_distance_has_its_share():
    (steep,) = toward_walls((False, True))
    z = np.array([-1 + 1e-3, -1 + 1e-2, -1 + 1e-1, 0.0])
    y = [float(climb(jnp.array([each]), tables((steep,), jnp.float64)[0], False)[0]) for each in z]
    assert steep.axis == 0
    assert y[3] == pytest.approx(0.0, abs=1e-6), "both walls alike"
    np.testing.assert_allclose(np.diff(y), [0.2, 0.2, 0.2], atol=0.06)


def front(width, **options):
    box = pinn.Box(t=(0, 1), x=(-1, 1))
    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x: d(u, t),
        conditions=[pinn.Initial(u=lambda x: jnp.tanh((x - 0.3) / width) + x)],
        **options,
    )


def start_of(problem):
    """Its initial values."""
    exact = plan_exact(problem, None)
    basis, _ = feature_ansatz(problem, exact, Family(sin, (1.0, 1.0)), 4, (0,), jnp.float64)
    return lambda points: given_values(objective(problem, basis, exact), {}, jnp.asarray(points))


def test_layers_are_found_where_they_are():
    problem = front(0.05)
    (steep,) = steep_coordinates(problem, (False, False), start_of(problem), at=(0, 0.0))
    assert steep.axis == 1
    assert 0.1 < np.median(steep.centres) < 0.5
    again = steep_coordinates(problem, (False, False), start_of(problem), (steep,), (0, 0.0))
    assert not out_of_date((steep,), again)
    sharper = steep_coordinates(problem, (False, False), start_of(front(0.02)), at=(0, 0.0))
    assert out_of_date((steep,), sharper)
    assert out_of_date((), (steep,))


def test_a_small_source_is_seen_wherever_it_is():
    """Of 4096 points a few dozen lie where it is more than a thousandth of its height, and lines go through those."""
    box = pinn.Box(x=(-1, 1), y=(-1, 1))
    problem = pinn.Problem(
        fields="u", domain=box, residual=lambda u, x, y: laplacian(u, x, y), conditions=[pinn.Dirichlet(u=0.0, on=box.boundary)]
    )

    def source(points):
        return np.exp(-2000 * np.sum((points - np.array([0.37, -0.61])) ** 2, axis=1, keepdims=True))

    found = steep_where_driven(problem, (False, False), source)
    assert [each.axis for each in found] == [0, 1]
    for each, place in zip(found, (0.37, -0.61), strict=True):
        z = np.linspace(-0.999, 0.999, 2001)
        assert abs(z[np.argmax(each.slope(z))] - place) < 0.05
    assert steep_where_driven(problem, (False, False), lambda points: np.ones((len(points), 1))) == ()
    assert steep_where_driven(problem, (False, False), lambda points: np.zeros((len(points), 1))) == ()
    assert steep_where_driven(problem, (False, False), lambda points: np.full((len(points), 1), np.nan)) == ()


def test_a_sine_has_no_layer():
    box = pinn.Box(t=(0, 1), x=(-1, 1))
    waves = pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x: d(u, t),
        conditions=[pinn.Initial(u=lambda x: jnp.sin(7 * x))],
    )
    assert steep_coordinates(waves, (False, False), start_of(waves), at=(0, 0.0)) == ()


def test_drawn_points_follow_steep_coordinates_and_stay_on_their_faces():
    box = pinn.Box(x=(0, 2), y=(0, 1))
    problem = pinn.Problem(
        fields="u", domain=box, residual=lambda u, x, y: pinn.laplacian(u, x, y),
        conditions=[pinn.Dirichlet(u=0.0, on=box.boundary)],
    )  # fmt: skip
    exact = plan_exact(problem, False)
    basis, _ = feature_ansatz(problem, exact, Family(sin, (1.0, 1.0)), 4, (0,), jnp.float64)
    goal = objective(problem, basis, exact)
    inside, walls = draw(goal, {"equation": 1000, "condition": 400}, (0,), jnp.float64, steep=(of_layer(0.01, 0.5),))
    assert np.mean(np.abs(np.asarray(inside.points)[:, 0] - 1.5) < 0.1) > 0.5
    on = np.asarray(walls.points)
    assert np.all((on[:, 0] == 0) | (on[:, 0] == 2) | (on[:, 1] == 0) | (on[:, 1] == 1))
    assert np.sum(on[:, 0] == 0) > 50
    assert np.mean(np.abs(on[:, 0] - 1.5) < 0.1) > 0.3


@pytest.mark.parametrize("activation", [sin, tanh])
def test_a_boundary_layer_is_resolved(activation):
    """ε u'' + u' = 0 with a layer of width 1e-3: steep coordinates are worth many digits."""
    line = pinn.Interval(x=(0, 1))
    problem = pinn.Problem(
        fields="u", domain=line, residual=lambda u, x: 1e-3 * d(u, x, x) + d(u, x),
        conditions=[pinn.Dirichlet(u=0.0, on=line.at(x=0)), pinn.Dirichlet(u=1.0, on=line.at(x=1))],
    )  # fmt: skip
    setup = Setup(problem, plan_exact(problem, None), (0,), jnp.float64)
    steep = of_layer(4e-3, -1.0)
    sharp, broad = (each for each in steepened(Family(activation, (2.0,)), (steep,)) if each.activation is activation)
    x = jnp.linspace(0, 1, 3001)[:, None]
    exact = (1 - np.exp(-np.asarray(x)[:, 0] / 1e-3)) / (1 - np.exp(-1e3))

    def error(found):
        goal = objective(problem, found.approximation, setup.exact)
        values = np.asarray(field_values(goal, found.weights, x))[:, 0]
        return np.linalg.norm(values - exact) / np.linalg.norm(exact)

    assert error(fit(setup, sharp, 150)) < 1e-3
    assert error(fit(setup, broad, 150)) < 1e-7
    assert error(fit(setup, Family(activation, (16.0,)), 150)) > 1e-2
