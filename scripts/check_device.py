"""Does a device compute what a CPU does, and how fast? `python scripts/check_device.py --device gpu`

The pieces that every solve is made of are run on the device and, in float64, on the CPU: residuals with second derivatives, a
gradient of the loss, the triangle of Gauss-Newton, and a least-squares solve. Printed are the largest difference, relative to
the largest value, against what is allowed for the precision; the time of a call; floating-point operations per second as XLA
counts them; and their share of what the device reaches in a matrix product of the same precision. The
device must be idle otherwise. Ends with 1 where a
difference is too large, with 2 where there is no such device.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import pinn
from pinn.ansatz import choose_engine, wrap
from pinn.approximation import together
from pinn.exact import plan_exact
from pinn.loss import Weights, draw, mean_squares, objective, residuals, trainable, with_trained
from pinn.networks import Encoding
from pinn.phases import jacobian
from problems import burgers

ALLOWED = {"float64": 1e-9, "float32": 1e-3}  # differences, relative: second derivatives lose digits
_SIDE = {"cpu": 1024}  # of the matrix product; 4096 elsewhere
_CHUNK = 256  # points that pinn computes at a time on each device
_SECONDS = 0.5  # that a piece is timed for


class Piece(NamedTuple):
    """Something to compute: a function of arrays that jit compiles, and the arrays in float64.

    `part` are arguments for 1/`times` of the work, without a loop: XLA counts what is in a loop once. Where there
    are none, `times` is the count itself: XLA does not count LAPACK's operations.
    """

    name: str
    function: Callable
    arguments: tuple
    part: tuple
    times: float


def pieces(points: int) -> list[Piece]:
    """What solves are made of, for Burgers' equation and four layers of 64."""
    problem = burgers.problem()
    exact, (lower, upper) = plan_exact(problem, None), problem.domain.bounds
    encoding = Encoding(lower, upper, exact.periodic)
    network = pinn.MLP(encoding.size, 1, width=64, depth=4, rngs=nnx.Rngs(0), dtype=jnp.float64)
    part, state = wrap(network, ("u",), (0, 1), encoding, exact, jnp.ones(1), choose_engine(network))
    goal, weights = objective(problem, together(("u",), (part,)), exact), Weights((state,), {})
    batches = draw(goal, {"equation": points, "condition": 64}, (0,), jnp.float64)
    few, chunk = (tuple(jax.tree.map(lambda a, n=n: a[:n], batch) for batch in batches) for n in (points // 16, _CHUNK))
    balance = jnp.ones(len(goal.terms))

    def loss(trained: Any, weights: Weights, batches: Any) -> Any:
        return jnp.sum(mean_squares(residuals(goal, with_trained(weights, trained), batches)))

    def normal(trained: Any, weights: Weights, batches: Any, balance: Any) -> Any:
        rows, slopes = jacobian(goal, trained, weights, batches, balance)
        return slopes.T @ slopes, slopes.T @ rows

    def by_qr(a: Any, b: Any) -> Any:
        orthogonal, upper = jnp.linalg.qr(a)
        return jax.scipy.linalg.solve_triangular(upper, orthogonal.T @ b)

    trained = trainable(weights)
    rng = np.random.default_rng(0)
    matrix, right = jnp.asarray(rng.normal(size=(2000, 200))), jnp.asarray(rng.normal(size=2000))
    return [
        Piece("residuals", partial(residuals, goal), (weights, batches), (weights, chunk), points / _CHUNK),
        Piece("gradient of the loss", jax.grad(loss), (trained, weights, batches), (trained, weights, chunk), points / _CHUNK),
        Piece(
            "Gauss-Newton's matrix",
            normal,
            (trained, weights, few, balance),
            (trained, weights, chunk, balance),
            points / 16 / _CHUNK,
        ),
        Piece("least squares by QR", by_qr, (matrix, right), (), 2 * 2000 * 200**2 - 2 / 3 * 200**3),
    ]


def difference(found: Any, known: Any) -> float:
    """The largest difference of two trees' arrays, each relative to its largest value."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(known), strict=True)
    sizes = [(np.asarray(a, float), np.asarray(b)) for a, b in pairs]
    return max(float(np.max(np.abs(a - b)) / max(np.max(np.abs(b)), 1e-300)) for a, b in sizes if b.size)


def cast(tree: Any, dtype: str, device: Any) -> Any:
    return jax.device_put(jax.tree.map(lambda a: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree), device)


def timed(compiled: Callable, arguments: tuple) -> float:
    """Seconds of a call, the median of as many as half a second allows and at least three."""
    jax.block_until_ready(compiled(*arguments))
    taken: list[float] = []
    while len(taken) < 3 or sum(taken) < _SECONDS:
        began = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))


def peak(device: Any, dtype: str) -> float:
    """Operations per second in a product of square matrices."""
    side = _SIDE.get(device.platform, 4096)
    square = jax.device_put(jnp.ones((side, side), dtype), device)
    return 2 * side**3 / timed(jax.jit(jnp.matmul), (square, square))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "gpu", "tpu"], help="default: the fastest kind that JAX finds")
    parser.add_argument("--dtype", choices=list(ALLOWED), help="default float64, and float32 on a TPU, which emulates float64")
    parser.add_argument("--points", type=int, default=16384, help="collocation points, 16384 by default")
    options = parser.parse_args(argv)
    try:
        device = jax.devices(options.device)[0]
    except RuntimeError as error:
        print(f"--device {options.device}: {error}", file=sys.stderr)
        return 2
    dtype = options.dtype or ("float32" if device.platform == "tpu" else "float64")
    host = jax.devices("cpu")[0]
    with jax.default_matmul_precision("highest"):
        with jax.default_device(host):
            tried = pieces(options.points)
        best, wrong = peak(device, dtype), 0
        print(f"{device.device_kind} ({device.platform}), jax {jax.__version__}, {dtype}, {options.points} points")
        print(f"matrix product: {best / 1e9:.1f} GFLOP/s\n")
        print(f"{'piece':<24} {'difference':>10} {'allowed':>8} {'ms':>9} {'GFLOP/s':>8} {'of product':>10}")
        for piece in tried:
            with jax.default_device(host):
                known = jax.jit(piece.function)(*piece.arguments)
            with jax.default_device(device), jax.enable_x64(dtype == "float64"):
                arguments = cast(piece.arguments, dtype, device)
                compiled = jax.jit(piece.function).lower(*arguments).compile()
                gap, seconds = difference(compiled(*arguments), known), timed(compiled, arguments)
            with jax.default_device(host):  # which counts what it compiles: a GPU does not
                counted = jax.jit(piece.function).lower(*piece.part).cost_analysis() if piece.part else {"flops": 1.0}
            rate = piece.times * (counted or {}).get("flops", float("nan")) / seconds
            wrong += not gap <= ALLOWED[dtype]
            share = f"{rate / best:.0%}"
            print(f"{piece.name:<24} {gap:>10.1e} {ALLOWED[dtype]:>8.0e} {1e3 * seconds:>9.2f} {rate / 1e9:>8.1f} {share:>10}")
    print(f"\n{'every piece agrees with the CPU' if not wrong else f'{wrong} of {len(tried)} pieces differ too much'}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
