"""What tells one problem from another, without comparing code: its names, its domain, and the values of its terms.

Each residual and condition is evaluated at fixed points with a fixed number in place of every derivative that it reads, so two
ways of writing one equation have one fingerprint, and a changed sign, constant, coefficient or piece of data shows.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .errors import CheckpointError, listing
from .integrals import Across
from .problem import Problem
from .regions import inside
from .terms import Term
from .values import Always, Points

_PROBES = 8  # points at which terms are evaluated
_SURFACE_POINTS = 256  # that tell where a condition holds


def fingerprint(problem: Problem) -> dict[str, Any]:
    """What tells one problem from another: names, the domain, and each term's values at fixed points and where it holds."""
    lower, upper = problem.domain.bounds
    return {
        "fields": {name: list(names) for name, names in problem.depends.items()},
        "coordinates": list(problem.domain.coordinates),
        "domain": repr(problem.domain),
        "bounds": [lower.tolist(), upper.tolist()],
        "measure": [problem.domain.measure],  # the text of a polygon of many corners does not tell it from others
        "parameters": {name: parameter.positive for name, parameter in problem.parameters.items()},
        "terms": [
            {"name": term.name, "values": _values(problem, term).tolist(), "place": _place(term.place).tolist()}
            for term in problem.terms
        ],
        "precision": float(jnp.finfo(jnp.result_type(float)).eps),
    }


def check_same(saved: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse a problem whose fingerprint is another, and say what differs.

    Raises:
        CheckpointError: the first thing that differs.
    """
    near = max(saved["precision"], given["precision"]) ** 0.75

    def check(same: bool, what: str) -> None:
        if not same:
            raise CheckpointError(f"saved for another problem: {what}")

    for what in ("fields", "coordinates", "domain", "parameters"):
        check(saved[what] == given[what], f"{what} {saved[what]} instead of {given[what]}")
    for what in ("bounds", "measure"):
        check(_close(saved[what], given[what], near), f"{what} {saved[what]} instead of {given[what]}")
    old, new = ([term["name"] for term in known["terms"]] for known in (saved, given))
    lost, more = [name for name in old if name not in new], [name for name in new if name not in old]
    check(old == new, f"the terms {listing(lost or old)} instead of {listing(more or new)}")
    for one, other in zip(saved["terms"], given["terms"], strict=True):
        check(_close(one["values"], other["values"], near), f"its term {one['name']!r} has other values for the same fields")
        check(_close(one["place"], other["place"], near), f"its term {one['name']!r} holds elsewhere, or for other data")


def _close(first: Any, second: Any, near: float) -> bool:
    """Whether two lists of numbers, or of rows of numbers, agree relative to the largest of each column."""
    a, b = (np.array(jax.tree.map(float, numbers)) for numbers in (first, second))
    if a.shape != b.shape:
        return False
    size = np.abs(np.where(np.isfinite(a), a, 0)).max(axis=0, initial=0.0)
    same = (np.abs(a - b) <= near * size) | (a == b) | (np.isnan(a) & np.isnan(b))
    return bool(same.all())


def _number(*name: object) -> float:
    """A number in [0.5, 1.5) that belongs to a name, always the same."""
    return 0.5 + zlib.crc32(repr(name).encode()) / 2**32


def _values(problem: Problem, term: Term) -> np.ndarray:
    """The term's components, and the places that it moves to, at each probe: [probes, K + S d]."""
    expression, domain, place = term.expression, problem.domain, term.place
    known: dict[str, Any] = problem.constants | {name: _number(name) for name in problem.parameters}
    place = place.points if isinstance(place, Always) else place
    if isinstance(place, Points):
        known |= {name: _number(name) for name in place.columns if name not in domain.coordinates}
    elif isinstance(place, Across):
        known |= {name: column[0] for name, column in place.sample(domain, 1, (0,))[1].items()}
    elif place is not None:
        known["normal"] = np.array([_number("normal", name) for name in domain.spatial])
    known |= {inside(region): 1.0 for region in term.regions.names} if term.regions else {}
    extras = {name: jnp.asarray(value) for name, value in known.items()}
    lower, upper = domain.bounds
    share = [[_number("share", i, name) - 0.5 for name in domain.coordinates] for i in range(_PROBES)]
    read = [
        [_number(i, expression.sites.index(leaf.site), leaf.field, leaf.index) for leaf in expression.read]
        for i in range(_PROBES)
    ]

    @jax.jit
    @jax.vmap
    def values(point: Array, leaves: Array) -> Array:
        return jnp.concatenate([expression.value(point, leaves, extras), *map(jnp.ravel, expression.places(point, extras))])

    return np.asarray(values(jnp.asarray(lower + np.array(share) * (upper - lower)), jnp.array(read)))


def _place(place: Any) -> np.ndarray:
    """Where a term holds, as a few numbers: for given points, of each column; else of each patch its share and bounds."""
    if place is None or isinstance(place, Across):
        return np.zeros(0)
    place = place.points if isinstance(place, Always) else place
    if isinstance(place, Points):
        columns = [place.columns[name] for name in sorted(place.columns)]
        return np.array([f(c) for c in columns for f in (len, np.min, np.max, np.mean, np.std)], float)
    found: list[float] = []
    for index, patch in enumerate(place.patches):
        unit = np.random.RandomState(0).uniform(
            size=(_SURFACE_POINTS, patch.piece.parameters)
        )  # NumPy keeps this stream for ever
        points, _ = place.draw(index, unit)
        found += [len(points), *points.min(axis=0, initial=np.inf), *points.max(axis=0, initial=-np.inf)]
    return np.array(found)
