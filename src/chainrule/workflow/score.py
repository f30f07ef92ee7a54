"""How good is a model on some rows: all scores of its task, beside the best guess without a model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from chainrule.table import TargetEncoder
from chainrule.workflow import metrics
from chainrule.workflow.layout import percent
from chainrule.workflow.metrics import Interval

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ClassificationScore:
    """Scores of a classification on some rows; ``guess`` is the accuracy of always saying ``guess_class``."""

    rows: int
    accuracy: float
    interval: Interval
    guess: float
    guess_class: Any
    log_loss: float
    auc: float | None
    classes: list[Any] = field(repr=False)
    support: list[int] = field(repr=False)
    precision: list[float | None] = field(repr=False)
    recall: list[float | None] = field(repr=False)
    confusion: list[list[int]] = field(repr=False)

    @property
    def no_better(self) -> str | None:
        """Why the model is no better than the guess, or None; rows of one class alone, all right, tell nothing."""
        if self.accuracy > self.guess or self.accuracy == 1.0:
            return None
        return (
            f"no better than guessing: {percent(self.accuracy)} of the rows are right, and always saying "
            f"{self.guess_class} would be right in {percent(self.guess)}"
        )

    def to_dict(self) -> dict[str, Any]:
        return {"task": "classification", **asdict(self)}


@dataclass(frozen=True)
class RegressionScore:
    """Scores of a regression on some rows; ``guess`` is the RMSE of always saying the training rows' mean."""

    rows: int
    rmse: float
    interval: Interval | None
    guess: float
    guess_value: float
    mae: float
    r2: float | None

    @property
    def no_better(self) -> str | None:
        """Why the model is no better than the guess, or None; rows that are predicted exactly are no matter of luck."""
        if self.rmse == 0.0 or (self.rmse < self.guess and (self.r2 is None or self.r2 > 0.0)):
            return None
        if self.rmse >= self.guess:
            return f"no better than guessing: the RMSE is {self.rmse:.4g}, that of the mean {self.guess:.4g}"
        return f"no better than guessing: R² is {self.r2:.4g}, that of the mean of these rows 0"

    def to_dict(self) -> dict[str, Any]:
        return {"task": "regression", **asdict(self)}


Score = ClassificationScore | RegressionScore


def score_classes(target: TargetEncoder, truth: Array, probabilities: Array, guess: int) -> ClassificationScore:
    """Score class probabilities [n, classes] against class indices [n]."""
    predicted = np.argmax(probabilities, axis=1)
    share = metrics.accuracy(truth, predicted)
    table = metrics.confusion(truth, predicted, len(target.classes))
    precision, recall = metrics.precision_recall(table)
    return ClassificationScore(
        rows=len(truth),
        accuracy=share,
        interval=metrics.wilson(share, len(truth)),
        guess=float(np.mean(truth == guess)),
        guess_class=target.classes[guess],
        log_loss=metrics.log_loss(truth, probabilities),
        auc=metrics.auc_one_vs_rest(truth, probabilities),
        classes=target.classes,
        support=[int(v) for v in table.sum(axis=1)],
        precision=precision,
        recall=recall,
        confusion=[[int(v) for v in row] for row in table],
    )


def score_numbers(truth: Array, predicted: Array, guess: float) -> RegressionScore:
    """Score predicted numbers [n] against true ones [n], in the target's unit."""
    return RegressionScore(
        rows=len(truth),
        rmse=metrics.rmse(truth, predicted),
        interval=metrics.bootstrap_rmse(truth, predicted),
        guess=metrics.rmse(truth, np.full(len(truth), guess)),
        guess_value=guess,
        mae=metrics.mae(truth, predicted),
        r2=metrics.r2(truth, predicted),
    )
