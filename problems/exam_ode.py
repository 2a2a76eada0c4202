"""The damped oscillator, held at both ends or let go from one.

    a y'' + b y' + c y = f   on [0, L]
    y(0) = y₀,  y(L) = y_L       (boundary-value problem), or
    y(0) = y₀,  y'(0) = v₀       (initial-value problem)

A mass a on a spring c with friction b under a constant load f. It swings where b² < 4ac (under-damped), creeps where b² > 4ac
(over-damped), and settles fastest in between (critically damped). Held at both ends, it has no single solution where a whole
number of half swings fits into L.

Source: the exam of a course on deep learning, whose loss is loss(physics) + loss(boundary or initial conditions).

Good values: a = b = c = 1, L = 5, y₀ = 1, y_L = 0, the exam's; b = 2 is critically damped; b = 0.2 swings; b = 50 has a thin
layer at x = 0.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

import pinn
from pinn import d
from pinn.errors import ProblemError

Function = Callable[[ArrayLike], NDArray[np.float64]]

# Stands for 0 in a quotient that has a limit there: expm1(TINY x) / TINY is x to the last bit.
TINY = 1e-100


def problem(
    a: float = 1.0,
    b: float = 1.0,
    c: float = 1.0,
    f: float = 0.0,
    length: float = 5.0,
    start: float = 1.0,
    end: float | None = None,
    initial_slope: float | None = None,
) -> pinn.Problem:
    """The boundary-value problem, with y_L = 0 unless `end` says otherwise; with `initial_slope`, the initial-value problem.

    Raises:
        ProblemError: a is 0, both `end` and `initial_slope` are given, or there is no single solution.
    """
    line = pinn.Interval(x=(0, length))
    if initial_slope is None:
        conditions = [pinn.Dirichlet(y=start, on=line.at(x=0)), pinn.Dirichlet(y=end or 0.0, on=line.at(x=length))]
    else:
        conditions = [pinn.Initial(y=start), pinn.InitialVelocity(y=initial_slope)]
    return pinn.Problem(
        fields="y",
        domain=line,
        residual=lambda y, x: a * d(y, x, x) + b * d(y, x) + c * y - f,
        conditions=conditions,
        reference=exact(a, b, c, f, length, start, end, initial_slope),
        name="exam_ode",
    )


def exact(
    a: float, b: float, c: float, f: float, length: float, start: float, end: float | None, initial_slope: float | None
) -> Function:
    """The solution as a function of x; arguments and errors as for `problem`.

    With the roots r and s of a r² + b r + c, free motions are exp(s x) and (exp(r x) - exp(s x)) / (r - s). They are arranged so
    that they have their limit at a double root, and overflow only where the solution does.
    """
    if a == 0:
        raise ProblemError("exam_ode: a = 0 leaves no y''; give another number.")
    if end is not None and initial_slope is not None:
        raise ProblemError("exam_ode: give `end` (held at both ends) or `initial_slope` (let go from one), not both.")
    b, c, f = b / a, c / a, f / a
    m, delta = -b / 2, max(np.sqrt(complex(b * b / 4 - c)), TINY, key=abs)
    # Of the roots m ± δ, the one that would be a difference of near numbers follows from their product, c.
    r, s = (m + delta, c / (m + delta)) if m > 0 else (c / (m - delta), m - delta)
    load, load_slope = _load(c, f, r, s, length)
    at_0, at_end = start - load(0.0), (end or 0.0) - load(length)

    def rise(x):  # exp(-r x) times the second free motion
        return -np.expm1(-2 * delta * x) / (2 * delta)

    if initial_slope is None:
        _refuse_resonance(np.imag(delta), length)
        motions = [
            (at_0, lambda x: np.exp(s * x) * rise(length - x) / rise(length)),
            (at_end, lambda x: np.exp(r * (x - length)) * rise(x) / rise(length)),
        ]
    else:
        motions = [
            (at_0, lambda x: np.exp(s * x)),
            (initial_slope - load_slope - s * at_0, lambda x: np.exp(r * x) * rise(x)),
        ]

    def solution(x: ArrayLike) -> NDArray[np.float64]:
        x = np.asarray(x, float)
        return np.real(load(x) + sum(amount * motion(x) for amount, motion in motions if amount))

    return solution


def _load(c: float, f: float, r: complex, s: complex, length: float) -> tuple[Callable, complex]:
    """A motion under the load alone, y'' + b y' + c y = f, and its slope at 0.

    f / c loses digits as c goes to 0, where f x / b is wanted, and so does that as b goes to 0, where it is f x² / 2.
    """
    slow, fast = sorted((r, s), key=abs)
    if abs(slow) * length > 1:
        return lambda x: f / c + 0 * x, 0.0
    if abs(fast) * length > 1e-4:
        rate = max(slow, TINY, key=abs)
        return lambda x: -f / fast * np.expm1(rate * x) / rate, -f / fast
    return lambda x: f * x**2 * (1 / 2 + (r + s) * x / 6 + (r * r + r * s + s * s) * x**2 / 24), 0.0


def _refuse_resonance(frequency: float, length: float) -> None:
    swings = frequency * length / np.pi
    if abs(np.sin(np.pi * swings)) < 1e-10 * min(swings, 1.0):
        half, count = np.pi / frequency, round(swings)
        raise ProblemError(
            f"exam_ode: no solution, or more than one: a free motion is 0 at both ends, {count} half swings of {half:.6g} in "
            f"length = {length:g}. Take another length, such as {(count + 0.5) * half:.6g}, or give `initial_slope`."
        )
