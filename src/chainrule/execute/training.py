"""Training programs on the reference executor: gather rows, measure, apply, evaluate, keep the best, stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic
from typing import Any

import numpy as np

from chainrule.errors import ExecutionError
from chainrule.execute.program import Array, Batch, Best, Loop, Plan, Program
from chainrule.execute.reference import Reference
from chainrule.graph import Backward, Graph, Node, depends_on, flatten, leaf_names, tree_map, unflatten
from chainrule.graph.structural import RESULT

EVALUATION_ROWS = 1024
"""Evaluation adds up tiles of this many rows, whatever the batch size, so that its sum has one order."""

PREDICTION_ROWS = 1024
"""Predictions are computed in tiles of so many rows."""

NOT_FOUND = "the update was not finite"
"""What is said of a step whose every value the reference finds finite."""


class TrainingReference(Reference):
    """The reference executor with training programs."""

    def __reduce__(self) -> tuple[Any, ...]:
        """An executor is one for a process: a copy, or what comes out of a pickle, is the one that is here."""
        from chainrule.execute.choice import get_executor

        return get_executor, (self.name,)

    def call(self, graph: Graph, *arguments: Any) -> Any:
        """Run a graph on nested arguments and return its nested result."""
        leaves, structure = flatten(arguments)
        if structure != graph.takes:
            raise ExecutionError(f"the graph takes {graph.takes}, it was given {structure}")
        assert graph.gives is not None
        return unflatten(graph.gives, self.run_prepared(graph, leaves))

    def prepare(self, graph: Graph) -> Callable[[Sequence[Array], int], list[Array]]:
        """Return a function of arrays of the graph's types and the number of rows."""
        return lambda arrays, rows: self.run(graph, arrays, rows)

    def run_rows(self, graph: Graph, arrays: Sequence[Any], x: Array) -> list[Array]:
        """Return the outputs for many rows of x, the last input; a row's bits do not depend on the rows beside it.

        All tiles have the same number of rows, the last one filled up: NumPy's results for a row depend on that.
        """
        parts: list[list[Array]] = []
        for start in range(0, max(len(x), 1), PREDICTION_ROWS):
            tile = x[start : start + PREDICTION_ROWS]
            count = len(tile)
            if count < PREDICTION_ROWS:
                fill = tile[:1] if count else np.zeros((1, *x.shape[1:]), x.dtype)
                tile = np.concatenate([tile, np.repeat(fill, PREDICTION_ROWS - count, axis=0)])
            try:
                parts.append([o[:count] for o in self.run_prepared(graph, [*arrays, tile], row_by_row=True)])
            except ExecutionError:
                self.run(graph, [*arrays, x])  # which names the row by its number among all of them
                raise
        return parts[0] if len(parts) == 1 else [np.concatenate(p) for p in zip(*parts, strict=True)]

    def measure(
        self, program: Program, carry: Mapping[str, Any], settings: Any, batch: Batch, tile_rows: int | None
    ) -> Any:
        """Return the sums over a batch, added up over its tiles in order."""
        count = len(batch["x"])
        size = count if program.whole_batch or not tile_rows else tile_rows
        total = None
        for tile in tiles(batch, size):
            sums = self.call(program.measure, carry["parameters"], carry["state"], carry["clock"], settings, tile)
            with np.errstate(over="ignore", invalid="ignore"):  # a sum that is not finite stops the run, by name
                total = sums if total is None else tree_map(np.add, total, sums)
        return total

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
        begun, stepped = monotonic(), False
        while loop.status == "running":
            if loop.epoch >= plan.epochs:
                loop.status = "done"
                return
            order = plan.order(loop.epoch)
            while loop.batch * plan.batch_size < len(order):
                if until is not None and loop.step >= until:
                    return
                if seconds is not None and stepped and monotonic() - begun > seconds:  # a slice has at least one step
                    return
                rows = order[loop.batch * plan.batch_size : (loop.batch + 1) * plan.batch_size]
                self._step(program, plan, loop, settings, gather(training, rows))
                stepped = True
                if loop.status != "running":
                    return
            self.end_epoch(program, plan, loop, settings, validation)

    def _step(self, program: Program, plan: Plan, loop: Loop, settings: Mapping[str, Any], batch: Batch) -> None:
        sums = self.measure(program, loop.carry, settings, batch, plan.tile_rows)
        carry, report = self.call(program.apply, loop.carry, settings, sums)
        if not report["finite"]:
            # The carry is not replaced: the last finite parameters stand.
            loop.status = "non-finite"
            loop.problem = self.blame(program, loop, settings, batch, sums, plan.tile_rows)
            return
        loop.carry = carry
        loop.unconverged += not report["converged"]
        loop.epoch_loss += float(sums["loss"])
        loop.epoch_count += float(sums["count"])
        loop.step += 1
        loop.batch += 1
        loop.last_rate = float(report["learning_rate"])

    def end_epoch(
        self, program: Program, plan: Plan, loop: Loop, settings: Mapping[str, Any], validation: Batch | None
    ) -> None:
        """Evaluate, keep the best, note the epoch in the history, and stop where patience has run out."""
        entry = {"epoch": loop.epoch + 1, "step": loop.step, "loss": loop.epoch_loss / loop.epoch_count}
        if validation is not None:
            looked_at, state = loop.carry[program.evaluated], loop.carry["state"]
            loss = self.evaluate(program, looked_at, state, settings, validation)
            entry["validation_loss"] = loss
            if loop.best is None or loss < loop.best.loss or np.isnan(loop.best.loss):
                loop.best = Best(loss, loop.epoch + 1, loop.step, looked_at, state)
                loop.waited = 0
            else:
                loop.waited += 1
        entry["learning_rate"] = loop.last_rate
        loop.history.append(entry)
        loop.epoch, loop.batch, loop.epoch_loss, loop.epoch_count = loop.epoch + 1, 0, 0.0, 0.0
        if plan.patience is not None and loop.waited >= plan.patience:
            loop.status = "early"

    def evaluate(self, program: Program, parameters: Any, state: Any, settings: Any, batch: Batch) -> float:
        """Return the mean loss over rows, with dropout off and running statistics."""
        loss = count = 0.0
        for tile in tiles(batch, EVALUATION_ROWS):
            sums = self.call(program.evaluate, parameters, state, settings, tile)
            loss, count = loss + float(sums["loss"]), count + float(sums["count"])
        return loss / count

    def blame(self, program: Program, loop: Loop, settings: Any, batch: Batch, sums: Any, tile_rows: int | None) -> str:
        """Replay the bad step, unsimplified, and name the first operation whose result is not finite."""
        carry = loop.carry
        size = len(batch["x"]) if program.whole_batch or not tile_rows else tile_rows
        for tile in tiles(batch, size):
            inputs, _ = flatten((carry["parameters"], carry["state"], carry["clock"], settings, tile))
            if found := self._first_non_finite(program.measure, inputs):
                node, word = found
                return f"{describe(node, program.measure)} gave {word}"
        if not all(np.all(np.isfinite(total)) for total in flatten(sums)[0]):
            return "a sum over the batch overflowed"
        inputs, _ = flatten((carry, settings, sums))
        found = self._first_non_finite(program.apply, inputs)
        if not found:
            return NOT_FOUND
        node, word = found
        return f"in the update{updated_by(node, program.apply)}, {operation(node)} gave {word}"

    def _first_non_finite(self, graph: Graph, inputs: Sequence[Array]) -> tuple[Node, str] | None:
        """Return the first value computed from the inputs that is not finite, and what it is."""
        values = self.run_all(graph, inputs)
        given = set(graph.inputs)
        computed = depends_on(graph.outputs, graph.inputs)
        for node in graph.nodes:
            value = values[node]
            if node not in computed or node in given or isinstance(value, tuple) or value.dtype.kind != "f":
                continue
            if not np.all(np.isfinite(value)):
                return node, "NaN" if np.any(np.isnan(value)) else "infinite"
        return None


def gather(arrays: Batch, rows: Array) -> dict[str, Array]:
    """Return a batch of rows with their positions in it."""
    batch = {k: v[rows] for k, v in arrays.items()}
    batch["position"] = np.arange(len(rows), dtype=np.uint32)
    return batch


def tiles(arrays: Batch, size: int) -> Iterator[dict[str, Array]]:
    """Cut rows into tiles of a fixed size (the last may be shorter), with their positions."""
    count = len(arrays["x"])
    for start in range(0, count, size):
        tile = {k: v[start : start + size] for k, v in arrays.items()}
        tile.setdefault("position", np.arange(start, min(start + size, count), dtype=np.uint32))
        yield tile


def operation(node: Node) -> str:
    """Return the name of a node's operation; a result of a loop goes by the loop's name."""
    return node.operands[0].op.name if node.op is RESULT else node.op.name


def describe(node: Node, graph: Graph) -> str:
    """Say which operation of which layer a node is."""
    backward = ""
    source = node
    while isinstance(source.provenance, Backward):
        source = source.provenance.of
        backward = "the backward computation of "
    layer = layer_of(source, graph)
    return f"{backward}{operation(source)}" + (f" in layer {layer!r}" if layer else " in the loss")


def updated_by(node: Node, graph: Graph) -> str:
    """Say which parameter (or what else that is carried) a node of an update changes, where it is one."""
    assert graph.gives is not None
    reached = depends_on(graph.outputs, [node])
    carried = [
        (name.removeprefix("0."), output in reached)
        for name, output in zip(leaf_names(graph.gives), graph.outputs, strict=True)
        if name.startswith("0.")
    ]
    for part in ("parameters", "state", "optimizer"):
        names = [(name.removeprefix(part).lstrip("."), hit) for name, hit in carried if name.startswith(part)]
        hits = [name for name, hit in names if hit]
        if hits:
            return f" of {hits[0]!r}" if hits[0] and len(hits) == 1 else ""
    return ""


def layer_of(node: Node, graph: Graph) -> str:
    """Return the layer that a forward node belongs to: that of the nearest named value that is computed from it."""
    reached = {node}
    for later in graph.nodes:
        if later is node or any(o in reached for o in later.operands):
            if later.op.name == "named":
                return str(later.attributes["name"]).rpartition(".")[0]
            reached.add(later)
    return ""


EXECUTOR = TrainingReference()
