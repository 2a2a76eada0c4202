"""Learned and classical denoisers of photographs on the four test crops: PSNR and SSIM, a table and a picture.

    python scripts/image_benchmark.py                          the network that ships, or those of scripts/train_images.py
    python scripts/image_benchmark.py --sigma 15 25 50         at more noise levels

The crops are the central 256 × 256 pixels of camera, barbara, monarch and kodim23, grey; none was trained on. All methods are
told the noise level. Classical ones are scikit-image's; total variation has the weight that is best for each picture in
hindsight. Written to runs/images: images.md, images.json, images.png. Needs pip install 'pinn[denoising]' and pip install
--no-deps sporco.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _baselines import needed
from _measuring import markdown, this_machine
from _pictures import denoiser, quality, save_row
from numpy.typing import NDArray

import pinn
from problems.denoising import images

Method = Callable[[NDArray, float, NDArray], NDArray]  # of the noisy picture, the noise level, and the clean picture

# Mean PSNR on these crops at 15, 25, 50, of implementations that are no dependency: BM3D of the package bm3d; DnCNN with 17
# layers, weights of the package scico.
PUBLISHED = {"BM3D": {15: 32.78, 25: 30.35, 50: 26.97}, "DnCNN-17": {25: 29.92}}


def wavelets(noisy: NDArray, sigma: float, clean: NDArray) -> NDArray:
    """BayesShrink, averaged over 16 shifts of the picture."""
    needed("pywt")
    restoration: Any = needed("skimage.restoration")
    shrink = partial(
        restoration.denoise_wavelet, sigma=sigma, method="BayesShrink", mode="soft", wavelet="db4", rescale_sigma=True
    )
    shifts = [(i, j) for i in range(0, 8, 2) for j in range(0, 8, 2)]
    return np.mean([np.roll(shrink(np.roll(noisy, s, (0, 1))), (-s[0], -s[1]), (0, 1)) for s in shifts], axis=0)


def total_variation(noisy: NDArray, sigma: float, clean: NDArray) -> NDArray:
    """Chambolle's algorithm with the weight that is best for this picture, which nobody could know."""
    restoration: Any = needed("skimage.restoration")
    found = [
        restoration.denoise_tv_chambolle(noisy, weight=c * sigma, max_num_iter=300) for c in (0.7, 0.85, 1.0, 1.15, 1.3, 1.5)
    ]
    return min(found, key=lambda picture: np.mean((picture - clean) ** 2))


def nonlocal_means(noisy: NDArray, sigma: float, clean: NDArray) -> NDArray:
    """Patches of 5 × 5 within 11 pixels; the strength by the noise level."""
    restoration: Any = needed("skimage.restoration")
    return restoration.denoise_nl_means(noisy, patch_size=5, patch_distance=11, h=0.6 * sigma, sigma=sigma)


def learned(folder: Path) -> Method:
    """The operator in a folder."""
    solution: Any = pinn.load(folder)
    denoised = denoiser(solution)
    return lambda noisy, sigma, clean: denoised(noisy, sigma)


def measured(methods: Mapping[str, Method], level: float, key: int) -> tuple[dict[str, Any], list[NDArray]]:
    """PSNR, SSIM and seconds by method and crop, and the pictures of the last crop."""
    scores: dict[str, Any] = {}
    rng, last = np.random.default_rng(key), []
    for crop, clean in images.crops().items():
        noisy = clean + level / 255 * rng.normal(size=clean.shape)
        last = []
        for name, method in {"noisy": _unchanged, **methods}.items():
            start = time.perf_counter()
            picture = np.clip(method(noisy, level / 255, clean), 0, 1) if name != "noisy" else noisy
            took = time.perf_counter() - start
            psnr, ssim = quality(clean, picture)
            scores.setdefault(name, {})[crop] = {"psnr": psnr, "ssim": ssim, "seconds": took}
            last.append(picture)
        last.append(clean)
    return scores, last


def _unchanged(noisy: NDArray, sigma: float, clean: NDArray) -> NDArray:
    return noisy


def mean(scores: Mapping[str, Any], kind: str) -> float:
    return float(np.mean([each[kind] for each in scores.values()]))


def table(scores: Mapping[str, Any], level: float) -> list[str]:
    """Rows of the methods, weakest first, and the published ones."""
    crops = list(next(iter(scores.values())))
    heads = {"method": "---"} | dict.fromkeys([*crops, "mean PSNR", "mean SSIM"], "--:")
    order = sorted(scores, key=lambda name: mean(scores[name], "psnr"))
    rows = []
    for name in order:
        each = [f"{scores[name][crop]['psnr']:.2f}" for crop in crops]
        rows.append([name, *each, f"{mean(scores[name], 'psnr'):.2f}", f"{mean(scores[name], 'ssim'):.3f}"])
    known = [(name, values[int(level)]) for name, values in PUBLISHED.items() if level in values]
    rows += [[f"{name} (published weights or code)", *[""] * len(crops), f"{value:.2f}", ""] for name, value in known]
    return markdown(heads, rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sigma", type=float, nargs="+", default=[25.0], help="noise levels, of 255")
    parser.add_argument("--key", type=int, default=0, help="seed of the noise")
    parser.add_argument(
        "--models", type=Path, default=Path("runs/images"), metavar="FOLDER", help="with a folder of each network"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/images"), metavar="FOLDER")
    options = parser.parse_args(argv)
    methods: dict[str, Method] = {"wavelets": wavelets, "TV, best weight": total_variation, "non-local means": nonlocal_means}
    made = {name: options.models / name for name in ("fc", "cnn")}
    if not made["cnn"].exists():
        made["cnn"] = images.TRAINED
    for name, label in {"fc": "pinn, dense branch", "cnn": "pinn, convolutions"}.items():
        if made[name].exists():
            methods[label] = learned(made[name])
        else:
            print(f"{made[name]} is not there: python scripts/train_images.py {name} makes it", file=sys.stderr)
    options.output.mkdir(parents=True, exist_ok=True)
    lines, kept = [], {}
    for level in options.sigma:
        scores, last = measured(methods, level, options.key)
        kept[f"{level:g}"] = scores
        lines += [f"σ = {level:g} of 255, noise from key {options.key}", "", *table(scores, level), ""]
        titles = [f"{name} {score['kodim23']['psnr']:.2f} dB" for name, score in scores.items()]
        save_row(str(options.output / "images.png"), last, [*titles, "clean"])
    (options.output / "images.md").write_text("\n".join(lines), encoding="utf-8")
    (options.output / "images.json").write_text(json.dumps({"machine": this_machine(), "scores": kept}, indent=1))
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
