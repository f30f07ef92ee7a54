"""Training runs in native code: the memory of a run, and the calls that take it on.

Steps, epochs, evaluation and patience go by in one call, with no Python in between.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.errors import ExecutionError
from chainrule.execute.native import epochs, link, store
from chainrule.execute.native.arena import Bound, Buffers, Linked, aligned
from chainrule.execute.native.pace import Pace
from chainrule.execute.native.settings import debugging
from chainrule.execute.native.tiny import is_tiny, write_tiny
from chainrule.execute.native.words import random_words
from chainrule.execute.program import Batch, Best, Loop, Plan, Program
from chainrule.execute.training import EVALUATION_ROWS
from chainrule.graph import flatten, unflatten

Array = np.ndarray[Any, Any]
_TRAIN = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
ORDER_NUMBERS = 1 << 16
"""About so many row numbers are made at once: the orders of several epochs, where these are short."""
ORDERS_KEPT = 8
"""So many of these are kept for the next run of the same shape, which mostly has the same order of rows."""
EPOCHS_A_CALL = 1024


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
        self._put(loop)
        for slot, value in zip((linked.slots[i] for i in slots["settings"]), flatten(settings)[0], strict=True):
            buffers.hold(slot, np.array(value).reshape(-1))
        self._settings = settings
        self._order_key = plan.order.key
        for name, index in slots["data"].items():
            buffers.hold(linked.slots[index], np.ascontiguousarray(training[name]))
        for slot in linked.of("sum"):
            buffers.allocate(slot, 0)
        for slot in linked.of("position"):
            buffers.hold(slot, np.arange(self.size, dtype=np.uint32))
        report = buffers.allocate(linked.slots[slots["report"]], 0)
        tile_report = buffers.allocate(linked.slots[slots["tile_report"]], 0)

        self.fields = np.zeros(len(epochs.TRAIN), np.int64)
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
        self._made: dict[tuple[int, int], Array] = {}
        self._serves = False
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
        places, self.best_structure = flatten((carry[self.source.evaluated], carry["state"]))
        triples, self.best = [], []
        for place in places:
            slot = linked.slots[slots["carry"][place]]
            kept = aligned(slot.size.at(0), slot.dtype)
            self.best.append((kept, self.shapes[place]))
            triples.append((slot.index, kept.ctypes.data, kept.nbytes))
        self._table("best", "best_count", triples, 3)

    def _set(self, **values: int) -> None:
        for key, value in values.items():
            self.fields[epochs.TRAIN.index(key)] = value

    def _get(self, key: str) -> int:
        return int(self.fields[epochs.TRAIN.index(key)])

    def _records(self, key: str, parts: Sequence[Bound]) -> None:
        records = np.concatenate([part.records for part in parts])
        self._kept += [records, *parts]
        self.threads = max(self.threads, *(part.threads for part in parts))
        self._set(**{key: records.ctypes.data, f"{key}_count": len(records)})

    def _table(self, key: str, count: str, rows: Any, width: int) -> None:
        table = np.array(rows, np.int64).reshape(-1, width)
        self._kept.append(table)
        self._set(**{key: table.ctypes.data, count: len(table)})

    def accept(self, loop: Loop, settings: Any) -> None:
        """Take over the carry of a loop, unless it is the one that came from here, and the settings."""
        if settings is not self._settings:
            if (
                loop.kept is self._seen
            ):  # what is replayed after a step that went wrong begins here: with these settings
                self.settle(loop)
            self._set_settings(settings)
        if loop.kept is not self._seen:
            self._put(loop)

    def _set_settings(self, settings: Any) -> None:
        for index, value in zip(self.program.slots["settings"], flatten(settings)[0], strict=True):
            self.buffers.held(index)[0] = value
        self._settings = settings

    def serve(self, program: Program, plan: Plan, settings: Any, training: Batch, validation: Batch | None) -> bool:
        """Get ready for another run of the same shape over the same rows; says whether this memory fits it."""
        if program is not self.source or (plan.batch_size, plan.tile_rows) != self._fits:
            return False
        if training is not self._rows[0] or validation is not self._rows[1]:
            return False
        self._set_settings(settings)
        self._set(patience=-1 if plan.patience is None else plan.patience)
        if not _same_key(self._order_key, plan.order.key):
            self._made.clear()
        self.known_epochs = 0
        self._serves, self._order_key = True, plan.order.key
        return True

    def _put(self, loop: Loop) -> None:
        for index, leaf in zip(self.program.slots["carry"], flatten(loop.kept)[0], strict=True):
            self._at(index)[:] = np.ravel(leaf)
        self._see(loop)

    def _see(self, loop: Loop) -> None:
        """Note that the carry in this memory is the loop's, and where the loop is."""
        self._seen, self._ahead = loop.kept, False
        self._seen_at = loop.epoch, loop.batch, loop.step

    def _at(self, index: int) -> Array:
        """Return the array that a slot is now: where it is not written over, old and new change places every step."""
        return self._arrays[int(self.buffers.table[index])]

    def settle(self, loop: Loop) -> None:
        """Copy the carry out, if it has changed since that was done."""
        if self._ahead:
            leaves = [
                self._at(index).reshape(shape).copy()
                for index, shape in zip(self.program.slots["carry"], self.shapes, strict=True)
            ]
            loop.kept = unflatten(self.structure, leaves)
            self._see(loop)

    def restore(self, plan: Plan, loop: Loop) -> None:
        """After a step that went wrong: bring back the carry before it, which the step may have written over.

        The steps since the carry was last seen outside are taken again; they come out the same to the bit.
        """
        if not self.program.slots["overwritten"]:
            return
        epoch, batch, step = self._seen_at
        again = replace(loop, kept=self._seen, epoch=epoch, batch=batch, step=step, best=None, history=[], machine=None)
        self._put(again)
        fields = self.fields.copy()
        self._set(tiles=0, end_count=0, patience=-1)
        while again.step < loop.step:
            before = again.step
            status = self.train(plan, again, loop.step - before, 0)
            if again.step == before:
                raise ExecutionError(f"step {before + 1} failed when it was taken again (status {status})")
        self.fields[:] = fields
        self.known_epochs = 0
        self._ahead = loop.step > step

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
            self._numbers[epochs.TRAIN.index(key)] = number
        self.buffers.status[0] = 0
        before, steps_before = loop.epoch, loop.step
        status = int(self.program.call(self.fields.ctypes.data))
        loop.step, loop.batch, loop.unconverged = self._get("steps"), self._get("batch"), self._get("unconverged")
        loop.waited, loop.epoch = self._get("waited"), self._get("epoch") + first
        loop.epoch_loss, loop.epoch_count, loop.last_rate = (
            float(self._numbers[epochs.TRAIN.index(k)]) for k in ("loss", "count", "rate")
        )
        self._ahead = self._ahead or loop.step != steps_before
        held_out = bool(self._get("best_count"))
        ended = history[before - first : loop.epoch - first].tolist()
        for epoch, (loss, held, rate, step) in enumerate(ended, start=before + 1):
            entry = {"epoch": epoch, "step": int(step), "loss": loss}
            if held_out:
                entry["validation_loss"] = held
            entry["learning_rate"] = rate
            loop.history.append(entry)
        best = self._get("best_epoch")
        if best >= 0:
            loss, step = float(self._numbers[epochs.TRAIN.index("best_loss")]), int(history[best, 3])
            parameters, state = unflatten(self.best_structure, [b.reshape(s).copy() for b, s in self.best])
            loop.best = Best(loss, first + best + 1, step, parameters, state)
        return status

    def _order(self, plan: Plan, loop: Loop) -> None:
        """Make the orders of the epochs to come, unless they are here."""
        if self.first_epoch <= loop.epoch < self.first_epoch + self.known_epochs:
            return
        left = plan.epochs - loop.epoch
        count = 1 if plan.order.key is None else min(max(ORDER_NUMBERS // self.rows, 1), left)
        orders = self._made.get((loop.epoch, count))
        if orders is None:
            orders = plan.order.several(loop.epoch, count, random_words)
            if self._serves and len(self._made) < ORDERS_KEPT:
                self._made[loop.epoch, count] = orders
        self.orders = orders
        self.first_epoch, self.known_epochs = loop.epoch, left if plan.order.key is None else count
        self._set(order=orders.ctypes.data, order_stride=orders.strides[0] // orders.itemsize)


def _same_key(one: Array | None, other: Array | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.array_equal(one, other))
