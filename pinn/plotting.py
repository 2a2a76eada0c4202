"""Pictures of solutions and problems; the only file that knows Matplotlib, which it imports when a picture is asked for.

Without pyplot they need no display and share no state; a notebook shows them by itself. Lines have the colours of Okabe & Ito
and differ in style too, maps are perceptually uniform: readable in print, and whatever eyes one has.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from itertools import cycle, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from . import sampling
from .boundaries import TIME, Boundary, Patch, Surface
from .conditions import Periodic
from .domains import Domain
from .errors import PinnError, ProblemError, SolutionError
from .pieces import Array, Mask, fixed_points, positions
from .singularities import torn_points
from .values import Always, Points, reading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Panel = Callable[["Axes"], None]
Panels = tuple[list[list[Panel]], list[Panel]]  # a row for each field, and the others
Fields = dict[str, Array]

BLUE, VERMILION, _GREEN, _PURPLE, _ORANGE, SKY = _COLOURS = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
_STYLES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
_LACKING = {"no condition": (0, (3, 2)), "end of time": (0, (1, 3))}  # their line styles
GREY, _PALE, _OUTSIDE = "#8A8A8A", "#EDF2F7", "#DDDDDD"
_TITLE, _LABEL, _SMALL = 10.0, 9.0, 8.0
_SUFFIXES = (".png", ".pdf", ".svg")
_LINE_POINTS, _MAP_POINTS, _SCATTER_POINTS, _CHUNK = 500, 160, 1000, 4096
_SURFACE_POINTS = 4096  # for all parts of a boundary together, a power of two
_DECADES = 1e-5  # how far below its largest value a logarithmic scale may go
_OUT = 0.018  # how far apart the conditions on one part of the boundary are drawn, relative to the domain


def plot_solution(solution: Any, path: str | Path | None = None) -> Figure:
    """A solution by field, its reference and errors where they are known, its residual and its history; written to `path`.

    >>> from pinn import Initial, Interval, Problem, d, solve
    >>> decay = Problem(fields="y", domain=Interval(t=(0, 1)), residual=lambda y, t: d(y, t) + y, conditions=[Initial(y=1.0)])
    >>> figure = plot_solution(solve(decay, progress=False))
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['y', 'y: error', 'residual', 'history']
    """
    target, domain = target_of(path, SolutionError), solution.problem.domain
    view = _view(domain)
    rows, flow = _panels(solution.problem, view, *_values(solution, view.points))
    if domain.dimension > 2 and solution.problem.reference is not None:
        flow.append(partial(_scatter, solution))
    figure = arranged(rows, [*flow, partial(draw_history, solution.history)], view.ratio)
    sizes = ", ".join(f"{field} {error:.1e}" for field, error in solution.error_estimate.items())
    judged = f"estimated relative error: {sizes}; {solution.trust}"
    parameters = ", ".join(f"{name} = {value:.6g}" for name, value in solution.parameters.items())
    return finished(figure, [f"{solution.problem.name}: {solution.status}", judged, parameters, view.note], target)


def plot_problem(problem: Any, path: str | Path | None = None) -> Figure:
    """A problem's domain with its conditions, which holds where, and where none does; written to `path`.

    >>> from pinn import Box, Initial, Problem, d
    >>> box = Box(t=(0, 1), x=(0, 1))
    >>> moving = Problem(fields="u", domain=box, residual=lambda u, t, x: d(u, t) + d(u, x), conditions=[Initial(u=1.0)])
    >>> [text.get_text() for text in plot_problem(moving).legends[0].get_texts()]
    ['Initial u = 1 on t = 0', 'no condition', 'end of time']
    """
    target, domain = target_of(path, ProblemError), problem.domain
    figure = {1: _draw_line, 2: _draw_plane}.get(domain.dimension, _draw_space)(domain, _marks(problem))
    unknown = f"unknown: {', '.join(problem.parameters)}" if problem.parameters else ""
    return finished(figure, [problem.name, repr(problem).splitlines()[0].removeprefix("Problem: "), unknown], target)


@dataclass(frozen=True)
class _View:
    """The line or plane of a domain that is drawn, as a regular grid, [n] or [vertical, horizontal]."""

    names: tuple[str, ...]  # of the coordinates along the axes, horizontal first
    ticks: tuple[Array, ...]  # their values
    distance: Array  # from the domain
    inside: Mask
    points: Array  # those inside, [m, d]
    note: str  # where the plane lies; empty where it is the whole domain
    aspect: Literal["equal", "auto"]
    ratio: float  # of its height to its width

    def fill(self, values: Array) -> np.ma.MaskedArray:
        """Values at the points on the whole grid, masked outside of the domain and where they are not finite."""
        grid = np.full(self.inside.shape, np.nan)
        grid[self.inside] = values
        return np.ma.masked_invalid(grid)


def _view(domain: Domain) -> _View:
    names = domain.coordinates if domain.dimension == 1 else domain.spatial[:2]
    names = (TIME, *names) if len(names) < min(domain.dimension, 2) else names
    axes, (lower, upper) = positions(names, domain.coordinates), domain.bounds
    ticks = tuple(np.linspace(lower[i], upper[i], _LINE_POINTS if len(names) == 1 else _MAP_POINTS) for i in axes)
    mesh, middle = np.meshgrid(*ticks), (lower + upper) / 2
    some = sampling.interior(domain, _SCATTER_POINTS, 0)
    for centre in (middle, min(some, key=lambda point: np.linalg.norm((point - middle) / (upper - lower)))):
        points = np.tile(centre, (mesh[0].size, 1))
        points[:, axes] = np.stack([values.ravel() for values in mesh], axis=1)
        distance = domain.distance(points).reshape(mesh[0].shape)
        inside = distance <= 1e-9 * float(np.linalg.norm(upper - lower))
        if inside.any():
            break
    others = [f"{name} = {value:.4g}" for name, value in zip(domain.coordinates, centre, strict=True) if name not in names]
    note = f"maps at {', '.join(others[:4])}{', ...' if len(others) > 4 else ''}" if others else ""
    ratio = 0.0 if TIME in names else float(np.ptp(ticks[-1]) / np.ptp(ticks[0]))
    aspect, ratio = ("equal", ratio) if len(names) == 2 and 0.2 < ratio < 2.5 else ("auto", 0.85)
    return _View(names, ticks, distance, inside, points[inside.ravel()], note, aspect, ratio)


def _values(solution: Any, points: Array) -> tuple[Fields, Fields, Fields, Fields]:
    """At points: what was found, what is known and what corrects the estimated error, by field; the residual, by equation."""
    problem, judged = solution.problem, getattr(solution, "corrected", None)
    found, corrected, residual = at_points(solution, problem, problem.fields, points), {}, {}
    if judged is not None:
        goal = replace(solution.goal, approximation=judged.approximation)
        corrected = at_points(replace(solution, goal=goal, weights=judged.weights), problem, problem.fields, points)
    with suppress(SolutionError):  # it was loaded without its problem
        residual = at_points(solution.residual, problem, problem.equations, points)
        nowhere = torn_points(problem.singular(problem.domain), points, every=True)
        residual = {name: np.where(nowhere, np.nan, value) for name, value in residual.items()}
    known = problem.reference(points) if problem.reference is not None else {}
    if known:
        torn = torn_points(problem.singular(problem.domain), points)
        known = {name: np.where(np.isfinite(value) & ~torn, value, np.nan) for name, value in known.items()}
    return found, known, corrected, residual


def at_points(function: Callable[..., Any], problem: Any, labels: Sequence[str], points: Array) -> Fields:
    """A solution's call or residual at points [m, d], by label, in chunks of one size, so that it is compiled once."""
    size, parts = min(_CHUNK, len(points)), []
    rows = np.minimum(np.arange(-(-len(points) // size) * size), len(points) - 1)
    for chunk in points[rows].reshape(-1, size, points.shape[1]):
        values = function(**dict(zip(problem.domain.coordinates, chunk.T, strict=True)))
        values = values if isinstance(values, tuple | Mapping) else (values,)
        parts.append(values if isinstance(values, Mapping) else dict(zip(labels, values, strict=True)))
    whole = {name: np.concatenate([part[name] for part in parts])[: len(points)] for name in parts[0]}
    return {name: np.where(np.isfinite(values), values, np.nan) for name, values in whole.items()}


def _panels(problem: Any, view: _View, found: Fields, known: Fields, corrected: Fields, residual: Fields) -> Panels:
    rows: list[list[Panel]] = []
    for field, value in found.items():
        others = {"error": known, "estimated error": corrected}
        errors = {kind: value - other[field] for kind, other in others.items() if field in other}
        if len(view.ticks) == 1:
            lines = [partial(_sizes, view, errors, f"{field}: error")] if errors else []
            rows.append([partial(_curve, problem, view, field, value, known.get(field)), *lines])
        else:
            shown = {field: value} | ({f"{field}: reference": known[field]} if field in known else {})
            limits = min(map(np.nanmin, shown.values())), max(map(np.nanmax, shown.values()))
            rows.append([partial(_map, view, values, title, "viridis", limits) for title, values in shown.items()])
            rows[-1] += [partial(_error_map, view, error, f"{field}: {kind}") for kind, error in [*errors.items()][:1]]
    if len(view.ticks) == 1:
        return rows, [partial(_sizes, view, residual, "residual")] if residual else []
    return rows, [partial(_size_map, view, values, f"residual {name}".strip()) for name, values in residual.items()]


def _curve(problem: Any, view: _View, field: str, found: Array, known: Array | None, axes: Axes) -> None:
    (ticks,) = view.ticks
    axes.plot(ticks, view.fill(found), color=BLUE, linewidth=2.2, label="solution")
    if known is not None:
        look: dict[str, Any] = {"linewidth": 1.1, "marker": "o", "markersize": 4, "markerfacecolor": "white"}
        axes.plot(ticks, view.fill(known), "--", color="black", markevery=(20, 40), label="reference", **look)
    for term in problem.terms[1:]:
        columns = term.place.columns if isinstance(term.place, Points) else {}
        if reading(field) in columns:
            axes.plot(columns[view.names[0]], columns[reading(field)], "x", color=VERMILION, label=term.name)
    dress(axes, field, view.names[0], field, legend="best")


def _sizes(view: _View, lines: Mapping[str, Array], title: str, axes: Axes) -> None:
    """Absolute values of lines on a logarithmic axis."""
    low, high = _decades(np.concatenate(list(lines.values())))
    for (label, values), colour, style in zip(lines.items(), cycle(_COLOURS), cycle(_STYLES), strict=False):
        sizes = np.maximum(np.abs(view.fill(values)), low / 10)
        axes.plot(view.ticks[0], sizes, color=colour, linestyle=style, linewidth=1.5, label=label)
    axes.set(yscale="log", ylim=(low / 2, high * 2))
    dress(axes, title, view.names[0], f"|{title.split(': ')[-1]}|", legend="best" if any(lines) else None)


def _decades(values: Array) -> tuple[float, float]:
    """The range of a logarithmic scale for the sizes of values."""
    sizes = np.abs(values[np.nan_to_num(values) != 0])
    low, high = (float(size) for size in np.quantile(sizes, (0.02, 1))) if len(sizes) else (0.1, 1.0)
    return max(low, _DECADES * high), high


def _error_map(view: _View, values: Array, title: str, axes: Axes) -> None:
    limit, largest = np.nanquantile(np.abs(values), (0.99, 1))
    limits = (-limit, limit) if limit else (-1.0, 1.0)
    _map(view, values, f"{title}, at most {largest:.1e}", "RdBu_r", limits, axes, extend="both", format="{x:.3g}")


def _size_map(view: _View, values: Array, title: str, axes: Axes) -> None:
    low, high = _decades(values)
    _map(view, np.maximum(np.abs(values), low), f"|{title}|, at most {high:.1e}", "magma", (low, high), axes, norm="log")


def _map(view: _View, values: Array, title: str, cmap: str, limits: tuple, axes: Axes, norm: str = "linear", **bar: Any) -> None:
    (x, y), half = view.ticks, [(ticks[1] - ticks[0]) / 2 for ticks in view.ticks]
    image = axes.imshow(view.fill(values), origin="lower", aspect=view.aspect, cmap=cmap, norm=norm)
    image.set(clim=limits, extent=(x[0] - half[0], x[-1] + half[0], y[0] - half[1], y[-1] + half[1]))
    axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), facecolor=_OUTSIDE)
    axes.locator_params(nbins=5)
    if not view.inside.all():
        axes.contour(x, y, view.distance, levels=[0.0], colors="black", linewidths=1.2)
    drawn = axes.figure.colorbar(image, cax=axes.inset_axes((1.03, 0, 0.045, 1)), **bar)
    drawn.ax.tick_params(which="both", labelsize=_SMALL)
    dress(axes, title, view.names[0], view.names[1], grid=False)


def _scatter(solution: Any, axes: Axes) -> None:
    problem = solution.problem
    points = sampling.interior(problem.domain, _SCATTER_POINTS, 0)
    known, found = problem.reference(points), at_points(solution, problem, problem.fields, points)
    for (field, exact), colour in zip(known.items(), cycle(_COLOURS), strict=False):
        axes.plot(exact, found[field], "o", color=colour, alpha=0.4, markersize=3, label=field)
    axes.axline((0, 0), slope=1, color="black", linewidth=0.8, linestyle="--")
    dress(axes, f"at {_SCATTER_POINTS} random points", "reference", "solution", legend="best" if len(known) > 1 else None)


def draw_history(history: Any, axes: Axes) -> None:
    """Held-out residual, loss and estimated error against time; a shaded band for each phase."""
    steps, start = [record for record in history if not np.isfinite(record.estimate)], 0.0
    for i, (phase, group) in enumerate(groupby(steps, key=lambda record: record.phase)):
        seconds, sizes = np.array([(record.seconds, record.held_out) for record in group]).T
        labels = ("held-out residual", "best of the phase") if i == 0 else (None, None)
        axes.plot(seconds, sizes, "o", color=SKY, markersize=3.5, label=labels[0])
        axes.step(seconds, np.fmin.accumulate(sizes), where="post", color=BLUE, linewidth=1.5, label=labels[1])
        axes.axvspan(start, seconds[-1], color="black", alpha=0.04 + 0.04 * (i % 2), linewidth=0)
        axes.text(start, 0.02, f" {phase}", fontsize=_SMALL, color="#444444", transform=axes.get_xaxis_transform())
        start = seconds[-1]
    for name, label, style, colour in (("loss", "loss", "--", _ORANGE), ("estimate", "estimated error", "D", VERMILION)):
        pairs = [(record.seconds, getattr(record, name)) for record in history if np.isfinite(getattr(record, name))]
        if pairs:
            axes.plot(*np.array(pairs).T, style, color=colour, markersize=5, label=label)
    axes.set(yscale="log", xlim=(0, None))
    low, high = axes.get_ylim()
    axes.set_ylim(low * (low / high) ** 0.1, high * (high / low) ** 0.45)  # room for the names of phases and the legend
    dress(axes, "history", "seconds", "", legend="upper right" if len(history) else None)


def dress(axes: Axes, title: str, horizontal: str, vertical: str, legend: Any = None, grid: bool = True) -> None:
    """Title, labels, legend and grid, as all panels have them."""
    axes.set_title(title, fontsize=_TITLE, loc="left")
    axes.set_xlabel(horizontal, fontsize=_LABEL)
    axes.set_ylabel(vertical, fontsize=_LABEL)
    axes.tick_params(labelsize=_SMALL)
    if grid:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=_OUTSIDE, linewidth=0.6)
        axes.set_axisbelow(True)
    if legend:
        axes.legend(loc=legend, fontsize=_SMALL, framealpha=0.6, edgecolor="none")


class _Mark(NamedTuple):
    """Where one condition holds: by smooth part of it points and normals [m, d], and how many earlier conditions hold there."""

    label: str
    colour: str
    style: Any  # of its line; empty for given points
    parts: list[tuple[Array, Array, Array]]


def _marks(problem: Any) -> list[_Mark]:
    domain, marks, surfaces = problem.domain, [], []
    for term, colour, style in zip(problem.terms[1:], cycle(_COLOURS), cycle(_STYLES), strict=False):
        label = textwrap.fill(term.name, 80)
        if isinstance(term.place, Points | Always):
            points, _ = term.sample(domain, 100, (0,))
            marks.append(_Mark(label, colour, "", [(points, np.zeros_like(points), np.zeros(len(points)))]))
        elif isinstance(term.place, Surface):
            surface = term.place
            if isinstance(term.condition, Periodic):
                name = term.condition.coordinate
                other_end = domain.at(**{name: domain.bounds[1][domain.coordinates.index(name)]})
                surface = (surface + other_end).within(domain)
            parts = [(points, normals, _held(surfaces, points, normals)) for points, normals in _drawn(surface)]
            marks.append(_Mark(label, colour, style, parts))
            surfaces.append(surface)
    return marks + _unconditioned(domain, surfaces)


def _unconditioned(domain: Domain, surfaces: Sequence[Surface]) -> list[_Mark]:
    """What no condition holds on: the end of time, which needs none, and the rest."""
    whole = Boundary(tuple(Patch(piece, (domain,)) for piece in domain.pieces), "all").within(domain)
    found: dict[str, list] = {label: [] for label in _LACKING}
    for points, normals in _drawn(whole):
        free = _held(surfaces, points, normals) == 0
        late = TIME in domain.coordinates and normals[0, domain.coordinates.index(TIME)] > 0.5
        if free.any():
            found["end of time" if late else "no condition"].append((points[free], normals[free], np.zeros(free.sum())))
    return [_Mark(label, GREY, _LACKING[label], parts) for label, parts in found.items() if parts]


def _held(surfaces: Sequence[Surface], points: Array, normals: Array) -> Array:
    """How many of the surfaces each point lies on."""
    on = (np.any([patch.holds(points, normals) for patch in surface.patches], axis=0) for surface in surfaces)
    return np.zeros(len(points)) + sum(on)


def _drawn(surface: Surface) -> Iterator[tuple[Array, Array]]:
    """Points and normals of each patch: along it in order where it is a curve, scattered where it is more."""
    count = max(16, 1 << (_SURFACE_POINTS // len(surface.patches)).bit_length() - 1)
    for index, patch in enumerate(surface.patches):
        dimension = patch.piece.parameters
        unit = fixed_points(count if dimension else 1, dimension)
        points, normals = surface.draw(index, np.sort(unit, axis=0) if dimension == 1 else unit)
        if len(points):
            yield points, normals


def _draw_line(domain: Domain, marks: Sequence[_Mark]) -> Figure:
    axes = (figure := figure_of(6.5, 1.1 + 0.33 * len(marks))).add_subplot()
    (lower,), (upper,) = domain.bounds
    axes.plot([lower, upper], [0, 0], color="black", linewidth=2.5)
    for row, mark in enumerate(marks, start=1):
        places = np.concatenate([points[:, 0] for points, _, _ in mark.parts])
        face = "white" if mark.colour == GREY else mark.colour
        axes.vlines(places, 0, row, color=mark.colour, linewidth=1 if mark.style else 0.4, zorder=0)
        axes.plot(places, np.full(len(places), row), "o", color=mark.colour, markerfacecolor=face)
        align = "left" if places[0] < (lower + upper) / 2 else "right"
        axes.text(places[0], row, f"   {mark.label}   ", fontsize=_LABEL, ha=align, va="center")
    dress(axes, "", domain.coordinates[0], "", grid=False)
    axes.set(ylim=(-0.5, len(marks) + 0.6), yticks=[])
    axes.spines[["left", "top", "right"]].set_visible(False)
    return figure


def _draw_plane(domain: Domain, marks: Sequence[_Mark]) -> Figure:
    view = _view(domain)
    axes = (figure := figure_of(6.5, 1.6 + 5.2 * view.ratio + 0.2 * len(marks))).add_subplot()
    columns, (x, y), extent = positions(view.names, domain.coordinates), view.ticks, np.ptp(view.ticks, axis=1)
    step = _OUT * (extent if view.aspect == "auto" else np.full(2, extent.max()))
    axes.contourf(x, y, view.distance, levels=[-np.inf, 0], colors=[_PALE])
    for mark in marks:
        look = {"linestyle": mark.style, "marker": "" if mark.style else "o", "markersize": 3, "color": mark.colour}
        for i, (points, normals, rank) in enumerate(mark.parts):
            places, out = points[:, columns], normals[:, columns] * step
            line = places + rank[:, None] * out
            gaps = np.linalg.norm(np.diff(line, axis=0, prepend=line[:1]) / extent, axis=1)
            line = np.insert(line, np.flatnonzero(gaps > 3 * np.median(gaps)), np.nan, axis=0)
            axes.plot(*line.T, linewidth=2.2, label=mark.label if i == 0 else None, **look)
            some = np.linspace(0, len(points) - 1, 9).astype(int)[1:-1:2]
            in_space = np.any(normals[some][:, positions(domain.spatial, domain.coordinates)] != 0, axis=1)
            some = some[(rank[some] == 0) & in_space & (mark.colour != GREY)]
            arrow: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.004, "color": mark.colour}
            axes.quiver(*places[some].T, *(3 * out[some]).T, **arrow)
    dress(axes, "", view.names[0], view.names[1], grid=False)
    dx, dy = 4 * step
    axes.set(xlim=(x[0] - dx, x[-1] + dx), ylim=(y[0] - dy, y[-1] + dy), aspect=view.aspect)
    axes.spines[:].set_visible(False)
    figure.legend(loc="outside lower left", fontsize=_LABEL, frameon=False, handlelength=3.5)
    return figure


def _draw_space(domain: Domain, marks: Sequence[_Mark]) -> Figure:
    names = domain.coordinates if domain.dimension == 3 else domain.spatial[:3]
    axes: Any = (figure := figure_of(6.5, 5.5 + 0.2 * len(marks))).add_subplot(projection="3d")
    for mark in marks:
        points = np.concatenate([points for points, _, _ in mark.parts])[:, positions(names, domain.coordinates)]
        axes.scatter(*points.T, s=5, color=mark.colour, label=mark.label, alpha=0.6, linewidths=0)
    dress(axes, "" if domain.dimension == 3 else f"projected on {', '.join(names)}", names[0], names[1], grid=False)
    axes.set_zlabel(names[2], fontsize=_LABEL)
    axes.set_aspect("auto" if TIME in names else "equal")
    figure.legend(loc="outside lower left", fontsize=_LABEL, frameon=False, markerscale=2.5)
    return figure


def figure_of(width: float, height: float) -> Figure:
    """An empty figure of that size in inches, which needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    def png() -> bytes:
        figure.savefig(buffer := BytesIO(), format="png")
        return buffer.getvalue()

    figure = Figure(figsize=(width, height), dpi=120)
    figure.set_layout_engine("constrained", h_pad=0.06, w_pad=0.06)
    FigureCanvasAgg(figure)
    setattr(figure, "_repr_png_", png)  # noqa: B010 - notebooks look for it, and know only pyplot's figures without it
    return figure


def arranged(rows: Sequence[Sequence[Panel]], flow: Sequence[Panel], ratio: float) -> Figure:
    """A row for each field, then the other panels as they fit; the last one takes what is left of its row."""
    if all(len(row) == 1 for row in rows):
        rows, flow = [], [*(panel for (panel,) in rows), *flow]
    columns = max([2, *map(len, rows)])
    more = -(-len(flow) // columns)
    heights = [2.25 * ratio + 0.8] * (len(rows) + more)
    heights[-1] = 2.2 if len(flow) % columns == 1 else heights[-1]
    figure = figure_of(3.5 * columns, 0.7 + sum(heights))
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    cells = [(i, slice(j, j + 1), panel) for i, row in enumerate(rows) for j, panel in enumerate(row)]
    cells += [(len(rows) + k // columns, slice(k % columns, k % columns + 1), panel) for k, panel in enumerate(flow[:-1])]
    for i, span, panel in [*cells, (-1, slice((len(flow) - 1) % columns, columns), flow[-1])]:
        panel(figure.add_subplot(grid[i, span]))
    return figure


def target_of(path: str | Path | None, error: type[PinnError]) -> Path | None:
    """Where a picture goes; raises `error` for a kind of file that cannot be written."""
    if path is not None and Path(path).suffix.lower() not in _SUFFIXES:
        raise error(f"plot() writes {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]} files; got {str(path)!r}. Rename it.")
    return None if path is None else Path(path)


def finished(figure: Figure, title: Sequence[str], target: Path | None) -> Figure:
    """The figure with its title, written to its file."""
    lines = [textwrap.fill(line, int(13 * figure.get_figwidth())) for line in title if line]
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=_TITLE)
    for _ in range(2):  # panels of fixed shape settle with the third layout
        figure.draw_without_rendering()
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target, dpi=160)
    return figure
