"""CHAINRULE_DEBUG=1: code that would leave a buffer is stopped before it does; memory is poison before it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import ops
from chainrule.errors import ExecutionError
from chainrule.execute import get_executor
from chainrule.execute.native import arena, compile, engine, layout, matmul, nests, products, stages
from chainrule.execute.order import RowOrder
from chainrule.graph import Type, n
from chainrule.ops.views import pad

pytestmark = pytest.mark.skipif(bool(engine.missing()), reason=engine.missing() or "native code runs here")


@pytest.fixture(autouse=True)
def debug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_DEBUG", "1")
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", "off")  # code that is wrong on purpose is not to be kept


def stopped(function: Callable[..., Any], *arrays: Any, kinds: Any = ()) -> None:
    """The function is right as it is, and is stopped once something is wrong with it: see the tests."""
    with pytest.raises(ExecutionError, match="it left a buffer"):
        get_executor("native").run(cr.make_graph(function, *(kinds or arrays)), list(arrays))


def numbers(*shape: int, dtype: Any = np.float32) -> Any:
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


PRODUCTS: list[Any] = [
    pytest.param(lambda a, b: a @ b, (30, 40), (40, 50), id="panels, rows"),
    pytest.param(lambda a, b: a @ b, (2, 4), (4, 300), id="columns"),
    pytest.param(lambda a, b: a @ b, (3, 4), (4, 5), id="as it is"),
    pytest.param(lambda a, b: a.T @ b, (300, 300), (300, 60), id="turned"),
    pytest.param(lambda a, b: a @ b.T, (30, 40), (50, 40), id="transposed B"),
    pytest.param(
        lambda a, b: ops.scan(lambda c, v: (np.tanh(c @ b), None), a, np.zeros(2, np.float32))[0],
        (6, 5), (5, 5), id="in a loop",
    ),
    pytest.param(
        lambda a, b: ops.scan(lambda c, v: (np.tanh(c @ b.T), None), a, np.zeros(2, np.float32))[0],
        (6, 5), (5, 5), id="packed in a loop",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("function", "a", "b"), PRODUCTS)
def test_a_product_of_any_form_runs(function: Any, a: Any, b: Any) -> None:
    left, right = numbers(*a), numbers(*b)
    (got,) = get_executor("native").run(cr.make_graph(function, left, right), [left, right])
    np.testing.assert_allclose(got, np.asarray(function(left, right)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("function", "a", "b"), PRODUCTS)
def test_a_product_with_a_wrong_size_is_stopped(function: Any, a: Any, b: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All buffers are taken to be one row of B shorter than they are: whatever is read last lies outside."""
    usual = layout.product
    shorter = {usual(a), usual(b), usual((a[0], b[1])), usual((a[1], b[1])), usual((a[0], b[0]))}

    def short(self: Any, purpose: str, kind: Type, source: Any = None, size: Any = None) -> Any:
        slot = as_it_is(self, purpose, kind, source, size)
        if slot.size in shorter and slot.size.fixed > 4:
            slot = self.slots[-1] = replace(slot, size=slot.size + layout.Extent(-4))
        return slot

    as_it_is = compile.Compiler.slot
    monkeypatch.setattr(compile.Compiler, "slot", short)
    stopped(function, numbers(*a), numbers(*b))


@pytest.mark.parametrize("axis", [0, 1])
def test_a_product_with_a_wrong_stride_is_stopped(axis: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(a: Any) -> Any:
        steps = list(as_it_is(a))
        steps[axis] = steps[axis] + layout.Extent(3)
        return tuple(steps)

    as_it_is = products._steps
    monkeypatch.setattr(products, "_steps", wrong)
    stopped(lambda a, b: a @ b, numbers(30, 40), numbers(40, 50))
    stopped(lambda a, b: a @ b, numbers(3, 40), numbers(40, 5), kinds=(Type("f32", (n, 40)), Type("f32", (40, 5))))


def shorten_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the compiler believe that every input has one element less than it has."""

    def short(self: Any, purpose: str, kind: Type, source: Any = None, size: Any = None) -> Any:
        slot = as_it_is(self, purpose, kind, source, size)
        if purpose == "input":
            slot = self.slots[-1] = replace(slot, size=slot.size + layout.Extent(-1))
        return slot

    as_it_is = compile.Compiler.slot
    monkeypatch.setattr(compile.Compiler, "slot", short)


@pytest.mark.parametrize(
    "function",
    [lambda a: np.tanh(a), lambda a: np.sum(a, axis=1), lambda a: np.max(a), lambda a: a[:, ::2] * 2.0,
     lambda a: np.concatenate([a, a]), lambda a: ops.take(a, np.array([0, 29])), lambda a: np.argmax(a, axis=0)],
)  # fmt: skip
def test_a_loop_with_a_wrong_size_is_stopped(function: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_inputs(monkeypatch)
    stopped(function, numbers(30, 17))


def test_a_store_outside_of_a_buffer_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def far(frame: Any, target: Any, number: Any) -> None:
        as_it_is(frame, replace(target, offset=target.offset + layout.Extent(1)), number)

    as_it_is = nests.fill_nest
    monkeypatch.setattr(stages.nests, "fill_nest", far)
    stopped(lambda a: pad(a, before=(1, 1), after=(1, 1), between=(0, 0)), numbers(4, 4))


@pytest.mark.parametrize("op", ["cholesky", "solve_triangular"])
def test_a_library_call_with_a_wrong_size_is_stopped(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    a = (np.eye(5) * 3).astype(np.float64)
    function = {"cholesky": lambda a: ops.cholesky(a), "solve_triangular": lambda a: ops.solve_triangular(a, a)}[op]
    get_executor("native").run(cr.make_graph(function, a), [a])

    shorten_inputs(monkeypatch)
    stopped(function, a)


def fit(x: Any, y: Any, **more: Any) -> Any:
    network = cr.nn.Sequential(cr.nn.Dense(9, activation="relu"), cr.nn.Dropout(0.1), cr.nn.Dense(3))
    return cr.fit(cr.Objective(network, "softmax_cross_entropy"), (x, y), epochs=2, executor="native", **more)


@pytest.mark.parametrize("more", [{"batch_size": 16}, {"batch_size": 40, "tile_rows": 16}, {"batch_size": "all"}])
def test_a_training_run_is_as_without(more: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gathered rows, their positions and order, tiles, evaluation and the carry all lie where they should."""
    x, y = numbers(70, 5), np.arange(70) % 3
    runs = []
    for setting in ("1", "0"):
        monkeypatch.setenv("CHAINRULE_DEBUG", setting)
        runs.append(fit(x, y, validation=(x[:20], y[:20]), **more))
    for name, value in runs[0].parameters.items():
        assert value.tobytes() == runs[1].parameters[name].tobytes()


def test_a_row_that_the_data_do_not_have_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    as_it_is = RowOrder.several
    monkeypatch.setattr(RowOrder, "several", lambda *arguments: as_it_is(*arguments) + 60)
    with pytest.raises(ExecutionError, match="it left a buffer"):
        fit(numbers(70, 5), np.arange(70) % 3, batch_size=16)


def test_memory_is_poison_before_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporaries begin as NaN, share no place, and those of an earlier call are gone."""
    x = numbers(33, 17)
    graph = cr.make_graph(lambda x: np.sum(np.tanh(x @ x.T) @ x, axis=0), x)
    before: list[Any] = []
    as_it_is = arena.Buffers.poison

    def poison(self: Any) -> None:
        before.append(self._arena.copy())
        as_it_is(self)
        assert np.all(self._arena == 0xFF)

    monkeypatch.setattr(arena.Buffers, "poison", poison)
    native = get_executor("native")
    results = [native.run(graph, [x])[0].tobytes() for _ in range(3)]
    assert len(set(results)) == 1
    assert len(before) == 4, "once when the memory is made, and at every call"
    assert np.any(before[2] != 0xFF), "a call leaves its temporaries"
    assert before[2].tobytes() == before[3].tobytes()
    function = native.compile(graph)
    section = function.section
    offsets, top = section.place(function.linked.slots, 0, apart=True)
    spans = sorted(
        (begin, begin + function.linked.slots[i].size.at(0) * layout.ITEM_BYTES[function.linked.slots[i].dtype])
        for i, begin in offsets.items()
    )
    assert all(end + arena.ALIGN <= after for (_, end), (after, _) in pairwise(spans))
    assert spans[-1][1] <= top


def test_every_function_for_products_has_a_known_reach() -> None:
    from chainrule.execute.native import debug

    assert {u.split("_")[0] for u in matmul.units("f32")} == set(debug.ARGUMENTS)
