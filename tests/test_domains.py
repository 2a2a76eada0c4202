"""Domains against geometry: areas, distances, normals, what is a boundary, and what a message says."""

from math import gamma, pi, sqrt

import numpy as np
import pytest

from pinn.boundaries import Boundary, Surface
from pinn.domains import Ball, Box, Disk, Domain, Interval
from pinn.errors import DomainError
from pinn.pieces import Extended, Face, Sphere, fixed_points
from pinn.plane import Ellipse, Polygon

HOLE = Disk(x=1.0, y=0.5, radius=0.2)
STRIP = Box(x=(0, 2), y=(0, 1)) - HOLE
L_SHAPE = Box(x=(-1, 1), y=(-1, 1)) - Box(x=(0, 1), y=(-1, 0))
LENS = Disk(x=0, y=0, radius=1) & Disk(x=1, y=0, radius=1)
TWO_DISKS = Disk(x=0, y=0, radius=1) + Disk(x=1, y=0, radius=1)
LENS_AREA = 2 * pi / 3 - sqrt(3) / 2
TUBE = STRIP * Interval(t=(0, 3))
ARROW = Polygon(x=[0, 2, 2, 3, 2, 2, 0], y=[0, 0, -1, 0.5, 2, 1, 1])
WING = Ellipse(x=1.5, y=0.5, radii=(1.2, 0.2), angle=0.4)

SHAPES = [
    Interval(x=(-1, 2)),
    Box(x=(0, 2), y=(-1, 1), z=(0, 0.5)),
    HOLE,
    Ball(x=0, y=0, z=1, radius=0.7),
    STRIP,
    L_SHAPE,
    LENS,
    TWO_DISKS,
    TUBE,
    HOLE * Disk(p=0, q=0, radius=2),
    ARROW,
    WING,
    (ARROW - WING) * Interval(t=(0, 3)),
    WING + Polygon(y=[0, 1, 2], x=[0, 2, 0]),
]


def around(domain: Domain, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random points in a box twice as large as the one around the domain."""
    lower, upper = domain.bounds
    return rng.uniform(lower - (upper - lower) / 2, upper + (upper - lower) / 2, (count, domain.dimension))


def kept_points(selection: Boundary, domain: Domain, count: int = 256) -> tuple[np.ndarray, np.ndarray]:
    surface = selection.within(domain)
    drawn = [surface.draw(i, fixed_points(count, patch.piece.parameters)) for i, patch in enumerate(surface.patches)]
    points, normals = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    return points, normals


# --- names, bounds, texts


def test_coordinates_keep_their_order_and_time_is_not_spatial():
    box = Box(t=(0, 1), x=(-1, 1), y=(0, 2))
    assert box.coordinates == ("t", "x", "y") and box.spatial == ("x", "y") and box.dimension == 3
    assert [end.tolist() for end in box.bounds] == [[0, -1, 0], [1, 1, 2]]


@pytest.mark.parametrize(
    ("domain", "text"),
    [
        (Interval(x=(0, 5)), "Interval(x=(0, 5))"),
        (STRIP, "Box(x=(0, 2), y=(0, 1)) - Disk(x=1, y=0.5, radius=0.2)"),
        (TUBE, "(Box(x=(0, 2), y=(0, 1)) - Disk(x=1, y=0.5, radius=0.2)) * Interval(t=(0, 3))"),
        (HOLE + HOLE + HOLE, " + ".join(["Disk(x=1, y=0.5, radius=0.2)"] * 3)),
        (HOLE - (HOLE & HOLE), "Disk(x=1, y=0.5, radius=0.2) - ({0} & {0})".format("Disk(x=1, y=0.5, radius=0.2)")),
        (Ball(x=0, y=-0.0, z=1e-9, radius=pi), "Ball(x=0, y=0, z=1e-09, radius=3.14159)"),
    ],
)
def test_repr_reads_like_the_code(domain, text):
    assert repr(domain) == text


def test_numpy_and_jax_scalars_are_numbers():
    jnp = pytest.importorskip("jax.numpy")
    box = Box(x=(np.float32(0), jnp.asarray(2)), y=np.array([0, 1]))
    assert box == Box(x=(0, 2), y=(0, 1)) and hash(box) == hash(Box(x=(0, 2), y=(0, 1)))
    assert Disk(x=jnp.float32(1), y=np.int64(2), radius=jnp.asarray(0.5)) == Disk(x=1, y=2, radius=0.5)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Box(), "needs a range for each coordinate, such as Box"),
        (lambda: Interval(x=(0, 1), y=(0, 1)), "exactly one coordinate, got 'x', 'y'. Use Box"),
        (lambda: Box(x=(1, 0)), r"x = \(1, 0\) is empty: its lower end must be below"),
        (lambda: Box(x=(1, 1)), "is empty"),
        (lambda: Box(x=3), r"x must be a pair \(lower, upper\), such as x=\(0, 1\); got 3"),
        (lambda: Box(x=(0, 1, 2)), "must be a pair"),
        (lambda: Box(x=(0, float("inf"))), "Upper end of x must be a finite number, got inf"),
        (lambda: Box(x=("0", 1)), "Lower end of x must be a finite number, got '0'"),
        (lambda: Box(normal=(0, 1)), "'normal' cannot name a coordinate: .*'sigma'.* are reserved"),
        (lambda: Box(**{"x 1": (0, 1)}), "'x 1' cannot name a coordinate of a Box"),
        (lambda: Box(**{"lambda": (0, 1)}), "'lambda' cannot name a coordinate"),
        (lambda: Disk(x=0, y=0, radius=0), "radius of a Disk must be positive, got 0"),
        (lambda: Disk(x=0, y=None, radius=1), "y must be a finite number, got None"),
        (lambda: Disk(x=0, y=0, z=0, radius=1), "exactly two coordinates, got 'x', 'y', 'z'. Use Ball"),
        (lambda: Ball(x=0, radius=1), "two or more coordinates.* got 'x'. In one coordinate use Interval"),
        (lambda: Disk(x=0, t=0, radius=1), r"cannot be round in time.*Disk\(...\) \* Interval\(t=\(0, 1\)\)"),
        (lambda: STRIP - Interval(x=(0, 1)), "same coordinates on both sides, got 'x', 'y' and 'x'"),
        (lambda: STRIP + Box(x=(0, 1), z=(0, 1)), "same coordinates on both sides, got 'x', 'y' and 'x', 'z'"),
        (lambda: Interval(x=(0, 1)) & Interval(x=(2, 3)), "is empty: the two do not overlap"),
        (lambda: STRIP * Interval(x=(0, 1)), r"has 'x' on both sides.*a \+ b \(union\)"),
        (lambda: Box(x=(0, 1)) * Box(x=(0, 1)), "has 'x' on both sides"),
        (lambda: HOLE.contains(np.zeros((4, 3))), r"shape \(n, 2\), with columns 'x', 'y'; got shape \(4, 3\)"),
        (lambda: HOLE.distance([1.0, 2.0]), r"got shape \(2,\)"),
    ],
)
def test_wrong_use_fails_at_once_and_says_what_to_do(build, message):
    with pytest.raises(DomainError, match=message):
        build()


def test_a_domain_combines_with_domains_only():
    for combine in (lambda: STRIP - HOLE.boundary, lambda: STRIP * 2, lambda: STRIP & None, lambda: STRIP + 1):
        with pytest.raises(TypeError):
            combine()


# --- sets


def test_membership_is_that_of_the_sets():
    rng = np.random.default_rng(1)
    a, b = Box(x=(0, 2), y=(0, 1)), Disk(y=0.5, x=1.5, radius=1.0)
    points = around(a, 2000, rng)
    in_a = (points >= [0, 0]).all(axis=1) & (points <= [2, 1]).all(axis=1)
    in_b = np.hypot(points[:, 0] - 1.5, points[:, 1] - 0.5) <= 1
    for domain, expected in [(a - b, in_a & ~in_b), (a + b, in_a | in_b), (a & b, in_a & in_b)]:
        assert domain.coordinates == ("x", "y")
        np.testing.assert_array_equal(domain.contains(points), expected)
    times = rng.uniform(-1, 2, (2000, 1))
    expected = in_a & ~in_b & ((times >= 0) & (times <= 1))[:, 0]
    np.testing.assert_array_equal(((a - b) * Interval(t=(0, 1))).contains(np.hstack([points, times])), expected)


def test_tolerance_is_a_distance():
    points = [[2.0, 1.0], [2.3, 1.4], [2.3, 1.41]]
    box = Box(x=(0, 2), y=(0, 1))
    assert box.contains(points).tolist() == [True, False, False]
    assert box.contains(points, tolerance=0.5 + 1e-12).tolist() == [True, True, False]


@pytest.mark.parametrize("domain", SHAPES, ids=repr)
def test_distance_is_negative_inside_and_never_too_large(domain):
    """A signed distance, or a bound of it, changes by at most the distance walked, and its sign is the membership."""
    rng = np.random.default_rng(2)
    points = around(domain, 500, rng)
    moved = points + rng.normal(scale=0.1, size=points.shape)
    walked = np.linalg.norm(moved - points, axis=1)
    distance = domain.distance(points)
    assert np.all(np.abs(domain.distance(moved) - distance) <= walked + 1e-12)
    np.testing.assert_array_equal(distance <= 0, domain.contains(points))
    assert (distance < 0).any() and (distance > 0).any()


@pytest.mark.parametrize("domain", [SHAPES[1], HOLE, SHAPES[3], HOLE * Interval(z=(0, 1)), ARROW, WING], ids=repr)
def test_distance_of_primitives_and_products_is_that_to_the_nearest_boundary_point(domain):
    shell, _ = kept_points(domain.boundary, domain, 2**13)
    points = around(domain, 40, np.random.default_rng(3))
    nearest = np.linalg.norm(points[:, None] - shell, axis=2).min(axis=1)
    np.testing.assert_allclose(np.abs(domain.distance(points)), nearest, atol=0.03)


# --- measures


@pytest.mark.parametrize(
    ("domain", "measure"),
    [
        (Interval(x=(-1, 2)), 3.0),
        (Box(x=(0, 2), y=(0, 1), z=(0, 0.5)), 1.0),
        (HOLE, 0.04 * pi),
        (Ball(x=0, y=0, z=0, radius=2), 32 * pi / 3),
        (Ball(**dict.fromkeys("abcdef", 0.0), radius=1), pi**3 / 6),
        (STRIP, 2 - 0.04 * pi),
        (STRIP - Disk(x=0.3, y=0.5, radius=0.1), 2 - 0.05 * pi),
        (TUBE, 3 * (2 - 0.04 * pi)),
        (L_SHAPE, 3.0),
        (L_SHAPE + Box(x=(0, 1), y=(-1, 0)), 4.0),
        (Disk(x=0, y=0, radius=1) - Disk(x=0.2, y=0, radius=0.5), 0.75 * pi),
        (Disk(x=0, y=0, radius=1) + Disk(x=3, y=0, radius=1), 2 * pi),
        (HOLE & Box(x=(0, 2), y=(0, 1)), 0.04 * pi),
        (HOLE - Box(x=(0, 2), y=(0, 1)), 0.0),
        (ARROW, 3.5),
        (ARROW - Ellipse(x=1, y=0.5, radii=(0.4, 0.2)), 3.5 - 0.08 * pi),
        (ARROW - HOLE, 3.5 - 0.04 * pi),
        (ARROW & Polygon(y=[0, 0, 1], x=[0, 1, 0]), 0.5),
        (ARROW + Box(x=(0, 1), y=(0, 1)), 3.5),
        (WING - Disk(x=1.5, y=0.5, radius=0.1), 0.23 * pi),
        (WING & Polygon(x=[1.45, 1.55, 1.5], y=[0.45, 0.45, 0.55]), 0.005),
        (WING - Box(x=(1.45, 1.55), y=(0.45, 0.55)), 0.24 * pi - 0.01),
    ],
    ids=repr,
)
def test_measures_with_a_closed_form_are_exact(domain, measure):
    assert domain.measure == pytest.approx(measure, rel=1e-14, abs=1e-14)


@pytest.mark.parametrize(
    ("domain", "measure"),
    [
        (LENS, 2 * pi / 3 - sqrt(3) / 2),
        (TWO_DISKS, 2 * pi - LENS_AREA),
        (Disk(x=0, y=0, radius=1) - Disk(x=1, y=0, radius=1), pi - LENS_AREA),
        (LENS * Interval(t=(0, 2)), 2 * LENS_AREA),
        (Ball(x=0, y=0, z=0, radius=1) & Box(x=(0, 2), y=(0, 2), z=(0, 2)), pi / 6),
    ],
    ids=repr,
)
def test_other_measures_are_estimated_to_three_digits_and_always_alike(domain, measure):
    assert domain.measure == pytest.approx(measure, rel=5e-4)
    again = eval(repr(domain))
    assert again == domain and again is not domain and again.measure == domain.measure


def test_a_product_of_boxes_is_a_box():
    product = Interval(x=(0, 5)) * Interval(t=(0, 1))
    assert product == Box(x=(0, 5), t=(0, 1)) and product.is_box
    assert Interval(x=(0, 1)).is_box and not STRIP.is_box and not TUBE.is_box


# --- pieces


@pytest.mark.parametrize("dimension", [2, 3, 4, 7])
def test_points_on_a_sphere_are_uniform(dimension):
    """The moments of a uniform unit vector: E n = 0, E n_i n_j = delta_ij / d, E n_i^4 = 3 / (d (d + 2))."""
    sphere = Sphere(tuple("abcdefg"[:dimension]), (1.0,) * dimension, 2.0)
    points, normals = sphere.sample(fixed_points(2**13, dimension - 1))
    np.testing.assert_allclose(points, 1.0 + 2.0 * normals)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(normals.mean(axis=0), 0.0, atol=2e-3)
    np.testing.assert_allclose(normals.T @ normals / len(normals), np.eye(dimension) / dimension, atol=2e-3)
    np.testing.assert_allclose((normals**4).mean(axis=0), 3 / (dimension * (dimension + 2)), atol=3e-3)
    assert sphere.measure == pytest.approx(2 * pi ** (dimension / 2) / gamma(dimension / 2) * 2.0 ** (dimension - 1))


def test_pieces_touch_their_own_points_and_no_others():
    face = Face(("x", "y", "z"), (0.0, 0.0, 0.0), (1.0, 2.0, 3.0), axis=1, upper_end=True)
    assert face.measure == 3.0 and face.name == "y" and face.value == 2.0 and face.parameters == 2
    assert face.touches(np.array([[0.5, 2.0, 1.0], [0.5, 1.9, 1.0], [1.5, 2.0, 1.0]])).tolist() == [True, False, False]
    tube = Extended(Sphere(("x", "z"), (0.0, 0.0), 1.0), ("x", "y", "z"), (0.0,), (2.0,))
    points, normals = tube.sample(fixed_points(64, 2))
    assert tube.touches(points).all() and not tube.touches(points + np.array([0.0, 2.0, 0.0])).any()
    np.testing.assert_allclose(np.hypot(points[:, 0], points[:, 2]), 1.0)
    assert tube.measure == pytest.approx(4 * pi) and np.all(normals[:, 1] == 0) and np.ptp(points[:, 1]) > 1.9


# --- selections


def test_selections_read_like_what_they_select():
    box = Box(x=(-1, 1), y=(0, 1))
    assert repr(box.at(x=0.0 - 1)) == "x = -1"
    assert repr(box.at(x=(-1, 1))) == "x = -1, x = 1"
    assert repr(box.at(x=1, where=lambda y: y > 0.5)) == "x = 1 (part)"
    assert repr(box.at(x=1) + HOLE.boundary) == "x = 1, boundary of Disk(x=1, y=0.5, radius=0.2)"


def test_faces_are_found_up_to_rounding():
    jnp = pytest.importorskip("jax.numpy")
    box = Box(t=(0, 1), x=(-np.pi, jnp.pi))
    assert box.at(x=jnp.pi).patches == box.at(x=np.float64(np.pi)).patches == box.at(x=3 * (np.pi / 3)).patches
    assert len(box.at(x=np.array([-np.pi, np.pi])).patches) == 2
    with pytest.raises(DomainError, match=r"x = 3.1415927\d+ is not a face of .*; its faces are .*x = 3.141592653589793"):
        box.at(x=np.float32(np.pi))


def test_faces_of_combinations_are_those_that_are_left():
    joined = Box(x=(0, 1), y=(0, 1)) + Box(x=(1, 2), y=(0, 1))
    assert joined.faces == (("x", 0.0), ("x", 2.0), ("y", 0.0), ("y", 1.0))
    with pytest.raises(DomainError, match="x = 1 is not a face of"):
        joined.at(x=1)
    assert ("x", 0.0) in L_SHAPE.faces and ("y", 0.0) in L_SHAPE.faces
    assert TUBE.faces == (("x", 0.0), ("x", 2.0), ("y", 0.0), ("y", 1.0), ("t", 0.0), ("t", 3.0))


@pytest.mark.parametrize(
    ("select", "message"),
    [
        (
            lambda: Box(x=(0, 2), y=(0, 1)).at(x=3),
            r"^x = 3 is not a face of Box\(x=\(0, 2\), y=\(0, 1\)\); its faces are x = 0, x = 2, y = 0, y = 1\.$",
        ),
        (lambda: HOLE.at(x=1), "which has no flat faces. Use its .boundary"),
        (lambda: Box(xs=(0, 1), y=(0, 1)).at(x=0), "has no coordinate 'x'; .* 'xs', 'y'. Did you mean 'xs'?"),
        (lambda: STRIP.at(x=0, y=0), r"exactly one coordinate, got 'x', 'y'.*a.at\(x=0\) \+ a.at\(y=0\)"),
        (lambda: STRIP.at(), "exactly one coordinate, got none"),
        (lambda: STRIP.at(x=()), r"at\(x=\(\)\) selects no face"),
        (lambda: STRIP.at(x="left"), "x must be a finite number, got 'left'"),
        (lambda: STRIP.at(x=0, where=lambda z: z > 0), "`where` asks for 'z', but the coordinates of .* are 'x', 'y'"),
        (lambda: STRIP.at(x=0, where=True), r"`where` must be a function such as lambda y: \.\.\., got True"),
        (lambda: STRIP.at(x=0, where=lambda y: 0.2 < y < 0.8), r"`where` failed on arrays of 'y'.*\(0.2 < y\) & "),
        (lambda: STRIP.at(x=0, where=lambda y: y), "one True or False for each of the .*; it returned float64"),
        (lambda: STRIP.at(x=0, where=lambda: True), r"it returned bool of shape \(\)"),
        (lambda: STRIP.at(x=0, where=lambda y: y > 1), r"'x = 0 \(part\)' does not touch .* where its `where` holds"),
        (
            lambda: HOLE.boundary.within(Box(x=(2, 3), y=(0, 1))),
            r"'boundary of Disk\(.*\)' does not touch the boundary",
        ),
        (
            lambda: HOLE.boundary.within(Interval(x=(0, 1))),
            r"coordinates 'y', which Interval\(x=\(0, 1\)\) lacks; it has 'x'",
        ),
        (lambda: TUBE.at(t=0).within(STRIP), "has the coordinates 't'"),
        (
            lambda: Interval(t=(0, 1)).boundary.within(Interval(t=(0, 1))),
            "is empty, since time is no part of a boundary",
        ),
    ],
)
def test_impossible_selections_say_what_exists(select, message):
    with pytest.raises(DomainError, match=message):
        select()


@pytest.mark.parametrize("domain", SHAPES, ids=repr)
def test_normals_are_units_that_point_out_of_the_domain(domain):
    points, normals = kept_points(domain.boundary, domain)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, rtol=1e-12)
    assert domain.contains(points - 1e-6 * normals).all()
    assert not domain.contains(points + 1e-6 * normals).any()
    if "t" in domain.coordinates:
        assert np.all(normals[:, domain.coordinates.index("t")] == 0)


def test_normals_point_into_a_hole():
    points, normals = kept_points(HOLE.boundary, STRIP)
    np.testing.assert_allclose(points + 0.2 * normals, [[1.0, 0.5]] * len(points), atol=1e-14)


def test_a_selection_extends_over_the_other_coordinates():
    points, _ = kept_points(HOLE.boundary, TUBE)
    np.testing.assert_allclose(np.hypot(points[:, 0] - 1, points[:, 1] - 0.5), 0.2)
    assert points[:, 2].min() < 0.1 and points[:, 2].max() > 2.9
    points, _ = kept_points(STRIP.at(x=0), Interval(t=(0, 3)) * STRIP)
    assert np.all(points[:, 1] == 0) and np.ptp(points[:, 0]) > 2.9


def test_a_selection_is_intersected_with_every_domain_it_came_from():
    """Only a part of the boundary of `first` is one of `first - half`, and it stays that part on `first` itself."""
    first, half = Box(x=(0, 2), y=(0, 1)), Box(x=(1, 3), y=(-1, 2))
    points, _ = kept_points((first - half).boundary, first)
    assert points[:, 0].max() < 1 and points[:, 0].min() == 0
    early = Box(t=(0, 1), x=(0, 1)).at(x=0)
    points, _ = kept_points(early, Box(t=(0, 2), x=(0, 1)))
    assert points[:, 0].max() < 1


def test_where_selects_a_part_and_overlaps_count_once():
    box = Box(x=(0, 2), y=(0, 1))
    part = box.at(x=0, where=lambda y, limit=0.75: y > limit)
    assert sum(part.within(box).measures) == pytest.approx(0.25, abs=1e-3)
    assert sum((part + box.at(x=0)).within(box).measures) == pytest.approx(1.0, abs=1e-3)
    assert sum((box.at(x=0) + box.boundary).within(box).measures) == 6.0


def test_where_may_be_written_with_jax():
    jnp = pytest.importorskip("jax.numpy")
    box = Box(x=(0, 2), y=(0, 1))
    part = box.at(x=0, where=lambda y: jnp.cos(jnp.pi * y) > 0)
    assert sum(part.within(box).measures) == pytest.approx(0.5, abs=1e-3)


def test_resolving_twice_changes_nothing():
    surface = STRIP.boundary.within(TUBE)
    assert isinstance(surface, Surface) and surface.within(TUBE) is surface
    assert surface == STRIP.boundary.within(TUBE) and repr(surface) == repr(STRIP.boundary)
    assert isinstance(surface + HOLE.boundary, Boundary)


def test_the_ends_of_time_over_a_ball_are_as_large_as_the_ball():
    """In twenty dimensions one point in forty million of the box around a ball is in it."""
    ball = Ball(**{f"x{i}": 0.0 for i in range(20)}, radius=1)
    for whole in (ball * Interval(t=(0, 1)), Interval(t=(0, 1)) * ball, ball * Box(t=(0, 1), s=(0, 2))):
        assert ("t", 0.0) in whole.faces
        surface = whole.at(t=0).within(whole)
        assert surface.measures == (pytest.approx(whole.measure),)
        points, normals = surface.draw(0, fixed_points(64, whole.dimension - 1))
        assert points.shape == (64, whole.dimension)
        time = whole.coordinates.index("t")
        assert not points[:, time].any() and (normals[:, time] == -1).all()


def test_a_hundred_dimensions_are_no_trouble():
    names = [f"x{i}" for i in range(100)]
    cube = Box(**dict.fromkeys(names, (0, 1)))
    ball = Ball(**dict.fromkeys(names, 0.0), radius=1)
    assert cube.at(x7=1).within(cube).measures == (1.0,)
    assert cube.boundary.within(cube).measures == (1.0,) * 200
    assert ball.boundary.within(ball).measures == (pytest.approx(2 * pi**50 / gamma(50)),)
