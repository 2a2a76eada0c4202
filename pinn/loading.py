"""Loading what `saving` wrote: as a function that needs no problem, or with its problem as the whole `Solution` again."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, overload

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, export

from . import plotting
from .ansatz import choose_engine, make_network, wrap
from .approximation import Approximation, Slabs, Sum, empty_run, together
from .choices import Choices
from .derivatives import ACTIVATIONS, ENGINES
from .domains import Domain
from .errors import CheckpointError, PinnError, SolutionError, WellPosednessWarning, listing
from .estimate import Estimate, Trust
from .exact import Exact, plan_exact
from .families import Drawn, Family
from .features import Setup
from .fingerprint import check_same, fingerprint
from .history import History, Status
from .kinds import rebuild
from .loss import Weights, objective, start_unknown
from .networks import Encoding
from .operator_learning import OperatorProblem, OperatorSolution
from .operator_learning import saving as operators
from .pinning import pinned
from .problem import Problem
from .regions import Regions
from .saving import ARRAYS, CARD, SUMS, VALUES, account, arrays_of, card_of, checksums, domain_from, filled, floats
from .singular import singular_from
from .solution import ErrorReport, FieldError, Found, Solution, points_of
from .space import Level
from .steep import STEPS, Steep
from .steps import steps_exact
from .timeline import timeline

_CALLS = ("shape_assertion",)  # what a saved function may call besides XLA's own operations
_ENGINES = {engine.__name__: engine for engine in ENGINES}


@overload
def load(path: str | Path) -> Any: ...
@overload
def load(path: str | Path, problem: Problem, network: Callable | None = None) -> Solution: ...
@overload
def load(path: str | Path, problem: OperatorProblem, network: Callable | None = None) -> OperatorSolution: ...
def load(
    path: str | Path, problem: Problem | OperatorProblem | None = None, network: Callable | None = None
) -> Solution | OperatorSolution | Loaded:
    """What `Solution.save` wrote.

    Args:
        path: the folder.
        problem: what it solves; without it the solution can be called, plotted and reported, and nothing else.
        network: what made its network, as for `solve`; needed where that is a module of your own.

    Returns:
        A `Solution` as it was saved, or without a problem a `Loaded`; an `OperatorSolution` where that was saved.

    Raises:
        CheckpointError: the folder is damaged, newer than this version, no saved solution, or one of another problem.
        SolutionError: `network` is needed, does not fit, or is given without a problem.

    Example:
        >>> load("nowhere")
        Traceback (most recent call last):
        pinn.errors.CheckpointError: nowhere: there is no saved solution here, which is a folder with SHA256SUMS in it.
    """
    path = Path(path)
    if problem is None and network is not None:
        raise SolutionError("load(network=...) rebuilds a network around a problem: load(path, problem, network).")
    if problem is not None and not isinstance(problem, Problem | OperatorProblem):
        raise SolutionError(f"load(path, problem) needs a pinn.Problem; got {problem!r}.")
    with _understood(path):
        files = _read(path)
        if operators.is_operator(files):
            return operators.loaded(files, problem, network)
        if isinstance(problem, OperatorProblem):
            raise CheckpointError("it holds the solution of a pinn.Problem, and no operator")
        card, arrays, values = _parts(files)
        if problem is None:
            return _loaded(path, card, arrays, values)
        problem = _as_solved(card, problem)
        check_same(card["fingerprint"], fingerprint(problem))
        return _solution(card, arrays, problem, network)


def _as_solved(card: Any, problem: Problem) -> Problem:
    """The problem with the condition that `solve` added to it, where it did."""
    if len(card["fingerprint"]["terms"]) == len(problem.terms):
        return problem
    with warnings.catch_warnings(action="ignore", category=WellPosednessWarning):
        return pinned(problem)[0]


# --- without the problem ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outline:
    """What a saved solution knows of its problem: all but the equations, the conditions and the reference."""

    name: str
    fields: tuple[str, ...]
    equations: tuple[str, ...]
    domain: Domain
    regions: Regions | None = None
    terms: tuple = ()
    reference: None = None


def _needs_problem(name: str) -> Callable[..., NoReturn]:
    def refuse(self: Loaded, *_: Any, **__: Any) -> NoReturn:
        """Needs the problem: raises a SolutionError."""
        raise SolutionError(
            f"{name}() needs the equations, which are not saved. Load the solution with its problem: "
            f"pinn.load({str(self.path)!r}, problem).{name}(...)."
        )

    return refuse


@dataclass(frozen=True, eq=False)
class Loaded:
    """A saved solution without its problem: it can be called, plotted and reported.

    Attributes as for `Solution`; `load(path, problem)` gives the rest of it.
    """

    path: Path
    problem: Outline
    dtype: Any
    function: Callable[[Array], Array]
    parameters: dict[str, Found]
    report: ErrorReport
    status: Status
    error_estimate: dict[str, float]
    trust: Trust
    trust_reason: str
    plan: Choices
    history: History
    seconds: float
    corrected: None = None

    evaluate = _needs_problem("evaluate")
    residual = _needs_problem("residual")
    integrate = _needs_problem("integrate")
    refine = _needs_problem("refine")

    def __call__(self, **coordinates: Any) -> Any:
        """The fields at points, as `Solution` gives them; with JAX arrays differentiable twice, in reverse.

        Raises:
            SolutionError: a coordinate that is missing or does not exist.
        """
        points, shape, traced = points_of(self.problem.domain, self.dtype, coordinates)
        fields = self.problem.fields
        regions = self.problem.regions
        values = (
            self.function(points) if len(points) else jnp.zeros((0, len(regions.unknowns if regions else fields)), self.dtype)
        )
        values = regions.blanked(points, regions.folded(points, values)) if regions else values
        columns = {name: values[:, i].reshape(shape) for i, name in enumerate(fields)}
        out = columns if traced else {name: np.asarray(column)[()] for name, column in columns.items()}
        return out if len(out) > 1 else out[fields[0]]

    def errors(self) -> ErrorReport:
        """The errors as they were when the solution was saved."""
        return self.report

    def plot(self, path: str | Path | None = None) -> Any:
        """The fields and the history as a Matplotlib figure; written to `path` if given."""
        return plotting.plot_solution(self, path)

    def __repr__(self) -> str:
        worst = max(self.error_estimate.values())
        return f"Solution of {self.problem.name}: {self.status}; estimated error {worst:.1e} ({self.trust.name.lower()}), loaded"


# --- reading ---------------------------------------------------------------------------------------------------------


@contextmanager
def _understood(path: Path) -> Iterator[None]:
    """Every failure to make sense of a folder as a `CheckpointError` that names it."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}.") from error
    except PinnError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path}: it cannot be read, {error}.") from error
    except Exception as error:
        raise CheckpointError(
            f"{path}: not as pinn writes it, {type(error).__name__}: {error}. Save the solution again."
        ) from error


def _read(path: Path) -> dict[str, bytes]:
    """The files of a folder, as they were written."""
    if not (path / SUMS).is_file():
        raise CheckpointError(f"there is no saved solution here, which is a folder with {SUMS} in it")
    sums = (path / SUMS).read_bytes()
    names = {CARD, *(line.partition("  ")[2] for line in sums.decode("ascii", "replace").splitlines())}
    missing = [name for name in sorted(names) if Path(name).name != name or not (path / name).is_file()]
    if missing:
        raise CheckpointError(f"damaged: {listing(missing)} is missing. Copy the whole folder again")
    files = {name: (path / name).read_bytes() for name in names}
    if checksums(files) != sums:
        changed = [name for name in sorted(files) if hashlib.sha256(files[name]).hexdigest().encode() not in sums]
        raise CheckpointError(f"damaged: {listing(changed or [SUMS])} is not as it was written. Copy the folder again")
    return files


def _parts(files: Mapping[str, bytes]) -> tuple[dict[str, Any], dict[str, np.ndarray], bytes]:
    """The card, the arrays and the compiled function."""
    card = card_of(files)
    missing = [name for name in (ARRAYS, VALUES) if name not in files]
    if missing:
        raise CheckpointError(f"damaged: {SUMS} does not list {listing(missing)}. Copy the whole folder again")
    return card, arrays_of(files), files[VALUES]


def _loaded(path: Path, card: Mapping[str, Any], arrays: Mapping[str, np.ndarray], values: bytes) -> Loaded:
    known = card["problem"]
    parts = known.get("regions")
    regions = parts and Regions({name: domain_from(part) for name, part in parts["domains"].items()}, parts["lives"])
    domain = domain_from(known["domain"])
    outline = Outline(known["name"], tuple(known["fields"]), tuple(known["equations"]), domain, regions)
    weights = {name: jnp.asarray(array) for name, array in arrays.items() if name.startswith("weights/")}
    function = _function(values, weights, card["versions"]["jax"])
    return Loaded(
        path, outline, jnp.dtype(card["dtype"]), function, _parameters(card["parameters"]), _report(card), **account(card)
    )


def _function(data: bytes, weights: Mapping[str, Array], writer: str) -> Callable[[Array], Array]:
    """The saved function of points, after a look at what it calls."""
    try:
        exported = export.deserialize(bytearray(data))
        foreign, whole = _foreign(exported), exported
        while whole.has_vjp():
            whole = whole.vjp()
            foreign |= _foreign(whole)
    except Exception as error:
        raise CheckpointError(
            f"jax {jax.__version__} cannot read its values, which jax {writer} wrote ({type(error).__name__}: {error}). "
            "Update jax, or pass the problem: pinn.load(path, problem)"
        ) from error
    if foreign:
        raise CheckpointError(
            f"its values call {listing(sorted(foreign))}, which pinn's own networks never do, so they are not run. "
            "Where you trust them, pass the problem and the network: pinn.load(path, problem, network)"
        )
    call = jax.jit(exported.call)
    return lambda points: call(weights, points)


def _foreign(exported: export.Exported) -> set[str]:
    """What a function calls besides XLA's own operations; each call is written `custom_call @name(`."""
    calls = re.findall(r"custom_call( @(\w+)\()?", exported.mlir_module())
    return {name or "something unnamed" for _, name in calls if name not in _CALLS}


def _parameters(card: Mapping[str, Any]) -> dict[str, Found]:
    return {
        name: Found(float(entry["value"]), entry["interval"] and [float(end) for end in entry["interval"]])
        for name, entry in card.items()
    }


def _report(card: Mapping[str, Any]) -> ErrorReport:
    stored = dict(card["errors"])
    numbers = {part: floats(stored[part]) for part in ("estimate", "residual", "conditions")}
    fields = {
        name: FieldError(float(error["relative_l2"]), float(error["maximum"]), floats(error["where"]))
        for name, error in stored["fields"].items()
    }
    parameters = _parameters(stored.get("parameters", {}))
    return ErrorReport(**{**stored, **numbers, "fields": fields, "parameters": parameters})


# --- with the problem ------------------------------------------------------------------------------------------------


def _solution(card: Mapping[str, Any], arrays: Mapping[str, np.ndarray], problem: Problem, network: Callable | None) -> Solution:
    dtype, told = jnp.dtype(card["dtype"]), account(card)
    exact = plan_exact(problem, None)
    if list(exact.met) != card["met"]:
        exact = plan_exact(problem, bool(card["met"]))
    if list(exact.met) != card["met"]:
        raise CheckpointError(
            f"the conditions {listing(card['met'])} are built into it; now these would be: {listing(exact.met)}"
        )
    time = timeline(problem, exact)
    later = exact if time is None else exact.started(time.axis, time.initial)
    builder = _Builder(problem.unknowns, exact, later, dtype, network)
    approximation, state = builder.approximation(card["approximation"])
    weights = filled("weights", Weights(state, start_unknown(problem, dtype)), arrays)
    corrected = None
    if card["correction"] is not None:
        error, state = builder.approximation(card["correction"]["approximation"])
        corrected = Estimate(
            errors=told["error_estimate"],
            trust=told["trust"],
            reason=told["trust_reason"],
            rounded=card["correction"]["rounded"],
            approximation=Sum(approximation, error),
            weights=Weights((weights.state, filled("correction", state, arrays)), weights.unknown),
        )
    distinct = [Drawn(_family(each), each["width"]) for each in card["drawn"]]
    edges, drawn = tuple(card["approximation"].get("edges", ())), tuple(distinct[i] for i in card["drawn_of_slab"])
    slabs, level = _first_part(card["approximation"]), card.get("level") and _level(card["level"])
    if level is not None and time is not None:
        whole = steps_exact(exact, time)
    else:
        whole = exact.until(slabs["axis"], slabs["edges"][1], later) if "slabs" in slabs else exact
    return Solution(
        problem=problem,
        goal=objective(problem, approximation, whole),
        weights=weights,
        setup=Setup(problem, exact, tuple(card["seed"]), dtype, edges=edges, drawn=drawn, level=level),
        family=_family(card["family"]),
        width=card["width"],
        corrected=corrected,
        intervals={name: found.interval for name, found in _parameters(card["parameters"]).items() if found.interval},
        **told,
    )


def _first_part(card: Mapping[str, Any]) -> Mapping[str, Any]:
    """The description of what corrections were added to."""
    return _first_part(card["sum"][0]) if "sum" in card else card


def _level(card: Sequence[Any]) -> Level:
    width, stages, target, steep, draw, longest = card
    return Level(width, stages, float(target), tuple(map(_steep, steep)), draw, float(longest))


def _steep(card: Mapping[str, Any]) -> Steep:
    return Steep(card["axis"], tuple(card["centres"]), tuple(card["widths"]), card["periodic"], card["broad"])


def _family(card: Mapping[str, Any]) -> Family:
    steep = tuple(map(_steep, card["steep"]))
    activation, bandwidth, around = ACTIVATIONS[card["activation"]], tuple(card["bandwidth"]), tuple(card.get("round", ()))
    return Family(activation, bandwidth, steep, card["seen"], card["singular"], around)


@dataclass(frozen=True)
class _Builder:
    """Builds approximations from their descriptions, each with a state of the right shapes."""

    fields: tuple[str, ...]
    exact: Exact
    later: Exact  # of slabs of time after the first
    dtype: Any
    network: Callable | None

    def approximation(self, parts: Mapping[str, Any] | None) -> tuple[Approximation, Any]:
        if parts is None:
            raise SolutionError("This solution stands on an approximation that cannot be built again; load it without a problem.")
        if "sum" in parts:
            (first, one), (second, two) = map(self.approximation, parts["sum"])
            return Sum(first, second), (one, two)
        if "slabs" in parts:
            return self._slabs(parts)
        ansatze, states = zip(*map(self._ansatz, parts["together"]), strict=True)
        return together(self.fields, ansatze), states

    def _slabs(self, parts: Mapping[str, Any]) -> tuple[Approximation, Any]:
        edges, runs, states = parts["edges"], [], []
        for part, later in zip(parts["slabs"], parts["later"], strict=True):
            ansatz, state = self._ansatz(part, self.later if later else self.exact)
            runs.append(ansatz)
            states.append(empty_run(state, len(edges) - 1, part["network"]["width"], edges))
        return Slabs(tuple(runs), parts["axis"]), tuple(states)

    def _ansatz(self, part: Mapping[str, Any], exact: Exact | None = None) -> tuple[Any, Any]:
        encoding = Encoding(
            np.array(part["lower"]),
            np.array(part["upper"]),
            tuple(part["periodic"]),
            part["raw"],
            tuple(part["steep"]),
            tuple(map(singular_from, part["singular"])),
            tuple(part.get("round", ())),
        )
        fields = tuple(part["fields"])
        network = self._network(part["network"], encoding.size, len(fields))
        engine = _ENGINES.get(part["engine"]) or choose_engine(network)
        met, scale = exact or self.exact, jnp.ones(len(fields), self.dtype)
        steps = jnp.ones((len(encoding.steep), 2, STEPS), self.dtype)
        return wrap(network, fields, tuple(part["axes"]), encoding, met, scale, engine, steps)

    def _network(self, description: Mapping[str, Any] | None, inputs: int, outputs: int) -> nnx.Module:
        if description is not None:
            return rebuild(description, inputs, outputs, self.dtype)
        if self.network is None:
            raise SolutionError(
                "This solution's network is a module of your own, whose code is not saved: pass what made it, "
                "pinn.load(path, problem, network)."
            )
        return make_network(self.network, inputs, outputs, nnx.Rngs(0), self.dtype)
