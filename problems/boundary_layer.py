"""A boundary layer: what drifts to a wall that will not have it changes within a distance ε of it.

    ε y'' + y' = 0,   0 < x < 1,   y(0) = 0,   y(1) = 1

The solution is y = (1 - exp(-x / ε)) / (1 - exp(-1 / ε)): one almost everywhere, and zero at the wall.

Source: the linear model problem of singular perturbation (Bender and Orszag, Advanced Mathematical Methods for Scientists and
Engineers, 1978, chapter 9).

Good values: thickness 1e-8 to 1.
"""

import numpy as np

import pinn
from pinn import d


def problem(thickness: float = 1e-3) -> pinn.Problem:
    """The problem with a layer of this thickness, ε."""
    line = pinn.Interval(x=(0, 1))

    def drift(y, x, thickness):
        return thickness * d(y, x, x) + d(y, x)

    return pinn.Problem(
        fields="y",
        domain=line,
        residual=drift,
        constants={"thickness": thickness},
        conditions=[pinn.Dirichlet(y=0.0, on=line.at(x=0)), pinn.Dirichlet(y=1.0, on=line.at(x=1))],
        reference=lambda x: np.expm1(-x / thickness) / np.expm1(-1 / thickness),
        name="boundary_layer",
    )
