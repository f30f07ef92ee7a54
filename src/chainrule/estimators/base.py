"""What NetworkClassifier and NetworkRegressor share: from the constructor's words to a training, and back."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import fields, is_dataclass, replace
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted

from chainrule import nn
from chainrule.errors import TableError, TrainingError
from chainrule.estimators.callbacks import CallbackSupportMixin, Hooks
from chainrule.estimators.defaults import SMALL, Choices, choices
from chainrule.estimators.inputs import InputEncoder, column_names, read_inputs
from chainrule.execute import Loop
from chainrule.learn import AdamW, Objective, Optimizer, Predictor, get_optimizer, get_schedule
from chainrule.learn.fitting import Job, drive, prepare
from chainrule.learn.optimizers import DEFAULT_RATES
from chainrule.learn.progress import show_progress
from chainrule.workflow.network import build_objective, choose_head, encode_target
from chainrule.workflow.split import split_rows

Array = np.ndarray[Any, Any]
CARRIED = ("parameters", "state", "optimizer", "clock")


class NetworkEstimator(CallbackSupportMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A network behind scikit-learn's face; a subclass says what y is and what is predicted."""

    def _read_target(self, y: Any) -> Array:
        raise NotImplementedError

    def _fit_target(self, y: Array, weight: Array, classes: Any = None) -> Any:
        raise NotImplementedError

    def _class_weights(self, y: Array, weight: Array) -> Array:
        return weight

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.categorical = True
        return tags

    def __getstate__(self) -> Any:
        """A run holds the training rows and an executor: it stays here when the estimator goes elsewhere."""
        state = dict(super().__getstate__())
        state.pop("run_", None)
        return state

    def __getattr__(self, name: str) -> Any:
        if name == "run_" and "predictor_" in self.__dict__:
            raise AttributeError(
                "run_ is not part of a copy or pickle of an estimator, since it holds the training rows; history_, "
                "parameters_ and chosen_ are"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # fit

    def _fit(self, x: Any, y: Any, sample_weight: Any, validation_data: Any) -> Any:
        again = self.warm_start and hasattr(self, "predictor_")
        if y is None:
            raise TableError(f"{type(self).__name__}.fit requires y to be passed, but the target y is None")
        inputs, target, weight = self._rows(x, y, sample_weight, reset=not again)
        keep = np.flatnonzero(weight > 0)
        inputs, target, weight = _at(inputs, keep), target[keep], weight[keep]
        if len(keep) < 2:
            raise TableError("a network cannot learn from one sample (n_samples=1); give at least two rows that count")
        goal = self.target_ if again else self._fit_target(target, weight)
        encoded, seed = goal.encode(target), self._seed()
        chosen = self._choose(len(keep), validation_data is not None)
        training, held = self._split(len(keep), encoded, goal.kind, chosen, validation_data is not None, seed)
        if not again:
            self.encoder_ = InputEncoder.fit(inputs, column_names(self), training, weight[training])
            self.target_ = (
                goal
                if len(training) == len(keep)
                else self._fit_target(target[training], weight[training], getattr(goal, "classes", None))
            )
            encoded = self.target_.encode(target)
        dtype = np.float64 if chosen.batch_size == "all" and len(keep) <= SMALL else np.float32
        objective = self._objective(chosen)
        counts = self._class_weights(target, weight)
        matrix = self.encoder_.transform(inputs)

        def part(rows: Array) -> tuple[Array, Array, Array]:
            return self._part(matrix[rows], encoded[rows], counts[rows], dtype)

        watched = part(held) if len(held) else None
        if validation_data is not None:
            watched = self._validation(validation_data, dtype)
        job = prepare(
            objective,
            part(training),
            optimizer=self._optimizer(chosen),
            epochs=chosen.epochs,
            batch_size=chosen.batch_size,
            validation=watched,
            patience=chosen.patience if chosen.early_stopping else None,
            seed=seed,
            executor=self.executor,
        )
        if again:
            _continue(job, {"parameters": self.parameters_, "state": self.state_})
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        hooks = Hooks(self, chosen.epochs, {"X": x, "y": y, "metadata": weights})
        self.chosen_ = chosen.to_dict()
        self._run(job, hooks)
        self.history_ = self.run_.history
        self._told()
        hooks.end(lambda: {name: value for name, value in vars(self).items() if name.endswith("_")})
        return self

    def _partial_fit(self, x: Any, y: Any, sample_weight: Any, classes: Any = None) -> Any:
        first = not hasattr(self, "predictor_")
        if self.early_stopping is True:
            raise TrainingError("partial_fit has no end to stop early at: set early_stopping=False")
        inputs, target, weight = self._rows(x, y, sample_weight, reset=first)
        keep = np.flatnonzero(weight > 0)
        inputs, target, weight = _at(inputs, keep), target[keep], weight[keep]
        if first:
            self.target_ = self._fit_target(target, weight, classes)
            self.encoder_ = InputEncoder.fit(inputs, column_names(self), np.arange(len(keep)), weight)
            self.history_, self._passes, self._carry = [], 0, None
            chosen = replace(self._choose(len(keep), False), early_stopping=False, epochs=1)
            chosen = replace(chosen, schedule="constant" if self.schedule == "auto" else chosen.schedule)
            self.chosen_ = chosen.to_dict()
        elif classes is not None and not np.array_equal(np.unique(classes), self.target_.classes):
            raise TableError(f"classes are {np.unique(classes)}; they were {self.target_.classes} in the first call")
        elif hasattr(self.target_, "widened"):
            self.target_ = self.target_.widened(target)
        chosen = Choices(**self.chosen_)
        encoded = self.target_.encode(target)
        dtype = (
            self.parameters_["output.weight"].dtype
            if not first
            else (np.float64 if chosen.batch_size == "all" else np.float32)
        )
        job = prepare(
            self._objective(chosen),
            self._part(self.encoder_.transform(inputs), encoded, self._class_weights(target, weight), dtype),
            optimizer=self._optimizer(chosen),
            epochs=1,
            batch_size=chosen.batch_size,
            seed=(self._seed() + getattr(self, "_passes", 0)) % 2**32,
            parameters=None if first else self.parameters_,
            executor=self.executor,
        )
        if not first:
            carried = getattr(self, "_carry", None) or {"parameters": self.parameters_, "state": self.state_}
            _continue(job, carried)
        self._run(job, None)
        self._carry = {name: job.loop.carry[name] for name in CARRIED}
        self._passes = getattr(self, "_passes", 0) + 1
        self.history_ = [*self.history_, *({**e, "epoch": len(self.history_) + 1} for e in self.run_.history)]
        self._told()
        return self

    def _rows(self, x: Any, y: Any, sample_weight: Any, reset: bool) -> tuple[Any, Array, Array]:
        """Return X as ``read_inputs`` gives it, y as an array, and a weight for each row."""
        inputs = read_inputs(self, x, reset)
        target = self._read_target(y)
        try:
            check_consistent_length(inputs, target)
            weight = _check_sample_weight(sample_weight, target, dtype=np.float64, ensure_non_negative=True)
        except ValueError as error:
            raise TableError(str(error)) from None
        return inputs, target, np.asarray(weight)

    def _part(self, x: Array, y: Array, weight: Array, dtype: Any) -> tuple[Array, Array, Array]:
        """Return rows in the form that the objective reads."""
        y = encode_target(self._head(), self.target_.kind, y)
        return x.astype(dtype), y if y.dtype.kind == "i" else y.astype(dtype), weight

    def _validation(self, data: Any, dtype: Any) -> tuple[Array, Array, Array]:
        if not isinstance(data, tuple | list) or len(data) not in (2, 3):
            raise TrainingError("validation_data must be (X, y), or (X, y, sample weights)")
        inputs, target, weight = self._rows(data[0], data[1], data[2] if len(data) == 3 else None, reset=False)
        encoded = self.target_.encode(target)
        return self._part(self.encoder_.transform(inputs), encoded, self._class_weights(target, weight), dtype)

    def _seed(self) -> int:
        if isinstance(self.random_state, Integral):
            return int(self.random_state) % 2**32
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _choose(self, rows: int, has_validation: bool) -> Choices:
        """Return the settings in force, and say what is wrong with those that were given."""
        names = [field.name for field in fields(Choices)]
        chosen = choices(rows, hasattr(self, "class_weight"), {name: getattr(self, name) for name in names})
        if has_validation and self.early_stopping == "auto":
            chosen = replace(chosen, early_stopping=True)
        if isinstance(chosen.early_stopping, str):
            raise TrainingError(f"early_stopping is {chosen.early_stopping!r}; it is True, False or 'auto'")
        for name, least in (("dropout", "at least 0 and less than 1"), ("weight_decay", "at least 0")):
            value = getattr(chosen, name)
            good = isinstance(value, Real) and value >= 0 and (name != "dropout" or value < 1)
            if not good:
                raise TrainingError(f"{name} is {value!r}; it must be a number of {least}, or 'auto'")
        if not isinstance(self.validation_fraction, Real) or not 0 < self.validation_fraction < 1:
            raise TrainingError(f"validation_fraction is {self.validation_fraction!r}; it must lie between 0 and 1")
        return chosen

    def _split(
        self, count: int, encoded: Array, kind: str, chosen: Choices, has_validation: bool, seed: int
    ) -> tuple[Array, Array]:
        """Return the rows that train and those that are watched."""
        everything = np.arange(count)
        if not chosen.early_stopping or has_validation:
            return everything, everything[:0]
        labels = encoded if kind in ("binary", "multiclass") else None
        if count < 5 or not round(self.validation_fraction * count):
            raise TrainingError(
                f"early_stopping would set aside {self.validation_fraction:g} of {count} rows, which is too few; give "
                "more rows, or validation_data, or early_stopping=False"
            )
        split = split_rows(count, labels, float(self.validation_fraction), 0.0, seed)
        return split.training, split.validation

    def _head(self) -> Any:
        return choose_head(self.target_.kind, self.target_.outputs, self.loss, "y")

    def _objective(self, chosen: Choices) -> Objective:
        return build_objective(self._head(), _layers(chosen.hidden_layer_sizes), self.activation, float(chosen.dropout))

    def _optimizer(self, chosen: Choices) -> Optimizer:
        """Return the optimizer with its learning rate and weight decay."""
        given = self.optimizer
        if isinstance(given, Optimizer):
            for name in ("learning_rate", "schedule", "weight_decay"):
                if getattr(self, name) != "auto":
                    raise TrainingError(f"{name} is given twice: leave it out, and set it in the optimizer: {given!r}")
            return given
        rate = chosen.learning_rate
        if self.learning_rate == "auto" and given not in ("adam", "adamw"):
            rate = DEFAULT_RATES.get(given, rate)
        made = get_optimizer(given, get_schedule(chosen.schedule, rate) if isinstance(rate, Real) else rate)
        decay = float(chosen.weight_decay)
        if given == "adam" and decay:
            return AdamW(made.learning_rate, decay=decay)
        if is_dataclass(made) and any(field.name == "decay" for field in fields(made)):
            return replace(made, decay=decay)  # type: ignore[return-value]
        if self.weight_decay not in ("auto", 0):
            raise TrainingError(f"the optimizer {given!r} has no weight decay; use 'adam' or 'adamw'")
        return made

    def _run(self, job: Job, hooks: Hooks | None) -> None:
        """Train, and keep what predicts."""
        shown = show_progress(job.total_steps, job.validation is not None) if self.verbose else nullcontext(None)
        with shown as listener:
            report = listener or (lambda report: None)
            if hooks is not None and hooks.wanted:
                hooks.drive(job, report, self._as_if_done)
            else:
                drive(job, report)
        self.run_ = run = job.result()
        self._keep(run)
        if run.status == "non-finite":
            warnings.warn(f"{type(self).__name__}: {run.message}", ConvergenceWarning, stacklevel=4)

    def _keep(self, run: Any) -> None:
        self.parameters_, self.state_ = run.parameters, run.state
        self.predictor_: Predictor = run.predictor

    def _as_if_done(self, job: Job) -> dict[str, Any]:
        run = job.result()
        return {
            "encoder_": self.encoder_, "target_": self.target_, "predictor_": run.predictor,
            "parameters_": run.parameters, "state_": run.state,
            **({"classes_": self.target_.classes} if hasattr(self.target_, "classes") else {}),
        }  # fmt: skip

    def _told(self) -> None:
        """Set the attributes that tell how the training went."""
        run = self.run_
        self.n_iter_ = len(self.history_)
        self.n_outputs_ = self.target_.outputs
        self.loss_ = self.history_[-1]["loss"] if self.history_ else float("nan")
        self.best_epoch_ = run.best_epoch
        watched = [entry["validation_loss"] for entry in self.history_ if "validation_loss" in entry]
        self.best_validation_loss_ = min(watched) if watched else None

    # predict

    def _predicted(self, x: Any, output: bool = False) -> Array:
        check_is_fitted(self, "predictor_")
        matrix = self.encoder_.transform(read_inputs(self, x, reset=False))
        return self.predictor_.output(matrix) if output else self.predictor_.predict(matrix)


def _layers(sizes: Any) -> list[Any]:
    """Return sizes and layers as a list: one number, one layer, or a sequence of them."""
    if isinstance(sizes, nn.Sequential):
        return list(sizes.layers)
    if isinstance(sizes, nn.Layer | Integral):
        sizes = [sizes]
    if not isinstance(sizes, list | tuple | np.ndarray):
        raise TrainingError(f"hidden_layer_sizes is {sizes!r}; give sizes such as (64, 32), layers, or 'auto'")
    parts: list[Any] = []
    for part in sizes:
        if isinstance(part, nn.Layer):
            parts.append(part)
        elif isinstance(part, Integral) and not isinstance(part, bool) and part >= 1:
            parts.append(int(part))
        else:
            raise TrainingError(f"hidden_layer_sizes holds {part!r}; it takes whole numbers of at least 1, and layers")
    return parts


def _at(inputs: Any, rows: Array) -> Any:
    if len(rows) == len(inputs):
        return inputs
    return inputs[rows]


def _continue(job: Job, carried: Mapping[str, Any]) -> None:
    """Let a job go on from what an earlier one carried: parameters, running statistics, the optimizer's moments."""
    job.loop = Loop({**job.loop.carry, **carried})
    job.snapshots[:] = [job.loop.snapshot()]
