"""Wrong use fails when a problem is built or a solve begins, with a sentence: what was given, what exists, what to do next.

Messages of domains, conditions, networks, operators and methods are tested with those; here are problems, phases, plans and
`solve`.
"""

import inspect
import math
import re

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pinn
from pinn import d, errors
from pinn.errors import (
    DomainError,
    MethodError,
    NetworkError,
    PinnError,
    PinnWarning,
    ProblemError,
    ResidualError,
    listing,
    suggestion,
)

LINE = pinn.Interval(x=(0, 1))
GOOD = {
    "fields": "u",
    "domain": LINE,
    "residual": lambda u, x: d(u, x, x) + 1,
    "conditions": [pinn.Dirichlet(u=0.0, on=LINE.boundary)],
}


def build(**changes):
    return pinn.Problem(**(GOOD | changes))


@pytest.fixture(scope="module")
def problem():
    return build()


# --- arguments without a name


@pytest.mark.parametrize(
    ("make", "kind", "example"),
    [
        (lambda: pinn.Interval((0, 5)), DomainError, "Interval(x=(0, 5)); got (0, 5) without one"),
        (lambda: pinn.Disk(0, 0, 1), DomainError, "Disk(x=0, y=0, radius=1); got 0 without one"),
        (lambda: pinn.Polygon([(0, 0), (1, 0), (0, 1)]), DomainError, "Polygon(x=[0, 1, 0], y=[0, 0, 1])"),
        (lambda: pinn.Dirichlet(0.0, on=LINE.boundary), ProblemError, "Dirichlet(u=0.0, on=domain.boundary)"),
        (lambda: pinn.Initial(1.0), ProblemError, "Initial(u=1.0)"),
        (lambda: pinn.Points([0.1, 0.2]), ProblemError, "Points(x=[0.2, 0.7])"),
        (lambda: pinn.Problem("u", LINE), ProblemError, "Problem(fields='u', domain=domain,"),
    ],
)
def test_arguments_are_given_by_name(make, kind, example):
    with pytest.raises(kind, match=re.escape(example)):
        make()


def test_the_signature_is_that_of_the_arguments():
    assert list(inspect.signature(pinn.Disk).parameters) == ["radius", "centre"]


# --- problems


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        # fields
        ({"fields": 5}, r"fields= needs names, such as 'u' or 'u v p'; got 5"),
        ({"fields": ""}, r"fields= needs names, such as 'u' or 'u v p'; got ''"),
        ({"fields": []}, r"fields= needs names.*got \[\]"),
        ({"fields": ["u", 3]}, r"fields= needs names.*got \['u', 3\]"),
        ({"fields": None}, r"fields= needs names.*got None"),
        ({"fields": "u u"}, r"fields= names a field twice: 'u', 'u'"),
        ({"fields": {}}, r"fields= needs names.*got {}"),
        ({"fields": {"u": "z"}}, r"The field 'u' depends on 'z'; the coordinates are 'x'"),
        ({"fields": {"u": ""}}, r"The field 'u' depends on none; the coordinates are 'x'"),
        ({"fields": {"u": 3}}, r"field 'u'.*(3|coordinates)"),
        ({"fields": {3: "x"}}, r"fields=.*3|3.*cannot name a field"),
        ({"fields": "u v"}, r"does not use the fields 'v': nothing determines them inside the domain"),
        # names that clash or are taken
        ({"fields": "x"}, r"'x' is both a coordinate and a field. Rename one: residuals tell them apart by name"),
        ({"constants": {"u": 1.0}}, r"'u' is both a field and a constant"),
        ({"constants": {"x": 1.0}}, r"'x' is both a coordinate and a constant"),
        (
            {"constants": {"k": 1.0}, "parameters": {"k": pinn.Parameter(1.0)}},
            r"'k' is both a constant and a parameter",
        ),
        ({"fields": "normal"}, r"'normal' cannot name a field: .* not one of 'on', 'normal', 'name', 'sigma'"),
        ({"fields": "on"}, r"'on' cannot name a field"),
        ({"fields": "name"}, r"'name' cannot name a field"),
        ({"fields": "sigma"}, r"'sigma' cannot name a field"),
        ({"fields": "lambda"}, r"'lambda' cannot name a field: it must be a Python name"),
        ({"fields": ["u t"]}, r"'u t' cannot name a field: it must be a Python name"),
        ({"constants": {"normal": 1.0}}, r"'normal' cannot name a constant"),
        ({"parameters": {"sigma": pinn.Parameter(1.0)}}, r"'sigma' cannot name a parameter"),
        ({"constants": {1: 2.0}}, r"1.*cannot name a constant"),
        # domain, residual, name
        ({"domain": (0, 1)}, r"domain= needs a domain such as Interval\(x=\(0, 1\)\) or Box\(.*\), or a dict.*; got \(0, 1\)"),
        ({"domain": LINE.boundary}, r"domain= needs a domain such as.*got boundary of"),
        ({"domain": pinn.Interval}, r"domain= needs a domain such as"),
        ({"residual": None}, r"residual= needs a function of fields and coordinates; got None"),
        ({"residual": [lambda u, x: u]}, r"residual= needs a function of fields and coordinates; got \["),
        ({"residual": "u_xx"}, r"residual= needs a function of fields and coordinates; got 'u_xx'"),
        ({"name": 5}, r"name= needs.*got 5"),
        # conditions
        ({"conditions": None}, r"conditions= needs a list of conditions, such as \[Dirichlet\(u=0.0, on=...\)\]; got None"),
        ({"conditions": [None]}, r"conditions= holds None, which is no condition. Use Dirichlet, Condition\(residual, on=...\)"),
        ({"conditions": [GOOD["residual"]]}, r"conditions= holds <function.*which is no condition"),
        ({"conditions": "u = 0"}, r"conditions= needs a list of conditions.*got 'u = 0'"),
        ({"conditions": (c for c in GOOD["conditions"])}, r"conditions= needs a list of conditions"),
        ({"conditions": {"ends": GOOD["conditions"][0]}}, r"conditions= needs a list of conditions"),
        # constants and parameters
        ({"constants": {"k": "big"}}, r"The constant 'k' must be a number; got 'big'"),
        ({"constants": {"k": None}}, r"The constant 'k' must be a number; got None"),
        ({"constants": {"k": np.ones(3)}}, r"The constant 'k' must be a number; got array"),
        ({"constants": {"k": 1j}}, r"The constant 'k' must be a number; got 1j"),
        ({"constants": {"k": math.nan}}, r"The constant 'k' must be finite; got nan"),
        ({"constants": {"k": pinn.Parameter(1.0)}}, r"The constant 'k' must be a number; got Parameter.*"),
        ({"constants": 0.1}, r"constants= needs .*dict.*got 0.1"),
        ({"constants": [("k", 1.0)]}, r"constants= needs .*dict.*got \[\('k', 1.0\)\]"),
        ({"parameters": {"k": 1.0}}, r"parameters={'k': ...} needs Parameter\(initial\); got 1.0. Known numbers go to"),
        ({"parameters": pinn.Parameter(1.0)}, r"parameters= needs .*dict.*got Parameter"),
        ({"parameters": ["k"]}, r"parameters= needs .*dict.*got \['k'\]"),
        ({"parameters": {"k": pinn.Parameter(1.0)}}, r"Nothing asks for the parameters 'k'; the residual or a condition must"),
        # references
        ({"reference": 5}, r"reference= needs a function of the coordinates 'x'; got 5"),
        ({"reference": np.zeros(3)}, r"reference= needs a function of the coordinates 'x'; got array"),
        ({"reference": lambda z: z}, r"the reference, asks for 'z'; a reference is a function of the coordinates 'x'"),
        ({"reference": lambda xx: xx}, r"the reference, asks for 'xx'.*Did you mean 'x'"),
        ({"reference": lambda u: u}, r"the reference, asks for 'u'"),
        ({"reference": lambda x: np.ones(7)}, r"'u' has shape \(7,\) at 16 points; it must return one value a point, \(16,\)"),
        ({"reference": lambda x: np.ones((3, 1))}, r"has shape \(3, 1\) at 16 points; it must return one value a point"),
        ({"reference": lambda x: {"v": x}}, r"The reference returns 'v'; the fields are 'u'"),
        ({"reference": lambda x: None}, r"reference.*(None|return)"),
        ({"reference": lambda x: x * 1j}, r"reference.*(complex|real)"),
        ({"reference": lambda x: "sin"}, r"reference.*(str|'sin'|number)"),
        ({"reference": lambda x: math.sin(x)}, r"reference.*(array|NumPy)"),
        ({"reference": lambda x: x * np.nan}, r"reference.*(nan|finite)"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)  # fmt: skip
def test_problems(changes, message):
    with pytest.raises(ProblemError, match=message):
        build(**changes)


def test_a_reference_of_several_fields_is_a_dict():
    with pytest.raises(
        ProblemError, match=r"the reference, returns one array for 2 fields; return a dict of arrays by field: 'u', 'v'"
    ):
        build(
            fields="u v",
            residual=lambda u, v, x: (d(u, x) - v, d(v, x) + u),
            conditions=[pinn.Dirichlet(u=0.0, v=1.0, on=LINE.at(x=0))],
            reference=lambda x: np.sin(x),
        )


@pytest.mark.parametrize(
    ("residual", "message"),
    [
        (lambda u, t: d(u, t), r"<lambda>\(\) asks for 't'; this problem has fields 'u', coordinates 'x', constants .* 'rate'"),
        (lambda u, x, rates: u * rates, r"asks for 'rates'; .*Did you mean 'rate'\?"),
        (lambda u, x, normal: u * normal[0], r"asks for 'normal'"),
        (lambda u, x: jnp.array([u, d(u, x)]), r"<lambda>\(\) returns an array of shape \(2,\)"),
        (lambda u, x: None, r"returns NoneType; a number is needed. Is a return missing\?"),
        (lambda u, x: d(u, x) > 0, r"returns bool"),
        (lambda u, x: jnp.exp(1j * u), r"returns complex128; a real number is needed. Split a complex equation in two parts"),
        (lambda u, x: x**2 - 1, r"depends on no field"),
        (lambda u, x: u if u > 0 else -u, r"branches on a value .*use jnp.where"),
        (lambda u, x: np.exp(u), r"uses NumPy or math on a traced value: use jax.numpy"),
        (lambda u, x: math.exp(u), r"uses NumPy or math on a traced value: use jax.numpy"),
        (lambda u, x: d(u, "x"), r"the second argument must be one of the coordinates 'x', as the function received it; got 'x'"),
        (lambda u, x: u.missing, r"<lambda>\(\) fails when it is called at one point: AttributeError"),
    ],
    ids=range(13),
)  # fmt: skip
def test_residuals(residual, message):
    with pytest.raises(ResidualError, match=message):
        build(residual=residual, constants={"rate": 1.0})


def test_a_residual_that_is_named_is_named_in_its_message():
    def energy_balance(u, y):
        return d(u, y)

    with pytest.raises(ResidualError, match=r"^energy_balance\(\) asks for 'y'"):
        build(residual=energy_balance)


@pytest.mark.parametrize(
    ("initial", "options", "message"),
    [
        (math.nan, {}, r"Parameter\(\) needs a finite number to start from; got nan"),
        (math.inf, {}, r"needs a finite number to start from; got inf"),
        (True, {}, r"needs a finite number to start from; got True"),
        ([1.0], {}, r"needs a finite number to start from; got \[1.0\]"),
        (None, {}, r"needs a finite number to start from; got None"),
        ("0.1", {}, r"needs a finite number to start from; got '0.1'"),
        (1j, {}, r"needs a finite number to start from; got 1j"),
        (0.0, {"positive": True}, r"Parameter\(positive=True\) needs a positive number to start from; got 0.0"),
        (-1.0, {"positive": True}, r"needs a positive number to start from; got -1.0"),
    ],
)
def test_parameters(initial, options, message):
    with pytest.raises(ProblemError, match=message):
        pinn.Parameter(initial, **options)


# --- phases, plans, solve


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pinn.Phase("adam", steps=10), r"Phase\(\) needs an optax transformation such as optax.adam\(1e-3\); got 'adam'"),
        (lambda: pinn.Phase(optax.adam, steps=10), r"Phase\(\) needs an optax transformation"),
        (lambda: pinn.Phase(None, steps=10), r"Phase\(\) needs an optax transformation.*got None"),
        (lambda: pinn.Phase(optax.adam(1e-3), steps=0), r"Phase\(steps=...\) must be a positive whole number; got 0"),
        (lambda: pinn.Phase(optax.adam(1e-3), steps=1e3), r"Phase\(steps=...\) must be a positive whole number; got 1000.0"),
        (lambda: pinn.Phase(optax.adam(1e-3), steps=True), r"Phase\(steps=...\) must be a positive whole number; got True"),
        (lambda: pinn.Phase(optax.adam(1e-3), steps=None), r"Phase\(steps=...\) must be a positive whole number; got None"),
    ],
)
def test_phases(make, message):
    with pytest.raises(MethodError, match=message):
        make()


def test_steps_may_be_a_whole_number_of_numpy():
    assert pinn.Phase(optax.adam(1e-3), steps=np.int64(5)).steps == 5


OPTIONS = [
    ({"tol": -1e-3}, ProblemError, r"tol must be a positive number or None; got -0.001"),
    ({"tol": 0}, ProblemError, r"tol must be a positive number or None; got 0"),
    ({"tol": math.nan}, ProblemError, r"tol must be a positive number or None; got nan"),
    ({"tol": "1e-3"}, ProblemError, r"tol must be a positive number or None; got '1e-3'"),
    ({"tol": True}, ProblemError, r"tol must be a positive number or None; got True"),
    ({"time_limit": 0}, ProblemError, r"time_limit must be a positive number or None; got 0"),
    ({"time_limit": -5.0}, ProblemError, r"time_limit must be a positive number or None; got -5.0"),
    ({"time_limit": "1 min"}, ProblemError, r"time_limit must be a positive number or None; got '1 min'"),
    ({"dtype": "float16"}, ProblemError, r"dtype must be 'float64', 'float32' or 'mixed'; got 'float16'"),
    ({"dtype": 64}, ProblemError, r"dtype must be 'float64', 'float32' or 'mixed'; got 64"),
    ({"points": 0}, ProblemError, r"points= needs positive whole numbers; got 0 for 'equation'"),
    ({"points": -5}, ProblemError, r"points= needs positive whole numbers; got -5 for 'equation'"),
    ({"points": 2.5}, ProblemError, r"points= needs .*got 2.5"),
    ({"points": "many"}, ProblemError, r"points= needs .*got 'many'"),
    ({"points": [100]}, ProblemError, r"points= needs .*got \[100\]"),
    ({"points": True}, ProblemError, r"points= needs positive whole numbers; got True"),
    ({"points": {"equation": 10.5}}, ProblemError, r"points= needs positive whole numbers; got 10.5 for 'equation'"),
    ({"points": {"inside": 10}}, ProblemError, r"points= names the term 'inside'; there are \[?'equation', 'condition', 'Dir"),
    ({"points": {"equations": 10}}, ProblemError, r"'equations'.*Did you mean 'equation'"),
    ({"method": optax.adam(1e-3)}, MethodError, r"method= needs pinn.Phase\(optax.adam\(1e-3\), steps=5000\), or a list"),
    ({"method": "adam"}, MethodError, r"method= needs pinn.Phase.*got 'adam'"),
    ({"method": [optax.adam(1e-3)]}, MethodError, r"method= needs pinn.Phase\(.*or a list of phases; got"),
    ({"method": []}, MethodError, r"method= needs pinn.Phase\(.*or a list of phases; got \[\]"),
    ({"method": 5}, MethodError, r"method= needs pinn.Phase\(.*got 5"),
    ({"network": 5}, NetworkError, r"network= .*got 5"),
    ({"network": "MLP"}, NetworkError, r"network= .*got 'MLP'"),
    ({"engine": "taylor"}, (ProblemError, MethodError), r"engine= .*pinn.taylor.*got 'taylor'"),
    ({"exact_conditions": "no"}, ProblemError, r"exact_conditions.*None, True or False.*got 'no'"),
    ({"exact_conditions": 0}, ProblemError, r"exact_conditions.*None, True or False.*got 0"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "kind", "message"), OPTIONS, ids=lambda value: str(value)[:30])
def test_plans(problem, options, kind, message):
    with pytest.raises(kind, match=message):
        pinn.recommend(problem, **options)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        *OPTIONS[:1],
        ({"dtype": "double"}, ProblemError, r"dtype must be 'float64', 'float32' or 'mixed'; got 'double'"),
        ({"key": -1}, ProblemError, r"key= needs a whole number of at least 0; got -1"),
        ({"key": 1.5}, ProblemError, r"key= needs a whole number or a jax.random.key; got 1.5"),
        ({"key": "seed"}, ProblemError, r"key= needs a whole number or a jax.random.key; got 'seed'"),
        ({"key": None}, ProblemError, r"key= needs a whole number or a jax.random.key; got None"),
        ({"key": True}, ProblemError, r"key= needs a whole number or a jax.random.key; got True"),
        ({"key": jnp.array([0.5])}, ProblemError, r"key= needs a whole number or a jax.random.key"),
        ({"network": 5}, NetworkError, r"network= .*got 5"),
    ],
    ids=range(9),
)
def test_solves(problem, options, kind, message):
    """Before anything is trained: none of these takes a second."""
    with pytest.raises(kind, match=message):
        pinn.solve(problem, progress=False, **options)


@pytest.mark.parametrize("wrong", [None, GOOD, "problem", GOOD["residual"]], ids=["None", "dict", "str", "function"])
def test_what_is_no_problem(wrong):
    for ask in (pinn.solve, pinn.recommend):
        with pytest.raises(ProblemError, match=r"needs a pinn.Problem or a pinn.OperatorProblem; got "):
            ask(wrong)


# --- the errors themselves


def test_every_error_is_one_of_the_packages_and_of_pythons():
    """So that `except PinnError` catches all, and `except ValueError` what is one."""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
    for kind in kinds:
        if issubclass(kind, Warning):
            assert issubclass(kind, PinnWarning) and issubclass(kind, UserWarning)
        else:
            assert issubclass(kind, PinnError)
            assert kind is PinnError or issubclass(kind, ValueError | TypeError | RuntimeError | MemoryError)
        assert kind.__doc__


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("temprature", ["temperature", "pressure"], " Did you mean 'temperature'?"),
        ("uu", ["u", "v"], " Did you mean 'u'?"),
        ("q", ["u", "v"], ""),
        ("q", [], ""),
    ],
)
def test_a_near_name_is_suggested(name, known, text):
    assert suggestion(name, known) == text


def test_names_are_listed():
    assert (listing("uv"), listing([]), listing([1])) == ("'u', 'v'", "none", "'1'")
