"""At least five wrong inputs of every operation, with their messages: made from its record, by its kind.

A message names the operation and, where one operand is wrong, that operand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from op_samples import FLOATS, dtypes_of, samples

import chainrule as cr
from chainrule.errors import TraceError, TypeMismatch
from chainrule.graph import Type, make_input
from chainrule.graph.types import DTYPES
from chainrule.ops import TABLE, Op
from chainrule.ops.build import counts_truth_values, new_node
from chainrule.ops.record import accepted_dtypes

Wrong = tuple[str, Callable[[], Any], list[str]]
"""What is wrong, the call, and what the message must hold."""


def right(op: Op) -> tuple[list[Type], dict[str, Any]]:
    """Operands and attributes that an operation takes, to be made wrong in one respect."""
    dtype = "f64" if "f64" in dtypes_of(op) else dtypes_of(op)[0]
    found = [s for s in samples(op, dtype) if s.rows is None and all(x.size for x in s.arrays)]
    sample = max(found, key=lambda s: sum(t.rank for t in s.types))
    types = [Type(t.dtype, x.shape) for t, x in zip(sample.types, sample.operands(), strict=True)]
    return types, dict(sample.attributes)


def traced(op: Op, types: list[Type], attributes: dict[str, Any]) -> Callable[[], Any]:
    """Apply an operation to operands of some types, inside a traced function."""
    if not types:
        return lambda: cr.make_graph(lambda x: new_node(op, (), attributes), Type("f64"))
    return lambda: cr.make_graph(lambda *xs: op(*xs, **attributes), *types)


def with_array(op: Op, types: list[Type], attributes: dict[str, Any], place: int, value: Any) -> Callable[[], Any]:
    """The same with one operand that is no traced value but whatever was given."""

    def function(*xs: Any) -> Any:
        operands = list(xs)
        operands[place] = value
        return op(*operands, **attributes)

    return lambda: cr.make_graph(function, *types)


NO_ARRAYS = {
    "a text": "text",
    "a complex number": 1j,
    "rows of two lengths": [[1.0], [1.0, 2.0]],
    "an object": np.array([object()]),
    "a date": np.array(["2026-01-01"], "datetime64[D]"),
}


def _name_of(op: Op, place: int) -> str:
    return op.operands[0] if op.variadic else op.operands[place]


def wrong_inputs(op: Op) -> Iterator[Wrong]:
    types, attributes = right(op)
    traced(op, types, attributes)()  # the right ones are right
    yield "an unknown keyword", traced(op, types, {**attributes, "nonsense": 1}), [f"{op.name} takes the attributes"]
    for name in op.attributes:
        if name not in op.defaults:
            less = {k: v for k, v in attributes.items() if k != name}
            yield f"no {name}", traced(op, types, less), [f"{op.name} takes the attributes", name]
    if not op.variadic and op.operands:
        more = [*types, types[0]]
        yield "an operand too many", traced(op, more, attributes), [f"{op.name} takes {len(types)} operands", "not"]
        if len(types) > 1:
            yield "an operand too few", traced(op, types[:-1], attributes), [f"{op.name} takes {len(types)} operands"]
    for place in range(len(types)):
        for what, value in NO_ARRAYS.items():
            call = with_array(op, types, attributes, place, value)
            yield f"operand {place} is {what}", call, [f"the operand {_name_of(op, place)} of {op.name}"]
    yield from _wrong_dtypes(op, types, attributes)
    yield from _wrong_shapes(op, types, attributes)
    yield from _wrong_attributes(op, types, attributes)


def _wrong_dtypes(op: Op, types: list[Type], attributes: dict[str, Any]) -> Iterator[Wrong]:
    for place, kind in enumerate(types):
        for dtype in DTYPES:
            if (
                op.kind == "elementwise"
                and op.name != "where"
                and dtype in accepted_dtypes(op.accepts)
                and len(types) == 1
            ):
                continue
            if dtype == "bool" and counts_truth_values(op):
                continue  # beside numbers a truth value is 0 or 1
            other = [t.with_dtype(dtype) if i == place else t for i, t in enumerate(types)]
            if not _is_right(op, other, attributes):
                yield (
                    f"operand {place} is {dtype}",
                    traced(op, other, attributes),
                    [op.name, f"{kind.with_dtype(dtype)}"],
                )


def _is_right(op: Op, types: list[Type], attributes: dict[str, Any]) -> bool:
    try:
        op.infer(tuple(make_input(t, "x") for t in types), attributes)
    except TypeMismatch:
        return False
    return True


def _wrong_shapes(op: Op, types: list[Type], attributes: dict[str, Any]) -> Iterator[Wrong]:
    for place, kind in enumerate(types):
        for shape in (*((*kind.shape[:a], d + 17, *kind.shape[a + 1 :]) for a, d in enumerate(kind.shape)),
                      (*kind.shape, 19), kind.shape[1:]):  # fmt: skip
            other = [t.with_shape(shape) if i == place else t for i, t in enumerate(types)]
            if op.kind == "elementwise" and len(types) > 1:
                if any(d > 17 for d in shape) and shape != kind.shape and kind.rank == len(shape):
                    yield (
                        f"operand {place} is {shape}",
                        traced(op, other, attributes),
                        [op.name, str(other[place]), "broadcast"],
                    )
            elif not _is_right(op, other, attributes):
                yield f"operand {place} is {shape}", traced(op, other, attributes), [op.name]


ATTRIBUTE_VALUES: Mapping[str, tuple[Any, ...]] = {
    "axes": ((7,), (0, 0), (-9,)),
    "axis": (7, -8),
    "shape": ((5, 7, 11), (13,)),
    "start": ((0,) * 9,),
    "stop": ((0,) * 9,),
    "step": ((0,) * 9,),
    "before": ((-1,) * 9, (1,) * 7),
    "after": ((1,) * 7,),
    "between": ((1,) * 7,),
    "dtype": ("float16", "text"),
}


def _wrong_attributes(op: Op, types: list[Type], attributes: dict[str, Any]) -> Iterator[Wrong]:
    for name in op.attributes:
        for value in ATTRIBUTE_VALUES.get(name, ()):
            changed = {**attributes, name: value}
            if not _is_right(op, types, changed):
                yield f"{name} is {value}", traced(op, types, changed), [op.name if name != "dtype" else "dtype"]


# --- loops, whose operands depend on their body --------------------------------------------------------------------


def _loop(**arguments: Any) -> Callable[[], Any]:
    given = {"body": lambda c, x: (c + x, c), "start": 0.0, "xs": np.ones(3), **arguments}
    return lambda: cr.make_graph(
        lambda a: cr.ops.scan(given.pop("body"), given.pop("start"), given.pop("xs"), **given), 1.0
    )


def _iterate(**arguments: Any) -> Callable[[], Any]:
    given = {"body": lambda x: x / 2, "until": lambda x: x < 1, "at_most": 3, **arguments}
    return lambda: cr.make_graph(lambda a: cr.ops.iterate(**{"state": a, **given}), 1.0)


LOOPS: Mapping[str, list[Wrong]] = {
    "scan": [
        ("no trips", _loop(xs=None), ["scan: the sequences and length must give one fixed number of trips"]),
        ("two lengths", _loop(xs=np.ones(3), length=4), ["scan: the sequences and length must give one fixed number"]),
        ("a number as sequence", _loop(xs=2.0), ["scan: a sequence is a single number"]),
        ("a body that gives no pair", _loop(body=lambda c, x: c), ["scan: the body must return a pair"]),
        ("a carry of another structure", _loop(body=lambda c, x: ((c, c), None)), ["scan: the carry starts as"]),
        ("a carry of another type", _loop(body=lambda c, x: (x > 0, None)), ["scan: the body turns the carry"]),
        ("a text as sequence", _loop(xs="text"), ["a sequence of scan"]),
    ],
    "iterate": [
        ("no trips", _iterate(at_most=0), ["iterate: at_most is 0; it must be at least 1"]),
        ("a text as state", _iterate(state="text"), ["the state of iterate"]),
        ("a state of another type", _iterate(body=lambda x: x > 0), ["iterate: the body turns the state"]),
        ("a state of another structure", _iterate(body=lambda x: (x, x)), ["iterate: the state is"]),
        ("a number that ends it", _iterate(until=lambda x: x), ["iterate: until must return one truth value"]),
        ("a text that is given", _iterate(given=("text",), body=lambda x, g: x), ["what iterate is given"]),
    ],
}


def all_wrong(name: str) -> list[Wrong]:
    return LOOPS[name] if name in LOOPS else list(wrong_inputs(TABLE[name]))


def refusal(call: Callable[[], Any]) -> str:
    """Return what a call is refused with, or '' where it is not."""
    try:
        call()
    except (TypeMismatch, TraceError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", sorted(TABLE))
def test_at_least_five_wrong_inputs_are_told_by_name(name: str) -> None:
    found = all_wrong(name)
    assert len(found) >= 5, f"{name} has {len(found)} wrong inputs: {[what for what, _, _ in found]}"
    for what, call, wanted in found:
        message = refusal(call)
        assert message, f"{name}: {what} was taken"
        for part in wanted:
            assert part in message, f"{name}, {what}: {message}"


def test_floats_are_what_most_operations_are_sampled_in() -> None:
    assert sum(dtypes_of(op) == FLOATS for op in TABLE.values()) > 60
