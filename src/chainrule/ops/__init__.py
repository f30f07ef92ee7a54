"""The table of primitives: the only place an operation is defined. Importing it puts arithmetic on traced values."""

import copyreg
from typing import Any

from chainrule.graph import Graph, make_graph
from chainrule.graph.store import graph_from_json as _read_graph
from chainrule.ops.contractions import matmul as matmul_op
from chainrule.ops.functions import all as all_
from chainrule.ops.functions import (
    argmax,
    broadcast_to,
    clip,
    concatenate,
    expand_dims,
    log_softmax,
    logsumexp,
    matmul,
    mean,
    one_hot,
    reshape,
    softmax,
    squeeze,
    stack,
    take,
    transpose,
    var,
    zeros_of,
)  # fmt: skip
from chainrule.ops.functions import max as max_
from chainrule.ops.functions import min as min_
from chainrule.ops.functions import sum as sum_
from chainrule.ops.indexing import checked_index, scatter_add
from chainrule.ops.library import cholesky, solve_triangular
from chainrule.ops.logic import (
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    cast,
    equal,
    greater,
    greater_equal,
    isfinite,
    left_shift,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    named,
    not_equal,
    right_shift,
    stop_gradient,
    where,
)  # fmt: skip
from chainrule.ops.mathematics import (
    absolute,
    add,
    cos,
    divide,
    erf,
    exp,
    expm1,
    floor,
    log,
    log1p,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    relu,
    sigmoid,
    sign,
    sin,
    softplus,
    sqrt,
    square,
    subtract,
    tanh,
)  # fmt: skip
from chainrule.ops.overload import install as _install
from chainrule.ops.random import fold, key, normal, random_bits, stream, uniform
from chainrule.ops.record import NOT_DIFFERENTIABLE, TABLE, ZERO, Op, elementwise, register
from chainrule.ops.reductions import extent
from chainrule.ops.regions import iterate, scan

_install()


def graph_from_json(document: Any) -> Graph:
    """Read a graph that ``Graph.to_json`` wrote; raise GraphFormatError for a foreign, newer or damaged one."""
    return _read_graph(document, TABLE)


def _as_document(graph: Graph) -> tuple[Any, ...]:
    """What pickle makes of a graph: its document, which knows operations by name, and is not as deep as a graph is."""
    return graph_from_json, (graph.to_json(),)


copyreg.pickle(Graph, _as_document)


__all__ = [
    "NOT_DIFFERENTIABLE", "TABLE", "ZERO", "Op", "absolute", "add", "all_", "argmax", "bitwise_and", "bitwise_or",
    "bitwise_xor", "broadcast_to", "cast", "checked_index", "cholesky", "clip", "concatenate", "cos", "divide",
    "elementwise", "equal", "erf", "exp", "expand_dims", "expm1", "extent", "floor", "fold", "graph_from_json",
    "greater", "greater_equal", "isfinite", "iterate", "key", "left_shift", "less", "less_equal", "log", "log1p",
    "log_softmax", "logical_and", "logical_not", "logical_or", "logsumexp", "make_graph", "matmul", "matmul_op",
    "max_", "maximum", "mean", "min_", "minimum", "multiply", "named", "negative", "normal", "not_equal",
    "one_hot", "power", "random_bits", "register", "relu", "reshape", "right_shift", "scan", "scatter_add",
    "sigmoid", "sign", "sin", "softmax", "softplus", "solve_triangular", "sqrt", "square", "squeeze", "stack",
    "stop_gradient", "stream", "subtract", "sum_", "take", "tanh", "transpose", "uniform", "var", "where",
    "zeros_of",
]  # fmt: skip
