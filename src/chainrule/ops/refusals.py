"""What traced values refuse, each with the wrong and the right spelling side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from chainrule.errors import TraceError
from chainrule.graph import Node, Rows

Refusal = Callable[..., NoReturn]


def _refuse(what: str, why: str, *spellings: tuple[str, str]) -> Refusal:
    shown = "".join(f"\n  wrong:  {wrong}\n  right:  {right}" for wrong, right in spellings)

    def refusal(self: Node, *arguments: Any, **options: Any) -> NoReturn:
        raise TraceError(f"{what}: {why}{shown}")

    return refusal


_NUMBER = "this value is traced, it has no number yet"
_LATER = ("inside the function", "return it, and look at the result")
REFUSALS: Mapping[str, Refusal] = {
    "__array__": _refuse(
        "a traced value cannot be put into a NumPy array",
        _NUMBER,
        ("np.array([x[0] * x[1], x[2]])", "np.stack([x[0] * x[1], x[2]])"),
        ("table[i], np.take(table, i), np.eye(k)[i]", "cr.ops.take(table, i), cr.ops.one_hot(i, k)"),
    ),
    "__float__": _refuse(
        "a traced value cannot become a Python float",
        _NUMBER,
        ("math.exp(x), float(x)", "np.exp(x), x"),
        ("y = np.zeros(2); y[0] = x[0]; y[1] = 1.0", "y = np.stack([x[0], 1.0])"),
    ),
    "__int__": _refuse("a traced value cannot become a Python int", _NUMBER, ("int(x)", "np.floor(x)")),
    "__complex__": _refuse("a traced value cannot become a complex number", _NUMBER, ("complex(x)", "x")),
    "__bool__": _refuse(
        "a traced value cannot decide an if, while, and, or, not",
        _NUMBER,
        ("y = a if x > 0 else b", "y = np.where(x > 0, a, b)"),
        ("a and b, a or b, not a, 0 < x < 1", "a & b, a | b, ~a, (0 < x) & (x < 1)"),
        ("max(x, 0.0), sorted(x)", "np.maximum(x, 0.0), np.sort(x)"),
        ("while x > 1: x = x / 2", "x, converged = cr.iterate(x, lambda x: x / 2, lambda x: x <= 1, at_most=100)"),
    ),
    "__index__": _refuse(
        "a traced value cannot be an index of a Python list or a range",
        _NUMBER,
        ("rows[i]", "cr.ops.take(np.asarray(rows), i)"),
        ("for _ in range(k)", "cr.scan(body, start, length=10), with a fixed number of trips"),
    ),
    "__setitem__": _refuse(
        "a traced value cannot be changed in place",
        "it is a node of a graph",
        ("x[0] = 1.0", "x = np.where(np.arange(3) == 0, 1.0, x)"),
    ),
    "__contains__": _refuse("a traced value cannot be searched with in", _NUMBER, ("1.0 in x", "~np.all(x != 1.0)")),
    "__format__": _refuse("a traced value cannot be formatted", _NUMBER, (f"f'{{x:.2f}}' {_LATER[0]}", _LATER[1])),
    "__round__": _refuse("a traced value cannot be rounded", _NUMBER, ("round(x)", "np.round(x)")),
    "sort": _refuse(
        "a traced value cannot be sorted in place", "it is a node of a graph", ("x.sort()", "x = np.sort(x)")
    ),
    "item": _refuse("a traced value has no item()", _NUMBER, (f"x.item() {_LATER[0]}", "x; " + _LATER[1])),
    "tolist": _refuse("a traced value has no tolist()", _NUMBER, (f"x.tolist() {_LATER[0]}", "x; " + _LATER[1])),
}


def rows_are_unknown(self: Rows, *others: Any) -> Any:
    """Refuse to count with a number of rows: beside a traced value it is one, by itself it is not known."""
    if any(isinstance(other, Node) for other in others):
        return NotImplemented
    raise TraceError(
        f"the number of rows {self} is not known while tracing, so nothing can be counted or made with it\n"
        "  wrong:  np.ones((x.shape[0], 1)), np.zeros(x.shape)\n"
        "  right:  np.ones_like(x[:, :1]), np.zeros_like(x)\n"
        "  wrong:  x.sum() / (x.shape[0] - 1), np.arange(x.shape[0])\n"
        "  right:  x.sum() / (cr.ops.extent(x, axis=0) - 1), np.cumsum(np.ones_like(x[:, 0])) - 1"
    )


OF_ROWS = (
    *("__index__", "__int__", "__float__", "__neg__", "__lt__", "__le__", "__gt__", "__ge__"),
    *(f"__{side}{name}__" for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow") for side in ("", "r")),
)
"""What a number of rows by itself cannot do."""
