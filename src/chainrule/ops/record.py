"""One frozen record an operation, validated when it is made: the only place an operation is defined.

Its *kind* decides how it is typed, batched and compiled:

==============  ==================================================================================================
elementwise     one result element from the elements at the same place; all operands of one shape
reduction       an identity and a combining rule along axes
cumulative      running totals along an axis: each element follows from the one before it
contraction     products summed over shared axes (``signature`` says which)
view            the same elements in another shape or order
gather          elements chosen by an index; ``scatter`` is its transpose
sort            the order of elements by size
random          bits from an explicit key and counters
source          a value made from attributes alone
region          a loop that holds subgraphs
library         a call into LAPACK or its like
==============  ==================================================================================================

Derivative rules are keyed by operand *name*, take ``(g, y, *operands, **attributes)``, are linear in ``g``, and build
nodes. A rule is ``ZERO`` where the derivative is zero almost everywhere, and ``NOT_DIFFERENTIABLE`` where asking for
one is a mistake; an operand without a rule is an error at import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chainrule.errors import GraphError, TypeMismatch
from chainrule.graph import Node, Type
from chainrule.graph.types import DTYPES

KINDS = (
    "elementwise",
    "reduction",
    "cumulative",
    "contraction",
    "view",
    "gather",
    "scatter",
    "sort",
    "random",
    "source",
    "region",
    "library",
)


class _Special:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


ZERO: Final = _Special("ZERO")
NOT_DIFFERENTIABLE: Final = _Special("NOT_DIFFERENTIABLE")

Rule = Callable[..., Any] | _Special
TypeRule = Callable[[tuple[Type, ...], Mapping[str, Any]], Type | tuple[Type, ...]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Op:
    """An operation: how it is typed, evaluated, differentiated, compiled, written and explained."""

    name: str
    kind: str
    operands: tuple[str, ...]
    evaluate: Callable[..., Any]
    typing: TypeRule
    pullback: Mapping[str, Rule]
    attributes: tuple[str, ...] = ()
    variadic: bool = False
    signature: str = ""
    lower: Callable[..., Any] | None = None
    latex: str = ""
    because: str = ""
    kinks: str = ""
    sample: tuple[tuple[float, float], ...] = ()
    accepts: str = "float"
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise GraphError(f"operation {self.name}: {self.kind!r} is not a kind; kinds are {', '.join(KINDS)}")
        missing = [o for o in self.operands if o not in self.pullback]
        unknown = [o for o in self.pullback if o not in self.operands]
        if missing or unknown:
            raise GraphError(
                f"operation {self.name}: "
                + (
                    f"no derivative rule for {', '.join(missing)} (write a rule, ZERO or NOT_DIFFERENTIABLE)"
                    if missing
                    else ""
                )
                + (f"a rule for {', '.join(unknown)}, which is not an operand" if unknown else "")
            )
        if not self.name.isidentifier():
            raise GraphError(f"operation {self.name!r}: the name must be an identifier")
        for operand, rule in self.pullback.items():
            if not (callable(rule) or rule is ZERO or rule is NOT_DIFFERENTIABLE):
                raise GraphError(f"operation {self.name}: the rule for {operand} is neither a function nor ZERO")

    def infer(self, operands: tuple[Node, ...], attributes: Mapping[str, Any]) -> Type | tuple[Type, ...]:
        """Return the type of the result; raise TypeMismatch naming the operation, the operand and the types."""
        wrong = [k for k in attributes if k not in self.attributes]
        absent = [k for k in self.attributes if k not in attributes]
        if wrong or absent:
            raise TypeMismatch(f"{self.name} takes the attributes {self.attributes}, not {tuple(attributes)}")
        return self.typing(tuple(o.type for o in operands), attributes)

    def __call__(self, *operands: Any, **attributes: Any) -> Any:
        """Apply the operation: to arrays at once, to traced values by adding a node."""
        from chainrule.ops.build import apply

        given = {**self.defaults, **attributes}
        in_order = {name: given.pop(name) for name in self.attributes if name in given}
        return apply(self, operands, {**in_order, **given})

    def __repr__(self) -> str:
        return f"<operation {self.name}({', '.join(self.operands)})>"


TABLE: dict[str, Op] = {}
"""Every operation by name: the table that tests, documentation and stored graphs read."""


def register(op: Op) -> Op:
    """Put an operation into the table; a name may be taken once."""
    if op.name in TABLE:
        raise GraphError(f"operation {op.name} is already defined")
    TABLE[op.name] = op
    return op


def elementwise(
    name: str,
    operands: str,
    *,
    evaluate: Callable[..., Any],
    pullback: Mapping[str, Rule],
    lower: Callable[..., Any] | None = None,
    latex: str = "",
    because: str = "",
    kinks: str = "",
    sample: Sequence[tuple[float, float]] = (),
    accepts: str = "float",
    gives: str = "same",
    attributes: tuple[str, ...] = (),
    typing: TypeRule | None = None,
) -> Op:
    """Define and register an elementwise operation: one record, and all else follows from it.

    ``operands`` are names separated by spaces. ``accepts`` is float, number (float or integer), integer, bool or any;
    ``gives`` is same (the operands' dtype) or bool. ``sample`` is, for each operand, an interval on which tests draw.
    """
    names = tuple(operands.split())

    def same_shapes(types: tuple[Type, ...], attributes: Mapping[str, Any]) -> Type:
        require_equal_shapes(name, names, types)
        first = types[0]
        for operand, kind in zip(names, types, strict=True):
            if kind.dtype != first.dtype:
                raise TypeMismatch(
                    f"{name}: {operand} is {kind}, {names[0]} is {first}; "
                    f"{convert_hint((names[0], first), (operand, kind))}"
                )
            require_dtype(name, operand, kind, accepts)
        return first.with_dtype("bool") if gives == "bool" else first

    return register(
        Op(
            name=name,
            kind="elementwise",
            operands=names,
            evaluate=evaluate,
            typing=typing or same_shapes,
            pullback=pullback,
            lower=lower,
            latex=latex,
            because=because,
            kinks=kinks,
            sample=tuple(sample),
            accepts=accepts,
            attributes=attributes,
            signature=",".join("()" for _ in names) + "->()",
        )
    )


def convert_hint(one: tuple[str, Type], other: tuple[str, Type]) -> str:
    """Say which operand to convert: whole numbers to the floats beside them, else the second to the first."""
    if other[1].is_float and not one[1].is_float:
        one, other = other, one
    return f"convert one of them, for instance {other[0]}.astype({DTYPES[one[1].dtype].name!r})"


def require_equal_shapes(name: str, operands: Sequence[str], types: Sequence[Type]) -> None:
    for operand, kind in zip(operands, types, strict=True):
        if kind.shape != types[0].shape:
            raise TypeMismatch(f"{name}: {operand} is {kind}, {operands[0]} is {types[0]}; the shapes must be equal")


_ACCEPTED = {
    "float": ("f32", "f64"),
    "number": ("f32", "f64", "i32", "i64", "u32", "u64"),
    "integer": ("i32", "i64", "u32", "u64"),
    "bits": ("i32", "i64", "u32", "u64", "bool"),
    "bool": ("bool",),
    "any": ("f32", "f64", "i32", "i64", "u32", "u64", "bool"),
}


def accepted_dtypes(accepts: str) -> tuple[str, ...]:
    """Return the dtypes that stand behind a word such as float, number or bits."""
    return _ACCEPTED[accepts]


def require_dtype(name: str, operand: str, kind: Type, accepts: str) -> None:
    """Raise TypeMismatch where an operand's dtype is not one that the operation takes."""
    if kind.dtype in _ACCEPTED[accepts]:
        return
    target = {"float": "float64", "number": "int64"}.get(accepts)
    hint = f"; convert it first: x.astype({target!r})" if target else ""
    raise TypeMismatch(f"{name}: {operand} is {kind}; it takes {' or '.join(_ACCEPTED[accepts])}{hint}")
