"""Features of space: which waves they are, their derivatives, a basis of them, the points that see their products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinn
from pinn import d
from pinn.exact import plan_exact
from pinn.networks import Features
from pinn.space import Level, around_waves, inside, make_space, waves
from pinn.steep import steep_coordinate
from pinn.steps import steps_exact
from pinn.timeline import timeline


def evolving(periodic: bool = True, plane: bool = False) -> pinn.Problem:
    """u_t = u_xx, or in the plane."""
    space = {"x": (-1, 1), **({"y": (0, 4)} if plane else {})}
    box = pinn.Box(t=(0, 1), **space)
    walls = [pinn.Periodic(name) for name in space] if periodic else [pinn.Dirichlet(u=0.0, on=box.boundary)]
    residual = (lambda u, t, x, y: d(u, t) - pinn.laplacian(u, x, y)) if plane else (lambda u, t, x: d(u, t) - d(u, x, x))
    return pinn.Problem(fields="u", domain=box, residual=residual, conditions=[pinn.Initial(u=0.0), *walls])


def exact_of(problem):
    exact = plan_exact(problem, None)
    return steps_exact(exact, timeline(problem, exact))


def made(problem, width=40, steep=()):
    exact = exact_of(problem)
    hidden = waves(problem, exact, 0, Level(width, 6, 1e-6, steep), (0,))
    points, shares = inside(problem, exact, 0, hidden, (1,))
    return make_space(problem, exact, 0, hidden, points, shares), points, shares


def test_waves_are_the_slowest_and_do_not_see_time():
    hidden = waves(evolving(), exact_of(evolving()), 0, Level(10, 6, 1e-6), (0,))
    np.testing.assert_array_equal(np.abs(hidden.kernel[1]), [1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    assert not np.any(hidden.kernel[0])
    np.testing.assert_allclose(hidden.bias[1::2] - hidden.bias[::2], np.pi / 2)


def test_slow_is_meant_in_the_problems_own_coordinates():
    """A side that is twice as long has waves of twice the number."""
    hidden = waves(evolving(plane=True), exact_of(evolving(plane=True)), 0, Level(400, 6, 1e-6), (0,))
    assert np.abs(hidden.kernel[2]).max() == pytest.approx(2 * np.abs(hidden.kernel[1]).max(), rel=0.15)
    assert len({tuple(k) for k in hidden.kernel.T.tolist()}) == 200


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("plane", [True, False])
def test_the_basis_is_orthogonal_at_its_points(periodic, plane):
    problem = evolving(periodic, plane)
    space, points, shares = made(problem)
    table = space.values(points)["u"]
    np.testing.assert_allclose(table.T @ (shares[:, None] * table) / len(points), np.eye(space.size), atol=1e-4)
    assert np.mean(shares) == pytest.approx(1)


@pytest.mark.parametrize("layer", [False, True])
def test_derivatives_are_those_of_jax(layer):
    problem = evolving(periodic=False)
    z = np.linspace(-1, 1, 400)
    steep = (steep_coordinate(1, z, np.exp(-((z - 0.3) ** 2) / 0.01), False, broad=True),) if layer else ()
    space, points, _ = made(problem, 30, steep)
    few = points[::7]
    held = space.held(problem.terms[0], few, {})
    part, state = around_waves(problem, space.exact, space.waves, Features)

    def functions(x, time):
        return part.basis(state, jnp.array([time, x]))["u"] @ space.mixes["u"]

    second = jax.vmap(lambda p: jax.jacfwd(jax.jacfwd(functions))(p[1], p[0]))(few)
    orders = {
        (read.order, leaf.index): read.table for leaf, read in zip(problem.terms[0].expression.leaves, held.reads, strict=True)
    }
    np.testing.assert_allclose(orders[0, (0, 2)], second, rtol=1e-6, atol=1e-6 * np.abs(second).max())
    np.testing.assert_allclose(orders[1, (1, 0)], space.values(few)["u"], rtol=1e-9)
    np.testing.assert_allclose(space.values(np.array([[0.5, -1.0], [0.5, 1.0]]))["u"], 0, atol=1e-9)


def test_points_crowd_where_a_coordinate_is_steep_and_their_shares_make_up_for_it():
    z = np.linspace(-1, 1, 2000)
    steep = (steep_coordinate(1, z, np.exp(-((z - 0.3) ** 2) / 1e-4), False, broad=True),)
    _, points, shares = made(evolving(periodic=False), 60, steep)
    near = np.abs(points[:, 1] - 0.3) < 0.1
    assert np.mean(near) > 0.25
    assert np.mean(shares * np.cos(points[:, 1])) == pytest.approx(np.sin(1), rel=1e-2)
    assert np.mean(shares * near) == pytest.approx(0.1, rel=0.1)
