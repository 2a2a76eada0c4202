"""A stiff linear system: a fast decay that is over at once beside a slow one that lasts.

    x' = (s - 2) x + (2s - 2) y,   y' = (1 - s) x + (1 - 2s) y,   0 < t < end
    x(0) = 1,   y(0) = 0

Both numbers are mixtures of exp(-t) and exp(-st). After a time of 1/s only the slow part is left, but explicit methods must still
take steps of that length; here the short layer at the start must be seen at all.

Source: the standard example of stiffness, in Press et al., Numerical Recipes, with s = 1000.

Good values: stiffness = s = 100 has a layer of a hundredth, 1000 of a thousandth; end = 1.
"""

import numpy as np

import pinn
from pinn import d


def problem(stiffness: float = 100.0, end: float = 1.0) -> pinn.Problem:
    """The problem whose fast part decays `stiffness` times faster than the slow one."""
    s = stiffness
    return pinn.Problem(
        fields="x y",
        domain=pinn.Interval(t=(0, end)),
        residual=lambda x, y, t: (
            d(x, t) - (s - 2) * x - (2 * s - 2) * y,
            d(y, t) - (1 - s) * x - (1 - 2 * s) * y,
        ),
        conditions=[pinn.Initial(x=1.0, y=0.0)],
        reference=lambda t: {"x": 2 * np.exp(-t) - np.exp(-s * t), "y": np.exp(-s * t) - np.exp(-t)},
        name="stiff",
    )
