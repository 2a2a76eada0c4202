"""Mixtures of Gaussian priors, fitted to samples of functions by expectation and maximisation, and grown by splitting.

    f ~ Σ_k π_k N(0, C_k)

Every prior has mean zero, so that it says in which directions functions lie and how far, not where. A fit starts from one prior
and splits each in two, again and again, between the two groups that its functions are nearest to when they are made white under
it; after each split all priors are fitted anew,

    r_ik ∝ π_k N(f_i; 0, C_k + v I)        π_k ∝ Σ_i r_ik        C_k ∝ Σ_i r_ik f_i f_iᵀ

The variance v starts at that of loud noise and falls with each split, so that what priors tell apart becomes finer as they become
more (annealing: Ueda & Nakano, Neural Networks 11, 1998). Splitting ends where noisy observations u = f + σ ε that were held out
are hardly more probable than before.

Source: Dempster, Laird & Rubin, J. R. Stat. Soc. B 39 (1977); mixtures as priors of patches: Zoran & Weiss, ICCV 2011.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

_ROUNDS, _LAST_ROUNDS = 4, 40  # of expectation and maximisation after a split, and at most after the last one
_SHARE = 1e-4  # of a sample that a prior counts
_FEWEST = 16  # samples of a prior that is split
_LEAST = 3.0  # samples of a prior that stays
FINEST = 0.25  # of the variance of the quietest noise: where the annealing ends
_NEEDED = 0.05  # of that: variances along directions that are left out
GAIN = 0.01  # of the logarithm of a held-out observation's probability, without which splits and rounds end
_MOST_VARIANCES = 2**18  # of all priors together


T = TypeVar("T")


class Mixture(NamedTuple):
    """Weights [K] and covariances [K, n, n] of Gaussian priors with mean zero."""

    weights: NDArray
    covariances: NDArray


class Observed(NamedTuple):
    """Values [N, n], and variances of their noise, [N, 1], or one that is added to all, [1, 1]."""

    values: NDArray
    variances: NDArray


def evidence(mixture: Mixture, seen: Observed) -> NDArray:
    """log π_k N(u_i; 0, C_k + v_i I), [K, N].

    Example:
        >>> one = Mixture(np.ones(1), np.eye(2)[None])
        >>> evidence(one, Observed(np.zeros((1, 2)), np.ones((1, 1)))).round(4).tolist()  # -log 4π
        [[-2.531]]
    """
    found = np.empty((len(mixture.weights), len(seen.values)))
    for k, covariance in enumerate(mixture.covariances):
        spectrum, vectors = np.linalg.eigh(covariance)
        total = np.maximum(spectrum, 0)[None] + seen.variances
        turned = seen.values @ vectors
        found[k] = np.log(mixture.weights[k]) - 0.5 * (np.sum(turned**2 / total, axis=1) + np.sum(np.log(total), axis=1))
    return found - 0.5 * seen.values.shape[1] * np.log(2 * np.pi)


def shares(found: NDArray) -> tuple[NDArray, float]:
    """What each prior has of each sample, [K, N], and the mean logarithm of the samples' probability, from `evidence`."""
    top = found.max(axis=0)
    parts = np.exp(found - top)
    total = parts.sum(axis=0)
    return parts / total, float(np.mean(top + np.log(total)))


def weighed(found: NDArray, rounds: int = 50) -> tuple[NDArray, float]:
    """The weights [K] that make samples most probable, and the mean logarithm of that probability.

    Their evidence under each prior is given without weights, [K, N].

    Example:
        >>> weights, _ = weighed(np.log(np.array([[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]) + 1e-30))
        >>> weights.round(3).tolist()
        [0.75, 0.25]
    """
    weights = np.full(len(found), 1 / len(found))
    for _ in range(rounds):
        weights = np.maximum(shares(found + np.log(weights)[:, None])[0].mean(axis=1), 1e-12)
    weights = weights / weights.sum()
    return weights, shares(found + np.log(weights)[:, None])[1]


def fit_mixture(clean: NDArray, seen: Observed, most: int) -> tuple[Mixture, NDArray]:
    """At most so many priors of functions [N, n], of which also noisy observations are given; an eighth is held out.

    Their covariances are of as many directions as the functions have, given beside them, [n, m], orthonormal.
    """
    quiet, loud = float(seen.variances.min()), float(seen.variances.max())
    spectrum, vectors = np.linalg.eigh(clean.T @ clean / len(clean))
    frame = vectors[:, spectrum > _NEEDED * FINEST * quiet]
    values, held = held_out(clean @ frame, Observed(seen.values @ frame, seen.variances))
    splits = int(np.log2(np.clip(_MOST_VARIANCES / max(frame.shape[1], 1) ** 2, 1, most)))
    floors = np.geomspace(loud, FINEST * quiet, splits + 1)[1:]
    rng = np.random.default_rng(0)

    def noisier(floor: float) -> Observed:
        return Observed(values, np.full((1, 1), floor))

    def probable(mixture: Mixture) -> float:
        return shares(evidence(mixture, held))[1]

    single = Mixture(np.ones(1), (values.T @ values / len(values))[None])
    best = while_better(single, [partial(_grown, seen=noisier(floor), rng=rng) for floor in floors], probable)
    best = while_better(best, [partial(_maximised, seen=noisier(FINEST * quiet))] * _LAST_ROUNDS, probable)
    return best, frame


def held_out(clean: NDArray, seen: Observed) -> tuple[NDArray, Observed]:
    """Functions without the last eighth of them, and the observations of those."""
    count = len(clean) - len(clean) // 8
    return clean[:count], Observed(seen.values[count:], seen.variances[count:])


def while_better(best: T, steps: Sequence[Callable[[T], T]], probable: Callable[[T], float]) -> T:
    """One step after the other, as long as held-out observations become more probable."""
    reached = probable(best)
    for step in steps:
        mixture = step(best)
        found = probable(mixture)
        if found < reached + GAIN:
            break
        best, reached = mixture, found
    return best


def moments(values: NDArray, part: NDArray) -> NDArray:
    """Second moments [n, n] of a prior's share [N] of samples [N, n]."""
    chosen = part > _SHARE
    scaled = values[chosen] * np.sqrt(part[chosen])[:, None]
    return scaled.T @ scaled / (float(part.sum()) + 1)


def _grown(mixture: Mixture, seen: Observed, rng: np.random.Generator) -> Mixture:
    """Split, and fitted anew."""
    mixture = _split(mixture, seen, rng)
    for _ in range(_ROUNDS):
        mixture = _maximised(mixture, seen)
    return mixture


def _maximised(mixture: Mixture, seen: Observed) -> Mixture:
    """One round of expectation and maximisation; priors that hardly have any sample are dropped."""
    parts, _ = shares(evidence(mixture, seen))
    weights, covariances = [], []
    for part in parts:
        if part.sum() >= _LEAST:
            weights.append(float(part.sum()))
            covariances.append(moments(seen.values, part))
    return Mixture(np.array(weights) / sum(weights), np.stack(covariances))


def _split(mixture: Mixture, seen: Observed, rng: np.random.Generator) -> Mixture:
    """Each prior in two: samples that are most its own go with that of two directions which they are nearer to."""
    owner = shares(evidence(mixture, seen))[0].argmax(axis=0)
    weights, covariances = [], []
    for k, covariance in enumerate(mixture.covariances):
        own = np.flatnonzero(owner == k)
        groups = [np.ones(len(own), bool)]
        if len(own) >= _FEWEST:
            spectrum, vectors = np.linalg.eigh(covariance)
            white = seen.values[own] @ vectors / np.sqrt(np.maximum(spectrum, 0)[None] + float(np.mean(seen.variances)))
            groups = _halves(white / np.linalg.norm(white, axis=1, keepdims=True), rng)
        for group in groups:
            share = group.sum() / max(len(own), 1)
            values = seen.values[own[group]]
            weights.append(mixture.weights[k] * share)
            covariances.append(moments(values, np.ones(len(values))) if len(groups) > 1 else covariance)
    return Mixture(np.array(weights) / sum(weights), np.stack(covariances))


def _halves(directions: NDArray, rng: np.random.Generator) -> list[NDArray]:
    """Two groups of unit vectors [N, n], each nearer to its own second moments, from two of them on; one where that fails."""
    picked = rng.choice(len(directions), 2, replace=False)
    second = [np.outer(directions[i], directions[i]) for i in picked]
    one = np.ones(len(directions), bool)
    for _ in range(_ROUNDS):
        near = [np.einsum("ij,ij->i", directions @ m, directions) / np.linalg.norm(m) for m in second]
        one = near[0] > near[1]
        if min(one.sum(), (~one).sum()) < _LEAST:
            return [np.ones(len(directions), bool)]
        second = [directions[group].T @ directions[group] for group in (one, ~one)]
    return [one, ~one]
