"""The Burgers operator: from a periodic initial state to the waves that steepen from it and fade.

    ∂u/∂t + u ∂u/∂x = ν ∂²u/∂x² on [0, 1]², periodic in x

The operator is nonlinear, so that linear regression fails. Solutions come from the Cole-Hopf integral, computed while training:
u = ∫ u₀(y) w dz / ∫ w dz with y = x - √(4νt) z and log w = -U(y) / 2ν - z², U' = u₀.

Source: Hopf, Comm. Pure Appl. Math. 3 (1950); the benchmark after Lu et al., CMAME 393 (2022).

Good values: nu = 0.02; smaller ones make sharper fronts.
"""

import jax
import jax.numpy as jnp
import numpy as np

import pinn

from ._initial import integral, state, waves

SENSORS, SPACING = 40, 0.2


def problem(nu: float = 0.02) -> pinn.OperatorProblem:
    """The problem with viscosity `nu`, from 0.005 on."""
    box, places = pinn.Box(t=(0, 1), x=(0, 1)), np.arange(SENSORS) / SENSORS
    reach = np.sqrt(0.6 / (2 * nu) + 40)
    z = np.linspace(-reach, reach, 2 * int(np.ceil(reach / SPACING)) + 1)

    def sample(key: jax.Array) -> pinn.Sample:
        a = waves(key)

        def solution(t: jax.Array, x: jax.Array) -> jax.Array:
            y = x - jnp.sqrt(4 * nu * t) * z
            weight = jax.nn.softmax(-jax.vmap(lambda p: integral(a, p))(y) / (2 * nu) - z**2)
            return weight @ jax.vmap(lambda p: state(a, p))(y)

        values = jax.vmap(lambda x: state(a, x))(jnp.asarray(places))
        return pinn.Sample(noisy=values, clean=solution)

    return pinn.OperatorProblem(domain=box, fields="u", sensors={"x": places}, sample=sample, name="burgers_operator")
