"""Operators and NumPy's own functions on traced values; and what traced values refuse, with the right spelling.

Importing this module installs the behaviour on ``Node``: the graph itself knows nothing of arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from chainrule.errors import ChainruleError, TraceError
from chainrule.graph import Node, Rows
from chainrule.ops import algebra, logic, selection, shapes
from chainrule.ops import functions as fn
from chainrule.ops import mathematics as ew
from chainrule.ops.numpy_functions import FUNCTIONS, UFUNCS, power
from chainrule.ops.record import TABLE, Op
from chainrule.ops.refusals import REFUSALS
from chainrule.ops.subscripts import get_item

OPERATORS: Mapping[str, Callable[..., Any]] = {
    "add": ew.add,
    "sub": ew.subtract,
    "mul": ew.multiply,
    "truediv": ew.divide,
    "pow": power,
    "floordiv": ew.floor_divide,
    "mod": ew.remainder,
    "divmod": lambda a, b: (ew.floor_divide(a, b), ew.remainder(a, b)),
    "matmul": algebra.matmul,
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
    return (get_item(self, i) for i in range(_length(self)))


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
        "__getitem__": get_item,
        "__getattr__": _no_attribute,
        "__len__": _length,
        "__iter__": _iterate,
        "__array_ufunc__": _array_ufunc,
        "__array_function__": _array_function,
        "T": property(lambda self: shapes.transpose(self)),
        "size": property(shapes.size),
        "sum": fn.sum,
        "prod": fn.prod,
        "mean": fn.mean,
        "var": fn.var,
        "std": fn.std,
        "max": fn.max,
        "min": fn.min,
        "all": fn.all,
        "any": fn.any,
        "argmax": lambda self, axis=None: fn.argmax(self, axis),
        "argmin": lambda self, axis=None: fn.argmin(self, axis),
        "argsort": lambda self, axis=-1: selection.argsort(self, axis),
        "cumsum": lambda self, axis=None: fn.cumsum(self, axis),
        "cumprod": lambda self, axis=None: fn.cumprod(self, axis),
        "clip": fn.clip,
        "round": _round,
        "reshape": lambda self, *shape: shapes.reshape(self, shape[0] if len(shape) == 1 else shape),
        "transpose": lambda self, *axes: shapes.transpose(self, _axes(axes)),
        "swapaxes": shapes.swapaxes,
        "squeeze": shapes.squeeze,
        "repeat": shapes.repeat,
        "ravel": lambda self: shapes.reshape(self, -1),
        "flatten": lambda self: shapes.reshape(self, -1),
        "copy": lambda self: self,
        "take": lambda self, indices, axis=None: selection.take(self, indices, axis),
        "diagonal": lambda self, offset=0, axis1=0, axis2=1: _on_diagonal(self, offset, axis1, axis2),
        "trace": lambda self: algebra.trace(self),
        "astype": lambda self, dtype: logic.cast(self, dtype=_dtype(dtype)),
        "dot": algebra.dot,
    }
    for name, extra in extras.items():
        setattr(Node, name, extra)


def _round(self: Node, decimals: int = 0) -> Any:
    return FUNCTIONS[np.round](self, decimals)


def _on_diagonal(self: Node, offset: int, axis1: int, axis2: int) -> Any:
    return FUNCTIONS[np.diagonal](self, offset, axis1, axis2)


def _axes(axes: tuple[Any, ...]) -> Any:
    """NumPy's method takes the axes one by one, as one tuple, or not at all."""
    one = len(axes) == 1 and not isinstance(axes[0], int | np.integer)
    return axes[0] if one else axes or None


def _dtype(dtype: Any) -> str:
    from chainrule.graph.types import dtype_name

    return dtype_name(dtype)
