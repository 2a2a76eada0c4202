"""Self-scaled Broyden against the same family written for the Hessian itself, on valleys, and on the exam's equation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pinn
from pinn.errors import MethodError
from pinn.methods.ssbroyden import _scaling, renew
from problems import exam_ode


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def quadratic(x):
    """Curvatures of six decades."""
    return x @ (jnp.logspace(0, 6, len(x)) * x) / 2


def run(loss, x, steps, method=None):
    method = method or pinn.ssbroyden()
    advance = jax.jit(lambda g, state, x, v: method.update(g, state, x, value=v, grad=g, value_fn=loss))
    state, slope, losses, states = method.init(x), jax.jit(jax.value_and_grad(loss)), [], []
    for _ in range(steps):
        value, gradient = slope(x)
        update, state = advance(gradient, state, x, value)
        x = optax.apply_updates(x, update)
        losses.append(float(value))
        states.append(state[0])
    return x, np.array(losses), states


def drawn(seed, size=5):
    """An inverse Hessian, a gradient, the direction, a step along it, and a change of gradient of positive curvature."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size))
    inverse, gradient = root @ root.T + 0.1 * np.eye(size), rng.normal(size=size)
    turned = inverse @ gradient
    step = -rng.uniform(0.1, 2) * turned
    change = 10.0 ** rng.uniform(-2, 2) * step + 0.2 * rng.normal(size=size) * np.linalg.norm(step)
    return inverse, gradient, turned, step, change if change @ step > 0 else -change


# --- one renewal -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_a_renewal_is_that_of_broydens_family_for_the_hessian(seed):
    """B⁺ = τ [B - (Bs)(Bs)ᵀ / sᵀBs + θ w wᵀ] + y yᵀ / yᵀs with B = H⁻¹ and φ = (1 - θ) / (1 + (h b - 1) θ)."""
    inverse, gradient, turned, step, change = drawn(seed)
    renewed = np.asarray(renew(*map(jnp.asarray, (inverse, step, change, gradient, turned))))
    hessian, curved = np.linalg.inv(inverse), change @ step
    pushed = hessian @ step
    b, h = step @ pushed / curved, change @ inverse @ change / curved
    tau, phi = (float(value) for value in _scaling(jnp.asarray(b), jnp.asarray(h), len(step) - 1))
    theta = (1 - phi) / (1 + phi * (h * b - 1))
    w = np.sqrt(step @ pushed) * (change / curved - pushed / (step @ pushed))
    old = hessian - np.outer(pushed, pushed) / (step @ pushed) + theta * np.outer(w, w)
    np.testing.assert_allclose(renewed @ (tau * old + np.outer(change, change) / curved), np.eye(5), atol=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_a_renewal_knows_the_last_step_and_stays_positive(seed):
    inverse, gradient, turned, step, change = drawn(seed)
    renewed = np.asarray(renew(*map(jnp.asarray, (inverse, step, change, gradient, turned))))
    np.testing.assert_allclose(renewed @ change, step, rtol=1e-10)
    np.testing.assert_array_equal(renewed, renewed.T)
    assert np.linalg.eigvalsh(renewed)[0] > 0


def test_a_step_without_curvature_renews_nothing():
    inverse, gradient, turned, step, _ = drawn(0)
    for change in (np.zeros(5), -step):
        assert np.isnan(renew(*map(jnp.asarray, (inverse, step, change, gradient, turned)))).all()


# --- what it finds ---------------------------------------------------------------------------------------------------


def test_a_valley_of_ten_dimensions():
    x, losses, _ = run(rosenbrock, jnp.zeros(10), 110)
    np.testing.assert_allclose(x, np.ones(10), atol=1e-10)
    assert np.all(np.diff(losses) <= 0)


def test_the_inverse_hessian_of_a_quadratic():
    x, _, states = run(quadratic, jnp.ones(4), 60)
    assert np.abs(x).max() < 1e-10
    np.testing.assert_allclose(np.diagonal(states[5].inverse), 1 / np.logspace(0, 6, 4), rtol=1e-3)


def test_it_begins_anew_where_the_loss_is_level():
    """Where nothing changes, the next direction is the gradient's, and nothing is undefined."""
    x, _, states = run(lambda x: jnp.sum(jnp.zeros_like(x)), jnp.ones(3), 3)
    np.testing.assert_array_equal(x, np.ones(3))
    np.testing.assert_array_equal(states[-1].inverse, np.eye(3))


def test_a_tree_of_weights():
    tree = {"kernel": jnp.ones((2, 2)), "bias": [jnp.zeros(3)]}
    method, loss = pinn.ssbroyden(), lambda t: jnp.sum((t["kernel"] - 2) ** 2) + jnp.sum((t["bias"][0] - 1) ** 4)
    state = method.init(tree)
    for _ in range(40):
        value, slope = jax.value_and_grad(loss)(tree)
        update, state = method.update(slope, state, tree, value=value, grad=slope, value_fn=loss)
        tree = optax.apply_updates(tree, update)
    np.testing.assert_allclose(tree["kernel"], 2 * np.ones((2, 2)), atol=1e-6)
    np.testing.assert_allclose(tree["bias"][0], np.ones(3), atol=1e-3)


@pytest.mark.slow
def test_the_exams_equation_beyond_what_l_bfgs_reaches():
    maker = partial(pinn.MLP, width=10, depth=2)
    solve = lambda method: pinn.solve(  # noqa: E731
        exam_ode.problem(), method=pinn.Phase(method, steps=500), network=maker, points=200, progress=False
    )
    ours, theirs = (solve(method).errors().fields["y"].relative_l2 for method in (pinn.ssbroyden(), optax.lbfgs()))
    assert ours < 1e-6 and ours < theirs / 10


# --- wrong use -------------------------------------------------------------------------------------------------------


def test_what_it_needs():
    with pytest.raises(MethodError, match=r"ssbroyden\(trials=...\) must be at least 1; got 0"):
        pinn.ssbroyden(trials=0)
    method, x = pinn.ssbroyden(), jnp.ones(2)
    with pytest.raises(MethodError, match="needs params, value, grad and value_fn"):
        method.update(x, method.init(x), x)
