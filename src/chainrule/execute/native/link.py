"""Kernels and their addresses: equal text is compiled once a process, whichever program asked for it.

Kernels that are compiled together form a *module*: one object file, which is stored for the next process too.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b

from chainrule.execute.native import cache, conductor, engine, matmul
from chainrule.execute.native.recipe import recipe
from chainrule.execute.native.settings import vector_bytes

_lock = threading.RLock()
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


def address(name: str) -> int:
    """Return the address of a kernel that was linked, or of a function of the conductor."""
    found = _addresses.get(name)
    return require([name], {})[name] if found is None else found


def require(names: Iterable[str], units: Mapping[str, str]) -> dict[str, int]:
    """Return the addresses of kernels; those not yet compiled in this process are compiled in one go."""
    names = list(names)
    with _lock:
        _require_groups([*units, *names])
        missing = sorted(u for u in units if u not in _addresses)
        if missing:
            _module(missing, lambda: merged([units[u] for u in missing]))
        return {name: _addresses[name] for name in names}


def homes(names: Iterable[str]) -> list[str]:
    """Return the keys of the stored modules in which kernels lie; those that belong to all programs are left out."""
    with _lock:
        return sorted({_homes[name] for name in names if name not in _GROUP_OF})


def load(keys: Iterable[str]) -> bool:
    """Link stored modules, if they are all there; says whether they were."""
    with _lock:
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


def _module(names: Sequence[str], text: Callable[[], str]) -> None:
    """Link a module of these kernels, from the store or newly compiled."""
    made = recipe()
    key = blake2b(b"module" + (made or b"") + "\n".join(names).encode(), digest_size=20).hexdigest()
    if made is not None and _load(key):
        return
    ir = text()
    calls = [u for u in _GROUP_OF if u not in names and f"@{u}(" in ir]
    image = engine.to_object(ir)
    _link(names, image, calls, key)
    if made is not None:
        head = json.dumps([list(names), calls]).encode()
        cache.store(key, b"".join([len(head).to_bytes(8, "little"), head, image]))


def _load(key: str) -> bool:
    payload = cache.load(key)
    if payload is None:
        return False
    start = 8 + int.from_bytes(payload[:8], "little")
    names, calls = json.loads(payload[8:start])
    _link(names, payload[start:], calls, key)
    return True


def _link(names: Sequence[str], image: bytes, calls: Iterable[str], key: str) -> None:
    calls = list(calls)
    _require_groups(calls)
    library = engine.Library(image, *names, imports={name: _addresses[name] for name in calls})
    _libraries.append(library)
    for name in names:
        _addresses[name] = library.address(name)
        _homes[name] = key
