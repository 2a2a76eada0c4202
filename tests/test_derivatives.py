"""Taylor arithmetic and the nested engines: the same numbers as jax.grad of jax.grad, and the rules of calculus."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from helpers import Polynomial, random_network, residuals_at
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve2d

import pinn
from pinn import at, d, laplacian, nested_grad, nested_jvp, taylor
from pinn.derivatives import ACTIVATIONS, Jet, concatenate, lower_set, lowered, raised
from pinn.expression import Expression
from pinn.frames import Leaf
from pinn.networks import Encoding, Features

POINTS = np.random.default_rng(5).uniform(-0.9, 0.9, (4, 2))
PROBES = POINTS + np.array([0, 1.5])


def agree(found, truth, rel=1e-12):
    """Relative to the largest value over the points."""
    found, truth = np.asarray(found), np.asarray(truth)
    assert found.shape == truth.shape and np.isfinite(truth).all()
    np.testing.assert_allclose(found, truth, rtol=rel, atol=rel * np.abs(truth).max())


# --- engines, on residuals


def half_square(u):
    return u**2 / 2


def heat_flux(u, x):
    return (1 + x**2) * d(u, x)


def lagged(u, t, x):
    return at(u, t=t - 0.1) * d(u, x)


RESIDUALS = {
    "advection": lambda u, t, x: d(u, t) + 2 * d(u, x),
    "heat": lambda u, t, x: d(u, t) - d(u, x, x),
    "wave": lambda u, t, x: d(u, t, t) - d(u, x, x),
    "klein-gordon": lambda u, t, x: d(u, t, t) - d(u, x, x) + u**3,
    "burgers": lambda u, t, x: d(u, t) + u * d(u, x) - 0.01 * d(u, x, x),
    "conservative form": lambda u, t, x: d(u, t) + d(half_square, x),
    "flux form": lambda u, t, x: d(u, t) - d(heat_flux, x),
    "allen-cahn": lambda u, t, x: d(u, t) - 1e-3 * d(u, x, x) + 5 * (u**3 - u),
    "korteweg-de vries": lambda u, t, x: d(u, t) + 6 * u * d(u, x) + d(u, x, x, x),
    "kuramoto-sivashinsky": lambda u, t, x: d(u, t) + d(u, x, x) + d(u, x, x, x, x) + u * d(u, x),
    "biharmonic": lambda u, t, x: d(u, x, x, x, x) + 2 * d(u, x, x, t, t) + d(u, t, t, t, t),
    "beam": lambda u, t, x: d(u, t, t) + d(u, x, x, x, x),
    "mixed second": lambda u, t, x: d(u, t, x) - u,
    "mixed third": lambda u, t, x: d(u, t, x, x) + d(u, t),
    "benjamin-bona-mahony": lambda u, t, x: d(u, t) + d(u, x) + u * d(u, x) - d(u, x, x, t),
    "camassa-holm": lambda u, t, x: d(u, t) - d(u, x, x, t) + 3 * u * d(u, x) - 2 * d(u, x) * d(u, x, x) - u * d(u, x, x, x),
    "monge-ampere": lambda u, t, x: d(u, t, t) * d(u, x, x) - d(u, t, x) ** 2,
    "where": lambda u, t, x: jnp.where(x > 0, d(u, x, x), u * d(u, t)),
    "cond": lambda u, t, x: jax.lax.cond(t > 0, lambda: d(u, x), lambda: d(u, t, t)),
    "minimal surface": lambda u, t, x: (
        (1 + d(u, x) ** 2) * d(u, t, t) - 2 * d(u, t) * d(u, x) * d(u, t, x) + (1 + d(u, t) ** 2) * d(u, x, x)
    ),
    "flux of a laplacian": lambda u, t, x: d(lambda u, t, x: (1 + u**2) * laplacian(u, t, x), x, x),
    "moved": lambda u, t, x: d(at(u, t=t * t), t, t) + at(d(u, x, x), x=0.3),
    "delay inside a function": lambda u, t, x: d(lagged, t) + u,
    "value only": lambda u, t, x: u * (u - x),
}
FOURTH = lower_set([(4, 0), (0, 4), (2, 2), (1, 3)])


NETWORK = pinn.MLP(2, 1, width=5, depth=2, rngs=nnx.Rngs(1))


@jax.jit
@jax.vmap
def every_derivative(point):
    """By the reference engine, compiled once for all residuals."""
    return nested_grad(NETWORK, point, FOURTH)


@pytest.mark.parametrize("name", RESIDUALS)
def test_engines_agree_on_residuals(name):
    """jax.grad of jax.grad supplies the leaves of the reference; the engines supply their own, as little as is asked for."""
    residual = Expression(RESIDUALS[name], ("t", "x"), {"u": ("t", "x")}, {})
    sites = jax.vmap(lambda p: residual.places(p, {}))(POINTS)
    table = {site: every_derivative(places) for site, places in zip(residual.sites, sites, strict=True)}
    leaves = jnp.stack([table[leaf.site][leaf.index][:, 0] for leaf in residual.leaves], axis=1)

    def by(engine):
        def one(point):
            leaves = {}
            for site, place in zip(residual.sites, residual.places(point, {}), strict=True):
                indices = residual.demand(site).get("u", [])
                leaves |= {Leaf(site, "u", i): value[0] for i, value in engine(NETWORK, place, indices).items()}
            return residual.value(point, jnp.stack([leaves[leaf] for leaf in residual.leaves]), {})

        return jax.vmap(one)

    truth, fast, nested = jax.jit(
        lambda p: (jax.vmap(lambda p, v: residual.value(p, v, {}))(p, leaves), by(taylor)(p), by(nested_jvp)(p))
    )(POINTS)
    assert np.abs(truth).max() > 1e-3
    agree(fast, truth)
    agree(nested, truth)


def test_engines_agree_on_a_system_with_its_conditions():
    """Through the whole ansatz: encoding, scale, values met exactly, a field of fewer coordinates, a normal, a delay."""
    box = pinn.Box(t=(0, 2), x=(-1, 3))
    problem = pinn.Problem(
        fields={"u": "t x", "k": "x"},
        domain=box,
        residual=lambda u, k, t, x: {"u": d(u, t) - laplacian(u, x) + u * at(u, t=t / 2), "k": d(k, x) - u**2},
        conditions=[
            pinn.Initial(u=lambda x: jnp.cos(x)),
            pinn.Dirichlet(u=lambda t: jnp.cos(1.0) * jnp.exp(-t), on=box.at(x=-1)),
            pinn.Neumann(u=0.3, on=box.at(x=3)),
            pinn.Dirichlet(k=1.0, on=box.at(x=-1)),
        ],
    )
    truth, *others = [residuals_at(*random_network(problem, engine=e), 5) for e in (nested_grad, taylor, nested_jvp)]
    assert truth["equation"].shape == (5, 2) and len(truth) == 5
    for other in others:
        for name, values in truth.items():
            np.testing.assert_allclose(other[name], values, rtol=1e-12, atol=1e-12 * max(1e-3, np.abs(values).max()))


# --- engines, on networks

NETWORKS = {
    "MLP": pinn.MLP,
    "Fourier MLP": partial(pinn.MLP, fourier=3),
    "ResidualMLP": pinn.ResidualMLP,
    "ModifiedMLP": pinn.ModifiedMLP,
    "Features": None,
}
ENCODINGS = {
    "plain": Encoding(np.array([-1.0, 0.0]), np.array([1.0, 3.0]), (False, False)),
    "periodic": Encoding(np.array([-1.0, 0.0]), np.array([1.0, 3.0]), (False, True)),
    "twice periodic": Encoding(np.array([-1.0, 0.0]), np.array([1.0, 3.0]), (True, True)),
    "angles": Encoding(np.array([-1.0, 0.0]), np.array([1.0, 3.0]), (True, False), raw=True),
    "round": Encoding(np.array([-1.0, 0.0]), np.array([1.0, 3.0]), (False, False), round=(0, 1)),
}


def made(name, activation, inputs=2, depth=1) -> nnx.Module:
    """A network whose every weight is random: fresh ones start with zero biases, and residual blocks that do nothing."""
    rng = np.random.default_rng(2)
    if name == "Features":
        network = Features(rng.normal(size=(inputs, 9)), rng.normal(size=9), 1, activation, jnp.float64)
    else:
        network = NETWORKS[name](inputs, 1, rngs=nnx.Rngs(0), activation=activation, width=4, depth=depth)
    graph, params, rest = nnx.split(network, nnx.Param, ...)
    return nnx.merge(graph, jax.tree.map(lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape)) + x, params), rest)


def engines_agree(function, indices):
    engines = (nested_grad, taylor, nested_jvp)
    truth, *others = jax.jit(jax.vmap(lambda p: [engine(function, p, indices) for engine in engines]))(PROBES)
    for other in others:
        assert other.keys() == truth.keys() == set(indices)
        for index in indices:
            agree(other[index], truth[index])


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_engines_agree_through_every_network_and_activation(name, activation):
    engines_agree(made(name, activation), [(0, 0), (0, 2)])


@pytest.mark.parametrize("name", NETWORKS)
def test_engines_agree_to_fourth_order(name):
    engines_agree(made(name, pinn.tanh, depth=2), [(2, 2)])


@pytest.mark.parametrize("name", ENCODINGS)
def test_engines_agree_through_the_encoding(name):
    encoding = ENCODINGS[name]
    inner = made("MLP", pinn.sin, encoding.size)
    engines_agree(lambda p: inner(encoding(p)), [(1, 0), (0, 3), (2, 1)])


def test_several_outputs_are_differentiated_together():
    network = pinn.MLP(2, 3, width=4, depth=1, rngs=nnx.Rngs(0))
    engines_agree(network, [(0, 0), (1, 1), (0, 2)])
    assert taylor(network, jnp.zeros(2), [(1, 1)])[1, 1].shape == (3,)


def test_the_reference_is_jax_grad_of_jax_grad():
    """Written out, so that the judge is judged."""

    def function(p):
        return jnp.stack([jnp.sin(p[0]) * jnp.exp(p[1]), p[0] ** 3 * p[1] ** 2])

    def scalar(i):
        return lambda t, x: function(jnp.stack([t, x]))[i]

    def by_hand(f, t, x):
        return {
            (0, 0): f(t, x),
            (1, 0): jax.grad(f)(t, x),
            (0, 2): jax.grad(jax.grad(f, 1), 1)(t, x),
            (2, 1): jax.grad(jax.grad(jax.grad(f, 1)))(t, x),
        }

    point = jnp.array([0.4, -0.7])
    found, *truth = jax.jit(
        lambda p: (nested_grad(function, p, [(0, 0), (1, 0), (0, 2), (2, 1)]), *(by_hand(scalar(i), *p) for i in range(2)))
    )(point)
    for index, values in found.items():
        agree(values, [truth[0][index], truth[1][index]])


def test_weights_have_gradients_through_the_taylor_engine():
    graph, params = nnx.split(NETWORK)

    def loss(params, engine):
        def one(p):
            found = engine(nnx.merge(graph, params), p, [(1, 0), (0, 3)])
            return found[1, 0][0] ** 2 + found[0, 3][0]

        return jnp.mean(jax.vmap(one)(POINTS))

    fast, truth = jax.jit(lambda params: [jax.grad(loss)(params, engine) for engine in (taylor, nested_grad)])(params)
    jax.tree.map(agree, fast, truth)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("engine", [taylor, nested_jvp, nested_grad], ids=lambda engine: engine.__name__)
def test_engines_keep_the_precision(engine, dtype):
    network = pinn.MLP(2, 1, width=4, depth=1, rngs=nnx.Rngs(0), dtype=dtype)
    found = engine(network, jnp.zeros(2, dtype), [(0, 0), (1, 1)])
    assert all(value.dtype == dtype for value in found.values())


# --- activations

DEFINITIONS = {
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "sin": jnp.sin,
    "softplus": jax.nn.softplus,
    "silu": jax.nn.silu,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gaussian": lambda z: jnp.exp(-z * z / 2),
    "relu": jax.nn.relu,
}


def test_every_activation_has_a_definition():
    assert DEFINITIONS.keys() == ACTIVATIONS.keys() and all(f.name == name for name, f in ACTIVATIONS.items())


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivatives_of_activations(name):
    """To order 5, against nested jax.grad of JAX's own functions."""
    z = np.concatenate([np.linspace(-4, 4, 33), [-25.0, 25.0]])
    found = ACTIVATIONS[name].derivatives(jnp.asarray(z), 5)
    nested = [DEFINITIONS[name]]
    for _ in range(5):
        nested.append(jax.grad(nested[-1]))
    truth = jax.jit(lambda z: [jax.vmap(f)(z) for f in nested])(z)
    assert len(found) == 6
    for one, other in zip(found, truth, strict=True):
        agree(one, other)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "sin"])
def test_activations_far_out(name):
    """Neither nan nor inf where the function is flat or linear: its derivatives of order 2 and higher have died out."""
    found = ACTIVATIONS[name].derivatives(jnp.array([-700.0, 700.0]), 4)
    assert all(np.isfinite(np.asarray(values)).all() for values in found)
    assert all(np.abs(np.asarray(values)).max() < 1e-15 for values in found[2:])


@pytest.mark.parametrize("order", range(6))
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_give_as_many_derivatives_as_asked_for(name, order):
    z = jnp.array([-0.5, 0.0, 0.7])
    found, more = ACTIVATIONS[name].derivatives(z, order), ACTIVATIONS[name].derivatives(z, 7)
    assert len(found) == order + 1
    for one, other in zip(found, more, strict=False):
        agree(one, other, 1e-14)
    agree(ACTIVATIONS[name](z), found[0])


# --- jets: the algebra of truncated Taylor series


def polynomial_jet(polynomial: Polynomial, point, indices) -> Jet:
    """The jet of a polynomial, from its own derivatives; those that vanish identically are left out."""
    parts = {}
    for m, n in lower_set(indices):
        derivative = polynomial
        for axis in [0] * m + [1] * n:
            derivative = derivative.by(axis)
        if derivative.terms or (m, n) == (0, 0):
            parts[m, n] = jnp.array([float(derivative(*point))])
    return Jet(parts, lower_set(indices))


def same(jet: Jet, polynomial: Polynomial, point, indices):
    expected = polynomial_jet(polynomial, point, indices)
    assert jet.indices == expected.indices
    for index in jet.indices:
        derivative = polynomial
        for axis in [0] * index[0] + [1] * index[1]:
            derivative = derivative.by(axis)
        size = derivative.size(*point)
        assert float(jet.part(index)[0]) == pytest.approx(float(expected.part(index)[0]), rel=1e-12, abs=1e-12 * (1 + size))


polynomials = st.dictionaries(st.tuples(st.integers(0, 4), st.integers(0, 4)), st.integers(-5, 5), min_size=1, max_size=6).map(
    Polynomial
)
orders = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=3)
points = st.tuples(*[st.integers(-8, 8).map(lambda n: n / 4)] * 2)


@settings(max_examples=40)
@given(polynomials, polynomials, orders, points)
def test_sums_and_products_of_jets_are_those_of_polynomials(p, q, indices, point):
    a, b = polynomial_jet(p, point, indices), polynomial_jet(q, point, indices)
    minus = Polynomial({(0, 0): -1})
    same(a + b, p + q, point, indices)
    same(a - b, p + minus * q, point, indices)
    same(-a, minus * p, point, indices)
    same(a * b, p * q, point, indices)
    same(a * b * a, p * q * p, point, indices)
    same(3.0 - 2.0 * a + 1.0, Polynomial({(0, 0): 4}) + Polynomial({(0, 0): -2}) * p, point, indices)
    same(b / 4.0 + a - a, Polynomial({(0, 0): 1}) * Polynomial({k: c / 4 for k, c in q.terms.items()}), point, indices)


@settings(max_examples=40)
@given(polynomials, st.lists(st.integers(-3, 3), min_size=1, max_size=4), orders, points)
def test_functions_of_jets_are_those_of_polynomials(inner, outer, indices, point):
    """f∘p for polynomials f and p, by Faà di Bruno from f's derivatives alone."""
    jet = polynomial_jet(inner, point, indices)
    series, derivatives = np.polynomial.Polynomial(outer), []
    for k in range(jet.order + 1):
        derivatives.append(jnp.asarray((series.deriv(k) if k else series)(np.asarray(jet.value))))
    power, composed = Polynomial({(0, 0): 1}), Polynomial({})
    for c in outer:
        composed, power = composed + Polynomial({(0, 0): c}) * power, power * inner
    same(jet.compose(derivatives), composed, point, indices)


@settings(max_examples=30)
@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_leibniz_rule_is_a_convolution(m, n, seed):
    """(f g)_α / α! is the convolution of f_α / α! with g_α / α!."""
    rng, indices = np.random.default_rng(seed), lower_set([(m, n)])
    factorials = np.outer(*([math.factorial(k) for k in range(size + 1)] for size in (m, n)))
    f, g = rng.normal(size=(2, m + 1, n + 1))
    left, right = (Jet({i: jnp.array([a[i]]) for i in indices}, indices) for a in (f, g))
    product = np.array([[float((left * right).part((i, j))[0]) for j in range(n + 1)] for i in range(m + 1)])
    expected = convolve2d(f / factorials, g / factorials)[: m + 1, : n + 1] * factorials
    np.testing.assert_allclose(product, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=4))
def test_a_lower_set_is_closed_minimal_and_sorted(indices):
    closed = lower_set(indices)
    assert set(indices) <= set(closed) and len(set(closed)) == len(closed)
    for index in closed:
        assert any(all(a <= b for a, b in zip(index, given, strict=True)) for given in indices)
        for axis in range(3):
            assert index[axis] == 0 or lowered(index, axis) in closed
            assert lowered(raised(index, axis), axis) == index
    assert [sum(index) for index in closed] == sorted(sum(index) for index in closed)
    assert lower_set(closed) == closed


def test_the_variable_is_the_point_itself():
    jet = Jet.variable(jnp.array([0.3, -0.5, 2.0]), [(1, 0, 2)])
    assert jet.value.tolist() == [0.3, -0.5, 2.0] and jet.shape == (3,) and jet.order == 3
    assert jet.part((1, 0, 0)).tolist() == [1, 0, 0] and jet.part((0, 0, 1)).tolist() == [0, 0, 1]
    assert jet.part((0, 0, 2)).tolist() == [0, 0, 0] and (0, 0, 2) not in jet.parts


def test_matrices_slices_and_arrays_act_on_every_part():
    indices, point = [(1, 1)], jnp.array([0.4, 0.6])
    x = Jet.variable(point, indices)
    squares = x * x * x[1:]
    matrix = jnp.array([[1.0, 2.0, 0.0], [3.0, -1.0, 1.0]])
    bent = squares @ matrix
    assert bent.shape == (3,)
    agree(bent.part((1, 1)), squares.part((1, 1)) @ matrix)
    agree(bent[1:].part((1, 1)), (squares.part((1, 1)) @ matrix)[1:])
    agree((np.array([2.0, 3.0]) * x).part((0, 1)), [0.0, 3.0])
    agree((np.array([2.0, 3.0]) - x).value, [1.6, 2.4])


def test_concatenated_jets_and_arrays():
    """An array among jets is a constant: its derivatives are zero."""
    x = Jet.variable(jnp.array([0.4, 0.6]), [(0, 2)])
    both = concatenate([x[:1], jnp.array([7.0]), x * x])
    agree(both.value, [0.4, 7.0, 0.16, 0.36])
    agree(both.part((0, 1)), [0.0, 0.0, 0.0, 1.2])
    agree(both.part((0, 2)), [0.0, 0.0, 0.0, 2.0])
    assert concatenate([jnp.zeros(2), jnp.ones(1)]).tolist() == [0, 0, 1]
