"""Averaging: a moving average of the parameters, carried along from step to step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chainrule.errors import TrainingError
from chainrule.graph import tree_map
from chainrule.learn.optimizers import count, first
from chainrule.learn.treatment import Treatment
from chainrule.nn.setting import FRACTION, Setting

DECAY = "average.decay"
"""The setting that says how much of the average stays in each step."""


@dataclass(frozen=True)
class Average:
    """An exponential moving average of the parameters, bias-corrected: a ← a + (θ − a)(1 − d)/(1 − dᵗ), t = 1, 2, ….

    That is Σ dᵗ⁻ˢ θ⁽ˢ⁾ / Σ dᵗ⁻ˢ over the steps s = 1 … t: the first parameters, which were random, have no part in it
    (Kingma and Ba 2015, section 3, for the correction; Polyak and Juditsky 1992, for averaging). ``decay`` d is a
    setting, ``"average.decay"``. Where it is ``evaluated``, the validation loss, early stopping and the parameters of
    the run are those of the average; else it is only carried along, and read with ``run.at(step).average``. Running
    statistics of batch normalization are not averaged.

    >>> import numpy as np, chainrule as cr
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> objective = cr.Objective(cr.nn.Dense(1), "squared_error")
    >>> run = cr.fit(objective, (X, 3 * X[:, 0]), optimizer=cr.learn.SGD(0.1), epochs=50, average=0.9)
    >>> bool(np.all(run.parameters["weight"] == run.at(run.steps).average["weight"]))
    True
    """

    decay: float = 0.999
    evaluated: bool = True

    def __post_init__(self) -> None:
        if self.decay not in FRACTION:
            raise TrainingError(f"the average's decay is {self.decay!r}; it must be {FRACTION}, such as 0.999")

    def settings(self) -> dict[str, float]:
        """Return d by its name."""
        return {DECAY: Setting(self.decay, FRACTION)}

    def advance(self, before: Any, after: Any, settings: Mapping[str, Any], treatment: Treatment) -> Any:
        """Return the carry after a step with the average as it is then."""
        old, new = treatment.trained(before["average"]), treatment.trained(after["parameters"])
        decay = settings[DECAY]
        share = (1.0 - decay) / (1.0 - decay ** count(after["clock"]["step"], first(new)))
        moved = tree_map(lambda a, p: a + share * (p - a), old, new)
        return {**after, "average": treatment.merged(before["average"], moved)}


def as_average(value: Any) -> Average | None:
    """Return an average as it is, and a number as one with this decay."""
    return value if value is None or isinstance(value, Average) else Average(value)
