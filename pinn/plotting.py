"""Pictures of solutions and of problems; the only file that knows Matplotlib, and it is imported when a picture is asked for.

Figures are made without pyplot, so they need no display and no global state; a notebook shows them by itself. Lines are in the
colours of Okabe & Ito and differ in style too, maps are perceptually uniform: readable in print and whatever eyes one has.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import sampling
from .boundaries import TIME, Boundary, Patch, Surface
from .conditions import Periodic, Points
from .domains import Domain
from .errors import PinnError, ProblemError, SolutionError
from .pieces import Array, Mask, fixed_points, positions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _VERMILION, _GREEN, _PURPLE, _ORANGE, _SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
_COLOURS = (_BLUE, _VERMILION, _GREEN, _PURPLE, _ORANGE, _SKY, "#000000")
_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
_GREY, _INSIDE = "#8A8A8A", "#EDF2F7"
_TITLE, _LABEL, _SMALL = 10.0, 9.0, 8.0
_SUFFIXES = (".png", ".pdf", ".svg")
_LINE_POINTS, _MAP_POINTS, _SCATTER_POINTS, _CHUNK = 500, 160, 1000, 4096
_DECADES = 1e-6  # how far below its largest value a logarithmic scale goes
_CURVE, _CLOUD = 401, 4096  # points that draw a curve, or all surfaces together
_OUT = 0.018  # how far apart conditions on one part of the boundary are drawn, relative to the domain

Panel = Callable[["Axes"], None]


def plot_solution(solution: Any, path: str | Path | None = None) -> Figure:
    """A solution field by field, with reference and error where they are known, its residual and its history.

    Args:
        solution: what `solve` gave back.
        path: file to write, `.png`, `.pdf` or `.svg`; its folder is made.

    Raises:
        SolutionError: the path ends in something else.

    Example:
        >>> from pinn import Dirichlet, Interval, Problem, d, solve
        >>> line = Interval(x=(0, 1))
        >>> ends = Dirichlet(y=0.0, on=line.boundary)
        >>> problem = Problem(fields="y", domain=line, residual=lambda y, x: d(y, x, x) + 2, conditions=[ends])
        >>> figure = plot_solution(solve(problem, progress=False))
        >>> [axes.get_title(loc="left") for axes in figure.axes]
        ['y', 'y: error', 'residual', 'history']
    """
    target = _target(path, SolutionError)
    problem = solution.problem
    view = _view(problem.domain)
    values = _values(solution, view.points)
    if problem.domain.dimension == 1:
        rows = [
            [partial(_curve, view, values, problem, field), partial(_errors, view, values, field)] for field in problem.fields
        ]
        flow: list[Panel] = [partial(_residual_curves, view, values)]
    else:
        rows = [_field_maps(view, values, field) for field in problem.fields]
        flow = [partial(_map, view, v, _equation(e), "residual") for e, v in values.residual.items()]
        if problem.domain.dimension > 2 and values.known:
            flow.append(partial(_scatter, solution))
    figure = _arranged(rows, [*flow, partial(_history, solution.history)], view.ratio)
    _headline(figure, _summary(solution, view.note))
    return _written(figure, target)


def plot_problem(problem: Any, path: str | Path | None = None) -> Figure:
    """The domain with its conditions: which holds where, and where none does.

    Args:
        problem: the problem.
        path: file to write, `.png`, `.pdf` or `.svg`; its folder is made.

    Raises:
        ProblemError: the path ends in something else.

    Example:
        >>> from pinn import Box, Dirichlet, Initial, Problem, d
        >>> box = Box(t=(0, 1), x=(0, 1))
        >>> ends = Dirichlet(u=0.0, on=box.boundary)
        >>> heat = Problem(fields="u", domain=box, residual=lambda u, t, x: d(u, t) - d(u, x, x), conditions=[Initial(u=1.0), ends])
        >>> [text.get_text() for text in plot_problem(heat).legends[0].get_texts()]
        ['Initial u = 1 on t = 0', 'Dirichlet u = 0 on boundary of Box(t=(0, 1), x=(0, 1))', 'end of time']
    """
    target = _target(path, ProblemError)
    marks = _marks(problem)
    dimension = problem.domain.dimension
    if dimension == 1:
        figure = _figure(7.0, 1.4 + 0.33 * len(marks))
        _draw_line(figure.add_subplot(), problem.domain, marks)
    elif dimension == 2:
        ratio = _view(problem.domain).ratio
        figure = _figure(6.0, 1.3 + 5.0 * ratio + 0.2 * len(marks))
        _draw_plane(figure.add_subplot(), problem.domain, marks)
    else:
        figure = _figure(6.5, 5.5 + 0.2 * len(marks))
        _draw_space(figure, problem.domain, marks)
    lines = [problem.name, repr(problem).splitlines()[0].removeprefix("Problem: ")]
    unknown = ", ".join(problem.parameters)
    _headline(figure, [*lines, *([f"unknown: {unknown}"] if unknown else [])])
    return _written(figure, target)


# --- what is shown ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _View:
    """The line or plane of the domain that is drawn: a regular grid, and which of it lies inside.

    Attributes:
        names, ticks: the coordinates along the axes, horizontal first, and their values.
        inside: [n], or [vertical, horizontal].
        points: the points inside, [m, d].
        note: where the plane lies; empty where it is the whole domain.
    """

    names: tuple[str, ...]
    ticks: tuple[Array, ...]
    inside: Mask
    points: Array
    note: str

    def fill(self, values: Array) -> np.ma.MaskedArray:
        """Values at the points on the whole grid, masked outside of the domain and where they are not finite."""
        grid = np.full(self.inside.shape, np.nan)
        grid[self.inside] = values
        return np.ma.masked_invalid(grid)

    @property
    def is_space(self) -> bool:
        """Whether both axes are lengths, to be drawn in one scale."""
        return len(self.names) == 2 and TIME not in self.names

    @property
    def ratio(self) -> float:
        """Height of a panel, relative to its width."""
        widths = [ticks[-1] - ticks[0] for ticks in self.ticks]
        return float(np.clip(widths[1] / widths[0], 0.3, 1.6)) if self.is_space else 0.75


def _view(domain: Domain) -> _View:
    names = domain.coordinates if domain.dimension == 1 else domain.spatial[:2]
    names = (TIME, *names) if len(names) < min(domain.dimension, 2) else names
    axes = positions(names, domain.coordinates)
    lower, upper = domain.bounds
    count = _LINE_POINTS if len(names) == 1 else _MAP_POINTS
    ticks = tuple(np.linspace(lower[i], upper[i], count) for i in axes)
    mesh = np.meshgrid(*ticks)
    columns = np.stack([values.ravel() for values in mesh], axis=1)
    near = sampling.interior(domain, _SCATTER_POINTS, 0)
    middle = (lower + upper) / 2
    for centre in (middle, near[np.argmin(np.linalg.norm((near - middle) / (upper - lower), axis=1))]):
        points = np.tile(centre, (len(columns), 1))
        points[:, axes] = columns
        inside = domain.contains(points, tolerance=1e-9 * float(np.linalg.norm(upper - lower)))
        if inside.any():
            break
    others = [f"{name} = {value:.4g}" for name, value in zip(domain.coordinates, centre, strict=True) if name not in names]
    more = f" and {len(others) - 4} more coordinates at their middle" if len(others) > 4 else ""
    note = f"maps at {', '.join(others[:4])}{more}" if others else ""
    return _View(names, ticks, inside.reshape(mesh[0].shape), points[inside], note)


@dataclass(frozen=True)
class _Values:
    """A solution at points: by field what was found, what is known and the estimated error; by equation the residual."""

    found: dict[str, Array]
    known: dict[str, Array]
    estimated: dict[str, Array]
    residual: dict[str, Array]


def _values(solution: Any, points: Array) -> _Values:
    problem, judged = solution.problem, getattr(solution, "corrected", None)
    found, corrected = _at(solution, problem, problem.fields, points), {}
    if judged is not None:
        goal = replace(solution.goal, approximation=judged.approximation)
        corrected = _at(replace(solution, goal=goal, weights=judged.weights), problem, problem.fields, points)
    try:
        residual = _at(solution.residual, problem, problem.equations, points)
    except SolutionError:  # a loaded solution has no equations
        residual = {}
    known = problem.reference(points) if problem.reference is not None else {}
    return _Values(found, known, {name: found[name] - value for name, value in corrected.items()}, residual)


def _at(function: Callable[..., Any], problem: Any, labels: Sequence[str], points: Array) -> dict[str, Array]:
    """A solution's call or residual at points [m, d], by label, in chunks of one size, so that it is compiled once."""
    size = min(_CHUNK, len(points))
    rows = np.minimum(np.arange(-(-len(points) // size) * size), len(points) - 1)
    parts = []
    for chunk in points[rows].reshape(-1, size, points.shape[1]):
        values = function(**dict(zip(problem.domain.coordinates, chunk.T, strict=True)))
        values = values if isinstance(values, tuple | Mapping) else (values,)
        parts.append(values if isinstance(values, Mapping) else dict(zip(labels, values, strict=True)))
    return {name: np.concatenate([part[name] for part in parts])[: len(points)] for name in parts[0]}


def _equation(label: str) -> str:
    return f"residual {label}".strip()


def _summary(solution: Any, note: str) -> list[str]:
    errors = solution.error_estimate
    worst = max(errors, key=lambda name: errors[name])
    shown = errors if len(errors) < 5 else {f"{worst} (the worst)": errors[worst]}
    sizes = ", ".join(f"{name} {error:.1e}" if len(errors) > 1 else f"{error:.1e}" for name, error in shown.items())
    parameters = ", ".join(f"{name} = {value:.6g}" for name, value in solution.parameters.items())
    lines = [solution.problem.name, str(solution.status), f"estimated relative error {sizes}; {solution.trust}", parameters, note]
    return [line for line in lines if line]


# --- panels ----------------------------------------------------------------------------------------------------------


def _curve(view: _View, values: _Values, problem: Any, field: str, axes: Axes) -> None:
    (ticks,) = view.ticks
    axes.plot(ticks, view.fill(values.found[field]), color=_BLUE, linewidth=2.2, label="solution")
    if field in values.known:
        style: dict[str, Any] = {"linestyle": "--", "marker": "o", "markersize": 4, "markerfacecolor": "white", "linewidth": 1.1}
        axes.plot(ticks, view.fill(values.known[field]), color="black", markevery=(20, 40), label="reference", **style)
    for term in problem.terms[1:]:
        readings = term.place.columns.get(f"{field}_observed") if isinstance(term.place, Points) else None
        if readings is not None:
            axes.plot(term.place.columns[view.names[0]], readings, ".", color=_ORANGE, label="data")
    _dress(axes, field, view.names[0], field, legend=True)


def _errors(view: _View, values: _Values, field: str, axes: Axes) -> None:
    lines = {}
    if field in values.known:
        lines["true"] = (values.found[field] - values.known[field], _VERMILION, "-")
    if field in values.estimated:
        lines["estimated"] = (values.estimated[field], _BLUE, "--")
    _log_lines(axes, view, lines)
    _dress(axes, f"{field}: error", view.names[0], f"|error of {field}|", legend=bool(lines))


def _residual_curves(view: _View, values: _Values, axes: Axes) -> None:
    looks = zip(values.residual.items(), _COLOURS * 9, _STYLES * 9, strict=False)
    _log_lines(axes, view, {_equation(name): (residual, colour, style) for (name, residual), colour, style in looks})
    _dress(axes, "residual", view.names[0], "|residual|", legend=len(values.residual) > 1)


def _log_lines(axes: Axes, view: _View, lines: Mapping[str, tuple[Array, str, Any]]) -> None:
    (ticks,) = view.ticks
    low, high = _log_limits(np.concatenate([values for values, _, _ in lines.values()])) if lines else (0.1, 1.0)
    axes.set_yscale("log")
    axes.set_ylim(low / 2, high * 2)
    for label, (values, colour, style) in lines.items():
        sizes = np.maximum(np.abs(view.fill(values)), low / 10)
        axes.plot(ticks, sizes, color=colour, linestyle=style, linewidth=1.5, label=label)


def _log_limits(values: Array) -> tuple[float, float]:
    sizes = np.abs(values)[np.isfinite(values) & (values != 0)]
    if not len(sizes):
        return 1e-16, 1.0
    return float(max(np.quantile(sizes, 0.005), _DECADES * sizes.max())), float(sizes.max())


def _field_maps(view: _View, values: _Values, field: str) -> list[Panel]:
    found, known = values.found[field], values.known.get(field)
    if known is None:
        errors = [partial(_map, view, values.estimated[field], f"{field}: estimated error", "error")] if values.estimated else []
        return [partial(_map, view, found, field, "value", found), *errors]
    both = np.concatenate([found, known])
    return [
        partial(_map, view, found, field, "value", both),
        partial(_map, view, known, f"{field}: reference", "value", both),
        partial(_map, view, found - known, f"{field}: error", "error"),
    ]


def _map(view: _View, values: Array, title: str, kind: str, axes: Axes, among: Array | None = None) -> None:
    """Values in colour: "value" between the extremes of `among`, "error" about zero, "residual" by its decades."""
    from matplotlib.colors import LogNorm, Normalize

    shown, (x, y) = view.fill(np.abs(values) if kind == "residual" else values), view.ticks
    size = float(np.max(np.abs(shown), initial=0.0)) or 1.0
    if kind == "value":
        finite = values if among is None else among[np.isfinite(among)]
        norm, colours = Normalize(float(finite.min()), float(finite.max())), "viridis"
    elif kind == "error":
        norm, colours = Normalize(-size, size), "RdBu_r"
    else:
        norm, colours = LogNorm(*_log_limits(values)), "magma"
    half_x, half_y = (x[1] - x[0]) / 2, (y[1] - y[0]) / 2
    extent = (x[0] - half_x, x[-1] + half_x, y[0] - half_y, y[-1] + half_y)
    aspect = "equal" if view.is_space else "auto"
    image = axes.imshow(shown, origin="lower", extent=extent, aspect=aspect, norm=norm, cmap=colours, interpolation="nearest")
    axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), facecolor="#DDDDDD")
    if not view.inside.all():
        axes.contour(x, y, view.inside.astype(float), levels=[0.5], colors="black", linewidths=0.8)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02, aspect=25)
    bar.ax.tick_params(labelsize=_SMALL)
    if kind != "residual":
        bar.formatter.set_powerlimits((-3, 4))
    _dress(axes, title, *view.names, grid=False)


def _scatter(solution: Any, axes: Axes) -> None:
    problem = solution.problem
    points = sampling.interior(problem.domain, _SCATTER_POINTS, 0)
    known, found = problem.reference(points), _at(solution, problem, problem.fields, points)
    for field, colour in zip(known, _COLOURS * 9, strict=False):
        scale = float(np.abs(known[field]).max()) or 1.0 if len(known) > 1 else 1.0
        axes.plot(known[field] / scale, found[field] / scale, ".", color=colour, markersize=3, label=field)
    axes.axline((0, 0), slope=1, color="black", linewidth=0.8, linestyle="--")
    scaled = " / its largest" if len(known) > 1 else ""
    _dress(axes, f"at {_SCATTER_POINTS} random points", f"reference{scaled}", f"solution{scaled}", legend=len(known) > 1)


def _history(history: Any, axes: Axes) -> None:
    """Held-out residual, loss and estimate against time; a shaded band for each phase."""
    steps = [record for record in history if not np.isfinite(record.estimate)]
    start = 0.0
    for i, (phase, records) in enumerate(groupby(steps, key=lambda record: record.phase)):
        group = list(records)
        seconds, held_out = (np.array([getattr(r, name) for r in group]) for name in ("seconds", "held_out"))
        label = {"label": "held-out residual"} if i == 0 else {}
        axes.plot(seconds, held_out, ".", color=_SKY, markersize=4, alpha=0.7)
        axes.step(seconds, np.fmin.accumulate(held_out), where="post", color=_BLUE, linewidth=1.5, **label)
        axes.axvspan(start, seconds[-1], color="black", alpha=0.03 + 0.04 * (i % 2), linewidth=0)
        axes.text(start, 0.02, f" {phase}", fontsize=_SMALL, color="#444444", transform=axes.get_xaxis_transform())
        start = seconds[-1]
    for name, look in (
        ("loss", {"color": _ORANGE, "linestyle": "--"}),
        ("estimate", {"color": _VERMILION, "marker": "D", "linestyle": ""}),
    ):
        pairs = [(r.seconds, getattr(r, name)) for r in history if np.isfinite(getattr(r, name))]
        if pairs:
            axes.plot(*zip(*pairs, strict=True), **look, markersize=5, label={"estimate": "estimated error"}.get(name, name))
    axes.set_yscale("log")
    axes.set_xlim(left=0)
    _dress(axes, "history", "seconds", "", legend=bool(len(history)))


def _dress(axes: Axes, title: str, horizontal: str, vertical: str, legend: bool = False, grid: bool = True) -> None:
    axes.set_title(title, fontsize=_TITLE, loc="left")
    axes.set_xlabel(horizontal, fontsize=_LABEL)
    axes.set_ylabel(vertical, fontsize=_LABEL)
    axes.tick_params(labelsize=_SMALL)
    if grid:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)
    if legend:
        axes.legend(fontsize=_SMALL, framealpha=0.8, edgecolor="none")


# --- a problem's conditions ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Mark:
    """Where one condition holds: for each smooth part of it, points [m, d], normals [m, d] and the rank [m] of this condition
    among those that hold there. Data points have no normals."""

    label: str
    colour: str
    style: Any
    parts: tuple[tuple[Array, Array | None, Array], ...]


def _marks(problem: Any) -> list[_Mark]:
    domain, marks, earlier = problem.domain, [], []
    looks = zip(problem.terms[1:], _COLOURS * 9, _STYLES * 9, strict=False)
    for term, colour, style in looks:
        if isinstance(term.place, Points):
            points = np.stack([term.place.columns[name] for name in domain.coordinates], axis=1)
            marks.append(_Mark(term.name, colour, "", ((points, None, np.zeros(len(points))),)))
        elif isinstance(term.place, Surface):
            surface = _with_other_end(term, domain)
            parts = tuple(
                (p, n, sum((_holds(s, p, n).astype(float) for s in earlier), np.zeros(len(p)))) for p, n in _drawn(surface)
            )
            marks.append(_Mark(term.name, colour, style, parts))
            earlier.append(surface)
    return marks + _unconditioned(domain, earlier)


def _unconditioned(domain: Domain, surfaces: Sequence[Surface]) -> list[_Mark]:
    """What no condition holds on: the end of time, which needs none, and the rest."""
    whole = Boundary(tuple(Patch(piece, (domain,)) for piece in domain.pieces), "all").within(domain)
    found: dict[str, list] = {"no condition": [], "end of time": []}
    for points, normals in _drawn(whole):
        free = ~np.any([_holds(surface, points, normals) for surface in surfaces], axis=0) & np.ones(len(points), bool)
        late = normals[:, domain.coordinates.index(TIME)] > 0.5 if TIME in domain.coordinates else np.zeros(len(points), bool)
        for label, chosen in (("no condition", free & ~late), ("end of time", free & late)):
            if chosen.any():
                found[label].append((points[chosen], normals[chosen], np.zeros(int(chosen.sum()))))
    return [_Mark(label, _GREY, (0, (2, 2)), tuple(parts)) for label, parts in found.items() if parts]


def _with_other_end(term: Any, domain: Domain) -> Surface:
    if not isinstance(term.condition, Periodic):
        return term.place
    upper = float(domain.bounds[1][domain.coordinates.index(term.condition.coordinate)])
    return (term.place + domain.at(**{term.condition.coordinate: upper})).within(domain)


def _holds(surface: Surface, points: Array, normals: Array) -> Mask:
    return np.any([patch.holds(points, normals) for patch in surface.patches], axis=0)


def _drawn(surface: Surface) -> Iterable[tuple[Array, Array]]:
    """Points and normals of each patch: along it in order where it is a curve, scattered where it is more."""
    for index, patch in enumerate(surface.patches):
        dimension = patch.piece.parameters
        if dimension < 2:
            unit = np.linspace(0, 1, _CURVE if dimension else 1)[:, None][:, :dimension]
        else:
            unit = fixed_points(max(16, 1 << (_CLOUD // len(surface.patches)).bit_length() - 1), dimension)
        yield surface.draw(index, unit)


def _draw_line(axes: Axes, domain: Domain, marks: Sequence[_Mark]) -> None:
    lower, upper = (float(end[0]) for end in domain.bounds)
    axes.plot([lower, upper], [0, 0], color="black", linewidth=2.5, zorder=1)
    for row, mark in enumerate(marks, start=1):
        places = np.concatenate([points[:, 0] for points, _, _ in mark.parts])
        given = mark.parts[0][1] is None
        missing = mark.colour == _GREY
        height = np.full(len(places), 0.0 if given or missing else float(row))
        axes.vlines(
            places, 0, row, color=mark.colour, linewidth=0.5 if given else 1.5, linestyle="dotted" if missing else "solid"
        )
        axes.plot(places, height, "." if given else "o", color=mark.colour, markerfacecolor="white" if missing else mark.colour)
        left = places[0] < (lower + upper) / 2
        axes.annotate(
            mark.label,
            (places[0], row),
            ((8 if left else -8), 0),
            textcoords="offset points",
            fontsize=_LABEL,
            ha="left" if left else "right",
            va="center",
            color=mark.colour if not missing else "#555555",
        )
    axes.set_ylim(-0.7, len(marks) + 0.7)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    _dress(axes, "", domain.coordinates[0], "")
    axes.grid(False)


def _draw_plane(axes: Axes, domain: Domain, marks: Sequence[_Mark]) -> None:
    view = _view(domain)
    columns = positions(view.names, domain.coordinates)
    extent = np.array([ticks[-1] - ticks[0] for ticks in view.ticks])
    step = _OUT * (np.full(2, extent.max()) if view.is_space else extent)
    mesh = np.stack([values.ravel() for values in np.meshgrid(*view.ticks)], axis=1)[:, np.argsort(columns)]
    axes.contourf(*view.ticks, domain.distance(mesh).reshape(view.inside.shape), levels=[-np.inf, 0], colors=[_INSIDE])
    for mark in marks:
        label: str | None = mark.label
        for points, normals, rank in mark.parts:
            places = points[:, columns]
            if normals is None:
                axes.plot(*places.T, "o", markersize=3, color=mark.colour, label=label)
            else:
                out = normals[:, columns] * step
                line = _broken(places + rank[:, None] * out, extent)
                width = 1.8 if mark.colour == _GREY else 2.6
                axes.plot(*line.T, color=mark.colour, linestyle=mark.style, linewidth=width, label=label)
                if mark.colour != _GREY:
                    _arrows(axes, places, out, rank, normals[:, positions(domain.spatial, domain.coordinates)], mark.colour)
            label = None
    _dress(axes, "", *view.names)
    axes.grid(False)
    axes.margins(0.08)
    axes.set_aspect("equal" if view.is_space else "auto")
    axes.figure.legend(loc="outside lower left", fontsize=_LABEL, frameon=False)


def _broken(line: Array, extent: Array) -> Array:
    """A line with gaps where neighbours lie far apart."""
    gaps = np.linalg.norm(np.diff(line, axis=0) / extent, axis=1)
    return np.insert(line, np.flatnonzero(gaps > 3 * np.median(gaps)) + 1, np.nan, axis=0) if len(gaps) else line


def _arrows(axes: Axes, places: Array, out: Array, rank: Array, normals: Array, colour: str) -> None:
    some = np.linspace(0, len(places) - 1, 9).astype(int)[1:-1:2]
    some = some[(rank[some] == 0) & np.any(normals[some] != 0, axis=1)]
    axes.quiver(*places[some].T, *(3 * out[some]).T, color=colour, angles="xy", scale_units="xy", scale=1, width=0.004)


def _draw_space(figure: Figure, domain: Domain, marks: Sequence[_Mark]) -> None:
    names = domain.coordinates if domain.dimension == 3 else domain.spatial[:3]
    columns = positions(names, domain.coordinates)
    axes: Any = figure.add_subplot(projection="3d")
    for mark in marks:
        points = np.concatenate([points for points, _, _ in mark.parts])[:, columns]
        axes.scatter(*points.T, s=4, color=mark.colour, label=mark.label, alpha=0.5)
    title = "" if domain.dimension == 3 else f"projected on {', '.join(names)}"
    _dress(axes, title, names[0], names[1], grid=False)
    axes.set_zlabel(names[2], fontsize=_LABEL)
    figure.legend(loc="outside lower left", fontsize=_LABEL, frameon=False)


# --- figures ---------------------------------------------------------------------------------------------------------


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    setattr(figure, "_repr_png_", partial(_png, figure))  # noqa: B010 - a notebook asks for this, and Figure lacks it
    return figure


def _png(figure: Figure) -> bytes:
    from io import BytesIO

    figure.savefig(buffer := BytesIO(), format="png")
    return buffer.getvalue()


def _arranged(rows: Sequence[Sequence[Panel]], flow: Sequence[Panel], ratio: float) -> Figure:
    """A row for each field, then the other panels as they fit, the last one over what is left of its row."""
    columns = max(2, *map(len, rows))
    more = -(-len(flow) // columns)
    figure = _figure(3.7 * columns, 0.8 + (3.0 * ratio + 0.6) * (len(rows) + more))
    grid = figure.add_gridspec(len(rows) + more, columns)
    for i, row in enumerate(rows):
        for j, panel in enumerate(row):
            panel(figure.add_subplot(grid[i, j]))
    for k, panel in enumerate(flow):
        i, j = divmod(k, columns)
        panel(figure.add_subplot(grid[len(rows) + i, j : j + 1 if k < len(flow) - 1 else columns]))
    return figure


def _headline(figure: Figure, lines: Sequence[str]) -> None:
    width = int(14 * figure.get_figwidth())
    text = "\n".join(textwrap.fill(line, width) for line in lines)
    figure.suptitle(text, x=0.01, ha="left", fontsize=_TITLE)


def _target(path: str | Path | None, error: type[PinnError]) -> Path | None:
    if path is not None and Path(path).suffix.lower() not in _SUFFIXES:
        raise error(f"plot() writes {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]} files; got {str(path)!r}. Rename it.")
    return None if path is None else Path(path)


def _written(figure: Figure, target: Path | None) -> Figure:
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target, dpi=160)
    return figure
