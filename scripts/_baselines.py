"""Classical denoisers of signals on a regular grid, told the noise level, and tuned on signals of the same kind.

Each is made by `name(noisy, clean, sigma)` from tuning signals [N, n] of one noise level, and maps [M, n] to [M, n].
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate, signal

Denoiser = Callable[[NDArray], Any]


def needed(module: str) -> ModuleType:
    """A module of the extra `denoising`.

    Raises:
        ModuleNotFoundError: it is not installed; says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{module} is not installed; the classical denoisers and the pictures need it: pip install 'pinn[denoising]'."
        ) from error


def savitzky_golay(noisy: NDArray, clean: NDArray, sigma: float) -> Denoiser:
    """Local polynomials; the window and the degree that do best."""
    count = noisy.shape[1]
    pairs = [(w, p) for w in range(3, min(count, 64), 2) for p in range(0, min(w, 8), 2)]
    return _best((partial(signal.savgol_filter, window_length=w, polyorder=p) for w, p in pairs), noisy, clean)


def smoothing_spline(noisy: NDArray, clean: NDArray, sigma: float) -> Denoiser:
    """Cubic smoothing spline, its penalty by generalised cross-validation for each signal."""
    grid = np.arange(noisy.shape[1], dtype=float)
    return lambda u: np.stack([interpolate.make_smoothing_spline(grid, row)(grid) for row in u])


def wavelets(noisy: NDArray, clean: NDArray, sigma: float) -> Denoiser:
    """BayesShrink of wavelet coefficients; the wavelet that does best."""
    restoration: Any = needed("skimage.restoration")
    needed("pywt")
    options = {"sigma": sigma, "method": "BayesShrink", "mode": "soft", "rescale_sigma": True}

    def rows(u: NDArray, wavelet: str) -> NDArray:
        return np.stack([restoration.denoise_wavelet(row, wavelet=wavelet, **options) for row in u])

    return _best((partial(rows, wavelet=w) for w in ("haar", "db4", "sym8")), noisy, clean)


def total_variation(noisy: NDArray, clean: NDArray, sigma: float) -> Denoiser:
    """Least squares with a penalty on the total variation; the weight that does best."""
    restoration: Any = needed("skimage.restoration")

    def rows(u: NDArray, weight: float) -> NDArray:
        return np.stack([restoration.denoise_tv_chambolle(row, weight=weight, eps=1e-5, max_num_iter=500) for row in u])

    return _best((partial(rows, weight=c * sigma) for c in (0.3, 0.6, 1.0, 1.5, 2.2, 3.2, 4.6)), noisy, clean)


def best_linear(noisy: NDArray, clean: NDArray, sigma: float) -> Denoiser:
    """The Wiener filter: the matrix of least mean squared error, by least squares on the tuning signals."""
    gram = noisy.T @ noisy + 1e-6 * len(noisy) * np.eye(noisy.shape[1])
    matrix = np.linalg.solve(gram, noisy.T @ clean)
    return lambda u: u @ matrix


def gaussian_process(noisy: NDArray, clean: NDArray, sigma: float) -> Denoiser:
    """Posterior mean of a Gaussian process whose variance and length-scale are those of largest likelihood for each signal."""
    processes: Any = needed("sklearn.gaussian_process")
    grid = np.linspace(0, 1, noisy.shape[1])[:, None]

    def one(row: NDArray) -> NDArray:
        kernel = processes.kernels.ConstantKernel(1.0, (1e-2, 1e2)) * processes.kernels.RBF(0.1, (5e-3, 2.0))
        return (
            processes.GaussianProcessRegressor(kernel, alpha=sigma**2, n_restarts_optimizer=1, random_state=0)
            .fit(grid, row)
            .predict(grid)
        )

    return lambda u: np.stack([one(row) for row in u])


BASELINES = {
    "best linear": best_linear,
    "Savitzky-Golay": savitzky_golay,
    "GCV spline": smoothing_spline,
    "wavelets": wavelets,
    "TV": total_variation,
    "ML GP": gaussian_process,
}


def _best(candidates: Iterable[Denoiser], noisy: NDArray, clean: NDArray, most: int = 100) -> Denoiser:
    return min(candidates, key=lambda each: np.mean((each(noisy[:most]) - clean[:most]) ** 2))
