"""The advection operator: from a periodic initial state to the state that moves with speed 1.

    ∂u/∂t + ∂u/∂x = 0 on [0, 1]², periodic in x;   u(t, x) = u₀(x - t)

The operator is linear: plain linear regression is the one to beat, and on such benchmarks often wins. Known at t = 0 alone, with
the equation instead of solutions, it is learned by its residual.

Source: Batlle, Darcy, Hosseini & Owhadi, arXiv 2304.13202 (Advection I).

Good values: speed = 1; equation = True learns without one solution.
"""

import jax
import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d

from ._initial import state, waves

SENSORS = 40


def problem(speed: float = 1.0, equation: bool = False) -> pinn.OperatorProblem:
    """The problem with solutions to learn from; with `equation`, with the equation and initial states alone."""
    box, places = pinn.Box(t=(0, 1), x=(0, 1)), np.arange(SENSORS) / SENSORS

    def whole(key: jax.Array) -> pinn.Sample:
        a = waves(key)
        values = jax.vmap(lambda x: state(a, x))(jnp.asarray(places))
        return pinn.Sample(noisy=values, clean=lambda t, x: state(a, x - speed * t))

    if not equation:
        return pinn.OperatorProblem(domain=box, fields="u", sensors={"x": places}, sample=whole, name="advection")
    return pinn.OperatorProblem(
        domain=box,
        fields="u",
        sensors={"t": 0 * places, "x": places},
        sample=lambda key: pinn.Sample(whole(key).noisy, sigma=0.0),
        residual=lambda u, t, x: d(u, t) + speed * d(u, x),
        conditions=[pinn.Periodic("x")],
        reference=whole,
        name="advection_by_equation",
    )
