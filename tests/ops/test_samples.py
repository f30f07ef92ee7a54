"""Every operation at every sample: derivatives by four judges, and native code against the reference.

The judges of a gradient are central differences, the complex step where the operation is analytic, and HIPS autograd;
of the second derivative central differences of the gradient. A derivative in float32 is compared with float64's.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache, cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
import op_samples
import pytest
from benchmarks.fuzz.bounds import ZERO_OF_EITHER_SIGN, expected
from op_judges import AUTOGRAD, analytic, anp, autograd
from op_samples import FLOATS, LEAST, Sample, dtypes_of, samples

import chainrule as cr
from chainrule.execute import REFERENCE, get_executor
from chainrule.execute.native import engine, library, straight
from chainrule.execute.reference import resolve_attributes
from chainrule.graph import Graph, simplify
from chainrule.ops import NOT_DIFFERENTIABLE, TABLE, Op

EVERY = [(name, dtype) for name in sorted(TABLE) for dtype in dtypes_of(TABLE[name])]
FLOATING = [(name, dtype) for name, dtype in EVERY if dtype in FLOATS and TABLE[name].kind not in ("random", "source")]
STEP = 1e-5
CONSTANT_ON_PURPOSE = ("stop_gradient", "extent")
"""Zero by definition and not by calculus."""
MOST_DIFFERENCES = 24
"""Operands of more elements are moved along some directions only, not along every element."""


@cache
def every(name: str, dtype: str) -> list[Sample]:
    return samples(TABLE[name], dtype)


def test_every_operation_has_enough_samples_of_every_sort() -> None:
    for name, dtype in EVERY:
        found = every(name, dtype)
        assert len(found) >= LEAST, f"{name} has {len(found)} samples in {dtype}"
        arrays = [s for s in found if s.arrays]
        if not arrays:
            continue  # a source has no operands
        sizes = [max(x.size for x in s.arrays) for s in arrays]
        assert max(sizes) > 8 or TABLE[name].kind in ("library", "random"), f"{name} has small samples alone"
        if TABLE[name].kind != "random" or name == "random_bits":
            assert any(s.size == 0 for sample in arrays for s in sample.arrays), f"{name} has no empty sample"
        if TABLE[name].kind not in ("library", "random"):
            assert any(s.rows is not None for s in arrays), f"{name} has no sample of n rows"
            assert dtype not in FLOATS or any(s.special for s in arrays) or name == "iterate", (
                f"{name}: no special values"
            )
            assert TABLE[name].kind == "region" or any("transposed" in s.note for s in arrays) or dtype not in FLOATS


# --- what cannot be judged, and why --------------------------------------------------------------------------------

UNJUDGED: Mapping[str, str] = {
    "stop_gradient": "its derivative is zero on purpose: no other library can know",
    "extent": "a count: constant on purpose",
}
"""Operations with float operands that autograd does not judge, each with the reason."""


def test_what_is_not_judged_is_written_down() -> None:
    differentiable = [name for name in sorted(TABLE) if any(callable(r) for r in TABLE[name].pullback.values())]
    assert not set(UNJUDGED) & set(AUTOGRAD)
    for name in differentiable:
        assert name in AUTOGRAD or name in UNJUDGED, f"{name}: add a formula to AUTOGRAD"
    assert len(UNJUDGED) <= 2
    for reason in UNJUDGED.values():
        assert len(reason) > 20


# --- derivatives ---------------------------------------------------------------------------------------------------


class Derivatives:
    """A sample's function, weighted to one number, with its first and second derivatives, as one graph."""

    def __init__(self, op: Op, sample: Sample, dtype: str) -> None:
        self.rows = sample.rows
        self.arrays = tuple(x.astype(_float(dtype)) if x.dtype.kind == "f" else x for x in sample.arrays)
        types = tuple(t.with_dtype(dtype) if t.is_float else t for t in sample.types)
        self.positions = [i for i, t in enumerate(types) if t.is_float and (op.kind == "region" or _is_smooth(op, i))]
        (out,) = cr.make_graph(sample.function, *types).outputs
        shape = REFERENCE.run(cr.make_graph(sample.function, *types), self.arrays, self.rows)[0].shape
        rng = op_samples.rng_of(op.name, sample.note)
        self.gives = out.type.dtype
        self.weights = rng.uniform(0.5, 1.5, shape).astype(_float(dtype))
        self.directions = [rng.uniform(0.5, 1.5, self.arrays[i].shape).astype(_float(dtype)) for i in self.positions]
        count = len(types)

        def weighted(weights: Any, *xs: Any) -> Any:
            y = sample.function(*xs)
            return np.sum(weights * (y if y.type.dtype == dtype else y.astype(_float(dtype))))

        def everything(weights: Any, directions: Any, *xs: Any) -> Any:
            def gradient(*inner: Any) -> Any:
                return cr.grad(lambda *ys: weighted(weights, *ys), tuple(self.positions))(*inner)

            def along(*inner: Any) -> Any:
                return sum(np.sum(v * g) for v, g in zip(directions, gradient(*inner), strict=True))

            return gradient(*xs), cr.grad(along, tuple(self.positions))(*xs)

        inputs = out.type.with_dtype(dtype), *types
        self.value = cr.make_graph(weighted, *inputs)
        self.graph = cr.make_graph(everything, inputs[0], [types[i] for i in self.positions], *types)
        assert len(self.graph.inputs) == 1 + len(self.positions) + count

    @cached_property
    def found(self) -> tuple[list[Any], list[Any]]:
        """The gradients at the sample itself."""
        return self.gradients(self.arrays)

    def at(self, arrays: Any) -> float:
        (value,) = REFERENCE.run_prepared(self.value, [self.weights, *arrays], rows=self.rows)
        return float(value)

    def gradients(self, arrays: Any) -> tuple[list[Any], list[Any]]:
        """Return the gradient by every float operand, and that of its product with the directions."""
        found = REFERENCE.run_prepared(self.graph, [self.weights, *self.directions, *arrays], rows=self.rows)
        return found[: len(self.positions)], found[len(self.positions) :]

    def moved(self, step: float, directions: Any) -> list[Any]:
        arrays = list(self.arrays)
        for i, v in zip(self.positions, directions, strict=True):
            arrays[i] = arrays[i] + step * v
        return arrays


def _float(dtype: str) -> Any:
    return np.float32 if dtype == "f32" else np.float64


def _is_smooth(op: Op, position: int) -> bool:
    return op.pullback[op.operands[0] if op.variadic else op.operands[position]] is not NOT_DIFFERENTIABLE


def _ways(known: Derivatives) -> list[list[Any]]:
    """Return the directions along which to move: every element of small operands, some directions of large ones."""
    zeros = [np.zeros_like(v) for v in known.directions]
    total = sum(v.size for v in zeros)
    if total > MOST_DIFFERENCES:
        rng = np.random.default_rng(total)
        return [known.directions, *([rng.choice([-1.0, 0.5, 1.0], v.shape) for v in zeros] for _ in range(3))]
    found = []
    for place, v in enumerate(zeros):
        for index in np.ndindex(v.shape):
            one = v.copy()
            one[index] = 1.0
            found.append([*zeros[:place], one, *zeros[place + 1 :]])
    return found


@cache
def derivatives(name: str, number: int, dtype: str = "f64") -> Derivatives:
    """The derivatives of a sample: those of float32 have the same values as those of float64, rounded nowhere."""
    return Derivatives(TABLE[name], every(name, dtype)[number], dtype)


def smooth(name: str) -> list[tuple[Sample, Derivatives]]:
    """The samples at which there are derivatives: at NaN and Inf there is none, and near kinks there are two."""
    numbered = [(i, s) for i, s in enumerate(every(name, "f64")) if not s.special]
    return [(s, derivatives(name, i)) for i, s in numbered if derivatives(name, i).positions]


@pytest.mark.parametrize("name", sorted({name for name, _ in FLOATING}))
def test_gradient_and_second_order_against_central_differences(name: str) -> None:
    for sample, known in smooth(name):
        first, second = known.found
        if name in CONSTANT_ON_PURPOSE:
            assert all(not np.any(g) for g in [*first, *second])
            continue
        # a cast to float32 is linear: differences over a long step are exact but for its rounding
        step, near, far = (2.0**-4, 1e-5, 1e-5) if known.gives == "f32" else (STEP, 3e-8, 1e-7)
        for way in _ways(known):
            numeric = (known.at(known.moved(step, way)) - known.at(known.moved(-step, way))) / (2 * step)
            mine = sum(np.sum(v * g) for v, g in zip(way, first, strict=True))
            # h²·f‴/6 with h = 1e-5 and f‴ up to 2/0.2³ (log at the end of its sample) is 4e-9; rounding is ε·Σ|f|/h
            assert mine == pytest.approx(numeric, rel=near, abs=near * _size(sample)), sample.note
        ends = [known.gradients(known.moved(s, known.directions))[0] for s in (step, -step)]
        for high, low, exact in zip(*ends, second, strict=True):
            scale = max(1.0, np.max(np.abs(exact), initial=0.0))
            np.testing.assert_allclose(exact, (high - low) / (2 * step), rtol=0, atol=far * scale, err_msg=sample.note)


@pytest.mark.parametrize("name", sorted({name for name, _ in FLOATING}))
def test_derivatives_in_float32_are_those_of_float64(name: str) -> None:
    for number, (sample, double) in enumerate(zip(every(name, "f32"), every(name, "f64"), strict=True)):
        assert sample.note == double.note
        if sample.special or not derivatives(name, number).positions:
            continue
        single, known = derivatives(name, number, "f32"), derivatives(name, number)
        for order, (mine, true) in enumerate(zip(single.found, known.found, strict=True)):
            for a, b in zip(mine, true, strict=True):
                assert a.dtype == np.float32
                scale = max(1.0, np.max(np.abs(b), initial=0.0))
                # sums of up to 100 terms, each of a few roundings of 6e-8, of condition up to 10
                np.testing.assert_allclose(a, b, rtol=0, atol=5e-5 * (1 + order) * scale, err_msg=sample.note)


def _size(sample: Sample) -> float:
    return max(1.0, *(float(x.size) for x in sample.arrays)) if sample.arrays else 1.0


def test_the_complex_step_reaches_the_smooth_operations() -> None:
    reached = {name for name in TABLE if analytic(TABLE[name])}
    assert reached >= {
        "exp",
        "log",
        "sin",
        "tan",
        "tanh",
        "power",
        "divide",
        "sqrt",
        "log1p",
        "expm1",
        "square",
        "sigmoid",
    }
    smooth = {
        name for name, op in TABLE.items() if op.kind == "elementwise" and any(map(callable, op.pullback.values()))
    }
    assert smooth - reached <= {"cast"}, "a formula in COMPLEX, please"


@pytest.mark.parametrize("name", [name for name in sorted(TABLE) if analytic(TABLE[name])])
def test_gradient_against_the_complex_step(name: str) -> None:
    op, formula = TABLE[name], analytic(TABLE[name])
    assert formula is not None
    for sample, known in smooth(name):
        if known.gives != "f64":
            continue  # the imaginary part would be lost in a float32
        first, _ = known.found
        attributes = resolve_attributes(sample.attributes, sample.rows)
        for way in _ways(known)[:5]:
            moved = [x.astype(complex) if x.dtype.kind == "f" else x for x in known.arrays]
            for i, v in zip(known.positions, way, strict=True):
                moved[i] = moved[i] + 1e-30j * v
            arranged = [sample.arrange(x) if x.dtype.kind == "c" else x for x in moved]
            if op.kind == "elementwise":
                arranged = list(np.broadcast_arrays(*arranged))
            exact = np.sum(known.weights * formula(*arranged, **attributes)).imag / 1e-30
            mine = sum(np.sum(v * g) for v, g in zip(way, first, strict=True))
            # no subtraction, so no cancellation: the rounding of the operations themselves is left, and of the sum
            scale = sum(np.sum(np.abs(v * g)) for v, g in zip(way, first, strict=True))
            assert mine == pytest.approx(exact, rel=1e-13, abs=3e-14 * scale + 1e-15), sample.note


@pytest.mark.parametrize("name", sorted(AUTOGRAD))
def test_gradient_against_autograd(name: str) -> None:
    op = TABLE[name]
    judged = 0
    for sample in every(name, "f64"):
        if sample.special:
            continue
        known = Derivatives(op, sample, "f64")
        attributes = resolve_attributes(sample.attributes, sample.rows)
        if not known.weights.size or not all(x.size for x in sample.arrays):  # autograd has no sum of nothing
            assert known.weights.size or not any(np.any(g) for g in known.found[0])
            continue

        def number(*xs: Any, sample: Sample = sample, known: Any = known, attributes: Any = attributes) -> Any:
            arranged = [sample.arrange(x) if i in known.positions else x for i, x in enumerate(xs)]
            return anp.sum(known.weights * AUTOGRAD[name](*arranged, **attributes))

        first, _ = known.found
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where a result does not depend on an operand, autograd warns
            exact = autograd.grad(number, tuple(known.positions))(*known.arrays)
        for mine, true in zip(first, exact, strict=True):
            scale = max(1.0, np.max(np.abs(true), initial=0.0))
            # the same formula in another order of operations; factorizations have condition numbers up to 20
            bound = (1e-11 if op.kind == "library" else 1e-7 if known.gives == "f32" else 2e-13) * scale
            np.testing.assert_allclose(mine, true, rtol=0, atol=bound, err_msg=sample.note)
        judged += 1
    assert judged >= 5


# --- native code ---------------------------------------------------------------------------------------------------

needs_native = pytest.mark.skipif(bool(engine.missing()), reason=engine.missing() or "native code runs here")


@needs_native
@pytest.mark.parametrize(("name", "dtype"), EVERY)
def test_native_is_the_reference(name: str, dtype: str) -> None:
    """All samples of an operation in one graph (of n rows in another); the tiny ones as straight-line code too."""
    if name in library.ROUTINES and library.missing():
        pytest.skip(library.missing())
    found = every(name, dtype)
    fixed = [s for s in found if s.rows is None]
    open_ = [s for s in found if s.rows is not None]
    run_together(fixed)
    for rows in sorted({s.rows for s in open_ if s.rows is not None}):
        run_together([s for s in open_ if s.rows == rows])
    tiny = [s for s in fixed if _is_tiny(s)][:4]
    if tiny and TABLE[name].kind != "region":
        assert straight.fits(simplify(_together(tiny))[0], None), "it was to be straight-line code"
        run_together(tiny)


def _is_tiny(sample: Sample) -> bool:
    graph = simplify(cr.make_graph(sample.function, *sample.types))[0]
    work = straight.work(graph, None)
    return work is not None and work <= straight.MOST_WORK // 4


def _together(group: list[Sample]) -> Graph:
    starts = np.cumsum([0, *(len(s.arrays) for s in group)])

    def function(*xs: Any) -> Any:
        return tuple(s.function(*xs[a:b]) for s, a, b in zip(group, starts, starts[1:], strict=False))

    return cr.make_graph(function, *(t for s in group for t in s.types))


def run_together(group: list[Sample]) -> None:
    if not group:
        return
    graph = _together(group)
    results = get_executor("native").run(graph, [x for s in group for x in s.arrays], group[0].rows)
    for sample, got in zip(group, results, strict=True):
        agrees(sample, np.asarray(got))


def agrees(sample: Sample, got: Any) -> None:
    """The same bits, or within the error that the operation's record or mathlib states."""
    graph = cr.make_graph(sample.function, *sample.types)
    (wanted,) = REFERENCE.run(graph, sample.arrays, sample.rows)
    assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype), sample.note
    node = graph.outputs[0]
    if any(n.op.kind == "region" for n in graph.nodes):  # a loop over several operations: their errors add up
        np.testing.assert_allclose(got, wanted, rtol=64 * np.finfo(wanted.dtype).eps, err_msg=sample.note)
        return
    with np.errstate(all="ignore"):
        operands = list(sample.operands())
        if node.op.kind == "elementwise":
            operands = [np.array(x) for x in np.broadcast_arrays(*operands)]
        attributes = dict(resolve_attributes(node.attributes, sample.rows))
        wanted, bound, undecided = expected(SimpleNamespace(op=node.op), operands, attributes)
        if wanted.dtype.kind != "f":
            np.testing.assert_array_equal(got, wanted, err_msg=sample.note)
            return
        close = np.abs(got.astype(np.float64) - wanted) <= bound
        same = (got == wanted) | (np.isnan(got) & np.isnan(wanted)) | close | undecided
        if node.op.name not in ZERO_OF_EITHER_SIGN:
            same &= ~((got == 0) & (wanted == 0) & (np.signbit(got) != np.signbit(wanted)))
    assert np.all(same), f"{sample.note}: {got[~same]} instead of {wanted[~same]}"
