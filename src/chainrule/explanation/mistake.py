"""A famous mistake, made on purpose: a backward pass that reads weights which were updated already.

All gradients belong to the old weights. Whoever goes from the last layer to the first and updates each layer at once
sends δ back through weights of the next step; widely copied figures come from it. Here it is the one change that it
is: wherever the backward computation reads a parameter, it reads the updated one. Forward values stay what they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import TrainingError
from chainrule.explanation.derivation import Check
from chainrule.explanation.numbers import signed
from chainrule.explanation.scene import Scene
from chainrule.explanation.update import after_step
from chainrule.explanation.waypoints import Misread, derivatives_by
from chainrule.learn import Optimizer

Array = np.ndarray[Any, Any]
ADDED = ("add", "subtract")


def updated_first(scene: Scene, optimizer: Optimizer) -> dict[str, Array]:
    """Return the parameters as they are after a step that makes the mistake, by name.

    The gradient of a layer reads the updated weights of the layers behind it alone, so after as many rounds as there
    are layers nothing changes any more.
    """
    _refuse(scene)
    slopes = {name: scene.smooth_slope(name) for name in scene.names}
    known: dict[str, Array] = scene.leaves
    for _ in range(len(known) + 1):
        traced = scene.all_rows
        misread: Misread = {traced.parameters[name]: value for name, value in known.items()}
        nodes = [traced.parameters[name] for name in scene.names]
        found = derivatives_by(traced.graph, traced.arrays, nodes, misread)
        gradient = {name: slope + slopes[name] for name, slope in zip(scene.names, found, strict=True)}
        after = after_step(scene, optimizer, gradient)
        if all(np.array_equal(after[name], known[name]) for name in known):
            return after
        known = after
    raise TrainingError("using='updated': a layer's gradient reads its own weights here, so there is no such order")


def _refuse(scene: Scene) -> None:
    """The mistake is told of layers that multiply by their weights and add their biases, each parameter used once."""
    traced = scene.all_rows
    for name, node in traced.parameters.items():
        readers: Sequence[Any] = [n for n in traced.graph.nodes if any(o is node for o in n.operands)]
        if len(readers) == 1 and readers[0].op.name == "broadcast":
            inner = readers[0]
            readers = [n for n in traced.graph.nodes if any(o is inner for o in n.operands)]
            allowed: tuple[str, ...] = ADDED
        else:
            allowed = ("matmul", *ADDED)
        if readers and (len(readers) > 1 or readers[0].op.name not in allowed):
            how = "in several places" if len(readers) > 1 else f"by {readers[0].op.name}"
            raise TrainingError(
                "using='updated' is for networks of dense layers, which multiply by weights and add biases; "
                f"{name} is used {how}"
            )


def mistake_note(shown: float, right: Check) -> str:
    """Say that what is shown is wrong on purpose, and what is right."""
    if shown == right.exact:
        return (
            "using updated weights is a mistake, but it does not reach this number: nothing behind it is updated first"
        )
    return (
        "WRONG ON PURPOSE: the backward pass reads weights that are updated already. All gradients belong to the old "
        f"weights: the derivative is {signed(right.exact)} (a central difference gives {signed(right.numeric)})"
    )
