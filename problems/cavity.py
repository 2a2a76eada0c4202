"""The lid-driven cavity: a lid slides over a box of water and drags it round.

    u ∂u/∂x + v ∂u/∂y + ∂p/∂x = Δu / Re
    u ∂v/∂x + v ∂v/∂y + ∂p/∂y = Δv / Re
    ∂u/∂x + ∂v/∂y = 0             on [0, 1]²
    u = 4x(1 - x) at y = 1,   u = 0 on the other walls,   v = 0 on all,   p = 0 in the corner (0, 0)

One large eddy, and a small one that turns the other way in each lower corner. The parabolic lid comes to rest in its corners,
where a flat lid would tear the water apart; the pressure still grows there without bound, like the logarithm of the distance.

Source: PINNacle (arXiv 2306.08827), its problem NS2d-C. The reference is computed at 29² Chebyshev points.

Good values: reynolds = 100, the original; 400 has larger eddies in the corners; 1 is nearly Stokes' flow.
"""

import pinn
from pinn import d, laplacian
from problems import _cavity


def problem(reynolds: float = 100.0) -> pinn.Problem:
    """The problem at the Reynolds number `reynolds`."""
    box = pinn.Box(x=(0, 1), y=(0, 1))

    def flow(u, v, p, x, y):
        return {
            "momentum in x": u * d(u, x) + v * d(u, y) + d(p, x) - laplacian(u, x, y) / reynolds,
            "momentum in y": u * d(v, x) + v * d(v, y) + d(p, y) - laplacian(v, x, y) / reynolds,
            "mass": d(u, x) + d(v, y),
        }

    return pinn.Problem(
        fields="u v p",
        domain=box,
        residual=flow,
        conditions=[
            pinn.Dirichlet(u=lambda x: 4 * x * (1 - x), v=0.0, on=box.at(y=1)),
            pinn.Dirichlet(u=0.0, v=0.0, on=box.at(x=(0, 1))),
            pinn.Dirichlet(u=0.0, v=0.0, on=box.at(y=0)),
            pinn.Condition(lambda p: p, on=pinn.Points(x=[0.0], y=[0.0]), name="pressure in a corner"),
        ],
        reference=lambda x, y: _cavity.flow(reynolds, x, y),
        name="cavity",
    )
