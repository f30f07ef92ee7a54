"""Views: the same elements in another shape or order.

Broadcasting is one of them, so no other operation's derivative rule ever has to undo it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.errors import TypeMismatch
from chainrule.graph.types import Dim, Rows, Shape, Type, add_dims, show_shape, size_of
from chainrule.ops.build import new_node
from chainrule.ops.record import TABLE, Op, Rule, TypeRule, register


def _view(
    name: str,
    attributes: tuple[str, ...],
    evaluate: Any,
    typing: TypeRule,
    rule: Rule,
    because: str,
    operands: tuple[str, ...] = ("x",),
    variadic: bool = False,
) -> Op:
    return register(
        Op(
            name=name,
            kind="view",
            operands=operands,
            evaluate=evaluate,
            typing=typing,
            pullback={operands[0]: rule},
            attributes=attributes,
            variadic=variadic,
            latex=rf"\operatorname{{{{{name}}}}}({{{operands[0]}}})",
            because=because,
            accepts="any",
            sample=((-2, 2),),
        )
    )


def _broadcast_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    kind, shape = types[0], attributes["shape"]
    aligned = (1,) * (len(shape) - kind.rank) + kind.shape
    if len(aligned) != len(shape) or any(a not in (1, b) for a, b in zip(aligned, shape, strict=True)):
        raise TypeMismatch(f"broadcast: x is {kind}; it does not stretch to [{show_shape(shape)}]")
    return kind.with_shape(shape)


def _broadcast_rule(g: Any, y: Any, x: Any, shape: Shape) -> Any:
    added = len(shape) - x.ndim
    stretched = tuple(a for a, d in enumerate(shape) if a < added or x.shape[a - added] != d)
    return reshape(TABLE["sum"](g, axes=stretched), shape=x.shape)


broadcast: Op = _view(
    "broadcast", ("shape",),
    lambda x, shape: np.broadcast_to(x, shape),
    _broadcast_type, _broadcast_rule,
    because="a value used many times gets the sum of the derivatives of its uses",
)  # fmt: skip


def _reshape_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    kind, shape = types[0], attributes["shape"]
    if size_of(kind.shape) != size_of(shape):
        raise TypeMismatch(f"reshape: x is {kind}; it does not fill [{show_shape(shape)}]")
    return kind.with_shape(shape)


reshape: Op = _view(
    "reshape", ("shape",),
    lambda x, shape: np.reshape(x, shape),
    _reshape_type,
    lambda g, y, x, shape: reshape(g, shape=x.shape),
    because="the same elements in another shape",
)  # fmt: skip


def _transpose_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    kind, axes = types[0], attributes["axes"]
    if sorted(axes) != list(range(kind.rank)):
        raise TypeMismatch(f"transpose: x is {kind}; {axes} does not order its axes")
    return kind.with_shape(kind.shape[a] for a in axes)


transpose: Op = _view(
    "transpose", ("axes",),
    lambda x, axes: np.transpose(x, axes),
    _transpose_type,
    lambda g, y, x, axes: transpose(g, axes=tuple(sorted(range(len(axes)), key=axes.__getitem__))),
    because="the same elements in another order of axes",
)  # fmt: skip


def _slice_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    kind = types[0]
    ranges = [attributes["start"], attributes["stop"], attributes["step"]]
    if any(len(r) != kind.rank for r in ranges):
        raise TypeMismatch(f"slice: x is {kind}; start, stop and step need one number for each axis")
    shape: list[Dim] = []
    for dim, start, stop, step in zip(kind.shape, *ranges, strict=True):
        if isinstance(dim, Rows):
            if (start, stop, step) != (0, dim, 1):
                raise TypeMismatch(f"slice: x is {kind}; an axis of n rows can only be taken whole")
            shape.append(dim)
        elif isinstance(stop, Rows) or not (0 <= start <= stop <= dim and step >= 1):
            raise TypeMismatch(f"slice: x is {kind}; {start}:{stop}:{step} is not inside an axis of {dim}")
        else:
            shape.append(len(range(start, stop, step)))
    return kind.with_shape(shape)


def _slice_rule(g: Any, y: Any, x: Any, start: Shape, stop: Shape, step: Shape) -> Any:
    after = tuple(
        0 if isinstance(d, Rows) else d - (b + (m - 1) * s + 1) if m else d - b
        for d, b, s, m in zip(x.shape, start, step, y.shape, strict=True)
    )
    return pad(g, before=start, after=after, between=tuple(0 if isinstance(s, Rows) else s - 1 for s in step))


slice_: Op = _view(
    "slice", ("start", "stop", "step"),
    lambda x, start, stop, step: x[tuple(slice(*r) for r in zip(start, stop, step, strict=True))],
    _slice_type, _slice_rule,
    because="elements left out have the derivative 0",
)  # fmt: skip


def _padded(dim: Any, before: int, after: int, between: int) -> Any:
    if isinstance(dim, Rows):
        if before or after or between:
            raise TypeMismatch("pad: an axis of n rows cannot be padded")
        return dim
    return before + after + dim + between * max(dim - 1, 0)


def _pad_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    kind = types[0]
    amounts = [attributes[k] for k in ("before", "after", "between")]
    if any(len(a) != kind.rank or any(v < 0 for v in a) for a in amounts):
        raise TypeMismatch(f"pad: x is {kind}; before, after and between need one number ≥ 0 for each axis")
    return kind.with_shape(_padded(*r) for r in zip(kind.shape, *amounts, strict=True))


def _pad(x: Any, before: Sequence[int], after: Sequence[int], between: Sequence[int]) -> Any:
    shape = [_padded(d, b, a, w) for d, b, a, w in zip(x.shape, before, after, between, strict=True)]
    result = np.zeros(shape, x.dtype)
    result[
        tuple(
            slice(b, b + (d - 1) * (w + 1) + 1 if d else b, w + 1)
            for d, b, w in zip(x.shape, before, between, strict=True)
        )
    ] = x
    return result


def _pad_rule(g: Any, y: Any, x: Any, before: Shape, after: Shape, between: Any) -> Any:
    stop = tuple(
        d if isinstance(d, Rows) else b + (d - 1) * (w + 1) + 1 if d else b
        for d, b, w in zip(x.shape, before, between, strict=True)
    )
    return slice_(g, start=before, stop=stop, step=tuple(w + 1 for w in between))


pad: Op = _view(
    "pad", ("before", "after", "between"), _pad, _pad_type, _pad_rule,
    because="zeros around the elements do not depend on them",
)  # fmt: skip


def _flip_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    kind, axes = types[0], attributes["axes"]
    if len(set(axes)) != len(axes) or any(not 0 <= a < kind.rank for a in axes):
        raise TypeMismatch(f"flip: x is {kind}; the axes {axes} are not distinct axes of it")
    return kind


flip: Op = _view(
    "flip", ("axes",),
    lambda x, axes: np.flip(x, axes),
    _flip_type,
    lambda g, y, x, axes: flip(g, axes=axes),
    because="the same elements in the opposite order",
)  # fmt: skip


def _concatenate_type(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
    axis, first = attributes["axis"], types[0]
    for i, kind in enumerate(types):
        others = [d for a, d in enumerate(kind.shape) if a != axis]
        if kind.dtype != first.dtype or others != [d for a, d in enumerate(first.shape) if a != axis]:
            raise TypeMismatch(
                f"concatenate: part {i} is {kind}, part 0 is {first}; they must agree but for axis {axis}"
            )
        if not 0 <= axis < kind.rank:
            raise TypeMismatch(f"concatenate: part {i} is {kind}; it has no axis {axis}")
    total = add_dims(kind.shape[axis] for kind in types)
    return first.with_shape(total if a == axis else d for a, d in enumerate(first.shape))


def _rows_of_each(g: Any, parts: Sequence[Any], axis: int) -> list[Any]:
    """Take each part's rows by their numbers: how many they are is known as the graph runs."""
    to_front = (axis, *(a for a in range(g.ndim) if a != axis))
    back = tuple(sorted(range(g.ndim), key=to_front.__getitem__))
    rows = transpose(g, axes=to_front)
    pieces: list[Any] = []
    begin: Any = 0
    for part in parts:
        number = new_node(TABLE["iota"], (), {"shape": (part.shape[axis],), "axis": 0, "dtype": "i64"})
        pieces.append(transpose(TABLE["take"](rows, number + begin), axes=back))
        begin = begin + TABLE["extent"](number, axis=0)
    return pieces


def _concatenate_rule(g: Any, y: Any, *parts: Any, axis: int) -> list[Any]:
    if any(isinstance(p.shape[axis], Rows) for p in parts):
        return _rows_of_each(g, parts, axis)
    pieces, begin = [], 0
    for part in parts:
        start = [0] * part.ndim
        stop = list(part.shape)
        start[axis], stop[axis] = begin, begin + part.shape[axis]
        pieces.append(slice_(g, start=tuple(start), stop=tuple(stop), step=(1,) * part.ndim))
        begin = stop[axis]
    return pieces


concatenate: Op = _view(
    "concatenate", ("axis",),
    lambda *parts, axis: np.concatenate(parts, axis=axis),
    _concatenate_type, _concatenate_rule,
    because="each part gets its own piece of the derivative", operands=("parts",), variadic=True,
)  # fmt: skip
