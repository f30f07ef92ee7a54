"""Learning curves of a table: would more rows, a smaller or larger network, or a constraint help most?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.errors import TrainingError
from chainrule.table import TableEncoder, Task, infer_task, missing_labels, select_target
from chainrule.workflow.curve_options import CurveOptions, check_options
from chainrule.workflow.curve_reading import (
    Choice,
    DoubleDescent,
    Estimate,
    Law,
    choose_among,
    double_descent,
    estimate,
    power_law,
)
from chainrule.workflow.curve_runs import FITS, SETS, Outcome, Trainer, guess_of
from chainrule.workflow.curve_samples import Source, check_rows
from chainrule.workflow.curve_text import STANDING, curves_text
from chainrule.workflow.split import class_numbers, split_rows
from chainrule.workflow.train import open_table

Array = np.ndarray[Any, Any]
MOST_ROWS = 25_000
"""Of a larger table so many rows are used, drawn at random, unless more are asked for."""
SIZES = (2, 4, 8, 16, 32, 64, 128, 256, 512)
FRACTIONS = (0.75, 0.5, 0.375, 0.25, 0.175, 0.125)
"""Radii that are tried, as parts of what the weights of the unlimited networks need."""


@dataclass(frozen=True)
class Curve:
    """Measures against one thing that is varied: arrays [values, repeats] by the measure's name.

    ``unfinished`` has for each value how many repeats the most epochs ended, while early stopping had not.
    """

    name: str
    values: tuple[float | None, ...]
    training: Mapping[str, Array]
    held_out: Mapping[str, Array]
    unfinished: tuple[int, ...]

    @classmethod
    def of(cls, name: str, values: Sequence[float | None], lines: Sequence[Sequence[Outcome]]) -> Curve:
        names = lines[0][0].training
        return cls(
            name,
            tuple(values),
            {m: np.array([[o.training[m] for o in line] for line in lines]) for m in names},
            {m: np.array([[o.held_out[m] for o in line] for line in lines]) for m in names},
            tuple(sum(o.unfinished for o in line) for line in lines),
        )

    def divided(self, unit: float) -> Curve:
        """Return the curve with all its measures in another unit."""
        training, held_out = (
            {m: values / unit for m, values in part.items()} for part in (self.training, self.held_out)
        )
        return replace(self, training=training, held_out=held_out)

    def to_dict(self) -> dict[str, Any]:
        measures = {
            m: {"training": self.training[m].tolist(), "held_out": self.held_out[m].tolist()} for m in self.training
        }
        return {"values": list(self.values), "measures": measures, "unfinished": list(self.unfinished)}


@dataclass(frozen=True)
class Advice:
    """What one change would bring: the fall of the held-out measure, with its interval.

    ``change`` is "more rows", "smaller network", "larger network" or "limit"; ``value`` the number of rows, units or
    the radius that it leads to; ``sign`` is +1 or −1 for what was shown beyond noise. More rows are extrapolated by a
    power law (``law``), all else is measured; that rows help is shown by the law's interval or by the last rows added.
    """

    change: str
    value: float
    gain: Estimate
    sign: int
    votes: int | None = None
    law: Law | None = None

    @property
    def standing(self) -> str:
        return STANDING[self.sign]

    def to_dict(self) -> dict[str, Any]:
        law = None if self.law is None else {k: v for k, v in asdict(self.law).items() if k != "gain"}
        return {
            "change": self.change,
            "value": self.value,
            "gain": self.gain.to_dict(),
            "standing": self.standing,
            "votes": self.votes,
            "law": law,
        }


@dataclass(frozen=True, repr=False)
class LearningCurves:
    """Training and held-out measures against rows, size and a limit, and what of the three would help most.

    ``rows``, ``size`` and ``limit`` are curves; ``guess`` has each measure of the best answer without a network;
    ``advice`` stands in the order of what helps most; ``print`` shows the report.
    """

    source: str
    target: str
    task: Task
    options: CurveOptions
    measure: str
    table_rows: int
    used: int
    held_out_rows: int
    rows: Curve
    size: Curve
    limit: Curve
    guess: Mapping[str, float]

    @property
    def share(self) -> float:
        """How many rows are held out for one to learn from: by so much the repeats overlap."""
        return self.held_out_rows / (self.used - self.held_out_rows)

    @property
    def units(self) -> int:
        """The units of the first hidden layer of the network that was asked for."""
        return self.options.hidden[0]

    @property
    def limit_name(self) -> str:
        """What is limited, as it is written: ‖w‖₂."""
        return SETS[self.options.constrain][0]

    @property
    def present(self) -> Array:
        """The held-out measure of that network with all rows and no limit, one number a repeat."""
        present: Array = self.rows.held_out[self.measure][-1]
        return present

    @property
    def gap(self) -> Estimate:
        """Held-out minus training measure of that network with all rows: positive is overfitting."""
        return estimate(self.present - self.rows.training[self.measure][-1], self.share)

    @property
    def last_step(self) -> Estimate:
        """What the held-out measure fell by from the last but one number of rows to all."""
        held = self.rows.held_out[self.measure]
        return estimate(held[-2] - held[-1], self.share)

    @cached_property
    def advice(self) -> tuple[Advice, ...]:
        held, sizes = self.size.held_out[self.measure], self.size.values
        found = [self._more_rows()]
        for change, places in (
            ("smaller network", [i for i, u in enumerate(sizes) if u is not None and u < self.units]),
            ("larger network", [i for i, u in enumerate(sizes) if u is not None and u > self.units]),
        ):
            if places:
                found.append(self._chosen(change, sizes, choose_among(held, self.present, places, self.share)))
        limits = self.limit.held_out[self.measure]
        places = [i for i, r in enumerate(self.limit.values) if r is not None]
        choice = choose_among(limits, self.present, places, self.share)
        found.append(self._chosen("limit", self.limit.values, choice))
        return tuple(sorted(found, key=lambda a: (-a.sign, -a.gain.mean)))

    def _more_rows(self) -> Advice:
        law, last = power_law(np.array(self.rows.values), self.rows.held_out[self.measure], self.share), self.last_step
        measured = law is None or last.sign < 0  # then the gain is that of the last rows added, not of twice as many
        gain = last if law is None or measured else law.gain
        sign = last.sign or max(gain.sign, 0)
        return Advice("more rows", (1 if measured else 2) * float(self.rows.values[-1] or 0), gain, sign, law=law)

    def _chosen(self, change: str, values: Sequence[float | None], choice: Choice) -> Advice:
        return Advice(change, float(values[choice.place] or 0), choice.gain, choice.gain.sign, choice.votes)

    @property
    def double_descent(self) -> DoubleDescent | None:
        """Where the held-out measure rises with size and falls again, both beyond noise; places in ``size.values``."""
        return double_descent(self.size.held_out[self.measure], self.share)

    @property
    def interpolation(self) -> int | None:
        """The fewest units from which on all sizes fit the training rows, their measure near 0; None where none do."""
        fits = np.mean(self.size.training[self.measure], axis=1) <= FITS[self.measure] * self.guess[self.measure]
        place = len(fits) - (int(np.argmin(fits[::-1])) if not fits.all() else len(fits))
        return int(self.size.values[place] or 0) if place < len(fits) else None

    def divided(self, unit: float) -> LearningCurves:
        """Return the same curves with measures in another unit, as of an RMSE in thousands."""
        rows, size, limit = (curve.divided(unit) for curve in (self.rows, self.size, self.limit))
        guess = {m: value / unit for m, value in self.guess.items()}
        return replace(self, rows=rows, size=size, limit=limit, guess=guess)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON data: curves number by number, and what was read from them."""
        found = self.double_descent
        return {
            "source": self.source,
            "target": self.target,
            "task": asdict(self.task),
            "options": asdict(self.options),
            "measure": self.measure,
            "rows": {"table": self.table_rows, "used": self.used, "held_out": self.held_out_rows},
            "guess": dict(self.guess),
            "curves": {c.name: c.to_dict() for c in (self.rows, self.size, self.limit)},
            "gap": self.gap.to_dict(),
            "last_step": self.last_step.to_dict(),
            "advice": [advice.to_dict() for advice in self.advice],
            "interpolation": self.interpolation,
            "double_descent": None
            if found is None
            else {
                **{at: self.size.values[getattr(found, at)] for at in ("valley", "peak", "beyond")},
                "rise": found.rise.to_dict(),
                "fall": found.fall.to_dict(),
            },
        }

    def __str__(self) -> str:
        """The report of ``chainrule learning-curve``."""
        return curves_text(self)

    def __repr__(self) -> str:
        best = self.advice[0]
        return f"<learning curves of {self.target} from {self.source}: {best.change} {best.standing}>"


def learning_curve(
    table: Any,
    target: str | None = None,
    options: CurveOptions | None = None,
    *,
    progress: bool | Callable[[int, int], None] = False,
) -> LearningCurves:
    """Measure what more rows, another size of the network, and a limit on its weights change on held-out rows.

    In each repeat the table is split anew; the network is trained on nested subsets of the rows to learn from, at
    several sizes, and under limits R(w) ≤ r, and scored on the same held-out rows. Errors are over repeats.

    Args:
        table: a path to a CSV or Parquet file, a data frame, or arrays ``(X, y)``.
        target: the column to predict; of arrays it is what y is called in the report.
        options: see ``CurveOptions``.
        progress: True for a live bar; a function is called with how many trainings are done, and how many there are.

    Raises:
        TableError, TrainingError: for a table that cannot be used, too few rows, or a training that diverged.

    Source: Nadeau and Bengio 2003 (errors); Hestness et al. 2017, arXiv 1712.00409 (power laws); Belkin et al. 2019,
    arXiv 1812.11118 (double descent).

    >>> import numpy as np, chainrule as cr
    >>> from chainrule.workflow import CurveOptions, learning_curve
    >>> rng = np.random.default_rng(0); X = rng.normal(size=(200, 3)); y = X[:, 0] + rng.normal(size=200)
    >>> few = CurveOptions(hidden=(16,), epochs=20, sizes=(4, 16), radii=(1.0, 2.0), repeats=3)
    >>> found = learning_curve((X, y), options=few)
    >>> found.rows.values, found.size.held_out["RMSE"].shape
    ((10, 20, 40, 80, 160), (2, 3))
    """
    o = options or CurveOptions()
    frame, name, column = _opened(table, target)
    values = select_target(frame, column)[1]
    task = infer_task(values, o.task, column)
    measure = check_options(o, task)
    labeled = np.flatnonzero(~missing_labels(values))
    used = _drawn(labeled, values, task, o)
    # Once over the whole table, so that an error names the table's own row; thereafter over the rows that are used.
    TableEncoder.fit(frame, target=column, ignore=o.ignore, rows=labeled, source=name).transform(frame, source=name)
    height, frame, values = frame.height, frame[used.tolist()], values.gather(used)
    source = Source.of(frame, values, task, o, name)
    classes = values.n_unique() if task.is_classification else 0
    rows = check_rows(o.rows, source.most, classes)
    o = replace(
        o, rows=rows, sizes=tuple(sorted({*(o.sizes or SIZES), o.hidden[0]})), radii=tuple(sorted(set(o.radii)))
    )
    if progress is True:
        from chainrule.learn.progress import show_count

        with show_count("training") as listener:
            return _measured(source, o, measure, height, listener)
    return _measured(source, o, measure, height, progress or (lambda done, total: None))


def _measured(
    source: Source, o: CurveOptions, measure: str, height: int, listener: Callable[[int, int], None]
) -> LearningCurves:
    """Train everything, and put the curves together."""
    hidden = o.hidden
    others = [units for units in o.sizes if units != hidden[0]]
    total = o.repeats * (len({*o.rows, source.most}) + len(others) + (len(o.radii) or len(FRACTIONS)))
    trainer = Trainer(source.task, o, total, listener)
    by_rows = {n: trainer.run(source.draw(n), hidden, [None])[0] for n in o.rows if n != source.most}
    samples = source.draw(source.most)
    present = trainer.run(samples, hidden, [None])[0]
    by_size = {units: trainer.run(samples, _scaled(hidden, units), [None])[0] for units in others}
    by_size[hidden[0]] = present
    radii = o.radii or _radii(float(np.median([outcome.size for outcome in present])))
    by_limit = trainer.run(samples, hidden, radii)
    rows, sizes = [*by_rows, source.most], sorted(by_size)
    return LearningCurves(
        source=source.name,
        target=source.values.name,
        task=source.task,
        options=replace(o, radii=tuple(radii)),
        measure=measure,
        table_rows=height,
        used=len(source.values),
        held_out_rows=source.held_out,
        rows=Curve.of("rows", rows, [by_rows.get(n, present) for n in rows]),
        size=Curve.of("size", sizes, [by_size[units] for units in sizes]),
        limit=Curve.of("limit", [*radii, None], [*by_limit, present]),
        guess=guess_of(samples, source.task.is_classification),
    )


def _opened(table: Any, target: str | None) -> tuple[Any, str, str]:
    """Return a frame, its name, and the target's name; arrays become columns x1, x2, … and y."""
    if not isinstance(table, tuple):
        if target is None:
            raise TrainingError("learning_curve needs the column to predict: learning_curve(table, 'species')")
        return *open_table(table), target
    if len(table) != 2 or np.ndim(table[0]) != 2 or np.shape(table[1]) not in ((len(table[0]),), (len(table[0]), 1)):
        raise TrainingError("arrays are given as (X, y): X with rows and columns, y with one number or class a row")
    x, y = np.asarray(table[0]), np.asarray(table[1]).reshape(-1)
    column = target or "y"
    return (
        *open_table({**{f"x{i}": x[:, i - 1] for i in range(1, x.shape[1] + 1)}, column: y})[:1],
        "the arrays",
        column,
    )


def _drawn(labeled: Array, values: Any, task: Task, o: CurveOptions) -> Array:
    """Return the rows that are used: those with a label, of a large table as many as are wanted, drawn by class."""
    most = max(MOST_ROWS, -(-max(o.rows, default=0) // (1.0 - o.test)))
    if len(labeled) <= most:
        return labeled
    labels = class_numbers(values.gather(labeled), task)
    return labeled[split_rows(len(labeled), labels, 0.0, most / len(labeled), o.seed).test]


def _scaled(hidden: Sequence[int], units: int) -> tuple[int, ...]:
    """Return hidden layers whose first has so many units, and the others in proportion."""
    return tuple(max(1, round(size * units / hidden[0])) for size in hidden)


def _radii(needed: float) -> tuple[float, ...]:
    return tuple(sorted(float(f"{needed * part:.2g}") for part in FRACTIONS))
