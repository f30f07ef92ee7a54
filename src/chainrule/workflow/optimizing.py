"""From an optimizer's name to the optimizer: its learning rate and schedule, weight decay, and clipping."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, is_dataclass, replace
from typing import Any

from chainrule.errors import TrainingError
from chainrule.learn import AdamW, ClipNorm, Optimizer, get_optimizer, get_schedule
from chainrule.learn.optimizers import DEFAULT_RATES, LBFGS, OPTIMIZERS
from chainrule.nn import choose
from chainrule.workflow.defaults import Choices

NAMES = (*OPTIMIZERS, "lbfgs")
"""Every optimizer that has a name; ``lbfgs`` has no learning rate."""
STEPPING = ("learning_rate", "schedule", "weight_decay")
"""What a search along a line has none of."""


def searches(name: Any) -> bool:
    """Is it the name of an optimizer that searches along lines, looking at all rows?"""
    return isinstance(name, str) and name == "lbfgs"


def make_optimizer(name: str, chosen: Choices, given: Collection[str], clip: float | None = None) -> Optimizer:
    """Return an optimizer by name with the settings in force.

    Args:
        name: one of ``NAMES``; ``adam`` with a weight decay is AdamW.
        chosen: the settings; a learning rate may be a schedule.
        given: the names of those that the user gave: of an optimizer other than Adam, a learning rate that nobody gave
            is the optimizer's usual one.
        clip: the largest length of the gradient, or None.

    Raises:
        TrainingError: a setting that was given, and that the optimizer has not.
    """
    choose(dict.fromkeys(NAMES), name, "optimizer")
    made = LBFGS() if searches(name) else _stepping(name, chosen, given)
    if searches(name):
        for setting in STEPPING:
            if setting in given:
                raise TrainingError(
                    f"{setting} is given, and 'lbfgs' has none: leave it out; L-BFGS finds its own steps"
                )
    return made if clip is None else ClipNorm(made, clip)


def as_used(optimizer: Any, chosen: Choices, given: Collection[str]) -> Choices:
    """Return the settings as an optimizer takes them: of one by name its own rate, and no decay where it has none.

    An optimizer that is given as an object has all its own, and a search along a line has none of them: None.
    """
    if not isinstance(optimizer, str) or searches(optimizer):
        return replace(chosen, learning_rate=None, schedule=None, weight_decay=None)
    made = _stepping(optimizer, chosen, given)
    rate = chosen.learning_rate if _takes_chosen_rate(optimizer, given) else DEFAULT_RATES[optimizer]
    return replace(chosen, learning_rate=rate, weight_decay=float(getattr(made, "decay", 0.0)))


def _takes_chosen_rate(name: str, given: Collection[str]) -> bool:
    return "learning_rate" in given or name in ("adam", "adamw")


def _stepping(name: str, chosen: Choices, given: Collection[str]) -> Optimizer:
    rate, decay = chosen.learning_rate, float(chosen.weight_decay)
    if not _takes_chosen_rate(name, given):
        rate = DEFAULT_RATES[name]
    made = get_optimizer(name, rate if hasattr(rate, "at") else get_schedule(chosen.schedule, float(rate)))
    if name == "adam":
        return AdamW(made.learning_rate, decay=decay) if decay else made
    if is_dataclass(made) and any(field.name == "decay" for field in fields(made)):
        found: Optimizer = replace(made, decay=decay)
        return found
    if "weight_decay" in given and decay:
        raise TrainingError(f"the optimizer {name!r} has no weight decay; use 'adam' or 'adamw'")
    return made
