"""The number of devices changes nothing but the rounding of sums: in processes of their own, since it is fixed at start.

`python tests/test_devices.py` prints the table of docs/devices.md.
"""

import csv
import json
import os
import socket
import subprocess
import sys
import time
import warnings
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import pinn
from pinn import checkpoint
from pinn.devices import chosen
from pinn.errors import MethodError
from problems import exam_ode
from problems.denoising import antiderivative

HERE = Path(__file__).parent
ALLOWED = {"refined": 1e-8}  # where factors are of float32, results agree as far as refinement goes; else to 1e-10
METHODS = ("adam", "lbfgs", "ssbroyden", "gauss-newton", "features", "newton", "refined", "operator")


def started(methods, counts, devices, *processes):
    """A process with so many simulated devices."""
    paths = os.pathsep.join([str(HERE.parent), str(HERE)])
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu", "PYTHONPATH": paths}
    command = [sys.executable, str(HERE / "on_devices.py"), methods, counts, *map(str, processes)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=os.environ | flags, stdout=pipe, stderr=pipe, text=True)


def results(process, timeout=1500):
    """What it printed: by method and number of devices, values of the solution."""
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err[-3000:]
    return {(name, count): np.array(values) for name, count, values in map(json.loads, own(out))}


def own(out):
    """What a process printed itself: Gloo, which connects processes, prints too."""
    return [line for line in out.splitlines() if not line.startswith("[Gloo]")]


def agree(found, name, counts):
    for count in counts:
        allowed = ALLOWED.get(name, 1e-10) * np.max(np.abs(found[name, 1]))
        np.testing.assert_allclose(found[name, count], found[name, 1], rtol=0, atol=allowed, err_msg=f"{name}, {count} devices")


def test_two_devices_add_up_to_what_one_does():
    found = results(started("rows", "1,2", 2))
    agree(found, "rows", [2])
    x, w = np.linspace(0, 1, 31), 2.0
    known = [np.sum(np.sin(w * x) ** 2), np.sum(2 * x * np.sin(w * x) * np.cos(w * x))]
    np.testing.assert_allclose(found["rows", 2][:2], known, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", METHODS)
def test_any_number_of_devices_gives_one_result(name):
    agree(results(started(name, "1,2,4,8", 8)), name, [2, 4, 8])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_processes_train_as_one_does():
    port = free_port()
    methods = "adam,gauss-newton,features"
    both = [started(methods, "all", 1, port, 2, rank) for rank in (0, 1)]
    found, silent = (results(process) for process in both)
    found |= results(started(methods, "1", 1))
    assert silent == {}, "only the first process talks"
    for name in methods.split(","):
        agree(found, name, [2])


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def train(*options):
    """scripts/train.py on the exam's equation, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(HERE.parent), "PINN_CACHE": "0", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(HERE.parent / "scripts" / "train.py"), "exam_ode", *map(str, options)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def two_processes(*options, output):
    place = f"127.0.0.1:{free_port()},2"
    return [train(*options, "--distributed", f"{place},{rank}", "--output", output / str(rank)) for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_only_the_first_process_writes(tmp_path):
    processes = two_processes("--tol", "1e-6", "--device", "cpu", output=tmp_path)
    ends = [(*process.communicate(timeout=900), process.returncode) for process in processes]
    assert [code for *_, code in ends] == [0, 0], ends
    assert [path.name for path in tmp_path.iterdir()] == ["0"]
    assert own(ends[1][0]) == [], "only the first process talks"
    assert pinn.load(tmp_path / "0" / "solution")(x=0.0) == pytest.approx(1.0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("lost", "why"), [(1, "a process of this run was lost"), (0, "indicates that another task died")])
def test_a_lost_process_ends_the_other_and_the_run_goes_on_alone(lost, why, tmp_path):
    """Where the first one is lost, which the others hang on, it is JAX that ends them."""
    path = tmp_path / "run.ck"
    method = ["--method", "adam", "--steps", 100_000, "--checkpoint", path]
    processes = two_processes(*method, output=tmp_path)
    try:
        ends = time.monotonic() + 600
        while not ((found := checkpoint.latest(path)) and found[0]["records"]):
            assert time.monotonic() < ends and all(process.poll() is None for process in processes)
            time.sleep(0.1)
        processes[lost].kill()
        left = processes[1 - lost]
        _, told = left.communicate(timeout=60)
        done = checkpoint.latest(path)[0]["records"]
    finally:
        for process in processes:
            process.kill()
    assert left.returncode not in (0, None)
    assert why in told, told
    assert lost == 0 or "with --checkpoint FILE it goes on from there" in told
    alone = train(*method, "--time-limit", 1, "--output", tmp_path / "alone")
    said, told = alone.communicate(timeout=600)
    assert alone.returncode == 0, told
    assert "going on from the checkpoint" in said
    history = list(csv.DictReader((tmp_path / "alone" / "history.csv").open()))
    assert len(history) > len(done) > 0
    assert [int(record["step"]) for record in history[: len(done)]] == [record["step"] for record in done]


@pytest.mark.parametrize("devices", [0, 99, True, "cpu", [], [1]])
def test_devices_that_do_not_exist(devices):
    with pytest.raises(MethodError, match="devices="):
        chosen(devices)


def test_devices_are_chosen_by_number_or_given():
    first = jax.devices()[:1]
    assert chosen(1) == chosen(first) == tuple(first)
    with pytest.raises(MethodError, match="devices=1000 needs a number from 1 to"):
        pinn.solve(None, devices=1000)


class Begun(Exception):
    """All warnings of before the solve have been given."""


def test_what_xla_is_told_of_compiling_wins():
    assert "xla_cpu_use_fusion_emitters=false" in os.environ["XLA_FLAGS"]
    told = "--xla_force_host_platform_device_count=2 --xla_cpu_use_fusion_emitters=true"
    program = "import os, pinn; print(os.environ['XLA_FLAGS'])"
    run = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"XLA_FLAGS": told}, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == told


@pytest.mark.parametrize("problem", [exam_ode.problem, lambda: antiderivative.problem(sensors=12)])
def test_float64_on_a_tpu_is_told_to_be_slow(problem, monkeypatch):
    def begun(*arguments, **options):
        raise Begun

    tpu, solving = SimpleNamespace(platform="tpu", device_kind="TPU v5 lite"), import_module("pinn.solve")
    patches = {"chosen": lambda devices: (tpu,), "spread": nullcontext, "_solve": begun, "solve_operator": begun}
    for name, value in patches.items():
        monkeypatch.setattr(solving, name, value)
    told = r'TPU v5 lite has no float64 and emulates it, .* Give dtype="float32", or devices=jax.devices\("cpu"\)'
    with pytest.raises(Begun), pytest.warns(pinn.ProblemWarning, match=told):
        pinn.solve(problem(), progress=False)
    with pytest.raises(Begun), warnings.catch_warnings():
        warnings.simplefilter("error", pinn.ProblemWarning)
        pinn.solve(problem(), dtype="float32", progress=False)


def main():
    """The largest difference from one device's result, relative to its largest value, for 2, 4 and 8 devices."""
    for name in METHODS:
        found = results(started(name, "1,2,4,8", 8))
        gaps = [np.max(np.abs(found[name, count] - found[name, 1])) / np.max(np.abs(found[name, 1])) for count in (2, 4, 8)]
        print(f"| {name} | {' | '.join(f'{gap:.1e}' for gap in gaps)} |", flush=True)


if __name__ == "__main__":
    main()
