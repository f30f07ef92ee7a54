"""Limits on losses, rates and expressions: ``mean_loss(group="a") - mean_loss(group="b") <= 0.05``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Literal, NoReturn

import numpy as np

from chainrule.constrain.terms import MeanLoss, Own, Rate, Term
from chainrule.errors import TrainingError
from chainrule.nn.setting import Range, Setting


@dataclass(frozen=True)
class Expression:
    """Σ factor · term + constant: sums, differences and multiples of means over rows."""

    terms: tuple[tuple[float, Term], ...]
    constant: float = 0.0

    def __add__(self, other: Expression | float) -> Expression:
        if isinstance(other, Expression):
            return Expression((*self.terms, *other.terms), self.constant + other.constant)
        return replace(self, constant=self.constant + _number(other, "a sum"))

    def __radd__(self, other: float) -> Expression:
        return self + other

    def __mul__(self, factor: float) -> Expression:
        factor = _number(factor, "a multiple")
        return Expression(tuple((factor * f, term) for f, term in self.terms), factor * self.constant)

    def __rmul__(self, factor: float) -> Expression:
        return self * factor

    def __truediv__(self, divisor: float) -> Expression:
        return self * (1.0 / _number(divisor, "a quotient"))

    def __neg__(self) -> Expression:
        return self * -1.0

    def __sub__(self, other: Expression | float) -> Expression:
        return self + (-other if isinstance(other, Expression) else -_number(other, "a difference"))

    def __rsub__(self, other: float) -> Expression:
        return -self + other

    def __abs__(self) -> Magnitude:
        return Magnitude(self)

    def __le__(self, limit: Expression | float) -> Limit:
        if isinstance(limit, Expression):
            return self - limit <= 0.0
        return Limit(replace(self, constant=0.0), _number(limit, "<=") - self.constant, "<=")

    def __ge__(self, limit: Expression | float) -> Limit:
        if isinstance(limit, Expression):
            return self - limit >= 0.0
        return Limit(replace(self, constant=0.0), _number(limit, ">=") - self.constant, ">=")

    @property
    def project(self) -> NoReturn:
        """Refuse to be a member of ``subject_to``: a number is no limit."""
        raise TrainingError(
            f"{self} is a number, and no limit on one.\n"
            f"  wrong:  subject_to=[{self}]\n"
            f"  right:  subject_to=[{self} <= 0.1]"
        )

    def __str__(self) -> str:
        text = ""
        for factor, term in self.terms:
            sign = ("-" if factor < 0 else "") if not text else (" - " if factor < 0 else " + ")
            text += sign + (f"{term}" if abs(factor) == 1.0 else f"{abs(factor):g} * {term}")
        return text or "0"


@dataclass(frozen=True)
class Magnitude:
    """|expression|: a limit on it is two, one from each side."""

    inner: Expression

    def __le__(self, limit: float) -> Limit:
        if self.inner.constant:
            middle = -self.inner.constant
            return Limit(replace(self.inner, constant=0.0), _number(limit, "<="), "abs", middle=middle)
        return Limit(self.inner, _number(limit, "<="), "abs")

    def __ge__(self, limit: float) -> NoReturn:
        raise TrainingError(f"abs(…) >= {limit!r} allows two separate regions, which no multiplier holds apart")


@dataclass(frozen=True)
class Limit:
    """A function constraint g(θ) ≤ 0, held by multipliers: by ``Lagrangian`` or ``AugmentedLagrangian``.

    Its right side is a setting, ``"set1.limit"``: another one needs no new program.
    """

    expression: Expression
    at_most: float
    side: Literal["<=", ">=", "abs"]
    shares: tuple[float | None, ...] = ()
    middle: float = 0.0
    jump: float = 0.0
    """By how much one row's decision can change the expression, over the rows that ``fit`` was given."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of its inequalities: two for a magnitude."""
        return ("upper", "lower") if self.side == "abs" else ("",)

    @property
    def signs(self) -> tuple[float, ...]:
        """The sign of the expression in each inequality."""
        return {"<=": (1.0,), ">=": (-1.0,), "abs": (1.0, -1.0)}[self.side]

    @property
    def convex(self) -> bool:
        """Is it a sum of mean losses from above? A difference is not convex, even for a linear network."""
        return self.side == "<=" and all(isinstance(t, MeanLoss) and f >= 0.0 for f, t in self.expression.terms)

    def settings(self) -> dict[str, float]:
        """Return the right side, and how much of the data each group and a decision is, which ``fit`` finds out."""
        found = {"limit": self.at_most} | ({"middle": self.middle} if self.middle else {})
        of_rows = {f"share{i}": s for i, s in enumerate(self.shares, 1) if s is not None}
        of_rows |= {"jump": self.jump} if self.jump else {}
        return found | {k: Setting(v, Range(v, v)) for k, v in of_rows.items()}

    def on_rows(self, loss: Any, rows: Mapping[str, Any]) -> Limit:
        """Return it with each group's share of these rows."""
        for _, term in self.expression.terms:
            term.check(loss, rows)
        shares = tuple(term.share(rows) for _, term in self.expression.terms)
        jump = sum(abs(factor) * term.worth(rows) for factor, term in self.expression.terms if not term.smooth)
        return replace(self, shares=shares, jump=float(jump))

    @property
    def has_rates(self) -> bool:
        """Is there a rate in it, whose smooth form is another number than the share of decisions?"""
        return not all(term.smooth for _, term in self.expression.terms)

    def total(self, view: Any, loss: Any, settings: Mapping[str, Any], decided: bool = False) -> Any:
        """Return the sum over a batch whose mean over rows is the expression's value, by decisions or smooth."""
        found: Any = None
        for i, (factor, term) in enumerate(self.expression.terms, 1):
            part = factor * term.total(view, loss, settings.get(f"share{i}"), decided)
            found = part if found is None else found + part
        return found

    def values(self, value: Any, settings: Mapping[str, Any]) -> list[Any]:
        """Return g of each inequality, from the expression's value."""
        value = value - settings["middle"] if "middle" in settings else value
        return [sign * value - (-settings["limit"] if self.side == ">=" else settings["limit"]) for sign in self.signs]

    def __bool__(self) -> NoReturn:
        raise TrainingError(
            "a limit has one side: what stands between two numbers is two limits.\n"
            "  wrong:  0.1 <= rate <= 0.2\n"
            "  right:  rate >= 0.1, rate <= 0.2; or, about a middle, abs(rate - 0.15) <= 0.05"
        )

    def contradicts(self, other: Limit) -> bool:
        """Do both limit the same expression, to two ranges that have no number in common?"""
        if self.expression.terms != other.expression.terms:
            return False
        (low, high), (least, most) = self._range, other._range
        return low > most or least > high

    @property
    def _range(self) -> tuple[float, float]:
        if self.side == "abs":
            return self.middle - self.at_most, self.middle + self.at_most
        return (-np.inf, self.at_most) if self.side == "<=" else (self.at_most, np.inf)

    def project(self, parameters: Any, metric: Any, settings: Any) -> NoReturn:
        raise TrainingError(
            f"{self} is a limit on a function of the outputs: no projection keeps it.\n"
            "  right:  cr.fit(…, method=cr.constrain.Lagrangian()), or AugmentedLagrangian()"
        )

    @property
    def formula(self) -> str:
        return str(self)

    def describe(self) -> list[str]:
        """Return the lines that say what it means."""
        lines = ["held by multipliers λ ≥ 0: method=cr.constrain.Lagrangian() or AugmentedLagrangian()"]
        if self.has_rates:
            lines.append("rates are smooth in training, σ(sharpness · margin); reports count decisions")
        return lines

    def __str__(self) -> str:
        if self.side == "abs":
            middle = f" {'-' if self.middle > 0 else '+'} {abs(self.middle):g}" if self.middle else ""
            return f"abs({self.expression}{middle}) <= {self.at_most:g}"
        return f"{self.expression} {self.side} {self.at_most:g}"


def mean_loss(group: str | None = None) -> Expression:
    """The mean loss of the rows of a group: Σ_{i ∈ group} wᵢ lossᵢ / Σ_{i ∈ group} wᵢ.

    >>> print(mean_loss(group="a") - mean_loss(group="b") <= 0.05)
    mean_loss(group='a') - mean_loss(group='b') <= 0.05
    """
    return Expression(((1.0, MeanLoss(group)),))


def selection_rate(group: str | None = None, *, positive: int = 1, sharpness: float = 1.0) -> Expression:
    """The share of a group's rows that is decided for the positive class; in training Σ σ(sharpness · margin)/n.

    >>> print(abs(selection_rate(group="a") - selection_rate(group="b")) <= 0.02)
    abs(selection_rate(group='a') - selection_rate(group='b')) <= 0.02
    """
    return _rate("selection_rate", group, positive, sharpness)


def false_positive_rate(group: str | None = None, *, positive: int = 1, sharpness: float = 1.0) -> Expression:
    """The share of a group's rows of other classes that is decided for the positive class."""
    return _rate("false_positive_rate", group, positive, sharpness)


def true_positive_rate(group: str | None = None, *, positive: int = 1, sharpness: float = 1.0) -> Expression:
    """The share of a group's rows of the positive class that is decided for it."""
    return _rate("true_positive_rate", group, positive, sharpness)


def error_rate(group: str | None = None, *, sharpness: float = 1.0) -> Expression:
    """The share of a group's rows that is decided wrongly."""
    return _rate("error_rate", group, 1, sharpness)


def constraint(function: Callable[..., Any], group: str | None = None) -> Expression:
    """An expression of one's own, ``function(parameters, outputs, data)``, to be limited by ``<=`` or ``>=``.

    It returns one number a row, whose mean is taken (over a group, where one is named); or one number. One number that
    depends on rows is another one for each batch, so it needs ``batch_size="all"``. ``data`` has x, y, weight, losses
    and groups (masks of 0 and 1 by name).

    >>> import numpy as np
    >>> print(constraint(lambda parameters, outputs, data: np.square(outputs[:, 0])) <= 0.05)
    constraint() <= 0.05
    """
    if not callable(function):
        raise TrainingError(f"constraint takes a function (parameters, outputs, data), not {function!r:.60}")
    return Expression(((1.0, Own(group, function)),))


def _rate(kind: Any, group: str | None, positive: int, sharpness: float) -> Expression:
    if isinstance(sharpness, bool) or not isinstance(sharpness, Real) or not 0 < sharpness < np.inf:
        raise TrainingError(f"{kind}: sharpness is {sharpness!r}; it must be a number greater than 0")
    return Expression(((1.0, Rate(group, kind, positive, float(sharpness))),))


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not np.isfinite(float(value)):
        raise TrainingError(f"{where} with {value!r:.60}: a finite number goes here, or a mean such as mean_loss()")
    return float(value)
