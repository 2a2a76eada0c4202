"""Solve a problem of the catalogue by name, and keep the answer: `python scripts/train.py exam_ode`.

    python scripts/train.py                                              lists the problems
    python scripts/train.py exam_ode --tol 1e-8                          stops at that estimated error
    python scripts/train.py exam_ode -p b=0.2 -p length=20               another oscillator
    python scripts/train.py exam_ode --method adam --learning-rate 1e-3  the textbook's recipe
    python scripts/train.py burgers --device gpu                         on the GPUs of this host
    srun python scripts/train.py burgers --distributed                   on every host that Slurm gave

Written to runs/NAME: the solution, which `pinn.load` reads, its pictures, history and errors. Ends with 0 where the tolerance
was met or none was asked for, with 1 where it was not met or training diverged, with 2 where the command was wrong, with 130
where it was stopped: Ctrl-C writes the best solution so far, and --checkpoint FILE goes on from there another time. What was
compiled is kept in the user's cache folder and makes the next run faster; PINN_CACHE=0 turns that off.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import optax
from _arguments import built, pair

import pinn
import problems
from pinn.choices import PRECISIONS
from pinn.errors import CheckpointError, MethodError, ProblemError

_AGAIN = "Start it again: with --checkpoint FILE it goes on from there, on any number of processes."
STEPS = {"adam": 5000, "lbfgs": 500, "ssbroyden": 500, "gauss-newton": 400}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _options(argv)
    if options.distributed is not None:
        _join(options.distributed)
    with warnings.catch_warnings():
        warnings.simplefilter("always", pinn.PinnWarning)
        warnings.showwarning = _plainly(warnings.showwarning)
        if options.list or options.name is None:
            print("\n".join(f"{name:<24} {problems.describe(name)}" for name in problems.names()))
            return 0
        try:
            return _train(options)
        except pinn.PinnError as error:
            print(f"{error}", file=sys.stderr)
            return 2
        except Exception as error:  # of which class depends on what this one was doing when it missed another
            if options.distributed is None:
                raise
            if not isinstance(error, jax.errors.JaxRuntimeError):
                traceback.print_exc()
            print(f"a process of this run was lost, or failed: {error}\n{_AGAIN}", file=sys.stderr, flush=True)
            os._exit(1)  # JAX's own end would wait for the lost one, and abort
        except KeyboardInterrupt:
            print("stopped; nothing was written", file=sys.stderr)
            return 130


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", help="of the problem; without it they are listed")
    parser.add_argument("--list", action="store_true", help="list the problems")
    parser.add_argument("-p", "--parameter", action="append", default=[], type=pair, metavar="NAME=VALUE", help="of the problem")
    parser.add_argument("--tol", type=float, help="target for the estimated relative L2 error")
    parser.add_argument("--time-limit", type=float, metavar="SECONDS", help="wall time of the solve")
    parser.add_argument("--method", choices=["auto", *STEPS], default="auto", help="auto chooses by the problem (default)")
    parser.add_argument("--steps", type=int, help=f"of the method; by default {STEPS}")
    parser.add_argument("--learning-rate", type=float, help="of adam, 1e-3 by default")
    parser.add_argument("--key", type=int, default=0, help="seed of all random numbers")
    parser.add_argument("--dtype", choices=list(PRECISIONS), default="float64")
    parser.add_argument("--device", choices=["cpu", "gpu", "tpu"], help="default: the fastest kind that JAX finds")
    parser.add_argument(
        "--distributed",
        nargs="?",
        const="",
        metavar="HOST:PORT,COUNT,RANK",
        help="one of several processes; where the first one listens is found for Slurm, Open MPI, Kubernetes and TPU pods",
    )
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="keep what was done so far there, and go on from it")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="default runs/NAME")
    parser.add_argument("--quiet", action="store_true", help="print warnings and errors only")
    options = parser.parse_args(argv)
    if options.steps is not None and options.method == "auto":
        parser.error("--steps needs a --method: auto takes as many as it needs")
    if options.learning_rate is not None and options.method != "adam":
        parser.error("--learning-rate is for --method adam")
    return options


def _join(place: str) -> None:
    """Become one of the processes of a run; nothing of JAX may have been used before."""
    if not place:
        jax.distributed.initialize()
        return
    try:
        address, count, rank = place.split(",")
        numbers = int(count), int(rank)
    except ValueError:
        print(f"--distributed needs HOST:PORT,COUNT,RANK, such as 10.0.0.1:9876,2,0; got {place!r}", file=sys.stderr)
        sys.exit(2)
    jax.distributed.initialize(address, *numbers)


def _devices(kind: str | None) -> list[Any] | None:
    """Those of a kind, None for all that JAX has chosen."""
    if kind is None:
        return None
    try:
        return jax.devices(kind)
    except RuntimeError as error:
        extra = {"gpu": "cuda13", "tpu": "tpu"}.get(kind, "cpu")
        raise MethodError(
            f"--device {kind}: JAX finds none here. Install the support for it: pip install 'pinn[{extra}]'."
        ) from error


def _train(options: argparse.Namespace) -> int:
    problem = built(options.name, dict(options.parameter))
    _cache_compilations()
    folder = _writable(options.output or Path("runs") / options.name)
    solution = pinn.solve(
        problem,
        tol=options.tol,
        time_limit=options.time_limit,
        method=_method(options),
        key=options.key,
        dtype=options.dtype,
        devices=_devices(options.device),
        checkpoint=options.checkpoint,
        progress=not options.quiet and jax.process_index() == 0,
    )
    if jax.process_index() > 0:
        return _code(options, solution)
    errors = solution.errors()
    try:
        _write(folder, problem, solution, errors)
    except OSError as error:
        raise CheckpointError(f"{folder} could not be written: {error.strerror or error}. {_kept(options)}") from error
    if not options.quiet:
        print(f"\n{errors}\n\nwritten to {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
    return _code(options, solution)


def _code(options: argparse.Namespace, solution: Any) -> int:
    if solution.status is pinn.Status.INTERRUPTED:
        return 130
    missed = options.tol is not None and solution.status is not pinn.Status.REACHED
    return int(missed or solution.status is pinn.Status.DIVERGED)


def _write(folder: Path, problem: Any, solution: Any, errors: Any) -> None:
    """The solution, its history, errors and pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    solution.save(folder / "solution")
    solution.history.write(folder / "history.csv")
    (folder / "errors.json").write_text(json.dumps(errors.to_dict(), indent=1), encoding="utf-8")
    if isinstance(problem, pinn.Problem):
        problem.plot(folder / "problem.png")
    solution.plot(folder / "solution.png")


def _kept(options: argparse.Namespace) -> str:
    if options.checkpoint is None:
        return "Make room or give another --output; --checkpoint FILE keeps what was solved from such an end."
    return f"What was solved is in {options.checkpoint}: the same command goes on from there, with another --output or more room."


def _writable(path: Path) -> Path:
    """The folder to write to; before anything is solved it is known that it can be made."""
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ProblemError(f"--output {path} cannot be written: {there} is no folder that you may write to. Give another.")
    return path


def _method(options: argparse.Namespace) -> pinn.Phase | None:
    if options.method == "auto":
        return None
    rate = 1e-3 if options.learning_rate is None else options.learning_rate
    own = {"ssbroyden": pinn.ssbroyden, "gauss-newton": pinn.gauss_newton}
    make = ({"adam": lambda: optax.adam(rate), "lbfgs": optax.lbfgs} | own)[options.method]
    steps = STEPS[options.method] if options.steps is None else options.steps
    return pinn.Phase(make(), steps=steps, name=options.method)


def _cache_compilations() -> None:
    """Keep what is compiled for the next run, where there is a folder for it."""
    if os.environ.get("PINN_CACHE") == "0":
        return
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pinn"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.access(folder, os.W_OK):
            jax.config.update("jax_compilation_cache_dir", str(folder))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _plainly(default: Callable) -> Callable:
    """Warnings of pinn as one line, any other as before."""

    def show(message: Warning, category: type[Warning], *details: Any, **more: Any) -> None:
        if issubclass(category, pinn.PinnWarning):
            print(f"warning: {message}", file=sys.stderr)
        else:
            default(message, category, *details, **more)

    return show


if __name__ == "__main__":
    sys.exit(main())
