"""Cuts a failing case down: fewer outputs, nodes become inputs that hold their values, fewer rows, smaller dimensions,
simpler numbers, as long as it still fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.errors import ChainruleError
from chainrule.execute import get_executor
from chainrule.graph import Graph, Node, Rows, Type, check_graph, make_constant, make_input, topological
from chainrule.graph.graph import substitute
from chainrule.graph.types import resolve_shape

from .batch import difference
from .forms import all_nodes
from .make import Case, make_case

Fails = Callable[[Case], str]


def fails(case: Case) -> str:
    """Return what is wrong with a case, or ''; one that cannot be compiled is no such case."""
    try:
        return difference(case)
    except (ChainruleError, RuntimeError, ValueError, TypeError):
        return ""


def shrink_seed(seed: int) -> Case:
    """Return the smallest case that fails as the graph of a seed does."""
    return shrink(make_case(seed))


def shrink(case: Case, test: Fails = fails) -> Case:
    """Return the smallest case found that fails; the case itself if it does not fail."""
    note = test(case)
    case = replace(case, note=note, limits={})
    while note:
        for smaller in _smaller(case):
            if found := test(smaller):
                case = replace(smaller, note=found)
                break
        else:
            return case
    return case


def _smaller(case: Case) -> Iterator[Case]:
    """Yield cases that are a step smaller, the boldest first."""
    for step in (_single_nodes, _fewer_outputs, _cut, _fewer_rows, _smaller_dims, _simpler_values):
        yield from step(case)


def _graph(case: Case, outputs: list[Node]) -> Case:
    """Return the case with these outputs and the inputs that they need."""
    needed = set(topological(outputs))
    kept = [(i, a) for i, a in zip(case.graph.inputs, case.arrays, strict=True) if i in needed]
    return replace(case, graph=Graph(tuple(i for i, _ in kept), tuple(outputs)), arrays=[a for _, a in kept])


def _weight(case: Case) -> int:
    return len(_graph(case, list(case.graph.outputs)).graph.nodes)


def _single_nodes(case: Case) -> Iterator[Case]:
    """Yield the case with one node as its only output, the earliest first."""
    most = _weight(case)
    for node in all_nodes(case.graph).outputs:
        smaller = _graph(case, [node])
        if node.operands and (len(case.graph.outputs) > 1 or _weight(smaller) < most):
            yield smaller


def _fewer_outputs(case: Case) -> Iterator[Case]:
    outputs = list(case.graph.outputs)
    if len(outputs) > 2:
        half = len(outputs) // 2
        yield _graph(case, outputs[half:])
        yield _graph(case, outputs[:half])
    if len(outputs) > 1:
        for i in range(len(outputs)):
            yield _graph(case, [*outputs[:i], *outputs[i + 1 :]])


def _cut(case: Case) -> Iterator[Case]:
    """Yield the case with one node turned into an input that holds its value, the last first."""
    try:
        values = get_executor("reference").run_all(case.graph, case.arrays, case.rows)
    except ChainruleError:
        return
    outputs = set(case.graph.outputs)
    for node in reversed(case.graph.nodes):
        if not isinstance(node.type, Type) or not node.operands or node in outputs:
            continue
        fresh = make_input(node.type, f"v{node.serial}")
        graph = Graph((*case.graph.inputs, fresh), tuple(substitute(case.graph.outputs, {node: fresh})))
        yield _graph(replace(case, graph=graph, arrays=[*case.arrays, np.asarray(values[node])]), list(graph.outputs))


def _fewer_rows(case: Case) -> Iterator[Case]:
    for rows in sorted({0, 1, 2, 3, case.rows // 2, case.rows - 1}):
        if 0 <= rows < case.rows:
            arrays = [_cut_to(a, resolve_shape(i.shape, rows)) for i, a in _pairs(case)]
            yield replace(case, rows=rows, arrays=arrays)


def _smaller_dims(case: Case) -> Iterator[Case]:
    dims = {d for n in case.graph.nodes if isinstance(n.type, Type) for d in n.shape if isinstance(d, int)}
    for dim in sorted(dims, reverse=True):
        for new in sorted({1, 2, 3, dim // 2, dim - 1}):
            if 0 < new < dim:
                try:
                    yield _resized(case, dim, new)
                except (ChainruleError, ValueError, IndexError):
                    continue


def _resized(case: Case, old: int, new: int) -> Case:
    """Put one dimension in the place of another, wherever it stands."""

    def mapped(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(new if isinstance(v, int) and v == old else v for v in value)
        return new if type(value) is int and value == old else value

    made: dict[Node, Node] = {}
    arrays = []
    for node, array in _pairs(case):
        made[node] = make_input(node.type.with_shape(mapped(node.shape)), str(node.attributes["label"]))
        arrays.append(_cut_to(array, resolve_shape(made[node].shape, case.rows)))
    for node in case.graph.nodes:
        if node in made:
            continue
        if node.op.name in ("constant", "captured"):
            made[node] = make_constant(_cut_to(node.attributes["value"], mapped(node.shape)))
            continue
        kept = ("axis", "axes", "index", "start", "step", "before", "after", "between")
        attributes = {k: v if k in kept else mapped(v) for k, v in node.attributes.items()}
        operands = tuple(made[o] for o in node.operands)
        made[node] = Node(node.op, operands, attributes, node.op.infer(operands, attributes))
    graph = Graph(tuple(made[i] for i in case.graph.inputs), tuple(made[o] for o in case.graph.outputs))
    return replace(case, graph=check_graph(graph), arrays=arrays)


def _simpler_values(case: Case) -> Iterator[Case]:
    for place, array in enumerate(case.arrays):
        for simple in _simpler(array):
            if simple.tobytes() != array.tobytes():
                yield replace(case, arrays=[*case.arrays[:place], simple, *case.arrays[place + 1 :]])


def _simpler(array: Any) -> Iterator[Any]:
    """Yield simpler arrays: all 1, whole numbers, and one number after another set to 1. What is simple stays."""
    if array.size == 0 or np.all(array == 1):
        return
    yield np.ones_like(array)
    if array.dtype.kind == "f" and np.all(np.isfinite(array)) and np.any(np.rint(array) != array):
        yield np.rint(array)
    if array.size <= 16:
        for i in np.flatnonzero(array.reshape(-1) != 1):
            one = array.copy()
            one.reshape(-1)[i] = 1
            yield one


def _pairs(case: Case) -> Iterator[tuple[Node, Any]]:
    yield from zip(case.graph.inputs, case.arrays, strict=True)


def _cut_to(array: Any, shape: tuple[Any, ...]) -> Any:
    """Return the first elements along each axis."""
    fixed = [d if isinstance(d, int) else d.multiple if isinstance(d, Rows) else d for d in shape]
    return np.ascontiguousarray(np.asarray(array)[tuple(slice(0, d) for d in fixed)]).reshape(shape)
