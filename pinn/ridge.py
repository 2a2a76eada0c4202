"""The ridge branch: coefficients by regularised least squares, under a mixture of learned priors weighed by their evidence.

With Φ the trunk's functions at the sensors and u = Φ c + σ ε, each prior c ~ N(0, Σ_k) has the posterior mean and evidence

    c_k = Σ_k Φᵀ (Φ Σ_k Φᵀ + σ² I)⁻¹ u,      log p(u | k) = -½ uᵀ (Φ Σ_k Φᵀ + σ² I)⁻¹ u - ½ log det (Φ Σ_k Φᵀ + σ² I),

and the branch gives Σ_k p(k | u) c_k. Sensors may lie anywhere, in any number, with any noise: these enter by the formula, and
only the priors are learned. No noise gives interpolation, infinite noise gives zero. One prior is the Bayes-optimal estimator
of a Gaussian process; several come as near to a family of them as the mixture does. One eigendecomposition for each prior
serves all observations with the same sensors, so that each of them costs products of matrices and vectors alone.

Where the output satisfies linear, homogeneous equations, one prior lives on their solutions alone, found in the trunk's
functions by a singular value decomposition of the residual, and the others have no say: a projection on the solutions, shrunk
as their observed moments and the noise ask for. It needs no clean function and no step of training.

Prior art: function encoders (Ingebrand et al.), RINO (arXiv 2407.13010), Bayesian last layers, empirical Bayes.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax

from .branches import Branch, Layout, Seen, described
from .errors import NetworkError
from .networks import Frozen

_FLOOR = 1e-5  # of the noise level, in units of the signal: keeps interpolation well posed
_MOMENTS = 1e-7  # of the smooth interpolant that carries moments from sensors to coefficients
_SEEN, _LAWFUL = 1e-12, 3e-4  # eigenvalues of smooth functions that count, and residuals, of the median, that count as none
_UNLAWFUL = -1e3  # logarithm of the odds of priors that know no equation: none, where there is one


def solve_shifted(matrices: Array, values: Array, shifts: Array) -> tuple[Array, Array]:
    """(A_k + s_j I)⁻¹ u and log det (A_k + s_j I) for symmetric A [K, n, n], u [n] and s [J] > 0: [K, J, n] and [K, J].

    By one eigendecomposition for each matrix. It is never differentiated, which would fail where eigenvalues meet: the solve
    is by the implicit function theorem, the determinant by the slope of eigenvalues uᵀ dA u.

    Example:
        >>> x, logdet = solve_shifted(jnp.eye(2)[None], jnp.ones(2), jnp.array([1.0]))
        >>> x.tolist(), round(float(logdet[0, 0]), 4)
        ([[[0.5, 0.5]]], 1.3863)
    """
    spectrum, vectors = jnp.linalg.eigh(lax.stop_gradient(matrices))
    shift = shifts[None, :, None]
    positive = jnp.maximum(spectrum, 0)[:, None, :] + lax.stop_gradient(shift)

    def product(x: Array) -> Array:
        return jnp.einsum("knm,kjm->kjn", matrices, x) + shift * x

    def solve(_: object, b: Array) -> Array:
        turned = jnp.einsum("knm,kjn->kjm", vectors, b)
        return jnp.einsum("knm,kjm->kjn", vectors, turned / positive)

    right = jnp.broadcast_to(values[None, None], (len(matrices), len(shifts), len(values)))
    x = lax.custom_linear_solve(product, right, solve, symmetric=True)
    moving = jnp.einsum("kni,knm,kmi->ki", vectors, matrices, vectors)[:, None, :]
    return x, jnp.sum(jnp.log(jnp.maximum(moving, 0) + shift), axis=-1)


class RidgeBranch(Branch):
    """Coefficients by regularised least squares in the trunk's functions; see the module. It needs a `pinn.Harmonics` trunk.

    Args:
        layout, outputs: the sensors it will be trained with, and the size of the trunk.
        spectra: priors with independent coefficients, a learned variance each; they start as low-pass filters of different
            cut-off.
        factors: rank of the one prior with correlated coefficients, which starts with the moments of the observations.
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
        spectra: int = 16,
        factors: int = 32,
        levels: int = 16,
    ):
        del rngs
        self.spectra = nnx.Param(jnp.zeros((spectra, outputs), dtype))
        self.factor = nnx.Param(jnp.zeros((outputs, min(factors, outputs)), dtype))
        self.rest = nnx.Param(jnp.full((1, outputs), -16.0, dtype))
        self.logits = nnx.Param(jnp.zeros(spectra + 1, dtype))
        self.levels = Frozen(jnp.asarray(np.geomspace(0.01, 2.0, levels), dtype))
        self.options = described("RidgeBranch", spectra=spectra, factors=factors, levels=levels)

    def begin(self, seen: Seen, frequencies: np.ndarray, law: tuple[Array, Array] | None = None) -> None:
        """Start from observations [N, n] with noise [N] at common sensors: variances by frequency, moments, noise levels.

        With a `law`, the trunk's functions at points of the domain, [m, p], and linear equations of their coefficients, [k, p],
        the moments are those of the observations' projection on the functions that satisfy it, where there are any.
        """
        values, sigma = np.asarray(seen.values, float), np.asarray(seen.sigma if seen.sigma is not None else 0.0, float)
        dtype, count = self.spectra[...].dtype, self.spectra[...].shape[0]
        top = frequencies.max()
        lengths = np.geomspace(1.5 / max(top, 1e-12), 2.0, count)
        power = -0.5 * (frequencies[None] * lengths[:, None]) ** 2
        power = np.maximum(power - np.log(np.exp(power).sum(axis=1, keepdims=True)), -18.0)
        self.spectra[...] = jnp.asarray(power, dtype)
        at_sensors, noise = np.asarray(seen.basis, float), float(np.mean(sigma**2))
        lawful = _solutions(np.asarray(law[0]), np.asarray(law[1]), frequencies) if law is not None else np.zeros(0)
        if lawful.size:
            frame, sizes, turned = np.linalg.svd(at_sensors @ lawful, full_matrices=False)
            kept = sizes > 1e-6 * sizes[0]
            factor = _moments(values @ frame[:, kept], noise, lawful @ turned[kept].T / sizes[kept])
            self.logits[...] = self.logits[...].at[:-1].set(_UNLAWFUL)
        else:
            factor = _moments(values, noise, _carried(at_sensors, frequencies))
        width = self.factor[...].shape[1]
        self.factor[...] = jnp.asarray(np.pad(factor[:, :width], ((0, 0), (0, max(0, width - factor.shape[1])))), dtype)
        if np.all(sigma > 0):
            self.levels[...] = jnp.asarray(np.geomspace(sigma.min() / 1.5, 1.5 * sigma.max(), len(self.levels[...])), dtype)

    def __call__(self, seen: Seen) -> Array:
        basis, variances = seen.basis, jnp.exp(self.spectra[...])
        if basis is None:
            raise NetworkError(
                "A ridge branch reads the output at its sensors, so they must be points of the problem's domain, and there must "
                "be one field. Use pinn.DenseBranch or pinn.SetBranch."
            )
        low = basis @ self.factor[...]
        rest = jnp.exp(self.rest[...])
        scaled = basis[None] * jnp.concatenate([variances, rest])[:, None, :]
        matrices = jnp.einsum("knp,mp->knm", scaled, basis)
        matrices = matrices.at[-1].add(low @ low.T)
        sigma = self.levels[...] if seen.sigma is None else seen.sigma[None]
        x, logdet = solve_shifted(matrices, seen.values, jnp.maximum(sigma, _FLOOR) ** 2)
        evidence = -0.5 * (x @ seen.values + logdet) + self.logits[...][:, None]
        weights = jax.nn.softmax(evidence.reshape(-1)).reshape(evidence.shape)
        mean = jnp.einsum("kj,kjn->kn", weights, x)
        return jnp.einsum("knp,kn->p", scaled, mean) + self.factor[...] @ (low.T @ mean[-1])


def _moments(values: np.ndarray, noise: float, carry: np.ndarray) -> np.ndarray:
    """A factor of the signal's second moments, [p, r]: those of the observations less the noise's, beyond their sampling error.

    Observations [N, k] are in an orthonormal frame, from which `carry` [p, k] leads to coefficients.
    """
    count, size = values.shape
    spectrum, vectors = np.linalg.eigh(values.T @ values / count - noise * np.eye(size))
    chance = noise * 2 * np.sqrt(size / count) + 1e-9 * spectrum[-1]
    kept = spectrum > chance
    return carry @ (vectors[:, kept][:, ::-1] * np.sqrt(spectrum[kept][::-1])[None])


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
    _, sizes, turned = np.linalg.svd(rows @ smooth, full_matrices=False)
    return smooth @ turned[sizes < _LAWFUL * np.median(sizes)].T
