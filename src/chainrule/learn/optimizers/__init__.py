"""Optimizers: one file a kind; ``get_optimizer`` knows them by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule.learn.optimizers.adam import Adam, AdamW
from chainrule.learn.optimizers.adaptive import Adagrad, RMSprop
from chainrule.learn.optimizers.base import Metric, Optimizer, count, decayed, first, float_name, move, rated
from chainrule.learn.optimizers.clipping import ClipNorm, ClipValue, clip_share
from chainrule.learn.optimizers.descent import SGD
from chainrule.learn.optimizers.lbfgs import LBFGS
from chainrule.learn.optimizers.lion import Lion
from chainrule.nn.activations import choose

OPTIMIZERS: Mapping[str, Any] = {
    "sgd": lambda rate: SGD(rate),
    "momentum": lambda rate: SGD(rate, momentum=0.9),
    "adam": lambda rate: Adam(rate),
    "adamw": lambda rate: AdamW(rate),
    "nesterov": lambda rate: SGD(rate, momentum=0.9, nesterov=True),
    "rmsprop": lambda rate: RMSprop(rate),
    "adagrad": lambda rate: Adagrad(rate),
    "lion": lambda rate: Lion(rate),
}
DEFAULT_RATES: Mapping[str, float] = {
    "sgd": 0.1,
    "momentum": 0.02,
    "adam": 0.003,
    "adamw": 0.003,
    "nesterov": 0.02,
    "rmsprop": 0.003,
    "adagrad": 0.03,
    "lion": 0.0003,
}


def get_optimizer(name: str, rate: Any = None) -> Optimizer:
    """Return an optimizer by name, such as adam or nesterov, with its usual learning rate where none is given."""
    make = choose(OPTIMIZERS, name, "optimizer")
    found: Optimizer = make(DEFAULT_RATES[name] if rate is None else rate)
    return found


__all__ = [
    "DEFAULT_RATES",
    "LBFGS",
    "OPTIMIZERS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "ClipNorm",
    "ClipValue",
    "Lion",
    "Metric",
    "Optimizer",
    "RMSprop",
    "clip_share",
    "count",
    "decayed",
    "first",
    "float_name",
    "get_optimizer",
    "move",
    "rated",
]
