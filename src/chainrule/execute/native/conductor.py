"""The conductor: machine code that runs lists of kernels, shares long ones out among threads, and drives whole epochs.

It is the same for every program; what differs is data. A *record* is four numbers: a kernel's address, that of its
arguments, the length of its outermost loop, and how much of it is one piece (all of it, where threads cannot help).

``run``    runs records one after another.
``enter``  finds the data of NumPy arrays whose objects' addresses stand in some slots, and runs records.
``train``  runs steps and epochs: gathers a batch by its order, steps, checks, commits (what a step has not written
           over changes buffers with what follows it), evaluates, keeps the best parameters, and stops when patience
           runs out.
``work``   is what the other threads of a pool do meanwhile: they claim pieces of a shared kernel until told to leave.

Each thread has a range of the pieces for its own, so that what it wrote it reads again, and takes from the others'
when that is done. A piece is claimed by adding 1 to the range's word, which holds a generation, the range's end and the
next piece; so a thread that comes late can never take a piece of a loop that is over. The thread that shares a loop out
works on it too: it never depends on the others, it only gets done sooner.
"""

from __future__ import annotations

import platform

from chainrule.execute.native import flush

POOL = {
    "done": 0, "slots": 8, "kernel": 9, "args": 10, "extent": 11, "piece": 12, "generation": 13, "threads": 14,
    "yield": 15, "leave": 16, "mode": 17,
}  # fmt: skip
"""Places (in i64s) in a pool; after them, each thread's range. What several threads write has its own cache line."""
POOL_SIZE = 24

TRAIN = (
    "slots", "pool", "full", "full_count", "short", "short_count", "batches", "size", "order", "order_stride",
    "order_slot", "epoch", "last_epoch", "batch", "budget", "steps", "unconverged", "loss", "count", "rate", "report",
    "pairs", "pair_count", "tile", "tile_count", "end", "end_count", "tiles", "moved", "moved_count", "tile_report",
    "history", "best", "has_best", "best_count", "best_loss", "best_epoch", "waited", "patience", "tiny",
)  # fmt: skip
"""The fields of a training run, one i64 (or double, or address) each.

``full`` and ``short`` are the records of a step for a full batch and for what is left at the end of an epoch (none
where ``short_count`` is 0); ``tile`` and ``end`` those of an evaluation. ``order`` holds the rows of epoch 0, 1, …
of this call, ``order_stride`` apart. ``pairs`` are the slots of the old and the new carry. ``moved`` are triples: a
slot of the validation data, where its rows begin, and the bytes of a tile. ``best`` are triples: a slot, where its best
value is kept, and its bytes. ``history`` takes four doubles an epoch: loss, validation loss, learning rate, steps.
"""
REPORT = ("loss", "count", "finite", "converged", "rate")
"""What a step reports, as doubles in the buffer ``report``."""
PAUSED, OUT_OF_RANGE, NON_FINITE, NOT_POSITIVE_DEFINITE, SINGULAR, EARLY, FINISHED, NOT_CONVERGED = range(8)
NEXT_BITS = 20


def text() -> str:
    """Return the conductor's machine code as text."""
    guarded = [
        flush.keeping("i64", "train", "epochs", ["ptr"], flush.flags()),
        flush.keeping("void", "work", "attend", ["ptr", "i64"]),
    ]
    return "\n".join([_declarations(), flush.text(), _RUN, _ENTER, _POOL, _train(), *guarded])


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

_POOL = f"""
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


def _train() -> str:
    """Write ``train``: fields live in memory, since a step of the smallest program costs more than reading them."""
    lines: list[str] = []
    count = 0

    def name() -> str:
        nonlocal count
        count += 1
        return f"%v{count}"

    def put(instruction: str) -> str:
        result = name()
        lines.append(f"  {result} = {instruction}")
        return result

    def do(instruction: str) -> None:
        lines.append(f"  {instruction}")

    def field(key: str) -> str:
        return put(f"getelementptr inbounds i64, ptr %p, i64 {TRAIN.index(key)}")

    def get(key: str, kind: str = "i64") -> str:
        return put(f"load {kind}, ptr {field(key)}, align 8")

    def set_(key: str, value: str, kind: str = "i64") -> None:
        do(f"store {kind} {value}, ptr {field(key)}, align 8")

    def add(key: str, value: str, kind: str = "i64") -> str:
        total = put(f"{'fadd' if kind == 'double' else 'add'} {kind} {get(key, kind)}, {value}")
        set_(key, total, kind)
        return total

    def label(text: str) -> None:
        lines.append(f"{text}:")

    def branch(condition: str, yes: str, no: str) -> None:
        do(f"br i1 {condition}, label %{yes}, label %{no}")

    def element(base: str, index: str, kind: str = "i64") -> str:
        return put(f"getelementptr inbounds {kind}, ptr {base}, i64 {index}")

    def reported(base: str, key: str) -> str:
        return put(f"load double, ptr {element(base, str(REPORT.index(key)), 'double')}, align 8")

    def each(stem: str, number: str, body: object) -> None:
        """Loop over 0 … number − 1 with the index in memory: these loops are short."""
        cell = f"%{stem}_i"
        do(f"store i64 0, ptr {cell}, align 8")
        do(f"br label %{stem}_head")
        label(f"{stem}_head")
        index = put(f"load i64, ptr {cell}, align 8")
        branch(put(f"icmp slt i64 {index}, {number}"), f"{stem}_body", f"{stem}_end")
        label(f"{stem}_body")
        body(index)  # type: ignore[operator]  # a function of the index
        do(f"store i64 {put(f'add i64 {index}, 1')}, ptr {cell}, align 8")
        do(f"br label %{stem}_head")
        label(f"{stem}_end")

    lines += [f"  %{stem}_i = alloca i64" for stem in ("swap", "tile", "move", "keep")]
    lines += ["  %val_loss = alloca double", "  %val_count = alloca double"]
    slots, pool, report = get("slots", "ptr"), get("pool", "ptr"), get("report", "ptr")
    do("br label %epoch")

    label("epoch")
    branch(put(f"icmp slt i64 {get('epoch')}, {get('last_epoch')}"), "batch", "finished")
    label("batch")
    batch, batches = get("batch"), get("batches")
    short = put(f"icmp sgt i64 {get('short_count')}, 0")
    all_batches = put(f"add i64 {batches}, {put(f'zext i1 {short} to i64')}")
    branch(put(f"icmp slt i64 {batch}, {all_batches}"), "affordable", "epoch_end")
    label("affordable")
    budget = get("budget")
    branch(put(f"icmp sgt i64 {budget}, 0"), "prepare", "paused")
    label("prepare")
    offset = put(f"mul i64 {get('epoch')}, {get('order_stride')}")
    order = element(get("order", "ptr"), offset)
    is_short = put(f"icmp sge i64 {batch}, {batches}")
    tiny = get("tiny", "ptr")
    no_tiny = put(f"icmp eq ptr {tiny}, null")
    branch(put(f"or i1 {is_short}, {no_tiny}"), "step", "tiny")

    label("tiny")  # many steps of a tiny program in one call: it keeps its carry in registers
    far = put(f"add i64 {batch}, {budget}")
    beyond = put(f"icmp sgt i64 {far}, {batches}")
    last = put(f"select i1 {beyond}, i64 {batches}, i64 {far}")
    do(f"store double 0.0, ptr {element('%tiny_totals', '2', 'double')}, align 8")
    do(f"store double 0.0, ptr {element('%tiny_totals', '3', 'double')}, align 8")
    for place, key in ((0, "loss"), (1, "count"), (4, "rate")):
        do(f"store double {get(key, 'double')}, ptr {element('%tiny_totals', str(place), 'double')}, align 8")
    reached = put(f"call i64 {tiny}(ptr {slots}, ptr {order}, i64 {batch}, i64 {last}, ptr %tiny_totals)")
    for place, key in ((0, "loss"), (1, "count"), (4, "rate")):
        at = element("%tiny_totals", str(place), "double")
        set_(key, put(f"load double, ptr {at}, align 8"), "double")
    missed = put(f"load double, ptr {element('%tiny_totals', '3', 'double')}, align 8")
    add("unconverged", put(f"fptosi double {missed} to i64"))
    taken = put(f"sub i64 {reached}, {batch}")
    add("steps", taken)
    set_("budget", put(f"sub i64 {budget}, {taken}"))
    set_("batch", reached)
    branch(put(f"icmp slt i64 {reached}, {last}"), "non_finite", "batch")

    label("step")
    here = element(order, put(f"mul i64 {batch}, {get('size')}"))
    do(f"store ptr {here}, ptr {element(slots, get('order_slot'), 'ptr')}, align 8")
    records = put(f"select i1 {is_short}, ptr {get('short', 'ptr')}, ptr {get('full', 'ptr')}")
    number = put(f"select i1 {is_short}, i64 {get('short_count')}, i64 {get('full_count')}")
    status = put(f"call i64 @run(ptr {slots}, ptr {records}, i64 {number}, ptr {pool})")
    branch(put(f"icmp eq i64 {status}, 0"), "check", "wrong")
    label("wrong")
    do(f"ret i64 {status}")
    label("check")
    branch(put(f"fcmp une double {reported(report, 'finite')}, 0.0"), "commit", "non_finite")
    label("commit")
    pairs = get("pairs", "ptr")

    def swap(index: str) -> None:
        pair = put(f"getelementptr inbounds [2 x i64], ptr {pairs}, i64 {index}")
        first = element(slots, put(f"load i64, ptr {pair}, align 8"), "ptr")
        second = element(slots, put(f"load i64, ptr {element(pair, '1')}, align 8"), "ptr")
        a, b = put(f"load ptr, ptr {first}, align 8"), put(f"load ptr, ptr {second}, align 8")
        do(f"store ptr {b}, ptr {first}, align 8")
        do(f"store ptr {a}, ptr {second}, align 8")

    each("swap", get("pair_count"), swap)
    add("loss", reported(report, "loss"), "double")
    add("count", reported(report, "count"), "double")
    set_("rate", reported(report, "rate"), "double")
    no = put(f"fcmp oeq double {reported(report, 'converged')}, 0.0")
    add("unconverged", put(f"zext i1 {no} to i64"))
    add("steps", "1")
    add("budget", "-1")
    add("batch", "1")
    do("br label %batch")

    label("epoch_end")
    row = put(f"getelementptr inbounds [4 x double], ptr {get('history', 'ptr')}, i64 {get('epoch')}")
    mean = put(f"fdiv double {get('loss', 'double')}, {get('count', 'double')}")
    do(f"store double {mean}, ptr {row}, align 8")
    do(f"store double {get('rate', 'double')}, ptr {element(row, '2', 'double')}, align 8")
    steps = put(f"sitofp i64 {get('steps')} to double")
    do(f"store double {steps}, ptr {element(row, '3', 'double')}, align 8")
    any_tile = put(f"icmp sgt i64 {get('tiles')}, 0")
    any_end = put(f"icmp sgt i64 {get('end_count')}, 0")
    branch(put(f"or i1 {any_tile}, {any_end}"), "evaluate", "next_epoch")

    label("evaluate")
    tile_report = get("tile_report", "ptr")
    do("store double 0.0, ptr %val_loss, align 8")
    do("store double 0.0, ptr %val_count, align 8")
    full_tiles = get("tiles")
    some_end = put(f"zext i1 {any_end} to i64")
    every_tile = put(f"add i64 {full_tiles}, {some_end}")

    def evaluate(tile: str) -> None:
        moved = get("moved", "ptr")

        def move(index: str) -> None:
            triple = put(f"getelementptr inbounds [3 x i64], ptr {moved}, i64 {index}")
            place = element(slots, put(f"load i64, ptr {triple}, align 8"), "ptr")
            start = put(f"load ptr, ptr {element(triple, '1')}, align 8")
            size = put(f"load i64, ptr {element(triple, '2')}, align 8")
            here = element(start, put(f"mul i64 {tile}, {size}"), "i8")
            do(f"store ptr {here}, ptr {place}, align 8")

        each("move", get("moved_count"), move)
        is_end = put(f"icmp sge i64 {tile}, {full_tiles}")
        records = put(f"select i1 {is_end}, ptr {get('end', 'ptr')}, ptr {get('tile', 'ptr')}")
        number = put(f"select i1 {is_end}, i64 {get('end_count')}, i64 {get('tile_count')}")
        status = put(f"call i64 @run(ptr {slots}, ptr {records}, i64 {number}, ptr {pool})")
        branch(put(f"icmp eq i64 {status}, 0"), "tile_good", "tile_wrong")
        label("tile_wrong")
        do(f"ret i64 {put(f'sub i64 0, {status}')}")
        label("tile_good")
        for cell, key in (("%val_loss", "loss"), ("%val_count", "count")):
            total = put(f"fadd double {put(f'load double, ptr {cell}, align 8')}, {reported(tile_report, key)}")
            do(f"store double {total}, ptr {cell}, align 8")

    each("tile", every_tile, evaluate)
    found = put(
        f"fdiv double {put('load double, ptr %val_loss, align 8')}, {put('load double, ptr %val_count, align 8')}"
    )
    do(f"store double {found}, ptr {element(row, '1', 'double')}, align 8")
    none = put(f"icmp eq i64 {get('has_best')}, 0")
    best = get("best_loss", "double")
    less = put(f"fcmp olt double {found}, {best}")
    nan = put(f"fcmp uno double {best}, {best}")
    branch(put(f"or i1 {put(f'or i1 {none}, {less}')}, {nan}"), "better", "no_better")
    label("better")
    kept = get("best", "ptr")

    def keep(index: str) -> None:
        triple = put(f"getelementptr inbounds [3 x i64], ptr {kept}, i64 {index}")
        place = element(slots, put(f"load i64, ptr {triple}, align 8"), "ptr")
        source = put(f"load ptr, ptr {place}, align 8")
        to = put(f"load ptr, ptr {element(triple, '1')}, align 8")
        size = put(f"load i64, ptr {element(triple, '2')}, align 8")
        do(f"call void @llvm.memcpy.p0.p0.i64(ptr {to}, ptr {source}, i64 {size}, i1 false)")

    each("keep", get("best_count"), keep)
    set_("best_loss", found, "double")
    set_("has_best", "1")
    set_("best_epoch", get("epoch"))
    set_("waited", "0")
    do("br label %next_epoch")
    label("no_better")
    add("waited", "1")
    do("br label %next_epoch")

    label("next_epoch")
    add("epoch", "1")
    set_("batch", "0")
    set_("loss", "0.0", "double")
    set_("count", "0.0", "double")
    patience = get("patience")
    limited = put(f"icmp sge i64 {patience}, 0")
    out = put(f"icmp sge i64 {get('waited')}, {patience}")
    branch(put(f"and i1 {limited}, {out}"), "early", "epoch")

    for where, code in (("finished", FINISHED), ("paused", PAUSED), ("non_finite", NON_FINITE), ("early", EARLY)):
        label(where)
        do(f"ret i64 {code}")
    body = "\n".join(["  %tiny_totals = alloca [5 x double]", *lines])
    return f"define internal i64 @epochs(ptr %p) noinline {{\nentry:\n{body}\n}}\n"
