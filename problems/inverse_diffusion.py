"""An inverse problem: how fast something diffuses, from ten readings at one time.

    ∂u/∂t = D ∂²u/∂x² + e⁻ᵗ (π² - 1) sin πx,   0 < t < 1, -1 < x < 1
    u(0, x) = sin πx,   u = 0 at both ends,   u(1, xᵢ) = uᵢ

D is unknown. The readings are those of D = 1, for which u = e⁻ᵗ sin πx; for other D they follow from the same formula's sum
e⁻ᵗ and exp(-Dπ²t).

Source: DeepXDE's example, with D = 1 and a search from D = 2.

Good values: diffusion = 1, the original, without noise; noise = 0.01 is one hundredth of the largest reading.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d


def problem(diffusion: float = 1.0, noise: float = 0.0, draw: int = 0) -> pinn.Problem:
    """The problem whose true coefficient is `diffusion`; `noise` is the readings' standard deviation, `draw` their seed."""
    box, places = pinn.Box(t=(0, 1), x=(-1, 1)), np.linspace(-0.9, 0.9, 10)

    def exact(t, x):
        driven = (np.pi**2 - 1) / (diffusion * np.pi**2 - 1)
        return np.sin(np.pi * x) * (driven * np.exp(-t) + (1 - driven) * np.exp(-diffusion * np.pi**2 * t))

    readings = exact(1.0, places) + noise * np.random.default_rng(draw).normal(size=len(places))
    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x, diffusion: d(u, t) - diffusion * d(u, x, x) - jnp.exp(-t) * (np.pi**2 - 1) * jnp.sin(np.pi * x),
        conditions=[
            pinn.Initial(u=lambda x: jnp.sin(jnp.pi * x)),
            pinn.Dirichlet(u=0.0, on=box.at(x=(-1, 1))),
            pinn.Data(t=np.ones(len(places)), x=places, u=readings, sigma=noise or None),
        ],
        parameters={"diffusion": pinn.Parameter(2.0, positive=True)},
        reference=exact,
        name="inverse_diffusion",
    )
