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
from chainrule.learn.optimizers import move

Array = np.ndarray[Any, Any]


def explain_update(scene: Scene, what: Asked, optimizer: Optimizer, slope: float) -> Update:
    """Return the update of one element; ``slope`` is its gradient, penalties included.

    Optimizers that are known here say which part comes from which gradient; of any other the result alone is told.
    """
    state = state_of(scene, optimizer)
    place = scene.names.index(what.name)
    gradient = _like(scene.parameters, place, what.index, slope)
    settings = settings_of(scene, optimizer)
    direction, metric, _ = optimizer.update(gradient, state, scene.parameters, settings)
    after = move(scene.parameters, direction, metric)
    before = float(scene.leaves[what.name][what.index])
    reached = float(np.asarray(flatten(after)[0][place])[what.index])
    rate = float(np.asarray(optimizer.rate(state, scene.leaves[what.name], settings)))
    numbers = {key: float(value) for key, value in settings.items()}

    def old(key: str) -> float:
        return float(np.asarray(flatten(state[key])[0][place])[what.index])

    if isinstance(optimizer, Adam):
        moments = old("mean"), old("square"), int(state["step"]) + 1
        return _adam(numbers, isinstance(optimizer, AdamW), before, reached, slope, rate, *moments)
    if isinstance(optimizer, SGD) and optimizer.momentum:
        return _momentum(numbers["momentum"], before, reached, slope, rate, old("velocity"))
    if isinstance(optimizer, SGD):
        sign = "−" if slope >= 0 else "+"
        return Update(
            before, reached, "θ⁺ = θ − η · ∂F/∂θ", f"{short(before)} {sign} {short(rate)} × {short(abs(slope))}"
        )
    return Update(before, reached, f"θ⁺ by {type(optimizer).__name__}", short(before))


def unmoved(scene: Scene, what: Asked) -> Update:
    """Return the update of a bias that is not learned."""
    before = float(scene.leaves[what.name][what.index])
    return Update(before, before, "θ⁺ = θ: biases stay as they are", "")


def _momentum(momentum: float, before: float, after: float, slope: float, rate: float, velocity: float) -> Update:
    moved = momentum * velocity
    mixed = f"{short(momentum)} × {signed(velocity)} {signed(slope, apart=True)}"
    return Update(
        before, after, "θ⁺ = θ − η · v,  v = μ v + ∂F/∂θ", f"{short(before)} − {short(rate)} × ({mixed})",
        (("from this gradient", -rate * slope), ("from the gradients before", -rate * moved)),
    )  # fmt: skip


def _adam(
    numbers: dict[str, float], decays: bool, before: float, after: float, slope: float, rate: float, mean: float,
    square: float, t: int,
) -> Update:  # fmt: skip
    b1, b2, epsilon = numbers["beta1"], numbers["beta2"], numbers["epsilon"]
    one, two = 1 - b1**t, 1 - b2**t
    new_square = b2 * square + (1 - b2) * slope**2
    spread = float(np.sqrt(new_square / two) + epsilon)
    mean_hat = (b1 * mean + (1 - b1) * slope) / one
    scale = rate / spread
    parts = [
        ("from this gradient", -scale * (1 - b1) * slope / one),
        ("from the gradients before (their mean)", -scale * b1 * mean / one),
    ]
    if decays:
        parts.append(("from weight decay", -rate * numbers["decay"] * before))
    return Update(
        before, after, "θ⁺ = θ − η · m̂ / (√v̂ + ε),  m̂ = m/(1 − β₁ᵗ),  v̂ = v/(1 − β₂ᵗ)",
        f"{short(before)} − {short(rate)} × {signed(mean_hat)} / {short(spread)}   (t = {t})", tuple(parts),
    )  # fmt: skip


def settings_of(scene: Scene, optimizer: Optimizer) -> dict[str, Any]:
    """Return the optimizer's numbers in force: the run's, where it was given others than the optimizer has."""
    given = scene.settings or {}
    return {k: np.asarray(given.get(k, v), np.float64) for k, v in optimizer.settings().items()}


def state_of(scene: Scene, optimizer: Optimizer) -> Any:
    """Return the optimizer's state before the step: the run's own, or that of a beginning."""
    fresh = optimizer.init(scene.parameters)
    if scene.run is None or scene.step is None:
        return fresh
    state = scene.run.at(scene.step).optimizer
    if state.keys() != fresh.keys():  # another optimizer than the run's
        return fresh
    return tree_map(lambda v: v.astype(np.float64) if v.dtype.kind == "f" else v, state)


def _like(parameters: Any, place: int, index: tuple[int, ...], number: float) -> Any:
    leaves, structure = flatten(parameters)
    zeros = [np.zeros(np.shape(leaf)) for leaf in leaves]
    zeros[place][index] = number
    return unflatten(structure, zeros)
