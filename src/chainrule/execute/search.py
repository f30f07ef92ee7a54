"""Searching along a line: the smallest step that satisfies the strong Wolfe conditions, found by cubic interpolation.

Nocedal and Wright (2006), algorithms 3.5 and 3.6. How far a bracket grows, and how near to its ends a new point may
lie, is as in Schmidt's minFunc, which torch's ``LBFGS`` follows too; a point whose value is not finite is too far.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any

DECREASE, CURVATURE = 1e-4, 0.9
"""F(t) ≤ F(0) + DECREASE · t F′(0), and |F′(t)| ≤ CURVATURE · |F′(0)|."""
NARROWEST = 1e-12
"""A bracket that is narrower than this share of its far end is not searched any more."""


@dataclass(frozen=True)
class Point:
    """A point of the line: how far along it lies, its value and slope, and whatever else was found there."""

    t: float
    value: float
    slope: float
    found: Any = None

    @property
    def finite(self) -> bool:
        return isfinite(self.value) and isfinite(self.slope)


def strong_wolfe(at: Callable[[float], Point], start: Point, t: float, most: int, rounding: float = 0.0) -> Point:
    """Return a point on the line that satisfies the conditions, or the lowest that was found in ``most`` looks.

    ``at(t)`` looks at a point, ``start`` is the one at 0, and t the first to try. Where two values differ by no more
    than their ``rounding``, which is higher cannot be told, and the slope alone decides (Hager and Zhang 2005, the
    "approximate Wolfe conditions").
    """
    before, point = start, at(t)
    looks = 1
    while True:
        while not point.finite and looks < most:  # too far, whatever is there
            point = at(before.t + 0.1 * (point.t - before.t))
            looks += 1
        if not point.finite:
            return before
        if _alike(point, start, rounding):
            return point
        if _too_high(point, start) or (looks > 2 and point.value >= before.value):
            return _zoom(at, start, before, point, most - looks, rounding)
        if abs(point.slope) <= -CURVATURE * start.slope:
            return point
        if point.slope >= 0.0:
            return _zoom(at, start, before, point, most - looks, rounding)
        if looks >= most:
            return min(before, point, key=lambda p: p.value)
        farther = _cubic(before, point, point.t + 0.01 * (point.t - before.t), 10.0 * point.t)
        before, point = point, at(farther)
        looks += 1


def _too_high(point: Point, start: Point) -> bool:
    return point.value > start.value + DECREASE * point.t * start.slope


def _alike(point: Point, start: Point, rounding: float) -> bool:
    """Is a point as high as the beginning, as far as can be told, and much less steep?"""
    return abs(point.value - start.value) <= rounding and abs(point.slope) <= -CURVATURE * start.slope


def _zoom(at: Callable[[float], Point], start: Point, one: Point, other: Point, most: int, rounding: float) -> Point:
    """Return a point between two that enclose one that satisfies the conditions."""
    low, high = (one, other) if one.value <= other.value else (other, one)
    stalled = False
    for _ in range(most):
        first, last = min(low.t, high.t), max(low.t, high.t)
        if last - first <= NARROWEST * last:
            break
        # Interpolated from the left end to the right one, so that the rounding does not depend on which is lower.
        left, right = (low, high) if low.t < high.t else (high, low)
        t = _cubic(left, right, first, last)
        margin = 0.1 * (last - first)
        near = min(last - t, t - first) < margin
        if near and (stalled or t >= last or t <= first):
            t = last - margin if abs(t - last) < abs(t - first) else first + margin
            near = False
        stalled = near
        point = at(t)
        if _alike(point, start, rounding):
            return point
        if not point.finite or _too_high(point, start) or point.value >= low.value:
            high = point if point.finite else Point(point.t, float("inf"), 0.0)
            if high.value < low.value:
                low, high = high, low
            continue
        if abs(point.slope) <= -CURVATURE * start.slope:
            return point
        if point.slope * (high.t - low.t) >= 0.0:
            high = low
        low = point
    return low


def _cubic(one: Point, other: Point, least: float, most: float) -> float:
    """Return where the cubic through two points with their slopes is lowest, within limits; or the middle of these."""
    if not (isfinite(one.value) and isfinite(other.value)):
        return 0.5 * (least + most)
    d1 = one.slope + other.slope - 3.0 * (one.value - other.value) / (one.t - other.t)
    square = d1 * d1 - one.slope * other.slope
    if not square >= 0.0:
        return 0.5 * (least + most)
    d2 = sqrt(square)
    below = other.slope - one.slope + 2.0 * d2
    if below == 0.0:
        return 0.5 * (least + most)
    t = other.t - (other.t - one.t) * ((other.slope + d2 - d1) / below)
    return min(max(t, least), most) if isfinite(t) else 0.5 * (least + most)
