"""Laplace's equation on a disk, with a bright spot on its rim.

    Δu = 0 for x² + y² < 1
    u = (1 - a²) / (1 - 2ax + a²) on the rim

The temperature of a plate whose rim is held warm near (1, 0). Inside it is Poisson's kernel, u = (1 - a²r²) / (1 - 2ax + a²r²).

Source: Poisson's integral formula; DeepXDE's example on the disk is u = x.

Good values: sharpness = a = 0.5, with a spot as wide as the disk; 0.8 is narrower, 0.95 very narrow.
"""

import pinn
from pinn import laplacian


def problem(sharpness: float = 0.5) -> pinn.Problem:
    """The problem with a spot whose width is about 1 - `sharpness`."""
    disk, a = pinn.Disk(x=0, y=0, radius=1), sharpness

    def reference(x, y):
        r2 = x**2 + y**2
        return (1 - a**2 * r2) / (1 - 2 * a * x + a**2 * r2)

    return pinn.Problem(
        fields="u",
        domain=disk,
        residual=lambda u, x, y: laplacian(u, x, y),
        conditions=[pinn.Dirichlet(u=lambda x: (1 - a**2) / (1 - 2 * a * x + a**2), on=disk.boundary)],
        reference=reference,
        name="laplace_disk",
    )
