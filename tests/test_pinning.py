"""Fields of which only differences matter are held at one place, and their errors are those of differences."""

import jax.numpy as jnp
import numpy as np
import pytest

import pinn
from pinn import Box, Condition, Dirichlet, Initial, Interval, Neumann, Periodic, Points, Problem, d
from pinn.pinning import pinned

LINE = Interval(x=(0, 1))


def insulated(source=1.0, level=7.0):
    """y'' = -π² cos πx with slopes of zero: cos πx, and any constant; with another `source` there is no solution."""
    return Problem(
        fields="y",
        domain=LINE,
        residual=lambda y, x: d(y, x, x) + source * jnp.pi**2 * jnp.cos(jnp.pi * x) + (1 - source),
        conditions=[Neumann(y=0.0, on=LINE.boundary)],
        reference=lambda x: level + np.cos(np.pi * x),
        name="insulated",
    )


def potential(start=()):
    """u = exp(-t) sin x and p = -u, and any function of time: p_xx = u, everything periodic."""
    box = Box(t=(0, 1), x=(0, 2 * np.pi))

    def residual(u, p, t, x):
        return d(u, t) - d(u, x, x) + u * d(p, x) + jnp.exp(-2 * t) * jnp.sin(2 * x) / 2, d(p, x, x) - u

    return Problem(
        fields="u p",
        domain=box,
        residual=residual,
        conditions=[Initial(u=lambda x: jnp.sin(x)), Periodic("x"), *start],
        reference=lambda t, x: {"u": np.exp(-t) * np.sin(x), "p": 3 + t - np.exp(-t) * np.sin(x)},
        name="potential",
    )


def test_a_field_that_is_fixed_up_to_a_constant_is_held_at_one_place():
    problem = insulated()
    with pytest.warns(pinn.WellPosednessWarning, match="a constant added to y.*Until then y is held at 0 where x = 0.5"):
        held, posed = pinned(problem)
    assert not posed.ill_posed
    assert len(held.terms) == len(problem.terms) + 1 and held.terms[:-1] == problem.terms
    x = np.linspace(0, 1, 5)[:, None]
    (place,) = held.terms[-1].place.at(LINE)
    np.testing.assert_allclose(held.reference(x)["y"], np.cos(np.pi * x[:, 0]) - np.cos(np.pi * place), atol=1e-14)
    np.testing.assert_allclose(problem.reference(x)["y"], 7 + np.cos(np.pi * x[:, 0]), atol=1e-14)


def test_a_field_that_does_not_evolve_is_held_at_all_times():
    problem = potential()
    with pytest.warns(pinn.WellPosednessWarning, match=r"on=Points\(x=\[3.1\]\)") as caught:
        held, posed = pinned(problem)
    assert "held at 0 where x = " in str(caught[0].message) and not posed.ill_posed
    points, columns = held.terms[-1].sample(problem.domain, 7, (0,))
    assert not columns and np.ptp(points[:, 1]) == 0 and np.all(np.diff(points[:, 0]) > 0.1)
    known = held.reference(points)
    np.testing.assert_allclose(known["p"], 0, atol=1e-14)
    np.testing.assert_allclose(known["u"], np.exp(-points[:, 0]) * np.sin(points[:, 1]))


@pytest.mark.parametrize(
    "problem",
    [
        lambda: Problem(
            fields="y",
            domain=LINE,
            residual=lambda y, x: d(y, x, x) + 1,
            conditions=[Dirichlet(y=0.0, on=LINE.at(x=0))],
        ),
        lambda: Problem(
            fields="u",
            domain=Box(t=(0, 1), x=(0, 1)),
            residual=lambda u, t, x: d(u, t) - d(u, x, x),
            conditions=[Neumann(u=0.0, on=Box(t=(0, 1), x=(0, 1)).at(x=(0, 1)))],
        ),
    ],
    ids=["a slope is free, too", "another function of time would be another solution"],
)
@pytest.mark.filterwarnings("ignore:.*conditions? in")
def test_what_more_than_a_constant_is_free_of_is_left_as_it_is(problem):
    given = problem()
    with pytest.warns(pinn.WellPosednessWarning, match="do not fix one solution"):
        held, posed = pinned(given)
    assert held is given and posed.ill_posed


def test_only_differences_count_in_the_error(tmp_path):
    problem = insulated()
    with pytest.warns(pinn.WellPosednessWarning, match="held at 0"):
        solution = pinn.solve(problem, progress=False)
    assert solution.errors().fields["y"].relative_l2 < 1e-11
    assert solution.error_estimate["y"] < 1e-11
    assert solution.trust is not pinn.Trust.UNKNOWN
    solution.save(tmp_path / "saved")
    again = pinn.load(tmp_path / "saved", problem)
    assert again.errors().fields["y"].relative_l2 < 1e-11


@pytest.mark.slow
def test_data_that_no_solution_fits_are_not_trusted():
    with pytest.warns(pinn.WellPosednessWarning), pytest.warns(pinn.AccuracyWarning):
        assert pinn.solve(insulated(source=0.5), time_limit=20, progress=False).trust is pinn.Trust.UNKNOWN


@pytest.mark.slow
def test_steps_in_time_hold_a_potential_too():
    with pytest.warns(pinn.WellPosednessWarning):
        solution = pinn.solve(potential(), tol=1e-8, progress=False)
    assert solution.setup.level is not None
    for error in solution.errors().fields.values():
        assert error.relative_l2 < 1e-8


def test_points_without_a_time_are_meant_for_all_times_unless_they_bring_readings():
    hold = Condition(lambda p: p - 1, on=Points(x=[1.0]))
    problem = potential([hold])
    assert str(problem.terms[-1].place) == "1 point at all times"
    assert not problem.check().stability.ill_posed
    with pytest.raises(pinn.errors.ProblemError, match="no column for the coordinates 't'"):
        potential([Condition(lambda p, value: p - value, on=Points(x=[1.0], value=[2.0]))])
    with pytest.raises(pinn.errors.ProblemError, match="1 of 1 points lie outside"):
        potential([Condition(lambda p: p, on=Points(x=[9.0]))])
