"""Layers around one layer, which keep its name: how it is trained (Frozen, Rated), and what it reads (Columns)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import TraceError, TypeMismatch
from chainrule.graph import Node, Type
from chainrule.nn.layer import Declaration, Layer, Parameter, columns_of, require_number
from chainrule.nn.scope import Scope

ROLES = ("weight", "bias", "gain", "shift", "embedding", "frequency")
"""What a parameter may be: the weights of sums, what is added to a net input, a scale, what is added after a scale, a
table of vectors, what an input is multiplied with before a wave."""


class Wrapper(Layer):
    """A layer that does what the one within it does, under the same names."""

    inner: Layer

    def _check(self) -> None:
        if not isinstance(self.inner, Layer):
            raise TraceError(
                f"{type(self).__name__} takes a layer, not {self.inner!r:.60}; for instance cr.nn.Dense(8)"
            )

    def bare(self) -> Layer:
        return self.inner.bare()

    @property
    def name(self) -> str | None:  # type: ignore[override]  # a field of simple layers: here that of the layer within
        return self.inner.name

    @property
    def label(self) -> str:  # type: ignore[override]  # likewise
        return self.inner.label

    @property
    def whole_batch(self) -> bool:  # type: ignore[override]  # likewise
        return self.inner.whole_batch

    def children(self) -> Mapping[str, Layer]:
        return self.inner.children()

    def parameters(self, x: Type) -> Mapping[str, Parameter]:
        return self.inner.parameters(x)

    def settings(self) -> Mapping[str, float]:
        return self.inner.settings()

    def declare(self, x: Type) -> Declaration:
        return self.inner.declare(x)

    def forward(self, scope: Scope, x: Any) -> Any:
        return self.inner.forward(scope, x)

    def update_state(self, scope: Scope, sums: Mapping[str, Any], count: Any) -> Mapping[str, Any]:
        return self.inner.update_state(scope, sums, count)

    def __str__(self) -> str:
        text = str(self.inner).replace("\n", "\n  ")
        more = [f"{k}={v!r}" for k, v in self._more().items()]
        return f"{type(self).__name__}({', '.join([text, *more])})"

    def _more(self) -> Mapping[str, Any]:
        return {}


def _is_name(value: Any) -> bool:
    return isinstance(value, str)


class _Training(Wrapper):
    """A wrapper that changes how parameters are trained: all of them, or those that ``only`` names."""

    only: str | Sequence[str] | None

    def _check_only(self) -> None:
        only = tuple(self.only) if isinstance(self.only, list | tuple) else self.only
        object.__setattr__(self, "only", only)
        if not (only is None or isinstance(only, str) or (isinstance(only, tuple) and all(map(_is_name, only)))):
            raise TraceError(f"{type(self).__name__}: only is {self.only!r:.60}; give a role or names of parameters")

    def changed(self, parameter: Parameter) -> Parameter:
        raise NotImplementedError

    def declare(self, x: Type) -> Declaration:
        declared = self.inner.declare(x)
        wanted = (self.only,) if isinstance(self.only, str) else self.only
        unused = set(wanted or ())
        parameters: dict[str, Parameter] = {}
        for name, parameter in declared.parameters.items():
            fits = {w for w in unused | set(wanted or ()) if w == parameter.role or (name + ".").startswith(w + ".")}
            unused -= fits
            parameters[name] = self.changed(parameter) if wanted is None or fits else parameter
        unused -= set(ROLES)
        if unused:
            raise TraceError(
                f"{type(self).__name__}: only names {sorted(unused)[0]!r}, and there is no such parameter: there are "
                f"{', '.join(declared.parameters) or 'none'}; roles are {', '.join(ROLES)}"
            )
        return replace(declared, parameters=parameters)

    def parameters(self, x: Type) -> Mapping[str, Parameter]:
        return self.declare(x).parameters

    def _more(self) -> Mapping[str, Any]:
        return {} if self.only is None else {"only": self.only}


@dataclass(frozen=True)
class Frozen(_Training):
    """A layer whose parameters stay as they start, or as they are given to ``cr.fit``.

    ``only`` freezes some of them: a role (``"weight"``, ``"bias"``, ``"gain"``, ``"shift"``, ``"embedding"``,
    ``"frequency"``), names of parameters, or names of layers within it. Running statistics of a normalization are no
    parameters, and go on.

    >>> import numpy as np
    >>> from chainrule.nn import Dense, Sequential
    >>> network = Sequential(Frozen(Dense(3, activation="tanh"), only="weight"), Dense(1))
    >>> from chainrule.nn import input_type
    >>> declared = network.declare(input_type(np.ones((1, 2)))).parameters
    >>> {name: parameter.frozen for name, parameter in declared.items()}
    {'hidden1.weight': True, 'hidden1.bias': False, 'output.weight': False, 'output.bias': False}
    """

    inner: Layer
    only: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        self._check()
        self._check_only()

    def changed(self, parameter: Parameter) -> Parameter:
        return replace(parameter, frozen=True)


@dataclass(frozen=True)
class Rated(_Training):
    """A layer whose parameters are trained with ``rate`` times the learning rate and ``decay`` times the weight decay.

    ``only`` says which of them, as in ``cr.nn.Frozen``. Factors multiply: those of a ``Rated`` within a ``Rated``, and
    those that a layer has itself.

    >>> import numpy as np
    >>> from chainrule.nn import Dense, Scale, Sequential, input_type
    >>> network = Sequential(Rated(Scale(), rate=6.0), Rated(Dense(1), rate=0.1, decay=0.0, only="bias"))
    >>> declared = network.declare(input_type(np.ones((1, 2)))).parameters
    >>> {name: (parameter.rate, parameter.decay) for name, parameter in declared.items()}
    {'scale1.gain': (6.0, 1.0), 'output.weight': (1.0, 1.0), 'output.bias': (0.1, 0.0)}
    """

    inner: Layer
    rate: float = 1.0
    decay: float = 1.0
    only: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        self._check()
        self._check_only()
        for name, hint in (("rate", "; a layer that is not to learn is cr.nn.Frozen"), ("decay", "")):
            fits = (lambda v: v > 0) if name == "rate" else (lambda v: v >= 0)
            wanted = "a number greater than 0" if name == "rate" else "a number of at least 0"
            require_number("Rated", name, getattr(self, name), fits, wanted + hint)

    def changed(self, parameter: Parameter) -> Parameter:
        return replace(parameter, rate=parameter.rate * self.rate, decay=parameter.decay * self.decay)

    def _more(self) -> Mapping[str, Any]:
        factors = {k: v for k, v in (("rate", self.rate), ("decay", self.decay)) if v != 1.0}
        return {**factors, **super()._more()}


@dataclass(frozen=True)
class Columns(Wrapper):
    """A layer that reads some columns of the input: ``Columns([0, 3], layer)``, ``Columns(slice(2, None), layer)``.

    Columns are counted from 0, from the end where negative, and are read in the order given. Without a layer they are
    passed on as they are.

    >>> import numpy as np
    >>> Columns([2, 0])({}, np.array([[1.0, 2.0, 3.0]])).tolist()
    [[3.0, 1.0]]
    """

    columns: slice | Sequence[int] = field(hash=False)
    inner: Layer = None  # type: ignore[assignment]  # filled in: a layer that passes its input on

    def __post_init__(self) -> None:
        if self.inner is None:
            object.__setattr__(self, "inner", Passing())
        self._check()
        if isinstance(self.columns, slice):
            return
        try:
            found = tuple(int(c) for c in self.columns if isinstance(c, int | np.integer) and not isinstance(c, bool))
            whole = len(found) == len(self.columns) > 0
        except TypeError:
            whole = False
        if not whole:
            raise TypeMismatch(
                f"Columns: columns is {self.columns!r:.60}; give whole numbers or a slice, such as [0, 3]"
            )
        object.__setattr__(self, "columns", found)

    def chosen(self, width: int) -> tuple[int, ...]:
        """Return the columns, counted from 0, of an input of so many."""
        if isinstance(self.columns, slice):
            found = tuple(range(width))[self.columns]
            if not found:
                raise TypeMismatch(f"Columns: {self.columns} takes none of {width} columns")
            return found
        for column in self.columns:
            if not -width <= column < width:
                raise TypeMismatch(f"Columns: there is no column {column}: the input has {width}, 0 to {width - 1}")
        return tuple(column % width for column in self.columns)

    def declare(self, x: Type) -> Declaration:
        return self.inner.declare(self._read(x))

    def parameters(self, x: Type) -> Mapping[str, Parameter]:
        return self.inner.parameters(self._read(x))

    def _read(self, x: Type) -> Type:
        return x.with_shape((x.shape[0], len(self.chosen(columns_of(x, "Columns")))))

    def forward(self, scope: Scope, x: Any) -> Any:
        chosen = self.chosen(x.shape[1])
        return self.inner.forward(scope.reading(chosen), take_columns(x, chosen))

    def __str__(self) -> str:
        columns = self.columns
        shown = f"slice({columns.start}, {columns.stop})" if isinstance(columns, slice) else str(list(columns))
        if isinstance(columns, slice) and columns.step is not None:
            shown = repr(columns)
        return f"Columns({shown})" if isinstance(self.inner, Passing) else f"Columns({shown}, {self.inner})"


@dataclass(frozen=True)
class Passing(Layer):
    """The input as it is."""

    name: str | None = None
    label = "columns"

    def forward(self, scope: Scope, x: Any) -> Any:
        return x


def take_columns(x: Any, columns: Sequence[int]) -> Any:
    """Return columns of rows, in the order given: neighbors together, as slices."""
    if not isinstance(x, Node):
        return np.asarray(x)[:, list(columns)]
    starts = [i for i, c in enumerate(columns) if i == 0 or c != columns[i - 1] + 1]
    ends = [*starts[1:], len(columns)]
    rows: Any = x
    parts = [rows[:, columns[a] : columns[b - 1] + 1] for a, b in zip(starts, ends, strict=True)]
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=1)
