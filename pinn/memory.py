"""When memory runs out: the same work in smaller pieces, and if that is not enough, an error that says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import jax

from .errors import ResourceError

_PIECES = (1, 4, 16)  # how many times smaller the pieces are, from one trial to the next
_MAPS, _MOST_MAPS = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")  # on Linux: the memory maps of this process

Tree = TypeVar("Tree")


def exhausted(error: BaseException) -> bool:
    """Whether an error says that the memory of the host or of a device was used up."""
    return isinstance(error, MemoryError) or (
        isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
    )


def in_pieces(compute: Callable[[int], Tree]) -> Tree:
    """`compute(1)`, and where memory runs out the same in pieces 4 and 16 times smaller: `compute(4)`, `compute(16)`.

    Example:
        >>> def squares(smaller):
        ...     if smaller < 16:
        ...         raise MemoryError
        ...     return jnp.arange(3) ** 2
        >>> in_pieces(squares)
        Array([0, 1, 4], dtype=int64)
    """
    for smaller in _PIECES:
        try:
            return jax.block_until_ready(compute(smaller))  # else a device tells of it later, somewhere else
        except Exception as error:
            if smaller == _PIECES[-1] or not exhausted(error):
                raise
    raise AssertionError("the last trial returns or raises")


def if_it_fits(compute: Callable[[], Tree]) -> Tree | None:
    """`compute()`, which is not None; None where memory runs out.

    Example:
        >>> def too_much():
        ...     raise MemoryError
        >>> if_it_fits(lambda: 1), if_it_fits(too_much)
        (1, None)
    """
    try:
        return compute()
    except Exception as error:
        if not exhausted(error):
            raise
        return None


def forget_if_many() -> bool:
    """Let go of what JAX has compiled where it takes up half of the memory maps that a process may have; says whether.

    A solve compiles a hundred pieces and more, which JAX keeps, and each takes a few maps: without this, a loop over some
    dozens of problems ends with LLVM's "Cannot allocate memory". What is still needed is compiled again.
    """
    try:
        used, most = _MAPS.read_bytes().count(b"\n"), int(_MOST_MAPS.read_text())
    except (OSError, ValueError):  # no Linux, or it is not told
        return False
    many = used > most // 2
    if many:
        jax.clear_caches()
    return many


@contextmanager
def told(advice: str) -> Iterator[None]:
    """Raises `ResourceError` with this advice in place of an error that says that memory was used up."""
    try:
        yield
    except ResourceError:
        raise
    except Exception as error:
        if not exhausted(error):
            raise
        device = jax.devices()[0]
        raise ResourceError(f"The memory of {device.device_kind} ({device.platform}) is not enough. {advice}") from error
