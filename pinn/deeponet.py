"""Operator networks: from an input function, given by its values at sensors, to an output function that is called anywhere.

    (G u)(x) = Σ_k b_k(u) t_k(x) + b₀        branch b, trunk t (Lu et al. 2021, arXiv 1910.03193)

An operator network has two steps, `encode(seen) -> code` for one observation and `decode(code, x) -> [fields]` at one encoded
point. Jets pass through `decode`, so the trunk's derivatives by the coordinates come from the same Taylor pass as a network's.
It is made by a callable `(layout, inputs, outputs, *, rngs, dtype) -> nnx.Module`; the classes here are such callables.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from .branches import (
    Branch,
    ConvBranch,
    ConvStack,
    DenseBranch,
    First,
    Layout,
    Seen,
    SetBranch,
    applied,
    dense,
    described,
    layers,
)
from .branches import noise_inputs as _noise
from .decompositions import svd
from .derivatives import Activation, Jet, Smooth, concatenate, gelu, sin, tanh
from .errors import NetworkError
from .kinds import describe as describe_trunk
from .networks import MLP, Dense, Frozen, generator, glorot
from .ridge import RidgeBranch

BRANCHES: dict[str, type[Branch]] = {kind.__name__: kind for kind in (DenseBranch, ConvBranch, SetBranch, RidgeBranch)}


class OperatorNetwork(nnx.Module):
    """Base of the operator networks.

    Attributes:
        free: whether the sensors may be others than those it was trained with.
        jets: whether jets pass through `decode`.
    """

    free: bool = False
    jets: bool = True

    def encode(self, seen: Seen) -> Any:
        """What is kept of one observation."""
        raise NotImplementedError

    def decode(self, code: Any, x: Smooth) -> Smooth:
        """The output [fields] at one encoded point [d]."""
        raise NotImplementedError

    def basis(self, x: Smooth) -> Smooth | None:
        """The functions [p] that outputs are sums of; None where they depend on the observation."""
        return None

    def begin(self, first: First) -> bool:
        """Start from samples before training, most networks at random; False where such samples are not for this network."""
        del first
        return True

    def description(self) -> dict[str, Any] | None:
        """What `rebuild` needs to make the network again, for JSON; None for a network that is not of this package."""
        return None


class Harmonics(nnx.Module):
    """A trunk that is never trained: cosines and sines of the lowest frequencies on a box larger than the domain.

    On the larger box they need not be periodic on the domain itself, and independent coefficients make a stationary process; on
    one of twice its size any such process, and 2 n + 1 of them on a line resolve what n sensors do.

    Args:
        inputs, outputs: coordinates, and functions.
        stretch: the larger box in units of the domain.

    Example:
        >>> Harmonics(1, 5, rngs=nnx.Rngs(0))(jnp.zeros(1)).round(2).tolist()
        [1.0, 1.0, 0.0, 1.0, 0.0]
    """

    def __init__(
        self, inputs: int, outputs: int, *, rngs: nnx.Rngs | None = None, dtype: jnp.dtype = jnp.float64, stretch: float = 2.0
    ):
        del rngs
        reach = next(k for k in itertools.count(1) if (2 * k + 1) ** inputs >= 2 * outputs)
        waves = np.array(list(itertools.product(range(-reach, reach + 1), repeat=inputs)))
        first = [next((w for w in wave if w), 0) for wave in waves]
        waves = waves[np.array(first) >= 0]
        waves = waves[np.argsort(np.linalg.norm(waves, axis=1), kind="stable")]
        pairs = [(wave, phase) for wave in waves for phase in ((np.pi / 2, 0.0) if wave.any() else (np.pi / 2,))][:outputs]
        kernel = np.stack([wave * np.pi / stretch for wave, _ in pairs], axis=1)
        self.angles = Dense(kernel, np.array([phase for _, phase in pairs]), dtype, Frozen)
        self.stretch = stretch

    @property
    def frequencies(self) -> np.ndarray:
        """The length of each function's wave vector, [p]."""
        return np.linalg.norm(np.asarray(self.angles.kernel[...]), axis=0)

    def __call__(self, x: Smooth) -> Smooth:
        return sin(self.angles(x))


class PODTrunk(nnx.Module):
    """The mean and principal modes of given output functions, interpolated linearly on a grid (POD-DeepONet, Lu et al. 2022).

    Args:
        inputs, outputs: coordinates, and modes.
        snapshots: output functions on the grid, [N, *shape].

    Raises:
        NetworkError: fewer snapshots or grid points than modes.

    Example:
        >>> waves = np.sin(np.outer(np.arange(1, 9), np.linspace(0, 3, 20)))
        >>> PODTrunk(1, 4, snapshots=waves)(jnp.zeros(1)).shape
        (4,)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        snapshots: np.ndarray,
        rngs: nnx.Rngs | None = None,
        dtype: jnp.dtype = jnp.float64,
    ):
        del rngs
        flat = np.asarray(snapshots, float).reshape(len(snapshots), -1)
        if np.ndim(snapshots) != inputs + 1 or min(flat.shape) < outputs:
            raise NetworkError(
                f"PODTrunk() needs snapshots [N, {'× '.join(['n'] * inputs)}] with at least {outputs} functions and grid points "
                f"for its {outputs} modes; got {np.shape(snapshots)}."
            )
        _, sizes, modes = svd(flat)
        scaled = modes[:outputs] * (sizes[:outputs, None] / np.sqrt(len(flat)))
        self.modes = Frozen(jnp.asarray(scaled.reshape(outputs, *np.shape(snapshots)[1:]), dtype))

    def __call__(self, x: Array) -> Array:
        modes = self.modes[...]
        place = jnp.stack([(x[i] + 1) / 2 * (n - 1) for i, n in enumerate(modes.shape[1:])])
        at = [place[i][None] for i in range(len(place))]
        return jax.vmap(lambda mode: jax.scipy.ndimage.map_coordinates(mode, at, order=1, mode="nearest")[0])(modes)


FOURIER_TRUNK: Callable[..., nnx.Module] = partial(MLP, width=64, depth=3, fourier=32, fourier_scale=3.0)


class DeepONet(OperatorNetwork):
    """The unstacked DeepONet with a bias: one branch, one trunk, a scalar product for each field.

    Args:
        layout, inputs, outputs: the sensors, the coordinates and the fields.
        rank: functions in the trunk.
        branch: makes the branch, such as `pinn.DenseBranch`, `ConvBranch`, `SetBranch`, `RidgeBranch`.
        trunk: makes the trunk, `(inputs, rank, *, rngs, dtype)`: `pinn.MLP`, `pinn.Harmonics`, `functools.partial` of them or of
            `pinn.PODTrunk`. By default an MLP on 32 random Fourier features.

    Example:
        >>> network = DeepONet(Layout(np.zeros((5, 1))), 2, 1, rank=4, rngs=nnx.Rngs(0))
        >>> code = network.encode(Seen(jnp.zeros(5), jnp.zeros((5, 1)), None, None))
        >>> network.decode(code, jnp.zeros(2)).shape
        (1,)
    """

    def __init__(
        self,
        layout: Layout,
        inputs: int,
        outputs: int,
        *,
        rngs: nnx.Rngs,
        dtype: jnp.dtype = jnp.float64,
        rank: int = 64,
        branch: Callable[..., Branch] = DenseBranch,
        trunk: Callable[..., nnx.Module] = FOURIER_TRUNK,
    ):
        self.trunk = trunk(inputs, rank, rngs=rngs, dtype=dtype)
        self.branch = branch(layout, rank * outputs, rngs=rngs, dtype=dtype)
        if isinstance(self.branch, RidgeBranch) and (outputs > 1 or not isinstance(self.trunk, Harmonics)):
            raise NetworkError("A ridge branch needs one field and trunk=pinn.Harmonics, whose functions have frequencies.")
        self.bias = nnx.Param(jnp.zeros(outputs, dtype))
        self.free, self.jets = self.branch.free, not isinstance(self.trunk, PODTrunk)
        self.rank, self.outputs = rank, outputs

    def encode(self, seen: Seen) -> Array:
        return self.branch(seen).reshape(self.rank, self.outputs)

    def decode(self, code: Array, x: Smooth) -> Smooth:
        return self.basis(x) @ code + self.bias[...]

    def basis(self, x: Smooth) -> Smooth:
        return self.trunk(x)

    def begin(self, first: First) -> bool:
        if isinstance(self.branch, RidgeBranch) and isinstance(self.trunk, Harmonics):
            self.branch.begin(first, self.trunk.frequencies)
        return True

    def description(self) -> dict[str, Any] | None:
        trunk: dict[str, Any] | None = describe_trunk(self.trunk)
        if isinstance(self.trunk, Harmonics):
            trunk = {"kind": "Harmonics", "stretch": self.trunk.stretch}
        elif isinstance(self.trunk, PODTrunk):
            trunk = {"kind": "PODTrunk", "shape": list(self.trunk.modes[...].shape[1:])}
        if trunk is None or type(self.branch) not in BRANCHES.values():
            return None
        return {"kind": "DeepONet", "rank": self.rank, "branch": json.loads(self.branch.options), "trunk": trunk}


class ModifiedDeepONet(OperatorNetwork):
    """Two encoders U(u) and V(x) gate every hidden layer of branch and trunk: h ← (1 - z) U + z V, z = σ(A h + a).

    The trunk's functions then depend on the observation (Wang, Wang & Perdikaris 2022, arXiv 2110.01654). The sensors are fixed.

    Args:
        layout, inputs, outputs: as for `DeepONet`.
        width, depth, activation: of both nets; the width is the number of functions as well.

    Example:
        >>> network = ModifiedDeepONet(Layout(np.zeros((5, 1))), 2, 1, width=8, rngs=nnx.Rngs(0))
        >>> code = network.encode(Seen(jnp.zeros(5), jnp.zeros((5, 1)), None, None))
        >>> network.decode(code, jnp.zeros(2)).shape
        (1,)
    """

    def __init__(
        self,
        layout: Layout,
        inputs: int,
        outputs: int,
        *,
        rngs: nnx.Rngs,
        dtype: jnp.dtype = jnp.float64,
        width: int = 64,
        depth: int = 3,
        activation: Activation = tanh,
    ):
        draw, self.noise = generator(rngs), layout.noise

        def stack(*sizes: int) -> nnx.List:
            pairs = itertools.pairwise(sizes)
            return nnx.List([Dense(glorot(draw, a, b), np.zeros(b), dtype) for a, b in pairs])

        seen = layout.count + layout.noise
        self.gates = nnx.List([stack(seen, width)[0], stack(inputs, width)[0]])
        self.branch, self.trunk = stack(seen, *[width] * depth), stack(inputs, *[width] * depth)
        self.heads = stack(width, outputs * width)
        self.bias = nnx.Param(jnp.zeros(outputs, dtype))
        self.activation, self.outputs, self.width, self.depth = activation, outputs, width, depth

    def encode(self, seen: Seen) -> Array:
        return jnp.concatenate([seen.values, *_noise(self.noise, seen)])

    def decode(self, code: Array, x: Smooth) -> Smooth:
        u, v = self.activation(self.gates[0](code)), self.activation(self.gates[1](x))

        def gated(stack: nnx.List, h: Smooth) -> Smooth:
            for layer in stack:
                z = self.activation(layer(h))
                h = z * v + (1 - z) * u
            return h

        branch, trunk = self.heads[0](gated(self.branch, code)), gated(self.trunk, x)
        products = [branch[i * self.width : (i + 1) * self.width] * trunk for i in range(self.outputs)]
        ones = jnp.ones((self.width, 1), code.dtype)
        sums = [product @ ones for product in products]
        return _stacked(sums) + self.bias[...]

    def description(self) -> dict[str, Any] | None:
        return json.loads(described("ModifiedDeepONet", width=self.width, depth=self.depth, activation=self.activation))


class LocalDeepONet(OperatorNetwork):
    """A DeepONet around each sensor of a regular grid: convolutions give each its branch, the trunk sees the offset from it.

    So the cost is that of a convolution whatever the size of the grid, queries are continuous, and the same weights serve
    everywhere (the pattern of LIIF, arXiv 2012.09161). The result is added to that of `base`, which it also reads at the sensors,
    or to the observation itself, and starts at zero. It keeps what it learned on grids of other sizes and the same spacing.

    Args:
        layout, inputs, outputs: as for `DeepONet`; the sensors are a regular grid in all coordinates.
        base: makes a network whose output is corrected; none by default.
        residual: correct the observation, linear between its sensors: what is learned is the noise (DnCNN, arXiv 1608.03981).
        cell: so many sensors a side share one branch and are told apart by the trunk, at a cost lower by cell^d.
        channels, dilations, kernel, activation: of the residual convolutions.

    Raises:
        NetworkError: the sensors form no regular grid of the domain's dimension, or both `base` and `residual` are asked for.

    Example:
        >>> line = Layout(np.linspace(-1, 1, 6)[:, None])
        >>> network = LocalDeepONet(line, 1, 1, residual=True, cell=2, channels=4, dilations=(1,), rngs=nnx.Rngs(0))
        >>> code = network.encode(Seen(jnp.arange(6.0), jnp.asarray(line.sensors), None, None))
        >>> network.decode(code, jnp.array([0.1])).tolist()
        [2.75]
    """

    def __init__(
        self,
        layout: Layout,
        inputs: int,
        outputs: int,
        *,
        rngs: nnx.Rngs,
        dtype: jnp.dtype = jnp.float64,
        base: Callable[..., OperatorNetwork] | None = None,
        residual: bool = False,
        cell: int = 1,
        channels: int = 32,
        dilations: Sequence[int] = (1, 2, 4, 8, 1, 2, 4, 8),
        kernel: int = 3,
        activation: Activation = gelu,
    ):
        self.shape, self.ends = layout.shape, layout.ends
        if len(self.shape) != inputs:
            raise NetworkError(f"A local DeepONet needs sensors on a grid in all {inputs} coordinates; got {len(self.shape)}.")
        if residual and base is not None:
            raise NetworkError("A local DeepONet corrects base= or, with residual=True, the observation; give one of the two.")
        self.base = base(layout, inputs, outputs, rngs=rngs, dtype=dtype) if base is not None else None
        draw, channel_count = generator(rngs), (1 + outputs * (base is not None)) * cell**inputs + layout.noise
        self.stack = ConvStack(inputs, channel_count, channels, dilations, kernel, activation, draw)
        self.offset = layers(draw, [inputs, 16], dtype)
        self.output = dense(draw, 16, channels * outputs, dtype, 1 / 16)
        self.last = Dense(np.zeros((channels, channels)), np.zeros(channels), dtype)
        self.activation, self.noise, self.outputs, self.channels = activation, layout.noise, outputs, channels
        self.residual, self.cell = residual, cell
        own = {"residual": residual, "cell": cell, "channels": channels, "dilations": list(dilations)}
        self.options = described("LocalDeepONet", **own, kernel=kernel, activation=activation)

    def encode(self, seen: Seen) -> Any:
        channels, code = [seen.values[:, None]], None
        if (base := self.base) is not None:
            code = base.encode(seen)
            channels.append(jax.vmap(lambda x: base.decode(code, x))(seen.sensors))
        stacked = jnp.concatenate(channels, axis=-1)
        cells = in_cells(stacked.reshape(*self.shape, stacked.shape[-1]), self.cell)
        levels = [jnp.broadcast_to(level, (*cells.shape[:-1], 1)) for level in _noise(self.noise, seen)]
        h = self.stack(jnp.concatenate([cells, *levels], axis=-1))
        features = jax.vmap(self.last)(h.reshape(-1, self.channels))
        return (seen.values if self.residual else code), features

    def decode(self, code: Any, x: Smooth) -> Smooth:
        inner, features = code
        place = counted(x, self.ends, self.shape)
        value = place.value if isinstance(place, Jet) else place
        counts = tuple(-(-n // self.cell) for n in self.shape)
        nearest = jnp.clip(jnp.round(value / self.cell - (self.cell - 1) / (2 * self.cell)), 0, jnp.asarray(counts) - 1)
        index = jnp.ravel_multi_index(tuple(nearest.astype(int)), counts, mode="clip")
        centre = nearest.astype(x.dtype) * self.cell + (self.cell - 1) / 2
        trunk = self.output(applied(self.offset, self.activation, place - centre))
        parts = [trunk[i * self.channels : (i + 1) * self.channels] @ features[index][:, None] for i in range(self.outputs)]
        local = _stacked(parts)
        if self.residual:
            return local + between(inner.reshape(self.shape), place)
        return local if self.base is None else local + self.base.decode(inner, x)

    def basis(self, x: Smooth) -> Smooth | None:
        return self.base.basis(x) if self.base is not None else None

    def begin(self, first: First) -> bool:
        return self.base is None or self.base.begin(first)

    def description(self) -> dict[str, Any] | None:
        base = self.base.description() if self.base is not None else None
        return json.loads(self.options) | {"base": base}


def in_cells(grid: Array, cell: int) -> Array:
    """Values on a grid [*shape, c], those of each cell side by side: [*shape / cell, cell^d c]; the last ones are repeated.

    Example:
        >>> in_cells(jnp.arange(5.0)[:, None], 2).tolist()
        [[0.0, 1.0], [2.0, 3.0], [4.0, 4.0]]
    """
    dimension = grid.ndim - 1
    grid = jnp.pad(grid, [(0, -n % cell) for n in grid.shape[:-1]] + [(0, 0)], "edge")
    split = grid.reshape(*(size for n in grid.shape[:-1] for size in (n // cell, cell)), grid.shape[-1])
    order = [*range(0, 2 * dimension, 2), *range(1, 2 * dimension, 2), 2 * dimension]
    return split.transpose(order).reshape(*(n // cell for n in grid.shape[:-1]), -1)


def counted(x: Smooth, ends: tuple[Sequence[float], Sequence[float]], shape: Sequence[int]) -> Smooth:
    """A point [d] in steps of a regular grid from its first sensor on; `ends` are the first and the last one.

    Example:
        >>> counted(jnp.array([0.25]), ((-0.5,), (0.5,)), (5,)).tolist()
        [3.0]
    """
    low, high = (jnp.asarray(end, x.dtype) for end in ends)
    return (x - low) * (jnp.asarray([n - 1 for n in shape], x.dtype) / jnp.where(high > low, high - low, 1.0))


def between(grid: Array, place: Smooth) -> Smooth:
    """Values on a grid between its points, linear along each coordinate, [1]; the place [d] counts points from 0 on.

    Example:
        >>> between(jnp.array([0.0, 1.0, 4.0]), jnp.array([1.5])).tolist()
        [2.5]
    """
    dimension, value = grid.ndim, place.value if isinstance(place, Jet) else place
    low = [jnp.clip(jnp.floor(value[i]), 0, max(n - 2, 0)).astype(int) for i, n in enumerate(grid.shape)]
    share = [place[i : i + 1] - low[i].astype(grid.dtype) for i in range(dimension)]
    total: Any = 0.0
    for corner in itertools.product((0, 1), repeat=dimension):
        weight: Any = 1.0
        for i, upper in enumerate(corner):
            weight = weight * (share[i] if upper else 1 - share[i])
        index = tuple(jnp.minimum(low[i] + upper, grid.shape[i] - 1) for i, upper in enumerate(corner))
        total = total + weight * grid[index]
    return total


def _stacked(parts: list[Smooth]) -> Smooth:
    return concatenate(parts) if len(parts) > 1 else parts[0]
