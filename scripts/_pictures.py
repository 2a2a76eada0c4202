"""Whole pictures through operators that were learned on squares, and how good the result is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from _baselines import needed
from numpy.typing import NDArray

import pinn
from pinn.errors import SolutionError
from pinn.plotting import figure_of
from problems.denoising import images

_TILE, _MARGIN = 256, 24  # pixels: of a tile, and of its rim, which is left to the neighbours
_STEP = 3  # between the squares of a branch that sees one of them at a time

# Brightness and two differences of colours: rows of [red, green, blue], and what is added to keep them in [0, 1].
_OPPONENT = np.array([[1, 1, 1], [1.5, 0, -1.5], [0.75, -1.5, 0.75]]) / 3
_RAISED = np.array([0.0, 0.5, 0.5])


Denoiser = Callable[[NDArray, float], NDArray]


def denoiser(solution: pinn.OperatorSolution) -> Denoiser:
    """What takes the noise of a known level from a picture [h, w] or [h, w, 3] of any size; one size is compiled once.

    A `pinn.LocalDeepONet` goes over it in large tiles; another network over overlapping squares, whose results are averaged.
    """
    plane: Denoiser = partial(_in_squares, solution)
    if isinstance(solution.learner.network(solution.state), pinn.LocalDeepONet):
        plane = partial(_in_tiles, cache(lambda *shape: solution.on(*images.grid(*shape))))

    def denoised(noisy: NDArray, sigma: float) -> NDArray:
        if noisy.ndim == 2:
            return plane(noisy, sigma)
        planes, levels = noisy @ _OPPONENT.T + _RAISED, sigma * np.linalg.norm(_OPPONENT, axis=1)
        clean = np.stack([plane(planes[..., i], level) for i, level in enumerate(levels)], axis=-1)
        return (clean - _RAISED) @ np.linalg.inv(_OPPONENT).T

    return denoised


def _in_tiles(on: Callable[[int, int], Any], noisy: NDArray, sigma: float) -> NDArray:
    height, width = (min(_TILE, n) for n in noisy.shape)
    operator, result = on(height, width), np.zeros(noisy.shape)
    for top, low, high in _spans(noisy.shape[0], height):
        for left, first, last in _spans(noisy.shape[1], width):
            tile = noisy[top : top + height, left : left + width]
            clean = operator(tile.ravel(), sigma=sigma, guard=False).reshape(height, width)
            result[top + low : top + high, left + first : left + last] = clean[low:high, first:last]
    return result


def _spans(length: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Where tiles start along an axis, and from where to where within each the result is taken.

    Example:
        >>> list(_spans(500, 256))
        [(0, 0, 232), (208, 24, 232), (244, 24, 256)]
    """
    start = 0
    while True:
        start = min(start, length - size)
        last = start + size == length
        yield start, _MARGIN if start else 0, size if last else size - _MARGIN
        if last:
            return
        start += size - 2 * _MARGIN


def _in_squares(solution: pinn.OperatorSolution, noisy: NDArray, sigma: float) -> NDArray:
    """The mean over all squares that see a pixel, weighed towards their middles."""
    size = round(len(solution.problem.sensors) ** 0.5)
    if min(noisy.shape) < size:
        raise SolutionError(f"This network sees squares of {size} pixels; the picture has {noisy.shape}.")
    starts = [sorted({*range(0, n - size + 1, _STEP), n - size}) for n in noisy.shape]
    places = [(i, j) for i in starts[0] for j in starts[1]]
    squares = np.stack([noisy[i : i + size, j : j + size].ravel() for i, j in places])
    found = solution(squares, sigma=sigma, guard=False).reshape(-1, size, size)
    hill = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / (size / 4)) ** 2)
    weight, total, sums = np.outer(hill, hill), np.zeros(noisy.shape), np.zeros(noisy.shape)
    for (i, j), square in zip(places, found, strict=True):
        sums[i : i + size, j : j + size] += weight * square
        total[i : i + size, j : j + size] += weight
    return sums / total


def quality(clean: NDArray, picture: NDArray) -> tuple[float, float]:
    """PSNR in dB and structural similarity of pictures in [0, 1], [h, w] or [h, w, 3], as scikit-image computes them."""
    metrics: Any = needed("skimage.metrics")
    axis = -1 if clean.ndim == 3 else None
    return (
        float(metrics.peak_signal_noise_ratio(clean, picture, data_range=1.0)),
        float(metrics.structural_similarity(clean, picture, data_range=1.0, channel_axis=axis)),
    )


def estimated_sigma(noisy: NDArray) -> float:
    """The standard deviation of the noise, from the finest wavelet coefficients, averaged over channels."""
    needed("pywt")
    restoration: Any = needed("skimage.restoration")
    return float(restoration.estimate_sigma(noisy, channel_axis=-1 if noisy.ndim == 3 else None, average_sigmas=True))


def save_row(path: str, pictures: Sequence[NDArray], titles: Sequence[str]) -> None:
    """Write pictures in [0, 1] side by side, with a title each."""
    height, width = pictures[0].shape[:2]
    columns = min(len(pictures), 4)
    rows = -(-len(pictures) // columns)
    across = max(3.6, width / 110)
    figure = figure_of(across * columns, (across * height / width + 0.35) * rows)
    for i, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        axes = figure.add_subplot(rows, columns, i + 1)
        axes.imshow(np.clip(picture, 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()
    figure.savefig(path, dpi=110)
