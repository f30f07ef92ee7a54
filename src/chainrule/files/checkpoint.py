"""Checkpoints: everything that a training run is in the middle of, as a file from which it goes on to the same bits.

A folder belongs to one run. Each file is written whole or not at all (beside its place, flushed to the disk, renamed,
and the folder flushed too), and carries a SHA-256 over everything; the two newest are kept. So whatever happens, at
whatever moment, a good one is there, and one that is not good is never taken for it. A fingerprint of the data, the
network, the optimizer and the plan goes with it: a checkpoint of another training is refused, and what differs is said.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from os import PathLike
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from chainrule import __version__
from chainrule.errors import ModelFileError, TrainingError
from chainrule.execute import Best, Loop
from chainrule.files import container
from chainrule.graph import Undigestible, digest, flatten, leaf_names, unflatten
from chainrule.learn.job import Job
from chainrule.learn.timeline import Change

KIND = container.Kind("chainrule-checkpoint", 1, "checkpoint", "step-0000001000.checkpoint")
KEPT = 2
"""So many checkpoints stay: where the newest were damaged, the one before it is there."""

GRAPHS = "how the network, the loss or the update begins or is computed"
HASHED = ("the training data", "the validation data", "the first parameters or the seed", "the order of rows")
"""Of these a fingerprint holds a hash, which says nothing to a reader."""
LONGEST = 60
"""Longer descriptions are not repeated in a message."""

Array = np.ndarray[Any, Any]


def open_folder(
    job: Job, folder: str | PathLike[str], seconds: float, resume: bool, callbacks: Sequence[str]
) -> Folder:
    """Return what keeps a job's checkpoints in a folder, the job brought to the last good one if it is to go on."""
    keeper = Folder(job, Path(folder), seconds, callbacks)
    try:
        if resume:
            keeper.resume()
        elif keeper.files():
            raise TrainingError(
                f"{folder} has checkpoints of a training already: go on from them with resume=True, or choose another "
                "folder"
            )
    except BaseException:
        keeper.close()
        raise
    return keeper


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, the newest last."""
    return sorted(folder.glob("step-*.checkpoint"))


class Folder:
    """The checkpoints of one run, in a folder that no other run uses meanwhile."""

    def __init__(self, job: Job, path: Path, seconds: float, callbacks: Sequence[str]) -> None:
        self.job, self.path, self.seconds = job, path, seconds
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(f"cannot make the folder {path} of the checkpoints: {error.strerror}") from None
        self.lock = _lock(path)
        self.fingerprint = fingerprint(job, callbacks)
        self.written = monotonic()
        self.last: tuple[int, int, str] | None = None
        for rest in path.glob(".step-*"):  # what a run that was killed had begun to write
            rest.unlink(missing_ok=True)

    def files(self) -> list[Path]:
        """Return the checkpoints, the newest last."""
        return checkpoints_in(self.path)

    def offer(self) -> None:
        """Write a checkpoint, if it is time."""
        if monotonic() - self.written >= self.seconds:
            self.write()

    def finish(self) -> None:
        """Write the last checkpoint."""
        self.write()

    def write(self) -> None:
        """Write a checkpoint of the job as it is now."""
        loop = self.job.loop
        now = loop.step, loop.epoch, loop.status
        if now != self.last:
            document, arrays = store(self.job)
            name = self.path / f"step-{loop.step:010d}.checkpoint"
            container.write(name, {**document, "fingerprint": self.fingerprint}, arrays, KIND)
            self.last = now
            for old in self.files()[:-KEPT]:
                old.unlink(missing_ok=True)
        self.written = monotonic()

    def resume(self) -> None:
        """Bring the job to the newest checkpoint that is good; leave it at its beginning where there is none."""
        damaged = []
        for path in reversed(self.files()):
            try:
                document, arrays = container.read(path, KIND)
            except container.Newer as error:
                raise TrainingError(str(error)) from None
            except ModelFileError as error:
                damaged.append((path, str(error)))
                continue
            self._refuse_other(path, document)
            try:
                restore(self.job, document, arrays)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                raise TrainingError(f"{path} does not fit this training: {error!r}") from None
            for bad, why in damaged:
                note = f"the checkpoint {bad.name} was damaged; the run went on from {path.name}, the one before it"
                warnings.warn(f"{note} ({why})", RuntimeWarning, stacklevel=5)
                self.job.notes.append(note)
                bad.replace(bad.with_name(f"{bad.name}.damaged"))
            return
        if damaged:
            raise TrainingError(
                f"no checkpoint in {self.path} is good: {'; '.join(why for _, why in damaged)}. "
                "Empty the folder to begin again"
            )

    def _refuse_other(self, path: Path, document: Mapping[str, Any]) -> None:
        theirs = document.get("fingerprint")
        if not isinstance(theirs, dict):
            raise TrainingError(f"{path} has no fingerprint, so nothing says what it is of; choose another folder")
        different = differences(theirs, self.fingerprint)
        if different:
            raise TrainingError(
                f"{path} is of another training. Different are: {'; '.join(different)}. "
                "Go on with the arguments and the data of that run, or choose another folder"
            )

    def close(self) -> None:
        """Let other runs use the folder."""
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None


def _lock(path: Path) -> int | None:
    """Take the folder for this process, until it ends; None where files cannot be locked."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    descriptor = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise TrainingError(
            f"another training is writing checkpoints to {path}; give each a folder of its own"
        ) from None
    return descriptor


# --- what a checkpoint is of ------------------------------------------------------------------------------------------


def fingerprint(job: Job, callbacks: Sequence[str]) -> dict[str, str]:
    """Return what a run is made of, by name: what has to be equal for its bits to be."""
    plan, program = job.plan, job.program
    try:
        network, update = digest(program.measure).hex(), digest(program.apply).hex()
    except Undigestible as error:
        raise TrainingError(f"no checkpoint can say what it is of: {error}") from None
    begun = job.snapshots[0].kept
    found = {
        GRAPHS: f"{network} {update} {_hash(_named(begun['optimizer']))}",
        "the version of chainrule": __version__,
        "the training data": _hash(job.training),
        "the validation data": "none" if job.validation is None else _hash(job.validation),
        "the network": _text(job.objective.network),
        "the loss": _text(job.objective.loss),
        "the penalties and constraints": _text([*job.objective.penalty, *job.objective.subject_to]) or "none",
        "the optimizer": _kind(job.optimizer),
        "the frozen parameters": ", ".join(sorted(job.treatment.frozen)) or "none",
        "the average": "none" if job.average is None else _kind(job.average),
        "the dtype": str(job.training["x"].dtype),
        "the first parameters or the seed": _hash(_named({k: begun[k] for k in begun if k != "optimizer"})),
        "the order of rows": "as they are" if plan.order.key is None else plan.order.key.tobytes().hex(),
        "the executor": job.executor.name,
        "the callbacks": ", ".join(callbacks) or "none",
        "what is evaluated": program.evaluated,
    }
    numbers = {"epochs": plan.epochs, "batch_size": plan.batch_size, "patience": plan.patience}
    found |= {name: str(value) for name, value in numbers.items()}
    found |= {"tile_rows": str(plan.tile_rows)}
    return found | {f"the setting {name!r}": repr(value) for name, value in job.timeline.numbers.items()}


def differences(theirs: Mapping[str, Any], ours: Mapping[str, str]) -> list[str]:
    """Return what differs between two fingerprints, as the user would say it.

    Graphs change with all that is traced, the names of settings too: they are named only where nothing else differs.
    """
    found = []
    for key in dict.fromkeys([*ours, *(key for key in theirs if key.startswith("the setting "))]):
        there, here = theirs.get(key, "none"), ours.get(key, "none")
        if key != GRAPHS and there != here:
            short = key not in HASHED and max(len(str(there)), len(here)) <= LONGEST and "\n" not in f"{there}{here}"
            found.append(f"{key} ({there} there, {here} here)" if short else key)
    if not found and theirs.get(GRAPHS) != ours[GRAPHS]:
        found.append(GRAPHS)
    return found


def _text(value: Any) -> str:
    """Return what is written of a part, without the places in memory that Python writes of functions."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def _kind(part: Any) -> str:
    """Return the names of an optimizer's classes, and what in it is no number: numbers are settings, told apart."""
    if not is_dataclass(part):
        return type(part).__name__
    shown = []
    for field in fields(part):
        value = vars(part)[field.name]
        if is_dataclass(value) and type(value).__name__ != "Constant":
            shown.append(_kind(value))
        elif value is True:
            shown.append(field.name)
    return type(part).__name__ + (f"({', '.join(shown)})" if shown else "")


def _named(tree: Any) -> dict[str, Array]:
    leaves, structure = flatten(tree)
    return {name: np.asarray(leaf) for name, leaf in zip(leaf_names(structure), leaves, strict=True)}


def _hash(arrays: Mapping[str, Array]) -> str:
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"{name!r} {array.dtype.str} {array.shape}\n".encode())
        found.update(array.data if array.size else b"")
    return found.hexdigest()


# --- what is in it ----------------------------------------------------------------------------------------------------

WHOLE = ("epoch", "batch", "step", "waited", "unconverged")
REAL = ("epoch_loss", "epoch_count", "last_rate")


def store(job: Job) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the state of a job as JSON data and arrays. Floats are text in base 16: every bit of them, NaN too."""
    loop = job.loop
    values = vars(loop)
    arrays = {f"carry.{name}": value for name, value in _named(loop.carry).items()}
    document: dict[str, Any] = {key: int(values[key]) for key in WHOLE}
    document |= {key: float(values[key]).hex() for key in REAL}
    document["status"] = "running" if loop.status == "interrupted" else loop.status  # Ctrl-C is no end, but a pause
    document["problem"] = loop.problem
    document["history"] = [
        [[key, value if isinstance(value, int) else float(value).hex()] for key, value in entry.items()]
        for entry in loop.history
    ]
    document["changes"] = [{**asdict(change), "value": change.value.hex()} for change in job.timeline.changes]
    document["notes"] = list(job.notes)
    best = loop.best
    document["best"] = None if best is None else [float(best.loss).hex(), best.epoch, best.step]
    if best is not None:
        arrays |= {f"best.{name}": value for name, value in _named([best.parameters, best.state]).items()}
    return document, arrays


def restore(job: Job, document: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Bring a job to the state that was stored; raise ValueError where it is not one of this job."""
    start = job.loop.kept
    carry = _filled(start, arrays, "carry")
    best = None
    if document["best"] is not None:
        loss, epoch, step = document["best"]
        parameters, state = _filled([start[job.program.evaluated], start["state"]], arrays, "best")
        best = Best(float.fromhex(loss), int(epoch), int(step), parameters, state)
    whole: dict[str, Any] = {key: int(document[key]) for key in WHOLE}
    real: dict[str, Any] = {key: float.fromhex(document[key]) for key in REAL}
    history = [
        {key: value if isinstance(value, int) else float.fromhex(value) for key, value in entry}
        for entry in document["history"]
    ]
    job.loop = Loop(
        carry, best=best, history=history, status=document["status"], problem=document["problem"], **whole, **real
    )
    job.timeline.changes[:] = [
        Change(int(c["step"]), str(c["name"]), float.fromhex(c["value"])) for c in document["changes"]
    ]
    job.notes[:] = document["notes"]
    job.snapshots[:] = [job.snapshots[0], replace(job.loop, history=list(history), machine=None)]


def _filled(template: Any, arrays: Mapping[str, Array], prefix: str) -> Any:
    """Return a structure like another one with stored arrays in the places of its leaves."""
    leaves, structure = flatten(template)
    found = []
    for name, leaf in zip(leaf_names(structure), leaves, strict=True):
        array = arrays[f"{prefix}.{name}"]
        if array.shape != np.shape(leaf) or array.dtype != np.asarray(leaf).dtype:
            raise ValueError(f"{prefix}.{name} is {array.dtype}{array.shape}, {np.shape(leaf)} is needed")
        found.append(array)
    return unflatten(structure, found)
