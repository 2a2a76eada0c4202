"""What a residual reads of the fields, where, and whether it is affine in them: all read off one trace."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinn import at, d, laplacian
from pinn.errors import ResidualError
from pinn.expression import Expression
from pinn.tracing import dependence

TX = ("t", "x")
NODES = np.linspace(-1, 1, 9)


def traced(residual, coordinates=TX, fields=("u", "v"), **extras) -> Expression:
    return Expression(residual, coordinates, dict.fromkeys(fields, coordinates), extras)


def half_square(u):
    return u**2 / 2


def heat_flux(u, x):
    return (1 + x**2) * d(u, x)


def saturating_flux(u, x):
    return d(u, x) / (1 + u**2)


CASES = {
    # residual: what it reads at the point itself besides the fields that it names, number of places, affine
    "heat": (lambda u, t, x: d(u, t) - d(u, x, x), {"u": [(1, 0), (0, 2)]}, 1, True),
    "burgers": (lambda u, t, x: d(u, t) + u * d(u, x) - 0.01 * d(u, x, x), {"u": [(1, 0), (0, 1), (0, 2)]}, 1, False),
    "conservative form": (lambda u, t, x: d(u, t) + d(half_square, x), {"u": [(1, 0), (0, 1)]}, 1, False),
    "flux form": (lambda u, t, x: d(u, t) - d(heat_flux, x), {"u": [(1, 0), (0, 1), (0, 2)]}, 1, True),
    "saturating flux": (lambda u, t, x: d(saturating_flux, x), {"u": [(0, 1), (0, 2)]}, 1, False),
    "mixed third order": (lambda u, t, x: d(u, x, t, x) + 1, {"u": [(1, 2)]}, 1, True),
    "system": (
        lambda u, v, t, x: {"one": d(u, t) - d(v, x), "two": d(v, t) - u},
        {"u": [(1, 0)], "v": [(0, 1), (1, 0)]},
        1,
        True,
    ),
    "predator and prey": (lambda u, v, t: (d(u, t) - u * v, d(v, t) + u), {"u": [(1, 0)], "v": [(1, 0)]}, 1, False),
    "where on coordinates": (lambda u, t, x: jnp.where(x > t, 2 * d(u, x), u) + jnp.sinc(x), {"u": [(0, 1)]}, 1, True),
    "cond on coordinates": (
        lambda u, t, x: d(u, t) + jax.lax.cond(x > 0, lambda: 0.0, lambda: 1.0),
        {"u": [(1, 0)]},
        1,
        True,
    ),
    "coefficient functions": (
        lambda u, t, x: jnp.sinc(x) * d(u, x, x) + jnp.interp(x, NODES, NODES**2) * u + jnp.abs(t),
        {"u": [(0, 2)]},
        1,
        True,
    ),
    "value at a wall": (lambda u, t, x: d(u, t) - at(u, x=0.0), {"u": [(1, 0)]}, 2, True),
    "delay": (lambda u, t, x: d(u, t) - at(d(u, x), t=t - 0.1), {"u": [(1, 0), (0, 1)]}, 2, True),
    "two places, multiplied": (lambda u, t, x: at(u, x=0) * at(u, x=1) + u, {"u": []}, 3, False),
}


@pytest.mark.parametrize("name", CASES)
def test_leaves_places_and_affinity(name):
    residual, reads, places, affine = CASES[name]
    expression = traced(residual)
    here = [leaf for leaf in expression.leaves if leaf.site == ()]
    assert {(leaf.field, leaf.index) for leaf in here} == {(f, index) for f in reads for index in [(0, 0), *reads[f]]}
    assert len(set(expression.leaves)) == len(expression.leaves)
    assert len(expression.sites) == places and expression.sites[0] == ()
    assert expression.is_affine is affine


NOT_AFFINE = {
    "abs": lambda u, x: d(u, x) + jnp.abs(u),
    "relu": lambda u, x: d(u, x) + jax.nn.relu(u),
    "maximum": lambda u, x: d(u, x) + jnp.maximum(u, x),
    "clip": lambda u, x: d(u, x) + jnp.clip(u, -1, 1),
    "where on the field": lambda u, x: d(u, x) + jnp.where(u > 0, u, 2 * u),
    "power": lambda u, x: d(u, x) + u**3,
    "division": lambda u, x: d(u, x) / (2 + u),
    "remainder": lambda u, x: d(u, x) + u % 1.0,
    "product of derivatives": lambda u, x: d(u, x) * d(u, x, x),
    "solver": lambda u, x: d(u, x) + jnp.linalg.norm(jnp.stack([u, x])),
    # Slopes that vanish or are held back: an affine function would have the same values, not only the same slopes.
    "sign": lambda u, x: d(u, x) + jnp.sign(u),
    "step": lambda u, x: d(u, x) + jnp.where(u > 0.1, 1.0, 0.0),
    "floor": lambda u, x: d(u, x) + jnp.floor(4 * u),
    "round": lambda u, x: d(u, x) + jnp.round(u),
    "comparison": lambda u, x: d(u, x) + (u > d(u, x)),
    "argmax": lambda u, x: d(u, x) + jnp.argmax(jnp.stack([u, x])),
    "stop_gradient": lambda u, x: d(u, x) + jax.lax.stop_gradient(u) ** 2,
}


@pytest.mark.parametrize("name", NOT_AFFINE)
def test_what_is_not_affine(name):
    """Least squares would solve another equation if one of these were taken for affine."""
    assert traced(NOT_AFFINE[name], ("x",), ("u",)).is_affine is False


AFFINE = {
    "constants": lambda u, x: 3 * d(u, x) / 7 - u + 2,
    "of the coordinate": lambda u, x: jnp.exp(x) * d(u, x, x) + jnp.where(x > 0.2, 1.0, -1.0) * u + jnp.sign(x),
    "stacked": lambda u, x: jnp.stack([d(u, x), u]) @ jnp.array([[1.0, 2.0], [3.0, 4.0]]) @ jnp.array([1.0, x]),
    "jitted": lambda u, x: jax.jit(lambda a: 2 * a)(u) + d(u, x),
    "first power": lambda u, x: u**1 + d(u, x),
    "laplacian": lambda u, x: laplacian(u, x) + jnp.sinc(x),
    "moved": lambda u, x: at(d(u, x), x=x / 2) - at(u, x=1),
}


@pytest.mark.parametrize("name", AFFINE)
def test_what_is_affine(name):
    assert traced(AFFINE[name], ("x",), ("u",)).is_affine is True


@settings(max_examples=40)
@given(st.lists(st.sampled_from(["u", "u_x", "x", "2"]), min_size=1, max_size=4))
def test_a_product_is_affine_up_to_one_factor_of_the_field(factors):
    def residual(u, x):
        values = {"u": u, "u_x": d(u, x), "x": x, "2": 2.0}
        return d(u, x, x) + functools.reduce(lambda a, b: a * b, [values[name] for name in factors])

    assert traced(residual, ("x",), ("u",)).is_affine is (sum(name.startswith("u") for name in factors) <= 1)


def test_orders_are_the_highest_by_coordinate():
    expression = traced(lambda u, v, t, x: d(u, t) + d(u, x, x, x) * d(v, t, x) + d(v, x))
    assert expression.orders() == {"u": (1, 3), "v": (1, 1)}
    assert traced(lambda u, t, x: u + 0 * x).orders() == {"u": (0, 0)}


def test_demand_is_what_one_site_reads():
    expression = traced(lambda u, v, t, x: d(u, x) - at(u, x=0.0) * v + at(d(v, t), x=1.0))
    here, *others = expression.sites
    assert expression.demand(here) == {"u": [(0, 0), (0, 1)], "v": [(0, 0), (1, 0)]}
    demands = [expression.demand(site) for site in others]
    assert sorted(demands, key=str) == [{"u": [(0, 0)]}, {"v": [(1, 0)]}]


def test_places_move_with_the_point():
    """The first site is the point; the others are where at() goes, parameters included."""
    expression = traced(lambda u, t, x, lag: at(u, t=t - lag) + at(at(u, x=2 * x), t=t * x) + u, lag=0.1)
    places = np.asarray(expression.places(jnp.array([0.5, 3.0]), {"lag": jnp.asarray(0.2)}))
    assert places[0].tolist() == [0.5, 3.0]
    read = {
        tuple(np.round(place, 12).tolist())
        for place, site in zip(places, expression.sites, strict=True)
        if expression.demand(site)
    }
    assert read == {(0.5, 3.0), (0.3, 3.0), (0.5, 6.0), (1.5, 6.0)}


def test_value_needs_no_network():
    """F(point, leaves, constants) by hand, leaves in the order of `.leaves`."""
    expression = traced(lambda u, t, x, nu: {"a": d(u, t) + u * d(u, x) - nu * d(u, x, x), "b": u - x}, nu=1.0)
    by_index = {leaf.index: i for i, leaf in enumerate(expression.leaves)}
    numbers = np.array([0.3, -1.1, 2.0, 0.7])
    u, u_t, u_x, u_xx = (numbers[by_index[index]] for index in [(0, 0), (1, 0), (0, 1), (0, 2)])
    value = expression.value(jnp.array([0.1, 0.9]), jnp.array(numbers), {"nu": jnp.asarray(0.05)})
    np.testing.assert_allclose(value, [u_t + u * u_x - 0.05 * u_xx, u - 0.9], rtol=1e-14)
    assert expression.components == ("a", "b")


def test_components_are_labelled():
    assert traced(lambda u, x, t: u).components == ("",)
    assert traced(lambda u, x, t: (u, 2 * u, 3 * u)).components == ("1", "2", "3")
    assert traced(lambda u, x, t: {"mass": u, "heat": u * x}).components == ("mass", "heat")


@pytest.mark.parametrize("residual", [lambda u, t, x: d(u, t) - laplacian(u, x), lambda u, t, x: d(heat_flux, x) + at(u, x=0.5)])
def test_a_float32_run_stays_in_float32(residual):
    """No constant of the package may promote it: on a GPU, float64 is many times slower."""
    expression = traced(residual)
    point, leaves = jnp.zeros(2, jnp.float32), jnp.zeros(len(expression.leaves), jnp.float32)
    assert "f64" not in str(jax.make_jaxpr(lambda p, values: expression.value(p, values, {}))(point, leaves))
    assert "f64" not in str(jax.make_jaxpr(lambda p: expression.places(p, {}))(point))


# --- one function of which this all stands


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda a, b: (a + b, a), [[1, 1], [1, 0]]),
        (lambda a, b: jax.jit(lambda c, d: (d, 2 * c))(a, b), [[0, 1], [1, 0]]),
        (lambda a, b: jax.nn.relu(a) * 0 + 1, [[1, 0]]),
        (lambda a, b: jax.lax.cond(a > 0, lambda: 1.0, lambda: 2.0), [[1, 0]]),
        (lambda a, b: jax.lax.fori_loop(0, 3, lambda i, s: s + b, 0.0), [[0, 1]]),
        (lambda a, b: jnp.ones(()), [[0, 0]]),
        (lambda a, b: jax.nn.gelu(b), [[0, 1]]),
    ],
)
def test_dependence_is_never_missed(function, expected):
    assert dependence(function, 1.0, 2.0).astype(int).tolist() == expected


# --- what is refused


@pytest.mark.parametrize(
    ("residual", "message"),
    [
        (lambda u, x: x**2, r"<lambda>\(\) depends on no field: it is the same whatever 'u' may be"),
        (lambda u, x: 0, r"depends on no field"),
        (lambda u, x: jnp.where(x > 0, 1.0, 2.0), r"depends on no field"),
        (lambda u, x: {"a": u, "b": x}, r"depends on no field: its component 'b' is the same"),
        (lambda u, x: (u, 1.0), r"its component '2' is the same"),
        (lambda u, x: jnp.stack([u, u]), r"returns an array of shape \(2,\). It is called at one point"),
        (lambda u, x: {"a": u, "b": jnp.ones(3) * u}, r"component 'b', returns an array of shape \(3,\)"),
        (lambda u, x: None, r"<lambda>\(\) returns NoneType; a number is needed. Is a return missing\?"),
        (lambda u, x: (u, None), r"component '2', returns NoneType"),
        (lambda u, x: "u", r"returns str; a number is needed"),
        (lambda u, x: {"a": {"b": u}}, r"component 'a', returns dict; a number is needed"),
        (lambda u, x: u * 1j, r"returns complex128; a real number is needed. Split a complex equation in two parts"),
        (lambda u, x: u > 0, r"returns bool; a (real )?number is needed(?!.*complex)"),
        (lambda u, x: True, r"returns bool; a (real )?number is needed(?!.*complex)"),
        (lambda u, x: (), r"<lambda>\(\) returns nothing|returns an empty|returns no "),
        (lambda u, x: {}, r"<lambda>\(\) returns nothing|returns an empty|returns no "),
        (lambda u, x: u if u > 0 else x, r"branches on a value .*use jnp.where, jnp.logical_and, jnp.maximum"),
        (lambda u, x: max(u, 0.0), r"branches on a value"),
        (lambda u, x: u and x, r"branches on a value"),
        (lambda u, x: np.sin(u), r"uses NumPy or math on a traced value: use jax.numpy, as in jnp.sin\(u\)"),
        (lambda u, x: u + np.interp(x, NODES, NODES), r"uses NumPy or math on a traced value"),
        (lambda u, x: __import__("math").sin(u), r"uses NumPy or math on a traced value"),
        (lambda u, x: d(u, x) + undefined, r"fails when it is called at one point: NameError: name 'undefined' is not defined"),  # noqa: F821
        (lambda u, x: u["x"], r"fails when it is called at one point: "),
    ],
)
def test_a_residual_is_one_real_number_for_each_equation(residual, message):
    with pytest.raises(ResidualError, match=message):
        traced(residual, ("x",), ("u",))
