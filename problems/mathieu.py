"""An eigenvalue problem: the swings that a string of uneven stiffness has of its own.

    u'' + (a - 2q cos 2x) u = 0 on [0, π],   u(0) = u(π) = 0,   u'(0) = 1

Only for some numbers a is there more than the zero solution; the slope at one end takes the free factor. The mode is found that
the search for a starts near, which is where perturbation theory puts the n-th. With q = 0 these are a = n² and u = sin nx / n.

Source: Mathieu's equation, the drum with elliptic rim; the reference is SciPy's odd Mathieu function.

Good values: mode = n = 1, 2, 3; q = 1, where a differs from n² by a tenth to a half; q = 5 is uneven.
"""

import jax.numpy as jnp
import numpy as np
from scipy.special import mathieu_b, mathieu_sem

import pinn
from pinn import d


def problem(mode: int = 1, q: float = 1.0) -> pinn.Problem:
    """The problem of the mode that has `mode` half waves."""
    line = pinn.Interval(x=(0, np.pi))
    return pinn.Problem(
        fields="u",
        domain=line,
        residual=lambda u, x, a: d(u, x, x) + (a - 2 * q * jnp.cos(2 * x)) * u,
        conditions=[pinn.Dirichlet(u=0.0, on=line.boundary), pinn.InitialVelocity(u=1.0)],
        parameters={"a": pinn.Parameter(first_guess(mode, q))},
        reference=lambda x: mathieu_sem(mode, q, np.degrees(x))[0] / mathieu_sem(mode, q, 0.0)[1],
        name="mathieu",
    )


def first_guess(mode: int, q: float) -> float:
    """Where the search for a begins: n², and the first two terms by which a changes with q (DLMF 28.6)."""
    known = {1: 1 - q - q**2 / 8, 2: 4 - q**2 / 12}
    return known[mode] if mode in known else mode**2 + q**2 / (2 * mode**2 - 2)


def eigenvalue(mode: int = 1, q: float = 1.0) -> float:
    """The number a."""
    return float(mathieu_b(mode, q))
