"""Gauss-Newton against SciPy's least squares, its two factorisations against each other, and its own promises."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import random_network
from scipy.optimize import least_squares

import pinn
from pinn import phases
from pinn.errors import MethodError
from pinn.loss import draw, trainable
from pinn.methods.gauss_newton import GaussNewtonState, HostDriven, _Model
from problems import exam_ode


def rosenbrock(x):
    return jnp.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])


TIMES = np.linspace(0, 4, 40)
DECAYS = 2 * np.exp(-TIMES) + 1.5 * np.exp(-1.6 * TIMES) + 1e-3 * np.random.default_rng(0).normal(size=40)


def two_decays(p):
    """Two exponentials of nearly one rate: the Jacobian's singular values span five decades."""
    return p[0] * jnp.exp(-p[1] * TIMES) + p[2] * jnp.exp(-p[3] * TIMES) - DECAYS


def run(rows, x, steps, method=None):
    """The parameters, losses and states after each step."""
    method = method or pinn.gauss_newton()
    rows, slopes = jax.jit(rows), jax.jit(jax.jacfwd(rows))
    state, losses, states = method.init(x), [], []
    for _ in range(steps):
        update, state = method.update(None, state, x, residuals_fn=rows, jacobian_fn=lambda x: (rows(x), slopes(x)))
        x = optax.apply_updates(x, update)
        losses.append(float(rows(x) @ rows(x)))
        states.append(state)
    return x, np.array(losses), states


def damped_step(jacobian, rows, damping):
    """The minimiser of ‖r + J p‖² + λ‖p‖², by least squares of [J; √λ I]: no normal equations."""
    width = jacobian.shape[1]
    stacked = np.concatenate([jacobian, np.sqrt(damping) * np.eye(width)])
    return np.linalg.lstsq(stacked, -np.concatenate([rows, np.zeros(width)]), rcond=1e-30)[0]


# --- what it finds


def test_rosenbrock():
    """From Rosenbrock's own start, around the bend of the valley, to (1, 1)."""
    x, losses, _ = run(rosenbrock, jnp.array([-1.2, 1.0]), 60)
    np.testing.assert_allclose(x, [1.0, 1.0], atol=1e-10)
    assert losses[-1] < 1e-20


def test_an_ill_conditioned_fit_is_scipys():
    start = jnp.array([1.0, 0.5, 1.0, 3.0])
    reference = least_squares(
        lambda p: np.asarray(two_decays(p)),
        start,
        jac=lambda p: np.asarray(jax.jacfwd(two_decays)(p)),
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
    )
    condition = np.linalg.cond(reference.jac)
    x, losses, _ = run(two_decays, start, 150)
    assert condition > 300
    assert losses[-1] == pytest.approx(2 * reference.cost, rel=1e-9)
    np.testing.assert_allclose(sorted(np.asarray(x)), sorted(reference.x), rtol=1e-3)


def test_it_converges_quadratically_where_residuals_vanish():
    """The last steps square the error, as Newton's do: λ has come down with the residual."""

    def rows(x):
        return jnp.stack([jnp.exp(x[0]) - 2, x[0] * x[1] - 1, jnp.sin(x[1]) - jnp.sin(1 / jnp.log(2.0))])

    _, losses, _ = run(rows, jnp.array([0.0, 0.5]), 25)
    assert losses[-1] < 1e-28
    steps = np.flatnonzero(losses > 1e-28)
    assert len(steps) < 15


def test_fewer_rows_than_parameters():
    """Any of the many solutions; the nearest one for a linear system, since steps have no part in the null space."""
    rng = np.random.default_rng(1)
    matrix, right, start = rng.normal(size=(5, 12)), rng.normal(size=5), rng.normal(size=12)
    x, losses, _ = run(lambda x: matrix @ x - right, jnp.asarray(start), 30)
    nearest = start + np.linalg.lstsq(matrix, right - matrix @ start, rcond=None)[0]
    assert losses[-1] < 1e-24
    np.testing.assert_allclose(x, nearest, atol=1e-4)


def test_parameters_may_be_any_pytree():
    def rows(params):
        return jnp.concatenate([params["a"] - 1.0, (params["b"][0] * params["a"]).reshape(-1) - 2.0])

    method, params = pinn.gauss_newton(), {"a": jnp.array([0.5, 0.5]), "b": [jnp.array(1.0)]}
    state = method.init(params)
    flat = jax.flatten_util.ravel_pytree(params)[1]
    for _ in range(30):

        def jacobian(params):
            vector, back = jax.flatten_util.ravel_pytree(params)
            return rows(params), jax.jacfwd(lambda v: rows(back(v)))(vector)

        update, state = method.update(None, state, params, residuals_fn=rows, jacobian_fn=jacobian)
        assert jax.tree.structure(update) == jax.tree.structure(params)
        params = optax.apply_updates(params, update)
    np.testing.assert_allclose(params["a"], 1.0, atol=1e-8)
    np.testing.assert_allclose(params["b"][0], 2.0, atol=1e-8)
    assert flat(jnp.zeros(3))["b"][0].shape == ()


def test_float32_parameters_stay_float32():
    method, x = pinn.gauss_newton(), jnp.array([3.0, -1.0], jnp.float32)
    update, _ = method.update(None, method.init(x), x, residuals_fn=lambda x: x, jacobian_fn=lambda x: (x, jnp.eye(2)))
    assert update.dtype == jnp.float32 and float(jnp.abs(update).max()) > 0.1


# --- what it promises of each step


def test_the_loss_never_rises():
    for rows, start in ((rosenbrock, jnp.array([-1.2, 1.0])), (two_decays, jnp.array([1.0, 0.5, 1.0, 3.0]))):
        first = float(rows(start) @ rows(start))
        _, losses, _ = run(rows, start, 30)
        assert np.all(np.diff([first, *losses]) <= 0)


@pytest.mark.parametrize("growth", [1.5, 3.0])
def test_steps_grow_by_no_more_than_allowed(growth):
    x, lengths = jnp.array([1000.0, -500.0]), []
    method = pinn.gauss_newton(growth=growth)
    state = method.init(x)
    for _ in range(25):
        radius = state.radius
        update, state = method.update(None, state, x, residuals_fn=lambda x: x, jacobian_fn=lambda x: (x, jnp.eye(2)))
        length = float(jnp.linalg.norm(update))
        assert length <= growth * radius * (1 + 1e-12)
        x = optax.apply_updates(x, update)
        lengths.append(length)
    assert max(lengths) > 100 and float(jnp.linalg.norm(x)) < 1e-6


def test_an_accepted_step_is_at_the_edge_of_the_models_validity():
    """Actual / predicted reduction is at least the target, and a quarter of its λ would fall below it or be no longer a step."""
    x, state, target = jnp.array([-1.2, 1.0]), GaussNewtonState(1e-2, 1.0, 0), 0.075
    jacobian = jax.jacfwd(rosenbrock)
    taken = 0
    for _ in range(8):
        r, j = np.asarray(rosenbrock(x)), np.asarray(jacobian(x))
        if r @ r < 1e-20:
            break
        method = pinn.gauss_newton(target=target, trials=80)
        update, new = method.update(None, state, x, residuals_fn=rosenbrock, jacobian_fn=lambda x: (rosenbrock(x), jacobian(x)))

        def ratio(p, r=r, j=j, x=x):
            after = np.asarray(rosenbrock(x + p))
            return (r @ r - after @ after) / (r @ r - (r + j @ p) @ (r + j @ p))

        def step(damping, r=r, j=j):
            return damped_step(j, r, damping)

        np.testing.assert_allclose(update, step(new.damping), atol=1e-9 * np.linalg.norm(update))
        assert ratio(np.asarray(update)) >= target * (1 - 1e-9)
        bolder = step(new.damping / 4)
        too_long = np.linalg.norm(bolder) > 3 * state.radius
        assert too_long or ratio(bolder) < target or abs(ratio(np.asarray(update)) - target) < 0.02 or new.damping < 1e-25
        x, state, taken = x + update, new, taken + 1
    assert taken >= 3


def test_a_step_that_would_not_help_is_a_zero_update():
    """At a minimum, and where the loss cannot be evaluated: nothing moves, λ rises, the next step is to be shorter."""
    method, x = pinn.gauss_newton(), jnp.array([1.0, 2.0])
    at_minimum = {"residuals_fn": lambda x: jnp.array([1.0, 0.0, 0.0]) + 0 * x[0], "jacobian_fn": None}
    at_minimum["jacobian_fn"] = lambda x: (jnp.array([1.0, 0.0, 0.0]), jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    nowhere = {"residuals_fn": lambda x: x * jnp.nan, "jacobian_fn": lambda x: (x, jnp.eye(2))}
    broken = {"residuals_fn": lambda x: x, "jacobian_fn": lambda x: (x, jnp.full((2, 2), jnp.nan))}
    for functions in (at_minimum, nowhere, broken):
        state = method.init(x)
        for rejected in (1, 2):
            update, new = method.update(None, state, x, **functions)
            assert update.tolist() == [0.0, 0.0] and new.rejected == rejected
            assert new.damping > state.damping and new.radius < state.radius
            state = new
    update, new = method.update(None, state, x, residuals_fn=lambda x: x, jacobian_fn=lambda x: (x, jnp.eye(2)))
    assert new.rejected == 0 and float(jnp.abs(update).max()) > 0


# --- one step: two factorisations of one system


def systems():
    rng = np.random.default_rng(3)
    tall, wide = rng.normal(size=(30, 7)), rng.normal(size=(4, 9))
    left, _ = np.linalg.qr(rng.normal(size=(40, 10)))
    right, _ = np.linalg.qr(rng.normal(size=(10, 10)))
    stiff = left * np.logspace(0, -8, 10) @ right.T
    square = rng.normal(size=(6, 6))
    return {"tall": tall, "wide": wide, "square": square, "stiff": stiff, "forty columns": rng.normal(size=(60, 40))}


SYSTEMS = {name: (j, np.random.default_rng(4).normal(size=len(j))) for name, j in systems().items()}


def by_qr(jacobian, rows) -> _Model:
    """The model once it has gone over to QR, as it does when λ is tiny."""
    model = _Model(jacobian, rows)
    model.step(1e-25 * np.sum(jacobian**2))
    assert model.triangle is not None
    return model


@pytest.mark.parametrize("damping", [1e-3, 1e-1, 10.0])
@pytest.mark.parametrize("name", SYSTEMS)
def test_cholesky_and_qr_give_one_step(name, damping):
    jacobian, rows = SYSTEMS[name]
    direct = _Model(jacobian, rows)
    step, predicted = direct.step(damping)
    assert direct.triangle is None
    other, also = by_qr(jacobian, rows).step(damping)
    np.testing.assert_allclose(other, step, rtol=1e-8, atol=1e-8 * np.abs(step).max())
    assert also == pytest.approx(predicted, rel=1e-8)
    normal = -np.linalg.solve(jacobian.T @ jacobian + damping * np.eye(jacobian.shape[1]), jacobian.T @ rows)
    np.testing.assert_allclose(step, normal, rtol=1e-8, atol=1e-9 * np.abs(normal).max())


@pytest.mark.parametrize("damping", [1e-20, 1e-16, 1e-12, 1e-6, 1.0])
@pytest.mark.parametrize("name", SYSTEMS)
def test_the_step_solves_the_damped_problem(name, damping):
    """At every λ that the method may choose, to the digits that the smallest singular value leaves."""
    jacobian, rows = SYSTEMS[name]
    width = jacobian.shape[1]
    expected = damped_step(jacobian, rows, damping)
    step, _ = _Model(jacobian, rows).step(damping)
    gram = np.linalg.norm(jacobian, 2) ** 2
    smallest = np.linalg.svd(jacobian)[1].min() ** 2 if len(rows) >= width else 0.0
    lost = 1e-14 * gram / max(damping, smallest, 1e-16 * gram)
    assert np.linalg.norm(step - expected) <= max(1e-9, lost) * np.linalg.norm(expected)


@pytest.mark.parametrize("damping", [1e-18, 1e-6, 1e-2, 1.0])
@pytest.mark.parametrize("name", SYSTEMS)
def test_the_predicted_reduction_is_that_of_the_linear_model(name, damping):
    jacobian, rows = SYSTEMS[name]
    for model in (_Model(jacobian, rows), by_qr(jacobian, rows)):
        step, predicted = model.step(damping)
        after = rows + jacobian @ step
        assert predicted == pytest.approx(rows @ rows - after @ after, rel=1e-8)
        assert 0 < predicted <= rows @ rows * (1 + 1e-12)


def test_smaller_damping_means_longer_steps():
    jacobian, rows = SYSTEMS["stiff"]
    model = _Model(jacobian, rows)
    lengths = [np.linalg.norm(model.step(damping)[0]) for damping in np.logspace(2, -16, 19)]
    assert np.all(np.diff(lengths) > 0)


# --- wrong use


@pytest.mark.parametrize("entries", [pytest.param(40 * 100, marks=pytest.mark.slow), 2000])
def test_a_jacobian_beyond_memory_is_brought_to_a_triangle_in_parts(entries, monkeypatch):
    """The same AᵀA as that of the whole, in parts that divide neither the points nor each other."""
    goal, weights = random_network(exam_ode.problem(), partial(pinn.MLP, width=4, depth=1))
    batches = draw(goal, {"equation": 701, "condition": 1}, (0,), jnp.float64)
    given = goal, trainable(weights), weights, batches, jnp.array([1.0, 3.0, 2.0])
    rows, slopes = map(np.asarray, phases.jacobian(*given))
    parts, whole = [], phases.jacobian

    def watched(*arguments):
        parts.append(arguments[3][0].points.shape[0])
        return whole(*arguments)

    monkeypatch.setattr(phases, "_ENTRIES", entries)
    monkeypatch.setattr(phases, "jacobian", watched)
    right, upper = phases.system(*given)
    width = slopes.shape[1]
    assert upper.shape == (width + 1, width) and sum(parts) == sum(batch.points.shape[0] for batch in batches)
    assert max(parts) * (width + 1) <= entries and len(parts) > 4
    both, known = (np.column_stack(each) for each in ((upper, right), (slopes, rows)))
    np.testing.assert_allclose(both.T @ both, known.T @ known, rtol=1e-12, atol=1e-12 * np.abs(known.T @ known).max())
    small, large = (_Model(*each).step(1e-3)[0] for each in ((upper, right), (slopes, rows)))
    np.testing.assert_allclose(small, large, rtol=1e-8, atol=1e-8 * np.abs(large).max())


def test_it_needs_rows_and_their_jacobian():
    method, x = pinn.gauss_newton(), jnp.zeros(2)
    assert isinstance(method, HostDriven) and isinstance(method, optax.GradientTransformationExtraArgs)
    for functions in ({}, {"residuals_fn": lambda x: x}, {"jacobian_fn": lambda x: (x, jnp.eye(2))}):
        with pytest.raises(
            MethodError,
            match=r"gauss_newton\(\) needs residuals_fn\(params\) -> \[N\] and jacobian_fn\(params\) -> \(\[N\], \[N, P\]\)",
        ):
            method.update(x, method.init(x), x, **functions)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 0.0}, r"target=...\) must lie between 0 and 1; got 0.0"),
        ({"target": 1.0}, r"target=...\) must lie between 0 and 1; got 1.0"),
        ({"target": float("nan")}, r"target=...\) must lie between 0 and 1; got nan"),
        ({"damping": 0.0}, r"damping=...\) must be .*positive.*; got 0.0"),
        ({"damping": -1.0}, r"damping=...\) must be .*positive.*; got -1.0"),
        ({"growth": 0.5}, r"growth=...\) must be .*1.*; got 0.5"),
        ({"trials": 0}, r"trials=...\) must be .*1.*; got 0"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(MethodError, match=message):
        pinn.gauss_newton(**options)
