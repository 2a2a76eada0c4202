"""What every test and every docstring example runs under."""

import math
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


@pytest.fixture(autouse=True)
def docstring_names(doctest_namespace: dict[str, Any]) -> None:
    """Names that docstring examples may use unimported."""
    doctest_namespace.update(math=math, np=np, jnp=jnp, nnx=nnx, apply=apply)
