"""AcceleratedProjection: an accurate solver for convex (and small) problems, over all rows at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any

import numpy as np

from chainrule.constrain.flat import Flat, dot, length
from chainrule.constrain.whole import Whole
from chainrule.errors import TrainingError
from chainrule.graph import flatten
from chainrule.learn import Report
from chainrule.learn.job import Job

Array = np.ndarray[Any, Any]
LEAST_SHARE = 1e-3
"""c: a residual is relative to max(‖∇F(θ)‖, c ‖∇F(θ₀)‖), so that it means something where ∇F is 0."""


@dataclass(frozen=True)
class AcceleratedProjection:
    """Accelerated projected and proximal gradient descent over all rows: FISTA, with restarts.

    y = x + β(x − x before), x ← Π(y − ∇F(y)/L). L is found by backtracking; the momentum starts again when it points
    uphill, or when the objective would rise, so that the objective falls from step to step, for networks too. It ends
    when L‖y − x‖ ≤ tolerance · max(‖∇F(x)‖, 10⁻³ ‖∇F(θ₀)‖): how much the point still violates stationarity.

    Args:
        tolerance: where it ends; 1e-8 needs data in float64.
        at_most: so many steps at most; then the run's status is "stopped", and its message says so.
        first_slope: ‖∇F(θ₀)‖ as the end is relative to it, in the place of that at the run's own beginning: for a run
            that begins at the solution of another problem, where it says nothing of how large gradients are.

    Beck and Teboulle (2009); restarts: O'Donoghue and Candès (2015), section 3.2.

    >>> import numpy as np, chainrule as cr
    >>> X = np.random.default_rng(0).normal(size=(40, 3)); y = X @ np.array([[2.0], [-1.0], [0.0]])
    >>> objective = cr.Objective(cr.nn.Dense(1, bias=False), "squared_error", subject_to=[cr.constrain.L1Ball(1.0)])
    >>> run = cr.fit(objective, (X, y), method=cr.constrain.AcceleratedProjection())
    >>> float(np.abs(run.parameters["weight"]).sum().round(9))
    1.0
    """

    tolerance: float = 1e-8
    at_most: int = 20_000
    first_slope: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.tolerance < 1.0:
            raise TrainingError(f"AcceleratedProjection: tolerance is {self.tolerance}; it must be between 0 and 1")
        if isinstance(self.at_most, bool) or not isinstance(self.at_most, int) or self.at_most < 1:
            raise TrainingError(f"AcceleratedProjection: at_most is {self.at_most!r}; it must be a whole number over 0")
        if self.first_slope is not None and not 0.0 < self.first_slope < float("inf"):
            raise TrainingError(f"AcceleratedProjection: first_slope is {self.first_slope}; it must be greater than 0")

    def solve(self, job: Job, report: Callable[[Report], None]) -> None:
        """Take a job's parameters to a stationary point, and leave them in its loop."""
        loop = job.loop
        carry = loop.carry
        whole = Whole(
            job.objective, carry["parameters"], carry["state"], job.arrays, job.training, job.treatment,
            job.executor.name,
        )  # fmt: skip
        self.require_fit(whole)
        search = Search(Flat(whole), job.treatment.trained(carry["parameters"]), self.first_slope)
        last = report_every = 1
        status = "stopped"
        try:
            while search.steps < self.at_most:
                search.advance()
                loop.history.append({"epoch": search.steps, "step": search.steps, "loss": search.here.loss})
                loop.step = loop.epoch = search.steps
                if not isfinite(search.value):
                    status = "non-finite"
                    loop.problem = "the objective is not finite at the point that it starts from"
                    break
                if search.converged(self.tolerance) or search.stalled:
                    status = "done" if search.converged(self.tolerance) else "stopped"
                    break
                if search.steps >= last + report_every:
                    last = search.steps
                    report_every = max(1, search.steps // 20)
                    report(job.report())
        except KeyboardInterrupt:
            status = "interrupted"
        loop.carry = {**carry, "parameters": job.treatment.merged(carry["parameters"], search.parameters)}
        loop.status = status
        loop.unconverged = search.unconverged
        job.notes.append(
            f"AcceleratedProjection took {search.steps} steps over all rows; relative residual {search.relative:.1e}"
            + ("" if status != "stopped" else f", not {self.tolerance:g}: give at_most more steps")
        )
        job.snapshots.append(loop.snapshot())
        report(job.report())

    def require_fit(self, whole: Whole) -> None:
        """Raise TrainingError where the objective at one point cannot be compared with that at another."""
        if whole.state:
            raise TrainingError(
                "AcceleratedProjection compares the objective at one point with that at another; with batch "
                "normalization it would change by its running statistics. Use an optimizer such as cr.learn.Adam"
            )
        if whole.is_drawn:
            raise TrainingError(
                "the network draws random numbers in training (dropout), so its loss is another one whenever it is "
                "looked at; leave the dropout out, or use an optimizer such as cr.learn.Adam"
            )
        if flatten(whole.start)[0][0].dtype == np.float32 and self.tolerance < 1e-5:
            raise TrainingError(
                f"AcceleratedProjection: a tolerance of {self.tolerance:g} cannot be reached in float32: give the data "
                "as float64, or tolerance=1e-4"
            )


class Search:
    """Where the method is: the point x, the one that it looks from (y), the momentum t and the curvature L."""

    def __init__(self, flat: Flat, start: Any, first: float | None = None) -> None:
        self.flat = flat
        begin = flat.vector(start)
        self.first = length(flat.at(begin).slope) if first is None else first
        self.unconverged = 0
        self.x = self._project(begin, np.zeros_like(begin), 1.0)
        self.y, self.t, self.steps = self.x, 1.0, 0
        self.here = self.at_y = flat.at(self.x)
        self.value = self.here.value + flat.rough(self.x)
        self.curvature = self._first_curvature()
        self.residual, self.scale = float("inf"), 1.0
        self.stalled = False

    @property
    def parameters(self) -> Any:
        """What is trained, at x."""
        return self.flat.tree(self.x)

    @property
    def relative(self) -> float:
        """The residual L‖y − x‖, relative to what it is measured by."""
        return self.residual / self.scale

    def converged(self, tolerance: float) -> bool:
        """Was the last residual small enough?"""
        return self.residual <= tolerance * self.scale

    def _first_curvature(self) -> float:
        """Return a guess of L: how much the gradient changes a little way along itself."""
        gradient = self.here.gradient
        size = length(gradient)
        if not size or not isfinite(size):
            return 1.0
        little = 1e-4 * (1.0 + length(self.x)) / size
        there = self.flat.at(self.x - self.x.dtype.type(little) * gradient).gradient
        return max(length(there - gradient) / (little * size), 1e-10)

    def _project(self, point: Array, direction: Array, size: float) -> Array:
        after, found = self.flat.stepped(point, direction, size)
        self.unconverged += not found
        return after

    def advance(self) -> None:
        """Take one step."""
        flat, origin = self.flat, self.at_y
        self.curvature *= 0.9
        for _ in range(60):
            z = self._project(self.y, origin.gradient, 1.0 / self.curvature)
            moved = z - self.y
            there = flat.at(z)
            square = dot(moved, moved)
            slack = 1e-13 * abs(origin.value) + 1e-300
            if there.value <= origin.value + dot(origin.gradient, moved) + 0.5 * self.curvature * square + slack:
                break
            self.curvature *= 2.0
        total = there.value + flat.rough(z)
        self.steps += 1
        self.residual = self.curvature * sqrt(square)
        self.scale = max(length(there.slope), LEAST_SHARE * self.first, 1e-300)
        if total > self.value + 1e-12 * abs(self.value) and self.t > 1.0:  # the momentum went too far: without it
            self.t, self.y, self.at_y = 1.0, self.x, self.here
            return
        uphill = dot(moved, z - self.x) < 0.0
        self.stalled = self.t == 1.0 and square == 0.0 and self.residual > 0.0
        t = 1.0 if uphill else 0.5 * (1.0 + sqrt(1.0 + 4.0 * self.t * self.t))
        beta = 0.0 if uphill else (self.t - 1.0) / t
        before, self.x, self.value, self.here = self.x, z, total, there
        if beta == 0.0:
            self.y, self.at_y = z, there
        else:
            self.y = z + z.dtype.type(beta) * (z - before)
            self.at_y = flat.at(self.y)
        self.t = t
