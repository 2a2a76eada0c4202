"""Photographs with Gaussian noise: small squares of real pictures, and an operator for pictures of any size.

    u(y, x) = f(y, x) + σ ε on a grid of pixels one apart,   f in [0, 1], linear between pixels

Nothing is known of f but examples, and there is no exact limit. A `pinn.LocalDeepONet` learned here denoises whole pictures,
`solution.on(domain, sensors)`; scripts/denoise.py does it. Photographs come from packages: `_photos` says from which.

One that has learned, for noise levels of 5 to 55 of 255, is in the folder `TRAINED`: `pinn.load(images.TRAINED)`. It is the
work of `python scripts/train_images.py cnn --minutes 6` on one H100, and takes 2 MB.

Source: Zhang et al., Beyond a Gaussian Denoiser, IEEE Trans. Image Process. 26 (2017), for the task and its noise levels.

Good values: size = 48 with sigma = (5 / 255, 55 / 255); size = 16 with sigma = 25 / 255 for a fully connected branch.
"""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import pinn
from pinn.errors import ProblemError, listing

from ._families import LEARN_FROM, noise_range
from ._photos import TRAINING, crops, photos, read

__all__ = ["TRAINED", "between", "crops", "grid", "of_photos", "problem", "read"]

TRAINED = Path(__file__).with_name("photographs")


def problem(
    size: int = 48, sigma: float | Sequence[float] = (5 / 255, 55 / 255), learn_from: str = "clean"
) -> pinn.OperatorProblem:
    """Denoising of squares of `size` pixels a side, from the photographs that are installed; a pair of noise levels is a range.

    Raises:
        ProblemError: no photographs are installed, and what to install.
    """
    return of_photos(list(photos(TRAINING).values()), size, sigma, learn_from)


def grid(height: int, width: int) -> tuple[pinn.Box, NDArray]:
    """The domain and the sensors [height width, 2] of a picture, pixels one apart, the first row y = 0.

    Example:
        >>> grid(2, 3)[1][:4].tolist()
        [[0.0, 0.0], [0.0, 1.0], [0.0, 2.0], [1.0, 0.0]]
    """
    places = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1).reshape(-1, 2)
    return pinn.Box(y=(0, height - 1), x=(0, width - 1)), places.astype(float)


def of_photos(
    pictures: Sequence[NDArray], size: int, sigma: float | Sequence[float], learn_from: str = "clean"
) -> pinn.OperatorProblem:
    """The same from grey pictures [h, w] of your own, in [0, 1]: squares anywhere in them, turned and mirrored.

    Raises:
        ProblemError: a picture smaller than a square, or an unknown `learn_from`.
    """
    if learn_from not in LEARN_FROM or learn_from == "mean":
        raise ProblemError(
            f"images: learn_from must be one of {listing(k for k in LEARN_FROM if k != 'mean')}; got {learn_from!r}."
        )
    low, high = noise_range(sigma)
    shapes = np.array([np.shape(photo) for photo in pictures])
    if shapes.ndim != 2 or shapes.shape[1] != 2 or shapes.min() < size:
        raise ProblemError(f"images: squares of {size} pixels need grey pictures at least as large; got {shapes.tolist()}.")
    pixels = np.concatenate([np.round(255 * np.clip(photo, 0, 1)).astype(np.uint8).ravel() for photo in pictures])
    areas = shapes.prod(axis=1)
    starts, shapes, step = (a.astype(np.int32) for a in (np.cumsum(areas) - areas, shapes, np.arange(size)))
    chances = np.log(areas).astype(np.float32)

    def square(key: jax.Array) -> jax.Array:
        which, where, how = jax.random.split(key, 3)
        chosen = jax.random.categorical(which, chances)
        room = jnp.asarray(shapes)[chosen] - size + 1
        top, left = jnp.floor(jax.random.uniform(where, (2,)) * room).astype(jnp.int32)
        turn = jax.random.bernoulli(how, shape=(3,))
        down, across = (jnp.where(turn[i], step[::-1], step) for i in range(2))
        rows = jnp.asarray(starts)[chosen] + (top + down) * jnp.asarray(shapes)[chosen, 1] + left
        found = jnp.asarray(pixels)[rows[:, None] + across[None]].astype(jnp.result_type(float)) / 255
        return jnp.where(turn[2], found.T, found)

    def whole(key: jax.Array) -> pinn.Sample:
        what, level, first, again = jax.random.split(key, 4)
        clean = square(what)
        s = low + (high - low) * jax.random.uniform(level)
        noisy, second = (clean.ravel() + s * jax.random.normal(k, (size * size,)) for k in (first, again))
        return pinn.Sample(noisy=noisy, clean=lambda y, x: between(clean, y, x), second=second, sigma=s)

    def told(key: jax.Array) -> pinn.Sample:
        known = whole(key)
        shown = {"clean": ("clean",), "second": ("second",), "noise": ()}[learn_from]
        return pinn.Sample(known.noisy, sigma=known.sigma, **{kind: getattr(known, kind) for kind in shown})

    domain, places = grid(size, size)
    return pinn.OperatorProblem(domain=domain, fields="f", sensors=places, sample=told, reference=whole, name="images")


def between(picture: jax.Array, y: jax.Array, x: jax.Array) -> jax.Array:
    """A picture at a place between its pixels, linear along both coordinates."""
    i, j = (jnp.clip(jnp.floor(p), 0, n - 2).astype(int) for p, n in zip((y, x), picture.shape, strict=True))
    four = jax.lax.dynamic_slice(picture, (i, j), (2, 2))
    a, b = y - i, x - j
    return jnp.stack([1 - a, a]) @ four @ jnp.stack([1 - b, b])
