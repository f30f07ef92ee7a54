"""Compares native code with the reference: node by node, then the fused form, pieces and other numbers of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from chainrule.errors import ChainruleError
from chainrule.execute import get_executor
from chainrule.execute.native.nests import uniform_literal
from chainrule.execute.reference import resolve_attributes
from chainrule.graph import Graph, Node, Rows, Type
from chainrule.graph.structural import RESULT

from .bounds import ZERO_OF_EITHER_SIGN, expected
from .forms import Form, Forms, Overrun, bodies, literal_value
from .make import Case

Array = np.ndarray[Any, Any]
VIEWS = ("transpose", "slice", "broadcast", "reshape", "result")


class Difference(Exception):
    """Native code does something else than it promises."""


class Refusal(Exception):
    """Both executors refuse the values (a matrix without a factor, say): there is nothing to compare."""


def _digest(arrays: Sequence[Array]) -> str:
    state = blake2b(digest_size=8)
    for a in arrays:
        state.update((np.where(np.isnan(a), a.dtype.type(np.nan), a) if a.dtype.kind == "f" else a).tobytes())
    return state.hexdigest()


def bits_differ(one: Array, other: Array) -> Array:
    """Say where two arrays differ in their bits, any NaN being like any other."""
    if one.dtype.kind != "f":
        return np.asarray(one != other)
    kind = np.dtype(f"u{one.dtype.itemsize}")
    with np.errstate(invalid="ignore"):
        return np.asarray((one.view(kind) != other.view(kind)) & ~(np.isnan(one) & np.isnan(other)))


class Comparison:
    """One case being compared; ``census`` counts the nodes by operation and dtype."""

    def __init__(self, case: Case, forms: Forms, census: Counter[str] | None = None) -> None:
        self.case, self.forms = case, forms
        self.census: Counter[str] = Counter() if census is None else census
        self.digest = ""
        """A digest of the fused outputs, any NaN being like any other."""

    def run(self) -> None:
        """Raise Difference where native code is wrong, Refusal where the reference refuses the values as well."""
        case = self.case
        with np.errstate(all="ignore"):
            values = self._nodes(case.graph, case.arrays)
            self.census["fused"] += 1
            fused = self._guard(self.forms.fused, case.arrays)
            self._as_stored("fused", values, fused)
            if self.forms.straight is not None:
                self.census["straight"] += 1
                self._as_stored("in straight lines", values, self._guard(self.forms.straight, case.arrays))
            rng = np.random.default_rng(case.rows)
            for node, one, got in zip(
                case.graph.outputs, fused, self._guard(self.forms.fused, case.arrays, pieces=rng), strict=True
            ):
                self._same("run in pieces", node, one, got)
            if len(case.graph.nodes) % 8 == 0:
                for node, one, got in zip(
                    case.graph.outputs, fused, self._guard(self.forms.fused, case.arrays, threads=2), strict=True
                ):
                    self._same("run by two threads", node, one, got)
                self.census["run by two threads"] += 1
            elif len(case.graph.nodes) % 8 == 1:
                self._as_stored("run by the executor", values, self._by_executor())
                self.census["run by the executor"] += 1
            self.digest = _digest(fused)
            self._other_rows(fused)

    def _guard(self, form: Form, arrays: Sequence[Array], rows: int | None = None, **how: Any) -> list[Array]:
        try:
            return form.run(arrays, self.case.rows if rows is None else rows, **how)
        except Overrun as error:
            raise Difference(f"{'fused' if form is self.forms.fused else 'in straight lines'}: {error}") from None
        except ChainruleError as error:
            raise Difference(f"native code stopped: {error}") from None

    def _by_executor(self) -> list[Array]:
        """Run the graph as users do, through all that lies between a call and the kernels."""
        try:
            return get_executor("native").run(self.case.graph, self.case.arrays, self.case.rows)
        except ChainruleError as error:
            raise Difference(f"the executor stopped: {error}") from None

    def _as_stored(self, what: str, values: dict[Node, Array], results: Sequence[Array]) -> None:
        """Compare outputs with the values of nodes that were all stored: to the bit, or the rounding of one sum."""
        free = order_decides(self.case.graph, every=self.forms.straight is not None and what != "fused")
        for node, got in zip(self.case.graph.outputs, results, strict=True):
            if node not in free:
                self._same(what, node, np.asarray(values[node]), got)
            elif node.operands and not any(o in free for o in node.operands) and node.op is not RESULT:
                self._node(node, [values[o] for o in node.operands], got)
            else:
                self.census["left out: after a sum in another order"] += 1

    def _same(self, what: str, node: Node, one: Array, other: Array) -> None:
        wrong = bits_differ(one, other)
        if np.any(wrong):
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise Difference(f"{what}: {node.op.name}{place} is {other[place]!r}, by itself {one[place]!r}")

    # node by node ---------------------------------------------------------------------------------------------------

    def _nodes(self, graph: Graph, arrays: Sequence[Array]) -> dict[Node, Array]:
        """Compare every node of a graph with the reference operation on native's own operands; return all values."""
        form = self.forms.of(graph)
        try:
            results = form.run(arrays, self.case.rows)
        except Overrun as error:
            raise Difference(f"singly: {error}") from None
        except ChainruleError as error:
            self._refused(graph, arrays, error)
        values = dict(zip(graph.inputs, arrays, strict=True)) | dict(zip(form.graph.outputs, results, strict=True))
        for node in graph.nodes:
            if node not in values and isinstance(node.type, Type):
                values[node] = literal_value(node, self.case.rows)
        regions: dict[Node, Sequence[Array]] = {}
        for node in form.graph.outputs:
            if node.op is RESULT:
                region = node.operands[0]
                if region not in regions:
                    regions[region] = self._region(region, [values[o] for o in region.operands])
                wanted = np.asarray(regions[region][node.attributes["index"]])
                self._kinds(region, wanted, values[node])
                if any(order_decides(body) for body in bodies(region)):
                    self.census["left out: a loop with a sum in another order"] += 1
                    continue
                self._same(f"{region.op.name}, against its body trip by trip", node, wanted, values[node])
                self.census[f"{region.op.name} {node.type.dtype}"] += 1
            elif node.operands or node.op.kind == "source":
                self._node(node, [values[o] for o in node.operands], values[node])
        return values

    def _refused(self, graph: Graph, arrays: Sequence[Array], error: ChainruleError) -> None:
        """Native code stopped with a status: so must the reference, on the same graph."""
        try:
            get_executor("reference").run(graph, arrays, self.case.rows)
        except ChainruleError:
            raise Refusal(str(error)) from None
        raise Difference(f"native code stopped ({error}), the reference does not") from None

    def _region(self, node: Node, operands: list[Array]) -> Sequence[Array]:
        """Run a loop by the reference's own loop over its body, which is native code compared node by node."""

        def run(body: Graph, inner: Sequence[Array]) -> list[Array]:
            given = [np.asarray(a, order="C") for a in inner]
            values = self._nodes(body, given)
            return [values[o] for o in body.outputs]

        attributes = resolve_attributes(node.attributes, self.case.rows)
        try:
            results: Sequence[Array] = node.op.evaluate(run, *operands, **attributes)  # type: ignore[attr-defined]  # an Op's
        except ChainruleError as error:  # no trips over n rows: native code knows the shape, the reference does not
            raise Refusal(str(error)) from None
        return results

    def _kinds(self, node: Node, wanted: Array, got: Array) -> None:
        if got.shape != wanted.shape or got.dtype != wanted.dtype:
            raise Difference(f"{node.op.name}: {got.dtype}{got.shape} instead of {wanted.dtype}{wanted.shape}")

    def _node(self, node: Node, operands: list[Array], got: Array) -> None:
        name = node.op.name
        self.census[f"{name} {node.type.dtype}"] += 1
        if name == "cast":
            self.census[f"cast {node.operands[0].type.dtype} to {node.type.dtype}"] += 1
        attributes = dict(resolve_attributes(node.attributes, self.case.rows))
        wanted, bound, undecided = expected(node, operands, attributes)
        self._kinds(node, wanted, got)
        if wanted.dtype.kind != "f":
            wrong = np.asarray(got != wanted)
        else:
            close = np.abs(got.astype(np.float64) - wanted) <= bound
            wrong = ~((got == wanted) | (np.isnan(got) & np.isnan(wanted)) | close | undecided)
            if name not in ZERO_OF_EITHER_SIGN:
                wrong |= (got == 0) & (wanted == 0) & (np.signbit(got) != np.signbit(wanted))
        if np.any(wrong):
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            shown = ", ".join(repr(o[place]) if o.shape == got.shape else f"{o.dtype}{o.shape}" for o in operands)
            more = f", {node.operands[0].type.dtype} to {node.type.dtype}" if name == "cast" else ""
            raise Difference(f"{name}{place}{more}: {got[place]!r} instead of {wanted[place]!r} for {shown}")

    # other numbers of rows ------------------------------------------------------------------------------------------

    def _other_rows(self, values: Sequence[Array]) -> None:
        """The first rows alone must have the bits that they have among others, where rows depend on no other row."""
        case = self.case
        if case.rows < 2 or not row_by_row(case.graph):
            return
        self.census["row by row"] += 1
        for rows in {1, case.rows // 2, case.rows - 1}:
            arrays = [
                np.ascontiguousarray(a[:rows]) if i.ndim and isinstance(i.shape[0], Rows) else a
                for i, a in zip(case.graph.inputs, case.arrays, strict=True)
            ]
            results = self._guard(self.forms.fused, arrays, rows)
            for node, few, all_ in zip(case.graph.outputs, results, values, strict=True):
                first = all_[:rows] if node.ndim and isinstance(node.shape[0], Rows) else all_
                self._same(f"{rows} of {case.rows} rows", node, np.ascontiguousarray(first), few)


def order_decides(graph: Graph, every: bool = False) -> set[Node]:
    """Return the nodes whose last bits may depend on what else is stored, and those computed from them.

    A float sum (or the sign of a zero that max or min finds) has an order that depends on how its operand lies in
    memory. Where a nest computes the operand on its way, and reads a view (transposed, sliced, broadcast), that is not
    how the operand lies where it is stored. Straight-line code adds in an order of its own: there it is every sum.
    """
    found: set[Node] = set()
    views: set[Node] = set()  # elementwise nodes of which a nest may read a view
    for node in graph.nodes:
        after = any(o in found for o in node.operands)
        reads = (
            node.op.name in ("sum", "prod", "max", "min")
            and node.type.is_float
            and (every or node.operands[0] in views)
        )
        if after or reads or any(order_decides(body) for body in bodies(node)):
            found.add(node)
        elif node.op.kind == "elementwise" and any(
            o in views or (o.op.name in VIEWS and uniform_literal(o) is None) for o in node.operands
        ):
            views.add(node)
    return found


def row_by_row(graph: Graph) -> bool:
    """Does every row of every node depend on that row alone? n may then only be the first axis, as n itself."""
    for node in graph.nodes:
        if not isinstance(node.type, Type):
            return False
        if any(isinstance(d, Rows) for d in node.shape[1:]) or (node.ndim and node.shape[0] == Rows(2)):
            return False
        if node.ndim and isinstance(node.shape[0], Rows) and node.shape[0].multiple != 1:
            return False
        for operand in node.operands:
            if not isinstance(operand.type, Type) or not (operand.type.is_symbolic):
                continue
            if (
                node.op.kind == "elementwise"
                or node.op.name in ("random_bits", "slice", "pad")
                or (node.op.name == "matmul" and node.ndim == 2)
            ):
                continue
            if node.op.name == "broadcast" and node.ndim == operand.ndim:
                continue
            if (
                node.op.name in ("sum", "prod", "max", "min", "all", "argmax", "flip")
                and 0 not in node.attributes["axes"]
            ):
                continue
            if node.op.name in ("cumulative_sum", "recurrence", "argsort") and node.attributes["axis"] != 0:
                continue
            if node.op.name == "transpose" and node.attributes["axes"][0] == 0:
                continue
            if node.op.name == "concatenate" and node.attributes["axis"] != 0:
                continue
            if node.op.name == "reshape" and node.shape[0] == operand.shape[0]:
                continue
            return False
    return any(isinstance(n.type, Type) and n.type.is_symbolic for n in graph.outputs)
