"""Heat through a plate with a disk of another material in it, whose conductivity jumps at the rim.

    div(k ∇u) + 1 = 0,   k = contrast inside of r = 1/2, 1 outside,   (x, y) in [-1, 1]²
    u and k ∂u/∂r are continuous at r = 1/2,   u is given on the square

The plate is heated everywhere and carries a stream of heat along x, which the disk draws in where it conducts better and turns
away where it conducts worse. u has a kink at the rim; with one smooth function for both sides the error stays above 1e-3.

    u = A r cos θ + (1/4 - r²) / 4k inside,          A = 2 / (1 + k)
    u = (r + B / r) cos θ + (1/4 - r²) / 4 outside,  B = (1 - k) / 4(1 + k)

Source: the classical inclusion in a uniform stream (J. C. Maxwell, Treatise on Electricity and Magnetism, 1873, art. 314).

Good values: contrast = k = 10; 0.1 is an insulator, 1000 nearly a perfect conductor, 1 no disk at all.
"""

from collections.abc import Callable

import jax.numpy as jnp

import pinn
from pinn import laplacian


def problem(contrast: float = 10.0) -> pinn.Problem:
    """The problem with a disk that conducts `contrast` times as well as what surrounds it."""
    square, disk = pinn.Box(x=(-1, 1), y=(-1, 1)), pinn.Disk(x=0, y=0, radius=0.5)
    parts = by_region(contrast)

    def reference(x, y):
        within = x**2 + y**2 < 0.25
        return jnp.where(within, parts["disk"](x, y), parts["plate"](x, jnp.where(within, 1.0, y)))

    return pinn.Problem(
        fields="u",
        domain={"disk": disk, "plate": square - disk},
        residual={
            "disk": lambda u, x, y, contrast: contrast * laplacian(u, x, y) + 1,
            "plate": lambda u, x, y: laplacian(u, x, y) + 1,
        },
        conditions=[
            pinn.Interface(u=0.0, coefficient={"disk": contrast}, on=disk.boundary),
            pinn.Dirichlet(u=parts["plate"], on=square.boundary),
        ],
        constants={"contrast": contrast},
        reference=reference,
        name="interface",
    )


def by_region(contrast: float = 10.0) -> dict[str, Callable]:
    """u as one function in each region, smooth beyond its rim too."""

    def disk(x, y):
        return 2 / (1 + contrast) * x + (0.25 - x**2 - y**2) / (4 * contrast)

    def plate(x, y):
        square = x**2 + y**2
        return x * (1 + (1 - contrast) / (4 * (1 + contrast)) / square) + (0.25 - square) / 4

    return {"disk": disk, "plate": plate}
