"""Compiled graphs, from the store of an earlier process or newly written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

from chainrule.execute.native import cache, link
from chainrule.execute.native.arena import Linked
from chainrule.execute.native.code import Code, code_of_bytes
from chainrule.execute.native.recipe import recipe
from chainrule.graph import Graph, Undigestible, digest

MOST_CONSTANTS = 1 << 20
"""Code with more bytes of constants than this is not stored: reading them would take longer than compiling."""


def linked(purpose: str, graphs: Sequence[Graph], write: Callable[[], tuple[Code, Any]]) -> tuple[Linked, Any]:
    """Return the linked code of graphs, and what was written with it.

    ``purpose`` tells apart what may be made of the same graphs. What cannot be stored is written every time.
    """
    key = _key(purpose, graphs)
    if key and (payload := cache.load(key)):
        try:
            code, (more, modules, own) = code_of_bytes(payload)
            if own == key and link.load(modules):
                return Linked(code), more
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
            pass  # its checksum is right and it is no code: whoever wrote it, it is written anew
    code, more = write()
    result = Linked(code)
    if key and code.constant_bytes() <= MOST_CONSTANTS:
        cache.store(key, code.to_bytes([more, link.homes(code.units), key]))
    return result, more


def _key(purpose: str, graphs: Sequence[Graph]) -> str:
    """Return the key of graphs, or '' where they cannot be stored."""
    made = recipe()
    if made is None or cache.folder() is None:
        return ""
    try:
        parts = [digest(graph) for graph in graphs]
    except Undigestible:
        return ""
    return blake2b(b"".join([purpose.encode(), b"\0", made, *parts]), digest_size=20).hexdigest()
