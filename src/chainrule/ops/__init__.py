"""The table of primitives: the only place an operation is defined. Importing it puts arithmetic on traced values."""

import copyreg
from typing import Any

from chainrule.graph import Graph, make_graph
from chainrule.graph.store import graph_from_json as _read_graph
from chainrule.ops.algebra import inv, matmul, norm, solve, svd, trace
from chainrule.ops.contractions import matmul as matmul_op
from chainrule.ops.cumulative import cumulative_sum, recurrence
from chainrule.ops.einstein import einsum
from chainrule.ops.exponentials import exp2, log2, log10, logaddexp
from chainrule.ops.functions import all as all_
from chainrule.ops.functions import any as any_
from chainrule.ops.functions import (
    argmax,
    argmin,
    clip,
    cumprod,
    cumsum,
    log_softmax,
    logsumexp,
    mean,
    one_hot,
    prod,
    softmax,
    std,
    var,
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
    ceil,
    cos,
    divide,
    erf,
    exp,
    expm1,
    floor,
    floor_divide,
    log,
    log1p,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    reciprocal,
    relu,
    remainder,
    sigmoid,
    sign,
    sin,
    softplus,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
)  # fmt: skip
from chainrule.ops.mathematics import rint as round_
from chainrule.ops.overload import install as _install
from chainrule.ops.random import fold, key, normal, random_bits, stream, uniform
from chainrule.ops.record import NOT_DIFFERENTIABLE, TABLE, ZERO, Op, elementwise, register
from chainrule.ops.reductions import extent
from chainrule.ops.regions import iterate, scan
from chainrule.ops.selection import argsort, sort, take, take_along_axis
from chainrule.ops.shapes import (
    broadcast_to,
    concatenate,
    expand_dims,
    flip,
    moveaxis,
    pad,
    reshape,
    squeeze,
    stack,
    swapaxes,
    transpose,
    zeros_of,
)
from chainrule.ops.trigonometry import (
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctan2,
    arctanh,
    cosh,
    hypot,
    sinh,
)

_install()


def graph_from_json(document: Any) -> Graph:
    """Read a graph that ``Graph.to_json`` wrote; raise GraphFormatError for a foreign, newer or damaged one."""
    return _read_graph(document, TABLE)


def _as_document(graph: Graph) -> tuple[Any, ...]:
    """What pickle makes of a graph: its document, which knows operations by name, and is not as deep as a graph is."""
    return graph_from_json, (graph.to_json(),)


copyreg.pickle(Graph, _as_document)


__all__ = [
    "NOT_DIFFERENTIABLE",
    "TABLE",
    "ZERO",
    "Op",
    "absolute",
    "add",
    "all_",
    "any_",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "argmax",
    "argmin",
    "argsort",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "broadcast_to",
    "cast",
    "ceil",
    "checked_index",
    "cholesky",
    "clip",
    "concatenate",
    "cos",
    "cosh",
    "cumprod",
    "cumsum",
    "cumulative_sum",
    "divide",
    "einsum",
    "elementwise",
    "equal",
    "erf",
    "exp",
    "exp2",
    "expand_dims",
    "expm1",
    "extent",
    "flip",
    "floor",
    "floor_divide",
    "fold",
    "graph_from_json",
    "greater",
    "greater_equal",
    "hypot",
    "inv",
    "isfinite",
    "iterate",
    "key",
    "left_shift",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_softmax",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logsumexp",
    "make_graph",
    "matmul",
    "matmul_op",
    "max_",
    "maximum",
    "mean",
    "min_",
    "minimum",
    "moveaxis",
    "multiply",
    "named",
    "negative",
    "norm",
    "normal",
    "not_equal",
    "one_hot",
    "pad",
    "power",
    "prod",
    "random_bits",
    "reciprocal",
    "recurrence",
    "register",
    "relu",
    "remainder",
    "reshape",
    "right_shift",
    "round_",
    "scan",
    "scatter_add",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "softmax",
    "softplus",
    "solve",
    "solve_triangular",
    "sort",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "stop_gradient",
    "stream",
    "subtract",
    "sum_",
    "svd",
    "swapaxes",
    "take",
    "take_along_axis",
    "tan",
    "tanh",
    "trace",
    "transpose",
    "uniform",
    "var",
    "where",
    "zeros_of",
]  # fmt: skip
