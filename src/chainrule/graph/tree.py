"""Nested structures: functions take and return dicts, lists and tuples of arrays; graphs take and return flat lists.

A structure is the nesting with its leaves taken out. Dict keys are visited in sorted order, so that two dicts with the
same keys always flatten alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.errors import TraceError


@dataclass(frozen=True, slots=True)
class Structure:
    """The nesting of a value: ``kind`` is leaf, none, dict, list or tuple (with ``maker`` for a named tuple)."""

    kind: str
    keys: tuple[Any, ...] = ()
    children: tuple[Structure, ...] = ()
    maker: Any = None

    @property
    def leaves(self) -> int:
        return 1 if self.kind == "leaf" else sum(child.leaves for child in self.children)

    def __str__(self) -> str:
        inside = [str(child) for child in self.children]
        match self.kind:
            case "leaf":
                return "*"
            case "none":
                return "None"
            case "dict":
                return "{" + ", ".join(f"{k!r}: {c}" for k, c in zip(self.keys, inside, strict=True)) + "}"
            case "list":
                return "[" + ", ".join(inside) + "]"
            case _:
                return "(" + ", ".join(inside) + ("," if len(inside) == 1 else "") + ")"


LEAF = Structure("leaf")
NONE = Structure("none")


def flatten(value: Any) -> tuple[list[Any], Structure]:
    """Return the leaves of a nested value and its structure; ``unflatten`` is the inverse."""
    leaves: list[Any] = []
    return leaves, _flatten(value, leaves)


def _flatten(value: Any, leaves: list[Any]) -> Structure:
    if value is None:
        return NONE
    if isinstance(value, dict):
        try:
            keys = tuple(sorted(value))
        except TypeError:
            raise TraceError(f"the keys of a dict of arrays must be comparable (all str): {list(value)[:5]}") from None
        return Structure("dict", keys, tuple(_flatten(value[k], leaves) for k in keys))
    if isinstance(value, list):
        return Structure("list", (), tuple(_flatten(v, leaves) for v in value))
    if isinstance(value, tuple):
        maker = type(value) if hasattr(value, "_fields") else None
        return Structure("tuple", (), tuple(_flatten(v, leaves) for v in value), maker)
    leaves.append(value)
    return LEAF


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    """Put leaves back into a structure."""
    if len(leaves) != structure.leaves:
        raise TraceError(f"{len(leaves)} leaves do not fill the structure {structure}")
    return _unflatten(structure, iter(leaves))


def _unflatten(structure: Structure, leaves: Iterator[Any]) -> Any:
    match structure.kind:
        case "leaf":
            return next(leaves)
        case "none":
            return None
        case "dict":
            return {k: _unflatten(c, leaves) for k, c in zip(structure.keys, structure.children, strict=True)}
        case "list":
            return [_unflatten(c, leaves) for c in structure.children]
        case _:
            items = [_unflatten(c, leaves) for c in structure.children]
            return structure.maker(*items) if structure.maker is not None else tuple(items)


def tree_map(function: Callable[..., Any], value: Any, *others: Any) -> Any:
    """Apply a function to every leaf of one value, or of several values of the same structure."""
    leaves, structure = flatten(value)
    columns = [leaves]
    for other in others:
        more, its = flatten(other)
        if its != structure:
            raise TraceError(f"structures differ: {structure} and {its}")
        columns.append(more)
    return unflatten(structure, [function(*row) for row in zip(*columns, strict=True)])


def leaf_names(structure: Structure, prefix: str = "") -> list[str]:
    """Return a readable path for each leaf: ``parameters['hidden1.weight']`` gives ``parameters.hidden1.weight``."""
    match structure.kind:
        case "leaf":
            return [prefix or "value"]
        case "none":
            return []
        case "dict":
            keys: Sequence[Any] = structure.keys
        case _:
            keys = range(len(structure.children))
    names: list[str] = []
    for key, child in zip(keys, structure.children, strict=True):
        names += leaf_names(child, f"{prefix}.{key}" if prefix else str(key))
    return names
