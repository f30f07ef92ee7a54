"""Every operation of the table, tested over the table: an operation is tested the moment it is registered.

An elementwise operation needs nothing here but its record: its ``sample`` says where to draw. Any other operation needs
cases in one of the functions below. A record with kinks needs a line in ``KINKS``: how far from one a point is. What
derivatives are, and what native code makes of an operation, ``test_samples.py`` tests at more points.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import scipy.special
from op_samples import ATTRIBUTES, FAR, KINKS

import chainrule as cr
from chainrule.errors import GraphError, NotDifferentiable, TypeMismatch
from chainrule.execute import REFERENCE
from chainrule.graph import Type, check_graph, make_input, result_types, simplify
from chainrule.graph.types import DTYPES
from chainrule.ops import NOT_DIFFERENTIABLE, TABLE, ZERO, Op, elementwise, register

OPS = sorted(TABLE)
ELEMENTWISE = [name for name in OPS if TABLE[name].kind == "elementwise"]
ELSEWHERE = {"scan": "test_regions.py: its operands depend on its body", "iterate": "test_regions.py: likewise"}


@dataclass
class Case:
    operands: tuple[Any, ...]
    attributes: dict[str, Any] = field(default_factory=dict)


def rng_of(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


# --- where to draw -------------------------------------------------------------------------------------------------


def operand_dtypes(op: Op, dtype: str) -> list[str]:
    if op.name == "where":
        return ["bool", dtype, dtype]
    return [dtype] * len(op.operands)


def dtypes_of(op: Op) -> list[str]:
    floats, integers = ["f32", "f64"], ["i32", "i64", "u32", "u64"]
    return {
        "float": floats,
        "number": floats + integers,
        "integer": integers,
        "bits": [*integers, "bool"],
        "bool": ["bool"],
        "any": [*floats, *integers, "bool"],
    }[op.accepts]


def draw(op: Op, shapes: list[tuple[int, ...]], dtype: str, rng: np.random.Generator) -> tuple[Any, ...]:
    """Draw operands from the record's ``sample``, again and again until none is near a kink."""
    kink = KINKS.get(op.name) if dtype in ("f32", "f64") else None
    for _ in range(200):
        operands = []
        for (low, high), shape, kind in zip(op.sample, shapes, operand_dtypes(op, dtype), strict=True):
            values = rng.uniform(low, high, shape)
            if kind == "bool":
                values = values > (low + high) / 2
            elif kind.startswith("u"):
                values = np.abs(values)
            operands.append(np.asarray(values).astype(DTYPES[kind]))
        if kink is None or np.all(kink(*np.broadcast_arrays(*operands)) > FAR):
            return tuple(operands)
    raise AssertionError(f"no draw of {op.name} keeps clear of its kinks")


def elementwise_cases(op: Op, dtype: str) -> list[Case]:
    rng = rng_of(op.name)
    count = len(op.operands)
    plain = [(), (1,), (3,), (2, 3), (0,), (0, 3)]
    shapes = [[shape] * count for shape in plain]
    if count > 1:
        shapes += [[(2, 3)] + [(3,)] * (count - 1), [(2, 1)] + [(1, 3)] * (count - 1), [()] + [(2,)] * (count - 1)]
    return [Case(draw(op, s, dtype, rng), attributes) for s in shapes for attributes in ATTRIBUTES.get(op.name, [{}])]


def array(shape: tuple[int, ...], dtype: str, name: str, low: float = -2.0, high: float = 2.0) -> Any:
    values = rng_of(f"{name}{shape}").uniform(low, high, shape)
    return (values > 0).astype(DTYPES[dtype]) if dtype == "bool" else values.astype(DTYPES[dtype])


def _views(dtype: str) -> dict[str, list[Case]]:
    x = array((2, 3), dtype, "view")
    return {
        "broadcast": [
            Case((array((3,), dtype, "b"),), {"shape": (2, 3)}),
            Case((array((2, 1), dtype, "b"),), {"shape": (4, 2, 3)}),
            Case((array((), dtype, "b"),), {"shape": (2, 2)}),
            Case((array((1,), dtype, "b"),), {"shape": (0,)}),
        ],
        "reshape": [Case((x,), {"shape": s}) for s in ((6,), (3, 2), (1, 6, 1))] + [Case((x[:1, :1],), {"shape": ()})],
        "transpose": [Case((x,), {"axes": (1, 0)}), Case((array((2, 3, 4), dtype, "t"),), {"axes": (2, 0, 1)})],
        "slice": [
            Case((array((5, 4), dtype, "s"),), {"start": (1, 0), "stop": (5, 3), "step": (2, 1)}),
            Case((array((5,), dtype, "s"),), {"start": (2,), "stop": (2,), "step": (1,)}),
            Case((array((7,), dtype, "s"),), {"start": (0,), "stop": (6,), "step": (4,)}),
        ],
        "pad": [
            Case((x,), {"before": (1, 0), "after": (0, 2), "between": (2, 0)}),
            Case((x[:0],), {"before": (1, 0), "after": (1, 0), "between": (1, 0)}),
        ],
        "concatenate": [
            Case((x, array((1, 3), dtype, "c"), x), {"axis": 0}),
            Case((x, array((2, 1), dtype, "c")), {"axis": 1}),
        ],
        "flip": [Case((x,), {"axes": a}) for a in ((0,), (1,), (0, 1), ())],
        "extent": [Case((x,), {"axis": 1}), Case((x,), {"axis": 0})],
        "take": [
            Case((array((4, 2), dtype, "take"), np.array([3, 0, 3]))),
            Case((array((4,), dtype, "take"), np.array([[1, 1], [2, 0]], np.int32))),
            Case((array((4, 2), dtype, "take"), np.array(2))),
            Case((array((4, 2), dtype, "take"), np.zeros(0, np.int64))),
        ],
    }


def _numbers(dtype: str) -> dict[str, list[Case]]:
    return {
        "prod": [Case((array((2, 3, 4), dtype, "prod"),), {"axes": a}) for a in ((0,), (2,), (0, 2), (0, 1, 2), ())]
        + [Case((array((0, 3), dtype, "prod"),), {"axes": (0,)})],
        "cumulative_sum": [
            Case((array(s, dtype, "running"),), {"axis": a, "reverse": r})
            for s, a in (((4,), 0), ((3, 2), 0), ((2, 3), 1), ((0, 2), 0), ((1,), 0))
            for r in (False, True)
        ],
        "argsort": [Case((array((3, 4), dtype, "order"),), {"axis": a}) for a in (0, 1)],
        "sum": [Case((array((2, 3, 4), dtype, "sum"),), {"axes": a}) for a in ((0,), (2,), (0, 2), (0, 1, 2), ())]
        + [Case((array((0, 3), dtype, "sum"),), {"axes": (0,)})],
        "scatter_add": [
            Case((np.array([2, 0, 2]), array((3, 2), dtype, "scatter")), {"size": 4}),
            Case((np.array(1), array((2,), dtype, "scatter")), {"size": 3}),
            Case((np.zeros(0, np.int64), array((0, 2), dtype, "scatter")), {"size": 2}),
        ],
    }


def _floats(dtype: str) -> dict[str, list[Case]]:
    # a permutation scaled by a third: no two elements are nearer than 1/3, so max and min are far from a tie
    square = array((4, 4), dtype, "square")
    definite = square @ square.T + np.eye(4, dtype=DTYPES[dtype])
    system = np.tril(square) + 3 * np.eye(4, dtype=DTYPES[dtype])
    apart = (rng_of("max").permutation(24).reshape(2, 3, 4) / 3 - 4).astype(DTYPES[dtype])
    extremes = [Case((apart,), {"axes": a}) for a in ((0,), (2,), (0, 1, 2))]
    return {
        "recurrence": [
            Case((array(s, dtype, "factors"), array(s, dtype, "terms")), {"axis": a, "reverse": r})
            for s, a in (((4,), 0), ((3, 2), 0), ((2, 3), 1), ((0,), 0), ((1, 2), 0))
            for r in (False, True)
        ],
        "solve": [
            Case((system + np.triu(square, 1), array((4, m), dtype, "right")), {"transposed": t})
            for m in (1, 3)
            for t in (False, True)
        ],
        "svd": [Case((square[:m, :k].copy(),)) for m, k in ((4, 4), (4, 2), (2, 3), (1, 1))],
        "max": extremes,
        "min": extremes,
        "argmax": [Case((apart,), {"axes": (a,)}) for a in range(3)],
        "cholesky": [Case((a,)) for a in (definite, definite[:1, :1].copy(), definite[:0, :0].copy())],
        "solve_triangular": [
            Case((system, array((4, m), dtype, "right")), {"transposed": t}) for m in (1, 3) for t in (False, True)
        ],
        "matmul": [
            Case((array((m, k), dtype, "a"), array((k, n), dtype, "b")))
            for m, k, n in ((2, 3, 4), (1, 1, 1), (2, 0, 3))
        ]
        + [Case((array((2, 2, 3), dtype, "stack"), array((2, 3, 1), dtype, "other")))],
    }


def _fixed() -> dict[str, list[Case]]:
    key = np.array([1, 2], np.uint32)
    count = np.arange(6, dtype=np.uint32).reshape(2, 3)
    return {
        "all": [Case((np.array([[True, False], [True, True]]),), {"axes": a}) for a in ((0,), (1,), (0, 1))],
        "fold": [Case((key, np.array(7, np.uint32)))],
        "random_bits": [Case((key, count, count[::-1].copy()))],
        "iota": [Case((), {"shape": (2, 3), "axis": 1, "dtype": d}) for d in ("u32", "i64", "f32")],
    }


def cases_of(name: str, dtype: str = "") -> list[Case]:
    """All cases of an operation whose operands (those that can) have the given dtype; else f64 where it takes that."""
    op = TABLE[name]
    dtype = dtype or ("f64" if "f64" in dtypes_of(op) else dtypes_of(op)[-1])
    if op.kind == "elementwise":
        return elementwise_cases(op, dtype)
    written = {**_views(dtype), **_fixed()}
    if dtype != "bool":
        written |= _numbers(dtype)
    if dtype in ("f32", "f64"):
        written |= _floats(dtype)
    return written.get(name, [])


# --- the judges ----------------------------------------------------------------------------------------------------

STEP = 1e-5
CONSTANT_ON_PURPOSE = ("stop_gradient", "extent")
"""Zero by definition and not by calculus; ``test_what_has_no_derivative_says_so`` sees to them."""


def evaluate(op: Op, case: Case, operands: tuple[Any, ...]) -> Any:
    if op.kind == "elementwise":
        operands = tuple(np.broadcast_arrays(*operands)) if operands else ()
    with np.errstate(all="ignore"):
        return np.asarray(op.evaluate(*operands, **case.attributes))


def is_smooth(op: Op, position: int) -> bool:
    name = op.operands[0] if op.variadic else op.operands[position]
    return callable(op.pullback[name])


def float_positions(op: Op, case: Case) -> list[int]:
    """The operands by which a derivative may be asked for: floats that are not refused."""
    refused = [i for i in range(len(case.operands)) if _rule(op, i) is NOT_DIFFERENTIABLE]
    return [i for i, x in enumerate(case.operands) if x.dtype.kind == "f" and i not in refused]


def _rule(op: Op, position: int) -> Any:
    return op.pullback[op.operands[0] if op.variadic else op.operands[position]]


def weighted(op: Op, case: Case, weights: Any) -> Callable[..., Any]:
    """One number made of the operation's result, each element with a weight of its own."""

    def function(*operands: Any) -> Any:
        return np.sum(weights * op(*operands, **case.attributes))

    return function


def weights_for(op: Op, case: Case) -> Any:
    result = evaluate(op, case, case.operands)
    return rng_of(op.name + "weights").uniform(0.5, 1.5, result.shape).astype(result.dtype)


def differences(function: Callable[..., Any], operands: tuple[Any, ...], position: int) -> Any:
    """Central differences of a number or an array by one operand: result + operand axes."""
    columns = []
    for index in np.ndindex(operands[position].shape):
        ends = []
        for step in (STEP, -STEP):
            moved = operands[position].copy()
            moved[index] += step
            ends.append(np.asarray(function(*operands[:position], moved, *operands[position + 1 :])))
        columns.append((ends[0] - ends[1]) / (2 * STEP))
    if not columns:
        return None
    return np.moveaxis(np.array(columns), 0, -1).reshape(columns[0].shape + operands[position].shape)


def check_gradient(op: Op, case: Case) -> None:
    """The gradient against central differences."""
    weights = weights_for(op, case)
    positions = float_positions(op, case)
    if not positions or weights.dtype != np.float64 or op.name in CONSTANT_ON_PURPOSE:
        return  # differences of f32 or of truth values (a cast) say nothing of a derivative
    gradients = cr.grad(weighted(op, case, weights), tuple(positions))(*case.operands)
    for position, gradient in zip(positions, gradients, strict=True):
        operand = case.operands[position]
        assert gradient.shape == operand.shape
        assert gradient.dtype == operand.dtype
        numeric = differences(lambda *xs: np.sum(weights * evaluate(op, case, xs)), case.operands, position)
        if numeric is not None:
            # h²·f‴/6 with h = 1e-5 and f‴ up to 2/0.2³ (log at the end of its sample) is 4e-9; rounding is ε/h = 2e-11
            np.testing.assert_allclose(gradient, numeric, rtol=3e-8, atol=3e-8)


def check_second_order(op: Op, case: Case) -> None:
    """The gradient of a weighted sum of the gradient against central differences of the gradient."""
    weights = weights_for(op, case)
    positions = [i for i in float_positions(op, case) if case.operands[i].size]
    if not positions or weights.dtype != np.float64 or not weights.size:
        return
    first = cr.grad(weighted(op, case, weights), tuple(positions))
    again = [rng_of(f"again{i}").uniform(0.5, 1.5, case.operands[i].shape) for i in positions]

    def of_gradient(*operands: Any) -> Any:
        return sum(np.sum(v * g) for v, g in zip(again, first(*operands), strict=True))

    second = cr.grad(of_gradient, tuple(positions))(*case.operands)
    for position, gradient in zip(positions, second, strict=True):
        numeric = differences(of_gradient, case.operands, position)
        # f⁗ of power at a = 0.3, b = −2 is 120/0.3⁶ = 1.6e5 beside f″ = 6/0.3⁴ = 740: relative 4e-9; the sums add up
        np.testing.assert_allclose(gradient, numeric, rtol=1e-7, atol=1e-7)


def run(op: Op, case: Case) -> Any:
    graph = cr.make_graph(lambda *xs: op(*xs, **case.attributes), *case.operands)
    return REFERENCE.run(graph, case.operands)[0]


# --- the table is covered -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPS)
def test_every_operation_has_samples_or_a_case(name):
    op = TABLE[name]
    if op.kind == "elementwise":
        assert len(op.sample) == len(op.operands), f"{name} needs one sample interval an operand"
        assert not op.attributes or name in ATTRIBUTES, f"{name} takes attributes: add a line to ATTRIBUTES"
    else:
        assert name in ELSEWHERE or cases_of(name), f"{name} needs a line in one of the case tables"


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_every_kink_has_a_distance(name):
    assert not TABLE[name].kinks or name in KINKS


@pytest.mark.parametrize("name", OPS)
def test_every_record_explains_itself(name):
    op = TABLE[name]
    assert op.because
    assert op.latex
    symbols = {o: f"<{o}>" for o in op.operands}
    text = op.latex.format(**symbols)
    assert op.kind in ("source", "region") or any(s in text for s in symbols.values())


# --- derivatives ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in OPS if n not in ELSEWHERE])
def test_what_has_no_derivative_says_so(name):
    """A rule of ZERO gives zeros; NOT_DIFFERENTIABLE raises, naming the operation and the operand."""
    op = TABLE[name]
    for case in cases_of(name):
        for position, x in enumerate(case.operands):
            if x.dtype.kind != "f":
                continue
            result = evaluate(op, case, case.operands)
            if _rule(op, position) is ZERO and result.dtype.kind == "f":
                gradient = cr.grad(weighted(op, case, weights_for(op, case)), position)(*case.operands)
                assert gradient.tobytes() == np.zeros_like(x).tobytes()
            elif _rule(op, position) is NOT_DIFFERENTIABLE:
                with pytest.raises(NotDifferentiable, match=f"{name} has no derivative"):
                    cr.grad(weighted(op, case, weights_for(op, case)), position)(*case.operands)


def test_not_differentiable_is_raised_with_the_users_line():
    op = Op(
        name="rounded", kind="elementwise", operands=("x",), evaluate=np.round, pullback={"x": NOT_DIFFERENTIABLE},
        typing=lambda types, attributes: types[0],
    )  # fmt: skip
    with pytest.raises(NotDifferentiable, match=r"rounded has no derivative by x \(made at .*test_table\.py:\d+"):
        cr.grad(lambda x: op(x))(1.3)


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in OPS if n not in ELSEWHERE])
def test_inputs_are_not_changed(name):
    op = TABLE[name]
    for case in cases_of(name, dtypes_of(op)[-1]) + cases_of(name):
        before = [x.tobytes() for x in case.operands]
        for x in case.operands:
            x.setflags(write=False)  # writing raises, and the bytes are compared besides
        run(op, case)
        check_positions = float_positions(op, case)
        weights = weights_for(op, case)
        if check_positions and weights.dtype.kind == "f":
            cr.grad(weighted(op, case, weights), tuple(check_positions))(*case.operands)
        assert [x.tobytes() for x in case.operands] == before


@pytest.mark.parametrize("name", [n for n in OPS if n not in ELSEWHERE])
def test_evaluate_gives_the_inferred_type(name):
    op = TABLE[name]
    for dtype in dtypes_of(op):
        for case in cases_of(name, dtype):
            operands = case.operands
            if op.kind == "elementwise":
                operands = tuple(np.array(x) for x in np.broadcast_arrays(*operands))
            nodes = tuple(make_input(Type(_name(x), x.shape), "x") for x in operands)
            inferred = op.infer(nodes, case.attributes)
            result = evaluate(op, case, operands)
            assert (result.dtype, result.shape) == (DTYPES[inferred.dtype], inferred.shape)
            through_graph = run(op, case)
            assert through_graph.dtype == result.dtype
            assert np.asarray(through_graph).tobytes() == result.tobytes()


@pytest.mark.parametrize("name", [n for n in OPS if n not in ELSEWHERE])
def test_every_operation_survives_json_and_simplify(name):
    op = TABLE[name]
    for dtype in dtypes_of(op):
        for case in cases_of(name, dtype):
            graph = cr.make_graph(lambda *xs, a=case.attributes: op(*xs, **a), *case.operands)
            text = json.dumps(graph.to_json())
            again = cr.graph_from_json(json.loads(text))
            assert json.dumps(again.to_json()) == text
            assert str(again) == str(graph)
            expected = np.asarray(REFERENCE.run(graph, case.operands)[0])
            for other in (again, simplify(graph)[0]):
                result = np.asarray(REFERENCE.run(check_graph(other), case.operands)[0])
                assert (result.dtype, result.tobytes()) == (expected.dtype, expected.tobytes())


def _name(x: Any) -> str:
    return next(name for name, dtype in DTYPES.items() if dtype == x.dtype)


@pytest.mark.parametrize("name", [n for n in ELEMENTWISE if "f64" in dtypes_of(TABLE[n])])
def test_eager_calls_give_what_a_graph_gives(name):
    op = TABLE[name]
    for case in elementwise_cases(op, "f64"):
        assert np.asarray(op(*case.operands, **case.attributes)).tobytes() == np.asarray(run(op, case)).tobytes()


INF, NAN = np.inf, np.nan
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -3.5, 2.0, 40.0, INF, -INF, NAN, 5e-324, -5e-324, 1e-45, 1e38, -1e38, 1e4, -1e4]

TRUTH = {
    "relu": lambda x: NAN if x != x else x if x >= 0 else 0.0,
    "sigmoid": lambda x: NAN if x != x else 0.0 if x < -800 else 1 / (1 + np.exp(-np.longdouble(x))),
    "softplus": lambda x: NAN if x != x else x if x > 800 else np.log1p(np.exp(np.longdouble(x))),
    "erf": lambda x: math.erf(x),
}


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", [n for n in ELEMENTWISE if "f64" in dtypes_of(TABLE[n])])
def test_special_values(name, dtype):
    """Against NumPy's function of the same name on every pair of special values; else against the formula above."""
    op, kind = TABLE[name], DTYPES[dtype]
    with np.errstate(all="ignore"):
        column = np.array(SPECIAL).astype(kind)
    grids = [g.ravel().copy() for g in np.meshgrid(*[column] * len(op.operands))]
    if name == "where":
        grids[0] = grids[0] > 0
    attributes = ATTRIBUTES.get(name, [{}])[0]
    result = evaluate(op, Case((), attributes), tuple(grids))
    with np.errstate(all="ignore"):
        if name in TRUTH:
            expected = np.array([TRUTH[name](v) for v in grids[0]]).astype(kind)
            assert ulps(result, expected) <= 2
            return
        if name == "cast":
            expected = grids[0].astype(np.float64)
        elif name in ("named", "stop_gradient"):
            expected = grids[0]
        elif hasattr(np, name):
            expected = getattr(np, name)(*grids)
        else:
            pytest.fail(f"{name} is not NumPy's: write its truth down in TRUTH")
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected)
    if expected.dtype.kind == "f":
        real = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(result[real]), np.signbit(expected[real]))


def ulps(a: Any, b: Any) -> int:
    """The largest number of floats between two arrays; NaN is equal to NaN only."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    if a.dtype.kind != "f":
        return 0 if np.array_equal(a, b) else 2**62
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return 2**62
    width = np.int32 if a.dtype == np.float32 else np.int64
    low = np.iinfo(width).min

    def place(x: Any) -> Any:
        bits = np.where(np.isnan(x), 0, x).astype(x.dtype).view(width)
        return [int(v) if v >= 0 else low - int(v) for v in bits.ravel()]

    return max((abs(p - q) for p, q in zip(place(a), place(b), strict=True)), default=0)


def test_erf_against_scipy():
    """Over the range where it does its work, both dtypes."""
    x = np.concatenate([np.linspace(-7, 7, 20001), np.geomspace(1e-300, 1, 2000)])
    for kind in (np.float64, np.float32):
        result = cr.ops.erf(x.astype(kind))
        assert ulps(result, scipy.special.erf(x.astype(kind))) <= 4  # ours is within 1.5 ulp of the truth, SciPy's 2.6


def test_known_values():
    ops = cr.ops
    np.testing.assert_array_equal(ops.sigmoid(np.array([0.0, 1e4, -1e4, INF, -INF])), [0.5, 1, 0, 1, 0])
    np.testing.assert_array_equal(ops.softplus(np.array([1e4, -1e4, INF, -INF])), [1e4, 0, INF, 0])
    assert float(ops.softplus(0.0)) == np.log(2)
    np.testing.assert_array_equal(ops.relu(np.array([-1.0, 0.0, 2.0, NAN, INF])), [0, 0, 2, NAN, INF])
    np.testing.assert_array_equal(ops.softmax(np.array([1e4, 1e4, -1e4])), [0.5, 0.5, 0])
    np.testing.assert_array_equal(ops.log_softmax(np.array([1e4, 0.0])), [0, -1e4])
    assert float(ops.logsumexp(np.array([1e4, 1e4]))) == 1e4 + np.log(2)
    assert ops.sigmoid(np.float32(0)).dtype == np.float32


@pytest.mark.parametrize(
    ("function", "point", "slope"),
    [
        (lambda x: cr.ops.relu(x), 0.0, 0.0),
        (lambda x: abs(x), 0.0, 0.0),
        (lambda x: cr.ops.sign(x), 0.0, 0.0),
        (lambda x: np.floor(x), 1.0, 0.0),
        (lambda x: x**0.0, 0.0, 0.0),  # b = 0: the derivative by a is 0
        (lambda x: x**1.0, 0.0, 1.0),
        (lambda x: x**3, 0.0, 0.0),
        (lambda x: x**0.5, 0.0, INF),
        (lambda x: 0.0**x, 2.0, 0.0),  # a = 0: the derivative by b is 0
        (lambda x: 0.0**x, 0.0, 0.0),
        (lambda x: (-2.0) ** x, 2.0, NAN),  # a < 0 has no derivative by b
        (lambda x: np.sqrt(x), 0.0, INF),
        (lambda x: np.maximum(x, 1.0), 1.0, 0.5),
        (lambda x: np.minimum(x, 1.0), 1.0, 0.5),
        (lambda x: np.maximum(x, x), 1.0, 1.0),
        (lambda x: np.clip(x, 0.0, 1.0), 1.0, 0.5),
        (lambda x: np.clip(x, 0.0, 1.0), 2.0, 0.0),
        (lambda x: cr.ops.sigmoid(x), 1e4, 0.0),
        (lambda x: cr.ops.sigmoid(x), -1e4, 0.0),
        (lambda x: cr.ops.softplus(x), -1e4, 0.0),
        (lambda x: cr.ops.softplus(x), 1e4, 1.0),
        (lambda x: cr.ops.relu(x), NAN, 0.0),
        (lambda x: np.logaddexp(x, x), 3.0, 1.0),
        (lambda x: x % 2.0, 4.0, 1.0),  # a/b is an integer: the derivative of the side above
        (lambda x: 4.0 % x, 2.0, -2.0),
        (lambda x: x // 2.0, 4.0, 0.0),
    ],
)
def test_the_convention_at_every_kink(function, point, slope):
    np.testing.assert_array_equal(cr.grad(function)(point), slope)


def test_tied_elements_of_max_share_the_derivative():
    x = np.array([1.0, 3.0, 3.0, 2.0])
    np.testing.assert_array_equal(cr.grad(np.max)(x), [0, 0.5, 0.5, 0])
    np.testing.assert_array_equal(cr.grad(np.min)(-x), [0, 0.5, 0.5, 0])
    np.testing.assert_array_equal(cr.grad(lambda x: np.sum(np.max(x, axis=0)))(np.ones((4, 2))), np.full((4, 2), 0.25))


def _used_twice(x: Any) -> Any:
    logarithm = np.log(x)
    return np.where(x > 0, logarithm, 0.0) + np.where(x > 0.0, 2 * logarithm, 0.0)


def _squared_distance(x: Any) -> Any:
    return np.where(x == 0, 0.0, np.sqrt(x * x))


NO_LEAK = {
    "log": (lambda x: np.where(x > 0, np.log(x), 0.0), [0.0, -1.0], 0.0),
    "other branch": (lambda x: np.where(x <= 0, 0.0, np.log(x)), [0.0, -1.0], 0.0),
    "division": (lambda x: np.where(x != 0, 1 / x, 0.0), [0.0], 0.0),
    "chain": (lambda x: np.where(x > 0, np.sqrt(np.log(x)) * 3 - 1, 0.0), [0.0, -1.0], 0.0),
    "product": (lambda x: np.where(x > 0, x * np.log(x), 0.0), [0.0], 0.0),
    "nested, inner not taken": (lambda x: np.where(x > -9, np.where(x > 0, np.log(x), 0.0), 0.0), [0.0, -1.0], 0.0),
    "nested, outer not taken": (lambda x: np.where(x > 0, np.where(x > -9, np.log(x), 0.0), 0.0), [0.0, -1.0], 0.0),
    "used twice": (_used_twice, [0.0, -1.0], 0.0),
    "norm": (_squared_distance, [0.0], 0.0),
    "overflow": (lambda x: np.where(x < 100, np.exp(x), 0.0), [1e4], 0.0),
    "named": (lambda x: np.where(x > 0, cr.ops.named(np.log(x), name="log"), 0.0), [0.0], 0.0),
}


@pytest.mark.parametrize("name", sorted(NO_LEAK))
def test_where_does_not_leak_from_the_branch_not_taken(name):
    function, points, slope = NO_LEAK[name]
    for point in points:
        assert cr.grad(function)(point) == slope
        assert cr.grad(cr.grad(function))(point) == 0.0
    mixed = np.array([*points, 2.0])
    alone = cr.grad(function)(2.0)
    assert cr.grad(lambda x: np.sum(function(x)))(mixed).tolist() == [*[slope] * len(points), float(alone)]


THROUGH = {
    "broadcast": lambda x: np.where(np.array([True, False]) & (x > 0), np.log(x), 0.0).sum(),
    "reshape": lambda x: np.where(x > 0, np.reshape(np.log(x), (1,)), 0.0).sum(),
    "transpose": lambda x: np.where(x > 0, np.log(np.reshape(x, (1, 1))).T, 0.0).sum(),
    "slice": lambda x: np.where(x > 0, np.log(np.stack([x, x]))[1:], 0.0).sum(),
    "concatenate": lambda x: np.where(x > 0, np.stack([np.log(x), np.sqrt(x)]), 0.0).sum(),
    "sum": lambda x: np.where(x > 0, np.sum(np.log(np.stack([x, x]))), 0.0),
    "take": lambda x: np.where(x > 0, np.log(np.stack([x, x]))[np.array([1, 1, 0])], 0.0).sum(),
}


@pytest.mark.parametrize("name", sorted(THROUGH))
def test_where_does_not_leak_through_views_and_sums(name):
    function = THROUGH[name]
    assert cr.grad(function)(0.0) == 0.0
    assert cr.grad(cr.grad(function))(0.0) == 0.0
    assert cr.check_grad(function, 1.7)


def test_a_value_used_in_both_branches_gets_the_derivative_of_each():
    """Two masks on one value: its derivative may be other than zero where either holds."""

    def function(x):
        root = np.sqrt(abs(x))
        return np.where(x > 1, root, 0.0) + np.where(x < -1, 3 * root, 0.0)

    np.testing.assert_array_equal(cr.grad(lambda x: np.sum(function(x)))(np.array([4.0, 0.0, -4.0])), [0.25, 0, -0.75])


def test_a_nan_of_the_branch_taken_is_kept():
    assert np.isnan(cr.grad(lambda x: np.where(x <= 0, np.sqrt(x), 0.0))(-1.0))


# --- lowering --------------------------------------------------------------------------------------------------------


class NumpyBuilder:
    """What a compiler's scalar builder offers, on whole arrays: the smallest executor of ``lower``."""

    def __getattr__(self, name: str) -> Any:
        if name in ("sigmoid", "softplus", "erf"):  # a builder's own; its accuracy is tested in test_mathlib.py
            return TABLE[name].evaluate
        if name not in (
            *(
                "add",
                "subtract",
                "multiply",
                "divide",
                "negative",
                "exp",
                "expm1",
                "log",
                "log1p",
                "sqrt",
                "sin",
                "cos",
            ),
            *(
                "tan",
                "tanh",
                "sign",
                "floor",
                "ceil",
                "rint",
                "reciprocal",
                "power",
                "remainder",
                "floor_divide",
                "maximum",
                "minimum",
                "absolute",
                "less",
                "less_equal",
                "greater",
            ),
            *("greater_equal", "equal", "not_equal", "isfinite", "logical_and", "logical_or", "logical_not"),
            *("bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift"),
            *("arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh", "arcsinh", "arccosh", "arctanh"),
            *("exp2", "log2", "log10", "hypot", "logaddexp"),
        ):
            raise AssertionError(f"a lowering uses {name!r}, which builders do not have")
        return getattr(np, name)

    def select(self, condition: Any, chosen: Any, other: Any) -> Any:
        return np.where(condition, chosen, other)

    def constant(self, value: float, like: Any) -> Any:
        return np.full_like(like, value)

    def cast(self, x: Any, dtype: str) -> Any:
        return x.astype(DTYPES[dtype])


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_lower_is_evaluate_within_4_ulp(name):
    op = TABLE[name]
    assert op.lower is not None, f"{name} cannot be compiled"
    for dtype in dtypes_of(op):
        for case in elementwise_cases(op, dtype):
            operands = [np.array(x) for x in np.broadcast_arrays(*case.operands)]
            expected = evaluate(op, case, tuple(operands))
            with np.errstate(all="ignore"):
                lowered = np.asarray(op.lower(NumpyBuilder(), *operands, **case.attributes))
            assert ulps(lowered, expected) <= 4
    for dtype in [d for d in dtypes_of(op) if d in ("f32", "f64")]:
        with np.errstate(all="ignore"):
            special = [np.array(SPECIAL).astype(DTYPES[dtype])] * len(op.operands)
            if name == "where":
                special[0] = special[0] > 0
            attributes = ATTRIBUTES.get(name, [{}])[0]
            lowered = np.asarray(op.lower(NumpyBuilder(), *special, **attributes))
        assert ulps(lowered, evaluate(op, Case((), attributes), tuple(special))) <= 4


# --- wrong inputs ----------------------------------------------------------------------------------------------------

F32, F64, I64, BOOL = (Type(d, (2, 3)) for d in ("f32", "f64", "i64", "bool"))

WRONG = {
    "dtypes mixed": (lambda x, y: x + y, (F32, F64), "add: b is f64[2,3], a is f32[2,3]; convert one of them"),
    "a constant of another dtype": (
        lambda x: x * np.ones(3), (F32,), "multiply: b is f64[2,3], a is f32[2,3]; convert one of them",
    ),
    "shapes": (
        lambda x, y: x - y, (F64, Type("f64", (2,))), "a is f64[2,3], b is f64[2]; the shapes do not broadcast",
    ),
    "rows and a number": (
        lambda x, y: x - y, (Type("f64", (cr.graph.n,)), Type("f64", (2,))), "a is f64[n], b is f64[2]; the shapes",
    ),
    "matmul sizes": (
        lambda x, y: x @ y, (F64, F64), "matmul: a is f64[2,3], b is f64[2,3]; a has 3 columns and b has 2 rows",
    ),
    "matmul dtypes": (lambda x, y: x @ y.T, (F64, F32), "matmul: a is f64[2,3], b is f32[3,2]; convert"),
    "matmul axes": (lambda x: x @ 2.0, (F64,), "matmul: b is a single number; at least one axis is needed"),
    "matmul stacks": (
        lambda x, y: x @ y, (Type("f64", (2, 2, 2)), Type("f64", (3, 2, 2))),
        "matmul: the stack a is f64[2], the stack b is f64[3]; the shapes do not broadcast",
    ),
    "reshape": (lambda x: x.reshape(4, 2), (F64,), "reshape: x is f64[2,3]; it does not fill [4,2]"),
    "reshape −1": (lambda x: x.reshape(-1, 4), (F64,), "reshape: 6 elements cannot be arranged as (-1, 4)"),
    "reshape −1 twice": (lambda x: x.reshape(-1, -1), (F64,), "reshape: only one dimension can be -1"),
    "axis": (lambda x: x.sum(axis=2), (F64,), "sum: axis 2 does not exist in a value with 2 axes"),
    "axis twice": (lambda x: x.max(axis=(0, -2)), (F64,), "max: the axes (0, -2) name one axis twice"),
    "transpose": (lambda x: np.transpose(x, (0, 0)), (F64,), "transpose: x is f64[2,3]; (0, 0) does not order"),
    "integers to exp": (lambda x: np.exp(x), (I64,), "exp: x is i64[2,3]; it takes f32 or f64; convert it first"),
    "truth values to sin": (lambda x: np.sin(x), (BOOL,), "sin: x is bool[2,3]; it takes f32 or f64"),
    "integers to matmul": (lambda x: x @ x.T, (I64,), "matmul: a is i64[2,3]; it takes f32 or f64"),
    "a float with integers": (lambda x: x + 1.5, (I64,), "add: b is the number 1.5, the other operand is i64"),
    "a float before integers": (lambda x: 1.5 * x, (I64,), "multiply: a is the number 1.5, the other operand is i64"),
    "a number too large": (
        lambda x: x + 2**40, (Type("i32"),), "add: b is the number 1099511627776, which i32 cannot hold",
    ),
    "a condition of floats": (lambda x: np.where(x, x, 0.0), (F64,), "where: condition is f64[2,3]; it must be bool"),
    "branches of two dtypes": (lambda x, y: np.where(x > 0, x, y), (F64, F32), "where: chosen is f64[2,3], other is"),
    "logic of floats": (lambda x: np.logical_and(x, x), (F64,), "logical_and: a is f64[2,3]; it takes bool"),
    "bits of floats": (lambda x: x ^ x, (F64,), "bitwise_xor: a is f64[2,3]; it takes i32 or i64"),
    "take by floats": (lambda x, i: np.take(x, i, axis=0), (F64, F64), "take: indices is f64[2,3]; it takes i32"),
    "take of a number": (lambda x: x[np.array([0])], (Type("f64"),), "x is f64[]: it has 0 axes, the index has 1"),
    "too many indices": (lambda x: x[0, 0, 0], (F64,), "x is f64[2,3]: it has 2 axes, the index has 3"),
    "broadcast_to": (lambda x: np.broadcast_to(x, (3, 2)), (F64,), "broadcast: x is f64[2,3]; it does not stretch"),
    "squeeze": (lambda x: np.squeeze(x, 0), (F64,), "squeeze: an axis of (0,) is not of length 1"),
    "stack": (lambda x: np.stack([x, x[0]]), (F64,), "stack: the parts have the shapes [2,3], [3]; they must be equal"),
    "concatenate": (lambda x: np.concatenate([x, x.T]), (F64,), "concatenate: part 1 is f64[3,2], part 0 is f64[2,3]"),
    "an empty axis": (lambda x: x.max(), (Type("f64", (0,)),), "max: x is f64[0]; an empty axis has no max"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(WRONG))
def test_wrong_inputs_are_named_with_the_users_line(name):
    function, types, message = WRONG[name]
    with pytest.raises(TypeMismatch) as caught:
        cr.make_graph(function, *types)
    text = str(caught.value)
    assert message in text
    line = function.__code__.co_firstlineno
    assert f"(at {__file__}:{line} in <lambda>)" in text


def test_weak_numbers_take_the_dtype_of_the_other_operand():
    graph = cr.make_graph(lambda x, i, b: (x + 1, 2.5 * x, i + 1, True + i, b & True, x + True), F32, I64, BOOL)
    assert [str(o.type) for o in graph.outputs] == [
        "f32[2,3]",
        "f32[2,3]",
        "i64[2,3]",
        "i64[2,3]",
        "bool[2,3]",
        "f32[2,3]",
    ]


def test_a_wrong_number_of_operands_is_refused():
    with pytest.raises(TypeMismatch, match=r"exp takes 1 operands \(x\), not 2"):
        cr.ops.exp(1.0, 2.0)
    with pytest.raises(TypeMismatch, match=r"reshape takes the attributes \('shape',\), not \(\)"):
        TABLE["reshape"].infer((make_input(F64, "x"),), {})


# --- registration --------------------------------------------------------------------------------------------------


def record(**changes: Any) -> Op:
    fields = {
        "name": "twice", "kind": "elementwise", "operands": ("x",), "evaluate": lambda x: 2 * x,
        "typing": lambda types, attributes: types[0], "pullback": {"x": lambda g, y, x: 2 * g},
    }  # fmt: skip
    return Op(**{**fields, **changes})


def test_a_record_is_validated_when_it_is_made():
    assert record().name == "twice"
    with pytest.raises(GraphError, match="operation twice: no derivative rule for x"):
        record(pullback={})
    with pytest.raises(GraphError, match="no derivative rule for b"):
        record(operands=("a", "b"), pullback={"a": ZERO})
    with pytest.raises(GraphError, match="a rule for z, which is not an operand"):
        record(pullback={"x": ZERO, "z": ZERO})
    with pytest.raises(GraphError, match="'pointwise' is not a kind; kinds are elementwise, reduction"):
        record(kind="pointwise")
    with pytest.raises(GraphError, match="the rule for x is neither a function nor ZERO"):
        record(pullback={"x": 0})
    with pytest.raises(GraphError, match="must be an identifier"):
        record(name="not a name")


def test_a_name_is_taken_once():
    with pytest.raises(GraphError, match="operation exp is already defined"):
        register(record(name="exp"))
    with pytest.raises(GraphError, match="operation sin is already defined"):
        elementwise("sin", "x", evaluate=np.sin, pullback={"x": ZERO})
    assert TABLE["exp"].evaluate is np.exp


def test_a_new_operation_is_one_call():
    """The house's promise: one record gives evaluation, a node, its type, gradients, JSON and text."""
    try:
        softsign = elementwise(
            "softsign", "x",
            evaluate=lambda x: x / (1 + np.abs(x)),
            pullback={"x": lambda g, y, x: g / cr.ops.square(1 + abs(x))},
            lower=lambda b, x: b.divide(x, b.add(b.constant(1.0, x), b.absolute(x))),
            latex=r"\frac{{{x}}}{{1 + \lvert {x} \rvert}}", because="(1 + |x| − |x|)/(1 + |x|)²",
            sample=[(0.1, 3)],
        )  # fmt: skip
        np.testing.assert_array_equal(softsign(np.array([-1.0, 0.0, 3.0])), [-0.5, 0, 0.75])
        assert softsign(np.float32(1)).dtype == np.float32

        graph = cr.make_graph(lambda x: np.sum(softsign(x)), Type("f64", (3,)))
        (node,) = [n for n in graph.nodes if n.op is softsign]
        assert result_types(node) == (Type("f64", (3,)),)
        assert "= softsign x : f64[3]" in str(graph)

        for case in elementwise_cases(softsign, "f64"):
            check_gradient(softsign, case)
            check_second_order(softsign, case)
            lowered = softsign.lower(NumpyBuilder(), *case.operands)
            assert ulps(np.asarray(lowered), evaluate(softsign, case, case.operands)) <= 4
        check = cr.check_grad(lambda x: np.sum(softsign(x) ** 2), np.array([-2.0, 0.3, 5.0]))
        assert check, str(check)

        again = cr.graph_from_json(graph.to_json())
        x = np.array([1.0, -2.0, 0.25])
        assert REFERENCE.run(again, [x])[0] == REFERENCE.run(graph, [x])[0]
        with pytest.raises(TypeMismatch, match=r"softsign: x is i64\[2\]; it takes f32 or f64"):
            cr.make_graph(lambda x: softsign(x), np.arange(2))
    finally:
        TABLE.pop("softsign", None)
