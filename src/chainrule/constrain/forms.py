"""compare_forms: the hard, the soft and the Lagrangian form of one problem, from its solution and cold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from warnings import catch_warnings

import numpy as np

from chainrule.constrain.accelerated import AcceleratedProjection
from chainrule.constrain.balls import GroupL2Ball, L1Ball, L2Ball
from chainrule.constrain.claims import Optimality, optimality
from chainrule.constrain.penalties import L1, GroupL2, SquaredL2
from chainrule.constrain.whole import length
from chainrule.errors import TrainingError
from chainrule.graph import tree_map
from chainrule.learn import Objective, Run, fit

HERE, COLD = "the solution", "cold"
MOST_SEARCHED = 60
"""So many problems in θ are solved at most to find the λ at which q(λ) is largest."""


@dataclass(frozen=True)
class Form:
    """One form, solved from one start: F, R(θ), the multiplier, and how far its point is from the run's."""

    name: str
    start: str
    loss: float
    size: float
    multiplier: float
    distance: float
    """‖θ − θ̂‖ / ‖θ̂‖, over all that is trained."""
    agrees: bool
    why: str


@dataclass(frozen=True)
class Forms:
    """What ``compare_forms`` found: the run's point, and every form from both starts."""

    problem: str
    radius: float
    loss: float
    size: float
    multiplier: float
    found: Optimality
    forms: tuple[Form, ...]

    @property
    def agree_here(self) -> bool:
        """Do all forms that start at the solution stay there?"""
        return all(f.agrees for f in self.forms if f.start == HERE)

    @property
    def agree_everywhere(self) -> bool:
        """Do all forms agree, from the beginning too?"""
        return all(f.agrees for f in self.forms)

    @property
    def said(self) -> str:
        """One sentence: where the forms agree."""
        if self.agree_everywhere:
            more = "as they must, since the problem is convex" if self.found.convex else (
                "from both starts; for a problem that is not convex that is an observation, no law"
            )  # fmt: skip
            return f"The three forms agree, {more}."
        if self.agree_here:
            return "The three forms agree at the solution, and locally: from elsewhere some come to another point."
        return f"The three forms do not all agree at this point, whose level is {self.found.level}."

    def __str__(self) -> str:
        head = f"{self.said}\n  {'form':<11}{'start':<14}{'F':>12}{'R(θ)':>12}{'λ':>12}{'distance':>10}"
        lines = [f"  {'the run':<11}{'':<14}{self.loss:>12.6g}{self.size:>12.6g}{self.multiplier:>12.5g}{0.0:>10.1g}"]
        lines += [
            f"  {f.name:<11}{f.start:<14}{f.loss:>12.6g}{f.size:>12.6g}{f.multiplier:>12.5g}{f.distance:>10.1g}  "
            + ("agrees" if f.agrees else f.why)
            for f in self.forms
        ]
        return "\n".join([f"{self.problem}, r = {self.radius:.6g}", head, *lines])


def compare_forms(
    run: Run, *, tolerance: float = 1e-3, solver: AcceleratedProjection | None = None, cold: bool = True
) -> Forms:
    """Solve the hard, the soft and the Lagrangian form of a run's problem, and say where the three agree.

    With θ̂ the run's point, R(θ) ≤ r its limit and λ̂ the best multiplier there (``cr.optimality``):

    - hard: min F subject to R(θ) ≤ r, by projection;
    - soft: min F + λ̂ R(θ);
    - Lagrangian: max over λ ≥ 0 of q(λ) = min over θ of F + λ[R(θ) − r], whose slope is R(θ(λ)) − r: λ is where that
      changes its sign. Where R(θ(λ)) jumps across r, no λ reaches the limit: a duality gap, or another
      branch of minima.

    each from θ̂ and cold: from where the run began. A form agrees where F and R(θ) are those of the run.

    Args:
        run: of one ``L2Ball``, ``L1Ball`` or ``GroupL2Ball`` for the whole network, however it was solved; or, without
            sets, of one penalty ``λ * SquaredL2()``, ``L1()`` or ``GroupL2()``, whose r is then R(θ̂).
        tolerance: relative differences of F and R(θ) up to this count as none.
        solver: solves each problem in θ; ``AcceleratedProjection(1e-7)`` where it is left out.
        cold: whether to solve from the beginning too.

    >>> import numpy as np, chainrule as cr
    >>> X = np.random.default_rng(0).normal(size=(40, 3)); y = X @ np.array([[2.0], [-1.0], [0.0]])
    >>> objective = cr.Objective(cr.nn.Dense(1, bias=False), "squared_error", subject_to=[cr.constrain.L2Ball(1.0)])
    >>> run = cr.fit(objective, (X, y), method=cr.constrain.AcceleratedProjection())
    >>> print(cr.constrain.compare_forms(run).said)
    The three forms agree, as they must, since the problem is convex.
    """
    solver = solver or AcceleratedProjection(1e-7)
    found = optimality(run)
    problem = _Problem.of(run, found, solver)
    first = run.at(0).parameters
    forms = []
    for start, parameters in ((HERE, run.parameters), (COLD, first)) if cold else ((HERE, run.parameters),):
        for name, solve in (("hard", problem.hard), ("soft", problem.soft), ("Lagrangian", problem.lagrangian)):
            forms.append(problem.judged(name, start, *solve(parameters, start), tolerance))
    return Forms(
        f"min F subject to {problem.ball.formula.split(', ')[0]}", problem.limit, found.data_loss,
        problem.size(run.parameters), problem.multiplier, found, tuple(forms),
    )  # fmt: skip


Solved = tuple[Run, float, str]


@dataclass
class _Problem:
    """A problem in its three forms: F, one R with its ball and its penalty, r, and λ̂."""

    run: Run
    found: Optimality
    solver: AcceleratedProjection
    ball: Any
    make: Callable[[float], Any]
    """From λ to the penalty λR."""
    multiplier: float
    limit: float
    """r of R(θ) ≤ r: of an L2 ball the square of its radius."""

    @staticmethod
    def of(run: Run, found: Optimality, solver: AcceleratedProjection) -> _Problem:
        objective = run.objective
        sets: tuple[Any, ...] = objective.subject_to
        penalties: tuple[Any, ...] = objective.penalty
        if len(sets) == 1 and not penalties and getattr(sets[0], "per", "network") == "network":
            (ball,) = sets
            make = _penalty_of(ball)
            if make is not None:
                radius = float(run.timeline.numbers_at(run.steps)["set1.radius"])
                (multiplier,) = found.multipliers.values()
                ball = replace(ball, radius=radius)
                return _Problem(run, found, solver, ball, make, multiplier, radius**2 if _squared(ball) else radius)
        if len(penalties) == 1 and not sets and isinstance(penalties[0], SquaredL2 | L1 | GroupL2):
            (penalty,) = penalties
            size = float(penalty.size(tree_map(lambda v: np.asarray(v, np.float64), run.parameters)))
            if size > 0.0:
                strength = float(run.timeline.numbers_at(run.steps)["penalty1.lambda"])
                ball = replace(penalty, strength=1.0) <= size
                ball = replace(ball, cover=penalty.cover)
                return _Problem(run, found, solver, ball, lambda s: replace(penalty, strength=s), strength, size)
        raise TrainingError(
            "compare_forms: the problem must have one L2Ball, L1Ball or GroupL2Ball for the whole network and no "
            "penalty, or one penalty (with R(θ) > 0) and no set: only of these is each form known"
        )

    def size(self, parameters: Any) -> float:
        """Return R(θ)."""
        return float(self.make(1.0).size(tree_map(lambda v: np.asarray(v, np.float64), parameters)))

    def solved(self, parameters: Any, **parts: Any) -> Run:
        run = self.run
        objective = Objective(run.objective.network, run.objective.loss, **parts)
        data = tuple(run.training[k] for k in ("x", "y", "weight"))
        with catch_warnings(action="ignore"):  # what there is to say of the network was said when the run was made
            return fit(
                objective, data, method=self.solver, parameters=parameters, frozen=sorted(run.treatment.frozen),
                executor=run.executor.name,
            )  # fmt: skip

    def hard(self, parameters: Any, start: str) -> Solved:
        run = self.solved(parameters, subject_to=[self.ball])
        return run, next(iter(optimality(run).multipliers.values())), ""

    def soft(self, parameters: Any, start: str) -> Solved:
        return self.solved(parameters, penalty=[self.make(self.multiplier)]), self.multiplier, ""

    def lagrangian(self, parameters: Any, start: str) -> Solved:
        """Return the point at which q is largest: where its slope changes its sign; each θ(λ) starts at the last."""
        near = 1e-7 * self.limit
        low, high = 0.0, np.inf
        first = 1e-2 * max(self.found.scale, 1e-6)
        strength = self.multiplier if start == HERE else first
        sizes: dict[float, float] = {}
        for _ in range(MOST_SEARCHED):
            run = self.solved(parameters, penalty=[self.make(strength)])
            parameters, size = run.parameters, self.size(run.parameters)
            sizes[strength] = size
            if abs(size - self.limit) <= near or (strength == 0.0 and size <= self.limit):
                return run, strength, ""
            low, high = (strength, high) if size > self.limit else (low, strength)
            if np.isfinite(high) and high - low <= 1e-10 * high:
                break
            if np.isinf(high):
                strength = max(4.0 * strength, first)
            elif low not in sizes:  # no λ has been too small yet: 0 is the last that is tried
                strength = 0.25 * high if high > 1e-2 * first else 0.0
            else:  # where the line through both sizes meets r, but not too near to either
                share = (sizes[low] - self.limit) / (sizes[low] - sizes[high])
                strength = low + float(np.clip(share, 0.05, 0.95)) * (high - low)
        if low in sizes and high in sizes and sizes[low] - sizes[high] > 1e-3 * self.limit:
            return run, strength, (
                f"no λ reaches r: at λ = {strength:.6g}, R(θ(λ)) jumps from {sizes[low]:.4g} to {sizes[high]:.4g}"
            )  # fmt: skip
        return run, strength, ""

    def judged(self, name: str, start: str, run: Run, multiplier: float, why: str, tolerance: float) -> Form:
        """Return a form with whether it agrees with the run, and why not."""
        loss = optimality(Objective(run.objective.network, run.objective.loss), self._data(), parameters=run.parameters)
        size = self.size(run.parameters)
        value, here, there = loss.value, self.found.data_loss, self.size(self.run.parameters)
        alike = abs(value - here) <= tolerance * abs(here) and abs(size - there) <= tolerance * max(there, 1e-300)
        apart = length(tree_map(np.subtract, run.parameters, self.run.parameters)) / max(
            length(self.run.parameters), 1e-300
        )
        if not alike and not why:
            why = self._reason(start, value, here, run.status == "done")
        return Form(name, start, value, size, multiplier, apart, alike, "" if alike else why)

    def _reason(self, start: str, value: float, here: float, converged: bool) -> str:
        if not converged:
            return "its solver did not converge"
        if start == HERE and self.found.level in ("infeasible", "feasible"):
            return f"the run's point is not stationary (its level is {self.found.level}), so that F fell from there"
        if self.found.convex:
            return "the problem is convex: the run's point is not its minimum"
        lower = "lower" if value < here else "higher"
        return f"another point, {lower} in F: the problem is not convex, and the forms agree locally alone"

    def _data(self) -> Any:
        return tuple(self.run.training[k] for k in ("x", "y", "weight"))


def _squared(ball: Any) -> bool:
    return isinstance(ball, L2Ball)


def _penalty_of(ball: Any) -> Callable[[float], Any] | None:
    """Return what makes the penalty λR of a ball R(w) ≤ r; None where there is none."""
    if isinstance(ball, L2Ball):
        return lambda s: SquaredL2(s, parameters=ball.parameters, cover=ball.cover)
    if isinstance(ball, L1Ball):
        return lambda s: L1(s, parameters=ball.parameters, cover=ball.cover)
    if isinstance(ball, GroupL2Ball):
        return lambda s: GroupL2(s, groups=ball.groups, parameters=ball.parameters, cover=ball.cover)
    return None


__all__ = ["Form", "Forms", "compare_forms"]
