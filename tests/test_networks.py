"""Networks: shapes, statistics of their weights, why equal neurons stay equal, precision, and exact periodicity."""

import warnings
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from scipy import stats

import pinn
from pinn import nested_grad, taylor
from pinn.ansatz import choose_engine, make_network
from pinn.derivatives import ACTIVATIONS, Jet
from pinn.errors import NetworkError, ProblemWarning
from pinn.kinds import describe, rebuild
from pinn.networks import Encoding, Features, Network

KINDS = {
    "MLP": partial(pinn.MLP, width=7, depth=3),
    "Fourier MLP": partial(pinn.MLP, width=7, depth=3, fourier=5),
    "ResidualMLP": partial(pinn.ResidualMLP, width=7, depth=3),
    "ModifiedMLP": partial(pinn.ModifiedMLP, width=7, depth=3),
}


def weights_of(network):
    return jax.tree.leaves(nnx.to_pure_dict(nnx.state(network)))


@pytest.mark.parametrize("inputs", [1, 3])
@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("name", KINDS)
def test_one_point_in_one_value_for_each_field_out(name, inputs, outputs):
    network = KINDS[name](inputs, outputs, rngs=nnx.Rngs(0))
    x = jnp.linspace(-0.5, 0.5, inputs)
    assert network(x).shape == (outputs,) and network.hidden(x).shape == (7,)
    np.testing.assert_array_equal(network(x), network.output(network.hidden(x)))
    jet = network(Jet.variable(x, [(1,) * inputs]))
    assert jet.shape == (outputs,)
    np.testing.assert_array_equal(jet.value, network(x))


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (partial(pinn.MLP, width=20, depth=3), (2 * 20 + 20) + 2 * (400 + 20) + (20 + 1)),
        (partial(pinn.MLP, width=20, depth=1), (2 * 20 + 20) + (20 + 1)),
        (partial(pinn.MLP, width=20, depth=1, fourier=5), (10 * 20 + 20) + (20 + 1)),
        (partial(pinn.ResidualMLP, width=20, depth=2), (2 * 20 + 20) + 2 * 2 * (400 + 20) + (20 + 1)),
        (partial(pinn.ModifiedMLP, width=20, depth=2), 2 * (2 * 20 + 20) + (2 * 20 + 20) + (400 + 20) + (20 + 1)),
    ],
)
def test_as_many_weights_are_trained_as_the_architecture_has(make, count):
    params = nnx.state(make(2, 1, rngs=nnx.Rngs(0)), nnx.Param)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


def test_an_mlp_is_the_formula():
    network = pinn.MLP(2, 3, width=5, depth=2, activation=pinn.gelu, rngs=nnx.Rngs(0))
    x = np.array([0.3, -0.8])
    h = x
    for layer in network.layers:
        z = h @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])
        h = z * stats.norm.cdf(z)
    y = h @ np.asarray(network.output.kernel[...]) + np.asarray(network.output.bias[...])
    np.testing.assert_allclose(network(x), y, rtol=1e-14)


def test_a_residual_network_starts_as_a_shallow_one():
    network = pinn.ResidualMLP(2, 1, width=5, depth=4, rngs=nnx.Rngs(0))
    x = jnp.array([0.3, -0.8])
    np.testing.assert_array_equal(network(x), network.output(jnp.tanh(network.encoder(x))))


# --- initial weights


@pytest.mark.parametrize(("initializer", "variance"), [(pinn.glorot, 2 / (300 + 200)), (pinn.he, 2 / 300)], ids=["glorot", "he"])
def test_initial_weights_are_normal_with_their_variance(initializer, variance):
    network = pinn.MLP(300, 1, width=200, depth=1, initializer=initializer, rngs=nnx.Rngs(0))
    kernel = np.asarray(network.layers[0].kernel[...])
    assert stats.kstest(kernel.ravel() / np.sqrt(variance), "norm").pvalue > 0.01
    assert kernel.var() == pytest.approx(variance, rel=0.02)
    assert abs(kernel.mean()) < 4 * np.sqrt(variance / kernel.size)
    assert not np.asarray(network.layers[0].bias[...]).any()


@pytest.mark.parametrize("depth", [1, 8])
def test_he_keeps_the_signal_of_relu_networks_and_glorot_lets_it_fade(depth):
    """E h² stays that of the input for He; Glorot, where fan-in is fan-out, loses a factor of 2 a layer."""
    x = np.random.default_rng(0).normal(size=(20, 256))
    he, glorot = (
        float(np.mean(np.square(jax.vmap(network.hidden)(x))))
        for network in (
            pinn.MLP(256, 1, width=256, depth=depth, activation=pinn.relu, initializer=initializer, rngs=nnx.Rngs(1))
            for initializer in (pinn.he, pinn.glorot)
        )
    )
    assert 0.6 < he / np.mean(x**2) < 1.6
    assert glorot / he == pytest.approx(0.5**depth, rel=1e-9)


def test_the_same_key_gives_the_same_weights_and_another_others():
    for make in KINDS.values():
        first, again, other = (weights_of(make(2, 1, rngs=nnx.Rngs(seed))) for seed in (5, 5, 6))
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a, b)
        assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_layers_are_drawn_one_after_the_other():
    network = pinn.MLP(7, 1, width=7, depth=3, rngs=nnx.Rngs(0))
    kernels = [np.asarray(layer.kernel[...]) for layer in network.layers]
    assert all(abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.5 for a, b in pairwise(kernels))


# --- the exam's question: why not start from zero?


def trained(network, steps=25):
    """Adam on a regression of two inputs; the gradients of the first step, and the network after the last."""
    graph, params, rest = nnx.split(network, nnx.Param, ...)
    x = np.random.default_rng(0).uniform(-1, 1, (32, 2))
    y = np.sin(3 * x[:, 0]) + x[:, 1] ** 2
    method = optax.adam(1e-2)

    def loss(params):
        return jnp.mean((jax.vmap(nnx.merge(graph, params, rest))(x)[:, 0] - y) ** 2)

    @jax.jit
    def step(params, state):
        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = method.update(gradient, state)
        return optax.apply_updates(params, updates), state, value, gradient

    state, gradients, losses = method.init(params), [], []
    for _ in range(steps):
        params, state, value, gradient = step(params, state)
        gradients.append(gradient)
        losses.append(float(value))
    return nnx.merge(graph, params, rest), gradients, losses


def differences(layers):
    """The largest difference between two neurons of a layer, in what goes in and in their biases."""
    kernels, biases = ([np.asarray(layer[part]) for layer in layers] for part in ("kernel", "bias"))
    return max(np.ptp(k, axis=1).max() for k in kernels), max(np.ptp(b) for b in biases)


def parts(tree):
    return [{"kernel": layer["kernel"], "bias": layer["bias"]} for layer in tree["layers"].values()]


def constant(draw, fan_in, fan_out):
    """Neurons that are all alike, and not zero."""
    return np.full((fan_in, fan_out), 0.3)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("initializer", [pinn.zeros, constant], ids=["zeros", "constant"])
def test_equal_neurons_stay_equal(initializer, depth):
    """They compute the same and get the same gradient, step after step: a layer is worth one neuron, as the warning says."""
    with pytest.warns(ProblemWarning, match=r"starts with 6 equal neurons: all get the same gradient and stay equal"):
        network = pinn.MLP(2, 1, width=6, depth=depth, initializer=initializer, rngs=nnx.Rngs(0))
    after, gradients, _ = trained(network)
    for gradient in gradients:
        assert max(differences(parts(nnx.to_pure_dict(gradient)))) <= 1e-12
    assert max(differences(parts(nnx.to_pure_dict(nnx.state(after, nnx.Param))))) <= 1e-10


def test_from_zero_the_loss_stays_at_its_mean_and_from_glorot_it_falls():
    with pytest.warns(ProblemWarning):
        zero = pinn.MLP(2, 1, width=6, depth=2, initializer=pinn.zeros, rngs=nnx.Rngs(0))
    _, _, stuck = trained(zero, 200)
    after, gradients, falling = trained(pinn.MLP(2, 1, width=6, depth=2, rngs=nnx.Rngs(0)), 200)
    x = np.random.default_rng(0).uniform(-1, 1, (32, 2))
    variance = np.var(np.sin(3 * x[:, 0]) + x[:, 1] ** 2)
    assert min(stuck) > 0.99 * variance and min(falling) < 0.5 * variance
    assert min(differences(parts(nnx.to_pure_dict(gradients[0])))) > 1e-3
    assert min(differences(parts(nnx.to_pure_dict(nnx.state(after, nnx.Param))))) > 1e-2


@pytest.mark.parametrize("kind", [pinn.MLP, pinn.ResidualMLP, pinn.ModifiedMLP], ids=lambda kind: kind.__name__)
def test_equal_neurons_warn_in_every_network_and_only_there(kind):
    with pytest.warns(ProblemWarning, match=r"Use initializer=pinn.glorot \(tanh, sin\) or pinn.he \(relu, gelu\)"):
        kind(2, 1, initializer=pinn.zeros, rngs=nnx.Rngs(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kind(2, 1, rngs=nnx.Rngs(0))
        kind(2, 1, width=1, rngs=nnx.Rngs(0))


# --- precision


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", KINDS)
def test_the_precision_is_honoured_everywhere(name, dtype):
    """In the weights, and in every number on the way: one float64 constant would promote all that follows."""
    network = KINDS[name](3, 1, rngs=nnx.Rngs(0), dtype=dtype)
    assert {leaf.dtype for leaf in weights_of(network)} == {np.dtype(dtype)}
    encoding = Encoding(np.array([0.0, 0.0]), np.array([1.0, 2.0]), (False, True))
    point = jnp.array([0.3, 0.4], dtype)
    traced = jax.make_jaxpr(lambda p: (network(encoding(p)), taylor(lambda p: network(encoding(p)), p, [(1, 1)])))(point)
    assert all(aval.dtype == dtype for aval in traced.out_avals)
    assert dtype == jnp.float64 or "f64" not in str(traced)


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=str)
def test_activations_keep_float32(activation):
    z = jnp.linspace(-2, 2, 5, dtype=jnp.float32)
    assert all(values.dtype == jnp.float32 for values in activation.derivatives(z, 4))
    assert "f64" not in str(jax.make_jaxpr(lambda z: activation.derivatives(z, 4))(z))


def test_frozen_weights_are_not_trained():
    fourier = pinn.MLP(2, 1, fourier=5, rngs=nnx.Rngs(0))
    features = Features(np.ones((2, 9)), np.zeros(9), 1, pinn.sin, jnp.float64)
    assert "embedding" not in nnx.to_pure_dict(nnx.state(fourier, nnx.Param))
    assert set(nnx.to_pure_dict(nnx.state(features, nnx.Param))) == {"output"}


def test_fourier_frequencies_have_the_standard_deviation_asked_for():
    network = pinn.MLP(2, 1, fourier=4000, fourier_scale=3.0, width=2, depth=1, rngs=nnx.Rngs(0))
    kernel = np.asarray(network.embedding.angles.kernel[...])
    assert kernel[:, :4000].std() == pytest.approx(3.0, rel=0.03)
    x = jnp.array([0.3, -0.2])
    angles = x @ kernel[:, :4000]
    np.testing.assert_allclose(network.embedding(x), np.concatenate([np.sin(angles), np.cos(angles)]), atol=1e-12)


# --- structure


def test_networks_of_one_architecture_share_their_structure():
    """Equal graphs hash alike, so that what is compiled for one network serves the next."""
    for make in KINDS.values():
        first, second = (nnx.split(make(2, 1, rngs=nnx.Rngs(seed)), nnx.Param, ...)[0] for seed in (0, 1))
        assert first == second and hash(first) == hash(second)
    one, two = (nnx.split(pinn.MLP(2, 1, depth=depth, rngs=nnx.Rngs(0)), nnx.Param, ...)[0] for depth in (2, 3))
    sine = nnx.split(pinn.MLP(2, 1, depth=2, activation=pinn.sin, rngs=nnx.Rngs(0)), nnx.Param, ...)[0]
    assert one != two and one != sine


@pytest.mark.parametrize("name", KINDS)
def test_a_network_is_rebuilt_from_its_description(name):
    network = KINDS[name](2, 1, rngs=nnx.Rngs(0), activation=pinn.sin)
    graph, *states = nnx.split(network, nnx.Param, ...)
    blank, *_ = nnx.split(rebuild(describe(network), 2, 1, jnp.float64), nnx.Param, ...)
    assert blank == graph
    x = jnp.array([0.1, 0.7])
    np.testing.assert_array_equal(nnx.merge(blank, *states)(x), network(x))


class Own(nnx.Module):
    """A user's network, which knows no jets."""

    def __init__(self, inputs, outputs, *, rngs, dtype):
        self.linear = nnx.Linear(inputs, outputs, rngs=rngs, param_dtype=dtype)

    def __call__(self, x):
        return jnp.tanh(self.linear(x))


def test_a_users_module_is_taken_and_differentiated_by_nested_jvp():
    own = make_network(Own, 2, 1, nnx.Rngs(0), jnp.float64)
    assert isinstance(own, Own) and choose_engine(own) is pinn.nested_jvp
    assert choose_engine(pinn.MLP(2, 1, rngs=nnx.Rngs(0))) is taylor
    assert describe(own) is None


# --- encoding


def test_each_coordinate_is_scaled_to_plus_minus_one():
    encoding = Encoding(np.array([2.0, -5.0]), np.array([3.0, 15.0]), (False, False))
    assert encoding.size == 2
    np.testing.assert_allclose(jax.vmap(encoding)(np.array([[2.0, -5.0], [3.0, 15.0], [2.5, 5.0]])), [[-1, -1], [1, 1], [0, 0]])


def test_a_periodic_coordinate_goes_round_the_circle():
    encoding = Encoding(np.array([0.0, -1.0]), np.array([1.0, 3.0]), (False, True))
    assert encoding.size == 3
    found = jax.vmap(encoding)(np.array([[0.5, 1.0], [0.5, 2.0], [1.0, 3.0], [0.0, -1.0]]))
    np.testing.assert_allclose(found, [[0, 1, 0], [0, 0, 1], [1, -1, 0], [-1, -1, 0]], atol=1e-15)


PERIODS = [(False, True), (True, False), (True, True)]


@pytest.mark.parametrize("periodic", PERIODS)
def test_functions_of_the_encoding_are_periodic_with_all_derivatives(periodic):
    lower, upper = np.array([-1.0, 2.0]), np.array([1.5, 3.0])
    encoding = Encoding(lower, upper, periodic)
    network = pinn.MLP(encoding.size, 1, width=6, depth=2, rngs=nnx.Rngs(3))
    indices = [(0, 0), (0, 1), (1, 0), (0, 4), (4, 0), (2, 2)]
    derivatives = jax.jit(jax.vmap(lambda p: taylor(lambda p: network(encoding(p)), p, indices)))
    points = np.random.default_rng(0).uniform(lower, upper, (5, 2))
    here = derivatives(points)
    for axis, round_ in enumerate(periodic):
        there = derivatives(points + np.eye(2)[axis] * (upper - lower)[axis])
        gaps = [np.abs(there[i] - here[i]).max() / np.abs(here[i]).max() for i in indices]
        assert max(gaps) < 1e-11 if round_ else min(gaps) > 1e-3


def test_raw_angles_are_for_whole_frequencies():
    """sin(k θ + b) with whole k is periodic; θ itself is not."""
    encoding = Encoding(np.array([0.0]), np.array([2.0]), (True,), raw=True)
    assert encoding.size == 1
    kernel = np.array([[1.0, -2.0, 5.0]])
    features = Features(kernel, np.array([0.1, 0.2, 0.3]), 1, pinn.sin, jnp.float64)
    ends = [nested_grad(lambda p: features.hidden(encoding(p)), jnp.array([x]), [(0,), (2,)]) for x in (0.0, 2.0)]
    for index in ends[0]:
        np.testing.assert_allclose(ends[0][index], ends[1][index], rtol=1e-11)
    np.testing.assert_allclose(encoding(jnp.array([2.0])) - encoding(jnp.array([0.0])), [2 * np.pi])


def test_encodings_compare_by_what_they_do():
    make = partial(Encoding, np.array([0.0]), np.array([1.0]))
    assert make((True,)) == make((True,)) and hash(make((True,))) == hash(make((True,)))
    assert make((True,)) != make((False,)) and make((True,)) != make((True,), raw=True)
    assert make((True,)) != Encoding(np.array([0.0]), np.array([2.0]), (True,))


# --- what is refused


@pytest.mark.parametrize("kind", [pinn.MLP, pinn.ResidualMLP, pinn.ModifiedMLP], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 20.0}, r"width must be a whole number, at least 1; got 20.0"),
        ({"width": 0}, r"width must be a whole number, at least 1; got 0"),
        ({"width": True}, r"width must be a whole number, at least 1; got True"),
        ({"width": "20"}, r"width must be a whole number, at least 1; got '20'"),
        ({"width": [20, 20]}, r"width must be a whole number, at least 1; got \[20, 20\]"),
        ({"depth": 2.5}, r"depth must be a whole number, at least 1; got 2.5"),
        ({"depth": -1}, r"depth must be a whole number, at least 1; got -1"),
        ({"depth": None}, r"depth must be a whole number, at least 1; got None"),
        ({"activation": "tanh"}, r"activation.*'tanh'.*pinn\.tanh"),
        ({"activation": jnp.tanh}, r"activation.*pinn\.tanh"),
        ({"initializer": "glorot"}, r"initializer.*'glorot'.*pinn\.glorot"),
    ],
)
def test_what_cannot_be_built(kind, options, message):
    with pytest.raises(NetworkError, match=message):
        kind(2, 1, rngs=nnx.Rngs(0), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fourier": -1}, r"fourier must be a whole number, at least 0; got -1"),
        ({"fourier": 2.5}, r"fourier must be a whole number, at least 0; got 2.5"),
        ({"fourier": 3, "fourier_scale": 0.0}, r"fourier_scale must be a positive number; got 0.0"),
        ({"fourier": 3, "fourier_scale": float("nan")}, r"fourier_scale must be a positive number; got nan"),
        ({"fourier": 3, "fourier_scale": "wide"}, r"fourier_scale must be a positive number; got 'wide'"),
    ],
)
def test_frequencies_that_make_no_sense(options, message):
    with pytest.raises(NetworkError, match=message):
        pinn.MLP(2, 1, rngs=nnx.Rngs(0), **options)


def test_whole_numbers_of_numpy_are_whole_numbers():
    assert pinn.MLP(2, 1, width=np.int64(3), depth=np.int32(2), rngs=nnx.Rngs(0)).hidden(jnp.zeros(2)).shape == (3,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda inputs, outputs, *, rngs, dtype: 5, r"network= must make a flax.nnx Module; it returned int"),
        (lambda inputs, outputs, *, rngs, dtype: pinn.MLP(inputs, 3, rngs=rngs), r"shape \(2,\) to shape \(3,\).*\(1,\)"),
        (pinn.MLP(2, 1, rngs=nnx.Rngs(0)), r"network= .*pinn\.MLP"),
        (lambda inputs: None, r"network= .*\(inputs, outputs, \*, rngs, dtype\)"),
    ],
    ids=["a number", "too many outputs", "an instance", "wrong arguments"],
)
def test_what_makes_no_network(make, message):
    with pytest.raises(NetworkError, match=message):
        make_network(make, 2, 1, nnx.Rngs(0), jnp.float64)


def test_networks_have_a_last_layer_to_solve_for():
    assert all(issubclass(kind, Network) for kind in (pinn.MLP, pinn.ResidualMLP, pinn.ModifiedMLP, Features))
