"""Tiny training programs: many steps in one call, with the whole carry in registers from step to step.

What does not change from step to step (settings, and what follows from them) is computed before the first one. A step
whose loss or update is not finite is not taken: the carry that is written back is the one before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import numpy as np

from chainrule.execute.native import epochs
from chainrule.execute.native.code import Code
from chainrule.execute.native.emit import Function, Module
from chainrule.execute.native.straight import MOST_WORK, Straight, work
from chainrule.execute.native.vector import Value
from chainrule.execute.program import Program
from chainrule.graph import Graph, Node, depends_on, flatten, simplify, unflatten

HEAD = "define i64 @{}(ptr %slots, ptr %order, i64 %first, i64 %last, ptr %totals)"
TOTALS = {"loss": 0, "count": 1, "missed": 3, "rate": 4}
"""Where the conductor keeps what is added up, as doubles."""


def is_tiny(program: Program, size: int) -> bool:
    """Are steps of so many rows short enough for straight-line code?"""
    found = [work(graph, size) for graph in (program.measure, program.apply)]
    return all(w is not None for w in found) and sum(w for w in found if w) <= MOST_WORK


def write_tiny(program: Program, slots: Mapping[str, Any], size: int) -> tuple[Code, str]:
    """Write steps of ``size`` rows as one function; returns its code, and its name."""
    text = _Tiny(simplify(program.measure)[0], simplify(program.apply)[0], slots, size).text()
    name = f"tiny{blake2b(text.encode(), digest_size=12).hexdigest()}"
    return Code([], {}, {name: text.replace("@TINY(", f"@{name}(", 1)}), name


class _Tiny:
    """One function being written: what is known before the first step, and the loop over steps."""

    def __init__(self, measure: Graph, apply: Graph, slots: Mapping[str, Any], size: int) -> None:
        self.measure, self.apply, self.slots, self.size = measure, apply, slots, size
        self.module = Module()
        self.f = Function(self.module, HEAD.format("TINY"))
        self.straight = Straight(self.f, size)
        assert apply.takes is not None
        carry, settings, sums = unflatten(apply.takes, list(apply.inputs))
        self.carry_tree, self.sums = carry, flatten(sums)[0]
        self.carry = flatten(carry)[0]
        self.settings = flatten(settings)[0]

    def text(self) -> str:
        f, straight = self.f, self.straight
        values = straight.values
        start = [straight.load_slot(index, node) for index, node in zip(self.slots["carry"], self.carry, strict=True)]
        for index, node in zip(self.slots["settings"], self.settings, strict=True):
            values[node] = straight.load_slot(index, node)
        order = "%order"
        data = {key: straight.slot(index) for key, index in self.slots["data"].items()}
        batch = self._share_inputs()
        self._write_fixed(batch)
        totals = {key: self._total(place) for key, place in TOTALS.items()}
        head, body, commit, done = (f.label(stem) for stem in ("head", "body", "commit", "done"))
        before = f.block
        f.do(f"br label %{head}")
        f.start(head)
        place = len(f.lines)
        index = f.name("i")
        old = [Value(f.name("old"), v.dtype, v.lanes) for v in start]
        running = {key: f.name("total") for key in TOTALS}
        f.do(f"br i1 {f.put(f'icmp slt i64 {index}, %last')}, label %{body}, label %{done}")
        f.start(body)
        for node, value in zip(self.carry, old, strict=True):
            values[node] = value
        self._share_carry()
        row = f.times(index, str(self.size))
        for key, node in batch.items():
            if node not in values:
                values[node] = straight.rows(data[key], order, node, row)
        straight.write(self.measure.nodes)
        for node, output in zip(self.sums, self.measure.outputs, strict=True):
            values[node] = values[output]
        straight.write(self.apply.nodes)
        assert self.apply.gives is not None
        after, report = unflatten(self.apply.gives, [values[o] for o in self.apply.outputs])
        f.do(f"br i1 {report['finite'].name}, label %{commit}, label %{done}")
        f.start(commit)
        new = self._added(running, report)
        following = f.put(f"add nsw i64 {index}, 1")
        f.do(f"br label %{head}")
        carried = [
            (index, "i64", "%first", following),
            *((o.name, o.type, s.name, a.name) for o, s, a in zip(old, start, flatten(after)[0], strict=True)),
            *((running[key], "double", totals[key], new[key]) for key in TOTALS),
        ]
        f.lines[place:place] = [
            f"  {name} = phi {kind} [ {first}, %{before} ], [ {later}, %{f.block} ]"
            for name, kind, first, later in carried
        ]
        f.start(done)
        changed = {id(node) for node, value in zip(self.carry, flatten(after)[0], strict=True) if value != values[node]}
        for slot, node, value in zip(self.slots["carry"], self.carry, old, strict=True):
            if id(node) in changed:
                straight.store(value, straight.slot(slot))
        for key, at in TOTALS.items():
            f.do(f"store double {running[key]}, ptr {self._total_at(at)}, align 8")
        f.finish(f"ret i64 {index}")
        return self.module.text()

    def _share_inputs(self) -> Mapping[str, Node]:
        """Give the inputs of ``measure`` that are settings their values; returns those that are a batch's."""
        assert self.measure.takes is not None
        *carried, settings, batch = unflatten(self.measure.takes, list(self.measure.inputs))
        values = self.straight.values
        for node, known in zip(flatten(settings)[0], self.settings, strict=True):
            values[node] = values[known]
        self.measured_carry = flatten(tuple(carried))[0]
        if "position" in batch:
            values[batch["position"]] = self.straight.literal(np.arange(self.size, dtype=np.uint32), "u32")
        found: Mapping[str, Node] = batch
        return found

    def _share_carry(self) -> None:
        values, tree = self.straight.values, self.carry_tree
        mine = flatten((tree["parameters"], tree["state"], tree["clock"]))[0]
        for node, known in zip(self.measured_carry, mine, strict=True):
            values[node] = values[known]

    def _write_fixed(self, batch: Mapping[str, Node]) -> None:
        """Write, before the loop, what depends on nothing that changes from step to step."""
        straight = self.straight
        changing = [n for n in (*self.measured_carry, *batch.values()) if n not in straight.values]
        moving = depends_on(self.measure.outputs, changing) | set(changing)
        straight.write([n for n in self.measure.nodes if n not in moving])
        fixed_sums = set()
        for node, output in zip(self.sums, self.measure.outputs, strict=True):
            if output in straight.values:
                straight.values[node] = straight.values[output]
                fixed_sums.add(node)
        changing = [*self.carry, *(s for s in self.sums if s not in fixed_sums)]
        moving = depends_on(self.apply.outputs, changing) | set(changing)
        straight.write([n for n in self.apply.nodes if n not in moving])

    def _total_at(self, place: int) -> str:
        return self.f.put(f"getelementptr inbounds double, ptr %totals, i64 {place}")

    def _total(self, place: int) -> str:
        return self.f.put(f"load double, ptr {self._total_at(place)}, align 8")

    def _added(self, running: Mapping[str, str], report: Mapping[str, Value]) -> dict[str, str]:
        """Return the totals after a step that was taken."""
        f, b = self.f, self.straight.builder
        assert self.measure.gives is not None
        sums = unflatten(self.measure.gives, [self.straight.values[o] for o in self.measure.outputs])
        new = {key: f.put(f"fadd double {running[key]}, {b.cast(sums[key], 'f64').name}") for key in ("loss", "count")}
        missed = f.put(f"select i1 {report['converged'].name}, double 0.0, double 1.0")
        new["missed"] = f.put(f"fadd double {running['missed']}, {missed}")
        new["rate"] = b.cast(report["learning_rate"], "f64").name
        return new


assert set(TOTALS) - {"missed"} <= set(epochs.REPORT), "the totals are those of a step's report"
