"""A compiled graph as a function of arrays."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ExecutionError
from chainrule.execute.native import conductor, link
from chainrule.execute.native.arena import Buffers, Linked
from chainrule.execute.native.code import Code
from chainrule.execute.native.compile import Compiler
from chainrule.execute.native.settings import debugging, vector_bytes
from chainrule.execute.reference import bind_rows
from chainrule.execute.training import EXECUTOR as REFERENCE
from chainrule.graph import Graph, simplify
from chainrule.graph.types import DTYPES, resolve_shape

Array = np.ndarray[Any, Any]
_RUN = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)


def write_function(graph: Graph) -> tuple[Code, None]:
    """Write the stages of a graph."""
    return Compiler(vector_bytes(), debugging()).compile(simplify(graph)[0]), None


class NativeFunction:
    """A compiled graph. Stateless: every call has buffers of its own, so threads may call it at once."""

    def __init__(self, graph: Graph, linked: Linked) -> None:
        self.graph = graph
        self.linked = linked
        self.section = linked.sections["run"]
        self._call = _RUN(link.address("run"))
        self._inputs = [s.index for s in linked.of("input")]
        self._outputs = [s.index for s in linked.of("output")]
        self._kinds = [(o.type.shape, DTYPES[o.type.dtype]) for o in graph.outputs]
        self._spare: list[Buffers] = []

    def __call__(self, arrays: Sequence[Any], rows: int | None = None) -> list[Array]:
        given = [np.asarray(a, order="C") for a in arrays]
        return self.call(given, bind_rows(self.graph, given, rows) or 0)

    def call(self, given: Sequence[Array], n: int) -> list[Array]:
        """Return the outputs for contiguous arrays of the graph's types, of n rows; nothing is checked again."""
        outputs = [np.empty(resolve_shape(shape, n), dtype) for shape, dtype in self._kinds]
        try:
            buffers = self._spare.pop()  # no two calls ever share theirs
            if buffers.rows["run"] < n:
                buffers = Buffers(self.linked, {"run": n}, debugging())
        except IndexError:
            buffers = Buffers(self.linked, {"run": n}, debugging())
        table = buffers.table
        for index, array in zip(self._inputs, given, strict=True):
            table[index] = array.ctypes.data
        for index, array in zip(self._outputs, outputs, strict=True):
            table[index] = array.ctypes.data
        if buffers.debug:
            buffers.poison()  # what an earlier call left there must not help this one
        bound = self.section.bind(n)
        buffers.status[0] = 0
        status = self._call(buffers.address, bound.address, bound.count, None)
        self._spare.append(buffers)
        if status:
            self._explain(status, given, n)
        return outputs

    def rows(self, arrays: Sequence[Any], x: Array, tile: int, threads: int) -> list[Array]:
        """Return the outputs for many rows ``x``, the last input: tile after tile, if they are many on several threads.

        Every output must have one row for each row of x, which depends on no other row.
        """
        given = [np.asarray(a, order="C") for a in (*arrays, x)]
        n = bind_rows(self.graph, given) or 0
        if n <= tile:
            return self(given)
        outputs = [np.empty(resolve_shape(shape, n), dtype) for shape, dtype in self._kinds]
        todo = iter(range(0, n, tile))
        lock = threading.Lock()
        problems: list[int] = []

        def work() -> None:
            buffers = Buffers(self.linked, {"run": tile}, debugging())
            table = buffers.table
            for index, array in zip(self._inputs[:-1], given[:-1], strict=True):
                table[index] = array.ctypes.data
            moving = [(self._inputs[-1], given[-1].ctypes.data, given[-1].strides[0])]
            moving += [(i, a.ctypes.data, a.strides[0]) for i, a in zip(self._outputs, outputs, strict=True)]
            while not problems:
                with lock:
                    start = next(todo, None)
                if start is None:
                    return
                for index, address, stride in moving:
                    table[index] = address + start * stride
                bound = self.section.bind(min(tile, n - start))
                status = self._call(buffers.address, bound.address, bound.count, None)
                if status:
                    problems.append(status)

        helpers = [threading.Thread(target=work) for _ in range(min(threads, n // tile) - 1)]
        for helper in helpers:
            helper.start()
        work()
        for helper in helpers:
            helper.join()
        if problems:
            self._explain(problems[0], given, None)
        return outputs

    def _explain(self, status: int, given: Sequence[Any], rows: int | None) -> None:
        """Raise what the reference executor raises, which says where; or what went wrong here."""
        if status != OUT_OF_BOUNDS:
            REFERENCE.run(self.graph, given, rows)
        raise ExecutionError(
            f"native code stopped ({STATUS.get(status, status)}), where the reference executor does not"
        )


OUT_OF_BOUNDS = 9
STATUS = {
    conductor.OUT_OF_RANGE: "an index is out of range",
    conductor.NOT_POSITIVE_DEFINITE: "a matrix is not positive definite",
    conductor.SINGULAR: "a triangular matrix has a 0 on its diagonal",
    OUT_OF_BOUNDS: "it left a buffer; please report this",
}
