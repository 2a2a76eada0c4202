"""A cold plate with seventeen warm pipes through it.

    ∂u/∂t = Δu,   0 < t < end, on [-8, 8] × [-12, 12] without eleven discs of radius 1 and six of 0.4
    ∂u/∂n + u = 5 on the large discs, 1 on the small ones, 0.1 on the rectangle,   u = 0 at t = 0

Each pipe gives off heat in proportion to how much colder the plate is. It spreads over √t: layers form at once and melt together.

Source: PINNacle (arXiv 2306.08827), its problem Heat2d-CG, normals out of the plate. The reference is computed by finite elements
of degree 4 in space and by an inverse Laplace transform in time.

Good values: end = 3, the original; 0.3 has layers only, 100 is nearly at rest.
"""

from functools import lru_cache, reduce

import numpy as np

import pinn
from pinn import d, laplacian
from problems import _fem, _spectral
from problems._fem import Real
from problems._stored import stored

LARGE = tuple((x, y, 1.0) for x in (-4, 4) for y in (-9, -3, 3, 9)) + tuple((0, y, 1.0) for y in (-6, 0, 6))
SMALL = tuple((x, y, 0.4) for x in (-3.2, 3.2) for y in (-6, 0, 6))


def problem(end: float = 3.0) -> pinn.Problem:
    """The problem up to t = `end`."""
    sheet = pinn.Box(x=(-8, 8), y=(-12, 12))
    large, small = (
        reduce(lambda a, b: a + b, [pinn.Disk(x=x, y=y, radius=radius) for x, y, radius in discs]) for discs in (LARGE, SMALL)
    )

    return pinn.Problem(
        fields="u",
        domain=pinn.Interval(t=(0, end)) * (sheet - large - small),
        residual=lambda u, t, x, y: d(u, t) - laplacian(u, x, y),
        conditions=[
            pinn.Initial(u=0.0),
            pinn.Robin(u=(1.0, 1.0, 5.0), on=large.boundary),
            pinn.Robin(u=(1.0, 1.0, 1.0), on=small.boundary),
            pinn.Robin(u=(1.0, 1.0, 0.1), on=sheet.boundary),
        ],
        reference=lambda t, x, y: at(t, x, y, end),
        name="heat_holes",
    )


def at(t: Real, x: Real, y: Real, end: float) -> Real:
    """u at any times and places [n], between the times that are kept by polynomials of √t."""
    values = computed(end)
    weights = _spectral.interpolation((len(values) - 1) * np.sqrt(np.ravel(t) / end), len(values))
    return np.asarray(weights.multiply(elements().values_at(x, y) @ values.T).sum(axis=1))


@stored
def computed(end: float) -> Real:
    """The nodes' values, [times, N], at times whose roots are equidistant.

    The error is 1e-5 of u from t = 0.1 on, and 1e-2 of what little there is up to t = 0.03, when layers are thinner than the
    triangles: 1e-4 of all.
    """
    late = states(elements(), end * np.linspace(0, 1, 61)[1:] ** 2)
    return np.concatenate([0 * late[:1], late])


@lru_cache
def elements(finer: int = 1) -> _fem.Elements:
    return _fem.Elements(_fem.Plate((-8, 8, -12, 12), LARGE + SMALL, 1.0), finer)


def states(elements: _fem.Elements, times: Real) -> Real:
    """The nodes' values, [times, N], at positive times."""

    def on(discs):
        return lambda x, y: np.min([abs(np.hypot(x - a, y - b) - r) for a, b, r in discs], axis=0) < 1e-6

    edges = [
        (0.1, elements.edge(lambda x, y: (abs(abs(x) - 8) < 1e-6) | (abs(abs(y) - 12) < 1e-6))),
        (5.0, elements.edge(on(LARGE))),
        (1.0, elements.edge(on(SMALL))),
    ]
    matrix = elements.stiffness + sum(edge for _, (edge, _) in edges)
    rest = _fem.factors(matrix).solve(sum(warmth * flow for warmth, (_, flow) in edges))
    return rest - elements.decay(matrix, rest, times)
