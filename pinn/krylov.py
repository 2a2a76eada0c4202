"""Newton's method for the stages of a step whose features are products of functions of each coordinate.

The equations hold in Galerkin's sense: the means of the residual times each product of functions vanish. Their Jacobian A is
never formed: GMRES (Saad & Schultz 1986) solves P⁻¹ A δ = -P⁻¹ F, with P the same equations with the means of their coefficients,
and of each function times its own derivatives: equations for each product of functions alone (the fast diagonalisation of Lynch,
Rice & Thomas 1964, which is exact where coefficients are even and no coordinate has a first derivative). Fields that first
derivatives or different walls couple, as those of sound and light, are eliminated as far as that can be done for each product
alone: of what then holds for the others (waves of second order) P has the diagonal.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

from .radau import Radau
from .separable import Grid, Separable, along, along_all
from .stepping import Moment, newton, placed, residuals_at, states_at

_INNER = 30  # of GMRES in each iteration of Newton's method
_FORCING = 0.05  # what GMRES leaves of P⁻¹ F


class Coupling(NamedTuple):
    """How the equation that is tested with one field's functions reads another: slope × means along each coordinate, [r_a, r_a].

    `alone` says whether that is nearly diagonal.
    """

    test: int
    field: int
    order: int
    slope: float
    means: tuple[NDArray, ...]
    alone: bool

    def of(self, values: NDArray) -> NDArray:
        """Means of what [r₁ r₂ …] makes of it."""
        return along_all(self.slope * values[None], self.means)[0]


class Symbol(NamedTuple):
    """The equations with the means of their coefficients.

    Attributes:
        parts: their diagonals by order in time, [F, F, r₁ r₂ …], the field that tests by the one that is read.
        couplings: of different fields.
    """

    parts: Mapping[int, NDArray]
    couplings: tuple[Coupling, ...]


class Inverse(NamedTuple):
    """P⁻¹ for one eigenvalue: fields that are `gone`, each product alone, and the others without them.

    Attributes:
        kept, gone: fields.
        own: the inverse for those that are gone, [M, b, b], for M products.
        rest: that for the others, [M, a, a].
        couplings: of the ones with the others, and what each is multiplied by.
    """

    kept: tuple[int, ...]
    gone: tuple[int, ...]
    own: NDArray
    rest: NDArray
    couplings: tuple[tuple[complex, Coupling], ...]

    @classmethod
    def of(cls, symbol: Symbol, factor: complex, gone: tuple[int, ...], shape: tuple[int, ...]) -> Inverse:
        """With derivatives by time replaced by a factor."""
        total = sum((part * factor**order for order, part in symbol.parts.items()), np.zeros((1, 1, 1)))
        if not np.all(np.isfinite(total)):
            raise LinAlgError
        blocks = np.moveaxis(total, 2, 0)
        blocks[..., range(len(total)), range(len(total))] += ~np.any(blocks, axis=2)  # what a kind is filled up with stays zero
        kept = tuple(i for i in range(blocks.shape[1]) if i not in gone)
        couplings = tuple((factor**c.order, c) for c in symbol.couplings if (c.test in gone) != (c.field in gone))
        own, rest = np.linalg.inv(blocks[:, gone][:, :, gone]), blocks[:, kept][:, :, kept]
        for (first, into), (second, out) in itertools.product(couplings, repeat=2):
            if into.test in kept and out.field in kept:
                through = (first * into.slope * second * out.slope) * own[:, gone.index(into.field), gone.index(out.test)]
                means = [a * b.T for a, b in zip(into.means, out.means, strict=True)]
                through = along_all(through.reshape(1, *shape), means)
                rest[:, kept.index(into.test), kept.index(out.field)] -= through.reshape(-1)
        return cls(kept, gone, own, np.linalg.inv(rest), couplings)

    def by(self, right: NDArray) -> NDArray:
        """Of what is [F, r₁ r₂ …], as the equations are tested."""
        found = np.zeros_like(right)
        found[list(self.gone)] = _alone(self.own, right[list(self.gone)])
        found[list(self.kept)] = _alone(self.rest, self._missing(right, found, self.kept))
        found[list(self.gone)] = _alone(self.own, self._missing(right, found, self.gone))
        return found

    def _missing(self, right: NDArray, found: NDArray, fields: tuple[int, ...]) -> NDArray:
        """Of the equations of some fields, less what they read of the others."""
        left = right.copy()
        for factor, each in self.couplings:
            if each.test in fields:
                left[each.test] -= factor * each.of(found[each.field])
        return left[list(fields)]


def _alone(inverse: NDArray, right: NDArray) -> NDArray:
    """For each product alone: inverses [M, f, f] times [f, r₁ r₂ …]."""
    return np.einsum("mfk,km->fm", inverse, right.reshape(len(right), len(inverse))).reshape(right.shape)


def _gone(couplings: Sequence[Coupling], fields: int) -> tuple[int, ...]:
    """Fields of which none reads another but each product alone, as many as are found; none where all do."""
    joined = {frozenset((each.test, each.field)) for each in couplings if not each.alone}
    partners = [sum(field in pair for pair in joined) for field in range(fields)]
    found: list[int] = []
    for field in sorted(range(fields), key=lambda i: partners[i]) if joined else ():
        if partners[field] and all(frozenset((field, other)) not in joined for other in found):
            found.append(field)
    return tuple(sorted(found))


class Diagonal(NamedTuple):
    """P for steps of one length: an inverse for each of the scheme's `upper` eigenvalues."""

    length: float
    inverses: tuple[Inverse, ...]


class Products(NamedTuple):
    """The equations on a grid that they are solved at, and on another that judges."""

    space: Separable
    solved: tuple[Grid, ...]
    fresh: tuple[Grid, ...]

    @property
    def moving(self) -> NDArray:
        return np.ones(self.space.size, bool)

    def linearised(self, length: float, time: float, states: Sequence[NDArray]) -> Symbol:
        """About states [P] by order in time."""
        modes, fields = int(np.prod(self.space.shape)), len(self.space.kinds)
        parts: dict[int, NDArray] = {}
        couplings: list[Coupling] = []
        for grid in self.solved:
            at = placed(self.space, grid, np.array([time]))
            _, slopes, _ = residuals_at(self.space, grid, at, [each[None] for each in states], True)
            means = np.einsum("n,nkl->kl", grid.shares / len(grid.shares), slopes[0])
            for (k, test), (i, read) in itertools.product(enumerate(grid.tests), enumerate(grid.reads)):
                kinds, slope = (grid.kinds[test], grid.kinds[read.field]), float(means[k, i])
                own = tuple(each[order] for each, order in zip(grid.means[kinds], read.derivatives, strict=True))
                if kinds[0] == kinds[1]:
                    total = parts.setdefault(read.order, np.zeros((fields, fields, modes)))
                    total[test, read.field] += slope * reduce(np.multiply.outer, map(np.diagonal, own)).reshape(-1)
                if test != read.field and slope:
                    alone = kinds[0] == kinds[1] and not any(order % 2 for order in read.derivatives)
                    couplings.append(Coupling(test, read.field, read.order, slope, own, alone))
        return Symbol(parts, tuple(couplings))

    def factored(self, scheme: Radau, slopes: Symbol, length: float) -> Diagonal:
        """P inverted, for steps of a length."""
        gone = _gone(slopes.couplings, len(self.space.kinds))
        factors = (scheme.eigenvalues[scheme.upper] / length).tolist()
        return Diagonal(length, tuple(Inverse.of(slopes, factor, gone, self.space.shape) for factor in factors))

    def solve_stages(
        self, scheme: Radau, matrix: Diagonal, time: float, start: Moment, guess: NDArray, size: float, wanted: float
    ) -> tuple[NDArray, float, bool]:
        """Newton's method for one step, by GMRES: see `Discrete`."""
        times = time + scheme.nodes[1:] * matrix.length
        places = [placed(self.space, grid, times) for grid in self.solved]

        def update(stages: NDArray) -> NDArray:
            states = states_at(scheme, matrix.length, start, stages)
            found = [residuals_at(self.space, grid, at, states, True) for grid, at in zip(self.solved, places, strict=True)]
            parts = [grid.tested(np.moveaxis(each[0], 2, 1)) for grid, each in zip(self.solved, found, strict=True)]
            wrong = np.concatenate(parts, axis=1)
            if not np.all(np.isfinite(wrong)):
                return np.full_like(stages, np.inf)
            changes = [_Change.of(self.space, grid, each[1]) for grid, each in zip(self.solved, found, strict=True)]

            def across(change: NDArray) -> NDArray:
                rates = scheme.slopes @ change / matrix.length
                moved = change, rates, scheme.slopes @ rates / matrix.length
                return self._preconditioned(scheme, matrix, np.concatenate([each.by(moved) for each in changes], axis=1))

            return gmres(across, -self._preconditioned(scheme, matrix, wrong), _FORCING, _INNER)[0]

        return newton(update, guess, self.moving, size, wanted)

    def _preconditioned(self, scheme: Radau, matrix: Diagonal, wrong: NDArray) -> NDArray:
        """P⁻¹ of what is [s, K r₁ r₂ …]."""
        count, fields = len(wrong), np.argsort([test for grid in self.solved for test in grid.tests])
        turned = (scheme.inverse[scheme.upper] @ wrong).reshape(len(scheme.upper), -1, *self.space.shape)[:, fields]
        found = np.zeros((count, self.space.size))
        for i, own, inverse in zip(scheme.upper, turned, matrix.inverses, strict=True):
            change = inverse.by(own).reshape(-1)
            twice, vector = 2.0 if np.imag(scheme.eigenvalues[i]) else 1.0, scheme.vectors[:, i]
            found += twice * (np.outer(np.real(vector), np.real(change)) - np.outer(np.imag(vector), np.imag(change)))
        return found


class _Change(NamedTuple):
    """The derivative of a term by the coefficients, about one state.

    Attributes:
        grid, space: of the term.
        even: slopes that are the same everywhere, (component, leaf, slope): their part needs no grid.
        slopes: the others, (component, leaf, [s, n]).
        components: how many.
    """

    grid: Grid
    space: Separable
    even: tuple[tuple[int, int, float], ...]
    slopes: tuple[tuple[int, int, NDArray], ...]
    components: int

    @classmethod
    def of(cls, space: Separable, grid: Grid, slopes: NDArray) -> _Change:
        """From slopes [s, n, K, L]."""
        even, uneven = [], []
        same = np.all(slopes == slopes[:1, :1], axis=(0, 1))
        for k, i in np.ndindex(slopes.shape[2:]):
            if not same[k, i]:
                uneven.append((k, i, np.ascontiguousarray(slopes[:, :, k, i])))
            elif slopes[0, 0, k, i]:
                even.append((k, i, float(slopes[0, 0, k, i])))
        return cls(grid, space, tuple(even), tuple(uneven), slopes.shape[2])

    def by(self, change: Sequence[NDArray]) -> NDArray:
        """What a change of the states, [s, P] by order in time, makes of the term's means: [s, K r₁ r₂ …]."""
        count, needed = len(change[0]), tuple(dict.fromkeys(i for _, i, _ in self.slopes))
        found = np.zeros((count, self.components, *self.space.shape))
        if needed:
            leaves = dict(zip(needed, self.grid.leaves_of(needed, change), strict=True))
            on_grid = np.zeros((count, self.components, len(self.grid.points)))
            for k, i, slope in self.slopes:
                on_grid[:, k] += slope * leaves[i]
            found += self.grid.tested(on_grid).reshape(found.shape)
        for k, i, slope in self.even:
            read = self.grid.reads[i]
            part = change[read.order].reshape(count, len(self.grid.kinds), *self.space.shape)[:, read.field]
            kinds = self.grid.kinds[self.grid.tests[k]], self.grid.kinds[read.field]
            for axis, (own, order) in enumerate(zip(self.grid.means[kinds], read.derivatives, strict=True)):
                if order or kinds[0] != kinds[1]:
                    part = along(part, axis, own[order])
            found[:, k] += slope * part
        return found.reshape(count, -1)


def gmres(matrix: Callable[[NDArray], NDArray], right: NDArray, tolerance: float, most: int) -> tuple[NDArray, float]:
    """The x that makes ‖right - matrix(x)‖ least in a Krylov space, of least dimension for the tolerance, and what is left."""
    size = float(np.linalg.norm(right))
    if size == 0:
        return np.zeros_like(right), 0.0
    basis, columns = np.empty((most + 1, right.size)), np.zeros((most + 1, most))
    basis[0], wanted = right.reshape(-1) / size, np.zeros(most + 1)
    wanted[0], weights, left = size, np.zeros(0), 1.0
    for j in range(most):
        new = matrix(basis[j].reshape(right.shape)).reshape(-1)
        for _ in range(2):
            shares = basis[: j + 1] @ new
            columns[: j + 1, j] += shares
            new = new - shares @ basis[: j + 1]
        columns[j + 1, j] = np.linalg.norm(new)
        weights = np.linalg.lstsq(columns[: j + 2, : j + 1], wanted[: j + 2], rcond=None)[0]
        left = float(np.linalg.norm(wanted[: j + 2] - columns[: j + 2, : j + 1] @ weights)) / size
        if left < tolerance or columns[j + 1, j] <= 1e-14 * size:
            break
        basis[j + 1] = new / columns[j + 1, j]
    return (weights @ basis[: len(weights)]).reshape(right.shape), left
