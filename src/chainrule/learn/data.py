"""Data for training: arrays of rows, checked at entry, so that nothing later needs to guess."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.errors import ExecutionError, TrainingError
from chainrule.execute import REFERENCE
from chainrule.graph import Graph, Type, as_array, depends_on
from chainrule.nn import Loss, as_input, as_target

Array = np.ndarray[Any, Any]


def make_rows(data: Any, what: str, dtype: Any = None) -> dict[str, Array]:
    """Return ``{"x", "y", "weight"}`` from (X, y) or (X, y, sample weights); raise TrainingError naming the bad row.

    X becomes float32 or float64; targets that are whole numbers stay so; weights are 1 where none are given. A row of
    weight 0 may hold anything, NaN too: it is left out (``normalized``).
    """
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        raise TrainingError(f"the {what} data must be (X, y), or (X, y, sample weights); it is a {type(data).__name__}")
    x, y = as_input(data[0]), as_target(data[1])
    x = x if dtype is None else _as_float(x, dtype)
    if x.ndim < 2:
        raise TrainingError(
            f"the {what} X has shape {x.shape}; it must have rows and columns: one column is X[:, None]"
        )
    y = _as_float(y, x.dtype) if y.dtype.kind == "f" else y
    if y.ndim == 0 or len(x) != len(y):
        rows = len(y) if y.ndim else "no"
        raise TrainingError(f"the {what} X has {len(x)} rows and y has {rows}; they must be equal")
    if len(x) == 0:
        raise TrainingError(f"the {what} data has no rows")
    weight = np.ones(len(x)) if len(data) == 2 else checked_weights(data[2], len(x), f"the {what} sample weights")
    require_finite(x, f"the {what} X", weight > 0)
    require_finite(y, f"the {what} y", weight > 0)
    return {"x": np.ascontiguousarray(x), "y": np.ascontiguousarray(y), "weight": weight}


def _as_float(array: Array, dtype: Any) -> Array:
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is then refused by its place
        return array.astype(dtype, copy=False)


def require_finite(array: Array, what: str, counted: Any = True, before: str = "training") -> None:
    """Raise TrainingError naming the first row and column that is NaN or infinite, among the rows that count."""
    if array.dtype.kind != "f" or _all_finite(array):
        return
    places = np.argwhere(~np.isfinite(array) & np.reshape(counted, (-1, *(1,) * (array.ndim - 1))))
    if not len(places):
        return
    place = places[0]
    where = f"row {place[0] + 1}" + (f", column {place[1] + 1}" if len(place) > 1 else "")
    raise TrainingError(
        f"{what} has {array[tuple(place)]} at {where} (counted from 1); fill or leave out such cells before {before}"
    )


def _all_finite(array: Array) -> bool:
    """Are all numbers finite? Their sum says so at once, unless it overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.sum(array))) or bool(np.all(np.isfinite(array)))


def checked_weights(weight: Any, rows: int, what: str) -> Array:
    """Return sample weights: one a row, finite, not negative, and not all 0."""
    array = as_array(weight, what).astype(np.float64)
    if array.shape != (rows,):
        raise TrainingError(f"{what} have shape {array.shape}; one for each of the {rows} rows is needed")
    bad = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if bad.size:
        raise TrainingError(
            f"the sample weight of row {bad[0] + 1} is {array[bad[0]]}; weights are finite and not negative"
        )
    if not np.any(array > 0):
        raise TrainingError(f"all of {what} are 0; at least one row must count")
    return array


def normalized(rows: Mapping[str, Array]) -> dict[str, Array]:
    """Leave out rows of weight 0, and scale the weights to mean 1.

    A row of weight 0 must never enter a sum: 0 · Inf is NaN. So it is not there at all.
    """
    keep = rows["weight"] > 0
    kept = {k: v if np.all(keep) else v[keep] for k, v in rows.items()}
    weight = in_units_of_largest(kept["weight"])
    return {**kept, "weight": (weight / np.mean(weight)).astype(kept["x"].dtype)}


def in_units_of_largest(weight: Array) -> Array:
    """Return weights, float64, divided by a power of two so that the largest lies in [½, 1): their sum is then finite.

    Of weights only the ratios count, and a power of two keeps these to the last bit.
    """
    array = np.asarray(weight, np.float64)
    return np.asarray(np.ldexp(array, -np.frexp(array.max())[1]))


def counted_rows(rows: Mapping[str, Array]) -> Array | None:
    """Return the numbers, among all that were given, of the rows that ``normalized`` keeps; None where it keeps all."""
    keep = rows["weight"] > 0
    return None if np.all(keep) else np.flatnonzero(keep)


def check_targets(loss: Loss, rows: Mapping[str, Array], output: Type) -> None:
    """Range-check targets once, at entry: a class number that the network has no output for is an error here.

    Rows that do not count may hold anything; they are still there, so that the row that is named is the caller's.
    """
    counted = rows["weight"] > 0
    loss.check_targets(filled(rows["y"], counted), output)


def filled(rows: Array, counted: Array) -> Array:
    """Return rows with the first one that counts in the place of those that do not."""
    return rows if np.all(counted) else rows[np.where(counted, np.arange(len(counted)), np.argmax(counted))]


def check_categories(forward: Graph, rows: Mapping[str, Array], what: str) -> None:
    """Range-check, once, at entry, what embeddings read of the rows; ``forward`` takes parameters, state and x.

    What depends on parameters changes, and is checked batch by batch.
    """
    *learned, x = forward.inputs
    changing = depends_on(forward.nodes, learned)
    read = tuple(node for node in forward.nodes if node.op.name == "checked_index" and node not in changing)
    if not read:
        return
    counted = rows["weight"] > 0
    graph = Graph((x,), read)
    try:
        REFERENCE.run(graph, [filled(rows["x"], counted)])
    except ExecutionError as error:
        raise TrainingError(f"the {what} X: {error}") from None
