"""A channel with a pulsed inlet: a stream is pushed in and drawn out, in three rhythms at once.

    ∂u/∂t + u ∂u/∂x + v ∂u/∂y + ∂p/∂x + f = ν Δu
    ∂v/∂t + u ∂v/∂x + v ∂v/∂y + ∂p/∂y + f = ν Δv
    ∂u/∂x + ∂v/∂y = 0,   0 < t < end, (x, y) in [0, 2] × [0, 1],   f = sin πx sin πy sin πt
    u = sin πy (sin πt + sin 3πt + sin 5πt), v = 0 at x = 0;   u = v = 0 on the walls and at t = 0
    ν ∂u/∂x = p,   ∂v/∂x = 0 at x = 2

The flow turns round several times before t = 2, so that the pressure is that of a piston, and eddies that form at the walls are
carried to and fro.

Source: PINNacle (arXiv 2306.08827), its problem NS2d-LT, which says no more of the outlet than p = 0 and that p = 0 at t = 0
too, when it is not. The reference is computed by finite elements of degree 3 and 2.

Good values: nu = ν = 0.01, end = 5, the original; end = 1 is a fifth of the work.
"""

from functools import lru_cache

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d, laplacian
from problems import _fem, _spectral, _stream
from problems._fem import Real
from problems._stored import stored

RHYTHMS = (1, 3, 5)
SNAPSHOTS, STEPS = 50, 800  # a unit of time: states that are kept, and steps


def problem(nu: float = 0.01, end: float = 5.0) -> pinn.Problem:
    """The problem with that viscosity up to t = `end`."""
    channel = pinn.Box(x=(0, 2), y=(0, 1))

    def flow(u, v, p, t, x, y):
        f = force(t, x, y, jnp)
        return {
            "momentum in x": d(u, t) + u * d(u, x) + v * d(u, y) + d(p, x) - nu * laplacian(u, x, y) + f,
            "momentum in y": d(v, t) + u * d(v, x) + v * d(v, y) + d(p, y) - nu * laplacian(v, x, y) + f,
            "mass": d(u, x) + d(v, y),
        }

    return pinn.Problem(
        fields="u v p",
        domain=pinn.Interval(t=(0, end)) * channel,
        residual=flow,
        conditions=[
            pinn.Initial(u=0.0, v=0.0),
            pinn.Dirichlet(u=lambda t, y: inflow(t, y, jnp), v=0.0, on=channel.at(x=0)),
            pinn.Dirichlet(u=0.0, v=0.0, on=channel.at(y=(0, 1))),
            pinn.Condition(lambda u, v, p, x: (nu * d(u, x) - p, d(v, x)), on=channel.at(x=2), name="outflow"),
        ],
        reference=lambda t, x, y: at(t, x, y, nu, end),
        name="pulsed_channel",
    )


def inflow(t, y, numpy):
    return numpy.sin(np.pi * y) * sum(numpy.sin(k * np.pi * t) for k in RHYTHMS)


def force(t, x, y, numpy):
    return numpy.sin(np.pi * x) * numpy.sin(np.pi * y) * numpy.sin(np.pi * t)


def at(t: Real, x: Real, y: Real, nu: float, end: float, finer: int = 1) -> dict[str, Real]:
    """u, v and p at any times and places [n], between the times that are kept by polynomials."""
    values = computed(nu, end, finer)
    weights = _spectral.interpolation((len(values) - 1) * np.ravel(t) / end, len(values))
    return {
        name: np.asarray(weights.multiply(places @ part.T).sum(axis=1))
        for name, places, part in _stream.parts(mesh(finer), values, x, y)
    }


@lru_cache
def mesh(finer: int = 1):
    """Squares of a sixteenth, cut in two, smaller at the walls and the inlet; `finer` times as many along each side."""
    fem = _fem.skfem()
    across = np.sin(np.pi / 2 * np.linspace(-1, 1, 16 * finer + 1)) / 2 + 0.5
    along = 2 * np.linspace(0, 1, 32 * finer + 1) ** 1.2
    return fem.MeshTri.init_tensor(along, across)


@stored
def computed(nu: float, end: float, finer: int = 1) -> Real:
    """The nodes' values of u, v and p, [times, N], at equidistant times.

    Up to t = 1, triangles and steps half as long change u by 2e-4, v by 1e-3 and p by 1e-5.
    """
    snapshots = max(int(np.ceil(SNAPSHOTS * end)), _spectral.NEIGHBOURS)
    return _stream.unsteady(
        mesh(finer),
        nu,
        lambda t, x, y: (np.where(x < 1e-9, inflow(t, y, np), 0.0), 0 * x),
        lambda x, y: (x > 2 - 1e-9) & (y > 1e-9) & (y < 1 - 1e-9),
        lambda t, x, y: 2 * (-force(t, x, y, np),),
        end,
        finer * STEPS // SNAPSHOTS * snapshots,
        snapshots,
    )
