"""Long computations are done once: what they found is kept in a folder of the user's, $PINN_CACHE or else ~/.cache/pinn."""

import hashlib
import inspect
import os
from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pinn.checkpoint import packed, unpacked, write_whole
from pinn.errors import CheckpointError


def stored(compute: Callable[..., NDArray]) -> Callable[..., NDArray]:
    """The function, which takes numbers and returns an array, with a memory that outlasts the process.

    A file is read again only for the same arguments and while the text of the function's module, and of all that modules of
    references share, is the same. One that is damaged, or a folder that can't be written to, costs a computation and no more.

    >>> import tempfile; os.environ["PINN_CACHE"] = tempfile.mkdtemp()
    >>> powers = stored(lambda base: print("computing") or base ** np.arange(4.0))
    >>> powers(2.0)
    computing
    array([1., 2., 4., 8.])
    >>> powers.cache_clear()
    >>> powers(2.0), len(list(folder().iterdir()))
    (array([1., 2., 4., 8.]), 1)
    >>> del os.environ["PINN_CACHE"]
    """

    @lru_cache
    @wraps(compute)
    def found(*arguments: float) -> NDArray:
        path = folder() / f"{compute.__module__}-{_fingerprint(compute, arguments)}.array"
        try:
            return unpacked(path.read_bytes())[1][0]
        except (OSError, CheckpointError):
            values = np.asarray(compute(*arguments))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, packed({"arguments": [repr(argument) for argument in arguments]}, [values]))
        except OSError:
            pass  # it is computed again next time
        return values

    return found


def folder() -> Path:
    """Where arrays are kept."""
    return Path(os.environ.get("PINN_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pinn")


def _fingerprint(compute: Callable, arguments: tuple) -> str:
    """Of all that decides the values: arguments, and the texts of the modules that compute them."""
    sources = [Path(inspect.getfile(compute)), *sorted(Path(__file__).parent.glob("_*.py"))]
    texts = [path.read_bytes() for path in sources if path.is_file()]
    return hashlib.sha256(b"\0".join([compute.__qualname__.encode(), repr(arguments).encode(), *texts])).hexdigest()[:16]
