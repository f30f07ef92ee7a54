"""Losses for targets that are numbers. Each sums over the outputs of a row; the objective takes the mean over rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import TrainingError
from chainrule.graph import Type
from chainrule.nn.losses.base import Loss, numbers_like, per_row, refuse_rows

LOG_2 = 0.6931471805599453


def half_squared_error(target: Any, output: Any) -> Any:
    """Return Σ ½ (target − output)² over the outputs of each row: the lecture's E_total."""
    target, output = numbers_like("half_squared_error", target, output)
    return per_row(0.5 * ops.square(target - output))


def squared_error(target: Any, output: Any) -> Any:
    """Return Σ (target − output)² over the outputs of each row."""
    target, output = numbers_like("squared_error", target, output)
    return per_row(ops.square(target - output))


def absolute_error(target: Any, output: Any) -> Any:
    """Return Σ |target − output| over the outputs of each row; the derivative at 0 is 0."""
    target, output = numbers_like("absolute_error", target, output)
    return per_row(ops.absolute(target - output))


def huber(target: Any, output: Any, delta: float = 1.0) -> Any:
    """Return Σ ½d² where |d| ≤ δ, else δ(|d| − ½δ), with d = output − target, over the outputs of each row.

    Written as c(d − ½c) with c = d held between −δ and δ: both pieces at once, and the derivative is c. (Huber 1964.)
    """
    target, output = numbers_like("huber", target, output)
    error = output - target
    held = ops.clip(error, -delta, delta)
    return per_row(held * (error - 0.5 * held))


def log_cosh(target: Any, output: Any) -> Any:
    """Return Σ log cosh(output − target) over the outputs of each row: ½d² near 0, |d| − log 2 far out.

    log cosh d = |d| + log(1 + e^(−2|d|)) − log 2, and −½ log(1 − tanh²d) near 0, where the first would cancel.
    """
    target, output = numbers_like("log_cosh", target, output)
    error = output - target
    size = ops.absolute(error)
    near = size < 0.5
    small = ops.tanh(ops.where(near, error, 0.0))
    far = ops.where(near, 1.0, size)
    return per_row(ops.where(near, -0.5 * ops.log1p(-ops.square(small)), far + ops.softplus(-2.0 * far) - LOG_2))


def quantile(target: Any, output: Any, q: float = 0.5) -> Any:
    """Return Σ q·max(d, 0) + (1 − q)·max(−d, 0), d = target − output, over the outputs of each row.

    What makes it least is the q-th quantile of the target. The derivative at d = 0 is 0. (Koenker and Bassett 1978;
    also called pinball loss.)
    """
    target, output = numbers_like("quantile", target, output)
    error = target - output
    return per_row(q * ops.relu(error) + (1.0 - q) * ops.relu(-error))


def poisson(target: Any, output: Any) -> Any:
    """Return Σ eᶻ − target · z for counts: the output z is the *logarithm* of the rate.

    It is −log of the Poisson probability without log(target!), which does not depend on z. From z = 89 (float32) or 710
    (float64) eᶻ is infinite: such a step stops the run.
    """
    target, output = numbers_like("poisson", target, output)
    return per_row(ops.exp(output) - target * output)


class _Numbers(Loss):
    def check_targets(self, target: np.ndarray[Any, Any], output: Type) -> None:
        if target.dtype.kind not in "fiu":
            raise TrainingError(f"{self.name} takes numbers as targets; they are {target.dtype}")


@dataclass(frozen=True)
class HalfSquaredError(_Numbers):
    """Σ ½ (target − output)² over the outputs of a row, mean over the rows: the lecture's E_total."""

    function = staticmethod(half_squared_error)
    name = "half_squared_error"
    formula = "Σ ½ (target − output)²"


@dataclass(frozen=True)
class SquaredError(_Numbers):
    """Σ (target − output)² over the outputs of a row, mean over the rows."""

    function = staticmethod(squared_error)
    name = "squared_error"
    formula = "Σ (target − output)²"


@dataclass(frozen=True)
class AbsoluteError(_Numbers):
    """Σ |target − output| over the outputs of a row, mean over the rows; the derivative at 0 is 0."""

    function = staticmethod(absolute_error)
    name = "absolute_error"
    formula = "Σ |target − output|"


@dataclass(frozen=True)
class Huber(_Numbers):
    """½d² up to |d| = δ and δ(|d| − ½δ) beyond, d = output − target; sum over the outputs, mean over the rows."""

    delta: float = 1.0
    function = staticmethod(huber)
    name = "huber"
    formula = "Σ ½d² where |d| ≤ δ, else δ(|d| − ½δ), d = output − target"

    def __post_init__(self) -> None:
        self._require("delta", lambda v: v > 0, "a number greater than 0")


@dataclass(frozen=True)
class LogCosh(_Numbers):
    """log cosh(output − target), sum over the outputs, mean over the rows: squared near 0, absolute far out."""

    function = staticmethod(log_cosh)
    name = "log_cosh"
    formula = "Σ log cosh(output − target)"


@dataclass(frozen=True)
class Quantile(_Numbers):
    """The pinball loss, whose best constant is the q-th quantile; sum over the outputs, mean over the rows."""

    q: float = 0.5
    function = staticmethod(quantile)
    name = "quantile"
    formula = "Σ q·max(d, 0) + (1 − q)·max(−d, 0), d = target − output"

    def __post_init__(self) -> None:
        self._require("q", lambda v: 0 < v < 1, "a number between 0 and 1, without them")


@dataclass(frozen=True)
class Poisson(_Numbers):
    """eᶻ − target · z for counts, z the logarithm of the rate; sum over the outputs, mean over the rows.

    Predictions are rates, eᶻ. Targets are numbers of at least 0; they need not be whole (rates, exposures).
    """

    function = staticmethod(poisson)
    name = "poisson"
    formula = "Σ eᶻ − target · z"
    link = "exponential"

    def check_targets(self, target: np.ndarray[Any, Any], output: Type) -> None:
        super().check_targets(target, output)
        refuse_rows(self.name, target, target < 0, "counts: numbers of at least 0")
