"""A learned and classical denoisers of an electrocardiogram: gains in dB where noise is 0, 5 and 10 dB below the signal.

    python scripts/ecg_benchmark.py                       keys 0 to 4, 120 s each

What is learned is what plain `pinn.solve(problem)` gives on the first half of the record; every method is tested on windows of
the second half, and told the noise level. Classical ones are tuned on windows of the first half at exactly that level, which the
learned one does not need. Written to runs/ecg: ecg.md, ecg.json, and ecg.png with windows of the last key. Needs
pip install 'pinn[denoising]' and pip install --no-deps systole.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _baselines import BASELINES
from _measuring import markdown, this_machine
from numpy.typing import NDArray

import pinn
from pinn.operator_learning.linear import draw_many
from pinn.plotting import BLUE, GREY, figure_of
from problems.denoising import ecg

LEVELS = 0, 5, 10  # dB
TESTED, TUNED, SHOWN = 1000, 4000, 3  # windows
CLASSICAL = "best linear", "Savitzky-Golay", "wavelets", "TV"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=5, help="how many random keys, from 0 on")
    parser.add_argument("--time-limit", type=float, default=120.0, metavar="SECONDS", help="of each solve")
    parser.add_argument("--output", type=Path, default=Path("runs/ecg"), metavar="FOLDER")
    options = parser.parse_args(argv)
    options.output.mkdir(parents=True, exist_ok=True)
    tests = {level: windows("second", level, TESTED, 3) for level in LEVELS}
    gains: dict[str, list[list[float]]] = {"pinn": []}
    for name in CLASSICAL:
        gains[name] = [[gain(name, level, *tests[level]) for level in LEVELS]]
    for key in range(options.keys):
        solution: Any = pinn.solve(ecg.problem(), key=key, time_limit=options.time_limit)
        denoised = {level: solution(tests[level][0], sigma=sigma(level), t=solution.problem.sensors[:, 0]) for level in LEVELS}
        gains["pinn"].append([decibels(denoised[level], tests[level][1], sigma(level)) for level in LEVELS])
        write(gains, options.output, options.time_limit)
        draw(options.output / "ecg.png", *tests[LEVELS[0]], denoised[LEVELS[0]])
    print((options.output / "ecg.md").read_text(encoding="utf-8"))
    return 0


def sigma(level: float) -> float:
    """Of noise so many dB below the record, whose standard deviation is 1."""
    return 10 ** (-level / 20)


def windows(half: str, level: float, count: int, key: int) -> tuple[NDArray, NDArray]:
    """Noisy and clean windows [count, n]."""
    problem = ecg.problem(sigma(level), half=half)
    found = draw_many(problem, jax.random.key(key), jnp.asarray(problem.sensors), count, True)
    assert found.clean is not None  # the reference knows it
    return np.asarray(found.noisy), np.asarray(found.clean)[..., 0]


def gain(name: str, level: float, noisy: NDArray, clean: NDArray) -> float:
    """Of a classical denoiser, tuned on the first half."""
    few = len(noisy) if name in CLASSICAL[:2] else 200
    denoise = BASELINES[name](*windows("first", level, TUNED, 2), sigma(level))
    return decibels(denoise(noisy[:few]), clean[:few], sigma(level))


def decibels(found: NDArray, clean: NDArray, sigma: float) -> float:
    return float(10 * np.log10(sigma**2 / np.mean((found - clean) ** 2)))


def write(gains: dict[str, list[list[float]]], folder: Path, limit: float) -> None:
    """Median and worst over the keys, as Markdown; everything as JSON."""
    head, machine = {"method": "---"} | dict.fromkeys((f"{level} dB" for level in LEVELS), "--:"), this_machine()
    rows = [
        [f"{name}{part}", *(f"{value:.2f}" for value in of(runs))] for name, runs in gains.items() for part, of in _parts(runs)
    ]
    keys = f"pinn: `pinn.solve(problem, time_limit={limit:g})`, {len(gains['pinn'])} keys, float64, {machine['cores']} cores"
    lines = [f"Gains in dB on {TESTED} windows that were not learned from. {keys}.", "", *markdown(head, rows)]
    (folder / "ecg.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "ecg.json").write_text(json.dumps({"machine": machine, "limit": limit, "gains": gains}, indent=1))


def _parts(runs: list[list[float]]) -> list[tuple[str, Any]]:
    if len(runs) == 1:
        return [("", partial(np.median, axis=0))]
    return [(", median", partial(np.median, axis=0)), (", worst", partial(np.min, axis=0))]


def draw(path: Path, noisy: NDArray, clean: NDArray, denoised: NDArray) -> None:
    """A few windows, noisy, denoised and clean, one below the other."""
    figure, seconds = figure_of(7, 2 * SHOWN), np.arange(noisy.shape[1]) / ecg.RATE
    for i in range(SHOWN):
        axes = figure.add_subplot(SHOWN, 1, i + 1)
        axes.plot(seconds, noisy[i], ".", color=GREY, markersize=3, label="noisy")
        axes.plot(seconds, clean[i], color="black", linewidth=1, label="clean")
        axes.plot(seconds, denoised[i], "--", color=BLUE, linewidth=1.5, label="denoised")
        axes.set_ylabel("standard deviations")
    figure.axes[-1].set_xlabel("seconds")
    figure.axes[0].legend(loc="upper right", ncols=3)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    raise SystemExit(main())
