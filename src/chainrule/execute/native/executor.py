"""The native executor: graphs as machine code."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from chainrule.errors import ExecutionError
from chainrule.execute.native import engine
from chainrule.execute.native.arena import Buffers
from chainrule.execute.native.compile import OUT_OF_RANGE, Compiler
from chainrule.execute.native.link import link
from chainrule.execute.native.program import NativeProgram, NativeState
from chainrule.execute.program import Batch, Loop, Plan, Program
from chainrule.execute.reference import bind_rows
from chainrule.execute.training import EXECUTOR as REFERENCE
from chainrule.execute.training import TrainingReference, gather
from chainrule.graph import Graph, simplify
from chainrule.graph.types import resolve_shape

Array = np.ndarray[Any, Any]
_RUN = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64)


class NativeFunction:
    """A compiled graph. Stateless: every call brings its own buffers, so threads may call it at once."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        compiler = Compiler(engine.host()["vector_bytes"])
        compiler.compile(simplify(graph)[0])
        self.text = compiler.module.text()
        self.slots = compiler.slots
        self._library = link(self.text, "run", compiler.products)
        self._call = _RUN(self._library.address("run"))
        self._inputs = [s for s in self.slots if s.purpose == "input"]
        self._outputs = [s for s in self.slots if s.purpose == "output"]
        self._spare: list[Buffers] = []

    def __call__(self, arrays: Sequence[Any], rows: int | None = None) -> list[Array]:
        given = [np.asarray(a, order="C") for a in arrays]
        n = bind_rows(self.graph, given, rows)
        outputs = [np.empty(resolve_shape(o.shape, n), o.dtype) for o in self.graph.outputs]
        buffers = self._check_out(n or 0)
        table = buffers.table
        for slot, array in zip(self._inputs, given, strict=True):
            table[slot.index] = array.ctypes.data
        for slot, array in zip(self._outputs, outputs, strict=True):
            table[slot.index] = array.ctypes.data
        status = self._call(buffers.address, n or 0)
        self._spare.append(buffers)
        if status == OUT_OF_RANGE:
            raise ExecutionError("an index is out of range in take or scatter_add; the reference executor names it")
        return outputs

    def _check_out(self, rows: int) -> Buffers:
        """Take spare buffers that are large enough, or make new ones: no two calls ever share theirs."""
        try:
            buffers = self._spare.pop()
        except IndexError:
            return Buffers(self.slots, rows)
        return buffers if buffers.rows >= rows else Buffers(self.slots, rows)


class Native(TrainingReference):
    """Runs graphs and training programs as machine code for this machine's CPU."""

    name = "native"

    def __init__(self) -> None:
        super().__init__()
        self._functions: WeakKeyDictionary[Graph, NativeFunction] = WeakKeyDictionary()
        self._programs: WeakKeyDictionary[Program, NativeProgram] = WeakKeyDictionary()

    def compile(self, graph: Graph) -> NativeFunction:
        """Return the machine code of a graph, compiled when it is first asked for."""
        found = self._functions.get(graph)
        if found is None:
            found = self._functions[graph] = NativeFunction(graph)
        return found

    def run(self, graph: Graph, arrays: Sequence[Any], rows: int | None = None) -> list[Array]:
        """Return the graph's outputs for the given inputs."""
        return self.compile(graph)(arrays, rows)

    def run_prepared(
        self, graph: Graph, arrays: Sequence[Any], row_by_row: bool = False, rows: int | None = None
    ) -> list[Array]:
        """Return the graph's outputs; a row's bits never depend on the rows beside it."""
        return self.run(graph, arrays, rows)

    def state_of(self, program: Program, plan: Plan, loop: Loop, settings: Any, training: Batch) -> NativeState:
        """Return the buffers of a training run, made when it starts."""
        if not isinstance(loop.machine, NativeState) or loop.machine.source is not program:
            compiled = self._programs.get(program)
            if compiled is None:
                compiled = self._programs[program] = NativeProgram(program)
            size = min(plan.batch_size, len(training["x"]))
            loop.machine = NativeState(compiled, program, loop.carry, settings, training, size)
        else:
            loop.machine.put(loop.carry)
        return loop.machine

    def advance(
        self,
        program: Program,
        plan: Plan,
        loop: Loop,
        settings: Mapping[str, Any],
        training: Batch,
        validation: Batch | None,
        *,
        until: int | None = None,
        seconds: float | None = None,
    ) -> None:
        """Go on with a training loop, until its end, a step number, or about so many seconds from now."""
        if plan.tile_rows is not None and plan.tile_rows < plan.batch_size:
            raise ExecutionError("tile_rows is for executor='reference'; the native executor needs whole batches")
        begun, stepped = monotonic(), False
        state = self.state_of(program, plan, loop, settings, training)
        count = len(training["x"])
        batches = -(-count // plan.batch_size)
        burst = state.burst
        while loop.status == "running":
            if loop.epoch >= plan.epochs:
                loop.status = "done"
                break
            order = np.ascontiguousarray(plan.order(loop.epoch), np.int64)
            while loop.batch < batches:
                over = seconds is not None and stepped and monotonic() - begun > seconds
                if over or (until is not None and loop.step >= until):
                    loop.carry = state.get()
                    return
                last = min(loop.batch + burst, batches)
                if until is not None:
                    last = min(last, loop.batch + until - loop.step)
                begin = monotonic()
                state.totals[:] = 0.0
                status = state.train(order, loop.batch, last)
                taken = monotonic() - begin
                burst = state.burst = max(1, burst * 2 if taken < 0.005 else burst // 2 if taken > 0.03 else burst)
                done = int(state.totals[2])
                stepped = True
                loop.epoch_loss += float(state.totals[0])
                loop.epoch_count += float(state.totals[1])
                loop.unconverged += int(state.totals[3])
                loop.last_rate = float(state.totals[4]) if done else loop.last_rate
                loop.step += done
                loop.batch += done
                if status != 0:
                    loop.carry = state.get()
                    self._stopped(status, program, plan, loop, settings, training, order)
                    return
            loop.carry = state.get()
            self._end_epoch(program, plan, loop, settings, validation)
        loop.carry = state.get()

    def _stopped(
        self, status: int, program: Program, plan: Plan, loop: Loop, settings: Any, training: Batch, order: Array
    ) -> None:
        """Replay the step that failed on the reference, which names what went wrong."""
        rows = order[loop.batch * plan.batch_size : (loop.batch + 1) * plan.batch_size]
        batch = gather(training, rows)
        if status == OUT_OF_RANGE:
            REFERENCE.measure(program, loop.carry, settings, batch, None)
            raise ExecutionError("an index is out of range in a step that the reference executor takes")
        loop.status = "non-finite"
        sums = REFERENCE.measure(program, loop.carry, settings, batch, None)
        loop.problem = REFERENCE.blame(program, loop, settings, batch, sums, None)
