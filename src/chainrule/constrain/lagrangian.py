"""Lagrangian and AugmentedLagrangian: min over θ, max over λ ≥ 0, beside any optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from numbers import Real
from typing import Any, Literal

import numpy as np

from chainrule import ops
from chainrule.constrain.inequalities import Values
from chainrule.constrain.multipliers import MinMaxMethod, raised
from chainrule.errors import TrainingError
from chainrule.nn.setting import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, Setting
from chainrule.ops import where

ENOUGH = 0.9
"""ρ grows where a violation has not fallen to this share of what it was."""


@dataclass(frozen=True)
class Lagrangian(MinMaxMethod):
    """min over θ, max over λ ≥ 0 of F(θ) + Σ λᵢ gᵢ(θ): the optimizer's descent on θ, ascent on λ.

    θ ← θ − η M⁻¹ [∇F + Σ λ̃ᵢ ∇gᵢ],  λᵢ ← max(0, λᵢ + η_λ gᵢ),  λ̃ᵢ = max(0, λᵢ + κ gᵢ),

    both from the values at the old θ. gᵢ ≤ 0 is a limit of ``subject_to``: ``R(θ) − r`` of a set (``L2Ball``,
    ``MaxNorm``, ``L1Ball``, ``LInfBall``, ``GroupL2Ball``; other sets are kept by projection), or a limit on a mean,
    such as ``mean_loss(group="a") <= 0.3``. R of an L1 or a group ball is not smooth: λ̃R enters by its proximal step.
    The point that training is at may violate a limit; at the end it holds as far as training has converged.

    A limit on rates has two forms: decisions are what it means, and have no slope; their smooth form has one, and is
    another number. By ``rates="decisions"`` λ rises as long as the decisions violate the limit, whatever the smooth
    form says: the point that training settles at is stationary for the smooth limit that has been moved by the
    difference of the two there (Cotter, Jiang and Sridharan 2019, "proxy constraints"). Decisions are counted, so that
    the rate cannot come to rest at its limit: λ aims inside by what one row's decision changes it.

    Args:
        dual_learning_rate: η_λ, a setting: ``"dual.learning_rate"``.
        damping: κ ≥ 0, a setting: ``"dual.damping"``. Above 0 the multiplier is under proportional-integral control: it
            answers a violation at once, and does not swing about its value. 0 is the plain method.
        rates: what λ answers to where a limit is on rates: their ``"smooth"`` form, or the ``"decisions"``, counted in
            every step. Gradients are those of the smooth form either way.

    A nonconvex problem may have a duality gap: then no λ makes the solution a minimum of the Lagrangian, and the plain
    method does not settle; ``AugmentedLagrangian`` reaches it. ``cr.optimality`` says which it was.

    Arrow, Hurwicz and Uzawa (1958); proportional-integral control of multipliers: Stooke, Achiam and Abbeel (2020).

    >>> import numpy as np, chainrule as cr
    >>> X = np.random.default_rng(0).normal(size=(40, 3)); y = X @ np.array([[2.0], [-1.0], [0.0]])
    >>> objective = cr.Objective(cr.nn.Dense(1, bias=False), "squared_error", subject_to=[cr.constrain.L2Ball(1.0)])
    >>> method = cr.constrain.Lagrangian(dual_learning_rate=0.1, damping=1.0)
    >>> run = cr.fit(objective, (X, y), method=method, optimizer=cr.learn.SGD(0.1), epochs=1000, batch_size="all")
    >>> bool(abs(np.sum(run.parameters["weight"] ** 2) - 1.0) < 1e-9)
    True
    """

    dual_learning_rate: float = 0.01
    damping: float = 0.0
    rates: Literal["smooth", "decisions"] = "smooth"

    def __post_init__(self) -> None:
        _require("Lagrangian", "dual_learning_rate", self.dual_learning_rate, 0.0, strict=True)
        _require("Lagrangian", "damping", self.damping, 0.0)
        self.require_rates()

    def settings(self) -> dict[str, float]:
        """Return η_λ and κ by their names."""
        return {
            "dual.learning_rate": Setting(self.dual_learning_rate, POSITIVE),
            "dual.damping": Setting(self.damping, NOT_NEGATIVE),
        }

    def first(self, zeros: Values) -> dict[str, Any]:
        """Return what is carried for a limit beside λ: nothing."""
        return {}

    def damping_of(self, own: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
        """Return κ."""
        return settings["dual.damping"]

    def risen(self, own: Mapping[str, Any], values: Values, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return λ after one step of ascent."""
        rate = settings["dual.learning_rate"]
        return {"multiplier": [raised(m, rate * g) for m, g in zip(own["multiplier"], values, strict=True)]}


@dataclass(frozen=True)
class AugmentedLagrangian(MinMaxMethod):
    """min over θ of F(θ) + Σ [max(0, λᵢ + ρᵢ gᵢ)² − λᵢ²]/(2ρᵢ), with λᵢ ← max(0, λᵢ + ρᵢ ḡᵢ) every few steps.

    θ ← θ − η M⁻¹ [∇F + Σ λ̃ᵢ ∇gᵢ],  λ̃ᵢ = max(0, λᵢ + ρᵢ gᵢ);  ḡᵢ is the mean of gᵢ over the steps since λ last moved.
    Where the violation |max(ḡᵢ, −λᵢ/ρᵢ)| is over ``tolerance`` and has not fallen by a tenth, ρᵢ grows. The curvature
    ρ∇g∇gᵀ makes solutions stable that have a duality gap, with ρ large enough. A step of gradient descent needs η below
    2/(curvature of F + ρ‖∇g‖²): where ρ grows too far for η, the run ends as non-finite or swings.

    Args:
        penalty: the first ρ. A setting: ``"dual.penalty"``. Choose it by the units of g: ρ‖∇g‖² about as large as the
            curvature of F. For ``L2Ball(r)`` it is 4ρr², which is 80 for ρ = 1 and r² = 20: then 0.01 is right, not 1.
        growth: what ρ is multiplied with where the violation does not fall; at least 1. ``"dual.growth"``.
        most: ρ grows to at most so many times ``penalty``. ``"dual.most"``.
        every: so many steps of θ between two of λ. ``"dual.every"``.
        tolerance: a violation that ρ does not grow for, in the units of g. ``"dual.tolerance"``.
        rates: ``"smooth"`` or ``"decisions"``, as of ``Lagrangian``.

    The limits are those of ``Lagrangian``. With batches, λ̃ and ∇g are of one batch, and so is their noise: the mean of
    λ̃∇g is not that of all rows. Use larger batches, or ``batch_size="all"``; ``Lagrangian(damping=0)`` has no such
    bias.

    Hestenes (1969); Powell (1969); for inequalities Rockafellar (1973); Nocedal and Wright (2006), algorithm 17.4.
    Departure: the inner problem is not solved to a tolerance, it gets ``every`` steps.

    >>> import numpy as np, chainrule as cr
    >>> X = np.random.default_rng(0).normal(size=(40, 3)); y = X @ np.array([[2.0], [-1.0], [0.0]])
    >>> objective = cr.Objective(cr.nn.Dense(1, bias=False), "squared_error", subject_to=[cr.constrain.L2Ball(1.0)])
    >>> method = cr.constrain.AugmentedLagrangian(penalty=2.0)
    >>> run = cr.fit(objective, (X, y), method=method, optimizer=cr.learn.SGD(0.05), epochs=2000, batch_size="all")
    >>> bool(abs(np.sum(run.parameters["weight"] ** 2) - 1.0) < 1e-9)
    True
    """

    penalty: float = 1.0
    growth: float = 1.2
    most: float = 10.0
    every: int = 20
    tolerance: float = 1e-4
    rates: Literal["smooth", "decisions"] = "smooth"

    def __post_init__(self) -> None:
        name = "AugmentedLagrangian"
        _require(name, "penalty", self.penalty, 0.0, strict=True)
        _require(name, "growth", self.growth, 1.0)
        _require(name, "most", self.most, 1.0)
        _require(name, "tolerance", self.tolerance, 0.0)
        self.require_rates()
        if isinstance(self.every, bool) or not isinstance(self.every, int) or self.every < 1:
            raise TrainingError(f"{name}: every is {self.every!r}; it must be a whole number of at least 1")

    def settings(self) -> dict[str, float]:
        """Return the method's numbers by their names."""
        ranges = {"growth": AT_LEAST_ONE, "most": AT_LEAST_ONE, "every": AT_LEAST_ONE, "tolerance": NOT_NEGATIVE}
        return {f"dual.{k}": Setting(getattr(self, k), within) for k, within in {"penalty": POSITIVE, **ranges}.items()}

    def first(self, zeros: Values) -> dict[str, Any]:
        """Return what is carried for a limit beside λ: what ρ has grown by, and Σ g and the steps since λ moved."""
        one = np.ones((), zeros[0].dtype)
        return {
            "grown": one,
            "pending": zeros,
            "steps": 0.0 * one,
            "worst": np.full((), np.finfo(one.dtype).max, one.dtype),
        }

    def damping_of(self, own: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
        """Return ρ of a limit."""
        return settings["dual.penalty"] * own["grown"]

    def risen(self, own: Mapping[str, Any], values: Values, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return λ and ρ after a step: as they were, unless it is the last one before λ moves."""
        rho = self.damping_of(own, settings)
        steps = own["steps"] + 1.0
        due = steps >= settings["dual.every"]
        pending = [p + g for p, g in zip(own["pending"], values, strict=True)]
        means = [p / steps for p in pending]
        pairs = list(zip(own["multiplier"], means, strict=True))
        # what of a violation is left: g where it is over 0, and −λ/ρ at most where λ is not yet 0
        left = [ops.max_(ops.absolute(ops.maximum(g, -m / rho))) for m, g in pairs]
        worst = reduce(ops.maximum, left)
        slow = ops.logical_and(due, worst > ops.maximum(ENOUGH * own["worst"], settings["dual.tolerance"]))
        larger = ops.minimum(own["grown"] * settings["dual.growth"], settings["dual.most"])
        return {
            "multiplier": [where(due, raised(m, rho * g), m) for m, g in pairs],
            "grown": where(slow, larger, own["grown"]),
            "pending": [where(due, 0.0, p) for p in pending],
            "steps": where(due, 0.0, steps),
            "worst": where(due, worst, own["worst"]),
        }


def _require(who: str, name: str, value: Any, least: float, strict: bool = False) -> None:
    fits = not isinstance(value, bool) and isinstance(value, Real) and np.isfinite(float(value))
    if not fits or value < least or (strict and value == least):
        wanted = f"greater than {least:g}" if strict else f"of at least {least:g}"
        raise TrainingError(f"{who}: {name} is {value!r}; it must be a finite number {wanted}")
