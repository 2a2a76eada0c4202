"""What safety costs: `python scripts/reliability.py checkpoints burgers`, `python scripts/reliability.py memory`.

    python scripts/reliability.py checkpoints burgers --time-limit 300     the share of a solve that its checkpoints take
    python scripts/reliability.py memory --parameters 2000 --points 50000  the memory that a step of Gauss-Newton takes

Each prints one JSON object. The time inside of saving is compared with that of the same run, so that a busy machine slows down
both; the memory is the largest resident set of the process, less what it held before the step.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import pinn
import problems
from pinn import phases
from pinn.journal import Journal


class Timer:
    """Seconds inside of some methods, a call within a call counted once."""

    def __init__(self, owner: type, *names: str):
        self.seconds, self._deep = 0.0, 0
        self.calls = dict.fromkeys(names, 0)
        for name in names:
            setattr(owner, name, self._timed(name, getattr(owner, name)))

    def _timed(self, name: str, method: Callable) -> Callable:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls[name] += 1
            self._deep, began = self._deep + 1, time.perf_counter()
            try:
                return method(*arguments, **options)
            finally:
                self._deep -= 1
                self.seconds += 0.0 if self._deep else time.perf_counter() - began

        return call


def checkpoints(options: argparse.Namespace) -> dict[str, Any]:
    """A solve with a checkpoint: the seconds that went into it, out of how many."""
    timer = Timer(Journal, "save", "keep", "_add")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.ck"
        began = time.perf_counter()
        solution = pinn.solve(
            problems.load(options.name).problem(), tol=options.tol, time_limit=options.time_limit, checkpoint=path, progress=False
        )
        wall, size = time.perf_counter() - began, path.stat().st_size
    return {
        "problem": options.name,
        "status": solution.status.name,
        "wall": round(wall, 2),
        "saving": round(timer.seconds, 3),
        "share": timer.seconds / wall,
        "calls of save": timer.calls["save"],
        "bytes of the last": size,
    }


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """One step of Gauss-Newton: the largest memory before it and in it, beside that of the whole Jacobian."""
    width = math.floor(math.sqrt(options.parameters / 2))
    method, taken = pinn.gauss_newton(), {}
    system = phases.system

    def watched(*arguments: Any) -> Any:
        taken.setdefault("before", resident())
        found = system(*arguments)
        taken["parameters"], taken["assembled"] = np.shape(found[1])[1], resident()
        return found

    phases.system = watched
    pinn.solve(
        problems.load(options.name).problem(),
        method=pinn.Phase(method, steps=1),
        network=partial(pinn.MLP, width=width, depth=3),
        points={"equation": options.points},
        progress=False,
    )
    whole = 8 * options.points * (taken["parameters"] + 1) / 2**20
    triangle = 8 * (taken["parameters"] + 1) ** 2 / 2**20
    sizes = {"triangle": triangle, "whole Jacobian": whole, "before": taken["before"], "assembled": taken["assembled"]}
    sizes |= {"in all": resident(), "step": resident() - taken["before"]}
    return {"parameters": taken["parameters"], "points": options.points} | {f"{k}, MiB": round(v) for k, v in sizes.items()}


def resident() -> float:
    """The largest resident set of this process so far, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    saving = verbs.add_parser("checkpoints", help="the share of a solve that its checkpoints take")
    saving.add_argument("name", help="of the problem")
    saving.add_argument("--tol", type=float, default=1e-12, help="out of reach by default, so that all of the time is used")
    saving.add_argument("--time-limit", type=float, default=300.0, metavar="SECONDS")
    saving.set_defaults(measure=checkpoints)
    step = verbs.add_parser("memory", help="the memory that a step of Gauss-Newton takes")
    step.add_argument("name", nargs="?", default="burgers", help="of the problem")
    step.add_argument("--parameters", type=int, default=10_000, help="about so many")
    step.add_argument("--points", type=int, default=100_000)
    step.set_defaults(measure=memory)
    options = parser.parse_args(argv)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pinn.PinnWarning)
        print(json.dumps(options.measure(options)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
