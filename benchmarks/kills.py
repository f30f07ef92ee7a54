"""Kill a checkpointed training at random moments, go on from what is left, and compare the ends.

``python -m benchmarks.kills --count 50`` starts that many trainings, each in a process of its own, kills each with
SIGKILL at a random moment (while it starts, trains or writes), reads every checkpoint that is left, and lets it go on
until it is finished. It fails where a file that is in place cannot be read, or where the end differs in one bit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.files import container
from chainrule.files.checkpoint import KIND

EXECUTORS = ("native", "reference")


def training(
    folder: str | None, executor: str, epochs: int, seconds: float, resume: bool, multipliers: bool = False
) -> cr.learn.Run:
    """Train with everything that a checkpoint has to hold: state, masks, an average, callbacks, early stopping.

    With ``multipliers`` those of two limits are carried too, in the place of early stopping, which does not go with
    them.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 8))
    y = np.sin(x).sum(axis=1, keepdims=True) + 0.1 * rng.normal(size=(600, 1))
    layers = (cr.nn.Dense(24, "tanh"), cr.nn.Dropout(0.1), cr.nn.Dense(16, "relu"), cr.nn.Dense(1))

    def slow_down(t: cr.learn.Training) -> None:
        if t.epoch % 50 == 0:
            t.change("learning_rate", 0.7 * t.settings["learning_rate"])

    limits = [cr.constrain.MaxNorm(1.0), cr.constrain.L1Ball(40.0, parameters=["hidden1.weight"])]
    ending: dict[str, Any] = {"method": cr.constrain.Lagrangian(0.01, 0.1)} if multipliers else {"patience": epochs}
    return cr.fit(
        cr.Objective(cr.nn.Sequential(*layers), "squared_error", subject_to=limits if multipliers else []),
        (x[:500], y[:500]), validation=(x[500:], y[500:]), **ending,
        optimizer=cr.learn.ClipNorm(cr.learn.Adam(0.003), 5.0), epochs=epochs, batch_size=16,
        accumulate=2, average=0.99, callbacks=[slow_down, cr.learn.Every(77, lambda t: None)], executor=executor,
        settings={"dropout1.rate": cr.learn.FlatCosine(0.1)},
        **({} if folder is None else {"checkpoint": folder, "checkpoint_every": seconds, "resume": resume}),
    )  # fmt: skip


def summary(run: cr.learn.Run) -> dict[str, Any]:
    """Return what has to be equal to the bit, as a hash, and how far the run went."""
    found = hashlib.sha256()
    last = run.at(run.steps)
    for part in (run.parameters, last.parameters, last.optimizer, last.average):
        for leaf in cr.graph.flatten(part)[0]:
            found.update(np.asarray(leaf).tobytes())
    found.update(repr((run.history, run.multipliers)).encode())
    return {"bits": found.hexdigest(), "status": run.status, "steps": run.steps, "best": run.best_epoch}


@dataclass(frozen=True)
class Tally:
    """What came of killing: how often, after how many checkpoints, with how many files half written beside them."""

    kills: int
    before_the_first: int
    finished_before: int
    read: int
    half_written: int


def child(folder: str, executor: str, epochs: int, seconds: float, multipliers: bool = False) -> list[str]:
    """Return the command that trains in a process of its own, and says when it begins and what came of it."""
    mine = [sys.executable, "-m", "benchmarks.kills", "--child", folder, "--executor", executor]
    mine += ["--multipliers"] if multipliers else []
    return [*mine, "--epochs", str(epochs), "--seconds", str(seconds)]


def kill(
    count: int, executor: str, epochs: int, seconds: float, seed: int = 0, loud: bool = False, multipliers: bool = False
) -> Tally:
    """Kill and go on so many times; raise AssertionError where an end is another one than that of a whole run."""
    chance = random.Random(seed)
    begun = time.monotonic()
    command = partial(child, executor=executor, epochs=epochs, seconds=seconds, multipliers=multipliers)
    whole = summary(training(None, executor, epochs, seconds, False, multipliers))
    lasts = time.monotonic() - begun
    early = finished = read = half = 0
    for number in range(count):
        with tempfile.TemporaryDirectory() as folder:
            process = subprocess.Popen(command(folder), stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            assert process.stdout.readline() == "begins\n"
            time.sleep(chance.uniform(0, 1.1 * lasts))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            finished += process.returncode == 0
            there = sorted(Path(folder).glob("step-*"))
            early += not there
            half += len(list(Path(folder).glob(".step-*")))
            for path in there:
                container.read(path, KIND)  # raises where one that is in place is not whole
                read += 1
            result = subprocess.run(command(folder), capture_output=True, text=True, check=True)
            end = json.loads(result.stdout.splitlines()[-1])
            assert end == whole, f"kill {number}: {end} is not {whole}"
            assert not list(Path(folder).glob("*.damaged"))
            if loud:
                steps = [int(path.stem.removeprefix("step-")) for path in there]
                print(
                    f"{number + 1:3}  went on from step {max(steps, default=0):6} of {end['steps']}, same bits",
                    flush=True,
                )
    return Tally(count, early, finished, read, half)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--executor", choices=EXECUTORS, default="native")
    parser.add_argument("--epochs", type=int, default=4000)
    parser.add_argument("--seconds", type=float, default=0.05, help="between two checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--multipliers", action="store_true", help="limits held by a Lagrangian, no early stopping")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print("begins", flush=True)
        run = training(given.child, given.executor, given.epochs, given.seconds, True, given.multipliers)
        print(json.dumps(summary(run)))
        return
    settings = (given.count, given.executor, given.epochs, given.seconds, given.seed, True, given.multipliers)
    tally = kill(*settings)
    print(
        f"{tally.kills} kills ({tally.before_the_first} before the first checkpoint, {tally.finished_before} after the "
        f"end), {tally.read} checkpoints read, all whole; {tally.half_written} half-written files beside them, none "
        "loaded; every end has the same bits"
    )


if __name__ == "__main__":
    main()
