"""A table along a whole regularization path: cross-validated, the chosen point tested on rows of its own, and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from shlex import quote
from time import perf_counter
from typing import Any

import numpy as np

from chainrule.constrain import RegularizationPath
from chainrule.constrain.along import checked_values, find_along
from chainrule.constrain.folds import Fold, cut_folds, require_classes
from chainrule.constrain.path import follow, make_plan
from chainrule.files import Model
from chainrule.learn import Adam, Cosine
from chainrule.table import TableEncoder, TargetEncoder, Task, infer_task, missing_labels, select_target
from chainrule.workflow.layout import count, line
from chainrule.workflow.network import Head, build_objective, choose_head, encode_target
from chainrule.workflow.predict import score_model
from chainrule.workflow.report import score_text
from chainrule.workflow.score import Score
from chainrule.workflow.split import split_rows
from chainrule.workflow.train import open_table
from chainrule.workflow.varied import with_varied

Array = np.ndarray[Any, Any]
Encoded = tuple[Array, Array, Array]


@dataclass(frozen=True)
class RegularizeOptions:
    """Everything that may be chosen: what is limited, along which numbers, by which folds, for which network."""

    constraint: Any = None
    penalty: Any = None
    points: int = 20
    values: tuple[float, ...] | None = None
    """Radii or λs, sorted; None for ``points`` that are found."""
    folds: int = 5
    rule: str = "best"
    task: str | None = None
    ignore: tuple[str, ...] = ()
    hidden: tuple[int, ...] = ()
    activation: str = "relu"
    loss: str | None = None
    learning_rate: float = 0.01
    epochs: int = 200
    batch_size: int | str = "all"
    test: float = 0.2
    seed: int = 0
    executor: str = "native"


@dataclass(frozen=True, repr=False)
class Regularized:
    """What a path of a table gave: the path, the chosen model, and its score on rows that no fold saw."""

    path: RegularizationPath
    model: Model
    source: str
    task: Task
    rows: dict[str, int]
    unlabeled: int
    seconds: float
    score: Score | None
    training_score: Score

    def __repr__(self) -> str:
        point = self.path.chosen_point
        return f"<Regularized {self.source}: {self.path.symbol} = {point.value:.4g} of {len(self.path.points)}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        assert self.model.target is not None
        return {
            "source": self.source,
            "target": self.model.target.column,
            "task": asdict(self.task),
            "rows": {**self.rows, "without_label": self.unlabeled},
            "seconds": self.seconds,
            "path": self.path.to_dict(),
            "scores": {
                "training": self.training_score.to_dict(),
                **({} if self.score is None else {"test": self.score.to_dict()}),
            },
        }

    def __str__(self) -> str:
        """The report of ``chainrule regularize``."""
        return regularized_text(self)


def regularize(
    table: Any,
    target: str,
    options: RegularizeOptions | None = None,
    *,
    progress: bool | Callable[[int, int], None] = False,
) -> Regularized:
    """Solve a path on a table, choose a point by cross-validation, and test it on rows that were set aside.

    Columns and target are encoded anew for each fold, by its training rows alone. Without hidden layers the problem is
    convex and solved to its minimum; with them each point is trained by Adam, from the point before.

    Args:
        table: a path to a CSV or Parquet file, or a data frame.
        target: the column to predict; rows without it are left out, and counted.
        options: see ``RegularizeOptions``.
        progress: True for a live bar, or a function that is called with how many problems are solved, and how many
            there are.

    Raises:
        TableError, TrainingError: for a table or options that cannot be used.

    >>> import chainrule as cr
    >>> frame = {"x": [0.1 * i for i in range(60)], "z": [i % 7 for i in range(60)], "y": [i > 30 for i in range(60)]}
    >>> found = cr.workflow.regularize(frame, "y", cr.workflow.RegularizeOptions(constraint="l1", points=5, folds=3))
    >>> len(found.path.points), found.rows
    (5, {'training': 48, 'test': 12})
    """
    options = options or RegularizeOptions()
    frame, source = open_table(table)
    values = select_target(frame, target)[1]
    task = infer_task(values, options.task, target)
    labeled = np.flatnonzero(~missing_labels(values))
    classes = None
    if task.is_classification:
        classes = np.unique(np.array(values.gather(labeled).cast(str).to_list()), return_inverse=True)[1]
    split = split_rows(len(labeled), classes, 0.0, options.test, options.seed)
    rows, test = labeled[split.training], labeled[split.test]
    own = None if classes is None else classes[split.training]
    encoders = _Encoders(frame, values, target, task, options, source, labeled)
    folds = []
    for number, (training, held) in enumerate(cut_folds(len(rows), options.folds, options.seed, own), 1):
        require_classes(own, training, number)
        _, _, parts = encoders.fitted(rows[training], rows[training], rows[held])
        folds.append(Fold(parts[0], parts[1]))
    encoder, target_encoder, (whole,) = encoders.fitted(rows, rows)
    objective = with_varied(
        build_objective(encoders.head, options.hidden, options.activation, 0.0),
        options.constraint, options.penalty, whole[0],
    )  # fmt: skip
    along = find_along(objective, None, None, None)
    solver: dict[str, Any] = {"executor": options.executor}
    if options.hidden:
        solver |= {"epochs": options.epochs, "batch_size": options.batch_size}
        solver["optimizer"] = Adam(Cosine(options.learning_rate))
    begin = perf_counter()
    plan = make_plan(
        objective, whole, along, None if options.values is None else checked_values(options.values, along),
        points=options.points, rule=options.rule, order="auto", warm_start=True, seed=options.seed, score="auto",
        names=encoder.feature_names, convex=False, options=solver,
    )  # fmt: skip
    path = follow(plan, whole, folds, progress)
    seconds = perf_counter() - begin
    model = _model(path, encoder, target_encoder, options, source, task, encoders.truth(target_encoder, rows))
    inputs = encoder.transform(frame, source=source)
    tested = None
    if len(test):
        tested = score_model(model, inputs[test], encoders.truth(target_encoder, test))
    trained = score_model(model, inputs[rows], encoders.truth(target_encoder, rows))
    model.about["scores"] = {"training": trained.to_dict()} | ({} if tested is None else {"test": tested.to_dict()})
    counts = {"training": len(rows)} | ({"test": len(test)} if len(test) else {})
    return Regularized(path, model, source, task, counts, frame.height - len(labeled), seconds, tested, trained)


class _Encoders:
    """A table with what encodes it, fitted anew on the rows of each fold."""

    def __init__(
        self, frame: Any, values: Any, target: str, task: Task, options: RegularizeOptions, source: str, labeled: Array
    ) -> None:
        self.frame, self.values, self.target, self.task = frame, values, target, task
        self.options, self.source = options, source
        self.levels = TargetEncoder.fit(values, task, labeled, column=target)
        self.head: Head = choose_head(task.kind, len(self.levels.levels) or 1, options.loss, target)

    def fitted(self, training: Array, *parts: Array) -> tuple[TableEncoder, TargetEncoder, list[Encoded]]:
        """Return encoders that have seen these rows alone, and parts of the table as they encode them.

        Which classes there are is known from all rows; a number's mean and spread are not.
        """
        encoder = TableEncoder.fit(
            self.frame, target=self.target, ignore=self.options.ignore, rows=training, source=self.source
        )
        target = self.levels if self.task.is_classification else (
            TargetEncoder.fit(self.values, self.task, training, column=self.target)
        )  # fmt: skip
        x = encoder.transform(self.frame, source=self.source).astype(np.float64)
        found = []
        for rows in parts:
            y = encode_target(self.head, self.task.kind, self.truth(target, rows))
            y = y if y.dtype.kind == "i" else y.astype(np.float64)
            found.append((x[rows], y, np.ones(len(rows))))
        return encoder, target, found

    def truth(self, target: TargetEncoder, rows: Array) -> Array:
        """Return the encoded targets of some rows."""
        return target.transform(self.values, rows, source=self.source)


def _model(
    path: RegularizationPath, encoder: TableEncoder, target: TargetEncoder, options: RegularizeOptions, source: str,
    task: Task, truth: Array,
) -> Model:  # fmt: skip
    run = path.chosen
    point = path.chosen_point
    about = {
        "source": source,
        "why": task.why,
        "guess": int(np.bincount(truth).argmax()) if task.is_classification else target.mean,
        "layers": [encoder.width, *(int(b.shape[0]) for k, b in run.parameters.items() if k.endswith(".bias"))],
        "parameters": int(sum(v.size for v in run.parameters.values())),
        "options": {**asdict(options), "constraint": _text(options.constraint), "penalty": _text(options.penalty)},
        "regularization": {
            "problem": path.problem, "varied": path.symbol, "value": point.value, "level": point.level,
            "held_out_loss": point.held_out, "standard_error": point.held_out_error, "rule": path.rule,
        },
    }  # fmt: skip
    return Model.from_run(run, table=encoder, target=target, about=about)


def _text(given: Any) -> str | None:
    return None if given is None else str(given)


def regularized_text(found: Regularized, place: str | None = None, picture: str | None = None) -> str:
    """Return the report of ``chainrule regularize``: where the model was saved, and the picture."""
    model, rows = found.model, found.rows
    assert model.target is not None
    held = f", {rows['test']} test" if "test" in rows else ", no test"
    layers = model.about["layers"]
    lines = [
        line("table", f"{found.source}: {count(sum(rows.values()) + found.unlabeled, 'row')}"),
        line("target", f"{model.target.column}: {found.task.why}"),
        *([line("left out", f"{count(found.unlabeled, 'row')} without a value in {model.target.column}")]
          if found.unlabeled else []),
        line("rows", f"{rows['training']} training, in {found.path.folds} folds{held}; seed {found.path.chosen.seed}"),
        line("network", " → ".join(map(str, layers)) + f"; {count(model.about['parameters'], 'parameter')}"),
        line("path", f"{count(len(found.path.points), 'point')}, {found.seconds:.1f}\xa0s"),
        "",
        str(found.path),
        "",
        *score_text(found.score, found.training_score),
    ]  # fmt: skip
    if place is not None or picture is not None:
        lines.append("")
    if place is not None:
        lines.append(line("saved", place, break_words=False))
        lines.append(line("", f"to use it: chainrule predict {quote(place)} NEW_TABLE.csv", break_words=False))
    if picture is not None:
        lines.append(line("drawn", picture, break_words=False))
    return "\n".join(lines)


__all__ = ["RegularizeOptions", "Regularized", "regularize", "regularized_text"]
