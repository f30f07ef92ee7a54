"""Sets as inequalities: R(w) ≤ r in the place of a projection, so that multipliers can hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.constrain.balls import GroupL2Ball, L1Ball, L2Ball, LInfBall
from chainrule.constrain.limits import Limit
from chainrule.constrain.penalties import L1, GroupL2
from chainrule.constrain.selection import named_leaves
from chainrule.constrain.sets import split
from chainrule.constrain.vectors import total

Values = list[Any]
"""g of each inequality: numbers, or arrays of them."""


@dataclass(frozen=True)
class Inequality:
    """gᵢ(θ) ≤ 0 for one member of ``subject_to``, which is its ``number``-th."""

    number: int
    what: Any

    @property
    def title(self) -> str:
        return f"set{self.number}"

    @property
    def on_outputs(self) -> bool:
        """Does it look at outputs, so that rows are needed for it?"""
        return isinstance(self.what, Limit)

    @property
    def penalty(self) -> Any:
        """The penalty whose proximal step stands for λ∇g, where g is not smooth; None where it is."""
        if isinstance(self.what, L1Ball):
            return L1(parameters=self.what.parameters, cover=self.what.cover)
        if isinstance(self.what, GroupL2Ball):
            return GroupL2(groups=self.what.groups, parameters=self.what.parameters, cover=self.what.cover)
        return None

    def values(self, trained: Any, value: Any, numbers: Mapping[str, Any]) -> Values:
        """Return g: of a set from the parameters, of a limit from the ``value`` of its expression."""
        what = self.what
        if isinstance(what, Limit):
            return what.values(value, numbers)
        leaves = named_leaves(trained)
        radius = numbers["radius"]
        if isinstance(what, LInfBall):
            return [ops.absolute(leaves[n]) - radius for n in what.covered]
        if isinstance(what, L2Ball):
            return [
                total([leaves[n] * leaves[n] for n in b.names], b.axes(leaves[b.names[0]].ndim)) - radius * radius
                for b in what.bundles
            ]
        return [self.penalty.size(trained) - radius]

    def weighted(self, multipliers: Sequence[Any], trained: Any, numbers: Mapping[str, Any]) -> Any:
        """Return Σ λᵢ gᵢ(θ) of a smooth set, the multipliers held constant."""
        products = [ops.sum_(ops.stop_gradient(m) * g) for m, g in zip(
            multipliers, self.values(trained, None, numbers), strict=True
        )]  # fmt: skip
        return reduce(lambda a, b: a + b, products)

    def named(self, arrays: Sequence[Any], largest: bool = False) -> dict[str, float]:
        """Return one number for each limit, by the labels that ``cr.optimality`` has: the multiplier, or g.

        The multipliers of |wᵢ| ≤ r add up to that of ‖w‖∞ ≤ r, and the ``largest`` of their g is its g.
        """
        what = self.what
        if isinstance(what, Limit):
            return {label: float(a) for label, a in zip(what.labels, arrays, strict=True)}
        if isinstance(what, LInfBall):
            by_name = dict(zip(what.covered, map(np.asarray, arrays), strict=True))
            found = {}
            for bundle in what.bundles:
                vectors = split(bundle, [by_name[n] for n in bundle.names])
                for i, v in enumerate(vectors):
                    label = bundle.label if len(vectors) == 1 else f"{bundle.label}, {i}"
                    found[label] = float(np.max(v) if largest else np.sum(v))
            return found
        if isinstance(what, L2Ball):
            found = {}
            for bundle, array in zip(what.bundles, map(np.asarray, arrays), strict=True):
                for i, v in enumerate(array.ravel()):
                    found[bundle.label if array.size == 1 else f"{bundle.label}, {i}"] = float(v)
            return found
        return {"": float(arrays[0])}


def as_inequality(number: int, member: Any) -> Inequality | None:
    """Return a member of ``subject_to`` as an inequality, or None where it has no such form."""
    if isinstance(member, L1Ball) and member.per != "network":
        return None
    known = isinstance(member, L2Ball | L1Ball | LInfBall | GroupL2Ball | Limit)
    return Inequality(number, member) if known else None
