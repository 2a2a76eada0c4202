"""The backward-facing step: a channel widens at once, and the flow cannot follow.

    u ∂u/∂x + v ∂u/∂y + ∂p/∂x = ν Δu
    u ∂v/∂x + v ∂v/∂y + ∂p/∂y = ν Δv
    ∂u/∂x + ∂v/∂y = 0             on [0, 4] × [0, 2] without [0, 2] × [1, 2]
    u = 4y (1 - y), v = 0 at x = 0;   u = v = 0 on the walls;   ν ∂u/∂x = p, ∂v/∂x = 0 at x = 4

The stream leaves the edge of the step as a jet, with an eddy above it. At the edge, friction and pressure are infinite.

Source: PINNacle (arXiv 2306.08827), its problem NS2d-CG, which says no more of the outlet than p = 0: that leaves the flow there
undecided. The reference is computed by finite elements of degree 3 and 2.

Good values: nu = ν = 0.01, the original; 0.1 is slow flow.
"""

from functools import lru_cache, reduce

import numpy as np

import pinn
from pinn import d, laplacian
from problems import _fem, _stream
from problems._stored import stored


def problem(nu: float = 0.01) -> pinn.Problem:
    """The problem with that viscosity."""
    channel, block = pinn.Box(x=(0, 4), y=(0, 2)), pinn.Box(x=(0, 2), y=(1, 2))

    def flow(u, v, p, x, y):
        return {
            "momentum in x": u * d(u, x) + v * d(u, y) + d(p, x) - nu * laplacian(u, x, y),
            "momentum in y": u * d(v, x) + v * d(v, y) + d(p, y) - nu * laplacian(v, x, y),
            "mass": d(u, x) + d(v, y),
        }

    walls = channel.at(y=(0, 2)) + block.at(x=2) + block.at(y=1)
    return pinn.Problem(
        fields="u v p",
        domain=channel - block,
        residual=flow,
        conditions=[
            pinn.Dirichlet(u=lambda y: 4 * y * (1 - y), v=0.0, on=channel.at(x=0)),
            pinn.Dirichlet(u=0.0, v=0.0, on=walls),
            pinn.Condition(lambda u, v, p, x: (nu * d(u, x) - p, d(v, x)), on=channel.at(x=4), name="outflow"),
        ],
        reference=lambda x, y: _stream.fields(mesh(), computed(nu), x, y),
        name="backward_step",
    )


@lru_cache
def mesh(finer: int = 1):
    """Triangles of a sixth that are halved towards the edge of the step; then all of them `finer` times."""
    fem = _fem.skfem()
    whole = fem.MeshTri.init_tensor(np.linspace(0, 4, 25), np.linspace(0, 2, 13))
    start = whole.restrict(whole.elements_satisfying(lambda x: (x[0] > 2) | (x[1] < 1)))

    def halved(mesh, reach):
        return mesh.refined(mesh.elements_satisfying(lambda x: np.hypot(x[0] - 2, x[1] - 1) < reach))

    return reduce(halved, 0.5 ** np.arange(2, 8), start).refined(finer)


@stored
def computed(nu: float, finer: int = 1):
    """The nodes' values. Triangles twice as long change u by 5e-5, v and p by 4e-4."""
    return _stream.steady(
        mesh(finer),
        nu,
        lambda x, y: (np.where(x < 1e-9, 4 * y * (1 - y), 0.0), 0 * x),
        lambda x, y: (x > 4 - 1e-9) & (y > 1e-9) & (y < 2 - 1e-9),
    )
