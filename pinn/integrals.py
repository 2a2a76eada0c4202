"""Integrals over the domain as conditions: a mean, a total mass, a normalisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from . import sampling
from .conditions import Condition
from .domains import Domain
from .errors import ProblemError, listing, suggestion
from .frames import name_of, named
from .operators import PLACES, WEIGHTS, integral, over_domain
from .pieces import Array
from .values import Setting, Value, checked_value, shown, value_at, wanted_names

_NODES = {1: 32, 2: 12, 3: 6}  # of Gauss-Legendre on each of two panels, by dimension
_SCATTERED = 2**13  # points where there is no such rule


@dataclass(frozen=True)
class Across:
    """Where an integral stands: one row for the whole domain, or one for each value of the coordinates left free."""

    over: str | None

    def sample(self, domain: Domain, count: int, seed: Sequence[int]) -> tuple[Array, dict[str, Array]]:
        """Points [n, d] that say what the free coordinates are, and for the whole domain a rule: places and weights."""
        if self.over is None:
            places, weights = rule(domain, seed)
            return places.mean(axis=0, keepdims=True), {PLACES: places[None], WEIGHTS: weights[None]}
        return sampling.interior(domain, count, seed), {}

    def __repr__(self) -> str:
        return f"every {self.over}" if self.over else "the whole domain"


def rule(domain: Domain, seed: Sequence[int]) -> tuple[Array, Array]:
    """Places [N, d] in a domain and weights [N], which add up to its measure; another rule for another seed.

    Boxes, balls, ellipses and products of them, of up to three dimensions: Gauss-Legendre on two panels in each direction,
    which meet at a random place. Otherwise quasi-random points of equal weight, with errors of about 1e-4.
    """
    if not (domain.covers_itself and domain.dimension in _NODES):
        return sampling.interior(domain, _SCATTERED, seed), np.full(_SCATTERED, domain.measure / _SCATTERED)
    rng, axes, weights = sampling.generator(seed), [], []
    unit, share = np.polynomial.legendre.leggauss(_NODES[domain.dimension])
    for _ in range(domain.dimension):
        split = rng.uniform(0.4, 0.6)
        axes.append(np.concatenate([split * (1 + unit) / 2, split + (1 - split) * (1 + unit) / 2]))
        weights.append(np.concatenate([split * share / 2, (1 - split) * share / 2]))
    cube = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    products = np.prod([part.ravel() for part in np.meshgrid(*weights, indexing="ij")], axis=0)
    return domain.cover(cube), domain.measure * products


class Integral(Condition):
    """∫ f = g over the domain, or over one coordinate for every value of the others.

    `Integral(lambda p: p)` fixes a pressure by its mean; `Integral(lambda u: u, equals=1.0, over="x")` keeps the mass at every t.

    Args:
        function: f, a function at one point, as in `Problem`.
        equals: g, a number, or a function of the coordinates left free, constants and parameters by name.
        over: the coordinate integrated over; the whole domain, time included, by default.
        name: how tables call it.

    Raises:
        ProblemError: no function, a coordinate that does not exist, or one whose range depends on the others.

    Example:
        >>> Integral(lambda u: u, equals=1.0, over="x")
        Integral(Integral of <lambda> over x = 1)
    """

    def __init__(self, function: Callable, equals: Value = 0.0, over: str | None = None, *, name: str | None = None):
        if not callable(function):
            raise ProblemError(f"Integral() needs a function of fields and coordinates, such as lambda u: u; got {function!r}.")
        if not isinstance(over, str | None):
            raise ProblemError(f"Integral(over=...) needs the name of one coordinate, or None for the domain; got {over!r}.")
        self.integrand, self.over, self.name = function, over, name
        self.equals = checked_value("Integral(equals=...)", equals)

    def what(self) -> str:
        over = f" over {self.over}" if self.over else ""
        return f"Integral of {name_of(self.integrand)}{over} = {shown(self.equals)}"

    def label(self, setting: Setting) -> str:
        return self.name or self.what()

    def place(self, setting: Setting) -> Across:
        names = setting.domain.coordinates
        if self.over is not None and self.over not in names:
            raise ProblemError(f"{self.what()}: the coordinates are {listing(names)}.{suggestion(self.over, names)}")
        if self.over is None or len(names) == 1:
            return Across(None)
        if not setting.domain.extends(self.over):
            raise ProblemError(
                f"{self.what()}: how far {self.over} reaches in {setting.domain!r} depends on the other coordinates. Integrate "
                "over the whole domain, or over a coordinate that is a factor of a product."
            )
        return Across(self.over)

    def function(self, setting: Setting) -> Callable:
        over = self.place(setting).over
        wanted = wanted_names(self.what(), self.equals, setting)
        gone = [name for name in wanted if name in (setting.domain.coordinates if over is None else (over,)) or name == "normal"]
        if gone:
            raise ProblemError(f"{self.what()}: the value asks for {listing(gone)}, which the integral does not leave free.")
        names = setting.domain.coordinates

        def residual(**inputs):
            if over is None:
                return over_domain(self.integrand) - value_at(self.equals, inputs)
            lower, upper = (float(ends[names.index(over)]) for ends in setting.domain.bounds)
            return integral(self.integrand, inputs[over], lower, upper, nodes=2 * _NODES[1]) - value_at(self.equals, inputs)

        return named(residual, tuple(dict.fromkeys([*([over] if over else []), *wanted])), self.what())
