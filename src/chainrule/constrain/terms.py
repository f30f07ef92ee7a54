"""What a limit is made of: means over rows, of losses, of right and wrong decisions, or of an expression of one's own.

A mean over the rows of a group is Σ_{i ∈ group} wᵢ qᵢ / Σ_{i ∈ group} wᵢ, over the *whole* training data. A batch of b
of the n rows is worth (n/b) Σ_{i ∈ batch ∩ group} wᵢ qᵢ / Σ_{i ∈ group} wᵢ, whose mean over batches is the value
itself: dividing by the group's rows in the batch would not be (and would divide by 0 where it has none).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import numpy as np

from chainrule import ops
from chainrule.errors import TraceError, TrainingError
from chainrule.graph import Node, depends_on, flatten
from chainrule.learn.groups import PREFIX, group_names

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Term:
    """The mean of one number a row, over the rows of a group (or all)."""

    group: str | None = None
    smooth: ClassVar[bool] = True
    """Is the number that training descends on the one that is reported?"""

    def numbers(self, view: Any, loss: Any) -> Any:
        """Return one number a row (or one number of all), as training sees it."""
        raise NotImplementedError

    def truth(self, view: Any, loss: Any) -> Any:
        """Return what is reported: the numbers themselves, or the decisions that they are a smooth form of."""
        return self.numbers(view, loss)

    def counts(self, y: Any) -> Any:
        """Return which rows the mean is over, by their targets; None for all."""
        return None

    def check(self, loss: Any, rows: Mapping[str, Any]) -> None:
        """Raise TrainingError where the rows or the loss do not have what the mean needs."""
        if self.group is not None and PREFIX + self.group not in rows:
            known = group_names(rows)
            there = f"the groups are {', '.join(known)}" if known else "no groups were given"
            raise TrainingError(
                f"{self}: there is no group {self.group!r}; {there}. Give their masks: groups={{{self.group!r}: mask}}"
            )

    def mask(self, rows: Mapping[str, Any]) -> Any:
        """Return 1 for the rows that the mean is over, and 0 for others; None where it is over all."""
        found = None if self.group is None else rows[PREFIX + self.group]
        wanted = self.counts(rows["y"])
        if wanted is None:
            return found
        wanted = ops.where(wanted, 1.0, 0.0 * rows["weight"])
        return wanted if found is None else found * wanted

    def share(self, rows: Mapping[str, Array]) -> float | None:
        """Return Σ over its rows of wᵢ / n; None where it is over all rows, which are worth 1."""
        mask = self.mask(rows)
        if mask is None:
            return None
        found = float(np.sum(np.asarray(mask, np.float64) * rows["weight"]) / len(rows["weight"]))
        if not found:
            raise TrainingError(f"{self}: no training row that counts is one of those that it is the mean over")
        return found

    def worth(self, rows: Mapping[str, Array]) -> float:
        """Return what of its mean the row with the largest weight is."""
        mask = self.mask(rows)
        weights = np.asarray(rows["weight"] if mask is None else mask * rows["weight"], np.float64)
        total = float(np.sum(weights))
        return float(np.max(weights)) / total if total else 0.0  # ``share`` refuses a mean over no row

    def total(self, view: Any, loss: Any, share: Any, decided: bool = False) -> Any:
        """Return Σ wᵢ qᵢ / share over a batch: what adds up from tile to tile. Of one number of all, count times it.

        q is what training descends on; where the mean is ``decided``, what is reported.
        """
        q = self.truth(view, loss) if decided else self.numbers(view, loss)
        weight = view.batch["weight"]
        if q.ndim == 0:
            return q * ops.extent(weight, axis=0)
        mask = self.mask(view.batch)
        if mask is None:
            return ops.sum_(q * weight)
        return ops.sum_(ops.where(mask > 0.0, q, 0.0) * (mask * weight)) / share  # not 0 · Inf

    def _named(self, name: str, **more: Any) -> str:
        given = {"group": self.group, **more}
        return f"{name}({', '.join(f'{k}={v!r}' for k, v in given.items() if v is not None)})"


@dataclass(frozen=True)
class MeanLoss(Term):
    """The mean loss of a group's rows."""

    def numbers(self, view: Any, loss: Any) -> Any:
        return view.losses

    def __str__(self) -> str:
        return self._named("mean_loss")


@dataclass(frozen=True)
class Rate(Term):
    """How often a group's rows are decided for the positive class, or wrongly; in training σ(sharpness · margin).

    The decision is z > 0 for one logit, the largest of several; as a function of the parameters it is flat but for
    jumps, so training descends on its smooth form. ``sharpness`` makes that steeper, and so nearer to the decision.
    """

    kind: Literal["selection_rate", "false_positive_rate", "true_positive_rate", "error_rate"] = "selection_rate"
    positive: int = 1
    sharpness: float = 1.0
    smooth: ClassVar[bool] = False

    def __str__(self) -> str:
        more: dict[str, Any] = {} if self.positive == 1 else {"positive": self.positive}
        more |= {} if self.sharpness == 1.0 else {"sharpness": self.sharpness}
        return self._named(self.kind, **more)

    def check(self, loss: Any, rows: Mapping[str, Any]) -> None:
        super().check(loss, rows)
        if loss.link not in ("sigmoid", "softmax"):
            raise TrainingError(
                f"{self}: the loss {loss.name} makes no decisions between classes; a rate needs "
                "binary_cross_entropy or softmax_cross_entropy"
            )
        y = rows["y"]
        if y.ndim != 1 and not (y.ndim == 2 and y.shape[1] == 1):
            raise TrainingError(f"{self}: the targets have the shape {y.shape}; a rate needs one class number a row")
        if loss.link == "sigmoid" and not np.all(np.isin(y, (0, 1))):
            raise TrainingError(f"{self}: a target is neither 0 nor 1, so that no decision is right or wrong")

    def counts(self, y: Any) -> Any:
        if self.kind == "true_positive_rate":
            return ops.equal(flat(y), self.positive)
        return ops.not_equal(flat(y), self.positive) if self.kind == "false_positive_rate" else None

    def numbers(self, view: Any, loss: Any) -> Any:
        return ops.sigmoid(self.sharpness * self._margin(view, loss))

    def truth(self, view: Any, loss: Any) -> Any:
        z, y = view.outputs, flat(view.batch["y"])
        decided = ops.where(flat(z) > 0.0, 1, 0) if loss.link == "sigmoid" else ops.argmax(z, axis=1)
        hit = ops.not_equal(decided, y) if self.kind == "error_rate" else ops.equal(decided, self.positive)
        return ops.where(hit, 1.0, 0.0 * view.batch["weight"])

    def _margin(self, view: Any, loss: Any) -> Any:
        """Return the logit of the class that is counted: of the positive one, or of any but the right one."""
        z, y = view.outputs, flat(view.batch["y"])
        if loss.link == "sigmoid":
            one = flat(z)
            if self.kind == "error_rate":
                return ops.where(ops.equal(y, 1), -one, one)
            return one if self.positive == 1 else -one
        columns = np.arange(z.shape[1])
        wanted = ops.expand_dims(y, 1) if self.kind == "error_rate" else np.asarray([[self.positive]])
        of = ops.equal(ops.cast(wanted, dtype="i64") if isinstance(wanted, Node) else wanted, columns)
        low = -1e30
        mine = ops.logsumexp(ops.where(of, z, low), axis=1)
        others = ops.logsumexp(ops.where(of, low, z), axis=1)
        return others - mine if self.kind == "error_rate" else mine - others


@dataclass(frozen=True)
class Own(Term):
    """An expression of the user's own: ``function(parameters, outputs, data)``."""

    function: Callable[..., Any] = field(default=lambda parameters, outputs, data: 0.0)

    def __str__(self) -> str:
        name = getattr(self.function, "__name__", type(self.function).__name__)
        return self._named("constraint" if name == "<lambda>" else name)

    def numbers(self, view: Any, loss: Any) -> Any:
        b = view.batch
        masks = {name: b[PREFIX + name] for name in group_names(b)}
        data = SimpleNamespace(x=b["x"], y=b["y"], weight=b["weight"], losses=view.losses, groups=masks)
        found = self.function(view.parameters, view.outputs, data)
        shape = getattr(found, "shape", None)
        if shape is None or not (len(shape) == 0 or (len(shape) == 1 and shape[0] == view.losses.shape[0])):
            raise TraceError(
                f"{self} returned {getattr(found, 'type', found)!s:.80}; it must return one number, or one a row "
                "(whose mean over the rows is taken for you)"
            )
        return found

    def looks_at_rows(self, view: Any, loss: Any) -> bool:
        """Is it one number that depends on the rows? A batch's is then another number than that of all rows."""
        found = self.numbers(view, loss)
        rows = [leaf for leaf in flatten(dict(view.batch))[0] if isinstance(leaf, Node)]
        return found.ndim == 0 and isinstance(found, Node) and found in depends_on([found], rows)


def flat(values: Any) -> Any:
    """Return one number a row, of an array (n,) or (n, 1)."""
    return values if values.ndim == 1 else ops.reshape(values, (-1,))
