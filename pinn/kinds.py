"""The kinds of networks that there are: what tells one apart, for JSON, and one made again from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from .derivatives import ACTIVATIONS
from .networks import MLP, Features, ModifiedMLP, Network, ResidualMLP
from .staged import Functions, StagedFeatures, StagedProducts

_KINDS: dict[str, Callable[..., Network]] = {
    kind.__name__: kind for kind in (MLP, ResidualMLP, ModifiedMLP, Features, StagedFeatures, StagedProducts)
}
_OWN = MLP | ResidualMLP | ModifiedMLP | Features | StagedProducts


def describe(network: nnx.Module) -> dict[str, Any] | None:
    """What `rebuild` needs to make a network of the same structure, for JSON; None for one that is not of this package.

    Example:
        >>> describe(MLP(2, 1, width=8, depth=2, rngs=nnx.Rngs(0)))
        {'kind': 'MLP', 'activation': 'tanh', 'width': 8, 'depth': 2}
    """
    if not isinstance(network, _OWN) or _KINDS.get(type(network).__name__) is not type(network):
        return None
    if isinstance(network, StagedProducts):
        lines = [list(line) for line in network.lines]
        return {"kind": "StagedProducts", "lines": lines, "stages": network.stages, "time": network.time}
    name = network.activation.name
    if ACTIVATIONS.get(name) is not network.activation:
        return None
    description = {"kind": type(network).__name__, "activation": name, "width": network.output.kernel.shape[0]}
    if isinstance(network, StagedFeatures):
        description |= {"stages": network.stages, "time": network.time}
    if isinstance(network, Features):
        return description | {"direct": network.direct}
    description["depth"] = len(network.inner if isinstance(network, ResidualMLP) else network.layers)
    if isinstance(network, MLP) and network.embedding is not None:
        description["fourier"] = network.embedding.angles.kernel.shape[1] // 2
    return description


def rebuild(description: Mapping[str, Any], inputs: int, outputs: int, dtype: jnp.dtype) -> Network:
    """A network as described, with weights of no meaning.

    Example:
        >>> rebuild({"kind": "MLP", "activation": "sin", "width": 8, "depth": 2}, 2, 1, jnp.float32)(jnp.zeros(2)).shape
        (1,)
    """
    options = dict(description)
    make = _KINDS[options.pop("kind")]
    if make is StagedProducts:
        lines = [Functions(*line) for line in options["lines"]]
        return StagedProducts(outputs, dtype, lines, options["stages"], options["time"])
    activation = ACTIVATIONS[options.pop("activation")]
    if make is StagedFeatures:
        stages, time, direct = options["stages"], options["time"], options["direct"]
        drawn = options["width"] // (stages + 1) - 1 - direct
        kernel = np.zeros((inputs - direct, drawn))
        return StagedFeatures(kernel, np.zeros(drawn), outputs, activation, dtype, stages, time, direct)
    if make is Features:
        direct = options["direct"]
        drawn = options["width"] - direct
        return Features(np.zeros((inputs - direct, drawn)), np.zeros(drawn), outputs, activation, dtype, direct)
    return make(inputs, outputs, rngs=nnx.Rngs(0), dtype=dtype, activation=activation, **options)
