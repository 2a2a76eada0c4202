"""pinn.diagnose against derivatives by hand, and against networks that are ill on purpose."""

import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import pinn
from pinn.errors import NetworkError

X = np.linspace(-1.0, 1.5, 9)
POINTS = jnp.asarray(X)[:, None]


def one_unit(w: float, v: float, activation=pinn.tanh) -> pinn.MLP:
    """y = v σ(w x)."""
    network = pinn.MLP(1, 1, width=1, depth=1, activation=activation, rngs=nnx.Rngs(0))
    network.layers[0].kernel[...], network.output.kernel[...] = jnp.array([[w]]), jnp.array([[v]])
    return network


def made(initializer=pinn.glorot, **options) -> pinn.MLP:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pinn.ProblemWarning)
        return pinn.MLP(1, 1, initializer=initializer, rngs=nnx.Rngs(0), **options)


def test_one_unit_by_hand():
    w, v = 3.0, -0.7
    first, last = pinn.diagnose(one_unit(w, v), POINTS).layers
    h = np.tanh(w * X)
    assert first.gradient == pytest.approx(np.sqrt(np.mean((v * (1 - h**2) * X) ** 2)), rel=1e-12)
    assert last.gradient == pytest.approx(np.sqrt(np.mean(h**2)), rel=1e-12)
    assert first.size == pytest.approx(np.sqrt(np.mean(h**2)), rel=1e-12)
    assert first.saturation == pytest.approx(np.mean(1 - h**2 < 0.05))
    assert 0 < first.saturation < 1 and first.dead == 0.0
    assert (first.reader, last.reader) == ("output", None) and np.isnan(last.saturation)


def test_the_gradient_of_a_loss_by_hand():
    w, v = 0.8, 1.3
    target = np.cos(X)
    report = pinn.diagnose(one_unit(w, v), POINTS, loss=lambda y: jnp.mean((y[:, 0] - target) ** 2) / 2)
    h = np.tanh(w * X)
    delta = (v * h - target) / len(X)
    assert report.layers[1].gradient == pytest.approx(abs(np.sum(delta * h)), rel=1e-12)
    assert report.layers[0].gradient == pytest.approx(abs(np.sum(delta * v * (1 - h**2) * X)), rel=1e-12)


def test_relu_units_that_are_dead_or_alive_at_half_of_the_points():
    network = pinn.MLP(1, 1, width=3, depth=1, activation=pinn.relu, rngs=nnx.Rngs(0))
    network.layers[0].kernel[...] = jnp.array([[1.0, -1.0, 1.0]])
    network.layers[0].bias[...] = jnp.array([0.1, 0.2, -5.0])
    layer = pinn.diagnose(network, POINTS).layers[0]
    on = np.stack([X + 0.1 > 0, -X + 0.2 > 0, X - 5 > 0], axis=1)
    assert layer.saturation == pytest.approx(np.mean(~on))
    assert layer.dead == pytest.approx(1 / 3)
    assert (layer.rank, layer.most) == (2, 3)


def test_equal_neurons_are_those_that_learn_the_same():
    network = made(width=4, depth=1)
    kernel, out = np.array([[1.0, 1.0, 1.0, 2.0]]), np.array([[0.5], [0.5], [0.6], [0.5]])
    network.layers[0].kernel[...], network.output.kernel[...] = jnp.asarray(kernel), jnp.asarray(out)
    report = pinn.diagnose(network, POINTS)
    assert [layer.equal for layer in report.layers] == [1, 0], "the third sees the same, and learns something else"
    assert report.layers[0].rank == 2


def test_ten_sigmoids_in_a_row_by_the_chain_rule():
    network = made(width=1, depth=10, activation=pinn.sigmoid)
    for layer in [*network.layers, network.output]:
        layer.kernel[...] = jnp.array([[1.5]])
    report = pinn.diagnose(network, POINTS)
    values = [X]
    for _ in range(10):
        values.append(1 / (1 + np.exp(-1.5 * values[-1])))
    slope = np.ones_like(X)
    for k in range(10, 0, -1):
        slope = slope * 1.5 * values[k] * (1 - values[k])
        expected = np.sqrt(np.mean((slope * values[k - 1]) ** 2))
        assert report.layers[k - 1].gradient == pytest.approx(expected, rel=1e-10)
    assert report.ratio < 0.375**9
    assert any("Gradients vanish on the way to layers[0]" in sentence for sentence in report.remedies)


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (partial(made, pinn.zeros, width=6), ("stay equal", "No gradient reaches layers[0]", "Xavier (pinn.glorot)")),
        (
            partial(made, lambda d, a, b: 0.01 * d.normal(size=(a, b)), depth=8, activation=pinn.relu),
            ("Signals vanish", "He init"),
        ),
        (partial(made, lambda d, a, b: 3 * d.normal(size=(a, b)), depth=8), ("explode", "saturated", "non-saturating")),
        (partial(made, width=20), ()),
        pytest.param(partial(pinn.ResidualMLP, 1, 1, depth=12, rngs=nnx.Rngs(0)), (), marks=pytest.mark.slow),
        pytest.param(partial(pinn.ModifiedMLP, 1, 1, rngs=nnx.Rngs(0)), (), marks=pytest.mark.slow),
    ],
)
def test_the_report_names_the_remedy(network, told):
    report = pinn.diagnose(network(), POINTS)
    assert report.healthy == (not told), str(report)
    for words in told or ("Nothing is wrong",):
        assert words in str(report)


class Pictures(nnx.Module):
    """Layers that are not of this package: a convolution, normalisation, and one linear layer that is used twice."""

    def __init__(self, rngs: nnx.Rngs):
        self.conv = nnx.Conv(1, 4, (3,), rngs=rngs)
        self.norm = nnx.LayerNorm(4, rngs=rngs)
        self.twice = nnx.Linear(32, 32, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        h = nnx.gelu(self.norm(self.conv(x[:, None]))).reshape(-1)
        return self.twice(nnx.gelu(self.twice(h)))


def test_any_module_is_looked_into_and_left_as_it_was():
    network = Pictures(nnx.Rngs(0))
    before, x = nnx.split(network), np.random.default_rng(0).normal(size=(12, 8))
    report = pinn.diagnose(network, x)
    assert [(layer.name, layer.units, layer.reader) for layer in report.layers] == [
        ("conv", 32, "twice"),
        ("twice", 32, "twice call 2"),
        ("twice call 2", 32, None),
    ]
    assert report.layers[0].rank == 12 and type(network.conv) is nnx.Conv
    assert before[0] == nnx.split(network)[0]


def test_an_operator_network_is_called_as_told():
    layout = pinn.Layout(np.linspace(-1, 1, 5)[:, None])
    network = pinn.DeepONet(layout, 1, 1, rank=6, branch=partial(pinn.DenseBranch, width=8), rngs=nnx.Rngs(0))
    network.branch.output.kernel[...] = 0 * network.branch.output.kernel[...]

    def call(network, point):
        return network.decode(network.encode(pinn.Seen(point[:5], jnp.asarray(layout.sensors), None, None)), point[5:])

    report = pinn.diagnose(network, np.random.default_rng(0).normal(size=(7, 6)), call=call)
    assert [layer.reader for layer in report.layers[2::4]] == [None, None], "both heads are multiplied, not read"
    by_name = {layer.name: layer for layer in report.layers}
    assert by_name["branch.layers[0]"].gradient == 0.0 and by_name["branch.output"].gradient > 0
    assert report.healthy, "a branch whose last layer alone is zero starts to learn there"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pinn.diagnose(jnp.tanh, POINTS), "needs a Flax NNX module"),
        (lambda: pinn.diagnose(made(), np.zeros((0, 1))), "N at least 1"),
        (lambda: pinn.diagnose(nnx.LayerNorm(3, rngs=nnx.Rngs(0)), np.ones((4, 3))), "no layer with a trained `kernel`"),
        (lambda: pinn.diagnose(made(), POINTS, call=lambda n, x: jax.vmap(n)(x[None])), "inside its own vmap"),
    ],
)
def test_what_cannot_be_diagnosed_is_refused(call, message):
    with pytest.raises(NetworkError, match=message):
        call()
