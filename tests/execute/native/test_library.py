"""The native kernels that call LAPACK, against NumPy's and the reference's results."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.errors import ExecutionError
from chainrule.execute.native import engine, lapack, library
from chainrule.ops import TABLE

pytestmark = pytest.mark.skipif(
    bool(engine.missing() or library.missing()), reason=engine.missing() or library.missing() or "LAPACK is here"
)
NUMPY = {"f32": np.float32, "f64": np.float64}
GUARD = 7.25
"""What stands before and behind every buffer, and must stay there."""


@cache
def compiled(op: str, dtype: str, transposed: bool = False) -> tuple[engine.Library, Any]:
    text, outside = library.kernel_text(op, dtype, "kernel", transposed)
    assert outside == ()
    loaded = engine.Library(engine.to_object(text), "kernel")
    kinds = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
    return loaded, ctypes.CFUNCTYPE(None, *kinds)(loaded.address("kernel"))


def call(
    op: str, arrays: list[Any], shape: tuple[int, ...], numbers: list[int], transposed: bool = False, end: int = 1
) -> tuple[Any, int]:
    """Lay operands and the result into slots of their own, each at an offset and between guards; run the kernel."""
    kind = arrays[0].dtype
    dtype = "f32" if kind == np.float32 else "f64"
    status = np.zeros(1, np.int64)
    buffers, arguments = [status], []
    for slot, array in enumerate([*arrays, np.full(shape, 99.0, kind)], start=1):
        guarded = np.full(array.size + 6, GUARD, kind)
        guarded[3:-3] = array.ravel()
        buffers.append(guarded)
        arguments += [slot, 3 * kind.itemsize]
    slots = (ctypes.c_void_p * len(buffers))(*(b.ctypes.data for b in buffers))
    args = np.array([*arguments, *numbers, library.address(op, dtype)], np.int64)
    compiled(op, dtype, transposed)[1](ctypes.addressof(slots), args.ctypes.data, 0, end)
    for array, guarded in zip(arrays, buffers[1:], strict=False):
        np.testing.assert_array_equal(guarded[3:-3], array.ravel())  # operands are not written to
    for guarded in buffers[1:]:
        np.testing.assert_array_equal(guarded[[0, 1, 2, -3, -2, -1]], GUARD)
    return buffers[-1][3:-3].reshape(shape), int(status[0])


def definite(n: int, dtype: str) -> Any:
    x = np.random.default_rng(n).normal(size=(n, n))
    return (x @ x.T + n * np.eye(n)).astype(NUMPY[dtype])


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_cholesky(dtype: str) -> None:
    eps = np.finfo(NUMPY[dtype]).eps
    for n in range(41):
        a = definite(n, dtype) + np.triu(np.full((n, n), 50, NUMPY[dtype]), 1)  # above the diagonal nothing is read
        factor, status = call("cholesky", [a], (n, n), [n])
        assert status == 0
        expected = np.linalg.cholesky(a)
        np.testing.assert_array_equal(np.triu(factor, 1), 0)
        # the backward error is (n + 1)ε, the condition number of these matrices at most 6
        np.testing.assert_allclose(
            factor, expected, rtol=0, atol=8 * (n + 1) * eps * np.max(np.abs(expected), initial=1)
        )


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("transposed", [False, True])
def test_solve_triangular(dtype: str, transposed: bool) -> None:
    eps = np.finfo(NUMPY[dtype]).eps
    reference = TABLE["solve_triangular"].evaluate
    for n in range(41):
        rng = np.random.default_rng(n)
        a = (np.linalg.cholesky(definite(n, "f64")) + np.triu(np.full((n, n), 50), 1)).astype(NUMPY[dtype])
        for m in (0, 1, 2, 17):
            b = rng.normal(size=(n, m)).astype(NUMPY[dtype])
            x, status = call("solve_triangular", [a, b], (n, m), [n, m], transposed)
            assert status == 0
            expected = reference(a, b, transposed=transposed)
            scale = np.max(np.abs(expected), initial=1e-3)
            np.testing.assert_allclose(x, expected, rtol=0, atol=8 * (n + 1) * eps * scale)
            matrix = np.tril(a).T if transposed else np.tril(a)
            np.testing.assert_allclose(matrix @ x, b, rtol=0, atol=8 * (n + 1) * eps * 10)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_a_matrix_that_is_not_definite(dtype: str) -> None:
    for n in (1, 2, 5, 40):
        bad = definite(n, dtype)
        bad[n - 1, n - 1] = -1
        factor, status = call("cholesky", [bad], (n, n), [n])
        assert status == lapack.NOT_POSITIVE_DEFINITE
        assert np.all(np.isnan(factor))
        with pytest.raises(ExecutionError, match="not positive definite"):
            TABLE["cholesky"].evaluate(bad)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_nan_goes_on_as_nan(dtype: str) -> None:
    """As in the reference, it is no error; with it the last element of the diagonal is NaN in every LAPACK."""
    bad = definite(6, dtype)
    bad[3, 1] = np.nan
    factor, status = call("cholesky", [bad], (6, 6), [6])
    assert status == 0
    assert np.isnan(factor[5, 5])
    assert np.isnan(TABLE["cholesky"].evaluate(bad)[5, 5])


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_a_singular_system(dtype: str) -> None:
    a = np.linalg.cholesky(definite(4, dtype))
    a[2, 2] = 0
    x, status = call("solve_triangular", [a, np.ones((4, 2), a.dtype)], (4, 2), [4, 2])
    assert status == lapack.SINGULAR
    assert np.all(np.isnan(x))


def test_another_piece_of_work_does_nothing() -> None:
    factor, status = call("cholesky", [definite(3, "f64")], (3, 3), [3], end=0)
    assert status == 0
    np.testing.assert_array_equal(factor, 99.0)


def test_without_scipy_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.linalg", None)
    library.address.cache_clear()
    assert "SciPy, through which native code calls LAPACK, cannot be loaded" in library.missing.__wrapped__()
    library.address.cache_clear()


def test_no_address_stands_in_the_text() -> None:
    for op in library.ROUTINES:
        text = library.kernel_text(op, "f64", "kernel")[0]
        assert str(library.address(op, "f64")) not in text
        assert "define void @kernel(ptr %slots, ptr %args, i64 %begin, i64 %end)" in text


TWICE = """
import sys
import numpy as np
import chainrule as cr
from chainrule.execute.native import link

a = np.array([[4.0, 2.0], [2.0, 3.0]])
wide = np.concatenate([np.concatenate([a, np.zeros((2, 2))], 1), np.concatenate([np.zeros((2, 2)), a], 1)])
functions = {
    "small": lambda x: np.linalg.cholesky(x),
    "sum": lambda x: np.sum(np.linalg.cholesky(x) ** 2, axis=0),
    "loop": lambda x: cr.ops.scan(
        lambda c, v: (c + np.linalg.cholesky(v), c[0]), x * 0.0, np.stack([x, 2.0 * x])
    )[0],
}
for name in sys.argv[1:]:
    for x in (a, wide):
        np.testing.assert_allclose(cr.compile(functions[name])(x), functions[name](x), rtol=1e-12)
print("right")
"""


def test_a_routine_that_an_earlier_function_brought_is_found_by_the_next(tmp_path: Path) -> None:
    """In one process, and from the store in the next, whichever module the routine's kernel lies in."""
    environment = {**os.environ, "CHAINRULE_CACHE_DIR": str(tmp_path)}
    for names in (["small", "loop"], ["loop"], ["loop", "sum"]):
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", TWICE, *names], env=environment, capture_output=True, text=True
        )
        assert ended.stdout.strip() == "right", ended.stderr
