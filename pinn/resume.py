"""Where a solve goes on from: its checkpoint, if that is one of the same problem and plan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .checkpoint import latest
from .defaults import Plan
from .errors import CheckpointError
from .features import Setup
from .fingerprint import check_same, fingerprint
from .interrupts import Interrupts
from .journal import Journal

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
    identity = {"problem": fingerprint(setup.problem), "plan": _plan_parts(setup, plan)}
    found = latest(place)
    if found is not None:
        _check_identity(place, found[0].get("identity", {}), identity)
    return Journal(place, identity, interrupts, found)


def _plan_parts(setup: Setup, plan: Plan) -> dict[str, Any]:
    """What was chosen, in words, and the seeds."""
    chosen: dict[str, str] = {}
    for choice in plan.choices:
        if choice.about not in _FREE:
            chosen[choice.about] = ", ".join(filter(None, (chosen.get(choice.about), choice.chosen)))
    phases = "; ".join(f"{phase.name or 'unnamed'}, {phase.steps} steps" for phase in plan.phases)
    return chosen | {"phases": phases, "key": ", ".join(map(str, setup.seed))}


def _check_identity(path: Path, saved: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    advice = "Remove it to begin anew, or give another checkpoint=."
    try:
        check_same(saved["problem"], given["problem"])
        old, new = saved["plan"], given["plan"]
    except CheckpointError as error:
        raise CheckpointError(f"{path} was {error}. {advice}") from None
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path} holds no journal of a solve: {error!r}. {advice}") from error
    for about in [*new, *(about for about in old if about not in new)]:
        if old.get(about) != new.get(about):
            was, now = (parts.get(about, "nothing") for parts in (old, new))
            raise CheckpointError(f"{path} was saved with another plan: {about} was {was}, and is now {now}. {advice}")


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
