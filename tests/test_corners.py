"""Corners and holes: found from the shape of a domain and its conditions, and the functions that solutions have there."""

import json
from dataclasses import asdict, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinn
from pinn import sampling
from pinn.corners import corner, holes, openings
from pinn.derivatives import nested_jvp, taylor
from pinn.domains import Ball, Box, Disk, Interval
from pinn.exact import plan_exact
from pinn.families import candidates
from pinn.features import Setup, fit
from pinn.loss import field_values, objective
from pinn.plane import Ellipse, Polygon
from pinn.singular import Corner, Hole, functions, singular_from
from pinn.singularities import singularities

SQUARE = Box(x=(-1, 1), y=(-1, 1))
L = SQUARE - Box(x=(0, 1), y=(-1, 0))
FRAME = SQUARE - Box(x=(-0.3, 0.2), y=(-0.1, 0.4))
SLIT = SQUARE - Box(x=(0, 1), y=(-0.01, 0.01))
PLUS = Box(x=(-1, 1), y=(-0.3, 0.3)) + Box(x=(-0.3, 0.3), y=(-1, 1))
BITTEN = Polygon(x=[-1, 1, 1, -1], y=[-1, -1, 1, 1]) - Disk(x=1, y=1, radius=0.5)
KEYHOLE = Disk(x=0, y=0, radius=0.5) + Box(x=(0, 2), y=(-0.1, 0.1))
DUMBBELL = Disk(x=0, y=0, radius=1) + Disk(x=1.5, y=0, radius=1)


def inward(domain) -> list[Corner]:
    return [each for each in singularities(domain, (), {}) if isinstance(each, Corner) and (each.exponent or 1) < 1]


@pytest.mark.parametrize(
    ("domain", "centres", "angle"),
    [
        (L, [(0, 0)], 270),
        (FRAME, [(x, y) for x in (-0.3, 0.2) for y in (-0.1, 0.4)], 270),
        (SLIT, [(0, -0.01), (0, 0.01)], 270),
        (PLUS, [(x, y) for x in (-0.3, 0.3) for y in (-0.3, 0.3)], 270),
        (Polygon(x=[0, 2, 1, 0], y=[0, 1, 0.9, 2]), [(1, 0.9)], 360 - np.rad2deg(np.arctan2(1.1, -1) - np.arctan2(0.1, 1))),
        (KEYHOLE, [(0.24**0.5, -0.1), (0.24**0.5, 0.1)], 270 - np.rad2deg(np.arcsin(0.2))),
        (DUMBBELL, [(0.75, s * (1 - 0.75**2) ** 0.5) for s in (-1, 1)], 180 + 2 * np.rad2deg(np.arcsin(0.75))),
        (SQUARE, [], 0),
        (SQUARE - Polygon(x=np.cos(np.arange(200) / 100 * np.pi) / 2, y=np.sin(np.arange(200) / 100 * np.pi) / 2), [], 0),
    ],
    ids=["L", "frame", "slit", "plus", "arrow", "keyhole", "dumbbell", "square", "polygon of many sides"],
)
def test_corners_that_point_inwards_are_found_with_their_angles(domain, centres, angle):
    found = sorted(each.centre for each in inward(domain))
    assert len(found) == len(centres)
    np.testing.assert_allclose(np.array(found).reshape(-1, 2), np.array(sorted(centres)).reshape(-1, 2), atol=1e-9)
    for each in inward(domain):
        assert each.exponent == pytest.approx(180 / angle, abs=1e-5)


@pytest.mark.parametrize(
    ("domain", "found"),
    [
        (SQUARE - Disk(x=0.2, y=0.1, radius=0.3), [((0.2, 0.1), 0.3)]),
        (Disk(x=0, y=0, radius=1) - Disk(x=0.5, y=0, radius=0.2), [((0.5, 0), 0.2)]),
        (SQUARE - Ellipse(x=0, y=0.5, radii=(0.2, 0.1)), [((0, 0.5), 0.1)]),
        (Box(x=(0, 1), y=(0, 1), z=(0, 1)) - Ball(z=0.6, y=0.5, x=0.4, radius=0.2), [((0.4, 0.5, 0.6), 0.2)]),
        (Box(x=(0, 1), y=(0, 1)) - Disk(x=0, y=0, radius=0.5), [((0, 0), 0.5)]),
        (SQUARE - Disk(x=3, y=0, radius=0.3), []),
        (DUMBBELL, []),
    ],
    ids=["disk", "annulus", "ellipse", "ball", "a quarter", "elsewhere", "a union"],
)
def test_holes_are_found(domain, found):
    assert [(each.centre, each.radius) for each in holes(domain)] == found


def test_those_of_a_product_are_those_of_its_factors():
    assert {each.axes for each in inward(Interval(t=(0, 1)) * L)} == {(1, 2)}
    assert {each.axes for each in singularities(Box(x=(0, 1), t=(0, 1), y=(0, 1)), (), {})} == {(0, 2)}
    [hole] = holes((SQUARE - Disk(x=0, y=0, radius=0.1)) * Interval(t=(0, 1)))
    assert hole.axes == (0, 1)


POLE = inward(FRAME)[0]
EVERY = [
    inward(L)[0],
    POLE,
    replace(POLE, jumps=True),
    *(corner(L, opening, None, jumps) for opening in openings(L)[:2] for jumps in (True, False)),
    Hole((0, 1), (0.3, 0.2), 0.1, 2.0),
    Hole((0, 1), (-0.3, 0.2), 0.2, 2.0),
]


def test_functions_in_the_plane_are_harmonic_and_known_to_jets():
    rng, second = np.random.default_rng(0), [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]
    points = jnp.asarray(rng.uniform(-0.05, 0.05, (5, 2)) + np.array([0.6, 0.7]))

    def every(point):
        return functions(EVERY, point)

    found, expected = (jax.vmap(lambda p, e=e: e(every, p, second))(points) for e in (taylor, nested_jvp))
    assert found[0, 0].shape[1] == sum(each.seen + each.direct for each in EVERY)
    for index in second:
        np.testing.assert_allclose(found[index], expected[index], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found[2, 0] + found[0, 2], 0.0, atol=1e-10)


def test_functions_are_the_powers_and_logarithms_of_a_complex_number():
    points = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    points = points[(points[:, 0] < 0) | (points[:, 1] > 0)]
    w = points @ [1, 1j] / (2**0.5 * np.exp(0.75j * np.pi))
    [sharp] = inward(L)
    first, second, power = w * np.log(w), w**2 * np.log(w), w ** (2 / 3)
    values = np.asarray(jax.vmap(lambda p: functions([replace(sharp, jumps=True)], p))(jnp.asarray(points)))
    seen = [np.log(w).imag, first.real, first.imag, power.real, power.imag]
    np.testing.assert_allclose(values, np.stack([*seen, *seen, second.real, second.imag], axis=1), atol=1e-9)


def test_the_potential_of_a_ball_is_harmonic():
    hole = Hole((0, 1, 2), (0.3, 0.2, 0.1), 0.1, 2.0)
    second = [(2, 0, 0), (0, 2, 0), (0, 0, 2)]
    found = taylor(lambda p: functions([hole], p), jnp.array([0.5, 0.4, 0.3]), second)
    assert abs(float(sum(found[index][3] for index in second))) < 1e-11


@pytest.mark.parametrize("domain", [L, FRAME, PLUS, KEYHOLE, SLIT], ids=["L", "frame", "plus", "keyhole", "slit"])
def test_nothing_jumps_inside_the_domain(domain):
    """Their cuts lie outside: along any line, they change by no more than a few times the step."""
    lower, upper = domain.bounds
    x, y = (np.linspace(a, b, n) for a, b, n in zip(lower, upper, (801, 803), strict=True))
    points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=2)
    each = inward(domain)[0]
    far = np.linalg.norm(points - np.array(each.centre), axis=2) > 0.05
    inside = (domain.distance(points.reshape(-1, 2)) < -1e-9).reshape(far.shape) & far
    values = np.asarray(jax.vmap(jax.vmap(lambda p: functions([each], p)))(jnp.asarray(points)))
    for axis in (0, 1):
        change = np.abs(np.diff(values, axis=axis)).max(axis=2)
        both = np.logical_and(*(np.delete(inside, end, axis) for end in (0, -1)))
        assert np.max(change[both]) < 0.2


def test_a_corner_itself_has_a_value():
    assert np.all(np.isfinite(functions(inward(L), jnp.zeros(2))))


@pytest.mark.parametrize("singular", EVERY[1:-1:2], ids=str)
def test_they_are_saved_as_text(singular):
    assert singular_from(json.loads(json.dumps({"kind": type(singular).__name__, **asdict(singular)}))) == singular


def laplace(domain, *conditions, source=0.0, reference=None):
    return pinn.Problem(
        fields="u",
        domain=domain,
        residual=lambda u, x, y: pinn.laplacian(u, x, y) + source,
        conditions=conditions,
        reference=reference,
    )


def found_in(problem) -> dict:
    return {
        tuple(np.round(each.centre, 9).tolist()): (each.exponent and round(each.exponent, 6), each.jumps)
        for each in problem.singular(problem.domain)
    }


def test_values_that_differ_jump_at_their_corner():
    hot = laplace(
        SQUARE, pinn.Dirichlet(u=1.0, on=SQUARE.at(y=1)), pinn.Dirichlet(u=0.0, on=SQUARE.at(y=-1) + SQUARE.at(x=(-1, 1)))
    )
    assert found_in(hot) == {(x, y): (None, y == 1) for x in (-1, 1) for y in (-1, 1)}
    assert not plan_exact(hot, None).met
    for value in (lambda x: x, lambda x, y: jnp.sin(jnp.pi * x) * jnp.cos(jnp.pi * y / 2)):
        fitting = laplace(SQUARE, pinn.Dirichlet(u=value, on=SQUARE.boundary))
        assert found_in(fitting) == {(x, y): (None, False) for x in (-1, 1) for y in (-1, 1)}


def test_a_value_that_meets_a_slope_halves_the_exponent():
    left, right = SQUARE.at(y=-1, where=lambda x: x < 0.25), SQUARE.at(y=-1, where=lambda x: x >= 0.25)
    others = pinn.Dirichlet(u=0.0, on=SQUARE.at(x=(-1, 1)) + SQUARE.at(y=1))
    problem = laplace(SQUARE, pinn.Dirichlet(u=0.0, on=left), pinn.Robin(u=(1.0, 1.0, 0.0), on=right), others)
    corners = {(x, y): (None, False) for x in (-1, 1) for y in (-1, 1)}
    assert found_in(problem) == corners | {(0.25, -1): (0.5, False)}
    steps = laplace(SQUARE, pinn.Dirichlet(u=0.0, on=left), pinn.Dirichlet(u=1.0, on=right), others)
    assert found_in(steps) == corners | {(0.25, -1): (None, True), (1, -1): (None, True)}
    bent = laplace(L, pinn.Dirichlet(u=0.0, on=L.at(x=0)), pinn.Neumann(u=0.0, on=L.at(y=0) + L.at(x=(-1, 1))))
    assert found_in(bent)[0, 0] == (round(1 / 3, 6), False)


@pytest.mark.parametrize(("source", "built"), [(1.0, False), (0.0, True)])
def test_values_that_do_not_fit_the_equation_are_not_built_in(source, built):
    assert bool(plan_exact(laplace(SQUARE, pinn.Dirichlet(u=0.0, on=SQUARE.boundary), source=source), None).met) == built


def power(x, y):
    angle = jnp.arctan2(y, x)
    angle = jnp.where(angle < -jnp.pi / 4, angle + 2 * jnp.pi, angle)
    return (x**2 + y**2) ** (1 / 3) * jnp.sin(2 / 3 * angle)


def logarithm(x, y):
    return jnp.log((x - 0.2) ** 2 + (y - 0.1) ** 2)


def angle(x, y):
    return jnp.arctan2(y + 1, x + 1)


def motz(x, y):
    return (x**2 + (y + 1) ** 2) ** 0.25 * jnp.cos(jnp.arctan2(y + 1, x) / 2)


LEFT, RIGHT = SQUARE.at(y=-1, where=lambda x: x < 0), SQUARE.at(y=-1, where=lambda x: x > 0)
ROUND = SQUARE - Disk(x=0.2, y=0.1, radius=0.05)


@pytest.mark.parametrize(
    ("domain", "exact", "conditions"),
    [
        (L, power, [pinn.Dirichlet(u=power, on=L.boundary)]),
        (ROUND, logarithm, [pinn.Dirichlet(u=logarithm, on=ROUND.boundary)]),
        pytest.param(SQUARE, angle, [pinn.Dirichlet(u=angle, on=SQUARE.boundary)], marks=pytest.mark.slow),
        pytest.param(
            SQUARE,
            motz,
            [
                pinn.Dirichlet(u=0.0, on=LEFT),
                pinn.Neumann(u=0.0, on=RIGHT),
                pinn.Dirichlet(u=motz, on=SQUARE.at(x=(-1, 1)) + SQUARE.at(y=1)),
            ],
            marks=pytest.mark.slow,
        ),
    ],
    ids=["corner", "hole", "jump", "Motz"],
)
def test_few_features_resolve_them(domain, exact, conditions):
    problem = laplace(domain, *conditions)
    setup = Setup(problem, plan_exact(problem, None), (0,), jnp.dtype("float64"))
    points = sampling.interior(domain, 2000, 1)
    expected = np.asarray(exact(*points.T))
    families = [family for family in candidates(problem) if family.activation is pinn.tanh and family.plain == (1.0, 1.0)]
    found = min((fit(setup, family, 100) for family in families), key=lambda found: found.held_out)
    values = field_values(objective(problem, found.approximation, setup.exact), found.weights, jnp.asarray(points))[:, 0]
    assert np.linalg.norm(values - expected) < 1e-10 * np.linalg.norm(expected)
