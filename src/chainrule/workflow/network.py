"""From a task to a network: which outputs, which loss, which form of the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import nn
from chainrule.errors import TrainingError
from chainrule.learn import Objective

Array = np.ndarray[Any, Any]
LOGITS = ("sigmoid", "softmax")
"""Losses with these links take logits: the cross-entropies."""
OF_PROBABILITIES = ("squared_error", "half_squared_error", "absolute_error", "huber", "log_cosh")
"""Losses that may compare a probability with 0 or 1."""
FOR_TABLES = ("binary_cross_entropy", "softmax_cross_entropy", *OF_PROBABILITIES, "quantile")
"""Losses for the target of a table: hinge gives no probabilities, poisson needs counts that are not scaled."""


@dataclass(frozen=True)
class Head:
    """The last layer of a network for a task: how many outputs, with which activation, under which loss."""

    units: int
    activation: str
    loss: Any

    @property
    def reads_class_numbers(self) -> bool:
        """Does the loss take class numbers, in the place of one column a class?"""
        return nn.get_loss(self.loss).link == "softmax"


def choose_head(kind: str, outputs: int, loss: Any, name: str) -> Head:
    """Return the head for a task: logits under a cross-entropy, probabilities under a squared error, or numbers.

    Args:
        kind: "regression", "binary", "multiclass", or "multilabel" (several answers of yes or no).
        outputs: how many numbers, classes or labels there are.
        loss: a loss by name, a function of one's own, or None.
        name: what messages call the target.
    """
    found = None if loss is None else nn.get_loss(loss)
    link = "" if found is None else found.link  # of logits: a cross-entropy, whatever its name
    if kind == "regression":
        if found is not None and found.classes:
            raise TrainingError(
                f"{found.name} is for classes, and {name!r} is a number; use squared_error or half_squared_error"
            )
        return Head(outputs, "identity", loss or "squared_error")
    if found is not None and link not in LOGITS:
        if found.name in nn.LOSSES and found.name not in OF_PROBABILITIES:
            raise TrainingError(
                f"{found.name} gives no probabilities, which the classes of {name!r} need; use binary_cross_entropy or "
                "softmax_cross_entropy, or cr.fit"
            )
        if kind == "multilabel":
            return Head(outputs, "sigmoid", loss)
        return Head(1, "sigmoid", loss) if outputs == 2 else Head(outputs, "softmax", loss)
    if found is not None and link == "softmax" and kind == "multilabel":
        raise TrainingError(
            f"{found.name} is for one class a row, and {name!r} has several labels; use binary_cross_entropy"
        )
    if found is not None and link == "sigmoid" and kind != "multilabel" and outputs != 2:
        raise TrainingError(f"{found.name} is for two classes, and {name!r} has {outputs}; use softmax_cross_entropy")
    if kind == "multilabel":
        return Head(outputs, "identity", loss or "binary_cross_entropy")
    if outputs > 2 or link == "softmax":
        return Head(outputs, "identity", loss or "softmax_cross_entropy")
    return Head(1, "identity", loss or "binary_cross_entropy")


def build_objective(
    head: Head,
    hidden: Sequence[int | nn.Layer],
    activation: nn.activations.Activation,
    dropout: float,
    penalty: Sequence[Any] = (),
    subject_to: Sequence[Any] = (),
) -> Objective:
    """Return Dense layers of the given sizes (each with dropout after it, where asked for) and the head.

    In the place of a size may stand a layer, which is taken as it is. Penalties and sets are those of ``Objective``.
    """
    layers: list[nn.Layer] = []
    for part in hidden:
        if isinstance(part, nn.Layer):
            layers.append(part)
            continue
        layers.append(nn.Dense(part, activation=activation))
        if dropout:
            layers.append(nn.Dropout(dropout))
    layers.append(nn.Dense(head.units, activation=head.activation))
    return Objective(nn.Sequential(layers), head.loss, penalty, subject_to)


def encode_target(head: Head, kind: str, values: Array) -> Array:
    """Return encoded targets in the form that the head's loss reads."""
    if kind in ("regression", "multilabel") or head.reads_class_numbers:
        return values
    if head.units == 1:
        return np.asarray(values, np.float32)[:, None]
    return np.eye(head.units, dtype=np.float32)[values]


def as_probabilities(prediction: Array) -> Array:
    """Return one column a class from a network's predictions: a single column is the second class's."""
    p = np.asarray(prediction, np.float64)
    return np.concatenate([1.0 - p, p], axis=1) if p.shape[1] == 1 else p
