"""From the constructor's words to layers, an optimizer and a seed; what is wrong with a word is said here."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from chainrule import nn
from chainrule.errors import TrainingError
from chainrule.learn import Optimizer
from chainrule.learn.preparing import require_count
from chainrule.learn.schedules import SCHEDULES
from chainrule.nn.activations import choose
from chainrule.table.say import listing, say
from chainrule.workflow import problem
from chainrule.workflow.defaults import Choices, automatic
from chainrule.workflow.optimizing import as_used, make_optimizer, searches
from chainrule.workflow.problem import Regularization

NUMBER = (int, float, np.integer, np.floating)
WHOLE = (int, np.integer)


def regularization(estimator: Any) -> Regularization:
    """Return what an estimator's constraint, penalty and method say.

    Raises:
        TrainingError: what they cannot mean.
    """
    return problem.regularization(estimator.constraint, estimator.penalty, estimator.method)


def choices(estimator: Any, rows: int, has_validation: bool) -> Choices:
    """Return the settings in force: those that were given, and for those that are "auto" what fits the rows.

    Raises:
        TrainingError: a setting that cannot be.
    """
    given = {field.name: getattr(estimator, field.name) for field in fields(Choices)}
    own = {name: value for name, value in given.items() if not _is_auto(value)}
    limited = regularization(estimator)
    given_optimizer = estimator.optimizer
    searching = searches(given_optimizer) or (isinstance(given_optimizer, Optimizer) and not given_optimizer.has_steps)
    chosen = automatic(rows, hasattr(estimator, "class_weight"), regularized=bool(limited), searches=searching)
    chosen = replace(chosen, **own)
    if limited.method is not None:
        chosen = problem.without_stopping(chosen, given["early_stopping"] is True, "early_stopping=True")
    elif has_validation and _is_auto(given["early_stopping"]):
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


def _given(estimator: Any) -> set[str]:
    return {field.name for field in fields(Choices) if not _is_auto(getattr(estimator, field.name))}


def used(estimator: Any, chosen: Choices) -> dict[str, Any]:
    """Return the settings in force by name; None for what the optimizer has not, or has its own of."""
    return as_used(estimator.optimizer, chosen, _given(estimator)).to_dict()


def optimizer(estimator: Any, chosen: Choices) -> Optimizer:
    """Return the optimizer with its learning rate and weight decay; one that is given as an object has its own."""
    given = _given(estimator)
    if not isinstance(estimator.optimizer, Optimizer):
        return make_optimizer(estimator.optimizer, chosen, given)
    for name in ("learning_rate", "schedule", "weight_decay"):
        if name in given:
            raise TrainingError(
                f"{name} is given twice: leave it out here, and set it in the optimizer, {estimator.optimizer!r}"
            )
    return estimator.optimizer


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
    "weight_decay", "constraint", "penalty", "method",
)  # fmt: skip
"""What cannot change between two calls of partial_fit: the problem, the network, the optimizer, and their settings."""


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
