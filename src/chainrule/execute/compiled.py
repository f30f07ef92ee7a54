"""compile: a Python function as machine code, traced and compiled once for each combination of argument types."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import numpy as np

from chainrule.execute.choice import get_executor
from chainrule.execute.training import EXECUTOR as REFERENCE
from chainrule.graph import (
    LEAF,
    Graph,
    Node,
    Structure,
    Type,
    as_array,
    flatten,
    inline,
    make_constant,
    make_graph,
    refuse_leaked_arguments,
    refuse_leaks,
    type_of_value,
    unflatten,
)


class Compiled:
    """A function that is traced and compiled when it first meets arguments of some types, and then only run."""

    def __init__(self, function: Callable[..., Any], executor: str) -> None:
        self.function = function
        self.executor = get_executor(executor)
        self._graphs: dict[tuple[Structure, tuple[Type, ...]], Graph] = {}
        self._ready: dict[Any, tuple[Callable[..., list[Any]], bool]] = {}
        update_wrapper(self, function)

    def __call__(self, *arguments: Any) -> Any:
        try:  # plain arrays of types that were met before: nothing is left to find out
            call, number = self._ready[tuple([(type(a), a.dtype, a.shape, a.flags.c_contiguous) for a in arguments])]
        except (KeyError, AttributeError, TypeError):
            return self._first(*arguments)
        (result,) = call(arguments, 0)
        return result[()] if number else result

    def _first(self, *arguments: Any) -> Any:
        leaves, _ = flatten(arguments)
        if any(isinstance(leaf, Node) for leaf in leaves):
            refuse_leaked_arguments(leaves, "a compiled function")
            return self.function(*arguments)  # inside another trace it is what it always was: a function
        graph = self.graph(*arguments)
        if graph.free:  # it reads values of the trace around it: it is part of that
            assert graph.gives is not None
            return unflatten(graph.gives, inline(graph, [make_constant(as_array(v)) for v in leaves]))
        arrays = [np.asarray(as_array(v), i.dtype) for v, i in zip(leaves, graph.inputs, strict=True)]
        results = self.executor.run(graph, arrays)
        assert graph.gives is not None
        if graph.gives == LEAF and self.executor is not REFERENCE and all(type(a) is np.ndarray for a in arguments):
            key = tuple([(np.ndarray, a.dtype, a.shape, True) for a in arguments])
            self._ready[key] = self.executor.prepare(graph), results[0].ndim == 0
        return unflatten(graph.gives, [r[()] if r.ndim == 0 else r for r in results])

    def graph(self, *arguments: Any) -> Graph:
        """Return the graph for arguments of these types.

        One that reads values of the trace around it is made anew each time: in another trace they are other values.
        Raises TraceError where it reads a value of a trace that is over.
        """
        leaves, structure = flatten(arguments)
        key = structure, tuple(type_of_value(leaf) for leaf in leaves)
        found = self._graphs.get(key)
        if found is None:
            found = make_graph(self.function, *arguments)
            refuse_leaks(found)
            if not found.free:
                self._graphs[key] = found
        return found

    def __repr__(self) -> str:
        return f"<compiled {getattr(self.function, '__name__', 'function')}, {len(self._graphs)} types so far>"


def compile(function: Callable[..., Any], *, executor: str = "native") -> Compiled:
    """Return a function as machine code: ``cr.compile(f)``, ``cr.compile(cr.grad(f))``.

    The function is traced and compiled once for each combination of argument types (dtypes and shapes), so it must do
    the same whatever the values are: what it reads from outside is read while it is traced, and then is a constant.

    >>> import numpy as np, chainrule as cr
    >>> f = cr.compile(lambda x: np.sum(np.sin(x) ** 2))
    >>> f"{f(np.array([0.0, 1.0])):.9f}"
    '0.708073418'
    """
    return Compiled(function, executor)
