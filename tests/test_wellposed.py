"""Is one solution fixed? Against problems whose answer is known: eigenvalues, missing conditions, and mere amplification."""

import jax.numpy as jnp
import numpy as np
import pytest

import pinn
from pinn import Box, Condition, Dirichlet, Initial, InitialVelocity, Interval, Neumann, Periodic, Points, Problem, d, laplacian
from pinn.wellposed import message, stability
from problems import stokes

LINE, SQUARE, STRIP = Interval(x=(0, 1)), Box(x=(0, 1), y=(0, 1)), Box(t=(0, 1), x=(0, 1))
DISK = pinn.Disk(x=0.0, y=0.0, radius=1.0)


def on_line(residual, *conditions, line=LINE):
    return Problem(fields="u", domain=line, residual=residual, conditions=conditions)


def on_square(residual, *conditions):
    return Problem(fields="u", domain=SQUARE, residual=residual, conditions=conditions)


def in_time(residual, *conditions, t=(0, 1), x=(0, 1)):
    return Problem(fields="u", domain=Box(t=t, x=x), residual=residual, conditions=conditions)


def eigen(k2):
    return on_line(lambda u, x: d(u, x, x) + k2 * u + 1, Dirichlet(u=0.0, on=LINE.boundary))


def poisson(u, x, y):
    return laplacian(u, x, y) + 1


def heat(u, t, x):
    return d(u, t) - 0.4 * d(u, x, x)


def wave(u, t, x):
    return d(u, t, t) - d(u, x, x)


def flow(*more):
    box = Box(x=(-0.5, 1), y=(-0.5, 1.5))

    def navier_stokes(u, v, p, x, y):
        return (
            u * d(u, x) + v * d(u, y) + d(p, x) - laplacian(u, x, y) / 20,
            u * d(v, x) + v * d(v, y) + d(p, y) - laplacian(v, x, y) / 20,
            d(u, x) + d(v, y),
        )

    conditions = [Dirichlet(u=1.0, v=0.0, on=box.boundary), *more]
    return Problem(fields="u v p", domain=box, residual=navier_stokes, conditions=conditions)


def beam(*conditions):
    return on_line(lambda u, x: d(u, x, x, x, x) - 1, *conditions)


def free_end(x):
    return [Condition(lambda u, x: d(u, x, x), on=LINE.at(x=x)), Condition(lambda u, x: d(u, x, x, x), on=LINE.at(x=x))]


def growth(rate):
    return on_line(lambda u, x: d(u, x) - rate * u, Initial(u=1.0))


SIDES, NONE = Dirichlet(u=0.0, on=STRIP.at(x=(0, 1))), -1.0
ALL = Dirichlet(u=0.0, on=SQUARE.boundary)

# problem, and its smallest singular value in closed form (conditions met exactly) where there is one
FIRM = {
    "Poisson, Dirichlet": (lambda: eigen(0.0), np.pi**2),
    "Dirichlet and Neumann": (
        lambda: on_line(lambda u, x: d(u, x, x) + 1, Dirichlet(u=0.0, on=LINE.at(x=0)), Neumann(u=0.0, on=LINE.at(x=1))),
        np.pi**2 / 4,
    ),
    "initial value": (lambda: on_line(lambda u, x: d(u, x) + 1, Initial(u=0.0)), np.pi / 2),
    "near resonance": (lambda: eigen(9.5), np.pi**2 - 9.5),
    "Poisson 2D": (lambda: on_square(poisson, ALL), 2 * np.pi**2),
    "Helmholtz": (lambda: on_square(lambda u, x, y: poisson(u, x, y) + 19 * u, ALL), 2 * np.pi**2 - 19),
    "heat": (lambda: in_time(heat, Initial(u=0.0), SIDES), NONE),
    "wave": (lambda: in_time(wave, Initial(u=0.0), InitialVelocity(u=0.0), SIDES), NONE),
    "cantilever": (
        lambda: beam(Dirichlet(u=0.0, on=LINE.at(x=0)), Neumann(u=0.0, on=LINE.at(x=0)), *free_end(1)),
        1.8751040687**4,
    ),
    "Bratu": (lambda: on_line(lambda u, x: d(u, x, x) + jnp.exp(u), Dirichlet(u=0.0, on=LINE.boundary)), np.pi**2 - 1),
}

# well-posed, and hard in one way or another
SENSITIVE = {
    "growth 5": lambda: growth(5.0),
    "growth 10": lambda: growth(10.0),
    "growth 15": lambda: growth(15.0),
    "growth 20": lambda: growth(20.0),
    "growth 40": lambda: growth(40.0),
    "decay 10": lambda: growth(-10.0),
    "decay 100": lambda: growth(-100.0),
    "close to resonance": lambda: eigen(9.85),
    "very close to resonance": lambda: eigen(9.869),
    "second-order growth": lambda: on_line(lambda u, x: d(u, x, x) - 100 * u, Initial(u=1.0), InitialVelocity(u=0.0)),
    "layer": lambda: on_line(lambda u, x: -0.01 * d(u, x, x) + d(u, x) - 1, Dirichlet(u=0.0, on=LINE.boundary)),
    "oscillator": lambda: on_line(
        lambda u, t: d(u, t, t) + 8 * d(u, t) + 6400 * u,
        Initial(u=1.0),
        InitialVelocity(u=0.0),
        line=Interval(t=(0, 1)),
    ),
    "exam": lambda: on_line(
        lambda u, x: d(u, x, x) + d(u, x) + u,
        Dirichlet(u=1.0, on=Interval(x=(0, 5)).at(x=0)),
        Dirichlet(u=0.0, on=Interval(x=(0, 5)).at(x=5)),
        line=Interval(x=(0, 5)),
    ),
    "Lotka-Volterra": lambda: Problem(
        fields="x y",
        domain=Interval(t=(0, 10)),
        residual=lambda x, y, t: (d(x, t) - 1.5 * x + x * y, d(y, t) + 3 * y - x * y),
        conditions=[Initial(x=1.0, y=1.0)],
    ),
    "convection": lambda: in_time(lambda u, t, x: d(u, t) + 50 * d(u, x), Initial(u=0.0), Periodic("x"), x=(0, 2 * np.pi)),
    "Burgers": lambda: in_time(
        lambda u, t, x: d(u, t) + u * d(u, x) - 0.01 / jnp.pi * d(u, x, x),
        Initial(u=lambda x: -jnp.sin(jnp.pi * x)),
        Dirichlet(u=0.0, on=Box(t=(0, 1), x=(-1, 1)).at(x=(-1, 1))),
        x=(-1, 1),
    ),
    "Allen-Cahn": lambda: in_time(
        lambda u, t, x: d(u, t) - 1e-4 * d(u, x, x) + 5 * u**3 - 5 * u, Initial(u=0.0), Periodic("x"), x=(-1, 1)
    ),
    "Korteweg-de Vries": lambda: in_time(
        lambda u, t, x: d(u, t) + u * d(u, x) + 0.0025 * d(u, x, x, x), Initial(u=0.0), Periodic("x"), x=(-1, 1)
    ),
    "porous medium, nothing about zero": lambda: in_time(
        lambda u, t, x: d(u, t) - u * d(u, x, x) - d(u, x) ** 2, Initial(u=1.0), Dirichlet(u=1.0, on=STRIP.at(x=(0, 1)))
    ),
    "backward heat": lambda: in_time(heat, Dirichlet(u=0.0, on=STRIP.at(t=1)), SIDES),
    "pinned pressure": lambda: flow(Condition(lambda p: p, on=Points(x=[0.0], y=[0.0]))),
    "pressure in a corner": stokes.problem,
    "units far apart": lambda: Problem(
        fields="w s",
        domain=LINE,
        residual=lambda w, s, x: (d(w, x) - 1e9 * s, d(s, x) - 1),
        conditions=[Dirichlet(w=0.0, on=LINE.at(x=0)), Dirichlet(s=0.0, on=LINE.at(x=1))],
    ),
    "five dimensions": lambda: (
        lambda cube: Problem(
            fields="u",
            domain=cube,
            residual=lambda u, a, b, c, e, f: laplacian(u, a, b, c, e, f) + 1,
            conditions=[Dirichlet(u=0.0, on=cube.boundary)],
        )
    )(Box(a=(0, 1), b=(0, 1), c=(0, 1), e=(0, 1), f=(0, 1))),
}

# problem, what is left free, and what the advice names
BROKEN = {
    "second condition missing": (
        lambda: on_line(lambda u, x: d(u, x, x) + 1, Dirichlet(u=0.0, on=LINE.at(x=0))),
        "any multiple of x added to u",
        "on x = 1",
    ),
    "an end that hardly moves missing": (
        lambda: (
            lambda line: Problem(
                fields="y",
                domain=line,
                residual=lambda y, x: d(y, x, x) + d(y, x) + y,
                conditions=[Dirichlet(y=1.0, on=line.at(x=0))],
            )
        )(Interval(x=(0, 5))),
        "added to y",
        "on x = 5",
    ),
    "pure Neumann": (
        lambda: on_line(lambda u, x: d(u, x, x) + 1, Neumann(u=0.0, on=LINE.boundary)),
        "a constant added to u",
        "at one point",
    ),
    "pure Neumann 2D": (
        lambda: on_square(poisson, Neumann(u=0.0, on=SQUARE.boundary)),
        "a constant added to u",
        "at one point",
    ),
    "pure Neumann on a disk": (
        lambda: Problem(fields="u", domain=DISK, residual=poisson, conditions=[Neumann(u=-0.5, on=DISK.boundary)]),
        "a constant added to u",
        "at one point",
    ),
    "periodic Poisson": (lambda: on_square(poisson, Periodic("x"), Periodic("y")), "a constant added to u", "at one point"),
    "no condition": (lambda: on_line(lambda u, x: d(u, x) + 1), "a constant added to u", "at one point"),
    "resonance": (lambda: eigen(np.pi**2), "any multiple of sin(π x) added to u", "a resonance"),
    "heat without start": (lambda: in_time(heat, SIDES), "a function added to u, largest near t = 0.0", "on t = 0"),
    "faster heat without start": (lambda: in_time(lambda u, t, x: d(u, t) - d(u, x, x), SIDES), "a function added", "on t = 0"),
    "wave without velocity": (
        lambda: in_time(wave, Initial(u=0.0), SIDES),
        "any multiple of sin(π t) sin(π x) added to u",
        "velocity of u on t = 0",
    ),
    "one side free": (
        lambda: on_square(poisson, Dirichlet(u=0.0, on=SQUARE.at(x=(0, 1))), Dirichlet(u=0.0, on=SQUARE.at(y=0))),
        "a function added to u",
        "on y = 1",
    ),
    "pressure": (flow, "a constant added to p", "only differences"),
    "free beam": (lambda: beam(*free_end(0), *free_end(1)), "a constant added to u", "at one point"),
}


@pytest.mark.filterwarnings("ignore::pinn.errors.WellPosednessWarning")
@pytest.mark.parametrize("name", FIRM)
def test_well_posed_problems_have_the_singular_value_of_their_operator(name):
    make, exact = FIRM[name]
    found = stability(make())
    assert not found.ill_posed
    assert found.singular_values[0] >= 0.3
    if exact != NONE:  # conditions are weighted, not met: a little below
        assert 0.75 * exact < found.singular_values[0] < 1.01 * exact
    assert found.amplification == pytest.approx(1 / found.singular_values[0])


@pytest.mark.parametrize("name", SENSITIVE)
def test_sensitive_problems_are_not_warned_of(name):
    assert not stability(SENSITIVE[name]()).ill_posed


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("name", SENSITIVE)
def test_no_seed_gives_a_false_alarm(name, seed):
    assert not stability(SENSITIVE[name](), seed=seed).ill_posed


@pytest.mark.filterwarnings("ignore::pinn.errors.WellPosednessWarning")
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_not_fixed_is_found_and_named(name):
    make, description, advice = BROKEN[name]
    found = stability(make())
    assert found.ill_posed
    assert found.singular_values[0] < 1e-3
    assert description in found.description
    assert advice in found.advice
    assert (found.constant is None) == ("constant" not in description)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pinn.errors.WellPosednessWarning")
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("name", BROKEN)
def test_every_seed_finds_what_is_not_fixed(name, seed):
    assert stability(BROKEN[name][0](), seed=seed).ill_posed


def test_amplification_is_that_of_the_solution_operator():
    """u' = a u, u(0) = g: the largest ‖u‖ / sqrt(‖f‖² + 30² g²) is that of a matrix, from Gauss-Legendre integrals."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    x, w = (nodes + 1) / 2, weights / 2
    polynomials = [np.polynomial.Legendre.basis(n, domain=[0, 1]) for n in range(30)]
    size = [np.sqrt(2 * n + 1) for n in range(30)]
    rows = np.array([s * np.sqrt(w) * (p.deriv()(x) - 10 * p(x)) for s, p in zip(size, polynomials, strict=True)]).T
    start = np.array([[30 * s * p(0.0) for s, p in zip(size, polynomials, strict=True)]])
    smallest = np.linalg.svd(np.concatenate([rows, start]), compute_uv=False)[-1]
    assert stability(growth(10.0)).singular_values[0] == pytest.approx(smallest, rel=0.05)


@pytest.mark.filterwarnings("ignore::pinn.errors.WellPosednessWarning")
def test_the_null_function_can_be_called_and_satisfies_the_problem():
    found = stability(in_time(wave, Initial(u=0.0), SIDES))
    t, x = np.meshgrid(np.linspace(0, 1, 11), np.linspace(0, 1, 13))
    values = found.null(t=t, x=x)["u"]
    assert values.shape == t.shape
    assert np.allclose(values * np.sign(values[6, 5]), np.sin(np.pi * t) * np.sin(np.pi * x), atol=0.04)
    with pytest.raises(pinn.PinnError, match="needs the coordinates 't', 'x'; got 't'"):
        found.null(t=0.5)


def test_the_message_names_the_function_the_amplification_and_what_to_do():
    found = stability(flow())
    text = message(found)
    assert "Left free is a constant added to p: it satisfies every equation and condition with zero data" in text
    assert f"amplified by {found.amplification:.0e} or more" in text
    assert "Condition(lambda p: p, on=Points(x=[" in text
    assert found.constant == "p"


def test_equal_seeds_give_equal_results():
    one, two, other = (stability(eigen(9.85), seed=seed) for seed in (3, 3, 4))
    assert one.singular_values == two.singular_values and one.local == two.local
    assert one.singular_values != other.singular_values


def test_a_nonlinear_problem_can_be_linearised_about_a_given_function():
    """Bratu at its fold: about the upper end of the lower branch, u'' + λ eᵘ has a null function."""
    fold, top = 3.513830719125162, 1.1868421
    theta = np.arccosh(np.exp(top / 2))  # u = 2 log(cosh θ / cosh(θ (1 - 2x))), largest value 2 log cosh θ
    problem = on_line(lambda u, x: d(u, x, x) + fold * jnp.exp(u), Dirichlet(u=0.0, on=LINE.boundary))

    class Known:
        def values(self, weights, point):
            return 2 * jnp.log(jnp.cosh(theta) / jnp.cosh(theta * (1 - 2 * point))) * weights

    assert stability(problem, (Known(), jnp.asarray(0.0))).singular_values[0] == pytest.approx(np.pi**2 - fold, rel=0.15)
    assert stability(problem, (Known(), jnp.asarray(1.0))).singular_values[0] < 5e-3


def test_nothing_is_concluded_about_unknown_parameters():
    problem = Problem(
        fields="u",
        domain=LINE,
        residual=lambda u, x, k: k * d(u, x, x) + 1,
        parameters={"k": pinn.Parameter(0.0)},
        conditions=[Dirichlet(u=0.0, on=LINE.boundary), pinn.Data(x=[0.5], u=[0.1])],
    )
    assert not stability(problem).ill_posed


def test_a_problem_that_is_undefined_about_zero_and_one_is_left_alone():
    problem = on_line(lambda u, x: d(u, x, x) + jnp.sqrt(u - 5), Dirichlet(u=0.0, on=LINE.boundary))
    found = stability(problem)
    assert np.isnan(found.singular_values[0]) and not found.ill_posed
    assert "could not be linearised" in str(found)


@pytest.mark.parametrize("count", [5, 1.5, True])
def test_the_count_of_features_is_checked(count):
    with pytest.raises(pinn.PinnError, match="needs a whole number of features, at least 10"):
        stability(eigen(0.0), count=count)


def test_the_report_is_a_table():
    report = on_line(lambda u, x: d(u, x, x) + 9.5 * u + 1, Dirichlet(u=0.0, on=LINE.at(x=(0, 1)))).check()
    sigma = report.stability.singular_values[0]
    assert str(report) == "\n".join(
        [
            "problem: u(x) on Interval(x=(0, 1))",
            "",
            "term                             residual  reads    size",
            "equation                         [n, 1]    u, u_xx  1",
            "Dirichlet u = 0 on x = 0, x = 1  [2, 1]    u        1",
            "",
            "conditions in  needed  given",
            "x              2       2",
            "",
            f"smallest singular value {sigma:.2g}: disturbances are amplified by up to {1 / sigma:.2g}",
        ]
    )
    assert report.faults == () and [c.needed for c in report.counts] == [2]


@pytest.mark.filterwarnings("ignore::pinn.errors.WellPosednessWarning")
def test_the_report_says_what_is_missing():
    problem = in_time(wave, Initial(u=0.0), SIDES)
    report = pinn.check(problem)
    count, function = report.faults
    assert "need 2 conditions in t" in count and "InitialVelocity" in function
    assert f"Warning: {function}" in str(report)
    with pytest.raises(pinn.PinnError, match=r"check\(\) needs a pinn.Problem"):
        pinn.check(3)
