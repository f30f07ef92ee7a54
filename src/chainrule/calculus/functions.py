"""Derivatives of plain Python functions: grad, value_and_grad, vjp, jvp, jacobian, hessian.

Each traces the function at each call. Called with arrays it computes; called inside another traced function, or on a
function that reads traced values of one, it adds nodes to that trace: derivatives nest to any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, NamedTuple

import numpy as np

from chainrule.calculus.reverse import backward
from chainrule.errors import TraceError, TypeMismatch
from chainrule.execute import REFERENCE
from chainrule.graph import (
    Graph,
    Node,
    Structure,
    as_array,
    flatten,
    inline,
    leaf_names,
    make_constant,
    make_graph,
    refuse_leaked_arguments,
    refuse_leaks,
    unflatten,
)
from chainrule.graph.structural import make_input
from chainrule.graph.types import Rows, Type, size_of
from chainrule.ops.regions import scan
from chainrule.ops.shapes import reshape, zeros_of

Function = Callable[..., Any]


def finish(inputs: Sequence[Node], outputs: Sequence[Node], values: Sequence[Any]) -> list[Any]:
    """Compute a graph now, or put it into the enclosing trace where it has to do with one.

    Raises TraceError where it has to do with a trace that is over.
    """
    graph = Graph(tuple(inputs), tuple(outputs))
    refuse_leaks(graph)
    refuse_leaked_arguments(values, "a derivative")
    if graph.free or any(isinstance(v, Node) for v in values):
        nodes = [v if isinstance(v, Node) else make_constant(as_array(v)) for v in values]
        return list(inline(graph, nodes))
    arrays = [np.asarray(as_array(v), i.dtype) for v, i in zip(values, inputs, strict=True)]
    return [v[()] if v.ndim == 0 else np.array(v) for v in REFERENCE.run(graph, arrays)]


class _Traced(NamedTuple):
    """A function traced on its arguments, with the leaves to differentiate by."""

    graph: Graph
    values: list[Any]
    wrt: list[Node]
    by: Structure


def _trace(function: Function, argnums: int | Sequence[int], arguments: tuple[Any, ...], name: str) -> _Traced:
    numbers = [argnums] if isinstance(argnums, int) else list(argnums)
    for number in numbers:
        if not 0 <= number < len(arguments):
            raise TypeMismatch(f"{name}: argnums is {number}, the function was given {len(arguments)} arguments")
    arguments = tuple(_with_floats(a) if i in numbers else a for i, a in enumerate(arguments))
    graph = make_graph(function, *arguments)
    values, structure = flatten(arguments)
    starts = np.cumsum([0, *(child.leaves for child in structure.children)])
    wrt: list[Node] = []
    for number in numbers:
        leaves = graph.inputs[starts[number] : starts[number + 1]]
        for leaf, path in zip(leaves, leaf_names(structure.children[number], f"argument {number}"), strict=True):
            if not leaf.type.is_float:
                raise TypeMismatch(
                    f"{name}: {path} is {leaf.type}; a derivative needs floats: integers are constants. "
                    "Convert it first, for instance x.astype(float)"
                )
            wrt.append(leaf)
    children = tuple(structure.children[i] for i in numbers)
    by = children[0] if isinstance(argnums, int) else Structure("tuple", (), children)
    return _Traced(graph, values, wrt, by)


def _require_function(function: Any, name: str) -> None:
    if not callable(function):
        raise TraceError(f"{name} takes a function and returns one: cr.{name}(f)(x), not cr.{name}({function!r:.40})")


def _with_options(function: Function, options: dict[str, Any]) -> Function:
    """Keyword arguments are passed on as they are: nothing is differentiated by them."""
    return partial(function, **options) if options else function


def _with_floats(argument: Any) -> Any:
    """Python's own integers are weakly typed: as something to differentiate by, 3 means 3.0."""
    leaves, structure = flatten(argument)
    return unflatten(structure, [float(v) if type(v) is int else v for v in leaves])


def _or_zeros(pieces: Sequence[Node | None], wrt: Sequence[Node]) -> list[Node]:
    return [zeros_of(w.type) if p is None else p for p, w in zip(pieces, wrt, strict=True)]


def _one(kind: Type) -> Node:
    return make_constant(np.ones((), "f4" if kind.dtype == "f32" else "f8"))


def value_and_grad(function: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return a function that gives ``(f(x), ∇f(x))``; the gradient has the structure of the argument.

    >>> value, slope = value_and_grad(lambda x: x**2)(3.0)
    >>> float(value), float(slope)
    (9.0, 6.0)
    """

    _require_function(function, "grad")

    @wraps(function)
    def differentiated(*arguments: Any, **options: Any) -> Any:
        graph, values, wrt, by = _trace(_with_options(function, options), argnums, arguments, "grad")
        output = _scalar_output(graph)
        pieces = _or_zeros(backward([output], [_one(output.type)], wrt), wrt)
        value, *gradient = finish(graph.inputs, [output, *pieces], values)
        return value, unflatten(by, gradient)

    return differentiated


def _scalar_output(graph: Graph) -> Node:
    if graph.gives is None or graph.gives.kind != "leaf":
        raise TraceError(f"grad needs one scalar output, this function returns {graph.gives}; use cr.jacobian")
    (output,) = graph.outputs
    if output.shape != ():
        raise TraceError(
            f"grad needs one scalar output, this function returns {output.type}; use cr.jacobian, or make one number "
            "of it, for instance with np.sum"
        )
    if not output.type.is_float:
        raise TraceError(f"grad needs a float output, this function returns {output.type}: integers have no derivative")
    return output


def grad(function: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return the gradient ∇f of a function with one scalar output, as a function of the same arguments.

    ``argnums`` says by which arguments; a tuple of numbers gives a tuple of gradients. Each gradient has the structure
    and the shapes of its argument. Raises TraceError for an output that is not one number.

    >>> import numpy as np
    >>> slope = grad(lambda x: np.sin(0.5 * x**2))(1.3)        # x·cos(x²/2)
    >>> f"{slope:.12f}", f"{1.3 * np.cos(1.3**2 / 2):.12f}"
    ('0.862850667233', '0.862850667233')
    """

    both = value_and_grad(function, argnums)

    @wraps(function)
    def gradient(*arguments: Any, **options: Any) -> Any:
        return both(*arguments, **options)[1]

    return gradient


def vjp(function: Function, *arguments: Any) -> tuple[Any, Function]:
    """Return ``(f(x), pullback)``, where ``pullback(g) = Jᵀ g`` sends a derivative of the output back to the arguments.

    With one argument the pullback returns its derivative, with several a tuple.

    >>> import numpy as np
    >>> value, pullback = vjp(lambda x: x**2, np.array([1.0, 2.0]))
    >>> pullback(np.array([1.0, 10.0])).tolist()
    [2.0, 40.0]
    """
    numbers: int | list[int] = 0 if len(arguments) == 1 else list(range(len(arguments)))
    graph, values, wrt, by = _trace(function, numbers, arguments, "vjp")
    assert graph.gives is not None
    gives = graph.gives

    def pullback(cotangent: Any) -> Any:
        leaves, structure = flatten(cotangent)
        if structure != gives:
            raise TypeMismatch(
                f"the pullback takes {gives}, the shape of the function's output; it was given {structure}"
            )
        seeds = [make_input(o.type, f"g{i}") for i, o in enumerate(graph.outputs)]
        pieces = _or_zeros(backward(graph.outputs, seeds, wrt), wrt)
        leaves = [_fit(v, s, "the pullback") for v, s in zip(leaves, seeds, strict=True)]
        return unflatten(by, finish([*graph.inputs, *seeds], pieces, [*values, *leaves]))

    return unflatten(gives, finish(graph.inputs, graph.outputs, values)), pullback


def _fit(value: Any, like: Node, what: str) -> Any:
    """Check that a direction or cotangent has the type of what it belongs to."""
    if isinstance(value, Node):
        if value.type != like.type:
            raise TypeMismatch(f"{what} takes {like.type}, it was given {value.type}")
        return value
    array = as_array(value, f"what {what} is given")
    if array.shape != like.shape:
        raise TypeMismatch(f"{what} takes {like.type}, it was given an array of shape {array.shape}")
    return array.astype(like.dtype)


def jvp(function: Function, arguments: Sequence[Any], directions: Sequence[Any]) -> tuple[Any, Any]:
    """Return ``(f(x), J v)``: the output, and how it changes when the arguments move along the directions.

    J v is the pullback of the pullback, since Jᵀ g is linear in g.

    >>> value, change = jvp(lambda x: x**3, (2.0,), (1.0,))
    >>> float(value), float(change)
    (8.0, 12.0)
    """
    numbers = list(range(len(arguments)))
    graph, values, wrt, by = _trace(function, numbers, tuple(arguments), "jvp")
    leaves, structure = flatten(tuple(directions))
    if structure != by:
        raise TypeMismatch(f"jvp: the directions are {structure}, the arguments {by}; they must match")
    moves = [make_input(w.type, f"v{i}") for i, w in enumerate(wrt)]
    seeds = [make_input(o.type, f"g{i}") for i, o in enumerate(graph.outputs)]
    pulled = backward(graph.outputs, seeds, wrt)
    live = [(p, m) for p, m in zip(pulled, moves, strict=True) if p is not None]
    changes = _or_zeros(backward([p for p, _ in live], [m for _, m in live], seeds), seeds)
    fitted = [_fit(v, m, "jvp") for v, m in zip(leaves, moves, strict=True)]
    results = finish([*graph.inputs, *moves], [*graph.outputs, *changes], [*values, *fitted])
    count = len(graph.outputs)
    assert graph.gives is not None
    return unflatten(graph.gives, results[:count]), unflatten(graph.gives, results[count:])


def jacobian(function: Function, argnums: int = 0) -> Function:
    """Return the Jacobian ∂yᵢ/∂xⱼ of a function of one array: its rows are outputs, its columns are inputs.

    For an output of shape S and an argument of shape T the result has the shape S + T. So with dz/dy as a column,
    dz/dx = Jᵀ dz/dy. An argument that is a dict, list or tuple gives one Jacobian a leaf, in the same structure.

    >>> import numpy as np
    >>> jacobian(lambda x: np.stack([x[0] * x[1], x[2] ** 2]))(np.array([2.0, 3.0, 4.0]))
    array([[3., 2., 0.],
           [0., 0., 8.]])
    """

    _require_function(function, "jacobian")

    @wraps(function)
    def differentiated(*arguments: Any, **options: Any) -> Any:
        graph, values, wrt, by = _trace(_with_options(function, options), argnums, arguments, "jacobian")
        if graph.gives is None or graph.gives.kind != "leaf":
            raise TraceError(f"jacobian needs one output array, this function returns {graph.gives}")
        (output,) = graph.outputs
        size = size_of(output.shape)
        if isinstance(size, Rows):
            raise TraceError(
                f"jacobian: the output is {output.type}; its number of elements is not known while tracing"
            )
        if not output.type.is_float:
            raise TraceError(f"jacobian needs a float output, this function returns {output.type}")
        rows = _rows_of_jacobian(output, wrt, size)
        shaped = [reshape(row, (*output.shape, *w.shape)) for row, w in zip(rows, wrt, strict=True)]
        return unflatten(by, finish(graph.inputs, shaped, values))

    return differentiated


def _rows_of_jacobian(output: Node, wrt: Sequence[Node], size: int) -> list[Node]:
    """Pull back one unit vector after another: a loop, so that the graph does not grow with the number of outputs."""

    def one_row(carry: None, unit: Node) -> tuple[None, Any]:
        return None, tuple(_or_zeros(backward([output], [reshape(unit, output.shape)], wrt), wrt))

    units = make_constant(np.eye(size, dtype=output.dtype))
    _, rows = scan(one_row, None, units)
    return list(rows)


def hessian(function: Function, argnums: int = 0) -> Function:
    """Return the matrix of second derivatives ∂²f/∂xᵢ∂xⱼ of a function with one scalar output.

    >>> import numpy as np
    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 2.0]))
    array([[4., 2.],
           [2., 0.]])
    """
    return jacobian(grad(function, argnums), argnums)
