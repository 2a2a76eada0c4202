"""Saved solutions: a folder of plain files that any machine can read, and that runs nothing of its own when it is loaded.

    solution.json       what is known of the solution, in words and numbers, and how its networks are built
    arrays.npz          the weights, by their place in the network
    values.stablehlo    the fields as a compiled function of weights and points [n, d], which needs no problem (`jax.export`)
    SHA256SUMS          checksums of the three, which `sha256sum --check` understands as well

Nothing is pickled, so a stranger's folder is safe to load; see `loading`.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .algebra import Difference, Intersection, Product, Union
from .approximation import Slabs, Sum, Together, slab_state
from .checkpoint import alike, is_key, make_durable, plain
from .choices import Choice, Choices
from .domains import Ball, Box, Disk, Domain, Interval
from .errors import CheckpointError, listing
from .estimate import Trust
from .exporting import serialized
from .fingerprint import fingerprint
from .history import History, Record, Status
from .kinds import describe
from .plane import Ellipse, Polygon

FORMAT = 2  # of the folder; another one is refused
CARD, ARRAYS, VALUES, SUMS = "solution.json", "arrays.npz", "values.stablehlo", "SHA256SUMS"


def save(solution: Any, path: str | Path) -> None:
    """Write a `Solution` as a folder, whole or not at all; a solution that was saved there before is replaced.

    Raises:
        CheckpointError: there is something else at `path`, or it cannot be written.
        SolutionError: the network cannot be exported, since it calls back into Python.

    Example:
        >>> import tempfile
        >>> from pinn import Dirichlet, Interval, Problem, d, load, solve
        >>> line = Interval(x=(0, 1))
        >>> ends = Dirichlet(y=0.0, on=line.boundary)
        >>> problem = Problem(fields="y", domain=line, residual=lambda y, x: d(y, x, x) + 2, conditions=[ends])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(solve(problem, progress=False), f"{folder}/parabola")
        ...     loaded, whole = load(f"{folder}/parabola"), load(f"{folder}/parabola", problem)
        >>> round(float(loaded(x=0.5)), 9), round(float(whole.evaluate(lambda y, x: d(y, x), x=0.0)), 9)
        (0.25, 1.0)
    """
    target = folder_for(path)
    weights = named_arrays("weights", solution.weights)
    correction = _correction(solution)
    arrays = weights | (named_arrays("correction", correction[1]) if correction else {})
    card = json.dumps(for_json(_card(solution, correction)), indent=1, ensure_ascii=False, allow_nan=False)
    files = {CARD: card.encode(), ARRAYS: npz(arrays), VALUES: _exported(solution, weights)}
    write_folder(target, files | {SUMS: checksums(files)})


# --- the folder ------------------------------------------------------------------------------------------------------


def checksums(files: Mapping[str, bytes]) -> bytes:
    """A line for each file, as `sha256sum` writes it."""
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items())).encode()


def folder_for(path: str | Path) -> Path:
    """Where to save: the path in full.

    Raises:
        CheckpointError: there is something else at `path`.
    """
    path = Path(path).resolve()
    if not path.exists():
        return path
    held = {entry.name for entry in path.iterdir()} - {CARD, ARRAYS, VALUES, SUMS} if path.is_dir() else {path.name}
    if held:
        raise CheckpointError(
            f"{path} is there already and is no saved solution: it has {listing(sorted(held)[:3])}. Save elsewhere, or remove it."
        )
    return path


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """A folder with these files; raises `CheckpointError` where it cannot be written."""
    try:
        _write(path, files)
    except OSError as error:
        raise CheckpointError(f"{path} could not be written: {error.strerror or error}. What was there is unchanged.") from error


def _write(path: Path, files: Mapping[str, bytes]) -> None:
    """The folder, written beside and then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new, old = (path.with_name(f".{path.name}.{os.getpid()}.{which}") for which in ("new", "old"))
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    try:
        for name, data in files.items():
            with (new / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        if path.exists():
            path.rename(old)
        new.rename(path)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
    make_durable(path.parent)


# --- weights and values ----------------------------------------------------------------------------------------------


def named_arrays(root: str, tree: Any) -> dict[str, np.ndarray]:
    """The arrays of a tree by their place in it, such as `weights/state/0/train/output/bias`."""
    return {name: plain(leaf) for name, leaf in _leaves(root, tree)}


def filled(root: str, tree: Any, arrays: Mapping[str, Any]) -> Any:
    """The tree with arrays from `named_arrays` in place of its own.

    Raises:
        CheckpointError: an array is missing, left over, or of another shape or precision.

    Example:
        >>> tree = {"a": jnp.zeros(2), "b": (jnp.ones(()),)}
        >>> filled("w", tree, {name: array + 1 for name, array in named_arrays("w", tree).items()})
        {'a': Array([1., 1.], dtype=float64), 'b': (Array(2., dtype=float64),)}
    """
    wanted = dict(_leaves(root, tree))
    given = {name: array for name, array in arrays.items() if name.startswith(f"{root}/")}
    if wanted.keys() != given.keys():
        absent, over = listing(sorted(wanted.keys() - given.keys())), listing(sorted(given.keys() - wanted.keys()))
        raise CheckpointError(f"the weights of another network: missing {absent}; left over {over}")
    return jax.tree.unflatten(jax.tree.structure(tree), [_like(leaf, name, given[name]) for name, leaf in wanted.items()])


def _like(leaf: Array, name: str, array: Any) -> Array:
    data = jax.random.key_data(leaf) if is_key(leaf) else leaf
    if (array.shape, array.dtype) != (data.shape, data.dtype):
        raise CheckpointError(
            f"the weights of another network: {name} is {array.dtype}{list(array.shape)}, not {data.dtype}{list(data.shape)}"
        )
    return alike(leaf, array)


def _leaves(root: str, tree: Any) -> list[tuple[str, Any]]:
    found = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [(f"{root}/{jax.tree_util.keystr(path, simple=True, separator='/')}", leaf) for path, leaf in found]


def npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(arrays))
    return buffer.getvalue()


def _exported(solution: Any, weights: Mapping[str, np.ndarray]) -> bytes:
    """The unknowns [n, U] as a function of the weights by name and points [n, d], for any n; two reverse derivatives included."""

    def values(arrays: dict[str, Array], points: Array) -> Array:
        found = filled("weights", solution.weights, arrays)
        return jax.vmap(lambda point: solution.goal.values(found, point))(points)

    shapes = {name: jax.ShapeDtypeStruct(array.shape, array.dtype) for name, array in weights.items()}
    return serialized(values, solution.problem.domain.dimension, solution.setup.dtype, shapes)


# --- the card --------------------------------------------------------------------------------------------------------


def _card(solution: Any, correction: tuple[Any, Any] | None) -> dict[str, Any]:
    """All that is saved but arrays."""
    problem, setup, regions = solution.problem, solution.setup, solution.problem.regions
    return {
        **account_parts(solution),
        "problem": {
            "name": problem.name,
            "fields": list(problem.fields),
            "equations": list(problem.equations),
            "domain": domain_parts(problem.domain),
            "regions": regions and _region_parts(regions),
        },
        "fingerprint": fingerprint(problem),
        "parameters": {name: {"value": float(p), "interval": p.interval} for name, p in solution.parameters.items()},
        "errors": solution.errors().to_dict(),
        "dtype": str(setup.dtype),
        "seed": setup.seed,
        "met": setup.exact.met,
        "approximation": approximation_parts(solution.goal.approximation, solution.weights.state),
        "correction": correction and {"rounded": solution.corrected.rounded, "approximation": approximation_parts(*correction)},
        "family": _family_parts(solution.family),
        "drawn": [_family_parts(drawn.family) | {"width": drawn.width} for drawn in dict.fromkeys(solution.setup.drawn)],
        "drawn_of_slab": _places(solution.setup.drawn),
        "level": solution.setup.level and _level_parts(solution.setup.level),
        "width": solution.width,
    }


def _region_parts(regions: Any) -> dict[str, Any]:
    return {"domains": {name: domain_parts(part) for name, part in regions.domains.items()}, "lives": regions.lives}


def _correction(solution: Any) -> tuple[Any, Any] | None:
    """The estimated error e as an approximation and its state, where the corrected solution is u + e."""
    corrected = solution.corrected
    if corrected is None or not isinstance(corrected.approximation, Sum):
        return None
    return corrected.approximation.second, corrected.weights.state[1]


def _places(drawn: Sequence[Any]) -> list[int]:
    distinct = list(dict.fromkeys(drawn))
    return [distinct.index(each) for each in drawn]


def _level_parts(level: Any) -> list[Any]:
    return list(level._replace(steep=[asdict(each) for each in level.steep]))


def _family_parts(family: Any) -> dict[str, Any]:
    kept = {name: getattr(family, name) for name in ("bandwidth", "seen", "singular", "round")}
    return {**kept, "activation": family.activation.name, "steep": [asdict(each) for each in family.steep]}


def account_parts(solution: Any) -> dict[str, Any]:
    """What a solution says of itself, whether of a problem or an operator, for JSON; `account` reads it."""
    return {
        "format": FORMAT,
        "versions": {name: _version(name) for name in ("pinn", "jax", "flax", "numpy")},
        "status": solution.status.name,
        "error_estimate": solution.error_estimate,
        "trust": solution.trust.name,
        "trust_reason": solution.trust_reason,
        "seconds": solution.seconds,
        "plan": [vars(choice) for choice in solution.plan.choices],
        "history": [asdict(record) for record in solution.history],
    }


def account(card: Mapping[str, Any]) -> dict[str, Any]:
    """What a saved solution says of itself, by the names of its attributes."""
    history = History()
    for record in card["history"]:
        numbers = {name: float(record[name]) for name in ("seconds", "loss", "held_out", "estimate")}
        history.add(Record(**{**record, **numbers, "terms": floats(record["terms"])}))
    return {
        "status": Status[card["status"]],
        "error_estimate": floats(card["error_estimate"]),
        "trust": Trust[card["trust"]],
        "trust_reason": card["trust_reason"],
        "plan": Choices(tuple(Choice(**choice) for choice in card["plan"])),
        "history": history,
        "seconds": float(card["seconds"]),
    }


def card_of(files: Mapping[str, bytes]) -> dict[str, Any]:
    """The card among the files of a folder, in a format and a precision that can be read here."""
    card = json.loads(files[CARD])
    if card["format"] != FORMAT:
        writer = card["versions"]["pinn"]
        todo = "Update it" if card["format"] > FORMAT else "Solve again, or load it with the pinn that wrote it"
        raise CheckpointError(f"format {card['format']}, written by pinn {writer}; this pinn reads {FORMAT}. {todo}")
    dtype = jnp.dtype(card["dtype"])
    if jnp.zeros(0, dtype).dtype != dtype:
        raise CheckpointError(f"saved in {dtype}, and JAX_ENABLE_X64=0 turns 64-bit numbers off. Unset it")
    return card


def arrays_of(files: Mapping[str, bytes]) -> dict[str, np.ndarray]:
    """The arrays among the files of a folder."""
    with np.load(io.BytesIO(files[ARRAYS]), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def floats(numbers: Mapping[str, Any]) -> dict[str, float]:
    """As numbers what `for_json` may have made words of."""
    return {name: float(number) for name, number in numbers.items()}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def for_json(value: Any) -> Any:
    """The same for JSON, which has no NaN: numbers that are not finite become words that `float` understands."""
    if isinstance(value, Mapping):
        return {str(key): for_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [for_json(item) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    return str(float(value)) if isinstance(value, float) and not math.isfinite(value) else value


def approximation_parts(approximation: Any, state: Any) -> dict[str, Any] | None:
    """How an approximation is built, for JSON; None where this package alone cannot build it again."""
    if isinstance(approximation, Sum):
        return {"sum": [approximation_parts(approximation.first, state[0]), approximation_parts(approximation.second, state[1])]}
    if isinstance(approximation, Slabs):
        firsts = [slab_state(run, approximation.axis, 0) for run in state]
        edges = state[0]["edges"].tolist()
        runs = [_ansatz_parts(part, first) for part, first in zip(approximation.runs, firsts, strict=True)]
        later = [part.exact.resumed for part in approximation.runs]
        return {"slabs": runs, "later": later, "axis": approximation.axis, "edges": edges}
    if not isinstance(approximation, Together):
        return None
    return {"together": [_ansatz_parts(part, weights) for part, weights in zip(approximation.parts, state, strict=True)]}


def _ansatz_parts(part: Any, weights: Any) -> dict[str, Any]:
    encoding = part.encoding
    return {
        "fields": part.fields,
        "axes": part.axes,
        "lower": encoding.lower.tolist(),
        "upper": encoding.upper.tolist(),
        "periodic": encoding.periodic,
        "raw": encoding.raw,
        "steep": encoding.steep,
        "singular": [{"kind": type(each).__name__, **asdict(each)} for each in encoding.singular],
        "round": encoding.round,
        "engine": part.engine.__name__,
        "network": describe(part.network(weights)),
    }


_SHAPES: dict[str, type[Domain]] = {kind.__name__: kind for kind in (Box, Interval, Ball, Disk, Ellipse, Polygon)}
_PAIRS: dict[str, type[Domain]] = {kind.symbol: kind for kind in (Difference, Union, Intersection, Product)}


def domain_parts(domain: Domain) -> dict[str, Any]:
    """A domain for JSON; the box around it where it is none of this package's shapes.

    Example:
        >>> domain_parts(Box(x=(0, 2), y=(0, 1)) - Disk(x=1, y=0.5, radius=0.2))
        {'-': [{'Box': {'x': [0.0, 2.0], 'y': [0.0, 1.0]}}, {'Disk': {'x': 1.0, 'y': 0.5, 'radius': 0.2}}]}
    """
    if isinstance(domain, Difference | Union | Intersection | Product):
        return {domain.symbol: [domain_parts(domain.first), domain_parts(domain.second)]}
    kind = type(domain).__name__ if type(domain) in _SHAPES.values() else "Box"
    if isinstance(domain, Polygon) and kind != "Box":
        return {kind: dict(zip(domain.coordinates, map(list, zip(*domain.corners, strict=True)), strict=True))}
    if isinstance(domain, Ball | Ellipse) and kind != "Box":
        size = {"radius": domain.radius} if isinstance(domain, Ball) else {"radii": domain.radii, "angle": domain.angle}
        return {kind: dict(zip(domain.coordinates, domain.centre, strict=True)) | size}
    lower, upper = (end.tolist() for end in domain.bounds)
    return {kind: {name: [a, b] for name, a, b in zip(domain.coordinates, lower, upper, strict=True)}}


def domain_from(parts: Mapping[str, Any]) -> Domain:
    """The domain that `domain_parts` told of.

    Example:
        >>> domain_from(domain_parts(Box(x=(0, 2)) - Interval(x=(0.5, 1))))
        Box(x=(0, 2)) - Interval(x=(0.5, 1))
    """
    ((kind, inner),) = parts.items()
    return _PAIRS[kind](*map(domain_from, inner)) if kind in _PAIRS else _SHAPES[kind](**inner)
