"""Training programs as machine code: many steps in one call, with no Python in between.

One native function runs batches first … last of an epoch: it gathers the rows, measures, applies, checks that all is
finite, and only then writes the new carry over the old one. The carry lives in buffers of its own between calls.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.execute.native import engine, nests
from chainrule.execute.native.arena import Buffers
from chainrule.execute.native.compile import Compiler
from chainrule.execute.native.frame import Frame
from chainrule.execute.native.layout import View, whole
from chainrule.execute.native.link import link
from chainrule.execute.program import Program
from chainrule.graph import Graph, Type, flatten, simplify, unflatten

HEAD = "define i32 @train(ptr %slots, ptr %order, i64 %rows, i64 %size, i64 %first, i64 %last, ptr %totals)"
_TRAIN = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64,
    ctypes.c_void_p,
)  # fmt: skip
NON_FINITE, OUT_OF_RANGE = 2, 1
TOTALS = ("loss", "count", "steps", "unconverged", "rate")


class NativeProgram:
    """A compiled training program: ``train`` runs batches of an epoch on buffers that hold the carry."""

    def __init__(self, program: Program) -> None:
        measure, apply = simplify(program.measure)[0], simplify(program.apply)[0]
        c = Compiler(engine.host()["vector_bytes"], HEAD)
        self.program = program
        self._write(c, measure, apply)
        self.text = c.module.text()
        self.slots = c.slots
        self._library = link(self.text, "train", c.products)
        self._call = _TRAIN(self._library.address("train"))

    def _write(self, c: Compiler, measure: Graph, apply: Graph) -> None:
        """Write the loop over batches around the two graphs."""
        f = c.f
        assert measure.takes is not None
        assert apply.takes is not None
        inputs = unflatten(measure.takes, list(measure.inputs))
        parameters, state, clock, settings, batch = inputs
        carry_nodes, setting_nodes, sums_nodes = unflatten(apply.takes, list(apply.inputs))
        carry_leaves = flatten(carry_nodes)[0]
        self.carry = [c.slot("carry", leaf.type) for leaf in carry_leaves]
        self.settings = [c.slot("setting", leaf.type) for leaf in flatten(setting_nodes)[0]]
        self.data = {k: c.slot("data", Type(v.type.dtype, ())) for k, v in batch.items() if k != "position"}
        carry_views = [whole(s, leaf.type) for s, leaf in zip(self.carry, carry_leaves, strict=True)]
        carry = unflatten(flatten(carry_nodes)[1], carry_views)
        setting_views = [whole(s, n.type) for s, n in zip(self.settings, flatten(setting_nodes)[0], strict=True)]
        fresh = [c.temporary(leaf.type) for leaf in carry_leaves]

        with f.loop("%first", "%last") as index:
            begin = f.put(f"mul nsw i64 {index}, %size")
            left = f.put(f"sub nsw i64 %rows, {begin}")
            short = f.put(f"icmp slt i64 {left}, %size")
            n = f.put(f"select i1 {short}, i64 {left}, i64 %size")
            c.frame = Frame(f, n, c.frame.vector_bytes, c.frame.bases)
            batch_views = self._gather(c, batch, begin)
            carried = flatten((carry["parameters"], carry["state"], carry["clock"]))[0]
            views = dict(zip(flatten((parameters, state, clock))[0], carried, strict=True))
            views.update(zip(flatten(settings)[0], setting_views, strict=True))
            views.update({batch[k]: batch_views[k] for k in batch})
            sums = c.write(measure, views, [None] * len(measure.outputs))
            given = dict(zip(carry_leaves, carry_views, strict=True))
            given.update(zip(flatten(setting_nodes)[0], setting_views, strict=True))
            given.update(zip(flatten(sums_nodes)[0], sums, strict=True))
            assert apply.gives is not None
            after, report = unflatten(apply.gives, list(range(len(apply.outputs))))
            targets: list[View | None] = [None] * len(apply.outputs)
            for place, view in zip(flatten(after)[0], fresh, strict=True):
                targets[place] = view
            results = c.write(apply, given, targets)
            self._commit(c, results, report, sums, measure, fresh, carry_views, index)
        f.do("br label %end")
        f.start("end")
        status = f.put("load i32, ptr %status")
        c.finish(status)

    def _gather(self, c: Compiler, batch: dict[str, Any], begin: str) -> dict[str, View]:
        """Copy a batch's rows, chosen by the order, next to each other."""
        f, frame = c.f, c.frame
        views = {k: c.temporary(node.type) for k, node in batch.items()}
        sources = {k: frame.bases[slot.index] for k, slot in self.data.items()}
        starts = {k: frame.pointer(v) for k, v in views.items()}
        with f.loop("0", frame.n) as i:
            place = f.add(begin, i)
            at = f.put(f"getelementptr inbounds i64, ptr %order, i64 {place}")
            row = f.put(f"load i64, ptr {at}, align 8")
            for k, node in batch.items():
                kind = Type(node.type.dtype, node.shape[1:])
                width = str(int(np.prod([d for d in kind.shape if isinstance(d, int)], dtype=np.int64)))
                to = frame.step(starts[k], kind.dtype, f.times(i, width))
                if k == "position":
                    f.do(f"store i32 {f.put(f'trunc i64 {i} to i32')}, ptr {to}, align 4")
                    continue
                source = frame.step(sources[k], kind.dtype, f.times(row, width))
                nests.copy_nest(frame, c.pointer_view(source, kind), c.pointer_view(to, kind))
        return views

    def _commit(
        self, c: Compiler, results: Sequence[View], report: dict[str, int], sums: Sequence[View], measure: Graph,
        fresh: Sequence[View], carry: Sequence[View], index: str,
    ) -> None:  # fmt: skip
        """Write the new carry over the old, unless something is not finite; every old value has been read by now."""
        f, frame = c.f, c.frame
        finite = frame.load(frame.pointer(results[report["finite"]]), "bool").name
        bad, good = f.label("bad"), f.label("good")
        f.do(f"br i1 {finite}, label %{good}, label %{bad}")
        f.start(bad)
        f.do(f"store i32 {NON_FINITE}, ptr %status")
        f.do("br label %end")
        f.start(good)
        status = f.put("load i32, ptr %status")
        wrong = f.put(f"icmp ne i32 {status}, 0")
        go = f.label("go")
        f.do(f"br i1 {wrong}, label %end, label %{go}")
        f.start(go)
        for new, old in zip(fresh, carry, strict=True):
            nests.copy_nest(frame, new, old)
        assert measure.gives is not None
        names = unflatten(measure.gives, list(range(len(measure.outputs))))
        converged = frame.load(frame.pointer(results[report["converged"]]), "bool").name
        missed = f.put(f"xor i1 {converged}, true")
        amounts = {
            "loss": self._double(c, sums[names["loss"]]),
            "count": self._double(c, sums[names["count"]]),
            "steps": "1.0",
            "unconverged": f.put(f"uitofp i1 {missed} to double"),
        }
        for k, amount in amounts.items():
            at = f.put(f"getelementptr inbounds double, ptr %totals, i64 {TOTALS.index(k)}")
            before = f.put(f"load double, ptr {at}, align 8")
            f.do(f"store double {f.put(f'fadd double {before}, {amount}')}, ptr {at}, align 8")
        at = f.put(f"getelementptr inbounds double, ptr %totals, i64 {TOTALS.index('rate')}")
        f.do(f"store double {self._double(c, results[report['learning_rate']])}, ptr {at}, align 8")

    def _double(self, c: Compiler, view: View) -> str:
        value = c.frame.load(c.frame.pointer(view), view.dtype)
        return value.name if view.dtype == "f64" else c.f.put(f"fpext {value.type} {value.name} to double")


class NativeState:
    """The buffers of one training run: carry, settings and data, and the calls that advance it."""

    def __init__(
        self, program: NativeProgram, source: Program, carry: Any, settings: Any, data: Any, batch_size: int
    ) -> None:
        self.program = program
        self.source = source
        self.burst = 1
        self.buffers = Buffers(program.slots, batch_size)
        self.structure = flatten(carry)[1]
        self.shapes = [np.shape(leaf) for leaf in flatten(carry)[0]]
        self.carry = [self.buffers.allocate(slot) for slot in program.carry]
        self.put(carry)
        for slot, value in zip(program.settings, flatten(settings)[0], strict=True):
            self.buffers.hold(slot, np.array(value))
        for name, slot in program.data.items():
            self.buffers.hold(slot, np.ascontiguousarray(data[name]))
        self.rows = len(data["x"])
        self.size = batch_size
        self.totals = np.zeros(len(TOTALS))

    def put(self, carry: Any) -> None:
        """Set the carry."""
        for buffer, leaf in zip(self.carry, flatten(carry)[0], strict=True):
            buffer[:] = np.ravel(leaf)

    def get(self) -> Any:
        """Return a copy of the carry."""
        leaves = [buffer.reshape(shape).copy() for buffer, shape in zip(self.carry, self.shapes, strict=True)]
        return unflatten(self.structure, leaves)

    def train(self, order: Any, first: int, last: int) -> int:
        """Run batches ``first`` to ``last`` of an epoch; totals are added up in ``self.totals``; returns the status."""
        call = self.program._call
        return int(call(
            self.buffers.address, order.ctypes.data, self.rows, self.size, first, last, self.totals.ctypes.data
        ))  # fmt: skip
