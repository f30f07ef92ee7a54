"""Applying an operation: arrays are computed at once, traced values add a node.

Python's own numbers are weakly typed: they take the dtype of the other operands. Truth values are counted as 0 and 1
beside numbers, in the dtype of those: a mask is made to be multiplied by. A quotient of integers is float64, as in
NumPy. Any other mix of dtypes is an error that says which operand. Broadcasting is an explicit node, so that no
derivative rule ever has to undo it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.errors import TypeMismatch
from chainrule.graph import Dim, Node, Rows, Shape, as_array, make_constant
from chainrule.graph.place import user_place
from chainrule.graph.types import DTYPES, Type, dtype_name
from chainrule.ops.record import TABLE, Op

Array = np.ndarray[Any, Any]


def is_traced(*values: Any) -> bool:
    return any(isinstance(v, Node) for v in values)


def is_weak(value: Any) -> bool:
    """Is this one of Python's own numbers? (NumPy's float64 is a subclass of float, and is not.)"""
    return type(value) in (bool, int, float)


def mismatch(message: str) -> TypeMismatch:
    """Return the error, with the user's line after the message."""
    place = user_place()
    return TypeMismatch(message if place is None else f"{message} (at {place})")


def new_node(op: Op, operands: Sequence[Node], attributes: Mapping[str, Any]) -> Node:
    """Add one node: infer its type and remember the user's line."""
    try:
        kind = op.infer(tuple(operands), attributes)
    except TypeMismatch as error:
        raise mismatch(str(error)) from None
    return Node(op, tuple(operands), attributes, kind, user_place())


def apply(op: Op, values: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """Apply an operation to arrays, numbers and traced values."""
    if not op.variadic and len(values) != len(op.operands):
        raise mismatch(f"{op.name} takes {len(op.operands)} operands ({', '.join(op.operands)}), not {len(values)}")
    if not is_traced(*values):
        return _evaluate_now(op, values, attributes)
    nodes = as_nodes(op, values)
    if op.kind == "elementwise" and len(nodes) > 1:
        if nodes[0].type.dtype == "bool" == nodes[1].type.dtype and op.name in _OF_TRUTH_VALUES:
            op = TABLE[_OF_TRUTH_VALUES[op.name]]
        nodes = broadcast_together(op, nodes)
    return new_node(op, nodes, attributes)


_OF_TRUTH_VALUES = {"add": "logical_or", "multiply": "logical_and", "maximum": "logical_or", "minimum": "logical_and"}
"""What NumPy makes of arithmetic on truth values alone."""


def _evaluate_now(op: Op, values: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    weak = [is_weak(v) for v in values]
    arrays = [
        as_array(v, f"the operand {name} of {op.name}") for v, name in zip(values, _names(op, values), strict=True)
    ]
    strong = {a.dtype for a, w in zip(arrays, weak, strict=True) if not w and a.dtype.kind == "f"}
    if len(strong) == 1:
        (dtype,) = strong
        arrays = [a.astype(dtype) if w and a.dtype.kind in "iuf" else a for a, w in zip(arrays, weak, strict=True)]
    elif all(weak) and op.accepts == "float":
        arrays = [a.astype(np.float64) for a in arrays]
    if any(isinstance(d, Rows) for v in attributes.values() if isinstance(v, tuple) for d in v):
        raise TypeMismatch(f"{op.name}: the number of rows n is only known inside a traced function")
    with np.errstate(all="ignore"):
        return op.evaluate(*arrays, **attributes)


def _names(op: Op, values: Sequence[Any]) -> Sequence[str]:
    return op.operands if len(op.operands) == len(values) else [op.operands[0]] * len(values)


def counts_truth_values(op: Op) -> bool:
    """Does an operation count truth values as 0 and 1 beside numbers?"""
    takes_numbers = op.kind == "elementwise" and len(op.operands) > 1 and op.accepts in ("float", "number", "any")
    return takes_numbers and op.name != "where"  # the condition of which is a truth value on purpose


def as_nodes(op: Op, values: Sequence[Any]) -> list[Node]:
    """Turn operands into nodes; Python's numbers take the dtype of the strong operands."""
    names = _names(op, values)
    arrays = [
        v if isinstance(v, Node) or is_weak(v) else as_array(v, f"the operand {name} of {op.name}")
        for v, name in zip(values, names, strict=True)
    ]
    strong = [v.type.dtype if isinstance(v, Node) else dtype_name(v.dtype) for v in arrays if not is_weak(v)]
    wanted = next((d for d in strong if d != "bool"), strong[0] if strong else "f64")
    mixes = "bool" in strong and counts_truth_values(op)
    integers = op.name == "divide" and "f32" not in strong and "f64" not in strong
    if wanted == "bool" and (mixes or len(strong) == 1):
        numbers = {type(v) for v in arrays if is_weak(v)}
        wanted = "f64" if float in numbers else "i64" if int in numbers else "bool"
    if integers:
        wanted, mixes = "f64", True
    nodes = []
    for value, name in zip(arrays, names, strict=True):
        if is_weak(value):
            value = _weak_to(value, wanted, op.name, name)
        node = value if isinstance(value, Node) else make_constant(value, user_place())
        if mixes and node.type.dtype != wanted and (integers or node.type.dtype == "bool"):
            node = new_node(TABLE["cast"], (node,), {"dtype": wanted})
        nodes.append(node)
    return nodes


def _weak_to(value: Any, dtype: str, op: str, name: str) -> Array:
    target = DTYPES[dtype]
    if type(value) is float and target.kind != "f":
        raise mismatch(
            f"{op}: {name} is the number {value!r}, the other operand is {dtype}; "
            "convert that one first, for instance with .astype('float64')"
        )
    if type(value) is int and target.kind in "iu" and not np.iinfo(target).min <= value <= np.iinfo(target).max:
        raise mismatch(f"{op}: {name} is the number {value}, which {dtype} cannot hold")
    if type(value) is bool and target.kind != "b":
        value = int(value)
    return np.asarray(value, target if not (target.kind == "b" and type(value) is not bool) else None)


def broadcast_shapes(op: str, names: Sequence[str], types: Sequence[Type]) -> Shape:
    """Return the common shape, aligned at the last axis; a dimension of 1 stretches, ``n`` only equals ``n``."""
    rank = max(t.rank for t in types)
    result: list[Dim] = [1] * rank
    for kind in types:
        for axis, dim in enumerate(kind.shape, start=rank - kind.rank):
            if result[axis] == 1:
                result[axis] = dim
            elif dim not in (1, result[axis]):
                listed = ", ".join(f"{name} is {t}" for name, t in zip(names, types, strict=True))
                raise mismatch(f"{op}: {listed}; the shapes do not broadcast: {dim} does not meet {result[axis]}")
    return tuple(result)


def broadcast_together(op: Op, nodes: Sequence[Node]) -> list[Node]:
    shape = broadcast_shapes(op.name, _names(op, nodes), [n.type for n in nodes])
    return [broadcast_node(node, shape) for node in nodes]


def broadcast_node(node: Node, shape: Shape) -> Node:
    if node.shape == shape:
        return node
    return new_node(TABLE["broadcast"], (node,), {"shape": shape})
