"""Kernels and their addresses: equal text is compiled once a process, whichever program asked for it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from hashlib import blake2b

from chainrule.execute.native import conductor, engine, matmul

_lock = threading.RLock()
_addresses: dict[str, int] = {}
_libraries: list[engine.Library] = []
_homes: dict[str, str] = {}
"""In which module each kernel lies: the key under which it is stored."""

GROUPS = {
    "conductor": ("run", "train", "work", "words"),
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
        groups = {_GROUP_OF[u] for u in [*units, *names] if u in _GROUP_OF and u not in _addresses}
        for group in sorted(groups):
            _compile(GROUPS[group], _group_text(group), imports={})
        missing = sorted(u for u in units if u not in _addresses)
        if missing:
            text = merged([units[u] for u in missing])
            called = {u: _addresses[u] for u in _GROUP_OF if u in _addresses and f"@{u}(" in text}
            _compile(missing, text, called)
        return {name: _addresses[name] for name in names}


def _group_text(group: str) -> str:
    if group == "conductor":
        from chainrule.execute.native import words  # which asks this module for addresses

        return merged([conductor.text(), words.text()])
    width = engine.host()["vector_bytes"]
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


def _compile(names: Iterable[str], text: str, imports: Mapping[str, int]) -> None:
    names = list(names)
    image = engine.to_object(text)
    key = blake2b("\n".join(names).encode(), digest_size=16).hexdigest()
    _register(names, image, imports, key)


def _register(names: Iterable[str], image: bytes, imports: Mapping[str, int], key: str) -> None:
    names = list(names)
    library = engine.Library(image, *names, imports=imports)
    _libraries.append(library)
    for name in names:
        _addresses[name] = library.address(name)
        _homes[name] = key
