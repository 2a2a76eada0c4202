"""Ctrl-C and SIGTERM, noted in place of obeyed, so that a run ends where it can be gone on from."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Notes the first Ctrl-C or SIGTERM while it is used as a context manager; the second one is obeyed at once.

    Handlers of the caller's own are left alone, and so is everything in threads other than the main one.

    Attributes:
        asked: whether one has come.

    Example:
        >>> with Interrupts() as interrupts:
        ...     signal.raise_signal(signal.SIGINT)
        ...     interrupts.asked
        True
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                usual = signal.getsignal(number)
                if usual in (signal.SIG_DFL, signal.default_int_handler):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        while self._before:
            number, usual = self._before.popitem()
            signal.signal(number, usual)  # pyright: ignore[reportArgumentType]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            self.__exit__(None, None, None)
            signal.raise_signal(number)
        self.asked = True
