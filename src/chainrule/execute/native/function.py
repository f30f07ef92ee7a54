"""A compiled graph as a function of arrays."""

from __future__ import annotations

import ctypes
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
        n = bind_rows(self.graph, given, rows) or 0
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
        bound = self.section.bind(n)
        buffers.status[0] = 0
        status = self._call(buffers.address, bound.address, bound.count, None)
        self._spare.append(buffers)
        if status:
            self._explain(status, given, rows)
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
    OUT_OF_BOUNDS: "it left a buffer; please report this",
}
