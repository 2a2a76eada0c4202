"""A screened potential in a cube with four balls cut out; at half the height the screening changes.

    -Δu + k² u = f,   k = 8 below z = 1/2, 10 above,   on [0, 1]³ without four balls
    ∂u/∂n = 0 on the cube and on the balls

    f = 20 exp(sin πx + sin 10πy + sin 5πz) (r² - 1) / (r² + 1) + 100 sin πx sin 10πy sin 5πz,   r² = x² + y² + z²

No flux leaves. u follows the source, five waves along y, smoothed over the distance 1/k.

Source: PINNacle (arXiv 2306.08827), its problem Poisson3d-CG. The reference is computed by finite elements of degree 2.

Good values: below = 8 and above = 10, the original; equal, there is no jump.
"""

from functools import lru_cache

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import laplacian
from problems import _fem, _solid
from problems._fem import Real
from problems._stored import stored

BALLS = ((0.4, 0.3, 0.6, 0.2), (0.6, 0.7, 0.6, 0.2), (0.2, 0.8, 0.7, 0.1), (0.6, 0.2, 0.3, 0.1))
CELLS = 12


def problem(below: float = 8.0, above: float = 10.0) -> pinn.Problem:
    """The problem with those k."""
    cube = pinn.Box(x=(0, 1), y=(0, 1), z=(0, 1))
    first, second, third, fourth = (pinn.Ball(x=x, y=y, z=z, radius=radius) for x, y, z, radius in BALLS)
    balls = first + second + third + fourth

    def reference(x, y, z):
        return _fem.values_at(elements(), x, y, z) @ computed(below, above)

    return pinn.Problem(
        fields="u",
        domain=cube - balls,
        residual=lambda u, x, y, z: -laplacian(u, x, y, z) + jnp.where(z < 0.5, below, above) ** 2 * u - source(x, y, z, jnp),
        conditions=[pinn.Neumann(u=0.0, on=cube.boundary + balls.boundary)],
        reference=reference,
        name="poisson_balls",
    )


def source(x, y, z, numpy):
    waves = numpy.sin(np.pi * x), numpy.sin(10 * np.pi * y), numpy.sin(5 * np.pi * z)
    square = x**2 + y**2 + z**2
    return 20 * numpy.exp(sum(waves)) * (square - 1) / (square + 1) + 100 * waves[0] * waves[1] * waves[2]


@lru_cache
def elements(finer: int = 1):
    return _solid.basis(_solid.mesh(BALLS, CELLS, finer), order=1)


@stored
def computed(below: float, above: float, finer: int = 1) -> Real:
    """The nodes' values. Tetrahedra twice as long change u by 5e-3."""
    return _solid.solve(
        elements(finer).mesh, lambda x, y, z: np.where(z < 0.5, below, above) ** 2, lambda x, y, z: source(x, y, z, np)
    )
