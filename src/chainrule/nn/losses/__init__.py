"""The losses, by name with their usual numbers, or as objects: ``"huber"`` is ``cr.nn.losses.Huber(delta=1.0)``.

Each gives one number a row: the sum over the outputs of the row. The objective takes the mean over the rows, with
sample weights of mean 1 where there are some; a row of weight 0 does not enter it, whatever it holds.

>>> import numpy as np, chainrule as cr
>>> target, output = np.array([0.0, 0.0]), np.array([[0.5], [3.0]])
>>> cr.nn.losses.huber(target, output).tolist()
[0.125, 2.5]
>>> cr.nn.losses.Huber(delta=2.0).rows(target, output).tolist()
[0.125, 4.0]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule.errors import ModelFileError, TraceError
from chainrule.nn.activations import choose
from chainrule.nn.losses.base import Loss, LossFunction, OwnLoss
from chainrule.nn.losses.classes import (
    BinaryCrossEntropy,
    Hinge,
    SoftmaxCrossEntropy,
    SquaredHinge,
    binary_cross_entropy,
    hinge,
    softmax_cross_entropy,
    squared_hinge,
)
from chainrule.nn.losses.numbers import (
    AbsoluteError,
    HalfSquaredError,
    Huber,
    LogCosh,
    Poisson,
    Quantile,
    SquaredError,
    absolute_error,
    half_squared_error,
    huber,
    log_cosh,
    poisson,
    quantile,
    squared_error,
)

LOSSES: Mapping[str, Loss] = {
    loss.name: loss
    for loss in (
        HalfSquaredError(),
        SquaredError(),
        BinaryCrossEntropy(),
        SoftmaxCrossEntropy(),
        AbsoluteError(),
        Huber(),
        LogCosh(),
        Quantile(),
        Poisson(),
        Hinge(),
        SquaredHinge(),
    )
}


def get_loss(loss: str | Loss | LossFunction) -> Loss:
    """Return a loss by name; a function ``loss(target, output)`` of one's own becomes one."""
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, type) and issubclass(loss, Loss):
        raise TraceError(f"the loss is the class {loss.__name__}; make one of it: cr.nn.losses.{loss.__name__}()")
    if not callable(loss):
        found: Loss = choose(LOSSES, loss, "loss")
        return found
    return OwnLoss(loss)


def loss_numbers(loss: Loss) -> dict[str, float] | None:
    """Return what tells a loss apart from others of its name; None for a loss of the user's own."""
    return loss.numbers() if type(loss) is type(LOSSES.get(loss.name)) else None


def loss_from(name: str, numbers: Any) -> Loss:
    """Return a loss by its name and numbers, from a file; raise ModelFileError where there is none."""
    if name not in LOSSES or not isinstance(numbers, dict) or set(numbers) != set(LOSSES[name].numbers()):
        raise ModelFileError(f"the model was trained on a loss that this chainrule does not have: {name!r:.60}")
    try:
        return type(LOSSES[name])(**numbers)
    except TraceError as error:
        raise ModelFileError(f"the model's loss cannot be built: {error}") from None


__all__ = [
    "LOSSES", "AbsoluteError", "BinaryCrossEntropy", "HalfSquaredError", "Hinge", "Huber", "LogCosh", "Loss", "OwnLoss",
    "Poisson", "Quantile", "SoftmaxCrossEntropy", "SquaredError", "SquaredHinge", "absolute_error",
    "binary_cross_entropy", "get_loss", "half_squared_error", "hinge", "huber", "log_cosh", "loss_from", "loss_numbers",
    "poisson", "quantile", "softmax_cross_entropy", "squared_error", "squared_hinge",
]  # fmt: skip
