"""A Python function becomes a graph: it is called once with traced values in the place of arrays."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import CodeType
from typing import Any

import numpy as np

from chainrule.errors import TraceError, TypeMismatch
from chainrule.graph.graph import Graph, topological
from chainrule.graph.leaks import tracing
from chainrule.graph.node import Node, Place
from chainrule.graph.place import is_inside, user_place
from chainrule.graph.structural import make_constant, make_input
from chainrule.graph.tree import Structure, flatten, leaf_names, unflatten
from chainrule.graph.types import DTYPES, Type, type_of


def type_of_value(value: Any, what: str = "the argument") -> Type:
    """Return the type of an argument: an array, a number, a traced value, or a Type itself."""
    if isinstance(value, Type):
        return value
    if isinstance(value, Node):
        return value.type
    return type_of(as_array(value, what))


def as_array(value: Any, what: str = "the argument") -> np.ndarray[Any, Any]:
    """Return a value as a numeric NumPy array, or say what it was instead."""
    if isinstance(value, Node):
        raise TraceError(f"{what} is a traced value where an array is needed")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeMismatch(f"{what} cannot be read as an array of numbers: {error}") from None
    if array.dtype not in DTYPES.values():
        if array.dtype.kind in "iu":
            return array.astype(np.int64)
        if array.dtype == np.float16:
            return array.astype(np.float32)
        kind = {"O": "Python objects", "U": "texts", "S": "bytes"}.get(
            array.dtype.kind, f"values of type {array.dtype}"
        )
        raise TypeMismatch(f"{what} holds {kind}, not numbers; encode it as float32 or float64 first")
    return array


def make_graph(function: Callable[..., Any], *arguments: Any) -> Graph:
    """Trace a function into a graph, on the types of the given arguments (values are not looked at).

    Arguments are arrays, numbers, traced values, or ``Type`` objects (whose shapes may have the symbolic row count
    ``n``), nested in dicts, lists and tuples. Inputs are always fresh; traced values of an enclosing trace that the
    function closes over stay what they are, and are constants to this graph's derivative. Once the function has
    returned, its traced values stand for nothing: who finishes or runs a graph that reads them is refused.

    >>> import chainrule as cr
    >>> print(cr.make_graph(lambda x: x * x, 3.0))
    graph(x: f64[]):
      %0 = multiply x x : f64[]
      return %0
    """
    leaves, structure = flatten(arguments)
    labels = _argument_labels(function, structure)
    place = _place_of(function)
    inputs = tuple(
        make_input(type_of_value(leaf, label), label, place) for leaf, label in zip(leaves, labels, strict=True)
    )
    try:
        with tracing(inputs):
            result = function(*unflatten(structure, inputs))
    except ValueError as error:
        if isinstance(error.__cause__, TraceError):  # NumPy hides a traced value's refusal behind an error of its own
            raise error.__cause__ from None
        raise
    out_leaves, gives = flatten(result)
    outputs = tuple(leaf if isinstance(leaf, Node) else _literal(leaf, function) for leaf in out_leaves)
    return Graph(inputs, outputs, collect_names(inputs, outputs), structure, gives)


def _place_of(function: Any) -> Place | None:
    """Return where a function is written; where it is not the user's own, the user's line that has it traced."""
    while isinstance(function, partial) or hasattr(function, "__wrapped__"):
        function = function.func if isinstance(function, partial) else function.__wrapped__
    code = getattr(function, "__code__", None)
    return user_place() if not isinstance(code, CodeType) or is_inside(code) else Place(code, 0)


def _literal(leaf: Any, function: Callable[..., Any]) -> Node:
    name = getattr(function, "__name__", "the function")
    return make_constant(as_array(leaf, f"what {name} returns"))


def _argument_labels(function: Callable[..., Any], structure: Structure) -> list[str]:
    code = getattr(function, "__code__", None)
    skip = 1 if hasattr(function, "__self__") else 0
    count = len(structure.children)
    names = list(code.co_varnames[skip : skip + code.co_argcount]) if code is not None else []
    names += [f"x{i}" for i in range(len(names), count)]
    return [label for name, child in zip(names, structure.children, strict=False) for label in leaf_names(child, name)]


def collect_names(inputs: tuple[Node, ...], outputs: tuple[Node, ...]) -> dict[str, Node]:
    """Return name → node, from the ``named`` nodes that layers and users put in; a name used twice gets a number."""
    names: dict[str, Node] = {}
    for node in topological(outputs, first=inputs):
        if node.op.name == "named":
            name = base = str(node.attributes["name"])
            again = 2
            while name in names:
                name, again = f"{base}#{again}", again + 1
            names[name] = node
    return names
