"""TrainOptions: everything that may be chosen of a training on a table; what is left out goes by the table's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from chainrule.errors import TrainingError
from chainrule.learn.schedules import SCHEDULES
from chainrule.nn import choose
from chainrule.table import Task
from chainrule.workflow.defaults import Choices, automatic
from chainrule.workflow.optimizing import NAMES, searches
from chainrule.workflow.problem import Regularization, regularization, without_stopping

SHARE = 0.2
"""The share of the rows that is watched, where stopping early is chosen and no share is given."""
SIZED = {"hidden_layer_sizes": "hidden"} | {
    name: name for name in ("learning_rate", "schedule", "epochs", "batch_size", "dropout", "weight_decay", "patience")
}
"""What goes by the table's size unless it is given: names of ``Choices``, and of ``TrainOptions``."""


@dataclass(frozen=True)
class TrainOptions:
    """Everything that may be chosen; None means: chosen from the data, as the estimators do it, and said.

    ``constraint``, ``per``, ``parameters`` and ``penalty`` are read by ``cr.constrain.sets_of`` and ``penalties_of``,
    ``method`` and ``dual_learning_rate`` by ``method_of``. ``clip`` is the largest length of the gradient; ``average``
    the decay of a moving average of the parameters, which is then what is used.
    """

    task: str | None = None
    ignore: tuple[str, ...] = ()
    hidden: tuple[int, ...] | None = None
    activation: str = "relu"
    loss: str | None = None
    dropout: float | None = None
    optimizer: str = "adam"
    learning_rate: float | None = None
    schedule: str | None = None
    epochs: int | None = None
    batch_size: int | str | None = None
    patience: int | None = None
    weight_decay: float | None = None
    clip: float | None = None
    average: float | None = None
    validation: float | None = None
    test: float = 0.2
    seed: int = 0
    executor: str = "native"
    constraint: Any = None
    penalty: Any = None
    per: str | None = None
    parameters: str | Sequence[str] = "weights"
    method: Any = None
    dual_learning_rate: float | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """Which settings of ``Choices`` were given."""
        return tuple(name for name, own in SIZED.items() if getattr(self, own) is not None)

    def regularization(self) -> Regularization:
        """Return the sets, the penalties and the method; raise TrainingError for what they cannot mean."""
        return regularization(
            self.constraint,
            self.penalty,
            self.method,
            per=self.per,
            parameters=self.parameters,
            dual_learning_rate=self.dual_learning_rate,
        )

    def check(self) -> None:
        """Say what is wrong before any work is done."""
        choose(dict.fromkeys(NAMES), self.optimizer, "optimizer")
        if self.schedule is not None:
            choose(SCHEDULES, self.schedule, "schedule")
        if self.hidden is not None and any(units < 1 for units in self.hidden):
            raise TrainingError(f"a hidden layer of {min(self.hidden)} units is not possible; give sizes such as 64,32")
        if self.patience is not None and self.patience < 1:
            raise TrainingError(f"patience is {self.patience}; it must be at least 1")

    def choices(self, rows: int, task: Task, limited: Regularization) -> Choices:
        """Return the settings in force for so many rows, without those to test on.

        Rows are watched, and the best epoch kept, where ``validation`` or ``patience`` asks for it, and where the
        defaults do; never beside multipliers.
        """
        found = automatic(rows, task.is_classification, regularized=bool(limited), searches=searches(self.optimizer))
        found = replace(found, **{name: getattr(self, SIZED[name]) for name in self.given})
        if limited.method is not None:
            return without_stopping(found, self.patience is not None, "patience")
        if self.validation is not None or self.patience is not None:
            found = replace(found, early_stopping=self.validation != 0.0)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON data: constraints and penalties as they are written."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        return known | {name: _written(known[name]) for name in ("constraint", "penalty", "method")}


def _written(given: Any) -> Any:
    if given is None or isinstance(given, str):
        return given
    return [_written(one) for one in given] if isinstance(given, list | tuple) else {"object": str(given)}
