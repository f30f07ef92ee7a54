"""Embedding: a vector for each category, learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import ops
from chainrule.errors import TypeMismatch
from chainrule.graph import Type
from chainrule.nn.initializers import Initializer, Normal
from chainrule.nn.layer import Layer, Parameter, columns_of, require_whole
from chainrule.nn.scope import Scope

MOST_CATEGORIES = 2**24
"""Up to here float32 holds every whole number."""
NO_NUMBER = -(2.0**40)


@dataclass(frozen=True)
class Embedding(Layer):
    """Each category, a whole number from 0, becomes its row of a table: out = weight[x].

    Args:
        categories: how many there are. One number: all columns of the input share one table [categories, units]. A
            list, such as ``[12, 5]``: one for each column, and tables of their own, one below the other.
        units: how many numbers a category becomes; k columns become k · units.
        initializer: of the table; N(0, 1) where it is left out.
        name: what the layer is called in place of ``embedding1``.

    A network's input is one array of floats, so categories are whole numbers in columns of it (``cr.nn.Columns`` sends
    them here). A number that is no category is an error that names the layer, the row and the column: ``cr.fit`` looks
    at all rows before it starts, and each computation at its own. The gradient is dense: a row of the table that no row
    of the batch asks for gets 0.

    >>> import numpy as np
    >>> layer = Embedding(3, 2)
    >>> table = {"weight": np.array([[0.0, 0.1], [1.0, 1.1], [2.0, 2.1]])}
    >>> layer(table, np.array([[2], [0]])).tolist()
    [[2.0, 2.1], [0.0, 0.1]]
    >>> layer(table, np.array([[2], [3]]))
    Traceback (most recent call last):
        ...
    chainrule.errors.ExecutionError: the layer 'embedding' takes whole numbers from 0 to 2: row 2, column 1 holds 3
    """

    categories: int | Sequence[int]
    units: int
    initializer: str | Initializer | None = None
    name: str | None = None
    label = "embedding"

    def __post_init__(self) -> None:
        if isinstance(self.categories, list | tuple | np.ndarray):
            if not len(self.categories):
                raise TypeMismatch("Embedding: categories is empty; give how many there are in each column")
            object.__setattr__(self, "categories", tuple(self.categories))
        for count in self.categories if isinstance(self.categories, tuple) else [self.categories]:
            require_whole("Embedding", "categories", count)
        if isinstance(self.categories, tuple):
            object.__setattr__(self, "categories", tuple(int(c) for c in self.categories))
        if self.rows > MOST_CATEGORIES:
            raise TypeMismatch(f"Embedding: {self.rows} categories are more than float32 can tell apart (2²⁴)")
        require_whole("Embedding", "units", self.units)

    @property
    def rows(self) -> int:
        """How many rows the table has."""
        if isinstance(self.categories, tuple):
            return sum(self.categories)
        return int(self.categories)  # type: ignore[arg-type]  # a sequence became a tuple when the layer was made

    def parameters(self, x: Type) -> Mapping[str, Parameter]:
        columns = columns_of(x, "Embedding")
        if isinstance(self.categories, tuple) and columns != len(self.categories):
            raise TypeMismatch(
                f"Embedding: there are categories for {len(self.categories)} columns, the input has {columns}"
            )
        return {"weight": Parameter((self.rows, int(self.units)), self.initializer or Normal(1.0), role="embedding")}

    def forward(self, scope: Scope, x: Any) -> Any:
        weight, columns = scope["weight"], x.shape[1]
        counts = np.array(self.categories if isinstance(self.categories, tuple) else [self.rows] * columns, np.int64)
        first = np.cumsum(counts) - counts if isinstance(self.categories, tuple) else np.zeros_like(counts)
        is_number = ops.logical_and(x == ops.floor(x), ops.absolute(x) <= -0.5 * NO_NUMBER)  # NaN and Inf are none
        number = ops.cast(ops.where(is_number, x, NO_NUMBER), dtype="i64")
        index = ops.checked_index(
            number + first, first, first + counts, layer=scope.path or "embedding", columns=scope.columns
        )
        rows = ops.take(weight, ops.reshape(index, -1))
        return scope.name("out", ops.reshape(rows, (x.shape[0], columns * int(self.units))))
