"""While a training run is in native code, numbers below the smallest normal one are taken for 0.

A processor takes some hundred cycles for a product whose result or operand is subnormal (below 1.2e-38 in float32). In
training they come in numbers: gradients of rows that are long learned, and the running means of units that are dead.
Adam's update took twice as long for them. So the flags of the processor that take them for 0 are set for as long as a
thread trains, and then set back: nothing else that this thread computes is changed. A thread that helps with a kernel
takes on the flags of the one that shares it out. Predictions and compiled functions keep subnormal numbers.
"""

from __future__ import annotations

import platform

X86, ARM = ("x86_64", "AMD64"), ("aarch64", "arm64")
FLUSH_TO_ZERO, DENORMALS_ARE_ZERO, ARM_FLUSH = 1 << 15, 1 << 6, 1 << 24


def text(machine: str = "") -> str:
    """Return ``get_mode``, the register of the flags, and ``set_mode``, for a kind of processor (this one's)."""
    machine = machine or platform.machine()
    return _X86 if machine in X86 else _ARM if machine in ARM else _NONE


def keeping(kind: str, name: str, inner: str, kinds: list[str], flags: int = 0) -> str:
    """Return a function that calls another of the same arguments with some flags set, and then puts them back."""
    parameters = ", ".join(f"{k} %{i}" for i, k in enumerate(kinds))
    call, back = ("", "ret void") if kind == "void" else ("%result = ", f"ret {kind} %result")
    return (
        f"define {kind} @{name}({parameters}) {{\nentry:\n"
        "  %before = call i64 @get_mode()\n"
        f"  %with = or i64 %before, {flags}\n"
        "  call void @set_mode(i64 %with)\n"
        f"  {call}call {kind} @{inner}({parameters})\n"
        f"  call void @set_mode(i64 %before)\n  {back}\n}}"
    )


def flags(machine: str = "") -> int:
    """Return the flags that take subnormal numbers for 0."""
    machine = machine or platform.machine()
    return FLUSH_TO_ZERO | DENORMALS_ARE_ZERO if machine in X86 else ARM_FLUSH if machine in ARM else 0


_X86 = """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
define internal i64 @get_mode() noinline {
  %cell = alloca i32, align 4
  call void @llvm.x86.sse.stmxcsr(ptr %cell)
  %mode = load i32, ptr %cell, align 4
  %wide = zext i32 %mode to i64
  ret i64 %wide
}
define internal void @set_mode(i64 %mode) noinline {
  %cell = alloca i32, align 4
  %narrow = trunc i64 %mode to i32
  store i32 %narrow, ptr %cell, align 4
  call void @llvm.x86.sse.ldmxcsr(ptr %cell)
  ret void
}
"""
_ARM = """
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)
define internal i64 @get_mode() noinline {
  %mode = call i64 @llvm.aarch64.get.fpcr()
  ret i64 %mode
}
define internal void @set_mode(i64 %mode) noinline {
  call void @llvm.aarch64.set.fpcr(i64 %mode)
  ret void
}
"""
_NONE = """
define internal i64 @get_mode() { ret i64 0 }
define internal void @set_mode(i64 %mode) { ret void }
"""
