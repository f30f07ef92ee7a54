"""A plane through a point of parameter space: its two directions, and where sets cut it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.constrain.selection import named_leaves
from chainrule.errors import TrainingError
from chainrule.graph import flatten, unflatten
from chainrule.learn import Run

Array = np.ndarray[Any, Any]
RAYS = 360
MOST_HALVINGS = 100
NEAR = 1e-12
MOST_LOOKED = 60
"""So many points of a trajectory are looked at."""


@dataclass(frozen=True)
class Slice:
    """The plane {center + a·u + b·v}, u and v orthonormal; drawn are (a, b) + origin."""

    center: Array
    u: Array
    v: Array
    labels: tuple[str, str]
    origin: tuple[float, float]
    said: str
    like: Any
    """Nested arrays in whose structure the points are."""

    def at(self, a: float, b: float) -> Any:
        """Return the parameters at coordinates as they are drawn."""
        vector = self.center + (a - self.origin[0]) * self.u + (b - self.origin[1]) * self.v
        return unflat(vector, self.like)

    def coordinates(self, parameters: Any) -> tuple[float, float, float]:
        """Return where parameters are drawn, and how far they are from the plane."""
        away = flat_of(parameters) - self.center
        a, b = float(away @ self.u), float(away @ self.v)
        return a + self.origin[0], b + self.origin[1], float(np.linalg.norm(away - a * self.u - b * self.v))


def flat_of(parameters: Any) -> Array:
    """Return nested arrays as one vector of float64."""
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in flatten(parameters)[0]])


def unflat(vector: Array, like: Any) -> Any:
    """Return a vector in the structure of nested arrays: the inverse of ``flat_of``."""
    leaves, structure = flatten(like)
    cuts = np.cumsum([np.size(leaf) for leaf in leaves])[:-1]
    parts = np.split(vector, cuts)
    return unflatten(structure, [p.reshape(np.shape(leaf)) for p, leaf in zip(parts, leaves, strict=True)])


def looked_at(run: Run) -> list[int]:
    """Return the steps of a run whose points are drawn: dense at the beginning, where it moves most."""
    if not run.steps:
        return [0]
    if len(run.snapshots) <= 2 and run.method is not None:  # a solver that keeps its ends alone
        return [0, run.steps]
    wanted = np.unique(np.round(np.geomspace(1, run.steps + 1, MOST_LOOKED)).astype(int) - 1)
    return [int(step) for step in wanted]


def make_slice(run: Run, center: Any, directions: Any, trajectory: Sequence[Any]) -> Slice:
    """Return the plane through a run's point along two named weights, two given directions, or the trajectory's own.

    Raises:
        TrainingError: directions that are no two different ones, or weights that there are not.
    """
    vector = flat_of(center)
    if directions is None and vector.size == 2:
        directions = tuple(_names(center))
    if directions is None:
        u, v, share = _principal(vector, trajectory)
        said = f"plane of the trajectory's first two principal directions ({share:.1%} of its spread)"
        return Slice(
            vector, u, v, ("first principal direction", "second principal direction"), (0.0, 0.0), said, center
        )
    if not isinstance(directions, Sequence) or isinstance(directions, str) or len(directions) != 2:
        raise TrainingError(
            "directions are two: names of weights such as ('weight[0, 0]', 'weight[1, 0]'), or two points as nested "
            "arrays like the run's parameters"
        )
    if all(isinstance(d, str) for d in directions):
        places = [_place(name, center) for name in directions]
        if places[0] == places[1]:
            raise TrainingError(f"directions names {directions[0]!r} twice; a plane has two")
        u, v = (np.eye(1, vector.size, place)[0] for place in places)
        origin = float(vector[places[0]]), float(vector[places[1]])
        return Slice(vector, u, v, (directions[0], directions[1]), origin, "plane of two weights", center)
    given = [flat_of(d) for d in directions]
    if any(d.size != vector.size for d in given):
        raise TrainingError(f"a direction has {given[0].size} numbers; the run trains {vector.size}")
    u = given[0] / max(float(np.linalg.norm(given[0])), 1e-300)
    rest = given[1] - (given[1] @ u) * u
    if not np.linalg.norm(rest) > 1e-9 * np.linalg.norm(given[1]) or not np.linalg.norm(given[0]) > 0.0:
        raise TrainingError("the two directions are one: a plane needs two that differ")
    v = rest / np.linalg.norm(rest)
    return Slice(
        vector, u, v, ("first direction", "second direction"), (0.0, 0.0), "plane of two given directions", center
    )


def _names(parameters: Any) -> list[str]:
    return [
        name + (f"[{', '.join(map(str, index))}]" if index else "")
        for name, leaf in named_leaves(parameters).items()
        for index in np.ndindex(np.shape(leaf))
    ]


def _place(name: str, parameters: Any) -> int:
    """Return where a weight such as ``hidden1.weight[0, 2]`` is in the vector of all."""
    known = _names(parameters)
    plain = re.sub(r"\s*,\s*", ", ", name.strip())
    if plain not in known:
        shapes = ", ".join(f"{n}{list(np.shape(leaf))}" for n, leaf in named_leaves(parameters).items())
        raise TrainingError(f"no weight is called {name!r}; write such as {known[0]!r}. There are: {shapes}")
    return known.index(plain)


def _principal(center: Array, trajectory: Sequence[Any]) -> tuple[Array, Array, float]:
    """Return the first two principal directions of a trajectory about its end, and their share of its spread."""
    rows = np.array([flat_of(p) - center for p in trajectory])
    _, sizes, directions = np.linalg.svd(rows, full_matrices=False)
    if len(sizes) < 2 or not sizes[1] > 1e-12 * max(float(sizes[0]), 1e-300):
        raise TrainingError(
            "the trajectory is a line (a solver keeps its first and last point alone), which has no second direction: "
            "give directions=('hidden1.weight[0, 0]', 'hidden1.weight[1, 0]'), or two points"
        )
    return directions[0], directions[1], float(np.sum(np.square(sizes[:2])) / np.sum(np.square(sizes)))


def boundary(level: Callable[[float, float], float], start: tuple[float, float], reach: float) -> Array:
    """Return the outline {level = 0} of a convex set {level ≤ 0} in a plane, [rays, 2], seen from a point inside.

    On each ray the root is bracketed and found by false position, the Illinois way (Dowell and Jarratt 1971), to 12
    digits of ``reach``. A ray that does not leave the set within ``reach`` ends there.
    """
    found = []
    inner = level(*start)
    for angle in np.linspace(0.0, 2.0 * np.pi, RAYS, endpoint=False):
        x, y = np.cos(angle), np.sin(angle)

        def along(t: float, x: float = x, y: float = y) -> float:
            return level(start[0] + t * x, start[1] + t * y)

        t = _root(along, inner, reach)
        found.append((start[0] + t * x, start[1] + t * y))
    return np.array(found)


def _root(rising: Callable[[float], float], inner: float, reach: float) -> float:
    """Return the last t in [0, reach] where a function is at most 0; it is so at 0, where it is ``inner``."""
    low, high, at_low, at_high = 0.0, reach, inner, rising(reach)
    if at_high <= 0.0:
        return reach
    kept = ""
    for _ in range(MOST_HALVINGS):
        if high - low <= NEAR * reach:
            break
        t = high - at_high * (high - low) / (at_high - at_low) if at_low < 0.0 else 0.5 * (low + high)
        if not low < t < high:
            t = 0.5 * (low + high)
        value = rising(t)
        if value > 0.0:
            high, at_high = t, value
            at_low *= 0.5 if kept == "high" else 1.0
            kept = "high"
        else:
            low, at_low = t, value
            at_high *= 0.5 if kept == "low" else 1.0
            kept = "low"
    return low
