"""Maxwell's equations in a cavity with walls that conduct: light that stands between mirrors.

    ∂E/∂t = ∂G/∂x - ∂H/∂y,   ∂H/∂t = -∂E/∂y,   ∂G/∂t = ∂E/∂x,   0 < t < end, (x, y) in [0, 1]²
    E(0, x, y) = sin mπx sin nπy,   H = G = 0 at first,   E = 0 on the walls

E is the electric field across the plane, (H, G) the magnetic field in it, in units in which light travels one length in one time.
The mode swings with ω = π√(m² + n²); energy goes back and forth between the two. Of the magnetic field the walls ask nothing.

Source: any textbook, such as J. D. Jackson, Classical Electrodynamics, section 8.7; the transverse magnetic modes of a box.

Good values: m = 1, n = 2 up to end = 2 swings 2.2 times.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d


def problem(m: int = 1, n: int = 2, end: float = 2.0) -> pinn.Problem:
    """The mode with m and n half waves, up to t = `end`."""
    box, a, b = pinn.Box(t=(0, end), x=(0, 1), y=(0, 1)), m * np.pi, n * np.pi
    w = np.hypot(a, b)

    def maxwell(E, H, G, t, x, y):
        return {"electric": d(E, t) - d(G, x) + d(H, y), "along x": d(H, t) + d(E, y), "along y": d(G, t) - d(E, x)}

    def mode(t, x, y):
        return {
            "E": np.sin(a * x) * np.sin(b * y) * np.cos(w * t),
            "H": -b / w * np.sin(a * x) * np.cos(b * y) * np.sin(w * t),
            "G": a / w * np.cos(a * x) * np.sin(b * y) * np.sin(w * t),
        }

    return pinn.Problem(
        fields="E H G",
        domain=box,
        residual=maxwell,
        conditions=[
            pinn.Initial(E=lambda x, y: jnp.sin(a * x) * jnp.sin(b * y), H=0.0, G=0.0),
            pinn.Dirichlet(E=0.0, on=box.boundary),
        ],
        reference=mode,
        name="maxwell",
    )
