"""What docs/craft.md computes by hand against real layers, and curves of scripts/craft.py against closed forms."""

import craft
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import pinn


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def test_the_sigmoid_of_minus_z_is_one_minus_the_sigmoid_of_z():
    z = np.linspace(-8, 8, 33)
    np.testing.assert_allclose(pinn.sigmoid(jnp.asarray(-z)), 1 - sigmoid(z), rtol=1e-12)
    slope = jax.vmap(jax.grad(pinn.sigmoid))(jnp.asarray(z))
    np.testing.assert_allclose(slope, sigmoid(z) * (1 - sigmoid(z)), rtol=1e-12)
    assert slope.max() == 0.25


def test_backpropagation_by_hand_is_jax_grad():
    """δ_L = ŷ - y, δ_l = (W_{l+1} δ_{l+1}) ∘ σ'(z_l), ∂L/∂W_l = h_{l-1} δ_lᵀ, ∂L/∂b_l = δ_l for L = (ŷ - y)² / 2."""
    network = pinn.MLP(3, 1, width=4, depth=2, activation=pinn.sigmoid, rngs=nnx.Rngs(0))
    x, y = np.array([0.3, -1.2, 0.7]), 0.4
    layers = [*network.layers, network.output]
    weights, biases = ([np.asarray(getattr(layer, kind)[...]) for layer in layers] for kind in ("kernel", "bias"))
    h = [x]
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        h.append(sigmoid(h[-1] @ w + b))
    delta = h[-1] @ weights[-1] + biases[-1] - y
    by_hand = []
    for k in (2, 1, 0):
        by_hand.insert(0, (np.outer(h[k], delta), delta))
        delta = (weights[k] @ delta) * h[k] * (1 - h[k])
    slopes = nnx.to_pure_dict(nnx.grad(lambda net: jnp.sum((net(jnp.asarray(x)) - y) ** 2) / 2)(network))
    for (kernel, bias), found in zip(by_hand, [slopes["layers"][0], slopes["layers"][1], slopes["output"]], strict=True):
        np.testing.assert_allclose(found["kernel"], kernel, rtol=1e-12)
        np.testing.assert_allclose(found["bias"], bias, rtol=1e-12)


def test_weights_are_counted_by_hand():
    """Σ (a + 1) b for layers from a to b; k k c d + d for a convolution, whatever the size of the picture."""

    def count(network: nnx.Module) -> int:
        return sum(x.size for x in jax.tree.leaves(nnx.state(network, nnx.Param)))

    assert count(pinn.MLP(2, 3, width=20, depth=3, rngs=nnx.Rngs(0))) == 3 * 20 + 21 * 20 + 21 * 20 + 21 * 3
    assert count(nnx.Conv(3, 16, (5, 5), rngs=nnx.Rngs(0))) == 5 * 5 * 3 * 16 + 16


@pytest.mark.parametrize(("n", "kernel", "stride", "padding"), [(28, 5, 1, 0), (28, 3, 1, 1), (32, 4, 2, 1), (33, 3, 2, 0)])
def test_the_size_of_a_convolution_is_computed_by_hand(n, kernel, stride, padding):
    """⌊(n + 2p - k) / s⌋ + 1."""
    layer = nnx.Conv(1, 2, (kernel, kernel), stride, padding=[(padding, padding)] * 2, rngs=nnx.Rngs(0))
    shape = jax.eval_shape(layer, jnp.zeros((1, n, n, 1))).shape
    assert shape == (1, *[(n + 2 * padding - kernel) // stride + 1] * 2, 2)


def test_the_best_linear_denoisers_excess_is_zero_and_others_follow_theory():
    power = craft.spectrum()
    assert np.mean(power) == pytest.approx(1.0), "signals have variance 1"
    response = np.fft.ifft(power / (power + craft.NOISE**2)).real
    best = response[np.subtract.outer(range(craft.SENSORS), range(craft.SENSORS))]
    assert craft.excess(best, power) == pytest.approx(0.0, abs=1e-9)
    found = []
    for repeat in range(8):
        rng = np.random.default_rng(repeat)
        clean = craft.draw(rng, 256, power)
        noisy = clean + craft.NOISE * rng.normal(size=clean.shape)
        found.append((craft.excess(craft.dense(noisy, clean)[0], power), craft.excess(craft.shared(noisy, clean), power)))
    dense, shared = np.mean(found, axis=0)
    assert dense == pytest.approx(10 * np.log10(1 + 64 / (256 - 65)), rel=0.05)
    assert 0 < shared < 0.03


def test_thirty_sigmoids_by_the_product_of_their_slopes():
    """At most 0.25 a layer, times a weight matrix of norm about 2 √(n / n): the first gradient is below 0.6³⁰ of the last."""
    (_, xavier, _) = craft.levels(pinn.sigmoid, "plain", 0, 16, 30)
    assert 0 < xavier[0] < 0.6**29
