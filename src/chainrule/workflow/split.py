"""Splitting rows into training, validation and test: at random from a seed, and class by class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import TrainingError
from chainrule.table import Task
from chainrule.table.say import count as say

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Split:
    """Row numbers of the three parts; no row is in two of them."""

    training: Array
    validation: Array
    test: Array


def split_rows(count: int, classes: Array | None, validation: float, test: float, seed: int) -> Split:
    """Split rows: ``test`` is a share of all rows, ``validation`` a share of the rest.

    With classes every part has every class in its share of the whole, as far as whole rows allow; a class with one row
    goes to training.
    """
    for name, share in (("test", test), ("validation", validation)):
        if not 0.0 <= share < 1.0:
            raise TrainingError(
                f"the {name} share is {share:g}; it must be at least 0 and less than 1, for instance 0.2"
            )
    key = ops.fold(ops.key(seed), ops.stream("split"))
    bits = ops.random_bits(key, np.arange(count, dtype=np.uint32), np.zeros(count, np.uint32))
    order = np.argsort(bits, kind="stable")
    held_out, rest = _take(order, classes, test)
    watched, training = _take(rest, classes, validation)
    for name, share, rows in (("test", test, held_out), ("validation", validation, watched)):
        if share and not len(rows):
            raise TrainingError(
                f"the table has {say(count, 'row')} with a label, too few for a {name} share of {share:g}: no row "
                f"would be in it. Give more rows, or --{name} 0"
            )
    if len(training) < 2:
        raise TrainingError(
            f"the table has {say(count, 'row')} with a label, which leaves {len(training)} for training; at least two "
            "are needed. Give more rows"
        )
    return Split(np.sort(training), np.sort(watched), np.sort(held_out))


def class_numbers(values: Any, task: Task) -> Array | None:
    """Return the number of each row's class (in the order of their texts), to split by; None where it is a number."""
    if not task.is_classification:
        return None
    texts = values.cast(str).to_list()
    index = {text: i for i, text in enumerate(sorted(set(texts)))}
    return np.array([index[text] for text in texts], np.int64)


def _take(order: Array, classes: Array | None, share: float) -> tuple[Array, Array]:
    """Take a share of each class off the front of a random order, in all about ``share`` of the rows."""
    if not share:
        return order[:0], order
    chosen = np.zeros(len(order), bool)
    if classes is None:
        chosen[: round(share * len(order))] = True
    else:
        labels = classes[order]
        owed = 0.0
        # Rounding goes from class to class, so that many small classes together still give their share.
        for label in sorted(set(labels.tolist()), key=lambda v: (int(np.sum(labels == v)), v)):
            places = np.flatnonzero(labels == label)
            owed += share * len(places)
            take = min(max(round(owed), 0), len(places) - 1)
            owed -= take
            chosen[places[:take]] = True
    return order[chosen], order[~chosen]
