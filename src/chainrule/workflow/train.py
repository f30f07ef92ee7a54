"""One table end to end: read, look, split, encode, train, score, keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from os import PathLike, fspath
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from chainrule.constrain.keeping import inside
from chainrule.errors import TrainingError
from chainrule.files import Model
from chainrule.learn import Report, Run, fit
from chainrule.table import (
    Finding,
    TableEncoder,
    TargetEncoder,
    Task,
    as_frame,
    infer_task,
    inspect_table,
    missing_labels,
    read_table,
    select_target,
)  # fmt: skip
from chainrule.table.cells import as_numbers
from chainrule.table.say import at_rows
from chainrule.workflow.network import build_objective, choose_head, encode_target
from chainrule.workflow.optimizing import as_used, make_optimizer
from chainrule.workflow.options import SHARE, TrainOptions
from chainrule.workflow.predict import predict_values, score_model
from chainrule.workflow.problem import Reached, reached
from chainrule.workflow.report import headline, training_text
from chainrule.workflow.score import Score
from chainrule.workflow.split import class_numbers, split_rows

Array = np.ndarray[Any, Any]
EXTREME = 1000


@dataclass(frozen=True, repr=False)
class Trained:
    """What training a table gave: the model, its scores on the three parts, and what was decided on the way.

    ``findings`` are the errors and warnings of ``inspect_table``, in the columns that were not ignored; ``print`` shows
    the report.
    """

    model: Model
    run: Run
    source: str
    task: Task
    rows: dict[str, int]
    columns: int
    unlabeled: int
    seconds: float
    test_source: str | None
    scores: dict[str, Score] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    reached: Reached | None = None
    """What constraints and penalties came to, where there are any."""
    from_file: bool = False

    def __str__(self) -> str:
        """The report of ``chainrule train``."""
        return training_text(self)

    def __repr__(self) -> str:
        return f"<Trained {headline(self)}>"

    @property
    def no_better(self) -> str | None:
        """Why the model is no better than guessing on the test rows (without any: the training rows), or None."""
        return self.scores["test" if "test" in self.scores else "training"].no_better

    @property
    def gap(self) -> float | None:
        """Training minus test accuracy (for a regression: test minus training RMSE); positive means overfitting."""
        if "test" not in self.scores:
            return None
        a, b = self.scores["training"], self.scores["test"]
        return a.accuracy - b.accuracy if hasattr(a, "accuracy") else b.rmse - a.rmse  # type: ignore[union-attr]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        table, target = self.model.table, self.model.target
        assert table is not None
        assert target is not None
        return {
            "source": self.source,
            "test_source": self.test_source,
            "target": target.column,
            "task": asdict(self.task),
            "rows": {**self.rows, "without_label": self.unlabeled},
            "features": table.feature_names,
            "dropped": dict(table.dropped),
            "network": self.model.about["layers"],
            "parameters": self.model.about["parameters"],
            "status": self.run.status,
            "epochs": self.run.epochs,
            "steps": self.run.steps,
            "best_epoch": self.run.best_epoch,
            "settings": dict(self.run.settings),
            "chosen": dict(self.model.about["chosen"]),
            "problem": self.model.about.get("problem"),
            "seed": self.run.seed,
            "seconds": self.seconds,
            "scores": {part: score.to_dict() for part, score in self.scores.items()},
            "gap": self.gap,
            "findings": [asdict(finding) for finding in self.findings],
            "no_better_than_guessing": self.no_better is not None,
        }


def open_table(table: Any) -> tuple[Any, str]:
    """Return a frame and its name from a file path or a data frame."""
    if isinstance(table, str | PathLike):
        return read_table(table), Path(fspath(table)).name
    return as_frame(table), "the table"


def train(
    table: Any,
    target: str,
    options: TrainOptions | None = None,
    *,
    test_data: Any = None,
    progress: bool | Callable[[Report], None] = False,
    checkpoint: str | PathLike[str] | None = None,
    checkpoint_every: float = 30.0,
    resume: bool = False,
) -> Trained:
    """Train a network on a table and score it on rows that were used for neither training nor stopping.

    Args:
        table: a path to a CSV or Parquet file, or a data frame (pandas, polars, Arrow).
        target: the column to predict; rows without it are left out, and counted.
        options: see ``TrainOptions``.
        test_data: another table to test on; then no rows of ``table`` are set aside for it.
        progress: True for a live bar, or a function that is called with reports.
        checkpoint: a folder for checkpoints, written about every ``checkpoint_every`` seconds; with ``resume`` the
            training goes on from the last good one, as in ``cr.fit``.

    Raises:
        TableError, TrainingError: for a table that cannot be used, or a training that diverged.

    >>> import chainrule as cr
    >>> frame = {"x": [0.1 * i for i in range(60)], "y": [i > 30 for i in range(60)]}
    >>> trained = cr.workflow.train(frame, "y", cr.workflow.TrainOptions(epochs=30))
    >>> trained.rows
    {'training': 48, 'test': 12}
    """
    options = options or TrainOptions()
    options.check()
    limited = options.regularization()
    frame, source = open_table(table)
    values = select_target(frame, target)[1]
    task = infer_task(values, options.task, target)
    labeled = np.flatnonzero(~missing_labels(values))
    labels, test = class_numbers(values.gather(labeled), task), 0.0 if test_data is not None else options.test
    rest = split_rows(len(labeled), labels, 0.0, test, options.seed).training
    chosen, given = options.choices(len(rest), task, limited), options.given
    share = options.validation if options.validation is not None else SHARE if chosen.early_stopping else 0.0
    split = split_rows(len(labeled), labels, share, test, options.seed)
    training, validation, tested = (labeled[part] for part in (split.training, split.validation, split.test))

    encoder = TableEncoder.fit(frame, target=target, ignore=options.ignore, rows=training, source=source)
    target_encoder = TargetEncoder.fit(values, task, training, column=target)
    if options.loss == "poisson":
        raise TrainingError("poisson needs counts, and a table's target is scaled; use squared_error, or cr.fit")
    head = choose_head(task.kind, len(target_encoder.levels) or 1, options.loss, target)
    findings = warnings_about(frame, target, options, task)

    inputs = encoder.transform(frame, source=source)  # of the whole table, so that an error names the table's own row

    def part(rows: Array) -> tuple[Array, Array]:
        return inputs[rows], target_encoder.transform(values, rows, source=source)

    def fitting(rows: tuple[Array, Array]) -> tuple[Array, Array]:
        return rows[0], encode_target(head, task.kind, rows[1])

    parts = {"training": part(training)} | ({"validation": part(validation)} if len(validation) else {})
    objective = build_objective(
        head, chosen.hidden_layer_sizes, options.activation, float(chosen.dropout), limited.penalties, limited.sets
    )
    x, y = fitting(parts["training"])
    first = None if limited.method is None else inside(objective.on(x), objective.network.initialize(x, options.seed))
    begin = perf_counter()
    run = fit(
        objective,
        (x, y),
        optimizer=make_optimizer(options.optimizer, chosen, given, options.clip),
        method=limited.method,
        epochs=chosen.epochs,
        batch_size=chosen.batch_size,
        validation=fitting(parts["validation"]) if "validation" in parts else None,
        patience=chosen.patience if chosen.early_stopping and "validation" in parts else None,
        average=options.average,
        parameters=first,
        seed=options.seed,
        executor=options.executor,
        progress=progress,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
    )
    seconds = perf_counter() - begin
    if run.status == "non-finite":
        raise TrainingError(f"the training diverged at {run.problem}. No model was saved")
    came_to = reached(run)
    model = _model(run, encoder, target_encoder, options, source, task, parts["training"][1])
    used = as_used(options.optimizer, chosen, given)
    model.about["chosen"] = {**used.to_dict(), "early_stopping": run.plan.patience is not None}
    if came_to is not None:
        model.about["problem"] = {"text": str(run.objective), **came_to.to_dict()}
    test_source = None
    if test_data is not None:
        test_frame, test_source = open_table(test_data)
        parts["test"] = labeled_rows(model, test_frame, test_source)[:2]
    elif len(tested):
        parts["test"] = part(tested)
    scores = {name: score_model(model, x, y) for name, (x, y) in parts.items()}
    model.about["scores"] = {name: score.to_dict() for name, score in scores.items()}
    return Trained(
        model=model,
        run=run,
        source=source,
        task=task,
        rows={name: len(x) for name, (x, _) in parts.items()},
        columns=frame.width,
        unlabeled=frame.height - len(labeled),
        seconds=seconds,
        test_source=test_source,
        scores=scores,
        findings=findings,
        reached=came_to,
        from_file=isinstance(table, str | PathLike),
    )


def warnings_about(frame: Any, target: str, options: TrainOptions, task: Task) -> tuple[Finding, ...]:
    """Return what spoils learning from a table, or the score: an extreme target first, then what inspection found.

    All rows are looked at: a million rows of 26 columns take about 14 seconds, no more than a few epochs of them.
    """
    used = frame.drop([name for name in options.ignore if name != target], strict=False)
    found = inspect_table(used, target, options.task).findings
    extreme = [] if task.is_classification else extreme_targets(used[target], target)
    return (*extreme, *(finding for finding in found if finding.severity != "note"))


def extreme_targets(values: Any, target: str) -> list[Finding]:
    """Return a warning of cells with |value − median| > 1000 × interquartile range, which no spread explains."""
    unit = 2.0**12  # so that neither a difference nor a thousand of them overflows
    numbers = as_numbers(values) / unit
    known = numbers[np.isfinite(numbers)]
    low, median, high = np.quantile(known, [0.25, 0.5, 0.75])
    rows = np.flatnonzero(np.abs(numbers - median) > EXTREME * (high - low))
    if low == high or not len(rows):
        return []
    value, middle = unit * numbers[rows[0]], unit * median
    message = (
        f"{target} is {value:.4g} in {at_rows(rows)}, farther from the median {middle:.4g} than "
        f"{EXTREME:,} times the interquartile range: such a cell decides the loss and every score. Correct it, or "
        "leave the row out."
    )
    return [Finding("warning", target, message)]


def labeled_rows(model: Model, frame: Any, source: str) -> tuple[Array, Array, int]:
    """Return inputs and encoded targets of a table's rows that have a label, and how many have none."""
    assert model.table is not None
    assert model.target is not None
    values = select_target(frame, model.target.column)[1]
    missing = missing_labels(values)
    rows = np.flatnonzero(~missing)
    if not len(rows):
        raise TrainingError(f"{source}: no row has a value in {model.target.column!r}, so nothing can be compared")
    x = model.table.transform(frame, source=source)[rows]
    return x, model.target.transform(values, rows, source=source), int(missing.sum())


def _model(
    run: Run, encoder: TableEncoder, target: TargetEncoder, options: TrainOptions, source: str, task: Task, truth: Array
) -> Model:
    layers = [encoder.width, *(int(b.shape[0]) for k, b in run.parameters.items() if k.endswith(".bias"))]
    guess: Any = int(np.bincount(truth).argmax()) if task.is_classification else target.mean
    about = {
        "source": source,
        "why": task.why,
        "guess": guess,
        "layers": layers,
        "parameters": int(sum(v.size for v in run.parameters.values())),
        "options": options.to_dict(),
    }
    return Model.from_run(run, table=encoder, target=target, about=about)


__all__ = ["TrainOptions", "Trained", "labeled_rows", "open_table", "predict_values", "train"]
