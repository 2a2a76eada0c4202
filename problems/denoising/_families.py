"""What the families share: noise, what training may see, and posterior means of mixtures of Gaussian processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

import pinn
from pinn.errors import ProblemError, listing

LEARN_FROM = ("clean", "mean", "second", "noise")
Function = Callable[[Array], Array]


class Signal(NamedTuple):
    """A clean function, and its values at the sensors [n]."""

    function: Function
    values: Array


def noise_range(sigma: float | Sequence[float]) -> tuple[float, float]:
    """The lowest and highest noise level; one number is both.

    Raises:
        ProblemError: not one or two positive numbers in order.
    """
    low, high = (sigma, sigma) if isinstance(sigma, int | float) else tuple(sigma)
    if not 0 < low <= high:
        raise ProblemError(f"sigma must be a positive number, or a pair (lowest, highest); got {sigma!r}.")
    return float(low), float(high)


def denoising(
    name: str,
    domain: pinn.Interval,
    sensors: NDArray,
    draw: Callable[[Array], Signal],
    mean: Callable[[Array, Array], Function] | None,
    sigma: float | Sequence[float],
    learn_from: str,
    **physics: Any,
) -> pinn.OperatorProblem:
    """u = f(x_i) + σ ε_i with log σ uniform, as an operator problem.

    Args:
        draw: a signal from a key.
        mean: the exact posterior mean, a function of the coordinate, from values and σ.
        learn_from: what training may see; the rest is left to the reference.
    """
    if learn_from not in LEARN_FROM:
        raise ProblemError(f"{name}: learn_from must be one of {listing(LEARN_FROM)}; got {learn_from!r}.")
    low, high = noise_range(sigma)
    named = domain.coordinates[0]

    def whole(key: Array) -> pinn.Sample:
        signal, level, first, again = jax.random.split(key, 4)
        f = draw(signal)
        s = low * (high / low) ** jax.random.uniform(level)
        noisy, second = (f.values + s * jax.random.normal(k, f.values.shape) for k in (first, again))
        best = None if mean is None else of_coordinate(mean(noisy, s), named)
        return pinn.Sample(noisy=noisy, clean=of_coordinate(f.function, named), second=second, sigma=s, mean=best)

    def told(key: Array) -> pinn.Sample:
        known = whole(key)
        shown = {"clean": ("clean", "mean"), "mean": ("mean",), "second": ("second",), "noise": ()}[learn_from]
        return pinn.Sample(known.noisy, sigma=known.sigma, **{kind: getattr(known, kind) for kind in shown})

    return pinn.OperatorProblem(domain=domain, fields="f", sensors=sensors, sample=told, reference=whole, name=name, **physics)


def of_coordinate(function: Function, name: str) -> Callable:
    """A function of one number as a function of the coordinate `name`."""
    return {"x": lambda x: function(x), "t": lambda t: function(t)}[name]


def spectrum(length: Array, count: int, period: float) -> Array:
    """Variances of the harmonics 0..count-1 of a squared-exponential process of variance 1 with this length-scale."""
    power = jnp.exp(-0.5 * (2 * jnp.pi * jnp.arange(count) / period * length) ** 2) * jnp.where(jnp.arange(count) == 0, 0.5, 1.0)
    return power / jnp.sum(power)


def process(key: Array, length: Array, sensors: NDArray, count: int, period: float) -> Signal:
    """A draw of a squared-exponential Gaussian process, as a sum of harmonics on a circle longer than the interval."""
    angles = 2 * np.pi * np.arange(count) / period
    amplitudes = jax.random.normal(key, (2, count)) * jnp.sqrt(spectrum(length, count, period))[None]

    def function(x: Array) -> Array:
        return amplitudes[0] @ jnp.cos(angles * x) + amplitudes[1] @ jnp.sin(angles * x)

    at_sensors = jnp.cos(np.outer(sensors, angles)), jnp.sin(np.outer(sensors, angles))
    return Signal(function, at_sensors[0] @ amplitudes[0] + at_sensors[1] @ amplitudes[1])


def mixture_mean(kernels: Callable[[Array, NDArray], Array], sensors: NDArray, logits: NDArray) -> Callable:
    """The posterior mean Σ p(θ | u) k_θ(x, X) (K_θ + σ² I)⁻¹ u under a finite prior over covariance functions.

    Args:
        kernels: (x, X) -> k_θ(x, X) for every θ, [K, n].
        logits: log prior of each θ, [K].
    """
    matrices = np.stack([np.asarray(kernels(x, sensors)) for x in sensors], axis=1)
    spectra, vectors = np.linalg.eigh(matrices)
    spectra = np.maximum(spectra, 0.0)

    def mean(noisy: Array, sigma: Array) -> Function:
        turned, total = jnp.einsum("knm,n->km", vectors, noisy), spectra + sigma**2
        evidence = -0.5 * jnp.sum(turned**2 / total + jnp.log(total), axis=1) + logits
        solved = jnp.einsum("knm,km->kn", vectors, turned / total) * jax.nn.softmax(evidence)[:, None]
        return lambda x: jnp.sum(kernels(x, sensors) * solved)

    return mean
