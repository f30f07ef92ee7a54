"""What may be read from repeated trainings: differences with intervals, power laws, choices, double descent.

All repeats split the same table, so that their rows overlap and the usual standard error s/√R is too small. Nadeau and
Bengio, "Inference for the Generalization Error", Machine Learning 52 (2003), put s·√(1/R + n_test/n_training) in its
place; intervals are Student's, with R − 1 degrees of freedom.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
STUDENT = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788, 2.1604, 2.1448,
    2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484,
    2.0452, 2.0423,
)  # fmt: skip
"""Student's t: its 97.5 % quantiles for 1, 2, … degrees of freedom; beyond, the last is a little too wide."""
EXPONENTS = np.arange(0.05, 1.001, 0.01)
LAW_POINTS = 4


@dataclass(frozen=True)
class Estimate:
    """A mean over repeats with its standard error and 95 % interval."""

    mean: float
    error: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """+1 or −1 where the interval has that side of 0 alone, 0 where the mean is within noise."""
        return 1 if self.low > 0.0 else -1 if self.high < 0.0 else 0

    def to_dict(self) -> dict[str, float]:
        return {"mean": self.mean, "standard_error": self.error, "low": self.low, "high": self.high}


def estimate(values: Array, share: float) -> Estimate:
    """Return the mean of one value a repeat; ``share`` is n_test/n_training, by which repeats overlap."""
    r = len(values)
    return around(float(np.mean(values)), sqrt(float(np.var(values, ddof=1)) * (1.0 / r + share)), r)


def around(mean: float, error: float, repeats: int) -> Estimate:
    """Return a mean with Student's interval of R repeats."""
    reach = STUDENT[min(repeats - 1, len(STUDENT)) - 1] * error
    return Estimate(mean, error, mean - reach, mean + reach)


@dataclass(frozen=True)
class Choice:
    """What choosing among settings gains: ``gain`` is the fall of the loss from the present setting to the chosen one.

    In each repeat the setting is chosen by the *other* repeats' means, so that the best of many noisy curves is not
    taken for better than it is. ``place`` is the setting that is best over all repeats, ``votes`` how many chose it.
    """

    gain: Estimate
    place: int
    votes: int


def choose_among(losses: Array, present: Array, places: Sequence[int], share: float) -> Choice:
    """Return what is gained by choosing the best of some rows of losses [settings, repeats] over the present one."""
    candidates = losses[list(places)]
    repeats = losses.shape[1]
    chosen = [int(np.argmin(np.delete(candidates, r, axis=1).mean(axis=1))) for r in range(repeats)]
    gains = np.array([present[r] - candidates[chosen[r], r] for r in range(repeats)])
    best = int(np.argmin(candidates.mean(axis=1)))
    return Choice(estimate(gains, share), places[best], Counter(chosen)[best])


@dataclass(frozen=True)
class Law:
    """A power law a + b·n^−c through the last points of a curve of rows, and what it says of twice the rows."""

    a: float
    b: float
    c: float
    points: int
    rows: int
    value: float
    gain: Estimate


def power_law(rows: Array, losses: Array, share: float) -> Law | None:
    """Fit a + b·n^−c with a, b ≥ 0 to mean losses [rows, repeats], weighted by their errors; None for under 3 points.

    The gain of twice the rows is what the law itself falls by. Its error is that of the jackknife over repeats (each
    left out once), corrected for shared rows as all errors here, and beside it what the law misses the last point by:
    where no power law fits, none may be sure of what comes next.
    """
    n, y = rows[-LAW_POINTS:].astype(float), losses[-LAW_POINTS:]
    if len(n) < 3:
        return None
    r = y.shape[1]
    weight = 1.0 / np.maximum(y.var(axis=1, ddof=1), 1e-12 * max(float(np.mean(y)) ** 2, 1e-300))

    def fit(means: Array) -> tuple[float, float, float]:
        return _nearest(n, means, weight)

    def gain(law: tuple[float, float, float]) -> float:
        _, b, c = law
        return float(b * (n[-1] ** -c - (2 * n[-1]) ** -c))

    a, b, c = fit(y.mean(axis=1))
    each = np.array([gain(fit(np.delete(y, i, axis=1).mean(axis=1))) for i in range(r)])
    missed = float(y[-1].mean() - (a + b * n[-1] ** -c))
    error = sqrt((r - 1) * float(np.var(each)) * (1.0 + r * share) + missed**2)
    double = 2 * int(rows[-1])
    return Law(a, b, c, len(n), double, float(a + b * double**-c), around(gain((a, b, c)), error, r))


def _nearest(n: Array, y: Array, weight: Array) -> tuple[float, float, float]:
    """Return a, b ≥ 0 and c of the least weighted squares of y − a − b·n^−c: a line for each c, of which the best."""
    x = n[None, :] ** -EXPONENTS[:, None]
    w = weight / weight.sum()
    mx, my = x @ w, y @ w
    b = ((x - mx[:, None]) * (y - my)) @ w / (np.square(x - mx[:, None]) @ w)
    a = my - b * mx
    through_zero = (x * y) @ w / (np.square(x) @ w)
    a, b = np.where(b < 0.0, my, np.maximum(a, 0.0)), np.where(b < 0.0, 0.0, np.where(a < 0.0, through_zero, b))
    best = int(np.argmin(np.square(y - a[:, None] - b[:, None] * x) @ w))
    return float(a[best]), float(b[best]), float(EXPONENTS[best])


@dataclass(frozen=True)
class DoubleDescent:
    """Held-out loss that rises with size and falls again: places of the valley, the peak, and the best beyond it."""

    valley: int
    peak: int
    beyond: int
    rise: Estimate
    fall: Estimate


def double_descent(losses: Array, share: float) -> DoubleDescent | None:
    """Return the double descent of held-out losses [sizes, repeats], where both rise and fall are beyond noise.

    As with a choice, the places at which a repeat is measured are found by the others.
    """
    count, repeats = losses.shape
    if count < 3:
        return None
    rises, falls = np.empty(repeats), np.empty(repeats)
    for r in range(repeats):
        valley, peak, beyond = _highest_peak(np.delete(losses, r, axis=1).mean(axis=1))
        rises[r], falls[r] = losses[peak, r] - losses[valley, r], losses[peak, r] - losses[beyond, r]
    rise, fall = estimate(rises, share), estimate(falls, share)
    if rise.sign < 1 or fall.sign < 1:
        return None
    return DoubleDescent(*_highest_peak(losses.mean(axis=1)), rise, fall)


def _highest_peak(means: Array) -> tuple[int, int, int]:
    """Return (i, j, k), i < j < k, with the largest smaller side of means[j] over means[i] and means[k]."""

    def sides(j: int) -> tuple[int, int, int]:
        return int(np.argmin(means[:j])), j, j + 1 + int(np.argmin(means[j + 1 :]))

    found = [sides(j) for j in range(1, len(means) - 1)]
    return max(found, key=lambda at: means[at[1]] - max(means[at[0]], means[at[2]]))
