"""Points about holes and corners: as dense as their weights say, and of a boundary none twice and no part left out."""

import numpy as np
import pytest

import pinn
from pinn import d, laplacian, sampling
from pinn.gathering import SHARE, Place, gathered, nearer, places
from pinn.loss import places_of
from pinn.singular import Corner, Hole

CHANNEL = pinn.Box(x=(0, 4), y=(0, 1)) - pinn.Disk(x=1, y=0.5, radius=0.05)
HOLE = Hole((0, 1), (1.0, 0.5), 0.05, 3.0)
EDGE = Corner((0, 1), (0.0, 0.0), (2.0, 2.0), coupled=(0.5,))


def test_they_gather_at_small_holes_and_at_corners_of_coupled_fields():
    found = places([HOLE, Hole((0, 1), (1.0, 0.5), 1.0, 3.0), EDGE, Corner((0, 1), (0, 0), (1, 1), exponent=0.7)])
    assert [(place.inner, place.outer) for place in found] == [(0.05, 0.2), (0.0, pytest.approx(0.25 * 8**0.5))]
    one = pinn.Problem(
        fields="u",
        domain=CHANNEL,
        residual=lambda u, x, y: laplacian(u, x, y),
        conditions=[pinn.Dirichlet(u=0.0, on=CHANNEL.boundary)],
    )
    assert len(places_of(one)) == 1
    parts = {"left": pinn.Box(x=(0, 1), y=(0, 1)), "right": pinn.Box(x=(1, 2), y=(0, 1))}
    two = pinn.Problem(
        fields="u",
        domain=parts,
        residual=dict.fromkeys(parts, lambda u, x: d(u, x, x)),
        conditions=[pinn.Dirichlet(u=0.0, on=parts["left"].at(x=0))],
    )
    assert places_of(two) == []


@pytest.mark.parametrize("singular", [HOLE, EDGE], ids=["hole", "corner"])
def test_weights_are_of_the_density_that_the_points_have(singular):
    """Σ 1/ρ over points about the place is the area there in that of the domain."""
    domain = CHANNEL if singular is HOLE else pinn.Box(x=(0, 2), y=(0, 2))
    even = sampling.interior(domain, 40_000, 0)
    [place] = places([singular])
    points, weight = gathered(domain, [place], even, [1])
    assert len(points) == len(even)
    assert domain.contains(points).all()
    volume = weight ** (2 if singular is HOLE else 1)  # 1/ρ of a hole, and of a corner as long as ρ > 1
    about, before = place.away(points) < 0.5 * place.outer, place.away(even) < 0.5 * place.outer
    assert np.mean(about) > 2 * np.mean(before)
    assert volume[about].sum() / len(points) == pytest.approx(np.mean(before), rel=0.1)


def test_other_coordinates_are_left_as_they_are():
    ball = pinn.Interval(t=(0, 1)) * CHANNEL
    even = sampling.interior(ball, 2000, 0)
    points, _ = gathered(ball, [Place((1, 2), np.array([1.0, 0.5]), 0.05, 0.2)], even, [1])
    assert np.ptp(points[:, 0]) > 0.99 and abs(points[:, 0].mean() - 0.5) < 0.03


def test_points_of_a_boundary_are_taken_once_and_everywhere():
    pool, _ = sampling.boundary(CHANNEL, CHANNEL.boundary, 1600, 0)
    taken = nearer(places([HOLE]), pool, 200, [1])
    assert len(set(taken.tolist())) == 200
    near = np.linalg.norm(pool - [1.0, 0.5], axis=1) < 0.06
    assert np.mean(near) < 0.05
    assert 0.2 < np.mean(near[taken]) < SHARE + 0.05
    lower = np.sort(pool[taken][pool[taken][:, 1] == 0, 0])
    assert np.diff(lower).max() < 0.4 and lower[0] < 0.2 and lower[-1] > 3.8


def test_where_no_place_is_near_they_are_even():
    pool, _ = sampling.boundary(CHANNEL, CHANNEL.at(x=4), 800, 0)
    taken = np.sort(pool[nearer(places([HOLE]), pool, 100, [1]), 1])
    assert np.diff(taken).max() < 0.03
    assert len(nearer(places([HOLE]), pool[:5], 9, [1])) == 5
