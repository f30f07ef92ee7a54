"""LLVM: from IR text to an object file to functions that can be called. The only importer of llvmlite."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from hashlib import blake2b
from typing import Any

from chainrule.execute.native import cache as cache_of_code
from chainrule.execute.native.recipe import recipe

WIDE_FEATURES = ("avx512f", "avx512bw", "avx512vl", "avx512dq")
"""What a CPU must have for vectors of 64 bytes: masks on bytes and on shorter vectors too."""

HOST = {"cpu": str, "features": str, "vector_bytes": int, "fma": bool}

LLVM_WITH_OPTION = 20, 22
"""Versions of LLVM that are known to have the option -disable-lsr."""


@cache
def missing() -> str:
    """Return why this machine cannot run native code, or ''."""
    try:
        known = known_host()
    except (ImportError, OSError) as error:
        return f"llvmlite cannot be loaded ({error})"
    return "" if known["fma"] else f"this CPU ({known['cpu']}) has no fused multiply-add"


@cache
def known_host() -> dict[str, Any]:
    """Return what ``host`` says, from the cache where LLVM is not loaded.

    Loading LLVM takes longer than everything else, and who finds all code stored does not need it. The recipe tells
    this very library and this CPU from all others, so what is stored under it was found by loading it here.
    """
    made = recipe()
    if made is None:
        return host()
    key = blake2b(b"host" + made, digest_size=20).hexdigest()
    if "llvmlite" not in sys.modules and (payload := cache_of_code.load(key)):
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            found = json.loads(payload)
            if found["vector_bytes"] in (16, 32, 64):
                return {name: kind(found[name]) for name, kind in HOST.items()}
    asked = host()
    cache_of_code.store(key, json.dumps(asked).encode())
    return asked


@cache
def target_machine() -> Any:
    """Return the machine that this process runs on; code is made for its CPU and no other."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = host()["features"]
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        opt=1, cpu=llvm.get_host_cpu_name(), features=features, reloc="pic", codemodel="small", jit=True
    )


@cache
def host() -> dict[str, Any]:
    """Return what decides how code is made: CPU name, features, and the width of a vector in bytes.

    ``CHAINRULE_VECTOR_BYTES`` (16, 32 or 64) asks for narrower vectors than the CPU has: for tests of those paths.
    """
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    width = 64 if all(features.get(name) for name in WIDE_FEATURES) else 32 if features.get("avx2") else 16
    fused = bool(features.get("fma")) or not llvm.get_default_triple().startswith(("x86", "i"))
    asked = os.environ.get("CHAINRULE_VECTOR_BYTES", "")
    if asked in ("16", "32") and int(asked) < width:
        width = int(asked)
        for name in [n for n in features if n.startswith(("avx512", "evex512", "avx10"))]:
            features[name] = False
    return {"cpu": llvm.get_host_cpu_name(), "features": features.flatten(), "vector_bytes": width, "fma": fused}


def to_object(text: str, thorough: bool = True) -> bytes:
    """Compile IR text to an object file; where that need not be ``thorough``, in half the time."""
    import llvmlite.binding as llvm

    machine = target_machine()
    module = llvm.parse_assembly(text)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    module.verify()
    with nullcontext() if thorough else _without_strength_reduction():
        return bytes(machine.emit_object(module))


@contextmanager
def _without_strength_reduction() -> Iterator[None]:
    """Leave out a pass that takes 45 % of the time: the kernels' addresses are simple as they are written.

    The option is the whole process's, so it holds for the time of one compilation only. It is asked for in versions of
    LLVM that have it: where an option is unknown, LLVM ends the process.
    """
    import llvmlite.binding as llvm

    if not LLVM_WITH_OPTION[0] <= llvm.llvm_version_info[0] <= LLVM_WITH_OPTION[1]:
        yield
        return
    llvm.set_option("", "-disable-lsr")
    try:
        yield
    finally:
        llvm.set_option("", "-disable-lsr=false")


@cache
def _jit() -> Any:
    import llvmlite.binding as llvm

    target_machine()
    return llvm.create_lljit_compiler(target_machine())


_count = 0


class Library:
    """A linked object file; keep it as long as its functions are called."""

    def __init__(self, image: bytes, *symbols: str, imports: Mapping[str, int] | None = None) -> None:
        import llvmlite.binding as llvm

        global _count
        _count += 1
        builder = llvm.JITLibraryBuilder().add_object_img(image).add_current_process()
        for name, address in (imports or {}).items():
            builder = builder.import_symbol(name, address)
        for symbol in symbols:
            builder = builder.export_symbol(symbol)
        self._tracker = builder.link(_jit(), f"chainrule{_count}")

    def address(self, symbol: str) -> int:
        return int(self._tracker[symbol])
