"""PyTorch: eager, with the fused optimizer, and with the whole step compiled; data and orders are tensors already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.peers.trainer import Array, Prediction, Steps, Trainer
from benchmarks.workloads import Workload

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}
BETA1, BETA2, EPSILON, MOMENTUM = 0.9, 0.999, 1e-8, 0.9
TILE = 4096


def version() -> str:
    return str(torch.__version__)


def forms(work: Workload, threads: int) -> dict[str, Callable[[], Trainer]]:
    torch.set_num_threads(threads)
    if work.kind == "train":
        return {
            "eager": lambda: Eager(work, fused=False),
            "fused": lambda: Eager(work, fused=True),
            "compile": lambda: Compiled(work),
        }
    if work.kind == "tabular":
        from benchmarks.peers import tabular_torch

        return tabular_torch.forms(work)
    if work.kind == "many":
        return {"vmap": lambda: Many(work, compiled=False), "vmap, compile": lambda: Many(work, compiled=True)}
    forms = ("eager", "compile", "jit", *(("jit, tiles",) if work.rows > TILE else ()))
    return {form: lambda form=form: Prediction(work, lambda: _predicting(work, form)) for form in forms}  # type: ignore[misc]  # bound now


def _loss(work: Workload, out: Tensor, y: Tensor) -> Tensor:
    if work.loss == "binary_cross_entropy":
        return functional.binary_cross_entropy_with_logits(out.squeeze(-1), y)
    if work.loss == "softmax_cross_entropy":
        return functional.cross_entropy(out, y)
    return 0.5 * (out - y).square().sum(1).mean()


def _data(work: Workload) -> tuple[Tensor, Tensor]:
    x, y = work.data()
    if work.loss == "binary_cross_entropy":
        y = y.astype(np.float32)
    return torch.from_numpy(x), torch.from_numpy(y)


def _network(work: Workload) -> nn.Sequential:
    layers: list[nn.Module] = []
    pairs = work.parameters()
    for number, (weight, bias) in enumerate(pairs, start=1):
        layer = nn.Linear(*weight.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight.T))
            layer.bias.copy_(torch.from_numpy(bias))
        layers.append(layer)
        if number < len(pairs) or work.activation == "sigmoid":
            layers.append(ACTIVATIONS[work.activation]())
    return nn.Sequential(*layers)


class TorchSteps(Steps):
    """Steps whose rows are given by one tensor each."""

    def prepare(self, order: Array) -> list[Tensor]:
        return list(torch.from_numpy(order.astype(np.int64)))


class Eager(TorchSteps):
    """The loop that everybody writes, on a module and an optimizer of PyTorch's own."""

    def __init__(self, work: Workload, fused: bool) -> None:
        super().__init__(work, one_by_one=True)
        self.fused = fused
        self.x, self.y = _data(work)
        self.restart()

    def restart(self) -> None:
        work = self.work
        self.network = _network(work)
        parameters = list(self.network.parameters())
        self.optimizer: Any
        if work.optimizer == "adam":
            self.optimizer = torch.optim.Adam(parameters, work.rate, fused=self.fused)
        else:
            momentum = MOMENTUM if work.optimizer == "momentum" else 0.0
            self.optimizer = torch.optim.SGD(parameters, work.rate, momentum=momentum, fused=self.fused)

    def train(self, order: list[Tensor]) -> None:
        work, network, optimizer, x, y = self.work, self.network, self.optimizer, self.x, self.y
        for rows in order:
            optimizer.zero_grad(set_to_none=True)
            _loss(work, network(x[rows]), y[rows]).backward()
            optimizer.step()

    def result(self) -> Array:
        with torch.inference_mode():
            return np.array([_loss(self.work, self.network(self.x), self.y).item()])


def _forward(work: Workload, values: tuple[Tensor, ...], x: Tensor) -> Tensor:
    last = len(values) // 2 - 1
    for number in range(last + 1):
        x = torch.addmm(values[2 * number + 1], x, values[2 * number])
        if work.activation == "sigmoid":
            x = torch.sigmoid(x)
        elif number < last:
            x = torch.relu(x)
    return x


def _update(work: Workload, values: Any, gradients: Any, means: Any, squares: Any, step: Tensor) -> None:
    """Write the new parameters and the optimizer's state in their places."""
    if work.optimizer == "adam":
        step += 1
        scale, root = 1 / (1 - BETA1**step), 1 / (1 - BETA2**step)
    for p, g, m, v in zip(values, gradients, means, squares, strict=True):
        if work.optimizer == "adam":
            m.lerp_(g, 1 - BETA1)
            v.mul_(BETA2).addcmul_(g, g, value=1 - BETA2)
            p.sub_(work.rate * (m * scale) / ((v * root).sqrt() + EPSILON))
        elif work.optimizer == "momentum":
            m.mul_(MOMENTUM).add_(g)
            p.sub_(work.rate * m)
        else:
            p.sub_(work.rate * g)


def make_compiled(work: Workload, function: Any, **options: Any) -> Any:
    """Compile by Inductor; the quick form only traces, since the C++ compiler takes half a minute."""
    if work.quick:
        return torch.compile(function, fullgraph=True, dynamic=False, backend="eager")
    return torch.compile(function, fullgraph=True, dynamic=False, **options)


class Functional(TorchSteps):
    """The whole step as one function of tensors: gather, forward, backward and update in one graph."""

    def __init__(self, work: Workload) -> None:
        super().__init__(work, one_by_one=True)
        self.x, self.y = _data(work)
        self.restart()

    def restart(self) -> None:
        self.values = tuple(torch.from_numpy(part) for pair in self.work.parameters() for part in pair)
        self.means = tuple(map(torch.zeros_like, self.values))
        self.squares = tuple(map(torch.zeros_like, self.values))
        self.count = torch.zeros(())

    def result(self) -> Array:
        return np.array([_loss(self.work, _forward(self.work, self.values, self.x), self.y).item()])


class Compiled(Functional):
    """One network; the step is compiled."""

    def __init__(self, work: Workload) -> None:
        super().__init__(work)

        def loss(values: Any, x: Tensor, y: Tensor) -> Tensor:
            return _loss(work, _forward(work, values, x), y)

        gradient = torch.func.grad(loss)

        def step(values: Any, means: Any, squares: Any, count: Tensor, x: Tensor, y: Tensor, rows: Tensor) -> None:
            _update(work, values, gradient(values, x[rows], y[rows]), means, squares, count)

        self.step = make_compiled(work, step)

    def train(self, order: list[Tensor]) -> None:
        step, rest = self.step, (self.values, self.means, self.squares, self.count, self.x, self.y)
        with torch.no_grad():
            for rows in order:
                step(*rest, rows)


class Many(Functional):
    """All networks at once: the gradient mapped over stacked parameters, the update on the stacks."""

    def __init__(self, work: Workload, compiled: bool) -> None:
        super().__init__(work)
        self.penalties = torch.from_numpy(work.penalties.astype(np.float32))

        def loss(values: Any, penalty: Tensor, x: Tensor, y: Tensor) -> Tensor:
            squares = [value.square().sum() for value in values[::2]]
            return _loss(work, _forward(work, values, x), y) + penalty * sum(squares)

        gradient = torch.func.vmap(torch.func.grad(loss), in_dims=(0, 0, None, None))

        def step(
            values: Any, means: Any, squares: Any, count: Tensor, penalties: Tensor, x: Tensor, y: Tensor, rows: Tensor
        ) -> None:
            _update(work, values, gradient(values, penalties, x[rows], y[rows]), means, squares, count)

        self.step = make_compiled(work, step) if compiled else step

    def restart(self) -> None:
        super().restart()
        nets = self.work.nets
        for name in ("values", "means", "squares"):
            setattr(self, name, tuple(v.expand(nets, *v.shape).clone() for v in getattr(self, name)))

    def train(self, order: list[Tensor]) -> None:
        step = self.step
        rest = self.values, self.means, self.squares, self.count, self.penalties, self.x, self.y
        with torch.no_grad():
            for rows in order:
                step(*rest, rows)

    def result(self) -> Array:
        losses = []
        for net in range(self.work.nets):
            values = tuple(v[net] for v in self.values)
            losses.append(_loss(self.work, _forward(self.work, values, self.x), self.y).item())
        return np.array(losses)


def _predicting(work: Workload, form: str) -> Callable[[], Any]:
    x = torch.from_numpy(work.data()[0])
    network: Any = nn.Sequential(*_network(work), nn.Sigmoid()).eval()
    network.requires_grad_(False)
    tiled = form.endswith("tiles")
    example = x[:TILE] if tiled else x
    with torch.inference_mode():
        if form == "compile":
            network = make_compiled(work, network, mode="max-autotune-no-cudagraphs")
        elif form.startswith("jit"):
            network = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(network, example)))
        for _ in range(3):
            network(example)

    def call() -> Any:
        with torch.inference_mode():
            return network(x).numpy()

    def in_tiles() -> Any:
        with torch.inference_mode():
            return torch.cat([network(tile) for tile in x.split(TILE)]).numpy()

    return in_tiles if tiled else call
