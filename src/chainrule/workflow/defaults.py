"""Settings that fit the size of the data: what is chosen where nothing is given, by ``train`` and by estimators."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

SMALL = 1_000
"""Up to so many rows each step uses all of them, in double precision: then a weight is exactly a repetition."""
LARGE = 8_000
"""From so many rows on some are set aside, to stop when the loss on them no longer falls (numbers: from 4,000 on)."""


@dataclass(frozen=True)
class Choices:
    """Every setting that goes by the size of the data, with the value in force."""

    hidden_layer_sizes: Any
    learning_rate: Any
    schedule: Any
    epochs: int
    batch_size: int | str
    dropout: float
    weight_decay: Any
    early_stopping: bool
    patience: int

    def to_dict(self) -> dict[str, Any]:
        """Return the settings by name."""
        return {**asdict(self), "hidden_layer_sizes": self.hidden_layer_sizes}


#                    hidden       η     schedule  epochs  batch  dropout  decay  early  patience
SETTINGS: dict[str, tuple[tuple[int, Choices], ...]] = {
    "classes": (
        (SMALL, Choices((64,), 0.01, "cosine", 300, "all", 0.0, 1.0, False, 50)),
        (LARGE, Choices((256,), 0.01, "cosine", 30, 128, 0.2, 1.0, False, 20)),
        (2**63, Choices((256, 128), 0.003, "cosine", 60, 128, 0.1, 0.1, True, 10)),
    ),
    "numbers": (
        (SMALL, Choices((64,), 0.01, "cosine", 300, "all", 0.0, 1.0, False, 50)),
        (LARGE // 2, Choices((256,), 0.003, "cosine", 60, 64, 0.0, 0.3, False, 20)),
        (LARGE, Choices((128, 128), 0.003, "cosine", 100, 64, 0.0, 0.3, True, 20)),
        (2**63, Choices((256, 128), 0.003, "cosine", 60, 128, 0.0, 0.05, True, 12)),
    ),
}
"""For classes and numbers, the settings up to a number of training rows."""


def automatic(rows: int, classification: bool, *, regularized: bool = False, searches: bool = False) -> Choices:
    """Return the settings for a number of rows, of all that are given but those to test on.

    Args:
        rows: how many there are.
        classification: are classes to be told, or numbers?
        regularized: is there a constraint or a penalty? Then there is no weight decay beside it: decoupled decay is no
            penalty that the objective has, and would move the solution away from that of the problem as it is stated.
        searches: does the optimizer search along lines (L-BFGS)? Then each step uses all rows, without chance.

    >>> automatic(150, True).batch_size, automatic(50_000, True).early_stopping
    ('all', True)
    >>> automatic(150, True).weight_decay, automatic(150, True, regularized=True).weight_decay
    (1.0, 0.0)
    """
    steps = SETTINGS["classes" if classification else "numbers"]
    found = next(found for most, found in steps if rows <= most)
    if regularized:
        found = replace(found, weight_decay=0.0)
    return replace(found, batch_size="all", dropout=0.0, early_stopping=False) if searches else found
