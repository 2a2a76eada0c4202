"""A problem: what it knows of itself, and what the count of its conditions says."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import of_known_fields

import pinn
from pinn import d, laplacian
from pinn.errors import ProblemError, WellPosednessWarning

LINE = pinn.Interval(x=(0, 5))
TX = pinn.Box(t=(0, 2), x=(-1, 1))
SQUARE = pinn.Box(x=(0, 2), y=(0, 1))
DISK = pinn.Disk(x=0, y=0, radius=1)
ENDS = [pinn.Dirichlet(y=1.0, on=LINE.at(x=0)), pinn.Dirichlet(y=0.0, on=LINE.at(x=5))]


def oscillator(y, x):
    return d(y, x, x) + d(y, x) + y


def burgers(u, t, x, nu):
    return d(u, t) + u * d(u, x) - nu * d(u, x, x)


def heat(u, t, x):
    return d(u, t) - d(u, x, x)


def wave(u, t, x):
    return d(u, t, t) - d(u, x, x)


def navier_stokes(u, v, p, x, y):
    return {
        "x": u * d(u, x) + v * d(u, y) + d(p, x) - 0.01 * laplacian(u, x, y),
        "y": u * d(v, x) + v * d(v, y) + d(p, y) - 0.01 * laplacian(v, x, y),
        "mass": pinn.div((u, v), x, y),
    }


def posed(residual, *conditions, fields="u", domain=TX, **options) -> pinn.Problem:
    return pinn.Problem(fields=fields, domain=domain, residual=residual, conditions=conditions, **options)


# --- what it knows


def test_it_prints_as_what_it_is():
    problem = pinn.Problem(
        fields="u",
        domain=TX,
        residual=burgers,
        parameters={"nu": pinn.Parameter(0.1, positive=True)},
        conditions=[
            pinn.Initial(u=lambda x: -jnp.sin(jnp.pi * x)),
            pinn.Dirichlet(u=0.0, on=TX.at(x=(-1, 1)), name="walls"),
            pinn.Data(t=[1.0, 1.0], x=[0.1, 0.2], u=[0.5, 0.6]),
        ],
    )
    assert repr(problem).splitlines() == [
        "Problem: 1 equation for u on Box(t=(0, 2), x=(-1, 1))",
        "  equation: order 1 in t, order 2 in x, nonlinear",
        "  Initial u = g(x) on t = 0",
        "  walls",
        "  Data on 2 points",
        "  unknown: nu, from 0.1",
    ]


def test_orders_are_by_field_and_coordinate():
    problem = posed(
        lambda u, v, t, x: (d(u, t, t) + d(v, x, x, x), d(v, t) - u * d(u, x)),
        pinn.Initial(u=0.0, v=0.0),
        pinn.InitialVelocity(u=0.0),
        pinn.Periodic("x"),
        fields="u v",
    )
    assert problem.orders == {"u": (2, 1), "v": (1, 3)}
    assert problem.equations == ("1", "2") and problem.fields == ("u", "v")


@pytest.mark.parametrize(
    ("residual", "condition", "linear"),
    [
        (oscillator, ENDS[0], True),
        (lambda y, x: d(y, x, x) + jnp.sin(x) * y + 3, ENDS[0], True),
        (lambda y, x: d(y, x, x) + y**2, ENDS[0], False),
        (oscillator, pinn.Condition(lambda y, x: d(y, x) + y**4, on=LINE.at(x=0)), False),
        (oscillator, pinn.Robin(y=(1.0, lambda x: x, 2.0), on=LINE.at(x=0)), True),
        (oscillator, pinn.Neumann(y=3.0, on=LINE.at(x=0)), True),
    ],
)
def test_it_is_linear_where_equations_and_conditions_are(residual, condition, linear):
    problem = posed(residual, condition, ENDS[1], fields="y", domain=LINE)
    assert problem.is_linear is linear


def test_with_an_unknown_parameter_it_is_not_linear():
    """u and k are found together, and k u is not linear in both."""
    problem = posed(lambda y, x, k: d(y, x, x) + k * y, *ENDS, fields="y", domain=LINE, parameters={"k": pinn.Parameter(1.0)})
    assert not problem.is_linear and problem.known() == {"k": 1.0}
    assert posed(lambda y, x, k: d(y, x, x) + k * y, *ENDS, fields="y", domain=LINE, constants={"k": 1}).is_linear


def test_dry_friction_is_not_linear():
    """y'' + y + sign(y') = 0: its slope by y' is zero almost everywhere, and least squares would drop the friction."""
    problem = posed(
        lambda y, t: d(y, t, t) + y + 0.3 * jnp.sign(d(y, t)),
        pinn.Initial(y=1.0),
        pinn.InitialVelocity(y=0.0),
        fields="y",
        domain=pinn.Interval(t=(0, 1)),
    )
    assert not problem.is_linear


@pytest.mark.parametrize(
    ("fields", "names"),
    [("u", ("u",)), ("u v p", ("u", "v", "p")), (["u", "v"], ("u", "v")), (("u",), ("u",)), ({"u": "t x", "v": "x"}, ("u", "v"))],
)
def test_fields_are_named_in_several_ways(fields, names):
    def residual(u, t, x):
        return d(u, x)

    def with_v(u, v, t, x):
        return d(u, x) + d(v, x)

    def with_p(u, v, p, t, x):
        return d(u, x) + d(v, x) + p

    problem = posed({1: residual, 2: with_v, 3: with_p}[len(names)], pinn.Dirichlet(u=0.0, on=TX.at(x=-1)), fields=fields)
    assert problem.fields == names


def test_a_field_may_depend_on_fewer_coordinates():
    problem = posed(
        lambda u, k, t, x: d(u, t) - k * d(u, x, x),
        pinn.Initial(u=0.0),
        pinn.Dirichlet(u=0.0, on=TX.at(x=(-1, 1))),
        fields={"u": ["x", "t"], "k": ("x",)},
    )
    assert problem.depends == {"u": ("t", "x"), "k": ("x",)}


def test_constants_are_numbers_of_any_kind():
    problem = posed(
        burgers,
        pinn.Initial(u=0.0),
        pinn.Dirichlet(u=0.0, on=TX.at(x=(-1, 1))),
        constants={"nu": jnp.float32(0.25)},
    )
    assert problem.constants == {"nu": 0.25} and type(problem.constants["nu"]) is float


def test_a_parameter_may_be_asked_for_by_an_inner_function():
    """What a named flux asks for is as good as what the residual asks for."""

    def flux(u, x, k):
        return k * d(u, x)

    problem = posed(
        lambda u, t, x: d(u, t) - d(flux, x),
        pinn.Initial(u=0.0),
        pinn.Data(t=[1.0], x=[0.5], u=[0.2]),
        parameters={"k": pinn.Parameter(0.5)},
    )
    _, found = of_known_fields(problem, problem.terms[0], {"u": lambda t, x: t + x**3}, k=2.0)
    points, _ = problem.terms[0].sample(TX, 20, (1,))
    np.testing.assert_allclose(found[:, 0], 1 - 12 * points[:, 1], rtol=1e-12)


def test_a_parameter_may_sit_in_a_condition_alone():
    problem = posed(
        heat,
        pinn.Initial(u=lambda x, height: height * x),
        pinn.Data(t=[1.0], x=[0.5], u=[0.2]),
        parameters={"height": pinn.Parameter(2)},
    )
    assert list(problem.parameters) == ["height"]


def test_points_of_the_equation_are_inside():
    problem = posed(lambda u, x, y: laplacian(u, x, y), pinn.Dirichlet(u=0.0, on=DISK.boundary), domain=DISK)
    points, columns = problem.terms[0].sample(DISK, 200, (1,))
    assert points.shape == (200, 2) and not columns and np.hypot(*points.T).max() <= 1
    again, _ = problem.terms[0].sample(DISK, 200, (1,))
    np.testing.assert_array_equal(points, again)


def test_the_exams_solution_has_no_residual():
    """e^{-x/2} sin(ω(5 - x)) / sin(5ω), ω = √3/2, solves the equation and both conditions."""
    problem = posed(oscillator, *ENDS, fields="y", domain=LINE)
    w = np.sqrt(3) / 2

    def exact(x):
        return jnp.exp(-x / 2) * jnp.sin(w * (5 - x)) / jnp.sin(5 * w)

    for term in problem.terms:
        _, found = of_known_fields(problem, term, {"y": exact}, 50)
        assert np.abs(found).max() < 1e-13


# --- references


def test_a_reference_is_a_function_of_the_coordinates_that_it_names():
    problem = posed(heat, pinn.Initial(u=0.0), pinn.Periodic("x"), reference=lambda x: np.sin(x))
    assert problem.reference(np.array([[0.5, 0.1], [0.7, 0.2]])) == {"u": pytest.approx(np.sin([0.1, 0.2]))}


def test_a_reference_of_several_fields_may_leave_some_out():
    problem = posed(
        lambda u, v, t, x: (d(u, t) - v, d(v, t) - d(u, x, x)),
        pinn.Initial(u=0.0, v=0.0),
        pinn.Dirichlet(u=0.0, on=TX.at(x=(-1, 1))),
        fields="u v",
        reference=lambda t, x: {"v": jnp.cos(t)},
    )
    found = problem.reference(np.array([[0.5, 0.1]]))
    assert found == {"v": pytest.approx(np.cos([0.5]))} and isinstance(found["v"], np.ndarray)


def test_a_reference_may_be_one_number():
    assert posed(oscillator, *ENDS, fields="y", domain=LINE, reference=lambda x: 2.0).reference(np.zeros((3, 1)))["y"].shape == (
        3,
    )


# --- how many conditions are enough


WALLS = pinn.Dirichlet(u=0.0, on=TX.at(x=(-1, 1)))
START = pinn.Initial(u=0.0)

ENOUGH = {
    "two ends": lambda: posed(oscillator, *ENDS, fields="y", domain=LINE),
    "value and slope": lambda: posed(oscillator, pinn.Initial(y=1.0), pinn.InitialVelocity(y=0.0), fields="y", domain=LINE),
    "periodic": lambda: posed(lambda y, x: d(y, x, x) - y + x, pinn.Periodic("x"), fields="y", domain=LINE),
    "heat": lambda: posed(heat, START, WALLS),
    "heat, round": lambda: posed(heat, START, pinn.Periodic("x")),
    "heat, insulated": lambda: posed(heat, START, pinn.Neumann(u=0.0, on=TX.at(x=(-1, 1)))),
    "wave": lambda: posed(wave, START, pinn.InitialVelocity(u=0.0), WALLS),
    "transport": lambda: posed(lambda u, t, x: d(u, t) + d(u, x), START, pinn.Dirichlet(u=0.0, on=TX.at(x=-1))),
    "korteweg-de vries": lambda: posed(lambda u, t, x: d(u, t) + d(u, x, x, x), START, pinn.Periodic("x")),
    "all sides": lambda: posed(
        lambda u, x, y: laplacian(u, x, y), pinn.Dirichlet(u=0.0, on=SQUARE.boundary), domain=SQUARE
    ),
    "a rim, which is not counted": lambda: posed(
        lambda u, x, y: laplacian(u, x, y), pinn.Dirichlet(u=0.0, on=DISK.boundary), domain=DISK
    ),
    "flow, with a pressure that needs none": lambda: posed(
        navier_stokes, pinn.Dirichlet(u=0.0, v=0.0, on=SQUARE.boundary), fields="u v p", domain=SQUARE
    ),
    "first-order system": lambda: posed(
        lambda y, z, t: (d(y, t) - z, d(z, t) + y), pinn.Initial(y=1.0, z=0.0), fields="y z", domain=pinn.Interval(t=(0, 1))
    ),
    "data instead": lambda: posed(heat, pinn.Data(t=[1.0], x=[0.5], u=[0.2])),
    "an unknown, for which counting says nothing": lambda: posed(
        burgers, START, parameters={"nu": pinn.Parameter(0.1)}
    ),
    "a pinned value": lambda: posed(
        lambda y, x: d(y, x) - y, pinn.Condition(lambda y: y - 1, on=pinn.Points(x=[2.5])), fields="y", domain=LINE
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ENOUGH)
def test_a_well_posed_problem_is_built_in_silence(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ENOUGH[name]()


WRONG = {
    "one end of two": (
        lambda: posed(oscillator, ENDS[0], fields="y", domain=LINE),
        r"need 2 conditions in x, for y \(order 2\), and have 1: infinitely many functions satisfy all that is given. "
        r"Add 1 at an end of x",
    ),
    "three of two": (
        lambda: posed(oscillator, *ENDS, pinn.Neumann(y=0.0, on=LINE.at(x=5)), fields="y", domain=LINE),
        r"need 2 conditions in x and have 3: no function satisfies all of them in general. Remove 1",
    ),
    "none at all": (lambda: posed(oscillator, fields="y", domain=LINE), r"need 2 conditions in x.*and have 0.*Add 2"),
    "heat without a start": (lambda: posed(heat, WALLS), r"need 1 conditions? in t, for u \(order 1\), and have 0"),
    "heat with one wall": (
        lambda: posed(heat, START, pinn.Dirichlet(u=0.0, on=TX.at(x=-1))),
        r"need 2 conditions in x, for u \(order 2\), and have 1",
    ),
    "wave without a velocity": (lambda: posed(wave, START, WALLS), r"need 2 conditions in t, for u \(order 2\), and have 1"),
    "a system with one start": (
        lambda: posed(
            lambda y, z, t: (d(y, t) - z, d(z, t) + y), pinn.Initial(y=1.0), fields="y z", domain=pinn.Interval(t=(0, 1))
        ),
        r"need 2 conditions in t, for y \(order 1\), z \(order 1\), and have 1",
    ),
    "heat with a velocity": (
        lambda: posed(heat, START, pinn.InitialVelocity(u=0.0), WALLS),
        r"need 1 conditions? in t and have 2: no function satisfies all of them in general. Remove 1",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_too_few_and_too_many_conditions_warn(name):
    build, message = WRONG[name]
    with pytest.warns(WellPosednessWarning, match=message):
        build()


def test_a_warning_names_its_problem():
    with pytest.warns(WellPosednessWarning, match=r"^swing: the equations need"):
        posed(oscillator, ENDS[0], fields="y", domain=LINE, name="swing")


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (
            [pinn.Dirichlet(u=0.0, on=TX.at(x=(-1, 1))), pinn.Dirichlet(u=1.0, on=TX.at(x=1))],
            r"u is given twice on x = 1: by 'Dirichlet u = 0 on x = -1, x = 1' and by 'Dirichlet u = 1 on x = 1'. Remove one",
        ),
        ([START, pinn.Dirichlet(u=1.0, on=TX.at(t=0))], r"u is given twice on t = 0: by 'Initial u = 0 on t = 0'"),
        ([pinn.Neumann(u=0.0, on=TX.at(x=1)), pinn.Neumann(u=1.0, on=TX.boundary)], r"u is given twice on x = 1"),
        ([pinn.InitialVelocity(u=0.0), pinn.InitialVelocity(u=1.0)], r"u is given twice on t = 0"),
        ([pinn.Dirichlet(u=0.0, on=TX.at(x=1) + TX.boundary)] * 2, r"u is given twice on x = "),
    ],
)
def test_a_value_given_twice_is_refused(conditions, message):
    with pytest.raises(ProblemError, match=message):
        posed(wave, *conditions)


def test_the_same_face_may_carry_different_things():
    """Value and slope on one face (a Cauchy problem), values of different fields, values on parts of one face."""
    line = posed(
        lambda y, x: d(y, x, x) + y,
        pinn.Dirichlet(y=0.0, on=LINE.at(x=0)),
        pinn.Neumann(y=1.0, on=LINE.at(x=0)),
        fields="y",
        domain=LINE,
    )
    halves = posed(
        lambda u, x, y: laplacian(u, x, y),
        pinn.Dirichlet(u=0.0, on=SQUARE.at(x=0, where=lambda y: y < 0.5)),
        pinn.Dirichlet(u=1.0, on=SQUARE.at(x=0, where=lambda y: y > 0.5)),
        pinn.Dirichlet(u=0.0, on=SQUARE.at(x=2) + SQUARE.at(y=(0, 1))),
        domain=SQUARE,
    )
    low, high = pinn.Box(x=(0, 2), y=(0, 0.5)), pinn.Box(x=(0, 2), y=(0.5, 1))
    boxes = posed(
        lambda u, x, y: laplacian(u, x, y),
        pinn.Dirichlet(u=0.0, on=low.at(x=0)),
        pinn.Dirichlet(u=1.0, on=high.at(x=0)),
        pinn.Dirichlet(u=0.0, on=SQUARE.at(x=2) + SQUARE.at(y=(0, 1))),
        domain=SQUARE,
    )
    assert (len(line.terms), len(halves.terms), len(boxes.terms)) == (3, 4, 4)
