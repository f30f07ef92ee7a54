"""CurveOptions: which network is judged by learning curves, what is varied, how often; and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from chainrule.errors import TrainingError
from chainrule.learn.preparing import require_count
from chainrule.nn import choose
from chainrule.table import Task
from chainrule.workflow.curve_runs import MEASURES, SETS
from chainrule.workflow.network import FOR_TABLES


@dataclass(frozen=True)
class CurveOptions:
    """The network that is judged and how it is trained, what is varied, and how often.

    All points are trained alike, by Adam, so that differences come from rows, size and limit alone: no weight decay,
    and no dropout unless it is given. What is empty or None is chosen from the data, and said.

    Attributes:
        task, ignore: as for ``train``.
        hidden, activation, loss, dropout: the network that was asked for.
        learning_rate, epochs, batch_size: its training.
        validation, patience: a share of the rows to learn from is watched, and training ends where their loss has not
            fallen for so many epochs; ``validation=0`` trains without early stopping.
        test: the share of rows that is held out, anew in each repeat.
        rows: numbers of rows to learn from, those that are watched included.
        sizes: units of the first hidden layer; further layers keep their proportion to it.
        constrain: what is limited: "l2" (‖w‖₂ ≤ r), "maxnorm" (‖w‖₂ ≤ r for each unit), "l1" or "linf".
        radii: the r to try.
        repeats: how many splits, each with its own first weights and subsets; at least 3.
        measure: "log-loss" or "error rate" of classes, "RMSE" or "MAE" of numbers.
        seed: of the first repeat; the others count on.
    """

    task: str | None = None
    ignore: tuple[str, ...] = ()
    hidden: tuple[int, ...] = (128,)
    activation: str = "relu"
    loss: str | None = None
    dropout: float = 0.0
    learning_rate: float = 0.003
    epochs: int = 200
    batch_size: int | str | None = None
    validation: float = 0.2
    patience: int = 20
    test: float = 0.2
    rows: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    constrain: str = "l2"
    radii: tuple[float, ...] = ()
    repeats: int = 10
    measure: str | None = None
    seed: int = 0
    executor: str = "native"


def check_options(o: CurveOptions, task: Task) -> str:
    """Say what is wrong with the options before any work is done; return the measure's name."""
    choose(SETS, o.constrain, "limit")
    if o.loss is not None:
        choose(dict.fromkeys(FOR_TABLES), o.loss, "loss for the target of a table")
    for number, name in ((o.repeats, "repeats"), (o.epochs, "epochs"), (o.patience, "patience")):
        require_count(number, name)
    if o.repeats < 3:
        raise TrainingError(f"repeats is {o.repeats}; at least 3 are needed to tell a difference from noise")
    if not o.hidden:
        raise TrainingError("without a hidden layer there is no size to vary: give hidden sizes such as 128")
    for units in (*o.hidden, *o.sizes):
        require_count(units, "a size")
    if not o.test > 0.0:
        raise TrainingError("the test share is 0; a learning curve needs held-out rows: give one such as 0.2")
    for radius in o.radii:
        if not (isfinite(radius) and radius > 0.0):
            raise TrainingError(f"radii holds {radius:g}; a radius is a finite number greater than 0")
    known = MEASURES["classes" if task.is_classification else "numbers"]
    if o.measure is not None and o.measure not in known:
        raise TrainingError(f"the measure is {o.measure!r}; of {task.kind} there are {known[0]!r} and {known[1]!r}")
    return o.measure or known[0]
