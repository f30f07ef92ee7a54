"""What ``learn`` knows of regularization: only these shapes, which ``constrain`` fills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from chainrule.learn.optimizers import Metric


class Penalty(Protocol):
    """A soft constraint: + λ R(θ) in the objective; its numbers are settings."""

    def settings(self) -> dict[str, float]:
        """Return λ and other numbers by name."""
        ...

    def value(self, parameters: Any, settings: Mapping[str, Any]) -> Any:
        """Return λ R(θ), one number."""
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
