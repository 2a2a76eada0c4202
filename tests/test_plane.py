"""Polygons, ellipses and curl against geometry and vector calculus: lengths, nearest points, fluxes, messages."""

import subprocess
import sys
from math import pi

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

import pinn
from pinn import Disk, Ellipse, Interval, Polygon, apply, curl, d, grad
from pinn.derivatives import sin
from pinn.errors import DomainError, ResidualError
from pinn.exact import plan_exact
from pinn.families import Family
from pinn.features import Setup, fit
from pinn.loss import field_values, objective
from pinn.sampling import boundary, boundary_measure, interior

ARROW = Polygon(x=[0, 2, 2, 3, 2, 2, 0], y=[0, 0, -1, 0.5, 2, 1, 1])
WING = Ellipse(x=0.9, y=0.5, radii=(0.6, 0.2), angle=0.4)


# --- shapes


def test_corners_may_run_either_way_round_and_be_closed():
    back = Polygon(x=[0, 2, 2, 3, 2, 2, 0][::-1], y=[0, 0, -1, 0.5, 2, 1, 1][::-1])
    closed = Polygon(x=[*[0, 2, 2, 3, 2, 2, 0], 0], y=[*[0, 0, -1, 0.5, 2, 1, 1], 0])
    assert closed == ARROW and ARROW.corners == back.corners and back.measure == 3.5
    assert eval(repr(ARROW)) == ARROW and eval(repr(WING)) == WING
    assert repr(Polygon(x=np.cos(np.arange(50) / 8), y=np.sin(np.arange(50) / 8))) == "Polygon(50 corners in x, y)"


def test_edges_along_a_coordinate_are_faces():
    assert ARROW.faces == (("x", 0.0), ("x", 2.0), ("y", 0.0), ("y", 1.0))
    points, normals = boundary(ARROW, ARROW.at(x=2), 200, 0)
    assert np.all(points[:, 0] == 2) and np.all(normals == [-1, 0]) and boundary_measure(ARROW, ARROW.at(x=2)) == 2
    assert np.all((points[:, 1] < 0) | (points[:, 1] > 1))


def test_a_part_of_a_curved_boundary():
    disk = Disk(x=0, y=0, radius=2)
    upper = disk.boundary.where(lambda y: y > 0)
    assert boundary_measure(disk, upper) == pytest.approx(2 * pi, rel=1e-3)
    assert boundary_measure(disk, upper.where(lambda x: x > 0)) == pytest.approx(pi, rel=2e-3)
    points, _ = boundary(disk * Interval(t=(0, 1)), upper, 100, 0)
    assert points[:, 1].min() > 0
    with pytest.raises(DomainError, match="`where` asks for 'z', but the coordinates of Disk"):
        disk.boundary.where(lambda z: z > 0)


@pytest.mark.parametrize("ratio", [1.0, 0.5, 3.0, 1e-3])
def test_points_on_an_ellipse_are_uniform_by_length(ratio):
    oval = Ellipse(x=1, y=2, radii=(1.0, ratio), angle=0.7)
    length = quad(lambda s: np.hypot(np.sin(s), ratio * np.cos(s)), 0, 2 * pi, limit=500)[0]
    assert boundary_measure(oval, oval.boundary) == pytest.approx(length, rel=1e-9)
    part = quad(lambda s: np.hypot(np.sin(s), ratio * np.cos(s)), 0, 0.3, limit=500)[0]
    points, _ = boundary(oval, oval.boundary, 4096, 0)
    turned = (points - [1, 2]) @ np.array([[np.cos(0.7), np.sin(0.7)], [-np.sin(0.7), np.cos(0.7)]]).T
    angles = np.arctan2(turned[:, 1] / ratio, turned[:, 0])
    assert np.mean((angles > 0) & (angles < 0.3)) == pytest.approx(part / length, abs=2e-3)


@pytest.mark.parametrize("radii", [(2.0, 0.5), (0.5, 2.0), (1.0, 1.0), (1.0, 1e-3)])
def test_the_nearest_point_of_an_ellipse_is_found(radii):
    oval, rng = Ellipse(x=0, y=0, radii=radii), np.random.default_rng(0)
    special = [(0, 0), (0.3, 0), (0, 0.1), (radii[0], 0), (0, -radii[1]), (-5, 0), (1e-9, 0.2), (1.8, 1e-12)]
    points = np.array([*special, *rng.normal(size=(30, 2)) * radii, *rng.normal(size=(30, 2))])
    grid = np.linspace(-pi, pi, 401)
    for point, found in zip(points, oval.distance(points), strict=True):

        def gap(s, point=point):
            return np.hypot(radii[0] * np.cos(s) - point[0], radii[1] * np.sin(s) - point[1])

        near = grid[np.argsort(gap(grid))[:6]]
        best = min(
            minimize_scalar(gap, bounds=(s - 0.05, s + 0.05), method="bounded", options={"xatol": 1e-12}).fun for s in near
        )
        inside = (point[0] / radii[0]) ** 2 + (point[1] / radii[1]) ** 2 <= 1
        assert abs(found) == pytest.approx(best, abs=1e-9) and (found <= 0) == inside


@pytest.mark.parametrize("domain", [ARROW, WING, ARROW - WING, ARROW + Disk(x=3, y=0.5, radius=1)], ids=repr)
def test_the_flux_out_is_the_integral_of_the_divergence(domain):
    """With the field (x² + y, x y): divergence 2 x + x."""
    points, normals = boundary(domain, domain.boundary, 2**14, 0)
    x, y = points.T
    flux = np.mean((x**2 + y) * normals[:, 0] + x * y * normals[:, 1]) * boundary_measure(domain, domain.boundary)
    assert flux == pytest.approx(np.mean(3 * interior(domain, 2**14, 0)[:, 0]) * domain.measure, rel=2e-3)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Polygon(x=[0, 1], y=[0, 1]), "three corners or more.* got 2 of 'x' and 2 of 'y'"),
        (lambda: Polygon(x=[0, 1, 2], y=[0, 1]), "got 3 of 'x' and 2 of 'y'"),
        (
            lambda: Polygon(x=[0, 1, 1, 0], y=[0, 1, 0, 1]),
            r"must not touch or cross; these do: Self-intersection.* a \+ b and a - b",
        ),
        (lambda: Polygon(x=[0, 1, 2], y=[0, 1, 2]), "must not touch or cross"),
        (lambda: Polygon(x=[0, 1, 0], y=[0, 1, float("nan")]), "y must be a finite number, got nan"),
        (lambda: Polygon(x=3, y=4), r"x must hold the corners' values, such as x=\[0, 1, 1\]; got 3"),
        (lambda: Polygon(x=[0, 1, 0], y=[0, 0, 1], z=[0, 0, 1]), "Polygon takes exactly two coordinates, got 'x', 'y', 'z'"),
        (lambda: Polygon(x=[0, 1, 0], t=[0, 0, 1]), r"shape in space.*Polygon\(...\) \* Interval\(t=\(0, 1\)\)"),
        (lambda: Ellipse(x=0, radii=(1, 2)), "Ellipse takes exactly two coordinates, got 'x'"),
        (lambda: Ellipse(x=0, y=0, radii=2), r"two half axes, such as radii=\(2, 1\); got 2"),
        (lambda: Ellipse(x=0, y=0, radii=(1, 0)), "half axes of an Ellipse must be positive, got 1 and 0"),
        (lambda: Ellipse(x=0, y=0, radii=(1, 1), angle=None), "angle must be a finite number, got None"),
    ],
)
def test_impossible_shapes_say_what_to_do(build, message):
    with pytest.raises(DomainError, match=message):
        build()


def test_shapely_waits_until_a_polygon_is_made():
    code = "import sys, pinn; pinn.Ellipse(x=0, y=0, radii=(1, 2)).boundary; print('shapely' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


# --- curl


def test_curl_against_derivatives_by_hand():
    fields = {"u": lambda x, y, z: x * y * z, "v": lambda x, y, z: jnp.sin(x) * z**2, "w": lambda x, y, z: x**2 - y**3}
    point = {"x": 0.7, "y": 1.3, "z": -0.4}
    x, y, z = point.values()
    expected = [-3 * y**2 - 2 * np.sin(x) * z, x * y - 2 * x, np.cos(x) * z**2 - x * z]

    def vector(u, v, w):
        return jnp.stack([u, v, w])

    np.testing.assert_allclose(apply(lambda u, v, w, x, y, z: tuple(curl([u, v, w], x, y, z)), point, fields), expected)
    np.testing.assert_allclose(apply(lambda u, v, w, x, y, z: tuple(curl(vector, x, y, z)), point, fields), expected)


def test_a_gradient_has_no_curl_and_a_curl_no_divergence():
    point, fields = {"x": 0.7, "y": 1.3}, {"u": lambda x, y: jnp.exp(x * y) * y}

    def slope(u, x, y):
        return grad(u, x, y)

    def turned(u, x, y):
        return jnp.stack([d(u, y), -d(u, x)])

    assert apply(lambda u, x, y: curl(slope, x, y) + 0 * u, point, fields) == pytest.approx(0, abs=1e-12)
    laplacian = float(apply(lambda u, x, y: pinn.laplacian(u, x, y), point, fields))
    assert apply(lambda u, x, y: curl(turned, x, y) + 0 * u, point, fields) == pytest.approx(-laplacian, rel=1e-12)


def test_curl_in_other_dimensions_is_refused():
    fields = {"u": lambda x: x}
    with pytest.raises(
        ResidualError, match=r"curl\(\) needs the two or three coordinates of space: curl\(\[u, v\], x, y\); got 1"
    ):
        apply(lambda u, x: curl([u], x), {"x": 0.5}, fields)
    with pytest.raises(ResidualError, match=r"curl\(\) needs one component for each coordinate; got 1 for 2"):
        apply(lambda u, x, y: curl([u], x, y), {"x": 0.5, "y": 0.5}, {"u": lambda x, y: x * y})


# --- a problem on them


@pytest.mark.slow
def test_a_problem_on_a_polygon_with_an_elliptic_hole():
    """u = eˣ sin y is harmonic; its slope is given on the hole and on one edge, its value on the others."""
    domain = ARROW - WING

    def slope(x, y, normal):
        return jnp.exp(x) * (normal[0] * jnp.sin(y) + normal[1] * jnp.cos(y))

    tip = ARROW.boundary.where(lambda x: x > 2)
    rest = ARROW.boundary.where(lambda x: x <= 2)
    problem = pinn.Problem(
        fields="u",
        domain=domain,
        residual=lambda u, x, y: pinn.laplacian(u, x, y),
        conditions=[
            pinn.Dirichlet(u=lambda x, y: jnp.exp(x) * jnp.sin(y), on=rest),
            pinn.Neumann(u=slope, on=WING.boundary + tip),
        ],
    )
    setup = Setup(problem, plan_exact(problem, None), (0,), jnp.float64)
    found = fit(setup, Family(sin, (4.0, 4.0)), 150)
    points = interior(domain, 500, 0)
    values = field_values(objective(problem, found.approximation, setup.exact), found.weights, jnp.asarray(points))[:, 0]
    x, y = points.T
    assert np.abs(values - np.exp(x) * np.sin(y)).max() < 1e-3
