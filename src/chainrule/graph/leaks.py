"""Is a traced value still one? It stands for a number only while the function that it belongs to is being traced.

A value that a function puts aside while it is traced (in a list, in an attribute) and that another function reads later
has *leaked*. Nothing would ever give it a number, so it is refused where a graph is finished or run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import current_thread, main_thread
from typing import Any

from chainrule.errors import TraceError
from chainrule.graph.graph import Graph, depends_on, topological
from chainrule.graph.node import Node, where_made
from chainrule.graph.structural import INPUT

_open: ContextVar[tuple[tuple[Node, ...], ...]] = ContextVar("inputs of the functions being traced here", default=())
# House style has no global tracing state. This is none that a trace reads: no node, type or order depends on it, and a
# program without a leak does the same with and without it. It is only looked at to refuse. Whether an input's function
# is still running is known to the call stack alone, and a context variable is the call stack's own memory: each thread
# and each coroutine has its own, so one thread's open trace excuses no other's leak.


@contextmanager
def tracing(inputs: tuple[Node, ...]) -> Iterator[None]:
    """Say that these inputs stand for the arguments of a function that is being called now."""
    token = _open.set((*_open.get(), inputs))
    try:
        yield
    finally:
        _open.reset(token)


def refuse_leaks(graph: Graph) -> None:
    """Raise TraceError where a graph reads an input of a function that is not being traced any more."""
    if not graph.free:
        return
    alive = {node for inputs in _open.get() for node in inputs}
    for node in graph.free:
        if node not in alive:
            raise TraceError(_message(graph, node))


def refuse_free(graph: Graph) -> None:
    """Raise TraceError where a graph that is to be run by itself reads anything but its own inputs."""
    if graph.free:
        refuse_leaks(graph)
        node = graph.free[0]
        raise TraceError(
            f"the graph reads {_name(node)}, a traced value of a function that is still being traced{_home(node)}, so "
            "it cannot be run by itself; make that value an argument of the function that the graph was made from"
        )


def refuse_leaked_arguments(values: Iterable[Any], what: str) -> None:
    """Raise TraceError where a traced value is passed as an argument and no function is being traced.

    Inside a trace nothing is looked for: what is passed on ends in that trace's own graph, and is refused there.
    """
    if _open.get():
        return
    for value in values:
        if isinstance(value, Node):
            for node in topological([value]):
                if node.op is INPUT:
                    raise TraceError(
                        f"a traced value leaked out of its function: {_carried(value, node)} is passed to {what}, but "
                        f"{_advice()}"
                    )


_ADVICE = (
    "no function that it belongs to is being traced here any more, so it stands for no number. Let that function "
    "return it as an output, compute that, and pass the result as an argument"
)


def _advice() -> str:
    """Say what to do; in a thread, whose trace may be one that it does not see, that too."""
    if current_thread() is main_thread():
        return _ADVICE
    return (
        f"{_ADVICE}. If that function is still running and has started this thread: a thread sees the trace that it "
        "works for in a copy of its context, pool.submit(contextvars.copy_context().run, work)"
    )


def _message(graph: Graph, leaked: Node) -> str:
    carrier = _carrier(graph, leaked)
    reader = next((n for n in graph.nodes if any(o is carrier for o in n.operands)), None)
    place = "" if reader is None else where_made(reader)
    by = "returned by another function" if reader is None else f"read by {reader.op.name}"
    at = f" ({place})" if place else ""
    return f"a traced value leaked out of its function: {_carried(carrier, leaked)} is {by}{at}, but {_advice()}"


def _carrier(graph: Graph, leaked: Node) -> Node:
    """Return the value that was put aside: the last one that was there before the function that reads it began."""
    begun = min((node.serial for node in graph.inputs), default=0)
    reached: set[Node] = depends_on(graph.outputs, [leaked])
    before = [node for node in graph.nodes if node in reached and node.serial < begun]
    return max(before, key=lambda node: node.serial, default=leaked)


def _carried(carrier: Node, leaked: Node) -> str:
    """Say what leaked, and from which function."""
    if carrier is leaked:
        return f"{_name(leaked)}{_home(leaked)}"
    place = where_made(carrier)
    return (
        f"a result of {carrier.op.name}{f' ({place})' if place else ''}, computed from {_name(leaked)}{_home(leaked)}"
    )


def _name(node: Node) -> str:
    return repr(str(node.attributes["label"]))


def _home(node: Node) -> str:
    place = where_made(node)
    return f", an argument of the function at {place}" if place else ""
