"""Losses: how far an output is from its target. Each gives one number a row; the objective takes their (weighted) mean.

The lecture sums over the rows, we average: the gradient, and with it the learning rate and λ, differ by the factor n.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import TraceError, TrainingError, TypeMismatch
from chainrule.graph import Type
from chainrule.nn.activations import choose

LossFunction = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Loss:
    """A loss: ``rows(target, output)`` gives one number a row, ``link`` turns outputs into predictions."""

    name: str
    rows: LossFunction
    formula: str
    link: str = "identity"
    classes: bool = False

    def check_targets(self, target: np.ndarray[Any, Any], output: Type) -> None:
        """Raise TrainingError for targets that this loss cannot take, naming the row."""
        if not self.classes:
            return
        if self.link == "softmax" and target.ndim == 1:
            classes = output.shape[-1]
            if target.dtype.kind not in "iu":
                raise TrainingError(
                    f"{self.name} takes class numbers (integers 0 to {classes} − 1) or one column a class; "
                    f"the targets are {target.dtype}. Convert them: y.astype(int)"
                )
            bad = np.flatnonzero((target < 0) | (target >= classes))
        else:
            bad = np.flatnonzero(np.any(((target < 0) | (target > 1)).reshape(len(target), -1), axis=1))
        if bad.size:
            allowed = f"0 to {output.shape[-1]} − 1" if target.ndim == 1 and self.link == "softmax" else "from 0 to 1"
            raise TrainingError(
                f"{self.name}: the target of row {bad[0] + 1} is {target[bad[0]]}; targets must be {allowed}"
            )


def _aligned(name: str, target: Any, output: Any) -> tuple[Any, Any]:
    """Bring target and output to the same shape; (n,) meets (n,1), anything else that differs is an error.

    Without this, a target of shape (n,) against an output of (n,1) would broadcast to n × n, silently.
    """
    if target.ndim == 1 and output.ndim == 2 and output.shape[1] == 1:
        target = ops.reshape(target, (-1, 1))
    elif output.ndim == 1 and target.ndim == 2 and target.shape[1] == 1:
        output = ops.reshape(output, (-1, 1))
    if target.shape != output.shape:
        raise TypeMismatch(
            f"{name}: the target has shape ({_dims(target)}), the output ({_dims(output)}); they must be equal: "
            "give the last layer as many units as the target has columns"
        )
    return target, output


def _dims(x: Any) -> str:
    return ", ".join(map(str, x.shape))


def _as_float_like(target: Any, output: Any) -> Any:
    return target.astype(output.dtype) if target.dtype != output.dtype else target


def per_row(value: Any) -> Any:
    """Sum over the outputs of each row."""
    return ops.sum_(value, axis=tuple(range(1, value.ndim))) if value.ndim > 1 else value


def half_squared_error(target: Any, output: Any) -> Any:
    """Return Σ ½ (target − output)² over the outputs of each row: the lecture's E_total."""
    target, output = _aligned("half_squared_error", _as_float_like(target, output), output)
    return per_row(0.5 * ops.square(target - output))


def squared_error(target: Any, output: Any) -> Any:
    """Return Σ (target − output)² over the outputs of each row."""
    target, output = _aligned("squared_error", _as_float_like(target, output), output)
    return per_row(ops.square(target - output))


def binary_cross_entropy(target: Any, output: Any) -> Any:
    """Return −[t log σ(z) + (1 − t) log(1 − σ(z))] for a logit z, computed as log(1 + eᶻ) − t z.

    The output is a *logit*: the last layer has no activation. Right at ±10⁴, where the sigmoid itself rounds to 0 or 1.
    """
    target, output = _aligned("binary_cross_entropy", _as_float_like(target, output), output)
    return per_row(ops.softplus(output) - target * output)


def softmax_cross_entropy(target: Any, output: Any) -> Any:
    """Return −Σ t_k log softmax(z)_k for logits z: targets are class numbers, or one column a class.

    The outputs are *logits*: the last layer has no activation.
    """
    if output.ndim != 2:
        raise TypeMismatch(
            f"softmax_cross_entropy: the output has shape ({_dims(output)}); one column a class is needed"
        )
    if target.ndim == 1:
        dtype = "f32" if output.dtype == np.float32 else "f64"
        target = ops.one_hot(target, output.shape[1], dtype)
    target, output = _aligned("softmax_cross_entropy", _as_float_like(target, output), output)
    return -per_row(target * ops.log_softmax(output))


LOSSES: Mapping[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss("half_squared_error", half_squared_error, "Σ ½ (target − output)²"),
        Loss("squared_error", squared_error, "Σ (target − output)²"),
        Loss("binary_cross_entropy", binary_cross_entropy, "log(1 + eᶻ) − target · z", "sigmoid", classes=True),
        Loss("softmax_cross_entropy", softmax_cross_entropy, "−Σ target · log softmax(z)", "softmax", classes=True),
    )
}


def get_loss(loss: str | Loss | LossFunction) -> Loss:
    """Return a loss by name; a function ``loss(target, output)`` of one's own becomes one."""
    if isinstance(loss, Loss):
        return loss
    if not callable(loss):
        found: Loss = choose(LOSSES, loss, "loss")
        return found
    name = getattr(loss, "__name__", "loss")
    return Loss(name if name != "<lambda>" else "own loss", _checked_rows(loss, name), f"{name}(target, output)")


def _checked_rows(loss: LossFunction, name: str) -> LossFunction:
    def each_row(target: Any, output: Any) -> Any:
        target, output = _aligned(name, target, output) if target.ndim != output.ndim else (target, output)
        value = loss(target, output)
        rows = output.shape[0]
        if not hasattr(value, "ndim") or value.ndim < 1 or value.shape[0] != rows:
            raise TraceError(
                f"the loss {name} returned {getattr(value, 'type', value)!s}; it must return one number a row (the "
                "mean over the rows is taken for you).\n"
                "  wrong:  lambda target, output: np.mean((target - output) ** 2)\n"
                "  right:  lambda target, output: np.mean((target - output) ** 2, axis=1)"
            )
        if rows in value.shape[1:] and rows not in output.shape[1:]:
            raise TraceError(
                f"the loss {name} returned a table of rows by rows, of shape ({_dims(value)}): (n,) and (n, 1) were "
                f"put together. Both target and output have the shape ({_dims(output)}).\n"
                "  wrong:  lambda target, output: target * np.sum(output, axis=1)\n"
                "  right:  lambda target, output: np.sum(target * output, axis=1)"
            )
        return per_row(value)

    return each_row
