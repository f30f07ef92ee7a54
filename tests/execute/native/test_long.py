"""Very long functions: their code is cut into short kernels, to the same bits."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.execute import REFERENCE
from chainrule.execute.native import engine, frame, places, schedule, stages
from chainrule.execute.native.arena import Linked
from chainrule.execute.native.function import NativeFunction, write_function
from chainrule.graph import Graph, Rows, Type
from chainrule.ops.regions import iterate, scan

pytestmark = pytest.mark.skipif(bool(engine.missing()), reason=engine.missing() or "native code runs here")

rng = np.random.default_rng(7)


def links(x: Any, count: int) -> Any:
    for _ in range(count):
        x = np.tanh(x) * 0.9 + 0.1
    return x


def branches(x: Any, count: int) -> Any:
    """Every value is read again much later, truth values too: whatever the cut, some lie on both its sides."""
    kept = []
    for i in range(count):
        x = np.where(x > 0.05 * i, np.sin(x), np.exp(-x) - 0.5)
        kept.append((x, x > 0.2))
    for value, condition in kept:
        x = np.where(condition, x * 0.5 + value, x - 0.25 * value)
    return x


def flags(x: Any, count: int) -> Any:
    found = []
    for i in range(count):
        x = np.tanh(x) * 0.9 + 0.1
        if i % 7 == 0:
            found.append(np.all(np.isfinite(x)))
    return x, found


def loop(x: Any, count: int) -> Any:
    trips = np.array([1.0, -0.5, 0.25], x.dtype)
    return scan(lambda c, e: (links(c, count) * e, np.sum(c)), x, trips)


def loop_in_a_loop(x: Any, count: int) -> Any:
    trips = np.array([1.0, -0.5], x.dtype)
    w = np.asarray(np.linspace(-1, 1, 9).reshape(3, 3), x.dtype)

    def body(c: Any, e: Any) -> Any:
        for _ in range(count // 20):
            c = np.tanh(c @ w)
        inner = scan(lambda d, s: (links(d, count // 4) @ w * s, None), c, trips)[0]
        return links(inner, count // 4) * e, np.sum(inner, axis=0)

    return scan(body, x, trips)


def search(x: Any, count: int) -> Any:
    return iterate(x, lambda s: links(s, count) * 0.5, lambda s: np.max(np.abs(links(s, count))) < 0.35, 9)


def gradient(function: Callable[..., Any], *pick: int) -> Callable[..., Any]:
    def summed(x: Any, count: int) -> Any:
        result = function(x, count)
        for i in pick:
            result = result[i]
        return np.sum(result * result)

    return lambda x, count: cr.value_and_grad(lambda v: summed(v, count))(x)


CASES: dict[str, tuple[Callable[..., Any], Type, int]] = {
    "f64": (links, Type("f64", (37,)), 60),
    "f32": (links, Type("f32", (5, 7)), 60),
    "a number": (links, Type("f64"), 150),
    "n rows": (links, Type("f32", (Rows(1), 3)), 60),
    "values that live long": (branches, Type("f64", (19,)), 30),
    "values that live long, f32": (branches, Type("f32", (19,)), 30),
    "flags": (flags, Type("f64", (21,)), 60),
    "a sum": (lambda x, count: np.sum(links(x, count), axis=0), Type("f32", (6, 11)), 60),
    "a sum along": (lambda x, count: np.sum(links(x, count), axis=1), Type("f64", (6, 45)), 60),
    "a gradient": (gradient(links), Type("f64", (33,)), 30),
    "a gradient of n rows": (gradient(links), Type("f32", (Rows(1), 4)), 30),
    "a gradient of values that live long": (gradient(branches), Type("f64", (9,)), 16),
    "a loop": (loop, Type("f64", (9,)), 30),
    "a loop's gradient": (gradient(loop, 0), Type("f64", (9,)), 60),
    "a loop in a loop": (loop_in_a_loop, Type("f32", (4, 3)), 60),
    "a loop's gradient in a loop": (gradient(loop_in_a_loop, 0), Type("f64", (2, 3)), 40),
    "a search": (search, Type("f64", (5,)), 60),
    "many arrays joined": (
        lambda x, count: np.concatenate([x * float(i) for i in range(count)], axis=1), Type("f32", (3, 2)), 50,
    ),
}  # fmt: skip


def compiled(graph: Graph) -> NativeFunction:
    """Return a graph's code as it is written now: the store would give what was written before."""
    return NativeFunction(graph, Linked(write_function(graph)[0]))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("debug", [False, True], ids=["usual", "debug"])
def test_code_in_short_pieces_gives_the_same_bits(case: str, debug: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    function, kind, count = CASES[case]
    monkeypatch.setenv("CHAINRULE_DEBUG", "1" if debug else "")
    graph = cr.make_graph(lambda x: function(x, count), kind)
    shape = [5 if isinstance(d, Rows) else d for d in kind.shape]
    x = np.asarray(rng.normal(size=shape), graph.inputs[0].dtype)

    def with_limit(instructions: int, lines: int, parts: int) -> tuple[list[Any], int]:
        monkeypatch.setattr(schedule, "SHORT", instructions)
        monkeypatch.setattr(schedule, "LONGEST", instructions)
        monkeypatch.setattr(frame, "LONG", lines)
        monkeypatch.setattr(stages, "MOST_PARTS", parts)
        function = compiled(graph)
        return function(graph, [x]), len(function.section.kernels)

    whole, kernels = with_limit(1 << 60, 1 << 60, 1 << 60)
    for instructions, lines, parts in ((300, 0, 10), (30, 50, 1))[: 1 if debug else 2]:
        cut, more = with_limit(instructions, lines, parts)
        assert more > kernels or "loop" in case or case == "a search", "nothing was cut"
        for a, b in zip(cut, whole, strict=True):
            assert a.dtype == b.dtype
            assert a.tobytes() == b.tobytes()
    for a, b in zip(whole, REFERENCE.run(graph, [x]), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4 if kind.dtype == "f32" else 1e-10, atol=1e-6)


def longest(graph: Graph) -> tuple[int, int]:
    """Return how many lines the longest kernel has, and how many kernels there are."""
    units = [text for text in write_function(graph)[0].units.values() if text]
    return max(text.count("\n") for text in units), len(units)


@pytest.mark.parametrize("kind", [Type("f64", (64,)), Type("f64"), Type("f32", (Rows(1), 8))], ids=str)
def test_a_longer_chain_is_more_calls_of_the_same_short_kernels(kind: Type) -> None:
    lines, kernels = longest(cr.make_graph(lambda x: links(x, 1000), kind))
    again, more = longest(cr.make_graph(lambda x: links(x, 2000), kind))
    assert again == lines < 10_000
    assert more <= kernels + 1
    assert kernels <= 5  # a first, a middle and a last one, and what is left over


def test_a_longer_gradient_is_more_calls_of_short_kernels() -> None:
    x = Type("f64", (64,))
    for count in (500, 1000):
        graph = cr.make_graph(lambda v, n=count: gradient(links)(v, n), x)
        assert longest(graph)[0] < 10_000


def test_an_update_of_many_parameters_is_several_kernels() -> None:
    def step(p: list[Any], g: list[Any], rate: Any) -> list[Any]:
        return [a - rate * b for a, b in zip(p, g, strict=True)]

    kinds = [Type("f32", (8,))] * 1000
    assert longest(cr.make_graph(step, kinds, kinds, Type("f32")))[0] < 10_000


def test_an_ordinary_nest_is_one() -> None:
    kind = Type("f32", (64, 64))
    (stage,) = schedule.make_schedule(cr.make_graph(lambda x: links(x, 50), kind))
    assert len(stage.nodes) == 150
    (stage,) = schedule.make_schedule(cr.make_graph(lambda x: branches(x, 100), kind))
    assert len(stage.nodes) == 1200  # of its values many would go through memory
    assert len(schedule.make_schedule(cr.make_graph(lambda x: branches(x, 400), kind))) > 5


def test_a_sum_of_a_very_long_chain_is_nests_and_a_sum() -> None:
    graph = cr.make_graph(lambda x: np.sum(links(x, 1000)), Type("f64", (64,)))
    *nests, last = schedule.make_schedule(graph)
    assert len(last.nodes) == 1
    assert len(nests) > 5
    assert longest(graph)[0] < 10_000
    (whole,) = schedule.make_schedule(cr.make_graph(lambda x: np.sum(links(x, 100)), Type("f64", (64,))))
    assert len(whole.nodes) == 301


def test_a_flag_stays_with_what_it_is_of() -> None:
    graph = cr.make_graph(lambda x: flags(x, 500), Type("f64", (21,)))
    fused = [stage for stage in schedule.make_schedule(graph) if stage.fused]
    assert len(fused) > 3
    for stage in fused:
        inside = set(stage.nodes)
        assert all(node.operands[0] in inside for node in stage.nodes if schedule.is_flag(node))


# --- the arena ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(200))
def test_places_are_the_lowest_that_are_free(seed: int) -> None:
    draw = random.Random(seed)
    line, taken = places.Places(), {}
    for _ in range(draw.randint(1, 120)):
        if taken and draw.random() < 0.45:
            begin = draw.choice(sorted(taken))
            line.release(begin, taken.pop(begin))
        size, lowest = draw.randint(1, 6), 0
        for begin, end in sorted(taken.items()):
            if lowest + size <= begin:
                break
            lowest = end
        assert line.take(size) == lowest
        taken[lowest] = lowest + size
