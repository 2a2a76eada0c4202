"""The shape of the code: imports go downwards only, files and functions stay small, problems hold mathematics only."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# The line of the package, from the ground up. A module imports only from those before it; a folder is one place.
LINE = (
    "errors",
    "history",
    "interrupts",
    "memory",
    "choices",
    "decompositions",
    "tracing",
    "pieces",
    "curves",
    "boundaries",
    "pointsets",
    "algebra",
    "domains",
    "plane",
    "derivatives",
    "singular",
    "corners",
    "gathering",
    "quadrature",
    "steep",
    "radau",
    "networks",
    "staged",
    "kinds",
    "diagnosis",
    "methods",
    "devices",
    "mixed",
    "checkpoint",
    "journal",
    "frames",
    "operators",
    "sampling",
    "branches",
    "mixture",
    "spectra",
    "ridge",
    "deeponet",
    "chain",
    "rebuilding",
    "expression",
    "values",
    "conditions",
    "integrals",
    "regions",
    "references",
    "nullfunction",
    "wellposed",
    "check",
    "pencil",
    "terms",
    "singularities",
    "onsets",
    "plotting",
    "animation",
    "problem",
    "pinning",
    "transfinite",
    "exact",
    "timeline",
    "ansatz",
    "approximation",
    "space",
    "loss",
    "layers",
    "families",
    "continuation",
    "rows",
    "features",
    "stepping",
    "separability",
    "separable",
    "krylov",
    "beginning",
    "steps",
    "evidence",
    "weighing",
    "inverse",
    "estimate",
    "uncertainty",
    "progress",
    "faults",
    "phases",
    "training",
    "smallest",
    "levels",
    "handover",
    "slabs",
    "judging",
    "marching",
    "fingerprint",
    "exporting",
    "saving",
    "green",
    "bound",
    "solution",
    "starting",
    "operator_learning",
    "defaults",
    "loading",
    "resume",
    "solve",
    "__init__",
)

MODULES = sorted((ROOT / "pinn").rglob("*.py"))
PROBLEMS = sorted(path for path in (ROOT / "problems").glob("*.py") if not path.name.startswith("_"))
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))

MATHEMATICS = ("pinn", "jax", "numpy", "scipy", "math", "functools", "collections.abc", "problems")
MOST_LINES, MOST_FUNCTION_LINES = 450, 70


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, inside functions too, by its full name.

    `from pinn import errors` is an import of `pinn.errors`, `from pinn import d` one of `pinn` itself.
    """
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parts[: -node.level or None] if node.level else ()
            module = ".".join((*package, *(node.module or "").split("."))).rstrip(".")
            for alias in node.names:
                below = ROOT.joinpath(*module.split("."), alias.name)
                yield f"{module}.{alias.name}" if below.is_dir() or below.with_suffix(".py").is_file() else module


def place(module: str) -> str:
    """Where in the line a module of the package stands: `pinn.methods.lbfgs` stands at `methods`, `pinn` at `__init__`."""
    return (*module.split("."), "__init__")[1]


def place_of(path: Path) -> str:
    return path.relative_to(ROOT / "pinn").with_suffix("").parts[0]


def within(module: str, allowed: tuple[str, ...]) -> bool:
    return any(module == root or module.startswith(f"{root}.") for root in allowed)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_module_has_its_place(path):
    assert place_of(path) in LINE, f"Add {place_of(path)!r} to LINE in tests/test_layers.py, after all that it imports."


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_go_downwards(path):
    here = place_of(path)
    below = LINE[: LINE.index(here)] if here in LINE else ()
    own = {module for module in imports(path) if within(module, ("pinn",)) and place(module) != here}
    upwards = sorted(module for module in own if place(module) not in below)
    assert not upwards, f"{name(path)} imports {upwards}, which do not come before {here!r} in LINE."


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_the_package_stands_alone(path):
    others = [module for module in imports(path) if within(module, ("problems", "scripts", "tests"))]
    assert not others, f"{name(path)} belongs to the wheel, which has none of {others}."


@pytest.mark.parametrize("path", [path for path in MODULES + PROBLEMS + SCRIPTS if path.name != "plotting.py"], ids=name)
def test_one_file_knows_matplotlib(path):
    assert not [module for module in imports(path) if within(module, ("matplotlib",))]


@pytest.mark.parametrize("path", PROBLEMS, ids=name)
def test_a_problem_holds_mathematics_only(path):
    others = [module for module in imports(path) if not within(module, MATHEMATICS)]
    assert not others, f"{name(path)} may import {MATHEMATICS} only, and imports {others}."
    loops = [node.lineno for node in ast.walk(tree(path)) if isinstance(node, ast.For | ast.While)]
    assert not loops, f"{name(path)} has loops in lines {loops}; a problem is mathematics, computing belongs into pinn."


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_a_script_stands_on_the_package_and_the_problems(path):
    siblings = tuple(script.stem for script in SCRIPTS if not script.stem.startswith("_"))  # what they share has a _
    assert not [module for module in imports(path) if within(module, ("scripts", "tests", *siblings))]


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_files_and_functions_are_small(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{name(path)} has {lines} lines; divide it at {MOST_LINES}."
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert length <= MOST_FUNCTION_LINES, f"{name(path)}: {node.name} has {length} lines; divide it."


def test_importing_the_package_is_cheap():
    heavy = {"matplotlib", "scipy.integrate", "shapely", "orbax"}
    code = f"import sys, pinn; print(*sorted({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not loaded, f"`import pinn` loads {loaded}; import them in the functions that need them."
