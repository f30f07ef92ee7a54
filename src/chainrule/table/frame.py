"""Whatever a user calls a table becomes one kind of frame: polars.

pandas, Arrow and other frames come in through narwhals, column by column, so that neither pandas nor pyarrow is needed
here.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.errors import TableError
from chainrule.table.say import a_kind, at_rows, count, did_you_mean, listing

if TYPE_CHECKING:
    import polars as pl


def as_frame(data: object) -> pl.DataFrame:
    """Return a table of any accepted kind as a polars frame; the given one is never changed.

    Args:
        data: a polars, pandas or Arrow table (or another that narwhals knows), or a dict of columns. Categories of
            pandas that are numbers become texts, because they were declared to be names.

    Raises:
        TableError: anything else, columns of different lengths, equal or empty names, cells of mixed types.

    Example:
        >>> as_frame({"x": [1.5, None], "color": ["red", "blue"]}).shape
        (2, 2)
    """
    return _frame(data, plain=None)


def select_target(data: object, target: str) -> tuple[pl.DataFrame, pl.Series]:
    """Return the other columns and the target column, whose cells keep their own type.

    Raises:
        TableError: there is no such column; the message lists the columns and the nearest name.

    Example:
        >>> features, species = select_target({"x": [1, 2], "species": ["a", "b"]}, "species")
        >>> features.columns, species.to_list()
        (['x'], ['a', 'b'])
    """
    frame = _frame(data, plain=target)
    if target not in frame.columns:
        raise TableError(
            f"There is no column {target!r} to be the target.{did_you_mean(target, frame.columns)} The columns are "
            f"{listing(frame.columns, 20)}."
        )
    if frame.width == 1:
        raise TableError(f"{target!r} is the only column. A network needs at least one other column to learn from.")
    return frame.drop(target), frame[target]


def _frame(data: object, plain: str | None) -> pl.DataFrame:
    """`plain` names the column whose pandas categories keep their type."""
    import polars as pl

    if isinstance(data, pl.DataFrame):
        return _well_named(data)
    if isinstance(data, pl.LazyFrame):
        raise _lazy("polars ")
    if isinstance(data, Mapping):
        return _well_named(_from_columns(data))
    if isinstance(data, np.ndarray):
        raise TableError(
            f"A NumPy array of shape {data.shape} has no column names. Give a table, for example "
            "{'x1': X[:, 0], 'x2': X[:, 1]}."
        )

    import narwhals as nw

    if isinstance(data, nw.LazyFrame):
        raise _lazy("")
    try:
        frame = nw.from_native(data, eager_only=True)  # type: ignore[call-overload]
    except nw.exceptions.DuplicateError:
        names = [str(name) for name in getattr(data, "columns", ())]
        _checked(names)
        raise TableError("The table has columns of equal names. Give each column a name of its own.") from None
    except TypeError:
        if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
            exported: Any = data
            return _well_named(pl.DataFrame(exported))
        raise TableError(
            f"{a_kind(data).replace('a', 'A', 1)} is not a table. Give a pandas, polars or Arrow table, a dict of "
            "columns, or the path of a file to read_table."
        ) from None
    if frame.implementation.is_polars():
        return _well_named(frame.to_native())
    if frame.implementation.is_pyarrow():
        return _well_named(pl.DataFrame(frame.to_native()))
    unique = _checked([str(name) for name in frame.columns])
    columns = [frame[:, i] for i in range(len(unique))]
    return pl.DataFrame(
        [_from_narwhals(column, name, as_text=name != plain) for name, column in zip(unique, columns, strict=True)]
    )


def _lazy(kind: str) -> TableError:
    return TableError(f"This is a lazy {kind}frame, which holds no rows yet. Give frame.collect().")


def _well_named(frame: pl.DataFrame) -> pl.DataFrame:
    _checked(frame.columns)
    return frame


def _checked(names: Sequence[str]) -> Sequence[str]:
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise TableError(f"The table has more than one column named {twice[0]!r}. Give each column a name of its own.")
    if "" in names:
        raise TableError(f"Column {list(names).index('') + 1} has an empty name. Give it a name, or remove it.")
    return names


def _from_columns(columns: Mapping[Any, Any]) -> pl.DataFrame:
    import polars as pl

    _checked([str(name) for name in columns])
    made = [as_column(values, str(name)).alias(str(name)) for name, values in columns.items()]
    lengths = {column.name: len(column) for column in made}
    if len(set(lengths.values())) > 1:
        said = listing(f"{name!r} {count(length, 'row')}" for name, length in lengths.items())
        raise TableError(f"The columns have different lengths: {said}. Give each the same number of rows.")
    return pl.DataFrame(made)


def as_column(values: object, name: str = "target") -> pl.Series:
    """Return one column of any accepted kind as a polars series.

    Args:
        values: a polars, pandas or Arrow column, a one-dimensional NumPy array, or a list; None and NaN are missing.
        name: what messages call it where the column has no name of its own.

    Raises:
        TableError: something else, more than one dimension, or cells of mixed types.

    Example:
        >>> as_column([1, 2.5, None], "x").to_list()
        [1.0, 2.5, None]
    """
    import polars as pl

    if isinstance(values, pl.Series):
        return values
    if isinstance(values, np.ndarray):
        return _from_array(values, name)
    if isinstance(values, (list, tuple, range)):
        return from_cells(list(values), name)
    import narwhals as nw

    try:
        column = nw.from_native(values, series_only=True)  # type: ignore[call-overload]
    except TypeError:
        raise TableError(
            f"Column {name!r} is {a_kind(values)}. Give a list, a one-dimensional array, or a column of a table."
        ) from None
    own_name = str(column.name) if column.name not in (None, "") else name
    if column.implementation.is_pyarrow():
        return pl.Series(own_name, column.to_native())
    return _from_narwhals(column, own_name, as_text=False)


def _from_array(values: np.ndarray[Any, Any], name: str) -> pl.Series:
    import polars as pl

    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise TableError(
            f"Column {name!r} is an array of shape {values.shape}. Give one value a row: an array of shape (rows,)."
        )
    if isinstance(values, np.ma.MaskedArray):
        return from_cells(values.tolist(), name)
    if values.dtype.kind == "f":
        return pl.Series(name, values.astype(np.float64))
    if values.dtype.kind in "biu":
        return pl.Series(name, np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="))))
    if values.dtype.kind in "mM":
        return pl.Series(name, _in_polars_units(values))
    return from_cells(values.tolist(), name)


def _in_polars_units(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    unit = np.datetime_data(values.dtype)[0]
    return values if unit in ("ms", "us", "ns") else values.astype(f"{values.dtype.kind}8[ms]")


def _from_narwhals(column: Any, name: str, *, as_text: bool) -> pl.Series:
    """Return a pandas-like column; `as_text` turns numeric categories into texts."""
    import narwhals as nw
    import polars as pl

    dtype = column.dtype
    missing = column.is_null().to_numpy().astype(bool)
    if dtype.is_numeric() and dtype != nw.Decimal:
        array = column.fill_null(0).to_numpy() if missing.any() and not dtype.is_float() else column.to_numpy()
        made = _from_array(np.asarray(array, dtype=np.float64 if dtype.is_float() else None), name)
    elif dtype == nw.Boolean:
        made = pl.Series(name, column.fill_null(False).to_numpy().astype(bool))
    elif isinstance(dtype, (nw.Datetime, nw.Duration)):
        return _from_array(column.to_numpy(), name)
    else:
        cells = [None if gone else cell for cell, gone in zip(column.to_list(), missing, strict=True)]
        made = from_cells(cells, name)
        named = dtype in (nw.Categorical, nw.Enum)
        return number_texts(made) if named and as_text and made.dtype.is_numeric() else made
    if missing.any():
        made = made.to_frame().select(pl.when(~pl.Series(missing)).then(pl.col(name)))[name]
    return made


def number_texts(column: pl.Series) -> pl.Series:
    """Return numbers as texts, whole floats without their point, so that 1, 1.0 and "1" are one level."""
    import polars as pl

    if column.dtype.is_float() or column.dtype.is_decimal():
        whole = column.cast(pl.Float64)
        if bool(((whole == whole.round()) & (whole.abs() < 2**53)).fill_null(True).all()):
            return whole.cast(pl.Int64).cast(pl.String)
        cells = [None if x is None or x != x else str(int(x)) if x.is_integer() else repr(x) for x in whole.to_list()]
        return pl.Series(column.name, cells, dtype=pl.String)
    return column.cast(pl.String)


def from_cells(cells: Sequence[Any], name: str) -> pl.Series:
    """Return a column of Python values, which must be of one kind (integers may stand among floats).

    Raises:
        TableError: cells of two kinds, naming a row of each.
    """
    import polars as pl

    plain = [_plain(cell) for cell in cells]
    kinds: dict[str, int] = {}
    for row, cell in enumerate(plain):
        if cell is not None:
            kinds.setdefault(_kind(cell), row)
    if {"integer", "float"} == set(kinds):
        del kinds["integer"]
        plain = _as_floats(plain, name)
    if len(kinds) > 1:
        said = listing(f"{kind} ({at_rows([row])}: {plain[row]!r})" for kind, row in kinds.items())
        raise TableError(f"Column {name!r} mixes {said}. Make all its cells of one kind.")
    kind = next(iter(kinds), "")
    types = {"": pl.Null, "text": pl.String, "boolean": pl.Boolean, "float": pl.Float64}
    try:
        return pl.Series(name, plain, dtype=types.get(kind))
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        if kind == "integer":  # beyond what polars counts with
            return pl.Series(name, _as_floats(plain, name), dtype=pl.Float64)
        row = next(iter(kinds.values()), 0)
        raise TableError(
            f"Column {name!r} holds cells that are no single values ({at_rows([row])} is {a_kind(plain[row])}). Give "
            "numbers, texts, booleans or dates."
        ) from None


def _as_floats(cells: Sequence[Any], name: str) -> list[float | None]:
    made: list[float | None] = []
    for row, cell in enumerate(cells):
        try:
            made.append(None if cell is None else float(cell))
        except OverflowError:
            raise TableError(
                f"Column {name!r} is beyond the largest float64, about 1.8e308, in {at_rows([row])} (counted from 1). "
                "Correct this cell, or leave it empty if it is not known."
            ) from None
    return made


def _plain(cell: Any) -> Any:
    if cell is None or type(cell).__name__ in ("NAType", "NaTType", "MaskedConstant"):
        return None
    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, float) and cell != cell:
        return None
    return float(cell) if isinstance(cell, Decimal) else cell


def _kind(cell: Any) -> str:
    kinds: tuple[tuple[type, str], ...] = (
        (str, "text"),
        (bool, "boolean"),
        (int, "integer"),
        (float, "float"),
        (datetime.datetime, "datetime"),
        (datetime.date, "date"),
    )
    return next((kind for known, kind in kinds if isinstance(cell, known)), type(cell).__name__)
