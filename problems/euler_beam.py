"""The Euler-Bernoulli beam: clamped at one end, free at the other, bent by a constant load.

    u'''' = -q on [0, L],   u(0) = u'(0) = 0,   u''(L) = u'''(L) = 0

u is the deflection, u'' the bending moment and u''' the shear force, which the free end cannot carry.

Source: DeepXDE's example of the Euler beam.

Good values: load = q = 1, length = L = 1, the original.
"""

import pinn
from pinn import d


def problem(load: float = 1.0, length: float = 1.0) -> pinn.Problem:
    """The problem with this load over this length."""
    beam = pinn.Interval(x=(0, length))
    clamp, free = beam.at(x=0), beam.at(x=length)
    return pinn.Problem(
        fields="u",
        domain=beam,
        residual=lambda u, x: d(u, x, x, x, x) + load,
        conditions=[
            pinn.Dirichlet(u=0.0, on=clamp),
            pinn.Neumann(u=0.0, on=clamp),
            pinn.Condition(lambda u, x: d(u, x, x), on=free, name="no moment"),
            pinn.Condition(lambda u, x: d(u, x, x, x), on=free, name="no shear"),
        ],
        reference=lambda x: -load * x**2 * (x**2 - 4 * length * x + 6 * length**2) / 24,
        name="euler_beam",
    )
