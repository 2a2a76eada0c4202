"""Progress of a solve: one live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import math
import sys
from dataclasses import asdict
from types import TracebackType

from .history import Record

_LOGGER = logging.getLogger("pinn")
_PLAIN_EVERY = 5.0  # seconds between plain lines


class Progress:
    """Shows the records of a history as they come; use as a context manager.

    Args:
        shown: False for silence.
        limit: of the solve in seconds, for the time left.
    """

    def __init__(self, shown: bool, limit: float | None):
        self._shown, self._limit, self._live, self._last = shown, limit, None, -math.inf

    def __enter__(self) -> Progress:
        if self._shown and sys.stdout.isatty():
            from rich.console import Console

            self._live = Console().status("compiling")
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """Text that stays on the screen."""
        if self._shown:
            print(text, flush=True)

    def __call__(self, record: Record) -> None:
        if self._live is not None:
            self._live.update(describe(record, self._limit))
        elif self._shown and (record.phase == "estimate" or record.seconds - self._last > _PLAIN_EVERY):
            self._last = record.seconds
            print(describe(record, self._limit), flush=True)


def log(record: Record) -> None:
    """The record as one line of the `pinn` logger, at INFO; its numbers by name are the line's attribute `record`."""
    _LOGGER.info("%s", describe(record, None), extra={"record": asdict(record)})


def describe(record: Record, limit: float | None) -> str:
    """One line: where the solve is, how good it is, how long it may take."""
    parts = [f"{record.seconds:6.1f} s", f"{record.phase} {record.step}"]
    parts += [f"{name} {value:.1e}" for name, value in record.terms.items()]
    for name, value in (("loss", record.loss), ("held-out residual", record.held_out), ("estimated error", record.estimate)):
        if math.isfinite(value):
            parts.append(f"{name} {value:.1e}")
    if record.note:
        parts.append(record.note)
    if limit is not None:
        parts.append(f"at most {max(limit - record.seconds, 0):.0f} s left")
    return "  ".join(parts)
