"""What NumPy has and traced values do not: each refusal names what was called, why, and what to write instead."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TraceError, TypeMismatch
from chainrule.ops.overload import FUNCTIONS, UFUNCS
from chainrule.ops.record import TABLE
from chainrule.ops.unavailable import INSTEAD

X = np.array([[0.3, -1.2, 2.5], [1.7, 0.4, -0.6]])
PAGE = "docs/operations.md lists all that is"

REFUSED: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "median": (lambda x: np.median(x), "np.median is not available in a traced function; instead: np.sort(x)[..., n"),
    "percentile": (lambda x: np.percentile(x, 3), "np.percentile is not available in a traced function; instead: np."),
    "histogram": (lambda x: np.histogram(x), "np.histogram is not available in a traced function; instead: np.sum("),
    "convolve": (lambda x: np.convolve(x[0], x[1]), "np.convolve is not available in a traced function; instead: np."),
    "nanmean": (lambda x: np.nanmean(x), "instead: np.mean(x, where=~np.isnan(x))"),
    "unique": (lambda x: np.unique(x), "np.unique is not available in a traced function; instead: its size would dep"),
    "det": (lambda x: np.linalg.det(x), "np.linalg.det is not available in a traced function; instead: L = np.linalg"),
    "near names": (lambda x: np.cumulative_prod(x), "np.cumulative_prod is not available"),
    "near name, not in the table": (lambda x: np.nancumsum(x), "its name is like np.cumsum"),
    "near ufunc": (lambda x: np.frexp(x), "np.frexp is not available in a traced function; its name is like np.exp"),
    "of no near name": (lambda x: np.fft.fft(x), "np.fft.fft is not available in a traced function; write it with"),
    "add.at": (lambda x: np.add.at(x, [0], 1.0), "np.add.at is not available in a traced function; instead: cr.ops.s"),
    "subtract.reduce": (lambda x: np.subtract.reduce(x), "np.subtract.reduce is not available in a traced function;"),
    "reduce, initial": (lambda x: np.add.reduce(x, initial=1.0), "np.add.reduce in a traced function does not take i"),
    "where of a ufunc": (lambda x: np.exp(x, where=x > 0), "np.exp(…, where=…): np.exp in a traced function does not"),
    "dtype of a ufunc": (lambda x: np.exp(x, dtype="f4"), "does not take dtype; convert before or after: np.exp(x.as"),
    "dtype of max": (lambda x: np.max(x, initial=0.0), "np.max(…, initial=…): np.max in a traced function does not t"),
    "order": (lambda x: np.reshape(x, (3, 2), order="F"), "np.reshape(…, order=…): np.reshape in a traced function d"),
    "mode of pad": (lambda x: np.pad(x, 1, mode="edge"), "np.pad(…): mode 'edge' is not available; mode='constant' is"),
    "mode of take": (lambda x: np.take(x, [0], mode="clip"), "np.take(…, mode=…): np.take in a traced function does"),
    "order of sort": (lambda x: np.sort(x, order="a"), "np.sort(…, order=…): np.sort in a traced function does not t"),
    "svd": (lambda x: np.linalg.svd(x), "np.linalg.svd(…): of a matrix that is not square only np.linalg.svd(a, full"),
    "svd, hermitian": (lambda x: np.linalg.svd(x, hermitian=True), "np.linalg.svd(…, hermitian=…): np.linalg.svd in"),
    "diagonal": (lambda x: np.diagonal(x, 1), "np.diagonal(…): offset must be 0"),
    "where of one": (lambda x: np.where(x > 0), "np.where(…): the number of places where a condition holds"),
    "too many": (lambda x: np.sum(x, 0, None, None, True), "np.sum(…) in a traced function takes a, axis, dtype, kee"),
    "a method": (lambda x: x.sum(initial=1.0), "np.sum(…, initial=…): np.sum in a traced function does not take init"),
    "average": (lambda x: np.average(x, weights=[1.0, 2.0]), "np.average(…): weights must have the shape of a, or one"),
    "split": (lambda x: np.split(x, 2, axis=1), "np.split(…): 3 elements along axis 1 are not 2 equal parts"),
    "diag": (lambda x: np.diag(x, 1), "np.diag(…): k must be 0, and v a vector or a matrix of a known size"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_call_and_what_to_write(name: str) -> None:
    function, message = REFUSED[name]
    with pytest.raises(TraceError, match=re.escape(message)) as caught:
        cr.make_graph(function, X)
    text = str(caught.value)
    assert "_svd" not in text
    assert "<lambda>" not in text
    assert "unexpected keyword" not in text
    assert len(text) < 400
    assert ("is not available in a traced" not in text) or PAGE in text or "reduce" in name


AXES: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "sum": (lambda x: np.sum(x, axis=1.0), "sum: axis is 1.0; it must be a whole number, a tuple of whole numbers, o"),
    "mean": (lambda x: np.mean(x, axis="rows"), "np.mean(…): sum: axis is 'rows'; it must be a whole number"),
    "mean beyond": (lambda x: np.mean(x, axis=5), "np.mean(…): sum: axis 5 does not exist in a value with 2 axes"),
    "argmin": (lambda x: np.argmin(x, axis=1.0), "argmin: axis is 1.0; it must be a whole number"),
    "argmin beyond": (lambda x: x.argmin(axis=2), "argmin: axis 2 does not exist in a value with 2 axes"),
    "argmax of two": (lambda x: np.argmax(x, axis=(0, 1)), "argmax: axis is (0, 1); it takes one axis, or None"),
    "argmin of none": (lambda x: np.argmin(x[:0], axis=0), "argmin: axis 0 of x[0,3] is empty, it has no argmin"),
    "concatenate": (lambda x: np.concatenate([x, x], axis=0.5), "concatenate: axis is 0.5; it must be a whole number"),
    "take": (lambda x: np.take(x, [0], axis=None if x is None else 0.5), "take: axis is 0.5; it must be a whole numb"),
}  # fmt: skip


@pytest.mark.parametrize("name", AXES)
def test_axes_that_are_none_are_told_by_the_function_that_was_called(name: str) -> None:
    function, message = AXES[name]
    with pytest.raises(TypeMismatch, match=re.escape(message)):
        cr.make_graph(function, X)


def test_functions_of_other_libraries_are_refused_by_their_names() -> None:
    special = pytest.importorskip("scipy.special")
    for function, message in (
        (special.expit, "expit is not available in a traced function; instead: cr.ops.sigmoid(x)"),
        (special.erf, "erf is not available in a traced function; instead: cr.ops.erf(x)"),
        (special.gamma, "gamma is not available in a traced function; write it with operations that are"),
    ):
        with pytest.raises(TraceError, match=re.escape(message)):
            cr.make_graph(lambda x, function=function: function(x), X)


def test_writing_into_an_array_is_refused() -> None:
    out = np.zeros((2, 3))
    message = "np.add(…, out=…): np.add in a traced function does not take out; a traced value cannot be written into"
    with pytest.raises(TraceError, match=re.escape(message)):
        cr.make_graph(lambda x: np.add(x, 1.0, out=out), X)
    with pytest.raises(TraceError, match="does not take out"):
        cr.make_graph(lambda x: operator.iadd(out, x), X)
    with pytest.raises(
        TraceError, match=re.escape("np.clip(…, out=…): np.clip in a traced function does not take out")
    ):
        cr.make_graph(lambda x: np.clip(x, 0.0, 1.0, out=out), X)
    cr.make_graph(lambda x: np.sum(x, out=None), X)


def _of_numpy(name: str) -> Any:
    place: Any = np
    for part in name.split("."):
        place = getattr(place, part, None)
    return place


def test_every_hint_is_of_a_function_that_is_not_there() -> None:
    """A function that was added has no hint any more, and a hint is not of a name that nothing has."""
    special = pytest.importorskip("scipy.special")
    known = {*FUNCTIONS, *UFUNCS, *(op.evaluate for op in TABLE.values())}
    for name in INSTEAD:
        found = _of_numpy(name) or getattr(special, name, None)
        assert found is not None, name
        assert found not in known, name


def test_hints_of_moments_are_of_rows_as_numpys_are() -> None:
    """They were of columns, which is a matrix of another size, or of the same with other numbers."""
    x = np.random.default_rng(0).normal(size=(3, 3))
    mean, product = INSTEAD["cov"].partition(", of the rows")[0].split("; ")
    found: dict[str, Any] = {"x": x, "np": np}
    exec(mean, found)
    np.testing.assert_allclose(eval(product, found), np.cov(x), rtol=1e-12)
    mean, product = INSTEAD["corrcoef"].partition(", of the rows")[0].split("; ")
    exec(mean, found)
    np.testing.assert_allclose(eval(product, found), np.corrcoef(x), rtol=1e-12)


@pytest.mark.parametrize(
    ("hint", "wanted"),
    [
        (lambda x: np.sort(x)[..., 3 // 2], np.median(X, axis=-1)),
        (lambda x: np.sum(np.where(x == 0, 1.0, np.sin(np.pi * x) / (np.pi * x))), np.sum(np.sinc(X))),
        (lambda x: np.mean(x, where=~np.isnan(x)), np.nanmean(X)),
        (lambda x: np.sum((x[..., None] >= np.array([0.0, 1.0])) * 1, axis=-1), np.digitize(X, [0.0, 1.0])),
        (lambda x: np.sum(x[..., None] > np.array([0.0, 1.0]), axis=-1), np.searchsorted([0.0, 1.0], X)),
        (lambda x: np.flip(np.transpose(x), 0), np.rot90(X)),
        (lambda x: x[0] - np.sum(x[1:], axis=0), np.subtract.reduce(X)),
        (lambda x: np.sum((x[1:] + x[:-1]) / 2, axis=0), np.trapezoid(X, axis=0)),
        (lambda x: x - np.trunc(x / 0.7) * 0.7, np.fmod(X, 0.7)),
        (lambda x: np.sign(x) * np.abs(x) ** (1 / 3), np.cbrt(X)),
        (lambda x: np.logaddexp(x * np.log(2), 1.0 * np.log(2)) / np.log(2), np.logaddexp2(X, 1.0)),
        (lambda x: np.sum(np.log(np.diagonal(np.linalg.cholesky(x @ x.T)))) * 2, np.linalg.slogdet(X @ X.T)[1]),
        (lambda x: np.prod(np.diagonal(np.linalg.cholesky(x @ x.T))) ** 2, np.linalg.det(X @ X.T)),
        (lambda x: (lambda u, s, vt: (vt.T / s) @ u.T)(*np.linalg.svd(x, full_matrices=False)), np.linalg.pinv(X)),
    ],
)
def test_hints_compute_what_was_asked_for(hint: Any, wanted: Any) -> None:
    (got,) = cr.execute.REFERENCE.run(cr.make_graph(hint, X), [X])
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-14)
