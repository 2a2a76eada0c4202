"""What the least-squares procedure decides: which answer is kept, and whether there is time for more features."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinn
from pinn.derivatives import tanh
from pinn.estimate import Estimate
from pinn.families import Family
from pinn.history import Clock
from pinn.training import Outcome, _improves, _next, _settles, _Took


def outcome(worst, trust):
    nothing: Any = None
    judged = Estimate({"y": worst}, trust, "", False, nothing, nothing)
    return Outcome(nothing, nothing, Family(tanh, (1.0,)), 10, judged)


ROUGH, UNKNOWN = pinn.Trust.ROUGH, pinn.Trust.UNKNOWN


@pytest.mark.parametrize(
    ("new", "residual", "kept"),
    [
        (outcome(1e-4, ROUGH), 1.0, True),
        (outcome(1e-2, ROUGH), 0.01, False),
        (outcome(1e-4, UNKNOWN), 0.9, False),
        (outcome(1e-4, UNKNOWN), 0.1, True),
        (outcome(np.inf, UNKNOWN), 0.1, False),
    ],
)
def test_more_features_are_kept_for_an_estimate_or_for_a_much_smaller_residual(new, residual, kept):
    assert _improves(new, residual, outcome(1e-3, ROUGH), 1.0) == kept


@pytest.mark.parametrize(
    ("new", "before", "residual", "settled"),
    [
        (outcome(0.9e-8, ROUGH), 1e-8, 0.01, True),
        (outcome(0.4e-8, ROUGH), 1e-8, 1.0, False),
        (outcome(0.25, ROUGH), 0.3, 0.9, True),
        (outcome(0.25, ROUGH), 0.3, 0.04, False),
        (outcome(0.9e-8, UNKNOWN), 1e-8, 1.0, False),
    ],
)
def test_a_wrong_answer_has_not_settled_while_its_residual_falls(new, before, residual, settled):
    assert _settles(new.estimate, outcome(before, ROUGH).estimate, residual, 1.0) == settled


def test_compilation_takes_no_longer_for_twice_as_many_features():
    assert _next([_Took(200, 10.0, 1.0)]) == 10 + 8
    assert _next([_Took(200, 10.0, 1.0), _Took(400, 12.0, 4.0)]) == pytest.approx(12 + 16), "the power seen, the second"
    assert _next([_Took(200, 10.0, 1.0), _Took(400, 12.0, 1.0)]) == 12 + 2, "the first at least"
    assert _next([_Took(200, 10.0, 1.0), _Took(400, 12.0, 30.0)]) == 12 + 240, "the third at most"


def test_a_clock_tells_what_was_compiled():
    clock = Clock(None)
    before = clock.reading
    jax.block_until_ready(jax.jit(lambda x: jnp.sin(x) @ x + 12345.678)(jnp.ones((7, 7))))
    took = _Took.since(before, clock.reading, 7)
    assert 0 < took.compiling < took.compiling + took.running
    assert took.running > 0
