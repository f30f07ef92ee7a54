"""A graph becomes a sequence of stages: kernels, and what each is to be called with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from chainrule.errors import ExecutionError
from chainrule.execute.native import debug, library, matmul, nests, straight
from chainrule.execute.native.code import Call, Code
from chainrule.execute.native.emit import Function
from chainrule.execute.native.frame import Frame
from chainrule.execute.native.layout import (
    Extent,
    Slot,
    View,
    as_extent,
    contiguous,
    product,
    whole,
)
from chainrule.execute.native.loops import REGIONS
from chainrule.execute.native.reductions import reduction_nest
from chainrule.execute.native.schedule import (
    REDUCTIONS,
    every_node,
    is_alias,
    is_elementwise,
    is_flag,
    make_schedule,
    unsupported,
)
from chainrule.execute.native.stages import HEAVY
from chainrule.graph import Graph, Node, Type


class Compiler:
    """Writes the stages of a graph: hands out slots, lays views over them, and writes kernel after kernel."""

    def __init__(self, vector_bytes: int, debug: bool = False) -> None:
        self.vector_bytes = vector_bytes
        self.debug = debug
        self.slots: list[Slot] = []
        self.calls: list[Call] = []
        self.sections: dict[str, list[Call]] = {}
        self.units: dict[str, str] = {}
        self.slot("status", Type("i64"))
        self._frame: Frame | None = None
        self._flags = 0
        self._flag_slot: Slot | None = None

    @property
    def frame(self) -> Frame:
        assert self._frame is not None, "a kernel is written inside a stage"
        return self._frame

    @property
    def f(self) -> Function:
        return self.frame.f

    def slot(self, purpose: str, kind: Type, source: Any = None, size: Extent | None = None) -> Slot:
        found = Slot(len(self.slots), purpose, kind.dtype, size or product(kind.shape), source)
        self.slots.append(found)
        return found

    def temporary(self, kind: Type) -> View:
        return whole(self.slot("temporary", kind), kind)

    def cell(self, kind: str) -> str:
        """Return the address of a local variable of the kernel."""
        return self.frame.cell(kind)

    @contextmanager
    def stage(self, cost: tuple[float, Extent] = (0.0, Extent()), divisible: bool = False) -> Iterator[Frame]:
        """Open a kernel; inside another one (the body of a loop), what would be a kernel is part of that."""
        if self._frame is not None:
            with self._frame.part():
                yield self._frame
            return
        frame = self._frame = Frame(self.vector_bytes, self.debug)
        frame.divisible = divisible
        yield frame
        self._frame = None
        text = frame.finish("KERNEL")
        name = f"k{blake2b(text.encode(), digest_size=12).hexdigest()}"
        if name not in self.units:
            self.units[name] = text.replace("@KERNEL(", f"@{name}(", 1)
            for unit in [u for dtype in ("f32", "f64") for u in matmul.units(dtype) if f"@{u}(" in text]:
                self.units[unit] = ""  # written where it is linked: once, for all programs
        extent = as_extent(frame.extent)
        self.calls.append(Call(
            name, tuple(frame.arguments), extent, 1, divisible, cost, tuple(sorted(frame.touched)),
            routines=tuple(frame.routines),
        ))  # fmt: skip

    def call(self, unit: str, arguments: Sequence[Extent], touched: Sequence[int], **more: Any) -> None:
        """Add a stage that calls one of the functions for products."""
        for name in matmul.units(unit.split("_")[1]):
            self.units[name] = ""
        if self.debug:
            unit, text, arguments = debug.checked(unit, arguments, self.slots, self.vector_bytes)
            self.units[unit] = text
        self.calls.append(Call(unit, tuple(arguments), touched=tuple(sorted(touched)), **more))

    def compile(self, graph: Graph) -> Code:
        """Write all stages of a graph; inputs and outputs are slots of their own."""
        self.refuse(graph)
        inputs = {node: whole(self.slot("input", node.type), node.type) for node in graph.inputs}
        targets = [whole(self.slot("output", node.type), node.type) for node in graph.outputs]
        with self.section("run"):
            if not self.debug and straight.fits(graph, None):
                with self.stage() as frame:
                    straight.write_graph(frame, graph, inputs, targets)
            else:
                self.write(graph, inputs, targets)
        return self.code()

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Write a list of calls that is run as a whole; its temporaries are its own."""
        self.calls, self._flags, self._flag_slot = [], 0, None
        yield
        self._set_flags()
        self.sections[name] = self.calls

    def code(self) -> Code:
        """Return what was written."""
        return Code(self.slots, self.sections, self.units)

    def refuse(self, graph: Graph) -> None:
        """Raise ExecutionError naming the first operation that cannot be compiled."""
        name = unsupported(graph, {**HEAVY, **REGIONS})
        if name:
            raise ExecutionError(f"the native executor cannot run the operation {name!r}; use executor='reference'")
        if any(node.op.name in library.ROUTINES for node in every_node(graph)) and library.missing():
            raise ExecutionError(f"{library.missing()}; or use executor='reference'")

    def _set_flags(self) -> None:
        """Put the stage that sets all flags in front of the others."""
        if self._flag_slot is None:
            return
        slot = self._flag_slot
        self.slots[slot.index] = Slot(slot.index, slot.purpose, slot.dtype, Extent(self._flags))
        with self.stage():
            nests.fill_nest(self.frame, View(self.slots[slot.index], (self._flags,), (1,)), True)
        self.calls.insert(0, self.calls.pop())

    def flag(self) -> View:
        """Return a byte for an ``all`` that a nest finds on its way: it must be 1 before."""
        if self._frame is not None:
            return self.temporary(Type("bool"))
        if self._flag_slot is None:
            self._flag_slot = self.slot("temporary", Type("bool"))
        self._flags += 1
        so_far = replace(self._flag_slot, size=Extent(self._flags))  # for a debug build, which asks how large it is
        return View(so_far, (), (), Extent(self._flags - 1))

    def write(self, graph: Graph, inputs: Mapping[Node, View], targets: Sequence[View | None]) -> list[View]:
        """Write a graph's stages; outputs go to the given targets, or stay where they are computed."""
        views: dict[Node, View] = dict(inputs)
        results: dict[Node, list[View]] = {}
        wanted: dict[Node, View] = {}
        for node, target in zip(graph.outputs, targets, strict=True):
            computed = is_elementwise(node) or (node.op.name in HEAVY and not is_flag(node))
            if target is not None and computed and node not in inputs:
                wanted.setdefault(node, target)

        def view_of(node: Node) -> View:
            if node not in views:
                views[node] = self._alias(node, view_of, results)
            return views[node]

        for stage in make_schedule(graph):
            inside = set(stage.nodes)
            for node in stage.nodes:  # a view may need a copy, which is a stage of its own: before this one begins
                for operand in node.operands:
                    literal = node.op.name not in REDUCTIONS and nests.uniform_literal(operand) is not None
                    if operand not in inside and not literal:  # what a nest takes as a literal has no view
                        view_of(operand)
            if stage.fused:
                for node in stage.nodes:
                    if is_flag(node):
                        views[node] = self.flag()
                    elif node in stage.stored:
                        views[node] = wanted.get(node) or self.temporary(node.type)
                first = stage.nodes[0].operands[0] if is_flag(stage.nodes[0]) else stage.nodes[0]
                with self.stage((0.06 * (len(stage.nodes) + 2), product(first.shape)), divisible=True) as frame:
                    nests.fused_nest(frame, stage, view_of)
                continue
            node = stage.nodes[-1]
            if node.op.kind == "region":
                with self.stage():
                    results[node] = REGIONS[node.op.name](self, node, [view_of(o) for o in node.operands])
                continue
            if node.op.name in REDUCTIONS:
                absorbed = [n for n in stage.nodes if n.op.name not in REDUCTIONS]
                reductions = stage.nodes[len(absorbed) :]
                views.update({n: wanted.get(n) or self.temporary(n.type) for n in reductions})
                cost = 0.06 * (len(stage.nodes) + 1), product(node.operands[0].shape)
                with self.stage(cost, divisible=True) as frame:
                    reduction_nest(frame, reductions, absorbed, view_of, [views[n] for n in reductions])
                continue
            views[node] = wanted.get(node) or self.temporary(node.type)
            HEAVY[node.op.name](self, node, [view_of(o) for o in node.operands], views[node])
        final = []
        for node, target in zip(graph.outputs, targets, strict=True):
            view = view_of(node)
            if target is not None and view is not target:
                self.copy(view, target)
            final.append(target if target is not None else view)
        return final

    def copy(self, source: View, target: View) -> None:
        """Copy a view's elements to another view of the same shape."""
        with self.stage((0.1, product(source.shape)), divisible=True) as frame:
            nests.copy_nest(frame, source, target)

    def packed(self, view: View) -> View:
        """Return a view with the same elements next to each other, copied if they are not."""
        if view.is_contiguous:
            return view
        copied = self.temporary(Type(view.dtype, view.shape))
        self.copy(view, copied)
        return copied

    def _alias(self, node: Node, view_of: Callable[[Node], View], results: Mapping[Node, list[View]]) -> View:
        """Return a view of a node that computes nothing: a literal, or other elements' shape or order."""
        name, attributes = node.op.name, node.attributes
        if name in ("constant", "captured"):
            return whole(self.slot("constant", node.type, attributes["value"]), node.type)
        if name == "result":
            index: int = attributes["index"]
            return results[node.operands[0]][index]
        if not is_alias(node):
            raise ExecutionError(f"the native executor has no place for {name}")
        source = view_of(node.operands[0])
        if name == "broadcast":
            # What every row reads, such as a transposed weight, is laid out once, and then read as vectors.
            apart = bool(source.shape) and source.shape[-1] != 1 and source.strides[-1] not in (0, 1)
            if apart and node.type.is_symbolic and not source.is_symbolic:
                source = self.packed(source)
            return source.broadcast(node.shape)
        if name == "transpose":
            return source.transposed(attributes["axes"])
        if name == "slice":
            return source.sliced(node.shape, attributes["start"], attributes["step"])
        moved = source.reshaped(node.shape)
        if moved is None:
            moved = self.packed(source).reshaped(node.shape)
        assert moved is not None
        return moved

    def pointer_view(self, pointer: str, kind: Type) -> View:
        """Return a view of contiguous elements at an address that is known only as the kernel runs."""
        return View(Slot(-1, "pointer", kind.dtype, Extent(), pointer), kind.shape, contiguous(kind.shape))
