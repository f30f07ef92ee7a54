"""Training programs as code: a step (gather, measure, apply, report) and an evaluation over one table of slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from chainrule.execute.native import epochs
from chainrule.execute.native.code import Code
from chainrule.execute.native.compile import Compiler
from chainrule.execute.native.frame import columns
from chainrule.execute.native.layout import ITEM_BYTES, Extent, Slot, View, product, whole
from chainrule.execute.native.overwrite import overwritable
from chainrule.execute.native.settings import debugging, vector_bytes
from chainrule.execute.native.vector import Value, VectorBuilder
from chainrule.execute.program import Program
from chainrule.graph import Node, Rows, Type, flatten, simplify, unflatten


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
        self.report = c.slot("report", Type("f64", (len(epochs.REPORT),)))
        self.tile_report = c.slot("report", Type("f64", (len(epochs.REPORT),)))
        self.carried = unflatten(flatten(self.carry_tree)[1], [whole(s, n.type) for s, n in zip(
            self.carry, self.carry_nodes, strict=True)])  # fmt: skip
        self.setting_views = [
            whole(s, n.type) for s, n in zip(self.settings, flatten(self.setting_tree)[0], strict=True)
        ]
        self.pairs: list[tuple[int, int]] = []
        self.data: dict[str, int] = {}
        self.tiles: dict[str, int] = {}
        self.position: Slot | None = None
        self.overwritten = False

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
            "overwritten": self.overwritten,
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
        part = self.c.packed(part)  # a gradient may be the transpose of what was computed
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
        followed = dict(zip(flatten(after)[0], self.carry_nodes, strict=True))
        seen = {view.slot.index for view in sums}  # sums that are parameters themselves are read as they were
        free = overwritable(apply, {p: n for p, n in followed.items() if given[n].slot.index not in seen})
        for place, node, slot in zip(followed, self.carry_nodes, self.carry, strict=True):
            if place in free:
                targets[place] = given[node]
                self.overwritten = True
            elif apply.outputs[place] is not node:  # what a step does not change needs no second buffer
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
            flatten((parameters, state))[0],
            flatten((carried[self.program.evaluated], carried["state"]))[0], strict=True,
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
                place = str(epochs.REPORT.index(key))
                frame.store(builder.cast(value, "f64"), frame.step(to, "f64", place))
