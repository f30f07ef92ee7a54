"""The update of a parameter's element: what the optimizer makes of its gradient, and which part came from where."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.explanation.derivation import Update
from chainrule.explanation.names import Asked
from chainrule.explanation.numbers import short, signed
from chainrule.explanation.scene import Scene
from chainrule.graph import flatten, tree_map, unflatten
from chainrule.learn import SGD, Adam, AdamW, Optimizer

Array = np.ndarray[Any, Any]


def explain_update(scene: Scene, what: Asked, optimizer: Optimizer, slope: float) -> Update:
    """Return the update of one element; ``slope`` is its gradient, penalties included.

    Optimizers that are known here say which part comes from which gradient; of any other the result alone is told.
    """
    state = _state(scene, optimizer)
    place = scene.names.index(what.name)
    gradient = _like(scene.parameters, place, what.index, slope)
    after, _ = optimizer.step(scene.parameters, gradient, state)
    before = float(scene.leaves[what.name][what.index])
    reached = float(flatten(after)[0][place][what.index])
    rate = float(np.asarray(optimizer.rate(state, scene.leaves[what.name], _settings(scene, optimizer))))

    def old(key: str) -> float:
        return float(flatten(state[key])[0][place][what.index])

    if isinstance(optimizer, Adam):
        return _adam(optimizer, before, reached, slope, rate, old("mean"), old("square"), int(state["step"]) + 1)
    if isinstance(optimizer, SGD) and optimizer.momentum:
        return _momentum(optimizer, before, reached, slope, rate, old("velocity"))
    if isinstance(optimizer, SGD):
        sign = "−" if slope >= 0 else "+"
        return Update(
            before, reached, "θ⁺ = θ − η · ∂F/∂θ", f"{short(before)} {sign} {short(rate)} × {short(abs(slope))}"
        )
    return Update(before, reached, f"θ⁺ by {type(optimizer).__name__}", short(before))


def _momentum(optimizer: SGD, before: float, after: float, slope: float, rate: float, velocity: float) -> Update:
    moved = optimizer.momentum * velocity
    mixed = f"{short(optimizer.momentum)} × {signed(velocity)} {signed(slope, apart=True)}"
    return Update(
        before, after, "θ⁺ = θ − η · v,  v = μ v + ∂F/∂θ", f"{short(before)} − {short(rate)} × ({mixed})",
        (("from this gradient", -rate * slope), ("from the gradients before", -rate * moved)),
    )  # fmt: skip


def _adam(
    optimizer: Adam, before: float, after: float, slope: float, rate: float, mean: float, square: float, t: int
) -> Update:
    b1, b2, epsilon = optimizer.beta1, optimizer.beta2, optimizer.epsilon
    one, two = 1 - b1**t, 1 - b2**t
    new_square = b2 * square + (1 - b2) * slope**2
    spread = float(np.sqrt(new_square / two) + epsilon)
    mean_hat = (b1 * mean + (1 - b1) * slope) / one
    scale = rate / spread
    parts = [
        ("from this gradient", -scale * (1 - b1) * slope / one),
        ("from the gradients before (their mean)", -scale * b1 * mean / one),
    ]
    if isinstance(optimizer, AdamW):
        parts.append(("from weight decay", -rate * optimizer.decay * before))
    return Update(
        before, after, "θ⁺ = θ − η · m̂ / (√v̂ + ε),  m̂ = m/(1 − β₁ᵗ),  v̂ = v/(1 − β₂ᵗ)",
        f"{short(before)} − {short(rate)} × {signed(mean_hat)} / {short(spread)}   (t = {t})", tuple(parts),
    )  # fmt: skip


def _settings(scene: Scene, optimizer: Optimizer) -> dict[str, Any]:
    return {k: np.asarray(v, np.float64) for k, v in optimizer.settings().items()}


def _state(scene: Scene, optimizer: Optimizer) -> Any:
    """Return the optimizer's state before the step: the run's own, or that of a beginning."""
    if scene.run is not None and scene.step is not None:
        state = scene.run.at(scene.step).optimizer
        return tree_map(lambda v: v.astype(np.float64) if v.dtype.kind == "f" else v, state)
    return optimizer.init(scene.parameters)


def _like(parameters: Any, place: int, index: tuple[int, ...], number: float) -> Any:
    leaves, structure = flatten(parameters)
    zeros = [np.zeros(np.shape(leaf)) for leaf in leaves]
    zeros[place][index] = number
    return unflatten(structure, zeros)
