"""The operators against hand-written jax.grad of closed-form fields, against polynomial algebra, and what they refuse."""

import functools
from collections.abc import Callable
from inspect import signature

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import Polynomial
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pinn import apply, at, d, div, grad, laplacian
from pinn.errors import ResidualError
from pinn.expression import Expression

NODES, HEIGHTS = np.linspace(-1, 2, 13), np.cos(np.linspace(-1, 2, 13)) + 2
SOMEWHERE = np.array(0.3)
CONSTANT_ARRAY = jnp.array([0.5, 2.0])


def wave(t, x):
    return jnp.sin(1.3 * t + 0.4) * jnp.exp(-0.7 * x) + 0.2 * x**3 * t**2


def bump(t, x):
    return jnp.exp(-((x - 0.3) ** 2) - t) * jnp.cos(2 * x)


def swirl(x, y):
    return jnp.sin(1.1 * x - 0.6 * y) + x**3 * y**2 * 0.3


def saddle(x, y):
    return jnp.exp(0.5 * x * y) + x * y**4 * 0.1


def dip(x, y):
    return jnp.cos(x + 2 * y) / (2 + x**2)


def line(x):
    return jnp.sin(2 * x) * jnp.exp(x / 3)


def by(fn: Callable, *axes: int) -> Callable:
    """jax.grad of jax.grad of ..., by positional arguments."""
    for axis in axes:
        fn = jax.grad(fn, argnums=axis)
    return fn


def check(residual, by_hand, fields, coordinates, low=-0.9, high=0.9, **extras):
    """1e-12, relative to the largest value over the points; compiled and batched, as the package calls a residual."""

    def applied(*point):
        return apply(residual, dict(zip(coordinates, point, strict=True)), fields, **extras)

    columns = np.random.default_rng(7).uniform(low, high, (len(coordinates), 5))
    got, truth = jax.jit(lambda *p: (jax.vmap(applied)(*p), jax.vmap(by_hand)(*p)))(*columns)
    assert jax.tree.structure(got) == jax.tree.structure(truth)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(truth), strict=True):
        assert one.shape == other.shape == (5,)
        assert np.abs(other).max() > 1e-3
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12 * np.abs(other).max())


# --- named functions, as users write them


def half_square(u):
    return u**2 / 2


def conductivity(x):
    return 1 + x**2 / 3


def heat_flux(u, x):
    return conductivity(x) * d(u, x)


def double_flux(u, x):
    return u * d(heat_flux, x)


def tabulated_flux(u, x):
    return jnp.interp(x, NODES, HEIGHTS) * d(u, x)


def jump(u, x):
    return at(u, x=x + 0.3) - 2 * u**2


def delayed_flux(u, t, x):
    return d(u, x) * at(u, t=t - 0.1) * jnp.sin(t)


def vector(u, v, x, y):
    return (1 + x * y) * grad(u, x, y) + jnp.stack([v, u * v])


def slope_x(u, x):
    return d(u, x)


def navier_stokes(u, v, p, x, y):
    return {
        "x": u * d(u, x) + v * d(u, y) + d(p, x) - 0.01 * laplacian(u, x, y),
        "y": u * d(v, x) + v * d(v, y) + d(p, y) - 0.01 * laplacian(v, x, y),
        "mass": div((u, v), x, y),
    }


def navier_stokes_by_hand(x, y):
    u, v, p = swirl, saddle, dip

    def lap(f):
        return by(f, 0, 0)(x, y) + by(f, 1, 1)(x, y)

    def carried(f):
        return u(x, y) * by(f, 0)(x, y) + v(x, y) * by(f, 1)(x, y)

    return {
        "x": carried(u) + by(p, 0)(x, y) - 0.01 * lap(u),
        "y": carried(v) + by(p, 1)(x, y) - 0.01 * lap(v),
        "mass": by(u, 0)(x, y) + by(v, 1)(x, y),
    }


TX = {
    "burgers": (
        lambda u, t, x: d(u, t) + u * d(u, x) - 0.01 * d(u, x, x),
        lambda t, x: by(wave, 0)(t, x) + wave(t, x) * by(wave, 1)(t, x) - 0.01 * by(wave, 1, 1)(t, x),
    ),
    "conservative form": (
        lambda u, t, x: d(u, t) + d(half_square, x),
        lambda t, x: by(wave, 0)(t, x) + by(lambda t, x: wave(t, x) ** 2 / 2, 1)(t, x),
    ),
    "flux form": (
        lambda u, t, x: d(u, t) - d(heat_flux, x),
        lambda t, x: by(wave, 0)(t, x) - by(lambda t, x: conductivity(x) * by(wave, 1)(t, x), 1)(t, x),
    ),
    "flux of a flux": (
        lambda u, t, x: d(double_flux, x, t),
        lambda t, x: by(
            lambda t, x: wave(t, x) * by(lambda t, x: conductivity(x) * by(wave, 1)(t, x), 1)(t, x),
            1,
            0,
        )(t, x),
    ),
    "derivative of a derivative": (
        lambda u, t, x: d(d(d(u, x), t), x) + u,
        lambda t, x: by(wave, 1, 0, 1)(t, x) + wave(t, x),
    ),
    "mixed, any order": (lambda u, t, x: d(u, x, t, x, t, t), by(wave, 0, 0, 0, 1, 1)),
    "korteweg-de vries": (
        lambda u, t, x: d(u, t) + 6 * u * d(u, x) + d(u, x, x, x),
        lambda t, x: by(wave, 0)(t, x) + 6 * wave(t, x) * by(wave, 1)(t, x) + by(wave, 1, 1, 1)(t, x),
    ),
    "kuramoto-sivashinsky": (
        lambda u, t, x: d(u, t) + d(u, x, x) + d(u, x, x, x, x) + d(half_square, x),
        lambda t, x: by(wave, 0)(t, x) + by(wave, 1, 1)(t, x) + by(wave, 1, 1, 1, 1)(t, x) + wave(t, x) * by(wave, 1)(t, x),
    ),
    "two fields": (
        lambda u, v, t, x: (d(u, t) - v, d(v, t) - d(u, x, x) + u * v),
        lambda t, x: (
            by(wave, 0)(t, x) - bump(t, x),
            by(bump, 0)(t, x) - by(wave, 1, 1)(t, x) + wave(t, x) * bump(t, x),
        ),
    ),
    "delay": (lambda u, t, x: d(u, t) + at(u, t=t - 0.1), lambda t, x: by(wave, 0)(t, x) + wave(t - 0.1, x)),
    "derivative of a delay": (lambda u, t, x: d(at(u, t=t - 0.1), t), lambda t, x: by(wave, 0)(t - 0.1, x)),
    "derivative at another place": (lambda u, t, x: at(d(u, x, x), t=t / 2), lambda t, x: by(wave, 1, 1)(t / 2, x)),
    "moving place, twice": (
        lambda u, t, x: d(at(u, t=t * t * x), t, t),
        by(lambda t, x: wave(t * t * x, x), 0, 0),
    ),
    "moving place, mixed": (
        lambda u, t, x: d(at(u, t=t * t * x), t, x),
        by(lambda t, x: wave(t * t * x, x), 0, 1),
    ),
    "fixed place": (
        lambda u, t, x: at(u, x=0.25) - at(u, x=-1) + d(at(u, x=0.25), t),
        lambda t, x: wave(t, 0.25) - wave(t, -1.0) + by(wave, 0)(t, 0.25),
    ),
    "fixed place, differentiated across": (
        lambda u, t, x: u + d(at(u, x=0.25), x),
        lambda t, x: wave(t, x),
    ),
    "at of at": (
        lambda u, t, x: at(at(u, t=t - 0.1), t=2 * t, x=x + t),
        lambda t, x: wave(2 * t - 0.1, x + t),
    ),
    "derivative of at of at": (
        lambda u, t, x: d(at(at(u, t=t * x), t=2 * t, x=x + t), t, x),
        by(lambda t, x: wave(2 * t * (x + t), x + t), 0, 1),
    ),
    "derivative of at of a derivative": (
        lambda u, t, x: d(at(d(u, x), x=x * t), t),
        by(lambda t, x: by(wave, 1)(t, x * t), 0),
    ),
    "flux at another place": (
        lambda u, t, x: at(heat_flux, x=x - t),
        lambda t, x: conductivity(x - t) * by(wave, 1)(t, x - t),
    ),
    "flux at a fixed place, differentiated in time": (
        lambda u, t, x: d(at(heat_flux, x=0.5), t),
        by(lambda t, x: conductivity(0.5) * by(wave, 1)(t, 0.5), 0),
    ),
    "at inside a function": (
        lambda u, t, x: d(jump, x, x),
        by(lambda t, x: wave(t, x + 0.3) - 2 * wave(t, x) ** 2, 1, 1),
    ),
    "at inside a function, moved": (
        lambda u, t, x: d(at(jump, t=x, x=t * x), x),
        by(lambda t, x: wave(x, t * x + 0.3) - 2 * wave(x, t * x) ** 2, 1),
    ),
    "delay inside a function": (
        lambda u, t, x: d(delayed_flux, t, x),
        by(lambda t, x: by(wave, 1)(t, x) * wave(t - 0.1, x) * jnp.sin(t), 0, 1),
    ),
    "where": (
        lambda u, t, x: jnp.where(x > 0, d(u, x, x), u * d(u, t)),
        lambda t, x: jnp.where(x > 0, by(wave, 1, 1)(t, x), wave(t, x) * by(wave, 0)(t, x)),
    ),
    "cond": (
        lambda u, t, x: jax.lax.cond(x > 0, lambda: d(u, x), lambda: u**2 - t),
        lambda t, x: jnp.where(x > 0, by(wave, 1)(t, x), wave(t, x) ** 2 - t),
    ),
    "any jnp function": (
        lambda u, v, t, x: jax.nn.gelu(u) + jnp.arctan2(d(u, x), 2 + v**2) + jnp.hypot(u, v) - jnp.maximum(v, x),
        lambda t, x: (
            jax.nn.gelu(wave(t, x))
            + jnp.arctan2(by(wave, 1)(t, x), 2 + bump(t, x) ** 2)
            + jnp.hypot(wave(t, x), bump(t, x))
            - jnp.maximum(bump(t, x), x)
        ),
    ),
    "tabulated coefficient": (
        lambda u, t, x: d(tabulated_flux, x),
        by(lambda t, x: jnp.interp(x, NODES, HEIGHTS) * by(wave, 1)(t, x), 1),
    ),
}

XY = {
    "gradient": (
        lambda u, x, y: grad(u, x, y) @ jnp.array([2.0, -3.0]),
        lambda x, y: 2 * by(swirl, 0)(x, y) - 3 * by(swirl, 1)(x, y),
    ),
    "laplacian of one coordinate": (lambda u, x, y: laplacian(u, y), by(swirl, 1, 1)),
    "biharmonic": (
        lambda u, x, y: d(u, x, x, x, x) + 2 * d(u, x, x, y, y) + d(u, y, y, y, y),
        lambda x, y: by(swirl, 0, 0, 0, 0)(x, y) + 2 * by(swirl, 0, 0, 1, 1)(x, y) + by(swirl, 1, 1, 1, 1)(x, y),
    ),
    "divergence of derivatives": (
        lambda u, x, y: div((d(u, x), d(u, y)), x, y) + u,
        lambda x, y: by(swirl, 0, 0)(x, y) + by(swirl, 1, 1)(x, y) + swirl(x, y),
    ),
    "divergence of a vector function": (
        lambda u, v, x, y: div(vector, x, y),
        lambda x, y: (
            by(lambda x, y: (1 + x * y) * by(swirl, 0)(x, y) + saddle(x, y), 0)(x, y)
            + by(lambda x, y: (1 + x * y) * by(swirl, 1)(x, y) + swirl(x, y) * saddle(x, y), 1)(x, y)
        ),
    ),
    "laplacian of a function": (
        lambda u, x, y: laplacian(half_square, x, y),
        lambda x, y: by(lambda x, y: swirl(x, y) ** 2 / 2, 0, 0)(x, y) + by(lambda x, y: swirl(x, y) ** 2 / 2, 1, 1)(x, y),
    ),
    "gradient of a function, dotted": (
        lambda u, v, x, y: grad(half_square, x, y) @ grad(v, x, y),
        lambda x, y: swirl(x, y) * sum(by(swirl, i)(x, y) * by(saddle, i)(x, y) for i in (0, 1)),
    ),
    "navier-stokes": (navier_stokes, navier_stokes_by_hand),
    "coordinates exchanged": (lambda u, x, y: at(d(u, x), x=y, y=x), lambda x, y: by(swirl, 0)(y, x)),
}


@pytest.mark.parametrize("name", TX)
def test_in_time_and_space(name):
    check(*TX[name], {"u": wave, "v": bump}, ("t", "x"))


@pytest.mark.parametrize("name", XY)
def test_in_the_plane(name):
    check(*XY[name], {"u": swirl, "v": saddle, "p": dip}, ("x", "y"))


@pytest.mark.parametrize(
    ("residual", "by_hand"),
    [
        (lambda u, t, x: at(slope_x, x=t), lambda t, x: by(wave, 1)(t, t)),
        (lambda u, t, x: at(d(u, x), x=t), lambda t, x: by(wave, 1)(t, t)),
        (lambda u, t, x: at(slope_x, t=x), lambda t, x: by(wave, 1)(x, x)),
        (lambda u, t, x: d(at(u, x=t), t), by(lambda t, x: wave(t, t), 0)),
        (lambda u, t, x: d(at(slope_x, x=t), t), by(lambda t, x: by(wave, 1)(t, t), 0)),
        (lambda u, t, x: at(at(slope_x, x=t), t=x), lambda t, x: by(wave, 1)(x, x)),
        (lambda u, t, x, both: at(slope_x, t=both, x=both), lambda t, x: by(wave, 1)(0.4, 0.4) + 0 * t),
        (lambda u, t, x: at(slope_x, t=SOMEWHERE, x=SOMEWHERE), lambda t, x: by(wave, 1)(0.3, 0.3) + 0 * t),
    ],
)
def test_a_place_where_two_coordinates_are_one_number(residual, by_hand):
    """On the diagonal, x is the object that t is: which of the two a function differentiates by must not follow from that."""
    check(residual, by_hand, {"u": wave}, ("t", "x"), **({"both": 0.4} if "both" in signature(residual).parameters else {}))


def test_fields_of_fewer_coordinates():
    """k(x) stands still in time, also inside a function that is differentiated in time."""

    def flux(u, k, x):
        return k * d(u, x)

    def by_hand(t, x):
        return (
            by(lambda t, x: line(x) * by(wave, 1)(t, x), 0)(t, x)
            + by(line, 0)(x)
            + by(lambda t, x: line(x) * by(wave, 1)(t, x), 1)(t, x)
        )

    fields = {"u": wave, "k": line}
    check(lambda u, k, t, x: d(flux, t) + d(k, x) + d(flux, x), by_hand, fields, ("t", "x"))
    with pytest.raises(ResidualError, match=r"d\(\): k depends on 'x' alone; its derivative by 't' is zero"):
        apply(lambda u, k, t, x: d(k, t) + u, {"t": 0.1, "x": 0.2}, fields)


def test_a_robin_condition_with_its_normal():
    normal = jnp.array([0.6, -0.8])
    check(
        lambda u, x, y, normal: normal @ grad(u, x, y) + 2 * u - 1,
        lambda x, y: 0.6 * by(swirl, 0)(x, y) - 0.8 * by(swirl, 1)(x, y) + 2 * swirl(x, y) - 1,
        {"u": swirl},
        ("x", "y"),
        normal=normal,
    )


def test_unknown_parameters_have_gradients():
    """Through the residual, through a named function, and through a place."""

    def flux(u, x, nu):
        return nu**2 * d(u, x)

    def residual(u, t, x, nu, lag):
        return d(u, t) + nu * d(u, x, x) - d(flux, x) + at(u, t=t - lag)

    def by_hand(nu, lag):
        return by(wave, 0)(0.4, 0.2) + (nu - nu**2) * by(wave, 1, 1)(0.4, 0.2) + wave(0.4 - lag, 0.2)

    def value(nu, lag):
        return apply(residual, {"t": 0.4, "x": 0.2}, {"u": wave}, nu=nu, lag=lag)

    got, truth = jax.jit(lambda *p: [jax.value_and_grad(fn, (0, 1))(*p) for fn in (value, by_hand)])(0.3, 0.1)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-12), got, truth)


def test_a_residual_can_be_called_eagerly():
    """Outside jit the values are concrete, so that print and pdb show numbers."""
    seen = []

    def residual(u, x):
        value = d(u, x)
        seen.append(value)
        return value - u

    assert abs(apply(residual, {"x": 0.5}, {"u": lambda x: jnp.exp(x)})) < 1e-15
    assert not isinstance(seen[-1], jax.core.Tracer)
    assert float(seen[-1]) == pytest.approx(np.exp(0.5), rel=1e-15)


# --- identity: one object never stands for two functions


def test_a_field_that_returns_its_coordinate():
    def itself(u):
        return u

    check(lambda u, x: d(u, x) + 10 * d(itself, x), lambda x: 11.0 + 0 * x, {"u": lambda x: x}, ("x",))
    assert apply(lambda u, x: d(u, x, x) + u, {"x": 0.5}, {"u": lambda x: x}) == 0.5


def test_fields_with_identical_values():
    fields = {"u": lambda t, x: t * x, "v": lambda t, x: x * t, "w": lambda t, x: 0.06 + 0 * x}
    point = {"t": 0.2, "x": 0.3}
    assert float(apply(lambda u, v, t, x: d(u, t) - 10 * d(v, x), point, fields)) == pytest.approx(0.3 - 2.0)
    assert float(apply(lambda u, w, t, x: d(w, t) + d(u, x), point, fields)) == pytest.approx(0.2)


def test_derivatives_with_identical_values():
    """u_x and u_y are equal numbers at this point; their derivatives are not."""
    value = apply(lambda u, x, y: d(d(u, x), x) - 10 * d(d(u, y), y), {"x": 1.0, "y": 1.0}, {"u": lambda x, y: x**3 + 1.5 * y**2})
    assert float(value) == pytest.approx(6 - 30)


def test_the_function_itself_may_return_a_field():
    def itself(u):
        return u

    check(
        lambda u, t, x: d(itself, x, x) + at(itself, t=0.1), lambda t, x: by(wave, 1, 1)(t, x) + wave(0.1, x), {"u": wave}, "tx"
    )


# --- what is refused


POINT = {"t": 0.3, "x": 0.7}


def refused(residual, message, **extras):
    with pytest.raises(ResidualError, match=message):
        apply(residual, POINT, {"u": wave, "v": bump}, **extras)


@pytest.mark.parametrize(
    "operator", [lambda: d(1.0, 2.0), lambda: grad(1.0, 2.0), lambda: laplacian(1.0, 2.0), lambda: div((1.0,), 2.0)]
)
def test_operators_have_a_meaning_inside_a_residual_only(operator):
    with pytest.raises(
        ResidualError, match=r"d\(\) has a meaning only inside a residual or condition; to try one, use pinn.apply"
    ):
        operator()
    with pytest.raises(ResidualError, match=r"at\(\) has a meaning only inside a residual"):
        at(1.0, x=0.0)


VALUE = r"d\(\) takes a field \(u\), a derivative of one .*Name the expression: `def flux\(u, x\)"
COORDINATE = r"the second argument must be one of the coordinates 't', 'x', as the function received it; got "


@pytest.mark.parametrize(
    ("residual", "message"),
    [
        (lambda u, t, x: d(u), r"d\(\) needs a coordinate to differentiate by: d\(u, x\)"),
        (lambda u, t, x: u + d(x, x), VALUE),
        (lambda u, t, x: u + d(1.0, x), VALUE),
        (lambda u, t, x: d(u + 0, x), VALUE),
        (lambda u, t, x: d(1.0 * u, x), VALUE),
        (lambda u, t, x: d(u**2 / 2, x), VALUE),
        (lambda u, t, x: d(d(u, x) + 1, x), VALUE),
        (lambda u, t, x: d(laplacian(u, t, x), x), VALUE),
        (lambda u, t, x: at(u + 0, x=0.0), r"at\(\) takes a field \(u\)"),
        (lambda u, t, x: d(u, "x"), COORDINATE + "'x'"),
        (lambda u, t, x: d(u, 1), COORDINATE + "an expression"),
        (lambda u, t, x: d(u, x + 0), COORDINATE + "an expression"),
        (lambda u, t, x: d(u, u), COORDINATE + "an expression"),
        (lambda u, t, x: d(u, x * 2), COORDINATE + "an expression"),
        (lambda u, t, x: at(u, z=0.0), r"at\(\): 'z' is not a coordinate; there are 't', 'x'"),
        (lambda u, t, x: at(u, x=jnp.zeros(2)), r"at\(\): x must be one number; got an array of shape \(2,\)"),
        (lambda u, t, x: at(u, x=u), r"at\(\) moves a field to a place that depends on a field"),
        (lambda u, t, x: d(at(u, t=t - u**2), x), r"at\(\) moves a field to a place that depends on a field"),
        (lambda u, v, t, x: div((u, v), x), r"div\(\) needs one component for each coordinate; got 2 for 1"),
    ],
)
def test_what_cannot_be_recognised_is_an_error_and_never_a_zero(residual, message):
    refused(residual, message)


def three(u, t, x):
    return jnp.stack([u, u, u])


def lone(u, t, x):
    return jnp.stack([u])


def scalar(u, t, x):
    return u**2


@pytest.mark.parametrize("operator", [grad, laplacian, div], ids=["grad", "laplacian", "div"])
def test_operators_need_a_coordinate(operator):
    """A Laplacian over no coordinates would be a silent zero."""
    name = operator.__name__
    refused(lambda u, t, x: u + jnp.sum(operator(scalar if operator is div else u)), rf"{name}\(\) needs .*coordinate")


@pytest.mark.parametrize(("function", "count"), [(three, 3), (lone, 1)])
def test_a_vector_function_has_one_component_for_each_coordinate(function, count):
    refused(lambda u, t, x: div(function, t, x), rf"div\(\) needs one component for each coordinate; got {count} for 2")


def test_a_vector_function_returns_a_vector():
    refused(lambda u, t, x: div(scalar, t, x), r"div\(\).*scalar\(\).*(vector|component)")


# --- the guard: what a function given to d may not take from around it


class Flux:
    """A function object, and one whose method is the function."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, u, x):
        return self.factor * d(u, x)

    def flux(self, u, x):
        return self.factor * d(u, x)


def scaled(u, x, factor):
    return factor * d(u, x)


def closure(u, t, x):
    def flux(u):
        return x * u

    return d(flux, x)


def closure_over_a_field(u, v, t, x):
    def flux(u, x):
        return v * d(u, x)

    return d(flux, x)


def a_list(u, t, x):
    held = [x, t]

    def flux(u):
        return held[0] * u

    return d(flux, x)


def a_dict(u, t, x):
    held = {"x": x}
    return d(lambda u: held["x"] * u, x)


def a_nested_lambda(u, t, x):
    coefficient = lambda: x**2  # noqa: E731

    def flux(u):
        return coefficient() * u

    return d(flux, x)


def a_default_argument(u, t, x):
    def flux(u, factor=x):
        return factor * u

    return d(flux, x)


def a_partial(u, t, x):
    return d(functools.partial(scaled, factor=t), x)


def a_bound_method(u, t, x):
    return d(Flux(t).flux, x)


def a_function_object(u, t, x):
    return d(Flux(t), x)


def a_derived_value(u, t, x):
    twice = 2 * x

    def flux(u):
        return twice * u

    return d(flux, x)


def a_derivative(u, t, x):
    slope = d(u, x)

    def flux(u):
        return slope * u

    return d(flux, x)


def a_parameter(u, t, x, nu):
    def flux(u, x):
        return nu * d(u, x)

    return d(flux, x)


def inside_another_function(u, t, x):
    def outer(u, x):
        def inner(u):
            return x * u

        return d(inner, x)

    return d(outer, x) + u


def in_a_moved_function(u, t, x):
    def flux(u):
        return t * u

    return at(flux, x=0.0)


def in_a_divergence(u, t, x):
    def flux(u):
        return jnp.stack([t * u, u])

    return div(flux, t, x)


TAKES = r"flux\(\) takes {} from the residual around it, so (d|at)\(\) cannot vary it. Make it an argument: def flux\({}\)"
INDIRECTLY = (
    r"{}\(\) uses a value of the residual around it, through a list or another function, so (d|at)\(\) cannot vary it. "
    r"Let {}\(\) ask for the fields, coordinates and parameters that it needs as arguments"
)


@pytest.mark.parametrize(
    ("residual", "message"),
    [
        (closure, TAKES.format("'x'", "u, x")),
        (closure_over_a_field, TAKES.format("'v'", "u, x, v")),
        (a_list, INDIRECTLY.format("flux", "flux")),
        (a_dict, INDIRECTLY.format("<lambda>", "<lambda>")),
        (a_nested_lambda, INDIRECTLY.format("flux", "flux")),
        (a_default_argument, INDIRECTLY.format("flux", "flux")),
        (a_partial, INDIRECTLY.format("partial", "partial")),
        (a_bound_method, INDIRECTLY.format("flux", "flux")),
        (a_function_object, INDIRECTLY.format("Flux", "Flux")),
        (a_derived_value, TAKES.format("'twice'", "u, twice")),
        (a_derivative, TAKES.format("'slope'", "u, slope")),
        (a_parameter, TAKES.format("'nu'", "u, x, nu")),
        (inside_another_function, r"inner\(\) takes 'x' from the residual around it"),
        (in_a_moved_function, TAKES.format("'t'", "u, t")),
        (in_a_divergence, r"flux(\[0\])?\(\) (takes 't'|uses a value) .*residual around it"),
    ],
)
def test_a_function_given_to_d_takes_nothing_from_the_residual_around_it(residual, message):
    refused(residual, message, **({"nu": 0.1} if residual is a_parameter else {}))


def test_a_captured_coordinate_is_no_coordinate_of_the_function():
    def residual(u, t, x):
        def flux(u):
            return d(u, x)

        return d(flux, x)

    refused(residual, COORDINATE)


def test_constants_may_be_captured():
    """Numbers and constant arrays of NumPy and JAX, from a module, a closure, a default, a partial or an object."""
    number, array = 3.0, np.array([1.0, -2.0])

    def flux(u, x, factor=0.5, table=CONSTANT_ARRAY):
        return number * array[1] * factor * table[1] * CONSTANT_ARRAY[0] * conductivity(x) * d(u, x)

    def residual(u, t, x):
        return d(flux, x) + d(functools.partial(scaled, factor=2.0), x) + d(Flux(5.0), x) + d(Flux(array[0]).flux, x)

    def by_hand(t, x):
        return -3 * by(lambda t, x: conductivity(x) * by(wave, 1)(t, x), 1)(t, x) + 8 * by(wave, 1, 1)(t, x)

    check(residual, by_hand, {"u": wave}, ("t", "x"))


# --- names


@pytest.mark.parametrize(
    ("residual", "message"),
    [
        (
            lambda u, t, z: u + z,
            r"<lambda>\(\) asks for 'z'; this problem has fields 'u', 'v', coordinates 't', 'x', constants and parameters 'rate'",
        ),
        (lambda u, x, rat: rat * u, "asks for 'rat'.*Did you mean 'rate'"),
        (lambda *everything: 0.0, r"must name its arguments one by one"),
        (lambda **everything: 0.0, r"must name its arguments one by one"),
        (lambda u, /, x: u, r"must name its arguments one by one"),
        (lambda u, x: d(lambda w: w, x), r"asks for 'w'"),
    ],
)
def test_names_that_do_not_exist(residual, message):
    refused(residual, message, rate=1.0)


def test_apply_says_what_a_field_may_ask_for():
    with pytest.raises(ResidualError, match=r"apply\(\): the field 'u' asks for 'y'; the point has 't', 'x'"):
        apply(lambda u, x: u, POINT, {"u": lambda x, y: x * y})


def test_apply_returns_what_the_residual_returns():
    fields = {"u": wave}
    number = apply(lambda u, t, x: u, POINT, fields)
    assert jnp.shape(number) == ()
    assert apply(lambda u, t, x: (u, 2 * u), POINT, fields) == (number, 2 * number)
    assert apply(lambda u, t, x: [u, 2 * u], POINT, fields) == (number, 2 * number)
    assert apply(lambda u, t, x: {"one": u, "two": 2 * u}, POINT, fields) == {"one": number, "two": 2 * number}


# --- properties: random polynomials and random operator trees, against polynomial algebra

X, Y = Polynomial({(1, 0): 1}), Polynomial({(0, 1): 1})

coefficients = st.integers(-3, 3)
polynomials = st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 3)), coefficients, min_size=1, max_size=4).map(
    Polynomial
)
places = st.sampled_from(
    [
        ("x = 2", lambda x, y: {"x": 2.0}, [Polynomial({(0, 0): 2}), Y]),
        ("y = x - 1", lambda x, y: {"y": x - 1}, [X, X + Polynomial({(0, 0): -1})]),
        ("y = x", lambda x, y: {"y": x}, [X, X]),
        ("x = y, y = x", lambda x, y: {"x": y, "y": x}, [Y, X]),
        ("x = x y", lambda x, y: {"x": x * y}, [X * Y, Y]),
        ("x = 2 x + y, y = 1", lambda x, y: {"x": 2 * x + y, "y": 1}, [X + X + Y, Polynomial({(0, 0): 1})]),
    ]
)
leaves = st.sampled_from([("u",), ("v",), ("x",)])
steps = st.one_of(
    st.tuples(st.just("d"), st.lists(st.sampled_from([0, 1]), min_size=1, max_size=2), st.booleans()),
    st.tuples(st.just("at"), places, st.booleans()),
    st.tuples(st.sampled_from(["+", "*"]), leaves),
)


@st.composite
def operator_trees(draw):
    """A few operations on a leaf, each a derivative or a move (of a named function, perhaps), a sum or a product."""
    tree = draw(leaves)
    for operation, *operands in draw(st.lists(steps, min_size=2, max_size=4)):
        tree = (operation, tree, *operands)
    return tree


def truth(tree, u: Polynomial, v: Polynomial) -> Polynomial:
    match tree:
        case ("u",):
            return u
        case ("v",):
            return v
        case ("x",):
            return X
        case ("+", a, b):
            return truth(a, u, v) + truth(b, u, v)
        case ("*", a, b):
            return truth(a, u, v) * truth(b, u, v)
        case ("d", a, axes, _):
            return functools.reduce(Polynomial.by, axes, truth(a, u, v))
        case ("at", a, (_, _, to), _):
            return truth(a, u, v).moved(to)


def differentiable(tree, named, u, v, x, y):
    """What d and at take: a field, a derivative or a moved value as it is, anything else as a named function."""
    if tree[0] in ("u", "v", "d", "at") and not named:
        return computed(tree, u, v, x, y)

    def function(u, v, x, y):
        return computed(tree, u, v, x, y)

    return function


def computed(tree, u, v, x, y):
    match tree:
        case ("u",):
            return u
        case ("v",):
            return v
        case ("x",):
            return x
        case ("+", a, b):
            return computed(a, u, v, x, y) + computed(b, u, v, x, y)
        case ("*", a, b):
            return computed(a, u, v, x, y) * computed(b, u, v, x, y)
        case ("d", a, axes, named):
            return d(differentiable(a, named, u, v, x, y), *((x, y)[axis] for axis in axes))
        case ("at", a, (_, place, _), named):
            return at(differentiable(a, named, u, v, x, y), **place(x, y))


# Shrinking a tree of traced functions takes minutes, and a small tree is found among the first ones anyway.
@settings(max_examples=20, phases=[Phase.explicit, Phase.generate])
@given(operator_trees(), polynomials, polynomials)
def test_random_trees_of_operators_are_polynomial_algebra(tree, u, v):
    """What the tree reads of the fields comes from the polynomials too, so that JAX differentiates no field here."""
    x, y = 0.75, -1.25
    fields = {"u": u, "v": v}
    both = ("x", "y")
    residual = Expression(lambda u, v, x, y: u + v + computed(tree, u, v, x, y), both, dict.fromkeys(fields, both), {})
    places = dict(zip(residual.sites, np.asarray(residual.places(jnp.array([x, y]), {})), strict=True))
    read = [
        functools.reduce(Polynomial.by, [0] * leaf.index[0] + [1] * leaf.index[1], fields[leaf.field])(*places[leaf.site])
        for leaf in residual.leaves
    ]
    got = residual.value(jnp.array([x, y]), jnp.array(read), {})
    expected = u + v + truth(tree, u, v)
    assert float(got[0]) == pytest.approx(expected(x, y), rel=1e-12, abs=1e-12 * (1 + expected.size(x, y)))


# --- what is read of the fields


def test_burgers_reads_four_leaves():
    burgers = Expression(lambda u, t, x: d(u, t) + u * d(u, x) - 0.01 * d(u, x, x), ("t", "x"), {"u": ("t", "x")}, {})
    assert {leaf.index for leaf in burgers.leaves} == {(0, 0), (1, 0), (0, 1), (0, 2)}
    assert len(burgers.leaves) == 4
