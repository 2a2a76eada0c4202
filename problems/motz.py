"""A wall kept cold on one half and insulated on the other: where the two meet, the slope is infinite.

    Δu = 0 on [-1, 1] × [0, 1]
    u = 0 on y = 0, x < 0,   ∂u/∂n = 0 on y = 0, x > 0,   u = g on the other sides
    g = √r cos(θ/2) + r √r cos(3θ/2) / 2

with r, θ the polar coordinates about the point where the conditions meet, the middle of the wall. u = g everywhere.

Source: after H. Motz, Quart. Appl. Math. 4 (1947) 371, whose plate has the same wall and other sides; g has the first two terms
of its series.

Good values: there is nothing to choose; the exponent 1/2 is that of every straight wall on which a value meets a slope.
"""

import jax.numpy as jnp

import pinn
from pinn import laplacian


def problem() -> pinn.Problem:
    """The problem on the plate."""
    plate = pinn.Box(x=(-1, 1), y=(0, 1))

    def exact(x, y):
        root, angle = (x**2 + y**2) ** 0.25, jnp.arctan2(y, x)
        return root * jnp.cos(angle / 2) + root**3 * jnp.cos(3 * angle / 2) / 2

    return pinn.Problem(
        fields="u",
        domain=plate,
        residual=lambda u, x, y: laplacian(u, x, y),
        conditions=[
            pinn.Dirichlet(u=0.0, on=plate.at(y=0, where=lambda x: x < 0)),
            pinn.Neumann(u=0.0, on=plate.at(y=0, where=lambda x: x > 0)),
            pinn.Dirichlet(u=exact, on=plate.at(x=(-1, 1)) + plate.at(y=1)),
        ],
        reference=exact,
        name="motz",
    )
