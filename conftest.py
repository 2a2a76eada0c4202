"""What every test and every docstring example runs under."""

import math
import os
import shutil
import signal
import tempfile
from typing import Any

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pinn.expression import apply

jax.config.update("jax_numpy_rank_promotion", "raise")

# Compilation makes the first example of a test far slower than the others, and a failure should be the same one tomorrow.
hypothesis.settings.register_profile("pinn", deadline=None, derandomize=True)
hypothesis.settings.load_profile("pinn")


def pytest_configure(config: pytest.Config) -> None:
    """What one worker has compiled, the others of the same run need not; Ctrl-C is heard in a run in the background as well."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        folder = tempfile.mkdtemp(prefix="pinn-compiled-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        os.environ |= {"JAX_COMPILATION_CACHE_DIR": folder, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.05"}
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)


@pytest.fixture(autouse=True)
def docstring_names(doctest_namespace: dict[str, Any]) -> None:
    """Names that docstring examples may use unimported."""
    doctest_namespace.update(math=math, np=np, jnp=jnp, nnx=nnx, apply=apply)
