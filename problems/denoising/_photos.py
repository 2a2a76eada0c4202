"""Real photographs, read from packages that are installed; nothing is downloaded, and nothing is copied into this project.

Training and test pictures are kept apart by name: no test picture is among those of another package for training.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pinn.errors import ProblemError, listing

LUMINANCE = np.array([0.299, 0.587, 0.114])
TOLD = {
    "skimage": "pip install 'pinn[denoising]'",
    "sklearn": "pip install 'pinn[denoising]'",
    "sporco": "pip install --no-deps sporco",
    "lomiri-wallpapers-16.04": "apt-get install lomiri-wallpapers-16.04",
    "mate-backgrounds": "apt-get install mate-backgrounds",
}


class Source(NamedTuple):
    """Pictures of one package: the folder, in a Python package or of the system, the files, and how far they are scaled down."""

    package: str
    folder: str
    files: tuple[str, ...]
    smaller: int = 1

    @property
    def place(self) -> Path | None:
        """The folder, if the package is installed."""
        if self.folder.startswith("/"):
            place = Path(self.folder)
        else:
            found = importlib.util.find_spec(self.package)
            if found is None or found.origin is None:
                return None
            place = Path(found.origin).parent / self.folder
        return place if any((place / name).exists() for name in self.files) else None


_WALLPAPERS = (
    "Bridge_by_Sander_Klootwijk",
    "Dragonfly_by_Bolly",
    "Picture_0B_by_freespace",
    "Picture_1A_by_freespace",
    "Wine_by_Jakkub_Mede",
    "aitzgorri_by_Aitzol_Berasategi",
    "analogpattern_by_Peter_Nerlich",
    "free_by_Peter_Nerlich",
    "friends_by_Aitzol_Berasategi",
    "greentock_by_Peter_Nerlich",
    "life_by_Aitzol_Berasategi",
    "picosdeeuropa_by_Aitzol_Berasategi",
    "seeding_by_Clements_Engelhardt",
    "sunset_by_Aitzol_Berasategi",
    "umang_by_Abhishek_Mudgal",
)
_NATURE = ("Aqua", "Blinds", "Dune", "FreshFlower", "Garden", "GreenMeadow", "LadyBird", "RainDrops", "Storm", "TwoWings", "Wood")

# The large ones are JPEG; scaled down, they show no traces of it.
TRAINING = (
    Source("lomiri-wallpapers-16.04", "/usr/share/backgrounds", tuple(f"{name}.jpg" for name in _WALLPAPERS), 4),
    Source(
        "mate-backgrounds", "/usr/share/backgrounds/mate/nature", tuple(f"{name}.jpg" for name in (*_NATURE, "YellowFlower")), 4
    ),
    Source("skimage", "data", ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "motorcycle_left.png")),
    Source("sporco", "data", ("tulips.png", "sail.png")),
    Source("sklearn", "datasets/images", ("china.jpg", "flower.jpg")),
)
VALIDATION = (Source("skimage", "data", ("coins.png", "moon.png")),)
TESTS = (Source("skimage", "data", ("camera.png",)), Source("sporco", "data", ("barbara.png", "monarch.png", "kodim23.png")))


def grey(picture: NDArray) -> NDArray:
    """Luminance in [0, 1] of a picture [h, w] or [h, w, 3 or 4], of whole numbers or already in [0, 1].

    Example:
        >>> grey(np.array([[[255, 255, 255], [0, 0, 0]]], np.uint8)).round(3).tolist()
        [[1.0, 0.0]]
    """
    values = picture / np.iinfo(picture.dtype).max if picture.dtype.kind in "ui" else np.asarray(picture, float)
    return values if values.ndim == 2 else values[..., :3] @ LUMINANCE


def read(path: Path) -> NDArray:
    """A picture from a file.

    Raises:
        ProblemError: scikit-image, which reads it, is not installed.
    """
    try:
        io: Any = importlib.import_module("skimage.io")
    except ModuleNotFoundError:
        raise ProblemError(f"{path.name} is read by scikit-image, which is not installed: {TOLD['skimage']}.") from None
    return io.imread(path)


@cache
def photos(sources: Sequence[Source]) -> dict[str, NDArray]:
    """Grey pictures [h, w] in [0, 1] by name, of those packages that are installed.

    Raises:
        ProblemError: none is.
    """
    found = {}
    for source in sources:
        place, k = source.place, source.smaller
        if place is None:
            continue
        for name in source.files:
            picture = grey(read(place / name))
            picture = picture[: picture.shape[0] // k * k, : picture.shape[1] // k * k]
            found[Path(name).stem] = picture.reshape(picture.shape[0] // k, k, -1, k).mean(axis=(1, 3))
    if not found:
        raise ProblemError(f"Photographs come from packages, and none of these is installed: {_advice(sources)}.")
    return found


def crops(size: int = 256) -> dict[str, NDArray]:
    """The central squares of the pictures that are never trained on: camera, barbara, monarch, kodim23.

    Raises:
        ProblemError: a package that has them is not installed.
    """
    if missing := [source for source in TESTS if source.place is None]:
        raise ProblemError(f"The test pictures come from packages that are not installed: {_advice(missing)}.")
    return {name: _central(picture, size) for name, picture in photos(TESTS).items()}


def _central(picture: NDArray, size: int) -> NDArray:
    top, left = ((n - size) // 2 for n in picture.shape)
    return picture[top : top + size, left : left + size]


def _advice(sources: Sequence[Source]) -> str:
    return listing(dict.fromkeys(f"{source.package} ({TOLD[source.package]})" for source in sources))
