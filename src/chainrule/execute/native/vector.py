"""The builder that operations are lowered through: a value is one vector of lanes (or one element) of one dtype.

No fast-math flag is ever set, not even contraction: what an operation's record says is what is computed, lane by lane,
so that a vector loop and its scalar remainder give the same bits.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.execute.native.emit import IR_TYPE, Function

WIDE = {"float": 32, "double": 64, "i32": 32, "i64": 64, "i8": 8, "i1": 1}


@dataclass(frozen=True)
class Value:
    """A value in a register: its name, dtype and number of lanes. A bool is ``i1`` a lane."""

    name: str
    dtype: str
    lanes: int

    @property
    def element(self) -> str:
        return "i1" if self.dtype == "bool" else IR_TYPE[self.dtype]

    @property
    def type(self) -> str:
        return self.element if self.lanes == 1 else f"<{self.lanes} x {self.element}>"


def literal(number: Any, dtype: str) -> str:
    """Return a number as an IR literal of a dtype, exact to the bit."""
    if dtype == "bool":
        return "true" if number else "false"
    if dtype in ("f32", "f64"):
        value = float(np.float32(number)) if dtype == "f32" else float(number)
        return "0x" + struct.pack(">d", value).hex().upper()  # a float literal is written as the double it equals
    bits = WIDE[IR_TYPE[dtype]]
    number = int(number)
    return str(number - (1 << bits) if number >= 1 << (bits - 1) else number)


_COMPARE = {"less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge", "equal": "eq", "not_equal": "ne"}


class VectorBuilder:
    """Writes one operation after another on values of the same number of lanes."""

    def __init__(self, function: Function) -> None:
        self.f = function

    def value(self, instruction: str, like: Value, dtype: str | None = None) -> Value:
        return Value(self.f.put(instruction), dtype or like.dtype, like.lanes)

    def constant(self, number: Any, like: Value, dtype: str | None = None) -> Value:
        """Return a number in every lane, of the dtype of ``like``."""
        kind = dtype or like.dtype
        text = literal(number, kind)
        element = Value("", kind, 1).element
        if like.lanes > 1:
            text = f"splat ({element} {text})"
        return Value(text, kind, like.lanes)

    def _binary(self, name: str, a: Value, b: Value) -> Value:
        return self.value(f"{name} {a.type} {a.name}, {b.name}", a)

    def _is_float(self, a: Value) -> bool:
        return a.dtype in ("f32", "f64")

    def add(self, a: Value, b: Value) -> Value:
        return self._binary("fadd" if self._is_float(a) else "add", a, b)

    def subtract(self, a: Value, b: Value) -> Value:
        return self._binary("fsub" if self._is_float(a) else "sub", a, b)

    def multiply(self, a: Value, b: Value) -> Value:
        return self._binary("fmul" if self._is_float(a) else "mul", a, b)

    def divide(self, a: Value, b: Value) -> Value:
        return self._binary("fdiv", a, b)

    def reciprocal(self, a: Value) -> Value:
        return self.divide(self.constant(1.0, a), a)

    def negative(self, a: Value) -> Value:
        if not self._is_float(a):
            return self.subtract(self.constant(0, a), a)
        return self.value(f"fneg {a.type} {a.name}", a)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """Return a·b + c, rounded once."""
        return self._call("fma", a, b, c)

    def _suffix(self, a: Value) -> str:
        element = {"f32": "f32", "f64": "f64", "i32": "i32", "i64": "i64", "u32": "i32", "u64": "i64"}[a.dtype]
        return element if a.lanes == 1 else f"v{a.lanes}{element}"

    def _call(self, name: str, *operands: Value) -> Value:
        first = operands[0]
        pairs = [(o.type, o.name) for o in operands]
        return Value(
            self.f.intrinsic(first.type, f"llvm.{name}.{self._suffix(first)}", *pairs), first.dtype, first.lanes
        )

    def sqrt(self, a: Value) -> Value:
        return self._call("sqrt", a)

    def absolute(self, a: Value) -> Value:
        if not self._is_float(a):
            return self.select(self.less(a, self.constant(0, a)), self.negative(a), a)
        return self._call("fabs", a)

    def floor(self, a: Value) -> Value:
        return self._call("floor", a)

    def ceil(self, a: Value) -> Value:
        return self._call("ceil", a)

    def rint(self, a: Value) -> Value:
        """Round to the nearest whole number, ties to even."""
        return self._call("roundeven", a)

    def copysign(self, a: Value, sign: Value) -> Value:
        return self._call("copysign", a, sign)

    def _compare(self, name: str, a: Value, b: Value) -> Value:
        if self._is_float(a):
            code = ("u" if name == "not_equal" else "o") + _COMPARE[name]  # NaN differs from everything
            return self.value(f"fcmp {code} {a.type} {a.name}, {b.name}", a, "bool")
        sign = "" if name in ("equal", "not_equal") else ("u" if a.dtype in ("u32", "u64", "bool") else "s")
        return self.value(f"icmp {sign}{_COMPARE[name]} {a.type} {a.name}, {b.name}", a, "bool")

    def less(self, a: Value, b: Value) -> Value:
        return self._compare("less", a, b)

    def less_equal(self, a: Value, b: Value) -> Value:
        return self._compare("less_equal", a, b)

    def greater(self, a: Value, b: Value) -> Value:
        return self._compare("greater", a, b)

    def greater_equal(self, a: Value, b: Value) -> Value:
        return self._compare("greater_equal", a, b)

    def equal(self, a: Value, b: Value) -> Value:
        return self._compare("equal", a, b)

    def not_equal(self, a: Value, b: Value) -> Value:
        return self._compare("not_equal", a, b)

    def is_nan(self, a: Value) -> Value:
        if not self._is_float(a):
            return self.constant(False, a, "bool")
        return self.value(f"fcmp uno {a.type} {a.name}, {a.name}", a, "bool")

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        return self.value(f"select {condition.type} {condition.name}, {a.type} {a.name}, {b.type} {b.name}", a)

    def sign(self, a: Value) -> Value:
        zero, one = self.constant(0.0, a), self.constant(1.0, a)
        up = self.select(self.greater(a, zero), one, a)  # ±0 and NaN stay what they are
        signed = self.select(self.less(a, zero), self.constant(-1.0, a), up)
        return self.select(self.equal(a, zero), zero, signed)  # NumPy's sign(−0) is +0

    def maximum(self, a: Value, b: Value) -> Value:
        """Return the larger; NaN if either is (a comparison alone would drop it)."""
        if not self._is_float(a):
            return self.select(self.less(a, b), b, a)
        return self.select(self.is_nan(a), a, self.select(self._not_above(b, a), a, b))

    def minimum(self, a: Value, b: Value) -> Value:
        if not self._is_float(a):
            return self.select(self.less(b, a), b, a)
        return self.select(self.is_nan(a), a, self.select(self._not_below(b, a), a, b))

    def _not_above(self, b: Value, a: Value) -> Value:
        return self.value(f"fcmp ole {b.type} {b.name}, {a.name}", a, "bool")

    def _not_below(self, b: Value, a: Value) -> Value:
        return self.value(f"fcmp oge {b.type} {b.name}, {a.name}", a, "bool")

    def isfinite(self, a: Value) -> Value:
        return self.less(self.absolute(a), self.constant(float("inf"), a))

    def logical_and(self, a: Value, b: Value) -> Value:
        return self._binary("and", a, b)

    def logical_or(self, a: Value, b: Value) -> Value:
        return self._binary("or", a, b)

    def logical_not(self, a: Value) -> Value:
        return self._binary("xor", a, self.constant(1, a))

    bitwise_and, bitwise_or = logical_and, logical_or

    def bitwise_xor(self, a: Value, b: Value) -> Value:
        return self._binary("xor", a, b)

    def left_shift(self, a: Value, b: Value) -> Value:
        return self._shift("shl", a, b, self.constant(0, a))

    def right_shift(self, a: Value, b: Value) -> Value:
        if a.dtype in ("u32", "u64"):
            return self._shift("lshr", a, b, self.constant(0, a))
        most = self.constant(WIDE[a.element] - 1, a)
        inside = self.value(f"icmp ult {a.type} {b.name}, {most.name}", a, "bool")
        return self._binary("ashr", a, self.select(inside, b, most))

    def _shift(self, name: str, a: Value, b: Value, beyond: Value) -> Value:
        """Shift; by the width or more (which LLVM leaves open) the result is 0, as NumPy has it."""
        width = self.constant(WIDE[a.element], a)
        inside = self.value(f"icmp ult {a.type} {b.name}, {width.name}", a, "bool")
        safe = self.select(inside, b, self.constant(0, a))
        return self.select(inside, self._binary(name, a, safe), beyond)

    def bitcast(self, a: Value, dtype: str) -> Value:
        target = Value("", dtype, a.lanes)
        return Value(self.f.put(f"bitcast {a.type} {a.name} to {target.type}"), dtype, a.lanes)

    def cast(self, a: Value, dtype: str) -> Value:
        """Convert to another dtype, as NumPy's astype does for values that the new dtype can hold."""
        if a.dtype == dtype:
            return a
        target = Value("", dtype, a.lanes)
        if dtype == "bool":
            zero = self.constant(0, a)
            return self.not_equal(a, zero)
        return Value(self.f.put(f"{self._conversion(a, dtype)} {a.type} {a.name} to {target.type}"), dtype, a.lanes)

    def _conversion(self, a: Value, dtype: str) -> str:
        from_float, to_float = a.dtype in ("f32", "f64"), dtype in ("f32", "f64")
        unsigned = a.dtype in ("u32", "u64", "bool")
        if from_float and to_float:
            return "fpext" if dtype == "f64" else "fptrunc"
        if from_float:
            return "fptoui" if dtype in ("u32", "u64") else "fptosi"
        if to_float:
            return "uitofp" if unsigned else "sitofp"
        before, after = WIDE[a.element], WIDE[IR_TYPE[dtype]]
        if before == after:
            return "bitcast"
        return "trunc" if before > after else ("zext" if unsigned else "sext")

    # elementary functions --------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Callable[..., Value]:
        from chainrule.execute.native import elementary

        function = elementary.FUNCTIONS.get(name)
        if function is None:
            raise AttributeError(f"the native builder has no {name!r}")
        return lambda *operands: function(self, *operands)
