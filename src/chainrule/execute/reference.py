"""The reference executor: a plain loop over a graph's nodes in NumPy. It is the judge of every other executor.

It is written to be obviously right and is never optimized beyond looking attributes up once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from chainrule.errors import ChainruleError, ExecutionError
from chainrule.graph import Graph, Node, Rows, refuse_free, simplify, where_made
from chainrule.graph.structural import INPUT
from chainrule.graph.types import DTYPES, resolve_dim, show_shape

Array = np.ndarray[Any, Any]


class Reference:
    """Runs graphs with each operation's own ``evaluate``."""

    name = "reference"

    def __init__(self) -> None:
        self._prepared: dict[bool, WeakKeyDictionary[Graph, _Prepared]] = {
            row_by_row: WeakKeyDictionary() for row_by_row in (False, True)
        }

    def run(self, graph: Graph, arrays: Sequence[Any], rows: int | None = None) -> list[Array]:
        """Return the graph's outputs for the given inputs.

        The number of rows ``n`` is read off the inputs, or given where no input tells it. Raises ExecutionError where
        an input does not have the graph's type, naming the input.
        """
        values = self.run_all(graph, arrays, rows)
        return [values[o] for o in graph.outputs]

    def run_all(self, graph: Graph, arrays: Sequence[Any], rows: int | None = None) -> dict[Node, Any]:
        """Return the value of every node: what an explanation, and the search for a first NaN, read."""
        refuse_free(graph)
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
            place = where_made(node)
            raise type(error)(f"{error} (made at {place})" if place else str(error)) from None

    def run_prepared(
        self, graph: Graph, arrays: Sequence[Any], row_by_row: bool = False, rows: int | None = None
    ) -> list[Array]:
        """Return the same bits as ``run``, for a graph that is run again and again: simplified once, then looped over.

        With ``row_by_row`` every row of a product X W is a product of its own, so that its bits do not depend on the
        rows beside it. (A BLAS picks kernels by shape and by place in the matrix, and they round differently.)
        """
        known = self._prepared[row_by_row]
        prepared = known.get(graph)
        if prepared is None:
            refuse_free(graph)
            prepared = known[graph] = _Prepared(simplify(graph)[0], row_by_row)
        given = [np.asarray(a) for a in arrays]
        n = bind_rows(graph, given, rows)
        steps = prepared.steps(n)
        values: list[Any] = [*given, *[None] * len(steps)]

        def run_body(body: Graph, inner: Sequence[Any]) -> list[Array]:
            return self.run_prepared(body, inner, row_by_row, n)

        with np.errstate(all="ignore"):
            for place, (evaluate, operands, attributes, is_region) in enumerate(steps, start=len(given)):
                if is_region:
                    values[place] = evaluate(run_body, *[values[i] for i in operands], **attributes)
                else:
                    values[place] = evaluate(*[values[i] for i in operands], **attributes)
        return [values[i] for i in prepared.outputs]


class _Prepared:
    """A simplified graph as a list of calls, with operands as places in a list of values."""

    def __init__(self, graph: Graph, row_by_row: bool) -> None:
        self.graph = graph
        self.row_by_row = row_by_row
        self.place = {node: i for i, node in enumerate([*graph.inputs, *graph.nodes[len(graph.inputs) :]])}
        self.outputs = [self.place[o] for o in graph.outputs]
        self._steps: dict[int | None, list[tuple[Any, list[int], Mapping[str, Any], bool]]] = {}

    def steps(self, n: int | None) -> list[tuple[Any, list[int], Mapping[str, Any], bool]]:
        steps = self._steps.get(n)
        if steps is None:
            if len(self._steps) >= 8:  # batches come in few sizes; a caller with many must not fill the memory
                self._steps.clear()
            steps = self._steps[n] = [
                (
                    self._evaluate_of(node),
                    [self.place[o] for o in node.operands],
                    resolve_attributes(node.attributes, n),
                    node.op.kind == "region",
                )
                for node in self.graph.nodes[len(self.graph.inputs) :]
            ]
        return steps  # another thread may have cleared the table meanwhile

    def _evaluate_of(self, node: Node) -> Any:
        if self.row_by_row and node.op.name == "matmul" and any(isinstance(d, Rows) for d in node.shape[:-1]):
            return _matmul_row_by_row
        return node.op.evaluate


def _matmul_row_by_row(a: Array, b: Array) -> Array:
    product: Array = np.matmul(np.ascontiguousarray(a)[..., None, :], b[..., None, :, :])
    return product[..., 0, :]


def resolve_attributes(attributes: Mapping[str, Any], n: int | None) -> Mapping[str, Any]:
    """Put the number of rows into the attributes that name it."""
    if not any(isinstance(d, Rows) for v in attributes.values() for d in (v if isinstance(v, tuple) else (v,))):
        return attributes

    def resolved(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(resolved, value))
        return resolve_dim(value, n) if isinstance(value, Rows) else value

    return {k: resolved(v) for k, v in attributes.items()}


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
                        f"the input {label} is {_type_text(array)}, the graph takes {kind} "
                        f"with n = {n or 'a whole number'}"
                    )
                n = found
    return n


def _type_text(array: Array) -> str:
    return f"{array.dtype}[{show_shape(array.shape)}]"
