"""What a path came to: its points, the rules that choose among them, and the table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from chainrule.errors import TrainingError
from chainrule.learn import Run

Array = np.ndarray[Any, Any]
RULES = ("best", "one-standard-error")
WIDTH = 80
SHOWN_INPUTS = 12


@dataclass(frozen=True)
class PathPoint:
    """One point of a path: the problem with one radius or λ, solved on all rows, and what its folds came to."""

    value: float
    """r or λ."""
    loss: float
    """F over all rows, penalties left out."""
    objective: float
    """F and the penalties."""
    size: float | None
    """R(θ), of a set in units of its radius; None for a set of one's own."""
    multiplier: float | None
    """λ̂ of a set's limit, λ of a penalty."""
    level: str
    """What ``cr.optimality`` shows of the point: infeasible, feasible, ε-KKT or ε-optimal."""
    because: str
    gap: float
    stationarity: float
    nonzero: int
    """How many of the covered weights are not 0."""
    inputs: tuple[int, ...] | None
    """The input columns that have a weight; None where no covered weight has a row for each."""
    status: str
    """The run's message, where it did not end as it should; else nothing."""
    fold_losses: tuple[float, ...] = ()
    fold_scores: tuple[float, ...] = ()

    @property
    def held_out(self) -> float:
        """The mean over folds of the mean loss on held-out rows."""
        return _mean(self.fold_losses)

    @property
    def held_out_error(self) -> float:
        """The standard error of that mean: the folds' standard deviation / √folds."""
        return _error(self.fold_losses)

    @property
    def score(self) -> float:
        return _mean(self.fold_scores)

    @property
    def score_error(self) -> float:
        return _error(self.fold_scores)


def _mean(values: tuple[float, ...]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _error(values: tuple[float, ...]) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def best_place(means: Array) -> int:
    """Return where the mean held-out loss is lowest; of equal ones the strongest limit.

    Raises:
        TrainingError: no point has a finite one.
    """
    known = np.where(np.isfinite(means), means, np.inf)
    if not np.isfinite(known).any():
        raise TrainingError("the held-out loss is finite at no point of the path, so that none can be chosen")
    return int(np.argmin(known))


def one_standard_error_place(means: Array, errors: Array) -> int:
    """Return the strongest limit whose mean is at most the best one + its standard error; the strongest stands first.

    Breiman, Friedman, Olshen and Stone (1984), section 3.4.3; Hastie, Tibshirani and Friedman (2009), section 7.10.

    >>> import numpy as np
    >>> one_standard_error_place(np.array([0.9, 0.54, 0.5, 0.6]), np.array([0.1, 0.1, 0.05, 0.1]))
    1
    """
    best = best_place(means)
    return int(np.flatnonzero(means <= means[best] + errors[best])[0])


@dataclass(eq=False)
class RegularizationPath:
    """A problem solved for one radius or λ after the other, from the strongest limit to the weakest.

    ``print(path)`` is a table; ``path.chosen`` the run on all rows at the point that the rule chose; ``path.best`` and
    ``path.one_standard_error`` are the points that either rule chooses.
    """

    symbol: str
    problem: str
    points: tuple[PathPoint, ...]
    runs: tuple[Run, ...] = field(repr=False)
    rule: str
    folds: int
    rows: int
    score_name: str
    names: tuple[str, ...] | None
    coefficients: Array | None = field(repr=False)
    """By point and input column: its weight, or, where it has several, their length ‖w_g‖."""
    grouped: bool
    said: tuple[str, ...]

    @property
    def values(self) -> list[float]:
        """The radii or λs, from the strongest limit to the weakest."""
        return [p.value for p in self.points]

    def _means(self) -> Array:
        if not self.folds:
            raise TrainingError(
                "the path was not cross-validated (folds=None), so that no point of it can be chosen; it has its runs"
            )
        return np.array([p.held_out for p in self.points])

    @property
    def best_index(self) -> int:
        return best_place(self._means())

    @property
    def one_standard_error_index(self) -> int:
        return one_standard_error_place(self._means(), np.array([p.held_out_error for p in self.points]))

    @property
    def chosen_index(self) -> int:
        return self.best_index if self.rule == "best" else self.one_standard_error_index

    @property
    def best(self) -> PathPoint:
        return self.points[self.best_index]

    @property
    def one_standard_error(self) -> PathPoint:
        return self.points[self.one_standard_error_index]

    @property
    def chosen_point(self) -> PathPoint:
        return self.points[self.chosen_index]

    @property
    def chosen(self) -> Run:
        """The run on all rows at the point that the rule chose."""
        if not self.runs:
            raise TrainingError("the runs of a path are no part of a copy or pickle, since they hold the training rows")
        return self.runs[self.chosen_index]

    def input_names(self, point: PathPoint) -> list[str]:
        """Return the names of the input columns that a point uses."""
        known = self.names
        return [f"x{i}" if known is None else known[i] for i in point.inputs or ()]

    def to_dict(self) -> dict[str, Any]:
        """Return the path as JSON data."""
        chosen: dict[str, Any] = {}
        if self.folds:
            chosen = {"best": self.best_index, "one_standard_error": self.one_standard_error_index} | {
                "chosen": self.chosen_index, "chosen_value": self.chosen_point.value,
                "chosen_inputs": None if self.chosen_point.inputs is None else self.input_names(self.chosen_point),
            }  # fmt: skip
        return {
            "problem": self.problem, "varied": self.symbol, "rule": self.rule, "rows": self.rows, "folds": self.folds,
            "score": self.score_name, **chosen,
            "points": [
                {**asdict(p), "held_out": p.held_out, "held_out_error": p.held_out_error, "score": p.score,
                 "score_error": p.score_error}
                for p in self.points
            ],
            "said": list(self.said),
        }  # fmt: skip

    def __str__(self) -> str:
        return "\n".join([*_wrapped(self.problem), "", *self._table(), "", *self._conclusions()])

    def _table(self) -> list[str]:
        levels = {p.level for p in self.points}
        own = self.symbol == "r"
        head = ["", self.symbol, "F", "R(θ)", *(["λ̂"] if own else []), *(["held out", "±"] if self.folds else [])]
        head += [self.score_name] if self._scored else []
        head += ["≠0"] + (["inputs"] if self.points[0].inputs is not None else [])
        head += ["level"] if len(levels) > 1 else []
        rows = [head]
        for i, p in enumerate(self.points):
            row = [self._mark(i), f"{p.value:.4g}", f"{p.loss:.4g}", _short(p.size)]
            row += [_short(p.multiplier)] if own else []
            row += [f"{p.held_out:.4g}", f"{p.held_out_error:.2g}"] if self.folds else []
            row += [f"{p.score:.3f}"] if self._scored else []
            row += [str(p.nonzero)] + ([str(len(p.inputs))] if p.inputs is not None else [])
            row += [p.level] if len(levels) > 1 else []
            rows.append(row)
        widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
        last = len(widths) - 1 if len(levels) > 1 else -1
        gap = "  " if sum(widths) + 2 * len(widths) <= WIDTH + 2 else " "
        return [
            gap.join(
                c.ljust(w) if j in (0, last) else c.rjust(w) for j, (c, w) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]

    @property
    def _scored(self) -> bool:
        return bool(self.score_name) and bool(self.folds)

    def _mark(self, place: int) -> str:
        if not self.folds:
            return ""
        return ("*" if place == self.best_index else "") + ("1" if place == self.one_standard_error_index else "")

    def _conclusions(self) -> list[str]:
        lines = []
        if self.folds:
            best, one, chosen = self.best, self.one_standard_error, self.chosen_point
            lines.append(
                f"* lowest held-out loss: {self.symbol} = {best.value:.4g}, {best.held_out:.4g} ± "
                f"{best.held_out_error:.2g} over {self.folds} folds"
            )
            if self.best_index in (0, len(self.points) - 1):
                end, wanted = ("strongest", "stronger") if self.best_index == 0 else ("weakest", "weaker")
                lines.append(f"  that is the {end} limit of the path: a {wanted} one may be better")
            lines.append(
                f"1 within one standard error of it, the strongest limit: {self.symbol} = {one.value:.4g}, "
                f"{one.held_out:.4g} ± {one.held_out_error:.2g}"
            )
            lines.append(f"chosen by the rule {self.rule!r}: {self.symbol} = {chosen.value:.4g}; {chosen.because}")
            if chosen.inputs is not None and self.coefficients is not None:
                total, found = self.coefficients.shape[1], self.input_names(chosen)
                more = f", and {len(found) - SHOWN_INPUTS} more" if len(found) > SHOWN_INPUTS else ""
                if len(found) < total:
                    lines.append(f"inputs there, {len(found)} of {total}: {', '.join(found[:SHOWN_INPUTS])}{more}")
        counts = {level: sum(p.level == level for p in self.points) for level in dict.fromkeys(self._levels())}
        lines.append("levels: " + ", ".join(f"{level} at {n} of {len(self.points)}" for level, n in counts.items()))
        lines += [f"{self.symbol} = {p.value:.4g}: {p.status}" for p in self.points if p.status]
        return [piece for line in [*lines, *self.said] for piece in _wrapped(line)]

    def _levels(self) -> list[str]:
        return [p.level for p in self.points]


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _wrapped(line: str) -> list[str]:
    from textwrap import wrap

    return wrap(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
