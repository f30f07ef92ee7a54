"""Intersection: several sets at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from chainrule.errors import TrainingError
from chainrule.learn.optimizers import Metric
from chainrule.learn.projection import nearest_of_all, part
from chainrule.nn import Parameter


@dataclass(frozen=True, init=False)
class Intersection:
    """The points that are in all of several sets. In an objective it is the same as ``subject_to=[a, b]``.

    Projecting on one set after the other does not give the nearest point of both; Dykstra's method does (Boyle and
    Dykstra 1986), in the metric of the step. It takes many rounds where sets meet at a small angle: a run says in how
    many steps it did not converge.

    >>> import numpy as np
    >>> from chainrule.constrain import L2Ball, NonNegative
    >>> both = Intersection(NonNegative(), L2Ball(1.0)).covering({"w": None})
    >>> nearest, converged = both.project({"w": np.array([3.0, -4.0])})
    >>> nearest["w"].round(9).tolist(), bool(converged)
    ([1.0, 0.0], True)
    """

    parts: tuple[Any, ...]

    def __init__(self, *sets: Any) -> None:
        parts = tuple(single for s in sets for single in getattr(s, "parts", (s,)))
        if len(parts) < 2 or not all(callable(getattr(s, "project", None)) for s in parts):
            raise TrainingError("Intersection takes two sets or more: Intersection(NonNegative(), L2Ball(4.0))")
        object.__setattr__(self, "parts", parts)

    def __str__(self) -> str:
        return f"Intersection({', '.join(map(str, self.parts))})"

    def covering(self, declared: Mapping[str, Parameter | None], frozen: Collection[str] = ()) -> Intersection:
        """Return the intersection of the sets over the parameters that they choose."""
        return Intersection(*(s.covering(declared, frozen) if hasattr(s, "covering") else s for s in self.parts))

    @property
    def cover(self) -> Any:
        """None until the sets were told which parameters there are."""
        return next((c for s in self.parts if (c := getattr(s, "cover", None)) is not None), None)

    @property
    def covered(self) -> tuple[str, ...]:
        """The names of the parameters that any of the sets is over."""
        return tuple(dict.fromkeys(name for s in self.parts for name in s.covered))

    def settings(self) -> dict[str, float]:
        """Return the numbers of all sets: ``"1.radius"`` is the first one's."""
        return {f"{i}.{k}": v for i, s in enumerate(self.parts, 1) for k, v in s.settings().items()}

    def project(
        self, parameters: Any, metric: Metric | None = None, settings: Mapping[str, Any] | None = None
    ) -> tuple[Any, Any]:
        """Return the nearest point that is in all sets, in a metric, and whether it was found."""
        chosen = metric or Metric("scalar", 1.0)
        numbers = self.settings() if settings is None else settings
        moves = [partial(_project, s, chosen, part(numbers, str(i))) for i, s in enumerate(self.parts, 1)]
        return nearest_of_all(moves, moves, parameters, chosen)


def _project(limit: Any, metric: Metric, numbers: Mapping[str, Any], point: Any) -> Any:
    return limit.project(point, metric, numbers)
