"""Native kernels that call LAPACK and BLAS, through the pointers that SciPy publishes for compiled code.

A kernel is called with a table of buffers and a table of numbers, in this order: the slots of the operands, of the
result and (where the operation needs it) of memory to work in, each with its offset in bytes; the two numbers of the
matrix' or system's size (one for cholesky); and the routine's address. The address is a number given at run time, so
that stored machine code never holds one.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from chainrule.errors import ExecutionError
from chainrule.execute.native import lapack
from chainrule.execute.native.emit import Function, Module

ROUTINES = {
    "cholesky": ("cython_lapack", "potrf"),
    "solve_triangular": ("cython_blas", "trsm"),
    "solve": ("cython_lapack", "gesv"),
    "svd": ("cython_lapack", "gesvd"),
}
"""For each operation the routine that it calls. (LAPACK's trtrs is trsm and a look at the diagonal, but it cannot solve
from the right, which is what equations stored by rows need: it would cost a transposed copy of b.)"""


@cache
def missing() -> str:
    """Return why LAPACK cannot be called here, or ''."""
    try:
        for name in ROUTINES:
            for dtype in ("f32", "f64"):
                address(name, dtype)
    except ImportError as error:
        return (
            f"SciPy, through which native code calls LAPACK, cannot be loaded ({error}); install it: pip install scipy"
        )
    except ExecutionError as error:
        return str(error)
    return ""


@cache
def address(name: str, dtype: str) -> int:
    """Return the address of the routine that an operation calls; raise ExecutionError where SciPy has another one."""
    table, routine = ROUTINES[name]
    letter = {"f32": "s", "f64": "d"}[dtype]
    capsules = _capsules(table)
    capsule = capsules.get(letter + routine)
    if capsule is None:
        raise ExecutionError(
            f"this SciPy publishes no {letter + routine} in scipy.linalg.{table}; install SciPy 1.14 on"
        )
    get_name, get_pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    signature: bytes = get_name(capsule)
    has_letters = routine != "gesv"
    if signature.count(b"int *") < 3 or (b"char *" in signature) != has_letters:  # sizes are pointers to C's int
        raise ExecutionError(f"scipy.linalg.{table}.{letter + routine} takes {signature.decode()}, which is not known")
    return int(get_pointer(capsule, signature))


def _capsules(table: str) -> dict[str, Any]:
    from scipy.linalg import cython_blas, cython_lapack  # type: ignore[import-untyped, unused-ignore]

    module: Any = cython_blas if table == "cython_blas" else cython_lapack
    found: dict[str, Any] = module.__pyx_capi__
    return found


def kernel_text(op: str, dtype: str, name: str, transposed: bool = False) -> tuple[str, tuple[str, ...]]:
    """Return the text of an operation's kernel, and the outside functions that it must be linked with (none).

    The kernel is ``void NAME(ptr slots, ptr args, i64 begin, i64 end)``. It is one piece of work, number 0: it does
    nothing unless ``begin <= 0 < end``. A status other than 0 goes to the integer that the first slot points to.
    """
    module = Module()
    f = Function(module, f"define void @{name}(ptr %slots, ptr %args, i64 %begin, i64 %end)")
    first, more = f.put("icmp sle i64 %begin, 0"), f.put("icmp sgt i64 %end, 0")
    mine = f.put(f"and i1 {first}, {more}")
    kernel = lapack.Kernel(f, dtype)
    with f.when(mine):
        lapack.write(kernel, op, transposed)
    f.lines[:0] = kernel.cells
    f.finish()
    return module.text(), ()
