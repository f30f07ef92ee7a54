"""y to what a loss reads, and predictions back: classes, labels, and numbers in a unit of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from chainrule.errors import TableError
from chainrule.workflow.network import as_probabilities

Array = np.ndarray[Any, Any]


def read_labels(y: Any) -> Array:
    """Return labels as one column, or as a 0/1 matrix with a column a label.

    Raises:
        TableError: missing labels, or numbers that are no classes; the message is scikit-learn's where that has one.
    """
    if issparse(y):
        y = y.toarray()
    try:
        array = np.asarray(y)
        if array.dtype.kind == "O":
            array = _of_one_kind(array)
        elif array.dtype.kind == "f" and not np.all(np.isfinite(array)):
            check_array(array, ensure_2d=False, allow_nd=True, input_name="y")
        check_classification_targets(array)
        if type_of_target(array, input_name="y") == "multilabel-indicator":
            return array
        if array.ndim == 2 and array.shape[1] > 1:
            raise TableError(
                f"y has {array.shape[1]} columns of classes; it takes one column of classes, or columns of 0 and 1 "
                "(several labels a row). For several classes a row, use sklearn.multioutput.MultiOutputClassifier"
            )
        column: Array = column_or_1d(array, warn=True)
    except TableError:
        raise
    except ValueError as error:
        raise TableError(str(error)) from None
    return column


def _of_one_kind(array: Array) -> Array:
    """Python values as labels: texts, or numbers, none of them missing."""
    for row, cell in enumerate(array.flat):
        if cell is None or cell != cell or type(cell).__name__ in ("NAType", "NaTType"):
            raise TableError(f"y has no label in row {row + 1} (counted from 1). Leave such rows out.")
    plain = np.array(array.tolist())
    if plain.dtype.kind == "U" and not all(isinstance(cell, str) for cell in array.flat):
        found = sorted({type(cell).__name__ for cell in array.flat})
        raise TableError(f"y mixes {' and '.join(found)} as labels. Make all labels of one kind.")
    return array if plain.dtype.kind == "U" else plain


def read_numbers(y: Any) -> Array:
    """Return numeric targets as float64, [n] or [n, outputs]; raise TableError where one is missing or infinite."""
    if issparse(y):
        y = y.toarray()
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # the sum of the largest doubles is not looked at
            array = check_array(y, dtype=np.float64, ensure_2d=False, ensure_min_features=0, input_name="y")
    except ValueError as error:
        raise TableError(str(error)) from None
    if array.ndim == 2 and array.shape[1] == 0:
        raise TableError(f"y has shape {array.shape}: it has no column")
    return np.asarray(array)


@dataclass(frozen=True, eq=False)
class ClassTarget:
    """One of several classes, or (``kind`` is multilabel) several answers of yes or no."""

    kind: str
    classes: Array

    @classmethod
    def fit(cls, y: Array, classes: Any = None) -> ClassTarget:
        """Return what tells the classes of ``read_labels``'s result; further ``classes`` may be named."""
        if y.ndim == 2:
            return cls("multilabel", np.arange(y.shape[1]))
        found = np.unique(y)
        if classes is not None:
            named = np.unique(np.asarray(classes))
            unknown = np.setdiff1d(found, named)
            if len(unknown):
                raise TableError(f"y has the class {unknown[0]!r}, which is not among the given classes {named}")
            found = named
        if len(found) < 2:
            raise TableError(
                f"y has one class only, {found[0]!r}: there is nothing to learn. Give rows of at least two classes."
            )
        return cls("binary" if len(found) == 2 else "multiclass", found)

    @property
    def outputs(self) -> int:
        return len(self.classes)

    def encode(self, y: Array) -> Array:
        """Return class numbers, int64 [n], or a float matrix of 0 and 1."""
        if self.kind == "multilabel":
            if y.ndim != 2 or y.shape[1] != self.outputs:
                raise TableError(f"y has shape {y.shape}; the estimator was fitted on {self.outputs} labels a row")
            return y.astype(np.float64)
        if y.ndim != 1:
            raise TableError(f"y has shape {y.shape}; the estimator was fitted on one class a row")
        place = np.minimum(np.searchsorted(self.classes, y), self.outputs - 1)
        strange = np.flatnonzero(self.classes[place] != y)
        if len(strange):
            row = int(strange[0])
            raise TableError(
                f"y is {y[row]!r} in row {row + 1} (counted from 1), a class that the estimator was not fitted on; "
                f"its classes are {self.classes.tolist()}"
            )
        return place.astype(np.int64)

    def probabilities(self, prediction: Array) -> Array:
        """Return one column a class (or a label) from a network's predictions."""
        return np.asarray(prediction, np.float64) if self.kind == "multilabel" else as_probabilities(prediction)

    def decode(self, prediction: Array) -> Array:
        """Return the most probable class of each row, or the labels that are more probable than not."""
        p = self.probabilities(prediction)
        if self.kind == "multilabel":
            return (p > 0.5).astype(np.int64)
        chosen: Array = self.classes[np.argmax(p, axis=1)]
        return chosen


@dataclass(frozen=True, eq=False)
class NumberTarget:
    """Numbers, each output in units of its standard deviation: z = (y − mean)/std.

    ``low`` and ``high`` are the range of the training rows, beyond which nothing is predicted. ``flat`` says that y had
    no second axis.
    """

    mean: Array
    std: Array
    low: Array
    high: Array
    flat: bool
    kind: str = "regression"

    @classmethod
    def fit(cls, y: Array, weight: Array, standardize: bool) -> NumberTarget:
        """Return the mean and the deviation of each output, weighted; an output that is constant has deviation 1."""
        columns = y.reshape(len(y), -1)
        low, high = columns.min(axis=0), columns.max(axis=0)
        mean, std = np.zeros(len(low)), np.ones(len(low))
        if standardize:
            # in units of the largest value, so that neither the sum nor the squares overflow
            unit = np.maximum(np.maximum(np.abs(low), np.abs(high)), np.finfo(np.float64).tiny)
            share = (weight / weight.sum())[:, None]
            parts = columns / unit
            middle = (share * parts).sum(axis=0)
            spread = np.sqrt((share * (parts - middle) ** 2).sum(axis=0))
            mean = np.clip(middle * unit, low, high)
            std = np.where(low == high, 1.0, spread * unit)
            std = np.where(std > 0, std, 1.0)
        return cls(mean, std, low, high, y.ndim == 1)

    @property
    def outputs(self) -> int:
        return len(self.mean)

    def encode(self, y: Array) -> Array:
        """Return standardized numbers, [n, outputs]."""
        columns = y.reshape(len(y), -1)
        if columns.shape[1] != self.outputs:
            raise TableError(f"y has shape {y.shape}; the estimator was fitted on {self.outputs} numbers a row")
        with np.errstate(over="ignore"):
            z = (columns - self.mean) / self.std
        largest = float(np.finfo(np.float32).max) / 4  # far beyond the training range: finite, and a huge error
        return np.asarray(np.clip(z, -largest, largest))

    def widened(self, y: Array) -> NumberTarget:
        """Return the target with a range that holds further rows too."""
        columns = y.reshape(len(y), -1)
        low, high = np.minimum(self.low, columns.min(axis=0)), np.maximum(self.high, columns.max(axis=0))
        return replace(self, low=low, high=high)

    def decode(self, prediction: Array) -> Array:
        """Return predictions in y's own unit, kept within the range of the training rows, in the shape that y had."""
        with np.errstate(over="ignore"):
            y: Array = np.clip(self.mean + self.std * np.asarray(prediction, np.float64), self.low, self.high)
        return y[:, 0] if self.flat else y
