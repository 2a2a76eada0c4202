"""What a traced function depends on, read from its jaxpr: which outputs use which inputs, and whether they are affine in them."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal


def dependence(fn: Callable, *inputs: object) -> np.ndarray:
    """Which flat outputs of fn(*inputs) use which flat inputs: [outputs, inputs] of bool.

    False is certain. True may be cautious: a primitive's outputs count as using all of its inputs, unless it is a call
    (jit, a custom derivative), which is looked into.

    Example:
        >>> dependence(lambda x, y: (x + 1, 0 * y), 1.0, 2.0)
        array([[ True, False],
               [False,  True]])
    """
    closed = jax.make_jaxpr(fn)(*inputs)
    return _uses(closed.jaxpr)


def is_affine(fn: Callable, at: jax.Array, *others: object) -> bool:
    """Whether fn(at, *others) is affine in its first argument.

    Its Jacobian must not use that argument, and nothing in it may be decided by that argument (a comparison, an index).

    Example:
        >>> import jax.numpy as jnp
        >>> is_affine(lambda u: 3 * u + 1, jnp.zeros(2)), is_affine(lambda u: u[0] * u, jnp.zeros(2))
        (True, False)
    """
    if dependence(lambda u: jax.jacfwd(fn)(u, *others), at).any():
        return False
    closed = jax.make_jaxpr(fn)(at, *others)
    first = len(jax.tree.leaves(at))
    return not _decides(closed.jaxpr, np.arange(len(closed.jaxpr.invars)) < first)


def captured(fn: Callable, *inputs: object) -> bool:
    """Whether fn uses a traced value that is none of its inputs: taken from a trace around it, by whatever route."""
    return any(isinstance(const, Tracer) for const in jax.make_jaxpr(fn)(*inputs).consts)


def _decides(jaxpr: Jaxpr, given: np.ndarray) -> bool:
    """Whether something that is no real number is computed from the given inputs [n] of bool."""
    known = dict(zip(jaxpr.invars, given, strict=True))

    def of(var) -> bool:
        return not isinstance(var, Literal) and bool(known.get(var, False))

    for equation in jaxpr.eqns:
        inputs = np.array([of(var) for var in equation.invars], bool)
        inner = _called(equation)
        if inner is not None:
            if _decides(inner, inputs):
                return True
            outputs = [bool(np.any(row & inputs)) for row in _uses(inner)]
        else:
            outputs = [bool(inputs.any())] * len(equation.outvars)
            if inputs.any() and any(not np.issubdtype(_dtype(var), np.inexact) for var in equation.outvars):
                return True
        known |= dict(zip(equation.outvars, outputs, strict=True))
    return False


def _dtype(var) -> np.dtype:
    return var.aval.dtype


def _uses(jaxpr: Jaxpr) -> np.ndarray:
    width = len(jaxpr.invars)
    nothing = np.zeros(width, bool)
    uses = {var: row for var, row in zip(jaxpr.invars, np.eye(width, dtype=bool), strict=True)}

    def of(var) -> np.ndarray:
        return nothing if isinstance(var, Literal) else uses.get(var, nothing)

    for equation in jaxpr.eqns:
        inputs = np.array([of(var) for var in equation.invars]).reshape(-1, width)
        inner = _called(equation)
        outputs = _uses(inner) @ inputs if inner is not None else np.tile(inputs.any(axis=0), (len(equation.outvars), 1))
        for var, row in zip(equation.outvars, outputs, strict=True):
            uses[var] = row
    return np.array([of(var) for var in jaxpr.outvars]).reshape(-1, width)


def _called(equation) -> Jaxpr | None:
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        inner = equation.params.get(name)
        inner = inner.jaxpr if isinstance(inner, ClosedJaxpr) else inner
        if isinstance(inner, Jaxpr):
            same = len(inner.invars) == len(equation.invars) and len(inner.outvars) == len(equation.outvars)
            return inner if same and equation.primitive.name not in ("scan", "while", "cond") else None
    return None
