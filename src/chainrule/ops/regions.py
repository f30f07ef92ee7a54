"""Regions: loops that hold subgraphs. ``scan`` runs a fixed number of trips; ``iterate`` runs until a condition holds.

A body may read values of the enclosing function. They become operands of the region, so that a body is always a closed
graph, and every pass, executor and explanation sees what it depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.errors import TraceError, TypeMismatch
from chainrule.graph import (
    Graph,
    Node,
    Type,
    as_array,
    depends_on,
    flatten,
    make_constant,
    make_graph,
    make_input,
    result_types,
    substitute,
    take_result,
    topological,
    type_of_value,
    unflatten,
)
from chainrule.graph.structural import INPUT
from chainrule.graph.types import resolve_shape
from chainrule.ops.build import is_traced, mismatch, new_node
from chainrule.ops.record import NOT_DIFFERENTIABLE, Op, register

Run = Callable[[Graph, Sequence[Any]], list[Any]]


def close(graph: Graph) -> tuple[Graph, list[Node]]:
    """Make a graph closed: what it reads from outside becomes further inputs; return those outside values too."""
    inside = depends_on(graph.outputs, graph.inputs)
    order = topological(graph.outputs)
    foreign: set[Node] = set()  # nodes that rest on an input of an enclosing trace
    mine = set(graph.inputs)
    for node in order:
        if (node.op is INPUT and node not in mine) or any(o in foreign for o in node.operands):
            foreign.add(node)
    found: dict[Node, None] = {}  # an ordered set: == on nodes is an operation, so no search in a list
    for operands in [*(node.operands for node in order if node in inside), graph.outputs]:
        found.update((o, None) for o in operands if o in foreign and o not in inside)
    captured = list(found)
    if not captured:
        return graph, []
    fresh = [make_input(c.type, f"outer{i}", c.provenance) for i, c in enumerate(captured)]
    outputs = substitute(graph.outputs, dict(zip(captured, fresh, strict=True)))
    return Graph((*graph.inputs, *fresh), tuple(outputs)), captured


def _body_types(name: str, body: Graph, given: Sequence[Type]) -> tuple[Type, ...]:
    takes = tuple(i.type for i in body.inputs)
    if takes != tuple(given):
        raise TypeMismatch(f"{name}: its body takes ({_list(takes)}), it is given ({_list(given)})")
    return tuple(o.type for o in body.outputs)


def _list(types: Sequence[Type]) -> str:
    return ", ".join(map(str, types))


def _scan_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> tuple[Type, ...]:
    carries, sequences, length = attributes["carries"], attributes["sequences"], attributes["length"]
    carry, xs, rest = types[:carries], types[carries : carries + sequences], types[carries + sequences :]
    for kind in xs:
        if kind.rank < 1 or kind.shape[0] != length:
            raise TypeMismatch(f"scan: a sequence is {kind}; its first axis must have the length {length}")
    slices = [kind.with_shape(kind.shape[1:]) for kind in xs]
    gives = _body_types("scan", attributes["body"], [*carry, *slices, *rest])
    if gives[:carries] != carry:
        raise TypeMismatch(f"scan: the body turns the carry ({_list(carry)}) into ({_list(gives[:carries])})")
    return carry + tuple(kind.with_shape((length, *kind.shape)) for kind in gives[carries:])


def _scan(
    run: Run, *operands: Any, body: Graph, length: int, carries: int, sequences: int, reverse: bool
) -> tuple[Any, ...]:
    carry = list(operands[:carries])
    xs, rest = operands[carries : carries + sequences], operands[carries + sequences :]
    collected: list[list[Any]] = [[] for _ in body.outputs[carries:]]
    for trip in range(length - 1, -1, -1) if reverse else range(length):
        results = run(body, [*carry, *(x[trip] for x in xs), *rest])
        carry = results[:carries]
        for column, y in zip(collected, results[carries:], strict=True):
            column.append(y)
    stacked = []
    for column, output in zip(collected, body.outputs[carries:], strict=True):
        if not column:
            if any(not isinstance(d, int) for d in output.shape):
                raise TraceError("scan: a sequence of no trips over n rows has no known shape")
            column = [np.zeros(output.shape, output.dtype)]
            stacked.append(np.stack(column)[:0])
        else:
            stacked.append(np.stack(column[::-1] if reverse else column))
    return (*carry, *stacked)


SCAN = register(
    Op(
        name="scan",
        kind="region",
        operands=("values",),
        variadic=True,
        evaluate=_scan,
        typing=_scan_type,
        pullback={"values": lambda g, y, *values, **attributes: _handled_by_calculus("scan")},
        attributes=("body", "length", "carries", "sequences", "reverse"),
        latex=r"\operatorname{{scan}}({values})",
        because="the chain rule, trip by trip, from the last to the first",
        accepts="any",
    )
)


def _handled_by_calculus(name: str) -> Any:
    raise TraceError(f"{name} is differentiated by chainrule.calculus.regions, not by a rule of its own")


def scan(
    body: Callable[[Any, Any], tuple[Any, Any]],
    start: Any,
    xs: Any = None,
    *,
    length: int | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """Loop a fixed number of times: ``carry, y_t = body(carry, x_t)`` for each t; return the last carry and all y.

    ``start`` and ``xs`` are nested values; every leaf of ``xs`` has the trips along its first axis. Without ``xs`` give
    ``length``. Differentiable to any order.

    >>> import numpy as np
    >>> total, partial = scan(lambda total, x: (total + x, total + x), 0.0, np.array([1.0, 2.0, 3.0]))
    >>> float(total), partial.tolist()
    (6.0, [1.0, 3.0, 6.0])
    """
    start_leaves, start_structure = flatten(start)
    x_leaves, x_structure = flatten(xs)
    x_leaves = [x if isinstance(x, Node) else as_array(x, "a sequence of scan") for x in x_leaves]
    for x in x_leaves:
        if not x.shape:
            raise mismatch("scan: a sequence is a single number; its first axis must be the trips")
    lengths = {x.shape[0] for x in x_leaves} | ({length} if length is not None else set())
    if len(lengths) != 1 or not isinstance(next(iter(lengths)), int):
        raise mismatch(f"scan: the sequences and length must give one fixed number of trips, not {lengths or 'none'}")
    (trips,) = lengths
    slice_types = [type_of_value(x).with_shape(x.shape[1:]) for x in x_leaves]
    start_types = [type_of_value(s, "the start of scan") for s in start_leaves]

    def flat_body(*values: Any) -> Any:
        carry = unflatten(start_structure, values[: len(start_leaves)])
        return body(carry, unflatten(x_structure, values[len(start_leaves) :]))

    traced = make_graph(flat_body, *start_types, *slice_types)
    if traced.gives is None or traced.gives.kind != "tuple" or len(traced.gives.children) != 2:
        raise TraceError("scan: the body must return a pair: (carry, y); y may be None")
    carry_structure, y_structure = traced.gives.children
    if carry_structure != start_structure:
        raise TraceError(f"scan: the carry starts as {start_structure} and the body returns {carry_structure}")
    closed, captured = close(traced)
    if not captured and not is_traced(*start_leaves, *x_leaves):
        before, after = start_types, [o.type for o in traced.outputs[: len(start_leaves)]]
        if after != before:
            raise mismatch(f"scan: the body turns the carry ({_list(before)}) into ({_list(after)})")
        if trips:
            return _scan_now(body, start, x_leaves, x_structure, trips, reverse)
        empty = [np.zeros((0, *resolve_shape(o.shape, None)), o.dtype) for o in traced.outputs[len(start_leaves) :]]
        return start, unflatten(y_structure, empty)
    operands = [_node(v) for v in [*start_leaves, *x_leaves]] + captured
    node = new_node(
        SCAN,
        operands,
        {"body": closed, "length": trips, "carries": len(start_leaves), "sequences": len(x_leaves), "reverse": reverse},
    )
    results = [take_result(node, i) for i in range(len(result_types(node)))]
    return (
        unflatten(start_structure, results[: len(start_leaves)]),
        unflatten(y_structure, results[len(start_leaves) :]),
    )


def _node(value: Any) -> Node:
    return value if isinstance(value, Node) else make_constant(as_array(value))


def _scan_now(body: Any, carry: Any, xs: Sequence[Any], structure: Any, trips: int, reverse: bool) -> tuple[Any, Any]:
    collected: list[Any] = []
    shape_of_y: Any = None
    for trip in range(trips - 1, -1, -1) if reverse else range(trips):
        carry, y = body(carry, unflatten(structure, [x[trip] for x in xs]))
        leaves, shape_of_y = flatten(y)
        collected.append(leaves)
    columns = zip(*(collected[::-1] if reverse else collected), strict=True)
    return carry, unflatten(shape_of_y, [np.stack(column) for column in columns])


def _iterate_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> tuple[Type, ...]:
    states = attributes["states"]
    if _body_types("iterate", attributes["body"], types) != types[:states]:
        gives = _list(tuple(o.type for o in attributes["body"].outputs))
        raise TypeMismatch(f"iterate: the body turns the state ({_list(types[:states])}) into ({gives})")
    if _body_types("iterate", attributes["until"], types) != (Type("bool"),):
        raise TypeMismatch("iterate: until must return one truth value, for instance np.max(change) < 1e-6")
    return (*types[:states], Type("bool"))


def _iterate(
    run: Run, *operands: Any, body: Graph, until: Graph, at_most: int, states: int, given: int, implicit: Graph | None
) -> tuple[Any, ...]:
    state, rest = list(operands[:states]), list(operands[states:])
    trips = 0
    converged = bool(run(until, [*state, *rest])[0])
    while not converged and trips < at_most:
        state = run(body, [*state, *rest])
        converged = bool(run(until, [*state, *rest])[0])
        trips += 1
    return (*state, np.asarray(converged))


ITERATE = register(
    Op(
        name="iterate",
        kind="region",
        operands=("values",),
        variadic=True,
        evaluate=_iterate,
        typing=_iterate_type,
        pullback={"values": NOT_DIFFERENTIABLE},
        attributes=("body", "until", "at_most", "states", "given", "implicit"),
        latex=r"\operatorname{{iterate}}({values})",
        because="only by an explicit implicit rule: how the fixed point moves with what it was given",
        accepts="any",
    )
)


def iterate(
    state: Any,
    body: Callable[..., Any],
    until: Callable[..., Any],
    at_most: int,
    *,
    given: tuple[Any, ...] = (),
    implicit: Callable[..., Any] | None = None,
) -> tuple[Any, Any]:
    """Repeat ``state = body(state, *given)`` until ``until(state, *given)``, at most so many times.

    Returns ``(state, converged)``: converged is False where the limit was reached first, and a training step that holds
    such a loop reports it. Differentiable only by an explicit rule ``implicit(g, state, *given)``, which returns the
    derivative by each of ``given``; the start of the loop has the derivative zero.

    >>> root, converged = iterate(1.0, lambda x: 0.5 * (x + 2.0 / x), lambda x: abs(x * x - 2.0) < 1e-12, 50)
    >>> f"{root:.12f}", bool(converged)
    ('1.414213562373', True)
    """
    if at_most < 1:
        raise TypeMismatch(f"iterate: at_most is {at_most}; it must be at least 1")
    leaves, structure = flatten(state)
    given_leaves, given_structure = flatten(given)
    types = [type_of_value(v, "the state of iterate") for v in leaves]
    given_types = [type_of_value(v, "what iterate is given") for v in given_leaves]

    def flat(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*values: Any) -> Any:
            return function(
                unflatten(structure, values[: len(leaves)]), *unflatten(given_structure, values[len(leaves) :])
            )

        return call

    body_graph = make_graph(flat(body), *types, *given_types)
    if body_graph.gives != structure:
        raise TraceError(f"iterate: the state is {structure} and the body returns {body_graph.gives}")
    until_graph = make_graph(flat(until), *types, *given_types)
    closed_body, body_captured = close(body_graph)
    closed_until, until_captured = close(until_graph)
    if not (body_captured or until_captured or is_traced(*leaves, *given_leaves)):
        return _iterate_now(state, body, until, at_most, given)
    captured = body_captured + [c for c in until_captured if c not in set(body_captured)]
    node = new_node(
        ITERATE,
        [_node(v) for v in [*leaves, *given_leaves]] + captured,
        {
            "body": _widen(closed_body, body_captured, captured),
            "until": _widen(closed_until, until_captured, captured),
            "at_most": int(at_most),
            "states": len(leaves),
            "given": len(given_leaves),
            "implicit": _implicit_graph(implicit, structure, types, given_structure, given_types),
        },
    )
    results = [take_result(node, i) for i in range(len(leaves) + 1)]
    return unflatten(structure, results[:-1]), results[-1]


def _widen(graph: Graph, has: Sequence[Node], wants: Sequence[Node]) -> Graph:
    """Give a closed graph one input for each captured value, in the common order, whether it reads it or not."""
    own = len(graph.inputs) - len(has)
    mine = dict(zip(has, graph.inputs[own:], strict=True))
    more = tuple(mine[c] if c in mine else make_input(c.type, f"outer{i}") for i, c in enumerate(wants))
    return Graph((*graph.inputs[:own], *more), graph.outputs)


def _implicit_graph(
    rule: Callable[..., Any] | None, structure: Any, types: Sequence[Type], given_structure: Any, given: Sequence[Type]
) -> Graph | None:
    if rule is None:
        return None
    count = len(types)

    def flat_rule(*values: Any) -> Any:
        g, y = unflatten(structure, values[:count]), unflatten(structure, values[count : 2 * count])
        result = rule(g, y, *unflatten(given_structure, values[2 * count :]))
        return result if isinstance(result, tuple) else (result,)

    graph = make_graph(flat_rule, *types, *types, *given)
    if graph.free:
        raise TraceError("iterate: the implicit rule reads traced values from outside; pass them through given=(…)")
    if [o.type for o in graph.outputs] != list(given):
        raise TraceError(
            f"iterate: the implicit rule returns ({_list([o.type for o in graph.outputs])}), one derivative for each "
            f"given value ({_list(given)}) is needed"
        )
    return graph


def _iterate_now(state: Any, body: Any, until: Any, at_most: int, given: tuple[Any, ...]) -> tuple[Any, Any]:
    converged = bool(until(state, *given))
    trips = 0
    while not converged and trips < at_most:
        state = body(state, *given)
        converged = bool(until(state, *given))
        trips += 1
    return state, converged
