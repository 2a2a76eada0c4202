"""Equations on a rectangle with round holes by finite elements, for references that have no closed form.

    -Δu + c u = f,   u given on some edges, ∂u/∂n + u = g on the others

Polynomials of degree 4 on triangles whose edges at the holes are bent to parabolas. Each mesh cuts the triangles of the one
before into four. scikit-fem is an optional extra of the package: `pip install pinn[references]`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.sparse.linalg import splu
from scipy.spatial import Delaunay, KDTree

from pinn.errors import ProblemError

Real = NDArray[np.float64]
Disc = tuple[float, float, float]  # centre and radius

AROUND, GROWTH = 16, 1.35  # edges around a small hole, from ring to ring
NEAR, NEWTON = {2: 12, 3: 40}, 6  # cells that may hold a point, by dimension; steps to its place in one with bent edges
BEYOND = 0.15  # of a triangle's height: places farther out are outside, nearer ones between an edge and its bent neighbour
BEND, LOG_ERROR = 0.9, 15.0  # of the inverse Laplace transform: the hyperbola's angle, and -log of the rule's error


def skfem() -> Any:
    """The library, imported when a reference is asked for.

    Raises:
        ProblemError: it is not installed.
    """
    try:
        import skfem
    except ImportError as error:
        raise ProblemError(
            "This reference is computed with scikit-fem, which is not installed: pip install pinn[references]."
        ) from error
    return skfem


def factors(matrix: Any) -> Any:
    """The LU factors of a matrix of symmetric pattern, in an order that leaves more of it empty than the usual one."""
    return splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.01, options={"SymmetricMode": True})


@dataclass(frozen=True)
class Plate:
    """The rectangle (left, right, bottom, top) without the discs, and how long edges of its first mesh are."""

    sides: tuple[float, float, float, float]
    discs: tuple[Disc, ...]
    size: float

    def mesh(self, finer: int) -> Any:
        """The mesh after so many refinements, edges bent to the discs."""
        fem = skfem()
        mesh = fem.MeshTri(*self._triangles())
        for _ in range(finer):
            mesh = mesh.refined()
            mesh = fem.MeshTri(self._bent(mesh.p, mesh.boundary_nodes()), mesh.t)
        whole = fem.MeshTri2.from_mesh(mesh)
        places = whole.doflocs.copy()
        middles = whole.dofs.facet_dofs[0, mesh.boundary_facets()]
        return fem.MeshTri2(self._bent(places, np.concatenate([mesh.boundary_nodes(), middles])), whole.t)

    def _bent(self, places: Real, edge: NDArray) -> Real:
        """Places [2, n] of which those on the edge, but not on the rectangle's, are moved to the nearest circle."""
        return bent(places, edge[~self._on_sides(*places[:, edge])], self.discs)

    def _on_sides(self, x: Real, y: Real) -> NDArray[np.bool_]:
        left, right, bottom, top = self.sides
        reach = 1e-9 * (right - left)
        return np.minimum.reduce([abs(x - left), abs(x - right), abs(y - bottom), abs(y - top)]) < reach

    def _triangles(self) -> tuple[Real, NDArray]:
        """Rings of points about the holes, and between them a grid of equal triangles."""
        left, right, bottom, top = self.sides
        x, y = (np.linspace(a, b, 1 + int(np.ceil((b - a) / self.size))) for a, b in ((left, right), (bottom, top)))
        found = [_ring(*disc, self._step(disc)) for disc in self.discs]
        found += [np.stack([x, 0 * x + end], axis=1) for end in (bottom, top)]
        found += [np.stack([0 * y[1:-1] + end, y[1:-1]], axis=1) for end in (left, right)]
        for disc in self.discs:
            step, radius = self._step(disc), disc[2]
            while step < self.size:
                radius, step = radius + 0.9 * step, step * GROWTH
                found.append(self._apart(_ring(*disc[:2], radius, step), step, found))
        rows = np.arange(bottom, top, self.size * np.sqrt(0.75))
        grid = [_row(left + (i % 2) * self.size / 2, right, self.size, height) for i, height in enumerate(rows)]
        found.append(self._apart(np.concatenate(grid), self.size, found))
        points = np.concatenate(found)
        corners = Delaunay(points).simplices
        return points.T.copy(), corners[self._clearance(points[corners].mean(axis=1)) > 0].T.copy()

    def _step(self, disc: Disc) -> float:
        return min(self.size, 2 * np.pi * disc[2] / AROUND)

    def _clearance(self, points: Real) -> Real:
        """How far points [n, 2] are from the holes and the rectangle's edges, negative beyond."""
        left, right, bottom, top = self.sides
        x, y = points.T
        holes = [np.hypot(x - a, y - b) - radius for a, b, radius in self.discs]
        return np.minimum.reduce([x - left, right - x, y - bottom, top - y, *holes])

    def _apart(self, points: Real, step: float, found: Sequence[Real]) -> Real:
        """Those that are well inside and far enough from the ones before."""
        points = points[self._clearance(points) > 0.6 * step]
        return points[KDTree(np.concatenate(found)).query(points)[0] > 0.75 * step] if len(points) else points


def bent(places: Real, edge: NDArray, rounds: Sequence[tuple[float, ...]]) -> Real:
    """Places [d, n] of which those on the edge are moved to the nearest circle or sphere, given as centre and radius."""
    places, (*centres, radii) = places.copy(), np.array(rounds).T
    away = places[:, edge, None] - np.stack(centres)[:, None, :]
    nearest = np.argmin(np.abs(np.linalg.norm(away, axis=0) - radii), axis=1)
    away = away[:, np.arange(edge.size), nearest]
    places[:, edge] = np.stack(centres)[:, nearest] + away / np.linalg.norm(away, axis=0) * radii[nearest]
    return places


def _row(left: float, right: float, step: float, height: float) -> Real:
    x = np.arange(left, right, step)
    return np.column_stack([x, np.full(x.size, height)])


def _ring(x: float, y: float, radius: float, step: float) -> Real:
    angle = 2 * np.pi * np.arange(count := int(np.ceil(2 * np.pi * radius / step))) / count
    return np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)])


class Elements:
    """Functions on a plate, piecewise polynomials; matrices of the equation, and values anywhere.

    Attributes:
        stiffness, mass: the matrices of ∫ ∇u·∇v and ∫ u v.
        places: where the nodes lie, [2, N].
        at_edge: which nodes lie on the boundary.
    """

    def __init__(self, plate: Plate, finer: int = 0):
        fem = skfem()
        from skfem.models.poisson import laplace, mass

        self.mesh, element = plate.mesh(finer), fem.ElementTriP4()
        self.basis = fem.Basis(self.mesh, element, intorder=8)
        self.stiffness, self.mass = laplace.assemble(self.basis).tocsc(), mass.assemble(self.basis).tocsc()
        self.places, self.at_edge = self.basis.doflocs, self.basis.get_dofs().all()

    def edge(self, chosen: Callable) -> tuple[Any, Real]:
        """∫ u v and ∫ v over those edges whose middles (x, y) are chosen, as a matrix and a vector."""
        fem = skfem()
        from skfem.models.poisson import mass, unit_load

        facets = self.mesh.boundary_facets()
        middles = self.mesh.doflocs[:, self.mesh.dofs.facet_dofs[0, facets]]
        basis = fem.FacetBasis(self.mesh, fem.ElementTriP4(), facets=facets[chosen(*middles)], intorder=8)
        return mass.assemble(basis).tocsc(), unit_load.assemble(basis)

    def load(self, f: Callable) -> Real:
        """∫ f v."""
        return skfem().LinearForm(lambda v, w: f(*w.x) * v).assemble(self.basis)

    def solve(self, c: float, load: Real, given: Real) -> Real:
        """The nodes' values of -Δu + c u = f, which are `given` on the boundary."""
        matrix, u = (self.stiffness + c * self.mass).tocsc(), given.copy()
        free = np.setdiff1d(np.arange(len(given)), self.at_edge)
        u[self.at_edge] = given[self.at_edge]
        u[free] = 0
        u[free] = factors(matrix[free][:, free]).solve((load - matrix @ u)[free])
        return u

    def decay(self, matrix: Any, start: Real, times: Real) -> Real:
        """exp(-t M⁻¹ A) start at positive times, [times, N], for a symmetric positive matrix A and the mass M, to about 1e-6.

        The inverse Laplace transform along a hyperbola, by the trapezoidal rule, for all times between the first and the last
        (J. A. C. Weideman and L. N. Trefethen, Math. Comp. 76, 2007).
        """
        span, mass = times.max() / times.min(), self.mass @ start.astype(complex)
        reach = np.arccosh(((np.pi - 2 * BEND) * span + 4 * BEND - np.pi) / ((4 * BEND - np.pi) * np.sin(BEND)))
        count = int(np.ceil(LOG_ERROR * reach / (np.pi**2 - 2 * np.pi * BEND)))
        size = np.pi * (4 * BEND - np.pi) * count / (reach * times.max())
        values = np.zeros((len(times), len(start)))
        for angle in 1j * reach / count * (np.arange(count) + 0.5) - BEND:
            z, direction = size * (1 + np.sin(angle)), size * reach / count * np.cos(angle)
            found = factors(z * self.mass + matrix).solve(mass)
            values += (np.exp(z * times)[:, None] * (direction * found)).real / np.pi
        return values

    def values_at(self, x: Real, y: Real) -> Any:
        """The matrix [n, N] from the nodes' values to those at places [n]."""
        return values_at(self.basis, x, y)


def values_at(basis: Any, *coordinates: Real) -> Any:
    """The matrix [n, N] from the nodes' values to those at places, [n] by coordinate, nan at those that lie outside."""
    places = np.stack([np.ravel(x) for x in coordinates]).astype(float)
    cells, depth = _cells(basis.mesh, places)
    outside = depth < -BEYOND
    count = len(places) + 1
    places[:, outside] = basis.mesh.doflocs[:, basis.mesh.t[:count, cells[outside]]].mean(axis=1)
    local = np.full((*places.shape, 1), 1 / count)
    for _ in range(NEWTON):  # the library's own goes no farther than the edge, and between arc and parabola that is too near
        gap = places[:, :, None] - basis.mapping.F(local, tind=cells)
        local = local + np.einsum("ijkl,jkl->ikl", basis.mapping.invDF(local, tind=cells), gap)
    every = [np.ravel(basis.elem.gbasis(basis.mapping, local, i, tind=cells)[0]) for i in range(basis.Nbfun)]
    shares = [np.where(outside, np.nan, share) for share in every]
    rows = np.tile(np.arange(places.shape[1]), basis.Nbfun)
    columns = basis.element_dofs[:, cells].ravel()
    return scipy.sparse.csr_array((np.concatenate(shares), (rows, columns)), shape=(places.shape[1], basis.N))


def _cells(mesh: Any, places: Real) -> tuple[NDArray, Real]:
    """The triangle or tetrahedron that each place is in, or least far outside of, and how deep inside, as a share of its height.

    Between an arc and its chord or parabola a place is in none.
    """
    corners = mesh.doflocs[:, mesh.t[: len(places) + 1]].T
    near = np.asarray(KDTree(corners.mean(axis=1)).query(places.T, k=NEAR[len(places)])[1])
    inverse = np.linalg.inv(corners[:, 1:] - corners[:, :1])
    shares = np.einsum("nkj,nkji->nki", places.T[:, None] - corners[near, 0], inverse[near])
    depth = np.minimum(shares.min(axis=-1), 1 - shares.sum(axis=-1))
    return near[np.arange(len(near)), np.argmax(depth, axis=1)], depth.max(axis=1)
