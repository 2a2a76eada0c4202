"""Flow past a cylinder in a channel, at a Reynolds number at which the wake is steady.

    u ∂u/∂x + v ∂u/∂y + ∂p/∂x = ν Δu
    u ∂v/∂x + v ∂v/∂y + ∂p/∂y = ν Δv
    ∂u/∂x + ∂v/∂y = 0             on [0, 2.2] × [0, 0.41] without a disc of radius 0.05 about (0.2, 0.2)
    u = 1.2 y (0.41 - y)/0.41², v = 0 at x = 0;   u = v = 0 on the walls and the disc
    ν ∂u/∂x = p,   ∂v/∂x = 0 at x = 2.2

Two eddies stand behind the cylinder. It is a little below the middle of the channel, so that it is lifted too.

Source: Schäfer and Turek, Benchmark computations of laminar flow around a cylinder (1996), their test 2D-1. The reference is
computed by finite elements of degree 3 and 2.

Good values: nu = ν = 0.001, the original, whose Reynolds number is 20; 0.0005 gives 40; 0.01 is slow flow.
"""

from functools import lru_cache

import numpy as np

import pinn
from pinn import d, laplacian
from problems import _fem, _stream
from problems._stored import stored

LENGTH, HEIGHT, DISC = 2.2, 0.41, (0.2, 0.2, 0.05)


def problem(nu: float = 0.001) -> pinn.Problem:
    """The problem with that viscosity."""
    channel, disc = pinn.Box(x=(0, LENGTH), y=(0, HEIGHT)), pinn.Disk(x=DISC[0], y=DISC[1], radius=DISC[2])

    def flow(u, v, p, x, y):
        return {
            "momentum in x": u * d(u, x) + v * d(u, y) + d(p, x) - nu * laplacian(u, x, y),
            "momentum in y": u * d(v, x) + v * d(v, y) + d(p, y) - nu * laplacian(v, x, y),
            "mass": d(u, x) + d(v, y),
        }

    return pinn.Problem(
        fields="u v p",
        domain=channel - disc,
        residual=flow,
        conditions=[
            pinn.Dirichlet(u=lambda y: inflow(y), v=0.0, on=channel.at(x=0)),
            pinn.Dirichlet(u=0.0, v=0.0, on=channel.at(y=(0, HEIGHT)) + disc.boundary),
            pinn.Condition(lambda u, v, p, x: (nu * d(u, x) - p, d(v, x)), on=channel.at(x=LENGTH), name="outflow"),
        ],
        reference=lambda x, y: _stream.fields(mesh(), computed(nu), x, y),
        name="cylinder",
    )


def inflow(y):
    return 1.2 * y * (HEIGHT - y) / HEIGHT**2


@lru_cache
def mesh(finer: int = 1):
    return _fem.Plate((0, LENGTH, 0, HEIGHT), (DISC,), 0.08).mesh(finer)


@stored
def computed(nu: float, finer: int = 1):
    """The nodes' values.

    The pressure's drop across the cylinder is 1.5e-4 from the published one; triangles twice as long change u by 3e-3, v by 2e-2
    and p by 7e-3.
    """
    return _stream.steady(
        mesh(finer),
        nu,
        lambda x, y: (np.where(x < 1e-9, inflow(y), 0.0), 0 * x),
        lambda x, y: (x > LENGTH - 1e-9) & (y > 1e-9) & (y < HEIGHT - 1e-9),
    )
