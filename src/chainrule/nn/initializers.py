"""Initial values of parameters: pure functions of a key, so that a seed gives the same network everywhere.

Weights must start at random: units that start equal get equal gradients and stay equal for ever. *in* and *out* are how
many inputs and outputs a weight [in, out] connects. Those that are objects have numbers of one's own, and are kept by a
model file: ``cr.nn.Dense(8, initializer=cr.nn.Normal(0.1))``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite, prod, sqrt
from numbers import Real
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import TypeMismatch
from chainrule.nn.activations import choose

Array = np.ndarray[Any, Any]
Initializer = Callable[[Array, tuple[int, ...], str], Array]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return how many inputs and outputs a weight [in, out] connects (a vector counts as its own length)."""
    if len(shape) < 2:
        return max(prod(shape), 1), max(prod(shape), 1)
    return max(prod(shape[:-1]), 1), max(shape[-1], 1)


def _numpy(dtype: str) -> str:
    return "f4" if dtype == "f32" else "f8"


def _check(initializer: Any, over_zero: tuple[str, ...] = ()) -> None:
    """Raise TypeMismatch where a number of an initializer is none, or not greater than 0 where it must be."""
    for name, value in vars(initializer).items():
        if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(float(value)):
            raise TypeMismatch(f"{type(initializer).__name__}: {name} is {value!r}; it must be a finite number")
        if name in over_zero and not float(value) > 0:
            raise TypeMismatch(f"{type(initializer).__name__}: {name} is {value!r}; it must be greater than 0")


@dataclass(frozen=True)
class Constant:
    """Every value is ``value``: right for biases and gains, wrong for weights (all units would stay equal)."""

    value: float

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, key: Array, shape: tuple[int, ...], dtype: str) -> Array:
        return np.full(shape, self.value, _numpy(dtype))


@dataclass(frozen=True)
class Uniform:
    """Draw from U(low, high): mean (low + high)/2, variance (high − low)²/12."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check(self)
        if not self.low < self.high:
            raise TypeMismatch(f"Uniform: low is {self.low!r} and high is {self.high!r}; low must be less")

    def __call__(self, key: Array, shape: tuple[int, ...], dtype: str) -> Array:
        half, middle = 0.5 * (self.high - self.low), 0.5 * (self.high + self.low)
        return np.asarray((2.0 * ops.uniform(key, shape, dtype) - 1.0) * half + middle, _numpy(dtype))


@dataclass(frozen=True)
class Normal:
    """Draw from N(mean, deviation²)."""

    deviation: float
    mean: float = 0.0

    def __post_init__(self) -> None:
        _check(self, ("deviation",))

    def __call__(self, key: Array, shape: tuple[int, ...], dtype: str) -> Array:
        return np.asarray(ops.normal(key, shape, dtype) * self.deviation + self.mean, _numpy(dtype))


@dataclass(frozen=True)
class TruncatedNormal:
    """Draw from N(0, deviation²), again and again until within 2 deviations of 0.

    The variance is then 0.7737 · deviation²: it is not made up for, as in TensorFlow's ``truncated_normal``.
    """

    deviation: float

    def __post_init__(self) -> None:
        _check(self, ("deviation",))

    def __call__(self, key: Array, shape: tuple[int, ...], dtype: str) -> Array:
        values = np.array(ops.normal(key, shape, "f64"))
        again = 0
        while np.any(outside := np.abs(values) > 2.0):
            again += 1
            values = np.where(outside, ops.normal(ops.fold(key, np.uint32(again)), shape, "f64"), values)
        return np.asarray(values * self.deviation, _numpy(dtype))


@dataclass(frozen=True)
class Orthogonal:
    """A weight whose columns (or rows, where there are fewer) are orthogonal and have the length ``gain``.

    Q of the QR decomposition of normal numbers, with the signs that make it uniform over all such matrices: a signal
    keeps its length through any number of layers. Axes before the last count as inputs. Saxe, McClelland, Ganguli,
    arXiv 1312.6120; signs: Mezzadri, arXiv math-ph/0609050.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        _check(self, ("gain",))

    def __call__(self, key: Array, shape: tuple[int, ...], dtype: str) -> Array:
        rows, columns = prod(shape[:-1]), shape[-1] if shape else 1
        normal = np.asarray(ops.normal(key, (max(rows, columns), min(rows, columns)), "f64"))
        q, r = np.linalg.qr(normal)
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return np.asarray(self.gain * (q if rows >= columns else q.T).reshape(shape), _numpy(dtype))


def _spread(limit: float, key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    return Uniform(-limit, limit)(key, shape, dtype)


def glorot_uniform(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Draw from U(−a, a), a = √(6 / (in + out)): keeps the spread of signals both ways (Glorot and Bengio 2010)."""
    fan_in, fan_out = fans(shape)
    return _spread(sqrt(6.0 / (fan_in + fan_out)), key, shape, dtype)


def glorot_normal(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Draw from N(0, 2 / (in + out)) (Glorot and Bengio 2010)."""
    fan_in, fan_out = fans(shape)
    return Normal(sqrt(2.0 / (fan_in + fan_out)))(key, shape, dtype)


def he_uniform(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Draw from U(−a, a), a = √(6 / in): made for relu, which halves the signal (He, Zhang, Ren, Sun 2015)."""
    return _spread(sqrt(6.0 / fans(shape)[0]), key, shape, dtype)


def he_normal(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Draw from N(0, 2 / in) (He, Zhang, Ren, Sun 2015)."""
    return Normal(sqrt(2.0 / fans(shape)[0]))(key, shape, dtype)


def lecun_uniform(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Draw from U(−a, a), a = √(3 / in): variance 1 / in (LeCun, Bottou, Orr, Müller 1998)."""
    return _spread(sqrt(3.0 / fans(shape)[0]), key, shape, dtype)


def lecun_normal(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Draw from N(0, 1 / in): what selu is made for (LeCun et al. 1998; Klambauer et al. 2017)."""
    return Normal(sqrt(1.0 / fans(shape)[0]))(key, shape, dtype)


def uniform(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Draw from U(−0.05, 0.05), variance 0.05²/3; with other numbers: ``cr.nn.Uniform(low, high)``."""
    return Uniform(-0.05, 0.05)(key, shape, dtype)


def normal(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Draw from N(0, 0.05²); with other numbers: ``cr.nn.Normal(deviation)``."""
    return Normal(0.05)(key, shape, dtype)


def truncated_normal(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Draw from N(0, 0.05²), cut at ±0.1; with other numbers: ``cr.nn.TruncatedNormal(deviation)``."""
    return TruncatedNormal(0.05)(key, shape, dtype)


def orthogonal(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Return orthogonal columns (or rows) of length 1; of another: ``cr.nn.Orthogonal(gain)``."""
    return Orthogonal()(key, shape, dtype)


def zeros(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Return zeros: right for biases, wrong for weights (all units would stay equal)."""
    return Constant(0.0)(key, shape, dtype)


def ones(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Return ones: for gains."""
    return Constant(1.0)(key, shape, dtype)


INITIALIZERS: Mapping[str, Initializer] = {
    function.__name__: function
    for function in (
        glorot_uniform,
        glorot_normal,
        he_uniform,
        he_normal,
        lecun_uniform,
        lecun_normal,
        uniform,
        normal,
        truncated_normal,
        orthogonal,
        zeros,
        ones,
    )
}


def get_initializer(initializer: str | Initializer) -> Initializer:
    """Return an initializer by name, or a function ``(key, shape, dtype) -> array`` as it is."""
    if callable(initializer):
        return initializer
    found: Initializer = choose(INITIALIZERS, initializer, "initializer")
    return found
