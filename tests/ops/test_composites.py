"""Functions made of operations, over n rows: native code and the reference, derivatives, and rows beside other rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ExecutionError, TraceError, TypeMismatch
from chainrule.execute import REFERENCE, get_executor
from chainrule.execute.native import engine, library
from chainrule.graph import Rows, Type, n

needs_native = pytest.mark.skipif(bool(engine.missing()), reason=engine.missing() or "native code runs here")
W = np.random.default_rng(7).uniform(-1, 1, (4, 3))
PLACES = np.array([[2, 0], [1, -1], [3, 3]])
RAGGED = (-np.inf, -np.inf, -np.inf, -np.inf)

ROW_WISE: Mapping[str, Callable[[Any], Any]] = {
    "einsum with weights": lambda x: np.einsum("ni,ij->nj", x, W),
    "einsum of elements": lambda x: np.einsum("ni,ni->n", x, x),
    "einsum, outer products of rows": lambda x: np.einsum("ni,nj->nij", x, x),
    "einsum of three": lambda x: np.einsum("ni,ij,nj->n", x, W, x[:, :3]),
    "einsum, dots": lambda x: np.einsum("...i,ij->...j", x, W),
    "einsum, dots of stacks": lambda x: np.einsum("...ij,...j->...i", np.reshape(x, (-1, 2, 2)), x[:, :2]),
    "einsum, numbers for letters": lambda x: np.einsum(x, [0, 1], W, [1, 2], [0, 2]),
    "masked mean": lambda x: np.mean(x, axis=1, where=x >= x[:, :1]),
    "deviation of a constant": lambda x: np.std(x * 0.0, axis=1) + np.std(x, axis=1, ddof=1),
    "logaddexp": lambda x: np.logaddexp(x, x[:, ::-1]),
    "hypot": lambda x: np.hypot(x, 1.5) + np.arctan2(x, 2.0),
    "einsum, stacks": lambda x: np.einsum("nij,nkj->nik", np.reshape(x, (-1, 2, 2)), np.reshape(x, (-1, 2, 2))),
    "stacks @ a matrix": lambda x: np.reshape(x, (-1, 2, 2)) @ W[:2],
    "stacks @ stacks": lambda x: np.reshape(x, (-1, 2, 2)) @ np.swapaxes(np.reshape(x, (-1, 2, 2)), 1, 2),
    "norm": lambda x: np.linalg.norm(x, axis=1),
    "norm 1, kept": lambda x: np.linalg.norm(x, 1, axis=-1, keepdims=True),
    "norm inf": lambda x: np.linalg.norm(x, np.inf, axis=1),
    "prod": lambda x: np.prod(x, axis=1),
    "cumsum": lambda x: np.cumsum(x, axis=1),
    "cumprod": lambda x: np.cumprod(x, axis=-1),
    "sort": lambda x: np.sort(x, axis=1),
    "sort of stacks": lambda x: np.sort(np.reshape(x, (-1, 2, 2)), axis=1),
    "median of four": lambda x: np.sort(x)[:, 1:3].mean(axis=1),
    "argsort": lambda x: np.argsort(x, axis=1),
    "argmin": lambda x: np.argmin(x, axis=1),
    "any": lambda x: np.any(x > 1, axis=1),
    "logsumexp": lambda x: cr.ops.logsumexp(x),
    "softmax": lambda x: cr.ops.softmax(x),
    "flip": lambda x: np.flip(x, 1),
    "from the other end": lambda x: x[:, ::-2],
    "pad": lambda x: np.pad(x, ((0, 0), (1, 2)), constant_values=0.5),
    "roll": lambda x: np.roll(x, 1, axis=1),
    "tile": lambda x: np.tile(x, (1, 2)),
    "repeat": lambda x: np.repeat(x, 2, axis=1),
    "stack": lambda x: np.stack([x, x * x], axis=1),
    "concatenate": lambda x: np.concatenate([x, np.exp(x)], axis=-1),
    "clip": lambda x: np.clip(x, -0.5, 0.5),
    "round": lambda x: np.round(x) + np.trunc(x) + np.ceil(x),
    "tan": lambda x: np.tan(0.4 * x) + np.reciprocal(3 + x),
    "diff": lambda x: np.diff(x, axis=1),
    "tril of stacks": lambda x: np.tril(np.reshape(x, (-1, 2, 2))),
    "take columns": lambda x: np.take(x, [3, 0, 0], axis=1),
    "var": lambda x: np.var(x, axis=1) + np.std(x, axis=1),
}
"""A row of the result depends on that row alone."""

OVER_ROWS: Mapping[str, Callable[[Any], Any]] = {
    "a mean by hand": lambda x: x.sum(axis=0) / x.shape[0] + np.divide(x.sum(), x.shape[0]),
    "masked mean over rows": lambda x: np.mean(x, where=x >= x[:, :1]),
    "the last row": lambda x: x[[-1]] * np.take(x, [0, -1], axis=0),
    "einsum over rows": lambda x: np.einsum("ni,nj->ij", x, x),
    "prod": lambda x: np.prod(x, axis=0),
    "cumsum": lambda x: np.cumsum(x, axis=0),
    "cumprod": lambda x: np.cumprod(x, axis=0),
    "sort": lambda x: np.sort(x, axis=0),
    "sort flat": lambda x: np.sort(x, axis=None),
    "argsort": lambda x: np.argsort(x, axis=0),
    "flip": lambda x: np.flip(x, 0),
    "from the other end": lambda x: x[::-1, ::-1],
    "norm": lambda x: np.linalg.norm(x),
    "norm of columns": lambda x: np.linalg.norm(x, axis=0),
    "tile": lambda x: np.tile(x, (2, 1)),
    "repeat": lambda x: np.repeat(x, 2, axis=0),
    "moveaxis": lambda x: np.moveaxis(np.reshape(x, (-1, 2, 2)), 0, -1),
    "solve with the sums of products": lambda x: np.linalg.solve(x.T @ x + np.eye(4), x.sum(axis=0)),
    "inv": lambda x: np.linalg.inv(x.T @ x + np.eye(4)),
    "svd": lambda x: np.linalg.svd(x.T @ x + np.diag([1.0, 2.0, 4.0, 7.0]))[1],
    "cholesky": lambda x: np.linalg.cholesky(x.T @ x + np.eye(4)),
}

ALL = {**{f"row by row: {k}": f for k, f in ROW_WISE.items()}, **{f"over rows: {k}": f for k, f in OVER_ROWS.items()}}


def rows_of(count: int) -> Any:
    """Rows far from ties, whole numbers and halves."""
    rng = np.random.default_rng(count)
    return (rng.permutation(4 * count).reshape(count, 4) - 2.0 * count) / (3.1 * count) * 4 + 0.0137


@pytest.mark.parametrize("name", sorted(ALL))
def test_over_n_rows_the_reference_is_numpy(name: str) -> None:
    graph = cr.make_graph(ALL[name], Type("f64", (n, 4)))
    for count in (1, 2, 5, 40):
        x = rows_of(count)
        if any(word in name for word in ("logsumexp", "softmax")):
            continue  # NumPy has none: test_numpy.py compares them with SciPy
        expected = ALL[name](x)
        (got,) = REFERENCE.run(graph, [x])
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", sorted(ALL))
def test_gradient_over_n_rows(name: str) -> None:
    function = ALL[name]
    (out,) = cr.make_graph(function, Type("f64", (n, 4))).outputs
    if not out.type.is_float:
        return
    weight = 0.5 if any(isinstance(d, Rows) for d in out.shape) else 1.0
    whole = cr.make_graph(cr.grad(lambda x: np.sum(weight * np.sin(function(x)))), Type("f64", (n, 4)))
    for count in (1, 5):
        x = rows_of(count)
        (got,) = REFERENCE.run(whole, [x])
        value = cr.make_graph(lambda x: np.sum(weight * np.sin(function(x))), Type("f64", (n, 4)))
        numeric = np.zeros_like(x)
        for index in np.ndindex(x.shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = x.copy()
                moved[index] += step
                ends.append(float(REFERENCE.run(value, [moved])[0]))
            numeric[index] = (ends[0] - ends[1]) / 2e-5
        # rounding of sums of up to 80 terms, ε·Σ/h = 2e-9, and h²·f‴/6 where a product has a third derivative of 100
        np.testing.assert_allclose(got, numeric, rtol=1e-6, atol=3e-8)


@needs_native
@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", sorted(ALL))
def test_native_code_gives_the_reference_over_n_rows(name: str, dtype: str) -> None:
    if any(word in name for word in ("solve", "inv", "svd", "cholesky")) and library.missing():
        pytest.skip(library.missing())
    function = ALL[name]
    kind = Type(dtype, (n, 4))
    if dtype == "f32" and any(word in name for word in ("einsum", "stacks", "solve", "inv", "svd", "cholesky", "tril")):
        kind = Type("f64", (n, 4))  # the constants in these functions are float64
    graph = cr.make_graph(function, kind)
    floats = graph.outputs[0].type.is_float
    backward = cr.make_graph(cr.grad(lambda x: np.sum(np.sin(function(x)))), kind) if floats else graph
    native = get_executor("native")
    scale = 1e-4 if kind.dtype == "f32" else 1e-12
    for count in (1, 2, 5, 40):
        x = rows_of(count).astype(np.float32 if kind.dtype == "f32" else np.float64)
        for one in (graph, backward):
            (got,), (wanted,) = native.run(one, [x]), REFERENCE.run(one, [x])
            assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
            # chains of a few operations, each within some ulp; products over 40 rows have a condition of 100
            bound = scale * max(1.0, float(np.max(np.abs(wanted), initial=0)))
            np.testing.assert_allclose(got, wanted, rtol=scale, atol=bound)


@needs_native
@pytest.mark.parametrize("name", sorted(ROW_WISE))
def test_a_row_has_the_bits_that_it_has_alone(name: str) -> None:
    graph = cr.make_graph(ROW_WISE[name], Type("f64", (n, 4)))
    x = rows_of(37)
    for run in (get_executor("native").run, lambda g, a: REFERENCE.run_prepared(g, a, row_by_row=True)):
        (whole,) = run(graph, [x])
        for begin, end in ((0, 1), (17, 18), (5, 21)):
            (part,) = run(graph, [x[begin:end].copy()])
            assert part.tobytes() == np.ascontiguousarray(whole[begin:end]).tobytes()


# --- conventions at kinks and ends ------------------------------------------------------------------------------------


def test_the_norm_of_zeros_has_the_derivative_zero() -> None:
    for axis in (None, 0, 1):
        for ord in (None, 1, 2, np.inf) if axis is not None else (None,):
            slope = cr.grad(lambda x, a=axis, o=ord: np.sum(np.linalg.norm(x, o, axis=a)))(np.zeros((2, 3)))
            np.testing.assert_array_equal(slope, np.zeros((2, 3)))
    second = cr.hessian(lambda x: np.linalg.norm(x))(np.zeros(2))
    np.testing.assert_array_equal(second, np.zeros((2, 2)))


def test_products_with_zeros_have_the_derivatives_of_the_others() -> None:
    x = np.array([2.0, 0.0, 3.0, 5.0])
    np.testing.assert_array_equal(cr.grad(np.prod)(x), [0, 30, 0, 0])
    np.testing.assert_array_equal(cr.grad(np.prod)(np.array([2.0, 0.0, 0.0])), np.zeros(3))
    second = cr.hessian(np.prod)(x)
    np.testing.assert_array_equal(second[1], [15, 0, 10, 6])
    np.testing.assert_array_equal(second, second.T)
    np.testing.assert_array_equal(cr.grad(lambda x: np.cumprod(x)[2])(x), [0, 6, 0, 0])


def test_logsumexp_of_infinities() -> None:
    assert cr.ops.logsumexp(np.array(RAGGED)) == -np.inf
    assert cr.ops.logsumexp(np.array([np.inf, 1.0])) == np.inf
    assert np.isnan(cr.ops.logsumexp(np.array([np.nan, 1.0])))
    graph = cr.make_graph(lambda x: cr.ops.logsumexp(x), np.array(RAGGED))
    assert REFERENCE.run(graph, [np.array(RAGGED)])[0] == -np.inf


def test_sorting_puts_nan_last_and_keeps_the_order_of_equals() -> None:
    x = np.array([2.0, np.nan, -0.0, 0.0, -np.inf, 2.0, np.nan, np.inf])
    graph = cr.make_graph(lambda x: (np.sort(x), np.argsort(x)), x)
    for executor in ("reference", *(() if engine.missing() else ("native",))):
        values, places = get_executor(executor).run(graph, [x])
        np.testing.assert_array_equal(values, np.sort(x))
        np.testing.assert_array_equal(places, [4, 2, 3, 0, 5, 7, 1, 6])
        assert np.signbit(values[1])
        assert not np.signbit(values[2])


@needs_native
@pytest.mark.parametrize("kind", ["f32", "f64", "i32", "i64", "u32", "u64"])
def test_long_lines_are_sorted(kind: str) -> None:
    from chainrule.graph.types import DTYPES

    rng = np.random.default_rng(0)
    native = get_executor("native")
    graph = cr.make_graph(lambda x: np.argsort(x, axis=0), Type(kind, (n, 2)))
    for count in (0, 1, 2, 3, 4, 5, 7, 8, 9, 100, 1023, 1024, 1025, 5000):
        x = rng.integers(0, max(count, 1), (count, 2)).astype(DTYPES[kind])  # many ties
        if kind[0] == "i":
            x -= count // 2
        np.testing.assert_array_equal(native.run(graph, [x])[0], np.argsort(x, axis=0, kind="stable"))


# --- what is refused ------------------------------------------------------------------------------------------------

REFUSED: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "einsum, letters": (lambda x: np.einsum("ij->ik", x), "einsum: the result 'ik' must name letters of the operands"),
    "einsum, …": (lambda x: np.einsum("..i->..", x), "einsum: '..i->..' holds something else than letters, '...', co"),
    "einsum, no … in the result": (
        lambda x: np.einsum("...i->i", x), "einsum: '...i->i' must have '...' in its result too",
    ),
    "einsum, no list": (lambda x: np.einsum(x, x), "einsum: the first argument must be a text such as 'ij,jk->ik', o"),
    "einsum, a negative number": (lambda x: np.einsum(x, [0, -1]), "einsum: an axis has the number -1; it must be a"),
    "einsum, of arrays alone": (lambda x: np.einsum(np.ones(2), [0], x), "einsum: the first argument must be a text"),
    "einsum, operands": (lambda x: np.einsum("ij,jk->ik", x), "einsum: 'ij,jk->ik' names 2 operands, 1 were given"),
    "einsum, axes": (lambda x: np.einsum("ijk->i", x), "einsum: operand 0 has 2 axes, 'ijk->i' gives it 3 letters"),
    "einsum, sizes": (lambda x: np.einsum("ij,jk->ik", x, x), "einsum: 'j' stands for 3 and, in operand 1, for 2"),
    "norm": (lambda x: np.linalg.norm(x, 3), "norm: ord is 3 for 2 axes; vectors (one axis) have None, 1, 2"),
    "take_along_axis": (lambda x: np.take_along_axis(x, np.zeros((3, 2), int), 0), "take_along_axis: x has the shape"),
    "pad": (lambda x: np.pad(x, -1), "pad: the widths -1 must be whole numbers from 0 on"),
    "pad axes": (lambda x: np.pad(x, ((1, 1), (1, 1), (1, 1))), "pad: the widths ((1, 1), (1, 1), (1, 1)) do not fit"),
    "flip": (lambda x: np.flip(x, 2), "flip: axis 2 does not exist in a value with 2 axes"),
    "cumsum": (lambda x: np.cumsum(x, axis=2), "cumsum: axis 2 does not exist in a value with 2 axes"),
    "sort": (lambda x: np.sort(x, axis=-3), "sort: axis -3 does not exist in a value with 2 axes"),
    "solve": (lambda x: np.linalg.solve(x, x), "solve: a is f64[2,3]; it must be a square matrix of a known size"),
    "solve, b": (lambda x: np.linalg.solve(x[:, :2], x.T), "solve: a is f64[2,2], b is f64[3,2]; b must have two axes"),
    "inv": (lambda x: np.linalg.inv(x), "solve: a is f64[2,3]; it must be a square matrix"),
    "svd of a stack": (
        lambda x: np.linalg.svd(x[None], full_matrices=False), "svd: a is f64[1,2,3]; it must be one matrix",
    ),
    "moveaxis": (lambda x: np.moveaxis(x, (0, 1), 0), "moveaxis: 2 axes cannot be moved to 1 places"),
    "tensordot": (lambda x: np.tensordot(x, x, ((0, 1), (0,))), "tensordot: 2 axes of a do not pair with 1 of b"),
    "diagonal": (lambda x: np.diagonal(x, 0, 1, -1), "diagonal: the two axes are the same"),
    "repeat": (lambda x: np.repeat(x, [1, 2]), "repeat: the number of times must be one whole number"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_does_not_fit_is_refused_by_name(name: str) -> None:
    function, message = REFUSED[name]
    with pytest.raises((TypeMismatch, TraceError)) as caught:
        cr.make_graph(function, np.ones((2, 3)))
    assert message in str(caught.value)


ROWS_REFUSED: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "roll": (lambda x: np.roll(x, 1, axis=0), "roll: x is f64[n,4]; n rows cannot be rolled"),
    "diff": (lambda x: np.diff(x, axis=0), "n rows have no differences of a known number"),
    "diagonal": (lambda x: np.diagonal(x), "diagonal: x is f64[n,4]; n rows have no diagonal of a known length"),
    "pad": (lambda x: np.pad(x, 1), "pad: an axis of n rows cannot be padded"),
    "svd": (
        lambda x: np.linalg.svd(x, full_matrices=False),
        "svd: a is f64[n,4]; it must be one matrix of a known size",
    ),
}


@pytest.mark.parametrize("name", sorted(ROWS_REFUSED))
def test_what_n_rows_do_not_have_is_refused_by_name(name: str) -> None:
    function, message = ROWS_REFUSED[name]
    with pytest.raises((TypeMismatch, TraceError)) as caught:
        cr.make_graph(function, Type("f64", (n, 4)))
    assert message in str(caught.value)


def test_an_index_out_of_its_line_is_an_error_and_not_the_next_line() -> None:
    graph = cr.make_graph(lambda x, i: np.take_along_axis(x, i, axis=1), np.zeros((3, 4)), np.zeros((3, 2), np.int64))
    np.testing.assert_array_equal(
        REFERENCE.run(graph, [np.arange(12.0).reshape(3, 4), PLACES])[0], [[2, 0], [5, 7], [11, 11]]
    )
    for bad in (4, -5):
        places = np.array([[0, 0], [0, bad], [0, 0]])
        for executor in ("reference", *(() if engine.missing() else ("native",))):
            with pytest.raises(ExecutionError, match="take: the index -1 is out of range"):
                get_executor(executor).run(graph, [np.zeros((3, 4)), places])


def test_a_singular_system_is_an_error_on_both_executors() -> None:
    a, b = np.array([[1.0, 2.0], [2.0, 4.0]]), np.ones((2, 1))
    graph = cr.make_graph(lambda a, b: np.linalg.solve(a, b), a, b)
    for executor in ("reference", *(() if engine.missing() or library.missing() else ("native",))):
        with pytest.raises(ExecutionError, match=r"solve: the matrix a\[2,2\] is singular"):
            get_executor(executor).run(graph, [a, b])
