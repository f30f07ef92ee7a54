"""Tied parameters: one that is used in several places, and so gets the derivatives of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from chainrule.errors import TraceError, TypeMismatch

if TYPE_CHECKING:
    from chainrule.nn.layer import Parameter

Tie = Mapping[str, str]
"""Copy → source: names of parameters or of layers; a source that ends in ``.T`` is transposed."""

TRANSPOSED = ".T"


def check_tie(tie: Tie) -> dict[str, str]:
    """Return a tie as a dict; raise TraceError for one that could never be followed."""
    if not isinstance(tie, Mapping) or not all(isinstance(k, str) and isinstance(v, str) for k, v in tie.items()):
        raise TraceError(f"tie is {tie!r:.80}; it names parameters: tie={{'hidden2.weight': 'hidden1.weight'}}")
    for copy, source in tie.items():
        source = source.removesuffix(TRANSPOSED)
        if any(source == other or source.startswith(f"{other}.") for other in tie):
            raise TraceError(f"tie: {copy!r} is to be {source!r}, which is tied itself; name where it begins")
    return dict(tie)


def _each(tie: Tie, parameters: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Give (copy, source, transposed) of each parameter that is tied."""
    for copy, source in tie.items():
        transposed = source.endswith(TRANSPOSED)
        base = source.removesuffix(TRANSPOSED)
        if copy in parameters:
            yield copy, base, transposed
            continue
        own = [name for name in parameters if name.startswith(f"{copy}.")]
        if not own:
            known = ", ".join(parameters) or "none"
            raise TraceError(f"tie: there is no parameter or layer {copy!r}; the parameters are: {known}")
        for name in own:
            yield name, base + name.removeprefix(copy), transposed


def without_copies(tie: Tie, parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Return the parameters that are left when those that are tied to others are not parameters of their own."""
    kept = dict(parameters)
    for copy, source, transposed in _each(tie, parameters):
        if source not in parameters:
            raise TraceError(f"tie: there is no parameter {source!r}; the parameters are: {', '.join(parameters)}")
        here, there = parameters[copy].shape, parameters[source].shape
        if here != (there[::-1] if transposed else there):
            hint = " (its transpose: add .T)" if here == there[::-1] else ""
            raise TypeMismatch(
                f"tie: {copy!r} has the shape {here}, {source!r}{' transposed' if transposed else ''} has "
                f"{there[::-1] if transposed else there}; they must be equal{hint}"
            )
        del kept[copy]
    return kept


def follow(tie: Tie, name: str) -> tuple[str, bool]:
    """Return the name of the parameter that is used under a name, and whether it is transposed."""
    start = name
    while start:
        if start in tie:
            source = tie[start]
            return source.removesuffix(TRANSPOSED) + name.removeprefix(start), source.endswith(TRANSPOSED)
        start = start.rpartition(".")[0]
    return name, False
