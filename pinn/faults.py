"""Where a number became infinite or undefined: which term, at which point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .loss import Batch, Objective, Weights, residuals


def fault(goal: Objective, weights: Weights, batches: Sequence[Batch]) -> str | None:
    """The first residual that is not finite, in words; None where all are.

    Example: `equation is nan at x = 0.25 (3 of 64 points)`.
    """
    names = goal.problem.domain.coordinates
    for term, batch, values in zip(goal.terms, batches, residuals(goal, weights, batches), strict=True):
        wrong = ~np.isfinite(np.asarray(values))
        if not wrong.any():
            continue
        row, column = np.argwhere(wrong)[0]
        point = ", ".join(f"{name} = {x:.4g}" for name, x in zip(names, np.asarray(batch.points)[row].tolist(), strict=True))
        part = term.expression.components[column]
        name = f"{term.name} {part!r}" if part else term.name
        count = int(wrong.any(axis=1).sum())
        return f"{name} is {float(np.asarray(values)[row, column])} at {point} ({count} of {len(wrong)} points)"
    return None
