"""The electrocardiogram's windows: where they come from, and what is refused."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pinn.errors import ProblemError
from pinn.operator_learning.linear import draw_many
from problems.denoising import ecg

RECORD = np.arange(600.0)


@pytest.mark.parametrize(("half", "low", "high"), [("first", 0, 299), pytest.param("second", 300, 599, marks=pytest.mark.slow)])
def test_windows_stay_in_their_half(half, low, high):
    problem = ecg.of_record(RECORD, 0.5, 64, half=half)
    between = jnp.asarray(problem.sensors[:-1] + 0.5 / ecg.RATE)
    drawn = draw_many(problem, jax.random.key(0), jnp.concatenate([jnp.asarray(problem.sensors), between]), 500)
    clean = np.asarray(drawn.clean)[..., 0]
    assert clean.min() >= low
    assert clean.max() <= high
    assert clean[:, 0].min() < low + 20, "all of the half is used"
    assert clean[:, 63].max() > high - 20
    np.testing.assert_allclose(clean[:, 64:], clean[:, :63] + 0.5, atol=1e-9)
    assert np.std(np.asarray(drawn.noisy) - clean[:, :64]) == pytest.approx(0.5, rel=0.02)


def test_what_cannot_be_meant_is_refused(monkeypatch):
    with pytest.raises(ProblemError, match="half must be"):
        ecg.of_record(RECORD, 0.5, 64, half="third")
    with pytest.raises(ProblemError, match="record of at least 1200"):
        ecg.of_record(RECORD, 0.5, 600)
    ecg.record.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ProblemError, match="pip install --no-deps systole"):
        ecg.problem()
