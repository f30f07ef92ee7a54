"""Sets with a limit for each element, and those that count elements or divide a total: box, simplex, cardinality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from chainrule import ops
from chainrule.constrain.balls import YES
from chainrule.constrain.selection import Axes
from chainrule.constrain.sets import Array, PerSet, VectorSet
from chainrule.constrain.solving import root_of
from chainrule.constrain.vectors import TINY, Arrays, largest, length_of, rounding, threshold, total
from chainrule.errors import TrainingError
from chainrule.nn.setting import Range, Setting


@dataclass(frozen=True)
class Box(VectorSet):
    """The weights between two limits: {w: low ≤ wᵢ ≤ high}; None is no limit. Each is cut off by itself.

    Limits on the signs of weights make a network monotone in its inputs only where every layer has them and every
    activation rises: they are sufficient for it, not necessary. The multiplier is the sum of those of all limits.

    >>> import numpy as np
    >>> nearest, _ = Box(-1.0, 0.5).covering({"w": None}).project({"w": np.array([1.5, -2.0, 0.2])})
    >>> nearest["w"].tolist()
    [0.5, -1.0, 0.2]
    """

    low: float | None = None
    high: float | None = None
    numbers: ClassVar[tuple[str, ...]] = ()
    multiplier_of: ClassVar[str] = "the limits, added up"

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            value = getattr(self, name)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, Real) or not isfinite(float(value))
            ):
                raise TrainingError(f"{type(self).__name__}: {name} is {value!r}; it must be a number, or None")
        if self.low is None and self.high is None:
            raise TrainingError(f"{type(self).__name__}: give low, high or both; without them there is no limit")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise TrainingError(f"{type(self).__name__}: low is {self.low:g}, more than high, {self.high:g}")
        self._check_choice()

    @property
    def bounded(self) -> bool:  # type: ignore[override]  # a class constant of other sets: here by its sides
        return self.low is not None and self.high is not None

    @property
    def formula(self) -> str:
        low = "" if self.low is None else f"{self.low:g} ≤ "
        return f"{low}wᵢ{'' if self.high is None else f' ≤ {self.high:g}'}"

    def __str__(self) -> str:
        more = "" if self.parameters == "weights" else f", parameters={self.parameters!r}"
        return f"{type(self).__name__}({self.low}, {self.high}{more})"

    def settings(self) -> dict[str, float]:
        lowest, highest = -inf if self.low is None else self.low, inf if self.high is None else self.high
        found: dict[str, float] = {} if self.low is None else {"low": Setting(self.low, Range(high=highest))}
        return found | ({} if self.high is None else {"high": Setting(self.high, Range(low=lowest))})

    def nearest(self, v: Arrays, s: Arrays | None, axes: Axes, numbers: Mapping[str, Any]) -> tuple[Arrays, Any]:
        low, high = numbers.get("low"), numbers.get("high")
        w = v if low is None else [ops.where(a < low, low, a) for a in v]
        return (w if high is None else [ops.where(a > high, high, a) for a in w]), YES

    def most(self, d: Array, numbers: Mapping[str, Any]) -> float:
        low, high = numbers.get("low", -np.inf), numbers.get("high", np.inf)
        ends = np.where(d > 0, high, low)
        return float(np.sum(d[d != 0] * ends[d != 0]))

    def limit_value(self, w: Array, numbers: Mapping[str, Any]) -> float:
        return 0.0  # the limits that are active are met; of the others the multiplier is 0

    def normal(self, w: Array, d: Array, numbers: Mapping[str, Any], active: float) -> tuple[Array, float]:
        out = np.zeros_like(w)
        if "low" in numbers:
            low = float(numbers["low"])
            out += np.where(w <= low + active * _size(low, w), np.minimum(d, 0.0), 0.0)
        if "high" in numbers:
            high = float(numbers["high"])
            out += np.where(w >= high - active * _size(high, w), np.maximum(d, 0.0), 0.0)
        return out, float(np.sum(np.abs(out)))


def _size(limit: float, w: Array) -> float:
    """Return what nearness to a limit is relative to: the limit, or where that is 0 the largest weight (at most 1)."""
    return abs(limit) or min(float(np.max(np.abs(w), initial=0.0)), 1.0)


@dataclass(frozen=True)
class NonNegative(Box):
    """The weights that are not negative: {w: wᵢ ≥ 0}, ``Box(low=0)``.

    >>> import numpy as np
    >>> nearest, _ = NonNegative().covering({"w": None}).project({"w": np.array([1.5, -2.0])})
    >>> nearest["w"].tolist()
    [1.5, 0.0]
    """

    low: float | None = 0.0

    def __str__(self) -> str:
        more = "" if self.parameters == "weights" else f"parameters={self.parameters!r}"
        return f"NonNegative({more})"


@dataclass(frozen=True)
class Simplex(PerSet):
    """Shares of a total: {w: wᵢ ≥ 0, Σ wᵢ = r}, by ``per`` of the network, or of each layer, unit or input.

    The nearest point is max(v − τM⁻¹, 0), with the τ, of any sign, that gives the total. The multiplier is that of
    Σ wᵢ − r, which is an equation, so that it may have any sign.

    >>> import numpy as np
    >>> nearest, _ = Simplex(1.0).covering({"w": None}).project({"w": np.array([0.8, 0.6, -1.0])})
    >>> nearest["w"].round(12).tolist()
    [0.6, 0.4, 0.0]
    """

    total: float = 1.0
    numbers: ClassVar[tuple[str, ...]] = ("total",)
    limit: ClassVar[str] = "w ≥ 0, Σ w = r"
    multiplier_of: ClassVar[str] = "Σ w − r"

    def nearest(self, v: Arrays, s: Arrays | None, axes: Axes, numbers: Mapping[str, Any]) -> tuple[Arrays, Any]:
        r = numbers["total"]
        margin = rounding(v, axes)
        steps = [0.0 * a + 1.0 for a in v] if s is None else [b + TINY for b in s]
        # from the τ at which one element alone is r: of large elements the rounding of τ may be more than r
        begin = largest([(a - r) / b for a, b in zip(v, steps, strict=True)], axes)
        left = [a - begin * b for a, b in zip(v, steps, strict=True)]
        start = largest([(a - r) / b for a, b in zip(left, steps, strict=True)], axes)
        tau, f, found = threshold(left, steps, axes, r, start)
        negative = largest([ops.where(a < 0.0, 1.0, 0.0 * a) for a in v], axes) > 0.0
        off = ops.absolute(total(v, axes) - r) > 2.0 * margin * r
        moved = ops.logical_or(negative, off)
        w = [ops.maximum(a - tau * b, 0.0) * (r / f) for a, b in zip(left, steps, strict=True)]
        return [ops.where(moved, b, a) for a, b in zip(v, w, strict=True)], found

    def most(self, d: Array, numbers: Mapping[str, Any]) -> float:
        return float(numbers["total"] * np.max(d))

    def limit_value(self, w: Array, numbers: Mapping[str, Any]) -> float:
        return float(np.sum(w) - numbers["total"])

    def normal(self, w: Array, d: Array, numbers: Mapping[str, Any], active: float) -> tuple[Array, float]:
        held = w <= active * numbers["total"]
        # n = ν where w > 0 and ≤ ν where w = 0; the nearest has Σ_{w>0} (d − ν) + Σ_{w=0} max(d − ν, 0) = 0
        low = float(np.min(d)) - 1.0
        nu = low + root_of(
            lambda t: np.sum(d[~held] - low - t) + np.sum(np.maximum(d[held] - low - t, 0.0)), np.max(d) - low
        )
        return np.where(held, np.minimum(d, nu), nu), nu


@dataclass(frozen=True)
class Cardinality(PerSet):
    """The weights of which at most k are not 0: {w: ‖w‖₀ ≤ k}. This set is *not convex*.

    The nearest point keeps the k elements with the largest w²·M and makes the others 0 (of equal ones the first).
    Projection then finds a point that no small change of the kept weights improves, not the best choice of which to
    keep: ``cr.optimality`` never says more than ε-KKT of it.

    >>> import numpy as np
    >>> nearest, _ = Cardinality(2).covering({"w": None}).project({"w": np.array([0.3, -2.0, 1.0])})
    >>> nearest["w"].tolist()
    [0.0, -2.0, 1.0]
    """

    count: float
    convex: ClassVar[bool] = False
    bounded: ClassVar[bool] = False
    numbers: ClassVar[tuple[str, ...]] = ("count",)
    limit: ClassVar[str] = "‖w‖₀ ≤ k (not convex)"
    multiplier_of: ClassVar[str] = "none: the set is not convex"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.count != int(self.count):
            raise TrainingError(f"Cardinality: count is {self.count!r}; it must be a whole number of at least 1")

    def nearest(self, v: Arrays, s: Arrays | None, axes: Axes, numbers: Mapping[str, Any]) -> tuple[Arrays, Any]:
        count = ops.floor(numbers["count"])  # a setting is a number: at most 2.5 are at most 2
        worth = [-(a * a) if s is None else -(a * a / (s[i] + TINY)) for i, a in enumerate(v)]
        if axes is None:
            flat = (
                ops.concatenate([ops.reshape(a, -1) for a in worth], axis=0)
                if len(v) > 1
                else ops.reshape(worth[0], -1)
            )
            rank = ops.argsort(ops.argsort(flat))
            cuts = np.cumsum([0, *(length_of([a], None) for a in v)])
            ranks = [ops.reshape(rank[int(i) : int(j)], a.shape) for i, j, a in zip(cuts, cuts[1:], v, strict=False)]
        else:
            (axis,) = axes if len(axes) == 1 else (None,)
            if axis is None:
                raise TrainingError("Cardinality: per='input' needs weights with two axes, [in, out]")
            ranks = [ops.argsort(ops.argsort(worth[0], axis=axis), axis=axis)]
        dtype = "f32" if v[0].dtype == np.float32 else "f64"
        few = total([ops.where(a == 0.0, 0.0 * a, 1.0) for a in v], axes) <= count
        kept = [ops.cast(rank, dtype=dtype) < count for rank in ranks]
        return [
            ops.where(ops.logical_or(ops.broadcast_to(few, a.shape), k), a, 0.0) for a, k in zip(v, kept, strict=True)
        ], YES

    def limit_value(self, w: Array, numbers: Mapping[str, Any]) -> float:
        return float(np.count_nonzero(w) - numbers["count"])

    def normal(self, w: Array, d: Array, numbers: Mapping[str, Any], active: float) -> tuple[Array, float]:
        if np.count_nonzero(w) < numbers["count"]:
            return np.zeros_like(w), 0.0
        return np.where(w == 0.0, d, 0.0), 0.0
