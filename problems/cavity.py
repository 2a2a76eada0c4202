"""The lid-driven cavity: a lid slides over a box of water and drags it round.

    u ∂u/∂x + v ∂u/∂y + ∂p/∂x = Δu / Re
    u ∂v/∂x + v ∂v/∂y + ∂p/∂y = Δv / Re
    ∂u/∂x + ∂v/∂y = 0             on [0, 1]²
    u = 4x(1 - x) at y = 1,   u = 0 on the other walls,   v = 0 on all,   p = 0 in the corner (0, 0)

One large eddy, and a small one that turns the other way in each lower corner. The parabolic lid comes to rest in its corners,
where a flat lid would tear the water apart.

Source: PINNacle (arXiv 2306.08827), its problem NS2d-C. The reference is computed at 33² Chebyshev points.

Good values: reynolds = 100, the original; 400 has larger eddies in the corners; 1 is nearly Stokes' flow.
"""

from functools import lru_cache, reduce

import numpy as np
from numpy.typing import NDArray

import pinn
from pinn import d, laplacian
from problems import _chebyshev

COUNT = 32


def problem(reynolds: float = 100.0) -> pinn.Problem:
    """The problem at the Reynolds number `reynolds`."""
    box = pinn.Box(x=(0, 1), y=(0, 1))

    def flow(u, v, p, x, y):
        return {
            "momentum in x": u * d(u, x) + v * d(u, y) + d(p, x) - laplacian(u, x, y) / reynolds,
            "momentum in y": u * d(v, x) + v * d(v, y) + d(p, y) - laplacian(v, x, y) / reynolds,
            "mass": d(u, x) + d(v, y),
        }

    def reference(x, y):
        points, inner, u, v, p = computed(reynolds)
        return {
            "u": _chebyshev.in_square(u, points, points, x, y),
            "v": _chebyshev.in_square(v, points, points, x, y),
            "p": _chebyshev.in_square(p, inner, inner, x, y) - _chebyshev.in_square(p, inner, inner, 0.0, 0.0),
        }

    return pinn.Problem(
        fields="u v p",
        domain=box,
        residual=flow,
        conditions=[
            pinn.Dirichlet(u=lambda x: 4 * x * (1 - x), v=0.0, on=box.at(y=1)),
            pinn.Dirichlet(u=0.0, v=0.0, on=box.at(x=(0, 1))),
            pinn.Dirichlet(u=0.0, v=0.0, on=box.at(y=0)),
            pinn.Condition(lambda p: p, on=pinn.Points(x=[0.0], y=[0.0]), name="pressure in a corner"),
        ],
        reference=reference,
        name="cavity",
    )


@lru_cache
def computed(reynolds: float, count: int = COUNT) -> tuple[NDArray[np.float64], ...]:
    """The Chebyshev points, those inside, u and v at products of the first, [x, y], and p at products of the second.

    Newton's method from rest. Pressure has two degrees less than velocity, so that only its constant is free.
    """
    points = _chebyshev.points(count, 0, 1)
    inner, n = points[1:-1], count - 1
    slope, one = _chebyshev.derivative(points), np.eye(n)
    bending = (slope @ slope)[1:-1, 1:-1]
    along, across = np.kron(slope[1:-1, 1:-1], one), np.kron(one, slope[1:-1, 1:-1])
    friction = (np.kron(bending, one) + np.kron(one, bending)) / reynolds
    push = _chebyshev.derivative(inner)
    push_x, push_y = np.kron(push, one), np.kron(one, push)
    u, v, p = np.zeros((count + 1, count + 1)), np.zeros((count + 1, count + 1)), np.zeros((n, n))
    u[:, -1] = 4 * points * (1 - points)
    mean = np.full((n * n, n * n), 1 / n**2)

    def newton(u, v, p):
        def inside(values):
            return values[1:-1, 1:-1].ravel()

        u_x, u_y, v_x, v_y = (inside(a) for a in (slope @ u, u @ slope.T, slope @ v, v @ slope.T))
        carried = inside(u)[:, None] * along + inside(v)[:, None] * across - friction
        drag_u, drag_v = (inside(slope @ slope @ a + a @ (slope @ slope).T) / reynolds for a in (u, v))
        misfit = np.concatenate(
            [
                inside(u) * u_x + inside(v) * u_y + push_x @ p.ravel() - drag_u,
                inside(u) * v_x + inside(v) * v_y + push_y @ p.ravel() - drag_v,
                u_x + v_y,
            ]
        )
        matrix = np.block(
            [
                [carried + np.diag(u_x), np.diag(u_y), push_x],
                [np.diag(v_x), carried + np.diag(v_y), push_y],
                [along, across, mean],
            ]
        )
        step = np.linalg.solve(matrix, -misfit).reshape(3, n, n)
        return u + np.pad(step[0], 1), v + np.pad(step[1], 1), p + step[2]

    u, v, p = reduce(lambda state, _: newton(*state), range(8), (u, v, p))
    return points, inner, u, v, p
