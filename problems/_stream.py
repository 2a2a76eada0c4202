"""Steady flow in the plane by finite elements, for references that have no closed form.

    (u·∇)u + ∇p = ν Δu,   ∇·u = 0,   u given on walls and inlets,   ν ∂u/∂n = p n on the rest of the boundary

Velocities are of degree 3, the pressure of degree 2 (Taylor and Hood): Newton's method, on scikit-fem's matrices.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import splu

from problems._fem import Real, skfem, values_at

ITERATIONS = 7


def bases(mesh: Any) -> tuple[Any, Any]:
    """Those of velocity and pressure."""
    fem = skfem()
    velocity = fem.Basis(mesh, fem.ElementTriP3(), intorder=8)
    return velocity, velocity.with_element(fem.ElementTriP2())


def steady(mesh: Any, viscosity: float, given: Callable, free: Callable) -> Real:
    """The nodes' values of u, v and p, one after the other.

    `given(x, y)` is u and v on the boundary, `free(x, y)` says where on it they are not given.
    """
    velocity, pressure = bases(mesh)
    count, (x, y) = velocity.N, velocity.doflocs
    held = velocity.get_dofs().all()
    held = held[~free(x[held], y[held])]
    unknown = np.setdiff1d(np.arange(2 * count + pressure.N), np.concatenate([held, count + held]))
    state = np.zeros(2 * count + pressure.N)
    state[held], state[count + held] = given(x[held], y[held])
    for _ in range(ITERATIONS):
        matrix, misfit = _linearised(velocity, pressure, viscosity, state)
        state[unknown] -= splu(matrix[unknown][:, unknown].tocsc()).solve(misfit[unknown])
    return state


def _linearised(velocity: Any, pressure: Any, viscosity: float, state: Real) -> tuple[Any, Real]:
    """The matrix of Newton's method, and the equations' misfits."""
    fem = skfem()
    u, v = (velocity.interpolate(part) for part in np.split(state[: 2 * velocity.N], 2))

    def form(function: Callable, *given: Any) -> Any:
        return fem.BilinearForm(function).assemble(*given).tocsr()

    carried = form(
        lambda a, b, w: viscosity * (a.grad[0] * b.grad[0] + a.grad[1] * b.grad[1]) + (u * a.grad[0] + v * a.grad[1]) * b,
        velocity,
    )
    slopes = [[form(lambda a, b, w, c=c, i=i: c.grad[i] * a * b, velocity) for i in (0, 1)] for c in (u, v)]
    flux = [form(lambda a, b, w, i=i: a.grad[i] * b, velocity, pressure) for i in (0, 1)]
    rows = [
        [carried + slopes[0][0], slopes[0][1], -flux[0].T],
        [slopes[1][0], carried + slopes[1][1], -flux[1].T],
        [flux[0], flux[1], None],
    ]
    flow = scipy.sparse.block_array([[carried, None, -flux[0].T], [None, carried, -flux[1].T], [flux[0], flux[1], None]])
    return scipy.sparse.block_array(rows).tocsr(), flow @ state


def fields(mesh: Any, state: Real, x: Real, y: Real) -> dict[str, Real]:
    """u, v and p at places [n]."""
    velocity, pressure = bases(mesh)
    parts = np.split(state, [velocity.N, 2 * velocity.N])
    at = values_at(velocity, x, y)
    return {"u": at @ parts[0], "v": at @ parts[1], "p": values_at(pressure, x, y) @ parts[2]}
