"""An inverse problem: how well the tip of a cooling fin gives off heat, from three thermometers.

    u'' = m² u on [0, 1],   u(0) = 1,   u'(1) + h u(1) = 0,   u(xᵢ) = uᵢ

h is unknown, and stands in a condition: the heat that leaves the tip for each degree. Along the fin m² does the same.

Source: Incropera and DeWitt, Fundamentals of Heat and Mass Transfer, chapter 3: fins.

Good values: transfer = h = 2, searched for from 1; decay = m = 1.5; noise = 0.01 is one hundredth of the root's temperature.
"""

import numpy as np

import pinn
from pinn import d


def problem(transfer: float = 2.0, decay: float = 1.5, noise: float = 0.0, draw: int = 0) -> pinn.Problem:
    """The problem whose true number is `transfer`; `noise` is the readings' standard deviation, `draw` their seed."""
    fin, x, m = pinn.Interval(x=(0, 1)), np.array([0.3, 0.6, 0.9]), decay

    def exact(x):
        slope = (m * np.sinh(m) + transfer * np.cosh(m)) / (m * np.cosh(m) + transfer * np.sinh(m))
        return np.cosh(m * x) - slope * np.sinh(m * x)

    readings = exact(x) + noise * np.random.default_rng(draw).normal(size=len(x))
    return pinn.Problem(
        fields="u",
        domain=fin,
        residual=lambda u, x: d(u, x, x) - m**2 * u,
        conditions=[
            pinn.Dirichlet(u=1.0, on=fin.at(x=0)),
            pinn.Robin(u=(lambda transfer: transfer, 1.0, 0.0), on=fin.at(x=1)),
            pinn.Data(x=x, u=readings, sigma=noise or None),
        ],
        parameters={"transfer": pinn.Parameter(1.0, positive=True)},
        reference=exact,
        name="inverse_robin",
    )
