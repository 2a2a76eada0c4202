"""Mixtures of stationary priors, fitted to samples of functions by expectation and maximisation.

    f ~ Σ_k π_k N(0, Φ diag(s_k) Φᵀ)

with Φ cosines and sines at the sensors, so that each prior is a power spectrum s_k ≥ 0. It has as many unknowns as there are
functions, where a covariance has their square: a few samples tell it, and it holds between and beyond the sensors. Given the
moments T of a prior's functions, with the variance v of a little noise, s grows where they have more power than it expects,

    M = Φ diag(s) Φᵀ + v I        s_p ← s_p (φ_pᵀ M⁻¹ T M⁻¹ φ_p / φ_pᵀ M⁻¹ φ_p)^½

which never makes them less probable (Zhou, Hu, Zhou & Lange, J. Comput. Graph. Stat. 28, 2019). A prior that hardly any
sample is like stays as it was.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .mixture import FINEST, Mixture, Observed, evidence, held_out, moments, shares, while_better

_ROUNDS, _STEPS = 6, 4  # of expectation and maximisation at most, and of the maximisation in each
_SEEN = 0.003  # of all samples: what a prior has of them at least, to be fitted
_SMALLEST = 1e-300  # divides


class Spectra(NamedTuple):
    """Weights [K] and power spectra [K, p] of stationary priors."""

    weights: NDArray
    power: NDArray


def covariances(basis: NDArray, power: NDArray) -> NDArray:
    """Those of power spectra [K, p] at the sensors, where the functions are [n, p]: [K, n, n].

    Example:
        >>> covariances(np.eye(2), np.array([[1.0, 4.0]])).tolist()
        [[[1.0, 0.0], [0.0, 4.0]]]
    """
    return np.stack([basis * one @ basis.T for one in power])


def fit_spectra(basis: NDArray, power: NDArray, clean: NDArray, seen: Observed) -> NDArray:
    """Power spectra [K, p], from such on, of functions [N, n], of which also noisy observations are given.

    It ends where an eighth of the observations, held out, is hardly more probable than the round before.
    """
    values, held = held_out(clean, seen)
    known = Observed(values, np.full((1, 1), FINEST * float(seen.variances.min())))
    start = Spectra(np.full(len(power), 1 / len(power)), power)
    rounds = [partial(_maximised, basis=basis, seen=known)] * _ROUNDS
    return while_better(start, rounds, lambda spectra: shares(_evidence(spectra, basis, held))[1]).power


def _evidence(spectra: Spectra, basis: NDArray, seen: Observed) -> NDArray:
    return evidence(Mixture(spectra.weights, covariances(basis, spectra.power)), seen)


def _maximised(spectra: Spectra, basis: NDArray, seen: Observed) -> Spectra:
    """One round of expectation and maximisation."""
    parts, _ = shares(_evidence(spectra, basis, seen))
    floor = float(np.mean(seen.variances)) * np.eye(len(basis))
    power = spectra.power.copy()
    for k, part in enumerate(parts):
        if part.mean() >= _SEEN:
            target = moments(seen.values, part) + floor
            for _ in range(_STEPS):
                turned = np.linalg.solve(basis * power[k] @ basis.T + floor, basis)
                expected = np.einsum("np,np->p", basis, turned)
                power[k] *= np.sqrt(np.einsum("np,np->p", turned, target @ turned) / np.maximum(expected, _SMALLEST))
    weights = np.maximum(parts.mean(axis=1), _SMALLEST)
    return Spectra(weights / weights.sum(), power)
