"""Solutions in motion: their fields along time, as a GIF; what draws and writes it is imported when one is asked for."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .boundaries import TIME
from .errors import SolutionError
from .pieces import Array, positions
from .plotting import BLUE, VERMILION, at_points, dress, figure_of

_LINE_POINTS, _MAP_POINTS = 300, 100
_PAUSE = 80  # milliseconds a frame


def animate_solution(solution: Any, path: str | Path, frames: int = 48) -> None:
    """The fields from the first to the last time as a GIF: curves over one coordinate, or maps over two.

    Curves are drawn with the reference, where one is known. The scales are those of all times together.

    Raises:
        SolutionError: no GIF, fewer than two frames, or a domain that is not time and one or two other coordinates.

    Example:
        >>> import tempfile
        >>> import jax.numpy as jnp
        >>> from pinn import Box, Initial, Periodic, Problem, d, solve
        >>> moving = Problem(fields="u", domain=Box(t=(0, 1), x=(0, 1)), residual=lambda u, t, x: d(u, t) + d(u, x),
        ...                  conditions=[Initial(u=lambda x: jnp.sin(2 * jnp.pi * x)), Periodic("x")])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     animate_solution(solve(moving, tol=1e-3, progress=False), f"{folder}/wave.gif", frames=3)
        ...     print(Path(f"{folder}/wave.gif").read_bytes()[:6])
        b'GIF89a'
    """
    from PIL import Image

    target, problem = Path(path), solution.problem
    names = problem.domain.spatial
    if target.suffix.lower() != ".gif":
        raise SolutionError(f"animate() writes .gif files; got {str(path)!r}. Rename it.")
    if isinstance(frames, bool) or not isinstance(frames, int) or frames < 2:
        raise SolutionError(f"animate() needs two frames or more; got {frames!r}.")
    if TIME not in problem.domain.coordinates or len(names) not in (1, 2):
        raise SolutionError(
            f"animate() shows time {TIME!r} and one or two other coordinates; this domain has "
            f"{', '.join(problem.domain.coordinates)}. plot() draws any."
        )
    times, ticks, values = _moving(solution, frames)
    figure = figure_of(3.6 * len(values), 3.4)
    updates = []
    for i, (field, (found, known)) in enumerate(values.items()):
        axes = figure.add_subplot(1, len(values), i + 1)
        draw = partial(_curve, known) if len(names) == 1 else _map
        updates.append(draw(axes, ticks, found))
        dress(axes, field, names[0], names[1] if len(names) == 2 else field, grid=len(names) == 1)
    images = []
    for k, time in enumerate(times):
        figure.suptitle(f"{problem.name}   {TIME} = {time:.4g}", x=0.02, ha="left", fontsize=10)
        for update in updates:
            update(k)
        figure.canvas.draw()
        images.append(Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()))  # pyright: ignore
    target.parent.mkdir(parents=True, exist_ok=True)
    images[0].save(target, save_all=True, append_images=images[1:], duration=_PAUSE, loop=0)


def _moving(solution: Any, frames: int) -> tuple[Array, list[Array], dict[str, tuple[Array, Array | None]]]:
    """Times [k], ticks of the other coordinates, and each field with its reference [k, n] or [k, vertical, horizontal]."""
    problem, domain = solution.problem, solution.problem.domain
    (lower, upper), names = domain.bounds, (TIME, *domain.spatial)
    count = _LINE_POINTS if len(names) == 2 else _MAP_POINTS
    axes = positions(names, domain.coordinates)
    times, *ticks = (np.linspace(lower[i], upper[i], frames if i == axes[0] else count) for i in axes)
    mesh = np.meshgrid(times, *ticks[::-1], indexing="ij")  # time, vertical, horizontal
    points = np.empty((mesh[0].size, len(names)))
    for axis, values in zip(axes, [mesh[0], *mesh[:0:-1]], strict=True):
        points[:, axis] = values.ravel()
    inside = domain.distance(points) <= 1e-9 * float(np.linalg.norm(upper - lower))

    def whole(values: Array) -> Array:
        grid = np.full(len(points), np.nan)
        grid[inside] = values
        return grid.reshape(mesh[0].shape)

    found = at_points(solution, problem, problem.fields, points[inside])
    known = problem.reference(points[inside]) if len(ticks) == 1 and problem.reference is not None else {}
    return times, ticks, {name: (whole(values), whole(known[name]) if name in known else None) for name, values in found.items()}


def _curve(known: Array | None, axes: Any, ticks: list[Array], found: Array) -> Any:
    (x,) = ticks
    (line,) = axes.plot(x, found[0], color=BLUE, linewidth=2.0, label="solution")
    exact = None
    if known is not None:
        (exact,) = axes.plot(x, known[0], "--", color=VERMILION, linewidth=1.2, label="reference")
        axes.legend(loc="upper right", fontsize=8, framealpha=0.6, edgecolor="none")
    low, high = np.nanmin(found), np.nanmax(found)
    axes.set(xlim=(x[0], x[-1]), ylim=(low - 0.05 * (high - low + 1e-12), high + 0.05 * (high - low + 1e-12)))

    def update(k: int) -> None:
        line.set_ydata(found[k])
        if exact is not None and known is not None:
            exact.set_ydata(known[k])

    return update


def _map(axes: Any, ticks: list[Array], found: Array) -> Any:
    (x, y), masked = ticks, np.ma.masked_invalid(found)
    extent = (x[0], x[-1], y[0], y[-1])
    image = axes.imshow(masked[0], origin="lower", aspect="equal", cmap="viridis", extent=extent)
    image.set_clim(float(masked.min()), float(masked.max()))
    axes.figure.colorbar(image, ax=axes, shrink=0.8).ax.tick_params(labelsize=8)
    return lambda k: image.set_data(masked[k])
