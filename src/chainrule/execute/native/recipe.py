"""What decides which machine code comes out, besides the graph: the other half of a cached object's key.

- chainrule: its version, and the text of every source file that makes graphs or code of them;
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
from functools import cache
from hashlib import blake2b
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np

from chainrule import __version__

FLAGS = ("CHAINRULE_DEBUG", "CHAINRULE_VECTOR_BYTES")
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
    state = blake2b(digest_size=20)
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
    package = str(_PACKAGE)
    parts: list[bytes] = []
    for room in _ROOMS:
        for folder, inside, files in os.walk(_PACKAGE / room):
            inside.sort()
            for name in sorted(f for f in files if f.endswith(".py")):
                path = os.path.join(folder, name)
                with open(path, "rb", buffering=0) as file:
                    if os.fstat(file.fileno()).st_mtime_ns > _loaded:
                        return None
                    text = file.readall()
                parts += [path[len(package) :].replace(os.sep, "/").encode(), text]
    return _hash(*parts) if parts else None


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
