"""What the word "auto" becomes: settings that fit the size of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

SMALL = 1_000
"""Up to so many rows each step uses all of them, in double precision: then weights are exactly repetitions."""
LARGE = 20_000
"""From so many rows on some are set aside, to stop when the loss on them no longer falls."""


@dataclass(frozen=True)
class Choices:
    """Every setting that may be "auto", with the value in force."""

    hidden_layer_sizes: Any
    learning_rate: Any
    schedule: str
    epochs: int
    batch_size: int | str
    dropout: float
    weight_decay: float
    early_stopping: bool
    patience: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def automatic(rows: int, classification: bool) -> Choices:
    """Return the settings for a number of training rows.

    >>> automatic(150, True).batch_size, automatic(50_000, True).early_stopping
    ('all', True)
    """
    if rows <= SMALL:
        return Choices((64,), 0.01, "cosine", 300, "all", 0.0, 0.1, False, 50)
    middle = Choices((256, 256), 2e-3, "cosine", 60, 64, 0.1, 0.02, False, 10)
    if rows < LARGE:
        return middle
    return replace(middle, batch_size=256, epochs=40, early_stopping=True)


def choices(rows: int, classification: bool, given: Mapping[str, Any]) -> Choices:
    """Return the settings that were given, and for those that are "auto" what fits the number of rows."""
    chosen = automatic(rows, classification)
    own = {
        f.name: given[f.name]
        for f in fields(Choices)
        if not (isinstance(given[f.name], str) and given[f.name] == "auto")
    }
    return replace(chosen, **own)
