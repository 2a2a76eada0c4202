"""Singular values, where the fast way to them fails as well; factors that solve."""

import numpy as np
import pytest
import scipy.linalg

from pinn.decompositions import cholesky, lu, pseudo_inverse, svd


@pytest.fixture(params=["gesdd", "gesvd"])
def serving(request, monkeypatch):
    """The driver that is left to serve: where it is the second one, the first does not converge."""
    whole, asked = scipy.linalg.svd, []

    def some(matrix, lapack_driver="gesdd", **options):
        asked.append(lapack_driver)
        if lapack_driver != request.param and request.param == "gesvd":
            raise np.linalg.LinAlgError("SVD did not converge")
        return whole(matrix, lapack_driver=lapack_driver, **options)

    monkeypatch.setattr(scipy.linalg, "svd", some)
    yield request.param
    assert asked[-1] == request.param


@pytest.mark.parametrize("shape", [(7, 4), (4, 7)])
@pytest.mark.parametrize("full", [False, True])
def test_factors_multiply_to_the_matrix(serving, shape, full):
    matrix = np.random.default_rng(0).normal(size=shape)
    left, sizes, right = svd(matrix, full)
    assert (left.shape[1], right.shape[0]) == (shape if full else (4, 4))
    np.testing.assert_allclose(left[:, :4] * sizes @ right[:4], matrix, atol=1e-14)
    np.testing.assert_allclose(sizes, np.sqrt(np.linalg.eigvalsh(matrix @ matrix.T)[::-1][:4]), rtol=1e-12)
    np.testing.assert_allclose(left.T @ left, np.eye(left.shape[1]), atol=1e-14)


def test_the_pseudo_inverse_leaves_out_what_is_cut(serving):
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    matrix = turn[:, :2] @ np.diag([2.0, 1e-9]) @ turn[:2]
    np.testing.assert_allclose(pseudo_inverse(matrix, 1e-6), turn[:1].T @ turn[:, :1].T / 2, atol=1e-14)


@pytest.mark.parametrize("shape", [(0, 0), (3, 0), (0, 3)])
def test_of_nothing_there_is_nothing(shape):
    left, sizes, right = svd(np.zeros(shape))
    assert (left.shape, sizes.shape, right.shape) == ((shape[0], 0), (0,), (0, shape[1]))
    assert pseudo_inverse(np.zeros(shape), 1e-6).shape == shape[::-1]


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(wrong):
    with pytest.raises(np.linalg.LinAlgError):
        svd(np.array([[1.0, wrong], [2.0, 3.0]]))


@pytest.mark.parametrize("factored", [lu, cholesky])
@pytest.mark.parametrize("kind", [float, complex])
def test_factors_solve(factored, kind):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(9, 6)) + (1j * rng.normal(size=(9, 6)) if kind is complex else 0)
    matrix, known = rows.conj().T @ rows * np.array([1e6, *np.ones(5)]) * np.array([1e6, *np.ones(5)])[:, None], np.arange(6.0)
    right = matrix @ known
    np.testing.assert_allclose(factored(matrix.copy()).solve(right), known, atol=1e-8)


def test_real_factors_take_the_real_part_of_what_they_solve_for():
    for factored in (lu, cholesky):
        found = factored(np.diag([2.0, 4.0])).solve(np.array([2.0 + 1e-20j, 4.0]))
        assert found.dtype == float and found.tolist() == pytest.approx([1, 1])


def test_dependent_normal_equations_get_a_ridge_and_indefinite_ones_are_refused():
    matrix = np.array([[1.0, 1.0], [1.0, 1.0]])
    assert matrix @ cholesky(matrix).solve(np.array([2.0, 2.0])) == pytest.approx([2, 2])
    with pytest.raises(np.linalg.LinAlgError):
        cholesky(np.array([[1.0, 2.0], [2.0, 1.0]]))
