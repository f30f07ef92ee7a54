"""What training and scoring gave, as text for a terminal of 80 columns, readable without color."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from chainrule.workflow.layout import WIDTH, columns, count, cut, line, number, percent, printable, short
from chainrule.workflow.score import ClassificationScore, RegressionScore, Score

if TYPE_CHECKING:
    from chainrule.workflow.evaluate import Evaluation
    from chainrule.workflow.train import Trained


MOST_CLASSES = 12
MOST_PAIRS = 5
MOST_LINES = 6


def training_text(trained: Trained, place: str | None = None, *, replaced: bool = False) -> str:
    """Return the report of ``chainrule train``: ``place`` is where the model was saved."""
    model, run = trained.model, trained.run
    about, rows, table, target = model.about, trained.rows, model.table, model.target
    assert table is not None
    assert target is not None
    total = (
        sum(rows.values()) + trained.unlabeled
        if trained.test_source is None
        else rows["training"] + rows.get("validation", 0)
    )
    kind = "a number" if target.kind == "regression" else f"{len(target.classes)} classes"
    lines = [
        line("table", f"{trained.source}: {count(total, 'row')}, {count(trained.columns, 'column')}"),
        line("target", f"{target.column}, {kind}: {trained.task.why}"),
    ]
    if trained.unlabeled:
        lines.append(line("left out", f"{count(trained.unlabeled, 'row')} without a value in {target.column}"))
    lines += [line("left out", f"{name}: {reason}") for name, reason in table.dropped.items()]
    parts = [f"{rows['training']} training"]
    parts += [f"{rows['validation']} validation"] if "validation" in rows else ["no validation (no early stopping)"]
    parts += (
        [f"{rows['test']} test" + (f" (from {trained.test_source})" if trained.test_source else "")]
        if "test" in rows
        else ["no test"]
    )
    lines.append(line("rows", ", ".join(parts) + f"; seed {run.seed}"))
    layers = about["layers"]
    inner = (f"{units} {about['options']['activation']}" for units in layers[1:-1])
    shape = " → ".join([count(layers[0], "input"), *inner, count(layers[-1], "output")])
    lines.append(line("network", f"{shape}; {count(about['parameters'], 'parameter')}; {model.loss}"))
    how = f"{about['options']['optimizer']}, learning rate {run.settings['learning_rate']:g}"
    took = f"{count(run.epochs, 'epoch')}, {count(run.steps, 'step')}, {trained.seconds:.1f}\xa0s"
    lines.append(line("training", f"{how}, batches of {run.plan.batch_size}; {took}"))
    lines.append(line("", run.message))
    lines += warning_lines(trained)
    lines.append("")
    lines += score_text(trained.scores.get("test"), trained.scores["training"])
    if place is not None:
        lines.append("")
        lines.append(line("saved", place + (" (replaced an older model)" if replaced else ""), break_words=False))
        lines.append(line("", f"to use it: chainrule predict {quote(place)} NEW_TABLE.csv", break_words=False))
    return "\n".join(lines)


def warning_lines(trained: Trained) -> list[str]:
    """Return what is wrong with the table in a few lines; what was left out has a line of its own."""
    table, target = trained.model.table, trained.model.target
    assert table is not None
    assert target is not None
    no_label = f"{target.column} is missing in "
    said = [f for f in trained.findings if f.column not in table.dropped and not f.message.startswith(no_label)]
    lines: list[str] = []
    for i, finding in enumerate(said):
        block = line("warning", finding.message).split("\n")
        if lines and len(lines) + len(block) > MOST_LINES:
            command = f"chainrule inspect {quote(trained.source)} --target {quote(target.column)}"
            more = f"and {len(said) - i} more: {command if trained.from_file else 'see findings'}"
            return [*lines, line("", more, break_words=False)]
        lines += block
    return lines


def headline(trained: Trained) -> str:
    """Return one line: what was learned from what, and the score on the test rows."""
    part = "test" if "test" in trained.scores else "training"
    score = trained.scores[part]
    said = (
        f"accuracy {percent(score.accuracy)}"
        if isinstance(score, ClassificationScore)
        else f"RMSE {number(score.rmse)}"
    )
    text = f"{trained.model.target and trained.model.target.column} from {trained.source}: {part} {said}"
    return f"{text}, {count(score.rows, 'row')}, {count(trained.run.epochs, 'epoch')}".replace("\xa0", " ")


def score_text(score: Score | None, training: Score | None = None) -> list[str]:
    """Return the lines of a score; with the training score, the gap beside it."""
    if score is None:
        assert training is not None
        return [
            line("test", "none: no rows were set aside, so nothing is known of new rows"),
            *_headline(training, "training"),
            *_no_better(training),
        ]
    lines = _headline(score, "test" if training is not None else "")
    if isinstance(score, ClassificationScore):
        if isinstance(training, ClassificationScore):
            gap = 100 * (training.accuracy - score.accuracy)
            lines.append(line("", f"training {percent(training.accuracy)}: a gap of {gap:.1f} points"))
        lines.append(line("", f"always saying {score.guess_class!s}: {percent(score.guess)}"))
        lines += _no_better(score)
        lines.append(line("log-loss", number(score.log_loss)))
        lines.append(line("AUC", number(score.auc)))
        return [*lines, "", *class_text(score)]
    if isinstance(training, RegressionScore):
        lines.append(line("", f"training {number(training.rmse)}: a gap of {number(score.rmse - training.rmse)}"))
    lines.append(line("", f"always saying the mean {number(score.guess_value)}: {number(score.guess)}"))
    lines += _no_better(score)
    return [*lines, line("MAE", number(score.mae)), line("R²", number(score.r2))]


def _headline(score: Score, part: str) -> list[str]:
    start = f"{part} " if part else ""
    if isinstance(score, ClassificationScore):
        interval = f"95 % interval {100 * score.interval.low:.1f} to {percent(score.interval.high)}"
        return [line("accuracy", f"{start}{percent(score.accuracy)} ({interval}), {count(score.rows, 'row')}")]
    interval = (
        ""
        if score.interval is None
        else (f" (95 % interval {number(score.interval.low)} to {number(score.interval.high)})")
    )
    return [line("RMSE", f"{start}{number(score.rmse)}{interval}, {count(score.rows, 'row')}")]


def _no_better(score: Score) -> list[str]:
    return [] if score.no_better is None else [line("warning", score.no_better)]


def class_text(score: ClassificationScore) -> list[str]:
    """Return precision and recall of each class, beside the confusion matrix where it fits, else the worst confusions.

    Where the names of classes are too long to be told apart above the matrix, the classes are numbered.
    """
    names = [printable(str(c)) for c in score.classes]
    head = ["class", "rows", "precision", "recall"]
    numbers = [
        [str(count), _share(p), _share(r)]
        for count, p, r in zip(score.support, score.precision, score.recall, strict=True)
    ]
    if len(names) <= MOST_CLASSES:
        room = max(4, (WIDTH - 44) // len(names) - 2)
        above, beside = [short(f"→{name}", room) for name in names], [short(name, 16) for name in names]
        if len(set(above)) < len(names) or len(set(beside)) < len(names):
            above = [f"→{i}" for i in range(1, len(names) + 1)]
            beside = [f"{i} {name}".replace("\n", "\n  ") for i, name in enumerate(cut(names, 16), 1)]
        rows = zip(beside, numbers, score.confusion, strict=True)
        lines = columns([[*head, *above], *([name, *row, *map(str, counts)] for name, row, counts in rows)])
        if max(map(len, lines)) <= WIDTH:
            return [*lines, "(→: how many rows of the class were predicted as each class)"]
    lines = columns([head, *([name, *row] for name, row in zip(cut(names, 48), numbers, strict=True))])
    return [*lines, *_confused(names, score.confusion)]


def _confused(names: list[str], confusion: list[list[int]]) -> list[str]:
    """Return which classes are taken for which others most often."""
    cells = [(rows, i, j) for i, row in enumerate(confusion) for j, rows in enumerate(row) if rows and i != j]
    worst = sorted(cells, key=lambda cell: (-cell[0], cell[1:]))[:MOST_PAIRS]
    said = [f"{names[i]} taken for {names[j]}: {count(rows, 'row')}" for rows, i, j in worst]
    return ["", *(line("" if i else "most confused", text) for i, text in enumerate(said))] if said else []


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def evaluation_text(result: Evaluation) -> str:
    """Return the report of ``chainrule evaluate``."""
    lines = [line("table", result.source), line("target", result.target)]
    if result.unlabeled:
        lines.append(line("left out", f"{count(result.unlabeled, 'row')} without a value in {result.target}"))
    return "\n".join([*lines, "", *score_text(result.score)])
