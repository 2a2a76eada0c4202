"""Decisions of `solve`: how plans print them, and the checks of what every plan is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .errors import ProblemError

PRECISIONS = {"float64": "float64", "float32": "float32", "mixed": "float64"}  # what numbers are, by the name of the precision
DEFAULT_LIMIT = 120.0  # seconds, where neither tol nor time_limit is given


@dataclass(frozen=True)
class Choice:
    """One decision: what it is about, what was chosen, and why."""

    about: str
    chosen: str
    reason: str


@dataclass(frozen=True)
class Choices:
    """The choices behind a saved solution; printed like its plan."""

    choices: tuple[Choice, ...]

    def __str__(self) -> str:
        return table(self.choices)


def table(choices: Sequence[Choice]) -> str:
    """A line for each choice."""
    about, chosen = (max(len(getattr(c, name)) for c in choices) for name in ("about", "chosen"))
    chosen = min(chosen, 46)
    return "\n".join(f"{c.about:<{about}}  {c.chosen:<{chosen}}  {c.reason}" for c in choices)


def check_positive(name: str, value: float | None) -> None:
    """Raise `ProblemError` for a tolerance or limit that is neither None nor a positive number."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float | np.number) or not value > 0):
        raise ProblemError(f"{name} must be a positive number or None; got {value!r}.")


def precision(name: str) -> Any:
    """What numbers are of that precision; raises `ProblemError` for one that cannot be computed in."""
    if name not in PRECISIONS:
        raise ProblemError(f"dtype must be 'float64', 'float32' or 'mixed'; got {name!r}.")
    found = PRECISIONS[name]
    if jax.dtypes.canonicalize_dtype(found) != found:
        raise ProblemError(
            f"dtype={name!r} needs 64-bit JAX, which JAX_ENABLE_X64=0 turns off. Unset it, or pass dtype='float32'."
        )
    return jnp.dtype(found)
