"""Learned denoisers against the exact Bayes limit and classical denoisers: gains in dB, gaps to the limit, microseconds a signal.

    python scripts/denoising_benchmark.py                                   all rows, keys 0 to 2, 60 s each
    python scripts/denoising_benchmark.py piecewise_constant --time-limit 600    one row with more time

Every row is learned by plain `pinn.solve(problem)` and tested on fresh signals, of the same kind and of others that it never
saw. Classical denoisers are told the noise level and tuned for each test, on signals of exactly that kind. An estimator that is
significantly above the exact limit is a leak, and ends the benchmark with exit code 1. Written to runs/denoising: a line of
runs.jsonl for each finished solve, which is not repeated, baselines.json, and the tables denoising.md and denoising.json.
Needs the extra: pip install 'pinn[denoising]'.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from problems.denoising import exam_ode, gaussian_process, oscillators, piecewise_constant

TESTED, TUNED, SLOW = 1000, 4000, 200  # signals: tested, to tune classical denoisers on, for those that take milliseconds each
SURE = 4.0  # standard errors above the limit that are no accident


@dataclass(frozen=True)
class Row:
    """What is learned, and what it is tested on, by label.

    Attributes:
        learned: the problem that is solved.
        tests: problems of one noise level each.
        targets: gaps to the limit in dB that are asked for.
        blind: whether the noise level is withheld.
        guard: whether Stein's estimate guards against harm.
    """

    learned: Callable[[], pinn.OperatorProblem]
    tests: Mapping[str, Callable[[], pinn.OperatorProblem]]
    targets: Mapping[str, float]
    blind: bool = False
    guard: bool = False


def _levels(make: Callable[..., pinn.OperatorProblem], levels: Sequence[float], gap: float, **options: Any) -> dict[str, Any]:
    """Tests and targets at noise levels."""
    tests = {f"σ = {s:g}": lambda s=s: make(sigma=s, **options) for s in levels}
    return {"tests": tests, "targets": dict.fromkeys(tests, gap)}


PROCESS, RANDOM = gaussian_process.problem, (0.02, 0.4)
LAYOUTS: dict[str, Any] = {
    **{f"{n} sensors": n for n in (64, 128, 256)},
    "30 % dropped": np.sort(np.random.default_rng(0).choice(np.linspace(0, 1, 64), 45, replace=False)),
    "64 at random": np.sort(np.random.default_rng(1).uniform(0, 1, 64)),
}
ROWS = {
    "process": Row(
        PROCESS,
        {label: lambda sensors=sensors: PROCESS(sensors=sensors) for label, sensors in LAYOUTS.items()},
        {"64 sensors": 0.03, "128 sensors": 0.15, "256 sensors": 0.3, "30 % dropped": 0.3, "64 at random": 0.3},
    ),
    "noise_levels": Row(lambda: PROCESS(sigma=(0.1, 0.3)), **_levels(PROCESS, (0.02, 0.05, 0.2, 0.6, 1.5), 0.2)),
    "random_length": Row(
        lambda: PROCESS(RANDOM, (0.1, 1.0)), **_levels(PROCESS, (0.1, 0.25, 0.5, 1.0), 0.1, length_scale=RANDOM), blind=True
    ),
    "other_lengths": Row(
        lambda: PROCESS((0.05, 0.2), (0.1, 1.0)),
        {f"ℓ = {length:g}": lambda length=length: PROCESS(length, 0.1) for length in (0.02, 0.1, 0.4)},
        {"ℓ = 0.02": 0.55, "ℓ = 0.4": 0.5},
        guard=True,
    ),
    "piecewise_constant": Row(
        piecewise_constant.problem, **_levels(piecewise_constant.problem, (0.1, 0.25, 0.5, 1.0), 0.5)
    ),
    "exam_ode": Row(
        exam_ode.problem,
        {f"{n} sensors": lambda n=n: exam_ode.problem(sigma=0.1, sensors=n) for n in (64, 128, 256)},
        dict.fromkeys(("64 sensors", "128 sensors", "256 sensors"), 0.1),
    ),
    "oscillators": Row(oscillators.problem, **_levels(oscillators.problem, (0.05, 0.1, 0.25), 0.6)),
}  # fmt: skip


def drawn(problem: pinn.OperatorProblem, count: int, key: int) -> tuple[NDArray, NDArray, NDArray, float]:
    """Noisy, clean and exact posterior mean [count, n] at the sensors, and the noise level."""
    found = draw_many(problem, jax.random.key(key), jnp.asarray(problem.sensors), count, True)
    return np.asarray(found.noisy), np.asarray(found.clean)[..., 0], np.asarray(found.mean)[..., 0], float(found.sigma[0])


def score(estimate: NDArray, clean: NDArray, mean: NDArray, sigma: float) -> dict[str, float]:
    """Gain and limit, the gap from the distance to the posterior mean, and how far the error is below the least possible one.

    Attributes of the result: `leak` in standard errors of the paired difference; above 4 no estimator without a leak gets.
    """
    off, least = (np.mean((a - clean) ** 2, axis=1) for a in (estimate, mean))
    difference = least - off
    spread = np.std(difference) / np.sqrt(len(difference)) + 1e-15 * np.mean(least)
    return {
        "gain": float(10 * np.log10(sigma**2 / np.mean(off))),
        "limit": float(10 * np.log10(sigma**2 / np.mean(least))),
        "gap": float(10 * np.log10(1 + np.mean((estimate - mean) ** 2) / np.mean(least))),
        "leak": float(np.mean(difference) / spread),
    }


def classical(row: Row) -> dict[str, dict[str, Any]]:
    """Scores of the classical denoisers by test, and microseconds a signal; most of them want regular sensors."""
    found: dict[str, dict[str, Any]] = {}
    for label, make in row.tests.items():
        problem = make()
        noisy, clean, mean, sigma = drawn(problem, TESTED + TUNED, 2)
        regular = float(np.ptp(np.diff(problem.sensors[:, 0]))) < 1e-9
        for name, tune in BASELINES.items() if regular else [("best linear", BASELINES["best linear"])]:
            denoise = tune(noisy[TESTED:], clean[TESTED:], sigma)
            count = TESTED if name in ("best linear", "Savitzky-Golay") else SLOW
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # likelihoods without an inner maximum
                start = time.perf_counter()
                estimate = denoise(noisy[:count])
            took = 1e6 * (time.perf_counter() - start) / count
            found.setdefault(label, {})[name] = score(estimate, clean[:count], mean[:count], sigma) | {"µs": took}
    return found


def learned(row: Row, key: int, limit: float) -> dict[str, Any]:
    """Scores by test of what solve makes with one key, microseconds a signal, and seconds of learning."""
    solution: Any = pinn.solve(row.learned(), key=key, time_limit=limit, progress=False)
    tests = {}
    for label, make in row.tests.items():
        problem = make()
        noisy, clean, mean, sigma = drawn(problem, TESTED, 3)
        sensors = None if np.array_equal(problem.sensors, solution.problem.sensors) else problem.sensors[:, 0]
        told = {"sensors": sensors, "sigma": None if row.blind else sigma, "guard": row.guard}
        places = {problem.domain.coordinates[0]: problem.sensors[:, 0]}
        estimate = solution(noisy, **told, **places)
        start = time.perf_counter()
        solution(noisy, **told, **places)
        tests[label] = score(estimate, clean, mean, sigma) | {"µs": 1e6 * (time.perf_counter() - start) / TESTED}
    return {"seconds": solution.seconds, "status": str(solution.status), "tests": tests}


def table(name: str, row: Row, runs: Sequence[Mapping[str, Any]], baselines: Mapping[str, Any]) -> list[list[str]]:
    """Cells of a row's tests: limit, gain and gap over keys, target, baselines, times.

    A classical denoiser that saw fewer signals stands as far below the limit as it was below that of these signals.
    """
    cells = []
    for label in row.tests:
        mine = [run["tests"][label] for run in runs]
        others = baselines.get(label, {})
        gains, gaps = ([score[kind] for score in mine] for kind in ("gain", "gap"))
        target = row.targets.get(label)
        speed = float(np.median([score["µs"] for score in mine]))
        ratio = f"{others['ML GP']['µs'] / speed:.0f}" if "ML GP" in others else ""
        cells.append(
            [name, label, f"{mine[0]['limit']:.2f}", f"{np.median(gains):.2f}", f"{np.median(gaps):.3f}", f"{max(gaps):.3f}"]
            + ["" if target is None else f"{target:g} {'reached' if max(gaps) <= target else 'missed'}"]
            + [f"{mine[0]['limit'] - others[b]['limit'] + others[b]['gain']:.2f}" if b in others else "" for b in BASELINES]
            + [f"{speed:.0f}", ratio]
        )
    return cells


_TEXT = ("learned from", "test", "target")
_COLUMNS = (*_TEXT[:2], "limit", "pinn", "gap", "worst gap", "target", *BASELINES, "µs", "ML GP µs / pinn µs")
HEADS = {column: "---" if column in _TEXT else "--:" for column in _COLUMNS}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of rows: {', '.join(ROWS)}; all without any")
    parser.add_argument("--keys", type=int, default=3, help="how many random keys, from 0 on")
    parser.add_argument("--time-limit", type=float, default=60.0, metavar="SECONDS", help="of each solve")
    parser.add_argument("--output", type=Path, default=Path("runs/denoising"), metavar="FOLDER")
    options = parser.parse_args(argv)
    if unknown := set(options.names) - set(ROWS):
        parser.error(f"no row is called {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    options.output.mkdir(parents=True, exist_ok=True)
    names, log, saved = options.names or list(ROWS), options.output / "runs.jsonl", options.output / "baselines.json"
    runs = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    runs = [run for run in runs if run["limit"] == options.time_limit and run["key"] < options.keys]
    baselines = json.loads(saved.read_text(encoding="utf-8")) if saved.exists() else {}
    for key in range(options.keys):
        for name in names:
            if not any((run["name"], run["key"]) == (name, key) for run in runs):
                runs.append(
                    {"name": name, "key": key, "limit": options.time_limit} | learned(ROWS[name], key, options.time_limit)
                )
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(runs[-1], ensure_ascii=False) + "\n")
            if name not in baselines:
                baselines[name] = classical(ROWS[name])
                saved.write_text(json.dumps(baselines, indent=1, ensure_ascii=False), encoding="utf-8")
            write(runs, baselines, options.time_limit, options.output)
    return leaks(runs, baselines)


def write(runs: Sequence[Mapping[str, Any]], baselines: Mapping[str, Any], limit: float, folder: Path) -> None:
    """The table of what there is so far, as Markdown and JSON."""
    rows, machine = [], this_machine()
    for name, row in ROWS.items():
        if mine := [run for run in runs if run["name"] == name]:
            rows += table(name, row, mine, baselines.get(name, {}))
    keys = sorted({run["key"] for run in runs})
    head = [
        f"Gains in dB over {TESTED} fresh signals; `pinn.solve(problem, time_limit={limit:g})`, keys {keys}, float64, "
        f"{machine['cores']} cores of {machine['processor']}, JAX {machine['jax']}. Gap: median over keys, and the worst.",
        "",
    ]
    (folder / "denoising.md").write_text("\n".join([*head, *markdown(HEADS, rows)]) + "\n", encoding="utf-8")
    whole = {"machine": machine, "runs": list(runs), "baselines": dict(baselines)}
    (folder / "denoising.json").write_text(json.dumps(whole, indent=1, ensure_ascii=False), encoding="utf-8")


def leaks(runs: Sequence[Mapping[str, Any]], baselines: Mapping[str, Any]) -> int:
    """1 where an estimator is above the exact limit by more than chance allows, else 0; says which."""
    scores = [(f"{run['name']}, {label}, key {run['key']}", s) for run in runs for label, s in run["tests"].items()]
    scores += [(f"{n}, {t}, {b}", s) for n, tests in baselines.items() for t, each in tests.items() for b, s in each.items()]
    found = [where for where, s in scores if s["leak"] > SURE]
    for where in found:
        print(f"above the exact limit, so something leaks: {where}", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
