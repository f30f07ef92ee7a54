"""Operators and NumPy's own functions on traced values; and what traced values refuse, with the right spelling.

Importing this module installs the behaviour on ``Node``: the graph itself knows nothing of arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from chainrule.errors import ChainruleError, TraceError
from chainrule.graph import Node, Rows
from chainrule.ops import algebra, logic, shapes
from chainrule.ops import mathematics as ew
from chainrule.ops.build import new_node
from chainrule.ops.numpy_functions import FUNCTIONS, REDUCTIONS, RUNNING, UFUNCS, power
from chainrule.ops.random import iota
from chainrule.ops.record import TABLE, Op
from chainrule.ops.reductions import extent
from chainrule.ops.refusals import OF_ROWS, REFUSALS, rows_are_unknown
from chainrule.ops.subscripts import get_item
from chainrule.ops.unavailable import arguments_refused, in_words, option_refused, unavailable

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


def _counted(rows: Any, like: Node) -> Any:
    """Return a number of rows, which is not known while tracing, as a value of the dtype of another."""
    if not isinstance(rows, Rows):
        return rows
    dtype = "i64" if like.type.dtype == "bool" else like.type.dtype
    return extent(new_node(iota, (), {"shape": (rows,), "axis": 0, "dtype": dtype}), axis=0)


def _install_operators() -> None:
    def make(function: Callable[..., Any], reflected: bool) -> Callable[..., Any]:
        def operator(self: Node, other: Any) -> Any:
            if not _known(other):
                if not isinstance(other, Rows):
                    return NotImplemented
                other = _counted(other, self)
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
    plain = str(ufunc.__name__)
    name = f"np.{plain}" if getattr(np, plain, None) is ufunc else plain
    if method != "__call__":
        return _ufunc_method(ufunc, f"{name}.{method}", method, inputs, options)
    for option, given in options.items():
        if given is not None:
            raise option_refused(name, option)
    found = _for_ufunc(ufunc)
    if found is None:
        ufuncs = {*UFUNCS, *(op.evaluate for op in TABLE.values() if isinstance(op.evaluate, np.ufunc))}
        raise unavailable(name, [f"np.{u.__name__}" for u in ufuncs])
    try:
        return found(*(_counted(x, self) for x in inputs))
    except TraceError as error:
        raise in_words(name, error) from None


def _ufunc_method(ufunc: Any, name: str, method: str, inputs: Any, options: Mapping[str, Any]) -> Any:
    """Return what np.add.reduce, np.add.accumulate and np.multiply.outer are, and their like."""
    found = {"reduce": REDUCTIONS, "accumulate": RUNNING}.get(method, {}).get(ufunc)
    given = {option: value for option, value in options.items() if value is not None or option == "axis"}
    if found is not None:
        for option in given:
            if option not in ("axis", *(("keepdims",) if method == "reduce" else ())):
                raise option_refused(name, option)
        return found(*inputs, **{"axis": 0, **given})
    function = _for_ufunc(ufunc)
    if method == "outer" and function is not None and not given:
        a, b = (shapes.value(x) for x in inputs)
        return function(shapes.reshape(a, (*a.shape, *(1,) * b.ndim)), b)
    raise unavailable(name, [])


def _full_name(function: Any) -> str:
    module = getattr(function, "__module__", "numpy") or "numpy"
    return f"{module.replace('numpy', 'np', 1)}.{getattr(function, '__name__', function)}"


def _array_function(self: Node, function: Any, types: Any, arguments: Any, options: Any) -> Any:
    name = _full_name(function)
    if function not in FUNCTIONS:
        raise unavailable(name, map(_full_name, FUNCTIONS))
    options = {option: given for option, given in options.items() if option != "out" or given is not None}
    try:
        return FUNCTIONS[function](*arguments, **options)
    except TraceError as error:
        raise in_words(name, error) from None
    except ChainruleError:
        raise
    except TypeError as error:
        raise arguments_refused(name, FUNCTIONS[function], arguments, options, error) from None


def _length(self: Node) -> int:
    if not self.shape:
        raise TraceError(f"a traced number ({self.type}) has no length")
    if isinstance(self.shape[0], Rows):
        raise TraceError(
            f"x is {self.type}: the number of rows n is not known while tracing\n"
            "  wrong:  x.sum() / len(x)\n"
            "  right:  x.mean(), or x.sum() / x.shape[0]\n"
            "  wrong:  x[np.arange(len(x)), y]\n"
            "  right:  np.take_along_axis(x, y[:, None], axis=1)[:, 0]"
        )
    return self.shape[0]


def _iterate(self: Node) -> Iterator[Any]:
    return (get_item(self, i) for i in range(_length(self)))


def _no_attribute(self: Node, name: str) -> Any:
    known = not name.startswith("_") and getattr(np, name, None) in FUNCTIONS
    hint = f"; write np.{name}(x)" if known else ""
    raise AttributeError(f"a traced value has no {name!r}{hint}")


def _method(function: Any) -> Callable[..., Any]:
    """Return NumPy's function as a method of traced values: one list of arguments, one refusal of others."""

    def method(self: Node, *arguments: Any, **options: Any) -> Any:
        return _array_function(self, function, (), (self, *arguments), options)

    return method


METHODS = (
    np.sum, np.prod, np.mean, np.var, np.std, np.max, np.min, np.all, np.any, np.argmax, np.argmin, np.argsort,
    np.cumsum, np.cumprod, np.clip, np.round, np.swapaxes, np.squeeze, np.repeat, np.ravel, np.copy, np.take,
    np.diagonal, np.trace, np.dot,
)  # fmt: skip
"""NumPy's functions that are methods of its arrays too."""


def install() -> None:
    """Install arithmetic, NumPy's protocols and the refusals on traced values."""
    _install_operators()
    for name, refusal in REFUSALS.items():
        setattr(Node, name, refusal)
    for name in OF_ROWS:
        setattr(Rows, name, rows_are_unknown)
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
        "mT": property(lambda self: shapes.swapaxes(self, -1, -2)),
        "size": property(shapes.size),
        **{function.__name__: _method(function) for function in METHODS},
        "reshape": lambda self, *shape: shapes.reshape(self, shape[0] if len(shape) == 1 else shape),
        "transpose": lambda self, *axes: shapes.transpose(self, _axes(axes)),
        "flatten": lambda self: shapes.reshape(self, -1),
        "astype": lambda self, dtype: logic.cast(self, dtype=_dtype(dtype)),
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
