"""Solutions in motion: every frame shows its time."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import pinn
from pinn import Box, Disk, Initial, Interval, Problem, d, laplacian
from pinn.animation import animate_solution
from pinn.errors import SolutionError


class Made(SimpleNamespace):
    """A solution made of a formula."""

    def __call__(self, **points):
        return self.formula(**points)


def wave(x):
    return np.sin(2 * np.pi * x)


def moving(dimension: int) -> Made:
    """A wave that goes to the right, or a spot that does in a square with a hole."""
    if dimension == 1:
        problem = Problem(
            fields="u",
            domain=Box(t=(0, 1), x=(0, 1)),
            residual=lambda u, t, x: d(u, t) + d(u, x),
            conditions=[Initial(u=0.0), pinn.Periodic("x")],
            reference=lambda t, x: wave(x - t),
        )
        return Made(problem=problem, formula=lambda t, x: wave(x - t))
    square, hole = Box(x=(0, 1), y=(0, 1)), Disk(x=0.5, y=0.5, radius=0.1)
    problem = Problem(
        fields="u",
        domain=(square - hole) * Interval(t=(0, 1)),
        residual=lambda u, t, x, y: d(u, t) - laplacian(u, x, y),
        conditions=[Initial(u=0.0), pinn.Dirichlet(u=0.0, on=square.boundary), pinn.Dirichlet(u=0.0, on=hole.boundary)],
    )
    return Made(problem=problem, formula=lambda t, x, y: np.exp(-40 * ((x - t) ** 2 + (y - 0.75) ** 2)))


@pytest.mark.parametrize("dimension", [1, 2])
def test_frames_follow_time(dimension, tmp_path):
    """The brightest place of the maps moves to the right; a curve comes back to where it began, after a period."""
    animate_solution(moving(dimension), tmp_path / "new" / "u.gif", frames=5)
    with Image.open(tmp_path / "new" / "u.gif") as film:
        assert film.n_frames == 5
        frames = []
        for k in range(5):
            film.seek(k)
            frames.append(np.asarray(film.convert("RGB"), float)[60:])
    if dimension == 1:
        apart = [np.abs(frame - frames[0]).mean() for frame in frames]
        assert apart[4] < apart[2] / 10
    else:
        maps = [frame[:, :355] for frame in frames]  # without the bar of colours
        yellow = [np.mean(np.nonzero((m[..., 1] > 200) & (m[..., 2] < 90))[1]) for m in maps]
        assert np.all(np.diff(yellow) > 20)


def test_what_cannot_be_shown_is_explained(tmp_path):
    with pytest.raises(SolutionError, match=r"animate\(\) writes \.gif files; got 'u\.mp4'\. Rename it"):
        animate_solution(moving(1), "u.mp4")
    with pytest.raises(SolutionError, match="two frames or more; got 1"):
        animate_solution(moving(1), tmp_path / "u.gif", frames=1)
    line = Interval(x=(0, 1))
    still = Problem(fields="u", domain=line, residual=lambda u, x: d(u, x) - 1, conditions=[Initial(u=0.0)])
    with pytest.raises(SolutionError, match=r"time 't' and one or two other coordinates; this domain has x\. plot\(\) draws any"):
        animate_solution(Made(problem=still), tmp_path / "u.gif")
