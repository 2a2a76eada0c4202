"""Operator networks: shapes, symmetries, derivatives through the trunk, and the ridge branch against closed forms."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import pinn
from pinn.derivatives import nested_grad, taylor
from pinn.errors import NetworkError
from pinn.rebuilding import rebuild
from pinn.ridge import _solutions, decomposed, solve_shifted

LINE = pinn.Layout(np.linspace(-1, 1, 12)[:, None], noise=True)
SMALL = partial(pinn.MLP, width=8, depth=2, fourier=4)
MAKERS = {
    "dense": partial(pinn.DeepONet, rank=6, branch=partial(pinn.DenseBranch, width=8), trunk=SMALL),
    "convolutions": partial(pinn.DeepONet, rank=6, branch=partial(pinn.ConvBranch, channels=4, windows=4), trunk=SMALL),
    "set": partial(pinn.DeepONet, rank=6, branch=partial(pinn.SetBranch, width=8, heads=3), trunk=SMALL),
    "ridge": partial(pinn.DeepONet, rank=9, branch=partial(pinn.RidgeBranch, spectra=3, factors=2, rank=4), trunk=pinn.Harmonics),
    "modified": partial(pinn.ModifiedDeepONet, width=8, depth=2),
    "local": partial(pinn.LocalDeepONet, channels=4, dilations=(1, 2)),
    "cells": partial(pinn.LocalDeepONet, residual=True, cell=2, channels=4, dilations=(1,)),
}


def seen(values: np.ndarray, network: pinn.OperatorNetwork, places: np.ndarray | None = None) -> pinn.Seen:
    sensors = jnp.asarray(LINE.sensors if places is None else places)
    basis = jax.vmap(network.basis)(sensors) if isinstance(network, pinn.DeepONet) else None
    return pinn.Seen(jnp.asarray(values), sensors, jnp.asarray(0.1), basis)


@pytest.fixture(params=MAKERS, scope="module")
def network(request):
    return MAKERS[request.param](LINE, 1, 1, rngs=nnx.Rngs(0), dtype=jnp.float64)


VALUES = np.random.default_rng(0).normal(size=12)


def test_derivatives_by_jets_agree_with_grad_of_grad(network):
    code = network.encode(seen(VALUES, network))
    point, orders = jnp.array([0.37]), [(0,), (1,), (2,)]
    by_jets, by_grad = (engine(lambda p: network.decode(code, p), point, orders) for engine in (taylor, nested_grad))
    for order in orders:
        np.testing.assert_allclose(by_jets[order], by_grad[order], rtol=1e-9, atol=1e-10)


def test_a_description_rebuilds_the_same_function(network):
    graph, state = nnx.split(network)
    again = rebuild(network.description(), LINE, 1, 1, jnp.float64)
    nnx.update(again, state)
    assert nnx.split(again)[0] == graph
    x = jnp.array([0.2])
    first, second = (made.decode(made.encode(seen(VALUES, made)), x) for made in (network, again))
    np.testing.assert_array_equal(first, second)


def test_a_set_has_no_order_and_needs_no_size():
    network = MAKERS["set"](LINE, 1, 1, rngs=nnx.Rngs(0), dtype=jnp.float64)
    order = np.random.default_rng(1).permutation(12)
    one, mixed = (network.encode(seen(VALUES[o], network, LINE.sensors[o])) for o in (np.arange(12), order))
    np.testing.assert_allclose(one, mixed, atol=1e-12)
    assert network.encode(seen(VALUES[:5], network, LINE.sensors[:5])).shape == one.shape


def test_a_ridge_with_one_prior_is_the_posterior_mean_of_its_gaussian_process():
    network = MAKERS["ridge"](LINE, 1, 1, rngs=nnx.Rngs(0), dtype=jnp.float64)
    branch = network.branch
    spectrum = jnp.exp(-jnp.arange(9.0) / 3)
    branch.spectra[...] = jnp.broadcast_to(jnp.log(spectrum)[None], (3, 9))
    branch.logits[...] = jnp.array([0.0, 0.0, 0.0, -1e9, -1e9])
    places = np.sort(np.random.default_rng(2).uniform(-1, 1, 7))[:, None]
    phi = np.asarray(jax.vmap(network.basis)(jnp.asarray(places)))
    kernel = phi * np.asarray(spectrum) @ phi.T
    expected = np.asarray(spectrum)[:, None] * phi.T @ np.linalg.solve(kernel + 0.01 * np.eye(7), VALUES[:7, None])
    np.testing.assert_allclose(network.encode(seen(VALUES[:7], network, places)), expected, rtol=1e-9)


def test_linear_equations_leave_their_solutions():
    """Of y'' + y' + y = 0 for x from 0 to 10, on [-1, 1], with derivatives of sin(a s + b) by hand; of y = 0 nothing is left."""
    trunk, s = pinn.Harmonics(1, 129, rngs=nnx.Rngs(0)), np.linspace(-1, 1, 256)
    a, angle = np.asarray(trunk.angles.kernel[...])[0], np.asarray(jax.vmap(trunk.angles)(jnp.asarray(s[:, None])))
    basis = np.sin(angle)
    rows = (1 - (a / 5) ** 2) * basis + a / 5 * np.cos(angle)
    found = basis @ _solutions(basis, rows, trunk.frequencies)
    assert found.shape == (256, 2)
    np.testing.assert_allclose(found.T @ found, np.eye(2), atol=1e-6)
    x = 5 * (s + 1)
    motions = np.exp(-x / 2)[:, None] * np.stack([np.cos(np.sqrt(3) / 2 * x), np.sin(np.sqrt(3) / 2 * x)], axis=1)
    np.testing.assert_allclose(found @ (found.T @ motions), motions, atol=1e-3)
    assert _solutions(basis, basis, trunk.frequencies).size == 0


def test_shifted_solves_have_the_right_derivatives_where_eigenvalues_meet():
    matrices = jnp.stack([jnp.eye(4), jnp.diag(jnp.array([1.0, 1.0, 2.0, 3.0]))])
    direction = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 4)))
    direction = direction + direction.transpose(0, 2, 1)
    values, shifts = jnp.arange(1.0, 5.0), jnp.array([0.3, 2.0])

    def by_eigen(m):
        x, logdet = solve_shifted(decomposed(m), values[None], shifts)
        return jnp.sum(jnp.sin(x)) + jnp.sum(logdet)

    def by_inverse(m):
        shifted = m[:, None] + shifts[None, :, None, None] * jnp.eye(4)[None, None]
        x = jnp.linalg.solve(shifted, jnp.broadcast_to(values[None, None, :, None], (2, 2, 4, 1)))[..., 0]
        return jnp.sum(jnp.sin(x)) + jnp.sum(jnp.linalg.slogdet(shifted)[1])

    slopes = [jax.jvp(f, (matrices,), (direction,))[1] for f in (by_eigen, by_inverse)]
    np.testing.assert_allclose(slopes[0], slopes[1], rtol=1e-10)


def test_pod_modes_are_those_of_numpy():
    rng = np.random.default_rng(0)
    snapshots = rng.normal(size=(30, 8)) @ rng.normal(size=(8, 8))
    trunk = pinn.PODTrunk(1, 3, snapshots=snapshots)
    found = np.stack([trunk(jnp.array([x])) for x in np.linspace(-1, 1, 8)])
    _, sizes, modes = np.linalg.svd(snapshots)
    np.testing.assert_allclose(found, (modes[:3] * sizes[:3, None] / np.sqrt(30)).T, atol=1e-12)


def test_zeroing_both_last_layers_leaves_the_bias_alone_a_gradient():
    network = MAKERS["dense"](LINE, 1, 1, rngs=nnx.Rngs(0), dtype=jnp.float64)
    for last in (network.branch.output, network.trunk.output):
        last.kernel[...], last.bias[...] = 0 * last.kernel[...], 0 * last.bias[...]
    graph, state = nnx.split(network)

    def loss(state):
        made = nnx.merge(graph, state)
        return jnp.sum((made.decode(made.encode(seen(VALUES, made)), jnp.array([0.3])) - 1) ** 2)

    slopes = nnx.to_pure_dict(jax.grad(loss, allow_int=True)(state))
    moved = {jax.tree_util.keystr(path) for path, g in jax.tree_util.tree_flatten_with_path(slopes)[0] if np.any(np.asarray(g))}
    assert moved == {"['bias']"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: pinn.ConvBranch(pinn.Layout(np.array([[-1.0], [0.1], [1.0]])), 3, rngs=nnx.Rngs(0)),
            "needs sensors on a regular grid",
        ),
        (lambda: pinn.DeepONet(LINE, 1, 1, branch=pinn.RidgeBranch, rngs=nnx.Rngs(0)), "trunk=pinn.Harmonics"),
        (
            lambda: pinn.LocalDeepONet(LINE, 1, 1, base=MAKERS["set"], residual=True, rngs=nnx.Rngs(0)),
            "give one of the two",
        ),
        (lambda: pinn.PODTrunk(1, 5, snapshots=np.zeros((3, 8))), "with at least 5 functions"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(NetworkError, match=message):
        make()
