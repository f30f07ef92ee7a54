"""Images: object files laid out for memory, so that a later process needs no linker, and not LLVM at all.

Loading LLVM's library takes a hundred times as long as putting an image into memory. What kernels consist of is little:
code, constants, calls and reads at a distance from the instruction, and a few outside functions, each reached through
a cell that holds its address. An object file that has anything else, or is of another kind than ELF for x86-64, has no
image; LLVM's own linker takes it.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QIIq")
_DISTANCE = struct.Struct("<i")
_CELL = struct.Struct("<Q")
_RELOCATABLE, _X86_64 = 1, 62
_CONTENT, _SYMBOLS, _RELOCATIONS = 1, 2, 4
_ALLOCATED, _WRITABLE, _THREAD = 2, 1, 0x400
_PC32, _PLT32, _GOTPCREL, _GOTPCRELX, _REX_GOTPCRELX = 2, 4, 9, 41, 42
_STUB = b"\xff\x25"
"""jmp *cell(%rip)"""


class Image(NamedTuple):
    """Code that may lie anywhere: where its functions begin, and in which cells it wants which addresses."""

    code: bytes
    symbols: Mapping[str, int]
    cells: Mapping[str, int]


class _Section(NamedTuple):
    name: str
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    align: int


class _Unlike(Exception):
    """The object file has something that images have not."""


def image_of(data: bytes) -> Image | None:
    """Return an object file as an image, or None where it has none."""
    if sys.platform != "linux":
        return None
    try:
        return _image_of(data)
    except (_Unlike, struct.error, IndexError, ValueError):
        return None


def _image_of(data: bytes) -> Image:
    sections = _sections(data)
    code, places = bytearray(), {}
    for number, section in enumerate(sections):
        if not section.flags & _ALLOCATED or section.name == ".eh_frame":
            continue
        if section.kind != _CONTENT or section.flags & (_WRITABLE | _THREAD) or section.align > mmap.PAGESIZE:
            raise _Unlike(section.name)
        code += bytes(-len(code) % max(section.align, 1))
        places[number] = len(code)
        code += data[section.offset : section.offset + section.size]
    table = next(s for s in sections if s.kind == _SYMBOLS)
    names = _text(data, sections[table.link])
    known: list[tuple[str, int | None]] = []
    for name, _, _, home, value, _ in _SYMBOL.iter_unpack(data[table.offset : table.offset + table.size]):
        known.append((names(name), places[home] + value if home in places else None))
    cells: dict[str, int] = {}
    stubs: dict[str, int] = {}
    for place, kind, (name, target), addend in _relocations(data, sections, places, known):
        if target is None:
            if not name:
                raise _Unlike("a value that has no place")
            if name not in cells:
                code += bytes(-len(code) % _CELL.size)
                cells[name] = len(code)
                code += bytes(_CELL.size)
            if kind == _PLT32:
                if name not in stubs:
                    stubs[name] = len(code)
                    code += _STUB + _DISTANCE.pack(cells[name] - (len(code) + len(_STUB) + _DISTANCE.size))
                target = stubs[name]
            elif kind in (_GOTPCREL, _GOTPCRELX, _REX_GOTPCRELX):
                target = cells[name]
            else:
                raise _Unlike(f"an outside value {name}")
        elif kind not in (_PC32, _PLT32):
            raise _Unlike(f"a relocation of kind {kind}")
        _DISTANCE.pack_into(code, place, target + addend - place)
    return Image(bytes(code), {name: at for name, at in known if name and at is not None}, cells)


def _sections(data: bytes) -> list[_Section]:
    head = _HEADER.unpack_from(data)
    if head[0][:6] != b"\x7fELF\x02\x01" or head[1:3] != (_RELOCATABLE, _X86_64):
        raise _Unlike("another format")
    start, size, count, naming = head[6], head[11], head[12], head[13]
    found = [_SECTION.unpack_from(data, start + i * size) for i in range(count)]
    raw = [_Section("", kind, flags, offset, length, link, info, align)
           for _, kind, flags, _, offset, length, link, info, align, _ in found]  # fmt: skip
    names = _text(data, raw[naming])
    return [section._replace(name=names(entry[0])) for section, entry in zip(raw, found, strict=True)]


def _text(data: bytes, section: _Section) -> Callable[[int], str]:
    """Return a function that reads a name of a table of names."""

    def name(at: int) -> str:
        begin = section.offset + at
        return data[begin : data.index(b"\0", begin)].decode("ascii")

    return name


def _relocations(
    data: bytes, sections: list[_Section], places: Mapping[int, int], known: list[tuple[str, int | None]]
) -> Iterator[tuple[int, int, tuple[str, int | None], int]]:
    """Yield where a distance is to be written, its kind, what it leads to, and what is to be added."""
    for section in sections:
        if section.kind == _RELOCATIONS and section.info in places:
            content = data[section.offset : section.offset + section.size]
            for offset, kind, symbol, addend in _RELOCATION.iter_unpack(content):
                yield places[section.info] + offset, kind, known[symbol], addend


# --- into memory ------------------------------------------------------------------------------------------------------


def place(image: Image, addresses: Mapping[str, int]) -> dict[str, int]:
    """Put an image into memory and return where its functions are; outside functions are given, or the process's own.

    It stays there until the process ends: a thread may still be in it when the interpreter is being taken down.
    """
    for at, size in [*((at, 1) for at in image.symbols.values()), *((at, _CELL.size) for at in image.cells.values())]:
        if not 0 <= at <= len(image.code) - size:
            raise ValueError("an image whose parts lie outside it")
    code = bytearray(image.code)
    for name, at in image.cells.items():
        _CELL.pack_into(code, at, addresses[name] if name in addresses else _own(name))
    libc = _libc()
    anonymous = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    start = libc.mmap(None, len(code), mmap.PROT_READ | mmap.PROT_WRITE, anonymous, -1, 0)
    if start == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "no memory for code")
    ctypes.memmove(start, bytes(code), len(code))
    if libc.mprotect(start, len(code), mmap.PROT_READ | mmap.PROT_EXEC):
        problem = ctypes.get_errno()
        libc.munmap(start, len(code))
        raise OSError(problem, "memory may not be executed here")
    return {name: start + at for name, at in image.symbols.items()}


def _own(name: str) -> int:
    """Return the address of one of the process's own functions, such as memcpy."""
    try:
        return ctypes.cast(getattr(_libc(), name), ctypes.c_void_p).value or 0
    except AttributeError:
        raise KeyError(f"there is no function {name}") from None


@cache
def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
    ]  # fmt: skip
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return libc
