"""A learned operator: what `solve` gives back for an `OperatorProblem`. It is called, judged, plotted and saved."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from ..deeponet import LocalDeepONet, OperatorNetwork
from ..domains import Domain
from ..errors import SolutionError
from ..estimate import Trust
from ..history import History, Status
from ..rebuilding import rebuild
from ..solution import check_coordinates, warn_of_points_outside
from .learner import Learner, State, layout_of, make_state
from .problem import OperatorProblem, place_sensors
from .report import OperatorErrors, judge

_AT_ONCE = 256  # observations in one compiled batch
_PROBES = 4  # random directions of the guard's divergence


@dataclass(frozen=True, eq=False)
class Outline:
    """What a saved operator knows of its problem: all but how samples are drawn."""

    name: str
    domain: Domain
    fields: tuple[str, ...]
    sensor_names: tuple[str, ...]
    sensors: NDArray
    observes: bool
    known: frozenset[str]


@dataclass(frozen=True, eq=False)
class OperatorSolution:
    """The operator that was found, as a function of functions.

    Attributes:
        status: how the solve ended; prints as a sentence.
        error_estimate: relative L2 error of each field on fresh samples.
        trust, trust_reason: how far that can be relied on, and why.
        plan, history, seconds: every choice with its reason, what happened, wall time.

    Example:
        >>> from pinn import Interval, OperatorProblem, Sample, solve
        >>> grid = np.linspace(0, 1, 20)
        >>> def sample(key):
        ...     a, b, noise = jax.random.normal(key, (2,)), 0.1, jax.random.normal(jax.random.fold_in(key, 1), (20,))
        ...     return Sample(noisy=a[0] + a[1] * grid + b * noise, clean=lambda x: a[0] + a[1] * x, sigma=b)
        >>> lines = OperatorProblem(domain=Interval(x=(0, 1)), fields="f", sensors=grid, sample=sample)
        >>> denoise = solve(lines, time_limit=2, progress=False)
        >>> values = denoise(1 - grid, x=[0.0, 0.5, 1.0], sigma=0.1)
        >>> bool(np.max(np.abs(values - [1.0, 0.5, 0.0])) < 0.02)
        True
    """

    problem: Any  # an OperatorProblem, or its Outline
    learner: Learner
    state: State
    status: Status
    error_estimate: dict[str, float]
    trust: Trust
    trust_reason: str
    plan: Any
    history: History
    seconds: float
    seed: tuple[int, ...]
    report: OperatorErrors | None = None  # as it was saved

    def __call__(self, noisy: Any, *, sensors: Any = None, sigma: Any = None, guard: bool = True, **coordinates: Any) -> Any:
        """The output fields for one observation [n] or several [..., n], at points given by an array for each coordinate.

        Args:
            noisy: values at the sensors.
            sensors: where they are, as for `OperatorProblem`, if not where they were in training; the network must allow it.
            sigma: standard deviation of the noise, one number or one for each observation; estimated where None.
            guard: where the result lies further from the observations than noise can explain, move it towards them until
                Stein's estimate of the error is least (needs `sigma`).
            coordinates: query points, which broadcast like NumPy; the sensors where left out, if these observe the output.

        Returns:
            An array [..., *shape of the points]; a dict by field where there are several.

        Raises:
            SolutionError: values of the wrong shape, unknown coordinates, or other sensors than the network can take.
        """
        problem, dtype = self.problem, self.learner.dtype
        values = np.asarray(noisy, float)
        places = problem.sensors if sensors is None else place_sensors(problem.domain, sensors)[1]
        if values.ndim < 1 or values.shape[-1] != len(places):
            raise SolutionError(
                f"There are {len(places)} sensors; got values of shape {values.shape}. The last axis is the sensors'."
            )
        if not np.all(np.isfinite(values)):
            raise SolutionError("The values are not all finite. Leave out the sensors that failed: pass sensors= for the others.")
        solution = self if sensors is None or np.array_equal(places, problem.sensors) else self._elsewhere()
        points, shape = self._points(coordinates, places)
        flat = values.reshape(-1, len(places))
        levels = self._levels(sigma, values.shape[:-1])
        found = solution.apply(flat, places, levels, points)
        if guard and sigma is not None and problem.observes:
            found = solution._guarded(found, flat, places, levels, points)
        found = found.reshape(*values.shape[:-1], *shape, len(problem.fields)).astype(dtype)
        out = {name: found[..., i][()] for i, name in enumerate(problem.fields)}
        return out if len(out) > 1 else out[problem.fields[0]]

    def apply(self, values: Any, sensors: Any, sigma: Any, points: Any) -> NDArray:
        """Outputs [N, m, F] for observations [N, n] with noise levels [N], or None, at points [m, d]; no guard."""
        values, dtype = np.asarray(values), self.learner.dtype
        levels = None if sigma is None else np.broadcast_to(np.asarray(sigma, float), (len(values),))
        if levels is None and "sigma" in self.problem.known and not self._estimates_noise:
            levels = estimated_noise(values, np.asarray(sensors))
        size, parts = min(_AT_ONCE, len(values)), []
        rows = np.minimum(np.arange(-(-len(values) // max(size, 1)) * size), len(values) - 1).reshape(-1, max(size, 1))
        places, queries = (jnp.asarray(a, dtype) for a in (sensors, points))
        with jax.enable_x64(dtype == jnp.float64), jax.default_matmul_precision("highest"):
            for chunk in rows:
                level = None if levels is None else jnp.asarray(levels[chunk], dtype)
                parts.append(
                    np.asarray(_outputs(self.learner, self.state, jnp.asarray(values[chunk], dtype), places, level, queries))
                )
        whole = np.concatenate(parts) if parts else np.zeros((0, len(queries), len(self.problem.fields)))
        return whole[: len(values)]

    def errors(self, problem: OperatorProblem | None = None, blind: bool = False, key: int = 12345) -> OperatorErrors:
        """Errors on fresh samples, of this problem or of another one with the same fields; `blind` withholds the noise level.

        Raises:
            SolutionError: the clean functions are not known, or the solution was loaded without its problem.
        """
        where = problem or self.problem
        if not isinstance(where, OperatorProblem):
            if self.report is not None and problem is None:
                return self.report
            raise SolutionError(
                "errors() draws samples, which are not saved: pinn.load(path, problem).errors(), or errors(problem)."
            )
        same = np.array_equal(where.sensors, self.problem.sensors)
        solution = self if same else self._elsewhere()

        def apply(values: Any, sensors: Any, sigma: Any, points: Any) -> NDArray:
            return solution.apply(values, sensors, None if blind else sigma, points)

        return judge(apply, where, self.error_estimate, str(self.trust), key)

    def on(self, domain: Domain, sensors: Any) -> OperatorSolution:
        """The same weights on another domain and grid, with sensors as far apart: an image of any size, a longer signal.

        Raises:
            SolutionError: the network is no `LocalDeepONet` without a base, the only one whose weights mean the same there.
        """
        network = self.learner.network(self.state)
        if not isinstance(network, LocalDeepONet) or network.base is not None:
            raise SolutionError(f"on() needs a pinn.LocalDeepONet without a base; this is a {type(network).__name__}.")
        names, places = place_sensors(domain, sensors)
        outline = Outline(
            self.problem.name, domain, self.problem.fields, names, places, self.problem.observes, frozenset(self.problem.known)
        )
        layout = layout_of(outline, self.learner.dtype)
        moved = rebuild(network.description() or {}, layout, domain.dimension, len(outline.fields), self.learner.dtype)
        learner = replace(self.learner, problem=outline, graph=make_state(moved)[0])
        return replace(self, problem=outline, learner=learner, report=None)

    def refine(self) -> NoReturn:
        """An operator has no equation to be corrected by: raises a SolutionError."""
        raise SolutionError(
            "A learned operator cannot be refined: its error comes from samples. Solve again with a longer time_limit=."
        )

    def bound(self) -> NoReturn:
        """An operator has no bound on its error: raises a SolutionError."""
        raise SolutionError("There is no bound on the error of a learned operator; errors() measures it on fresh samples.")

    def plot(self, path: str | Path | None = None) -> Any:
        """A few fresh samples with what was made of them, and the history, as a Matplotlib figure; written to `path` if given."""
        from . import plotting

        return plotting.plot_operator(self, path)

    def save(self, path: str | Path) -> None:
        """Write a folder that `pinn.load` reads: weights, plan, history and errors."""
        from . import saving

        saving.save(self, path)

    def __repr__(self) -> str:
        worst = max(self.error_estimate.values())
        known = f"estimated error {worst:.1e} ({self.trust.name.lower()})"
        return f"OperatorSolution of {self.problem.name}: {self.status}; {known}, {self.seconds:.1f} s"

    @property
    def _estimates_noise(self) -> bool:
        description = self.learner.network(self.state).description() or {}
        return description.get("branch", {}).get("kind") == "RidgeBranch"

    def _elsewhere(self) -> OperatorSolution:
        """The part of the network that takes other sensors than those of training."""
        network = inner = self.learner.network(self.state)
        while isinstance(inner, OperatorNetwork):
            if inner is network and inner.free:
                return self
            if inner.free:
                graph, state = make_state(inner)
                return replace(self, learner=replace(self.learner, graph=graph), state=state)
            inner = getattr(inner, "base", None)
        raise SolutionError(
            f"This {type(network).__name__} was trained for its {len(self.problem.sensors)} sensors and can read no others. "
            "Solve with network=functools.partial(pinn.DeepONet, branch=pinn.SetBranch), or pinn.RidgeBranch on pinn.Harmonics."
        )

    def _points(self, coordinates: dict[str, Any], places: NDArray) -> tuple[NDArray, tuple[int, ...]]:
        domain = self.problem.domain
        names = domain.coordinates
        if not coordinates and self.problem.observes:
            return places, (len(places),)
        check_coordinates("output", names, coordinates, ", ".join(f"{n}=..." for n in names))
        arrays = np.broadcast_arrays(*(np.asarray(coordinates[name], float) for name in names))
        points = np.stack([a.reshape(-1) for a in arrays], axis=1)
        warn_of_points_outside(domain, points)
        return points, arrays[0].shape

    def _levels(self, sigma: Any, shape: tuple[int, ...]) -> NDArray | None:
        if sigma is None:
            return None
        levels = np.asarray(sigma, float)
        if not np.all(np.isfinite(levels)) or np.any(levels < 0):
            raise SolutionError(f"sigma= must be a standard deviation of at least 0; got {sigma!r:.60}.")
        try:
            return np.broadcast_to(levels, shape).reshape(-1)
        except ValueError:
            raise SolutionError(f"sigma= has shape {levels.shape}; the observations have shape {shape}.") from None

    def _guarded(self, found: NDArray, values: NDArray, places: NDArray, levels: Any, points: NDArray) -> NDArray:
        """u + a (G u - u), a = clip(σ² (n - div G u) / |G u - u|², 0, 1), where |G u - u|² > n σ² (1 + 3 sqrt(2 / n))."""
        count = len(places)
        at = self.apply(values, places, levels, places)[..., 0]
        misfit = np.sum((at - values) ** 2, axis=1)
        far = misfit > count * levels**2 * (1 + 3 * np.sqrt(2 / count))
        if not far.any():
            return found
        rng = np.random.default_rng(0)
        steps, divergence = 1e-4 * (np.std(values[far], axis=1) + 1e-12), np.zeros(int(far.sum()))
        for probe in rng.choice([-1.0, 1.0], size=(_PROBES, count)):  # the same for all: a batch must agree with single signals
            moved = self.apply(values[far] + steps[:, None] * probe, places, levels[far], places)[..., 0]
            divergence += (moved - at[far]) @ probe / steps / _PROBES
        share = np.ones(len(values))
        share[far] = np.clip(levels[far] ** 2 * (count - divergence) / misfit[far], 0, 1)
        observed = interpolated(values, places, points)[..., None]
        return observed + share[:, None, None] * (found - observed)


@partial(jax.jit, static_argnums=0)
def _outputs(learner: Learner, state: State, values: Array, sensors: Array, sigma: Array | None, points: Array) -> Array:
    """Outputs [B, m, F]."""
    return jax.vmap(partial(learner.outputs, state), (0, None, None if sigma is None else 0, None))(
        values, sensors, sigma, points
    )


def interpolated(values: NDArray, places: NDArray, points: NDArray) -> NDArray:
    """Values [N, n] at sensors between them, [N, m]: linear on a line, else of the nearest sensor."""
    if places.shape[1] == 1:
        order = np.argsort(places[:, 0])
        return np.stack([np.interp(points[:, 0], places[order, 0], row[order]) for row in values])
    from scipy.spatial import KDTree

    return values[:, KDTree(places).query(points)[1]]


def estimated_noise(values: NDArray, places: NDArray) -> NDArray:
    """The noise level of each observation [N, n] from differences of neighbours, robustly: right where the signal is smooth.

    Second differences along a line, differences to the nearest sensor otherwise; 0.6745 is the median of |N(0, 1)|.
    """
    if places.shape[1] == 1:
        ordered = values[:, np.argsort(places[:, 0])]
        differences = (ordered[:, :-2] - 2 * ordered[:, 1:-1] + ordered[:, 2:]) / np.sqrt(6)
    else:
        from scipy.spatial import KDTree

        differences = (values - values[:, np.asarray(KDTree(places).query(places, k=2)[1])[:, 1]]) / np.sqrt(2)
    return np.median(np.abs(differences), axis=1) / 0.6745


def described(solution: OperatorSolution) -> str | None:
    """How the network is built, as JSON; None for a module of the user's own."""
    found = solution.learner.network(solution.state).description()
    return None if found is None else json.dumps(found)
