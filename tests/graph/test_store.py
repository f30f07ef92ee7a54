"""Graphs as JSON: the same graph always gives the same text, and nothing damaged is read."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.errors import ChainruleError, GraphFormatError
from chainrule.execute import REFERENCE
from chainrule.graph import Rows, Type, check_graph, n
from chainrule.graph.store import array_from_json, array_to_json
from chainrule.graph.types import DTYPES


def model(parameters, x):
    hidden = cr.ops.named(np.tanh(x @ parameters["w"] + parameters["b"]), name="hidden1.output")
    root, found = cr.iterate(
        1.0, lambda r, a: 0.5 * (r + a / r), lambda r, a: abs(r * r - a) < 1e-9, 40, given=(parameters["a"],),
        implicit=lambda g, r, a: g / (2 * r),
    )  # fmt: skip
    looped, steps = cr.scan(lambda c, _: (c * root, c), np.sum(hidden, axis=1), length=3)
    noise = cr.ops.uniform(cr.key(3), (4,))
    return {"out": np.where(looped > 0, looped, -0.0), "rest": [steps, found, np.max(noise), hidden[:, ::2]]}


PARAMETERS = {"w": np.arange(6.0).reshape(3, 2) / 7, "b": np.array([0.1, -0.2]), "a": np.array(2.0)}
GRAPH = cr.make_graph(model, PARAMETERS, Type("f64", (n, 3)))
DERIVATIVE = cr.make_graph(
    cr.grad(lambda p, x: np.sum(model(p, x)["out"]) + np.sum(model(p, x)["rest"][0])), PARAMETERS, Type("f64", (n, 3))
)
ARRAYS = [*(PARAMETERS[k] for k in sorted(PARAMETERS)), np.random.default_rng(0).normal(size=(5, 3))]


@pytest.mark.parametrize("graph", [GRAPH, DERIVATIVE], ids=["model", "derivative"])
def test_a_graph_survives_json(graph):
    text = json.dumps(graph.to_json(), allow_nan=False)
    again = check_graph(cr.graph_from_json(json.loads(text)))
    assert json.dumps(again.to_json()) == text
    assert str(again) == str(graph)
    assert (again.takes, again.gives) == (graph.takes, graph.gives)
    assert set(again.names) == set(graph.names)
    for mine, theirs in zip(REFERENCE.run(graph, ARRAYS), REFERENCE.run(again, ARRAYS), strict=True):
        assert np.asarray(mine).tobytes() == np.asarray(theirs).tobytes()


def test_the_same_function_gives_the_same_json():
    again = cr.make_graph(model, PARAMETERS, Type("f64", (n, 3)))
    assert json.dumps(again.to_json()) == json.dumps(GRAPH.to_json())
    other = cr.make_graph(model, PARAMETERS, Type("f64", (n, 3)).with_shape((5, 3)))
    assert json.dumps(other.to_json()) != json.dumps(GRAPH.to_json())


def test_the_format_is_versioned_and_keeps_n():
    document = cr.make_graph(lambda x: np.broadcast_to(np.sum(x), x.shape), Type("f32", (Rows(2), 3))).to_json()
    assert (document["format"], document["version"]) == ("chainrule-graph", 1)
    assert [node["id"] for node in document["nodes"]] == list(range(len(document["nodes"])))
    assert document["nodes"][0] == {
        "id": 0,
        "op": "input",
        "operands": [],
        "attributes": {"label": "x", "type": {"type": ["f32", "2n", 3]}},
        "types": [["f32", "2n", 3]],
    }
    assert document["nodes"][-1]["attributes"] == {"shape": {"tuple": [{"rows": 2}, 3]}}


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_constants_keep_every_bit(dtype):
    kind = DTYPES[dtype]
    rng = np.random.default_rng(0)
    array = rng.integers(0, 2, (2, 3)) if dtype == "bool" else rng.integers(0, 2**31 - 1, (2, 3))
    array = array.astype(kind)
    if kind.kind == "f":
        array[0] = [np.nan, -0.0, -np.inf]
        array[1, 0] = np.finfo(kind).smallest_subnormal
    for value in (array, array.T, array[:0], array[0, 0].reshape(())):
        again = array_from_json(json.loads(json.dumps(array_to_json(value))))
        assert (again.dtype, again.shape, again.tobytes()) == (value.dtype, value.shape, value.tobytes())
        assert not again.flags.writeable


def test_zeros_and_numbers_keep_their_sign_and_dtype():
    graph = cr.make_graph(lambda x, i: (x * -0.0, x + 0.0, i + 2, x * 2), 1.0, 1)
    again = cr.graph_from_json(json.loads(json.dumps(graph.to_json())))
    values = [node.attributes["value"] for node in again.nodes if node.op.name == "constant"]
    assert [(str(v.dtype), bool(np.signbit(v))) for v in values] == [
        ("float64", True), ("float64", False), ("int64", False), ("float64", False),
    ]  # fmt: skip


def test_shapes_given_as_numpy_numbers_are_stored():
    two = np.int64(2)
    graph = cr.make_graph(
        lambda x: (
            np.broadcast_to(x, (two, 3)), x.reshape(np.int32(3), 1), x.reshape(3, 1).transpose(np.array([1, 0])),
            np.sum(x, axis=np.int64(0)), x[np.int64(1)], x[np.int64(0) : two], np.expand_dims(x, np.int64(0)),
        ),
        np.ones(3),
    )  # fmt: skip
    assert cr.graph_from_json(json.loads(json.dumps(graph.to_json()))) is not None


@pytest.mark.parametrize("document", [None, [], "text", 3, {}, {"format": "onnx", "version": 1}, {"version": 1}])
def test_foreign_documents_are_refused(document):
    with pytest.raises(GraphFormatError, match="this is not a stored chainrule graph"):
        cr.graph_from_json(document)


@pytest.mark.parametrize("version", [2, 99, 0, None, "1", 1.5])
def test_newer_documents_are_refused(version):
    document = {**GRAPH.to_json(), "version": version}
    with pytest.raises(GraphFormatError, match=r"has format version .*, this chainrule reads version 1; .* or upgrade"):
        cr.graph_from_json(document)


def damage(change: Any) -> Any:
    document = copy.deepcopy(cr.make_graph(lambda x: np.sum(x[1:] * np.array([2.0, 3.0])), np.ones(3)).to_json())
    change(document)
    return document


def node_of(document: Any, name: str) -> Any:
    return next(node for node in document["nodes"] if node["op"] == name)


DAMAGE = {
    "an unknown operation": (lambda d: node_of(d, "sum").update(op="os.system"), "does not have: 'os.system'"),
    "a wrong id": (lambda d: d["nodes"][1].update(id=7), "node 1 has id 7"),
    "an operand that comes later": (lambda d: node_of(d, "sum").update(operands=[99]), "refers to node 99"),
    "an operand that is itself": (lambda d: node_of(d, "sum").update(operands=[node_of(d, "sum")["id"]]), "refers to"),
    "a negative operand": (lambda d: node_of(d, "sum").update(operands=[-1]), "refers to node -1"),
    "an operand that is no number": (lambda d: node_of(d, "sum").update(operands=[True]), "refers to node True"),
    "no operands": (lambda d: node_of(d, "sum").update(operands=[]), "damaged"),
    "a wrong type": (lambda d: node_of(d, "sum").update(types=[["f32"]]), "types that its operands do not give"),
    "an unknown dtype": (lambda d: node_of(d, "sum").update(types=[["f16"]]), "'f16' is not a dtype"),
    "a wrong dimension": (lambda d: node_of(d, "slice").update(types=[["f64", -2]]), "-2 is not a dimension"),
    "a missing attribute": (lambda d: node_of(d, "sum").update(attributes={}), "takes the attributes"),
    "a bad axis": (lambda d: node_of(d, "sum").update(attributes={"axes": {"tuple": [5]}}), "not distinct axes"),
    "an attribute of a wrong kind": (
        lambda d: node_of(d, "sum").update(attributes={"axes": {"call": 1}}), "'call' is not",
    ),
    "an attribute that is a list": (
        lambda d: node_of(d, "sum").update(attributes={"axes": [0]}), "is not an attribute",
    ),
    "an attribute of no kind": (lambda d: node_of(d, "sum").update(attributes={"axes": {}}), "damaged"),
    "a float that is none": (
        lambda d: node_of(d, "sum").update(attributes={"axes": {"float": "0x1p99999"}}), "damaged",
    ),
    "array data that is no base64": (
        lambda d: node_of(d, "constant")["attributes"]["value"]["array"].update(data="!!"), "damaged",
    ),
    "array data cut short": (
        lambda d: node_of(d, "constant")["attributes"]["value"]["array"].update(data="AAAA"), "damaged",
    ),
    "an array of another shape": (
        lambda d: node_of(d, "constant")["attributes"]["value"]["array"].update(shape=[3]), "damaged",
    ),
    "an array of another dtype": (
        lambda d: node_of(d, "constant")["attributes"]["value"]["array"].update(dtype="f32"), "damaged|types that",
    ),
    "an array of objects": (
        lambda d: node_of(d, "constant")["attributes"]["value"]["array"].update(dtype="O"), "damaged",
    ),
    "an input that is none": (lambda d: d.update(inputs=[0, 1]), "is listed as an input and is not one"),
    "an input listed twice": (lambda d: d.update(inputs=[0, 0]), "an input is listed twice"),
    "an output beyond the end": (lambda d: d.update(outputs=[1000]), "refers to node 1000"),
    "no outputs": (lambda d: d.pop("outputs"), "damaged"),
    "no nodes": (lambda d: d.pop("nodes"), "damaged"),
    "nodes that are none": (lambda d: d.update(nodes=[1]), "damaged"),
    "names that are none": (lambda d: d.update(names=["a"]), "damaged"),
    "a name of nothing": (lambda d: d.update(names={"a": 1000}), "refers to node 1000"),
    "a structure that is none": (lambda d: d.update(takes="tree"), "'tree' is not a structure"),
    "a structure of an unknown kind": (
        lambda d: d.update(takes={"kind": "set", "keys": [], "children": []}), "'set' is not a structure",
    ),
    "a structure without children": (lambda d: d.update(takes={"kind": "list"}), "damaged"),
    "a structure with too many keys": (
        lambda d: d.update(takes={"kind": "dict", "keys": ["a"], "children": []}), "a structure is incomplete",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(DAMAGE))
def test_damaged_documents_are_refused(name):
    change, message = DAMAGE[name]
    with pytest.raises(GraphFormatError, match=message):
        cr.graph_from_json(damage(change))


def test_an_open_body_is_refused():
    document = cr.make_graph(lambda x: cr.scan(lambda c, _: (c * 2.0, None), x, length=2)[0], 1.0).to_json()
    body = node_of(document, "scan")["attributes"]["body"]["graph"]
    body["inputs"] = []
    with pytest.raises(GraphFormatError):
        cr.graph_from_json(document)


def test_deep_nesting_is_refused_not_a_crash():
    value: Any = 1
    for _ in range(100_000):
        value = {"tuple": [value]}
    with pytest.raises(GraphFormatError):
        cr.graph_from_json(damage(lambda d: node_of(d, "sum").update(attributes={"axes": value})))


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [here]
    if isinstance(value, dict):
        for key in value:
            found += paths(value[key], (*here, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            found += paths(item, (*here, i))
    return found


DOCUMENT = GRAPH.to_json()
PATHS = [p for p in paths(DOCUMENT) if p]
JUNK = [None, -1, 0, 1, 2, 10**9, 1.5, True, "", "n", "add", "f32", [], [0], {}, {"float": "nan"}, {"tuple": []}]


@given(st.sampled_from(PATHS), st.sampled_from([*JUNK, "delete"]))
@settings(deadline=None, max_examples=400)
def test_a_document_changed_anywhere_is_refused_or_well_formed(path, junk):
    document = copy.deepcopy(DOCUMENT)
    parent: Any = document
    for key in path[:-1]:
        parent = parent[key]
    if junk == "delete":
        del parent[path[-1]]
    else:
        parent[path[-1]] = junk
    try:
        graph = cr.graph_from_json(document)
    except ChainruleError as error:
        assert isinstance(error, GraphFormatError)  # noqa: PT017  # either outcome is right; the kind is the claim
    else:
        check_graph(graph)
        json.dumps(graph.to_json())
