"""Integrals against calculus: values, Leibniz' rule, rules of quadrature, conditions, and equations with known solutions."""

from math import pi

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import dblquad, quad

import pinn
from pinn import Ball, Box, Disk, Ellipse, Interval, apply, at, d, integral
from pinn.derivatives import sin
from pinn.errors import ProblemError, ResidualError
from pinn.exact import plan_exact
from pinn.families import Family
from pinn.features import Setup, fit
from pinn.integrals import rule
from pinn.loss import field_values, objective

Y = {"y": lambda x: jnp.exp(x) * jnp.cos(3 * x)}
U = {"u": lambda x, y: jnp.exp(x * y) + x}


def y(x: float) -> float:
    return np.exp(x) * np.cos(3 * x)


def solved(problem: pinn.Problem, bandwidth: float, width: int, points: np.ndarray) -> np.ndarray:
    """One least-squares fit of the fields, [n, F]."""
    setup = Setup(problem, plan_exact(problem, None), (0,), jnp.float64)
    found = fit(setup, Family(sin, (bandwidth,) * problem.domain.dimension), width)
    return np.asarray(field_values(objective(problem, found.approximation, setup.exact), found.weights, jnp.asarray(points)))


# --- the operator


def test_integrals_along_a_coordinate():
    def weighted(y, x):
        return x**2 * y + d(y, x)

    def memory(y, x, now):
        return jnp.exp(x - now) * y

    def twice(y, x):
        return integral(y, x, 0, x)

    def back(y, x):
        return at(y, x=-x)

    def residual(y, x, c):
        return {
            "running": integral(y, x, 0, x),
            "of a function": integral(weighted, x, -1, 2 * x),
            "kernel": integral(memory, x, 0, x, now=x),
            "of an integral": integral(twice, x, 0, 1),
            "of a field elsewhere": integral(back, x, 0, c * x),
        }

    found = apply(residual, {"x": 0.7}, Y, c=3.0)
    expected = {
        "running": quad(y, 0, 0.7)[0],
        "of a function": quad(lambda s: s**2 * y(s), -1, 1.4)[0] + y(1.4) - y(-1),
        "kernel": quad(lambda s: np.exp(s - 0.7) * y(s), 0, 0.7)[0],
        "of an integral": quad(lambda s: (1 - s) * y(s), 0, 1)[0],
        "of a field elsewhere": quad(lambda s: y(-s), 0, 2.1)[0],
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-12), name


def test_derivatives_of_integrals_follow_leibniz():
    def square(u, x, y):
        return u**2

    def residual(u, x, y):
        return {
            "end": d(integral(u, x, 0, x), x),
            "inside": d(integral(square, x, 0, 1), y),
            "both": d(integral(u, x, y, x * y), y),
            "not at all": d(integral(u, x, 0, 1), x),
            "twice": d(integral(u, x, 0, x), x, y),
        }

    a, b = 0.6, 1.3
    found = apply(residual, {"x": a, "y": b}, U)
    value = lambda s, t=b: np.exp(s * t) + s  # noqa: E731
    assert found["end"] == pytest.approx(value(a), rel=1e-12)
    assert found["inside"] == pytest.approx(quad(lambda s: 2 * value(s) * s * np.exp(s * b), 0, 1)[0], rel=1e-12)
    inner = quad(lambda s: s * np.exp(s * b), b, a * b)[0]
    assert found["both"] == pytest.approx(inner + a * value(a * b) - value(b), rel=1e-12)
    assert abs(found["not at all"]) < 1e-12 and found["twice"] == pytest.approx(a * np.exp(a * b), rel=1e-12)


def test_fixed_limits_ask_for_no_further_derivatives():
    square = Box(x=(0, 1), y=(0, 1))

    def residual(u, x, y):
        return d(integral(u, x, 0, 1), y) + u

    problem = pinn.Problem(fields="u", domain=square, residual=residual, conditions=[pinn.Dirichlet(u=0.0, on=square.at(y=0))])
    assert problem.orders == {"u": (0, 1)} and problem.is_linear


@pytest.mark.parametrize(
    ("residual", "message"),
    [
        (lambda y, x: integral(y, x, 0, y), r"integral\(\) has such a limit. It may depend on coordinates"),
        (lambda y, x: integral(lambda y: x * y, x, 0, 1), r"takes 'x' from the residual around it, so integral\(\) .* now=x\)"),
        (lambda y, x: integral(y, 2 * x, 0, 1), r"integral\(\): the second argument must be one of the coordinates 'x'"),
        (lambda y, x: integral(y, x, 0, 1, nodes=7), r"integral\(nodes=...\) needs an even number of nodes; got 7"),
        (lambda y, x: integral(y, x, 0, 1, c=2 * x), r"integral\(c=...\)\(\): the second argument must be one of"),
        (lambda y, x: integral(y, x, jnp.zeros(2), 1), r"integral\(\): lower must be one number"),
        (lambda y, x: integral(y * 2, x, 0, 1), r"integral\(\) takes a field \(u\), a derivative of one"),
        (lambda y, x: integral(lambda y: jnp.stack([y, y]), x, 0, 1), r"a function that returns one number; .* shape \(2,\)"),
    ],
)
def test_wrong_integrals_are_refused(residual, message):
    with pytest.raises(ResidualError, match=message):
        apply(residual, {"x": 0.5}, Y)


def test_a_coarse_rule_shows_in_the_residual_held_out():
    """∫₀¹ cos(80 s) y(s) ds with 32 nodes is wrong, and each point has its own rule, so that no function satisfies all."""
    line = Interval(x=(0, 1))
    problem = pinn.Problem(
        fields="y",
        domain=line,
        residual=lambda y, x: y - x - integral(lambda y, x: jnp.cos(160 * x) * y, x, 0, 1),
        conditions=[],
    )
    setup = Setup(problem, plan_exact(problem, None), (0,), jnp.float64)
    assert fit(setup, Family(sin, (3.0,)), 40).held_out > 1e-3


# --- rules over domains


@pytest.mark.parametrize(
    ("domain", "error"),
    [
        (Interval(x=(0, 2)), 1e-13),
        (Box(x=(0, 2), y=(0, 1)), 1e-13),
        (Ball(x=0, y=0, z=1, radius=0.7), 1e-5),
        (Disk(x=1, y=0, radius=1), 1e-10),
        (Ellipse(x=1, y=0, radii=(1, 0.3), angle=0.4), 1e-10),
        (Disk(x=1, y=0, radius=1) * Interval(t=(0, 1)), 1e-5),
        (Box(x=(0, 2), y=(0, 1)) - Disk(x=1, y=0.5, radius=0.2), 1e-3),
    ],
    ids=repr,
)
def test_rules_over_domains(domain, error):
    """∫ eˣ against adaptive quadrature over the domain, or closed forms of it."""
    places, weights = rule(domain, (0,))
    assert weights.sum() == pytest.approx(domain.measure, rel=1e-12) and domain.contains(places, 1e-12).all()
    x = places[:, 0]
    assert not np.array_equal(places, rule(domain, (1,))[0])
    assert weights @ np.exp(x) == pytest.approx(_exponential(domain), rel=error)


def _exponential(domain: pinn.Domain) -> float:
    if isinstance(domain, Box):
        return (np.exp(2) - 1) * domain.measure / 2
    if "z" in domain.coordinates:
        return quad(lambda x: np.exp(x) * pi * (0.49 - x**2), -0.7, 0.7)[0]
    if isinstance(domain, Ellipse):
        (a, b), reach = domain.radii, np.hypot(np.cos(0.4), 0.3 * np.sin(0.4))
        return quad(lambda s: 2 * a * b * np.sqrt(1 - s**2) * np.exp(1 + reach * s), -1, 1)[0]
    if "t" in domain.coordinates or isinstance(domain, Disk):
        return dblquad(lambda y, x: np.exp(x), 0, 2, lambda x: -np.sqrt(1 - (x - 1) ** 2), lambda x: np.sqrt(1 - (x - 1) ** 2))[0]
    hole = quad(lambda s: 2 * np.sqrt(0.04 - s**2) * np.exp(1 + s), -0.2, 0.2)[0]
    return np.exp(2) - 1 - hole


# --- conditions


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (lambda: pinn.Integral(1.0), "needs a function of fields and coordinates, such as lambda u: u; got 1.0"),
        (lambda: pinn.Integral(lambda u: u, over=("x",)), r"Integral\(over=...\) needs the name of one coordinate"),
        (lambda: pinn.Integral(lambda u: u, equals="0"), r"Integral\(equals=...\) needs a number or a function"),
        (lambda: pinn.Integral(lambda u: u, over="z"), "over z = 0: the coordinates are 'x', 'y', 't'"),
        (lambda: pinn.Integral(lambda u: u, over="x"), "how far x reaches in .* depends on the other coordinates"),
        (
            lambda: pinn.Integral(lambda u: u, equals=lambda t: t, over="t"),
            "asks for 't', which the integral does not leave",
        ),
        (lambda: pinn.Integral(lambda u: u, equals=lambda x: x), "asks for 'x', which the integral does not leave free"),
        (lambda: pinn.Integral(lambda u: u, equals=lambda q: q), "the value asks for 'q'"),
    ],
)
def test_wrong_conditions_say_what_to_do(condition, message):
    domain = Disk(x=0, y=0, radius=1) * Interval(t=(0, 1))
    with pytest.raises(ProblemError, match=message):
        pinn.Problem(fields="u", domain=domain, residual=lambda u, t: d(u, t) + u, conditions=[condition()])


def gauged(domain: pinn.Domain, fixed: list) -> pinn.Problem:
    """Δu = 6 x y² + 2 x³ with the slopes of x³ y²."""
    return pinn.Problem(
        fields="u",
        domain=domain,
        residual=lambda u, x, y: pinn.laplacian(u, x, y) - 6 * x * y**2 - 2 * x**3,
        conditions=[
            pinn.Neumann(u=lambda x, y, normal: normal @ jnp.stack([3 * x**2 * y**2, 2 * x**3 * y]), on=domain.boundary),
            *fixed,
        ],
    )


@pytest.mark.slow
def test_a_mean_fixes_what_slopes_leave_free():
    box = Box(x=(0, 1), y=(0, 1))
    mean = pinn.Integral(lambda u, x: u + x, equals=1 / 12 + 0.5)
    assert pinn.stability(gauged(box, [])).ill_posed
    report = gauged(box, [mean]).check()
    assert not report.faults and not report.stability.ill_posed and "Integral of <lambda> = 0.583333" in str(report)
    points = np.random.default_rng(0).uniform(size=(50, 2))
    found = solved(gauged(box, [mean]), 2.0, 150, points)[:, 0]
    np.testing.assert_allclose(found, points[:, 0] ** 3 * points[:, 1] ** 2, atol=1e-5)


def test_a_nonlinear_integral_and_a_free_coordinate():
    """u_xx = 0 with u = 2 at x = 0: u = 2 + c(t) x, and ∫₀¹ u²/2 dx = 2 + c + c²/6 = 3 + t gives c = √(15 + 6 t) - 3."""
    box = Box(x=(0, 1), t=(0, 1))
    problem = pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, x: d(u, x, x),
        conditions=[
            pinn.Dirichlet(u=2.0, on=box.at(x=0)),
            pinn.Integral(lambda u: u**2 / 2, equals=lambda t: 3 + t, over="x", name="energy"),
        ],
    )
    assert not problem.is_linear and problem.terms[2].name == "energy"
    x, t = np.random.default_rng(0).uniform(size=(2, 50))
    found = solved(problem, 2.0, 60, np.stack([x, t], axis=1))[:, 0]
    np.testing.assert_allclose(found, 2 + (np.sqrt(15 + 6 * t) - 3) * x, atol=1e-3)


def test_a_volterra_equation():
    """y' = 1 - ∫₀ˣ y: y = sin x, by one linear solve; the second kind y = x + ∫₀ˣ (s - x) y(s) ds has the same solution."""
    line, xs = Interval(x=(0, 3)), np.linspace(0, 3, 40)[:, None]
    first = pinn.Problem(
        fields="y",
        domain=line,
        residual=lambda y, x: d(y, x) + integral(y, x, 0, x) - 1,
        conditions=[pinn.Initial(y=0.0)],
    )
    second = pinn.Problem(
        fields="y",
        domain=line,
        residual=lambda y, x: y - x - integral(lambda y, x, now: (x - now) * y, x, 0, x, now=x),
        conditions=[],
    )
    for problem in (first, second):
        assert problem.is_linear
        np.testing.assert_allclose(solved(problem, 3.0, 40, xs), np.sin(xs), atol=1e-9)


@pytest.mark.slow
def test_a_gradient_method_and_the_errors_of_an_integral():
    """y' = c, ∫₀¹ y = 1, y(0) = 0 with c unknown: c = 2."""
    line = Interval(x=(0, 1))
    problem = pinn.Problem(
        fields="y",
        domain=line,
        residual=lambda y, x, c: d(y, x) - c,
        conditions=[pinn.Initial(y=0.0), pinn.Integral(lambda y: y, equals=1.0)],
        parameters={"c": pinn.Parameter(1.0)},
        reference=lambda x: 2 * x,
    )
    phase = pinn.Phase(pinn.gauss_newton(), steps=15)
    solution = pinn.solve(problem, method=phase, network=lambda *a, **k: pinn.MLP(*a, width=6, depth=1, **k), progress=False)
    report = solution.errors()
    assert abs(solution.parameters["c"] - 2) < 1e-6 and report.conditions["Integral of <lambda> = 1"] < 1e-6
    assert report.fields["y"].relative_l2 < 1e-6
