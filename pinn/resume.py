"""Where a solve goes on from: its checkpoint, if that is one of the same problem and plan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .checkpoint import latest
from .defaults import Plan
from .errors import CheckpointError
from .features import Setup
from .fingerprint import check_same, fingerprint
from .interrupts import Interrupts
from .journal import Journal
from .operator_learning import OperatorPlan, OperatorProblem
from .operator_learning.linear import draw_many

_ADVICE = "Remove it to begin anew, or give another checkpoint=."
_FREE = ("stop",)  # choices that a resumed run may make otherwise: it goes on from where that makes a difference


def resume(path: str | Path | None, setup: Setup, plan: Plan, interrupts: Interrupts) -> Journal:
    """The journal of the run that was saved at `path`, or an empty one that will be.

    Raises:
        CheckpointError: the checkpoint cannot be read, is one of another problem or plan, or has nowhere to be written.

    Warns:
        CheckpointWarning: the latest checkpoint is damaged; the one before it is used.
    """
    if path is None:
        return Journal(interrupts=interrupts)
    place = Path(path)
    _check_writable(place)
    identity = {"problem": fingerprint(setup.problem), "plan": _plan_parts(plan, setup.seed)}
    found = latest(place)
    if found is not None:
        _check_identity(place, found[0].get("identity", {}), identity)
    return Journal(place, identity, interrupts, found)


def resume_operator(
    path: str | Path | None, problem: OperatorProblem, plan: OperatorPlan, seed: tuple[int, ...], interrupts: Interrupts
) -> Journal:
    """The same for an operator problem, told apart from others by its sensors and by a sample that it draws.

    Raises:
        CheckpointError: as for `resume`.
    """
    if path is None:
        return Journal(interrupts=interrupts)
    place = Path(path)
    _check_writable(place)
    sample = np.asarray(draw_many(problem, jax.random.key(0), jnp.asarray(problem.sensors[:1]), 1).noisy[0], float)
    parts = {"fields": list(problem.fields), "learns from": problem.learns_from, "sensors": problem.sensors.tolist()}
    identity = {"problem": parts | {"a sample": np.round(sample, 4).tolist()}, "plan": _plan_parts(plan, seed)}
    found = latest(place)
    if found is not None:
        saved = found[0].get("identity", {})
        for about, given in identity["problem"].items():
            if saved.get("problem", {}).get(about) != given:
                raise CheckpointError(f"{path} was saved for another operator problem: its {about} differ. {_ADVICE}")
        _check_plan(place, saved.get("plan", {}), identity["plan"])
    return Journal(place, identity, interrupts, found)


def _plan_parts(plan: Plan | OperatorPlan, seed: tuple[int, ...]) -> dict[str, Any]:
    """What was chosen, in words, and the seeds."""
    chosen: dict[str, str] = {}
    for choice in plan.choices:
        if choice.about not in _FREE:
            chosen[choice.about] = ", ".join(filter(None, (chosen.get(choice.about), choice.chosen)))
    steps = plan.stages if isinstance(plan, OperatorPlan) else plan.phases
    phases = "; ".join(f"{phase.name or 'unnamed'}, {phase.steps} steps" for phase in steps)
    return chosen | {"phases": phases, "key": ", ".join(map(str, seed))}


def _check_identity(path: Path, saved: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    try:
        check_same(saved["problem"], given["problem"])
        old, new = saved["plan"], given["plan"]
    except CheckpointError as error:
        raise CheckpointError(f"{path} was {error}. {_ADVICE}") from None
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path} holds no journal of a solve: {error!r}. {_ADVICE}") from error
    _check_plan(path, old, new)


def _check_plan(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    for about in [*new, *(about for about in old if about not in new)]:
        if old.get(about) != new.get(about):
            was, now = (parts.get(about, "nothing") for parts in (old, new))
            raise CheckpointError(f"{path} was saved with another plan: {about} was {was}, and is now {now}. {_ADVICE}")


def _check_writable(path: Path) -> None:
    if path.is_dir():
        raise CheckpointError(f"checkpoint= needs a file, such as {str(path / 'solve.ck')!r}; {str(path)!r} is a folder.")
    trial = path.with_name(f".{path.name}.trial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        reason = f"checkpoint={str(path)!r} cannot be written: {error.strerror}"
        raise CheckpointError(f"{reason}. Give a file in another folder.") from error
