"""Reductions that share what they compute are one pass, and have the bits that each has alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import ops
from chainrule.execute import get_executor
from chainrule.execute.native import engine
from chainrule.execute.native.schedule import REDUCTIONS, make_schedule
from chainrule.graph import Type, n, simplify

pytestmark = pytest.mark.skipif(bool(engine.missing()), reason=engine.missing() or "native code runs here")


def waits(x: Any, y: Any) -> tuple[Any, ...]:
    """Σd² waits for the mean that d is taken from; Σd shares d with it."""
    d = x - ops.broadcast_to(np.mean(x, axis=0, keepdims=True), x.shape)
    return ops.sum_(d * y, axis=0), ops.sum_(d * d, axis=0)


def read_at_once(x: Any, y: Any) -> tuple[Any, ...]:
    """A nest and a product read both."""
    s, t = ops.sum_(x * y, axis=1), ops.sum_(x * y * x, axis=1)
    return s + t, s @ t


def kept(x: Any, y: Any) -> tuple[Any, ...]:
    """What is shared is an output too: it must be in memory."""
    e = np.exp(x) * y
    return e, ops.sum_(e, axis=1), ops.sum_(e * y, axis=1)


def crossed(x: Any, y: Any) -> tuple[Any, ...]:
    """Two pairs; a member of each waits for a member of the other: they cannot all be one pass each."""
    a, b = x * y, x - y
    first = ops.sum_(a, axis=0)
    second = ops.sum_(b * ops.broadcast_to(first, b.shape), axis=0)
    third = ops.sum_(b * b, axis=0)
    return first, second, third, ops.sum_(a * ops.broadcast_to(third, a.shape), axis=0)


def line_of(x: Any) -> Any:
    """The first row, as often as there are rows."""
    return ops.broadcast_to(np.tanh(x[:1]), x.shape)


FUNCTIONS: dict[str, tuple[Any, int]] = {
    "columns": (lambda x, y: (ops.sum_(x * y, axis=0), ops.sum_(x * y * y, axis=0)), 1),
    "lines": (lambda x, y: (ops.sum_(np.exp(x) * y, axis=1), ops.max_(np.exp(x), axis=1)), 1),
    "all": (lambda x, y: (ops.sum_((x * y) * (x * y)), ops.sum_((x * y) * x), ops.min_(x * y)), 1),
    "three kinds": (lambda x, y: (ops.max_(x + y, axis=0), ops.min_(x + y, axis=0), ops.sum_(x + y, axis=0)), 1),
    "other axes": (lambda x, y: (ops.sum_(x * y, axis=0), ops.sum_(x * y, axis=1)), 2),
    "transposed": (lambda x, y: (ops.sum_((x.T * y.T), axis=0), ops.sum_((x.T * y.T) * x.T, axis=0)), 1),
    "a broadcast line, over all": (lambda x, y: (ops.sum_(x * y), ops.sum_(x * y * line_of(x))), 2),
    "a broadcast line, by columns": (lambda x, y: (ops.sum_(x * y, axis=0), ops.sum_(x * y * line_of(x), axis=0)), 1),
    "a broadcast line, by lines": (lambda x, y: (ops.sum_(x * y, axis=1), ops.sum_(x * y * line_of(x), axis=1)), 1),
    "read at once": (read_at_once, 1),
    "waits": (waits, 2),
    "kept": (kept, 2),
    "crossed": (crossed, 4),
}  # fmt: skip
SHAPES = [(1, 1), (3, 5), (16, 64), (17, 65), (33, 130), (5, 300), (0, 4), (200, 128)]
SUMS = ("columns", "other axes", "read at once", "kept", "crossed")
"""What may have no rows: the largest of none is refused."""


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, shape) for name in FUNCTIONS for shape in SHAPES if 0 not in shape or name in SUMS],
)
def test_a_pass_has_the_bits_that_each_reduction_has_alone(name: str, shape: tuple[int, int], dtype: str) -> None:
    function, passes = FUNCTIONS[name]
    rng = np.random.default_rng(7)
    x, y = (rng.normal(size=shape).astype({"f32": np.float32, "f64": np.float64}[dtype]) for _ in range(2))
    graph = simplify(cr.make_graph(function, x, y))[0]
    sharing = [s for s in make_schedule(graph) if sum(node.op.name in REDUCTIONS for node in s.nodes) > 0]
    if min(shape) > 1:
        assert len(sharing) == passes
    native, reference = get_executor("native"), get_executor("reference")
    got = native.run(graph, [x, y])
    for place, (value, judge) in enumerate(zip(got, reference.run(graph, [x, y]), strict=True)):
        (alone,) = native.run(cr.make_graph(lambda a, b, i=place: function(a, b)[i], x, y), [x, y])
        np.testing.assert_array_equal(value, alone)
        eps = float(np.finfo(x.dtype).eps)
        np.testing.assert_allclose(value, judge, rtol=200 * eps, atol=200 * eps * max(shape) * 20)


def test_rows_that_are_known_as_they_come() -> None:
    """A pass over n rows: sums over them, and sums along each."""
    function = lambda x, y: (ops.sum_(x * y, axis=0), ops.max_(x * y, axis=0))  # noqa: E731
    graph = cr.make_graph(function, Type("f32", (n, 70)), Type("f32", (n, 70)))
    rng = np.random.default_rng(0)
    for rows in (1, 2, 31, 257):
        x, y = (rng.normal(size=(rows, 70)).astype(np.float32) for _ in range(2))
        total, top = get_executor("native").run(graph, [x, y])
        np.testing.assert_array_equal(top, np.max(x * y, axis=0))
        np.testing.assert_allclose(total, np.sum((x * y).astype(float), axis=0), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("axes", [0, 1, (0, 1)])
@pytest.mark.parametrize("side", [5, 40, 130])
def test_what_is_transposed_does_not_change_the_bits_of_another_reduction(side: int, axes: Any) -> None:
    """A sum over what lies in order takes several lanes at a time, over a transposed one it cannot."""

    def function(x: Any, y: Any) -> tuple[Any, ...]:
        return ops.sum_(x * y, axis=axes), ops.sum_(x * y * x.T, axis=axes), ops.sum_(x * y * x, axis=axes)

    rng = np.random.default_rng(3)
    x, y = (rng.normal(size=(side, side)).astype(np.float32) for _ in range(2))
    native = get_executor("native")
    for place, value in enumerate(native.run(cr.make_graph(function, x, y), [x, y])):
        (alone,) = native.run(cr.make_graph(lambda a, b, i=place: function(a, b)[i], x, y), [x, y])
        np.testing.assert_array_equal(value, alone)


def test_what_a_loop_gives_is_read_by_several_reductions() -> None:
    """A loop's result is an operand that lies as its shape says."""

    def function(x: Any, y: Any) -> tuple[Any, ...]:
        z, _ = cr.scan(lambda carry, e: (np.tanh(carry) + e, None), x, np.ones((3, *x.shape)))
        return ops.sum_(z * y), ops.sum_(z * y * z), ops.sum_(z * line_of(x))

    rng = np.random.default_rng(4)
    x, y = (rng.normal(size=(40, 7)) for _ in range(2))
    native = get_executor("native")
    for place, value in enumerate(native.run(cr.make_graph(function, x, y), [x, y])):
        (alone,) = native.run(cr.make_graph(lambda a, b, i=place: function(a, b)[i], x, y), [x, y])
        np.testing.assert_array_equal(value, alone)
