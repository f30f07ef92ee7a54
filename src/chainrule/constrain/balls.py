"""Balls: how large weights may be, by ‖w‖₂, ‖w‖₁, ‖w‖∞, or Σ ‖w_g‖₂ over groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from chainrule import ops
from chainrule.constrain.selection import Axes, Bundle, Per, named_leaves
from chainrule.constrain.sets import ACTIVE, Array, NormalCone, PerSet, VectorSet, joined, split
from chainrule.constrain.solving import root_of
from chainrule.constrain.vectors import (
    TINY,
    Arrays,
    all_of,
    bisected,
    group_shrunk,
    l2_shrunk,
    largest,
    pulled,
    rounding,
    surely_at_most,
    threshold,
    total,
)
from chainrule.errors import TrainingError

YES = np.asarray(True)


@dataclass(frozen=True)
class L2Ball(PerSet):
    """The weights whose length is at most r: {w: ‖w‖² ≤ r²}, the lecture's R(θ) ≤ r with R(θ) = ‖θ‖².

    Args:
        radius: r, greater than 0. It is a setting: ``settings={"set1.radius": 2.0}`` needs no new program.
        parameters: ``"weights"`` (no biases, gains, shifts or embeddings), ``"all"``, ``"biases"``, names or patterns.
        per: one ball for the weights of the whole ``"network"``, or one for each ``"layer"``, ``"unit"`` (a column of
            a weight [in, out]) or ``"input"`` (a row).

    The nearest point is r w/‖w‖, and v/(1 + μM⁻¹) in a diagonal metric M, with the μ that gives the length r.
    ``cr.optimality`` reports the multiplier of ‖w‖² − r², the λ of ``λ * SquaredL2()`` with the same solution; that of
    ‖w‖ − r is 2r times larger.

    >>> import numpy as np
    >>> ball = L2Ball(1.0).covering({"w": None})
    >>> nearest, converged = ball.project({"w": np.array([3.0, 4.0])})
    >>> nearest["w"].round(12).tolist()
    [0.6, 0.8]
    """

    radius: float
    limit: ClassVar[str] = "‖w‖² ≤ r²"
    multiplier_of: ClassVar[str] = "‖w‖² − r²"

    def nearest(self, v: Arrays, s: Arrays | None, axes: Axes, numbers: Mapping[str, Any]) -> tuple[Arrays, Any]:
        radius = numbers["radius"]
        if s is not None:
            return l2_shrunk(v, s, axes, radius)
        square = total([a * a for a in v], axes)
        margin = rounding(v, axes)
        inside = surely_at_most(square, radius * radius, margin)
        # a factor of exactly 1 leaves every bit of a point inside
        share = ops.where(inside, 1.0, radius * (1.0 - margin) / ops.sqrt(ops.where(inside, 1.0, square)))
        return [a * share for a in v], all_of(square < np.inf)  # of what is larger nothing is known but that it is

    def most(self, d: Array, numbers: Mapping[str, Any]) -> float:
        return float(numbers["radius"] * np.linalg.norm(d))

    def limit_value(self, w: Array, numbers: Mapping[str, Any]) -> float:
        return float(w @ w - numbers["radius"] ** 2)

    def normal(self, w: Array, d: Array, numbers: Mapping[str, Any], active: float) -> tuple[Array, float]:
        square = float(w @ w)
        if square == 0.0 or square < np.square(float(numbers["radius"])) * (1.0 - 2.0 * active):
            return np.zeros_like(w), 0.0
        multiplier = max(float(d @ w), 0.0) / (2.0 * square)
        return 2.0 * multiplier * w, multiplier


@dataclass(frozen=True)
class MaxNorm(L2Ball):
    """The max-norm of dropout: the incoming weights of each unit have at most the length r, ‖w_unit‖ ≤ r.

    ``L2Ball(r, per="unit")``. Srivastava et al. (2014), section 5.1. Departure: weights inside are left as they are, to
    the bit, where dividing by ‖w‖ + ε would shrink them.

    >>> import numpy as np
    >>> w = {"w": np.array([[3.0, 0.1], [4.0, 0.2]])}
    >>> nearest, _ = MaxNorm(1.0).covering({"w": None}).project(w)
    >>> nearest["w"].round(12).tolist()
    [[0.6, 0.1], [0.8, 0.2]]
    """

    per: Per = field(default="unit", kw_only=True)


@dataclass(frozen=True)
class L1Ball(PerSet):
    """The weights whose absolute values add up to at most r: {w: ‖w‖₁ ≤ r}. Many of the nearest point's are exactly 0.

    Arguments as for ``L2Ball``. The nearest point is sign(v)·max(|v| − τM⁻¹, 0), with the τ that gives Σ|w| = r (Duchi
    et al. 2008 for M = 1). The reported multiplier belongs to ‖w‖₁ − r: it is the λ of ``λ * L1()``.

    >>> import numpy as np
    >>> nearest, _ = L1Ball(1.0).covering({"w": None}).project({"w": np.array([1.5, -1.0, 0.2])})
    >>> nearest["w"].round(12).tolist()
    [0.75, -0.25, 0.0]
    """

    radius: float
    limit: ClassVar[str] = "‖w‖₁ ≤ r"
    multiplier_of: ClassVar[str] = "‖w‖₁ − r"

    def nearest(self, v: Arrays, s: Arrays | None, axes: Axes, numbers: Mapping[str, Any]) -> tuple[Arrays, Any]:
        radius = numbers["radius"]
        size = [ops.absolute(a) for a in v]
        steps = [0.0 * a + 1.0 for a in size] if s is None else s
        tau, f, found = threshold(size, steps, axes, radius)
        inside = surely_at_most(total(size, axes), radius, rounding(v, axes))
        share = pulled(v, f, inside, radius, axes)
        return [
            ops.where(inside, a, ops.sign(a) * ops.maximum(b - tau * c, 0.0) * share)
            for a, b, c in zip(v, size, steps, strict=True)
        ], ops.logical_and(found, all_of(ops.logical_or(inside, f > 0.0)))

    def most(self, d: Array, numbers: Mapping[str, Any]) -> float:
        return float(numbers["radius"] * np.max(np.abs(d)))

    def limit_value(self, w: Array, numbers: Mapping[str, Any]) -> float:
        return float(np.sum(np.abs(w)) - numbers["radius"])

    def normal(self, w: Array, d: Array, numbers: Mapping[str, Any], active: float) -> tuple[Array, float]:
        if np.sum(np.abs(w)) < numbers["radius"] * (1.0 - active):
            return np.zeros_like(w), 0.0
        sign = np.sign(w)
        along, rest = sign * d, np.abs(d[sign == 0])
        # the λ ≥ 0 that is nearest: Σ_{w≠0} (sign·d − λ) + Σ_{w=0} max(|d| − λ, 0) = 0
        multiplier = root_of(
            lambda t: np.sum(along[sign != 0] - t) + np.sum(np.maximum(rest - t, 0.0)), np.max(np.abs(d))
        )
        return np.where(sign != 0, multiplier * sign, np.clip(d, -multiplier, multiplier)), multiplier


@dataclass(frozen=True)
class LInfBall(PerSet):
    """The weights none of which is larger than r: {w: |wᵢ| ≤ r}. Each is cut off by itself, in every diagonal metric.

    Arguments as for ``L2Ball``. The reported multiplier belongs to ‖w‖∞ − r.

    >>> import numpy as np
    >>> nearest, _ = LInfBall(1.0).covering({"w": None}).project({"w": np.array([1.5, -2.0, 0.2])})
    >>> nearest["w"].tolist()
    [1.0, -1.0, 0.2]
    """

    radius: float
    limit: ClassVar[str] = "‖w‖∞ ≤ r"
    multiplier_of: ClassVar[str] = "‖w‖∞ − r"

    def nearest(self, v: Arrays, s: Arrays | None, axes: Axes, numbers: Mapping[str, Any]) -> tuple[Arrays, Any]:
        radius = numbers["radius"]
        return [ops.minimum(ops.maximum(a, -radius), radius) for a in v], YES

    def most(self, d: Array, numbers: Mapping[str, Any]) -> float:
        return float(numbers["radius"] * np.sum(np.abs(d)))

    def limit_value(self, w: Array, numbers: Mapping[str, Any]) -> float:
        return float(np.max(np.abs(w)) - numbers["radius"])

    def normal(self, w: Array, d: Array, numbers: Mapping[str, Any], active: float) -> tuple[Array, float]:
        out = np.where(np.abs(w) >= numbers["radius"] * (1.0 - active), np.maximum(d * np.sign(w), 0.0), 0.0)
        return out * np.sign(w), float(np.sum(out))


@dataclass(frozen=True)
class GroupL2Ball(VectorSet):
    """The weights whose groups' lengths add up to at most r: {w: Σ_g ‖w_g‖₂ ≤ r}. Whole groups become exactly 0.

    Args:
        radius: r, greater than 0; a setting.
        groups: what a group is: the outgoing weights of an ``"input"`` (with the first layer's weights: feature
            selection, since an input column whose group is 0 is not used), or the incoming ones of a ``"unit"``.
        parameters: as for ``L2Ball``; for feature selection, ``parameters=["hidden1.weight"]``.

    The nearest point shrinks each group by the same amount (Yuan and Lin 2006); in a diagonal metric the amount is
    found by bisection, and each group's length by Newton's method. The multiplier belongs to Σ_g ‖w_g‖ − r.

    >>> import numpy as np
    >>> w = {"w": np.array([[3.0, 4.0], [0.3, 0.4]])}
    >>> nearest, _ = GroupL2Ball(2.5).covering({"w": None}).project(w)
    >>> nearest["w"].round(12).tolist()
    [[1.5, 2.0], [0.0, 0.0]]
    """

    radius: float
    groups: Literal["input", "unit"] = "input"
    limit: ClassVar[str] = "Σ_g ‖w_g‖ ≤ r"
    multiplier_of: ClassVar[str] = "Σ_g ‖w_g‖ − r"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_groups(self)

    @property
    def formula(self) -> str:
        return f"{super().formula}, g: each {self.groups}"

    def __str__(self) -> str:
        return super().__str__() if self.groups == "input" else f"{super().__str__()[:-1]}, groups='unit')"

    def nearest(self, v: Arrays, s: Arrays | None, axes: Axes, numbers: Mapping[str, Any]) -> tuple[Arrays, Any]:
        radius = numbers["radius"]
        along = [group_axes(self.groups, a) for a in v]
        size = [ops.sqrt(total([a * a], g)) for a, g in zip(v, along, strict=True)]
        inside = surely_at_most(total(size, None), radius, rounding(v, None))
        if s is None:
            ones = [0.0 * a + 1.0 for a in size]
            tau, f, found = threshold(size, ones, None, radius)
            share = pulled(v, f, inside, radius, None)
            shrunk = [
                a * (ops.maximum(b - tau, 0.0) / ops.where(b > 0.0, b, 1.0) * share)
                for a, b in zip(v, size, strict=True)
            ]
            return [ops.where(inside, a, b) for a, b in zip(v, shrunk, strict=True)], found

        s = [b + TINY for b in s]

        def at(tau: Any) -> Arrays:
            return [group_shrunk(a, b, g, tau)[0] for a, b, g in zip(v, s, along, strict=True)]

        def lengths(w: Arrays) -> Any:
            return total([ops.sqrt(total([a * a], g)) for a, g in zip(w, along, strict=True)], None)

        most = [ops.max_(ops.sqrt(total([(a / b) * (a / b)], g))) for a, b, g in zip(v, s, along, strict=True)]
        tau, found = bisected(0.0 * most[0], largest(most, None), lambda t: lengths(at(t)) > radius)
        w = at(tau)
        sum_ = lengths(w)
        share = pulled(v, sum_, inside, radius, None)
        found = ops.logical_or(inside, ops.logical_and(found, sum_ < np.inf))  # steps of all sizes may overflow to NaN
        return [ops.where(inside, a, b * share) for a, b in zip(v, w, strict=True)], found

    def support(self, direction: Any, settings: Mapping[str, Any] | None = None) -> float:
        leaves = named_leaves(direction)
        radius = (settings or self.settings())["radius"]
        return float(radius) * max(
            float(np.max(np.sqrt(np.sum(np.square(d), axis=group_axes(self.groups, d)))))
            for d in (np.asarray(leaves[n]) for n in self.covered)
        )

    def normal_cone(
        self, parameters: Any, direction: Any, settings: Mapping[str, Any] | None = None, active: float = ACTIVE
    ) -> NormalCone:
        radius = (settings or self.settings())["radius"]
        points, directions = named_leaves(parameters), named_leaves(direction)
        bundles = [Bundle(name, (name,), self.groups) for name in self.covered]
        w = [[np.asarray(points[b.names[0]], np.float64)] for b in bundles]
        d = [[np.asarray(directions[b.names[0]], np.float64)] for b in bundles]
        parts = [list(zip(split(b, x), split(b, y), strict=True)) for b, x, y in zip(bundles, w, d, strict=True)]
        groups = [pair for part in parts for pair in part]
        value = sum(float(np.linalg.norm(x)) for x, _ in groups) - float(radius)
        if value < -radius * active:
            still = {b.names[0]: np.zeros_like(x[0]) for b, x in zip(bundles, w, strict=True)}
            return NormalCone(still, {"": 0.0}, {"": value})
        multiplier = group_multiplier(groups)
        nearest = {
            b.names[0]: joined(b, [group_normal(x, y, multiplier) for x, y in part], like)[0]
            for b, part, like in zip(bundles, parts, w, strict=True)
        }
        return NormalCone(nearest, {"": multiplier}, {"": value})


def group_axes(groups: str, value: Any) -> tuple[int, ...]:
    """Return the axes of an array along which a group lies."""
    found = Bundle("", (), "unit" if groups == "unit" else "input").axes(len(value.shape))
    if len(value.shape) < 2 or found is None:
        raise TrainingError(
            f"groups={groups!r} needs weights [in, out]; a parameter has the shape {list(value.shape)}: leave it out "
            "by parameters=…"
        )
    return found


def group_multiplier(groups: list[tuple[Array, Array]]) -> float:
    """Return the λ ≥ 0 for which λ times a subgradient of Σ_g ‖w_g‖ is nearest to a direction."""
    along = [float(d @ w / np.linalg.norm(w)) for w, d in groups if np.any(w)]
    rest = np.array([float(np.linalg.norm(d)) for w, d in groups if not np.any(w)])
    top = max([abs(a) for a in along] + rest.tolist(), default=0.0)
    return root_of(lambda t: sum(a - t for a in along) + float(np.sum(np.maximum(rest - t, 0.0))), top)


def group_normal(w: Array, d: Array, multiplier: float) -> Array:
    """Return λ times the subgradient of ‖w‖ that is nearest to a direction."""
    length = float(np.linalg.norm(w))
    if length:
        return np.asarray(multiplier * w / length)
    size = float(np.linalg.norm(d))
    return d * min(1.0, multiplier / size) if size else d


def require_groups(member: Any) -> None:
    """Refuse groups that are not known."""
    if member.groups not in ("input", "unit"):
        raise TrainingError(f"{type(member).__name__}: groups is {member.groups!r:.60}; it is 'input' or 'unit'")
