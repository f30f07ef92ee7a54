"""What a training run reports while it goes, and a live bar that shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Report:
    """Where a run is: steps and epochs (counted from 1), and the latest losses."""

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float | None
    validation_loss: float | None
    status: str


Progress = Callable[[Report], None]


@contextmanager
def show_progress(steps: int, has_validation: bool, console: Any = None) -> Iterator[Progress]:
    """Show a live bar with the epoch, the training loss and the validation loss."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns: list[Any] = [
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(bar_width=None),
        TextColumn("loss {task.fields[loss]}"),
    ]
    if has_validation:
        columns.append(TextColumn("validation {task.fields[validation]}"))
    columns.append(TimeRemainingColumn(compact=True))
    with Bar(*columns, console=console or Console(stderr=True), transient=True, expand=True) as bar:
        task = bar.add_task("training", total=steps, epoch="1", loss="–", validation="–")

        def listen(report: Report) -> None:
            epoch = max(1, -(-report.step * report.epochs // steps))  # the one of the last step that was made
            bar.update(
                task,
                completed=report.step,
                epoch=f"{epoch}/{report.epochs}",
                loss=_number(report.loss),
                validation=_number(report.validation_loss),
            )

        yield listen


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


@contextmanager
def show_count(what: str, shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Show a live bar of how many of a number of things are done; gives the function that is told so."""
    if not shown:
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = TextColumn(what), BarColumn(bar_width=None), MofNCompleteColumn(), TimeRemainingColumn()
    with Bar(*columns, console=Console(stderr=True), transient=True, expand=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
