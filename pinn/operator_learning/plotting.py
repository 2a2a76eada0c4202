"""Pictures of learned operators: a few samples with what was made of them, and how training went."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ..errors import SolutionError
from ..plotting import BLUE, GREY, SKY, VERMILION, arranged, draw_history, dress, finished, target_of
from .linear import draw_many
from .problem import OperatorProblem

_SHOWN, _LINE, _MAP = 3, 400, 96  # samples, and points along an axis


def plot_operator(solution: Any, path: str | Path | None = None) -> Any:
    """Fresh samples: what was observed, what was made of it, the clean function where it is known; and the history."""
    target, problem = target_of(path, SolutionError), solution.problem
    if not isinstance(problem, OperatorProblem):
        raise SolutionError("plot() draws samples, which are not saved: pinn.load(path, problem).plot(...).")
    domain = problem.domain
    if domain.dimension > 2:
        raise SolutionError(f"plot() draws functions of one or two coordinates; these have {domain.dimension}.")
    lower, upper = domain.bounds
    ticks = [np.linspace(a, b, _LINE if domain.dimension == 1 else _MAP) for a, b in zip(lower, upper, strict=True)]
    points = np.stack([a.ravel() for a in np.meshgrid(*ticks, indexing="ij")], axis=1)
    drawn = draw_many(problem, jax.random.key(2024), jnp.asarray(points), _SHOWN, True)
    found = solution.apply(drawn.noisy, problem.sensors, drawn.sigma, points)
    clean = None if drawn.clean is None else np.asarray(drawn.clean)
    draw = _lines if domain.dimension == 1 else _maps
    rows = draw(problem, ticks, np.asarray(drawn.noisy), found, clean)
    errors = ", ".join(f"{name} {error:.1e}" for name, error in solution.error_estimate.items())
    title = [f"{problem.name}: {solution.status}", f"relative error on fresh samples: {errors}; {solution.trust}"]
    figure = arranged(rows, [partial(draw_history, solution.history)], 0.85)
    return finished(figure, title, target)


def _lines(problem: OperatorProblem, ticks: Sequence[NDArray], noisy: NDArray, found: NDArray, clean: Any) -> list[list[Any]]:
    (x,), name = ticks, problem.domain.coordinates[0]

    def curves(k: int, i: int, axes: Any) -> None:
        if problem.observes:
            axes.plot(problem.sensors[:, 0], noisy[k], "o", color=SKY, markersize=2.5, label="observed")
        if clean is not None:
            axes.plot(x, clean[k, :, i], color="black", linewidth=1.2, linestyle="--", label="clean")
        axes.plot(x, found[k, :, i], color=BLUE, linewidth=1.8, label="learned operator")
        dress(axes, f"{problem.fields[i]}, sample {k + 1}", name, problem.fields[i], legend="best" if k == 0 else None)

    def error(k: int, i: int, axes: Any) -> None:
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.plot(x, found[k, :, i] - clean[k, :, i], color=VERMILION, linewidth=1.2)
        dress(axes, "error", name, "learned - clean")

    panels = range(_SHOWN), range(len(problem.fields))
    return [[partial(curves, k, i), *([partial(error, k, i)] if clean is not None else [])] for i in panels[1] for k in panels[0]]


def _maps(problem: OperatorProblem, ticks: Sequence[NDArray], noisy: NDArray, found: NDArray, clean: Any) -> list[list[Any]]:
    names, (first, second) = problem.domain.coordinates, ticks

    def picture(values: NDArray, title: str, cmap: str, limits: tuple, axes: Any) -> None:
        extent = (first[0], first[-1], second[0], second[-1])
        image = axes.imshow(values.reshape(_MAP, _MAP).T, origin="lower", aspect="auto", cmap=cmap, extent=extent)
        image.set_clim(*limits)
        axes.figure.colorbar(image, cax=axes.inset_axes((1.03, 0, 0.045, 1))).ax.tick_params(labelsize=8)
        dress(axes, title, names[0], names[1], grid=False)

    rows = []
    for i, field in enumerate(problem.fields):
        for k in range(_SHOWN):
            known = found[k, :, i] if clean is None else clean[k, :, i]
            limits = float(known.min()), float(known.max())
            row = [partial(picture, found[k, :, i], f"{field}, sample {k + 1}: learned", "viridis", limits)]
            if clean is not None:
                wrong = found[k, :, i] - known
                top = float(np.abs(wrong).max()) or 1.0
                row.append(partial(picture, known, "reference", "viridis", limits))
                row.append(partial(picture, wrong, f"error, at most {top:.1e}", "RdBu_r", (-top, top)))
            rows.append(row)
    return rows
