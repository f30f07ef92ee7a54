"""Workload (g) by chainrule: the layers of ``cr.nn``, ``cr.fit`` with factors for each parameter, and schedules."""

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule as cr
from benchmarks import tabular
from benchmarks.peers.ours import Fit, loss_of
from benchmarks.peers.trainer import Array
from benchmarks.workloads import Workload

FRONT = {
    "frequency": "concatenate1.periodic1.frequency",
    "phase": "concatenate1.periodic1.phase",
    "mixing": "concatenate1.periodic1.weight",
    "offset": "concatenate1.periodic1.bias",
    "table": "concatenate1.embedding1.weight",
    "gain": "scale1.gain",
}
KINDS = {"weight": "weight", "bias": "bias", "strength": "activation.strength"}


def network_of(work: Workload) -> Any:
    nn, numbers = cr.nn, len(tabular.NUMBERS)
    front = nn.Concatenate(
        nn.Columns(slice(0, numbers), nn.Periodic(tabular.WAVES, tabular.PER_NUMBER - 1)),
        nn.Columns(slice(numbers, tabular.FLOATS)),
        nn.Columns(slice(tabular.FLOATS, None), nn.Embedding(tabular.COUNTS, tabular.PER_CODE)),
    )
    hidden: list[Any] = []
    for units in work.shape[1:-1]:
        hidden += [nn.Dense(units, activation=nn.Parametric(work.activation)), nn.Dropout(tabular.DROPOUT)]
    return nn.Sequential(front, nn.Scale(), *hidden, nn.Dense(work.shape[-1]))


def full_name(work: Workload, short: str) -> str:
    """Return what chainrule calls a parameter."""
    if short in FRONT:
        return FRONT[short]
    kind, number = short.rstrip("0123456789"), int(short[len(short.rstrip("0123456789")) :])
    return f"{'output' if number == len(work.shape) - 1 else f'hidden{number}'}.{KINDS[kind]}"


class Tabular(Fit):
    """The settings that follow a schedule are the learning rate, the decay, and the rate of each dropout."""

    def __init__(self, work: Workload) -> None:
        super(Fit, self).__init__(work)
        learn, steps = cr.learn, tabular.total_steps(work)
        loss = cr.nn.losses.SoftmaxCrossEntropy(smoothing=tabular.SMOOTHING)
        self.objective = cr.Objective(network_of(work), loss)
        self.data = work.data()
        parts = {full_name(work, short): part for short, part in tabular.parts(work).items()}
        dropouts = [f"dropout{number}.rate" for number in range(1, len(work.shape) - 1)]
        decay = {"decay": learn.FlatCosine(tabular.DECAY, steps)}
        self.options: dict[str, Any] = {
            "optimizer": learn.AdamW(
                learn.CosLog4(work.rate, steps), tabular.BETA1, tabular.BETA2, tabular.EPSILON, tabular.DECAY
            ),
            "batch_size": work.batch,
            "parameters": {name: part.value for name, part in parts.items()},
            "rate_factors": {name: part.rate for name, part in parts.items() if part.rate != 1.0},
            "decay_factors": {name: part.decay for name, part in parts.items() if part.decay != 1.0},
            "settings": decay | dict.fromkeys(dropouts, learn.FlatCosine(tabular.DROPOUT, steps)),
        }
        self.without_dropout = self.options | {"settings": decay | dict.fromkeys(dropouts, 0.0)}

    def check(self) -> Array:
        """What is compared has a rate of 0 in its dropout layers: nobody draws the random numbers of another."""
        epochs = -(-self.work.check * self.work.batch // self.work.rows)
        run = cr.fit(self.objective, self.data, epochs=epochs, **self.without_dropout)
        return np.array([loss_of(self.objective, run.at(self.work.check).parameters, self.data)])
