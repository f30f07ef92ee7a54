"""A training program is data, the same for every executor: a carry, settings, and three graphs.

=========  ==========================================================  =====================================
graph      takes                                                       gives
=========  ==========================================================  =====================================
measure    parameters, state, clock, settings, rows                    *sums*: loss, count, gradient, statistics
apply      carry, settings, sums                                       carry′, report
evaluate   parameters, state, settings, rows                           *sums*: loss, count
=========  ==========================================================  =====================================

Sums from several tiles, threads or machines add up; a step is one ``measure`` (or several, added) and one ``apply``.
Every learning rate, rate of dropout, λ and radius is a setting: a scalar input, so that a new value needs no new graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from chainrule.execute.order import RowOrder
from chainrule.graph import Graph

Array = np.ndarray[Any, Any]
Batch = Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Program:
    """The three graphs of a training program; ``whole_batch`` forbids cutting a batch into tiles.

    ``evaluated`` is the part of the carry that is evaluated and kept as the best: the parameters, or their average.
    """

    measure: Graph
    apply: Graph
    evaluate: Graph
    whole_batch: bool = False
    evaluated: str = "parameters"


@dataclass(frozen=True)
class Plan:
    """How the steps go: ``order(epoch)`` gives the rows of an epoch in their order; patience counts epochs."""

    epochs: int
    batch_size: int
    order: RowOrder
    patience: int | None = None
    tile_rows: int | None = None


@dataclass
class Loop:
    """Everything that a training run is in the middle of: a copy of it resumes to the same bits.

    ``carry`` is parameters, state, optimizer, multipliers and clock, and the average of the parameters where one is
    kept. ``status`` is running, done, early (patience ran out), interrupted, stopped (by a callback), non-finite, or,
    of a search, converged or stuck.
    """

    kept: dict[str, Any]
    """The carry as it was last seen outside the executor; ``carry`` is how it is now."""
    epoch: int = 0
    batch: int = 0
    step: int = 0
    epoch_loss: float = 0.0
    epoch_count: float = 0.0
    waited: int = 0
    best: Best | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    status: str = "running"
    unconverged: int = 0
    last_rate: float = 0.0
    problem: str = ""
    machine: Machine | None = None
    """The memory that an executor keeps between calls; a snapshot has none."""

    @property
    def carry(self) -> dict[str, Any]:
        """What is carried from step to step, brought up to date if the executor has it in a memory of its own."""
        if self.machine is not None:
            self.machine.settle(self)
        return self.kept

    @carry.setter
    def carry(self, carry: dict[str, Any]) -> None:
        self.kept = carry

    def release(self) -> None:
        """Take the carry out of the executor's memory, and let go of that."""
        self.kept, self.machine = self.carry, None

    def snapshot(self) -> Loop:
        """Return a copy that later steps do not change (arrays in a carry are never written in place)."""
        return replace(self, kept=self.carry, history=list(self.history), machine=None)


@dataclass(frozen=True)
class Best:
    """The parameters with the lowest validation loss so far."""

    loss: float
    epoch: int
    step: int
    parameters: Any
    state: Any


class Machine(Protocol):
    """The memory of a training run that an executor keeps."""

    def settle(self, loop: Loop) -> None:
        """Copy the carry to the loop, if it has changed since that was done."""
        ...

    def serve(
        self, program: Program, plan: Plan, settings: Mapping[str, Any], training: Batch, validation: Batch | None
    ) -> bool:
        """Get ready for another run of the same shape over the same rows; says whether this memory fits it."""
        ...


class Executor(Protocol):
    """The face that every executor has."""

    @property
    def name(self) -> str: ...

    def run(self, graph: Graph, arrays: Sequence[Any], rows: int | None = None) -> list[Array]:
        """Compute the graph's outputs."""
        ...

    def advance(
        self,
        program: Program,
        plan: Plan,
        loop: Loop,
        settings: Mapping[str, Any],
        training: Batch,
        validation: Batch | None,
        *,
        until: int | None = None,
        seconds: float | None = None,
        threads: int | None = None,
    ) -> None:
        """Go on with a training loop, until its end, a step number, or about so many seconds from now."""
        ...
