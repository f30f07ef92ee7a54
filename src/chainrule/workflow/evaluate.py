"""Scoring a saved model on a labeled table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chainrule.files import Model
from chainrule.workflow.predict import encoders_of, score_model
from chainrule.workflow.report import evaluation_text
from chainrule.workflow.score import Score
from chainrule.workflow.train import labeled_rows, open_table


@dataclass(frozen=True)
class Evaluation:
    """A model's score on a table; ``unlabeled`` rows had no target and were left out."""

    source: str
    target: str
    score: Score
    unlabeled: int

    def to_dict(self) -> dict[str, Any]:
        rows = {"scored": self.score.rows, "without_label": self.unlabeled}
        return {
            "source": self.source,
            "target": self.target,
            "rows": rows,
            "score": self.score.to_dict(),
            "no_better_than_guessing": self.score.no_better is not None,
        }

    def __str__(self) -> str:
        """The report of ``chainrule evaluate``."""
        return evaluation_text(self)


def evaluate(model: Model, table: Any) -> Evaluation:
    """Score a model on a table (a path or a frame) that has the target column."""
    _, target = encoders_of(model)
    frame, source = open_table(table)
    x, truth, unlabeled = labeled_rows(model, frame, source)
    return Evaluation(source, target.column, score_model(model, x, truth), unlabeled)
