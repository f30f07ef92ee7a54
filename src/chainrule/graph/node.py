"""Node: one value of a computation, made by one operation from its operands.

Nodes compare by identity. Tracing never merges equal nodes: an explanation must be able to tell them apart; merging is
a pass (simplify.py) for those who only want to run the graph. Arithmetic on nodes is installed by ``chainrule.ops``:
this file knows operations only as the Protocol below.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from types import CodeType
from typing import Any, NamedTuple, Protocol

import numpy as np

from chainrule.graph.types import DTYPES, Shape, Type

_serial = itertools.count()


class Operation(Protocol):
    """What the graph needs to know of an operation; the full record is ``chainrule.ops.record.Op``."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def operands(self) -> tuple[str, ...]: ...

    @property
    def attributes(self) -> tuple[str, ...]: ...

    @property
    def variadic(self) -> bool: ...

    def infer(self, operands: tuple[Node, ...], attributes: Mapping[str, Any]) -> Type | tuple[Type, ...]: ...

    def evaluate(self, *operands: Any, **attributes: Any) -> Any: ...


class Place(NamedTuple):
    """Where the user's code made a node: a code object and an instruction in it, resolved to a line only when asked."""

    code: CodeType
    instruction: int

    @property
    def line(self) -> int:
        for start, end, line in self.code.co_lines():
            if start <= self.instruction < end and line is not None:
                return line
        return self.code.co_firstlineno  # an instruction that no line asked for: what a function begins with

    def __str__(self) -> str:
        return f"{self.code.co_filename}:{self.line} in {self.code.co_name}"


class Backward(NamedTuple):
    """A node of the backward computation: it is part of the derivative of ``of`` by its operand ``operand``."""

    of: Node
    operand: str


Provenance = Place | Backward | None


class Node:
    """One value: ``op(*operands, **attributes)`` of the given type (a tuple of types where it has several results)."""

    __slots__ = ("__weakref__", "attributes", "op", "operands", "provenance", "serial", "type")

    op: Operation
    operands: tuple[Node, ...]
    attributes: Mapping[str, Any]
    type: Type
    provenance: Provenance
    serial: int

    def __init__(
        self,
        op: Operation,
        operands: tuple[Node, ...],
        attributes: Mapping[str, Any],
        type: Type | tuple[Type, ...],
        provenance: Provenance = None,
    ) -> None:
        self.op = op
        self.operands = operands
        self.attributes = attributes
        # A node with several results (a region) is only ever read through ``result`` nodes, so that everything else
        # may take ``type`` to be a single Type; regions read it through ``result_types``.
        self.type = type  # type: ignore[assignment]
        self.provenance = provenance
        self.serial = next(_serial)

    @property
    def shape(self) -> Shape:
        return self.type.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return DTYPES[self.type.dtype]

    @property
    def ndim(self) -> int:
        return self.type.rank

    def __repr__(self) -> str:
        types = self.type if isinstance(self.type, Type) else ", ".join(map(str, self.type))
        return f"<traced {self.op.name}: {types}>"

    __hash__ = object.__hash__  # by identity, whatever == becomes; in C, since sets of nodes are asked all the time

    def __copy__(self) -> Node:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Node:
        return self


def result_types(node: Node) -> tuple[Type, ...]:
    """Return the types of all results of a node."""
    return (node.type,) if isinstance(node.type, Type) else tuple(node.type)


def where_made(node: Node) -> str:
    """Say where a node comes from, for an error message: the user's line, or what it is the derivative of."""
    seen = node
    prefix = ""
    while isinstance(seen.provenance, Backward):
        prefix = f"in the backward computation of {seen.provenance.of.op.name}"
        seen = seen.provenance.of
    if seen.provenance is None:
        return prefix
    return f"{prefix}, {seen.provenance}" if prefix else str(seen.provenance)
