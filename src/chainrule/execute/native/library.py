"""Native kernels that call LAPACK and BLAS, through the pointers that SciPy publishes for compiled code.

A kernel is called with a table of buffers and a table of numbers, in this order: the slot of a and its offset in bytes,
[the slot of b and its offset,] the slot of the result and its offset, n, [the columns of b,] and the routine's address.
The address is a number given at run time, so that stored machine code never holds one.

The library counts a matrix by columns, a graph by rows: what it takes for the upper triangle of aᵀ is the lower one of
a in the same memory, so nothing is transposed.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from chainrule.errors import ExecutionError
from chainrule.execute.native.emit import IR_TYPE, Function, Module

NOT_POSITIVE_DEFINITE = 3
"""The status of a call in which a matrix had no Cholesky factor; 0 is well."""
SINGULAR = 4
"""The status of a call in which a triangular matrix had a 0 on its diagonal."""

ROUTINES = {"cholesky": ("cython_lapack", "potrf"), "solve_triangular": ("cython_blas", "trsm")}
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
    if signature.count(b"int *") < 3 or b"char *" not in signature:  # sizes are passed as pointers to C's int
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
    kernel = _Kernel(f, dtype)
    with f.when(mine):
        if op == "cholesky":
            _cholesky(kernel)
        else:
            _solve_triangular(kernel, transposed)
    f.lines[:0] = kernel.cells
    f.finish()
    return module.text(), ()


class _Kernel:
    """What both kernels are written with: arguments, elements, loops over a matrix, and calls by address."""

    def __init__(self, f: Function, dtype: str) -> None:
        self.f = f
        self.element = IR_TYPE[dtype]
        self.width = 4 if dtype == "f32" else 8
        self.cells: list[str] = []
        self._taken = 0

    def argument(self) -> str:
        """Return the next number of the table."""
        at = self.f.put(f"getelementptr inbounds i64, ptr %args, i64 {self._taken}")
        self._taken += 1
        return self.f.put(f"load i64, ptr {at}, align 8")

    def buffer(self) -> str:
        """Return the address that the next slot and offset stand for."""
        slot, offset = self.argument(), self.argument()
        at = self.f.put(f"getelementptr inbounds ptr, ptr %slots, i64 {slot}")
        base = self.f.put(f"load ptr, ptr {at}, align 8")
        return self.f.put(f"getelementptr i8, ptr {base}, i64 {offset}")

    def cell(self, kind: str, value: str) -> str:
        """Return the address of a local variable that holds a value."""
        name = self.f.name("cell")
        self.cells.append(f"  {name} = alloca {kind}")
        self.f.do(f"store {kind} {value}, ptr {name}")
        return name

    def size(self, number: str) -> str:
        """Return the address of a size as C's int."""
        return self.cell("i32", self.f.put(f"trunc i64 {number} to i32"))

    def letter(self, text: str) -> str:
        return self.cell("i8", str(ord(text)))

    def at(self, base: str, row: str, columns: str, column: str) -> str:
        index = self.f.add(self.f.times(row, columns), column)
        return self.f.put(f"getelementptr inbounds {self.element}, ptr {base}, i64 {index}")

    def load(self, address: str) -> str:
        return self.f.put(f"load {self.element}, ptr {address}, align {self.width}")

    def store(self, value: str, address: str) -> None:
        self.f.do(f"store {self.element} {value}, ptr {address}, align {self.width}")

    def copy(self, source: str, target: str, count: str) -> None:
        with self.f.loop("0", count) as i:
            self.store(self.load(self.at(source, "0", "1", i)), self.at(target, "0", "1", i))

    def fill(self, target: str, count: str, value: str) -> None:
        with self.f.loop("0", count) as i:
            self.store(value, self.at(target, "0", "1", i))

    def call(self, routine: str, *pointers: str) -> None:
        pointer = self.f.put(f"inttoptr i64 {routine} to ptr")
        self.f.do(f"call void {pointer}({', '.join(f'ptr {p}' for p in pointers)})")

    def mark(self, cell: str, condition: str) -> None:
        """Set a flag where a condition holds."""
        before = self.f.put(f"load i1, ptr {cell}")
        after = self.f.put(f"or i1 {before}, {condition}")
        self.f.do(f"store i1 {after}, ptr {cell}")

    def report(self, status: int) -> None:
        at = self.f.put("load ptr, ptr %slots, align 8")
        self.f.do(f"store i64 {status}, ptr {at}, align 8")

    @property
    def nan(self) -> str:
        return "0x7FF8000000000000"


def _leading(k: _Kernel, n: str) -> str:
    """Return the address of a leading dimension, which must be at least 1."""
    empty = k.f.put(f"icmp slt i64 {n}, 1")
    return k.size(k.f.put(f"select i1 {empty}, i64 1, i64 {n}"))


def _cholesky(k: _Kernel) -> None:
    f = k.f
    a, result, n, routine = k.buffer(), k.buffer(), k.argument(), k.argument()
    holds_nan = k.cell("i1", "false")
    with f.loop("0", n) as i, f.loop("0", n) as j:
        below = f.put(f"icmp sle i64 {j}, {i}")
        value = f.put(f"select i1 {below}, {k.element} {k.load(k.at(a, i, n, j))}, {k.element} 0.0")
        k.store(value, k.at(result, i, n, j))
        k.mark(holds_nan, f.put(f"fcmp uno {k.element} {value}, {value}"))
    info = k.cell("i32", "0")
    k.call(routine, k.letter("U"), k.size(n), result, _leading(k, n), info)
    failed = f.put(f"icmp ne i32 {f.put(f'load i32, ptr {info}')}, 0")
    with f.when(failed):
        k.fill(result, f.times(n, n), k.nan)
    numbers = f.put(f"xor i1 {f.put(f'load i1, ptr {holds_nan}')}, true")
    with f.when(f.put(f"and i1 {failed}, {numbers}")):  # NaN goes on as NaN, as the reference has it
        k.report(NOT_POSITIVE_DEFINITE)


def _solve_triangular(k: _Kernel, transposed: bool) -> None:
    f = k.f
    a, b, result, n, columns, routine = (
        k.buffer(), k.buffer(), k.buffer(), k.argument(), k.argument(), k.argument(),
    )  # fmt: skip
    singular = k.cell("i1", "false")
    with f.loop("0", n) as i:
        k.mark(singular, f.put(f"fcmp oeq {k.element} {k.load(k.at(a, i, n, i))}, 0.0"))
    count = f.times(n, columns)
    k.copy(b, result, count)
    # by columns the memory holds xᵀ and bᵀ: xᵀaᵀ = bᵀ is a system solved from the right
    k.call(
        routine, k.letter("R"), k.letter("U"), k.letter("T" if transposed else "N"), k.letter("N"), k.size(columns),
        k.size(n), k.cell(k.element, "1.0"), a, _leading(k, n), result, _leading(k, columns),
    )  # fmt: skip
    with f.when(f.put(f"load i1, ptr {singular}")):
        k.fill(result, count, k.nan)
        k.report(SINGULAR)
