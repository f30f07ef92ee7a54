"""Samples of every operation of the table, as data: shapes, layouts, numbers of rows, special values.

An elementwise operation needs nothing here but its record: its ``sample`` says where to draw. Any other operation has a
line in ``op_bases``: the shapes and attributes that it is sampled at. Every base is drawn in several layouts, so that
an operation has at least ``LEAST`` samples in each dtype.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from op_bases import ATTRIBUTES, BASES, BROADCAST, ELEMENTWISE, Base, n

import chainrule as cr
from chainrule.graph import Rows, Type
from chainrule.graph.types import DTYPES, resolve_shape
from chainrule.ops import TABLE, Op
from chainrule.ops.build import new_node

LEAST = 27
FLOATS = ("f32", "f64")
SPECIAL = (
    0.0, -0.0, 1.0, -1.0, 0.5, -3.5, 2.0, 40.0, np.inf, -np.inf, np.nan, 5e-324, 1e-45, -1e-40, 1e38, -1e38, 1e4,
)  # fmt: skip
FAR = 0.02
"""How far from a kink a point must be: 2000 steps of the central difference."""
KINKS: Mapping[str, Callable[..., Any]] = {
    "relu": abs,
    "absolute": abs,
    "sign": abs,
    "floor": lambda x: abs(x - np.round(x)),
    "ceil": lambda x: abs(x - np.round(x)),
    "rint": lambda x: abs(x - 0.5 - np.round(x - 0.5)),
    "reciprocal": abs,
    "tan": lambda x: abs(np.cos(x)),
    "maximum": lambda a, b: abs(a - b),
    "minimum": lambda a, b: abs(a - b),
    "power": lambda a, b: np.minimum(abs(a), abs(b)),
    "divide": lambda a, b: abs(b),
    **dict.fromkeys(("remainder", "floor_divide"), lambda a, b: abs(a / b - np.round(a / b))),
    "log": lambda x: x,
    "log1p": lambda x: 1 + x,
    **dict.fromkeys(("log2", "log10"), lambda x: x),
    **dict.fromkeys(("arcsin", "arccos", "arctanh"), lambda x: 1 - abs(x)),
    "arccosh": lambda x: x - 1,
    "hypot": np.hypot,
    "arctan2": lambda a, b: np.where(b > 0, np.hypot(a, b), abs(a)),
    "logaddexp": lambda a, b: np.ones(np.broadcast_shapes(np.shape(a), np.shape(b))),  # a kink at infinity alone
    "sqrt": lambda x: x,
    **dict.fromkeys(("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"), lambda a, b: abs(a - b)),
    "where": lambda condition, chosen, other: np.ones(np.shape(condition)),  # the condition is a truth value here
}
"""How far from a kink operands are."""


def _as_it_is(x: Any) -> Any:
    return x


@dataclass(frozen=True)
class Sample:
    """A function that applies an operation once, and what to call it with."""

    note: str
    function: Callable[..., Any]
    arrays: tuple[Any, ...]
    types: tuple[Type, ...]
    attributes: Mapping[str, Any]
    rows: int | None = None
    special: bool = False
    arrange: Callable[[Any], Any] = _as_it_is
    """What the function does with each operand of floats before it applies the operation."""

    def operands(self) -> tuple[Any, ...]:
        """Return the arrays as the operation reads them."""
        return tuple(self.arrange(x) if x.dtype.kind == "f" else x for x in self.arrays)


def rng_of(*what: Any) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32("/".join(map(str, what)).encode()))


def dtypes_of(op: Op) -> tuple[str, ...]:
    """The dtypes in which an operation is sampled: both floats, or those that it takes where it takes no floats."""
    own = {"integer": ("u32", "i64"), "bits": ("u32", "bool"), "bool": ("bool",)}
    return ("u32",) if op.kind == "random" else own.get(op.accepts, FLOATS)


def _elementwise_bases(op: Op) -> list[Base]:
    count = len(op.operands)
    shapes = [(s,) * count for s in ELEMENTWISE]
    if count > 1:
        shapes += [(a, *(b,) * (count - 1)) for a, b in BROADCAST]
    return [Base(s, a) for s in shapes for a in ATTRIBUTES.get(op.name, [{}])]


# --- drawing -------------------------------------------------------------------------------------------------------


def operand_dtypes(op: Op, dtype: str, count: int) -> list[str]:
    return ["bool", dtype, dtype] if op.name == "where" else [dtype] * count


def _draw_elementwise(op: Op, shapes: Sequence[Any], kinds: Sequence[str], rng: np.random.Generator) -> list[Any]:
    """Draw from the record's ``sample``; where that comes near a kink, from a lattice that keeps clear of it."""
    kink = KINKS.get(op.name) if kinds[-1] in FLOATS else None
    operands = []
    for (low, high), shape, kind in zip(op.sample, shapes, kinds, strict=True):
        values = rng.uniform(low, high, shape)
        operands.append(values > (low + high) / 2 if kind == "bool" else abs(values) if kind[0] == "u" else values)
    if kink is None or np.all(kink(*np.broadcast_arrays(*operands)) > FAR):
        return operands
    operands = []  # an offset of its own for each operand: no two come near each other, and none near 0 or an integer
    for place, ((low, high), shape) in enumerate(zip(op.sample, shapes, strict=True)):
        steps = max(int((high - low) / 0.25), 1)
        operands.append(low + 0.25 * rng.integers(0, steps, shape) + 0.06 + 0.07 * place)
    assert np.all(kink(*np.broadcast_arrays(*operands)) > FAR), f"the lattice of {op.name} comes near a kink"
    return operands


def _drawn(op: Op, base: Base, dtype: str, rows: int | None, special: bool) -> tuple[Any, ...]:
    shapes = [resolve_shape(s, rows) for s in base.shapes]
    rng = rng_of(op.name, base.shapes, sorted(base.attributes.items(), key=str), rows)
    kinds = operand_dtypes(op, dtype, len(shapes))
    if base.draw is not None:
        operands = base.draw(shapes, rng)
    elif op.kind == "elementwise":
        operands = _draw_elementwise(op, shapes, kinds, rng)
    else:
        operands = [rng.uniform(-2, 2, s) for s in shapes]
    result = []
    for place, (x, kind) in enumerate(zip(operands, kinds, strict=True)):
        x = np.asarray(x)
        if x.dtype.kind == "f" and kind == "bool":
            x = x > 0
        elif x.dtype.kind == "f":
            if special and kind in FLOATS:
                with np.errstate(over="ignore"):
                    x = np.resize(np.roll(SPECIAL, 5 * place + rng.integers(0, 3)), x.shape)
            with np.errstate(over="ignore"):  # the same numbers in both dtypes: float32's, and the specials of each
                x = x if special else x.astype(np.float32)
                x = (abs(x) if kind[0] == "u" else x).astype(DTYPES[kind])
        result.append(x)
    return tuple(result)


def _types(base: Base, arrays: Sequence[Any]) -> tuple[Type, ...]:
    names = {v: k for k, v in DTYPES.items()}
    return tuple(Type(names[x.dtype], tuple(s)) for x, s in zip(arrays, base.shapes, strict=True))


def _apply(op: Op, attributes: Mapping[str, Any], arrange: Callable[[Any], Any] = _as_it_is) -> Callable[..., Any]:
    if not op.operands:
        return lambda: new_node(op, (), attributes)
    return lambda *xs: op(*(arrange(x) if x.dtype.kind == "f" else x for x in xs), **attributes)


def _turned(x: Any) -> Any:
    return np.ascontiguousarray(x.T) if x.dtype.kind == "f" else x


def _transposed(x: Any) -> Any:
    return x.T


def _doubled(x: Any) -> Any:
    return np.repeat(x, 2, axis=0) if x.dtype.kind == "f" and x.ndim else x


def _every_other(x: Any) -> Any:
    return x[::2] if x.ndim else x


# --- all samples of an operation -----------------------------------------------------------------------------------


def samples(op: Op, dtype: str) -> list[Sample]:
    """Return the samples of an operation in a dtype: every base in several layouts, for several n, of specials."""
    if op.kind == "region":
        return _loops(op, dtype)
    bases = _elementwise_bases(op) if op.kind == "elementwise" else BASES[op.name]
    found = []
    for base in bases:
        symbolic = any(
            isinstance(d, Rows) for s in (*base.shapes, *base.attributes.values()) if isinstance(s, tuple) for d in s
        )
        plain = _apply(op, base.attributes)
        note = f"{list(base.shapes)} {dict(base.attributes)}"
        for rows in (3, 1, 0) if symbolic and base.empty_rows else (3, 1) if symbolic else (None,):
            arrays = _drawn(op, base, dtype, rows, False)
            found.append(
                Sample(
                    f"{note}, n = {rows}" if symbolic else note,
                    plain,
                    arrays,
                    _types(base, arrays),
                    base.attributes,
                    rows,
                )
            )
        arrays = _drawn(op, base, dtype, 3 if symbolic else None, False)
        if op.kind != "random":
            found += _layouts(op, base, note, arrays, symbolic)
        if arrays and any(x.dtype.kind == "f" and x.size for x in arrays) and op.name not in NO_SPECIALS:
            wild = _drawn(op, base, dtype, 3 if symbolic else None, True)
            found.append(
                Sample(
                    f"{note}, special values",
                    plain,
                    wild,
                    _types(base, wild),
                    base.attributes,
                    3 if symbolic else None,
                    True,
                )
            )
    return found + _more(op, dtype, LEAST - len(found))


NO_SPECIALS = ("cholesky", "solve_triangular", "solve")
"""Matrices of special values are not definite, or singular: errors, which ``test_library.py`` sees to."""


def _layouts(op: Op, base: Base, note: str, arrays: tuple[Any, ...], symbolic: bool) -> Iterator[Sample]:
    """The same operands, lying in memory in other ways when the operation reads them."""
    if symbolic:
        return
    if any(x.ndim > 1 for x in arrays):
        turned = tuple(map(_turned, arrays))
        function = _apply(op, base.attributes, _transposed)
        yield Sample(f"{note}, transposed", function, turned, _types_of(turned), base.attributes, arrange=_transposed)
    if any(x.ndim and x.dtype.kind == "f" for x in arrays):
        doubled = tuple(map(_doubled, arrays))
        function = _apply(op, base.attributes, _every_other)
        yield Sample(
            f"{note}, every other element", function, doubled, _types_of(doubled), base.attributes, arrange=_every_other
        )


def _types_of(arrays: Sequence[Any]) -> tuple[Type, ...]:
    names = {v: k for k, v in DTYPES.items()}
    return tuple(Type(names[x.dtype], x.shape) for x in arrays)


def _more(op: Op, dtype: str, wanted: int) -> list[Sample]:
    """Further draws of the first bases, for operations of few shapes."""
    if wanted <= 0:
        return []
    bases = _elementwise_bases(op) if op.kind == "elementwise" else BASES[op.name]
    found = []
    for i in range(wanted):
        base = bases[i % len(bases)]
        again = Base(base.shapes, base.attributes, base.draw)
        rng = rng_of("again", op.name, i)
        shapes = [resolve_shape(s, 4) for s in again.shapes]
        symbolic = any(isinstance(d, Rows) for s in base.shapes for d in s)
        if again.draw is not None:
            drawn = again.draw(shapes, rng)
        elif op.kind == "elementwise":
            drawn = _draw_elementwise(op, shapes, operand_dtypes(op, dtype, len(shapes)), rng)
        else:
            drawn = [rng.uniform(-2, 2, s) for s in shapes]
        kinds = operand_dtypes(op, dtype, len(shapes))
        arrays = tuple(
            x if x.dtype.kind in "iub" and k not in ("u32", "i64") else x.astype(np.float32).astype(DTYPES[k])
            for x, k in zip(map(np.asarray, drawn), kinds, strict=True)
        )
        found.append(
            Sample(
                f"again {i}",
                _apply(op, base.attributes),
                arrays,
                _types(base, arrays),
                base.attributes,
                4 if symbolic else None,
            )
        )
    return found


# --- loops ---------------------------------------------------------------------------------------------------------


def _loops(op: Op, dtype: str) -> list[Sample]:
    """Loops over bodies of several kinds: their operands depend on their body."""
    kind = DTYPES[dtype]
    functions = _scans() if op.name == "scan" else _iterations()
    found = []
    for note, function, shapes, attributes in functions:
        symbolic = any(isinstance(d, Rows) for s in shapes for d in s)
        for rows in (3, 1, 0) if symbolic else (None,):
            rng = rng_of(op.name, note, rows)
            arrays = tuple(rng.uniform(0.3, 1.5, resolve_shape(s, rows)).astype("f4").astype(kind) for s in shapes)
            types = tuple(Type(dtype, s) for s in shapes)
            found.append(Sample(f"{note}, n = {rows}", function, arrays, types, attributes, rows))
        if not symbolic:
            arrays = tuple(
                rng_of(note).uniform(0.5, 1.2, resolve_shape(s, None)).astype("f4").astype(kind) for s in shapes
            )
            if op.name == "scan":
                arrays = tuple(np.resize(np.roll(SPECIAL, i), x.shape).astype(kind) for i, x in enumerate(arrays))
            note = f"{note}, {'special values' if op.name == 'scan' else 'again'}"
            found.append(Sample(note, function, arrays, types, attributes, None, op.name == "scan"))
    return found


def _scans() -> Iterator[tuple[str, Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]]:
    bodies: Mapping[str, Callable[[Any, Any], Any]] = {
        "sum": lambda c, x: (c + x, c * x),
        "product": lambda c, x: (c * x, np.sin(c)),
        "tanh": lambda c, x: (np.tanh(c + 0.5 * x), c),
    }
    for name, body in bodies.items():
        for shape in ((), (2,), (1,), (0,), (2, 3), (n,)):
            for trips, reverse in ((3, False), (2, True)):

                def function(c: Any, xs: Any, body: Any = body, reverse: bool = reverse) -> Any:
                    end, ys = cr.ops.scan(body, c, xs, reverse=reverse)
                    return np.stack([end, *ys])

                yield (
                    f"{name}, {trips} trips, reverse {reverse}, {shape}",
                    function,
                    (shape, (trips, *shape)),
                    {"body": name, "reverse": reverse},
                )


def _iterations() -> Iterator[tuple[str, Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]]:
    """Newton's method for a root, element by element, with the derivative of the root as the implicit rule."""

    def root(power: int) -> Callable[[Any], Any]:
        def function(a: Any) -> Any:
            found, _ = cr.ops.iterate(
                np.ones_like(a) if not isinstance(a, np.ndarray) else np.ones(a.shape, a.dtype),
                lambda x, a: x - (x**power - a) / (float(power) * x ** (power - 1)),
                lambda x, a: np.all(abs(x**power - a) < 1e-30),
                12,
                given=(a,),
                implicit=lambda g, x, a: g / (float(power) * x ** (power - 1)),
            )
            return found

        return function

    for power in (2, 3):
        for shape in ((), (1,), (3,), (0,), (2, 3), (9,), (n,), (n, 2)):
            yield f"root {power}, {shape}", root(power), (shape,), {"power": power}


def every_sample() -> Iterator[tuple[Op, str, Sample]]:
    for op in TABLE.values():
        for dtype in dtypes_of(op):
            for sample in samples(op, dtype):
                yield op, dtype, sample
