"""Linear elasticity: a thick cantilever, bent by a load at its free end.

    ∂σ₁₁/∂x + ∂σ₁₂/∂y = 0,   ∂σ₁₂/∂x + ∂σ₂₂/∂y = 0   on [0, L] × [-h, h]
    σ₁₁ = E (∂u/∂x + ν ∂v/∂y) / (1 - ν²),   σ₂₂ = E (∂v/∂y + ν ∂u/∂x) / (1 - ν²),   σ₁₂ = E (∂u/∂y + ∂v/∂x) / 2(1 + ν)
    u, v given at x = 0,   σ n = 0 at y = ±h,   σ₁₁ = 0 and σ₁₂ = -P (h² - y²) / 2I at x = L

A thin plate under plane stress, displaced by (u, v), so thick as a beam that sections do not stay plane. With I = 2h³/3
Timoshenko's polynomial of third degree solves it.

Source: Timoshenko and Goodier, Theory of Elasticity, section 21.

Good values: young = E = 1, poisson = ν = 0.3, load = P = 0.1, length = L = 2, half = h = 0.5.
"""

import pinn
from pinn import d


def problem(young: float = 1.0, poisson: float = 0.3, load: float = 0.1, length: float = 2.0, half: float = 0.5) -> pinn.Problem:
    """The problem of a beam of this length and half thickness."""
    beam = pinn.Box(x=(0, length), y=(-half, half))
    plane, inertia = young / (1 - poisson**2), 2 * half**3 / 3
    scale = load / (6 * young * inertia)

    def along(u, v, x, y):
        return plane * (d(u, x) + poisson * d(v, y))

    def across(u, v, x, y):
        return plane * (d(v, y) + poisson * d(u, x))

    def shear(u, v, x, y):
        return plane * (1 - poisson) / 2 * (d(u, y) + d(v, x))

    def balance(u, v, x, y):
        return {"along": d(along, x) + d(shear, y), "across": d(shear, x) + d(across, y)}

    def end(u, v, x, y):
        return along(u, v, x, y), shear(u, v, x, y) + load * (half**2 - y**2) / (2 * inertia)

    def displaced_along(x, y):
        return scale * y * ((6 * length - 3 * x) * x + (2 + poisson) * (y**2 - half**2))

    def displaced_across(x, y):
        bending = 3 * poisson * y**2 * (length - x) + (4 + 5 * poisson) * half**2 * x + (3 * length - x) * x**2
        return -scale * bending

    return pinn.Problem(
        fields="u v",
        domain=beam,
        residual=balance,
        conditions=[
            pinn.Dirichlet(u=displaced_along, v=displaced_across, on=beam.at(x=0)),
            pinn.Condition(
                lambda u, v, x, y: (shear(u, v, x, y), across(u, v, x, y)), on=beam.at(y=(-half, half)), name="free sides"
            ),
            pinn.Condition(end, on=beam.at(x=length), name="load at the end"),
        ],
        reference=lambda x, y: {"u": displaced_along(x, y), "v": displaced_across(x, y)},
        name="elasticity",
    )
