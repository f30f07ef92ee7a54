"""The chain rule, backward: from a graph to the graph of its derivative, made of the same operations.

For every node y = op(x₁, x₂, …), from the last to the first, the derivative ∂L/∂y that has gathered at y is sent on to
each operand by the operation's own rule, ∂L/∂xᵢ += (∂y/∂xᵢ)ᵀ ∂L/∂y. A derivative that is zero is never built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chainrule.calculus import regions
from chainrule.errors import NotDifferentiable
from chainrule.graph import Backward, Node, depends_on, topological, where_made
from chainrule.graph.structural import RESULT, make_constant
from chainrule.ops.build import as_nodes
from chainrule.ops.logic import cast, logical_and, logical_not, logical_or, where
from chainrule.ops.mathematics import add
from chainrule.ops.record import NOT_DIFFERENTIABLE, ZERO, Op

LINEAR = ("add", "subtract", "negative", "named", "cast", "where")
"""Elementwise operations whose rule does not look at the operands' values: a zero goes through them as a zero."""


def backward(outputs: Sequence[Node], cotangents: Sequence[Node | None], wrt: Sequence[Node]) -> list[Node | None]:
    """Return Σᵢ (∂outputᵢ/∂w)ᵀ cotangentᵢ for each w in ``wrt``, as nodes; None stands for a derivative of zero."""
    reached = depends_on(outputs, wrt)
    gathered = _Gathered()
    for output, cotangent in zip(outputs, cotangents, strict=True):
        if cotangent is not None and output in reached and output.type.is_float:
            gathered.add(output, cotangent, None)
    sources = set(wrt)
    for node in reversed(topological(outputs)):
        if node not in reached or (node in sources and not node.operands):
            continue
        if node.op is RESULT:
            cotangent, _ = gathered.take(node)
            if cotangent is not None:
                gathered.add_result(node.operands[0], node.attributes["index"], cotangent)
        elif node.op.kind == "region":
            _through_region(node, reached, gathered)
        else:
            cotangent, mask = gathered.take(node)
            if cotangent is not None:
                _through(node, cotangent, mask, reached, gathered)
    return [gathered.cotangents.get(w) for w in wrt]


class _Gathered:
    """The derivatives that have arrived at each node so far, and where they are known to be zero.

    A mask says where a derivative may be other than zero: it is the condition of the ``where`` that it came through.
    Rules further back are applied under the same mask, because 0·Inf of a branch not taken would be NaN. Masks go with
    their derivative through elementwise operations, views, indexing and sums; they end at loops and matrix products.
    """

    def __init__(self) -> None:
        self.cotangents: dict[Node, Node] = {}
        self.masks: dict[Node, Node | None] = {}
        self.results: dict[Node, dict[int, Node]] = {}

    def add(self, node: Node, cotangent: Node, mask: Node | None) -> None:
        before = self.cotangents.get(node)
        if before is None:
            self.cotangents[node], self.masks[node] = cotangent, mask
        else:
            total: Node = add(before, cotangent)
            _mark([total], Backward(node, "sum of uses"), before.serial)
            self.cotangents[node] = total
            known = self.masks[node]
            if known is not mask:
                self.masks[node] = None if known is None or mask is None else logical_or(known, mask)

    def add_result(self, region: Node, index: int, cotangent: Node) -> None:
        of_region = self.results.setdefault(region, {})
        of_region[index] = add(of_region[index], cotangent) if index in of_region else cotangent

    def take(self, node: Node) -> tuple[Node | None, Node | None]:
        return self.cotangents.get(node), self.masks.get(node)


def _through(node: Node, g: Node, mask: Node | None, reached: set[Node], gathered: _Gathered) -> None:
    op: Op = node.op  # type: ignore[assignment]  # every operation that computes is a full record
    start = make_constant(0.0).serial
    if op.variadic:
        pieces = op.pullback[op.operands[0]](g, node, *node.operands, **node.attributes)  # type: ignore[operator]
        masks: Sequence[Node | None] = _masks_through(node, op.operands[0], mask) or [None] * len(pieces)
        for operand, piece, through in zip(node.operands, pieces, masks, strict=True):
            if operand in reached and operand.type.is_float:
                _mark([piece, *([through] if through is not None else [])], Backward(node, op.operands[0]), start)
                gathered.add(operand, piece, through)
        return
    for name, operand in zip(op.operands, node.operands, strict=True):
        if operand not in reached or not operand.type.is_float:
            continue  # integers and truth values are constants to calculus
        rule = op.pullback[name]
        if rule is ZERO:
            continue
        if rule is NOT_DIFFERENTIABLE:
            raise NotDifferentiable(f"{op.name} has no derivative by {name} (made at {where_made(node)})")
        contribution = as_nodes(op, [rule(g, node, *node.operands, **node.attributes)])[0]  # type: ignore[operator]
        inner = _mask_through(node, name, mask)
        if mask is not None and op.kind == "elementwise" and op.name not in LINEAR:
            contribution = where(mask, contribution, 0)
        _mark([contribution, *([inner] if inner is not None else [])], Backward(node, name), start)
        gathered.add(operand, contribution, inner)


def _mask_through(node: Node, operand: str, mask: Node | None) -> Node | None:
    if node.op.name == "where":
        condition = node.operands[0]
        own: Node = condition if operand == "chosen" else logical_not(condition)
        return own if mask is None else logical_and(mask, own)
    if node.op.kind == "elementwise":
        return mask
    through = _masks_through(node, operand, mask)
    return None if through is None else through[0]


def _masks_through(node: Node, operand: str, mask: Node | None) -> list[Node] | None:
    """Send a mask back as its derivative goes: the rule of a sum of chosen elements, applied to ones and zeros."""
    op: Op = node.op  # type: ignore[assignment]  # as above: a full record
    if mask is None or not (op.kind in ("view", "gather", "scatter") or op.name in ("sum", "cumulative_sum")):
        return None
    pieces = op.pullback[operand](cast(mask, dtype=node.type.dtype), node, *node.operands, **node.attributes)  # type: ignore[operator]
    return [piece > 0 for piece in (pieces if op.variadic else [pieces])]


def _mark(made: Sequence[Node], provenance: Backward, since: int) -> None:
    """Say of the nodes that a rule has just made what they are the derivative of."""
    stack = list(made)
    while stack:
        node = stack.pop()
        if node.serial > since and not isinstance(node.provenance, Backward):
            node.provenance = provenance
            stack.extend(node.operands)


def _through_region(node: Node, reached: set[Node], gathered: _Gathered) -> None:
    cotangents: Mapping[int, Node] = gathered.results.get(node, {})
    if not cotangents:
        return
    start = make_constant(0.0).serial
    wanted = [o in reached and o.type.is_float for o in node.operands]
    for operand, piece in zip(node.operands, regions.pull_back(node, cotangents, wanted), strict=True):
        if piece is not None:
            _mark([piece], Backward(node, "values"), start)
            gathered.add(operand, piece, None)
