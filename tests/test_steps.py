"""Steps in time against closed forms: conditions of every kind, two orders, systems, domains that are no box."""

import jax.numpy as jnp
import numpy as np
import pytest

import pinn
from pinn import d
from pinn.beginning import begin
from pinn.estimate import error_points
from pinn.exact import plan_exact
from pinn.features import Setup
from pinn.history import Clock, History
from pinn.levels import as_slabs
from pinn.loss import Weights, field_values, given_values, objective
from pinn.radau import radau
from pinn.space import Level
from pinn.steps import march, steps_goal
from pinn.timeline import timeline

LINE = pinn.Box(t=(0, 1), x=(0, 1))
PI = jnp.pi


def prepared(problem):
    exact = plan_exact(problem, None)
    setup, time = Setup(problem, exact, (0,), np.dtype("float64")), timeline(problem, exact)
    return setup, time, steps_goal(setup, time)


def stepped(problem, level, until=np.inf):
    setup, time, goal = prepared(problem)
    return setup, goal, march(setup, goal, time, level, Clock(None), History(), until)


def error(problem, level):
    """The largest error of any field, relative to its largest value."""
    setup, goal, steps = stepped(problem, level)
    points = np.asarray(error_points(setup))
    found = np.asarray(given_values(goal, {}, jnp.asarray(points))) + steps.values(points)
    known = problem.reference(points)
    return max(np.max(np.abs(found[:, i] - known[name])) / np.max(np.abs(known[name])) for i, name in enumerate(problem.fields))


def on_the_line(residual, reference, *conditions, fields="u", begins="u v"):
    start = {name: reference for name in fields.split()} if callable(reference) else reference
    given = {name: (lambda x, f=f: f(t=0.0, x=x)) for name, f in start.items() if name in begins}
    known = (lambda t, x: {name: f(t=t, x=x) for name, f in start.items()}) if len(start) > 1 else next(iter(start.values()))
    return pinn.Problem(
        fields=fields, domain=LINE, residual=residual, conditions=[pinn.Initial(**given), *conditions], reference=known
    )


def heat(u, t, x):
    return d(u, t) - d(u, x, x)


PROBLEMS = {
    "periodic": on_the_line(
        lambda u, t, x: d(u, t) + d(u, x), lambda t, x: jnp.exp(jnp.sin(2 * PI * (x - t))), pinn.Periodic("x")
    ),
    "values that move": on_the_line(
        lambda u, t, x: heat(u, t, x) - x * jnp.cos(t),
        lambda t, x: x * jnp.sin(t) + jnp.exp(-(PI**2) * t) * jnp.sin(PI * x),
        pinn.Dirichlet(u=lambda t, x: x * jnp.sin(t), on=LINE.boundary),
    ),
    "slopes": on_the_line(heat, lambda t, x: jnp.exp(-(PI**2) * t) * jnp.cos(PI * x), pinn.Neumann(u=0.0, on=LINE.boundary)),
    "a value and a slope": on_the_line(
        heat,
        lambda t, x: jnp.exp(-(PI**2) * t / 4) * jnp.sin(PI * x / 2),
        pinn.Dirichlet(u=0.0, on=LINE.at(x=0)),
        pinn.Neumann(u=0.0, on=LINE.at(x=1)),
    ),
    "a layer that moves": on_the_line(
        lambda u, t, x: d(u, t) + u * d(u, x) - 0.05 * d(u, x, x),
        lambda t, x: 1 - jnp.tanh((x - 0.2 - t) / 0.1),
        pinn.Dirichlet(u=lambda t, x: 1 - jnp.tanh((x - 0.2 - t) / 0.1), on=LINE.boundary),
    ),
    "a field without a derivative in time": on_the_line(
        lambda u, p, t, x: (d(u, t) - d(u, x, x) - p, p - 2 * u),
        {
            "u": lambda t, x: jnp.exp((2 - PI**2) * t) * jnp.sin(PI * x),
            "p": lambda t, x: 2 * jnp.exp((2 - PI**2) * t) * jnp.sin(PI * x),
        },
        pinn.Dirichlet(u=0.0, p=0.0, on=LINE.boundary),
        fields="u p",
    ),
    "two fields": on_the_line(
        lambda u, v, t, x: (d(u, t) + d(v, x, x) + (u**2 + v**2) * v, d(v, t) - d(u, x, x) - (u**2 + v**2) * u),
        {
            "u": lambda t, x: jnp.cos(2 * PI * x + (1 - 4 * PI**2) * t),
            "v": lambda t, x: jnp.sin(2 * PI * x + (1 - 4 * PI**2) * t),
        },
        pinn.Periodic("x"),
        fields="u v",
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_closed_forms_are_met(name):
    width = 160 if name == "a layer that moves" else 48
    assert error(PROBLEMS[name], Level(width, 6, 1e-9)) < 1e-7


def waves_on_the_line(damping, velocity, reference, force=lambda x: 0.0):
    walls = pinn.Dirichlet(u=0.0, on=LINE.boundary)
    return pinn.Problem(
        fields="u",
        domain=LINE,
        residual=lambda u, t, x: d(u, t, t) + damping * d(u, t) - d(u, x, x) - force(x),
        conditions=[pinn.Initial(u=lambda x: reference(0.0, x)), pinn.InitialVelocity(u=velocity), walls],
        reference=reference,
    )


def test_equations_of_second_order_in_time():
    rate = (PI**2 - 0.25) ** 0.5

    def swinging(t, x):
        return 2**0.5 * jnp.sin(PI * (t + 0.25)) * jnp.sin(PI * x)

    def fading(t, x):
        return jnp.exp(-t / 2) * jnp.cos(rate * t) * jnp.sin(PI * x)

    swings = waves_on_the_line(0.0, lambda x: PI * jnp.sin(PI * x), swinging)
    fades = waves_on_the_line(1.0, lambda x: -0.5 * jnp.sin(PI * x), fading)
    for problem in (swings, fades):
        assert error(problem, Level(32, 6, 1e-9)) < 1e-7


def test_fields_that_begin_at_rest_are_measured_by_what_they_come_to():
    def warming(t, x):
        return (1 - jnp.exp(-(PI**2) * t)) / PI**2 * jnp.sin(PI * x)

    def swinging(t, x):
        return (1 - jnp.cos(PI * t)) / PI**2 * jnp.sin(PI * x)

    def force(x):
        return jnp.sin(PI * x)

    walls = pinn.Dirichlet(u=0.0, on=LINE.boundary)
    warms = on_the_line(lambda u, t, x: heat(u, t, x) - force(x), warming, walls)
    swings = waves_on_the_line(0.0, lambda x: 0 * x, swinging, force)
    for problem in (warms, swings):
        assert error(problem, Level(48, 6, 1e-9)) < 1e-8


@pytest.mark.slow
def test_slopes_on_the_walls_of_a_square():
    box = pinn.Box(t=(0, 0.3), x=(0, 1), y=(0, 1))

    def known(t, x, y):
        return jnp.exp(-2 * PI**2 * t) * jnp.cos(PI * x) * jnp.cos(PI * y)

    problem = pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x, y: d(u, t) - pinn.laplacian(u, x, y),
        conditions=[pinn.Initial(u=lambda x, y: known(0.0, x, y)), pinn.Neumann(u=0.0, on=box.boundary)],
        reference=known,
    )
    assert error(problem, Level(300, 5, 1e-6)) < 1e-3


SHAPES = {
    "disk": pinn.Disk(x=0, y=0, radius=1),
    "disk with a hole": pinn.Disk(x=0, y=0, radius=1) - pinn.Disk(x=0.3, y=0.2, radius=0.3),
    "L": pinn.Box(x=(-1, 1), y=(-1, 1)) - pinn.Box(x=(0, 1), y=(0, 1)),
}


@pytest.mark.parametrize("name", ["disk", *(pytest.param(name, marks=pytest.mark.slow) for name in ("disk with a hole", "L"))])
def test_shapes_in_the_plane(name):
    """A wave that decays: with points that are no quadrature it would grow."""

    def known(t, x, y):
        return jnp.exp(-0.4 * PI**2 * t) * jnp.sin(2 * PI * x) * jnp.sin(2 * PI * y + 0.3)

    shape = SHAPES[name]
    problem = pinn.Problem(
        fields="u",
        domain=pinn.Interval(t=(0, 0.5)) * shape,
        residual=lambda u, t, x, y: d(u, t) - 0.05 * pinn.laplacian(u, x, y),
        conditions=[pinn.Initial(u=lambda x, y: known(0.0, x, y)), pinn.Dirichlet(u=known, on=shape.boundary)],
        reference=known,
    )
    assert error(problem, Level(256, 6, 1e-4)) < 5e-3


def evolving(residual, *conditions, fields="u v", begins="u v"):
    start = pinn.Initial(**{name: (lambda x: jnp.sin(PI * x)) for name in begins.split()})
    return pinn.Problem(fields=fields, domain=LINE, residual=residual, conditions=[start, *conditions])


WALLS = pinn.Dirichlet(u=0.0, v=0.0, on=LINE.boundary)
LEAVING = pinn.Condition(lambda u, t, x: d(u, t) + d(u, x), on=LINE.at(x=1))
TESTED = {
    "one field": (evolving(heat, pinn.Dirichlet(u=0.0, on=LINE.boundary), fields="u", begins="u"), True),
    "two": (evolving(lambda u, v, t, x: (d(u, t) - d(v, x), d(v, t) + u - d(v, x, x)), WALLS), True),
    "derivatives that are mixed": (
        evolving(lambda u, v, t, x: (d(u, t) + d(v, t) - d(u, x, x), d(u, t) - 2 * d(v, t) + d(v, x, x)), WALLS),
        True,
    ),
    "derivatives that depend on each other": (
        evolving(lambda u, v, t, x: (d(u, t) + d(v, t) - d(u, x, x), 2 * d(u, t) + 2 * d(v, t) - d(v, x, x)), WALLS),
        False,
    ),
    "one that does not evolve": (evolving(lambda u, v, t, x: (d(u, t) - d(v, x), v + u), WALLS, begins="u"), False),
    "a wall where it evolves, too": (
        evolving(lambda u, t, x: d(u, t) + d(u, x), LEAVING, pinn.Dirichlet(u=0.0, on=LINE.at(x=0)), fields="u", begins="u"),
        False,
    ),
}


@pytest.mark.parametrize("name", TESTED)
def test_terms_are_projected_where_derivatives_by_time_fix_the_state(name):
    problem, projected = TESTED[name]
    setup, time, goal = prepared(problem)
    terms, start, _ = begin(setup, goal, time, Level(24, 3, 1e-4), radau(3))
    nothing = np.zeros_like(start.values)
    assert terms.linearised(0.1, 0.0, [start.values, start.velocities, nothing]).projected == projected


def test_a_state_in_which_nothing_evolves_takes_no_step():
    """Where ∂u/∂t is multiplied by zero, steps end and other methods go on."""
    start = pinn.Initial(u=0.0)
    problem = pinn.Problem(
        fields="u", domain=LINE, residual=lambda u, t, x: u * d(u, t) + u - x * jnp.exp(-t), conditions=[start]
    )
    assert stepped(problem, Level(24, 3, 1e-4))[2] is None


@pytest.mark.parametrize("shape", ["line", "disk"])
def test_steps_are_long_where_features_leave_much_of_the_residual(shape):
    if shape == "line":
        start, walls = pinn.Initial(u=1.0), pinn.Dirichlet(u=0.0, on=LINE.boundary)
        problem, level = pinn.Problem(fields="u", domain=LINE, residual=heat, conditions=[start, walls]), Level(64, 6, 1e-6)
    else:
        disk = pinn.Interval(t=(0, 1)) * pinn.Disk(x=0, y=0, radius=1)
        problem, level = (
            pinn.Problem(
                fields="u",
                domain=disk,
                residual=lambda u, t, x, y: d(u, t) - pinn.laplacian(u, x, y),
                conditions=[pinn.Initial(u=0.0), pinn.Robin(u=(1.0, 1.0, 5.0), on=disk.boundary)],
            ),
            Level(128, 6, 1e-5),
        )
    _, _, steps = stepped(problem, level)
    assert steps.end == 1 and steps.held_out > 0.01
    assert len(steps.stages) < 80


def test_rounding_of_high_derivatives_stays_in_high_frequencies():
    ring = pinn.Box(t=(0, 1), x=(0, 2 * np.pi))
    problem = pinn.Problem(
        fields="u",
        domain=ring,
        residual=lambda u, t, x: d(u, t) + d(u, x, x, x, x),
        conditions=[pinn.Initial(u=lambda x: jnp.cos(x)), pinn.Periodic("x")],
        reference=lambda t, x: jnp.exp(-t) * jnp.cos(x),
    )
    assert error(problem, Level(512, 6, 1e-10)) < 1e-11


def test_smaller_targets_take_shorter_steps_and_make_smaller_errors():
    counts, errors = [], []
    for target in (1e-3, 1e-5, 1e-7):
        _, _, steps = stepped(PROBLEMS["periodic"], Level(48, 4, target))
        counts.append(len(steps.stages))
        errors.append(error(PROBLEMS["periodic"], Level(48, 4, target)))
    assert counts[0] < counts[1] < counts[2]
    assert errors[2] < 0.01 * errors[0] < 1e-3


def test_the_residual_at_new_points_tells_of_too_few_features():
    few, many = (stepped(PROBLEMS["a layer that moves"], Level(width, 6, 1e-7))[2].held_out for width in (24, 160))
    assert many < 1e-3 * few


def test_steps_end_early_where_there_is_no_time():
    assert stepped(PROBLEMS["periodic"], Level(32, 6, 1e-9), until=0.0)[2] is None


def test_steps_are_slabs_of_one_network():
    """What the network says of any point is what the steps say."""
    setup, goal, steps = stepped(PROBLEMS["values that move"], Level(32, 6, 1e-8))
    approximation, state = as_slabs(goal, steps)
    points = error_points(setup)
    whole = objective(setup.problem, approximation, goal.exact)
    found = np.asarray(field_values(whole, Weights(state, {}), points))
    np.testing.assert_allclose(found, np.asarray(given_values(goal, {}, points)) + steps.values(np.asarray(points)), atol=1e-11)
