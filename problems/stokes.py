"""Stokes' equations: honey that is stirred in a box.

    -Δu + ∂p/∂x = f,   -Δv + ∂p/∂y = g,   ∂u/∂x + ∂v/∂y = 0   on [0, 1]²
    u = v = 0 on the walls,   p = 0 in a corner

Friction is all, inertia nothing. The forces f and g are those of the flow with the stream function ψ = x²(1-x)²y²(1-y)² and of
the pressure p = x² - y².

Source: a usual test of methods for incompressible flow.

Good values: strength = 10 makes velocity and pressure equally large.
"""

import pinn
from pinn import d, laplacian


def bump(x):
    """x²(1-x)² and its first three derivatives."""
    return x**2 * (1 - x) ** 2, 2 * x - 6 * x**2 + 4 * x**3, 2 - 12 * x + 12 * x**2, -12 + 24 * x


def problem(strength: float = 10.0) -> pinn.Problem:
    """The problem with the stream function multiplied by `strength`."""
    box = pinn.Box(x=(0, 1), y=(0, 1))

    def stokes(u, v, p, x, y):
        (a, a1, a2, a3), (b, b1, b2, b3) = bump(x), bump(y)
        return {
            "momentum in x": -laplacian(u, x, y) + d(p, x) + strength * (a2 * b1 + a * b3) - 2 * x,
            "momentum in y": -laplacian(v, x, y) + d(p, y) - strength * (a3 * b + a1 * b2) + 2 * y,
            "mass": d(u, x) + d(v, y),
        }

    def reference(x, y):
        (a, a1, *_), (b, b1, *_) = bump(x), bump(y)
        return {"u": strength * a * b1, "v": -strength * a1 * b, "p": x**2 - y**2}

    corner = pinn.Points(x=[0.0], y=[0.0])
    return pinn.Problem(
        fields="u v p",
        domain=box,
        residual=stokes,
        conditions=[
            pinn.Dirichlet(u=0.0, v=0.0, on=box.boundary),
            pinn.Condition(lambda p: p, on=corner, name="pressure in a corner"),
        ],
        reference=reference,
        name="stokes",
    )
