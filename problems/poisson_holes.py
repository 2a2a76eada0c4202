"""The potential between a square wall and four rods in it.

    Δu = 0 on [-1/2, 1/2]² without four discs of radius r about (±0.3, ±0.3)
    u = 1 on the square,   u = 0 on the rods

Charge gathers where rods and wall are near: u climbs from 0 to 1 over a fifth of the square there, and hardly varies elsewhere.

Source: PINNacle (arXiv 2306.08827), its problem Poisson2d-C. The reference is computed by finite elements of degree 4.

Good values: radius = r = 0.1, the original; 0.15 leaves narrow gaps.
"""

from functools import lru_cache, reduce

import numpy as np

import pinn
from pinn import laplacian
from problems import _fem

CENTRES = tuple((x, y) for x in (-0.3, 0.3) for y in (-0.3, 0.3))


def problem(radius: float = 0.1) -> pinn.Problem:
    """The problem with rods of that radius."""
    square = pinn.Box(x=(-0.5, 0.5), y=(-0.5, 0.5))
    rods = reduce(lambda a, b: a + b, [pinn.Disk(x=x, y=y, radius=radius) for x, y in CENTRES])

    def reference(x, y):
        elements, values = computed(radius)
        return elements.values_at(x, y) @ values

    return pinn.Problem(
        fields="u",
        domain=square - rods,
        residual=lambda u, x, y: laplacian(u, x, y),
        conditions=[pinn.Dirichlet(u=1.0, on=square.boundary), pinn.Dirichlet(u=0.0, on=rods.boundary)],
        reference=reference,
        name="poisson_holes",
    )


@lru_cache
def computed(radius: float, finer: int = 1):
    """Finite elements and their nodes' values, exact to 1e-6."""
    plate = _fem.Plate((-0.5, 0.5, -0.5, 0.5), tuple((x, y, radius) for x, y in CENTRES), 0.035)
    elements = _fem.Elements(plate, finer)
    x, y = elements.places
    on_square = (abs(abs(x) - 0.5) < 1e-9) | (abs(abs(y) - 0.5) < 1e-9)
    return elements, elements.solve(0.0, 0 * x, np.where(on_square, 1.0, 0.0))
