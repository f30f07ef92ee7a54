"""Is a gradient right? Compare it with central differences, (f(x + h) − f(x − h)) / 2h, element by element."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.calculus.functions import value_and_grad
from chainrule.errors import TypeMismatch
from chainrule.execute import REFERENCE
from chainrule.graph import as_array, flatten, leaf_names, make_graph, unflatten


@dataclass(frozen=True)
class GradientCheck:
    """The largest difference between a gradient and central differences, and where it is.

    ``difference`` is |gradient − numeric| / max(1, |gradient|, |numeric|).
    """

    difference: float
    where: str
    gradient: float
    numeric: float
    tolerance: float

    @property
    def ok(self) -> bool:
        return bool(self.difference <= self.tolerance)  # NaN is not ok

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        word = "agrees with" if self.ok else "DIFFERS from"
        return (
            f"the gradient {word} central differences: largest difference {self.difference:.2e} "
            f"(allowed {self.tolerance:.0e}) at {self.where}: {self.gradient:.12g} against {self.numeric:.12g}"
        )


def check_grad(
    function: Callable[..., Any], *arguments: Any, step: float = 1e-5, tolerance: float = 1e-6
) -> GradientCheck:
    """Compare the gradient of a function, by all its arguments, with central differences in double precision.

    Returns a report that is true where they agree and prints where they differ most. Each element x is moved by
    step·max(1, |x|). Near a kink the two may rightly differ.

    >>> import numpy as np
    >>> bool(check_grad(lambda x: np.sum(np.exp(x)), np.array([0.0, 1.0])))
    True
    """
    leaves, structure = flatten(arguments)
    points = [np.array(as_array(v), np.float64) for v in leaves]
    if not points:
        raise TypeMismatch("check_grad needs at least one argument to differentiate by")
    at = unflatten(structure, points)
    _, gradient = value_and_grad(function, tuple(range(len(arguments))))(*at)
    graph = make_graph(function, *at)
    worst = GradientCheck(0.0, "no element", 0.0, 0.0, tolerance)
    for number, (name, slope) in enumerate(zip(leaf_names(structure, ""), flatten(gradient)[0], strict=True)):
        for index in np.ndindex(points[number].shape):
            numeric = _central(graph, points, number, index, step)
            exact = float(np.asarray(slope)[index])
            difference = abs(exact - numeric) / max(1.0, abs(exact), abs(numeric))
            if np.isnan(worst.difference):
                return worst  # nothing is worse than NaN
            if not difference <= worst.difference:
                place = f"argument {name}" + (f"[{', '.join(map(str, index))}]" if index else "")
                worst = GradientCheck(difference, place, exact, numeric, tolerance)
    return worst


def _central(graph: Any, points: list[Any], number: int, index: tuple[int, ...], step: float) -> float:
    h = step * max(1.0, abs(float(points[number][index])))
    results = []
    for moved in (h, -h):
        array = points[number].copy()
        array[index] += moved
        arrays = [array if i == number else p for i, p in enumerate(points)]
        results.append(float(REFERENCE.run(graph, arrays)[0]))
    return (results[0] - results[1]) / (2 * h)
