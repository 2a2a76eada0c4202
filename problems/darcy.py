"""Darcy's law: water seeps through soil that is tight in places and loose in others.

    -div(a grad u) = 1 on [0, 1]²,   u = 0 on the boundary
    a = exp(c sin 2πx cos 3πy)

u is the pressure of water that rains down evenly and leaves at the edges; the flow, -a grad u, seeks the loose soil.

Source: the usual example of neural operators, there with random a. The reference is computed at 41² Chebyshev points.

Good values: contrast = c = 1, with which a varies by a factor of 7; c = 2 by 55.
"""

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import pinn
from pinn import d
from problems import _chebyshev

COUNT = 40


def problem(contrast: float = 1.0) -> pinn.Problem:
    """The problem whose permeability varies between exp(-`contrast`) and exp(`contrast`)."""
    square, k = pinn.Box(x=(0, 1), y=(0, 1)), np.pi

    def a(x, y):
        return jnp.exp(contrast * jnp.sin(2 * k * x) * jnp.cos(3 * k * y))

    def flow_x(u, x, y):
        return a(x, y) * d(u, x)

    def flow_y(u, x, y):
        return a(x, y) * d(u, y)

    def reference(x, y):
        points, values = computed(contrast)
        return _chebyshev.in_square(values, points, points, x, y)

    return pinn.Problem(
        fields="u",
        domain=square,
        residual=lambda u, x, y: d(flow_x, x) + d(flow_y, y) + 1,
        conditions=[pinn.Dirichlet(u=0.0, on=square.boundary)],
        reference=reference,
        name="darcy",
    )


@lru_cache
def computed(contrast: float, count: int = COUNT) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The Chebyshev points and u at their products, [x, y].

    The error is 2e-7 of the largest u, and comes from the corners, where two zero edges and a load do not fit smoothly.
    """
    points = _chebyshev.points(count, 0, 1)
    slope, one = _chebyshev.derivative(points), np.eye(count + 1)
    a = np.exp(contrast * np.outer(np.sin(2 * np.pi * points), np.cos(3 * np.pi * points))).ravel()
    along, across = np.kron(slope, one), np.kron(one, slope)
    operator = along @ (a[:, None] * along) + across @ (a[:, None] * across)
    inside = np.zeros((count + 1, count + 1), bool)
    inside[1:-1, 1:-1] = True
    inside = inside.ravel()
    values = np.zeros(inside.size)
    values[inside] = np.linalg.solve(operator[np.ix_(inside, inside)], -np.ones(inside.sum()))
    return points, values.reshape(count + 1, count + 1)
