"""A function becomes a graph that knows its names and the user's lines."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ExecutionError, GraphError, TraceError, TypeMismatch
from chainrule.execute import REFERENCE
from chainrule.graph import (
    Backward,
    Graph,
    Node,
    Place,
    Rows,
    Type,
    check_graph,
    depends_on,
    inline,
    make_constant,
    make_input,
    n,
    result_types,
    substitute,
    take_result,
    topological,
    where_made,
)


def test_a_function_becomes_a_graph():
    def function(parameters, x):
        return {"y": x @ parameters["w"], "size": [parameters["b"], 3.0]}

    parameters = {"w": np.ones((2, 1)), "b": np.float32(1)}
    graph = cr.make_graph(function, parameters, Type("f64", (n, 2)))
    assert [i.attributes["label"] for i in graph.inputs] == ["parameters.b", "parameters.w", "x"]
    assert [str(i.type) for i in graph.inputs] == ["f32[]", "f64[2,1]", "f64[n,2]"]
    assert str(graph.takes) == "({'b': *, 'w': *}, *)"
    assert str(graph.gives) == "{'size': [*, *], 'y': *}"
    assert [str(o.type) for o in graph.outputs] == ["f32[]", "f64[]", "f64[n,1]"]
    assert graph.inputs[0] is graph.outputs[0]
    assert len(graph) == len(list(graph)) == 5
    check_graph(graph)


def test_the_text_of_a_graph():
    graph = cr.make_graph(lambda x, w: np.sum(2 * x, axis=0) @ w, Type("f64", (n, 3)), np.ones((3, 2)))
    assert str(graph).splitlines() == [
        "graph(x: f64[n,3], w: f64[3,2]):",
        "  %0 = constant 2. : f64[]",
        "  %1 = broadcast shape=(n,3) %0 : f64[n,3]",
        "  %2 = multiply %1 x : f64[n,3]",
        "  %3 = sum axes=(0,) %2 : f64[3]",
        "  %4 = reshape shape=(1,3) %3 : f64[1,3]",
        "  %5 = matmul %4 w : f64[1,2]",
        "  %6 = reshape shape=(2,) %5 : f64[2]",
        "  return %6",
    ]


def test_labels_are_names_where_there_are_names():
    graph = cr.make_graph(lambda x: cr.ops.named(np.exp(x), name="rate") * x, 1.0)
    assert str(graph).splitlines()[1:] == [
        "  %0 = exp x : f64[]",
        "  rate = named name='rate' %0 : f64[]",
        "  %1 = multiply rate x : f64[]",
        "  return %1",
    ]
    assert graph.names["rate"].op.name == "named"


def test_inputs_are_always_fresh_and_equal_values_stay_apart():
    function = lambda x: np.sin(x) + np.sin(x)  # noqa: E731
    a, b = cr.make_graph(function, 1.0), cr.make_graph(function, 1.0)
    assert not set(a.nodes) & set(b.nodes)
    assert [node.op.name for node in a.nodes] == ["input", "sin", "sin", "add"]
    twice = cr.make_graph(lambda x, y: x + y, 1.0, 1.0)
    assert twice.inputs[0] is not twice.inputs[1]


def test_two_inputs_of_one_label_are_told_apart():
    graph = cr.make_graph(lambda *xs: xs[0] + xs[1], 1.0, 2.0)
    assert [i.attributes["label"] for i in graph.inputs] == ["x0", "x1"]
    x, y = make_input(Type("f64"), "x"), make_input(Type("f64"), "x")
    graph = Graph((x, y), (x - y,))
    assert len(set(graph.labels.values())) == 3
    assert str(graph).splitlines()[0] == "graph(x: f64[], %0: f64[]):"


def test_a_name_used_twice_gets_a_number():
    graph = cr.make_graph(lambda x: cr.ops.named(cr.ops.named(x, name="a") * 2, name="a"), 1.0)
    assert sorted(graph.names) == ["a", "a#2"]
    assert graph.names["a"] is not graph.names["a#2"]


def test_labels_come_from_the_arguments():
    class Model:
        def loss(self, weight, x):
            return weight * x

        def __call__(self, x):
            return x

    assert [i.attributes["label"] for i in cr.make_graph(Model().loss, 1.0, 2.0).inputs] == ["weight", "x"]
    assert [i.attributes["label"] for i in cr.make_graph(Model(), 1.0).inputs] == ["x0"]
    assert [i.attributes["label"] for i in cr.make_graph(np.exp, 1.0).inputs] == ["x0"]


def test_arguments_of_every_kind():
    kinds = [
        (1.0, "f64[]"), (1, "i64[]"), (True, "bool[]"), (np.float32(1), "f32[]"), ([1.0, 2.0], None),
        (np.zeros((2, 0), np.int8), "i64[2,0]"), (np.zeros(2, np.float16), "f32[2]"), (np.uint64(1), "u64[]"),
        (Type("f32", (Rows(2),)), "f32[2n]"),
    ]  # fmt: skip
    for value, expected in kinds:
        graph = cr.make_graph(lambda x: x, value)
        if expected is None:
            assert [str(i.type) for i in graph.inputs] == ["f64[]", "f64[]"]  # a list is a nesting, not an array
        else:
            assert str(graph.inputs[0].type) == expected
    for bad, message in [("text", "the argument|x holds texts"), (object(), "Python objects"), (1j, "complex128")]:
        with pytest.raises(TypeMismatch, match=message):
            cr.make_graph(lambda x: x, bad)


def test_what_a_function_returns_must_be_numbers():
    def wrong(x):
        return x, "a text"

    with pytest.raises(TypeMismatch, match="what wrong returns holds texts, not numbers"):
        cr.make_graph(wrong, 1.0)
    graph = cr.make_graph(lambda x: None, 1.0)
    assert graph.outputs == ()


def test_provenance_is_the_users_line():
    def function(x):
        y = np.sin(x)
        return (
            y
            * x
        )  # fmt: skip

    first = inspect.getsourcelines(function)[1]
    graph = cr.make_graph(function, np.ones(2))
    sin, multiply = graph.nodes[1:]
    for node, line in ((sin, first + 1), (multiply, first + 3)):
        assert isinstance(node.provenance, Place)
        assert node.provenance.code is function.__code__
        assert abs(node.provenance.line - line) <= (0 if node is sin else 1)  # an operator spans two lines
        assert str(node.provenance) == f"{__file__}:{node.provenance.line} in function"
    assert where_made(sin) == str(sin.provenance)


def helper(x):
    return cr.ops.softmax(x)


def test_provenance_is_the_innermost_line_that_is_not_the_librarys():
    graph = cr.make_graph(lambda x: helper(x), np.ones(3))
    line = inspect.getsourcelines(helper)[1] + 1
    places = {where_made(node) for node in graph.nodes if node.op.name != "input"}
    assert places == {f"{__file__}:{line} in helper"}


def test_provenance_of_numpys_functions_and_weak_numbers():
    graph = cr.make_graph(lambda x: np.mean(x * 2.0 + np.ones(3), axis=0), np.ones((4, 3)))
    for node in graph.nodes[1:]:
        assert re.fullmatch(rf"{re.escape(__file__)}:\d+ in <lambda>", where_made(node)), node


def test_provenance_of_a_derivative_names_what_it_is_the_derivative_of():
    graph = cr.make_graph(cr.grad(lambda x: np.sin(x) * 3.0), 1.0)
    cosine = next(node for node in graph.nodes if node.op.name == "cos")
    assert isinstance(cosine.provenance, Backward)
    assert (cosine.provenance.of.op.name, cosine.provenance.operand) == ("sin", "x")
    assert re.match(rf"in the backward computation of sin, {re.escape(__file__)}:\d+ in <lambda>", where_made(cosine))


def test_errors_of_a_run_name_the_line():
    graph = cr.make_graph(lambda x, i: x[i], np.ones(2), np.array([0]))
    line = inspect.currentframe().f_lineno - 1
    with pytest.raises(ExecutionError, match=rf"made at {re.escape(__file__)}:{line} in <lambda>"):
        REFERENCE.run(graph, [np.ones(2), np.array([5])])


def test_constants_are_read_only_copies():
    mine = np.ones(3)
    graph = cr.make_graph(lambda x: x + mine, np.zeros(3))
    mine[:] = 7
    np.testing.assert_array_equal(REFERENCE.run(graph, [np.zeros(3)])[0], [1, 1, 1])
    (constant,) = [node for node in graph.nodes if node.op.name == "constant"]
    assert not constant.attributes["value"].flags.writeable


def test_large_arrays_are_captured_not_written_into_the_graph():
    assert make_constant(np.zeros(128)).op.name == "constant"
    assert make_constant(np.zeros(129)).op.name == "captured"


def test_running_checks_the_inputs():
    graph = cr.make_graph(lambda x, y: x + y, Type("f64", (n, 2)), Type("f64", (n, 2)))
    x = np.ones((3, 2))
    for arrays, message in [
        ([x], "the graph takes 2 inputs, 1 were given"),
        ([x, x[:2]], r"the input y is float64\[2,2\], the graph takes f64\[n,2\] with n = 3"),
        ([x, x.astype("f4")], r"the input y is float32\[3,2\], the graph takes f64\[n,2\]"),
        ([x[0], x], r"the input x is float64\[2\], the graph takes f64\[n,2\]"),
        ([x[:, :1], x], r"the input x is float64\[3,1\], the graph takes f64\[n,2\]"),
    ]:
        with pytest.raises(ExecutionError, match=message):
            REFERENCE.run(graph, arrays)
    even = cr.make_graph(lambda x: x, Type("f64", (Rows(2),)))
    with pytest.raises(ExecutionError, match="n = a whole number"):
        REFERENCE.run(even, [np.ones(3)])


def test_a_graph_with_free_inputs_cannot_be_run():
    leaked = []
    cr.make_graph(lambda inner: leaked.append(inner) or inner, 1.0)
    graph = cr.make_graph(lambda x: x * leaked[0], 2.0)
    assert graph.free == (leaked[0],)
    for way in (REFERENCE.run, REFERENCE.run_prepared):
        with pytest.raises(TraceError, match=r"a traced value leaked out of its function: 'inner', an argument of the"):
            way(graph, [2.0])


# --- the pieces ----------------------------------------------------------------------------------------------------


def test_topological_order_puts_operands_first():
    x = make_input(Type("f64"), "x")
    a = x * 2.0
    b = a + x
    c = b * a
    order = topological([c, a])
    assert len(order) == len(set(order))
    place = {node: i for i, node in enumerate(order)}
    assert all(place[o] < place[node] for node in order for o in node.operands)


def test_a_cycle_is_found():
    x = make_input(Type("f64"), "x")
    a = np.sin(x)
    b = np.cos(a)
    a.operands = (b,)
    with pytest.raises(GraphError, match=r"the graph has a cycle through (sin|cos)"):
        topological([b])


def test_depends_on():
    x, y = make_input(Type("f64"), "x"), make_input(Type("f64"), "y")
    a, b = np.sin(x), np.cos(y)
    c = a + b
    assert depends_on([c], [x]) == {x, a, c}


def test_substitute_keeps_what_does_not_change():
    x, y = make_input(Type("f64"), "x"), make_input(Type("f64"), "y")
    kept = np.sin(y)
    (new,) = substitute([np.exp(x) * kept], {x: y})
    assert new.operands[1] is kept
    assert new.operands[0].operands == (y,)
    with pytest.raises(GraphError, match=r"cannot put f32\[\] in the place of f64\[\]"):
        substitute([kept], {y: make_input(Type("f32"), "z")})


def test_inline():
    graph = cr.make_graph(lambda x, y: x - y, 1.0, 1.0)
    a, b = make_input(Type("f64"), "a"), make_input(Type("f64"), "b")
    (result,) = inline(graph, [b, a])
    assert result.operands == (b, a)
    with pytest.raises(GraphError, match="takes 2 inputs, 1 were given"):
        inline(graph, [a])


def test_results_of_a_region():
    graph = cr.make_graph(lambda x: cr.scan(lambda c, _: (c, c), x, length=2), 1.0)
    loop = next(node for node in graph.nodes if node.op.kind == "region")
    assert result_types(loop) == (Type("f64"), Type("f64", (2,)))
    assert repr(loop) == "<traced scan: f64[], f64[2]>"
    assert take_result(loop, 1).type == Type("f64", (2,))
    assert repr(graph.inputs[0]) == "<traced input: f64[]>"


# --- check_graph ------------------------------------------------------------------------------------------------------


def chain() -> tuple[Graph, list[Node]]:
    x = make_input(Type("f64", (3,)), "x")
    nodes = [x]
    for _ in range(12):
        nodes.append(np.sin(nodes[-1]))
    return Graph((x,), (nodes[-1],)), nodes


def test_a_wrong_type_is_found_and_its_neighbours_are_printed():
    graph, nodes = chain()
    check_graph(graph)
    nodes[6].type = Type("f32", (3,))
    with pytest.raises(GraphError) as caught:
        check_graph(graph, after="simplify")
    lines = str(caught.value).splitlines()
    assert lines[0] == "after simplify: sin should give f64[3], the node says f32[3]"
    assert len(lines) == 11
    assert lines[6] == ">> %5 = sin %4 : f32[3]"
    assert lines[1] == "   %0 = sin x : f64[3]"
    assert lines[7] == "   %6 = sin %5 : f64[3]"


def test_a_fault_in_the_first_and_last_node_is_found():
    for place in (1, 12):
        graph, nodes = chain()
        nodes[place].type = Type("f64", (4,))
        with pytest.raises(GraphError, match=r"sin should give f64\[3\], the node says f64\[4\]\n") as caught:
            check_graph(graph)
        assert ">> " in str(caught.value)


def test_hand_broken_graphs_are_found():
    x = make_input(Type("f64"), "x")
    y = x + x
    cases = []
    cases.append((Graph((x, x), (y,)), "an input is listed twice"))
    cases.append((Graph((y,), (y,)), "is listed as an input and is not one"))
    cases.append((Graph((x,), (y,), {"far": x * x}), "the name 'far' points outside the graph"))
    short = x + x
    short.operands = (x,)
    cases.append((Graph((x,), (short,)), r"add takes 2 operands \(a, b\), it has 1"))
    odd = np.sum(x.reshape(1))
    odd.attributes = {"axes": (4,)}
    cases.append((Graph((x,), (odd,)), r"sum: sum: x is f64\[1\]; the axes \(4,\) are not distinct axes"))
    without = np.sum(x.reshape(1))
    without.attributes = {}
    cases.append((Graph((x,), (without,)), r"sum takes the attributes \('axes',\), not \(\)"))
    mixed = x + x
    mixed.operands = (x, make_input(Type("f32"), "z"))
    cases.append((Graph((x, mixed.operands[1]), (mixed,)), r"b is f32\[\], a is f64\[\]"))
    for graph, message in cases:
        with pytest.raises(GraphError, match=message):
            check_graph(graph)


def test_a_broken_body_is_found_and_named():
    graph = cr.make_graph(lambda x: cr.scan(lambda c, _: (np.sin(c), None), x, length=2)[0], 1.0)
    loop = next(node for node in graph.nodes if node.op.kind == "region")
    body = loop.attributes["body"]
    outside = make_input(Type("f64"), "outside")
    open_body = Graph(body.inputs, (body.inputs[0] * outside,))
    loop.attributes = {**loop.attributes, "body": open_body}
    with pytest.raises(GraphError, match="the body of scan reads values from outside it"):
        check_graph(graph)
    loop.attributes = {**loop.attributes, "body": body}
    sin = body.outputs[0]
    sin.operands = (body.inputs[0], body.inputs[0])
    with pytest.raises(GraphError, match="after a pass, in the body of scan: sin takes 1 operands"):
        check_graph(graph, after="a pass")


def test_closing_over_traced_values_is_allowed_and_arrays_are_not_traced():
    with pytest.raises(TraceError, match="is a traced value where an array is needed"):
        cr.graph.as_array(make_input(Type("f64"), "x"), "the weight")
