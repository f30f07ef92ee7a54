"""Straight-line code for tiny graphs: every value lies in registers, one vector a value, and no loop is left.

A loop nest costs some nanoseconds before its first element; a network of a few units is done by then. Elements stand
in C order in one vector of as many lanes. Views are shuffles of lanes; a product is one chain of fused multiply-adds
over k = 0, 1, 2, …, as in every other kernel; a sum adds pairs, then pairs of pairs: an order that depends on the shape
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from chainrule.execute.native import elementary
from chainrule.execute.native.emit import IR_TYPE, Function
from chainrule.execute.native.frame import Frame
from chainrule.execute.native.layout import ITEM_BYTES, View
from chainrule.execute.native.threefry import encrypt, random_bits
from chainrule.execute.native.vector import Value, VectorBuilder, literal
from chainrule.execute.reference import resolve_attributes
from chainrule.graph import Graph, Node
from chainrule.graph.types import DTYPES, resolve_shape

MOST_LANES = 64
"""The largest value: more elements would not stay in registers anyway."""
MOST_WORK = 2500
"""About so many instructions at most, so that compiling them takes no longer than a kernel or two."""
VIEWS = ("reshape", "broadcast", "transpose", "slice", "pad", "concatenate", "flip")
KNOWN = ("constant", "captured", "extent", "iota")
REDUCTIONS: Mapping[str, Callable[[VectorBuilder], Callable[[Value, Value], Value]]] = {
    "sum": lambda b: b.add,
    "prod": lambda b: b.multiply,
    "max": lambda b: b.maximum,
    "min": lambda b: b.minimum,
    "all": lambda b: b.logical_and,
}
_DEAR = {
    **dict.fromkeys(elementary.FUNCTIONS, 24), "power": 90, "tan": 60, "random_bits": 110, "erf": 60,
    **dict.fromkeys(("arcsin", "arccos", "arctan", "arctan2", "sinh", "arcsinh", "arccosh", "arctanh"), 70),
}  # fmt: skip


def work(graph: Graph, n: int | None) -> int | None:
    """Estimate the instructions of a graph for n rows; None where it is not for straight-line code."""
    total = 0
    for node in graph.nodes:
        found = _work(node, n)
        if found is None:
            return None
        total += found
    return total


def fits(graph: Graph, n: int | None) -> bool:
    """Is this graph, for n rows, a tiny one?"""
    found = work(graph, n)
    return found is not None and found <= MOST_WORK


def _work(node: Node, n: int | None) -> int | None:
    if not hasattr(node.type, "shape"):  # a region has several results
        return None
    lanes = prod(resolve_shape(node.shape, n)) if n is not None or not node.type.is_symbolic else 0
    if not 1 <= lanes <= MOST_LANES:
        return None
    vectors = -(-lanes // 8)
    name = node.op.name
    if name == "input" or name in KNOWN or name == "reshape":
        return 0
    if name in VIEWS:
        return 2 * vectors
    if node.op.kind == "elementwise" or name == "random_bits":
        return vectors * _DEAR.get(name, 2)
    if name == "matmul" and node.ndim == 2:
        return 4 * vectors * int(resolve_shape(node.operands[0].shape, n)[1])
    if name in REDUCTIONS:
        return 4 * -(-prod(resolve_shape(node.operands[0].shape, n)) // 4)
    return 110 if name == "fold" else None


def write_graph(frame: Frame, graph: Graph, inputs: Mapping[Node, View], targets: Sequence[View]) -> None:
    """Write a whole graph into a kernel: its inputs and outputs lie in C order in slots of their own."""
    straight = Straight(frame.f, None)
    for node, view in inputs.items():
        straight.values[node] = straight.load(frame.pointer(view), node.type.dtype, view.slot.size.fixed)
    straight.write(graph.nodes)
    for node, view in zip(graph.outputs, targets, strict=True):
        straight.store(straight.values[node], frame.pointer(view))


class Straight:
    """Writes nodes one after another into a function; values are flat vectors."""

    def __init__(self, f: Function, n: int | None) -> None:
        self.f = f
        self.n = n
        self.builder = VectorBuilder(f)
        self.values: dict[Node, Value] = {}

    def write(self, nodes: Sequence[Node]) -> None:
        """Write those of some nodes (operands first) that have no value yet."""
        for node in nodes:
            if node not in self.values:
                self.values[node] = self._value(node)

    def _value(self, node: Node) -> Value:
        name, dtype, b = node.op.name, node.type.dtype, self.builder
        operands = [self.values[o] for o in node.operands]
        attributes = resolve_attributes(node.attributes, self.n)
        if name in KNOWN:
            return self._known(node, attributes)
        if name in VIEWS:
            return self._view(node, attributes)
        if name == "random_bits":
            return random_bits(b, [self.lane(operands[0], i) for i in (0, 1)], *operands[1:])
        if node.op.kind == "elementwise":
            lowered: Value = node.op.lower(b, *operands, **attributes)  # type: ignore[attr-defined]  # an op of the table
            return lowered
        if name == "matmul":
            return self._matmul(node, *operands)
        if name == "fold":
            key, data = operands
            purpose = b.constant(0xF01D, data)
            return self._joined([*encrypt(b, self.lane(key, 0), self.lane(key, 1), data, purpose)])
        return self._reduced(node, operands[0], attributes["axes"], REDUCTIONS[name](b), dtype)

    def _shape(self, node: Node) -> tuple[int, ...]:
        return resolve_shape(node.shape, self.n)

    # values that are known --------------------------------------------------------------------------------------------

    def _known(self, node: Node, attributes: Mapping[str, Any]) -> Value:
        if node.op.name == "extent":
            number = self._shape(node.operands[0])[attributes["axis"]]
            return self.literal(np.asarray(number, DTYPES[node.type.dtype]), node.type.dtype)
        array = attributes["value"] if "value" in attributes else node.op.evaluate(**attributes)
        return self.literal(np.asarray(array), node.type.dtype)

    def literal(self, array: Any, dtype: str) -> Value:
        """Return known numbers as a value."""
        numbers = [literal(v, dtype) for v in np.asarray(array).reshape(-1)]
        like = Value("", dtype, len(numbers))
        if len(numbers) == 1:
            return Value(numbers[0], dtype, 1)
        if len(set(numbers)) == 1:
            return Value(f"splat ({like.element} {numbers[0]})", dtype, len(numbers))
        return Value(f"<{', '.join(f'{like.element} {x}' for x in numbers)}>", dtype, len(numbers))

    # lanes ------------------------------------------------------------------------------------------------------------

    def lane(self, value: Value, index: int) -> Value:
        """Return one lane as a scalar."""
        if value.lanes == 1:
            return value
        return Value(self.f.put(f"extractelement {value.type} {value.name}, i32 {index}"), value.dtype, 1)

    def shuffled(self, value: Value, lanes: Sequence[int], other: Value | None = None) -> Value:
        """Return chosen lanes of a value, or of two (the second's lanes count on from the first's)."""
        if other is None and list(lanes) == list(range(value.lanes)):
            return value
        if value.lanes == 1 and other is None:
            return self._splat(value, len(lanes))
        if len(lanes) == 1:
            which = value if lanes[0] < value.lanes or other is None else other
            return self.lane(which, lanes[0] if which is value else lanes[0] - value.lanes)
        second = f"{value.type} {other.name}" if other is not None else f"{value.type} poison"
        mask = ", ".join(f"i32 {i}" for i in lanes)
        name = self.f.put(f"shufflevector {value.type} {value.name}, {second}, <{len(lanes)} x i32> <{mask}>")
        return Value(name, value.dtype, len(lanes))

    def _splat(self, value: Value, lanes: int) -> Value:
        if lanes == 1:
            return value
        like = Value("", value.dtype, lanes)
        one = self.f.put(f"insertelement {like.type} poison, {value.type} {value.name}, i32 0")
        name = self.f.put(f"shufflevector {like.type} {one}, {like.type} poison, <{lanes} x i32> zeroinitializer")
        return Value(name, value.dtype, lanes)

    def _joined(self, parts: Sequence[Value]) -> Value:
        """Return values one after another as one."""
        if len(parts) == 1:
            return parts[0]
        total = sum(p.lanes for p in parts)
        like = Value("", parts[0].dtype, total)
        result, begin = "poison", 0
        for part in parts:
            for lane in range(part.lanes):
                one = self.lane(part, lane)
                result = self.f.put(f"insertelement {like.type} {result}, {one.type} {one.name}, i32 {begin + lane}")
            begin += part.lanes
        return Value(result, parts[0].dtype, total)

    def _view(self, node: Node, attributes: Mapping[str, Any]) -> Value:
        """Ask the operation itself where each element comes from: it is evaluated on the lanes' numbers, from 1 on."""
        numbers, begin = [], 1
        for operand in node.operands:
            shape = self._shape(operand)
            numbers.append(np.arange(begin, begin + prod(shape)).reshape(shape))
            begin += prod(shape)
        places = node.op.evaluate(*numbers, **attributes).reshape(-1)
        source = self._joined([self.values[o] for o in node.operands])
        if np.all(places):
            return self.shuffled(source, [int(i) - 1 for i in places])
        zero = Value("zeroinitializer", source.dtype, source.lanes)
        if source.lanes == 1:  # a padding of one element
            source = Value(self._splat(source, 2).name, source.dtype, 2)
            zero = Value("zeroinitializer", source.dtype, 2)
        return self.shuffled(source, [int(i) - 1 if i else source.lanes for i in places], zero)

    # products and reductions -----------------------------------------------------------------------------------------

    def _matmul(self, node: Node, a: Value, b: Value) -> Value:
        (m, depth), n = self._shape(node.operands[0]), self._shape(node.operands[1])[1]
        total = self.builder.constant(0.0, Value("", node.type.dtype, m * n))
        for k in range(depth):
            left = self.shuffled(a, [i * depth + k for i in range(m) for _ in range(n)])
            right = self.shuffled(b, [k * n + j for _ in range(m) for j in range(n)])
            total = self.builder.fma(left, right, total)
        return total

    def _reduced(
        self, node: Node, x: Value, axes: Sequence[int], combine: Callable[[Value, Value], Value], dtype: str
    ) -> Value:
        shape = self._shape(node.operands[0])
        numbers = np.arange(prod(shape)).reshape(shape)
        kept = [a for a in range(len(shape)) if a not in axes]
        table = numbers.transpose([*kept, *axes]).reshape(prod(shape[a] for a in kept), -1)
        if node.op.name == "all" and len(table) == 1 and x.lanes > 1:
            bits = self.f.put(f"bitcast {x.type} {x.name} to i{x.lanes}")
            return Value(self.f.put(f"icmp eq i{x.lanes} {bits}, -1"), dtype, 1)
        if len(table) == 1:
            return self._folded(x, [int(i) for i in table[0]], combine)
        parts = [self.shuffled(x, [int(i) for i in column]) for column in table.T]
        while len(parts) > 1:
            half = len(parts) // 2
            pairs = [combine(parts[2 * i], parts[2 * i + 1]) for i in range(half)]
            parts = [*pairs, *parts[2 * half :]]
        return parts[0]

    def _folded(self, x: Value, lanes: list[int], combine: Callable[[Value, Value], Value]) -> Value:
        """Combine all lanes: the two halves, then the halves of that; an odd lane waits for the next turn."""
        while len(lanes) > 1:
            half = len(lanes) // 2
            low, high = self.shuffled(x, lanes[:half]), self.shuffled(x, lanes[half : 2 * half])
            both = combine(low, high)
            if len(lanes) % 2:
                both = self._joined([both, self.lane(x, lanes[-1])])
            x, lanes = both, list(range(both.lanes))
        return self.lane(x, lanes[0])

    # memory ----------------------------------------------------------------------------------------------------------

    def load(self, pointer: str, dtype: str, count: int) -> Value:
        """Load neighbors; a bool is a byte in memory."""
        element = IR_TYPE[dtype]
        memory = element if count == 1 else f"<{count} x {element}>"
        raw = self.f.put(f"load {memory}, ptr {pointer}, align {ITEM_BYTES[dtype]}")
        if dtype == "bool":
            raw = self.f.put(f"icmp ne {memory} {raw}, {'0' if count == 1 else 'zeroinitializer'}")
        return Value(raw, dtype, count)

    def store(self, value: Value, pointer: str) -> None:
        element, name = IR_TYPE[value.dtype], value.name
        memory = element if value.lanes == 1 else f"<{value.lanes} x {element}>"
        if value.dtype == "bool":
            name = self.f.put(f"zext {value.type} {name} to {memory}")
        self.f.do(f"store {memory} {name}, ptr {pointer}, align {ITEM_BYTES[value.dtype]}")

    def slot(self, index: int) -> str:
        """Return the address that a slot holds."""
        at = self.f.put(f"getelementptr inbounds ptr, ptr %slots, i64 {index}")
        return self.f.put(f"load ptr, ptr {at}, align 8")

    def load_slot(self, index: int, node: Node) -> Value:
        return self.load(self.slot(index), node.type.dtype, prod(self._shape(node)))

    def rows(self, data: str, order: str, node: Node, first: str) -> Value:
        """Load the rows of a batch, chosen by an order, from the row ``first`` of that on."""
        shape = self._shape(node)
        width = prod(shape[1:])
        parts = []
        for i in range(shape[0]):
            place = self.f.put(f"getelementptr inbounds i64, ptr {order}, i64 {self.f.add(first, str(i))}")
            row = self.f.put(f"load i64, ptr {place}, align 8")
            offset = self.f.times(row, str(width))
            at = self.f.put(f"getelementptr inbounds {IR_TYPE[node.type.dtype]}, ptr {data}, i64 {offset}")
            parts.append(self.load(at, node.type.dtype, width))
        return self._concatenated(parts)

    def _concatenated(self, parts: list[Value]) -> Value:
        """Join vectors of equal length, pair by pair."""
        while len(parts) > 1:
            pairs = []
            for a, b in zip(parts[::2], parts[1::2], strict=False):
                pairs.append(self._pair(a, b))
            parts = [*pairs, *parts[2 * len(pairs) :]]
        return parts[0]

    def _pair(self, a: Value, b: Value) -> Value:
        if a.lanes != b.lanes or a.lanes == 1:
            return self._joined([a, b])
        return self.shuffled(a, list(range(2 * a.lanes)), b)
