"""Stationary priors against the spectra that functions were drawn from, and against exact estimators of unknown noise."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.stats import multivariate_normal

import pinn
from pinn.branches import First, Seen
from pinn.mixture import Mixture, Observed, evidence, shares
from pinn.operator_learning.linear import draw_many
from pinn.spectra import covariances, fit_spectra
from problems.denoising import gaussian_process

COUNT, NOISE = 6000, 0.2


@pytest.fixture(scope="module")
def waves():
    """Functions at sixteen sensors out of two spectra, a smooth one and a rough one."""
    trunk = pinn.Harmonics(1, 33, rngs=nnx.Rngs(0))
    basis = np.asarray(jax.vmap(trunk)(jnp.linspace(-1, 1, 16)[:, None]))
    power = np.exp(-0.5 * (trunk.frequencies[None] * np.array([[0.8], [0.2]])) ** 2)
    power /= power.sum(axis=1, keepdims=True)
    rng = np.random.default_rng(1)
    rough = rng.random(COUNT) < 0.3
    clean = (rng.normal(size=(COUNT, 33)) * np.sqrt(power[rough.astype(int)])) @ basis.T
    seen = Observed(clean + NOISE * rng.normal(size=clean.shape), np.full((COUNT, 1), NOISE**2))
    return basis, trunk.frequencies, power, clean, seen


def starts(frequencies: np.ndarray) -> np.ndarray:
    power = np.exp(-0.5 * (frequencies[None] * np.array([[2.0], [0.5], [0.1], [0.03]])) ** 2)
    return power / power.sum(axis=1, keepdims=True)


def test_fitted_spectra_make_fresh_observations_as_probable_as_the_true_ones(waves):
    basis, frequencies, truth, clean, seen = waves
    half = COUNT // 2
    start = starts(frequencies)
    power = fit_spectra(basis, start, clean[:half], Observed(*(a[:half] for a in seen)))
    fresh = Observed(*(a[half:] for a in seen))

    def probable(power: np.ndarray) -> float:
        every = covariances(basis, power)
        weights = shares(evidence(Mixture(np.full(len(power), 1 / len(power)), every), fresh))[0].mean(axis=1)
        return shares(evidence(Mixture(weights, every), fresh))[1]

    begun, found, best = (probable(p) for p in (start, power, truth))
    assert begun < best - 1
    assert best - 0.3 < found < best + 0.05


def test_a_spectrum_that_no_function_is_like_stays(waves):
    basis, frequencies, truth, _, _ = waves
    rng, start = np.random.default_rng(2), starts(frequencies)
    rough = (rng.normal(size=(COUNT, 33)) * np.sqrt(truth[1])) @ basis.T
    seen = Observed(rough + NOISE * rng.normal(size=rough.shape), np.full((COUNT, 1), NOISE**2))
    power = fit_spectra(basis, start, rough, seen)
    np.testing.assert_array_equal(power[0], start[0])
    assert np.abs(power[1:] - start[1:]).max() > 0.01


def test_what_was_never_seen_counts_only_where_the_noise_is_known():
    """Begun with rough functions: smooth ones are recognised by what spectra count that no function is like."""
    places = jnp.linspace(-1, 1, 24)[:, None]
    trunk = pinn.Harmonics(1, 49, rngs=nnx.Rngs(0))
    basis = jax.vmap(trunk)(places)
    kernel = np.exp(-0.5 * ((places - places.T) / 0.1) ** 2)
    rng = np.random.default_rng(0)
    clean = rng.multivariate_normal(np.zeros(24), kernel, 4000)
    first = Seen(jnp.asarray(clean + 0.1 * rng.normal(size=clean.shape)), places, jnp.full(4000, 0.1), basis)
    branch = pinn.RidgeBranch(pinn.Layout(np.asarray(places)), 49, rngs=nnx.Rngs(0), spectra=8, factors=4)
    branch.begin(First(first, jnp.asarray(clean)), trunk.frequencies)
    smooth = np.cos(np.asarray(places)[:, 0])
    noisy = smooth + 0.1 * np.random.default_rng(5).normal(size=(100, 24))

    def error(level: float | None) -> float:
        told = None if level is None else jnp.asarray(level)
        found = jax.vmap(lambda u: basis @ branch(Seen(u, places, told, basis)))(jnp.asarray(noisy))
        return float(np.sqrt(np.mean((np.asarray(found) - smooth) ** 2)))

    known, blind = error(0.1), error(None)
    branch.unseen[...] = jnp.full(8, -1e3)
    assert known < 0.8 * error(0.1)
    assert error(None) == blind


@pytest.mark.parametrize("sigma", [pytest.param(None, marks=pytest.mark.slow), 0.3])
@pytest.mark.parametrize("functions", [9, 15])
def test_sensors_may_be_more_than_functions_or_fewer(functions, sigma):
    """Off the formula: fewer unknowns, against solves with whole covariances at twelve sensors, one for each noise level."""
    places = jnp.linspace(-1, 1, 12)[:, None]
    basis = jax.vmap(pinn.Harmonics(1, functions, rngs=nnx.Rngs(0)))(places)
    branch = pinn.RidgeBranch(
        pinn.Layout(np.asarray(places)), functions, rngs=nnx.Rngs(0), spectra=3, factors=2, rank=4, levels=5
    )
    rng = np.random.default_rng(0)
    branch.spectra[...] = jnp.asarray(rng.normal(size=(3, functions)))
    branch.factors[...] = jnp.asarray(rng.normal(size=(2, functions, 4)))
    branch.logits[...] = jnp.asarray(rng.normal(size=5))
    values, told = rng.normal(size=12), None if sigma is None else jnp.asarray(sigma)
    found = basis @ branch(Seen(jnp.asarray(values), places, told, basis))
    stationary = covariances(np.asarray(basis), np.exp(np.asarray(branch.spectra[...])))
    low = np.asarray(basis) @ np.asarray(branch.factors[...])
    levels = np.asarray(branch.levels.sigma[...]) if sigma is None else np.array([sigma])
    odds, means = [], []
    for level in levels:
        for logit, c in zip(branch.logits[...], [*stationary, *(low @ low.transpose(0, 2, 1))], strict=True):
            odds.append(float(logit) + multivariate_normal(np.zeros(12), c + level**2 * np.eye(12)).logpdf(values))
            means.append(c @ np.linalg.solve(c + level**2 * np.eye(12), values))
    parts, _ = shares(np.array(odds)[:, None])
    np.testing.assert_allclose(found, parts[:, 0] @ np.array(means), rtol=1e-7, atol=1e-9)


@pytest.mark.slow
def test_without_the_noise_level_it_is_near_the_best_that_does_not_know_it():
    """The exact estimator that knows neither: a mixture over 40 length-scales and 40 noise levels."""
    lengths, levels = (0.05, 0.4), (0.1, 1.0)
    solution = pinn.solve(gaussian_process.problem(lengths, levels, sensors=32), time_limit=20, progress=False)
    x = np.linspace(0, 1, 32)
    kernels = np.exp(-0.5 * ((x[:, None] - x[None]) / np.geomspace(*lengths, 40)[:, None, None]) ** 2)
    for sigma in (0.2, 0.5):
        drawn = draw_many(
            gaussian_process.problem(lengths, sigma, sensors=32), jax.random.key(3), jnp.asarray(x[:, None]), 500, True
        )
        noisy, informed = np.asarray(drawn.noisy), np.asarray(drawn.mean)[..., 0]
        wide = [(k, s**2) for k in kernels for s in np.geomspace(*levels, 40)]
        odds, solved = [], []
        for k, v in wide:
            total = k + v * np.eye(32)
            solved.append(np.linalg.solve(total, noisy.T).T)
            odds.append(-0.5 * (np.sum(noisy * solved[-1], axis=1) + np.linalg.slogdet(total)[1]))
        parts, _ = shares(np.stack(odds))
        best = sum(p[:, None] * (w @ k) for p, w, (k, _) in zip(parts, solved, wide, strict=True))
        least = np.mean((np.asarray(drawn.clean)[..., 0] - informed) ** 2)
        gaps = [10 * np.log10(1 + np.mean((e - informed) ** 2) / least) for e in (best, solution(noisy, x=x))]
        assert gaps[1] < gaps[0] + 0.04
