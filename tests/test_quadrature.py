"""Means over shapes in the plane against closed forms, and how they converge."""

import numpy as np
import pytest
from scipy import special

import pinn
from pinn.quadrature import is_shape, shape_rule

DISK = pinn.Disk(x=0, y=0, radius=1)
TIME = pinn.Interval(t=(0, 2))


def mean(shape, function, counts=(20, 20)):
    points, shares = shape_rule(shape * TIME, np.array(counts))
    assert np.all(shape.contains(points[:, :2])) and np.mean(shares) == pytest.approx(1, abs=1e-14)
    return np.mean(shares * function(*points.T))


MOMENTS = {
    "disk": (DISK, lambda x, y: x**2 * y**2, 1 / 24),
    "ellipse, turned": (pinn.Ellipse(x=1, y=0, radii=(2, 1), angle=0.3), lambda x, y: x, 1.0),
    "triangle": (pinn.Polygon(x=[0, 1, 0.2], y=[0, 0.3, 1]), lambda x, y: x + 2 * y, 0.4 + 2 * 1.3 / 3),
    "L": (pinn.Box(x=(0, 2), y=(0, 1)) - pinn.Box(x=(1, 2), y=(0.5, 1)), lambda x, y: x, 2.5 / 3),
    "ring": (DISK - pinn.Disk(x=0, y=0, radius=0.5), lambda x, y: x**2, (1 - 0.5**4) / (1 - 0.5**2) / 4),
    "box with a hole beside its middle": (
        pinn.Box(x=(-1, 1), y=(-1, 1)) - pinn.Disk(x=0.5, y=0.25, radius=0.25),
        lambda x, y: x,
        -0.5 * np.pi / 16 / (4 - np.pi / 16),
    ),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_moments(name):
    shape, function, exact = MOMENTS[name]
    thin = 1e-7 if name == "triangle" else 1e-9  # where a corner is thinner than the places along a line it is not seen
    assert mean(shape, function) == pytest.approx(exact, abs=thin)


def test_two_discs_that_overlap_have_corners():
    """The corners end strips: the area of the lens is π/3 · 2 - √3/2 for discs of radius 1 at a distance of 1."""
    lens, ring = DISK & pinn.Disk(x=1, y=0, radius=1), DISK + pinn.Disk(x=1, y=0, radius=1)
    overlap = 2 * np.pi / 3 - 3**0.5 / 2
    inside = 2 * np.pi - overlap
    # means of x² over both discs, from the lens and the union: ∫ over both = π/4 + (π/4 + π)
    total = mean(ring, lambda x, y: x**2) * inside + mean(lens, lambda x, y: x**2) * overlap
    assert total == pytest.approx(1.5 * np.pi, rel=1e-8)


def test_waves_are_integrated_as_soon_as_they_are_resolved():
    """The mean of cos kx over the unit disk is 2 J₁(k) / k."""
    exact = 2 * special.j1(30) / 30
    errors = [abs(mean(DISK, lambda x, y: np.cos(30 * x), (count, count)) - exact) for count in (10, 20, 30)]
    assert errors[2] < 1e-10 < 1e-3 * errors[0]


def test_which_domains_have_points():
    assert is_shape(TIME * (DISK - pinn.Disk(x=0, y=0, radius=0.5)), "t")
    assert is_shape(DISK * TIME, "t")
    assert not is_shape(pinn.Ball(x=0, y=0, z=0, radius=1) * TIME, "t")
    assert not is_shape(pinn.Box(t=(0, 1), x=(0, 1), y=(0, 1)), "t")
    assert not is_shape(DISK, "t")


def test_the_order_of_coordinates_does_not_matter():
    turned = (pinn.Box(y=(-1, 1), x=(-2, 2)) - pinn.Disk(x=1, y=0, radius=0.5)) * TIME
    points, shares = shape_rule(turned, np.array((20, 20)))
    area = 8 - np.pi / 4
    assert np.mean(shares * points[:, 1]) == pytest.approx(-np.pi / 4 / area, abs=1e-9)
