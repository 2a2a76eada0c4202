"""The Fokker-Planck equation: where a shaken particle on a spring may be.

    ∂p/∂t = ∂(θ x p)/∂x + D ∂²p/∂x²,   0 < t < 1, -4 < x < 4
    p(0, x) a bell of width 0.3 around 1.5,   p at the ends that of the same particle on the whole line

The spring pulls the bell to the middle while the shaking spreads it: its mean is 1.5 e^(-θt), its variance goes to D/θ.

Source: Uhlenbeck and Ornstein, Phys. Rev. 36 (1930).

Good values: stiffness = θ = 1, diffusion = D = 0.5; a start of width 0.1 is much sharper.
"""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d


def problem(stiffness: float = 1.0, diffusion: float = 0.5, mean: float = 1.5, width: float = 0.3) -> pinn.Problem:
    """The problem of a particle that was at `mean`, known to within `width`."""
    box = pinn.Box(t=(0, 1), x=(-4, 4))

    def density(t, x):
        decay = jnp.exp(-stiffness * t)
        variance = width**2 * decay**2 + diffusion / stiffness * (1 - decay**2)
        return jnp.exp(-((x - mean * decay) ** 2) / (2 * variance)) / jnp.sqrt(2 * np.pi * variance)

    return pinn.Problem(
        fields="p",
        domain=box,
        residual=lambda p, t, x: d(p, t) - stiffness * (p + x * d(p, x)) - diffusion * d(p, x, x),
        conditions=[pinn.Initial(p=lambda x: density(0.0, x)), pinn.Dirichlet(p=density, on=box.at(x=(-4, 4)))],
        reference=density,
        name="fokker_planck",
    )
