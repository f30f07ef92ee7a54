"""The schedule: which nodes form one loop nest, and in which order the nests run.

Elementwise nodes of one shape that need nothing in between are computed in one pass over their elements, in registers;
so is ``all`` over every element of such a node, whose order does not matter. A reduction computes on its way what only
it reads; several along the same axes that read the same are one pass. Everything else (products, gathers, loops) is a
stage of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chainrule.execute.native.cost import instructions
from chainrule.execute.native.order import layouts_read, order_of
from chainrule.graph import Graph, Node
from chainrule.graph.structural import STRUCTURAL

ALIASES = ("reshape", "broadcast", "transpose", "slice")
REDUCTIONS = ("sum", "prod", "max", "min", "all")
SHORT = 2500
"""A nest of about so many instructions is short enough to be compiled at once. A longer one is cut, to the same bits:
LLVM's time grows with the square of a function's length."""
LONGEST = 12_000
"""Up to so many, a nest stays whole if its pieces would have to hand each other many values: those go through memory,
and a long array takes up to a third longer than with registers that are put by."""
READ = 10
"""What is read from memory costs about so many: its address is found, its stride, and its elements are loaded."""


def is_elementwise(node: Node) -> bool:
    return node.op.kind == "elementwise" or node.op.name == "random_bits"


def is_flag(node: Node) -> bool:
    """Is this ``all`` over every element of a computed value? A nest can find that on its way."""
    return (
        node.op.name == "all"
        and node.shape == ()
        and is_elementwise(node.operands[0])
        and 0 not in node.operands[0].shape
    )


def joins(operand: Node, node: Node, place: int) -> bool:
    """Can a node read this operand in a register, element by element? (The key of random bits is read as a whole.)"""
    if is_flag(node):
        return True
    key = node.op.name == "random_bits" and place == 0
    return is_elementwise(node) and is_elementwise(operand) and operand.shape == node.shape and not key


def is_leaf(node: Node) -> bool:
    return node.op.name in ("input", "constant", "captured")


def is_alias(node: Node) -> bool:
    return node.op.name in (*ALIASES, "result")


@dataclass
class Stage:
    """One step of the schedule: a fused loop nest over elementwise nodes, or one other node."""

    nodes: list[Node]
    fused: bool
    stored: set[Node] = field(default_factory=set)


class Groups:
    """Nodes that belong together, told pair by pair: each group has one of them as its root."""

    def __init__(self) -> None:
        self._next: dict[Node, Node] = {}

    def root(self, node: Node) -> Node:
        root = node
        while self._next.setdefault(root, root) is not root:
            root = self._next[root]
        while self._next[node] is not root:  # the next one that asks finds it at once: of thousands of links too
            self._next[node], node = root, self._next[node]
        return root

    def join(self, node: Node, other: Node) -> None:
        self._next[self.root(node)] = self.root(other)


Users = dict[Node, list[tuple[Node, int]]]
"""Who reads a node, and as which of its operands."""


def make_schedule(graph: Graph) -> list[Stage]:
    """Return the stages of a graph in an order in which every operand is there before it is read."""
    users: Users = {}
    outputs = set(graph.outputs)
    for node in graph.nodes:
        for i, operand in enumerate(node.operands):
            users.setdefault(operand, []).append((node, i))
    depth = _depths(graph)
    passes = _passes(graph, users, outputs, depth)
    into = {node for one in passes.values() for node in one.absorbed}
    level = _levels(graph, passes, into, depth)
    _sink(graph, users, into, level)

    stages: dict[Any, Stage] = {}
    for place, node in enumerate(graph.nodes):
        if is_leaf(node) or node in into or is_alias(node):
            continue
        if _fuses(node):
            shape = node.operands[0].shape if is_flag(node) else node.shape
            stages.setdefault((level[node], 1, str(shape)), Stage([], True)).nodes.append(node)
        else:
            one = passes.get(node, Pass([node], []))
            if node is one.reductions[-1]:
                stages[level[node], 0, place] = Stage([*one.absorbed, *one.reductions], False)
    order = sorted(stages, key=lambda k: (k[0], k[1], k[2] if k[1] == 0 else 0))
    result = [part for key in order for part in _parts(stages[key])]
    _mark_stored(result, users, outputs)
    return result


def _fuses(node: Node) -> bool:
    return is_elementwise(node) or is_flag(node)


def _levels(graph: Graph, passes: Mapping[Node, Pass], into: set[Node], depth: Mapping[Node, int]) -> dict[Node, int]:
    """Return the earliest level of every node; a nest reads in registers what is computed at its own level."""
    level: dict[Node, int] = {}
    shared = {node for node, one in passes.items() if len(one.reductions) > 1}
    late = set(shared)

    def ready(node: Node) -> int:
        """The level from which a node's elements are in memory."""
        return level[node] + 1 if _fuses(node) else level[node]

    def alone(node: Node) -> int:
        """The earliest level of a stage that is no loop nest; those of a level run in the order of the graph.

        That does not hold for what reads one of several reductions that are one pass, which runs where the last of them
        stands: the reader runs a level later.
        """
        return max(
            (
                ready(o) + (o in late)
                for part in (node, *(passes[node].absorbed if node in passes else ()))
                for o in part.operands
                if o not in into
            ),
            default=0,
        )

    for node in _ordered(graph, depth) if shared else graph.nodes:
        if node in level:
            continue
        if is_leaf(node) or node in into:
            level[node] = 0
        elif is_alias(node):
            level[node] = max(ready(o) for o in node.operands)
            late.update([node] if any(o in late for o in node.operands) else [])
        elif _fuses(node):
            level[node] = max(
                (level[o] if joins(o, node, i) else ready(o) for i, o in enumerate(node.operands)), default=0
            )
        else:
            together = passes[node].reductions if node in shared else [node]
            level.update(dict.fromkeys(together, max(alone(n) for n in together)))
    return level


def _ordered(graph: Graph, depth: Mapping[Node, int]) -> list[Node]:
    """Return the nodes so that whatever comes before one of several reductions of a pass comes before them all."""
    place = {node: i for i, node in enumerate(graph.nodes)}
    return sorted(graph.nodes, key=lambda n: (depth[n], not (_fuses(n) or is_alias(n) or is_leaf(n)), place[n]))


def _sink(graph: Graph, users: Users, into: set[Node], level: dict[Node, int]) -> None:
    """Move nodes to the latest level at which a nest that reads them runs: one pass then, where there were two.

    Flags, and what is computed for them alone, set no date: they follow their operands, and only need to be done in
    time for what reads the flag (``limit``).
    """
    outputs = set(graph.outputs)
    followers: set[Node] = set()
    limit: dict[Node, int] = {}
    for node in reversed(graph.nodes):
        mine = users.get(node, [])
        follows = is_flag(node) or (
            is_elementwise(node) and node not in outputs and bool(mine) and all(u in followers for u, _ in mine)
        )
        latest = _NEVER
        joined = False
        for user, i in mine:
            if user in into:  # a reduction reads it on its way: it is left where it is
                latest = min(latest, level[node] - (not is_elementwise(node)))
                continue
            begin = limit.get(user, level[user])
            together = _fuses(user) and joins(node, user, i)
            joined = joined or (together and user not in followers)
            latest = min(latest, begin if together else begin - 1)
        if follows:
            followers.add(node)
            limit[node] = latest
        elif is_alias(node):  # it has its operand's elements: they must be in memory before its first reader
            limit[node] = level[node] if latest == _NEVER else latest + 1
        elif is_elementwise(node) and node not in into and joined:
            level[node] = max(level[node], latest)
    for node in graph.nodes:
        if node in followers:
            level[node] = max(
                level[o] if joins(o, node, i) else level[o] + _fuses(o) for i, o in enumerate(node.operands)
            )


_NEVER = 1 << 60


def _parts(stage: Stage) -> list[Stage]:
    """Cut a fused stage into nests that share nothing: equal ones then share their machine code."""
    if not stage.fused:
        return [stage]
    groups = Groups()
    for node in stage.nodes:
        shape = node.operands[0].shape if is_flag(node) else node.shape
        for operand in node.operands:
            if operand.shape == shape and operand.op.name != "constant":
                groups.join(operand, node)
    parts: dict[Node, list[Node]] = {}
    for node in stage.nodes:
        parts.setdefault(groups.root(node), []).append(node)
    return [Stage(nodes, True) for part in parts.values() for nodes in _short(part)]


def _short(nodes: list[Node]) -> list[list[Node]]:
    """Cut the nodes of a nest (operands first) into nests that are not too long; a flag stays with what it is of."""
    pieces: list[list[Node]] = [[]]
    piece_of: dict[Node, list[Node]] = {}
    known: set[Node] = set()  # what the last piece computes or reads
    length = 0
    total, handed = 0, set[Node]()
    for node in nodes:
        if is_flag(node):
            piece_of.get(node.operands[0], pieces[-1]).append(node)
            continue
        more = _length(node, known)
        if length + more > SHORT and pieces[-1]:
            pieces.append([])
            length, known = 0, set()
            more = _length(node, known)
        handed.update(o for o in node.operands if piece_of.get(o, pieces[-1]) is not pieces[-1])
        length, total = length + more, total + more
        known.add(node)
        known.update(node.operands)
        pieces[-1].append(node)
        piece_of[node] = pieces[-1]
    return pieces if total > LONGEST or len(handed) < len(pieces) else [nodes]


def _length(node: Node, known: set[Node]) -> int:
    """Estimate what a node adds to a nest: its own instructions, and those that find and load what it reads."""
    return instructions(node) + READ * sum(o not in known and not _is_literal(o) for o in set(node.operands))


def _is_literal(node: Node) -> bool:
    while node.op.name in ("broadcast", "reshape"):
        node = node.operands[0]
    return node.op.name == "constant"


def _mark_stored(stages: list[Stage], users: Users, outputs: set[Node]) -> None:
    """Note which nodes of each nest must be in memory: outputs, and what other stages read."""
    place = {node: i for i, stage in enumerate(stages) for node in stage.nodes}
    for i, stage in enumerate(stages):
        if stage.fused:
            stage.stored = {
                node for node in stage.nodes
                if node in outputs or is_flag(node) or any(
                    place.get(u) != i or not joins(node, u, j) for u, j in users.get(node, [])
                )
            }  # fmt: skip


@dataclass
class Pass:
    """One pass over operands in memory: reductions along the same axes, and the nodes that only they read."""

    reductions: list[Node]
    absorbed: list[Node]


def _passes(graph: Graph, users: Users, outputs: set[Node], depth: Mapping[Node, int]) -> dict[Node, Pass]:
    """Return, for each reduction that computes elementwise nodes on its way, the pass that it is part of.

    Reductions that share such nodes are one pass, if they run along the same axes, in the order that each has alone
    (``order_of``), and none waits for another: that is so where equally many other stages come before them.
    """
    ends: dict[Node, set[Node] | None] = {}
    layouts = layouts_read(graph, joins)
    groups = Groups()

    def alike(node: Node) -> Any:
        operand = node.operands[0]
        return str(operand.type), tuple(node.attributes["axes"]), depth[node], order_of(node, layouts)

    def end_of(node: Node) -> set[Node] | None:
        """Return the reductions that alone a node's elements come to, or None where it must be in memory."""
        if not is_elementwise(node) or node in outputs or node not in users:
            return None
        found: set[Node] = set()
        for user, i in users[node]:
            if user.op.name in REDUCTIONS and not is_flag(user):
                found.add(user)
            elif is_elementwise(user) and joins(node, user, i):
                further = ends[user]
                if further is None:
                    return None
                found |= further
            else:
                return None
        return found if len(found) == 1 or len({alike(r) for r in found}) == 1 else None

    for node in reversed(graph.nodes):
        ends[node] = found = end_of(node)
        if found:
            first, *others = found
            for other in others:
                groups.join(other, first)
    passes: dict[Node, Pass] = {}
    for node in graph.nodes:
        if node.op.name in REDUCTIONS and ends.get(node.operands[0]):
            passes.setdefault(groups.root(node), Pass([], [])).reductions.append(node)
        elif found := ends[node]:
            passes.setdefault(groups.root(next(iter(found))), Pass([], [])).absorbed.append(node)
    return {
        reduction: one for one in passes.values() for reduction in one.reductions
        if sum(map(instructions, one.absorbed)) <= LONGEST  # what is longer is computed before: a nest can be cut
    }  # fmt: skip


def _depths(graph: Graph) -> dict[Node, int]:
    """Return how many stages that are no loop nests come before each node, one after another."""
    depth: dict[Node, int] = {}
    for node in graph.nodes:
        depth[node] = max((depth[o] + (not (_fuses(o) or is_alias(o) or is_leaf(o))) for o in node.operands), default=0)
    return depth


def every_node(graph: Graph) -> Iterator[Node]:
    """Return the nodes of a graph and of the bodies of its loops."""
    for node in graph.nodes:
        yield node
        for value in node.attributes.values():
            if isinstance(value, Graph):
                yield from every_node(value)


def unsupported(graph: Graph, known: Mapping[str, Any]) -> str:
    """Return the name of the first operation that cannot be compiled, or ''."""
    for node in every_node(graph):
        name = node.op.name
        if name in STRUCTURAL or is_alias(node) or name in known:
            continue
        if is_elementwise(node) and (name == "random_bits" or getattr(node.op, "lower", None) is not None):
            continue
        return name
    return ""
