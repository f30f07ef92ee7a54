"""scikit-learn: MLPClassifier, one ``partial_fit`` for each unit, on rows that are laid out in the order of its steps.

``partial_fit`` goes through the rows it is given once, in batches; so its loop over the batches is scikit-learn's own,
and gathering the rows is not in the time. Float32 throughout.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer

from benchmarks.peers.process import Process
from benchmarks.peers.trainer import Array, Prediction, Steps, Trainer
from benchmarks.workloads import Workload


def version() -> str:
    return str(sklearn.__version__)


def forms(work: Workload, threads: int) -> dict[str, Callable[[], Trainer]]:
    if work.kind == "process":
        return {"script": lambda: Process(work, command, lambda text: float(json.loads(text)["accuracy"]))}
    if work.kind == "predict":
        return {"predict_proba": lambda: Prediction(work, lambda: _predicting(work))}
    classifies = work.loss in ("binary_cross_entropy", "softmax_cross_entropy")
    return {"partial_fit": lambda: PartialFit(work)} if classifies else {}


class PartialFit(Steps):
    """One estimator, or one for each penalty, each going on where it was."""

    def __init__(self, work: Workload) -> None:
        self.x, self.y = work.data()
        super().__init__(work, one_by_one=True)
        penalties = work.penalties if work.kind == "many" else np.zeros(1)
        # Its loss has alpha / (2 rows of the batch) · Σ W², ours λ Σ W².
        self.models = [_model(work, self.x, self.y, 2.0 * work.batch * float(value)) for value in penalties]
        self.restart()

    def prepare(self, order: Array) -> tuple[Array, Array]:
        return self.x[order.ravel()], self.y[order.ravel()]

    def restart(self) -> None:
        for model in self.models:
            pairs = self.work.parameters()
            model.coefs_ = [weight for weight, _ in pairs]
            model.intercepts_ = [bias for _, bias in pairs]
            model._optimizer = AdamOptimizer(model.coefs_ + model.intercepts_, self.work.rate)

    def train(self, order: tuple[Array, Array]) -> None:
        for model in self.models:
            model.partial_fit(*order)

    def result(self) -> Array:
        losses = []
        for model in self.models:
            chance = model.predict_proba(self.x)[np.arange(len(self.y)), self.y].astype(np.float64)
            losses.append(-np.mean(np.log(np.maximum(chance, 1e-30))))
        return np.array(losses)


def _model(work: Workload, x: Array, y: Array, alpha: float = 0.0) -> Any:
    model = MLPClassifier(
        work.shape[1:-1], activation=work.activation, solver="adam", learning_rate_init=work.rate, alpha=alpha,
        batch_size=work.batch, shuffle=False, n_iter_no_change=10**9, random_state=0,
    )  # fmt: skip
    classes = np.arange(max(work.shape[-1], 2))
    return model.partial_fit(x[: work.batch], y[: work.batch], classes=classes)


def _predicting(work: Workload) -> Callable[[], Any]:
    x, _ = work.data()
    model = _model(work, np.repeat(x[:1], 2, axis=0), np.array([0, 1]))
    model.coefs_, model.intercepts_ = (list(part) for part in zip(*work.parameters(), strict=True))
    return lambda: model.predict_proba(x)[:, 1]


def command(work: Workload, table: str, folder: str) -> list[str]:
    """The script that does what ``chainrule train`` does."""
    hidden = ",".join(map(str, work.shape[1:-1]))
    script = str(Path(__file__).with_name("iris_sklearn.py"))
    return [sys.executable, script, table, "species", hidden, *map(str, (work.epochs, work.batch, work.rate))]
