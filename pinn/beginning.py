"""What steps in time begin with: the terms at their points, and the state that meets the initial conditions best."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from .boundaries import Surface
from .decompositions import cholesky
from .features import Setup
from .krylov import Products
from .loss import Objective, given_values, parted
from .radau import Radau
from .separability import Separated, separable
from .separable import make_separable
from .space import Held, Level, inside, make_space, waves
from .stepping import Discrete, Moment, Terms, blocks_of, is_kept, kept_of, residuals
from .terms import Term
from .timeline import Timeline

BEGINNING = 64  # steps of the first length
_POINTS = 2.0  # where the equations hold, in the features
_FRESH = 0.5  # and where they are judged
_JUDGED = 40  # places along each coordinate where products are judged
_LIFTED = 2000  # points that tell how large G is
_FITS = 3  # solves for the state that steps begin with: each mends what rounding did to the one before


def begin(setup: Setup, goal: Objective, time: Timeline, level: Level, scheme: Radau) -> tuple[Discrete, Moment, float]:
    """The terms that hold at every time, the state at the start, and how large the fields are there."""
    separated = separable(setup.problem, goal.exact, time)
    if separated is not None:
        terms, start = _products(setup, goal, time, level, separated)
    else:
        terms, begins = _terms(setup, goal, time, level)
        start = _begun(goal, terms, begins, time, scheme)
    return terms, start, max(float(np.linalg.norm(start.values[terms.moving])), _lifted(goal, terms, time), 1e-300)


def _products(setup: Setup, goal: Objective, time: Timeline, level: Level, separated: Separated) -> tuple[Products, Moment]:
    problem, seed, axis = setup.problem, (*setup.seed, 70 + level.draw, level.width), time.axis
    space = make_separable(problem, goal.exact, axis, level, separated.ends, seed)
    nodes, shares = [line.places for line in space.lines], [line.shares for line in space.lines]
    equations = [term for term in goal.terms if term.place is None]
    tests = iter(separated.tests)
    own = [tuple(itertools.islice(tests, len(term.expression.components))) for term in equations]
    solved = tuple(space.grid(term, nodes, shares, time.start, each) for term, each in zip(equations, own, strict=True))
    rng, (lower, upper) = np.random.default_rng((*seed, 2)), problem.domain.bounds
    others = [lower[line.axis] + (upper - lower)[line.axis] * np.sort(rng.uniform(size=_JUDGED)) for line in space.lines]
    fresh = tuple(space.grid(term, others, [np.ones(_JUDGED)] * len(others), time.start) for term in equations)
    states = [np.zeros((1, space.size)) for _ in range(3)]
    for term in goal.terms:
        if term.name in time.initial:
            grid = space.grid(term, nodes, shares, time.start)
            wrong, slopes, _ = residuals(space, grid, np.array([time.start]), states, True)
            leaves = [i for row in slopes[0, 0] for (i,) in [np.flatnonzero(row).tolist()]]
            reads = [grid.reads[i] for i in leaves]
            tested = grid._replace(tests=tuple(read.field for read in reads)).tested(-np.moveaxis(wrong, 2, 1))
            for k, (i, read) in enumerate(zip(leaves, reads, strict=True)):
                given = tested[0].reshape(len(reads), -1)[k]
                states[read.order][0, space.parts[problem.fields[read.field]]] += given / slopes[0, 0, k, i]
    return Products(space, solved, fresh), Moment(states[0][0], states[1][0])


def _terms(setup: Setup, goal: Objective, time: Timeline, level: Level) -> tuple[Terms, list[Held]]:
    """The terms of a level at their points, and the initial conditions."""
    problem, seed, axis = setup.problem, (*setup.seed, 70 + level.draw, level.width), time.axis
    hidden = waves(problem, goal.exact, axis, level, seed)
    points, shares = inside(problem, goal.exact, axis, hidden, seed)
    points[:, axis] = time.start
    space = make_space(problem, goal.exact, axis, hidden, points, shares)
    d = problem.domain.dimension - 1
    on = int(4 * level.width ** ((d - 1) / d))

    def drawn(term: Term, share: float, index: int) -> Held:
        count = level.width if term.place is None or term.name in time.initial else on
        found, columns = term.sample(problem.domain, max(int(share * count), 4), (*seed, index))
        found[:, axis] = time.start
        return space.held(term, found, columns)

    solved, fresh, begins = [], [], []
    for i, term in enumerate(goal.terms):
        first = term.name in time.initial
        whole = isinstance(term.place, Surface) and len(term.place.patches) == 1 and not parted(term)
        everywhere = term.place is None or (first and whole)
        (begins if first else solved).append(space.held(term, points, {}, shares) if everywhere else drawn(term, _POINTS, i))
        if not first:
            fresh.append(drawn(term, _FRESH, 100 + i))
    return Terms(space, tuple(sorted(solved, key=is_kept)), tuple(fresh), time.orders), begins


def _begun(goal: Objective, terms: Terms, begins: Sequence[Held], time: Timeline, scheme: Radau) -> Moment:
    """The state that meets the initial conditions best, among those that meet the conditions that are kept."""
    space, first = terms.space, (time.end - time.start) / BEGINNING
    forced, free = _forced(terms, scheme, time.start, first)
    state = [forced[:1], forced[1:], np.zeros((1, space.size))]
    rows, factor, used = [], None, np.zeros(0, bool)
    for _ in range(_FITS):
        wanted = []
        for held in begins:
            found, slopes, _ = residuals(space, held, np.array([time.start]), state, True)
            shares = np.sqrt(held.shares)[:, None]
            wanted.append((-found[0] * shares).reshape(-1))
            if factor is None:
                blocks = blocks_of(space, held, slopes[0])
                shape = (*found.shape[1:], free.shape[1])
                both = [blocks[order] @ free if order in blocks else np.zeros(shape) for order in (0, 1)]
                rows.append((np.concatenate(both, axis=2) * shares[:, :, None]).reshape(-1, 2 * free.shape[1]))
        matrix = np.concatenate(rows)
        if factor is None:
            used = np.any(matrix != 0, axis=0)
            factor = cholesky(matrix[:, used].T @ matrix[:, used])
        change = np.zeros(2 * free.shape[1])
        change[used] = factor.solve(matrix[:, used].T @ np.concatenate(wanted))
        for order, part in enumerate(np.split(change, 2)):
            state[order] = state[order] + free @ part
    return Moment(state[0][0], state[1][0])


def _forced(terms: Terms, scheme: Radau, start: float, length: float) -> tuple[NDArray, NDArray]:
    """What the conditions that are kept make of the values and velocities at the start, [2, P], and what they leave free."""
    space = terms.space
    none = np.zeros((scheme.stages + 1, space.size))
    kept = kept_of(terms, start, [none[0]] * 3)
    if kept is None:
        return none[:2], np.eye(space.size)
    held = [held for held in terms.solved if is_kept(held)]
    wrong = [residuals(space, each, start + scheme.nodes * length, [none] * 3).reshape(len(none), -1) for each in held]
    given = -np.concatenate(wrong, axis=1) @ kept.mends.T
    _, slope, _ = scheme.at(np.zeros(1))
    return np.concatenate([given[:1], slope @ given / length]), kept.free


def _lifted(goal: Objective, terms: Discrete, time: Timeline) -> float:
    """How large the values are that are met by construction, root mean square."""
    points = terms.solved[0].points
    found, points = [], points[:: max(len(points) // _LIFTED, 1)].copy()
    for moment in (time.start, (time.start + time.end) / 2, time.end):
        points[:, time.axis] = moment
        found.append(float(np.sqrt(np.mean(np.square(given_values(goal, {}, jnp.asarray(points)))))))
    return max(found)
