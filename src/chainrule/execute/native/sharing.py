"""Sharing a kernel out among the threads of a pool, as machine code.

Each thread has a range of the pieces for its own, so that what it wrote it reads again, and takes from the others'
when that is done. A piece is claimed by adding 1 to the range's word, which holds a generation, the range's end and the
next piece; so a thread that comes late can never take a piece of a loop that is over. The thread that shares a loop out
works on it too: it never depends on the others, it only gets done sooner.
"""

from __future__ import annotations

POOL = {
    "done": 0, "slots": 8, "kernel": 9, "args": 10, "extent": 11, "piece": 12, "generation": 13, "threads": 14,
    "yield": 15, "leave": 16, "mode": 17,
}  # fmt: skip
"""Places (in i64s) in a pool; after them, each thread's range. What several threads write has its own cache line."""
POOL_SIZE = 24
NEXT_BITS = 20

TEXT = f"""
define internal void @share(ptr %pool, ptr %slots, ptr %fn, ptr %args, i64 %extent, i64 %piece) noinline {{
entry:
  %a = getelementptr inbounds i64, ptr %pool, i64 {POOL["slots"]}
  store ptr %slots, ptr %a, align 8
  %b = getelementptr inbounds i64, ptr %pool, i64 {POOL["kernel"]}
  store ptr %fn, ptr %b, align 8
  %c = getelementptr inbounds i64, ptr %pool, i64 {POOL["args"]}
  store ptr %args, ptr %c, align 8
  %d = getelementptr inbounds i64, ptr %pool, i64 {POOL["extent"]}
  store i64 %extent, ptr %d, align 8
  %e = getelementptr inbounds i64, ptr %pool, i64 {POOL["piece"]}
  store i64 %piece, ptr %e, align 8
  %mode = call i64 @get_mode()
  %m = getelementptr inbounds i64, ptr %pool, i64 {POOL["mode"]}
  store i64 %mode, ptr %m, align 8
  %done = getelementptr inbounds i64, ptr %pool, i64 {POOL["done"]}
  store atomic i64 0, ptr %done monotonic, align 8
  %up = add i64 %extent, %piece
  %upper = sub i64 %up, 1
  %pieces = sdiv i64 %upper, %piece
  %g = getelementptr inbounds i64, ptr %pool, i64 {POOL["generation"]}
  %old = load i64, ptr %g, align 8
  %gen = add i64 %old, 1
  store i64 %gen, ptr %g, align 8
  %high = shl i64 %gen, {2 * NEXT_BITS}
  %t = getelementptr inbounds i64, ptr %pool, i64 {POOL["threads"]}
  %threads = load i64, ptr %t, align 8
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %publish ]
  %begin = phi i64 [ 0, %entry ], [ %end, %publish ]
  %more = icmp slt i64 %i, %threads
  br i1 %more, label %publish, label %work
publish:
  %next = add i64 %i, 1
  %times = mul i64 %pieces, %next
  %end = sdiv i64 %times, %threads
  %middle = shl i64 %end, {NEXT_BITS}
  %low = or i64 %middle, %begin
  %word = or i64 %high, %low
  %line = mul i64 %i, 8
  %place = add i64 %line, {POOL_SIZE}
  %at = getelementptr inbounds i64, ptr %pool, i64 %place
  store atomic i64 %word, ptr %at release, align 8
  br label %head
work:
  %helped = call i64 @help(ptr %pool, i64 0)
  br label %wait
wait:
  %spins = phi i64 [ 0, %work ], [ %again, %idle ]
  %reached = load atomic i64, ptr %done acquire, align 8
  %over = icmp sge i64 %reached, %pieces
  br i1 %over, label %finish, label %idle
idle:
  %again = call i64 @idle(ptr %pool, i64 %spins)
  br label %wait
finish:
  ret void
}}

define internal i64 @idle(ptr %pool, i64 %spins) {{
entry:
  call void @pause()
  %again = add i64 %spins, 1
  %long = icmp sgt i64 %again, 2000
  br i1 %long, label %polite, label %end
polite:
  %p = getelementptr inbounds i64, ptr %pool, i64 {POOL["yield"]}
  %fn = load ptr, ptr %p, align 8
  %none = icmp eq ptr %fn, null
  br i1 %none, label %end, label %call
call:
  %ignored = call i32 %fn()
  br label %end
end:
  ret i64 %again
}}

define internal i64 @help(ptr %pool, i64 %me) noinline {{
entry:
  %t = getelementptr inbounds i64, ptr %pool, i64 {POOL["threads"]}
  %threads = load i64, ptr %t, align 8
  br label %whose
whose:
  %j = phi i64 [ 0, %entry ], [ %other, %gone ]
  %some = phi i64 [ 0, %entry ], [ %did, %gone ]
  %any = icmp slt i64 %j, %threads
  br i1 %any, label %look, label %end
look:
  %sum = add i64 %me, %j
  %which = urem i64 %sum, %threads
  %line = mul i64 %which, 8
  %place = add i64 %line, {POOL_SIZE}
  %at = getelementptr inbounds i64, ptr %pool, i64 %place
  br label %head
head:
  %did = phi i64 [ %some, %look ], [ 1, %work ]
  %now = load atomic i64, ptr %at acquire, align 8
  %n0 = and i64 %now, {(1 << NEXT_BITS) - 1}
  %h0 = lshr i64 %now, {NEXT_BITS}
  %c0 = and i64 %h0, {(1 << NEXT_BITS) - 1}
  %open = icmp ult i64 %n0, %c0
  br i1 %open, label %claim, label %gone
claim:
  %word = atomicrmw add ptr %at, i64 1 acq_rel, align 8
  %n = and i64 %word, {(1 << NEXT_BITS) - 1}
  %h = lshr i64 %word, {NEXT_BITS}
  %c = and i64 %h, {(1 << NEXT_BITS) - 1}
  %mine = icmp ult i64 %n, %c
  br i1 %mine, label %work, label %gone
gone:
  %other = add i64 %j, 1
  br label %whose
work:
  %a = getelementptr inbounds i64, ptr %pool, i64 {POOL["slots"]}
  %slots = load ptr, ptr %a, align 8
  %b = getelementptr inbounds i64, ptr %pool, i64 {POOL["kernel"]}
  %fn = load ptr, ptr %b, align 8
  %k = getelementptr inbounds i64, ptr %pool, i64 {POOL["args"]}
  %args = load ptr, ptr %k, align 8
  %d = getelementptr inbounds i64, ptr %pool, i64 {POOL["extent"]}
  %extent = load i64, ptr %d, align 8
  %e = getelementptr inbounds i64, ptr %pool, i64 {POOL["piece"]}
  %piece = load i64, ptr %e, align 8
  %begin = mul i64 %n, %piece
  %far = add i64 %begin, %piece
  %beyond = icmp sgt i64 %far, %extent
  %finish = select i1 %beyond, i64 %extent, i64 %far
  %m = getelementptr inbounds i64, ptr %pool, i64 {POOL["mode"]}
  %mode = load i64, ptr %m, align 8
  call void @set_mode(i64 %mode)
  call void %fn(ptr %slots, ptr %args, i64 %begin, i64 %finish)
  %done = getelementptr inbounds i64, ptr %pool, i64 {POOL["done"]}
  %one = atomicrmw add ptr %done, i64 1 acq_rel, align 8
  br label %head
end:
  ret i64 %some
}}

define internal void @attend(ptr %pool, i64 %me) noinline {{
entry:
  %leave = getelementptr inbounds i64, ptr %pool, i64 {POOL["leave"]}
  br label %head
head:
  %spins = phi i64 [ 0, %entry ], [ 0, %help ], [ %again, %idle ]
  %helped = call i64 @help(ptr %pool, i64 %me)
  %some = icmp ne i64 %helped, 0
  br i1 %some, label %help, label %look
help:
  br label %head
look:
  %told = load atomic i64, ptr %leave acquire, align 8
  %go = icmp ne i64 %told, 0
  br i1 %go, label %end, label %idle
idle:
  %again = call i64 @idle(ptr %pool, i64 %spins)
  br label %head
end:
  ret void
}}
"""
