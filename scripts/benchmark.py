"""Solve the problems of the catalogue by plain `pinn.solve(problem)` and hold every answer against its reference.

    python scripts/benchmark.py                                       all equations, keys 0 to 2, 120 s each
    python scripts/benchmark.py helmholtz burgers --time-limit 600    these two, with more time
    python scripts/benchmark.py convection:beta=80,steep=True         this one with parameters of its own
    python scripts/benchmark.py --keys 1 --gallery                    with docs/gallery.md, a page of pictures

Every solve has a process of its own, so that its time holds all compilation and its peak memory is its own; imports are not
counted. Written to runs/benchmark: a line of runs.jsonl for each finished solve, a picture of each problem's first, and the
table as problems.md and problems.json. What runs.jsonl already holds under the same name, key and time limit is not solved
again: a stopped benchmark continues where it was, and after a change of the package it wants another --output.
"""

from __future__ import annotations

import argparse
import inspect
import json
import math
import resource
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import jax
from _arguments import built, check, pair
from _measuring import DOCS, PATIENCE, judged, markdown, sentences, this_machine, told, worst

import pinn
import problems

RECORDS = Path(__file__).with_name("records.json")  # the best published errors
DOTS = 50  # of a picture an inch
HEADS = {
    "problem": "---",
    "keys": "--:",
    "true error": "--:",
    "worst": "--:",
    "estimate": "--:",
    "estimate / true": "--:",
    "trust": "---",
    "status": "---",
    "seconds": "--:",
    "compiling": "--:",
    "MB": "--:",
    "published": "---",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _options(argv)
    try:
        names = options.names or [name for name in problems.names() if not name.startswith("denoising.")]
        for name in names:
            check(*_named(name))
    except (pinn.PinnError, argparse.ArgumentTypeError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.measure is not None:
        print(json.dumps(measure(names[0], options.measure, options.time_limit, options.output)))
        return 0
    options.output.mkdir(parents=True, exist_ok=True)
    runs = run_all(names, options.keys, options.time_limit, options.output)
    rows = [summary(name, mine) for name in names if (mine := [run for run in runs if run["name"] == name])]
    write(rows, unknowns(runs), options.time_limit, options.output)
    if options.gallery:
        gallery(rows, options.output, DOCS)
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of problems; all without any")
    parser.add_argument("--keys", type=int, default=3, help="how many random keys, from 0 on")
    parser.add_argument("--time-limit", type=float, default=120.0, metavar="SECONDS", help="of each solve")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmark"), metavar="FOLDER")
    parser.add_argument("--gallery", action="store_true", help="write docs/gallery.md of the pictures, too")
    parser.add_argument("--measure", type=int, metavar="KEY", help=argparse.SUPPRESS)  # one solve, in this process
    options = parser.parse_args(argv)
    if options.keys < 1 or options.time_limit <= 0:
        parser.error("--keys and --time-limit must be positive")
    return options


def _named(words: str) -> tuple[str, dict[str, Any]]:
    """The problem's name and the parameters that are given with it."""
    name, _, given = words.partition(":")
    return name, dict(pair(each) for each in given.split(",") if given)


def run_all(names: Iterable[str], keys: int, limit: float, folder: Path) -> list[dict[str, Any]]:
    """The runs of every problem with every key; those that the folder does not hold yet are made, one after the other."""
    path = folder / "runs.jsonl"
    runs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    runs = [run for run in runs if run["limit"] == limit and run["key"] < keys]
    for key in range(keys):
        for name in names:
            if not any((run["name"], run["key"]) == (name, key) for run in runs):
                runs.append(in_own_process(name, key, limit, folder))
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(runs[-1]) + "\n")
                print(shown(runs[-1]), file=sys.stderr, flush=True)
    return runs


def in_own_process(name: str, key: int, limit: float, folder: Path) -> dict[str, Any]:
    """One run; where the process fails, why it did."""
    command = [__file__, name, "--measure", str(key), "--time-limit", str(limit), "--output", str(folder)]
    run = next(told(command, PATIENCE[0] * limit + PATIENCE[1]))
    return {"name": name, "key": key, "limit": limit} | run


def measure(name: str, key: int, limit: float, folder: Path) -> dict[str, Any]:
    """Solve one problem and measure the answer, as a dict of plain numbers and strings."""
    compiling = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event.endswith("backend_compile_duration"):
            compiling.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    base, parameters = _named(name)
    problem = built(base, parameters)
    if not isinstance(problem, pinn.Problem):
        raise pinn.errors.ProblemError(f"{base} is an operator; scripts/denoising_benchmark.py measures those.")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", pinn.PinnWarning)
        solution = pinn.solve(problem, time_limit=limit, key=key, progress=False)
    compiled, memory = sum(compiling), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if key == 0:
        solution.plot().savefig(folder / f"{name}.png", dpi=DOTS)
    # An unknown number has the name of the argument that is its true value.
    arguments = inspect.signature(problems.load(base).problem).parameters
    true = {each: parameters.get(each, argument.default) for each, argument in arguments.items()}
    return {
        "name": name,
        "key": key,
        "limit": limit,
        **judged(solution),
        "seconds": solution.seconds,
        "compiling": compiled,
        "memory": memory / (1024 if sys.platform == "linux" else 1024**2),
        "unknown": {
            unknown: {
                "found": float(found),
                "true": true.get(unknown),
                "interval": found.interval,
            }
            for unknown, found in solution.parameters.items()
        },
        "warnings": sentences(caught),
    }


def shown(run: dict[str, Any]) -> str:
    start = f"{run['name']:<24} key {run['key']}"
    if "failed" in run:
        return f"{start}  failed: {run['failed']}"
    true, estimate = worst(run["true"]), worst(run["estimate"])
    return f"{start}  true {true:.1e}  estimated {estimate:.1e}  {run['trust']}  {run['seconds']:.0f} s"


def summary(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """A problem's line of the table: medians over keys, and the worst of them. Solves that failed count in `status`."""
    ended = [run for run in runs if "failed" not in run]
    trues, estimates = ([worst(run[kind]) for run in ended] for kind in ("true", "estimate"))
    ratios = [e / t for t, e in zip(trues, estimates, strict=True) if t > 0]
    record = json.loads(RECORDS.read_text(encoding="utf-8")).get(name)
    return {
        "problem": name,
        "keys": len(runs),
        "true error": _median(trues),
        "worst": max(trues, default=math.nan),
        "estimate": _median(estimates),
        "estimate / true": max(ratios, key=lambda ratio: abs(math.log(ratio)) if ratio > 0 else math.inf, default=math.nan),
        "trust": _counted(run["trust"] for run in ended),
        "status": _counted("failed" if "failed" in run else run["status"] for run in runs),
        "seconds": _median([run["seconds"] for run in ended]),
        "compiling": _median([run["compiling"] for run in ended]),
        "MB": max((run["memory"] for run in ended), default=math.nan),
        "published": f"{record['error']:.1e} ({record['source']})" if record else "none found",
        "failed": [run["failed"] for run in runs if "failed" in run],
    }


def _median(values: list[float]) -> float:
    return median(values) if values else math.nan


def _counted(words: Iterable[str]) -> str:
    counts = Counter(words)
    return ", ".join(f"{count} {word}" if len(counts) > 1 else word for word, count in counts.most_common())


def unknowns(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every unknown number whose true value is known, with its relative errors over keys."""
    lines = []
    for run in runs:
        for name, unknown in run.get("unknown", {}).items():
            if unknown["true"] is not None:
                error = abs(unknown["found"] - unknown["true"]) / abs(unknown["true"])
                inside = unknown["interval"] and unknown["interval"][0] <= unknown["true"] <= unknown["interval"][1]
                lines.append({"problem": run["name"], "number": name, "true": unknown["true"], "error": error, "inside": inside})
    groups = {(line["problem"], line["number"]): [] for line in lines}
    for line in lines:
        groups[line["problem"], line["number"]].append(line)
    return [
        {
            "problem": problem,
            "number": number,
            "true": group[0]["true"],
            "relative error": median(line["error"] for line in group),
            "worst": max(line["error"] for line in group),
            "within its interval": f"{sum(bool(line['inside']) for line in group)} of {len(group)}",
        }
        for (problem, number), group in groups.items()
    ]


def write(rows: list[dict[str, Any]], numbers: list[dict[str, Any]], limit: float, folder: Path) -> None:
    """The tables as Markdown, to the terminal too, and as JSON."""
    machine = this_machine()
    lines = [f"Plain `pinn.solve(problem, time_limit={limit:g})`, float64, {machine['cores']} cores, jax {jax.__version__}.", ""]
    lines += markdown(HEADS, [[_cell(head, row[head]) for head in HEADS] for row in rows])
    if numbers:
        cells = [[_cell(head, value) for head, value in line.items()] for line in numbers]
        lines += ["", *markdown(dict.fromkeys(numbers[0], "---"), cells)]
    lines += [f"\n{row['problem']} failed: {reason}" for row in rows for reason in dict.fromkeys(row["failed"])]
    print("\n".join(lines))
    (folder / "problems.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    content = {"machine": machine, "limit": limit, "rows": rows, "unknown numbers": numbers}
    (folder / "problems.json").write_text(json.dumps(content, indent=1), encoding="utf-8")


def _cell(head: str, value: Any) -> str:
    if isinstance(value, str | int):
        return str(value)
    if math.isnan(value):
        return "-"
    digits = {"seconds": ".0f", "compiling": ".0f", "MB": ".0f", "estimate / true": ".2g", "true": ".6g"}
    return format(value, digits.get(head, ".1e"))


def gallery(rows: list[dict[str, Any]], folder: Path, docs: Path) -> None:
    """A page of the pictures of the first key's answers, the images beside it."""
    (docs / "gallery").mkdir(parents=True, exist_ok=True)
    lines = [
        "# Gallery",
        "",
        "Problems of the catalogue as plain `pinn.solve(problem)` solves it; `problems/NAME.py` states it.",
    ]
    for row in rows:
        name = row["problem"]
        picture = folder / f"{name}.png"
        if picture.exists():
            shutil.copy(picture, docs / "gallery" / picture.name)
            errors = f"True error {_cell('', row['true error'])}, estimated {_cell('', row['estimate'])} ({row['trust']})"
            lines += ["", f"## {name}", "", f"{problems.describe(name)} {errors}.", "", f"![{name}](gallery/{name}.png)"]
    (docs / "gallery.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
