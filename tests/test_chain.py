"""Chains against the exact posterior mean of functions that jump, and what their networks refuse."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import pinn
from pinn.branches import First, Seen
from pinn.errors import NetworkError
from pinn.operator_learning.linear import draw_many
from pinn.rebuilding import rebuild
from problems.denoising import gaussian_process, piecewise_constant

COUNT = 40


def begun(problem: pinn.OperatorProblem, count: int = 8000) -> tuple[pinn.ChainOperator, bool]:
    """A chain that began with samples, in the problem's own units."""
    places = 2 * problem.sensors - 1
    network = pinn.ChainOperator(pinn.Layout(places), 1, 1, rngs=nnx.Rngs(0))
    queries = np.random.default_rng(0).uniform(0, 1, (COUNT, 1))
    drawn = draw_many(problem, jax.random.key(1), jnp.asarray(np.concatenate([problem.sensors, queries])), count)
    clean = drawn.clean[:, :, 0]
    first = First(
        Seen(drawn.noisy, jnp.asarray(places), drawn.sigma, None),
        clean[:, : len(places)],
        (jnp.asarray(2 * queries - 1), clean[:, len(places) :]),
    )
    return network, network.begin(first)


@pytest.fixture(scope="module")
def steps():
    network, worthwhile = begun(piecewise_constant.problem(sensors=COUNT))
    assert worthwhile
    return network


@pytest.mark.parametrize("sigma", [0.5, *(pytest.param(sigma, marks=pytest.mark.slow) for sigma in (0.1, 2.0))])
def test_a_chain_of_steps_is_their_exact_posterior_mean(steps, sigma):
    drawn = draw_many(piecewise_constant.problem(sigma=sigma, sensors=COUNT), jax.random.key(5), jnp.zeros((1, 1)), 60, True)
    exact = jax.vmap(lambda u: piecewise_constant.posterior_mean(u, jnp.asarray(sigma), 0.05))(drawn.noisy)
    found = jax.vmap(lambda u: steps.encode(Seen(u, jnp.zeros((COUNT, 1)), jnp.asarray(sigma), None)))(drawn.noisy)
    assert float(jnp.mean((found - exact) ** 2)) < 0.02 * float(jnp.mean((exact - drawn.noisy) ** 2))
    assert float(jnp.sqrt(jnp.mean((found - exact) ** 2))) < 0.05 * sigma


def test_without_a_noise_level_all_levels_are_weighed(steps):
    noisy = draw_many(piecewise_constant.problem(sigma=0.3, sensors=COUNT), jax.random.key(6), jnp.zeros((1, 1)), 1).noisy[0]
    told, blind = (steps.encode(Seen(noisy, jnp.zeros((COUNT, 1)), s, None)) for s in (jnp.asarray(0.3), None))
    assert float(jnp.max(jnp.abs(told - blind))) < 0.2
    assert float(jnp.std(noisy - told)) > 0.15


def test_between_sensors_functions_go_as_they_did(steps):
    """Cells end halfway between two sensors: there the profile jumps, and at the sensors it has their values."""
    code = jnp.where(jnp.arange(COUNT) < 10, 1.0, 3.0)
    place = 2 * (jnp.array([9.5, 9.8, 10.2, 10.5]) / COUNT) - 1
    found = jax.vmap(lambda x: steps.decode(code, x[None])[0])(place)
    np.testing.assert_allclose(found, [1, 1, 3, 3], atol=0.1)
    np.testing.assert_allclose(found[::3], [1, 3], atol=1e-12)


def test_smooth_functions_are_no_chain():
    _, worthwhile = begun(gaussian_process.problem(sensors=COUNT), 200)
    assert not worthwhile


def test_a_description_rebuilds_the_same_function(steps):
    layout = pinn.Layout(2 * piecewise_constant.problem(sensors=COUNT).sensors - 1)
    again = rebuild(steps.description(), layout, 1, 1, jnp.float64)
    nnx.update(again, nnx.state(steps))
    seen = Seen(jnp.sin(jnp.arange(COUNT)), jnp.zeros((COUNT, 1)), jnp.asarray(0.2), None)
    np.testing.assert_array_equal(steps.encode(seen), again.encode(seen))


def test_only_regular_sensors_of_one_field_are_a_chain():
    with pytest.raises(NetworkError, match="one coordinate and one field"):
        pinn.ChainOperator(pinn.Layout(np.linspace(-1, 1, 5)[:, None]), 1, 2, rngs=nnx.Rngs(0))
    with pytest.raises(NetworkError, match="regular grid"):
        pinn.ChainOperator(pinn.Layout(np.array([[-1.0], [0.0], [0.1]])), 1, 1, rngs=nnx.Rngs(0))


@pytest.mark.slow
def test_solve_takes_the_chain_for_steps_and_other_sensors_still_serve(tmp_path):
    problem = piecewise_constant.problem(sigma=0.25, sensors=32)
    solution = pinn.solve(problem, time_limit=20, progress=False)
    report = solution.errors()
    assert report.gap is not None
    assert -0.02 < report.gap < 0.1
    solution.save(tmp_path / "steps")
    again, noisy = pinn.load(tmp_path / "steps"), np.sign(np.sin(np.arange(32) / 4))
    np.testing.assert_array_equal(again(noisy, sigma=0.25, x=[0.3]), solution(noisy, sigma=0.25, x=[0.3]))
    assert np.isfinite(solution(noisy[:20], sensors=np.linspace(0.1, 0.9, 20), sigma=0.25, x=[0.3])).all()
