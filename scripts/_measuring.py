"""What the scripts that measure share: a process for each measurement, what is written down of a solution, and tables."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

import pinn

DOCS = Path(__file__).parents[1] / "docs"
PATIENCE = 5, 300  # times the limit and seconds, after which a solve is ended from outside


def told(command: Sequence[str], patience: float) -> Iterator[dict[str, Any]]:
    """The JSON objects that a Python process of its own prints, one a line, as they come.

    The last one is {"failed": why} where the process fails, or has not ended after `patience` seconds.
    """
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=errors, text=True)
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        alarm = threading.Timer(patience, end)
        alarm.start()
        try:
            assert process.stdout is not None
            yield from (json.loads(line) for line in process.stdout if line.startswith("{"))
            code = process.wait()
        finally:
            alarm.cancel()
            process.kill()
        if late.is_set():
            yield {"failed": f"had not ended after {patience:.0f} s"}
        elif code != 0:
            errors.seek(0)
            yield {"failed": (errors.read().strip().splitlines() or [f"exit code {code}"])[-1]}


def judged(solution: pinn.Solution) -> dict[str, Any]:
    """What a solution says of its error, and the true one."""
    return {
        "true": {field: error.relative_l2 for field, error in solution.errors().fields.items()},
        "estimate": solution.error_estimate,
        "trust": solution.trust.name.lower(),
        "reason": solution.trust_reason,
        "status": solution.status.name.lower(),
    }


def sentences(caught: Iterable[warnings.WarningMessage]) -> list[str]:
    """What the package warned of."""
    return [str(warning.message) for warning in caught if issubclass(warning.category, pinn.PinnWarning)]


def worst(errors: dict[str, float]) -> float:
    """The largest error of the fields; NaN where none is known, or one is undefined."""
    values = list(errors.values()) or [math.nan]
    return math.nan if any(math.isnan(value) for value in values) else max(values)


def this_machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "jax": jax.__version__}


def markdown(heads: Mapping[str, str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; `heads` maps each head to the rule below it, which aligns the column."""
    head, *body = ("| " + " | ".join(cells) + " |" for cells in (heads, *rows))
    return [head, "|" + "|".join(heads.values()) + "|", *body]
