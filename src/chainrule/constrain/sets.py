"""What every set of vectors is: a projection in the metric of a step, its support, distance and normal cone.

A set of one's own needs ``settings`` and ``project`` to be trained with (``cr.learn.Set``), and ``normal_cone`` and
``support`` where ``cr.optimality`` is to report multipliers and a duality gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from chainrule import ops
from chainrule.constrain.selection import Axes, Bundle, Chooser, Per, named_leaves, with_leaves
from chainrule.constrain.vectors import Arrays, like
from chainrule.errors import TrainingError
from chainrule.learn.optimizers import Metric
from chainrule.nn.setting import POSITIVE, Setting

Array = np.ndarray[Any, Any]
Vector = list[Array]
ACTIVE = 1e-6
"""A limit is active where the point is this near to it, relative to the limit."""


@dataclass(frozen=True)
class NormalCone:
    """The nearest point of N_Ω(θ) to a direction, by parameter; the multipliers that make it up, and g(θ), by label."""

    nearest: dict[str, Array]
    multipliers: dict[str, float]
    values: dict[str, float] = field(default_factory=dict)
    """g(θ) of each limit g ≤ 0: complementarity asks that its product with the multiplier is 0."""


@dataclass(frozen=True)
class VectorSet(Chooser):
    """A set of vectors, the same one for each bundle of the parameters that it covers."""

    convex: ClassVar[bool] = True
    bounded: ClassVar[bool] = True
    multiplier_of: ClassVar[str] = ""
    """The function whose multiplier is reported, such as "‖w‖² − r²"."""
    numbers: ClassVar[tuple[str, ...]] = ("radius",)
    needs_scalar: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in self.numbers:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real) or not 0.0 < float(value) < np.inf:
                raise TrainingError(f"{type(self).__name__}: {name} is {value!r}; it must be a number greater than 0")
            object.__setattr__(self, name, float(value))
        self._check_choice()

    # What a set says: its limit as it is written, and what one bundle's vector is made of.

    limit: ClassVar[str] = ""

    @property
    def formula(self) -> str:
        """The limit in mathematics, with its number and what it is for."""
        numbers = ", ".join(f"{_symbol(n)} = {getattr(self, n):g}" for n in self.numbers)
        each = {"network": "", "layer": ", each layer", "unit": ", each unit", "input": ", each input"}[self.spread]
        return f"{self.limit}{', ' if numbers else ''}{numbers}{each}"

    def __str__(self) -> str:
        shown = [f"{getattr(self, name):g}" for name in self.numbers]
        if self.parameters != "weights":
            shown.append(f"parameters={self.parameters!r}")
        if self.spread != type(self).__dataclass_fields__.get("per", _NETWORK).default:
            shown.append(f"per={self.spread!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def __and__(self, other: Any) -> Any:
        from chainrule.constrain.intersection import Intersection

        return Intersection(self, other)

    def settings(self) -> dict[str, float]:
        """Return the numbers that another run may have others of, without another program."""
        return {name: Setting(getattr(self, name), POSITIVE) for name in self.numbers}

    # The projection.

    def project(
        self, parameters: Any, metric: Metric | None = None, settings: Mapping[str, Any] | None = None
    ) -> tuple[Any, Any]:
        """Return the nearest point of the set, in the metric of a step (Euclidean where none is given).

        Gives ``(parameters, converged)``. A point inside is returned with the same bits; else the result lies inside by
        a few units in the last place, so that projecting it once more changes nothing.
        """
        metric = metric or Metric("scalar", 1.0)
        numbers = self.settings() if settings is None else settings
        if metric.kind == "unknown":
            raise TrainingError(f"{self} cannot be projected on: the metric of the step is not known")
        if self.needs_scalar and metric.kind == "diagonal":
            raise TrainingError(self.refusal())
        leaves = named_leaves(parameters)
        steps = named_leaves(metric.step) if metric.kind == "diagonal" else None
        changed: dict[str, Any] = {}
        converged: Any = np.asarray(True)
        for bundle in self.bundles:
            v = [leaves[name] for name in bundle.names]
            s = None if steps is None else [steps[n] for n in bundle.names]
            w, ok = self.nearest(v, s, bundle.axes(v[0].ndim), {k: like(v[0], x) for k, x in numbers.items()})
            changed.update(zip(bundle.names, w, strict=True))
            converged = ops.logical_and(converged, ok)
        return with_leaves(parameters, changed), converged

    def refusal(self) -> str:
        return ""

    def nearest(self, v: Arrays, s: Arrays | None, axes: Axes, numbers: Mapping[str, Any]) -> tuple[Arrays, Any]:
        """Return the nearest point of one bundle: Euclidean where s is None, else in the metric 1/s.

        A step s of 0 belongs to an element that does not move (a factor of 0, a schedule that begins with 0).
        """
        raise NotImplementedError

    # What optimality asks, on arrays.

    def distance(self, parameters: Any, settings: Mapping[str, Any] | None = None) -> float:
        """Return the Euclidean distance of a point from the set."""
        nearest, _ = self.project(parameters, None, settings)
        before, after = named_leaves(parameters), named_leaves(nearest)
        return float(np.sqrt(sum(np.sum(np.square(before[n] - after[n])) for n in self.covered)))

    def support(self, direction: Any, settings: Mapping[str, Any] | None = None) -> float:
        """Return the largest ⟨direction, w⟩ over the set (∞ where there is none): σ_Ω."""
        numbers = self.settings() if settings is None else settings
        leaves = named_leaves(direction)
        found = 0.0
        for bundle in self.bundles:
            for vector in split(bundle, [np.asarray(leaves[n]) for n in bundle.names]):
                found += self.most(vector, numbers)
        return found

    def normal_cone(
        self, parameters: Any, direction: Any, settings: Mapping[str, Any] | None = None, active: float = ACTIVE
    ) -> NormalCone:
        """Return the nearest normal of the set at a point to a direction, and its multipliers."""
        numbers = self.settings() if settings is None else settings
        points, directions = named_leaves(parameters), named_leaves(direction)
        nearest: dict[str, Array] = {}
        multipliers: dict[str, float] = {}
        values: dict[str, float] = {}
        for bundle in self.bundles:
            w = [np.asarray(points[n], np.float64) for n in bundle.names]
            d = [np.asarray(directions[n], np.float64) for n in bundle.names]
            normals = []
            vectors = list(zip(split(bundle, w), split(bundle, d), strict=True))
            for i, (one, along) in enumerate(vectors):
                label = bundle.label if len(vectors) == 1 else f"{bundle.label}, {i}"
                normal, multipliers[label] = self.normal(one, along, numbers, active)
                values[label] = self.limit_value(one, numbers)
                normals.append(normal)
            nearest.update(zip(bundle.names, joined(bundle, normals, w), strict=True))
        return NormalCone(nearest, multipliers, values)

    def elements_of(self, label: str, like: Mapping[str, Array]) -> dict[str, Array]:
        """Return where the numbers of one limit are, of the labels that ``normal_cone`` gives: 1 there, else 0."""
        found: dict[str, Array] = {}
        for bundle in self.bundles:
            if label != bundle.label and not label.startswith(f"{bundle.label}, "):
                continue
            arrays = [np.zeros_like(like[n]) for n in bundle.names]
            vectors = split(bundle, arrays)
            place = 0 if label == bundle.label else int(label.removeprefix(f"{bundle.label}, "))
            ones = [np.full_like(v, float(i == place)) for i, v in enumerate(vectors)]
            found.update(zip(bundle.names, joined(bundle, ones, arrays), strict=True))
        return found

    def normal_cone_residual(self, parameters: Any, direction: Any, settings: Mapping[str, Any] | None = None) -> float:
        """Return the distance of a direction from the normal cone at a point: 0 at −∇F of a stationary point."""
        normal = self.normal_cone(parameters, direction, settings).nearest
        directions = named_leaves(direction)
        return float(np.sqrt(sum(np.sum(np.square(directions[n] - normal[n])) for n in self.covered)))

    def most(self, d: Array, numbers: Mapping[str, Any]) -> float:
        """Return σ of one vector."""
        return float("inf")

    def limit_value(self, w: Array, numbers: Mapping[str, Any]) -> float:
        """Return g of one vector, of the limit g ≤ 0."""
        raise NotImplementedError

    def normal(self, w: Array, d: Array, numbers: Mapping[str, Any], active: float) -> tuple[Array, float]:
        """Return the nearest normal of one vector, and its multiplier."""
        raise NotImplementedError


@dataclass(frozen=True)
class PerSet(VectorSet):
    """A set that may be kept by the whole network, or by each layer, unit or input column."""

    per: Per = field(default="network", kw_only=True)


_NETWORK = PerSet.__dataclass_fields__["per"]


def _symbol(name: str) -> str:
    return {"radius": "r", "total": "r", "count": "k"}.get(name, name)


def split(bundle: Bundle, values: Vector) -> list[Array]:
    """Return the vectors of a bundle, flat, one by one."""
    axes = bundle.axes(values[0].ndim)
    if axes is None:
        return [np.concatenate([v.ravel() for v in values])]
    (value,) = values
    last = np.moveaxis(value, axes, range(-len(axes), 0))
    return list(last.reshape(-1, int(np.prod([value.shape[a] for a in axes]))))


def joined(bundle: Bundle, vectors: list[Array], like: Vector) -> Vector:
    """Return the arrays that a bundle's flat vectors are in: the inverse of ``split``."""
    axes = bundle.axes(like[0].ndim)
    if axes is None:
        (vector,) = vectors
        cuts = np.cumsum([v.size for v in like])[:-1]
        return [part.reshape(v.shape) for part, v in zip(np.split(vector, cuts), like, strict=True)]
    (value,) = like
    shape = np.moveaxis(value, axes, range(-len(axes), 0)).shape
    return [np.moveaxis(np.reshape(vectors, shape), range(-len(axes), 0), axes)]
