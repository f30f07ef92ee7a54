"""What decides which machine code comes out, besides the graph: the other half of a cached object's key.

- chainrule: its version, and the text of every source file that makes graphs or code of them (read once: what was
  found is kept in the cache, under what the file system says about these files);
- NumPy's version, since constants are folded by NumPy;
- llvmlite: its version and the size of its LLVM library, looked up in its folder, so that it need not be imported;
- the machine: operating system, architecture, pointer size, CPU model and every feature of it that the kernel lets
  programs use (an instruction that a CPU lacks ends the process, so other features are another recipe);
- the flags ``CHAINRULE_DEBUG`` and ``CHAINRULE_VECTOR_BYTES``, and the width of a vector where one was asked for.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import blake2b
from importlib.machinery import PathFinder
from pathlib import Path
from typing import NamedTuple

import numpy as np

from chainrule import __version__
from chainrule.execute.native import cache as cache_of_code

FLAGS = ("CHAINRULE_DEBUG", "CHAINRULE_VECTOR_BYTES")
_SIZE = 20
_JUST_NOW = 5 * 10**9
_loaded = time.time_ns()
_PACKAGE = Path(__file__).parents[2]
_ROOMS = ("calculus", "execute", "graph", "ops")
_CPU_FIELDS = (
    b"vendor_id", b"cpu family", b"model", b"model name", b"stepping", b"flags",
    b"CPU implementer", b"CPU architecture", b"CPU variant", b"CPU part", b"CPU revision", b"Features",
)  # fmt: skip


def recipe(vector_bytes: int = 0) -> bytes | None:
    """Return 20 bytes that differ wherever other machine code could come of the same graph.

    ``vector_bytes`` is a width of vectors that was asked for; 0 is the one that the CPU's features give. None is said
    where it cannot be told what made the code: then nothing may be loaded or stored.
    """
    fixed = _fixed()
    if fixed is None:
        return None
    flags = [os.environ.get(name, "").encode("utf-8", "surrogateescape") for name in FLAGS]
    return _hash(fixed, *flags, b"%d" % vector_bytes)


def _hash(*parts: bytes) -> bytes:
    state = blake2b(digest_size=_SIZE)
    for part in parts:
        state.update(b"%d:%b" % (len(part), part))
    return state.digest()


@cache
def _fixed() -> bytes | None:
    """Return the part of the recipe that no process outlives."""
    try:
        sources, compiler = _sources(), _compiler()
    except OSError:
        return None
    if sources is None or compiler is None:
        return None
    return _hash(b"chainrule recipe 1", __version__.encode(), sources, np.__version__.encode(), compiler, _machine())


def _sources() -> bytes | None:
    """Return a hash of all source files; None where there are none, or one is newer than what this process runs.

    An edit under a running process would otherwise give the old code the new code's key.
    """
    files = [_Source(path, os.stat(path)) for room in _ROOMS for path in sorted(_python_files(str(_PACKAGE / room)))]
    if not files or any(file.about.st_mtime_ns > _loaded for file in files):
        return None
    memo = _memo_key(files)
    known = cache_of_code.load(memo) if memo else None
    if known is not None and len(known) == _SIZE:
        return known
    parts: list[bytes] = []
    for file in files:
        with open(file.path, "rb", buffering=0) as source:
            if os.fstat(source.fileno()).st_mtime_ns > _loaded:
                return None
            parts += [file.name, source.readall()]
    found = _hash(*parts)
    if memo:
        cache_of_code.store(memo, found)
    return found


class _Source(NamedTuple):
    """A source file, and what the system says about it."""

    path: str
    about: os.stat_result

    @property
    def name(self) -> bytes:
        return self.path[len(str(_PACKAGE)) :].replace(os.sep, "/").encode()


def _python_files(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                yield entry.path
            elif entry.name != "__pycache__" and entry.is_dir():
                yield from _python_files(entry.path)


def _memo_key(files: Sequence[_Source]) -> str:
    """Return the key under which the hash of these very files is kept, or '' where it cannot be trusted.

    Whatever is written to a file, its time of change moves on, and nothing can set that back. A file that was changed
    just now is not trusted: another change might have the same time. Windows has no such time.
    """
    if os.name == "nt" or any(abs(time.time_ns() - file.about.st_ctime_ns) < _JUST_NOW for file in files):
        return ""
    facts = [
        b"%d %d %d %d %d" % (a.st_dev, a.st_ino, a.st_size, a.st_mtime_ns, a.st_ctime_ns)
        for a in (file.about for file in files)
    ]
    return _hash(b"sources", str(_PACKAGE).encode("utf-8", "surrogateescape"), *facts).hex()


def _compiler() -> bytes | None:
    """Return what tells one llvmlite from another, without importing it (15 ms; its metadata would take 18 ms)."""
    module = sys.modules.get("llvmlite")
    spec = PathFinder.find_spec("llvmlite") if module is None else module.__spec__
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    libraries = [
        entry for entry in os.scandir(folder / "binding") if entry.name.startswith(("libllvmlite", "llvmlite."))
    ]
    if not libraries:
        return None
    sizes = sorted(f"{entry.name} {entry.stat().st_size}" for entry in libraries)
    return _hash((folder / "_version.py").read_bytes(), *(s.encode() for s in sizes))


def _machine() -> bytes:
    """Return what tells this machine from one that runs other code."""
    parts = [sys.platform.encode(), b"%d" % struct.calcsize("P"), sys.byteorder.encode()]
    known = _linux_cpu() if sys.platform == "linux" else None
    if known is None:  # the sure way, which costs an import of llvmlite
        from chainrule.execute.native.engine import host

        known = [str(item).encode() for item in sorted(host().items())]
    return _hash(*parts, *known)


def _linux_cpu() -> list[bytes] | None:
    """Return architecture, model and features as the kernel lists them; None where that is not the whole truth."""
    architecture = os.uname().machine
    if architecture not in ("x86_64", "aarch64"):
        return None
    try:
        with open("/proc/cpuinfo", "rb", buffering=0) as file:
            text = file.read(1 << 14) or b""  # the first of many blocks that on x86 say the same
            if architecture == "aarch64" or b"\n\n" not in text:
                text += file.readall()  # cores may differ: big ones and little ones
    except OSError:
        return None
    if architecture == "x86_64":
        text = text.partition(b"\n\n")[0]
    fields = {line.strip() for line in text.split(b"\n") if line.partition(b":")[0].strip() in _CPU_FIELDS}
    if not any(field.startswith((b"flags", b"Features")) for field in fields):
        return None
    return [architecture.encode(), *sorted(fields)]
