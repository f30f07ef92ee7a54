"""What limits on losses and rates come to, on training rows or others: values, counted decisions, and intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from chainrule.constrain.limits import Limit
from chainrule.constrain.whole import doubled
from chainrule.errors import TrainingError
from chainrule.execute import REFERENCE
from chainrule.graph import flatten, make_graph
from chainrule.learn import Run
from chainrule.learn.data import make_rows, normalized
from chainrule.learn.groups import PREFIX, group_columns
from chainrule.learn.program import View, rows_type, types_of
from chainrule.nn import Scope

Array = np.ndarray[Any, Any]
Z = 1.959963984540054
"""The 97.5 % point of the normal distribution: intervals cover 95 %."""


@dataclass(frozen=True)
class LimitValue:
    """What a limit's expression comes to over some rows, with an interval of 95 %.

    ``value`` counts decisions where the limit is on rates; ``smooth`` is what training saw in their place. ``low`` and
    ``high`` are for rows drawn anew, the network kept: None where there is no spread of rows to tell from.
    """

    limit: Limit
    value: float
    smooth: float
    low: float | None
    high: float | None
    rows: int

    @property
    def holds(self) -> bool:
        """Is the limit kept by ``value``?"""
        away = self.value - self.limit.middle
        return {
            "<=": away <= self.limit.at_most,
            ">=": away >= self.limit.at_most,
            "abs": abs(away) <= self.limit.at_most,
        }[self.limit.side]

    def __str__(self) -> str:
        interval = "" if self.low is None else f", 95 % interval [{self.low:.4g}, {self.high:.4g}]"
        smooth = "" if self.smooth == self.value else f" by decisions ({self.smooth:.4g} by their smooth form)"
        kept = "holds" if self.holds else "does not hold"
        return f"{self.limit}: {self.value:.4g}{smooth}{interval}; {self.rows} rows; it {kept}"


def limit_values(run: Run, data: Any = None, *, groups: Mapping[str, Any] | None = None) -> list[LimitValue]:
    """Return what the limits on losses and rates of a run's objective come to, over all rows, dropout off.

    Args:
        run: what was trained.
        data: ``(X, y)`` or ``(X, y, weights)``; the training rows and their groups where it is left out.
        groups: the masks of these rows, as for ``cr.fit``.

    The interval of a rate is Wilson's (1927), with the effective number of rows (Σw)²/Σw²; those of sums and
    differences over separate groups are put together as by Zou and Donner (2008). Of other means it is ±1.96 standard
    errors.

    >>> import numpy as np, chainrule as cr
    >>> from chainrule import constrain as ct
    >>> X = np.random.default_rng(0).normal(size=(60, 2)); y = (X[:, 0] > 0).astype(int)
    >>> objective = cr.Objective(cr.nn.Dense(1), "binary_cross_entropy", subject_to=[ct.selection_rate() <= 0.3])
    >>> method, optimizer = ct.Lagrangian(0.05, damping=1.0), cr.learn.Adam(0.02)
    >>> run = cr.fit(objective, (X, y), method=method, optimizer=optimizer, epochs=800, batch_size="all")
    >>> (found,) = ct.limit_values(run)
    >>> abs(found.smooth - 0.3) < 1e-3
    True
    """
    if data is None:
        if groups is not None:
            raise TrainingError("limit_values: groups are those of the rows that are given: pass data=(X, y) with them")
        rows = run.training
    else:
        given = make_rows(data, "given", run.training["x"].dtype)
        rows = normalized(given | group_columns(groups, len(given["x"]), run.training["x"].dtype))
    return values_of(run.objective, run.parameters, run.state, run.arrays, rows)


def values_of(
    objective: Any, parameters: Any, state: Any, settings: Any, rows: Mapping[str, Array]
) -> list[LimitValue]:
    """Return what the limits of an objective come to at parameters, over rows that come with their groups."""
    limits = [m for m in objective.subject_to if isinstance(m, Limit)]
    if not limits:
        return []
    for limit in limits:
        limit.on_rows(objective.loss, rows)  # says which group is missing
    view = viewed(objective, parameters, state, settings, rows)
    return [_value(limit, view, objective.loss) for limit in limits]


def held_out_values(run: Run, parameters: Any, state: Any, settings: Any) -> list[LimitValue]:
    """Return what limits come to over a run's validation rows, where the groups of these are known."""
    if run.validation is None:
        return []
    rows = {**run.validation, **run.validation_groups}
    known = [m for m in run.objective.subject_to if isinstance(m, Limit) and not undefined_on(m, rows)]
    if not known:
        return []
    view = viewed(run.objective, parameters, state, settings, rows)
    return [_value(limit, view, run.objective.loss) for limit in known]


def undefined_on(limit: Limit, rows: Mapping[str, Array]) -> str:
    """Return why a limit's expression has no value over rows: the first mean that is over none of them; or ''."""
    for _, term in limit.expression.terms:
        if term.group is not None and PREFIX + term.group not in rows:
            return f"the group {term.group!r} is not known there"
        mask = term.mask(rows)
        if mask is not None and not np.any(np.asarray(mask) * rows["weight"]):
            return f"no row there is one that {term} is the mean over"
    return ""


def said_of_validation(run: Run) -> list[str]:
    """Return which limits have no value over a run's validation rows, though their groups were given, and why."""
    if run.validation is None or not run.validation_groups:
        return []
    rows = {**run.validation, **run.validation_groups}
    limits = [m for m in run.objective.subject_to if isinstance(m, Limit)]
    return [f"held out, {limit} has no value: {why}" for limit in limits if (why := undefined_on(limit, rows))]


def said_of_infeasible(run: Run) -> list[str]:
    """Return what speaks for limits that no parameters meet: multipliers that rise, and violations that stay."""
    if len(run.history) < 10:
        return []
    before, last = run.history[-1 - len(run.history) // 10], run.history[-1]
    stay = [
        name for name in (k.removesuffix(".multiplier") for k in last if k.endswith(".multiplier") and k in before)
        if last[f"{name}.multiplier"] > 1.01 * before[f"{name}.multiplier"] > 0.0
        and last[f"{name}.value"] > 0.9 * before[f"{name}.value"] > 0.0
    ]  # fmt: skip
    if not stay:
        return []
    which = ", ".join(stay)
    return [
        f"λ of {which} rises and the violation does not fall: the limits may contradict each other, or no parameters "
        "of this network meet them; nothing shows that they can be met"
    ]


def history_of(run: Run) -> tuple[str, ...]:
    """Return how each limit's λ and g went: a tenth of the epochs ago, and at the end."""
    if len(run.history) < 10:
        return ()
    before, last = run.history[-1 - len(run.history) // 10], run.history[-1]
    lines = []
    for name in (k.removesuffix(".multiplier") for k in last if k.endswith(".multiplier") and k in before):
        moved = [
            f"{sign} {before[f'{name}.{what}']:.{digits}g} → {last[f'{name}.{what}']:.{digits}g}"
            for sign, what, digits in (("λ", "multiplier", 6), ("g", "value", 2))
        ]
        lines.append(f"{name}: {', '.join(moved)}, over the last tenth of {len(run.history)} epochs")
    return tuple(lines)


def said_of_rates(counted: list[LimitValue], decided: bool) -> list[str]:
    """Return what the level does not say of limits on rates, whose smooth form is another number than decisions."""
    apart = [v for v in counted if v.limit.has_rates]
    if decided:
        return [
            f"g of {v.limit} counts decisions, and ∇g is that of its smooth form: stationary is meant for the problem "
            f"whose smooth form has the limit {v.limit.at_most:g} {'-' if v.value > v.smooth else '+'} "
            f"{abs(v.value - v.smooth):.3g}"
            for v in apart
        ]
    return [
        f"the level speaks of the smooth form of {v.limit}; by decisions it does not hold"
        for v in apart if not v.holds
    ]  # fmt: skip


def viewed(objective: Any, parameters: Any, state: Any, settings: Any, rows: Mapping[str, Array]) -> View:
    """Return the outputs and the losses of rows, as one predicts, in float64."""
    given = [doubled(tree) for tree in (parameters, state, dict(settings), dict(rows))]
    rows = given[3]

    def outputs(parameters: Any, state: Any, settings: Any, x: Any, y: Any) -> Any:
        found = objective.network.forward(Scope(parameters, state=state, settings=settings), x)
        return found, objective.loss.rows(y, found)

    types = [types_of(tree) for tree in given[:3]] + [rows_type(rows[k]) for k in ("x", "y")]
    graph = make_graph(outputs, *types)
    leaves = flatten((*given[:3], rows["x"], rows["y"]))[0]
    found, losses = REFERENCE.run(graph, leaves, len(rows["x"]))
    return View(given[0], found, losses, rows)


def _value(limit: Limit, view: View, loss: Any) -> LimitValue:
    means, pieces, smooth, spread = [], [], 0.0, True
    weight = view.batch["weight"]
    for factor, term in limit.expression.terms:
        q, seen = np.asarray(term.truth(view, loss)), np.asarray(term.numbers(view, loss))
        if q.ndim == 0:
            means.append(factor * float(q))
            smooth += factor * float(seen)
            spread = False
            continue
        mask = term.mask(view.batch)
        w = weight if mask is None else weight * np.asarray(mask)
        counted = w > 0
        mean = float(np.sum(q[counted] * w[counted]) / np.sum(w))
        means.append(factor * mean)
        smooth += factor * float(np.sum(seen[counted] * w[counted]) / np.sum(w))
        pieces.append((factor, np.where(counted, q, 0.0), w, mean))
    value = sum(means)
    below, above = _widths(pieces) if spread else (None, None)
    low, high = (None, None) if below is None or above is None else (value - below, value + above)
    return LimitValue(limit, value, smooth, low, high, len(weight))


def _widths(pieces: list[tuple[float, Array, Array, float]]) -> tuple[float, float]:
    """Return how far the interval goes below and above the value."""
    apart = all(not np.any((a[2] > 0) & (b[2] > 0)) for i, a in enumerate(pieces) for b in pieces[:i])
    rates = all(np.all(np.isin(q, (0.0, 1.0))) for _, q, _, _ in pieces)
    if apart and rates:
        below = above = 0.0
        for factor, _, w, mean in pieces:
            low, high = wilson(mean, float(np.sum(w) ** 2 / np.sum(w * w)))
            down, up = mean - low, high - mean
            below += (factor * (down if factor > 0 else up)) ** 2
            above += (factor * (up if factor > 0 else down)) ** 2
        return sqrt(below), sqrt(above)
    # each row's share in Σ factor · mean: rows that are in several means count in each
    shares = sum(factor * w * (q - mean) / np.sum(w) for factor, q, w, mean in pieces)
    width = Z * float(np.sqrt(np.sum(np.square(shares))))
    return width, width


def wilson(share: float, count: float) -> tuple[float, float]:
    """Return Wilson's interval of 95 % for a share that was seen in so many rows."""
    middle = (share + Z * Z / (2.0 * count)) / (1.0 + Z * Z / count)
    half = Z / (1.0 + Z * Z / count) * sqrt(share * (1.0 - share) / count + Z * Z / (4.0 * count * count))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def by_set(multipliers: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return the multipliers of each set by its limits' labels."""
    found: dict[str, dict[str, float]] = {}
    for label, value in multipliers.items():
        title, _, limit = label.partition(" | ")
        found.setdefault(title, {})[limit] = value
    return found


def numbers_of(found: Any) -> str:
    """Return multipliers in words: one number, several with their labels, or the range of many."""
    if not isinstance(found, Mapping):
        return f"{found:.6g}"
    if len(found) == 1:
        return f"{next(iter(found.values())):.6g}"
    values = np.array(list(found.values()))
    if len(values) <= 4:
        return ", ".join(f"{v:.6g} ({label})" for label, v in found.items())
    active = values[values != 0]
    if not len(active):
        return f"0 for all {len(values)} limits"
    return f"{active.min():.4g} … {active.max():.4g} for {len(active)} of {len(values)} limits, else 0"
