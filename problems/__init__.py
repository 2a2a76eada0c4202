"""The catalogue of equations: one module an equation, whose `problem()` returns it as a `pinn.Problem`.

Those of `denoising` return a `pinn.OperatorProblem`, and are called "denoising.gaussian_process" and so on.

>>> "exam_ode" in names()
True
>>> describe("exam_ode")
'The damped oscillator, held at both ends or let go from one.'
"""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from pinn.errors import ProblemError, listing, suggestion


def names() -> list[str]:
    """The equations that there are, in alphabetical order, those in a folder as "folder.name"; none of them is imported."""
    return sorted(_found(Path(__path__[0])))


def _found(folder: Path) -> Iterator[str]:
    for module in pkgutil.iter_modules([str(folder)]):
        if module.ispkg:
            yield from (f"{module.name}.{name}" for name in _found(folder / module.name))
        elif not module.name.startswith("_"):
            yield module.name


def load(name: str) -> ModuleType:
    """The module of an equation.

    Raises:
        ProblemError: there is no equation of that name.
    """
    return importlib.import_module(f"{__name__}.{_known(name)}")


def describe(name: str) -> str:
    """The first line of an equation's docstring, read without importing it.

    Raises:
        ProblemError: there is no equation of that name.
    """
    source = Path(__file__).parent.joinpath(*_known(name).split(".")).with_suffix(".py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def _known(name: str) -> str:
    if name not in names():
        raise ProblemError(f"There is no problem {name!r}; there are {listing(names())}.{suggestion(name, names())}")
    return name
