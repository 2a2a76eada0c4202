"""scripts/denoising_benchmark.py: no estimator is above the exact limit, and one that cheats is found out."""

import json

import _baselines
import denoising_benchmark as benchmark
import numpy as np
import pytest

from problems.denoising import gaussian_process, piecewise_constant

FAMILIES = {
    "process": lambda: gaussian_process.problem(sensors=32),
    "steps": lambda: piecewise_constant.problem(sigma=0.25, sensors=32),
}


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES])
def signals(request):
    problem = FAMILIES[request.param]()
    *arrays, sigma = benchmark.drawn(problem, 900, 1)
    return request.param, *((*(a[part] for a in arrays), sigma) for part in (slice(300, None), slice(300)))


def test_classical_denoisers_gain_something_and_stay_below_the_limit(signals):
    family, (noisy, clean, _, sigma), tested = signals
    for name in ("best linear", "Savitzky-Golay", "GCV spline"):
        found = benchmark.score(_baselines.BASELINES[name](noisy, clean, sigma)(tested[0]), *tested[1:])
        assert found["leak"] < benchmark.SURE, name
        assert found["gain"] > (0.5 if family == "process" else -3.0), name
        assert found["gap"] > 0


def test_who_sees_a_little_of_the_clean_signal_is_found_out(signals):
    _, _, (_, clean, mean, sigma) = signals
    found = benchmark.score(0.9 * mean + 0.1 * clean, clean, mean, sigma)
    assert found["gain"] - found["limit"] == pytest.approx(-20 * np.log10(0.9), abs=1e-9)
    assert found["leak"] > benchmark.SURE
    assert benchmark.score(mean, clean, mean, sigma)["leak"] == 0.0
    run = {"name": "process", "key": 0, "tests": {"64 sensors": found}}
    assert benchmark.leaks([run], {}) == 1
    assert benchmark.leaks([run | {"tests": {"64 sensors": found | {"leak": 1.0}}}], {"process": {}}) == 0


def test_the_table_is_written_as_markdown_and_json(tmp_path):
    score = {"gain": 7.3, "limit": 7.4, "gap": 0.1, "leak": -3.0, "µs": 20.0}
    tests = {label: score for label in benchmark.ROWS["process"].tests}
    runs = [{"name": "process", "key": key, "tests": tests, "seconds": 1.0} for key in (0, 1)]
    slow = {label: {"ML GP": score | {"gain": 7.2, "µs": 4000.0}} for label in tests}
    benchmark.write(runs, {"process": slow}, 60, tmp_path)
    lines = (tmp_path / "denoising.md").read_text(encoding="utf-8").splitlines()
    assert lines[4].startswith("| process | 64 sensors | 7.40 | 7.30 | 0.100 | 0.100 | 0.03 missed |")
    assert lines[4].endswith("| 7.20 | 20 | 200 |")
    assert json.loads((tmp_path / "denoising.json").read_text(encoding="utf-8"))["runs"] == runs


def test_a_missing_library_is_named_with_the_extra_that_brings_it():
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'pinn\[denoising\]'"):
        _baselines.needed("no_such_library")
    assert _baselines.needed("json") is json
