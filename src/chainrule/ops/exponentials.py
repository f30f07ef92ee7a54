"""Powers of two, logarithms of other bases, and the logarithm of a sum of two exponentials: elementwise records."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.ops.logic import isfinite, where
from chainrule.ops.mathematics import sigmoid
from chainrule.ops.record import Op, elementwise

_LOG2, _LOG10 = 0.6931471805599453, 2.302585092994046

exp2 = elementwise(
    "exp2", "x",
    evaluate=np.exp2,
    pullback={"x": lambda g, y, x: g * (y * _LOG2)},
    lower=lambda b, x: b.exp2(x),
    latex="2^{{{x}}}", because="d(2ˣ)/dx = 2ˣ·log 2",
    sample=[(-2, 2)],
)  # fmt: skip
log2 = elementwise(
    "log2", "x",
    evaluate=np.log2,
    pullback={"x": lambda g, y, x: g / (x * _LOG2)},
    lower=lambda b, x: b.log2(x),
    latex=r"\log_2 {x}", because="log₂ x = log x / log 2",
    kinks="x = 0: −Inf; x < 0: NaN",
    sample=[(0.2, 3)],
)  # fmt: skip
log10 = elementwise(
    "log10", "x",
    evaluate=np.log10,
    pullback={"x": lambda g, y, x: g / (x * _LOG10)},
    lower=lambda b, x: b.log10(x),
    latex=r"\log_{{10}} {x}", because="log₁₀ x = log x / log 10",
    kinks="x = 0: −Inf; x < 0: NaN",
    sample=[(0.2, 3)],
)  # fmt: skip


def _share(g: Any, mine: Any, other: Any) -> Any:
    both = (mine == other) & ~isfinite(mine)  # two equal infinities, of which the difference is NaN
    return g * sigmoid(where(both, 0, mine - other))


logaddexp: Op = elementwise(
    "logaddexp", "a b",
    evaluate=np.logaddexp,
    pullback={"a": lambda g, y, a, b: _share(g, a, b), "b": lambda g, y, a, b: _share(g, b, a)},
    lower=lambda b, x, y: b.logaddexp(x, y),
    latex=r"\log\left(e^{{{a}}} + e^{{{b}}}\right)",
    because="∂y/∂a = eᵃ/(eᵃ + eᵇ) = σ(a − b): a softmax of two",
    kinks="a = b = ±Inf: each operand gets half",
    sample=[(-2, 2), (-2, 2)],
)  # fmt: skip
