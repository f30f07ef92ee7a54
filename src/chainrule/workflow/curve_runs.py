"""The trainings of a learning curve: many samples of one network side by side, each scored on rows it never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.constrain import L1Ball, L2Ball, LInfBall, MaxNorm
from chainrule.errors import TrainingError
from chainrule.learn import Adam, Objective, Run, fit_many
from chainrule.table import Task
from chainrule.workflow import metrics
from chainrule.workflow.curve_samples import Sample
from chainrule.workflow.network import as_probabilities, build_objective, choose_head, encode_target

if TYPE_CHECKING:
    from chainrule.workflow.curve_options import CurveOptions

Array = np.ndarray[Any, Any]
SETS: dict[str, tuple[str, Callable[[float], Any], Callable[[list[Array]], float]]] = {
    "l2": ("‖w‖₂", L2Ball, lambda ws: float(np.sqrt(sum(np.sum(np.square(w)) for w in ws)))),
    "maxnorm": (
        "‖w‖₂ of each unit",
        MaxNorm,
        lambda ws: float(max(np.max(np.sqrt(np.sum(np.square(w), axis=0))) for w in ws)),
    ),
    "l1": ("‖w‖₁", L1Ball, lambda ws: float(sum(np.sum(np.abs(w)) for w in ws))),
    "linf": ("max |w|", LInfBall, lambda ws: float(max(np.max(np.abs(w)) for w in ws))),
}
"""Limits that can be swept: how they are written, the set of a radius, and the radius that weights need."""
MEASURES = {"classes": ("log-loss", "error rate"), "numbers": ("RMSE", "MAE")}
"""What is measured of classes and of numbers, less being better: the first, unless the second is asked for."""
FITS = {"log-loss": 0.05, "error rate": 0.005, "RMSE": 0.1, "MAE": 0.1}
"""A network fits its training rows where its measure is below so much of that of guessing."""


@dataclass(frozen=True)
class Outcome:
    """What one training gave: each measure on its training rows and on held-out rows, and the size of its weights.

    ``unfinished``: early stopping would have let it go on, but there were no more epochs.
    """

    training: dict[str, float]
    held_out: dict[str, float]
    size: float
    unfinished: bool


@dataclass
class Trainer:
    """What all trainings of a learning curve share; ``done`` counts them, for ``listener``."""

    task: Task
    options: CurveOptions
    total: int
    listener: Callable[[int, int], None]
    done: int = 0

    def run(self, samples: Sequence[Sample], hidden: Sequence[int], radii: Sequence[float | None]) -> list[Any]:
        """Return a line of outcomes for each radius (None: no limit): one for each sample."""
        found: dict[tuple[int, int], Outcome] = {}
        limited = [i for i, radius in enumerate(radii) if radius is not None]
        for lines in (limited, [i for i, radius in enumerate(radii) if radius is None]):
            families: dict[tuple[int, int], list[int]] = {}
            for number, sample in enumerate(samples):
                kind = sample.encoder.width, batch_size_for(len(sample.training[0]))
                families.setdefault(kind, []).append(number)
            for numbers in families.values():
                if lines:
                    pairs = [(line, number) for line in lines for number in numbers]
                    entries = [(samples[number], radii[line]) for line, number in pairs]
                    found |= zip(pairs, self._family(entries, hidden), strict=True)
        return [[found[line, number] for number in range(len(samples))] for line in range(len(radii))]

    def _family(self, entries: Sequence[tuple[Sample, float | None]], hidden: Sequence[int]) -> list[Outcome]:
        """Train one network on samples of the same columns, with radii or without any."""
        o, first = self.options, entries[0][0]
        head = choose_head(self.task.kind, len(first.target.levels) or 1, o.loss, first.target.column)
        plain, radius = build_objective(head, hidden, o.activation, o.dropout), entries[0][1]
        limits = [] if radius is None else [SETS[o.constrain][1](radius)]
        objective = Objective(plain.network, plain.loss, subject_to=limits)
        samples = list({id(s): s for s, _ in entries}.values())
        parts = [part for s in samples for part in (s.training, s.validation)]
        ends = np.cumsum([0, *(len(x) for x, _ in parts)])
        places = [np.arange(start, end) for start, end in pairwise(ends)]
        at = {id(s): (places[2 * i], places[2 * i + 1]) for i, s in enumerate(samples)}
        settings = []
        for sample, limit in entries:
            entry: dict[str, Any] = {"seed": sample.seed, "rows": at[id(sample)][0]}
            if len(sample.validation[0]):
                entry["validation_rows"] = at[id(sample)][1]
            settings.append(entry if limit is None else {**entry, "set1.radius": limit})
        x, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        before = self.done
        runs = fit_many(
            objective,
            (x, encode_target(head, self.task.kind, y)),
            settings,
            optimizer=Adam(o.learning_rate),
            epochs=o.epochs,
            batch_size=o.batch_size or batch_size_for(len(first.training[0])),
            patience=o.patience if len(first.validation[0]) else None,
            executor=o.executor,
            progress=lambda done, _: self.listener(before + done, self.total),
        )  # fmt: skip
        self.done += len(runs)
        if any(run.status == "interrupted" for run in runs):
            raise KeyboardInterrupt
        return [self._outcome(run, sample) for run, (sample, _) in zip(runs, entries, strict=True)]

    def _outcome(self, run: Run, sample: Sample) -> Outcome:
        if run.status == "non-finite":
            raise TrainingError(f"a training with {len(sample.training[0])} rows diverged at {run.problem}")
        weights = [value for name, value in run.parameters.items() if name.endswith(".weight")]
        training, held_out = (self._measures(run, sample, *part) for part in (sample.training, sample.test))
        o = self.options
        unfinished = run.best_epoch is not None and run.epochs == o.epochs and run.epochs - run.best_epoch < o.patience
        return Outcome(training, held_out, SETS[o.constrain][2](weights), unfinished)

    def _measures(self, run: Run, sample: Sample, x: Array, truth: Array) -> dict[str, float]:
        raw = run.predict(x)
        if self.task.is_classification:
            p = as_probabilities(raw)
            return {
                "log-loss": metrics.log_loss(truth, p),
                "error rate": 1.0 - metrics.accuracy(truth, np.argmax(p, axis=1)),
            }
        said = sample.target.inverse_regression(raw, clamp=True)[:, 0]  # as predict says it
        true = sample.target.inverse_regression(truth)[:, 0]
        return {"RMSE": metrics.rmse(true, said), "MAE": metrics.mae(true, said)}


def batch_size_for(rows: int) -> int:
    """Return a batch size for a number of training rows: small batches learn better, large ones go faster."""
    return next((size for most, size in ((2_000, 32), (8_000, 64)) if rows <= most), 128)


def guess_of(samples: Sequence[Sample], is_classification: bool) -> dict[str, float]:
    """Return each measure of the best answer without a network on held-out rows, the mean over samples."""
    found: list[tuple[float, float]] = []
    for sample in samples:
        y, truth = sample.training[1], sample.test[1]
        if is_classification:
            shares = np.bincount(y, minlength=len(sample.target.levels)) / len(y)
            p = np.broadcast_to(shares, (len(truth), len(shares)))
            found.append((metrics.log_loss(truth, p), 1.0 - float(np.mean(truth == np.argmax(shares)))))
        else:
            true = sample.target.inverse_regression(truth)[:, 0]
            said = np.full(len(true), sample.target.mean)
            found.append((metrics.rmse(true, said), metrics.mae(true, said)))
    names = MEASURES["classes" if is_classification else "numbers"]
    return dict(zip(names, map(float, np.mean(found, axis=0)), strict=True))
