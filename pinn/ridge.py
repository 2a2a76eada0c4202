"""The ridge branch: coefficients by regularised least squares, under a mixture of learned priors weighed by their evidence.

With Φ the trunk's functions at the sensors and u = Φ c + σ ε, each prior c ~ N(0, Σ_k) has the posterior mean and evidence

    c_k = Σ_k Φᵀ (Φ Σ_k Φᵀ + σ² I)⁻¹ u,      log p(u | k) = -½ uᵀ (Φ Σ_k Φᵀ + σ² I)⁻¹ u - ½ log det (Φ Σ_k Φᵀ + σ² I),

and the branch gives Σ_k p(k | u) c_k. Sensors may lie anywhere, in any number, with any noise: these enter by the formula, and
only the priors are learned. No noise gives interpolation, infinite noise gives zero. One prior is the Bayes-optimal estimator
of a Gaussian process; several come as near to other functions as a mixture of Gaussians does. One eigendecomposition for each
prior serves all observations with the same sensors, so that each of them costs products of matrices and vectors alone.

There are two kinds of priors. Spectra, Σ_k diagonal, are of stationary processes (see `spectra`). Factors, Σ_k = F_k F_kᵀ of low
rank, are fitted to samples at the sensors (see `mixture`), and carried from there to the trunk's functions by the smoothest
interpolation; they are solved in as many unknowns as their rank. Then all are weighed by how probable they make samples that
were held out, and factors that count for nothing beside the others are dropped. Where the noise is known, a spectrum that no
sample is like counts a little: what is seen may be smoother or rougher than what was learned. Where it is not, that would be
taken for noise.

Where the output satisfies linear, homogeneous equations, there is one factor, of their solutions alone, found in the trunk's
functions by a singular value decomposition of the residual, and the spectra have no say: a projection on the solutions, shrunk
as their observed moments and the noise ask for. It needs no clean function and no step of training.

Prior art: function encoders (Ingebrand et al.), RINO (arXiv 2407.13010), Bayesian last layers, empirical Bayes.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax

from .branches import Branch, First, Layout, NoiseLevels, Seen, described
from .decompositions import svd
from .errors import NetworkError
from .mixture import GAIN, Mixture, Observed, evidence, fit_mixture, held_out, weighed
from .networks import Frozen
from .spectra import covariances, fit_spectra

_FLOOR = 1e-5  # of the noise level, in units of the signal: keeps interpolation well posed
_MOMENTS = 1e-7  # of the smooth interpolant that carries moments from sensors to coefficients
_SEEN, _LAWFUL = 1e-12, 3e-4  # eigenvalues of smooth functions that count, and residuals, of the median, that count as none
_NEEDED = 1e-12  # of a factor's largest variance: what its rank has to hold
_FAINT = -18.0  # logarithm of the least power of a spectrum
_RARE = 1e-4  # what a factor counts at least, to be kept
_UNSEEN = 1e-2  # what a spectrum counts at least where the noise is known, though no sample is like it
_NEVER = -1e3  # logarithm of the odds of what cannot be


class Decomposed(NamedTuple):
    """Symmetric matrices [K, n, n] with their eigenvalues [K, n] and eigenvectors, which are never differentiated."""

    matrices: Array
    spectra: Array
    vectors: Array


def decomposed(matrices: Array) -> Decomposed:
    """The eigendecompositions of symmetric matrices."""
    return Decomposed(matrices, *jnp.linalg.eigh(lax.stop_gradient(matrices)))


def solve_shifted(matrices: Decomposed, values: Array, shifts: Array) -> tuple[Array, Array]:
    """(A_k + s_j I)⁻¹ u_k and log det (A_k + s_j I) for symmetric A [K, n, n], u [K or 1, n], s [J] > 0: [K, J, n], [K, J].

    Derivatives do not pass through eigenvectors, which would fail where eigenvalues meet: that of the solve is by the implicit
    function theorem, that of the determinant by the slope of eigenvalues uᵀ dA u.

    Example:
        >>> x, logdet = solve_shifted(decomposed(jnp.eye(2)[None]), jnp.ones((1, 2)), jnp.array([1.0]))
        >>> x.tolist(), round(float(logdet[0, 0]), 4)
        ([[[0.5, 0.5]]], 1.3863)
    """
    plain, spectra, vectors = matrices
    shift = shifts[None, :, None]
    positive = jnp.maximum(spectra, 0)[:, None, :] + lax.stop_gradient(shift)

    def product(x: Array) -> Array:
        return jnp.einsum("knm,kjm->kjn", plain, x) + shift * x

    def solve(_: object, b: Array) -> Array:
        turned = jnp.einsum("knm,kjn->kjm", vectors, b)
        return jnp.einsum("knm,kjm->kjn", vectors, turned / positive)

    right = jnp.broadcast_to(values[:, None], (len(plain), len(shifts), values.shape[-1]))
    x = lax.custom_linear_solve(product, right, solve, symmetric=True)
    moving = jnp.einsum("kni,knm,kmi->ki", vectors, plain, vectors)[:, None, :]
    return x, jnp.sum(jnp.log(jnp.maximum(moving, 0) + shift), axis=-1)


class RidgeBranch(Branch):
    """Coefficients by regularised least squares in the trunk's functions; see the module. It needs a `pinn.Harmonics` trunk.

    Args:
        layout, outputs: the sensors it will be trained with, and the size of the trunk.
        spectra: priors with independent coefficients, a learned variance each; they start as low-pass filters of different
            cut-off.
        factors: priors with correlated coefficients, fitted to samples; at most so many.
        rank: of each of them at most.
        levels: noise levels that are weighed by their evidence where none is given.

    Raises:
        NetworkError: several fields, or sensors that are no points of the domain.
    """

    free = True

    def __init__(
        self,
        layout: Layout,
        outputs: int,
        *,
        rngs: nnx.Rngs,
        dtype: jnp.dtype = jnp.float64,
        spectra: int = 32,
        factors: int = 256,
        rank: int = 64,
        levels: int = 16,
    ):
        del rngs
        self.spectra = nnx.Param(jnp.zeros((spectra, outputs), dtype))
        self.factors = nnx.Param(jnp.zeros((factors, outputs, min(rank, outputs)), dtype))
        self.logits = nnx.Param(jnp.zeros(spectra + factors, dtype))
        self.unseen = Frozen(jnp.full(spectra, _NEVER, dtype))
        self.levels = NoiseLevels(levels, dtype)
        self.options = described("RidgeBranch", spectra=spectra, factors=factors, rank=rank, levels=levels)

    def begin(self, first: First, frequencies: np.ndarray) -> None:
        """Start from samples: spectra by frequency, factors by second moments, noise levels, and what each counts.

        A mixture needs clean functions; without them there is one factor, of the moments that the noise leaves.

        With a `law` these are those of the observations' projection on the functions that satisfy it, where there are any.
        """
        values, sigma = np.asarray(first.seen.values, float), first.seen.sigma
        clean = None if first.clean is None else np.asarray(first.clean, float)
        noise, at_sensors = _noise(values, clean, sigma), np.asarray(first.seen.basis, float)
        self._begin_spectra(frequencies)
        self.levels.begin(sigma)
        law = first.law
        lawful = _solutions(np.asarray(law[0]), np.asarray(law[1]), frequencies) if law is not None else np.zeros(0)
        if lawful.size:
            frame, sizes, turned = svd(at_sensors @ lawful)
            kept = sizes > 1e-6 * sizes[0]
            moments = _moments(values @ frame[:, kept], float(np.mean(noise)))
            self._begin_factors(moments[None], lawful @ turned[kept].T / sizes[kept])
            self.logits[...] = self.logits[...].at[:-1].set(_NEVER)
            return
        carry = _carried(at_sensors, frequencies)
        if clean is None or noise.min() == 0:
            known = clean if clean is not None else values
            self._begin_factors(_moments(known, 0.0 if clean is not None else float(np.mean(noise)))[None], carry)
            return
        self._begin_mixture(at_sensors, clean, Observed(values, noise), carry)

    def _begin_spectra(self, frequencies: np.ndarray) -> None:
        lengths = np.geomspace(1.5 / max(frequencies.max(), 1e-12), 2.0, self.spectra[...].shape[0])
        power = -0.5 * (frequencies[None] * lengths[:, None]) ** 2
        power = np.maximum(power - np.log(np.exp(power).sum(axis=1, keepdims=True)), _FAINT)
        self.spectra[...] = jnp.asarray(power, self.spectra[...].dtype)

    def _begin_mixture(self, at_sensors: np.ndarray, clean: np.ndarray, seen: Observed, carry: np.ndarray) -> None:
        """Spectra and factors that clean functions are drawn from, and what each counts."""
        frame = np.linalg.qr(at_sensors)[0]
        basis, within = frame.T @ at_sensors, Observed(seen.values @ frame, seen.variances)
        dtype = self.spectra[...].dtype
        power = fit_spectra(basis, np.exp(np.asarray(self.spectra[...], float)), clean @ frame, within)
        mixture, directions = fit_mixture(clean, seen, self.factors[...].shape[0])
        turned = frame.T @ directions
        every = np.concatenate([covariances(basis, power), turned @ mixture.covariances @ turned.T])
        found = evidence(Mixture(np.ones(len(every)), every), held_out(clean, within)[1])
        weights, together = weighed(found)
        _, alone = weighed(found[: len(power)])
        own = weights[len(power) :]
        kept = own >= (min(_RARE, own.max()) if together >= alone + GAIN else own.max())
        self._begin_factors(mixture.covariances[kept], carry @ directions)
        weights = np.concatenate([weights[: len(power)], own[kept]])
        self.spectra[...] = jnp.asarray(np.log(np.maximum(power, np.exp(_FAINT))), dtype)
        self.logits[...] = jnp.asarray(np.log(weights / weights.sum()), dtype)
        self.unseen[...] = jnp.full(len(power), np.log(_UNSEEN), dtype)

    def _begin_factors(self, covariances: np.ndarray, carry: np.ndarray) -> None:
        """As many factors as there are covariances [K, k, k], in an orthonormal frame from which `carry` [p, k] leads on."""
        options = json.loads(self.options)
        spectra, vectors = np.linalg.eigh(covariances)
        spectra, vectors = np.maximum(spectra[:, ::-1], 0), vectors[:, :, ::-1]
        needed = int(np.max(np.sum(spectra > _NEEDED * spectra[:, :1], axis=1)))
        rank = max(1, min(needed, self.factors[...].shape[2]))
        factors = np.einsum("pn,knr->kpr", carry, vectors[:, :, :rank] * np.sqrt(spectra[:, None, :rank]))
        self.factors = nnx.Param(jnp.asarray(factors, self.spectra[...].dtype))
        self.logits = nnx.Param(jnp.zeros(len(self.spectra[...]) + len(factors), self.spectra[...].dtype))
        options |= {"factors": len(factors), "rank": rank}
        self.options = described("RidgeBranch", **{name: value for name, value in options.items() if name != "kind"})

    def __call__(self, seen: Seen) -> Array:
        basis, variances, factors = seen.basis, jnp.exp(self.spectra[...]), self.factors[...]
        if basis is None:
            raise NetworkError(
                "A ridge branch reads the output at its sensors, so they must be points of the problem's domain, and there must "
                "be one field. Use pinn.DenseBranch or pinn.SetBranch."
            )
        sigma, odds = self.levels(seen.sigma)
        noise = jnp.maximum(sigma, _FLOOR) ** 2
        basis, values, beyond = _reached(basis, seen.values, noise)
        scaled = basis[None] * variances[:, None, :]
        stationary = decomposed(jnp.einsum("knp,mp->knm", scaled, basis))
        x, logdet = solve_shifted(stationary, values[None], noise)
        spread = -0.5 * (x @ values + logdet)
        low = jnp.einsum("np,kpr->knr", basis, factors)
        turned = jnp.einsum("knr,n->kr", low, values)
        # XLA may decompose two batches at once, which then wait for each other's threads; so the second waits for the first.
        after = 0.0 * stationary.spectra[0, 0]
        y, small = solve_shifted(decomposed(jnp.einsum("knr,kns->krs", low, low) + after), turned, noise)
        energy = (values @ values - jnp.einsum("kjr,kr->kj", y, turned)) / noise[None]
        within = -0.5 * (energy + small + (len(values) - factors.shape[2]) * jnp.log(noise)[None])
        logits = self.logits[...]
        if seen.sigma is not None:
            logits = logits.at[: len(variances)].set(jnp.logaddexp(logits[: len(variances)], self.unseen[...]))
        found = jnp.concatenate([spread, within]) + logits[:, None] + (odds + beyond)[None]
        weights = jax.nn.softmax(found.reshape(-1)).reshape(found.shape)
        mean = jnp.einsum("kj,kjn->kn", weights[: len(x)], x)
        return jnp.einsum("knp,kn->p", scaled, mean) + jnp.einsum("kpr,kj,kjr->p", factors, weights[len(x) :], y)


def _reached(basis: Array, values: Array, noise: Array) -> tuple[Array, Array, Array]:
    """Basis and values in as many unknowns as there are functions, and the evidence [J] of the rest, which is noise alone."""
    count, functions = basis.shape
    if count <= functions:
        return basis, values, jnp.zeros_like(noise)
    frame, basis = jnp.linalg.qr(basis)
    reached = frame.T @ values
    rest = (values @ values - reached @ reached) / noise + (count - functions) * jnp.log(noise)
    return basis, reached, -0.5 * rest


def _noise(values: np.ndarray, clean: np.ndarray | None, sigma: Array | None) -> np.ndarray:
    """The variance of each sample's noise, [N, 1]: as it is told, or as it is seen; zeros where it is neither."""
    if sigma is not None:
        return np.asarray(sigma, float)[:, None] ** 2
    return np.zeros((len(values), 1)) if clean is None else np.mean((values - clean) ** 2, axis=1, keepdims=True)


def _moments(values: np.ndarray, noise: float) -> np.ndarray:
    """The signal's second moments [k, k]: those of the observations [N, k] less the noise's, beyond their sampling error."""
    count, size = values.shape
    spectrum, vectors = np.linalg.eigh(values.T @ values / count - noise * np.eye(size))
    chance = noise * 2 * np.sqrt(size / count) + 1e-9 * spectrum[-1]
    kept = spectrum > chance
    return vectors[:, kept] * spectrum[kept] @ vectors[:, kept].T


def _smoothness(frequencies: np.ndarray) -> np.ndarray:
    return 1 / (1 + (frequencies / 4) ** 2) ** 3


def _carried(basis: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """From values at the sensors to the coefficients of their smoothest interpolation, [p, n]."""
    weighed = basis * _smoothness(frequencies)[None]
    kernel = weighed @ basis.T
    return np.linalg.solve(kernel + _MOMENTS * np.trace(kernel) / len(basis) * np.eye(len(basis)), weighed).T


def _solutions(basis: np.ndarray, rows: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Coefficients [p, r] of the functions that satisfy linear equations, orthonormal at the points of `basis`."""
    rounding = 10 * float(np.finfo(basis.dtype).eps)
    basis, rows = basis.astype(float), rows.astype(float)
    weighed = basis * _smoothness(frequencies)[None]
    spectrum, vectors = np.linalg.eigh(weighed @ basis.T)
    kept = spectrum > max(_SEEN, rounding) * spectrum[-1]
    smooth = weighed.T @ (vectors[:, kept] / spectrum[kept])
    _, sizes, turned = svd(rows @ smooth)
    return smooth @ turned[sizes < _LAWFUL * np.median(sizes)].T
