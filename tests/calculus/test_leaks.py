"""A traced value that outlives its function is refused, wherever it turns up; what only looks like it goes on."""

import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TraceError
from chainrule.execute import REFERENCE
from chainrule.execute.native import Native
from chainrule.graph import Node, Type
from chainrule.ops.regions import iterate, scan

LEAKED = "a traced value leaked out of its function"


def leak_through(way: str) -> Node:
    """Return a value that was put aside while its function was traced."""
    kept: list[Any] = []

    def keeping(x):
        kept.append(x * 3.0)
        return np.sum(x * x)

    x = np.array([1.0, 2.0])
    match way:
        case "grad":
            np.testing.assert_array_equal(cr.grad(keeping)(x), [2.0, 4.0])
        case "value_and_grad":
            assert cr.value_and_grad(keeping)(x)[0] == 5.0
        case "vjp":
            assert cr.vjp(keeping, x)[0] == 5.0
        case "jvp":
            assert cr.jvp(keeping, (x,), (x,))[1] == 10.0
        case "jacobian":
            np.testing.assert_array_equal(cr.jacobian(keeping)(x), [2.0, 4.0])
        case "hessian":
            np.testing.assert_array_equal(cr.hessian(keeping)(x), 2 * np.eye(2))
        case "compile":
            assert cr.compile(keeping)(x) == 5.0
        case "compile on the reference":
            assert cr.compile(keeping, executor="reference")(x) == 5.0
        case "make_graph":
            cr.make_graph(keeping, x)
        case "scan":
            cr.make_graph(lambda y: scan(lambda c, e: (c + keeping(e), None), 0.0, y)[0], x[:, None])
        case "iterate":
            cr.make_graph(lambda y: iterate(y, lambda s: s - keeping(s) * 0.0, lambda s: np.all(s < 9.0), 3)[0], x)
        case "until of iterate":
            cr.make_graph(lambda y: iterate(y, lambda s: s * 2, lambda s: keeping(s) > 3.0, 3)[0], x)
        case "nested grad":
            cr.grad(lambda y: np.sum(cr.grad(keeping)(y)))(x)
    return kept[0]


WAYS = [
    "grad", "value_and_grad", "vjp", "jvp", "jacobian", "hessian", "compile", "compile on the reference", "make_graph",
    "scan", "iterate", "until of iterate", "nested grad",
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_value_that_leaked_in_any_way_is_refused_in_every_way(way: str) -> None:
    leaked = np.sum(leak_through(way))
    assert isinstance(leaked, Node)
    x = np.array([3.0, 4.0])

    def reading(y):
        return np.sum(y * leaked)

    readers = {
        "grad": lambda: cr.grad(reading)(x),
        "value_and_grad": lambda: cr.value_and_grad(reading)(x),
        "vjp": lambda: cr.vjp(reading, x),
        "jvp": lambda: cr.jvp(reading, (x,), (x,)),
        "jacobian": lambda: cr.jacobian(reading)(x),
        "hessian": lambda: cr.hessian(lambda y: reading(y) ** 2)(x),
        "compile": lambda: cr.compile(reading)(x),
        "compile on the reference": lambda: cr.compile(reading, executor="reference")(x),
        "compile, looked at": lambda: cr.compile(reading).graph(x),
        "compiled gradient": lambda: cr.compile(cr.grad(reading))(x),
        "run on the reference": lambda: REFERENCE.run(cr.make_graph(reading, x), [x]),
        "prepared on the reference": lambda: REFERENCE.run_prepared(cr.make_graph(reading, x), [x]),
        "run as machine code": lambda: Native().run(cr.make_graph(reading, x), [x]),
        "scan": lambda: cr.grad(lambda y: scan(lambda c, e: (c + e * leaked, None), 0.0, y)[0])(x),
        "iterate": lambda: cr.compile(lambda y: iterate(y, lambda s: s + leaked, lambda s: np.all(s > 9), 3)[0])(x),
        "nested grad": lambda: cr.grad(lambda y: np.sum(cr.grad(reading)(y) * y))(x),
        "nested and the outer one only": lambda: cr.grad(lambda y: reading(cr.grad(lambda z: np.sum(z * z))(y)))(x),
        "returned": lambda: cr.grad(lambda y: leaked)(x),
        "explain": lambda: cr.explain(lambda y: y * leaked, 2.0),
        "check_grad": lambda: cr.check_grad(reading, x),
        "an argument of grad": lambda: cr.grad(lambda y: y * y)(leaked),
        "an argument of a compiled function": lambda: cr.compile(lambda y: y * y)(leaked),
    }
    for name, reader in readers.items():
        with pytest.raises(TraceError, match=LEAKED):
            print(f"{name} gave", reader())


# --- what the message says ------------------------------------------------------------------------------------------


def test_the_message_names_the_value_its_function_the_reader_and_the_way_out() -> None:
    kept: list[Any] = []

    def first(speed):
        kept.append(np.exp(speed))
        return speed * 2.0

    def second(y):
        return y * kept[0]

    cr.grad(first)(1.0)
    with pytest.raises(TraceError) as raised:
        cr.grad(second)(2.0)
    message, line = str(raised.value), first.__code__.co_firstlineno
    assert f"a result of exp ({__file__}:{line + 1} in first), computed from 'speed'" in message
    assert f"an argument of the function at {__file__}:{line} in first" in message
    assert f"is read by multiply ({__file__}:{second.__code__.co_firstlineno + 1} in second)" in message
    assert "return it as an output, compute that, and pass the result as an argument" in message


def test_the_function_is_named_through_wrappers() -> None:
    kept: list[Any] = []

    def bottom(x):
        kept.append(x)
        return x * x

    cr.compile(cr.grad(bottom))(1.0)
    place = f"{__file__}:{bottom.__code__.co_firstlineno} in bottom"
    with pytest.raises(TraceError, match=f"'x', an argument of the function at {place} is read by multiply"):
        cr.grad(lambda y: y * kept[0])(2.0)
    kept.clear()
    cr.make_graph(lambda y: scan(lambda c, e: (c + bottom(e), None), 0.0, y)[0], np.ones(2))
    with pytest.raises(TraceError, match=rf"an argument of the function at {__file__}:\d+ in <lambda> is read by"):
        cr.grad(lambda y: y * kept[0])(2.0)


def test_a_leak_within_one_trace_is_found_when_that_trace_is_finished() -> None:
    def outer(w):
        kept: list[Any] = []
        cr.grad(lambda inner: kept.append(inner) or inner * inner)(w)
        return w * kept[0]

    with pytest.raises(TraceError, match=f"{LEAKED}: 'inner', an argument of the function at"):
        cr.grad(outer)(2.0)
    with pytest.raises(TraceError, match=LEAKED):
        cr.compile(outer)(2.0)


def test_a_pullback_that_outlives_a_trace_it_reads_is_refused() -> None:
    kept: list[Any] = []

    def outer(w):
        value, pullback = cr.vjp(lambda x: x * w, 3.0)
        kept.append(pullback)
        return value + pullback(1.0)

    assert cr.grad(outer)(2.0) == 4.0
    with pytest.raises(TraceError, match=f"{LEAKED}: 'w'"):
        kept[0](1.0)


def test_a_trace_that_failed_is_over_too() -> None:
    kept: list[Any] = []

    def failing(x):
        kept.append(x)
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        cr.grad(failing)(1.0)
    with pytest.raises(TraceError, match=LEAKED):
        cr.grad(lambda y: y * kept[0])(2.0)


# --- learning -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", ["native", "reference"])
def test_a_loss_that_reads_a_leaked_value_is_refused(executor: str) -> None:
    leaked = np.sum(leak_through("grad"))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 2)), rng.normal(size=(8, 1))
    network = cr.nn.Sequential(cr.nn.Dense(1))
    objective = cr.Objective(network, loss=lambda target, output: (output - target * leaked) ** 2)
    with pytest.raises(TraceError, match=LEAKED):
        cr.fit(objective, (x, y), epochs=1, batch_size=4, executor=executor)
    layered = cr.nn.Sequential(cr.nn.Dense(1), cr.nn.Lambda(lambda v: v * leaked.astype(v.dtype)))
    with pytest.raises(TraceError, match=LEAKED):
        cr.fit(cr.Objective(layered, loss="half_squared_error"), (x, y), epochs=1, batch_size=4, executor=executor)


# --- threads --------------------------------------------------------------------------------------------------------


def test_an_open_trace_of_one_thread_excuses_no_leak_in_another() -> None:
    found: dict[str, Any] = {}
    here, there = threading.Event(), threading.Event()

    def open_for_long(x):
        found["leaked"] = x
        here.set()
        assert there.wait(30)
        return x * x

    def other() -> None:
        assert here.wait(30)
        try:
            found["result"] = cr.grad(lambda y: y * found["leaked"])(2.0)
        except TraceError as error:
            found["error"] = str(error)
        there.set()

    thread = threading.Thread(target=other)
    thread.start()
    assert cr.grad(open_for_long)(3.0) == 6.0
    thread.join(30)
    assert "result" not in found
    assert found["error"].startswith(f"{LEAKED}: 'x'")


def test_threads_trace_at_once_and_see_only_their_own() -> None:
    def work(seed: int) -> Any:
        scale = float(seed)
        return [cr.grad(lambda w: cr.grad(lambda x: x * x * w * scale)(3.0))(2.0) for _ in range(20)]

    with ThreadPoolExecutor(8) as pool:
        for seed, slopes in enumerate(pool.map(work, range(16))):
            assert slopes == [6.0 * seed] * 20


def test_a_thread_that_was_not_given_the_context_is_told_so() -> None:
    """It may work for the very function whose value it reads: the message says how it then sees that."""
    slope = lambda w: cr.grad(lambda x: x * x * w)(3.0)  # noqa: E731
    times = cr.compile(lambda x: x * x)

    def outer(work):
        def traced(w):
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(work, w).result()

        return traced

    for work in (slope, times):
        with pytest.raises(TraceError, match=r"has started this thread: .* pool.submit\(contextvars.copy_context"):
            cr.grad(outer(work))(2.0)
    with pytest.raises(TraceError) as caught:
        cr.grad(lambda y: np.sum(y * leak_through("grad")))(np.array([1.0, 2.0]))
    assert "thread" not in str(caught.value)


def test_a_thread_of_the_traced_function_s_own_works_in_its_context() -> None:
    def outer(w):
        context = contextvars.copy_context()
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(context.run, lambda: cr.grad(lambda x: x * x * w)(3.0)).result()

    assert cr.grad(outer)(2.0) == 6.0


# --- what is no leak ------------------------------------------------------------------------------------------------


def test_outside_any_trace_a_leaked_value_builds_nodes_and_can_be_printed() -> None:
    leaked = leak_through("grad")
    later = np.tanh(leaked) + 1.0
    assert isinstance(later, Node)
    assert later.type == Type("f64", (2,))
    assert "traced add" in repr(later)
    with pytest.raises(TraceError, match="cannot become a Python float"):
        float(np.sum(later))


def test_a_derivative_may_close_over_the_trace_around_it() -> None:
    slope = cr.grad(lambda x: x * cr.grad(lambda y: x + y)(1.0))(1.0)
    assert slope == 1.0  # not 2: perturbations are told apart
    assert cr.grad(lambda w: cr.vjp(lambda x: x * x * w, 3.0)[1](1.0))(2.0) == 6.0
    assert cr.grad(lambda w: cr.jvp(lambda x: x * x * w, (3.0,), (1.0,))[1])(2.0) == 6.0
    np.testing.assert_array_equal(
        cr.grad(lambda w: np.sum(cr.jacobian(lambda x: x * x * w)(np.array([1.0, 2.0]))))(2.0), 6.0
    )
    assert cr.grad(lambda w: np.sum(cr.hessian(lambda x: np.sum(x**3) * w)(np.array([1.0, 2.0]))))(1.0) == 18.0
    assert cr.compile(lambda w: cr.grad(lambda x: x * x * w)(3.0))(2.0) == 12.0


def test_a_loop_s_body_may_close_over_the_trace_around_it() -> None:
    def inner(w):
        return scan(lambda c, e: (c + cr.grad(lambda z: z * z * w * c)(e), None), w, np.array([1.0, 2.0]))[0]

    assert cr.check_grad(inner, 0.5)
    root = lambda w: iterate(1.0, lambda s: 0.5 * (s + w / s), lambda s: abs(s * s - w) < 1e-12, 50)[0]  # noqa: E731
    assert cr.compile(root)(2.0) == pytest.approx(np.sqrt(2.0), rel=1e-12)


def test_a_compiled_function_that_closes_over_a_trace_is_part_of_it_and_is_never_kept() -> None:
    outside: dict[str, Any] = {"w": 5.0}
    times = cr.compile(lambda x: x * x * outside["w"])

    def outer(w):
        outside["w"] = w
        return times(3.0) + times(np.array(1.0))

    for w in (2.0, 7.0):
        assert cr.grad(outer)(w) == 10.0
        assert cr.value_and_grad(outer)(w)[0] == 10.0 * w
        assert cr.compile(outer)(w) == 10.0 * w
    assert not times._graphs
    with pytest.raises(TraceError, match=f"{LEAKED}: 'w'"):
        times(3.0)  # the dictionary still holds the traced value
    outside["w"] = 5.0
    assert times(3.0) == 45.0


def test_a_compiled_function_without_outer_values_is_a_constant_to_the_trace_around_it() -> None:
    double = cr.compile(lambda x: 2.0 * x)
    assert cr.grad(lambda w: w * double(3.0))(1.0) == 6.0
    assert len(double._graphs) == 1


def test_a_graph_that_reads_an_open_trace_cannot_be_run_by_itself() -> None:
    def outer(w):
        graph = cr.make_graph(lambda x: x * w, 1.0)
        with pytest.raises(TraceError, match="reads 'w', a traced value of a function that is still being traced"):
            REFERENCE.run(graph, [1.0])
        with pytest.raises(TraceError, match="make that value an argument of the function that the graph was made"):
            Native().run(graph, [1.0])
        return w

    assert cr.grad(outer)(1.0) == 1.0
