"""What to say of a NumPy function, or an argument of one, that traced values do not have: what to write instead."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from chainrule.errors import TraceError

_PAGE = "docs/operations.md lists all that is"
_ANY_SIZE = "its size would depend on the values, which a graph cannot hold"

INSTEAD: Mapping[str, str] = {
    "median": "np.sort(x)[..., n // 2] is the middle one of n elements, where n is odd",
    "percentile": "np.sort(x)[..., k] is the k-th smallest element",
    "quantile": "np.sort(x)[..., k] is the k-th smallest element",
    "partition": "np.sort(x)",
    "argpartition": "np.argsort(x)",
    "lexsort": "np.argsort(x)",
    "array_split": "slices, x[:3], x[3:], or np.split(x, parts) into equal parts",
    "hsplit": "np.split(x, parts, axis=1)",
    "vsplit": "np.split(x, parts, axis=0)",
    "append": "np.concatenate([x, more])",
    "insert": "np.concatenate([x[:i], more, x[i:]])",
    "delete": "np.concatenate([x[:i], x[i + 1:]])",
    "dstack": "np.stack([x, y], axis=-1)",
    "block": "np.concatenate, once an axis",
    "rot90": "np.flip(np.transpose(x), 0)",
    "rollaxis": "np.moveaxis(x, source, destination)",
    "resize": "np.reshape, np.tile or np.pad",
    "select": "np.where(a, x, np.where(b, y, z))",
    "piecewise": "np.where(condition, x, y)",
    "choose": "np.where(condition, x, y)",
    "nonzero": f"{_ANY_SIZE}; np.where(x != 0, a, b) chooses",
    "flatnonzero": f"{_ANY_SIZE}; np.where(x != 0, a, b) chooses",
    "argwhere": f"{_ANY_SIZE}; np.where(x != 0, a, b) chooses",
    "unique": f"{_ANY_SIZE}; find them outside the function",
    "compress": f"{_ANY_SIZE}; np.where(mask, x, 0) keeps the size",
    "extract": f"{_ANY_SIZE}; np.where(mask, x, 0) keeps the size",
    "bincount": "np.sum(cr.ops.one_hot(labels, classes), axis=0)",
    "histogram": "np.sum((x[:, None] >= edges[:-1]) & (x[:, None] < edges[1:]), axis=0), which leaves out "
    "x == edges[-1], that NumPy counts in the last bin",
    "digitize": "np.sum(x[..., None] >= edges, axis=-1)",
    "searchsorted": "np.sum(x[..., None] > edges, axis=-1)",
    "interp": "np.where over the pieces, each a line",
    "nansum": "np.sum(x, where=~np.isnan(x))",
    "nanmean": "np.mean(x, where=~np.isnan(x))",
    "nanmax": "np.max(np.where(np.isnan(x), -np.inf, x))",
    "nanmin": "np.min(np.where(np.isnan(x), np.inf, x))",
    "nanstd": "np.where(np.isnan(x), 0, x), and the formula",
    "nanvar": "np.where(np.isnan(x), 0, x), and the formula",
    "isclose": "np.abs(a - b) <= tolerance",
    "allclose": "np.all(np.abs(a - b) <= tolerance)",
    "array_equal": "np.all(a == b)",
    "array_equiv": "np.all(a == b)",
    "isin": "np.any(x[..., None] == values, axis=-1)",
    "cov": "d = x - np.mean(x, axis=1, keepdims=True); d @ d.T / (x.shape[1] - 1), of the rows of x as in NumPy",
    "corrcoef": "z = (x - np.mean(x, axis=1, keepdims=True)) / np.std(x, axis=1, keepdims=True); "
    "z @ z.T / x.shape[1], of the rows of x as in NumPy",
    "convolve": "np.sum over shifted slices, or a product with a matrix of the kernel",
    "correlate": "np.sum over shifted slices, or a product with a matrix of the kernel",
    "gradient": "np.diff(x)",
    "ediff1d": "np.diff(x)",
    "trapezoid": "np.sum((y[1:] + y[:-1]) / 2 * np.diff(x))",
    "cross": "the formula, with np.stack([...], axis=-1)",
    "kron": "np.einsum('ij,kl->ikjl', a, b), reshaped",
    "vecdot": "np.sum(a * b, axis=-1)",
    "matvec": "np.einsum('...ij,...j->...i', a, x)",
    "vecmat": "np.einsum('...i,...ij->...j', x, a)",
    "meshgrid": "broadcasting, x[:, None] and y[None, :]",
    "apply_along_axis": "cr.scan, or the function written for whole arrays",
    "vectorize": "the function written for whole arrays",
    "fill_diagonal": "np.where(np.eye(n, dtype=bool), value, x)",
"linalg.vector_norm": "np.linalg.norm(x, axis=axis)",
    "linalg.matrix_norm": "np.linalg.norm(x)",
    "linalg.outer": "np.outer(a, b)",
    "real": "x itself, which is real",
    "conjugate": "x itself, which is real",
    "matrix_transpose": "np.swapaxes(x, -1, -2)",
    "cumulative_sum": "np.cumsum(x, axis=axis)",
    "cumulative_prod": "np.cumprod(x, axis=axis)",
    "sinc": "np.where(x == 0, 1.0, np.sin(np.pi * x) / (np.pi * x))",
    "copyto": "np.where(mask, new, x)",
    "put": "np.where(mask, new, x)",
    "add.at": "cr.ops.scatter_add(indices, updates, size=n) added to x",
    "add.reduceat": "np.sum over slices",
    "subtract.reduce": "x[0] - np.sum(x[1:], axis=0)",
    "linalg.det": "L = np.linalg.cholesky(a); np.prod(np.diagonal(L)) ** 2, where a is positive definite",
    "linalg.slogdet": "L = np.linalg.cholesky(a); 2 * np.sum(np.log(np.diagonal(L))), where a is positive definite",
    "linalg.pinv": "u, s, vt = np.linalg.svd(a, full_matrices=False); (vt.T / s) @ u.T",
    "linalg.lstsq": "np.linalg.solve(a.T @ a, a.T @ b)",
    "linalg.matrix_power": "a @ a @ a",
    "linalg.eigvalsh": "np.linalg.svd(a, compute_uv=False), where a is positive definite",
    "linalg.eigh": "np.linalg.svd(a), where a is positive definite",
    "linalg.cond": "s = np.linalg.svd(a, compute_uv=False); s[0] / s[-1]",
    "expit": "cr.ops.sigmoid(x)",
    "erf": "cr.ops.erf(x)",
    "log_expit": "-cr.ops.softplus(-x)",
    "xlogy": "np.where(x == 0, 0.0, x * np.log(y))",
    "logaddexp2": "np.logaddexp(a * np.log(2), b * np.log(2)) / np.log(2)",
    "cbrt": "np.sign(x) * np.abs(x) ** (1 / 3)",
    "heaviside": "np.where(x < 0, 0.0, 1.0)",
    "fmax": "np.maximum(a, b)",
    "fmin": "np.minimum(a, b)",
    "fmod": "a - np.trunc(a / b) * b",
    "copysign": "np.where(sign < 0, -np.abs(x), np.abs(x))",
    "signbit": "x < 0",
    "bitwise_count": "shifts and sums of x & 1",
}  # fmt: skip
"""What to write in place of functions that are not there."""

_OPTIONS: Mapping[str, str] = {
    "out": "a traced value cannot be written into; use the result",
    "where": "choose before or after: np.where(mask, x, 0), np.where(mask, {name}(x), y)",
    "dtype": "convert before or after: {name}(x.astype('float32'))",
    "initial": "put the number into the result: np.maximum, np.minimum or +",
    "order": "elements are in C order; transpose first",
    "casting": "convert with x.astype('float32')",
    "mode": "an index out of range is an error; np.clip brings it in",
}
"""Why options of NumPy's functions are not there, and what to write."""


def unavailable(name: str, known: Iterable[str]) -> TraceError:
    """Return the error for a function that is not there: with what to write instead, or the names nearest to it."""
    instead = INSTEAD.get(name.removeprefix("np."))
    if instead is None:
        names = {full.split(".")[-1]: full for full in sorted(known)}
        near = [names[found] for found in get_close_matches(name.split(".")[-1], names, n=3, cutoff=0.7)]
        instead = f"its name is like {' and '.join(near)}" if near else "write it with operations that are"
    else:
        instead = f"instead: {instead}"
    return TraceError(f"{name} is not available in a traced function; {instead}. {_PAGE}")


def option_refused(name: str, option: str) -> TraceError:
    """Return the error for an option that is not there."""
    why = _OPTIONS.get(option, "leave it out").format(name=name)
    return TraceError(f"{name}(…, {option}=…): {name} in a traced function does not take {option}; {why}")


def arguments_refused(
    name: str, function: Callable[..., Any], arguments: Sequence[Any], options: Mapping[str, Any], error: TypeError
) -> TraceError:
    """Return the error for arguments that the function does not have; else for what it said of them itself."""
    parameters = inspect.signature(function).parameters
    for option in options:
        if option not in parameters:
            return option_refused(name, option)
    try:
        inspect.signature(function).bind(*arguments, **options)
    except TypeError:
        taken = ", ".join(str(p).split(":")[0] for p in parameters.values())
        return TraceError(f"{name}(…) in a traced function takes {taken}; {len(arguments)} without a name were given")
    return TraceError(f"{name}(…): {error}")


def in_words(name: str, error: TraceError) -> TraceError:
    """Return an error with the function that was called before the operation in it that went wrong."""
    plain = name.split(".")[-1]
    said = str(error)
    return error if said.startswith((f"{plain}:", f"{plain} takes", name)) else type(error)(f"{name}(…): {said}")
