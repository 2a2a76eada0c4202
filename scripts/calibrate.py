"""Hold the error estimate against the true error, from good answers to bad ones: `python scripts/calibrate.py`.

    python scripts/calibrate.py                      all cases, keys 0 to 2: within 40 minutes on two idle cores
    python scripts/calibrate.py exam stiff --keys 1  these two
    python scripts/calibrate.py --docs               with docs/calibration.md, the table and the plot

Answers of every accuracy are made in three ways: `tol=` and a time limit, the whole default procedure; `width=`, its least
squares with that many features and nothing after; `steps=`, a small network trained by so many steps of Gauss-Newton, stopped
early. Of each, the estimate is compared with the relative L2 error against the problem's reference, field by field; the worst
ratio counts. True errors below 1e-13 are rounding, in the reference as well: they are counted and not compared.

Every case has a process of its own, which compiles once for all keys. Written to runs/calibration: a line of runs.jsonl for each
finished solve, calibration.md, calibration.json and calibration.png. What runs.jsonl holds is not solved again: a stopped
calibration continues where it was, and after a change of the package it wants another --output.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from _measuring import DOCS, PATIENCE, judged, markdown, sentences, this_machine, told, worst

import pinn
import problems
from pinn.features import Setup
from pinn.history import Clock, History
from pinn.plotting import BLUE, GREY, VERMILION, arranged, dress, finished
from pinn.solve import _solution, _warn
from pinn.training import explore, widen

FLOOR = 1e-13  # true errors below are rounding
WRONG = 0.1  # an error above which an answer needs a warning
LIMIT = 30.0  # seconds of a solve
FACTORS = {"trusted": 2.0, "rough": 5.0, "unknown": math.inf}  # what each level of trust claims
COLOURS = {"trusted": BLUE, "rough": GREY, "unknown": VERMILION}
TOLS, STEPS = (1e-3, 1e-8), (3, 30)
LINE, PLANE, WAVES = (4, 7, 12), (15, 40, 80), (40, 100, 200)  # widths that leave errors of every size


@dataclass(frozen=True)
class Case:
    """A problem, the levels that its answers are made at, as (way, number), and whether it has one solution."""

    build: Callable[[], pinn.Problem]
    levels: Sequence[tuple[str, float]]
    posed: bool = True


def levels(widths: Iterable[int], steps: Iterable[int] = (), tols: Iterable[float] = TOLS) -> list[tuple[str, float]]:
    """Pairs of a way and its number."""
    ways = {"tol": tols, "width": widths, "steps": steps}
    return [(way, number) for way, numbers in ways.items() for number in numbers]


def named(name: str, **arguments: Any) -> Callable[[], pinn.Problem]:
    """The problem of the catalogue, with arguments of its own."""
    return lambda: problems.load(name).problem(**arguments)


def lacking(build: Callable[[], pinn.Problem], index: int) -> Callable[[], pinn.Problem]:
    """The problem without one of its conditions, which leaves it more than one solution."""

    def without() -> pinn.Problem:
        whole = build()
        kept = [condition for i, condition in enumerate(whole.conditions) if i != index % len(whole.conditions)]
        parts = {"fields": whole.depends, "domain": whole.domain, "residual": whole.residual, "conditions": kept}
        reference = whole.reference
        return pinn.Problem(**parts, reference=reference and reference.function, name=f"{whole.name}, a condition missing")

    return without


def slopes_only() -> pinn.Problem:
    """Poisson's equation with slopes given all around and the value nowhere: solved up to a constant, with a warning."""
    whole = problems.load("poisson_2d").problem()
    slope = pinn.Neumann(u=lambda x, y: -jnp.pi * (jnp.sin(jnp.pi * x) + jnp.sin(jnp.pi * y)), on=whole.domain.boundary)
    parts = {"fields": "u", "domain": whole.domain, "residual": whole.residual, "conditions": [slope]}
    return pinn.Problem(**parts, reference=whole.reference and whole.reference.function, name="poisson, slopes only")


FREE = levels((), STEPS, tols=(1e-4,))
CASES = {
    "exam": Case(named("exam_ode"), levels(LINE, STEPS)),
    "layer": Case(named("exam_ode", b=50.0), levels(LINE)),
    "beam": Case(named("euler_beam"), levels(LINE)),
    "stiff": Case(named("stiff"), levels(LINE, STEPS)),
    "lotka_volterra": Case(named("lotka_volterra"), levels((10, 20, 40))),
    "duffing": Case(named("duffing"), levels((7, 12, 25), STEPS)),
    "heat": Case(named("heat_1d"), levels(PLANE, STEPS)),
    "wave": Case(named("wave"), levels(WAVES)),
    "convection": Case(named("convection", beta=30.0), levels(WAVES)),
    "shock": Case(named("burgers", nu=0.05), levels(PLANE, STEPS)),
    "klein_gordon": Case(named("klein_gordon", end=2.0), levels(PLANE)),
    "poisson": Case(named("poisson_2d"), levels(PLANE)),
    "helmholtz": Case(named("helmholtz"), levels(WAVES)),
    "poisson_nonlinear": Case(named("poisson_nonlinear"), levels(PLANE, STEPS)),
    "bratu": Case(named("bratu"), levels(PLANE)),
    "kovasznay": Case(named("kovasznay"), levels(PLANE)),
    "no_end": Case(lacking(named("exam_ode"), -1), FREE, posed=False),
    "no_start": Case(lacking(named("heat_1d"), 0), FREE, posed=False),
    "slopes_only": Case(slopes_only, levels(())),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _options(argv)
    if options.measure is not None:
        for run in measure(options.names[0], [tuple(job) for job in json.loads(options.measure)], options.time_limit):
            print(json.dumps(run), flush=True)
        return 0
    options.output.mkdir(parents=True, exist_ok=True)
    runs = run_all(options.names or list(CASES), options.keys, options.time_limit, options.output)
    write(runs, options.time_limit, options.output)
    if options.docs:
        publish(options.output, DOCS)
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="CASE", help=f"{', '.join(CASES)}; all without any")
    parser.add_argument("--keys", type=int, default=3, help="how many random keys, from 0 on")
    parser.add_argument("--time-limit", type=float, default=LIMIT, metavar="SECONDS", help="of each solve with tol=")
    parser.add_argument("--output", type=Path, default=Path("runs/calibration"), metavar="FOLDER")
    parser.add_argument("--docs", action="store_true", help="write docs/calibration.md of it, too")
    parser.add_argument("--measure", metavar="JOBS", help=argparse.SUPPRESS)  # of one case, in this process
    options = parser.parse_args(argv)
    unknown = [name for name in options.names if name not in CASES]
    if unknown:
        parser.error(f"there is no case {unknown[0]!r}; there are {', '.join(CASES)}")
    if options.keys < 1 or options.time_limit <= 0:
        parser.error("--keys and --time-limit must be positive")
    return options


# --- solving ---------------------------------------------------------------------------------------------------------


def run_all(names: Iterable[str], keys: int, limit: float, folder: Path) -> list[dict[str, Any]]:
    """The runs of every case, key and level; those that the folder does not hold yet are made, one after the other."""
    path = folder / "runs.jsonl"
    held = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    done = {(run["name"], run["key"], run["way"], run["number"]): run for run in held if run["limit"] == limit}
    with path.open("a", encoding="utf-8") as file:
        for name in names:
            jobs = [(key, *level) for level in CASES[name].levels for key in range(keys) if (name, key, *level) not in done]
            while jobs:
                asked = tuple(jobs)
                for (key, way, number), answer in zip(asked, in_own_process(name, asked, limit), strict=False):
                    jobs.remove((key, way, number))
                    run = {"name": name, "key": key, "way": way, "number": number, "limit": limit} | answer
                    done[name, key, way, number] = run
                    print(json.dumps(run), file=file, flush=True)
                    print(shown(run), file=sys.stderr, flush=True)
    return [run for run in done.values() if run["key"] < keys and run["name"] in names]


def in_own_process(name: str, jobs: Sequence[tuple[int, str, float]], limit: float) -> Iterable[dict[str, Any]]:
    """What becomes of the jobs of a case, in order; the first that fails is the last."""
    return told(
        [__file__, name, "--measure", json.dumps(jobs), "--time-limit", str(limit)], PATIENCE[0] * limit * len(jobs) + PATIENCE[1]
    )


def measure(name: str, jobs: Iterable[tuple[int, str, float]], limit: float) -> Iterable[dict[str, Any]]:
    """Solve one case at the given (key, way, number), and measure the answers, as dicts of plain numbers and strings."""
    with warnings.catch_warnings(record=True) as at_first:
        warnings.simplefilter("always", pinn.PinnWarning)
        problem = CASES[name].build()
    for key, way, number in jobs:
        began, worked = time.perf_counter(), time.process_time()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", pinn.PinnWarning)
            solution = solved(problem, key, way, number, limit)
        spent = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - worked}
        yield {**judged(solution), **spent, "warnings": sentences([*at_first, *caught])}


def solved(problem: pinn.Problem, key: int, way: str, number: float, limit: float) -> pinn.Solution:
    """An answer of one accuracy."""
    if way == "tol":
        return pinn.solve(problem, tol=number, time_limit=limit, key=key, progress=False)
    if way == "steps":
        network, method = partial(pinn.MLP, width=10, depth=2), pinn.Phase(pinn.gauss_newton(), steps=int(number))
        points = {"equation": 512} if problem.domain.dimension == 1 else {"equation": 1024, "condition": 128}
        return pinn.solve(problem, network=network, method=method, points=points, key=key, progress=False)
    plan = pinn.recommend(problem)
    setup, clock, history = Setup(problem, plan.exact, (key,), plan.dtype), Clock(plan.limit), History()
    outcome, status = widen(setup, explore(setup, int(number), None, clock, history), (), None, clock, history)
    solution = _solution(setup, plan, outcome, status, clock, history)
    _warn(solution, plan)
    return solution


def shown(run: Mapping[str, Any]) -> str:
    start = f"{run['name']:<18} key {run['key']}  {run['way']:>5} {run['number']:<8g}"
    if "failed" in run:
        return f"{start}  failed: {run['failed']}"
    errors = f"true {worst(run['true']):.1e}  estimated {worst(run['estimate']):.1e}"
    return f"{start}  {errors}  {run['trust']:<8} {run['status']:<8} {run['seconds']:.0f} s{'  warned' * bool(run['warnings'])}"


# --- counting --------------------------------------------------------------------------------------------------------


def ratio(run: Mapping[str, Any]) -> float | None:
    """Estimate / true error of the field where they are furthest apart; None where all true errors are rounding."""
    pairs = [(run["estimate"][field], true) for field, true in run["true"].items() if not true < FLOOR]
    ratios = [estimate / true if math.isfinite(true) else 0.0 for estimate, true in pairs]
    return max(ratios, key=lambda r: abs(math.log(r)) if r > 0 else math.inf, default=None)


def within(ratios: Sequence[float], factor: float) -> int:
    return sum(1 / factor <= r <= factor for r in ratios)


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Everything that is claimed of the estimate, counted.

    Ratios are of problems that have one solution; those that have not are counted by whether they were warned of. A run has
    converged where the default procedure, or its least squares, ended by itself: reached or settled. Least squares with a number
    of features that was given ends by itself however few these are; solves are counted alone as well.
    """
    ended = [run for run in runs if "failed" not in run]
    posed = [run for run in ended if CASES[run["name"]].posed]
    groups: dict[str, list[float | None]] = defaultdict(list)
    for run in posed:
        groups[run["trust"]].append(ratio(run))
    met = [(worst(run["true"]), run["number"]) for run in posed if run["way"] == "tol" and run["status"] == "reached"]
    converged = [run for run in posed if run["way"] != "steps" and run["status"] in ("reached", "settled")]
    above = [run for run in converged if ratio(run) is not None]
    solves = [run for run in above if run["way"] == "tol"]
    far = [run for run in ended if (r := ratio(run)) is not None and r < 0.1]
    wrong = [run for run in ended if not worst(run["true"]) <= WRONG]
    return {
        "runs": len(runs),
        "cases": len({run["name"] for run in runs}),
        "keys": len({run["key"] for run in runs}),
        "failed": len(runs) - len(ended),
        "trust": {trust: _of_trust(groups[trust], factor) for trust, factor in FACTORS.items()},
        "converged": {"count": len(converged), "trusted": _trusted(converged)},
        "converged above rounding": {"count": len(above), "trusted": _trusted(above)},
        "solves above rounding": {"count": len(solves), "trusted": _trusted(solves)},
        "tol reached": {
            "count": len(met),
            "true": sum(e <= tol for e, tol in met),
            "within 3": sum(e <= 3 * tol for e, tol in met),
        },
        "tol missed": sum(run["way"] == "tol" and run["status"] != "reached" for run in posed),
        "below a tenth": {"count": len(far), "silent": [_key(run) for run in far if not run["warnings"]]},
        "wrong": {"count": len(wrong), "silent": [_key(run) for run in wrong if not run["warnings"]]},
        "ill-posed": {
            "count": len(ended) - len(posed),
            "silent": [_key(run) for run in ended if run not in posed and not run["warnings"]],
        },
        "longest": max((run["seconds"] for run in ended), default=math.nan),
        "seconds": sum(run["seconds"] for run in ended),
    }


def _of_trust(ratios: Sequence[float | None], factor: float) -> dict[str, Any]:
    compared = [r for r in ratios if r is not None]
    return {
        "count": len(ratios),
        "rounding": len(ratios) - len(compared),
        "compared": len(compared),
        "within 2": within(compared, 2),
        "within 5": within(compared, 5),
        "least": min(compared, default=math.nan),
        "most": max(compared, default=math.nan),
        "claimed": within(compared, factor),
    }


def _trusted(runs: Sequence[Mapping[str, Any]]) -> int:
    return sum(run["trust"] == "trusted" for run in runs)


def _key(run: Mapping[str, Any]) -> str:
    return f"{run['name']}, {run['way']} {run['number']:g}, key {run['key']}"


# --- writing ---------------------------------------------------------------------------------------------------------


def write(runs: Sequence[Mapping[str, Any]], limit: float, folder: Path) -> None:
    """The tables as Markdown, to the terminal too, as JSON, and the plot."""
    machine, counts = this_machine(), summary(runs)
    lines = [
        f"{counts['runs']} answers to {counts['cases']} problems with {counts['keys']} keys, float64, {machine['cores']} cores, "
        f"jax {machine['jax']}; {counts['seconds'] / 60:.0f} minutes, the longest {counts['longest']:.0f} s.",
        "",
        *_trust_table(counts),
        "",
        f"A true error below {FLOOR:g} is one of rounding, which the reference has as well: such runs are counted, not compared.",
        "",
        *(f"- {sentence}" for sentence in _sentences(counts)),
        "",
        *_case_table(runs),
    ]
    print("\n".join(lines))
    (folder / "calibration.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    content = {"machine": machine, "limit": limit, "summary": counts, "runs": list(runs)}
    (folder / "calibration.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    plot(runs, folder / "calibration.png")


def _trust_table(counts: Mapping[str, Any]) -> list[str]:
    heads = ["trust", "runs", "at rounding", "compared", "within [1/2, 2]", "within [1/5, 5]", "least ratio", "largest ratio"]
    rows = [
        [
            trust,
            *(str(c[head]) for head in ("count", "rounding", "compared")),
            *(_share(c[head], c["compared"]) for head in ("within 2", "within 5")),
            *(f"{c[head]:.2g}" for head in ("least", "most")),
        ]
        for trust, c in counts["trust"].items()
    ]
    return markdown(dict.fromkeys(heads, "--:") | {"trust": "---"}, rows)


def _sentences(counts: Mapping[str, Any]) -> list[str]:
    met = counts["tol reached"]
    lines = [
        f"Converged runs that are trusted: {_share(**_part(counts['converged'], 'trusted'))}; of those above rounding "
        f"{_share(**_part(counts['converged above rounding'], 'trusted'))}; of those that `solve` ended, and not the number of "
        f"features that it was given, {_share(**_part(counts['solves above rounding'], 'trusted'))}.",
        f"`tol` reached, says the status: true error <= tol in {_share(met['true'], met['count'])}, <= 3 tol in "
        f"{_share(met['within 3'], met['count'])}; {counts['tol missed']} runs say that they missed it.",
    ]
    for head, what in {
        "below a tenth": "Estimates below a tenth of the true error",
        "wrong": f"Answers wrong by more than {WRONG:.0%}",
        "ill-posed": "Problems without one solution",
    }.items():
        silent = counts[head]["silent"]
        lines.append(f"{what}: {counts[head]['count']}, without a warning {len(silent)}{': ' * bool(silent)}{'; '.join(silent)}.")
    return [*lines, *([f"Solves that failed: {counts['failed']}."] if counts["failed"] else [])]


def _part(counts: Mapping[str, int], what: str) -> dict[str, int]:
    return {"part": counts[what], "whole": counts["count"]}


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({part / whole:.1%})" if whole else "0 of 0"


def _case_table(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = []
    for name in dict.fromkeys(run["name"] for run in runs):
        ended = [run for run in runs if run["name"] == name and "failed" not in run]
        true = [worst(run["true"]) for run in ended]
        ratios = [r for run in ended if (r := ratio(run)) is not None]
        trust = ", ".join(f"{n} {level}" for level in FACTORS if (n := sum(run["trust"] == level for run in ended)))
        extent = [f"{f(ratios):.2g}" for f in (min, max)] if ratios and CASES[name].posed else ["-", "-"]
        rows.append([name, str(len(ended)), f"{min(true):.0e} to {max(true):.0e}" if true else "-", *extent, trust])
    heads = {"case": "---", "runs": "--:", "true errors": "---", "least ratio": "--:", "largest": "--:", "trust": "---"}
    return markdown(heads, rows)


def plot(runs: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Estimate against true error of every run, coloured by trust, with the factors 2 and 5."""
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for run in runs:
        if "failed" not in run and CASES[run["name"]].posed:
            points[run["trust"]].append((worst(run["true"]), worst(run["estimate"])))

    def panel(axes: Any, relative: bool) -> None:
        ends = np.array([1e-16, 1e1])
        for factor, style in ((1, "-"), (2, "--"), (5, ":")):
            for f in {factor, 1 / factor}:
                axes.loglog(ends, f * (ends / ends if relative else ends), linestyle=style, color=GREY, lw=0.8, zorder=1)
        axes.axvspan(ends[0], FLOOR, color=GREY, alpha=0.15, lw=0)
        for trust, marker in zip(FACTORS, "osx", strict=True):
            x, y = np.array(points[trust]).reshape(-1, 2).T
            y = np.clip(y / np.maximum(x, 1e-300), 1.1e-2, 9e1) if relative else y  # those beyond are on the edge
            axes.loglog(x, y, marker, color=COLOURS[trust], ms=4, alpha=0.7, label=f"{trust} ({len(x)})", zorder=2)
        axes.set(xlim=ends, ylim=(1e-2, 1e2) if relative else ends)
        names = ("estimated / true error", "") if relative else ("estimated error", "upper left")
        dress(axes, names[0], "true relative L2 error, worst field", "", names[1])

    title = "Lines: no difference, and factors of 2 (dashed) and 5 (dotted). Shaded: rounding."
    finished(arranged([], [partial(panel, relative=False), partial(panel, relative=True)], 1.0), [title], path)


def publish(folder: Path, docs: Path) -> None:
    """The page of the documentation, its picture beside it."""
    (docs / "calibration").mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / "calibration.png", docs / "calibration" / "estimate.png")
    table = (folder / "calibration.md").read_text(encoding="utf-8")
    head = "# The error estimate against the truth\n\n`python scripts/calibrate.py --docs` writes this page.\n\n"
    picture = "![estimate against true error](calibration/estimate.png)\n\n"
    (docs / "calibration.md").write_text(head + picture + table, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
