"""Laplace's equation in a ten-dimensional cube, with a solution that couples coordinates in pairs.

    Δu = 0 on [0, 1]¹⁰,   u = x₁x₂ + x₃x₄ + x₅x₆ + x₇x₈ + x₉x₁₀ on the boundary and inside

Five saddles that know nothing of each other. No grid is affordable; the boundary has twenty faces of nine dimensions.

Source: arXiv 2505.12149 and 2607.02194.

Good values: there is nothing to choose.
"""

import pinn
from pinn import laplacian


def saddles(x1, x2, x3, x4, x5, x6, x7, x8, x9, x10):
    """The solution."""
    return x1 * x2 + x3 * x4 + x5 * x6 + x7 * x8 + x9 * x10


def problem() -> pinn.Problem:
    """The problem on the unit cube, with coordinates x1 to x10."""
    cube = pinn.Box(x1=(0, 1), x2=(0, 1), x3=(0, 1), x4=(0, 1), x5=(0, 1), x6=(0, 1), x7=(0, 1), x8=(0, 1), x9=(0, 1), x10=(0, 1))
    return pinn.Problem(
        fields="u",
        domain=cube,
        residual=lambda u, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10: laplacian(u, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10),
        conditions=[pinn.Dirichlet(u=saddles, on=cube.boundary)],
        reference=saddles,
        name="poisson_10d",
    )
