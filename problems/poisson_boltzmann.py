"""The linear Poisson-Boltzmann equation: charged rods in salt water, which screens them.

    -Δu + k² u = 10 (17 + x² + y²) sin πx sin 4πy on [-1, 1]² without four discs
    u = 0.2 on the square,   u = 1 on the rods

Ions gather about a charge until it is felt over a distance of 1/k only: u has a layer of that width along every rod and wall.

Source: PINNacle (arXiv 2306.08827), its problem Poisson2d-CG. The reference is computed by finite elements of degree 4.

Good values: screening = k = 8, the original; 0 is Poisson's equation, 30 makes the layers thin.
"""

from functools import lru_cache, reduce

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import laplacian
from problems import _fem

RODS = (0.5, 0.5, 0.2), (0.4, -0.4, 0.4), (-0.2, -0.7, 0.1), (-0.6, 0.5, 0.3)


def problem(screening: float = 8.0) -> pinn.Problem:
    """The problem with that k."""
    square = pinn.Box(x=(-1, 1), y=(-1, 1))
    rods = reduce(lambda a, b: a + b, [pinn.Disk(x=x, y=y, radius=radius) for x, y, radius in RODS])

    def source(x, y):
        return 10 * (17 + x**2 + y**2) * jnp.sin(jnp.pi * x) * jnp.sin(4 * jnp.pi * y)

    def reference(x, y):
        elements, values = computed(screening)
        return elements.values_at(x, y) @ values

    return pinn.Problem(
        fields="u",
        domain=square - rods,
        residual=lambda u, x, y: -laplacian(u, x, y) + screening**2 * u - source(x, y),
        conditions=[pinn.Dirichlet(u=0.2, on=square.boundary), pinn.Dirichlet(u=1.0, on=rods.boundary)],
        reference=reference,
        name="poisson_boltzmann",
    )


@lru_cache
def computed(screening: float, finer: int = 1):
    """Finite elements and their nodes' values, exact to 1e-6."""
    elements = _fem.Elements(_fem.Plate((-1, 1, -1, 1), RODS, 0.05), finer)
    x, y = elements.places
    on_square = (abs(abs(x) - 1) < 1e-9) | (abs(abs(y) - 1) < 1e-9)
    load = elements.load(lambda x, y: 10 * (17 + x**2 + y**2) * np.sin(np.pi * x) * np.sin(4 * np.pi * y))
    return elements, elements.solve(screening**2, load, np.where(on_square, 0.2, 1.0))
