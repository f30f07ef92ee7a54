"""From the constructor's words to layers, an optimizer and a seed; what is wrong with a word is said here."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from chainrule import nn
from chainrule.errors import TrainingError
from chainrule.estimators.defaults import Choices, automatic
from chainrule.learn import AdamW, Optimizer, get_optimizer, get_schedule
from chainrule.learn.optimizers import DEFAULT_RATES, LBFGS
from chainrule.learn.preparing import require_count
from chainrule.learn.schedules import SCHEDULES
from chainrule.nn.activations import choose
from chainrule.table.say import listing, say

NUMBER = (int, float, np.integer, np.floating)
WHOLE = (int, np.integer)


def choices(estimator: Any, rows: int, has_validation: bool) -> Choices:
    """Return the settings in force: those that were given, and for those that are "auto" what fits the rows.

    Raises:
        TrainingError: a setting that cannot be.
    """
    given = {field.name: getattr(estimator, field.name) for field in fields(Choices)}
    own = {name: value for name, value in given.items() if not _is_auto(value)}
    chosen = replace(automatic(rows, hasattr(estimator, "class_weight")), **own)
    given_optimizer = _optimizer_object(estimator.optimizer)
    if given_optimizer is not None and not given_optimizer.has_steps:  # it searches along lines
        whole: dict[str, Any] = {"batch_size": "all", "dropout": 0.0, "early_stopping": False}
        chosen = replace(chosen, **{name: value for name, value in whole.items() if name not in own})
    if has_validation and _is_auto(given["early_stopping"]):
        chosen = replace(chosen, early_stopping=True)
    if not isinstance(chosen.early_stopping, bool | np.bool_):
        raise TrainingError(f"early_stopping is {say(chosen.early_stopping)}; it is True, False or 'auto'")
    _require(chosen.dropout, "dropout", 0.0, 1.0, "a number of at least 0 and less than 1, or 'auto'")
    _require(chosen.weight_decay, "weight_decay", 0.0, np.inf, "a finite number of at least 0, or 'auto'")
    share = estimator.validation_fraction
    _require(share, "validation_fraction", 0.0, 1.0, "a number over 0 and less than 1")
    require_count(chosen.patience, "patience")
    _require_rate(chosen.learning_rate)
    if not isinstance(chosen.schedule, str):
        raise TrainingError(
            f"schedule is {say(chosen.schedule)}; it must be 'auto' or one of {listing(map(repr, SCHEDULES), 20)} (a "
            "schedule as an object is given as learning_rate)"
        )
    choose(SCHEDULES, chosen.schedule, "schedule")
    if not isinstance(estimator.warm_start, bool | np.bool_):
        raise TrainingError(f"warm_start is {say(estimator.warm_start)}; it must be True or False")
    if not isinstance(estimator.verbose, (np.bool_, *WHOLE)) or estimator.verbose < 0:
        raise TrainingError(
            f"verbose is {say(estimator.verbose)}; it must be a whole number of at least 0: 1 shows a bar"
        )
    if share == 0:
        raise TrainingError("validation_fraction is 0, so that no row would be watched; set early_stopping=False")
    return chosen


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == "auto"


def _require(value: Any, name: str, least: float, below: float, words: str) -> None:
    if isinstance(value, bool) or not isinstance(value, NUMBER) or not least <= value < below:
        raise TrainingError(f"{name} is {say(value)}; it must be {words}")


def _require_rate(rate: Any) -> None:
    if hasattr(rate, "at") and hasattr(rate, "settings"):  # a schedule
        return
    if isinstance(rate, bool) or not isinstance(rate, NUMBER) or not 0 < rate < np.inf:
        raise TrainingError(
            f"learning_rate is {say(rate)}; the learning rate must be a finite number greater than 0, a schedule such "
            "as cr.learn.Cosine(0.01), or 'auto'"
        )


def _optimizer_object(given: Any) -> Optimizer | None:
    """Return an optimizer that has settings of its own, and no learning rate from here; None for a name with one."""
    if isinstance(given, str) and given == "lbfgs":
        return LBFGS()
    return given if isinstance(given, Optimizer) else None


def layers(sizes: Any) -> list[Any]:
    """Return hidden sizes and layers as a list: of one number, one layer, or a sequence of them."""
    if isinstance(sizes, nn.Sequential):
        return list(sizes.layers)
    parts = [sizes] if isinstance(sizes, (nn.Layer, *WHOLE)) else sizes
    if not isinstance(parts, list | tuple | np.ndarray):
        raise TrainingError(f"hidden_layer_sizes is {say(sizes)}; give sizes such as (64, 32), layers, or 'auto'")
    made: list[Any] = []
    for part in parts:
        if isinstance(part, nn.Layer):
            made.append(part)
        elif isinstance(part, WHOLE) and not isinstance(part, bool) and part >= 1:
            made.append(int(part))
        else:
            raise TrainingError(
                f"hidden_layer_sizes holds {say(part)}; it takes whole numbers of at least 1, and layers"
            )
    return made


def optimizer(estimator: Any, chosen: Choices) -> Optimizer:
    """Return the optimizer with its learning rate and weight decay; one that is given as an object has its own."""
    given, made = estimator.optimizer, _optimizer_object(estimator.optimizer)
    if made is not None:
        for name in ("learning_rate", "schedule", "weight_decay"):
            if _is_auto(getattr(estimator, name)):
                continue
            if not isinstance(given, Optimizer):
                raise TrainingError(f"{name} is given, and 'lbfgs' has none: leave it out; L-BFGS finds its own steps")
            raise TrainingError(f"{name} is given twice: leave it out here, and set it in the optimizer, {given!r}")
        return made
    rate = chosen.learning_rate
    if _is_auto(estimator.learning_rate) and given not in ("adam", "adamw"):
        rate = DEFAULT_RATES.get(given, rate)
    made = get_optimizer(given, get_schedule(chosen.schedule, float(rate)) if isinstance(rate, NUMBER) else rate)
    decay = float(chosen.weight_decay)
    if given == "adam":
        return AdamW(made.learning_rate, decay=decay) if decay else made
    if is_dataclass(made) and any(field.name == "decay" for field in fields(made)):
        found: Optimizer = replace(made, decay=decay)
        return found
    if not _is_auto(estimator.weight_decay) and decay:
        raise TrainingError(f"the optimizer {given!r} has no weight decay; use 'adam' or 'adamw'")
    return made


def seed(random_state: Any) -> int:
    """Return a seed: a whole number as it is, else one drawn from a RandomState, or from anywhere for None.

    Raises:
        TrainingError: a whole number outside 0, …, 2³² − 1, which is what NumPy's RandomState takes, or another value.
    """
    if isinstance(random_state, WHOLE) and not isinstance(random_state, bool):
        if not 0 <= random_state < 2**32:
            raise TrainingError(f"random_state is {random_state}; a seed is a whole number from 0 to 2**32 - 1")
        return int(random_state)
    try:
        return int(check_random_state(random_state).randint(2**31 - 1))
    except ValueError as error:
        raise TrainingError(f"random_state: {error}") from None


BEGUN_WITH = (
    "hidden_layer_sizes", "activation", "loss", "optimizer", "learning_rate", "schedule", "batch_size", "dropout",
    "weight_decay",
)  # fmt: skip
"""What cannot change between two calls of partial_fit: the network, the optimizer, and the settings of both."""


def begun(estimator: Any) -> dict[str, Any]:
    """Return the settings that a training begins with."""
    return {name: getattr(estimator, name) for name in BEGUN_WITH}


def require_begun(estimator: Any, known: dict[str, Any]) -> None:
    """Refuse settings that are others than a training began with; those of a training go on until its end.

    Raises:
        TrainingError: naming the first that was changed.
    """
    for name, value in known.items():
        now = getattr(estimator, name)
        if now is not value and repr(now) != repr(value):
            raise TrainingError(
                f"{name} is {say(now)}, and the training began with {say(value)}; partial_fit goes on with the network "
                "and the optimizer that it has. Set it back, or begin anew with fit or sklearn.base.clone(estimator)"
            )
