"""Loss: how far an output is from its target, one number a row; and what all losses check.

The objective takes the (weighted) mean over the rows. The lecture sums over them, we average: the gradient, and with it
the learning rate and λ, differ by the factor n.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import TraceError, TrainingError, TypeMismatch
from chainrule.graph import Node, Type, depends_on, type_of_value
from chainrule.graph.node import where_made

LossFunction = Callable[..., Any]


class Loss:
    """A loss: ``rows(target, output)`` gives one number a row, ``link`` turns outputs into predictions.

    ``classes`` says whether targets are classes. A loss with numbers has them as fields, ``cr.nn.losses.Huber(2.0)``,
    and its function takes them after target and output.
    """

    function: LossFunction
    name: str = "loss"
    formula: str = ""
    link: str = "identity"
    classes: bool = False

    def rows(self, target: Any, output: Any) -> Any:
        """Return the loss of each row; targets that are arrays, not traced, are checked first."""
        if not isinstance(target, Node):
            self.check_targets(np.asarray(target), type_of_value(output))
        return self.function(target, output, **self.numbers())

    def check_targets(self, target: np.ndarray[Any, Any], output: Type) -> None:
        """Raise TrainingError for targets that this loss cannot take, naming the row."""

    def watched(self, target: Any, output: Any) -> Any:
        """Return traced targets such that computing them fails where there is no such class."""
        return target

    def numbers(self) -> dict[str, float]:
        """Return the numbers that make this loss what it is, such as δ."""
        return {f.name: getattr(self, f.name) for f in fields(self)} if is_dataclass(self) else {}

    def __str__(self) -> str:
        shown = ", ".join(f"{k}={v:g}" for k, v in self.numbers().items())
        return f"{self.name}({shown})" if shown else self.name

    def _require(self, name: str, fits: Callable[[Any], bool], wanted: str) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value) or not fits(value):
            raise TraceError(f"{self.name}: {name} is {value!r}; it must be {wanted}")
        object.__setattr__(self, name, float(value))


def aligned(name: str, target: Any, output: Any) -> tuple[Any, Any]:
    """Bring target and output to the same shape; (n,) meets (n,1), anything else that differs is an error.

    Without this, a target of shape (n,) against an output of (n,1) would broadcast to n × n, silently.
    """
    if target.ndim == 1 and output.ndim == 2 and output.shape[1] == 1:
        target = ops.reshape(target, (-1, 1))
    elif output.ndim == 1 and target.ndim == 2 and target.shape[1] == 1:
        output = ops.reshape(output, (-1, 1))
    if target.shape != output.shape:
        raise TypeMismatch(
            f"{name}: the target has shape ({dims(target)}), the output ({dims(output)}); they must be equal: "
            "give the last layer as many units as the target has columns"
        )
    return target, output


def numbers_like(name: str, target: Any, output: Any) -> tuple[Any, Any]:
    """Return target and output of one shape, and of the output's dtype."""
    return aligned(name, target.astype(output.dtype) if target.dtype != output.dtype else target, output)


def dims(x: Any) -> str:
    """Return a shape as it is written."""
    return ", ".join(map(str, x.shape))


def per_row(value: Any) -> Any:
    """Sum over the outputs of each row."""
    return ops.sum_(value, axis=tuple(range(1, value.ndim))) if value.ndim > 1 else value


def refuse_rows(name: str, target: np.ndarray[Any, Any], bad: np.ndarray[Any, Any], wanted: str) -> None:
    """Raise TrainingError that names the first row in which a target is bad."""
    rows = np.flatnonzero(np.any(bad.reshape(len(target), -1), axis=1))
    if rows.size:
        raise TrainingError(f"{name}: the target of row {rows[0] + 1} is {target[rows[0]]}; targets must be {wanted}")


class OwnLoss(Loss):
    """A function ``loss(target, output)`` of the user's own, which gives one number a row (or one an output)."""

    def __init__(self, function: LossFunction) -> None:
        name = getattr(function, "__name__", "loss")
        self.function = function
        self.called = name
        self.name = name if name != "<lambda>" else "own loss"
        self.formula = f"{name}(target, output)"

    def numbers(self) -> dict[str, float]:
        return {}

    def rows(self, target: Any, output: Any) -> Any:
        name = self.called
        target, output = aligned(name, target, output) if target.ndim != output.ndim else (target, output)
        value = self.function(target, output)
        rows = output.shape[0]
        if not hasattr(value, "ndim") or value.ndim < 1 or value.shape[0] != rows:
            raise TraceError(
                f"the loss {name} returned {getattr(value, 'type', value)!s}; it must return one number a row (the "
                "mean over the rows is taken for you).\n"
                "  wrong:  lambda target, output: np.mean((target - output) ** 2)\n"
                "  right:  lambda target, output: np.mean((target - output) ** 2, axis=1)"
            )
        if value.dtype.kind != "f":
            what = "truth values" if value.dtype.kind == "b" else "whole numbers"
            raise TraceError(
                f"the loss {name} returned {what}; they have no derivative, so that nothing can be learned from them. "
                'Give a loss that moves with the output, such as "binary_cross_entropy"; errors are counted afterwards'
            )
        if rows in value.shape[1:] and rows not in output.shape[1:]:
            raise TraceError(
                f"the loss {name} returned a table of rows by rows, of shape ({dims(value)}): (n,) and (n, 1) were "
                f"put together. Both target and output have the shape ({dims(output)}).\n"
                "  wrong:  lambda target, output: target * np.sum(output, axis=1)\n"
                "  right:  lambda target, output: np.sum(target * output, axis=1)"
            )
        if isinstance(value, Node):
            _refuse_squares(name, value, output)
        return per_row(value)


def _refuse_squares(name: str, value: Node, output: Node) -> None:
    """Raise TraceError where (n,) and (n, 1) were put together on the way, though the result is one number a row."""
    rows = output.shape[0]
    for node in depends_on([value], [output]):
        if node.op.kind == "elementwise" and node.shape == (rows, rows):
            put_together = {o.operands[0].shape for o in node.operands if o.op.name == "broadcast"}
            if put_together >= {(rows,), (rows, 1)}:
                raise TraceError(
                    f"the loss {name} puts (n,) and (n, 1) together, at {where_made(node)}: a table of rows by rows. "
                    f"Both target and output have the shape ({dims(output)}).\n"
                    "  wrong:  lambda target, output: np.mean((target[:, 0] - output) ** 2, axis=1)\n"
                    "  right:  lambda target, output: np.mean((target - output) ** 2, axis=1)\n"
                    "Where all pairs of rows are meant: x[:, None] - x[None, :]"
                )
