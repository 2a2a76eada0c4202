"""Saved operators: a folder of plain files like that of a `Solution`, without the compiled function.

solution.json   what is known of the operator, in words and numbers, and how its network is built
arrays.npz      the weights, by their place in the network
SHA256SUMS      checksums of the two
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from ..choices import Choice, table
from ..deeponet import rebuild
from ..errors import CheckpointError, SolutionError
from ..estimate import Trust
from ..history import History, Record, Status
from ..saving import (
    ARRAYS,
    CARD,
    FORMAT,
    SUMS,
    checksums,
    domain_from,
    domain_parts,
    filled,
    folder_for,
    for_json,
    named_arrays,
    npz,
    version,
    write_folder,
)
from .learner import Learner, Units, layout_of, make_state
from .problem import OperatorProblem
from .report import OperatorErrors
from .solution import OperatorSolution, Outline

KIND = "operator"


class Choices:
    """The choices behind a saved operator; printed like its plan."""

    def __init__(self, choices: tuple[Choice, ...]):
        self.choices = choices

    def __str__(self) -> str:
        return table(self.choices)


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
        "format": FORMAT,
        "kind": KIND,
        "versions": {name: version(name) for name in ("pinn", "jax", "flax", "numpy")},
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
        "status": solution.status.name,
        "error_estimate": solution.error_estimate,
        "trust": solution.trust.name,
        "trust_reason": solution.trust_reason,
        "seconds": solution.seconds,
        "plan": [vars(choice) for choice in solution.plan.choices],
        "history": [asdict(record) for record in solution.history],
        "errors": None if report is None else report.to_dict(),
    }


def is_operator(files: Mapping[str, bytes]) -> bool:
    """Whether the files of a folder are those of an operator."""
    return json.loads(files[CARD]).get("kind") == KIND


def loaded(files: Mapping[str, bytes], problem: Any, network: Callable | None) -> OperatorSolution:
    """The operator in the files of a folder; with its problem it can draw samples again."""
    card = json.loads(files[CARD])
    if card["format"] > FORMAT:
        raise CheckpointError(
            f"format {card['format']}, written by pinn {card['versions']['pinn']}; this pinn reads up to {FORMAT}"
        )
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
    with np.load(io.BytesIO(files[ARRAYS]), allow_pickle=False) as stored:
        state = filled("weights", state, {name: stored[name] for name in stored.files})
    units = card["units"]
    units = Units(units["centre"], units["size"], tuple(units["output_centre"]), tuple(units["output_size"]))
    history = History()
    for record in card["history"]:
        numbers = {name: float(record[name]) for name in ("seconds", "loss", "held_out", "estimate")}
        history.add(Record(**{**record, **numbers}))
    return OperatorSolution(
        where,
        Learner(where, graph, units, dtype),
        state,
        Status[card["status"]],
        {name: float(value) for name, value in card["error_estimate"].items()},
        Trust[card["trust"]],
        card["trust_reason"],
        Choices(tuple(Choice(**choice) for choice in card["plan"])),
        history,
        float(card["seconds"]),
        tuple(card["seed"]),
        OperatorErrors(**card["errors"]) if card["errors"] else None,
    )


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
