"""Operators and NumPy's own functions on traced values; and what traced values refuse, with the right spelling.

Importing this module installs the behaviour on ``Node``: the graph itself knows nothing of arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from chainrule.errors import ChainruleError, TraceError
from chainrule.graph import Node, Rows, make_constant
from chainrule.ops import functions as fn
from chainrule.ops import logic
from chainrule.ops import mathematics as ew
from chainrule.ops.build import broadcast_node
from chainrule.ops.library import cholesky
from chainrule.ops.record import TABLE, Op
from chainrule.ops.refusals import REFUSALS


def _power(x: Any, exponent: Any) -> Any:
    return ew.square(x) if type(exponent) is int and exponent == 2 else ew.power(x, exponent)


OPERATORS: Mapping[str, Callable[..., Any]] = {
    "add": ew.add,
    "sub": ew.subtract,
    "mul": ew.multiply,
    "truediv": ew.divide,
    "pow": _power,
    "floordiv": lambda a, b: ew.floor(a / b),
    "mod": lambda a, b: a - ew.floor(a / b) * b,
    "matmul": fn.matmul,
    "and": lambda a, b: (logic.logical_and if _is_bool(a) else logic.bitwise_and)(a, b),
    "or": lambda a, b: (logic.logical_or if _is_bool(a) else logic.bitwise_or)(a, b),
    "xor": logic.bitwise_xor,
    "lshift": logic.left_shift,
    "rshift": logic.right_shift,
}
COMPARISONS: Mapping[str, Op] = {
    "lt": logic.less,
    "le": logic.less_equal,
    "gt": logic.greater,
    "ge": logic.greater_equal,
    "eq": logic.equal,
    "ne": logic.not_equal,
}


def _is_bool(x: Any) -> bool:
    return (isinstance(x, Node) and x.type.dtype == "bool") or (isinstance(x, np.ndarray) and x.dtype == np.bool_)


def _known(other: Any) -> bool:
    return isinstance(other, Node | np.ndarray | np.generic | bool | int | float | list | tuple)


def _install_operators() -> None:
    def make(function: Callable[..., Any], reflected: bool) -> Callable[..., Any]:
        def operator(self: Node, other: Any) -> Any:
            if not _known(other):
                return NotImplemented
            return function(other, self) if reflected else function(self, other)

        return operator

    for name, function in OPERATORS.items():
        setattr(Node, f"__{name}__", make(function, False))
        setattr(Node, f"__r{name}__", make(function, True))
    for name, op in COMPARISONS.items():
        setattr(Node, f"__{name}__", make(op, False))


_LOG2, _LOG10 = float(np.log(2.0)), float(np.log(10.0))

UFUNCS: Mapping[Any, Callable[..., Any]] = {
    np.matmul: fn.matmul,
    np.power: _power,
    np.float_power: ew.power,
    np.fabs: ew.absolute,
    np.reciprocal: lambda x: 1.0 / x,
    np.positive: lambda x: x,
    np.tan: lambda x: ew.sin(x) / ew.cos(x),
    np.sinh: lambda x: 0.5 * (ew.expm1(x) - ew.expm1(-x)),
    np.cosh: lambda x: 0.5 * (ew.exp(x) + ew.exp(-x)),
    np.exp2: lambda x: ew.exp(_LOG2 * x),
    np.log2: lambda x: ew.log(x) / _LOG2,
    np.log10: lambda x: ew.log(x) / _LOG10,
    np.isnan: lambda x: logic.not_equal(x, x),
    np.isinf: lambda x: logic.equal(ew.absolute(x), float("inf")),
    np.floor_divide: lambda a, b: ew.floor(a / b),
    np.remainder: lambda a, b: a - ew.floor(a / b) * b,
    np.hypot: lambda a, b: ew.sqrt(ew.square(a) + ew.square(b)),
    np.logaddexp: lambda a, b: ew.maximum(a, b) + ew.softplus(-ew.absolute(a - b)),
}
"""NumPy's ufuncs that are not one operation of the table each; an operation whose evaluate is a ufunc answers to it."""


def _for_ufunc(ufunc: Any) -> Callable[..., Any] | None:
    return UFUNCS.get(ufunc) or next((op for op in TABLE.values() if op.evaluate is ufunc), None)


def _array_ufunc(self: Node, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    if method != "__call__":
        raise TraceError(f"np.{ufunc.__name__}.{method} is not available in a traced function")
    if any(v is not None for v in options.values()):
        raise TraceError(f"np.{ufunc.__name__} in a traced function does not take {', '.join(options)}")
    found = _for_ufunc(ufunc)
    if found is None:
        ufuncs = {*UFUNCS, *(op.evaluate for op in TABLE.values() if isinstance(op.evaluate, np.ufunc))}
        known = ", ".join(sorted(u.__name__ for u in ufuncs))
        raise TraceError(f"np.{ufunc.__name__} is not available in a traced function; these are: {known}")
    return found(*inputs)


def _dot(a: Any, b: Any) -> Any:
    a, b = fn.value(a), fn.value(b)
    return a * b if a.ndim == 0 or b.ndim == 0 else fn.matmul(a, b)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if ord not in (None, 2) or (ord is not None and axis is None and x.ndim > 1):
        raise TypeError("the Euclidean norm alone is available: np.linalg.norm(x), with axis")
    return ew.sqrt(fn.sum(ew.square(x), axis, keepdims))


def _rows(parts: Any) -> list[Any]:
    return [fn.reshape(p, (1, -1)) if fn.value(p).ndim < 2 else p for p in parts]


def _full_like(x: Any, fill: Any) -> Any:
    node = fill if isinstance(fill, Node) else make_constant(np.asarray(fill, x.dtype))
    return broadcast_node(node, x.shape)


FUNCTIONS: Mapping[Any, Callable[..., Any]] = {
    np.sum: fn.sum,
    np.mean: fn.mean,
    np.var: fn.var,
    np.max: fn.max,
    np.amax: fn.max,
    np.min: fn.min,
    np.amin: fn.min,
    np.all: fn.all,
    np.argmax: lambda a, axis=None: fn.argmax(a, axis),
    np.where: fn.where,
    np.clip: lambda a, a_min=None, a_max=None, *, min=None, max=None: fn.clip(
        a, min if a_min is None else a_min, max if a_max is None else a_max
    ),
    np.reshape: lambda a, shape: fn.reshape(a, shape),
    np.ravel: lambda a: fn.reshape(a, -1),
    np.transpose: lambda a, axes=None: fn.transpose(a, axes),
    np.concatenate: lambda arrays, axis=0: fn.concatenate(arrays, axis),
    np.stack: lambda arrays, axis=0: fn.stack(arrays, axis),
    np.std: lambda a, axis=None, keepdims=False: ew.sqrt(fn.var(a, axis, keepdims)),
    np.linalg.norm: _norm,
    np.linalg.cholesky: lambda a: cholesky(a),
    np.outer: lambda a, b: fn.reshape(a, (-1, 1)) * fn.reshape(b, (1, -1)),
    np.vstack: lambda tup: fn.concatenate(_rows(tup), 0),
    np.hstack: lambda tup: fn.concatenate(tup, 0 if fn.value(tup[0]).ndim == 1 else 1),
    np.diff: lambda a: a[..., 1:] - a[..., :-1],
    np.size: lambda a: fn.size(a),
    np.copy: lambda a: a,
    np.expand_dims: lambda a, axis: fn.expand_dims(a, axis),
    np.squeeze: lambda a, axis=None: fn.squeeze(a, axis),
    np.broadcast_to: lambda array, shape: fn.broadcast_to(array, shape),
    np.dot: _dot,
    np.take: lambda a, indices, axis=None: fn.take(a, indices, 0 if axis is None and a.ndim == 1 else axis),
    np.zeros_like: lambda a: _full_like(a, 0),
    np.ones_like: lambda a: _full_like(a, 1),
    np.full_like: lambda a, fill_value: _full_like(a, fill_value),
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
}


def _full_name(function: Any) -> str:
    module = getattr(function, "__module__", "numpy") or "numpy"
    return f"{module.replace('numpy', 'np', 1)}.{getattr(function, '__name__', function)}"


def _array_function(self: Node, function: Any, types: Any, arguments: Any, options: Any) -> Any:
    name = _full_name(function)
    if function not in FUNCTIONS:
        known = ", ".join(sorted({_full_name(f).removeprefix("np.") for f in FUNCTIONS}))
        raise TraceError(f"{name} is not available in a traced function; these are: {known}")
    try:
        return FUNCTIONS[function](*arguments, **options)
    except ChainruleError:
        raise
    except TypeError as error:
        raise TraceError(f"{name} in a traced function does not take these arguments: {error}") from None


def _length(self: Node) -> int:
    if not self.shape:
        raise TraceError(f"a traced number ({self.type}) has no length")
    if isinstance(self.shape[0], Rows):
        raise TraceError(
            f"x is {self.type}: the number of rows n is not known while tracing\n"
            "  wrong:  x.sum() / len(x)\n"
            "  right:  x.mean(), or x.sum() / cr.ops.extent(x, axis=0)"
        )
    return self.shape[0]


def _iterate(self: Node) -> Iterator[Any]:
    return (fn.get_item(self, i) for i in range(_length(self)))


def _no_attribute(self: Node, name: str) -> Any:
    hint = "" if name.startswith("_") else f"; NumPy's functions work on traced values: np.{name}(x), where it is there"
    raise AttributeError(f"a traced value has no {name!r}{hint}")


def install() -> None:
    """Install arithmetic, NumPy's protocols and the refusals on traced values."""
    _install_operators()
    for name, refusal in REFUSALS.items():
        setattr(Node, name, refusal)
    extras: dict[str, Any] = {
        "__neg__": lambda self: ew.negative(self),
        "__pos__": lambda self: self,
        "__abs__": lambda self: ew.absolute(self),
        "__invert__": lambda self: logic.logical_not(self),
        "__getitem__": fn.get_item,
        "__getattr__": _no_attribute,
        "__len__": _length,
        "__iter__": _iterate,
        "__array_ufunc__": _array_ufunc,
        "__array_function__": _array_function,
        "T": property(lambda self: fn.transpose(self)),
        "sum": fn.sum,
        "mean": fn.mean,
        "var": fn.var,
        "max": fn.max,
        "min": fn.min,
        "argmax": lambda self, axis=None: fn.argmax(self, axis),
        "reshape": lambda self, *shape: fn.reshape(self, shape[0] if len(shape) == 1 else shape),
        "transpose": lambda self, *axes: fn.transpose(self, _axes(axes)),
        "astype": lambda self, dtype: logic.cast(self, dtype=_dtype(dtype)),
        "dot": _dot,
        "ravel": lambda self: fn.reshape(self, -1),
        "flatten": lambda self: fn.reshape(self, -1),
        "copy": lambda self: self,
        "size": property(fn.size),
        "std": lambda self, axis=None, keepdims=False: ew.sqrt(fn.var(self, axis, keepdims)),
        "clip": fn.clip,
    }
    for name, extra in extras.items():
        setattr(Node, name, extra)


def _axes(axes: tuple[Any, ...]) -> Any:
    """NumPy's method takes the axes one by one, as one tuple, or not at all."""
    one = len(axes) == 1 and not isinstance(axes[0], int | np.integer)
    return axes[0] if one else axes or None


def _dtype(dtype: Any) -> str:
    from chainrule.graph.types import dtype_name

    return dtype_name(dtype)
