"""Each condition is the residual that one would write by hand, at points of its own, with normals out of the problem."""

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import of_known_fields

import pinn
from pinn import d
from pinn.errors import DomainError, ProblemError, ResidualError
from pinn.sampling import boundary

BOX = pinn.Box(t=(0, 2), x=(-1, 3))
SQUARE = pinn.Box(x=(0, 2), y=(0, 1))
HOLE = pinn.Disk(x=1.0, y=0.5, radius=0.2)
STRIP = SQUARE - HOLE
FAR = pinn.Disk(x=5.0, y=5.0, radius=1)


def wave(t, x):
    return jnp.sin(1.3 * t) * jnp.exp(-0.7 * x) + x**3


def wave_t(t, x):
    return 1.3 * np.cos(1.3 * t) * np.exp(-0.7 * x)


def wave_x(t, x):
    return -0.7 * np.sin(1.3 * t) * np.exp(-0.7 * x) + 3 * x**2


def swirl(x, y):
    return jnp.sin(x - 2 * y) + x * y**2


def swirl_grad(x, y):
    return np.stack([np.cos(x - 2 * y) + y**2, -2 * np.cos(x - 2 * y) + 2 * x * y], axis=1)


def in_time(condition, **options):
    """The heat equation with one condition more than its own, and that condition's term."""
    problem = pinn.Problem(
        fields="u", domain=BOX, residual=lambda u, t, x: d(u, t) - d(u, x, x), conditions=[condition], **options
    )
    return problem, problem.terms[1]


def in_the_plane(condition, domain=STRIP, fields="u"):
    names = fields.split()

    def residual(u, x, y):
        return pinn.laplacian(u, x, y)

    def both(u, v, x, y):
        return pinn.laplacian(u, x, y), pinn.laplacian(v, x, y)

    problem = pinn.Problem(fields=fields, domain=domain, residual=residual if len(names) == 1 else both, conditions=[condition])
    return problem, problem.terms[1]


@pytest.fixture(autouse=True)
def one_condition_is_not_enough():
    """These problems have the one condition that is looked at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pinn.problem.missing_conditions", lambda problem: [])
        yield


# --- each condition by hand


def test_dirichlet():
    problem, term = in_time(pinn.Dirichlet(u=lambda t, x: t * x, on=BOX.at(x=(-1, 3))))
    at, found = of_known_fields(problem, term, {"u": wave})
    assert set(at["x"]) == {-1.0, 3.0} and len(np.unique(at["t"])) == 20 and at["t"].min() >= 0 and at["t"].max() <= 2
    np.testing.assert_allclose(found[:, 0], np.asarray(wave(at["t"], at["x"])) - at["t"] * at["x"], atol=1e-13)


def test_dirichlet_of_two_fields():
    problem, term = in_the_plane(pinn.Dirichlet(v=2.0, u=lambda y: y, on=STRIP.at(x=0)), fields="u v")
    at, found = of_known_fields(problem, term, {"u": swirl, "v": lambda x, y: x - y})
    assert term.expression.components == ("v", "u") and set(at["x"]) == {0.0}
    expected = np.stack([at["x"] - at["y"] - 2, np.asarray(swirl(at["x"], at["y"])) - at["y"]], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-13)


def test_values_may_ask_for_constants_parameters_and_the_normal():
    """An unknown parameter may sit in a boundary condition."""
    problem, term = in_time(
        pinn.Dirichlet(u=lambda t, a, b, normal: a * t + b * normal[0], on=BOX.at(x=(-1, 3))),
        constants={"a": 3.0},
        parameters={"b": pinn.Parameter(0.5)},
    )
    at, found = of_known_fields(problem, term, {"u": wave}, b=0.7)
    outward = np.where(at["x"] == 3, 1, -1)
    np.testing.assert_allclose(at["normal"], outward[:, None])
    np.testing.assert_allclose(found[:, 0], np.asarray(wave(at["t"], at["x"])) - 3 * at["t"] - 0.7 * outward, atol=1e-13)


def test_neumann_on_a_hole_points_into_the_hole():
    problem, term = in_the_plane(pinn.Neumann(u=lambda x: x, on=HOLE.boundary))
    at, found = of_known_fields(problem, term, {"u": swirl}, 50)
    into_the_hole = (np.array([1.0, 0.5]) - np.stack([at["x"], at["y"]], axis=1)) / 0.2
    np.testing.assert_allclose(at["normal"], into_the_hole, atol=1e-12)
    slope = np.sum(into_the_hole * swirl_grad(at["x"], at["y"]), axis=1)
    np.testing.assert_allclose(found[:, 0], slope - at["x"], atol=1e-12)


def test_neumann_on_a_disk_points_out_of_the_disk():
    problem, term = in_the_plane(pinn.Neumann(u=0.0, on=HOLE.boundary), domain=HOLE)
    at, found = of_known_fields(problem, term, {"u": swirl})
    outward = (np.stack([at["x"], at["y"]], axis=1) - [1.0, 0.5]) / 0.2
    np.testing.assert_allclose(found[:, 0], np.sum(outward * swirl_grad(at["x"], at["y"]), axis=1), atol=1e-12)


def test_neumann_in_time_and_space_has_a_spatial_normal():
    problem, term = in_time(pinn.Neumann(u=0.5, on=BOX.at(x=(-1, 3))))
    at, found = of_known_fields(problem, term, {"u": wave})
    assert at["normal"].shape == (20, 1)
    np.testing.assert_allclose(found[:, 0], np.where(at["x"] == 3, 1, -1) * wave_x(at["t"], at["x"]) - 0.5, atol=1e-12)


def test_robin():
    problem, term = in_the_plane(pinn.Robin(u=(2.0, lambda x: 1 + x, 0.6), on=STRIP.at(y=1) + HOLE.boundary))
    at, found = of_known_fields(problem, term, {"u": swirl}, 40)
    on_top = at["y"] == 1
    into_the_hole = (np.array([1.0, 0.5]) - np.stack([at["x"], at["y"]], axis=1)) / 0.2
    outward = np.where(on_top[:, None], [0.0, 1.0], into_the_hole)
    slope = np.sum(outward * swirl_grad(at["x"], at["y"]), axis=1)
    expected = 2 * np.asarray(swirl(at["x"], at["y"])) + (1 + at["x"]) * slope - 0.6
    assert on_top.any() and not on_top.all()
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-12)


def test_initial():
    problem, term = in_time(pinn.Initial(u=lambda x: x**2))
    at, found = of_known_fields(problem, term, {"u": wave})
    assert not at["t"].any() and len(np.unique(at["x"])) == 20
    np.testing.assert_allclose(found[:, 0], at["x"] ** 3 - at["x"] ** 2, atol=1e-13)


def test_initial_velocity():
    problem, term = in_time(pinn.InitialVelocity(u=lambda x: 1 + x))
    at, found = of_known_fields(problem, term, {"u": wave})
    assert not at["t"].any()
    np.testing.assert_allclose(found[:, 0], wave_t(0.0, at["x"]) - 1 - at["x"], atol=1e-13)


def test_initial_acts_at_the_lower_end_of_the_only_coordinate():
    line = pinn.Interval(s=(2, 5))
    problem = pinn.Problem(
        fields="y",
        domain=line,
        residual=lambda y, s: d(y, s, s) + y,
        conditions=[pinn.Initial(y=1.0), pinn.InitialVelocity(y=lambda s: s)],
    )
    for term, expected in zip(problem.terms[1:], [8.0 - 1.0, 12.0 - 2.0], strict=True):
        at, found = of_known_fields(problem, term, {"y": lambda s: s**3})
        assert at["s"].tolist() == [2.0] and found.tolist() == [[expected]]


def test_a_condition_of_ones_own():
    """Any residual, with the normal, a constant, and a derivative along the wall."""
    problem = pinn.Problem(
        fields="u",
        domain=STRIP,
        constants={"h": 2.0},
        residual=lambda u, x, y: pinn.laplacian(u, x, y),
        conditions=[pinn.Condition(lambda u, x, y, h, normal: normal @ pinn.grad(u, x, y) + h * u**4, on=STRIP.at(x=2))],
    )
    at, found = of_known_fields(problem, problem.terms[1], {"u": swirl})
    expected = swirl_grad(at["x"], at["y"])[:, 0] + 2 * np.asarray(swirl(2.0, at["y"])) ** 4
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-12)


def test_a_spatial_wall_serves_all_times():
    """`disk.boundary` in a problem of space and time: extended over t, normals in space alone."""
    domain = STRIP * pinn.Interval(t=(0, 3))
    problem = pinn.Problem(
        fields="u",
        domain=domain,
        residual=lambda u, x, y, t: d(u, t) - pinn.laplacian(u, x, y),
        conditions=[pinn.Neumann(u=0.0, on=HOLE.boundary)],
    )
    at, _ = of_known_fields(problem, problem.terms[1], {"u": lambda x, y, t: x + y + t})
    assert at["normal"].shape == (20, 2) and 1 < np.ptp(at["t"]) <= 3
    np.testing.assert_allclose(np.hypot(at["x"] - 1, at["y"] - 0.5), 0.2, rtol=1e-12)


# --- periodic


def ends_of(field, order, lower, upper):
    derivatives = [np.polynomial.Polynomial(field)]
    derivatives += [derivatives[0].deriv(k) for k in range(1, order)]
    return [f(lower) - f(upper) for f in derivatives]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_periodic_ties_as_many_derivatives_as_the_equation_has(order):
    line = pinn.Interval(x=(-1, 2))
    problem = pinn.Problem(fields="u", domain=line, residual=lambda u, x: d(u, *[x] * order) + u, conditions=[pinn.Periodic("x")])
    term = problem.terms[1]
    assert term.expression.components == tuple("u" + "'" * k for k in range(order))
    series = [1.0, -2.0, 0.5, 0.3, -0.1, 0.7]
    _, found = of_known_fields(problem, term, {"u": lambda x: jnp.polyval(jnp.array(series[::-1]), x)})
    np.testing.assert_allclose(found[0], ends_of(series, order, -1, 2), rtol=1e-12)


def test_periodic_in_space_at_all_times():
    problem, term = in_time(pinn.Periodic("x"))
    at, found = of_known_fields(problem, term, {"u": wave})
    assert set(at["x"]) == {-1.0} and len(np.unique(at["t"])) == 20
    expected = np.stack(
        [np.asarray(wave(at["t"], -1.0) - wave(at["t"], 3.0)), wave_x(at["t"], -1.0) - wave_x(at["t"], 3.0)], axis=1
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_periodic_ties_each_field_by_its_own_order():
    problem = pinn.Problem(
        fields="u v w",
        domain=BOX,
        residual=lambda u, v, w, t, x: (d(u, t) - d(v, x, x, x), d(v, t) - d(u, x), d(w, t) - u),
        conditions=[pinn.Periodic("x")],
    )
    assert problem.terms[1].expression.components == ("u", "v", "v'", "v''")
    problem = pinn.Problem(
        fields="u v",
        domain=BOX,
        residual=lambda u, v, t, x: (d(u, t) - d(v, x, x), d(v, t) - d(u, x)),
        conditions=[pinn.Periodic("x", fields="u")],
    )
    assert problem.terms[1].expression.components == ("u",)


# --- data


def test_data_compares_columns_with_fields():
    t, x = np.array([0.5, 1.0, 1.5]), np.array([0.0, 2.0, -1.0])
    problem, term = in_time(pinn.Data(x=x, t=t, u=[1.0, 2.0, 3.0]))
    at, found = of_known_fields(problem, term, {"u": wave}, 1)
    np.testing.assert_array_equal(at["t"], t)
    np.testing.assert_array_equal(at["x"], x)
    np.testing.assert_allclose(found[:, 0], np.asarray(wave(t, x)) - [1.0, 2.0, 3.0], rtol=1e-13)


def test_data_of_some_fields_of_a_system():
    columns = {"x": [0.1, 1.9], "y": [0.2, 0.8]}
    problem, term = in_the_plane(pinn.Data(**columns, v=[1.0, -1.0]), fields="u v")
    assert term.expression.components == ("v",)
    _, found = of_known_fields(problem, term, {"u": swirl, "v": lambda x, y: x - y})
    np.testing.assert_allclose(found[:, 0], [0.1 - 0.2 - 1, 1.9 - 0.8 + 1], rtol=1e-12)


def test_readings_of_an_expression():
    """What an instrument reads need not be a field: Condition on Points, with further columns by name."""
    points = pinn.Points(t=[0.5, 1.0], x=[0.0, 2.0], reading=[0.3, 0.4], weight=[1.0, 2.0])
    problem, term = in_time(pinn.Condition(lambda u, x, reading, weight: weight * (d(u, x) - reading), on=points))
    at, found = of_known_fields(problem, term, {"u": wave})
    np.testing.assert_allclose(found[:, 0], at["weight"] * (wave_x(at["t"], at["x"]) - at["reading"]), rtol=1e-12)


def test_a_value_may_be_given_at_points():
    """A pressure pinned at one place, say."""
    problem, term = in_the_plane(pinn.Dirichlet(u=1.5, on=pinn.Points(x=[0.3], y=[0.4])))
    _, found = of_known_fields(problem, term, {"u": swirl})
    np.testing.assert_allclose(found, [[float(swirl(0.3, 0.4)) - 1.5]], rtol=1e-13)


# --- labels, and where conditions hold


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (pinn.Dirichlet(u=1, on=SQUARE.at(x=0)), "Dirichlet(Dirichlet u = 1 on x = 0)"),
        (pinn.Dirichlet(u=lambda y: y, v=0.5, on=SQUARE.at(x=(0, 2))), "Dirichlet(Dirichlet u = g(y), v = 0.5 on x = 0, x = 2)"),
        (pinn.Neumann(u=0, on=SQUARE.at(y=1)), "Neumann(Neumann u = 0 on y = 1)"),
        (pinn.Robin(u=(2, 1, lambda x: x), on=SQUARE.at(y=1)), "Robin(Robin 2 u + 1 du/dn = g(x) on y = 1)"),
        (pinn.Initial(u=lambda x, nu: x), "Initial(Initial u = g(x, nu))"),
        (pinn.InitialVelocity(u=0), "InitialVelocity(InitialVelocity u = 0)"),
        (pinn.Periodic("x"), "Periodic(Periodic in x)"),
        (pinn.Data(x=[1, 2], u=[3, 4]), "Data(Data on 2 points)"),
        (pinn.Data(x=0.5, u=3), r"Data(Data on 1 point)"),
    ],
)
def test_a_condition_shows_what_it_is(condition, text):
    assert repr(condition) == text


def test_every_term_has_a_name_of_its_own():
    """Tables, weights and what the ansatz meets go by name: two conditions of one name would be taken for one."""
    free = [pinn.Condition(lambda u, x, y, k=k: d(u, y) - k, on=SQUARE.at(y=0)) for k in range(3)]
    problem = pinn.Problem(fields="u", domain=SQUARE, residual=lambda u, x, y: pinn.laplacian(u, x, y), conditions=free)
    names = [term.name for term in problem.terms]
    assert len(set(names)) == len(names) == 4


@pytest.mark.parametrize("names", [("wall", "wall"), ("equation", "other")])
def test_names_given_twice_are_refused(names):
    with pytest.raises(ProblemError, match=rf"{names[0]}.*(twice|already|another|reserved|two|taken)"):
        pinn.Problem(
            fields="u",
            domain=SQUARE,
            residual=lambda u, x, y: pinn.laplacian(u, x, y),
            conditions=[
                pinn.Dirichlet(u=0.0, on=SQUARE.at(x=0), name=names[0]),
                pinn.Neumann(u=1.0, on=SQUARE.at(x=2), name=names[1]),
            ],
        )


def test_points_and_normals_are_those_of_the_boundary():
    _, term = in_the_plane(pinn.Neumann(u=0.0, on=STRIP.boundary))
    points, columns = term.sample(STRIP, 100, (3,))
    expected, normals = boundary(STRIP, STRIP.boundary, 100, (3,))
    np.testing.assert_array_equal(points, expected)
    np.testing.assert_array_equal(columns["normal"], normals)


# --- what is refused


def on_points(residual, **columns):
    return pinn.Condition(residual, on=pinn.Points(**columns))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: pinn.Dirichlet(on=SQUARE.at(x=0)), r"Dirichlet\(\) needs a field and its value, such as Dirichlet\(u=0.0"),
        (lambda: pinn.Initial(), r"Initial\(\) needs a field and its value"),
        (lambda: pinn.Robin(on=SQUARE.at(x=0)), r"Robin\(\) needs a field and its three values, such as Robin\(T=\(a, b, g\)"),
        (lambda: pinn.Robin(u=1.0, on=SQUARE.at(x=0)), r"Robin\(u=...\) needs \(a, b, g\) for a u \+ b du/dn = g; got 1.0"),
        (lambda: pinn.Robin(u=(1.0, 2.0), on=SQUARE.at(x=0)), r"needs \(a, b, g\).*got \(1.0, 2.0\)"),
        (lambda: pinn.Robin(u=(1.0, "b", 2.0), on=SQUARE.at(x=0)), r"Robin\(u=...\) needs a number or a function.*got 'b'"),
        (lambda: pinn.Dirichlet(u=None, on=SQUARE.at(x=0)), r"Dirichlet\(u=...\) needs a number or a function.*; got None"),
        (lambda: pinn.Dirichlet(u="0", on=SQUARE.at(x=0)), r"needs a number or a function of the coordinates; got '0'"),
        (lambda: pinn.Dirichlet(u=True, on=SQUARE.at(x=0)), r"needs a number or a function of the coordinates; got True"),
        (lambda: pinn.Dirichlet(u=np.zeros(3), on=SQUARE.at(x=0)), r"needs a number or a function of the coordinates; got array"),
        (lambda: pinn.Dirichlet(u=float("nan"), on=SQUARE.at(x=0)), r"Dirichlet\(u=...\) needs a finite number; got nan"),
        (lambda: pinn.Neumann(u=float("inf"), on=SQUARE.at(x=0)), r"Neumann\(u=...\) needs a finite number; got inf"),
        (lambda: pinn.Dirichlet(u=0.0, on=SQUARE), r"on= needs a part of the boundary, such as domain.at\(x=0\).*got Box"),
        (lambda: pinn.Dirichlet(u=0.0, on="x=0"), r"on= needs a part of the boundary.*got 'x=0'"),
        (lambda: pinn.Condition(lambda u: u, on=None), r"on= needs a part of the boundary.*got None"),
        (lambda: pinn.Condition(0.0, on=SQUARE.at(x=0)), r"Condition\(\) needs a function of fields and coordinates; got 0.0"),
        (lambda: pinn.Periodic(0), r"Periodic\(\) needs the name of a coordinate, such as 'x'; got 0"),
        (lambda: pinn.Periodic("x", fields=5), r"Periodic\(.*fields=.*got 5"),
        (lambda: pinn.Data(x=[1.0], u=[1.0], sigma=-1), r"Data\(sigma=...\) must be a positive number or None; got -1"),
        (lambda: pinn.Data(x=[1.0], u=[1.0], sigma="small"), r"Data\(sigma=...\) must be a positive number or None; got 'small'"),
        (lambda: pinn.Points(), r"Points\(\) needs at least one column, such as x="),
        (lambda: pinn.Points(x=[0.0, 1.0], u=[1.0]), r"columns of points must have one length; got {'x': 2, 'u': 1}"),
        (lambda: pinn.Points(x=np.zeros((2, 2))), r"column 'x' must have one number a point; got an array of shape \(2, 2\)"),
        (lambda: pinn.Points(x=["a", "b"]), r"column 'x' must hold real numbers"),
        (lambda: pinn.Points(x=[1j]), r"column 'x' must hold real numbers"),
        (
            lambda: pinn.Data(x=[0.0, 1.0, 2.0], u=[1.0, float("nan"), float("inf")]),
            r"column 'u' holds 2 values that are not finite, the first at row 1. Remove those rows",
        ),
    ],
)  # fmt: skip
def test_what_is_no_condition(build, message):
    with pytest.raises(ProblemError, match=message):
        build()


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (lambda: pinn.Dirichlet(w=0.0, on=BOX.at(x=3)), r"Dirichlet w = 0: 'w' is not a field; the fields are 'u'"),
        (lambda: pinn.Dirichlet(u=lambda u: u, on=BOX.at(x=3)), r"asks for the field 'u'. Values depend on.*write Condition"),
        (lambda: pinn.Dirichlet(u=lambda z: z, on=BOX.at(x=3)), r"the value asks for 'z'; there are 't', 'x', 'nu', 'normal'"),
        (lambda: pinn.Dirichlet(u=lambda nuu: nuu, on=BOX.at(x=3)), r"asks for 'nuu'.*Did you mean 'nu'"),
        (lambda: pinn.Dirichlet(u=jnp.sin, on=BOX.at(x=3)), r"sin\(\).*(by position|lambda x: )"),
        (lambda: pinn.Periodic("y"), r"Periodic\('y'\): the coordinates are 't', 'x'"),
        (lambda: pinn.Periodic("x", fields="w"), r"'w' is not a field; the fields are 'u'"),
        (lambda: pinn.Data(t=[0.1], x=[0.2], w=[0.3]), r"'w' is neither a coordinate \('t', 'x'\) nor a field \('u'\)"),
        (lambda: pinn.Data(t=[0.1], x=[0.2]), r"Data\(\) has no column for a field; the fields are 'u'"),
        (lambda: pinn.Data(x=[0.2], u=[0.3]), r"Data: the points have no column for the coordinates 't'"),
        (
            lambda: pinn.Data(t=[0.1, 5.0], x=[0.2, 0.2], u=[0.3, 0.3]),
            r"1 of 2 points lie outside Box\(t=\(0, 2\), x=\(-1, 3\)\), the first: t = 5, x = 0.2",
        ),
        (lambda: on_points(lambda u, value: u - value, x=[0.1], value=[1.0]), r"no column for the coordinates 't'"),
        (lambda: on_points(lambda u, x: u - x, t=[0.1], x=[0.1], u=[1.0]), r"'u' is (also|both|already|a field)"),
        (lambda: on_points(lambda u, nu: u - nu, t=[0.1], x=[0.1], nu=[1.0]), r"'nu' is (also|both|already|a constant)"),
        (lambda: pinn.Condition(lambda u, where_: u, on=BOX.at(x=3)), r"asks for 'where_'; this problem has fields 'u'"),
    ],
)
def test_what_does_not_fit_its_problem(condition, message):
    with pytest.raises((ProblemError, ResidualError), match=message):
        in_time(condition(), constants={"nu": 0.1})


@pytest.mark.parametrize(
    ("condition", "domain", "message"),
    [
        (lambda: pinn.Periodic("x"), HOLE, r"is not a face of Disk"),
        (lambda: pinn.Dirichlet(u=0.0, on=FAR.boundary), SQUARE, r"Dirichlet u = 0: .*does not touch the boundary"),
        (lambda: pinn.Dirichlet(u=0.0, on=pinn.Box(z=(0, 1)).at(z=0)), SQUARE, r"has the coordinates 'z', which .* lacks"),
    ],
)
def test_what_is_no_part_of_the_boundary(condition, domain, message):
    with pytest.raises(DomainError, match=message):
        in_the_plane(condition(), domain=domain)


def test_periodic_faces_must_be_whole():
    """A notch takes a part of one face away: what would its points be tied to?"""
    notched = pinn.Box(x=(-1, 1), y=(-1, 1)) - pinn.Box(x=(0, 1), y=(-1, 0))
    with pytest.raises((ProblemError, DomainError), match=r"Periodic.*x.*whole"):
        in_the_plane(pinn.Periodic("x"), domain=notched)


def test_time_has_no_slope_along_a_normal():
    """An end of time has no normal: a Neumann condition there would be 0 = g."""
    with pytest.raises((ProblemError, DomainError), match=r"Neumann.*(InitialVelocity|normal)"):
        in_time(pinn.Neumann(u=1.0, on=BOX.at(t=0)))


def test_a_problem_in_time_alone_has_no_normal():
    line = pinn.Interval(t=(0, 1))
    with pytest.raises((ProblemError, DomainError), match=r"Neumann.*(InitialVelocity|normal)"):
        pinn.Problem(
            fields="u", domain=line, residual=lambda u, t: d(u, t) + u, conditions=[pinn.Neumann(u=1.0, on=line.at(t=0))]
        )


def test_an_initial_condition_needs_time():
    with pytest.raises(ProblemError, match=r"needs a coordinate named 't'; this domain has 'x', 'y'. Rename the one that is"):
        in_the_plane(pinn.Initial(u=0.0))


def test_periodic_needs_a_derivative():
    with pytest.raises(ProblemError, match=r"Periodic\('x'\): the equations have no derivative of 'v' in it"):
        pinn.Problem(
            fields="u v",
            domain=BOX,
            residual=lambda u, v, t, x: (d(u, t) - d(u, x, x), d(v, t) - u),
            conditions=[pinn.Periodic("x", fields="v")],
        )


def test_a_field_named_like_a_reading_is_not_taken_for_it():
    """`u_observed` is how a reading of u is called inside; a field may have that name too, or be told to change it."""
    problem = pinn.Problem(
        fields="u u_observed",
        domain=BOX,
        residual=lambda u, u_observed, t, x: (d(u, t) - u_observed, d(u_observed, t) - u),
        conditions=[pinn.Data(t=[0.5], x=[0.0], u=[7.0])],
    )
    _, found = of_known_fields(problem, problem.terms[1], {"u": wave, "u_observed": lambda t, x: t + x})
    np.testing.assert_allclose(found, [[float(wave(0.5, 0.0)) - 7.0]], rtol=1e-12)
