"""Learn to denoise photographs; the result is what scripts/denoise.py uses.

    python scripts/train_images.py                       both branches, an hour of training for the convolutions
    python scripts/train_images.py cnn --minutes 240     the same checkpoint, with more time: it goes on from there

Photographs come from installed packages: pip install 'pinn[denoising]' and pip install --no-deps sporco bring some, Debian's
lomiri-wallpapers-16.04 and mate-backgrounds more. Written to runs/images: for each branch a checkpoint, kept at least every
minute, and a folder that `pinn.load` reads. Ctrl-C ends early with the best weights so far.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import pinn
from problems.denoising import images


class Kind(NamedTuple):
    """What is learned, with which network for the problem, in how many minutes by default."""

    problem: Callable[[], pinn.OperatorProblem]
    network: Callable[[pinn.OperatorProblem], Callable[..., pinn.OperatorNetwork]]
    minutes: float


def convolutions(problem: pinn.OperatorProblem) -> Callable[..., pinn.OperatorNetwork]:
    """Thirteen layers on cells of 2 × 2 pixels, that correct the observation."""
    return partial(pinn.LocalDeepONet, residual=True, cell=2, channels=64, dilations=(1,) * 12, activation=pinn.relu)


def fully_connected(problem: pinn.OperatorProblem) -> Callable[..., pinn.OperatorNetwork]:
    """All pixels of a square at once, to coefficients of the principal modes of clean squares."""
    places, keys = jnp.asarray(problem.sensors), jax.random.split(jax.random.key(1), 4096)
    clean = jax.jit(jax.vmap(lambda key: problem.draw(key, places, True).clean))(keys)
    size = round(len(places) ** 0.5)
    modes = partial(pinn.PODTrunk, snapshots=np.asarray(clean).reshape(-1, size, size))
    branch = partial(pinn.DenseBranch, width=512, depth=3, activation=pinn.relu)
    return partial(pinn.DeepONet, rank=size**2, branch=branch, trunk=modes)


KINDS = {
    "cnn": Kind(images.problem, convolutions, 60),
    "fc": Kind(partial(images.problem, size=16, sigma=25 / 255), fully_connected, 15),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(KINDS)}; all without any")
    parser.add_argument("--minutes", type=float, help="of training, those before the checkpoint included")
    parser.add_argument("--key", type=int, default=0, help="seed of all random numbers")
    parser.add_argument("--output", type=Path, default=Path("runs/images"), metavar="FOLDER")
    options = parser.parse_args(argv)
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"there is no kind {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    for name in options.kinds or KINDS:
        learn(name, options.minutes or KINDS[name].minutes, options.key, options.output)
    return 0


def learn(name: str, minutes: float, key: int, folder: Path) -> None:
    """One network, from its checkpoint on if there is one, and its folder."""
    kind, shared = KINDS[name], {"dtype": "float32", "key": key}
    folder.mkdir(parents=True, exist_ok=True)
    problem, file = kind.problem(), folder / f"{name}.ck"
    network = kind.network(problem)
    solution: Any = pinn.solve(problem, network=network, time_limit=60 * minutes, checkpoint=file, **shared)
    print(solution.errors())
    solution.save(folder / name)


if __name__ == "__main__":
    raise SystemExit(main())
