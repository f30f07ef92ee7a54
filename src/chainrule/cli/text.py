"""Results as text for a terminal of 80 columns, readable without color."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from textwrap import wrap
from typing import Any

from chainrule.cli.example import example_json, example_text
from chainrule.table import Inspection
from chainrule.workflow import ClassificationScore, Evaluation, RegressionScore, Score, Trained

WIDTH = 80
LABEL = 15


def line(label: str, text: str, *, break_words: bool = True) -> str:
    """Return a labeled line, wrapped under its label; a number is not parted from its unit (joined by ``\\xa0``)."""
    parts = wrap(printable(text), WIDTH - LABEL, break_long_words=break_words, break_on_hyphens=break_words) or [""]
    return "\n".join(f"{label if i == 0 else '':<{LABEL}}{part}" for i, part in enumerate(parts)).replace("\xa0", " ")


def printable(text: str) -> str:
    """Replace line ends and control characters, so that no name in a table can disturb the terminal."""
    return "".join(c if c.isprintable() or c == "\xa0" else " " for c in text)


def columns(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Align rows of cells: the first ``left`` columns to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def short(text: Any, width: int) -> str:
    """Cut a text to a width, with an ellipsis."""
    plain = printable(str(text))
    return plain if len(plain) <= width else plain[: width - 1] + "…"


def count(number: int, noun: str) -> str:
    return f"{number}\xa0{noun}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    return f"{100 * share:.1f}\xa0%"


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def training_text(trained: Trained, place: str) -> str:
    """Return the report of ``chainrule train``."""
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
    lines.append("")
    lines += score_text(trained.scores.get("test"), trained.scores["training"])
    lines.append("")
    lines.append(line("saved", place, break_words=False))
    lines.append(line("", f"to use it: chainrule predict {quote(place)} NEW_TABLE.csv", break_words=False))
    return "\n".join(lines)


def score_text(score: Score | None, training: Score | None = None) -> list[str]:
    """Return the lines of a score; with the training score, the gap beside it."""
    if score is None:
        assert training is not None
        return [
            line("test", "none: no rows were set aside, so nothing is known of new rows"),
            *_headline(training, "training"),
        ]
    lines = _headline(score, "test" if training is not None else "")
    if isinstance(score, ClassificationScore):
        if isinstance(training, ClassificationScore):
            gap = 100 * (training.accuracy - score.accuracy)
            lines.append(line("", f"training {percent(training.accuracy)}: a gap of {gap:.1f} points"))
        lines.append(line("", f"always saying {score.guess_class!s}: {percent(score.guess)}"))
        lines.append(line("log-loss", number(score.log_loss)))
        lines.append(line("AUC", number(score.auc)))
        return [*lines, "", *class_text(score)]
    if isinstance(training, RegressionScore):
        lines.append(line("", f"training {number(training.rmse)}: a gap of {number(score.rmse - training.rmse)}"))
    lines.append(line("", f"always saying the mean {number(score.guess_value)}: {number(score.guess)}"))
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


MOST_CLASSES = 12


def class_text(score: ClassificationScore) -> list[str]:
    """Return precision and recall of each class, beside the confusion matrix where it fits."""
    names = [str(c) for c in score.classes]
    head = ["class", "rows", "precision", "recall"]
    numbers = [
        [str(count), _share(p), _share(r)]
        for count, p, r in zip(score.support, score.precision, score.recall, strict=True)
    ]
    room = max(4, (WIDTH - 44) // len(names) - 2)
    lines = columns(
        [
            [*head, *(short(f"→{name}", room) for name in names)],
            *(
                [short(name, 16), *row, *map(str, counts)]
                for name, row, counts in zip(names, numbers, score.confusion, strict=True)
            ),
        ]
    )
    if len(names) <= MOST_CLASSES and max(map(len, lines)) <= WIDTH:
        return [*lines, "(→: how many rows of the class were predicted as each class)"]
    return columns([head, *([short(name, 48), *row] for name, row in zip(names, numbers, strict=True))])


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def evaluation_text(result: Evaluation) -> str:
    """Return the report of ``chainrule evaluate``."""
    lines = [line("table", result.source), line("target", result.target)]
    if result.unlabeled:
        lines.append(line("left out", f"{count(result.unlabeled, 'row')} without a value in {result.target}"))
    return "\n".join([*lines, "", *score_text(result.score)])


def inspection_text(found: Inspection) -> str:
    """Return the report of ``chainrule inspect``."""
    lines = [line("table", f"{found.source}: {count(found.rows, 'row')}, {count(len(found.columns), 'column')}")]
    if found.target is not None:
        kind = f", {found.task.kind}: {found.task.why}" if found.task is not None else ""
        lines.append(line("target", f"{found.target}{kind}"))
    if found.classes:
        shown = [f"{short(name, 40)} {rows}" for name, rows in found.classes[:MOST_CLASSES]]
        more = len(found.classes) - MOST_CLASSES
        lines.append(line("classes", ", ".join(shown) + (f" and {more} more" if more > 0 else "")))
    rows = [["column", "kind", "missing", "distinct", "values"]]
    for c in found.columns:
        values = (
            " … ".join(short(number(v) if isinstance(v, int | float) else v, 16) for v in (c.low, c.median, c.high))
            if c.median is not None
            else ", ".join(f"{short(v, 14)} {n}" for v, n in c.common[:3])
        )
        rows.append([short(c.name, 22), c.kind, str(c.missing), str(c.distinct), values])
    start = columns([row[:4] for row in rows], left=2)
    width = max(map(len, start))
    lines.append("")
    lines += [
        f"{first.ljust(width)}  {short(row[4], WIDTH - width - 2)}".rstrip()
        for first, row in zip(start, rows, strict=True)
    ]
    lines.append("")
    if not found.findings:
        lines.append("nothing wrong was found")
    for finding in found.findings:
        lines.append(line(finding.severity, finding.message))
    return "\n".join(lines)


__all__ = ["evaluation_text", "example_json", "example_text", "inspection_text", "training_text"]
