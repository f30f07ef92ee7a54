"""regularization_path: one problem for many radii or λs, each started at the solution before, and cross-validated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np

from chainrule.constrain.accelerated import AcceleratedProjection
from chainrule.constrain.along import Along, checked_values, find_along, with_zeros
from chainrule.constrain.claims import optimality
from chainrule.constrain.folds import Fold, read_folds, require_classes
from chainrule.constrain.gap import why_convex
from chainrule.constrain.held_out import Score, choose_score, classes_of, held_out_loss, score_on
from chainrule.constrain.path_grid import automatic_grid, slope_at_first
from chainrule.constrain.path_report import RULES, PathPoint, RegularizationPath
from chainrule.constrain.selection import named_leaves, with_leaves
from chainrule.errors import TrainingError
from chainrule.learn import Objective, Run, fit, fit_many
from chainrule.learn.covering import declared_parameters
from chainrule.learn.data import make_rows
from chainrule.learn.preparing import require_count
from chainrule.learn.progress import show_count
from chainrule.nn.function import FunctionNetwork

Data = tuple[Any, Any, Any]
ORDERS = ("auto", "loosening", "tightening")
NOT_HERE = {
    "validation": "the folds hold out rows", "patience": "the folds hold out rows",
    "groups": "folds have no masks of groups", "validation_groups": "folds have no masks of groups",
    "checkpoint": "it belongs to one run", "checkpoint_every": "it belongs to one run",
    "resume": "it belongs to one run", "callbacks": "it belongs to one run",
}  # fmt: skip
STEPS = 20_000
FOLD_TOLERANCE = 1e-6
"""Where AcceleratedProjection ends on a fold, if it would go on to less."""


@dataclass(frozen=True)
class Plan:
    """How a path is gone: what varies, in which order, how each point is solved and scored."""

    objective: Objective
    along: Along
    values: Sequence[float]
    order: str
    warm_start: bool
    rule: str
    seed: int
    convex: bool
    score: Score | None
    names: tuple[str, ...] | None
    options: Mapping[str, Any]
    said: tuple[str, ...] = ()


def regularization_path(
    objective: Objective,
    data: Any,
    *,
    radii: Sequence[float] | None = None,
    strengths: Sequence[float] | None = None,
    points: int = 20,
    folds: Any = 5,
    rule: str = "best",
    seed: int = 0,
    stratify: bool | None = None,
    along: str | None = None,
    order: str = "auto",
    warm_start: bool = True,
    score: Any = "auto",
    names: Sequence[str] | None = None,
    convex: bool = False,
    progress: bool | Callable[[int, int], None] = False,
    **options: Any,
) -> RegularizationPath:
    """Solve a problem for many radii r of its set, or λ of its penalty, and choose one of them by cross-validation.

    θ(r) = argmin F(θ) subject to R(θ) ≤ r, or θ(λ) = argmin F(θ) + λR(θ), on all rows and on the training rows of each
    fold; the held-out loss of a point is the mean over folds of the mean loss on the rows that the fold held out, its
    standard error the standard deviation over folds / √folds.

    Args:
        objective: with a set that has a radius, or a penalty that has a λ.
        data: ``(X, y)`` or ``(X, y, sample weights)``. The columns are taken as they are: what was standardized by all
            rows has seen the held-out ones, if only by means and spreads. ``NetworkClassifierCV`` and
            ``chainrule regularize`` fit their encoders on the training rows of each fold.
        radii, strengths: the numbers, sorted; without them ``points`` in equal ratios, whose ends are found as
            ``chainrule.constrain.path_grid.automatic_grid`` says, and the printed path tells.
        folds: how many; or pairs (training rows, held-out rows), or a splitter of scikit-learn's; None for no
            cross-validation.
        rule: ``"best"`` chooses the lowest held-out loss; ``"one-standard-error"`` the strongest limit whose held-out
            loss is at most one standard error above that.
        seed: of the folds, and of the networks' initialization.
        stratify: deal each class out by itself; where it is left out, wherever the targets are classes.
        along: which number varies, such as ``"penalty1.lambda"``, where there are several.
        order: ``"loosening"`` goes from the strongest limit to the weakest, ``"tightening"`` the other way; "auto" is
            the first for convex problems, whose solutions do not depend on it, and the second for networks, which then
            begin with all their weights (Lemhadri et al. 2021).
        warm_start: start each point at the solution before; a network's result depends on the path then. False starts
            each one where a single training would.
        score: "auto" is accuracy for classes and R² for numbers; or ``score(truth, prediction, weight)``.
        names: of the input columns.
        convex: declares that F is convex, as for ``cr.optimality``.
        progress: True shows a live bar; a function is called with how many problems are solved, and how many there are.
        options: how each point is solved, as for ``cr.fit``: ``method``, ``optimizer``, ``epochs``, ``batch_size``,
            ``executor``, ``frozen``, ``parameters``, … Without method and optimizer, a convex problem is solved by
            ``AcceleratedProjection``, and a network by what ``cr.fit`` does.

    Returns:
        A ``RegularizationPath``: by point the loss, R(θ), the multiplier λ(r), the level of ``cr.optimality``, held-out
        loss and score, the weights that are not 0 and the inputs that are used; and ``chosen``, the run on all rows at
        the point that was chosen.

    Raises:
        TrainingError: numbers that are no path, folds that cannot be, or data and options that ``cr.fit`` refuses.

    Where an optimizer takes the steps, the folds of a point are trained side by side (``cr.learn.fit_many``); what
    AcceleratedProjection solves is solved one after the other.

    >>> import numpy as np, chainrule as cr
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 8)); y = X @ [2.0, -1.0, 0, 0, 0, 0, 0, 0] + rng.normal(size=60)
    >>> objective = cr.Objective(cr.nn.Dense(1), "squared_error", subject_to=[cr.constrain.L1Ball(1.0)])
    >>> path = cr.constrain.regularization_path(objective, (X, y), points=10, rule="one-standard-error")
    >>> path.chosen_point.inputs, path.chosen_point.level
    ((0, 1, 4), 'ε-optimal')
    """
    if not isinstance(objective, Objective):
        raise TrainingError("regularization_path takes an objective first: cr.Objective(network, loss, subject_to=[…])")
    varied = find_along(objective, radii, strengths, along)
    given = radii if varied.is_set else strengths
    values = None if given is None else checked_values(given, varied)
    rows = make_rows(data, "training")
    keep = rows["weight"] > 0
    rows = {k: v[keep] for k, v in rows.items()}
    classes = classes_of(objective.loss, rows["y"])
    if stratify and classes is None:
        raise TrainingError("stratify deals out classes, and the targets are not one class a row: leave it out")
    cut = read_folds(folds, rows, seed, classes if stratify is not False else None)
    if stratify is False:
        for number, fold in enumerate(cut, 1):
            assert fold.rows is not None
            require_classes(classes, fold.rows, number)
    whole = rows["x"], rows["y"], rows["weight"]
    plan = make_plan(
        objective, whole, varied, values, points=points, rule=rule, order=order, warm_start=warm_start, seed=seed,
        score=score, names=names, convex=convex, options=options,
    )  # fmt: skip
    return follow(plan, whole, cut, progress)


def make_plan(
    objective: Objective, whole: Data, along: Along, values: list[float] | None, *, points: int, rule: str,
    order: str, warm_start: bool, seed: int, score: Any, names: Sequence[str] | None, convex: bool,
    options: Mapping[str, Any],
) -> Plan:  # fmt: skip
    """Return how a path is gone, its grid found where none is given.

    Raises:
        TrainingError: words that are not known, and options of no use to a path.
    """
    for name, word, known in (("rule", rule, RULES), ("order", order, ORDERS)):
        if word not in known:
            raise TrainingError(f"{name} is {word!r:.60}; it is one of {', '.join(map(repr, known))}")
    for name, why in NOT_HERE.items():
        if options.get(name) is not None:
            raise TrainingError(f"regularization_path has no {name}: {why}. Leave it out")
    own = [name for name in options.get("settings") or {} if name.startswith(("set", "penalty"))]
    if own:
        raise TrainingError(f"settings has {own[0]!r}: give a path its numbers in the objective itself")
    is_convex, because = why_convex(objective, convex)
    chosen = {"seed": seed, **options}
    if is_convex and options.get("method") is None and options.get("optimizer") is None:
        chosen |= {"method": AcceleratedProjection(1e-4 if whole[0].dtype == np.float32 else 1e-8, STEPS)}
    if order == "auto":
        order = "loosening" if is_convex else "tightening"
    said = []
    if values is None:
        require_count(points, "points")
        if points < 2:
            raise TrainingError(f"points is {points}; a path has at least 2")
        start = cold_start(objective, whole, along, chosen, is_convex)
        bare = {k: v for k, v in chosen.items() if k not in ("parameters", *_unread(chosen, is_convex))}
        grid = automatic_grid(along, objective, whole, points, start, bare, is_convex)
        values = grid.values
        said.append(f"grid: {grid.said}")
    way = "small to large" if (order == "loosening") == along.is_set else "large to small"
    if warm_start:
        said.append(
            f"each point starts at the solution before, from {way} {along.symbol}" + (
                "" if is_convex else f"; {because}: another order may come to other points"
            )
        )  # fmt: skip
    else:
        said.append("each point starts where a single training would")
    return Plan(
        objective, along, values, order, warm_start, rule, seed, convex, choose_score(score, objective.loss),
        None if names is None else tuple(map(str, names)), chosen, tuple(said),
    )  # fmt: skip


def _unread(chosen: Mapping[str, Any], is_convex: bool) -> tuple[str, ...]:
    """Return the options that the accurate solver, which finds the grid of a convex problem, does not read."""
    loop = ("optimizer", "epochs", "batch_size", "accumulate", "average", "tile_rows", "shuffle")
    return tuple(name for name in loop if name in chosen) if is_convex else ()


def cold_start(objective: Objective, data: Data, along: Along, options: Mapping[str, Any], is_convex: bool) -> Any:
    """Return where the first point starts: a convex problem with 0 for all that is covered, a network as always."""
    given = options.get("parameters")
    if not is_convex or (given is not None and not isinstance(objective.network, FunctionNetwork)):
        return given
    if isinstance(objective.network, FunctionNetwork):
        if given is None:
            return None  # cr.fit says what is missing
        names = along.of(objective.on(data[0], given)).covered
        return with_leaves(given, with_zeros(given, names))
    return with_zeros(objective.network.initialize(data[0], seed=0), along.of(objective.on(data[0])).covered)


def follow(
    plan: Plan, whole: Data, folds: Sequence[Fold], progress: bool | Callable[[int, int], None]
) -> RegularizationPath:
    """Solve every point on all rows and on each fold, in the plan's order."""
    along, order = plan.along, range(len(plan.values))
    is_convex, _ = why_convex(plan.objective, plan.convex)
    chains = [whole, *(fold.training for fold in folds)]
    colds = [cold_start(plan.objective, data, along, plan.options, is_convex) for data in chains]
    starts = list(colds)
    points: dict[int, PathPoint] = {}
    runs: dict[int, Run] = {}
    first: Any = None
    options = {k: v for k, v in plan.options.items() if k != "parameters"}
    with _counted(progress) as tell:
        for done, place in enumerate(order if plan.order == "loosening" else reversed(order)):
            value = plan.values[place]
            tell(done * len(chains), len(plan.values) * len(chains))
            solved = _solved(plan, value, chains, starts, folds, options, first is None)
            run = runs[place] = solved[0]
            if first is None:
                first = run.at(0).parameters
                options = _relative_to_first(options, run)
            if plan.warm_start:
                starts = [r.parameters for r in solved]
            points[place] = _point(plan, value, run, first, solved[1:], folds)
        tell(len(plan.values) * len(chains), len(plan.values) * len(chains))
    return _path(plan, whole, len(folds), [points[i] for i in order], [runs[i] for i in order])


def _solved(
    plan: Plan, value: float, chains: Sequence[Data], starts: Sequence[Any], folds: Sequence[Fold],
    options: Mapping[str, Any], is_first: bool,
) -> list[Run]:  # fmt: skip
    """Solve one point on all rows and on every fold's training rows."""
    own = {**(options.get("settings") or {}), plan.along.setting: value}
    side_by_side = options.get("method") is None and len(folds) > 0 and all(f.rows is not None for f in folds)
    with catch_warnings():
        if not is_first:  # what is said of the first point is not said again
            simplefilter("ignore")
        runs = _runs(plan.objective, chains, starts, folds, own, options, side_by_side)
    if any(run.status == "interrupted" for run in runs):
        raise KeyboardInterrupt
    return runs


def _runs(
    objective: Objective, chains: Sequence[Data], starts: Sequence[Any], folds: Sequence[Fold],
    own: Mapping[str, Any], options: Mapping[str, Any], side_by_side: bool,
) -> list[Run]:  # fmt: skip
    if side_by_side:
        entries: list[dict[str, Any]] = []
        for start, fold in zip(starts, (None, *folds), strict=True):
            entry = dict(own) if fold is None else {**own, "rows": fold.rows}
            entries.append(entry if start is None else {**entry, "parameters": start})
        common = {k: v for k, v in options.items() if k != "settings"} | {"parameters": starts[0]}
        return fit_many(objective, chains[0], entries, **common)
    given = {**options, "settings": own}
    runs = []
    for data, start in zip(chains, starts, strict=True):
        runs.append(fit(objective, data, parameters=start, **given))
        method = given.get("method")
        if isinstance(method, AcceleratedProjection):  # of a fold the loss is wanted, not a certificate
            given["method"] = replace(method, tolerance=max(method.tolerance, FOLD_TOLERANCE))
    return runs


def _relative_to_first(options: dict[str, Any], run: Run) -> dict[str, Any]:
    """Let an accurate solver end relative to ∇F where the path began: near a solution it is small everywhere."""
    method = options.get("method")
    if not isinstance(method, AcceleratedProjection) or method.first_slope is not None:
        return options
    return {**options, "method": replace(method, first_slope=slope_at_first(run))}


def _point(plan: Plan, value: float, run: Run, first: Any, others: Sequence[Run], folds: Sequence[Fold]) -> PathPoint:
    along = plan.along
    found = optimality(run, convex=plan.convex, first=first)
    member = along.of(run.objective)
    leaves = named_leaves(run.parameters)
    rows = input_weight(run, member)
    title = str(along.at(value)) if hasattr(along.member, "parameters") else str(along.member)
    return PathPoint(
        value=value,
        loss=found.data_loss,
        objective=found.value,
        size=along.size(run.parameters, member),
        multiplier=along.multiplier(found.multipliers, title) if along.is_set else value,
        level=found.level,
        because=found.said,
        gap=found.gap.value,
        stationarity=found.stationarity,
        nonzero=sum(int(np.count_nonzero(leaves[n])) for n in getattr(member, "covered", leaves)),
        inputs=None if rows is None else tuple(np.flatnonzero(np.any(leaves[rows] != 0, axis=1)).tolist()),
        status="" if run.status in ("done", "converged") else run.message,
        fold_losses=tuple(held_out_loss(r, f.held_out) for r, f in zip(others, folds, strict=True)),
        fold_scores=tuple(score_on(r, f.held_out, plan.score) for r, f in zip(others, folds, strict=True)),
    )


def input_weight(run: Run, member: Any) -> str | None:
    """Return the covered weight that has a row for each input column: that of the first layer."""
    columns = run.input.shape[-1]
    leaves = named_leaves(run.parameters)
    declared = declared_parameters(run.objective.network, run.input, run.parameters)
    covered = getattr(member, "covered", ())
    for name, parameter in declared.items():
        is_weight = parameter is None or parameter.role == "weight"
        if is_weight and leaves[name].ndim == 2 and len(run.input.shape) == 2:
            return name if leaves[name].shape[0] == columns and name in covered else None
    return None


def _path(plan: Plan, whole: Data, folds: int, points: Sequence[PathPoint], runs: Sequence[Run]) -> RegularizationPath:
    name = input_weight(runs[0], plan.along.of(runs[0].objective))
    weights = None if name is None else np.array([named_leaves(r.parameters)[name] for r in runs], np.float64)
    grouped = weights is not None and weights.shape[2] > 1
    if weights is not None:
        weights = np.linalg.norm(weights, axis=2) if grouped else weights[:, :, 0]
        if plan.names is not None and len(plan.names) != weights.shape[1]:
            raise TrainingError(f"names has {len(plan.names)} names; there are {weights.shape[1]} input columns")
    member, along = plan.along.member, plan.along
    formula = str(getattr(member, "formula", member)).partition(f", {along.symbol} =")[0]
    problem = (
        f"min F(θ) subject to {formula}" if along.is_set else f"min F(θ) + {formula}"
    ) + f"; {runs[0].objective.loss.name}, {len(whole[0])} rows"
    objective = runs[0].objective
    others = [str(m) for m in (*objective.penalty, *objective.subject_to) if m is not along.of(objective)]
    problem += f"; besides: {', '.join(others)}" if others else ""
    return RegularizationPath(
        symbol=along.symbol,
        problem=problem,
        points=tuple(points),
        runs=tuple(runs),
        rule=plan.rule,
        folds=folds,
        rows=len(whole[0]),
        score_name="" if plan.score is None else plan.score.name,
        names=plan.names,
        coefficients=weights,
        grouped=grouped,
        said=plan.said,
    )


@contextmanager
def _counted(progress: bool | Callable[[int, int], None]) -> Iterator[Callable[[int, int], None]]:
    if progress is True:
        with show_count("solving") as listener:
            yield listener
    else:
        yield progress or (lambda done, total: None)
