"""What happened during a solve, how long it took, and how it ended."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax


class Status(Enum):
    """How a solve ended; the value is the sentence that a person reads."""

    REACHED = "the tolerance was reached: the estimated error is at most half of it"
    SETTLED = "the estimated error stopped improving"
    MISSED = "the tolerance was not reached: the estimated error stopped improving above it"
    TIME = "the time limit left no time for more before the estimated error settled"
    FINISHED = "the given method ran its steps"
    DIVERGED = "the loss became infinite or undefined; this is the last good state"
    MEMORY = "more features would need more memory than there is; this is the best solution so far"
    INTERRUPTED = "stopped by the user; this is the best solution so far"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Record:
    """One line of the history.

    Attributes:
        phase, step, seconds: where and when; the step counts within the phase.
        loss: the composite loss on the collocation points; NaN in phases that have none.
        held_out: relative residual at held-out points.
        estimate: estimated relative error; NaN where it was not computed.
        terms: mean square residual by term.
        note: what was tried.
    """

    phase: str
    step: int
    seconds: float
    loss: float = float("nan")
    held_out: float = float("nan")
    estimate: float = float("nan")
    terms: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


class History:
    """The records of a solve in order; each new one is told to `listener`."""

    def __init__(self, listener: Callable[[Record], object] | None = None):
        self.records: list[Record] = []
        self.listener = listener

    def add(self, record: Record) -> None:
        self.records.append(record)
        if self.listener is not None:
            self.listener(record)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self):
        return iter(self.records)

    def write(self, path: str | Path) -> None:
        """All records as CSV, a column for each term."""
        terms = list(dict.fromkeys(name for record in self.records for name in record.terms))
        with Path(path).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["phase", "step", "seconds", "loss", "held_out", "estimate", *terms, "note"])
            for r in self.records:
                values = [r.terms.get(name, float("nan")) for name in terms]
                writer.writerow([r.phase, r.step, f"{r.seconds:.3f}", r.loss, r.held_out, r.estimate, *values, r.note])


class Reading(NamedTuple):
    """Wall seconds since a solve began, and how many of them JAX compiled in."""

    seconds: float
    compiling: float

    @property
    def running(self) -> float:
        return self.seconds - self.compiling


class Watch:
    """What tells a clock the time, since it was made."""

    def __init__(self) -> None:
        self.set(Reading(0.0, 0.0))

    def set(self, reading: Reading) -> None:
        """Go on from another time."""
        self._start, self._compiled = time.monotonic() - reading.seconds, _compiled()["seconds"] - reading.compiling

    def read(self) -> Reading:
        """The time now."""
        return Reading(time.monotonic() - self._start, _compiled()["seconds"] - self._compiled)

    def interrupted(self) -> bool:
        """Whether somebody asks to end now."""
        return False


@cache
def _compiled() -> dict[str, float]:
    """How many seconds this process has compiled in since this was first asked for, kept up to date."""
    total = {"seconds": 0.0}

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event.endswith(("jaxpr_to_mlir_module_duration", "backend_compile_duration")):
            total["seconds"] += duration_secs

    jax.monitoring.register_event_duration_secs_listener(listen)
    return total


class Clock:
    """Wall seconds since the solve began, against its limit; no time is left once it is interrupted."""

    def __init__(self, limit: float | None, watch: Watch | None = None):
        self.limit, self._watch = limit, watch or Watch()

    @property
    def reading(self) -> Reading:
        return self._watch.read()

    @property
    def seconds(self) -> float:
        return self.reading.seconds

    @property
    def left(self) -> float:
        if self._watch.interrupted():
            return float("-inf")
        return float("inf") if self.limit is None else self.limit - self.seconds
