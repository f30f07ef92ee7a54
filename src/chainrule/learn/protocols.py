"""What ``learn`` knows of regularization: only these shapes, which ``constrain`` fills.

``settings``, ``value`` and ``project`` are all that training needs. What is optional is asked for by name, where it is
there: ``covering`` (a set or penalty is told which parameters there are), ``shrink`` (a penalty that is not smooth),
``parts`` (one that is several), ``describe`` (its lines in the printed objective).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from chainrule.learn.optimizers import Metric
from chainrule.nn import Parameter


class Penalty(Protocol):
    """A soft constraint: + λ R(θ) in the objective; its numbers are settings."""

    def settings(self) -> dict[str, float]:
        """Return λ and other numbers by name."""
        ...

    def value(self, parameters: Any, settings: Mapping[str, Any]) -> Any:
        """Return λ R(θ), one number."""
        ...


@runtime_checkable
class Proximal(Protocol):
    """A penalty that is not smooth: training takes a proximal step for it in the place of its gradient."""

    def shrink(self, parameters: Any, metric: Metric, settings: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return argmin over w of λ R(w) + ½‖w − θ‖² in the metric, and whether its computation converged."""
        ...


class Set(Protocol):
    """A hard constraint: θ ∈ Ω, kept by projecting after every step in the metric of the step."""

    def settings(self) -> dict[str, float]:
        """Return the radius and other numbers by name."""
        ...

    def project(self, parameters: Any, metric: Metric, settings: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the nearest point of the set in the metric, and whether its computation converged.

        The parameters are those that are trained: frozen ones cannot be moved, so a set is asked of the others alone. A
        diagonal metric has the structure and the shapes of the parameters, factors of learning rates included.
        """
        ...


@runtime_checkable
class Covering(Protocol):
    """A set or penalty over some of the parameters, which it chooses when it is told which there are."""

    def covering(self, declared: Mapping[str, Parameter | None], frozen: Collection[str] = ()) -> Any:
        """Return it over these parameters: what the layers declare, or None for each where a function is the network.

        Frozen parameters are not covered: nothing moves them. The result's ``covered`` are the names of the others;
        its ``cover`` is not None, as it is before.
        """
        ...


@dataclass(frozen=True)
class Weighed:
    """What multipliers make of a step: what they add to the gradient, and what is left to project on."""

    gradient: Any
    """Σ λᵢ ∇gᵢ, in the structure of what is trained."""
    objective: Any
    """The objective with the limits that multipliers hold taken out, and those by proximal steps as penalties."""
    settings: Mapping[str, Any]
    """The settings of that objective, the multipliers of its proximal steps among them."""
    carried: Any
    """The multipliers after the step."""


class Multipliers(Protocol):
    """Multipliers λ ≥ 0 of the constraints gᵢ(θ) ≤ 0 of a problem, which a training program carries along."""

    def settings(self) -> dict[str, float]:
        """Return the numbers of the method by name, such as the dual learning rate."""
        ...

    def first(self, trained: Any) -> Any:
        """Return what is carried into the first step: λ = 0 for each limit."""
        ...

    def measured(self, view: Any, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return, of a batch, the sums over rows that each limit on outputs needs, by the limit's title.

        The gradient of its ``"value"`` is added to them.
        """
        ...

    def weighed(self, objective: Any, carried: Any, trained: Any, sums: Any, settings: Mapping[str, Any]) -> Weighed:
        """Return what the multipliers make of a step, from the sums over its batch."""
        ...

    def noted(self, carried: Any) -> dict[str, float]:
        """Return what an epoch's entry in the history says of the multipliers and the limits."""
        ...

    def found(self, carried: Any) -> dict[str, Any]:
        """Return the multipliers by title of the limit."""
        ...


@runtime_checkable
class MinMax(Protocol):
    """A method beside an optimizer: its steps go down in θ, and the method's go up in the multipliers."""

    def bind(self, objective: Any, rows: Mapping[str, Any], steps_per_epoch: int, whole: bool) -> Any:
        """Return the objective, its limits told what they need of the rows, its ``Multipliers``, and notes.

        ``whole`` says that each step looks at all rows at once.
        """
        ...


class Method(Protocol):
    """How a problem is solved, where that is not the loop of an optimizer's steps."""

    def solve(self, job: Any, report: Any) -> None:
        """Take a prepared job (``cr.learn``'s ``Job``) to its end: its loop has the result, its notes what to say."""
        ...
