"""Shapes and attributes at which the operations that are not elementwise are sampled, as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.graph import Rows

n = Rows(1)


@dataclass(frozen=True)
class Base:
    """Shapes (n rows among them) and attributes; ``draw`` makes the operands, where plain numbers will not do."""

    shapes: tuple[Any, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    draw: Callable[..., Any] | None = None
    empty_rows: bool = True
    """Is it defined for no rows?"""


ELEMENTWISE = ((), (1,), (0,), (0, 3), (5,), (2, 3), (3, 2, 2), (33,), (n,), (n, 3), (Rows(2), 3), (3, n))
BROADCAST = (((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2,)), ((n, 1), (3,)), ((n, 2), ()))
ATTRIBUTES = {
    "cast": [{"dtype": d} for d in ("f64", "f32", "i32", "bool")],
    "named": [{"name": "a"}],
    "checked_index": [{"layer": "embedding1", "columns": None}, {"layer": "embedding1", "columns": (4, 0, 2)}],
}
"""Attributes of elementwise operations that take some."""

LINES = (((5,), 0), ((1,), 0), ((3, 2), 0), ((2, 3), 1), ((2, 0), 0), ((33, 3), 0), ((n,), 0), ((n, 3), 0), ((3, n), 1),
         ((n, 4), 1), ((2, 3, 4), 1))  # fmt: skip
SUMS = (
    ((), ()), ((1,), (0,)), ((33,), (0,)), ((2, 3, 4), (0,)), ((2, 3, 4), (2,)), ((2, 3, 4), (0, 2)),
    ((2, 3, 4), (0, 1, 2)), ((2, 3), ()), ((3, 33), (1,)), ((0, 3), (1,)), ((n, 3), (1,)), ((n, 3), ()),
)  # fmt: skip
OVER_ROWS = (((n, 3), (0,)), ((n,), (0,)), ((3, n), (1,)))


def _apart(shapes: Sequence[Any], rng: np.random.Generator) -> list[Any]:
    """Numbers of which no two are nearer than a third."""
    return [(rng.permutation(int(np.prod(s))).reshape(s) - np.prod(s) / 2) / 3 for s in shapes]


def _definite(shapes: Sequence[Any], rng: np.random.Generator) -> list[Any]:
    ((size, _),) = shapes
    x = rng.uniform(-1, 1, (size, size))
    return [x @ x.T + np.eye(size)]


def _system(lower: bool) -> Callable[..., Any]:
    def draw(shapes: Sequence[Any], rng: np.random.Generator) -> list[Any]:
        (size, _), right = shapes
        a = rng.uniform(-1, 1, (size, size)) + 3 * np.eye(size)
        return [np.tril(a) if lower else a, rng.uniform(-2, 2, right)]

    return draw


def _indices(where: int, limit: int, dtype: Any = np.int64) -> Callable[..., Any]:
    """Indices below a limit as one operand, numbers as the other."""

    def draw(shapes: Sequence[Any], rng: np.random.Generator) -> list[Any]:
        return [
            rng.integers(0, limit, s).astype(dtype) if i == where else rng.uniform(-2, 2, s)
            for i, s in enumerate(shapes)
        ]

    return draw


def _counters(shapes: Sequence[Any], rng: np.random.Generator) -> list[Any]:
    return [rng.integers(0, 2**32, s).astype(np.uint32) for s in shapes]


def _reductions(over_rows: bool, **more: Any) -> list[Base]:
    kept = [Base((s,), {"axes": a}, **more) for s, a in SUMS]
    return kept + [Base((s,), {"axes": a}, empty_rows=over_rows, **more) for s, a in OVER_ROWS]


def _slices() -> Iterator[Base]:
    for shape, start, stop, step in (
        ((5, 4), (1, 0), (5, 3), (2, 1)), ((5,), (2,), (2,), (1,)), ((7,), (0,), (6,), (4,)), ((1,), (0,), (1,), (1,)),
        ((33,), (1,), (33,), (2,)), ((2, 3, 4), (0, 1, 0), (2, 2, 4), (1, 1, 3)), ((0, 3), (0, 1), (0, 3), (1, 1)),
        ((n, 4), (0, 1), (n, 3), (1, 1)), ((n, 5), (0, 0), (n, 5), (1, 2)), ((3, n), (1, 0), (3, n), (1, 1)), ((),
        (), (), ()),
    ):  # fmt: skip
        yield Base((shape,), {"start": start, "stop": stop, "step": step})


def _pads() -> Iterator[Base]:
    for shape, before, after, between in (
        ((2, 3), (1, 0), (0, 2), (2, 0)), ((0, 3), (1, 0), (1, 0), (1, 0)), ((5,), (0,), (0,), (0,)), ((1,), (2,),
        (0,), (3,)),
        ((33,), (1,), (0,), (1,)), ((2, 3, 2), (0, 1, 0), (1, 0, 0), (0, 0, 2)), ((n, 3), (0, 1), (0, 1), (0, 0)),
        ((n, 2), (0, 0), (0, 0), (0, 2)), ((2, n), (1, 0), (0, 0), (1, 0)), ((), (), (), ()),
    ):  # fmt: skip
        yield Base((shape,), {"before": before, "after": after, "between": between})


def _shaped(*pairs: tuple[Any, Any]) -> list[Base]:
    return [Base((shape,), {"shape": to}) for shape, to in pairs]


BASES: Mapping[str, list[Base]] = {
    "sum": [*_reductions(True), Base(((0, 3),), {"axes": (0,)})],
    "prod": [*_reductions(True), Base(((0, 3),), {"axes": (0,)})],
    "all": [*_reductions(True), Base(((0, 3),), {"axes": (0,)})],
    "max": _reductions(False, draw=_apart),
    "min": _reductions(False, draw=_apart),
    "argmax": [
        Base((s,), {"axes": (a,)}, draw=_apart, empty_rows=e)
        for s, a, e in (
            ((1,), 0, True), ((33,), 0, True), ((2, 3, 4), 0, True), ((2, 3, 4), 1, True), ((2, 3, 4), 2, True),
            ((0, 3), 1, True), ((3, 2), 1, True), ((n, 3), 1, True), ((n, 2, 2), 2, True), ((n,), 0, False),
            ((3, n), 1, False),
        )
    ],
    "cumulative_sum": [Base((s,), {"axis": a, "reverse": r}) for s, a in LINES for r in (False, True)],
    "recurrence": [Base((s, s), {"axis": a, "reverse": r}) for s, a in LINES for r in (False, True)],
    "argsort": [Base((s,), {"axis": a}, draw=_apart) for s, a in LINES],
    "flip": [Base((s,), {"axes": (a,)}) for s, a in LINES] + [Base(((2, 3),), {"axes": a}) for a in ((), (0, 1))],
    "extent": [Base((s,), {"axis": a}) for s, a in LINES],
    "transpose": [
        Base((s,), {"axes": a})
        for s, a in (
            ((), ()), ((3,), (0,)), ((2, 3), (1, 0)), ((2, 3), (0, 1)), ((2, 3, 4), (2, 0, 1)), ((2, 3, 4), (0, 2, 1)),
            ((0, 3), (1, 0)), ((1, 1), (1, 0)), ((n, 3), (1, 0)), ((2, n, 3), (1, 2, 0)),
        )
    ],
    "broadcast": _shaped(
        ((3,), (2, 3)), ((2, 1), (4, 2, 3)), ((), (2, 2)), ((1,), (0,)), ((1,), (33,)), ((1, 1), (5, 1)), ((2, 3),
        (2, 3)),
        ((3,), (n, 3)), ((n, 1), (n, 3)), ((), (n,)), ((n,), (2, n)),
    ),
    "reshape": _shaped(
        ((2, 3), (6,)), ((2, 3), (3, 2)), ((2, 3), (1, 6, 1)), ((1, 1), ()), ((), (1, 1)), ((0, 3), (3, 0)), ((33,),
        (3, 11)),
        ((n, 6), (n, 3, 2)), ((n, 2, 3), (n, 6)), ((n, 2), (Rows(2),)), ((n,), (n, 1)),
    ),
    "slice": [*_slices()],
    "pad": [*_pads()],
    "concatenate": [
        Base(shapes, {"axis": a})
        for shapes, a in (
            (((2, 3), (1, 3), (2, 3)), 0), (((2, 3), (2, 1)), 1), (((3,),), 0), (((0,), (2,)), 0), (((1,), (1,)), 0),
            (((33,), (2,)), 0), (((2, 1, 2), (2, 2, 2)), 1), (((0, 2), (0, 1)), 1), (((n, 2), (n, 3)), 1),
            (((n, 1), (n, 1)), 1), (((n, 2), (n, 2)), 0), (((n,), (Rows(2),), (n,)), 0), (((2, n), (2, n)), 1),
        )
    ],
    "take": [
        Base((x, i), draw=_indices(1, limit, dtype))
        for x, i, limit, dtype in (
            ((4, 2), (3,), 4, np.int64), ((4,), (2, 2), 4, np.int32), ((4, 2), (), 4, np.int64),
            ((4, 2), (0,), 4, np.int64),
            ((1,), (3,), 1, np.uint32), ((33, 2), (40,), 33, np.uint64), ((2, 2, 3), (2,), 2, np.int64),
            ((3, 2), (n,), 3, np.int64), ((3, n), (2,), 3, np.int64), ((3,), (n, 2), 3, np.int32),
        )
    ],
    "scatter_add": [
        Base((i, x), {"size": size}, draw=_indices(0, size if isinstance(size, int) else 1, dtype))
        for i, x, size, dtype in (
            ((3,), (3, 2), 4, np.int64), ((), (2,), 3, np.int64), ((0,), (0, 2), 2, np.int64), ((2, 2),
            (2, 2), 2, np.int32),
            ((40,), (40, 3), 5, np.uint32), ((1,), (1,), 1, np.uint64), ((3,), (3, 2, 2), 3, np.int64),
            ((n,), (n, 2), 3, np.int64), ((2,), (2, n), 3, np.int64), ((n, 2), (n, 2), 4, np.int64),
        )
    ],
    "matmul": [
        Base(shapes)
        for shapes in (
            ((2, 3), (3, 4)), ((1, 1), (1, 1)), ((2, 0), (0, 3)), ((0, 2), (2, 3)), ((5, 33), (33, 2)), ((2, 3),
            (3, 1)),
            ((n, 3), (3, 2)), ((3, n), (n, 2)), ((2, 2), (2, n)), ((2, 3, 4), (2, 4, 2)), ((2, 1, 2, 3), (2, 1, 3, 2)),
            ((n, 2, 3), (n, 3, 2)), ((2, n, 3), (2, 3, 2)),
        )
    ],
    "cholesky": [Base(((k, k),), draw=_definite) for k in (0, 1, 2, 3, 4, 5, 8)],
    "solve_triangular": [
        Base(((k, k), (k, m)), {"transposed": t}, draw=_system(True))
        for k, m in ((0, 2), (1, 1), (2, 1), (3, 2), (4, 3), (5, 1), (3, 0)) for t in (False, True)
    ],
    "solve": [
        Base(((k, k), (k, m)), {"transposed": t}, draw=_system(False))
        for k, m in ((0, 2), (1, 1), (2, 1), (3, 2), (4, 3), (5, 1), (3, 0)) for t in (False, True)
    ],
    "svd": [Base((s,)) for s in ((0, 2), (1, 1), (2, 2), (3, 2), (2, 3), (4, 4), (5, 2), (1, 4), (3, 1))],
    "fold": [Base(((2,), ()), draw=_counters)],
    "random_bits": [Base(((2,), s, s), draw=_counters) for s in ELEMENTWISE],
    "iota": [
        Base((), {"shape": s, "axis": a, "dtype": d})
        for s, a in (((3,), 0), ((2, 3), 1), ((2, 3), 0), ((0,), 0), ((1,), 0), ((n, 3), 0), ((n, 2), 1),
        ((2, n), 1), ((33, 2), 0))
        for d in ("u32", "i64", "f32", "f64")
    ],
}  # fmt: skip
"""The bases of every operation that is not elementwise and no loop."""
