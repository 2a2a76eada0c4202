"""solution.export: one file that JAX alone can run. It is called in a process that cannot import this package."""

import json
import subprocess
import sys

import numpy as np
import pytest

import pinn
from pinn import d
from pinn.errors import CheckpointError
from pinn.exporting import write_file

WITHOUT_PINN = """
import json, sys
sys.modules["pinn"] = None  # what `import pinn` would find
from jax import config, export
config.update("jax_enable_x64", True)
u = export.deserialize(bytearray(open(sys.argv[1], "rb").read())).call
import jax
points = jax.numpy.array(json.loads(sys.argv[2]))
slope = jax.grad(lambda p: u(p).sum())(points)
exported = export.deserialize(bytearray(open(sys.argv[1], "rb").read()))
loaded = [name for name in sys.modules if name.startswith(("pinn.", "flax"))]
print(json.dumps([u(points).tolist(), slope.tolist(), u(points[:1]).tolist(), exported.platforms, loaded]))
"""


@pytest.fixture(scope="module")
def turning():
    """u = sin t, v = cos t."""
    line = pinn.Interval(t=(0, 2))
    start = pinn.Initial(u=0.0, v=1.0)
    problem = pinn.Problem(fields="u v", domain=line, residual=lambda u, v, t: (d(u, t) - v, d(v, t) + u), conditions=[start])
    return pinn.solve(problem, tol=1e-6, progress=False)


def test_an_exported_solution_runs_without_the_package(turning, tmp_path):
    path, points = tmp_path / "u.stablehlo", [[0.5], [1.0], [0.25]]
    turning.export(path)
    command = [sys.executable, "-c", WITHOUT_PINN, str(path), json.dumps(points)]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    values, slopes, first, platforms, loaded = json.loads(found)
    t = np.array(points)
    own = turning(t=t[:, 0])
    np.testing.assert_allclose(values, np.stack([own["u"], own["v"]], axis=1), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(first, values[:1], rtol=1e-13)
    np.testing.assert_allclose(slopes, np.cos(t) - np.sin(t), atol=1e-5)
    assert platforms == ["cpu", "cuda", "tpu"]
    assert loaded == []


def test_a_folder_that_cannot_be_written_to(turning, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"u.stablehlo could not be written: File exists. What was there is unchanged"):
        turning.export(tmp_path / "file" / "u.stablehlo")


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    write_file(tmp_path / "u", b"before")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        write_file(tmp_path / "u", b"after")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("u", b"before")]
