"""The rows of a learning curve: repeated splits, nested subsets, and an encoder for each, fitted on its own rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import TableError, TrainingError
from chainrule.table import TableEncoder, TargetEncoder, Task
from chainrule.table.say import count
from chainrule.workflow.split import Split, class_numbers, split_rows

Array = np.ndarray[Any, Any]
FEWEST = 8
"""A subset has at least so many rows, and four for each class: with fewer there is hardly anything to learn from."""
HALVINGS = 4


@dataclass(frozen=True)
class Sample:
    """Rows of one repeat: to train on, to watch and to be scored on, as encoders read them that saw the first alone."""

    seed: int
    encoder: TableEncoder
    target: TargetEncoder
    training: tuple[Array, Array]
    validation: tuple[Array, Array]
    test: tuple[Array, Array]


def nested(rows: Array, classes: Array | None, seed: int) -> Array:
    """Return rows in a random order of which every front part has the classes in their shares, none left out.

    With k classes the first k rows are one of each: the i-th row of a class of m (from 0) stands at i/m of the way.
    """
    order = np.random.default_rng(seed).permutation(rows)
    if classes is None:
        return order
    labels = classes[order]
    place = np.empty(len(order))
    for label in np.unique(labels):
        at = np.flatnonzero(labels == label)
        place[at] = np.arange(len(at)) / len(at)
    return order[np.argsort(place, kind="stable")]


def default_rows(most: int, classes: int) -> tuple[int, ...]:
    """Return numbers of rows for a curve: all, a half, a quarter, … a sixteenth, as far as a part is large enough."""
    halves = [round(most / 2**k) for k in range(HALVINGS, -1, -1)]
    return tuple(n for n in halves if n >= max(FEWEST, 4 * classes) or n == most)


def shortened(split: Split, rows: int, labels: Array | None, seed: int) -> Split:
    """Return a split with so many rows for training and watching together, in their shares; nested, test unchanged."""
    whole = len(split.training) + len(split.validation)
    if rows == whole:
        return split
    watched = round(rows * len(split.validation) / whole)
    if len(split.validation):
        watched = max(watched, 1)
    training = nested(split.training, labels, seed)[: rows - watched]
    validation = nested(split.validation, labels, seed)[:watched]
    return Split(np.sort(training), np.sort(validation), split.test)


@dataclass(frozen=True)
class Source:
    """A table whose rows all have a label, and how it is split in each repeat."""

    frame: Any
    values: Any
    task: Task
    ignore: Sequence[str]
    name: str
    seed: int
    splits: Sequence[Split]

    @classmethod
    def of(cls, frame: Any, values: Any, task: Task, options: Any, name: str) -> Source:
        """Return a table with its splits: that of repeat r is the one that ``train`` makes with seed + r."""
        labels = class_numbers(values, task)
        splits = [
            split_rows(len(values), labels, options.validation, options.test, (options.seed + r) % 2**64)
            for r in range(options.repeats)
        ]
        return cls(frame, values, task, options.ignore, name, options.seed, splits)

    @property
    def most(self) -> int:
        """How many rows there are to learn from: all but those that are held out."""
        return len(self.splits[0].training) + len(self.splits[0].validation)

    @property
    def held_out(self) -> int:
        return len(self.splits[0].test)

    def draw(self, rows: int) -> list[Sample]:
        """Return a sample of so many rows for each repeat, nested in that of more rows.

        Its encoders know its training rows and no others: medians, categories, the target's mean.
        """
        labels = class_numbers(self.values, self.task)
        return [
            self._sample(rows, shortened(split, rows, labels, seed), seed)
            for repeat, split in enumerate(self.splits)
            for seed in [(self.seed + repeat) % 2**64]
        ]

    def _sample(self, rows: int, split: Split, seed: int) -> Sample:
        column = self.values.name
        try:
            encoder = TableEncoder.fit(
                self.frame, target=column, ignore=self.ignore, rows=split.training, source=self.name
            )
            target = TargetEncoder.fit(self.values, self.task, split.training, column=column)
        except TableError as error:
            raise TableError(
                f"of {count(rows, 'row')}, {len(split.training)} are to train on: {error} Give larger numbers of rows"
            ) from None
        inputs = encoder.transform(self.frame, source=self.name)
        truth = target.transform(self.values, source=self.name)
        parts = ((inputs[part], truth[part]) for part in (split.training, split.validation, split.test))
        return Sample(seed, encoder, target, *parts)


def check_rows(rows: Sequence[int], most: int, classes: int) -> tuple[int, ...]:
    """Return numbers of rows in rising order; raise TrainingError for too few, too many, or one alone."""
    fewest = max(FEWEST, 4 * classes)
    if most < 2 * fewest:
        needed = f"{fewest} for a smallest subset" + (f", four for each of {classes} classes," if classes else "")
        raise TrainingError(
            f"{count(most, 'row')} with a label are left to learn from, too few for a learning curve: at least "
            f"{2 * fewest} are needed, twice the {needed} so that two subsets can be compared. Give more rows"
        )
    chosen = tuple(sorted(set(rows))) if rows else default_rows(most, classes)
    for number in chosen:
        if not fewest <= number <= most:
            raise TrainingError(f"rows holds {number}; numbers of rows from {fewest} to {most:,} are possible here")
    if len({*chosen, most}) < 2:  # all rows are a point too
        raise TrainingError(f"rows has one number alone, {chosen[0]}; a curve needs two, such as {most // 2},{most}")
    return chosen
