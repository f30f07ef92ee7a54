"""Losses for targets that are classes: the outputs are scores (logits), without an activation in the last layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import TrainingError, TypeMismatch
from chainrule.graph import Type
from chainrule.nn.layer import float_name
from chainrule.nn.losses.base import Loss, aligned, dims, numbers_like, per_row, refuse_rows

SUM_TOLERANCE = 0.02
"""Shares of classes may have been rounded to two digits."""


def binary_cross_entropy(target: Any, output: Any, smoothing: float = 0.0) -> Any:
    """Return −[t log σ(z) + (1 − t) log(1 − σ(z))] for a logit z, computed as log(1 + eᶻ) − t z.

    The output is a *logit*: the last layer has no activation. Right at ±10⁴, where the sigmoid itself rounds to 0 or 1.
    With ``smoothing`` s the target is t (1 − s) + s/2.
    """
    target, output = numbers_like("binary_cross_entropy", target, output)
    if smoothing:
        target = target * (1.0 - smoothing) + 0.5 * smoothing
    return per_row(ops.softplus(output) - target * output)


def softmax_cross_entropy(target: Any, output: Any, smoothing: float = 0.0) -> Any:
    """Return −Σ t_k log softmax(z)_k for logits z: targets are class numbers, or one column a class.

    The outputs are *logits*: the last layer has no activation. With ``smoothing`` s the target of K classes is
    t (1 − s) + s/K (Szegedy et al., arXiv 1512.00567). A class that is not possible gets a large negative logit, −1e9:
    with −Inf the gradient is right, but the value is NaN, since 0·log 0 is.
    """
    target, output = _columns("softmax_cross_entropy", target, output)
    if smoothing:
        target = target * (1.0 - smoothing) + smoothing / output.shape[1]
    return -per_row(target * ops.log_softmax(output))


def hinge(target: Any, output: Any) -> Any:
    """Return how far the score of the right class is from 1 above the others, and 0 where it is that far.

    Of one output z, or of several yes-or-no outputs: Σ max(0, 1 − s z), with s = 1 for class 1 and −1 for class 0. Of
    class numbers and K > 1 outputs: max(0, 1 + max over the others − z_target) (Crammer and Singer 2001). At the kink
    the derivative is 0.
    """
    return per_row(ops.relu(_margins("hinge", target, output)))


def squared_hinge(target: Any, output: Any) -> Any:
    """Return the square of each term of the hinge loss."""
    return per_row(ops.square(ops.relu(_margins("squared_hinge", target, output))))


def _columns(name: str, target: Any, output: Any) -> tuple[Any, Any]:
    """Return targets as one column a class, and the output."""
    if output.ndim != 2:
        raise TypeMismatch(f"{name}: the output has shape ({dims(output)}); one column a class is needed")
    if target.ndim == 1:
        target = ops.one_hot(target, output.shape[1], float_name(output))
    return numbers_like(name, target, output)


def _margins(name: str, target: Any, output: Any) -> Any:
    """Return what is missing to a margin of 1: one number an output, or one a row where classes exclude each other."""
    if _are_exclusive(target, output):
        target, output = _columns(name, target, output)
        right = target > 0.5
        others = ops.max_(ops.where(right, -np.inf, output), axis=1)
        return 1.0 + others - per_row(ops.where(right, output, 0.0))
    target, output = aligned(name, target, output)
    return 1.0 - ops.where(target > 0, output, -output)


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """log(1 + eᶻ) − t z for a logit z and a target from 0 to 1; sum over the outputs, mean over the rows.

    ``smoothing`` s moves the target towards ½: t (1 − s) + s/2. Predictions are σ(z).
    """

    smoothing: float = 0.0
    function = staticmethod(binary_cross_entropy)
    name = "binary_cross_entropy"
    formula = "log(1 + eᶻ) − target · z"
    link = "sigmoid"
    classes = True

    def __post_init__(self) -> None:
        self._require("smoothing", lambda v: 0 <= v < 1, "a number of at least 0 and less than 1")

    def check_targets(self, target: np.ndarray[Any, Any], output: Type) -> None:
        refuse_rows(self.name, target, (target < 0) | (target > 1), "from 0 to 1")


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Loss):
    """−Σ t_k log softmax(z)_k for logits z; targets are class numbers or one column a class; mean over the rows.

    ``smoothing`` s shares that much of the target among all K classes: t (1 − s) + s/K. Predictions are softmax(z).
    """

    smoothing: float = 0.0
    function = staticmethod(softmax_cross_entropy)
    name = "softmax_cross_entropy"
    formula = "−Σ target · log softmax(z)"
    link = "softmax"
    classes = True

    def __post_init__(self) -> None:
        self._require("smoothing", lambda v: 0 <= v < 1, "a number of at least 0 and less than 1")

    def check_targets(self, target: np.ndarray[Any, Any], output: Type) -> None:
        if target.ndim == 1:
            _check_numbers(self.name, target, output)
            return
        refuse_rows(self.name, target, (target < 0) | (target > 1), "from 0 to 1")
        if target.ndim == 2 and output.rank == 2 and target.shape[1] == output.shape[1]:
            off = np.abs(np.sum(target, axis=1, dtype=np.float64) - 1.0) > SUM_TOLERANCE
            refuse_rows(
                self.name, target, off, "shares of classes, which sum to 1 in each row; where several classes can be "
                "right at once the loss is binary_cross_entropy"
            )  # fmt: skip

    def watched(self, target: Any, output: Any) -> Any:
        return _watched_numbers(self.name, target, output) if target.ndim == 1 else target


@dataclass(frozen=True)
class Hinge(Loss):
    """max(0, 1 − s z), s = ±1 for class 1 and 0; of several exclusive classes, by the best of the others.

    Sum over the outputs, mean over the rows. Predictions are the scores: a margin is no probability.
    """

    function = staticmethod(hinge)
    name = "hinge"
    formula = "max(0, 1 − margin)"
    classes = True

    def check_targets(self, target: np.ndarray[Any, Any], output: Type) -> None:
        if _are_exclusive(target, output):
            _check_numbers(self.name, target, output)
        else:
            hint = "the classes 0 and 1; of -1 and 1 make them so: (y + 1) // 2"
            refuse_rows(self.name, target, (target != 0) & (target != 1), hint)

    def watched(self, target: Any, output: Any) -> Any:
        return _watched_numbers(self.name, target, output) if _are_exclusive(target, output) else target


@dataclass(frozen=True)
class SquaredHinge(Hinge):
    """The square of each term of the hinge loss: smooth where the margin is reached."""

    function = staticmethod(squared_hinge)
    name = "squared_hinge"
    formula = "max(0, 1 − margin)²"


def _are_exclusive(target: Any, output: Any) -> bool:
    """Are targets numbers of classes of which one is right, each with an output of its own?"""
    return bool(target.ndim == 1 and len(output.shape) == 2 and output.shape[1] > 1)


def _watched_numbers(name: str, target: Any, output: Any) -> Any:
    """Return class numbers, read from the list of those that there are: both executors stop at one that is not in it.

    Without this a class that no output is for would be a row of zeros, and its loss 0.
    """
    if len(output.shape) != 2:
        return target
    classes = output.shape[1]
    if target.type.is_float:
        raise TrainingError(_no_numbers(name, target.type, classes))
    number = ops.checked_index(
        ops.cast(target, dtype="i64"), np.int64(0), np.int64(classes), layer=f"the loss {name}", columns=None
    )
    return ops.take(np.arange(classes), number)


def _no_numbers(name: str, found: Any, classes: Any) -> str:
    return (
        f"{name} takes class numbers (integers 0 to {classes - 1}) or one column a class; "
        f"the targets are {found}. Convert them: y.astype(int)"
    )


def _check_numbers(name: str, target: np.ndarray[Any, Any], output: Type) -> None:
    if output.rank != 2:  # said by the loss itself
        return
    classes: Any = output.shape[1]
    if target.dtype.kind not in "iu":
        raise TrainingError(_no_numbers(name, target.dtype, classes))
    refuse_rows(name, target, (target < 0) | (target >= classes), f"0 to {classes - 1}")
