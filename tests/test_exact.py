"""Conditions met by construction hold for every network, to rounding; those that cannot be are left, with the reason."""

import re
from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_network, residuals_at

import pinn
from pinn import d, laplacian, nested_jvp
from pinn.exact import plan_exact

LINE = pinn.Interval(x=(0, 5))
TIME = pinn.Interval(t=(1, 4))
TX = pinn.Box(t=(0, 2), x=(-1, 1))
XT = pinn.Box(x=(-1, 1), t=(0, 2))
SQUARE = pinn.Box(x=(0, 2), y=(0, 1))
LOWER_HALF = pinn.Box(x=(0, 2), y=(0, 0.5))
CUBE = pinn.Box(t=(0, 1), x=(0, 2), y=(0, 1))
WALLS = TX.at(x=(-1, 1))

pytestmark = pytest.mark.filterwarnings("ignore::pinn.WellPosednessWarning")


def oscillator(y, x):
    return d(y, x, x) + d(y, x) + y


def heat(u, t, x):
    return d(u, t) - d(u, x, x)


def burgers(u, t, x):
    return d(u, t) + u * d(u, x) - 0.01 * d(u, x, x)


def wave(u, t, x):
    return d(u, t, t) - d(u, x, x)


def kdv(u, t, x):
    return d(u, t) + u * d(u, x) + 0.0025 * d(u, x, x, x)


def laplace(u, x, y):
    return laplacian(u, x, y)


def problem(domain, residual, *conditions, fields="u", **options):
    return pinn.Problem(fields=fields, domain=domain, residual=residual, conditions=conditions, **options)


def harmonic(x, y):
    return x**2 - y**2 + jnp.sin(x) * jnp.exp(y)


MET = {
    "the exam's boundary-value problem": lambda: problem(
        LINE, oscillator, pinn.Dirichlet(y=1.0, on=LINE.at(x=0)), pinn.Dirichlet(y=0.5, on=LINE.at(x=5)), fields="y"
    ),
    "an initial-value problem": lambda: problem(
        TIME, lambda y, t: d(y, t, t) + y**3, pinn.InitialVelocity(y=-0.5), pinn.Initial(y=2.0), fields="y"
    ),
    "first order": lambda: problem(TIME, lambda y, t: d(y, t) + y, pinn.Initial(y=2.0), fields="y"),
    "from the upper end": lambda: problem(
        LINE, lambda y, x: d(y, x) + y, pinn.Dirichlet(y=lambda x: x / 2, on=LINE.at(x=5)), fields="y"
    ),
    "burgers": lambda: problem(TX, burgers, pinn.Initial(u=lambda x: -jnp.sin(jnp.pi * x)), pinn.Dirichlet(u=0.0, on=WALLS)),
    "walls that move": lambda: problem(
        XT,
        lambda u, x, t: heat(u, t, x),
        pinn.Initial(u=lambda x, a: jnp.cos(a * x)),
        pinn.Dirichlet(u=lambda t, a: jnp.cos(a) * jnp.exp(-t), on=XT.at(x=-1)),
        pinn.Dirichlet(u=lambda t, a: jnp.cos(a) + jnp.sin(t), on=XT.at(x=1)),
        constants={"a": 1.3},
    ),
    "heat, four sides": lambda: problem(
        SQUARE,
        laplace,
        pinn.Dirichlet(u=lambda y: harmonic(0.0, y), on=SQUARE.at(x=0)),
        pinn.Dirichlet(u=lambda y: harmonic(2.0, y), on=SQUARE.at(x=2)),
        pinn.Dirichlet(u=lambda x, y: harmonic(x, y), on=SQUARE.at(y=(0, 1))),
    ),
    "heat, four sides and a start": lambda: problem(
        CUBE,
        lambda u, t, x, y: d(u, t) - laplacian(u, x, y),
        pinn.Dirichlet(u=lambda t, x, y: (1 - t) * x * y, on=CUBE.boundary),
        pinn.Initial(u=lambda x, y: x * y * (1 + (1 - y) * (2 - x))),
    ),
    "wave": lambda: problem(
        TX,
        wave,
        pinn.Initial(u=lambda x: jnp.cos(jnp.pi * x / 2)),
        pinn.InitialVelocity(u=lambda x: 1 - x**2),
        pinn.Dirichlet(u=lambda t: t**2, on=WALLS),
    ),
    "wave, space first": lambda: problem(
        XT,
        lambda u, x, t: wave(u, t, x),
        pinn.Initial(u=lambda x: jnp.cos(jnp.pi * x / 2)),
        pinn.InitialVelocity(u=lambda x: 1 + x),
        pinn.Dirichlet(u=lambda t: t**2, on=XT.at(x=-1)),
        pinn.Dirichlet(u=lambda t: 2 * jnp.sin(t), on=XT.at(x=1)),
    ),
    "korteweg-de vries, periodic": lambda: problem(TX, kdv, pinn.Initial(u=lambda x: jnp.cos(jnp.pi * x)), pinn.Periodic("x")),
    "periodic both ways": lambda: problem(SQUARE, lambda u, x, y: laplacian(u, x, y) - u, pinn.Periodic("x"), pinn.Periodic("y")),
    "two fields": lambda: problem(
        TX,
        lambda u, v, t, x: (d(u, t) - v, d(v, t) - d(u, x, x)),
        pinn.Initial(u=lambda x: 1 - x**2, v=1.0),
        pinn.Dirichlet(u=0.0, on=WALLS),
        fields="u v",
    ),
}


SLOW = "heat, four sides and a start", "wave, space first"


@cache
def known(name: str) -> pinn.Problem:
    """One problem for all tests, so that what may be met of it is found out once."""
    return MET[name]()


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in MET])
def test_what_is_met_holds_for_a_random_network(name):
    made = known(name)
    goal, weights = random_network(made, exact=True)
    assert set(goal.exact.met) == {term.name for term in made.terms[1:]} and not goal.exact.left
    misfits = residuals_at(replace(goal, terms=goal.terms[1:]), weights, 30)
    assert len(misfits) == len(made.terms) - 1
    for values in misfits.values():
        assert values.shape[0] >= 1 and np.abs(values).max() < 1e-12


LEFT = {
    # problem, names of what is met, and why the other is not
    "a flat lid": (
        lambda: problem(
            SQUARE,
            laplace,
            pinn.Dirichlet(u=0.0, on=SQUARE.at(x=(0, 2)) + SQUARE.at(y=0), name="walls"),
            pinn.Dirichlet(u=1.0, on=SQUARE.at(y=1), name="lid"),
        ),
        [],
        dict.fromkeys(("walls", "lid"), r"the solution is singular where it meets another condition"),
    ),
    "a start that the walls contradict": (
        lambda: problem(
            TX, heat, pinn.Initial(u=1.0, name="start"), pinn.Dirichlet(u=0.0, on=TX.at(x=(-1, 1)), name="walls")
        ),
        [],
        dict.fromkeys(("walls", "start"), r"the solution is singular where it meets another condition"),
    ),
    "a velocity that the walls contradict": (
        lambda: problem(
            TX,
            wave,
            pinn.Initial(u=0.0, name="start"),
            pinn.InitialVelocity(u=0.0, name="velocity"),
            pinn.Dirichlet(u=lambda t: jnp.sin(t), on=WALLS, name="walls"),
        ),
        ["walls", "start"],
        {"velocity": r"disagrees with another condition where the faces meet"},
    ),
    "a velocity that the walls contradict, space first": (
        lambda: problem(
            XT,
            lambda u, x, t: wave(u, t, x),
            pinn.Initial(u=0.0, name="start"),
            pinn.InitialVelocity(u=0.0, name="velocity"),
            pinn.Dirichlet(u=lambda t: jnp.sin(t), on=XT.at(x=(-1, 1)), name="walls"),
        ),
        ["walls", "start"],
        {"velocity": r"disagrees with another condition where the faces meet"},
    ),
    "a start that is periodic in value and slope only": (
        lambda: problem(TX, kdv, pinn.Initial(u=lambda x: (1 - x**2) ** 2, name="start"), pinn.Periodic("x", name="round")),
        ["round"],
        {"start": r"its value is not periodic in x with its derivatives"},
    ),
    "a start with a kink where the ends meet": (
        lambda: problem(
            TX, kdv, pinn.Initial(u=lambda x: x**2 * jnp.cos(jnp.pi * x), name="start"), pinn.Periodic("x", name="round")
        ),
        ["round"],
        {"start": r"its value is not periodic in x with its derivatives"},
    ),
    "the same of a diffusion": (
        lambda: problem(
            TX, heat, pinn.Initial(u=lambda x: x**2 * jnp.cos(jnp.pi * x), name="start"), pinn.Periodic("x", name="round")
        ),
        [],
        dict.fromkeys(("start", "round"), r"the solution is singular"),
    ),
    "a value pinned on a periodic coordinate": (
        lambda: problem(
            SQUARE,
            laplace,
            pinn.Periodic("x", name="round"),
            pinn.Dirichlet(u=0.0, on=SQUARE.at(x=0), name="pin"),
            pinn.Dirichlet(u=0.0, on=SQUARE.at(y=(0, 1)), name="walls"),
        ),
        ["round", "walls"],
        {"pin": r"periodic in x"},
    ),
    "a kink": (
        lambda: problem(SQUARE, laplace, pinn.Dirichlet(u=lambda y: jnp.abs(y - 0.3123), on=SQUARE.at(x=0), name="kinked")),
        [],
        {"kinked": r"its value has a kink or jump along y"},
    ),
    "a small kink": (
        lambda: problem(
            SQUARE, laplace, pinn.Dirichlet(u=lambda y: y + 0.01 * jnp.abs(y - 0.7), on=SQUARE.at(x=0), name="kinked")
        ),
        [],
        {"kinked": r"its value has a kink or jump along y"},
    ),
    "a jump": (
        lambda: problem(SQUARE, laplace, pinn.Dirichlet(u=lambda y: jnp.where(y > 0.3, 1, 0), on=SQUARE.at(x=0), name="step")),
        [],
        {"step": r"its value has a kink or jump along y"},
    ),
    "a root": (
        lambda: problem(SQUARE, laplace, pinn.Dirichlet(u=lambda y: jnp.sqrt(y), on=SQUARE.at(x=0), name="root")),
        [],
        {"root": r"its value has a kink or jump along y"},
    ),
    "a part of a face": (
        lambda: problem(
            SQUARE,
            laplace,
            pinn.Dirichlet(u=0.0, on=SQUARE.at(x=0, where=lambda y: y > 0.5), name="part"),
            pinn.Dirichlet(u=0.0, on=SQUARE.at(x=2), name="whole"),
        ),
        [],
        {"part": r"it is given on part of a face", "whole": r"the solution is singular where it meets another condition"},
    ),
    "a part of a face, by a smaller box": (
        lambda: problem(
            SQUARE,
            laplace,
            pinn.Dirichlet(u=0.0, on=LOWER_HALF.at(x=0), name="part"),
            pinn.Dirichlet(u=0.0, on=SQUARE.at(x=2), name="whole"),
        ),
        ["whole"],
        {"part": r"it is given on part of a face"},
    ),
    "slopes and flows": (
        lambda: problem(
            SQUARE,
            laplace,
            pinn.Dirichlet(u=0.0, on=SQUARE.at(x=0), name="value"),
            pinn.Neumann(u=0.0, on=SQUARE.at(x=2), name="slope"),
            pinn.Robin(u=(1.0, 1.0, 0.0), on=SQUARE.at(y=0), name="flow"),
            pinn.Condition(lambda u, x: u - x, on=SQUARE.at(y=1), name="own"),
        ),
        ["value"],
        dict.fromkeys(["slope", "flow", "own"], r"it is no given value"),
    ),
    "a value of the normal": (
        lambda: problem(SQUARE, laplace, pinn.Dirichlet(u=lambda normal: normal[0], on=SQUARE.at(x=(0, 2)), name="sides")),
        [],
        {"sides": r"its value asks for the normal"},
    ),
    "a value of an unknown": (
        lambda: problem(
            TX, heat, pinn.Initial(u=lambda x, a: a * x, name="start"), parameters={"a": pinn.Parameter(1.0)}
        ),
        [],
        {"start": r"its value asks for an unknown parameter"},
    ),
    "a velocity without a value": (
        lambda: problem(TX, wave, pinn.InitialVelocity(u=0.0, name="velocity")),
        [],
        {"velocity": r"it is not given together with the value"},
    ),
    "a velocity and a final value": (
        lambda: problem(
            TX,
            wave,
            pinn.Initial(u=0.0, name="start"),
            pinn.InitialVelocity(u=0.0, name="velocity"),
            pinn.Dirichlet(u=1.0, on=TX.at(t=2), name="end"),
        ),
        ["end", "start"],
        {"velocity": r"it is not given together with the value"},
    ),
    "a field of fewer coordinates": (
        lambda: problem(
            TX,
            lambda u, k, t, x: (d(u, t) - k * d(u, x, x), d(k, x)),
            pinn.Initial(u=lambda x: x, name="start"),
            pinn.Dirichlet(k=1.0, on=TX.at(x=-1), name="known"),
            fields={"u": "t x", "k": "x"},
        ),
        ["start"],
        {"known": r"its field depends on fewer coordinates"},
    ),
    "one field of two is periodic": (
        lambda: problem(
            TX,
            lambda u, v, t, x: (d(u, t) - d(v, x, x), d(v, t) - d(u, x, x)),
            pinn.Periodic("x", fields="u", name="round"),
            fields="u v",
        ),
        [],
        {"round": r"v is not periodic"},
    ),
    "no box": (
        lambda: problem(
            pinn.Disk(x=0, y=0, radius=1),
            laplace,
            pinn.Dirichlet(u=0.0, on=pinn.Disk(x=0, y=0, radius=1).boundary, name="rim"),
        ),
        [],
        {"rim": r"the domain is no box"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT)
def test_what_cannot_be_met_is_left_with_the_reason(name):
    build, met, left = LEFT[name]
    exact = plan_exact(build(), None)
    assert sorted(exact.met) == sorted(met)
    assert exact.left.keys() == left.keys()
    for term, reason in left.items():
        assert re.search(reason, exact.left[term]), exact.left[term]


def test_later_slabs_are_periodic_where_the_first_one_begins_with_a_kink():
    exact = plan_exact(LEFT["the same of a diffusion"][0](), None)
    later = exact.started(0, ["start"])
    assert exact.periodic == (False, False) and later.periodic == (False, True)
    assert set(later.met) == {"round", "start"} and not later.lifts("u")


@pytest.mark.parametrize(
    "name", ["a flat lid", "a velocity that the walls contradict", "a value pinned on a periodic coordinate"]
)
def test_what_is_said_to_be_met_is_met(name):
    """Whatever is left, the claims about the rest are true, and what is left is still in the loss."""
    goal, weights = random_network(LEFT[name][0]())
    misfits = residuals_at(replace(goal, terms=goal.terms[1:]), weights, 30)
    for term in goal.exact.met:
        assert np.abs(misfits[term]).max() < 1e-12
    assert all(np.abs(misfits[term]).max() > 1e-2 for term in goal.exact.left)


def test_nothing_is_met_where_that_is_not_wanted():
    made = known("burgers")
    exact = plan_exact(made, False)
    assert not exact.met and set(exact.left.values()) == {"exact_conditions=False"} and len(exact.left) == 2
    assert exact.factor("u", jnp.array([0.3, 0.4])) == 1.0
    goal, weights = random_network(made, exact=False)
    assert all(np.abs(values).max() > 1e-2 for values in residuals_at(goal, weights).values())


def test_the_plan_does_not_look_at_the_solution():
    """The same decisions whether a reference is given or not, and the same again."""
    solved = problem(TX, heat, pinn.Initial(u=0.0), pinn.Dirichlet(u=0.0, on=WALLS), reference=lambda t, x: 0 * x)
    assert plan_exact(solved, None) is plan_exact(solved, None)
    assert plan_exact(solved, None).met == plan_exact(problem(TX, heat, *solved.conditions), None).met


# --- the two parts: what is given, and what vanishes there


def test_a_given_function_is_traced_once_however_many_faces_it_is_given_on():
    """Written out for the faces of a box in space it would be 26 times, and a flow in space would compile for minutes."""
    space, calls = pinn.Box(x=(0, 1), y=(0, 2), z=(-1, 1)), []

    def given(x, y, z):
        calls.append(None)
        return jnp.exp(x) * jnp.sin(y + z)

    exact = plan_exact(problem(space, lambda u, x, y, z: laplacian(u, x, y, z), pinn.Dirichlet(u=given, on=space.boundary)), None)
    calls.clear()
    lift = jax.jit(lambda p: exact.values("u", p, {}))
    corner, edge, face = jnp.array([1.0, 0, -1]), jnp.array([0.3, 2, 1]), jnp.array([0.3, 1.1, 1])
    for point in (corner, edge, face):
        np.testing.assert_allclose(lift(point), given(*point)[None], rtol=1e-14)
    assert len(calls) == 1 + 3


def test_four_sides_of_a_bilinear_function_give_it_back():
    """Transfinite interpolation reproduces every f(x) + g(y) and f(x) y + g(y) x from its values on the four sides."""

    def field(x, y):
        return jnp.sin(x) * y + jnp.exp(y) * x + 3 * x * y - jnp.cos(2 * y)

    made = problem(SQUARE, laplace, pinn.Dirichlet(u=lambda x, y: field(x, y), on=SQUARE.boundary))
    exact = plan_exact(made, True)
    points = np.random.default_rng(0).uniform([0, 0], [2, 1], (20, 2))
    found = jax.vmap(lambda p: exact.values(("u",), p, {}))(jnp.asarray(points))[:, 0]
    np.testing.assert_allclose(found, field(*points.T), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("the exam's boundary-value problem", lambda x: 4 * (x / 5) * (1 - x / 5)),
        ("an initial-value problem", lambda t: ((t - 1) / 3) ** 2),
        ("first order", lambda t: (t - 1) / 3),
        ("from the upper end", lambda x: 1 - x / 5),
        ("burgers", lambda t, x: t / 2 * (1 + x) * (1 - x)),
        ("korteweg-de vries, periodic", lambda t, x: t / 2 + 0 * x),
    ],
)
def test_the_factor_vanishes_where_values_are_given(name, factor):
    made = known(name)
    exact, (lower, upper) = plan_exact(made, None), made.domain.bounds
    points = np.random.default_rng(0).uniform(lower, upper, (10, len(lower)))
    found = jax.vmap(lambda p: exact.factor(made.fields[0], p))(jnp.asarray(points))
    np.testing.assert_allclose(found, factor(*points.T), rtol=1e-12)


def test_what_is_not_given_stays_free():
    """Two networks: equal values and different slopes at the walls; at the start of a wave, different accelerations."""
    (goal, first), (_, second) = (random_network(known("wave"), key=key) for key in (3, 11))

    @jax.jit
    @jax.vmap
    def derivatives(p):
        values = [lambda p, w=w: goal.values(w, p)[0] for w in (first, second)]
        return [nested_jvp(value, p, [(0, 0), (0, 1), (1, 0), (2, 0)]) for value in values]

    one, two = derivatives(jnp.array([[0.0, 0.3], [0.7, 1.0]]))
    gaps = {index: np.abs(np.asarray(one[index]) - np.asarray(two[index])) for index in one}
    assert gaps[0, 0].max() < 1e-12 and gaps[1, 0][0] < 1e-12
    assert gaps[0, 1][1] > 1e-2 and gaps[2, 0][0] > 1e-2


@pytest.mark.parametrize("name", ["burgers", "wave", "korteweg-de vries, periodic"])
def test_a_float32_ansatz_stays_in_float32(name):
    goal, weights = random_network(known(name), dtype=jnp.float32)
    point = jnp.array([0.3, 0.4], jnp.float32)
    traced = jax.make_jaxpr(lambda p: (goal.values(weights, p), goal.approximation.values(weights.state, p)))(point)
    assert all(aval.dtype == jnp.float32 for aval in traced.out_avals)
    assert "f64" not in str(traced)
