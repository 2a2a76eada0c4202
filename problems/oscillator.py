"""A damped oscillator of high frequency, let go from rest.

    u'' + 2δ u' + ω₀² u = 0,   0 < t < end
    u(0) = 1,   u'(0) = 0

A stiff spring with little friction: u swings about ω₀ end / 2π times while it fades at the rate δ. Plain networks lose such
swings; exam_ode is the general oscillator.

Source: the example of the package FBPINNs, with friction 4 and spring 6400 at mass 1.

Good values: damping = δ = 2, frequency = ω₀ = 80, the original; 20 is easy.
"""

import numpy as np

import pinn
from pinn import d


def problem(damping: float = 2.0, frequency: float = 80.0, end: float = 1.0) -> pinn.Problem:
    """The problem up to t = `end`."""
    swing = np.sqrt(complex(frequency**2 - damping**2))

    def reference(t):  # sin(ωt) / ω as a sinc, which has its limit at critical damping
        return np.real(np.exp(-damping * t) * (np.cos(swing * t) + damping * t * np.sinc(swing * t / np.pi)))

    return pinn.Problem(
        fields="u",
        domain=pinn.Interval(t=(0, end)),
        residual=lambda u, t: d(u, t, t) + 2 * damping * d(u, t) + frequency**2 * u,
        conditions=[pinn.Initial(u=1.0), pinn.InitialVelocity(u=0.0)],
        reference=reference,
        name="oscillator",
    )
