"""fit: the lecture's loop, run for you: forward, loss, backward, update, repeat."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import ceil
from time import monotonic
from typing import Any

from chainrule.errors import TrainingError
from chainrule.graph import flatten
from chainrule.learn.averaging import Average
from chainrule.learn.callbacks import Callback, Callbacks, Every
from chainrule.learn.checkpoints import EVERY, Folder, Keeper, open_keeper
from chainrule.learn.job import Job
from chainrule.learn.objective import Objective
from chainrule.learn.optimizers import SGD, Optimizer
from chainrule.learn.preparing import prepare, row_order
from chainrule.learn.progress import Progress, Report, show_progress
from chainrule.learn.protocols import Method, MinMax
from chainrule.learn.run import Run

SLICE_SECONDS = 0.05
"""Python gets control this often: for progress, Ctrl-C, and a snapshot."""
SNAPSHOT_SHARE = 0.02
"""Snapshots take about so much of the time at most: those of a large network are farther apart."""
MAX_SNAPSHOTS = 64
MAX_SNAPSHOT_BYTES = 64 * 2**20
"""All snapshots together take about so much memory at most; fewer make a replay longer, not wrong."""


def fit(
    objective: Objective,
    data: Any,
    *,
    optimizer: Optimizer | None = None,
    method: Method | MinMax | None = None,
    epochs: int = 100,
    batch_size: int | str | None = None,
    accumulate: int = 1,
    validation: Any = None,
    groups: Mapping[str, Any] | None = None,
    validation_groups: Mapping[str, Any] | None = None,
    patience: int | None = None,
    seed: int = 0,
    parameters: Any = None,
    frozen: Sequence[str] = (),
    rate_factors: Mapping[str, float] | None = None,
    decay_factors: Mapping[str, float] | None = None,
    average: Average | float | None = None,
    settings: Mapping[str, Any] | None = None,
    shuffle: bool = True,
    tile_rows: int | None = None,
    executor: str = "native",
    progress: bool | Callable[[Report], None] = False,
    callbacks: Sequence[Callback | Every] = (),
    checkpoint: Folder | None = None,
    checkpoint_every: float = EVERY,
    resume: bool = False,
) -> Run:
    """Train a network: θ⁽ᵗ⁺¹⁾ = θ⁽ᵗ⁾ − η_t ∇L, over batches of rows, for so many epochs.

    Args:
        objective: what is to be made small (``cr.Objective(network, loss)``).
        data: ``(X, y)`` or ``(X, y, sample weights)``; X is [rows, columns]. Weights are scaled to mean 1.
        optimizer: ``cr.learn.SGD``, ``Adam`` (the default, η = 0.001), ``AdamW``, ``RMSprop``, ``Adagrad``, ``Lion``;
            ``LBFGS`` searches along lines, one step an epoch; ``ClipNorm(Adam(0.001), 1.0)`` and ``ClipValue`` clip
            the gradient.
        method: how constraints are held where that is not by projection: ``cr.constrain.Lagrangian()`` and
            ``AugmentedLagrangian()``, beside the optimizer; or, in the place of an optimizer, how the problem is
            solved as a whole, such as ``cr.constrain.AcceleratedProjection()``.
        epochs: how often every row is used.
        batch_size: rows for each step, or ``"all"``; 32 where nothing is said, all for ``LBFGS``.
        accumulate: add up the sums of so many batches before each step: the step of one larger batch, in less memory.
        validation: rows that are only looked at, ``(Xv, yv)``; their loss is in the history, one entry an epoch.
        groups: masks of rows by name, ``{"a": mask}``, for limits such as ``cr.constrain.mean_loss(group="a") <= 0.1``.
        validation_groups: the same of the validation rows, for what ``cr.optimality`` says of limits there.
        patience: stop when the validation loss has not fallen for so many epochs; the best parameters are restored.
        seed: of the initialization, of the row order and of dropout. Same seed, same bits.
        parameters: first values, ``{"hidden1.weight": W, …}``; those left out start at random.
        frozen: parameters that stay as they start, by name or pattern: ``["hidden1.*"]``.
        rate_factors, decay_factors: what the learning rate or the weight decay of some parameters is multiplied with:
            ``{"*.bias": 0.1}``. They are settings: ``"output.bias.rate"``.
        average: keep a moving average of the parameters, with this decay, and use it: see ``cr.learn.Average``.
        settings: numbers to use in the place of a layer's or optimizer's own, such as ``{"dropout1.rate": 0.2}``, or
            schedules: ``{"dropout1.rate": cr.learn.FlatCosine(0.2)}``.
        shuffle: whether each epoch has a random row order.
        tile_rows: measure a batch in tiles of so many rows; less memory for large batches.
        executor: ``"native"``: machine code, compiled for this network when the run starts; or ``"reference"``: NumPy,
            slower, the judge of the other.
        progress: True shows a live bar; a function is called with a ``Report`` every few tens of milliseconds.
        callbacks: functions that are called with a ``Training`` at the end of every epoch, or ``Every(100, function)``
            steps; they read everything, and can stop the run or change a setting.
        checkpoint: a folder to write checkpoints to, about every ``checkpoint_every`` seconds, whole or not at all.
        resume: go on from the last good checkpoint there, to the bits of the run that was never interrupted; the
            arguments must be those of that run. Where there is none yet, the run begins at the beginning.

    Returns:
        A ``Run``. A learning rate that is too high does not raise: ``run.status`` is ``"non-finite"``, the last finite
        parameters are kept, and ``run.message`` names the operation, the layer and the step. Ctrl-C ends a run cleanly.

    Raises:
        TrainingError: for data or settings that cannot be used; the message says where.

    >>> import numpy as np, chainrule as cr
    >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]); y = np.array([0, 1, 1, 0])
    >>> network = cr.nn.Sequential(cr.nn.Dense(8, activation="tanh"), cr.nn.Dense(2))
    >>> objective = cr.Objective(network, loss="softmax_cross_entropy")
    >>> run = cr.fit(objective, (X, y), optimizer=cr.learn.Adam(0.05), epochs=200, batch_size="all")
    >>> run.predict(X).argmax(axis=1).tolist()
    [0, 1, 1, 0]
    """
    if not isinstance(objective, Objective):
        raise TrainingError("fit takes an objective first: cr.fit(cr.Objective(network, loss='squared_error'), (X, y))")
    whole = method is not None and not isinstance(method, MinMax)
    if whole:
        _refuse_beside_a_method(method, {
            "optimizer": optimizer is not None, "epochs": epochs != 100, "batch_size": batch_size not in (None, "all"),
            "accumulate": accumulate != 1, "validation": validation is not None, "patience": patience is not None,
            "average": average is not None, "tile_rows": tile_rows is not None, "callbacks": bool(callbacks),
            "checkpoint": checkpoint is not None,
        })  # fmt: skip
        optimizer, batch_size = SGD(1.0), "all"
    job = prepare(
        objective,
        data,
        optimizer=optimizer,
        epochs=epochs,
        batch_size=batch_size,
        accumulate=accumulate,
        validation=validation,
        patience=patience,
        seed=seed,
        parameters=parameters,
        frozen=frozen,
        rate_factors=rate_factors,
        decay_factors=decay_factors,
        average=average,
        settings=settings,
        shuffle=shuffle,
        tile_rows=tile_rows,
        executor=executor,
        method=method if isinstance(method, MinMax) else None,
        groups=groups,
        validation_groups=validation_groups,
    )
    if method is not None and not isinstance(method, MinMax):
        with _listener(progress, job) as report:
            method.solve(job, report)
        return replace(job.result(), method=method)
    watching = Callbacks(callbacks, job)
    keeper = open_keeper(job, checkpoint, checkpoint_every, resume, watching.kinds)
    watching.called_at = job.loop.step
    try:
        with _listener(progress, job) as report:
            drive(job, report, watching, keeper)
    finally:
        keeper.close()
    return replace(job.result(), method=method)


def _refuse_beside_a_method(method: Any, given: Mapping[str, bool]) -> None:
    """Raise TrainingError for what a method would not read."""
    name = type(method).__name__
    if not callable(getattr(method, "solve", None)):
        raise TrainingError(f"method is {method!r:.60}; give one such as cr.constrain.AcceleratedProjection()")
    unread = [key for key, is_given in given.items() if is_given]
    if unread:
        raise TrainingError(f"{name} looks at all rows in its own steps, and reads no {unread[0]}: leave it out")


def drive(job: Job, report: Callable[[Report], None], callbacks: Callbacks, keeper: Keeper) -> None:
    """Advance a job in slices until it ends; between slices: callbacks, a snapshot, a report, a look at Ctrl-C.

    A checkpoint is written when the callbacks of its step were called: a run that goes on from it calls the next ones.
    """
    spacing = 1
    since = 0
    size = sum(leaf.nbytes for leaf in flatten(job.loop.kept)[0])
    most = min(MAX_SNAPSHOTS, MAX_SNAPSHOT_BYTES // max(size, 1))
    with interruptible() as interrupted:
        while job.loop.status == "running":
            job.advance(seconds=SLICE_SECONDS, until=callbacks.next_step())
            try:
                callbacks.call()
            except KeyboardInterrupt:  # a callback's own, or a second Ctrl-C: what was learned until then is kept
                interrupted.set()
            since += 1
            if since >= spacing and most > 1:
                since, begun = 0, monotonic()
                job.snapshots.append(job.loop.snapshot())
                if SLICE_SECONDS:
                    spacing = max(spacing, ceil((monotonic() - begun) / (SNAPSHOT_SHARE * SLICE_SECONDS)))
                if len(job.snapshots) > most:  # keep every second one from now on: memory stays bounded
                    job.snapshots[:] = job.snapshots[::2]
                    spacing *= 2
            if interrupted.is_set() and job.loop.status == "running":
                job.loop.status = "interrupted"
            keeper.offer()
            report(job.report())
    keeper.finish()


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Let the first Ctrl-C end the run after the current slice; a second one acts as usual."""
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # somebody else's handler (or none of Python's): theirs to act on
        yield pressed
        return

    def press(number: int, frame: Any) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _listener(progress: bool | Callable[[Report], None], job: Job) -> Iterator[Callable[[Report], None]]:
    if progress is True:
        with show_progress(job.total_steps, job.validation is not None) as listener:
            yield listener
    else:
        yield progress or (lambda report: None)


__all__ = ["Job", "Progress", "drive", "fit", "interruptible", "prepare", "row_order"]
