"""A compiled graph as a function of arrays."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ExecutionError
from chainrule.execute.native import conductor, epochs, link
from chainrule.execute.native.arena import Buffers, Linked
from chainrule.execute.native.code import Code
from chainrule.execute.native.compile import Compiler
from chainrule.execute.native.pool import side_by_side
from chainrule.execute.native.settings import debugging, vector_bytes
from chainrule.execute.reference import bind_rows
from chainrule.execute.training import EXECUTOR as REFERENCE
from chainrule.graph import Graph, simplify
from chainrule.graph.types import DTYPES, resolve_shape

Array = np.ndarray[Any, Any]
_RUN = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)

_ENTER = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)


def write_function(graph: Graph) -> tuple[Code, None]:
    """Write the stages of a graph."""
    return Compiler(vector_bytes(), debugging()).compile(simplify(graph)[0]), None


def _data_offset() -> int:
    """Return how many bytes after its beginning an array's object holds the address of its data.

    That is the first field of NumPy's public structure. Asking for ``ctypes.data`` takes longer than a small network.
    """
    probe = np.zeros(1)
    offset = object.__basicsize__
    if ctypes.c_void_p.from_address(id(probe) + offset).value != probe.ctypes.data:
        raise ExecutionError("this NumPy keeps an array's address elsewhere; please report this")
    return offset


_DATA_OFFSET = _data_offset()


class Entry:
    """The memory of one call at a time, and what ``enter`` is told: where it is, and which records to run."""

    def __init__(self, function: NativeFunction, n: int) -> None:
        self.n = -1
        self.capacity = n
        self.fields = np.zeros(len(conductor.ENTER), np.int64)
        self.address = int(self.fields.ctypes.data)
        self.buffers = Buffers(function.linked, {"run": n}, debugging())
        self.aim(function, n)

    def aim(self, function: NativeFunction, n: int) -> None:
        """Make ready for calls with n rows."""
        if n > self.capacity:
            self.buffers, self.capacity = Buffers(function.linked, {"run": n}, debugging()), n
        self.words = self.buffers.table.data
        self.bound = function.section.bind(n)  # kept alive as long as its records may run
        self.n = n
        self.fields[:] = (
            self.buffers.address, self.bound.address, self.bound.count, function.arrays.ctypes.data,
            len(function.arrays), _DATA_OFFSET,
        )  # fmt: skip


class NativeFunction:
    """A compiled graph. Stateless: every call has buffers of its own, so threads may call it at once.

    It is kept for as long as its graph is there, so it must not hold the graph itself: who calls it has it.
    """

    def __init__(self, graph: Graph, linked: Linked) -> None:
        self.linked = linked
        self.section = linked.sections["run"]
        self._call = _RUN(link.address("run"))
        self._inputs = [s.index for s in linked.of("input")]
        self._outputs = [s.index for s in linked.of("output")]
        self._kinds: list[tuple[Any, Any, bool]] = [
            (o.type.shape, DTYPES[o.type.dtype], o.type.is_symbolic) for o in graph.outputs
        ]
        self._enter = _ENTER(link.address("enter"))
        self.arrays = np.array([*self._inputs, *self._outputs], np.int64)
        self._spare: list[Entry] = []

    def __call__(self, graph: Graph, arrays: Sequence[Any], rows: int | None = None) -> list[Array]:
        given = [np.asarray(a, order="C") for a in arrays]
        return self.call(graph, given, bind_rows(graph, given, rows) or 0)

    def call(self, graph: Graph, given: Sequence[Array], n: int) -> list[Array]:
        """Return the outputs for contiguous arrays of the graph's types, of n rows; nothing is checked again."""
        outputs = [np.empty(resolve_shape(shape, n) if open_ else shape, dtype) for shape, dtype, open_ in self._kinds]
        try:
            entry = self._spare.pop()  # no two calls ever share theirs
        except IndexError:
            entry = Entry(self, n)
        if entry.n != n:
            entry.aim(self, n)
        words = entry.words
        for index, array in zip(self._inputs, given, strict=True):
            words[index] = id(array)
        for index, array in zip(self._outputs, outputs, strict=True):
            words[index] = id(array)
        if entry.buffers.debug:
            entry.buffers.poison()  # what an earlier call left there must not help this one
        status = self._enter(entry.address)
        if status:
            entry.buffers.status[0] = 0
        self._spare.append(entry)
        if status:
            self._explain(graph, status, given, n)
        return outputs

    def rows(self, graph: Graph, arrays: Sequence[Any], x: Array, tile: int, threads: Callable[[], int]) -> list[Array]:
        """Return the outputs for many rows ``x``, the last input: tile after tile, if they are many on several threads.

        Every output must have one row for each row of x, which depends on no other row.
        """
        given = [np.asarray(a, order="C") for a in (*arrays, x)]
        n = bind_rows(graph, given) or 0
        if n <= tile:
            return self.call(graph, given, n)
        outputs = [np.empty(resolve_shape(shape, n), dtype) for shape, dtype, _ in self._kinds]
        todo = iter(range(0, n, tile))
        lock = threading.Lock()
        problems: list[int | BaseException] = []

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

        side_by_side(work, min(threads(), n // tile), problems)
        for problem in problems:
            if isinstance(problem, BaseException):
                raise problem
            self._explain(graph, problem, given, None)
        return outputs

    def _explain(self, graph: Graph, status: int, given: Sequence[Any], rows: int | None) -> None:
        """Raise what the reference executor raises, which says where; or what went wrong here."""
        if status != OUT_OF_BOUNDS:
            REFERENCE.run(graph, given, rows)
        raise ExecutionError(
            f"native code stopped ({STATUS.get(status, status)}), where the reference executor does not"
        )


OUT_OF_BOUNDS = 9
STATUS = {
    epochs.OUT_OF_RANGE: "an index is out of range",
    epochs.NOT_POSITIVE_DEFINITE: "a matrix is not positive definite",
    epochs.SINGULAR: "a system of equations has no single solution",
    epochs.NOT_CONVERGED: "a decomposition into singular values did not converge",
    OUT_OF_BOUNDS: "it left a buffer; please report this",
}
