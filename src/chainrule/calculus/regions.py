"""The chain rule through loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chainrule.errors import NotDifferentiable
from chainrule.graph import Graph, Node, Type, inline, make_input, take_result, where_made
from chainrule.ops.build import new_node
from chainrule.ops.regions import ITERATE, SCAN
from chainrule.ops.shapes import zeros_of


def pull_back(node: Node, cotangents: Mapping[int, Node], wanted: Sequence[bool]) -> list[Node | None]:
    """Return the derivative by each operand of a region, given those of its results (by index)."""
    if node.op is ITERATE:
        return _through_iterate(node, cotangents, wanted)
    return _through_scan(node, cotangents, wanted)


def _or_zeros(node: Node | None, kind: Type) -> Node:
    return zeros_of(kind) if node is None else node


def _through_scan(node: Node, cotangents: Mapping[int, Node], wanted: Sequence[bool]) -> list[Node | None]:
    """Run the loop once more keeping every carry, then run the body's derivative from the last trip to the first.

    The backward loop carries ∂L/∂carry and the sum of ∂L/∂(values read from outside); it reads the kept carries, the
    sequences, and the derivatives of the collected results.
    """
    from chainrule.calculus.reverse import backward

    body: Graph = node.attributes["body"]
    length, carries, sequences = (node.attributes[k] for k in ("length", "carries", "sequences"))
    reverse: bool = node.attributes["reverse"]
    carry_in, x_in, rest_in = _split(body.inputs, carries, sequences)
    _, xs, rest = _split(node.operands, carries, sequences)
    carry_out, y_out = body.outputs[:carries], body.outputs[carries:]

    keep = Graph(body.inputs, (*carry_out, *carry_in))
    kept_node = new_node(SCAN, node.operands, {**node.attributes, "body": keep})
    kept = [take_result(kept_node, carries + i) for i in range(carries)]

    float_carry = [i for i, c in enumerate(carry_in) if c.type.is_float]
    float_x = [i for i, x in enumerate(x_in) if x.type.is_float]
    float_rest = [i for i, r in enumerate(rest_in) if r.type.is_float and wanted[carries + sequences + i]]
    float_y = [i for i, y in enumerate(y_out) if y.type.is_float and carries + i in cotangents]

    g_carry = [make_input(carry_in[i].type, f"g_carry{i}") for i in float_carry]
    g_rest = [make_input(rest_in[i].type, f"g_outer{i}") for i in float_rest]
    g_y = [make_input(y_out[i].type, f"g_y{i}") for i in float_y]
    seeds: list[Node | None] = [None] * len(body.outputs)
    for i, g in zip(float_carry, g_carry, strict=True):
        seeds[i] = g
    for i, g in zip(float_y, g_y, strict=True):
        seeds[carries + i] = g
    by = [*(carry_in[i] for i in float_carry), *(x_in[i] for i in float_x), *(rest_in[i] for i in float_rest)]
    pieces = [_or_zeros(p, w.type) for p, w in zip(backward(body.outputs, seeds, by), by, strict=True)]
    by_carry, by_x, by_rest = _split(pieces, len(float_carry), len(float_x))
    gathered: list[Any] = [total + piece for total, piece in zip(g_rest, by_rest, strict=True)]
    back_body = Graph(
        (*g_carry, *g_rest, *carry_in, *x_in, *g_y, *rest_in),
        (*by_carry, *gathered, *by_x),
    )
    begin = [_or_zeros(cotangents.get(i), carry_in[i].type) for i in float_carry]
    begin += [zeros_of(rest_in[i].type) for i in float_rest]
    back = new_node(
        SCAN,
        [*begin, *kept, *xs, *(cotangents[carries + i] for i in float_y), *rest],
        {
            "body": back_body,
            "length": length,
            "carries": len(g_carry) + len(g_rest),
            "sequences": carries + sequences + len(g_y),
            "reverse": not reverse,
        },
    )
    result: list[Node | None] = [None] * len(node.operands)
    places = float_carry + [carries + sequences + i for i in float_rest] + [carries + i for i in float_x]
    for index, place in enumerate(places):
        if wanted[place]:
            result[place] = take_result(back, index)
    return result


def _split(values: Any, carries: int, sequences: int) -> tuple[Any, Any, Any]:
    return values[:carries], values[carries : carries + sequences], values[carries + sequences :]


def _through_iterate(node: Node, cotangents: Mapping[int, Node], wanted: Sequence[bool]) -> list[Node | None]:
    """Apply the explicit implicit rule: a fixed point does not depend on where the loop started."""
    states, given = node.attributes["states"], node.attributes["given"]
    rule: Graph | None = node.attributes["implicit"]
    outside = any(wanted[states + given :])
    if rule is None and any(wanted[states:]):
        raise NotDifferentiable(
            f"iterate has no derivative without a rule: pass given=(…) and implicit=… (made at {where_made(node)})"
        )
    if outside:
        raise NotDifferentiable(
            "iterate reads a value from outside that a derivative is asked for; pass it through given=(…) "
            f"(made at {where_made(node)})"
        )
    result: list[Node | None] = [None] * len(node.operands)
    if rule is None:
        return result
    g = [_or_zeros(cotangents.get(i), node.operands[i].type) for i in range(states)]
    y = [take_result(node, i) for i in range(states)]
    for i, piece in enumerate(inline(rule, [*g, *y, *node.operands[states : states + given]])):
        if wanted[states + i]:
            result[states + i] = piece
    return result
