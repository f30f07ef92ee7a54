"""Row indices as a caller gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chainrule.errors import TableError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def checked_rows(rows: ArrayLike | None, height: int) -> NDArray[np.int64]:
    """Return row indices as int64: all rows for None, the true ones for a mask.

    Raises:
        TableError: indices that are not whole numbers, or outside the table.

    Example:
        >>> checked_rows([True, False, True], 3)
        array([0, 2])
    """
    if rows is None:
        return np.arange(height, dtype=np.int64)
    indices = np.asarray(rows)
    if indices.size == 0:
        return np.zeros(0, dtype=np.int64)
    if indices.dtype == np.bool_ and indices.shape == (height,):
        return np.flatnonzero(indices)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise TableError(
            f"rows must be an array of row indices or a mask of {height:,} truths, not {indices.dtype} of shape "
            f"{indices.shape}."
        )
    if indices.min() < 0 or indices.max() >= height:
        raise TableError(f"rows holds indices outside 0, …, {height - 1}: the table has {height:,} rows.")
    return indices.astype(np.int64)
