"""From a task to a network: which outputs, which loss, which form of the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import nn
from chainrule.errors import TrainingError
from chainrule.learn import Objective
from chainrule.table import TargetEncoder

Array = np.ndarray[Any, Any]
CROSS_ENTROPIES = ("binary_cross_entropy", "softmax_cross_entropy")
OF_PROBABILITIES = ("squared_error", "half_squared_error", "absolute_error", "huber", "log_cosh")
"""Losses that may compare a probability with 0 or 1."""
FOR_TABLES = (*CROSS_ENTROPIES, *OF_PROBABILITIES, "quantile")
"""Losses for the target of a table: hinge gives no probabilities, poisson needs counts that are not scaled."""


@dataclass(frozen=True)
class Head:
    """The last layer of a network for a task: how many outputs, with which activation, under which loss."""

    units: int
    activation: str
    loss: str


def choose_head(target: TargetEncoder, loss: str | None) -> Head:
    """Return the head for a task: logits under a cross-entropy, probabilities under a squared error, or numbers."""
    if loss is not None:
        nn.get_loss(loss)
    if target.kind == "regression":
        if loss is not None and nn.get_loss(loss).classes:
            raise TrainingError(
                f"{loss} is for classes, and {target.column!r} is a number; use squared_error or half_squared_error"
            )
        if loss == "poisson":
            raise TrainingError("poisson needs counts, and a table's target is scaled; use squared_error, or cr.fit")
        return Head(1, "identity", loss or "squared_error")
    count = len(target.classes)
    if loss in (None, *CROSS_ENTROPIES):
        if loss == "binary_cross_entropy" and count != 2:
            raise TrainingError(
                f"binary_cross_entropy is for two classes, and {target.column!r} has {count}; use softmax_cross_entropy"
            )
        if loss == "softmax_cross_entropy" or count > 2:
            return Head(count, "identity", "softmax_cross_entropy")
        return Head(1, "identity", "binary_cross_entropy")
    assert loss is not None
    if loss not in OF_PROBABILITIES:
        raise TrainingError(
            f"{loss} gives no probabilities, which the classes of {target.column!r} need; use "
            f"{' or '.join(CROSS_ENTROPIES)}, or cr.fit"
        )
    return Head(1, "sigmoid", loss) if count == 2 else Head(count, "softmax", loss)


def build_objective(head: Head, hidden: Sequence[int], activation: str, dropout: float) -> Objective:
    """Return Dense layers of the given sizes (each with dropout after it, where asked for) and the head."""
    layers: list[nn.Layer] = []
    for units in hidden:
        layers.append(nn.Dense(units, activation=activation))
        if dropout:
            layers.append(nn.Dropout(dropout))
    layers.append(nn.Dense(head.units, activation=head.activation))
    return Objective(nn.Sequential(layers), loss=head.loss)


def encode_target(head: Head, target: TargetEncoder, values: Array) -> Array:
    """Return encoded targets in the form that the head's loss reads."""
    if target.kind == "regression" or head.loss == "softmax_cross_entropy":
        return values
    if head.units == 1:
        return np.asarray(values, np.float32)[:, None]
    return np.eye(head.units, dtype=np.float32)[values]


def as_probabilities(prediction: Array) -> Array:
    """Return one column a class from a network's predictions: a single column is the second class's."""
    p = np.asarray(prediction, np.float64)
    return np.concatenate([1.0 - p, p], axis=1) if p.shape[1] == 1 else p
