"""Checkpoints of a run on its way: what ``fit`` needs of them. How they are written is for ``files`` to know."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Protocol

import numpy as np

from chainrule.errors import TrainingError
from chainrule.learn.job import Job

Folder = str | PathLike[str]
EVERY = 30.0
"""So many seconds are between two checkpoints where nothing else is said."""


class Keeper(Protocol):
    """Writes checkpoints of a job."""

    def offer(self) -> None:
        """Write one, if it is time."""
        ...

    def finish(self) -> None:
        """Write the last one."""
        ...

    def close(self) -> None:
        """Let go of the folder."""
        ...


class _None:
    def offer(self) -> None:
        pass

    def finish(self) -> None:
        pass

    def close(self) -> None:
        pass


def open_keeper(job: Job, folder: Folder | None, seconds: float, resume: bool, callbacks: Sequence[str]) -> Keeper:
    """Return what writes a job's checkpoints to a folder; with ``resume`` the job goes on from the last good one."""
    number = isinstance(seconds, int | float | np.integer | np.floating) and not isinstance(seconds, bool)
    if not number or not seconds >= 0:
        raise TrainingError(f"checkpoint_every is {seconds!r}; it must be a number of seconds, such as 30")
    if folder is None:
        if resume:
            raise TrainingError("resume=True goes on from a checkpoint: give the folder too, checkpoint='run1'")
        if seconds != EVERY:
            raise TrainingError(
                "checkpoint_every says how often to write a checkpoint: give the folder too, checkpoint='run1'"
            )
        return _None()
    if not isinstance(folder, str | PathLike) or not str(folder):
        raise TrainingError(f"checkpoint is {folder!r}; it must be a folder, such as 'run1'")
    # A door from this floor to a higher one, as in ``Run.save``: where files are known.
    from chainrule.files.checkpoint import open_folder

    return open_folder(job, folder, float(seconds), resume, callbacks)
