"""How the scripts that solve problems of the catalogue are told which one, with which parameters."""

from __future__ import annotations

import argparse
import ast
import inspect
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pinn
import problems
from pinn.errors import ProblemError, listing, suggestion


def pair(text: str) -> tuple[str, Any]:
    """A name and a Python literal, or the text itself where it is none."""
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise argparse.ArgumentTypeError(f"needs NAME=VALUE, such as b=0.2; got {text!r}")
    with suppress(ValueError, SyntaxError):
        return name, ast.literal_eval(value)
    return name, value


def check(name: str, parameters: Mapping[str, Any]) -> None:
    """Raise `ProblemError` where a problem of the catalogue, or one of its parameters, does not exist."""
    known = inspect.signature(problems.load(name).problem).parameters
    for parameter in parameters:
        if parameter not in known:
            near = suggestion(parameter, known)
            raise ProblemError(f"{name} has the parameters {listing(known)}; got {parameter!r}.{near}")


def built(name: str, parameters: Mapping[str, Any]) -> pinn.Problem | pinn.OperatorProblem:
    """A problem of the catalogue; raises as `check`."""
    check(name, parameters)
    return problems.load(name).problem(**parameters)
