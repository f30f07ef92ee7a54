"""The four operations that a graph itself is made of: input, constant, captured and result.

They compute nothing. Everything that computes is defined in ``chainrule.ops``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import GraphError
from chainrule.graph.node import Node, Operation, Provenance, result_types
from chainrule.graph.types import Type, type_of

CAPTURE_BYTES = 1024
"""An array of the user's that is larger than this is held beside the graph as a bound input, not as a literal in it."""


@dataclass(frozen=True, eq=False)
class Structural:
    """An operation that holds or selects a value and computes none."""

    name: str
    operands: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    kind: str = "structural"
    variadic: bool = False

    def infer(self, operands: tuple[Node, ...], attributes: Mapping[str, Any]) -> Type | tuple[Type, ...]:
        match self.name:
            case "input":
                kind = attributes["type"]
                if not isinstance(kind, Type) or not isinstance(attributes["label"], str):
                    raise GraphError(f"an input needs a Type and a label, not {dict(attributes)!r}")
                return kind
            case "result":
                types = result_types(operands[0])
                index = attributes["index"]
                if not 0 <= index < len(types):
                    raise GraphError(f"result {index} of {operands[0].op.name} does not exist; it has {len(types)}")
                found: Type = types[index]
                return found
            case _:
                return type_of(attributes["value"])

    def evaluate(self, *operands: Any, **attributes: Any) -> Any:
        return operands[0][attributes["index"]] if self.name == "result" else attributes["value"]


INPUT = Structural("input", attributes=("type", "label"))
CONSTANT = Structural("constant", attributes=("value",))
CAPTURED = Structural("captured", attributes=("value",))
RESULT = Structural("result", ("of",), ("index",))
STRUCTURAL: Mapping[str, Operation] = {op.name: op for op in (INPUT, CONSTANT, CAPTURED, RESULT)}


def make_input(kind: Type, label: str, provenance: Provenance = None) -> Node:
    """Return a fresh input; two inputs are never the same, whatever their types and labels."""
    return Node(INPUT, (), {"type": kind, "label": label}, kind, provenance)


def make_constant(value: Any, provenance: Provenance = None) -> Node:
    """Return a node holding a read-only copy of an array: a literal, or a captured one where it is large."""
    array = np.array(value, order="C")
    array.setflags(write=False)
    op = CONSTANT if array.nbytes <= CAPTURE_BYTES else CAPTURED
    return Node(op, (), {"value": array}, type_of(array), provenance)


def take_result(node: Node, index: int) -> Node:
    """Return one result of a node that has several."""
    return Node(RESULT, (node,), {"index": index}, result_types(node)[index], node.provenance)
