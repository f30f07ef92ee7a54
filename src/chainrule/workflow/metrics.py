"""Scores of predictions against truth, with intervals: plain NumPy, so that a score needs nothing loaded.

Departure from scikit-learn's functions, which these agree with (tested): a class with no rows has precision or recall
None instead of 0 and a warning, and an AUC over one class is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


def accuracy(truth: Array, predicted: Array) -> float:
    """Return the share of rows whose predicted class is the true one."""
    return float(np.mean(truth == predicted))


def wilson(share: float, count: int) -> Interval:
    """Return the 95 % interval of a share of ``count`` rows (Wilson 1927): right for small counts and near 0 and 1."""
    center = share + Z95**2 / (2 * count)
    spread = Z95 * sqrt(share * (1 - share) / count + Z95**2 / (4 * count**2))
    scale = 1 + Z95**2 / count
    return Interval(max(0.0, (center - spread) / scale), min(1.0, (center + spread) / scale))


def log_loss(truth: Array, probabilities: Array) -> float:
    """Return −mean log p(true class); probabilities are kept 2⁻⁵² away from 0, so that one miss is not infinite."""
    p = np.asarray(probabilities, np.float64)[np.arange(len(truth)), truth]
    return float(-np.mean(np.log(np.maximum(p, np.finfo(np.float64).eps)))) + 0.0  # not −0


def auc(truth: Array, scores: Array) -> float | None:
    """Return the area under the ROC curve: how often a positive row scores above a negative one (ties count half)."""
    positive = np.asarray(truth, bool)
    n1, n0 = int(positive.sum()), int((~positive).sum())
    if not n1 or not n0:
        return None
    _, inverse, counts = np.unique(np.asarray(scores, np.float64), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return float((ranks[positive].sum() - n1 * (n1 + 1) / 2.0) / (n1 * n0))


def auc_one_vs_rest(truth: Array, probabilities: Array) -> float | None:
    """Return the AUC of each class against the rest, averaged over the classes that have rows and non-rows."""
    if probabilities.shape[1] == 2:
        return auc(truth == 1, probabilities[:, 1])
    each = [auc(truth == k, probabilities[:, k]) for k in range(probabilities.shape[1])]
    known = [a for a in each if a is not None]
    return float(np.mean(known)) if known else None


def confusion(truth: Array, predicted: Array, classes: int) -> Array:
    """Return how often each true class (row) was predicted as each class (column)."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (truth, predicted), 1)
    return table


def precision_recall(table: Array) -> tuple[list[float | None], list[float | None]]:
    """Return precision and recall of each class from a confusion matrix; None where there is nothing to divide by."""
    hits, predicted, true = np.diag(table), table.sum(axis=0), table.sum(axis=1)
    precision = [float(h / p) if p else None for h, p in zip(hits, predicted, strict=True)]
    recall = [float(h / t) if t else None for h, t in zip(hits, true, strict=True)]
    return precision, recall


def unit_of(truth: Array, predicted: Array) -> float:
    """Return what numbers are to be divided by so that their squares neither overflow nor vanish: 1 for most."""
    largest = float(max(np.max(np.abs(truth)), np.max(np.abs(predicted))))
    return 1.0 if largest == 0.0 or 1e-140 < largest < 1e140 else largest


def rmse(truth: Array, predicted: Array) -> float:
    """Return √(mean (truth − predicted)²), in the target's unit."""
    unit = unit_of(truth, predicted)
    return float(unit * np.sqrt(np.mean(np.square(truth / unit - predicted / unit))))


def mae(truth: Array, predicted: Array) -> float:
    """Return mean |truth − predicted|, in the target's unit."""
    unit = unit_of(truth, predicted)
    return float(unit * np.mean(np.abs(truth / unit - predicted / unit)))


def r2(truth: Array, predicted: Array) -> float | None:
    """Return 1 − Σ(truth − predicted)² / Σ(truth − mean)²; None where the truth is constant."""
    if np.all(truth == truth[0]):  # its mean may be rounded, so that the sum below is not quite 0
        return None
    unit = unit_of(truth, predicted)
    t, p = truth / unit, predicted / unit
    return 1.0 - float(np.sum(np.square(t - p))) / float(np.sum(np.square(t - np.mean(t))))


def bootstrap_rmse(truth: Array, predicted: Array, seed: int = 0, draws: int = 2000) -> Interval | None:
    """Return the 95 % bootstrap percentile interval of the RMSE: rows drawn again with replacement (Efron 1979)."""
    if len(truth) < 2:
        return None
    unit = unit_of(truth, predicted)
    squares = np.square(np.asarray(truth, np.float64) / unit - predicted / unit)
    rng = np.random.default_rng(seed)
    means = np.array([squares[rng.integers(0, len(squares), len(squares))].mean() for _ in range(draws)])
    low, high = unit * np.sqrt(np.quantile(means, [0.025, 0.975]))
    return Interval(float(low), float(high))
