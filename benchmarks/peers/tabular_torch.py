"""Workload (g) by PyTorch: a module with its optimizers, the module compiled, and the whole step compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import tabular
from benchmarks.peers.torch_ import TorchSteps, make_compiled
from benchmarks.peers.trainer import Array, Trainer
from benchmarks.workloads import Workload

TWO_PI = 2 * np.pi


def forms(work: Workload) -> dict[str, Callable[[], Trainer]]:
    return {
        "eager": lambda: Module(work, fused=False),
        "fused": lambda: Module(work, fused=True),
        "compile, fused": lambda: Module(work, fused=True, compiled=True),
        "compile": lambda: Whole(work),
    }


def forward(
    values: dict[str, Tensor], depth: int, floats: Tensor, codes: Tensor, drop: Callable[[Tensor], Tensor]
) -> Tensor:
    """The network as a function of its parameters; ``drop`` is the dropout."""
    numbers = floats[:, : len(tabular.NUMBERS), None]
    waves = torch.cos(numbers * (TWO_PI * values["frequency"]) + values["phase"])
    mixed = torch.einsum("nfw,fwu->nfu", waves, values["mixing"]) + values["offset"]
    periodic = torch.cat([numbers, mixed], 2).flatten(1)
    known = functional.embedding(codes, values["table"]).flatten(1)
    x = torch.cat([periodic, floats[:, len(tabular.NUMBERS) :], known], 1) * values["gain"]
    for number in range(1, depth):
        x = torch.addmm(values[f"bias{number}"], x, values[f"weight{number}"])
        x = drop(x + values[f"strength{number}"] * (functional.selu(x) - x))
    return torch.addmm(values[f"bias{depth}"], x, values[f"weight{depth}"])


def loss_of(out: Tensor, y: Tensor) -> Tensor:
    return functional.cross_entropy(out, y, label_smoothing=tabular.SMOOTHING)


class Network(nn.Module):
    """The parameters and the rate of the dropout, which changes from step to step."""

    def __init__(self, work: Workload) -> None:
        super().__init__()
        self.depth, self.rate = len(work.shape) - 1, 0.0
        self.values = nn.ParameterDict({k: torch.from_numpy(p.value) for k, p in tabular.parts(work).items()})

    def forward(self, floats: Tensor, codes: Tensor, rate: Tensor | None = None) -> Tensor:
        def drop(x: Tensor) -> Tensor:
            if not self.training:
                return x
            # A rate that is a tensor does not compile anew when it changes.
            return functional.dropout(x, self.rate) if rate is None else masked(x, rate)

        return forward(self.values, self.depth, floats, codes, drop)


def masked(x: Tensor, rate: Tensor) -> Tensor:
    return torch.where(torch.rand_like(x) >= rate, x * (1 / (1 - rate)), 0.0)


class TabularSteps(TorchSteps):
    """Steps that count on from the first one, with the schedules as lists."""

    def __init__(self, work: Workload) -> None:
        super().__init__(work, one_by_one=True)
        x, y = work.data()
        self.floats, self.codes = map(torch.from_numpy, tabular.split(x))
        self.y = torch.from_numpy(y)
        self.parts = tabular.parts(work)
        self.schedule = [tabular.schedule(work, step) for step in range(tabular.total_steps(work))]
        self.dropout = tabular.DROPOUT
        self.restart()

    def restart(self) -> None:
        self.step = 0

    def check(self) -> Array:
        """Dropout is there, with a rate of 0."""
        self.dropout = 0.0
        found = super().check()
        self.dropout = tabular.DROPOUT
        return found

    def rates(self) -> tuple[float, float, float]:
        """Return the learning rate, the decay and the rate of the dropout of this step; go on to the next one."""
        rate, falling = self.schedule[self.step % len(self.schedule)]  # the run begins anew where it ends
        self.step += 1
        return rate, falling * tabular.DECAY, falling * self.dropout


class Module(TabularSteps):
    """The loop that everybody writes, with a group of the optimizer for each pair of factors."""

    def __init__(self, work: Workload, fused: bool, compiled: bool = False) -> None:
        self.fused, self.compiled = fused, compiled
        super().__init__(work)

    def restart(self) -> None:
        super().restart()
        self.network = Network(self.work)
        self.call = make_compiled(self.work, self.network) if self.compiled else self.network
        grouped: dict[tuple[float, float], list[Any]] = {}
        for name, part in self.parts.items():
            grouped.setdefault((part.rate, part.decay), []).append(self.network.values[name])
        self.factors = list(grouped)
        self.optimizer = torch.optim.AdamW(
            [{"params": members} for members in grouped.values()], lr=0.0, betas=(tabular.BETA1, tabular.BETA2),
            eps=tabular.EPSILON, weight_decay=0.0, fused=self.fused,
        )  # fmt: skip

    def train(self, order: list[Tensor]) -> None:
        call, optimizer, network = self.call, self.optimizer, self.network
        floats, codes, y = self.floats, self.codes, self.y
        for rows in order:
            rate, decay, dropout = self.rates()
            for group, (factor, kept) in zip(optimizer.param_groups, self.factors, strict=True):
                group["lr"], group["weight_decay"] = rate * factor, decay * kept
            optimizer.zero_grad(set_to_none=True)
            if self.compiled:
                out = call(floats[rows], codes[rows], torch.tensor(dropout))
            else:
                network.rate = dropout
                out = call(floats[rows], codes[rows])
            loss_of(out, y[rows]).backward()
            optimizer.step()

    def result(self) -> Array:
        with torch.inference_mode():
            out = self.network.eval()(self.floats, self.codes)
            self.network.train()
            return np.array([loss_of(out, self.y).item()])


class Whole(TabularSteps):
    """Gather, forward, backward and update in one compiled function of tensors."""

    def __init__(self, work: Workload) -> None:
        super().__init__(work)
        depth, factors = len(work.shape) - 1, {name: (part.rate, part.decay) for name, part in self.parts.items()}

        def loss(values: Any, floats: Tensor, codes: Tensor, y: Tensor, rate: Tensor) -> Tensor:
            return loss_of(forward(values, depth, floats, codes, lambda x: masked(x, rate)), y)

        gradient = torch.func.grad(loss)

        def step(
            values: Any,
            means: Any,
            squares: Any,
            numbers: Tensor,
            floats: Tensor,
            codes: Tensor,
            y: Tensor,
            rows: Tensor,
        ) -> None:
            count, rate, decay, dropout = numbers.unbind()
            found = gradient(values, floats[rows], codes[rows], y[rows], dropout)
            scale, root = 1 / (1 - tabular.BETA1**count), 1 / (1 - tabular.BETA2**count)
            for name, (own_rate, own_decay) in factors.items():
                p, g, m, v = values[name], found[name], means[name], squares[name]
                m.lerp_(g, 1 - tabular.BETA1)
                v.mul_(tabular.BETA2).addcmul_(g, g, value=1 - tabular.BETA2)
                moved = (m * scale) / ((v * root).sqrt() + tabular.EPSILON) + (decay * own_decay) * p
                p.sub_(rate * own_rate * moved)

        self.function = make_compiled(work, step)

    def restart(self) -> None:
        super().restart()
        self.values = {name: torch.from_numpy(part.value.copy()) for name, part in self.parts.items()}
        self.means = {name: torch.zeros_like(value) for name, value in self.values.items()}
        self.squares = {name: torch.zeros_like(value) for name, value in self.values.items()}
        self.count = 0

    def train(self, order: list[Tensor]) -> None:
        rest = self.floats, self.codes, self.y
        with torch.no_grad():
            for rows in order:
                self.count += 1
                numbers = torch.tensor((float(self.count), *self.rates()))
                self.function(self.values, self.means, self.squares, numbers, *rest, rows)

    def result(self) -> Array:
        with torch.inference_mode():
            depth = len(self.work.shape) - 1
            return np.array([loss_of(forward(self.values, depth, self.floats, self.codes, lambda x: x), self.y).item()])
