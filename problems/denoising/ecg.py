"""An electrocardiogram under noise: windows of 256 values, a second or so, of one person's heart in 26 minutes.

    u(t_i) = f(t_i) + σ ε_i,   f the record between 0.5 and 40 Hz at 250 Hz, in units of its standard deviation

Nothing is known of f but examples, and there is no exact limit. The first half of the record is learned from and the second half
is for tests. The record has noise of its own, so that a noise level below 10 dB, σ < 0.3, measures little. It comes with a
package: pip install --no-deps systole

Source: the record Task1_ECG of Legrand & Allen, Systole, J. Open Source Software 7 (2022) 3832, at 1 kHz.

Good values: 64 to 256 sensors with sigma = 0.3 to 1, which are 10 to 0 dB.
"""

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy import signal

import pinn
from pinn.errors import ProblemError

from ._families import Signal, denoising

RATE, _RECORDED = 250, 1000  # values a second, in problems and in the record
_BAND = 0.5, 40.0  # Hz


def problem(
    sigma: float | Sequence[float] = (0.2, 1.2), sensors: int = 256, learn_from: str = "clean", half: str = "first"
) -> pinn.OperatorProblem:
    """Denoising of windows that start anywhere in the first or the second `half` of the record.

    Raises:
        ProblemError: the package with the record is not installed, or there is no such half.
    """
    return of_record(record(), sigma, sensors, learn_from, half)


def of_record(
    values: NDArray, sigma: float | Sequence[float], sensors: int, learn_from: str = "clean", half: str = "first"
) -> pinn.OperatorProblem:
    """The same of a record of your own, [n] at 250 Hz.

    Raises:
        ProblemError: an unknown half, or a record with halves shorter than a window.
    """
    if half not in ("first", "second"):
        raise ProblemError(f"ecg: half must be 'first' or 'second'; got {half!r}.")
    if np.ndim(values) != 1 or len(values) < 2 * sensors:
        raise ProblemError(f"ecg: windows of {sensors} values need a record of at least {2 * sensors}; got {np.shape(values)}.")
    middle = len(values) // 2
    own = jnp.asarray(values[:middle] if half == "first" else values[middle:])
    places = np.arange(sensors) / RATE

    def draw(key: jax.Array) -> Signal:
        start = jax.random.randint(key, (), 0, len(own) - sensors + 1)
        window = jax.lax.dynamic_slice(own, (start,), (sensors,))
        return Signal(lambda t: jnp.interp(t, jnp.asarray(places), window), window)

    return denoising("ecg", pinn.Interval(t=(0, places[-1])), places, draw, None, sigma, learn_from)


@cache
def record() -> NDArray:
    """The whole record at 250 Hz, of mean 0 and standard deviation 1.

    Raises:
        ProblemError: the package is not installed.
    """
    found = importlib.util.find_spec("systole")
    place = Path(found.origin).parent / "datasets/Task1_ECG.npy" if found is not None and found.origin else None
    if place is None or not place.exists():
        raise ProblemError("The electrocardiogram comes with a package that is not installed: pip install --no-deps systole.")
    raw = np.load(place, allow_pickle=False).astype(float).ravel()
    band = signal.butter(4, _BAND, "bandpass", fs=_RECORDED, output="sos")
    kept = signal.sosfiltfilt(band, raw)[:: _RECORDED // RATE]
    return (kept - kept.mean()) / kept.std()
