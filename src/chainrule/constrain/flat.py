"""An objective over the whole data as a function of one long vector, for a solver that takes many small steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.constrain.whole import Whole
from chainrule.graph import flatten, unflatten

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Point:
    """F and ∇F somewhere, with the smooth penalties and without."""

    value: float
    gradient: Array
    loss: float
    slope: Array


class Flat:
    """What ``Whole`` knows, at vectors: sums and products over them are one call, however many parameters there are."""

    def __init__(self, whole: Whole) -> None:
        self.whole = whole
        leaves, self._structure = flatten(whole.treatment.trained(whole.start))
        self._shapes = [np.shape(leaf) for leaf in leaves]
        self._cuts = np.cumsum([0, *(np.size(leaf) for leaf in leaves)]).tolist()
        self._only_descends = not whole.objective.subject_to and not whole.is_rough

    def vector(self, tree: Any) -> Array:
        """Return nested arrays as one vector."""
        return np.concatenate([np.ravel(leaf) for leaf in flatten(tree)[0]])

    def tree(self, vector: Array) -> Any:
        """Return a vector as the nested arrays that it stands for."""
        places = zip(self._cuts, self._cuts[1:], self._shapes, strict=False)
        return unflatten(self._structure, [vector[a:b].reshape(shape) for a, b, shape in places])

    def at(self, vector: Array) -> Point:
        """Return what is known at a point."""
        tree = self.tree(vector)
        loss, slope = self.whole.data_loss(tree)
        plain = self.vector(slope)
        if not self.whole.objective.penalty:
            return Point(loss, plain, loss, plain)
        value, gradient = self.whole.with_penalties(tree, loss, slope)
        return Point(value, self.vector(gradient), loss, plain)

    def rough(self, vector: Array) -> float:
        """Return the penalties that are not smooth."""
        return self.whole.rough(self.tree(vector)) if self.whole.is_rough else 0.0

    def stepped(self, vector: Array, direction: Array, size: float) -> tuple[Array, bool]:
        """Return Π(θ − size · direction), proximal steps included, and whether that was found."""
        if self._only_descends:
            return vector - vector.dtype.type(size) * direction, True
        after, converged = self.whole.stepped(self.tree(vector), self.tree(direction), size)
        return self.vector(after), converged


def dot(a: Array, b: Array) -> float:
    """Return ⟨a, b⟩, added up in float64."""
    return float(np.dot(a.astype(np.float64, copy=False), b.astype(np.float64, copy=False)))


def length(a: Array) -> float:
    """Return ‖a‖₂."""
    return float(np.sqrt(dot(a, a)))
