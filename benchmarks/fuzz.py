"""Fuzz the native executor: random graphs, every node compared with the reference operation on native's own operands.

Comparing node by node finds the operation that is wrong; comparing whole chains would only measure how errors grow.

    python -m benchmarks.fuzz --graphs 100000 [--seed 0]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.calculus import backward
from chainrule.errors import ChainruleError
from chainrule.execute import get_executor
from chainrule.execute.reference import resolve_attributes
from chainrule.graph import Graph, Node, Rows, Type, check_graph, make_constant, make_input
from chainrule.graph.structural import RESULT
from chainrule.graph.types import DTYPES, resolve_shape
from chainrule.ops.build import new_node
from chainrule.ops.record import TABLE

Rng = np.random.Generator
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-310, -1e-40, 1e38, -1e38, 1.0, -1.0, 0.5]
DIMS = (0, 1, 2, 3, 5, 7, 8, 9, 16, 17, 33)


class Maker:
    """Makes one random graph: a pool of nodes, to which operations on nodes of the pool are added."""

    def __init__(self, rng: Rng) -> None:
        self.rng = rng
        self.dtype = str(rng.choice(["f32", "f64"]))
        self.rows = int(rng.choice([0, 1, 2, 5, 8, 13, 32, 70]))
        self.inputs: list[Node] = []
        self.pool: list[Node] = []
        for _ in range(int(rng.integers(1, 4))):
            self.add_input(Type(self.dtype, self.shape()))

    def shape(self, rank: int | None = None) -> tuple[Any, ...]:
        rank = int(self.rng.integers(0, 4)) if rank is None else rank
        dims: list[Any] = [int(self.rng.choice(DIMS)) for _ in range(rank)]
        if dims and self.rng.random() < 0.5:
            dims[int(self.rng.integers(rank)) if self.rng.random() < 0.2 else 0] = Rows(1)
        return tuple(dims)

    def add_input(self, kind: Type) -> Node:
        node = make_input(kind, f"x{len(self.inputs)}")
        self.inputs.append(node)
        self.pool.append(node)
        return node

    def pick(self, test: Callable[[Node], bool] = lambda n: True) -> Node:
        found = [n for n in self.pool if test(n)]
        if not found or self.rng.random() < 0.1:
            made = [self.add_input(Type(self.dtype, self.shape())) for _ in range(2)]
            found = [n for n in made if test(n)]
        return found[int(self.rng.integers(len(found)))] if found else self.add_input(Type(self.dtype, self.shape()))

    def floating(self, test: Callable[[Node], bool] = lambda n: True) -> Node:
        return self.pick(lambda n: n.type.is_float and test(n))

    def like(self, node: Node) -> Node:
        """A float node that has, or is broadcast to, the shape of another."""
        other = self.floating(lambda n: n.shape == node.shape or n.shape == () or n.shape == node.shape[-1:])
        if self.rng.random() < 0.2:
            number = float(self.rng.choice(SPECIAL)) if self.rng.random() < 0.3 else float(self.rng.normal())
            other = make_constant(np.asarray(number, DTYPES[self.dtype]))
        if other.shape not in (node.shape, (), node.shape[-1:]):
            other = make_constant(np.asarray(self.rng.normal(), DTYPES[self.dtype]))
        return self.to_shape(other, node.shape)

    def to_shape(self, node: Node, shape: tuple[Any, ...]) -> Node:
        return node if node.shape == shape else new_node(TABLE["broadcast"], (node,), {"shape": shape})

    def grow(self) -> None:
        """Add one random operation; one that does not fit the pool adds nothing."""
        moves = [
            self.unary,
            self.binary,
            self.compare,
            self.view,
            self.reduce,
            self.product,
            self.index,
            self.bits,
            self.region,
        ]
        weights = np.array([6, 6, 2, 4, 4, 3, 1, 1, 0.4])
        move = moves[int(self.rng.choice(len(moves), p=weights / weights.sum()))]
        try:
            node = move()
        except ChainruleError:
            return
        if node is not None:
            self.pool.append(node)

    def unary(self) -> Node:
        names = [
            op.name for op in TABLE.values()
            if op.kind == "elementwise" and len(op.operands) == 1 and op.accepts == "float" and not op.attributes
        ]  # fmt: skip
        return new_node(TABLE[str(self.rng.choice(names))], (self.floating(),), {})

    def binary(self) -> Node:
        names = [
            op.name for op in TABLE.values()
            if op.kind == "elementwise" and len(op.operands) == 2 and op.accepts in ("float", "number")
        ]  # fmt: skip
        a = self.floating()
        pair = (a, self.like(a)) if self.rng.random() < 0.5 else (self.like(a), a)
        return new_node(TABLE[str(self.rng.choice(names))], pair, {})

    def compare(self) -> Node:
        a = self.floating()
        names = ["less", "less_equal", "greater", "greater_equal", "equal", "not_equal"]
        condition = new_node(TABLE[str(self.rng.choice(names))], (a, self.like(a)), {})
        if self.rng.random() < 0.3:
            finite = new_node(TABLE["isfinite"], (a,), {})
            logic = TABLE[str(self.rng.choice(["logical_and", "logical_or"]))]
            condition = new_node(logic, (condition, new_node(TABLE["logical_not"], (finite,), {})), {})
        match int(self.rng.integers(3)):
            case 0:
                return new_node(TABLE["where"], (condition, self.like(a), a), {})
            case 1:
                return new_node(TABLE["cast"], (condition,), {"dtype": self.dtype})
            case _:
                rank = condition.ndim
                axes = tuple(i for i in range(rank) if self.rng.random() < 0.7)
                return new_node(TABLE["all"], (condition,), {"axes": axes})

    def view(self) -> Any:
        x = self.floating()
        match int(self.rng.integers(8)):
            case 0:
                return ops.transpose(x, tuple(int(a) for a in self.rng.permutation(x.ndim)))
            case 1:
                return ops.reshape(x, -1)
            case 2:
                added = self.shape(1)
                if any(isinstance(d, Rows) for d in x.shape):  # n·n elements are not for the native executor
                    added = (int(self.rng.choice(DIMS)),)
                return ops.broadcast_to(x, (*added, *x.shape))
            case 3:
                return x[tuple(slice(None) if isinstance(d, Rows) else self.piece(d) for d in x.shape)]
            case 4:
                amounts = [
                    tuple(
                        0 if isinstance(d, Rows) else int(v)
                        for d, v in zip(x.shape, self.rng.integers(0, 3, x.ndim), strict=True)
                    )
                    for _ in range(3)
                ]
                return new_node(TABLE["pad"], (x,), dict(zip(("before", "after", "between"), amounts, strict=True)))
            case 5:
                axis = int(self.rng.integers(max(x.ndim, 1)))
                return ops.concatenate([x, self.like(x)], axis)
            case 6:
                return ops.expand_dims(x, int(self.rng.integers(x.ndim + 1)))
            case _:
                return new_node(TABLE["extent"], (x,), {"axis": int(self.rng.integers(max(x.ndim, 1)))})

    def piece(self, dim: int) -> slice:
        begin, end = sorted(int(v) for v in self.rng.integers(0, dim + 1, 2))
        return slice(begin, end, int(self.rng.integers(1, 3)))

    def reduce(self) -> Node:
        x = self.floating(lambda n: n.ndim > 0)
        name = str(self.rng.choice(["sum", "sum", "max", "min", "argmax"]))
        empty = any(d == 0 or (isinstance(d, Rows) and self.rows == 0) for d in x.shape)
        if empty:
            name = "sum"
        if name == "argmax":
            return new_node(TABLE[name], (x,), {"axes": (int(self.rng.integers(max(x.ndim, 1))),)})
        axes = tuple(i for i in range(x.ndim) if self.rng.random() < 0.6)
        return new_node(TABLE[name], (x,), {"axes": axes})

    def product(self) -> Any:
        a = self.floating(lambda n: n.ndim == 2)
        b = self.floating(lambda n: n.ndim == 2 and n.shape[0] == a.shape[-1] if a.ndim == 2 else False)
        if a.ndim != 2:
            return None
        if b.ndim != 2 or b.shape[0] != a.shape[1]:
            b = self.add_input(Type(self.dtype, (a.shape[1], int(self.rng.choice(DIMS)))))
        if isinstance(a.shape[0], Rows) and isinstance(b.shape[1], Rows):
            return None  # n·n elements are not for the native executor
        return ops.matmul(a, b)

    def index(self) -> Any:
        x = self.floating(lambda n: n.ndim > 0 and isinstance(n.shape[0], int) and n.shape[0] > 0)
        if not x.shape or not isinstance(x.shape[0], int) or x.shape[0] == 0:
            return None
        count = int(self.rng.integers(0, 6))
        places = make_constant(self.rng.integers(0, x.shape[0], count))
        taken = ops.take(x, places)
        return taken if self.rng.random() < 0.5 else ops.scatter_add(places, taken, size=x.shape[0])

    def bits(self) -> Any:
        key = ops.fold(make_constant(ops.key(int(self.rng.integers(2**31)))), np.uint32(int(self.rng.integers(2**31))))
        x = self.floating(lambda n: all(isinstance(d, int) for d in n.shape[1:]))
        if not all(isinstance(d, int) for d in x.shape[1:]):
            return None
        return ops.uniform(key, x.shape, self.dtype)

    def region(self) -> Any:
        x = self.floating(lambda n: n.ndim > 0 and isinstance(n.shape[0], int))
        if not x.shape or not isinstance(x.shape[0], int) or x.shape[0] == 0:
            return None
        start = ops.zeros_of(x.type.with_shape(x.shape[1:]))
        outer = np.tanh(self.like(start))  # at most 1, so that rounding does not grow from trip to trip
        if self.rng.random() < 0.5:
            last, steps = ops.scan(
                lambda c, v: (np.tanh(c + v) * outer, c), start, x, reverse=bool(self.rng.random() < 0.5)
            )
            return last if self.rng.random() < 0.5 else steps
        result, _ = ops.iterate(start, lambda c: 0.5 * c + outer, lambda c: np.all(np.abs(c) < -1.0), at_most=3)
        return result

    def graph(self) -> Graph:
        """A graph whose outputs are all nodes of the pool, or (with its gradient) only the last ones."""
        for _ in range(int(self.rng.integers(2, 40))):
            self.grow()
        nodes = [n for n in self.pool if n not in set(self.inputs)]
        outputs = nodes or list(self.inputs)
        if self.rng.random() < 0.5:
            outputs = self.with_gradient(outputs)
        return check_graph(Graph(tuple(self.inputs), tuple(dict.fromkeys(outputs))))

    def with_gradient(self, outputs: list[Node]) -> list[Node]:
        sources = [n for n in outputs if n.type.is_float][-2:]
        try:
            seeds: list[Node | None] = [ops.broadcast_to(make_constant(n.dtype.type(1)), n.shape) for n in sources]
            pulled = backward(sources, seeds, self.inputs)
        except ChainruleError:
            return outputs
        return [*outputs, *(p for p in pulled if p is not None)]


def all_nodes(graph: Graph) -> Graph:
    """The same graph with every node of one result as an output."""
    taken = set(graph.inputs)
    nodes = [n for n in graph.nodes if isinstance(n.type, Type) and n not in taken]
    return Graph(graph.inputs, tuple(nodes) or graph.outputs)


def values_for(graph: Graph, rng: Rng, rows: int) -> list[Any]:
    arrays = []
    for node in graph.inputs:
        shape = resolve_shape(node.shape, rows)
        array = (rng.normal(size=shape) * 10.0 ** rng.integers(-2, 2)).astype(node.dtype)
        if rng.random() < 0.2 and array.size:
            with np.errstate(over="ignore"):
                array.flat[rng.integers(0, array.size, 3)] = np.asarray(rng.choice(SPECIAL, 3)).astype(node.dtype)
        arrays.append(array)
    return arrays


# NumPy's own float32 functions are off by up to 4 ulp (its documentation says so); native's bounds are tested apart.
ULPS = {
    "exp": 4,
    "expm1": 4,
    "log": 6,
    "log1p": 6,
    "tanh": 6,
    "sin": 4,
    "cos": 4,
    "sigmoid": 5,
    "softplus": 6,
    "erf": 4,
    "power": 6,
}
EXACT_KINDS = ("view", "gather", "source", "random")


def allowed(node: Node, operands: list[Any], expected: Any) -> Any:
    """How far native may be from the reference on the same operands: a few ulp, or the rounding of a sum."""
    if expected.dtype.kind != "f":
        return 0
    eps = np.finfo(expected.dtype).eps
    tiny = np.finfo(expected.dtype).smallest_subnormal
    name = node.op.name
    with np.errstate(all="ignore"):
        if name == "matmul":
            return 2 * (operands[0].shape[1] + 4) * eps * (np.abs(operands[0]) @ np.abs(operands[1])) + 8 * tiny
        if name == "sum":
            count = max(int(operands[0].size // max(expected.size, 1)), 1)
            return 2 * (count + 4) * eps * np.sum(np.abs(operands[0]), axis=node.attributes["axes"]) + 8 * tiny
        if node.op.kind == "region":
            return 64 * eps * (np.abs(expected) + 1)
        return ULPS.get(name, 0) * np.spacing(np.abs(expected))


def differences(graph: Graph, arrays: list[Any], rows: int, native: Any) -> str:
    """Run a graph with every node as an output and compare each with the reference operation on native's operands."""
    whole = all_nodes(graph)
    results = native.run(whole, arrays, rows)
    values = dict(zip(whole.inputs, arrays, strict=True)) | dict(zip(whole.outputs, results, strict=True))
    reference = get_executor("reference")
    for node in whole.outputs:
        source = node.operands[0] if node.op is RESULT else node
        operands = [values[o] for o in source.operands]
        with np.errstate(all="ignore"):
            attributes = resolve_attributes(source.attributes, rows)
            if source.op.kind == "region":
                run = lambda body, inner: reference.run(body, inner, rows)  # noqa: E731
                expected = source.op.evaluate(run, *operands, **attributes)
            else:
                expected = source.op.evaluate(*operands, **attributes)
            expected = np.asarray(expected[node.attributes["index"]] if node.op is RESULT else expected)
        got = values[node]
        if got.shape != expected.shape or got.dtype != expected.dtype:
            return f"{source.op.name}: {got.dtype}{got.shape} instead of {expected.dtype}{expected.shape}"
        if expected.dtype.kind != "f":
            if not np.array_equal(got, expected):
                return f"{source.op.name}: other {expected.dtype} values"
            continue
        bound = np.broadcast_to(allowed(source, operands, expected), expected.shape)
        with np.errstate(all="ignore"):
            same = (got == expected) | (np.isnan(got) & np.isnan(expected)) | (np.abs(got - expected) <= bound)
            # where the true sum overflows or cancels infinities, the order of summation decides between Inf and NaN
            same |= ~np.isfinite(bound) & ~np.isfinite(expected) & ~np.isfinite(got)
            same |= ~np.isfinite(bound) & np.isin(source.op.name, ("sum", "matmul"))
        if not np.all(same):
            place = tuple(np.argwhere(~same)[0])
            shown = [o[place] if o.shape == got.shape else f"{o.dtype}{o.shape}" for o in operands]
            return f"{source.op.name}{place}: {got[place]!r} instead of {expected[place]!r} for {shown}"
    return fused_differences(graph, arrays, rows, native, values)


def fused_differences(graph: Graph, arrays: list[Any], rows: int, native: Any, values: dict[Node, Any]) -> str:
    """Run only the last nodes, so that others are fused away: shapes and NaN must be those computed one by one."""
    outputs = graph.outputs[-3:]
    results = native.run(Graph(graph.inputs, outputs), arrays, rows)
    for node, got in zip(outputs, results, strict=True):
        one = np.asarray(values[node])
        if one.dtype.kind != "f":
            continue
        if got.shape != one.shape or np.any(np.isnan(got) != np.isnan(one)):
            if got.shape != one.shape:
                return f"fused {node.op.name}: shape {got.shape} instead of {one.shape}"
            # a NaN that the order of a sum decides is not held against fusion
            if not any(n.op.name in ("sum", "matmul") for n in graph.nodes):
                return f"fused {node.op.name}: NaN in other places"
    return ""


def one(seed: int, native: Any) -> str:
    """Make one graph from a seed and compare; returns what differs, or ''."""
    rng = np.random.default_rng(seed)
    maker = Maker(rng)
    graph = maker.graph()
    arrays = values_for(graph, rng, maker.rows)
    return differences(graph, arrays, maker.rows, native)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    native = get_executor("native")
    failed = 0
    for seed in range(arguments.seed, arguments.seed + arguments.graphs):
        found = one(seed, native)
        if found:
            failed += 1
            print(f"seed {seed}: {found}")
    print(f"{arguments.graphs} graphs, {failed} with a difference")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
