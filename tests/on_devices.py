"""Run by test_devices.py in processes of its own: each method's result on some of the devices that there are, as JSON.

python on_devices.py METHODS DEVICES                 METHODS and DEVICES are lists such as adam,features and 1,8
python on_devices.py METHODS all PORT COUNT RANK     as one of COUNT processes
"""

import json
import sys
from functools import cache, partial

import jax

if __name__ == "__main__" and len(sys.argv) > 3:
    jax.distributed.initialize(f"127.0.0.1:{sys.argv[3]}", int(sys.argv[4]), int(sys.argv[5]), initialization_timeout=120)

import jax.numpy as jnp
import numpy as np
import optax
from helpers import random_network

import pinn
from pinn import sampling
from pinn.derivatives import tanh
from pinn.devices import chosen, home, is_first, over_rows, reduced, spread
from pinn.exact import plan_exact
from pinn.families import Family
from pinn.features import Setup, fit
from pinn.history import Clock, History
from pinn.journal import NOTHING
from pinn.loss import field_values, objective
from pinn.mixed import mixed
from pinn.operator_learning.plan import recommend_operator
from pinn.operator_learning.solve import _learned
from pinn.phases import Phase, run_phases
from problems import bratu, exam_ode
from problems.denoising import antiderivative

POINTS = jnp.linspace(0, 1, 20)[:, None]
STEPS = {
    "adam": (optax.adam(1e-3), 20),
    "lbfgs": (optax.lbfgs(), 5),
    "ssbroyden": (pinn.ssbroyden(), 5),
    "gauss-newton": (pinn.gauss_newton(), 3),
}


def setup(problem):
    return Setup(problem, plan_exact(problem, None), (0,), jnp.dtype("float64"))


@cache
def network():
    return random_network(exam_ode.problem())


def phase(name):
    """Some steps on 301 points, which no number of devices divides."""
    goal, weights = network()
    chosen_setup = setup(goal.problem)
    goal, (method, steps) = objective(goal.problem, goal.approximation, chosen_setup.exact), STEPS[name]
    phases, points = [Phase(method, steps=steps)], {"equation": 301, "condition": 1}
    found, _ = run_phases(chosen_setup, goal, weights, phases, points, Clock(None), History())
    return field_values(goal, found, POINTS)


def features(problem):
    """Least squares in 60 features, to convergence."""
    found = fit(setup(problem), Family(tanh, (2.0,) * problem.domain.dimension), 60)
    goal = objective(problem, found.approximation, plan_exact(problem, None))
    return field_values(goal, found.weights, POINTS)


def refined():
    """The same where matrices are factored in float32."""
    with mixed():
        return features(exam_ode.problem())


def operator():
    """Eleven steps of a DeepONet, and its last layer."""
    dense = partial(pinn.DeepONet, rank=8, branch=partial(pinn.DenseBranch, width=8), trunk=partial(pinn.MLP, width=8, depth=1))
    problem = antiderivative.problem(sensors=12)
    plan = recommend_operator(problem, network=dense, method=Phase(optax.adam(1e-3), steps=11))
    trained, _ = _learned(problem, plan, (0,), Clock(1e5), NOTHING)
    values = jax.random.normal(sampling.key((0,)), (12,))
    return trained.learner.outputs(trained.state, values, jnp.asarray(problem.sensors), None, POINTS)


@jax.jit
def rows():
    """What all methods stand on, for 31 rows: a sum and its gradient, and AᵀA of a triangle."""
    x, matrix = jnp.linspace(0, 1, 31), jax.random.normal(jax.random.key(0), (31, 4))
    value = jax.value_and_grad(lambda w: jnp.sum(over_rows(lambda x: jnp.sin(w * x), x, 3) ** 2))(2.0)
    triangle = reduced([matrix[:5], matrix[5:]])
    return jnp.concatenate([jnp.stack(value), (triangle.T @ triangle).ravel()])


METHODS = {name: partial(phase, name) for name in STEPS} | {
    "rows": rows,
    "features": lambda: features(exam_ode.problem()),
    "newton": lambda: features(bratu.problem()),
    "refined": refined,
    "operator": operator,
}


def main(methods, counts):
    with jax.default_matmul_precision("highest"):
        for name in methods.split(","):
            for count in [None] if counts == "all" else map(int, counts.split(",")):
                with spread(chosen(count)):
                    found = home(METHODS[name]())
                if is_first():
                    print(json.dumps([name, count or jax.device_count(), np.asarray(found).ravel().tolist()]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
    if len(sys.argv) > 3:
        jax.distributed.shutdown()
