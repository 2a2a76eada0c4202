"""Marching in time: where it is valid, that nothing is lost from slab to slab, and what comes out."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import pinn
from pinn import at, d, laplacian
from pinn.derivatives import nested_jvp, sin
from pinn.exact import plan_exact
from pinn.families import Drawn, Family
from pinn.features import Setup
from pinn.history import Clock, History, Reading, Watch
from pinn.judging import _further, _share, judge
from pinn.loss import draw, read_leaves
from pinn.marching import Marcher, march_through
from pinn.slabs import begin, slab_leaves, solve_slab, take, with_run
from pinn.timeline import timeline

LINE, BOX = pinn.Interval(t=(0, 4)), pinn.Box(t=(0, 2), x=(0, 1))
WALLS = pinn.Dirichlet(u=0.0, on=BOX.at(x=(0, 1)))
START = pinn.Initial(u=lambda x: jnp.sin(jnp.pi * x))


def swing(**options):
    return pinn.Problem(
        fields="u",
        domain=LINE,
        residual=lambda u, t: d(u, t, t) + 9 * u,
        conditions=[pinn.Initial(u=1.0), pinn.InitialVelocity(u=3.0)],
        reference=lambda t: np.cos(3 * t) + np.sin(3 * t),
        **options,
    )


def heat(residual=lambda u, t, x: d(u, t) - d(u, x, x), conditions=(START, WALLS), **options):
    return pinn.Problem(fields="u", domain=BOX, residual=residual, conditions=list(conditions), **options)


def setup_of(problem, exact=None):
    return Setup(problem, plan_exact(problem, exact), (3,), jnp.dtype("float64"))


def marched(problem, width=60, count=4, exact=None, family=None):
    """Slabs of equal lengths."""
    setup = setup_of(problem, exact)
    time = timeline(problem, setup.exact)
    assert time is not None
    family = family or Family(sin, (2.0,) * problem.domain.dimension)
    march = begin(setup, time)
    for k, end in enumerate(np.linspace(time.start, time.end, count + 1)[1:]):
        changes = k == 0 or (k == 1 and march.goal.exact is not march.first.exact)
        march = with_run(setup, march, time, Drawn(family, width)) if changes else march
        march = take(solve_slab(setup, march, time, float(end)))
    return setup, time, march


def values_of(march, points):
    return np.asarray(jax.vmap(lambda p: march.whole.values(march.weights, p))(jnp.asarray(points)))


# --- where slabs are valid

DISK = pinn.Disk(x=0, y=0, radius=1) * pinn.Interval(t=(0, 1))
MOVING = pinn.Box(t=(0, 1), x=(0, 1)) - pinn.Box(t=(0.5, 1), x=(0.5, 1))
VALID = {
    "an oscillator": swing,
    "heat": heat,
    "a start in x": lambda: pinn.Problem(
        fields="y", domain=pinn.Interval(x=(0, 1)), residual=lambda y, x: d(y, x) + y, conditions=[pinn.Initial(y=1.0)]
    ),
    "a disk over time": lambda: pinn.Problem(
        fields="u",
        domain=DISK,
        residual=lambda u, x, y, t: d(u, t) - laplacian(u, x, y),
        conditions=[pinn.Initial(u=1.0), pinn.Neumann(u=0.0, on=DISK.boundary)],
    ),
    "periodic in space": lambda: heat(conditions=[pinn.Initial(u=lambda x: jnp.sin(2 * jnp.pi * x)), pinn.Periodic("x")]),
}
INVALID = {
    "held at both ends": lambda: pinn.Problem(
        fields="y",
        domain=LINE,
        residual=lambda y, t: d(y, t, t) + y,
        conditions=[pinn.Dirichlet(y=1.0, on=LINE.at(t=0)), pinn.Dirichlet(y=0.0, on=LINE.at(t=4))],
    ),
    "no time": lambda: pinn.Problem(
        fields="u",
        domain=pinn.Box(x=(0, 1), y=(0, 1)),
        residual=lambda u, x, y: laplacian(u, x, y),
        conditions=[pinn.Dirichlet(u=0.0, on=pinn.Box(x=(0, 1), y=(0, 1)).boundary)],
    ),
    "an unknown parameter": lambda: heat(
        residual=lambda u, t, x, k: d(u, t) - k * d(u, x, x), parameters={"k": pinn.Parameter(1.0)}
    ),
    "data": lambda: heat(conditions=[START, WALLS, pinn.Data(t=[0.5], x=[0.5], u=[0.1])]),
    "a delay": lambda: heat(residual=lambda u, t, x: d(u, t) - d(u, x, x) + at(u, t=jnp.maximum(t - 0.1, 0.0))),
    "periodic in time": lambda: heat(conditions=[pinn.Periodic("t"), WALLS]),
    "a wall for some time": lambda: heat(conditions=[START, pinn.Dirichlet(u=0.0, on=BOX.at(x=(0, 1), where=lambda t: t < 1))]),
    "a domain that changes": lambda: pinn.Problem(
        fields="u",
        domain=MOVING,
        residual=lambda u, t, x: d(u, t) - d(u, x, x),
        conditions=[pinn.Dirichlet(u=0.0, on=MOVING.at(t=0))],
    ),
}


@pytest.mark.filterwarnings("ignore::pinn.WellPosednessWarning")
@pytest.mark.parametrize("name", [*VALID, *INVALID])
def test_where_slabs_are_valid(name):
    problem = (VALID | INVALID)[name]()
    assert (timeline(problem, plan_exact(problem, None)) is not None) == (name in VALID)


# --- from slab to slab


@pytest.mark.parametrize("exact", [None, False], ids=["exact start", "penalty start"])
@pytest.mark.parametrize("width", [12, pytest.param(40, marks=pytest.mark.slow)])
def test_value_and_velocity_are_handed_over(exact, width):
    """Both sides of an edge agree as well as the features solve the equation beside it."""
    _, _, march = marched(swing(), width=width, count=4, exact=exact)
    values = partial(march.whole.values, march.weights)
    for edge in march.edges[1:-1]:
        here, there = (nested_jvp(values, jnp.array([edge + step]), [(0,), (1,)]) for step in (-1e-13, 1e-13))
        for index, size in (((0,), 1.0), ((1,), 3.0)):
            assert abs(float(here[index][0] - there[index][0])) < max(march.held_out, 1e-11) * size


@pytest.mark.slow
def test_nothing_grows_from_slab_to_slab():
    """A string swings 12 times: with the state at an edge built into the next slab, the residual grew by 1.4 in each."""
    box = pinn.Box(t=(0, 24), x=(0, 1))
    problem = pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x: d(u, t, t) - d(u, x, x),
        conditions=[START, pinn.InitialVelocity(u=0.0), pinn.Dirichlet(u=0.0, on=box.at(x=(0, 1)))],
    )
    _, _, march = marched(problem, width=120, count=60, family=Family(sin, (0.5, 1.0)))
    assert march.held_out < 1e-7
    points = np.random.default_rng(0).uniform([0, 0], [24, 1], (300, 2))
    exact = np.sin(np.pi * points[:, 1]) * np.cos(np.pi * points[:, 0])
    np.testing.assert_allclose(values_of(march, points)[:, 0], exact, atol=1e-7)


@pytest.mark.slow
def test_fields_that_have_no_time_derivative_are_not_carried():
    """v follows u at every time; its value at an edge is found anew."""
    problem = pinn.Problem(
        fields="u v",
        domain=LINE,
        residual=lambda u, v, t: (d(u, t) + v, v - u),
        conditions=[pinn.Initial(u=1.0)],
    )
    _, time, march = marched(problem)
    assert dict(time.orders) == {"u": 1, "v": 0}
    t = np.linspace(0, 4, 41)[:, None]
    np.testing.assert_allclose(values_of(march, t), np.exp(-t) * np.ones(2), atol=1e-9)


@pytest.mark.parametrize("exact", [None, False], ids=["exact start", "penalty start"])
def test_the_oscillator_is_followed(exact):
    problem = swing()
    _, _, march = marched(problem, exact=exact)
    t = np.linspace(0, 4, 101)[:, None]
    np.testing.assert_allclose(values_of(march, t)[:, 0], problem.reference(t)["u"], atol=1e-8)


def test_more_slabs_than_there_is_room_for():
    problem = swing()
    _, _, march = marched(problem, width=12, count=70)
    t = np.linspace(0, 4, 101)[:, None]
    np.testing.assert_allclose(values_of(march, t)[:, 0], problem.reference(t)["u"], atol=1e-8)


def test_features_may_change_between_slabs():
    problem = swing()
    setup, time, march = marched(problem, count=2)
    march = march._replace(edges=march.edges[:2], drawn=march.drawn[:1])
    march = with_run(setup, march, time, Drawn(Family(sin, (1.0,)), 40))
    march = take(solve_slab(setup, march, time, 3.0))
    t = np.linspace(0, 3, 101)[:, None]
    np.testing.assert_allclose(values_of(march, t)[:, 0], problem.reference(t)["u"], atol=1e-8)


@pytest.mark.slow
def test_what_is_read_in_a_slab_is_what_the_whole_march_is_there():
    """For several weights at once, and with features that changed on the way; at a handover, how far it jumps."""
    setup, time, march = marched(swing(), width=12, count=2)
    march = march._replace(edges=march.edges[:2], drawn=march.drawn[:1])
    march = with_run(setup, march, time, Drawn(Family(sin, (1.0,)), 20))
    march = take(solve_slab(setup, march, time, 3.0))
    rng = np.random.default_rng(5)
    changed = jax.tree.map(lambda a: a * (1 + 1e-3 * rng.normal(size=a.shape)), [run["train"] for run in march.weights.state])
    others = tuple({**run, "train": train} for run, train in zip(march.weights.state, changed, strict=True))
    states = march.weights.state, others
    batches = draw(march.goal, {"equation": 30, "condition": 1}, (1,), setup.dtype, (0, 2.0, 3.0))
    found = slab_leaves(march.goal, march.slabs, states, 1, batches)
    just_before, after = (batches[1]._replace(points=batches[1].points + step) for step in (-1e-13, 1e-13))
    for state, (inside, jump) in zip(states, found, strict=True):
        leaves, _ = read_leaves(march.goal, march.slabs, state, batches)
        np.testing.assert_allclose(inside, leaves, atol=1e-13 * np.abs(leaves).max())
        (_, here), (_, there) = (read_leaves(march.goal, march.slabs, state, (batches[0], each)) for each in (just_before, after))
        np.testing.assert_allclose(jump, there - here, atol=1e-8)
    assert np.abs(found[1][1]).min() > 1e-4
    assert not np.array_equal(found[0][0], found[1][0])


@pytest.mark.slow
def test_walls_stay_met_exactly():
    problem = heat(conditions=[START, pinn.Dirichlet(u=lambda t: 0 * t, on=BOX.at(x=0)), pinn.Dirichlet(u=0.0, on=BOX.at(x=1))])
    _, _, march = marched(problem, width=80, count=3)
    t = np.linspace(0, 2, 31)
    walls = [values_of(march, np.stack([t, np.full(31, x)], axis=1)) for x in (0.0, 1.0)]
    assert max(np.abs(wall).max() for wall in walls) < 1e-14
    points = np.random.default_rng(0).uniform([0, 0], [2, 1], (200, 2))
    exact = np.exp(-(np.pi**2) * points[:, 0]) * np.sin(np.pi * points[:, 1])
    np.testing.assert_allclose(values_of(march, points)[:, 0], exact, atol=1e-4)


# --- judging


class Reads(Watch):
    """A watch that reads given times, the last one from then on."""

    def __init__(self, times):
        super().__init__()
        self.times = list(times)

    def read(self):
        return Reading(self.times.pop(0) if len(self.times) > 1 else self.times[0], 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("width", [6, 8, 10])
def test_the_error_is_carried_too(width):
    """With few features the error of the first slabs is most of that of the last; the estimate follows it."""
    problem = swing()
    setup, _, march = marched(problem, width=width)
    divided = replace(setup, edges=march.edges, drawn=tuple(Drawn(each.family, 40) for each in march.drawn))
    found = judge(divided, march.whole, march.weights, march.drawn[0].family, 40)
    t = np.linspace(0, 4, 2001)[:, None]
    reference = problem.reference(t)["u"]
    true = np.linalg.norm(values_of(march, t)[:, 0] - reference) / np.linalg.norm(reference)
    assert true > 1e-10
    assert found.trust is pinn.Trust.TRUSTED
    assert abs(found.errors["u"] / true - 1) < 0.05
    hurried = judge(divided, march.whole, march.weights, march.drawn[0].family, 40, Clock(10.0, Reads([0.0, 1.0, 2.0, 3.0, 9.0])))
    assert hurried.trust is pinn.Trust.UNKNOWN and "second draw" in hurried.reason
    assert abs(hurried.errors["u"] / true - 1) < 0.05
    late = judge(divided, march.whole, march.weights, march.drawn[0].family, 40, Clock(10.0, Reads([0.0, 1.0, 11.0])))
    assert late.trust is pinn.Trust.UNKNOWN and "beyond t = 2" in late.reason
    assert true / 5 < late.errors["u"] < 5 * true
    corrected = np.asarray(jax.vmap(partial(late.approximation.values, late.weights.state))(jnp.asarray(t))[:, 0])
    before = t[:, 0] < 2
    found = np.asarray(jax.vmap(partial(march.slabs.values, march.weights.state))(jnp.asarray(t))[:, 0])
    assert np.abs(corrected - (found + reference - values_of(march, t)[:, 0]))[before].max() < 0.05 * true


def test_a_correction_is_taken_as_far_as_new_points_agree_with_it():
    rng = np.random.default_rng(0)
    wanted, noise, scales = [rng.normal(size=(50, 1))], [rng.normal(size=(50, 1))], [np.array([2.0])]
    found = [0.5 * wanted[0] + 3 * noise[0]]
    shares = np.linspace(0, 1, 10001)
    left = [np.linalg.norm(wanted[0] - share * found[0]) for share in shares]
    assert abs(_share(wanted, found, scales) - shares[np.argmin(left)]) < 1e-4
    assert _share(wanted, [-wanted[0]], scales) == 0


def test_what_corrections_see_a_part_of_is_extrapolated():
    """Corrections that each see 0.6 of what is left add up to all of it; what rounding leaves hides nothing."""
    found = [0.6 * 0.4**i for i in range(60)]
    np.testing.assert_allclose(found[0] * (1 + _further(0.4, 1.0, 0.0)), sum(found))
    assert _further(0.4, 1.0, 0.4) == 0
    assert _further(2.0, 1.0, 0.0) == _further(0.9, 1.0, 0.0)


def test_no_time_is_no_march():
    problem = swing()
    setup = setup_of(problem)
    assert march_through(setup, timeline(problem, setup.exact), (60,), None, Clock(1e-9), History())[0] is None


@pytest.mark.slow
def test_slabs_grow_where_it_is_easy():
    """A fast start and a slow rest: lengths follow."""
    problem = pinn.Problem(
        fields="u",
        domain=pinn.Interval(t=(0, 10)),
        residual=lambda u, t: d(u, t) + 40 * (u - jnp.cos(t)),
        conditions=[pinn.Initial(u=0.0)],
    )
    setup = setup_of(problem)
    time = timeline(problem, setup.exact)
    march = Marcher(setup, time, (40,), 1e-9, Clock(100.0), History()).run()
    assert march.edges[-1] == 10
    lengths = np.diff(march.edges)
    assert lengths[0] < 0.5 * lengths.max()
    t = np.linspace(0, 10, 501)
    exact = (1600 * np.cos(t) + 40 * np.sin(t) - 1600 * np.exp(-40 * t)) / 1601
    np.testing.assert_allclose(values_of(march, t[:, None])[:, 0], exact, atol=1e-8)


@pytest.mark.slow
def test_what_is_over_in_a_millionth_of_the_time_is_resolved():
    """u' + 1e6 (u - cos t) = 0: the first slab is as short as the start is fast, and the last one is long."""
    problem = pinn.Problem(
        fields="u",
        domain=pinn.Interval(t=(0, 10)),
        residual=lambda u, t: d(u, t) / 1e6 + u - jnp.cos(t),
        conditions=[pinn.Initial(u=0.0)],
    )
    setup = setup_of(problem)
    march = Marcher(setup, timeline(problem, setup.exact), (60,), 1e-9, Clock(100.0), History()).run()
    assert march.edges[-1] == 10 and march.edges[1] < 1e-3 and len(march.edges) < 100
    t = np.concatenate([np.geomspace(1e-8, 1e-4, 101), np.linspace(0, 10, 101)])
    exact = (1e12 * np.cos(t) + 1e6 * np.sin(t) - 1e12 * np.exp(-1e6 * t)) / (1e12 + 1)
    np.testing.assert_allclose(values_of(march, t[:, None])[:, 0], exact, atol=1e-7)


# --- by solve


@pytest.mark.slow
def test_many_cycles_of_lotka_volterra(tmp_path):
    """Features on the whole interval end with an error of 0.8 here."""
    line = pinn.Interval(t=(0, 10))
    problem = pinn.Problem(
        fields="a b",
        domain=line,
        residual=lambda a, b, t: {"prey": d(a, t) - 1.5 * a + a * b, "hunters": d(b, t) + 3 * b - a * b},
        conditions=[pinn.Initial(a=10.0, b=5.0)],
    )
    solution = pinn.solve(problem, tol=1e-7, progress=False)
    assert solution.status is pinn.Status.REACHED
    assert len(solution.setup.edges) > 3
    t = np.linspace(0, 10, 301)
    run = solve_ivp(
        lambda t, y: [1.5 * y[0] - y[0] * y[1], y[0] * y[1] - 3 * y[1]], (0, 10), [10, 5], t_eval=t, rtol=1e-12, atol=1e-12,
        method="DOP853",
    )  # fmt: skip
    found = solution(t=t)
    for values, reference, name in zip(run.y, run.y, "ab", strict=True):
        error = np.linalg.norm(found[name] - values) / np.linalg.norm(reference)
        assert error < 1e-7
        assert error < 5 * solution.error_estimate[name]
    solution.save(tmp_path / "cycles")
    loaded = pinn.load(tmp_path / "cycles", problem)
    assert np.array_equal(loaded(t=t)["a"], found["a"])
    assert loaded.setup.edges == solution.setup.edges
    assert loaded.setup.drawn == solution.setup.drawn
