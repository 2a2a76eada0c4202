"""The flow in a box under a lid, by Chebyshev points, for the references of `cavity` (velocity 4x(1 - x)) and `cavity_flat` (1).

Where lid and wall meet, the velocity of the first lid grows in proportion to the distance, which makes the pressure infinite
like its logarithm; that of the second jumps, and pressure and friction grow like one over the distance. Those parts are Stokes'
flows in the corner and known: they are taken from the answer, and what is left is smooth enough.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from problems import _chebyshev
from problems._stored import stored

Real = NDArray[np.float64]
COUNT, ITERATIONS = 28, 8
GENTLE, SLOWER = 150.0, 2.5  # up to that Reynolds number Newton's method starts from rest, else from a slower flow


class Flow(NamedTuple):
    """Velocity, its slopes, and pressure, at any places."""

    u: Real
    v: Real
    u_x: Real
    u_y: Real
    v_x: Real
    v_y: Real
    p: Real


def flow(reynolds: float, x: Real, y: Real, count: int = COUNT, flat: bool = False) -> dict[str, Real]:
    """u, v and p at places [n], with p = 0 at (0, 0); p is undefined in the corners at the lid."""
    points, inner, u, v, p = _smooth_part(reynolds, count, flat)
    corners = _corners(reynolds, x, y, flat)
    base = _chebyshev.in_square(p, inner, inner, 0.0, 0.0) + _corners(reynolds, np.zeros(1), np.zeros(1), flat).p
    return {
        "u": corners.u + _chebyshev.in_square(u, points, points, x, y),
        "v": corners.v + _chebyshev.in_square(v, points, points, x, y),
        "p": corners.p + _chebyshev.in_square(p, inner, inner, x, y) - base,
    }


def _corners(reynolds: float, x: Real, y: Real, flat: bool) -> Flow:
    """Stokes' flow in both upper corners, the second a mirror image."""
    corner = _jump if flat else _ramp
    u, v, u_a, u_d, v_a, p = corner(reynolds, x, 1 - y)
    u2, v2, u_a2, u_d2, v_a2, p2 = corner(reynolds, 1 - x, 1 - y)
    return Flow(u + u2, v2 - v, u_a - u_a2, -u_d - u_d2, -v_a - v_a2, u_a2 - u_a, p - p2)


def _ramp(reynolds: float, along: Real, down: Real) -> tuple[Real, ...]:
    """ψ = -πY² + 2θ(X² + Y²) + 2XY, X along the lid, Y down from it, θ from the lid: u, v, ∂u/∂X, ∂u/∂Y, ∂v/∂X and p."""
    square = along**2 + down**2
    angle, share = np.arctan2(down, along), np.where(square > 0, along / np.where(square > 0, square, 1.0), 0.0)
    u, v = (4 * angle - 2 * np.pi) * down + 4 * along, -4 * angle * along
    u_along, u_down = 4 * along * share, 4 * angle - 2 * np.pi + 4 * down * share
    with np.errstate(divide="ignore"):
        p = np.where(square > 0, 4 / reynolds * np.log(square), np.nan)
    return u, v, u_along, u_down, -4 * angle + 4 * down * share, p


def _jump(reynolds: float, along: Real, down: Real) -> tuple[Real, ...]:
    """ψ = (BY + CXθ + DYθ) with C = 4/(4 - π²), D = πC/2, B = 1 - C: Taylor's scraper, u = 1 on the lid and 0 on the wall."""
    c, d = 4 / (4 - np.pi**2), 2 * np.pi / (4 - np.pi**2)
    square = along**2 + down**2
    r2 = np.where(square > 0, square, 1.0)
    angle, x, y = np.arctan2(down, along), along / r2, down / r2
    u = np.where(square > 0, 1 - c + c * along * x + d * (angle + down * x), 1.0)
    v = d * down * y - c * (angle - down * x)
    u_along, u_down = 2 * down * x * (c * y - d * x), 2 * along * x * (d * x - c * y)
    return u, v, u_along, u_down, 2 * down * y * (c * y - d * x), np.where(square > 0, 2 / reynolds * (c * x + d * y), np.nan)


def _smooth_part(reynolds: float, count: int, flat: bool) -> tuple[Real, ...]:
    """The Chebyshev points, those inside, and what the corners leave of u and v at products of the first, [x, y], and of p
    at products of the second."""
    points = _chebyshev.points(count, 0, 1)
    u, v, p = _computed(reynolds, count, flat)
    return points, points[1:-1], u, v, p[1:-1, 1:-1]


@stored
def _computed(reynolds: float, count: int, flat: bool) -> Real:
    """The values of `_smooth_part`, p with a frame of zeros.

    Newton's method. Pressure has two degrees less than velocity, so that only its constant is free.
    """
    points = _chebyshev.points(count, 0, 1)
    inner, n = points[1:-1], count - 1
    slope, one = _chebyshev.derivative(points), np.eye(n)
    twice = slope @ slope
    along, across = np.kron(slope[1:-1, 1:-1], one), np.kron(one, slope[1:-1, 1:-1])
    friction = (np.kron(twice[1:-1, 1:-1], one) + np.kron(one, twice[1:-1, 1:-1])) / reynolds
    push = _chebyshev.derivative(inner)
    push_x, push_y, mean = np.kron(push, one), np.kron(one, push), np.full((n * n, n * n), 1 / n**2)
    known = Flow(*(part for part in _corners(reynolds, *np.meshgrid(points, points, indexing="ij"), flat)))
    lid = np.zeros((count + 1, count + 1))
    lid[:, -1] = 1.0 if flat else 4 * points * (1 - points)
    walls = np.pad(np.zeros((n, n)), 1, constant_values=1)
    u, v, p = walls * (lid - known.u), -walls * known.v, np.zeros((n, n))
    if reynolds > GENTLE:  # the corners' velocities are the same at all Reynolds numbers
        u, v, p = _smooth_part(reynolds / SLOWER, count, flat)[2:]

    def inside(values: Real) -> Real:
        return values[1:-1, 1:-1].ravel()

    for _ in range(ITERATIONS):
        whole_u, whole_v = inside(known.u + u), inside(known.v + v)
        u_x, u_y = inside(known.u_x + slope @ u), inside(known.u_y + u @ slope.T)
        v_x, v_y = inside(known.v_x + slope @ v), inside(known.v_y + v @ slope.T)
        drag_u, drag_v = (inside(twice @ part + part @ twice.T) / reynolds for part in (u, v))
        misfits = (
            whole_u * u_x + whole_v * u_y + push_x @ p.ravel() - drag_u,
            whole_u * v_x + whole_v * v_y + push_y @ p.ravel() - drag_v,
            u_x + v_y + p.mean(),
        )
        carried = whole_u[:, None] * along + whole_v[:, None] * across - friction
        rows = [
            [carried + np.diag(u_x), np.diag(u_y), push_x],
            [np.diag(v_x), carried + np.diag(v_y), push_y],
            [along, across, mean],
        ]
        step = np.linalg.solve(np.block(rows), -np.concatenate(misfits)).reshape(3, n, n)
        u, v, p = u + np.pad(step[0], 1), v + np.pad(step[1], 1), p + step[2]
    return np.stack([u, v, np.pad(p, 1)])
