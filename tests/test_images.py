"""Operators for pictures: convolutions against SciPy, squares of photographs, whole pictures in tiles, and the scripts."""

import importlib.util
from functools import partial

import _pictures
import denoise as script
import image_benchmark
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from scipy.ndimage import correlate, map_coordinates

import pinn
from pinn.branches import Conv
from pinn.deeponet import in_cells
from pinn.errors import ProblemError
from pinn.history import History, Status
from pinn.operator_learning import OperatorSolution
from pinn.operator_learning.learner import Learner, Units, layout_of, make_state
from problems.denoising import _photos, images

RNG = np.random.default_rng(0)
PICTURE = np.add.outer(np.linspace(0, 0.5, 40), np.linspace(0, 0.5, 50)) + 0.02 * RNG.normal(size=(40, 50))
NETWORK = partial(pinn.LocalDeepONet, residual=True, cell=2, channels=4, dilations=(1,), activation=pinn.relu)
with_scikit_image = pytest.mark.skipif(importlib.util.find_spec("skimage") is None, reason="needs the extra denoising")


@pytest.fixture(scope="module")
def squares():
    return images.of_photos([PICTURE, PICTURE.T], 12, (0.05, 0.2))


@pytest.fixture(scope="module")
def solution(squares):
    """An operator with random weights, as far from its beginning as one that was trained."""
    with jax.enable_x64(False):
        made = NETWORK(layout_of(squares, jnp.float32), 2, 1, rngs=nnx.Rngs(0), dtype=jnp.float32)
        made.last.kernel[...] = 0.1 * jax.random.normal(jax.random.key(0), made.last.kernel.shape, jnp.float32)
    graph, state = make_state(made)
    learner = Learner(squares, graph, Units(0.5, 0.2, (0.5,), (0.2,)), jnp.dtype("float32"))
    plan = pinn.recommend(squares, network=NETWORK, dtype="float32")
    told = (Status.FINISHED, {"f": 0.1}, pinn.Trust.TRUSTED, "given", plan, History(), 0.0, (0,))
    return OperatorSolution(squares, learner, state, *told).on(*images.grid(12, 12))


@pytest.mark.parametrize("shape", [(7, 6), pytest.param((2, 3), marks=pytest.mark.slow)])
def test_three_by_three_convolutions_are_those_of_scipy(shape):
    conv, h = Conv(2, 3, 5, 3, 1, RNG), RNG.normal(size=(*shape, 3)).astype(np.float32)
    conv.bias[...] = jnp.arange(5.0, dtype=jnp.float32)
    kernel = np.asarray(conv.kernel[...], float).reshape(3, 3, 3, 5)
    parts = [[correlate(h[..., i].astype(float), kernel[:, :, i, o], mode="mirror") for i in range(3)] for o in range(5)]
    np.testing.assert_allclose(conv(jnp.asarray(h)), np.stack([sum(p) + o for o, p in enumerate(parts)], axis=-1), atol=3e-6)


def test_cells_have_their_values_side_by_side():
    grid = np.arange(24.0).reshape(4, 6)
    found = np.asarray(in_cells(jnp.asarray(grid)[..., None], 2))
    np.testing.assert_array_equal(found[1, 2], [16, 17, 22, 23])
    assert found.shape == (2, 3, 4)


def test_squares_are_pieces_of_the_photographs_with_the_noise_that_they_tell(squares):
    places = jnp.asarray(squares.sensors)
    drawn = jax.vmap(lambda key: squares.draw(key, places))(jax.random.split(jax.random.key(1), 200))
    clean = np.asarray(drawn.clean).reshape(-1, 12, 12)
    pieces = np.lib.stride_tricks.sliding_window_view(np.round(255 * np.clip(PICTURE, 0, 1)) / 255, (12, 12)).reshape(-1, 12, 12)
    pieces = {piece.tobytes() for piece in np.round(255 * pieces).astype(np.uint8)}
    for square in np.round(255 * clean[:20]).astype(np.uint8):
        turned = [np.rot90(s, k) for s in (square, square.T) for k in range(4)]
        assert any(np.ascontiguousarray(s).tobytes() in pieces for s in turned)
    standard = (np.asarray(drawn.noisy) - clean.reshape(200, -1)) / np.asarray(drawn.sigma)[:, None]
    assert np.std(standard) == pytest.approx(1, abs=0.02)
    assert 0.05 <= np.min(drawn.sigma) < 0.07 < 0.18 < np.max(drawn.sigma) <= 0.2


def test_between_pixels_a_picture_is_linear():
    places = RNG.uniform(0, 1, (2, 9)) * np.array([[39], [49]])
    found = jax.jit(jax.vmap(images.between, (None, 0, 0)))(jnp.asarray(PICTURE), *jnp.asarray(places))
    np.testing.assert_allclose(found, map_coordinates(PICTURE, places, order=1), atol=1e-12)


def test_a_picture_in_tiles_is_the_picture_in_one(solution, monkeypatch):
    noisy = np.random.default_rng(1).normal(0.5, 0.1, (48, 62))
    moved = solution.on(*images.grid(*noisy.shape))
    whole = moved(noisy.ravel(), sigma=0.1, guard=False).reshape(noisy.shape)
    monkeypatch.setattr(_pictures, "_TILE", 32)
    monkeypatch.setattr(_pictures, "_MARGIN", 8)  # convolutions of 3 and 3 cells of 2 pixels see 4 pixels far
    tiles = _pictures.denoiser(solution)(noisy, 0.1)
    np.testing.assert_allclose(tiles, whole, atol=2e-5)
    assert np.std(whole - noisy) > 1e-3


def test_squares_that_return_what_they_see_average_to_the_picture(monkeypatch):
    class Same:
        problem = images.of_photos([PICTURE], 8, 0.1)
        learner = type("Learner", (), {"network": staticmethod(lambda state: None)})
        state = None

        def __call__(self, values, sigma, guard):
            return values

    noisy = np.random.default_rng(2).normal(size=(21, 30))
    np.testing.assert_allclose(_pictures.denoiser(Same())(noisy, 0.1), noisy, atol=1e-12)
    colours = np.random.default_rng(2).uniform(size=(21, 30, 3))
    np.testing.assert_allclose(_pictures.denoiser(Same())(colours, 0.1), colours, atol=1e-12)


@with_scikit_image
@pytest.mark.slow
def test_the_script_denoises_a_picture_and_writes_what_it_made(solution, tmp_path, capsys):
    from skimage import io

    solution.save(tmp_path / "model")
    for name, picture in {"grey": PICTURE, "colour": np.stack([PICTURE, PICTURE**2, 1 - PICTURE], axis=-1)}.items():
        io.imsave(tmp_path / f"{name}.png", np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8), check_contrast=False)
        command = [str(tmp_path / f"{name}.png"), "--noise", "20", "--model", str(tmp_path / "model"), "--output", str(tmp_path)]
        assert script.main(command) == 0
        assert "clean" in capsys.readouterr().out
        assert io.imread(tmp_path / f"{name}.denoised.png").shape == picture.shape
        assert io.imread(tmp_path / f"{name}.compared.png").shape[1] > 900
    assert script.main([str(tmp_path / "grey.png"), "--model", str(tmp_path / "nothing")]) == 2
    assert "scripts/train_images.py makes one" in capsys.readouterr().err


@pytest.mark.slow
def test_what_is_learned_takes_noise_away_and_is_saved(squares, tmp_path):
    method = pinn.Phase(optax.adam(1e-2), steps=600)
    learned = pinn.solve(squares, network=NETWORK, method=method, dtype="float32", progress=False)
    report = learned.errors()
    assert report.gain > 5
    learned.save(tmp_path / "model")
    noisy = np.random.default_rng(1).normal(0.5, 0.1, (20, 31))
    before, after = (_pictures.denoiser(s)(noisy, 0.1) for s in (learned, pinn.load(tmp_path / "model")))
    np.testing.assert_array_equal(after, before)


@with_scikit_image
@pytest.mark.slow
def test_photographs_of_packages_make_a_problem():
    problem = images.problem(size=16)
    assert str(pinn.recommend(problem, network=NETWORK)).startswith("learned from")
    assert [crop.shape for crop in _photos.photos(_photos.TESTS[:1]).values()] == [(512, 512)]
    assert all(0 <= picture.min() < picture.max() <= 1 for picture in _photos.photos(_photos.VALIDATION).values())


@with_scikit_image
def test_quality_and_noise_level_are_right_where_they_are_known():
    flat = np.full((64, 64), 0.5)
    noisy = flat + 0.1 * np.random.default_rng(3).normal(size=flat.shape)
    assert _pictures.quality(flat, noisy)[0] == pytest.approx(-10 * np.log10(np.mean((noisy - flat) ** 2)))
    assert _pictures.quality(flat, flat + 1e-9)[1] == pytest.approx(1)
    assert _pictures.estimated_sigma(noisy) == pytest.approx(0.1, rel=0.1)


def test_missing_photographs_are_named_with_the_package_that_has_them(monkeypatch):
    away = (_photos.Source("mate-backgrounds", "/no/such/folder", ("Aqua.jpg",)),)
    with pytest.raises(ProblemError, match="mate-backgrounds \\(apt-get install mate-backgrounds\\)"):
        _photos.photos(away)
    with pytest.raises(ProblemError, match="at least as large"):
        images.of_photos([PICTURE], 45, 0.1)


def test_no_test_picture_is_trained_on():
    trained = {name for source in (*_photos.TRAINING, *_photos.VALIDATION) for name in source.files}
    assert not trained & {name for source in _photos.TESTS for name in source.files}


def test_the_table_is_in_the_order_of_quality():
    scores = {name: {"camera": {"psnr": psnr, "ssim": 0.8}} for name, psnr in (("good", 29.0), ("bad", 20.0))}
    lines = image_benchmark.table(scores, 25.0)
    assert [line.split("|")[1].strip() for line in lines[2:4]] == ["bad", "good"]
    assert lines[3] == "| good | 29.00 | 29.00 | 0.800 |"
    assert "30.35" in lines[4]


@pytest.mark.parametrize(("sigma", "gain"), [(10, 9.0), (25, 12.0), (50, 15.0)])
def test_the_network_that_ships_denoises_what_no_photograph_shows(sigma, gain):
    """Discs and ramps of 96 × 80 pixels: a signal-to-noise ratio that a bug in saving, tiling or the noise level would spoil."""
    down, across = np.meshgrid(np.arange(96), np.arange(80), indexing="ij")
    clean = 0.2 + 0.004 * across + 0.4 * (np.hypot(down - 40, across - 30) < 22) - 0.15 * (np.hypot(down - 70, across - 55) < 18)
    noisy = clean + sigma / 255 * np.random.default_rng(sigma).normal(size=clean.shape)
    found = _pictures.denoiser(pinn.load(images.TRAINED))(noisy, sigma / 255)
    assert 10 * np.log10(np.mean((noisy - clean) ** 2) / np.mean((found - clean) ** 2)) > gain
