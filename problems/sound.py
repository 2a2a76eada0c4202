"""Sound in a room with hard walls: pressure and velocity.

    ∂p/∂t = -∂u/∂x - ∂v/∂y,   ∂u/∂t = -∂p/∂x,   ∂v/∂t = -∂p/∂y,   0 < t < end, (x, y) in [0, 1]²
    p(0, x, y) = cos mπx cos nπy,   u = v = 0 at first,   u = 0 where x is 0 or 1,   v = 0 where y is 0 or 1

Air cannot go through a wall but along it; of the pressure the walls ask nothing. The tone swings with ω = π√(m² + n²), in units
in which sound crosses the room in one time.

Source: any textbook, such as P. M. Morse and K. U. Ingard, Theoretical Acoustics, section 9.5.

Good values: m = 1, n = 2 up to end = 2 swings 2.2 times.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d


def problem(m: int = 1, n: int = 2, end: float = 2.0) -> pinn.Problem:
    """The tone with m and n half waves, up to t = `end`."""
    box, a, b = pinn.Box(t=(0, end), x=(0, 1), y=(0, 1)), m * np.pi, n * np.pi
    w = np.hypot(a, b)

    def sound(p, u, v, t, x, y):
        return {"pressure": d(p, t) + d(u, x) + d(v, y), "along x": d(u, t) + d(p, x), "along y": d(v, t) + d(p, y)}

    def tone(t, x, y):
        return {
            "p": np.cos(a * x) * np.cos(b * y) * np.cos(w * t),
            "u": a / w * np.sin(a * x) * np.cos(b * y) * np.sin(w * t),
            "v": b / w * np.cos(a * x) * np.sin(b * y) * np.sin(w * t),
        }

    return pinn.Problem(
        fields="p u v",
        domain=box,
        residual=sound,
        conditions=[
            pinn.Initial(p=lambda x, y: jnp.cos(a * x) * jnp.cos(b * y), u=0.0, v=0.0),
            pinn.Dirichlet(u=0.0, on=box.at(x=(0, 1))),
            pinn.Dirichlet(v=0.0, on=box.at(y=(0, 1))),
        ],
        reference=tone,
        name="sound",
    )
