"""What a residual is written with: d, grad, div, curl, laplacian, at, integral; `pinn.frames` says how they work."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from .errors import ResidualError, listing, suggestion
from .frames import (
    Found,
    Frame,
    Node,
    Path,
    Point,
    Spread,
    arguments,
    axis_of,
    current,
    differentiated,
    name_of,
    named,
    node_of,
    run,
    value_of,
)

# Names that no user can give: what terms hand to integrals with their points.
SPLIT, PLACES, WEIGHTS = "where panels meet", "places in the domain", "their weights"


def d(u: Array | Callable, *wrt: Array) -> Array:
    """Partial derivative ∂u/∂x: `d(u, x)`; of any order and mixed: `d(u, x, x)`, `d(u, t, x)`.

    Args:
        u: a field, a derivative of one, or a named function of fields and coordinates (`d(flux, x)`).
        wrt: coordinates, as the residual received them.

    Raises:
        ResidualError: u or a coordinate is something else, or a function takes values from around it.

    Example:
        >>> apply(lambda y, x: d(y, x, x) + y, {"x": 0.5}, {"y": lambda x: jnp.sin(x)})
        Array(0., dtype=float64)
    """
    frame = current("d")
    node = node_of(frame, u, "d")
    if not wrt:
        raise ResidualError("d() needs a coordinate to differentiate by: d(u, x).")
    for x in wrt:
        node = differentiated(frame, node, axis_of(frame, x))
    return frame.remember(value_of(node, frame), node)


def grad(u: Array | Callable, *wrt: Array) -> Array:
    """Gradient (∂u/∂x, ∂u/∂y, ...), a vector with one component for each coordinate named.

    Example:
        >>> apply(lambda u, x, y: grad(u, x, y) @ jnp.array([1.0, 2.0]), {"x": 0.5, "y": 2.0}, {"u": lambda x, y: x * y})
        Array(3., dtype=float64)
    """
    _needs_coordinates("grad", wrt)
    return jnp.stack([d(u, x) for x in wrt])


def div(q: Sequence[Array | Callable] | Callable, *wrt: Array) -> Array:
    """Divergence Σ ∂qᵢ/∂xᵢ of a vector: a sequence of fields, derivatives or functions, or a function returning a vector.

    Example:
        >>> def flux(u, x, y): return (1 + x) * grad(u, x, y)
        >>> apply(lambda u, x, y: div(flux, x, y), {"x": 0.5, "y": 2.0}, {"u": lambda x, y: x * x + y})
        Array(4., dtype=float64)
    """
    _needs_coordinates("div", wrt)
    return functools.reduce(jnp.add, [d(u, x) for u, x in zip(_components("div", q, len(wrt)), wrt, strict=True)])


def laplacian(u: Array | Callable, *wrt: Array) -> Array:
    """Laplacian Σ ∂²u/∂xᵢ² over the coordinates named.

    Example:
        >>> apply(lambda u, x, y: laplacian(u, x, y), {"x": 0.5, "y": 2.0}, {"u": lambda x, y: x**2 + 3 * y**2})
        Array(8., dtype=float64)
    """
    _needs_coordinates("laplacian", wrt)
    return functools.reduce(jnp.add, [d(u, x, x) for x in wrt])


def curl(q: Sequence[Array | Callable] | Callable, *wrt: Array) -> Array:
    """Curl of a vector: ∂q₂/∂x - ∂q₁/∂y in the plane, a vector of three in space. Vectors as for `div`.

    Example:
        >>> swirl = {"u": lambda x, y: -y * x**2, "v": lambda x, y: 3 * x}
        >>> apply(lambda u, v, x, y: curl([u, v], x, y), {"x": 2.0, "y": 1.0}, swirl)
        Array(7., dtype=float64)
    """
    if len(wrt) not in (2, 3):
        raise ResidualError(f"curl() needs the two or three coordinates of space: curl([u, v], x, y); got {len(wrt)}.")
    parts = _components("curl", q, len(wrt))

    def turn(i: int, j: int) -> Array:
        return d(parts[j], wrt[i]) - d(parts[i], wrt[j])

    return turn(0, 1) if len(wrt) == 2 else jnp.stack([turn(1, 2), turn(2, 0), turn(0, 1)])


def at(u: Array | Callable, **where: Array | float) -> Array:
    """The field (derivative, function) u at another point: `at(u, x=0)`, `at(u, t=t - 0.1)`; other coordinates stay.

    The place may depend on coordinates, constants and parameters; it moves with them, so that
    `d(at(u, t=2 * t), t)` is 2 u_t(2t).

    Raises:
        ResidualError: a name that is no coordinate, or a place that depends on a field.

    Example:
        >>> apply(lambda u, x: at(u, x=1.0) - at(u, x=x - 1.0), {"x": 3.0}, {"u": lambda x: x**2})
        Array(-3., dtype=float64)
    """
    frame = current("at")
    names = frame.scope.coordinates
    for name in where:
        if name not in names:
            raise ResidualError(f"at(): {name!r} is not a coordinate; there are {listing(names)}.{suggestion(name, names)}")
    node, path = node_of(frame, u, "at"), frame.next_path()
    moves = {name: _number("at", name, value, frame.point[0].dtype) for name, value in where.items()}
    place = tuple(moves.get(name, x) for name, x in zip(names, frame.point, strict=True))
    moved = Node(node, path, place=_anywhere(frame, path, place))
    return frame.remember(value_of(moved, frame), moved)


def integral(f: Array | Callable, x: Array, lower: Any, upper: Any, *, nodes: int = 32, **fixed: Array) -> Array:
    """∫ f dx from `lower` to `upper` along one coordinate, the others held: `integral(u, x, 0, x)` is ∫₀ˣ u(s) ds.

    By Gauss-Legendre on two panels of `nodes` / 2 each. Where a problem is solved their common end is drawn at random, anew
    for each point, so that a rule too coarse for the integrand shows in the residual held out, and in the estimated error.

    Args:
        f: a field, a derivative of one, or a function of fields and coordinates. In it x is the variable of integration.
        x: a coordinate, as the residual received it.
        lower, upper: numbers, which may depend on coordinates, constants and parameters.
        nodes: more of them for integrands that vary fast.
        fixed: names by which f may ask for coordinates of the point outside: ∫₀ˣ eˢ⁻ˣ u(s) ds is
            `integral(lambda u, x, now: jnp.exp(x - now) * u, x, 0, x, now=x)`.

    Raises:
        ResidualError: x or a fixed value is no coordinate, a limit depends on a field, or f takes values from around it.

    Example:
        >>> apply(lambda y, x: d(y, x) + integral(y, x, 0, x) - 1, {"x": 0.5}, {"y": lambda x: jnp.sin(x)}).round(12)
        Array(0., dtype=float64)
    """
    frame = current("integral")
    axis = axis_of(frame, x, "integral")
    if isinstance(nodes, bool) or not isinstance(nodes, int) or nodes < 2 or nodes % 2:
        raise ResidualError(f"integral(nodes=...) needs an even number of nodes; got {nodes!r}.")
    held = {name: axis_of(frame, value, f"integral({name}=...)") for name, value in fixed.items()}
    inner = replace(frame.scope, extras={**frame.scope.extras, **{name: frame.point[i] for name, i in held.items()}})
    node, path = node_of(frame, f, "integral", inner), frame.next_path()
    dtype = frame.point[axis].dtype
    ends = _number("integral", "lower", lower, dtype), _number("integral", "upper", upper, dtype)
    still = (axis,) if all(isinstance(end, np.ndarray) for end in ends) else ()
    anywhere, split = _anywhere(frame, path, ends), frame.scope.extras.get(SPLIT, 0.5)
    unit, weights = (jnp.asarray(part, dtype) for part in np.polynomial.legendre.leggauss(nodes // 2))
    places = jnp.concatenate([split * (1 + unit) / 2, split + (1 - split) * (1 + unit) / 2])
    shares = jnp.concatenate([split * weights / 2, (1 - split) * weights / 2])

    def spread(point: Point) -> Spread:
        a, b = anywhere(point)
        place = tuple(a + (b - a) * places if i == axis else value for i, value in enumerate(point))
        return Spread(place, (b - a) * shares, {name: point[i] for name, i in held.items()}, still)

    summed = Node(node, path, spread=spread)
    return frame.remember(value_of(summed, frame), summed)


def over_domain(f: Callable) -> Array:
    """∫ f over the domain of the problem, by the places and weights that a condition was given: what `Integral` is made of."""
    frame = current("Integral")
    node, path, extras = node_of(frame, f, "Integral"), frame.next_path(), frame.scope.extras
    place = tuple(extras[PLACES][:, i] for i in range(len(frame.point)))
    summed = Node(node, path, spread=lambda _: Spread(place, extras[WEIGHTS], {}, tuple(range(len(place)))))
    return frame.remember(value_of(summed, frame), summed)


def _anywhere(frame: Frame, path: Path, given: tuple) -> Callable[[Point], tuple]:
    """What the operator called at `path` was given, at any point: there, the function around it is run up to this call."""
    if frame.seeking == path:
        raise Found(given)

    def anywhere(point: Point) -> tuple:
        if all(a is b for a, b in zip(point, frame.point, strict=True)):
            return given
        try:
            run(frame.function, frame.fresh(point=point, locating=True, seeking=path, checking=False, visited={}))
        except Found as found:
            return found.given
        raise ResidualError(
            f"{name_of(frame.function)}() does not make the same calls of at() and integral() every time that it is called."
        )

    return anywhere


def _number(operator: str, name: str, value: Any, dtype: jnp.dtype) -> Any:
    """One number; a constant stays NumPy, so that a total derivative sees that it does not move."""
    number = jnp.array(value, dtype) if isinstance(value, Array) else np.array(value, dtype)
    if number.shape != ():
        raise ResidualError(f"{operator}(): {name} must be one number; got an array of shape {number.shape}.")
    return number


def _needs_coordinates(operator: str, wrt: Sequence) -> None:
    if not wrt:
        raise ResidualError(f"{operator}() needs at least one coordinate to differentiate by: {operator}(u, x).")


def _components(operator: str, q: Sequence[Array | Callable] | Callable, count: int) -> Sequence[Array | Callable]:
    if callable(q):
        return [_component(operator, q, i, count) for i in range(count)]
    if len(q) != count:
        raise ResidualError(f"{operator}() needs one component for each coordinate; got {len(q)} for {count}.")
    return q


def _component(operator: str, q: Callable, i: int, count: int) -> Callable:
    def component(**inputs):
        vector = q(**inputs)
        shape = jnp.shape(vector) if isinstance(vector, Array | np.ndarray) else (len(vector),)
        if len(shape) != 1:
            raise ResidualError(
                f"{operator}() differentiates a vector; {name_of(q)}() returns one number. Return one component for each "
                "coordinate."
            )
        if shape[0] != count:
            raise ResidualError(f"{operator}() needs one component for each coordinate; got {shape[0]} for {count}.")
        return vector[i]

    return named(component, arguments(q), f"{name_of(q)}[{i}]")
