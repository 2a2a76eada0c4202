"""A chain: a function along one coordinate that stays where it is from one sensor to the next, or jumps.

    f_{i+1} = f_i with probability s(f_i), else drawn from q(f | f_i)        u_i = f_i + σ ε_i

What it did before f_i tells nothing more. Values are those of a fine grid; s and q are read off clean functions, in hat functions
on a coarse grid, and the mean of f given all observations is exact for such a chain, by the forward and backward recursions

    a_{i+1}(f) ∝ p(u_{i+1} | f) ∫ p(f | f') a_i(f') df'        b_i(f) ∝ ∫ p(f' | f) p(u_{i+1} | f') b_{i+1}(f') df'

in O(B C) for each sensor, B fine and C coarse values. Linear filters, and mixtures of Gaussians, blur jumps; this does not.

Source: Baum, Petrie, Soules & Weiss, Ann. Math. Stat. 41 (1970); Rabiner, Proc. IEEE 77 (1989).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax

from .branches import First, Layout, NoiseLevels, Seen, described
from .deeponet import OperatorNetwork, between, counted
from .derivatives import Jet, Smooth
from .errors import NetworkError
from .networks import Frozen

_SAME = 1e-9  # of the largest value: what a function that stays may change by
_STAYS = 0.2  # of all steps: with fewer a function is no chain
_NODES, _STRAIGHT = 33, 1e-4  # of the profile between two sensors, and how much counts that it is straight
_SMOOTHED = 1e-4  # of a jump, that is spread over all values


class ChainOperator(OperatorNetwork):
    """The mean of a chain given its noisy values at regular sensors of an interval; see the module.

    It has no weights that are trained: `begin` reads all off clean functions, and so how they go from one sensor to the next.

    Args:
        layout, inputs, outputs: as for `DeepONet`; one coordinate and one field.
        base: makes a network that serves sensors at other places.
        values, coarse: of the fine grid, and of that of hat functions.
        levels: noise levels that are weighed by their evidence where none is given.

    Raises:
        NetworkError: several coordinates or fields, or sensors that are not regular.

    Example:
        >>> line = Layout(np.linspace(-1, 1, 6)[:, None])
        >>> network = ChainOperator(line, 1, 1, values=9, coarse=3, rngs=nnx.Rngs(0))
        >>> network.encode(Seen(jnp.ones(6), jnp.asarray(line.sensors), jnp.array(0.1), None)).round(3).tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
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
        values: int = 512,
        coarse: int = 48,
        levels: int = 16,
    ):
        if len(layout.shape) != 1 or inputs != 1 or outputs != 1:
            raise NetworkError(f"A chain needs one coordinate and one field; got {inputs} and {outputs}.")
        self.base = base(layout, inputs, outputs, rngs=rngs, dtype=dtype) if base is not None else None
        self.count, self.ends = layout.count, layout.ends
        self.profile = Frozen(jnp.linspace(0, 1, _NODES, dtype=dtype))
        self.grid = Frozen(jnp.linspace(-2, 2, values, dtype=dtype))
        self.stays = Frozen(jnp.full(coarse, 0.5, dtype))
        self.first = Frozen(jnp.full(coarse, 1 / coarse, dtype))
        self.jumps = Frozen(jnp.full((coarse, coarse), 1 / coarse, dtype))
        self.levels = NoiseLevels(levels, dtype)
        self.options = described("ChainOperator", values=values, coarse=coarse, levels=levels)

    def encode(self, seen: Seen) -> Array:
        """The mean at the sensors, [n]."""
        sigma, odds = self.levels(seen.sigma)
        means, evidence = jax.vmap(lambda s: self._given(seen.values, s))(sigma)
        return jax.nn.softmax(evidence + odds) @ means

    def decode(self, code: Array, x: Smooth) -> Smooth:
        place = counted(x, self.ends, (self.count,))
        value = place.value if isinstance(place, Jet) else place
        index = jnp.clip(jnp.floor(value), 0, max(self.count - 2, 0)).astype(int)[0]
        share = between(self.profile[...], (place - index.astype(x.dtype)) * (len(self.profile[...]) - 1.0))
        return share * (code[jnp.minimum(index + 1, self.count - 1)] - code[index]) + code[index][None]

    def basis(self, x: Smooth) -> Smooth | None:
        return self.base.basis(x) if self.base is not None else None

    def begin(self, first: First) -> bool:
        """Read the chain off clean functions; False where they hardly ever stay, or are not known."""
        if first.clean is None or self.count < 2:
            return False
        clean, dtype = np.asarray(first.clean, float), self.grid[...].dtype
        before, after = clean[:, :-1].ravel(), clean[:, 1:].ravel()
        same = np.abs(after - before) <= _SAME * np.abs(clean).max()
        if np.mean(same) < _STAYS:
            return False
        ends = np.linspace(clean.min(), clean.max(), len(self.stays[...]))
        was, now = _hats(ends, before), _hats(ends, after[~same])
        jumps = was[~same].T @ now
        jumps = jumps + _SMOOTHED * jumps.sum(axis=0) + 1e-12
        stays = (was[same].sum(axis=0) + np.mean(same)) / (was.sum(axis=0) + 1)
        begun = _hats(ends, clean[:, 0]).mean(axis=0) + _SMOOTHED / len(ends)
        self.grid[...] = jnp.asarray(np.linspace(ends[0], ends[-1], len(self.grid[...])), dtype)
        self.stays[...], self.first[...] = jnp.asarray(stays, dtype), jnp.asarray(begun / begun.sum(), dtype)
        self.jumps[...] = jnp.asarray(jumps / jumps.sum(axis=1, keepdims=True), dtype)
        if first.elsewhere is not None:
            self.profile[...] = jnp.asarray(self._profile(clean, *(np.asarray(a, float) for a in first.elsewhere)), dtype)
        self.levels.begin(first.seen.sigma)
        return True

    def _profile(self, clean: np.ndarray, points: np.ndarray, values: np.ndarray) -> np.ndarray:
        """What the next sensor has of a function between two, by how far it is: least squares, straight if nothing is known."""
        place = np.asarray(counted(jnp.asarray(points[:, 0]), self.ends, (self.count,)))
        index = np.clip(np.floor(place), 0, self.count - 2).astype(int)
        jump = clean[:, index + 1] - clean[:, index]
        hats = _hats(np.linspace(0, 1, _NODES), np.clip(place - index, 0, 1))
        gram = hats.T * np.sum(jump**2, axis=0) @ hats
        right = hats.T @ np.sum(jump * (values - clean[:, index]), axis=0)
        straight, bends = np.linspace(0, 1, _NODES), np.diff(np.eye(_NODES), axis=0)
        matrix = gram + _STRAIGHT * np.trace(gram) / _NODES * bends.T @ bends
        inside = slice(1, -1)  # at the sensors themselves there is no choice
        straight[inside] += np.linalg.solve(matrix[inside, inside], (right - gram @ straight)[inside])
        return straight

    def description(self) -> dict[str, Any] | None:
        return json.loads(self.options) | {"base": self.base.description() if self.base is not None else None}

    def _given(self, values: Array, sigma: Array) -> tuple[Array, Array]:
        """The mean [n] with this noise level, and how probable it makes the observations, as a logarithm."""
        grid = self.grid[...]
        hats = _hats(jnp.linspace(grid[0], grid[-1], len(self.stays[...])), grid)
        masses = hats / jnp.sum(hats, axis=0, keepdims=True)
        stays = hats @ self.stays[...]
        variance = sigma**2 + (grid[1] - grid[0]) ** 2 / 12
        misfit = -0.5 * (values[:, None] - grid[None]) ** 2 / variance
        top = jnp.max(misfit, axis=1)
        likely = jnp.exp(misfit - top[:, None])

        def onward(a: Array, now: Array) -> tuple[Array, tuple[Array, Array]]:
            found = a * now
            total = jnp.sum(found)
            found = found / total
            moved = masses @ (((1 - stays) * found) @ hats @ self.jumps[...])
            return stays * found + moved, (found, jnp.log(total))

        def back(b: Array, now: Array) -> tuple[Array, Array]:
            ahead = now * b
            ahead = ahead / jnp.max(ahead)
            return stays * ahead + (1 - stays) * (hats @ (self.jumps[...] @ (ahead @ masses))), b

        _, (forward, logs) = lax.scan(onward, masses @ self.first[...], likely)
        _, backward = lax.scan(back, jnp.ones_like(grid), likely, reverse=True)
        shares = forward * backward
        mean = shares @ grid / jnp.sum(shares, axis=1)
        return mean, jnp.sum(logs + top) - 0.5 * len(values) * jnp.log(variance)


def _hats(ends: Any, values: Any) -> Any:
    """Hat functions on an even grid [C] at values [N], [N, C]."""
    numbers = jnp if isinstance(values, jax.Array) else np
    place = (values - ends[0]) / (ends[1] - ends[0])
    return numbers.maximum(1 - numbers.abs(place[:, None] - numbers.arange(len(ends))[None]), 0)
