"""Driving whole epochs, as machine code: batches by their order, steps, what is committed, evaluation, patience."""

from __future__ import annotations

from collections.abc import Callable

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


def text() -> str:
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

    def each(stem: str, number: str, body: Callable[[str], None]) -> None:
        """Loop over 0 … number − 1 with the index in memory: these loops are short."""
        cell = f"%{stem}_i"
        do(f"store i64 0, ptr {cell}, align 8")
        do(f"br label %{stem}_head")
        label(f"{stem}_head")
        index = put(f"load i64, ptr {cell}, align 8")
        branch(put(f"icmp slt i64 {index}, {number}"), f"{stem}_body", f"{stem}_end")
        label(f"{stem}_body")
        body(index)
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
