"""Simplifying changes no bit: not for ±0, not for NaN, not for Inf."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.execute import REFERENCE
from chainrule.graph import Graph, Type, check_graph, make_constant, make_input, n, simplify
from chainrule.ops import TABLE, elementwise

SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, np.inf, -np.inf, np.nan, 5e-324, 1e300, -3.25]
UNARY = {
    "negative": lambda x: -x,
    "absolute": abs,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "sign": np.sign,
    "floor": np.floor,
    "relu": cr.ops.relu,
    "sigmoid": cr.ops.sigmoid,
    "square": np.square,
    "named": lambda x: cr.ops.named(x, name="a"),
    "stop": cr.ops.stop_gradient,
    "to f32 and back": lambda x: x.astype("f32").astype("f64"),
    "cast to itself": lambda x: x.astype("f64"),
    "reshape": lambda x: x.reshape(2, 2).reshape(4, 1).reshape(4),
    "transpose": lambda x: x.reshape(2, 2).T.reshape(4),
    "transpose twice": lambda x: x.reshape(2, 2).T.T.reshape(4),
    "sum": lambda x: np.broadcast_to(np.sum(x), (4,)),
    "sum of no axes": lambda x: cr.ops.sum_(x, axis=()),
    "max": lambda x: np.broadcast_to(np.max(x, keepdims=True), (4,)),
    "slice": lambda x: np.concatenate([x[1:], x[:1]]),
    "take": lambda x: x[np.array([3, 0, 0, 1])],
    "flip twice": lambda x: np.negative(-x),
}
BINARY = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": lambda a, b: np.power(a, b),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "where": lambda a, b: np.where(a > b, a, b),
    "where same": lambda a, b: np.where(a > b, b, b),
    "where true": lambda a, b: np.where(np.array(True), a, b),
    "where false": lambda a, b: np.where(np.array([False] * 4), a, b),
    "where equal": lambda a, b: np.where(a == b, a + b, 0),
}


@st.composite
def graphs(draw: Any) -> tuple[Graph, list[Any]]:
    """A random graph on two inputs of four special numbers each, with special constants among the operands."""
    numbers = st.sampled_from(SPECIAL)
    pool: list[Any] = [make_input(Type("f64", (4,)), "x"), make_input(Type("f64", (4,)), "y")]
    inputs = tuple(pool)
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(["constant", "scalar", "unary", "binary", "binary"]))
        if kind == "constant":
            pool.append(make_constant(np.array(draw(st.lists(numbers, min_size=4, max_size=4)))))
        elif kind == "scalar":
            pool.append(np.broadcast_to(make_constant(np.array(draw(numbers))), (4,)))
        elif kind == "unary":
            pool.append(UNARY[draw(st.sampled_from(sorted(UNARY)))](draw(st.sampled_from(pool))))
        else:
            function = BINARY[draw(st.sampled_from(sorted(BINARY)))]
            pool.append(function(draw(st.sampled_from(pool)), draw(st.sampled_from(pool))))
    outputs = tuple(pool[-draw(st.integers(1, 3)) :])
    arrays = [np.array(draw(st.lists(numbers, min_size=4, max_size=4))) for _ in range(2)]
    return Graph(inputs, outputs, {"last": outputs[-1]}), arrays


@given(graphs())
@settings(deadline=None, max_examples=300)
def test_simplify_is_exact_to_the_bit(case):
    graph, arrays = case
    before = REFERENCE.run(check_graph(graph), arrays)
    text = str(graph)
    simple, new_of = simplify(graph)
    check_graph(simple, after="simplify")
    after = REFERENCE.run(simple, arrays)
    assert [np.asarray(a).tobytes() for a in after] == [np.asarray(b).tobytes() for b in before]
    assert len(simple) <= len(graph)
    assert str(graph) == text  # the old graph is not touched
    assert all(node in new_of for node in graph.nodes)
    values, simple_values = REFERENCE.run_all(graph, arrays), REFERENCE.run_all(simple, arrays)
    for old, new in new_of.items():
        assert old.type == new.type
        if new in simple_values:  # every old node's value can be read off its new node
            assert np.asarray(simple_values[new]).tobytes() == np.asarray(values[old]).tobytes()
    again, _ = simplify(simple)
    assert str(again) == str(simple)


def ops_of(function: Any, *types: Any) -> list[str]:
    graph = cr.make_graph(function, *(types or (Type("f64", (3,)),)))
    return [node.op.name for node in simplify(graph)[0].nodes if node.op.name not in ("input", "constant", "broadcast")]


@pytest.mark.parametrize(
    ("function", "left"),
    [
        (lambda x: x * 1, []),
        (lambda x: 1.0 * x, []),
        (lambda x: x * np.ones(3), []),
        (lambda x: x / 1, []),
        (lambda x: x - 0.0, []),
        (lambda x: x + -0.0, []),
        (lambda x: -0.0 + x, []),
        (lambda x: np.negative(-x), []),
        (lambda x: x.T.T, []),
        (lambda x: x.astype("f64"), []),
        (lambda x: x.reshape(3, 1).reshape(1, 3).reshape(3), []),
        (lambda x: np.where(x > 0, x, x), []),
        (lambda x: np.where(np.array(True), x, np.exp(x)), []),
        (lambda x: np.where(np.array(False), np.exp(x), x), []),
        (lambda x: cr.ops.named(x, name="a"), []),
        (lambda x: np.broadcast_to(x, (3,)), []),
        (lambda x: np.sin(x) + np.sin(x), ["sin", "add"]),
        (lambda x: (np.sin(x), np.sin(x)), ["sin"]),
        (lambda x: x + np.exp(np.log(np.ones(3) * 2)), ["add"]),
        # kept, because −0, NaN or Inf would come out otherwise
        (lambda x: x * 0.0, ["multiply"]),
        (lambda x: 0.0 * x, ["multiply"]),
        (lambda x: x + 0.0, ["add"]),
        (lambda x: x - -0.0, ["subtract"]),
        (lambda x: 0.0 - x, ["subtract"]),
        (lambda x: x * -1.0, ["multiply"]),
        (lambda x: x - x, ["subtract"]),
        (lambda x: x / x, ["divide"]),
        (lambda x: 1 / x, ["divide"]),
        (lambda x: x * np.array([1.0, 1.0, 1.5]), ["multiply"]),
        (lambda x: x + np.array([-0.0, -0.0, 0.0]), ["add"]),
        (lambda x: x.astype("f32").astype("f64"), ["cast", "cast"]),
        (lambda x: x.reshape(3, 1).reshape(1, 3), ["reshape"]),
        (lambda x: np.where(np.array([True, False, True]), x, -x), ["negative", "where"]),
        (lambda x: np.sin(x) - np.sin(-x), ["sin", "negative", "sin", "subtract"]),
    ],
)
def test_what_is_rewritten_and_what_is_kept(function, left):
    assert ops_of(function) == left


def test_integers():
    assert ops_of(lambda i: i * 1 + 0 - 0, Type("i64", (3,))) == []  # integers have one zero
    assert ops_of(lambda i: i * 0, Type("i64", (3,))) == ["multiply"]


def test_constants_are_merged_by_their_bytes():
    def constants(function: Any) -> list[Any]:
        graph = simplify(cr.make_graph(function, Type("f64"), Type("i64")))[0]
        return [node.attributes["value"] for node in graph.nodes if node.op.name == "constant"]

    assert len(constants(lambda x, i: (x * 3.0, x + 3.0))) == 1
    zeros = constants(lambda x, i: (np.maximum(x, 0.0), np.maximum(x, -0.0)))
    assert sorted(np.signbit(z) for z in zeros) == [False, True]
    twos = constants(lambda x, i: (x * 2, i * 2))
    assert sorted(str(z.dtype) for z in twos) == ["float64", "int64"]
    assert len(constants(lambda x, i: (x * np.array(1.5), x * np.array([1.5])))) == 2  # shapes differ
    assert len(constants(lambda x, i: (x * np.nan, x + np.nan))) == 1


def test_attributes_are_told_apart():
    graph = cr.make_graph(lambda x: (x.sum(axis=0), x.sum(axis=1), x.sum(axis=0)), np.ones((2, 2)))
    simple = simplify(graph)[0]
    assert simple.outputs[0] is simple.outputs[2] is not simple.outputs[1]
    graph = cr.make_graph(lambda x: (x.astype("f32"), x.astype("i32")), 1.0)
    assert len(simplify(graph)[0]) == 3


def test_float_attributes_are_told_apart_by_their_bytes():
    try:
        scaled = elementwise(
            "scaled", "x", evaluate=lambda x, by: x * by, pullback={"x": lambda g, y, x, by: scaled(g, by=by)},
            attributes=("by",), sample=[(-2, 2)], typing=lambda types, attributes: types[0],
        )  # fmt: skip
        values = [0.0, -0.0, 2, 2.0, True, 1, 1.0, (0.0,), (-0.0,)]
        graph = cr.make_graph(lambda x: [scaled(x, by=v) for v in [*values, *values]], 1.0)
        simple, _ = simplify(graph)
        assert len(set(simple.outputs)) == len(values)
        assert simple.outputs[: len(values)] == simple.outputs[len(values) :]
    finally:
        TABLE.pop("scaled", None)


def test_inputs_are_never_merged_or_dropped():
    graph = cr.make_graph(lambda x, y: x + x, 1.0, 1.0)
    simple, _ = simplify(graph)
    assert simple.inputs == graph.inputs
    assert (simple.takes, simple.gives) == (graph.takes, graph.gives)


def test_dead_nodes_are_dropped():
    graph = cr.make_graph(lambda x: np.where(np.array(True), x, np.exp(x)), 1.0)
    simple, new_of = simplify(graph)
    assert [node.op.name for node in simple.nodes] == ["input"]
    assert len(new_of) == len(graph)


def test_names_follow_their_nodes_many_to_one():
    def function(x):
        a = cr.ops.named(np.sin(x), name="a")
        b = cr.ops.named(np.sin(x) * 1.0, name="b")
        return a * b, cr.ops.named(x, name="x again")

    graph = cr.make_graph(function, 1.0)
    assert len({*graph.names.values()}) == 3
    simple, new_of = simplify(graph)
    assert simple.names["a"] is simple.names["b"]
    assert simple.names["a"].op.name == "sin"
    assert simple.names["x again"] is simple.inputs[0]
    assert all(new_of[graph.names[name]] is node for name, node in simple.names.items())


def test_names_of_dead_nodes_go():
    def function(x):
        dead = cr.ops.named(np.exp(x), name="dead")
        return np.where(np.array(True), x, dead)

    graph = cr.make_graph(function, 1.0)
    assert set(graph.names) == {"dead"}
    assert simplify(graph)[0].names == {}


def test_large_constants_and_rows_are_not_folded():
    graph = cr.make_graph(lambda x: x + np.exp(np.ones(100)) * np.broadcast_to(np.float64(2.0), (100,)), np.ones(100))
    assert [node.op.name for node in simplify(graph)[0].nodes if node.op.name != "input"] == ["constant", "add"]
    kind = Type("f64", (n,))
    assert ops_of(lambda x: x * np.exp(np.ones_like(x)), kind) == ["exp", "multiply"]


def test_bodies_are_simplified():
    graph = cr.make_graph(lambda s: cr.scan(lambda c, _: (c * 1.0 - 0.0, None), s, length=3)[0], 2.0)
    simple, _ = simplify(graph)
    loop = next(node for node in check_graph(simple).nodes if node.op.kind == "region")
    assert [node.op.name for node in loop.attributes["body"].nodes] == ["input"]
    assert REFERENCE.run(simple, [np.array(2.0)])[0] == 2.0


def test_a_gradient_is_simplified_without_changing_a_bit():
    def loss(w, x):
        return np.mean(cr.ops.softplus(np.where(x @ w > 0, x @ w, 0.1 * (x @ w))) ** 2)

    w, x = np.random.default_rng(0).normal(size=3), np.random.default_rng(1).normal(size=(5, 3))
    graph = cr.make_graph(cr.grad(loss), w, Type("f64", (n, 3)))
    simple, _ = simplify(graph)
    assert len(simple) < len(graph)
    assert REFERENCE.run(simple, [w, x])[0].tobytes() == REFERENCE.run(graph, [w, x])[0].tobytes()
