"""Initial values of parameters: pure functions of a key, so that a seed gives the same network everywhere.

Weights must start at random: units that start equal get equal gradients and stay equal for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod, sqrt
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.nn.activations import choose

Array = np.ndarray[Any, Any]
Initializer = Callable[[Array, tuple[int, ...], str], Array]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return how many inputs and outputs a weight [in, out] connects (a vector counts as its own length)."""
    if len(shape) < 2:
        return max(prod(shape), 1), max(prod(shape), 1)
    return max(prod(shape[:-1]), 1), max(shape[-1], 1)


def _uniform(key: Array, shape: tuple[int, ...], dtype: str, limit: float) -> Array:
    return np.asarray((2.0 * ops.uniform(key, shape, dtype) - 1.0) * limit)


def _normal(key: Array, shape: tuple[int, ...], dtype: str, deviation: float) -> Array:
    return np.asarray(ops.normal(key, shape, dtype) * deviation)


def glorot_uniform(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Draw from U(−a, a), a = √(6 / (in + out)): keeps the spread of signals both ways (Glorot and Bengio 2010)."""
    fan_in, fan_out = fans(shape)
    return _uniform(key, shape, dtype, sqrt(6.0 / (fan_in + fan_out)))


def glorot_normal(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Draw from N(0, 2 / (in + out)) (Glorot and Bengio 2010)."""
    fan_in, fan_out = fans(shape)
    return _normal(key, shape, dtype, sqrt(2.0 / (fan_in + fan_out)))


def he_uniform(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Draw from U(−a, a), a = √(6 / in): made for relu, which halves the signal (He, Zhang, Ren, Sun 2015)."""
    return _uniform(key, shape, dtype, sqrt(6.0 / fans(shape)[0]))


def he_normal(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Draw from N(0, 2 / in) (He, Zhang, Ren, Sun 2015)."""
    return _normal(key, shape, dtype, sqrt(2.0 / fans(shape)[0]))


def normal(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Draw from N(0, 0.05²)."""
    return _normal(key, shape, dtype, 0.05)


def zeros(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Return zeros: right for biases, wrong for weights (all units would stay equal)."""
    return np.zeros(shape, "f4" if dtype == "f32" else "f8")


def ones(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Return ones: for gains."""
    return np.ones(shape, "f4" if dtype == "f32" else "f8")


INITIALIZERS: Mapping[str, Initializer] = {
    "glorot_uniform": glorot_uniform,
    "glorot_normal": glorot_normal,
    "he_uniform": he_uniform,
    "he_normal": he_normal,
    "normal": normal,
    "zeros": zeros,
    "ones": ones,
}


def get_initializer(initializer: str | Initializer) -> Initializer:
    """Return an initializer by name, or a function ``(key, shape, dtype) -> array`` as it is."""
    if callable(initializer):
        return initializer
    found: Initializer = choose(INITIALIZERS, initializer, "initializer")
    return found
