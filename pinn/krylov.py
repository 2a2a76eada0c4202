"""Newton's method for the stages of a step whose features are products of functions of each coordinate.

The equations hold in Galerkin's sense: the means of the residual times each product of functions vanish. Their Jacobian A is
never formed: GMRES (Saad & Schultz 1986) solves P⁻¹ A δ = -P⁻¹ F, with P the same equations with the means of their coefficients,
and of each function times its own derivatives: equations for each product of functions alone (the fast diagonalisation of Lynch,
Rice & Thomas 1964, which is exact where coefficients are even and no coordinate has a first derivative).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

from .radau import Radau
from .separable import Grid, Separable, along
from .stepping import Moment, newton, placed, residuals_at, states_at

_INNER = 30  # of GMRES in each iteration of Newton's method
_FORCING = 0.05  # what GMRES leaves of P⁻¹ F


class Symbol(NamedTuple):
    """The equations with the means of their coefficients, by order in time: [K, F, r₁ r₂ …], component by field."""

    parts: Mapping[int, NDArray]


class Diagonal(NamedTuple):
    """P for steps of one length: an inverse [r₁ r₂ …, F, K] for each of the scheme's `upper` eigenvalues."""

    length: float
    inverses: tuple[NDArray, ...]


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
        parts: dict[int, NDArray] = {}
        start, shape = 0, self.space.shape
        for grid in self.solved:
            at = placed(self.space, grid, np.array([time]))
            _, slopes, _ = residuals_at(self.space, grid, at, [each[None] for each in states], True)
            means = np.einsum("n,nkl->kl", grid.shares / len(grid.shares), slopes[0])
            for i, read in enumerate(grid.reads):
                function = np.ones(1)
                for a, order in enumerate(read.derivatives):
                    function = np.multiply.outer(function, np.diagonal(grid.means[a][order]))
                total = parts.setdefault(read.order, np.zeros((self._components, grid.fields, int(np.prod(shape)))))
                total[start : start + means.shape[0], read.field] += means[:, i, None] * function.reshape(-1)
            start += means.shape[0]
        return Symbol(parts)

    @property
    def _components(self) -> int:
        return sum(len(grid.term.expression.components) for grid in self.solved)

    def factored(self, scheme: Radau, slopes: Symbol, length: float) -> Diagonal:
        """P inverted, for steps of a length."""
        inverses = []
        for eigenvalue in scheme.eigenvalues[scheme.upper].tolist():
            total = sum((part * (eigenvalue / length) ** order for order, part in slopes.parts.items()), np.zeros(1))
            blocks = np.moveaxis(total, 2, 0)
            if not np.all(np.isfinite(blocks)):
                raise LinAlgError
            inverses.append(np.linalg.inv(blocks))
        return Diagonal(length, tuple(inverses))

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
        count, modes = len(wrong), int(np.prod(self.space.shape))
        turned = (scheme.inverse[scheme.upper] @ wrong).reshape(len(scheme.upper), -1, modes)
        found = np.zeros((count, self.space.size))
        for i, own, inverse in zip(scheme.upper, turned, matrix.inverses, strict=True):
            change = np.einsum("mfk,km->fm", inverse, own).reshape(-1)
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
            part = change[read.order].reshape(count, self.grid.fields, *self.space.shape)[:, read.field]
            for axis, order in enumerate(read.derivatives):
                if order:
                    part = along(part, axis, self.grid.means[axis][order])
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
