"""The craft of training networks, measured: each experiment writes one picture, and its numbers to numbers.json.

    python scripts/craft.py                              all of them, a few minutes on two cores
    python scripts/craft.py gradients zero_shot          these two
    python scripts/craft.py --output docs/craft --key 1  elsewhere, with another random key

docs/craft.md explains what they show. In float64; every number is an average over `KEYS` draws where draws matter.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import pinn
from pinn.plotting import arranged, dress, finished

KEYS = 5
STEPS = 600
Panels = list[Callable[[Any], None]]  # each draws on axes
SENSORS, NOISE, LENGTH = 64, 0.25, 0.1  # of the signals: n, σ and the length-scale of a process on the circle [0, 1)


def curves(
    labels: tuple[str, str, str],
    lines: Mapping[str, Any],
    at: Any = None,
    scale: str = "",
    upright: tuple = (),
    level: tuple = (),
) -> Callable[[Any], None]:
    """A panel with the title and axis labels, a curve for each name; `scale` names the logarithmic axes, x, y or xy."""

    def draw(axes: Any) -> None:
        axes.set(xscale="log" if "x" in scale else "linear", yscale="log" if "y" in scale else "linear")
        for name, values in lines.items():
            x = np.arange(1, len(values) + 1) if at is None else at
            axes.plot(x[-len(values) :], values, "--" if name.startswith("10 log") else "-", label=name)
        for place in upright:
            axes.axvline(place, color="0.7", zorder=0)
        for place in level:
            axes.axhline(place, color="0.7", zorder=0)
        dress(axes, *labels, "best" if len(lines) > 1 else None)

    return draw


# --- zero initialisation ---------------------------------------------------------------------------------------------


def initialisation(key: int) -> tuple[dict[str, Any], Panels]:
    """Zero, equal and random weights in an MLP; zero heads in a DeepONet."""
    x = jnp.linspace(-1, 1, 64)[:, None]
    target = jnp.sin(3 * x) + 0.3
    starts = {"all zero": 0.0, "all equal": 0.3, "random (Xavier)": None}
    losses, numbers = {}, {}
    for name, value in starts.items():
        network = pinn.MLP(1, 1, width=16, depth=2, rngs=nnx.Rngs(key))
        if value is not None:
            for layer in [*network.layers, network.output]:
                layer.kernel[...] = jnp.full_like(layer.kernel[...], value)
        losses[name], trained = _train(network, lambda net: jnp.mean((jax.vmap(net)(x) - target) ** 2))
        last = pinn.diagnose(trained, x).layers[-2]
        numbers[name] = {"loss": float(losses[name][-1]), "rank of 16 features": last.rank, "equal neurons": last.equal}
    products, parts = _zero_heads(key)
    error = "step of Adam", "mean squared error"
    panels = [
        curves(("an MLP learns sin 3x + 0.3", *error), losses, scale="y"),
        curves(("a DeepONet learns f(x) → f(1 - x)", *error), products, scale="y"),
    ]
    return {"MLP": numbers, "DeepONet": parts}, panels


def _zero_heads(key: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Losses of a DeepONet whose heads start at zero, and the gradients that reach its parts at the start."""
    sensors = jnp.linspace(0, 1, 20)
    waves = jnp.sin(jnp.pi * jnp.outer(sensors, jnp.arange(1, 4)) + 0.7)
    values = jax.random.normal(jax.random.key(key), (64, 3)) @ waves.T + 0.5
    layout = pinn.Layout(2 * np.asarray(sensors)[:, None] - 1)

    def loss(network: pinn.DeepONet) -> jax.Array:
        def one(u: jax.Array) -> jax.Array:
            code = network.encode(pinn.Seen(u, jnp.asarray(layout.sensors), None, None))
            return jax.vmap(lambda x: network.decode(code, x)[0])(jnp.asarray(layout.sensors))

        return jnp.mean((jax.vmap(one)(values) - values[:, ::-1]) ** 2)

    losses, numbers = {}, {}
    for name, zeroed in {"both heads zero": ("branch", "trunk"), "branch head zero": ("branch",), "random": ()}.items():
        parts = {"branch": partial(pinn.DenseBranch, width=32), "trunk": partial(pinn.MLP, width=32, depth=2)}
        network = pinn.DeepONet(layout, 1, 1, rank=16, rngs=nnx.Rngs(key), **parts)
        for part in zeroed:
            head = getattr(network, part).output
            head.kernel[...], head.bias[...] = 0 * head.kernel[...], 0 * head.bias[...]
        slopes = nnx.to_pure_dict(nnx.grad(loss)(network))
        gradients = {part: float(optax.global_norm(slopes[part])) for part in ("branch", "trunk", "bias")}
        losses[name], _ = _train(network, loss, rate=2e-3)
        numbers[name] = {"loss": float(losses[name][-1])} | {f"|gradient| of {k}": v for k, v in gradients.items()}
    return losses, numbers


def _train(network: Any, loss: Callable[[Any], jax.Array], steps: int = STEPS, rate: float = 5e-3) -> tuple[np.ndarray, Any]:
    """Losses of full-batch Adam, and the trained network."""
    graph, params, rest = nnx.split(network, nnx.Param, ...)
    adam = optax.adam(rate)

    def step(carry: tuple, _: None) -> tuple[tuple, jax.Array]:
        params, state = carry
        value, gradient = jax.value_and_grad(lambda p: loss(nnx.merge(graph, p, rest)))(params)
        updates, state = adam.update(gradient, state)
        return (optax.apply_updates(params, updates), state), value

    (params, _), losses = jax.jit(lambda p: jax.lax.scan(step, (p, adam.init(p)), length=steps))(params)
    return np.asarray(losses), nnx.merge(graph, params, rest)


# --- gradients through thirty layers ---------------------------------------------------------------------------------

ACTIVATIONS = {"sigmoid": pinn.sigmoid, "tanh": pinn.tanh, "relu": pinn.relu, "gelu": pinn.gelu}
INITIAL = "N(0, 0.01²)", "Xavier", "He"
BLOCKS = ("plain", "LayerNorm", "skip", "LayerNorm + skip")


def gradients(key: int, width: int = 64, depth: int = 30) -> tuple[dict[str, Any], Panels]:
    """First layer's gradient over the last one's, and last layer's signal over the first one's."""
    tables = {
        block: np.array([levels(activation, block, key, width, depth) for activation in ACTIVATIONS.values()]) for block in BLOCKS
    }
    numbers = {
        block: {
            a: {w: {"gradient": table[i, j, 0], "signal": table[i, j, 1]} for j, w in enumerate(INITIAL)}
            for i, a in enumerate(ACTIVATIONS)
        }
        for block, table in tables.items()
    }
    return numbers, [partial(_table, block, table) for block, table in tables.items()]


def _table(block: str, table: np.ndarray, axes: Any) -> None:
    """Gradient ratios as colours and numbers, signal ratios in brackets, bold where both are within 0.1 and 10."""
    with np.errstate(divide="ignore"):
        shown = np.clip(np.nan_to_num(np.log10(table[..., 0]), nan=-20.0), -20, 20)
    axes.imshow(shown, cmap="RdBu_r", vmin=-20, vmax=20, aspect="auto")
    for (i, j), value in np.ndenumerate(shown):
        good = np.all((table[i, j] >= 0.1) & (table[i, j] <= 10))
        style: dict[str, Any] = {"color": "white" if abs(value) > 12 else "black", "weight": "bold" if good else "normal"}
        axes.text(j, i, f"{table[i, j, 0]:.0e}\n({table[i, j, 1]:.0e})", ha="center", va="center", fontsize=7, **style)
    dress(axes, block, "", "", grid=False)
    axes.set(xticks=range(3), xticklabels=list(INITIAL), yticks=range(4), yticklabels=list(ACTIVATIONS))


def levels(activation: Callable, block: str, key: int, width: int, depth: int) -> np.ndarray:
    """|∂y/∂W₁| / |∂y/∂W_L| and |h_L| / |h_1| for each way to begin, [3, 2], y a random sum of the last features.

    Medians over keys, for 32 random inputs; W ~ N(0, s²) with s = 0.01, (1 / width)^½ and (2 / width)^½.
    """
    sizes = jnp.array([0.01, (1 / width) ** 0.5, (2 / width) ** 0.5])

    def normal(h: jax.Array) -> jax.Array:
        return (h - jnp.mean(h)) / jnp.sqrt(jnp.var(h) + 1e-300)

    def layer(h: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
        if block == "LayerNorm + skip":
            h = h + activation(normal(h) @ weights)
        else:
            z = h @ weights
            h = activation(normal(z) if block == "LayerNorm" else z) + (h if block == "skip" else 0.0)
        return h, jnp.sum(h**2)

    def once(size: jax.Array, key: jax.Array) -> jax.Array:
        a, b, c = jax.random.split(key, 3)
        weights = size * jax.random.normal(a, (depth, width, width))
        inputs, reader = jax.random.normal(b, (32, width)), jax.random.normal(c, (width,))

        def total(weights: jax.Array) -> tuple[jax.Array, jax.Array]:
            last, squares = jax.vmap(lambda x: jax.lax.scan(layer, x, weights))(inputs)
            return jnp.mean(last @ reader), jnp.mean(squares, axis=0)

        slopes, squares = jax.grad(total, has_aux=True)(weights)
        steep = jnp.linalg.norm(slopes.reshape(depth, -1), axis=1)
        return jnp.stack([steep[0] / steep[-1], jnp.sqrt(squares[-1] / squares[0])])

    keys = jax.random.split(jax.random.key(key), KEYS)
    return np.median(jax.jit(jax.vmap(jax.vmap(once, (None, 0)), (0, None)))(sizes, keys), axis=1)


# --- too many weights for the data -----------------------------------------------------------------------------------


def spectrum(length: float = LENGTH) -> np.ndarray:
    """Variances of the harmonics of a process of variance 1 on the circle [0, 1), in the order of np.fft.fftfreq, [n]."""
    waves = np.fft.fftfreq(SENSORS, 1 / SENSORS)
    power = np.exp(-0.5 * (2 * np.pi * waves * length) ** 2)
    return SENSORS * power / np.sum(power)


def draw(rng: np.random.Generator, count: int, power: np.ndarray) -> np.ndarray:
    """Signals at the sensors, [count, n]."""
    white = np.fft.fft(rng.normal(size=(count, SENSORS)), axis=1)
    return np.fft.ifft(white * np.sqrt(power), axis=1).real


def excess(matrix: np.ndarray, power: np.ndarray, noise: float = NOISE) -> float:
    """How far the mean squared error of u ↦ u M is above the least possible one, in dB, exactly."""
    cosine = np.fft.ifft(power).real
    covariance = cosine[np.subtract.outer(range(SENSORS), range(SENSORS))]
    total = covariance + noise**2 * np.eye(SENSORS)
    off = matrix - np.linalg.solve(total, covariance)
    least = np.sum(power * noise**2 / (power + noise**2))
    return float(10 * np.log10(1 + np.trace(off.T @ total @ off) / least))


def dense(noisy: np.ndarray, clean: np.ndarray, penalties: Sequence[float] = (1e-14,)) -> list[np.ndarray]:
    """Matrices for all sensors by least squares, one for each penalty; with next to none the fit of least norm."""
    values, vectors = np.linalg.eigh(noisy.T @ noisy)
    right, values = vectors.T @ (noisy.T @ clean), np.maximum(values, 0.0)
    return [vectors @ (right / (values + p * max(values[-1], 1e-300))[:, None]) for p in penalties]


def shared(noisy: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """One filter for all sensors, a circular convolution, by least squares, as a matrix."""
    u, f = np.fft.fft(noisy, axis=1), np.fft.fft(clean, axis=1)
    response = np.sum(f * u.conj(), axis=0) / np.sum(np.abs(u) ** 2, axis=0)
    return np.fft.ifft(response).real[np.subtract.outer(range(SENSORS), range(SENSORS)).T % SENSORS]


def double_descent(key: int) -> tuple[dict[str, Any], Panels]:
    """A dense linear denoiser by the number of signals it learns from, against its exact curve, ridge and one shared filter."""
    counts, power = np.array([16, 32, 48, 60, 64, 68, 80, 96, 128, 256, 1024, 4096, 16384]), spectrum()
    found: dict[str, list[float]] = {"least squares": [], "ridge, best penalty": [], "shared filter (CNN)": []}
    for count in counts:
        rows = []
        for repeat in range(KEYS):
            rng = np.random.default_rng([key, repeat, count])
            clean = draw(rng, count, power)
            noisy = clean + NOISE * rng.normal(size=clean.shape)
            plain, *ridges = (excess(m, power) for m in dense(noisy, clean, (1e-14, *10.0 ** np.arange(-5, 0.01, 0.25))))
            rows.append([plain, min(ridges), excess(shared(noisy, clean), power)])
        for name, value in zip(found, np.mean(rows, axis=0), strict=True):
            found[name].append(float(value))
    beyond = counts > SENSORS + 1
    exact = 10 * np.log10(1 + SENSORS / (counts[beyond] - SENSORS - 1))
    labels = "a linear denoiser", f"N signals to learn from (n = {SENSORS} sensors)", "above the Bayes limit [dB]"
    panel = curves(labels, {**found, "10 log₁₀(1 + n / (N - n - 1))": exact}, counts, "xy", upright=(SENSORS,))
    return {"N": counts.tolist(), **found, "theory for N > n + 1": dict(zip(counts[beyond].tolist(), exact, strict=True))}, [
        panel
    ]


def overfitting(key: int, points: int = 40) -> tuple[dict[str, Any], Panels]:
    """A network that is trained for long on few noisy points; and one that grows through the number of points."""
    rng = np.random.default_rng(key)
    truth = lambda x: np.exp(-1.25 * (x + 1)) * np.cos(2.165 * (x + 1))  # noqa: E731 - the exam's motion on [0, 5], x scaled
    x, grid = np.linspace(-1, 1, points), np.linspace(-1, 1, 400)
    y = truth(x) + 0.2 * rng.normal(size=points)
    network = pinn.MLP(1, 1, width=64, depth=3, fourier=32, fourier_scale=4.0, rngs=nnx.Rngs(key))
    losses, tests = _trained_on_points(network, x, y, grid, truth(grid))
    widths = np.array([5, 10, 20, 30, 36, 40, 44, 50, 60, 80, 160, 320, 640, 1280])
    errors = np.array([[_random_features([key, r], int(w), x, y, grid, truth(grid)) for r in range(4 * KEYS)] for w in widths])
    spread = {"mean over draws": np.mean(errors, axis=1), "median": np.median(errors, axis=1)}
    best = int(np.argmin(tests))
    stopped = {"best step": best + 1, "error there": float(tests[best]), "error at the end": float(tests[-1])}
    error = "mean squared error"
    histories = {"at the noisy points": losses, "against the truth": tests}
    panels = [
        curves(("training for too long", "step of Adam", error), histories, scale="xy", upright=(best + 1,)),
        curves(("double descent", f"random features, {points} points", error), spread, widths, "xy", upright=(points,)),
    ]
    return {"early stopping": stopped, "width": widths.tolist(), **{k: v.tolist() for k, v in spread.items()}}, panels


def _trained_on_points(network: Any, x: np.ndarray, y: np.ndarray, grid: np.ndarray, truth: np.ndarray) -> tuple:
    """Errors at the noisy points and against the truth, after every step of Adam."""
    graph, params, rest = nnx.split(network, nnx.Param, ...)
    adam = optax.adam(5e-4)

    def error(params: Any, x: np.ndarray, y: np.ndarray) -> jax.Array:
        return jnp.mean((jax.vmap(nnx.merge(graph, params, rest))(jnp.asarray(x)[:, None])[:, 0] - y) ** 2)

    def step(carry: tuple, _: None) -> tuple[tuple, tuple]:
        params, state = carry
        loss, gradient = jax.value_and_grad(error)(params, x, y)
        updates, state = adam.update(gradient, state)
        return (optax.apply_updates(params, updates), state), (loss, error(params, grid, truth))

    curves = jax.jit(lambda p: jax.lax.scan(step, (p, adam.init(p)), length=2 * STEPS)[1])(params)
    return np.asarray(curves[0]), np.asarray(curves[1])


def _random_features(seed: Sequence[int], width: int, x: np.ndarray, y: np.ndarray, grid: np.ndarray, truth: np.ndarray) -> float:
    """Error of the fit of least norm in random relu features."""
    rng = np.random.default_rng(seed)
    sides, kinks = rng.choice([-1, 1], width), rng.uniform(-1.2, 1.2, width)
    features = lambda at: np.maximum(sides * (at[:, None] - kinks), 0)  # noqa: E731
    return float(np.mean((features(grid) @ np.linalg.lstsq(features(x), y, rcond=1e-10)[0] - truth) ** 2))


# --- weight sharing and what is carried over -------------------------------------------------------------------------


class Convolutions(nnx.Module):
    """Three circular convolutions of width 7, [n] -> [n]."""

    def __init__(self, rngs: nnx.Rngs):
        sizes = [(1, 8), (8, 8), (8, 1)]
        self.layers = nnx.List([nnx.Conv(a, b, (7,), padding="CIRCULAR", param_dtype=float, rngs=rngs) for a, b in sizes])

    def __call__(self, u: jax.Array) -> jax.Array:
        h = u[:, None]
        for layer in self.layers[:-1]:
            h = nnx.gelu(layer(h))
        return self.layers[-1](h)[:, 0]


def weight_sharing(key: int) -> tuple[dict[str, Any], Panels]:
    """Bumps in the left half are learned, bumps anywhere are denoised: a CNN beside a fully connected network."""
    sensors = np.arange(SENSORS) / SENSORS

    def bumps(key: jax.Array, place: jax.Array) -> tuple[jax.Array, jax.Array]:
        a, b, c = jax.random.split(key, 3)
        far = (sensors - place[:, None] + 0.5) % 1 - 0.5
        size = jax.random.uniform(a, (len(place), 1), minval=0.5, maxval=1.5)
        clean = size * jnp.exp(-0.5 * (far / jax.random.uniform(b, (len(place), 1), minval=0.02, maxval=0.05)) ** 2)
        return clean + NOISE * jax.random.normal(c, clean.shape), clean

    first, second, third = jax.random.split(jax.random.key(key), 3)
    noisy, clean = bumps(first, jax.random.uniform(second, (256,), minval=0.1, maxval=0.4))
    places = np.linspace(0, 1, 41)
    networks = {
        "fully connected": pinn.MLP(SENSORS, SENSORS, width=128, depth=2, activation=pinn.gelu, rngs=nnx.Rngs(key)),
        "CNN": Convolutions(nnx.Rngs(key)),
    }
    gains, numbers = {}, {}
    for name, network in networks.items():
        _, trained = _train(network, lambda net: jnp.mean((jax.vmap(net)(noisy) - clean) ** 2), STEPS // 2, 2e-3)
        at = [bumps(jax.random.fold_in(third, i), jnp.full(200, p)) for i, p in enumerate(places)]
        gains[name] = np.array([10 * np.log10(NOISE**2 / float(jnp.mean((jax.vmap(trained)(u) - f) ** 2))) for u, f in at])
        inside = (places >= 0.1) & (places <= 0.4)
        weights = sum(x.size for x in jax.tree.leaves(nnx.state(network, nnx.Param)))
        numbers[name] = {
            "weights": weights,
            "where it learned": gains[name][inside].mean(),
            "elsewhere": gains[name][~inside].mean(),
        }
    labels = "learned between the lines", "place of the bump", "gain [dB]"
    return {name: {k: float(v) for k, v in row.items()} for name, row in numbers.items()}, [
        curves(labels, gains, places, upright=(0.1, 0.4))
    ]


def zero_shot(key: int) -> tuple[dict[str, Any], Panels]:
    """A filter learned at one noise level and one length-scale, elsewhere; exact but for the guard, which is drawn."""
    learned, levels, lengths = spectrum(), np.geomspace(0.02, 1.5, 25), np.linspace(0.02, 0.4, 39)
    fixed = learned / (learned + NOISE**2)

    def gain(response: np.ndarray, power: np.ndarray, noise: float) -> float:
        return float(10 * np.log10(noise**2 / np.mean((1 - response) ** 2 * power + response**2 * noise**2)))

    def guarded(power: np.ndarray, noise: float, response: np.ndarray) -> float:
        rng = np.random.default_rng(key)
        clean = draw(rng, 400, power)
        noisy = clean + noise * rng.normal(size=clean.shape)
        change = np.fft.ifft(np.fft.fft(noisy, axis=1) * response, axis=1).real - noisy
        square = np.sum(change**2, axis=1, keepdims=True)
        share = np.clip(noise**2 * (SENSORS - response.sum()) / square, 0, 1)
        share = np.where(square > SENSORS * noise**2 * (1 + 3 * np.sqrt(2 / SENSORS)), share, 1.0)
        return float(10 * np.log10(noise**2 / np.mean((noisy + share * change - clean) ** 2)))

    told = [gain(learned / (learned + s**2), learned, s) for s in levels]
    powers = [spectrum(length) for length in lengths]
    panels = {
        "noise level σ": (levels, NOISE, "x", {
            "limit, and a filter that is told σ": told,
            f"filter learned at σ = {NOISE}": [gain(fixed, learned, s) for s in levels],
        }),
        "length-scale (σ = 0.25)": (lengths, LENGTH, "", {
            "limit": [gain(p / (p + NOISE**2), p, NOISE) for p in powers],
            f"filter learned at {LENGTH}": [gain(fixed, p, NOISE) for p in powers],
            "with the guard": [guarded(p, NOISE, fixed) for p in powers],
        }),
    }  # fmt: skip
    numbers = {
        name: {label: {"first": v[0], "best": max(v), "last": v[-1]} for label, v in lines.items()}
        for name, (*_, lines) in panels.items()
    }
    return numbers, [
        curves(("", name, "gain [dB]"), lines, at, scale, upright=(here,), level=(0.0,))
        for name, (at, here, scale, lines) in panels.items()
    ]


EXPERIMENTS = {f.__name__: f for f in (initialisation, gradients, double_descent, overfitting, weight_sharing, zero_shot)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of experiments: {', '.join(EXPERIMENTS)}; all without any")
    parser.add_argument("--output", type=Path, default=Path("runs/craft"), metavar="FOLDER")
    parser.add_argument("--key", type=int, default=0, help="of the random draws")
    options = parser.parse_args(argv)
    if unknown := set(options.names) - set(EXPERIMENTS):
        parser.error(f"no experiment is called {', '.join(sorted(unknown))}; there are {', '.join(EXPERIMENTS)}")
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "numbers.json"
    numbers = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in options.names or EXPERIMENTS:
        start = time.perf_counter()
        found, panels = EXPERIMENTS[name](options.key)
        finished(arranged([], panels, 1.0), [], options.output / f"{name}.png")
        numbers[name] = {"key": options.key, **found}
        path.write_text(json.dumps(numbers, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
