"""What can go wrong, as types: exceptions for wrong use, warnings for answers that need a second look.

Every message says what was given, what exists, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar

Class = TypeVar("Class", bound=type)


class PinnError(Exception):
    """Base of every exception that this package raises on purpose."""


class ProblemError(PinnError, ValueError):
    """A problem that does not fit together: names, shapes, values, missing conditions."""


class ResidualError(PinnError, TypeError):
    """A residual or condition that is not a scalar function of fields and coordinates at one point."""


class DomainError(PinnError, ValueError):
    """A domain, a part of its boundary, or a point that does not exist as asked for."""


class NetworkError(PinnError, ValueError):
    """A network that cannot be built or used as asked for."""


class MethodError(PinnError, ValueError):
    """A training method or a phase that cannot run as asked for."""


class SolutionError(PinnError, ValueError):
    """A question that a solution cannot answer, such as errors() without a reference."""


class CheckpointError(PinnError, RuntimeError):
    """A saved file that is missing, damaged, or belongs to something else."""


class ResourceError(PinnError, MemoryError):
    """Less memory than a solve needs, even in the smallest pieces."""


class PinnWarning(UserWarning):
    """Base of every warning of this package."""


class AccuracyWarning(PinnWarning):
    """The answer may be less accurate than asked for, or than its residual suggests."""


class CheckpointWarning(PinnWarning):
    """A checkpoint that is damaged or cannot be written; the solve goes on."""


class WellPosednessWarning(PinnWarning):
    """The conditions do not fix one solution."""


class ProblemWarning(PinnWarning):
    """The problem is legal, but probably not what was meant."""


def by_name(error: type[PinnError], example: str) -> Callable[[Class], Class]:
    """For a class whose arguments have names that its user chooses: one without a name is an error with an example.

    Example:
        >>> @by_name(ProblemError, "Place(x=1)")
        ... class Place:
        ...     def __init__(self, **coordinates): ...
        >>> Place(1)
        Traceback (most recent call last):
        pinn.errors.ProblemError: Place() takes every argument by name, such as Place(x=1); got 1 without one.
    """

    def named(cls: Class) -> Class:
        begin = cls.__init__

        @wraps(begin)
        def __init__(self: Any, *unnamed: object, **given: Any) -> None:
            if unnamed:
                told = f"{type(self).__name__}() takes every argument by name, such as {example}"
                raise error(f"{told}; got {unnamed[0]!r:.60} without one.")
            begin(self, **given)

        cls.__init__ = __init__
        return cls

    return named


def listing(names: Iterable[object]) -> str:
    """Names for a message: `'t', 'x'`, or `none`."""
    return ", ".join(repr(str(name)) for name in names) or "none"


def suggestion(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` where one of the known names is close, else an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
