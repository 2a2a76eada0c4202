"""One file that holds what a long run has done so far: written whole or not at all, checked when read, never executed.

    magic           16 bytes
    SHA-256         32 bytes, of all that follows
    head's length   8 bytes, little endian
    head            JSON: the format, whatever the writer had to say, and the type and shape of each array
    arrays          their bytes, one after the other

The file before it is kept beside it, so that there is always one whole file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .errors import CheckpointError, CheckpointWarning

FORMAT = 5  # of the file; another one is refused
_MAGIC = b"pinn checkpoint\n"
_START = len(_MAGIC) + 32


def before(path: Path) -> Path:
    """Where the checkpoint before the latest is kept."""
    return path.with_name(f"{path.name}.before")


def write(path: Path, head: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> None:
    """Put a checkpoint at `path`, and the one that was there at `before(path)`.

    Raises:
        OSError: it could not be written; what was there is untouched.
    """
    write_whole(path, packed(head, arrays), before(path))


def write_whole(path: Path, data: bytes, kept: Path | None = None) -> None:
    """A file with this content, whole or not at all; what was there is moved to `kept`, or replaced.

    Raises:
        OSError: it could not be written; what was there is untouched.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if kept is not None and path.exists():
            path.replace(kept)
        new.replace(path)
    except BaseException:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise
    make_durable(path.parent)


def make_durable(folder: Path) -> None:
    """See to it that renaming in a folder outlasts a loss of power; a folder cannot be opened everywhere, as it can on POSIX."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def packed(head: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> bytes:
    """The bytes of a checkpoint.

    Example:
        >>> unpacked(packed({"note": "half way"}, [np.arange(3.0)]))
        ({'note': 'half way'}, [array([0., 1., 2.])])
    """
    kinds = [[array.dtype.name, array.shape] for array in arrays]
    text = json.dumps({"format": FORMAT, "head": head, "arrays": kinds}).encode()
    body = b"".join([len(text).to_bytes(8, "little"), text, *(np.ascontiguousarray(array).tobytes() for array in arrays)])
    return _MAGIC + hashlib.sha256(body).digest() + body


def unpacked(data: bytes) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The head and arrays of a checkpoint from its bytes.

    Raises:
        CheckpointError: it is none, is damaged, or of another format.
    """
    if data[: len(_MAGIC)] != _MAGIC:
        raise CheckpointError("is no checkpoint of pinn")
    body = data[_START:]
    if hashlib.sha256(body).digest() != data[len(_MAGIC) : _START]:
        raise CheckpointError("is damaged: its checksum differs")
    try:
        start = 8 + int.from_bytes(body[:8], "little")
        card = json.loads(body[8:start])
        if card["format"] != FORMAT:
            raise CheckpointError(f"has format {card['format']}, and this version of pinn reads {FORMAT}")
        arrays = []
        for name, shape in card["arrays"]:
            kind, count = jnp.dtype(name), math.prod(shape)
            # Copied to where any new array would be: where in memory it is decides how BLAS rounds.
            arrays.append(np.frombuffer(body, kind, count, start).reshape(shape).copy())
            start += count * kind.itemsize
        if start != len(body):
            raise ValueError(f"{len(body)} bytes, and arrays up to {start}")
        return dict(card["head"]), arrays
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"is no checkpoint of pinn: {error}") from error


def latest(path: Path) -> tuple[dict[str, Any], list[np.ndarray]] | None:
    """The checkpoint at `path`, or the one before it where that is damaged; None where there is neither.

    Raises:
        CheckpointError: what is there cannot be read.

    Warns:
        CheckpointWarning: the latest one is damaged.
    """
    older = before(path)
    if not path.exists():
        return _read(older) if older.exists() else None
    try:
        return _read(path)
    except CheckpointError as error:
        if not older.exists():
            raise CheckpointError(f"{error} Remove it to begin anew, or give another checkpoint=.") from None
        try:
            found = _read(older)
        except CheckpointError as worse:
            raise CheckpointError(f"{error} {worse} Remove both to begin anew, or give another checkpoint=.") from None
        warnings.warn(f"{error} Going on from the one before it, {older.name}.", CheckpointWarning, stacklevel=2)
        return found


def _read(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    try:
        return unpacked(path.read_bytes())
    except CheckpointError as error:
        raise CheckpointError(f"{path} {error}.") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error


# --- trees -----------------------------------------------------------------------------------------------------------


def is_key(leaf: Any) -> bool:
    """Whether a leaf is a typed JAX key, which is stored as the numbers behind it."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def plain(leaf: Any) -> np.ndarray:
    """A leaf of a tree as an array of numbers."""
    return np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)


def alike(leaf: Any, array: Any) -> Any:
    """An array from `plain` as what it was made from: a JAX array, a key or a number, as `leaf` is."""
    if is_key(leaf):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(leaf))
    return type(leaf)(array.item()) if isinstance(leaf, int | float) else jnp.asarray(array)


def flattened(tree: Any) -> tuple[np.ndarray, ...]:
    """The leaves of a tree as arrays."""
    return tuple(map(plain, jax.tree.leaves(tree)))


def restored(like: Any, arrays: Sequence[np.ndarray]) -> Any:
    """The tree that `arrays` were flattened from; it is built as `like` is.

    Raises:
        ValueError: their number, or the shape or type of one, is another.

    Example:
        >>> restored({"a": jnp.zeros(2), "b": 0.5}, flattened({"a": jnp.ones(2), "b": 1.5}))
        {'a': Array([1., 1.], dtype=float64), 'b': 1.5}
    """
    leaves, structure = jax.tree.flatten(like)
    wanted, given = ([(a.shape, a.dtype) for a in side] for side in (map(plain, leaves), arrays))
    if wanted != given:
        raise ValueError(f"arrays {given}, not {wanted}")
    return jax.tree.unflatten(structure, [alike(leaf, array) for leaf, array in zip(leaves, arrays, strict=True)])
