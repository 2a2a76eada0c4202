"""The corner that points inwards, at which the slope is infinite.

    Δu = 0 on [-1, 1]² without [0, 1] × [-1, 0]
    u = r^(2/3) sin(2θ/3) on the boundary, with r, θ the polar coordinates about the corner

The potential near an edge of metal, where the field is strongest: |∇u| grows like r^(-1/3). No smooth function comes near to it.

Source: the usual test of adaptive finite elements (W. F. Mitchell, Appl. Math. Comput. 220, 2013, problem 1).

Good values: there is nothing to choose; the exponent 2/3 is the angle of the corner, 3π/2, by π, turned over.
"""

import jax.numpy as jnp

import pinn
from pinn import laplacian


def problem() -> pinn.Problem:
    """The problem on the L."""
    shape = pinn.Box(x=(-1, 1), y=(-1, 1)) - pinn.Box(x=(0, 1), y=(-1, 0))

    def exact(x, y):
        angle = jnp.arctan2(y, x)
        angle = jnp.where(angle < -jnp.pi / 4, angle + 2 * jnp.pi, angle)
        return (x**2 + y**2) ** (1 / 3) * jnp.sin(2 / 3 * angle)

    return pinn.Problem(
        fields="u",
        domain=shape,
        residual=lambda u, x, y: laplacian(u, x, y),
        conditions=[pinn.Dirichlet(u=exact, on=shape.boundary)],
        reference=exact,
        name="l_shape",
    )
