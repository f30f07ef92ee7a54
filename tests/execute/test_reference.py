"""The reference executor: what it refuses, and that its prepared form gives the same bits, in any thread."""

from __future__ import annotations

import gc
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import ops
from chainrule.errors import ChainruleError, ExecutionError, TraceError, TrainingError
from chainrule.execute import REFERENCE, Reference, get_executor, tiles
from chainrule.graph import Graph, Rows, Type, flatten, make_constant

RNG = np.random.default_rng(9)
ROWS = Type("f64", (Rows(1), 3))


def matrix(rows: int, columns: int = 3) -> np.ndarray:
    return RNG.normal(size=(rows, columns))


# --- what it refuses --------------------------------------------------------------------------------------------------


def two_inputs(x: Any, y: Any) -> Any:
    return x + y


BOTH = cr.make_graph(two_inputs, ROWS, Type("f64", (Rows(1), 1)))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([matrix(4)], "the graph takes 2 inputs, 1 were given"),
        ([matrix(4), matrix(4, 1), matrix(4)], "the graph takes 2 inputs, 3 were given"),
        ([matrix(4).astype("f4"), matrix(4, 1)], "the input x is float32[4,3], the graph takes f64[n,3]"),
        ([matrix(4).astype(int), matrix(4, 1)], "the input x is int64[4,3], the graph takes f64[n,3]"),
        ([matrix(4, 2), matrix(4, 1)], "the input x is float64[4,2], the graph takes f64[n,3]"),
        ([matrix(4)[0], matrix(4, 1)], "the input x is float64[3], the graph takes f64[n,3]"),
        ([matrix(4), matrix(4, 2)], "the input y is float64[4,2], the graph takes f64[n,1]"),
        ([matrix(4), matrix(5, 1)], "the input y is float64[5,1], the graph takes f64[n,1] with n = 4"),
    ],
)
@pytest.mark.parametrize("way", ["run", "run_prepared"])
def test_inputs_that_do_not_fit(arrays: Any, message: str, way: str) -> None:
    with pytest.raises(ExecutionError) as error:
        getattr(REFERENCE, way)(BOTH, arrays)
    assert message in str(error.value)


def test_multiples_of_n() -> None:
    graph = cr.make_graph(two_inputs, Type("f64", (Rows(2),)), Type("f64", (Rows(2),)))
    assert REFERENCE.run(graph, [np.ones(6), np.ones(6)])[0].tolist() == [2.0] * 6
    with pytest.raises(
        ExecutionError, match=r"the input x is float64\[5\], the graph takes f64\[2n\] with n = a whole"
    ):
        REFERENCE.run(graph, [np.ones(5), np.ones(5)])


def test_the_number_of_rows_given() -> None:
    graph = cr.make_graph(lambda x: ops.broadcast_to(x, (Rows(1), 2)), Type("f64", (2,)))
    assert REFERENCE.run(graph, [np.ones(2)], rows=3)[0].shape == (3, 2)
    assert REFERENCE.run_prepared(graph, [np.ones(2)], rows=3)[0].shape == (3, 2)
    for way in (REFERENCE.run, REFERENCE.run_prepared):
        with pytest.raises(ChainruleError, match="the number of rows n is not known here"):
            way(graph, [np.ones(2)])
    with pytest.raises(ExecutionError, match="with n = 3"):
        REFERENCE.run(BOTH, [matrix(4), matrix(4, 1)], rows=3)


def test_a_traced_value_of_another_function() -> None:
    kept: list[Any] = []
    cr.make_graph(lambda outside: kept.append(outside) or outside, 1.0)
    graph = cr.make_graph(lambda x: x * kept[0], 2.0)
    with pytest.raises(TraceError, match="a traced value leaked out of its function: 'outside', an argument of the"):
        REFERENCE.run(graph, [np.float64(2.0)])


def test_an_operation_that_fails_names_the_line() -> None:
    graph = cr.make_graph(lambda x, i: x[i], Type("f64", (3,)), Type("i64", (2,)))
    with pytest.raises(ChainruleError, match=r"made at .*test_reference\.py:\d+"):
        REFERENCE.run(graph, [np.ones(3), np.array([0, 3])])


def test_call_checks_the_nesting() -> None:
    graph = cr.make_graph(lambda p: p["a"] + p["b"], {"a": 1.0, "b": 2.0})
    assert float(REFERENCE.call(graph, {"a": np.float64(3), "b": np.float64(4)})) == 7
    with pytest.raises(ExecutionError, match=r"the graph takes .*'b'.*it was given"):
        REFERENCE.call(graph, {"a": np.float64(3)})


def test_executors_by_name() -> None:
    assert get_executor("reference") is REFERENCE
    assert get_executor("native").name in ("native", "reference")
    with pytest.raises(TrainingError, match="there is no executor 'gpu'; there are: native, reference"):
        get_executor("gpu")


# --- one graph, two ways to run it, the same bits ---------------------------------------------------------------------


def network_gradient(x: Any) -> Any:
    layers = cr.nn.Sequential(cr.nn.Dense(5, "tanh"), cr.nn.Dense(4, "softmax"), cr.nn.Dense(1, "sigmoid"))
    p = {k: v + 0.0 * np.sum(x) for k, v in layers.initialize(np.zeros((1, 3)), seed=1).items()}
    return cr.value_and_grad(lambda p, x: np.sum(layers(p, x) ** 2), (0, 1))(p, x)


def with_dropout(x: Any) -> Any:
    layers = cr.nn.Sequential(cr.nn.Dropout(0.3), cr.nn.BatchNorm(), cr.nn.Dropout(0.3))
    state = layers.initial_state(np.zeros((1, 3)))
    p = layers.initialize(np.zeros((1, 3)))
    return layers(p, x, state=state, training=True, key=cr.key(4))


def with_a_scan(x: Any) -> Any:
    first = np.full(3, 0.5)
    total, each = cr.scan(lambda c, w: (np.tanh(c * w + np.sum(x, axis=0)), c * w), first, RNG_WEIGHTS)
    return {"total": total, "each": each}


def scan_gradient(x: Any) -> Any:
    return cr.grad(lambda x: np.sum(with_a_scan(x)["total"] ** 2))(x)


def scan_that_makes_rows(x: Any) -> Any:
    """The body's own inputs say nothing of n; it makes rows all the same."""
    start = np.sum(x)
    _, each = cr.scan(lambda c, w: (c * w, np.sum(ops.broadcast_to(c * w, x.shape))), start, RNG_WEIGHTS[:, 0])
    return each


def with_iterate(x: Any) -> Any:
    size = np.sum(np.abs(x))
    root, converged = cr.iterate(
        1.0 + size, lambda r: 0.5 * (r + size / r), lambda r: np.abs(r * r - size) < 1e-12 * size, 100
    )
    return root, converged


def iterate_in_scan(x: Any) -> Any:
    def body(c: Any, w: Any) -> Any:
        (low, high), ok = cr.iterate(
            (0.0 * c, c + 1.0),
            lambda s: (np.where(0.5 * (s[0] + s[1]) < c, 0.5 * (s[0] + s[1]), s[0]), 0.5 * (s[0] + s[1])),
            lambda s: s[1] - s[0] < w,
            at_most=7,
        )
        return low + high, ok

    return cr.scan(body, np.sum(np.abs(x)), np.array([0.1, 0.01, 1e-9]))


def special_values(x: Any) -> Any:
    zero = x * 0.0
    return zero / zero, 1.0 / zero, -1.0 / zero, np.where(zero > 0, x, -zero), x - x, np.exp(1e4 * np.abs(x))


def equal_parts(x: Any) -> Any:
    """What simplification merges, folds and drops."""
    a, b = np.exp(x) * 1.0, np.exp(x) * 1.0
    _ = np.sin(x)
    return (a + b) - a, np.float64(2) * np.float64(3) * x, x**1.0, np.negative(-x)


RNG_WEIGHTS = RNG.normal(size=(6, 3))
FUNCTIONS = [
    network_gradient, with_dropout, with_a_scan, scan_gradient, scan_that_makes_rows, with_iterate, iterate_in_scan,
    special_values, equal_parts,
]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_prepared_gives_the_same_bits(function: Any) -> None:
    graph = cr.make_graph(function, ROWS)
    executor = Reference()
    for rows in (1, 4, 17, 4):
        x = matrix(rows)
        before = x.tobytes()
        plain, prepared = executor.run(graph, [x]), executor.run_prepared(graph, [x])
        assert len(plain) == len(prepared) == len(graph.outputs)
        for a, b, output in zip(plain, prepared, graph.outputs, strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
            assert np.asarray(a).dtype == np.asarray(b).dtype == output.dtype
            assert np.shape(a) == np.shape(b)
        assert x.tobytes() == before


def test_folding_keeps_the_bits_of_a_product() -> None:
    weight, x = np.random.default_rng(0).normal(size=(5, 3)), np.random.default_rng(1).normal(size=(40, 3))
    graph = cr.make_graph(lambda x: x @ ops.transpose(make_constant(weight)), ROWS)
    for i in range(40):
        row = x[i : i + 1]
        assert REFERENCE.run(graph, [row])[0].tobytes() == REFERENCE.run_prepared(graph, [row])[0].tobytes()


@pytest.mark.parametrize(
    "function", [network_gradient, with_a_scan, with_iterate, iterate_in_scan], ids=lambda f: f.__name__
)
def test_a_graph_gives_what_the_function_gives(function: Any) -> None:
    """Traced or called with arrays: equal to rounding (BLAS may choose another kernel for another layout)."""
    x = matrix(5)
    traced = REFERENCE.run(cr.make_graph(function, ROWS), [x])
    for a, b in zip(traced, flatten(function(x))[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def test_row_by_row_gives_rows_that_do_not_depend_on_each_other() -> None:
    graph = cr.make_graph(lambda x: x @ RNG_WIDE, Type("f32", (Rows(1), 37)))
    x = RNG.normal(size=(50, 37)).astype("f4")
    (whole,) = REFERENCE.run_prepared(graph, [x], row_by_row=True)
    for i in (0, 7, 49):
        (alone,) = REFERENCE.run_prepared(graph, [x[i : i + 1]], row_by_row=True)
        assert alone[0].tobytes() == whole[i].tobytes()
    np.testing.assert_allclose(whole, REFERENCE.run(graph, [x])[0], rtol=0, atol=2e-5)


RNG_WIDE = RNG.normal(size=(37, 19)).astype("f4")


@pytest.mark.parametrize("way", ["run", "run_prepared"])
def test_one_graph_in_several_threads(way: str) -> None:
    """More sizes than the table of prepared sizes holds, so that threads clear it under each other's hands."""
    graph = cr.make_graph(network_gradient, ROWS)
    executor = Reference()
    inputs = [matrix(1 + i % 23) for i in range(400)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda x: getattr(executor, way)(graph, [x]), inputs))
    finally:
        sys.setswitchinterval(before)
    for x, results in zip(inputs, found, strict=True):
        for a, b in zip(Reference().run(graph, [x]), results, strict=True):
            assert a.tobytes() == b.tobytes()


class Forgetful(dict[Any, Any]):
    """A table that another thread clears at the worst moment."""

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self.clear()


def test_a_table_of_sizes_that_another_thread_clears() -> None:
    executor, x = Reference(), matrix(4)
    graph = cr.make_graph(lambda x: x * 2.0, ROWS)
    executor.run_prepared(graph, [x])
    prepared = executor._prepared[False][graph]
    prepared._steps = Forgetful()
    assert np.array_equal(executor.run_prepared(graph, [x])[0], x * 2)


def test_prepared_graphs_are_forgotten_with_their_graph() -> None:
    executor = Reference()
    graph = cr.make_graph(with_iterate, ROWS)
    executor.run_prepared(graph, [matrix(3)])
    watcher: weakref.ref[Graph] = weakref.ref(graph)
    del graph
    gc.collect()
    assert watcher() is None


def test_warnings_of_numpy_are_not_the_users() -> None:
    graph = cr.make_graph(lambda x: np.log(x) / x, Type("f64", (2,)))
    for way in (REFERENCE.run, REFERENCE.run_prepared):
        assert np.isneginf(way(graph, [np.array([0.0, 1.0])])[0][0])


# --- tiles ------------------------------------------------------------------------------------------------------------


def test_tiles() -> None:
    arrays = {"x": np.arange(10.0)[:, None], "y": np.arange(10)}
    parts = list(tiles(arrays, 4))
    assert [part["y"].tolist() for part in parts] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [part["position"].tolist() for part in parts] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert all(part["position"].dtype == np.uint32 for part in parts)
    given = {**arrays, "position": np.arange(20, 30, dtype=np.uint32)}
    assert next(iter(tiles(given, 4)))["position"].tolist() == [20, 21, 22, 23]
