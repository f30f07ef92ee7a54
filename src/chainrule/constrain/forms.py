"""compare_forms: the hard, the soft and the Lagrangian form of one problem, from its solution and cold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.constrain.accelerated import AcceleratedProjection, Search
from chainrule.constrain.balls import GroupL2Ball, L1Ball, L2Ball
from chainrule.constrain.claims import Optimality, optimality
from chainrule.constrain.flat import Flat
from chainrule.constrain.multiplier_search import MultiplierSearch
from chainrule.constrain.penalties import L1, GroupL2, SquaredL2
from chainrule.constrain.stationarity import made_up, members_of
from chainrule.constrain.whole import Whole, doubled, length
from chainrule.errors import TrainingError
from chainrule.graph import tree_map
from chainrule.learn import Objective, Run

HERE, COLD = "the solution", "cold"
NOTHING = 1e-9
"""F below this share of the F where the run began, and R(θ) below this share of r, are as good as 0."""
ROUGH = 1e-4
"""The tolerance of the problems in θ by which λ is found roughly."""


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
        tolerance: relative differences of F and R(θ) up to this count as none (F below 10⁻⁹ of where the run began, and
            R(θ) below 10⁻⁹ r, are as good as 0).
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
    if not np.isfinite(found.data_loss):
        raise TrainingError(f"compare_forms: F is {found.data_loss:g} at the run's point; there is nothing to compare")
    solver.require_fit(problem.within)
    forms = []
    for start, trained in ((HERE, problem.here), (COLD, problem.first)) if cold else ((HERE, problem.here),):
        for name, solve in (("hard", problem.hard), ("soft", problem.soft), ("Lagrangian", problem.lagrangian)):
            forms.append(problem.judged(name, start, solve(trained, start), tolerance))
    return Forms(
        f"min F subject to {problem.ball.formula.split(', ')[0]}", problem.limit, found.data_loss,
        problem.size(problem.here), problem.multiplier, found, tuple(forms),
    )  # fmt: skip


@dataclass(frozen=True)
class Solved:
    """A form's point: what is trained, its multiplier, whether its solver converged, and what there is to say."""

    trained: Any
    multiplier: float
    converged: bool = True
    why: str = ""


@dataclass
class _Problem:
    """A problem in its three forms: F, one R with its ball and its penalty, r, and λ̂.

    λ and r are settings: each form's graphs are traced and compiled once, whatever number they are solved for.
    """

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
            size = float(penalty.size(doubled(run.parameters)))
            if size > 0.0:
                strength = float(run.timeline.numbers_at(run.steps)["penalty1.lambda"])
                ball = replace(penalty, strength=1.0) <= size
                ball = replace(ball, cover=penalty.cover)
                return _Problem(run, found, solver, ball, lambda s: replace(penalty, strength=s), strength, size)
        raise TrainingError(
            "compare_forms: the problem must have one L2Ball, L1Ball or GroupL2Ball for the whole network and no "
            "penalty, or one penalty (with R(θ) > 0) and no set: only of these is each form known"
        )

    def size(self, trained: Any) -> float:
        """Return R(θ)."""
        return float(self.make(1.0).size(self.merged(trained)))

    def merged(self, trained: Any) -> Any:
        return self.run.treatment.merged(doubled(self.run.parameters), trained)

    def _whole(self, **parts: Any) -> Whole:
        """Return F with a set or a penalty, over the run's rows, in float64."""
        run = self.run
        objective = Objective(run.objective.network, run.objective.loss, **parts)
        given = {k: v for k, v in run.arrays.items() if not k.startswith(("set", "penalty"))}
        settings = {k: np.asarray(v, np.float64) for k, v in (given | objective.settings()).items()}
        return Whole(
            objective, doubled(run.parameters), doubled(run.state), settings, doubled(run.training), run.treatment,
            run.executor.name,
        )  # fmt: skip

    @cached_property
    def within(self) -> Whole:
        """F subject to R(θ) ≤ r."""
        return self._whole(subject_to=[self.ball])

    @cached_property
    def penalized(self) -> Whole:
        """F + λ R(θ)."""
        return self._whole(penalty=[self.make(1.0)])

    @cached_property
    def here(self) -> Any:
        """What is trained, at the run's point."""
        return self.run.treatment.trained(doubled(self.run.parameters))

    @cached_property
    def first(self) -> Any:
        """What is trained, where the run began."""
        return self.run.treatment.trained(doubled(self.run.at(0).parameters))

    @cached_property
    def at_first(self) -> tuple[float, Any]:
        return self.penalized.data_loss(self.first)

    @property
    def slope_at_first(self) -> float:
        return length(self.at_first[1])

    def solved(self, whole: Whole, start: Any, tolerance: float) -> tuple[Any, bool]:
        """Return a stationary point near to a start, and whether it was reached."""
        search = Search(Flat(whole), start, self.slope_at_first)
        while search.steps < self.solver.at_most:
            search.advance()
            if search.converged(tolerance) or search.stalled or not np.isfinite(search.value):
                break
        return search.parameters, search.converged(tolerance)

    def hard(self, start: Any, name: str) -> Solved:
        trained, converged = self.solved(self.within, start, self.solver.tolerance)
        whole = self.within
        (member,) = members_of(whole.objective, whole.settings)
        split = made_up([member], trained, whole.smooth(trained)[1])
        return Solved(trained, next(iter(split.parts[0].multipliers.values())), converged)

    def soft(self, start: Any, name: str, multiplier: float | None = None, tolerance: float | None = None) -> Solved:
        chosen = self.multiplier if multiplier is None else multiplier
        whole = self.penalized.with_settings(**{"penalty1.lambda": np.float64(chosen)})
        trained, converged = self.solved(whole, start, tolerance or self.solver.tolerance)
        return Solved(trained, chosen, converged)

    def lagrangian(self, start: Any, name: str) -> Solved:
        """Return the point at which q is largest: where its slope R(θ(λ)) − r changes its sign.

        Each θ(λ) starts at the last one. λ is found roughly by rough ones first, and then by exact ones.
        """
        first = 1e-2 * max(self.found.scale, 1e-6)
        at = self.multiplier if name == HERE and self.multiplier > 0.0 else first
        exact = self.solver.tolerance
        solved = Solved(start, at)
        search = MultiplierSearch(self.limit, at, least=1e-2 * first)
        for accuracy, near, apart in ((max(ROUGH, exact), 10.0 * ROUGH, 1e-3), (exact, 10.0 * exact, 1e-5)):
            search = search.again(near, apart)
            while not search.ended:
                solved = self.soft(solved.trained, name, search.at, accuracy)
                search.saw(self.size(solved.trained))
        return replace(solved, why=search.jump)

    def judged(self, name: str, start: str, solved: Solved, tolerance: float) -> Form:
        """Return a form with whether it agrees with the run, and why not."""
        value, size = self.penalized.data_loss(solved.trained)[0], self.size(solved.trained)
        here, there = self.found.data_loss, self.size(self.here)
        least = NOTHING * abs(self.at_first[0])
        alike = abs(value - here) <= tolerance * max(abs(here), least) and (
            abs(size - there) <= tolerance * max(there, NOTHING * self.limit)
        )
        mine = doubled(self.run.parameters)
        apart = length(tree_map(np.subtract, self.merged(solved.trained), mine)) / max(length(mine), 1e-300)
        why = solved.why or self._reason(start, value, here, solved.converged)
        return Form(name, start, value, size, solved.multiplier, apart, alike, "" if alike else why)

    def _reason(self, start: str, value: float, here: float, converged: bool) -> str:
        if not converged:
            return "its solver did not converge"
        if start == HERE and self.found.level in ("infeasible", "feasible"):
            return f"the run's point is not stationary (its level is {self.found.level}), so that F fell from there"
        if self.found.convex and value > here:
            return "higher in F than the run's point, and the problem is convex: its own point is not the minimum"
        if self.found.convex:
            return "the problem is convex: the run's point is not its minimum"
        lower = "lower" if value < here else "higher"
        return f"another point, {lower} in F: the problem is not convex, and the forms agree locally alone"


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
