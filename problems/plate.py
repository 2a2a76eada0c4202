"""A plate clamped along an elliptic edge bends under an even load.

    D Δ²w = q on x²/a² + y²/b² < 1,   w = ∂w/∂n = 0 on the edge

D is the plate's stiffness and q the load, whose weight the edge carries by holding height and slope: an equation of fourth order.

    w = q (1 - x²/a² - y²/b²)² / 8D (3/a⁴ + 2/a²b² + 3/b⁴)

Source: Bryan's solution, in S. Timoshenko and S. Woinowsky-Krieger, Theory of Plates and Shells, 1959, art. 71.

Good values: a = 2, b = 1; a = b is a round plate. load = q / D = 1.
"""

import pinn
from pinn import d


def problem(a: float = 2.0, b: float = 1.0, load: float = 1.0) -> pinn.Problem:
    """The problem on an ellipse with half axes `a` and `b`."""
    plate = pinn.Ellipse(x=0, y=0, radii=(a, b))

    def bending(w, x, y):
        return d(w, x, x, x, x) + 2 * d(w, x, x, y, y) + d(w, y, y, y, y) - load

    def reference(x, y):
        return load * (1 - x**2 / a**2 - y**2 / b**2) ** 2 / (8 * (3 / a**4 + 2 / (a * b) ** 2 + 3 / b**4))

    return pinn.Problem(
        fields="w",
        domain=plate,
        residual=bending,
        conditions=[pinn.Dirichlet(w=0.0, on=plate.boundary), pinn.Neumann(w=0.0, on=plate.boundary)],
        reference=reference,
        name="plate",
    )
