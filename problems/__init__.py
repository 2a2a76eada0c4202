"""The catalogue of equations: one module an equation, whose `problem()` returns it as a `pinn.Problem`.

>>> "exam_ode" in names()
True
>>> describe("exam_ode")
'The damped oscillator, held at both ends or let go from one.'
"""

import ast
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from pinn.errors import ProblemError, listing, suggestion


def names() -> list[str]:
    """The equations that there are, in alphabetical order; none of them is imported."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


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
    source = Path(__file__).with_name(f"{_known(name)}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def _known(name: str) -> str:
    if name not in names():
        raise ProblemError(f"There is no problem {name!r}; there are {listing(names())}.{suggestion(name, names())}")
    return name
