"""The native executor against the reference: graphs, gradients, products of every shape, whole training runs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import ops
from chainrule.errors import ExecutionError
from chainrule.execute import REFERENCE, get_executor
from chainrule.execute.native import engine
from chainrule.graph import Type, flatten, n

pytestmark = pytest.mark.skipif(bool(engine.missing()), reason=engine.missing() or "native code runs here")
Dense, Sequential = cr.nn.Dense, cr.nn.Sequential


@pytest.fixture(scope="module")
def native() -> Any:
    return get_executor("native")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [0, 1, 3, 16, 65])
def test_products_of_every_remainder(k: int, dtype: Any, native: Any) -> None:
    """Rows and columns around every tile size, both operands as they are and transposed."""
    rng = np.random.default_rng(k)
    for m, width in [
        (1, 1),
        (24, 16),
        (25, 37),
        (31, 130),
        (2, 7),
        (5, 8),
        (6, 9),
        (7, 15),
        (11, 16),
        (13, 17),
        (24, 31),
        (25, 33),
        (3, 100),
    ]:
        a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, width)).astype(dtype)
        forms = {
            "a @ b": (lambda a, b: a @ b, a, b),
            "a.T @ b": (lambda a, b: a.T @ b, np.ascontiguousarray(a.T), b),
            "a @ b.T": (lambda a, b: a @ b.T, a, np.ascontiguousarray(b.T)),
        }
        bound = 4 * (k + 2) * np.finfo(dtype).eps * (np.abs(a) @ np.abs(b)) + np.finfo(dtype).tiny
        for name, (function, left, right) in forms.items():
            (got,) = native.run(cr.make_graph(function, left, right), [left, right])
            assert np.all(np.abs(got - a @ b) <= bound), f"{name} {m}×{k}×{width}"


@pytest.mark.parametrize("width", range(1, 36))
def test_comparisons_of_every_remainder(width: int, native: Any) -> None:
    """Bytes are stored by whole vectors and one that is not: row by row, since every row reads the limits anew."""
    rng = np.random.default_rng(width)
    x, limits = rng.normal(size=(5, width)).astype(np.float32), rng.normal(size=width).astype(np.float32)
    (above,) = native.run(cr.make_graph(lambda x, limits: x > limits, Type("f32", (n, width)), limits), [x, limits])
    np.testing.assert_array_equal(above, x > limits)


def test_what_every_row_reads_may_lie_in_any_order(native: Any) -> None:
    rng = np.random.default_rng(0)
    x, w, row = rng.normal(size=(7, 3, 20)), rng.normal(size=(20, 3)), rng.normal(size=40)
    graph = cr.make_graph(lambda x, w, row: (x * w.T, x - row[1::2]), Type("f64", (n, 3, 20)), w, row)
    product, difference = native.run(graph, [x, w, row])
    np.testing.assert_array_equal(product, x * w.T)
    np.testing.assert_array_equal(difference, x - row[1::2])


def networks() -> list[Any]:
    return [
        pytest.param(Sequential(Dense(3)), "squared_error", cr.learn.SGD(0.05), id="linear"),
        pytest.param(Sequential(Dense(9, activation="tanh"), Dense(3, activation="softmax")), "squared_error",
                     cr.learn.SGD(cr.learn.Warmup(cr.learn.Cosine(0.05), steps=5), momentum=0.9), id="tanh, softmax"),
        pytest.param(Sequential(Dense(16, activation="relu"), cr.nn.Dropout(0.3), Dense(3)), "softmax_cross_entropy",
                     cr.learn.SGD(0.1), id="relu, dropout"),
        pytest.param(Sequential(Dense(8, activation="sigmoid"), cr.nn.BatchNorm(), Dense(3)), "softmax_cross_entropy",
                     cr.learn.SGD(0.1), id="batch norm"),
        pytest.param(Sequential(Dense(17, activation="relu"), Dense(3)), "softmax_cross_entropy", cr.learn.AdamW(0.01),
                     id="adamw"),
    ]  # fmt: skip


def data(loss: str, dtype: Any, rows: int = 70) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 5)).astype(dtype)
    classes = rng.integers(0, 3, rows)
    return x, classes if loss == "softmax_cross_entropy" else np.eye(3)[classes]


@pytest.mark.parametrize("batch", [16, "all"])
@pytest.mark.parametrize(("network", "loss", "optimizer"), networks())
def test_a_run_is_the_reference_run_to_rounding(network: Any, loss: str, optimizer: Any, batch: Any) -> None:
    x, y = data(loss, np.float64)
    runs = [
        cr.fit(cr.Objective(network, loss), (x, y), validation=(x[:20], y[:20]), patience=3, epochs=4, batch_size=batch,
               optimizer=optimizer, executor=executor)
        for executor in ("reference", "native")
    ]  # fmt: skip
    assert [r.status for r in runs] == [runs[0].status] * 2
    assert runs[0].steps == runs[1].steps
    for a, b in zip(*(flatten((r.parameters, r.state))[0] for r in runs), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-11)
    for a, b in zip(runs[0].history, runs[1].history, strict=True):
        assert a.keys() == b.keys()
        assert all(b[k] == pytest.approx(a[k], rel=1e-9) for k in a)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_seed_same_bits_and_any_step_again(dtype: Any) -> None:
    network = Sequential(Dense(16, activation="relu"), cr.nn.Dropout(0.2), cr.nn.BatchNorm(), Dense(3))
    x, y = data("softmax_cross_entropy", dtype)
    objective = cr.Objective(network, "softmax_cross_entropy")

    def run(epochs: int) -> Any:
        return cr.fit(objective, (x, y), epochs=epochs, batch_size=16, executor="native", seed=3)

    first, second = run(4), run(4)
    for a, b in zip(flatten(first.parameters)[0], flatten(second.parameters)[0], strict=True):
        assert a.tobytes() == b.tobytes()
    short = run(2)
    moment = first.at(short.steps)
    for a, b in zip(
        flatten((moment.parameters, moment.state))[0], flatten((short.parameters, short.state))[0], strict=True
    ):
        assert a.tobytes() == b.tobytes()
    for step in (0, 1, 7, first.steps):
        assert first.at(step).step == step


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_is_predicted_with_the_same_bits_alone_and_among_others(dtype: Any) -> None:
    x, y = data("softmax_cross_entropy", dtype, rows=1500)
    network = Sequential(Dense(33, activation="tanh"), Dense(10, activation="sigmoid"), Dense(3))
    run = cr.fit(cr.Objective(network, "softmax_cross_entropy"), (x, y), epochs=1, executor="native")
    whole = run.predict(x)
    for i in (0, 1, 5, 7, 63, 1023, 1024, 1499):
        assert run.predict(x[i : i + 1])[0].tobytes() == whole[i].tobytes()
    assert run.predict(x[100:107]).tobytes() == whole[100:107].tobytes()
    order = np.random.default_rng(1).permutation(len(x))
    assert run.predict(x[order]).tobytes() == whole[order].tobytes()


def test_divergence_is_named_and_the_last_finite_parameters_stand() -> None:
    x, y = data("softmax_cross_entropy", np.float32)
    objective = cr.Objective(Sequential(Dense(8, activation="relu"), Dense(3)), "softmax_cross_entropy")
    run = cr.fit(objective, (x, y), epochs=5, optimizer=cr.learn.SGD(1e30), executor="native")
    assert run.status == "non-finite"
    assert "step 2, epoch 1" in run.message
    assert "in layer 'output'" in run.message
    assert all(np.all(np.isfinite(v)) for v in run.parameters.values())


def test_an_index_out_of_range_is_an_error() -> None:
    native = get_executor("native")
    graph = cr.make_graph(lambda x, i: ops.take(x, i), np.ones((3, 2)), np.array([0, 1]))
    assert native.run(graph, [np.ones((3, 2)), np.array([2, 0])])[0].shape == (2, 2)
    for bad in ([0, 3], [-1, 0]):
        with pytest.raises(ExecutionError, match="out of range"):
            native.run(graph, [np.ones((3, 2)), np.array(bad)])


def test_what_cannot_be_compiled_is_said_by_name() -> None:
    x = np.random.default_rng(0).normal(size=(4, 3))
    squared = cr.make_graph(lambda x: np.exp(x @ x.T), Type("f64", (n, 3)))
    (got,) = get_executor("native").run(squared, [x])
    np.testing.assert_allclose(got, np.exp(x @ x.T), rtol=1e-13)
    cubed = cr.make_graph(lambda x: ops.reshape(x, shape=(n, 1, 1)) * (x @ x.T), Type("f64", (n, 1)))
    with pytest.raises(ExecutionError, match="n·n·n elements cannot be compiled; use executor='reference'"):
        get_executor("native").run(cubed, [x[:, :1]])


def test_compile_gives_a_function_and_its_gradient() -> None:
    def f(x: Any, scale: Any) -> Any:
        return np.sum(np.sin(x) * scale)

    x = np.linspace(-2, 2, 11)
    fast, slope = cr.compile(f), cr.compile(cr.grad(f))
    assert fast(x, 3.0) == pytest.approx(float(f(x, 3.0)), rel=1e-14)
    np.testing.assert_allclose(slope(x, 3.0), 3.0 * np.cos(x), rtol=1e-14)
    assert slope(x.astype(np.float32), np.float32(2)).dtype == np.float32
    assert "2 types" in repr(slope)
    np.testing.assert_allclose(cr.grad(lambda x: fast(x, 1.0))(x), np.cos(x), rtol=1e-14)  # inside another trace
    nested = cr.compile(lambda p: {"twice": [2.0 * p["a"]], "none": None})
    assert nested({"a": np.ones(2)})["twice"][0].tolist() == [2.0, 2.0]


def test_threads_may_run_one_function_at_once() -> None:
    native = get_executor("native")
    graph = cr.make_graph(lambda x: np.tanh(x @ x.T).sum(axis=1), np.ones((40, 40)))
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(40, 40)) for _ in range(4)]
    expected = [native.run(graph, [x])[0].tobytes() for x in inputs]
    wrong: list[int] = []

    def work(i: int) -> None:
        results = [native.run(graph, [inputs[i]])[0].tobytes() for _ in range(200)]
        wrong.extend(i for result in results if result != expected[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_inputs_of_any_layout_are_left_as_they_are(native: Any) -> None:
    x = np.asfortranarray(np.random.default_rng(0).normal(size=(6, 5)))
    before = x.tobytes(order="A")
    graph = cr.make_graph(lambda x: 2.0 * x, x)
    np.testing.assert_array_equal(native.run(graph, [x])[0], 2.0 * x)
    np.testing.assert_array_equal(native.run(graph, [x[::-1]])[0], 2.0 * x[::-1])
    assert x.tobytes(order="A") == before
    with pytest.raises(ExecutionError, match="the graph takes f64"):
        native.run(graph, [x.astype(np.float32)])


def test_random_numbers_are_those_of_the_reference(native: Any) -> None:
    graph = cr.make_graph(lambda key: ops.uniform(ops.fold(key, np.uint32(5)), (37, 11), "f32"), cr.key(0))
    for seed in (0, 1, 2**40 + 7):
        key = cr.key(seed)
        assert native.run(graph, [key])[0].tobytes() == REFERENCE.run(graph, [key])[0].tobytes()


def test_row_orders_are_the_references() -> None:
    from chainrule.execute import row_orders
    from chainrule.execute.native.words import random_words

    for count in (1, 2, 7, 8, 9, 455, 1000):
        key = ops.key(count)
        np.testing.assert_array_equal(row_orders(key, 5, 4, count, random_words), row_orders(key, 5, 4, count))


@pytest.mark.parametrize("more", [{"tile_rows": 5}, {"accumulate": 3}])
def test_gradients_that_are_transposes_add_up_over_tiles(more: dict[str, int]) -> None:
    rng = np.random.default_rng(0)
    x, y, p = rng.normal(size=(32, 5)), rng.normal(size=(32, 3)), {"w": rng.normal(size=(3, 5))}
    runs = [
        cr.fit(cr.Objective(lambda p, x: x @ p["w"].T, "squared_error"), (x, y), parameters=p, epochs=2, batch_size=16,
               optimizer=cr.learn.SGD(0.02), executor=executor, **more)
        for executor in ("reference", "native")
    ]  # fmt: skip
    np.testing.assert_allclose(runs[1].parameters["w"], runs[0].parameters["w"], rtol=1e-12)


BITS = """
import hashlib, numpy as np, chainrule as cr
rng = np.random.default_rng(0)
x, y = rng.normal(size=(300, 37)).astype(np.float32), rng.integers(0, 3, 300)
dense = cr.nn.Dense
layers = [cr.nn.Periodic(), dense(130, "tanh"), cr.nn.Dropout(0.2), dense(65, "sigmoid"), dense(3)]
objective = cr.Objective(cr.nn.Sequential(*layers), "softmax_cross_entropy")
run = cr.fit(objective, (x, y), validation=(x[:50], y[:50]), epochs=3, batch_size=128)
parts = [*run.parameters.values(), run.predict(x), np.array([list(h.values()) for h in run.history])]
print(hashlib.sha256(b"".join(p.tobytes() for p in parts)).hexdigest())
"""


def test_the_same_bits_with_any_width_of_vectors_and_any_number_of_threads() -> None:
    found = {}
    for width, threads in (("64", "1"), ("64", "2"), ("64", "4"), ("32", "2"), ("16", "1")):
        environment = {**os.environ, "CHAINRULE_VECTOR_BYTES": width, "CHAINRULE_NUM_THREADS": threads}
        done = subprocess.run([sys.executable, "-c", BITS], env=environment, capture_output=True, text=True, check=True)
        found[width, threads] = done.stdout
    assert len(set(found.values())) == 1, found


def test_a_deep_transposed_product_has_the_bits_of_its_rows(native: Any) -> None:
    """Above and below the depth from which A is turned first: each element is the same chain of multiply-adds."""
    rng = np.random.default_rng(0)
    graph = cr.make_graph(lambda a, b: a.T @ b, Type("f32", (n, 300)), Type("f32", (n, 70)))
    for depth in (3, 255, 256, 257, 1030):
        a, b = rng.normal(size=(depth, 300)).astype(np.float32), rng.normal(size=(depth, 70)).astype(np.float32)
        (got,) = native.run(graph, [a, b])
        other = cr.make_graph(lambda a, b: a @ b, Type("f32", (300, depth)), Type("f32", (depth, 70)))
        (straight,) = native.run(other, [np.ascontiguousarray(a.T), b])
        assert got.tobytes() == straight.tobytes()
        np.testing.assert_allclose(got, a.T.astype(np.float64) @ b, rtol=0, atol=1e-6 * depth)
