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


def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """Return x where x > 0, else slope · x; its derivative at 0 is the slope (Maas, Hannun, Ng 2013)."""
    return ops.where(x > 0, x, slope * x)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """Return x where x > 0, else α (eˣ − 1) (Clevert, Unterthiner, Hochreiter, arXiv 1511.07289)."""
    return ops.where(x > 0, x, alpha * ops.expm1(ops.where(x > 0, 0.0, x)))  # eˣ is never taken of a large x


def selu(x: Any) -> Any:
    """Return λ·elu(x; α), which keeps mean 0 and variance 1 (Klambauer et al., arXiv 1706.02515)."""
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


def gelu(x: Any) -> Any:
    """Return x Φ(x) = ½ x (1 + erf(x/√2)): x times how likely a normal number is below it (arXiv 1606.08415)."""
    return 0.5 * x * (1.0 + ops.erf(x * 0.7071067811865476))


def gelu_tanh(x: Any) -> Any:
    """Return ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))): near gelu, within 5·10⁻⁴ (arXiv 1606.08415)."""
    inner = ops.clip(x, -10.0, 10.0)  # from 10 on the tanh is 1 to the last bit: x³ need not overflow
    return 0.5 * x * (1.0 + ops.tanh(0.7978845608028654 * (inner + 0.044715 * inner * inner * inner)))


def silu(x: Any) -> Any:
    """Return x σ(x), also called swish (Ramachandran, Zoph, Le, arXiv 1710.05941)."""
    return x * ops.sigmoid(x)


def mish(x: Any) -> Any:
    """Return x tanh(log(1 + eˣ)) (Misra, arXiv 1908.08681)."""
    return x * ops.tanh(ops.softplus(x))


def softplus(x: Any) -> Any:
    """Return log(1 + eˣ), a smooth relu; right for large x, where eˣ would overflow."""
    return ops.softplus(x)


def exponential(x: Any) -> Any:
    """Return eˣ: the rate that belongs to its logarithm; infinite beyond the largest float."""
    return ops.exp(x)


def softmax(x: Any) -> Any:
    """Return eˣ / Σ eˣ over the last axis: positive numbers that sum to 1."""
    return ops.softmax(x, axis=-1)


def log_softmax(x: Any) -> Any:
    """Return x − log Σ eˣ over the last axis: the logarithm of softmax, right for large scores."""
    return ops.log_softmax(x)


ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = {
    "identity": identity,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "relu": relu,
    "softmax": softmax,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "selu": selu,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "silu": silu,
    "mish": mish,
    "softplus": softplus,
    "exponential": exponential,
    "log_softmax": log_softmax,
}

Activation = str | Callable[[Any], Any]


def get_activation(activation: Activation) -> Callable[[Any], Any]:
    """Return an activation by name, or a function of one's own as it is."""
    return activation if callable(activation) else choose(ACTIVATIONS, activation, "activation")


def choose(table: Mapping[str, Any], name: Any, what: str) -> Any:
    """Look a name up; an unknown one is an error that lists what there is, and the nearest."""
    if isinstance(name, str) and name in table:
        return table[name]
    near = get_close_matches(name, table, n=1) if isinstance(name, str) else []
    hint = f"did you mean {near[0]!r}? There are" if near else "there are"
    raise TraceError(f"there is no {what} {name!r}; {hint}: {', '.join(table)}")
