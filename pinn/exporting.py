"""A solution as one file: a compiled function (`jax.export`) that runs with JAX alone, on CPU, CUDA and TPU.

It takes points [n, d], coordinates in the order of the domain's, and gives the fields [n, F], for any n; it can be
differentiated twice in reverse, and neither forward nor batched. Three lines load it where this package is not installed:

    from jax import config, export
    config.update("jax_enable_x64", True)
    u = export.deserialize(bytearray(open("u.stablehlo", "rb").read())).call
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax import Array
from jax import export as jax_export

from .checkpoint import write_whole
from .errors import CheckpointError, SolutionError, listing

PLATFORMS = ("cpu", "cuda", "tpu")


def serialized(function: Callable, dimension: int, dtype: Any, *shapes: Any) -> bytes:
    """A function of trees of these shapes, and then of points [n, d] for any n, with two reverse derivatives.

    Raises:
        SolutionError: it calls back into Python, or does what a platform cannot.

    Example:
        >>> u = jax_export.deserialize(bytearray(serialized(lambda points: 2 * points, 1, jnp.float64))).call
        >>> u(jnp.ones((3, 1)))[:, 0]
        Array([2., 2., 2.], dtype=float64)
    """
    points = jax.ShapeDtypeStruct(jax_export.symbolic_shape(f"n, {dimension}"), dtype)
    try:
        with jax.default_matmul_precision("highest"):
            exported = jax_export.export(jax.jit(function), platforms=PLATFORMS)(*shapes, points)
            return bytes(exported.serialize(vjp_order=2))
    except (ValueError, NotImplementedError) as error:
        raise SolutionError(
            f"The network cannot be saved as a function for {listing(PLATFORMS)}: {error}. Build it from jax.numpy operations, "
            "without calls back into Python."
        ) from error


def export(solution: Any, path: str | Path) -> None:
    """Write the fields of a `Solution` as one function, points [n, d] -> [n, F], that runs without this package.

    Raises:
        CheckpointError: the file cannot be written; what was there is unchanged.
        SolutionError: the network cannot be exported, since it calls back into Python; or the domain has several regions.

    Example:
        >>> import tempfile
        >>> from pinn import Initial, Interval, Problem, d, solve
        >>> decay = Problem(fields="y", domain=Interval(t=(0, 1)), residual=lambda y, t: d(y, t) + y,
        ...                 conditions=[Initial(y=1.0)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     export(solve(decay, progress=False), f"{folder}/y.stablehlo")
        ...     y = jax_export.deserialize(bytearray(Path(f"{folder}/y.stablehlo").read_bytes())).call
        >>> round(float(y(jnp.array([[1.0]]))[0, 0]), 9)
        0.367879441
    """

    if solution.problem.regions is not None:
        raise SolutionError(
            "A solution on several regions cannot be exported: which of them a point is in is asked of the domain, in Python. "
            "Write it with solution.save(path), which pinn.load(path) reads."
        )

    def values(points: Array) -> Array:
        return jax.vmap(lambda point: solution.goal.values(solution.weights, point))(points)

    write_file(Path(path), serialized(values, solution.problem.domain.dimension, solution.setup.dtype))


def write_file(path: Path, data: bytes) -> None:
    """A file with this content, whole or not at all; raises `CheckpointError` where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
    except OSError as error:
        raise CheckpointError(f"{path} could not be written: {error.strerror or error}. What was there is unchanged.") from error
