"""The moves of a maker of random graphs: each adds an operation of one family, or nothing where none fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule import ops
from chainrule.graph import Node, Rows, Type, make_constant
from chainrule.graph.types import DTYPES
from chainrule.ops.record import TABLE

from . import loops

if TYPE_CHECKING:
    from .make import Maker

INTEGERS = ("i32", "i64", "u32", "u64")
UNARY = {
    kind: tuple(
        op.name for op in TABLE.values()
        if op.kind == "elementwise" and len(op.operands) == 1 and op.accepts in accepts and not op.attributes
    )
    for kind, accepts in {"float": ("float", "number"), "integer": ("number",)}.items()
}  # fmt: skip
BINARY = {
    kind: tuple(
        op.name for op in TABLE.values()
        if op.kind == "elementwise" and len(op.operands) == 2 and op.accepts in accepts
    )
    for kind, accepts in {
        "float": ("float", "number"), "integer": ("number", "integer", "bits"), "bool": ("bool", "bits"),
        "any": ("any",),
    }.items()
}  # fmt: skip
HEAVY = (
    "exp", "expm1", "log", "log1p", "sin", "cos", "tan", "tanh", "erf", "sigmoid", "softplus", "power", "arcsin",
    "arccos", "arctan", "arctan2", "sinh", "cosh", "arcsinh", "arccosh", "arctanh", "exp2", "log2", "log10",
    "logaddexp",
)  # fmt: skip
"""Operations of so many instructions that LLVM takes long over them: drawn a third as often as others."""
FOR_ANYTHING = ("stop_gradient", "named")


def unary(m: Maker) -> Node:
    return m.new(_often(m, UNARY["float"]), (m.floating(),))


def _often(m: Maker, names: tuple[str, ...]) -> str:
    name: str = m.one_of(names)
    return m.one_of(names) if name in HEAVY and m.chance(2 / 3) else name


def _pair(m: Maker, a: Node) -> tuple[Node, Node]:
    b = m.like(a)
    return (a, b) if m.chance(0.5) else (b, a)


def binary(m: Maker) -> Node:
    return m.new(_often(m, BINARY["float"]), _pair(m, m.floating()))


def integers(m: Maker) -> Node:
    a = m.anything(*INTEGERS)
    if m.chance(0.25):
        return m.new(m.one_of(UNARY["integer"]), (a,))
    return m.new(m.one_of(BINARY["integer"]), _pair(m, a))


def truth(m: Maker) -> Node:
    a = m.anything("bool")
    # and, or of truth values are drawn here alone; the bitwise ones meet integers too
    names = (*BINARY["bool"], "logical_and", "logical_or", "logical_or")
    return m.new("logical_not", (a,)) if m.chance(0.2) else m.new(m.one_of(names), _pair(m, a))


def compare(m: Maker) -> Any:
    a = m.floating() if m.chance(0.6) else m.anything()
    condition = m.new(m.one_of(BINARY["any"]), _pair(m, a))
    if m.chance(0.5):
        return condition
    chosen = a if m.chance(0.5) else m.anything()
    if chosen.shape != a.shape:
        chosen = a
    return condition, m.new("where", (condition, *_pair(m, chosen)))


def anything(m: Maker) -> Node:
    name = m.one_of(FOR_ANYTHING)
    return m.new(name, (m.anything(),), **({"name": f"name{m.below(3)}"} if name == "named" else {}))


def cast(m: Maker) -> Any:
    """Convert between any two dtypes; a float is first made one that an integer can hold, as the record asks."""
    a = m.anything(*DTYPES) if m.chance(0.7) else m.floating()
    dtype = str(m.one_of(tuple(DTYPES)))
    if a.type.is_float and dtype in INTEGERS:
        low, high = (0, 1000) if dtype[0] == "u" else (-1000, 1000)
        a = m.new("maximum", (a, m.to_shape(m.literal(low, a.type.dtype), a.shape)))
        a = m.new("minimum", (a, m.to_shape(m.literal(high, a.type.dtype), a.shape)))
        real = m.new("equal", (a, a))
        a = m.new("where", (real, a, m.to_shape(m.literal(7, a.type.dtype), a.shape)))
    return m.new("cast", (a,), dtype=dtype)


def view(m: Maker) -> Node:
    x = m.floating() if m.chance(0.7) else m.anything()
    kind = m.below(6)
    if kind == 5:
        return m.new("flip", (x,), axes=tuple(a for a in range(x.ndim) if m.chance(0.5)))
    if kind == 0:
        return m.new("transpose", (x,), axes=tuple(int(a) for a in m.rng.permutation(x.ndim)))
    if kind == 1:
        return reshape(m, x)
    if kind == 2:
        added = (m.dim(),) if m.chance(0.7) or any(isinstance(d, Rows) for d in x.shape) else (Rows(1),)
        stretched = tuple(m.dim() if d == 1 and m.chance(0.5) else d for d in x.shape)
        return m.new("broadcast", (x,), shape=(*added, *stretched) if m.chance(0.6) else stretched)
    if kind == 3:
        pieces = [(0, d, 1) if isinstance(d, Rows) else piece(m, d) for d in x.shape]
        start, stop, step = (tuple(p[i] for p in pieces) for i in range(3))
        return m.new("slice", (x,), start=start, stop=stop, step=step)
    return m.new("extent", (x,), axis=m.below(x.ndim))


def piece(m: Maker, dim: int) -> tuple[int, int, int]:
    begin, end = sorted(int(v) for v in m.rng.integers(0, dim + 1, 2))
    return begin, end, int(m.rng.integers(1, 4))


def reshape(m: Maker, x: Node) -> Node:
    """Flatten, merge two axes, split one, or put in an axis of one."""
    shape: list[Any] = list(x.shape)
    kind = m.below(4)
    if kind == 0 or not shape:
        return ops.reshape(x, -1)
    axis = m.below(len(shape))
    if kind == 1:
        shape.insert(axis, 1)
    elif kind == 2 and len(shape) > 1:
        axis = m.below(len(shape) - 1)
        a, b = shape[axis], shape[axis + 1]
        if isinstance(a, Rows) and isinstance(b, Rows):
            return ops.reshape(x, -1)
        number = (a.multiple if isinstance(a, Rows) else a) * (b.multiple if isinstance(b, Rows) else b)
        rows = isinstance(a, Rows) or isinstance(b, Rows)
        shape[axis : axis + 2] = [Rows(number) if rows and number else number]
    else:
        number = shape[axis].multiple if isinstance(shape[axis], Rows) else shape[axis]
        factor = next((f for f in (2, 3, 7) if number % f == 0 and number), 1)
        part = number // factor
        shape[axis : axis + 1] = [factor, Rows(part) if isinstance(shape[axis], Rows) else part]
    return m.new("reshape", (x,), shape=tuple(shape))


def join(m: Maker) -> Node:
    x = m.floating() if m.chance(0.7) else m.anything()
    if m.chance(0.5):
        amounts = [tuple(0 if isinstance(d, Rows) else m.below(4) for d in x.shape) for _ in range(3)]
        return m.new("pad", (x,), **dict(zip(("before", "after", "between"), amounts, strict=True)))
    axis = m.below(x.ndim)
    fits = [
        n for n in m.pool
        if n.type.dtype == x.type.dtype and n.ndim == x.ndim
        and all(a == b for i, (a, b) in enumerate(zip(n.shape, x.shape, strict=True)) if i != axis)
    ]  # fmt: skip
    parts = [m.one_of(fits) if fits and m.chance(0.5) else m.like(x) for _ in range(m.below(3))]
    parts.insert(m.below(len(parts) + 1), x)
    return m.new("concatenate", parts, axis=axis)


def reduce(m: Maker) -> Node:
    name = m.one_of(("sum", "sum", "prod", "max", "min", "argmax", "all"))
    if name == "all":
        x = m.anything("bool")
    elif m.chance(0.2):
        x = m.anything(*INTEGERS)
    else:
        x = m.floating(lambda n: n.ndim > 0)
    if name == "argmax" and x.ndim == 0:
        name = "max"
    axes = tuple(a for a in range(x.ndim) if m.chance(0.6))
    if name == "argmax":
        axes = (m.below(x.ndim),)
    if name in ("max", "min", "argmax") and any(m.is_empty(x.shape[a]) for a in axes if a < x.ndim):
        name = "sum"
    return m.new(name, (x,), axes=axes)


def reduce_view(m: Maker) -> Any:
    """A reduction of a value computed from a view: a nest reads the view on its way, in whatever order it lies."""
    x = m.floating(lambda n: n.ndim > 1)
    if x.ndim < 2:
        return None
    if m.chance(0.5):
        seen = m.new("transpose", (x,), axes=tuple(int(a) for a in m.rng.permutation(x.ndim)))
    else:
        step = tuple(1 if isinstance(d, Rows) else int(m.rng.integers(1, 3)) for d in x.shape)
        seen = m.new("slice", (x,), start=(0,) * x.ndim, stop=x.shape, step=step)
    value = m.new(m.one_of(("square", "absolute", "negative")), (seen,))
    axes = tuple(a for a in range(x.ndim) if m.chance(0.6))
    empty = any(m.is_empty(value.shape[a]) for a in axes)
    return m.new("sum" if empty else m.one_of(("sum", "sum", "max", "min")), (value,), axes=axes)


def large_product(m: Maker) -> Node:
    """A product that is deep or wide: B copied into panels, A turned first, threads that share out the columns."""
    k, rows, columns = m.one_of((Rows(1), 260)), m.one_of((5, 70, 260, Rows(1))), m.one_of((3, 70, 300))
    straight = m.chance(0.5)
    a = m.add_input(Type(m.dtype, (rows, k) if straight else (k, rows)))
    b = m.add_input(Type(m.dtype, (k, columns)))
    return m.new("matmul", (a if straight else m.new("transpose", (a,), axes=(1, 0)), b))


def product_of_stacks(m: Maker) -> Node:
    """Stacks of matrices, one operand perhaps turned."""
    a = m.floating(lambda n: n.ndim > 2)
    if a.ndim < 3:
        a = m.add_input(Type(m.dtype, m.shape(3)))
    turned = m.chance(0.3)
    *stack, _, k = a.shape
    matrix = (m.dim(), k) if turned else (k, m.dim())
    b = m.add_input(Type(m.dtype, (*stack, *matrix)))
    if turned:
        rank = a.ndim
        b = m.new("transpose", (b,), axes=(*range(rank - 2), rank - 1, rank - 2))
    return m.new("matmul", (a, b))


def product(m: Maker) -> Node:
    if m.chance(0.06):
        return large_product(m)
    if m.chance(0.2):
        return product_of_stacks(m)
    a = m.floating(rank=2)
    b = m.floating(lambda n: n.ndim == 2 and n.shape[0] == a.shape[1])
    if b.ndim != 2 or b.shape[0] != a.shape[1]:
        fits = m.chance(0.3) and a.shape[0] == a.shape[1]
        width: Any = Rows(1) if m.chance(0.15) else m.dim()
        b = a if fits else m.add_input(Type(m.dtype, (a.shape[1], width)))
    if m.chance(0.25):  # one operand as a transposed view
        if m.chance(0.5):
            a = m.new("transpose", (m.add_input(Type(m.dtype, a.shape[::-1])),), axes=(1, 0))
        else:
            b = m.new("transpose", (m.add_input(Type(m.dtype, b.shape[::-1])),), axes=(1, 0))
    return m.new("matmul", (a, b))


def index(m: Maker) -> Any:
    """Take rows, and add rows to rows: indices repeat, and are of any integer dtype and rank."""
    x = m.floating(lambda n: n.ndim > 0) if m.chance(0.7) else m.anything(*INTEGERS, "bool")
    if not x.ndim or not isinstance(x.shape[0], int) or x.shape[0] == 0:
        return None
    count, dtype = x.shape[0], str(m.one_of(INTEGERS))
    shape: tuple[Any, ...] = () if m.chance(0.15) else (m.below(7),) if m.chance(0.6) else m.shape(int(m.below(2)) + 1)
    if m.chance(0.5) or any(isinstance(d, Rows) for d in shape):
        places = m.add_input(Type(dtype, shape), limit=count)
    else:
        places = make_constant(m.rng.integers(0, count, shape).astype(DTYPES[dtype]))
    if m.chance(0.3):
        low, high = (m.to_shape(m.literal(v, dtype), shape) for v in (0, count))
        places = m.new("checked_index", (places, low, high), layer="embedding1", columns=None)
    taken = m.new("take", (x, places))
    if x.type.dtype == "bool" or m.chance(0.4):
        return taken
    return taken, m.new("scatter_add", (places, taken), size=count if m.chance(0.7) else count + 3)


def running(m: Maker) -> Node:
    """Running sums and recurrences along an axis, from either end."""
    x = m.floating(lambda n: n.ndim > 0) if m.chance(0.8) else m.anything(*INTEGERS)
    axis, reverse = m.below(x.ndim), m.chance(0.5)
    if x.type.is_float and m.chance(0.5):
        return m.new("recurrence", _pair(m, x), axis=axis, reverse=reverse)
    return m.new("cumulative_sum", (x,), axis=axis, reverse=reverse)


def order(m: Maker) -> Any:
    """The order along an axis; and, of a line, the elements in that order."""
    x = m.floating(lambda n: n.ndim > 0) if m.chance(0.7) else m.anything(*INTEGERS)
    places = m.new("argsort", (x,), axis=m.below(x.ndim))
    return (places, m.new("take", (x, places))) if x.ndim == 1 and m.chance(0.5) else places


def bits(m: Maker) -> Any:
    """Random bits of a key and counters; and counters by themselves."""
    rank = m.below(3) + 1
    shape = m.shape(rank)
    if m.chance(0.3):
        return m.new("iota", (), shape=shape, axis=m.below(rank), dtype=str(m.one_of(INTEGERS)))
    key = m.pick(lambda n: n.type == Type("u32", (2,)), lambda: Type("u32", (2,)))
    if m.chance(0.3):  # a key whose two words do not lie next to each other
        if m.chance(0.3):
            key = m.new("broadcast", (m.add_input(Type("u32", (1,) * m.below(2))),), shape=(2,))
        else:
            keys = m.add_input(Type("u32", (2, 3)))
            column = m.new("slice", (keys,), start=(0, 1), stop=(2, 2), step=(1, 1))
            key = m.new("reshape", (column,), shape=(2,))
    if m.chance(0.5):
        data = m.literal(m.below(2**31), "u32")
        key = m.new("fold", (key, data if m.chance(0.5) else m.add_input(Type("u32"))))
    row = m.new("iota", (), shape=shape, axis=0, dtype="u32")
    element = m.new("iota", (), shape=shape, axis=rank - 1, dtype="u32")
    drawn = m.new("random_bits", (key, row, element))
    if m.chance(0.3):
        return key, drawn
    high = m.new("right_shift", (drawn, m.to_shape(m.literal(8, "u32"), shape)))
    return key, m.new("cast", (high,), dtype=m.dtype)


def factor(m: Maker) -> Any:
    """A Cholesky factor of a matrix that has one, and systems that it, or another triangle, solves."""
    n = int(m.one_of((0, 1, 2, 3, 5, 9)))
    raw = m.floating(lambda x: x.shape == (n, n))
    if raw.shape != (n, n):
        raw = m.add_input(Type(m.dtype, (n, n)))
    bounded = m.new("tanh", (raw,))
    diagonal = make_constant(np.asarray((n + 1) * np.eye(n), DTYPES[m.dtype]))
    if m.chance(0.6):
        square = m.new("matmul", (bounded, m.new("transpose", (bounded,), axes=(1, 0))))
        triangle = m.new("cholesky", (m.new("add", (square, diagonal)),))
        if m.chance(0.4):
            return triangle
    else:
        triangle = m.new("add", (bounded, diagonal))
    b = m.floating(lambda x: x.ndim == 2 and x.shape[0] == n)
    if b.ndim != 2 or b.shape[0] != n:
        b = m.add_input(Type(m.dtype, (n, m.dim())))
    if m.chance(0.4):
        regular = m.new("add", (bounded, diagonal))
        return regular, m.new("solve", (regular, b), transposed=m.chance(0.5))
    return triangle, m.new("solve_triangular", (triangle, b), transposed=m.chance(0.5))


def singular_values(m: Maker) -> Any:
    a = m.floating(lambda x: x.ndim == 2 and not x.type.is_symbolic)
    if a.ndim != 2 or a.type.is_symbolic:
        a = m.add_input(Type(m.dtype, (int(m.one_of((0, 1, 2, 3, 5, 9))), m.below(7))))
    return m.new("svd", (a,))


def region(m: Maker) -> Any:
    return loops.scan(m) if m.chance(0.55) else loops.iterate(m)


MOVES: list[tuple[Any, float]] = [
    (unary, 6), (binary, 6), (integers, 2), (truth, 1), (compare, 3), (anything, 1), (cast, 2), (view, 5), (join, 2),
    (reduce, 4), (reduce_view, 0.8), (product, 3), (index, 2), (bits, 0.7), (factor, 0.9),
    (singular_values, 0.4), (running, 1.2), (order, 0.7), (region, 0.9),
]  # fmt: skip
"""Each move and how often it is chosen."""
