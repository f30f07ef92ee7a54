"""Are the sets kept? What each set limits, measured at a point, beside the limit; and a point inside to begin from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import fsum, sqrt
from typing import Any

import numpy as np

from chainrule.constrain.balls import GroupL2Ball, L1Ball, L2Ball, LInfBall
from chainrule.constrain.elementwise import Box, Cardinality
from chainrule.constrain.limits import Limit
from chainrule.constrain.matrices import NuclearBall, SpectralBall
from chainrule.constrain.selection import Bundle, named_leaves
from chainrule.constrain.sets import Array, split
from chainrule.graph import flatten
from chainrule.learn import Run
from chainrule.learn.objective import part


@dataclass(frozen=True)
class SetValue:
    """What a set limits, at a point: the largest ‖w‖ of an ``L2Ball``, say, and whether the limit holds to the bit.

    ``limit`` is the number as the run computed with it: in single precision 0.1 is 0.100000001. Of a box ``value`` is
    the least weight and the largest; of a set of one's own it is the distance from it, and the limit 0.
    """

    title: str
    symbol: str
    value: float | tuple[float, float]
    limit: float | tuple[float | None, float | None]
    holds: bool
    limits: int = 1
    """How many there are: one for each unit, say."""
    violated: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return asdict(self)

    def __str__(self) -> str:
        if isinstance(self.value, tuple):
            low, high = self.limit  # type: ignore[misc]  # of a box both are pairs
            ends = [f"{v:.9g} ≤ " if i == 0 else f" ≤ {v:.9g}" for i, v in enumerate((low, high)) if v is not None]
            text = f"{'w'.join(ends) if len(ends) == 2 else f'{ends[0]}w' if low is not None else f'w{ends[0]}'}"
            text += f": w from {self.value[0] + 0.0:.9g} to {self.value[1] + 0.0:.9g}"  # no -0
        else:
            text = f"{self.symbol} = {self.value:.9g} {'≤' if self.holds else '>'} {self.limit:.9g}"
        if self.limits > 1:
            text += f", the largest of {self.limits}"
        if self.holds:
            return text
        if self.limits > 1:
            text += f", of which {self.violated} are over"
        if isinstance(self.value, tuple) or isinstance(self.limit, tuple) or not self.limit:
            return f"{text}; violated"
        return f"{text}; over by {self.value / self.limit - 1.0:.2g} of it"


Measure = Callable[[Array], float]
SIZES: tuple[tuple[type, str, Measure], ...] = (
    (L2Ball, "‖w‖", lambda w: sqrt(fsum(w * w))),
    (L1Ball, "‖w‖₁", lambda w: fsum(np.abs(w))),
    (LInfBall, "‖w‖∞", lambda w: float(np.max(np.abs(w), initial=0.0))),
    (Cardinality, "‖w‖₀", lambda w: float(np.count_nonzero(w))),
)
"""Of sets of vectors: what is limited, in exact sums."""


def set_values(run: Run, parameters: Any = None) -> list[SetValue]:
    """Return what the sets of a run's objective come to at its parameters, and whether each holds, bit for bit.

    Limits on losses and rates are told by ``cr.constrain.limit_values``.

    >>> import numpy as np, chainrule as cr
    >>> X = np.random.default_rng(0).normal(size=(40, 3)); y = X @ np.array([[2.0], [-1.0], [0.0]])
    >>> objective = cr.Objective(cr.nn.Dense(1), "squared_error", subject_to=[cr.constrain.L1Ball(1.5)])
    >>> run = cr.fit(objective, (X, y), optimizer=cr.learn.SGD(0.1), epochs=50)
    >>> print(*cr.constrain.set_values(run))
    ‖w‖₁ = 1.5 ≤ 1.5
    """
    point = named_leaves(run.parameters if parameters is None else parameters)
    arrays = {name: np.asarray(value, np.float64) for name, value in point.items()}
    dtype = flatten(run.parameters)[0][0].dtype
    numbers = {k: float(np.asarray(v, dtype)) for k, v in run.timeline.numbers_at(run.steps).items()}
    members = [(i, m) for i, m in enumerate(run.objective.subject_to, 1) if not isinstance(m, Limit)]
    return [_value(member, arrays, part(numbers, f"set{i}")) for i, member in members]


def _value(member: Any, point: Mapping[str, Array], numbers: Mapping[str, float]) -> SetValue:
    if isinstance(member, Box):
        vectors = _vectors(member, point)
        least, most = min(float(v.min()) for v in vectors), max(float(v.max()) for v in vectors)
        low, high = numbers.get("low"), numbers.get("high")
        holds = (low is None or least >= low) and (high is None or most <= high)
        return SetValue(str(member), "w", (least, most), (low, high), holds)
    if isinstance(member, GroupL2Ball):
        groups = [v for n in member.covered for v in split(Bundle(n, (n,), member.groups), [point[n]])]
        return _sized(member, "Σ_g ‖w_g‖", [fsum(sqrt(fsum(v * v)) for v in groups)], numbers["radius"])
    if isinstance(member, SpectralBall | NuclearBall):
        values = [np.linalg.svd(point[n], compute_uv=False) for n in member.covered]
        spectral = isinstance(member, SpectralBall)
        sizes = [float(v[0]) if spectral else fsum(v) for v in values]
        return _sized(member, "σ₁" if spectral else "Σσᵢ", sizes, numbers["radius"], near=1e-12)
    for kind, symbol, measure in SIZES:
        if isinstance(member, kind):
            limit = numbers["count" if kind is Cardinality else "radius"]
            return _sized(member, symbol, [measure(v) for v in _vectors(member, point)], limit)
    away = float(member.distance(point, numbers)) if hasattr(member, "distance") else _moved(member, point, numbers)
    return _sized(member, "distance", [away], 0.0, near=1e-6)


def _sized(member: Any, symbol: str, sizes: list[float], limit: float, near: float = 0.0) -> SetValue:
    """``near`` is what the measuring itself rounds, where it is no exact sum."""
    over = sum(size > limit + near * max(limit, 1.0) for size in sizes)
    return SetValue(str(member), symbol, max(sizes), limit, not over, len(sizes), over)


def _vectors(member: Any, point: Mapping[str, Array]) -> list[Array]:
    return [v for bundle in member.bundles for v in split(bundle, [point[n] for n in bundle.names])]


def _moved(member: Any, point: Mapping[str, Array], numbers: Mapping[str, float]) -> float:
    from chainrule.learn import Metric

    after = named_leaves(member.project(dict(point), Metric("scalar", 1.0), numbers)[0])
    return sqrt(fsum(float(np.sum(np.square(np.asarray(after[n]) - v))) for n, v in point.items()))


def inside(objective: Any, parameters: Mapping[str, Array]) -> dict[str, Array]:
    """Return the parameters projected on each set of an objective in turn, in their own precision.

    Multipliers that begin at a point where limits are far from being held grow large before they are, and pull what was
    learned to 0: so a training by multipliers may begin inside instead.
    """
    found: Any = dict(parameters)
    for member in objective.subject_to:
        if not isinstance(member, Limit):
            found, _ = member.project(found, None, member.settings())
    return {name: np.asarray(found[name], value.dtype) for name, value in parameters.items()}
