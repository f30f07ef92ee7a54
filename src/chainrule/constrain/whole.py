"""An objective over the whole data: its smooth part, the gradient of that, and the step that is projected."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.execute import get_executor
from chainrule.graph import Graph, depends_on, flatten, make_graph, tree_map, unflatten
from chainrule.learn.objective import Objective, part
from chainrule.learn.optimizers import Metric, move
from chainrule.learn.program import gradient_of, rows_type, types_of
from chainrule.learn.projection import project
from chainrule.learn.protocols import Proximal
from chainrule.learn.treatment import EVEN, Treatment
from chainrule.nn import Scope

Array = np.ndarray[Any, Any]
TILE = 8192
"""Rows are measured in tiles of so many, whose sums are added up."""


class Whole:
    """F and its gradient over all rows, as one predicts: dropout off, running statistics.

    ``smooth(θ)`` is F(θ) + the smooth penalties, with the gradient by what is trained; ``rough(θ)`` is the penalties
    that are not smooth, and ``stepped`` a step with all that follows it.
    """

    def __init__(
        self,
        objective: Objective,
        parameters: Any,
        state: Any,
        settings: Mapping[str, Any],
        rows: Mapping[str, Array],
        treatment: Treatment = EVEN,
        executor: str = "reference",
    ) -> None:
        self.objective, self.treatment, self.rows = objective, treatment, dict(rows)
        self.start, self.state, self.settings = parameters, state, dict(settings)
        self.executor: Any = get_executor(executor)

    def _losses(self, trained: Any, everything: Any, state: Any, settings: Any, batch: Any, **more: Any) -> Any:
        parameters = self.treatment.merged(everything, trained)
        scope = Scope(parameters, state=state, settings=settings, **more)
        return ops.sum_(self.objective.row_losses(scope, batch["x"], batch["y"]) * batch["weight"])

    @cached_property
    def _sums(self) -> Graph:
        def sums(trained: Any, everything: Any, state: Any, settings: Any, batch: Any) -> Any:
            loss = self._losses(trained, everything, state, settings, batch)
            return {"loss": loss, "gradient": gradient_of(loss, trained)}

        return make_graph(sums, *self._types, {k: rows_type(v) for k, v in self.rows.items()})

    @property
    def _types(self) -> tuple[Any, ...]:
        trained = self.treatment.trained(self.start)
        return tuple(types_of(tree) for tree in (trained, self.start, self.state, self.settings))

    @property
    def is_drawn(self) -> bool:
        """Does the loss depend on random numbers in training (dropout)?"""

        def drawn(trained: Any, everything: Any, state: Any, settings: Any, batch: Any, key: Any) -> Any:
            return self._losses(
                trained, everything, state, settings, batch, training=True, key=key,
                rows=ops.cast(0.0 * batch["weight"], dtype="u32"),
            )  # fmt: skip

        batch = {k: rows_type(v) for k, v in self.rows.items()}
        graph = make_graph(drawn, *self._types, batch, types_of(ops.key(0)))
        keys = graph.inputs[-len(flatten(types_of(ops.key(0)))[0]) :]
        reached = depends_on(graph.outputs, keys)
        return any(output in reached for output in graph.outputs)

    @cached_property
    def _penalties(self) -> Graph:
        """The graph of the penalties' values, smooth and other, and the gradient of the smooth ones."""

        def values(trained: Any, everything: Any, settings: Any) -> Any:
            parameters = self.treatment.merged(everything, trained)
            smooth: Any = 0.0 * ops.sum_(flatten(trained)[0][0])
            rough = smooth
            for i, penalty in enumerate(self.objective.penalty, 1):
                value = penalty.value(parameters, part(settings, f"penalty{i}"))
                smooth, rough = (smooth, rough + value) if isinstance(penalty, Proximal) else (smooth + value, rough)
            return {"smooth": smooth, "rough": rough, "gradient": gradient_of(smooth, trained)}

        trained, everything, _, settings = self._types
        return make_graph(values, trained, everything, settings)

    @cached_property
    def _step(self) -> Graph:
        def step(trained: Any, direction: Any, size: Any, settings: Any) -> Any:
            metric = Metric("scalar", size)
            return project(self.objective, move(trained, direction, metric), metric, settings)

        trained, _, _, settings = self._types
        size = types_of(np.zeros((), flatten(self.start)[0][0].dtype))
        return make_graph(step, trained, trained, size, settings)

    def _call(self, graph: Graph, *arguments: Any) -> Any:
        assert graph.gives is not None
        return unflatten(graph.gives, self.executor.run(graph, flatten(arguments)[0]))

    def data_loss(self, trained: Any) -> tuple[float, Any]:
        """Return F and its gradient, penalties left out."""
        count = len(self.rows["x"])
        total: Any = None
        for at in range(0, count, TILE):
            batch = {k: v[at : at + TILE] for k, v in self.rows.items()}
            assert self._sums.gives is not None
            leaves = flatten((trained, self.start, self.state, self.settings, batch))[0]
            sums = unflatten(self._sums.gives, self.executor.run(self._sums, leaves, len(batch["x"])))
            total = sums if total is None else tree_map(np.add, total, sums)
        return float(total["loss"]) / count, tree_map(lambda g: g / count, total["gradient"])

    def smooth(self, trained: Any) -> tuple[float, Any]:
        """Return F plus the smooth penalties, and the gradient."""
        return self.with_penalties(trained, *self.data_loss(trained))

    def with_penalties(self, trained: Any, value: float, gradient: Any) -> tuple[float, Any]:
        """Return F and its gradient with those of the smooth penalties added."""
        if not self.objective.penalty:
            return value, gradient
        found = self._call(self._penalties, trained, self.start, self.settings)
        return value + float(found["smooth"]), tree_map(np.add, gradient, found["gradient"])

    def rough(self, trained: Any) -> float:
        """Return the penalties that are not smooth."""
        if not self.objective.penalty:
            return 0.0
        return float(self._call(self._penalties, trained, self.start, self.settings)["rough"])

    def stepped(self, trained: Any, direction: Any, size: float) -> tuple[Any, bool]:
        """Return Π(θ − size · direction), proximal steps included, and whether that was found."""
        dtype = flatten(self.start)[0][0].dtype
        after, converged = self._call(self._step, trained, direction, np.asarray(size, dtype), self.settings)
        return after, bool(converged)


def dot(a: Any, b: Any) -> float:
    """Return ⟨a, b⟩ over nested arrays."""
    return sum(float(np.sum(x * y, dtype=np.float64)) for x, y in zip(flatten(a)[0], flatten(b)[0], strict=True))


def length(a: Any) -> float:
    """Return ‖a‖₂ of nested arrays."""
    return float(np.sqrt(dot(a, a)))
