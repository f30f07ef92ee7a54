"""Paths of the chain rule: multiply along a path, add across paths; how many there are, and which weigh most.

All sums are exact: what arrives at an element is the sum, over the edges into it, of factor times what arrived before.
The same with absolute values gives the *mass* of all paths, and with ones their number. Since magnitudes multiply, the
K largest paths to an element are among the K largest to each element before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.explanation.waypoints import SOURCE, Edge, Trail, Waypoint

Array = np.ndarray[Any, Any]
CHUNK = 1 << 22
"""So many candidates for the largest paths are compared at once."""


@dataclass(frozen=True)
class Link:
    """One factor of a path: from an element of one waypoint to one of the next."""

    edge: Edge
    start: int
    end: int
    factor: float


@dataclass(frozen=True)
class Path:
    """One way from the source to the end: its links, and their product."""

    links: tuple[Link, ...]
    product: float

    @property
    def factors(self) -> list[float]:
        """The factors from the source on."""
        return [link.factor for link in self.links]


@dataclass(frozen=True)
class CutRow:
    """What passes one element of a layer: how the source moves it, times how it moves the end."""

    element: int
    reached: float
    weight: float

    @property
    def product(self) -> float:
        return self.reached * self.weight


@dataclass(frozen=True)
class Cut:
    """A derivative cut at one waypoint: a row for each of its elements, and what goes around it. Exact: they add up."""

    waypoint: Waypoint
    rows: tuple[CutRow, ...]
    around: float

    @property
    def total(self) -> float:
        return float(sum(row.product for row in self.rows) + self.around)


class Paths:
    """All paths of a trail. As a sequence: the largest first, as many as ``most``."""

    def __init__(self, trail: Trail, most: int = 20) -> None:
        self.trail = trail
        self.most = most

    @cached_property
    def edges(self) -> list[Edge]:
        return self.trail.edges

    @np.errstate(all="ignore")  # of a step that was not finite, neither are these
    def _arriving(self, factors: Callable[[Edge], Array], start: Array, without: int | None = None) -> list[Array]:
        """Return what arrives at each waypoint's elements: over every edge, its factors times what is at its start."""
        totals = [np.zeros(point.size, start.dtype) for point in self.trail.waypoints]
        for edge in self.edges:
            if without not in (edge.start, edge.end) or without is None:
                block = factors(edge)
                before = start if edge.start == SOURCE else totals[edge.start]
                totals[edge.end] = totals[edge.end] + (block * before if edge.is_diagonal else block @ before)
        return totals

    @cached_property
    def reached(self) -> list[Array]:
        """The derivative of every waypoint's elements by the source."""
        return self._arriving(lambda edge: edge.factors, np.ones(1))

    @property
    def total(self) -> float:
        """The derivative of the end by the source: the sum of all paths' products."""
        return float(self.reached[-1][0])

    @cached_property
    def mass(self) -> float:
        """The sum of the absolute products of all paths."""
        return float(self._arriving(lambda edge: np.abs(edge.factors), np.ones(1))[-1][0])

    @cached_property
    def count(self) -> int:
        """The number of paths."""
        return int(self._arriving(lambda edge: edge.ways().astype(object), np.ones(1, object))[-1][0])

    @cached_property
    @np.errstate(all="ignore")
    def weights(self) -> list[Array]:
        """The derivative of the end by every waypoint's elements (their δ): the same sums from the other end."""
        totals = [np.zeros(point.size) for point in self.trail.waypoints]
        totals[-1] = np.ones(1)
        for edge in reversed(self.edges):
            if edge.start != SOURCE:
                after = totals[edge.end]
                totals[edge.start] = totals[edge.start] + (
                    edge.factors * after if edge.is_diagonal else after @ edge.factors
                )
        return totals

    def cut(self, number: int) -> Cut:
        """Return the derivative cut at a waypoint."""
        rows = [
            CutRow(i, float(a), float(b))
            for i, (a, b) in enumerate(zip(self.reached[number], self.weights[number], strict=True))
        ]
        around = self._arriving(lambda edge: edge.factors, np.ones(1), without=number)[-1][0]
        return Cut(self.trail.waypoints[number], tuple(rows), float(around))

    def top(self, most: int) -> list[Path]:
        """Return the paths with the largest absolute products, the largest first, at most so many."""
        most = min(most, self.count)
        return _Largest(self, most).found() if most > 0 else []

    @cached_property
    def _top(self) -> list[Path]:
        return self.top(self.most)

    def __len__(self) -> int:
        return len(self._top)

    def __getitem__(self, place: Any) -> Any:
        return self._top[place]

    def __iter__(self) -> Iterator[Path]:
        return iter(self._top)

    @property
    def covered(self) -> float:
        """Which share of the mass these paths have."""
        return 1.0 if self.mass == 0 else sum(abs(path.product) for path in self) / self.mass

    @property
    def is_complete(self) -> bool:
        """Are these all paths?"""
        return len(self) == self.count


class _Largest:
    """The K largest products at each element of each waypoint, and which edge, element and rank each came from."""

    def __init__(self, paths: Paths, most: int) -> None:
        self.paths = paths
        self.most = most
        points = paths.trail.waypoints
        self.products: list[Array] = [np.zeros((p.size, 0)) for p in points]
        self.came: list[Array] = [np.zeros((p.size, 0, 3), int) for p in points]
        self.present: list[Array] = [np.zeros((p.size, 0), bool) for p in points]
        for number, edge in enumerate(paths.edges):
            self._extend(number, edge)

    @np.errstate(all="ignore")
    def _extend(self, number: int, edge: Edge) -> None:
        """Take in what comes over one edge, some elements of its end at a time."""
        source = edge.start == SOURCE
        before = np.ones((1, 1)) if source else self.products[edge.start]
        there = np.ones((1, 1), bool) if source else self.present[edge.start]
        size, (starts, ranks) = len(self.products[edge.end]), before.shape
        if not ranks:
            return
        known, kept, came = self.products[edge.end], self.present[edge.end], self.came[edge.end]
        results = []
        step = max(CHUNK // max(starts * ranks, 1), 1)
        for begin in range(0, size, step):
            part = slice(begin, min(begin + step, size))
            if edge.is_diagonal:
                products = edge.factors[part, None] * before[part]
                present = (edge.ways()[part, None] > 0) & there[part]
                origin = np.broadcast_to(np.arange(size)[part, None], products.shape)
                rank = np.broadcast_to(np.arange(ranks), products.shape)
            else:
                rows = len(edge.factors[part])
                products = (edge.factors[part, :, None] * before).reshape(rows, -1)
                present = ((edge.ways()[part, :, None] > 0) & there).reshape(rows, -1)
                origin = np.broadcast_to(np.repeat(np.arange(starts), ranks), products.shape)
                rank = np.broadcast_to(np.tile(np.arange(ranks), starts), products.shape)
            new = np.stack([np.full(products.shape, number), origin, rank], axis=-1)
            results.append(_best(
                np.concatenate([known[part], products], axis=1), np.concatenate([kept[part], present], axis=1),
                np.concatenate([came[part], new], axis=1), self.most,
            ))  # fmt: skip
        self.products[edge.end], self.present[edge.end], self.came[edge.end] = (
            np.concatenate(part) for part in zip(*results, strict=True)
        )

    def found(self) -> list[Path]:
        """Return the largest paths to the end."""
        last = len(self.products) - 1
        return [self._path(last, rank) for rank in range(self.products[last].shape[1]) if self.present[last][0, rank]]

    def _path(self, point: int, rank: int) -> Path:
        element, links = 0, []
        product = float(self.products[point][element, rank])
        while point != SOURCE:
            number, start, before = map(int, self.came[point][element, rank])
            edge = self.paths.edges[number]
            factor = edge.factors[element] if edge.is_diagonal else edge.factors[element, start]
            links.append(Link(edge, start, element, float(factor)))
            point, element, rank = edge.start, start, before
        return Path(tuple(reversed(links)), product)


def _best(products: Array, present: Array, came: Array, most: int) -> tuple[Array, Array, Array]:
    """Keep the largest candidates of each row, the largest first; those that are no way come last."""
    size = np.where(present, np.abs(products), -1.0)
    if size.shape[1] > most:
        chosen = np.argpartition(-size, most - 1, axis=1)[:, :most]
        size, products, present = (np.take_along_axis(a, chosen, axis=1) for a in (size, products, present))
        came = np.take_along_axis(came, chosen[:, :, None], axis=1)
    order = np.argsort(-size, axis=1, kind="stable")
    products, present = (np.take_along_axis(a, order, axis=1) for a in (products, present))
    return products, present, np.take_along_axis(came, order[:, :, None], axis=1)
