"""Mixtures of priors against mixtures that are known, and the ridge branch against formulas written out."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.stats import multivariate_normal

import pinn
from pinn.branches import First, Seen
from pinn.mixture import Mixture, Observed, evidence, fit_mixture, shares
from problems.denoising import gaussian_process

COUNT, SIZE, NOISE = 8000, 12, 0.3


@pytest.fixture(scope="module")
def planes():
    """Functions in three planes of twelve dimensions, each drawn with its own sizes, with noisy observations."""
    rng = np.random.default_rng(3)
    frames = [np.linalg.qr(rng.normal(size=(SIZE, 2)))[0] * [2.0, 1.0] for _ in range(3)]
    which = rng.choice(3, COUNT, p=[0.5, 0.3, 0.2])
    clean = np.stack([frames[k] @ rng.normal(size=2) for k in which])
    truth = Mixture(np.array([0.5, 0.3, 0.2]), np.stack([f @ f.T for f in frames]))
    return clean, clean + NOISE * rng.normal(size=clean.shape), truth


def means(mixture: Mixture, noisy: np.ndarray, variance: float) -> np.ndarray:
    """E[f | u] by solving with each covariance."""
    parts, _ = shares(evidence(mixture, Observed(noisy, np.full((1, 1), variance))))
    gains = [np.linalg.solve(c + variance * np.eye(len(c)), c) for c in mixture.covariances]
    return np.sum([p[:, None] * (noisy @ g) for p, g in zip(parts, gains, strict=True)], axis=0)


def test_evidence_is_scipys_density(planes):
    _, noisy, truth = planes
    variances = np.linspace(0.1, 0.5, 5)[:, None]
    found = evidence(truth, Observed(noisy[:5], variances))
    for (k, c), i in itertools.product(enumerate(truth.covariances), range(5)):
        density = multivariate_normal(np.zeros(SIZE), c + variances[i] * np.eye(SIZE)).logpdf(noisy[i])
        assert found[k, i] == pytest.approx(np.log(truth.weights[k]) + density, rel=1e-10)


def test_a_fitted_mixture_denoises_as_well_as_the_true_one(planes):
    clean, noisy, truth = planes
    half = COUNT // 2
    fitted, frame = fit_mixture(clean[:half], Observed(noisy[:half], np.full((half, 1), NOISE**2)), 16)
    fitted = fitted._replace(covariances=frame @ fitted.covariances @ frame.T)
    single = Mixture(np.ones(1), (clean[:half].T @ clean[:half] / half)[None])
    best, mine, linear = (np.mean((means(m, noisy[half:], NOISE**2) - clean[half:]) ** 2) for m in (truth, fitted, single))
    assert best * 0.98 < mine < best * 1.1
    assert linear > 1.5 * best
    assert fitted.weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(fitted.covariances, fitted.covariances.transpose(0, 2, 1), atol=1e-12)


def test_one_gaussian_is_not_split():
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(4000, 3)) * [3.0, 2.0, 1.0]
    noisy = clean + 0.5 * rng.normal(size=clean.shape)
    fitted, frame = fit_mixture(clean, Observed(noisy, np.full((4000, 1), 0.25)), 64)
    assert len(fitted.weights) == 1
    np.testing.assert_allclose(frame @ fitted.covariances[0] @ frame.T, np.diag([9.0, 4.0, 1.0]), atol=0.4)


@pytest.mark.parametrize("sigma", [0.2, 1.0])
def test_a_ridge_that_began_with_clean_functions_gives_their_posterior_means(planes, sigma):
    """Off the formula: factors in as many unknowns as their rank, against solves with whole covariances."""
    clean, noisy, _ = planes
    places = np.linspace(-1, 1, SIZE)
    trunk = pinn.Harmonics(1, 25, rngs=nnx.Rngs(0))
    basis = jax.vmap(trunk)(jnp.asarray(places[:, None]))
    branch = pinn.RidgeBranch(pinn.Layout(places[:, None]), 25, rngs=nnx.Rngs(0), spectra=2, factors=8)
    noise = jnp.full(COUNT, NOISE)
    branch.begin(
        First(Seen(jnp.asarray(noisy), jnp.asarray(places[:, None]), noise, basis), jnp.asarray(clean)), trunk.frequencies
    )
    functions = np.asarray(basis)
    stationary = [functions * np.exp(v) @ functions.T for v in np.asarray(branch.spectra[...])]
    factors = [functions @ f for f in np.asarray(branch.factors[...])]
    weights = np.exp(np.asarray(branch.logits[...]))
    weights[:2] += np.exp(np.asarray(branch.unseen[...]))
    every = Mixture(weights, np.stack([*stationary, *(f @ f.T for f in factors)]))
    seen = [Seen(jnp.asarray(u), jnp.asarray(places[:, None]), jnp.asarray(sigma), basis) for u in noisy[:4]]
    found = np.stack([np.asarray(basis @ branch(one)) for one in seen])
    np.testing.assert_allclose(found, means(every, noisy[:4], sigma**2), rtol=1e-6, atol=1e-8)


@pytest.mark.slow
def test_processes_of_unknown_length_are_denoised_near_the_limit(tmp_path):
    solution = pinn.solve(gaussian_process.problem((0.05, 0.4), 0.25, sensors=32), time_limit=10, progress=False)
    report = solution.errors()
    assert report.gap is not None
    assert report.limit is not None
    assert report.linear_gain is not None
    assert -0.02 < report.gap < 0.3 < report.limit - report.linear_gain
    solution.save(tmp_path / "processes")
    again = pinn.load(tmp_path / "processes")
    noisy = np.sin(np.linspace(0, 6, 32))
    np.testing.assert_array_equal(again(noisy, sigma=0.25, x=[0.3, 0.7]), solution(noisy, sigma=0.25, x=[0.3, 0.7]))
