"""Checkpoints: a run that goes on from one ends in the same bits; what is damaged or another's is never loaded."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ModelFileError, TrainingError
from chainrule.files import checkpoint, container
from chainrule.graph import flatten
from chainrule.learn import Adam, ClipNorm, Cosine, Every, Training

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks import kills

RNG = np.random.default_rng(21)
X = RNG.normal(size=(60, 4))
Y = np.sin(X).sum(axis=1, keepdims=True)
HELD = X[:20] + 0.1, Y[:20]
EXECUTORS = ["reference", "native"]


def slower(t: Training) -> None:
    if t.epoch == 4:
        t.change("learning_rate", 0.01)


def fit(folder: Any = None, *, data: Any = (X, Y), network: Any = None, resume: bool = True, **options: Any) -> Any:
    layers = cr.nn.Dense(6, "tanh"), cr.nn.BatchNorm(), cr.nn.Dropout(0.2), cr.nn.Dense(1)
    chosen: dict[str, Any] = {
        "epochs": 12, "batch_size": 8, "optimizer": ClipNorm(Adam(Cosine(0.05)), 2.0), "validation": HELD,
        "patience": 12, "average": 0.9, "callbacks": [slower, Every(5, lambda t: None)],
    } | options  # fmt: skip
    more = {} if folder is None else {"checkpoint": folder, "checkpoint_every": 0.0, "resume": resume}
    return cr.fit(cr.Objective(network or cr.nn.Sequential(*layers), "squared_error"), data, **chosen, **more)


def bits(run: Any) -> list[bytes]:
    last = run.at(run.steps)
    trees = run.parameters, run.state, last.parameters, last.state, last.optimizer, last.average
    return [np.asarray(leaf).tobytes() for leaf in flatten(trees)[0]]


class Killed(BaseException):
    """In the place of a process that ends at once."""


def killed_at(step: int) -> Any:
    def kill(t: Training) -> None:
        if t.step == step:
            raise Killed

    return kill


@pytest.fixture(autouse=True)
def short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice is one step, so that a checkpoint is written after each."""
    monkeypatch.setattr(sys.modules["chainrule.learn.fitting"], "SLICE_SECONDS", 0.0)


def begun(folder: Path, step: int, **options: Any) -> None:
    """Leave the checkpoints of a run that ended at a step."""
    mine = options.pop("callbacks", [slower, Every(5, lambda t: None)])
    with pytest.raises(Killed):
        fit(folder, callbacks=[*mine[:1], Every(5, killed_at(step))], **options)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("step", [5, 35, 40, 80])
def test_a_run_that_goes_on_ends_in_the_same_bits(step: int, executor: str, tmp_path: Path) -> None:
    whole = fit(executor=executor)
    begun(tmp_path, step, executor=executor)
    files = sorted(tmp_path.glob("step-*"))
    assert 1 <= len(files) <= checkpoint.KEPT
    run = fit(tmp_path, executor=executor)
    assert bits(run) == bits(whole)
    assert run.history == whole.history
    assert (run.status, run.best_epoch, run.message) == (whole.status, whole.best_epoch, whole.message)
    for at in (0, 3, step - 1, step, step + 1, 90):
        assert [v.tobytes() for v in run.at(at).parameters.values()] == [
            v.tobytes() for v in whole.at(at).parameters.values()
        ]
        assert run.settings_at(at) == whole.settings_at(at)
    again = fit(tmp_path, executor=executor)  # a run that is over is what it was
    assert bits(again) == bits(whole)


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 4, "accumulate": 3, "network": cr.nn.Sequential(cr.nn.Dropout(0.3), cr.nn.Dense(1))},
        {"validation": None, "patience": None, "average": None, "shuffle": False},
        {"patience": 2, "optimizer": Adam(0.5), "epochs": 60},
        {
            "settings": {"dropout1.rate": cr.learn.FlatCosine(0.3)}, "frozen": ["hidden1.*"],
            "rate_factors": {"*.bias": 0.1},
        },
        {"data": (X.astype("f4"), Y.astype("f4"))},
        {"optimizer": cr.learn.RMSprop(0.01, momentum=0.9, centered=True)},
    ],
    ids=["accumulated", "plain", "early", "schedules and freezing", "single precision", "rmsprop"],
)  # fmt: skip
def test_whatever_the_run_has(options: Any, tmp_path: Path) -> None:
    whole = fit(**options)
    begun(tmp_path, 15, **options)
    run = fit(tmp_path, **options)
    assert bits(run) == bits(whole)
    assert run.history == whole.history
    assert (run.status, run.steps) == (whole.status, whole.steps)


def test_a_run_that_was_interrupted_or_stopped(tmp_path: Path) -> None:
    def stop(t: Training) -> None:
        if t.epoch == 3:
            t.stop("enough")

    stopped = fit(tmp_path / "a", callbacks=[stop])
    again = fit(tmp_path / "a", callbacks=[stop])
    assert (
        again.message
        == stopped.message
        == (f"stopped by a callback (enough); the parameters are those of epoch {stopped.best_epoch}, the best of 3")
    )
    assert bits(again) == bits(stopped)

    def burst(t: Training) -> None:
        t.change("learning_rate", 1e300)

    bad = fit(tmp_path / "b", callbacks=[burst], optimizer=cr.learn.SGD(0.1))
    assert bad.status == "non-finite"
    assert fit(tmp_path / "b", callbacks=[burst], optimizer=cr.learn.SGD(0.1)).message == bad.message


# --- what is not loaded -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cut", "bit", "empty", "foreign"])
def test_a_damaged_file_is_not_loaded_the_one_before_it_is(how: str, tmp_path: Path) -> None:
    whole = fit()
    begun(tmp_path, 40)
    older, newer = sorted(tmp_path.glob("step-*"))
    data = newer.read_bytes()
    place = len(data) // 2
    newer.write_bytes({
        "cut": data[:place], "bit": data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :], "empty": b"",
        "foreign": b"what is this",
    }[how])  # fmt: skip
    with pytest.warns(
        RuntimeWarning, match=f"the checkpoint {newer.name} was damaged; the run went on from {older.name}"
    ):
        run = fit(tmp_path)
    assert bits(run) == bits(whole)
    assert f"the checkpoint {newer.name} was damaged" in run.message
    assert (tmp_path / f"{newer.name}.damaged").exists()


def test_where_all_are_damaged_nothing_is_begun(tmp_path: Path) -> None:
    begun(tmp_path, 40)
    for path in tmp_path.glob("step-*"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TrainingError, match=r"no checkpoint in .* is good: .* Empty the folder to begin again"):
        fit(tmp_path)


def test_what_is_half_written_is_removed(tmp_path: Path) -> None:
    begun(tmp_path, 40)
    rest = tmp_path / ".step-0000000045.checkpoint.abcd"
    rest.write_bytes(b"half")
    assert bits(fit(tmp_path)) == bits(fit())
    assert not rest.exists()


SIX = {"network": cr.nn.Sequential(cr.nn.Dense(6, "tanh"), cr.nn.Dense(1))}
OTHERS: dict[str, tuple[Any, str]] = {
    "data": ({"data": (X + 1e-9, Y)}, "Different are: the training data."),
    "validation": ({"validation": (X[:19], Y[:19])}, "Different are: the validation data"),
    "no validation": ({"validation": None, "patience": None}, "Different are: the validation data"),
    "network": (SIX, "the network"),
    "optimizer": ({"optimizer": Adam(Cosine(0.05))}, "the optimizer (ClipNorm(Adam(Cosine)) there, Adam(Cosine) here)"),
    "rate": ({"optimizer": ClipNorm(Adam(Cosine(0.04)), 2.0)}, "the setting 'learning_rate' (0.05 there, 0.04 here)"),
    "seed": ({"seed": 1}, "the first parameters or the seed"),
    "epochs": ({"epochs": 13}, "epochs (12 there, 13 here)"),
    "batch": ({"batch_size": 9}, "batch_size (8 there, 9 here)"),
    "patience": ({"patience": 3}, "patience (12 there, 3 here)"),
    "order": ({"shuffle": False}, "Different are: the order of rows."),
    "executor": ({"executor": "reference"}, "the executor (native there, reference here)"),
    "callbacks": ({"callbacks": [slower]}, "the callbacks (every epoch, every 5 steps there, every epoch here)"),
    "dtype": ({"data": (X.astype("f4"), Y.astype("f4"))}, "the dtype (float64 there, float32 here)"),
    "start": ({"parameters": {"output.bias": np.ones(1)}}, "the first parameters or the seed"),
    "average": (
        {"average": cr.learn.Average(0.9, evaluated=False)}, "what is evaluated (average there, parameters here)"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("kept")
    fit(folder)
    return folder


@pytest.mark.parametrize("name", OTHERS)
def test_the_checkpoint_of_another_training_is_refused(name: str, kept: Path, tmp_path: Path) -> None:
    shutil.copytree(kept, tmp_path / "run")
    options, message = OTHERS[name]
    with pytest.raises(TrainingError) as error:
        fit(tmp_path / "run", **options)
    assert not re.search("[0-9a-f]{12}", str(error.value).replace(str(tmp_path), "")), "a hash says nothing"
    assert ("the network" in str(error.value)) == (name == "network")
    assert "is of another training. Different are: " in str(error.value)
    assert message in str(error.value)
    assert fit(tmp_path / "run").status == "done", "it is left as it was"


def test_another_version_is_refused(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(kept, tmp_path / "run")
    monkeypatch.setattr(checkpoint, "__version__", "9.9.9")
    with pytest.raises(TrainingError, match=r"the version of chainrule \(.* there, 9.9.9 here\)"):
        fit(tmp_path / "run")
    monkeypatch.undo()
    newest = sorted((tmp_path / "run").glob("step-*"))[-1]
    document, arrays = container.read(newest, checkpoint.KIND)
    newer = container.Kind(checkpoint.KIND.format, 2, "checkpoint", "")
    container.write(newest, document, arrays, newer)
    with pytest.raises(TrainingError, match="was saved by a newer chainrule"):
        fit(tmp_path / "run")
    assert newest.exists()


def test_models_and_checkpoints_are_told_apart(kept: Path, tmp_path: Path) -> None:
    newest = sorted(kept.glob("step-*"))[-1]
    with pytest.raises(ModelFileError, match="not a chainrule model"):
        cr.load(newest)
    fit().save(tmp_path / "m")
    with pytest.raises(ModelFileError, match="not a chainrule checkpoint"):
        container.read(tmp_path / "m", checkpoint.KIND)


def test_a_folder_is_one_runs(kept: Path, tmp_path: Path) -> None:
    shutil.copytree(kept, tmp_path / "run")
    with pytest.raises(TrainingError, match="has checkpoints of a training already: go on from them with resume=True"):
        fit(tmp_path / "run", resume=False)

    def second(t: Training) -> None:
        fit(tmp_path / "new", callbacks=[])

    with pytest.raises(TrainingError, match=r"another training is writing checkpoints to .*new"):
        fit(tmp_path / "new", callbacks=[second])
    assert fit(tmp_path / "new", callbacks=[slower]).status == "done", "the folder is free again"
    with pytest.raises(TrainingError, match="resume=True goes on from a checkpoint: give the folder too"):
        cr.fit(cr.Objective(cr.nn.Dense(1), "squared_error"), (X, Y), resume=True)
    with pytest.raises(TrainingError, match="checkpoint_every is -1"):
        cr.fit(cr.Objective(cr.nn.Dense(1), "squared_error"), (X, Y), checkpoint=tmp_path, checkpoint_every=-1)
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot make the folder"):
        fit(tmp_path / "file")


def test_every_bit_of_a_float_is_kept(tmp_path: Path) -> None:
    """Losses that are NaN, infinite, subnormal or negative zero come back as they were; JSON alone has no such."""
    begun(tmp_path, 40)
    newest = sorted(tmp_path.glob("step-*"))[-1]
    document, _ = container.read(newest, checkpoint.KIND)
    text = json.dumps(document)
    assert "NaN" not in text
    assert "Infinity" not in text
    for value in (float("nan"), float("inf"), 5e-324, -0.0, 0.1):
        assert np.float64(float.fromhex(value.hex())).tobytes() == np.float64(value).tobytes()


# --- kill −9 ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize(("executor", "count", "epochs"), [("native", 4, 1000), ("reference", 2, 25)])
def test_killed_at_any_moment_the_end_is_the_same(
    executor: str, count: int, epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty of them: python -m benchmarks.kills."""
    monkeypatch.undo()  # slices of their usual length
    monkeypatch.chdir(Path(__file__).parents[2])
    tally = kills.kill(count, executor, epochs, 0.02, seed=1)
    assert tally.kills == count
    assert tally.before_the_first + tally.finished_before < count, "some were in the middle"


def test_frozen_parameters_and_the_update_are_named(kept: Path, tmp_path: Path) -> None:
    shutil.copytree(kept, tmp_path / "run")
    with pytest.raises(TrainingError) as error:
        fit(tmp_path / "run", frozen=["output.*"])
    said = "Different are: the frozen parameters (none there, output.bias, output.weight here). Go on"
    assert said in str(error.value)
    begun(tmp_path / "sgd", 40, optimizer=cr.learn.SGD(0.1, momentum=0.5))
    with pytest.raises(
        TrainingError, match=r"Different are: the optimizer \(SGD there, SGD\(nesterov\) here\)\. Go on"
    ):
        fit(tmp_path / "sgd", optimizer=cr.learn.SGD(0.1, momentum=0.5, nesterov=True))


def test_a_loss_of_ones_own_that_computes_something_else(tmp_path: Path) -> None:
    """Its name is the same: only the graph tells."""

    def run(loss: Any) -> Any:
        return cr.fit(
            cr.Objective(cr.nn.Dense(1), loss), (X, Y), epochs=2, checkpoint=tmp_path, resume=True, executor="reference"
        )

    run(lambda target, output: (target - output) ** 2)
    with pytest.raises(
        TrainingError, match="Different are: how the network, the loss or the update begins or is computed"
    ):
        run(lambda target, output: (target - output) ** 4)
