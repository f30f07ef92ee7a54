"""A function of traced values on every executor that there is here, compared with NumPy's own result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.execute import get_executor
from chainrule.execute.native import engine

EXECUTORS = ("reference", *(() if engine.missing() else ("native",)))


def results(function: Callable[..., Any], *arrays: Any) -> list[Any]:
    """Return what a function gives on each executor."""
    graph = cr.make_graph(function, *arrays)
    return [np.asarray(get_executor(name).run(graph, list(arrays))[0]) for name in EXECUTORS]


def equals_numpy(function: Callable[..., Any], *arrays: Any, ulp: int = 0) -> None:
    """Every executor gives NumPy's values, shape and dtype; to the bit, but for so many ulp."""
    with np.errstate(all="ignore"):
        wanted = np.asarray(function(*arrays))
    for got in results(function, *arrays):
        assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
        if not ulp or wanted.dtype.kind != "f":
            np.testing.assert_array_equal(got, wanted)
            continue
        with np.errstate(all="ignore"):
            near = np.abs(got - wanted) <= ulp * np.spacing(np.abs(wanted))
        same = ((got == wanted) & (np.signbit(got) == np.signbit(wanted))) | (np.isnan(got) & np.isnan(wanted))
        wrong = ~(same | (near & (wanted != 0)))
        assert not np.any(wrong), [(*(x[wrong] for x in arrays if x.shape == wrong.shape), got[wrong], wanted[wrong])]


def slopes(function: Callable[..., Any], *arrays: Any) -> list[Any]:
    """Return the gradient of a function's sum by its first operand, on each executor."""
    return results(cr.grad(lambda *xs: np.sum(function(*xs))), *arrays)
