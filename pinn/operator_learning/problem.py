"""An operator problem: which functions come in, which go out, and how examples of both are drawn."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .. import sampling
from ..conditions import Condition
from ..domains import Domain
from ..errors import PinnError, ProblemError, WellPosednessWarning, listing, suggestion
from ..operators import arguments, name_of
from ..problem import Problem

Function = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Sample:
    """One example, drawn from a key: what is observed, and as much as is known of what should come out.

    Args:
        noisy: the input function at the sensors, [n].
        clean: the output function, of the coordinates that it names at one point: a number, or a dict by field.
        second: the same signal at the sensors with independent noise, [n].
        sigma: standard deviation of the noise in `noisy`, a positive scalar, or 0 where the values are exact.
        mean: the exact posterior mean of `clean` given `noisy`, a function as `clean` is; the best that any method can do.
    """

    noisy: Any
    clean: Function | None = None
    second: Any = None
    sigma: Any = None
    mean: Function | None = None


class Drawn(NamedTuple):
    """A sample as arrays: at the sensors [n], at query points [m, F]; None where it is not known."""

    noisy: Array
    sigma: Array | None
    second: Array | None
    clean: Array | None
    mean: Array | None


class OperatorProblem:
    """An operator to be learned: from a function at sensors to fields on a domain.

    What is learned from follows from what the sample has: `clean`, else `mean` (distillation), else `second` (Noise2Noise), else
    `sigma` alone (SURE, Stein's unbiased risk estimate), each with the residual beside it where there is one.
    With a noise level, or a second observation, the sensors observe the output field itself: this is denoising.

    Args:
        domain: where the output fields live.
        fields: their names, "f" or "u v".
        sensors: where the input is known: a number of points of an interval, ends included; an array [n] or [n, d]; or a dict of
            arrays by coordinate, where it lives on some coordinates only.
        sample: `sample(key) -> Sample`, traced by JAX; every example of training comes from a fresh key.
        residual: what vanishes for the output fields, as for `Problem`.
        conditions: what else holds of them, as for `Problem`.
        reference: like `sample`, from the same key, with what training must not see; used by `errors` and plots only.
        name: for tables and folders.

    Raises:
        ProblemError: arguments that do not fit together, or a sample that nothing can be learned from.

    Example:
        >>> def sample(key):
        ...     a, b = jax.random.normal(key, (2,))
        ...     return Sample(noisy=a + b * jnp.linspace(0, 1, 9), clean=lambda x: a * x + b * x**2 / 2)
        >>> from pinn.domains import Interval
        >>> OperatorProblem(domain=Interval(x=(0, 1)), fields="s", sensors=9, sample=sample)
        OperatorProblem: 9 values at sensors in x -> s on Interval(x=(0, 1))
          learned from clean functions
    """

    def __init__(
        self,
        *,
        domain: Domain,
        fields: str | Sequence[str],
        sensors: Any,
        sample: Callable[[Array], Sample],
        residual: Callable | None = None,
        conditions: Sequence[Condition] = (),
        reference: Callable[[Array], Sample] | None = None,
        name: str | None = None,
    ):
        if not isinstance(domain, Domain):
            raise ProblemError(f"domain= needs a domain such as Interval(x=(0, 1)) or Box(t=(0, 1), x=(-1, 1)); got {domain!r}.")
        names = fields.split() if isinstance(fields, str) else fields
        if not isinstance(names, Sequence) or not names or not all(isinstance(n, str) and n.isidentifier() for n in names):
            raise ProblemError(f"fields= needs names, such as 'f' or 'u v'; got {fields!r}.")
        for argument, function in (("sample", sample), ("reference", reference)):
            if not callable(function) and (argument == "sample" or function is not None):
                raise ProblemError(f"{argument}= needs a function of a JAX key that returns pinn.Sample(...); got {function!r}.")
        self.domain, self.fields, self.name = domain, tuple(names), name or "operator"
        self.sensor_names, self.sensors = place_sensors(domain, sensors)
        self.sample, self.reference = sample, reference
        self.known = _check_sample(self, sample, "sample")
        self.judged = _check_sample(self, reference, "reference") if reference is not None else self.known
        self.physics = _physics(domain, self.fields, residual, conditions)
        self.observes = self.sensor_names == domain.coordinates and bool({"sigma", "second"} & self.known)
        self.learns_from = _objective(self)

    def draw(self, key: Array, points: Array, judging: bool = False) -> Drawn:
        """A sample from a key as arrays, outputs at query points [m, d]; `judging` with what the reference knows."""
        made = self.sample(key)
        if judging and self.reference is not None:
            return self.evaluated(made, self.reference(key), points)
        return self.evaluated(made, made if made.clean is None else replace(made, mean=None), points)

    def evaluated(self, made: Sample, told: Sample, points: Array) -> Drawn:
        """What `made` observes, and the outputs that `told` knows, as arrays."""
        dtype = points.dtype

        def at(function: Function | None) -> Array | None:
            return None if function is None else jax.vmap(lambda p: self._values(function, p))(points)

        def array(value: Any) -> Array | None:
            return None if value is None else jnp.asarray(value, dtype)

        return Drawn(jnp.asarray(made.noisy, dtype), array(made.sigma), array(made.second), at(told.clean), at(told.mean))

    def _values(self, function: Function, point: Array) -> Array:
        names = self.domain.coordinates
        value = function(**{name: point[names.index(name)] for name in arguments(function)})
        values = [value[f] for f in self.fields] if isinstance(value, Mapping) else [value]
        return jnp.stack([jnp.asarray(v, point.dtype) for v in values])

    def __repr__(self) -> str:
        count, where = len(self.sensors), ", ".join(self.sensor_names)
        first = f"OperatorProblem: {count} values at sensors in {where} -> {', '.join(self.fields)} on {self.domain!r}"
        return f"{first}\n  learned from {LEARNED_FROM[self.learns_from]}" + (
            "" if self.physics is None else ", and the residual"
        )


LEARNED_FROM = {
    "clean": "clean functions",
    "mean": "exact posterior means (distillation)",
    "second": "second noisy observations (Noise2Noise)",
    "sigma": "noisy observations alone (SURE)",
}


def _objective(problem: OperatorProblem) -> str:
    for kind in ("clean", "mean", "second", "sigma"):
        if kind in problem.known:
            break
    else:
        raise ProblemError(
            "There is nothing to learn from: sample() returns a Sample with values at the sensors alone. Give it clean=, mean=, "
            "second= or sigma=."
        )
    if kind in ("second", "sigma") and not problem.observes:
        raise ProblemError(
            f"Without clean functions the sensors must observe the output itself, and they have no values of "
            f"{listing(n for n in problem.domain.coordinates if n not in problem.sensor_names)}. Give sensors= a dict with every "
            "coordinate, or the sample a clean= function."
        )
    if kind in ("second", "sigma") and len(problem.fields) > 1:
        raise ProblemError(f"Without clean functions there can be one field, which is observed; got {listing(problem.fields)}.")
    return kind


def place_sensors(domain: Domain, sensors: Any) -> tuple[tuple[str, ...], np.ndarray]:
    """The coordinates that sensors have, in the domain's order, and their places, [n, s].

    Raises:
        ProblemError: unknown coordinates, columns of different lengths, numbers that are not finite, or places outside.
    """
    names = domain.coordinates
    lower, upper = domain.bounds
    if isinstance(sensors, int | np.integer) and not isinstance(sensors, bool):
        if domain.dimension > 1 or sensors < 2:
            raise ProblemError(
                f"sensors={sensors} places points on an interval, at least 2; here give an array [n, {domain.dimension}], or a "
                f"dict of arrays by coordinate, {listing(names)}."
            )
        return names, np.linspace(lower[0], upper[0], int(sensors))[:, None]
    if isinstance(sensors, Mapping):
        for name in sensors:
            if name not in names:
                raise ProblemError(
                    f"sensors= names {name!r}; the coordinates are {listing(names)}.{suggestion(str(name), names)}"
                )
        given = tuple(name for name in names if name in sensors)
        columns: list[Any] = [sensors[name] for name in given]
    else:
        array = np.asarray(sensors)
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2 or array.shape[1] != domain.dimension or array.dtype.kind not in "fiu":
            raise ProblemError(
                f"sensors= needs a number, an array [n, {domain.dimension}], or a dict by coordinate; got {sensors!r:.50}."
            )
        given, columns = names, list(array.T)
    arrays = [np.asarray(column, float) for column in columns]
    if not arrays or any(a.ndim != 1 or not np.all(np.isfinite(a)) for a in arrays) or len({len(a) for a in arrays}) > 1:
        raise ProblemError("sensors= needs finite numbers, as many for each coordinate: {'x': [0.0, 0.5, 1.0]}.")
    places = np.stack(arrays, axis=1)
    axes = [names.index(name) for name in given]
    slack = 1e-9 * (upper - lower)[axes]
    outside = np.any((places < lower[axes] - slack) | (places > upper[axes] + slack), axis=1)
    if outside.any():
        raise ProblemError(
            f"{int(outside.sum())} of {len(places)} sensors lie outside {domain!r}, the first at {places[outside][0]}."
        )
    return given, places


def _check_sample(problem: OperatorProblem, function: Callable, argument: str) -> frozenset[str]:
    """What a sample knows, after it was drawn once, and checked."""
    what = f"{name_of(function)}(), the {argument},"
    known: dict[str, Sample] = {}

    def once(key: Array, points: Array) -> Drawn:
        made = function(key)
        if not isinstance(made, Sample):
            raise ProblemError(f"{what} must return pinn.Sample(noisy, ...); it returned {made!r:.60}.")
        known["sample"] = made
        for kind, fn in (("clean", made.clean), ("mean", made.mean)):
            _check_function(problem, f"{what} has {kind}= which", fn)
        return problem.evaluated(made, made, points)

    points = jnp.asarray(sampling.interior(problem.domain, 4, 0))
    try:
        drawn = jax.jit(jax.vmap(once, (0, None)))(jax.random.split(jax.random.key(0), 3), points)
    except PinnError:
        raise
    except Exception as error:
        raise ProblemError(
            f"{what} fails when JAX traces it: {type(error).__name__}: {error}. Use jax.numpy, and jax.random on its key."
        ) from error
    count = len(problem.sensors)
    for kind, values in (("noisy", drawn.noisy), ("second", drawn.second)):
        if values is not None and values.shape != (3, count):
            raise ProblemError(f"{what} has {kind}= of shape {values.shape[1:]}; there are {count} sensors.")
    if drawn.sigma is not None and drawn.sigma.shape != (3,):
        raise ProblemError(f"{what} has sigma= of shape {drawn.sigma.shape[1:]}; it must be one number.")
    for kind, value in drawn._asdict().items():
        if value is not None and not np.all(np.isfinite(np.asarray(value))):
            raise ProblemError(f"{what} has {kind}= with numbers that are not finite.")
    if drawn.sigma is not None and bool((drawn.sigma < 0).any()):
        raise ProblemError(f"{what} has a negative sigma=; it is a standard deviation.")
    return frozenset(kind for kind in vars(known["sample"]) if getattr(known["sample"], kind) is not None)


def _check_function(problem: OperatorProblem, what: str, function: Function | None) -> None:
    if function is None:
        return
    names = problem.domain.coordinates
    if not callable(function):
        raise ProblemError(f"{what} is no function of the coordinates {listing(names)}: {function!r:.60}.")
    for name in arguments(function):
        if name not in names:
            raise ProblemError(f"{what} asks for {name!r}; the coordinates are {listing(names)}.{suggestion(name, names)}")
    value = function(
        **{name: jnp.asarray(0.5 * sum(ends)) for name, ends in _ends(problem.domain) if name in arguments(function)}
    )
    missing = [f for f in problem.fields if not (isinstance(value, Mapping) and f in value)]
    if missing and (len(problem.fields) > 1 or isinstance(value, Mapping)):
        raise ProblemError(f"{what} must return a dict with {listing(problem.fields)}; it has none of {listing(missing)}.")
    shapes = [jnp.shape(v) for v in (value.values() if isinstance(value, Mapping) else [value])]
    if any(shape != () for shape in shapes):
        raise ProblemError(f"{what} is called at one point and must return one number; it returned shape {shapes[0]}.")


def _ends(domain: Domain) -> list[tuple[str, tuple[float, float]]]:
    lower, upper = domain.bounds
    return [(name, (float(a), float(b))) for name, a, b in zip(domain.coordinates, lower, upper, strict=True)]


def _physics(domain: Domain, fields: tuple[str, ...], residual: Callable | None, conditions: Any) -> Problem | None:
    """The equations as a problem of their own; what ties its solution down may be left to the observations."""
    if residual is None:
        if conditions:
            raise ProblemError("conditions= stand beside a residual=; without one, put what is known into the sample.")
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WellPosednessWarning)
        return Problem(fields=fields, domain=domain, residual=residual, conditions=conditions)
