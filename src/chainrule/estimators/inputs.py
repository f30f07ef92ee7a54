"""X of any kind to the matrix that a network reads: arrays, lists, sparse matrices and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import narwhals as nw
import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array, validation
from sklearn.utils.validation import validate_data

from chainrule.errors import CellTypeError, TableError
from chainrule.table import MatrixEncoder, TableEncoder, as_frame
from chainrule.table.cells import as_numbers, kind_of
from chainrule.table.csv_types import typed
from chainrule.table.say import a_kind

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class InputEncoder:
    """What turns X into the matrix that a network reads, fitted on training rows; plain data.

    ``table`` reads columns of any kind, ``matrix`` columns of numbers; one of them is there.
    """

    names: tuple[str, ...]
    table: TableEncoder | None
    matrix: MatrixEncoder | None

    @classmethod
    def fit(cls, x: Any, names: Iterable[str], rows: Array, weight: Array | None) -> InputEncoder:
        """Return the encoder of what ``read_inputs`` gave; ``rows`` are those that train, ``weight`` is theirs."""
        numbers = _numbers(x)
        if numbers is not None:
            return cls(tuple(names), None, MatrixEncoder.fit(numbers[rows], weight))
        frame = _named(x, names)
        return cls(tuple(names), TableEncoder.fit(frame, rows=rows, weight=weight, source="X"), None)

    def transform(self, x: Any) -> Array:
        """Return the matrix for what ``read_inputs`` gave."""
        if self.matrix is not None:
            return self.matrix.transform(x if isinstance(x, np.ndarray) else _stacked(x))
        assert self.table is not None
        frame = _named(x.T if isinstance(x, np.ndarray) else x, self.names)
        return self.table.transform(frame, source="X").astype(np.float64)


def _numbers(x: Any) -> Array | None:
    """Return X as a matrix if it is one, or is a table of numbers alone."""
    if isinstance(x, np.ndarray):
        return x
    return _stacked(x) if all(kind_of(column) in ("number", "empty") for column in x) else None


def _stacked(frame: Any) -> Array:
    return np.column_stack([as_numbers(column, source="X") for column in frame])


def read_inputs(estimator: Any, x: Any, reset: bool) -> Any:
    """Return X as a float64 matrix (NaN where missing), or as a frame where its columns are of several kinds.

    Raises:
        TableError, CellTypeError: for what is no table of single values, has no rows or columns, or has other columns
            than the estimator was fitted on; the message is scikit-learn's where that has one.
    """
    try:
        native = nw.to_native(x, pass_through=True)
        if _is_table(native):
            found = as_frame(native)
            if found.width == 0:  # then a frame knows of no rows, which scikit-learn would name in the place of columns
                height = len(native) if hasattr(native, "__len__") else 0
                raise TableError(
                    f"Found array with 0 feature(s) (shape=({height}, 0)) while a minimum of 1 is required."
                )
            if found.height == 0:
                check_array(np.empty(found.shape), input_name="X")  # says it in scikit-learn's words
            named = native if nw.dependencies.is_into_dataframe(native) else found
            known = hasattr(named, "__dataframe__") or hasattr(validation, "nw")
            validate_data(estimator, named if known else Names(found), reset=reset, skip_check_array=True)
        else:
            found = _read_array(x)
            validate_data(estimator, np.broadcast_to(0.0, found.shape), reset=reset, skip_check_array=True)
    except TableError:
        raise
    except ValueError as error:
        raise TableError(str(error)) from None
    return found


def _is_table(x: Any) -> bool:
    """Is X a frame, or (as Arrow's batches and streams of batches, and lazy frames, are) a table by another name?"""
    if nw.dependencies.is_into_dataframe(x) or nw.dependencies.is_polars_lazyframe(x):
        return True
    return hasattr(x, "schema") and (hasattr(x, "__arrow_c_stream__") or hasattr(x, "__arrow_c_array__"))


class Names:
    """A frame's names in the one way that scikit-learn before 1.9 asks for them, which polars from 2.0 on has not."""

    def __init__(self, frame: Any) -> None:
        self.shape, self.columns = frame.shape, frame.columns

    def __dataframe__(self) -> Names:
        """Return itself: of the interchange protocol, names are all that is asked for."""
        return self

    def column_names(self) -> list[str]:
        """Return the names."""
        return list(self.columns)


def column_names(estimator: Any) -> tuple[str, ...]:
    """Return the names that X's columns were fitted with, or x0, x1, … where they had none."""
    names = getattr(estimator, "feature_names_in_", None)
    return tuple(f"x{i}" for i in range(estimator.n_features_in_)) if names is None else tuple(map(str, names))


def _read_array(x: Any) -> Any:
    if issparse(x):
        dense = check_array(x, accept_sparse="csr", dtype=np.float64, ensure_all_finite=False, input_name="X")
        return np.asarray(dense.toarray())
    if isinstance(x, np.ma.MaskedArray):
        x = np.ma.filled(x.astype(np.float64), np.nan) if x.dtype.kind in "fiub" else np.array(x.tolist(), object)
    array = x if hasattr(x, "__array__") else _from_lists(x)
    array = check_array(array, dtype=None, ensure_all_finite=False, input_name="X")
    if array.dtype.kind in "fiub":
        return np.asarray(array, np.float64)
    if array.dtype.kind == "O":
        return _from_cells(array)
    if array.dtype.kind in "US":
        return _typed_frame(array.astype(str))
    return _named(array.T)


def _from_lists(x: Any) -> Any:
    """Lists of lists: where texts stand among numbers, the numbers stay numbers."""
    array = np.asarray(x)
    return np.asarray(x, dtype=object) if array.dtype.kind in "US" else array


def _from_cells(array: Array) -> Any:
    """An array of Python values: numbers alone become a matrix, anything else a frame."""
    kinds = {type(cell) for cell in array.flat}
    for kind in kinds:
        if issubclass(kind, Mapping | list | tuple | set | np.ndarray | complex | bytes):
            row, column = next(place for place, cell in np.ndenumerate(array) if type(cell) is kind)
            raise CellTypeError(
                f"X[{row}, {column}] is {a_kind(array[row, column])}; a cell's argument must be a string, a number, a "
                "truth value or a date, or missing"
            )
    if all(issubclass(kind, Real) or kind is type(None) for kind in kinds):
        return np.array([[_as_float(cell, i, j) for j, cell in enumerate(row)] for i, row in enumerate(array)])
    return _typed_frame(array)


def _as_float(cell: Any, row: int, column: int) -> float:
    try:
        return np.nan if cell is None else float(cell)
    except OverflowError:
        raise TableError(
            f"X[{row}, {column}] is beyond the largest float64, about 1.8e308. Correct this cell, or set it to NaN if "
            "it is not known."
        ) from None


def _typed_frame(array: Array) -> Any:
    """A column of texts that are numbers, every one of them, is numbers: NumPy makes texts of what stands by texts."""
    frame = _named(array.T)
    return _named(
        [typed(column, decimal_comma=False) if kind_of(column) == "text" else column for column in frame], frame.columns
    )


def _named(columns: Any, names: Iterable[str] | None = None) -> Any:
    """Return columns as a frame under other names; x0, x1, … if none are given."""
    columns = list(columns)
    return as_frame(dict(zip(names or (f"x{i}" for i in range(len(columns))), columns, strict=True)))
