"""The native executor: graphs and training programs as machine code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from chainrule.errors import ExecutionError
from chainrule.execute.native import epochs, link
from chainrule.execute.native.function import STATUS, NativeFunction, write_function
from chainrule.execute.native.pool import helpers
from chainrule.execute.native.program import write_program
from chainrule.execute.native.state import NativeProgram, NativeState
from chainrule.execute.native.store import linked
from chainrule.execute.program import Batch, Loop, Plan, Program
from chainrule.execute.threads import cpu_count
from chainrule.execute.training import EXECUTOR as REFERENCE
from chainrule.execute.training import NOT_FOUND, TrainingReference, gather
from chainrule.graph import Graph, refuse_free

Array = np.ndarray[Any, Any]
PREDICTION_ROWS = 1024
"""Predictions are computed in tiles of so many rows: what lies between two layers stays in the cache."""
TURN_SECONDS = 0.05
"""After so long it is asked again whether helpers are worth having."""
CALL_SECONDS = 0.02
"""About how long one call of native code lasts: Python looks at Ctrl-C and the clock in between."""


class Native(TrainingReference):
    """Runs graphs and training programs as machine code for this machine's CPU."""

    name = "native"

    def __init__(self) -> None:
        super().__init__()
        self._functions: WeakKeyDictionary[Graph, NativeFunction] = WeakKeyDictionary()
        self._programs: WeakKeyDictionary[Program, dict[tuple[bool, bool], NativeProgram]] = WeakKeyDictionary()

    def compile(self, graph: Graph) -> NativeFunction:
        """Return the machine code of a graph, compiled when it is first asked for."""
        found = self._functions.get(graph)
        if found is None:
            refuse_free(graph)
            with link.lock:  # threads that ask at once wait for the one that compiles
                found = self._functions.get(graph)
                if found is None:
                    code, _ = linked("function", [graph], lambda: write_function(graph))
                    found = self._functions[graph] = NativeFunction(graph, code)
        return found

    def prepare(self, graph: Graph) -> Callable[[Sequence[Array], int], list[Array]]:
        """Return a graph's machine code as a function of contiguous arrays of its types and the number of rows."""
        return partial(self.compile(graph).call, graph)

    def run(self, graph: Graph, arrays: Sequence[Any], rows: int | None = None) -> list[Array]:
        """Return the graph's outputs for the given inputs."""
        return self.compile(graph)(graph, arrays, rows)

    def run_prepared(
        self, graph: Graph, arrays: Sequence[Any], row_by_row: bool = False, rows: int | None = None
    ) -> list[Array]:
        """Return the graph's outputs; a row's bits never depend on the rows beside it."""
        return self.run(graph, arrays, rows)

    def run_rows(self, graph: Graph, arrays: Sequence[Any], x: Array) -> list[Array]:
        """Return the outputs for many rows of x; a row's bits do not depend on the rows beside it."""
        return self.compile(graph).rows(graph, arrays, x, PREDICTION_ROWS, cpu_count)

    def compile_program(self, program: Program, tiled: bool = False, evaluated: bool = True) -> NativeProgram:
        """Return the machine code of a training program, compiled when it is first asked for.

        Where no rows are held out nothing is ``evaluated``, and its code need not be made.
        """
        with link.lock:
            known = self._programs.setdefault(program, {})
            if (tiled, evaluated) not in known:
                graphs = [program.measure, program.apply, *([program.evaluate] if evaluated else [])]
                for graph in graphs:
                    refuse_free(graph)
                purpose = f"program {tiled}" + (f" {program.evaluated}" if program.evaluated != "parameters" else "")
                code, slots = linked(purpose, graphs, lambda: write_program(program, tiled, evaluated))
                known[tiled, evaluated] = NativeProgram(code, slots)
            return known[tiled, evaluated]

    def state_of(
        self,
        program: Program,
        plan: Plan,
        loop: Loop,
        settings: Any,
        training: Batch,
        validation: Batch | None,
        threads: int | None = None,
    ) -> NativeState:
        """Return the memory of a training run, made when it starts."""
        state = loop.machine
        if not isinstance(state, NativeState) or state.source is not program:
            rows = min(plan.batch_size, len(training["x"]))
            tiled = not program.whole_batch and (plan.tile_rows or rows) < rows
            compiled = self.compile_program(program, tiled, validation is not None)
            state = loop.machine = NativeState(
                compiled, program, plan, loop, settings, training, validation, threads or cpu_count()
            )
        state.accept(loop, settings)
        return state

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
        threads: int | None = None,
    ) -> None:
        """Go on with a training loop, until its end, a step number, or about so many seconds from now."""
        end = None if seconds is None else monotonic() + seconds
        state = self.state_of(program, plan, loop, settings, training, validation, threads)
        first = loop.step
        while loop.status == "running" and (until is None or loop.step < until):
            if end is not None and loop.step > first and monotonic() >= end:  # a slice has at least one step
                return
            status = self._turn(state, plan, loop, until, end)
            if status == epochs.EARLY:
                loop.status = "early"
            elif status not in (epochs.PAUSED, epochs.FINISHED):
                if status > 0:
                    state.restore(plan, loop)
                self._stopped(status, program, plan, loop, settings, training, validation)
            elif loop.epoch >= plan.epochs:
                loop.status = "done"

    def _turn(self, state: NativeState, plan: Plan, loop: Loop, until: int | None, end: float | None) -> int:
        """Go on for about ``TURN_SECONDS``, with helpers or alone; returns the conductor's last status."""
        begun, first, status = monotonic(), loop.step, epochs.PAUSED
        with helpers(state.threads if state.helped.together else 1) as pool:
            while status in (epochs.PAUSED, epochs.FINISHED) and loop.epoch < plan.epochs:
                now = monotonic()
                left = CALL_SECONDS if end is None else min(CALL_SECONDS, end - now)
                if loop.step > first and (left <= 0 or now - begun > TURN_SECONDS):
                    break
                budget = max(1, int(state.pace * left))
                if until is not None:
                    budget = min(budget, until - loop.step)
                    if budget <= 0:
                        break
                before = loop.step
                status = state.train(plan, loop, budget, pool)
                state.pace = (loop.step - before) / max(monotonic() - now, 1e-6)
        taken = monotonic() - begun
        if state.threads > 1 and taken > TURN_SECONDS / 4:  # of a shorter turn not much can be said
            state.helped.learn(bool(pool), loop.step - first, taken)
        return status

    def _stopped(
        self, status: int, program: Program, plan: Plan, loop: Loop, settings: Any, training: Batch,
        validation: Batch | None,
    ) -> None:  # fmt: skip
        """Replay the step (or the evaluation) that failed on the reference, which names what went wrong."""
        carry = loop.carry
        if status < 0 and validation is not None:
            REFERENCE.evaluate(program, carry[program.evaluated], carry["state"], settings, validation)
        rows = plan.order(loop.epoch)[loop.batch * plan.batch_size : (loop.batch + 1) * plan.batch_size]
        batch = gather(training, rows)
        if status == epochs.NON_FINITE:
            loop.status = "non-finite"
            sums = REFERENCE.measure(program, carry, settings, batch, plan.tile_rows)
            loop.problem = REFERENCE.blame(program, loop, settings, batch, sums, plan.tile_rows)
            if loop.problem == NOT_FOUND:
                loop.problem += " in machine code, which takes numbers below the smallest normal one for 0"
            return
        REFERENCE.measure(program, carry, settings, batch, plan.tile_rows)
        raise ExecutionError(
            f"native code stopped ({STATUS.get(abs(status), status)}) in a step that the reference executor takes"
        )


__all__ = ["Native"]
