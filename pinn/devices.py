"""Several devices, on one host or many: points are spread over them, everything else is on each of them.

Within `spread(...)` the compiled pieces divide their rows by the devices of one mesh; sums over points become one all-reduce.
Gauss-Newton and least squares reduce their rows by TSQR: each device brings its own to a triangle, and the triangles are
brought to one. Results do not depend on the number of devices but for the rounding of sums.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P
from numpy.typing import NDArray

from .errors import MethodError, ProblemWarning

_AXIS = "points"


def chosen(devices: int | Sequence[Any] | None) -> tuple[Any, ...]:
    """The devices that are meant: all of this kind, the first few of them, or those given.

    Raises:
        MethodError: there are not so many, or what is given are no devices.

    Example:
        >>> len(chosen(1))
        1
    """
    there = jax.devices()
    if devices is None:
        return tuple(there)
    if isinstance(devices, int | np.integer) and not isinstance(devices, bool):
        if not 1 <= devices <= len(there):
            raise MethodError(f"devices={devices} needs a number from 1 to {len(there)}, of the devices there are.")
        if jax.process_count() > 1 and devices != len(there):
            raise MethodError(f"devices={devices}: with {jax.process_count()} processes all {len(there)} devices take part.")
        return tuple(there[:devices])
    given = tuple(devices) if isinstance(devices, list | tuple) else ()
    if not given or not all(isinstance(device, jax.Device) for device in given):
        raise MethodError(f"devices= needs a number, a list such as jax.devices()[:2], or None for all; got {devices!r}.")
    return given


def warn_if_emulated(devices: Sequence[Any], dtype: str) -> None:
    """Tell that these devices have no float64 of their own, where that is what is asked for.

    Warns:
        ProblemWarning: a TPU, which emulates float64.
    """
    found = next((device for device in devices if device.platform == "tpu"), None)
    if found is not None and dtype != "float32":
        warnings.warn(
            f"{found.device_kind} has no float64 and emulates it, many times slower to compile and to run. "
            'Give dtype="float32", or devices=jax.devices("cpu") for float64 on the host.',
            ProblemWarning,
            stacklevel=3,
        )


@contextmanager
def spread(devices: Sequence[Any]) -> Iterator[None]:
    """Rows are divided by these devices within the context."""
    if len(devices) == 1:
        if devices[0] != jax.devices()[0]:
            with jax.default_device(devices[0]):
                yield
        else:
            yield
        return
    with jax.set_mesh(Mesh(np.array(devices), (_AXIS,), axis_types=(AxisType.Auto,))):
        yield


def count() -> int:
    """How many devices rows are divided by here."""
    return jax.sharding.get_abstract_mesh().shape.get(_AXIS, 1)


def divided(rows: Any) -> Any:
    """Rows, each of a tree's arrays [n, ...], divided by the devices; n is a multiple of their number."""
    return rows if count() == 1 else jax.lax.with_sharding_constraint(rows, P(_AXIS))


def everywhere(tree: Any) -> Any:
    """A tree whose arrays are whole on every device."""
    return tree if count() == 1 else jax.lax.with_sharding_constraint(tree, P())


def over_rows(one: Callable, rows: Any, most: int) -> Any:
    """`one` of every row, at most so many at a time on each device; traced, and differentiable.

    The last row is repeated where the devices, or the chunks, do not divide the rows evenly.

    Example:
        >>> over_rows(lambda x: x**2, jnp.arange(5.0), 2)
        Array([ 0.,  1.,  4.,  9., 16.], dtype=float64)
    """
    size, parts = jax.tree.leaves(rows)[0].shape[0], count()
    chunk = min(most, -(-size // parts)) * parts
    filled = rows if size % chunk == 0 else jax.tree.map(lambda a: _filled(a, -size % chunk), rows)

    def together(part: Any) -> Any:
        return divided(jax.vmap(one)(divided(part)))

    if size <= chunk:
        found = together(filled)
    else:
        found = jax.lax.map(together, jax.tree.map(lambda a: a.reshape(-1, chunk, *a.shape[1:]), filled))
        found = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), found)
    return found if size % chunk == 0 else jax.tree.map(lambda a: a[:size], found)


def _filled(column: Array, more: int) -> Array:
    return jnp.pad(column, [(0, more)] + [(0, 0)] * (column.ndim - 1), "edge")


def in_rows(function: Callable, most: int, *arrays: Any) -> Any:
    """A function of rows on the host, so many at a time, the last repeated where there are fewer: compiled for that number alone.

    Example:
        >>> in_rows(jax.jit(lambda x: x**2), 4, np.arange(6.0))
        array([ 0.,  1.,  4.,  9., 16., 25.])
    """
    arrays = jax.tree.map(np.asarray, arrays)
    size, parts = len(jax.tree.leaves(arrays)[0]), []
    for start in range(0, size, most):
        rows = jax.tree.map(lambda a, s=start: _repeated(a[s : s + most], most), arrays)
        parts.append(jax.tree.map(lambda a, s=start: np.asarray(a)[: size - s], function(*rows)))
    return parts[0] if len(parts) == 1 else jax.tree.map(lambda *each: np.concatenate(each), *parts)


def _repeated(rows: NDArray, most: int) -> NDArray:
    return np.concatenate([rows, np.repeat(rows[-1:], most - len(rows), axis=0)]) if len(rows) < most else rows


def reduced(blocks: Sequence[Array]) -> Array:
    """Matrices [n_i, m] one below the other; on several devices an upper triangle in their place, with the same AᵀA (TSQR)."""
    parts = count()
    if parts == 1:
        return jnp.concatenate(blocks)
    filled = [jnp.pad(block, [(0, -block.shape[0] % parts), (0, 0)]) for block in blocks]

    def own(*mine: Array) -> Array:
        triangle = jnp.linalg.qr(jnp.concatenate(mine), mode="r")
        return jax.lax.all_gather(triangle, _AXIS, tiled=True)

    specs = tuple(P(_AXIS) for _ in filled)
    return jnp.linalg.qr(jax.shard_map(own, in_specs=specs, out_specs=P(), check_vma=False)(*filled), mode="r")


def orthogonal(matrix: Array) -> tuple[Array, Array]:
    """A = QR of rows [n, m]: Q [n, m], its rows divided by the devices, and the triangle R [m, m] (TSQR).

    Example:
        >>> q, r = orthogonal(jnp.array([[3.0], [4.0]]))
        >>> bool(jnp.allclose(q @ r, jnp.array([[3.0], [4.0]])))
        True
    """
    parts = count()
    if parts == 1:
        return jnp.linalg.qr(matrix)

    def own(rows: Array) -> tuple[Array, Array]:
        frame, triangle = jnp.linalg.qr(rows)
        turned, whole = jnp.linalg.qr(jax.lax.all_gather(triangle, _AXIS, tiled=True))
        mine = jax.lax.dynamic_slice_in_dim(turned, jax.lax.axis_index(_AXIS) * len(triangle), len(triangle))
        return frame @ mine, whole

    filled = jnp.pad(matrix, [(0, -len(matrix) % parts), (0, 0)])
    frame, triangle = jax.shard_map(own, in_specs=P(_AXIS), out_specs=(P(_AXIS), P()), check_vma=False)(filled)
    return frame[: len(matrix)], triangle


def agreed(value: float) -> float:
    """The first process's value, in each of them: what all decide by must be the same."""
    if jax.process_count() == 1:
        return value
    from jax.experimental import multihost_utils

    return float(multihost_utils.broadcast_one_to_all(np.float64(value)))


def is_first() -> bool:
    """Whether this is the process that writes files and talks."""
    return jax.process_index() == 0


def home(tree: Any) -> Any:
    """A tree of whole arrays that belongs to no mesh, for use after `spread`."""
    return jax.tree.map(lambda a: jnp.asarray(np.asarray(a)) if isinstance(a, Array) and not _is_key(a) else a, tree)


def _is_key(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
