"""Inverse problems: parameters to their true values from clean readings, and within their intervals from noisy ones."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares

import pinn
from pinn import d
from pinn.derivatives import sin
from pinn.exact import plan_exact
from pinn.families import Family
from pinn.features import Setup
from pinn.inverse import fitted
from pinn.loss import objective
from pinn.memory import forget_if_many
from pinn.uncertainty import assess

LINE = pinn.Interval(t=(0, 4))
TIMES = np.linspace(0, 4, 30)


def swing(k=2.0, c=0.3):
    """y'' + c y' + k y = 0, y(0) = 1, y'(0) = 0, in closed form."""
    w = np.sqrt(k - c**2 / 4)
    return np.exp(-c * TIMES / 2) * (np.cos(w * TIMES) + c / (2 * w) * np.sin(w * TIMES))


def oscillator(readings, **options):
    return pinn.Problem(
        fields="y",
        domain=LINE,
        residual=lambda y, t, k, c: d(y, t, t) + c * d(y, t) + k * y,
        conditions=[pinn.Data(t=TIMES, y=readings, **options)],
        parameters={"k": pinn.Parameter(1.0, positive=True), "c": pinn.Parameter(1.0, positive=True)},
    )


def identified(problem, bandwidth=2.0, width=40, key=0):
    """One fit and its assessment, without the search for features."""
    setup = Setup(problem, plan_exact(problem, None), (key,), jnp.dtype("float64"))
    family = Family(sin, (bandwidth,) * problem.domain.dimension)
    found = fitted(setup, family, width)
    goal = objective(problem, found.approximation, setup.exact)
    return found, assess(
        setup,
        goal,
        found.weights,
        family.scaled(1.1),
        int(1.5 * width),
        setup.exact,
        found.balance,
    )


def test_clean_readings_give_the_parameters():
    found, judged = identified(oscillator(swing()))
    assert abs(np.exp(float(found.weights.unknown["k"])) - 2.0) < 1e-6
    assert abs(np.exp(float(found.weights.unknown["c"])) - 0.3) < 1e-6
    assert judged.intervals["k"][0] <= 2.0 <= judged.intervals["k"][1]
    assert not judged.undetermined


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pinn.PinnWarning")
def test_a_network_finds_parameters_too():
    """And its error is estimated with the parameters that it found."""
    method = pinn.Phase(optax.adam(1e-3), steps=3)
    network = partial(pinn.MLP, width=6, depth=1)
    found = pinn.solve(oscillator(swing()), method=method, network=network, points=20, progress=False)
    assert set(found.parameters) == {"k", "c"}
    assert np.isfinite(found.error_estimate["y"]) and found.error_estimate["y"] > 1e-3


def covered(draws, **options):
    """How many of the intervals hold the true k and c, for readings with 1 % noise."""
    size, hits = 0.01 * np.sqrt(np.mean(swing() ** 2)), np.zeros(2, int)
    for i in range(draws):
        forget_if_many()  # as solve does
        noise = size * np.random.default_rng(i).normal(size=len(TIMES))
        _, judged = identified(oscillator(swing() + noise, **options))
        ends = judged.intervals
        hits += [ends["k"][0] <= 2.0 <= ends["k"][1], ends["c"][0] <= 0.3 <= ends["c"][1]]
        assert ends["k"][1] - ends["k"][0] < 0.1
    return hits


def test_intervals_hold_the_parameters():
    assert np.all(covered(3) >= 2)


@pytest.mark.slow
def test_intervals_hold_the_parameters_in_95_of_100_draws():
    assert np.all(covered(100) >= 90)


@pytest.mark.filterwarnings("ignore::pinn.PinnWarning")
def test_features_that_resolve_little_do_not_draw_parameters_away():
    """Michaelis' and Menten's kinetics, y' = -V y / (K + y), against SciPy: V = 1.65 solves smoothly, 1.2 is true."""
    times = np.linspace(0, 10, 40)

    def kinetics(parameters):
        rate, half = parameters
        return solve_ivp(lambda t, y: -rate * y / (half + y), (0, 10), [4.0], rtol=1e-9, atol=1e-11, t_eval=times).y[0]

    readings = kinetics([1.2, 0.6]) + 0.04 * np.random.default_rng(1).normal(size=40)
    best = least_squares(lambda parameters: kinetics(parameters) - readings, [1.2, 0.6])
    errors = np.sqrt(np.diag(np.linalg.inv(best.jac.T @ best.jac)) * 2 * best.cost / 38)
    line = pinn.Interval(t=(0, 10))
    problem = pinn.Problem(
        fields="y",
        domain=line,
        residual=lambda y, t, V, K: d(y, t) + V * y / (K + y),
        conditions=[pinn.Initial(y=4.0), pinn.Data(t=times, y=readings)],
        parameters={"V": pinn.Parameter(0.5), "K": pinn.Parameter(1.5)},
    )
    found, judged = identified(problem, bandwidth=1.0, width=200)
    assert found.balance.residual > 1e-3
    for name, value, error in zip("VK", best.x, errors, strict=True):
        assert abs(float(found.weights.unknown[name]) - value) < 2 * error
        assert judged.intervals[name][0] < value < judged.intervals[name][1]


def test_parameters_that_only_act_together_are_named():
    problem = pinn.Problem(
        fields="y",
        domain=LINE,
        residual=lambda y, t, a, b: d(y, t) + a * b * y,
        conditions=[pinn.Initial(y=1.0), pinn.Data(t=TIMES, y=np.exp(-0.5 * TIMES))],
        parameters={"a": pinn.Parameter(1.0, positive=True), "b": pinn.Parameter(1.0, positive=True)},
    )
    found, judged = identified(problem)
    assert abs(np.exp(sum(float(value) for value in found.weights.unknown.values())) - 0.5) < 1e-6
    assert judged.intervals == {"a": (0.0, np.inf), "b": (0.0, np.inf)}
    (sentence,) = judged.undetermined
    assert "'a' and 'b'" in sentence or "'a', 'b'" in sentence
    assert "only in combination" in sentence and "constants=" in sentence


@pytest.mark.slow
def test_an_unknown_in_a_boundary_condition():
    line = pinn.Interval(x=(0, 1))
    x = np.linspace(0.1, 0.6, 8)
    problem = pinn.Problem(
        fields="u",
        domain=line,
        residual=lambda u, x: d(u, x, x) + jnp.sin(x),
        conditions=[
            pinn.Dirichlet(u=0.0, on=line.at(x=0)),
            pinn.Dirichlet(u=lambda a: a, on=line.at(x=1)),
            pinn.Data(x=x, u=np.sin(x)),
        ],
        parameters={"a": pinn.Parameter(0.0)},
    )
    found, _ = identified(problem)
    assert abs(float(found.weights.unknown["a"]) - np.sin(1.0)) < 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("first", [12.0, 30.0])
def test_an_eigenfunction_that_is_normalised_by_an_integral(first):
    """-Δu = λ u, u = 0 around it, ∫ u² = 1: λ / π² = m² + n² / 2.25, and zero is where Newton would stay."""
    box = pinn.Box(x=(0, 1), y=(0, 1.5))
    problem = pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, x, y, lam: -pinn.laplacian(u, x, y) - lam * u,
        conditions=[pinn.Dirichlet(u=0.0, on=box.boundary), pinn.Integral(lambda u, x, y: u**2, equals=1.0)],
        parameters={"lam": pinn.Parameter(first)},
    )
    solution = pinn.solve(problem, time_limit=60, progress=False)
    modes = np.pi**2 * np.array([m**2 + n**2 / 2.25 for m in range(1, 9) for n in range(1, 9)])
    assert np.min(np.abs(solution.parameters["lam"] / modes - 1)) < 1e-10
    np.testing.assert_allclose(solution.integrate(lambda u, x, y: u**2), 1.0, rtol=1e-8)
    assert solution.trust is not pinn.Trust.UNKNOWN
