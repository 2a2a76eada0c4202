"""Products of functions of each coordinate: derivatives, what they vanish at, sums on grids, the problems that they solve."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial import chebyshev

import pinn
from pinn import d, laplacian
from pinn.approximation import Slabs, slab_by_slab
from pinn.derivatives import Jet
from pinn.exact import plan_exact
from pinn.kinds import describe, rebuild
from pinn.krylov import gmres
from pinn.loss import values_at
from pinn.separability import End, separable
from pinn.separable import make_separable
from pinn.space import Level
from pinn.staged import Functions, StagedProducts
from pinn.steep import steep_coordinate
from pinn.steps import steps_exact
from pinn.timeline import timeline

BOX = pinn.Box(t=(0, 1), x=(-1, 1), y=(0, 4))
FLAT = pinn.Initial(u=0.0)


def heat(*conditions, residual=None, fields="u", domain=BOX):
    residual = residual or (lambda u, t, x, y: d(u, t) - laplacian(u, x, y))
    return pinn.Problem(fields=fields, domain=domain, residual=residual, conditions=conditions)


def walled(**walls):
    return heat(FLAT, pinn.Dirichlet(**(walls or {"u": 0.0}), on=BOX.boundary))


def parts_of(problem):
    exact = plan_exact(problem, None)
    time = timeline(problem, exact)
    assert time is not None
    return steps_exact(exact, time), time


def ends_of(problem):
    exact, time = parts_of(problem)
    return separable(problem, exact, time)


def made(problem, width=400, steep=()):
    exact, time = parts_of(problem)
    ends = separable(problem, exact, time)
    assert ends is not None
    return make_separable(problem, exact, time.axis, Level(width, 6, 1e-6, steep), ends, (0,))


# --- functions of one coordinate ---------------------------------------------------------------------------------------------


def test_polynomials_and_their_derivatives_are_numpys():
    own, x = Functions(0, False, 9), np.linspace(-0.95, 0.95, 7)
    found = jax.vmap(lambda p: [own.at(Jet.variable(p, [(3,)])).part((i,)) for i in range(4)])(jnp.asarray(x[:, None]))
    for order in range(4):
        columns = [chebyshev.chebval(x, chebyshev.chebder(np.eye(10)[k], order)) for k in range(10)]
        np.testing.assert_allclose(found[order], np.stack(columns, axis=1), atol=1e-9)


def test_polynomials_have_derivatives_at_the_ends():
    own = Functions(0, False, 5)
    slope = jax.jacfwd(lambda x: own.at(x))(jnp.ones(1))[:, 0]
    bend = jax.jacfwd(jax.jacfwd(lambda x: own.at(x)))(-jnp.ones(1))[:, 0, 0]
    np.testing.assert_allclose(slope, np.arange(6) ** 2, atol=1e-12)
    k = np.arange(6)
    np.testing.assert_allclose(bend, (-1.0) ** k * k**2 * (k**2 - 1) / 3, atol=1e-11)


def test_waves_and_their_derivatives():
    own, x = Functions(0, True, 3), np.linspace(-3, 3, 5)
    value, slope, bend = (own.at(Jet.variable(jnp.asarray(x[2:3]), [(2,)])).part((i,)) for i in range(3))
    k = np.arange(1, 4)
    np.testing.assert_allclose(value, [1, *np.cos(k * x[2]), *np.sin(k * x[2])], atol=1e-14)
    np.testing.assert_allclose(slope, [0, *(-k * np.sin(k * x[2])), *(k * np.cos(k * x[2]))], atol=1e-14)
    np.testing.assert_allclose(bend[1:4], -(k**2) * np.cos(k * x[2]), atol=1e-14)


@pytest.mark.parametrize("periodic", [True, False])
def test_products_have_the_mean_of_one_and_diagonal_slopes(periodic):
    space = made(heat(FLAT, pinn.Periodic("x"), pinn.Periodic("y")) if periodic else walled())
    grid = space.grid(space.problem.terms[0], [line.places for line in space.lines], [line.shares for line in space.lines], 0.0)
    for line, table in zip(space.lines, grid.tables, strict=True):
        weights = line.shares[:, None] / len(line.places)
        np.testing.assert_allclose(table[0].T @ (weights * table[0]), np.eye(line.size), atol=1e-11)
        bends = table[0].T @ (weights * table[2])  # walls and periodicity make it minus the product of slopes
        np.testing.assert_allclose(bends, np.diag(np.diag(bends)), atol=1e-10 * np.abs(bends).max())
        assert np.max(np.diag(bends)) < 1e-10 * np.abs(bends).max()


def test_so_many_products_as_are_asked_for_and_alike_in_all_directions():
    first, second = made(walled(), 1000).lines
    assert 0.8 * 1000 < first.functions.size * second.functions.size <= 1000
    assert second.functions.highest == pytest.approx(2 * first.functions.highest, abs=1)


@pytest.mark.parametrize(("order", "condition"), [(1, pinn.Neumann), (0, pinn.Dirichlet)])
def test_functions_vanish_at_the_ends_as_asked(order, condition):
    space = made(heat(FLAT, condition(u=0.0, on=BOX.boundary)))
    for line, (low, high) in zip(space.lines, ((-1, 1), (0, 4)), strict=True):
        ends = space.grid(space.problem.terms[0], [np.array([low, high])] * 2, [np.ones(2)] * 2, 0.0)
        size = np.abs(ends.tables[space.lines.index(line)][2]).max()
        slopes = space._table(line, np.array([low, high], float), {order})[order]
        np.testing.assert_allclose(slopes, 0, atol=1e-9 * size)


# --- sums on grids -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [False, True])
def test_leaves_on_a_grid_are_what_the_network_says(layer):
    z = np.linspace(-1, 1, 400)
    steep = (steep_coordinate(1, z, np.exp(-((z - 0.3) ** 2) / 0.01), False, broad=True),) if layer else ()
    space = made(walled(), 60, steep)
    coefficients = np.random.default_rng(0).normal(size=(1, 7, space.size))
    part, state = space.network(6)
    raw = space.coefficients(coefficients)
    run = {**state, "train": {"output": {"kernel": jnp.asarray(raw[0]), "bias": jnp.zeros(1)}}}
    places = [np.array([-0.7, 0.1, 0.9]), np.array([0.5, 3.0])]
    grid = space.grid(space.problem.terms[0], places, [np.ones(3), np.ones(2)], 1.0)
    found = grid.leaves([coefficients[:, -1]] * 2)
    reads = {(read.order, read.derivatives): found[:, i] for i, read in enumerate(grid.reads)}

    def value(p):
        return part.values(run, p)[0]

    hessians = jax.vmap(jax.hessian(value))(jnp.asarray(grid.points))
    np.testing.assert_allclose(reads[1, (0, 0)], jax.vmap(value)(jnp.asarray(grid.points)), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(reads[0, (2, 0)], hessians[:, 1, 1], rtol=1e-7, atol=1e-7 * np.abs(hessians).max())
    np.testing.assert_allclose(reads[0, (0, 2)], hessians[:, 2, 2], rtol=1e-7, atol=1e-7 * np.abs(hessians).max())
    jets = pinn.derivatives.taylor(lambda p: part.values(run, p), jnp.asarray(grid.points[0]), [(0, 2, 0)])
    np.testing.assert_allclose(jets[0, 2, 0][0], hessians[0, 1, 1], rtol=1e-7)
    read = space.reader(grid.points)("u", np.ones(6, bool), coefficients[0])
    np.testing.assert_allclose(read[:, -1], reads[1, (0, 0)], rtol=1e-9, atol=1e-9)


def test_means_of_what_products_add_up_to_are_its_coefficients():
    space = made(walled())
    grid = space.grid(space.problem.terms[0], [line.places for line in space.lines], [line.shares for line in space.lines], 0.0)
    state = np.random.default_rng(0).normal(size=(2, space.size))
    (leaf,) = grid.leaves_of([[read.order for read in grid.reads].index(1)], [state, state])
    np.testing.assert_allclose(grid.tested(leaf[:, None]), state, atol=1e-12)


def test_a_network_of_products_is_described_and_made_again():
    network = StagedProducts(2, jnp.float64, (Functions(1, False, 3), Functions(2, True, 2)), stages=4, time=0)
    again = rebuild(describe(network), 3, 2, jnp.float64)
    assert describe(again) == describe(network) and again.output.kernel.shape == (5 * 4 * 5, 2)
    again.output.kernel[...] = jnp.asarray(np.random.default_rng(0).normal(size=(100, 2)))
    x = jnp.array([0.2, -0.3, 1.1])
    np.testing.assert_allclose(again(x), again.hidden(x) @ again.output.kernel[...], rtol=1e-12)


def test_slabs_one_after_the_other_are_what_all_at_once_are(monkeypatch):
    space = made(walled(), 60)
    part, state = space.network(3)
    coefficients = np.random.default_rng(0).normal(size=(5, 4, space.size))
    raw = np.concatenate([space.coefficients(coefficients), np.zeros((5, 1, 1))], axis=1)
    kept = {name: state[name] for name in ("frozen", "box", "steps")}
    run = ({"train": {"coefficients": jnp.asarray(raw)}, "edges": jnp.linspace(0, 1, 6), **kept},)
    points = np.random.default_rng(1).uniform([0, -1, 0], [1, 1, 4], (200, 3))
    points[0, 0] = 0.4  # at an end
    slabs, whole = Slabs((part,), 0), values_at(Slabs((part,), 0), run, jnp.asarray(points))
    monkeypatch.setattr("pinn.approximation._MANY", 1)
    found = slab_by_slab(lambda own, rows: values_at(slabs, own, rows), slabs, run, points[:, 0], jnp.asarray(points))
    np.testing.assert_allclose(found, whole, rtol=1e-12, atol=1e-12)


def test_gmres_comes_as_near_as_it_is_asked_to():
    rng = np.random.default_rng(0)
    matrix, right = np.eye(60) + 0.05 * rng.normal(size=(60, 60)), rng.normal(size=(6, 10))
    found, left = gmres(lambda v: (matrix @ v.reshape(-1)).reshape(v.shape), right, 1e-8, 40)
    missing = np.linalg.norm(right.reshape(-1) - matrix @ found.reshape(-1)) / np.linalg.norm(right)
    assert missing < 1e-8 and left == pytest.approx(missing, rel=1e-3)
    nothing, left = gmres(lambda v: v, np.zeros((2, 3)), 1e-8, 5)
    assert not np.any(nothing) and left == 0


# --- which problems ----------------------------------------------------------------------------------------------------------


def test_walls_that_are_built_in_and_periodic_fields_ask_for_nothing_more():
    assert ends_of(walled()) == {}
    assert ends_of(heat(FLAT, pinn.Periodic("x"), pinn.Periodic("y"))) == {}


def test_a_periodic_box_has_no_corners():
    problem = heat(FLAT, pinn.Periodic("x"), pinn.Periodic("y"))
    assert not problem.singular(problem.domain)


def test_slopes_that_vanish_are_asked_of_the_functions():
    ends = ends_of(heat(FLAT, pinn.Neumann(u=0.0, on=BOX.boundary)))
    assert ends is not None
    assert {(axis, end) for axis, own in ends.items() for end in own} == {
        (axis, End(place, ((1, 1.0),))) for axis, places in ((1, (-1.0, 1.0)), (2, (0.0, 4.0))) for place in places
    }


def test_robin_walls_are_asked_of_the_functions():
    ends = ends_of(heat(FLAT, pinn.Robin(u=(2.0, 1.0, 0.0), on=BOX.boundary)))
    assert ends is not None
    assert {end for end in ends[1]} == {End(-1.0, ((0, -1.0), (1, 0.5))), End(1.0, ((0, 1.0), (1, 0.5)))}


def pair(*conditions):
    def mixing(u, v, t, x, y):
        return d(u, t) - laplacian(u, x, y) + v, d(v, t) - laplacian(v, x, y) - u

    return heat(pinn.Initial(u=0.0, v=0.0), *conditions, residual=mixing, fields="u v")


def stream(p, w, t, x, y):
    return d(w, t) - laplacian(w, x, y), laplacian(p, x, y) + w


NOT_SEPARABLE = {
    "a flux": lambda: heat(FLAT, pinn.Neumann(u=1.0, on=BOX.boundary)),
    "parts of a face": lambda: heat(
        FLAT, *(pinn.Neumann(u=0.0, on=BOX.boundary.where(part)) for part in (lambda x, y: y < 2, lambda x, y: y >= 2))
    ),
    "slopes that vary": lambda: heat(FLAT, pinn.Robin(u=(lambda y: 1 + y, 1.0, 0.0), on=BOX.boundary)),
    "other walls of another field": lambda: pair(pinn.Neumann(u=0.0, on=BOX.boundary), pinn.Dirichlet(v=0.0, on=BOX.boundary)),
    "a field that does not evolve": lambda: pinn.Problem(
        fields="p w",
        domain=BOX,
        residual=stream,
        conditions=[pinn.Initial(w=0.0), pinn.Dirichlet(p=0.0, w=0.0, on=BOX.boundary)],
    ),
    "a tangential slope": lambda: heat(FLAT, pinn.Condition(lambda u, x, y: d(u, x) + d(u, y), on=BOX.boundary)),
}


@pytest.mark.parametrize("why", NOT_SEPARABLE)
def test_what_products_cannot_take_is_left_to_features_of_all_coordinates(why):
    assert ends_of(NOT_SEPARABLE[why]()) is None


def test_systems_with_the_same_walls_are_taken():
    assert set(ends_of(pair(pinn.Neumann(u=0.0, v=0.0, on=BOX.boundary))) or {}) == {1, 2}


def test_one_coordinate_of_space_needs_no_products():
    line = pinn.Box(t=(0, 1), x=(0, 1))
    walls = pinn.Dirichlet(u=0.0, on=line.boundary)
    assert ends_of(heat(FLAT, walls, residual=lambda u, t, x: d(u, t) - d(u, x, x), domain=line)) is None


# --- solutions ---------------------------------------------------------------------------------------------------------------


def judged(problem, tol, most):
    solution = pinn.solve(problem, tol=tol, progress=False)
    true = max(field.relative_l2 for field in solution.errors().fields.values())
    assert solution.setup.level is not None and "products of functions" in str(solution.plan)
    assert solution.status is pinn.Status.REACHED and true < most
    return solution, true


@pytest.mark.slow
def test_a_nonlinear_equation_with_given_walls_that_move(tmp_path):
    box = pinn.Box(t=(0, 1), x=(0, 1), y=(0, 1))

    def wave(t, x, y):
        return jnp.exp(-t) * jnp.sin(3 * x + 2 * y)

    def balance(u, t, x, y):
        return d(u, t) - laplacian(u, x, y) + u**3 - 12 * wave(t, x, y) - wave(t, x, y) ** 3

    problem = pinn.Problem(
        fields="u",
        domain=box,
        residual=balance,
        conditions=[pinn.Initial(u=lambda x, y: wave(0.0, x, y)), pinn.Dirichlet(u=wave, on=box.boundary)],
        reference=wave,
    )
    solution, true = judged(problem, 1e-7, 1e-7)
    assert 0.2 < solution.error_estimate["u"] / true < 5
    solution.save(tmp_path / "kept")
    points = {"t": np.array([0.3, 0.9]), "x": np.array([0.2, 0.8]), "y": np.array([0.7, 0.1])}
    np.testing.assert_array_equal(pinn.load(tmp_path / "kept")(**points), solution(**points))


def test_waves_between_walls_that_reflect():
    box = pinn.Box(t=(0, 1), x=(0, 1), y=(0, 1))
    problem = pinn.Problem(
        fields="u",
        domain=box,
        residual=lambda u, t, x, y: (
            d(u, t, t)
            - laplacian(u, x, y)
            + u**3
            - jnp.cos(jnp.pi * x) ** 3 * jnp.cos(t) ** 3
            # what makes cos t cos πx a solution
            - (jnp.pi**2 - 1) * jnp.cos(t) * jnp.cos(jnp.pi * x)
        ),
        conditions=[
            pinn.Initial(u=lambda x, y: jnp.cos(jnp.pi * x)),
            pinn.InitialVelocity(u=0.0),
            pinn.Neumann(u=0.0, on=box.boundary),
        ],
        reference=lambda t, x, y: jnp.cos(t) * jnp.cos(jnp.pi * x),
    )
    judged(problem, 1e-7, 1e-7)


@pytest.mark.slow
def test_a_pair_of_fields_in_three_coordinates():
    """Two fields that turn into each other while they diffuse, in a periodic box; e^{-3t} sin x sin y sin z turned by t."""
    whole = 2 * np.pi
    box = pinn.Box(t=(0, 0.5), x=(0, whole), y=(0, whole), z=(0, whole))

    def turning(u, v, t, x, y, z):
        square = u**2 + v**2
        forced = jnp.exp(-6 * t) * (jnp.sin(x) * jnp.sin(y) * jnp.sin(z)) ** 2
        first = d(u, t) - laplacian(u, x, y, z) + v * (1 + square - forced)
        return first, d(v, t) - laplacian(v, x, y, z) - u * (1 + square - forced)

    def still(t, x, y, z):
        return jnp.exp(-3 * t) * jnp.sin(x) * jnp.sin(y) * jnp.sin(z)

    problem = pinn.Problem(
        fields="u v",
        domain=box,
        residual=turning,
        conditions=[pinn.Initial(u=lambda x, y, z: still(0.0, x, y, z), v=0.0), *(pinn.Periodic(name) for name in "xyz")],
        reference=lambda t, x, y, z: {"u": jnp.cos(t) * still(t, x, y, z), "v": jnp.sin(t) * still(t, x, y, z)},
    )
    judged(problem, 1e-6, 1e-6)
