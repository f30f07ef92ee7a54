"""Forms in which a graph is compiled for comparison, and their runs in guarded memory.

*Singly*, every node has a kernel of its own and is stored: such kernels come again and again, so most are compiled once
a process, and every node's value can be looked at. *Fused* is what users run, and *straight* what they run for tiny
graphs. Many graphs are compiled in one LLVM
module, at the level of code generation that users get; or the fused ones at level 0, which is several times as fast: it
tests the code that is written as well, but not what LLVM's better code generator makes of it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from chainrule.errors import ExecutionError
from chainrule.execute.native import arena, compile, engine, link, schedule
from chainrule.execute.native.function import STATUS, NativeFunction
from chainrule.execute.native.pool import helpers
from chainrule.execute.native.settings import debugging, vector_bytes
from chainrule.execute.reference import resolve_attributes
from chainrule.graph import Graph, Node, Type, simplify
from chainrule.graph.types import DTYPES, resolve_shape

Array = np.ndarray[Any, Any]
_KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
MARGIN = 256
CANARY = 0xA5
STRAIGHT: Any = getattr(compile, "straight", None)
"""The executor's straight-line code for tiny graphs, where it has any."""
LEVEL = 1
"""The level of code generation that users get."""


class Overrun(Exception):
    """Native code wrote where it must not."""


def all_nodes(graph: Graph) -> Graph:
    """Return the same graph with every node of one result as an output, but for views of literals."""
    outputs = set(graph.outputs)
    literal: set[Node] = set()
    nodes = []
    for node in graph.nodes:
        if node.op.name == "constant" or (
            node.op.name in ("broadcast", "reshape") and node.operands[0] in literal and node not in outputs
        ):
            literal.add(node)
        elif node.op.name != "input" and isinstance(node.type, Type):
            nodes.append(node)
    return Graph(graph.inputs, tuple(nodes) or graph.outputs)


def literal_value(node: Node, rows: int) -> Array:
    """Return the value of a literal, or of a view of one."""
    operands = [literal_value(o, rows) for o in node.operands]
    return np.asarray(node.op.evaluate(*operands, **resolve_attributes(node.attributes, rows)))


def bodies(node: Node) -> Iterator[Graph]:
    """Return the graphs that a loop runs."""
    if node.op.kind == "region":
        yield from (node.attributes[k] for k in ("body", "until") if k in node.attributes)


def single_stages(graph: Graph) -> list[schedule.Stage]:
    """Return a schedule in which every node that computes is a stage of its own."""
    return [
        schedule.Stage([node], schedule._fuses(node), {node} if schedule._fuses(node) else set())
        for node in graph.nodes
        if not (schedule.is_leaf(node) or schedule.is_alias(node))
    ]


@contextmanager
def _scheduled_singly(top: Graph) -> Iterator[None]:
    """Give a graph's nodes a stage each; the bodies of its loops are scheduled as they always are."""
    usual = compile.make_schedule
    compile.make_schedule = lambda graph: single_stages(graph) if graph is top else usual(graph)
    try:
        yield
    finally:
        compile.make_schedule = usual


class Form:
    """A graph compiled in one of the forms; linked later, together with others."""

    def __init__(self, graph: Graph, kind: str) -> None:
        self.graph = all_nodes(graph) if kind == "singly" else graph
        simple = simplify(self.graph)[0]
        compiler = compile.Compiler(vector_bytes(), debugging())
        compiler.refuse(simple)
        if kind == "straight":
            self.code = compiler.compile(simple)
        elif kind == "fused":
            self.code = self._stages(compiler, simple)
        else:
            with _scheduled_singly(simple):
                self.code = self._stages(compiler, simple)
        self.function: NativeFunction | None = None

    @staticmethod
    def _stages(c: compile.Compiler, graph: Graph) -> Any:
        inputs = {node: compile.whole(c.slot("input", node.type), node.type) for node in graph.inputs}
        targets = [compile.whole(c.slot("output", node.type), node.type) for node in graph.outputs]
        with c.section("run"):
            c.write(graph, inputs, targets)
        return c.code()

    def run(
        self, arrays: Sequence[Array], rows: int, pieces: np.random.Generator | None = None, threads: int = 1
    ) -> list[Array]:
        """Run in guarded memory; with ``pieces``, every loop that threads may share is run in pieces, in any order."""
        if self.function is None:
            self.function = NativeFunction(self.graph, arena.Linked(self.code))
        function = self.function
        buffers = arena.Buffers(function.linked, {"run": rows}, debugging())
        buffers.poison()
        given = [_guarded(a.nbytes, a) for a in arrays]
        kinds = [(resolve_shape(o.shape, rows), DTYPES[o.type.dtype]) for o in self.graph.outputs]
        results = [_guarded(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize) for shape, dtype in kinds]
        for index, memory in zip(function._inputs + function._outputs, given + results, strict=True):
            buffers.table[index] = memory.ctypes.data + MARGIN
        status = self._pieces(buffers, rows, pieces) if pieces is not None else self._whole(buffers, rows, threads)
        for memory, array in zip(given, arrays, strict=True):
            if memory[MARGIN:-MARGIN].tobytes() != np.ascontiguousarray(array).tobytes():
                raise Overrun("an input was changed")
        if any(np.any(m[:MARGIN] != CANARY) or np.any(m[-MARGIN:] != CANARY) for m in given + results):
            raise Overrun("memory beside an input or output was changed")
        if status:
            raise ExecutionError(STATUS.get(status, str(status)))
        return [
            np.frombuffer(m[MARGIN:-MARGIN].tobytes(), dtype).reshape(shape)
            for m, (shape, dtype) in zip(results, kinds, strict=True)
        ]

    def _whole(self, buffers: arena.Buffers, rows: int, threads: int) -> int:
        """Run all kernels, by several threads every one that can be shared, however short it is."""
        assert self.function is not None
        with _shared_from(0.0 if threads > 1 else arena.SHARE_FROM):
            bound = arena.Bound(self.function.section, rows, threads, 0)
        with helpers(threads) as pool:
            return int(self.function._call(buffers.address, bound.address, bound.count, pool or None))

    def _pieces(self, buffers: arena.Buffers, rows: int, rng: np.random.Generator) -> int:
        """Do what threads do with the shared kernels, piece by piece, in a random order and with odd sizes."""
        assert self.function is not None
        section = self.function.section
        divisible = dict(zip(section.kernels.tolist(), section.divisible.tolist(), strict=True))
        bound = arena.Bound(section, rows, 1, 0)
        for kernel, arguments, extent, _ in bound.records.tolist():
            size = max(1, int(extent * rng.random())) if divisible[kernel] and extent > 1 else max(extent, 1)
            begins = [*range(0, extent, size)] or [0]
            for begin in rng.permutation(begins).tolist():
                _KERNEL(kernel)(buffers.address, arguments, begin, min(begin + size, extent))
        return int(buffers.status[0])


@contextmanager
def _shared_from(nanoseconds: float) -> Iterator[None]:
    usual = arena.SHARE_FROM, arena.PIECE
    arena.SHARE_FROM, arena.PIECE = nanoseconds, min(arena.PIECE, max(nanoseconds, 1.0))
    try:
        yield
    finally:
        arena.SHARE_FROM, arena.PIECE = usual


def _guarded(size: int, content: Array | None = None) -> Array:
    """Return bytes with margins that nobody may write to; those between are poison where there is no content."""
    raw = np.full(size + 2 * MARGIN + arena.ALIGN, CANARY, np.uint8)
    begin = -raw.ctypes.data % arena.ALIGN
    memory = raw[begin : begin + size + 2 * MARGIN]
    memory[MARGIN:-MARGIN] = 0xFF if content is None else np.ascontiguousarray(content).reshape(-1).view(np.uint8)
    return memory


class Forms:
    """The forms of one graph: singly (its loops' bodies too), fused in nests, in straight lines where it is tiny."""

    def __init__(self, graph: Graph) -> None:
        self.singly: dict[int, Form] = {}
        self._bodies: list[Graph] = []
        self.fused = Form(graph, "fused")
        tiny = STRAIGHT is not None and not debugging() and STRAIGHT.fits(simplify(graph)[0], None)
        self.straight = Form(graph, "straight") if tiny else None
        self._add(graph)

    def _add(self, graph: Graph) -> None:
        if id(graph) not in self.singly:
            self.singly[id(graph)] = Form(graph, "singly")
            self._bodies.append(graph)  # kept alive: its id is its key
            for node in graph.nodes:
                for body in bodies(node):
                    self._add(body)

    def of(self, graph: Graph) -> Form:
        return self.singly[id(graph)]

    @property
    def every(self) -> list[Form]:
        return [*self.late, *self.singly.values()]

    @property
    def late(self) -> list[Form]:
        """What has kernels of its own, which no other graph has."""
        return [self.fused] if self.straight is None else [self.fused, self.straight]


def link_together(forms: Sequence[Form], level: int = LEVEL) -> None:
    """Compile the kernels of many forms in one module, at a level of LLVM's code generator."""
    units: dict[str, str] = {}
    for form in forms:
        units.update(form.code.units)
    shared = {name: text for name, text in units.items() if name in link._GROUP_OF}
    link.require([], shared)  # those of all programs are always what users get
    with _code_generation(level):
        link.require([], units)


@contextmanager
def _code_generation(level: int) -> Iterator[None]:
    usual = engine.target_machine
    if level != LEVEL:
        engine._jit()
        engine.target_machine = lambda: _machine(level)
    try:
        yield
    finally:
        engine.target_machine = usual


@cache
def _machine(level: int) -> Any:
    import llvmlite.binding as llvm

    return llvm.Target.from_default_triple().create_target_machine(
        opt=level, cpu=llvm.get_host_cpu_name(), features=engine.host()["features"], reloc="pic", codemodel="small",
        jit=True,
    )  # fmt: skip
