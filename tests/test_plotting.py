"""Pictures of solutions and problems: what is drawn is what was found, and what is missing is shown."""

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import pinn
from pinn import Box, Data, Dirichlet, Disk, Initial, Interval, Neumann, Parameter, Periodic, Problem, d, laplacian
from pinn.errors import ProblemError, SolutionError
from pinn.history import History, Record
from pinn.plotting import plot_problem, plot_solution

ROOT = Path(__file__).parents[1]
LINE = Interval(x=(0, 1))
SQUARE = Box(x=(0, 2), y=(0, 1))
HOLE = Disk(x=1, y=0.5, radius=0.2)
STRIP = Box(t=(0, 1), x=(0, 2))
CUBE = Box(x=(0, 1), y=(0, 1), z=(0, 4))


@dataclass(frozen=True)
class Made:
    """A solution made of formulas: all that a picture asks of one, without a solve. It refuses points outside of its domain."""

    problem: Problem
    formulas: dict[str, Any]
    history: History
    status: str = "made of formulas"
    trust: str = "trusted: by hand"

    @property
    def error_estimate(self):
        return dict.fromkeys(self.problem.fields, 1e-3)

    @property
    def parameters(self):
        return dict.fromkeys(self.problem.parameters, 0.25)

    def __call__(self, **points):
        assert self.problem.domain.contains(np.stack(list(points.values()), axis=1), tolerance=1e-8).all()
        out = {name: formula(**points) for name, formula in self.formulas.items()}
        return out if len(out) > 1 else next(iter(out.values()))

    def residual(self, **points):
        labels = self.problem.equations
        values = [1e-6 * np.cos(k + sum(points.values())) for k in range(len(labels))]
        return dict(zip(labels, values, strict=True)) if any(labels) else values[0]


class Unsolvable(Made):
    """As it is loaded without its problem."""

    def residual(self, **points):
        raise SolutionError("It has no equations.")


def made_history() -> History:
    history = History()
    for record in (
        Record("features", 0, 1.0, held_out=1e-1),
        Record("features", 1, 2.0, held_out=1e-2),
        Record("features", 2, 2.5, held_out=5e-2),
        Record("estimate", 3, 3.0, held_out=1e-2, estimate=3e-3),
        Record("gauss-newton", 5, 4.0, loss=1e-5, held_out=1e-3),
        Record("gauss-newton", 10, 5.0, loss=1e-7, held_out=1e-4),
    ):
        history.add(record)
    return history


def poisson(domain, conditions, **options):
    def plane(u, x, y):
        return laplacian(u, x, y) + 1

    def space(u, x, y, z):
        return laplacian(u, x, y, z) + 1

    return Problem(fields="u", domain=domain, residual=(plane, space)[domain.dimension - 2], conditions=conditions, **options)


def waves(conditions, **options):
    def residual(u, v, t, x):
        return {"first": d(u, t) - d(v, x), "second": d(v, t) - d(u, x)}

    return Problem(fields="u v", domain=STRIP, residual=residual, conditions=conditions, name="waves", **options)


def decay(domain, rate=lambda k: k, **options):
    def residual(y, t, k):
        return d(y, t) + rate(k) * y

    return Problem(fields="y", domain=domain, residual=residual, name="decay", **options)


def bump(x, y):
    return np.sin(3 * x) * y


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def panel(figure, title):
    (found,) = [axes for axes in figure.axes if axes.get_title(loc="left") == title]
    return found


def curve(axes, label):
    (found,) = [line for line in axes.lines if line.get_label() == label]
    return found


def cells(axes):
    """The values of a map, and the coordinates of its cells."""
    (image,) = axes.images
    values, (left, right, low, high) = image.get_array(), image.get_extent()
    centres = [(np.arange(n) + 0.5) / n for n in values.shape]
    return values, *np.meshgrid(left + (right - left) * centres[1], low + (high - low) * centres[0])


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def drawn(figure, label):
    """All points drawn for one condition: only the first line of each has its name."""
    points, on = [], False
    for line in figure.axes[0].lines:
        on = line.get_label() == label or (on and line.get_label().startswith("_child"))
        points += [line.get_xydata()] if on else []
    points = np.concatenate(points)
    return points[np.isfinite(points).all(axis=1)]


@pytest.fixture(scope="module")
def ode():
    """Solved and then spoilt, so that its error is far above round-off and what corrects it is known."""
    problem = Problem(
        fields="y",
        domain=LINE,
        residual=lambda y, x: d(y, x, x) + y,
        conditions=[Dirichlet(y=0.0, on=LINE.at(x=0)), Dirichlet(y=1.0, on=LINE.at(x=1))],
        reference=lambda x: np.sin(x) / np.sin(1),
        name="swing",
    )
    solution = pinn.solve(problem, tol=1e-6, progress=False)
    return replace(solution, weights=jax.tree.map(lambda array: array * 1.001, solution.weights))


@pytest.fixture(scope="module")
def ode_figure(ode):
    return ode.plot()


@pytest.fixture(scope="module")
def holed():
    domain = SQUARE - HOLE
    walls = [Dirichlet(u=0.0, on=domain.boundary)]
    return Made(poisson(domain, walls, reference=lambda x, y: bump(x, y) + 1e-4 * x), {"u": bump}, made_history())


@pytest.fixture(scope="module")
def holed_figure(holed):
    return plot_solution(holed)


# --- solutions in one coordinate -------------------------------------------------------------------------------------


def test_one_coordinate_has_solution_error_residual_and_history(ode_figure):
    assert titles(ode_figure) == ["y", "y: error", "residual", "history"]
    assert [axes.get_xlabel() for axes in ode_figure.axes] == ["x", "x", "x", "seconds"]
    assert [axes.get_yscale() for axes in ode_figure.axes] == ["linear", "log", "log", "log"]


def test_the_title_says_how_it_ended_and_how_far_to_trust_it(ode, ode_figure):
    said = f"swing: {ode.status} estimated relative error: y {ode.error_estimate['y']:.1e}; {ode.trust}"
    assert ode_figure.get_suptitle().replace("\n", " ") == said


def test_lines_are_the_solution_and_its_reference(ode, ode_figure):
    found, known = (curve(panel(ode_figure, "y"), label) for label in ("solution", "reference"))
    x = found.get_xdata()
    assert (x[0], x[-1]) == (0, 1)
    np.testing.assert_array_equal(found.get_ydata(), ode(x=x))
    np.testing.assert_allclose(known.get_ydata(), np.sin(x) / np.sin(1))
    assert found.get_linestyle() != known.get_linestyle()


def test_the_true_and_the_estimated_error_are_drawn_together(ode, ode_figure):
    axes = panel(ode_figure, "y: error")
    true, estimated = (curve(axes, label).get_ydata() for label in ("error", "estimated error"))
    x = curve(axes, "error").get_xdata()
    size = np.abs(ode(x=x) - np.sin(x) / np.sin(1))
    seen = size > axes.get_ylim()[0]
    np.testing.assert_allclose(true[seen], size[seen])
    np.testing.assert_allclose(estimated[seen], size[seen], rtol=1e-3)


def test_the_residual_is_that_of_the_equation(ode, ode_figure):
    (line,) = panel(ode_figure, "residual").lines
    size = np.abs(ode.residual(x=line.get_xdata()))
    seen = size > panel(ode_figure, "residual").get_ylim()[0]
    np.testing.assert_allclose(line.get_ydata()[seen], size[seen])


def test_without_a_reference_the_estimated_error_alone_is_drawn(ode):
    alone = Problem(fields="y", domain=LINE, residual=ode.problem.residual, conditions=ode.problem.conditions)
    figure = plot_solution(replace(ode, problem=alone))
    assert titles(figure) == ["y", "y: error", "residual", "history"]
    assert [line.get_label() for line in panel(figure, "y: error").lines] == ["estimated error"]
    assert [line.get_label() for line in panel(figure, "y").lines] == ["solution"]


def test_data_and_unknown_parameters_are_shown():
    data = Data(t=[0.1, 0.5], y=[0.9, 0.6], name="readings")
    problem = decay(Interval(t=(0, 1)), parameters={"k": Parameter(1.0)}, conditions=[Initial(y=1.0), data])
    figure = plot_solution(Made(problem, {"y": lambda t: np.exp(-t)}, made_history()))
    np.testing.assert_array_equal(curve(panel(figure, "y"), "readings").get_xydata(), [[0.1, 0.9], [0.5, 0.6]])
    assert "k = 0.25" in figure.get_suptitle().splitlines()


# --- maps ------------------------------------------------------------------------------------------------------------


def test_two_coordinates_have_maps(holed_figure):
    assert titles(holed_figure) == ["u", "u: reference", "u: error, at most 2.0e-04", "|residual|, at most 1.0e-06", "history"]
    assert all((axes.get_xlabel(), axes.get_ylabel()) == ("x", "y") for axes in holed_figure.axes[:-1])
    assert all(axes.get_aspect() == 1 for axes in holed_figure.axes[:-1])


def test_maps_are_the_values_inside_and_nothing_outside(holed, holed_figure):
    values, x, y = cells(panel(holed_figure, "u"))
    assert np.ptp(x) == pytest.approx(2) and np.ptp(y) == pytest.approx(1)
    inside = holed.problem.domain.contains(np.stack([x.ravel(), y.ravel()], axis=1), tolerance=1e-9).reshape(x.shape)
    np.testing.assert_array_equal(values.mask, ~inside)
    np.testing.assert_allclose(values[inside], bump(x, y)[inside], atol=1e-12)
    error, *_ = cells(panel(holed_figure, "u: error, at most 2.0e-04"))
    np.testing.assert_allclose(error[inside], -1e-4 * x[inside], atol=1e-12)


def test_scales_can_be_compared(holed_figure):
    (found,), (known,) = (panel(holed_figure, title).images for title in ("u", "u: reference"))
    assert found.get_clim() == known.get_clim()
    (error,) = panel(holed_figure, "u: error, at most 2.0e-04").images
    assert error.get_clim()[0] == -error.get_clim()[1]
    (residual,) = panel(holed_figure, "|residual|, at most 1.0e-06").images
    assert type(residual.norm).__name__ == "LogNorm"


def test_time_is_horizontal_and_every_field_has_a_row():
    problem = waves([Initial(u=1.0, v=0.0), Periodic("x")], reference=lambda t, x: {"u": np.cos(t) * x})
    figure = plot_solution(Made(problem, {"u": lambda t, x: t + 0 * x, "v": lambda t, x: t * x}, made_history()))
    residuals = ["|residual first|, at most 1.0e-06", "|residual second|, at most 1.0e-06"]
    assert titles(figure) == ["u", "u: reference", "u: error, at most 2.0e+00", "v", *residuals, "history"]
    assert {axes.get_xlabel() for axes in figure.axes[:-1]} == {"t"}
    values, t, _ = cells(panel(figure, "u"))
    np.testing.assert_allclose(values, t, atol=1e-12)


def test_three_coordinates_are_cut_in_the_middle_and_compared_at_random_points():
    problem = poisson(CUBE, [Dirichlet(u=0.0, on=CUBE.boundary)], reference=lambda x, y, z: x * y + z)
    figure = plot_solution(Made(problem, {"u": lambda x, y, z: x * y + z + 0.5}, made_history()))
    assert titles(figure)[-2:] == ["at 1000 random points", "history"]
    assert "maps at z = 2" in figure.get_suptitle().splitlines()
    values, x, y = cells(panel(figure, "u"))
    np.testing.assert_allclose(values, x * y + 2.5, atol=1e-12)
    known, found = panel(figure, "at 1000 random points").lines[0].get_xydata().T
    np.testing.assert_allclose(found, known + 0.5)


def test_a_cut_that_misses_the_domain_is_moved_into_it():
    domain = CUBE - Box(x=(-1, 2), y=(-1, 2), z=(1, 3))
    problem = poisson(domain, [Dirichlet(u=0.0, on=domain.boundary)])
    figure = plot_solution(Made(problem, {"u": lambda x, y, z: x + z}, made_history()))
    values, *_ = cells(panel(figure, "u"))
    assert not values.mask.any()


def test_what_was_loaded_without_its_problem_has_values_and_history(holed):
    bare = poisson(holed.problem.domain, holed.problem.conditions)
    assert titles(plot_solution(Unsolvable(bare, {"u": bump}, made_history()))) == ["u", "history"]
    assert titles(plot_solution(Unsolvable(bare, {"u": bump}, History()))) == ["u", "history"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, 1.0, np.nan], ids=["zero", "constant", "undefined in places"])
def test_fields_without_a_scale_are_drawn(value):
    def field(x, y):
        return np.where(x < 1, value, 1.0)

    def flat(**points):
        return 0 * points["x"]

    solution = Made(poisson(SQUARE, [Dirichlet(u=0.0, on=SQUARE.boundary)], reference=field), {"u": field}, made_history())
    object.__setattr__(solution, "residual", flat)
    assert len(plot_solution(solution).axes) == 5


# --- history ---------------------------------------------------------------------------------------------------------


def test_history_shows_every_phase_and_no_undefined_loss(holed_figure):
    axes = panel(holed_figure, "history")
    np.testing.assert_array_equal(curve(axes, "loss").get_xydata(), [[4.0, 1e-5], [5.0, 1e-7]])
    np.testing.assert_array_equal(curve(axes, "estimated error").get_xydata(), [[3.0, 3e-3]])
    np.testing.assert_array_equal(curve(axes, "held-out residual").get_ydata(), [1e-1, 1e-2, 5e-2])
    np.testing.assert_array_equal(curve(axes, "best of the phase").get_ydata(), [1e-1, 1e-2, 1e-2])
    assert [text.get_text().strip() for text in axes.texts] == ["features", "gauss-newton"]
    assert [band.get_width() for band in axes.patches] == [2.5, 2.5]


# --- problems --------------------------------------------------------------------------------------------------------


def test_conditions_are_drawn_where_they_hold():
    domain = SQUARE - HOLE
    wall = Dirichlet(u=0.0, on=SQUARE.at(x=(0, 2)), name="wall")
    figure = poisson(domain, [wall, Neumann(u=0.0, on=HOLE.boundary, name="hole")], name="plate").plot()
    assert legend(figure) == ["wall", "hole", "no condition"]
    assert figure.get_suptitle().splitlines()[0] == "plate"
    x, y = drawn(figure, "wall").T
    assert set(x) == {0.0, 2.0} and y.min() < 0.01 and y.max() > 0.99
    np.testing.assert_allclose(np.linalg.norm(drawn(figure, "hole") - [1, 0.5], axis=1), 0.2)
    x, y = drawn(figure, "no condition").T
    assert set(y) == {0.0, 1.0} and x.min() < 0.01 and x.max() > 1.99


def test_a_part_without_a_condition_is_marked():
    lower = Dirichlet(u=0.0, on=SQUARE.at(x=0, where=lambda y: y < 0.5) + SQUARE.at(x=2) + SQUARE.at(y=(0, 1)))
    x, y = drawn(plot_problem(poisson(SQUARE, [lower])), "no condition").T
    assert set(x) == {0.0} and y.min() == pytest.approx(0.5, abs=0.01)


def test_a_boundary_with_conditions_everywhere_has_no_mark():
    figure = plot_problem(poisson(SQUARE, [Dirichlet(u=0.0, on=SQUARE.boundary, name="all")]))
    assert legend(figure) == ["all"]


def test_two_conditions_on_one_place_are_seen_side_by_side():
    conditions = [Dirichlet(u=0.0, v=0.0, on=STRIP.at(x=0), name="one"), Dirichlet(v=1.0, on=STRIP.at(x=2), name="two")]
    conditions += [Neumann(u=0.0, on=STRIP.at(x=2), name="three"), Initial(u=0.0, v=0.0)]
    figure = plot_problem(waves(conditions))
    assert set(drawn(figure, "two")[:, 1]) == {2.0}
    assert (drawn(figure, "three")[:, 1] > 2).all()


def test_normals_point_out_of_the_domain():
    figure = plot_problem(poisson(SQUARE - HOLE, [Dirichlet(u=0.0, on=(SQUARE - HOLE).boundary)]))
    arrows = [artist for artist in figure.axes[0].collections if hasattr(artist, "U")]
    ends = [np.stack([a.X + a.U, a.Y + a.V], axis=1) for a in arrows]
    assert len(np.concatenate(ends)) >= 15
    assert not (SQUARE - HOLE).contains(np.concatenate(ends)).any()


def test_the_end_of_time_needs_no_condition_and_periodic_ends_have_one():
    figure = plot_problem(waves([Initial(u=1.0, v=0.0, name="start"), Periodic("x", name="ring")]))
    assert legend(figure) == ["start", "ring", "end of time"]
    assert set(drawn(figure, "ring")[:, 1]) == {0.0, 2.0}
    assert set(drawn(figure, "end of time")[:, 0]) == {1.0}


def test_data_are_dots_and_unknown_numbers_are_named():
    data = Data(t=[0.1, 0.5], x=[0.2, 1.5], u=[0.9, 0.6], name="readings")

    def residual(u, t, x, speed):
        return d(u, t) + speed * d(u, x)

    problem = Problem(fields="u", domain=STRIP, residual=residual, conditions=[data], parameters={"speed": Parameter(1.0)})
    figure = problem.plot()
    assert legend(figure) == ["readings", "no condition", "end of time"]
    np.testing.assert_array_equal(drawn(figure, "readings"), [[0.1, 0.2], [0.5, 1.5]])
    assert "unknown: speed" in figure.get_suptitle().splitlines()


def test_one_coordinate_has_its_ends_labelled():
    problem = decay(Interval(t=(0, 1)), conditions=[Initial(y=1.0, name="start")], constants={"k": 1.0})
    (axes,) = plot_problem(problem).axes
    assert [(text.get_text().strip(), text.get_position()[0]) for text in axes.texts] == [("start", 0), ("end of time", 1)]
    assert axes.get_xlabel() == "t"


def test_space_is_shown_in_three_dimensions():
    sides = Dirichlet(u=0.0, on=CUBE.at(x=(0, 1)) + CUBE.at(y=(0, 1)) + CUBE.at(z=4, where=lambda x: x < 0.5), name="sides")
    figure = plot_problem(poisson(CUBE, [Dirichlet(u=0.0, on=CUBE.at(z=0), name="floor"), sides]))
    assert legend(figure) == ["floor", "sides", "no condition"]
    (axes,) = figure.axes
    assert [axes.get_xlabel(), axes.get_ylabel(), axes.get_zlabel()] == ["x", "y", "z"]
    floor, _, rest = (np.stack(artist._offsets3d, axis=1) for artist in axes.collections)
    assert set(floor[:, 2]) == {0.0}
    assert set(rest[:, 2]) == {4.0} and rest[:, 0].min() >= 0.5


def test_long_names_and_thin_domains_stay_readable():
    channel = Box(x=(0, 50), y=(0, 1))
    figure = plot_problem(poisson(channel, [Dirichlet(u=0.0, on=channel.boundary, name="no slip " * 20)]))
    assert max(map(len, legend(figure)[0].splitlines())) <= 80
    assert figure.axes[0].get_aspect() == "auto"


# --- files and figures -----------------------------------------------------------------------------------------------

STARTS = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml", "PNG": b"\x89PNG"}


@pytest.mark.parametrize("suffix", STARTS)
def test_a_file_is_written_and_the_figure_given_back(suffix, tmp_path):
    path = tmp_path / "new folder" / f"plate.{suffix}"
    figure = poisson(SQUARE, [Dirichlet(u=0.0, on=SQUARE.boundary)]).plot(path)
    assert path.read_bytes().startswith(STARTS[suffix])
    assert type(figure).__name__ == "Figure"


def test_a_solution_is_written_too(holed, tmp_path):
    plot_solution(holed, str(tmp_path / "holed.png"))
    assert (tmp_path / "holed.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("plot", "error"),
    [(lambda holed: plot_solution(holed, "a.bmp"), SolutionError), (lambda h: h.problem.plot("a.bmp"), ProblemError)],
)
def test_an_unknown_suffix_is_told_what_is_possible(plot, error, holed):
    with pytest.raises(error, match=r"plot\(\) writes \.png, \.pdf or \.svg files; got 'a\.bmp'"):
        plot(holed)


def test_a_notebook_shows_the_figure(ode_figure):
    assert ode_figure._repr_png_().startswith(b"\x89PNG")


def test_pyplot_is_never_imported():
    code = """
import sys, pinn
assert "matplotlib" not in sys.modules
box = pinn.Box(x=(0, 1), y=(0, 1), z=(0, 1))
for domain, residual in (
    (pinn.Box(x=(0, 1), y=(0, 1)), lambda u, x, y: pinn.laplacian(u, x, y)),
    (box, lambda u, x, y, z: pinn.laplacian(u, x, y, z)),
):
    pinn.Problem(fields="u", domain=domain, residual=residual, conditions=[pinn.Dirichlet(u=0.0, on=domain.boundary)]).plot()
assert "matplotlib.figure" in sys.modules
print("matplotlib.pyplot" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False"]
