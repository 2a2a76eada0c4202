"""scripts/calibrate.py: what counts as right, and that a stopped calibration goes on. The solves themselves are made up."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import calibrate
import numpy as np
import pytest
from _measuring import told

import pinn

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "calibrate.py"


def run(true, estimate, trust="trusted", name="exam", way="width", number=10, status="settled", warned=()):
    made = {"name": name, "key": 0, "way": way, "number": number, "limit": 30.0, "seconds": 1.0, "cpu": 1.0}
    errors = {"true": {"y": true}, "estimate": {"y": estimate}}
    return made | errors | {"trust": trust, "reason": "", "status": status, "warnings": list(warned)}


def test_a_ratio_is_the_worst_of_the_fields_and_none_at_rounding():
    both = run(0, 0) | {"true": {"u": 1e-3, "v": 1e-5}, "estimate": {"u": 2e-3, "v": 1e-6}}
    assert calibrate.ratio(both) == pytest.approx(0.1)
    assert calibrate.ratio(run(5e-14, 1e-3)) is None
    assert calibrate.ratio(run(math.nan, 1.0)) == 0, "an answer that is no number is not a good one"


def test_what_is_counted():
    runs = [
        run(1e-3, 1.9e-3),
        run(1e-3, 2.1e-3),
        run(1e-15, 1e-3),
        run(1e-6, 4e-6, "rough"),
        run(1.0, 0.05, "unknown", status="finished", way="steps", warned=["no"]),
        run(0.5, 0.04, "rough", status="missed", way="tol", number=1e-2),
        run(5e-3, 4e-3, way="tol", number=1e-2, status="reached"),
        run(2e-2, 4e-3, "unknown", way="tol", number=1e-2, status="reached"),
        run(1.0, 1e-9, "unknown", name="no_end", warned=["free"]),
        run(1e-9, 1e-9, name="no_end"),
    ]
    found = calibrate.summary(runs)
    trusted, rough = found["trust"]["trusted"], found["trust"]["rough"]
    assert (trusted["count"], trusted["rounding"], trusted["within 2"], trusted["within 5"]) == (4, 1, 2, 3)
    assert (rough["count"], rough["within 5"], rough["least"]) == (2, 1, pytest.approx(0.08))
    assert found["tol reached"] == {"count": 2, "true": 1, "within 3": 2} and found["tol missed"] == 1
    assert found["converged"] == {"count": 6, "trusted": 4} and found["converged above rounding"] == {"count": 5, "trusted": 3}
    assert found["solves above rounding"] == {"count": 2, "trusted": 1}
    assert found["below a tenth"] == {"count": 3, "silent": ["exam, tol 0.01, key 0"]}
    assert found["wrong"] == {"count": 3, "silent": ["exam, tol 0.01, key 0"]}
    assert found["ill-posed"] == {"count": 2, "silent": ["no_end, width 10, key 0"]}


def test_it_continues_where_it_was_and_survives_a_lost_process(monkeypatch, tmp_path, capsys):
    asked = []

    def in_own_process(name, jobs, limit):
        asked.append((name, list(jobs)))
        for key, _, _ in jobs:
            if key == 1 and len(asked) == 1:
                yield {"failed": "MemoryError"}
                return
            answer = run(1e-6, 2e-6)
            yield {part: answer[part] for part in ("true", "estimate", "trust", "reason", "status", "seconds", "cpu", "warnings")}

    monkeypatch.setattr(calibrate, "in_own_process", in_own_process)
    arguments = ["no_end", "--keys", "2", "--output", str(tmp_path)]
    assert calibrate.main(arguments) == 0
    levels = list(calibrate.CASES["no_end"].levels)
    assert asked[0][1] == [(key, *level) for level in levels for key in (0, 1)] and asked[1][1] == asked[0][1][2:]
    assert len((tmp_path / "runs.jsonl").read_text().splitlines()) == 2 * len(levels)
    assert "Solves that failed: 1." in (tmp_path / "calibration.md").read_text()
    assert json.loads((tmp_path / "calibration.json").read_text())["summary"]["runs"] == 2 * len(levels)
    assert len(calibrate.run_all(["no_end"], 2, calibrate.LIMIT, tmp_path)) == 2 * len(levels) and len(asked) == 2
    calibrate.publish(tmp_path, tmp_path / "docs")
    assert (tmp_path / "docs" / "calibration" / "estimate.png").stat().st_size > 1000
    assert capsys.readouterr().out in (tmp_path / "docs" / "calibration.md").read_text()


def test_what_a_process_tells_before_it_fails_or_hangs():
    dies = 'print(\'{"true": 1}\'); print("noise"); raise SystemExit("no memory")'
    assert list(told(["-c", dies], 60)) == [{"true": 1}, {"failed": "no memory"}]
    hangs = "print('{\"true\": 1}', flush=True); import time; time.sleep(60)"
    assert list(told(["-c", hangs], 5)) == [{"true": 1}, {"failed": "had not ended after 5 s"}]


def test_the_answers_that_are_not_fixed_still_solve_what_is_left():
    """The reference of a problem without one solution is one of its solutions."""
    problem = calibrate.CASES["slopes_only"].build()
    x, y = np.random.default_rng(0).uniform(size=(2, 50))
    u = problem.reference(np.stack([x, y], axis=1))["u"]
    h = 1e-4

    def at(x, y):
        return problem.reference(np.stack([x, y], axis=1))["u"]

    slope = (at(1 + 0 * y, y) - at(1 - h + 0 * y, y)) / h
    assert u == pytest.approx(np.sin(np.pi * x) * np.sin(np.pi * y))
    assert slope == pytest.approx(-np.pi * np.sin(np.pi * y), abs=1e-2)
    with pytest.warns(pinn.WellPosednessWarning):
        assert len(calibrate.CASES["no_end"].build().conditions) == 1


def test_cases_are_enough_and_an_unknown_one_is_refused(capsys):
    assert sum(case.posed for case in calibrate.CASES.values()) >= 12
    with pytest.raises(SystemExit):
        calibrate.main(["exams"])
    assert "there is no case 'exams'; there are exam, " in capsys.readouterr().err


@pytest.mark.slow
def test_answers_of_three_kinds(tmp_path):
    command = [sys.executable, str(SCRIPT), "exam", "--keys", "1", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    runs = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert len(runs) == len(calibrate.CASES["exam"].levels) and not any("failed" in run for run in runs)
    assert {run["way"] for run in runs} == {"tol", "width", "steps"}
    assert min(run["true"]["y"] for run in runs) < 1e-13 and max(run["true"]["y"] for run in runs) > 1e-2
