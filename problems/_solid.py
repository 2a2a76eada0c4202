"""Equations in a unit cube with round holes by finite elements, for references that have no closed form.

    -Δu + c u = f,   ∂u/∂n = 0

Polynomials of degree 2 on tetrahedra whose edges at the holes are bent to parabolas. Each mesh cuts the tetrahedra of the one
before into eight.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.sparse.linalg import cg
from scipy.spatial import Delaunay, KDTree

from problems._fem import Real, bent, skfem

Ball = tuple[float, float, float, float]  # centre and radius

MOVED, FLAT = 0.08, 1e-9  # of a cell
PRECISION = 1e-9  # of the linear equations
GOLDEN = (1 + 5**0.5) / 2


def mesh(balls: tuple[Ball, ...], cells: int, finer: int) -> Any:
    """The cube without the balls, of so many cells in each direction, after so many refinements, edges bent to the balls."""
    fem = skfem()
    found = fem.MeshTet(*_tetrahedra(balls, cells))
    for _ in range(finer):
        found = found.refined()
        found = fem.MeshTet(_bent(found.p, found.boundary_nodes(), balls), found.t)
    whole = fem.MeshTet2.from_mesh(found)
    edges = np.concatenate([found.boundary_nodes(), whole.dofs.edge_dofs[0, found.boundary_edges()]])
    return fem.MeshTet2(_bent(whole.doflocs, edges, balls), whole.t)


def _bent(places: Real, edge: NDArray, balls: tuple[Ball, ...]) -> Real:
    """Places [3, n] of which those on the edge, but not on the cube's, are moved to the nearest sphere."""
    inside = np.minimum(places[:, edge], 1 - places[:, edge]).min(axis=0) > 1e-9
    return bent(places, edge[inside], balls)


def _tetrahedra(balls: tuple[Ball, ...], cells: int) -> tuple[Real, NDArray]:
    """Two shells of points about each ball, and beyond them the corners and middles of equal cells, moved a little.

    Where a middle is missing, unmoved corners would be on one sphere, and some tetrahedra flat.
    """
    size = 1 / cells
    shells = [_shell(ball, ball[3] + layer * size, size) for ball in balls for layer in (0, 0.75)]
    corners, middles = (
        np.stack(np.meshgrid(*3 * [np.linspace(0, 1, cells + 1)[:count] + shift], indexing="ij"), axis=-1).reshape(-1, 3)
        for count, shift in ((cells + 1, 0), (cells, size / 2))
    )
    around = np.concatenate(shells)
    around = around[clearance(around, balls) > -1e-9]
    grid = np.concatenate([corners, middles])
    grid += MOVED * size * np.random.default_rng(0).uniform(-1, 1, grid.shape) * (grid > 1e-9) * (grid < 1 - 1e-9)
    clear = clearance(grid, balls) > 0.75 * size
    points = np.concatenate([around, grid[clear & (KDTree(around).query(grid)[0] > 0.7 * size)]])
    found = Delaunay(points).simplices
    edges = points[found[:, 1:]] - points[found[:, :1]]
    full = np.abs(np.linalg.det(edges)) > FLAT * size**3  # some of the cube's sides are flat
    return points.T.copy(), found[full & (clearance(points[found].mean(axis=1), balls) > 0)].T.copy()


def _shell(ball: Ball, radius: float, size: float) -> Real:
    """Points as far apart as the corners of cells, along a spiral."""
    count = int(np.ceil(4 * np.pi * (radius / size) ** 2 / 0.8))
    height = 1 - 2 * (np.arange(count) + 0.5) / count
    angle, around = 2 * np.pi * np.arange(count) / GOLDEN, np.sqrt(1 - height**2)
    return np.array(ball[:3]) + radius * np.stack([around * np.cos(angle), around * np.sin(angle), height], axis=1)


def clearance(points: Real, balls: tuple[Ball, ...]) -> Real:
    """How far points [n, 3] are from the balls, negative within."""
    return np.min([np.linalg.norm(points - ball[:3], axis=1) - ball[3] for ball in balls], axis=0)


def basis(mesh: Any, order: int = 5) -> Any:
    """The functions on a mesh, and a quadrature that is exact for polynomials of that order: values anywhere need none."""
    return skfem().Basis(mesh, skfem().ElementTetP2(), intorder=order)


def solve(mesh: Any, c: Callable, f: Callable) -> Real:
    """The nodes' values of -Δu + c u = f, by conjugate gradients."""
    fem, at = skfem(), basis(mesh)
    matrix = fem.BilinearForm(lambda u, v, w: sum(u.grad[i] * v.grad[i] for i in range(3)) + c(*w.x) * u * v).assemble(at)
    load = fem.LinearForm(lambda v, w: f(*w.x) * v).assemble(at)
    inverse = scipy.sparse.diags_array(1 / matrix.diagonal())
    values, failed = cg(matrix, load, rtol=PRECISION, M=inverse)
    assert not failed
    return values
