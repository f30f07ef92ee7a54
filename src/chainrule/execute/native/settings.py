"""What decides how code is written on this machine, besides the graph: the width of vectors, and debugging."""

from __future__ import annotations

import os

from chainrule.execute.native import engine


def vector_bytes() -> int:
    """Return the width of this machine's vectors."""
    width: int = engine.known_host()["vector_bytes"]
    return width


def debugging() -> bool:
    """Is ``CHAINRULE_DEBUG=1`` set? Then every address is checked, and memory is poisoned before it is used."""
    return os.environ.get("CHAINRULE_DEBUG", "") not in ("", "0")
