"""How good a learned operator is, on fresh samples: against the clean functions, the best linear operator and the Bayes limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from .. import sampling
from ..errors import SolutionError
from .linear import affordable, draw_many, fit_linear
from .problem import Drawn, OperatorProblem

_JUDGED, _VALUES, _QUERIES = 2000, 2**19, 256  # samples, fewer where they have more values, and points of the domain
_MOST_LINEAR = 1024  # sensors up to which the best linear operator can be fitted


@dataclass(frozen=True)
class OperatorErrors:
    """Errors on fresh samples.

    Attributes:
        relative_l2: by field, sqrt(Σ|G u - f|² / Σ|f|²) over points of the domain.
        linear: the same for the best linear operator, fitted to samples; NaN above 1024 sensors.
        gain: 10 log₁₀(noise variance / mean squared error) at the sensors, in dB; None where nothing is denoised.
        linear_gain: that of the best linear operator; None where it was not fitted.
        limit: that of the exact posterior mean, which no estimator exceeds; None where it is not known.
        gap: how far the gain is below the limit, from the distance to the posterior mean, which has less sampling error.
        samples: how many.
        estimate, trust: what the solution says of itself.
    """

    relative_l2: dict[str, float]
    linear: dict[str, float]
    gain: float | None
    linear_gain: float | None
    limit: float | None
    gap: float | None
    samples: int
    estimate: dict[str, float]
    trust: str

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{'field':<12} {'estimated':>10} {'true':>10} {'linear':>10}   relative L2, {self.samples} fresh samples"]
        for name, error in self.relative_l2.items():
            lines.append(f"{name:<12} {self.estimate.get(name, np.nan):>10.1e} {error:>10.1e} {self.linear[name]:>10.1e}")
        if self.gain is not None:
            linear = "not fitted" if self.linear_gain is None else f"{self.linear_gain:.2f} dB"
            lines.append(f"gain at the sensors {self.gain:.2f} dB, best linear operator {linear}")
        if self.limit is not None:
            lines.append(f"exact limit {self.limit:.2f} dB, gap {self.gap:.3f} dB")
        lines.append(f"the estimate is {self.trust}")
        return "\n".join(lines)


def judge(apply: Callable, problem: OperatorProblem, estimate: dict[str, float], trust: str, key: int) -> OperatorErrors:
    """The errors of `apply(values, sensors, sigma, points) -> [N, m, F]` on samples of a problem.

    Raises:
        SolutionError: neither samples nor reference know the clean functions.
    """
    if "clean" not in problem.judged:
        raise SolutionError(
            "errors() needs clean functions, and these samples have none. Give the problem reference=, a function of the same "
            "key that returns a Sample with clean=; training does not see it."
        )
    inside, sensors = sampling.interior(problem.domain, _QUERIES, (key, 9)), problem.sensors if problem.observes else None
    points = inside if sensors is None else np.concatenate([inside, sensors])
    count = affordable(_JUDGED, problem, _VALUES)
    drawn = draw_many(problem, jax.random.key(key), jnp.asarray(points), count, True)
    clean = np.asarray(drawn.clean)
    found = apply(drawn.noisy, problem.sensors, drawn.sigma, points)
    straight = np.full(found.shape, np.nan)
    if len(problem.sensors) <= _MOST_LINEAR:
        matrix, offset = fit_linear(problem, points, key + 1)
        straight = (np.asarray(drawn.noisy) @ matrix + offset).reshape(found.shape)
    here = slice(_QUERIES)
    errors = dict(zip(problem.fields, _relative(found[:, here], clean[:, here]), strict=True))
    linear = dict(zip(problem.fields, _relative(straight[:, here], clean[:, here]), strict=True))
    gains = (None, None, None, None) if sensors is None else _gains(drawn, found, straight)
    return OperatorErrors(errors, linear, *gains, count, dict(estimate), trust)


def _relative(found: NDArray, clean: NDArray) -> list[float]:
    return [float(np.linalg.norm(found[..., i] - clean[..., i]) / np.linalg.norm(clean[..., i])) for i in range(clean.shape[-1])]


def _gains(drawn: Drawn, found: NDArray, straight: NDArray) -> tuple[float, float | None, float | None, float | None]:
    """Gain, that of the best linear operator, the limit and the gap, at the sensors, which come last."""
    noisy, clean = np.asarray(drawn.noisy), np.asarray(drawn.clean)[:, _QUERIES:, 0]
    noise = (noisy - clean) ** 2 if drawn.sigma is None else np.broadcast_to(np.asarray(drawn.sigma)[:, None] ** 2, clean.shape)

    def gain(estimate: NDArray) -> float:
        return float(10 * np.log10(np.mean(noise) / np.mean((estimate - clean) ** 2)))

    learned = gain(found[:, _QUERIES:, 0])
    linear = None if np.isnan(straight).any() else gain(straight[:, _QUERIES:, 0])
    if drawn.mean is None:
        return learned, linear, None, None
    mean = np.asarray(drawn.mean)[:, _QUERIES:, 0]
    least = np.mean((mean - clean) ** 2)
    return learned, linear, gain(mean), float(10 * np.log10(1 + np.mean((found[:, _QUERIES:, 0] - mean) ** 2) / least))
