"""What a debug build checks of code that is not written load by load: the reach of products and of library calls.

Before such a function is called, the farthest element that it will touch through each pointer is compared with the
buffer that the pointer is in. Where it lies outside, the function is not called, and the call's status says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b

from chainrule.execute.native import matmul
from chainrule.execute.native.emit import Function, Module
from chainrule.execute.native.frame import KERNEL, OUT_OF_BOUNDS, SIGNATURE, Frame
from chainrule.execute.native.layout import ITEM_BYTES, Extent, Slot

ARGUMENTS = {
    "product": matmul.PRODUCT,
    "multiply": tuple(a for a in matmul.PRODUCT if a != "i64 %m"),
    "columns": matmul.PRODUCT,
    "pack": matmul.PACK,
    "panels": matmul.PACK[:6],
    "turn": ("ptr %a", "i64 %step", "ptr %to", "i64 %length", "i64 %k"),
}
"""The arguments of each function for products, in order. (A kernel's rows, columns or panels are its begin and end.)"""


def checked(
    unit: str, arguments: Sequence[Extent], slots: Sequence[Slot], vector_bytes: int
) -> tuple[str, str, list[Extent]]:
    """Return the name, the text and the arguments of a kernel that calls another if all it touches is in its buffers.

    The arguments are those of the kernel that is called, and after them the size of each buffer in bytes.
    """
    kind, dtype = unit.split("_")
    module = Module()
    module.declare(f"void @{unit}{KERNEL}")
    f = Function(module, f"define void @KERNEL{SIGNATURE}")
    number, given = matmul.reader(f), iter(arguments)
    values: dict[str, str] = {}
    begins: dict[str, str] = {}
    sizes: list[Extent] = []
    for argument in ARGUMENTS[kind]:
        pointer, name = argument.split(" %")
        first = next(given)
        if pointer == "ptr":  # two arguments: its slot, and how many bytes from there
            sizes.append(slots[first.fixed].size * ITEM_BYTES[dtype])
            next(given)
            number()
            begins[name] = number()
        else:
            values[name] = number()
    limits = {name: number() for name in begins}
    if kind in ("multiply", "turn"):
        values["m"] = "%end"
    elif kind == "columns":
        end = f.times("%end", str(matmul.panel_width(dtype, vector_bytes)))
        values["n"] = f.intrinsic("i64", "llvm.smin.i64", ("i64", values["n"]), ("i64", end))
    elif kind == "panels":
        values |= {"first": "%begin", "last": "%end"}
    inside = "true"
    for name, elements in reach(f, kind, values, matmul.panel_width(dtype, vector_bytes)).items():
        end = f.add(begins[name], f.times(elements, str(ITEM_BYTES[dtype])))
        within = f.put(f"icmp sle i64 {end}, {limits[name]}")
        after = f.put(f"icmp sge i64 {begins[name]}, 0")
        inside = f.put(f"and i1 {f.put(f'and i1 {inside}, {within}')}, {after}")
    with f.when(inside):
        f.do(f"call void @{unit}(ptr %slots, ptr %args, i64 %begin, i64 %end)")
    with f.when(f.put(f"xor i1 {inside}, true")):
        status = f.put("load ptr, ptr %slots, align 8")
        f.do(f"store i64 {OUT_OF_BOUNDS}, ptr {status}, align 8")
    f.finish()
    text = module.text()
    name = f"k{blake2b(text.encode(), digest_size=12).hexdigest()}"
    return name, text.replace("@KERNEL(", f"@{name}(", 1), [*arguments, *sizes]


def call_inside(frame: Frame, name: str, arguments: Sequence[str], values: Sequence[str], call: str) -> None:
    """Call a function for products inside another kernel, if all it touches is in its buffers."""
    kind, dtype = name.split("_")
    named = {a.split("%")[1]: v for a, v in zip(arguments, values, strict=True)}
    width = matmul.panel_width(dtype, frame.vector_bytes)
    if_inside(frame, dtype, {named[p]: count for p, count in reach(frame.f, kind, named, width).items()}, call)


def if_inside(frame: Frame, dtype: str, counts: Mapping[str, str], call: str) -> None:
    """Write a call that is made only if so many elements from each address lie in the address's buffer."""
    f = frame.f
    inside = "true"
    for pointer, count in counts.items():
        inside = f.put(f"and i1 {inside}, {frame.holds(pointer, dtype, count)}")
    with f.when(inside):
        f.do(call)
    with f.when(f.put(f"xor i1 {inside}, true")):
        frame.fail(OUT_OF_BOUNDS)


def reach(f: Function, kind: str, v: Mapping[str, str], width: int) -> dict[str, str]:
    """Return how many elements after each pointer a function for products touches, the gaps included."""

    def last(number: str) -> str:
        return f.add(number, "-1")

    def most(a: str, b: str) -> str:
        return f.intrinsic("i64", "llvm.smax.i64", ("i64", a), ("i64", b))

    def at(*terms: tuple[str, str]) -> str:
        """Return 1 + Σ index·stride: the elements up to the last one."""
        total = "1"
        for index, stride in terms:
            total = f.add(total, f.times(index, stride))
        return total

    if kind == "turn":
        return {
            "a": at((last(v["k"]), v["step"]), (last(v["m"]), "1")),
            "to": f.add(f.times(last(v["m"]), v["length"]), v["k"]),
        }
    if kind in ("pack", "panels"):
        end = f.times(v["last"], str(width))
        columns = f.intrinsic("i64", "llvm.smin.i64", ("i64", v["n"]), ("i64", end))
        return {
            "b": at((last(columns), v["bs1"]), (last(v["k"]), v["bs0"])),
            "to": f.times(f.times(v["last"], v["k"]), str(width)),
        }
    blocks = f.put(f"sdiv i64 {last(v['n'])}, {width}")
    left = f.put(f"srem i64 {last(v['n'])}, {width}")
    row = f.times(last(v["k"]), v["bs0"])
    ragged = at((blocks, v["bpanel"]), (left, "1"), (row, "1"))  # the last panel, and the last that is full
    full = at((last(blocks), v["bpanel"]), (str(width - 1), "1"), (row, "1"))
    more = f.put(f"icmp sgt i64 {blocks}, 0")
    return {
        "a": at((last(v["m"]), v["as0"]), (last(v["k"]), v["as1"])),
        "b": f.put(f"select i1 {more}, i64 {most(ragged, full)}, i64 {ragged}"),
        "c": f.add(f.times(last(v["m"]), v["cs0"]), v["n"]),
    }
