"""What NetworkClassifier and NetworkRegressor share: rows in, a training, and what it leaves behind."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted

from chainrule.constrain import set_values
from chainrule.constrain.keeping import inside
from chainrule.errors import TableError, TrainingError
from chainrule.estimators import settings
from chainrule.estimators.callbacks import CallbackSupportMixin, Hooks
from chainrule.estimators.inputs import InputEncoder, column_names, read_inputs
from chainrule.execute import Loop
from chainrule.learn import Objective, Predictor, Run
from chainrule.learn.callbacks import Callbacks
from chainrule.learn.checkpoints import EVERY, open_keeper
from chainrule.learn.data import in_units_of_largest
from chainrule.learn.fitting import Job, drive, prepare
from chainrule.learn.progress import show_progress
from chainrule.workflow.defaults import SMALL, Choices
from chainrule.workflow.network import Head, build_objective, choose_head, encode_target
from chainrule.workflow.split import split_rows

Array = np.ndarray[Any, Any]
Part = tuple[Array, Array, Array]
CARRIED = ("parameters", "state", "optimizer", "multipliers", "clock")


@dataclass(frozen=True)
class Rows:
    """Rows that count: X as ``read_inputs`` gives it, y as an array, and a weight over 0 for each."""

    x: Any
    y: Array
    weight: Array

    def __len__(self) -> int:
        return len(self.y)


class NetworkEstimator(CallbackSupportMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A network behind scikit-learn's face; a subclass says what y is and what is predicted."""

    target_: Any
    run_: Run
    _carry: dict[str, Any] | None
    _begun: dict[str, Any]

    def __init__(
        self,
        hidden_layer_sizes: Any = "auto",
        activation: Any = "relu",
        *,
        loss: Any = None,
        optimizer: Any = "adam",
        learning_rate: Any = "auto",
        schedule: str = "auto",
        epochs: int | str = "auto",
        batch_size: int | str = "auto",
        dropout: float | str = "auto",
        weight_decay: float | str = "auto",
        constraint: Any = None,
        penalty: Any = None,
        method: Any = None,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.2,
        patience: int | str = "auto",
        random_state: Any = 0,
        warm_start: bool = False,
        verbose: int = 0,
        executor: str = "native",
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.epochs = epochs
        self.batch_size = batch_size
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.constraint = constraint
        self.penalty = penalty
        self.method = method
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.executor = executor

    def _read_target(self, y: Any) -> Array:
        """Return y as an array of labels or numbers."""
        raise NotImplementedError

    def _fit_target(self, y: Array, weight: Array, classes: Any = None) -> Any:
        """Return what encodes y, fitted on these rows."""
        raise NotImplementedError

    def _class_weights(self, y: Array, weight: Array) -> Array:
        """Return the weights that the loss takes."""
        return weight

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.categorical = True
        return tags

    def __getstate__(self) -> Any:
        """A run holds the training rows and an executor: it stays here when the estimator goes elsewhere."""
        return {name: value for name, value in super().__getstate__().items() if name != "run_"}

    def __getattr__(self, name: str) -> Any:
        if name == "run_" and "predictor_" in self.__dict__:
            raise AttributeError(
                "run_ is no part of a copy or pickle of an estimator, since it holds the training rows; history_, "
                "parameters_ and chosen_ are"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _fit(self, x: Any, y: Any, sample_weight: Any, validation_data: Any) -> None:
        again = self.warm_start and hasattr(self, "predictor_")
        rows = self._rows(x, y, sample_weight, reset=not again)
        chosen = settings.choices(self, len(rows), validation_data is not None)
        seed = settings.seed(self.random_state)
        training, held = self._prepare(rows, chosen, again, validation_data is not None, seed)
        dtype = _dtype(chosen, len(rows))
        parts = self._parts(rows, dtype, training, held)
        if validation_data is not None:
            parts[1] = self._validation(validation_data, dtype)
        job = prepare(
            self._objective(chosen),
            parts[0],
            optimizer=settings.optimizer(self, chosen),
            epochs=chosen.epochs,
            batch_size=chosen.batch_size,
            validation=parts[1],
            patience=chosen.patience if chosen.early_stopping else None,
            seed=seed,
            executor=self.executor,
            method=settings.regularization(self).method,
        )
        _begin_inside(job)
        if again:
            _go_on(job, {"parameters": self.parameters_, "state": self.state_})
        data = {"X": x, "y": y, "metadata": {} if sample_weight is None else {"sample_weight": sample_weight}}
        hooks = Hooks(self, job.plan.epochs, data)
        self._train(job, hooks)
        self.chosen_ = settings.used(self, chosen)
        self._seed, self._calls, self._carry, self._begun = seed, 1, None, settings.begun(self)
        self._tell(self.run_.history)
        hooks.end(lambda: self._would_be(self.run_))

    def _partial_fit(self, x: Any, y: Any, sample_weight: Any, classes: Any = None) -> None:
        first = not hasattr(self, "predictor_")
        if self.early_stopping is True:
            raise TrainingError("partial_fit has no end to stop before: set early_stopping=False")
        rows = self._rows(x, y, sample_weight, reset=first, least=2 if first else 1)
        if first:
            self.target_ = self._fit_target(rows.y, rows.weight, classes)
            self.encoder_ = InputEncoder.fit(rows.x, column_names(self), np.arange(len(rows)), rows.weight)
            chosen = replace(settings.choices(self, len(rows), False), early_stopping=False, epochs=1)
            if self.schedule == "auto":  # nobody knows how many calls will follow
                chosen = replace(chosen, schedule="constant")
            self.chosen_ = settings.used(self, chosen)
            self._seed, self._calls, self._begun = settings.seed(self.random_state), 0, settings.begun(self)
        else:
            settings.require_begun(self, self._begun)
            self._fits(rows.y, classes)
        chosen = Choices(**self.chosen_)
        dtype = _dtype(chosen, len(rows)) if first else np.dtype(self.predictor_.arrays[0].dtype)
        job = prepare(
            self._objective(chosen),
            self._parts(rows, dtype, np.arange(len(rows)))[0],
            optimizer=settings.optimizer(self, chosen),
            epochs=1,
            batch_size=chosen.batch_size,
            seed=(self._seed + self._calls) % 2**32,
            executor=self.executor,
            method=settings.regularization(self).method,
        )
        _begin_inside(job)
        if not first:
            known = {"parameters": self.parameters_, "state": self.state_}
            _go_on(job, self._carry or known)
        self._train(job, None)
        self._calls += 1
        self._carry = {name: job.loop.carry[name] for name in CARRIED}
        before = [] if first else self.history_
        self._tell([*before, *({**entry, "epoch": len(before) + 1} for entry in self.run_.history)])

    def _rows(self, x: Any, y: Any, sample_weight: Any, reset: bool, least: int = 2) -> Rows:
        """Return the rows that count, of what a user gave."""
        if y is None:
            raise TableError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        inputs = read_inputs(self, x, reset)
        target = self._read_target(y)
        try:
            check_consistent_length(inputs, target)
            weight = _check_sample_weight(sample_weight, target, dtype=np.float64, ensure_non_negative=True)
        except ValueError as error:
            raise TableError(str(error)) from None
        keep = np.flatnonzero(weight > 0)
        if not len(keep):
            raise TableError("sample_weight is zero in every row; at least two rows must count")
        if len(keep) < least:
            raise TableError(
                f"a network cannot learn from {len(keep)} sample (n_samples={len(keep)}); give at least {least} rows "
                "whose weight is not 0"
            )
        if weight.max() >= 2**53:  # too large to be repetitions: only the ratios count, and sums must not overflow
            weight = in_units_of_largest(weight)
        return (
            Rows(inputs, target, weight) if len(keep) == len(weight) else Rows(inputs[keep], target[keep], weight[keep])
        )

    def _prepare(
        self, rows: Rows, chosen: Choices, again: bool, has_validation: bool, seed: int
    ) -> tuple[Array, Array]:
        """Fit the encoders, on training rows only; return the rows that train and those that are watched."""
        if again:
            self._fits(rows.y)
        else:
            self.target_ = self._fit_target(rows.y, rows.weight)
        training, held = np.arange(len(rows)), np.arange(0)
        if chosen.early_stopping and not has_validation:
            share = float(self.validation_fraction)
            if round(share * len(rows)) < 1 or len(rows) - round(share * len(rows)) < 2:
                raise TrainingError(
                    f"early_stopping would set aside {share:g} of {len(rows)} rows, which is too few; give more rows, "
                    "or validation_data, or early_stopping=False"
                )
            labels = self.target_.encode(rows.y) if self.target_.kind in ("binary", "multiclass") else None
            split = split_rows(len(rows), labels, share, 0.0, seed)
            training, held = split.training, split.validation
        if not again:
            weight = rows.weight[training]
            self.encoder_ = InputEncoder.fit(rows.x, column_names(self), training, weight)
            if len(held) and self.target_.kind == "regression":
                self.target_ = self._fit_target(rows.y[training], weight)
        return training, held

    def _fits(self, y: Array, classes: Any = None) -> None:
        """Further rows of a target that is known: of the same classes, or a range that may grow."""
        if classes is not None and not np.array_equal(np.unique(classes), self.target_.classes):
            raise TableError(
                f"classes are {np.unique(classes).tolist()}; in the first call they were "
                f"{self.target_.classes.tolist()}"
            )
        self.target_.encode(y)
        if self.target_.kind == "regression":
            self.target_ = self.target_.widened(y)

    def _parts(self, rows: Rows, dtype: Any, *places: Array) -> list[Part | None]:
        """Return rows in the form that the objective reads, cut into parts; an empty part is None."""
        x = self.encoder_.transform(rows.x)
        y = encode_target(self._head(), self.target_.kind, self.target_.encode(rows.y))
        y = y if y.dtype.kind == "i" else y.astype(dtype)
        weight = self._class_weights(rows.y, rows.weight)
        return [(x[at].astype(dtype), y[at], weight[at]) if len(at) else None for at in places]

    def _validation(self, data: Any, dtype: Any) -> Part | None:
        if not isinstance(data, tuple | list) or len(data) not in (2, 3):
            raise TrainingError("validation_data must be (X, y), or (X, y, sample weights)")
        rows = self._rows(data[0], data[1], data[2] if len(data) == 3 else None, reset=False, least=1)
        return self._parts(rows, dtype, np.arange(len(rows)))[0]

    def _head(self) -> Head:
        return choose_head(self.target_.kind, self.target_.outputs, self.loss, "y")

    def _objective(self, chosen: Choices) -> Objective:
        hidden = settings.layers(chosen.hidden_layer_sizes)
        limited = settings.regularization(self)
        return build_objective(
            self._head(), hidden, self.activation, float(chosen.dropout), limited.penalties, limited.sets
        )

    def _train(self, job: Job, hooks: Hooks | None) -> None:
        """Run a job to its end, and keep what predicts."""
        with show_progress(job.total_steps, job.validation is not None) if self.verbose else nullcontext() as listener:
            report = listener or (lambda report: None)
            if hooks is not None and hooks.wanted:
                hooks.drive(job, report, lambda: self._would_be(job.result()))
            else:
                drive(job, report, Callbacks((), job), open_keeper(job, None, EVERY, False, ()))
        self.run_ = replace(job.result(), method=settings.regularization(self).method)
        for name, value in self._would_be(self.run_).items():
            setattr(self, name, value)
        if self.run_.status == "non-finite":
            warnings.warn(f"{type(self).__name__}: {self.run_.message}", ConvergenceWarning, stacklevel=_users_level())
        elif self.run_.method is None and (over := [v for v in set_values(self.run_) if not v.holds]):
            said = "; ".join(f"{value.title}: {value}" for value in over)
            warnings.warn(
                f"{type(self).__name__}: the constraints do not hold after projection: {said}. Is there a point that "
                "satisfies all of them?",
                ConvergenceWarning,
                stacklevel=_users_level(),
            )

    def _would_be(self, run: Run) -> dict[str, Any]:
        """Return the attributes of an estimator whose training is this run."""
        made: dict[str, Any] = {"parameters_": run.parameters, "state_": run.state}
        predictor: Predictor = run.predictor
        made |= {"predictor_": predictor, "encoder_": self.encoder_, "target_": self.target_}
        return made | ({"classes_": self.target_.classes} if self.target_.kind != "regression" else {})

    def _tell(self, history: list[dict[str, float]]) -> None:
        """Set the attributes that tell how the training went."""
        self.history_ = history
        self.n_iter_ = len(history)
        self.n_outputs_ = self.target_.outputs
        self.constraint_values_ = set_values(self.run_)
        self.multipliers_ = dict(self.run_.multipliers)
        self.loss_ = history[-1]["loss"] if history else float("nan")
        self.best_epoch_ = self.run_.best_epoch
        watched = [entry["validation_loss"] for entry in history if "validation_loss" in entry]
        self.best_validation_loss_ = min(watched) if watched else None

    def _predicted(self, x: Any, output: bool = False) -> Array:
        check_is_fitted(self, "predictor_")
        matrix = self.encoder_.transform(read_inputs(self, x, reset=False))
        found: Array = self.predictor_.output(matrix) if output else self.predictor_.predict(matrix)
        return found


def _users_level() -> int:
    """Return how many calls up the user's line is: past this package, and what scikit-learn wraps around ``fit``."""
    level = 0
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("chainrule", "sklearn"):
        level, frame = level + 1, frame.f_back
    return level + 1


def _dtype(chosen: Choices, rows: int) -> Any:
    """Double precision where each step uses all of a few rows, so that nothing depends on their order."""
    return np.float64 if chosen.batch_size == "all" and rows <= SMALL else np.float32


def _begin_inside(job: Job) -> None:
    """Let a job whose limits are held by multipliers begin at a point that satisfies them."""
    if job.multipliers is not None:
        first = inside(job.objective, job.loop.carry["parameters"])
        job.loop = Loop({**job.loop.carry, "parameters": first})
        job.snapshots[:] = [job.loop.snapshot()]


def _go_on(job: Job, carried: Mapping[str, Any]) -> None:
    """Let a job go on from what an earlier one carried: parameters, running statistics, the optimizer's moments."""
    wanted, given = job.loop.carry["parameters"], carried["parameters"]
    if {name: np.shape(v) for name, v in wanted.items()} != {name: np.shape(v) for name, v in given.items()}:
        raise TrainingError("the network has other layers than the one to go on from; set warm_start=False")
    dtype = next(iter(wanted.values())).dtype  # of fewer or more rows than before it may be another
    floats = {part: {name: v.astype(dtype) for name, v in carried[part].items()} for part in ("parameters", "state")}
    job.loop = Loop({**job.loop.carry, **carried, **floats})
    job.snapshots[:] = [job.loop.snapshot()]
