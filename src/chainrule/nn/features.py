"""Numbers as features: periodic ones, and piecewise linear ones; each column by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import TypeMismatch
from chainrule.graph import Type, as_array
from chainrule.nn.activations import Activation, get_activation
from chainrule.nn.initializers import Normal, Uniform
from chainrule.nn.layer import Layer, Parameter, columns_of, float_name, require_number, require_whole
from chainrule.nn.scope import Scope

Array = np.ndarray[Any, Any]


def each_column(features: Any, weight: Any) -> Any:
    """Multiply each column's features [n, columns, in] by its own weight [columns, in, out], to [n, columns, out]."""
    by_unit = ops.transpose(weight, (0, 2, 1))  # so that, forward and backward, neighbors are multiplied by neighbors
    return ops.sum_(ops.expand_dims(features, 2) * by_unit, axis=3)


@dataclass(frozen=True)
class Periodic(Layer):
    """Periodic features of each column: a linear map of cos(2πxw + b), and x itself.

    For each column x: ``frequencies`` values cos(2π x w + b), made into ``units`` numbers by a weight and a bias of its
    own, then ``activation``; and x before them, with ``with_input``. So k columns become k · (units + 1). w starts at
    N(0, sigma²) and b at U(−π, π); weight and bias at U(−a, a), a = 1/√frequencies.

    The defaults are RealMLP's: Holzmüller, Grinsztajn, Steinwart, arXiv 2407.04491 (there with 0.1 times the learning
    rate: ``cr.nn.Rated(cr.nn.Periodic(), rate=0.1)``). With ``with_sine=True, with_input=False, activation="relu"`` it
    is the PLR of Gorishniy, Rubachev, Babenko, arXiv 2203.05556: cos and sin of 2πxw, without b.

    >>> import numpy as np
    >>> layer = Periodic(frequencies=16, units=3)
    >>> x = np.ones((5, 2))
    >>> layer(layer.initialize(x), x).shape
    (5, 8)
    """

    frequencies: int = 16
    units: int = 3
    sigma: float = 0.1
    with_input: bool = True
    with_sine: bool = False
    activation: Activation = "identity"
    name: str | None = None
    label = "periodic"

    def __post_init__(self) -> None:
        require_whole("Periodic", "frequencies", self.frequencies)
        require_whole("Periodic", "units", self.units)
        require_number("Periodic", "sigma", self.sigma, lambda v: v > 0, "a number greater than 0")
        if isinstance(self.activation, Layer):
            raise TypeMismatch("Periodic: activation must be a name or a function; put a layer after it")
        get_activation(self.activation)

    def parameters(self, x: Type) -> Mapping[str, Parameter]:
        columns, waves = columns_of(x, "Periodic"), int(self.frequencies)
        inputs = 2 * waves if self.with_sine else waves
        start = Uniform(-1.0 / sqrt(inputs), 1.0 / sqrt(inputs))
        phase = {} if self.with_sine else {"phase": Parameter((columns, waves), Uniform(-pi, pi), role="bias")}
        return {
            "frequency": Parameter((columns, waves), Normal(float(self.sigma)), role="frequency"),
            **phase,
            "weight": Parameter((columns, inputs, int(self.units)), start),
            "bias": Parameter((columns, int(self.units)), start, role="bias"),
        }

    def forward(self, scope: Scope, x: Any) -> Any:
        angle = ops.expand_dims(x, 2) * (scope["frequency"] * (2.0 * pi))
        if self.with_sine:
            waves = ops.concatenate([ops.cos(angle), ops.sin(angle)], axis=2)
        else:
            waves = ops.cos(angle + scope["phase"])
        out = get_activation(self.activation)(each_column(waves, scope["weight"]) + scope["bias"])
        if self.with_input:
            out = ops.concatenate([ops.expand_dims(x, 2), out], axis=2)
        return scope.name("out", ops.reshape(out, (x.shape[0], -1)))


@dataclass(frozen=True)
class PiecewiseLinear(Layer):
    """Piecewise linear features of each column: how far x is through each of its bins.

    For the bin from a to b: (x − a)/(b − a), held to 0 below and to 1 above; the first is not held below, nor the last
    above, so that all of x is there. ``bins`` are the edges, ascending, for each column. With ``units``, each column's
    features become so many numbers by a weight and a bias of its own, then ``activation``.
    Gorishniy, Rubachev, Babenko, arXiv 2203.05556; TabM has 48 bins from quantiles and 16 units.

    ``PiecewiseLinear.from_quantiles(X, bins=48)`` takes the edges from the training rows.

    >>> import numpy as np
    >>> layer = PiecewiseLinear([[0.0, 1.0, 3.0]])
    >>> layer({}, np.array([[0.5], [2.0], [5.0], [-1.0]])).tolist()
    [[0.5, 0.0], [1.0, 0.5], [1.0, 2.0], [-1.0, 0.0]]
    """

    bins: Sequence[Sequence[float]]
    units: int | None = None
    activation: Activation = "identity"
    name: str | None = None
    label = "piecewise"

    def __post_init__(self) -> None:
        if isinstance(self.bins, str | bytes) or not hasattr(self.bins, "__len__") or not len(self.bins):
            raise TypeMismatch("PiecewiseLinear: bins holds the edges of each column, such as [[0.0, 1.0, 3.0]]")
        kept = []
        for column, edges in enumerate(self.bins):
            found = as_array(edges, f"the bins of column {column}").astype(np.float64)
            if found.ndim != 1 or len(found) < 2 or not np.all(np.isfinite(found)) or not np.all(np.diff(found) > 0):
                raise TypeMismatch(
                    f"PiecewiseLinear: the bins of column {column} are {found.tolist()!r:.80}; they must be at least "
                    "two finite numbers, each greater than the one before"
                )
            kept.append(tuple(found.tolist()))
        object.__setattr__(self, "bins", tuple(kept))
        if self.units is not None:
            require_whole("PiecewiseLinear", "units", self.units)
        if isinstance(self.activation, Layer):
            raise TypeMismatch("PiecewiseLinear: activation must be a name or a function; put a layer after it")
        get_activation(self.activation)

    @classmethod
    def from_quantiles(
        cls, x: Any, bins: int = 48, units: int | None = None, activation: Activation = "identity"
    ) -> PiecewiseLinear:
        """Return the layer whose edges are quantiles of each column of x, the *training* rows: so many bins at most.

        Equal quantiles are one edge. A column that is constant gets one bin of length 1, in which it is 0.
        """
        require_whole("PiecewiseLinear", "bins", bins)
        rows = as_array(x, "the rows that bins are taken from").astype(np.float64)
        if rows.ndim != 2 or not rows.size or not np.all(np.isfinite(rows)):
            raise TypeMismatch(f"PiecewiseLinear: bins are taken from rows of finite numbers; x has shape {rows.shape}")
        edges = [np.unique(np.quantile(column, np.linspace(0.0, 1.0, bins + 1))) for column in rows.T]
        found = [(e if len(e) > 1 else np.array([e[0], e[0] + max(1.0, abs(e[0]) * 1e-6)])).tolist() for e in edges]
        return cls(found, units, activation)

    def parameters(self, x: Type) -> Mapping[str, Parameter]:
        columns = columns_of(x, "PiecewiseLinear")
        if columns != len(self.bins):
            raise TypeMismatch(f"PiecewiseLinear: there are bins for {len(self.bins)} columns, the input has {columns}")
        if self.units is None:
            return {}
        most = max(len(edges) - 1 for edges in self.bins)
        start = Uniform(-1.0 / sqrt(most), 1.0 / sqrt(most))
        return {
            "weight": Parameter((columns, most, int(self.units)), start),
            "bias": Parameter((columns, int(self.units)), start, role="bias"),
        }

    def _table(self, dtype: Any) -> tuple[Array, Array, Array, Array]:
        """Return start, 1/length, least and most of each bin, [columns, bins]; filled up with bins that are 0."""
        most = max(len(edges) - 1 for edges in self.bins)
        start, share, low, high = np.zeros((4, len(self.bins), most))
        for column, edges in enumerate(self.bins):
            count = len(edges) - 1
            start[column, :count] = edges[:-1]
            share[column, :count] = 1.0 / np.diff(edges)
            high[column, :count] = 1.0
            low[column, 0], high[column, count - 1] = -np.inf, np.inf
        narrow = [a.astype(dtype) for a in (start, share, low, high)]
        return narrow[0], narrow[1], narrow[2], narrow[3]

    def forward(self, scope: Scope, x: Any) -> Any:
        start, share, low, high = self._table(np.float32 if float_name(x) == "f32" else np.float64)
        part = ops.minimum(ops.maximum((ops.expand_dims(x, 2) - start) * share, low), high)
        if self.units is not None:
            made = each_column(part, scope["weight"]) + scope["bias"]
            return scope.name("out", ops.reshape(get_activation(self.activation)(made), (x.shape[0], -1)))
        columns = [part[:, i, : len(edges) - 1] for i, edges in enumerate(self.bins)]
        out = columns[0] if len(columns) == 1 else ops.concatenate(columns, axis=1)
        return scope.name("out", get_activation(self.activation)(out))
