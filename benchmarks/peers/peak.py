"""The most that the cores can do: independent chains of multiply-and-add on full vectors, and nothing else.

Not a peer: shares of the peak are measured by it. The code is made by LLVM, so that no C compiler is needed.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from time import perf_counter
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numpy as np

from benchmarks.peers.trainer import Array, Trainer
from benchmarks.workloads import Workload

CHAINS = 12
"""So many sums at once hide the latency of a multiply-and-add, and fit into 16 registers."""
TURNS = 500_000
LONGEST = 0.2
"""Seconds that one measurement takes at most."""


def version() -> str:
    return str(llvmlite.__version__)


def forms(work: Workload, threads: int) -> dict[str, Callable[[], Trainer]]:
    return {"fma": lambda: Peak(work, threads)}


class Peak(Trainer):
    """Floating point operations a second, on so many threads."""

    def __init__(self, work: Workload, threads: int) -> None:
        super().__init__(work)
        self.threads = threads
        features = llvm.get_host_cpu_features()
        self.lanes = 16 if features.get("avx512f") else 8 if features.get("avx2") else 4
        self.library, self.loop = _load(_text(self.lanes))
        self.amount = 2.0 * CHAINS * self.lanes * TURNS * threads

    def unit(self, number: int) -> None:
        outs = [np.zeros(CHAINS * self.lanes, np.float32) for _ in range(self.threads)]
        helpers = [threading.Thread(target=self.loop, args=(o.ctypes.data, TURNS)) for o in outs[1:]]
        for helper in helpers:
            helper.start()
        self.loop(outs[0].ctypes.data, TURNS)
        for helper in helpers:
            helper.join()

    def result(self) -> Array:
        return np.zeros(0)

    def rate(self, seconds: float) -> float:
        """The best of many short runs: a peak is what nothing disturbed."""
        best, begin = 0.0, perf_counter()
        while perf_counter() - begin < min(seconds, LONGEST):
            start = perf_counter()
            self.unit(0)
            best = max(best, self.amount / (perf_counter() - start))
        return best


def _text(lanes: int) -> str:
    vector = f"<{lanes} x float>"
    splat = f"{vector} splat (float 0x3FEFFFFFE0000000)"
    starts = [f"  %a{i} = phi {vector} [ zeroinitializer, %entry ], [ %b{i}, %loop ]" for i in range(CHAINS)]
    steps = [f"  %b{i} = call {vector} @llvm.fma.v{lanes}f32({vector} %a{i}, {splat}, {splat})" for i in range(CHAINS)]
    stores = []
    for i in range(CHAINS):
        stores.append(f"  %p{i} = getelementptr float, ptr %out, i64 {i * lanes}")
        stores.append(f"  store {vector} %b{i}, ptr %p{i}, align 4")
    return "\n".join([
        f"declare {vector} @llvm.fma.v{lanes}f32({vector}, {vector}, {vector})",
        "define void @peak(ptr %out, i64 %turns) {",
        "entry:",
        "  br label %loop",
        "loop:",
        "  %n = phi i64 [ 0, %entry ], [ %m, %loop ]",
        *starts,
        *steps,
        "  %m = add i64 %n, 1",
        "  %more = icmp ult i64 %m, %turns",
        "  br i1 %more, label %loop, label %done",
        "done:",
        *stores,
        "  ret void",
        "}",
    ])  # fmt: skip


def _load(text: str) -> tuple[Any, Callable[[int, int], None]]:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        opt=2, cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), jit=True
    )
    code = machine.emit_object(llvm.parse_assembly(text))
    engine = llvm.create_lljit_compiler(machine)
    library = llvm.JITLibraryBuilder().add_object_img(code).export_symbol("peak").link(engine, "peak")
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(library["peak"])
    return (engine, library), function
