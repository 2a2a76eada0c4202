"""Operator networks from what was saved of them: their kinds and options, as JSON has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from .branches import Branch, Layout
from .chain import ChainOperator
from .deeponet import BRANCHES, DeepONet, Harmonics, LocalDeepONet, ModifiedDeepONet, OperatorNetwork, PODTrunk
from .derivatives import ACTIVATIONS
from .kinds import rebuild as rebuild_trunk


def rebuild(description: Mapping[str, Any], layout: Layout, inputs: int, outputs: int, dtype: jnp.dtype) -> OperatorNetwork:
    """A network as described, with weights of no meaning."""
    options = dict(description)
    kind = options.pop("kind")
    if "activation" in options:
        options["activation"] = ACTIVATIONS[options["activation"]]
    common: dict[str, Any] = {"rngs": nnx.Rngs(0), "dtype": dtype}
    if kind == "DeepONet":
        branch, trunk = dict(options["branch"]), dict(options["trunk"])
        return DeepONet(
            layout, inputs, outputs, rank=options["rank"], branch=_branch(branch), trunk=_trunk(trunk, options["rank"]), **common
        )
    if kind == "LocalDeepONet":
        return LocalDeepONet(layout, inputs, outputs, base=_base(options.pop("base"), dtype), **options, **common)
    if kind == "ChainOperator":
        return ChainOperator(layout, inputs, outputs, base=_base(options.pop("base"), dtype), **options, **common)
    return ModifiedDeepONet(layout, inputs, outputs, **options, **common)


def _base(description: Mapping[str, Any] | None, dtype: jnp.dtype) -> Callable[..., OperatorNetwork] | None:
    return (lambda layout, a, b, **_: rebuild(description, layout, a, b, dtype)) if description else None


def _branch(options: dict[str, Any]) -> Callable[..., Branch]:
    kind = BRANCHES[options.pop("kind")]
    if "activation" in options:
        options["activation"] = ACTIVATIONS[options["activation"]]
    return partial(kind, **options)


def _trunk(options: dict[str, Any], rank: int) -> Callable[..., nnx.Module]:
    kind = options.pop("kind")
    if kind == "Harmonics":
        return partial(Harmonics, **options)
    if kind == "PODTrunk":
        return partial(PODTrunk, snapshots=np.eye(rank, int(np.prod(options["shape"]))).reshape(rank, *options["shape"]))
    return lambda inputs, outputs, *, rngs, dtype: rebuild_trunk({"kind": kind} | options, inputs, outputs, dtype)
