"""What an answer costs: `python scripts/cost.py`.

    python scripts/cost.py                            both parts, 120 s for each method, key 0
    python scripts/cost.py methods --seconds 60       error against time: Adam, L-BFGS, SSBroyden, Gauss-Newton, plain solve
    python scripts/cost.py scaling                    seconds against features, weights and points, with fitted exponents
    python scripts/cost.py --keys 3 --docs            with docs/cost.md, the tables and plots

The methods train the same network on the same points and loss, conditions exact where they fit together; their errors are of
the weights with the smallest held-out residual so far, which is what `solve` would return. Plain `solve(problem, tol=...)` is
asked for ever more and has no other argument. Every curve has a process of its own, so that its seconds hold all compilation;
imports are not counted. Written to runs/cost: a line of runs.jsonl for each curve, which is not measured again, cost.md,
methods.png and scaling.png.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _measuring import DOCS, PATIENCE, markdown, this_machine, told

import pinn
import problems
from pinn import sampling
from pinn.derivatives import sin
from pinn.families import Family
from pinn.features import Setup, fit
from pinn.history import Clock, History
from pinn.journal import Journal
from pinn.loss import field_values, with_trained
from pinn.phases import run_phases
from pinn.plotting import arranged, dress, finished
from pinn.solve import _network

PROBLEMS = ("burgers", "helmholtz")
STEPS = 10**6  # more than the time allows
NETWORK, POINTS = partial(pinn.MLP, width=20, depth=3), {"equation": 4096, "condition": 256}
METHODS: dict[str, Callable[[], Any]] = {
    "Adam": lambda: optax.adam(1e-3),
    "L-BFGS": optax.lbfgs,
    "SSBroyden": pinn.ssbroyden,
    "Gauss-Newton": pinn.gauss_newton,
}
SOLVE = "solve(problem)"
TOLS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8, None)
ERRORS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
ABOUT = (
    f"The methods train one tanh network of 3 × 20 on the same {POINTS['equation']} points and the same loss, conditions exact",
    "where they fit together, from the same weights; what is judged are the weights of the smallest held-out residual so far,",
    "those that `solve` would return. Plain `solve(problem, tol=...)` has no other argument.",
)
APART = 1.1  # ratio of the seconds of neighbouring points of a curve, at least
WIDTHS, WIDTH = (100, 200, 400, 800, 1600), 400
HIDDEN = {"Gauss-Newton": (10, 14, 20, 28, 40), "Adam": (10, 20, 40, 80)}  # Gauss-Newton: fewer weights than rows
COUNTS = (1024, 2048, 4096, 8192, 16384)


class Watching(Journal):
    """A journal that keeps every state a phase came to in memory, with the seconds so far."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[float, Any]] = []

    def keep(self, state: Any) -> None:
        now = self.read().seconds
        if not self.seen or now > APART * self.seen[-1][0]:
            self.seen.append((now, jax.device_get(state.best)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _options(argv)
    if options.measure is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pinn.PinnWarning)
            for found in measure(*json.loads(options.measure)):
                print(json.dumps(found), flush=True)
        return 0
    options.output.mkdir(parents=True, exist_ok=True)
    parts = [options.part] if options.part else ["methods", "scaling"]
    runs = run_all(jobs(parts, options.keys, options.seconds), options.output)
    write(runs, parts, options.output)
    if options.docs:
        publish(parts, options.output, DOCS)
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["methods", "scaling"], help="one of the two; both without")
    parser.add_argument("--keys", type=int, default=1, help="how many random keys, from 0 on")
    parser.add_argument("--seconds", type=float, default=120.0, help="for each method on each problem")
    parser.add_argument("--output", type=Path, default=Path("runs/cost"), metavar="FOLDER")
    parser.add_argument("--docs", action="store_true", help="write docs/cost.md of it, too")
    parser.add_argument("--measure", metavar="JOB", help=argparse.SUPPRESS)  # in this process
    options = parser.parse_args(argv)
    if options.keys < 1 or options.seconds <= 0:
        parser.error("--keys and --seconds must be positive")
    return options


# --- measuring -------------------------------------------------------------------------------------------------------

Job = tuple[str, str, int, float]  # what, of which problem or quantity, key, seconds


def jobs(parts: Sequence[str], keys: int, seconds: float) -> list[Job]:
    """One for each process."""
    found: list[Job] = []
    if "methods" in parts:
        found += [(way, name, key, seconds) for key in range(keys) for name in PROBLEMS for way in (*METHODS, SOLVE)]
    if "scaling" in parts:
        found += [("scaling", quantity, 0, 0.0) for quantity in SCALED]
    return found


def run_all(wanted: Sequence[Job], folder: Path) -> list[dict[str, Any]]:
    """The curve of every job; those that the folder does not hold yet are measured, one after the other."""
    path = folder / "runs.jsonl"
    held = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    done = {tuple(run["job"]): run for run in held}
    with path.open("a", encoding="utf-8") as file:
        for job in wanted:
            if job not in done:
                answers = list(told([__file__, "--measure", json.dumps(job)], PATIENCE[0] * job[-1] + 2 * PATIENCE[1]))
                done[job] = {"job": job, "points": [a for a in answers if "failed" not in a]}
                done[job] |= {key: why for a in answers for key, why in a.items() if key == "failed"}
                print(json.dumps(done[job]), file=file, flush=True)
                ended = done[job].get("failed", "measured")
                print(f"{job[0]:<14} {job[1]:<28} key {job[2]}  {ended}", file=sys.stderr, flush=True)
    return [done[job] for job in wanted]


def measure(what: str, of: str, key: int, seconds: float) -> Iterator[dict[str, float]]:
    """The points of one curve: seconds and error, or size and seconds."""
    if what == "scaling":
        yield from SCALED[of][1]()
    elif what == SOLVE:
        yield from _solved(of, key)
    else:
        yield from _trained(METHODS[what](), of, key, seconds)


def _solved(name: str, key: int) -> Iterator[dict[str, float]]:
    for tol in TOLS:
        jax.clear_caches()
        solution = pinn.solve(problems.load(name).problem(), tol=tol, key=key, progress=False)
        yield {"seconds": solution.seconds, "error": max(e.relative_l2 for e in solution.errors().fields.values())}


def _trained(method: Any, name: str, key: int, seconds: float) -> Iterator[dict[str, float]]:
    journal = Watching()
    problem, clock = problems.load(name).problem(), Clock(seconds, journal)
    phase = pinn.Phase(method, steps=STEPS)
    plan = pinn.recommend(problem, method=phase, network=NETWORK, points=POINTS, time_limit=seconds)
    setup = Setup(problem, plan.exact, (key,), plan.dtype, journal=journal)
    goal, weights = _network(setup, plan, None)
    run_phases(setup, goal, weights, plan.phases, dict(plan.points), clock, History())
    points = sampling.measure_points(problem.domain)
    assert problem.reference is not None
    (known,) = problem.reference(points).values()
    for when, trained in journal.seen:
        found = np.asarray(field_values(goal, with_trained(weights, trained), jnp.asarray(points)))[:, 0]
        yield {"seconds": when, "error": float(np.linalg.norm(found - known) / np.linalg.norm(known))}


def _features(sizes: Sequence[tuple[int, int]], shown: int) -> Iterator[dict[str, float]]:
    """Seconds of one least-squares solve that is compiled, of so many features at so many points of Helmholtz's equation."""
    problem = problems.load("helmholtz").problem()
    exact = pinn.recommend(problem).exact
    for size in sizes:
        setup = Setup(problem, exact, (0,), np.dtype("float64"), oversampling=size[1] / size[0])
        seconds = [_timed(lambda s=setup, w=size[0], i=i: fit(s, Family(sin, (6.0, 6.0)), w, i)) for i in range(4)]
        yield {"size": size[shown], "seconds": min(seconds[1:])}


def _steps(name: str, sizes: Sequence[tuple[int, int]], shown: int) -> Iterator[dict[str, float]]:
    """Seconds of one step on Burgers' equation, of networks 3 × w with so many points: steps after those that compile."""
    problem = problems.load("burgers").problem()
    for width, points in sizes:
        few = pinn.Phase(METHODS[name](), steps=300 if name == "Adam" else 12)
        plan = pinn.recommend(problem, method=few, network=partial(pinn.MLP, width=width, depth=3), points={"equation": points})
        setup, history = Setup(problem, plan.exact, (0,), plan.dtype), History()
        goal, weights = _network(setup, plan, None)
        run_phases(setup, goal, weights, plan.phases, dict(plan.points), Clock(None), history)
        ends = [(record.step, record.seconds) for record in history]
        each = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(ends)]
        count = sum(leaf.size for leaf in jax.tree.leaves(weights.state[0]["train"]))
        yield {"size": (count, points)[shown], "seconds": min(each)}


def _timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


_FIT, _STEP = "a least-squares solve, Helmholtz", "a step, Burgers"
SCALED: dict[str, tuple[str, Callable[[], Iterator[dict[str, float]]]]] = {
    "features, 2.5 points each": (_FIT, lambda: _features([(w, int(2.5 * w)) for w in WIDTHS], 0)),
    f"points of {WIDTH} features": (_FIT, lambda: _features([(WIDTH, n) for n in COUNTS], 1)),
    "weights, Gauss-Newton": (_STEP, lambda: _steps("Gauss-Newton", [(w, 4096) for w in HIDDEN["Gauss-Newton"]], 0)),
    "points, Gauss-Newton": (_STEP, lambda: _steps("Gauss-Newton", [(20, n) for n in COUNTS], 1)),
    "weights, Adam": (_STEP, lambda: _steps("Adam", [(w, 4096) for w in HIDDEN["Adam"]], 0)),
    "points, Adam": (_STEP, lambda: _steps("Adam", [(20, n) for n in COUNTS], 1)),
}


# --- counting --------------------------------------------------------------------------------------------------------


def first_below(points: Sequence[Mapping[str, float]], error: float) -> float:
    """Seconds to the first point of a curve whose error is at most that; infinite where none is."""
    return min((point["seconds"] for point in points if point["error"] <= error), default=math.inf)


def exponent(points: Sequence[Mapping[str, float]]) -> float:
    """The slope of log seconds against log size, by least squares over the larger half of the sizes."""
    upper = points[len(points) // 2 - 1 :]
    size, seconds = (np.log([point[name] for point in upper]) for name in ("size", "seconds"))
    return float(np.polyfit(size, seconds, 1)[0])


def _curves(runs: Sequence[Mapping[str, Any]], name: str) -> dict[str, list[list[dict[str, float]]]]:
    found: dict[str, list] = defaultdict(list)
    for run in runs:
        if run["job"][1] == name and run["job"][0] != "scaling":
            found[run["job"][0]].append(run["points"])
    return found


# --- writing ---------------------------------------------------------------------------------------------------------


def write(runs: Sequence[Mapping[str, Any]], parts: Sequence[str], folder: Path) -> None:
    """The tables as Markdown, to the terminal too, and the plots."""
    lines = [line for part in parts for line in (_methods if part == "methods" else _scaling)(runs, folder / f"{part}.png")]
    print("\n".join(lines))
    (folder / "cost.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _methods(runs: Sequence[Mapping[str, Any]], target: Path) -> list[str]:
    heads = {"problem": "---", "method": "---"} | dict.fromkeys([*(f"{e:.0e}" for e in ERRORS), "least error", "after"], "--:")
    rows, panels = [], []
    for name in PROBLEMS:
        curves = _curves(runs, name)
        for way, each in curves.items():
            times = [median(first_below(points, error) for points in each) for error in ERRORS]
            ends = [min(points, key=lambda point: point["error"]) for points in each if points]
            least = median(end["error"] for end in ends) if ends else math.nan
            after = median(end["seconds"] for end in ends) if ends else math.nan
            shown = [f"{t:.0f} s" if math.isfinite(t) else "-" for t in times]
            rows.append([name, way, *shown, f"{least:.1e}", f"{after:.0f} s"])
        panels.append(partial(_falling, name=name, curves=curves))
    title = "Error against seconds, compilation included. Dots: plain solve, asked for ever more."
    finished(arranged([], panels, 1.0), [title], target)
    last = max(run["job"][2] for run in runs)
    intro = f"Seconds to a relative L2 error, {f'medians of keys 0 to {last}' if last else 'key 0'}."
    return [intro, "", *markdown(heads, rows), ""]


def _falling(axes: Any, name: str, curves: Mapping[str, Sequence[Sequence[Mapping[str, float]]]]) -> None:
    for i, (way, each) in enumerate(curves.items()):
        for j, points in enumerate(each):
            x, y = ([point[what] for point in points] for what in ("seconds", "error"))
            style = "o" if way == SOLVE else "-"
            axes.loglog(x, y, style, color="k" if way == SOLVE else f"C{i}", ms=4, lw=1.2, label=way if j == 0 else None)
    dress(axes, name, "seconds", "relative L2 error", "best" if name == PROBLEMS[-1] else None)


def _scaling(runs: Sequence[Mapping[str, Any]], target: Path) -> list[str]:
    curves = {run["job"][1]: run["points"] for run in runs if run["job"][0] == "scaling"}
    heads = {"seconds of": "---", "against": "---", "from": "--:", "to": "--:", "exponent": "--:"}
    rows = []
    for name, points in curves.items():
        ends = [f"{point['seconds']:.2g} s at {point['size']:.0f}" for point in (points[0], points[-1])]
        rows.append([SCALED[name][0], name, *ends, f"{exponent(points):.2f}"])

    def panel(axes: Any, words: str) -> None:
        for name, points in curves.items():
            if name.startswith(words):
                x, y = ([point[what] for point in points] for what in ("size", "seconds"))
                axes.loglog(x, y, "o-", ms=4, lw=1.2, label=f"{name}: {exponent(points):.2f}")
        dress(axes, f"seconds against {words}", words, "", "best")

    title = "Seconds of one solve or step, compiled; exponents of the larger half."
    finished(arranged([], [partial(panel, words=words) for words in ("features", "weights", "points")], 1.0), [title], target)
    return [*markdown(heads, rows), ""]


def publish(parts: Sequence[str], folder: Path, docs: Path) -> None:
    """The page of the documentation, its pictures beside it."""
    (docs / "cost").mkdir(parents=True, exist_ok=True)
    machine = this_machine()
    lines = ["# What an answer costs", "", "`python scripts/cost.py --docs` writes this page.", ""]
    lines += [f"float64, {machine['cores']} cores, jax {machine['jax']}; imports are not counted, all compilation is.", ""]
    lines += [*ABOUT, ""]
    for part in parts:
        shutil.copy(folder / f"{part}.png", docs / "cost" / f"{part}.png")
        lines += [f"![{part}](cost/{part}.png)", ""]
    table = (folder / "cost.md").read_text(encoding="utf-8")
    (docs / "cost.md").write_text("\n".join([*lines, table]), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
