"""Small problems whose solutions are known in closed form, for tests of the solver."""

import jax.numpy as jnp
import numpy as np

import pinn
from pinn import d, laplacian
from problems import kovasznay


def poisson(size=1.0):
    """-Δu = f on the unit square, u = size sin πx sin πy."""
    box = pinn.Box(x=(0, 1), y=(0, 1))
    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, x, y: laplacian(u, x, y) + 2 * size * jnp.pi**2 * jnp.sin(jnp.pi * x) * jnp.sin(jnp.pi * y),
        conditions=[pinn.Dirichlet(u=0.0, on=box.boundary)],
        reference=lambda x, y: size * np.sin(np.pi * x) * np.sin(np.pi * y),
        name="poisson",
    )


def annulus():
    """Δu = 0 between two circles, u = log r: no box, so every condition is a penalty."""
    hole = pinn.Disk(x=0.0, y=0.0, radius=0.5)
    disk = pinn.Disk(x=0.0, y=0.0, radius=1.0)
    return pinn.Problem(
        fields="u",
        domain=disk - hole,
        residual=lambda u, x, y: laplacian(u, x, y),
        conditions=[pinn.Dirichlet(u=float(np.log(0.5)), on=hole.boundary), pinn.Neumann(u=1.0, on=disk.boundary)],
        reference=lambda x, y: 0.5 * np.log(x**2 + y**2),
        name="annulus",
    )


def channel():
    """Navier-Stokes, viscosity 0.1, between two walls: u = 4 y (1 - y), no velocity across, pressure 0.8 (2 - x)."""
    box = pinn.Box(x=(0, 2), y=(0, 1))
    return pinn.Problem(
        fields="u v p",
        domain=box,
        residual=kovasznay.problem(reynolds=10.0).residual,
        conditions=[
            pinn.Dirichlet(u=lambda y: 4 * y * (1 - y), v=0.0, on=box.at(x=0)),
            pinn.Dirichlet(u=0.0, v=0.0, on=box.at(y=(0, 1))),
            pinn.Dirichlet(p=0.0, v=0.0, on=box.at(x=2)),
        ],
        reference=lambda x, y: {"u": 4 * y * (1 - y), "v": 0 * x, "p": 0.8 * (2 - x)},
        name="channel",
    )


def heat():
    """u_t = 0.4 u_xx, u(0, x) = sin πx, ends at zero."""
    box = pinn.Box(t=(0, 1), x=(0, 1))
    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x: d(u, t) - 0.4 * d(u, x, x),
        conditions=[pinn.Initial(u=lambda x: jnp.sin(jnp.pi * x)), pinn.Dirichlet(u=0.0, on=box.at(x=(0, 1)))],
        reference=lambda t, x: np.exp(-0.4 * np.pi**2 * t) * np.sin(np.pi * x),
        name="heat",
    )


def convection(speed=30.0):
    """u_t + speed u_x = 0, periodic."""
    box = pinn.Box(t=(0, 1), x=(0, 2 * np.pi))
    return pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x: d(u, t) + speed * d(u, x),
        conditions=[pinn.Initial(u=lambda x: jnp.sin(x)), pinn.Periodic("x")],
        reference=lambda t, x: np.sin(x - speed * t),
        name="convection",
    )


def bratu(strength=1.0):
    """u'' + strength eᵘ = 0, zero at both ends; the lower of its two solutions."""
    from scipy.optimize import brentq

    line = pinn.Interval(x=(0, 1))
    theta = brentq(lambda s: s - np.sqrt(2 * strength) * np.cosh(s / 4), 0.0, 4.7, xtol=1e-15, rtol=1e-15)
    return pinn.Problem(
        fields="u",
        domain=line,
        residual=lambda u, x: d(u, x, x) + strength * jnp.exp(u),
        conditions=[pinn.Dirichlet(u=0.0, on=line.boundary)],
        reference=lambda x: -2 * np.log(np.cosh((x - 0.5) * theta / 2) / np.cosh(theta / 4)),
        name="bratu",
    )


def oscillator():
    """A system of first order: q' = p, p' = -q."""
    line = pinn.Interval(t=(0, 3))
    return pinn.Problem(
        fields="q p",
        domain=line,
        residual=lambda q, p, t: {"position": d(q, t) - p, "momentum": d(p, t) + q},
        conditions=[pinn.Initial(q=1.0, p=0.0)],
        reference=lambda t: {"q": np.cos(t), "p": -np.sin(t)},
        name="oscillator",
    )
