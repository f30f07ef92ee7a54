"""optimality: what may be claimed of a point: infeasible, feasible, ε-KKT, or ε-optimal; and nothing above that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import numpy as np

from chainrule.constrain.accelerated import LEAST_SHARE
from chainrule.constrain.at_point import LimitAt, limit_at, over_rows
from chainrule.constrain.gap import Gap, duality_gap, why_convex
from chainrule.constrain.limits import Limit
from chainrule.constrain.reports import (
    LimitValue,
    by_set,
    held_out_values,
    history_of,
    numbers_of,
    said_of_infeasible,
    said_of_rates,
    said_of_validation,
    values_of,
)
from chainrule.constrain.selection import named_leaves
from chainrule.constrain.stationarity import Member, made_up, members_of, smallest_singular_value
from chainrule.constrain.whole import TILE, Whole, doubled, length
from chainrule.errors import TrainingError
from chainrule.graph import flatten, tree_map
from chainrule.learn import Metric, Objective, Run
from chainrule.learn.data import make_rows, normalized
from chainrule.learn.groups import group_columns
from chainrule.learn.objective import part
from chainrule.learn.protocols import MinMax
from chainrule.learn.treatment import EVEN
from chainrule.nn.function import FunctionNetwork

INFEASIBLE, FEASIBLE, KKT, OPTIMAL = "infeasible", "feasible", "ε-KKT", "ε-optimal"


@dataclass(frozen=True)
class Optimality:
    """What was found at a point: every residual, the best multipliers, and the level that they allow.

    ``level`` is "infeasible", "feasible", "ε-KKT" or "ε-optimal"; ``certified`` is true for the last alone. A problem
    that is not convex never exceeds ε-KKT: other points may be lower.
    """

    level: str
    tolerance: float
    value: float
    data_loss: float
    primal: dict[str, float]
    """How far the point is from each set."""
    multipliers: dict[str, float]
    """λ̂ ≥ 0: the multipliers that leave the least of ∇F, by set and limit."""
    penalties: dict[str, float]
    multiplier_of: dict[str, str]
    stationarity: float
    """‖−∇F − Σ λ̂ normals‖, relative to ``scale``."""
    scale: float
    complementarity: float
    qualification: float | None
    convex: bool
    because: str
    gap: Gap
    rows: int
    approximate: float | None = None
    """η, where a set without a normal cone was asked by ‖θ − Π(θ − η∇F)‖/η."""
    trained: dict[str, Any] = field(default_factory=dict)
    """λ as training left it, where a method of min and max carried it along."""
    history: tuple[str, ...] = ()
    """How λ and g went in training, a line for each limit."""
    limits: tuple[LimitValue, ...] = ()
    """What limits on losses and rates come to over these rows, decisions counted."""
    held_out: tuple[LimitValue, ...] = ()
    """The same over the run's validation rows."""
    notes: tuple[str, ...] = field(default=())

    @property
    def certified(self) -> bool:
        """Was a bound on how far F can fall computed, and is it small?"""
        return self.level == OPTIMAL

    def __str__(self) -> str:
        lines = [
            f"{self.level}  (ε = {self.tolerance:g}; all {self.rows} rows, dropout off, float64)",
            f"  {self.said}",
        ]
        lines.append(f"  objective        {self.value:.10g}" + (
            f", of which the loss is {self.data_loss:.10g}" if self.value != self.data_loss else ""
        ))  # fmt: skip
        for title, distance in self.primal.items():
            what = f"[g]₊ of {title}" if title in map(str, (v.limit for v in self.limits)) else f"distance from {title}"
            lines.append(f"  primal           {what}: {distance:.2g}")
        for title, multiplier in self.trained.items():
            lines.append(f"  dual             trained λ = {numbers_of(multiplier)}  ({title})")
        lines += [f"  history          {line}" for line in self.history]
        for title, found in by_set(self.multipliers).items():
            of = f", of {self.multiplier_of[title]}" if self.multiplier_of.get(title) else ""
            lines.append(f"  dual             best λ̂ = {numbers_of(found)}{of}  ({title})")
        for title, strength in self.penalties.items():
            lines.append(f"  penalty          λ = {strength:g}  ({title})")
        by = "the best λ̂" if self.approximate is None else f"‖θ − Π(θ − η∇F)‖/η, η = {self.approximate:.2g}"
        lines.append(
            f"  stationarity     {self.stationarity:.2g} of max(‖∇F(θ)‖, {LEAST_SHARE:g}·‖∇F(θ₀)‖) = {self.scale:.3g}, "
            f"by {by}"
        )
        if self.primal and self.approximate is None:
            lines.append(f"  complementarity  max |λ̂ g| = {self.complementarity:.2g} of |F|")
        if self.qualification is not None:
            lines.append(
                f"  qualification    smallest singular value of the active limits' Jacobian: {self.qualification:.3g}"
            )
        if self.convex:
            bound = f"{self.gap.value:.2g}" if np.isfinite(self.gap.value) else f"not finite: {self.gap.why}"
            lines.append(f"  convex           {self.because}; duality gap {bound}")
        else:
            lines.append(f"  not convex       {self.because}")
        lines += [f"  limit            {value}" for value in self.limits]
        lines += [f"  held out         {value}" for value in self.held_out]
        lines += [f"  note             {note}" for note in self.notes]
        return "\n".join(lines)

    @property
    def said(self) -> str:
        """One sentence: what was shown, and what was not."""
        if not (np.isfinite(self.value) and np.isfinite(self.stationarity)):
            return f"F is {self.value:g} here, or its slope is not finite: nothing is claimed of the point."
        if self.level == INFEASIBLE:
            return "The point violates a constraint; nothing is claimed of it."
        what, hold = "the objective" if self.penalties else "F", "The constraints hold" if self.primal else ""
        if self.level == FEASIBLE:
            falls = f"{hold}; {what}" if hold else what[0].upper() + what[1:]
            along = " along directions that they allow" if hold else ""
            return f"{falls} still falls{along}, so the point is no minimum."
        if self.level == KKT:
            why = (
                self.because
                if not self.convex
                else (self.gap.why or f"the duality gap, {self.gap.value:.2g}, is not small")
            )
            step = f"{hold} and no small allowed step" if hold else "No small step"
            return f"{step} lowers {what} to first order. That it is a minimum was not shown: {why}."
        point = "no point that satisfies the constraints" if hold else "no point"
        return f"Certified: {point} has an objective that is lower by more than {self.gap.value:.2g}."


def optimality(
    subject: Run | Objective,
    data: Any = None,
    *,
    parameters: Any = None,
    state: Any = None,
    groups: Mapping[str, Any] | None = None,
    convex: bool = False,
    tolerance: float = 1e-4,
    first: Any = None,
) -> Optimality:
    """Say what may be claimed of a run's parameters, or of an objective's at given ones.

    With d = −∇(F + smooth penalties) over all rows, dropout off, in float64:

    - primal: the distance from each set; 10⁻⁹ ‖θ‖ (of a run in single precision 10⁻⁶ ‖θ‖), θ what the set covers, is
      the rounding of a point of the set;
    - dual: λ̂, the multipliers ≥ 0 (and normals) that leave the least of d (nonnegative least squares);
    - stationarity: what they leave, ‖d − Σ normals‖ / max(‖∇F(θ)‖, 10⁻³ ‖∇F(θ₀)‖), F without penalties and θ₀ where the
      run began (of an objective: the initialization by seed 0); of a set of one's own without ``normal_cone``,
      ‖θ − Π(θ + ηd)‖/η in its place;
    - complementarity: max |λ̂ g| / |F|;
    - limits on losses and rates are inequalities among these, by g and ∇g over all rows; g ≤ ε (1 + |r|) counts as
      held, and of a run by ``Lagrangian`` or ``AugmentedLagrangian`` so does a distance of ε (1 + ‖θ‖) from a set. λ as
      training left it stands beside λ̂: a difference exposes one that has not converged;
    - qualification: the smallest singular value of the active limits' Jacobian; near 0, multipliers mean nothing;
    - for a convex problem the duality gap, an upper bound of F(θ) − min F.

    Args:
        subject: a run, or an objective with ``data`` and ``parameters``.
        data: ``(X, y)`` or ``(X, y, weights)``; of a run its training rows, where it is left out.
        parameters, state: of an objective, where to look.
        groups: masks of the rows in ``data``, where a limit is on groups.
        convex: declares that F is convex in the parameters. A network of one dense layer with a loss of a name is seen
            to be. A problem that is not convex never exceeds ε-KKT.
        tolerance: ε, for relative residuals.
        first: θ₀, in the place of where the run began: for a run that began at the end of another one, where ∇F says
            nothing of how large gradients are.

    The level is "infeasible", "feasible", "ε-KKT" (feasible; stationarity and complementarity at most ε) or "ε-optimal"
    (convex, and the gap at most ε |F|). F is the *mean* loss; an L2 ball's multiplier is that of ‖w‖² − r².

    >>> import numpy as np, chainrule as cr
    >>> X = np.random.default_rng(0).normal(size=(40, 3)); y = X @ np.array([[2.0], [-1.0], [0.0]])
    >>> objective = cr.Objective(cr.nn.Dense(1, bias=False), "squared_error", subject_to=[cr.constrain.L2Ball(1.0)])
    >>> run = cr.fit(objective, (X, y), method=cr.constrain.AcceleratedProjection())
    >>> cr.optimality(run).level
    'ε-optimal'
    """
    whole, trained, began = whole_of(subject, data, parameters, state, groups)
    first = began if first is None else whole.treatment.trained(doubled(first))
    method = subject.method if isinstance(subject, Run) else None
    by_multipliers = isinstance(method, MinMax)
    decided = by_multipliers and getattr(method, "rates", "") == "decisions"
    data_loss, slope = whole.data_loss(trained)
    value, gradient = whole.with_penalties(trained, data_loss, slope)
    value += whole.rough(trained)
    scale = max(length(slope), LEAST_SHARE * length(whole.data_loss(first)[1]), 1e-300)
    members = [
        replace(m, what=limit_at(m.what, m.settings, whole, trained, tolerance, decided))
        if isinstance(m.what, Limit)
        else replace(m, active=tolerance if by_multipliers or _is_narrow(subject) else None)
        for m in members_of(whole.objective, whole.settings)
    ]  # fmt: skip
    titles = _titles(members)
    primal = {t: _distance(m, trained) for m, t in zip(members, titles, strict=True) if m.is_set}
    roughly = tolerance * (1.0 + length(trained)) if by_multipliers else 0.0
    feasible = all(np.all(np.isfinite(v)) for v in flatten(trained)[0]) and all(
        primal[t] <= (m.what.allowed if isinstance(m.what, LimitAt) else max(roughly, _allowed(subject, m, trained)))
        for m, t in zip(members, titles, strict=True) if m.is_set
    )  # fmt: skip
    finite = bool(np.isfinite(value) and np.isfinite(length(gradient)))
    notes: list[str] = []
    multipliers: dict[str, float] = {}
    complementarity, qualification, eta = 0.0, None, None
    if all(hasattr(m.what, "normal_cone") for m in members):
        split = made_up(members, trained, gradient)
        stationarity = split.residual / scale
        for member, title, cone in zip(members, titles, split.parts, strict=True):
            if member.is_set:
                multipliers |= {f"{title} | {label}": m for label, m in cone.multipliers.items()}
                products = [abs(m * cone.values.get(label, 0.0)) for label, m in cone.multipliers.items()]
                complementarity = max([complementarity, *products])
        complementarity /= max(abs(value), 1e-300)
        qualification = smallest_singular_value(split.rows)
    else:
        stationarity, eta = _by_projection(whole, trained, gradient)
        stationarity /= scale
        notes.append("a set has no normal_cone, so its multipliers are not known")
    counted = values_of(whole.objective, *_point(whole, trained), whole.rows)
    notes += said_of_rates(counted, decided)
    if isinstance(subject, Run):
        notes += said_of_validation(subject)
        if not feasible and by_multipliers:
            notes += said_of_infeasible(subject)
        if not feasible and subject.unconverged:
            notes.append("the projection on all sets at once did not converge: they may have no point in common")
    is_convex, because = why_convex(whole.objective, convex)
    gap = Gap(float("inf"), "it was not asked")
    stationary = finite and stationarity <= tolerance and complementarity <= tolerance
    if is_convex and feasible and finite and eta is None:
        askable = all(hasattr(m.what, "support" if m.is_set else "conjugate") for m in members)
        gap = duality_gap(whole, members, trained, value) if askable else Gap(float("inf"), "a set has no support")
    level = INFEASIBLE if not feasible else KKT if stationary else FEASIBLE
    if feasible and is_convex and finite and gap.value <= tolerance * max(abs(value), 1e-300):
        level = OPTIMAL
    return Optimality(
        level=level,
        tolerance=tolerance,
        value=value,
        data_loss=data_loss,
        primal=primal,
        multipliers=multipliers,
        penalties=_strengths(whole),
        multiplier_of={t: getattr(m.what, "multiplier_of", "") for m, t in zip(members, titles, strict=True)},
        stationarity=stationarity,
        scale=scale,
        complementarity=complementarity,
        qualification=qualification,
        convex=is_convex,
        because=because,
        gap=gap,
        rows=len(whole.rows["x"]),
        approximate=eta,
        trained=dict(subject.multipliers) if isinstance(subject, Run) else {},
        history=history_of(subject) if by_multipliers and isinstance(subject, Run) else (),
        limits=tuple(counted),
        held_out=tuple(held_out_values(subject, *_point(whole, trained)) if isinstance(subject, Run) else ()),
        notes=tuple(notes),
    )  # fmt: skip


def _strengths(whole: Whole) -> dict[str, float]:
    """Return the λ of every penalty that has one, by how it is written."""
    found: dict[str, float] = {}
    for i, penalty in enumerate(whole.objective.penalty, 1):
        numbers = part(whole.settings, f"penalty{i}")
        title = str(_with_numbers(penalty, numbers))
        if "lambda" in numbers:
            found[title if title not in found else f"{title} (penalty{i})"] = float(numbers["lambda"])
    return found


def _point(whole: Whole, trained: Any) -> tuple[Any, Any, Any]:
    return whole.treatment.merged(whole.start, trained), whole.state, whole.settings


def whole_of(
    subject: Any, data: Any, parameters: Any, state: Any, groups: Mapping[str, Any] | None
) -> tuple[Whole, Any, Any]:
    """Return the objective over all rows in float64, the point, and the point of the beginning."""
    if isinstance(subject, Run):
        if parameters is not None or state is not None:
            raise TrainingError(
                "a run has parameters of its own; for others: cr.optimality(run.objective, data, parameters=…)"
            )
        if data is None and groups is not None:
            raise TrainingError(
                "optimality: groups are those of the rows in data, which is left out; a run knows its own"
            )
        rows = subject.training if data is None else _rows(data, groups)
        settings = {k: np.asarray(v, np.float64) for k, v in subject.timeline.at(subject.steps).items()}
        settings |= {k: np.asarray(v, np.float64) for k, v in _own_numbers(subject).items()}
        objective, treatment = over_rows(subject.objective, rows), subject.treatment
        parameters, state, first = subject.parameters, subject.state, subject.at(0).parameters
    elif isinstance(subject, Objective):
        if data is None or parameters is None:
            raise TrainingError("an objective is looked at somewhere: cr.optimality(objective, (X, y), parameters=…)")
        rows = _rows(data, groups)
        objective, treatment, first = over_rows(subject.on(rows["x"], parameters), rows), EVEN, parameters
        if not isinstance(subject.network, FunctionNetwork):
            first = subject.network.initialize(rows["x"], seed=0)
        settings = {k: np.asarray(v, np.float64) for k, v in objective.settings().items()}
        state = state or {}
    else:
        raise TrainingError(f"optimality takes a run, or an objective with data and parameters, not {subject!r:.60}")
    settings |= {
        f"set{i}.{k}": np.asarray(v, np.float64)
        for i, m in enumerate(objective.subject_to, 1) if isinstance(m, Limit)
        for k, v in m.settings().items() if k.startswith("share")
    }  # fmt: skip
    parameters, state, first = doubled(parameters), doubled(state), doubled(first)
    rows = {k: doubled(v) for k, v in rows.items()}
    executor = "reference" if len(rows["x"]) <= TILE else "native"  # which is compiled first: not worth it for few
    whole = Whole(objective, parameters, state, settings, rows, treatment, executor)
    return whole, treatment.trained(parameters), treatment.trained(first)


def _rows(data: Any, groups: Mapping[str, Any] | None) -> dict[str, Any]:
    rows = make_rows(data, "training")
    return normalized(rows | group_columns(groups, len(rows["x"]), rows["x"].dtype))


def _own_numbers(run: Run) -> dict[str, float]:
    """Return the numbers of sets and penalties as they were given, where the run's precision rounded them."""
    given = run.timeline.numbers_at(run.steps)
    return {k: v for k, v in given.items() if k in run.objective.settings() and k not in run.timeline.schedules}


def _titles(members: list[Member]) -> list[str]:
    """Return what to call each set and penalty: as it is written, numbered where two are written alike."""
    names = [str(_with_numbers(m.what, m.settings)) for m in members]
    return [f"{n} ({m.title})" if names.count(n) > 1 else n for n, m in zip(names, members, strict=True)]


def _with_numbers(what: Any, settings: Any) -> Any:
    """Return a set or penalty with the numbers in force, where it has them as fields."""
    numbers = {{"lambda": "strength"}.get(k, k): float(v) for k, v in settings.items()}
    known = {f.name for f in fields(what)} if is_dataclass(what) else set()
    return replace(what, **numbers) if numbers and set(numbers) <= known else what


def _distance(member: Member, trained: Any) -> float:
    if hasattr(member.what, "distance"):
        return float(member.what.distance(trained, member.settings))
    after, _ = member.what.project(trained, Metric("scalar", 1.0), member.settings)
    return length(tree_map(np.subtract, after, trained))


def _allowed(subject: Any, member: Member, trained: Any) -> float:
    """Return the distance from a set that counts as none: the rounding, in the run's own precision, of what it covers.

    Relative to that alone: a set may be small, and what it does not cover may be large.
    """
    leaves = named_leaves(trained)
    covered = getattr(member.what, "covered", tuple(leaves))
    return (1e-6 if _is_narrow(subject) else 1e-9) * length({n: leaves[n] for n in covered})


def _is_narrow(subject: Any) -> bool:
    """Was it trained in single precision, where projection lands inside by several units of 10⁻⁷?"""
    return isinstance(subject, Run) and flatten(subject.parameters)[0][0].dtype == np.float32


def _by_projection(whole: Whole, trained: Any, gradient: Any) -> tuple[float, float]:
    """Return ‖θ − Π(θ − η∇F)‖/η with a small η, and η."""
    eta = 1e-4 * (1.0 + length(trained)) / max(length(gradient), 1e-300)
    after, _ = whole.stepped(trained, gradient, eta)
    return length(tree_map(np.subtract, trained, after)) / eta, eta


__all__ = ["Optimality", "optimality"]
