"""Folds: which rows train and which are held out, at random from a seed and class by class, or as they are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import TrainingError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Fold:
    """One fold: the data to train on and the data that is held out, each (X, y, weights).

    ``rows`` are the numbers of the training rows among all rows, where the data are rows of one table as it stands;
    None where each fold has an encoding of its own.
    """

    training: tuple[Any, Any, Any]
    held_out: tuple[Any, Any, Any]
    rows: Array | None = None


def cut_folds(count: int, folds: int, seed: int, classes: Array | None = None) -> list[tuple[Array, Array]]:
    """Deal rows out to folds at random: (training rows, held-out rows) for each, every row held out once.

    With ``classes`` each class is dealt out by itself, so that every fold has its share of it; the only row of a class
    is never held out, since no network could learn that class without it. The sizes of folds differ by one row at most.

    >>> [held.tolist() for _, held in cut_folds(5, 2, 0)]
    [[1, 2, 3], [0, 4]]

    Raises:
        TrainingError: fewer than two folds, or more folds than rows.
    """
    if isinstance(folds, bool) or not isinstance(folds, int | np.integer) or folds < 2:
        raise TrainingError(f"folds is {folds!r}; give a whole number of at least 2, pairs of row numbers, or None")
    if folds > count:
        raise TrainingError(f"folds is {folds} and there are {count} rows; every fold must hold out at least one")
    key = ops.fold(ops.key(seed), ops.stream("folds"))
    bits = ops.random_bits(key, np.arange(count, dtype=np.uint32), np.zeros(count, np.uint32))
    order = np.argsort(bits, kind="stable")
    if classes is not None:
        order = order[np.argsort(classes[order], kind="stable")]
        _, inverse, counts = np.unique(classes, return_inverse=True, return_counts=True)
        order = order[counts[inverse[order]] > 1]
        if len(order) < folds:
            raise TrainingError(
                f"folds is {folds}, and only {len(order)} rows are of a class that has more than one row"
            )
    number = np.full(count, folds)  # no fold's: never held out
    number[order] = np.arange(len(order)) % folds
    return [(np.flatnonzero(number != k), np.flatnonzero(number == k)) for k in range(folds)]


def read_folds(folds: Any, rows: Mapping[str, Array], seed: int, classes: Array | None) -> list[Fold]:
    """Return folds by their number, by a splitter such as scikit-learn's, or by pairs of row numbers or masks.

    Raises:
        TrainingError: pairs that are no rows, that share rows, or a class that a fold would not learn from.
    """
    if folds is None:
        return []
    count = len(rows["x"])
    if isinstance(folds, int | np.integer):
        pairs: Any = cut_folds(count, int(folds), seed, classes)
    elif hasattr(folds, "split"):
        pairs = list(folds.split(rows["x"], rows["y"]))
    elif isinstance(folds, Iterable) and not isinstance(folds, str):
        pairs = list(folds)
    else:
        raise TrainingError(f"folds is {folds!r:.60}; give a number, a splitter, pairs of row numbers, or None")
    if len(pairs) < 2:
        raise TrainingError(f"folds has {len(pairs)} parts; a standard error needs at least 2")
    found = []
    for number, pair in enumerate(pairs, 1):
        training, held = checked_pair(pair, count, number)
        require_classes(classes, training, number)
        found.append(Fold(_taken(rows, training), _taken(rows, held), training))
    return found


def checked_pair(pair: Any, count: int, number: int) -> tuple[Array, Array]:
    """Return the training and held-out rows of a fold as row numbers.

    Raises:
        TrainingError: what is no pair of rows, or rows that are in both.
    """
    if not isinstance(pair, Sequence) or len(pair) != 2:
        raise TrainingError(f"fold {number} is {pair!r:.60}; it is a pair: (training rows, held-out rows)")
    parts = []
    for given, what in zip(pair, ("training", "held-out"), strict=True):
        chosen = np.asarray(given)
        if chosen.dtype == np.bool_ and chosen.shape == (count,):
            chosen = np.flatnonzero(chosen)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or not len(chosen):
            raise TrainingError(
                f"fold {number}: its {what} rows must be row numbers, at least one, or a mask of {count}"
            )
        if chosen.min() < 0 or chosen.max() >= count:
            raise TrainingError(f"fold {number}: its {what} rows go beyond 0 … {count - 1}")
        parts.append(chosen)
    both = np.intersect1d(parts[0], parts[1])
    if len(both):
        raise TrainingError(
            f"fold {number}: row {both[0]} is trained on and held out too, so that what is measured there says nothing "
            "of new rows"
        )
    return parts[0], parts[1]


def require_classes(classes: Array | None, training: Array, number: int) -> None:
    """Raise TrainingError for a class that a fold's training rows do not have: its network could not know it."""
    if classes is None:
        return
    missing = np.setdiff1d(classes, classes[training])
    if len(missing):
        rows = int(np.sum(classes == missing[0]))
        raise TrainingError(
            f"fold {number}: the class {missing[0]} is in no training row ({rows} of {len(classes)} rows have it), so "
            "that no network could learn it there. Give fewer folds, more rows of it, or leave it out"
        )


def _taken(rows: Mapping[str, Array], numbers: Array) -> tuple[Any, Any, Any]:
    return rows["x"][numbers], rows["y"][numbers], rows["weight"][numbers]
