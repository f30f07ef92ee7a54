"""The objective: which loss of which network is to be made small, and under which penalties and constraints."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule import ops
from chainrule.errors import TrainingError
from chainrule.graph import Node
from chainrule.graph.types import DTYPES
from chainrule.learn.covering import cover_all, declared_parameters, is_untold
from chainrule.learn.data import checked_weights, filled
from chainrule.learn.projection import part
from chainrule.learn.protocols import Covering, Penalty, Set
from chainrule.nn import Lambda, Layer, Loss, Parameter, Scope, as_input, as_network, as_target, get_loss
from chainrule.nn.layer import float_name
from chainrule.nn.losses.base import dims
from chainrule.nn.setting import NOT_NEGATIVE, Setting


@dataclass(frozen=True, init=False)
class Objective:
    """F(θ) = (1/n) Σᵢ wᵢ · loss(yᵢ, network(xᵢ; θ)) + penalties, subject to constraints; the wᵢ scaled to mean 1.

    ``network`` is a layer or a function ``(parameters, x) -> output``; ``loss`` a name or a function ``loss(target,
    output)`` that gives one number a row. Called as ``objective(parameters, (X, y))`` it returns F as one number, and
    can be differentiated: ``cr.value_and_grad(objective)(parameters, (X, y))``. A row of weight 0 enters no sum; only
    with ``training=True`` it is a row of zeros to the statistics of a batch (``cr.fit`` leaves it out).

    ``penalty`` and ``subject_to`` are lists of ``cr.constrain``'s penalties and sets, or of one's own. ``print`` states
    the problem; ``print(objective.on(X))`` lists exactly the parameters that are covered.
    """

    network: Layer
    loss: Loss
    penalty: tuple[Penalty, ...]
    subject_to: tuple[Set, ...]

    def __init__(
        self, network: Any, loss: Any, penalty: Sequence[Penalty] = (), subject_to: Sequence[Set] = ()
    ) -> None:
        object.__setattr__(self, "network", as_network(network))
        object.__setattr__(self, "loss", get_loss(loss))
        object.__setattr__(self, "penalty", _listed(penalty, "penalty", "value", "[0.01 * cr.constrain.SquaredL2()]"))
        object.__setattr__(
            self, "subject_to", _listed(subject_to, "subject_to", "project", "[cr.constrain.L2Ball(4.0)]")
        )
        self._refuse_double_link()

    def on(self, x: Any, parameters: Any = None) -> Objective:
        """Return the objective for rows like x, with every penalty and set over the parameters that it chooses.

        ``parameters`` are needed where the network is a plain function: they alone say which there are. What has been
        told already, as that of a run's objective, stays as it is.
        """
        if not any(is_untold(m) for m in (*self.penalty, *self.subject_to)):
            return self
        return self.covering(declared_parameters(self.network, x, parameters))

    def covering(self, declared: Mapping[str, Parameter | None], frozen: Collection[str] = ()) -> Objective:
        """Return the objective with every penalty and set over the parameters that it chooses among these."""
        if not any(isinstance(m, Covering) for m in (*self.penalty, *self.subject_to)):
            return self
        chosen = {
            "penalty": cover_all(self.penalty, declared, frozen),
            "subject_to": cover_all(self.subject_to, declared, frozen),
        }
        return Objective(self.network, self.loss, **chosen)

    def _refuse_double_link(self) -> None:
        """A loss on logits applies softmax or the sigmoid itself: one more in the last layer is a classic mistake."""
        last = (list(self.network.children().values())[-1:] or [self.network])[0].bare()
        activation = getattr(last, "function" if isinstance(last, Lambda) else "activation", None)
        if self.loss.link != "identity" and activation in ("softmax", "sigmoid", "exponential"):
            right = f"cr.nn.Dense({getattr(last, 'units', 1)})"
            wrong = f"cr.nn.{last}" if isinstance(last, Lambda) else f"{right[:-1]}, activation={activation!r})"
            raise TrainingError(
                f"{self.loss.name} takes {'logarithms of rates' if self.loss.link == 'exponential' else 'logits'} and "
                f"applies {self.loss.link} itself; the last layer applies {activation} too.\n"
                f"  wrong:  {wrong}\n"
                f"  right:  {right}, and nothing after it"
            )

    def row_losses(self, scope: Scope, x: Any, y: Any) -> Any:
        """Return the loss of each row, computing the network in the given scope."""
        return self.loss.rows(y, self.network.forward(scope, x))

    def __call__(
        self,
        parameters: Any,
        data: tuple[Any, ...],
        *,
        state: Mapping[str, Any] | None = None,
        training: bool = False,
        key: Any = None,
    ) -> Any:
        """Return F at the parameters on ``data``, which is (X, y) or (X, y, sample weights).

        Raises TrainingError for targets that the loss cannot take and for weights that are no weights. Of traced data
        (within ``cr.value_and_grad``) class numbers and shapes are checked, other values are not.
        """
        total = self.data_loss(parameters, data, state=state, training=training, key=key)
        whole = self.on(data[0], parameters) if self.penalty else self
        for penalty in whole.penalty:
            total = total + penalty.value(parameters, penalty.settings())
        return total

    def data_loss(
        self,
        parameters: Any,
        data: tuple[Any, ...],
        *,
        state: Mapping[str, Any] | None = None,
        training: bool = False,
        key: Any = None,
    ) -> Any:
        """Return F without penalties: the mean loss over the rows."""
        x, y, weight = data if len(data) == 3 else (*data, None)
        x, y = as_input(x), as_target(y)
        if weight is not None:  # a row of weight 0 must not enter a sum: 0 · Inf is NaN, in the value and the gradient
            weight = _weights(weight, x)
            both = isinstance(weight, Node) or isinstance(y, Node)
            y = _zero_where(weight == 0, y) if both else filled(y, weight > 0)
            x = _zero_where(weight == 0, x)
        scope = Scope(parameters, state=state, training=training, key=key)
        output = self.network.forward(scope, x)
        losses = self.loss.rows(self.loss.watched(y, output) if isinstance(y, Node) else y, output)
        if weight is None:
            return ops.mean(losses)
        return ops.sum_(ops.where(weight == 0, 0.0, losses) * weight) / ops.sum_(weight)

    def settings(self) -> dict[str, float]:
        """Return the numbers of penalties and constraints by full name."""
        named = [(f"penalty{i}", p.settings()) for i, p in enumerate(self.penalty, 1)]
        named += [(f"set{i}", s.settings()) for i, s in enumerate(self.subject_to, 1)]
        return {f"{prefix}.{k}": _with_range(k, v) for prefix, inner in named for k, v in inner.items()}

    def __str__(self) -> str:
        minimized = " + ".join(["F(θ)", *(_formula(p) for p in self.penalty)])
        lines = [
            "minimize over θ:  F(θ) = (1/n) Σ loss(y, a(x; θ))"
            if not self.penalty
            else f"minimize over θ:  {minimized},  F(θ) = (1/n) Σ loss(y, a(x; θ))",
            *(f"      subject to  {_formula(s)}" for s in self.subject_to),
            f"  loss              {self.loss}: {self.loss.formula}, for each row",
            "  ground truth      y, the targets that the data is annotated with",
            "  prediction        a(x; θ), the output of the network below",
            "  accumulated loss  the mean over the n rows (a sum would multiply the gradient by n)",
            *(line for p in self.penalty for line in _described("penalty           + ", p)),
            *(line for s in self.subject_to for line in _described("subject to        ", s)),
            "",
            str(self.network),
        ]
        return "\n".join(lines)


def _listed(members: Any, name: str, method: str, right: str) -> tuple[Any, ...]:
    """Return penalties or sets one by one: some are several."""
    if not isinstance(members, Sequence) or isinstance(members, str):
        raise TrainingError(f"Objective: {name} is {members!r:.60}; it is a list: {name}={right}")
    found = [single for member in members for single in getattr(member, "parts", (member,))]
    for member in found:
        if not callable(getattr(member, method, None)) or not callable(getattr(member, "settings", None)):
            raise TrainingError(
                f"Objective: {name} holds {member!r:.60}, which has no {method} and settings; give {name}={right}"
            )
    return tuple(found)


def _formula(member: Any) -> str:
    return str(getattr(member, "formula", member))


def _described(title: str, member: Any) -> list[str]:
    """Return a member's lines in the printed objective: itself, and what it says of itself."""
    more = member.describe() if hasattr(member, "describe") else []
    return [f"  {title}{member}", *(f"{'':20}{line}" for line in more)]


def _weights(weight: Any, x: Any) -> Any:
    """Return sample weights, checked: arrays as ``fit`` does it, traced ones by their shape."""
    if not isinstance(weight, Node):
        return checked_weights(weight, x.shape[0], "the sample weights").astype(DTYPES[float_name(x)])
    if weight.shape != x.shape[:1]:
        raise TrainingError(
            f"the sample weights have shape ({dims(weight)}); one for each of the {x.shape[0]} rows is needed"
        )
    return weight if weight.type.is_float else ops.cast(weight, dtype=float_name(x))


def _with_range(name: str, value: float) -> float:
    """Return a number of a penalty or set with its range: a λ or radius is not negative, whoever wrote the class."""
    if isinstance(value, Setting) or name not in ("lambda", "radius"):
        return value
    return Setting(value, NOT_NEGATIVE)


def _zero_where(left_out: Any, rows: Any) -> Any:
    return ops.where(ops.reshape(left_out, (-1, *(1,) * (rows.ndim - 1))), 0, rows)


__all__ = ["Objective", "part"]
