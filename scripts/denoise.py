"""Remove Gaussian noise from a picture: `python scripts/denoise.py IMAGE`, grey or in colour, of any size.

    python scripts/denoise.py IMAGE                      the noise level is estimated
    python scripts/denoise.py IMAGE --sigma 25           it is known, in grey levels of 0 to 255
    python scripts/denoise.py IMAGE --clean ORIGINAL     tells PSNR and SSIM of the noisy and of the denoised picture
    python scripts/denoise.py IMAGE --noise 25           a trial: noise is added to a clean picture first
    python scripts/denoise.py camera --noise 25          so is it with a test picture: camera, barbara, monarch, kodim23

Writes IMAGE.denoised.png, and IMAGE.compared.png with the noisy, the denoised and, where it is known, the clean picture, into
the folder of --output. The network is the one that ships, or that of --model FOLDER, such as scripts/train_images.py makes.
Colours are denoised as brightness and two colour differences. Needs pip install 'pinn[denoising]'.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _baselines import needed
from _pictures import denoiser, estimated_sigma, quality, save_row
from numpy.typing import NDArray

import pinn
from pinn.errors import SolutionError
from problems.denoising import images


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 2 where the command, the picture or the network cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path, help="a picture file, or the name of a test picture")
    parser.add_argument("--sigma", type=float, help="standard deviation of the noise, of 255; estimated without it")
    known = parser.add_mutually_exclusive_group()
    known.add_argument("--noise", type=float, metavar="SIGMA", help="add noise of this level first")
    known.add_argument("--clean", type=Path, metavar="FILE", help="the picture without noise")
    parser.add_argument("--model", type=Path, default=images.TRAINED, metavar="FOLDER", help="of another learned operator")
    parser.add_argument("--key", type=int, default=0, help="seed of the noise that is added")
    parser.add_argument("--output", type=Path, default=Path(), metavar="FOLDER", help="the current one by default")
    options = parser.parse_args(argv)
    try:
        return _denoise(options)
    except (pinn.PinnError, OSError, ModuleNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2


def _denoise(options: argparse.Namespace) -> int:
    if not options.model.exists():
        raise SolutionError(f"{options.model} is no folder of a learned operator: python scripts/train_images.py makes one.")
    solution: Any = pinn.load(options.model)
    noisy = opened(options.image)
    clean = None if options.clean is None else opened(options.clean)
    sigma = None if options.sigma is None else options.sigma / 255
    if options.noise is not None:
        clean, rng = noisy, np.random.default_rng(options.key)
        noisy = clean + options.noise / 255 * rng.normal(size=clean.shape)
        sigma = options.noise / 255 if sigma is None else sigma
    if clean is not None and clean.shape != noisy.shape:
        raise SolutionError(f"The clean picture has {clean.shape[:2]} pixels and the noisy one {noisy.shape[:2]}.")
    how = "given" if sigma is not None else "estimated"
    sigma = estimated_sigma(noisy) if sigma is None else sigma
    result = np.clip(denoiser(solution)(noisy, sigma), 0, 1)
    panels = {f"noisy, σ = {255 * sigma:.1f} {how}": noisy, "denoised": result} | ({} if clean is None else {"clean": clean})
    titles = [_measured(name, picture, clean) for name, picture in panels.items()]
    print("\n".join(titles))
    options.output.mkdir(parents=True, exist_ok=True)
    stem = options.output / options.image.stem
    needed("skimage.io").imsave(f"{stem}.denoised.png", np.round(255 * result).astype(np.uint8), check_contrast=False)
    save_row(f"{stem}.compared.png", list(panels.values()), titles)
    print(f"written: {stem}.denoised.png, {stem}.compared.png")
    return 0


def opened(path: Path) -> NDArray:
    """A picture [h, w], or [h, w, 3] if it has colours, in [0, 1]."""
    if not path.exists() and path.suffix == "":
        crops = images.crops()
        if path.name in crops:
            return crops[path.name]
    picture = np.asarray(images.read(path))
    if picture.ndim == 3 and picture.shape[-1] in (3, 4):
        picture = picture[..., :3]
    elif picture.ndim == 3 and picture.shape[-1] == 2:
        picture = picture[..., 0]
    if picture.ndim not in (2, 3):
        raise SolutionError(f"{path} is no single picture: its array has shape {picture.shape}.")
    picture = picture / np.iinfo(picture.dtype).max if picture.dtype.kind in "ui" else picture.astype(float)
    colours = picture.ndim == 3 and np.ptp(picture, axis=-1).max() > 1e-9
    return picture if picture.ndim == 2 or colours else picture[..., 0]


def _measured(name: str, picture: NDArray, clean: NDArray | None) -> str:
    if clean is None or picture is clean:
        return name
    psnr, ssim = quality(clean, picture)
    return f"{name}: PSNR {psnr:.2f} dB, SSIM {ssim:.3f}"


if __name__ == "__main__":
    raise SystemExit(main())
