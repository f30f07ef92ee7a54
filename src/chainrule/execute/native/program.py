"""Training programs as machine code: steps, epochs, evaluation and patience in one call, with no Python in between."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.execute.native import conductor, link, store
from chainrule.execute.native.arena import Bound, Buffers, Linked, aligned
from chainrule.execute.native.code import Code
from chainrule.execute.native.compile import Compiler
from chainrule.execute.native.frame import columns
from chainrule.execute.native.layout import ITEM_BYTES, Extent, Slot, View, product, whole
from chainrule.execute.native.pace import Pace
from chainrule.execute.native.settings import debugging, vector_bytes
from chainrule.execute.native.tiny import is_tiny, write_tiny
from chainrule.execute.native.vector import Value, VectorBuilder
from chainrule.execute.native.words import random_words
from chainrule.execute.program import Batch, Best, Loop, Plan, Program
from chainrule.execute.training import EVALUATION_ROWS
from chainrule.graph import Node, Rows, Type, flatten, simplify, unflatten

Array = np.ndarray[Any, Any]
_TRAIN = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
ORDER_NUMBERS = 1 << 16
"""About so many row numbers are made at once: the orders of several epochs, where these are short."""
EPOCHS_A_CALL = 1024


def write_program(program: Program, tiled: bool = False, evaluated: bool = True) -> tuple[Code, dict[str, Any]]:
    """Write the stages of a training program; returns the code, and which slots hold what.

    With ``tiled``, a batch is measured in tiles whose sums are added up in order.
    """
    return _Writer(program).write(tiled, evaluated)


class _Writer:
    """Writes a step (gather, measure, apply, report) and an evaluation over one table of slots."""

    def __init__(self, program: Program) -> None:
        self.c = c = Compiler(vector_bytes(), debugging())
        self.measure, self.apply = simplify(program.measure)[0], simplify(program.apply)[0]
        self.program = program
        for graph in (self.measure, self.apply):
            c.refuse(graph)
        assert self.apply.takes is not None
        self.carry_tree, self.setting_tree, self.sums_tree = unflatten(self.apply.takes, list(self.apply.inputs))
        self.carry_nodes = flatten(self.carry_tree)[0]
        self.carry = [c.slot("carry", node.type) for node in self.carry_nodes]
        self.settings = [c.slot("setting", node.type) for node in flatten(self.setting_tree)[0]]
        self.order = c.slot("order", Type("i64"))
        self.report = c.slot("report", Type("f64", (len(conductor.REPORT),)))
        self.tile_report = c.slot("report", Type("f64", (len(conductor.REPORT),)))
        self.carried = unflatten(flatten(self.carry_tree)[1], [whole(s, n.type) for s, n in zip(
            self.carry, self.carry_nodes, strict=True)])  # fmt: skip
        self.setting_views = [
            whole(s, n.type) for s, n in zip(self.settings, flatten(self.setting_tree)[0], strict=True)
        ]
        self.pairs: list[tuple[int, int]] = []
        self.data: dict[str, int] = {}
        self.tiles: dict[str, int] = {}
        self.position: Slot | None = None

    def write(self, tiled: bool, evaluated: bool) -> tuple[Code, dict[str, Any]]:
        if tiled:
            total = [whole(self.c.slot("sum", node.type), node.type) for node in self.measure.outputs]
            with self.c.section("first"):
                self._measure(total)
            with self.c.section("more"):
                for part, sum_ in zip(self._measure([None] * len(total)), total, strict=True):
                    self._add(part, sum_)
            with self.c.section("apply"):
                self._apply(total)
        else:
            with self.c.section("step"):
                self._apply(self._measure([None] * len(self.measure.outputs)))
        if evaluated:
            with self.c.section("evaluate"):
                self._evaluate()
        return self.c.code(), {
            "carry": [s.index for s in self.carry],
            "settings": [s.index for s in self.settings],
            "order": self.order.index,
            "report": self.report.index,
            "tile_report": self.tile_report.index,
            "pairs": self.pairs,
            "data": self.data,
            "tiles": self.tiles,
        }

    def _measure(self, targets: Sequence[View | None]) -> list[View]:
        """Gather rows, and compute their sums."""
        assert self.measure.takes is not None
        parameters, state, clock, settings, batch = unflatten(self.measure.takes, list(self.measure.inputs))
        views = self._views((parameters, state, clock), settings)
        views.update({node: self._gathered(key, node) for key, node in batch.items()})
        return self.c.write(self.measure, views, targets)

    def _add(self, part: View, total: View) -> None:
        """Add the sums of a tile to those of the tiles before it."""
        count = product(part.shape)
        with self.c.stage((0.2, count), divisible=True) as frame:
            frame.extent = count.fixed
            builder = VectorBuilder(frame.f)
            more, sums = frame.pointer(part), frame.pointer(total)

            def add(i: str, lanes: int, mask: str | None) -> None:
                place, at = frame.step(sums, total.dtype, i), frame.step(more, total.dtype, i)
                before = frame.load(place, total.dtype, lanes, mask)
                frame.store(builder.add(before, frame.load(at, total.dtype, lanes, mask)), place, mask)

            columns(frame, "%begin", "%end", self.c.vector_bytes // ITEM_BYTES[total.dtype], add)

    def _apply(self, sums: Sequence[View]) -> None:
        """Compute the new carry from the sums, and report."""
        c, measure, apply = self.c, self.measure, self.apply
        assert measure.gives is not None
        assert apply.gives is not None
        given: dict[Node, View] = dict(zip(self.carry_nodes, flatten(self.carried)[0], strict=True))
        given.update(zip(flatten(self.setting_tree)[0], self.setting_views, strict=True))
        given.update(zip(flatten(self.sums_tree)[0], sums, strict=True))
        after, report = unflatten(apply.gives, list(range(len(apply.outputs))))
        targets: list[View | None] = [None] * len(apply.outputs)
        for place, node, slot in zip(flatten(after)[0], self.carry_nodes, self.carry, strict=True):
            if apply.outputs[place] is not node:  # what a step does not change needs no second buffer
                fresh = c.slot("fresh", node.type)
                self.pairs.append((slot.index, fresh.index))
                targets[place] = whole(fresh, node.type)
        results = c.write(apply, given, targets)
        names = unflatten(measure.gives, list(range(len(measure.outputs))))
        self._collect(self.report, {
            "loss": sums[names["loss"]],
            "count": sums[names["count"]],
            "finite": results[report["finite"]],
            "converged": results[report["converged"]],
            "rate": results[report["learning_rate"]],
        })  # fmt: skip

    def _evaluate(self) -> None:
        c, graph = self.c, simplify(self.program.evaluate)[0]
        c.refuse(graph)
        assert graph.takes is not None
        assert graph.gives is not None
        parameters, state, settings, batch = unflatten(graph.takes, list(graph.inputs))
        carried = self.carried
        views = dict(zip(
            flatten((parameters, state))[0], flatten((carried["parameters"], carried["state"]))[0], strict=True
        ))  # fmt: skip
        views.update(zip(flatten(settings)[0], self.setting_views, strict=True))
        for key, node in batch.items():
            slot = c.slot("tile", node.type)
            self.tiles[key] = slot.index
            views[node] = whole(slot, node.type)
        sums = c.write(graph, views, [None] * len(graph.outputs))
        names = unflatten(graph.gives, list(range(len(graph.outputs))))
        self._collect(self.tile_report, {k: sums[names[k]] for k in ("loss", "count")})

    def _views(self, carried: Any, settings: Any) -> dict[Node, View]:
        mine = self.carried["parameters"], self.carried["state"], self.carried["clock"]
        views: dict[Node, View] = dict(zip(flatten(carried)[0], flatten(mine)[0], strict=True))
        views.update(zip(flatten(settings)[0], self.setting_views, strict=True))
        return views

    def _gathered(self, key: str, node: Node) -> View:
        """Copy a batch's rows, chosen by the order, next to each other; their positions are the same every time."""
        c = self.c
        if key == "position":
            if self.position is None:
                self.position = c.slot("position", node.type)
            return replace(whole(self.position, node.type), offset=Extent(start=1))
        target = c.temporary(node.type)
        if key not in self.data:
            self.data[key] = c.slot("data", Type(node.type.dtype)).index
        source = c.slots[self.data[key]]
        width = 1
        for dim in node.shape[1:]:
            assert isinstance(dim, int), "a row has a known width"
            width *= dim
        dtype = node.type.dtype
        with c.stage((0.3 * width + 3, Extent(0, 1)), divisible=True) as frame:
            f = frame.f
            frame.extent = Rows(1)
            order = frame.pointer(View(self.order, (), (), Extent(start=1)))
            data = frame.pointer(View(source, (), ()))
            to, apart = frame.pointer(target), frame.size(Extent(width)) if width > 1 else "1"
            with f.loop("%begin", "%end") as index:
                row = frame.load(frame.step(order, "i64", index), "i64").name
                at = frame.step(data, dtype, f.times(row, apart))
                place = frame.step(to, dtype, f.times(index, apart))

                def copy(i: str, lanes: int, mask: str | None, at: str = at, place: str = place) -> None:
                    frame.store(
                        frame.load(frame.step(at, dtype, i), dtype, lanes, mask), frame.step(place, dtype, i), mask
                    )

                lanes = max(c.vector_bytes // ITEM_BYTES[dtype], 1)
                if width == 1:
                    copy("0", 1, None)
                elif width < lanes or dtype == "bool":
                    columns(frame, "0", apart, 1, copy)
                else:  # the last vector of a row is a whole one too: it may write again what the one before it wrote
                    last = f.put(f"sub nsw i64 {apart}, {lanes}")
                    with f.loop("0", last, lanes) as i:
                        copy(i, lanes, None)
                    copy(last, lanes, None)
        return target

    def _collect(self, report: Slot, values: Mapping[str, View]) -> None:
        """Write what a step has to say where the conductor reads it, as doubles."""
        with self.c.stage() as frame:
            builder = VectorBuilder(frame.f)
            to = frame.pointer(View(report, (), ()))
            for key, view in values.items():
                value = frame.load(frame.pointer(view), view.dtype)
                if view.dtype == "bool":
                    value = Value(frame.f.put(f"uitofp i1 {value.name} to double"), "f64", 1)
                place = str(conductor.REPORT.index(key))
                frame.store(builder.cast(value, "f64"), frame.step(to, "f64", place))


class NativeProgram:
    """A compiled training program, for any number of runs at a time."""

    def __init__(self, linked: Linked, slots: Mapping[str, Any]) -> None:
        self.linked = linked
        self.slots = slots
        self.call = _TRAIN(link.address("train"))
        self._tiny: dict[int, int] = {}

    def tiny(self, source: Program, size: int) -> int:
        """Return the address of straight-line code for steps of so many rows, or 0 where that would not be short.

        The debug build has none: it checks every address, and those of registers are none.
        """
        found = self._tiny.get(size)
        if found is None:
            found = 0
            if "apply" not in self.linked.sections and not debugging() and is_tiny(source, size):
                graphs = [source.measure, source.apply]
                purpose = f"tiny {size} {[self.slots[key] for key in ('carry', 'settings', 'data')]}"
                _, name = store.linked(purpose, graphs, lambda: write_tiny(source, self.slots, size))
                found = link.address(name)
            self._tiny[size] = found
        return found


class NativeState:
    """The memory of one training run, and the call that advances it.

    The carry lives here; ``settle`` copies it out when somebody wants to see it.
    """

    def __init__(
        self, program: NativeProgram, source: Program, plan: Plan, loop: Loop, settings: Any, training: Batch,
        validation: Batch | None, threads: int,
    ) -> None:  # fmt: skip
        self.program = program
        self.source = source
        self._fits = plan.batch_size, plan.tile_rows
        self._rows = training, validation
        self.threads = 1
        """How many threads its kernels can use."""
        self.helped = Pace()
        self.pace = 0.0
        """Steps a second, as last seen."""
        slots = program.slots
        linked = program.linked
        self.rows = len(training["x"])
        self.size = min(plan.batch_size, self.rows)
        held = 0 if validation is None else len(validation["x"])
        self.tile = min(plan.tile_rows or self.size, self.size)
        rows = {"step": self.size}
        if "apply" in linked.sections:
            rows = {"first": self.tile, "more": self.tile, "apply": self.size}
        if held:
            rows["evaluate"] = min(held, EVALUATION_ROWS)
        self.buffers = buffers = Buffers(linked, rows, debugging())
        self.structure = flatten(loop.kept)[1]
        leaves = [np.asarray(leaf) for leaf in flatten(loop.kept)[0]]
        self.shapes = [leaf.shape for leaf in leaves]
        for index in slots["carry"]:
            buffers.allocate(linked.slots[index], 0)
        for _, index in slots["pairs"]:
            buffers.allocate(linked.slots[index], 0)
        self._arrays = {
            int(buffers.table[i]): buffers.held(i) for i in (*slots["carry"], *(fresh for _, fresh in slots["pairs"]))
        }
        self._put(loop.kept)
        for slot, value in zip((linked.slots[i] for i in slots["settings"]), flatten(settings)[0], strict=True):
            buffers.hold(slot, np.array(value).reshape(-1))
        self._order_key = plan.order.key
        for name, index in slots["data"].items():
            buffers.hold(linked.slots[index], np.ascontiguousarray(training[name]))
        for slot in linked.of("sum"):
            buffers.allocate(slot, 0)
        for slot in linked.of("position"):
            buffers.hold(slot, np.arange(self.size, dtype=np.uint32))
        report = buffers.allocate(linked.slots[slots["report"]], 0)
        tile_report = buffers.allocate(linked.slots[slots["tile_report"]], 0)

        self.fields = np.zeros(len(conductor.TRAIN), np.int64)
        self._numbers = self.fields.view(np.float64)
        self._kept: list[Any] = []
        full, rest = divmod(self.rows, self.size)
        self._records("full", self._step(self.size, threads))
        if rest:
            self._records("short", self._step(rest, threads))
        self._set(
            slots=buffers.address, batches=full, size=self.size, order_slot=slots["order"],
            report=report.ctypes.data, tile_report=tile_report.ctypes.data,
            patience=-1 if plan.patience is None else plan.patience, tiny=program.tiny(source, self.size),
        )  # fmt: skip
        self._table("pairs", "pair_count", slots["pairs"], 2)
        if validation is not None and held:
            self._hold_out(validation, held, threads)
        self.orders: Array = np.zeros(0, np.int64)
        self.first_epoch, self.known_epochs = 0, 0

    def _step(self, n: int, threads: int) -> Sequence[Bound]:
        """Return the records of a step for n rows: of one piece, or tile after tile, and then the update."""
        sections = self.program.linked.sections
        if "apply" not in sections:
            return [sections["step"].bind(n, threads)]
        parts = [
            sections["more" if start else "first"].bind(min(self.tile, n - start), threads, start)
            for start in range(0, n, self.tile)
        ]
        return [*parts, sections["apply"].bind(n, threads)]

    def _hold_out(self, validation: Batch, held: int, threads: int) -> None:
        """Set up evaluation: tiles of rows, and buffers for the best parameters."""
        linked, slots = self.program.linked, self.program.slots
        evaluate = linked.sections["evaluate"]
        tiles, rest = divmod(held, EVALUATION_ROWS)
        if tiles:
            self._records("tile", [evaluate.bind(EVALUATION_ROWS, threads)])
        if rest:
            self._records("end", [evaluate.bind(rest, threads)])
        moved = []
        for key, index in slots["tiles"].items():
            rows = np.arange(held, dtype=np.uint32) if key == "position" else np.ascontiguousarray(validation[key])
            self._kept.append(rows)
            moved.append((index, rows.ctypes.data, EVALUATION_ROWS * rows.strides[0]))
        self._set(tiles=tiles)
        self._table("moved", "moved_count", moved, 3)
        carry = unflatten(self.structure, list(range(len(self.shapes))))
        places, self.best_structure = flatten((carry["parameters"], carry["state"]))
        triples, self.best = [], []
        for place in places:
            slot = linked.slots[slots["carry"][place]]
            kept = aligned(slot.size.at(0), slot.dtype)
            self.best.append((kept, self.shapes[place]))
            triples.append((slot.index, kept.ctypes.data, kept.nbytes))
        self._table("best", "best_count", triples, 3)

    def _set(self, **values: int) -> None:
        for key, value in values.items():
            self.fields[conductor.TRAIN.index(key)] = value

    def _get(self, key: str) -> int:
        return int(self.fields[conductor.TRAIN.index(key)])

    def _records(self, key: str, parts: Sequence[Bound]) -> None:
        records = np.concatenate([part.records for part in parts])
        self._kept += [records, *parts]
        self.threads = max(self.threads, *(part.threads for part in parts))
        self._set(**{key: records.ctypes.data, f"{key}_count": len(records)})

    def _table(self, key: str, count: str, rows: Any, width: int) -> None:
        table = np.array(rows, np.int64).reshape(-1, width)
        self._kept.append(table)
        self._set(**{key: table.ctypes.data, count: len(table)})

    def accept(self, loop: Loop) -> None:
        """Take over the carry of a loop, unless it is the one that came from here."""
        if loop.kept is not self._seen:
            self._put(loop.kept)

    def serve(self, program: Program, plan: Plan, settings: Any, training: Batch, validation: Batch | None) -> bool:
        """Get ready for another run of the same shape over the same rows; says whether this memory fits it."""
        if program is not self.source or (plan.batch_size, plan.tile_rows) != self._fits:
            return False
        if training is not self._rows[0] or validation is not self._rows[1]:
            return False
        for index, value in zip(self.program.slots["settings"], flatten(settings)[0], strict=True):
            self.buffers.held(index)[0] = value
        self._set(patience=-1 if plan.patience is None else plan.patience)
        if self.first_epoch or not _same_key(self._order_key, plan.order.key):
            self.known_epochs = 0
        self._order_key = plan.order.key
        self.pace = 0.0
        return True

    def _put(self, carry: Any) -> None:
        for index, leaf in zip(self.program.slots["carry"], flatten(carry)[0], strict=True):
            self._at(index)[:] = np.ravel(leaf)
        self._seen, self._ahead = carry, False

    def _at(self, index: int) -> Array:
        """Return the array that a slot is now: the buffers of the old and the new carry change places every step."""
        return self._arrays[int(self.buffers.table[index])]

    def settle(self, loop: Loop) -> None:
        """Copy the carry out, if it has changed since that was done."""
        if self._ahead:
            leaves = [
                self._at(index).reshape(shape).copy()
                for index, shape in zip(self.program.slots["carry"], self.shapes, strict=True)
            ]
            loop.kept = self._seen = unflatten(self.structure, leaves)
            self._ahead = False

    def train(self, plan: Plan, loop: Loop, budget: int, pool: int) -> int:
        """Go on for at most so many steps; returns the conductor's status (negative: in an evaluation)."""
        self._order(plan, loop)
        first = self.first_epoch
        last = min(first + self.known_epochs, plan.epochs, loop.epoch + EPOCHS_A_CALL)
        history = np.full((last - first, 4), np.nan)
        self._set(
            pool=pool, epoch=loop.epoch - first, last_epoch=last - first, batch=loop.batch, budget=budget,
            steps=loop.step, unconverged=loop.unconverged, waited=loop.waited, history=history.ctypes.data,
            has_best=loop.best is not None, best_epoch=-1,
        )  # fmt: skip
        numbers = {"loss": loop.epoch_loss, "count": loop.epoch_count, "rate": loop.last_rate}
        numbers["best_loss"] = 0.0 if loop.best is None else loop.best.loss
        for key, number in numbers.items():
            self._numbers[conductor.TRAIN.index(key)] = number
        self.buffers.status[0] = 0
        before, steps_before = loop.epoch, loop.step
        status = int(self.program.call(self.fields.ctypes.data))
        loop.step, loop.batch, loop.unconverged = self._get("steps"), self._get("batch"), self._get("unconverged")
        loop.waited, loop.epoch = self._get("waited"), self._get("epoch") + first
        loop.epoch_loss, loop.epoch_count, loop.last_rate = (
            float(self._numbers[conductor.TRAIN.index(k)]) for k in ("loss", "count", "rate")
        )
        self._ahead = self._ahead or loop.step != steps_before
        for epoch in range(before, loop.epoch):
            loss, held, rate, step = history[epoch - first].tolist()
            entry = {"epoch": epoch + 1, "step": int(step), "loss": loss}
            if self._get("best_count"):
                entry["validation_loss"] = held
            loop.history.append({**entry, "learning_rate": rate})
        best = self._get("best_epoch")
        if best >= 0:
            loss, step = float(self._numbers[conductor.TRAIN.index("best_loss")]), int(history[best, 3])
            parameters, state = unflatten(self.best_structure, [b.reshape(s).copy() for b, s in self.best])
            loop.best = Best(loss, first + best + 1, step, parameters, state)
        return status

    def _order(self, plan: Plan, loop: Loop) -> None:
        """Make the orders of the epochs to come, unless they are here."""
        if self.first_epoch <= loop.epoch < self.first_epoch + self.known_epochs:
            return
        left = plan.epochs - loop.epoch
        count = 1 if plan.order.key is None else min(max(ORDER_NUMBERS // self.rows, 1), left)
        self.orders = np.ascontiguousarray(plan.order.several(loop.epoch, count, random_words), np.int64)
        self.first_epoch, self.known_epochs = loop.epoch, left if plan.order.key is None else count
        self._set(order=self.orders.ctypes.data, order_stride=0 if plan.order.key is None else self.rows)


def _same_key(one: Array | None, other: Array | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.array_equal(one, other))
