"""Operator problems and what solve makes of them, against exact posterior means and closed forms."""

import importlib.util
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pinn
import problems
from pinn.errors import CheckpointError, ProblemError, SolutionError
from pinn.history import Record
from pinn.operator_learning.learner import emphasis
from pinn.operator_learning.linear import draw_many
from problems.denoising import exam_ode, gaussian_process, oscillators, piecewise_constant

GRID = np.linspace(0, 1, 12)
SMALL = partial(pinn.DeepONet, rank=8, branch=partial(pinn.DenseBranch, width=8), trunk=partial(pinn.MLP, width=8, depth=1))
FEW = pinn.Phase(optax.adam(3e-3), steps=20)


def lines(key: jax.Array) -> pinn.Sample:
    a, b = jax.random.normal(key, (2,))
    return pinn.Sample(noisy=a + b * GRID, clean=lambda x: a * x + b * x**2 / 2)


def integrals(**changes) -> pinn.OperatorProblem:
    return pinn.OperatorProblem(**{"domain": pinn.Interval(x=(0, 1)), "fields": "s", "sensors": GRID, "sample": lines} | changes)


@pytest.fixture(scope="module")
def denoise():
    problem = gaussian_process.problem(sensors=24)
    ridge = partial(pinn.DeepONet, rank=41, branch=partial(pinn.RidgeBranch, spectra=4, factors=2, rank=16), trunk=pinn.Harmonics)
    return pinn.solve(problem, network=ridge, method=pinn.Phase(optax.adam(3e-3), steps=20), time_limit=60, progress=False)


@pytest.fixture(scope="module")
def report(denoise):
    return denoise.errors()


def test_a_gaussian_process_is_denoised_as_well_as_bayes_does(denoise, report):
    assert report.gain <= report.limit + 0.02, "better than the exact limit: a leak"
    assert report.gap < 0.15
    assert report.linear_gain <= report.limit + 0.02
    assert denoise.trust is pinn.Trust.TRUSTED
    assert report.relative_l2["f"] == pytest.approx(denoise.error_estimate["f"], rel=0.1)


@pytest.mark.slow
def test_a_solve_that_was_stopped_goes_on_to_the_same_bits(tmp_path):
    file, told = tmp_path / "solve.ck", {"network": SMALL, "method": FEW, "progress": False}

    def stop(record: Record) -> None:
        if record.step == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pinn.solve(integrals(), checkpoint=file, callback=stop, **told)
    whole, steps = pinn.solve(integrals(), **told), []
    resumed = pinn.solve(integrals(), checkpoint=file, callback=lambda record: steps.append(record.step), **told)
    assert 10 not in steps
    assert [record.step for record in resumed.history][:3] == [0, 10, 20]
    np.testing.assert_array_equal(resumed(GRID, x=GRID), whole(GRID, x=GRID))
    with pytest.raises(CheckpointError, match="another operator problem: its sensors differ"):
        other = integrals(sensors=GRID[:6], sample=lambda key: replace(lines(key), noisy=lines(key).noisy[:6]))
        pinn.solve(other, checkpoint=file, **told)
    with pytest.raises(CheckpointError, match="another plan: network was"):
        pinn.solve(integrals(), checkpoint=file, network=pinn.ModifiedDeepONet, method=FEW, progress=False)


def test_quiet_samples_count_as_much_as_loud_ones():
    sigma = jnp.array([0.3, 1.0, 10.0])
    left = sigma**2 / (1 + sigma**2 / 9)  # of the variance 9 of a function that was observed once
    np.testing.assert_allclose(left * emphasis(sigma, 3.0), 9.0, rtol=0.011)
    assert emphasis(None, 3.0) == 1.0 and np.isfinite(emphasis(jnp.zeros(()), 3.0))


@pytest.mark.slow
def test_the_noise_level_may_be_withheld_and_sensors_dropped(denoise):
    blind = denoise.errors(blind=True)
    assert blind.gap < 0.4
    fewer = denoise.errors(gaussian_process.problem(sensors=17))
    assert fewer.gap < 0.4
    assert fewer.gain <= fewer.limit + 0.02


def test_calls_broadcast_and_batches_agree_with_single_signals(denoise):
    noisy = np.random.default_rng(0).normal(size=(2, 3, 24))
    batch = denoise(noisy, x=[0.1, 0.5], sigma=0.25)
    assert batch.shape == (2, 3, 2)
    np.testing.assert_allclose(denoise(noisy[1, 2], x=[0.1, 0.5], sigma=0.25), batch[1, 2], atol=1e-9)
    assert denoise(noisy, sigma=0.25).shape == noisy.shape
    whole, part = denoise.problem.sensors[:, 0], np.arange(0, 24, 2)
    assert denoise(noisy[..., part], sensors=whole[part], x=0.3).shape == (2, 3)


def test_the_guard_gives_signals_back_that_noise_cannot_explain(denoise):
    count = len(denoise.problem.sensors)
    signal = 2 * np.sign(np.sin(40 * denoise.problem.sensors[:, 0] + 0.1))
    silent = replace(denoise, learner=replace(denoise.learner, units=replace(denoise.learner.units, output_size=(0.0,))))
    freely, guarded = (silent(signal, sigma=0.1, guard=guard) for guard in (False, True))
    np.testing.assert_allclose(freely, 0.0, atol=1e-12)
    share = 0.01 * count / np.sum(signal**2)  # a of u + a (G u - u), where div G = 0
    np.testing.assert_allclose(guarded, (1 - share) * signal, rtol=1e-9)
    near = denoise(0 * signal + 0.05, sigma=0.1)
    np.testing.assert_array_equal(near, denoise(0 * signal + 0.05, sigma=0.1, guard=False))


def test_saved_and_loaded_it_gives_the_same(denoise, report, tmp_path):
    denoise.save(tmp_path / "saved")
    loaded, whole = pinn.load(tmp_path / "saved"), pinn.load(tmp_path / "saved", denoise.problem)
    noisy = np.random.default_rng(1).normal(size=24)
    for other in (loaded, whole):
        np.testing.assert_array_equal(other(noisy, x=GRID, sigma=0.2), denoise(noisy, x=GRID, sigma=0.2))
    assert loaded.errors().gap == pytest.approx(report.gap)
    assert (loaded.status, loaded.trust, str(loaded.plan)) == (denoise.status, denoise.trust, str(denoise.plan))
    with pytest.raises(SolutionError, match="draws samples, which are not saved"):
        loaded.plot()
    with pytest.raises(CheckpointError, match="its fields are"):
        pinn.load(tmp_path / "saved", integrals())


def test_the_picture_shows_samples_and_history(denoise, tmp_path):
    figure = denoise.plot(tmp_path / "picture.png")
    assert "history" in [axes.get_title(loc="left") for axes in figure.axes]
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_what_an_operator_cannot_answer_it_says(denoise):
    for question, message in [
        (lambda: denoise(np.zeros(5)), "There are 24 sensors"),
        (lambda: denoise(np.zeros(24), y=1.0), "The output has the coordinates 'x'"),
        (lambda: denoise(np.full(24, np.nan)), "not all finite"),
        (lambda: denoise(np.zeros(24), sigma=-1.0), "standard deviation of at least 0"),
        (denoise.refine, "cannot be refined"),
        (denoise.bound, "no bound"),
        (lambda: denoise.on(pinn.Interval(x=(0, 2)), 48), "needs a pinn.LocalDeepONet"),
    ]:
        with pytest.raises(SolutionError, match=message):
            question()


@pytest.mark.slow
def test_a_dense_branch_learns_a_linear_operator_by_its_last_layer():
    solution = pinn.solve(integrals(), network=SMALL, method=FEW, time_limit=60, progress=False)
    report = solution.errors()
    assert report.relative_l2["s"] < 0.05
    assert report.linear["s"] < 1e-6
    assert report.gain is None
    with pytest.raises(SolutionError, match="can read no others"):
        solution(np.zeros(5), sensors=np.linspace(0, 1, 5), x=0.5)


@pytest.mark.slow
def test_noise_alone_and_the_equation_are_enough():
    problem = exam_ode.problem(sigma=0.1, sensors=24)
    assert problem.learns_from == "sigma"
    solution = pinn.solve(problem, method=pinn.Phase(optax.adam(1e-6), steps=1), time_limit=60, progress=False)
    report = solution.errors()
    assert report.gain <= report.limit + 0.02
    assert report.gap < 0.02, "what satisfies the equation is known before training"
    assert solution.trust is pinn.Trust.ROUGH


def test_the_plan_names_its_choices_with_reasons():
    plan = pinn.recommend(gaussian_process.problem(sensors=8, learn_from="second"))
    assert "Noise2Noise" in str(plan)
    assert "ridge branch" in str(plan)
    assert "dense branch" in str(pinn.recommend(integrals()))
    with pytest.raises(ProblemError, match=r"points= is for a pinn\.Problem"):
        pinn.recommend(integrals(), points=5)
    with pytest.raises(ProblemError, match=r'dtype="mixed" is for a pinn.Problem; operators are learned in "float64" or'):
        pinn.recommend(integrals(), dtype="mixed")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample": lambda key: 3}, r"must return pinn.Sample\(noisy"),
        ({"sample": lambda key: pinn.Sample(noisy=jnp.zeros(12))}, "nothing to learn from"),
        ({"sample": lambda key: pinn.Sample(noisy=jnp.zeros(7), clean=lambda x: x)}, "there are 12 sensors"),
        ({"sample": lambda key: pinn.Sample(noisy=jnp.zeros(12), clean=lambda y: y)}, "the coordinates are 'x'"),
        ({"sample": lambda key: pinn.Sample(noisy=jnp.zeros(12), clean=lambda x: jnp.ones(3))}, "must return one number"),
        ({"sample": lambda key: pinn.Sample(noisy=jnp.zeros(12), sigma=-1.0)}, "negative sigma="),
        ({"sample": lambda key: pinn.Sample(noisy=np.zeros(12) + float(key[0]), sigma=1.0)}, "fails when JAX traces it"),
        ({"sensors": [0.0, 2.0]}, "lie outside"),
        ({"sensors": {"y": GRID}}, "the coordinates are 'x'"),
        ({"conditions": [pinn.Periodic("x")]}, "stand beside a residual="),
        ({"fields": 3}, "fields= needs names"),
    ],
)
def test_a_problem_that_does_not_fit_is_refused(changes, message):
    with pytest.raises(ProblemError, match=message):
        integrals(**changes)


@pytest.mark.slow
def test_posterior_means_are_exact():
    """Calibration: E[(f - m) m] = 0 and E[u - f] has the noise's variance, for every family."""
    for problem in (
        gaussian_process.problem((0.05, 0.3), (0.1, 1.0), sensors=20),
        piecewise_constant.problem(sensors=20),
        oscillators.problem(sensors=20),
    ):
        drawn = draw_many(problem, jax.random.key(0), jnp.asarray(problem.sensors), 2000, True)
        clean, mean = np.asarray(drawn.clean)[..., 0], np.asarray(drawn.mean)[..., 0]
        noise = (np.asarray(drawn.noisy) - clean) / np.asarray(drawn.sigma)[:, None]
        assert np.std(noise) == pytest.approx(1, rel=0.02), problem.name
        products = np.mean((clean - mean) * mean, axis=1)
        assert abs(products.mean()) < 4 * products.std() / np.sqrt(len(products)), problem.name


def test_means_of_oscillators_agree_with_a_fine_grid():
    """Motions by the roots of λ² + γ λ + ω² = 0, on 200 × 200 rates at once."""
    sigma, t = 0.1, np.linspace(0, 10, 20)
    drawn = draw_many(oscillators.problem(sigma=sigma, sensors=20), jax.random.key(3), jnp.asarray(t[:, None]), 1, True)
    noisy, shares = np.asarray(drawn.noisy[0]), (np.arange(200) + 0.5) / 200
    g, w = np.meshgrid(0.2 + 1.8 * shares, 0.5 + 2.5 * shares)
    roots = (-g[..., None] + np.sqrt(g**2 - 4 * w**2 + 1e-9j)[..., None] * [1, -1]) / 2
    powers = np.exp(roots[..., None] * t)
    differ = (roots[..., 0] - roots[..., 1])[..., None]
    velocity = ((powers[..., 0, :] - powers[..., 1, :]) / differ).real
    place = ((roots[..., :1] * powers[..., 1, :] - roots[..., 1:] * powers[..., 0, :]) / differ).real
    basis = np.stack([place, velocity], axis=-1)
    matrix = np.swapaxes(basis, -1, -2) @ basis + sigma**2 * np.eye(2)
    seen = np.einsum("abni,n->abi", basis, noisy)
    start = np.linalg.solve(matrix, seen[..., None])[..., 0]
    evidence = np.sum(seen * start, axis=-1) / (2 * sigma**2) - 0.5 * np.log(np.linalg.det(matrix))
    share = np.exp(evidence - evidence.max())
    mean = np.einsum("ab,abni,abi->n", share / share.sum(), basis, start)
    np.testing.assert_allclose(drawn.mean[0, :, 0], mean, atol=1e-4)


def test_piecewise_means_agree_with_a_sum_over_all_segmentations():
    rng, n, q, sigma = np.random.default_rng(0), 7, 0.2, 0.4
    u = rng.normal(size=n)
    total, mean = 0.0, np.zeros(n)
    for pattern in range(2 ** (n - 1)):
        cuts = [0, *(i + 1 for i in range(n - 1) if pattern >> i & 1), n]
        segment = np.searchsorted(cuts, np.arange(n), side="right")
        same = (segment[:, None] == segment[None]) * 1.0
        covariance = same + sigma**2 * np.eye(n)
        weight = q ** (len(cuts) - 2) * (1 - q) ** (n + 1 - len(cuts))
        weight *= np.exp(-0.5 * u @ np.linalg.solve(covariance, u)) / np.sqrt(np.linalg.det(covariance))
        total, mean = total + weight, mean + weight * (same @ np.linalg.solve(covariance, u))
    found = piecewise_constant.posterior_mean(jnp.asarray(u), jnp.asarray(sigma), q)
    np.testing.assert_allclose(found, mean / total, atol=1e-12)


@pytest.mark.parametrize(
    "name", [name for name in problems.names() if name.startswith("denoising.") and name != "denoising.images"]
)
def test_every_operator_problem_can_be_built_and_planned(name):
    if name == "denoising.ecg" and importlib.util.find_spec("systole") is None:
        pytest.skip("needs pip install --no-deps systole")
    problem = problems.load(name).problem()
    assert isinstance(problem, pinn.OperatorProblem)
    assert str(pinn.recommend(problem)).startswith("learned from")
    for part in ("Source:", "Good values:"):
        assert part in (problems.load(name).__doc__ or "")


def test_solutions_to_learn_from_satisfy_their_equations():
    """Burgers by its own residual, through the samples' functions; the antiderivative against the trapezoid rule."""
    burgers = problems.load("denoising.burgers").problem()
    u = burgers.sample(jax.random.key(1)).clean
    t, x, nu = 0.4, 0.3, 0.02

    @jax.jit
    def residual(t, x):
        return jax.grad(u, 0)(t, x) + u(t, x) * jax.grad(u, 1)(t, x) - nu * jax.grad(jax.grad(u, 1), 1)(t, x)

    assert abs(residual(t, x)) < 1e-6
    integral = problems.load("denoising.antiderivative").problem(sensors=401)
    sample = integral.sample(jax.random.key(1))
    assert float(sample.clean(1.0)) == pytest.approx(float(np.trapezoid(sample.noisy, integral.sensors[:, 0])), abs=1e-5)
