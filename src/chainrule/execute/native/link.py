"""Kernels and their addresses: equal text is compiled once, whichever program, or earlier process, asked for it.

Kernels that are compiled together form a *module*: one object file, which is stored for the next process too. An
*index* says in which stored module each kernel lies, so that a new network compiles only what no other one had.
"""

from __future__ import annotations

import json
import os
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from chainrule.execute.native import cache, conductor, engine, matmul
from chainrule.execute.native.image import Image, image_of, place
from chainrule.execute.native.recipe import recipe
from chainrule.execute.native.settings import vector_bytes

lock = threading.RLock()
"""Held by the one thread that compiles or links."""
_addresses: dict[str, int] = {}
_libraries: list[engine.Library] = []
_homes: dict[str, str] = {}
"""In which stored module each kernel lies."""

GROUPS = {
    "conductor": ("run", "enter", "train", "work", "words"),
    **{f"products_{dtype}": matmul.units(dtype) for dtype in ("f32", "f64")},
}
"""What is compiled together, once, for all programs."""
_GROUP_OF = {name: group for group, names in GROUPS.items() for name in names}
MOST_INDEXED = 8192
"""The index holds so many kernels at most; the oldest go first."""

if hasattr(os, "register_at_fork"):  # a child must not find LLVM halfway through something that nobody goes on with
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)


def address(name: str) -> int:
    """Return the address of a kernel that was linked, or of a function of the conductor."""
    found = _addresses.get(name)
    return require([name], {})[name] if found is None else found


def require(names: Iterable[str], units: Mapping[str, str]) -> dict[str, int]:
    """Return the addresses of kernels; those not yet compiled in this process are compiled in one go."""
    names = list(names)
    with lock:
        _require_groups([*units, *names])
        missing = [u for u in units if u not in _addresses]
        if missing:
            _find(missing)
            missing = sorted(u for u in missing if u not in _addresses)
        if missing:
            key = _module(missing, lambda: merged([units[u] for u in missing]), thorough=False)
            _remember(missing, key)
        return {name: _addresses[name] for name in names}


def homes(names: Iterable[str]) -> list[str]:
    """Return the keys of the stored modules in which kernels lie; those that belong to all programs are left out."""
    with lock:
        return sorted({_homes[name] for name in names if name not in _GROUP_OF})


def load(keys: Iterable[str]) -> bool:
    """Link stored modules, if they are all there; says whether they were."""
    with lock:
        here = set(_homes.values())
        return all(key in here or _load(key) for key in keys)


def _require_groups(names: Iterable[str]) -> None:
    for group in sorted({_GROUP_OF[u] for u in names if u in _GROUP_OF and u not in _addresses}):
        _module(GROUPS[group], lambda group=group: _group_text(group))  # type: ignore[misc]  # bound as it is now


def _group_text(group: str) -> str:
    if group == "conductor":
        from chainrule.execute.native import words  # which asks this module for addresses

        return merged([conductor.text(), words.text()])
    width = vector_bytes()
    return merged([matmul.unit_text(unit, width) for unit in GROUPS[group]])


def merged(texts: Iterable[str]) -> str:
    """Put texts together: every outside function is declared once, and what is defined here is not declared."""
    declared: dict[str, None] = {}
    defined: list[str] = []
    for text in texts:
        for line in text.splitlines():
            if line.startswith("declare "):
                declared[line] = None
            else:
                defined.append(line)
    here = {line.split("@", 1)[1].split("(", 1)[0] for line in defined if line.startswith("define ")}
    outside = [line for line in declared if line.split("@", 1)[1].split("(", 1)[0] not in here]
    return "\n".join([*outside, *defined]) + "\n"


# --- modules ----------------------------------------------------------------------------------------------------------


def _key(what: bytes, made: bytes | None) -> str:
    return blake2b(what + (made or b""), digest_size=20).hexdigest()


def _module(names: Sequence[str], text: Callable[[], str], thorough: bool = True) -> str:
    """Link a module of these kernels, from the store or newly compiled; returns its key."""
    made = recipe()
    key = _key(b"module " + "\n".join(names).encode(), made)
    if made is not None and _load(key, names):
        return key
    ir = text()
    declared = {line.split("@", 1)[1].split("(", 1)[0] for line in ir.splitlines() if line.startswith("declare ")}
    calls = sorted(u for u in declared if u in _GROUP_OF or u in _addresses)
    data = engine.to_object(ir, thorough)
    image = image_of(data)
    head: list[Any]
    if image is None:
        head, body = [list(names), calls, None], data
    else:
        places = {name: image.symbols[name] for name in names}
        head, body = [list(names), calls, [places, image.cells]], image.code
    try:
        _link(head, body, key)
    except OSError:  # memory for images is not to be had here; LLVM has its own ways
        head, body = [list(names), calls, None], data
        _link(head, body, key)
    if made is not None:
        written = json.dumps(head, separators=(",", ":")).encode()
        cache.store(key, b"".join([len(written).to_bytes(8, "little"), written, body]))
    return key


def _load(key: str, names: Sequence[str] | None = None) -> bool:
    """Link a stored module, of these kernels; says whether it was there. What cannot be linked counts as missing."""
    payload = cache.load(key)
    if payload is None:
        return False
    start = 8 + int.from_bytes(payload[:8], "little")
    try:
        head = json.loads(payload[8:start])
        if names is not None and head[0] != list(names):
            return False
        _link(head, payload[start:], key)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, OSError, RuntimeError, struct.error):
        return False
    return True


def _link(head: Any, body: bytes, key: str) -> None:
    """Put a module into memory: kernels, the kernels of other modules that they call, and the image's tables.

    Without tables it is an object file, which LLVM links.
    """
    names, calls, tables = head
    _require_groups(calls)
    if missing := [name for name in calls if name not in _addresses]:
        _find(missing)
    imports = {name: _addresses[name] for name in calls}
    if tables is None:
        library = engine.Library(body, *names, imports=imports)
        _libraries.append(library)
        found = {name: library.address(name) for name in names}
    else:
        places = place(Image(body, *tables), imports)
        found = {name: places[name] for name in names}
    for name, where in found.items():  # what is known already stays: its address may be in use
        _addresses.setdefault(name, where)
        _homes.setdefault(name, key)


# --- the index --------------------------------------------------------------------------------------------------------


def _index(made: bytes) -> dict[str, str]:
    """Return in which stored module each kernel lies that any process has compiled."""
    payload = cache.load(_key(b"index", made))
    try:
        found = json.loads(payload) if payload else {}
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: key for name, key in found.items() if isinstance(key, str) and cache.is_key(key)}


def _find(names: Iterable[str]) -> None:
    """Link the stored modules in which kernels lie that are not here yet: those with most of them first."""
    made = recipe()
    if made is None:
        return
    index = _index(made)
    where = {name: index[name] for name in names if name in index}
    while where:
        counts = Counter(where.values())
        best = max(counts, key=lambda key: (counts[key], key))
        _load(best)
        where = {name: key for name, key in where.items() if key != best and name not in _addresses}


def _remember(names: Iterable[str], key: str) -> None:
    """Add kernels to the index; where two processes do that at once, one of them does it in vain."""
    made = recipe()
    if made is None or cache.folder() is None:
        return
    index = {**_index(made), **dict.fromkeys(names, key)}
    newest = dict(list(index.items())[-MOST_INDEXED:])
    cache.store(_key(b"index", made), json.dumps(newest, separators=(",", ":")).encode())
