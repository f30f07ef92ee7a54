"""Predictor: a stored graph with its arrays. What a run predicts with, what a model file holds, what may be pickled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import nn, ops
from chainrule.errors import TrainingError
from chainrule.execute import get_executor
from chainrule.graph import Graph, Type, flatten, leaf_names, make_graph
from chainrule.learn.data import require_finite
from chainrule.learn.objective import Objective
from chainrule.learn.program import types_of

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False, repr=False)
class Predictor:
    """A function of rows: ``graph`` takes the arrays and then x, and gives the output and the prediction."""

    graph: Graph
    arrays: tuple[Array, ...]
    input: Type
    names: tuple[str, ...] = field(default=())
    executor: str = "native"

    def __repr__(self) -> str:
        return f"<predictor of {self.input}: {len(self.graph)} nodes, {len(self.arrays)} arrays>"

    @classmethod
    def from_network(
        cls, objective: Objective, parameters: Any, state: Any, x: Type, executor: str = "native"
    ) -> Predictor:
        """Trace the forward computation of a network with these parameters."""
        link = nn.get_activation(objective.loss.link)

        def forward(values: Any, x: Any) -> Any:
            output = objective.network.forward(nn.Scope(values["parameters"], state=values["state"]), x)
            return {"output": output, "prediction": ops.named(link(output), name="prediction")}

        values = {"parameters": parameters, "state": state}
        graph = make_graph(forward, types_of(values), x)
        leaves, structure = flatten(values)
        names = leaf_names(structure)
        return cls(graph, tuple(np.asarray(v) for v in leaves), x, tuple(names), executor)

    def predict(self, x: Any) -> Array:
        """Return predictions, one row for each row of x."""
        return self._run(x, "prediction")

    def output(self, x: Any) -> Array:
        """Return the network's outputs, one row for each row of x."""
        return self._run(x, "output")

    def _run(self, x: Any, which: str) -> Array:
        rows = self.check(x)
        assert self.graph.gives is not None
        place = self.graph.gives.keys.index(which)
        result: Array = get_executor(self.executor).run_rows(self.graph, self.arrays, rows)[place]
        return result

    def check(self, x: Any) -> Array:
        """Return x as rows of the right width and dtype; raise TrainingError where it does not fit."""
        array = nn.as_input(x)
        wanted = ("n", *self.input.shape[1:])
        if array.ndim != self.input.rank or array.shape[1:] != self.input.shape[1:]:
            raise TrainingError(
                f"the network takes rows of shape ({', '.join(map(str, wanted))}); x has shape {array.shape}"
                + (": one row is x[None, :]" if array.ndim == self.input.rank - 1 else "")
            )
        require_finite(array, "x", before="predicting")
        wanted_dtype = np.dtype(np.float32 if self.input.dtype == "f32" else np.float64)
        if array.dtype == wanted_dtype:
            return np.ascontiguousarray(array)
        with np.errstate(over="ignore"):
            rows = np.ascontiguousarray(array.astype(wanted_dtype))
        require_finite(rows, f"x, in {rows.dtype},", before="predicting")
        return rows
