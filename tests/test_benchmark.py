"""scripts/benchmark.py: what is measured again, and what becomes of solves that fail. The solves themselves are made up."""

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

import problems

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "benchmark.py"

_spec = importlib.util.spec_from_file_location("benchmark", SCRIPT)
assert _spec is not None and _spec.loader is not None
benchmark = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(benchmark)


def made_up(name: str, key: int, limit: float, folder: Path) -> dict:
    if name == "burgers" and key == 1:
        return {"name": name, "key": key, "limit": limit, "failed": "MemoryError"}
    numbers = {"nu": {"found": 1.0 + key / 100, "true": 1.0, "interval": (0.99 + key / 100, 1.02)}} if name == "burgers" else {}
    return {
        "name": name,
        "key": key,
        "limit": limit,
        "true": {"u": 10.0 ** -(3 + key), "v": 1e-9},
        "estimate": {"u": 2 * 10.0 ** -(3 + key), "v": 1e-9},
        "trust": "rough" if key else "trusted",
        "reason": "",
        "status": "settled",
        "seconds": 10.0 + key,
        "compiling": 1.0,
        "memory": 500.0,
        "unknown": numbers,
        "warnings": [],
    }


@pytest.fixture
def solved(monkeypatch):
    """The solves that were asked for."""
    asked = []

    def solve(name, key, limit, folder):
        asked.append((name, key))
        return made_up(name, key, limit, folder)

    monkeypatch.setattr(benchmark, "in_own_process", solve)
    return asked


def test_the_table_of_all_keys(solved, tmp_path, capsys):
    assert benchmark.main(["wave", "burgers", "--time-limit", "7", "--output", str(tmp_path)]) == 0
    table = (tmp_path / "problems.md").read_text()
    assert table in capsys.readouterr().out
    assert "| wave | 3 | 1.0e-04 | 1.0e-03 | 2.0e-04 | 2 | 2 rough, 1 trusted | settled | 11 | 1 | 500 | 1.2e-15 (DSGNAR" in table
    assert "| burgers | 3 | 5.1e-04" in table and "2 settled, 1 failed" in table and "burgers failed: MemoryError" in table
    assert "| burgers | nu | 1 | 1.0e-02 | 2.0e-02 | 1 of 2 |" in table
    content = json.loads((tmp_path / "problems.json").read_text())
    assert [row["problem"] for row in content["rows"]] == ["wave", "burgers"] and content["limit"] == 7


def test_it_continues_where_it_was(solved, tmp_path):
    benchmark.main(["wave", "--keys", "2", "--output", str(tmp_path)])
    assert solved == [("wave", 0), ("wave", 1)]
    benchmark.main(["wave", "burgers", "--keys", "2", "--output", str(tmp_path)])
    assert solved[2:] == [("burgers", 0), ("burgers", 1)]
    benchmark.main(["wave", "--keys", "1", "--time-limit", "5", "--output", str(tmp_path)])
    assert solved[4:] == [("wave", 0)], "another time limit is another measurement"


def test_the_gallery(solved, tmp_path):
    (tmp_path / "wave.png").write_bytes(b"a picture")
    rows = [benchmark.summary("wave", [made_up("wave", 0, 1.0, tmp_path)])]
    benchmark.gallery(rows, tmp_path, tmp_path / "docs")
    page = (tmp_path / "docs" / "gallery.md").read_text()
    assert (
        "## wave\n" in page and "![wave](gallery/wave.png)" in page and "True error 1.0e-03, estimated 2.0e-03 (trusted)" in page
    )
    assert (tmp_path / "docs" / "gallery" / "wave.png").read_bytes() == b"a picture"


def test_a_field_without_a_reference_is_no_error_of_zero():
    assert math.isnan(benchmark.worst({})) and math.isnan(benchmark.worst({"u": math.nan, "p": 1.0}))
    lost = benchmark.summary("wave", [{"name": "wave", "key": 0, "limit": 1.0, "failed": "killed"}])
    assert lost["status"] == "failed" and math.isnan(lost["true error"])


def test_published_records_belong_to_problems():
    records = json.loads(benchmark.RECORDS.read_text())
    assert set(records) <= set(problems.names())
    assert all(record["error"] > 0 and record["source"] for record in records.values())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("wav", "There is no problem 'wav'"),
        ("wave:sped=3", "wave has the parameters 'speed', 'overtone', 'amplitude'; got 'sped'"),
        ("wave:speed", "needs NAME=VALUE"),
    ],
)
def test_an_unknown_problem_returns_2(words, told, capsys):
    assert benchmark.main([words]) == 2
    assert told in capsys.readouterr().err


def test_parameters_of_a_problem(tmp_path):
    run = benchmark.measure("exam_ode:b=2.0,length=2", 1, 60.0, tmp_path)
    assert run["name"] == "exam_ode:b=2.0,length=2" and run["true"]["y"] < 1e-11
    assert benchmark.summary(run["name"], [run])["published"] == "none found"


@pytest.mark.slow
def test_one_solve_in_its_own_process(tmp_path):
    command = [sys.executable, str(SCRIPT), "exam_ode", "--keys", "1", "--time-limit", "60", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "runs.jsonl").read_text())
    assert run["true"]["y"] < 1e-11 and 0 < run["compiling"] < run["seconds"] and 100 < run["memory"] < 5000
    assert (tmp_path / "exam_ode.png").stat().st_size > 1000
