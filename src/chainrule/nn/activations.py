"""Activation functions: what a unit makes of its net input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from chainrule import ops
from chainrule.errors import TraceError


def identity(x: Any) -> Any:
    """Return x itself: a layer without an activation is linear."""
    return x


def sigmoid(x: Any) -> Any:
    """Return 1 / (1 + e⁻ˣ), between 0 and 1."""
    return ops.sigmoid(x)


def tanh(x: Any) -> Any:
    """Return tanh x, between −1 and 1."""
    return ops.tanh(x)


def relu(x: Any) -> Any:
    """Return max(0, x); its derivative at 0 is 0 by convention."""
    return ops.relu(x)


def softmax(x: Any) -> Any:
    """Return eˣ / Σ eˣ over the last axis: positive numbers that sum to 1."""
    return ops.softmax(x, axis=-1)


ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = {
    "identity": identity,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "relu": relu,
    "softmax": softmax,
}

Activation = str | Callable[[Any], Any]


def get_activation(activation: Activation) -> Callable[[Any], Any]:
    """Return an activation by name, or a function of one's own as it is."""
    return activation if callable(activation) else choose(ACTIVATIONS, activation, "activation")


def choose(table: Mapping[str, Any], name: Any, what: str) -> Any:
    """Look a name up; an unknown one is an error that lists what there is, and the nearest."""
    if isinstance(name, str) and name in table:
        return table[name]
    near = get_close_matches(str(name), table, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise TraceError(f"there is no {what} {name!r}; {hint}There are: {', '.join(table)}")
