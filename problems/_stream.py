"""Flow in the plane by finite elements, for references that have no closed form.

    ∂u/∂t + (u·∇)u + ∇p = ν Δu + f,   ∇·u = 0,   u given on walls and inlets,   ν ∂u/∂n = p n on the rest of the boundary

Velocities are of degree 3, the pressure of degree 2 (Taylor and Hood), on scikit-fem's matrices: Newton's method for what is
steady, steps of third order for what is not.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import splu

from problems._fem import Real, skfem, values_at

ITERATIONS = 7
PAST = np.array([3, -3 / 2, 1 / 3])  # of the last three states in 11/6 u(t) - h ∂u/∂t
AHEAD = np.array([3, -3, 1])  # of a function's last three values in the next


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
    x, y = velocity.doflocs
    held, fixed, unknown = _held(velocity, pressure, free)
    state = np.zeros(2 * velocity.N + pressure.N)
    state[fixed] = np.concatenate(given(x[held], y[held]))
    for _ in range(ITERATIONS):
        matrix, misfit = _linearised(velocity, pressure, viscosity, state)
        state[unknown] -= splu(matrix[unknown][:, unknown].tocsc()).solve(misfit[unknown])
    return state


def _held(velocity: Any, pressure: Any, free: Callable) -> tuple[Any, Any, Any]:
    """The nodes where the velocity is given, which parts of a state are given there, and which are not."""
    nodes, (x, y) = velocity.get_dofs().all(), velocity.doflocs
    held = nodes[~free(x[nodes], y[nodes])]
    fixed = np.concatenate([held, velocity.N + held])
    return held, fixed, np.setdiff1d(np.arange(2 * velocity.N + pressure.N), fixed)


def _flux(velocity: Any, pressure: Any) -> list[Any]:
    """∫ ∂a/∂x b and ∫ ∂a/∂y b."""
    form = skfem().BilinearForm
    return [form(lambda a, b, w, i=i: a.grad[i] * b).assemble(velocity, pressure).tocsr() for i in (0, 1)]


def _with_pressure(carried: Any, flux: list[Any]) -> Any:
    """The matrix of u, v and p in which both velocities have the same."""
    rows = [[carried, None, -flux[0].T], [None, carried, -flux[1].T], [flux[0], flux[1], None]]
    return scipy.sparse.block_array(rows).tocsr()


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
    flux = _flux(velocity, pressure)
    rows = [
        [carried + slopes[0][0], slopes[0][1], -flux[0].T],
        [slopes[1][0], carried + slopes[1][1], -flux[1].T],
        [flux[0], flux[1], None],
    ]
    return scipy.sparse.block_array(rows).tocsr(), _with_pressure(carried, flux) @ state


def unsteady(
    mesh: Any, viscosity: float, given: Callable, free: Callable, force: Callable, end: float, steps: int, snapshots: int
) -> Real:
    """The nodes' values of u, v and p at equidistant times from 0 to `end`, [snapshots + 1, N], from rest at t = 0.

    `given(t, x, y)` is u and v on the boundary, zero up to t = 0, and `force(t, x, y)` is f. `steps` is a multiple of
    `snapshots`. Backward differences of third order, of which friction and pressure are a part; what is carried along is
    extrapolated from the three steps before. The first pressure is extrapolated too, from those after it.
    """
    velocity, pressure = bases(mesh)
    from skfem.models.poisson import laplace, mass

    count, (x, y), h = velocity.N, velocity.doflocs, end / steps
    held, fixed, unknown = _held(velocity, pressure, free)
    inertia, friction = mass.assemble(velocity).tocsr(), laplace.assemble(velocity).tocsr()
    matrix = _with_pressure(11 / 6 / h * inertia + viscosity * friction, _flux(velocity, pressure))
    solve = splu(matrix[unknown][:, unknown].tocsc()).solve
    carried = _carried(velocity)
    states, loads = np.zeros((3, 2 * count + pressure.N)), np.zeros((3, 2, count))  # the newest first
    kept = [states[0]]
    for step in range(1, steps + 1):
        t = step * h
        past = (PAST / h @ states[:, : 2 * count]).reshape(2, count)
        pushed = past + np.stack(np.broadcast_arrays(*force(t, x, y)))
        right = np.zeros(matrix.shape[0])
        right[: 2 * count] = (pushed @ inertia.T - np.tensordot(AHEAD, loads, 1)).ravel()
        state = np.zeros_like(right)
        state[fixed] = np.concatenate(given(t, x[held], y[held]))
        state[unknown] = solve((right - matrix @ state)[unknown])
        states, loads = np.stack([state, *states[:2]]), np.stack([carried(state), *loads[:2]])
        if step % (steps // snapshots) == 0:
            kept.append(state)
    kept[0] = np.concatenate([kept[0][: 2 * count], (AHEAD @ kept[1:4])[2 * count :]])
    return np.array(kept)


def _carried(velocity: Any) -> Callable[[Real], Real]:
    """∫ ((u·∇)u) b for every node's function b, [2, N], as a function of the state."""
    dofs, shape = velocity.element_dofs, velocity.dx.shape
    rows = np.tile(np.arange(velocity.dx.size), len(dofs))
    columns = np.repeat(dofs, shape[1], axis=1).ravel()

    def at_points(part: Callable) -> Any:
        values = np.concatenate([np.broadcast_to(part(each[0]), shape).ravel() for each in velocity.basis])
        return scipy.sparse.csr_array((values, (rows, columns)), shape=(velocity.dx.size, velocity.N))

    value, in_x, in_y = at_points(np.asarray), at_points(lambda each: each.grad[0]), at_points(lambda each: each.grad[1])
    weights = velocity.dx.ravel()

    def load(state: Real) -> Real:
        u, v = np.split(state[: 2 * velocity.N], 2)
        along, across = value @ u, value @ v
        return np.stack([value.T @ (weights * (along * (in_x @ part) + across * (in_y @ part))) for part in (u, v)])

    return load


def fields(mesh: Any, state: Real, x: Real, y: Real) -> dict[str, Real]:
    """u, v and p at places [n]."""
    return {name: places @ part for name, places, part in parts(mesh, state, x, y)}


def parts(mesh: Any, states: Real, x: Real, y: Real) -> Iterator[tuple[str, Any, Real]]:
    """Of u, v and p: the name, the matrix [n, N] from nodes' values to those at places [n], and the nodes' values [..., N]."""
    velocity, pressure = bases(mesh)
    here = values_at(velocity, x, y)
    ends = [velocity.N, 2 * velocity.N]
    yield from zip("uvp", (here, here, values_at(pressure, x, y)), np.split(states, ends, axis=-1), strict=True)
