"""The digest of a graph: equal for equal graphs in every process, different for every change that could matter."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import ops
from chainrule.graph import Graph, Node, Rows, Structure, Type, Undigestible, digest, make_constant, make_input, n
from chainrule.graph.digest import _Writer
from chainrule.learn.program import build_program
from chainrule.ops import TABLE, Op, make_graph


def training_graphs() -> tuple[Graph, Graph, Graph]:
    network = cr.nn.Sequential(cr.nn.Dense(5, activation="relu"), cr.nn.BatchNorm(), cr.nn.Dropout(0.1), cr.nn.Dense(3))
    x, y = np.ones((4, 2), np.float32), np.arange(4) % 3
    objective, optimizer = cr.Objective(network, "softmax_cross_entropy"), cr.learn.Adam(0.01)
    parameters, state = network.initialize(x, seed=0), network.initial_state(x)
    carry = {
        "parameters": parameters, "state": state, "optimizer": optimizer.init(parameters), "multipliers": {},
        "clock": {"step": np.uint32(0), "key": cr.key(0)},
    }  # fmt: skip
    batch = {"x": x, "y": y, "weight": np.ones(4, np.float32)}
    settings = {"learning_rate": np.float32(0.01), "beta1": np.float32(0.9), "beta2": np.float32(0.999)}
    settings |= {"epsilon": np.float32(1e-8), "dropout1.rate": np.float32(0.1)}
    program = build_program(objective, optimizer, carry, settings, batch)
    return program.measure, program.apply, program.evaluate


def looped(power: float = 2.0, length: int = 3) -> Graph:
    def f(x: Any, w: Any) -> Any:
        last, ys = cr.scan(lambda h, v: (np.tanh(h * w) + v**power, h), 0.5, x)
        root, _ = cr.iterate(last, lambda r: 0.5 * (r + 2.0 / r), lambda r: abs(r * r - 2.0) < 1e-9, 20)
        return {"root": root, "sum": ys.sum()}

    return make_graph(f, Type("f64", (length,)), Type("f64"))


def plain() -> Graph:
    def f(x: Any, w: Any) -> Any:
        table = np.arange(6.0).reshape(2, 3)
        h = np.where(x @ w > 0.0, x @ w, -0.25) + table[0]
        return np.concatenate([h, h[:, ::2]], axis=1).sum(axis=1), np.transpose(h)

    return make_graph(f, Type("f64", (n, 4)), Type("f64", (4, 3)))


GRAPHS = {"plain": plain(), "looped": looped(), "measure": training_graphs()[0], "apply": training_graphs()[1]}


def test_equal_graphs_of_other_nodes_places_and_names_have_one_digest() -> None:
    here = make_graph(lambda x: np.sin(x) * 2.0, 1.0)
    function = eval("lambda x: np.sin(x) * 2.0", {"np": np})
    there = make_graph(function, 1.0)
    assert here.nodes[1].provenance != there.nodes[1].provenance
    assert digest(here) == digest(there)
    assert digest(replace(here, names={"y": here.outputs[0]})) == digest(here)
    for make in (plain, looped):
        assert digest(make()) == digest(make())
    for one, other in zip(training_graphs(), training_graphs(), strict=True):
        assert digest(one) == digest(other)
    assert len({digest(g) for g in (*training_graphs(), plain(), looped())}) == 5
    assert len(digest(here)) == 20


def test_a_graph_that_was_stored_and_read_has_its_old_digest() -> None:
    for graph in GRAPHS.values():
        assert digest(cr.graph_from_json(graph.to_json())) == digest(graph)


PRINT = """
import sys
sys.path.insert(0, {folder!r})
import test_digest as t
print([t.digest(g).hex() for g in t.GRAPHS.values()])
"""


def test_every_process_gives_the_same(request: pytest.FixtureRequest) -> None:
    folder = str(request.path.parent)
    said = []
    for seed in ("0", "1", "4242"):
        result = subprocess.run(
            [sys.executable, "-c", PRINT.format(folder=folder)],
            capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed},
        )  # fmt: skip
        said.append(result.stdout.strip())
    assert said == [str([digest(g).hex() for g in GRAPHS.values()])] * 3


def test_the_encoding_is_the_one_that_caches_were_keyed_with() -> None:
    """A digest known in advance is the same on every machine; whoever changes the encoding changes this on purpose."""
    x = make_input(Type("f32", (n, 2)), "x")
    y = TABLE["multiply"](x, TABLE["broadcast"](make_constant(np.float32(-0.0)), shape=(n, 2)))
    assert digest(Graph((x,), (y,))).hex() == "8d9b52dcd00e400aaabed524722a10c07764714a"


# --- every change is seen ---------------------------------------------------------------------------------------------


def rebuilt(graph: Graph, position: int, **changed: Any) -> Graph:
    """Copy a graph with one node changed, typed or not."""
    new: dict[Node, Node] = {}
    for i, node in enumerate(graph.nodes):
        parts: dict[str, Any] = {
            "op": node.op, "operands": tuple(new[o] for o in node.operands), "attributes": node.attributes,
            "type": node.type,
        }  # fmt: skip
        if i == position:
            parts |= {k: v(parts[k]) for k, v in changed.items()}
        new[node] = Node(**parts)
    inputs, outputs = (tuple(new[x] for x in ends) for ends in (graph.inputs, graph.outputs))
    return Graph(inputs, outputs, {}, graph.takes, graph.gives)


def other_value(value: Any) -> list[Any]:
    """Values that are nearly the given one, and mean something else."""
    if isinstance(value, bool):
        return [not value, int(value), float(value)]
    if isinstance(value, int):
        return [value + 1, -value - 1, float(value), str(value), (value,), Rows(value + 1), np.int64(value)]
    if isinstance(value, float):
        return [np.nextafter(value, np.inf).item(), -value, np.float64(value), struct.pack("<d", value)]
    if isinstance(value, str):
        return [value + "x", value + "\0", value.encode(), (value,)]
    if isinstance(value, tuple):
        changed = [(*value[:i], v, *value[i + 1 :]) for i, item in enumerate(value) for v in other_value(item)]
        swapped = [value[::-1]] if value != value[::-1] else []
        return [*changed, *swapped, (*value, 0), list(value), (value,), *([value[:-1]] if value else [])]
    if isinstance(value, Rows):
        return [Rows(value.multiple + 1), value.multiple]
    if isinstance(value, Type):
        other = "f32" if value.dtype != "f32" else "f64"
        return [Type(other, value.shape), *(Type(value.dtype, s) for s in other_value(value.shape) if type(s) is tuple)]
    if isinstance(value, np.ndarray):
        flipped = bytearray(value.tobytes())
        flipped[-1] ^= 1
        same = np.frombuffer(bytes(flipped), value.dtype).reshape(value.shape) if value.dtype != bool else ~value
        bits = (
            value.view({1: "u1", 4: "u4", 8: "u8"}[value.itemsize]) if value.dtype.kind == "f" else value.astype("f4")
        )
        return [same, bits, value[None], value.tolist()]
    if isinstance(value, Graph):
        return [rebuilt(value, i, **change) for i, change in mutations(value)][:40]
    return [0, False, ""] if value is None else [None]


def mutations(graph: Graph) -> list[tuple[int, dict[str, Any]]]:
    """Every change of one node: another operation, other operands, another type, another attribute."""
    found: list[tuple[int, dict[str, Any]]] = []
    nodes = graph.nodes
    for i, node in enumerate(nodes):
        if node.op.kind == "elementwise":
            found += [(i, {"op": lambda op, name=name: TABLE[name]}) for name in ("add", "exp") if name != node.op.name]
        if len(node.operands) > 1 and node.operands[0] is not node.operands[1]:
            found.append((i, {"operands": lambda o: (o[1], o[0], *o[2:])}))
        if node.operands:
            found.append((i, {"operands": lambda o: o[1:]}))
            found.append((i, {"operands": lambda o: (*o, o[0])}))
        if isinstance(node.type, Type):
            found += [(i, {"type": lambda _, t=t: t}) for t in other_value(node.type)]
        for name, value in node.attributes.items():
            found += [(i, {"attributes": lambda a, name=name, v=v: {**a, name: v}}) for v in other_value(value)]
            found.append((i, {"attributes": lambda a, name=name: {(k if k != name else k + "_"): a[k] for k in a}}))
            found.append((i, {"attributes": lambda a, name=name: {k: v for k, v in a.items() if k != name}}))
    return found


@pytest.mark.parametrize("name", GRAPHS)
def test_every_change_of_one_node_changes_the_digest(name: str) -> None:
    graph = GRAPHS[name]
    nodes = len(graph.nodes)
    assert digest(rebuilt(graph, -1)) == digest(graph)
    known: list[tuple[bytes, Graph]] = []
    changes = mutations(graph)
    assert len(changes) > nodes
    for position, change in changes[:: max(1, len(changes) // 400)]:
        changed = rebuilt(graph, position, **change)
        found = digest(changed)
        assert found != digest(graph), (graph.nodes[position], change)
        known.append((found, changed))
    # two different changes may make the same graph; those that share a digest must also be stored alike
    by_digest: dict[bytes, Graph] = {}
    for found, changed in known:
        first = by_digest.setdefault(found, changed)
        assert [(m.op, m.type, len(m.operands)) for m in first] == [(m.op, m.type, len(m.operands)) for m in changed]


def test_the_order_of_inputs_and_outputs_and_the_nesting_are_seen() -> None:
    graph = plain()
    seen = {
        digest(graph),
        digest(replace(graph, inputs=graph.inputs[::-1])),
        digest(replace(graph, outputs=graph.outputs[::-1])),
        digest(replace(graph, outputs=graph.outputs[:1])),
        digest(replace(graph, outputs=(*graph.outputs, graph.outputs[0]))),
        digest(replace(graph, takes=graph.gives, gives=graph.takes)),
        digest(replace(graph, takes=None)),
        digest(replace(graph, gives=None)),
        digest(replace(graph, gives=Structure("list", (), graph.gives.children if graph.gives else ()))),
    }
    assert len(seen) == 8 + (graph.takes != graph.gives)
    keys = [digest(make_graph(lambda x, k=k: {k: x, "z": -x}, 1.0)) for k in ("a", "b")]
    assert keys[0] != keys[1]
    Pair, Twin = namedtuple("Pair", "a b"), namedtuple("Twin", "a b")
    made = [digest(make_graph(lambda x, kind=kind: kind(x, -x), 1.0)) for kind in (Pair, Twin)]
    assert len({*made, digest(make_graph(lambda x: (x, -x), 1.0))}) == 3


def test_shared_and_repeated_nodes_are_told_apart() -> None:
    x = make_input(Type("f64"), "x")
    one = TABLE["exp"](x)
    shared = Graph((x,), (TABLE["add"](one, one),))
    repeated = Graph((x,), (TABLE["add"](TABLE["exp"](x), TABLE["exp"](x)),))
    assert digest(shared) != digest(repeated)


def test_arrays_are_seen_to_the_bit_and_not_by_their_memory() -> None:
    def of(value: Any) -> bytes:
        return digest(Graph((), (make_constant(value),)))

    nan = np.array([np.nan])
    other = (nan.view("u8") | 1).view("f8")
    values = [nan, -nan, other, [0.0], [-0.0], [[0.0]], np.zeros(1, "f4"), np.zeros(1, "i8"), np.zeros(1, "u8"), [True]]
    assert len({of(v) for v in values}) == len(values)
    assert of(np.zeros((0, 3))) != of(np.zeros((3, 0)))
    matrix = np.arange(6.0).reshape(2, 3)
    attribute = {"value": np.asfortranarray(matrix)}
    node = make_constant(matrix)
    assert digest(Graph((), (Node(node.op, (), attribute, node.type),))) == of(matrix)
    big = np.arange(1000.0)
    assert make_constant(big).op.name == "captured"
    changed = big.copy()
    changed[500] += 1e-9
    assert of(big) != of(changed)


# --- values: encodings are equal if and only if the values are -----------------------------------------------------

numbers = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.integers(), st.sampled_from([0.0, -0.0, 1.0, float("nan")]),
    st.floats(), st.text("ab1;:\0", max_size=3), st.binary(max_size=3), st.builds(Rows, st.integers(1, 3)),
    st.builds(np.int64, st.integers(-2, 2)), st.builds(np.float32, st.floats(width=32)),
    st.complex_numbers(),
)  # fmt: skip
values = st.recursive(
    numbers,
    lambda inside: st.one_of(
        st.lists(inside, max_size=3),
        st.lists(inside, max_size=3).map(tuple),
        st.dictionaries(st.text("ab", max_size=2), inside, max_size=2),
        st.builds(Type, st.sampled_from(["f32", "f64"]), st.lists(st.integers(0, 3), max_size=2).map(tuple)),
    ),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    """Are two values the same, to the type and to the bit?"""
    if type(a) is not type(b):
        return False
    if isinstance(a, float) and not isinstance(a, np.generic):
        return struct.pack("<d", a) == struct.pack("<d", b)
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, np.generic):
        return bool(a.tobytes() == b.tobytes())
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return bool(a == b)


def test_floats_are_seen_to_the_bit() -> None:
    nans = [struct.unpack("<d", struct.pack("<Q", bits << 48))[0] for bits in (0x7FF8, 0xFFF8, 0x7FF9)]
    numbers = [*nans, 0.0, -0.0, 5e-324, 1.0, 1, True, np.float64(1.0), np.float32(1.0), 1 + 0j, "1.0"]
    assert len({_Writer().value(v) for v in numbers}) == len(numbers)


class Computed(Mapping[str, Any]):
    """Attributes that are made anew each time they are read: no two of them alive at once, and all at one address."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __getitem__(self, name: str) -> Any:
        return (self.number, (self.number, 1))

    def __iter__(self) -> Iterator[str]:
        return iter(["axes"])

    def __len__(self) -> int:
        return 1


def test_a_value_is_never_taken_for_one_that_is_gone() -> None:
    x = make_input(Type("f64"), "x")

    def of(attributes: Callable[[int], Mapping[str, Any]]) -> bytes:
        return digest(Graph((x,), tuple(Node(TABLE["sum"], (x,), attributes(i), x.type) for i in range(100))))

    assert of(Computed) == of(lambda i: {"axes": (i, (i, 1))})
    pairs = [namedtuple("Pair", names) for names in ("a b", "b a", "c d", "d c")]

    def nested(kinds: list[Any]) -> bytes:
        return digest(make_graph(lambda x: [kind(x, x) for kind in kinds], 1.0))

    assert len({nested(pairs), nested(pairs[::-1]), nested([pairs[0], *pairs[:3]])}) == 3


@given(values, values)
@settings(deadline=None, max_examples=400)
def test_values_share_an_encoding_only_if_they_are_the_same(a: Any, b: Any) -> None:
    one, other = _Writer().value(a), _Writer().value(b)
    assert (one == other) == same(a, b)
    if one != other:  # no encoding begins with another: so a row of them can be cut in one way only
        assert not one.startswith(other)
        assert not other.startswith(one)


# --- what has no digest -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (lambda: 1, "a builtins.function"),
        (object(), "a builtins.object"),
        ({1, 2}, "a builtins.set"),
        (np.array([object()]), "an array of dtype object"),
        (np.array(["text"]), "an array of dtype <U4"),
        (np.ma.masked_array([1.0], [True]), "MaskedArray"),
        ((1, (2, object())), "a builtins.object"),
        ({1: 2}, "keys that are not texts"),
        (namedtuple("Pair", "a b")(1, 2), "Pair"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_attributes_without_a_stable_encoding_are_refused(value: Any, said: str) -> None:
    x = make_input(Type("f64", (2,)), "x")
    node = Node(TABLE["sum"], (x,), {"axes": value}, Type("f64"))
    with pytest.raises(Undigestible, match=f"sum: its attribute axes is .*{said}"):
        digest(Graph((x,), (node,)))


def test_an_operation_of_the_users_is_refused() -> None:
    """Its name says nothing of what it computes: that stands in the user's own functions."""
    known = TABLE["exp"]
    x = make_input(Type("f64"), "x")
    mine = Op(
        name="exp", kind="elementwise", operands=("x",), evaluate=np.exp, typing=known.typing,
        pullback=known.pullback, lower=lambda b, x: b.negative(x), signature="()->()",
    )  # fmt: skip
    with pytest.raises(Undigestible, match="the operation exp is not chainrule's own: lower is from "):
        digest(Graph((x,), (Node(mine, (x,), {}, x.type),)))
    assert digest(Graph((x,), (known(x),)))


def test_every_operation_of_the_table_can_be_digested() -> None:
    x = make_input(Type("f64"), "x")
    seen = {digest(Graph((x,), (Node(op, (x,), {}, x.type),))) for op in TABLE.values()}
    assert len(seen) == len(TABLE) == len({op.name for op in TABLE.values()})


def test_a_graph_that_reads_an_outer_trace_is_refused() -> None:
    outer, x = make_input(Type("f64"), "outer"), make_input(Type("f64"), "x")
    body = Graph((x,), (TABLE["multiply"](x, outer),))
    with pytest.raises(Undigestible, match="an enclosing trace"):
        digest(body)
    node = Node(ops.regions.SCAN, (x,), {"body": body}, (Type("f64"),))  # type: ignore[arg-type]
    with pytest.raises(Undigestible, match="scan: its attribute body"):
        digest(Graph((x,), (node,)))


def test_deep_graphs_have_a_digest_and_deep_values_are_refused() -> None:
    x = node = make_input(Type("f64"), "x")
    for _ in range(20_000):
        node = TABLE["sin"](node)
    assert digest(Graph((x,), (node,))) == digest(Graph((x,), (node,)))
    value: Any = ()
    for _ in range(100_000):
        value = (value,)
    with pytest.raises(Undigestible, match="nested too deeply"):
        digest(Graph((x,), (Node(TABLE["sum"], (x,), {"axes": value}, x.type),)))
