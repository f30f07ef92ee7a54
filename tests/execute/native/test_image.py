"""Images of object files: the same functions as LLVM's own linker makes of them, or no image at all."""

from __future__ import annotations

import ctypes
import os
import random
import sys
from typing import Any

import pytest

from chainrule.execute.native import engine
from chainrule.execute.native.image import Image, image_of, place

pytestmark = [
    pytest.mark.skipif(bool(engine.missing()), reason=engine.missing() or "native code runs here"),
    pytest.mark.skipif(
        sys.platform != "linux" or os.uname().machine != "x86_64", reason="images are ELF for x86-64, on Linux"
    ),
]

SWITCH = "define i64 @f(i64 %x) {\nentry:\n  switch i64 %x, label %other [\n"
SWITCH += "".join(f"    i64 {i}, label %case{i}\n" for i in range(12)) + "  ]\n"
SWITCH += "".join(f"case{i}:\n  ret i64 {i * i * 7919 % 1009}\n" for i in range(12)) + "other:\n  ret i64 -1\n}\n"
TEXTS = {
    "constants": """
define i64 @f(i64 %x) {
entry:
  %d = sitofp i64 %x to double
  %m = fmul double %d, 3.25
  %s = fadd double %m, 0x3FF8000000000000
  %r = fptosi double %s to i64
  ret i64 %r
}
""",
    "a call inside": """
define i64 @g(i64 %x) noinline {
entry:
  %r = mul i64 %x, %x
  ret i64 %r
}
define i64 @f(i64 %x) {
entry:
  %a = call i64 @g(i64 %x)
  %b = add i64 %a, 1
  %r = call i64 @g(i64 %b)
  ret i64 %r
}
""",
    "calls to outside": """
declare i64 @labs(i64)
declare i64 @strlen(ptr)
define i64 @f(i64 %x) {
entry:
  %text = alloca [4 x i8]
  store i32 6513249, ptr %text
  %length = call i64 @strlen(ptr %text)
  %size = call i64 @labs(i64 %x)
  %again = call i64 @labs(i64 %size)
  %r = add i64 %again, %length
  ret i64 %r
}
""",
    "an address of an outside function": """
declare i64 @labs(i64)
define i64 @f(i64 %x) {
entry:
  %which = icmp sgt i64 %x, 3
  %to = select i1 %which, ptr @labs, ptr @g
  %r = call i64 %to(i64 %x)
  ret i64 %r
}
define internal i64 @g(i64 %x) {
entry:
  ret i64 %x
}
""",
    "a table of jumps": SWITCH,
}
NUMBERS = [*range(-3, 15), 10**6]


def function(address: int) -> Any:
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)


@pytest.mark.parametrize("name", TEXTS)
def test_an_image_does_what_the_linked_object_does(name: str) -> None:
    data = engine.to_object(TEXTS[name])
    library = engine.Library(data, "f")
    linked = function(library.address("f"))
    image = image_of(data)
    assert image is not None, "all of this has an image"
    placed = function(place(image, {})["f"])
    assert [placed(i) for i in NUMBERS] == [linked(i) for i in NUMBERS]


def test_outside_functions_may_be_given() -> None:
    taken = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(lambda x: x + 1000)
    data = engine.to_object(
        "declare i64 @not_in_the_process(i64)\ndefine i64 @f(i64 %x) {\nentry:\n"
        "  %r = call i64 @not_in_the_process(i64 %x)\n  %s = add i64 %r, 1\n  ret i64 %s\n}\n"
    )
    image = image_of(data)
    assert image is not None
    assert set(image.cells) == {"not_in_the_process"}
    with pytest.raises(KeyError, match="there is no function not_in_the_process"):
        place(image, {})
    at = ctypes.cast(taken, ctypes.c_void_p).value or 0
    assert function(place(image, {"not_in_the_process": at})["f"])(5) == 1006


@pytest.mark.parametrize(
    "text",
    [
        "@state = global i64 5\ndefine i64 @f(i64 %x) {\nentry:\n  %v = load i64, ptr @state\n  ret i64 %v\n}\n",
        "@state = internal global [9 x i64] zeroinitializer\ndefine i64 @f(i64 %x) {\nentry:\n"
        "  %at = getelementptr i64, ptr @state, i64 %x\n  store i64 %x, ptr %at\n  ret i64 0\n}\n",
        "@state = thread_local global i64 5\ndefine i64 @f(i64 %x) {\nentry:\n  %v = load i64, ptr @state\n"
        "  ret i64 %v\n}\n",
    ],
)
def test_what_can_be_written_to_has_no_image(text: str) -> None:
    assert image_of(engine.to_object(text)) is None


def test_what_is_no_object_file_has_no_image() -> None:
    good = engine.to_object(TEXTS["calls to outside"])
    for bad in (b"", b"\x7fELF", good[:64], bytes(len(good)), b"MZ" + good, good[:4] + b"\x01" + good[5:]):
        assert image_of(bad) is None
    draw = random.Random(0)
    for _ in range(300):  # whatever stands in the tables, reading them neither fails nor ends the process
        bad = bytearray(good)
        for _ in range(draw.randrange(1, 8)):
            bad[draw.randrange(len(bad))] = draw.randrange(256)
        image_of(bytes(bad[: draw.randrange(1, len(bad) + 1)]))


def test_an_image_whose_parts_lie_outside_it_is_refused() -> None:
    for symbols, cells in (({"f": 10}, {}), ({"f": -1}, {}), ({"f": 0}, {"memcpy": 3}), ({"f": 0}, {"memcpy": -8})):
        with pytest.raises(ValueError, match="whose parts lie outside it"):
            place(Image(bytes(10), symbols, cells), {})
