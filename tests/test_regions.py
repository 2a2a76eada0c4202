"""Domains of several regions: what their equations and interfaces mean, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinn
from pinn import d, laplacian
from pinn.errors import DomainError, ProblemError, ProblemWarning, SolutionError

LEFT, RIGHT = pinn.Interval(x=(0, 1)), pinn.Interval(x=(1, 3))
DISK, SQUARE = pinn.Disk(x=0, y=0, radius=0.5), pinn.Box(x=(-1, 1), y=(-1, 1))


def rod(jump: float = 0.5, source: float = 2.0, flux: float = 0.25, **options) -> pinn.Problem:
    """k u'' = -1 with k = 2 and 1, a jump of u, and a source of heat at the joint; u(0) = 0 and u(3) = 1."""
    ties = pinn.Interface(u=jump, flux=flux, coefficient={"left": 2.0}, on=LEFT.at(x=1))
    return pinn.Problem(
        fields="u",
        domain={"left": LEFT, "right": RIGHT},
        residual={"left": lambda u, x: 2 * d(u, x, x) + source / 2, "right": lambda u, x: d(u, x, x) + 1},
        conditions=[ties, pinn.Dirichlet(u=0.0, on=LEFT.at(x=0)), pinn.Dirichlet(u=1.0, on=RIGHT.at(x=3))],
        **options,
    )


def rod_exact(x, jump: float = 0.5, flux: float = 0.25):
    """u = -x²/4 + a x left of 1, -(x - 1)²/2 + b (x - 1) + c right of it; b = 2 (a - 1/2) + flux, c = a - 1/4 + jump."""
    a = (1 + 2 + 0.25 - jump - 2 * (flux - 1)) / 5
    b, c = 2 * (a - 0.5) + flux, a - 0.25 + jump
    return np.where(x <= 1, -(x**2) / 4 + a * x, -((x - 1) ** 2) / 2 + b * (x - 1) + c)


@pytest.mark.slow
def test_a_jump_and_a_source_at_an_interface():
    solution = pinn.solve(rod(), time_limit=60, progress=False)
    x = np.linspace(0, 3, 200)
    assert np.abs(solution(x=x) - rod_exact(x)).max() < 1e-10
    assert solution.error_estimate["u"] < 1e-9
    slope = solution.evaluate(lambda u, x: d(u, x), x=np.array([1 - 1e-9, 1 + 1e-9]))
    assert slope[1] - 2 * slope[0] == pytest.approx(0.25, abs=1e-7)
    assert float(jax.grad(lambda x: solution(x=x))(jnp.asarray(2.0))) == pytest.approx(
        float(solution.evaluate(lambda u, x: d(u, x), x=2.0)), abs=1e-12
    )
    residual = solution.residual(x=x)
    assert np.isnan(residual["left"][x > 1]).all() and np.abs(residual["left"][x < 1]).max() < 1e-8


@pytest.mark.slow
def test_it_is_saved_and_loaded(tmp_path):
    problem, x = rod(name="rod"), np.linspace(0, 3, 50)
    solution = pinn.solve(problem, time_limit=60, progress=False)
    solution.save(tmp_path / "rod")
    assert pinn.load(tmp_path / "rod")(x=x) == pytest.approx(solution(x=x), abs=1e-13)
    assert pinn.load(tmp_path / "rod", problem)(x=x) == pytest.approx(solution(x=x), abs=1e-13)
    with pytest.warns(ProblemWarning):
        solution(x=4.0)
    with pytest.raises(SolutionError, match=r"several regions cannot be exported.*solution\.save"):
        solution.export(tmp_path / "rod.stablehlo")


def plate(conditions, residual=None) -> pinn.Problem:
    heat = {"in": lambda u, x, y: laplacian(u, x, y), "out": lambda u, x, y: laplacian(u, x, y)}
    domain = {"in": DISK, "out": SQUARE - DISK}
    return pinn.Problem(fields="u", domain=domain, residual=residual or heat, conditions=conditions)


RIM, WALL = pinn.Interface(u=0.0, on=DISK.boundary), pinn.Dirichlet(u=0.0, on=SQUARE.boundary)


def test_the_normal_points_from_the_first_region_into_the_second():
    interface = plate([RIM, WALL]).terms[1]
    points, columns = interface.sample(SQUARE, 100, (0,))
    assert np.hypot(*points.T) == pytest.approx(0.5)
    assert columns["normal"] == pytest.approx(points / 0.5)


def test_an_interface_is_zero_for_fields_that_fit_and_what_is_missing_for_others():
    """u = x inside and x + 3 y outside, k = 5 inside: the jump of u is 3 y, that of the flux (1 - 5) n_x + 3 n_y."""
    problem = plate([pinn.Interface(u=0.0, coefficient={"in": lambda u, x: 5 + 0 * u * x}, on=DISK.boundary), WALL])
    term = problem.terms[1]
    x, y = 0.3, 0.4
    leaves = {"u (in)": {(0, 0): x, (1, 0): 1.0, (0, 1): 0.0}, "u (out)": {(0, 0): x + 3 * y, (1, 0): 1.0, (0, 1): 3.0}}
    values = jnp.array([leaves[leaf.field][leaf.index] for leaf in term.expression.read])
    found = term.expression.value(jnp.array([x, y]), values, {"normal": jnp.array([0.6, 0.8])})
    assert term.expression.components == ("u", "u flux")
    assert np.asarray(found) == pytest.approx([3 * y, (1 - 5) * 0.6 + 3 * 0.8])


def test_regions_are_told_apart():
    problem = plate([RIM, WALL])
    regions = problem.regions
    assert regions is not None
    assert regions.sides(np.array([[0.1, 0.1], [0.9, 0.0], [0.5, 0.0], [2.0, 2.0]])).tolist() == [0, 1, 0, 1]
    points, marks = problem.terms[0].sample(problem.domain, 200, (0,))
    assert (np.hypot(*points.T) < 0.5).tolist() == (marks["inside in"] == 1).tolist()
    assert marks["inside in"].mean() == 0.5


def test_a_field_may_live_in_one_region_alone():
    """A fluid around a warm body: no velocity in the body, whose wall it does not pass."""
    problem = pinn.Problem(
        fields="T w",
        domain={"body": DISK, "fluid": SQUARE - DISK},
        residual={
            "body": lambda T, x, y: laplacian(T, x, y),
            "fluid": lambda T, w, x, y: (laplacian(T, x, y) - w, laplacian(w, x, y) + 1),
        },
        conditions=[
            pinn.Interface(T=0.0, on=DISK.boundary),
            pinn.Dirichlet(w=0.0, on=DISK.boundary),
            pinn.Dirichlet(T=0.0, w=0.0, on=SQUARE.boundary),
        ],
    )
    assert problem.unknowns == ("T (body)", "T (fluid)", "w (fluid)")
    assert problem.equations == ("body", "fluid 1", "fluid 2")
    points, columns = problem.terms[2].sample(problem.domain, 50, (0,))
    assert columns["normal"] == pytest.approx(-points / 0.5)


def test_wrong_use_is_explained():
    with pytest.raises(ProblemError, match=r"The regions 'in' and 'out' overlap: 100% of the first lies in the second"):
        both = {"in": lambda u, x, y: laplacian(u, x, y), "out": lambda u, x, y: laplacian(u, x, y)}
        pinn.Problem(fields="u", domain={"in": DISK, "out": SQUARE}, residual=both, conditions=[RIM, WALL])
    with pytest.raises(ProblemError, match="needs a residual for each of them"):
        plate([RIM, WALL], residual=lambda u, x, y: laplacian(u, x, y))
    with pytest.raises(ProblemError, match=r"lies between regions\. What ties them is an Interface"):
        plate([pinn.Dirichlet(u=0.0, on=DISK.boundary), WALL])
    with pytest.raises(DomainError, match="no two of the regions 'in', 'out' meet"):
        plate([pinn.Interface(u=0.0, on=SQUARE.boundary), WALL])
    with pytest.raises(ProblemError, match=r"'inn' is no region; there are 'in', 'out'. Did you mean 'in'"):
        plate([pinn.Interface(u=0.0, coefficient={"inn": 1.0}, on=DISK.boundary), WALL])
    with pytest.raises(ProblemError, match="the domain is one region"):
        pinn.Problem(fields="u", domain=SQUARE, residual=lambda u, x, y: laplacian(u, x, y), conditions=[RIM, WALL])
    with pytest.raises(ProblemError, match="takes no Periodic"):
        plate([RIM, pinn.Periodic("x")])
