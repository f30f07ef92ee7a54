"""digest: a graph as 20 bytes, the same in every process and on every machine, for whoever keeps results by graph.

Equal digests mean equal graphs: what is hashed is an encoding that could be read back, since every text, array, tuple
and list of operands stands behind its tag and its length.

- Included: every node's operation, operands, types and attributes to the bit (labels of inputs, arrays, bodies of
  loops, −0.0 apart from 0.0, True from 1); the order of inputs and outputs; ``takes`` and ``gives``, since they say
  which leaf of a nested value is which input or output.
- Left out: what changes no value, which is provenance, serial numbers and ``Graph.names``.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np

from chainrule.errors import GraphError
from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, Operation
from chainrule.graph.structural import INPUT
from chainrule.graph.tree import Structure
from chainrule.graph.types import Rows, Type

SIZE = 20
_FORMAT = b"chainrule graph 1"
_OWN = ("chainrule", "numpy")


class Undigestible(GraphError):
    """A graph that no digest can stand for: it holds a value, an operation or an outside input known only here."""


def digest(graph: Graph) -> bytes:
    """Return 20 bytes that stand for a graph; raise Undigestible where it holds what has no stable encoding.

    >>> import numpy as np
    >>> from chainrule.graph import make_graph
    >>> one, other, third = (make_graph(f, 1.0) for f in (lambda x: x * 2.0, lambda y: y * 2.0, lambda x: x * -2.0))
    >>> len(digest(one)), digest(one) == digest(third)
    (20, False)
    """
    try:
        return _Writer().graph(graph)
    except RecursionError:
        raise Undigestible("the graph is nested too deeply for a digest") from None


class _Writer:
    """Encodes graphs; operations, types and attributes that occur again are encoded once.

    What has been encoded is found by ``id``, and held, so that no other object can come to have the same; two equal
    values that are not the same object have the same encoding, hence the same number.
    """

    def __init__(self) -> None:
        self.known: dict[int, tuple[Any, bytes]] = {}

    def graph(self, graph: Graph) -> bytes:
        """Return the digest of a graph: its table of distinct encodings, and one list of whole numbers."""
        nodes = graph.nodes
        position = {node: i for i, node in enumerate(nodes)}
        number_of: dict[bytes, int] = {}  # encoding -> its place in the table, in order of first use
        ops: dict[int, int] = {}
        types: dict[int, int] = {}
        numbers: list[int] = []
        put, place = numbers.extend, position.__getitem__
        for node in nodes:
            op, kind, operands = node.op, node.type, node.operands
            code = ops.get(id(op))
            if code is None:
                code = ops[id(op)] = number_of.setdefault(_operation(op), len(number_of))
            form = types.get(id(kind))
            if form is None:
                form = types[id(kind)] = number_of.setdefault(self.value(kind), len(number_of))
            more = number_of.setdefault(self.attributes(node), len(number_of)) + 1 if node.attributes else 0
            put((code, form, more, len(operands), *map(place, operands)))
        self._check_closed(graph, nodes)
        for ends in (graph.inputs, graph.outputs):
            put((len(ends), *map(place, ends)))
        words = array("Q", numbers)
        if sys.byteorder == "big":
            words.byteswap()
        state = blake2b(_FORMAT, digest_size=SIZE)
        table = [b"%d:%b" % (len(text), text) for text in number_of]
        state.update(b"%d;%d;%d;" % (len(table), len(nodes), len(words)))
        state.update(b"".join(table))
        state.update(words.tobytes())
        state.update(self.value(graph.takes) + self.value(graph.gives))
        return state.digest()

    @staticmethod
    def _check_closed(graph: Graph, nodes: tuple[Node, ...]) -> None:
        mine = set(graph.inputs)
        if any(node.op is INPUT and node not in mine for node in nodes):
            raise Undigestible("the graph reads an input of an enclosing trace, so what it means is decided elsewhere")

    def attributes(self, node: Node) -> bytes:
        """Return the encoding of a node's attributes, in the order of their names."""
        attributes = node.attributes
        text = b"{%d:" % len(attributes)
        for name in sorted(attributes) if len(attributes) > 1 else attributes:
            try:
                text += _text(name) + self.value(attributes[name])
            except Undigestible as error:
                raise Undigestible(f"{node.op.name}: its attribute {name} is {error}") from None
        return text

    def value(self, value: Any) -> bytes:
        """Return the encoding of a value, which tells its type and where it ends."""
        write = _WRITERS.get(type(value))
        if write is not None:
            return write(self, value)
        if isinstance(value, np.generic):
            return b"0" + _array(self, np.asarray(value))
        raise Undigestible(f"a {type(value).__module__}.{type(value).__qualname__}, which has no stable encoding")

    def kept(self, value: Any, write: Callable[[_Writer, Any], bytes]) -> bytes:
        """Encode an object once for all places where it stands."""
        found = self.known.get(id(value))
        if found is None:
            found = self.known[id(value)] = value, write(self, value)
        return found[1]


_known_operations: dict[int, tuple[Operation, bytes]] = {}


def _operation(op: Operation) -> bytes:
    """An operation is its name, provided that it is one of chainrule's own.

    What an operation of the user's computes stands in the user's functions, which a digest cannot see: the same name
    may compute something else tomorrow.
    """
    known = _known_operations.get(id(op))  # chainrule's own alone, so it stays small
    if known is not None:
        return known[1]
    for role in ("evaluate", "lower", "typing"):
        function = getattr(op, role, None)
        home = getattr(function, "__module__", None) or ""
        if function is not None and home.partition(".")[0] not in _OWN:
            raise Undigestible(f"the operation {op.name} is not chainrule's own: {role} is from {home or 'nowhere'}")
    text = b"o" + _text(op.kind) + _text(op.name)
    _known_operations[id(op)] = op, text
    return text


@lru_cache(4096)
def _text(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")  # a name may hold half a surrogate pair
    return b"s%d:%b" % (len(data), data)


def _array(writer: _Writer, value: Any) -> bytes:
    dtype = value.dtype
    if dtype.kind not in "biufc":
        raise Undigestible(f"an array of dtype {dtype}, which has no stable encoding")
    little = value.astype(dtype.newbyteorder("<"), copy=False)
    shape = b",".join(b"%d" % d for d in value.shape)
    data = little.tobytes()  # in the order of C, whatever the order in memory
    return b"a%b;%b;%d:%b" % (little.dtype.str.encode(), shape, len(data), data)


def _sequence(tag: bytes) -> Callable[[_Writer, Any], bytes]:
    head = tag + b"%d:"

    def write(writer: _Writer, values: Any) -> bytes:
        find = _WRITERS.get
        parts = [head % len(values)]
        for value in values:
            known = find(type(value))
            parts.append(writer.value(value) if known is None else known(writer, value))
        return b"".join(parts)

    return write


_tuple = _sequence(b"(")


def _dict(writer: _Writer, values: Any) -> bytes:
    if any(type(key) is not str for key in values):
        raise Undigestible("a dict with keys that are not texts, which has no stable encoding")
    return b"{%d:" % len(values) + b"".join(_text(key) + writer.value(values[key]) for key in sorted(values))


def _type(writer: _Writer, kind: Any) -> bytes:
    return b"y" + _text(kind.dtype) + _tuple(writer, kind.shape)


def _structure(writer: _Writer, structure: Any) -> bytes:
    maker = structure.maker
    named = () if maker is None else (maker.__module__, maker.__qualname__, maker._fields)
    parts = (structure.kind, structure.keys, structure.children, named)
    return b"S" + b"".join(writer.value(part) for part in parts)


_WRITERS: dict[type, Callable[[_Writer, Any], bytes]] = {
    type(None): lambda writer, value: b"N",
    bool: lambda writer, value: b"T" if value else b"F",
    int: lambda writer, value: b"i%d;" % value,
    float: lambda writer, value: b"d" + struct.pack("<d", value),
    complex: lambda writer, value: b"c" + struct.pack("<dd", value.real, value.imag),
    str: lambda writer, value: _text(value),
    bytes: lambda writer, value: b"b%d:%b" % (len(value), value),
    tuple: lambda writer, value: writer.kept(value, _tuple),
    list: _sequence(b"["),
    dict: _dict,
    Rows: lambda writer, value: b"r%d;" % value.multiple,
    Type: lambda writer, value: writer.kept(value, _type),
    Structure: _structure,
    np.ndarray: _array,
    Graph: lambda writer, value: b"g" + writer.kept(value, _Writer.graph),
}
