"""A decision of `solve`, and how plans print them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """One decision: what it is about, what was chosen, and why."""

    about: str
    chosen: str
    reason: str


def table(choices: Sequence[Choice]) -> str:
    """A line for each choice."""
    about, chosen = (max(len(getattr(c, name)) for c in choices) for name in ("about", "chosen"))
    chosen = min(chosen, 46)
    return "\n".join(f"{c.about:<{about}}  {c.chosen:<{chosen}}  {c.reason}" for c in choices)
