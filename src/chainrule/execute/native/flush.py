"""While a training run is in native code, numbers below the smallest normal one are taken for 0.

A processor takes some hundred cycles for a product whose result or operand is subnormal (below 1.2e-38 in float32). In
training they come in numbers: gradients of rows that are long learned, and the running means of units that are dead.
Adam's update took twice as long for them. So the flags of the processor that take them for 0 are set for as long as a
thread trains, and then set back: nothing else that this thread computes is changed. Predictions and compiled functions
keep them.
"""

from __future__ import annotations

import platform

X86, ARM = ("x86_64", "AMD64"), ("aarch64", "arm64")
FLUSH_TO_ZERO, DENORMALS_ARE_ZERO, ARM_FLUSH = 1 << 15, 1 << 6, 1 << 24


def text(machine: str = "") -> str:
    """Return ``set_flush``, which sets the flags and returns what they were, and ``reset_flush``."""
    machine = machine or platform.machine()
    if machine in X86:
        return _X86.format(flags=FLUSH_TO_ZERO | DENORMALS_ARE_ZERO)
    if machine in ARM:
        return _ARM.format(flags=ARM_FLUSH)
    return _NONE


def flushing(kind: str, name: str, inner: str, kinds: list[str]) -> str:
    """Return a function that calls another of the same arguments with the flags set."""
    parameters = ", ".join(f"{k} %{i}" for i, k in enumerate(kinds))
    call, back = ("", "ret void") if kind == "void" else ("%result = ", f"ret {kind} %result")
    return (
        f"define {kind} @{name}({parameters}) {{\nentry:\n"
        "  %before = call i64 @set_flush()\n"
        f"  {call}call {kind} @{inner}({parameters})\n"
        f"  call void @reset_flush(i64 %before)\n  {back}\n}}"
    )


_X86 = """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
define internal i64 @set_flush() noinline {{
  %cell = alloca i32, align 4
  call void @llvm.x86.sse.stmxcsr(ptr %cell)
  %before = load i32, ptr %cell, align 4
  %with = or i32 %before, {flags}
  store i32 %with, ptr %cell, align 4
  call void @llvm.x86.sse.ldmxcsr(ptr %cell)
  %wide = zext i32 %before to i64
  ret i64 %wide
}}
define internal void @reset_flush(i64 %before) noinline {{
  %cell = alloca i32, align 4
  %narrow = trunc i64 %before to i32
  store i32 %narrow, ptr %cell, align 4
  call void @llvm.x86.sse.ldmxcsr(ptr %cell)
  ret void
}}
"""
_ARM = """
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)
define internal i64 @set_flush() noinline {{
  %before = call i64 @llvm.aarch64.get.fpcr()
  %with = or i64 %before, {flags}
  call void @llvm.aarch64.set.fpcr(i64 %with)
  ret i64 %before
}}
define internal void @reset_flush(i64 %before) noinline {{
  call void @llvm.aarch64.set.fpcr(i64 %before)
  ret void
}}
"""
_NONE = """
define internal i64 @set_flush() { ret i64 0 }
define internal void @reset_flush(i64 %before) { ret void }
"""
