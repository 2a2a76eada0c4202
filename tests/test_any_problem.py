"""Random problem definitions, most of them wrong somewhere: each is accepted, or refused with an exception of `pinn`.

Names, shapes, signs, domains and numbers are drawn, undefined ones included. Never may another exception be the last word, nor
may a message be empty. What is accepted is planned; some of it is solved.
"""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

import pinn
from pinn.errors import PinnError

NAMES = ["x", "y", "t", "u", "v", "k", "normal", "on", "lambda", "", "x y", 3, None, "é", "_"]
NUMBERS = [0, 1, -1, 2.5, 1e-300, 1e300, math.nan, math.inf, -math.inf, 1j, True, None, "1", np.float32(0.5), np.ones(2), [0.0]]
PLACES = ["boundary", "x=0", "x=1", "y=0", "t=0", "x=(0, 1)", "x=0.5", "z=0", "x=None", "x=float('nan')", "none"]
KINDS = ["Dirichlet", "Neumann", "Robin", "Initial", "InitialVelocity", "Periodic", "Data", "Condition", "Integral"]
VALUES = [
    "0.0",
    "lambda x: x",
    "lambda z: z",
    "(1.0, 1.0, 0.0)",
    "(1, 2)",
    "jnp.zeros(3)",
    "float('nan')",
    "None",
    "'0'",
    "lambda x: [x]",
    "lambda: 0.0",
    "1j",
]
SCOPE = vars(pinn) | {"jnp": jnp, "np": np, "math": math, "float": float}

EXPRESSIONS = [
    "d(u, x, x) + 1", "d(u, x) - u", "d(u, x) + k * u", "d(u, x, x) + d(u, y, y)", "d(u, t) - d(u, x, x)", "u * d(u, x) - 1",
    "laplacian(u, x, y) + u**3", "(d(u, x), d(v, x))", "{'a': d(u, x), 'b': d(v, x) + u}", "d(v, x) + u", "d(u, z)", "d(u)",
    "d(3.0, x)", "d(u, u)", "d(x, u)", "u + w", "None", "'u'", "[d(u, x)]", "()", "{}", "True", "u > 0",
    "math.sin(u)", "np.sin(u) + d(u, x)", "jnp.ones(3) * u", "u[0]", "u.shape[0]", "1 / 0", "1j * u", "d(u, x) * float('nan')",
    "jnp.sqrt(-1 - u**2) + d(u, x)", "u / 0 + d(u, x)", "at(u, x=0) - u", "at(u, z=0)", "at(u, x=u)", "grad(u, x)",
    "div(grad(u, x), x)", "normal @ grad(u, x)", "integral(u, x=(0, 1))", "integral(u, x=(1, 0)) + d(u, x)",
    "jnp.float32(1) * d(u, x)", "d(u, x) if u > 0 else u",
    "undefined", "u(x)", "d(u, x, x, x, x) - u", "jnp.where(x > 0.5, u, 0.0)", "x", "0.0", "d(u, 'x')", "d(u, x, 2)", "u + [1]",
]  # fmt: skip


@st.composite
def domains(draw):
    """A domain as source, parts of it wrong as often as not."""
    end = st.sampled_from(["0", "1", "-1", "2", "0.5", "float('nan')", "float('inf')", "None", "'a'", "1j", "np.ones(2)"])
    good = draw(st.booleans())
    pair = "(0, 1)" if good else f"({draw(end)}, {draw(end)})"
    names = draw(
        st.sampled_from([("x",), ("x", "y"), ("t", "x"), ("t",), ("x", "y", "z")] + ([] if good else [(), ("x", "normal")]))
    )
    box = f"{'Interval' if len(names) == 1 else 'Box'}({', '.join(f'{name}={pair}' for name in names)})"
    if good:
        return box
    shapes = [
        f"Disk(x={draw(end)}, y=0.5, radius={draw(end)})",
        f"Ball(x=0, y=0, z=0, radius={draw(end)})",
        f"Polygon(x=[0, {draw(end)}, 1, 0], y=[0, 0, 1, {draw(end)}])",
        f"Ellipse(x=0, y=0, radii=({draw(end)}, 1))",
        box,
        box,
    ]
    first, second = draw(st.sampled_from(shapes)), draw(st.sampled_from(shapes))
    sign = draw(st.sampled_from(["", "-", "+", "&", "*"]))
    return f"({first}) {sign} ({second})" if sign else first


@st.composite
def functions(draw, extra=""):
    """A function of names that exist or do not."""
    arguments = draw(
        st.sampled_from(["u, x", "u, x, y", "u, t, x", "u, v, x", "u, x, k", "u", "x", "", "u, w", "*u", "**u", "u=1, x=2"])
    )
    return f"(lambda {arguments}{extra}: {draw(st.sampled_from(EXPRESSIONS))})"


@st.composite
def conditions(draw):
    """A condition as source."""
    kind = draw(st.sampled_from(KINDS))
    value = draw(st.sampled_from(VALUES))
    place = draw(st.sampled_from(PLACES))
    on = {"boundary": "domain.boundary", "none": "3"}.get(place, f"domain.at({place})")
    field = draw(st.sampled_from(["u", "u", "u", "v", "w"]))
    if kind == "Condition":
        return f"Condition({draw(functions())}, on={on})"
    if kind == "Periodic":
        return f"Periodic({draw(st.sampled_from(['x', 'y', 'z', 3]))!r})"
    if kind == "Integral":
        return f"Integral({draw(functions())}, equals={value})"
    if kind == "Data":
        columns = draw(
            st.sampled_from(
                ["x=[0.1, 0.2], u=[1, 2]", "x=[0.1], u=[1, 2]", "x=[0.1, 5.0], u=[1, float('nan')]", "u=[1.0]", "", "x='a', u=1"]
            )
        )
        return f"Data({columns})"
    if kind.startswith("Initial"):
        return f"{kind}({field}={value})"
    return f"{kind}({field}={value}, on={on})"


SENSIBLE = [
    ("Interval(x=(0, 1))", "(lambda u, x: d(u, x, x) + 1)", "[Dirichlet(u=0.0, on=domain.boundary)]"),
    ("Interval(x=(0, 1))", "(lambda u, x: d(u, x) + u**2)", "[Initial(u=1.0)]"),
    ("Box(t=(0, 1), x=(0, 1))", "(lambda u, t, x: d(u, t) - d(u, x, x))", "[Initial(u=lambda x: x), Periodic('x')]"),
    ("Box(x=(0, 1), y=(0, 1))", "(lambda u, x, y: laplacian(u, x, y) + u)", "[Dirichlet(u=1.0, on=domain.boundary)]"),
    ("Disk(x=0, y=0.5, radius=1)", "(lambda u, x, y: laplacian(u, x, y))", "[Neumann(u=0.0, on=domain.boundary)]"),
]


@st.composite
def definitions(draw, least, most):
    """The source of everything that `Problem` is given: a sensible problem, some parts of which are exchanged for others."""
    domain, residual, given_conditions = draw(st.sampled_from(SENSIBLE))
    value, name = draw(st.integers(0, len(NUMBERS) - 1)), draw(st.integers(0, len(NAMES) - 1))
    given = {"fields": "'u'", "residual": residual, "conditions": given_conditions}
    others = {
        "domain": domains(),
        "fields": st.sampled_from(["'u v'", "'u x'", "''", "3", "{'u': 'x'}", "{'u': 'x', 'v': 'q'}", "['u', None]"]),
        "residual": functions(),
        "conditions": st.lists(conditions(), max_size=3).map(lambda each: f"[{', '.join(each)}]"),
        "one more": conditions(),
        "constants": st.sampled_from([f"{{NAMES[{name}]: NUMBERS[{value}]}}", "{'k': 1.0}", "3"]),
        "parameters": st.sampled_from(
            [f"{{'k': Parameter(NUMBERS[{value}])}}", "{'k': Parameter(1.0, positive=True)}", "{'k': 2}"]
        ),
        "reference": st.sampled_from(["lambda x: x", "lambda z: z", "lambda x: x[:3]", "lambda x: None", "3", "lambda x: 1 / 0"]),
    }
    for part in draw(st.lists(st.sampled_from(list(others)), min_size=least, max_size=most, unique=True)):
        given[part] = draw(others[part])
    if "one more" in given:
        given["conditions"] = f"{given['conditions']} + [{given.pop('one more')}]"
    return given.pop("domain", domain), given


def attempt(definition):
    """Build and plan a problem; returns it, or None where it was refused."""
    domain, given = definition
    scope = SCOPE | {"NAMES": NAMES, "NUMBERS": NUMBERS}
    try:
        scope["domain"] = eval(domain, scope)
        arguments = {name: eval(source, scope) for name, source in given.items()}
        problem = pinn.Problem(domain=scope["domain"], **arguments)
        str(pinn.recommend(problem))
    except PinnError as error:
        assert len(str(error)) > 20, f"{error!r} says too little"
        event(f"refused: {type(error).__name__}")
        return None
    event("accepted")
    return problem


HERE = settings(suppress_health_check=list(HealthCheck))


@pytest.mark.filterwarnings("ignore")
@settings(HERE, max_examples=10)
@given(definitions(1, 3))
def test_it_is_accepted_or_refused_in_words(definition):
    attempt(definition)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore")
@settings(HERE, max_examples=2000)
@given(definitions(2, 5))
def test_thousands_are_accepted_or_refused_in_words(definition):
    attempt(definition)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore")
@settings(HERE, max_examples=100)
@given(definitions(0, 2))
def test_what_is_accepted_is_solved_or_refused_in_words(definition):
    problem = attempt(definition)
    assume(problem is not None)
    try:
        solution = pinn.solve(problem, time_limit=3, progress=False)
    except PinnError as error:
        assert len(str(error)) > 20
    else:
        assert solution.trust is pinn.Trust.UNKNOWN or all(map(np.isfinite, solution.error_estimate.values()))
