"""Graph.to_json and its inverse: versioned, with stable ids and the symbolic row count kept as ``"n"``.

The same graph always gives the same JSON: ids count nodes in topological order, keys are sorted, and floats are stored
as their bytes. Reading looks operations up in a table that the caller gives; nothing is imported by name.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.errors import ChainruleError, GraphFormatError
from chainrule.graph.check import check_graph
from chainrule.graph.graph import Graph
from chainrule.graph.node import Node, Operation, result_types
from chainrule.graph.structural import STRUCTURAL
from chainrule.graph.tree import Structure
from chainrule.graph.types import DTYPES, Rows, Type, dim_from_json, dim_to_json, dtype_name

FORMAT = "chainrule-graph"
VERSION = 1


def graph_to_json(graph: Graph) -> dict[str, Any]:
    """Return a graph as plain JSON data."""
    ids = {node: i for i, node in enumerate(graph.nodes)}
    return {
        "format": FORMAT,
        "version": VERSION,
        "nodes": [
            {
                "id": ids[node],
                "op": node.op.name,
                "operands": [ids[o] for o in node.operands],
                "attributes": {k: _value_to_json(node.attributes[k]) for k in sorted(node.attributes)},
                "types": [_type_to_json(t) for t in result_types(node)],
            }
            for node in graph.nodes
        ],
        "inputs": [ids[i] for i in graph.inputs],
        "outputs": [ids[o] for o in graph.outputs],
        "names": {name: ids[node] for name, node in sorted(graph.names.items()) if node in ids},
        "takes": _structure_to_json(graph.takes),
        "gives": _structure_to_json(graph.gives),
    }


def graph_from_json(document: Any, operations: Mapping[str, Operation]) -> Graph:
    """Read a graph back, given the table of operations; raise GraphFormatError for anything that is not one."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise GraphFormatError("this is not a stored chainrule graph")
    if document.get("version") != VERSION:
        raise GraphFormatError(
            f"this graph has format version {document.get('version')!r}, this chainrule reads version {VERSION}; "
            "read it with the version that wrote it, or upgrade"
        )
    try:
        return check_graph(_read(document, {**operations, **STRUCTURAL}), after="reading a stored graph")
    except GraphFormatError:
        raise
    except (
        ChainruleError,
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise GraphFormatError(f"the stored graph is damaged: {error}") from error


def _read(document: dict[str, Any], operations: Mapping[str, Operation]) -> Graph:
    nodes: list[Node] = []
    for position, entry in enumerate(document["nodes"]):
        if entry["id"] != position:
            raise GraphFormatError(f"node {position} has id {entry['id']!r}")
        op = operations.get(entry["op"])
        if op is None:
            raise GraphFormatError(f"the graph uses an operation that this chainrule does not have: {entry['op']!r}")
        operands = tuple(_earlier(nodes, i) for i in entry["operands"])
        stored = entry["attributes"]
        order = [*(k for k in op.attributes if k in stored), *(k for k in stored if k not in op.attributes)]
        attributes = {k: _value_from_json(stored[k], operations) for k in order}
        types = tuple(_type_from_json(t) for t in entry["types"])
        inferred = op.infer(operands, attributes)
        if (inferred if isinstance(inferred, tuple) else (inferred,)) != types:
            raise GraphFormatError(f"node {position} ({op.name}) has types that its operands do not give")
        nodes.append(Node(op, operands, attributes, inferred))
    return Graph(
        tuple(_earlier(nodes, i) for i in document["inputs"]),
        tuple(_earlier(nodes, i) for i in document["outputs"]),
        {str(name): _earlier(nodes, i) for name, i in document["names"].items()},
        _structure_from_json(document["takes"]),
        _structure_from_json(document["gives"]),
    )


def _earlier(nodes: list[Node], index: Any) -> Node:
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(nodes):
        raise GraphFormatError(f"a node refers to node {index!r}, which does not come before it")
    return nodes[index]


def _type_to_json(kind: Type) -> list[Any]:
    return [kind.dtype, *(dim_to_json(d) for d in kind.shape)]


def _type_from_json(value: Any) -> Type:
    dtype, *shape = value
    if dtype not in DTYPES:
        raise GraphFormatError(f"{dtype!r} is not a dtype of a graph")
    return Type(dtype, tuple(dim_from_json(d) for d in shape))


def array_to_json(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return an array as JSON data: dtype, shape, and its bytes (little-endian) in base64."""
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    data = base64.b64encode(little.tobytes()).decode("ascii")
    return {"dtype": dtype_name(array.dtype), "shape": list(array.shape), "data": data}


def array_from_json(value: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    dtype = DTYPES[value["dtype"]]
    raw = base64.b64decode(value["data"], validate=True)
    array = np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype, copy=True).reshape(value["shape"])
    array.setflags(write=False)
    return array


def _value_to_json(value: Any) -> Any:
    """Attributes are told apart by a one-key dict, so that a shape with n, an array and a body all survive."""
    if isinstance(value, np.ndarray):
        return {"array": array_to_json(value)}
    if isinstance(value, Graph):
        return {"graph": graph_to_json(value)}
    if isinstance(value, Type):
        return {"type": _type_to_json(value)}
    if isinstance(value, tuple):
        return {"tuple": [_value_to_json(v) for v in value]}
    if isinstance(value, Rows):
        return {"rows": value.multiple}
    if isinstance(value, float):
        return {"float": value.hex()}
    if value is None or isinstance(value, str | int | bool):
        return value
    raise GraphFormatError(f"an attribute of type {type(value).__name__} cannot be stored")


def _value_from_json(value: Any, operations: Mapping[str, Operation]) -> Any:
    if not isinstance(value, dict):
        if value is None or isinstance(value, str | int | bool):
            return value
        raise GraphFormatError(f"{value!r} is not an attribute")
    ((kind, inside),) = value.items()
    match kind:
        case "array":
            return array_from_json(inside)
        case "graph":
            return _read(inside, operations)
        case "type":
            return _type_from_json(inside)
        case "tuple":
            if any(isinstance(v, bool) for v in inside):  # True would pass for 1 as an axis or a dimension
                raise GraphFormatError("a truth value stands where a number is needed")
            return tuple(_value_from_json(v, operations) for v in inside)
        case "rows":
            return Rows(inside)
        case "float":
            return float.fromhex(inside)
    raise GraphFormatError(f"{kind!r} is not a kind of attribute")


def _structure_to_json(structure: Structure | None) -> Any:
    if structure is None or structure.kind in ("leaf", "none"):
        return None if structure is None else structure.kind
    children = [_structure_to_json(c) for c in structure.children]
    keys = [str(k) for k in structure.keys] if structure.kind == "dict" else []
    return {"kind": structure.kind, "keys": keys, "children": children}


def _structure_from_json(value: Any) -> Structure | None:
    if value is None:
        return None
    if isinstance(value, str):
        if value not in ("leaf", "none"):
            raise GraphFormatError(f"{value!r} is not a structure")
        return Structure(value)
    if value["kind"] not in ("dict", "list", "tuple"):
        raise GraphFormatError(f"{value['kind']!r} is not a structure")
    children = tuple(c for c in map(_structure_from_json, value["children"]) if c is not None)
    keys = tuple(value["keys"])
    if len(children) != len(value["children"]) or (value["kind"] == "dict" and len(keys) != len(children)):
        raise GraphFormatError("a structure is incomplete")
    return Structure(value["kind"], keys, children)
