"""What a run is worth on rows that it was not trained on: the mean loss, and a score that is easier to read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.constrain.terms import flat
from chainrule.errors import TrainingError
from chainrule.learn import Run
from chainrule.nn import Loss

Array = np.ndarray[Any, Any]
ScoreFunction = Callable[..., Any]


@dataclass(frozen=True)
class Score:
    """A score by name: ``function(truth, prediction, weight)`` gives one number, the higher the better."""

    name: str
    function: ScoreFunction


def held_out_loss(run: Run, data: tuple[Any, Any, Any]) -> float:
    """Return F without penalties over held-out rows, dropout off."""
    x, y, weight = data
    x = np.asarray(x).astype(run.training["x"].dtype, copy=False)
    return float(run.objective.data_loss(run.parameters, (x, y, weight), state=run.state))


def classes_of(loss: Loss, y: Array) -> Array | None:
    """Return the class of each row, where targets are one class a row; None where they are numbers or several."""
    if loss.link not in ("sigmoid", "softmax") or not (y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1)):
        return None
    labels = flat(y)
    whole = labels.dtype.kind in "iub" or bool(np.all(labels == np.round(labels)))
    return labels.astype(np.int64) if whole else None


def choose_score(wanted: Any, loss: Loss) -> Score | None:
    """Return a score: accuracy for classes, R² for numbers, a function of one's own, or none.

    Raises:
        TrainingError: what is neither "auto", None nor a function.
    """
    if wanted is None:
        return None
    if callable(wanted):
        return Score(getattr(wanted, "__name__", "score"), wanted)
    if wanted != "auto":
        raise TrainingError(
            f"score is {wanted!r:.60}; give a function score(truth, prediction, weight), 'auto' or None"
        )
    if loss.link in ("sigmoid", "softmax"):
        return Score("accuracy", accuracy)
    return None if loss.classes else Score("R²", r_squared)


def accuracy(truth: Array, prediction: Array, weight: Array) -> float:
    """Return the share of the weight of the rows that are decided rightly; of several labels a row, of their cells."""
    if truth.ndim == 2 and truth.shape == prediction.shape and truth.shape[1] > 1:  # a column a class or label
        one = np.allclose(truth.sum(axis=1), 1.0) and np.allclose(prediction.sum(axis=1), 1.0)
        hits = (
            np.argmax(truth, axis=1) == np.argmax(prediction, axis=1) if one
            else np.mean((truth > 0.5) == (prediction > 0.5), axis=1)
        )  # fmt: skip
    elif prediction.ndim == 2 and prediction.shape[1] > 1:
        hits = np.argmax(prediction, axis=1) == flat(truth)
    else:
        hits = (flat(prediction) > 0.5) == (flat(truth) > 0.5)
    return float(np.average(hits, weights=weight))


def r_squared(truth: Array, prediction: Array, weight: Array) -> float:
    """Return 1 − Σ w (y − p)² / Σ w (y − ȳ)², the mean over outputs; NaN where y is the same in all of these rows."""
    t = np.asarray(truth, np.float64).reshape(len(truth), -1)
    p = np.asarray(prediction, np.float64).reshape(t.shape)
    w = np.asarray(weight, np.float64)[:, None]
    mean = np.sum(w * t, axis=0) / np.sum(w)
    spread = np.sum(w * np.square(t - mean), axis=0)
    left = np.sum(w * np.square(t - p), axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.mean(np.where(np.ptp(t, axis=0) > 0.0, 1.0 - left / spread, np.nan)))


def score_on(run: Run, data: tuple[Any, Any, Any], score: Score | None) -> float:
    """Return a run's score on held-out rows; NaN where there is none."""
    if score is None:
        return float("nan")
    x, y, weight = data
    return float(score.function(np.asarray(y), run.predict(x), np.asarray(weight)))
