"""scripts/reliability.py: what it counts, and that a step of Gauss-Newton takes the memory that docs/devices.md promises."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from reliability import Timer

ROOT = Path(__file__).parents[1]


def test_a_call_within_a_call_is_counted_once():
    class Work:
        def outer(self):
            time.sleep(0.02)
            self.inner()

        def inner(self):
            time.sleep(0.02)

    timer = Timer(Work, "outer", "inner")
    began = time.perf_counter()
    Work().outer()
    Work().inner()
    assert 0.06 <= timer.seconds <= time.perf_counter() - began
    assert timer.calls == {"outer": 1, "inner": 2}


def measured(*arguments):
    command = [sys.executable, str(ROOT / "scripts" / "reliability.py"), *map(str, arguments)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=1700)
    return json.loads(found.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_four_times_as_many_points_take_no_more_memory():
    """Their Jacobians would be 4 times as large: 0.8 and 3.2 GB more than what is held."""
    few, many = (measured("memory", "--parameters", 1000, "--points", points) for points in (100_000, 400_000))
    assert many["whole Jacobian, MiB"] > 3000
    assert many["assembled, MiB"] - few["assembled, MiB"] < 0.1 * (many["whole Jacobian, MiB"] - few["whole Jacobian, MiB"])
    assert many["step, MiB"] < many["whole Jacobian, MiB"]


@pytest.mark.slow
def test_checkpoints_cost_little():
    found = measured("checkpoints", "exam_ode", "--time-limit", 20)
    assert found["calls of save"] > 0 and found["bytes of the last"] > 0
    assert found["share"] < 0.03
