"""Poisson's equation with another kind of condition on every side of the square.

    -Δu = f on [0, 1]²
    u = u₀ at x = 0,   ∂u/∂n = g at x = 1,   2u + ∂u/∂n = h at y = 0,   ∂u/∂x + u ∂u/∂y = k at y = 1

A plate that is kept at a temperature, heated, cooled by the air, and at its top passes on what a nonlinear law says.

Source: made for this package; u₀ = sin(2x + y) + x² y is the solution.

Good values: there is nothing to choose.
"""

import jax.numpy as jnp

import pinn
from pinn import d, laplacian


def exact(x, y):
    """The solution."""
    return jnp.sin(2 * x + y) + x**2 * y


def slope_x(x, y):
    return 2 * jnp.cos(2 * x + y) + 2 * x * y


def slope_y(x, y):
    return jnp.cos(2 * x + y) + x**2


def problem() -> pinn.Problem:
    """The problem on the unit square."""
    square = pinn.Box(x=(0, 1), y=(0, 1))

    def top(u, x, y):
        return d(u, x) + u * d(u, y) - slope_x(x, y) - exact(x, y) * slope_y(x, y)

    return pinn.Problem(
        fields="u",
        domain=square,
        residual=lambda u, x, y: laplacian(u, x, y) + 5 * jnp.sin(2 * x + y) - 2 * y,
        conditions=[
            pinn.Dirichlet(u=exact, on=square.at(x=0)),
            pinn.Neumann(u=slope_x, on=square.at(x=1)),
            pinn.Robin(u=(2.0, 1.0, lambda x, y: 2 * exact(x, y) - slope_y(x, y)), on=square.at(y=0)),
            pinn.Condition(top, on=square.at(y=1), name="a nonlinear law"),
        ],
        reference=exact,
        name="poisson_boundaries",
    )
