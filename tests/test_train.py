"""scripts/train.py: what it writes, prints and returns."""

import csv
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import pinn

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "train.py"

_spec = importlib.util.spec_from_file_location("train", SCRIPT)
assert _spec is not None and _spec.loader is not None
train = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(train)


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setenv("PINN_CACHE", "0")


@pytest.fixture
def run(tmp_path, capsys):
    """Run the command in this process: exit code, what it printed, its warnings and errors, and where it wrote."""

    def command(*arguments: str) -> tuple[int, str, str, Path]:
        folder = tmp_path / "run"
        try:
            code = train.main([*arguments, *(("--output", str(folder)) if arguments else ())])
        except SystemExit as exit:  # argparse
            code = exit.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err, folder

    return command


def test_a_solve_is_kept(run):
    code, out, err, folder = run("exam_ode", "-p", "length=1", "-p", "b=0.5", "--tol", "1e-6")
    assert code == 0 and not err
    for text in (
        "order 2 in x, linear",
        "built into the ansatz",
        "the tolerance was reached",
        "estimated",
        f"written to {folder}",
    ):
        assert text in out
    assert {path.name for path in folder.iterdir()} == {"solution", "solution.png", "problem.png", "history.csv", "errors.json"}
    errors = json.loads((folder / "errors.json").read_text())
    assert errors["fields"]["y"]["relative_l2"] < 1e-6
    solution = pinn.load(folder / "solution")
    assert solution.errors().to_dict() == errors and abs(float(solution(x=0.0)) - 1) < 1e-12
    rows = list(csv.DictReader((folder / "history.csv").open()))
    assert len(rows) == len(solution.history) and float(rows[-1]["estimate"]) < 1e-6


def test_a_missed_tolerance_warns_in_one_line_and_returns_1(run):
    code, out, err, folder = run("exam_ode", "-p", "length=1", "--tol", "1e-15", "--quiet")
    assert code == 1 and not out
    assert err.startswith("warning: exam_ode: the tolerance was not reached") and err.count("\n") == 1
    assert pinn.load(folder / "solution").status is pinn.Status.MISSED


@pytest.mark.slow
def test_the_textbook_recipe(run):
    recipe = ("--method", "adam", "--steps", "500", "--learning-rate", "1e-2", "--dtype", "float32", "--key", "3")
    code, out, err, folder = run("exam_ode", *recipe)
    assert code == 0 and not err and "500 steps" in out
    assert pinn.load(folder / "solution").status is pinn.Status.FINISHED


@pytest.mark.parametrize("arguments", [(), ("--list",), ("exam_ode", "--list")])
def test_the_list(run, arguments):
    code, out, err, folder = run(*arguments)
    assert code == 0 and not err and not folder.exists()
    assert "exam_ode                 The damped oscillator, held at both ends or let go from one.\n" in out


WRONG = {
    "name": (("exam_od",), r"There is no problem 'exam_od'; there are .*'exam_ode'.* Did you mean 'exam_ode'\?"),
    "parameter": (("exam_ode", "-p", "lenght=2"), r"exam_ode has the parameters 'a', .*; got 'lenght'. Did you mean 'length'\?"),
    "no value": (("exam_ode", "-p", "length"), r"needs NAME=VALUE, such as b=0.2; got 'length'"),
    "no solution": (("exam_ode", "-p", "a=0"), r"a = 0 leaves no y''"),
    "tolerance": (("exam_ode", "--tol", "-1"), r"tol must be a positive number or None; got -1.0"),
    "steps": (("exam_ode", "--steps", "5"), r"--steps needs a --method"),
    "no steps": (("exam_ode", "--method", "adam", "--steps", "0"), r"positive whole number; got 0"),
    "learning rate": (("exam_ode", "--method", "lbfgs", "--learning-rate", "1"), r"--learning-rate is for --method adam"),
    "device": (("exam_ode", "--device", "tpu"), r"--device tpu: JAX finds none here. Install the support for it: pip install"),
    "place": (("exam_ode", "--distributed", "here"), r"--distributed needs HOST:PORT,COUNT,RANK, such as .*got 'here'"),
    "method": (("exam_ode", "--method", "sgd"), r"invalid choice: 'sgd'"),
}


def test_a_folder_that_cannot_be_written_is_refused_before_the_solve(run, tmp_path):
    (tmp_path / "run").touch()
    code, out, err, _ = run("exam_ode")
    assert code == 2 and not out
    assert "is no folder that you may write to. Give another." in err


def test_a_disk_that_fills_up_says_where_the_solve_is_kept(run, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(train, "_write", full)
    code, _, err, folder = run("exam_ode", "--tol", "1e-3")
    assert code == 2
    assert f"{folder} could not be written: No space left on device. Make room or give another --output" in err


@pytest.mark.parametrize("arguments, message", WRONG.values(), ids=WRONG)
def test_wrong_use_returns_2_and_says_why(run, arguments, message):
    code, out, err, folder = run(*arguments)
    assert code == 2 and not out and not folder.exists()
    assert re.search(message, err)


def test_values_of_parameters():
    assert train.pair("b=0.2") == ("b", 0.2) and train.pair("end=None") == ("end", None)
    assert train.pair("kind=stiff") == ("kind", "stiff") and train.pair("x=(0, 1)") == ("x", (0, 1))


@pytest.mark.parametrize("method", ["adam", "lbfgs", "ssbroyden", "gauss-newton"])
def test_methods(method):
    phase = train._method(train._options(["exam_ode", "--method", method]))
    assert phase.name == method and phase.steps == train.STEPS[method]
    assert train._method(train._options(["exam_ode"])) is None


@pytest.mark.parametrize("home, used", [("cache", True), ("file", False)])
def test_the_cache_of_compilations(monkeypatch, tmp_path, home, used):
    monkeypatch.setenv("PINN_CACHE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / home))
    (tmp_path / "file").write_text("in the way")
    before = jax.config.jax_compilation_cache_dir, jax.config.jax_persistent_cache_min_compile_time_secs
    try:
        train._cache_compilations()
        assert jax.config.jax_compilation_cache_dir == (str(tmp_path / "cache" / "pinn") if used else before[0])
    finally:
        jax.config.update("jax_compilation_cache_dir", before[0])
        jax.config.update("jax_persistent_cache_min_compile_time_secs", before[1])


def test_as_a_command(tmp_path):
    command = [sys.executable, str(SCRIPT), "exam_ode", "--quiet", "--output", str(tmp_path / "exam")]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    at = np.linspace(0, 5, 11)
    assert np.all(np.isfinite(pinn.load(tmp_path / "exam" / "solution")(x=at)))
