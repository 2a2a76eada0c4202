"""What several tests need: random networks that stand for a problem's fields, and residuals at points."""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import pinn
from pinn.ansatz import choose_engine, wrap
from pinn.approximation import together
from pinn.exact import plan_exact
from pinn.expression import field_functions, read_leaves
from pinn.loss import Objective, Weights, draw, objective, residuals, start_unknown
from pinn.networks import Encoding

SMALL = partial(pinn.MLP, width=6, depth=2)


def random_network(
    problem: pinn.Problem,
    make: Callable = SMALL,
    *,
    engine: Callable | None = None,
    exact: bool | None = None,
    key: int = 3,
    dtype=jnp.float64,
) -> tuple[Objective, Weights]:
    """A fresh network around the conditions that are met by construction, and every term of the problem."""
    met = plan_exact(problem, exact)
    parts, states = [], []
    for i, (axes, fields, lower, upper, *_) in enumerate(problem.groups()):
        encoding = Encoding(lower[list(axes)], upper[list(axes)], tuple(met.periodic[axis] for axis in axes))
        network = make(encoding.size, len(fields), rngs=nnx.Rngs(key + i), dtype=dtype)
        scale = jnp.linspace(1.0, 2.0, len(fields), dtype=dtype)
        part, state = wrap(network, fields, axes, encoding, met, scale, engine or choose_engine(network))
        parts.append(part)
        states.append(state)
    approximation = together(problem.fields, tuple(parts))
    return objective(problem, approximation, met, every=True), Weights(tuple(states), start_unknown(problem, dtype))


def residuals_at(goal: Objective, weights: Weights, count: int = 20, seed: int = 1, dtype=jnp.float64) -> dict[str, np.ndarray]:
    """The residuals [n, K] of every term at random points, by name."""
    batches = draw(goal, {"equation": count, "condition": count}, (seed,), dtype)
    found = residuals(goal, weights, batches)
    return {term.name: np.asarray(values) for term, values in zip(goal.terms, found, strict=True)}


def of_known_fields(
    problem: pinn.Problem, term, fields: Mapping[str, Callable], count: int = 20, **parameters: float
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """A term at random points of its own for fields in closed form: the inputs by name, [n] each, and its values [n, K]."""
    expression, names = term.expression, problem.domain.coordinates
    points, columns = term.sample(problem.domain, count, (1,))
    functions = field_functions(fields, names)

    def value(point, columns):
        extras = {name: jnp.asarray(x) for name, x in (problem.known() | parameters | columns).items()}
        return expression.value(point, read_leaves(expression, functions, point, extras), extras)

    values = jax.jit(jax.vmap(value))(jnp.asarray(points), {name: jnp.asarray(c) for name, c in columns.items()})
    return dict(zip(names, points.T, strict=True)) | columns, np.asarray(values)


class Polynomial:
    """Σ cᵢⱼ xⁱ yʲ with exact integer coefficients: an oracle that knows neither JAX nor the package."""

    def __init__(self, terms: dict[tuple[int, int], int]):
        self.terms = {powers: c for powers, c in terms.items() if c}

    def __add__(self, other: "Polynomial") -> "Polynomial":
        return Polynomial({p: self.terms.get(p, 0) + other.terms.get(p, 0) for p in self.terms | other.terms})

    def __mul__(self, other: "Polynomial") -> "Polynomial":
        found: dict[tuple[int, int], int] = {}
        for (i, j), a in self.terms.items():
            for (k, m), b in other.terms.items():
                found[i + k, j + m] = found.get((i + k, j + m), 0) + a * b
        return Polynomial(found)

    def by(self, axis: int) -> "Polynomial":
        lower = (-1, 0) if axis == 0 else (0, -1)
        return Polynomial({(p[0] + lower[0], p[1] + lower[1]): p[axis] * c for p, c in self.terms.items() if p[axis]})

    def moved(self, to: list["Polynomial"]) -> "Polynomial":
        """The polynomial in other arguments."""
        total = Polynomial({})
        for (i, j), c in self.terms.items():
            product = Polynomial({(0, 0): c})
            for factor in [to[0]] * i + [to[1]] * j:
                product = product * factor
            total = total + product
        return total

    def __call__(self, x, y):
        return sum((c * x**i * y**j for (i, j), c in self.terms.items()), start=0.0)

    def size(self, x: float, y: float) -> float:
        return sum(abs(c) * abs(x) ** i * abs(y) ** j for (i, j), c in self.terms.items())
