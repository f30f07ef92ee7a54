"""The judges of derivatives: formulas of complex numbers, and formulas for HIPS autograd."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.special
from op_samples import FLOATS

from chainrule.ops import TABLE, Op

with warnings.catch_warnings():  # autograd is a judge here, not under test: its own deprecations are not ours
    warnings.simplefilter("ignore")
    import autograd
    import autograd.numpy as anp
    import autograd.scipy.linalg
    import autograd.scipy.special

COMPLEX: Mapping[str, Callable[..., Any]] = {
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "softplus": lambda z: np.log(1 + np.exp(z)),
    "erf": scipy.special.erf,
    "named": lambda z, name: z,
    "where": np.where,
    "relu": lambda z: np.where(z.real > 0, z, 0),
    "maximum": lambda a, b: np.where(a.real > b.real, a, b),
    "minimum": lambda a, b: np.where(a.real < b.real, a, b),
    "absolute": lambda z: np.where(z.real > 0, z, -z),
    "remainder": lambda a, b: a - np.floor(a.real / b.real) * b,
    "hypot": lambda a, b: np.sqrt(a * a + b * b),
    "arctan2": lambda a, b: np.arctan(a / b),  # at b > 0, where it is sampled
    "logaddexp": lambda a, b: np.log(np.exp(a) + np.exp(b)),
    "matmul": np.matmul,
    "sum": lambda z, axes: np.sum(z, axis=axes),
    "prod": lambda z, axes: np.prod(z, axis=axes),
    "max": lambda z, axes: _at_extreme(z, axes, np.max),
    "min": lambda z, axes: _at_extreme(z, axes, np.min),
    "cumulative_sum": lambda z, axis, reverse: _from_the_end(np.cumsum, z, axis, reverse),
    "recurrence": lambda a, b, axis, reverse: TABLE["recurrence"].evaluate(a, b + 0 * a, axis, reverse),
    "flip": lambda z, axes: np.flip(z, axes),
    "broadcast": np.broadcast_to,
    "reshape": np.reshape,
    "transpose": np.transpose,
    "slice": lambda z, start, stop, step: z[tuple(map(slice, start, stop, step))],
    "pad": lambda z, before, after, between: TABLE["pad"].evaluate(z, before, after, between),
    "concatenate": lambda *z, axis: np.concatenate(z, axis),
    "take": lambda z, indices: z[indices],
    "scatter_add": lambda indices, z, size: TABLE["scatter_add"].evaluate(indices, z, size),
    "solve": lambda a, b, transposed: np.linalg.solve(a.T if transposed else a, b),
    "solve_triangular": lambda a, b, transposed: np.linalg.solve(np.tril(a).T if transposed else np.tril(a), b),
}
"""Formulas analytic (away from the kinks) where NumPy's function is not one of complex numbers."""


def _from_the_end(function: Callable[..., Any], z: Any, axis: int, reverse: bool) -> Any:
    return np.flip(function(np.flip(z, axis), axis), axis) if reverse else function(z, axis)


def _at_extreme(z: Any, axes: tuple[int, ...], function: Callable[..., Any]) -> Any:
    extreme = function(z.real, axis=axes, keepdims=True)
    return np.sum(np.where(z.real == extreme, z, 0), axis=axes)


def analytic(op: Op) -> Callable[..., Any] | None:
    takes_complex = isinstance(op.evaluate, np.ufunc) and any(t.endswith("->D") for t in op.evaluate.types)
    if op.name in COMPLEX:
        return COMPLEX[op.name]
    return op.evaluate if takes_complex and op.name not in ("sign", "floor", "ceil", "rint") else None


AUTOGRAD: Mapping[str, Callable[..., Any]] = {
    "sigmoid": lambda x: anp.exp(-anp.logaddexp(0.0, -x)),
    "softplus": lambda x: anp.logaddexp(0.0, x),
    "erf": autograd.scipy.special.erf,
    "relu": lambda x: anp.maximum(0.0, x),
    "hypot": lambda a, b: anp.sqrt(a * a + b * b),
    "reciprocal": lambda x: 1.0 / x,
    "named": lambda x, name: 1.0 * x,
    "cast": lambda x, dtype: 1.0 * x if dtype in FLOATS else anp.floor(x) * 0.0,
    "sum": lambda x, axes: anp.sum(x, axis=axes) if axes else x,
    "prod": lambda x, axes: anp.prod(x, axis=axes) if axes else x,
    "max": lambda x, axes: anp.max(x, axis=axes) if axes else x,
    "min": lambda x, axes: anp.min(x, axis=axes) if axes else x,
    "cumulative_sum": lambda x, axis, reverse: _turned(anp.cumsum(_turned(x, axis, reverse), axis=axis), axis, reverse),
    "recurrence": lambda a, b, axis, reverse: _recurrence(a, b, axis, reverse),
    "flip": lambda x, axes: x[tuple(slice(None, None, -1 if a in axes else 1) for a in range(x.ndim))],
    "broadcast": lambda x, shape: anp.zeros(shape) + x,
    "take": lambda x, indices: x[indices],
    "scatter_add": lambda indices, x, size: anp.tensordot(
        (np.arange(size)[:, None] == indices.reshape(-1)).astype(float),
        anp.reshape(x, (indices.size, *x.shape[indices.ndim :])), 1,
    ),
    "slice": lambda x, start, stop, step: x[tuple(map(slice, start, stop, step))],
    "pad": lambda x, before, after, between: _padded(x, before, after, between),
    "concatenate": lambda *parts, axis: anp.concatenate(parts, axis),
    "where": lambda condition, a, b: anp.where(condition, a + 0 * b, b + 0 * a),  # its own rule does not un-broadcast
    "remainder": lambda a, b: a - b * np.floor(_plain(a) / _plain(b)),
    "matmul": anp.matmul,
    "reshape": anp.reshape,
    "transpose": anp.transpose,
    "cholesky": lambda a: anp.linalg.cholesky(_symmetric(a)),
    "solve": lambda a, b, transposed: anp.linalg.solve(a.T if transposed else a, b),
    "solve_triangular": lambda a, b, transposed: anp.linalg.solve(anp.tril(a).T if transposed else anp.tril(a), b),
    "svd": lambda a: _triplets(a),
    "scan": lambda start, xs, body, reverse: _scanned(start, xs, body, reverse),
    "iterate": lambda a, power: anp.power(a, 1.0 / power),
    **{
        name: getattr(anp, name)
        for name in (
            *("add", "subtract", "multiply", "divide", "negative", "square", "exp", "expm1", "log", "log1p", "sqrt"),
            *("sin", "cos", "tan", "tanh", "absolute", "maximum", "minimum", "power", "exp2", "log2", "log10"),
            *("arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh", "arcsinh", "arccosh", "arctanh", "logaddexp"),
        )
    },
}  # fmt: skip


def _plain(x: Any) -> Any:
    """Return the numbers that autograd follows, at any depth: a floor is constant between the integers."""
    while isinstance(x, autograd.tracer.Box):
        x = x._value
    return x


def _turned(x: Any, axis: int, reverse: bool) -> Any:
    return x[tuple(slice(None, None, -1 if reverse and a == axis else 1) for a in range(x.ndim))]


def _recurrence(a: Any, b: Any, axis: int, reverse: bool) -> Any:
    factors, terms = (anp.moveaxis(_turned(x, axis, reverse), axis, 0) for x in (a, b))
    found = [terms[0]]
    for i in range(1, len(terms)):
        found.append(factors[i] * found[-1] + terms[i])
    return _turned(anp.moveaxis(anp.stack(found), 0, axis), axis, reverse)


def _padded(x: Any, before: Any, after: Any, between: Any) -> Any:
    for axis, (b, a, w) in enumerate(zip(before, after, between, strict=True)):
        place = np.zeros((b + a + x.shape[axis] + w * max(x.shape[axis] - 1, 0), x.shape[axis]))
        place[b + (w + 1) * np.arange(x.shape[axis]), np.arange(x.shape[axis])] = 1.0
        x = anp.moveaxis(anp.tensordot(place, x, ((1,), (axis,))), 0, axis)
    return x


def _symmetric(a: Any) -> Any:
    lower = anp.tril(a)
    return lower + lower.T - anp.diag(anp.diag(lower))


def _triplets(a: Any) -> Any:
    u, s, vt = anp.linalg.svd(a, full_matrices=False)
    known = TABLE["svd"].evaluate(np.asarray(getattr(a, "_value", a)))
    signs = np.sign(np.sum(known[: a.shape[0]] * np.asarray(getattr(u, "_value", u)), axis=0))
    return anp.concatenate([u * signs, anp.reshape(s, (1, -1)), vt.T * signs])


def _scanned(carry: Any, xs: Any, body: str, reverse: bool) -> Any:
    bodies: Mapping[str, Callable[[Any, Any], Any]] = {
        "sum": lambda c, x: (c + x, c * x),
        "product": lambda c, x: (c * x, anp.sin(c)),
        "tanh": lambda c, x: (anp.tanh(c + 0.5 * x), c),
    }
    found = [None] * len(xs)
    for trip in range(len(xs))[:: -1 if reverse else 1]:
        carry, found[trip] = bodies[body](carry, xs[trip])
    return anp.stack([carry, *found])
