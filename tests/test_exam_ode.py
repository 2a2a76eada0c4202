"""The oscillator's closed form, against integrators that know nothing of it."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

import pinn
from pinn.errors import ProblemError
from pinn.expression import apply
from problems import exam_ode

DAMPING = {"none": 0.0, "under": 1.0, "critical": 2.0, "near critical": 2 + 1e-9, "over": 10.0, "driven": -1.0}


def rounded(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers with 12 decimals; the integrator divides by 0 where squares underflow."""
    return st.floats(low, high).map(lambda number: round(number, 12))


numbers = rounded(-4, 4)
damping = spring = numbers | st.just(0.0) | rounded(-1e-6, 1e-6)
coefficients = st.tuples(rounded(0.25, 4) | rounded(-4, -0.25), damping, spring, numbers)
lengths = st.floats(0.1, 3)


def chebyshev(length: float, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev points on [0, length], in descending order, and the matrix that differentiates there (Trefethen 2000)."""
    x = np.cos(np.pi * np.arange(n + 1) / n)
    c = np.r_[2, np.ones(n - 1), 2] * (-1.0) ** np.arange(n + 1)
    matrix = np.outer(c, 1 / c) / (x[:, None] - x + np.eye(n + 1))
    matrix -= np.diag(matrix.sum(axis=1))
    return (1 + x) * length / 2, matrix * 2 / length


def collocated(a, b, c, f, length, start, end) -> tuple[np.ndarray, np.ndarray, float]:
    """Chebyshev points, the boundary-value problem solved there, and how much it magnifies what it is given."""
    x, D = chebyshev(length)
    operator = a * D @ D + b * D + c * np.eye(len(x))
    operator[[0, -1]] = np.eye(len(x))[[0, -1]]
    inverse = np.linalg.inv(operator)
    given_values = np.full(len(x), f)
    given_values[[0, -1]] = end, start
    return x, inverse @ given_values, np.abs(inverse).sum(axis=1).max()


def integrated(a, b, c, f, length, start, slope) -> tuple[np.ndarray, np.ndarray]:
    def slopes(_, y):
        return y[1], (f - b * y[1] - c * y[0]) / a

    x = np.linspace(0, length, 50)
    run = solve_ivp(slopes, (0, length), (start, slope), method="DOP853", t_eval=x, rtol=1e-12, atol=1e-13)
    return x, run.y[0]


def error(values: np.ndarray, truth: np.ndarray) -> float:
    return float(np.abs(values - truth).max() / (1 + np.abs(truth).max()))


@given(coefficients, lengths, numbers, numbers)
def test_let_go_from_one_end_it_is_what_an_integrator_finds(equation, length, start, slope):
    assume(np.roots(equation[:3]).real.max() * length < 6)  # beyond, the integrator's own errors grow
    x, truth = integrated(*equation, length, start, slope)
    assert error(exam_ode.exact(*equation, length, start, None, slope)(x), truth) < 1e-9


@given(coefficients, lengths, numbers, numbers)
def test_held_at_both_ends_it_is_what_collocation_finds(equation, length, start, end):
    x, truth, amplification = collocated(*equation, length, start, end)
    assume(amplification < 1e3)
    assert error(exam_ode.exact(*equation, length, start, end, None)(x), truth) < 1e-8


@pytest.mark.parametrize("b", DAMPING.values(), ids=DAMPING)
@pytest.mark.parametrize("f", [0.0, 3.0])
def test_every_damping(b, f):
    x, truth, _ = collocated(1.0, b, 1.0, f, 2.0, 1.0, -0.5)
    assert error(exam_ode.exact(1.0, b, 1.0, f, 2.0, 1.0, -0.5, None)(x), truth) < 1e-11
    x, truth = integrated(1.0, b, 1.0, f, 2.0, 1.0, -0.5)
    assert error(exam_ode.exact(1.0, b, 1.0, f, 2.0, 1.0, None, -0.5)(x), truth) < 1e-10


@given(coefficients, lengths, numbers, numbers)
def test_it_solves_the_equation_and_starts_as_told(equation, length, start, slope):
    a, b, c, f = equation
    x, D = chebyshev(length)
    y = exam_ode.exact(*equation, length, start, None, slope)(x)
    operator, scale = a * D @ D + b * D + c * np.eye(len(x)), 1 + np.abs(y).max()
    assert np.all(np.abs(operator @ y - f) <= 1e-11 * np.abs(operator).sum(axis=1) * scale)
    assert y[-1] == pytest.approx(start, abs=1e-12)
    assert abs(D[-1] @ y - slope) <= 1e-11 * np.abs(D[-1]).sum() * scale


def test_the_exam():
    """The underdamped formula, as one would write it by hand."""
    x = np.linspace(0, 5, 101)
    w = math.sqrt(3) / 2
    by_hand = np.exp(-x / 2) * (np.cos(w * x) - np.sin(w * x) / math.tan(5 * w))
    values = exam_ode.exact(1.0, 1.0, 1.0, 0.0, 5.0, 1.0, None, None)(x)
    assert np.abs(values - by_hand).max() < 1e-14


@pytest.mark.parametrize(
    ("a", "b", "c"),
    [(1, 1000, 1), (1, -1000, 1), (1, 0, -1e6), (1e-6, 0, -1), (1, 1000, 1e6), (1, -1000, 1e6), (1, 1e8, 1), (1e-3, 1, 0)],
)
def test_extreme_damping_stays_in_range(a, b, c):
    y = exam_ode.exact(a, b, c, 0.0, 5.0, *((1.0, 0.0) if b * a >= 0 else (0.0, 1.0)), None)(np.linspace(0, 5, 1001))
    assert np.abs(y).max() == pytest.approx(1.0)


def test_a_thin_layer():
    """y'' + 1000 y' + y = 0 leaves y(0) within 1/1000 and then follows its slow root, -0.001."""
    y = exam_ode.exact(1.0, 1000.0, 1.0, 0.0, 5.0, 0.0, 1.0, None)
    slow = (-1000 + math.sqrt(1000**2 - 4)) / 2
    assert y(0.0) == 0
    assert y([1.0, 3.0]) == pytest.approx(np.exp(slow * np.array([-4.0, -2.0])), rel=1e-10)


def test_a_decaying_start_does_not_wake_the_growing_motion():
    y = exam_ode.exact(1.0, 0.0, -1e6, 0.0, 5.0, 1.0, None, -1000.0)(np.linspace(0, 5, 11))
    assert y == pytest.approx(np.exp(-1000 * np.linspace(0, 5, 11)))


@pytest.mark.parametrize("tiny", [1e-14, 1e-9, 1e-5])
@pytest.mark.parametrize("b", [0.0, 1.0, -1.0, 1e-3, 1e-9])
def test_a_vanishing_spring_is_the_limit(tiny, b):
    """y'' + b y' = f is approached linearly in c: no digits are lost in f / c."""
    x = np.linspace(0, 2, 21)
    soft, none = (exam_ode.exact(1.0, b, c, 3.0, 2.0, 1.0, -1.0, None)(x) for c in (tiny, 0.0))
    assert np.abs(soft - none).max() < 2 * tiny + 1e-11


@pytest.mark.parametrize("halves", [1, 3, 100])
@pytest.mark.parametrize("b", [0.0, 0.5])
@pytest.mark.parametrize("detuning", [0.0, 1e-13])
def test_resonance_is_refused(halves, b, detuning):
    c = (halves * math.pi) ** 2 + b**2 / 4
    with pytest.raises(
        ProblemError, match=rf"no solution, or more than one: .*, {halves} half swings of .* in length = 1\. Take"
    ) as info:
        exam_ode.exact(1.0, b, c * (1 + detuning), 0.0, 1.0, 1.0, None, None)
    length = float(str(info.value).split("such as ")[1].split(",")[0])
    assert np.isfinite(exam_ode.exact(1.0, b, c, 0.0, length, 1.0, None, None)(0.3))
    assert np.isfinite(exam_ode.exact(1.0, b, c, 0.0, 1.0, 1.0, None, 0.0)(0.3))


def test_wrong_use_is_refused():
    with pytest.raises(ProblemError, match="a = 0 leaves no y''"):
        exam_ode.exact(0.0, 1.0, 1.0, 0.0, 5.0, 1.0, None, None)
    with pytest.raises(ProblemError, match=r"`end` .* or `initial_slope` .*, not both"):
        exam_ode.problem(end=0.0, initial_slope=1.0)


def test_the_residual_is_the_equation():
    residual = exam_ode.problem(a=2.0, b=3.0, c=5.0, f=7.0).residual
    assert apply(residual, {"x": 0.5}, {"y": lambda x: x**3}) == pytest.approx(2 * 6 * 0.5 + 3 * 3 * 0.5**2 + 5 * 0.5**3 - 7)


@pytest.mark.parametrize("settings", [{}, {"b": 2.0}, {"f": 1.0, "end": 2.0}, {"initial_slope": 0.5}, {"c": 0.0, "length": 1.0}])
def test_the_problem_can_be_built(settings):
    assert isinstance(exam_ode.problem(**settings), pinn.Problem)
