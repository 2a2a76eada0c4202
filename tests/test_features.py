"""The least-squares phase against what it must reproduce, and the error estimate against true errors."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems_with_answers import bratu, convection, heat, oscillator, poisson

import pinn
from pinn import d
from pinn.derivatives import sin, tanh
from pinn.estimate import Draw, Trust, _gap, are_zero, combined, estimate, in_doubt
from pinn.exact import plan_exact
from pinn.families import Family, candidates, draw_features, feature_ansatz
from pinn.features import Setup, field_sizes, fit, relative_residual, stationary
from pinn.loss import Weights, draw, field_values, objective, residuals, start_unknown
from pinn.networks import Encoding
from pinn.rows import correction, least_squares, linearised, remaining, row_scales, scattered, term_rows


def setup_of(problem, exact=None, seed=0):
    return Setup(problem, plan_exact(problem, exact), (seed,), jnp.float64)


def test_least_squares_agrees_with_numpy():
    rng = np.random.default_rng(0)
    matrices = [rng.normal(size=(40, 2, 12)), rng.normal(size=(9, 1, 12)) * 1e3]
    targets = [rng.normal(size=(40, 2)), rng.normal(size=(9, 1))]
    scales = [np.array([1.0, 0.3]), np.array([2e-3])]
    found, sum_of_squares = least_squares(
        [jnp.asarray(m) for m in matrices], [jnp.asarray(t)[:, :, None] for t in targets], [jnp.asarray(s) for s in scales]
    )
    left = np.concatenate([(m * s[None, :, None]).reshape(-1, 12) for m, s in zip(matrices, scales, strict=True)])
    right = np.concatenate([(t * s[None]).reshape(-1) for t, s in zip(targets, scales, strict=True)])
    expected, least, _, _ = np.linalg.lstsq(left, right, rcond=None)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(sum_of_squares, least, rtol=1e-9)


@pytest.mark.parametrize("make", [heat, oscillator, bratu, convection])
@pytest.mark.parametrize("activation", [sin, tanh])
def test_rows_are_the_derivative_of_the_residuals_by_the_coefficients(make, activation):
    problem = make()
    setup = setup_of(problem)
    family = Family(activation, (2.0,) * problem.domain.dimension)
    basis, state = feature_ansatz(problem, setup.exact, family, 5, (1,), jnp.float64)
    goal = objective(problem, basis, setup.exact)
    weights = Weights(state, start_unknown(problem, jnp.float64))
    batches = draw(goal, {"equation": 6, "condition": 6}, (2,), jnp.float64)
    term, batch = goal.terms[0], batches[0]
    rows = term_rows(goal, term, basis, weights, state, batch)
    step, column = 1e-6, 3
    output = state[0]["train"]["output"]
    moved = {"kernel": output["kernel"].at[column, 0].add(step), "bias": output["bias"]}
    changed = ({**state[0], "train": {**state[0]["train"], "output": moved}}, *state[1:])
    after = residuals(goal, weights._replace(state=changed), batches)[0]
    np.testing.assert_allclose(rows.matrix[:, :, column], (after - rows.residual) / step, rtol=1e-4, atol=1e-4)


def test_features_are_periodic_and_their_bandwidths_are_as_asked():
    encoding = Encoding(np.array([0.0, 0.0]), np.array([1.0, 6.0]), (False, True), raw=True)
    kernel, bias = draw_features(encoding, Family(sin, (3.0, 8.0)), 4000, (0,))
    assert set(kernel[1]) == set(range(-16, 17))
    np.testing.assert_allclose(np.abs(kernel).max(axis=1), [6.0, 16.0], rtol=0.01)
    np.testing.assert_allclose(kernel.std(axis=1), [2 * 3 / 3**0.5, np.sqrt(16 * 17 / 3)], rtol=0.01)
    assert bias.min() >= 0 and bias.max() <= 2 * np.pi


@pytest.mark.parametrize("activation", [sin, tanh])
def test_round_features_are_the_same_in_all_directions(activation):
    """Of time and the distance from the middle they are any function, of the direction none."""
    ball = pinn.Interval(t=(0, 1)) * pinn.Ball(x=1, y=2, z=3, radius=2)
    problem = pinn.Problem(
        fields="u", domain=ball, residual=lambda u, t, x, y, z: u, conditions=[pinn.Dirichlet(u=0.0, on=ball.boundary)]
    )
    family = Family(activation, (3.0, 2.0, 2.0, 2.0), round=(1, 2, 3))
    basis, state = feature_ansatz(problem, plan_exact(problem, None), family, 40, (3,), jnp.float64)
    at_ends = np.array([[0.3, 2, 2, 3], [0.3, 1, 1, 3], [0.3, 1, 2, 4], [0.3, 2, 2, 4], [0.6, 2, 2, 3]], float)
    functions = np.asarray(jax.vmap(lambda point: basis.basis(state, point)["u"])(at_ends))
    np.testing.assert_allclose(functions[1:3], np.stack([functions[0]] * 2), rtol=1e-13)
    assert (np.abs(functions[3:] - functions[0]).max(axis=1) > 0.1).all()
    inner = np.linalg.svd(functions[[0, 3, 4]], compute_uv=False)
    assert inner[-1] > 1e-2 * inner[0]


def drawn(size, rho=0.1, unresolved=0.0):
    nothing: Any = None
    values = np.broadcast_to(np.array(size, float), (4, len(size)))
    return Draw(nothing, nothing, values, np.zeros(len(size)), rho, rho, unresolved)


@pytest.mark.parametrize(
    ("draws", "doubt"),
    [
        ([drawn([1.0, 2.0]), drawn([0.9, 2.2])], False),
        ([drawn([1.0, 2.0]), drawn([1.0, 0.2])], True),
        ([drawn([1.0, 2.0], rho=0.6), drawn([1.0, 0.2])], False),
        ([drawn([1.0, 0.0], unresolved=np.array([0.0, 2.0])), drawn([1.0, 2.0])], False),
    ],
    ids=["they agree", "on one field they do not", "the error is not resolved", "what is missed counts"],
)
def test_a_third_draw_decides_where_two_that_resolve_the_error_disagree(draws, doubt):
    assert in_doubt(draws) == doubt


def test_the_draws_that_agree_best_on_each_field_count():
    each = [np.array([1.0, 0.1]), np.array([0.1, 2.0]), np.array([0.9, 2.2])]
    assert _gap(each[:2], np.array([1.0, 2.0])) == pytest.approx(0.95)
    assert _gap(each, np.array([1.0, 2.2])) == pytest.approx(0.1)
    assert _gap(each[:1], np.array([1.0, 1.0])) == 0


@pytest.mark.parametrize(("above", "rounded"), [(1e2, True), (1e6, False)])
def test_a_residual_that_is_more_than_rounding_is_not_called_rounding(above, rounded):
    """No correction, since the features see no way to one, does not mean that there is nothing to correct."""
    problem = poisson()
    setup = setup_of(problem)
    found = fit(setup, Family(sin, (4.0, 4.0)), 20)
    goal = objective(problem, found.approximation, setup.exact)
    one = Draw(found.approximation, found.weights.state, np.zeros((1, 1)), np.full(1, 1e-15), 1.0, 1.0, above=above)
    judged = combined(setup, goal, found.weights, [one, one])
    assert judged.rounded == rounded
    assert judged.trust is (Trust.ROUGH if rounded else Trust.UNKNOWN)


@pytest.mark.parametrize(("noise", "trust"), [(1e-13, Trust.ROUGH), (1e-9, Trust.UNKNOWN)])
def test_rounding_that_the_correction_does_not_see_bounds_the_error_and_does_not_estimate_it(noise, trust):
    problem = poisson()
    setup = setup_of(problem)
    found = fit(setup, Family(sin, (4.0, 4.0)), 20)
    goal = objective(problem, found.approximation, setup.exact)
    one = Draw(found.approximation, found.weights.state, np.full((1, 1), noise / 100), np.full(1, noise), 0.1, 0.1, above=1e2)
    judged = combined(setup, goal, found.weights, [one, one])
    assert judged.rounded and judged.trust is trust


def test_a_solution_that_its_values_give_exactly_is_right_to_rounding():
    """All weights are zero, and rounding of none makes a residual: that of the equation's own terms does."""
    line = pinn.Interval(x=(0, 1))
    ends = [pinn.Dirichlet(y=0.0, on=line.at(x=0)), pinn.Dirichlet(y=1.0, on=line.at(x=1))]
    straight = pinn.Problem(fields="y", domain=line, residual=lambda y, x: d(y, x, x) + y**2 - x * y, conditions=ends)
    solution = pinn.solve(straight, progress=False)
    assert solution.trust is Trust.ROUGH and solution.error_estimate["y"] < 1e-14
    assert abs(float(solution(x=0.3)) - 0.3) < 1e-15


@pytest.mark.parametrize("fields", ["u", "u v"])
def test_a_solution_at_which_all_terms_vanish_is_told_from_one_that_is_rough(fields):
    """A linear function makes nothing of second derivatives, and a second field nothing of anything: the patch test."""
    box = pinn.Box(x=(0, 1), y=(0, 1))

    def one(u, x, y):
        return pinn.laplacian(u, x, y)

    def two(u, v, x, y):
        return 3 * d(u, x, x) + d(u, y, y) + 2 * d(v, x, y), 3 * d(v, y, y) + d(v, x, x) + 2 * d(u, x, y)

    zero = {"v": 0.0} if fields == "u v" else {}
    condition = pinn.Dirichlet(u=lambda x: x, **zero, on=box.boundary)
    problem = pinn.Problem(fields=fields, domain=box, residual=two if zero else one, conditions=[condition])
    setup = setup_of(problem, exact=False)
    smooth, rough = (fit(setup, Family(sin, (bandwidth,) * 2), 100) for bandwidth in (1.0, 8.0))
    points = np.random.default_rng(0).uniform(size=(50, 2))

    def error(found):
        values = np.asarray(field_values(objective(problem, found.approximation, setup.exact), found.weights, points))
        return np.max(np.abs(values - np.stack([points[:, 0], 0 * points[:, 0]], axis=1)[:, : values.shape[1]]))

    assert error(smooth) < 1e-7 < 1e-5 < error(rough)
    assert smooth.held_out < 0.1 < rough.held_out


@pytest.mark.parametrize(
    ("stiffness", "sizes", "errors", "zero"),
    [
        (1.0, [1.0, 1e-12], [1e-14, 1e-12], [False, True]),
        (1.0, [1.0, 1e-12], [1e-14, 1e-15], [False, False]),  # as accurate as that it is a small field
        (1.0, [1.0, 1e-6], [1e-14, 1e-6], [False, False]),
        (1e14, [1.0, 1e-12], [1e-14, 1e-12], [False, False]),  # in other units: it counts in the equation
    ],
    ids=["zero", "small", "not small enough", "other units"],
)
def test_a_field_is_zero_that_cannot_be_told_from_it_and_that_no_equation_notices(stiffness, sizes, errors, zero):
    line = pinn.Interval(x=(0, 1))
    problem = pinn.Problem(
        fields="u w",
        domain=line,
        residual=lambda u, w, x: (d(u, x, x) + stiffness * w + jnp.sin(3 * x), d(w, x, x)),
        conditions=[pinn.Dirichlet(u=0.0, w=0.0, on=line.boundary)],
    )
    setup = setup_of(problem)
    found = fit(setup, Family(sin, (3.0,)), 20)
    goal = objective(problem, found.approximation, setup.exact)
    assert are_zero(setup, goal, found.weights, np.array(sizes), np.array(errors)).tolist() == zero


def test_newton_leaves_a_point_from_which_no_direction_leads_on():
    """y'² = 4 y², y(0) = 1 as a penalty, is flat about y = 0 in its equation, and not in its condition; ∫ y² = 1 in both."""
    line = pinn.Interval(x=(0, 1))

    def stays(problem, state=None, exact=False):
        setup = setup_of(problem, exact)
        basis, empty = feature_ansatz(problem, setup.exact, Family(sin, (2.0,)), 12, (1,), jnp.float64)
        goal = objective(problem, basis, setup.exact)
        weights = Weights(state(basis, empty) if state else empty, start_unknown(problem, jnp.float64))
        batches = draw(goal, {"equation": 40, "condition": 1}, (2,), jnp.float64)
        rows = linearised(goal, weights, basis, empty, batches)
        scales = row_scales(rows, goal.terms)
        return stationary(goal, weights, batches, rows, correction(rows, scales)[1], remaining(rows, scales))

    def growth(y, x):
        return d(y, x) ** 2 - 4 * y**2

    normed = pinn.Integral(lambda y, x: y**2, equals=1.0)
    flat = pinn.Problem(fields="y", domain=line, residual=growth, conditions=[normed])
    assert stays(flat)
    assert not stays(flat, lambda basis, empty: scattered(basis, empty, (3,)))
    assert not stays(pinn.Problem(fields="y", domain=line, residual=growth, conditions=[pinn.Dirichlet(y=1.0, on=line.at(x=0))]))
    ends = [pinn.Dirichlet(y=float(x), on=line.at(x=x)) for x in (0, 1)]
    known = pinn.Problem(fields="y", domain=line, residual=lambda y, x: d(y, x, x) + d(y, x) ** 2 - 1, conditions=ends)
    assert not stays(known, exact=True)  # what is met by construction is the solution already


def test_round_features_find_what_is_the_same_in_all_directions():
    """Δu = 6 cos r² - 4 r² sin r² with u = sin 1 on the unit sphere: u = sin r²."""
    ball = pinn.Ball(x=0, y=0, z=0, radius=1)

    def residual(u, x, y, z):
        square = x**2 + y**2 + z**2
        return pinn.laplacian(u, x, y, z) - 6 * jnp.cos(square) + 4 * square * jnp.sin(square)

    problem = pinn.Problem(
        fields="u", domain=ball, residual=residual, conditions=[pinn.Dirichlet(u=float(np.sin(1.0)), on=ball.boundary)]
    )
    setup = setup_of(problem)
    found = {family.kind: fit(setup, family, 60).held_out for family in candidates(problem) if max(family.bandwidth) == 1.0}
    best = min(found, key=found.__getitem__)
    assert best == ("sin", None, False, True) and found[best] < 1e-8
    assert min(value for kind, value in found.items() if kind != best) > 1e3 * found[best]


def test_a_periodic_coordinate_has_no_distance_from_the_middle():
    box = pinn.Box(x=(0, 1), y=(0, 1), z=(0, 1))
    problem = pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, x, y, z: pinn.laplacian(u, x, y, z) - u,
        conditions=[pinn.Periodic("x"), pinn.Dirichlet(u=0.0, on=box.at(y=(0, 1)) + box.at(z=(0, 1)))],
    )
    assert not any(family.round for family in candidates(problem))


def test_the_held_out_residual_is_small_where_the_fit_is_good_and_large_where_it_is_not():
    problem = poisson()
    setup = setup_of(problem)
    good, bad = fit(setup, Family(sin, (4.0, 4.0)), 200), fit(setup, Family(sin, (16.0, 16.0)), 20)
    assert good.held_out < 1e-7 < 1e-2 < bad.held_out


def test_gauss_newton_on_the_linear_layer_continues_from_an_earlier_fit():
    problem = bratu()
    setup = setup_of(problem)
    first = fit(setup, Family(sin, (4.0,)), 20)
    second = fit(setup, Family(sin, (4.0,)), 80, 1, first)
    assert second.held_out < 1e-12


def test_field_sizes_are_root_mean_squares():
    problem = heat()
    found = fit(setup_of(problem), Family(sin, (3.0, 3.0)), 150)
    goal = objective(problem, found.approximation, plan_exact(problem, None))
    points = pinn.sampling.measure_points(problem.domain, 2000)
    exact = problem.reference(points)["u"]
    sizes = field_sizes(problem, field_values(goal, found.weights, jnp.asarray(points)))
    assert sizes["u"] == pytest.approx(np.sqrt(np.mean(exact**2)), rel=1e-6)


@pytest.mark.parametrize("make", [oscillator, *(pytest.param(make, marks=pytest.mark.slow) for make in (poisson, heat, bratu))])
@pytest.mark.parametrize("exact", [pytest.param(None, marks=pytest.mark.slow), False])
def test_an_estimate_is_as_good_as_its_trust_says(make, exact):
    problem = make()
    setup = setup_of(problem, exact)
    points = pinn.sampling.measure_points(problem.domain, 3000)[::7]
    known, counted = problem.reference(points), 0
    for width in (6, 20, 60):
        family = Family(sin, (3.0,) * problem.domain.dimension)
        found = fit(setup, family, width)
        goal = objective(problem, found.approximation, setup.exact)
        judged = estimate(setup, goal, found.weights, family.scaled(1.3), 300, setup.exact)
        values = np.asarray(jax.vmap(lambda p, goal=goal, found=found: goal.values(found.weights, p))(jnp.asarray(points)))
        for i, name in enumerate(problem.fields):
            true = np.linalg.norm(values[:, i] - known[name]) / np.linalg.norm(known[name])
            factor = {pinn.Trust.TRUSTED: 2, pinn.Trust.ROUGH: 5, pinn.Trust.UNKNOWN: np.inf}[judged.trust]
            assert true / factor - 1e-13 <= judged.errors[name] <= true * factor + 1e-13
            counted += judged.trust is not pinn.Trust.UNKNOWN
    assert counted


@pytest.mark.parametrize("linear", [True, False])
def test_far_from_a_solution_linearising_is_not_trusted(linear):
    """u'' - c u (1 ± ε u²) = 0 with its values given: what two features make of it is wrong by a twentieth and more."""
    line = pinn.Interval(x=(0, 1))
    problem = pinn.Problem(
        fields="u",
        domain=line,
        residual=lambda u, x: pinn.d(u, x, x) - 400 * u * (1 if linear else 1 + 1e-6 * u**2),
        conditions=[pinn.Dirichlet(u=1.0, on=line.boundary)],
    )
    setup = setup_of(problem)
    found = fit(setup, Family(sin, (1.0,)), 2)
    goal = objective(problem, found.approximation, setup.exact)
    judged = estimate(setup, goal, found.weights, Family(sin, (3.0,)), 100, setup.exact)
    assert judged.worst > 0.05
    assert judged.trust is (pinn.Trust.TRUSTED if linear else pinn.Trust.UNKNOWN)
    assert linear or "another one may be the right one" in judged.reason


def test_the_corrected_solution_is_better():
    problem = poisson()
    setup = setup_of(problem)
    found = fit(setup, Family(sin, (3.0, 3.0)), 60)
    goal = objective(problem, found.approximation, setup.exact)
    judged = estimate(setup, goal, found.weights, Family(sin, (4.0, 4.0)), 200, setup.exact)
    fresh = draw(goal, {"equation": 500, "condition": 100}, (9,), jnp.float64)
    corrected = objective(problem, judged.approximation, setup.exact)
    before, after = (
        relative_residual(one, weights, fresh, linearised(one, weights, None, (), fresh))
        for one, weights in ((goal, found.weights), (corrected, judged.weights))
    )
    assert after < 1e-2 * before
