"""The page docs/operations.md, written from the records: ``python -m chainrule.ops > docs/operations.md``.

A derivative is shown as the rule itself makes it: it is applied to symbols, and its graph is written as a formula.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from chainrule.graph import Node, Type, make_input
from chainrule.ops import algebra, einstein, functions, selection, shapes
from chainrule.ops.build import new_node
from chainrule.ops.numpy_functions import FUNCTIONS, UFUNCS
from chainrule.ops.record import KINDS, NOT_DIFFERENTIABLE, TABLE, ZERO, Op, accepted_dtypes

LONGEST = 260
"""A formula of more characters is not shown: the reason is, and the rule stands in the record."""
_HELPERS = ("counted", "measured", "truths", "places", "length", "require_integers")
"""Functions of the modules of composed ones that are parts of others."""
UNTOLD = ("iota", "recurrence")
"""What a formula cannot tell: counters look alike along every axis, and a recurrence the same from either end."""

_VECTOR, _MATRIX, _SQUARE = Type("f64", (3,)), Type("f64", (2, 3)), Type("f64", (3, 3))
_KEY, _COUNT, _PLACES = Type("u32", (2,)), Type("u32", (3,)), Type("i64", (4,))

EXAMPLES: Mapping[str, tuple[tuple[Type, ...], Mapping[str, Any]]] = {
    "sum": ((_MATRIX,), {"axes": (0,)}),
    "prod": ((_VECTOR,), {"axes": (0,)}),
    "max": ((_VECTOR,), {"axes": (0,)}),
    "min": ((_VECTOR,), {"axes": (0,)}),
    "all": ((Type("bool", (3,)),), {"axes": (0,)}),
    "argmax": ((_VECTOR,), {"axes": (0,)}),
    "cumulative_sum": ((_VECTOR,), {"axis": 0, "reverse": False}),
    "recurrence": ((_VECTOR, _VECTOR), {"axis": 0, "reverse": False}),
    "matmul": ((_MATRIX, Type("f64", (3, 4))), {}),
    "extent": ((_VECTOR,), {"axis": 0}),
    "broadcast": ((_VECTOR,), {"shape": (2, 3)}),
    "reshape": ((_MATRIX,), {"shape": (6,)}),
    "transpose": ((_MATRIX,), {"axes": (1, 0)}),
    "slice": ((_VECTOR,), {"start": (0,), "stop": (2,), "step": (1,)}),
    "pad": ((_VECTOR,), {"before": (1,), "after": (1,), "between": (0,)}),
    "flip": ((_VECTOR,), {"axes": (0,)}),
    "concatenate": ((_VECTOR, _VECTOR), {"axis": 0}),
    "take": ((_MATRIX, _PLACES), {}),
    "scatter_add": ((_PLACES, Type("f64", (4, 3))), {"size": 2}),
    "argsort": ((_VECTOR,), {"axis": 0}),
    "fold": ((_KEY, Type("u32")), {}),
    "random_bits": ((_KEY, _COUNT, _COUNT), {}),
    "iota": ((), {"shape": (3,), "axis": 0, "dtype": "i64"}),
    "cholesky": ((_SQUARE,), {}),
    "solve_triangular": ((_SQUARE, _SQUARE), {"transposed": False}),
    "solve": ((_SQUARE, _SQUARE), {"transposed": False}),
    "svd": ((_MATRIX,), {}),
}
"""Operand types and attributes with which the rules of operations that are not elementwise are shown."""

_APPLIED = ("log", "sin", "cos", "tan", "tanh", "arcsin", "arccos", "arctan", "sinh", "cosh", "arcsinh", "arccosh",
            "arctanh", "log2", "log10")  # fmt: skip
"""Functions that stand before their operand."""

_BY_LEVEL: Mapping[int, tuple[str, ...]] = {
    0: ("where", "less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "logical_and", "logical_or"),
    1: ("add", "subtract", "negative", "bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift"),
    2: ("multiply", "matmul", "sum", "prod", "max", "min", "all", "solve", "solve_triangular", *_APPLIED),
    3: ("power", "square", "take", "logical_not"),
}  # fmt: skip
_LEVEL = {name: level for level, names in _BY_LEVEL.items() for name in names}
_ATOM = 9
_NEEDS: Mapping[str, tuple[int, ...]] = {
    "where": (1, 1, 1), "cumulative_sum": (_ATOM,),
    "add": (1, 1), "subtract": (1, 2), "negative": (2,), "multiply": (2, 2), "matmul": (2, 2),
    "power": (_ATOM, 0), "square": (_ATOM,), "take": (_ATOM, 0), "logical_not": (_ATOM,), "transpose": (_ATOM,),
    "solve": (_ATOM, 2), "solve_triangular": (_ATOM, 2),
    **dict.fromkeys(("sum", "prod", "max", "min", "all", *_APPLIED), (_ATOM,)),
    **dict.fromkeys(("argmax", "argsort"), (_ATOM,)),
    **dict.fromkeys(_BY_LEVEL[0][1:], (1, 1)),
}  # fmt: skip
"""How strongly an operand must hold together to stand without parentheses; 0 where its place has them already."""


def _formula(node: Node, names: Mapping[Node, str]) -> tuple[str, int]:
    """Return a node as LaTeX, and how strongly it holds together."""
    if node in names:
        return names[node], _ATOM
    op: Any = node.op
    if op.name == "constant":
        value = np.asarray(node.attributes["value"]).reshape(-1)
        return f"{value[0]:.6g}", _ATOM if value[0] >= 0 else 1
    if op.name == "cast" or (op.name == "broadcast" and _is_number(node.operands[0], names)):
        return _formula(node.operands[0], names)  # the same number in another format or place
    needs = _NEEDS.get(op.name, (0,) * len(node.operands))
    parts = []
    for operand, needed in zip(node.operands, needs, strict=False):
        text, level = _formula(operand, names)
        parts.append(text if level >= needed else rf"\left({text}\right)")
    if op.name == "transpose":
        return rf"{parts[0]}^{{\top}}", 3
    if op.name in ("solve", "solve_triangular") and node.attributes["transposed"]:
        return rf"{parts[0]}^{{-\top}} {parts[1]}", 2
    if op.name == "cumulative_sum" and node.attributes["reverse"]:
        return rf"\sum_{{s \ge t}} {parts[0]}_s", 2
    if op.variadic:
        parts = [", ".join(_formula(o, names)[0] for o in node.operands)]
    return op.latex.format(**dict(zip(op.operands, parts, strict=True))), _LEVEL.get(op.name, _ATOM)


def _is_number(node: Node, names: Mapping[Node, str]) -> bool:
    while node not in names and node.op.name in ("broadcast", "cast"):
        node = node.operands[0]
    return node not in names and node.op.name == "constant"


_TAKES: Mapping[str, str] = {
    "where": "condition bool; chosen and other any dtype, both the same",
    "take": "x any dtype; indices i32, i64, u32, u64",
    "scatter_add": "updates f32, f64, i32, i64, u32, u64; indices i32, i64, u32, u64",
}
"""Of operations that take operands of several sorts."""


def _example(op: Op) -> tuple[list[Node], Mapping[str, Any]]:
    if op.kind == "elementwise":
        attributes = {"dtype": "f32"} if op.name == "cast" else dict.fromkeys(op.attributes, "a")
        dtype = "f64" if "f64" in accepted_dtypes(op.accepts) else accepted_dtypes(op.accepts)[-1]
        types = [Type("bool" if name == "condition" else dtype) for name in op.operands]
    else:
        given, attributes = EXAMPLES[op.name]  # type: ignore[assignment]  # types with a dict: as the table has them
        types = list(given)
    names = op.operands if not op.variadic else [op.operands[0]] * len(types)
    return [make_input(kind, name) for kind, name in zip(types, names, strict=True)], attributes


def _symbol(name: str) -> str:
    return name if len(name) == 1 else rf"\mathit{{{name}}}"


def _symbols(op: Op, count: int) -> list[str]:
    if op.variadic:
        return [f"{_symbol(op.operands[0])}_{i + 1}" for i in range(count)]
    return [_symbol(name) for name in op.operands]


def _derivatives(op: Op) -> Iterator[str]:
    """Yield a line for the derivative by each operand."""
    if op.kind == "region":
        yield "the loop's own derivative is a loop: `chainrule.calculus.regions`"
        return
    operands, attributes = _example(op)
    symbols = _symbols(op, len(operands))
    y = new_node(op, operands, attributes)
    names = {**dict(zip(operands, symbols, strict=True)), y: "y"}
    for name, symbol in zip(op.operands, symbols, strict=False):
        rule = op.pullback[name]
        bar = rf"\bar{{{symbol}}}"
        if rule is ZERO:
            yield f"${bar} = 0$"
        elif rule is NOT_DIFFERENTIABLE:
            yield f"${bar}$: none; asking for it is an error"
        elif not y.type.is_float:
            yield f"${bar} = 0$, as the result is no float"
        else:
            g = make_input(y.type, "g")
            made = rule(g, y, *operands, **attributes)  # type: ignore[operator]  # the two that are no function are above
            first = made[0] if op.variadic else made
            text = _formula(first, {**names, g: r"\bar{y}"})[0]
            is_shown = len(text) <= LONGEST and not any(word in text for word in UNTOLD)
            yield f"${bar} = {text}$" if is_shown else f"${bar}$: of several steps, which the rule in its record has"


def _entry(op: Op) -> str:
    operands = ", ".join(op.operands) + ("…" if op.variadic else "")
    symbols = {name: _symbol(name) for name in op.operands}
    formula = op.latex.format(**symbols)
    if op.name in _BY_LEVEL[0][1:]:  # a relation
        formula = rf"\left({formula}\right)"
    lines = [f"### `{op.name}({operands})`", "", f"- formula: $y = {formula}$"]
    lines += [f"- derivative: {line}" for line in _derivatives(op)]
    lines.append(_wrapped(f"- why: {op.because}"))
    if op.kinks:
        lines.append(_wrapped(f"- at kinks and ends: {op.kinks}"))
    if op.attributes:
        lines.append(f"- attributes: {', '.join(f'`{a}`' for a in op.attributes)}")
    if op.operands and op.kind not in ("random", "region"):
        lines.append(f"- takes: {_TAKES.get(op.name) or ', '.join(accepted_dtypes(op.accepts))}")
    return "\n".join(lines)


def _composites(module: ModuleType) -> Iterator[str]:
    """Yield a line for every public function of a module: its name, and the first sentence of its description."""
    for name, function in sorted(vars(module).items()):
        is_own = inspect.isfunction(function) and function.__module__ == module.__name__
        if (
            is_own
            and not name.startswith("_")
            and name not in ("value", "iota_like", "zeros_of", *_HELPERS)
            and function.__doc__
        ):
            yield _wrapped(f"- `{name}`: {function.__doc__.strip().splitlines()[0]}")


def _numpy_names(table: Mapping[Any, Callable[..., Any]], extra: Iterable[Any] = ()) -> str:
    names = {f"np.{'linalg.' if 'linalg' in (getattr(f, '__module__', '') or '') else ''}{f.__name__}" for f in table}
    names |= {f"np.{f.__name__}" for f in extra}
    return ", ".join(f"`{name}`" for name in sorted(names))


def _wrapped(text: str) -> str:
    indent = "  " if text.startswith("- ") else ""
    return textwrap.fill(text, 119, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD.format(count=len(TABLE))]
    for kind in KINDS:
        ops = [op for name, op in sorted(TABLE.items()) if op.kind == kind]
        if ops:
            parts.append(f"## {kind.capitalize()}\n\n{_wrapped(_KIND[kind])}")
            parts += [_entry(op) for op in ops]
    parts.append(_COMPOSED)
    for title, module in (("Reductions and elements", functions), ("Shapes", shapes), ("Places and order", selection),
                          ("Linear algebra", algebra), ("Einstein's sum", einstein)):  # fmt: skip
        parts.append(f"### {title}\n\n" + "\n".join(_composites(module)))
    own = (op.evaluate for op in TABLE.values() if isinstance(op.evaluate, np.ufunc))
    parts.append(_NUMPY)
    parts.append(_wrapped(f"Functions: {_numpy_names(FUNCTIONS)}."))
    parts.append(_wrapped(f"Elementwise (ufuncs): {_numpy_names(UFUNCS, own)}."))
    return "\n\n".join(parts) + "\n"


_HEAD = """# Operations

<!-- Written from the records by `python -m chainrule.ops > docs/operations.md`, and compared by a test. -->

A computation is a graph of these {count} operations. Each is one record in `src/chainrule/ops`: how it is evaluated,
typed, differentiated, compiled and written. $\\bar{{y}}$ stands for the derivative of the loss by the result $y$, and
$\\bar{{x}}$ for that by an operand $x$; a rule says how $\\bar{{x}}$ follows from $\\bar{{y}}$. Where a function has a
kink, the convention stands beside it. Python's own numbers take the dtype of the other operands, and truth values
beside numbers count as 0 and 1 in the dtype of those (`x * (x > 0)`); any other mix of dtypes is an error that names
the operand. As in NumPy, a sum of truth values is an i64, a mean or a quotient of integers an f64. Both executors run
every operation.

```python
import numpy as np
import chainrule as cr


def energy(x):  # NumPy's functions and operators make a graph of operations
    return np.sum(np.tanh(np.sort(x) @ np.triu(np.ones((3, 3)))))


x = np.array([0.3, -0.2, 0.1])
print(cr.make_graph(energy, x))
print(cr.grad(energy)(x))
print(cr.ops.TABLE["tanh"].because)  # d(tanh x)/dx = 1 − tanh²x = 1 − y²
```"""

_KIND: Mapping[str, str] = {
    "elementwise": "One element of the result from the elements at the same place. Operands are broadcast to one shape "
    "before, as a step of its own.",
    "reduction": "Elements combined along axes, which the result has no longer.",
    "cumulative": "Running totals along an axis: each element follows from the one before it.",
    "contraction": "Products summed over shared axes.",
    "view": "The same elements in another shape or order.",
    "gather": "Elements chosen by an index.",
    "scatter": "The opposite of a gather: elements added up where an index says.",
    "sort": "The order of elements by size.",
    "random": "Random bits, as functions of a key and of counters: the same in any tile, thread and machine.",
    "source": "Values made of attributes alone.",
    "region": "Loops, which hold graphs of their own.",
    "library": "What LAPACK computes. Exempt from equal bits across machines.",
}

_COMPOSED = """## Made of operations

These have no record: they are functions that build a graph of the operations above, and are compiled, differentiated
and explained through their parts. `cr.ops` has most of them under these names."""

_NUMPY = """## NumPy's functions

On values that are traced, NumPy's own functions give nodes of the graph. `axis` may be negative, and `keepdims` works
wherever NumPy has it. What is not in these lists, and an argument that is not supported, is refused by name."""
