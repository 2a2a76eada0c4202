"""Families of random features: how they are drawn, and the search for the one that suits a problem."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeVar

import jax.numpy as jnp
import numpy as np

from .ansatz import wrap
from .approximation import Together, together
from .boundaries import TIME
from .conditions import Periodic
from .derivatives import Activation, sin, tanh, taylor
from .exact import Exact
from .networks import Encoding, Features
from .problem import Problem
from .singular import Onset, seen_by
from .steep import Steep, tables

_BESIDE = 2.0  # most bandwidth of a coordinate that has a steep one beside it
_LOOK = 0.5  # bandwidth, of the coordinates of corners and holes, to begin a search with
_ALONE = 0.25  # share of the features of a corner or hole that see no other coordinate: log r is a function of r
_WAVES = 0.04  # bandwidth of a periodic axis that many waves are tried along, for each feature that there is for it
_FEW = 100  # features for one of several such axes
_SLOW = 0.25  # bandwidth in time, of the features of a slab, to begin a search with
RICHER = 1.1  # bandwidth of the features for an error, in those of the solution
UNRESOLVED = 0.1  # held-out residual of features that show nothing of a solution
GOOD = 1e-14  # and of features that cannot be better


@dataclass(frozen=True)
class Family:
    """How features are drawn: sin or tanh, and a bandwidth for each coordinate, in the scaled domain [-1, 1]^d.

    Steep coordinates come after the others, with bandwidths of their own. Where `seen` is a number, each feature sees so many
    coordinates, drawn at random: a sum of functions of few coordinates needs no more, in however many dimensions. Of those in
    `round`, features see the sum of squares alone, with the bandwidth of the first: a function that is the same in all
    directions from the middle of the domain needs no more. With `singular`, each feature sees one corner or hole as well, or
    none; the last bandwidth is that of all their coordinates.
    """

    activation: Activation
    bandwidth: tuple[float, ...]
    steep: tuple[Steep, ...] = ()
    seen: int | None = None
    singular: bool = False
    round: tuple[int, ...] = ()

    @property
    def kind(self) -> tuple[str, int | None, bool, bool]:
        """What families of other bandwidths have in common with it."""
        return self.activation.name, self.seen, bool(self.steep), bool(self.round)

    @property
    def special(self) -> bool:
        """Whether it can be right for functions of a certain form only."""
        return self.seen is not None or bool(self.round)

    @property
    def plain(self) -> tuple[float, ...]:
        """Bandwidths of the coordinates that are neither steep nor singular."""
        return self.bandwidth[: len(self.bandwidth) - len(self.steep) - self.singular]

    @property
    def last(self) -> tuple[float, ...]:
        """That of the singular ones, if there are any."""
        return self.bandwidth[-1:] if self.singular else ()

    def __str__(self) -> str:
        plain = len(self.plain)
        shown = f"{self.activation.name}, bandwidth {' × '.join(f'{b:.3g}' for b in self.plain)}"
        shown += "" if self.seen is None else f", {self.seen} of {plain} coordinates each"
        shown += ", the same in all directions" if self.round else ""
        shown += "".join(f", {b:.3g} in a steep one" for b in self.bandwidth[plain : plain + len(self.steep)])
        return shown + "".join(f", {b:.3g} at corners and holes" for b in self.last)

    def scaled(self, factor: float, axis: int | None = None) -> Family:
        """The same with one bandwidth, or all, multiplied."""
        return replace(self, bandwidth=tuple(b * factor if axis in (None, i) else b for i, b in enumerate(self.bandwidth)))

    def for_axes(self, axes: Sequence[int]) -> Family:
        """The same for a field that depends on these coordinates only."""
        plain = len(self.plain)
        kept = [i for i, steep in enumerate(self.steep) if steep.axis in axes]
        bandwidth = [self.bandwidth[i] for i in axes] + [self.bandwidth[plain + i] for i in kept]
        seen = None if self.seen is None or self.seen >= len(axes) else self.seen
        steep = tuple(self.steep[i] for i in kept)
        round_ = tuple(axes.index(axis) for axis in self.round) if set(self.round) <= set(axes) else ()
        return Family(self.activation, (*bandwidth, *self.last), steep, seen, self.singular, round_)


class Drawn(NamedTuple):
    """A family, and how many features of it for each field."""

    family: Family
    width: int

    def richer(self) -> Drawn:
        """For the error of what these made."""
        return Drawn(self.family.scaled(RICHER), int(1.25 * self.width))


class Judged(Protocol):
    """Anything that was made with a family of features, and judged."""

    @property
    def family(self) -> Family: ...

    @property
    def held_out(self) -> float: ...


Found = TypeVar("Found", bound=Judged)


def draw_features(encoding: Encoding, family: Family, count: int, seed: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Kernel [inputs, count] and bias [count] of random features.

    Each sees one singularity of the encoding, or none: all of them, and none, equally often. Some see nothing else.
    """
    kernel, bias = _drawn(encoding, family, count, seed)
    looked_at = [each.seen for each in encoding.singular if each.seen]
    if not looked_at:
        return kernel, bias
    rng, b = np.random.default_rng((*seed, 1)), family.last[0] if family.singular else 0.0
    sees = rng.permutation(np.arange(count) % (len(looked_at) + 1)) - 1
    alone = family.singular & (sees >= 0) & (rng.uniform(size=count) < _ALONE)
    phases = rng.uniform(0, 2 * np.pi, count) if family.activation is sin else np.zeros(count)
    kernel, bias = np.where(alone, 0.0, kernel), np.where(alone, phases, bias)
    for i, size in enumerate(looked_at):
        shape, here = (size, count), sees == i
        if family.activation is sin:
            rows = rng.uniform(-2 * b, 2 * b, shape) * here
        else:
            rows = rng.uniform(-b, b, shape) * here
            bias = bias - np.sum(rows * rng.uniform(-1.05, 1.05, shape), axis=0)
        kernel = np.concatenate([kernel, rows])
    return kernel, bias


def _drawn(encoding: Encoding, family: Family, count: int, seed: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The same for the coordinates that are not singular.

    sin: frequencies uniform in (-2b, 2b), each part of that range equally often, whole numbers along periodic coordinates, and
    uniform phases. tanh: slopes uniform in (-b, b), centres uniform in a slightly larger box.
    """
    rng, width = np.random.default_rng(seed), np.array(family.bandwidth[: len(family.bandwidth) - family.singular])
    periodic = np.array([*encoding.periodic, *(steep.periodic for steep in family.steep)])
    if family.activation is sin:
        kernel = np.stack([_frequencies(rng, 2 * b, whole, count) for b, whole in zip(width, periodic, strict=True)])
        kernel = kernel * _seen(family, len(width), count, rng)
        if family.round:
            radial, kernel[list(family.round)] = kernel[family.round[0]].copy(), 0.0
            kernel = np.insert(kernel, len(encoding.periodic), radial, axis=0)
        return kernel, rng.uniform(0, 2 * np.pi, count)
    centres = np.where(periodic, np.pi, 1.05) * rng.uniform(-1, 1, (count, len(width)))
    blocks, spreads, plain = [], [], len(encoding.periodic)
    for part in (slice(0, plain), *(slice(i, i + 1) for i in range(plain, len(width)))):
        centre, whole = centres[:, part], periodic[part]
        each = np.where(np.isin(np.arange(len(width)), family.round), 0.0, width)[part]
        blocks += [centre[:, ~whole], np.cos(centre[:, whole]), np.sin(centre[:, whole])]
        spreads += [each[~whole], each[whole], each[whole]]
        if family.round and part.start == 0:
            blocks.append(np.sum(centre[:, list(family.round)] ** 2, axis=1, keepdims=True))
            spreads.append(width[[family.round[0]]])
    seen, spread = np.concatenate(blocks, axis=1), np.concatenate(spreads)
    kernel = rng.uniform(-1, 1, seen.shape) * spread
    if family.seen is not None:
        columns = np.concatenate([np.flatnonzero(~periodic), *[np.flatnonzero(periodic)] * 2])
        kernel = kernel * _seen(family, len(width), count, rng)[columns].T
    return kernel.T, -np.sum(kernel * seen, axis=1)


def _seen(family: Family, coordinates: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Which coordinates each feature sees, 1 or 0, [coordinates, count]."""
    shape = coordinates, count
    return np.ones(shape) if family.seen is None else (rng.uniform(size=shape).argsort(axis=0) < family.seen).astype(float)


def _frequencies(rng: np.random.Generator, highest: float, whole: bool, count: int) -> np.ndarray:
    """In random order, so that coordinates combine freely; a wave number that is left out could be in no solution."""
    if whole:
        most = math.ceil(highest)
        return rng.permutation(np.resize(np.arange(-most, most + 1), count)).astype(float)
    return (2 * (rng.permutation(count) + rng.uniform(size=count)) / count - 1) * highest


def feature_ansatz(
    problem: Problem, exact: Exact, family: Family, count: int, seed: Sequence[int], dtype: Any
) -> tuple[Together, tuple]:
    """An approximation of all fields by random features with zero coefficients, and its state."""
    parts, states = [], []
    for i, (axes, fields, lower, upper, singular) in enumerate(problem.groups()):
        periodic, own = tuple(exact.periodic[axis] for axis in axes), family.for_axes(axes)
        places = tuple(axes.index(steep.axis) for steep in own.steep)
        met = {axes.index(axis) for name in fields for axis in exact.ends.get(name, ()) if axis in axes}
        ahead = [each for each in singular if not (exact.resumed and isinstance(each, Onset))]
        singular = seen_by(count, ahead, met)
        raw = family.activation is sin
        encoding = Encoding(lower[list(axes)], upper[list(axes)], periodic, raw, places, singular, own.round)
        kernel, bias = draw_features(encoding, own, count - encoding.direct, [*seed, i])
        network = Features(kernel, bias, len(fields), family.activation, dtype, encoding.direct)
        steps = tables(own.steep, dtype)
        box = np.stack([lower, upper - lower])
        part, state = wrap(network, fields, axes, encoding, exact, jnp.asarray(np.ones(len(fields)), dtype), taylor, steps, box)
        parts.append(part)
        states.append(state)
    return together(problem.unknowns, tuple(parts)), tuple(states)


def candidates(problem: Problem) -> list[Family]:
    """Where the search for a bandwidth starts: equal in all coordinates, from smooth to oscillating."""
    dimension = problem.domain.dimension
    wide = (1.0, 2.0, 4.0, 8.0, 16.0) if dimension < 3 else (0.25, 0.5, 1.0, 2.0, 4.0)
    kinds = [(sin, wide, None), (tanh, wide[:-1], None)]
    if dimension > 2:
        kinds += [(sin, (1.0, 2.0), seen) for seen in (1, 2)]
    plain = [Family(activation, (b,) * dimension, (), seen) for activation, bandwidths, seen in kinds for b in bandwidths]
    space = tuple(i for i, name in enumerate(problem.domain.coordinates) if name != TIME)
    if len(space) > 2 and not any(isinstance(condition, Periodic) for condition in problem.conditions):
        plain += [Family(sin, (b,) * dimension, round=space) for b in (1.0, 2.0)]
    if not any(each.seen for group in problem.groups() for each in group.singular):
        return plain
    return [replace(family, bandwidth=(*family.bandwidth, _LOOK), singular=True) for family in plain] + plain


def slab_candidates(problem: Problem, axis: int) -> list[Family]:
    """The same for a slab of time, the coordinate `axis`: it may be as short as its features are slow.

    What a solution has of the functions of a singular beginning is there from the start: features need not see them.
    """
    every = [each for group in problem.groups() for each in group.singular if each.seen]
    seen = any(not isinstance(each, Onset) for each in every)
    return [f.scaled(_SLOW / f.bandwidth[axis], axis) for f in candidates(problem) if seen or not f.singular]


def elongated(family: Family) -> list[Family]:
    """Families that oscillate along one coordinate alone, for where no equal bandwidth resolves anything."""
    dimension = len(family.plain)
    along = [tuple(b if i == axis else 1.5 for i in range(dimension)) for axis in range(dimension) for b in (8.0, 32.0)]
    along.append((32.0,) * dimension)
    return [Family(sin, bandwidth + family.last, singular=family.singular) for bandwidth in along]


def steepened(family: Family, steep: Sequence[Steep]) -> list[Family]:
    """Families that see layers in steep coordinates, and what is beside them as smooth."""
    axes = {each.axis for each in steep}
    beside = tuple(min(b, _BESIDE) if i in axes else b for i, b in enumerate(family.plain))
    kinds = [(tuple(steep), 6.0), (tuple(each.broadened() for each in steep), 12.0)]
    return [
        Family(activation, beside + (b,) * len(steep) + family.last, kind, None, family.singular)
        for activation in (sin, tanh)
        for kind, b in kinds
    ]


def oscillating(family: Family, width: int, fixed: int, periodic: Sequence[bool]) -> list[Family]:
    """Sines of many wave lengths along every axis but one, a sixth and a third of what so many could resolve of one axis."""
    highest = [_WAVES * (width if len(family.plain) == 2 else _FEW) * (1.0 if each else np.pi) for each in periodic]
    bandwidths = [
        tuple(own if i == fixed else factor * highest[i] for i, own in enumerate(family.plain)) for factor in (1.0, 2.0)
    ]
    return [Family(sin, bandwidth + family.last, singular=family.singular) for bandwidth in bandwidths]


def without_steep(family: Family) -> Family:
    """The same with the plain coordinates alone."""
    return replace(family, bandwidth=family.plain + family.last, steep=())


def following(family: Family, steep: Sequence[Steep]) -> Family:
    """The same family with its steep coordinates, sharp or broad as they are, where the layers are now."""
    broad = any(each.broad for each in family.steep)
    return replace(family, steep=tuple(each.broadened() if broad else each for each in steep))


def neighbours(family: Family, fixed: int | None) -> list[Family]:
    """The same with one bandwidth changed, but not that of the `fixed` axis, if any, and with the other activation."""
    scaled = [family.scaled(factor, axis) for axis in range(len(family.bandwidth)) if axis != fixed for factor in (0.7, 1.4, 2.0)]
    others = [replace(family, activation=tanh if family.activation is sin else sin)]
    if family.steep and not family.steep[0].broad:
        others.append(replace(family, steep=tuple(each.broadened() for each in family.steep)))
    return [*scaled, *others]


def search(
    starts: Sequence[Family], make: Callable[[Family], Found], enough: Callable[[], bool], good: float = GOOD, most: int = 60
) -> Found:
    """The family with the smallest held-out residual: the starting families, then coordinate by coordinate.

    `make` fits one; the search ends early once `enough` says so, or a fit is `good`.
    """
    tried: dict[Family, Found] = {}

    def attempt(family: Family) -> Found:
        if family not in tried:
            tried[family] = make(family)
        return tried[family]

    first, *others = starts
    best = attempt(first)
    for family in others:
        if best.held_out <= good or enough():
            return best
        new = attempt(family)
        best = new if new.held_out < best.held_out else best
    axes = list(range(len(best.family.bandwidth)))
    few = len(best.family.plain) <= 3
    for family in elongated(best.family) if best.held_out > UNRESOLVED and few else ():
        if enough():
            return best
        new = attempt(family)
        best = new if new.held_out < best.held_out else best
    for factor in (2.0, 2.0, 2**0.5, 2**0.5):
        before = best
        for axis, step in itertools.product(axes if few else [None], (factor, 1 / factor)):
            while best.held_out > good and len(tried) < most and not enough():
                new = attempt(best.family.scaled(step, axis))
                if new.held_out >= 0.97 * best.held_out:
                    break
                best = new
        if best.held_out <= good or (best is before and factor < 2):
            break
    return best
