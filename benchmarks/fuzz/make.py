"""Makes random graphs, and values for them: random operations are added to a pool, on nodes of the pool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.calculus import backward
from chainrule.errors import ChainruleError
from chainrule.graph import Graph, Node, Rows, Type, check_graph, make_constant, make_input
from chainrule.graph.types import DTYPES, resolve_shape
from chainrule.ops.record import TABLE

from .moves import MOVES

Array = np.ndarray[Any, Any]
FLOATS = ("f32", "f64")
SPECIAL = (0.0, -0.0, np.inf, -np.inf, np.nan, 1e-310, -1e-40, 1e38, -3e38, 1e300, 1.0, -1.0, 0.5, 2.0)
DIMS = (0, 1, 2, 3, 5, 7, 8, 9, 16, 17, 33)
DIM_WEIGHTS = (1, 3, 4, 4, 4, 3, 3, 2, 2, 2, 1)
ROWS = (0, 1, 2, 5, 8, 13, 32, 70, 257, 1031)
ROW_WEIGHTS = (3, 5, 5, 8, 8, 8, 5, 3, 0.7, 0.3)
MOST_NODES = 60
MOST_ELEMENTS = 30_000
"""The size of a value that is drawn; what is made of values may be larger."""
LARGEST = 90_000


@dataclass
class Case:
    """A graph, values for its inputs, and the number of rows; ``limits`` are what indices must stay below."""

    graph: Graph
    arrays: list[Array]
    rows: int
    note: str = ""
    limits: dict[Node, int] = field(default_factory=dict)


class Maker:
    """Makes one random graph. A maker of a loop's body has its own pool; new inputs are those of the outermost."""

    def __init__(self, rng: np.random.Generator, parent: Maker | None = None, pool: Sequence[Node] = ()) -> None:
        self.rng = rng
        self.parent = parent
        self.dtype: str = parent.dtype if parent else str(rng.choice(FLOATS))
        self.rows: int = parent.rows if parent else int(rng.choice(ROWS, p=np.array(ROW_WEIGHTS) / sum(ROW_WEIGHTS)))
        self.inputs: list[Node] = parent.inputs if parent else []
        self.limits: dict[Node, int] = parent.limits if parent else {}
        self.depth: int = parent.depth + 1 if parent else 0
        self.pool: list[Node] = list(pool)
        self.made: list[Node] = []

    # drawing --------------------------------------------------------------------------------------------------------

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def one_of(self, things: Sequence[Any]) -> Any:
        return things[int(self.rng.integers(len(things)))]

    def below(self, number: int) -> int:
        return int(self.rng.integers(max(number, 1)))

    def dim(self) -> int:
        return int(self.rng.choice(DIMS, p=np.array(DIM_WEIGHTS) / sum(DIM_WEIGHTS)))

    def shape(self, rank: int | None = None) -> tuple[Any, ...]:
        rank = int(self.rng.choice(5, p=[0.1, 0.25, 0.4, 0.2, 0.05])) if rank is None else rank
        dims: list[Any] = [self.dim() for _ in range(rank)]
        if dims and self.chance(0.5):
            dims[self.below(rank) if self.chance(0.3) else 0] = Rows(1)
        for i in range(rank):
            if self.size(dims) > MOST_ELEMENTS and isinstance(dims[i], int):
                dims[i] = 1
        return tuple(dims)

    def size(self, shape: Sequence[Any]) -> int:
        """Return how many elements a shape has here."""
        return int(np.prod(resolve_shape(tuple(shape), self.rows), dtype=np.int64))

    def is_empty(self, dim: Any) -> bool:
        return dim == 0 if isinstance(dim, int) else self.rows == 0

    # nodes ----------------------------------------------------------------------------------------------------------

    def new(self, name: str, operands: Sequence[Node], /, **attributes: Any) -> Node:
        """Return a new node; one that cannot be, or is too large, is a ChainruleError."""
        op = TABLE[name]
        kind = op.infer(tuple(operands), attributes)
        if isinstance(kind, Type) and self.size(kind.shape) > LARGEST:
            raise ChainruleError("too large")
        return Node(op, tuple(operands), attributes, kind)

    def add_input(self, kind: Type, limit: int = 0) -> Node:
        """Add an input of the graph; integers that are indices are below a limit."""
        if self.size(kind.shape) > LARGEST:
            raise ChainruleError("too large")
        node = make_input(kind, f"x{len(self.inputs)}")
        self.inputs.append(node)
        self.pool.append(node)
        if limit:
            self.limits[node] = limit
        return node

    def literal(self, number: Any, dtype: str) -> Node:
        with np.errstate(over="ignore"):
            return make_constant(np.asarray(number).astype(DTYPES[dtype]))

    def pick(self, test: Callable[[Node], bool], kind: Callable[[], Type]) -> Node:
        """Return a node of the pool that passes a test, the later ones more often; or a new input."""
        found = [n for n in self.pool if test(n)]
        if not found or (self.chance(0.06) and len(self.inputs) < 8):
            return self.add_input(kind())
        return found[-1 - int(len(found) * self.rng.random() ** 2)]

    def floating(self, test: Callable[[Node], bool] = lambda n: True, rank: int | None = None) -> Node:
        return self.pick(
            lambda n: n.type.dtype == self.dtype and (rank is None or n.ndim == rank) and test(n),
            lambda: Type(self.dtype, self.shape(rank)),
        )

    def anything(self, *dtypes: str) -> Node:
        """Return a node of one of some dtypes (of any, where none is said); rarely one of the other precision."""
        wanted = dtypes or (self.dtype, self.dtype, "i32", "i64", "u32", "u64", "bool")
        dtype = str(self.one_of(wanted))
        return self.pick(lambda n: n.type.dtype == dtype, lambda: Type(dtype, self.shape()))

    def like(self, node: Node) -> Node:
        """Return another node of a node's dtype that has its shape or is broadcast to it."""
        dtype, shape = node.type.dtype, node.shape
        fits = [
            n for n in self.pool
            if n.type.dtype == dtype and n.ndim <= len(shape)
            and all(a in (1, b) for a, b in zip(n.shape, shape[len(shape) - n.ndim:], strict=True))
        ]  # fmt: skip
        same = [n for n in fits if n.shape == shape]
        draw = self.rng.random()
        if draw < 0.15 or not fits:
            return self.to_shape(self.literal(self.number(dtype), dtype), shape)
        if draw < 0.2 and len(self.inputs) < 8:
            return self.add_input(Type(dtype, shape))
        return self.to_shape(self.one_of(same if same and draw < 0.7 else fits), shape)

    def number(self, dtype: str) -> Any:
        if dtype == "bool":
            return self.chance(0.5)
        if dtype not in FLOATS:
            return int(self.rng.integers(0, 40)) if dtype[0] == "u" else int(self.rng.integers(-20, 40))
        if self.chance(0.3):
            return self.one_of(SPECIAL)
        return self.one_of((-2.0, -1.0, 1.0, 2.0, 3.0, 0.5)) if self.chance(0.3) else float(self.rng.normal())

    def to_shape(self, node: Node, shape: tuple[Any, ...]) -> Node:
        return node if node.shape == shape else self.new("broadcast", (node,), shape=shape)

    # growing --------------------------------------------------------------------------------------------------------

    def grow(self) -> None:
        """Add one random operation; one that does not fit the pool adds nothing."""
        moves, weights = (MOVES, _WEIGHTS) if self.depth < 2 else (_INNERMOST, _INNERMOST_WEIGHTS)
        move = moves[int(np.searchsorted(weights, self.rng.random() * weights[-1], side="right"))][0]
        try:
            found = move(self)
        except ChainruleError:
            return
        for node in () if found is None else found if isinstance(found, tuple) else (found,):
            self.pool.append(node)
            self.made.append(node)

    def graph(self) -> Graph:
        """Return a graph of 2 to 60 nodes: small ones most often, with gradients in half of them."""
        for _ in range(int(self.rng.integers(1, 4))):
            self.add_input(Type(self.dtype if self.chance(0.8) else self.one_of(tuple(DTYPES)), self.shape()))
        gradient = self.chance(0.5)
        most = MOST_NODES // 3 if gradient else MOST_NODES
        wanted = 2 + int((most - 1) * self.rng.random() ** 7)
        for _ in range(3 * wanted):
            if len(self.made) >= wanted:
                break
            self.grow()
        outputs = self.outputs()
        if gradient:
            outputs += self.gradients(outputs)
        return check_graph(Graph(tuple(self.inputs), tuple(dict.fromkeys(outputs))))

    def outputs(self) -> list[Node]:
        """Return what nothing else reads, and some of what lies between."""
        read = {o for n in self.made for o in n.operands}
        ends = [
            n for n in self.made if n not in read or self.chance(0.5 if n.op.name in ("sum", "max", "min") else 0.15)
        ]
        return ends or list(self.inputs)

    def gradients(self, outputs: Sequence[Node]) -> list[Node]:
        sources = [n for n in outputs if n.type.is_float][-2:]
        seeds: list[Node | None] = [
            make_constant(np.ones((1,) * n.ndim, n.dtype)) if n.ndim else make_constant(n.dtype.type(1))
            for n in sources
        ]
        seeds = [self.to_shape(s, n.shape) for s, n in zip(seeds, sources, strict=True) if s is not None]
        wanted = [i for i in self.inputs if i.type.is_float]
        try:
            return [p for p in backward(sources, seeds, wanted) if p is not None]
        except ChainruleError:
            return []


_WEIGHTS = np.cumsum([w for _, w in MOVES])
_INNERMOST = [m for m in MOVES if m[0].__name__ != "region"]
_INNERMOST_WEIGHTS = np.cumsum([w for _, w in _INNERMOST])


def make_case(seed: int) -> Case:
    """Return the graph of a seed, with values."""
    rng = np.random.default_rng(seed)
    maker = Maker(rng)
    graph = maker.graph()
    return Case(graph, values_for(graph, rng, maker.rows, maker.limits), maker.rows, limits=dict(maker.limits))


def values_for(graph: Graph, rng: np.random.Generator, rows: int, limits: dict[Node, int]) -> list[Array]:
    """Return values for the inputs of a graph: small and large numbers, ties, specials; indices below their limits."""
    return [value_for(node, rng, rows, limits.get(node, 0)) for node in graph.inputs]


def value_for(node: Node, rng: np.random.Generator, rows: int, limit: int = 0) -> Array:
    shape, dtype = resolve_shape(node.shape, rows), node.dtype
    if limit:
        return rng.integers(0, limit, shape).astype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < rng.choice([0.5, 0.9, 1.0])
    if dtype.kind in "iu":
        wide = np.iinfo(dtype)
        if rng.random() < 0.2:
            return rng.integers(wide.min, wide.max, shape, dtype, endpoint=True)
        return rng.integers(0 if dtype.kind == "u" else -20, 40, shape).astype(dtype)
    draw = rng.random()
    if draw < 0.15:  # ties
        array = rng.integers(-2, 3, shape).astype(dtype)
    elif draw < 0.25:  # numbers of every size
        with np.errstate(over="ignore", under="ignore"):
            array = (rng.normal(size=shape) * 10.0 ** rng.uniform(-45, 45, shape)).astype(dtype)
    else:
        array = (rng.normal(size=shape) * 10.0 ** rng.integers(-2, 2)).astype(dtype)
    if rng.random() < 0.2 and array.size:
        with np.errstate(over="ignore"):
            array.flat[rng.integers(0, array.size, 3)] = rng.choice(SPECIAL, 3).astype(dtype)
    return np.asarray(array)
