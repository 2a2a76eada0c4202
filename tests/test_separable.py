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
from pinn.krylov import Inverse, Products, _Change, gmres
from pinn.loss import values_at
from pinn.separability import End, separable
from pinn.separable import make_separable
from pinn.space import Level
from pinn.staged import Functions, StagedProducts
from pinn.steep import steep_coordinate
from pinn.stepping import residuals
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
    found = separable(problem, exact, time)
    return None if found is None else found.ends


def made(problem, width=400, steep=()):
    exact, time = parts_of(problem)
    found = separable(problem, exact, time)
    assert found is not None
    return make_separable(problem, exact, time.axis, Level(width, 6, 1e-6, steep), found.ends, (0,))


def on_quadrature(space):
    """The first term where the functions of each coordinate are orthogonal, its components tested with the first fields'."""
    places, shares = [line.places for line in space.lines], [line.shares for line in space.lines]
    term, fields = space.problem.terms[0], space.problem.fields
    return space.grid(term, places, shares, 0.0, fields[: len(term.expression.components)])


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
    for line, table in zip(space.lines, on_quadrature(space).tables[0], strict=True):
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
        table = space._table(line, 0, np.array([low, high], float), {order, 2})
        size, slopes = np.abs(table[2]).max(), table[order]
        np.testing.assert_allclose(slopes, 0, atol=1e-9 * size)


# --- sums on grids -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
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
    grid = on_quadrature(space)
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
    assert ends_of(walled()) == {"u": {}}
    assert ends_of(heat(FLAT, pinn.Periodic("x"), pinn.Periodic("y"))) == {"u": {}}


def test_a_periodic_box_has_no_corners():
    problem = heat(FLAT, pinn.Periodic("x"), pinn.Periodic("y"))
    assert not problem.singular(problem.domain)


def test_slopes_that_vanish_are_asked_of_the_functions():
    ends = ends_of(heat(FLAT, pinn.Neumann(u=0.0, on=BOX.boundary)))
    assert ends is not None
    assert {(axis, end) for axis, own in ends["u"].items() for end in own} == {
        (axis, End(place, ((1, 1.0),))) for axis, places in ((1, (-1.0, 1.0)), (2, (0.0, 4.0))) for place in places
    }


def test_robin_walls_are_asked_of_the_functions():
    ends = ends_of(heat(FLAT, pinn.Robin(u=(2.0, 1.0, 0.0), on=BOX.boundary)))
    assert ends is not None
    assert set(ends["u"][1]) == {End(-1.0, ((0, -1.0), (1, 0.5))), End(1.0, ((0, 1.0), (1, 0.5)))}


def pair(*conditions):
    """The equation of v comes first."""

    def mixing(u, v, t, x, y):
        return d(v, t) - laplacian(v, x, y) - u, d(u, t) - laplacian(u, x, y) + v

    return heat(pinn.Initial(u=0.0, v=0.0), *conditions, residual=mixing, fields="u v")


def unlike():
    return pair(pinn.Neumann(u=0.0, on=BOX.boundary), pinn.Dirichlet(v=0.0, on=BOX.boundary))


def entangled(u, v, t, x, y):
    return d(u, t) + d(v, t) - laplacian(u, x, y), u - laplacian(v, x, y)


def stream(p, w, t, x, y):
    return d(w, t) - laplacian(w, x, y), laplacian(p, x, y) + w


NOT_SEPARABLE = {
    "a flux": lambda: heat(FLAT, pinn.Neumann(u=1.0, on=BOX.boundary)),
    "parts of a face": lambda: heat(
        FLAT, *(pinn.Neumann(u=0.0, on=BOX.boundary.where(part)) for part in (lambda x, y: y < 2, lambda x, y: y >= 2))
    ),
    "slopes that vary": lambda: heat(FLAT, pinn.Robin(u=(lambda y: 1 + y, 1.0, 0.0), on=BOX.boundary)),
    "other walls of a field that no equation makes evolve": lambda: heat(
        pinn.Initial(u=0.0, v=0.0),
        pinn.Neumann(u=0.0, on=BOX.boundary),
        pinn.Dirichlet(v=0.0, on=BOX.boundary),
        residual=entangled,
        fields="u v",
    ),
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
    ends = ends_of(pair(pinn.Neumann(u=0.0, v=0.0, on=BOX.boundary)))
    assert ends is not None and ends["u"] == ends["v"] and set(ends["u"]) == {1, 2}


def test_fields_with_different_walls_have_functions_of_their_own():
    exact, time = parts_of(unlike())
    found = separable(unlike(), exact, time)
    assert found is not None and found.tests == ("v", "u")
    assert set(found.ends["u"]) == {1, 2} and found.ends["v"] == {}
    space = made(unlike())
    line, ends = space.lines[0], np.array([-1.0, 1.0])
    assert space.kinds == (0, 1) and line.turns[0].shape == line.turns[1].shape
    assert sum(np.any(line.turns[0], axis=0)) == sum(np.any(line.turns[1], axis=0)) == line.functions.size - 2
    slopes, values = space._table(line, 0, ends, {1, 2}), space._table(line, 1, ends, {0})
    np.testing.assert_allclose(slopes[1], 0, atol=1e-9 * np.abs(slopes[2]).max())
    np.testing.assert_allclose(values[0], 0, atol=1e-12)
    assert np.abs(space._table(line, 0, ends, {0})[0]).max() > 0.1


def test_a_thin_box_has_functions_that_its_walls_leave():
    thin = pinn.Box(t=(0, 1), x=(0, 1), y=(0, 0.01))
    walls = [pinn.Neumann(u=0.0, on=thin.boundary), pinn.Dirichlet(v=0.0, on=thin.boundary)]

    def mixing(u, v, t, x, y):
        return d(u, t) - laplacian(u, x, y) + v, d(v, t) - laplacian(v, x, y) - u

    space = made(heat(pinn.Initial(u=0.0, v=0.0), *walls, residual=mixing, fields="u v", domain=thin), 100)
    assert [line.functions.highest for line in space.lines] == [19, 4]
    assert all(np.sum(np.any(turn, axis=0)) == 3 for turn in space.lines[1].turns)


def test_leaves_of_fields_with_different_walls_are_what_the_network_says():
    space = made(unlike(), 60)
    coefficients = np.random.default_rng(0).normal(size=(1, 4, space.size))
    part, state = space.network(3)
    raw = space.coefficients(coefficients)
    run = {**state, "train": {"output": {"kernel": jnp.asarray(raw[0]), "bias": jnp.zeros(2)}}}
    grid = space.grid(space.problem.terms[0], [np.array([-0.7, 0.1]), np.array([0.5, 3.0])], [np.ones(2)] * 2, 1.0)
    found = grid.leaves([coefficients[:, -1]] * 2)
    for i, read in enumerate(grid.reads):
        if read.order == 0:
            index = (0, *read.derivatives)
            jets = [pinn.derivatives.taylor(lambda p: part.values(run, p), jnp.asarray(p), [index]) for p in grid.points]
            wanted = np.stack([jet[index][read.field] for jet in jets])
            np.testing.assert_allclose(found[:, i], wanted, rtol=1e-8, atol=1e-8 * np.abs(wanted).max())
    for i, name in enumerate(space.problem.fields):
        own = coefficients[0][:, space.parts[name]]
        wanted = jax.vmap(lambda p, i=i: part.values(run, p)[i])(jnp.asarray(grid.points))
        np.testing.assert_allclose(space.reader(grid.points)(name, np.ones(4, bool), own)[:, -1], wanted, rtol=1e-9, atol=1e-9)


def test_each_component_is_tested_with_the_functions_of_its_field():
    space = made(unlike())
    grid = on_quadrature(space)._replace(tests=(1, 0))
    there = [np.multiply.outer(*(np.any(line.turns[kind], axis=0) for line in space.lines)).reshape(-1) for kind in space.kinds]
    state = np.random.default_rng(0).normal(size=(2, space.size)) * np.concatenate(there)
    which = [[(read.order, read.field) for read in grid.reads].index((1, field)) for field in (1, 0)]
    v, u = grid.leaves_of(which, [state, state])
    tested = grid.tested(np.stack([v, u], axis=1)).reshape(2, 2, -1)
    np.testing.assert_allclose(tested[:, ::-1].reshape(2, -1), state, atol=1e-12)


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
def test_maxwells_equations_in_a_cavity():
    """The electric field vanishes on the walls, nothing is asked of the magnetic one."""
    box, p, w = pinn.Box(t=(0, 2), x=(0, 1), y=(0, 1)), np.pi, np.pi * np.sqrt(5)

    def maxwell(E, H, G, t, x, y):
        return d(E, t) - d(G, x) + d(H, y), d(H, t) + d(E, y), d(G, t) - d(E, x)

    problem = pinn.Problem(
        fields="E H G",
        domain=box,
        residual=maxwell,
        conditions=[
            pinn.Initial(E=lambda x, y: jnp.sin(p * x) * jnp.sin(2 * p * y), H=0.0, G=0.0),
            pinn.Dirichlet(E=0.0, on=box.boundary),
        ],
        reference=lambda t, x, y: {
            "E": jnp.sin(p * x) * jnp.sin(2 * p * y) * jnp.cos(w * t),
            "H": -2 * p / w * jnp.sin(p * x) * jnp.cos(2 * p * y) * jnp.sin(w * t),
            "G": p / w * jnp.cos(p * x) * jnp.sin(2 * p * y) * jnp.sin(w * t),
        },
    )
    judged(problem, 1e-8, 1e-8)


@pytest.mark.slow
def test_sound_between_walls_that_reflect_each_component_where_it_meets_them():
    box, w = pinn.Box(t=(0, 1), x=(0, 1), y=(0, 1)), np.pi * np.sqrt(5)

    def sound(p, u, v, t, x, y):
        return d(p, t) + d(u, x) + d(v, y), d(u, t) + d(p, x), d(v, t) + d(p, y)

    def standing(t, x, y):
        a, b = jnp.pi * x, 2 * jnp.pi * y
        return {
            "p": jnp.cos(a) * jnp.cos(b) * jnp.cos(w * t),
            "u": np.pi / w * jnp.sin(a) * jnp.cos(b) * jnp.sin(w * t),
            "v": 2 * np.pi / w * jnp.cos(a) * jnp.sin(b) * jnp.sin(w * t),
        }

    problem = pinn.Problem(
        fields="p u v",
        domain=box,
        residual=sound,
        conditions=[
            pinn.Initial(p=lambda x, y: standing(0.0, x, y)["p"], u=0.0, v=0.0),
            pinn.Dirichlet(u=0.0, on=box.at(x=(0, 1))),
            pinn.Dirichlet(v=0.0, on=box.at(y=(0, 1))),
        ],
        reference=standing,
    )
    judged(problem, 1e-6, 1e-6)


def test_what_couples_fields_with_even_coefficients_gmres_need_not_find():
    """Sound: P is the equations themselves, so that it takes one product of GMRES."""
    box = pinn.Box(t=(0, 1), x=(0, 1), y=(0, 2))
    problem = pinn.Problem(
        fields="p u v",
        domain=box,
        residual=lambda p, u, v, t, x, y: (d(u, t) + d(p, x), d(p, t) + d(u, x) + d(v, y), d(v, t) + d(p, y)),
        conditions=[
            pinn.Initial(p=lambda x: jnp.cos(np.pi * x), u=0.0, v=0.0),
            pinn.Dirichlet(u=0.0, on=box.at(x=(0, 1))),
            pinn.Dirichlet(v=0.0, on=box.at(y=(0, 2))),
        ],
    )
    exact, time = parts_of(problem)
    found = separable(problem, exact, time)
    assert found is not None and found.tests == ("u", "p", "v")
    space = make_separable(problem, exact, 0, Level(100, 3, 1e-6), found.ends, (0,))
    places, shares = [line.places for line in space.lines], [line.shares for line in space.lines]
    grid = space.grid(problem.terms[0], places, shares, 0.0, found.tests)
    zero, factor = [np.zeros((1, space.size))] * 3, 4.0 + 2.0j
    symbol = Products(space, (grid,), ()).linearised(0.5, 0.0, [each[0] for each in zero])
    inverse = Inverse.of(symbol, factor, (1, 2), space.shape)
    right = np.random.default_rng(0).normal(size=(3, *space.shape)).astype(complex)
    states = [inverse.by(right).reshape(1, -1) * factor**order for order in range(3)]
    change = _Change.of(space, grid, residuals(space, grid, np.zeros(1), zero, True)[1])
    real, imaginary = (change.by([part(each) for each in states])[0] for part in (np.real, np.imag))
    across = (real + 1j * imaginary).reshape(3, -1)
    there = np.stack(
        [np.multiply.outer(*(np.any(line.turns[k], axis=0) for line in space.lines)).reshape(-1) for k in space.kinds]
    )
    wanted = right.reshape(3, -1) * there
    np.testing.assert_allclose(across[[1, 0, 2]] * there, wanted, atol=1e-10)


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
