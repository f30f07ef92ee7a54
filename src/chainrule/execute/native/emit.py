"""Writing LLVM IR as text: one function at a time, with fresh names, blocks and counted loops.

A text emitter is much faster than building an object for every instruction, and what it writes can be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

IR_TYPE = {"f32": "float", "f64": "double", "i32": "i32", "i64": "i64", "u32": "i32", "u64": "i64", "bool": "i8"}
"""How an element is held in memory; a bool is a byte, as in NumPy."""


@dataclass
class Module:
    """The functions and declarations of one compilation."""

    functions: list[str] = field(default_factory=list)
    declarations: dict[str, None] = field(default_factory=dict)

    def declare(self, text: str) -> None:
        """Declare an outside function or intrinsic once."""
        self.declarations[f"declare {text}"] = None

    def text(self) -> str:
        return "\n".join([*self.declarations, *self.functions]) + "\n"


class Function:
    """One function being written: its lines, and the name of the block that is open."""

    def __init__(self, module: Module, head: str) -> None:
        self.module = module
        self.head = head
        self.lines: list[str] = []
        self.block = "entry"
        self._next = 0

    def name(self, stem: str = "t") -> str:
        """Return a name that is not taken: ``%t7``."""
        self._next += 1
        return f"%{stem}{self._next}"

    def put(self, instruction: str) -> str:
        """Write an instruction with a result; return the result's name."""
        result = self.name()
        self.lines.append(f"  {result} = {instruction}")
        return result

    def do(self, instruction: str) -> None:
        """Write an instruction without a result."""
        self.lines.append(f"  {instruction}")

    def start(self, label: str) -> None:
        """Open a block."""
        self.lines.append(f"{label}:")
        self.block = label

    def label(self, stem: str) -> str:
        self._next += 1
        return f"{stem}{self._next}"

    def intrinsic(self, result: str, name: str, *operands: tuple[str, str]) -> str:
        """Call an intrinsic or outside function, declaring it."""
        self.module.declare(f"{result} @{name}({', '.join(kind for kind, _ in operands)})")
        return self.put(f"call {result} @{name}({', '.join(f'{kind} {value}' for kind, value in operands)})")

    @contextmanager
    def loop(self, begin: str, end: str, step: int = 1) -> Iterator[str]:
        """Count from ``begin`` while less than ``end``; the body may open blocks of its own."""
        head, body, done = self.label("head"), self.label("body"), self.label("done")
        before = self.block
        index, after = self.name("i"), self.name("next")
        self.do(f"br label %{head}")
        self.start(head)
        place = len(self.lines)
        self.lines.append("")  # the phi is written when the last block of the body is known
        more = self.put(f"icmp slt i64 {index}, {end}")
        self.do(f"br i1 {more}, label %{body}, label %{done}")
        self.start(body)
        yield index
        self.do(f"{after} = add nsw i64 {index}, {step}")
        self.do(f"br label %{head}")
        self.lines[place] = f"  {index} = phi i64 [ {begin}, %{before} ], [ {after}, %{self.block} ]"
        self.start(done)

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """Run the body only where an i1 holds."""
        then, done = self.label("then"), self.label("done")
        self.do(f"br i1 {condition}, label %{then}, label %{done}")
        self.start(then)
        yield
        self.do(f"br label %{done}")
        self.start(done)

    def finish(self, result: str = "ret void") -> None:
        """Close the function and hand it to the module."""
        self.do(result)
        self.module.functions.append("\n".join([f"{self.head} {{", "entry:", *self.lines, "}"]))

    # integers -------------------------------------------------------------------------------------------------------

    def add(self, a: str, b: str) -> str:
        if a == "0":
            return b
        if b == "0":
            return a
        if a.lstrip("-").isdigit() and b.lstrip("-").isdigit():
            return str(int(a) + int(b))
        return self.put(f"add nsw i64 {a}, {b}")

    def times(self, a: str, b: str) -> str:
        if "0" in (a, b):
            return "0"
        if a == "1":
            return b
        if b == "1":
            return a
        if a.lstrip("-").isdigit() and b.lstrip("-").isdigit():
            return str(int(a) * int(b))
        return self.put(f"mul nsw i64 {a}, {b}")
