"""Sets of matrices, by their singular values: how much a layer can stretch, and of how few directions it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from chainrule import ops
from chainrule.constrain.balls import YES
from chainrule.constrain.selection import Axes, Bundle, Cover, Per, named_leaves
from chainrule.constrain.sets import ACTIVE, Array, NormalCone, VectorSet
from chainrule.constrain.solving import root_of
from chainrule.constrain.vectors import Arrays, rounding, threshold
from chainrule.errors import TrainingError


@dataclass(frozen=True)
class _MatrixSet(VectorSet):
    """A set of matrices [in, out], the same for each weight; its projection acts on the singular values alone."""

    needs_scalar: ClassVar[bool] = True

    def refusal(self) -> str:
        return (
            f"{self} is projected on by singular values, which belong to a step of the same size for all elements; in "
            "the metric of Adam (or with factors of learning rates) the nearest point is another one, for which there "
            "is no such formula. Use cr.learn.SGD (by name: optimizer='sgd', --optimizer sgd)"
        )

    @property
    def spread(self) -> Per:
        return "layer"

    @property
    def bundles(self) -> list[Bundle]:
        cover: Cover = self._cover()
        for name, shape in cover.shapes.items():
            if len(shape) != 2:
                raise TrainingError(f"{self}: {name} has the shape {list(shape)}; it is for matrices [in, out]")
        return [Bundle(name, (name,)) for name in cover.names]

    def __str__(self) -> str:
        more = "" if self.parameters == "weights" else f", parameters={self.parameters!r}"
        return f"{type(self).__name__}({self.settings()['radius']:g}{more})"

    def nearest(self, v: Arrays, s: Arrays | None, axes: Axes, numbers: Mapping[str, Any]) -> tuple[Arrays, Any]:
        (a,), radius = v, numbers["radius"]
        if len(a.shape) != 2:
            raise TrainingError(f"{self}: a parameter has the shape {list(a.shape)}; it is for matrices [in, out]")
        left, values, right = ops.svd(a)
        inside, kept, found = self.shortened(values, radius, 4.0 * rounding(v, None))
        return [ops.where(inside, a, ops.matmul(left * kept, right))], found

    def shortened(self, values: Any, radius: Any, margin: float) -> tuple[Any, Any, Any]:
        """Return whether the singular values are inside, what becomes of them, and whether that was found."""
        raise NotImplementedError

    def support(self, direction: Any, settings: Mapping[str, Any] | None = None) -> float:
        leaves = named_leaves(direction)
        radius = float((settings or self.settings())["radius"])
        return radius * sum(self.dual(np.linalg.svd(np.asarray(leaves[n]), compute_uv=False)) for n in self.covered)

    def size(self, values: Array) -> float:
        """Return the norm of the singular values."""
        raise NotImplementedError

    def dual(self, values: Array) -> float:
        """Return the dual norm of the singular values."""
        raise NotImplementedError

    def normal_cone(
        self, parameters: Any, direction: Any, settings: Mapping[str, Any] | None = None, active: float = ACTIVE
    ) -> NormalCone:
        points, directions = named_leaves(parameters), named_leaves(direction)
        radius = float((settings or self.settings())["radius"])
        nearest, multipliers, values = {}, {}, {}
        for n in self.covered:
            w, d = np.asarray(points[n], np.float64), np.asarray(directions[n], np.float64)
            nearest[n], multipliers[n] = self.matrix_normal(w, d, radius, active)
            values[n] = self.size(np.linalg.svd(w, compute_uv=False)) - radius
        return NormalCone(nearest, multipliers, values)

    def matrix_normal(self, w: Array, d: Array, radius: float, active: float) -> tuple[Array, float]:
        """Return the nearest normal of one matrix to a direction, and its multiplier."""
        raise NotImplementedError


@dataclass(frozen=True)
class SpectralBall(_MatrixSet):
    """The weights whose largest singular value is at most r, each by itself: no layer stretches by more than r.

    {W: σ₁(W) ≤ r}: the nearest point cuts singular values off at r. It asks for σ₁ ≤ r and leaves smaller ones alone,
    where a division by σ₁ (PyTorch's ``spectral_norm``) forces σ₁ = 1. Euclidean metric, so SGD; the multiplier is that
    of σ₁ − r.

    >>> import numpy as np
    >>> nearest, _ = SpectralBall(1.0).covering({"w": None}).project({"w": np.diag([3.0, 0.5])})
    >>> np.abs(nearest["w"]).round(12).tolist()
    [[1.0, 0.0], [0.0, 0.5]]
    """

    radius: float
    limit: ClassVar[str] = "σ₁(W) ≤ r, each weight W"
    multiplier_of: ClassVar[str] = "σ₁ − r"

    def shortened(self, values: Any, radius: Any, margin: float) -> tuple[Any, Any, Any]:
        return ops.max_(values) <= radius, ops.minimum(values, radius * (1.0 - margin)), YES

    def size(self, values: Array) -> float:
        return float(np.max(values))

    def dual(self, values: Array) -> float:
        return float(np.sum(values))

    def matrix_normal(self, w: Array, d: Array, radius: float, active: float) -> tuple[Array, float]:
        left, values, right = np.linalg.svd(w, full_matrices=False)
        at = values >= radius * (1.0 - active)
        if not at.any():
            return np.zeros_like(w), 0.0
        # N = {U₁ S V₁ᵀ: S symmetric, S ⪰ 0} over the singular vectors at the limit
        inner = left[:, at].T @ d @ right[at].T
        sizes, vectors = np.linalg.eigh(0.5 * (inner + inner.T))
        kept = np.maximum(sizes, 0.0)
        return left[:, at] @ (vectors * kept) @ vectors.T @ right[at], float(np.sum(kept))


@dataclass(frozen=True)
class NuclearBall(_MatrixSet):
    """The weights whose singular values add up to at most r, each by itself: matrices of low rank.

    {W: Σσᵢ(W) ≤ r}: the nearest point shrinks all singular values by the same amount, and small ones become 0 (Cai,
    Candès and Shen 2010). Euclidean metric, so SGD; the multiplier is that of Σσᵢ − r.

    >>> import numpy as np
    >>> nearest, _ = NuclearBall(2.0).covering({"w": None}).project({"w": np.diag([3.0, 0.5])})
    >>> np.abs(nearest["w"]).round(12).tolist()
    [[2.0, 0.0], [0.0, 0.0]]
    """

    radius: float
    limit: ClassVar[str] = "Σσᵢ(W) ≤ r, each weight W"
    multiplier_of: ClassVar[str] = "Σσᵢ − r"

    def shortened(self, values: Any, radius: Any, margin: float) -> tuple[Any, Any, Any]:
        inside = ops.sum_(values) <= radius
        tau, f, found = threshold([values], [0.0 * values + 1.0], None, radius)
        share = radius * (1.0 - margin) / ops.where(inside, 1.0, ops.maximum(f, radius))
        return inside, ops.maximum(values - tau, 0.0) * share, found

    def size(self, values: Array) -> float:
        return float(np.sum(values))

    def dual(self, values: Array) -> float:
        return float(np.max(values))

    def matrix_normal(self, w: Array, d: Array, radius: float, active: float) -> tuple[Array, float]:
        left, values, right = np.linalg.svd(w, full_matrices=False)
        if np.sum(values) < radius * (1.0 - active):
            return np.zeros_like(w), 0.0
        some = values > 1e-9 * max(float(values[0]), 1e-300)
        u, v = left[:, some], right[some]
        # N = {λ(UVᵀ + Z): UᵀZ = 0, ZVᵀ = 0, σ₁(Z) ≤ 1}
        outside = d - u @ (u.T @ d)
        outside = outside - (outside @ v.T) @ v
        a, rest, b = np.linalg.svd(outside, full_matrices=False)
        along = float(np.sum((u.T @ d) * v))
        count = int(some.sum())
        multiplier = root_of(
            lambda t: along - count * t + float(np.sum(np.maximum(rest - t, 0.0))), max(abs(along), float(rest[0]))
        )
        return multiplier * (u @ v) + (a * np.minimum(rest, multiplier)) @ b, multiplier


@dataclass(frozen=True)
class OrthogonalColumns(_MatrixSet):
    """The weights with columns of length 1 that are at right angles, each by itself. This set is *not convex*.

    {W: WᵀW = I}, W [in, out] with in ≥ out: the nearest point to V = U S Aᵀ is the polar factor UAᵀ, all of whose
    singular values are 1 (Fan and Hoffman 1955); where V has a singular value of 0 several are equally near. Such a
    layer neither stretches nor shrinks a gradient in the space of its columns. Euclidean metric, so SGD. Projected
    steps come to a point that no small step on the set improves, in one of its pieces: ``cr.optimality`` never says
    more than ε-KKT of it. Normals at W are WΛ with Λ symmetric, of any sign; reported is the length of Λ.

    >>> import numpy as np
    >>> nearest, _ = OrthogonalColumns().covering({"w": None}).project({"w": np.diag([3.0, -0.5])})
    >>> nearest["w"].round(12).tolist()
    [[1.0, 0.0], [0.0, -1.0]]
    """

    convex: ClassVar[bool] = False
    numbers: ClassVar[tuple[str, ...]] = ()
    limit: ClassVar[str] = "WᵀW = I, each weight W (not convex)"
    multiplier_of: ClassVar[str] = "WᵀW − I: the length of the symmetric Λ"

    def __str__(self) -> str:
        return f"OrthogonalColumns({'' if self.parameters == 'weights' else f'parameters={self.parameters!r}'})"

    @property
    def bundles(self) -> list[Bundle]:
        found = super().bundles
        for name, shape in self._cover().shapes.items():
            self._require_tall(name, shape)
        return found

    def _require_tall(self, name: str, shape: Any) -> None:
        if shape[0] < shape[1]:
            raise TrainingError(
                f"{self}: {name} has the shape {list(shape)}: of {shape[1]} columns in a space of {shape[0]} no more "
                f"than {shape[0]} are at right angles. Choose weights [in, out] with in ≥ out: parameters=[…]"
            )

    def nearest(self, v: Arrays, s: Arrays | None, axes: Axes, numbers: Mapping[str, Any]) -> tuple[Arrays, Any]:
        (a,) = v
        if len(a.shape) != 2:
            raise TrainingError(f"{self}: a parameter has the shape {list(a.shape)}; it is for matrices [in, out]")
        self._require_tall("a parameter", a.shape)
        left, _, right = ops.svd(a)
        off = ops.max_(ops.absolute(ops.matmul(a.T, a) - np.eye(a.shape[1], dtype=a.dtype)))
        return [ops.where(off <= 8.0 * rounding(v, None), a, ops.matmul(left, right))], YES

    def support(self, direction: Any, settings: Mapping[str, Any] | None = None) -> float:
        leaves = named_leaves(direction)
        return sum(float(np.sum(np.linalg.svd(np.asarray(leaves[n]), compute_uv=False))) for n in self.covered)

    def normal_cone(
        self, parameters: Any, direction: Any, settings: Mapping[str, Any] | None = None, active: float = ACTIVE
    ) -> NormalCone:
        points, directions = named_leaves(parameters), named_leaves(direction)
        nearest, multipliers, values = {}, {}, {}
        for n in self.covered:
            w, d = np.asarray(points[n], np.float64), np.asarray(directions[n], np.float64)
            inner = w.T @ d
            symmetric = 0.5 * (inner + inner.T)
            nearest[n], multipliers[n] = w @ symmetric, float(np.linalg.norm(symmetric))
            values[n] = float(np.max(np.abs(w.T @ w - np.eye(w.shape[1]))))
        return NormalCone(nearest, multipliers, values)
