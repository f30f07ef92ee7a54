"""Penalties: + λ R(θ) in the objective. Smooth ones act by their gradient, others by a proximal step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, ClassVar, Literal, Self

import numpy as np

from chainrule import ops
from chainrule.constrain.balls import (
    GroupL2Ball,
    L1Ball,
    L2Ball,
    group_axes,
    group_normal,
    require_groups,
)
from chainrule.constrain.selection import Bundle, Chooser, named_leaves, with_leaves
from chainrule.constrain.sets import Array, NormalCone, joined, split
from chainrule.constrain.vectors import TINY, group_shrunk, total
from chainrule.errors import TrainingError
from chainrule.learn.optimizers import Metric


@dataclass(frozen=True)
class _Penalty(Chooser):
    """λ R(w): ``0.01 * SquaredL2()`` has λ = 0.01; sums, and ``R <= r``, which is a set."""

    strength: float = 1.0
    symbol: ClassVar[str] = ""

    def __post_init__(self) -> None:
        value = self.strength
        if isinstance(value, bool) or not isinstance(value, Real) or not 0.0 <= float(value) < np.inf:
            raise TrainingError(f"{type(self).__name__}: λ is {value!r}; it must be a finite number of at least 0")
        object.__setattr__(self, "strength", float(value))
        self._check_choice()

    def settings(self) -> dict[str, float]:
        """Return λ: a setting, so that another λ needs no other program."""
        return {"lambda": self.strength}

    def __rmul__(self, factor: float) -> Self:
        return replace(self, strength=self.strength * factor)

    __mul__ = __rmul__

    def __add__(self, other: Any) -> Penalties:
        return Penalties((self, *getattr(other, "parts", (other,))))

    @property
    def formula(self) -> str:
        """The term in mathematics."""
        return f"λ {self.symbol}"

    def __str__(self) -> str:
        return f"{self.strength:g} * {type(self).__name__}({self._shown()})"

    def _shown(self) -> str:
        return "" if self.parameters == "weights" else f"parameters={self.parameters!r}"

    def describe(self) -> list[str]:
        """Return the lines that say what it is and what it is over."""
        return [f"{self.formula}, λ = {self.strength:g}", *super().describe()]

    def size(self, parameters: Any) -> Any:
        """Return R(w)."""
        raise NotImplementedError

    def value(self, parameters: Any, settings: Mapping[str, Any] | None = None) -> Any:
        """Return λ R(w)."""
        return (self.settings() if settings is None else settings)["lambda"] * self.size(parameters)

    def _leaves(self, parameters: Any) -> list[Any]:
        leaves = named_leaves(parameters)
        return [leaves[name] for name in self.covered]

    def _limit(self, limit: Any) -> float:
        if not self.strength or isinstance(limit, bool) or not isinstance(limit, Real) or not float(limit) > 0:
            raise TrainingError(f"{self} <= {limit!r}: the limit must be a number greater than 0, and so must λ")
        return float(limit) / self.strength


@dataclass(frozen=True)
class Penalties:
    """Several penalties, added up: an elastic net is ``0.01 * L1() + 0.1 * SquaredL2()``."""

    parts: tuple[Any, ...]

    def __add__(self, other: Any) -> Penalties:
        return Penalties((*self.parts, *getattr(other, "parts", (other,))))

    def __rmul__(self, factor: float) -> Penalties:
        return Penalties(tuple(factor * part for part in self.parts))

    __mul__ = __rmul__

    def __str__(self) -> str:
        return " + ".join(map(str, self.parts))


@dataclass(frozen=True)
class SquaredL2(_Penalty):
    """λ Σ w²: weight decay, in the lecture's form without ½. Its gradient is 2λw.

    ``SquaredL2() <= r`` is the set ‖w‖² ≤ r: ``L2Ball(√r)``. With the mean of n losses, scikit-learn's numbers are
    Ridge(alpha) = 2nλ for the loss ½·mean, LogisticRegression(C) = 1/(2nλ), MLPClassifier(alpha) = 2nλ_batch. AdamW's
    decay is not this penalty: it does not pass through the metric.

    >>> import numpy as np
    >>> penalty = (0.5 * SquaredL2()).covering({"w": None})
    >>> float(penalty.value({"w": np.array([1.0, 2.0])}))
    2.5
    >>> print(SquaredL2() <= 4.0)
    L2Ball(2)
    """

    symbol: ClassVar[str] = "Σ w²"

    def size(self, parameters: Any) -> Any:
        return total([w * w for w in self._leaves(parameters)], None)

    def __le__(self, limit: float) -> L2Ball:
        return L2Ball(float(np.sqrt(self._limit(limit))), parameters=self.parameters)

    def conjugate(self, gradient: Any, settings: Mapping[str, Any], level: float) -> float:
        """Return max over w of −⟨gradient, w⟩ − λR(w), which is ‖gradient‖²/(4λ)."""
        square = sum(float(np.sum(np.square(g))) for g in self._leaves(gradient))
        return square / (4.0 * settings["lambda"]) if settings["lambda"] else float("inf")


@dataclass(frozen=True)
class _Nonsmooth(_Penalty):
    """A norm: training takes a proximal step for it, in the metric of the step and with its gain."""

    def shrink(self, parameters: Any, metric: Metric | None, settings: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return argmin of λ R(w) + ½‖w − θ‖² in the metric of a step, and whether its computation converged.

        With momentum the direction grows to gain = 1/(1 − μ) gradients, so the penalty must count as often: λ times
        the gain. Without that the solution would be that of (1 − μ)λ.
        """
        metric = metric or Metric("scalar", 1.0)
        leaves = named_leaves(parameters)
        steps = named_leaves(metric.step) if metric.kind == "diagonal" else {}
        amount = settings["lambda"] * metric.gain
        converged: Any = np.asarray(True)
        changed = {}
        for name in self.covered:
            step = steps[name] + TINY if name in steps else None
            changed[name], ok = self.shrunk(leaves[name], step, amount, 1.0 if steps else metric.step)
            converged = ops.logical_and(converged, ok)
        return with_leaves(parameters, changed), converged

    def shrunk(self, v: Any, s: Any, amount: Any, step: Any) -> tuple[Any, Any]:
        """Return one parameter's proximal point; s are its steps, or None where all are ``step``."""
        raise NotImplementedError

    def normal_cone(self, parameters: Any, direction: Any, settings: Mapping[str, Any]) -> NormalCone:
        """Return the nearest element of λ∂R to a direction: what a set's normal cone is for a penalty."""
        raise NotImplementedError

    def dual_norm(self, gradient: Any) -> float:
        raise NotImplementedError

    def conjugate(self, gradient: Any, settings: Mapping[str, Any], level: float) -> float:
        """Return max of −⟨gradient, w⟩ − λR(w) over λR(w) ≤ level, within which every better point lies."""
        strength = float(settings["lambda"])
        return level / strength * max(self.dual_norm(gradient) - strength, 0.0) if strength else float("inf")


@dataclass(frozen=True)
class L1(_Nonsmooth):
    """λ Σ |w|: the lasso. Weights that are not worth λ become exactly 0.

    Training takes the proximal step sign(θ)·max(|θ| − λM⁻¹, 0) in the metric M of the optimizer; an optimizer without
    a known metric is refused. ``L1() <= r`` is ``L1Ball(r)``. scikit-learn's Lasso(alpha) = λ for the loss ½·mean.

    >>> import numpy as np
    >>> penalty = (0.5 * L1()).covering({"w": None})
    >>> float(penalty.value({"w": np.array([1.0, -2.0])}))
    1.5
    """

    symbol: ClassVar[str] = "Σ |w|"

    def size(self, parameters: Any) -> Any:
        return total([ops.absolute(w) for w in self._leaves(parameters)], None)

    def __le__(self, limit: float) -> L1Ball:
        return L1Ball(self._limit(limit), parameters=self.parameters)

    def shrunk(self, v: Any, s: Any, amount: Any, step: Any) -> tuple[Any, Any]:
        cut = amount * (step if s is None else s)
        return ops.sign(v) * ops.maximum(ops.absolute(v) - cut, 0.0), np.asarray(True)

    def normal_cone(self, parameters: Any, direction: Any, settings: Mapping[str, Any]) -> NormalCone:
        strength = float(settings["lambda"])
        points, directions = named_leaves(parameters), named_leaves(direction)
        nearest = {
            n: np.where(points[n] != 0, strength * np.sign(points[n]), np.clip(directions[n], -strength, strength))
            for n in self.covered
        }
        return NormalCone(nearest, {"": strength})

    def dual_norm(self, gradient: Any) -> float:
        return max(float(np.max(np.abs(g))) for g in self._leaves(gradient))


@dataclass(frozen=True)
class GroupL2(_Nonsmooth):
    """λ Σ_g ‖w_g‖: the group lasso. Groups that are not worth λ become exactly 0, as a whole.

    ``groups`` is ``"input"`` (a row of a weight [in, out]: with the first layer's weights, feature selection) or
    ``"unit"`` (a column). Departure from Yuan and Lin (2006): groups are not weighted by √size.

    >>> import numpy as np
    >>> penalty = (1.0 * GroupL2()).covering({"w": None})
    >>> float(penalty.value({"w": np.array([[3.0, 4.0], [0.0, 1.0]])}))
    6.0
    """

    groups: Literal["input", "unit"] = field(default="input", kw_only=True)
    symbol: ClassVar[str] = "Σ_g ‖w_g‖"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_groups(self)

    @property
    def formula(self) -> str:
        return f"λ {self.symbol}, g: each {self.groups}"

    def _shown(self) -> str:
        return ", ".join(filter(None, ["" if self.groups == "input" else "groups='unit'", super()._shown()]))

    def size(self, parameters: Any) -> Any:
        lengths = []
        for w in self._leaves(parameters):
            square = total([w * w], group_axes(self.groups, w))
            zero = square == 0.0
            lengths.append(ops.where(zero, 0.0, ops.sqrt(ops.where(zero, 1.0, square))))
        return total(lengths, None)

    def __le__(self, limit: float) -> GroupL2Ball:
        return GroupL2Ball(self._limit(limit), self.groups, parameters=self.parameters)

    def shrunk(self, v: Any, s: Any, amount: Any, step: Any) -> tuple[Any, Any]:
        axes = group_axes(self.groups, v)
        if s is not None:
            return group_shrunk(v, s, axes, amount)
        size = ops.sqrt(total([v * v], axes))
        some = ops.where(size > 0.0, size, 1.0)
        return v * (ops.maximum(size - amount * step, 0.0) / some), np.asarray(True)

    def normal_cone(self, parameters: Any, direction: Any, settings: Mapping[str, Any]) -> NormalCone:
        strength = float(settings["lambda"])
        points, directions = named_leaves(parameters), named_leaves(direction)
        nearest: dict[str, Array] = {}
        for n in self.covered:
            bundle = Bundle(n, (n,), self.groups)
            pairs = zip(split(bundle, [points[n]]), split(bundle, [directions[n]]), strict=True)
            nearest[n] = joined(bundle, [group_normal(w, d, strength) for w, d in pairs], [points[n]])[0]
        return NormalCone(nearest, {"": strength})

    def dual_norm(self, gradient: Any) -> float:
        return max(
            float(np.max(np.sqrt(np.sum(np.square(g), axis=group_axes(self.groups, g)))))
            for g in self._leaves(gradient)
        )
