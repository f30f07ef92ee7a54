"""L-BFGS as an executor: each step looks at all rows through another executor's ``measure``, and searches along a line.

The carry's ``optimizer`` holds what was learned of the curvature, so that a run can be replayed, copied and resumed
like any other. Nothing is random: the rows stand in one order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

import numpy as np

from chainrule.execute.program import Array, Batch, Loop, Plan, Program
from chainrule.execute.search import Point, strong_wolfe
from chainrule.execute.training import TrainingReference, gather
from chainrule.graph import Graph, flatten, unflatten

LEAST_CURVATURE = 1e-10
"""A pair with a smaller cosine of y and s says nothing of the curvature that rounding does not."""


UNEVEN = 1e3
"""Columns whose largest numbers differ by such a factor are worth a word where the search is stuck."""
ROUNDING = 4.0
"""So many units in the last place of the objective are its rounding, at least."""


@dataclass(frozen=True)
class _Seen:
    """The objective at some parameters: its value and gradient (both in double precision), and what else came of it."""

    value: float
    precision: float
    gradient: Array
    parameters: Any
    sums: Any
    state: Any


class Parts(Protocol):
    """Which of the parameters are trained."""

    def trained(self, parameters: Any) -> Any:
        """Return those that are."""
        ...

    def merged(self, parameters: Any, trained: Any) -> Any:
        """Return parameters in which those have other values."""
        ...


@dataclass(frozen=True)
class QuasiNewton:
    """An executor whose steps are L-BFGS's; all else is done by the one within."""

    inner: TrainingReference
    parts: Parts
    evaluations: int = 25
    """So many times the objective is looked at in one step, at most."""

    @property
    def name(self) -> str:
        return self.inner.name

    def run(self, graph: Graph, arrays: Sequence[Any], rows: int | None = None) -> list[Array]:
        """Compute the graph's outputs."""
        return self.inner.run(graph, arrays, rows)

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
        """Go on, one step an epoch, until the end, a step number, or about so many seconds from now."""
        begun, first = monotonic(), loop.step
        batch = gather(training, np.arange(len(training["x"])))
        known: _Seen | None = None
        while loop.status == "running":
            if loop.epoch >= plan.epochs:
                loop.status = "done"
                return
            if until is not None and loop.step >= until:
                return
            if seconds is not None and loop.step > first and monotonic() - begun > seconds:
                return
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what is not finite is looked for
                known = _Step(self, program, plan, loop, settings, batch).take(known)
            if loop.status == "running":
                self.inner.end_epoch(program, plan, loop, settings, validation)


class _Step:
    """One step of L-BFGS on its way. Vectors hold the parameters that are trained, one after another, as doubles."""

    def __init__(
        self, executor: QuasiNewton, program: Program, plan: Plan, loop: Loop, settings: Mapping[str, Any], batch: Batch
    ) -> None:
        self.executor, self.program, self.plan = executor, program, plan
        self.loop, self.settings, self.batch = loop, settings, batch
        self.carry = loop.carry
        self.memory = self.carry["optimizer"]

    def look(self, parameters: Any) -> _Seen:
        """Return the objective at some parameters."""
        carry = {**self.carry, "parameters": parameters}
        sums = self.executor.inner.measure(self.program, carry, self.settings, self.batch, self.plan.tile_rows)
        found = self.executor.inner.call(self.program.apply, carry, self.settings, sums)
        precision = float(np.finfo(found["loss"].dtype).eps)
        return _Seen(float(found["loss"]), precision, _vector(found["gradient"]), parameters, sums, found["state"])

    def take(self, known: _Seen | None) -> _Seen | None:
        """Take the step, or say in the loop's status why there is none; returns what was seen where it ends.

        ``known`` is that of the step before, whose end is this one's beginning: it need not be looked at twice.
        """
        loop, inner = self.loop, self.executor.inner
        here = known or self.look(self.carry["parameters"])
        if not (np.isfinite(here.value) and np.all(np.isfinite(here.gradient))):
            loop.status = "non-finite"
            loop.problem = inner.blame(self.program, loop, self.settings, self.batch, here.sums, self.plan.tile_rows)
            return None
        steepest = float(np.max(np.abs(here.gradient), initial=0.0))
        if steepest <= float(self.settings["tolerance"]):
            loop.status, loop.problem = "converged", f"no element of the gradient is over {steepest:.3g}"
            return None
        pairs = self._pairs(here)
        best = self._searched(here, pairs)
        if best is None and pairs:  # what was learned of the curvature does not fit here any more
            pairs = []
            best = self._searched(here, pairs)
        if best is None:
            loop.status, loop.problem = "stuck", f"the largest element of the gradient is {steepest:.3g}"
            loop.problem += _advice(self.batch["x"])
            return None
        self._commit(here, best, pairs)
        seen: _Seen = best.found
        return seen

    def _searched(self, here: _Seen, pairs: Sequence[tuple[Array, Array]]) -> Point | None:
        """Return a lower point along the direction that the pairs tell, or None where there is none to be found."""
        direction = _direction(here.gradient, pairs)
        slope = float(here.gradient @ direction)
        if not slope < 0.0:
            return None
        first = 1.0 if pairs else min(1.0, 1.0 / float(np.sum(np.abs(here.gradient))))

        def at(t: float) -> Point:
            found = self.look(self._moved(t, direction))  # a point too far is no error: the search comes back
            return Point(t, found.value, float(found.gradient @ direction), found)

        rounding = ROUNDING * here.precision * abs(here.value)
        start = Point(0.0, here.value, slope, here)
        best = strong_wolfe(at, start, first, self.executor.evaluations, rounding)
        flatter = float(np.max(np.abs(best.found.gradient))) < float(np.max(np.abs(here.gradient)))
        lower = best.value < here.value or (best.value <= here.value + rounding and flatter)
        return best if lower else None

    def _pairs(self, here: _Seen) -> list[tuple[Array, Array]]:
        """Return what is known of the curvature, oldest first: moves s, and the changes y of the gradient over them."""
        memory = self.memory
        count, most = int(memory["pairs"]), len(memory["moves"])
        pairs = list(zip(memory["moves"][:count], memory["changes"][:count], strict=True))
        if not int(memory["step"]):
            return pairs
        move, change = memory["move"], here.gradient - memory["gradient"]
        lengths = float(np.linalg.norm(change) * np.linalg.norm(move))
        if float(change @ move) > LEAST_CURVATURE * lengths:
            pairs.append((move, change))
        return pairs[-most:]

    def _moved(self, t: float, direction: Array) -> Any:
        """Return the parameters after a move along the direction."""
        trained = self.executor.parts.trained(self.carry["parameters"])
        leaves, structure = flatten(trained)
        found, begin = [], 0
        for leaf in leaves:
            part = direction[begin : begin + leaf.size].reshape(leaf.shape)
            begin += leaf.size
            found.append((leaf + t * part).astype(leaf.dtype))
        return self.executor.parts.merged(self.carry["parameters"], unflatten(structure, found))

    def _commit(self, here: _Seen, best: Point, pairs: list[tuple[Array, Array]]) -> None:
        loop, memory, clock = self.loop, self.memory, self.carry["clock"]
        moves, changes = np.zeros_like(memory["moves"]), np.zeros_like(memory["changes"])
        for number, (move, change) in enumerate(pairs):
            moves[number], changes[number] = move, change
        seen = best.found
        old, new = (_vector(self.executor.parts.trained(p)) for p in (here.parameters, seen.parameters))
        loop.carry = {
            **self.carry,
            "parameters": seen.parameters,
            "state": seen.state,
            "optimizer": {
                "step": memory["step"] + np.uint32(1),
                "pairs": np.asarray(len(pairs), np.uint32),
                "moves": moves,
                "changes": changes,
                "move": new - old,
                "gradient": here.gradient,
            },
            "clock": {**clock, "step": clock["step"] + np.uint32(1)},
        }
        loop.epoch_loss += float(here.sums["loss"])
        loop.epoch_count += float(here.sums["count"])
        loop.last_rate = best.t
        loop.step += 1
        loop.batch += 1


def _direction(gradient: Array, pairs: Sequence[tuple[Array, Array]]) -> Array:
    """Return −H g, with H what the pairs say of the inverse Hessian: two loops (Nocedal 1980)."""
    q = -gradient
    shares = []
    for move, change in reversed(pairs):
        share = float(move @ q) / float(change @ move)
        shares.append(share)
        q = q - share * change
    if pairs:
        move, change = pairs[-1]
        q = q * (float(change @ move) / float(change @ change))
    for (move, change), share in zip(pairs, reversed(shares), strict=True):
        q = q + move * (share - float(change @ q) / float(change @ move))
    return q


def _advice(x: Array) -> str:
    """Return what to do where columns are of sizes so different that no step is right for all."""
    if x.ndim != 2:
        return ""
    sizes = np.max(np.abs(x), axis=0)
    sizes = sizes[sizes > 0].astype(np.float64)
    if not sizes.size or np.max(sizes) < UNEVEN * np.min(sizes):
        return ""
    return (
        f"; the columns of X are of very different sizes, from {np.min(sizes):.2g} to {np.max(sizes):.2g}: "
        "scale the columns"
    )


def _vector(tree: Any) -> Array:
    """Return all leaves, one after another, as one vector of doubles."""
    return np.concatenate([np.ravel(np.asarray(leaf, np.float64)) for leaf in flatten(tree)[0]])
