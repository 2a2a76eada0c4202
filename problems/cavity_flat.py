"""The lid-driven cavity with a flat lid, which tears at the water in both of its corners.

    u ∂u/∂x + v ∂u/∂y + ∂p/∂x = Δu / Re
    u ∂v/∂x + v ∂v/∂y + ∂p/∂y = Δv / Re
    ∂u/∂x + ∂v/∂y = 0             on [0, 1]²
    u = 1 at y = 1,   u = 0 on the other walls,   v = 0 on all,   p = 0 in the corner (0, 0)

u jumps from 0 to 1 where lid and wall meet. Pressure and friction grow there like one over the distance, and the mean square of p
is infinite: its reference leaves out what is nearer than 0.05 to those corners.

Source: Ghia, Ghia and Shin, J. Comput. Phys. 48 (1982), with whose tables the reference agrees. It is
computed at 37² Chebyshev points.

Between 29² and 37² points u changes by 1e-3 and p by 7e-3 at Re = 400, a sixth of the change before.

Good values: reynolds = 400; 1000, which has thinner layers than the reference fully resolves; 100 is easier.
"""

import numpy as np

import pinn
from pinn import d, laplacian
from problems import _cavity

COUNT = 36


def problem(reynolds: float = 400.0) -> pinn.Problem:
    """The problem at the Reynolds number `reynolds`."""
    box = pinn.Box(x=(0, 1), y=(0, 1))

    def flow(u, v, p, x, y):
        return {
            "momentum in x": u * d(u, x) + v * d(u, y) + d(p, x) - laplacian(u, x, y) / reynolds,
            "momentum in y": u * d(v, x) + v * d(v, y) + d(p, y) - laplacian(v, x, y) / reynolds,
            "mass": d(u, x) + d(v, y),
        }

    def reference(x, y):
        known = _cavity.flow(reynolds, x, y, COUNT, flat=True)
        near = np.minimum(np.hypot(x, 1 - y), np.hypot(1 - x, 1 - y)) < 0.05
        return known | {"p": np.where(near, np.nan, known["p"])}

    return pinn.Problem(
        fields="u v p",
        domain=box,
        residual=flow,
        conditions=[
            pinn.Dirichlet(u=1.0, v=0.0, on=box.at(y=1)),
            pinn.Dirichlet(u=0.0, v=0.0, on=box.at(x=(0, 1))),
            pinn.Dirichlet(u=0.0, v=0.0, on=box.at(y=0)),
            pinn.Condition(lambda p: p, on=pinn.Points(x=[0.0], y=[0.0]), name="pressure in a corner"),
        ],
        reference=reference,
        name="cavity_flat",
    )
