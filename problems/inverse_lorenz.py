"""An inverse problem: the three numbers of Lorenz' equations, from 25 readings of the motion.

    x' = σ (y - x),   y' = x (ρ - z) - y,   z' = x y - β z,   0 < t < 3
    (x, y, z)(0) = (-8, 7, 27),   (x, y, z)(tᵢ) = (xᵢ, yᵢ, zᵢ)

σ, ρ and β are unknown; the search starts at 1 each, where the motion is quite another one.

Source: DeepXDE's example.

Good values: prandtl = σ = 10, rayleigh = ρ = 15, beta = 8/3, the original; noise = 0.1 is about one hundredth of the motion.
"""

import numpy as np

import pinn
from pinn import d
from problems import lorenz


def problem(
    prandtl: float = 10.0, rayleigh: float = 15.0, beta: float = 8 / 3, noise: float = 0.0, draw: int = 0
) -> pinn.Problem:
    """The problem with these true numbers; `noise` is the readings' standard deviation, `draw` their seed."""
    t, rng = np.linspace(0.06, 3, 25), np.random.default_rng(draw)
    motion = lorenz.integrated(prandtl, rayleigh, beta, 3.0)
    readings = dict(zip("xyz", motion(t) + noise * rng.normal(size=(3, len(t))), strict=True))
    return pinn.Problem(
        fields="x y z",
        domain=pinn.Interval(t=(0, 3)),
        residual=lambda x, y, z, t, prandtl, rayleigh, beta: (
            d(x, t) - prandtl * (y - x),
            d(y, t) - x * (rayleigh - z) + y,
            d(z, t) - x * y + beta * z,
        ),
        conditions=[pinn.Initial(x=-8.0, y=7.0, z=27.0), pinn.Data(t=t, **readings, sigma=noise or None)],
        parameters={"prandtl": pinn.Parameter(1.0), "rayleigh": pinn.Parameter(1.0), "beta": pinn.Parameter(1.0)},
        reference=lambda t: dict(zip("xyz", motion(t), strict=True)),
        name="inverse_lorenz",
    )
