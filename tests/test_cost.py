"""scripts/cost.py: what is counted, that a stopped measurement goes on, and one method on the exam's equation."""

import json
import math

import cost
import numpy as np
import pytest

CURVE = [{"seconds": 2.0, "error": 0.5}, {"seconds": 4.0, "error": 1e-3}, {"seconds": 8.0, "error": 2e-3}]


def line(power, factor=1e-3):
    return [{"size": n, "seconds": factor * n**power} for n in (100, 200, 400, 800)]


def test_the_first_point_below_an_error():
    assert cost.first_below(CURVE, 0.6) == 2 and cost.first_below(CURVE, 1e-3) == 4
    assert math.isinf(cost.first_below(CURVE, 1e-4)) and math.isinf(cost.first_below([], 1.0))


@pytest.mark.parametrize("power", [1.0, 2.5])
def test_an_exponent_is_that_of_the_larger_half(power):
    points = line(power)
    points[0]["seconds"] *= 100  # what costs the same at every size counts for little at the larger ones
    assert cost.exponent(points) == pytest.approx(power)


def test_every_method_has_a_curve_for_each_problem_and_key():
    found = cost.jobs(["methods"], 2, 5.0)
    assert len(found) == len(set(found)) == 2 * len(cost.PROBLEMS) * (len(cost.METHODS) + 1)
    assert {job[1] for job in cost.jobs(["scaling"], 1, 5.0)} == set(cost.SCALED)


def test_a_stopped_measurement_goes_on_and_failures_are_written_down(monkeypatch, tmp_path):
    asked = []

    def told(command, patience):
        asked.append(json.loads(command[-1]))
        yield from ([{"failed": "why"}] if asked[-1][0] == "Adam" else CURVE)

    monkeypatch.setattr(cost, "told", told)
    wanted = [(way, "burgers", 0, 5.0) for way in ("Adam", "L-BFGS", "SSBroyden")]
    cost.run_all(wanted[:2], tmp_path)
    runs = cost.run_all(wanted, tmp_path)
    assert [job[0] for job in asked] == ["Adam", "L-BFGS", "SSBroyden"]
    assert runs[0]["failed"] == "why" and runs[0]["points"] == [] and runs[2]["points"] == CURVE


def test_the_page(tmp_path, capsys):
    keys = [{"job": [way, name, 0, 5.0], "points": CURVE} for way in (*cost.METHODS, cost.SOLVE) for name in cost.PROBLEMS]
    runs = keys + [{"job": ["scaling", name, 0, 0.0], "points": line(2.0)} for name in cost.SCALED]
    cost.write(runs, ["methods", "scaling"], tmp_path)
    cost.publish(["methods", "scaling"], tmp_path, tmp_path / "docs")
    page = (tmp_path / "docs" / "cost.md").read_text(encoding="utf-8")
    assert "| burgers | SSBroyden | 4 s | 4 s | 4 s | - | - | - | 1.0e-03 | 4 s |" in page and "| 2.00 |" in page
    assert {path.name for path in (tmp_path / "docs" / "cost").iterdir()} == {"methods.png", "scaling.png"}


@pytest.mark.slow
def test_a_method_is_measured_as_it_trains():
    points = list(cost.measure("SSBroyden", "exam_ode", 0, 20.0))
    seconds, errors = (np.array([point[name] for point in points]) for name in ("seconds", "error"))
    assert np.all(np.diff(np.log(seconds)) > np.log(cost.APART)) and errors.min() < 1e-6 and errors[-1] < errors[0]
