"""Saved operators: a folder of plain files like that of a `Solution`, without the compiled function.

solution.json   what is known of the operator, in words and numbers, and how its network is built
arrays.npz      the weights, by their place in the network
SHA256SUMS      checksums of the two
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from ..errors import CheckpointError, SolutionError
from ..rebuilding import rebuild
from ..saving import (
    ARRAYS,
    CARD,
    SUMS,
    account,
    account_parts,
    arrays_of,
    card_of,
    checksums,
    domain_from,
    domain_parts,
    filled,
    folder_for,
    for_json,
    named_arrays,
    npz,
    write_folder,
)
from .learner import Learner, Units, layout_of, make_state
from .problem import OperatorProblem
from .report import OperatorErrors
from .solution import OperatorSolution, Outline

KIND = "operator"


def save(solution: OperatorSolution, path: str | Path) -> None:
    """Write an `OperatorSolution` as a folder, whole or not at all; one that was saved there before is replaced.

    Raises:
        CheckpointError: there is something else at `path`.
    """
    target = folder_for(path)
    card = json.dumps(for_json(_card(solution)), indent=1, ensure_ascii=False, allow_nan=False)
    files = {CARD: card.encode(), ARRAYS: npz(named_arrays("weights", solution.state))}
    write_folder(target, files | {SUMS: checksums(files)})


def _card(solution: OperatorSolution) -> dict[str, Any]:
    problem, learner = solution.problem, solution.learner
    report = solution.report
    if isinstance(problem, OperatorProblem) and "clean" in problem.judged:
        report = solution.errors()
    return {
        **account_parts(solution),
        "kind": KIND,
        "problem": {
            "name": problem.name,
            "fields": list(problem.fields),
            "domain": domain_parts(problem.domain),
            "sensor_names": list(problem.sensor_names),
            "sensors": problem.sensors.tolist(),
            "observes": problem.observes,
            "known": sorted(problem.known),
        },
        "units": asdict(learner.units),
        "dtype": str(learner.dtype),
        "seed": solution.seed,
        "network": learner.network(solution.state).description(),
        "errors": None if report is None else report.to_dict(),
    }


def is_operator(files: Mapping[str, bytes]) -> bool:
    """Whether the files of a folder are those of an operator."""
    return json.loads(files[CARD]).get("kind") == KIND


def loaded(files: Mapping[str, bytes], problem: Any, network: Callable | None) -> OperatorSolution:
    """The operator in the files of a folder; with its problem it can draw samples again."""
    card = card_of(files)
    told = card["problem"]
    outline = Outline(
        told["name"],
        domain_from(told["domain"]),
        tuple(told["fields"]),
        tuple(told["sensor_names"]),
        np.asarray(told["sensors"], float),
        told["observes"],
        frozenset(told["known"]),
    )
    if problem is not None:
        _check_same(outline, problem)
    where, dtype = problem or outline, jnp.dtype(card["dtype"])
    made = _network(card["network"], network, where, dtype)
    graph, state = make_state(made)
    state = filled("weights", state, arrays_of(files))
    units = card["units"]
    units = Units(units["centre"], units["size"], tuple(units["output_centre"]), tuple(units["output_size"]))
    report = OperatorErrors(**card["errors"]) if card["errors"] else None
    learner = Learner(where, graph, units, dtype)
    return OperatorSolution(where, learner, state, seed=tuple(card["seed"]), report=report, **account(card))


def _network(description: Any, network: Callable | None, problem: Any, dtype: Any) -> Any:
    layout, sizes = layout_of(problem, dtype), (problem.domain.dimension, len(problem.fields))
    if description is not None:
        return rebuild(description, layout, *sizes, dtype)
    if network is None:
        raise SolutionError(
            "This operator's network is a module of your own, whose code is not saved: pass what made it, "
            "pinn.load(path, problem, network)."
        )
    return network(layout, *sizes, rngs=nnx.Rngs(0), dtype=dtype)


def _check_same(outline: Outline, problem: Any) -> None:
    if not isinstance(problem, OperatorProblem):
        raise CheckpointError(f"it holds an operator, which belongs to a pinn.OperatorProblem; got {problem!r:.60}")
    pairs = {
        "fields": (outline.fields, problem.fields),
        "domain": (domain_parts(outline.domain), domain_parts(problem.domain)),
        "sensors": (outline.sensors.tolist(), problem.sensors.tolist()),
        "parts of a sample": (sorted(outline.known), sorted(problem.known)),
    }
    for what, (saved, given) in pairs.items():
        if saved != given:
            raise CheckpointError(f"it was saved for another problem: its {what} are {saved!r:.60}, and here {given!r:.60}")
