"""The conductor: machine code that runs lists of kernels, shares long ones out among threads, and drives whole epochs.

It is the same for every program; what differs is data. A *record* is four numbers: a kernel's address, that of its
arguments, the length of its outermost loop, and how much of it is one piece (all of it, where threads cannot help).

``run``    runs records one after another.
``enter``  finds the data of NumPy arrays whose objects' addresses stand in some slots, and runs records.
``train``  runs steps and epochs: gathers a batch by its order, steps, checks, commits (what a step has not written
           over changes buffers with what follows it), evaluates, keeps the best parameters, and stops when patience
           runs out.
``work``   is what the other threads of a pool do meanwhile: they claim pieces of a shared kernel until told to leave.
"""

from __future__ import annotations

import platform

from chainrule.execute.native import epochs, flush, sharing


def text() -> str:
    """Return the conductor's machine code as text."""
    guarded = [
        flush.keeping("i64", "train", "epochs", ["ptr"], flush.flags()),
        flush.keeping("void", "work", "attend", ["ptr", "i64"]),
    ]
    return "\n".join([_declarations(), flush.text(), _RUN, _ENTER, sharing.TEXT, epochs.text(), *guarded])


def _declarations() -> str:
    pause = {"x86_64": "llvm.x86.sse2.pause", "AMD64": "llvm.x86.sse2.pause"}.get(platform.machine(), "")
    body = f"  call void @{pause}()\n" if pause else ""
    head = f"declare void @{pause}()\n" if pause else ""
    return (
        head + "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)\n"
        f"define internal void @pause() alwaysinline {{\n{body}  ret void\n}}\n"
    )


_RUN = """
define i64 @run(ptr %slots, ptr %records, i64 %count, ptr %pool) {
entry:
  %status = load ptr, ptr %slots, align 8
  %alone = icmp eq ptr %pool, null
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %go ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %body, label %end
body:
  %record = getelementptr inbounds [4 x i64], ptr %records, i64 %i
  %fn = load ptr, ptr %record, align 8
  %pargs = getelementptr inbounds i64, ptr %record, i64 1
  %args = load ptr, ptr %pargs, align 8
  %pextent = getelementptr inbounds i64, ptr %record, i64 2
  %extent = load i64, ptr %pextent, align 8
  %ppiece = getelementptr inbounds i64, ptr %record, i64 3
  %piece = load i64, ptr %ppiece, align 8
  %whole = icmp sge i64 %piece, %extent
  %single = or i1 %whole, %alone
  br i1 %single, label %one, label %many
one:
  call void %fn(ptr %slots, ptr %args, i64 0, i64 %extent)
  br label %go
many:
  call void @share(ptr %pool, ptr %slots, ptr %fn, ptr %args, i64 %extent, i64 %piece)
  br label %go
go:
  %next = add nsw i64 %i, 1
  br label %head
end:
  %result = load i64, ptr %status, align 8
  ret i64 %result
}
"""

ENTER = ("slots", "records", "count", "arrays", "array_count", "offset")
"""The fields of ``enter``: ``arrays`` are the slots that hold an array's object, in which its data's address stands
``offset`` bytes from the beginning."""

_ENTER = """
define i64 @enter(ptr %p) {
entry:
  %slots = load ptr, ptr %p, align 8
  %p1 = getelementptr inbounds i64, ptr %p, i64 1
  %records = load ptr, ptr %p1, align 8
  %p2 = getelementptr inbounds i64, ptr %p, i64 2
  %count = load i64, ptr %p2, align 8
  %p3 = getelementptr inbounds i64, ptr %p, i64 3
  %arrays = load ptr, ptr %p3, align 8
  %p4 = getelementptr inbounds i64, ptr %p, i64 4
  %number = load i64, ptr %p4, align 8
  %p5 = getelementptr inbounds i64, ptr %p, i64 5
  %offset = load i64, ptr %p5, align 8
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, %number
  br i1 %more, label %body, label %end
body:
  %at = getelementptr inbounds i64, ptr %arrays, i64 %i
  %slot = load i64, ptr %at, align 8
  %place = getelementptr inbounds ptr, ptr %slots, i64 %slot
  %object = load ptr, ptr %place, align 8
  %field = getelementptr inbounds i8, ptr %object, i64 %offset
  %data = load ptr, ptr %field, align 8
  store ptr %data, ptr %place, align 8
  %next = add nsw i64 %i, 1
  br label %head
end:
  %status = call i64 @run(ptr %slots, ptr %records, i64 %count, ptr null)
  ret i64 %status
}
"""
