"""The journal of a solve: every reading of its clock and every finished piece of work, in order.

A solve decides by nothing else. With the journal of an earlier run the same call reads the same times and is handed the same
results, so it takes the same decisions up to where that run ended, and goes on from there as if it had never stopped: to the
same bits on the same device. Where it decides otherwise (a smaller tolerance, more time), what follows in the journal is
dropped, and it goes on from that point.
"""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import numpy as np

from . import checkpoint, devices
from .errors import CheckpointError, CheckpointWarning
from .history import History, Reading, Record, Watch
from .interrupts import Interrupts
from .memory import exhausted

_SHARE = 30.0  # seconds between two checkpoints, in those that the last one took: 3 %
_LONGEST = 60.0  # seconds between two checkpoints, however long one takes
_UNFIT = "more than memory holds: "  # before the key of a piece of work that was

Tree = TypeVar("Tree")


class Entry(NamedTuple):
    """A piece of work: what it was asked for, how many readings and records there were when it ended, and its result."""

    key: str
    readings: int
    records: int
    arrays: tuple[np.ndarray, ...]


class Journal(Watch):
    """What a solve has done so far; written to `path`, if there is one, as a checkpoint.

    Args:
        path: where; None keeps nothing.
        identity: what must be the same for the checkpoint to be of use, for JSON.
        interrupts: what asks to stop.
        found: an earlier checkpoint.
    """

    def __init__(
        self,
        path: Path | None = None,
        identity: Mapping[str, Any] | None = None,
        interrupts: Interrupts | None = None,
        found: tuple[dict[str, Any], list[np.ndarray]] | None = None,
    ):
        super().__init__()
        self.history = History()
        self.stopped = False  # whether it was interrupted: what is decided from then on is not kept
        self._path, self._identity, self._interrupts = path, dict(identity or {}), interrupts
        self._readings: list[Reading] = []
        self._entries: list[Entry] = []
        self._records: list[Record] = []
        if found is not None:
            self._load(*found)
        self._live = found is None
        self._read = self._done = 0  # readings and entries used so far
        self._saved, self._cost = time.monotonic(), 0.0

    # --- time

    def read(self) -> Reading:
        """Seconds of work so far, those of earlier runs included."""
        if self._path is None:
            return self._now()
        if self._read == len(self._readings):
            self._go_live()
            self._readings.append(self._now())
        self._read += 1
        return self._readings[self._read - 1]

    def _now(self) -> Reading:
        return Reading(*map(devices.agreed, super().read()))

    def interrupted(self) -> bool:
        """Whether to end now. What was done up to here is saved; what is decided because of it is not."""
        if not self.stopped and self._interrupts is not None and devices.agreed(float(self._interrupts.asked)):
            self.save()
            self.stopped = True
        return self.stopped

    @property
    def replaying(self) -> bool:
        """Whether an earlier run is being gone through again."""
        return not self._live

    @property
    def seconds(self) -> float:
        """Of work in the earlier run."""
        return self._readings[-1].seconds if self._readings else 0.0

    # --- work

    def piece(self, key: object, work: Callable[[], Tree], like: Tree) -> Tree:
        """`work()`, or what it came to in the earlier run.

        Args:
            key: what the work depends on that might be decided otherwise.
            work: returns a tree of arrays and numbers.
            like: a tree of the same structure, shapes and types.
        """
        if self._path is None:
            return work()
        known = self._next(key, like)
        if known is not None:
            return known
        try:
            result = work()
        except Exception as error:
            if exhausted(error):
                self._add(_UNFIT + _digest(key), ())
            raise
        self._add(_digest(key), result)
        self._save_if_due()
        return result

    def begin(self, key: object, state: Tree) -> Tree:
        """The state that a loop begins with: `state`, or the last one that `keep` was told of in the earlier run."""
        if self._path is None:
            return state
        known = self._next(key, state)
        if known is not None:
            return known
        self._add(_digest(key), state)
        return state

    def keep(self, state: object) -> None:
        """What the loop that was begun last has come to."""
        if self._path is not None:
            last = self._entries[-1]
            self._entries[-1] = last._replace(readings=self._read, records=len(self.history), arrays=checkpoint.flattened(state))
            self._save_if_due()

    def _add(self, name: str, result: object) -> None:
        self._entries.append(Entry(name, self._read, len(self.history), checkpoint.flattened(result)))
        self._done += 1

    def _next(self, key: object, like: Tree) -> Tree | None:
        if self._done < len(self._entries):
            entry = self._entries[self._done]
            try:
                result = checkpoint.restored(like, entry.arrays) if entry.key == _digest(key) else None
            except ValueError:
                result = None
            if entry.key == _UNFIT + _digest(key):
                self._pass(entry)
                raise MemoryError("memory ran out here before the checkpoint was written")
            if result is not None:
                self._pass(entry)
                return result
        self._go_live()
        return None

    def _pass(self, entry: Entry) -> None:
        self._done, self._read = self._done + 1, entry.readings
        self.history.records += self._records[len(self.history) : entry.records]

    def _go_live(self) -> None:
        if not self._live:
            del self._entries[self._done :]
            del self._readings[self._read :]
            self.set(self._readings[-1] if self._readings else Reading(0.0, 0.0))
            self._live = True

    # --- the file

    def save(self) -> None:
        """Write the checkpoint now.

        Warns:
            CheckpointWarning: it could not be written; the solve goes on.
        """
        if self._path is None or self.stopped or self.replaying or not devices.is_first():
            return
        began = time.monotonic()
        entries = [[entry.key, entry.readings, entry.records, len(entry.arrays)] for entry in self._entries]
        records = [asdict(record) for record in self.history]
        head = {"identity": self._identity, "entries": entries, "records": records}
        arrays = [np.array(self._readings), *(array for entry in self._entries for array in entry.arrays)]
        try:
            checkpoint.write(self._path, head, arrays)
        except OSError as error:
            warnings.warn(
                f"The checkpoint {self._path} could not be written: {error.strerror or error}. The solve goes on without.",
                CheckpointWarning,
                stacklevel=2,
            )
        self._saved = time.monotonic()
        self._cost = self._saved - began

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.save()

    def _save_if_due(self) -> None:
        if time.monotonic() - self._saved > min(_SHARE * self._cost, _LONGEST):
            self.save()

    def _load(self, head: dict[str, Any], arrays: list[np.ndarray]) -> None:
        try:
            readings, *rest = arrays
            for key, count, records, size in head["entries"]:
                self._entries.append(Entry(key, count, records, tuple(rest[:size])))
                rest = rest[size:]
            self._readings = [Reading(*each) for each in readings.tolist()]
            self._records = [Record(**record) for record in head["records"]]
            while self._entries and self._entries[-1].key.startswith(_UNFIT):
                self._entries.pop()  # what ended there is tried again: the memory may be another one
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{self._path} holds no journal of a solve: {error!r}.") from error


def _digest(key: object) -> str:
    return hashlib.sha256(repr(key).encode()).hexdigest()[:16]


NOTHING = Journal()  # that keeps nothing
