"""Checkpoints: files that are whole or refused, and runs that go on from them to the same bits."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import random_network
from problems_with_answers import bratu, heat

import pinn
from pinn import checkpoint, d
from pinn.errors import CheckpointError
from pinn.exact import plan_exact
from pinn.features import Setup
from pinn.history import Clock, Reading, Record
from pinn.interrupts import Interrupts
from pinn.journal import Journal
from pinn.loss import objective
from pinn.phases import run_phases
from problems import exam_ode

ROOT = Path(__file__).parents[1]
HEAD, ARRAYS = {"note": "half way"}, [np.arange(6.0).reshape(2, 3), np.array(3), np.array([True, False])]


# --- the file


def test_a_file_gives_back_what_was_written(tmp_path):
    checkpoint.write(tmp_path / "a.ck", HEAD, ARRAYS)
    head, arrays = checkpoint.latest(tmp_path / "a.ck")
    assert head == HEAD
    for found, array in zip(arrays, ARRAYS, strict=True):
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)
    assert {path.name for path in tmp_path.iterdir()} == {"a.ck"}


def test_keys_numbers_and_states_of_methods_come_back():
    params = {"w": jnp.ones(3), "b": jnp.zeros((), "float32")}
    tree = {"key": jax.random.key(3), "adam": optax.adam(1e-3).init(params), "damping": 0.5, "count": 3, "stalled": False}
    blank = {"key": jax.random.key(0), "adam": optax.adam(1e-3).init(params), "damping": 1.0, "count": 0, "stalled": True}
    found = checkpoint.restored(blank, checkpoint.flattened(tree))
    assert jax.random.bits(found["key"]) == jax.random.bits(tree["key"])
    assert (found["damping"], found["count"], found["stalled"]) == (0.5, 3, False)
    assert jax.tree.structure(found) == jax.tree.structure(tree)
    with pytest.raises(ValueError, match=r"arrays .* not"):
        checkpoint.restored({"key": jax.random.key(0)}, checkpoint.flattened(tree))


def test_every_damage_is_noticed():
    """Each byte changed, the file cut at each length, bytes added."""
    data = checkpoint.packed(HEAD, ARRAYS)
    assert len(data) > 200
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        with pytest.raises(CheckpointError, match=r"damaged|no checkpoint"):
            checkpoint.unpacked(bytes(changed))
        with pytest.raises(CheckpointError, match=r"damaged|no checkpoint"):
            checkpoint.unpacked(data[:place])
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.unpacked(data + b"\0")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 6, "head": {}, "arrays": []}', "has format 6, and this version of pinn reads 5"),
        ('{"format": 5, "head": {}, "arrays": [["object", [1]]]}', "no checkpoint"),
        ('{"format": 5, "head": {}, "arrays": [["float64", [1000000000000]]]}', "no checkpoint"),
        ('{"format": 5, "head": {}, "arrays": [["float64", [-1]]]}', "no checkpoint"),
        ('{"format": 5, "head": [1], "arrays": []}', "no checkpoint"),
        ("[]", "no checkpoint"),
        ("{", "no checkpoint"),
    ],
)
def test_a_strangers_file_is_refused(text, message):
    """With a checksum that fits."""
    body = len(text).to_bytes(8, "little") + text.encode()
    with pytest.raises(CheckpointError, match=message):
        checkpoint.unpacked(b"pinn checkpoint\n" + hashlib.sha256(body).digest() + body)


def test_a_damaged_file_falls_back_on_the_one_before(tmp_path):
    path = tmp_path / "a.ck"
    assert checkpoint.latest(path) is None
    checkpoint.write(path, {"number": 1}, ARRAYS)
    checkpoint.write(path, {"number": 2}, ARRAYS)
    whole = path.read_bytes()
    for damaged in (whole[:-5], b"", b"pinn", whole[:100] + b"?" + whole[101:]):
        path.write_bytes(damaged)
        with pytest.warns(pinn.CheckpointWarning, match=r"a.ck is .* Going on from the one before it, a.ck.before"):
            assert checkpoint.latest(path)[0] == {"number": 1}
    path.unlink()  # killed between two renames
    assert checkpoint.latest(path)[0] == {"number": 1}
    path.write_bytes(b"")
    checkpoint.before(path).write_bytes(b"")
    with pytest.raises(CheckpointError, match="Remove both to begin anew"):
        checkpoint.latest(path)
    checkpoint.before(path).unlink()
    with pytest.raises(CheckpointError, match=r"is no checkpoint of pinn. Remove it to begin anew"):
        checkpoint.latest(path)


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a.ck"
    checkpoint.write(path, {"number": 1}, ARRAYS)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.write(path, {"number": 2}, ARRAYS)
    assert checkpoint.latest(path)[0] == {"number": 1}
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.ck"}


# --- the journal


class Work:
    """Numbers that depend on the clock and on what was done before, with a loop in the middle."""

    def __init__(self, journal):
        self.journal, self.clock, self.done = journal, Clock(None, journal), 0

    def run(self, steps=4, last="last"):
        journal, total = self.journal, jnp.zeros(2)
        for i in range(3):
            total = journal.piece(("piece", i), lambda total=total: self.more(total), total) + self.clock.seconds
        total, count = journal.begin("loop", (total, 0))
        while count < steps:
            total, count = self.more(total) * self.clock.seconds, count + 1
            journal.history.add(Record("loop", count, 0.0))
            journal.keep((total, count))
        return journal.piece(last, lambda: self.more(total), total)

    def more(self, total):
        self.done += 1
        return jnp.sin(total + self.done + time.monotonic() % 1)


class Killed(BaseException):
    """What ends a run where it stands."""


@pytest.fixture
def saves(monkeypatch):
    """[how many checkpoints can be written before the run dies]; every piece of work writes one."""
    write, left = checkpoint.write, [10**9]

    def writing(*arguments):
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        write(*arguments)

    monkeypatch.setattr(checkpoint, "write", writing)
    monkeypatch.setattr(Journal, "_save_if_due", Journal.save)
    return left


@pytest.mark.parametrize("saved", range(1, 8))
def test_a_journal_tells_the_same_times_and_results(saved, tmp_path, saves):
    path, saves[0] = tmp_path / "a.ck", saved
    with pytest.raises(Killed):
        Work(Journal(path)).run()
    saves[0] = 100
    first = Work(Journal(path, found=checkpoint.latest(path)))
    total = first.run()
    assert first.done == 8 - saved
    again = Work(Journal(path, found=checkpoint.latest(path)))
    np.testing.assert_array_equal(again.run(), total)
    assert again.done == 0
    assert len(again.journal.history) == 4
    assert again.journal.replaying


def test_what_is_decided_otherwise_is_done_anew(tmp_path, saves):
    path = tmp_path / "a.ck"
    Work(Journal(path)).run()
    longer = Work(Journal(path, found=checkpoint.latest(path)))
    longer.run(steps=6)
    assert longer.done == 3
    other = Work(Journal(path, found=checkpoint.latest(path)))
    other.run(steps=6, last="other")
    assert other.done == 1
    assert not other.journal.replaying


def test_a_clock_goes_on_from_where_it_was(tmp_path):
    path = tmp_path / "a.ck"
    journal = Journal(path)
    journal.set(Reading(1000.0, 10.0))
    assert 1000 <= Clock(None, journal).seconds < 1001
    journal.save()
    resumed = Clock(1001.0, Journal(path, found=checkpoint.latest(path)))
    first, second = resumed.seconds, resumed.seconds
    assert 1000 <= first < second
    assert resumed.left < 1


# --- solves


def digest(tree):
    """Of every bit of it."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        found.update(np.asarray(leaf).tobytes())
    return found.hexdigest()


def features(tol=1e-9, **options):
    return pinn.solve(exam_ode.problem(), tol=tol, progress=False, **options)


METHODS = [pinn.Phase(optax.adam(1e-3), 150), pinn.Phase(optax.lbfgs(), 120), pinn.Phase(pinn.gauss_newton(), 3)]


def phases(checkpoint_=None, callback=None):
    """Two methods of optax, and one that the host drives: what they end with, and their journal."""
    problem = exam_ode.problem()
    with Interrupts() as interrupts:
        found = checkpoint.latest(checkpoint_) if checkpoint_ else None
        journal = Journal(checkpoint_, interrupts=interrupts, found=found)
        journal.history.listener = callback
        setup = Setup(problem, plan_exact(problem, None), (0,), jnp.dtype("float64"), journal=journal)
        goal, weights = random_network(problem)
        goal = objective(problem, goal.approximation, setup.exact)
        clock, points = Clock(None, journal), {"equation": 32, "condition": 1}
        with journal:
            weights, status = run_phases(setup, goal, weights, METHODS, points, clock, journal.history)
    return digest(weights), status, journal


@pytest.fixture(scope="module")
def whole():
    """What an uninterrupted run ends with."""
    return digest(features().weights)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "a.ck"
    features(checkpoint=path)
    return path


def test_a_solve_that_died_ends_with_the_same_bits(whole, tmp_path, saves):
    path = tmp_path / "a.ck"
    for saves[0] in (1, 2):
        with pytest.raises(Killed):
            features(checkpoint=path)
    saves[0] = 1000
    resumed = features(checkpoint=path)
    again = features(checkpoint=path)
    assert digest(resumed.weights) == digest(again.weights) == whole
    assert (again.seconds, list(map(str, again.history))) == (resumed.seconds, list(map(str, resumed.history)))


@pytest.mark.slow
def test_phases_that_died_end_with_the_same_bits(tmp_path, saves):
    path = tmp_path / "a.ck"
    for saves[0] in (1, 2, 2):
        with pytest.raises(Killed):
            phases(path)
    saves[0] = 1000
    resumed, _, journal = phases(path)
    assert resumed == phases()[0]
    again, status, replayed = phases(path)
    assert (again, status) == (resumed, pinn.Status.FINISHED)
    assert len(replayed.history) == 2 + 2 + 3
    assert list(map(str, replayed.history)) == list(map(str, journal.history))


@pytest.mark.slow
def test_a_smaller_tolerance_goes_on_from_a_larger_one(tmp_path):
    path, told = tmp_path / "a.ck", []
    easy = pinn.solve(heat(), tol=1e-3, checkpoint=path, progress=False)
    hard = pinn.solve(heat(), tol=1e-12, checkpoint=path, callback=told.append, progress=False)
    assert easy.width < hard.width
    assert digest(hard.weights) == digest(pinn.solve(heat(), tol=1e-12, progress=False).weights)
    assert len(easy.history) + len(told) == len(hard.history)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": 1}, "another plan: key was 0, and is now 1"),
        ({"dtype": "float32"}, "another plan: precision was float64, and is now float32"),
        ({"points": 77}, "another plan: points was 1024 equation, 1 condition, and is now 77 equation, 1 condition"),
    ],
)
def test_a_checkpoint_of_another_plan_is_refused(options, message, saved):
    with pytest.raises(CheckpointError, match=message):
        features(checkpoint=saved, **options)


def test_a_checkpoint_of_another_problem_is_refused(saved, tmp_path):
    with pytest.raises(CheckpointError, match=r"saved for another problem: its term 'equation' has other values .* Remove it"):
        pinn.solve(exam_ode.problem(b=0.7), checkpoint=saved, progress=False)
    (tmp_path / "b.ck").write_text("x, y\n1, 2\n")
    with pytest.raises(CheckpointError, match=r"b.ck is no checkpoint of pinn"):
        features(checkpoint=tmp_path / "b.ck")
    assert (tmp_path / "b.ck").read_text() == "x, y\n1, 2\n"


def test_a_checkpoint_needs_a_place(tmp_path):
    with pytest.raises(CheckpointError, match=r"checkpoint= needs a file, .* is a folder"):
        features(checkpoint=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"cannot be written: .* Give a file in another folder"):
        features(checkpoint=tmp_path / "file" / "a.ck")


def test_a_full_disk_is_a_warning(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(pinn.CheckpointWarning, match=r"could not be written: No space left on device. The solve goes on"):
        solution = features(checkpoint=tmp_path / "a.ck")
    assert solution.status is pinn.Status.REACHED


# --- signals


@pytest.mark.parametrize(("number", "kept"), [pytest.param(signal.SIGINT, False, marks=pytest.mark.slow), (signal.SIGTERM, True)])
def test_a_signal_ends_with_the_best_so_far(number, kept, tmp_path):
    asked = []

    def ask(record):
        if not asked:
            asked.append(signal.raise_signal(number))

    path = tmp_path / "a.ck" if kept else None
    with pytest.warns(pinn.AccuracyWarning, match="stopped by the user"):
        stopped = features(tol=1e-13, callback=ask, checkpoint=path)
    assert stopped.status is pinn.Status.INTERRUPTED
    assert np.isfinite(stopped(x=1.0))
    assert [record.phase for record in stopped.history] == ["features", "estimate"]
    if kept:
        assert len(features(checkpoint=path).history) > 2


def test_a_signal_ends_a_phase():
    def ask(record):
        if record.step == 100:
            signal.raise_signal(signal.SIGINT)

    _, status, journal = phases(callback=ask)
    assert status is pinn.Status.TIME and journal.stopped
    assert [record.step for record in journal.history] == [100]


def test_a_second_signal_is_obeyed_and_a_handler_of_ones_own_kept():
    with pytest.raises(KeyboardInterrupt), Interrupts():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    own = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGTERM)
        assert not interrupts.asked
    finally:
        signal.signal(signal.SIGTERM, own)


# --- killed from outside

SCRIPT = """
import sys, warnings
sys.path.insert(0, "tests")
import test_checkpoint
warnings.simplefilter("ignore")
test_checkpoint.Journal._save_if_due = test_checkpoint.Journal.save
run, path, out = sys.argv[1:]
found = test_checkpoint.digest(getattr(test_checkpoint, run)(checkpoint=path).weights)
open(out, "w").write(found)
"""


def killed(run, path, seconds=None):
    """SIGKILL a run so many seconds after its next checkpoint, or let it end; what it ended with."""
    out = path.with_suffix(".out")
    before = path.stat().st_mtime_ns if path.exists() else 0
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, run, str(path), str(out)], cwd=ROOT)
    while seconds is not None and process.poll() is None:
        time.sleep(0.01)
        if path.exists() and path.stat().st_mtime_ns != before:
            time.sleep(seconds)
            process.kill()
    assert process.wait() in (0, -signal.SIGKILL)
    return out.read_text() if out.exists() else None


def test_sigkill_and_the_same_bits(whole, tmp_path):
    """On another process, too."""
    path = tmp_path / "a.ck"
    assert killed("features", path, 0.05) is None
    assert digest(features(checkpoint=path).weights) == whole


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("run", ["features", "nonlinear", "network", "march", "steps", "products"])
def test_sigkill_at_random_moments(run, tmp_path):
    """At least 20 times in all."""
    rng, kills = np.random.default_rng(0), 0
    reference = killed(run, tmp_path / "whole.ck")
    for trial in range(100):
        path, found = tmp_path / f"{trial}.ck", None
        for seconds in rng.exponential(0.5, 3):
            found = found or killed(run, path, seconds)
            kills += found is None
        assert (found or killed(run, path)) == reference
        if kills >= 4:
            return
    raise AssertionError(f"killed {kills} times only")


def nonlinear(**options):
    return pinn.solve(bratu(), tol=1e-6, progress=False, **options)


def network(**options):
    maker = partial(pinn.MLP, width=4, depth=1)
    return pinn.solve(exam_ode.problem(), method=METHODS, network=maker, points=32, progress=False, **options)


def steps(**options):
    """Steps in time, of a front that moves."""
    box = pinn.Box(t=(0, 1), x=(-1, 1))
    problem = pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x: d(u, t) + u * d(u, x) - 0.04 * d(u, x, x),
        conditions=[
            pinn.Initial(u=lambda x: 1 - jnp.tanh((x + 0.5) / 0.08)),
            pinn.Dirichlet(u=lambda t, x: 1 - jnp.tanh((x + 0.5 - t) / 0.08), on=box.boundary),
        ],
    )
    solution = pinn.solve(problem, tol=1e-6, progress=False, **options)
    assert solution.setup.level is not None
    return solution


def products(**options):
    """Steps in time whose features are products of functions of each coordinate."""
    box = pinn.Box(t=(0, 4), x=(0, 1), y=(0, 1))
    problem = pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x, y: d(u, t) - pinn.laplacian(u, x, y) / 1000 - u + u**3,
        conditions=[
            pinn.Initial(u=lambda x, y: jnp.cos(2 * jnp.pi * x) * jnp.cos(3 * jnp.pi * y)),
            pinn.Neumann(u=0.0, on=box.boundary),
        ],
    )
    solution = pinn.solve(problem, tol=1e-6, progress=False, **options)
    assert solution.setup.level is not None
    return solution


def march(**options):
    """Slabs of time, of an oscillator that features on the whole interval do not resolve."""
    problem = pinn.Problem(
        fields="y",
        domain=pinn.Interval(t=(0, 60)),
        residual=lambda y, t: d(y, t, t) + jnp.sin(y),
        conditions=[pinn.Initial(y=1.0), pinn.InitialVelocity(y=0.0)],
    )
    solution = pinn.solve(problem, tol=1e-8, progress=False, **options)
    assert len(solution.setup.edges) > 3
    return solution
