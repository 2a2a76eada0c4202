"""Sampling against mathematics: uniformity, integrals, the divergence theorem, rates, counts and determinism."""

import warnings
from math import pi, sqrt

import numpy as np
import pytest
from scipy import stats

from pinn.domains import Ball, Box, Disk, Domain, Interval
from pinn.errors import DomainError
from pinn.sampling import boundary, boundary_measure, generator, grid, interior, measure_points

BOX = Box(x=(0, 2), y=(0, 1))
HOLE = Disk(x=1.0, y=0.5, radius=0.2)
STRIP = BOX - HOLE
LEFT, RIGHT = Disk(x=0, y=0, radius=1), Disk(x=1, y=0, radius=1)
LENS_AREA = 2 * pi / 3 - sqrt(3) / 2
L_SHAPE = Box(x=(0, 2), y=(0, 1)) + Box(x=(0, 1), y=(0, 2))


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# --- generators


def test_a_seed_is_a_number_several_or_the_data_of_a_key():
    draws = [generator(seed).random(3).tolist() for seed in (5, [5], np.array([5], dtype=np.uint32))]
    assert draws[0] == draws[1] == draws[2] != generator([5, 1]).random(3).tolist()


@pytest.mark.parametrize("seed", [-1, 0.5, "key", None, [], [1, -2]])
def test_other_seeds_are_refused(seed):
    with pytest.raises(DomainError, match=r"A seed is a non-negative integer or a sequence of them.*jax.random.key_data"):
        generator(seed)


def test_a_jax_key_is_told_how_to_become_a_seed():
    jax = pytest.importorskip("jax")
    with pytest.raises(DomainError, match=r"jax.random.key_data\(key\)"):
        generator(jax.random.key(0))
    assert generator(jax.random.key_data(jax.random.key(3))).random() == generator([0, 3]).random()


# --- interior


@pytest.mark.parametrize("count", [1, 7, 256, 1000])
@pytest.mark.parametrize(
    "domain", [Interval(x=(-1, 2)), STRIP, LEFT & RIGHT, L_SHAPE * Interval(t=(0, 1)), LEFT * Disk(p=0, q=0, radius=1)]
)
def test_exactly_as_many_points_as_asked_for_and_all_inside(domain, count):
    points = interior(domain, count, seed=0)
    assert points.shape == (count, domain.dimension) and points.dtype == np.float64
    assert domain.contains(points).all()
    assert len(np.unique(points, axis=0)) == count


def test_the_same_seed_gives_the_same_points_and_another_others():
    for draw in (lambda seed: interior(STRIP, 100, seed), lambda seed: boundary(STRIP, STRIP.boundary, 100, seed)[0]):
        np.testing.assert_array_equal(draw(3), draw([3]))
        assert not np.any(draw(3) == draw(4)[:, ::-1]) and not np.array_equal(draw(3), draw(4))


@pytest.mark.parametrize("domain", [BOX, STRIP, LEFT, L_SHAPE, LEFT + RIGHT], ids=repr)
def test_points_are_uniform_by_area(domain):
    """A chi-squared test of cell counts against cell areas; low-discrepancy points do better than random ones."""
    lower, upper = domain.bounds
    cells = [np.linspace(*ends, 9) for ends in zip(lower, upper, strict=True)]
    points = interior(domain, 5000, seed=1)
    seen = np.histogram2d(*points.T, bins=cells)[0].ravel()
    fine = [np.linspace(*ends, 801)[:-1] + (ends[1] - ends[0]) / 1600 for ends in zip(lower, upper, strict=True)]
    probes = np.stack([axis.ravel() for axis in np.meshgrid(*fine, indexing="ij")], axis=1)
    areas = np.histogram2d(*probes[domain.contains(probes)].T, bins=cells)[0].ravel()
    assert not seen[areas == 0].any()
    expected = (areas / areas.sum() * len(points))[areas > 50]
    assert stats.chisquare(seen[areas > 50], expected * seen[areas > 50].sum() / expected.sum()).pvalue > 0.05


@pytest.mark.parametrize("dimension", [2, 3, 10])
def test_points_of_a_ball_have_the_moments_of_a_ball(dimension):
    """E |x|^2 = d / (d + 2) in the unit ball; ten dimensions would be hopeless by rejection from a box."""
    ball = Ball(**dict.fromkeys("abcdefghij"[:dimension], 0.0), radius=1)
    points = interior(ball, 4096, seed=0)
    assert np.mean(np.sum(points**2, axis=1)) == pytest.approx(dimension / (dimension + 2), rel=1e-3)
    np.testing.assert_allclose(points.mean(axis=0), 0.0, atol=3e-3)


def test_means_converge_faster_than_random_ones():
    """The mean of exp(x + y) over the unit square, root mean square over seeds: the error falls like 1/n or faster."""
    square, exact = Box(x=(0, 1), y=(0, 1)), (np.e - 1) ** 2

    def error(count: int) -> float:
        means = [np.exp(interior(square, count, seed).sum(axis=1)).mean() for seed in range(10)]
        return float(np.sqrt(np.mean((np.array(means) - exact) ** 2)))

    assert error(4096) < error(256) / 12
    assert error(4096) < 1e-4


def test_integrals_over_a_clipped_domain():
    """The second moment of the strip about its centre: that of the box less that of the disk."""
    points = interior(STRIP, 4096, seed=2) - [1.0, 0.5]
    exact = 2 * (2**2 + 1) / 12 - pi * 0.2**4 / 2
    assert np.mean(np.sum(points**2, axis=1)) * STRIP.measure == pytest.approx(exact, rel=2e-3)


@pytest.mark.parametrize(
    "domain",
    [HOLE - BOX, LEFT - Disk(x=0, y=0, radius=1 - 1e-6), Disk(x=0, y=0, radius=1) & Box(x=(0.8, 2), y=(0.8, 2))],
)
def test_empty_domains_are_found_out(domain):
    with pytest.raises(DomainError, match=r"looks empty: of \d+ points drawn around it, \d+ belong to it"):
        interior(domain, 10, seed=0)


@pytest.mark.parametrize("count", [0, -1, 1.5, True, None])
def test_counts_are_positive_integers(count):
    for draw in (
        lambda: interior(BOX, count, 0),
        lambda: boundary(BOX, BOX.boundary, count, 0),
        lambda: measure_points(BOX, count),
    ):
        with pytest.raises(DomainError, match=f"must be a positive integer, got {count}"):
            draw()


# --- boundaries


@pytest.mark.parametrize(
    ("domain", "perimeter", "area"),
    [
        (BOX, 6.0, 2.0),
        (LEFT, 2 * pi, pi),
        (STRIP, 6 + 0.4 * pi, 2 - 0.04 * pi),
        (L_SHAPE, 8.0, 3.0),
        (BOX - Box(x=(1, 2), y=(0, 0.5)), 6.0, 1.5),
        (LEFT + RIGHT, 8 * pi / 3, 2 * pi - LENS_AREA),
        (LEFT & RIGHT, 4 * pi / 3, LENS_AREA),
        (LEFT - RIGHT, 2 * pi, pi - LENS_AREA),
        (Ball(x=0, y=1, z=2, radius=1.5), 9 * pi, 4.5 * pi),
        (Box(x=(0, 1), y=(0, 2), z=(0, 3)), 22.0, 6.0),
        (Disk(x=0, y=0, radius=1) * Interval(z=(0, 2)), 6 * pi, 2 * pi),
    ],
    ids=repr,
)
def test_perimeters_and_the_divergence_theorem(domain, perimeter, area):
    """The integral of x . n over the boundary is d times the measure inside, whatever the shape."""
    assert boundary_measure(domain, domain.boundary) == pytest.approx(perimeter, rel=1e-3)
    points, normals = boundary(domain, domain.boundary, 4000, seed=0)
    assert points.shape == normals.shape == (4000, domain.dimension)
    flux = np.mean(np.sum(points * normals, axis=1)) * perimeter
    assert flux == pytest.approx(domain.dimension * area, rel=5e-3)
    np.testing.assert_allclose(normals.mean(axis=0), 0.0, atol=5e-3)


def test_the_divergence_theorem_in_space_holds_at_all_times():
    tube = STRIP * Interval(t=(0, 3))
    points, normals = boundary(tube, tube.boundary, 4000, seed=0)
    assert points.shape == (4000, 3) and normals.shape == (4000, 2)
    area = boundary_measure(tube, tube.boundary)
    assert area == pytest.approx(3 * (6 + 0.4 * pi), rel=1e-12)
    weights = np.sum(points[:, :2] * normals, axis=1) * points[:, 2]
    assert np.mean(weights) * area == pytest.approx(2 * (2 - 0.04 * pi) * 4.5, rel=5e-3)


def test_the_ends_of_time_have_no_normal():
    tube = Interval(t=(0, 3)) * STRIP
    points, normals = boundary(tube, tube.at(t=0), 500, seed=0)
    assert np.all(points[:, 0] == 0) and np.all(normals == 0) and normals.shape == (500, 2)
    assert STRIP.contains(points[:, 1:]).all()
    assert boundary_measure(tube, tube.at(t=0)) == pytest.approx(STRIP.measure, rel=1e-3)
    assert boundary(Interval(t=(0, 1)), Interval(t=(0, 1)).at(t=0), 9, seed=0)[1].shape == (1, 0)


def test_isolated_points_come_once_each():
    line = Interval(x=(0, 5))
    points, normals = boundary(line, line.boundary, 100, seed=0)
    assert points.tolist() == [[0.0], [5.0]] and normals.tolist() == [[-1.0], [1.0]]
    gap = line - Interval(x=(2, 3))
    points, normals = boundary(gap, gap.boundary + gap.at(x=0), 100, seed=0)
    assert points.tolist() == [[0.0], [5.0], [2.0], [3.0]] and normals.tolist() == [[-1.0], [1.0], [1.0], [-1.0]]
    assert boundary_measure(gap, gap.boundary) == 4.0
    points, _ = boundary(line * Interval(t=(0, 1)), line.at(x=5), 10, seed=0)
    assert points.shape == (10, 2) and np.all(points[:, 0] == 5)


@pytest.mark.parametrize("count", [1, 4, 5, 6, 11, 100])
def test_every_piece_gets_a_point_and_the_rest_by_length(count):
    long = Box(x=(0, 1000), y=(0, 1))
    points, _ = boundary(long, long.boundary, count, seed=0)
    assert len(points) == max(count, 4)
    for name, column in (("x", 0), ("y", 1)):
        ends = dict(long.faces[:2] if name == "x" else long.faces[2:])
        assert all(np.any(points[:, column] == end) for end in ends.values())
    if count == 100:
        assert np.sum(points[:, 1] == 0) == np.sum(points[:, 1] == 1) == 49


def test_points_are_uniform_along_a_clipped_piece():
    """The arc of a union of two disks: its angles are uniform, and none lies inside the other disk."""
    points, _ = boundary(LEFT + RIGHT, LEFT.boundary, 1000, seed=0)
    angles = np.arctan2(points[:, 1], points[:, 0])
    assert np.abs(angles).min() > pi / 3
    outer = np.mod(angles, 2 * pi)
    assert stats.kstest(outer, stats.uniform(pi / 3, 4 * pi / 3).cdf).pvalue > 0.5


def test_a_part_of_a_face_is_sampled_there_alone():
    points, _ = boundary(BOX, BOX.at(x=0, where=lambda y: y > 0.5), 300, seed=0)
    assert np.all(points[:, 0] == 0) and points[:, 1].min() > 0.5
    assert boundary_measure(BOX, BOX.at(x=0, where=lambda y: y > 0.5)) == pytest.approx(0.5, abs=1e-3)


def test_corners_are_never_drawn():
    points, _ = boundary(BOX, BOX.boundary, 20_000, seed=0)
    on_faces = (points[:, 0] == 0).astype(int) + (points[:, 0] == 2) + (points[:, 1] == 0) + (points[:, 1] == 1)
    assert np.all(on_faces == 1)


def test_random_unions_obey_the_divergence_theorem():
    rng = np.random.default_rng(7)
    for _ in range(5):
        shapes: list[Domain] = [Disk(x=x, y=y, radius=r) for x, y, r in rng.uniform(0.3, 1.0, (2, 3))]
        shapes += [Box(x=(x, x + w), y=(y, y + h)) for x, y, w, h in rng.uniform(0.2, 1.0, (2, 4))]
        domain = shapes[0] + shapes[2] + shapes[1] + shapes[3]
        points, normals = boundary(domain, domain.boundary, 3000, seed=1)
        flux = np.mean(np.sum(points * normals, axis=1)) * boundary_measure(domain, domain.boundary)
        assert flux == pytest.approx(2 * domain.measure, rel=0.02)


# --- grids


def test_a_grid_holds_the_ends_and_what_is_inside():
    points = grid(STRIP, [21, 11])
    assert points[0].tolist() == [0.0, 0.0] and points[-1].tolist() == [2.0, 1.0]
    assert STRIP.contains(points, tolerance=1e-9).all()
    assert len(points) == 21 * 11 - 9
    assert [1.2, 0.5] in np.round(points, 12).tolist() and [1.0, 0.5] not in points.tolist()


def test_a_grid_keeps_nothing_of_zero_thickness():
    """Taking a quadrant away takes its outer edges too, though these lie on the boundary of both."""
    corner = Box(x=(-1, 1), y=(-1, 1)) - Box(x=(0, 1), y=(-1, 0))
    points = grid(corner, 5)
    assert len(points) == 25 - 4 and [0.5, -1.0] not in points.tolist() and [0.0, -1.0] in points.tolist()


@pytest.mark.parametrize("counts", [1, 0, [3], [3, 1], [2.5, 3]])
def test_a_grid_needs_two_values_of_each_coordinate(counts):
    with pytest.raises(DomainError, match="integer of at least 2 for each of the coordinates 'x', 'y'"):
        grid(BOX, counts)


def test_measure_points_are_a_grid_on_boxes_and_inside_elsewhere():
    points = measure_points(BOX, 1000)
    assert abs(len(points) - 1000) < 100 and points.min(axis=0).tolist() == [0, 0] and points.max(axis=0).tolist() == [2, 1]
    for domain in (STRIP, Box(**dict.fromkeys("abcd", (0, 1)))):
        points = measure_points(domain, 500)
        assert points.shape == (500, domain.dimension) and domain.contains(points).all()
        np.testing.assert_array_equal(points, measure_points(domain, 500))
