"""Corners of systems: the exponents against the roots of known equations, and the functions against complex powers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

import pinn
from pinn import d, laplacian
from pinn.derivatives import nested_jvp, taylor
from pinn.domains import Box, Interval
from pinn.exact import plan_exact
from pinn.families import Family
from pinn.features import Setup, fit
from pinn.loss import field_values, objective
from pinn.singular import Corner, functions

SQUARE = Box(x=(-1, 1), y=(-1, 1))
L = SQUARE - Box(x=(0, 1), y=(-1, 0))
WEDGE = pinn.Polygon(x=[0, 1, 0.2], y=[0, 0, 1])  # its corner at the origin has the angle atan 5


def stokes(u, v, p, x, y):
    return d(p, x) - laplacian(u, x, y), d(p, y) - laplacian(v, x, y), d(u, x) + d(v, y)


def lame(u, v, x, y):
    """Plane strain with λ = μ = 1: κ = 3 - 4ν = 2."""
    return 3 * d(u, x, x) + d(u, y, y) + 2 * d(v, x, y), 3 * d(v, y, y) + d(v, x, x) + 2 * d(u, x, y)


def at(problem, x, y) -> Corner:
    [found] = [
        each
        for each in problem.singular(problem.domain)
        if isinstance(each, Corner) and np.allclose(each.centre, (x, y), atol=1e-6)
    ]
    return found


def still(domain):
    return pinn.Dirichlet(u=0.0, v=0.0, on=domain.boundary)


def test_slow_flow_round_an_edge_has_the_exponents_of_its_equation():
    """sin λω = ±λ sin ω (Moffatt, J. Fluid Mech. 18 (1964) 1), ω = 3π/2."""
    problem = pinn.Problem(fields="u v p", domain=L, residual=stokes, conditions=[still(L)])
    omega = 1.5 * np.pi
    expected = [
        brentq(lambda x, s=s: np.sin(x * omega) - s * x * np.sin(omega), *ends)
        for s, ends in ((-1, (0.4, 0.7)), (1, (0.8, 0.95)))
    ]
    found = at(problem, 0, 0).coupled
    np.testing.assert_allclose(sorted(found), sorted(expected), atol=1e-8)
    assert at(problem, 1, 1).coupled == (), "blunt corners only"


def test_an_elastic_body_that_is_held_has_those_of_its_poisson_ratio():
    """κ sin λω = ±λ sin ω (Williams, J. Appl. Mech. 19 (1952) 526)."""
    problem = pinn.Problem(fields="u v", domain=L, residual=lame, conditions=[still(L)])
    omega, kappa = 1.5 * np.pi, 2.0
    roots = [
        brentq(lambda x, s=s: kappa * np.sin(x * omega) - s * x * np.sin(omega), a, a + 0.01)
        for s in (-1, 1)
        for a in np.arange(0.05, 1.95, 0.01)
        if (kappa * np.sin(a * omega) - s * a * np.sin(omega))
        * (kappa * np.sin((a + 0.01) * omega) - s * (a + 0.01) * np.sin(omega))
        < 0
    ]
    roots = sorted(root for root in roots if abs(root - round(root)) > 0.05)
    np.testing.assert_allclose(at(problem, 0, 0).coupled, roots[:3], atol=1e-8)


def test_a_plate_that_is_clamped_has_those_of_a_flow_and_one():
    plate = pinn.Problem(
        fields="w",
        domain=L,
        residual=lambda w, x, y: d(w, x, x, x, x) + 2 * d(w, x, x, y, y) + d(w, y, y, y, y) - 1.0,
        conditions=[pinn.Dirichlet(w=0.0, on=L.boundary), pinn.Neumann(w=0.0, on=L.boundary)],
    )
    np.testing.assert_allclose(at(plate, 0, 0).coupled, (1.5444837, 1.9085292), atol=1e-6)


def test_equations_of_one_field_each_are_not_coupled():
    both = pinn.Problem(
        fields="u v",
        domain=L,
        residual=lambda u, v, x, y: (laplacian(u, x, y) + v, laplacian(v, x, y) - u * v),
        conditions=[still(L)],
    )
    assert at(both, 0, 0).coupled is None
    assert at(both, 0, 0).exponent == pytest.approx(2 / 3)


def test_sides_of_which_nothing_is_known_have_no_exponents():
    free = pinn.Problem(
        fields="u v p", domain=WEDGE, residual=stokes, conditions=[pinn.Dirichlet(u=0.0, v=0.0, on=WEDGE.boundary, name="walls")]
    )
    corner = at(free, 0, 0)
    assert corner.coupled == () and not corner.forced
    only = pinn.Problem(fields="u v p", domain=L, residual=stokes, conditions=[pinn.Dirichlet(u=0.0, on=L.at(x=-1))])
    assert at(only, 0, 0).coupled == ()


def test_time_does_not_change_them():
    moving = pinn.Problem(
        fields="u v p",
        domain=L * Interval(t=(0, 1)),
        residual=lambda u, v, p, t, x, y: (
            d(u, t) + d(p, x) - laplacian(u, x, y),
            d(v, t) + d(p, y) - laplacian(v, x, y),
            d(u, x) + d(v, y),
        ),
        conditions=[still(L), pinn.Initial(u=0.0, v=0.0)],
    )
    found = [each for each in moving.singular(moving.domain) if isinstance(each, Corner) and each.coupled]
    assert len(found) == 1
    assert found[0].coupled[0] == pytest.approx(0.5444837, abs=1e-6)


def test_a_free_side_is_one_of_the_plane_that_the_corner_lies_in():
    """Of a body that is drawn out in z and on which nothing pulls at the edge: κ sin λω = ±λ sin ω with κ = 1."""
    long = L * Interval(z=(0, 1))

    def pull(u, v, x, y, normal):
        strain, spread = (d(u, x), (d(u, y) + d(v, x)) / 2, d(v, y)), d(u, x) + d(v, y)
        return (
            spread * normal[0] + 2 * (strain[0] * normal[0] + strain[1] * normal[1]),
            spread * normal[1] + 2 * (strain[1] * normal[0] + strain[2] * normal[1]),
        )

    free = pinn.Condition(pull, on=L.at(x=0) + L.at(y=0))
    held = pinn.Dirichlet(u=0.0, v=0.0, on=L.at(x=(-1, 1)))
    problem = pinn.Problem(fields="u v", domain=long, residual=lame, conditions=[free, held])
    [found] = [each for each in problem.singular(long) if isinstance(each, Corner) and np.allclose(each.centre, 0, atol=1e-6)]
    np.testing.assert_allclose(found.coupled, (0.5444837, 0.9085292), atol=1e-6)


CORNER = Corner((0, 1), (0.0, 0.0), (1.0, 1.0), coupled=(0.54, 0.91), forced=True, jumps=True)


def test_functions_are_what_goursat_wrote():
    points = np.random.default_rng(0).uniform(0.01, 1, (40, 2))
    w = points @ [1, 1j] / (1 + 1j)
    values = np.asarray(jax.vmap(lambda p: functions([CORNER], p))(jnp.asarray(points)))
    assert values.shape[1] == CORNER.seen + CORNER.direct
    log = np.log(w)
    expected = [log, w * log, w * np.conj(log), w**2 * log, w * np.conj(w * log), w / np.conj(w), 1 / np.conj(w)]
    for mu in CORNER.coupled:
        expected += [
            w**mu,
            w * np.conj(w ** (mu - 1)),
            w ** (mu - 1),
            w * w**mu,
            w * np.conj(w**mu),
            w**2 * np.conj(w ** (mu - 1)),
        ]
    for one in (part for each in expected for part in (each.real, each.imag)):
        assert min(np.abs(values - sign * one[:, None]).max(axis=0).min() for sign in (1, -1)) < 1e-10


def test_jets_know_their_derivatives():
    second = [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]
    found, expected = (engine(lambda p: functions([CORNER], p), jnp.array([0.3, 0.2]), second) for engine in (taylor, nested_jvp))
    for index in second:
        np.testing.assert_allclose(found[index], expected[index], rtol=1e-10, atol=1e-10)


def ramp(x, y):
    """The flow in the corner at (0, 1) below a lid that moves with the velocity 4x: ψ = -πY² + 2θ(X² + Y²) + 2XY."""
    down = 1 - y
    turn = jnp.arctan2(down, x)
    return {"u": (4 * turn - 2 * jnp.pi) * down + 4 * x, "v": 4 * turn * x, "p": 4 * jnp.log(x**2 + down**2)}


def test_the_corner_under_a_lid_is_resolved_and_not_built_in():
    """Its pressure is infinite: the values that are given fit neither together with div u = 0, nor a network."""
    box = Box(x=(0, 1), y=(0, 1))
    given = [pinn.Dirichlet(**{name: lambda x, y, name=name: ramp(x, y)[name] for name in "uv"}, on=box.boundary)]
    fixed = pinn.Condition(lambda p: p - ramp(1.0, 0.0)["p"], on=pinn.Points(x=[1.0], y=[0.0]))
    problem = pinn.Problem(fields="u v p", domain=box, residual=stokes, conditions=[*given, fixed])
    exact = plan_exact(problem, None)
    assert exact.met == ()
    assert at(problem, 0, 1).forced
    found = fit(Setup(problem, exact, (0,), jnp.dtype("float64")), Family(pinn.tanh, (1.0, 1.0)), 150)
    points = np.random.default_rng(0).uniform(0, 1, (500, 2))
    values = field_values(objective(problem, found.approximation, exact), found.weights, jnp.asarray(points))
    expected = ramp(*points.T)
    for k, name in enumerate("uvp"):
        error = np.asarray(values)[:, k] - np.asarray(expected[name])
        assert np.linalg.norm(error) < 1e-5 * np.linalg.norm(expected[name]), name
