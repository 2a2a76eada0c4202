"""Corners and holes: found from the shape of a domain, and coordinates in which solutions are smooth there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinn
from pinn import sampling
from pinn.corners import singularities
from pinn.derivatives import nested_grad, taylor
from pinn.domains import Ball, Box, Disk, Interval
from pinn.exact import plan_exact
from pinn.families import Family, candidates
from pinn.features import Setup, fit
from pinn.loss import field_values, objective
from pinn.plane import Ellipse, Polygon
from pinn.singular import Corner, Hole, singular_from

SQUARE = Box(x=(-1, 1), y=(-1, 1))
L = SQUARE - Box(x=(0, 1), y=(-1, 0))
FRAME = SQUARE - Box(x=(-0.3, 0.2), y=(-0.1, 0.4))
SLIT = SQUARE - Box(x=(0, 1), y=(-0.01, 0.01))
PLUS = Box(x=(-1, 1), y=(-0.3, 0.3)) + Box(x=(-0.3, 0.3), y=(-1, 1))
BITTEN = Polygon(x=[-1, 1, 1, -1], y=[-1, -1, 1, 1]) - Disk(x=1, y=1, radius=0.5)
KEYHOLE = Disk(x=0, y=0, radius=0.5) + Box(x=(0, 2), y=(-0.1, 0.1))
DUMBBELL = Disk(x=0, y=0, radius=1) + Disk(x=1.5, y=0, radius=1)


def corners(domain) -> list[Corner]:
    return [each for each in singularities(domain) if isinstance(each, Corner)]


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
    found = sorted(each.centre for each in corners(domain))
    assert len(found) == len(centres)
    np.testing.assert_allclose(np.array(found).reshape(-1, 2), np.array(sorted(centres)).reshape(-1, 2), atol=1e-9)
    for each in corners(domain):
        assert each.exponent == pytest.approx(180 / angle, abs=1e-5)


@pytest.mark.parametrize(
    ("domain", "holes"),
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
def test_holes_are_found(domain, holes):
    assert [(each.centre, each.radius) for each in singularities(domain) if isinstance(each, Hole)] == holes


def test_those_of_a_product_are_those_of_its_factors():
    [corner] = singularities(Interval(t=(0, 1)) * L)
    assert corner.axes == (1, 2)
    [hole] = singularities((SQUARE - Disk(x=0, y=0, radius=0.1)) * Interval(t=(0, 1)))
    assert hole.axes == (0, 1)


EVERY = [singularities(L)[0], singularities(FRAME)[0], Hole((0, 1), (0.3, 0.2), 0.1, 2.0)]


@pytest.mark.parametrize("singular", EVERY, ids=["corner", "corner of a hole", "hole"])
def test_coordinates_in_the_plane_are_harmonic_and_known_to_jets(singular):
    rng, second = np.random.default_rng(0), [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]
    points = jnp.asarray(rng.uniform(-0.05, 0.05, (5, 2)) + np.array([0.6, 0.7]))
    found, expected = (jax.vmap(lambda p, e=e: e(singular.coordinates, p, second))(points) for e in (taylor, nested_grad))
    for index in second:
        np.testing.assert_allclose(found[index], expected[index], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(found[2, 0] + found[0, 2], 0.0, atol=1e-10)


def test_the_potential_of_a_ball_is_harmonic():
    hole = Hole((0, 1, 2), (0.3, 0.2, 0.1), 0.1, 2.0)
    second = [(2, 0, 0), (0, 2, 0), (0, 0, 2)]
    found = taylor(hole.coordinates, jnp.array([0.5, 0.4, 0.3]), second)
    assert abs(float(sum(found[index][3] for index in second))) < 1e-11


@pytest.mark.parametrize("domain", [L, FRAME, PLUS, KEYHOLE, SLIT], ids=["L", "frame", "plus", "keyhole", "slit"])
def test_nothing_jumps_inside_the_domain(domain):
    """Their cuts lie outside: along any line, coordinates change by no more than a few times the step."""
    lower, upper = domain.bounds
    x, y = (np.linspace(a, b, n) for a, b, n in zip(lower, upper, (801, 803), strict=True))
    points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=2)
    each = corners(domain)[0]
    far = np.linalg.norm(points - np.array(each.centre), axis=2) > 0.05
    inside = (domain.distance(points.reshape(-1, 2)) < -1e-9).reshape(far.shape) & far
    values = np.asarray(jax.vmap(jax.vmap(each.coordinates))(jnp.asarray(points)))
    for axis in (0, 1):
        change = np.abs(np.diff(values, axis=axis)).max(axis=2)
        both = np.logical_and(*(np.delete(inside, end, axis) for end in (0, -1)))
        assert np.max(change[both]) < 0.05


def test_a_corner_itself_has_a_value():
    [corner] = singularities(L)
    assert np.all(np.isfinite(corner.coordinates(jnp.zeros(2))))


@pytest.mark.parametrize("singular", EVERY, ids=["corner", "corner of a hole", "hole"])
def test_they_are_saved_as_text(singular):
    import json
    from dataclasses import asdict

    assert singular_from(json.loads(json.dumps({"kind": type(singular).__name__, **asdict(singular)}))) == singular


def power(x, y):
    angle = jnp.arctan2(y, x)
    angle = jnp.where(angle < -jnp.pi / 4, angle + 2 * jnp.pi, angle)
    return (x**2 + y**2) ** (1 / 3) * jnp.sin(2 / 3 * angle)


def logarithm(x, y):
    return jnp.log((x - 0.2) ** 2 + (y - 0.1) ** 2)


@pytest.mark.parametrize(
    ("domain", "exact"), [(L, power), (SQUARE - Disk(x=0.2, y=0.1, radius=0.05), logarithm)], ids=["L", "hole"]
)
def test_few_features_resolve_them(domain, exact):
    """Where as many smooth features leave more than a thousandth."""
    problem = pinn.Problem(
        fields="u",
        domain=domain,
        residual=lambda u, x, y: pinn.laplacian(u, x, y),
        conditions=[pinn.Dirichlet(u=exact, on=domain.boundary)],
    )
    setup = Setup(problem, plan_exact(problem, None), (0,), jnp.dtype("float64"))
    points = sampling.interior(domain, 2000, 1)
    expected, errors = np.asarray(exact(*points.T)), {}
    for singular in (True, False):
        families = [family if singular else Family(family.activation, family.plain) for family in candidates(problem)]
        found = min((fit(setup, family, 300) for family in families), key=lambda found: found.held_out)
        values = field_values(objective(problem, found.approximation, setup.exact), found.weights, jnp.asarray(points))[:, 0]
        errors[singular] = np.linalg.norm(values - expected) / np.linalg.norm(expected)
    assert errors[True] < 1e-5 and errors[False] > 1e-3
