"""Saved solutions: what comes back, which problems they belong to, and that no damage goes unseen."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from helpers import SMALL, random_network
from jax import export

import pinn
from pinn import d, saving
from pinn.approximation import Sum
from pinn.defaults import recommend
from pinn.derivatives import Activation
from pinn.domains import Ball
from pinn.errors import CheckpointError, NetworkError, ProblemWarning, SolutionError
from pinn.estimate import Estimate
from pinn.exact import plan_exact
from pinn.families import Family, feature_ansatz
from pinn.features import Setup
from pinn.fingerprint import check_same, fingerprint
from pinn.history import History, Record
from pinn.kinds import describe
from pinn.loss import Weights, objective

BOX = pinn.Box(t=(0, 1), x=(-1, 1))
FILES = ("solution.json", "arrays.npz", "values.stablehlo", "SHA256SUMS")


def decay(rate: float = 1.0, start: float = 1.0, end: float = 1.0) -> pinn.Problem:
    return pinn.Problem(
        fields="y",
        domain=pinn.Interval(t=(0, end)),
        residual=lambda y, t, rate: d(y, t) + rate * y,
        conditions=[pinn.Initial(y=start)],
        constants={"rate": rate},
        reference=lambda t: start * np.exp(-rate * t),
        name="decay",
    )


def mixed() -> pinn.Problem:
    """Two fields, one of them of x alone, periodic and given ends, and an unknown parameter."""
    return pinn.Problem(
        fields={"u": "t x", "k": "x"},
        domain=BOX,
        residual=lambda u, k, t, x, c: (d(u, t) - k * d(u, x, x) + c * u, d(k, x) - u),
        conditions=[pinn.Initial(u=lambda x: jnp.cos(jnp.pi * x)), pinn.Periodic("x")],
        parameters={"c": pinn.Parameter(0.5, positive=True)},
    )


def untrained(problem: pinn.Problem, make: Callable = SMALL, dtype=jnp.float64) -> pinn.Solution:
    """A solution by a random network, with an error correction by random features: all that saving needs, without a solve."""
    exact, family = plan_exact(problem, None), Family(pinn.tanh, (2.0,) * problem.domain.dimension)
    goal, weights = random_network(problem, make, dtype=dtype)
    basis, state = feature_ansatz(problem, exact, family, 20, (1,), dtype)
    state = jax.tree.map(lambda leaf: leaf + 0.01, state)
    errors = dict.fromkeys(problem.fields, 1e-3)
    both = Weights((weights.state, state), weights.unknown)
    return pinn.Solution(
        problem=problem,
        goal=objective(problem, goal.approximation, exact),
        weights=weights,
        setup=Setup(problem, exact, (7, 8), jnp.dtype(dtype)),
        status=pinn.Status.MISSED,
        error_estimate=errors,
        trust=pinn.Trust.ROUGH,
        trust_reason="it was made up",
        plan=recommend(problem),
        history=History(),
        seconds=1.5,
        family=family,
        width=20,
        corrected=Estimate(errors, pinn.Trust.ROUGH, "it was made up", False, Sum(goal.approximation, basis), both),
    )


def corrected(solution: pinn.Solution) -> pinn.Solution:
    """The solution plus its correction, as `refine` makes it, without an estimate of its own."""
    more = solution.corrected
    assert more is not None
    goal = replace(solution.goal, approximation=more.approximation)
    return replace(solution, goal=goal, weights=more.weights, corrected=None)


class Own(nnx.Module):
    """A network that this package does not know."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs, dtype, width: int = 5):
        self.first = nnx.Linear(inputs, width, rngs=rngs, param_dtype=dtype)
        self.last = nnx.Linear(width, outputs, rngs=rngs, param_dtype=dtype)
        self.rngs = nnx.Rngs(dropout=3)

    def __call__(self, x):
        return self.last(jnp.tanh(self.first(x)))


@pytest.fixture(scope="module")
def solved() -> pinn.Solution:
    return pinn.solve(decay(), progress=False)


@pytest.fixture(scope="module")
def saved(solved, tmp_path_factory) -> Path:
    """A folder that tests may look at and copy, not change."""
    path = tmp_path_factory.mktemp("saved") / "decay"
    solved.save(path)
    return path


@pytest.fixture
def copy(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def rewritten(folder: Path, name: str, data: bytes) -> Path:
    """The folder with one file changed and its checksums right, as a stranger could have made it."""
    (folder / name).write_bytes(data)
    (folder / "SHA256SUMS").write_bytes(saving.checksums({name: (folder / name).read_bytes() for name in FILES[:3]}))
    return folder


# --- without the problem ---------------------------------------------------------------------------------------------


def test_a_loaded_function_agrees(solved, saved):
    loaded, t = pinn.load(saved), np.linspace(0, 1, 101)
    assert np.abs(loaded(t=t) - solved(t=t)).max() <= 1e-14
    assert loaded(t=0.5).shape == () and loaded(t=np.zeros((2, 3))).shape == (2, 3) and loaded(t=[]).shape == (0,)
    assert isinstance(loaded(t=t), np.ndarray) and isinstance(loaded(t=jnp.asarray(t)), jax.Array)


def test_a_loaded_function_is_differentiable_twice(saved):
    slope = jax.grad(lambda t: pinn.load(saved)(t=t))
    assert abs(float(slope(0.5)) + np.exp(-0.5)) < 1e-10
    assert abs(float(jax.grad(slope)(0.5)) - np.exp(-0.5)) < 1e-8


def test_a_loaded_solution_reports(solved, saved):
    loaded = pinn.load(saved)
    assert str(loaded.plan) == str(solved.plan)
    assert loaded.status is solved.status and loaded.trust is solved.trust and loaded.trust_reason == solved.trust_reason
    assert loaded.error_estimate == solved.error_estimate and loaded.seconds == solved.seconds
    assert loaded.errors() == solved.errors() and str(loaded.errors()) == str(solved.errors())
    assert repr(loaded.history.records) == repr(solved.history.records)  # NaN is not equal to itself
    known = f"{solved.status}; estimated error {solved.error_estimate['y']:.1e} ({solved.trust.name.lower()})"
    assert repr(loaded) == f"Solution of decay: {known}, loaded"


@pytest.mark.parametrize("coordinates, message", [({"x": 0.5}, "coordinates 't'; got 'x'"), ({}, "needs a value for 't'")])
def test_wrong_coordinates(saved, coordinates, message):
    with pytest.raises(SolutionError, match=message):
        pinn.load(saved)(**coordinates)


def test_points_outside_warn(saved):
    with pytest.warns(ProblemWarning, match="1 of 2 points lie outside Interval"):
        pinn.load(saved)(t=[0.5, 1.5])


@pytest.mark.parametrize("name", ["evaluate", "residual", "integrate", "refine"])
def test_what_needs_the_problem_says_so(saved, name):
    with pytest.raises(SolutionError, match=rf"{name}\(\) needs the equations.*pinn.load\(.*, problem\).{name}"):
        getattr(pinn.load(saved), name)()


def test_a_loaded_solution_is_plotted(saved, tmp_path):
    pinn.load(saved).plot(tmp_path / "decay.png")
    assert (tmp_path / "decay.png").stat().st_size > 1000


def test_the_domain_comes_back(tmp_path):
    ring = pinn.Disk(x=0, y=0, radius=1) - pinn.Disk(x=0, y=0, radius=0.5)
    tube = ring * pinn.Interval(t=(0, 2)) + Ball(x=3, y=0, radius=1) * pinn.Interval(t=(0, 2)) & pinn.Box(
        x=(0, 4), y=(-1, 1), t=(0, 1)
    )
    wing = pinn.Polygon(x=[-1, 4, 4, -1], y=[-1, -0.5, 2, 1]) - pinn.Ellipse(x=0, y=0.5, radii=(0.9, 0.2), angle=0.5)
    tube = tube & wing * pinn.Interval(t=(0, 2))
    again = saving.domain_from(json.loads(json.dumps(saving.domain_parts(tube))))
    points = np.random.default_rng(0).uniform(-1, 4, (200, 3))
    assert repr(again) == repr(tube) and np.array_equal(again.distance(points), tube.distance(points))


# --- with the problem ------------------------------------------------------------------------------------------------


def test_the_whole_solution_comes_back(solved, saved):
    again, t = pinn.load(saved, decay()), np.linspace(0, 1, 57)
    assert isinstance(again, pinn.Solution)
    assert np.array_equal(again(t=t), solved(t=t)) and np.array_equal(again.residual(t=t), solved.residual(t=t))
    assert np.array_equal(again.evaluate(lambda y, t: d(y, t), t=t), solved.evaluate(lambda y, t: d(y, t), t=t))
    assert again.errors() == solved.errors() and str(again.plan) == str(solved.plan)
    assert (again.setup.seed, again.width, again.family) == (solved.setup.seed, solved.width, solved.family)
    assert np.array_equal(corrected(again)(t=t), corrected(solved)(t=t)) and again.corrected.rounded == solved.corrected.rounded


MAKERS = {
    "MLP": partial(pinn.MLP, width=5, depth=2, activation=pinn.sin),
    "MLP with Fourier features": partial(pinn.MLP, width=5, depth=1, fourier=4),
    "ResidualMLP": partial(pinn.ResidualMLP, width=5, depth=2, activation=pinn.gelu),
    "ModifiedMLP": partial(pinn.ModifiedMLP, width=5, depth=2),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_networks_come_back_bit_for_bit(make, tmp_path):
    solution, t = untrained(decay(), make), np.linspace(0, 1, 33)
    solution.save(tmp_path / "it")
    assert np.array_equal(pinn.load(tmp_path / "it", decay())(t=t), solution(t=t))
    assert np.abs(pinn.load(tmp_path / "it")(t=t) - solution(t=t)).max() <= 1e-14


@pytest.mark.slow
def test_features_that_are_the_same_in_all_directions_come_back(tmp_path):
    ball = pinn.Ball(x=0, y=0, z=0, radius=1)

    def problem():
        return pinn.Problem(
            fields="u",
            domain=ball,
            residual=lambda u, x, y, z: pinn.laplacian(u, x, y, z) + u - 6 - x**2 - y**2 - z**2,
            conditions=[pinn.Dirichlet(u=1.0, on=ball.boundary)],
        )

    solution, line = pinn.solve(problem(), tol=1e-8, progress=False), np.linspace(0, 0.5, 5)
    assert solution.family.round
    solution.save(tmp_path / "it")
    loaded = pinn.load(tmp_path / "it", problem())
    assert np.array_equal(loaded(x=line, y=line, z=line), solution(x=line, y=line, z=line))
    assert loaded.family == solution.family


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32], ids=["float64", "float32"])
def test_a_corrected_system_comes_back_bit_for_bit(dtype, tmp_path):
    solution = corrected(untrained(mixed(), dtype=dtype))
    solution.save(tmp_path / "it")
    at = {"t": np.linspace(0, 1, 9), "x": np.linspace(-1, 1, 9)}
    again, function = pinn.load(tmp_path / "it", mixed()), pinn.load(tmp_path / "it")
    near = 1e-14 if dtype is jnp.float64 else 1e-5
    assert function.parameters == again.parameters == solution.parameters and list(function(**at)) == ["u", "k"]
    for name, values in solution(**at).items():
        assert np.array_equal(again(**at)[name], values)
        assert np.abs(function(**at)[name] - values).max() <= near and function(**at)[name].dtype == values.dtype


def test_a_loaded_solution_is_saved_again(saved, tmp_path):
    pinn.load(saved, decay()).save(tmp_path / "again")
    assert all((tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes() for name in FILES[:2])


def test_a_network_of_ones_own(tmp_path):
    solution, t = untrained(decay(), Own), np.linspace(0, 1, 9)
    solution.save(tmp_path / "own")
    assert np.abs(pinn.load(tmp_path / "own")(t=t) - solution(t=t)).max() <= 1e-14
    assert np.array_equal(pinn.load(tmp_path / "own", decay(), Own)(t=t), solution(t=t))
    with pytest.raises(SolutionError, match=r"a module of your own.*pinn.load\(path, problem, network\)"):
        pinn.load(tmp_path / "own", decay())
    with pytest.raises(
        CheckpointError, match=r"another network: weights/state/0/train/first/bias is float64\[5\], not float64\[6\]"
    ):
        pinn.load(tmp_path / "own", decay(), partial(Own, width=6))
    with pytest.raises(CheckpointError, match="another network: missing 'weights/state/0/train/layers/0/bias'"):
        pinn.load(tmp_path / "own", decay(), SMALL)
    with pytest.raises(NetworkError, match="too many positional arguments"):
        pinn.load(tmp_path / "own", decay(), lambda: None)


def test_only_networks_of_this_package_are_described():
    class Wider(pinn.MLP):
        pass

    own = Activation("tanh", pinn.tanh.derivatives)
    assert describe(Wider(1, 1, rngs=nnx.Rngs(0))) is None and describe(Own(1, 1, rngs=nnx.Rngs(0), dtype=float)) is None
    assert describe(pinn.MLP(1, 1, rngs=nnx.Rngs(0), activation=own)) is None


def test_wrong_arguments(saved):
    with pytest.raises(SolutionError, match=r"load\(path, problem, network\)"):
        pinn.load(saved, network=Own)  # pyright: ignore
    with pytest.raises(SolutionError, match=r"needs a pinn.Problem; got 3"):
        pinn.load(saved, 3)  # pyright: ignore


# --- which problem it belongs to -------------------------------------------------------------------------------------


def wave(
    residual: Callable = lambda u, t, x, c: d(u, t) + c * d(u, x),
    c: float = 2.0,
    first: Callable | float = lambda x: jnp.exp(x),
    where: Callable | None = None,
    times: tuple = (0.1, 0.2),
    domain: pinn.Domain = BOX,
) -> pinn.Problem:
    """A problem to change: an equation, a value, a part of a face, data."""
    side = domain.at(x=-1, where=where) if where else domain.at(x=-1)
    data = pinn.Data(t=times, x=[0.5, 0.6], u=[1.0, 2.0], name="readings")
    conditions = [pinn.Initial(u=first, name="start"), pinn.Dirichlet(u=0.0, on=side, name="side"), data]
    return pinn.Problem(fields="u", domain=domain, residual=residual, conditions=conditions, constants={"c": c})


CHANGES = {
    "constant": ({"c": 2.0 + 1e-9}, "'equation' has other values"),
    "sign": ({"residual": lambda u, t, x, c: d(u, t) - c * d(u, x)}, "'equation' has other values"),
    "derivative": ({"residual": lambda u, t, x, c: d(u, x) + c * d(u, t)}, "'equation' has other values"),
    "value": ({"first": lambda x: jnp.exp(1.001 * x)}, "'start' has other values"),
    "place": ({"where": lambda t: t > 0.5}, "'side' holds elsewhere"),
    "data": ({"times": (0.1, 0.2001)}, "'readings' holds elsewhere, or for other data"),
    "domain": ({"domain": pinn.Box(t=(0, 2), x=(-1, 1))}, r"domain Box\(t=\(0, 1\), x=\(-1, 1\)\) instead of Box\(t=\(0, 2\)"),
    "bounds": ({"domain": pinn.Box(t=(0, 1 + 1e-9), x=(-1, 1))}, r"bounds \[\[0.0, -1.0\], \[1.0, 1.0\]\] instead of"),
}


@pytest.mark.parametrize("change, message", CHANGES.values(), ids=CHANGES)
def test_another_problem_is_told_apart(change, message):
    saved = json.loads(json.dumps(fingerprint(wave())))
    with pytest.raises(CheckpointError, match=f"saved for another problem: .*{message}"):
        check_same(saved, fingerprint(wave(**change)))


def test_a_delay_is_told_apart():
    def delayed(shift: float) -> pinn.Problem:
        return wave(residual=lambda u, t, x, c: d(u, t) + c * pinn.at(u, t=t - shift))

    check_same(fingerprint(delayed(0.1)), fingerprint(delayed(0.1)))
    with pytest.raises(CheckpointError, match="'equation' has other values"):
        check_same(fingerprint(delayed(0.1)), fingerprint(delayed(0.2)))


def test_missing_and_further_conditions_are_named():
    line = pinn.Interval(x=(0, 1))

    def rod(*more: pinn.Condition) -> pinn.Problem:
        ends = [pinn.Dirichlet(y=0.0, on=line.at(x=0)), *more]
        return pinn.Problem(fields="y", domain=line, residual=lambda y, x: d(y, x, x), conditions=ends)

    held, loose = pinn.Dirichlet(y=0.0, on=line.at(x=1)), pinn.Neumann(y=0.0, on=line.at(x=1))
    with pytest.raises(CheckpointError, match="the terms 'Dirichlet y = 0 on x = 1' instead of 'Neumann y = 0 on x = 1'"):
        check_same(fingerprint(rod(held)), fingerprint(rod(loose)))


def test_the_same_problem_written_otherwise():
    def written_otherwise(u, t, x, c):
        return (d(u, t) + d(u, t)) / 2 - c * -d(u, x)

    check_same(json.loads(json.dumps(fingerprint(wave()))), fingerprint(wave(written_otherwise)))


def test_loading_with_another_problem(saved):
    with pytest.raises(CheckpointError, match=r"decay: saved for another problem: its term 'equation' has other values"):
        pinn.load(saved, decay(rate=1.1))


# --- damage and strangers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_no_flipped_bit_goes_unseen(copy, name):
    data = (copy / name).read_bytes()
    rng = np.random.default_rng(0)
    for position in {0, len(data) - 1, *rng.integers(0, len(data), 100).tolist()}:
        bad = bytearray(data)
        bad[position] ^= 1 << int(rng.integers(8))
        (copy / name).write_bytes(bad)
        with pytest.raises(CheckpointError, match="damaged"):
            pinn.load(copy)


@pytest.mark.parametrize("name", FILES)
def test_no_cut_goes_unseen(copy, name):
    data = (copy / name).read_bytes()
    lines = [i + 1 for i, byte in enumerate(data) if byte == ord("\n")][:20]
    for length in {0, 1, len(data) // 2, len(data) - 1, *lines} - {len(data)}:
        (copy / name).write_bytes(data[:length])
        with pytest.raises(CheckpointError, match="damaged"):
            pinn.load(copy)
    (copy / name).unlink()
    with pytest.raises(CheckpointError, match=r"missing|no saved solution"):
        pinn.load(copy)


def test_no_saved_solution(tmp_path):
    for path in (tmp_path, tmp_path / "nothing", Path(__file__)):
        with pytest.raises(CheckpointError, match="there is no saved solution here"):
            pinn.load(path)


@pytest.mark.parametrize(("number", "todo"), [(9, "Update it"), (1, "Solve again, or load it with the pinn that wrote it")])
def test_another_format_is_refused(copy, number, todo):
    card = json.loads((copy / "solution.json").read_bytes())
    card["format"], card["versions"]["pinn"] = number, "7.0"
    with pytest.raises(CheckpointError, match=rf"copy: format {number}, written by pinn 7.0; this pinn reads 2. {todo}."):
        pinn.load(rewritten(copy, "solution.json", json.dumps(card).encode()))


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense"])
def test_a_strange_card_is_refused(copy, text):
    with pytest.raises(CheckpointError, match="not as pinn writes it"):
        pinn.load(rewritten(copy, "solution.json", text.encode()))


def test_a_pickle_is_not_loaded(copy):
    with (copy / "arrays.npz").open("wb") as file:
        np.savez(file, allow_pickle=True, weights=np.array([{"an": "object"}], dtype=object))
    with pytest.raises(CheckpointError, match="allow_pickle=False"):
        pinn.load(rewritten(copy, "arrays.npz", (copy / "arrays.npz").read_bytes()))


def test_a_call_out_of_xla_is_not_run(copy):
    def values(arrays, points):
        return points + jnp.linalg.qr(points)[0]

    with np.load(copy / "arrays.npz") as arrays:
        shapes = {n: jax.ShapeDtypeStruct(arrays[n].shape, arrays[n].dtype) for n in arrays.files if n.startswith("weights/")}
    bad = export.export(jax.jit(values), platforms=["cpu"])(shapes, jax.ShapeDtypeStruct((3, 1), jnp.float64))
    with pytest.raises(CheckpointError, match=r"its values call 'lapack_.*', .* so they are not run"):
        pinn.load(rewritten(copy, "values.stablehlo", bytes(bad.serialize())))


def test_a_file_elsewhere_is_not_read(copy):
    line = f"{hashlib.sha256(b'').hexdigest()}  ../copy/arrays.npz\n".encode()
    (copy / "SHA256SUMS").write_bytes((copy / "SHA256SUMS").read_bytes() + line)
    with pytest.raises(CheckpointError, match="missing"):
        pinn.load(copy)


# --- writing ---------------------------------------------------------------------------------------------------------


def test_a_solution_is_replaced_and_nothing_else_is(solved, copy):
    (copy / "arrays.npz").unlink()
    solved.save(copy)
    assert sorted(path.name for path in copy.parent.iterdir()) == ["copy"] and repr(pinn.load(copy))
    (copy / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=r"is there already and is no saved solution: it has 'notes.txt'. Save elsewhere"):
        solved.save(copy)
    with pytest.raises(CheckpointError, match=r"it has 'notes.txt'"):
        solved.save(copy / "notes.txt")
    assert (copy / "notes.txt").read_text() == "mine" and len(list(copy.iterdir())) == 5


def test_a_failed_write_leaves_what_was_there(solved, copy, monkeypatch):
    before = {name: (copy / name).read_bytes() for name in FILES}

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(saving.os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"no space left. What was there is unchanged"):
        solved.save(copy)
    assert {name: (copy / name).read_bytes() for name in FILES} == before
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_infinite_and_undefined_numbers(tmp_path):
    solution = replace(untrained(decay()), error_estimate={"y": np.inf})
    solution.history.add(Record("adam", 1, 0.5, loss=np.nan, terms={"equation": np.inf}))
    solution.save(tmp_path / "bad")
    json.loads((tmp_path / "bad" / "solution.json").read_text(), parse_constant=pytest.fail)
    loaded = pinn.load(tmp_path / "bad")
    assert loaded.error_estimate == {"y": np.inf} and repr(loaded.history.records) == repr(solution.history.records)


@jax.custom_jvp
def through_python(x):
    return jax.pure_callback(np.asarray, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="sequential")


through_python.defjvp(lambda x, tangent: (through_python(*x), *tangent))


class Calls(Own):
    def __call__(self, x):
        return super().__call__(through_python(x))


def test_what_cannot_be_exported_is_refused(tmp_path):
    with pytest.raises(SolutionError, match="without calls back into Python"):
        untrained(decay(), Calls).save(tmp_path / "never")
    assert not (tmp_path / "never").exists()
