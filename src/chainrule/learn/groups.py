"""Groups of rows: masks by name, given to ``fit``, which limits on a group's loss or rate read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.errors import TrainingError
from chainrule.graph import as_array

Array = np.ndarray[Any, Any]
PREFIX = "group."


def group_columns(groups: Mapping[str, Any] | None, count: int, dtype: Any, what: str = "groups") -> dict[str, Array]:
    """Return the masks as columns of 0 and 1, ``{"group.a": …}``; raise TrainingError naming the bad one."""
    if groups is None:
        return {}
    right = f"{what}={{'a': mask}}, a mask of {count} True or False"
    if not isinstance(groups, Mapping):
        raise TrainingError(f"{what} is {groups!r:.60}; it is masks of rows by name: {right}")
    found = {}
    for name, given in groups.items():
        if not isinstance(name, str) or not name:
            raise TrainingError(f"{what}: {name!r:.60} is no name for a group: {right}")
        mask = as_array(given, f"the group {name!r}")
        if mask.shape != (count,):
            raise TrainingError(
                f"{what}: the mask of {name!r} has the shape {mask.shape}; there are {count} rows: {right}"
            )
        bad = np.flatnonzero(~np.isin(mask, (0, 1)))
        if bad.size:
            raise TrainingError(
                f"{what}: the mask of {name!r} has {mask[bad[0]]} for row {bad[0] + 1}; give True or False: {right}"
            )
        found[PREFIX + name] = mask.astype(dtype)
    return found


def group_names(rows: Mapping[str, Any]) -> list[str]:
    """Return the names of the groups that rows come with."""
    return [name.removeprefix(PREFIX) for name in rows if name.startswith(PREFIX)]


def refuse_empty_groups(rows: Mapping[str, Array]) -> None:
    """Raise TrainingError for a group that no row of a weight over 0 is in: it has no loss and no rate."""
    for name in group_names(rows):
        if not np.any(rows[PREFIX + name]):
            raise TrainingError(f"groups: no row that counts is in {name!r}, so it has no mean loss and no rate")
