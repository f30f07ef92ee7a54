"""What training and scoring gave, as text for a terminal of 80 columns, readable without color."""

from __future__ import annotations

from collections.abc import Callable
from shlex import quote
from typing import TYPE_CHECKING, Any

from chainrule.constrain.reports import by_set, numbers_of
from chainrule.workflow.layout import WIDTH, columns, count, cut, line, number, percent, printable, short
from chainrule.workflow.options import SIZED
from chainrule.workflow.score import ClassificationScore, RegressionScore, Score

if TYPE_CHECKING:
    from chainrule.constrain import Optimality
    from chainrule.workflow.evaluate import Evaluation
    from chainrule.workflow.train import Trained


SIZED_AS: dict[str, Callable[[Any], str]] = {
    "hidden_layer_sizes": lambda sizes: f"hidden layers {','.join(map(str, sizes))}",
    "learning_rate": lambda rate: f"learning rate {rate:g}",
    "schedule": lambda name: f"schedule {name}",
    "epochs": lambda number: f"epochs {number}",
    "batch_size": lambda size: f"batch size {size}",
    "dropout": lambda share: f"dropout {share:g}",
    "weight_decay": lambda decay: f"weight decay {decay:g}",
    "patience": lambda number: f"patience {number}",
}
"""How the report names what was chosen by the table's size."""
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
    lines += training_lines(trained)
    lines += problem_lines(trained)
    lines += warning_lines(trained)
    lines.append("")
    lines += score_text(trained.scores.get("test"), trained.scores["training"])
    if place is not None:
        lines.append("")
        lines.append(line("saved", place + (" (replaced an older model)" if replaced else ""), break_words=False))
        lines.append(line("", f"to use it: chainrule predict {quote(place)} NEW_TABLE.csv", break_words=False))
    return "\n".join(lines)


def training_lines(trained: Trained) -> list[str]:
    """Return with which settings the network was trained, how long, and what was chosen by the table's size."""
    run, options, chosen = trained.run, trained.model.about["options"], trained.model.about["chosen"]
    schedule = "" if chosen["schedule"] == "constant" else f", {chosen['schedule']}"
    rate = f", learning rate {run.settings['learning_rate']:g}{schedule}" if "learning_rate" in run.settings else ""
    decay = f", weight decay {run.settings['decay']:g}" if run.settings.get("decay") else ""
    size = run.plan.batch_size
    batches = "all rows at a step" if size >= trained.rows["training"] else f"batches of {size}"
    more = "".join(
        f", {what} {options[name]:g}"
        for name, what in (("clip", "gradient clipped to"), ("average", "parameters averaged with decay"))
        if options[name] is not None
    )
    took = f"{count(run.epochs, 'epoch')}, {count(run.steps, 'step')}, {trained.seconds:.1f}\xa0s"
    lines = [line("training", f"{options['optimizer']}{rate}{decay}{more}, {batches}; {took}"), line("", run.message)]
    sized = [name for name in SIZED_AS if options[SIZED[name]] is None and _is_read(name, trained)]
    if sized:
        lines.append(line("", f"by the table's size: {', '.join(SIZED_AS[name](chosen[name]) for name in sized)}"))
    return lines


def _is_read(name: str, trained: Trained) -> bool:
    """Did the training read a setting that goes by the table's size?"""
    run = trained.run
    if name == "patience":
        return run.plan.patience is not None
    if name == "learning_rate":
        return trained.model.about["options"]["optimizer"] in ("adam", "adamw")  # others have rates of their own
    if name == "schedule":
        return "learning_rate" in run.settings
    if name == "weight_decay":
        return "decay" in run.settings
    return name != "dropout" or bool(trained.model.about["chosen"]["hidden_layer_sizes"])


def problem_lines(trained: Trained) -> list[str]:
    """Return the problem with its constraints and penalties, whether they hold, and what may be claimed of the result.

    Nothing where there are none.
    """
    came_to, objective = trained.reached, trained.run.objective
    if came_to is None:
        return []
    terms = " + ".join(["F(θ)", *(_term(p) for p in objective.penalty)])
    lines = [line("problem", f"minimize {terms}; F is the mean loss")]
    lines += [line("", f"subject to {getattr(member, 'formula', member)}") for member in objective.subject_to]
    described = [text for m in (*objective.subject_to, *objective.penalty) for text in _covers(m)]
    lines += [line("", text) for text in dict.fromkeys(described)]
    found = came_to.optimality
    kept = [*came_to.sets, *found.limits]
    for i, value in enumerate(kept):
        lines.append(line("constraint" if i == 0 else "", str(value)))
    if objective.penalty:
        lines.append(line("penalty", f"{found.value - found.data_loss:.6g}, beside a loss of {found.data_loss:.6g}"))
    if came_to.zeros:
        lines.append(line("zeros", f"{came_to.zeros} of {came_to.covered} numbers are exactly 0"))
    unused = came_to.unused_inputs(trained.model)
    if unused:
        lines.append(line("not used", f"{', '.join(unused)}: all outgoing weights are 0"))
    lines += multiplier_lines(found)
    near = "" if all(v.holds for v in came_to.sets) or found.level == "infeasible" else f", to ε = {found.tolerance:g}"
    lines.append(line("level", f"{found.level}{near}: {found.said}"))
    return lines


def _term(penalty: Any) -> str:
    """Return a penalty as it is written in the objective, its λ as a number."""
    formula, strength = getattr(penalty, "formula", str(penalty)), getattr(penalty, "strength", None)
    return str(formula) if strength is None else str(formula).replace("λ", f"{strength:g}", 1)


def _covers(member: Any) -> list[str]:
    """Return what a penalty or a set is over, and what it is not."""
    cover: Any = getattr(member, "cover", None)
    return list(cover.describe()) if hasattr(cover, "describe") else []


def multiplier_lines(found: Optimality) -> list[str]:
    """Return λ̂ of each set, beside λ as training left it."""
    lines: list[str] = []
    trained = {title: numbers_of(v) for title, v in found.trained.items()}
    for title, multipliers in by_set(found.multipliers).items():
        of = found.multiplier_of.get(title, "")
        text = f"best λ̂ = {numbers_of(multipliers)}{f' of {of}' if of else ''}"
        if title in trained:
            text += f"; λ = {trained[title]} as training left it"
        lines.append(line("multiplier" if not lines else "", text))
    return lines


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
