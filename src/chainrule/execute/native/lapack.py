"""What the kernels that call LAPACK and BLAS do around a call: copies, turned matrices, signs, NaN and status.

The library counts a matrix by columns, a graph by rows: what it takes for the upper triangle of aᵀ is the lower one of
a in the same memory, so where triangles are all, nothing is transposed.
"""

from __future__ import annotations

from collections.abc import Callable

from chainrule.execute.native.emit import IR_TYPE, Function

NOT_POSITIVE_DEFINITE = 3
"""The status of a call in which a matrix had no Cholesky factor; 0 is well."""
SINGULAR = 4
"""The status of a call in which a system had no single solution: a triangular matrix had a 0 on its diagonal, say."""
NOT_CONVERGED = 7
"""The status of a call in which LAPACK found no singular values."""


def write(k: Kernel, op: str, transposed: bool) -> None:
    """Write what an operation's kernel does."""
    if op == "cholesky":
        _cholesky(k)
    elif op == "svd":
        _svd(k)
    else:
        (_solve_triangular if op == "solve_triangular" else _solve)(k, transposed)


def work_size(op: str, shape: tuple[int, int]) -> int:
    """Return how many elements of memory to work in a kernel needs (0 is none), by a matrix' or right side's shape."""
    m, n = shape
    if op == "solve":  # a, b and the exchanges of rows
        return m * m + m * n + m + 1
    if op == "svd":  # a, v, and twice what gesvd asks for at least
        k = min(m, n)
        return m * n + n * k + 2 * max(3 * k + max(m, n), 5 * k) + 1
    return 0


class Kernel:
    """What all kernels are written with: arguments, elements, loops over a matrix, and calls by address."""

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

    def turn(self, source: str, target: str, rows: str, columns: str) -> None:
        """Copy a matrix of so many rows and columns to its transposed."""
        with self.f.loop("0", rows) as i, self.f.loop("0", columns) as j:
            self.store(self.load(self.at(source, i, columns, j)), self.at(target, j, rows, i))

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


def _leading(k: Kernel, n: str) -> str:
    """Return the address of a leading dimension, which must be at least 1."""
    empty = k.f.put(f"icmp slt i64 {n}, 1")
    return k.size(k.f.put(f"select i1 {empty}, i64 1, i64 {n}"))


def _cholesky(k: Kernel) -> None:
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


def _solve_triangular(k: Kernel, transposed: bool) -> None:
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


def _solve(k: Kernel, transposed: bool) -> None:
    f = k.f
    a, b, result, work = k.buffer(), k.buffer(), k.buffer(), k.buffer()
    n, columns, routine = k.argument(), k.argument(), k.argument()
    own, right = work, k.at(work, n, n, "0")
    exchanges = k.at(right, n, columns, "0")
    with f.loop("0", n) as i, f.loop("0", n) as j:  # by columns: a itself, or aᵀ, which lies there as it is
        k.store(k.load(k.at(a, i, n, j)), k.at(own, i, n, j) if transposed else k.at(own, j, n, i))
    k.turn(b, right, n, columns)
    info = k.cell("i32", "0")
    size = _leading(k, n)
    k.call(routine, k.size(n), k.size(columns), own, size, exchanges, right, size, info)
    k.turn(right, result, columns, n)
    with f.when(f.put(f"icmp ne i32 {f.put(f'load i32, ptr {info}')}, 0")):
        k.fill(result, f.times(n, columns), k.nan)
        k.report(SINGULAR)


def _svd(k: Kernel) -> None:
    """Decompose aᵀ, which lies in the memory of a: its U is V here, and its Vᵀ by columns is U by rows."""
    f = k.f
    a, result, work = k.buffer(), k.buffer(), k.buffer()
    m, n, routine = k.argument(), k.argument(), k.argument()
    count = f.intrinsic("i64", "llvm.smin.i64", ("i64", m), ("i64", n))
    whole = f.times(m, n)
    v = k.at(work, whole, "1", "0")
    more = k.at(v, n, count, "0")
    values, vectors = k.at(result, m, count, "0"), k.at(result, f.put(f"add i64 {m}, 1"), count, "0")
    fine = k.cell("i1", "true")
    k.copy(a, work, whole)
    with f.loop("0", whole) as i:
        value = k.load(k.at(work, i, "1", "0"))
        kind = "f32" if k.element == "float" else "f64"
        size = f.intrinsic(k.element, f"llvm.fabs.{kind}", (k.element, value))
        before = f.put(f"load i1, ptr {fine}")
        number = f.put(f"fcmp olt {k.element} {size}, 0x7FF0000000000000")
        f.do(f"store i1 {f.put(f'and i1 {before}, {number}')}, ptr {fine}")
    some = f.put(f"icmp sgt i64 {count}, 0")
    finite = f.put(f"load i1, ptr {fine}")
    rows = f.put(f"add i64 {f.put(f'add i64 {m}, {n}')}, 1")
    with f.when(f.put(f"xor i1 {finite}, true")):
        k.fill(result, f.times(rows, count), k.nan)
    info = k.cell("i32", "0")
    with f.when(f.put(f"and i1 {some}, {finite}")):
        largest = f.intrinsic("i64", "llvm.smax.i64", ("i64", m), ("i64", n))
        one = f.put(f"add i64 {f.put(f'mul i64 {count}, 3')}, {largest}")
        other = f.put(f"mul i64 {count}, 5")
        length = f.put(f"shl i64 {f.intrinsic('i64', 'llvm.smax.i64', ('i64', one), ('i64', other))}, 1")
        k.call(
            routine, k.letter("S"), k.letter("S"), k.size(n), k.size(m), work, k.size(n), values, v, k.size(n), result,
            k.size(count), more, k.size(length), info,
        )  # fmt: skip
        k.turn(v, vectors, count, n)
        with f.loop("0", count) as column:
            _positive(k, result, vectors, (m, n, count), column)
        with f.when(f.put(f"icmp ne i32 {f.put(f'load i32, ptr {info}')}, 0")):
            k.fill(result, f.times(rows, count), k.nan)
            k.report(NOT_CONVERGED)


def _positive(k: Kernel, u: str, v: str, sizes: tuple[str, str, str], column: str) -> None:
    """Turn the signs of a pair of vectors, so that the first large element of u is positive."""
    f = k.f
    m, n, count = sizes
    kind = "f32" if k.element == "float" else "f64"
    largest, first, found = k.cell(k.element, "0.0"), k.cell(k.element, "0.0"), k.cell("i1", "false")

    def each(body: Callable[[str, str], None]) -> None:
        with f.loop("0", m) as i:
            value = k.load(k.at(u, i, count, column))
            body(value, f.intrinsic(k.element, f"llvm.fabs.{kind}", (k.element, value)))

    def larger(value: str, size: str) -> None:
        before = f.put(f"load {k.element}, ptr {largest}")
        more = f.put(f"fcmp ogt {k.element} {size}, {before}")
        f.do(f"store {k.element} {f.put(f'select i1 {more}, {k.element} {size}, {k.element} {before}')}, ptr {largest}")

    def take(value: str, size: str) -> None:
        half = f.put(f"fmul {k.element} {f.put(f'load {k.element}, ptr {largest}')}, 5.0e-01")
        large = f.put(f"fcmp oge {k.element} {size}, {half}")
        before = f.put(f"load i1, ptr {found}")
        taken = f.put(f"and i1 {large}, {f.put(f'xor i1 {before}, true')}")
        before = f.put(f"load {k.element}, ptr {first}")
        f.do(f"store {k.element} {f.put(f'select i1 {taken}, {k.element} {value}, {k.element} {before}')}, ptr {first}")
        k.mark(found, taken)

    each(larger)
    each(take)
    negative = f.put(f"fcmp olt {k.element} {f.put(f'load {k.element}, ptr {first}')}, 0.0")
    with f.when(negative):
        for base, length in ((u, m), (v, n)):
            with f.loop("0", length) as i:
                at = k.at(base, i, count, column)
                k.store(f.put(f"fneg {k.element} {k.load(at)}"), at)
