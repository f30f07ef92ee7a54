"""The reference executor: a plain loop over a graph's nodes in NumPy. It is the judge of every other executor.

It is written to be obviously right and is never optimized beyond looking attributes up once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ChainruleError, ExecutionError
from chainrule.graph import Graph, Node, Rows, where_made
from chainrule.graph.structural import INPUT
from chainrule.graph.types import DTYPES, resolve_dim, show_shape

Array = np.ndarray[Any, Any]


class Reference:
    """Runs graphs with each operation's own ``evaluate``."""

    name = "reference"

    def run(self, graph: Graph, arrays: Sequence[Any], rows: int | None = None) -> list[Array]:
        """Return the graph's outputs for the given inputs.

        The number of rows ``n`` is read off the inputs, or given where no input tells it. Raises ExecutionError where an
        input does not have the graph's type, naming the input.
        """
        values = self.run_all(graph, arrays, rows)
        return [values[o] for o in graph.outputs]

    def run_all(self, graph: Graph, arrays: Sequence[Any], rows: int | None = None) -> dict[Node, Any]:
        """Return the value of every node: what an explanation, and the search for a first NaN, read."""
        if graph.free:
            label = graph.free[0].attributes["label"]
            raise ExecutionError(
                f"the graph reads {label!r}, a traced value of another function; a traced value cannot be used after the "
                "function that it belongs to has returned"
            )
        given = [np.asarray(a) for a in arrays]
        n = bind_rows(graph, given, rows)
        values: dict[Node, Any] = dict(zip(graph.inputs, given, strict=True))
        with np.errstate(all="ignore"):
            for node in graph.nodes:
                if node not in values:
                    values[node] = self._evaluate(node, [values[o] for o in node.operands], n)
        return values

    def _evaluate(self, node: Node, operands: Sequence[Any], n: int | None) -> Any:
        attributes = resolve_attributes(node.attributes, n)
        try:
            if node.op.kind == "region":
                return node.op.evaluate(lambda graph, inner: self.run(graph, inner, n), *operands, **attributes)
            return node.op.evaluate(*operands, **attributes)
        except ChainruleError as error:
            raise type(error)(f"{error} (made at {where_made(node)})") from None


def resolve_attributes(attributes: Mapping[str, Any], n: int | None) -> Mapping[str, Any]:
    """Put the number of rows into the attributes that name it."""
    if not any(isinstance(v, tuple) and any(isinstance(d, Rows) for d in v) for v in attributes.values()):
        return attributes
    return {
        k: tuple(resolve_dim(d, n) if isinstance(d, Rows) else d for d in v) if isinstance(v, tuple) else v
        for k, v in attributes.items()
    }


def bind_rows(graph: Graph, arrays: Sequence[Array], rows: int | None = None) -> int | None:
    """Check the inputs against the graph's types and return the number of rows that they agree on."""
    if len(arrays) != len(graph.inputs):
        raise ExecutionError(f"the graph takes {len(graph.inputs)} inputs, {len(arrays)} were given")
    n = rows
    for node, array in zip(graph.inputs, arrays, strict=True):
        kind, label = node.type, node.attributes["label"] if node.op is INPUT else node.op.name
        if array.dtype != DTYPES[kind.dtype] or array.ndim != kind.rank:
            raise ExecutionError(f"the input {label} is {_type_text(array)}, the graph takes {kind}")
        for dim, actual in zip(kind.shape, array.shape, strict=True):
            if isinstance(dim, int):
                if dim != actual:
                    raise ExecutionError(f"the input {label} is {_type_text(array)}, the graph takes {kind}")
            else:
                found, rest = divmod(actual, dim.multiple)
                if rest or (n is not None and found != n):
                    raise ExecutionError(
                        f"the input {label} is {_type_text(array)}, the graph takes {kind} with n = {n or 'a whole number'}"
                    )
                n = found
    return n


def _type_text(array: Array) -> str:
    return f"{array.dtype}[{show_shape(array.shape)}]"


REFERENCE = Reference()
