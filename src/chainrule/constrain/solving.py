"""Small exact problems on arrays: a root of a decreasing function, and nonnegative least squares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def root_of(decreasing: Callable[[float], Any], top: Any) -> float:
    """Return the t ≥ 0 at which a decreasing function is 0 (0 where it is negative from the start); by bisection."""
    if not decreasing(0.0) > 0.0:
        return 0.0
    low, high = 0.0, float(top)
    while True:
        middle = 0.5 * (low + high)
        if middle in (low, high):
            return middle
        low, high = (middle, high) if decreasing(middle) > 0.0 else (low, middle)


def nonnegative_least_squares(rows: Array, target: Array) -> Array:
    """Return argmin over λ ≥ 0 of ‖Jᵀλ − d‖, for J [constraints, parameters].

    The active-set method of Lawson and Hanson (1974), chapter 23: a multiplier enters where the residual still points
    along its constraint's gradient, and leaves where it would become negative. It ends after finitely many steps.
    """
    count = len(rows)
    result = np.zeros(count)
    chosen = np.zeros(count, bool)
    size = float(np.linalg.norm(target)) * np.linalg.norm(rows, axis=1)
    for _ in range(3 * count + 10):
        slope = rows @ (target - rows.T @ result)
        slope[chosen] = -np.inf
        best = int(np.argmax(slope)) if count else 0
        if not count or chosen.all() or slope[best] <= 1e-12 * size[best]:
            return result
        chosen[best] = True
        while True:
            trial = np.zeros(count)
            trial[chosen] = np.linalg.lstsq(rows[chosen].T, target, rcond=None)[0]
            if np.all(trial[chosen] > 0.0):
                break
            leaving = chosen & (trial <= 0.0)
            share = float(np.min(result[leaving] / np.maximum(result[leaving] - trial[leaving], 1e-300)))
            result = result + share * (trial - result)
            chosen &= result > 1e-14 * np.max(result, initial=0.0)
            result[~chosen] = 0.0
        result = trial
    return result
