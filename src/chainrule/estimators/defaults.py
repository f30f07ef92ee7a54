"""What the word "auto" becomes: settings that fit the size of the data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

SMALL = 1_000
"""Up to so many rows each step uses all of them, in double precision: then a weight is exactly a repetition."""
LARGE = 8_000
"""From so many rows on some are set aside, to stop when the loss on them no longer falls (numbers: from 4,000 on)."""


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


def automatic(rows: int, classification: bool) -> Choices:
    """Return the settings for a number of rows.

    >>> automatic(150, True).batch_size, automatic(50_000, True).early_stopping
    ('all', True)
    """
    steps = SETTINGS["classes" if classification else "numbers"]
    return next(found for most, found in steps if rows <= most)
