"""Radau IIA: its nodes, what it does exactly, its order."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial import Polynomial

from pinn.derivatives import Jet
from pinn.radau import lagrange_at, radau


def test_the_nodes_are_those_of_the_book():
    """Hairer & Wanner, table IV.5.6."""
    np.testing.assert_allclose(radau(3).nodes[1:], [(4 - 6**0.5) / 10, (4 + 6**0.5) / 10, 1], rtol=1e-14)


@pytest.mark.parametrize("stages", [1, 2, 5, 6, 7, 8])
def test_polynomials_are_differentiated_and_split_into_modes_exactly(stages):
    scheme = radau(stages)
    line = Polynomial(np.random.default_rng(stages).normal(size=stages + 1))
    slopes = scheme.derivative(line(0), line(scheme.nodes[1:]))
    np.testing.assert_allclose(slopes, line.deriv()(scheme.nodes[1:]), rtol=1e-9)
    modes = scheme.modes @ line(scheme.nodes)
    np.testing.assert_allclose(np.polynomial.legendre.legval(2 * 0.3 - 1, modes), line(0.3), rtol=1e-9)
    rebuilt = scheme.vectors @ np.diag(scheme.eigenvalues) @ scheme.inverse
    np.testing.assert_allclose(rebuilt, scheme.slopes, atol=1e-9 * np.abs(scheme.slopes).max())
    short = Polynomial(line.coef[:-1])
    assert scheme.before @ short(scheme.nodes[1:]) == pytest.approx(short(0) if stages > 1 else short(0.0), abs=1e-9)


def test_rounding_makes_an_error_of_what_changes_alone():
    """An error of 1e-13 of the values, the same in each of 200 steps, once was the largest of all."""
    scheme, change = radau(6), 1e-6 * np.sin(np.arange(1, 7))
    np.testing.assert_array_equal(scheme.derivative(1e3, np.full(6, 1e3)), np.zeros(6))
    np.testing.assert_allclose(scheme.derivative(1.0, 1.0 + change), scheme.slopes @ change, atol=1e-14)


def test_values_between_the_nodes_have_their_derivatives():
    scheme, line, places = radau(6), Polynomial([1, -2, 0.5, 3, 0, 0, 1.5]), np.array([0.1, 0.6, 1.4])
    for lines, exact in zip(scheme.at(places), (line, line.deriv(), line.deriv(2)), strict=True):
        np.testing.assert_allclose(lines @ line(scheme.nodes), exact(places), rtol=1e-9, atol=1e-9)


def test_lagrange_polynomials_pass_jets():
    nodes = radau(5).nodes
    jet = lagrange_at(nodes, Jet.variable(jnp.array([0.37]), [(2,)]))
    line = Polynomial([0.2, -1, 2, 0.3, 1, -0.7])
    for order in range(3):
        assert float(jet.part((order,)) @ line(nodes)) == pytest.approx(line.deriv(order)(0.37) if order else line(0.37))


@pytest.mark.parametrize("stages", [2, 3, 4])
def test_the_end_of_a_step_has_order_2s_minus_1(stages):
    """y' = -y: the error of steps that are half as long falls by 2^(2s - 1)."""
    scheme = radau(stages)

    def end(count):
        y, length = 1.0, 1 / count
        for _ in range(count):
            y += np.linalg.solve(scheme.slopes / length + np.eye(stages), np.full(stages, -y))[-1]
        return abs(y - np.exp(-1))

    assert np.log2(end(2) / end(4)) == pytest.approx(2 * stages - 1, abs=0.3)


def test_fast_decay_is_damped():
    """The end of one step of y' = -λ y goes to 0 as λ grows: what is too fast for the steps dies out."""
    scheme = radau(6)
    end = np.linalg.solve(scheme.slopes + 1e6 * np.eye(6), scheme.slopes @ np.ones(6))[-1]
    assert abs(end) < 1e-5
